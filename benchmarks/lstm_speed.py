"""How long LSTMs take, forward and backward, in multiples of nn.LSTM's time.

All contestants take turns within each round, each round in another order, so that whatever else the machine does hits all alike; what counts is
the best round of each: in CPU time on one thread, by the clock on more."""
import argparse
import shlex
import sys
import time
from statistics import median

import torch
from torch import nn

from lm_from_scratch.course.experiments import load_results, results_file, save_results, versions
from lm_from_scratch.fast_lstm import FastLSTM
from lm_from_scratch.lstm import FusedLSTMCell, LSTMCell, load_torch_lstm, lstm_weights
from lm_from_scratch.multilayer import Recurrent

SIZES = ((64,16,64), (20,35,200))                                      # bs, seq_len, n_hidden


class InputsFirst(nn.Module): # not an nn.LSTM: torch.compile leaves those alone
    "The fused loop with the products of all inputs made before it, and autograd's backward: `FastLSTM` without the derivation."
    def __init__(self, lstm):
        super().__init__()
        self.layers = nn.ModuleList(nn.ParameterList(p.clone() for p in ps) for ps in lstm_weights(lstm))
    def forward(self, x, state):                                       # (bs, seq_len, n_in), two of (n_layers, bs, n_hidden)
        hs,cs = [],[]
        for h,c,(W_ih,W_hh,b) in zip(*state, self.layers):
            outs,W = [],W_hh.t()
            for a in torch.addmm(b, x.transpose(0, 1).reshape(-1, x.shape[2]), W_ih.t()).view(x.shape[1], x.shape[0], -1):
                i,f,g,o = torch.addmm(a, h, W).chunk(4, 1)
                c = torch.sigmoid(f)*c + torch.sigmoid(i)*torch.tanh(g)
                h = torch.sigmoid(o)*torch.tanh(c)
                outs.append(h)
            x = torch.stack(outs, 1)
            hs.append(h)
            cs.append(c)
        return x, (torch.stack(hs), torch.stack(cs))


def contestants(
    n,          # Inputs and units
    n_layers=1, # Layers
    compiled=False, # With a compiled loop?
): # Name → module, all with the same weights; nn.LSTM is the first
    torch.manual_seed(0)
    theirs = nn.LSTM(n, n, n_layers, batch_first=True)
    ours = {'four gates': Recurrent(LSTMCell, n, n, n_layers), 'one product': Recurrent(FusedLSTMCell, n, n, n_layers),
            'FastLSTM': FastLSTM(n, n, n_layers)}
    for m in ours.values(): load_torch_lstm(m, theirs)
    fast,first = ours.pop('FastLSTM'),InputsFirst(theirs)
    ms = {'nn.LSTM': theirs, **ours, 'one product, inputs first': first, 'FastLSTM': fast}
    if compiled: ms['one product, inputs first, compiled'] = torch.compile(InputsFirst(theirs), dynamic=False)
    return ms


def once(m, x, state, dy): # CPU seconds and seconds of the clock
    for p in (x,*m.parameters()): p.grad = None
    clock,cpu = time.perf_counter(),time.process_time()
    m(x, state)[0].backward(dy)
    return time.process_time()-cpu, time.perf_counter()-clock


def measure(
    ms,       # From `contestants`
    bs,       # Rows
    seq_len,  # Words
    n,        # Inputs and units
    rounds,   # Rounds that count; three more to warm up
    n_layers=1, # Layers
): # Name → seconds of the first call, and ratios to the first contestant
    torch.empty(2**22).zero_()                                         # let the allocator keep large blocks, as in a training loop
    x,dy,state = torch.randn(bs, seq_len, n, requires_grad=True),torch.randn(bs, seq_len, n),(torch.zeros(n_layers, bs, n),)*2
    ts = {name: [] for name in ms}
    for r in range(rounds+3):
        k = r % len(ms)
        for name in [*ms][k:] + [*ms][:k]: ts[name].append(once(ms[name], x, state, dy))
    cpu,clock = ({name: [v[i] for v in t[3:]] for name,t in ts.items()} for i in (0, 1))
    ref = next(iter(ms))
    return {name: dict(first_s=ts[name][0][1], ratio_cpu=min(cpu[name])/min(cpu[ref]), ratio_clock=min(clock[name])/min(clock[ref]),
                       ratio_median=median(a/b for a,b in zip(clock[name], clock[ref]))) for name in ms}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--threads', type=int, nargs='+', default=[1], help="threads to measure with, one after another")
    p.add_argument('--layers', type=int, default=1, help="layers of each LSTM")
    p.add_argument('--rounds', type=int, default=200, help="rounds for each size")
    p.add_argument('--compile', action='store_true', help="a compiled loop too, with the first number of threads (needs a C++ compiler, and minutes)")
    p.add_argument('--store', action='store_true', help="keep the rows in the package: lm_from_scratch/course/results/lstm_speed.jsonl")
    args = p.parse_args()
    command,rows = shlex.join(['python', 'benchmarks/lstm_speed.py', *sys.argv[1:]]),[]
    print(f"{'threads':>7} {'bs':>4} {'seq_len':>7} {'units':>5}  {'':36} {'CPU':>6} {'clock':>6} {'median':>6}")
    for threads in args.threads:
        torch.set_num_threads(threads)
        for bs,seq_len,n in SIZES:
            for name,r in measure(contestants(n, args.layers, args.compile and threads == args.threads[0]), bs, seq_len, n, args.rounds, args.layers).items():
                r = {k: round(v, 3) for k,v in r.items()}
                r['ratio'] = r['ratio_cpu' if threads == 1 else 'ratio_clock'] # CPU time counts all threads
                rows.append(dict(name=name, threads=threads, bs=bs, seq_len=seq_len, n_hidden=n, n_layers=args.layers, rounds=args.rounds, **r,
                                 simd=torch.backends.cpu.get_cpu_capability(), **versions(), command=command))
                print(f"{threads:7} {bs:4} {seq_len:7} {n:5}  {name:36} {r['ratio_cpu']:6.2f} {r['ratio_clock']:6.2f} {r['ratio_median']:6.2f}", flush=True)
    if args.store:
        save_results(rows, results_file('lstm_speed'))
        print(f"{len(load_results('lstm_speed'))} rows in {results_file('lstm_speed').name}")


if __name__ == '__main__': main()
