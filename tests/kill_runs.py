"""Kill a training by -9 at random moments, go on with it each time, and compare its end with the one that was never killed, to the bit.

    python tests/kill_runs.py --kills 50 --store

The parent has computed nothing when it forks, so that a child costs no import; what a child leaves behind is all that the next one has."""
import argparse
import json
import mmap
import os
import random
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from lm_from_scratch.course.experiments import processor, versions
from lm_from_scratch.data import number_words
from lm_from_scratch.runs import read_config, read_history, read_tensors, resume_run, train_run

STORED = Path(__file__).parent/'kill_runs.json'
TEXT = '\n'.join(f'{number_words(n)} .' for n in range(1, 3000))
SETTINGS = dict(tokens='words', n_hidden=24, n_layers=2, bs=4, seq_len=8, steps=400, evaluations=40, dropout=.2, drop_weights=.2, drop_words=.1)


def child(work):
    "Run a function in a process of its own; its number."
    if pid := os.fork(): return pid
    try:
        os.close(2)  # a killed one has nothing to say
        work()
        os._exit(0)
    except BaseException: os._exit(1)


COUNT = mmap.mmap(-1, 4)  # steps of the child: parent and child see the same memory


def count(what, **how):
    if what == 'step': COUNT[:] = (int.from_bytes(COUNT[:], 'little')+1).to_bytes(4, 'little')


def begin(folder): train_run([TEXT], folder, SETTINGS, device='cpu', report=count)


def go_on(folder):
    try: read_config(folder)
    except ValueError: begin(folder)                 # killed before it was a run
    else: resume_run(folder, device='cpu', report=count)


def end_of(folder):
    "What a training has come to: all tensors, and all losses."
    tensors, place = read_tensors(folder/'last.safetensors')
    best, _ = read_tensors(folder/'model.safetensors')
    kept = {k: v for k, v in place.items() if k != 'seconds'}
    return {**tensors, **{f'best.{k}': v for k, v in best.items()}}, kept, [(r['step'], r['train_loss'], r['valid_loss'], r['sample']) for r in read_history(folder)]


def same(a, b):
    (ta, pa, ha), (tb, pb, hb) = a, b
    return ta.keys() == tb.keys() and all(ta[k].equal(tb[k]) for k in ta) and pa == pb and ha == hb


def killed(folder, kills, dice, apart=60):
    "Train, kill it after so many steps and some milliseconds, and again; with how many steps on disk."
    places = []
    while len(places) < kills:
        COUNT[:], steps, jitter = bytes(4), dice.randrange(apart), dice.uniform(0, .02)
        pid = child(lambda: go_on(folder))
        while int.from_bytes(COUNT[:], 'little') < steps and os.waitpid(pid, os.WNOHANG) == (0, 0): time.sleep(.001)
        time.sleep(jitter)
        try: os.kill(pid, signal.SIGKILL)
        except ProcessLookupError: return places     # at its end
        if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]): return places
        last = folder/'last.safetensors'
        places.append(read_tensors(last)[1]['step'] if last.is_file() else -1)
    assert os.waitpid(child(lambda: go_on(folder)), 0)[1] == 0, "the last one did not come to its end"
    return places


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--kills', type=int, default=50)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--steps', type=int, default=SETTINGS['steps'], help="of a training, judged ten steps apart")
    p.add_argument('--store', action='store_true', help="write the count to tests/kill_runs.json")
    args = p.parse_args()
    SETTINGS.update(steps=args.steps, evaluations=max(1, args.steps//10))
    dice, done, trainings = random.Random(args.seed), 0, 0
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        assert os.waitpid(child(lambda: begin(home/'whole')), 0)[1] == 0
        whole = end_of(home/'whole')
        while done < args.kills:
            folder = home/f'run{trainings}'
            places = killed(folder, args.kills-done, dice)
            if not same(end_of(folder), whole): sys.exit(f"training {trainings}, killed at steps {places}, came to another end")
            done, trainings = done+len(places), trainings+1
            print(f"training {trainings}: killed {len(places)} times, with the steps {places} on disk; the same end", flush=True)
    if args.store: STORED.write_text(json.dumps(dict(kills=done, trainings=trainings, processor=processor(), **versions(), command=shlex.join(['python', 'tests/kill_runs.py', *sys.argv[1:]])), indent=1) + '\n')


if __name__ == '__main__': main()
