"One training in several processes: the same training, or one sentence why not."
import os
import socket
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import scale_jobs
import torch
from fastai.text.data import LMDataLoader

from lm_from_scratch.data import human_numbers, lm_dataloaders
from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.runs import read_tensors, resume_run
from lm_from_scratch.scale import ParallelModel, World, in_processes, join, line_through
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
            assert len(a['losses']) == len(b['losses']) >= 5, name
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

def cpu(many, what='read'):
    "What was found, where it was looked for: on a GPU the steps alone, in three processes no runs."
    if many[0][0]['device'] != 'cpu': pytest.skip("NOT TESTED: on a GPU only the steps are compared")
    return many[0] if what in many[0][0] else []


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
        for b in [found['learner']] + [found[k] for k in ('wrapped', 'launched') if k in found]:
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
    for found in cpu(many, 'runs'):
        assert found['runs']['finished'] == (True, False)
        for a, b in zip(one['runs']['history'], found['runs']['history'], strict=True): assert a == pytest.approx(b, abs=1e-4)
        for a, b in zip(found['runs']['history'], found['runs']['gone on'], strict=True): assert a == pytest.approx(b, abs=1e-6)


def test_one_process_goes_on_with_what_several_have_begun(one, many):
    if not cpu(many, 'runs'): return
    run = resume_run(many[1]/'alone', device='cpu')
    assert run.finished
    for a, b in zip(one['runs']['history'], scale_jobs.told(run), strict=True): assert a == pytest.approx(b, abs=1e-4)


def test_the_first_process_writes(many):
    if not cpu(many, 'runs'): return
    files = sorted(f.name for f in (many[1]/'whole').iterdir() if f.name != '.lock')
    assert files == ['README.md', 'config.json', 'curve.svg', 'history.jsonl', 'last.safetensors', 'model.safetensors', 'tokenizer.json', 'tokens']
    assert read_tensors(many[1]/'whole'/'last.safetensors')[0]['state.0'].shape[1] == scale_jobs.BS


SAID = dict(rows='13 rows cannot be shared out evenly among {n} processes', few='1 rows cannot be shared out evenly', texts='do not have the same text', settings='do not have the same settings: lr 0.2 in the first, 0.1 in process {last}',
            empty='too few for a valid part', wrong='n_hidden must be', one='Process {last}: There is no text file at', versions='do not have the same versions: torch')


@pytest.mark.parametrize('name', SAID)
def test_what_cannot_be_trained_is_said_by_all(many, name):
    "The same sentence in every process: none waits for the others."
    n, said = len(many[0]), [found['refused'][name] for found in cpu(many, 'refused')]
    if not said: return
    assert len(set(said)) == 1 and SAID[name].format(n=n, last=n-1) in said[0] and '\n' not in said[0]
    assert not many[0][0]['refused']['left']


def test_two_processes_map_one_file(many):
    if not cpu(many, 'refused'): return
    if 'pages' not in many[0][0]: pytest.skip("NOT TESTED: there is no /proc here, or this is a GPU")
    found = [f['pages'] for f in many[0]]
    size = found[0]['bytes']
    assert found[0]['total'] == found[1]['total'] and size > 4_000_000
    assert all(f['Rss'] > .99*size and f['Private_Dirty'] == f['Anonymous'] == 0 for f in found)  # all of it is there, none of it copied
    assert sum(f['Pss'] for f in found) < 1.05*size  # and counted once


# ---- meeting

def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


@pytest.fixture
def launched(monkeypatch):
    for k, v in dict(RANK='0', WORLD_SIZE='2', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port()).items(): monkeypatch.setenv(k, v)
    return monkeypatch


def test_alone_there_is_nobody_to_meet(monkeypatch):
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    world = join()
    assert (world.rank, world.size, world.first, world.block(7)) == (0, 1, True, slice(0, 7))
    t = torch.ones(2)
    assert world.sum(t) is t and world.gather(3) == [3] and world.told(4) == 4 and world.any(None, True) == [None, True] and world.first_alone(lambda: 5) == 5


@pytest.mark.parametrize('name', ['MASTER_ADDR', 'MASTER_PORT', 'RANK'])
def test_a_missing_rendezvous(launched, name):
    launched.delenv(name)
    with pytest.raises(LMError, match=f'{name} is not set: start them by `torchrun --nproc-per-node 2'): join()


def test_a_number_that_is_none(launched):
    launched.setenv('RANK', 'one')
    with pytest.raises(LMError, match='must be whole numbers'): join()


def test_the_others_do_not_come(launched):
    begun = time.monotonic()
    with pytest.raises(LMError, match=r'cannot meet at 127.0.0.1:\d+: not all 2 of them came within 1 seconds') as e: join(wait=1)
    assert time.monotonic()-begun < 30 and '\n' not in str(e.value)


def test_a_port_in_use(launched):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        launched.setenv('MASTER_PORT', str(s.getsockname()[1]))
        with pytest.raises(LMError, match='the port is in use: choose another MASTER_PORT'): join(wait=2)


@pytest.mark.parametrize('bs, size', [(1, 2), (7, 2), (8, 3), (2, 3)])
def test_rows_that_do_not_divide(bs, size):
    with pytest.raises(InvalidSize, match='cannot be shared out evenly'): World(0, size).block(bs)


@pytest.mark.parametrize('bs, size', [(2, 2), (12, 3), (12, 1)])
def test_every_row_has_one_reader(bs, size): assert [i for r in range(size) for i in range(bs)[World(r, size).block(bs)]] == list(range(bs))


# ---- from a shell: two launchers, as on two machines, meet over the loopback; one process is killed; the run goes on

def launch(node, port, folder):
    args = ['--nnodes', '2', '--node-rank', str(node), '--nproc-per-node', '1', '--master-addr', '127.0.0.1', '--master-port', port, '-m', 'lm_from_scratch', 'train', str(folder/'text.txt'),
            '--out', str(folder/'run'), *'--tokens words --n-hidden 12 --n-layers 1 --bs 4 --seq-len 8 --steps 4000 --evaluations 200'.split()]
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    return subprocess.Popen([sys.executable, '-m', 'torch.distributed.run', *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder)


def test_a_process_that_is_killed(tmp_path):
    psutil = pytest.importorskip('psutil', reason="NOT TESTED: psutil is not installed")
    (tmp_path/'text.txt').write_text(scale_jobs.TEXT)
    port, history = free_port(), tmp_path/'run'/'history.jsonl'
    nodes = [launch(k, port, tmp_path) for k in (0, 1)]
    try:
        for _ in range(1800):
            if history.is_file() and len(history.read_text().splitlines()) > 1 or any(n.poll() is not None for n in nodes): break
            time.sleep(.1)
        assert [n.poll() for n in nodes] == [None, None], [n.communicate() for n in nodes if n.poll() is not None]
        worker, = psutil.Process(nodes[1].pid).children()
        begun = time.monotonic()
        worker.kill()
        (out, err), (out1, err1) = (n.communicate(timeout=60) for n in nodes)
        assert time.monotonic()-begun < 30 and all(n.returncode for n in nodes)
    finally:
        for n in nodes: n.kill()
    said = [s for s in err.splitlines() if s.startswith('lm-from-scratch: ')]
    assert len(said) == 1 and 'Another process of this training has ended' in said[0] and f'Go on: lm-from-scratch train --resume {tmp_path/"run"}' in said[0], err
    assert 'tokens to train on' in err and 'lm-from-scratch: ' not in err1 and not out1 and 'tokens to train on' not in err1  # the first one speaks
    place = read_tensors(tmp_path/'run'/'last.safetensors')[1]
    assert place['step'] >= 20
    run = resume_run(tmp_path/'run', steps=3, device='cpu')
    assert run.finished and run.history[-1]['step'] == place['step'] + 3


def accelerated(tmp_path, *flags):
    "A training begun by `accelerate launch`: the names of what its processes have left in the run."
    pytest.importorskip('accelerate', reason="NOT TESTED: accelerate is not installed")
    (tmp_path/'text.txt').write_text(scale_jobs.TEXT)
    args = ['-m', 'accelerate.commands.launch', *flags, *'--num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no -m lm_from_scratch train'.split(),
            str(tmp_path/'text.txt'), '--out', str(tmp_path/'run'), *'--tokens words --n-hidden 12 --n-layers 1 --bs 4 --seq-len 8 --steps 6'.split()]
    out = subprocess.run([sys.executable, *args], capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)})
    assert out.returncode == 0, out.stderr
    return read_tensors(tmp_path/'run'/'last.safetensors')[0].keys()


def test_accelerate_launch(tmp_path):
    "The flag speaks of GPUs and starts processes, also where there is none."
    assert accelerated(tmp_path, '--multi_gpu') > {'random.1'}


def test_accelerate_starts_one_process_for_a_processor(tmp_path):
    "Whatever number is asked for. If this fails, it is mended: tell chapter 13."
    assert 'random.1' not in accelerated(tmp_path, '--cpu'), f"accelerate {version('accelerate')}"


# ---- fastai's own way, as it comes. A test that fails here says that it is mended: then tell it so in chapter 13

WHEN = f"fastai {version('fastai')}, torch {torch.__version__}"


@pytest.fixture
def stock(monkeypatch):
    "Its loader; a stand-in for `accelerate`, which its loader does not need."
    if find_spec('accelerate') is None:
        there = ModuleType('accelerate')
        there.Accelerator = type('Accelerator', (), {})
        monkeypatch.setitem(sys.modules, 'accelerate', there)
    from fastai.distributed import DistributedDL
    return lambda dl, rank: DistributedDL(dl, rank=rank, world_size=2)


def heard(part):
    "Without its way over a GPU."
    part._broadcast = lambda ids, rank: ids
    return part


def stream(n): return LMDataLoader([torch.arange(2*n+1)], bs=2, seq_len=12)


def test_fastai_cannot_be_imported_without_accelerate(monkeypatch):
    monkeypatch.setitem(sys.modules, 'accelerate', None)             # as if it were not installed
    monkeypatch.delitem(sys.modules, 'fastai.distributed', raising=False)
    with pytest.raises(NameError, match="'Accelerator' is not defined"): import_module('fastai.distributed')


def test_fastai_sends_by_way_of_a_gpu(stock):
    if torch.cuda.is_available(): pytest.skip("NOT TESTED: there is a GPU here")
    with pytest.raises((AssertionError, RuntimeError), match='CUDA|NVIDIA'): next(iter(stock(stream(48), 0)))


def test_fastai_shares_out_time_and_not_rows(stock):
    found = [[x[:, 0].tolist() for x, _ in heard(stock(stream(48), rank))] for rank in (0, 1)]
    assert found == [[[0, 48], [12, 60]], [[24, 72], [36, 84]]], WHEN


def test_fastai_breaks_where_batches_are_odd_and_the_last_one_is_narrow(stock):
    assert [x.shape for x, _ in heard(stock(stream(54), 0))][-1] == (1, 12), WHEN
    with pytest.raises(RuntimeError, match='not the same size'): list(heard(stock(stream(54), 1)))


def test_fastai_does_not_share_out_our_stream(stock):
    dl = lm_dataloaders(scale_jobs.text(97), 2, 12).train
    for rank in (0, 1): assert [x.tolist() for x, _ in heard(stock(dl, rank))] == [x.tolist() for x, _ in dl], WHEN


def test_a_launcher_alone_shares_out_nothing(many):
    "Each process trains on all rows, unless `Together` is among the callbacks."
    for found in cpu(many, 'launched'): assert set(found['launched']['read']) == {scale_jobs.BS}, WHEN


def test_a_line_never_begins_below_zero():
    "Exact where the points lie on a line; through 0, with equal relative weights, where the nearest line would begin below it."
    at_0, slope = line_through([1, 2, 5], [5., 7., 13.])
    assert abs(at_0 - 3) < 1e-9 and abs(slope - 2) < 1e-9
    xs, ys = [1., 2., 3.], [1., 4., 9.]
    at_0, slope = line_through(xs, ys)
    def off(b): return sum((b*x/y - 1)**2 for x, y in zip(xs, ys))
    assert at_0 == 0 and off(slope) < min(off(slope - .01), off(slope + .01))


@pytest.mark.parametrize('port', ['abc', '70000', '0', ''])
def test_a_port_that_is_none(launched, port):
    launched.setenv('MASTER_PORT', port)
    with pytest.raises(LMError, match='MASTER_PORT must be a number from 1 to 65535|MASTER_PORT is not set'): join()


def test_what_only_one_process_knows_is_not_swallowed(monkeypatch, capsys):
    "Told to all, the first one says it; else whoever knows it, such as the survivors of a lost first process, or a worker with a RANK of other programs."
    from lm_from_scratch import cli
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setattr(time, 'sleep', lambda s: None)
    assert cli.answer(['evaluate', 'nowhere']) == 1 and 'There is no run at nowhere' in capsys.readouterr().err
    world = World(1, 2)
    monkeypatch.setattr(World, 'gather', lambda self, value: [(LMError, 'no such text'), None])
    with pytest.raises(LMError, match='^no such text$') as e, world.one_for_all(): pass
    assert e.value.for_all
    monkeypatch.setattr(World, 'gather', lambda self, value: [[1], [2]])
    with pytest.raises(LMError, match='do not have the same epochs') as e: world.agree(epochs=2)
    assert e.value.for_all and cli._say('x', 1, True) == 1 and not capsys.readouterr().err
