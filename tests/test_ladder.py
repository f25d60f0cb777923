"The ladder: what is stored belongs to the recipes, and reaches what it must."
import pandas as pd
import pytest
from typer.testing import CliRunner

from lm_from_scratch.cli import app
from lm_from_scratch.course import experiments
from lm_from_scratch.course.experiments import RunsFailed, append_rows, belongs, is_fresh, load_rows, stamp_of
from lm_from_scratch.course.ladder import *
from lm_from_scratch.data import human_numbers
from lm_from_scratch.errors import InvalidSize, LMError, TextFileError

MINIMUM = dict(nword=.46, stateful=.58, every_word=.63, rnn2=.53, lstm2=.74, gru2=.79, gru2_norm=.83, tied=.873)
results = load_results()


@pytest.mark.parametrize('name', [r.name for r in LADDER])
def test_stored_results_belong_to_the_recipe(name):
    recipe, rows = find_recipe(name), results[results.recipe == name]
    assert sorted(rows.seed) == list(range(len(rows))) and len(rows) >= 5
    assert set(rows.parameters) == {sum(p.numel() for p in recipe.model(30).parameters())}
    assert rows.command.str.startswith('lm-from-scratch ladder').all() and rows.torch.notna().all()


def test_no_stray_rows(): assert set(results.recipe) == {r.name for r in LADDER}


@pytest.mark.parametrize('name', MINIMUM)
def test_reaches(name): assert results.loc[results.recipe == name, 'accuracy'].mean() >= MINIMUM[name]


def test_a_stored_run_can_be_made_again():
    "The first seed of the every-word model, trained now, lands where the file says (numerics differ between processors)."
    row, learn = run_recipe(find_recipe('every_word'), seed=0)
    stored = results[(results.recipe == 'every_word') & (results.seed == 0)].iloc[0]
    assert abs(row['accuracy'] - stored.accuracy) < .06
    assert row['targets'] == stored.targets == 64*192 and row['parameters'] == stored.parameters
    assert (row['accuracy_8xxx'] + row['accuracy_9xxx'])/2 == pytest.approx(row['accuracy'], abs=.005)
    with learn.no_bar(): loss, accuracy = learn.validate()
    assert accuracy == pytest.approx(row['accuracy'], abs=1e-6) and loss == pytest.approx(row['valid_loss'], abs=1e-4)


def test_halves_are_the_two_halves():
    corpus = human_numbers()
    marks = halves(corpus).ids
    text = corpus.vocab.decode(corpus.ids[marks == 1])
    assert text.startswith('nine thousand . nine thousand one .') and len(text.split(' . ')) == 1000


def test_accuracies():
    import torch
    got = accuracies(torch.tensor([[1, 0, 0], [1, 1, 1]]) == 1, torch.tensor([[0, 0, 0], [1, 1, 0]]) == 1, 'cold')
    assert got == dict(cold=4/6, cold_8xxx=2/4, cold_9xxx=1.)


def test_table():
    table = ladder_table(results)
    assert list(table.model) == [r.title for r in LADDER]
    assert table.published.str.startswith('.').any() and table.ours.str.contains('±').all()


def test_errors():
    with pytest.raises(LMError, match="no recipe 'lstn'"): run_ladder(['lstn'])
    with pytest.raises(InvalidSize, match='seeds must be'): run_ladder(seeds=0)
    with pytest.raises(TextFileError, match='no results file'): load_results('/nowhere/x.jsonl')


# ---- the command

def typed(*args, **env):
    return CliRunner().invoke(app, ['ladder', *map(str, args)], env={'COLUMNS': '120', 'NO_COLOR': '1', 'TERM': 'dumb', **env})


def stored(name, seed, **kwargs): return {**dict(recipe=name, seed=seed, accuracy=.25, accuracy_8xxx=.2, accuracy_9xxx=.3), **stamp_of(find_recipe(name)), **kwargs}


def test_show_shows_the_file_that_is_named(tmp_path):
    append_rows([stored('nword', 0), stored('lstm2', 0)], tmp_path/'c.jsonl')
    out = typed('--show', '--cache', tmp_path/'c.jsonl').output
    assert '.250' in out and 'two-layer LSTM' in out and 'tanh' not in out
    assert 'LSTM' not in typed('nword', '--show', '--cache', tmp_path/'c.jsonl').output
    assert 'tied, regularized' in typed('--show').output
    assert isinstance(typed('--show', '--cache', tmp_path/'none.jsonl').exception, TextFileError)


def test_show_shows_no_row_of_other_settings(tmp_path):
    "As `claims` and `copying`: a row that carries the name, and was made in another way, is no rung."
    other = {**stamp_of(find_recipe('lstm2'))['settings'], 'lr': 1.}
    append_rows([stored('nword', 0), stored('lstm2', 0, settings=other)], tmp_path/'c.jsonl')
    out = typed('--show', '--cache', tmp_path/'c.jsonl').output
    assert 'three words' in out and 'LSTM' not in out


def test_show_leaves_strange_rows_aside(tmp_path):
    cache = tmp_path/'c.jsonl'
    append_rows([dict(a=1), dict(recipe='nword', seed=0)], cache)
    assert 'There is no row in' in str(typed('--show', '--cache', cache).exception)
    append_rows([stored('lstm2', 0)], cache)
    out = typed('--show', '--cache', cache).output
    assert 'two-layer LSTM' in out and 'three words' not in out
    for rows in ([], [dict(a=1)]): assert ladder_table(pd.DataFrame(rows)).empty
    assert ladder_table(pd.DataFrame([dict(recipe='nword', seed=0)])).ours.tolist() == ['–']


def test_names_stay_on_a_narrow_terminal():
    for columns in ('50', '60'): assert 'nword' in typed('--show', COLUMNS=columns).output or 'three words' in typed('--show', COLUMNS=columns).output


def test_trained_here_is_trained_here(tmp_path, monkeypatch):
    "Fresh rows are taken, nobody is counted twice, and no row of another torch is shown."
    trained = []
    monkeypatch.setattr(experiments._Pool, 'runs', lambda pool, tasks, stopped: [(t, [stored(t[0].name, t[1], accuracy=.75)]) for t in tasks if not trained.append(t)])
    cache = tmp_path/'c.jsonl'
    append_rows([stored('nword', 0, torch='1.0'), stored('nword', 1)], cache)
    out = typed('nword', 'nword', '--seeds', 2, '--cache', cache, '--output', tmp_path/'o.jsonl').output
    assert [(r.name, s) for r, s in trained] == [('nword', 0)] and '.500 ± .354' in out and '2 seeds, trained here' in out
    assert [r['accuracy'] for r in load_rows(tmp_path/'o.jsonl')] == [.75, .25]
    assert load_rows(cache)[0]['torch'] == '1.0' and len(load_rows(cache)) == 3
    assert load_rows(cache)[-1]['command'] == 'lm-from-scratch ladder nword --seeds 2'


def test_where_nothing_can_be_written_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments._Pool, 'runs', lambda *args: pytest.fail('trained'))
    for option in ('--cache', '--output'): assert isinstance(typed('nword', option, tmp_path).exception, TextFileError)


def test_output_has_each_row_as_soon_as_it_is_there(tmp_path, monkeypatch):
    "Stopped in the middle, or killed: what is done is kept, and the same command goes on."
    out, there = tmp_path/'o.jsonl', []
    def runs(pool, tasks, stopped):
        for r, s in tasks:
            if s == 2: stopped.append(2); return
            yield (r, s), [stored(r.name, s)]
            there.append(len(load_rows(out)))
    monkeypatch.setattr(experiments._Pool, 'runs', runs)
    got = typed('nword', '--seeds', 4, '--output', out)
    assert got.exit_code == 130 and there == [1, 2] and f'Stopped: 2 of 4 runs are in {out};' in ' '.join(got.stderr.split())
    monkeypatch.setattr(experiments._Pool, 'runs', lambda pool, tasks, stopped: [(t, [stored(t[0].name, t[1])]) for t in tasks])
    got = typed('nword', '--seeds', 4, '--output', out)
    assert not got.exit_code and '2 of 4 are there already' in got.stderr and [r['seed'] for r in load_rows(out)] == [0, 1, 2, 3]


@pytest.mark.parametrize('more', [['--cache', 'r.jsonl'], ['--store']])
def test_output_is_another_file_than_where_rows_are_kept(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(experiments, 'results_file', lambda name: tmp_path/'r.jsonl')
    monkeypatch.setattr(experiments._Pool, 'runs', lambda *args: pytest.fail('trained'))
    append_rows([stored('lstm2', 0)], 'r.jsonl')
    got = typed('nword', *more, '--output', tmp_path/'r.jsonl')
    assert isinstance(got.exception, LMError) and 'leave it out' in str(got.exception) and len(load_rows('r.jsonl')) == 1


def test_a_failure_is_told_and_the_rest_is_shown(monkeypatch):
    def run(*args): raise RunsFailed('1 of 2 runs failed.', [stored('nword', 0)])
    monkeypatch.setattr('lm_from_scratch.course.ladder.run_ladder', run)
    got = typed('nword')
    assert got.exit_code == 1 and '1 of 2 runs failed.' in got.stderr and '.250' in got.output


def test_store_brings_the_package_up_to_date(tmp_path, monkeypatch):
    file = tmp_path/'ladder.jsonl'
    monkeypatch.setattr(experiments, 'results_file', lambda name: file)
    monkeypatch.setattr(experiments._Pool, 'runs', lambda pool, tasks, stopped: [(t, [stored(*(t[0].name, t[1]))]) for t in tasks])
    append_rows([stored('stateful', 0), stored('nword', 0, code='old'), stored('nword', 1, settings={}), dict(recipe='gone', seed=0)], file)
    assert not typed('nword', '--seeds', 2, '--store').exit_code
    rows = load_rows(file)
    assert [(r['recipe'], r['seed']) for r in rows] == [('nword', 0), ('nword', 1), ('stateful', 0)]
    assert all(is_fresh(r, find_recipe(r['recipe'])) for r in rows)


def test_shipped_rows_are_fresh():
    "Made by the code as it stands, by whatever torch. (Rows of an older form do not tell their code: all of them, or none.)"
    rows = load_rows(results_file('ladder'))
    told, code = [r for r in rows if 'code' in r], {r.name: stamp_of(r)['code'] for r in LADDER}
    assert len(told) in (0, len(rows))
    assert [(r['recipe'], r['seed']) for r in told if r['code'] != code[r['recipe']] or not belongs(r, find_recipe(r['recipe']))] == [], 'make results'
