"What fastai promises on a `Learner` works on ours: files, other batches, metrics by words, callbacks that stop, a compiled model."
import copy
import errno
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lm_from_scratch.all import *
from lm_from_scratch.learner import NoBatches, WordMetric
from lm_from_scratch.training import FlatAdam, lean_fit

CORPUS = Corpus.from_text(' . '.join(number_words(n) for n in range(1, 400)), 'short')
VOCAB = CORPUS.vocab
RAGGED = dict(bs=4, seq_len=35, drop_last=False)


def loaders(corpus=CORPUS, **kwargs): return lm_dataloaders(corpus, **{'bs': 4, 'seq_len': 8, **kwargs})


def model(n_words=len(VOCAB), seed=0, **kwargs):
    torch.manual_seed(seed)
    return LanguageModel(n_words, 12, **kwargs)


MAKES = [lm_learner, LMTextLearner]


def quiet(learn, n=1):
    with learn.no_bar(), learn.no_logging(): learn.fit(n, 1e-2)
    return learn


def by_hand(learn, dl):
    "Loss and accuracy over all targets, in one reading."
    x, y = (torch.cat(o, dim=1) for o in zip(*dl))
    m = copy.deepcopy(learn.model).eval()
    m.reset()
    with torch.no_grad(): scores = m(x)[0]
    return float(F.cross_entropy(scores.flatten(0, 1), y.flatten())), float((scores.argmax(-1) == y).float().mean()), scores, y


@pytest.mark.parametrize('make', MAKES)
class TestEachWordCountsOnce:
    def test_validate(self, make):
        learn = quiet(make(loaders(**RAGGED), model(), metrics=[accuracy, Perplexity()]))
        widths = [y.shape[1] for _, y in learn.dls.valid]
        assert widths[-1] < widths[0]
        loss, right, _, _ = by_hand(learn, learn.dls.valid)
        with learn.no_bar(): got = learn.validate()
        assert list(got) == pytest.approx([loss, right, torch.tensor(loss).exp().item()], rel=1e-5)
        rows = [F.cross_entropy(p.flatten(0, 1), t.flatten()) for p, t in zip(*(o.split(35, 1) for o in by_hand(learn, learn.dls.valid)[2:]))]
        assert abs(float(torch.stack(rows).mean()) - loss) > 1e-4      # a mean of batches is another number

    def test_lean_and_learner_agree(self, make):
        a = make(loaders(**RAGGED), model(), metrics=[accuracy, Perplexity()])
        rows = lean_fit(a, 1, 1e-2)
        with a.no_bar(): assert list(rows[0].values())[1:] == pytest.approx(list(a.validate()), rel=1e-6)

    def test_get_preds_of_two_lengths_are_joined_over_time(self, make):
        learn = make(loaders(**RAGGED), model())
        _, _, scores, y = by_hand(learn, learn.dls.valid)
        with learn.no_bar():
            for kwargs in ({}, dict(dl=learn.dls.valid)):
                preds, targets = learn.get_preds(**kwargs)
                assert torch.equal(targets, y) and torch.allclose(preds, scores.softmax(-1), atol=1e-5)

    def test_get_preds_of_one_length_as_ever(self, make):
        learn = make(loaders(), model())
        with learn.no_bar(): preds, targets = learn.get_preds()
        assert torch.equal(targets, torch.cat([y for _, y in learn.dls.valid]))

    @pytest.mark.parametrize('options', [dict(drop_last=False), dict(device='cpu'), {}])
    def test_other_batches(self, make, options):
        corpus = Corpus(CORPUS.ids[:1200], VOCAB, valid_ids=CORPUS.ids[1200:1500])
        learn = make(loaders(corpus, **options), model())
        other = learn.dls.valid.new([CORPUS.ids[:300]], num_workers=2)
        with learn.no_bar(): got = learn.validate(dl=other)
        assert list(got) == pytest.approx(by_hand(learn, other)[:2], rel=1e-5)


def test_own_metrics_stay_what_they_are():
    def last(scores, y): return accuracy(scores[:, -1], y[:, -1])
    class Mine(WordMetric): pass
    mine = Mine(last)
    learn = lm_learner(loaders(), model(), metrics=[last, mine])
    assert learn.metrics[1] is mine
    with learn.no_bar(): learn.validate()


@pytest.mark.parametrize('make', MAKES)
class TestFiles:
    def test_export(self, make, tmp_path):
        learn = quiet(make(loaders(), model(), path=tmp_path))
        dls = learn.dls
        learn.model(CORPUS.ids[None, :5])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            learn.export('l.pkl')
            loaded = load_learner(tmp_path/'l.pkl')
        assert learn.dls is dls and learn.opt is not None and loaded.model.h is None
        assert (tmp_path/'l.pkl').stat().st_size < 100_000               # the text stays at home
        assert generate(loaded, 'forty two .', 5) == generate(learn, 'forty two .', 5)
        with loaded.no_bar(), learn.no_bar():
            assert list(loaded.validate(dl=dls.valid)) == list(learn.validate())
            assert torch.equal(loaded.get_preds(dl=dls.valid)[0], learn.get_preds()[0])
        with pytest.raises(NoBatches, match='set `learn.dls` to new loaders'): quiet(loaded)
        loaded.dls = dls
        quiet(loaded)

    def test_a_compiled_model_is_saved_as_what_it_is(self, make, tmp_path):
        fast = make(loaders(), torch.compile(model(), backend='eager'), path=tmp_path)
        fast.save('w'), fast.export('l.pkl')
        assert set(torch.load(tmp_path/'models/w.pth', weights_only=True)) == set(model().state_dict())
        for other in (make(loaders(), model(seed=1), path=tmp_path), make(loaders(), torch.compile(model(seed=1), backend='eager'), path=tmp_path)):
            other.load('w', with_opt=False)
            assert generate(other, 'forty two .', 5) == generate(fast, 'forty two .', 5)

    def test_weights_of_other_words(self, make, tmp_path):
        make(loaders(), model(), path=tmp_path).save('w')
        turned = Corpus(CORPUS.ids, Vocab(list(VOCAB)[::-1]))
        learn = make(loaders(turned), model(seed=1), path=tmp_path)
        before = learn.model.i_h.weight.clone()
        with pytest.raises(LMError, match='another vocabulary'): learn.load('w')
        assert torch.equal(learn.model.i_h.weight, before)
        make(loaders(), model(seed=1), path=tmp_path).load('w')        # the same words

    def test_files_of_before_and_plain_state_dicts_load(self, make, tmp_path):
        learn = make(loaders(), model(), path=tmp_path)
        (tmp_path/'models').mkdir()
        torch.save(model(seed=3).state_dict(), tmp_path/'models/old.pth')
        learn.load('old', with_opt=False)
        assert torch.equal(learn.model.i_h.weight, model(seed=3).i_h.weight)

    def test_what_are_no_weights(self, make, tmp_path):
        learn = quiet(make(loaders(), model(), path=tmp_path))
        path = learn.save('w')
        whole = path.read_bytes()
        with pytest.raises(TextFileError, match='no file at'): learn.load('nowhere')
        for junk in (b'', b'junk', whole[:len(whole)//2], b'{"a": 1}'):
            path.write_bytes(junk)
            with pytest.raises(LMError, match='holds no weights'): learn.load('w')
        path.write_bytes(whole)
        for other in (model(tie_weights=True, rnn='gru'), LanguageModel(len(VOCAB), 8)):
            with pytest.raises(InvalidSize, match='other layers or sizes'): make(loaders(), other, path=tmp_path).load('w')

    def test_encoders(self, make, tmp_path):
        if make is lm_learner: return
        learn = make(loaders(), torch.compile(model(), backend='eager'), path=tmp_path)
        learn.save_encoder('e')
        path = tmp_path/'models/e.pth'
        assert set(torch.load(path, weights_only=True)['weights']) == {k for k in model().state_dict() if k.startswith(('i_h', 'rnn'))}
        other = make(loaders(), torch.compile(model(seed=1), backend='eager'), path=tmp_path).load_encoder('e')
        assert torch.equal(other.model.i_h.weight, learn.model.i_h.weight)
        whole = path.read_bytes()
        for junk in (b'', b'junk', whole[:len(whole)//2]):
            path.write_bytes(junk)
            with pytest.raises(LMError, match='holds no encoder'): learn.load_encoder('e')

    def test_an_old_encoder_stays_until_the_new_one_is_whole(self, make, tmp_path, monkeypatch):
        if make is lm_learner: return
        learn = make(loaders(), model(), path=tmp_path)
        learn.save_encoder('e')
        before = (tmp_path/'models/e.pth').read_bytes()
        def full(*args): raise OSError(errno.ENOSPC, 'full')
        monkeypatch.setattr('os.fsync', full)
        with pytest.raises(TextFileError, match='e.pth cannot be written: the disk is full'): make(loaders(), model(seed=1), path=tmp_path).save_encoder('e')
        assert [f.read_bytes() for f in (tmp_path/'models').iterdir()] == [before]


class TestCallbacksThatStop:
    @staticmethod
    def diverging():
        learn = lm_learner(loaders(), model(), cbs=TerminateOnNaNCallback())
        with torch.no_grad(): learn.model.h_o.bias.fill_(torch.nan)
        return learn

    def test_on_nan_in_the_first_epoch(self):
        run = run_seed(self.diverging, 0, 2, 1e-2, lean=False)
        assert list(run) == ['seed', 'train_loss', 'valid_loss', 'accuracy', 'seconds', 'learn'] and run['valid_loss'] != run['valid_loss']

    def test_the_other_runs_are_kept(self):
        good = lambda: lm_learner(loaders(), model())
        t = compare({'good': good, 'bad': self.diverging, 'again': good}, 1, 1e-2, seeds=1, lean=False)
        assert t.accuracy.isna().tolist() == [False, True, False] and t.accuracy[0] == t.accuracy[2]
        assert summarize(t).loc['bad', 'seeds'] == 0

    def test_early(self):
        stop = lambda: lm_learner(loaders(), model(), cbs=EarlyStoppingCallback('valid_loss', min_delta=100, patience=1))
        run = run_seed(stop, 0, 9, 1e-3, lean=False)
        assert len(run['learn'].recorder.values) == 2 and run['accuracy'] == run['learn'].recorder.values[-1][-1]


def test_a_parameter_without_a_gradient():
    "fastai skips it; the lean loop says so."
    def make():
        m = model()
        m.unused = nn.Parameter(torch.ones(2, 3))
        return lm_learner(loaders(), m)
    with pytest.raises(LMError, match=r'shape \(2, 3\) got no gradient.*lean=False'): run_seed(make, 0, 1, 1e-2)
    run = run_seed(make, 0, 1, 1e-2, lean=False)
    assert torch.equal(run['learn'].model.unused, torch.ones(2, 3))
    adam = FlatAdam(model())
    with pytest.raises(LMError, match='got no gradient'): adam.step(1e-2, .9)


class TestTraps:
    def test_a_model_with_too_few_words(self):
        for make in MAKES:
            with pytest.raises(InvalidSize, match=f'knows 5 words, and the vocabulary has {len(VOCAB)}'): make(loaders(), model(5))

    def test_one_target_and_a_prediction_after_every_word(self):
        learn = lm_learner(loaders(every_word=False), model())
        with pytest.raises(InvalidSize, match='every_word=True'): quiet(learn)
        with pytest.raises(InvalidSize, match='every_word=True'): lean_fit(lm_learner(loaders(every_word=False), model()), 1, 1e-2)
        with pytest.raises(InvalidSize, match='every_word=True'): quiet(lm_learner(loaders(), StatefulRNN(len(VOCAB), 8)))

    @pytest.mark.parametrize('layers', [nn.RNN, nn.LSTM, nn.GRU, lambda *sizes: InputNorm(nn.LSTM, *sizes)])
    def test_layers_that_expect_time_first(self, layers):
        with pytest.raises(LMError, match='batch_first=True'): LanguageModel(9, 4, rnn=layers)

    def test_predict_of_a_plain_learner(self):
        with pytest.raises(LMError, match=r'generate\(learn, text\)'): lm_learner(loaders(), model()).predict('one')

    def test_show_batch(self):
        for make in MAKES:
            t = make(loaders(), model()).dls.show_batch(max_n=2)
            assert list(t) == ['read', 'follows'] and len(t) == 2 and t.read[0].split()[1:] == t.follows[0].split()[:-1]
        with pytest.raises(LMError, match='set `dl.vocab`'): StreamDL([CORPUS.ids], bs=4, seq_len=4).show_batch()
        assert len(loaders().valid.new([CORPUS.ids[:100]]).show_batch()) == 4
