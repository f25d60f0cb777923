"The page that learns: forward, backward and training in plain JavaScript against PyTorch, in Node; the panel itself in a browser, by keyboard."
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT

from lm_from_scratch.copying import oracle_guesses, read_rows, rows_of
from lm_from_scratch.data import Corpus, human_numbers, lm_dataloaders
from lm_from_scratch.multilayer import LanguageModel, gradient_by_distance
from lm_from_scratch.nword import best_accuracy_given
from lm_from_scratch.training import lean_epoch, lean_settings, lm_learner, moments, one_cycle, FlatAdam

PAGE = ROOT/'lm_from_scratch/playground'
NODE = shutil.which('node')
needs_node = pytest.mark.skipif(not NODE, reason="NOT TESTED: the arithmetic of the page that learns (node is missing)")


def in_node(body, **given):
    "Run JavaScript with the exports of cell.js, train.js and model.js as `m` and our arguments as `given`."
    script = f'''
import {{ readFileSync }} from "node:fs";
const m = Object.assign({{}}, ...await Promise.all(["cell", "train", "model", "why", "hold"].map(f => import({json.dumps(PAGE.as_uri())} + "/" + f + ".js"))));
const given = JSON.parse(readFileSync(0, "utf8"));
const plain = (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v;
const out = await (async () => {{ {body} }})();
process.stdout.write(JSON.stringify(out ?? null, plain));'''
    out = subprocess.run([NODE, '--input-type=module', '-e', script], input=json.dumps(given), capture_output=True, text=True, encoding='utf-8')
    assert not out.returncode, out.stderr
    return json.loads(out.stdout)


def weights_of(model): return {k: v.flatten().tolist() for k,v in model.state_dict().items()}
def largest(js, ours): return float(np.abs(np.array(js) - ours.detach().flatten().numpy()).max())


# ---- arithmetic

ONE_STEP = '''
const sizes = given.sizes, params = m.parametersOf(sizes), grads = m.parametersOf(sizes);
for (const [name, values] of Object.entries(given.weights)) params.named[name].set(values);
const state = given.state.map(s => Object.fromEntries(Object.entries(s).map(([k, v]) => [k, Float64Array.from(v)])));
const read = m.modelForward(sizes, params, Int32Array.from(given.x), state, given.rows), scores = read.scores.slice();
const {loss, right} = m.crossEntropy(read.scores, given.y, sizes.n_words);
const words = m.modelBackward(sizes, params, read, read.scores, grads);
return {scores, loss, right, words, grads: grads.named, state: read.state, names: Object.keys(params.shapes), shapes: params.shapes};'''


@needs_node
@pytest.mark.parametrize('n_layers', [1, 2])
@pytest.mark.parametrize('cell', ['rnn', 'lstm', 'gru'])
def test_a_step_is_pytorchs(cell, n_layers):
    "Scores, loss, the states after and all gradients, from a state that is not zero."
    torch.manual_seed(n_layers)
    n_words,n,rows,steps = 11,10,3,7
    model = LanguageModel(n_words, n, n_layers, rnn=cell).double()
    x,y = torch.randint(n_words, (2, rows, steps))
    state = torch.randn(n_layers, rows, n, dtype=torch.double)*.5
    state = (state, torch.randn_like(state)) if cell == 'lstm' else state
    words = model.i_h(x); words.retain_grad()
    raw,after = model.rnn(words, state)
    scores = model.h_o(raw)
    loss = F.cross_entropy(scores.flatten(0, 1), y.flatten())
    loss.backward()
    names = 'hc' if cell == 'lstm' else 'h'
    parts = lambda s: s if isinstance(s, tuple) else (s,)
    given = [{k: s[l].flatten().tolist() for k,s in zip(names, parts(state))} for l in range(n_layers)]
    js = in_node(ONE_STEP, sizes=dict(cell=cell, n_words=n_words, n_hidden=n, n_layers=n_layers), weights=weights_of(model),
                 x=x.T.flatten().tolist(), y=y.T.flatten().tolist(), rows=rows, state=given)
    assert {k: tuple(v) for k,v in js['shapes'].items()} == {k: tuple(v.shape) for k,v in model.state_dict().items()}
    assert js['loss'] == pytest.approx(loss.item(), abs=1e-10) and js['right'] == int((scores.argmax(-1) == y).sum())
    assert largest(js['scores'], scores.transpose(0, 1)) < 1e-9 and largest(js['words'], words.grad.transpose(0, 1)) < 1e-9
    for l in range(n_layers):
        for k,s in zip(names, parts(after)): assert largest(js['state'][l][k], s[l]) < 1e-9
    for name,p in model.named_parameters():
        assert p.grad.abs().max() > 1e-4 and largest(js['grads'][name], p.grad) < 1e-9, name


RUN = '''
const run = new m.Run(given.settings);
for (const [name, values] of Object.entries(given.weights)) run.params.named[name].set(values);
run.total = given.total;
const losses = [], rates = [];
for (let k = 0; k < given.n; k++) { rates.push(run.rate()); losses.push(run.step()); }
const after = Object.fromEntries(Object.entries(run.params.named).map(([k, v]) => [k, Array.from(v)]));
return {losses, rates, after, accuracy: run.accuracy(true), distance: run.byDistance(), lines: run.lines, batches: run.batches.length, smooth: run.loss};'''


@needs_node
@pytest.mark.parametrize('cell,n_layers', [('rnn', 1), ('lstm', 2), ('gru', 1)])
def test_a_run_is_pythons(cell, n_layers):
    "Fifty steps from the same weights: every loss, all weights, accuracy, gradients by distance and ceilings, as the course's own loop has them."
    corpus,seq_len,rows,total = human_numbers(),8,64,60
    torch.manual_seed(3)
    dls = lm_dataloaders(corpus, rows, seq_len)
    model = LanguageModel(len(corpus.vocab), 8, n_layers, rnn=cell)
    start = weights_of(model)
    model.double()
    learn = lm_learner(dls, model, wd=.1, moms=(.95, .85, .95))
    times = moments(1, total)
    rates = one_cycle(times, .02/25, .02, .02/1e5)
    has,adam = lean_settings(learn),FlatAdam(model, .1)
    losses = [loss.item() for _,loss in zip(range(50), lean_epoch(learn, adam, zip(rates, one_cycle(times, *learn.moms)), has))]
    adam.release()
    js = in_node(RUN, settings=dict(cell=cell, n_layers=n_layers, n_hidden=8, seq_len=seq_len, rows=rows, lr=.02, wd=.1), weights=start, total=total, n=50)
    assert js['batches'] == len(dls.train) and js['rates'] == pytest.approx(rates[:50], rel=1e-4)
    assert np.abs(np.array(js['losses']) - losses).max() < 1e-3 and losses[-1] < losses[0] - .5
    assert max(largest(js['after'][k], p) for k,p in model.state_dict().items()) < 1e-3
    guess,y = read_rows(model, dls.valid)
    hit = (guess == y).float()
    assert js['accuracy'] == pytest.approx(dict(all=float(hit.mean()), first=float(hit[:32].mean()), second=float(hit[32:].mean())), abs=2e-3)
    x,y = next(iter(dls.valid))
    assert js['distance'] == pytest.approx(gradient_by_distance(model, x, y).tolist(), rel=1e-2)
    valid = corpus.split(seq_len)[1]
    x,y = rows_of(dls.valid)
    cold = float((oracle_guesses(x, corpus.ids) == y).float().mean())
    assert js['lines'] == pytest.approx(dict(common=best_accuracy_given(valid, 0), three=best_accuracy_given(valid, 3), cold=cold), abs=1e-3)


@needs_node
def test_texts_and_dice():
    js = in_node('''
const text = m.readText("numbers"), rows = (n, r, s) => m.batches(Int32Array.from({length: n}, (_, k) => k), r, s).map(b => [b.x, b.y]);
const told = f => { try { f(); return null; } catch (e) { return e instanceof m.Refused ? e.message : String(e); } };
const a = m.dice(5), b = m.dice(5), c = m.dice(6), drawn = Array.from({length: 2000}, a);
const run = (s) => { const r = new m.Run({text: "words", pasted: "a b c ".repeat(60), n_hidden: 8, seq_len: 4, ...s}); return r; };
const one = run({seed: 4}), two = run({seed: 4}), other = run({seed: 5});
const losses = r => [r.step(), r.step(), r.step()];
return {vocab: text.vocab, ids: text.ids, rows: rows(20, 2, 4), short: rows(8, 2, 5), characters: m.readText("characters", " ab\\n a ").vocab,
  same: drawn.slice(0, 5).every((v, k) => k === 0 || v !== drawn[k - 1]) && Array.from({length: 2000}, b).every((v, k) => v === drawn[k]) && c() !== drawn[0],
  mean: drawn.reduce((x, y) => x + y) / 2000, least: Math.min(...drawn), most: Math.max(...drawn),
  seeds: [losses(one), losses(two), losses(other)], sample: [one.sample([0], 5), two.sample([0], 5)],
  told: [told(() => m.readText("words", " \\n ")), told(() => m.readText("words", "one one one")), told(() => m.readText("characters", "")),
    told(() => m.readText("words", Array.from({length: 500}, (_, k) => "w" + k).join(" "))), told(() => m.readText("characters", "ab".repeat(150000))),
    told(() => new m.Run({text: "words", pasted: "a b a b"})),
    told(() => { const r = run({lr: 100, wd: 0.1, n_epochs: 200}); while (!r.done) r.step(); })]};''')
    corpus = human_numbers()
    assert js['vocab'] == list(corpus.vocab) and js['ids'] == corpus.ids.tolist()
    dl = lm_dataloaders(Corpus(torch.arange(20) % 20, list(range(20)), valid_ids=torch.arange(20)), 2, 4).train
    assert js['rows'] == [[x.T.flatten().tolist(), y.T.flatten().tolist()] for x,y in dl]
    assert js['short'] == [[[0, 3, 1, 4, 2, 5], [1, 4, 2, 5, 3, 6]]] and js['characters'] == ['a', 'b', ' ']
    assert js['same'] and abs(js['mean'] - .5) < .02 and 0 <= js['least'] < .01 and .99 < js['most'] < 1
    assert js['seeds'][0] == js['seeds'][1] != js['seeds'][2] and js['sample'][0] == js['sample'][1]
    empty,one,nothing,many,long,few,wild = js['told']
    assert 'no word' in empty and 'only one word' in one and 'no character' in nothing and '500 different words' in many
    assert '300,000 characters long' in long and 'paste more' in few and 'too wild' in wild and all(t.count('. ') == 0 and t.endswith('.') for t in js['told'])
