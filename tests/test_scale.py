"One training in several processes: the same training, or one sentence why not."
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import scale_jobs
import torch

from lm_from_scratch.data import human_numbers, lm_dataloaders
from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.scale import ParallelModel, ProcessLost, RankDL, World, evaluate_together, hash_of, in_processes, join, own_rows
from lm_from_scratch.training import lm_learner

ROOT = Path(__file__).parent.parent
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: there is no CUDA device"))]


# ---- the proof: two and three processes are one

@pytest.fixture(scope='module', params=DEVICES)
def one(request): return scale_jobs.cases(World(), request.param)


@pytest.fixture(scope='module', params=[2, 3])
def many(request, one):
    device = next(iter(one.values()))['device']
    return in_processes(scale_jobs.cases, request.param, device)


def test_every_step_is_the_same(one, many):
    "Losses, gradients, parameters, perplexity; for every number of batches, and in every process."
    assert one.keys() == scale_jobs.CASES.keys()
    for found in many:
        for name, a in one.items():
            b = found[name]
            assert len(a['losses']) == len(b['losses']) > 5, name
            assert max(abs(p-q) for p, q in zip(a['losses'], b['losses'])) < 1e-6, name
            assert max(float((p-q).abs().max()) for p, q in zip(a['grads'], b['grads'])) < 1e-6, name
            assert float((a['params']-b['params']).abs().max()) < 1e-6 and abs(a['perplexity']-b['perplexity']) < 1e-6, name


def test_the_comparison_can_fail(one):
    "Other rows, other origins: the difference is a thousand times what is allowed."
    a, b = one['ragged-whole'], one['ragged-all']
    assert max(abs(p-q) for p, q in zip(a['losses'], b['losses'])) > 1e-3


@pytest.mark.parametrize('name, widths', [('even-whole', [5]*6), ('even-all', [5]*6), ('odd-whole', [5]*5), ('odd-all', [5]*5), ('ragged-whole', [5]*5), ('ragged-all', [5]*5 + [3]),
                                          ('one-whole', [5]*6), ('one-all', [5]*6 + [1])])
def test_each_case_has_the_batches_that_it_is_for(name, widths):
    case = scale_jobs.CASES[name]
    dls = lm_dataloaders(scale_jobs.text(case['n']), scale_jobs.BS, 5, drop_last=case['drop_last'])
    assert [x.shape[1] for x, _ in dls.train] == widths
