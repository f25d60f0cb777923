"The wheel: built, put where the repository cannot be seen, and used, with the network cut. The source archive: it has what it takes to build that wheel."
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import ROOT

PROGRAM = '''
import socket
def no_network(*args, **kwargs): raise OSError("the network was touched")
socket.socket.connect = socket.create_connection = no_network
import lm_from_scratch; assert "site" in lm_from_scratch.__file__, lm_from_scratch.__file__
from lm_from_scratch.all import *
corpus = human_numbers()
dls    = lm_dataloaders(corpus, bs=64, seq_len=16)
learn  = lm_learner(dls, EveryWordRNN(len(dls.vocab), n_hidden=64))
with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 3e-3)
print(float(learn.recorder.values[-1][-1]), len(load_results()))
'''


def built(kind, src, out):
    got = subprocess.run([sys.executable, '-m', 'build', '-q', f'--{kind}', '--no-isolation', '-o', str(out), str(src)], capture_output=True, text=True)
    assert not got.returncode, got.stdout + got.stderr
    return next(out.iterdir())


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    "What git knows, and nothing that lies about."
    src = tmp_path_factory.mktemp('clone')/'src'
    subprocess.run(['git', 'clone', '-q', str(ROOT), str(src)], check=True)
    return src


@pytest.fixture(scope='module')
def wheel(clone, tmp_path_factory): return built('wheel', clone, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def unpacked(clone, tmp_path_factory):
    "The source archive, unpacked."
    folder = tmp_path_factory.mktemp('sdist')
    archive = built('sdist', clone, folder)
    with tarfile.open(archive) as f: f.extractall(folder, filter='data')
    return next(p for p in folder.iterdir() if p.is_dir())


def test_source_archive(unpacked, clone):
    "Everything that the package is made of, nothing else, each file as git has it."
    found = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob('*') if p.is_file() and '.egg-info' not in str(p)}
    package = {p.relative_to(clone).as_posix() for p in (clone/'lm_from_scratch').rglob('*') if p.is_file()}
    package |= {p.relative_to(clone).as_posix() for f in ('nbs', 'images') for p in (clone/f).rglob('*') if p.suffix in ('.ipynb', '.svg', '.gif', '.png')}
    beside = {'LICENSE', 'README.md', 'CHANGELOG.md', 'CITATION.cff', 'MANIFEST.in', 'constraints.txt', 'pyproject.toml', 'settings.ini', 'setup.py'}
    assert 'lm_from_scratch/course/results/ladder.jsonl' in package and found == package | beside | {'PKG-INFO', 'setup.cfg'}
    assert not [name for name in package | beside if (unpacked/name).read_bytes() != (clone/name).read_bytes()]


def test_the_archive_builds_the_same_wheel(unpacked, wheel, tmp_path):
    here, there = (zipfile.ZipFile(w) for w in (wheel, built('wheel', unpacked, tmp_path)))
    assert sorted(here.namelist()) == sorted(there.namelist())
    assert not [n for n in here.namelist() if here.read(n) != there.read(n)]


def test_wheel_has_what_it_needs(wheel, clone):
    names = zipfile.ZipFile(wheel).namelist()
    assert 'lm_from_scratch/all.py' in names and 'lm_from_scratch/course/results/ladder.jsonl' in names
    assert not [n for n in names if n.startswith(('tests', 'nbs', 'docs', 'images'))]
    assert {'lm_from_scratch/models/human-numbers/model.safetensors', 'lm_from_scratch/models/manual/tokens/valid.tokens', 'lm_from_scratch/playground/playground.js'} <= set(names)
    nbs = {p.relative_to(clone/'nbs').as_posix() for p in (clone/'nbs').rglob('*.ipynb')} - {'index.ipynb'}
    found = {n.removeprefix('lm_from_scratch/notebooks/') for n in names if n.startswith('lm_from_scratch/notebooks/')}
    assert {n for n in found if n.endswith('.ipynb')} == nbs and 'images/batches_marching.gif' in found
    meta = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith('METADATA'))).decode()
    for line in ('Requires-Python: >=3.10', 'Requires-Dist: fastai>=', 'License-Expression: Apache-2.0', 'Project-URL: Repository', 'Provides-Extra: course', 'Development Status'):
        assert line in meta, line
    entry = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith('entry_points.txt'))).decode()
    assert 'lm-from-scratch = lm_from_scratch.__main__:main' in entry


def test_trains_outside_the_repository(wheel, tmp_path):
    "Into a folder of its own; the libraries it needs are those of this environment, so that nothing is fetched."
    site = tmp_path/'site'
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', str(site), str(wheel)], check=True)
    got = subprocess.run([sys.executable, '-c', f'import sys; sys.path.insert(0, {str(site)!r})\n' + PROGRAM], capture_output=True, text=True, cwd=tmp_path)
    assert not got.returncode, got.stderr
    accuracy,rows = got.stdout.split()
    assert float(accuracy) > .2 and int(rows) > 0
    def shell(*args): return subprocess.run([sys.executable, '-m', 'lm_from_scratch', *args], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(site)})
    got = shell('generate', 'human-numbers', 'one . two .', '--words', '6', '--temperature', '0')
    assert got.stdout == 'one . two . three . four . five .\n', got.stderr
    assert shell('notebooks', 'course').returncode == 0 and (tmp_path/'course/solutions/05_lstm.ipynb').is_file() and (tmp_path/'course/images/stream_rows.svg').is_file()
