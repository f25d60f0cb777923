"A learner's training as a run's folder, and back; what fastai promises, tried."
import errno
import json
import os
from functools import partial

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from lm_from_scratch import saving
from lm_from_scratch.all import *
from lm_from_scratch.cli import app
from lm_from_scratch.runs import read_config, resume_run
from lm_from_scratch.saving import LEARNERS, PROMISES, settings_of, tokenizer_of, try_promise

TEXT = ' . '.join(number_words(n) for n in range(1, 260))
CORPUS = Corpus.from_text(TEXT, 'short')
UNKEPT = {('`predict`', 'lm_learner'), ('`MixUp`', 'lm_learner'), ('`MixUp`', 'LMTextLearner')}


@pytest.mark.parametrize('learner', LEARNERS)
@pytest.mark.parametrize('name', PROMISES)
def test_what_fastai_promises(name, learner):
    "The list that makes the table of the page; what cannot be kept is known, and says why in a sentence."
    why = try_promise(name, learner)
    assert bool(why) == ((name, learner) in UNKEPT), why
    assert '\n' not in why and 'Exception' not in why


def test_the_table_is_what_the_list_says():
    nb = json.loads((saving.Path(__file__).parent.parent/'nbs/42_saving.ipynb').read_text(encoding='utf-8'))
    cell = next(c for c in nb['cells'] if c['id'] == 'sav-table-show')
    shown = ''.join(cell['outputs'][0]['data']['text/html'])
    assert shown.count('<td>yes</td>') == 2*len(PROMISES) - len(UNKEPT) and shown.count('<td>no: ') == len(UNKEPT)
    for name in PROMISES: assert f'<td>{name}</td>' in shown


def test_a_promise_that_breaks_is_told(monkeypatch):
    def broken(t): raise ValueError('it broke\nin two lines')
    monkeypatch.setitem(PROMISES, '`save`, `load`', broken)
    assert try_promise('`save`, `load`', 'lm_learner') == 'it broke'


def loaders(corpus=CORPUS, **more): return lm_dataloaders(corpus, **{'bs': 4, 'seq_len': 8, **more})


def learner(make=lm_learner, dls=None, seed=0, **how):
    torch.manual_seed(seed)
    dls = dls or loaders()
    return make(dls, LanguageModel(len(dls.vocab), 12, **{'rnn': 'lstm', **how}))


def fit(learn, n=2, cbs=None, lr=5e-3):
    torch.manual_seed(1)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(n, lr, cbs=cbs)
    return learn


def loss(learn):
    with learn.no_bar(): return learn.validate()[0]


MODELS = [dict(), dict(tie_weights=True, p=.3), dict(rnn='gru', n_layers=2), dict(rnn='rnn'), dict(rnn='relu', n_emb=6),
          dict(rnn=partial(DropLSTM, weights=.2, inputs=.1, between=.1), n_layers=2), dict(rnn=FastLSTM)]


@pytest.mark.parametrize('how', MODELS, ids=['lstm', 'tied', 'gru', 'rnn', 'relu', 'drop', 'fast'])
def test_there_and_back(tmp_path, how):
    learn = fit(learner(**how), cbs=SaveRun(tmp_path/'run'))
    again = learner_from_run(tmp_path/'run', learn.dls, last=True)
    assert loss(again) == pytest.approx(loss(learn), rel=0 if how.get('rnn') is not FastLSTM else 1e-6)
    assert (tmp_path/'run/README.md').is_file() and [r['epoch'] for r in load_run(tmp_path/'run').history] == [1, 2]
    run = load_run(tmp_path/'run', 'cpu')
    assert run.evaluate()['valid'].tokens > 100 and run.generate('one .', 5, temperature=0).startswith('one .')


@pytest.mark.parametrize('make', [lm_learner, LMTextLearner])
def test_the_training_is_the_same_with_it(tmp_path, make):
    a, b = fit(learner(make, p=.3)), fit(learner(make, p=.3), cbs=SaveRun(tmp_path/'run'))
    assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters()))


def test_the_commands_read_it(tmp_path):
    fit(learner(), cbs=SaveRun(tmp_path/'run'))
    shell = lambda *args: CliRunner().invoke(app, list(map(str, args)))
    row = json.loads(shell('evaluate', tmp_path/'run', '--json').stdout)
    assert row['part'] == 'valid' and row['nats'] == load_run(tmp_path/'run').evaluate()['valid'].nats
    assert shell('generate', tmp_path/'run', 'one .', '--words', 3).stdout.startswith('one .')
    out = shell('train', '--resume', tmp_path/'run', '--steps', 3)
    assert isinstance(out.exception, LMError) and 'keeps no training text' in str(out.exception)


def test_best_and_last(tmp_path):
    learn = fit(learner(), 4, SaveRun(tmp_path/'run'), lr=2.)
    run = load_run(tmp_path/'run', 'cpu')
    told = [r['valid_loss'] for r in run.history]
    assert loss(learner_from_run(tmp_path/'run', learn.dls)) == pytest.approx(min(told), abs=1e-6)
    assert loss(learner_from_run(tmp_path/'run', learn.dls, last=True)) == pytest.approx(told[-1], abs=1e-6)


def test_one_callback_goes_on_and_another_is_refused(tmp_path):
    keep, learn = SaveRun(tmp_path/'run'), learner(LMTextLearner)
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(1, cbs=None), learn.fit(1, cbs=keep), learn.fit(1, cbs=keep)
    assert len(load_run(tmp_path/'run').history) == 2
    with pytest.raises(LMError, match='holds a run already'): fit(learner(), cbs=SaveRun(tmp_path/'run'))
    learn.add_cb(SaveRun(tmp_path/'other'))
    with learn.no_bar(), learn.no_logging(): learn.lr_find(show_plot=False), learn.get_preds()
    assert not (tmp_path/'other').exists()                                   # it looks on only while there is a training


@pytest.mark.parametrize('how, said', [
    (dict(rnn=partial(Recurrent, RNNCell)), 'this is another architecture'), (dict(rnn=partial(nn.LSTM, batch_first=True, dropout=.2), n_layers=2), 'this is another architecture'),
    (dict(rnn=partial(nn.LSTM, batch_first=True, bidirectional=False, bias=False)), 'this is another architecture')])
def test_another_architecture_is_refused_before_anything_is_done(tmp_path, how, said):
    learn = learner(**how)
    before = learn.model.h_o.bias.clone()
    with pytest.raises(LMError, match=said) as e: fit(learn, cbs=SaveRun(tmp_path/'run'))
    assert '\n' not in str(e.value) and not (tmp_path/'run').exists() and torch.equal(learn.model.h_o.bias, before)


def test_a_model_of_another_class(tmp_path):
    class Louder(LanguageModel):
        def forward(self, x): scores, raw, out = super().forward(x); return 2*scores, raw, out
    with pytest.raises(LMError, match='another architecture'): fit(lm_learner(loaders(), Louder(len(CORPUS.vocab), 8)), cbs=SaveRun(tmp_path/'run'))
    learn = learner()
    learn.model.forward = lambda x, f=learn.model.forward: tuple(2*t for t in f(x))
    with pytest.raises(LMError, match='gives other scores'): fit(learn, cbs=SaveRun(tmp_path/'run'))
    assert not (tmp_path/'run').exists()


def test_words_and_loaders_that_a_run_cannot_have(tmp_path):
    with pytest.raises(LMError, match="'a b' has a blank"): tokenizer_of(Vocab(['a b', 'c']))
    learn = lm_learner(loaders(every_word=False), StatefulRNN(len(CORPUS.vocab), 8))
    with pytest.raises(LMError, match='every_word=True'): fit(learn, cbs=SaveRun(tmp_path/'run'))
    fit(learner(), cbs=SaveRun(tmp_path/'run'))
    turned = loaders(Corpus(CORPUS.ids, Vocab(list(CORPUS.vocab)[::-1])))
    with pytest.raises(LMError, match='other words than the run'): learner_from_run(tmp_path/'run', turned)
    with pytest.raises(LMError, match='no `dls.train`'): fit(learner_from_run(tmp_path/'run'))
    assert generate(learner_from_run(tmp_path/'run'), 'one .', 3).startswith('one .')
    with pytest.raises(LMError, match='There is no run at'): learner_from_run(tmp_path/'nowhere')


@pytest.mark.parametrize('kind, size', [('chars', None), ('bpe', 280), ('punctuation', None)])
def test_other_tokens(tmp_path, kind, size):
    corpus = text_corpus(['He said: "No, (never)!" – naïve\n'*60], kind=kind, max_words=size)
    learn = fit(learner(dls=loaders(corpus)), cbs=SaveRun(tmp_path/'run'))
    score = load_run(tmp_path/'run', 'cpu').evaluate()['valid']
    assert score.tokens == len(learn.dls.valid.items[0]) - 1 and bool(score.bytes) == (kind != 'punctuation')


def test_a_trained_run_becomes_a_learner(tmp_path):
    run = train_run([TEXT.replace(' . ', ' .\n')], tmp_path/'run', dict(tokens='words', n_hidden=8, n_layers=1, bs=4, seq_len=8, steps=20, sampled=True), device='cpu')
    corpus = text_corpus([TEXT], tokenizer=run.vocab)
    learn = learner_from_run(tmp_path/'run', loaders(corpus))
    assert type(learn.model.h_o) is nn.Linear and learn.model.i_h.scale == 10
    before = loss(learn)
    assert loss(fit(learn, 2)) < before


def test_a_full_disk_in_the_middle(tmp_path, monkeypatch):
    "The training ends with a sentence; the epoch before is whole."
    real, n = os.fsync, []
    def fsync(fd):
        n.append(1)
        if len(n) > 12: raise OSError(errno.ENOSPC, 'No space left on device')
        real(fd)
    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(LMError, match='the disk is full') as e: fit(learner(), 9, SaveRun(tmp_path/'run'))
    assert '\n' not in str(e.value) and load_run(tmp_path/'run', 'cpu').history


def test_a_loss_that_is_no_number(tmp_path):
    learn = learner()
    with torch.no_grad(): learn.model.h_o.bias.fill_(torch.nan)
    with pytest.raises(LMError): fit(learn, cbs=SaveRun(tmp_path/'run'))


def test_settings_of_a_learner():
    learn = learner(tie_weights=True, p=.25)
    s = settings_of(learn)
    assert (s.n_hidden, s.dropout, s.tie_weights, s.scale, s.seq_len, s.bs) == (12, .25, True, 1., 8, 4)


def test_a_metric_that_is_called_perplexity(tmp_path):
    "The page's own column has that name, too."
    learn = learner()
    learn.metrics = [Perplexity(), TokenPerplexity()] if isinstance(learn.metrics, list) else learn.metrics + [Perplexity()]
    fit(learn, 1, cbs=SaveRun(tmp_path/'run'))
    row, = load_run(tmp_path/'run', 'cpu').history
    assert row['perplexity'] == pytest.approx(torch.tensor(row['valid_loss']).exp().item(), rel=1e-4)


def test_of_several_processes_the_first_one_writes(tmp_path):
    from lm_from_scratch.scale import World
    class Together(Callback):
        world = World(1, 2)
    fit(learner(), 1, cbs=[Together(), SaveRun(tmp_path/'run')])
    assert not (tmp_path/'run').exists()
