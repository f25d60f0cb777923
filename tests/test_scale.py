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
from lm_from_scratch.runs import read_tensors, resume_run
from lm_from_scratch.scale import ParallelModel, World, in_processes, join
from lm_from_scratch.training import lm_learner

ROOT = Path(__file__).parent.parent
DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT TESTED: there is no CUDA device"))]


# ---- the proof: two and three processes are one

@pytest.fixture(scope='module', params=DEVICES)
def device(request): return request.param


@pytest.fixture(scope='module')
def one(device, tmp_path_factory): return scale_jobs.jobs(World(), device, tmp_path_factory.mktemp('one'))


@pytest.fixture(scope='module', params=[2, 3])
def many(request, device, tmp_path_factory):
    "What each process has found, and the folder that they wrote to."
    folder = tmp_path_factory.mktemp('many')
    return in_processes(scale_jobs.jobs, request.param, device, folder), folder


def test_every_step_is_the_same(one, many):
    "Losses, gradients, parameters, perplexity; for every number of batches, and in every process."
    assert one['cases'].keys() == scale_jobs.CASES.keys()
    for found in many[0]:
        for name, a in one['cases'].items():
            b = found['cases'][name]
            assert len(a['losses']) == len(b['losses']) > 5, name
            assert max(abs(p-q) for p, q in zip(a['losses'], b['losses'])) < 1e-6, name
            assert max(float((p-q).abs().max()) for p, q in zip(a['grads'], b['grads'])) < 1e-6, name
            assert float((a['params']-b['params']).abs().max()) < 1e-6 and abs(a['perplexity']-b['perplexity']) < 1e-6, name


def test_the_comparison_can_fail(one):
    "Other rows, other origins: the difference is a thousand times what is allowed."
    a, b = one['cases']['even-whole'], one['cases']['one-whole']
    assert min(abs(p-q) for p, q in zip(a['losses'], b['losses'])) > 1e-6 < 1e-3 < max(abs(p-q) for p, q in zip(a['losses'], b['losses']))


@pytest.mark.parametrize('name, widths', [('even-whole', [5]*6), ('even-all', [5]*6), ('odd-whole', [5]*5), ('odd-all', [5]*5), ('ragged-whole', [5]*5), ('ragged-all', [5]*5 + [3]),
                                          ('one-whole', [5]*6), ('one-all', [5]*6 + [1])])
def test_each_case_has_the_batches_that_it_is_for(name, widths):
    case = scale_jobs.CASES[name]
    dls = lm_dataloaders(scale_jobs.text(case['n']), scale_jobs.BS, 5, drop_last=case['drop_last'])
    assert [x.shape[1] for x, _ in dls.train] == widths


# ---- sums, not means of means

def cpu(many): return many[0] if 'read' in many[0][0] else pytest.skip("NOT TESTED: on the device only the steps are compared")


def test_a_text_is_scored_once_by_all_together(one, many):
    "Also in fewer rows than there are processes; a cache is kept by one, and told to all."
    for found in cpu(many):
        for n, total in one['read']['rows'].items(): assert found['read']['rows'][n] == pytest.approx(total, abs=1e-4)
        assert found['read']['cache'] == one['read']['cache']


def test_each_process_drops_units_of_its_own(one, many):
    dice = [found['read']['dice'] for found in cpu(many)]
    assert torch.equal(dice[0], one['read']['dice']) and not any(torch.equal(dice[0], d) for d in dice[1:])


def test_a_learner_finds_the_same(one, many):
    "Loss, accuracy, both perplexities, of a text whose last batch is narrower; AR and TAR; and afterwards its loaders are whole again."
    a = one['learner']
    for found in cpu(many):
        for b in [found['learner']] + [found[k] for k in ('wrapped',) if k in found]:
            assert b['values'] == pytest.approx(a['values'], abs=2e-5) and b['losses'] == pytest.approx(a['losses'], abs=2e-5)
            assert float((a['params']-b['params']).abs().max()) < 1e-4 and b['resets'] and b['whole'] == scale_jobs.BS


def test_a_metric_that_is_no_sum_is_refused():
    from fastai.metrics import F1Score
    from lm_from_scratch.scale import _join
    with pytest.raises(LMError, match='no sum over words'): _join(F1Score(), World(0, 2))


def test_a_wrapper_that_reset_does_not_reach_is_refused():
    "PyTorch's own would let a state run on from text to text."
    class Bare(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module
        def forward(self, x): return self.module(x)
    with pytest.raises(LMError, match='no `reset`'): lm_learner(lm_dataloaders(human_numbers(), 8, 8), Bare(LanguageModel(30)))
    assert 'reset' in vars(ParallelModel)


# ---- runs

def test_a_run_is_the_same_run(one, many):
    "In single precision: every loss and perplexity to 1e-4."
    for found in cpu(many):
        assert found['runs']['finished'] == (True, False)
        for a, b in zip(one['runs']['history'], found['runs']['history'], strict=True): assert a == pytest.approx(b, abs=1e-4)
        for a, b in zip(found['runs']['history'], found['runs']['gone on'], strict=True): assert a == pytest.approx(b, abs=1e-6)


def test_one_process_goes_on_with_what_several_have_begun(one, many):
    cpu(many)
    run = resume_run(many[1]/'alone', device='cpu')
    assert run.finished
    for a, b in zip(one['runs']['history'], scale_jobs.told(run), strict=True): assert a == pytest.approx(b, abs=1e-4)


def test_the_first_process_writes(many):
    cpu(many)
    files = sorted(f.name for f in (many[1]/'whole').iterdir() if f.name != '.lock')
    assert files == ['README.md', 'config.json', 'curve.svg', 'history.jsonl', 'last.safetensors', 'model.safetensors', 'tokenizer.json', 'tokens']
    assert read_tensors(many[1]/'whole'/'last.safetensors')[0]['state.0'].shape[1] == scale_jobs.BS


SAID = dict(rows='13 rows cannot be shared out evenly among {n} processes', few='1 rows cannot be shared out evenly', texts='do not have the same text', settings='do not have the same settings: lr 0.2 in the first, 0.1 in process {last}',
            empty='too few for a valid part', wrong='n_hidden must be', one='Process {last}: There is no text file at', versions='do not have the same versions: torch')


@pytest.mark.parametrize('name', SAID)
def test_what_cannot_be_trained_is_said_by_all(many, name):
    "The same sentence in every process: none waits for the others."
    n, said = len(many[0]), [found['refused'][name] for found in cpu(many)]
    assert len(set(said)) == 1 and SAID[name].format(n=n, last=n-1) in said[0] and '\n' not in said[0]
    assert not many[0][0]['refused']['left']


def test_two_processes_map_one_file(many):
    if len(many[0]) != 2: return
    if 'pages' not in many[0][0]: pytest.skip("NOT TESTED: there is no /proc here, or this is a GPU")
    found = [f['pages'] for f in many[0]]
    size = found[0]['bytes']
    assert found[0]['total'] == found[1]['total'] and size > 4_000_000
    assert all(f['Rss'] > .99*size and f['Private_Dirty'] == f['Anonymous'] == 0 for f in found)  # all of it is there, none of it copied
    assert sum(f['Pss'] for f in found) < 1.05*size  # and counted once
