"Dropout, AR and TAR: properties, and fastai's own behaviour, told as tests that fail when it is mended."
import math, pickle
import pytest, torch
from hypothesis import given, settings, strategies as st
from torch import nn
from fastai.text.all import (Callback, CancelFitException, CrossEntropyLossFlat, Learner, ModelResetter, RNNCallback, RNNRegularizer, rnn_cbs,
                             set_seed)
from lm_from_scratch.data import *
from lm_from_scratch.errors import *
from lm_from_scratch.multilayer import *
from lm_from_scratch.regularization import *
from lm_from_scratch.training import *

torch.set_num_threads(1)
CORPUS = Corpus.from_text(' '.join(human_numbers().vocab.decode(human_numbers().ids[:3000]).split()))


class Added(Callback):  # note what was added to the first batch's loss, then stop
    order = 10
    def after_loss(self): self.learn.added = (self.loss_grad - self.loss).item(); raise CancelFitException()


def learner(*cbs, bs=8, seq_len=5, model=LanguageModel, p=.5):
    set_seed(0, reproducible=True)
    dls = lm_dataloaders(CORPUS, bs=bs, seq_len=seq_len)
    return Learner(dls, model(len(dls.vocab), 16, 2, 'lstm', p=p), loss_func=CrossEntropyLossFlat(), cbs=[ModelResetter(), *cbs])


def fit(learn, n=1):
    with learn.no_bar(), learn.no_logging(): learn.fit(n)
    return learn


def added(cb, bs=8, seq_len=5): return fit(learner(RNNCallback(), cb, Added(), bs=bs, seq_len=seq_len)).added


# --- dropout

@settings(max_examples=40, deadline=None)
@given(p=st.floats(0, .95), shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 2**16))
def test_dropout_zeroes_or_scales(p, shape, seed):
    torch.manual_seed(seed)
    x = torch.rand(shape, dtype=torch.float64) + .1
    out = Dropout(p)(x)
    kept = out != 0
    torch.testing.assert_close(out[kept], x[kept] / (1-p))
    assert out.shape == x.shape and out.dtype == x.dtype
    if p == 0: assert kept.all()


@pytest.mark.parametrize('p', [.1, .3, .5, .9])
def test_dropout_is_distributed_like_torchs(p):
    torch.manual_seed(0)
    n,x = 200_000,torch.ones(200_000)
    for drop in (Dropout(p), nn.Dropout(p)):
        out = drop(x)
        assert abs(float((out == 0).float().mean()) - p) < 5*math.sqrt(p*(1-p)/n)
        assert abs(float(out.mean()) - 1) < 5*math.sqrt(p/(1-p)/n)


def test_dropout_units_are_independent():
    torch.manual_seed(0)
    zero = (Dropout(.5)(torch.ones(100_000, 2)) == 0).double()
    assert abs(float(zero.prod(1).mean()) - .25) < .01


def test_dropout_only_while_training():
    x,drop = torch.randn(4, 4),Dropout(.5)
    assert drop.eval()(x) is x
    assert not torch.equal(drop.train()(x.abs() + 1), x.abs() + 1)
    assert Dropout(0.)(x) is x


def test_dropout_gradient_passes_kept_units_alone():
    torch.manual_seed(0)
    x = torch.rand(3, 7, requires_grad=True)
    out = Dropout(.25)(x)
    out.sum().backward()
    torch.testing.assert_close(x.grad, (out.detach() != 0) / .75)


@pytest.mark.parametrize('p', [1, 1., -.1, 2, None, True, 'half', float('nan')])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(InvalidSize, match='p must be at least 0 and below 1'): Dropout(p)


# --- the penalties

@settings(max_examples=40, deadline=None)
@given(bs=st.integers(1, 4), seq_len=st.integers(1, 6), n=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_penalties_against_a_loop(bs, seq_len, n, seed):
    torch.manual_seed(seed)
    h = torch.randn(bs, seq_len, n)
    values = h.tolist()
    ar = sum(v*v for r in values for s in r for v in s) / (bs*seq_len*n)
    steps = [(b-a)**2 for r in values for s,t in zip(r, r[1:]) for a,b in zip(s, t)]
    assert math.isclose(activation_penalty(h), ar, rel_tol=1e-4)
    assert math.isclose(temporal_penalty(h), sum(steps)/len(steps) if steps else 0, rel_tol=1e-4, abs_tol=1e-9)


def test_temporal_penalty_ignores_the_order_of_rows_but_not_of_steps():
    torch.manual_seed(0)
    h = torch.randn(4, 6, 3)
    torch.testing.assert_close(temporal_penalty(h.flip(0)), temporal_penalty(h))
    assert not torch.isclose(temporal_penalty(h[:, torch.randperm(6)]), temporal_penalty(h))


def test_penalties_are_computed_in_single_precision():
    h = torch.full((2, 3, 4), 300., dtype=torch.float16)                # its square is too large for half precision
    assert activation_penalty(h) == 90_000.


# --- the callback

@pytest.mark.parametrize('kwargs', [dict(alpha=2), dict(beta=1), dict(alpha=.5, beta=3)])
def test_same_as_fastais_where_fastais_is_right(kwargs):
    assert math.isclose(added(ActivationRegularizer(**kwargs)), added(RNNRegularizer(**kwargs)), rel_tol=1e-5) and added(ActivationRegularizer(**kwargs)) > 0


def test_one_row_is_penalized(): assert added(ActivationRegularizer(beta=1), bs=1) > 0
def test_one_step_is_no_change(): assert added(ActivationRegularizer(beta=1), seq_len=1) == 0


def test_gradients_of_the_weights_differ_by_the_penalties_gradient():
    grads = {}
    class Stop(Callback):
        order = 10
        def after_backward(self): grads[self.name_] = [q.grad.clone() for q in self.model.parameters()]; raise CancelFitException()
    for name,(alpha,beta) in dict(none=(0, 0), both=(2, 1)).items():
        stop = Stop(); stop.name_ = name
        learn = fit(learner(RNNCallback(), ActivationRegularizer(alpha, beta), stop, p=0.))
    set_seed(0, reproducible=True)
    dls = lm_dataloaders(CORPUS, bs=8, seq_len=5)
    model = LanguageModel(len(dls.vocab), 16, 2, 'lstm')
    _,raw,out = model(next(iter(dls.train))[0])
    (2*activation_penalty(out) + temporal_penalty(raw)).backward()
    for (name,q),a,b in zip(model.named_parameters(), grads['none'], grads['both']):
        torch.testing.assert_close(b - a, q.grad if q.grad is not None else torch.zeros_like(a), atol=1e-6, rtol=1e-3, msg=name)
    assert any(q.grad is not None and q.grad.abs().max() > 1e-4 for q in model.parameters())


def test_not_on_validation():
    losses = []
    class Note(Callback):
        order = 10
        def after_loss(self):
            if not self.training: losses.append((self.loss_grad - self.loss).item())
    fit(learner(RNNCallback(), ActivationRegularizer(2, 1), Note()))
    assert losses and not any(losses)


def test_nothing_added_without_strength(): assert added(ActivationRegularizer()) == 0


def test_without_rnn_callback_it_says_so():
    with pytest.raises(LMError, match='add `RNNCallback'): fit(learner(ActivationRegularizer(2, 1)))


class OnlyScores(LanguageModel):
    def forward(self, x): return super().forward(x)[0]


def test_a_model_without_activations_is_told_so():
    dls = lm_dataloaders(CORPUS, bs=8, seq_len=5)
    with pytest.raises(LMError, match='returns \\(scores, raw, out\\)'): fit(lm_learner(dls, OnlyScores(len(dls.vocab), 8, rnn='lstm'), alpha=1))


@pytest.mark.parametrize('kwargs', [dict(alpha=-1), dict(beta=-.1), dict(alpha=float('nan')), dict(beta=float('inf')), dict(alpha='1'), dict(alpha=True)])
def test_negative_strength(kwargs):
    with pytest.raises(InvalidSize, match=f'{list(kwargs)[0]} must be at least 0'): ActivationRegularizer(**kwargs)


def test_survives_pickling():
    cb = pickle.loads(pickle.dumps(ActivationRegularizer(2, 1)))
    assert (cb.alpha, cb.beta) == (2, 1)


# --- fastai's own behaviour. When one of these fails, fastai was mended: rewrite the passage in 08_regularization that tells of it.

def test_fastai_bug_tar_is_off_at_batch_size_1(): assert added(RNNRegularizer(beta=1), bs=1) == 0
def test_fastai_bug_tar_is_nan_at_sequence_length_1(): assert math.isnan(added(RNNRegularizer(beta=1), seq_len=1))


def test_fastai_bug_regularizer_alone_fails_on_the_tuple():
    with pytest.raises(AttributeError, match="'tuple' object has no attribute 'view'"): fit(learner(RNNRegularizer(2, 1)))


def test_fastai_bug_regularizer_alone_finds_the_models_layers():
    with pytest.raises(AttributeError, match="'LSTM' object has no attribute 'out'"): fit(learner(RNNRegularizer(2, 1), model=OnlyScores))


def test_fastai_shows_a_loss_without_the_penalty():
    shown = []
    class Note(Callback):
        order = 10
        def after_loss(self): shown.append(self.loss.item()); raise CancelFitException()
    for cbs in (rnn_cbs(), rnn_cbs(2, 1)): fit(learner(*cbs[1:], Note()))
    assert shown[0] == shown[1]
