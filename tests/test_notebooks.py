"Every notebook runs from top to bottom in a kernel of its own, and what it stores is what such a run shows."
import ast
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from conftest import ROOT, notebook
from exercises import chapters, exercises
from student import Student

from lm_from_scratch.course.notebooks import find_notebooks, judge, moved_lines, normalise, run_notebook

paths = find_notebooks(ROOT/'nbs')
MINUTE = 120 # a minute on a machine of its own; a busy or a slow one may take twice as long


def name(path): return path.relative_to(ROOT/'nbs').with_suffix('').as_posix()


@pytest.mark.parametrize('path', paths, ids=name)
def test_runs(path, capsys):
    "Errors, asserts and other words fail, and so do checks that a student meets in the same kernel; figures that moved, and the sentences that rest on them, are told: `make course` fails on those."
    student = Student(path) if path in chapters() else None
    with ThreadPoolExecutor(1) as thread: run = thread.submit(run_notebook, path, then=student).result()    # beside a browser's event loop
    with capsys.disabled(): print(f"\n{name(path)}: {run.seconds:.0f} s of the processor's time", end=' ')
    assert not run.error, run.trace or run.error
    for cell in run.nb.cells:
        for o in cell.get('outputs', []): assert o.get('name') != 'stderr', f"{cell.source[:60]!r} writes to stderr: {o.text[:200]}"
    judge(run)
    if told := [*moved_lines([run]), *map(str, run.marked), *run.lost]: warnings.warn('moved on this machine:\n' + '\n'.join(told), stacklevel=1)
    assert not run.words, "make course STORE=1: " + '\n'.join(map(str, run.words))
    if student: assert not student.faults and student.done == [e.number for e in exercises(path)], '\n'.join(student.faults)
    assert run.seconds < MINUTE, f"{run.seconds:.0f} s of the processor's time: {sorted(run.cells)[-3:]}"


@pytest.mark.parametrize('path', paths, ids=name)
class TestForm:
    def test_clean(self, path):
        nb = nbformat.read(path, 4)
        before = nbformat.writes(nb)
        assert nbformat.writes(normalise(nb)) == before, "not clean: make export, make course STORE=1"

    def test_title(self, path): assert re.match(r'# .+\n+> .+', notebook(path).cells[0].source)

    def test_no_error_stored(self, path):
        assert not [o for c in notebook(path).cells for o in c.get('outputs', []) if o.output_type == 'error']

    def test_imports_stand_alone(self, path):
        "The documentation step runs any cell with an import, so nothing else may stand in it."
        for c in notebook(path).cells:
            if c.cell_type != 'code' or re.match(r'^%|#\| eval: false', c.source): continue
            body = ast.parse(re.sub(r'^%.*$', '', c.source, flags=re.M)).body
            kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in body}
            if '#| eval: false' not in c.source: assert len(kinds) < 2 or not c.source.lstrip().startswith('#| export'), c.source

    def test_pictures_have_alt_text_and_exist(self, path):
        for c in notebook(path).cells:
            if c.cell_type == 'markdown':
                for alt,file in re.findall(r'!\[(.*?)\]\((.*?)\)', c.source, re.S):
                    assert len(alt) > 20 and (path.parent/file).is_file(), file
            elif any('image/png' in o.get('data', {}) for o in c.outputs): assert '#| fig-alt:' in c.source or c.source.startswith('show_figure('), c.source[:80]
