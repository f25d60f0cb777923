// Why this word? What each word that was read contributed to the guess of one word, by two measures; both in nats of ln p(word).
//   gradient × input:  Σ_j ∂ ln p / ∂x_tj · x_tj    how ln p would change if the word x_t were turned up a little
//   occlusion:         ln p − ln p without x_t       how much is lost if its vector is replaced by zeros
// Python has the same two in `inspection`: gradient_times_input and occlusion.
import {emptyState, modelBackward, modelForward, parametersOf} from './cell.js';

const flat = rows => Float64Array.from(rows.flatMap?.(row => Array.from(row)) ?? rows);

// A model of model.js as cell.js wants it.
function opened(model) {
  const cell = {rnn: 'relu', relu: 'relu', tanh: 'rnn'}[model.cell] ?? model.cell;
  const sizes = {cell, n_words: model.bias.length, n_hidden: model.n_hidden, n_layers: model.layers.length, n_emb: model.embedding[0].length};
  const layers = model.layers.map(({W_x, b_x, W_h, b_h}) => ({W_ih: flat(W_x ?? W_h), b_ih: b_x ?? new Float64Array(b_h.length), W_hh: flat(W_h), b_hh: b_h}));
  return {sizes, params: {embedding: flat(model.embedding), layers, decoder: flat(model.decoder), bias: model.bias}};
}

const logp = (scores, word) => {
  const top = scores.reduce((a, b) => Math.max(a, b));
  return scores[word] - top - Math.log(scores.reduce((sum, s) => sum + Math.exp(s - top), 0));
};

// For each of `ids`: its share in ln p(word), to first order.
export function gradientTimesInput(model, ids, word) {
  const {sizes, params} = opened(model), {n_words, n_emb} = sizes;
  const read = modelForward(sizes, params, Int32Array.from(ids), emptyState(sizes, 1), 1);
  const x = read.layers[0].x, last = read.scores.subarray(-n_words), p = last.map(s => Math.exp(s - last[word] + logp(last, word)));
  read.scores.fill(0);
  p.forEach((v, k) => { last[k] = (k === word) - v; });               // ∂ ln p(word) / ∂ scores
  const dx = modelBackward(sizes, params, read, read.scores, parametersOf(sizes));
  return ids.map((_, t) => {
    let sum = 0;
    for (let j = t * n_emb; j < (t + 1) * n_emb; j++) sum += dx[j] * x[j];
    return sum;
  });
}

// For each of the `last` ones of `ids`: what ln p(word) loses without it. The words before it are read once, those after it again.
export function occlusion(model, ids, word, last = ids.length) {
  const {sizes, params} = opened(model), {n_words, n_emb} = sizes, lost = [];
  const read = (some, state, x) => modelForward(sizes, params, Int32Array.from(some), state, 1, x);
  const guess = found => logp(found.scores.subarray(-n_words), word), whole = guess(read(ids, emptyState(sizes, 1)));
  let state = emptyState(sizes, 1);
  ids.forEach((id, k) => {
    if (k < ids.length - last) lost.push(0);
    else {
      const rest = ids.slice(k), x = read(rest, state).layers[0].x;
      lost.push(whole - guess(read(rest, state, x.fill(0, 0, n_emb))));
    }
    state = read([id], state).state;
  });
  return lost;
}

// The largest shares, in words.
export function inWords(shares, words, guess, by) {
  const order = shares.map((_, k) => k).sort((a, b) => Math.abs(shares[b]) - Math.abs(shares[a]));
  const sign = v => (v < 0 ? '−' : '+') + Math.abs(v).toFixed(2), say = k => `“${words[k]}” (${place(words.length - 1 - k)}) ${sign(shares[k])}`;
  const plus = order.filter(k => shares[k] > 0.005).slice(0, 3), minus = order.filter(k => shares[k] < -0.005).slice(0, 2);
  return `Why “${guess}”, by ${by}: ` + (plus.length ? `for it speak ${plus.map(say).join(', ')}` : 'nothing speaks for it') +
    (minus.length ? `; against it ${minus.map(say).join(', ')}` : '') + '.';
}
const place = k => k === 0 ? 'the last' : `${k} before`;
