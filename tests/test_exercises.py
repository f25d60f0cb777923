"Exercises: enough of them and of every kind, each with a stub, a checker and a solution that passes it; questions with answers."
import re

import nbformat
import pytest
from conftest import ROOT
from exercises import HEADING, KINDS, chapters, exercises, questions, solutions

from lm_from_scratch import check

PATHS = chapters()


def module(path): return f"lm_from_scratch.check.{path.stem[3:]}"


@pytest.mark.parametrize('path', PATHS, ids=lambda p: p.stem)
class TestChapter:
    def test_enough_of_every_kind(self, path):
        found = exercises(path)
        assert [e.number for e in found] == [f'{int(path.stem[:2])}.{k+1}' for k in range(len(found))] and len(found) >= 5
        assert {'look', 'spot the bug', 'build'} <= {e.kind for e in found} <= set(KINDS)

    def test_each_has_a_stub_and_a_checker(self, path):
        for e in exercises(path):
            assert len(e.checkers) == 1 and e.checkers[0] in check.CHECKERS, (e.number, e.checkers)
            stub = e.code[-1]
            assert re.search(r'= \.\.\.(\s|$)', stub.source) and f'check.{e.checkers[0]}(' in stub.source, e.number
            assert any('not answered yet' in o.get('text', '') for o in stub.outputs), f"{e.number}: make course"

    def test_each_has_a_solution_that_passes(self, path):
        found = solutions(path)
        for e in exercises(path):
            s = found[e.number]
            assert s.title == e.title and e.checkers[0] in s.checkers, e.number
            assert f'passed: {e.checkers[0]}\n' in ''.join(o.get('text', '') for c in s.code for o in c.outputs), f"{e.number}: make course"
            assert any(c.cell_type == 'markdown' and len(HEADING.sub('', c.source).split()) > 15 for c in s.cells), f"{e.number}: why is it so?"
        assert found.keys() == {e.number for e in exercises(path)}

    def test_no_checker_lies_about(self, path):
        used = {e.checkers[0] for e in exercises(path)}
        mine = {n for n in check.CHECKERS if getattr(check, n).__module__ == module(path)}
        assert mine <= used, mine - used

    def test_questions(self, path):
        found = questions(path)
        assert len(found) >= 6 and all(q.endswith('?') and len(a.split()) >= 5 for q, a in found)


def test_an_exercise_is_asked_once():
    names = [e.checkers[0] for p in PATHS for e in exercises(p)]
    assert len(names) == len(set(names))


def test_no_checker_hides_a_module():
    modules = {p.stem for p in (ROOT/'lm_from_scratch/check').glob('*.py')}
    assert not modules & check.CHECKERS.keys()


def test_sections_end_where_the_next_begins():
    from exercises import numbered
    cells = ['## Exercises', '### 9.1 One *(look)*', 'text', '### 9.2 Two *(build)*', '## Questions', 'more']
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(c) for c in cells])
    assert [(e.number, e.title, e.kind, len(e.cells)) for e in numbered(nb)] == [('9.1', 'One', 'look', 2), ('9.2', 'Two', 'build', 1)]
