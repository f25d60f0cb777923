"Runs: what a folder keeps, how a training goes on, what is refused, and the commands of the shell."
import errno
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from math import log2
from pathlib import Path

import pytest
import torch
from conftest import corpora, unix
from typer.testing import CliRunner

from lm_from_scratch import runs
from lm_from_scratch.cli import app
from lm_from_scratch.data import Vocab, number_words
from lm_from_scratch.errors import CorpusTooSmall, LMError, TextFileError, write_whole
from lm_from_scratch.generation import generate
from lm_from_scratch.multilayer import RNNS
from lm_from_scratch.runs import (Place, Rows, Run, Settings, Training, build_model, check_files, choose_device, continue_texts, count_parameters, load_run,
                                  n_hidden_for, rate_at, read_config, read_history, read_tensors, resume_run, train_run, weights_of, write_tensors)
from lm_from_scratch.scale import World
from lm_from_scratch.settings import LAYERS, OTHER_NAMES, PRESETS, SIZES, settings_from
from lm_from_scratch.text import evaluate, open_corpus
from lm_from_scratch.tokens import TextTokenizer

ROOT = Path(__file__).parent.parent
TEXT = '\n'.join(f'{number_words(n)} .' for n in range(1, 400))
SMALL = dict(tokens='words', n_hidden=12, n_layers=1, bs=4, seq_len=8, steps=24, evaluations=3)


def small(folder, text=TEXT, report=lambda *a, **k: None, **more):
    return train_run([text], folder, {**SMALL, **more}, device='cpu', report=report)


def stop_at(step):
    def report(what, training=None, **how):
        if what == 'step' and training.place.step == step: training.asked = 2
    return report


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "A run, and what it has come to; tests copy it."
    return small(tmp_path_factory.mktemp('runs')/'run')


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made.folder, tmp_path/'run')
    return tmp_path/'run'


def same(a, b):
    assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))
    told = [[(r['step'], r['rate'], r['train_loss'], r['valid_loss'], r['sample']) for r in run.history] for run in (a, b)]
    assert told[0] == told[1] and told[0]
    (ta, pa), (tb, pb) = (read_tensors(run.folder/'last.safetensors') for run in (a, b))
    assert ta.keys() == tb.keys() and all(torch.equal(ta[k], tb[k]) for k in ta)
    assert {**pa, 'seconds': 0} == {**pb, 'seconds': 0}


# ---- what a history, a state and a folder may be

def test_a_sample_may_hold_any_line_end(tmp_path):
    run = train_run(['ab\u2028cd\x85ef\n'*400], tmp_path/'run', dict(SMALL, tokens='chars'), device='cpu')
    assert [r['step'] for r in run.history] == [8, 16, 24] and any('\u2028' in r['sample'] or '\x85' in r['sample'] for r in run.history)
    resume_run(run.folder, steps=8, device='cpu')
    assert [r['step'] for r in run.history][:3] == [8, 16, 24] and len(run.history) > 3


def test_a_perplexity_beyond_all_numbers(tmp_path, monkeypatch):
    "It diverges, but its loss is a number still: no OverflowError."
    real = runs.Training.score
    def score(self, part, rows):
        found = real(self, part, rows)
        return replace(found, total=found.tokens*1e4)
    monkeypatch.setattr(runs.Training, 'score', score)
    run = small(tmp_path/'run')
    assert all(math.isfinite(r['perplexity']) for r in run.history) and run.finished


def test_a_readme_without_a_history(copy):
    (copy/'history.jsonl').unlink()
    runs.write_readme(load_run(copy, 'cpu'))
    assert 'The weights are' not in (copy/'README.md').read_text() and 'curve.svg' in (copy/'README.md').read_text()


def test_a_run_that_may_not_be_looked_for(monkeypatch, tmp_path):
    with pytest.raises(TextFileError, match='nobody here has such a home folder'): load_run('~nobody_of_that_name/run')
    with pytest.raises(TextFileError, match='cannot be read: File name too long'): load_run('Once upon a time '*40)
    real = Path.is_dir
    def forbidden(self, **how):
        if self == tmp_path/'run': raise PermissionError(errno.EACCES, 'Permission denied')
        return real(self, **how)
    monkeypatch.setattr(Path, 'is_dir', forbidden)
    with pytest.raises(TextFileError, match='no permission'): load_run(tmp_path/'run')


@pytest.mark.parametrize('change', [
    lambda t, a: t.update({'adam.0.exp_avg_sq': t['adam.0.exp_avg_sq'][:1].clone()}), lambda t, a: t.update({'adam.0.step': torch.zeros(3)}),
    lambda t, a: t.update({'adam.0.exp_avg': t['adam.0.exp_avg'].double()}), lambda t, a: a.update(step=None), lambda t, a: a.update(worse=None)])
def test_an_optimizer_that_fits_nothing(copy, change):
    "One operation changes all of it without a look at sizes: what does not fit must not reach it."
    tensors, about = read_tensors(copy/'last.safetensors')
    change(tensors, about)
    write_tensors(copy/'last.safetensors', tensors, about)
    with pytest.raises(LMError, match='does not hold a training'): resume_run(copy, steps=1, device='cpu')


def test_metadata_without_end(copy):
    tensors, about = read_tensors(copy/'last.safetensors')
    write_whole(copy/'last.safetensors', runs.tensors_as_bytes(tensors, {'about': '['*200_000}))
    with pytest.raises(LMError, match='holds no tensors'): resume_run(copy, steps=1, device='cpu')


def test_what_a_device_draws_is_kept_and_put_back(copy, monkeypatch):
    "As if there were a GPU: its random state goes into the run, each process has its own, an older run's is read."
    there = []
    def dice(device, state=None):
        if state is None: return torch.tensor([1, 2, 3], dtype=torch.uint8)
        there.append(state.tolist())
    monkeypatch.setattr(runs, 'device_dice', dice)
    resume_run(copy, steps=2, device='cpu')
    tensors, about = read_tensors(copy/'last.safetensors')
    assert tensors['random.device.0'].tolist() == [1, 2, 3] and not there
    resume_run(copy, steps=2, device='cpu')
    assert there == [[1, 2, 3]]
    tensors, about = read_tensors(copy/'last.safetensors')
    tensors['random.cuda'] = tensors.pop('random.device.0') + 1
    write_tensors(copy/'last.safetensors', tensors, about)
    resume_run(copy, steps=2, device='cpu')
    assert there[1:] == [[2, 3, 4]]


def test_moments_go_where_their_parameter_is(copy, monkeypatch):
    "A fused step wants its count on the device, too; only there can that be seen, so the request is looked at."
    asked = []
    real = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, *a, **k: (asked.append(self.dim()), real(self, *a, **k))[1])
    resume_run(copy, steps=1, device='cpu')
    assert 0 in asked


def test_begun_twice_at_once(tmp_path):
    "Two that look at the same moment: one has made the folder, and only that one may take it away."
    assert runs._take(tmp_path/'run') is True and runs._take(tmp_path/'run') is False
    with pytest.raises(LMError), runs.new_folder(tmp_path/'run'): raise LMError('no')
    assert (tmp_path/'run').is_dir()


def test_killed_before_the_first_step(tmp_path):
    "Weights and words are written, `config.json` is not yet: the same command begins anew."
    (tmp_path/'run').mkdir()
    for name in ('tokenizer.json', 'last.safetensors', 'config.json.77.new'): (tmp_path/'run'/name).write_text('half')
    same(small(tmp_path/'run'), small(tmp_path/'other'))


def folder_of_parts(path, end='tokens'):
    path.mkdir()
    for part in ('train', 'valid', 'test'): (path/f'wiki.{part}.{end}').write_text(TEXT)
    (path/'notes.txt').write_text('not read')
    return path


def test_parts_of_any_ending(tmp_path):
    parts = folder_of_parts(tmp_path/'wiki')
    run = train_run(parts, tmp_path/'run', SMALL, device='cpu')
    assert [Path(f['path']).name for f in run.config['text']['files']] == [f'wiki.{p}.tokens' for p in ('train', 'valid', 'test')]
    (parts/'notes.txt').write_text('still not read')
    resume_run(run.folder, steps=2, device='cpu')
    found = run.evaluate(parts)
    assert list(found) == [f'wiki/{p}' for p in ('train', 'valid', 'test')] and len({s.nats for s in found.values()}) == 1
    assert len(run.worst_lines(parts, 3)) == 3
    (parts/'wiki.train.tokens').write_text(TEXT + 'one')
    with pytest.raises(LMError, match='wiki.train.tokens has changed'): resume_run(run.folder, steps=2, device='cpu')


def test_a_text_where_a_file_belongs(tmp_path):
    with pytest.raises(TextFileError, match=r"^'one .*' … is a text, and no name of a file") as e: train_run(TEXT, tmp_path/'run', SMALL, device='cpu')
    assert len(str(e.value)) < 150 and not (tmp_path/'run').exists()


@unix
def test_a_text_from_a_pipe(tmp_path):
    "It is read once: not for its hash, and not a second time to be cut in parts."
    os.mkfifo(tmp_path/'pipe')
    def say():
        with open(tmp_path/'pipe', 'wb') as f: f.write(TEXT.encode('utf-16'))
    writer = threading.Thread(target=say, daemon=True)
    writer.start()
    run = train_run(tmp_path/'pipe', tmp_path/'run', SMALL, device='cpu', encoding='utf-16')
    writer.join(60)
    assert run.config['text']['name'] == 'pipe' and not run.config['text']['files']
    same_text = train_run([TEXT], tmp_path/'same', SMALL, device='cpu').config['text']['parts']
    assert {k: p['sha256'] for k,p in run.config['text']['parts'].items()} == {k: p['sha256'] for k,p in same_text.items()}
    assert resume_run(run.folder, steps=2, device='cpu').finished


def test_what_one_process_refuses_is_no_broadcast_of_the_others(copy, monkeypatch):
    "`Training` sends weights to all; inside of `one_for_all` a process that is refused would not be there to receive them, and all would hang."
    class Watched(World):
        inside = 0
        @contextmanager
        def one_for_all(self):
            self.inside += 1
            try: yield
            finally: self.inside -= 1
    world, seen, real = Watched(), [], runs.Training.__init__
    def init(self, *args): seen.append(world.inside); real(self, *args)
    monkeypatch.setattr(runs.Training, '__init__', init)
    resume_run(copy, steps=1, device='cpu', world=world)
    assert seen == [0]


def test_fewer_rows_than_asked_for_shared_out():
    with pytest.raises(CorpusTooSmall, match='1,500 tokens are enough for 21 rows of 35, and 2 processes cannot share these out evenly: use more text, a bs of 20'):
        runs.Rows(torch.zeros(1500, dtype=torch.int64), 32, 35, world=World(0, 2))


# ---- settings

@pytest.mark.parametrize('name, near', [('learing_rate', 'lr'), ('learning_rate', 'lr'), ('n_hiden', 'n_hidden'), ('batch_size', 'bs'), ('Dropout', 'dropout')])
def test_an_unknown_setting_is_told_with_the_nearest(name, near):
    with pytest.raises(LMError, match=f"no setting '{name}'; did you mean '{near}'"): settings_from({name: 1})


def test_other_names_lead_to_settings(): assert not {v for v in OTHER_NAMES.values()} - set(Settings.__dataclass_fields__)


@pytest.mark.parametrize('wrong, said', [
    (dict(n_hidden=0), 'n_hidden must be a whole number of at least 1'), (dict(lr=-1), 'lr must be above 0'), (dict(lr=float('nan')), 'lr must'),
    (dict(dropout=1.), 'dropout must be'), (dict(epochs=1, minutes=2), 'epochs and minutes both say'), (dict(seed=20240601123456), 'seed must be at most 1,000,000,000'), (dict(tokens='bpe', sampled=True), 'sampled is for words'), (dict(tokens='word'), "did you mean 'words'"),
    (dict(rnn='LSTM'), "rnn cannot be 'LSTM'; did you mean 'lstm'"), (dict(rnn='gru', drop_weights=.5), "drop_weights is for layers of the kind 'lstm'"),
    (dict(tie_weights='yes'), 'tie_weights must be true or false'), (dict(lr='fast'), "lr must be a number, not 'fast'"), (dict(tokens=3), 'tokens must be a word'),
    (dict(steps=2.5), 'steps must be a whole number'), (dict(minutes=0), 'minutes must be above 0'), (dict(seed=-1), 'seed must be')])
def test_settings_that_make_no_sense(wrong, said):
    with pytest.raises(LMError) as e: settings_from(wrong)
    assert said in str(e.value) and '\n' not in str(e.value)


def test_layers_are_those_of_the_library(): assert list(LAYERS) == list(RNNS)


def test_none_is_as_if_nothing_were_said():
    assert settings_from(dict.fromkeys(('n_hidden', 'tie_weights', 'lr', 'epochs'))) == Settings() == settings_from(SIZES['small'])
    with pytest.raises(LMError, match='epochs and minutes and steps all say'): settings_from(dict(epochs=1, minutes=1, steps=1))


@pytest.mark.parametrize('name', [*SIZES, *PRESETS])
def test_sizes_and_presets_make_models(name):
    s = settings_from({**SIZES, **PRESETS}[name])
    with torch.device('meta'): assert build_model(s, 50)(torch.zeros(2, 3, dtype=torch.long))[0].shape[:2] == (2, 3)


def test_the_recipe_near_awd_lstm(tmp_path):
    "What chapter 12 says of `--preset awd`: its parameters; that it trains, with every dropout of it, is broken off and goes on to the same end."
    s = settings_from(PRESETS['awd'])
    with torch.device('meta'): assert 43.5e6 < sum(p.numel() for p in build_model(s, 10_000).parameters()) < 44.5e6
    assert s.drop_words and s.drop_inputs and s.drop_between and s.drop_weights and s.dropout and s.alpha and s.beta
    narrow = {**PRESETS['awd'], 'n_hidden': 24, 'n_emb': 12, 'bs': 4, 'seq_len': 8, 'steps': 12, 'evaluations': 4}
    class Killed(BaseException): pass
    def kill(what, training=None, **how):
        if what == 'step' and training.place.step == 5: raise Killed
    whole = train_run([TEXT], tmp_path/'whole', narrow, device='cpu')
    with pytest.raises(Killed): train_run([TEXT], tmp_path/'half', narrow, device='cpu', report=kill)
    assert len(load_run(tmp_path/'half', 'cpu').history) < 4
    same(resume_run(tmp_path/'half', device='cpu'), whole)


@pytest.mark.parametrize('params', [30_000, 1_000_000, 2_653_200])
def test_a_number_of_parameters_chooses_the_width(params):
    s = Settings()
    n = n_hidden_for(params, s, 1000)
    at, above = (count_parameters(Settings(n_hidden=k), 1000) for k in (n, n+8))
    assert at <= params < above
    with torch.random.fork_rng(): assert at == sum(p.numel() for p in build_model(Settings(n_hidden=n), 1000).parameters())


def test_the_trained_model_has_so_many_parameters(tmp_path):
    "Also where the settings name a size of the embedding."
    run = train_run([TEXT], tmp_path/'a', {**SMALL, 'n_emb': 8, 'tie_weights': False, 'steps': 2}, params=9000, device='cpu')
    assert 5000 < sum(p.numel() for p in run.model.parameters()) <= 9000


def test_too_few_parameters():
    with pytest.raises(LMError, match='100 are too few'): n_hidden_for(100, Settings(), 1000)


# ---- the place in the text

@pytest.mark.parametrize('n, bs, seq_len', [(1000, 4, 7), (101, 4, 5), (30, 8, 5), (12, 3, 35), (2, 1, 5)])
def test_rows_go_on_from_batch_to_batch(n, bs, seq_len):
    rows = Rows(torch.arange(n), bs, seq_len, seed=3)
    last = None
    for k in range(3*rows.n_batches):
        x, y, new = rows[k]
        assert x.shape == y.shape and torch.equal(y, x+1) and new == (k % rows.n_batches == 0)
        if not new: assert torch.equal(x[:, 0], last)
        last = y[:, -1]
    assert len({rows.first(e) for e in range(20)}) > 1 or rows.moves == 1


def test_a_mapped_text_gives_the_same_rows():
    ids = torch.arange(500) % 60
    a, b = Rows(ids, 4, 6), Rows(ids.to(torch.uint16), 4, 6)
    assert all(torch.equal(p, q) for k in range(7) for p, q in zip(a[k][:2], b[k][:2]))


def test_the_rate_rises_and_falls():
    rates = [rate_at(k/100) for k in range(101)]
    assert rates[0] == 0 and max(rates) == rates[10] == 1 and rates[100] == pytest.approx(.01) and rates[10:] == sorted(rates[10:], reverse=True)


# ---- the same run, however often it is broken off

@pytest.mark.parametrize('more', [dict(), dict(dropout=.3, drop_inputs=.2, drop_between=.2, drop_weights=.3, drop_words=.1, n_layers=2, alpha=1., beta=1.), dict(rnn='gru', dropout=.2),
                                  dict(rnn='relu', tie_weights=False, n_emb=8, wd=.1), dict(sampled=True), dict(tokens='chars', steps=40), dict(tokens='bpe', max_words=300)],
                         ids=['lstm', 'every-dropout', 'gru', 'untied', 'sampled', 'chars', 'bpe'])
def test_goes_on_as_if_nothing_had_happened(tmp_path, more):
    whole = small(tmp_path/'whole', **more)
    half = small(tmp_path/'half', report=stop_at(5), **more)
    assert whole.finished and not half.finished
    half = resume_run(tmp_path/'half', device='cpu', report=stop_at(11))
    assert not half.finished and read_tensors(half.folder/'last.safetensors')[1]['step'] == 11
    same(resume_run(tmp_path/'half', device='cpu'), whole)


def test_broken_off_before_the_first_step(tmp_path, made):
    def report(what, training=None, **how):
        if what == 'begun': training.asked = 2
    small(tmp_path/'a', dropout=.2, report=report)
    # the first look at `asked` comes after a step: all the same, what follows is the same
    same(resume_run(tmp_path/'a', device='cpu'), small(tmp_path/'b', dropout=.2))


def test_broken_off_while_it_is_judged(tmp_path, monkeypatch):
    "Ctrl-C in the middle of an evaluation: it is done again, and nothing differs."
    whole, real, calls = small(tmp_path/'whole', dropout=.2), runs.evaluate, []
    def evaluate(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2: raise KeyboardInterrupt
        return real(*args, **kwargs)
    monkeypatch.setattr(runs, 'evaluate', evaluate)
    half = small(tmp_path/'half', dropout=.2)
    assert not half.finished and read_tensors(half.folder/'last.safetensors')[1]['judged'] == 8
    same(resume_run(half.folder, device='cpu'), whole)


def test_training_leaves_the_callers_dice_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    small(tmp_path/'a', steps=3)
    assert torch.equal(torch.rand(3), expected)


@unix
def test_killed_at_random_moments():
    "A few here; `tests/kill_runs.py --kills 50` has the count that is stored."
    out = subprocess.run([sys.executable, ROOT/'tests'/'kill_runs.py', '--kills', '3', '--seed', '7', '--steps', '120'], cwd=ROOT, text=True, capture_output=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert out.returncode == 0 and 'the same end' in out.stdout, out.stdout + out.stderr


def test_fifty_were_killed():
    stored = json.loads((ROOT/'tests'/'kill_runs.json').read_text())
    assert stored['kills'] >= 50


def test_beyond_the_end(copy):
    with pytest.raises(LMError, match='at its end, after 24 steps; say how much longer'): resume_run(copy, device='cpu')
    run = resume_run(copy, steps=6, device='cpu')
    assert [r['step'] for r in run.history] == [8, 16, 24, 26, 28, 30] and run.settings.steps == 6


def test_a_plan_in_minutes(tmp_path, monkeypatch):
    "It is made once, stored, and then the same wherever the training is broken off."
    monkeypatch.setattr(runs, 'MEASURED', .01)
    run = small(tmp_path/'a', steps=None, minutes=.01)
    place = read_tensors(run.folder/'last.safetensors')[1]
    assert run.finished and place['step'] == place['total'] >= 6


def test_early_stopping(tmp_path):
    run = small(tmp_path/'a', lr=2., clip=100., steps=400, evaluations=40, patience=2)
    assert run.finished and len(run.history) < 40 and run.best['step'] < run.history[-1]['step']
    assert torch.equal(load_run(run.folder).model.h_o.bias, run.model.h_o.bias)


def test_a_loss_that_is_no_number(tmp_path, monkeypatch):
    monkeypatch.setattr(Training, 'step', lambda self: float('nan'))
    with pytest.raises(LMError, match=r'no number any more after 0 steps: begin again with a smaller rate \(--lr 0.002\)'): small(tmp_path/'a')


# ---- the folder

def test_what_it_holds(made):
    files = sorted(f.name for f in made.folder.iterdir() if f.name != '.lock')
    assert files == ['README.md', 'config.json', 'curve.svg', 'history.jsonl', 'last.safetensors', 'model.safetensors', 'tokenizer.json', 'tokens']
    readme = (made.folder/'README.md').read_text()
    assert '| valid |' in readme and 'curve.svg' in readme and made.config['text']['parts']['train']['sha256'][:16] in readme
    assert (made.folder/'curve.svg').read_text().count('</svg>') == 1


def test_the_weights_are_the_best(tmp_path):
    run = small(tmp_path/'a', lr=1., clip=50., steps=60, evaluations=20)
    best = min(r['valid_loss'] for r in run.history)
    rows = max(1, min(32, len(open_corpus(run.folder/'tokens').valid)//500))
    assert evaluate(run.model, open_corpus(run.folder/'tokens').valid, rows).nats == best


def test_no_pickle_anywhere():
    code = (ROOT/'lm_from_scratch'/'runs.py').read_text()
    assert 'pickle' not in code.replace('no pickle', '') and 'torch.load' not in code and 'torch.save' not in code


def old_run(): return ROOT/'tests'/'runs'/'v1'


def test_a_run_of_version_1_is_read_for_ever(tmp_path):
    "It was made by the first version, and is never made again."
    shutil.copytree(old_run(), tmp_path/'v1')
    run, said = load_run(tmp_path/'v1', 'cpu'), json.loads((old_run()/'said.json').read_text())
    assert read_config(tmp_path/'v1')['version'] == 1
    assert run.generate('one .', 12, temperature=0) == said['text']
    assert run.evaluate()['valid'].nats == pytest.approx(said['nats'], abs=1e-4)
    (tmp_path/'v1'/'said.json').unlink()
    assert resume_run(tmp_path/'v1', steps=2, device='cpu').finished


SAID = {
    'gone': 'There is no run at', 'a file': 'There is no run at', 'empty': 'no config.json', 'config cut short': 'is no JSON object', 'config a list': 'is no JSON object',
    'config of another kind': 'does not say that this is a run', 'newer': 'written by a newer version', 'version a word': 'newer version', 'unknown setting': "no setting 'n_hidde'",
    'setting of another type': 'n_hidden must be a number', 'no tokenizer': 'There is no file at', 'tokenizer junk': 'holds no tokenizer', 'weights pickled': 'holds no tensors',
    'weights cut short': 'holds no tensors', 'weights empty': 'holds no tensors', 'a huge header': 'holds no tensors', 'not finite': 'are not finite', 'other sizes': 'of a model with other layers',
    'of another run': 'of a model with other layers', 'about a list': 'holds no tensors', 'other words': 'of a model with other layers', 'no weights at all': 'There is no file at'}


def edit(path, **changes): path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def break_run(name, run):
    config, weights = run/'config.json', run/'model.safetensors'
    if name == 'gone': shutil.rmtree(run)
    if name == 'a file': shutil.rmtree(run); run.write_text('x')
    if name == 'empty': config.unlink()
    if name == 'config cut short': config.write_text(config.read_text()[:50])
    if name == 'config a list': config.write_text('[1]')
    if name == 'config of another kind': edit(config, format='x')
    if name == 'newer': edit(config, version=2)
    if name == 'version a word': edit(config, version='one')
    if name == 'unknown setting': edit(config, settings=dict(n_hidde=3))
    if name == 'setting of another type': edit(config, settings=dict(n_hidden='3'))
    if name == 'no tokenizer': (run/'tokenizer.json').unlink()
    if name == 'tokenizer junk': (run/'tokenizer.json').write_text('{}')
    if name == 'weights pickled': weights.write_bytes(pickle.dumps(print))
    if name == 'weights cut short': weights.write_bytes(weights.read_bytes()[:-10])
    if name == 'weights empty': weights.write_bytes(b'')
    if name == 'a huge header': weights.write_bytes((2**62).to_bytes(8, 'little') + b'{}')
    if name in ('not finite', 'other sizes', 'about a list'):
        tensors, about = read_tensors(weights)
        if name == 'not finite': tensors['h_o.bias'][3] = float('nan')
        if name == 'other sizes': tensors['h_o.bias'] = torch.zeros(3)
        write_tensors(weights, tensors, [1] if name == 'about a list' else about)
    if name == 'of another run': edit(config, settings={**json.loads(config.read_text())['settings'], 'n_hidden': 13})
    if name == 'other words': TextTokenizer.train('one two three', 'words').save(run/'tokenizer.json')
    if name == 'no weights at all': weights.unlink(); (run/'last.safetensors').unlink()


@pytest.mark.parametrize('name', SAID)
def test_what_is_no_run_is_told_in_a_sentence(copy, name):
    break_run(name, copy)
    with pytest.raises(LMError, match=SAID[name]) as e: load_run(copy, 'cpu')
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('name', ['gone', 'config cut short', 'newer', 'a file'])
def test_the_same_where_one_goes_on(copy, name):
    break_run(name, copy)
    with pytest.raises(LMError, match=SAID[name]): resume_run(copy, steps=3)


@pytest.mark.parametrize('break_it, said', [
    (lambda run: (run/'last.safetensors').unlink(), 'There is no file at'),
    (lambda run: (run/'last.safetensors').write_bytes(b'junk'), 'holds no tensors'),
    (lambda run: write_tensors(run/'last.safetensors', read_tensors(run/'last.safetensors')[0], dict(stop=3)), 'does not hold a training'),
    (lambda run: write_tensors(run/'last.safetensors', {k: t for k, t in read_tensors(run/'last.safetensors')[0].items() if not k.startswith('random')}, {}), 'does not hold a training'),
    (lambda run: shutil.rmtree(run/'tokens'), 'There is no file at'),
    (lambda run: (run/'tokens'/'train.tokens').write_bytes(b'x'), 'was cut short')], ids=['gone', 'junk', 'another place', 'no dice', 'no tokens', 'tokens cut short'])
def test_a_training_that_cannot_go_on(copy, break_it, said):
    break_it(copy)
    with pytest.raises(LMError, match=said) as e: resume_run(copy, steps=3, device='cpu')
    assert '\n' not in str(e.value)


def test_weights_that_were_broken_off_early(tmp_path):
    "Before the first evaluation there are only those of the training itself."
    small(tmp_path/'a', report=stop_at(3))
    assert not (tmp_path/'a'/'model.safetensors').exists() and load_run(tmp_path/'a', 'cpu').generate('one', 3, seed=0)


def test_a_folder_that_is_taken(copy, tmp_path):
    with pytest.raises(LMError, match='holds a run already: go on with it by `--resume'): small(copy)
    (tmp_path/'x').mkdir()
    (tmp_path/'x'/'letter.txt').write_text('dear')
    with pytest.raises(LMError, match=r'holds other files \(letter.txt\)'): small(tmp_path/'x')
    (tmp_path/'y').write_text('')
    with pytest.raises(LMError, match='taken for each other'): small(tmp_path/'y')
    (tmp_path/'z').mkdir()
    assert small(tmp_path/'z', steps=2).finished


@pytest.mark.parametrize('text, more, said', [('', {}, 'empty|too few'), ('one', {}, 'too few|tokens'), (TEXT, dict(n_hidden=-1), 'n_hidden must'), (TEXT, dict(eos='two words'), 'eos must be one word')])
def test_nothing_is_left_where_nothing_began(tmp_path, text, more, said):
    with pytest.raises(LMError, match=said): small(tmp_path/'a', text, **more)
    assert not (tmp_path/'a').exists()


def test_two_trainings_in_one_folder(tmp_path):
    said = []
    def report(what, training=None, **how):
        if what == 'step' and training.place.step == 3 and not said:
            try: resume_run(training.folder, device='cpu')
            except LMError as e: said.append(str(e))
    assert small(tmp_path/'a', report=report).finished and 'Another training writes into' in said[0]


def test_a_text_that_changed(tmp_path):
    file = tmp_path/'my.txt'
    file.write_text(TEXT)
    train_run(file, tmp_path/'run', SMALL, device='cpu')
    os.utime(file, (1, 1))
    assert resume_run(tmp_path/'run', steps=2, device='cpu').finished        # touched, and the same
    file.write_text(TEXT + 'x')
    with pytest.raises(LMError, match='my.txt has changed since this run began'): resume_run(tmp_path/'run', steps=2, device='cpu')
    file.unlink()
    assert resume_run(tmp_path/'run', steps=2, device='cpu').finished        # the tokens are in the run


def test_a_full_disk_in_the_middle(copy, monkeypatch):
    "What was there stays whole, and is gone on with."
    before = {f: f.read_bytes() for f in copy.iterdir() if f.is_file() and f.name != '.lock'}
    real, n = os.fsync, []
    def fsync(fd):
        n.append(1)
        if len(n) > 2: raise OSError(errno.ENOSPC, 'No space left on device')
        real(fd)
    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(LMError, match='the disk is full; what it held is still there'): resume_run(copy, steps=6, device='cpu')
    monkeypatch.setattr(os, 'fsync', real)
    assert not [f for f in copy.iterdir() if f.suffix == '.new'] and (copy/'model.safetensors').read_bytes() == before[copy/'model.safetensors']
    assert resume_run(copy, device='cpu').finished


def test_no_device():
    for name in ('cuda:77', 'gpu', 'meta'):
        with pytest.raises(LMError, match=f"no device '{name}'|'meta' computes nothing"): choose_device(name)
    assert choose_device('cpu').type == 'cpu'


# ---- it writes

def test_one_text_is_what_the_chapter_writes(made):
    for t in ('one .', 'two hundred'): assert made.generate(t, 10, temperature=0) == generate(made.model, t, 10, vocab=made.vocab)


def test_several_texts_are_written_as_each_alone(made):
    texts = ['one .', 'three hundred twenty', 'nine']
    assert made.generate(texts, 15, temperature=0) == [made.generate(t, 15, temperature=0) for t in texts]


def test_it_never_says_unk(tmp_path):
    run = small(tmp_path/'a', TEXT + '\nrare', steps=2)
    assert run.vocab.unk and '<unk>' not in run.generate('one', 300, temperature=3., seed=1)


def test_it_stops_at_a_word(made):
    text = made.generate('one', 100, temperature=1., seed=2, stop='.')
    assert text.endswith('.') and text.count('.') == 1


@pytest.mark.parametrize('kind, text', [('bpe', 'naïve 😀👍🏽 café – zażółć\n'*60), ('chars', 'ab😀\ncd '*80), ('punctuation', 'He said: "No, (never)!"\n'*60)])
def test_pieces_are_the_text(tmp_path, kind, text):
    run = small(tmp_path/'a', text, tokens=kind, max_words=300 if kind == 'bpe' else None)
    for beginning in (None, text[:8]):
        pieces = list(run.stream(beginning, 60, seed=3))
        whole = run.generate(beginning, 60, seed=3)
        assert ((beginning or '') + ''.join(pieces)).strip() == whole.rstrip('\ufffd').strip() and len(pieces) > 5      # half a character is never shown, a false one as what it is


def test_threads_write_side_by_side(made):
    expected = [made.generate('one .', 20, seed=i) for i in range(8)]
    found = [None]*8
    def work(i): found[i] = made.generate('one .', 20, seed=i)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert found == expected


def test_log_probabilities_are_those_of_the_model(made):
    words, total = [], 0.
    for ((word, p),) in continue_texts(made.model, made.vocab, ['one .'], 8, temperature=0): words.append(word); total += p
    _, logs = generate(made.model, 'one .', 8, vocab=made.vocab, logprobs=True)
    assert total == pytest.approx(sum(logs), abs=1e-5)


@pytest.mark.parametrize('wrong, said', [(dict(n_words=0), 'n_words must'), (dict(temperature=-1), 'temperature must'), (dict(top_p=0), 'top_p must'), (dict(top_k=0), 'top_k must'),
                                         *[(dict(seed=s), 'seed must') for s in (-1, .5, '1', 10**20)]])
def test_what_cannot_be_written(made, wrong, said):
    with pytest.raises(LMError, match=said): made.generate('one', **wrong)


def test_judging_costs_less_than_training(tmp_path, monkeypatch):
    "An evaluation on the way reads half as many tokens as were trained on since the last, the same ones each time, also after a stop; the last word has all of them."
    read, real = [], runs.evaluate
    monkeypatch.setattr(runs, 'evaluate', lambda model, part, *how, **more: read.append(len(part)) or real(model, part, *how, **more))
    text = ' '.join(f'{number_words(n)} .' for n in range(1, 9000))
    run = small(tmp_path/'a', text, stop_at(35), bs=20, seq_len=20, steps=60, evaluations=3)
    resume_run(run.folder, device='cpu')
    n = len(open_corpus(run.folder/'tokens').valid)
    assert n > 4000 and read == [4000, 4000, 4000, n]
    read.clear()
    small(tmp_path/'b', text)
    assert read == [2000]*3 + [n]


def test_it_is_judged_as_the_library_judges(made):
    corpus = open_corpus(made.folder/'tokens')
    assert made.evaluate()['valid'].nats == evaluate(made.model, corpus.valid).nats
    other = made.evaluate(['one . two .\n'])
    assert list(other.values())[0].tokens == 3
    assert made.evaluate(cache={})['valid'].nats != made.evaluate(dynamic={})['valid'].nats


def test_the_worst_lines(made):
    lines = made.worst_lines(['one .\n', 'thousand thousand thousand\n', 'two .\n'], 2)
    assert lines[0][1] == 'thousand thousand thousand' and len(lines) == 2 and lines[0][0] > lines[1][0]


# ---- the shell

def shell(*args, **kwargs):
    return CliRunner().invoke(app, list(map(str, args)), env={'COLUMNS': '100', '_TYPER_FORCE_DISABLE_TERMINAL': '1'}, **kwargs)


def test_version(): assert shell('--version').output.strip().startswith('lm-from-scratch ')


def test_each_setting_is_a_flag():
    said = shell('train', '--help').output
    for name in Settings.__dataclass_fields__: assert f"--{name.replace('_', '-')}" in said


def test_from_a_file_to_a_text(tmp_path):
    file, run = tmp_path/'my.txt', tmp_path/'run'
    file.write_text(TEXT)
    flags = ['--tokens', 'words', '--n-hidden', 12, '--n-layers', 1, '--bs', 4, '--seq-len', 8, '--device', 'cpu']
    out = shell('train', file, '--out', run, *flags, '--steps', 24, '--evaluations', 3, '--json')
    assert out.exit_code == 0, out.output
    rows = [json.loads(s) for s in out.stdout.splitlines()]
    assert [r['step'] for r in rows] == [8, 16, 24] and all(r['perplexity'] > 1 for r in rows)
    out = shell('evaluate', run, '--json')
    assert json.loads(out.stdout)['part'] == 'valid'
    out = shell('evaluate', run, '--text', file, '--worst', 2)
    assert 'my.txt' in out.stdout and out.exit_code == 0
    a, b = (shell('generate', run, 'one .', '--words', 10, '--seed', 1).stdout for _ in range(2))
    assert a == b and a.startswith('one .') and len(a.split()) >= 10
    assert len(shell('generate', run, 'one .', 'two .', '--words', 5).stdout.split('\n\n')) == 2
    assert shell('generate', run, '-', '--words', 3, input='one . two').stdout.startswith('one . two')
    assert len(shell('generate', run, 'one', '--words', 4, '--logprobs').stdout.splitlines()) == 4
    assert 'does not know' in shell('generate', run, 'one zebra', '--words', 2).stderr if load_run(run).vocab.unk else True
    picked = shell('generate', run, 'one', '--words', 3, '--interactive', input='1\n\nq\n').stdout
    assert '  1 ' in picked
    assert shell('train', '--resume', run, '--steps', 3, '--quiet').exit_code == 0
    assert [r['step'] for r in read_history(run)][-1] == 27
    again = shell('train', file, '--out', tmp_path/'again', '--config', run/'config.json', '--steps', 2, '--device', 'cpu')
    assert again.exit_code == 0 and load_run(tmp_path/'again').settings.n_hidden == 12


def by_part(run, *args):
    out = shell('evaluate', run, '--json', *args)
    assert out.exit_code == 0, out.output
    return {r['part']: r for r in map(json.loads, out.stdout.splitlines())}


def counted_bits(train, valid):
    "Bits a token of who knows how often each token occurs; and of who knows it after each token."
    train, valid = train.cpu().tolist(), valid.cpu().tolist()
    alone, pairs, n = Counter(train), Counter(zip(train, train[1:])), len(set(train))
    after = sum(-log2((pairs[a, b] + 1)/(alone[a] + n)) for a, b in zip(valid, valid[1:]))
    return sum(-log2((alone[b] + 1)/(len(train) + n)) for b in valid)/len(valid), after/(len(valid)-1)


def test_penn_treebank_through_the_shell(tmp_path):
    "Three parts in a folder, the counts of the literature; a fifth of an epoch is worth a bit more than the counts."
    folder, run = corpora('ptb'), tmp_path/'run'
    out = shell('train', folder, '--out', run, '--preset', 'ptb', '--steps', 250, '--evaluations', 1, '--threads', 1, '--device', 'cpu', '--quiet')
    assert out.exit_code == 0 and not out.output, out.output
    scores, corpus = by_part(run), open_corpus(run/'tokens')
    bits, _ = counted_bits(corpus.ids, corpus.valid_ids)
    assert {k: r['tokens'] for k, r in scores.items()} == dict(valid=73_760, test=82_430)
    assert all(log2(r['perplexity']) < bits - .8 for r in scores.values())
    assert [*by_part(run, '--part', 'valid')] == ['valid']
    out = shell('generate', run, 'the company', '--words', 20, '--seed', 0)
    assert out.exit_code == 0 and out.stdout.startswith('the company') and '<unk>' not in out.stdout


def test_shakespeare_through_the_shell(tmp_path):
    "By characters, the split of char-rnn and nanoGPT; some hundred batches know more than which character follows which."
    file, run = corpora('shakespeare/input.txt'), tmp_path/'run'
    out = shell('train', file, '--out', run, '--preset', 'shakespeare', '--steps', 300, '--evaluations', 1, '--threads', 1, '--device', 'cpu', '--quiet')
    assert out.exit_code == 0 and not out.output, out.output
    score, corpus = by_part(run)['valid'], open_corpus(run/'tokens')
    assert 111_539 <= score['tokens'] <= 111_540 and score['bits_per_char'] < counted_bits(corpus.ids, corpus.valid_ids)[1] - .3
    out = shell('generate', run, 'ROMEO:\n', '--words', 40, '--seed', 0)
    assert out.exit_code == 0 and len(out.stdout) > 40


def test_a_busy_processor_is_told(tmp_path, monkeypatch):
    "Several threads beside other programs: a hint. One thread, or free cores: none."
    (tmp_path/'my.txt').write_text(TEXT)
    monkeypatch.setattr(os, 'cpu_count', lambda: 2)
    for k, (load, threads, told) in enumerate([(1.4, 2, True), (.3, 2, False), (1.4, 1, False)]):
        monkeypatch.setattr(os, 'getloadavg', lambda load=load: (load, 0., 0.))
        monkeypatch.setattr(torch, 'get_num_threads', lambda threads=threads: threads)
        out = shell('train', tmp_path/'my.txt', '--out', tmp_path/f'run{k}', '--tokens', 'words', '--steps', 2, '--n-hidden', 8, '--evaluations', 1, '--device', 'cpu')
        assert out.exit_code == 0 and ('a load of 1.4 on 2 cores' in out.stderr and '--threads 1' in out.stderr) == told, out.stderr


@pytest.mark.parametrize('args, said', [
    (['train'], 'Say what to read'), (['train', 'nofile.txt', '--out', 'x'], 'no file|There is no'), (['train', 'a.txt'], 'Say what to read'),
    (['train', '--resume', 'nowhere'], 'There is no run at nowhere'), (['train', '--resume', 'x', '--lr', '.1'], 'leave out lr'), (['train', 'a.txt', '--resume', 'x'], 'leave out text'),
    (['train', 'a', '--out', 'x', '--size', 'smal'], "no size 'smal'; did you mean 'small'"), (['train', 'a', '--out', 'x', '--preset', 'shakespear'], "did you mean 'shakespeare'"),
    (['train', 'a', '--out', 'x', '--params', 'many'], "--params must be a number such as 2.6M"), (['train', 'a', '--out', 'x', '--config', 'no.json'], 'There is no file'),
    (['train', 'a', '--out', 'x', '--epochs', '1', '--minutes', '1'], 'both say'), (['train', 'a', '--out', 'x', '--rnn', 'lstn'], "did you mean 'lstm'"),
    (['train', 'a', '--out', 'x', '--device', 'gpu'], "no device 'gpu'"), (['train', 'a', '--out', 'x', '--threads', '0'], '--threads must'),
    (['evaluate', 'nowhere'], 'There is no run at nowhere'), (['evaluate', 'x', '--cache', '--dynamic'], 'Name one of'), (['evaluate', 'x', '--worst', '3'], 'needs the lines of a text'),
    (['generate', 'nowhere'], 'There is no run at nowhere'), (['train', 'a', '--out', 'x', '--config', 'c.json', '--size', 'large'], '--config brings all settings: leave out --size'),
    (['train', 'a', '--out', 'x', '--params', '2M', '--n-hidden', '64'], 'leave out --n-hidden'), (['train', '--resume', 'x', '--encoding', 'cp1252'], 'leave out encoding'),
    (['evaluate', 'human-numbers', '--text', '-', '--worst', '3'], '--worst reads the text a second time'), (['generate', 'human-numbers', 'one', '--interactive', '--top-k', '3'], 'leave out top_k'),
    (['generate', 'human-numbers', 'one', 'two', '--interactive'], 'leave out a second prompt'), (['ladder', '--store', '--cache', 'f.jsonl'], 'name one of them'),
    (['copying', '--seed', '5', '--seeds', '2'], 'leave one of them out'), (['ladder', '--show', '--cache', 'a.jsonl'], 'There is no row in a.jsonl that belongs to a rung'), (['results', 'lader'], "did you mean 'ladder'")])
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, args, said):
    import re
    monkeypatch.chdir(tmp_path)
    (tmp_path/'a').write_text(TEXT)
    (tmp_path/'a.jsonl').touch()
    out = shell(*args)
    assert isinstance(out.exception, LMError) and re.search(said, str(out.exception)) and '\n' not in str(out.exception)
    assert not (tmp_path/'x').exists()


def test_a_mistyped_flag_is_told_with_the_nearest():
    out = shell('train', 'a', '--n-hiden', 3)
    assert out.exit_code == 2 and '--n-hidden' in out.stderr + out.stdout


def test_ctrl_c_keeps_all_of_it(tmp_path):
    "In a process of its own: one line, exit 130, and it goes on to the same end."
    file = tmp_path/'my.txt'
    file.write_text(TEXT)
    code = f'''
import signal, os
from lm_from_scratch import cli, runs
real = runs.Training.step
def step(self):
    if self.place.step == 10: os.kill(os.getpid(), signal.SIGINT)
    return real(self)
runs.Training.step = step
import sys
sys.argv = ['lm-from-scratch', 'train', {str(file)!r}, '--out', {str(tmp_path/'run')!r}, '--steps', '24', '--evaluations', '3', '--tokens', 'words', '--n-hidden', '12', '--device', 'cpu']
cli.main()'''
    out = subprocess.run([sys.executable, '-c', code], text=True, capture_output=True)
    assert out.returncode == 130 and 'Go on: lm-from-scratch train --resume' in out.stderr and 'Traceback' not in out.stderr
    assert read_tensors(tmp_path/'run'/'last.safetensors')[1]['step'] == 11
    whole = train_run(file, tmp_path/'whole', {**SMALL, **SIZES['small'], 'n_hidden': 12, 'bs': 32, 'seq_len': 35}, device='cpu')
    same(resume_run(tmp_path/'run', device='cpu'), whole)


def stopped(p, *seen):
    "Ctrl-C for a process that has just said something: it ends at once, with one line."
    asked = time.monotonic()
    p.send_signal(signal.SIGINT)
    try: out, err = p.communicate(timeout=60)
    finally: p.kill()
    assert time.monotonic() - asked < 2*max(1, os.getloadavg()[0]/os.cpu_count()) and p.returncode == 130
    err = ''.join([*seen, err])
    assert err.count('Stopped.') == 1 and 'Traceback' not in err and 'KeyboardInterrupt' not in err, err[-1000:]


@unix
@pytest.mark.parametrize('command, until', [('models', 'rich'), ('notebooks course', 'typer'), ('models', 'torch'), ('doctor', 'torch'), ('results ladder', 'torch')])
def test_ctrl_c_while_a_command_is_being_imported(tmp_path, command, until):
    p = subprocess.Popen([sys.executable, '-X', 'importtime', '-m', 'lm_from_scratch', *command.split()], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    seen = []
    for line in p.stderr:
        seen.append(line)
        if line.rpartition('|')[2].strip().startswith(until + '.'): break
    stopped(p, *seen[-9:])


LONG_CALL = """
from lm_from_scratch import cli
import hashlib
def answer():
    print('begun', flush=True)
    hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31-1)
cli.answer = answer
cli.main()"""


@unix
def test_ctrl_c_in_the_middle_of_a_long_call(tmp_path):
    "As of the tokenizer that learns byte pairs: Python comes to its handlers when such a call is over, minutes later."
    p = subprocess.Popen([sys.executable, '-c', LONG_CALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == 'begun\n'
    time.sleep(.3)
    stopped(p)


@unix
def test_ctrl_c_where_nobody_reads_what_is_said():
    "As when Ctrl-C has ended `| tee log`, too: the sentence is lost, the end is not."
    ours, theirs = os.pipe()
    p = subprocess.Popen([sys.executable, '-c', LONG_CALL], stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    assert p.stdout.readline() == 'begun\n'
    os.close(ours)
    time.sleep(.3)
    p.send_signal(signal.SIGINT)
    try: p.wait(5)
    finally: p.kill()
    assert p.returncode not in (0, -signal.SIGKILL)


@unix
def test_a_child_that_is_ended_ends_nobody_else():
    code = """
from lm_from_scratch import cli
import os, signal, time
def answer():
    child = os.fork()
    if not child: time.sleep(60)
    time.sleep(.3)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    time.sleep(.5)
    return 7
cli.answer = answer
cli.main()"""
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert (out.returncode, out.stdout) == (7, '143\n'), out


def test_help_imports_no_torch():
    code = "import sys; from lm_from_scratch.cli import app\ntry: app(['train', '--help'])\nexcept SystemExit: pass\nassert not {'torch', 'fastai', 'pandas'} & set(sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True).returncode == 0


def test_run_as_a_module():
    out = subprocess.run([sys.executable, '-m', 'lm_from_scratch', '--version'], capture_output=True, text=True)
    assert out.stdout.startswith('lm-from-scratch ')
