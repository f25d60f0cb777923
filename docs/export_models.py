"""Train the two models that come with the package, and put them into lm_from_scratch/models: `make models`, five minutes on one core.

    python docs/export_models.py                  # both
    python docs/export_models.py human-numbers    # one

Each is trained by `lm-from-scratch train`, on a text that `write_text` makes; what is kept of the run is what reading it needs: settings, tokenizer,
weights (rounded to half precision), history, and the held-out part, so that `evaluate` works.
"""
import argparse
import json
import os
import platform
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from lm_from_scratch.data import number_words
from lm_from_scratch.runs import load_run, read_tensors, shipped, write_json, write_readme, write_tensors

HOME = Path(__file__).resolve().parent.parent/'lm_from_scratch/models'
FLAGS = {
    'human-numbers': '--tokens words --n-hidden 128 --n-layers 2 --dropout .2 --bs 32 --seq-len 64 --lr .01 --epochs 2 --evaluations 6 --seed 0',
    'manual': '--tokens bpe --max-words 900 --n-hidden 144 --n-layers 1 --dropout .2 --drop-inputs .1 --bs 16 --seq-len 48 --lr .01 --epochs 18 --evaluations 9 --seed 0'}
TOLD = {
    'human-numbers': "The numbers from 1 to 9999 in words, in 1,500 stretches: half of them begin at any number, half at a small one; the held-out part has 40 other "
                     "stretches. `docs/export_models.py` writes both.",
    'manual': f"The reference manual of Python {platform.python_version()}, as `help()` shows it: the topics of `pydoc_data.topics`, in the order of their names; "
              "the last tenth is held out. The manual is © Python Software Foundation, under the PSF License Version 2."}


def stretches(n, seed):
    "Lines that count: from any number, or from a small one."
    dice = random.Random(seed)
    for _ in range(n):
        first = int(10**dice.uniform(0, 4)) if dice.random() < .5 else dice.randrange(1, 10_000)
        last = min(9999, first + dice.randint(20, 180))
        yield ' . '.join(map(number_words, range(first, last+1))) + ' .\n'


def texts(name):
    "The files of a text: name → content."
    if name == 'human-numbers': return {'human-numbers/train.txt': ''.join(stretches(1500, 0)), 'human-numbers/valid.txt': ''.join(stretches(40, 1))}
    from pydoc_data.topics import topics
    return {'manual.txt': '\n'.join(topics[k].strip() + '\n' for k in sorted(topics))}


def train(name, folder):
    "The run, as anybody's shell makes it."
    for file, text in texts(name).items():
        (folder/file).parent.mkdir(exist_ok=True)
        (folder/file).write_text(text, encoding='utf-8')
    source = 'manual.txt' if name == 'manual' else name
    command = f'-m lm_from_scratch train {source} --out run {FLAGS[name]} --device cpu --threads 1'
    subprocess.run([sys.executable, *shlex.split(command)], cwd=folder, check=True, env={**os.environ, 'PYTHONPATH': str(HOME.parents[1])})
    return folder/'run'


def keep(name, run):
    "What reading needs; the weights in half precision, their figures beside those of the whole ones."
    whole, folder = load_run(run, 'cpu'), HOME/name
    before = whole.evaluate()['valid'].nats
    shutil.rmtree(folder, ignore_errors=True)
    (folder/'tokens').mkdir(parents=True)
    for file in ('tokenizer.json', 'history.jsonl', 'curve.svg', 'tokens/valid.tokens', 'tokens/valid.json'): shutil.copy(run/file, folder/file)
    tensors, about = read_tensors(run/'model.safetensors')
    write_tensors(folder/'model.safetensors', {k: t.half() for k, t in tensors.items()}, about)
    config = json.loads((run/'config.json').read_text(encoding='utf-8'))
    config['text'].update(name=name, files=[], about=TOLD[name])
    config['weights'] = 'float16'
    write_json(folder/'config.json', config)
    write_json(folder/'tokens/corpus.json', dict(version=1, name=name, parts=dict(valid=None)))
    kept = load_run(folder, 'cpu')
    write_readme(kept)
    after = kept.evaluate()['valid'].nats
    with open(folder/'README.md', 'a', encoding='utf-8') as f:
        f.write(f"\n{TOLD[name]}\n\nThe weights are kept in half precision and read in single precision; before they were rounded, the held-out part took {before:.4f} nats a token "
                f"(now {after:.4f}). The training state is not kept: the run is read, not gone on with.\n")
    print(f'{name}: {before:.4f} nats, rounded {after:.4f}; {sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()):,} bytes')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', help=f'which of {", ".join(FLAGS)}; both if none is named')
    torch.set_num_threads(1)
    for name in p.parse_args().names or FLAGS:
        with tempfile.TemporaryDirectory() as folder: keep(name, train(name, Path(folder)))
    print(*shipped())


if __name__ == '__main__': main()
