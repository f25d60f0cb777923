"Attention and scans: equal to what they stand for, nothing ahead of its time, the state carried, rows that say what made them."
from functools import partial

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fastai.torch_core import set_seed
from torch import nn

from lm_from_scratch.after import *
from lm_from_scratch.copying import ForgetState, cache_guesses, scores_of
from lm_from_scratch.course import afters, experiments
from lm_from_scratch.course.afters import *
from lm_from_scratch.course.experiments import RunsFailed, belongs, load_results, load_rows, results_file, stamp_of
from lm_from_scratch.course.ladder import LADDER
from lm_from_scratch.data import Corpus, human_numbers, lm_dataloaders
from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.generation import Reader, generate
from lm_from_scratch.multilayer import LanguageModel, Recurrent
from lm_from_scratch.normalization import InputNorm
from lm_from_scratch.multilayer import RNNS
from lm_from_scratch.training import lean_fit, lm_learner

corpus = human_numbers()
V = 20
KINDS = dict(attentive=AttentiveLSTM, attentive5=partial(AttentiveLSTM, window=5), gpt=GPTLayers, gpt5=partial(GPTLayers, window=5), one=partial(GPTLayers, window=1),
             gru_loop=partial(ScanRecurrent, MinGRUCell, scan=scan_loop), gru=partial(ScanRecurrent, MinGRUCell), gru_log=partial(ScanRecurrent, MinGRUCell, scan=scan_log),
             lstm=partial(ScanRecurrent, MinLSTMCell), lstm_log=partial(ScanRecurrent, MinLSTMCell, scan=scan_log))
SCANS = scan_loop, scan_pairs, scan_log


def model_of(kind, seed=0):
    "Small, in double precision, none of its parameters where it began."
    torch.manual_seed(seed)
    m = LanguageModel(V, 16, 2, rnn=KINDS[kind]).double()
    for p in m.parameters(): p.data.add_(.3*torch.randn_like(p))
    return m


def read(m, x):
    m.reset()
    return scores_of(m(x))


def close(a, b, eps=1e-10): assert a.shape == b.shape and (a-b).abs().max() < eps


# ---- the cache as attention

@pytest.mark.parametrize('settings', [dict(), dict(theta=4., lam=1.), dict(theta=2., lam=.5, in_order=False), dict(lam=0.)])
def test_the_cache_is_attention_guess_by_guess(settings):
    torch.manual_seed(1)
    m,dl = LanguageModel(len(corpus.vocab), 16, rnn='lstm'),lm_dataloaders(Corpus(corpus.ids[:3000], corpus.vocab), bs=4).valid
    got = attention_guesses(m, dl, **settings)
    assert torch.equal(got, cache_guesses(m, dl, **settings)) and len(got.unique()) > 1


def test_attend_where_nothing_is_known():
    q,k,v = torch.randn(3, 4, 5)
    assert (attend(q, k, v, torch.full((4, 4), -torch.inf)) == 0).all()
    close(attend(q, k, v, scale=0.), v.mean(0).expand(4, 5), 1e-6)


@pytest.mark.parametrize('heads', (1, 2, 4))
def test_attention_is_pytorchs(heads):
    torch.manual_seed(2)
    a = Attention(8, n_heads=heads).double()
    nn.init.normal_(a.far)
    x = torch.randn(3, 11, 8, requires_grad=True, dtype=torch.double)
    q,k,v = (f(x).unflatten(-1, (heads, -1)).transpose(1, 2) for f in (a.query, a.key, a.value))
    back = torch.arange(11)[:, None] - torch.arange(11)
    extra = a.far[:, back.clamp(0)].masked_fill(back < 0, -torch.inf)
    theirs = a.out(F.scaled_dot_product_attention(q, k, v, attn_mask=extra).transpose(1, 2).flatten(2))
    ours = a(x, x, x)[0]
    close(ours, theirs)
    dy = torch.randn_like(ours)
    for p,r in zip(torch.autograd.grad(ours, (x, *a.parameters()), dy, retain_graph=True), torch.autograd.grad(theirs, (x, *a.parameters()), dy)): close(p, r)


def test_a_window_hides_what_is_further_back():
    torch.manual_seed(3)
    a = Attention(8, window=4).double()
    x = torch.randn(1, 12, 8).double()
    y = x.clone()
    y[:, 3] += 1
    moved = (a(x, x, x)[0] - a(y, y, y)[0]).abs().amax((0, 2)) > 1e-9
    assert moved.tolist() == [i in range(3, 7) for i in range(12)]


def test_bad_sizes_are_refused():
    with pytest.raises(InvalidSize, match='6 units cannot be shared out among 4 heads'): Attention(6, n_heads=4)
    with pytest.raises(InvalidSize, match='window'): Attention(8, window=0)
    with pytest.raises(InvalidSize, match='n_emb must equal n_hidden'): LanguageModel(V, 16, rnn=GPTLayers, n_emb=8)
    with pytest.raises(InvalidSize, match='n_hidden'): MinGRUCell(4, 0)
    with pytest.raises(LMError, match='scan_pairs'): scan_log(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), -torch.ones(1, 3))


def test_before_it_has_learned_it_is_the_lstm():
    torch.manual_seed(4)
    layers,x = AttentiveLSTM(6, 8, 2),torch.randn(2, 9, 6)
    state = tuple(torch.randn(2, 2, 8) for _ in range(2))
    empty = torch.zeros(0, 2, 8),torch.zeros(0, 2, 8),torch.zeros(0, 2, 1)
    assert torch.equal(layers(x)[0], layers.rnn(x)[0]) and torch.equal(layers(x, (*state, *empty))[0], layers.rnn(x, state)[0])


def test_a_block_is_pytorchs():
    torch.manual_seed(5)
    block = Block(8, 2).double()
    for p in block.parameters(): p.data.add_(.3*torch.randn_like(p))
    ref,a = nn.TransformerEncoderLayer(8, 2, 32, dropout=0., activation='gelu', batch_first=True, norm_first=True).double(),block.attention
    with torch.no_grad():
        ref.self_attn.in_proj_weight.copy_(torch.cat([a.query.weight, a.key.weight, a.value.weight]))
        ref.self_attn.in_proj_bias.copy_(torch.cat([a.query.bias, a.key.bias, a.value.bias]))
        for to,of in ((ref.self_attn.out_proj, a.out), (ref.linear1, block.up), (ref.linear2, block.down), (ref.norm1, block.norm1), (ref.norm2, block.norm2)): to.load_state_dict(of.state_dict())
    x,back = torch.randn(3, 10, 8).double(),torch.arange(10)[:, None] - torch.arange(10)
    mask = a.far[:, back.clamp(0)].masked_fill(back < 0, -torch.inf).repeat(3, 1, 1)
    close(block(x)[0], ref(x, src_mask=mask))


# ---- a state like any other

@pytest.mark.parametrize('kind', KINDS)
class TestState:
    def test_in_pieces_as_at_once(self, kind):
        m,x = model_of(kind),torch.randint(V, (3, 30))
        whole = read(m, x)
        for size in (1, 7):
            m.reset()
            close(torch.cat([scores_of(m(part)) for part in x.split(size, 1)], 1), whole)

    def test_a_reader_reads_word_by_word(self, kind):
        m,x = model_of(kind),torch.randint(V, (12,))
        reader = Reader(m)
        for t in range(12): close(reader(x[t][None]), read(m, x[None, :t+1])[0, -1].detach())
        assert len(generate(m, ['0'], n_words=5, vocab=[str(i) for i in range(V)]).split()) == 6

    def test_rows_may_come_and_go(self, kind):
        m,x = model_of(kind),torch.randint(V, (4, 14))
        m.reset()
        m(x[:2, :7])
        close(scores_of(m(x[:, 7:]))[2:], read(m, x[2:, 7:]))
        m.reset()
        m(x[:, :7])
        close(scores_of(m(x[:1, 7:])), read(m, x)[:1, 7:])

    def test_a_row_that_forgets_is_cold(self, kind):
        m,x = model_of(kind),torch.randint(V, (2, 14))
        read(m, x[:, :7])
        forget = ForgetState()
        forget.p = 1.
        forget.learn = type('Learn', (), dict(model=m))
        forget.before_batch()
        close(scores_of(m(x[:, 7:])), read(m, x[:, 7:]))

    def test_the_state_matters_and_is_no_weight(self, kind):
        m,x = model_of(kind),torch.randint(V, (2, 14))
        warm = read(m, x)[:, 7:]
        cold = read(m, x[:, 7:])
        assert kind == 'one' or (warm-cold).abs().max() > 1e-3
        keys = set(m.state_dict())
        m.reset()
        assert keys == set(m.state_dict())

    def test_no_score_knows_a_later_word(self, kind): assert looks_ahead(model_of(kind), V) == []


# ---- who looks ahead?

def scores_in_steps(m, x, n):
    "The scores after each n words: for models that answer once a batch."
    m.reset() if hasattr(m, 'reset') else None
    return torch.stack([scores_of(m(part)).reshape(len(x), -1) for part in x.split(n, 1)], 1)


@pytest.mark.parametrize('recipe', [*LADDER, *AFTER_RECIPES.values()], ids=lambda r: r.name)
def test_causality(recipe):
    torch.manual_seed(6)
    m = recipe.model(30).eval()
    for p in m.parameters(): p.data.add_(.05*torch.randn_like(p))
    if not hasattr(m, 'h_o') or scores_of(m(torch.zeros(1, 3).long())).dim() == 3:
        assert looks_ahead_of(m) == []
        return
    x = torch.randint(30, (2, 12))
    before = scores_in_steps(m, x, 3).detach()
    for t in range(12):
        y = x.clone()
        y[:, t] = (y[:, t]+1) % 30
        moved = (scores_in_steps(m, y, 3) - before).abs().amax((0, 2)) > 1e-6
        assert not moved[:t//3].any() and moved[t//3]


def looks_ahead_of(m): return looks_ahead(m, 30)


def test_who_does_look_ahead_is_caught():
    "Both ways at once; a norm over the steps, while it trains; scores one step too early."
    class BothWays(nn.Module):
        def __init__(self, n_in, n_hidden, n_layers):
            super().__init__()
            self.rnn = nn.GRU(n_in, n_hidden//2, bidirectional=True, batch_first=True)
        def forward(self, x, state=None): return self.rnn(x)[0], x.new_zeros(1, len(x), 1)
    torch.manual_seed(7)
    found = looks_ahead(LanguageModel(V, 8, rnn=BothWays), V, n=6)
    assert found == [(t, s) for t in range(6) for s in range(t)]
    peeking = LanguageModel(V, 8, rnn=partial(InputNorm, RNNS['rnn']))
    peeking.eval = lambda: peeking                             # it stays in training, where it peeks
    assert (5, 0) in looks_ahead(peeking, V, n=6)
    shifted = LanguageModel(V, 8, rnn='rnn')
    shifted.i_h.register_forward_hook(lambda m, args, out: out.roll(-1, 1))   # one step too early
    assert (1, 0) in looks_ahead(shifted, V, n=6) and (5, 4) in looks_ahead(shifted, V, n=6)


class Unmasked(AttentiveLSTM):
    "Beside the LSTM a head that sees every place of the batch."
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.attention.look = lambda q, k, v, there: attend(q, k.transpose(0, 1), v.transpose(0, 1))


class FarAhead(Attention):
    def look(self, q, k, v, there): return v.transpose(0, 1) + self.far.sum()*v.transpose(0, 1).roll(-1, 1)


class UnmaskedFar(AttentiveLSTM):
    "It sees one word ahead, by as much as its distances say: they begin at zero, as `out` does."
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.attention.__class__ = FarAhead


@pytest.mark.parametrize('layers,leaks', [(Unmasked, {(t, s) for t in range(6) for s in range(t)}), (UnmaskedFar, {(1, 0), (5, 4)}), (AttentiveLSTM, set())])
def test_a_leak_behind_a_zero_is_caught(layers, leaks):
    "A layer whose `out` and `far` begin at zero leaks nothing yet; asked as it begins, it would pass."
    torch.manual_seed(13)
    m = LanguageModel(V, 8, rnn=layers)
    a,x = m.rnn.attention,torch.randint(V, (2, 6))
    assert not a.out.weight.any() and not a.far.any() and torch.equal(read(m, x), m.h_o(m.rnn.rnn(m.i_h(x))[0]))
    found = looks_ahead(m, V, n=6)
    assert leaks <= set(found) and (leaks or found == [])
    assert not a.out.weight.any() and not a.far.any()


def test_looking_leaves_the_model_as_it_was():
    m = model_of('gpt').train()
    m(torch.randint(V, (2, 5)))
    before,weights = [t.clone() for t in m.h],[p.clone() for p in m.parameters()]
    looks_ahead(m, V)
    assert m.training and all(torch.equal(a, b) for a,b in zip(before, m.h)) and all(torch.equal(a, b) for a,b in zip(weights, m.parameters()))


# ---- scans

def everything(layers, x, h):
    x,h = x.clone().requires_grad_(),h.clone().requires_grad_()
    out,last = layers(x, h)
    torch.manual_seed(8)
    ((out*torch.randn_like(out)).sum() + (last*torch.randn_like(last)).sum()).backward()
    return [out, last, x.grad, h.grad, *[p.grad for p in layers.parameters()]]


@pytest.mark.parametrize('cell', (MinGRUCell, MinLSTMCell))
@pytest.mark.parametrize('n', (1, 2, 7, 64, 100))
def test_scans_are_the_loop(cell, n):
    torch.manual_seed(9)
    x,h = torch.randn(3, n, 5).double(),torch.rand(2, 3, 6).double()
    ref = Recurrent(cell, 5, 6, 2).double()
    right = everything(ref, x, h)
    for scan in SCANS:
        layers = ScanRecurrent(cell, 5, 6, 2, scan=scan).double()
        layers.load_state_dict(ref.state_dict())
        for a,b in zip(everything(layers, x, h), right): close(a, b)
    zero = ScanRecurrent(cell, 5, 6, 2, scan=scan_log).double()
    zero.load_state_dict(ref.state_dict())
    for a in everything(zero, x, torch.zeros_like(h)): assert a.isfinite().all() or a.shape == h.shape


@pytest.mark.parametrize('cell', (MinGRUCell, MinLSTMCell))
def test_logarithms_of_the_shares(cell):
    torch.manual_seed(10)
    c,x = cell(4, 6).double(),3*torch.randn(5, 7, 4).double()
    for share,log in zip(c.shares(x), c.log_shares(x)): close(share.log(), log)
    a,_ = c.shares(x)
    assert ((0 < a) & (a < 1)).all()


def test_the_scan_that_forgets_the_first_state_is_noticed():
    a,b,h = torch.rand(2, 9, 3),torch.rand(2, 9, 3),torch.rand(2, 3)
    close(scan_pairs(a, b, torch.zeros(2, 3)), scan_loop(a, b, torch.zeros(2, 3)), 1e-5)
    assert (scan_loop(a, b, h) - scan_loop(a, b, 0*h)).abs().max() > 1e-3
    close(scan_pairs(a, b, h), scan_loop(a, b, h), 1e-5)


def test_single_precision():
    torch.manual_seed(11)
    c,x,h = MinGRUCell(16, 16).double(),torch.randn(1, 2000, 16).double(),torch.rand(1, 16).double()
    with torch.no_grad():
        right = scan_loop(*c.shares(x), h)
        c,x,h = c.float(),x.float(),h.float()
        error = {s: ((s(*(c.log_shares if s is scan_log else c.shares)(x), h) - right)/right).abs().max() for s in SCANS}
    assert error[scan_loop] < 5e-6 and error[scan_pairs] < 5e-6 and 1e-5 < error[scan_log] < 1e-2


# ---- training, recipes, rows

@pytest.mark.parametrize('kind', ('attentive', 'gpt', 'gru'))
def test_it_learns(kind):
    "By the lean loop, which asks a gradient of every parameter."
    set_seed(0, reproducible=True)
    dls = lm_dataloaders(corpus, bs=16)
    learn = lm_learner(dls, LanguageModel(len(corpus.vocab), 16, 1, rnn=KINDS[kind]))
    assert lean_fit(learn, 1, 1e-2)[-1]['valid_loss'] < 2.6


def test_controls():
    torch.manual_seed(12)
    m = LanguageModel(V, 16, 1, rnn=AttentiveLSTM)
    nn.init.normal_(m.rnn.attention.out.weight)
    x = torch.tensor([[3, 5, 7, 3, 5]])
    def values_of(model):
        kept = []
        hook = model.rnn.attention.value.register_forward_hook(lambda mod, args, out: kept.append(args[0]))
        read(model, x)
        hook.remove()
        return kept[0]
    shut = without_attention(m)
    assert torch.equal(read(shut, x), shut.h_o(m.rnn.rnn(m.i_h(x))[0])) and not torch.equal(read(m, x), read(shut, x))
    told = remembering(m, 5, 9)
    assert torch.equal(values_of(told), m.i_h(torch.tensor([[3, 9, 7, 3, 9]]))) and torch.equal(values_of(m), m.i_h(x))
    assert torch.equal(read(remembering(m, 5, 5), x), read(m, x))


def test_thousands_right():
    v = corpus.vocab
    y = v.encode('nine thousand one . eight thousand two . nine hundred . eight').view(1, -1)
    guess = y.clone()
    assert thousands_right(guess, y, v) == dict(eight=1., nine=1.)
    guess[0, 0], guess[0, 8] = v['one'], v['one']
    assert thousands_right(guess, y, v) == dict(eight=1., nine=0.)


def test_sizes_are_near_each_other():
    sizes = [sum(p.numel() for p in r.model(30).parameters()) for r in AFTER_RECIPES.values() if not r.name.startswith('chars')]
    assert max(sizes) < 1.06*min(sizes)


def test_shipped_rows_are_fresh():
    rows = load_rows(results_file('after'))
    code = {n: stamp_of(r)['code'] for n,r in AFTER_RECIPES.items()}
    stale = {(r['recipe'], r['seed']) for r in rows if r['code'] != code[r['recipe']] or not belongs(r, AFTER_RECIPES[r['recipe']])}
    assert rows and stale == set()


def row(recipe, seed, **figures): return dict(recipe=recipe, seed=seed, parameters=1, accuracy=.5, accuracy_8xxx=.5, accuracy_9xxx=.5, nine=.1, counts={s: [0, ''] for s in ('10', '8100', '8999')}) | figures


def test_verdicts():
    rows = [row('lstm', s, nine=.01*s) for s in range(4)] + [row('lstm-attention', s, nine=.9+.01*s, accuracy_8xxx=.3) for s in range(5)]
    t = after_verdicts(rows).set_index('claim')
    assert t.verdict['attention copies what it never saw'] == 'supported' and t.seeds['attention copies what it never saw'] == 4
    assert t.verdict['attention helps the LSTM'] == 'not supported' and t.verdict['an LSTM of equal size loses to a GPT'] == 'not measured'
    chars = [row('chars-gpt-180', s, valid_loss=1.9 + .01*s) for s in range(3)] + [row('chars-180', s, valid_loss=1.5) for s in range(3)]
    name = 'an LSTM of equal CPU time loses to a GPT, on Shakespeare'
    assert after_verdicts(chars).set_index('claim').verdict[name] == 'not supported'


def test_tables():
    assert len(after_table([])) == len(chars_table([])) == len(counted_table([])) == 0 and (after_verdicts([]).verdict == 'not measured').all()
    t = after_table([row('gpt', 0), row('lstm', 1, nine=.3), row('lstm', 0)])
    assert t.model.tolist() == ['LSTM', 'GPT'] and t.nine[0].startswith('.200') and t.seeds.tolist() == [2, 1]
    assert seeds_table('nine', [row('lstm', 1), row('lstm', 0, nine=.7)]).loc['LSTM'].tolist() == ['.70', '.10']
    chars = chars_table([row('chars-gpt-180', 0, tokens=2_000_000, cpu_seconds=180, valid_loss=1.386294)])
    assert chars.bits.tolist() == ['2.000'] and chars['million read'].tolist() == ['2.00']


def test_rows_of_the_texts_are_those_of_the_same_seeds_and_processor(monkeypatch):
    mine = [dict(recipe='chars-mingru', seed=2, processor='B'), dict(recipe='lstm', seed=0, processor='A')]
    theirs = [dict(recipe=n, seed=s, processor=p) for n in ('chars-180', 'ptb-200') for s, p in ((0, 'A'), (2, 'A'), (2, 'B'))]
    monkeypatch.setattr(afters, 'rows_of_recipes', lambda path, recipes: mine)
    monkeypatch.setattr(afters, 'text_rows', lambda: theirs)
    assert after_rows() == [*mine, dict(recipe='chars-180', seed=2, processor='B')]


def test_all_seeds_are_one_plan(monkeypatch):
    "Seed by seed; one that fails does not keep the others from being tried, and all are counted together."
    asked = []
    def runs(pool, tasks, stopped):
        for r, seed in tasks: asked.append((r.name, seed)); yield (r, seed), 'no luck'
    monkeypatch.setattr(experiments._Pool, 'runs', runs)
    with pytest.raises(RunsFailed, match='4 of 4 runs failed'): run_afters(['lstm', 'gpt'], 2)
    assert asked == [('lstm', 0), ('gpt', 0), ('lstm', 1), ('gpt', 1)]
    with pytest.raises(InvalidSize, match='seeds must be'): run_afters(['lstm'], 0)


def test_recipes_cost_what_they_say():
    for a, b in zip(shakespeare_recipes(3), shakespeare_recipes(3, times=.5)): assert a.how.keywords['seconds'] == 3 and a.lr == 2*b.lr
    assert {r.how.keywords['seconds'] for n,r in AFTER_RECIPES.items() if n.startswith('chars')} == {180}


def test_what_the_stored_times_say():
    t = load_results('after_speed')
    assert set(t.what) == {'scan', 'word'} and set(t[t.what == 'scan'].length) == {16, 64, 256, 1024, 4096} and set(t[t.what == 'word'].length) == {10, 100, 1000, 10000}
    assert isinstance(t, pd.DataFrame) and t.command.str.startswith('python benchmarks/after_speed.py').all()
