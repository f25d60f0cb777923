"""What the models of chapter 14 cost: a recurrence that runs as a scan, as a multiple of nn.GRU's time, forward and backward, by length;
and one more word after so many, for a state that is carried and for attention, with its memory and without.

As in lstm_speed.py, all contestants take turns within each round, each round in another order; what counts is the best round of each, in CPU time on one thread."""
import argparse
import shlex
import sys
import time
from functools import partial

import torch
from torch import nn

from lm_from_scratch.after import GPTLayers, MinGRUCell, MinLSTMCell, ScanRecurrent, scan_log, scan_loop, scan_pairs
from lm_from_scratch.course.experiments import load_results, results_file, save_results, versions
from lm_from_scratch.multilayer import LanguageModel

LENGTHS = ((16, 64), (64, 64), (256, 16), (1024, 8), (4096, 4))       # seq_len, bs
WORDS = 10, 100, 1_000, 10_000


def layers(n):
    "Name → one layer of n units; the first is the one that all are compared with."
    ways = {'one by one': scan_loop, 'pairs': scan_pairs, 'logarithms': scan_log}
    cells = {'minGRU': MinGRUCell, 'minLSTM': MinLSTMCell}
    return {'nn.GRU': nn.GRU(n, n, batch_first=True),
            **{f'{cell}, {way}': ScanRecurrent(make, n, n, scan=scan) for cell,make in cells.items() for way,scan in ways.items()}}


def turns(contestants, rounds):
    "Name → CPU seconds of the best round; a first round warms up."
    best = dict.fromkeys(contestants, float('inf'))
    for r in range(rounds+1):
        k = r % len(contestants)
        for name in [*contestants][k:] + [*contestants][:k]:
            begun = time.process_time()
            contestants[name]()
            if r: best[name] = min(best[name], time.process_time()-begun)
    return best


def both_ways(m, x, h, dy):
    for p in (x, *m.parameters()): p.grad = None
    m(x, h)[0].backward(dy)


def scan_rows(n, rounds):
    for seq_len,bs in LENGTHS:
        torch.manual_seed(0)
        x,dy,h = torch.randn(bs, seq_len, n, requires_grad=True),torch.randn(bs, seq_len, n),torch.rand(1, bs, n)
        seconds = turns({name: partial(both_ways, m, x, h, dy) for name,m in layers(n).items()}, rounds)
        for name,s in seconds.items(): yield dict(what='scan', name=name, length=seq_len, bs=bs, n_hidden=n, seconds=s, ratio=s/seconds['nn.GRU'])


def models(n, longest):
    "Name → a language model; those of attention see all words so far."
    make = partial(LanguageModel, 30, n, 2)
    return {'LSTM': make(rnn='lstm'), 'minGRU': make(rnn=partial(ScanRecurrent, MinGRUCell)),
            'GPT': make(rnn=partial(GPTLayers, window=longest+1))}


@torch.no_grad()
def another(model, state, x):
    model.h = state
    model(x)


def word_rows(n, rounds):
    for length in WORDS:
        torch.manual_seed(0)
        x,contestants,sizes = torch.randint(30, (1, length+1)),{},{}
        for name,m in models(n, WORDS[-1]).items():
            m.eval()
            another(m, None, x[:, :-1])
            contestants[name if name != 'GPT' else 'GPT, with its memory'] = partial(another, m, m.h, x[:, -1:])
            sizes[name] = sum(t.numel() for t in (m.h if isinstance(m.h, tuple) else (m.h,)))
            if name == 'GPT': again = partial(another, m, None, x)
        seconds = turns(contestants, 20*rounds)
        seconds |= turns({'GPT, all words again': again}, rounds if length <= 1000 else 1)
        for name,s in seconds.items():
            yield dict(what='word', name=name, length=length, bs=1, n_hidden=n, seconds=s, ratio=s/seconds['LSTM'], numbers=0 if 'again' in name else sizes[name.split(',')[0]])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--rounds', type=int, default=5, help="rounds that count; for a single word, twenty times as many")
    p.add_argument('--units', type=int, default=64, help="units of each layer")
    p.add_argument('--store', action='store_true', help="keep the rows in the package: lm_from_scratch/course/results/after_speed.jsonl")
    args = p.parse_args()
    torch.set_num_threads(1)
    command,rows = shlex.join(['python', 'benchmarks/after_speed.py', *sys.argv[1:]]),[]
    print(f"{'':6} {'':24} {'length':>7} {'ms':>9} {'ratio':>8}")
    for kind in (scan_rows, word_rows):
        for r in kind(args.units, args.rounds):
            r |= dict(seconds=float(f"{r['seconds']:.4g}"), ratio=round(r['ratio'], 3), rounds=args.rounds)
            rows.append({**r, 'simd': torch.backends.cpu.get_cpu_capability(), **versions(), 'command': command})
            print(f"{r['what']:6} {r['name']:24} {r['length']:7} {1000*r['seconds']:9.3f} {r['ratio']:8.2f}", flush=True)
    if args.store:
        save_results(rows, results_file('after_speed'))
        print(f"{len(load_results('after_speed'))} rows in {results_file('after_speed').name}")


if __name__ == '__main__': main()
