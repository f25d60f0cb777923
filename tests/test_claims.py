"Claims, their verdicts, and the results file they are judged by."
import dataclasses
import json

import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from typer.testing import CliRunner

from lm_from_scratch.cli import app
from lm_from_scratch.course import experiments
from lm_from_scratch.course.claims import *
from lm_from_scratch.course.experiments import append_rows, belongs, load_rows, results_file, settings_of, stamp_of
from lm_from_scratch.course.ladder import find_recipe
from lm_from_scratch.errors import LMError


def row_of(name, seed, a, **kwargs):
    return {**dict(recipe=name, seed=seed, accuracy=a, accuracy_8xxx=a, accuracy_9xxx=a-.1), **stamp_of(CONTESTANTS[name]), **kwargs}


def rows_of(**accuracies): # contestant → a figure a seed
    return [row_of(n.replace('_', '-'), i, a) for n, v in accuracies.items() for i, a in enumerate(v)]

def test_claims_are_well_formed():
    assert len({c.name for c in CLAIMS}) == len(CLAIMS) and len({c.text for c in CLAIMS}) >= len(CLAIMS)-2
    assert not {c.name for c in CLAIMS} & {c.group for c in CLAIMS}  # a name means one thing
    for c in CLAIMS:
        assert c.better in CONTESTANTS and c.worse in CONTESTANTS and c.better != c.worse
        assert len(c.text) <= 50  # pandas cuts longer cells
    assert {c.group for c in CLAIMS} == {'width', 'depth', 'cells', 'normalization', 'norms', 'regularization', 'fines', 'tying', 'beginnings'}

def words_of(name): # a contestant's settings, as `contestant` was given them
    settings = settings_of(CONTESTANTS[name])
    return {**settings['model'], **settings['learner']}

def test_one_thing_changes():
    "Leave-one-out and add-one-in claims differ in that one thing."
    for n, change in AGAINST_MEMORIZING.items():
        for better, worse in (('all', f'all-{n}'), (f'lstm+{n}', 'lstm')):
            a, b = words_of(better), words_of(worse)
            assert a.keys() == b.keys() and {k for k in a if a[k] != b[k]} == set(change)
            other = [{k: v for k, v in settings_of(CONTESTANTS[o]).items() if k not in ('model', 'learner')} for o in (better, worse)]
            assert other[0] == other[1]

def test_all_five_is_the_model_of_chapter_9_but_for_two_things():
    a, b = settings_of(CONTESTANTS['all']), settings_of(find_recipe('tied'))
    assert {k for k in a if a[k] != b[k]} == {'model', 'learner'}
    assert {**a['model'], 'p': .5} == b['model'] and {**a['learner'], 'moms': [.8, .7, .8]} == b['learner'] and a['model']['p'] == .4

@settings(deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=12), st.floats(-1, 1, width=32))
def test_interval(d, shift):
    mean,low,high = interval(d)
    assert low <= mean <= high and abs((low+high)/2 - mean) < 1e-9
    assert interval([x+shift for x in d]) == pytest.approx((mean+shift, low+shift, high+shift), abs=1e-6)
    assert interval([-x for x in d]) == pytest.approx((-mean, -high, -low), abs=1e-9)
    assert interval(d, .99)[1] <= low + 1e-12
    if high - low > 1e-6:
        ci = stats.ttest_1samp(d, 0).confidence_interval(.95)
        assert (low, high) == pytest.approx((ci.low, ci.high), abs=1e-6)

def test_interval_needs_two():
    with pytest.raises(LMError, match="two seeds or more, not 1"): interval([.1])

@given(st.floats(-1, 1), st.floats(0, 1))
def test_verdict(low, width):
    v = verdict(low, low+width)
    assert v in ('supported', 'unclear', 'not supported')
    if v == 'supported': assert low > 0 and low+width >= SMALLEST
    if v == 'not supported': assert low+width < SMALLEST
    if v == 'unclear': assert low <= 0 and low+width >= SMALLEST

def test_table():
    rows = rows_of(rnn_1=[.5, .6, .55], rnn_2=[.6, .7, .65], relu_1=[.70, .81, .74], relu_2=[.70, .60])
    t = claims_table('depth', rows)
    assert t.verdict.to_dict() == {'deeper-hurts-tanh': 'not supported', 'deeper-hurts-relu': 'unclear', 'relu-tanh-1': 'supported', 'relu-tanh-2': 'unclear'}
    assert t.seeds.tolist() == [3, 2, 3, 2]  # only the seeds that both have
    assert t.difference['deeper-hurts-tanh'] == pytest.approx(-.1)
    assert t.better['relu-tanh-2'] == pytest.approx(.65) and t.worse['relu-tanh-2'] == pytest.approx(.65)
    s = show_claim('depth', rows)
    assert s['should win'][0] == 'tanh, 1 layer: .550 ± .050' and s['difference'][0] == '−.100' and s['on the 9xxx'][2] == '+.200'
    assert show_claim('relu-tanh-1', rows).shape == (1, 8)
    c = contestants_table('depth', rows)
    assert c.iloc[0].tolist() == ['tanh, 1 layer', '.550 ± .050', '.550 ± .050', '.450 ± .050', 3]

def test_nothing_measured():
    assert set(claims_table(None, []).verdict) == {'not measured'}
    assert set(show_claim('cells', []).difference) == {'–'}
    assert contestants_table('cells', [])['seeds'].tolist() == [0]*7

def test_stale_rows_do_not_count(monkeypatch):
    rows = rows_of(rnn_1=[.5, .6, .55], rnn_2=[.6, .7, .65])
    assert claims_table('deeper-hurts-tanh', rows).verdict.tolist() == ['not supported']
    monkeypatch.setitem(CONTESTANTS, 'rnn-2', contestant('rnn-2', 'tanh, 2 layers', 'rnn', lr=5e-3))
    assert claims_table('deeper-hurts-tanh', rows).verdict.tolist() == ['not measured']

def test_new_titles_make_nothing_stale(monkeypatch):
    rows = rows_of(rnn_1=[.5, .6])
    monkeypatch.setitem(CONTESTANTS, 'rnn-1', dataclasses.replace(CONTESTANTS['rnn-1'], title='another title'))
    assert all(belongs(r, CONTESTANTS['rnn-1']) for r in rows)

def test_only_missing_and_stale_rows_are_trained(monkeypatch, tmp_path):
    trained, told, cache = [], [], tmp_path/'c.jsonl'
    def runs(pool, tasks, stopped):
        for recipe, seed in tasks:
            trained.append((recipe.name, seed))
            yield (recipe, seed), [row_of(recipe.name, seed, .5)]
    monkeypatch.setattr(experiments._Pool, 'runs', runs)
    run = lambda: run_claims(['deeper-hurts-tanh'], 2, 1, 'cmd', told.append, cache)
    rows = run()
    assert [(r['recipe'], r['seed']) for r in rows] == trained == [('rnn-1', 0), ('rnn-1', 1), ('rnn-2', 0), ('rnn-2', 1)]
    assert rows[0]['command'] == 'cmd' and 'torch' in rows[0] and len(told) == 4
    trained.clear(); assert run() == rows and trained == [] and len(told) == 8
    stored = load_rows(cache); stored[2]['settings']['lr'] = 1.
    cache.unlink(); append_rows([*stored[1:], dict(stored[0], recipe='transformer')], cache)
    run(); assert trained == [('rnn-1', 0), ('rnn-2', 0)]
    assert len(claims_rows(cache)) == 4 and {r['contestant'] for r in claims_rows(cache)} == {'rnn-1', 'rnn-2'}
    trained.clear(); run_claims(['relu-tanh-1'], 2, 1, cache=cache); assert trained == [('relu-1', 0), ('relu-1', 1)] and len(claims_rows(cache)) == 6

def test_unknown_names_say_what_there_is():
    with pytest.raises(LMError, match="no claim or group 'weather'; the groups are: width"): find_claims('weather')
    with pytest.raises(LMError, match="seeds must be a whole number of at least 2"): run_claims(['depth'], seeds=1)

def test_shipped_results():
    "Every contestant has five seeds or ten, made by the code as it stands; nothing else is in the file."
    rows = load_rows(results_file('claims'))
    told, code = [r for r in rows if 'code' in r], {n: stamp_of(c)['code'] for n, c in CONTESTANTS.items()}
    assert len(told) in (0, len(rows))                                   # an older form did not tell
    assert {r['recipe'] for r in told if r['code'] != code[r['recipe']] or not belongs(r, CONTESTANTS[r['recipe']])} == set(), 'make results'
    seeds = {n: [r['seed'] for r in rows if r['recipe'] == n] for n in CONTESTANTS}
    assert {n for n, s in seeds.items() if s not in (list(range(5)), list(range(10)))} == set() and len(rows) == sum(map(len, seeds.values()))
    for r in rows:
        targets = 4160 if r['recipe'].startswith('stateful') else 12288
        assert {'torch', 'fastai', 'python', 'lm_from_scratch', 'command'} <= r.keys() and r['targets'] == targets
        assert min(r['accuracy_8xxx'], r['accuracy_9xxx']) <= r['accuracy'] <= max(r['accuracy_8xxx'], r['accuracy_9xxx'])
    assert not set(claims_table().verdict) - {'supported', 'not supported', 'unclear'}

def test_cli():
    run = lambda *args: CliRunner().invoke(app, ['claims', *args], env={'COLUMNS': '160', 'NO_COLOR': '1', 'TERM': 'dumb'})
    out = run('--show', 'depth').output
    assert 'with 2 layers, ReLU beats tanh' in out and 'supported' in out and 'GRU' not in out
    assert 'GRU beats LSTM' in run('--show').output
    assert isinstance(run('weather', '--show').exception, LMError)
    assert '--store' in run('--help').output
