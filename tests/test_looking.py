"Looking never disturbs: whoever predicts, shows, reads or measures leaves state, modes, hooks and dice as they were, and no thread reads in another's state."
import random
import threading
from functools import partial

import pytest
import torch
from torch import nn

from lm_from_scratch.all import *
from lm_from_scratch.data import first_batch, same_dice
from lm_from_scratch.state import lent, unwrapped

CORPUS = Corpus.from_text(' . '.join(number_words(n) for n in range(1, 400)) + ' thousand', 'short')
VOCAB, PROMPT = CORPUS.vocab, 'forty two .'


def loaders(**kwargs): return lm_dataloaders(CORPUS, **{'bs': 4, 'seq_len': 8, **kwargs})


def model(rnn='lstm', **kwargs):
    torch.manual_seed(0)
    return LanguageModel(len(VOCAB), 12, 2, rnn, p=.5, **kwargs)


LOOKS = {
    'predict': lambda learn: learn.predict(PROMPT, 3),
    'show_results': lambda learn: learn.show_results(),
    'show_results of the training text': lambda learn: learn.show_results(ds_idx=0),
    'show_batch': lambda learn: learn.dls.show_batch(),
    'show_stream': lambda learn: show_stream(learn.dls.train, VOCAB),
    'generate': lambda learn: generate(learn, PROMPT, 3),
    'Reader': lambda learn: Reader(learn.model)(VOCAB.encode(PROMPT)),
    'read_rows': lambda learn: read_rows(learn.model, learn.dls.valid),
    'write_words': lambda learn: next(write_words(learn.model, VOCAB, PROMPT)),
    'count_on': lambda learn: count_on(learn.model, 20, VOCAB, 2),
    'warm_hits': lambda learn: warm_hits(learn.model, CORPUS),
    'cache_guesses': lambda learn: cache_guesses(learn.model, learn.dls.valid),
    'dynamic_guesses': lambda learn: dynamic_guesses(learn.model, learn.dls.valid),
    'read_states': lambda learn: read_states(learn.model, CORPUS.ids[:9]),
    'clamp_accuracy': lambda learn: clamp_accuracy(learn.model, CORPUS.ids[None, :9], CORPUS.ids[None, 1:10], range(9), [1]),
    'swap_by_distance': lambda learn: swap_by_distance(learn.model, CORPUS.ids[None, :9], len(VOCAB)),
    'gradient_by_distance': lambda learn: gradient_by_distance(learn.model, CORPUS.ids[None, :9], CORPUS.ids[None, 1:10])}


def seen(learn):
    "All that a look could disturb."
    m = unwrapped(learn.model)
    return dict(state=[t.clone() for t in m.h], is_state=[id(m.h)], modes=[o.training for o in learn.model.modules()], dice=torch.get_rng_state(),
                python=random.getstate(), hooks=[len(o._forward_hooks) + len(o._forward_pre_hooks) for o in m.modules()],
                grads=[p.grad for p in m.parameters()], weights=[p.clone() for p in m.parameters()], loaders=[dl.rng.getstate() for dl in learn.dls.loaders])


def same(a, b): return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x is y or x == y for k in a for x, y in zip(*(
    (v if isinstance(v, (list, tuple)) else [v]) for v in (a[k], b[k])), strict=True))


@pytest.fixture(params=['plain', 'compiled', 'double', 'moving'])
def learn(request):
    m = model()
    if request.param == 'compiled': m = torch.compile(m, backend='eager')
    if request.param == 'double': m = m.double()
    dls = moving_dataloaders(CORPUS, 4, 8, how=borrow) if request.param == 'moving' else loaders()
    learn = LMTextLearner(dls, m)
    bare = unwrapped(m)
    bare.train(), bare.drop.eval()                                     # a mixed mode must come back as well
    bare(CORPUS.ids[None, :5].expand(3, 5))                            # in the middle of another text
    return learn


@pytest.mark.parametrize('look', LOOKS)
def test_a_look_leaves_everything_alone(learn, look):
    if look == 'predict': LOOKS[look] = lambda learn: learn.predict(PROMPT, 3, temperature=0)  # a draw is a draw
    before = seen(learn)
    LOOKS[look](learn)
    assert same(before, seen(learn))


def test_the_check_above_has_teeth(learn):
    for disturb in (lambda m: m.eval(), lambda m: m.reset(), lambda m: torch.rand(1), lambda m: random.random(),
                    lambda m: m.i_h.register_forward_hook(lambda *a: None), lambda m: m.drop.train(), lambda m: m(CORPUS.ids[None, :2])):
        before = seen(learn)
        disturb(unwrapped(learn.model))
        after = seen(learn) if unwrapped(learn.model).h is not None else None
        assert after is None or not same(before, after)
        unwrapped(learn.model)(CORPUS.ids[None, :5])


def test_training_is_the_same_with_a_look_after_each_batch():
    "From a callback, in mid-epoch: the losses are those of a training in which nobody looked."
    class Looks(Callback):
        def after_batch(self):
            if self.training:
                for name in ('show_results', 'generate', 'read_rows', 'gradient_by_distance', 'count_on'): LOOKS[name](self.learn)
    def losses(cbs):
        dls = moving_dataloaders(CORPUS, 4, 8)
        learn = lm_learner(dls, model(), 2, 1, cbs=cbs)
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
        return learn.recorder.losses, learn.recorder.values
    assert str(losses([])) == str(losses([Looks()]))


def test_lent_gives_back_after_an_error():
    m = model()
    m(CORPUS.ids[None, :3])
    h = m.h
    with pytest.raises(RuntimeError, match='broken'):
        with lent(m) as inner:
            assert inner is m and m.h is None and not m.training
            raise RuntimeError('broken')
    assert m.h is h and m.training


def test_threads_take_turns():
    "Eight texts at once, thirty words each: every one as alone."
    m = model()
    prompts = [' '.join(VOCAB.words[i:i+3]) for i in range(8)]
    alone = [generate(m, p, 30, vocab=VOCAB) for p in prompts]
    got, gate = {}, threading.Barrier(8)
    def write(p):
        gate.wait(20)
        got[p] = generate(m, p, 30, vocab=VOCAB)
    threads = [threading.Thread(target=write, args=(p,)) for p in prompts]
    for t in threads: t.start()
    for t in threads: t.join(60)
    assert [got[p] for p in prompts] == alone and m.training and m.h is None


def test_same_dice():
    dl = nword_dataloaders(CORPUS, bs=8, shuffle=True).train
    state, rng = torch.get_rng_state(), dl.rng.getstate()
    a = first_batch(dl)[0]
    assert torch.equal(state, torch.get_rng_state()) and dl.rng.getstate() == rng
    with same_dice(dl): assert torch.equal(next(iter(dl))[0], a)
    assert torch.equal(next(iter(dl))[0], a)                           # what was looked at is what comes


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
    def forward(self, x): return self.inner(x)


def test_a_wrapper_without_reset_is_refused():
    with pytest.raises(LMError, match='Wrapped has no `reset`, and LanguageModel in it'): lm_learner(loaders(), Wrapped(model()))
    class Resets(Wrapped):
        def reset(self): self.inner.reset()
    lm_learner(loaders(), Resets(model()))
    lm_learner(loaders(), LoopRNN(len(VOCAB), 4))                      # nothing to reset


class TestTheState:
    def test_exported_with_a_state_it_is_refused(self):
        m, ids = model('gru').eval(), CORPUS.ids[None, :6]
        fresh = m(ids)[0]
        with pytest.raises(LMError, match=r'call `reset\(\)` before you export'): torch.export.export(m, (ids,))
        m.reset()
        assert torch.allclose(torch.export.export(m, (ids,)).module()(ids)[0], fresh, atol=1e-6)

    def test_checkpointing_is_refused_around_the_model_and_right_around_its_layers(self):
        from torch.utils.checkpoint import checkpoint
        ids = CORPUS.ids[:12].view(2, 6)
        m = model(rnn='gru').eval()
        m(ids)[0].logsumexp(-1).sum().backward()
        right = [p.grad.clone() for p in m.parameters()]
        for reentrant in (False, True):
            m.zero_grad(), m.reset()
            with pytest.raises(LMError, match='checkpoint its layers'):
                e = torch.zeros((), requires_grad=True)
                checkpoint(lambda e: m(ids)[0] + e, e, use_reentrant=reentrant).logsumexp(-1).sum().backward()
        m.zero_grad(), m.reset()
        layers = m.rnn.forward
        m.rnn.forward = lambda x, h: checkpoint(layers, x, h, use_reentrant=False)
        m(ids)[0].logsumexp(-1).sum().backward()
        for p, g in zip(m.parameters(), right): assert torch.allclose(p.grad, g, atol=1e-6)

    def test_after_a_transform_it_says_so(self):
        from torch.func import functional_call, grad, vmap
        m = model(rnn=partial(Recurrent, RNNCell)).eval()
        params = dict(m.named_parameters())
        def loss(params, x): return functional_call(m, params, (x[None],))[0].sum()
        vmap(grad(loss), in_dims=(None, 0))(params, CORPUS.ids[:12].view(3, 4))
        with pytest.raises(LMError, match='`torch.func` transform that has ended'): m(CORPUS.ids[None, :4])
        m.reset(), m(CORPUS.ids[None, :4])

    @pytest.mark.parametrize('rnn', ['relu', 'rnn', 'gru', partial(Recurrent, RNNCell), partial(Recurrent, GRUCell)])
    def test_after_autocast_a_plain_call_goes_on(self, rnn):
        m, ids = model(rnn=rnn), CORPUS.ids[None, :4]
        with torch.autocast('cpu', dtype=torch.bfloat16): m(ids)
        assert m(ids)[0].dtype == torch.float32 and m.h.dtype == torch.float32

    def test_compiled_in_one_piece(self):
        m, ids = model(rnn=partial(Recurrent, RNNCell)), CORPUS.ids[None, :4]
        want = [m.eval()(ids)[0], m(ids)[0]]
        m.reset()
        fast = torch.compile(m, backend='eager', fullgraph=True)
        for w in want: assert torch.allclose(fast(ids)[0], w, atol=1e-6)
