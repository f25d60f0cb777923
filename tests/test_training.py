"The lean loop is fastai's `Learner`, to the bit; and what it cannot do alike it refuses."
import copy
from functools import partial

import pytest
import torch
from fastai.basics import SGD, Learner, set_seed
from fastai.callback.all import GradientClip, SaveModelCallback
from fastai.learner import Recorder
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import Perplexity, accuracy

from lm_from_scratch.copying import ForgetState, MovingDL, borrow, moving_dataloaders, trade_before, trade_words
from lm_from_scratch.course.copies import COPY_RECIPES
from lm_from_scratch.course.experiments import learner_of, load_results
from lm_from_scratch.course.ladder import LADDER
from lm_from_scratch.data import Corpus, human_numbers, lm_dataloaders, number_words
from lm_from_scratch.errors import InvalidSize, LMError
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.regularization import ActivationRegularizer
from lm_from_scratch.training import *
from lm_from_scratch.training import batches_of, lean_fit
from lm_from_scratch.weight_tying import LMTextLearner

SHORT = Corpus.from_text(' . '.join(number_words(n) for n in range(1, 1200)), 'short')


def both(make, n_epochs, lr):
    "The learner that the lean loop trained with its rows, and the one that fastai trained."
    set_seed(3, reproducible=True)
    lean = make()
    rows = lean_fit(lean, n_epochs, lr)
    after = torch.rand(())
    set_seed(3, reproducible=True)
    theirs = make()
    with theirs.no_bar(), theirs.no_logging(): theirs.fit_one_cycle(n_epochs, lr)
    return lean, rows, theirs, after == torch.rand(())


def same(make, n_epochs=2, lr=1e-2):
    lean, rows, theirs, same_dice = both(make, n_epochs, lr)
    assert same_dice, "other random numbers were drawn"
    assert [list(r.values()) for r in rows] == theirs.recorder.values
    assert list(rows[0]) == list(theirs.recorder.metric_names[1:-1])
    for (name, a), b in zip(lean.model.state_dict().items(), theirs.model.state_dict().values(), strict=True): assert torch.equal(a, b), name
    assert lean.model.training == theirs.model.training
    if hasattr(lean.model, 'reset'): assert lean.model.h is None is theirs.model.h
    return lean


@pytest.mark.parametrize('rung', LADDER, ids=lambda r: r.name)
def test_every_rung(rung):
    settings = dict(rung.learner)
    dls = rung.data(SHORT)
    same(lambda: lm_learner(dls, rung.model(len(SHORT.vocab)), **settings), 2, rung.lr)


BRIEF = Corpus(SHORT.ids[:6000], SHORT.vocab)


@pytest.mark.parametrize('recipe', [r for r in COPY_RECIPES.values() if r.how is None], ids=lambda r: r.name)
def test_every_way_of_training_of_chapter_10(recipe): same(lambda: learner_of(recipe, BRIEF), 2, recipe.lr)


@pytest.mark.parametrize('how', [None, borrow, trade_before, trade_words])
@pytest.mark.parametrize('forget', [0, .3])
def test_rows_that_move_are_rewritten_and_forget(how, forget):
    def make():
        dls = moving_dataloaders(SHORT, how=how)
        model = LanguageModel(len(SHORT.vocab), 32, 2, 'lstm', p=.4, tie_weights=True)
        return lm_learner(dls, model, 2., 1., cbs=ForgetState(forget) if forget else None, wd=.3)
    learn = same(make)
    assert isinstance(learn.dls.train, MovingDL)


def model(**kwargs): return LanguageModel(len(SHORT.vocab), 16, **kwargs)


@pytest.mark.parametrize('settings', [dict(wd=0.), dict(wd=.5), dict(wd_bn_bias=True), dict(moms=(.8, .7, .8)), dict(alpha=1.), dict(beta=1.),
                                      dict(metrics=[accuracy, Perplexity()]), dict(metrics=[])], ids=lambda d: ' '.join(d))
def test_settings(settings): same(lambda: lm_learner(lm_dataloaders(SHORT, bs=8), model(p=.3), **settings), 3)


def test_ragged_batches(): same(lambda: lm_learner(lm_dataloaders(SHORT, bs=7, seq_len=13, drop_last=False), model()))


def test_text_learner(): same(lambda: LMTextLearner(lm_dataloaders(SHORT, bs=8), model(p=.3, tie_weights=True), wd=.1))


def test_one_epoch_and_one_batch():
    corpus = Corpus(SHORT.ids[:100], SHORT.vocab)
    same(lambda: lm_learner(lm_dataloaders(corpus, bs=4, seq_len=4), model()), 1)


def test_another_arithmetic_is_seen():
    "The comparison above has teeth: another order of operations, another seed, another momentum move the weights."
    dls = lm_dataloaders(SHORT, bs=8)
    def make(**kwargs):
        set_seed(0, reproducible=True)
        return lm_learner(dls, model(), **kwargs)
    a, b, c = make(), make(wd=.011), make(moms=(.95, .85, .9500001))
    for learn in (a, b, c): lean_fit(learn, 2, 1e-2)
    assert not torch.equal(a.model.i_h.weight, b.model.i_h.weight) and not torch.equal(a.model.i_h.weight, c.model.i_h.weight)


def test_only_the_last_epoch_measured():
    def make(): return lm_learner(lm_dataloaders(SHORT, bs=8), model(p=.3))
    set_seed(0)
    a = make()
    every = lean_fit(a, 3, 1e-2)
    set_seed(0)
    b = make()
    last = lean_fit(b, 3, 1e-2, each_epoch=False)
    assert last == every[-1:] and torch.equal(a.model.h_o.weight, b.model.h_o.weight)


def test_run_seed_is_the_same_both_ways():
    def make(): return lm_learner(lm_dataloaders(SHORT, bs=8), model(p=.3))
    a, b = (run_seed(make, 1, 2, 1e-2, lean) for lean in (True, False))
    for key in ('seconds', 'learn'): del a[key], b[key]
    assert a == b and a['seed'] == 1


def test_afterwards_it_is_an_ordinary_learner(tmp_path):
    learn = lm_learner(lm_dataloaders(SHORT, bs=8), model(tie_weights=True), path=tmp_path)
    lean_fit(learn, 1, 1e-2)
    storages = [p.untyped_storage().data_ptr() for p in learn.model.parameters()]
    assert len(set(storages)) == len(storages), "parameters share one memory"
    assert learn.model.h_o.weight is learn.model.i_h.weight
    with learn.no_bar(), learn.no_logging():
        learn.validate()
        learn.fit_one_cycle(1, 1e-2)
        learn.save('a')
    copy.deepcopy(learn.model)


@pytest.mark.parametrize('make, message', [
    (lambda dls: lm_learner(dls, model(), opt_func=SGD), 'the optimizer'),
    (lambda dls: lm_learner(dls, model(), cbs=GradientClip(1.)), 'the callback GradientClip'),
    (lambda dls: lm_learner(dls, model(), cbs=SaveModelCallback()), 'the callback SaveModelCallback'),
    (lambda dls: Learner(dls, model(), loss_func=torch.nn.functional.cross_entropy), 'the loss'),
])
def test_what_it_does_not_know(make, message):
    learn = make(lm_dataloaders(SHORT, bs=8))
    with pytest.raises(LMError, match=f'does not know {message}.*lean=False'): lean_fit(learn, 1, 1e-2)


@pytest.mark.parametrize('make, message', [
    (lambda dls: Learner(dls, model(), loss_func=CrossEntropyLossFlat(label_smoothing=.1)), 'settings of the loss'),
    (lambda dls: Learner(dls, model(), loss_func=CrossEntropyLossFlat(weight=torch.ones(len(SHORT.vocab)))), 'settings of the loss'),
    (lambda dls: Learner(dls, model(), loss_func=CrossEntropyLossFlat(ignore_index=0)), 'settings of the loss'),
    (lambda dls: lm_learner(dls, model(), cbs=Recorder(train_metrics=True)), 'a `Recorder` that measures other batches'),
    (lambda dls: lm_learner(dls, model(), 1., cbs=ActivationRegularizer(2.)), 'more than one `ActivationRegularizer`'),
])
def test_what_settings_hide_from_it_compare_refuses(make, message):
    dls = lm_dataloaders(Corpus(SHORT.ids[:100], SHORT.vocab), bs=4, seq_len=4)
    with pytest.raises(LMError, match=f'does not know {message}.*lean=False'): compare({'a': lambda: make(dls)}, 1, 1e-2, 1)


def test_compare_asks_the_lean_loop_alone():
    dls = lm_dataloaders(Corpus(SHORT.ids[:100], SHORT.vocab), bs=4, seq_len=4)
    def make(): return lm_learner(dls, model(), 1., cbs=ActivationRegularizer(2.))
    assert len(compare({'a': make}, 1, 1e-2, 1, lean=False)) == 1
    assert len(compare({'a': lambda: lm_learner(dls, model(), 1.)}, 1, 1e-2, 1)) == 1


def test_refuses_frozen_and_used_learners():
    learn = lm_learner(lm_dataloaders(SHORT, bs=8), model())
    for p in learn.model.i_h.parameters(): p.requires_grad_(False)
    with pytest.raises(LMError, match='frozen parameters'): lean_fit(learn, 1, 1e-2)
    learn = lm_learner(lm_dataloaders(SHORT, bs=8), model())
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 1e-2)
    with pytest.raises(LMError, match='an optimizer that has worked'): lean_fit(learn, 1, 1e-2)


def test_sizes():
    make = partial(lm_learner, lm_dataloaders(SHORT, bs=8), model())
    with pytest.raises(InvalidSize, match='n_epochs'): lean_fit(make(), 0, 1e-2)
    with pytest.raises(InvalidSize, match='seed must be'): run_seed(make, -1, 1, 1e-2)
    with pytest.raises(InvalidSize, match='seeds must be'): compare({'a': make}, 1, 1e-2, seeds=0)


def test_the_loop_leaves_little_of_the_models_pace_behind():
    "The stored benchmark: at least .85 of the model's own speed, and `Learner` beside it."
    timed = load_results('loop_speed')
    speeds = timed[timed.part.isna()].pivot(index='case', columns='loop', values='speed')
    assert len(speeds) == 2 and (speeds['lean loop'] >= .85).all() and (speeds['Learner'] < speeds['lean loop']).all()
    assert timed.command.str.startswith('python benchmarks/loop_speed.py').all()


def test_the_ladder_takes_less():
    "The stored benchmark: the ladder in at most .6 of the CPU time that it took before the lean loop."
    rungs = load_results('ladder_cpu')
    assert sorted(rungs.rung) == sorted(r.name for r in LADDER)
    assert rungs.now.sum() <= .6*rungs.before.sum()


def test_batches_of_a_stream_are_those_of_its_loader():
    for dl in lm_dataloaders(human_numbers()).loaders:
        ours, theirs = list(batches_of(dl)), list(dl)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs): assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
