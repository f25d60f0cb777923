"""What a text costs by its size: turned into a mapped corpus (megabytes a second, peak memory), and read in batches (seconds a batch).

A text of each size is made by repeating one file. Each corpus is made in a process of its own, so that its peak memory is its own, all of the package's
imports among it. Batches of both sizes are read in turn, round by round, on one thread; what counts is the best round of each. All files are removed."""
import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lm_from_scratch.course.experiments import processor, results_file, save_results, versions
from lm_from_scratch.data import lm_dataloaders
from lm_from_scratch.text import open_corpus, text_corpus

SIZES = (10, 1000)                                                     # megabytes
KINDS = {'words': dict(eos='<eos>'), 'punctuation': {}, 'chars': {}, 'bpe': dict(max_words=8000)}
READ, ROUNDS = 3000, 7                                                 # batches of a round


def repeated(source, mb, path):
    "A text of `mb` megabytes: one file again and again."
    data = Path(source).read_bytes()
    with open(path, 'wb') as f:
        for _ in range(-(-mb*10**6//len(data))): f.write(data)
    return path.stat().st_size


def make(file, kind, folder):
    "In a process of its own: seconds and peak memory of `text_corpus`."
    start, cpu = time.perf_counter(), time.process_time()
    corpus = text_corpus(file, kind=kind, folder=folder, **KINDS[kind])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
    print(time.perf_counter() - start, time.process_time() - cpu, peak, len(corpus.ids) + len(corpus.valid_ids), len(corpus.vocab))


def made(file, kind, folder):
    out = subprocess.run([sys.executable, __file__, '--make', str(file), kind, str(folder)], check=True, capture_output=True, text=True).stdout
    seconds, cpu, peak, tokens, words = map(float, out.split())
    return dict(seconds=round(seconds, 1), cpu_seconds=round(cpu, 1), peak_mb=round(peak/1e6), tokens=int(tokens), vocabulary=int(words))


def batch_times(folders):
    "Microseconds a batch, the best of the rounds, for each of the corpora."
    loaders = [lm_dataloaders(open_corpus(f), bs=64, seq_len=64).train for f in folders]
    best = [float('inf')]*len(loaders)
    for _ in range(ROUNDS):
        for k, dl in enumerate(loaders):
            n, todo = 0, iter(dl.batches())
            start = time.process_time()
            while n < READ:
                for x, y in todo:
                    n += 1
                    if n == READ: break
                else: todo = iter(dl.batches())                        # a short text is read again
            best[k] = min(best[k], (time.process_time() - start)/READ)
    return [b*1e6 for b in best]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('text', nargs='?', help="the file to repeat, such as the training part of Penn Treebank")
    p.add_argument('--kinds', nargs='+', default=['words'], choices=KINDS)
    p.add_argument('--sizes', nargs='+', type=int, default=SIZES, help="megabytes")
    p.add_argument('--store', action='store_true', help="write the rows to the course's results")
    p.add_argument('--make', nargs=3, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.make: return make(*args.make)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        for kind in args.kinds:
            folders = []
            for mb in args.sizes:
                file = Path(tmp)/'text.txt'
                size = repeated(args.text, mb, file)
                folders.append(Path(tmp)/f'{kind}-{mb}')
                row = dict(kind=kind, mb=round(size/1e6), **made(file, kind, folders[-1]))
                row |= dict(mb_per_second=round(row['mb']/row['seconds'], 1), mb_per_cpu_second=round(row['mb']/row['cpu_seconds'], 1))
                file.unlink()
                rows.append(row)
                print(row, flush=True)
            for row, us in zip(rows[-len(folders):], batch_times(folders)): row['batch_us'] = round(us, 1)
    command = f"python benchmarks/text_size.py {shlex.join(['PTB/train.txt', '--kinds', *args.kinds, '--sizes', *map(str, args.sizes)])} --store"
    for row in rows:
        row |= dict(cores=os.cpu_count(), processor=processor(), command=command, **versions())
        print({k: v for k, v in row.items() if k not in ('command', *versions())})
    if args.store: save_results(rows, results_file('text_size'))


if __name__ == '__main__': main()
