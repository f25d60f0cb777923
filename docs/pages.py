"Turn the course's notebooks into the site's pages: MyST notebooks that Sphinx reads."
import base64
import copy
import io
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import api
import exercises
import names
import nbformat
from bs4 import BeautifulSoup
from PIL import Image

from lm_from_scratch.course.notebooks import repository
from lm_from_scratch.course.figures import FIGURES

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


def index(): return _page(nbs/'index.ipynb')


def _page(path): return Page(path.relative_to(nbs).with_suffix('').as_posix(), path.relative_to(root).as_posix(), *_head(nbformat.read(path, 4).cells[0].source))


# ---- markdown

KEEP = re.compile(r'^(?P<f>`{3,}|~{3,}).*?^(?P=f)[ \t]*$|^\$\$.*?\$\$|(?<!\$)\$[^$\n]+\$(?!\$)|(?<!`)(?P<b>`+)(?!`).+?(?<!`)(?P=b)(?!`)', re.M | re.S)
PICTURE = re.compile(r'^!\[(?P<alt>[^\]]*)\]\((?:\.\./)*images/(?P<name>[\w-]+)\.(?P<kind>svg|gif)\)[ \t]*$', re.M | re.S)
LINK = re.compile(r'(?<!!)\[(?P<text>[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\((?P<to>[^)\s]+)\)')


class Unnumbered:
    "For a page whose figures need no number."
    def next(self): return ''


class Numbers:
    "Numbers of a page's figures: 5.1, 5.2 … in chapter 5, S5.1 … in its solutions."
    def __init__(self, page, mark=''): self.prefix, self.n = f"{mark or ('S' if '/' in page.name else '')}{int(page.name.split('/')[-1][:2])}", 0
    def next(self): self.n += 1; return f'**Figure {self.prefix}.{self.n}**'


def figure(name, kind, page, numbers):
    "The directive of one of the course's own pictures, its caption and alternative text from the code that draws it."
    f = FIGURES[name]
    alt, slug = ' '.join(f['alt'].split()), name.replace('_', '-')
    return f'```{{figure}} {page.up}images/{name}.{kind}\n:name: fig-{page.name.replace("/", "-")}-{slug}\n:alt: {alt}\n:class: drawn dark-light fig-{slug}\n\n{numbers.next()} {f["caption"]}\n```'


def target(to, source, shown=None):
    "Where a link of a notebook or an appendix leads on the site, from its own page or the one where it is `shown`; what is no page is shown in the repository."
    if re.match(r'[a-z]+:|#', to): return to
    path, _, anchor = to.partition('#')
    full = (root/source).parent.joinpath(path).resolve().relative_to(root).as_posix()
    page = {p.source: p.name for p in (*chapters(), *rooms(), *solutions())}.get(full) or {'nbs/index.ipynb': 'index'}.get(full)
    if not page and (m := re.fullmatch(r'docs/(appendix/\w+)\.md', full)): page = m[1]
    if not page: return blob(full)
    here = next((p.up for p in (*chapters(), *rooms(), *solutions()) if p.source == (shown or source)), '../' if source.startswith('docs/appendix') else '')
    kind = 'md' if page == 'index' or page.startswith('appendix') else 'ipynb'
    return f'{here}{page}.{kind}' + (f'#{anchor}' if anchor else '')


def linked(code):
    "Inline code, as a link where it is a name that has a page."
    to = names.link(code)
    if to is None: return f'`{code}`'
    return f'[`{code}`]({to})' if to.startswith('http') else f'{{py:obj}}`{code} <{to}>`'


def markdown(text, page, next_page=None, numbers=None, source=None):
    "A markdown cell (of the page's own notebook, or of `source`) as the site needs it: figures, links and names; code and formulas stay as they are."
    kept = []
    def keep(m): kept.append(m[0]); return f'\0{len(kept)-1}\0'
    text = KEEP.sub(keep, text)
    text = PICTURE.sub(lambda m: figure(m['name'], m['kind'], page, numbers), text)
    text = LINK.sub(lambda m: f"[{m['text']}]({target(m['to'], source or page.source, page.source)})", text)
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


SHOWN = re.compile(r"show_figure\('(\w+)'\)") # a picture of the course: what it says stands where it is drawn


def code(cell, page, numbers):
    "A code cell as the site needs it; None for one that is not shown."
    d, source = directives(cell.source)
    if 'hide' in d or 'default_exp' in d: return None
    out = nbformat.v4.new_code_cell(source, id=cell.id, outputs=copy.deepcopy(cell.outputs))
    tags = ['remove-input'] if d.get('echo') == 'false' else ['hide-input'] if 'export' in d or (d.get('code-fold') == 'true') else []
    out.metadata = {'tags': tags, 'mystnb': {}}
    alt = d.get('fig-alt') or (FIGURES[m[1]]['alt'] if (m := SHOWN.fullmatch(source)) else None)
    out.outputs = [o for o in out.outputs if o.get('data', {}).get('text/html') != '']
    for o in out.outputs:
        alt = alt or o.get('metadata', {}).get('image/png', {}).get('alt')
        if 'text/html' in o.get('data', {}): o.data['text/html'] = table(o.data['text/html'])
    for o in out.outputs:
        if 'image/png' in o.get('data', {}): o.data['image/png'] = _light(o.data['image/png'])
    if drawn := [o.data['image/png'] for o in out.outputs if 'image/png' in o.get('data', {})]:
        out.metadata['mystnb'] = {'image': {'alt': alt or '', 'classes': 'plot dark-light' + (' wide' if _width(drawn[0]) > 620 else '')}}
        if 'fig-cap' in d: out.metadata['mystnb']['figure'] = {'caption': f"{numbers.next()} {d['fig-cap']}", 'name': f'fig-{page.name}-{cell.id}'.replace('/', '-')}
    return out


def _names(source):
    "What a folded cell holds, for its label."
    found = re.findall(r'^(?:class|def)\s+(\w+)|^(?:@patch.*\n)?def\s+(\w+)|^(\w+)(?:,\w+)*\s*=(?!=)', source, re.M)
    found = list(dict.fromkeys(n for f in found for n in f if n))
    if not found: return 'Show the imports' if re.match(r'(from|import) ', source) else 'Show the code'
    return 'Show the code: ' + ', '.join(found[:5]) + (' …' if len(found) > 5 else '')


def _fold(cells):
    "Neighbours that are folded, and print nothing, share one fold; it says what is in it."
    out = []
    for c in cells:
        folded = c.cell_type == 'code' and 'hide-input' in c.metadata.get('tags', []) and not c.outputs
        if folded and out and out[-1].metadata.get('folded'): out[-1].source += '\n\n' + c.source
        else: out.append(c)
        if folded:
            out[-1].metadata['folded'] = True
            out[-1].metadata['mystnb'] = {'code_prompt_show': _names(out[-1].source), 'code_prompt_hide': 'Hide the code'}
    return out


def _light(png):
    "A picture in 256 colours, if that makes it smaller: plots have few."
    out = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert('RGB').quantize(256, dither=Image.Dither.NONE).save(out, 'PNG', optimize=True)
    return min(png, base64.b64encode(out.getvalue()).decode(), key=len)


def _width(png): return int.from_bytes(base64.b64decode(png[:64])[16:20], 'big')


def table(html):
    "Tables without the style of notebooks; a head that scrolls with its table, and is one for those who listen."
    html = re.sub(r'<style.*?</style>', '', html, flags=re.S)
    if '<table' in html: html = _lean(BeautifulSoup(html, 'html.parser'))
    html = re.sub(r'(<span style=")(?:color: #\w+; ?)?(?:text-decoration-color: #\w+;? ?)?', r'\1', html)      # a terminal's colours are for a terminal's ground
    return re.sub(r'<th>\s*</th>', '<td></td>', html)


def _lean(soup):
    "A table without what tells nothing: an index that only counts, empty columns, a head row that names the index; text to the left, numbers to the right."
    for table in soup.find_all('table'):
        table.attrs = {'class': 'dataframe'}
        rows = table.find_all('tr')
        for r in rows: r.attrs = {}
        body = table.tbody.find_all('tr') if table.tbody else []
        cells = [r.find_all(['th', 'td']) for r in rows]
        texts = lambda k: [r.find_all(['th', 'td'])[k].get_text().strip() for r in body]
        plain = len({len(c) for c in cells}) == 1 and not table.find(attrs={'rowspan': True}) and not table.find(attrs={'colspan': True})
        if plain and body:
            heads = table.thead.find_all('tr')
            if len(heads) == 2 and not any(c.get_text().strip() for c in heads[1].find_all('th')[1:]) and not heads[0].th.get_text().strip():
                heads[0].th.string = heads[1].th.get_text(); heads[1].extract(); rows = table.find_all('tr')
            for k in reversed(range(len(cells[0]))):
                counts = k == 0 and body[0].th is not None and texts(0) == [str(i) for i in range(len(body))] and not rows[0].find_all(['th', 'td'])[0].get_text().strip()
                if counts or not any(texts(k)):
                    for r in rows: r.find_all(['th', 'td'])[k].extract()
        for r in body:
            for c in r.find_all(['th', 'td']):
                text = c.get_text()
                c.attrs = {k: v for k, v in c.attrs.items() if k in ('rowspan', 'colspan')}
                if c.name == 'td' and not re.fullmatch(r'\s*[−+-]?[\d.,]+(e[+-]?\d+)?\s*', text): c['class'] = 'text'
                if (' ± ' in text or ' to ' in text) and len(text) < 20: c['class'] = 'text nowrap'
                elif ' ± ' in text: c.string = text.replace(' ± ', '\u00a0±\u00a0')
    return str(soup)


def stub(cell): return 'check.' in cell.source and re.search(r'= \.\.\.', cell.source)


def solution(found, page):
    "An exercise's solution, behind a click."
    if not found: return []
    raw = nbformat.v4.new_markdown_cell
    cells = [raw('<details class="solution"><summary>Solution</summary>\n\n')]
    numbers = Numbers(page, 'S')
    for c in found.cells:
        if c.cell_type == 'code': cells += filter(None, [code(c, page, numbers)] if not exercises.SETUP.search(c.source) else [])
        else:                                                          # what is said of the checker stands in the solutions alone
            text = '\n\n'.join(p for p in exercises.HEADING.sub('', c.source, count=1).strip().split('\n\n') if not p.startswith('The checker'))
            if text: cells.append(raw(markdown(text, page, numbers=numbers, source=f'nbs/solutions/{page.name}.ipynb')))
    return [*cells, raw(f'All of it, and how the checker works: [the solutions of this chapter](solutions/{page.name}.ipynb).'), raw('</details>')]


def notebook(page, solved=True):
    "The page of a notebook, as a MyST notebook; unless `solved`, without the solutions below its exercises."
    nb = nbformat.read(root/page.source, 4)
    number = [p.name for p in chapters()].index(page.name) if page in chapters() else None
    after = chapters()[number+1] if number is not None and number+1 < len(chapters()) else None
    answers = exercises.solutions(root/page.source) if number is not None else {}
    ends = {id(e.cells[-1]): e for e in exercises.numbered(nb)}
    cells, numbers = [], Numbers(page)
    nb.cells[0].source = re.sub(r'^# ', f'# {page.name[:2]} ', nb.cells[0].source) if '/' not in page.name else nb.cells[0].source
    for c in nb.cells:
        if c.cell_type == 'markdown': cells.append(nbformat.v4.new_markdown_cell(markdown(c.source, page, after, numbers), id=c.id))
        elif made := code(c, page, numbers):
            if stub(c): made.outputs = []
            if m := re.fullmatch(r"show_figure\('(\w+)'\);?", made.source.strip()):              # the drawing itself, in the theme's colours, in place of its picture
                made.outputs = []
                cells += [made, nbformat.v4.new_markdown_cell(figure(m[1], 'gif' if (root/f'images/{m[1]}.gif').is_file() else 'svg', page, numbers))]
            else: cells.append(made)
        if solved and number is not None and (e := ends.get(id(c))): cells += solution(answers.get(e.number), page)
    module = next((directives(c.source)[0]['default_exp'] for c in nb.cells if 'default_exp' in c.source), None)
    if module and (ref := api.reference(module)): cells.append(nbformat.v4.new_markdown_cell(markdown_api(ref)))
    cells = _fold(cells)
    for c in cells: c.pop('id', None); c.metadata.pop('folded', None)
    return {'cells': cells, 'metadata': nb.metadata, 'nbformat': 4, 'nbformat_minor': 4}


def markdown_api(ref):
    "Link the names that docstrings and tables mention; a signature is code, whatever its defaults hold."
    return re.sub(r'(?m)^~~~~\{.*$|(?<!`)`([^`\n{}<>]+)`(?!`)', lambda m: linked(m[1]) if m[1] else m[0], ref)


def appendix(page, text):
    "An appendix, links mended."
    return markdown(text, page).replace(' ± ', '\u00a0±\u00a0')


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1, ensure_ascii=False), encoding='utf-8')
