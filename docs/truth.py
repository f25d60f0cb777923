"""Every figure in prose has a source: an output or the code of its own page, the results files, a published figure, or a line of sources.toml."""
import ast
import json
import math
import operator
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

try: import tomllib
except ModuleNotFoundError: import tomli as tomllib # Python 3.10; pytest brings it

root = Path(__file__).resolve().parent.parent
listed = root/'docs/sources.toml'

number = r'(?<![\w.,])[+\-−]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+)(?!\d)(?!\.\d)|(?<![\w.,])[+\-−]?\d+(?=\s?%)'
NUMBER = re.compile(rf'(?P<n>{number})(?P<pct>\s?%)?')
HIDDEN = re.compile('|'.join([
    r'^(?P<f>`{3,}|~{3,}|:{3,}).*?^(?P=f)[ \t]*$',      # fences
    r'(?P<b>`+).+?(?P=b)',                              # code
    r'\$\$.+?\$\$', r'(?<!\$)\$[^$\n]+\$',              # formulas
    r'!\[[^\]]*\]\([^)]*\)', r'(?<=\])\([^)]*\)',       # pictures and their alt texts; where links lead
    r'https?://\S+', r'<[^>\n]+>', r'arXiv:\d+\.\d+', r'\b10\.\d{4,}/\S+',
    r'^#+\s+\d+(?:\.\d+)*\.?\s',                        # the number of a heading
    r'\b(?:[Pp]ython|[Tt]orch|PyTorch|fastai|nbdev|CUDA|Apache|version)[ \-]v?\d+(?:\.\d+)+', r'\bv?\d+\.\d+\.\d+\b',
    r'(?:§|\b[Ss]ection |\b[Cc]hapter |\bch\. |\b[Ee]xercises? )\d+\.\d+']), re.M | re.S)


@dataclass(frozen=True)
class Figure:
    "A number as somebody wrote it."
    text: str
    value: float
    places: int   # digits after the point
    percent: bool = False

    def shares(self):
        "The figure itself; a percentage also as a share."
        yield self.value, self.places
        if self.percent: yield self.value/100, self.places + 2


def figures(text):
    "The decimal figures and percentages of a text."
    for m in NUMBER.finditer(text):
        n = m['n'].replace('−', '-').replace(',', '')
        yield Figure(m[0].strip(), float(n), len(n.partition('.')[2]), bool(m['pct']))


def prose(markdown):
    "Markdown without code, formulas, links, pictures and version numbers."
    return HIDDEN.sub(' ', markdown)


def backs(source, figure):
    "Is the figure this number, rounded to its own precision, and from no more than twice its digits? A sign may be left out, not invented."
    for value, places in figure.shares():
        for v, p in ((source.value, source.places), *([(source.value/100, source.places + 2)] if source.percent else [])):
            if figure.text[:1] not in '+-−': v = abs(v)
            if (p < places or p > 2*places) and v != value: continue
            if abs(v - value) <= .5*10**-places*(1 + 1e-9): return True
    return False


def literals(code):
    "The numbers with a point in code."
    return [Figure(t, float(t), len(t.partition('.')[2])) for t in re.findall(r'(?<![\w.])\d*\.\d+(?![\w.])', re.sub(r'#(?!\|).*', '', code))]


def printed(outputs):
    "The decimal figures that a cell's stored outputs show."
    text = []
    for o in outputs:
        data = o.get('data', {})
        text.append(o.get('text', ''))
        shown = next((data[k] for k in ('text/markdown', 'text/html', 'text/plain') if k in data), '')
        text.append(shown)
    text = [t for t in map(''.join, text) if 'fastprogress' not in t]  # an epoch's figures pass by; those that matter are said again
    return list(figures(re.sub(r'<style.*?</style>|<[^>]+>', ' ', '\n'.join(text), flags=re.S)))


def exact(source, figure):
    "Code backs a figure only if it is the same number."
    return any(abs(source.value - abs(v)) < 1e-12 for v, _ in figure.shares())


@cache
def cells(path):
    "A page's cells: kind, markdown or code, outputs."
    path = Path(path)
    if path.suffix == '.md': return [('markdown', path.read_text(encoding='utf-8'), [])]
    nb = json.loads(path.read_text(encoding='utf-8'))
    return [(c['cell_type'], ''.join(c['source']), c.get('outputs', [])) for c in nb['cells']]


@cache
def known(path):
    "What a notebook itself shows: the figures of its outputs, and those of its code."
    code = [c for c in cells(path) if c[0] == 'code']
    return [f for c in code for f in printed(c[2])], [f for c in code for f in literals(c[1])]


def _spread(xs):
    n = len(xs)
    mean = sum(xs)/n
    return [mean] + ([math.sqrt(sum((x-mean)**2 for x in xs)/(n-1))] if n > 1 else [])


GROUPS = dict(width='02_state', depth='04_multilayer', cells=('05_lstm', '06_gru'), normalization='07_normalization', norms='07_normalization',
              fines='08_regularization', beginnings='09_weight_tying')
EVERYWHERE = ('index', '31_ladder', '32_claims')

CROWD = 20 # an output of more figures than this backs only figures of three digits or more


@cache
def results():
    "(page, figure): means and standard deviations over the seeds as the tables show them, and the published figures."
    from lm_from_scratch.course import claims, copies, ladder
    found = []

    def add(page, *values, places=4): found.extend((page, Figure(f'{v:.{places}f}', float(f'{v:.{places}f}'), places)) for v in values)

    runs = ladder.load_results()
    for r in ladder.LADDER:
        if r.published is not None: add(r.chapter, r.published, places=3)
        mine = runs[runs.recipe == r.name]
        for column in ('accuracy', 'accuracy_8xxx', 'accuracy_9xxx'):
            if len(mine): add(r.chapter, *_spread(list(mine[column])))
    for c, row in claims.claims_table().iterrows():
        group = next(x.group for x in claims.CLAIMS if x.name == c)
        pages = GROUPS.get(group, ('08_regularization', '09_weight_tying'))
        for page in [pages] if isinstance(pages, str) else pages:
            add(page, *(row[k] for k in ('better', 'better_sd', 'worse', 'worse_sd', 'difference', 'low', 'high') if row[k] == row[k]))
    groups = {}
    for r in copies.copying_rows():
        for k in ('cold', 'cold_8xxx', 'cold_9xxx', 'warm'):
            if r.get(k) is not None: groups.setdefault((r['recipe'], r['test_time'], k), []).append(r[k])
    for xs in groups.values(): add('10_copying', *_spread(xs))
    if ladder.results_file('lstm_speed').is_file():
        for v in ladder.load_results('lstm_speed')['ratio'].dropna(): add('23_fast_lstm', v, places=3)
    return found


@cache
def settings():
    "(page, figure): what the recipes that a page compares are set to, and the level of the claims' intervals."
    from lm_from_scratch.course import claims, copies, experiments, ladder
    def numbers(x):
        if isinstance(x, dict): return [n for v in x.values() for n in numbers(v)]
        if isinstance(x, list): return [n for v in x for n in numbers(v)]
        return [x] if isinstance(x, float) else []
    groups = {n: {c.group for c in claims.CLAIMS if n in (c.better, c.worse)} for n in claims.CONTESTANTS}
    pages = [(r, [r.chapter]) for r in ladder.LADDER] + [(r, ['10_copying', '33_copies']) for r in copies.COPY_RECIPES.values()]
    for name, r in claims.CONTESTANTS.items():
        for g in groups[name]:
            where = GROUPS.get(g, ('08_regularization', '09_weight_tying'))
            pages.append((r, [where] if isinstance(where, str) else list(where)))
    found = [(page, Figure(f'{v:g}'.removeprefix('0'), v, 2)) for r, where in pages for v in numbers(experiments.settings_of(r)) for page in (*where, *EVERYWHERE)]
    return found + [(page, Figure('95 %', 95., 0, True)) for _, where in pages for page in (*where, *EVERYWHERE)]


@cache
def exercises(name):
    "The numbers of a chapter's exercises, which prose refers to."
    path = root/'nbs'/f"{name.removeprefix('solutions/')}.ipynb"
    text = '\n'.join(c[1] for c in cells(path) if c[0] == 'markdown') if path.is_file() else ''
    return set(re.findall(r'^### (\d+\.\d+) ', text, re.M))


def page_name(path):
    "'05_lstm', 'solutions/05_lstm', 'errata', …"
    path = Path(path)
    return f'solutions/{path.stem}' if path.parent.name == 'solutions' else path.stem


@cache
def register(path=listed):
    "The sources that were written down by hand."
    path = Path(path)
    return tuple(tomllib.loads(path.read_text(encoding='utf-8')).get('source', [])) if path.is_file() else ()


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}


def compute(text):
    "The value of a plain sum, such as '1/(1-.2)' or 'log(30)'."
    def go(n):
        match n:
            case ast.Constant(value=int() | float()): return n.value
            case ast.BinOp(): return OPERATORS[type(n.op)](go(n.left), go(n.right))
            case ast.UnaryOp(op=ast.USub()): return -go(n.operand)
            case ast.Call(func=ast.Name(id=f)) if f in ('log', 'exp', 'sqrt', 'tanh'): return getattr(math, f)(*map(go, n.args))
        raise ValueError(f"{text!r} is not a plain sum")
    return go(ast.parse(text, mode='eval').body)


def stands(entry, figure):
    "Does an entry of sources.toml hold? A sum is computed, a notebook and a published figure are looked up; a paper, and a setting that a sentence chooses, are believed."
    if 'sum' in entry:
        v = compute(entry['sum'])
        return any(abs(v - w) <= .5*10**-p*(1 + 1e-9) for w, p in figure.shares())
    if 'notebook' in entry:
        shown, code = known(root/'nbs'/f"{entry['notebook']}.ipynb")
        return any(backs(s, figure) for s in shown) or any(exact(s, figure) for s in code)
    if 'published' in entry:
        from lm_from_scratch.course.ladder import find_recipe
        return backs(Figure('', find_recipe(entry['published']).published, 3), figure)
    return bool(entry.get('paper') or entry.get('chosen'))


def section(path, k):
    "The cells between the headings around cell k."
    heads = [i for i, c in enumerate(cells(path)) if c[0] == 'markdown' and re.search(r'^##+ ', c[1], re.M)]
    start = max((i for i in heads if i <= k), default=0)
    return start, next((i for i in heads if i > max(k, start)), len(cells(path)))


def source_of(path, k, figure, entries=None):
    "Where a figure in cell k of a page comes from; None if from nowhere."
    name = page_name(path)
    for e in register() if entries is None else entries:
        if e['page'] == name and e['figure'] == figure.text: return 'listed' if stands(e, figure) else None
    start, end = section(path, k)
    page = cells(path)
    near, far = ([c for c in page[lo:hi] if c[0] == 'code'] for lo, hi in ((start, end), (0, len(page))))
    digits = max(p for _, p in figure.shares())
    same = backs if digits > 1 else exact            # one digit says little, so it has to be the very same number
    def shown(cells):                                # in a crowd there is always somebody who looks alike
        outputs = [printed(c[2]) for c in cells]
        return [s for out in outputs if len(out) <= CROWD or digits > 2 for s in out]
    if any(same(s, figure) for s in shown(near)): return 'output, section'
    if any(exact(s, figure) for c in near for s in literals(c[1])): return 'code, section'
    if digits > 1 and any(backs(s, figure) for s in shown(far)): return 'output, page'
    if figure.text in exercises(name): return 'exercise'
    if any(exact(s, figure) for p, s in settings() if p == name.removeprefix('solutions/')): return 'settings'
    if digits > 2 and any(backs(s, figure) for p, s in results() if p == name or name in EVERYWHERE): return 'results'
    return None


def prose_figures(path):
    "(cell, figure) of all prose of a page."
    return [(k, f) for k, (kind, text, _) in enumerate(cells(path)) if kind == 'markdown' for f in figures(prose(text))]


def unsourced(path):
    "A line for each figure of a page that comes from nowhere, and for each listed source whose figure is gone."
    found = prose_figures(path)
    name = page_name(path)
    bad = [f'{name}, cell {k}: figure {f.text} has no source' for k, f in found if source_of(path, k, f) is None]
    texts = {f.text for _, f in found}
    return bad + [f"{name}: sources.toml lists {e['figure']}, which is not on the page" for e in register() if e['page'] == name and e['figure'] not in texts]


RECORDED = 'bad_input', 'session' # appendices that a program has written, figures and all; a test holds each against what was recorded


def pages():
    "All that is read: chapters, rooms, solutions, appendices."
    return [*sorted((root/'nbs').glob('*.ipynb')), *sorted((root/'nbs/solutions').glob('*.ipynb')), *(p for p in sorted((root/'docs/appendix').glob('*.md')) if p.stem not in RECORDED)]


TABLES = 'ladder_table', 'show_claim', 'claims_table', 'contestants_table', 'copying_table', 'adapted_table', 'load_results', 'contents', 'text_table', 'gains_table', 'text_ratio', 'after_table', 'counted_table', 'chars_table', 'after_verdicts'


def drawn_from_results(code):
    "Does a cell show what the results files say, and nothing that had to be run?"
    return any(re.search(rf'\b{t}\(', code) for t in TABLES) and not re.search(r'^(#\| exports?$|def |class |@|with )|tempfile', code, re.M)


def says(value):
    "What Jupyter would show of a value, without its form."
    text = getattr(value, 'data', None)
    if not isinstance(text, str): text = value._repr_html_() if hasattr(value, '_repr_html_') else repr(value)
    return _bare(text)


def _bare(text): return ' '.join(re.sub(r'<style.*?</style>|<[^>]+>', ' ', text, flags=re.S).split())


def stale(path):
    "A line for each stored table that the results files, read now, would not give."
    if Path(path).suffix == '.md': return []
    todo = [(k, text, out) for k, (kind, text, outs) in enumerate(cells(path)) if kind == 'code' and drawn_from_results(text)
            for out in outs if {'text/html', 'text/markdown', 'text/plain'} & out.get('data', {}).keys()]
    bad = []
    for k, code, out in todo:
        shown = next(out['data'][kind] for kind in ('text/markdown', 'text/html', 'text/plain') if kind in out['data'])
        *body, last = ast.parse(code).body
        names = _names()
        here = os.getcwd()
        os.chdir(path.parent)                                          # where Jupyter runs it
        try:
            exec(compile(ast.Module(body, []), path.name, 'exec'), names)
            value = eval(compile(ast.Expression(last.value), path.name, 'eval'), names)
        except NameError: continue                                     # it needs more of its page; `make course` runs that
        finally: os.chdir(here)
        if says(value) != _bare(''.join(shown)): bad.append(f'{page_name(path)}, cell {k}: the table is not what the results files say now: make course STORE=1')
    return bad


def _names():
    import pandas as pd
    from IPython.display import Markdown
    from lm_from_scratch import all as everything
    from lm_from_scratch.course import afters, copies, notebooks, texts
    theirs = {n: getattr(m, n) for m in (texts, afters) for n in m.__all__}
    return {**vars(everything), **vars(notebooks), **theirs, 'pd': pd, 'Markdown': Markdown, 'copies': copies, 'texts': texts, 'afters': afters}


def main():
    "Print what has no source or is stale; 1 if there is any."
    bad = [line for p in pages() for line in unsourced(p) + stale(p)]
    unknown = {e['page'] for e in register()} - {page_name(p) for p in pages()}
    bad += [f'sources.toml names a page {p!r}, which does not exist' for p in sorted(unknown)]
    print('\n'.join(bad) or f'{sum(len(prose_figures(p)) for p in pages())} figures in prose, each with a source')
    return int(bool(bad))


if __name__ == '__main__':
    sys.exit(main())
