"Carrying state: lazy, any batch size, with the model's device and type, out of the checkpoint, and really used."
import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_from_scratch.all import *

quick = settings(max_examples=25, deadline=None)


def models():
    return [StatefulRNN(9, 6), EveryWordRNN(9, 6)] + [LanguageModel(9, 6, n_layers=2, rnn=rnn) for rnn in ('rnn', 'relu', 'lstm', 'gru')]


def scores(model, x):
    out = model(x)
    return out[0] if isinstance(out, tuple) else out


def tensors(h): return list(h) if isinstance(h, tuple) else [h]


@pytest.fixture(params=range(6), ids=['stateful', 'every_word', 'rnn', 'relu', 'lstm', 'gru'])
def model(request):
    torch.manual_seed(0)
    return models()[request.param].eval()


def text(bs, n, seed=1): return torch.randint(9, (bs, n), generator=torch.Generator().manual_seed(seed))


def test_nothing_is_carried_before_the_first_batch(model): assert model.h is None


def test_chunks_equal_one_pass(model):
    x = text(4, 12)
    whole = scores(model, x)
    model.reset()
    chunks = [scores(model, c) for c in x.split([5, 4, 3], dim=1)]
    last = chunks[-1]
    if whole.dim() == 3: torch.testing.assert_close(torch.cat(chunks, 1), whole)
    else: torch.testing.assert_close(last, whole)


def test_state_matters(model):
    "A model whose state is constant trains just as quietly."
    x0,x1 = text(4, 3),text(4, 3, 2)
    model(x0); a = scores(model, x1)
    model.reset(); b = scores(model, x1)
    model.reset(); model((x0 + 1) % 9); c = scores(model, x1)
    assert (a-b).abs().max() > 1e-3 and (a-c).abs().max() > 1e-3


def test_no_gradient_across_the_cut(model):
    seen = []
    def see(module, inp, out): out.retain_grad(); seen.append(out)
    model.i_h.register_forward_hook(see)
    model(text(2, 3)); n = len(seen)
    scores(model, text(2, 3, 2)).sum().backward()
    assert all(e.grad is None for e in seen[:n]) and all(e.grad is not None for e in seen[n:])
    assert not any(h.requires_grad for h in tensors(model.h))


@quick
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))
def test_rows_come_and_go(before, after, n):
    for model in models():
        model.eval(); model.reset()
        x0,x1 = text(before, 3),text(after, n, 2)
        model(x0); got = scores(model, x1)
        for r in range(after):                                          # row by row, alone, gives the same
            model.reset()
            if r < before: model(x0[r:r+1])
            torch.testing.assert_close(scores(model, x1[r:r+1])[0], got[r], rtol=1e-4, atol=1e-5)


def test_follows_type_and_device(model):
    model(text(3, 4)); model.double()
    assert all(h.dtype == torch.float64 for h in tensors(model.h))
    assert scores(model, text(3, 4)).dtype == torch.float64
    model.to('meta')
    assert all(h.device.type == 'meta' for h in tensors(model.h))


def test_not_in_the_checkpoint(model):
    before = list(model.state_dict())
    model(text(3, 4))
    assert list(model.state_dict()) == before == [n for n,_ in model.named_parameters(remove_duplicate=False)]


def test_copies_and_pickles(model):
    model(text(3, 4))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(scores(other, text(3, 2)), scores(copy.deepcopy(model), text(3, 2)))


def test_fewer_rows_at_the_end_of_training():
    "A last batch with fewer rows, as any DataLoader with drop_last=False makes, must train."
    dls = nword_dataloaders(human_numbers(), bs=1000)
    batches = [b for b in dls.valid]
    assert len(batches[-1][0]) < 1000
    model = StatefulRNN(30, 8)
    for x,y in batches: torch.nn.functional.cross_entropy(model(x), y).backward()


def test_unrolled_and_loop_are_one_model():
    torch.manual_seed(0)
    a,b = UnrolledRNN(30, 16),LoopRNN(30, 16)
    b.load_state_dict(a.state_dict())
    x,y = nword_dataloaders(human_numbers()).one_batch()
    for m in (a, b): torch.nn.functional.cross_entropy(m(x), y).backward()
    assert torch.equal(a(x), b(x))
    for p,q in zip(a.parameters(), b.parameters()): assert torch.equal(p.grad, q.grad)


@quick
@given(st.lists(st.integers(0, 3), min_size=6, max_size=60), st.integers(0, 4))
def test_best_accuracy_is_the_best_guess_of_each_context(ids, k):
    ids = torch.tensor(ids)
    windows = [tuple(ids[i:i+k+1].tolist()) for i in range(len(ids)-k)]
    right = 0
    for known in {w[:k] for w in windows}:
        targets = [w[k] for w in windows if w[:k] == known]
        right += max(targets.count(y) for y in range(4))
    assert best_accuracy_given(ids, k) == right/len(windows)
