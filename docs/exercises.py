"Where the exercises of a chapter are, and where their solutions: read from the notebooks, for the site and its tests."
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

root = Path(__file__).resolve().parent.parent
KINDS = 'look', 'predict', 'spot the bug', 'build', 'break'
HEADING = re.compile(rf"^(#+) (\d+\.\d+) (.+?)(?: \*\(({'|'.join(KINDS)})\)\*)?$", re.M)
SETUP = re.compile(r'^#\|\s*(hide|export|exports|default_exp)\b', re.M)


@dataclass
class Exercise:
    "One exercise, or its solution: a numbered heading and the cells below it."
    number: str   # '5.1'
    title: str    # 'The forget gates at work'
    kind: str     # One of KINDS; empty in a solution
    cells: list   # The cells that belong to it, the one with the heading first

    @property
    def code(self): return [c for c in self.cells if c.cell_type == 'code' and not SETUP.search(c.source)]

    @property
    def checkers(self): return re.findall(r'\bcheck\.(\w+)\(', '\n'.join(c.source for c in self.code))


def numbered(nb):
    "The numbered sections of a notebook, in order; a section ends at the next heading of its own level or above."
    found, level = [], 0
    for c in nb.cells:
        if c.cell_type == 'markdown' and (m := HEADING.match(c.source)):
            found.append(Exercise(m[2], m[3], m[4] or '', [c]))
            level = len(m[1])
        elif c.cell_type == 'markdown' and (m := re.match(r'(#+) ', c.source)) and len(m[1]) <= level: level = 0
        elif level: found[-1].cells.append(c)
    return found


def chapters(): return sorted(p for p in (root/'nbs').glob('*.ipynb') if p.stem[:2].isdigit() and p.stem < '20')


def exercises(path): return [e for e in numbered(nbformat.read(path, 4)) if e.kind]


def solutions(path):
    "Number → solution, for a chapter's path."
    return {e.number: e for e in numbered(nbformat.read(root/'nbs/solutions'/Path(path).name, 4))}


def questions(path):
    "(question, answer) of a chapter's questionnaire."
    text = '\n\n'.join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'markdown')
    return [(q.strip(), a.strip()) for q, a in re.findall(r'<details>\s*<summary>(.*?)</summary>(.*?)</details>', text, re.S)]
