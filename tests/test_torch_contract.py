"What PyTorch refuses, we refuse; what it computes, we compute: the samples and the error cases that come with its wheel, as far as they apply."
import sys
import types
import unittest
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from lm_from_scratch.all import *

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    # the base class of PyTorch's own tests, which are not run here: only their samples are asked for
    sys.modules.setdefault('expecttest', types.SimpleNamespace(TestCase=unittest.TestCase))
    from torch.testing._internal.common_modules import module_db
torch.backends.disable_global_flags.__globals__['__allow_nonbracketed_mutation_flag'] = True    # which that import forbids to the whole process; fastai sets flags so

INFOS = {info.module_cls: info for info in module_db}
RNN_OF = {nn.RNN: [partial(Recurrent, RNNCell)], nn.LSTM: [FastLSTM, partial(Recurrent, LSTMCell), partial(Recurrent, FusedLSTMCell)],
          nn.GRU: [partial(Recurrent, partial(GRUCell, reset_after=True)), partial(Recurrent, GRUCell)]}
CELL_OF = {nn.RNNCell: [RNNCell, LayerNormRNNCell, BatchNormRNNCell], nn.GRUCell: [GRUCell, partial(GRUCell, reset_after=True), LayerNormGRUCell],
           nn.LSTMCell: [LSTMCell, FusedLSTMCell, LayerNormLSTMCell]}


def samples(cls, of='module_inputs_func'):
    f = getattr(INFOS[cls], of)
    return [] if f is None else f(INFOS[cls], device='cpu', dtype=torch.double, requires_grad=True, training=True)


def sizes(arguments): # (n_in, n_hidden, n_layers)
    names = dict(zip(('input_size', 'hidden_size', 'num_layers'), arguments.args))
    names.update(arguments.kwargs)
    return names['input_size'], names['hidden_size'], names.get('num_layers', 1)


def applies(sample):
    "Layers of one direction, with biases, without projections and without dropout between layers."
    k = sample.constructor_input.kwargs
    return k.get('bias', True) and not (k.get('bidirectional') or k.get('proj_size') or k.get('dropout'))


def batch(t, axis):
    "Their samples are single sequences, ours a batch of one."
    return tuple(batch(s, axis) for s in t) if isinstance(t, tuple) else t.unsqueeze(axis)


def flat(out, state): return [out, *(state if isinstance(state, tuple) else [state])]


@pytest.mark.parametrize('cls', RNN_OF, ids=lambda c: c.__name__)
def test_samples_of_the_layers(cls):
    "The shapes of PyTorch; where weights can be copied, its numbers and the gradients of the input too."
    tried = 0
    for sample in samples(cls):
        x, *state = sample.forward_input.args
        if not applies(sample) or x.dim() != 2: continue
        args = [batch(x, 0), *(batch(h, 1) for h in state)]
        names = sizes(sample.constructor_input)
        act = sample.constructor_input.kwargs.get('nonlinearity')
        theirs = cls(*names, batch_first=True, **({'nonlinearity': act} if act else {})).double()
        want = flat(*theirs(*args))
        for make in RNN_OF[cls]:
            ours = make(*names).double()
            if cls is nn.LSTM: load_torch_lstm(ours, theirs)
            if cls is nn.GRU: copy_gru(theirs, ours)
            if cls is nn.RNN:
                for cell, (W, U, b, c) in zip(ours.cells, theirs.all_weights):
                    cell.load_state_dict({'i_h.weight': W, 'h_h.weight': U, 'i_h.bias': b, 'h_h.bias': c})
                    cell.act = getattr(torch, act)
            got = flat(*ours(*args))
            assert [t.shape for t in want] == [t.shape for t in got]
            if cls is not nn.GRU or ours.cells[0].reset_after:
                for a, b in zip(want, got): torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
                a, b = (torch.autograd.grad(sum(t.sum() for t in o), x, retain_graph=True)[0] for o in (want, got))
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
            tried += 1
    assert tried >= 2*len(RNN_OF[cls])


@pytest.mark.parametrize('cls', CELL_OF, ids=lambda c: c.__name__)
def test_samples_of_the_cells(cls):
    tried = 0
    for sample in samples(cls):
        x, *state = sample.forward_input.args
        state = state[0] if state else sample.forward_input.kwargs.get('hx')
        if state is None or not applies(sample): continue
        if x.dim() == 1: x, state = batch(x, 0), batch(state, 0)
        want = cls(*sample.constructor_input.args, **sample.constructor_input.kwargs).double()(x, state)
        for make in CELL_OF[cls]:
            _, new = make(*sizes(sample.constructor_input)[:2]).double().eval()(x, state)
            for a, b in zip(*(t if isinstance(t, tuple) else [t] for t in (want, new)), strict=True): assert a.shape == b.shape
            tried += 1
    assert tried >= len(CELL_OF[cls])


ERRORS = {nn.RNN: [*RNN_OF[nn.RNN], *RNN_OF[nn.GRU]], nn.LSTM: RNN_OF[nn.LSTM], nn.GRU: RNN_OF[nn.GRU], **CELL_OF}


@pytest.mark.parametrize('cls', ERRORS, ids=lambda c: c.__name__)
def test_error_cases_are_refused(cls):
    "In a sentence of ours where the sizes are at fault."
    tried = 0
    for case in samples(cls, 'module_error_inputs_func'):
        made, given = case.module_error_input.constructor_input, case.module_error_input.forward_input
        if made.kwargs or len(made.args) > 3 or isinstance(made.args[-1], str) and made.args[-1].isalpha(): continue
        for make in ERRORS[cls]:
            if given is None:
                with pytest.raises(InvalidSize, match='must be a whole number'): make(*made.args)
            else:
                layers = make(*made.args)
                with pytest.raises((LMError, RuntimeError)): layers(*given.args)
            tried += 1
    assert tried >= 3*len(ERRORS[cls])


CELLS = [c for cells in CELL_OF.values() for c in cells]
LAYERS = [FastLSTM, *(partial(Recurrent, c) for c in CELLS), partial(InputNorm, partial(nn.LSTM, batch_first=True)), partial(InputNorm, partial(nn.GRU, batch_first=True))]


def state_of(layers, *size):
    _, state = layers(torch.randn(4, 5, 3))
    return (torch.randn(size),)*2 if isinstance(state, tuple) else torch.randn(size)


@pytest.mark.parametrize('make', LAYERS, ids=str)
class TestLayers:
    @pytest.mark.parametrize('size', [(7, 4, 6), (1, 4, 6), (2, 1, 6), (2, 5, 6), (2, 4, 5)])
    def test_states_that_do_not_fit(self, make, size):
        "As nn.LSTM and nn.GRU do: more layers than there are, one row for all, other units."
        layers = make(3, 6, 2)
        layers(torch.randn(4, 5, 3), state_of(layers, 2, 4, 6))
        with pytest.raises((LMError, RuntimeError)): layers(torch.randn(4, 5, 3), state_of(layers, *size))

    @pytest.mark.parametrize('size', [(0, 6, 1), (3, 0, 1), (3, 6, 0), (3, 6, -1), (3, 2.5, 1)])
    def test_no_inputs_no_units_no_layers(self, make, size):
        with pytest.raises((LMError, ValueError, TypeError)): make(*size)

    def test_a_batch_of_no_rows(self, make):
        layers = make(3, 6, 2).eval()
        out, state = layers(torch.zeros(0, 5, 3))
        assert out.shape == (0, 5, 6) and (state[0] if isinstance(state, tuple) else state).shape == (2, 0, 6)

    def test_the_meta_device(self, make):
        assert make(3, 6, 2).to('meta').eval()(torch.zeros(4, 5, 3, device='meta'))[0].shape == (4, 5, 6)

    def test_export(self, make):
        if 'StepBatchNorm' in str(make) or 'BatchNormRNNCell' in str(make): pytest.skip('counts its steps in an attribute')
        layers, x = make(3, 6, 2).eval(), torch.randn(4, 5, 3)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.testing.assert_close(torch.export.export(layers, (x,)).module()(x)[0], layers(x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('cell', CELLS, ids=str)
class TestCells:
    @pytest.mark.parametrize('size', [(1, 6), (5, 6), (6,), (4, 5), (1,)])
    def test_states_that_do_not_fit(self, cell, size):
        m, x, bad = cell(3, 6), torch.randn(4, 3), torch.randn(size)
        pair = getattr(m, 'n_states', 1) == 2
        with pytest.raises((LMError, RuntimeError)): m(x, (bad, bad) if pair else bad)
        good = torch.randn(4, 6)
        if pair:
            for state in ((good, bad), (bad, good), good, (good,), (good,)*3):
                with pytest.raises((LMError, RuntimeError)): m(x, state)
        else:
            with pytest.raises(LMError): m(x, (good, good))

    @pytest.mark.parametrize('size', [(0, 6), (3, 0), (-1, 6), (3, 2.5)])
    def test_no_inputs_no_units(self, cell, size):
        with pytest.raises(InvalidSize, match='must be a whole number'): cell(*size)


def test_layer_norm_is_torchs():
    for sample in samples(nn.LayerNorm):
        args, x = sample.constructor_input.args, sample.forward_input.args[0]
        n = args[0] if isinstance(args[0], int) else args[0][0]
        one_axis = isinstance(args[0], int) or len(args[0]) == 1
        if not one_axis or sample.constructor_input.kwargs or not x.numel(): continue
        eps = args[1] if len(args) > 1 else 1e-5
        torch.testing.assert_close(LayerNorm(n, eps).double()(x), nn.LayerNorm(n, eps).double()(x))
