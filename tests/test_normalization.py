"Normalization: against PyTorch's, no peeking, statistics that follow the batch, cells against their equations."
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from torch import nn

from lm_from_scratch.errors import InvalidSize
from lm_from_scratch.multilayer import RNNS, LanguageModel, Recurrent
from lm_from_scratch.normalization import (BatchNormRNNCell, GateNorm, InputNorm, LayerNorm, LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell,
                                           SequenceBatchNorm, StepBatchNorm, StepRecurrent)

torch.set_num_threads(1)
close = partial(torch.testing.assert_close, rtol=0, atol=1e-9)
shapes = dict(bs=st.integers(2, 6), seq_len=st.integers(1, 7), n=st.integers(2, 6), seed=st.integers(0, 99))


def data(bs, seq_len, n, seed, scale=3.):
    torch.manual_seed(seed)
    return scale*torch.randn(bs, seq_len, n, dtype=torch.float64) + torch.randn(n, dtype=torch.float64)


def randomize(module):
    for p in module.parameters(): nn.init.normal_(p)
    return module.double()


@settings(max_examples=30, deadline=None)
@given(**shapes)
def test_layer_norm_is_torchs(bs, seq_len, n, seed):
    x = data(bs, seq_len, n, seed)
    ours,theirs = randomize(LayerNorm(n)),nn.LayerNorm(n).double()
    with torch.no_grad(): theirs.weight.copy_(ours.gain); theirs.bias.copy_(ours.shift)
    a,b = x.clone().requires_grad_(),x.clone().requires_grad_()
    close(ours(a), theirs(b))
    for p,q in zip(torch.autograd.grad(ours(a).pow(3).sum(), [a, *ours.parameters()]), torch.autograd.grad(theirs(b).pow(3).sum(), [b, *theirs.parameters()])):
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(momentum=st.floats(.01, 1.), **shapes)
def test_sequence_norm_is_torchs_over_rows_and_steps(momentum, bs, seq_len, n, seed):
    ours,theirs = SequenceBatchNorm(n, momentum=momentum).double(),nn.BatchNorm1d(n, momentum=momentum).double()
    for k in range(3):
        x = data(bs, seq_len, n, seed+k)
        close(ours(x), theirs(x.flatten(0, 1)).view_as(x))
    close(ours.mean, theirs.running_mean); close(ours.var, theirs.running_var)
    ours.eval(); theirs.eval()
    before = ours.mean.clone()
    close(ours(x), theirs(x.flatten(0, 1)).view_as(x)); close(ours.mean, before)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 7), **shapes)
def test_step_norm_is_torchs_step_by_step(cut, bs, seq_len, n, seed):
    ours,parts,theirs = StepBatchNorm(n, seq_len).double(),StepBatchNorm(n, seq_len).double(),[nn.BatchNorm1d(n).double() for _ in range(seq_len)]
    for k in range(2):
        x = data(bs, seq_len, n, seed+k)
        out = ours(x)
        close(out, torch.stack([theirs[t](x[:, t]) for t in range(seq_len)], 1))
        pieces = [(x[:, :cut], 0), (x[:, cut:], cut)]
        close(parts(x) if not 0 < cut < seq_len else torch.cat([parts(piece, t) for piece,t in pieces], 1), out)
    close(ours.mean, parts.mean); close(ours.var, parts.var)
    close(parts.mean, torch.stack([o.running_mean for o in theirs])); close(parts.var, torch.stack([o.running_var for o in theirs]))
    for o in (ours, *theirs): o.eval()
    close(ours(x), torch.stack([theirs[t](x[:, t]) for t in range(seq_len)], 1))


def test_steps_beyond_the_last_use_the_last():
    norm = StepBatchNorm(4, max_steps=3).double()
    for k in range(5): norm(data(8, 3, 4, k))
    with pytest.raises(InvalidSize, match='max_steps=seq_len'): norm(data(8, 6, 4, 9))
    norm.eval()
    x = data(8, 6, 4, 9)
    close(norm(x)[:, 2:], (x[:, 2:] - norm.mean[2]) / (norm.var[2] + norm.eps).sqrt())


def test_statistics_are_saved_and_move_with_the_model():
    norm = StepBatchNorm(4, max_steps=3)
    norm(data(8, 3, 4, 0).float())
    assert set(norm.state_dict()) == {'gain', 'shift', 'mean', 'var'}
    other = StepBatchNorm(4, max_steps=3); other.load_state_dict(norm.state_dict())
    assert other.double().mean.dtype == torch.float64 and torch.equal(other.mean.float(), norm.mean)


@pytest.mark.parametrize('norm,peeks', [(LayerNorm(4), False), (StepBatchNorm(4), False), (SequenceBatchNorm(4), True), (SequenceBatchNorm(4).eval(), False)])
def test_peeking(norm, peeks):
    x = data(8, 6, 4, 0).float()
    y = x.clone(); y[:, 3:] = 5*torch.randn(8, 3, 4)
    assert (float((norm(x) - norm(y))[:, :3].detach().abs().max()) > 0) == peeks


@pytest.mark.parametrize('norm,bs', [(StepBatchNorm(4), 1), (SequenceBatchNorm(4), 1)])
def test_one_value_has_no_variance(norm, bs):
    with pytest.raises(InvalidSize, match='two values or more'): norm.train()(torch.randn(bs, 1, 4))
    norm.eval()(torch.randn(bs, 1, 4))


def test_sizes_are_checked():
    for cls in (LayerNorm, SequenceBatchNorm, StepBatchNorm):
        with pytest.raises(InvalidSize, match='n_features must be'): cls(0)
    with pytest.raises(InvalidSize, match='max_steps must be'): StepBatchNorm(4, 0)
    with pytest.raises(InvalidSize, match='n_layers must be'): InputNorm(RNNS['rnn'], 4, 4, 0)


def ln(norm, k, x): return F.layer_norm(x, x.shape[-1:]) * norm.gain[k] + norm.shift[k]


def gru(c, x, h):
    i,k = ([ln(norm, j, o) for j,o in enumerate(layer(v).chunk(3, 1))] for norm,layer,v in ((c.i_norm, c.i_h, x), (c.h_norm, c.h_h, h)))
    r,z = (i[0]+k[0]).sigmoid(),(i[1]+k[1]).sigmoid()
    return (1-z)*(i[2] + r*k[2]).tanh() + z*h


def lstm(c, x, state):
    h,cell = state
    i,f,g,o = (ln(c.i_norm, j, a) + ln(c.h_norm, j, b) for j,(a,b) in enumerate(zip(c.i_h(x).chunk(4, 1), c.h_h(h).chunk(4, 1))))
    cell = f.sigmoid()*cell + i.sigmoid()*g.tanh()
    return o.sigmoid()*c.c_norm(cell).tanh(),cell


@settings(max_examples=15, deadline=None)
@given(bs=st.integers(1, 4), n_in=st.integers(1, 5), n=st.integers(2, 6), seed=st.integers(0, 99))
def test_cells_are_their_equations(bs, n_in, n, seed):
    torch.manual_seed(seed)
    x,h,c = (torch.randn(bs, k, dtype=torch.float64) for k in (n_in, n, n))
    cell = randomize(LayerNormRNNCell(n_in, n))
    close(cell(x, h)[1], cell.norm(x @ cell.i_h.weight.T + h @ cell.h_h.weight.T).tanh())
    cell = randomize(LayerNormGRUCell(n_in, n)); close(cell(x, h)[1], gru(cell, x, h))
    cell = randomize(LayerNormLSTMCell(n_in, n))
    out,(h1,c1) = cell(x, (h, c)); a,b = lstm(cell, x, (h, c))
    close(out, a); close(h1, a); close(c1, b)


def test_gate_norm_keeps_gates_apart():
    norm,x = GateNorm(3, 5),torch.randn(2, 15)
    y = x.clone(); y[:, 5:10] *= 100
    close(norm(x)[:, ::2], norm(y)[:, ::2], atol=1e-6)


CELLS = dict(rnn=LayerNormRNNCell, gru=LayerNormGRUCell, lstm=LayerNormLSTMCell)


@pytest.mark.parametrize('name', CELLS)
def test_recurrent_weights_of_any_size_compute_the_same(name):
    torch.manual_seed(0)
    a = Recurrent(CELLS[name], 5, 6, 2).double()
    b = Recurrent(CELLS[name], 5, 6, 2).double(); b.load_state_dict(a.state_dict())
    with torch.no_grad():
        for cell in b.cells: cell.h_h.weight *= 1000; cell.i_h.weight *= 1000
    x = data(3, 20, 5, 0)
    torch.testing.assert_close(a(x)[0], b(x)[0], rtol=0, atol=2e-2)    # but for eps, which guards small variances


@pytest.mark.parametrize('rnn', [*(partial(Recurrent, c) for c in CELLS.values()), *(partial(InputNorm, RNNS[n], norm=m) for n in ('rnn', 'gru', 'lstm')
                                 for m in (SequenceBatchNorm, StepBatchNorm, LayerNorm)), partial(StepRecurrent, BatchNormRNNCell)])
def test_in_a_language_model(rnn):
    torch.manual_seed(0)
    model = LanguageModel(11, n_hidden=8, n_layers=2, rnn=rnn)
    x = torch.randint(11, (4, 16))
    scores,raw,out = model(x)
    assert scores.shape == (4, 16, 11) and raw.shape == (4, 16, 8)
    scores.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval(); model.reset(); a = torch.cat([model(p)[0] for p in x.split(16, dim=1)], 1)
    first = model(x[:2])[0]; model.reset(); model(x); again = model(x)[0]
    close(first, again[:2], atol=1e-5)                                 # fewer rows go on with their state; in use, company does not matter
    model.reset(); close(model(x)[0], a, atol=1e-6)


@pytest.mark.parametrize('name', ['rnn', 'gru', 'lstm'])
def test_input_norm_that_does_nothing_is_torchs_layers(name):
    torch.manual_seed(0)
    ours,theirs = InputNorm(RNNS[name], 5, 6, 2, norm=lambda n: nn.Identity()),RNNS[name](5, 6, 2)
    with torch.no_grad():
        for k,layer in enumerate(ours.layers):
            for p,q in zip(layer.all_weights[0], theirs.all_weights[k]): p.copy_(q)
    x = data(3, 7, 5, 0).float()
    (a,h),(b,k) = ours(x),theirs(x)
    (c,h),(d,k) = ours(x, h),theirs(x, k)
    close(a, b, atol=1e-6); close(c, d, atol=1e-6)
    for p,q in zip(*((s if isinstance(s, tuple) else (s,)) for s in (h, k))): close(p, q, atol=1e-6)


def test_steps_are_counted_from_the_beginning_of_each_batch():
    layers = StepRecurrent(BatchNormRNNCell, 5, 6, 2)
    for n in (7, 3): layers(data(4, n, 5, n).float()); assert [c.t for c in layers.cells] == [n, n]
