"The one runner: when a recipe is the same, what a results file survives, and how runs end."
import ast
import dataclasses
import errno
import hashlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, unix
from hypothesis import given, settings, strategies as st

from lm_from_scratch.course import claims, copies, experiments, ladder
from lm_from_scratch.course.experiments import *
from lm_from_scratch.data import Corpus, lm_dataloaders, nword_dataloaders
from lm_from_scratch.errors import InvalidSize, LMError, TextFileError
from lm_from_scratch.every_word import EveryWordRNN
from lm_from_scratch.nword import LoopRNN
from lm_from_scratch.regularization import Dropout

ALL = [*ladder.LADDER, *claims.CONTESTANTS.values(), *copies.COPY_RECIPES.values()]
PACKAGE = {f'lm_from_scratch.{".".join(p.relative_to(ROOT/"lm_from_scratch").with_suffix("").parts)}': p
           for p in (ROOT/'lm_from_scratch').rglob('*.py') if p.name != '__init__.py'}


# ---- recipes for these tests: trained in no time

def small_text(): return Corpus.from_text('one two three . two three one . three one two . ' * 20)
def right(learn, recipe): return dict(accuracy=1/3)
def wrong(learn, recipe): raise RuntimeError("no\nluck")
def dead(learn, recipe): os._exit(7)
def slow(learn, recipe): time.sleep(60)
def three(learn, recipe): return [dict(test_time=t, cold=.1*i) for i, t in enumerate(['', 'a', 'b'])]


def recipe(name, measure=right, **kwargs):
    data, model = partial(lm_dataloaders, bs=2, seq_len=4), partial(EveryWordRNN, n_hidden=4)
    return Recipe(name, name, data, model, 1, 1e-2, corpus=small_text, measure=measure, **kwargs)


def row_of(r, seed=0, **kwargs): return {**dict(recipe=r.name, seed=seed, accuracy=.5), **stamp_of(r), **kwargs}


# ---- settings

def test_recipes_are_data():
    for r in ALL:
        assert hash(r) is not None and json.loads(json.dumps(settings_of(r))) == settings_of(r)
    with pytest.raises(dataclasses.FrozenInstanceError): ALL[0].lr = 1.


@pytest.mark.parametrize('recipes', [ladder.LADDER, claims.CONTESTANTS.values(), copies.COPY_RECIPES.values()])
def test_nobody_is_trained_twice(recipes):
    assert len({r.name for r in recipes}) == len({json.dumps(settings_of(r), sort_keys=True) for r in recipes}) == len(recipes)


@pytest.mark.parametrize('change', [dict(lr=1e-3), dict(n_epochs=2), dict(learner=dict(wd=.1)), dict(measure=wrong), dict(data=lm_dataloaders),
                                    dict(callbacks=(partial(Dropout, .1),)), dict(model=partial(EveryWordRNN, n_hidden=5)), dict(corpus=None)])
def test_each_setting_counts(change):
    r = recipe('a')
    assert settings_of(dataclasses.replace(r, **change)) != settings_of(r)


def test_what_is_shown_does_not_count():
    r = recipe('a')
    assert stamp_of(dataclasses.replace(r, title='b', chapter='c', published=.9)) == stamp_of(r)


def test_settings_tell_functions_by_name():
    assert settings_of(ladder.find_recipe('gru2_norm'))['model'] == {
        'function': 'multilayer.LanguageModel', 'n_hidden': 64, 'n_layers': 2,
        'rnn': {'function': 'multilayer.Recurrent', 'arguments': ['normalization.LayerNormGRUCell']}}
    with pytest.raises(LMError, match='not of <object'): described(dict(a=object()))


# ---- code

def edited(module, what):
    "A module's source with one more statement in a function, class or method; or the value of a constant in a list."
    tree = ast.parse(PACKAGE[module].read_text(encoding='utf-8'))
    name, _, method = what.partition('.')
    found = [n for n in tree.body if getattr(n, 'name', None) == name]
    if method and found: found = [n for n in found[0].body if getattr(n, 'name', None) == method]
    for n in found: n.body.append(ast.parse('one_more = 1').body[0])
    for n in tree.body:
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and n.targets[0].id == name: found.append(n); n.value = ast.List([n.value], ast.Load())
    assert found, what
    return ast.unparse(ast.fix_missing_locations(tree))


unchanged = cache(code_of) # of a recipe, as its modules are


def stale_after(module, *changes, recipes=ALL):
    "Names of the recipes that become stale when something in a module changes."
    module = f'lm_from_scratch.{module}'
    return {r.name for what in changes for source in [edited(module, what)] for r in recipes if code_of(r, {module: source}) != unchanged(r)}


def names(*lists): return {r.name for rs in lists for r in rs}
def says(name): return {r.name for r in ALL if f'copying.{name}' in json.dumps(settings_of(r))}
EVERY, THREE = names(ALL), {'nword', 'stateful', 'every_word', 'stateful-128'}   # of one layer, without a `LanguageModel`


def test_a_cell_makes_its_own_rows_stale():
    "A change in `GateNorm` reaches what normalizes gates, and nothing else."
    assert stale_after('normalization', 'GateNorm') == {'gru2_norm', 'lstm+norm', 'gru+norm'}
    assert stale_after('normalization', 'LayerNormRNNCell') == {'rnn+norm', 'tanh-ln', 'tanh-ln-quiet', 'relu-ln'}


@pytest.mark.parametrize('module, what, stale', [
    ('nword', 'UnrolledRNN', THREE),                         # a base class
    ('state', '_fit_rows', EVERY),                           # a private helper, which every learner reaches
    ('multilayer', 'RNNS', EVERY - THREE),                   # a constant
    ('training', 'run_seed', EVERY), ('course.experiments', 'train', EVERY),
    ('course.ladder', 'accuracies', EVERY),                  # what measures
    ('data', 'sequences', {'nword'}), ('data', 'human_numbers', EVERY),
    ('copying', 'trade_words', says('trade_words')),         # an argument of a `partial`
    ('copying', 'MovingDL', says('moving_dataloaders')), ('copying', 'ForgetState', says('ForgetState')), ('copying', 'cache_guesses', says('cache_guesses')),
    ('data', 'split', EVERY),                                # a method that was added by `@patch`
    ('data', 'from_file', set()),                            # one that nobody here calls
    ('errors', 'check_size', set()),                         # it refuses, and a refusal makes no figure
    ('training', 'show_results', set()), ('course.ladder', 'ladder_table', set()), ('course.experiments', 'append_rows', set()),
    ('generation', 'generate', set()), ('inspection', 'read_states', set()), ('cli', 'main', set()), ('weight_tying', 'LMTextLearner', set())])
def test_what_is_reached(module, what, stale): assert stale_after(module, what) == stale


def rewritten(source):
    "The same code, every docstring another one, every line broken in another way, comments gone, parameters without annotations."
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            if ast.get_docstring(node) is not None: node.body[0].value.value = 'Something else.'
            else: node.body.insert(0, ast.Expr(ast.Constant('Something new.')))
        if isinstance(node, ast.FunctionDef) and not node.decorator_list: node.returns = None
    return '# made anew\n' + ast.unparse(ast.fix_missing_locations(tree)).replace('\n\n', '\n\n\n')


def test_what_is_written_for_readers_does_not_count():
    "All modules at once, rewritten without changing a thing: no recipe notices."
    sources = {m: rewritten(p.read_text(encoding='utf-8')) for m, p in PACKAGE.items()}
    assert [r.name for r in ALL if code_of(r, sources) != unchanged(r)] == []


SAMPLE = '''
@mark(1, *a, **b)
class A(B, metaclass=M):
    "Says something."
    x: int = 1_000
    def f(self, a, /, b: int = .5, *args: str, c=None, **kw) -> dict:
        """Does
        something."""
        global g
        if (n := len(a)) > 2 and not b or c is not None: yield from a
        elif a[1:2, ..., ::3] in (x, *y): return {**kw, "k": f"{a!r:>{n}} and {b=} {'x'}" "y" f"z{c:.3f}"}
        try: pass
        except (E, F) as e: raise G from e
        finally: del a.b, c[0]
        with open(a) as f, g: assert f, "no"
        return lambda u, *v: [i async for i in u if i if not i], {k: v for k, v in u}, (yield), -1 ** 2j, b"\\x00", "é"
    async def g(self):
        async with a as b: await c
        while True: break
        else: continue_ = 1
        match a:
            case {"x": [1, *rest], **kw} | A(b, c=d) if e: nonlocal_ = a if b else c
            case str() as s: print(s, end="", sep=f"{{}}")
'''


def test_what_an_error_says_does_not_count(): assert normal_form('def f(): raise A(f"{x}")') == normal_form('def f(): raise B from c')


def test_the_normal_form_is_the_same_for_each_python():
    "Worked out with 3.10, 3.11, 3.12 and 3.13: a hash that moves on another version would make every row stale there."
    assert hashlib.sha256(normal_form(SAMPLE).encode()).hexdigest()[:16] == 'd412d15f5f82c1f8'


@pytest.mark.parametrize('a, b', [('x = 1', 'x = 1.0'), ('x = "1"', 'x = 1'), ('x = True', 'x = 1'), ('f(a, b)', 'f(b, a)'), ('x = a + b', 'x = a - b'),
                                  ('def f(x=1): pass', 'def f(x=2): pass'), ('x = f"{a}b"', 'x = f"a{b}"'), ('x = f"{a:.3f}"', 'x = f"{a:.4f}"'),
                                  ('x = "a"', 'x = b"a"'), ('if a: raise E', 'if b: raise E'), ('@a\ndef f(): 1', '@b\ndef f(): 1'), ('def f(): return "a"', 'def f(): return "b"')])
def test_the_normal_form_tells_code_apart(a, b): assert normal_form(a) != normal_form(b)


def test_code_outside_of_the_package_is_followed(tmp_path, monkeypatch):
    "A user's own module: what its functions use counts, what it says beside that does not."
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path/'own_recipe.py'
    code = 'def helper(): return 1\ndef unused(): return 2\ndef measure(learn, recipe): return dict(a=helper())\n'
    def stamp(text):
        file.write_text(text)
        experiments._text_of.cache_clear()
        return code_of(recipe('own', own.measure))
    file.write_text(code)
    own = importlib.import_module('own_recipe')
    first = stamp(code)
    assert stamp(code + '# a comment') == first == stamp(code.replace('return 2', 'return 3'))
    assert stamp(code.replace('return 1', 'return 3')) != first
    assert own.measure(None, None) == dict(a=1)
    file.write_text(code.replace('return 1', 'return 4'))
    was = code_of(recipe('own', own.measure))                 # edited while it runs: not what runs
    experiments._text_of.cache_clear()
    assert code_of(recipe('own', own.measure)) != was
    half = lambda learn, recipe: dict(a=1)  # noqa: E731
    assert code_of(recipe('lambda', half)) != code_of(recipe('lambda', right))


@pytest.mark.parametrize('i, code', enumerate([
    'from PACK.helper import f\ndef measure(learn, recipe): return dict(a=f())',
    'def measure(learn, recipe):\n    from PACK.helper import f\n    return dict(a=f())',
    'def measure(learn, recipe):\n    from PACK.helper import f as g\n    return dict(a=g())',
    'def measure(learn, recipe):\n    from PACK import helper\n    return dict(a=helper.f())',
    'import PACK.helper\ndef measure(learn, recipe): return dict(a=PACK.helper.f())',
    'import PACK.helper as h\ndef measure(learn, recipe): return dict(a=h.f())',
    'def measure(learn, recipe):\n    import PACK.helper\n    return dict(a=PACK.helper.f())',
    'import PACK\ndef measure(learn, recipe): return dict(a=PACK.helper.f())',
    'import PACK\ndef measure(learn, recipe): return dict(a=PACK.again())',
    'import PACK.deep.er\ndef measure(learn, recipe): return dict(a=PACK.deep.er.f())',
    'import PACK.deep.er\ndef measure(learn, recipe): return dict(a=PACK.helper.f())']))
def test_code_is_followed_however_it_is_imported(tmp_path, monkeypatch, i, code):
    "At the top or inside of a function, by its name, by the name of its module, or by that of a package."
    monkeypatch.syspath_prepend(tmp_path)
    pack, helper = f'own_pack{i}', 'def f(): return 1\ndef unused(): return 2\n'
    for name, text in (('__init__', 'from . import helper\nfrom .helper import f as again\n'), ('helper', helper), ('deep/__init__', ''), ('deep/er', 'from ..helper import f\n')):
        (tmp_path/pack/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/pack/f'{name}.py').write_text(text)
    (tmp_path/f'own_recipe{i}.py').write_text(code.replace('PACK', pack))
    own = importlib.import_module(f'own_recipe{i}')
    def stamp(text): return code_of(recipe('own', own.measure), {f'{pack}.helper': text})
    first = code_of(recipe('own', own.measure))                # perhaps nobody has imported the helper yet
    assert (f'{pack}.helper', 'f') in reached(recipe('own', own.measure))
    assert stamp(helper) == first == stamp(helper.replace('return 2', 'return 3')) != stamp(helper.replace('return 1', 'return 3'))
    assert own.measure(None, None) == dict(a=1)
    experiments._parsed.cache_clear()
    assert stamp(helper) == first                              # as in another process, where it has been imported


def test_libraries_are_not_imported_to_be_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path/'own_lazy.py').write_text('def measure(learn, recipe):\n    import wsgiref.util, no_such_thing.below\n    from xmlrpc import client\n    return client.x(wsgiref.util.y)')
    own = importlib.import_module('own_lazy')
    assert [at for at in reached(recipe('own', own.measure)) if at[0] == 'own_lazy'] == [('own_lazy', 'measure')]
    assert not {'wsgiref', 'wsgiref.util', 'xmlrpc.client'} & set(sys.modules)


# ---- rows

def test_a_row_says_where_it_comes_from():
    row, learn = run_recipe(recipe('a'), 3)
    assert row['recipe'] == 'a' and row['seed'] == 3 and row['accuracy'] == 1/3 and row['cpu_seconds'] > 0
    assert {'settings', 'code', 'lm_from_scratch', 'torch', 'fastai', 'python', 'processor'} <= row.keys()
    assert is_fresh(row, recipe('a')) and json.loads(json.dumps(row)) == row and 'valid_loss' in row
    assert is_fresh(json.loads(json.dumps(row)), recipe('a'))
    with pytest.raises(InvalidSize, match='seed must be'): run_recipe(recipe('a'), -1)


def test_one_thread_whatever_was_set():
    import torch
    seen, was = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(dataclasses.replace(recipe('a'), measure=lambda learn, r: seen.append(torch.get_num_threads()) or {}), 0)
        assert seen == [1] and torch.get_num_threads() == 2
    finally: torch.set_num_threads(was)


@pytest.mark.parametrize('other', [dict(torch='1.0'), dict(lm_from_scratch='0.0'), dict(fastai='1'), dict(code='0')])
def test_other_versions_belong_but_are_not_fresh(other):
    r = recipe('a')
    assert belongs(row_of(r, **other), r) and not is_fresh(row_of(r, **other), r)
    assert is_fresh(row_of(r, python='3.0'), r)


# ---- the file

@settings(deadline=None, max_examples=60)
@given(x=st.floats(allow_nan=False, allow_infinity=False))
def test_figures_come_back_as_they_were(tmp_path_factory, x):
    path = tmp_path_factory.mktemp('rows')/'r.jsonl'
    append_rows([dict(recipe='a', seed=0, accuracy=x)], path)
    assert load_rows(path)[0]['accuracy'] == x and load_results(path).accuracy[0] == x


def test_what_is_no_number_is_null(tmp_path):
    append_rows([dict(recipe='a', seed=0, loss=float('nan'), more=[float('inf')])], tmp_path/'r.jsonl')
    assert json.loads((tmp_path/'r.jsonl').read_text(), parse_constant=pytest.fail) == dict(recipe='a', seed=0, loss=None, more=[None])


@pytest.mark.parametrize('line', [b'{"recipe": "qui', b'# A language model', b'\xff\xfe\x00', b'[1, 2]', b'"a"', b'3',
                                  b'[' * 100_000, b'{"recipe": ["x"], "seed": 0}', b'{"recipe": "a", "seed": 0, "part": []}', b'{"recipe": "a", "seed": 0, "part": 1}',
                                  b'{"recipe": "a", "seed": {}}', b'{"recipe": "a"}', b'{"recipe": "a", "seed": true}', b'{"recipe": "a", "seed": 0, "test_time": []}'])
def test_a_torn_or_foreign_line_costs_itself(tmp_path, line, capsys):
    path = tmp_path/'r.jsonl'
    path.write_bytes(b'{"recipe": "a", "seed": 0}\n' + line + b'\n{"recipe": "a", "seed": 1}\n')
    assert [r['seed'] for r in load_rows(path)] == [0, 1]
    said = capsys.readouterr().err.splitlines()
    assert said == [f'{path}, line 2 is no row of results: left aside.']
    append_rows([dict(recipe='a', seed=2)], path)
    assert line in path.read_bytes().split(b'\n')


def test_rows_of_another_store_need_no_recipe(tmp_path):
    rows = [dict(size='small', seed=[1]), dict(part='world', processor='x'), dict(recipe='a', seed=0, part=None), dict(recipe='a', seed=0, part=[1, 2])]
    append_rows(rows, tmp_path/'r.jsonl')
    assert load_rows(tmp_path/'r.jsonl') == rows and len(load_results(tmp_path/'r.jsonl')) == 4 and fresh_runs(rows, [recipe('a')]) == {}


@pytest.mark.parametrize('rows', [ladder.ladder_rows, claims.claims_rows, copies.copying_rows])
def test_a_foreign_line_is_told_once(tmp_path, capsys, rows):
    path = tmp_path/'r.jsonl'
    path.write_text('torn\n{"a": 1}\n')
    assert stored_rows(rows, path) == []
    assert capsys.readouterr().err == f'{path}, line 1 is no row of results: left aside.\n'
    with pytest.raises(TextFileError, match='no results file'): stored_rows(rows, tmp_path/'x.jsonl')


def test_a_torn_end_takes_nothing_with_it(tmp_path):
    path = tmp_path/'r.jsonl'
    append_rows([dict(recipe='a', seed=0), dict(recipe='a', seed=1)], path)
    whole = path.read_bytes()
    for n in range(len(whole)):                                            # as a power cut could leave it
        path.write_bytes(whole[:n])
        append_rows([dict(recipe='a', seed=2)], path)
        assert load_rows(path, strangers=lambda line: None)[-1]['seed'] == 2
        assert path.read_bytes().startswith(whole[:n])


def _writer(path, i):
    for k in range(20): append_rows([dict(recipe=f'w{i}', seed=k, text='x'*3000)], path)


@unix
def test_writers_lose_nothing(tmp_path):
    path, fork = tmp_path/'r.jsonl', get_context('fork')
    writers = [fork.Process(target=_writer, args=(path, i)) for i in range(4)]
    for w in writers: w.start()
    for w in writers: w.join()
    assert sorted((r['recipe'], r['seed']) for r in load_rows(path)) == [(f'w{i}', k) for i in range(4) for k in range(20)]


def _changer(path, i):
    for k in range(10): change_results(path, lambda rows: [*rows, dict(recipe=f'w{i}', seed=k, text='x'*3000)])


@unix
def test_changes_lose_nothing(tmp_path):
    "What is read, changed and written again, by several at once."
    path, fork = tmp_path/'r.jsonl', get_context('fork')
    writers = [fork.Process(target=_changer, args=(path, i)) for i in range(4)]
    for w in writers: w.start()
    for w in writers: w.join()
    assert sorted((r['recipe'], r['seed']) for r in load_rows(path)) == [(f'w{i}', k) for i in range(4) for k in range(10)]


class Full:
    "`os.write` on a disk that has room for so many bytes."
    def __init__(self, room, error=errno.ENOSPC): self.room, self.error, self.write = room, error, os.write
    def __call__(self, file, data):
        if not self.room: raise OSError(self.error, os.strerror(self.error))
        n = self.write(file, bytes(data)[:self.room])
        self.room -= n
        return n


@pytest.mark.parametrize('room', [0, 1, 20])
@pytest.mark.parametrize('write', [append_rows, save_results])
def test_a_full_disk_loses_nothing_old(tmp_path, monkeypatch, room, write):
    path = tmp_path/'r.jsonl'
    append_rows([dict(recipe='a', seed=0)], path)
    before = path.read_bytes()
    monkeypatch.setattr(experiments.os, 'write', Full(room))
    with pytest.raises(LMError, match='r.jsonl cannot be written: the disk is full; what it held is still there.$'):
        write([dict(recipe='a', seed=1, text='x'*100)], path)
    assert path.read_bytes() == before and not list(tmp_path.glob('.r.jsonl.*'))


def test_where_one_may_not_write(tmp_path, monkeypatch):
    with pytest.raises(LMError, match='cannot be written: a folder and a file'): append_rows([], tmp_path)
    (tmp_path/'file').write_text('')
    with pytest.raises(LMError, match='cannot be written: a folder and a file'): append_rows([], tmp_path/'file'/'r.jsonl')
    def refuse(*args, **kwargs): raise PermissionError(errno.EACCES, 'no')
    monkeypatch.setattr(experiments.os, 'open', refuse)
    with pytest.raises(LMError, match='r.jsonl cannot be written: no permission.$'): append_rows([], tmp_path/'r.jsonl')


def test_the_last_row_counts(tmp_path):
    path = tmp_path/'r.jsonl'
    append_rows([dict(recipe='a', seed=0, accuracy=.1), dict(recipe='a', seed=0, accuracy=.2), dict(name='b', ratio=1.), dict(name='b', ratio=2.)], path)
    assert load_results(path).accuracy.dropna().tolist() == [.2] and len(load_results(path)) == 3
    with pytest.raises(TextFileError, match='no results file'): load_results(tmp_path/'x.jsonl')


def test_tidy(tmp_path, capsys):
    a, b = recipe('a'), recipe('b')
    path = tmp_path/'r.jsonl'
    append_rows([row_of(b, 1), row_of(a, 1, torch='0'), row_of(a, 1), row_of(b, 0), dict(recipe='gone', seed=0), row_of(a, 0, settings={})], path)
    with open(path, 'a') as f: f.write('torn')
    tidy(path, dict(a=a, b=b).values())                                   # as the claims hold them
    assert [(r['recipe'], r['seed'], r['torch']) for r in load_rows(path)] == [(n, s, versions()['torch']) for n, s in [('a', 1), ('b', 0), ('b', 1)]]
    assert 'line 7 is no row of results: left aside, and gone now.' in capsys.readouterr().err


# ---- runs

def two_seconds():
    "On a machine that has nothing else to do; with a queue in front of its processors, so much longer."
    return 2 * max(1, os.getloadavg()[0]/os.cpu_count())



@pytest.fixture(scope='module')
def after_a_run(tmp_path_factory):
    "A run of everything that can happen to a worker, with one process."
    path, told, seen = tmp_path_factory.mktemp('run')/'r.jsonl', [], []
    good, bad = [recipe('a'), recipe('list', three)], [recipe('raises', wrong), recipe('dies', dead), recipe('lambda', lambda learn, r: {})]
    append_rows([row_of(good[0], 1, torch='0', accuracy=.9), row_of(good[0], 0, accuracy=.7)], path)
    told = []
    with pytest.MonkeyPatch.context() as m:
        m.setattr(experiments, 'tell', told.append)
        with pytest.raises(RunsFailed) as e: run_recipes([bad[1], bad[0], bad[2], *good, good[0]], [0, 1], 1, 'the command', seen.append, path)
    return dict(path=path, told=told, seen=seen, good=good, error=e.value)


def test_a_failure_costs_its_own_run(after_a_run):
    rows, told = after_a_run['error'].rows, after_a_run['told']
    assert [(r['recipe'], r['seed']) for r in rows] == [('a', 0), ('a', 1), ('list', 0), ('list', 0), ('list', 0), ('list', 1), ('list', 1), ('list', 1)]
    assert str(after_a_run['error']) == '6 of 10 runs failed.' and len(told) == 6
    assert told[0] == 'dies, seed 0 failed: its process ended (exit code 7)'
    assert any(t.startswith('raises, seed 1 failed: RuntimeError: no luck (test_experiments.py, line ') for t in told)
    assert any(t.startswith('lambda, seed 0 failed: it cannot be sent to another process') for t in told)


def test_only_what_is_not_fresh_is_trained(after_a_run):
    rows = after_a_run['error'].rows
    assert rows[0]['accuracy'] == .7 and 'command' not in rows[0]                     # taken from the file
    assert rows[1]['accuracy'] == 1/3 and rows[1]['command'] == 'the command'         # the stored one was another torch's
    assert {r['torch'] for r in rows} == {versions()['torch']}
    assert [r['recipe'] for r in after_a_run['seen']] == ['a', 'a', 'list', 'list']


def test_rows_of_another_torch_stay_in_the_file(after_a_run):
    stored = load_rows(after_a_run['path'])
    assert stored[0]['torch'] == '0' and stored[0]['accuracy'] == .9 and len(stored) == 2 + 1 + 6


def test_nothing_is_trained_twice(after_a_run, monkeypatch):
    monkeypatch.setattr(experiments._Pool, 'start', lambda self: pytest.fail('nothing was to be trained'))
    again = run_recipes(after_a_run['good'], [0, 1], 1, cache=after_a_run['path'])
    assert again == after_a_run['error'].rows


def test_half_a_run_is_no_run(after_a_run):
    good = after_a_run['good'][1]
    rows = [r for r in load_rows(after_a_run['path']) if r['recipe'] == 'list']
    assert set(fresh_runs(rows, [good])) == {('list', 0), ('list', 1)}
    assert set(fresh_runs(rows[1:], [good])) == {('list', 1)} and set(fresh_runs(rows[:-1], [good])) == {('list', 0)}


def test_seed_by_seed(tmp_path, monkeypatch):
    "The order of the seeds, then of the recipes; what fails costs itself, and no later seed."
    asked, r = [], {n: recipe(n) for n in 'ab'}
    def runs(pool, tasks, stopped):
        for one, s in tasks:
            asked.append((one.name, s))
            yield (one, s), 'no luck' if asked == [('a', 2)] else [row_of(one, s)]
    monkeypatch.setattr(experiments._Pool, 'runs', runs)
    with pytest.raises(RunsFailed, match='1 of 4 runs failed') as e: run_recipes(r.values(), [2, 1], 1, cache=tmp_path/'r.jsonl', by_seed=True)
    assert asked == [('a', 2), ('b', 2), ('a', 1), ('b', 1)] and [(x['recipe'], x['seed']) for x in e.value.rows] == asked[1:]
    assert [(x['recipe'], x['seed']) for x in run_recipes(r.values(), [2, 1], 1, cache=tmp_path/'r.jsonl', by_seed=True)] == asked[:4] and asked[4:] == [('a', 2)]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(tmp_path, number):
    "The first run is stored, the second is in the middle of something: it is not waited for, and no process is left."
    def ask(row): os.kill(os.getpid(), number); asked.append(time.monotonic())
    asked, path, before = [], tmp_path/'r.jsonl', signal.getsignal(number)
    with pytest.raises(Stopped) as e: run_recipes([recipe('a'), recipe('slow', slow)], [0, 1], 1, progress=ask, cache=path)
    assert time.monotonic() - asked[0] < two_seconds() and e.value.code == 128+number
    assert str(e.value) == f'Stopped: {len(asked)} of 4 runs are in {path}; the same command goes on from there.'
    assert len(load_rows(path)) == len(asked) and signal.getsignal(number) is before
    assert not [p for p in psutil.Process().children() if 'spawn_main' in ' '.join(p.cmdline())]


def test_seeds_and_jobs_are_checked(tmp_path):
    for seeds in ([-1], [True], ['1'], [.5]):
        with pytest.raises(InvalidSize, match='seed must be a whole number of at least 0'): run_recipes([recipe('a')], seeds)
    with pytest.raises(InvalidSize, match='seed must be at most'): run_recipes([recipe('a')], [10**20])
    with pytest.raises(InvalidSize, match='jobs must be'): run_recipes([recipe('a')], [0], 0)
    with pytest.raises(TextFileError, match='cannot be written'): run_recipes([recipe('a')], [0], cache=tmp_path)


def test_progress_in_lines(capsys):
    a, b = recipe('a'), recipe('b')
    with Progress() as p:
        p.plan({(a, 0): [row_of(a)]}, [(a, 1), (b, 0)])
        p(row_of(a, 1)); p.took = 30.; p(row_of(b))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == '1 of 3 are there already' and lines[1].startswith('2 of 3  a, seed 1: .500  0:00 gone, 0:00 left') and lines[2].startswith('3 of 3')


def test_figures_as_text():
    assert [as_text(x) for x in (.5, -.0125, 0., 1., None, float('nan'))] == ['.500', '−.013', '.000', '1.000', '–', '–'] or as_text(-.0125) == '−.012'
    assert as_text(.00004, 4, signed=True) == '+.0000' and mean_sd([.5, .7], 2) == '.60 ± .14' and mean_sd([None, .5]) == '.500'
    assert plus_minus(.5, float('nan')) == '.500' and plus_minus(float('nan'), .1) == '–'


# ---- the commands, as somebody types them

LMFS = Path(sys.executable).parent/'lm-from-scratch'


def typed(*args, **kwargs):
    return subprocess.Popen([LMFS, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **kwargs)


def wait_for_a_row(path, p, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end and p.poll() is None:
        if path.exists() and path.stat().st_size: return
        time.sleep(.05)
    pytest.fail('no row came: ' + str(p.poll()))


def family(p):
    try: return psutil.Process(p.pid).children(recursive=True)
    except psutil.NoSuchProcess: return []


def gone(processes, seconds):
    _, alive = psutil.wait_procs(processes, seconds)
    return not alive


@unix
@pytest.mark.parametrize('command', ['ladder', 'claims', 'copying'])
def test_ctrl_c_at_any_moment(tmp_path, command):
    p = typed(command, '--cache', tmp_path/'r.jsonl')
    time.sleep(random.uniform(3, 9))                         # importing PyTorch, starting workers, training
    workers, asked = family(p), time.monotonic()
    os.killpg(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=20)
    assert time.monotonic() - asked < two_seconds() and p.returncode == 130 and 'Traceback' not in err and 'Stopped' in err, err
    assert gone(workers, 5)


@unix
def test_ctrl_c_while_the_first_worker_starts(tmp_path):
    "It is still importing, and has not yet said that the parent decides."
    for k in range(3):
        p = typed('ladder', 'nword', '--cache', tmp_path/'r.jsonl')
        while p.poll() is None and not [c for c in family(p) if 'spawn_main' in ' '.join(c.cmdline())]: time.sleep(.01)
        time.sleep(.05 * k)
        os.killpg(p.pid, signal.SIGINT)
        out, err = p.communicate(timeout=20)
        assert p.returncode == 130 and 'Traceback' not in err and 'Stopped' in err, err


@pytest.fixture(scope='module')
def interrupted(tmp_path_factory):
    "`ladder`, killed by -9 after its first row; then again from its cache, stopped by Ctrl-C at any moment."
    path = tmp_path_factory.mktemp('ladder')/'r.jsonl'
    killed = typed('ladder', 'nword', '--seeds', 60, '--jobs', 1, '--cache', path)
    wait_for_a_row(path, killed)
    workers = family(killed)
    killed.kill()
    killed.communicate()
    left = path.read_bytes()
    assert gone(workers, 10) and workers
    p = typed('ladder', 'nword', '--seeds', 60, '--jobs', 1, '--cache', path)
    end = time.monotonic() + 240
    while time.monotonic() < end and path.read_bytes() == left and p.poll() is None: time.sleep(.05)
    time.sleep(random.random())
    workers, asked = family(p), time.monotonic()
    os.killpg(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=20)
    return dict(path=path, left=left, code=p.returncode, err=err, out=out, seconds=time.monotonic()-asked, workers=workers)


@unix
def test_kill_9_leaves_a_readable_file(interrupted):
    for line in interrupted['left'].splitlines(): assert json.loads(line)['recipe'] == 'nword'


@unix
def test_ctrl_c_ends_a_command(interrupted):
    r = interrupted
    n = len(load_rows(r['path']))
    assert r['seconds'] < two_seconds() and r['code'] == 130 and 'Traceback' not in r['err'], r['err']
    assert r['err'].splitlines()[-1] == f"Stopped: {n} of 60 runs are in {r['path']}; the same command goes on from there."
    assert n > len(r['left'].splitlines()) and gone(r['workers'], 5) and r['workers']


@unix
def test_it_goes_on_from_there(interrupted):
    assert f"{len(interrupted['left'].splitlines())} of 60 are there already" in interrupted['err']
    seeds = [r['seed'] for r in load_rows(interrupted['path'])]
    assert len(seeds) == len(set(seeds))


def test_of_a_run_with_several_rows_none_is_lost(tmp_path):
    rows = [dict(recipe='a', seed=0, part=[k, 2], x=k) for k in (1, 2)]
    assert newest(rows) == rows and newest([*rows, dict(rows[0], x=9)]) == [dict(rows[0], x=9), rows[1]]


def test_the_chip_of_a_processor(tmp_path):
    from lm_from_scratch.course.experiments import _chip
    (tmp_path/'amd').write_text('processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel\t\t: 99\n')
    (tmp_path/'arm').write_text('processor\t: 0\nCPU implementer\t: 0x41\n')
    assert _chip(tmp_path/'amd') == ['AMD-25/17'] and _chip(tmp_path/'arm') == _chip(tmp_path/'none') == []
