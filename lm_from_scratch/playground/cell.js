// Chapter 5 in the page: the forward and the backward pass of RNN, LSTM and GRU, equation beside line, and of the model around them.
// A matrix is one typed array, row after row. A sequence of `steps` words in each of `rows` rows is stored step by step: all rows
// of step 0, then all rows of step 1. Weights have PyTorch's names and order, and so do the gradients.

const sigmoid = a => 1 / (1 + Math.exp(-a));
const zeros = n => new Float64Array(n);

// ---- matrices

// A Bᵀ: the dot product of each of n rows of A with each of m rows of B, k numbers long.
// Four rows of B at a time: a processor adds up four sums as fast as one.
export function product(A, B, n, m, k, out = zeros(n * m)) {
  for (let i = 0; i < n; i++) {
    const a = i * k;
    let j = 0;
    for (; j + 3 < m; j += 4) {
      const b0 = j * k, b1 = b0 + k, b2 = b1 + k, b3 = b2 + k;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let l = 0; l < k; l++) {
        const v = A[a + l];
        s0 += v * B[b0 + l]; s1 += v * B[b1 + l]; s2 += v * B[b2 + l]; s3 += v * B[b3 + l];
      }
      const at = i * m + j;
      out[at] = s0; out[at + 1] = s1; out[at + 2] = s2; out[at + 3] = s3;
    }
    for (; j < m; j++) {
      let s = 0;
      for (let l = 0; l < k; l++) s += A[a + l] * B[j * k + l];
      out[i * m + j] = s;
    }
  }
  return out;
}

export function transposed(A, n, m) {                                 // (n, m) → (m, n)
  const out = zeros(n * m);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) out[j * n + i] = A[i * m + j];
  return out;
}

function affine(A, W, b, n, m, k) {                                   // W x + b, for each of the n rows x of A
  const out = product(A, W, n, m, k);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) out[i * m + j] += b[j];
  return out;
}

// What a layer `a = W x + b` passes back to its weights: dW = daᵀ x and db = Σ da, over all n rows. Both are added to what is there.
function addGradients(dW, db, da, x, n, m, k) {
  const found = product(transposed(da, n, m), transposed(x, n, k), m, k, n);
  for (let j = 0; j < m * k; j++) dW[j] += found[j];
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) db[j] += da[i * m + j];
}

// ---- cells: one step for all rows. `ax` is W_ih x + b_ih and `ah` is W_hh h + b_hh, for all gates one beside the other.
// forward fills the new states and keeps the gates; backward turns the gradient of the new h into those of ax and ah, and leaves
// in dh what reaches the old h past the weights. `p` is the place of a unit among the states, `q` that of its first gate.

const RNN = {                                                         // chapter 4
  gates: ['h'], states: ['h'],
  forward({ax, ah, h}, p, q) {
    h[p] = Math.tanh(ax[q] + ah[q]);                                  // h' = tanh(W_ih x + b_ih + W_hh h + b_hh)
  },
  backward({dax, dah, h, dh}, p, q, u) {
    dax[q] = dah[q] = dh[u] * (1 - h[p] * h[p]);                      // tanh' = 1 − tanh²
    dh[u] = 0;
  },
};

const RELU = {                                                        // chapter 3, where W_ih and W_hh are one matrix
  gates: ['h'], states: ['h'],
  forward({ax, ah, h}, p, q) {
    h[p] = Math.max(0, ax[q] + ah[q]);                                // h' = relu(W_ih x + b_ih + W_hh h + b_hh)
  },
  backward({dax, dah, h, dh}, p, q, u) {
    dax[q] = dah[q] = h[p] > 0 ? dh[u] : 0;
    dh[u] = 0;
  },
};

const LSTM = {                                                        // chapter 5; gates in PyTorch's order: i, f, g, o
  gates: ['i', 'f', 'g', 'o'], states: ['h', 'c'],
  forward({ax, ah, gates, h, c, c_old, n}, p, q, u) {
    const i = sigmoid(ax[q] + ah[q]);
    const f = sigmoid(ax[q + n] + ah[q + n]);
    const g = Math.tanh(ax[q + 2 * n] + ah[q + 2 * n]);
    const o = sigmoid(ax[q + 3 * n] + ah[q + 3 * n]);
    gates[q] = i; gates[q + n] = f; gates[q + 2 * n] = g; gates[q + 3 * n] = o;
    c[p] = f * c_old[u] + i * g;                                      // c' = f⊙c + i⊙g
    h[p] = o * Math.tanh(c[p]);                                       // h' = o⊙tanh(c')
  },
  backward({dax, dah, gates, c, c_old, dh, dc, n}, p, q, u) {
    const i = gates[q], f = gates[q + n], g = gates[q + 2 * n], o = gates[q + 3 * n], tanh_c = Math.tanh(c[p]);
    dc[u] += dh[u] * o * (1 - tanh_c * tanh_c);                       // h' = o⊙tanh(c')
    dax[q] = dc[u] * g * i * (1 - i);                                 // c' = f⊙c + i⊙g: to i …
    dax[q + n] = dc[u] * c_old[u] * f * (1 - f);                      // … to f …
    dax[q + 2 * n] = dc[u] * i * (1 - g * g);                         // … and to g
    dax[q + 3 * n] = dh[u] * tanh_c * o * (1 - o);
    dc[u] *= f;                                                       // what is kept passes on; the rest does not
    dh[u] = 0;
    for (let k = q; k < q + 4 * n; k += n) dah[k] = dax[k];           // a = W_ih x + b_ih + W_hh h + b_hh: to both alike
  },
};

const GRU = {                                                         // chapter 6, PyTorch's: z is the share of the old
  gates: ['r', 'z', 'n'], states: ['h'],
  forward({ax, ah, gates, h, h_old, n}, p, q, u) {
    const r = sigmoid(ax[q] + ah[q]);
    const z = sigmoid(ax[q + n] + ah[q + n]);
    const new_ = Math.tanh(ax[q + 2 * n] + r * ah[q + 2 * n]);        // n = tanh(W_in x + b_in + r⊙(W_hn h + b_hn))
    gates[q] = r; gates[q + n] = z; gates[q + 2 * n] = new_;
    h[p] = (1 - z) * new_ + z * h_old[u];                             // h' = (1−z)⊙n + z⊙h
  },
  backward({dax, dah, ah, gates, h_old, dh, n}, p, q, u) {
    const r = gates[q], z = gates[q + n], new_ = gates[q + 2 * n];
    const da_n = dh[u] * (1 - z) * (1 - new_ * new_);
    dax[q] = dah[q] = da_n * ah[q + 2 * n] * r * (1 - r);
    dax[q + n] = dah[q + n] = dh[u] * (h_old[u] - new_) * z * (1 - z);
    dax[q + 2 * n] = da_n;
    dah[q + 2 * n] = da_n * r;
    dh[u] *= z;
  },
};

export const CELLS = {rnn: RNN, relu: RELU, lstm: LSTM, gru: GRU};

// ---- a layer of cells over a sequence

// What the cell sees at step t: parts of arrays that hold all steps. h and c begin with the state before the first word.
function atStep(kept, t) {
  const {n, rows, G} = kept, size = rows * n, part = (a, k, s) => a?.subarray(k * s, (k + 1) * s);
  return {n, ah: part(kept.ah, t, size * G), ax: part(kept.ax, t, size * G), gates: part(kept.gates, t, size * G),
    dax: part(kept.dax, t, size * G), dah: part(kept.dah, t, size * G),
    h_old: part(kept.h, t, size), h: part(kept.h, t + 1, size), c_old: part(kept.c, t, size), c: part(kept.c, t + 1, size)};
}

function eachUnit(kept, what) {
  const {n, rows, G} = kept;
  for (let r = 0; r < rows; r++) for (let k = 0; k < n; k++) what(r * n + k, r * n * G + k, r * n + k);
}

// One layer reads x, (steps · rows, n_in): all that happens in it, for the backward pass and for whoever wants to look.
export function layerForward(cell, {W_ih, W_hh, b_ih, b_hh}, x, state, {steps, rows, n, n_in}) {
  const {gates, states, forward} = CELLS[cell], G = gates.length, size = rows * n;
  const kept = {n, rows, steps, n_in, G, x, ah: zeros(steps * size * G), gates: zeros(steps * size * G)};
  for (const name of states) { kept[name] = zeros((steps + 1) * size); kept[name].set(state[name]); }
  kept.ax = affine(x, W_ih, b_ih, steps * rows, n * G, n_in);         // all words at once: they do not wait for one another
  for (let t = 0; t < steps; t++) {
    const now = atStep(kept, t);
    now.ah.set(affine(now.h_old, W_hh, b_hh, rows, n * G, n));
    eachUnit(kept, (p, q, u) => forward(now, p, q, u));
  }
  return kept;
}

// From the last step to the first: dy, the gradient of all outputs, becomes that of the weights (added to `into`) and of x.
export function layerBackward(cell, {W_ih, W_hh}, kept, dy, into) {
  const {n, rows, steps, n_in, G, x} = kept, size = rows * n, {backward} = CELLS[cell];
  kept.dax = zeros(steps * size * G); kept.dah = zeros(steps * size * G);
  const dh = zeros(size), dc = zeros(size), W_hhT = transposed(W_hh, n * G, n);
  for (let t = steps - 1; t >= 0; t--) {
    for (let u = 0; u < size; u++) dh[u] += dy[t * size + u];         // from above, and from the step after
    const now = Object.assign(atStep(kept, t), {dh, dc});
    eachUnit(kept, (p, q, u) => backward(now, p, q, u));
    const past = product(now.dah, W_hhT, rows, n, n * G);             // a = … + W_hh h: through the weights
    for (let u = 0; u < size; u++) dh[u] += past[u];
  }
  addGradients(into.W_ih, into.b_ih, kept.dax, x, steps * rows, n * G, n_in);
  addGradients(into.W_hh, into.b_hh, kept.dah, kept.h.subarray(0, steps * size), steps * rows, n * G, n);
  return product(kept.dax, transposed(W_ih, n * G, n_in), steps * rows, n_in, n * G);
}

// ---- the model: embedding → layers → decoder, and the loss

// The shapes of all parameters, by PyTorch's names; the last one, the bias of the decoder, does not decay (as in chapter 21's loop).
export function shapesOf({cell, n_words, n_hidden: n, n_layers, n_emb = n}) {
  const shapes = {'i_h.weight': [n_words, n_emb]}, G = CELLS[cell].gates.length;
  for (let l = 0; l < n_layers; l++) Object.assign(shapes, {[`rnn.weight_ih_l${l}`]: [G * n, l ? n : n_emb], [`rnn.weight_hh_l${l}`]: [G * n, n],
    [`rnn.bias_ih_l${l}`]: [G * n], [`rnn.bias_hh_l${l}`]: [G * n]});
  return Object.assign(shapes, {'h_o.weight': [n_words, n], 'h_o.bias': [n_words]});
}

// All parameters are parts of one long vector: an optimizer changes them at once.
export function parametersOf(sizes) {
  const shapes = shapesOf(sizes), count = s => s.reduce((a, b) => a * b);
  const all = zeros(Object.values(shapes).map(count).reduce((a, b) => a + b)), named = {};
  let at = 0;
  for (const [name, shape] of Object.entries(shapes)) named[name] = all.subarray(at, at += count(shape));
  const layers = Array.from({length: sizes.n_layers}, (_, l) => Object.fromEntries(
    Object.entries({W_ih: 'weight_ih', W_hh: 'weight_hh', b_ih: 'bias_ih', b_hh: 'bias_hh'}).map(([k, v]) => [k, named[`rnn.${v}_l${l}`]])));
  return {all, named, shapes, layers, embedding: named['i_h.weight'], decoder: named['h_o.weight'], bias: named['h_o.bias']};
}

export const emptyState = ({cell, n_hidden, n_layers}, rows) => Array.from({length: n_layers}, () =>
  Object.fromEntries(CELLS[cell].states.map(name => [name, zeros(rows * n_hidden)])));

function embed({n_hidden, n_emb = n_hidden}, {embedding}, ids) {       // the rows of the embedding: the words, as vectors
  const x = zeros(ids.length * n_emb);
  ids.forEach((id, k) => x.set(embedding.subarray(id * n_emb, (id + 1) * n_emb), k * n_emb));
  return x;
}

// Read `ids`, step by step: the scores of the next word at each place, and all that was kept on the way.
export function modelForward(sizes, params, ids, state, rows, x = embed(sizes, params, ids)) {
  const n = sizes.n_hidden, steps = ids.length / rows;
  const layers = params.layers.map((W, l) => {
    const kept = layerForward(sizes.cell, W, x, state[l], {steps, rows, n, n_in: x.length / ids.length});
    x = kept.h.subarray(rows * n);                                    // its output is what the next layer reads
    return kept;
  });
  const scores = affine(x, params.decoder, params.bias, ids.length, sizes.n_words, n);
  const last = layers.map(kept => Object.fromEntries(CELLS[sizes.cell].states.map(name => [name, kept[name].slice(steps * rows * n)])));
  return {ids, rows, layers, out: x, scores, state: last};
}

// Cross-entropy −ln p(target), the mean over all places; its gradient (p − 1 at the target, p elsewhere) takes the place of the scores.
export function crossEntropy(scores, targets, n_words) {
  let loss = 0, right = 0;
  for (let k = 0; k < targets.length; k++) {
    const s = scores.subarray(k * n_words, (k + 1) * n_words);
    let best = 0, sum = 0;
    for (let j = 1; j < n_words; j++) if (s[j] > s[best]) best = j;
    const top = s[best];
    for (let j = 0; j < n_words; j++) sum += Math.exp(s[j] - top);
    loss += Math.log(sum) + top - s[targets[k]];
    right += best === targets[k];
    for (let j = 0; j < n_words; j++) s[j] = Math.exp(s[j] - top) / sum / targets.length;
    s[targets[k]] -= 1 / targets.length;
  }
  return {loss: loss / targets.length, right};
}

// The gradients of all parameters, added to `grads`, and those of the words as they were embedded, which are returned.
export function modelBackward(sizes, params, read, dscores, grads) {
  const n = sizes.n_hidden, {n_emb = n} = sizes, {ids} = read;
  addGradients(grads.decoder, grads.bias, dscores, read.out, ids.length, sizes.n_words, n);
  let dx = product(dscores, transposed(params.decoder, sizes.n_words, n), ids.length, n, sizes.n_words);
  for (let l = sizes.n_layers - 1; l >= 0; l--) dx = layerBackward(sizes.cell, params.layers[l], read.layers[l], dx, grads.layers[l]);
  ids.forEach((id, k) => { for (let j = 0; j < n_emb; j++) grads.embedding[id * n_emb + j] += dx[k * n_emb + j]; });
  return dx;
}
