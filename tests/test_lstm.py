"LSTMs: ours against PyTorch's in double precision, the derived backward pass, the drop-in, and its speed."
import copy
import itertools
import pickle
import sys
from functools import partial

import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings, strategies as st
from torch import nn

from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.ladder import load_results
from lm_from_scratch.lstm import FastLSTM, FusedLSTMCell, LSTMCell, LSTMFunction, load_torch_lstm, lstm_weights, to_torch_lstm
from lm_from_scratch.multilayer import LanguageModel, Recurrent

sys.path.insert(0, str(ROOT/'benchmarks'))
torch.set_num_threads(1)
KINDS = dict(four=partial(Recurrent, LSTMCell), one=partial(Recurrent, FusedLSTMCell), fast=FastLSTM)
sizes = dict(kind=st.sampled_from(list(KINDS)), n_in=st.integers(1, 6), n_hidden=st.integers(1, 6), n_layers=st.integers(1, 3), bs=st.integers(1, 4),
             seq_len=st.integers(1, 8), seed=st.integers(0, 99))


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
@given(**sizes)
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


@pytest.mark.parametrize('size', [(2, 3, 4, 5), (1, 1, 1, 1), (1, 4, 3, 2), (3, 1, 2, 4)])
def test_gradcheck(size): assert torch.autograd.gradcheck(LSTMFunction.apply, layer(*size))


@pytest.mark.parametrize('use', [0, 1, 2])
def test_unused_outputs(use):
    args = layer(3, 5, 4, 6)
    close(*(torch.autograd.grad(f(*args)[use].pow(2).sum(), args) for f in (LSTMFunction.apply, loop)))


@pytest.mark.parametrize('k', range(6))
def test_only_the_gradients_that_are_needed(k):
    args = layer(3, 5, 4, 6)
    full = torch.autograd.grad(LSTMFunction.apply(*args)[0].pow(2).sum(), args)
    args = [a.detach().requires_grad_(j == k) for j,a in enumerate(args)]
    LSTMFunction.apply(*args)[0].pow(2).sum().backward()
    close([args[k].grad], [full[k]])
    assert not [a for j,a in enumerate(args) if j != k and a.grad is not None]


def test_odd_layouts():
    args = layer(4, 4, 6, 6)
    args[0] = args[0].detach().transpose(0, 1).requires_grad_()
    args[1] = args[1].detach()[:1].expand(4, 6).requires_grad_()
    args[4] = args[4].detach().t().contiguous().t().requires_grad_()
    dy = torch.randn(4, 6, 4, dtype=torch.float64).transpose(1, 2)
    close(*(torch.autograd.grad(f(*args)[0], args, dy) for f in (LSTMFunction.apply, loop)))
    close(*(torch.autograd.grad(f(*args)[0].sum(), args) for f in (LSTMFunction.apply, loop))) # an expanded gradient


def test_nothing_handed_in_is_changed_and_backward_can_be_repeated():
    args = layer(3, 5, 4, 6)
    old = [a.detach().clone() for a in args]
    outs = LSTMFunction.apply(*args)
    ds = [torch.randn_like(o) for o in outs]
    ds_old = [d.clone() for d in ds]
    first = torch.autograd.grad(outs, args, ds, retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(outs, args, ds)))
    assert all(map(torch.equal, args, old)) and all(map(torch.equal, ds, ds_old))


def test_in_place_changes_of_the_output_are_caught():
    out = LSTMFunction.apply(*layer(3, 5, 4, 6))[0]
    with pytest.raises(RuntimeError):
        out.mul_(2)
        out.sum().backward()


def test_no_second_derivative():
    args = layer(2, 3, 4, 5)
    g = torch.autograd.grad(LSTMFunction.apply(*args)[0].pow(2).sum(), args, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'): g[0].sum().backward()


def test_extremes_saturate():
    args = [a.detach().mul_(1e4).requires_grad_() for a in layer(3, 5, 4, 6, torch.float32)]
    out,h,c = LSTMFunction.apply(*args)
    (out.sum() + c.sum()).backward()
    assert out.isfinite().all() and all(a.grad.isfinite().all() for a in args)


def test_tanh_from_a_sigmoid_is_as_exact_as_promised():
    a = torch.linspace(-12, 12, 20001)
    assert float((1 - 2*torch.sigmoid(-2*a) - a.double().tanh()).abs().max()) < 3e-7


def test_a_seed_gives_the_start_of_nn_lstm_and_checkpoints_fit():
    torch.manual_seed(3); ours = FastLSTM(5, 4, 2)
    torch.manual_seed(3); theirs = nn.LSTM(5, 4, 2, batch_first=True)
    a,b = ours.state_dict(),theirs.state_dict()
    assert list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)
    for m in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))): assert torch.equal(m(torch.ones(1, 2, 5))[0], ours(torch.ones(1, 2, 5))[0])


def last_loss(model): # after twelve steps: now and then a smaller batch, and the state is carried
    opt,gen = torch.optim.Adam(model.parameters(), lr=1e-2),torch.Generator().manual_seed(1)
    for k in range(12):
        ids = torch.randint(11, (3 if k % 4 == 3 else 4, 7), generator=gen)
        loss = nn.functional.cross_entropy(model(ids[:, :-1])[0].flatten(0, 1), ids[:, 1:].flatten())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return loss.item()


@pytest.mark.parametrize('tie_weights', [False, True])
def test_trains_like_nn_lstm(tie_weights):
    "Step by step; our cells do not, since Adam moves two biases further than one."
    def make(rnn):
        torch.manual_seed(0)
        return LanguageModel(11, 8, n_layers=2, rnn=rnn, tie_weights=tie_weights).double()
    theirs,ours,cells = make('lstm'),make(FastLSTM),make(KINDS['one'])
    load_torch_lstm(cells.rnn, theirs.rnn)
    for name in ('i_h', 'h_o'): getattr(cells, name).load_state_dict(getattr(theirs, name).state_dict())
    a,b,c = map(last_loss, (theirs, ours, cells))
    assert abs(a-b) < 1e-9 and abs(a-c) > 1e-6


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('backward_inside', [False, True])
def test_autocast(dtype, backward_inside):
    ours,x = FastLSTM(5, 4, 2),torch.randn(3, 7, 5)
    want = torch.autograd.grad(ours(x)[0].pow(2).sum(), list(ours.parameters()))
    for given_as in (torch.float32, dtype):
        with torch.autocast('cpu', dtype=dtype):
            out,(h,c) = ours(x.to(given_as))
            loss = out.pow(2).sum()
            if backward_inside: got = torch.autograd.grad(loss, list(ours.parameters()))
        if not backward_inside: got = torch.autograd.grad(loss, list(ours.parameters()))
        assert out.dtype == h.dtype == c.dtype == torch.float32
        close(got, want, 1e-5 if given_as == torch.float32 else .05)


def test_a_language_model_under_autocast():
    model = LanguageModel(11, 8, 2, rnn=FastLSTM)
    for _ in range(2):
        with torch.autocast('cpu', dtype=torch.bfloat16): loss = model(torch.randint(11, (4, 6)))[0].float().logsumexp(-1).mean()
        loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_moves_to_other_precisions():
    ours = FastLSTM(5, 4)
    assert ours.double()(torch.ones(1, 2, 5).double())[0].dtype == torch.float64
    assert ours.bfloat16()(torch.ones(1, 2, 5).bfloat16())[0].dtype == torch.bfloat16


def test_what_cannot_be_done_says_so():
    ours,x = FastLSTM(5, 4, 2),torch.randn(3, 7, 5)
    with pytest.raises(InvalidSize, match=r'\(bs, seq_len, 5\)'): ours(x[0])
    with pytest.raises(InvalidSize, match='not .3, 7, 4.'): ours(x[..., :4])
    with pytest.raises(InvalidSize, match='a step or more'): ours(x[:, :0])
    with pytest.raises(InvalidSize, match='PackedSequence'): ours(nn.utils.rnn.pack_sequence([x[0]]))
    with pytest.raises(InvalidSize, match='states h and c must be .2, 3, 4.'): ours(x, (torch.zeros(1, 3, 4),)*2)
    with pytest.raises(LMError, match='weights are torch.float32, but the input is torch.float64'): ours(x.double())
    for wrong in ((0, 4), (5, 0), (5, 4.), (5, 4, 0)):
        with pytest.raises(InvalidSize, match='must be a whole number'): FastLSTM(*wrong)
    for lstm in (nn.LSTM(5, 4, bias=False), nn.LSTM(5, 4, bidirectional=True), nn.LSTM(5, 4, proj_size=2)):
        with pytest.raises(LMError, match='with biases, with one direction'): load_torch_lstm(Recurrent(LSTMCell, 5, 4), lstm)
    for a in (Recurrent(LSTMCell, 5, 4, 2), Recurrent(LSTMCell, 4, 4), FastLSTM(5, 3)):
        with pytest.raises(InvalidSize, match='differ in size'): load_torch_lstm(a, nn.LSTM(5, 4))
    for wrong in (nn.GRU(5, 4), Recurrent(nn.LSTMCell, 5, 4), nn.Linear(5, 4)):
        with pytest.raises(LMError, match='Expected an nn.LSTM'): lstm_weights(wrong)


def test_stored_speed():
    "The goal of the chapter: within 1.25 times the CPU time of nn.LSTM, forward and backward, on one thread, at both sizes."
    t = load_results('lstm_speed')
    t = t[(t.threads == 1) & (t.n_layers == 1)].set_index(['name', 'n_hidden']).ratio
    assert {64, 200} == set(t['FastLSTM'].index)
    for n in (64, 200):
        assert t['FastLSTM', n] <= 1.25
        assert t['FastLSTM', n] < t['one product, inputs first', n] < t['four gates', n]


def test_contestants_compute_the_same():
    from lstm_speed import contestants
    x,state = torch.randn(3, 7, 8),(torch.randn(2, 3, 8), torch.randn(2, 3, 8))
    outs = [m(x, state) for m in contestants(8, n_layers=2).values()]
    for out,(h,c) in outs: close([out, h, c], [outs[0][0], *outs[0][1]], 1e-5)


def test_faster_than_the_loops_here_and_now():
    from lstm_speed import contestants, measure
    for attempt in range(3):                                           # a busy machine gets a second chance, and a third
        r = {name: v['ratio_cpu'] for name,v in measure(contestants(64), 64, 16, 64, rounds=15*(attempt+1)).items()}
        if r['FastLSTM'] < r['one product, inputs first'] and r['FastLSTM'] < r['one product']: return
    pytest.fail(f"FastLSTM is not the fastest of ours: {r}")
