"The wheel: built, put where the repository cannot be seen, and used, with the network cut."
import subprocess
import sys
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


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp('dist')
    src = out/'src'
    subprocess.run(['git', 'clone', '-q', str(ROOT), str(src)], check=True)
    got = subprocess.run([sys.executable, '-m', 'build', '-q', '--wheel', '--no-isolation', '-o', str(out), str(src)], capture_output=True, text=True)
    assert not got.returncode, got.stdout + got.stderr
    return next(out.glob('*.whl'))


def test_wheel_has_what_it_needs(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert 'lm_from_scratch/all.py' in names and 'lm_from_scratch/course/results/ladder.jsonl' in names
    assert not [n for n in names if n.startswith(('tests', 'nbs', 'docs'))]
    meta = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith('METADATA'))).decode()
    for line in ('Requires-Python: >=3.10', 'Requires-Dist: fastai>=', 'License-Expression: Apache-2.0', 'Project-URL: Repository', 'Development Status'):
        assert line in meta, line
    entry = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith('entry_points.txt'))).decode()
    assert 'lm-from-scratch = lm_from_scratch.cli:main' in entry


def test_trains_outside_the_repository(wheel, tmp_path):
    "Into a folder of its own; the libraries it needs are those of this environment, so that nothing is fetched."
    site = tmp_path/'site'
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', str(site), str(wheel)], check=True)
    got = subprocess.run([sys.executable, '-c', f'import sys; sys.path.insert(0, {str(site)!r})\n' + PROGRAM], capture_output=True, text=True, cwd=tmp_path)
    assert not got.returncode, got.stderr
    accuracy,rows = got.stdout.split()
    assert float(accuracy) > .2 and int(rows) > 0
