"The house stands as it says: floors, the map of them, and lines that fit the page."
import re
import shutil
import subprocess
import sys
from functools import cache

import pytest
import rooms
from conftest import ROOT, notebook

PACKAGE = ROOT/rooms.PACKAGE
NOTEBOOKS = sorted((ROOT/'nbs').glob('*.ipynb')) + sorted((ROOT/'nbs/solutions').glob('*.ipynb'))


# ---- floors

@cache
def breaches(): return rooms.breaches(PACKAGE)


def test_no_import_against_the_floors():
    assert not breaches()


@pytest.fixture
def house(tmp_path):
    "A copy of the package, to be damaged."
    return shutil.copytree(PACKAGE, tmp_path/rooms.PACKAGE, ignore=shutil.ignore_patterns('results', '__pycache__'))


@pytest.mark.parametrize('module, line, said', [
    ('data', 'from lm_from_scratch.course.ladder import *', 'data imports course.ladder: the library does not know the course'),
    ('data', 'from .course import ladder', 'data imports course.ladder: the library does not know the course'),
    ('data', 'import lm_from_scratch.check', 'data imports check: the library does not know the check'),
    ('training', 'def f():\n    from .course.copies import COPY_RECIPES', 'training imports course.copies: the library'),
    ('training', 'def f():\n    from . import check', 'training imports check: the library'),
    ('state', "import importlib\nm = importlib.import_module('lm_from_scratch.course.claims')", 'state imports course.claims: the library'),
    ('state', "from importlib import import_module\ndef f(): return import_module('.claims', 'lm_from_scratch.course')", 'state imports course.claims: the library'),
    ('state', "from importlib import import_module\ndef f(): return import_module('.course.claims', __package__)", 'state imports by a name made at run time'),
    ('state', "m = __import__('lm_from_scratch.all')", 'state imports all: the library does not know the faces'),
    ('gru', "from importlib import import_module\ndef f(name): return import_module(f'lm_from_scratch.{name}')", 'gru imports by a name made at run time'),
    ('errors', 'from .data import *', 'errors imports data, which is not below it'),
    ('multilayer', 'def f():\n    from .training import compare', 'multilayer imports training, which is not below it'),
    ('lstm', 'from .gru import *', 'lstm imports gru, which is not below it'),
    ('course/drawing', 'from .figures import FIGURES', 'course.drawing imports course.figures, which is not below it'),
    ('course/experiments', 'from .ladder import LADDER', 'course.experiments imports course.ladder, which is not below it'),
    ('course/figures', 'from .notebooks import repository', 'course.figures imports course.notebooks, which stands apart'),
    ('course/claims', 'from ..check.core import require', 'course.claims imports check.core: the course does not know the check'),
    ('check/core', 'from ..course.ladder import share', 'check.core imports course.ladder: the check does not know the course'),
    ('nowhere', 'from .data import *', 'nowhere stands on no floor'),
])
def test_the_contract_notices(house, module, line, said):
    with open(house/f'{module}.py', 'a', encoding='utf-8') as f: f.write(f'\n{line}\n')
    new = set(rooms.breaches(house)) - set(breaches())
    assert any(s.startswith(said) for s in new), new


def test_a_missing_module_is_noticed(house):
    (house/'gru.py').unlink()
    assert 'gru is on a floor, but there is no such module' in rooms.breaches(house)


def test_the_library_loads_nothing_of_the_wings():
    "What the reader of sources finds is what Python does."
    library = [m for m in rooms.names() if rooms.place(m)[0] == 'library']
    code = f"import sys\nfor m in {library}: __import__('{rooms.PACKAGE}.' + m)\nprint(*(m for m in sys.modules if m.startswith('{rooms.PACKAGE}.')))"
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {n.removeprefix(f'{rooms.PACKAGE}.') for n in out.split()} == set(library)


# ---- the map

def test_the_map_is_what_the_imports_say():
    text = (ROOT/'CONTRIBUTING.md').read_text(encoding='utf-8')
    assert rooms.with_map(text) == text, "the map is stale: make readme"
    for m in rooms.names(): assert f'`{m}`' in text or m.startswith('check.'), m
    for file in re.findall(r'\]\(((?:nbs|lm_from_scratch)/[^)]+)\)', text): assert (ROOT/file).exists(), file


def test_an_arrow_is_left_out_where_another_leads_there():
    graph = dict(data={'errors'}, state={'data', 'errors'}, errors=set(), nword={'', 'state'})
    assert rooms.rests_on('state', graph) == ['data'] and rooms.rests_on('nword', graph) == ['state'] and rooms.rests_on('errors', graph) == []


# ---- lines that fit

WIDTH = 88  # columns that the site shows at 1280 pixels, and a laptop's Jupyter little more
LONGEST = 25  # lines of code in a cell that readers see
LONG_CELLS = {'set-settings': "all that can be set stands in one list"} # a cell's id → why it is longer


def code_of(cell):
    "The lines of a cell that readers see: those of a hidden cell are none, directives do not count."
    lines = cell.source.splitlines() if cell.cell_type == 'code' else []
    if any(re.match(r'#\|\s*hide\s*$', s) for s in lines): return []
    return [s for s in lines if not s.startswith('#|')]


def printed(cell):
    "The lines of text that a cell has stored, where readers see text."
    for o in cell.get('outputs', []):
        data = o.get('data', {})
        if not {'text/html', 'image/png', 'image/svg+xml', 'text/markdown', 'text/latex'} & data.keys():
            yield from (o.get('text') or data.get('text/plain', '')).splitlines()


def name(path): return path.relative_to(ROOT/'nbs').with_suffix('').as_posix()


@pytest.mark.parametrize('path', NOTEBOOKS, ids=name)
class TestLines:
    def test_code_fits(self, path):
        assert not [f'{c.id}: {s}' for c in notebook(path).cells for s in code_of(c) if len(s) > WIDTH]

    def test_printed_text_fits(self, path):
        assert not [f'{c.id}: {s}' for c in notebook(path).cells for s in printed(c) if len(s) > WIDTH]

    def test_no_cell_is_long(self, path):
        counted = {c.id: len([s for s in code_of(c) if s.strip() and not s.lstrip().startswith('#')]) for c in notebook(path).cells}
        assert not {i: n for i, n in counted.items() if n > LONGEST and i not in LONG_CELLS}


def test_no_exception_without_need():
    counted = {c.id: len(code_of(c)) for p in NOTEBOOKS for c in notebook(p).cells}
    assert not [i for i in LONG_CELLS if counted.get(i, 0) <= LONGEST]
