"""What each size of `train` gets out of the same CPU seconds, on a text of your own: tokens, training and evaluation as the command does them by default.

Each size is trained with its own learning rate for each budget, and for the first budget with half and with twice that rate, too: is the rate right? How many steps a budget
is comes from the CPU time of the first forty; what the training really took is in the row. One thread; the figure is bits a byte of the whole held-out tenth. A row
without a seed is of seed 0."""
import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

import torch

from lm_from_scratch.course.experiments import change_results, processor, results_file, versions
from lm_from_scratch.runs import train_run
from lm_from_scratch.settings import SIZES

FIRST = 40


class Clock:
    "CPU time of the steps alone: what happens from a step's end to the next one's, unless it was an evaluation."
    def __init__(self): self.seconds, self.last, self.steps = 0., None, 0
    def __call__(self, what, **how):
        now = time.process_time()
        if what == 'step' and self.last is not None: self.seconds, self.steps = self.seconds + now-self.last, self.steps+1
        self.last = now if what == 'step' else None


def trained(text, settings, steps):
    "Train for so many steps: CPU seconds of one of them, the run, what its history and its held-out part say."
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        run = train_run(text, Path(folder)/'run', {**settings, 'steps': steps, 'evaluations': 3}, device='cpu', report=clock)
        return clock.seconds/clock.steps, run, run.history[-1]['step'], run.evaluate()['valid']


def measured(text, size, factor, seconds, cost, seed):
    "A row: what a size gets to, with its rate times a factor, in so many CPU seconds of training."
    settings = {**SIZES[size], 'lr': SIZES[size]['lr']*factor, 'seed': seed}
    each, run, steps, score = trained(text, settings, max(FIRST, round(seconds/cost)))
    s = run.settings
    return dict(size=size, seed=seed, lr=settings['lr'], of_own_rate=factor, seconds=seconds, cpu_seconds=round(each*steps, 1), steps=steps, tokens=steps*s.bs*s.seq_len,
                parameters=sum(p.numel() for p in run.model.parameters()), nats=score.nats, bits_per_byte=score.bits_per_byte)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('text', help="a text file")
    p.add_argument('--seconds', type=float, nargs='+', default=[60., 240.], help="CPU seconds of training; other rates are tried on the first")
    p.add_argument('--sizes', nargs='+', default=[*SIZES], choices=[*SIZES])
    p.add_argument('--factors', type=float, nargs='+', default=[.5, 1., 2.], help="multiples of a size's own rate")
    p.add_argument('--seeds', type=int, nargs='+', default=[0])
    p.add_argument('--store', action='store_true', help="keep the rows in the package, in place of those of the same sizes, seconds and seeds: lm_from_scratch/course/results/sizes.jsonl")
    args = p.parse_args()
    torch.set_num_threads(1)
    shown = shlex.join(['python', 'benchmarks/sizes.py'] + ['TEXT' if a == args.text else a for a in sys.argv[1:]])
    rows = []
    costs = {size: trained(args.text, SIZES[size], FIRST)[0] for size in args.sizes}
    for seed in args.seeds:
        for size in args.sizes:
            for k, seconds in enumerate(args.seconds):
                for factor in args.factors if k == 0 else [1.]:
                    row = measured(args.text, size, factor, seconds, costs[size], seed)
                    rows.append({**row, 'text': Path(args.text).parent.name, 'processor': processor(), **versions(), 'command': shown})
                    print(f"seed {seed} {size:7} rate {row['lr']:.4f}  {row['cpu_seconds']:6.1f} s  {row['tokens']:9,} tokens  {row['bits_per_byte']:.3f} bits a byte", flush=True)
    if not args.store: return
    file, of = results_file('sizes'), lambda r: (r['size'], r['seconds'], r.get('seed', 0))
    new = {of(r) for r in rows}
    def merged(old): return sorted([r for r in old if of(r) not in new] + rows, key=lambda r: ([*SIZES].index(r['size']), r['seconds'], r.get('seed', 0)))
    change_results(file, merged)


if __name__ == '__main__': main()
