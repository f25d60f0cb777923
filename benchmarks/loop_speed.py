"""What a training loop adds to its model: epochs of Human Numbers by the lean loop and by fastai's `Learner`, in multiples of the model's own speed.

*Model only* is training with no loop around it: forward, loss, backward and PyTorch's fused AdamW over batches that were cut beforehand, then forward
and loss over the held-out batches. It is no lower bound: the lean loop's one step over a flat vector costs a small model less than the fused one, and
may put it ahead. All three train the same model on the same batches, on one thread, and take turns within each round, so that whatever else the
machine does hits all alike; what counts is the best round of each, in CPU time."""
import argparse
import shlex
import sys
import time

import torch
import torch.nn.functional as F
from fastai.callback.schedule import ParamScheduler

from lm_from_scratch.course.experiments import load_results, results_file, save_results, versions
from lm_from_scratch.data import human_numbers, lm_dataloaders
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.state import StatefulRNN
from lm_from_scratch.training import lean_fit, lm_learner

EPOCHS = 2                                                             # a round
CASES = {
    'stateful RNN, 3 words': (dict(seq_len=3, every_word=False), lambda n: StatefulRNN(n, 64), {}, 3e-3),
    'tied LSTM, 16 words': (dict(seq_len=16), lambda n: LanguageModel(n, 64, 2, 'lstm', p=.5, tie_weights=True), dict(wd=.1), 1e-2),
}


def model_only(dls, make, lr):
    "A function that trains for `EPOCHS` epochs, with nothing around the model."
    train, valid = ([(x.clone(), y.clone()) for x, y in dl] for dl in dls.loaders)
    def loss_of(model, x, y):
        out = model(x)
        return F.cross_entropy((out[0] if isinstance(out, tuple) else out).flatten(0, -2), y.flatten())
    def run():
        model = make()
        opt = torch.optim.AdamW(model.parameters(), lr, fused=True)
        for _ in range(EPOCHS):
            model.train()
            model.reset()
            for x, y in train:
                loss_of(model, x, y).backward()
                opt.step()
                opt.zero_grad()
            model.eval()
            model.reset()
            with torch.no_grad():
                for x, y in valid: loss_of(model, x, y)
    return run


def contestants(case):
    "Name → a function without arguments that trains for `EPOCHS` epochs."
    data, model, settings, lr = CASES[case]
    corpus = human_numbers()
    dls = lm_dataloaders(corpus, **data)
    def make(): return model(len(corpus.vocab))
    def lean(): lean_fit(lm_learner(dls, make(), **settings), EPOCHS, lr)
    def learner():
        learn = lm_learner(dls, make(), **settings)
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(EPOCHS, lr)
    return {'model only': model_only(dls, make, lr), 'lean loop': lean, 'Learner': learner}


def measure(runs, rounds):
    "Name → CPU seconds of its best round; one round more to warm up."
    seconds = {name: [] for name in runs}
    for r in range(rounds+1):
        k = r % len(runs)
        for name in [*runs][k:] + [*runs][:k]:
            begun = time.process_time()
            runs[name]()
            seconds[name].append(time.process_time()-begun)
    return {name: min(s[1:]) for name, s in seconds.items()}


def where_it_goes(case):
    "Part of a `Learner`'s work → CPU microseconds a training batch; what is left is the asking of callbacks, event by event."
    data, model, settings, lr = CASES[case]
    dls = lm_dataloaders(human_numbers(), **data)
    learn, spent = lm_learner(dls, model(30), **settings), {}
    def timed(part, f):
        def run(*args, **kwargs):
            begun = time.process_time()
            try: return f(*args, **kwargs)
            finally:
                if learn.training: spent[part] = spent.get(part, 0.) + time.process_time()-begun
        return run
    class Timed:
        "A loader whose reading is timed."
        def __init__(self, dl): self.dl = dl
        def __getattr__(self, name): return getattr(self.dl, name)
        def __len__(self): return len(self.dl)
        def __iter__(self):
            batches = iter(self.dl)
            following = timed('loading', lambda: next(batches, None))
            while (b := following()) is not None: yield b
    learn.model.forward = timed('model forward', learn.model.forward)
    learn.loss_func = timed('loss', learn.loss_func)
    learn._backward = timed('model backward', learn._backward)
    learn.create_opt()
    learn.opt.step, learn.opt.zero_grad = timed('optimizer', learn.opt.step), timed('optimizer', learn.opt.zero_grad)
    learn.recorder.after_batch = timed('figures', learn.recorder.after_batch)
    dls.loaders[0] = Timed(dls.train)
    ParamScheduler.before_batch, plain = timed('schedule', ParamScheduler.before_batch), ParamScheduler.before_batch
    learn.all_batches = timed('all', learn.all_batches)
    try:
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(EPOCHS, lr)
    finally: ParamScheduler.before_batch = plain
    spent = {part: s/(EPOCHS*len(dls.train))*1e6 for part, s in spent.items()}
    spent['callbacks asked'] = spent.pop('all') - sum(spent.values())
    return spent


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rounds', type=int, default=9, help="rounds for each model")
    p.add_argument('--store', action='store_true', help="keep the rows in the package: lm_from_scratch/course/results/loop_speed.jsonl")
    args = p.parse_args()
    torch.set_num_threads(1)
    command, rows = shlex.join(['python', 'benchmarks/loop_speed.py', *sys.argv[1:]]), []
    made = dict(rounds=args.rounds, simd=torch.backends.cpu.get_cpu_capability(), **versions(), command=command)
    for case in CASES:
        best = measure(contestants(case), args.rounds)
        for name, s in best.items():
            speed = round(best['model only']/s, 3)
            rows.append(dict(case=case, loop=name, speed=speed, cpu_seconds=round(s/EPOCHS, 3), **made))
            print(f'{case:24} {name:12} {s/EPOCHS:6.2f} CPU s an epoch   speed {speed:.2f}', flush=True)
        found = [where_it_goes(case) for _ in range(3)]                # the least of three: what others do on the machine only adds
        for part in found[0]:
            us = round(min(f[part] for f in found))
            rows.append(dict(case=case, loop='Learner', part=part, us_a_batch=us, **made))
            print(f'{case:24} {part:18} {us:6} CPU us a batch', flush=True)
    if args.store:
        save_results(rows, results_file('loop_speed'))
        print(f"{len(load_results('loop_speed'))} rows in {results_file('loop_speed').name}")


if __name__ == '__main__': main()
