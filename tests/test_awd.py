"The rest of AWD-LSTM: each piece does what its paper says, fits the models and loaders that there are, and is off where nothing is trained."
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT  # noqa: F401
from fastai.learner import Callback, CancelFitException
from fastai.optimizer import SGD
from torch import nn

from lm_from_scratch.awd import *
from lm_from_scratch.copying import scores_of
from lm_from_scratch.data import *
from lm_from_scratch.errors import *
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.training import lean_fit, lm_learner
from lm_from_scratch.weight_tying import LMTextLearner

torch.set_num_threads(1)


def corpus(n=2400, words=40):
    g = torch.Generator().manual_seed(0)
    return Corpus((torch.rand(n, generator=g)**3*words).long(), Vocab([f'w{i}' for i in range(words)]))


def learner(n_hidden=16, rnn='lstm', p=0., seed=0, bs=4, seq_len=10, **kwargs):
    torch.manual_seed(seed)
    dls = lm_dataloaders(corpus(), bs=bs, seq_len=seq_len)
    return lm_learner(dls, LanguageModel(40, n_hidden, 2, rnn, p=p, tie_weights=True), **kwargs)


def fit(learn, n=1, lr=1e-2):
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(n, lr)
    return learn


# ---- dropout

def test_locked_dropout_is_one_mask_a_row():
    x = torch.rand(5, 7, 50) + 1
    y = LockedDropout(.3)(x)
    gone = y == 0
    assert (gone == gone[:, :1]).all() and not (gone[0] == gone[1]).all()
    assert torch.allclose(y[~gone], x[~gone]/.7)
    assert torch.equal(LockedDropout(.3).eval()(x), x) and torch.equal(LockedDropout(0.)(x), x)


@pytest.mark.parametrize('make', [LockedDropout, lambda p: EmbeddingDropout(nn.Embedding(3, 2), p), lambda p: DropLSTM(2, 2, weights=p),
                                  lambda p: DropLSTM(2, 2, inputs=p), lambda p: DropLSTM(2, 2, 2, between=p), NoisyWords])
@pytest.mark.parametrize('p', [1., -.1, 'a', float('nan')])
def test_a_share_that_is_none_is_told(make, p):
    with pytest.raises(InvalidSize, match='must be'): make(p)


def test_embedding_dropout_keeps_weights_tied():
    learn = learner()
    m = learn.model
    m.i_h = EmbeddingDropout(m.i_h, .5)
    assert m.h_o.weight is m.i_h.weight and 'i_h.weight' in m.state_dict()
    before = m.i_h.weight.detach().clone()
    fit(learn)
    assert m.h_o.weight is m.i_h.weight and not torch.equal(before, m.i_h.weight)
    emb,ids = EmbeddingDropout(nn.Embedding(30, 4), .5),torch.arange(30).repeat(3)
    rows = emb(ids).view(3, 30, 4)
    assert torch.equal(rows[0], rows[1]) and 0 < (rows[0] == 0).all(1).sum() < 30


@pytest.mark.parametrize('n_layers', [1, 3])
def test_nothing_dropped_is_nn_lstm(n_layers):
    ours,theirs = DropLSTM(5, 4, n_layers, .5, .5, .5).double().eval(),nn.LSTM(5, 4, n_layers, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    x,state = torch.randn(3, 6, 5).double(),tuple(torch.randn(2, n_layers, 3, 4).double())
    for a,b in zip([ours(x, state)[0], *ours(x, state)[1]], [theirs(x, state)[0], *theirs(x, state)[1]]): assert (a-b).abs().max() < 1e-12


def test_dropped_weights_are_the_same_at_every_step():
    "With W_hh all dropped but for what is kept, the output is that of an LSTM with that matrix at all steps; and each batch draws anew."
    ours = DropLSTM(3, 4, weights=.5).double()
    x = torch.randn(2, 9, 3).double()
    torch.manual_seed(5); y = ours(x)[0]
    torch.manual_seed(5); W = F.dropout(ours.weight_hh_l0.detach(), .5)
    theirs = nn.LSTM(3, 4, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    theirs.weight_hh_l0.data = W
    assert (y - theirs(x)[0]).abs().max() < 1e-12 and not torch.equal(ours(x)[0], y)
    y.sum().backward()
    assert ((ours.weight_hh_l0.grad == 0) >= (W == 0)).all()


def test_input_and_between_layers_have_their_own():
    x = torch.randn(2, 5, 8)
    for kw in dict(inputs=.5), dict(between=.5):
        lstm = DropLSTM(8, 8, 2, **kw)
        assert not torch.equal(lstm(x)[0], lstm(x)[0])
        lstm.eval()
        assert torch.equal(lstm(x)[0], lstm(x)[0])
    one = DropLSTM(8, 8, 1, between=.5)   # no layer behind another
    assert torch.equal(one(x)[0], one(x)[0])


# ---- lengths

def test_varying_lengths_lose_nothing():
    dls = lm_dataloaders(corpus(), bs=4, seq_len=10)
    plain = [torch.cat(side, 1) for side in zip(*dls.train)]
    dl = exchange_train(dls, VaryingDL, half=.2, sd=3.).train
    seen = [[x.shape[1] for x,_ in dl] for _ in range(3)]
    assert len({tuple(s) for s in seen}) == 3 and len(set(seen[0])) > 3
    assert torch.equal(torch.cat([x for x,_ in dl], 1), plain[0]) and torch.equal(torch.cat([y for _,y in dl], 1), plain[1])
    assert all(abs(len(s)-len(dl)) <= 1 for s in seen)
    learn = learner()
    exchange_train(learn.dls, VaryingDL)
    fit(learn)
    assert isinstance(learn.dls.train.new(), VaryingDL)


def test_scaled_loss_is_a_scaled_rate():
    "For plain gradient descent; and the figure that is shown stays as it is."
    def end(cbs, lr):
        learn = learner(opt_func=SGD, cbs=cbs, seed=3, seq_len=10)
        learn.dls.train.seq_len = 10
        dl = learn.dls.train
        batch = next(iter(dl))
        dl.batches = lambda: iter([tuple(t[:, :5] for t in batch)])
        with learn.no_bar(), learn.no_logging(): learn.fit(1, lr)
        return learn.model.h_o.bias.detach(), learn.recorder.values[-1][0]
    a,b = end([ScaleByLength()], 2.),end([], 1.)
    assert torch.allclose(a[0], b[0], atol=1e-7) and a[1] == b[1]


# ---- averaging

def test_average_begins_when_the_loss_has_stopped_to_fall():
    seen = []
    class Keep(Callback):
        order = 91
        def after_step(self):
            if averaged.mean is not None: seen.append(self.model.h_o.bias.detach().clone())
    averaged = AveragedSGD(patience=0)
    learn = learner(opt_func=SGD, cbs=[averaged, Keep()])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, .5)
        assert not seen                    # one epoch alone cannot be worse than another
        averaged.losses[:] = [0.]          # nothing will be better than this
        learn.fit(2, .5)
    assert len(seen) == len(learn.dls.train) and torch.allclose(learn.model.h_o.bias, torch.stack(seen).mean(0), atol=1e-6)
    assert averaged.mean is None           # the next training begins anew


def test_the_mean_is_what_is_measured():
    averaged,losses = AveragedSGD(),[]
    learn = learner(opt_func=SGD, cbs=averaged)
    class Start(Callback):
        def before_train(self): averaged.start() if averaged.mean is None else None
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1., cbs=Start())
    with learn.no_bar(): assert abs(learn.validate()[0] - averaged.losses[0]) < 1e-6


def test_a_cancelled_validation_exchanges_nothing():
    "`fit_for` cancels each: the weights that are trained are not to become their mean."
    seen,averaged = [],AveragedSGD()
    class Keep(Callback):
        order = 91
        def after_step(self):
            if averaged.mean is None: averaged.start()
            else: seen.append(self.model.h_o.bias.detach().clone())
    learn = learner(opt_func=SGD, cbs=[averaged, Keep()])
    fit_for(learn, CpuBudget(2.), .5)
    assert len(seen) > len(learn.dls.train) and averaged.losses == []       # beyond one epoch, on a slow machine, too
    assert torch.allclose(learn.model.h_o.bias, torch.stack(seen).mean(0), atol=1e-6)


# ---- the table, the first bias, the softmax

@pytest.mark.parametrize('scaled', [True, False])
def test_a_small_table_is_scaled_where_it_is_read(scaled):
    learn = start_small(learner(n_hidden=64), .05, scaled)
    m,(x,_) = learn.model,learn.dls.one_batch()
    assert m.h_o.weight is m.i_h.weight and abs(m.h_o.weight.std() - .05) < .005
    assert torch.allclose(m.i_h(x), m.h_o.weight[x]*(20 if scaled else 1))
    m.i_h = EmbeddingDropout(m.i_h, .5)          # keeps the scale
    assert torch.allclose(m.eval().i_h(x), m.h_o.weight[x]*(20 if scaled else 1))
    fit(learn)
    assert m.h_o.weight is m.i_h.weight
    with pytest.raises(InvalidSize, match='std must be above 0'): start_small(learn, 0)


def test_counted_words():
    learn = count_words(learner())
    share = learn.model.h_o.bias.exp()
    ids = learn.dls.train.items[0]
    assert abs(share.sum() - 1) < 1e-5 and (share > 0).all()
    assert torch.equal(share.argsort(descending=True, stable=True)[:3], torch.bincount(ids, minlength=40).argsort(descending=True, stable=True)[:3])
    with pytest.raises(LMError, match='`model.h_o`, which Linear does not have'): count_words(lm_learner(learn.dls, nn.Linear(2, 3)))


def test_candidates():
    y = torch.tensor([[3, 17], [3, 39]])
    ids,raised,places = candidates(y, 40, 5, 8)
    assert ids[:7].tolist() == [0, 1, 2, 3, 4, 17, 39] and len(ids.unique()) == 15
    assert torch.equal(ids[places], y.flatten()) and (raised[:7] == 0).all()
    assert torch.allclose(raised[7:].exp()*8, torch.tensor(33.))
    ids,raised,_ = candidates(y, 40, 5, 1000)   # all that there are
    assert len(ids) == 40 and (raised == 0).all()
    ids,_,_ = candidates(y, 40, 40, 3)
    assert ids.tolist() == list(range(40))


def test_sampled_softmax_is_the_softmax_where_the_sample_is_all():
    def grads(n_tail):
        learn = learner()
        if n_tail: sample_softmax(learn, 5, n_tail)
        learn.model.train()
        x,y = learn.dls.one_batch()
        loss = learn.loss_func(learn.model(x)[0], y)
        return [loss, *torch.autograd.grad(loss, list(learn.model.parameters()))]
    for a,b in zip(grads(0), grads(1000)): assert torch.allclose(a, b, atol=1e-6)
    assert not torch.allclose(grads(0)[0], grads(3)[0], atol=1e-7)


def test_sampled_softmax_learns_and_is_measured_with_all_words():
    learn = sample_softmax(count_words(learner(n_hidden=32)), 10, 8)
    fit(learn, 3)
    assert learn.model.h_o.weight is learn.model.i_h.weight
    with learn.no_bar(): shown = learn.validate()[0]
    learn.model.reset()
    total,n = 0.,0
    with torch.no_grad():
        for x,y in learn.dls.valid:
            scores = learn.model(x)[0]
            assert scores.shape[-1] == 40
            total,n = total + F.cross_entropy(scores.flatten(0, 1), y.flatten(), reduction='sum').item(),n + y.numel()
    assert abs(shown - total/n) < 1e-5
    with pytest.raises(LMError, match='does not know the loss'): lean_fit(sample_softmax(learner()), 1, 1e-2)


def test_bfloat16_decoder():
    learn = learner()
    exact = learn.model.eval()(learn.dls.one_batch()[0])[0]
    learn.model.reset()
    learn.model.h_o = BFloat16Decoder(learn.model.h_o)
    close = learn.model(learn.dls.one_batch()[0])[0]
    assert close.dtype == torch.float32 and 0 < (exact-close).abs().max() < .02*exact.abs().max()
    fit(learn)
    assert learn.model.h_o.weight is learn.model.i_h.weight


# ---- time

def test_a_budget_is_spent_and_no_more():
    budget = CpuBudget(.2)
    assert not budget.over and budget.share < .5
    with budget.paused(): _burn(.3)
    assert not budget.over and budget.share < .6
    _burn(.25)
    assert budget.over and budget.share == 1
    with pytest.raises(InvalidSize, match='seconds must be more than 0'): CpuBudget(0)


def _burn(seconds):
    begun = time.process_time()
    while time.process_time()-begun < seconds: pass


def test_fit_for_ends_where_the_budget_does():
    rates,learn = [],learner()
    class Rates(Callback):
        def after_batch(self): rates.append(self.opt.hypers[-1]['lr'])
    learn.add_cb(Rates())
    begun = time.process_time()
    tokens = fit_for(learn, CpuBudget(1.), .01)
    assert time.process_time()-begun < 2
    assert abs(tokens - 40*len(rates)) <= 40 and .008 < max(rates) <= .01
    top = rates.index(max(rates))
    assert rates[:top+1] == sorted(rates[:top+1]) and rates[top:] == sorted(rates[top:], reverse=True)


# ---- the order of the text

def pairs(dl): return sorted(p for x,y in dl for p in (x*100 + y).flatten().tolist())


def test_partial_shuffle_makes_no_false_pair():
    dls = lm_dataloaders(corpus(), bs=4, seq_len=10)
    plain = pairs(dls.train)
    dl = exchange_train(dls, PartialShuffleDL).train
    a,b = (torch.cat([x for x,_ in dl], 1) for _ in range(2))
    assert pairs(dl) == plain and not torch.equal(a, b)
    rows = torch.cat([x for x,_ in lm_dataloaders(corpus(), bs=4, seq_len=10).train], 1)
    for new,old in zip(a, rows): assert any(torch.equal(new, old.roll(-k)) for k in range(len(old)))


def test_overlap_begins_elsewhere_in_turn():
    dls = lm_dataloaders(corpus(), bs=4, seq_len=10)
    rows = torch.cat([x for x,_ in dls.train], 1)
    dl = exchange_train(dls, OverlapDL, parts=2).train
    for first in 0,5,0: assert torch.equal(torch.cat([x for x,_ in dl], 1), rows[:, first:])
    fit(lm_learner(dls, LanguageModel(40, 8)), 2)


def test_overlapped_copies():
    "Each copy begins a share of a sequence later; nothing else is left out, and rows are cut from all of them in one."
    ids = torch.arange(50)
    both = overlapped(ids, 2, 10)
    assert torch.equal(both[:50], ids) and torch.equal(both[50:], ids[5:]) and torch.equal(overlapped(ids, 1, 10), ids)
    assert [len(overlapped(ids, 4, n)) for n in (8, 2)] == [200-2-4-6, 200-0-1-1]
    # what a prime number of rows is for: with as many rows as copies, all rows read the same page at the same time
    def apart(rows): # how near two rows begin, the text taken as a ring
        at = both[:len(both)//rows*rows].view(rows, -1)[:, 0].tolist()
        return min(min((a-b) % 50, (b-a) % 50) for i,a in enumerate(at) for b in at[:i])
    assert apart(2) < 5 and apart(3) > 10
    with pytest.raises(InvalidSize): overlapped(ids, 0)


def test_the_rate_goes_with_the_length_and_comes_back():
    rates, lengths = [], []
    class See(Callback):
        order = 80
        def before_batch(self):
            if self.training: rates.append(self.opt.hypers[-1]['lr']); lengths.append(self.xb[0].shape[1])
    learn = learner(cbs=[RateByLength(), See()])
    exchange_train(learn.dls, VaryingDL, sd=3.)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, .01)
    n = learn.dls.train.seq_len
    assert len(set(lengths)) > 2 and np.allclose(rates, [.01*k/n for k in lengths]) and {h['lr'] for h in learn.opt.hypers} == {.01}


def test_primes():
    assert [prime_below(n) for n in (2, 3, 4, 20, 64, 100)] == [2, 3, 3, 19, 61, 97]
    with pytest.raises(InvalidSize): prime_below(1)


def test_noise_is_for_training_alone_and_leaves_the_targets():
    learn = learner(cbs=NoisyWords(.5, blank=0))
    x,y = next(iter(learn.dls.train))
    seen = []
    class See(Callback):
        order = 200
        def before_batch(self): seen.append((self.training, self.xb[0].clone(), self.yb[0].clone()))
    learn.add_cb(See())
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    first = next(s for s in seen if s[0])
    held = next(s for s in seen if not s[0])
    assert torch.equal(first[2], y) and .2 < (first[1] != x).float().mean() < .8 and (first[1][first[1] != x] == 0).all()
    assert torch.equal(held[1], next(iter(learn.dls.valid))[0])


def test_noise_in_both_loops_is_the_same():
    def end(lean):
        learn = learner(cbs=NoisyWords(.2))
        torch.manual_seed(7)
        if lean: return lean_fit(learn, 2, 1e-2)[-1]['valid_loss']
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 1e-2)
        return learn.recorder.values[-1][1]
    assert end(True) == end(False)


# ---- guessing the past

def test_past_decode_is_added_to_what_is_differentiated():
    "The shown loss stays, the layer learns, and with strength 0 nothing changes."
    def end(strength):
        learn = learner(seed=4)
        decode_past(learn, strength)
        torch.manual_seed(9)
        fit(learn)
        return learn
    a,b = end(0.),end(10.)
    assert not torch.equal(a.model.h_o.bias, b.model.h_o.bias)
    begun = decode_past(learner(seed=4)).model.past.layer.weight
    assert not torch.equal(b.model.past.layer.weight, begun) and b.model.past.bias.abs().max() > 0
    plain = learner(seed=4)
    plain.model.past = a.model.past
    learn = learner(cbs=PastDecode())
    with pytest.raises(LMError, match='decode_past'): fit(learn)


def test_past_decode_is_the_formula_of_the_paper():
    "softmax(tanh(pEW + c)Eᵀ + b) should tell what was read, not what comes next; in double precision, and only what is differentiated has it."
    learn = decode_past(learner(seed=4), .5)
    x,y = next(iter(learn.dls.train))
    torch.nn.init.normal_(learn.model.past.bias)
    seen = {}
    class See(Callback):
        order = 62
        def after_loss(self):
            seen.update(shown=self.loss, used=self.loss_grad, pred=self.pred, x=self.xb[0])
            raise CancelFitException
    learn.add_cb(See())
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    E,past = learn.model.h_o.weight.double(),learn.model.past
    p = seen['pred'].double().softmax(-1)
    scores = torch.tanh(p @ E @ past.layer.weight.double().T + past.layer.bias) @ E.T + past.bias
    nats = -scores.log_softmax(-1).gather(-1, seen['x'][..., None]).mean()
    assert torch.allclose(seen['used'].double(), seen['shown'].double() + .5*nats, rtol=1e-5)


# ---- all of them together

def test_all_at_once_in_both_learners():
    "AWD-LSTM in the small: every piece that can be combined, in one training."
    for kind in lm_learner,LMTextLearner:
        torch.manual_seed(0)
        dls = exchange_train(lm_dataloaders(corpus(), bs=4, seq_len=10), VaryingDL)
        model = LanguageModel(40, 16, 2, lambda *sizes: DropLSTM(*sizes, .3, .2, .2), tie_weights=True)
        model.i_h,model.drop = EmbeddingDropout(model.i_h, .1),LockedDropout(.2)
        learn = kind(dls, model, alpha=2., beta=1., opt_func=SGD, cbs=[AveragedSGD(0), ScaleByLength()])
        count_words(learn)
        with learn.no_bar(), learn.no_logging(): learn.fit(4, 1.)
        with learn.no_bar(): assert learn.validate()[0] < 3.6


# ---- word and state, before they meet

def test_mogrifier_is_what_its_equations_say():
    "Against a loop written from the paper (equations 1 and 2), in double precision, from a state that is not zero."
    torch.manual_seed(0)
    m = Mogrifier(5, 7, 2, rounds=3).double()
    x, h0, c0 = torch.randn(2, 4, 5).double(), torch.randn(2, 2, 7).double(), torch.randn(2, 2, 7).double()
    out, (h_n, c_n) = m(x, (h0, c0))
    seq = x
    for k, layer in enumerate(m.layers):
        h, c, outs = h0[k], c0[k], []
        q1, r2, q3 = (look.weight for look in layer.looks)
        for t in range(4):
            x_t = 2*torch.sigmoid(h @ q1.T)*seq[:, t]
            h_t = 2*torch.sigmoid(x_t @ r2.T)*h
            x_t = 2*torch.sigmoid(h_t @ q3.T)*x_t
            i, f, g, o = (x_t @ layer.cell.weight_ih.T + layer.cell.bias_ih + h_t @ layer.cell.weight_hh.T + layer.cell.bias_hh).chunk(4, 1)
            c = f.sigmoid()*c + i.sigmoid()*g.tanh()
            h = o.sigmoid()*c.tanh()
            outs.append(h)
        seq = torch.stack(outs, 1)
        assert torch.allclose(h_n[k], h, atol=1e-12) and torch.allclose(c_n[k], c, atol=1e-12)
    assert torch.allclose(out, seq, atol=1e-12)


def test_mogrifier_in_a_language_model_carries_its_state():
    torch.manual_seed(0)
    model = LanguageModel(40, 16, 2, Mogrifier, tie_weights=True).eval()
    x = torch.randint(40, (3, 12))
    with torch.no_grad():
        model.reset()
        whole = scores_of(model(x))
        model.reset()
        parts = torch.cat([scores_of(model(x[:, :5])), scores_of(model(x[:, 5:]))], 1)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert fit(learner(rnn=Mogrifier)).validate()[0] < 3.7
    with pytest.raises(InvalidSize, match='rounds'): Mogrifier(4, 4, rounds=-1)
