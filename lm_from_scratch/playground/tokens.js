// Tokens of any model: how a typed text is cut into them, and how they are shown. What chapter 12 does in Python.

const UNITS = {words: 'word', punctuation: 'word', chars: 'character', bpe: 'token'};
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}²³¹¼½¾', W = `[${WORD}]`, SPACE = '\\p{White_Space}';              // \w and \s of the tokenizers
const MARKS = new RegExp(`<${W}+>|\\p{Nd}+(?:[.,]\\p{Nd}+)+|${W}+(?:[-'’]${W}+)*|[^${WORD}${SPACE}]`, 'gu');
const PIECES = new RegExp(`'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|${SPACE}+(?!\\P{White_Space})|${SPACE}+`, 'gu');

// Byte pairs write each byte as a character that can be seen: what is visible stands for itself, all else comes after 255.
const LETTERS = [], BYTES = new Map();
for (let b = 0, other = 256; b < 256; b++) {
  const seen = b > 32 && b < 127 || b > 160 && b !== 173;
  BYTES.set(LETTERS[b] = String.fromCodePoint(seen ? b : other++), b);
}

// ' ' → ␣: what one cannot see gets a sign, or its number.
export function visible(text) {
  const sign = {' ': '␣', '\n': '⏎', '\t': '⇥'};
  const one = c => sign[c] ?? (/[\p{C}\p{Z}]/u.test(c) ? `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}` : c);
  return (/^\p{M}/u.test(text) ? '◌' : '') + [...text].map(one).join('');                            // an accent alone sits on a ring
}

export class Tokens {
  constructor({vocab, tokens = {}}) {
    const {kind = 'words', unk = null, eos = null, merges = []} = tokens;
    Object.assign(this, {vocab, kind, unk, eos, unit: UNITS[kind], ids: new Map(vocab.map((w, k) => [w, k]))});
    this.ranks = new Map(merges.map((pair, k) => [pair.join(' '), k]));
    this.spaced = kind === 'words' || kind === 'punctuation';                                         // stand apart, and hold no blank
    const newline = {chars: '\n', bpe: LETTERS[10]}[kind] ?? eos;
    this.newline = this.ids.has(newline) ? newline : null;
  }

  // A text → {tokens, unknown}: a token that the model does not know becomes its <unk>, or stays to be told.
  cut(text) {
    if (this.eos !== null) text = text.replace(/\r\n|\r|\n/g, ` ${this.eos} `);
    const found = this.kind === 'words' ? text.split(/\p{White_Space}+/u).filter(Boolean) : this.kind === 'punctuation' ? text.match(MARKS) ?? [] :
      this.kind === 'chars' ? [...text] : (text.match(PIECES) ?? []).flatMap(piece => this.pairs(piece));
    const unknown = found.filter(w => !this.ids.has(w));
    return {unknown, tokens: this.unk === null ? found : found.map(w => this.ids.has(w) ? w : this.unk)};
  }

  // Byte pairs: join the pair that was learned first, again and again.
  pairs(piece) {
    const parts = Array.from(new TextEncoder().encode(piece), b => LETTERS[b]);
    for (;;) {
      let best = Infinity, at = -1;
      for (let k = 0; k + 1 < parts.length; k++) {
        const rank = this.ranks.get(`${parts[k]} ${parts[k + 1]}`) ?? Infinity;
        if (rank < best) { best = rank; at = k; }
      }
      if (at < 0) return parts;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }

  // A token, as one can see it.
  show(token) {
    if (this.kind === 'chars') return visible(token);
    if (this.kind !== 'bpe' || [...token].some(c => !BYTES.has(c))) return token;
    try { return visible(this.bytes([token], true)); }
    catch { return Array.from(token, c => `‹${BYTES.get(c).toString(16).toUpperCase().padStart(2, '0')}›`).join(''); }  // part of a character
  }
  bytes(tokens, fatal) { return new TextDecoder('utf-8', {fatal, ignoreBOM: true}).decode(Uint8Array.from(tokens.join(''), c => BYTES.get(c))); }

  // The last few tokens as a text, for a sentence.
  tail(tokens, n = 6) {
    return this.spaced ? tokens.slice(-n).join(' ') : visible(this.kind === 'bpe' ? this.bytes(tokens.slice(-n), false) : tokens.slice(-4 * n).join(''));
  }

  // Up to `n` tokens that hold what was typed, those that begin with it first; and how many there are in all.
  find(typed, n) {
    const want = typed.toLowerCase(), names = this.names ??= this.vocab.map(w => this.show(w).toLowerCase()), first = [], later = [];
    names.forEach((name, k) => { const at = name.indexOf(want); if (at >= 0) (at ? later : first).push(k); });
    return {of: first.length + later.length, tokens: [...first, ...later].slice(0, n).map(k => this.vocab[k])};
  }
}
