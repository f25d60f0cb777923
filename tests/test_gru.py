"GRUs: ours against PyTorch's, in double precision, over sizes, layers and both conventions."
from functools import partial

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.gru import GRUCell, copy_gru, flip_update, gru_parameters
from lm_from_scratch.multilayer import LanguageModel, Recurrent, RNNCell

torch.set_num_threads(1)
sizes = dict(n_in=st.integers(1, 6), n_hidden=st.integers(1, 6), n_layers=st.integers(1, 3), bs=st.integers(1, 4), seq_len=st.integers(1, 8),
             seed=st.integers(0, 99))


def ours(n_in, n_hidden, n_layers, reset_after): return Recurrent(partial(GRUCell, reset_after=reset_after), n_in, n_hidden, n_layers).double()
def torchs(n_in, n_hidden, n_layers): return nn.GRU(n_in, n_hidden, n_layers, batch_first=True).double()


def everything(layers, x, h0):
    x,h0 = x.clone().requires_grad_(),h0.clone().requires_grad_()
    out,h = layers(x, h0)
    g = torch.Generator().manual_seed(0)
    loss = (out*torch.randn(out.shape, generator=g)).sum() + (h*torch.randn(h.shape, generator=g)).sum()
    return [out.detach(), h.detach(), *torch.autograd.grad(loss, [x, h0, *gru_parameters(layers)])]


def largest(a, b): return max(float((p-q).abs().max()) for p,q in zip(a, b, strict=True))


def inputs(n_in, n_hidden, n_layers, bs, seq_len, seed):
    torch.manual_seed(seed)
    return torch.randn(bs, seq_len, n_in).double(),torch.randn(n_layers, bs, n_hidden).double()


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_equal_to_torch(n_in, n_hidden, n_layers, bs, seq_len, seed):
    x,h0 = inputs(n_in, n_hidden, n_layers, bs, seq_len, seed)
    theirs,cells = torchs(n_in, n_hidden, n_layers),ours(n_in, n_hidden, n_layers, True)
    copy_gru(theirs, cells)
    assert largest(everything(cells, x, h0), everything(theirs, x, h0)) < 1e-10
    fresh = ours(n_in, n_hidden, n_layers, True)
    copy_gru(fresh, theirs)                                            # and the other way
    assert largest(everything(fresh, x, h0), everything(theirs, x, h0)) < 1e-10


@pytest.mark.parametrize('order', [(1,0,2), (0,2,1), (2,1,0), (1,2,0), (2,0,1)])
@pytest.mark.parametrize('n_layers', [1, 2, 3])
def test_wrong_gate_order_is_noticed(order, n_layers):
    x,h0 = inputs(5, 4, n_layers, 3, 7, 0)
    theirs,cells = torchs(5, 4, n_layers),ours(5, 4, n_layers, True)
    copy_gru(theirs, cells)
    with torch.no_grad():
        for p in gru_parameters(cells): p.copy_(torch.cat([p.clone().chunk(3)[i] for i in order]))
    a,b = everything(cells, x, h0),everything(theirs, x, h0)
    assert float((a[0]-b[0]).abs().max()) > 1e-2


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_classical_is_the_textbooks(n_in, n_hidden, n_layers, bs, seq_len, seed):
    x,h0 = inputs(n_in, n_hidden, n_layers, bs, seq_len, seed)
    cells = ours(n_in, n_hidden, n_layers, False)
    out,last = cells(x, h0)
    seq,n = x,n_hidden
    for k,cell in enumerate(cells.cells):                              # gate by gate, one matrix each, [h, x] concatenated
        W = [torch.cat([cell.h_h.weight[i*n:(i+1)*n], cell.i_h.weight[i*n:(i+1)*n]], 1) for i in range(3)]
        b = [cell.h_h.bias[i*n:(i+1)*n] + cell.i_h.bias[i*n:(i+1)*n] for i in range(3)]
        h,outs = h0[k],[]
        for x_t in seq.unbind(1):
            hx = torch.cat([h, x_t], 1)
            r,z = ((hx @ W[i].T + b[i]).sigmoid() for i in range(2))
            h = (1-z)*h + z*torch.tanh(torch.cat([r*h, x_t], 1) @ W[2].T + b[2])
            outs.append(h)
        seq = torch.stack(outs, 1)
        torch.testing.assert_close(last[k], h, rtol=0, atol=1e-12)
    torch.testing.assert_close(out, seq, rtol=0, atol=1e-12)


def test_conventions_differ_by_r_alone_once_z_is_flipped():
    x,h0 = inputs(5, 4, 2, 3, 7, 0)
    theirs = torchs(5, 4, 2)
    def gap(flip):
        cells = ours(5, 4, 2, False)
        copy_gru(theirs, cells)
        if flip: flip_update(cells)
        return float((cells(x, h0)[0] - theirs(x, h0)[0]).detach().abs().max())
    assert gap(False) > 1e-2 and gap(True) > 1e-2
    with torch.no_grad(): theirs.bias_ih_l0[:4] = theirs.bias_ih_l1[:4] = 60.
    assert gap(False) > 1e-2 and gap(True) < 1e-12


def test_one_unit_without_biases_makes_the_order_of_r_irrelevant():
    x,h0 = inputs(5, 1, 1, 3, 7, 0)
    theirs,cells = torchs(5, 1, 1),ours(5, 1, 1, False)
    with torch.no_grad():
        for p in gru_parameters(theirs)[2:]: p.zero_()
    flip_update(copy_gru(theirs, cells))
    torch.testing.assert_close(cells(x, h0)[0], theirs(x, h0)[0], rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(reset_after=st.booleans(), **sizes)
def test_state_stays_in_bounds(reset_after, n_in, n_hidden, n_layers, bs, seq_len, seed):
    x,h0 = inputs(n_in, n_hidden, n_layers, bs, seq_len, seed)
    out,h = ours(n_in, n_hidden, n_layers, reset_after)(10*x, h0.tanh())
    assert float(out.abs().max()) <= 1 and float(h.abs().max()) <= 1


@pytest.mark.parametrize('reset_after', [False, True])
def test_chunks_equal_one_long_pass(reset_after):
    x,h = inputs(5, 4, 2, 3, 12, 0)
    cells = ours(5, 4, 2, reset_after)
    whole,end = cells(x, h)
    parts = []
    for part in x.split(5, dim=1):
        out,h = cells(part, h)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(h, end, rtol=0, atol=1e-12)


@pytest.mark.parametrize('reset_after', [False, True])
def test_trains_step_by_step_like_torch_or_not(reset_after):
    torch.manual_seed(0)
    x,y = torch.randint(11, (4, 6)),torch.randint(11, (4, 6))
    a,b = (LanguageModel(11, n_hidden=8, n_layers=2, rnn=rnn).double() for rnn in (partial(Recurrent, partial(GRUCell, reset_after=reset_after)), 'gru'))
    for name in ('i_h', 'h_o'): getattr(a, name).load_state_dict(getattr(b, name).state_dict())
    copy_gru(b.rnn, a.rnn)
    losses = []
    for model in (a, b):
        opt = torch.optim.Adam(model.parameters(), lr=1e-2)
        model.reset()
        for _ in range(10):                                            # the state is carried from step to step
            loss = nn.functional.cross_entropy(model(x)[0].flatten(0, 1), y.flatten())
            opt.zero_grad(); loss.backward(); opt.step()
        losses.append(loss.item())
    assert (abs(losses[0]-losses[1]) < 1e-8) == reset_after


def test_sizes_are_checked():
    with pytest.raises(InvalidSize, match='n_in must be a whole number'): GRUCell(0, 4)
    with pytest.raises(InvalidSize, match='n_hidden must be a whole number'): GRUCell(4, 2.5)
    for a,b in [(torchs(5, 4, 1), ours(5, 4, 2, True)), (torchs(5, 4, 1), ours(4, 4, 1, True)), (nn.GRU(5, 4, bias=False), ours(5, 4, 1, True)),
                (nn.GRU(5, 4, bidirectional=True), ours(5, 4, 1, True))]:
        with pytest.raises(InvalidSize, match='differ in size'): copy_gru(a, b)


def test_other_layers_are_named():
    "What is no GRU is refused by name, not by an AttributeError."
    for layers in (nn.LSTM(5, 4), nn.RNN(5, 4), Recurrent(RNNCell, 5, 4)):
        with pytest.raises(LMError, match=f'not {type(layers).__name__}'): gru_parameters(layers)
