// What can be done with the networks of the playground beyond reading: ask why, take hold, set two side by side, open one's own, keep it all in a link.
import {button, el, field, number, plural, range, shown, whole} from './dom.js';
import {holdsOf, narrow, readPins, writePins} from './hold.js';
import {linked} from './link.js';
import {Reader, argmax, makeModel, scoresOf, softmax} from './model.js';

const FAR = {gradient: 1000, occlusion: 80};                          // words, from the last one back, that are asked for their share: each costs time
const PARTS = {f: 'forget gate f', i: 'input gate i', g: 'candidate g', o: 'output gate o', r: 'reset gate r', z: 'update gate z', n: 'candidate n',
  c: 'cell state c', h: 'hidden state h'};
const OF = {lstm: 'figoch', gru: 'rznh', rnn: 'h', tanh: 'h', relu: 'h'}, GATES = 'fiorz';
const fold = (title, ...children) => el('details', {className: 'lmp-fold'}, el('summary', {}, title), el('div', {}, ...children));
let learned = 0, why = null;                                          // why.js comes when somebody asks

export class Extras {
  constructor(playground) {
    Object.assign(this, {p: playground, pins: [], asked: null, link: linked('playground'), touched: false});
    this.buildWhy(); this.buildHold(); this.buildBeside(); this.buildOpen();
    const {root} = playground, again = () => playground.show();
    this.topK = number('lmp-topk', 0, playground.data.vocab.length, 0); this.topK.addEventListener('change', again);
    this.topP = range('lmp-topp', 0.05, 1, 0.05, 1, again); this.topPOut = el('output', {for: 'lmp-topp'});
    this.narrowing = el('div', {className: 'lmp-line'}, field('Only the k likeliest (0: all)', this.topK), field('Only the likeliest, up to p', this.topP, this.topPOut));
    this.more = el('section', {className: 'lmp-more', 'aria-label': 'More to do'}, this.hold, this.beside, this.open);
    for (const kind of ['click', 'input', 'change', 'submit']) root.addEventListener(kind, () => { this.touched = true; }, {capture: true});
  }

  // ---- from a probability to what may be drawn

  narrowed(probs) { return narrow(probs, whole(this.topK), +this.topP.value); }

  // ---- why this word?

  buildWhy() {
    this.whyBox = el('input', {type: 'checkbox', id: 'lmp-why', onchange: () => { this.asked = null; this.showWhy(); }});
    this.whySaid = el('p', {className: 'lmp-whysaid', role: 'status'});
    this.whyBy = el('select', {id: 'lmp-whyby', onchange: () => this.showWhy()}, el('option', {value: 'gradient'}, 'gradient × input'),
      el('option', {value: 'occlusion'}, 'leaving out each word'));
    this.whyMore = el('div', {hidden: true}, this.whySaid, field('By', this.whyBy), el('p', {className: 'lmp-note'},
      'Point at a bar, or tab to it, to ask for that word. The numbers below the text are shares in ln p: what a small change of each word would do, or what is lost without it.'));
    this.why = el('div', {className: 'lmp-why'}, el('label', {className: 'lmp-check'}, this.whyBox, ' Why this word?'), this.whyMore);
  }
  watchBars() {
    const ask = e => {
      const at = this.p.barRows.findIndex(row => row.node.contains(e.target)), id = this.p.ids.get(this.p.barRows[at]?.token);
      if (at < 0 || !this.whyBox.checked || id === this.asked) return;
      this.asked = id; this.showWhy();
    };
    this.p.bars.addEventListener('mouseover', ask); this.p.bars.addEventListener('focusin', ask);
  }
  showWhy() {
    const {p} = this, {reader, chips} = p, on = this.whyBox.checked, buttons = [...chips.querySelectorAll('button')];
    chips.classList.toggle('lmp-whying', on); this.whyMore.hidden = !on;
    for (const b of buttons) { b.classList.remove('lmp-for', 'lmp-against'); b.style.removeProperty('--share'); delete b.dataset.why; }
    if (!on || p.timer) return;
    if (!why) { import('./why.js').then(found => { why = found; this.showWhy(); }); return; }
    const by = this.whyBy.value, ids = reader.steps.slice(reader.start).map(s => s.id), from = Math.max(0, ids.length - FAR[by]);
    if (this.pins.length) { this.whySaid.textContent = 'While something is held, no share can be told: let go first.'; return; }
    if (!ids.length) { this.whySaid.textContent = 'Nothing was read: only the output biases speak.'; return; }
    const word = this.asked ?? argmax(p.predict().drawn), show = w => p.tokens.show(w);
    const shares = by === 'occlusion' ? why.occlusion(reader.model, ids, word, FAR[by]) : why.gradientTimesInput(reader.model, ids, word);
    const most = Math.max(...shares.slice(from).map(Math.abs)) || 1;
    shares.forEach((v, k) => {
      if (k < from) return;
      const b = buttons[reader.start + k], text = Math.abs(v).toFixed(2);
      b.classList.add(v < 0 ? 'lmp-against' : 'lmp-for');
      b.style.setProperty('--share', (Math.abs(v) / most).toFixed(3));
      b.dataset.why = (text === '0.00' ? '' : v < 0 ? '−' : '+') + text;
    });
    this.whySaid.textContent = why.inWords(shares, ids.map(id => show(p.data.vocab[id])), show(p.data.vocab[word]), this.whyBy.selectedOptions[0].textContent);
  }

  // ---- take hold of it

  buildHold() {
    const ready = () => this.showHold();
    this.layer = el('select', {id: 'lmp-hold-layer', onchange: ready}); this.part = el('select', {id: 'lmp-hold-part', onchange: ready});
    this.unit = el('input', {type: 'number', id: 'lmp-hold-unit', min: 0, step: 1, placeholder: 'all', oninput: ready});
    this.holdButtons = {open: button('Pin open', () => this.pin(1)), shut: button('Pin shut', () => this.pin(0)),
      freeze: button('Freeze', () => this.pin('now')), clear: button('Clear', () => this.pin(0))};
    this.held = el('ul', {className: 'lmp-held', 'aria-label': 'What is held'});
    this.holdSaid = el('p', {className: 'lmp-note', role: 'status'});
    this.hold = fold('Take hold of it', el('p', {className: 'lmp-note'}, 'The text is read again with what you hold, and written on with it. Freeze keeps a value as it is now.'),
      el('div', {className: 'lmp-line'}, field('Layer', this.layer), field('Part', this.part), field('Unit (empty: all)', this.unit), ...Object.values(this.holdButtons)),
      this.holdSaid, this.held);
  }
  newModel() {                                                        // another network: what was held belongs to the old one, where it does not fit
    const {p} = this, {cell} = p.data.models[p.name], model = p.models[p.name], parts = OF[cell];
    this.pins = this.pins.filter(pin => pin.layer < model.layers.length && parts.includes(pin.part) && (pin.unit ?? 0) < model.n_hidden &&
      (!Array.isArray(pin.value) || pin.value.length === model.n_hidden));
    this.layer.replaceChildren(...model.layers.map((_, l) => el('option', {value: l}, String(l + 1))));
    this.part.replaceChildren(...Array.from(parts, k => el('option', {value: k}, PARTS[k])));
    this.unit.max = model.n_hidden - 1; this.asked = null;
    this.besideReader = null;
    this.showHold();
  }
  heldModel(model) { return this.pins.length ? {...model, holds: holdsOf(this.pins, model.layers.length)} : model; }
  showHold() {
    const isGate = GATES.includes(this.part.value);
    this.holdButtons.open.hidden = this.holdButtons.shut.hidden = !isGate; this.holdButtons.clear.hidden = isGate;
    const say = pin => `Layer ${pin.layer + 1}, ${PARTS[pin.part]}, ${pin.unit === null ? 'all units' : `unit ${pin.unit}`}: ` +
      (Array.isArray(pin.value) ? 'frozen' : GATES.includes(pin.part) && pin.value === 1 ? 'open' : GATES.includes(pin.part) && pin.value === 0 ? 'shut' : pin.value === 0 ? 'cleared' : `frozen at ${pin.value.toFixed(2)}`);
    this.held.replaceChildren(...this.pins.map((pin, k) => el('li', {}, say(pin), ' ', button('Let go', () => this.letGo(k), {'aria-label': `Let go: ${say(pin)}`}))));
  }
  pin(value) {
    const {p} = this, layer = +this.layer.value, part = this.part.value, text = this.unit.value.trim(), unit = text === '' && !this.unit.validity.badInput ? null : Number(text);
    const n = p.reader.model.n_hidden;
    if (unit !== null && !(Number.isInteger(unit) && unit >= 0 && unit < n && text !== '')) {
      this.holdSaid.textContent = `A unit is a number from 0 to ${n - 1}; leave it empty for all.`; return;
    }
    if (value === 'now') {
      const step = p.reader.steps.length > p.reader.start ? p.reader.steps.at(-1).layers[layer] : null;
      if (!step && GATES.includes(part)) { this.holdSaid.textContent = 'No word was read yet: there is nothing to freeze.'; return; }
      const values = Array.from(step ? step.gates[part] ?? step.state[part] : new Float64Array(n));
      value = unit === null ? values : values[unit];
    }
    this.pins = [...this.pins.filter(q => !(q.layer === layer && q.part === part && (unit === null || q.unit === unit))), {layer, part, unit, value}];
    this.reread('Held. The text was read again.');
  }
  letGo(k) {
    this.pins.splice(k, 1); this.reread('Let go. The text was read again.');
    (this.held.querySelector('button') ?? this.part).focus();
  }
  reread(said) { this.p.edited(); this.p.pick(this.p.name); this.holdSaid.textContent = said; }

  // ---- two models side by side

  buildBeside() {
    this.other = el('select', {id: 'lmp-other', onchange: () => { this.besideReader = null; this.showBeside(); }});
    this.besideSaid = el('p', {className: 'lmp-note', role: 'status'}); this.besideBars = el('ol', {className: 'lmp-besides', 'aria-label': 'What the other model expects'});
    this.beside = fold('Two models side by side', el('div', {className: 'lmp-line'}, field('Beside it', this.other)), this.besideSaid, this.besideBars);
    const names = Object.entries(this.p.data.models);
    this.other.append(el('option', {value: ''}, 'no other'), ...names.map(([name, m]) => el('option', {value: name}, m.title ?? `${m.recipe.title} (${m.accuracy.toFixed(3)})`)));
  }
  showBeside() {
    const {p, other: {value: name}} = this;
    this.besideBars.hidden = !name;
    if (!name) { this.besideSaid.textContent = 'Choose a second model: it reads the same words.'; return; }
    const key = words => words.map(w => w.word).join('\u0001'), same = this.besideReader && String(this.besideReader.cuts) === String(p.reader.cuts) &&
      key(p.words.slice(0, this.besideReader.steps.length)) === this.besideKey;
    if (!same) {
      this.besideReader = new Reader(p.models[name] ??= makeModel(p.data.models[name]));
      for (let k = 0; k <= p.words.length; k++) {
        if (p.reader.cuts.includes(k)) this.besideReader.forget();
        if (k < p.words.length) this.besideReader.read(p.ids.get(p.words[k].word));
      }
    } else for (const w of p.words.slice(this.besideReader.steps.length)) this.besideReader.read(p.ids.get(w.word));
    this.besideKey = key(p.words);
    const {fromModel} = this.besideReader.predict(), probs = p.withoutUnknown(fromModel), best = p.likeliest(probs, 5), {vocab} = p.data;
    this.besideBars.replaceChildren(...best.map(id => {
      const model = el('span', {className: 'lmp-model'});
      model.style.width = `${100 * probs[id]}%`;
      return el('li', {}, el('span', {className: 'lmp-word'}, p.tokens.show(vocab[id])), el('span', {className: 'lmp-track', 'aria-hidden': 'true'}, model), el('span', {className: 'lmp-number'}, shown(probs[id])));
    }));
    const {start, steps} = p.reader, n = Math.max(0, steps.length - start - 1);
    const right = reader => reader.steps.slice(start, -1).filter((s, k) => (s.guess ??= argmax(scoresOf(reader.model, s.layers.map(l => l.state)))) === steps[start + k + 1].id).length;
    const [a, b] = [right(p.reader), right(this.besideReader)], mine = argmax(softmax(p.predict().scores)) === best[0];
    this.besideSaid.textContent = `${mine ? 'Both expect the same next' : 'They do not expect the same next'} ${p.unit}. ` +
      (n ? `Of the ${plural(n, p.unit)} after the first, the one above guessed ${a} right and the one beside it ${b}.` : '');
  }

  // ---- a model of one's own

  buildOpen() {
    const {root} = this.p;
    this.file = el('input', {type: 'file', id: 'lmp-file', accept: '.json,application/json', onchange: () => this.read(this.file.files[0])});
    this.openSaid = el('p', {className: 'lmp-refused', role: 'alert'});
    this.open = fold('Look into a model of your own', el('p', {className: 'lmp-note'}, 'Open the JSON file of a run, or drop it anywhere on the playground. It stays in your browser. What was learned in this page can be saved as such a file.'),
      el('div', {className: 'lmp-line'}, field('File', this.file), this.saveButton = button('Save this model', () => this.save())), this.openSaid);
    if (root.dataset.drops) return;                                   // a new playground in the same place hears already
    root.dataset.drops = 'yes';
    root.addEventListener('dragover', e => { if (e.dataTransfer?.types.includes('Files')) e.preventDefault(); });
    root.addEventListener('drop', e => { if (e.dataTransfer?.files.length) { e.preventDefault(); root.playground.extras.read(e.dataTransfer.files[0]); } });
    root.addEventListener('lmp-take', e => {
      const [entry] = Object.values(e.detail.models);
      root.playground.extras.take({...e.detail, models: {[`learned${++learned}`]: entry}});
      root.scrollIntoView();
    });
  }
  async read(file) {
    if (!file) return;
    const refuse = why => { this.open.open = true; this.openSaid.textContent = why; };
    let data;
    try { data = JSON.parse(await file.text()); } catch { return refuse(`“${file.name}” is no JSON file.`); }
    const models = data?.models ?? (data?.weights && {[file.name]: data});
    if (!Array.isArray(data?.vocab) || !models || !Object.keys(models).length) return refuse(`“${file.name}” holds no model: a file with “vocab” and “models” is expected, as an exported run is.`);
    try {
      for (const [name, entry] of Object.entries(models)) {
        if (!OF[entry.cell]) throw new Error(`its cell “${entry.cell}” is not known here`);
        const model = makeModel(entry);
        if (model.embedding.length < data.vocab.length || !model.layers.length) throw new Error('its weights do not fit its words');
        entry.title ??= entry.recipe ? undefined : name; entry.facts ??= entry.recipe ? undefined : `From “${file.name}”.`;
      }
    } catch (error) { return refuse(`“${file.name}” cannot be read as a model: ${error.message}.`); }
    this.take({...data, models});
  }
  take(detail) {                                                      // more models that know the same words, or another set of them
    const {p} = this, kind = d => d.tokens?.kind ?? 'words', same = kind(detail) === kind(p.data) && detail.vocab.length === p.data.vocab.length && detail.vocab.every((w, k) => w === p.data.vocab[k]);
    p.pause();
    const next = new p.constructor(p.root, same ? {...p.data, models: {...p.data.models, ...detail.models}} : detail);
    if (same) for (const w of p.words) next.push(w.word, w.by);
    next.pick(Object.keys(detail.models).at(-1));
  }
  save() {
    const {p} = this, {vocab, tokens} = p.data;
    const url = URL.createObjectURL(new Blob([JSON.stringify({vocab, tokens, models: {[p.name]: p.data.models[p.name]}})], {type: 'application/json'}));
    el('a', {href: url, download: `${p.name}.json`}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  // ---- all of it as a link

  settings() {
    const {p} = this, by = p.words.map(w => w.by[0]).join('').replace(/(.)\1*/g, run => run.length + run[0]);
    const found = {model: p.name, T: +p.temperature.value, k: +this.topK.value, p: +this.topP.value, order: p.order.value, pins: writePins(this.pins), beside: this.other.value,
      why: this.whyBox.checked ? this.whyBy.value : '', cache: p.cacheBox.checked ? `${p.theta.value},${p.lam.value}` : '', cuts: p.reader.cuts.join(), by,
      text: p.words.map(w => w.word).join(p.tokens.spaced ? ' ' : '\u0001')};
    if (found.text.length > 4000) delete found.text;                  // no address is that long
    return Object.fromEntries(Object.entries(found).filter(([k, v]) => v !== '' && !(k === 'k' && v === 0) && !(k === 'p' && v === 1) && !(k === 'order' && v === 'sorted')));
  }
  restore() {                                                         // false: no link
    if (!this.link.given) return false;
    const {p} = this, s = this.link.read(), text = String(s.text ?? ''), cuts = String(s.cuts ?? '').split(',').filter(Boolean).map(Number);
    const words = text ? text.split(p.tokens.spaced ? ' ' : '\u0001') : [], by = String(s.by ?? '').replace(/(\d+)([ym])/g, (_, n, c) => c.repeat(Math.min(n, 5000)));
    const unknown = words.find(w => !p.ids.has(w)), lost = s.model !== undefined && !Object.hasOwn(p.data.models, s.model);
    this.pins = readPins(s.pins);
    if (!unknown) words.forEach((w, k) => { if (cuts.includes(k)) p.reader.forget(); p.push(w, by[k] === 'm' ? 'model' : 'you'); });
    if (cuts.includes(words.length)) p.reader.forget();
    p.temperature.value = s.T ?? p.temperature.value; this.topK.value = s.k ?? 0; this.topP.value = s.p ?? 1;
    if (s.order) p.order.value = s.order;
    if (Object.hasOwn(p.data.models, s.beside ?? '')) { this.other.value = s.beside; this.beside.open = true; }
    this.whyBox.checked = Boolean(s.why); this.whyBy.value = s.why === 'occlusion' ? 'occlusion' : 'gradient'; this.hold.open = this.pins.length > 0;
    p.pick(lost || s.model === undefined ? p.name : s.model);
    if (s.cache) { p.cacheBox.checked = true; [p.theta.value, p.lam.value] = String(s.cache).split(','); p.show(); }
    if (s.light) this.light(String(s.light));
    if (lost) p.refuse(`The link asks for the model “${s.model}”, which is not in this page.`);
    if (unknown) p.refuse(`The link’s text has “${unknown}”, which this model does not know; it was left out.`);
    return true;
  }

  // A passage of a chapter points here: `light` names a part, by its letter, or one of next, settings, text, more.
  light(part) {
    const {p} = this, found = part.length === 1 ? p.strips.flat().filter(s => s.name === part).map(s => s.node) : [p.root.querySelector(`.lmp-${CSS.escape(part)}`)].filter(Boolean);
    for (const node of found) node.classList.add('lmp-lit');
    (found[0] ?? p.root).scrollIntoView({block: 'center'});
  }

  // ---- after every change

  show() {
    const {p} = this;
    this.topPOut.textContent = (+this.topP.value).toFixed(2);
    this.showWhy(); this.showBeside();
    if (this.touched && !p.timer) this.link.write(this.settings());
  }
}
