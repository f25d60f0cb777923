"""How long does the page take to learn? The default run in headless Chromium on one core, and Python's run of the same settings beside it.

    python docs/learn_speed.py            # measures, and prints
    python docs/learn_speed.py --store    # and writes docs/playground/learn.json

Seconds are those of the processor, all processes of the browser together: what else runs on the machine does not count. The wall clock stands beside them.
"""
import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from lm_from_scratch.copying import read_rows
from lm_from_scratch.course.ladder import versions
from lm_from_scratch.data import human_numbers, lm_dataloaders
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.training import lm_learner, run_seed

root = Path(__file__).resolve().parent.parent
FILE, PAGE = root/'docs/playground/learn.json', root/'lm_from_scratch/playground'
GOAL = .6                                                              # held-out accuracy
sys.path.append(str(root/'tests'))

# What the worker does, without the pictures: the run from its first step to its last, with a look at the held-out text every half pass.
WATCH = '''() => new Promise((done, fail) => {
  const worker = new Worker('worker.js', {type: 'module'}), seen = [], start = performance.now();
  let info = null;
  worker.onerror = e => fail(e.message);
  worker.onmessage = ({data}) => {
    if (data.is === 'refused') fail(data.why);
    if (data.is === 'ready') { info = data; worker.postMessage({order: 'run'}); }
    if (data.accuracy !== undefined) {
      seen.push([data.epochs, data.accuracy, (performance.now() - start) / 1000]);
      window.reached = data.accuracy;
      if (data.done) done({seen, loss: data.loss, settings: info.settings, parameters: info.parameters, lines: info.lines});
    }
  };
  worker.postMessage({order: 'start', settings: {}});
})'''


def cpu_seconds(pid):
    "Processor time of a process and of all below it (Linux)."
    parents = {}
    for f in Path('/proc').glob('[0-9]*/stat'):
        try: name, rest = f.read_text().rsplit(')', 1)
        except OSError: continue                                       # it has ended meanwhile
        fields = rest.split()
        parents[int(f.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12]))/os.sysconf('SC_CLK_TCK')
    found, ours = 0., {pid}
    while more := {p for p,(up,_) in parents.items() if up in ours} - ours: ours |= more
    return found + sum(parents[p][1] for p in ours if p in parents)


def in_browser():
    "The default run in the page's worker: its curve, and how long it took."
    from browser import CHROMIUM, FLAGS, Served
    from playwright.sync_api import sync_playwright
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})            # one core, for the browser, too
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        with Served(folder) as url:
            browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page()
            page.goto(f'{url}/worker.js')                              # an empty page of the same origin
            page.evaluate(f"() => {{ window.found = ({WATCH})() }}")
            start, curve, goal = cpu_seconds(os.getpid()), [], None
            ended = "() => Promise.race([window.found.then(v => JSON.stringify(v)), new Promise(r => setTimeout(r, 200))])"
            while not (found := page.evaluate(ended)):
                if goal is None and (page.evaluate('window.reached') or 0) >= GOAL: goal = cpu_seconds(os.getpid()) - start
            total, version = cpu_seconds(os.getpid()) - start, browser.version
            browser.close()
    found = json.loads(found)
    curve = [[round(epochs, 2), round(accuracy, 4)] for epochs,accuracy,_ in found['seen']]
    wall = next((seconds for _,accuracy,seconds in found['seen'] if accuracy >= GOAL), None)
    return dict(browser=f'Chromium {version}', settings=found['settings'], parameters=found['parameters'], accuracy=curve[-1][1], loss=round(found['loss'], 4),
                seconds_to_goal=goal and round(goal, 1), seconds=round(total, 1), wall_to_goal=wall and round(wall, 1), lines={k: round(v, 4) for k,v in found['lines'].items()}, curve=curve)


def in_python(settings, seeds):
    "The same settings in PyTorch, one core: accuracy, and processor time of the training alone."
    torch.set_num_threads(1)
    corpus, rows = human_numbers(), []
    def make():
        dls = lm_dataloaders(corpus, settings['rows'], settings['seq_len'])
        model = LanguageModel(len(corpus.vocab), settings['n_hidden'], settings['n_layers'], rnn=settings['cell'])
        return lm_learner(dls, model, wd=settings['wd'], moms=tuple(settings['moms']))
    for seed in seeds:
        found = run_seed(make, seed, settings['n_epochs'], settings['lr'])
        guess, y = read_rows(found['learn'].model, lm_dataloaders(corpus, 64, settings['seq_len']).valid)
        rows.append(dict(seed=seed, accuracy=round(float((guess == y).float().mean()), 4), seconds=round(found['seconds'], 1)))
        print(f"python, seed {seed}: accuracy {rows[-1]['accuracy']:.3f} in {rows[-1]['seconds']} s", flush=True)
    return rows


def main(*args):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--store', action='store_true', help='write docs/playground/learn.json')
    parser.add_argument('--seeds', type=int, default=3, help="runs in Python")
    options = parser.parse_args(args)
    page = in_browser()
    print(f"page: accuracy {GOAL} after {page['seconds_to_goal']} s of the processor ({page['wall_to_goal']} s on the wall), {page['accuracy']:.3f} at the end, {page['seconds']} s")
    python = in_python(page['settings'], range(1, options.seeds + 1))
    if options.store:
        command = 'python docs/learn_speed.py --store' + (f' --seeds {options.seeds}' if options.seeds != 3 else '')
        text = json.dumps(dict(command=command, goal=GOAL, cores=1, page=page, in_python=python, versions=versions()), indent=1)
        FILE.write_text(re.sub(r'\[\s+([\d.]+),\s+([\d.]+)\s+\]', r'[\1, \2]', text) + '\n', encoding='utf-8')
        print(f"{FILE.relative_to(root)} written")


if __name__ == '__main__': main(*sys.argv[1:])
