"Every notebook runs from top to bottom in a kernel of its own, and what it stores came from such a run."
import ast
import re

import nbformat
import pytest
from conftest import ROOT

from lm_from_scratch.course import find_notebooks, normalise, run_notebook

paths = find_notebooks(ROOT/'nbs')


def name(path): return path.relative_to(ROOT/'nbs').with_suffix('').as_posix()


@pytest.mark.parametrize('path', paths, ids=name)
def test_runs(path):
    run = run_notebook(path)
    assert not run.error, run.error
    for cell in run.nb.cells:
        for o in cell.get('outputs', []): assert o.get('name') != 'stderr', f"{cell.source[:60]!r} writes to stderr: {o.text[:200]}"
    stored = nbformat.read(path, 4)
    shows = lambda nb: [bool(c.outputs) for c in nb.cells if c.cell_type == 'code']
    assert shows(stored) == shows(run.nb), "stored outputs are missing or left over: make course"
    assert run.seconds < 600


@pytest.mark.parametrize('path', paths, ids=name)
class TestForm:
    def test_clean(self, path):
        nb = nbformat.read(path, 4)
        before = nbformat.writes(nb)
        assert nbformat.writes(normalise(nb)) == before, "not clean: make export, make course"

    def test_title(self, path): assert re.match(r'# .+\n+> .+', nbformat.read(path, 4).cells[0].source)

    def test_no_error_stored(self, path):
        assert not [o for c in nbformat.read(path, 4).cells for o in c.get('outputs', []) if o.output_type == 'error']

    def test_imports_stand_alone(self, path):
        "The documentation step runs any cell with an import, so nothing else may stand in it."
        for c in nbformat.read(path, 4).cells:
            if c.cell_type != 'code' or re.match(r'^%|#\| eval: false', c.source): continue
            body = ast.parse(re.sub(r'^%.*$', '', c.source, flags=re.M)).body
            kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in body}
            if '#| eval: false' not in c.source: assert len(kinds) < 2 or not c.source.lstrip().startswith('#| export'), c.source

    def test_pictures_have_alt_text_and_exist(self, path):
        for c in nbformat.read(path, 4).cells:
            if c.cell_type == 'markdown':
                for alt,file in re.findall(r'!\[(.*?)\]\((.*?)\)', c.source, re.S):
                    assert len(alt) > 20 and (path.parent/file).is_file(), file
            elif any('image/png' in o.get('data', {}) for o in c.outputs): assert '#| fig-alt:' in c.source, c.source[:80]
