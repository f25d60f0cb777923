"What the tests of chapter 13 run in several processes: one launch, many cases."
import os
import shutil
from pathlib import Path

import torch
from fastai.callback.core import Callback
from fastai.callback.rnn import ModelResetter
from fastai.metrics import Perplexity, accuracy

from lm_from_scratch import runs
from lm_from_scratch.copying import borrow
from lm_from_scratch.data import Corpus, Vocab, human_numbers, lm_dataloaders, number_words
from lm_from_scratch.errors import LMError
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.runs import resume_run, train_run
from lm_from_scratch.scale import ParallelModel, Together, evaluate_together, follow
from lm_from_scratch.text import TokenPerplexity, evaluate_cache, open_corpus, text_corpus
from lm_from_scratch.training import lm_learner

BS = 12                                                                # rows: of 1, 2 and 3 processes


def text(n, n_words=11):
    "Words at random, some of them more frequent; others are held out."
    ids = torch.randn(n+97, generator=torch.Generator().manual_seed(n)).mul(3).abs().long().clamp(max=n_words-1)
    return Corpus(ids[:n], Vocab([f'w{i}' for i in range(n_words)]), valid_ids=ids[n:])


def small_numbers(): return Corpus(human_numbers().ids[:900], human_numbers().vocab, 'numbers')


# batches of five words: an even and an odd number of them; and what is left of a row after the last one: three words, or one
LENGTHS = dict(even=BS*5*6+1, odd=BS*5*5+1, ragged=BS*(5*5+3)+1, one=BS*(5*6+1)+1)
CASES = {f'{name}-{"whole" if drop else "all"}': dict(n=n, drop_last=drop, epochs=1) for name, n in LENGTHS.items() for drop in (True, False)}
CASES |= dict(moving=dict(n=700, moving=True), wrapped=dict(n=LENGTHS['ragged'], wrapped=True, drop_last=False), rewritten=dict(numbers=True, moving=True, how=borrow))


def cases(world, device='cpu'):
    "Every case, followed step by step."
    found = {}
    for name, case in CASES.items():
        case = dict(case)
        corpus = small_numbers() if case.pop('numbers', False) else text(case.pop('n'))
        found[name] = follow(world, corpus, BS, device=device, **case)
    return found


# ---- runs

TEXT = '\n'.join(f'{number_words(n)} .' for n in range(1, 400))
SMALL = dict(tokens='words', n_hidden=12, n_layers=1, bs=12, seq_len=8, steps=20, evaluations=2)


def quiet(what, **how): pass


def run(world, folder, report=quiet, text=TEXT, **more):
    return train_run([text], folder, {**SMALL, **more}, device='cpu', report=report, world=world)


def said(f):
    try: f()
    except LMError as e: return str(e)


def refusals(world, folder):
    "What is wrong with one process, or with all → what each of them says."
    last, real = world.rank == world.size-1, runs.versions_now
    missing = Path(folder)/'here.txt'
    if world.first: missing.write_text(TEXT)
    found = dict(rows=said(lambda: run(world, folder/'a', bs=13)), few=said(lambda: run(world, folder/'a', bs=1)),
                 texts=said(lambda: run(world, folder/'a', text=TEXT + ' one' if last else TEXT)), settings=said(lambda: run(world, folder/'a', lr=.1 if last else .2)),
                 empty=said(lambda: run(world, folder/'a', text=' ')), wrong=said(lambda: run(world, folder/'a', n_hidden=0)),
                 one=said(lambda: train_run(missing if not last else folder/'nowhere.txt', folder/'a', SMALL, device='cpu', world=world)))
    if last: runs.versions_now = lambda: {**real(), 'torch': '1.0'}
    found['versions'] = said(lambda: run(world, folder/'a'))
    runs.versions_now = real
    found['left'] = (folder/'a').exists()
    return found


def stop_in_the_last(world):
    "Somebody asks one process alone to stop."
    def report(what, training=None, **how):
        if what == 'step' and training.place.step == 7 and world.rank == world.size-1: training.asked = 15
    return report


def told(run): return [(r['step'], r['train_loss'], r['valid_loss']) for r in run.history]


def trainings(world, folder):
    "A run; one that is stopped; the same, gone on with."
    whole = run(world, folder/'whole')
    half = run(world, folder/'half', stop_in_the_last(world))
    found = dict(finished=(whole.finished, half.finished), history=told(whole))
    if world.first:
        shutil.copytree(folder/'half', folder/'alone')
    world.told(None)
    found['gone on'] = told(resume_run(folder/'half', device='cpu', world=world))
    return found


# ---- what a learner and a reader find

def learner(world, wrap=False):
    torch.manual_seed(3)
    corpus = text(600)
    model = LanguageModel(len(corpus.vocab), 8, 1, 'gru', tie_weights=True)
    if wrap and world.size > 1: model = ParallelModel(model)
    learn = lm_learner(lm_dataloaders(Corpus(corpus.ids, corpus.vocab, valid_ids=text(200).ids), BS, 5, drop_last=False), model, alpha=1, beta=1,
                       metrics=[accuracy, Perplexity(), TokenPerplexity()], cbs=Together(world))
    with learn.no_bar(), learn.no_logging(): learn.fit(2, .01)
    return learn, dict(values=list(learn.recorder.values[-1]), losses=[float(v) for v in learn.recorder.losses], resets=any(isinstance(c, ModelResetter) for c in learn.cbs),
                       params=torch.cat([p.detach().flatten() for p in learn.model.parameters()]), whole=len(learn.dls.train.one_batch()[0]))


def launched(world):
    "As a launcher sets it: fastai looks at the variables, and gathers numbers on its own; and without our callback it reads all of the text."
    os.environ.update(RANK=str(world.rank), WORLD_SIZE=str(world.size))
    try:
        learn, found = learner(world)
        learn.remove_cb(Together)
        read = []
        class Count(Callback):
            def before_batch(self): read.append(len(self.xb[0]))
        with learn.no_bar(), learn.no_logging(): learn.fit(1, .01, cbs=Count())
        return dict(found, read=read, own=[c.__class__.__name__ for c in learn.cbs])
    finally:
        for k in ('RANK', 'WORLD_SIZE'): del os.environ[k]


def readings(world):
    torch.manual_seed(3)
    ids = text(300).ids
    model = LanguageModel(11, 8, 1, 'lstm')
    rows = {n: evaluate_together(model, ids, world, rows=n).total for n in (1, 2, 5)}
    cached = world.first_alone(lambda: evaluate_cache(model, ids).total)
    torch.manual_seed(world.stream_seed(5))
    return dict(rows=rows, cache=cached, dice=torch.rand(4))


def pages(world, folder):
    "How many bytes of a mapped text this process holds for itself, and with the others."
    if world.first:
        (folder/'text.txt').write_text(TEXT*600)
        run_text = dict(kind='chars', folder=folder/'tokens', valid_pct=.01)
        text_corpus(folder/'text.txt', **run_text)
    world.told(None)
    ids = open_corpus(folder/'tokens').ids
    total = sum(int(part.long().sum()) for part in ids.split(2**18))   # every page is read
    world.told(None)
    found, mine = {}, False
    for line in open('/proc/self/smaps'):
        if '-' in line.split()[0]: mine = line.strip().endswith('train.tokens')
        elif mine and line.split()[0] in ('Rss:', 'Pss:', 'Private_Dirty:', 'Anonymous:'): found[line.split()[0][:-1]] = found.get(line.split()[0][:-1], 0) + int(line.split()[1])*1024
    world.told(None)
    return dict(found, bytes=2*len(ids), total=total)


def jobs(world, device, folder):
    "All of it: one launch, for an import takes longer than what is tested."
    found = dict(cases=cases(world, device), device=device)
    if device != 'cpu': return found
    found |= dict(read=readings(world), learner=learner(world)[1])
    if world.size == 3: return found
    found |= dict(runs=trainings(world, folder))
    if world.size == 2: found |= dict(refused=refusals(world, folder), wrapped=learner(world, wrap=True)[1], launched=launched(world))
    if world.size == 2 and Path('/proc/self/smaps').exists(): found |= dict(pages=pages(world, folder))
    return found
