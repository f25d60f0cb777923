"The ladder: what is stored belongs to the recipes, and reaches what it must."
import pytest

from lm_from_scratch.all import *

MINIMUM = dict(nword=.46, stateful=.58, every_word=.63, rnn2=.53, lstm2=.74, gru2=.79, gru2_norm=.83, tied=.873)
results = load_results()


@pytest.mark.parametrize('name', [r.name for r in LADDER])
def test_stored_results_belong_to_the_recipe(name):
    recipe,rows = find_recipe(name),results[results.recipe == name]
    assert sorted(rows.seed) == list(range(len(rows))) and len(rows) >= 5
    assert set(rows.n_epochs) == {recipe.n_epochs} and set(rows.lr) == {recipe.lr}
    assert set(rows.parameters) == {sum(p.numel() for p in recipe.model(30).parameters())}
    assert rows.command.str.startswith('lm-from-scratch ladder').all() and rows.torch.notna().all()


def test_no_stray_rows(): assert set(results.recipe) == {r.name for r in LADDER}


@pytest.mark.parametrize('name', MINIMUM)
def test_reaches(name): assert results.loc[results.recipe == name, 'accuracy'].mean() >= MINIMUM[name]


def test_a_stored_run_can_be_made_again():
    "The first seed of the every-word model, trained now, lands where the file says (numerics differ between processors)."
    row,_ = run_recipe(find_recipe('every_word'), seed=0)
    stored = results[(results.recipe == 'every_word') & (results.seed == 0)].iloc[0]
    assert abs(row['accuracy'] - stored.accuracy) < .06
    assert row['targets'] == stored.targets == 64*192


def test_halves_are_the_two_halves():
    corpus = human_numbers()
    marks = halves(corpus).ids
    text = corpus.vocab.decode(corpus.ids[marks == 1])
    assert text.startswith('nine thousand . nine thousand one .') and len(text.split(' . ')) == 1000


def test_table_and_cache(tmp_path, monkeypatch):
    table = ladder_table(results)
    assert list(table.rung) == [r.title for r in LADDER]
    assert table.published.str.startswith('.').any() and table.ours.str.contains('±').all()
    seen,path = [],tmp_path/'cache.jsonl'
    first = run_ladder(['nword'], seeds=1, jobs=1, cache=path)
    again = run_ladder(['nword'], seeds=1, jobs=1, cache=path, progress=seen.append)
    assert seen and again[0]['accuracy'] == first[0]['accuracy'] == load_results(path).accuracy[0]


def test_errors():
    with pytest.raises(LMError, match="no recipe 'lstn'"): run_ladder(['lstn'])
    with pytest.raises(InvalidSize, match='seeds must be'): run_ladder(seeds=0)
    with pytest.raises(TextFileError, match='no results file'): load_results('/nowhere/x.jsonl')
