"Inspection: the gates are those of nn.LSTM; what is planted is found, and what is not there is not."
import matplotlib
import numpy as np
import pytest
import torch
from functools import partial
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lm_from_scratch.all import *
from lm_from_scratch.inspection import *
from lm_from_scratch.fast_lstm import FastLSTM
from lm_from_scratch.lstm import LSTMCell, FusedLSTMCell

matplotlib.use('Agg')
quick = settings(max_examples=25, deadline=None)
LAYERS = dict(torch=partial(nn.LSTM, batch_first=True), fast=FastLSTM, four=partial(Recurrent, LSTMCell), one=partial(Recurrent, FusedLSTMCell))


# gates and states

@pytest.mark.parametrize('kind', LAYERS)
@pytest.mark.parametrize('n_layers', [1, 2, 3])
@pytest.mark.parametrize('warm', [False, True])
def test_states_are_those_of_the_lstm(kind, n_layers, warm):
    torch.manual_seed(n_layers)
    layers,x = LAYERS[kind](5, 4, n_layers).double(),torch.randn(3, 7, 5).double()
    state = tuple(torch.randn(2, n_layers, 3, 4).double()) if warm else None
    f,(outs,(h,c)) = lstm_states(layers, x, state),layers(x, state)
    for a,b in ((f['hidden'][-1], outs), (f['hidden'][:, :, -1], h), (f['cell'][:, :, -1], c)): assert torch.allclose(a, b, atol=1e-12)
    for name in ('input', 'forget', 'output'): assert 0 < f[name].min() and f[name].max() < 1
    assert f['candidate'].abs().max() < 1
    before = torch.cat([torch.zeros_like(f['cell'][:, :, :1]) if state is None else state[1][:, :, None], f['cell'][:, :, :-1]], 2)
    assert torch.allclose(f['cell'], f['forget']*before + f['input']*f['candidate'], atol=1e-12) # each gate in its own place
    assert torch.allclose(f['hidden'], f['output']*f['cell'].tanh(), atol=1e-12)


def test_a_model_is_read_as_it_reads_and_left_alone():
    m = LanguageModel(9, 6, n_layers=2, rnn='lstm', p=.5, tie_weights=True).train()
    m(torch.randint(9, (2, 3))); h = m.h
    x = torch.randint(9, (2, 11)); s = read_states(m, x)['scores']
    assert m.h is h and m.training
    m.eval(); m.reset(); assert torch.allclose(m(x)[0], s, atol=1e-5)
    assert read_states(m, x[0])['scores'].shape == (1, 11, 9)


@quick
@given(st.integers(0, 1), st.sets(st.integers(0, 5), min_size=1), st.floats(-2, 2))
def test_clamped_units_stay_and_earlier_layers_do_not_notice(layer, units, value):
    torch.manual_seed(0); lstm,x = nn.LSTM(5, 6, 2, batch_first=True),torch.randn(2, 8, 5)
    a,b = lstm_states(lstm, x),lstm_states(lstm, x, clamp={layer: (sorted(units), value)})
    assert torch.allclose(b['cell'][layer][..., sorted(units)], torch.tensor(value))
    for l in range(layer): assert torch.equal(a['cell'][l], b['cell'][l])


def test_clamping_every_unit_forgets_everything():
    m = LanguageModel(9, 6, rnn='lstm')
    x = torch.randint(9, (1, 8)); other = x.clone(); other[:, 0] = (x[:, 0] + 1) % 9
    h = [read_states(m, o, {0: (range(6), 0.)})['scores'][:, 1:] for o in (x, other)]
    assert torch.allclose(*h)


def test_the_heat_map_has_the_words_on_its_axis():
    ax = show_states(torch.randn(3, 5), ['one', '.', 'two'], [7, 8, 9, 10, 11])
    assert [t.get_text() for t in ax.get_xticklabels()] == ['one', '.', 'two']
    assert [t.get_text() for t in ax.get_yticklabels()] == ['7', '8', '9', '10', '11']
    assert ax.images[0].get_array().shape == (5, 3)


# mutual information

@quick
@given(st.integers(2, 6), st.integers(0, 99))
def test_a_copy_of_the_label_has_all_of_its_bits(n, seed):
    y = torch.randint(n, (600,), generator=torch.Generator().manual_seed(seed))
    p = y.bincount(minlength=n)/600; p = p[p > 0]
    mi = mutual_information(y[:, None].double(), y.tolist(), bins=24)
    assert abs(float(mi) + float((p*p.log2()).sum())) < 1e-5


@quick
@given(st.integers(0, 999))
def test_only_the_order_counts_and_names_do_not(seed):
    g = torch.Generator().manual_seed(seed)
    y,v = torch.randint(3, (500,), generator=g),torch.randn(500, 4, generator=g).double()
    a = mutual_information(v, y.tolist())
    assert (a >= 0).all() and (a <= np.log2(3) + 1e-9).all()
    assert torch.allclose(a, mutual_information(3*v + 7, [f'role {i}' for i in y.tolist()]), atol=1e-9)
    assert torch.allclose(a, mutual_information(v**3, y.tolist()), atol=.05)


def test_a_constant_unit_and_a_constant_label_know_nothing():
    assert mutual_information(torch.ones(50, 2), [0, 1]*25).max() == 0
    assert mutual_information(torch.randn(50, 2), ['x']*50).max() < 1e-9


@quick
@given(st.integers(0, 39), st.integers(0, 99))
def test_the_planted_unit_is_found_and_with_permuted_labels_nothing(unit, seed):
    torch.manual_seed(seed)
    y = torch.randint(4, (800,)); v = torch.randn(800, 40)
    v[:, unit] = torch.tensor([2., -1., 0., 1.])[y] + .3*torch.randn(800)
    found = rank_units(v, y.tolist(), n_shuffles=5)
    assert found.unit[0] == unit and found.bits[0] > 5*found.chance[0] and found.bits[1] < 2*found.chance[0]
    nothing = rank_units(v, y[torch.randperm(800)].tolist(), n_shuffles=5)
    assert nothing.bits[0] < 2*nothing.chance[0]


# clamping

@pytest.mark.parametrize('unit', range(5))
def test_the_planted_unit_is_the_one_that_is_missed(unit):
    m = planted_lstm(unit, 5); torch.manual_seed(1)
    x = torch.full((40, 10), 2); x[:, 0] = torch.randint(2, (40,)); x[:, 5] = torch.randint(2, (40,))
    y = torch.cat([x[:, :1].expand(40, 5), x[:, 5:6].expand(40, 5)], 1)
    ranked = rank_units(read_states(m, x)['cell'][0].reshape(-1, 5), y.flatten().tolist(), bins=2)
    assert ranked.unit[0] == unit
    lost = {u: 1 - clamp_accuracy(m, x, y, ['all']*400, [u])['all'] for u in range(5)}
    assert lost[unit] > .2 and all(lost[u] == 0 for u in lost if u != unit)


def test_accuracy_is_sorted_by_kind():
    m = planted_lstm(); x = torch.tensor([[0, 2, 2, 2]])
    acc = clamp_accuracy(m, x, torch.tensor([[0, 0, 1, 1]]), ['right', 'right', 'wrong', 'wrong'])
    assert acc.to_dict() == {'right': 1, 'wrong': 0}


# the ruler

@pytest.mark.parametrize('rnn', ['rnn', 'lstm', 'gru'])
def test_a_swap_is_felt_at_the_last_word_and_the_model_is_left_alone(rnn):
    m = LanguageModel(9, 8, n_layers=2, rnn=rnn, p=.5); m.drop.eval()
    m(torch.randint(9, (3, 4))); h,modes = m.h,[o.training for o in m.modules()]
    x = torch.randint(9, (4, 12))
    felt = swap_by_distance(m, x, 9)
    assert felt.shape == (12,) and (felt >= 0).all() and felt[0] > felt[11]
    assert m.h is h and [o.training for o in m.modules()] == modes
    assert torch.equal(felt, swap_by_distance(m, x, 9)) and not torch.equal(felt, swap_by_distance(m, x, 9, seed=1))


def test_a_model_that_ignores_its_words_feels_nothing():
    m = LanguageModel(9, 8, rnn='lstm'); m.i_h.weight.data.zero_()
    assert swap_by_distance(m, torch.randint(9, (4, 12)), 9).max() < 1e-12


def test_a_memory_of_exactly_one_word():
    m = LanguageModel(9, 8, rnn='rnn'); m.rnn.weight_hh_l0.data.zero_()
    felt = swap_by_distance(m, torch.randint(9, (4, 6)), 9)
    assert felt[0] > 1e-4 and felt[1:].max() < 1e-9


def test_every_word_rnn_has_a_ruler_too():
    assert swap_by_distance(EveryWordRNN(9, 8), torch.randint(9, (4, 6)), 9)[0] > 0


# wrong input

def test_wrong_input_is_named():
    lstm,x = nn.LSTM(5, 4, batch_first=True),torch.zeros(1, 2, 5)
    for error,text,f in [
        (LMError, 'Expected an nn.LSTM', lambda: lstm_states(nn.GRU(5, 4), x)),
        (LMError, 'needs a LanguageModel', lambda: read_states(nn.Linear(2, 2), x)),
        (InvalidSize, 'no layer 1', lambda: lstm_states(lstm, x, clamp={1: ([0], 0.)})),
        (InvalidSize, 'no unit -1', lambda: lstm_states(lstm, x, clamp={0: ([-1], 0.)})),
        (InvalidSize, 'as many', lambda: mutual_information(torch.zeros(3, 2), [1])),
        (EmptyText, 'at least one', lambda: mutual_information(torch.zeros(0, 2), [])),
        (InvalidSize, 'n_shuffles', lambda: rank_units(torch.zeros(3, 2), [1, 2, 3], n_shuffles=0)),
        (InvalidSize, 'at least 2 words', lambda: swap_by_distance(LanguageModel(9, 8), x, 1)),
        (LMError, 'carries a state', lambda: swap_by_distance(nn.Linear(2, 2), x, 9)),
        (InvalidSize, '2 words and 3 columns', lambda: show_states(torch.zeros(3, 4), ['a', 'b']))]:
        with pytest.raises(error, match=text): f()
