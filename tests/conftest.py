"What every test relies on: one thread, the repository's root, no notebook folder in the way."
import os
import sys
from functools import cache
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import nbformat  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# CI tries the same examples every time; at home each run looks for new ones.
settings.register_profile('ci', derandomize=True)
if os.environ.get('CI'): settings.load_profile('ci')

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT/'docs'), str(ROOT/'tests')]


from browser import axe, browser  # noqa: E402,F401


@pytest.fixture
def root(): return ROOT


@cache
def notebook(path):
    "A notebook of this repository, read and validated once for all that look at it; whoever changes it reads one of his own."
    return nbformat.read(path, 4)


unix = pytest.mark.skipif(not hasattr(os, 'killpg'), reason="NOT TESTED: what needs the signals and processes of Unix")


def corpora(file):
    "A file of Penn Treebank, WikiText-2 or Shakespeare, which are no part of this repository: below $LMFS_DATA, or in ../shared/data."
    path = Path(os.environ.get('LMFS_DATA', ROOT.parent/'shared/data'))/file
    if not path.exists(): pytest.skip(f"NOT TESTED: {file} (set LMFS_DATA to a folder that has it)")
    return path
