"Generation: sampling is what it says, a word costs one step, the model is left as it was."
import itertools
import math

import numpy as np
import pytest
import torch
from functools import partial
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lm_from_scratch.all import *
from lm_from_scratch.generation import *
from lm_from_scratch.fast_lstm import FastLSTM
from lm_from_scratch.lstm import LSTMCell
from lm_from_scratch.gru import GRUCell

quick = settings(max_examples=40, deadline=None)
VOCAB = human_numbers().vocab
PROMPT = 'eight thousand forty two .'
RNN_KINDS = dict(rnn='rnn', relu='relu', lstm='lstm', gru='gru', fast=FastLSTM, ours=partial(Recurrent, RNNCell),
                 our_lstm=partial(Recurrent, LSTMCell), our_gru=partial(Recurrent, GRUCell))


def lm(rnn='lstm', seed=0, **kwargs):
    torch.manual_seed(seed)
    return LanguageModel(len(VOCAB), 12, n_layers=2, rnn=RNN_KINDS.get(rnn, rnn), p=.5, **kwargs)


def every_word(): torch.manual_seed(0); return EveryWordRNN(len(VOCAB), 12)


MODELS = {**{k: partial(lm, k) for k in RNN_KINDS}, 'tied': partial(lm, tie_weights=True), 'every_word': every_word}
say = partial(generate, vocab=VOCAB)


def scores(seed, n=30, scale=3.): return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)*scale
def entropy(p): return float(-(p[p > 0]*p[p > 0].log()).sum())


# the distribution

@quick
@given(st.integers(0, 10**6), st.floats(0, 1e3), st.one_of(st.none(), st.integers(1, 40)), st.one_of(st.none(), st.floats(.01, 1)))
def test_probabilities_sum_to_one_and_keep_the_order(seed, t, k, q):
    s = scores(seed); p = word_probs(s, t, k, q)
    assert p.shape == s.shape and (p >= 0).all() and math.isclose(float(p.sum()), 1, abs_tol=1e-9)
    order = s.argsort(descending=True)
    assert (p[order].diff() <= 1e-12).all() and p[s.argmax()] > 0
    if k: assert (p > 0).sum() <= k


@quick
@given(st.integers(0, 10**6), st.floats(1e-300, 1e-4))
def test_temperature_to_zero_is_argmax(seed, t):
    s = scores(seed)
    first,second = s.topk(2).values.tolist()
    t = min(t, (first - second)/40)                                    # the nearer the second, the colder it must be
    assert torch.allclose(word_probs(s, t), word_probs(s, 0), atol=1e-6)
    assert word_probs(s, 0).argmax() == s.argmax() and word_probs(s, 0).max() == 1


@quick
@given(st.integers(0, 10**6), st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=6))
def test_entropy_is_monotone_in_temperature(seed, temps):
    s = scores(seed)
    h = [entropy(word_probs(s, t)) for t in sorted(temps)]
    assert all(b >= a - 1e-9 for a,b in zip(h, h[1:])) and h[-1] <= math.log(30) + 1e-9


@quick
@given(st.integers(0, 10**6), st.floats(.01, 1))
def test_the_nucleus_is_the_smallest_set_that_suffices(seed, q):
    s = scores(seed); full,cut = word_probs(s),word_probs(s, top_p=q)
    kept = cut > 0
    assert full[kept].sum() >= q - 1e-9
    assert full[kept].sum() - full[kept].min() < q + 1e-12              # without its least word it would not do
    assert torch.allclose(cut[kept], full[kept]/full[kept].sum())


def test_top_k_keeps_exactly_k_even_with_ties():
    assert int((word_probs(torch.zeros(30), top_k=3) > 0).sum()) == 3
    assert int((word_probs(torch.zeros(30), top_k=99) > 0).sum()) == 30


def test_huge_scores_do_not_overflow():
    p = word_probs(torch.tensor([1e6, 0., -1e6]), 1e-3)
    assert p.tolist() == [1, 0, 0]
    assert torch.equal(word_probs(torch.tensor([1., 2., -torch.inf])) > 0, torch.tensor([True, True, False]))


def test_draws_follow_the_probabilities():
    m = lm(); p = word_probs(Reader(m)(VOCAB.encode(PROMPT)), 2.)
    draws = torch.zeros(30)
    for seed in range(400): draws[VOCAB[next(generate_stream(m, PROMPT, 1, 2., seed=seed, vocab=VOCAB))]] += 1
    assert (draws/400 - p).abs().max() < .08


# the cost

@pytest.mark.parametrize('name', MODELS)
def test_a_word_costs_one_step_however_long_the_text(name):
    m,calls = MODELS[name](),[]
    m.i_h.register_forward_pre_hook(lambda mod, args: calls.append(args[0].numel()))
    say(m, PROMPT, 200)
    steps = 5 + 199
    if name == 'every_word': assert calls == [1]*steps                 # it embeds word by word
    else: assert calls == [5] + [1]*199


@pytest.mark.parametrize('name', MODELS)
def test_greedy_with_state_equals_reading_everything_anew(name):
    m = MODELS[name]().eval()
    ids = VOCAB.encode(PROMPT)
    for _ in range(12):
        m.reset(); out = m(ids[None]); out = out[0] if isinstance(out, tuple) else out
        ids = torch.cat([ids, out[0, -1].argmax()[None]])
    m.reset()
    assert say(m, PROMPT, 12) == VOCAB.decode(ids)


@pytest.mark.parametrize('name', MODELS)
@quick
@given(cuts=st.lists(st.integers(1, 29), max_size=5, unique=True))
def test_pieces_equal_one_pass(name, cuts):
    m = MODELS[name]().double()
    ids = human_numbers().ids[100:130]
    reader = Reader(m)
    for piece in ids.tensor_split(sorted(cuts)): s = reader(piece)
    assert torch.allclose(s, Reader(m)(ids), atol=1e-9)


# the model is left as it was

@pytest.mark.parametrize('name', MODELS)
def test_state_and_mode_are_left_alone(name):
    m = MODELS[name]().train()
    if hasattr(m, 'drop'): m.drop.eval()                               # a mixed mode must come back as well
    m(torch.randint(30, (3, 4)))
    before,h = [o.training for o in m.modules()],m.h
    words = generate_stream(m, PROMPT, vocab=VOCAB)
    for _ in range(3): next(words); assert m.h is h and [o.training for o in m.modules()] == before
    say(m, PROMPT, 5)
    assert m.h is h and [o.training for o in m.modules()] == before
    assert all(p.grad is None for p in m.parameters())


def test_state_is_left_alone_after_an_error():
    m = lm(); m(torch.randint(30, (3, 4))); h = m.h
    m.h_o.register_forward_hook(lambda *args: (_ for _ in ()).throw(RuntimeError('broken')))
    with pytest.raises(RuntimeError, match='broken'): say(m, PROMPT)
    assert m.h is h and m.training


def test_streams_of_one_model_do_not_disturb_each_other():
    m = lm()
    a,b = (generate_stream(m, p, 15, vocab=VOCAB) for p in (PROMPT, 'one . two .'))
    pairs = list(zip(a, b))
    assert PROMPT + ' ' + ' '.join(w for w,_ in pairs) == say(m, PROMPT, 15)
    assert 'one . two . ' + ' '.join(w for _,w in pairs) == say(m, 'one . two .', 15)


def test_training_goes_on_between_two_words():
    m = lm(); words = generate_stream(m, PROMPT, vocab=VOCAB); next(words)
    m.train(); m.reset(); m(torch.randint(30, (2, 5)))[0].sum().backward(); next(words)
    assert m.i_h.weight.grad is not None and m.training


# seeds

def test_seeds():
    m = lm()
    draw = partial(say, m, PROMPT, 30, temperature=1.)
    state = torch.get_rng_state()
    assert draw(seed=1) == draw(seed=1) != draw(seed=2)
    assert torch.equal(torch.get_rng_state(), state)                   # a seed leaves PyTorch's own random numbers alone
    torch.manual_seed(3); a = draw()
    torch.manual_seed(3); assert draw() == a != draw()
    assert say(m, PROMPT, 30) == say(m, PROMPT, 30, temperature=1., top_k=1) == say(m, PROMPT, 30, temperature=1., top_p=1e-9)


# log-probabilities

@pytest.mark.parametrize('temperature', [0, 1., 3.])
def test_logprobs_are_those_of_one_reading_whatever_the_sampler(temperature):
    m = lm().double().eval()
    text,lp = say(m, PROMPT, 20, temperature=temperature, seed=0, logprobs=True)
    ids = VOCAB.encode(text); m.reset()
    at_once = m(ids[None])[0][0].log_softmax(-1)[4:-1].gather(1, ids[5:, None])[:, 0]
    assert torch.allclose(torch.tensor(lp, dtype=torch.float64), at_once, atol=1e-9)


def test_stream_yields_what_generate_joins():
    m = lm()
    assert PROMPT + ' ' + ' '.join(generate_stream(m, PROMPT, 9, vocab=VOCAB)) == say(m, PROMPT, 9)
    assert list(generate_stream(m, PROMPT, 9, logprobs=True, vocab=VOCAB))[-1][1] == say(m, PROMPT, 9, logprobs=True)[1][-1]
    assert len(list(itertools.islice(generate_stream(m, PROMPT, vocab=VOCAB), 500))) == 500 # without end


def test_adjust_is_the_callers_rule():
    def never_a_dot(s, seen): s[VOCAB['.']] = -torch.inf; return s
    m = lm()
    m.h_o.bias.data[VOCAB['.']] = 50.
    assert say(m, PROMPT, 5).endswith('. . . . . .')
    assert '.' not in say(m, PROMPT, 20, adjust=never_a_dot)[len(PROMPT):]
    seen = []
    say(m, PROMPT, 3, adjust=lambda s, ids: seen.append(list(ids)) or s)
    assert seen[0] == VOCAB.encode(PROMPT).tolist() and [len(s) for s in seen] == [5, 6, 7]
    text,lp = say(m, PROMPT, 1, logprobs=True, adjust=never_a_dot)     # the log-probability stays the model's own
    assert math.isclose(lp[0], float(Reader(m)(VOCAB.encode(PROMPT)).log_softmax(0)[VOCAB[text.split()[-1]]]), abs_tol=1e-9)


# who may speak, and what

def test_learner_model_and_list_of_words():
    m = lm(); dls = lm_dataloaders(human_numbers())
    learn = lm_learner(dls, m)
    assert generate(learn, PROMPT, 6) == say(m, PROMPT, 6) == generate(m, PROMPT.split(), 6, vocab=list(VOCAB))
    assert isinstance(generate(learn, PROMPT, n_words=20), str)


def test_an_unknown_word_with_a_stand_in():
    v = Vocab(list(VOCAB)[:29], unk='<unk>')
    assert generate(lm(), 'one million', 3, vocab=v).startswith('one million ')


@pytest.mark.parametrize('error, text, kwargs', [
    (UnknownWord, 'one million .', {}), (EmptyText, '', {}), (EmptyText, [], {}),
    *[(InvalidSize, PROMPT, dict(temperature=t)) for t in (-1, -1e-9, math.nan, math.inf, None, '1', True)],
    *[(InvalidSize, PROMPT, dict(top_k=k)) for k in (0, -3, 2.5, True)],
    *[(InvalidSize, PROMPT, dict(top_p=q)) for q in (0, -.1, 1.1, math.nan, '.9', True)],
    *[(InvalidSize, PROMPT, dict(n_words=n)) for n in (0, -1, 2.5, None)],
    *[(InvalidSize, PROMPT, dict(seed=s)) for s in (-1, .5, '1', True, 10**20)],
    (InvalidSize, PROMPT, dict(vocab=Vocab(list(VOCAB) + ['million'])))])
def test_wrong_input_is_named(error, text, kwargs):
    with pytest.raises(error) as e: generate(lm(), text, **{'vocab': VOCAB, **kwargs})
    assert isinstance(e.value, LMError) and len(str(e.value)) > 20
    if error is UnknownWord: assert 'million' in str(e.value)


def test_stream_complains_at_once_and_not_at_the_first_word():
    with pytest.raises(UnknownWord, match='million'): generate_stream(lm(), 'one million', vocab=VOCAB)
    with pytest.raises(InvalidSize, match='top_k'): generate_stream(lm(), 'one', top_k=0, vocab=VOCAB)


def test_numpy_settings_are_numbers_too():
    assert say(lm(), PROMPT, np.int64(4), temperature=np.float64(1.), top_k=np.int64(1)) == say(lm(), PROMPT, 4)


def test_what_cannot_speak():
    with pytest.raises(LMError, match='pass `vocab`'): generate(lm(), PROMPT)
    with pytest.raises(LMError, match='Learner or a model'): generate('model', PROMPT, vocab=VOCAB)
    with pytest.raises(LMError, match='carries a state'): generate(nn.Linear(2, 2), PROMPT, vocab=VOCAB)
    broken = lm(); broken.h_o.bias.data.fill_(math.nan)
    with pytest.raises(LMError, match='diverged'): say(broken, PROMPT)
    with pytest.raises(LMError, match='no word to say'): say(lm(), PROMPT, adjust=lambda s, ids: s - torch.inf)
