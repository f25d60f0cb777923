"Trainings on real text: the texts are the ones that figures belong to, every token is scored once, budgets are kept, rows are fresh, tables say what was run."
import hashlib
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from fastai.callback.core import Callback

from lm_from_scratch.awd import CpuBudget
from lm_from_scratch.course import experiments, texts
from lm_from_scratch.course.experiments import Recipe, RunsFailed, belongs, is_fresh, load_rows, results_file, settings_of
from lm_from_scratch.course.ladder import find_recipe
from lm_from_scratch.course.texts import *
from lm_from_scratch.course.texts import find_text_recipe, run_texts, text_rows
from lm_from_scratch.errors import LMError, TextFileError
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.text import Score

torch.set_num_threads(1)
torch.optim.AdamW([torch.zeros(1, requires_grad=True)], fused=True).step()  # the first step of a process imports for seconds
DATA = ROOT.parent/'shared'/'data'
have_data = pytest.mark.skipif(not (DATA/'ptb').is_dir(), reason="the texts are not here")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "Two small texts in place of the real ones."
    line = ' the cat sat on the mat \n a dog <unk> N times \n'
    parts = dict(train=line*120, valid=line*12, test=line*9)
    play = 'ROMEO:\nO, she doth teach the torches to burn bright!\n\n'*60
    for name,files in dict(ptb={f'{k}.txt': v for k,v in parts.items()}, shakespeare={'input.txt': play}).items():
        (tmp_path/name).mkdir()
        for file,text in files.items(): (tmp_path/name/file).write_bytes(text.encode())
        sha = hashlib.sha256(''.join(files.values()).encode()).hexdigest()[:16]
        monkeypatch.setitem(texts.TEXTS, name, (tuple(files), sha))
    return tmp_path


# ---- the texts

@have_data
@pytest.mark.parametrize('read, counts, words', [
    (penn_treebank, (929_589, 73_760, 82_430), 10_000), (tiny_shakespeare, (1_003_854, 111_540, None), 65)])
def test_published_counts(read, counts, words):
    c = read(DATA)
    assert (len(c.ids), len(c.valid_ids), c.test_ids if c.test_ids is None else len(c.test_ids)) == counts and len(c.vocab) == words
    freq = torch.bincount(c.ids, minlength=words)
    if read is penn_treebank: assert (freq.diff() <= 0).all()  # the estimated softmax needs the most frequent first
    assert line_end(c) == c.vocab['<eos>' if read is penn_treebank else '\n']


def test_small_texts(folder):
    c = penn_treebank(folder)
    assert c.vocab.decode(c.valid_ids[:13]) == 'the cat sat on the mat <eos> a dog <unk> N times <eos>'
    p = tiny_shakespeare(folder)
    assert ''.join(p.vocab[i] for i in p.ids[:8].tolist()) == 'ROMEO:\nO' and len(p.ids) == int(.9*(len(p.ids)+len(p.valid_ids)))


def test_another_text_is_refused(folder):
    (folder/'ptb'/'test.txt').write_text('something else\n')
    with pytest.raises(TextFileError, match='holds another text than the one'): penn_treebank(folder)
    (folder/'ptb'/'test.txt').unlink()
    with pytest.raises(TextFileError, match='There is no file at'): penn_treebank(folder)
    with pytest.raises(LMError, match='does not come with the package'): tiny_shakespeare(None)


# ---- every token once

def by_hand(model, ids, before):
    model.eval(); model.reset()
    with torch.no_grad(): scores = model(torch.cat([torch.tensor([before]), ids[:-1]])[None])
    scores = scores[0] if isinstance(scores, tuple) else scores
    model.reset()
    return F.cross_entropy(scores[0].double(), ids, reduction='sum').item()


@pytest.mark.parametrize('make', [lambda: LanguageModel(20, 8, 2, 'lstm', p=.5), lambda: ExampleLM(20, 8)])
@pytest.mark.parametrize('chunk', [1, 7, 100, 1000])
def test_exact_at_any_chunk_size(make, chunk):
    torch.manual_seed(0)
    model,ids = make().double(),torch.randint(20, (100,))
    model(ids[None, :5])                       # a state that must not matter
    assert abs(exact_nats(model, ids, 3, chunk) - by_hand(model, ids, 3)) < 2e-4
    assert model.h is None


@pytest.mark.parametrize('n', [64, 65, 79, 80, 81, 200])
@pytest.mark.parametrize('stride', [1, 16, 64])
def test_gpt_scores_every_token_once(n, stride):
    class Uniform(torch.nn.Module):
        block = 64
        def forward(self, x): return torch.zeros(*x.shape, 7)
    if n == 64 and stride == 64: n = 65
    assert abs(gpt_nats(Uniform(), torch.zeros(n, dtype=torch.long), 0, stride) - n*math.log(7)) < 1e-3


def test_gpt_with_a_stride_of_one_sees_all_it_can():
    torch.manual_seed(0)
    model,ids = GPT(11, 16, 2, 2, 8).eval(),torch.randint(11, (40,))
    x,total = torch.cat([torch.tensor([5]), ids[:-1]]),0.
    with torch.no_grad():
        for i in range(40): total -= model(x[None, max(0, i-7):i+1])[0, -1].log_softmax(-1)[ids[i]].item()
    assert abs(gpt_nats(model, ids, 5, stride=1) - total) < 1e-3


def test_gpt_never_looks_ahead():
    torch.manual_seed(0)
    model,x = GPT(11, 16, 2, 2, 8).eval(),torch.randint(11, (1, 8))
    y = x.clone(); y[0, 5] = (y[0, 5]+1) % 11
    a,b = model(x),model(y)
    assert torch.equal(a[:, :5], b[:, :5]) and not torch.equal(a[:, 5:], b[:, 5:])


def test_adapted_figures_choose_on_the_held_out_part(folder, monkeypatch):
    "Each way of adapting reads its choices on the beginning of the held-out part; then the whole of it and the test part, once, with the best."
    corpus, seen = penn_treebank(folder), []
    torch.manual_seed(0)
    model = two_by_200(len(corpus.vocab), n_hidden=4)
    def judge(model, part, **how):
        seen.append((len(part), *how.values()))
        return Score(len(part)*(1.+abs(how.get('lr', how.get('theta'))-.15)), len(part), None, None, [], '')
    monkeypatch.setattr(texts, 'evaluate_cache', judge)
    monkeypatch.setattr(texts, 'evaluate_dynamic', judge)
    found, n = adapted_figures(model, None, corpus, most=50), len(texts.CACHES)
    valid, test = len(corpus.valid_ids)+1, len(corpus.test_ids)+1
    assert seen[:n] == [(51, *c.values()) for c in texts.CACHES] and [s[0] for s in seen[n:n+2]] == [valid, test]
    assert [s[0] for s in seen[n+2:]] == [51]*len(texts.RATES) + [valid, test]
    assert found['cache_settings'] == dict(theta=.15, lam=.05, window=500) and found['dynamic_settings'] == dict(lr=.1)
    assert found['dynamic_test_perplexity'] == pytest.approx(math.exp(1.05)) and found['test_perplexity'] == text_figures(model, None, corpus, test=True)['test_perplexity']


# ---- the baselines are what they are said to be

def test_the_example_starts_as_the_original():
    m = ExampleLM(50)
    assert m.h_o.weight is m.i_h.weight and m.i_h.weight.abs().max() <= .1 and (m.h_o.bias == 0).all()
    assert m.rnn.dropout == m.drop.p == .2
    assert sum(p.numel() for p in ExampleLM(10_000).parameters()) == sum(p.numel() for p in two_by_200(10_000).parameters()) == 2_653_200


def test_gpt_has_the_size_of_nanogpts():
    m = GPT(65)
    assert sum(p.numel() for p in m.parameters()) - m.place.weight.numel() == 4*12*128**2 + 65*128 + 9*128
    assert abs(m.layers[0].up.weight.std() - .02) < .002 and abs(m.layers[0].down.weight.std() - .02/8**.5) < .001


def test_sgd_step_by_hand():
    torch.manual_seed(0)
    a = ExampleLM(30, 8, 1, p=0.)
    b = ExampleLM(30, 8, 1, p=0.)
    b.load_state_dict(a.state_dict())
    x,y = torch.randint(30, (4, 5)),torch.randint(30, (4, 5))
    assert sgd_epoch(a, [(x, y)], 20., .25, CpuBudget(9)) == 20
    F.cross_entropy(b(x).flatten(0, 1), y.flatten()).backward()
    norm = sum(p.grad.pow(2).sum() for p in b.parameters())**.5
    for p,q in zip(a.parameters(), b.parameters()): assert torch.allclose(p, q - 20*q.grad*min(1, .25/norm), atol=1e-5)


def test_a_quarter_of_the_rate_where_an_epoch_was_no_gain(folder, monkeypatch):
    losses = iter([3., 2., 2.5, 1., 1.5])
    monkeypatch.setattr(texts, 'exact_nats', lambda *args: next(losses))
    class Budget:
        left = 5
        @property
        def over(self): return self.left == 0
        def paused(self):
            self.left -= 1
            return CpuBudget(9).paused()
    model,about = sgd_loop(Recipe('r', 'r', None, partial(ExampleLM, n_hidden=4), 1, 20.), penn_treebank(folder), Budget(), bs=4)
    assert about['last_lr'] == 20/16


# ---- the mean of the last weights

class Walked(Callback):
    order = 91
    def __init__(self): self.seen,self.rates = [],[]
    def after_step(self):
        self.seen.append(self.model.h_o.bias.detach().clone())
        self.rates.append(self.opt.hypers[0]['lr'])


def descend(folder, average=None, seconds=1., **cycle):
    "A short descent: what each step left, what is stored, the model."
    torch.manual_seed(0)
    steps = Walked()
    r = replace(find_text_recipe('descent-constant'), folder=str(folder), callbacks=(lambda: steps,))
    model,about = texts.descent_loop(r, penn_treebank(folder), CpuBudget(seconds), average=average, **dict(warm=0., last=1.)|cycle)
    return steps,about,model


def test_a_descent_has_one_rate_or_a_falling_one(folder):
    steps,about,model = descend(folder)
    assert set(steps.rates) == {20.} and about['tokens'] >= len(steps.seen)*20 and 'averaged_from' not in about
    assert torch.equal(model.h_o.bias, steps.seen[-1])
    steps,_,_ = descend(folder, seconds=2., last=.01)
    assert steps.rates[0] > 10 and steps.rates[-1] < 5 and sorted(steps.rates, reverse=True) == steps.rates


def test_the_mean_of_the_second_half_is_left(folder):
    steps,about,model = descend(folder, texts.LateAveragedSGD, seconds=2.)
    assert .5 <= about['averaged_from'] < .8
    means = [torch.stack(steps.seen[k:]).mean(0) for k in range(len(steps.seen)//4, len(steps.seen)*3//4)]
    assert min((m - model.h_o.bias).abs().max() for m in means) < 1e-4    # over all epochs: none of them exchanges the weights for the mean


def test_the_trigger_waits_for_a_loss_that_falls_no_more(folder, monkeypatch):
    told = iter([5., 4., 3., 4., 4.5, 1.])
    monkeypatch.setattr(texts, 'exact_nats', lambda model, ids, before: next(told)*len(ids))
    judged = []
    def average(budget, corpus):
        made = texts.OftenAveragedSGD(budget, corpus, every=2, patience=1)
        judged.append(made)
        return made
    steps,about,model = descend(folder, average)
    made, = judged
    assert made.losses == [5., 4., 3., 4., 4.5] and 0 < about['averaged_from'] < 1    # 4.5 is above 3; nobody asks again
    assert torch.allclose(model.h_o.bias, torch.stack(steps.seen[10:]).mean(0), atol=1e-5)


def test_a_look_changes_nothing(folder):
    "The state that is carried, the dropout: as if nobody had looked. Only the time differs, so as many steps are compared as both took."
    a,_,_ = descend(folder)
    b,_,_ = descend(folder, lambda budget, corpus: texts.OftenAveragedSGD(budget, corpus, every=1, patience=10**6))
    n = min(len(a.seen), len(b.seen))
    assert n > 10 and all(torch.equal(x, y) for x,y in zip(a.seen[:n], b.seen))


# ---- recipes, budgets, rows

def short(name, folder, seconds=1.):
    r = find_text_recipe(name)
    return replace(r, folder=str(folder), how=partial(train_text, loop=r.how.keywords['loop'], seconds=seconds))


@pytest.mark.parametrize('name', ['ptb-sgd-200', 'ptb-sgd-600', 'ptb-200', 'ptb-descent-200', 'ptb-descent-600', 'ptb-adam-600', 'part-undropped', 'chars-180', 'start-small-counted', 'part-weights', 'part-ar-tar', 'part-bfloat16', 'part-noise', 'part-past', 'ptb-4500', 'descent-constant', 'descent-trigger', 'descent-half', 'descent-falling'])
def test_a_recipe_trains_and_is_measured(name, folder):
    figures,_,seconds = short(name, folder).how(short(name, folder), 0)
    assert seconds == 1 and figures['tokens'] > 0 and figures['valid_perplexity'] == math.exp(figures['valid_loss'])
    assert ('test_loss' in figures) == (name in ('ptb-sgd-600', 'ptb-4500') or '-descent-' in name or '-adam-' in name) and 'SHA-256' in figures['text']


def test_names_and_settings():
    assert len({str(settings_of(r)) for r in TEXT_RECIPES.values()}) == len(TEXT_RECIPES)  # none is there twice
    assert all('/' not in str(settings_of(r)) for r in TEXT_RECIPES.values())              # no path of anybody's
    with pytest.raises(LMError, match="no recipe 'magic'"): run_texts('.', ['magic'])


def test_all_seeds_are_one_plan(monkeypatch):
    "Seed by seed; one that fails does not keep the others from being tried, and all are counted together."
    asked = []
    def runs(pool, tasks, stopped):
        for r, seed in tasks: asked.append((r.name, seed)); yield (r, seed), 'no luck'
    monkeypatch.setattr(experiments._Pool, 'runs', runs)
    with pytest.raises(RunsFailed, match='4 of 4 runs failed'): run_texts('.', ['ptb-200', 'chars-180'], [1, 0])
    assert asked == [('ptb-200', 1), ('chars-180', 1), ('ptb-200', 0), ('chars-180', 0)]


def test_folder_is_no_setting():
    r = find_text_recipe('ptb-200')
    assert settings_of(r) == settings_of(replace(r, folder='/anywhere'))


def test_stored_rows_are_fresh():
    rows = load_rows(results_file('texts'))
    assert rows and all(belongs(r, find_text_recipe(r['recipe'])) for r in rows)
    ladder = all(is_fresh(r, find_recipe(r['recipe'])) for r in load_rows(results_file('ladder')))  # if not, test_ladder says so
    assert all(is_fresh(r, find_text_recipe(r['recipe'])) for r in rows) or not ladder
    assert len(text_rows()) == len(rows)
    for r in rows: assert r['cpu_seconds'] == find_text_recipe(r['recipe']).how.keywords['seconds']


# ---- tables

def row(recipe, seed, nats, **more):
    return dict(recipe=recipe, seed=seed, valid_loss=nats, valid_perplexity=math.exp(nats), tokens=1e6, cpu_seconds=200, parameters=5, **more)


def test_tables():
    rows = [row('ptb-sgd-200', s, 5.) for s in range(2)] + [row('ptb-200', s, 5. + math.log(.7)) for s in range(3)]
    t = text_table('ptb', rows)
    assert t.training.tolist() == ["PyTorch's example", 'ours'] and t.seeds.tolist() == [2, 3] and 'test' not in t
    assert text_ratio('ptb-200', 'ptb-sgd-200', rows) == {'–': pytest.approx(.7)}
    assert text_ratio('ptb-descent-600', 'ptb-sgd-600', rows) == {} and not len(text_table('chars', rows))
    assert 'test' in text_table('', [row('ptb-descent-600', 0, 5., test_perplexity=90.)])


def test_processors_are_not_mixed():
    "A CPU second buys more on one than on another: no mean over both, no pair of both."
    rows = [row('ptb-200', 0, 5., processor='A x86'), row('ptb-200', 1, 4., processor='B x86'), row('ptb-sgd-200', 0, 5.5, processor='A x86'), row('ptb-sgd-200', 1, 5.5, processor='A x86')]
    t = text_table('ptb', rows)
    assert list(zip(t.training, t.processor, t.seeds)) == [("PyTorch's example", 'A', 2), ('ours', 'A', 1), ('ours', 'B', 1)]
    assert text_ratio('ptb-200', 'ptb-sgd-200', rows) == {'A': pytest.approx(math.exp(-.5))}
    rows = [row('part-none', 0, 5., processor='A'), row('part-words', 0, 4., processor='B')]
    assert gains_table('part', 'part-none', rows).empty
    rows += [row('part-none', 1, 6., processor='B'), row('part-words', 1, 5.5, processor='B')]
    assert gains_table('part', 'part-none', rows)[['nats', 'seeds']].values.tolist() == [['6.000', 1], ['5.500', 1]]


def test_verdicts():
    rows = [row('part-none', s, 5.) for s in range(3)]
    for name,gains in dict(words=(.05, .06, .055), locked=(-.05, -.06, -.05), noise=(-.1, .1, .05), past=(.2,)).items():
        rows += [row(f'part-{name}', s, 5.-g) for s,g in enumerate(gains)]
    t = gains_table('part', 'part-none', rows).set_index('training')
    assert t.index[0] == 'ours' and t.gain.iloc[0] == t.helps.iloc[0] == '–' and t.seeds.iloc[0] == 3
    assert t.helps.iloc[1:].to_dict() == {'+ embedding dropout .05': 'supported', '+ locked dropout .1': 'not supported', '+ noise .05': 'unclear',
                                 'whole softmax, the past decoded': 'not measured'}
    assert gains_table('part', 'part-none', []).empty


def test_what_chapter_12_says_of_the_stored_starts():
    "With every seed: the small table alone is the worst, and counting mends it; at the same seconds, ours reads more and better."
    def losses(name, column='valid_loss'): return {r['seed']: r[column] for r in text_rows() if r['recipe'] == name}
    starts = {n: losses(n) for n in TEXT_RECIPES if n.startswith('start')}
    assert all(starts.values())
    for seed in set.intersection(*map(set, starts.values())):
        at = {n: runs[seed] for n,runs in starts.items()}
        assert max(at, key=at.get) == 'start-small' and at['start-scaled'] < at['start-small-counted'] < at['start-small']
    for ours,theirs in (('ptb-200', 'ptb-sgd-200'), ('ptb-descent-200', 'ptb-sgd-200'), ('ptb-descent-600', 'ptb-sgd-600'), ('chars-180', 'chars-gpt-180')):
        a,b = losses(ours),losses(theirs)
        assert a and all(a[s] < b[s] for s in a if s in b)
        a,b = losses(ours, 'tokens'),losses(theirs, 'tokens')
        assert all(a[s] > b[s] for s in a if s in b)
