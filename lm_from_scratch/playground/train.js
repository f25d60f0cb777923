// Training in the page: a text, its rows, the model of cell.js, AdamW and the one-cycle schedule, as chapters 0 and 21 have them.
import {CELLS, crossEntropy, emptyState, modelBackward, modelForward, parametersOf} from './cell.js';
import {numberWords} from './model.js';

export class Refused extends Error {}                                 // what a user can mend: one sentence

// What the page begins with; the batch of rows, the decay and the momentum are as good for other settings, and are not asked for.
export const DEFAULTS = {cell: 'lstm', n_layers: 1, n_hidden: 32, lr: 0.02, seq_len: 16, n_epochs: 10, seed: 1, text: 'numbers',
  rows: 32, wd: 0.01, moms: [0.95, 0.85, 0.95]};
export const LIMITS = {words: 400, tokens: 200000};                   // more would take the page too long

// ---- random numbers that can be had again: the same seed, the same numbers

export function dice(seed) {                                          // mulberry32: numbers from 0 to 1
  let s = seed >>> 0;
  return () => {
    s = s + 0x6d2b79f5 | 0;
    let t = Math.imul(s ^ s >>> 15, 1 | s);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}
const normal = random => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());   // Box and Muller

// ---- the text

export function humanNumbers() {                                      // chapter 0: counted out, without 8000
  const lines = [];
  for (let n = 1; n < 10000; n++) if (n !== 8000) lines.push(numberWords(n).join(' '));
  return lines.join(' . ').split(' ');
}

// kind: 'numbers', 'words' or 'characters'. The words in the order in which they first appear, and the text as their numbers.
export function readText(kind, text = '') {
  const tokens = kind === 'numbers' ? humanNumbers() : kind === 'characters' ? Array.from(text.trim().replace(/\s+/g, ' ')) :
    text.split(/\s+/).filter(Boolean), unit = kind === 'characters' ? 'character' : 'word';
  if (!tokens.length) throw new Refused(`There is no ${unit} in the text: paste some text first.`);
  const numbers = new Map();
  for (const w of tokens) if (!numbers.has(w)) numbers.set(w, numbers.size);
  if (numbers.size === 1) throw new Refused(`The text has only one ${unit}, “${tokens[0]}”: there is nothing to guess; paste a text with others.`);
  if (numbers.size > LIMITS.words) throw new Refused(`The text has ${numbers.size.toLocaleString('en')} different ${unit}s, and the page can take ` +
    `${LIMITS.words}: paste less, or let it read characters.`);
  if (tokens.length > LIMITS.tokens) throw new Refused(`The text is ${tokens.length.toLocaleString('en')} ${unit}s long, and the page can take ` +
    `${LIMITS.tokens.toLocaleString('en')}: paste less.`);
  return {kind, unit, vocab: [...numbers.keys()], ids: Int32Array.from(tokens, w => numbers.get(w))};
}

// The first 80 % to learn from, the rest held out: the cut falls between two sequences.
export function split(ids, seq_len) {
  const n = Math.ceil((ids.length - seq_len - 1) / seq_len), cut = Math.floor(n * 0.8 + 1e-9) * seq_len;
  return [ids.subarray(0, cut), ids.subarray(cut)];
}

// A text as `rows` rows that are read in parallel, cut into batches: row i of a batch goes on where row i of the last one ended.
export function batches(ids, rows, seq_len) {
  let bl = Math.floor((ids.length - 1) / rows);
  if (bl >= seq_len) bl -= bl % seq_len;                              // whole batches, unless there is not even one
  const found = [];
  for (let at = 0; at < bl; at += seq_len) {
    const steps = Math.min(seq_len, bl - at), x = new Int32Array(steps * rows), y = new Int32Array(steps * rows);
    for (let t = 0; t < steps; t++) for (let r = 0; r < rows; r++) {
      x[t * rows + r] = ids[r * bl + at + t];
      y[t * rows + r] = ids[r * bl + at + t + 1];
    }
    found.push({x, y});
  }
  return found;
}

// Accuracy of knowing the k words before, and how the held-out text itself goes on after them (chapter 1).
export function ceiling(ids, k) {
  const counts = new Map();
  for (let at = k; at < ids.length; at++) {
    const key = ids.subarray(at - k, at).join(), after = counts.get(key) ?? new Map();
    counts.set(key, after.set(ids[at], (after.get(ids[at]) ?? 0) + 1));
  }
  let right = 0;
  for (const after of counts.values()) right += Math.max(...after.values());
  return right / (ids.length - k);
}

// Accuracy of one who knows the whole text by heart, and each row from a cold start: what follows most often where it agrees with what was read (chapter 10).
export function coldCeiling(text, ids, rows, n, patience = 5e7) {
  const everywhere = new Map();
  for (let at = 0; at + 1 < text.length; at++) everywhere.get(text[at])?.push(at + 1) ?? everywhere.set(text[at], [at + 1]);
  let right = 0;
  for (let r = 0; r < rows; r++) {
    let places = null;                                                // where in the text might we be? anywhere
    for (let t = 0; t < n; t++) {
      const word = ids[r * n + t], counts = new Map();
      places = places ? places.filter(at => at + 1 < text.length && text[at] === word).map(at => at + 1) : everywhere.get(word);
      if ((patience -= places.length) < 0) return null;               // a text that repeats itself a lot: too long to wait for
      let best = -1, most = 0;
      for (const at of places) {
        const w = text[at], c = (counts.get(w) ?? 0) + 1;
        counts.set(w, c);
        if (c > most || c === most && w < best) { most = c; best = w; }
      }
      right += best === ids[r * n + t + 1];
    }
  }
  return right / (rows * n);
}

// ---- the optimizer and its schedule

const cosine = (start, end, pos) => start + (1 + Math.cos(Math.PI * (1 - pos))) * (end - start) / 2;

// From `start` to `middle` in the first quarter, and on to `end` (Smith, 2018). t: from 0 to 1
export const oneCycle = (t, start, middle, end) => t < 0.25 ? cosine(start, middle, t / 0.25) : cosine(middle, end, (t - 0.25) / 0.75);

export class Adam {                                                   // with decoupled weight decay: chapter 21's FlatAdam
  constructor(params, wd, sqrMom = 0.99, eps = 1e-5) {
    Object.assign(this, {params, wd, sqrMom, eps, n: 0});
    this.mean = new Float64Array(params.all.length); this.square = new Float64Array(params.all.length);
  }
  step(grads, lr, mom) {
    const {mean, square, sqrMom, eps, params: {all, bias}} = this, decaying = all.length - bias.length;
    this.n++;
    const dMean = 1 - mom ** this.n, dSquare = 1 - sqrMom ** this.n;  // both began at 0
    for (let k = 0; k < all.length; k++) {
      const g = grads[k];
      if (k < decaying) all[k] *= 1 - lr * this.wd;
      mean[k] = mom * mean[k] + (1 - mom) * g;
      square[k] = sqrMom * square[k] + (1 - sqrMom) * g * g;
      all[k] -= lr / dMean * mean[k] / (Math.sqrt(square[k] / dSquare) + eps);
    }
  }
}

// ---- a run

export class Run {
  constructor(settings) {
    settings = {...DEFAULTS, ...settings};
    const text = readText(settings.text, settings.pasted);
    Object.assign(this, {settings, text});
    const {cell, n_hidden, n_layers, seq_len, wd, seed} = this.settings, [train, valid] = split(text.ids, seq_len);
    this.rows = Math.min(this.settings.rows, Math.floor(train.length / (seq_len + 1)));
    this.validRows = Math.min(64, Math.floor(valid.length / (seq_len + 1)));
    if (this.rows < 1 || this.validRows < 1) throw new Refused(`The text is ${text.ids.length} ${text.unit}s long: ` +
      `with rows of ${seq_len} it takes ${6 * seq_len + 8} at least; paste more, or choose shorter rows.`);
    this.batches = batches(train, this.rows, seq_len); this.valid = batches(valid, this.validRows, seq_len);
    const read = this.valid.reduce((sum, b) => sum + b.x.length / this.validRows, 0);
    this.lines = {common: ceiling(valid, 0), three: ceiling(valid, 3), cold: coldCeiling(text.ids, valid, this.validRows, read)};
    this.prompt = Array.from(valid.subarray(0, seq_len));             // the fixed sentence that is looked into
    this.sizes = {cell, n_words: text.vocab.length, n_hidden, n_layers};
    this.params = parametersOf(this.sizes); this.grads = parametersOf(this.sizes);
    this.reset(seed);
    this.adam = new Adam(this.params, wd);
    this.total = this.settings.n_epochs * this.batches.length;
    this.n = 0; this.smooth = 0; this.lr = this.settings.lr;
  }

  reset(seed) {                                                       // as PyTorch begins: normal words, all else uniform
    const random = dice(seed), bound = 1 / Math.sqrt(this.sizes.n_hidden);
    for (const [name, p] of Object.entries(this.params.named)) for (let k = 0; k < p.length; k++)
      p[k] = name === 'i_h.weight' ? normal(random) : bound * (2 * random() - 1);
  }

  get done() { return this.n >= this.total; }
  get epochs() { return this.n / this.batches.length; }
  rate() { return oneCycle(this.n / this.total, this.lr / 25, this.lr, this.lr / 1e5); }

  step() {                                                            // one batch: forward, loss, backward, AdamW
    const at = this.n % this.batches.length, {x, y} = this.batches[at], {sizes, params, grads} = this;
    if (at === 0) this.state = emptyState(sizes, this.rows);          // the text begins again
    const read = modelForward(sizes, params, x, this.state, this.rows);
    this.state = read.state;                                          // carried on, without its gradient
    const {loss} = crossEntropy(read.scores, y, sizes.n_words);
    grads.all.fill(0);
    modelBackward(sizes, params, read, read.scores, grads);
    this.adam.step(grads.all, this.rate(), oneCycle(this.n / this.total, ...this.settings.moms));
    this.n++;
    this.smooth = 0.98 * this.smooth + 0.02 * loss;
    this.loss = this.smooth / (1 - 0.98 ** this.n);                   // the mean of the last batches, roughly
    if (!(loss < 1e4)) throw new Refused(`The loss is no longer a number that makes sense: a learning rate of ${this.lr} is too wild; ` +
      'take a smaller one, and reset.');
    return loss;
  }

  // Accuracy on held-out text: its rows from a cold start, the state carried on. `parts`: the shares of the upper and the lower half of the rows, too.
  accuracy(parts = false) {
    let state = emptyState(this.sizes, this.validRows);
    const right = new Int32Array(this.validRows), {n_words} = this.sizes;
    let count = 0;
    for (const {x, y} of this.valid) {
      const read = modelForward(this.sizes, this.params, x, state, this.validRows);
      state = read.state; count += y.length / this.validRows;
      for (let k = 0; k < y.length; k++) {
        let best = k * n_words;
        for (let j = best + 1; j < (k + 1) * n_words; j++) if (read.scores[j] > read.scores[best]) best = j;
        right[k % this.validRows] += best - k * n_words === y[k];
      }
    }
    const share = (from, to) => right.slice(from, to).reduce((a, b) => a + b) / (count * (to - from));
    const half = this.validRows >> 1;
    return parts ? {all: share(0, this.validRows), first: share(0, half), second: share(half, this.validRows)} : share(0, this.validRows);
  }

  // Chapter 4: the gradient of the loss after the last word, by the distance of the word embedded. At k: k before the last; the mean of the rows.
  byDistance() {
    const {x, y} = this.valid[0], rows = this.validRows, {sizes, params} = this, {n_words, n_hidden: n} = sizes, steps = x.length / rows;
    const read = modelForward(sizes, params, x, emptyState(sizes, rows), rows), last = (steps - 1) * rows;
    crossEntropy(read.scores.subarray(last * n_words), y.subarray(last), n_words);   // the mean over rows …
    read.scores.fill(0, 0, last * n_words);
    const dx = modelBackward(sizes, params, read, read.scores, parametersOf(sizes));
    return Array.from({length: steps}, (_, k) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += Math.hypot(...dx.subarray(((steps - 1 - k) * rows + r) * n, ((steps - 1 - k) * rows + r + 1) * n));
      return sum;                                                     // … so the sum of their norms is the mean of the norms
    });
  }

  // What it writes after `prompt`, drawn by its own probabilities; the same dice each time, so that only learning changes it.
  sample(prompt, n_words, seed = 1) {
    const random = dice(seed), words = Array.from(prompt), written = [];
    let read = modelForward(this.sizes, this.params, Int32Array.from(words), emptyState(this.sizes, 1), 1);
    for (let k = 0; k < n_words; k++) {
      const s = Array.from(read.scores.subarray(-this.sizes.n_words)), top = Math.max(...s), e = s.map(v => Math.exp(v - top));
      let left = random() * e.reduce((a, b) => a + b), id = e.findIndex(v => (left -= v) < 0);
      if (id < 0) id = s.indexOf(top);                                // rounding
      written.push(id);
      read = modelForward(this.sizes, this.params, Int32Array.of(id), read.state, 1);
    }
    return written;
  }

  // Gates and states of every layer while a sentence is read: name → (words, units).
  look(ids) {
    const read = modelForward(this.sizes, this.params, Int32Array.from(ids), emptyState(this.sizes, 1), 1), {gates, states} = CELLS[this.sizes.cell];
    const n = this.sizes.n_hidden, G = gates.length, steps = ids.length;
    return read.layers.map(kept => {
      const found = {};
      if (G > 1) gates.forEach((name, g) => {
        found[name] = new Float32Array(steps * n);
        for (let t = 0; t < steps; t++) for (let k = 0; k < n; k++) found[name][t * n + k] = kept.gates[t * n * G + g * n + k];
      });
      for (const name of states) found[name] = Float32Array.from(kept[name].subarray(n));
      return found;
    });
  }

  weights() { return Object.fromEntries(Object.entries(this.params.named).map(([k, v]) => [k, {shape: this.params.shapes[k], values: Array.from(v)}])); }
}
