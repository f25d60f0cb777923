"Turn the course's notebooks into the site's pages: MyST notebooks that Sphinx reads."
import copy
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import api
import exercises
import names
import nbformat

from lm_from_scratch.course import repository
from lm_from_scratch.figures import FIGURES

root = Path(__file__).resolve().parent.parent
nbs = root/'nbs'
BRANCH = 'main'


def blob(path): return f'{repository()}/blob/{BRANCH}/{path}'


@dataclass
class Page:
    "A page of the site: its name there, and the file it is made from."
    name: str     # '05_lstm', 'solutions/05_lstm', 'appendix/errata'
    source: str   # 'nbs/05_lstm.ipynb'
    title: str
    about: str = ''
    up: str = field(init=False)

    def __post_init__(self): self.up = '../'*self.name.count('/')


def _head(text):
    m = re.match(r'# (.+)\n+(?:> (.+))?', text)
    return m[1], m[2] or ''


@cache
def chapters(): return [_page(p) for p in exercises.chapters()]


@cache
def rooms(): return [_page(p) for p in sorted(nbs.glob('[2-9]*.ipynb'))]


@cache
def solutions(): return [_page(p) for p in sorted((nbs/'solutions').glob('*.ipynb'))]


def _page(path): return Page(path.relative_to(nbs).with_suffix('').as_posix(), path.relative_to(root).as_posix(), *_head(nbformat.read(path, 4).cells[0].source))


# ---- markdown

KEEP = re.compile(r'^(?P<f>`{3,}|~{3,}).*?^(?P=f)[ \t]*$|^\$\$.*?\$\$|(?<!\$)\$[^$\n]+\$(?!\$)|(?<!`)(?P<b>`+)(?!`).+?(?<!`)(?P=b)(?!`)', re.M | re.S)
PICTURE = re.compile(r'^!\[(?P<alt>[^\]]*)\]\((?:\.\./)*images/(?P<name>[\w-]+)\.(?P<kind>svg|gif)\)[ \t]*$', re.M | re.S)
LINK = re.compile(r'(?<!!)\[(?P<text>[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\((?P<to>[^)\s]+)\)')


def figure(name, kind, page):
    "The directive of one of the course's own pictures, its caption and alternative text from the code that draws it."
    f = FIGURES[name]
    alt, slug = ' '.join(f['alt'].split()), name.replace('_', '-')
    return f'```{{figure}} {page.up}images/{name}.{kind}\n:name: fig-{page.name.replace("/", "-")}-{slug}\n:alt: {alt}\n:class: drawn dark-light fig-{slug}\n\n{f["caption"]}\n```'


def target(to, source):
    "Where a link of a notebook or an appendix leads on the site; what is no page is shown in the repository."
    if re.match(r'[a-z]+:|#', to): return to
    path, _, anchor = to.partition('#')
    full = (root/source).parent.joinpath(path).resolve().relative_to(root).as_posix()
    page = {p.source: p.name for p in (*chapters(), *rooms(), *solutions())}.get(full) or {'nbs/index.ipynb': 'index'}.get(full)
    if not page and (m := re.fullmatch(r'docs/(appendix/\w+)\.md', full)): page = m[1]
    if not page: return blob(full)
    here = next((p.up for p in (*chapters(), *rooms(), *solutions()) if p.source == source), '../' if source.startswith('docs/appendix') else '')
    return f'{here}{page}.md' + (f'#{anchor}' if anchor else '') if page.startswith('appendix') else f'{here}{page}.ipynb' + (f'#{anchor}' if anchor else '')


def linked(code):
    "Inline code, as a link where it is a name that has a page."
    to = names.link(code)
    if to is None: return f'`{code}`'
    return f'[`{code}`]({to})' if to.startswith('http') else f'{{py:obj}}`{code} <{to}>`'


def markdown(text, page, next_page=None):
    "A markdown cell as the site needs it: figures, links and names; code and formulas stay as they are."
    kept = []
    def keep(m): kept.append(m[0]); return f'\0{len(kept)-1}\0'
    text = KEEP.sub(keep, text)
    text = PICTURE.sub(lambda m: figure(m['name'], m['kind'], page), text)
    text = LINK.sub(lambda m: f"[{m['text']}]({target(m['to'], page.source)})", text)
    if next_page: text = re.sub(r'→ \*(.+?)\*\s*$', lambda m: f'→ [*{m[1]}*]({next_page.name}.ipynb)', text)
    def back(m):
        t = kept[int(m[1])]
        plain = re.fullmatch(r'`([^`\n]+)`', t)
        line = text[text.rfind('\n', 0, m.start())+1:m.start()]
        inside = line.lstrip().startswith('#') or line.count('[') > line.count(']') or '<' in line.split('>')[-1]
        return linked(plain[1]) if plain and not inside else t
    return re.sub('\0(\\d+)\0', back, text)


# ---- code

DIRECTIVE = re.compile(r'^#\|\s*(\w[\w-]*)(?::?\s+(.*))?$', re.M)


def directives(source):
    "The `#|` lines at the head of a cell, and the code below them."
    lines, found = source.splitlines(), {}
    while lines and (m := DIRECTIVE.match(lines[0])): found[m[1]] = (m[2] or '').strip(); lines.pop(0)
    return found, '\n'.join(lines).strip('\n')


def code(cell):
    "A code cell as the site needs it; None for one that is not shown."
    d, source = directives(cell.source)
    if 'hide' in d or 'default_exp' in d: return None
    out = nbformat.v4.new_code_cell(source, id=cell.id, outputs=copy.deepcopy(cell.outputs))
    tags = ['remove-input'] if d.get('echo') == 'false' else ['hide-input'] if 'export' in d or (d.get('code-fold') == 'true') else []
    out.metadata = {'tags': tags, 'mystnb': {}}
    alt = d.get('fig-alt')
    for o in out.outputs:
        alt = alt or o.get('metadata', {}).get('image/png', {}).get('alt')
        if 'text/html' in o.get('data', {}): o.data['text/html'] = table(o.data['text/html'])
    if any('image/png' in o.get('data', {}) for o in out.outputs):
        out.metadata['mystnb'] = {'image': {'alt': alt or '', 'classes': 'plot dark-light'}}
        if 'fig-cap' in d: out.metadata['mystnb']['figure'] = {'caption': d['fig-cap'], 'name': f'fig-{cell.id}'}
    return out


def table(html):
    "Tables without the style of notebooks; a head that scrolls with its table, and is one for those who listen."
    html = re.sub(r'<style.*?</style>', '', html, flags=re.S)
    html = re.sub(r'<table border="1" class="dataframe">', '<table class="dataframe">', html)
    html = re.sub(r'<tr style="text-align: (?:right|left);">', '<tr>', html)
    html = re.sub(r'(<span style=")(?:color: #\w+; ?)?(?:text-decoration-color: #\w+;? ?)?', r'\1', html)      # a terminal's colours are for a terminal's ground
    return re.sub(r'<th></th>', '<td></td>', html)


def stub(cell): return 'check.' in cell.source and re.search(r'= \.\.\.', cell.source)


def solution(found, page):
    "An exercise's solution, behind a click."
    if not found: return []
    raw = nbformat.v4.new_markdown_cell
    cells = [raw('<details class="solution"><summary>Solution</summary>\n\n')]
    shown = max(i for i, c in enumerate(found.cells) if c in found.code and 'check.' in c.source)   # what follows is about the checker
    for c in found.cells[:shown+1]:
        if c.cell_type == 'code': cells += filter(None, [code(c)] if not exercises.SETUP.search(c.source) else [])
        elif text := exercises.HEADING.sub('', c.source, count=1).strip(): cells.append(raw(markdown(text, page)))
    return [*cells, raw('</details>')]


def notebook(page):
    "The page of a notebook, as a MyST notebook."
    nb = nbformat.read(root/page.source, 4)
    number = [p.name for p in chapters()].index(page.name) if page in chapters() else None
    after = chapters()[number+1] if number is not None and number+1 < len(chapters()) else None
    answers = exercises.solutions(root/page.source) if number is not None else {}
    starts = {id(e.cells[0]): e for e in exercises.numbered(nb)}
    ends = {id(e.cells[-1]): e for e in exercises.numbered(nb)}
    cells = []
    for c in nb.cells:
        if c.cell_type == 'markdown': cells.append(nbformat.v4.new_markdown_cell(markdown(c.source, page, after), id=c.id))
        elif made := code(c):
            if stub(c): made.outputs = []
            cells.append(made)
        if number is not None and (e := ends.get(id(c))): cells += solution(answers.get(e.number), page)
    assert len(starts) == len(ends)
    module = next((directives(c.source)[0]['default_exp'] for c in nb.cells if 'default_exp' in c.source), None)
    if module and (ref := api.reference(module)): cells.append(nbformat.v4.new_markdown_cell(markdown_api(ref)))
    for c in cells: c.pop('id', None)
    return {'cells': cells, 'metadata': nb.metadata, 'nbformat': 4, 'nbformat_minor': 4}


def markdown_api(ref):
    "Link the names that docstrings and tables mention."
    return re.sub(r'(?<!`)`([^`\n{}<>]+)`(?!`)', lambda m: linked(m[1]), ref)


def appendix(page, text):
    "An appendix, links mended."
    return markdown(text, page)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False), encoding='utf-8')
