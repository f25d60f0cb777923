"""What a step of training costs, what shortens it, and what several processes gain: the rows of chapter 13.

    step      the parts of a step, by torch.profiler (milliseconds)
    remedy    one thing changed at a time; all take turns within each round, and the best round of each counts, in seconds of the processor; two threads are
              compared with one by the clock
    slope     seconds of a step by words, units, layers and length; nothing else is changed
    wire      seconds until two (and three) processes have the sum of a message
    world     one process and several, the same rows in all; both kinds of round in turn, by the clock, one thread each
    memory    a gigabyte of tokens, read by two processes: how much of it each holds for itself

The text is drawn: 10,000 words, the k-th k times rarer than the first; the model has two tied layers of 200. What else the machine does is told by the
load, in each row."""
import argparse
import gc
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from lm_from_scratch.awd import BFloat16Decoder, SampledDecoder
from lm_from_scratch.course.experiments import change_results, processor, results_file, versions
from lm_from_scratch.fast_lstm import FastLSTM
from lm_from_scratch.lstm import FusedLSTMCell
from lm_from_scratch.multilayer import LanguageModel, Recurrent
from lm_from_scratch.scale import chunked, exact, in_processes, step_parts, training_step
from lm_from_scratch.tokens import open_tokens

BS, SEQ_LEN, WORDS, UNITS, LAYERS = 20, 35, 10_000, 200, 2
PARTS = ('step', 'remedy', 'slope', 'wire', 'world', 'memory')


def drawn(bs, seq_len, n, n_words=WORDS):
    "Batches: (bs, seq_len+1) ids, the k-th word k times rarer than the first."
    p = 1/torch.arange(1., n_words+1)
    return torch.multinomial(p, n*bs*(seq_len+1), replacement=True, generator=torch.Generator().manual_seed(0)).view(n, bs, seq_len+1)


class Trained:
    "A model, its optimizer and its batches."
    def __init__(self, bs=BS, seq_len=SEQ_LEN, n_words=WORDS, n_hidden=UNITS, n_layers=LAYERS, rnn='lstm', loss_of=None, batches=3):
        torch.manual_seed(0)
        self.model = LanguageModel(n_words, n_hidden, n_layers, rnn, tie_weights=True)
        self.loss_of, self.batches, self.tokens = loss_of, drawn(bs, seq_len, batches, n_words), bs*seq_len
        self.began()
    def began(self): self.opt = torch.optim.AdamW(self.model.parameters(), .001, fused=True)
    def step(self, k):
        with record_function('input'):
            both = self.batches[k % len(self.batches)]
            x, y = both[:, :-1], both[:, 1:]
        return training_step(self.model, x, y, self.opt, self.loss_of)


def taking_turns(made, rounds, clock=()):
    "Name → seconds of the first step, and of the best one: of the processor, but for those named in `clock`."
    first, best = {}, dict.fromkeys(made, float('inf'))
    for r in range(rounds+1):
        names = [*made]
        for name in names[r % len(names):] + names[:r % len(names)]:
            now = time.perf_counter if name in clock else time.process_time
            begun = now()
            made[name](r)
            took = now()-begun
            if r == 0: first[name] = took
            else: best[name] = min(best[name], took)
    return first, best


# ---- the parts of a step

def step(args):
    t, n = Trained(), 3
    for k in range(2): t.step(k)
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        for k in range(n): t.step(k)
    for name, ms in step_parts(prof, n)['ms a step'].items(): yield dict(name=name, ms=float(ms))


# ---- remedies

def sampled(decoder, out, y): return decoder.loss(decoder(out), y)


def autocast(t):
    def run(k):
        with torch.autocast('cpu', torch.bfloat16): t.step(k)
    return run


def on_threads(t, n):
    def run(k):
        torch.set_num_threads(n)
        try: t.step(k)
        finally: torch.set_num_threads(1)
    return run


def remedy(args):
    made = {'as it is': Trained(), 'rows × 4': Trained(bs=4*BS), 'length × 2': Trained(seq_len=2*SEQ_LEN), 'softmax estimated': Trained(loss_of=sampled),
            'softmax in pieces': Trained(loss_of=chunked(128)), 'decoder in bfloat16': Trained(), 'FastLSTM': Trained(rnn=FastLSTM)}
    t = made['softmax estimated']
    t.model.h_o = SampledDecoder(t.model.h_o)
    t = made['decoder in bfloat16']
    t.model.h_o = BFloat16Decoder(t.model.h_o)
    runs = {name: t.step for name, t in made.items()}
    tokens = {name: t.tokens for name, t in made.items()}
    runs['autocast to bfloat16'] = autocast(Trained())
    runs['two threads'], runs['one thread'] = on_threads(Trained(), 2), on_threads(Trained(), 1)
    try: runs['autocast to bfloat16'](0)
    except RuntimeError as e:  # a processor without the instructions: PyTorch has no LSTM for it
        yield dict(name='autocast to bfloat16', fails=str(e).splitlines()[0])
        del runs['autocast to bfloat16']
    loops = dict(rnn=lambda n_in, n_hidden, n_layers: Recurrent(FusedLSTMCell, n_in, n_hidden, n_layers))
    runs['a loop in Python'] = Trained(**loops).step
    if args.compile:
        torch.compiler.config.force_disable_caches = True  # what was compiled yesterday took time, too
        for name, kw in (('compiled', {}), ('a loop in Python, compiled', loops)):
            t = Trained(**kw)
            t.model.rnn = torch.compile(t.model.rnn, dynamic=False)
            runs[name] = t.step
    by_clock = ('two threads', 'one thread')
    first, best = taking_turns(runs, args.rounds, by_clock)
    for name, s in best.items():
        if name == 'one thread': continue
        n, base = tokens.get(name, BS*SEQ_LEN), best['one thread' if name in by_clock else 'as it is']
        yield dict(name=name, gain=round(n/s/(BS*SEQ_LEN/base), 3), first_s=round(first[name], 1), ms=round(1000*s, 1), by='clock' if name in by_clock else 'CPU')


# ---- slopes

AXES = dict(n_words=(2500, 5000, 10_000, 20_000), n_hidden=(100, 200, 400), n_layers=(1, 2, 4), seq_len=(18, 35, 70))


def slope(args):
    for axis, values in AXES.items():
        _, best = taking_turns({v: Trained(**{axis: v}).step for v in values}, max(2, args.rounds//2))
        gc.collect()
        for v, s in best.items(): yield dict(axis=axis, value=v, ms=round(1000*s, 2))


# ---- processes

def messages(world, sizes, rounds):
    found = {}
    for size in sizes:
        t = torch.zeros(size//4)
        took = []
        for _ in range(rounds+2):
            dist.barrier()
            begun = time.perf_counter()
            world.sum(t)
            took.append(time.perf_counter()-begun)
        found[size] = (min(took[2:]), median(took[2:]))
    return found


def wire(args):
    for ranks in args.ranks:
        for size, (best, mid) in in_processes(messages, ranks, (4, 100_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000), 4*args.rounds)[0].items():
            yield dict(ranks=ranks, bytes=size, ms=round(1000*best, 3), ms_median=round(1000*mid, 3))


def taught(world, bs, seq_len, rounds, steps):
    "Rounds by the first process alone and by all together, in turn: seconds a step."
    alone, own = Trained(bs, seq_len, batches=2), Trained(bs, seq_len, batches=2)
    own.batches = own.batches[:, world.block(bs)].contiguous()
    params = list(own.model.parameters())
    def together(k):
        both = own.batches[k % 2]
        loss = exact_loss(own.model, both)
        loss.backward()
        world.average(params, loss)
        update(own)
    def all_rows(k):
        exact_loss(alone.model, alone.batches[k % 2]).backward()
        update(alone)
    found = dict(alone=[], together=[])
    for _ in range(rounds+1):
        for name, one in (('alone', all_rows), ('together', together)):
            dist.barrier()
            begun = time.perf_counter()
            if name == 'together' or world.first:
                for k in range(steps): one(k)
            found[name].append((time.perf_counter()-begun)/steps)
            dist.barrier()
    return {k: v[1:] for k, v in found.items()}


def exact_loss(model, both):
    raw, h = model.rnn(model.i_h(both[:, :-1]), model.carried(len(both)))
    model.carry(h)
    return exact(model.h_o, raw, both[:, 1:])


def update(t):
    nn.utils.clip_grad_norm_(t.model.parameters(), 1.)
    t.opt.step()
    t.opt.zero_grad()


def world(args):
    for ranks in args.ranks:
        for bs in args.rows:
            if bs % ranks: continue
            found = in_processes(taught, ranks, bs, SEQ_LEN, args.rounds, 3)[0]
            a, b = min(found['alone']), min(found['together'])
            ratios = [x/y for x, y in zip(found['alone'], found['together'])]
            yield dict(ranks=ranks, bs=bs, seq_len=SEQ_LEN, alone_ms=round(1000*a, 1), together_ms=round(1000*b, 1), speed_up=round(a/b, 3), speed_up_median=round(median(ratios), 3))


# ---- memory

def read_all(world, path):
    ids, _ = open_tokens(path)
    total = sum(int(part.to(torch.int32).sum()) for part in ids.split(2**20))
    dist.barrier()
    found, mine = {}, False
    for line in open('/proc/self/smaps', encoding='utf-8'):
        name = line.split()[0]
        if '-' in name: mine = line.strip().endswith(Path(path).name)
        elif mine and name in ('Rss:', 'Pss:', 'Anonymous:'): found[name[:-1].lower()] = found.get(name[:-1].lower(), 0) + int(line.split()[1])*1024
    dist.barrier()
    return dict(found, total=total)


def memory(args):
    with tempfile.TemporaryDirectory() as folder:
        path, block = Path(folder)/'text.tokens', torch.arange(2**20).remainder(WORDS).to(torch.uint16).numpy().tobytes()
        n = args.megabytes*10**6//len(block)
        with open(path, 'wb') as f:
            for _ in range(n): f.write(block)
        head = dict(format='lm_from_scratch tokens', version=1, dtype='uint16', tokenizer='none', vocabulary=WORDS, tokens=n*2**20)
        path.with_suffix('.json').write_text(json.dumps(head))
        found = in_processes(read_all, 2, str(path))
        mb = lambda k: round(sum(f[k] for f in found)/1e6)  # noqa: E731
        yield dict(ranks=2, tokens_mb=round(path.stat().st_size/1e6), seen_mb=mb('rss'), held_mb=mb('pss'), copied_mb=mb('anonymous'))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--parts', nargs='+', default=PARTS, choices=PARTS)
    p.add_argument('--rounds', type=int, default=8, help="rounds that count")
    p.add_argument('--ranks', type=int, nargs='+', default=[2], help="numbers of processes, beside one")
    p.add_argument('--rows', type=int, nargs='+', default=[20, 60], help="rows of all processes together")
    p.add_argument('--megabytes', type=int, default=1000, help="size of the text that two processes map")
    p.add_argument('--compile', action='store_true', help="torch.compile, too (needs a C++ compiler, and minutes)")
    p.add_argument('--store', action='store_true', help="keep the rows in the package, in place of those of the same parts on the same kind of processor")
    args = p.parse_args()
    torch.set_num_threads(1)
    command, rows = shlex.join(['python', 'benchmarks/scale_speed.py', *sys.argv[1:]]), []
    for part in args.parts:
        for row in globals()[part](args):
            rows.append(dict(part=part, **row, cores=os.cpu_count(), load=round(os.getloadavg()[0], 1), processor=processor(), **versions(), command=command))
            print(part, {k: v for k, v in row.items()}, 'load', rows[-1]['load'], flush=True)
    if not args.store: return
    new = {(part, processor()) for part in args.parts}
    def merged(old): return sorted([r for r in old if (r['part'], r['processor']) not in new] + rows, key=lambda r: PARTS.index(r['part']))
    change_results(results_file('scale_speed'), merged)


if __name__ == '__main__': main()
