"""The CPU time of the whole ladder, now and at an earlier state of the repository: git worktree add ../before 717144d, then --before ../before.

One process of each state in turn, on one thread; it makes the first seed of every rung as `lm-from-scratch ladder` makes it, training and measuring.
What counts is the better of the rounds; starting Python and importing torch is not in it."""
import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from lm_from_scratch.course.experiments import load_results, results_file, save_results, versions
from lm_from_scratch.course.ladder import LADDER

ALL = '''
import json, time
import torch
torch.set_num_threads(1)
try: from lm_from_scratch.course.ladder import LADDER, run_recipe
except ImportError: from lm_from_scratch.ladder import LADDER, run_recipe
seconds = {}
for recipe in LADDER:
    begun = time.process_time()
    run_recipe(recipe, 0)
    seconds[recipe.name] = time.process_time()-begun
print(json.dumps(seconds))
'''


def once(folder):
    "CPU seconds of each rung, trained by the package in `folder`."
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(folder)}
    out = subprocess.run([sys.executable, '-c', ALL], capture_output=True, text=True, env=env, cwd=folder)
    if out.returncode: sys.exit(f"{folder}: {out.stderr.strip().splitlines()[-1]}")
    return json.loads(out.stdout.splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--before', type=Path, required=True, help="a checkout of the earlier state")
    p.add_argument('--rounds', type=int, default=2, help="runs of each state")
    p.add_argument('--store', action='store_true', help="keep the rows in the package: lm_from_scratch/course/results/ladder_cpu.jsonl")
    args = p.parse_args()
    here, command = Path(__file__).resolve().parent.parent, shlex.join(['python', 'benchmarks/ladder_cpu.py', '--before', '717144d', *(['--store'] if args.store else [])])
    folders, found = {'before': args.before.resolve(), 'now': here}, {'before': [], 'now': []}
    for _ in range(args.rounds):
        for name, folder in folders.items(): found[name].append(once(folder))
    rows = []
    for r in LADDER:
        before, now = (min(o[r.name] for o in found[name]) for name in folders)
        rows.append(dict(rung=r.name, before=round(before, 2), now=round(now, 2), ratio=round(now/before, 3), rounds=args.rounds,
                         simd=torch.backends.cpu.get_cpu_capability(), **versions(), command=command))
        print('{rung:12} before {before:6.1f} s   now {now:6.1f} s   ratio {ratio:.2f}'.format(**rows[-1]), flush=True)
    print(f"all rungs: {sum(r['now'] for r in rows)/sum(r['before'] for r in rows):.2f} of the CPU time before")
    if args.store:
        save_results(rows, results_file('ladder_cpu'))
        print(f"{len(load_results('ladder_cpu'))} rows in {results_file('ladder_cpu').name}")


if __name__ == '__main__': main()
