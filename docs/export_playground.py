"""Train the rungs that the playground runs, and write their weights into docs/playground/models.json.

    python docs/export_playground.py                      # trains, a minute on one core
    python docs/export_playground.py --checkpoints DIR    # takes DIR/<rung>.pt, state dicts of models trained by the same recipe with seed 0

Weights are rounded to half precision, and `load_exported` gives back the course's own model with just these weights.
"""
import argparse
import base64
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lm_from_scratch.copying import read_rows
from lm_from_scratch.course.copies import FOR_CLASSIC, TEST_TIME
from lm_from_scratch.data import human_numbers
from lm_from_scratch.course.ladder import find_recipe, run_recipe, versions

FILE = Path(__file__).resolve().parent/'playground/models.json'
PAGE = FILE.parents[2]/'lm_from_scratch/playground'  # the page itself comes with the package: `play` serves it
RUNGS = ['every_word', 'lstm2', 'gru2', 'tied']
SEED = 0


def described(f):
    "A function and the arguments it is called with, as JSON can hold them."
    return {'function': f.func.__name__, **f.keywords} if isinstance(f, partial) else {'function': f.__name__}


def recipe_of(name):
    "All that the training of a rung depends on, and may change: an export of another recipe is stale."
    r = find_recipe(name)
    found = dict(name=r.name, title=r.title, chapter=r.chapter, data=described(r.data), model=described(r.model),
                 n_epochs=r.n_epochs, lr=r.lr, learner=dict(r.learner))
    return json.loads(json.dumps(found))


def cache_of(name):
    "θ and λ of the continuous cache in chapter 10: those found for the tied model, or the general ones."
    return dict(FOR_CLASSIC['cache'] if name == 'tied' else TEST_TIME['cache'].keywords)


def packed(p):
    half = p.detach().cpu().numpy().astype('<f2')
    if not np.isfinite(half).all(): raise SystemExit("A weight is too large for half precision.")
    return dict(shape=list(p.shape), data=base64.b64encode(half.tobytes()).decode())


def unpacked(entry): return torch.from_numpy(np.frombuffer(base64.b64decode(entry['data']), '<f2').astype('<f4')).view(entry['shape'])


def exported(path=FILE): return json.loads(Path(path).read_text(encoding='utf-8'))


def model_of(name, weights):
    "The course's model with exported weights."
    model = find_recipe(name).model(len(human_numbers().vocab))
    state = {k:unpacked(v) for k,v in weights.items()}
    model.load_state_dict({'h_o.weight': state['i_h.weight'], **state})              # a tied decoder is stored once
    return model.eval()


def load_exported(
    name,      # A rung
    path=FILE, # What `main` wrote
):             # The course's own model, float32, with the very weights of the page
    "The model that the playground runs."
    return model_of(name, exported(path)['models'][name]['weights'])


def accuracy(name, model):
    "Accuracy on held-out text, measured as the ladder does: rows read from a cold start."
    guess,y = read_rows(model, find_recipe(name).data(human_numbers()).valid)
    return round(float((guess == y).float().mean()), 6)


def entry(name, checkpoint=None):
    "Train a rung, or take it from a checkpoint, and pack it."
    model = find_recipe(name).model(len(human_numbers().vocab))
    if checkpoint: model.load_state_dict(torch.load(checkpoint, map_location='cpu', weights_only=True))
    else: model = run_recipe(find_recipe(name), SEED)[1].model.cpu()
    tied = model.h_o.weight is model.i_h.weight
    weights = {k:packed(v) for k,v in model.state_dict().items() if not (tied and k == 'h_o.weight')}
    cell = 'lstm' if isinstance(getattr(model, 'rnn', None), nn.LSTM) else 'gru' if isinstance(getattr(model, 'rnn', None), nn.GRU) else 'rnn'
    return dict(cell=cell, tied=tied, recipe=recipe_of(name), seed=SEED, parameters=sum(p.numel() for p in model.parameters()),
                accuracy_float32=accuracy(name, model), accuracy=accuracy(name, model_of(name, weights)), cache=cache_of(name), weights=weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--checkpoints', type=Path, help='folder of <rung>.pt files to take instead of training')
    parser.add_argument('--out', type=Path, default=FILE, help='file to write')
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = {}
    for name in RUNGS:
        models[name] = entry(name, args.checkpoints and args.checkpoints/f'{name}.pt')
        print(f"{name:12} accuracy {models[name]['accuracy_float32']:.4f}, rounded {models[name]['accuracy']:.4f}", flush=True)
    command = 'python docs/export_playground.py' + (' --checkpoints …' if args.checkpoints else '')
    about = dict(command=command, precision='weights: float16, little-endian, base64', **versions())
    text = json.dumps(dict(about=about, vocab=list(human_numbers().vocab), models=models), indent=1, ensure_ascii=False)
    args.out.write_text(text + '\n', encoding='utf-8')
    print(f"{args.out} written: {args.out.stat().st_size:,} bytes")


if __name__ == '__main__': main()
