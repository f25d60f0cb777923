// The models of the course, word by word, in plain JavaScript: what chapters 3, 5, 6, 9 and 10 compute, equation beside line.
// Vectors are Float64Arrays, matrices are arrays of rows. Runs in the browser and in Node alike.

// ---- vectors

const dot = (a, b) => { let sum = 0; for (let k = 0; k < a.length; k++) sum += a[k] * b[k]; return sum; };
const affine = (W, x, b) => Float64Array.from(W, (row, k) => dot(row, x) + b[k]);        // W x + b
const add = (a, b) => a.map((v, k) => v + b[k]);
const chunk = (a, n) => Array.from({length: n}, (_, k) => a.slice(k * a.length / n, (k + 1) * a.length / n));
const sigmoid = a => 1 / (1 + Math.exp(-a));
const relu = a => Math.max(0, a);
const free = (name, values) => values;                                // nothing is held: see hold.js
const zeros = n => new Float64Array(n);

// ---- cells: what was read (x) and the state → the new state, and the gates on the way

// Chapter 3. One state h; the word is added to it before the product.
export function rnnStep({W_h, b_h}, x, {h}, hold = free) {
  h = hold('h', affine(W_h, add(h, x), b_h).map(relu));                        // h' = relu(W_h (h + x) + b_h)
  return {state: {h}, gates: {}};
}

// Chapter 4, the RNN of PyTorch: h' = act(W_x x + b_x + W_h h + b_h).
const plainStep = act => ({W_x, b_x, W_h, b_h}, x, {h}, hold = free) => ({state: {h: hold('h', add(affine(W_x, x, b_x), affine(W_h, h, b_h)).map(act))}, gates: {}});

// Chapter 5. Two states: h speaks, c remembers. W_x and W_h hold the rows of i, f, g, o, in PyTorch's order.
export function lstmStep({W_x, b_x, W_h, b_h}, x, {h, c}, hold = free) {
  const [a_i, a_f, a_g, a_o] = chunk(add(affine(W_x, x, b_x), affine(W_h, h, b_h)), 4);
  const f = hold('f', a_f.map(sigmoid));                              // f = σ(W_f [h, x] + b_f)    what stays
  const i = hold('i', a_i.map(sigmoid));                              // i = σ(W_i [h, x] + b_i)    what is let in
  const g = hold('g', a_g.map(Math.tanh));                            // g = tanh(W_g [h, x] + b_g) what is new
  const o = hold('o', a_o.map(sigmoid));                              // o = σ(W_o [h, x] + b_o)    what is said
  c = hold('c', c.map((c_k, k) => f[k] * c_k + i[k] * g[k]));         // c' = f⊙c + i⊙g
  h = hold('h', c.map((c_k, k) => o[k] * Math.tanh(c_k)));            // h' = o⊙tanh(c')
  return {state: {h, c}, gates: {f, i, g, o}};
}

// Chapter 6, the GRU of PyTorch, which the ladder trains: r comes after the product with h, and z is the share of the *old* state.
// (In the chapter's own equations, r comes before the product and z is the share of the new.)
export function gruStep({W_x, b_x, W_h, b_h}, x, {h}, hold = free) {
  const [x_r, x_z, x_n] = chunk(affine(W_x, x, b_x), 3);
  const [h_r, h_z, h_n] = chunk(affine(W_h, h, b_h), 3);
  const r = hold('r', add(x_r, h_r).map(sigmoid));                    // r = σ(W_xr x + b_xr + W_hr h + b_hr)
  const z = hold('z', add(x_z, h_z).map(sigmoid));                    // z = σ(W_xz x + b_xz + W_hz h + b_hz)
  const n = hold('n', x_n.map((a, k) => Math.tanh(a + r[k] * h_n[k])));// n = tanh(W_xn x + b_xn + r⊙(W_hn h + b_hn))
  h = hold('h', h.map((h_k, k) => (1 - z[k]) * n[k] + z[k] * h_k));   // h' = (1−z)⊙n + z⊙h
  return {state: {h}, gates: {r, z, n}};
}

export const CELLS = {
  rnn: {step: rnnStep, states: ['h']},
  tanh: {step: plainStep(Math.tanh), states: ['h']},
  relu: {step: plainStep(relu), states: ['h']},
  lstm: {step: lstmStep, states: ['h', 'c']},
  gru: {step: gruStep, states: ['h']},
};

// ---- the whole model: embedding → layers of cells → decoder

// A state of zeros for every layer: nothing was read.
export const startState = model => model.layers.map(({b_h}) =>
  Object.fromEntries(CELLS[model.cell].states.map(name => [name, zeros(model.n_hidden)])));

// Read one word: the new state of every layer, and every layer's gates.
export function readWord(model, states, id) {
  let x = model.embedding[id];                                        // the word, as a vector
  return model.layers.map((layer, l) => {
    const out = CELLS[model.cell].step(layer, x, states[l], model.holds?.[l]);
    x = out.state.h;                                                  // what the next layer reads
    return out;
  });
}

// The logits, a score for each word that may follow. Where weights are tied, the decoder's rows are the embedding's (chapter 9).
export const scoresOf = (model, states) => affine(model.decoder, states.at(-1).h, model.bias); // W_o h + b_o

// ---- from scores to a word

export function softmax(scores) {
  const top = scores[argmax(scores)], e = scores.map(s => Math.exp(s - top)), sum = e.reduce((a, b) => a + b);
  return e.map(v => v / sum);                                         // p_k = exp(s_k) / Σ exp(s_j)
}

// The continuous cache (chapter 10; Grave et al., 2017): `memory` holds the states so far and the words that came after them.
export function cacheProbs(n_words, h, memory, theta) {
  const found = zeros(n_words);
  if (!memory.length) return found;                                   // nothing to remember yet
  softmax(memory.map(m => theta * dot(h, m.h))).forEach((w, k) => { found[memory[k].word] += w; }); // Σ_i softmax(θ h·h_i) [word i]
  return found;
}

// p = (1−λ) p_model + λ p_cache. With an empty memory the model speaks alone, so that the shares add up to 1.
export const mix = (model, cache, lam) => cache.some(p => p > 0) ? model.map((p, k) => (1 - lam) * p + lam * cache[k]) : model;

// Temperature: p^(1/T), which is the softmax of scores divided by T. At 0 all goes to the likeliest word.
export function temper(probs, T) {
  if (T === 0) return probs.map((_, k) => k === argmax(probs) ? 1 : 0);
  return softmax(probs.map(p => Math.log(p) / T));
}

export const argmax = a => a.reduce((best, v, k) => v > a[best] ? k : best, 0);

export function draw(probs, random = Math.random) {                   // a word, by its probability
  let left = random();
  for (let k = 0; k < probs.length; k++) if ((left -= probs[k]) < 0) return k;
  return argmax(probs);                                               // rounding: the shares came to a little less than 1
}

// ---- a reader: reads, remembers each step, and can go back

export class Reader {
  constructor(model) { this.model = model; this.clear(); }
  clear() { this.steps = []; this.cuts = []; }                        // a step a word; a cut where all was forgotten
  get start() { return this.cuts.at(-1) ?? 0; }                       // the first word that it still knows of
  get states() { return this.steps.length > this.start ? this.steps.at(-1).layers.map(l => l.state) : startState(this.model); }
  read(id) { this.steps.push({id, layers: readWord(this.model, this.states, id)}); }
  forget() { if (this.start < this.steps.length) this.cuts.push(this.steps.length); } // the text stays; states and cache are empty
  back() {                                                            // undo the last word, or the last forgetting
    if (this.cuts.at(-1) === this.steps.length && this.cuts.length) this.cuts.pop();
    else this.steps.pop();
  }
  get memory() {                                                      // each state, and the word that came after it
    const known = this.steps.slice(this.start);
    return known.slice(0, -1).map((s, k) => ({h: s.layers.at(-1).state.h, word: known[k + 1].id}));
  }
  predict({cache = null} = {}) {                                      // cache: {theta, lam}, or null
    const states = this.states, scores = scoresOf(this.model, states), fromModel = softmax(scores);
    const fromCache = cache ? cacheProbs(scores.length, states.at(-1).h, this.memory, cache.theta) : zeros(scores.length);
    return {scores, fromModel, fromCache, probs: cache ? mix(fromModel, fromCache, cache.lam) : fromModel};
  }
}

// ---- weights

// IEEE half precision: a sign, 5 bits of exponent, 10 of fraction.
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction / 1024 * 2 ** -14);
}

// {shape, data}: little-endian half precision in base64, or single where dtype says so → a vector, or the rows of a matrix.
export function unpack({shape, data, dtype = 'float16'}) {
  const text = atob(data), bytes = new DataView(new ArrayBuffer(text.length)), cols = shape.at(-1), single = dtype === 'float32';
  for (let k = 0; k < text.length; k++) bytes.setUint8(k, text.charCodeAt(k));
  const flat = new Float64Array(text.length / (single ? 4 : 2));
  for (let k = 0; k < flat.length; k++) flat[k] = single ? bytes.getFloat32(4 * k, true) : half(bytes.getUint16(2 * k, true));
  return shape.length === 1 ? flat : Array.from({length: shape[0]}, (_, k) => flat.subarray(k * cols, (k + 1) * cols));
}

// An entry of models.json → a model. Names of weights are PyTorch's.
export function makeModel({cell, weights}) {
  const w = name => unpack(weights[name]), layers = [];
  if (cell === 'rnn') layers.push({W_h: w('h_h.weight'), b_h: w('h_h.bias')});
  else for (let l = 0; `rnn.weight_ih_l${l}` in weights; l++) {
    layers.push({W_x: w(`rnn.weight_ih_l${l}`), b_x: w(`rnn.bias_ih_l${l}`), W_h: w(`rnn.weight_hh_l${l}`), b_h: w(`rnn.bias_hh_l${l}`)});
  }
  const embedding = w('i_h.weight');                                  // tied: no decoder of its own is stored
  const decoder = 'h_o.weight' in weights ? w('h_o.weight') : embedding;
  return {cell, layers, embedding, decoder, bias: w('h_o.bias'), n_hidden: layers[0].W_h[0].length};
}

// ---- counting, as in chapter 10

const ONES = ('one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen ' +
  'sixteen seventeen eighteen nineteen').split(' ');
const TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');

export function numberWords(n) {                                      // 8042 → ['eight', 'thousand', 'forty', 'two']
  if (n < 20) return [ONES[n - 1]];
  const [head, rest] = n < 100 ? [[TENS[Math.floor(n / 10) - 2]], n % 10] :
    n < 1000 ? [[ONES[Math.floor(n / 100) - 1], 'hundred'], n % 100] : [[ONES[Math.floor(n / 1000) - 1], 'thousand'], n % 1000];
  return rest ? [...head, ...numberWords(rest)] : head;
}

// The `n_before` numbers up to `start`, each closed by a dot. The course's text leaves out 8000.
export function countingPrompt(start, n_before) {
  const words = [];
  for (let n = Math.max(1, start - n_before + 1); n <= start; n++) if (n !== 8000) words.push(...numberWords(n), '.');
  return words;
}

// The number that `words` say, if it is one that may follow `n`; else null.
export function follows(n, words) {
  const said = words.join(' ');
  return [n + 1, ...(n === 7999 ? [8001] : [])].find(m => m <= 9999 && numberWords(m).join(' ') === said) ?? null;
}
