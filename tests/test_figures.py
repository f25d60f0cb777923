"The pictures in images/ are what the code draws now; the ladder's picture says what the results say."
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import pytest
from conftest import ROOT

from lm_from_scratch.course import figures
from lm_from_scratch.copying import oracle_guesses, rows_of
from lm_from_scratch.course.copies import COPY_RECIPES, copying_rows, copying_table
from lm_from_scratch.data import human_numbers, lm_dataloaders
from lm_from_scratch.course.figures import DRAWINGS, FIGURES, PALETTES, contrast, paint
from lm_from_scratch.course.ladder import LADDER, ladder_table, load_results, save_results
from lm_from_scratch.nword import best_accuracy_given

NUMBER = re.compile(r'-?\d+\.?\d*(?:e-?\d+)?')
NAME = re.compile(r'(?<=[#"])[a-z]+[0-9a-f]{10}(?=["),])')  # matplotlib's names for shapes are hashes of their numbers


def drawn(name, dark, path):
    f = DRAWINGS[name]
    paint(f, f.size, dark, 1 if f.frames > 1 else None).svg(path, caption=FIGURES[name]['caption'], alt=FIGURES[name]['alt'])
    return path.read_text(encoding='utf-8')


def differ(a, b):
    "Do two SVGs differ by more than the last digits, which another machine's arithmetic may change?"
    a, b = (NAME.sub('name', s) for s in (a, b))
    if NUMBER.sub('0', a) != NUMBER.sub('0', b): return True
    return any(abs(float(x)-float(y)) > .01 for x, y in zip(NUMBER.findall(a), NUMBER.findall(b)) if x != y)


def stored(name, dark=False): return (ROOT/'images'/f"{name}{'-dark'*dark}.svg").read_text(encoding='utf-8')


@pytest.mark.parametrize('name', DRAWINGS)
def test_images_are_what_the_code_draws(name, tmp_path):
    pinned = re.search(r'^matplotlib==([\d.]+)', (ROOT/'constraints.txt').read_text(), re.M).group(1)
    if matplotlib.__version__ != pinned: pytest.skip(f"NOT TESTED: images/{name}*.svg were drawn by matplotlib {pinned}")
    for dark in (False, True): assert not differ(stored(name, dark), drawn(name, dark, tmp_path/'a.svg')), "make images"


def test_every_image_is_drawn():
    files = {f'{n}{d}.{e}' for n, f in DRAWINGS.items() for d in ('', '-dark') for e in ('svg', 'gif')[:1+(f.frames > 1)]}
    assert {f.name for f in (ROOT/'images').iterdir()} == files and set(FIGURES) == set(DRAWINGS)


def test_differ(): # the comparison itself
    a = stored('ladder')
    assert not differ(a, a) and differ(a, stored('ladder', True))
    v = next(x for x in NUMBER.findall(a[a.index('<path'):]) if '.' in x)
    assert differ(a, a.replace(v, str(float(v)+1), 1)) and not differ(a, a.replace(v, str(float(v)+.001), 1))
    assert differ(a, a.replace('.876', '.976'))


def said(): return FIGURES['ladder']['alt']


def means(): return [m.split(' ')[0] for m in ladder_table(load_results()).ours]


def test_ladder_says_the_stored_results():
    table = ladder_table(load_results())
    for r, ours in zip(LADDER, means()): assert f'{r.title}, {ours}' in said()
    for r in LADDER: assert r.published is None or f'(published .{r.published*1000:.0f})' in said()
    last = 'borrow'
    top = float(copying_table([r for r in copying_rows() if r['recipe'] == last]).cold[0].split(' ')[0])
    assert f', .{top*1000:.0f}. Three' in said() and len(table) == len(LADDER)


def test_ladder_says_the_ceilings():
    corpus = human_numbers()
    valid, (x, y) = corpus.split()[1], rows_of(lm_dataloaders(corpus).valid)
    best = float((oracle_guesses(x, corpus.ids) == y).float().mean())
    for v in (best_accuracy_given(valid, 0), best_accuracy_given(valid, 3), best): assert f', .{v*1000:.0f}' in said()


@pytest.mark.parametrize('dark', (False, True))
def test_ladder_shows_every_rung(dark):
    svg = stored('ladder', dark)
    shown = re.findall(r'<!-- (.+?) -->', svg)                             # letters are outlines; their text stands beside them
    for r, ours in zip(LADDER, means()): assert r.title in shown and ours in shown
    for r in LADDER: assert r.published is None or f'.{r.published*1000:.0f}' in shown
    desc = ElementTree.fromstring(svg).find('.//{http://purl.org/dc/elements/1.1/}description').text
    assert desc == said(), "make images"


def test_ladder_follows_the_results(monkeypatch, tmp_path):
    "Other results, another picture and other words."
    rows = load_results().assign(accuracy=lambda t: t.accuracy - .011)
    save_results(rows.to_dict('records'), tmp_path/'ladder.jsonl')
    was, before = said(), drawn('ladder', False, tmp_path/'a.svg')
    monkeypatch.setattr('lm_from_scratch.course.ladder.load_results', lambda: load_results(tmp_path/'ladder.jsonl'))
    for m in ladder_table(rows).ours: assert m.split(' ')[0] in said() and m.split(' ')[0] not in was
    assert drawn('ladder', False, tmp_path/'b.svg') != before


def test_ladder_dots_are_the_seeds():
    f = DRAWINGS['ladder']
    c = paint(f, f.size)
    xs = [p.center[0] for p in c.ax.patches if hasattr(p, 'center')]
    for v in load_results().accuracy: assert any(abs(x-figures._x(v)) < 1e-6 for x in xs), v
    assert len(xs) == len(load_results()) + sum(r['recipe'] == 'borrow' and not r['test_time'] for r in copying_rows()) + 1 # and the key


@pytest.mark.parametrize('dark', (False, True))
def test_ladder_contrast(dark):
    f, pal = DRAWINGS['ladder'], PALETTES['dark' if dark else 'light']
    c = paint(f, f.size, dark)
    colours = {matplotlib.colors.to_hex(t.get_color()) for t in c.ax.texts}
    assert colours <= {pal['ink'], pal['muted'], pal['bg']}
    for role in ('ink', 'muted'): assert contrast(pal[role], pal['bg']) >= 4.5
    assert contrast(pal['ink'], c.tint('h_o', .2)) >= 4.5 and contrast(pal['bg'], pal['h_o']) >= 4.5


def test_the_readme_shows_the_ladder_first():
    first = re.search(r'!\[[^\]]{80,}\]\((\S+)\)', (ROOT/'README.md').read_text(encoding='utf-8'))
    assert first.group(1).endswith('/images/ladder.svg')


def test_figures_load_no_model():
    "Drawing boxes takes no PyTorch."
    subprocess.run([sys.executable, '-c', "import sys, lm_from_scratch.course.figures; assert 'torch' not in sys.modules"], check=True, cwd=ROOT)
