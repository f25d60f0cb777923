// The playground: trained models of the course, run in the page. Renders into <div data-models="…/models.json">, and reads its data-text, if there is one.
import {button, el, field, heading, number, percent, plural, range, section, shown, signed, svg, whole} from './dom.js';
import {Extras} from './extras.js';
import {Reader, argmax, countingPrompt, draw, follows, makeModel, numberWords, temper} from './model.js';
import {Tokens, visible} from './tokens.js';

const TOP = 10;                                                       // bars shown when sorted
const FEW = 100;                                                      // so many words can be buttons and bars; more are looked for
const UNITS = 200;                                                    // columns of a strip; of more units the first are drawn
const ABOUT = {                                                       // what a strip is called; the order in which strips are shown
  lstm: {f: 'forget gate f', i: 'input gate i', g: 'candidate g', o: 'output gate o', c: 'cell state c', h: 'hidden state h'},
  gru: {r: 'reset gate r', z: 'update gate z', n: 'candidate n', h: 'hidden state h'},
  rnn: {h: 'hidden state h'},
};
for (const cell of ['tanh', 'relu']) ABOUT[cell] = ABOUT.rnn;
const SHARES = 'fiorz';                                               // sigmoids: between 0 and 1; all else may be negative

// ---- strips: a column a unit. Height and colour tell the value, and so does the line of text.

class Strip {
  constructor(name, title, n) {
    Object.assign(this, {name, title, isShare: SHARES.includes(name)});
    this.svg = svg('svg', {viewBox: `0 0 ${n} 2`, preserveAspectRatio: 'none', role: 'img', class: 'lmp-strip'});
    this.columns = Array.from({length: n}, (_, k) => this.svg.appendChild(svg('rect', {x: k + 0.08, width: 0.84, y: 1, height: 0})));
    if (!this.isShare) this.svg.append(svg('line', {x1: 0, x2: n, y1: 1, y2: 1}));     // the line of zero
    this.text = el('span', {className: 'lmp-numbers'});
    this.node = el('div', {className: 'lmp-row'}, el('span', {className: 'lmp-name'}, title), this.text, this.svg);
  }
  show(values, scale, where) {                                        // scale: the value of a full column
    const list = values ? Array.from(values) : [];
    this.columns.forEach((column, k) => {
      const share = Math.min(1, Math.abs(list[k] ?? 0) / scale), height = this.isShare ? 2 * share : share;
      column.setAttribute('height', height.toFixed(3));
      column.setAttribute('y', (this.isShare ? 2 - height : list[k] > 0 ? 1 - height : 1).toFixed(3));
      column.setAttribute('class', list[k] < 0 ? 'lmp-minus' : 'lmp-plus');
      column.style.opacity = 0.45 + 0.55 * share;
    });
    const mean = list.reduce((a, b) => a + b, 0) / list.length, count = f => list.filter(f).length;
    this.text.textContent = !values ? 'no word read yet' : this.isShare ?
      `mean ${mean.toFixed(2)}; ${count(v => v > 0.9)} open, ${count(v => v < 0.1)} shut` :
      `${signed(Math.min(...list))} to ${signed(Math.max(...list))}; ${count(v => v > 0)} positive; full: ±${scale}`;
    this.svg.setAttribute('aria-label', `${where}, ${this.title}, ${plural(list.length, 'unit')}: ${this.text.textContent}`);
  }
}

function legend() {                                                   // five columns of known value, drawn as the strips are
  const scale = (name, values) => {
    const strip = new Strip(name, '', values.length);
    strip.show(values, 1, 'Legend');
    strip.svg.setAttribute('aria-hidden', 'true');                    // the numbers below say it
    return el('div', {className: 'lmp-scale'}, strip.svg, el('div', {}, ...values.map(v => el('span', {}, String(v).replace('-', '−')))));
  };
  return el('div', {className: 'lmp-legend'},
    el('div', {}, scale('f', [0, 0.25, 0.5, 0.75, 1]),
      el('p', {}, 'Gates: an empty column is a shut gate, a full column an open one. (“Open” counts values above 0.9, “shut” below 0.1.)')),
    el('div', {}, scale('h', [-1, -0.5, 0, 0.5, 1]),
      el('p', {}, 'Candidates and states: up is positive, down is negative. The value of a full column stands beside each strip.')));
}

// ---- the playground

class Playground {
  constructor(root, data) {
    Object.assign(this, {root, data, models: {}, tokens: new Tokens(data), few: data.vocab.length <= FEW});
    Object.assign(this, {ids: this.tokens.ids, unit: this.tokens.unit, all: `All ${plural(data.vocab.length, this.tokens.unit)}`});
    this.words = [];                                                  // {word, by: 'you' or 'model', wrong}
    this.count = null;                                                // counting on: {last, said, right}
    this.timer = null;
    this.calm = matchMedia('(prefers-reduced-motion: reduce)');
    root.playground = this;
    this.build();
    this.pick(Object.keys(data.models).at(-1));
    this.calm.addEventListener('change', () => { if (this.calm.matches) this.pause(); this.showMotion(); });
    root.addEventListener('keydown', e => { if (e.key === 'Escape' && this.timer) { this.pause(); this.show(); } });
  }

  // -- what is on the page

  build() {
    const {data} = this, again = () => this.show();
    const title = m => m.title ?? `${m.recipe.title} (${m.accuracy.toFixed(3)})`;
    this.picker = el('select', {id: 'lmp-model', onchange: () => this.pick(this.picker.value)},
      ...Object.entries(data.models).map(([name, m]) => el('option', {value: name}, title(m))));
    this.facts = el('p', {className: 'lmp-note'});
    this.cacheBox = el('input', {type: 'checkbox', id: 'lmp-cache', onchange: again});
    this.theta = range('lmp-theta', 0, 10, 0.1, 1, again); this.lam = range('lmp-lam', 0, 1, 0.05, 0.3, again);
    this.thetaOut = el('output', {for: 'lmp-theta'}); this.lamOut = el('output', {for: 'lmp-lam'});

    this.chips = el('ol', {className: 'lmp-chips', 'aria-label': 'The text so far'});
    this.empty = el('p', {className: 'lmp-note'}, `Nothing yet: type some ${this.unit}s, or press them in “${this.all}”.`);
    this.input = el('input', {type: 'text', id: 'lmp-word', list: 'lmp-list', autocomplete: 'off', autocapitalize: 'none',
      spellcheck: 'false', 'aria-describedby': 'lmp-refused', oninput: () => this.refuse('')});
    this.refused = el('p', {id: 'lmp-refused', className: 'lmp-refused', role: 'alert'});
    const form = el('form', {className: 'lmp-line', onsubmit: e => { e.preventDefault(); this.typed(); }},
      el('label', {for: 'lmp-word'}, this.tokens.spaced ? 'Type words' : 'Type text'), this.input,
      el('datalist', {id: 'lmp-list'}, ...(this.few && this.tokens.spaced ? data.vocab : []).map(w => el('option', {value: w}))),
      el('button', {type: 'submit'}, 'Add'), ...this.newline());
    const vocab = el('details', {className: 'lmp-vocab'}, el('summary', {}, this.all), ...this.known());
    this.backButton = button('Back', () => this.back());
    this.clearButton = button('Clear', () => this.clear());
    this.forgetButton = button('Forget', () => this.forget(), {'aria-describedby': 'lmp-forgets'});

    this.said = el('p', {className: 'lmp-said', role: 'status', 'aria-live': 'polite'});
    this.order = el('select', {id: 'lmp-order', onchange: again},
      el('option', {value: 'sorted'}, `the ${TOP} likeliest`), ...(this.few ? [el('option', {value: 'fixed'}, 'all, in fixed order')] : []));
    this.bars = el('ol', {className: 'lmp-bars'});
    this.barRows = data.vocab.slice(0, this.few ? FEW : TOP).map(() => {
      const row = Object.fromEntries(['word', 'model', 'cache', 'number'].map(name => [name, el('span', {className: `lmp-${name}`})]));
      row.button = button('', () => this.add(row.token));
      row.button.append(row.word, el('span', {className: 'lmp-track', 'aria-hidden': 'true'}, row.model, row.cache), row.number);
      row.node = this.bars.appendChild(el('li', {}, row.button));
      return row;
    });
    this.caption = el('p', {className: 'lmp-note'});

    this.temperature = range('lmp-temperature', 0, 2, 0.1, data.temperature ?? 0, again); this.temperatureOut = el('output', {for: 'lmp-temperature'});
    this.speed = range('lmp-speed', 1, 20, 1, 4, again); this.speedOut = el('output', {for: 'lmp-speed'});
    this.length = number('lmp-length', 1, 500, this.tokens.kind === 'chars' ? 200 : 40);
    this.stepButton = button('Step', () => { this.pause(); this.write(); this.show(); });
    this.runButton = button('Run', () => this.toggle(), {className: 'lmp-main'});
    this.start = number('lmp-start', 1, 9998, 8042); this.before = number('lmp-before', 1, 10, 2);
    const counting = el('form', {className: 'lmp-line lmp-count', onsubmit: e => { e.preventDefault(); this.countOn(); }},
      field('Count on from', this.start), field('after', this.before, 'numbers'), el('button', {type: 'submit'}, 'Count on'));
    counting.hidden = !this.counts();
    this.motion = el('p', {className: 'lmp-note'});

    this.inside = el('div', {});
    this.extras = new Extras(this);
    this.root.classList.add('lmp');
    this.root.replaceChildren(
      el('div', {className: 'lmp-top'},
        el('div', {className: 'lmp-line'}, field('Model', this.picker),
          el('label', {className: 'lmp-check'}, this.cacheBox, ' with the continuous cache')),
        this.facts,
        this.cacheLine = el('div', {className: 'lmp-line'}, field('θ, how sharply similar states are preferred', this.theta, this.thetaOut),
          field('λ, the share of the cache', this.lam, this.lamOut))),
      section('text',
        el('div', {className: 'lmp-tools'}, heading('text', 'The text'), form,
          el('div', {className: 'lmp-line'}, this.backButton, this.forgetButton, this.clearButton)),
        this.refused,
        el('div', {className: 'lmp-hints'}, vocab, el('p', {className: 'lmp-note', id: 'lmp-forgets'},
          `Press a ${this.unit} of the text to go back to it. Forget keeps the text and sets the model’s state to zero.`)),
        this.empty, this.chips),
      el('section', {className: 'lmp-write', 'aria-label': 'Let it write'},                  // stays in view
        el('div', {className: 'lmp-line lmp-bar'}, this.stepButton, this.runButton, field(`${this.unit}s`, this.length)), counting),
      el('div', {className: 'lmp-columns'},
        section('next', el('div', {className: 'lmp-tools'}, heading('next', `The next ${this.unit}`), field('Show', this.order)),
          this.said, this.bars, this.caption, this.extras.why),
        section('inside', heading('inside', `Inside, after the last ${this.unit}`), this.inside, legend()),
        section('settings', heading('settings', 'How it writes'),
          el('div', {className: 'lmp-line'}, field('Temperature', this.temperature, this.temperatureOut), field('Speed', this.speed, this.speedOut)),
          this.extras.narrowing, this.motion)),
      this.extras.more);
    this.extras.watchBars();
    this.showMotion();
  }

  pick(name) {                                                        // another model reads the same text
    this.pause(); this.name = this.picker.value = name;
    const entry = this.data.models[name], model = this.models[name] ??= makeModel(entry), old = this.reader;
    this.extras.newModel();
    this.reader = new Reader(this.extras.heldModel(model));
    for (let k = 0; k <= this.words.length; k++) {
      if (old?.cuts.includes(k)) this.reader.forget();
      if (k < this.words.length) this.reader.read(this.ids.get(this.words[k].word));
    }
    for (const w of this.words) w.wrong = false;
    this.count = null;
    const {theta, lam} = entry.cache ?? {theta: 1, lam: 0.1};
    this.theta.value = theta; this.lam.value = lam;
    const states = ABOUT[entry.cell];
    this.facts.textContent = entry.facts ?? `${plural(entry.parameters, 'parameter')}, trained with seed ${entry.seed} for ${entry.recipe.n_epochs} epochs. ` +
      `Of held-out words, ${(100 * entry.accuracy).toFixed(1)}% are guessed right (${entry.accuracy.toFixed(3)}), without the cache.`;
    this.strips = model.layers.map((_, l) => Object.entries(states).map(([k, title]) => new Strip(k, title, Math.min(model.n_hidden, UNITS))));
    const task = l => this.strips.length === 1 ? '' : l ? ', which the decoder reads' : `, which reads the ${this.unit}s`;
    const cut = model.n_hidden > UNITS ? `; the first ${UNITS} of its ${model.n_hidden} units are drawn` : '';
    this.inside.replaceChildren(...this.strips.map((strips, l) => el('div', {role: 'group', 'aria-label': `Layer ${l + 1}`},
      el('h4', {}, `Layer ${l + 1}${task(l)}${cut}`), ...strips.map(s => s.node))));
    this.show();
  }

  // -- what hangs on the kind of tokens

  counts() {                                                          // does the model know all the words of numbers?
    return this.tokens.kind === 'words' && [...countingPrompt(1, 1), ...Array.from({length: 99}, (_, k) => numberWords(k + 1)).flat(), 'hundred', 'thousand']
      .every(w => this.ids.has(w));
  }
  newline() {                                                         // no input of one line takes it
    const {newline} = this.tokens;
    return newline === null || !this.data.tokens ? [] : [button('New line', () => this.add(newline))];
  }
  known() {                                                           // the tokens to press; where they are many, those that hold what is typed
    const one = w => button(this.tokens.show(w), () => this.add(w), {'aria-label': w === '.' ? '. (dot)' : this.tokens.show(w)});
    const group = el('div', {role: 'group', 'aria-label': `The ${this.unit}s that the model${Object.keys(this.data.models).length > 1 ? 's know' : ' knows'}`});
    if (this.few) { group.append(...this.data.vocab.map(one)); return [group]; }
    const told = el('p', {className: 'lmp-note', role: 'status'}), typed = el('input', {type: 'text', id: 'lmp-find', autocomplete: 'off',
      autocapitalize: 'none', spellcheck: 'false', oninput: () => look()});
    const look = () => {
      const {of, tokens} = this.tokens.find(typed.value, 40);
      group.replaceChildren(...tokens.map(one));
      told.textContent = of > tokens.length ? `${tokens.length} of ${plural(of, this.unit)}: type more of it to see others.` : plural(of, this.unit);
    };
    look();
    return [field(`Find a ${this.unit}`, typed), group, told];
  }
  typedTokens() {                                                     // as the model's own tokenizer cuts them
    const {tokens, unknown} = this.tokens.cut(this.input.value);
    if (!tokens.length) return this.refuse(`Type something first; “${this.all}” has what the model knows.`);
    const told = unknown.length ? `“${visible(unknown[0])}” is not in “${this.all}”` : '';
    if (told && this.tokens.unk === null) return this.refuse(`${told}; nothing was added.`);
    this.edited();
    for (const w of tokens) this.push(w, 'you');
    this.input.value = '';
    if (told) this.note = `${told}: the model reads ${this.tokens.unk} in its place.`;
    this.show();
  }
  withoutUnknown(probs) {                                                 // <unk> is read, never written
    const unk = this.ids.get(this.tokens.unk), left = 1 - (probs[unk] ?? 0);
    return unk === undefined || !(left > 0) ? probs : probs.map((p, k) => k === unk ? 0 : p / left);
  }
  likeliest(probs, n) {                                               // without sorting ten thousand
    const top = [];
    probs.forEach((p, k) => {
      if (top.length === n && !(p > probs[top[n - 1]])) return;
      let at = top.length;
      while (at && p > probs[top[at - 1]]) at--;
      top.splice(at, 0, k);
      if (top.length > n) top.pop();
    });
    return top;
  }

  // -- what one can do

  add(word) { this.edited(); this.push(word, 'you'); this.show(); }
  typed() {
    if (this.data.tokens) return this.typedTokens();
    const words = this.input.value.toLowerCase().replaceAll('.', ' . ').split(/[\s,;\p{Dash}]+/u).filter(Boolean);   // “forty-one”, “one,two”
    const unknown = words.find(w => !this.ids.has(w)), n = /^\d+$/.test(unknown) ? Number(unknown) : 0;
    if (unknown || !words.length) {
      const all = `“${this.all}”`;
      this.refuse(!words.length ? `Type a word first; ${all} has them.` :
        n >= 1 && n <= 9999 ? `Write numbers in words: not “${unknown}” but “${numberWords(n).join(' ')}”. Nothing was added.` :
          `“${unknown}” is not in ${all}; nothing was added.`);
      return;
    }
    this.edited();
    for (const w of words) this.push(w, 'you');
    this.input.value = '';
    this.show();
  }
  refuse(why) { this.refused.textContent = why; this.input.setAttribute('aria-invalid', String(Boolean(why))); }
  push(word, by) { this.words.push({word, by}); this.reader.read(this.ids.get(word)); }
  edited() { this.pause(); this.count = null; this.refuse(''); this.note = ''; }
  back() {
    this.edited(); this.reader.back(); this.words.length = this.reader.steps.length; this.show();
    if (this.backButton.disabled) this.input.focus();                 // a disabled button would lose the focus
  }
  goTo(n) {                                                           // keep n words
    this.edited();
    while (this.reader.steps.length > n) this.reader.back();
    this.words.length = n; this.show();
    this.chips.querySelector('li:last-of-type button')?.focus();
  }
  restart() { this.edited(); this.words = []; this.reader.clear(); this.input.value = ''; }
  clear() { this.restart(); this.show(); this.input.focus(); }
  forget() {
    this.edited(); this.reader.forget(); this.show();
    if (this.forgetButton.disabled) this.input.focus();
  }

  predict() {
    const found = this.reader.predict({cache: this.cacheBox.checked ? {theta: +this.theta.value, lam: +this.lam.value} : null});
    const T = +this.temperature.value, probs = this.withoutUnknown(found.probs);
    return {...found, probs, T, drawn: T ? this.extras.narrowed(T !== 1 ? temper(probs, T) : probs) : probs};
  }
  write() {                                                           // one word; false: counting came to its end
    const {drawn, T} = this.predict(), word = this.data.vocab[T ? draw(drawn) : argmax(drawn)];
    this.push(word, 'model'); this.note = '';
    return this.judge(word);
  }
  judge(word) {                                                       // is the number that was counted right?
    const count = this.count;
    if (!count) return true;
    if (word !== '.') { count.said.push(word); if (count.said.length < 9) return true; }
    const next = follows(count.last, count.said);
    if (next === null) {
      for (const w of this.words.slice(this.words.length - count.said.length - (word === '.'))) w.wrong = w.word !== '.';
      this.note = `${plural(count.right, 'number')} counted on without a mistake. ` +
        `Then “${count.said.join(' ') || 'a dot'}” came in place of “${numberWords(count.last + 1).join(' ')}”.`;
    } else {
      count.last = next; count.said = []; count.right++;
      if (next < 9999) return true;
      this.note = `${plural(count.right, 'number')} counted on without a mistake, up to 9999.`;
    }
    this.count = null;
    return false;
  }

  toggle() { if (this.timer) { this.pause(); this.show(); } else this.run(); }
  pause() { clearTimeout(this.timer); this.timer = null; if (this.runButton) this.runButton.textContent = 'Run'; }
  run() {
    let left = whole(this.length);
    this.pause(); this.note = '';
    if (this.calm.matches) {                                          // no motion wanted: the end at once
      if (this.count) left = Infinity;                                // counting ends by itself, at a mistake or at 9999
      const before = this.words.length;
      while (left-- > 0 && this.write());
      this.note ||= `${plural(this.words.length - before, this.unit)} written at once.`;
      this.show();
      return;
    }
    const tick = () => {
      const goesOn = this.write() && (this.count || --left > 0);
      if (goesOn) this.timer = setTimeout(tick, 1000 / this.speed.value); else this.pause();
      this.show();
    };
    this.runButton.textContent = 'Pause';
    this.timer = setTimeout(tick, 0);
    this.show();
  }
  countOn() {
    const start = whole(this.start);
    this.restart();
    for (const w of countingPrompt(start, whole(this.before))) this.push(w, 'you');
    this.temperature.value = 0;                                       // counting is greedy
    this.count = {last: start, said: [], right: 0};
    this.run();
    if (this.timer) this.runButton.focus();                           // there it can be paused
  }

  // -- showing it

  show() {
    const found = this.predict();
    this.showText(); this.showBars(found); this.showStrips(); this.extras.show();
    this.cacheLine.hidden = !this.cacheBox.checked;
    this.thetaOut.textContent = (+this.theta.value).toFixed(1); this.lamOut.textContent = (+this.lam.value).toFixed(2);
    this.temperatureOut.textContent = found.T ? found.T.toFixed(1) : '0 (greedy)';
    this.speedOut.textContent = plural(+this.speed.value, this.unit) + ' a second';
    this.temperature.setAttribute('aria-valuetext', this.temperatureOut.textContent);
    this.speed.setAttribute('aria-valuetext', this.speedOut.textContent);
  }
  showMotion() {
    this.motion.textContent = this.calm.matches ? 'Your system asks for reduced motion: Run and Count on go to their end at once.' :
      'Run can be paused at any time: the same button, or Esc.';
    this.speed.disabled = this.calm.matches;
  }

  showText() {
    const {chips, words, reader} = this, cuts = new Set(reader.cuts), {start} = reader;
    const chip = (w, k) => {                                          // what its looks say, its name says too
      const is = [[w.by === 'model', 'by the model', 'lmp-model'], [w.by === 'you', '', 'lmp-you'], [w.wrong, 'wrong', 'lmp-wrong'],
        [k < start, 'forgotten', 'lmp-gone']].filter(([yes]) => yes);
      const seen = this.tokens.show(w.word);
      return button(seen, () => this.goTo(k + 1), {className: is.map(([, , name]) => name).join(' '),
        'aria-label': [seen, `${this.unit} ${k + 1}`, ...is.map(([, said]) => said).filter(Boolean)].join(', ') + ': go back to here'});
    };
    const wanted = words.flatMap((w, k) => [...(cuts.has(k) && k ? ['cut'] : []), k]).concat(cuts.has(words.length) && words.length ? ['cut'] : []);
    while (chips.children.length > wanted.length) chips.lastChild.remove();
    wanted.forEach((k, at) => {
      const w = words[k], key = w ? `${k} ${w.word} ${w.by} ${w.wrong ?? ''} ${k < start}` : 'cut';
      if (chips.children[at]?.dataset.key === key) return;
      const made = el('li', {'data-key': key}, w ? chip(w, k) : el('span', {className: 'lmp-cut'}, 'forgot all before'));
      if (chips.children[at]) chips.children[at].replaceWith(made); else chips.append(made);
    });
    chips.scrollTop = chips.scrollHeight;
    this.empty.hidden = Boolean(words.length); chips.hidden = !words.length;
    this.backButton.disabled = this.clearButton.disabled = !words.length;
    this.forgetButton.disabled = start === words.length;
  }

  showBars({probs, drawn, fromModel, fromCache, T}) {
    const {vocab} = this.data, sorted = this.order.value === 'sorted', parts = this.cacheBox.checked && drawn === probs;
    const best = this.likeliest(drawn, TOP), order = sorted ? best : vocab.map((_, k) => k);
    const lam = +this.lam.value, knows = fromCache.some(p => p > 0);
    this.bars.style.setProperty('--rows', Math.ceil(order.length / 2));
    this.bars.className = sorted ? 'lmp-bars' : 'lmp-bars lmp-all';
    this.bars.setAttribute('aria-label', `${sorted ? `The ${TOP} likeliest next ${this.unit}s` : `All ${this.unit}s and their probabilities`}; press one to add it`);
    this.barRows.forEach((row, k) => {
      row.node.hidden = k >= order.length;
      if (row.node.hidden) return;
      const id = order[k], fromC = parts && knows ? lam * fromCache[id] : 0;
      row.token = vocab[id]; row.word.textContent = this.tokens.show(row.token); row.number.textContent = shown(drawn[id]);
      row.model.style.width = `${100 * (drawn[id] - fromC)}%`; row.cache.style.width = `${100 * fromC}%`;
      row.button.classList.toggle('lmp-best', id === best[0]);
    });
    this.caption.replaceChildren(T === 0 ? `Temperature 0 takes the likeliest ${this.unit}; the bars show what the model thinks, at temperature 1. ` :
      `What a ${this.unit} is drawn from, at temperature ${T.toFixed(1)}. `);
    if (parts && !knows) this.caption.append('The cache is still empty.');
    if (parts && knows) this.caption.append(el('span', {className: 'lmp-key lmp-cache'}), 'The striped part of a bar comes from the cache.');
    const {words, reader} = this, name = k => vocab[k] === '.' ? 'the dot' : `“${this.tokens.show(vocab[k])}”`;
    const guesses = best.slice(0, 3).map(k => `${name(k)} ${percent(drawn[k])}`).join(', ');
    const last = this.tokens.tail(words.slice(reader.start).map(w => w.word));
    const where = last ? `After “${last}”` : `${words.length ? 'All forgotten' : 'Nothing read'}: only the output biases speak`;
    // A screen reader would fall behind a running model: it hears the prediction when the run stops.
    this.said.setAttribute('aria-live', this.timer ? 'off' : 'polite');
    const text = `${this.note ? this.note + ' ' : ''}${where}: ${guesses}.`;
    if (this.said.textContent !== text) this.said.textContent = text;
  }

  showStrips() {
    const {reader} = this, {states} = reader, read = reader.steps.length > reader.start ? reader.steps.at(-1).layers : null;
    this.strips.forEach((strips, l) => strips.forEach(s => {
      const of = layer => layer.gates[s.name] ?? layer.state[s.name];
      const bounded = s.isShare || 'gn'.includes(s.name) || (s.name === 'h' && !['rnn', 'relu'].includes(this.data.models[this.name].cell));
      // Where nothing bounds a state, a full column is the largest value so far, rounded up: so that strips of one text can be compared.
      const largest = step => of(step.layers[l]).reduce((top, v) => Math.max(top, Math.abs(v)), 0);
      const scale = bounded ? 1 : Math.max(1, ...reader.steps.map(step => Math.ceil(largest(step))));
      s.show(read ? of(read[l]) : states[l][s.name], scale, `Layer ${l + 1}`);
    }));
  }
}

// ---- loading

async function begin(root) {
  const inline = document.getElementById('lmp-models');               // a page of its own brings them along
  if (inline) {
    const playground = new Playground(root, JSON.parse(inline.textContent));
    playground.extras.restore();
    return playground;
  }
  const url = new URL(root.dataset.models ?? 'models.json', document.baseURI);
  try {
    if (url.origin !== location.origin) throw new Error('the weights must come from the same site as the page');
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url.pathname} answered ${answer.status}`);
    const playground = new Playground(root, await answer.json());
    if (playground.extras.restore()) return playground;
    if (root.dataset.text) { playground.input.value = root.dataset.text; playground.typed(); }   // something to look at, before anybody types
    return playground;
  } catch (error) {
    root.replaceChildren(el('p', {role: 'alert', className: 'lmp-failed'}, `The playground could not load its weights (${error.message}). ` +
      'Browsers do not load them for a page opened as a file: serve the folder with “python -m http.server” and open http://localhost:8000. ' +
      'If the page comes from a server already, check that models.json is where data-models says, and reload.'));
    root.classList.add('lmp');
  }
}

const root = document.querySelector('div[data-models]');
const begun = root ? begin(root) : Promise.resolve();

// The part that learns comes when somebody comes near it, or when the link asks for it.
const learner = document.querySelector('div[data-learn]');
if (learner) {
  const near = new IntersectionObserver(seen => {
    if (!seen.some(e => e.isIntersecting) && !location.hash.includes('learn?')) return;
    near.disconnect();
    import('./learn.js');
  }, {rootMargin: '600px'});
  begun.then(() => near.observe(learner));                            // not before: the playground above it has its height then
}
