"Figures in prose: the linter reads them all, finds what they come from, and would notice if they were others."
import json
from collections import Counter
from types import SimpleNamespace

import pytest
import truth
from conftest import ROOT

from lm_from_scratch.course import experiments

PAGES = truth.pages()


def texts(markdown): return [f.text for f in truth.figures(truth.prose(markdown))]


@pytest.mark.parametrize('path', PAGES, ids=truth.page_name)
def test_every_figure_has_a_source_and_no_table_is_stale(path): assert not truth.unsourced(path) and not truth.stale(path)


def test_main_is_content(monkeypatch, capsys):
    "Of two pages, and what is listed for them: each page is read above."
    assert {e['page'] for e in truth.register()} <= set(map(truth.page_name, PAGES))
    two = [p for p in PAGES if truth.page_name(p) in ('02_state', 'errata')]
    mine = tuple(e for e in truth.register() if e['page'] in map(truth.page_name, two))
    monkeypatch.setattr(truth, 'pages', lambda: two)
    monkeypatch.setattr(truth, 'register', lambda: mine)
    assert len(two) == 2 and mine and truth.main() == 0
    assert 'each with a source' in capsys.readouterr().out
    monkeypatch.setattr(truth, 'register', lambda: (*mine, dict(page='99_page', figure='.123', paper='nobody')))
    assert truth.main() == 1 and "names a page '99_page', which does not exist" in capsys.readouterr().out


def test_what_is_a_figure():
    assert texts('It ends at .87, or 0.983, and −.5; 80 % of 1,234.5 and 12.5% more.') == ['.87', '0.983', '−.5', '80 %', '1,234.5', '12.5%']
    assert texts('1.22 times, 3.4 × as long.') == ['1.22', '3.4']


@pytest.mark.parametrize('text', ['in 2017, 64 rows of 192', '`x = .87`', '```\n.87\n```', '$p = .5$', '$$\n.5\n$$', '![.87 of it](x.svg)', '[here](a.87)',
    'https://arxiv.org/abs/1406.1078', 'arXiv:1406.1078', 'Python 3.10', 'fastai 2.8.12', 'torch 2.13', 'Apache-2.0', '## 3.1 A heading', '1. first', 'chapter 3.2'])
def test_what_is_none(text): assert not texts(text)


def figure(text): return next(iter(truth.figures(text)))


def test_rounding():
    for shown, said in [('.8698', '.87'), ('.152', '15 %'), ('80 %', '.8'), ('-.86', '.86'), ('0.50', '.5'), ('3.4', '3.4')]: assert truth.backs(figure(shown), figure(said))
    for shown, said in [('.8649', '.87'), ('.9', '.87'), ('.86', '−.86'), ('.5', '.50001'), ('.123456', '.1'), ('.156', '15 %')]: assert not truth.backs(figure(shown), figure(said))


def test_sums():
    assert truth.stands(dict(sum='1/(1-.2)'), figure('1.25')) and truth.stands(dict(sum='1-.2'), figure('80 %')) and truth.stands(dict(sum='log(30)'), figure('3.4'))
    assert not truth.stands(dict(sum='1/(1-.2)'), figure('1.26')) and not truth.stands({}, figure('1.26'))
    with pytest.raises(ValueError): truth.compute("__import__('os')")


def test_a_page_of_inventions(tmp_path):
    page = tmp_path/'99_page.md'
    page.write_text('# A page\n\nIt scores .8731, which is 42.5 % more.\n', encoding='utf-8')
    assert truth.unsourced(page) == ['99_page, cell 0: figure .8731 has no source', '99_page, cell 0: figure 42.5 % has no source']


def test_a_listed_source_must_be_used(monkeypatch):
    monkeypatch.setattr(truth, 'register', lambda: (dict(page='02_state', figure='.123', paper='nobody'),))
    assert any('lists .123' in line for line in truth.unsourced(ROOT/'nbs/02_state.ipynb'))


def perturbed(f):
    "The figure, wrong by one to three units in its last place."
    for k in (-3, -2, -1, 1, 2, 3):
        v = f.value + k*10**-f.places
        if v*f.value > 0: yield truth.Figure(f'{v:.{f.places}f}', v, f.places, f.percent)


def test_sharpness(capsys):
    caught, by_digits = [], {}
    for path in PAGES:
        for k, f in truth.prose_figures(path):
            for g in perturbed(f):
                hit = truth.source_of(path, k, g) is None
                caught.append(hit); by_digits.setdefault(max(p for _, p in f.shares()), Counter())[hit] += 1
    share = sum(caught)/len(caught)
    with capsys.disabled():
        print(f'\n{share:.0%} of {len(caught)} wrong figures are caught;', ', '.join(f'{d} digits: {c[True]}/{c.total()}' for d, c in sorted(by_digits.items())))
    assert share > .7


def test_other_results_make_tables_stale(tmp_path, monkeypatch):
    "Some seeds come out otherwise: every page that shows them is told of."
    for name in ('ladder', 'claims', 'copying', 'lstm_speed', 'loop_speed', 'ladder_cpu', 'texts', 'after', 'after_speed', 'scale_speed', 'page_size', 'text_speed', 'sizes'):
        rows = [json.loads(line) for line in experiments.results_file(name).read_text(encoding='utf-8').splitlines()]
        for r in rows[:40]: r.update({k: r[k] + .1 for k in ('accuracy', 'accuracy_8xxx', 'cold', 'ratio', 'valid_loss', 'valid_perplexity') if isinstance(r.get(k), float)})
        experiments.save_results(rows, tmp_path/f'course/results/{name}.jsonl')
    monkeypatch.setattr(experiments, 'find_spec', lambda name: SimpleNamespace(origin=tmp_path/'__init__.py'))
    for name in ('index', '31_ladder', '32_claims', '04_multilayer', '05_lstm', '33_copies', '12_text', '38_texts', '14_after', '39_afters'): assert truth.stale(ROOT/f'nbs/{name}.ipynb'), name
