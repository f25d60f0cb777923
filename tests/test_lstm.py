"LSTMs: ours against PyTorch's in double precision, and the derived backward pass."
import copy
import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from lm_from_scratch.course.claims import claims_table
from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.fast_lstm import FastLSTM, FastLSTMFunction
from lm_from_scratch.lstm import FusedLSTMCell, LSTMCell, LSTMFunction, load_torch_lstm, lstm_layer, lstm_weights, to_torch_lstm
from lm_from_scratch.multilayer import Recurrent

torch.set_num_threads(1)


class DerivedLSTM(nn.LSTM): # nn.LSTM's weights, our two passes
    def __init__(self, n_in, n_hidden, n_layers=1): super().__init__(n_in, n_hidden, n_layers, batch_first=True)
    def forward(self, x, state=None):
        zeros,last = x.new_zeros(self.num_layers, len(x), self.hidden_size),[]
        for h,c,(W_ih,W_hh,b_ih,b_hh) in zip(*(state or (zeros, zeros)), self.all_weights):
            x,h,c = LSTMFunction.apply(x, h, c, W_ih, W_hh, b_ih + b_hh)
            last.append((h, c))
        return x, tuple(map(torch.stack, zip(*last)))


CELLS = LSTMCell, FusedLSTMCell
KINDS = dict(four=partial(Recurrent, LSTMCell), one=partial(Recurrent, FusedLSTMCell), derived=DerivedLSTM, fast=FastLSTM)
FUNCTIONS = LSTMFunction, FastLSTMFunction # the readable one and the fast one: one contract
sizes = dict(n_in=st.integers(1, 6), n_hidden=st.integers(1, 6), n_layers=st.integers(1, 3), bs=st.integers(1, 4), seq_len=st.integers(1, 8),
             seed=st.integers(0, 99))


def torchs(n_in, n_hidden, n_layers): return nn.LSTM(n_in, n_hidden, n_layers, batch_first=True).double()


def everything(layers, x, h0, c0):
    x,h0,c0 = (t.clone().requires_grad_() for t in (x, h0, c0))
    outs,(h,c) = layers(x, (h0, c0))
    g = torch.Generator().manual_seed(0)
    layers.zero_grad()
    sum((t*torch.randn(t.shape, generator=g, dtype=t.dtype)).sum() for t in (outs, h, c)).backward()
    return [outs.detach(), h.detach(), c.detach(), x.grad, h0.grad, c0.grad, *sum(lstm_weights(layers, grad=True), ())]


def largest(a, b): return max(float((p-q).abs().max()) for p,q in zip(a, b, strict=True))


def inputs(n_in, n_hidden, n_layers, bs, seq_len, seed):
    torch.manual_seed(seed)
    return [torch.randn(*s).double() for s in ((bs, seq_len, n_in), (n_layers, bs, n_hidden), (n_layers, bs, n_hidden))]


def layer(bs, seq_len, n_in, n, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(s, dtype=dtype).mul_(.5).requires_grad_() for s in ((bs, seq_len, n_in), (bs, n), (bs, n), (4*n, n_in), (4*n, n), (4*n,))]


def loop(x, h, c, W_ih, W_hh, b): # the layer as autograd sees it
    outs = []
    for x_t in x.unbind(1):
        i,f,g,o = (x_t @ W_ih.t() + h @ W_hh.t() + b).chunk(4, 1)
        c = f.sigmoid()*c + i.sigmoid()*g.tanh()
        h = o.sigmoid()*c.tanh()
        outs.append(h)
    return torch.stack(outs, 1), h, c


def close(a, b, tol=1e-12):
    for p,q in zip(a, b, strict=True): torch.testing.assert_close(p, q, rtol=tol, atol=tol)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(list(KINDS)), **sizes)
def test_equal_to_torch(kind, n_in, n_hidden, n_layers, bs, seq_len, seed):
    args = inputs(n_in, n_hidden, n_layers, bs, seq_len, seed)
    theirs,ours = torchs(n_in, n_hidden, n_layers),KINDS[kind](n_in, n_hidden, n_layers).double()
    load_torch_lstm(ours, theirs)
    assert largest(everything(ours, *args), everything(theirs, *args)) < 1e-10
    fresh = KINDS[kind](n_in, n_hidden, n_layers).double()
    assert largest(everything(fresh, *args), everything(to_torch_lstm(fresh), *args)) < 1e-10 # and the other way


@pytest.mark.parametrize('kind', KINDS)
def test_every_wrong_order_is_noticed(kind):
    args = inputs(5, 4, 2, 3, 7, 0)
    theirs = torchs(5, 4, 2)
    right = everything(load_torch_lstm(KINDS[kind](5, 4, 2).double(), theirs), *args)
    assert largest(right, everything(theirs, *args)) < 1e-12
    for order in itertools.permutations(range(4)):
        wrong = copy.deepcopy(theirs)
        with torch.no_grad():
            for p in wrong.parameters(): p.copy_(torch.cat([p.clone().chunk(4)[i] for i in order]))
        got = everything(load_torch_lstm(KINDS[kind](5, 4, 2).double(), wrong), *args)
        assert (float((got[0]-right[0]).abs().max()) > 1e-2) == (order != (0, 1, 2, 3)), order


@pytest.mark.parametrize('kind', KINDS)
def test_float32_at_training_size(kind):
    torch.manual_seed(0)
    theirs = nn.LSTM(64, 64, 2, batch_first=True)
    ours = load_torch_lstm(KINDS[kind](64, 64, 2), theirs)
    args = [t.float() for t in inputs(64, 64, 2, 64, 16, 0)]
    for a,b in zip(everything(ours, *args), everything(theirs, *args), strict=True): assert float((a-b).abs().max()) <= 2e-5*max(1, float(b.abs().max()))


@pytest.mark.parametrize('kind', KINDS)
def test_chunks_and_no_state(kind):
    x,h,c = inputs(5, 4, 2, 3, 12, 0)
    ours = KINDS[kind](5, 4, 2).double()
    whole,end = ours(x, (h, c))
    state,parts = (h, c),[]
    for part in x.split(5, 1):
        out,state = ours(part, state)
        parts.append(out)
    close([torch.cat(parts, 1), *state], [whole, *end])
    close([ours(x)[0]], [ours(x, (h*0, c*0))[0]])


@pytest.mark.parametrize('function', FUNCTIONS)
@pytest.mark.parametrize('size', [(2, 3, 4, 5), (1, 1, 1, 1), (1, 4, 3, 2), (3, 1, 2, 4)])
def test_gradcheck(function, size): assert torch.autograd.gradcheck(function.apply, layer(*size))


@pytest.mark.parametrize('function', FUNCTIONS)
@pytest.mark.parametrize('use', [0, 1, 2])
def test_unused_outputs(function, use):
    args = layer(3, 5, 4, 6)
    close(*(torch.autograd.grad(f(*args)[use].pow(2).sum(), args) for f in (function.apply, loop)))


@pytest.mark.parametrize('function', FUNCTIONS)
@pytest.mark.parametrize('k', range(6))
def test_only_the_gradients_that_are_needed(function, k):
    args = layer(3, 5, 4, 6)
    full = torch.autograd.grad(function.apply(*args)[0].pow(2).sum(), args)
    args = [a.detach().requires_grad_(j == k) for j,a in enumerate(args)]
    function.apply(*args)[0].pow(2).sum().backward()
    close([args[k].grad], [full[k]])
    assert not [a for j,a in enumerate(args) if j != k and a.grad is not None]


@pytest.mark.parametrize('function', FUNCTIONS)
def test_odd_layouts(function):
    args = layer(4, 4, 6, 6)
    args[0] = args[0].detach().transpose(0, 1).requires_grad_()
    args[1] = args[1].detach()[:1].expand(4, 6).requires_grad_()
    args[4] = args[4].detach().t().contiguous().t().requires_grad_()
    dy = torch.randn(4, 6, 4, dtype=torch.float64).transpose(1, 2)
    close(*(torch.autograd.grad(f(*args)[0], args, dy) for f in (function.apply, loop)))
    close(*(torch.autograd.grad(f(*args)[0].sum(), args) for f in (function.apply, loop))) # an expanded gradient


@pytest.mark.parametrize('function', FUNCTIONS)
def test_nothing_handed_in_is_changed_and_backward_can_be_repeated(function):
    args = layer(3, 5, 4, 6)
    old = [a.detach().clone() for a in args]
    outs = function.apply(*args)
    ds = [torch.randn_like(o) for o in outs]
    ds_old = [d.clone() for d in ds]
    first = torch.autograd.grad(outs, args, ds, retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(outs, args, ds)))
    assert all(map(torch.equal, args, old)) and all(map(torch.equal, ds, ds_old))


@pytest.mark.parametrize('function', FUNCTIONS)
def test_no_second_derivative(function):
    "Refused also where the gradient that comes in is a constant: it would be a silent zero."
    args = layer(2, 3, 4, 5)
    for loss in (lambda out: out.sum(), lambda out: out.pow(2).sum()):
        with pytest.raises(LMError, match='no second derivative'): torch.autograd.grad(loss(function.apply(*args)[0]), args, create_graph=True)
    with pytest.raises(LMError, match='no second derivative'):
        torch.autograd.functional.hessian(lambda x: function.apply(x, *args[1:])[0].sum(), args[0])


def test_lstm_layer_keeps_what_the_cell_computes():
    x,h,c,W_ih,W_hh,b = (a.detach() for a in layer(3, 5, 4, 6))
    cell = FusedLSTMCell(4, 6).double()
    with torch.no_grad():
        cell.gates.weight.copy_(torch.cat([W_hh, W_ih], 1))
        cell.gates.bias.copy_(b)
    kept = lstm_layer(x, h, c, W_ih, W_hh, b)
    assert len(kept) == 8 and all(k.shape == (3, 5, 6) for k in kept)
    *gates,c_old,c_new,h_old,h_new = kept
    for t in range(5):
        close([h_old[:, t], c_old[:, t]], [h, c])
        raw = cell.gates(torch.cat([h, x[:, t]], 1)).chunk(4, 1)
        close([g[:, t] for g in gates], [raw[0].sigmoid(), raw[1].sigmoid(), raw[2].tanh(), raw[3].sigmoid()])
        _,(h,c) = cell(x[:, t], (h, c))
        close([h_new[:, t], c_new[:, t]], [h, c])


@pytest.mark.parametrize('cell', CELLS)
def test_a_cell_refuses_states_that_do_not_fit(cell):
    "What would be spread over the rows by broadcasting, and what is no pair."
    m,x,h = cell(5, 4),torch.randn(3, 5),torch.randn(3, 4)
    for c in (h[:1], h[:, :1], h[0], torch.randn(4, 4)):
        with pytest.raises(InvalidSize, match='h and c must be .3, 4.'): m(x, (h, c))
        with pytest.raises(InvalidSize, match='h and c must be .3, 4.'): m(x, (c, h))
    for state in (h, (h,), (h, h, h), None):
        with pytest.raises(InvalidSize, match='is a pair'): m(x, state)
    assert m(x[:0], (h[:0], h[:0]))[0].shape == (0, 4)


@pytest.mark.parametrize('cell', CELLS)
def test_a_cell_has_units_and_inputs(cell):
    for wrong in ((0, 4), (5, 0), (5, 4.), (-1, 4)):
        with pytest.raises(InvalidSize, match='must be a whole number'): cell(*wrong)


def test_what_cannot_be_done_says_so():
    for lstm in (nn.LSTM(5, 4, bias=False), nn.LSTM(5, 4, bidirectional=True), nn.LSTM(5, 4, proj_size=2)):
        with pytest.raises(LMError, match='with biases, with one direction'): load_torch_lstm(Recurrent(LSTMCell, 5, 4), lstm)
    for a in (Recurrent(LSTMCell, 5, 4, 2), Recurrent(LSTMCell, 4, 4), DerivedLSTM(5, 3)):
        with pytest.raises(InvalidSize, match='differ in size'): load_torch_lstm(a, nn.LSTM(5, 4))
    for wrong in (nn.GRU(5, 4), Recurrent(nn.LSTMCell, 5, 4), nn.Linear(5, 4)):
        with pytest.raises(LMError, match='Expected an nn.LSTM'): lstm_weights(wrong)


def test_what_the_chapter_says_about_the_stored_comparisons():
    t = claims_table('cells')
    assert t.difference['rnn-lr'] < 0 and t.verdict['rnn-lr'] != 'supported' # on average tanh does better at .01
    assert t.verdict['lstm-rnn'] == t.verdict['lstm-rnn-lr'] == 'supported'
    assert t.difference['lstm-rnn'] > t.difference['lstm-rnn-lr'] > .08
    assert t.verdict['lstm-relu'] != 'supported'
