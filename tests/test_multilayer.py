"Stacked recurrent layers: equal to torch's; the one LanguageModel; a ruler for gradients, checked against known lengths."
import pytest
import torch
import torch.nn.functional as F
from fastai.torch_core import Module
from functools import partial
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lm_from_scratch.all import *

quick = settings(max_examples=20, deadline=None)
ACTS = dict(tanh=torch.tanh, relu=torch.relu)


def text(bs, n, seed=1, n_words=9): return torch.randint(n_words, (bs, n), generator=torch.Generator().manual_seed(seed))


def pair(n_in, n_hidden, n_layers, act):
    "nn.RNN, and our loop with its weights, in float64."
    theirs = nn.RNN(n_in, n_hidden, n_layers, nonlinearity=act, batch_first=True).double()
    ours = Recurrent(partial(RNNCell, act=ACTS[act]), n_in, n_hidden, n_layers).double()
    names = [(f'cells.{i}.{ours_}.{what}', f'{what}_{theirs_}_l{i}') for i in range(n_layers)
             for ours_,theirs_ in (('i_h', 'ih'), ('h_h', 'hh')) for what in ('weight', 'bias')]
    ours.load_state_dict({a: getattr(theirs, b).data.clone() for a,b in names})
    return ours,theirs,names


@quick
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.sampled_from(list(ACTS)), st.booleans(), st.integers(0, 99))
def test_equals_torch(n_in, n_hidden, n_layers, bs, seq_len, act, given_state, seed):
    torch.manual_seed(seed)
    ours,theirs,names = pair(n_in, n_hidden, n_layers, act)
    x,h = torch.randn(bs, seq_len, n_in).double(),torch.randn(n_layers, bs, n_hidden).double()
    weights = torch.randn(bs, seq_len, n_hidden).double()
    got = []
    for m in (ours, theirs):
        x_,h_ = x.clone().requires_grad_(),h.clone().requires_grad_()
        out,state = m(x_, h_) if given_state else m(x_)
        ((out*weights).sum() + state.pow(2).sum()).backward()
        got.append((out, state, x_.grad, *([h_.grad] if given_state else [])))
    for a,b in zip(*got): torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    grads = dict(ours.named_parameters())
    for a,b in names: torch.testing.assert_close(grads[a].grad, getattr(theirs, b).grad, rtol=1e-10, atol=1e-12)


class PairCell(Module):
    "A cell with two states: the running sum of its inputs, and the steps taken."
    n_states = 2
    def __init__(self, n_in, n_hidden): self.lin = nn.Linear(n_in, n_hidden)
    def forward(self, x, state):
        s,n = state
        s,n = s + self.lin(x),n + 1
        return s/n, (s, n)


def test_cells_with_two_states():
    torch.manual_seed(0)
    m,x = Recurrent(PairCell, 3, 4, 2).double(),torch.randn(2, 7, 3).double()
    out,state = m(x)
    assert [tuple(s.shape) for s in state] == [(2, 2, 4)]*2 and (state[1] == 7).all()
    torch.testing.assert_close(out[:, 0], m.cells[1].lin(m.cells[0].lin(x[:, 0])))
    a,h = m(x[:, :3])
    b,h = m(x[:, 3:], h)
    torch.testing.assert_close(torch.cat([a, b], 1), out)
    model = LanguageModel(9, 4, n_layers=2, rnn=partial(Recurrent, PairCell))
    x = text(3, 8)
    whole = model(x)[0]
    model.reset()
    torch.testing.assert_close(torch.cat([model(c)[0] for c in x.split(3, 1)], 1), whole)
    assert isinstance(model.h, tuple) and not any(h.requires_grad for h in model.h)


def test_second_layer_sees_no_future():
    torch.manual_seed(0)
    m,x = Recurrent(RNNCell, 3, 4, 3),torch.randn(2, 9, 3)
    changed = x.clone(); changed[:, 5:] = 0
    a,b = m(x)[0],m(changed)[0]
    assert torch.equal(a[:, :5], b[:, :5]) and not torch.allclose(a[:, 5], b[:, 5])


class TestLanguageModel:
    def test_three_results(self):
        model = LanguageModel(9, 6, n_layers=2, p=.5)
        scores,raw,out = model(text(4, 5))
        assert scores.shape == (4, 5, 9) and raw.shape == out.shape == (4, 5, 6)
        kept = out != 0
        assert 0 < kept.float().mean() < 1
        torch.testing.assert_close(out[kept], 2*raw[kept])              # 1/(1-p), where it is kept
        _,raw,out = model.eval()(text(4, 5))
        assert torch.equal(raw, out)

    @pytest.mark.parametrize('rnn', list(RNNS))
    @pytest.mark.parametrize('bs,n', [(1, 1), (1, 7), (5, 1)])
    def test_smallest(self, rnn, bs, n):
        model = LanguageModel(9, 6, n_layers=2, rnn=rnn)
        for seed in range(2): F.cross_entropy(model(text(bs, n, seed))[0].flatten(0, 1), text(bs, n).flatten()).backward()
        assert all(p.grad.isfinite().all() for p in model.parameters())

    def test_own_loop_equals_torch(self):
        torch.manual_seed(0)
        _,theirs,names = pair(6, 6, 2, 'tanh')
        a,b = LanguageModel(9, 6, n_layers=2).double(),LanguageModel(9, 6, n_layers=2, rnn=partial(Recurrent, RNNCell)).double()
        state = {k: v for k,v in a.state_dict().items() if not k.startswith('rnn.')}
        b.load_state_dict({**state, **{f'rnn.{o}': getattr(a.rnn, t).data for o,t in names}})
        for seed in range(3):                                           # the carried state included
            for p,q in zip(a(text(4, 5, seed)), b(text(4, 5, seed))): torch.testing.assert_close(p, q)

    def test_tied(self):
        model = LanguageModel(9, 6, tie_weights=True)
        assert model.h_o.weight is model.i_h.weight
        assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in LanguageModel(9, 6).parameters()) - 9*6

    @pytest.mark.parametrize('wrong', [dict(n_layers=0), dict(n_hidden=2.5), dict(n_emb=0), dict(p=1), dict(p=-.1), dict(rnn='rmm'), dict(tie_weights=True, n_emb=3)])
    def test_wrong_input(self, wrong):
        with pytest.raises(LMError): LanguageModel(**{'n_words': 9, 'n_hidden': 6, **wrong})

    def test_relu_is_relu(self):
        raw = LanguageModel(9, 16, rnn='relu')(text(4, 5))[1]
        assert raw.min() == 0 and LanguageModel(9, 16, rnn='rnn')(text(4, 5))[1].min() < 0


def with_gain(gain, act, n_hidden=8, seed=0):
    torch.manual_seed(seed)
    model = LanguageModel(9, n_hidden, rnn=partial(Recurrent, partial(RNNCell, act=act))).double()
    cell = model.rnn.cells[0]
    nn.init.orthogonal_(cell.i_h.weight); nn.init.orthogonal_(cell.h_h.weight, gain)
    for layer in (cell.i_h, cell.h_h): nn.init.zeros_(layer.bias)
    return model


class TestRuler:
    @quick
    @given(st.floats(.3, 3), st.integers(2, 12), st.integers(2, 20), st.integers(0, 99))
    def test_linear_is_rho_to_the_k(self, rho, n_hidden, n, seed):
        g = gradient_by_distance(with_gain(rho, lambda z: z, n_hidden, seed), text(3, n), text(3, n, 2))
        torch.testing.assert_close(g/g[0], rho**torch.arange(n).double(), rtol=1e-9, atol=0)

    @quick
    @given(st.floats(.3, 3), st.sampled_from(list(ACTS)), st.integers(0, 99))
    def test_a_slope_never_adds(self, rho, act, seed):
        g = gradient_by_distance(with_gain(rho, ACTS[act], seed=seed), text(3, 12), text(3, 12, 2))
        assert (g <= g[0] * rho**torch.arange(12).double() * (1+1e-9)).all()

    @pytest.mark.parametrize('make', [*(partial(LanguageModel, n_layers=2, rnn=r) for r in RNNS), partial(LanguageModel, tie_weights=True, p=.5),
        partial(LanguageModel, rnn=partial(Recurrent, RNNCell)), EveryWordRNN, StatefulRNN, LoopRNN])
    def test_against_finite_differences(self, make):
        torch.manual_seed(0)
        model,x,y = make(9, n_hidden=6).double(),text(1, 5),text(1, 5, 2)
        g = gradient_by_distance(model, x, y)
        model.eval()
        def loss(step, delta):
            seen = []
            def nudge(m, args, out):
                out = out.detach().clone()
                if out.dim() == 3: out[:, step] += delta
                elif len(seen) == step: out += delta
                seen.append(1)
                return out
            hook = model.i_h.register_forward_hook(nudge)
            getattr(model, 'reset', lambda: None)()
            with torch.no_grad(): scores = model(x)
            hook.remove()
            scores = scores[0] if isinstance(scores, tuple) else scores
            return F.cross_entropy(scores[:, -1] if scores.dim() == 3 else scores, y[:, -1])
        for step in range(5):
            d = 1e-6*torch.eye(6).double()
            want = torch.stack([(loss(step, v) - loss(step, -v))/2e-6 for v in d]).norm()
            torch.testing.assert_close(g[4-step], want, rtol=1e-4, atol=1e-9)

    def test_leaves_the_model_alone(self):
        model,x = LanguageModel(9, 6, n_layers=2, p=.5),text(3, 4)
        before = {k: v.clone() for k,v in model.state_dict().items()}
        model.drop.eval()                                               # a mixed mode comes back as well
        model(x)
        h = model.h
        gradient_by_distance(model, x, x)
        assert model.training and not model.drop.training and model.h is h and not model.i_h._forward_hooks and all(p.grad is None for p in model.parameters())
        assert all(torch.equal(v, before[k]) for k,v in model.state_dict().items())
        model.eval(); gradient_by_distance(model, x, x)
        assert not model.training

    def test_does_not_depend_on_what_was_read_before(self):
        model,x = LanguageModel(9, 6, p=.5),text(3, 4)
        g = gradient_by_distance(model, x, x)
        model(text(3, 4, 5))
        torch.testing.assert_close(gradient_by_distance(model, x, x), g)

    def test_frozen_and_without_grad(self):
        model,x = LanguageModel(9, 6),text(3, 4)
        g = gradient_by_distance(model, x, x)
        for p in model.parameters(): p.requires_grad_(False)
        with torch.no_grad(): torch.testing.assert_close(gradient_by_distance(model, x, x), g)

    def test_cleans_up_after_an_error(self):
        model = LanguageModel(9, 6)
        with pytest.raises(IndexError): gradient_by_distance(model, text(3, 4) + 9, text(3, 4))
        assert not model.i_h._forward_hooks and model.training

    def test_needs_an_embedding(self):
        with pytest.raises(LMError, match='i_h'): gradient_by_distance(nn.Linear(2, 2), text(1, 1), text(1, 1))

    def test_measures_what_floats_can_still_hold(self):
        "The norm must not lose what the gradient holds: squares of 1e-30 are 0 in float32."
        g = gradient_by_distance(with_gain(.5, torch.tanh).float(), text(3, 60), text(3, 60, 2))
        assert 0 < g[-1] < 1e-15 and (g[1:] < g[:-1]).float().mean() > .9


class TestChapter:
    "What the chapter says beside figures that it only shows."
    def test_floats(self):
        def gap(v): return float((torch.nextafter(torch.tensor(v), torch.tensor(torch.inf)) - v) / v)
        assert all(5e-8 < gap(v) < 1.3e-7 for v in (1e-30, 1e-3, 1., 1e3, 1e30))
        for factor,end,steps in ((2., torch.inf, 128), (.5, 0., 150)):
            v = torch.tensor(1.)
            for n in range(steps):
                assert v != end
                v = v*factor
            assert v == end

    @pytest.mark.parametrize('act', list(ACTS))
    def test_gain_one_vanishes_all_the_same(self, act):
        g = gradient_by_distance(with_gain(1., ACTS[act], 64), text(8, 51), text(8, 51, 2))
        assert g[50]/g[0] < 1e-4

    def test_a_bounded_state_can_have_a_gradient_that_is_not(self):
        model,x = with_gain(3., torch.tanh, 64).float(),text(1, 1000)
        scores,raw,_ = model(x)
        loss = F.cross_entropy(scores[0, :-1], x[0, 1:])
        loss.backward()
        assert raw.norm(dim=-1).max() <= 8 and loss < 10
        assert not model.i_h.weight.grad.norm().isfinite()

    def test_depth(self):
        from lm_from_scratch.course.claims import claims_table
        t = claims_table('depth')
        assert t.verdict[['relu-tanh-1', 'relu-tanh-2']].tolist() == ['supported']*2
        hurts = t.loc[['deeper-hurts-tanh', 'deeper-hurts-relu']]
        assert 'supported' not in hurts.verdict.tolist() and (hurts.difference < 0).all()

    def test_the_chain_of_changes(self):
        from lm_from_scratch.course.claims import claims_table
        from lm_from_scratch.course.ladder import load_results
        last = load_results().query("recipe == 'every_word'").accuracy.mean()
        t = claims_table('depth', by='accuracy')
        one = t.loc['relu-tanh-1']
        assert one.better > last > one.worse + .05
