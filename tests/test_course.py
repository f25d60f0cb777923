"Running the course: only what changed is run again, failures are told, stored outputs are normal."
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from lm_from_scratch.cli import app
from lm_from_scratch.course import *
from lm_from_scratch.errors import LMError


@pytest.fixture
def nbs(tmp_path):
    folder = tmp_path/'nbs'
    folder.mkdir()
    for name,code in dict(a='print(1)', b='from lm_from_scratch.errors import *').items():
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), folder/f'{name}.ipynb')
    return folder


def ran(nbs, **kwargs): return sorted(r.path.stem for r in run_course(nbs, say=lambda s: None, **kwargs))


def test_only_what_changed(nbs, monkeypatch):
    assert ran(nbs) == ['a', 'b'] and ran(nbs) == [] and ran(nbs, force=True) == ['a', 'b']
    nb = nbformat.read(nbs/'a.ipynb', 4)
    nb.cells[0].source = 'print(2)'
    nbformat.write(nb, nbs/'a.ipynb')
    assert ran(nbs) == ['a']
    nb = nbformat.read(nbs/'a.ipynb', 4)
    assert nb.cells[0].outputs[0].text == '2\n'
    nb.cells[0].outputs = []                                                # outputs taken away
    nbformat.write(nb, nbs/'a.ipynb')
    assert ran(nbs) == ['a'] and ran(nbs) == []


def test_a_module_changed():
    nb = new_notebook(cells=[new_code_cell('from lm_from_scratch.state import *')])
    assert {'state', 'nword'} <= sources_of(nb.cells[0].source).keys()      # through another one
    assert fingerprint(nb) == fingerprint(nb) != fingerprint(nb, 'other')


def test_failure_is_told_and_not_stored(nbs):
    nbformat.write(new_notebook(cells=[new_code_cell('1/0')]), nbs/'c.ipynb')
    said = []
    runs = run_course(nbs, say=said.append)
    assert [bool(r.error) for r in sorted(runs, key=lambda r: r.path)] == [False, False, True]
    assert any('FAILED' in s for s in said) and any('ZeroDivisionError' in s for s in said)
    assert nbformat.read(nbs/'c.ipynb', 4).cells[0].outputs == []
    assert CliRunner().invoke(app, ['course', str(nbs)]).exit_code == 1


def test_no_notebooks(tmp_path):
    with pytest.raises(LMError, match='no notebook in'): run_course(tmp_path)
