// The part of the page that learns: settings, curves, gradients, a sample and the gates, while a worker trains. Renders into <div data-learn>.
import {button, el, field, plural, svg, whole, number} from './dom.js';
import {DEFAULTS} from './train.js';
import {linked} from './link.js';

const CELLS = {rnn: 'RNN (chapter 4)', lstm: 'LSTM (chapter 5)', gru: 'GRU (chapter 6)'};
const TEXTS = {numbers: 'Human Numbers, 1 to 9999', words: 'my own text, word by word', characters: 'my own text, letter by letter'};
const PARTS = {i: 'input gate i', f: 'forget gate f', g: 'candidate g', o: 'output gate o', r: 'reset gate r', z: 'update gate z', n: 'candidate n',
  c: 'cell state c', h: 'hidden state h'};
const ORDER = 'figorzncih';                                           // gates first, in the order of the strips above
const SHARES = 'fiorz';
const LINES = {common: 'the most common', three: 'best from three', cold: 'best from a cold start'};
const LOOKS = ['', 'lml-kept', 'lml-older'];                          // this run, the one kept last, the one before
const short = v => v >= 100 ? v.toFixed(0) : Number(v.toPrecision(2)).toString();
const acc = v => v.toFixed(3).replace(/^0/, '');

// ---- pictures

// Lines over passes: `runs` is a list of points [pass, value], this run first; `lines` are marks across.
function curves(title, runs, {top, lines = {}, ticks, xMax}) {
  const W = 400, H = 210, left = 34, right = 8, up = 10, down = 24;
  const x = v => left + v / xMax * (W - left - right), y = v => H - down - Math.min(1, v / top) * (H - down - up);
  const picture = svg('svg', {viewBox: `0 0 ${W} ${H}`, class: 'lml-curves', role: 'img'});
  for (const v of ticks) picture.append(svg('line', {x1: left, x2: W - right, y1: y(v), y2: y(v), class: 'lml-grid'}),
    svg('text', {x: left - 5, y: y(v) + 4, 'text-anchor': 'end'}, top > 1 || v % 1 === 0 ? String(v) : acc(v)));
  for (const k of [0, 0.5, 1]) picture.append(svg('text', {x: x(k * xMax), y: H - 6, 'text-anchor': k === 1 ? 'end' : k ? 'middle' : 'start'},
    k ? short(k * xMax) + (k === 1 ? ' passes' : '') : '0'));
  Object.entries(lines).sort((a, b) => b[1] - a[1]).forEach(([name, v], k, all) => {   // a name below its line, where there is no room above
    const above = k === 0 || y(v) - y(all[k - 1][1]) > 14;
    picture.append(svg('line', {x1: left, x2: W - right, y1: y(v), y2: y(v), class: 'lml-ceiling'}),
      svg('text', {x: W - right, y: y(v) + (above ? -4 : 12), 'text-anchor': 'end', class: 'lml-mark'}, `${name} ${acc(v)}`));
  });
  runs.forEach((points, k) => {
    if (points.length > 1) picture.append(svg('polyline', {points: points.map(([px, py]) => `${x(Math.min(px, xMax)).toFixed(1)},${y(py).toFixed(1)}`).join(' '), class: `lml-line ${LOOKS[k]}`}));
    else if (points.length) picture.append(svg('circle', {cx: x(points[0][0]), cy: y(points[0][1]), r: 2.5, class: `lml-dot ${LOOKS[k]}`}));
  });
  const [now, ...kept] = runs.map(r => r.at(-1)?.[1]);
  picture.setAttribute('aria-label', `${title}, over passes through the text. ` + (now === undefined ? 'Nothing learned yet.' : `Now ${now.toFixed(3)}, at the beginning ${runs[0][0][1].toFixed(3)}.`) +
    kept.filter(v => v !== undefined).map((v, k) => ` Kept run ${k + 1}: ${v.toFixed(3)}.`).join('') +
    Object.entries(lines).map(([name, v]) => ` Line: ${name}, ${acc(v)}.`).join(''));
  return picture;
}

// Columns, the height by the logarithm: a gradient that is a thousand times smaller still shows.
function columns(runs, unit) {
  const W = 400, H = 150, left = 42, down = 24, n = runs[0].length, most = Math.max(...runs.flat()), DECADES = 4;
  const height = v => Math.max(0, 1 + Math.log10(v / most) / DECADES || 0) * (H - down - 10), wide = (W - left - 8) / n;
  const picture = svg('svg', {viewBox: `0 0 ${W} ${H}`, class: 'lml-curves', role: 'img'});
  for (let k = 0; k < DECADES; k++) picture.append(svg('line', {x1: left, x2: W - 8, y1: 10 + k / DECADES * (H - down - 10), y2: 10 + k / DECADES * (H - down - 10), class: 'lml-grid'}),
    svg('text', {x: left - 5, y: 14 + k / DECADES * (H - down - 10), 'text-anchor': 'end'}, k ? `1/1${'0'.repeat(k)}` : 'most'));
  runs.forEach((values, r) => values.forEach((v, k) => {
    if (k >= n) return;
    const tall = height(v), at = left + k * wide;
    picture.append(r === 0 ? svg('rect', {x: at + wide * 0.1, width: wide * 0.8, y: H - down - tall, height: tall, class: 'lml-column'}) :
      svg('line', {x1: at, x2: at + wide, y1: H - down - tall, y2: H - down - tall, class: `lml-line ${LOOKS[r]}`}));
  }));
  for (const k of n > 8 ? [0, n >> 1, n - 1] : [0, n - 1]) picture.append(svg('text', {x: left + (k + 0.5) * wide, y: H - 6, 'text-anchor': 'middle'}, k ? String(k) : 'last'));
  const share = runs[0].at(-1) / runs[0][0];
  picture.setAttribute('aria-label', `Size of the gradient of the last guess, by how many ${unit}s before it: ${runs[0].map((v, k) => `${k}: ${v.toPrecision(2)}`).join(', ')}.`);
  return {picture, said: `At ${plural(n - 1, unit)} before the last it is ${share >= 0.01 ? `${(100 * share).toFixed(0)}%` : share.toExponential(0).replace('e-', ' · 10⁻').replace(/\d+$/, d => [...d].map(c => '⁰¹²³⁴⁵⁶⁷⁸⁹'[c]).join(''))} of what it is at the last.`};
}

// A heat map: a column a word, a row a unit. Plus and minus have colours of their own; how strong is how full.
function heat(canvas, values, n, isShare, colours) {
  const steps = values.length / n, draw = canvas.getContext('2d');
  Object.assign(canvas, {width: steps * 8, height: n * 3});
  for (let t = 0; t < steps; t++) for (let k = 0; k < n; k++) {
    const v = values[t * n + k];
    draw.globalAlpha = Math.min(1, Math.abs(v)); draw.fillStyle = v < 0 ? colours.minus : colours.plus;
    draw.fillRect(t * 8, k * 3, 7, 2.5);
  }
  const mean = values.reduce((a, b) => a + b, 0) / values.length, count = f => values.reduce((sum, v) => sum + f(v), 0) / values.length;
  return isShare ? `mean ${mean.toFixed(2)}; ${(100 * count(v => v > 0.9)).toFixed(0)}% open, ${(100 * count(v => v < 0.1)).toFixed(0)}% shut` :
    `mean ${mean.toFixed(2).replace('-', '−')}; ${(100 * count(v => Math.abs(v) > 0.5)).toFixed(0)}% beyond ±0.5`;
}

// ---- the panel

export class Learn {
  constructor(root) {
    Object.assign(this, {root, kept: [], running: false, calm: matchMedia('(prefers-reduced-motion: reduce)')});
    this.link = linked('learn');
    this.build();
    this.blank();
    if (this.link.given) root.scrollIntoView();
    root.addEventListener('keydown', e => { if (e.key === 'Escape' && this.running) this.pause(); });
  }

  build() {
    const choice = (id, options, value, onchange) => {
      const select = el('select', {id, onchange}, ...Object.entries(options).map(([v, text]) => el('option', {value: v}, text)));
      select.value = value;
      return select;
    };
    const given = {...DEFAULTS, ...this.link.read()}, fresh = () => this.changed();
    const sizes = list => Object.fromEntries(list.map(n => [n, n]));
    this.cell = choice('lml-cell', CELLS, given.cell, fresh);
    this.layers = choice('lml-layers', sizes([1, 2]), given.n_layers, fresh);
    this.units = choice('lml-units', sizes([8, 16, 32, 64]), given.n_hidden, fresh);
    this.seqLen = choice('lml-length', sizes([4, 8, 16, 32, 64]), given.seq_len, fresh);
    this.kind = choice('lml-text', TEXTS, given.text, () => { this.own.hidden = this.kind.value === 'numbers'; fresh(); });
    this.rate = el('input', {type: 'number', id: 'lml-rate', min: 0, step: 'any', value: given.lr, required: '', onchange: () => this.rated()});
    this.epochs = number('lml-epochs', 1, 200, given.n_epochs); this.seed = number('lml-seed', 0, 99999, given.seed);
    for (const input of [this.epochs, this.seed]) input.addEventListener('change', fresh);
    this.pasted = el('textarea', {id: 'lml-pasted', rows: 4, spellcheck: 'false', onchange: fresh}, given.pasted ?? '');
    this.own = el('label', {className: 'lml-own'}, el('span', {}, 'Your text'), this.pasted);
    this.own.hidden = this.kind.value === 'numbers';

    this.learnButton = button('Learn', () => this.running ? this.pause() : this.learn(), {className: 'lmp-main'});
    this.stepButton = button('Step', () => this.stepOnce());
    this.resetButton = button('Reset', () => { this.stop(); this.blank(); });
    this.keepButton = button('Keep to compare', () => this.keep());
    this.takeButton = button('Look into it', () => this.worker.postMessage({order: 'weights'}), {'aria-describedby': 'lml-take'});
    this.refused = el('p', {className: 'lmp-refused', role: 'alert'});
    this.said = el('p', {className: 'lml-said', role: 'status'});
    this.bar = el('progress', {max: 1, value: 0, 'aria-label': 'How much of the training has passed'});
    this.lossAt = el('div'); this.accuracyAt = el('div'); this.distanceAt = el('div'); this.distanceSaid = el('p', {className: 'lmp-note'});
    this.sample = el('p', {className: 'lml-sample'}); this.lookAt = el('div', {className: 'lml-look'}); this.lookOf = el('p', {className: 'lmp-note'});
    this.table = el('div', {className: 'lml-table'});
    const part = (id, title, ...children) => el('section', {'aria-labelledby': `lml-h-${id}`}, el('h3', {id: `lml-h-${id}`}, title), ...children);
    const canTake = document.querySelector('div[data-models]');
    this.root.classList.add('lmp', 'lml');
    this.root.replaceChildren(
      part('settings', 'What learns, and from what',
        el('div', {className: 'lml-fields'}, field('Cell', this.cell), field('Layers', this.layers), field('Units', this.units),
          field('Row length', this.seqLen), field('Passes', this.epochs), field('Seed', this.seed), field('Text', this.kind)), this.own),
      el('section', {className: 'lml-do', 'aria-label': 'Let it learn'},
        el('div', {className: 'lmp-line'}, this.learnButton, this.stepButton, field('Learning rate', this.rate), this.resetButton, this.keepButton, canTake ? this.takeButton : ''),
        this.bar, this.refused, this.said,
        el('p', {className: 'lmp-note', id: 'lml-take'}, 'The rate may be changed while it learns; all else begins a new run. ' +
          (canTake ? '“Look into it” hands what it has learned to the playground above. ' : ''), this.motion = el('span'))),
      this.pictures = el('div', {hidden: true},                       // once there is something to see
        el('div', {className: 'lml-two'},
          part('loss', 'Loss', this.lossAt),
          part('accuracy', 'Accuracy on held-out text', this.accuracyAt)),
        this.table,
        el('div', {className: 'lml-two'},
          part('sample', 'What it writes', this.sample),
          part('distance', 'How far back the gradient reaches', this.distanceAt, this.distanceSaid)),
        part('look', 'Inside, while it reads one sentence', this.lookOf, this.lookAt)));
    const tell = () => this.motion.textContent = this.calm.matches ? 'Your system asks for reduced motion: the pictures are drawn when it pauses or ends.' :
      'Esc pauses, too.';
    tell(); this.calm.addEventListener('change', tell);
  }

  get settings() {
    const own = this.kind.value === 'numbers' ? {} : {pasted: this.pasted.value};
    return {cell: this.cell.value, n_layers: +this.layers.value, n_hidden: +this.units.value, lr: Number(this.rate.value), seq_len: +this.seqLen.value,
      n_epochs: whole(this.epochs), seed: whole(this.seed), text: this.kind.value, ...own};
  }

  // -- what one can do

  changed() {                                                         // a setting: what was learned belongs to another
    const was = this.worker;
    this.stop(); this.blank(); this.share();
    if (was) this.said.textContent = 'Other settings: Learn begins anew.';
  }
  rated() {
    if (this.wrongRate()) return;
    this.share();
    this.worker?.postMessage({order: 'rate', lr: Number(this.rate.value)});
  }
  share() {
    const {pasted, ...rest} = this.settings;
    this.link.write({...rest, ...(pasted && pasted.length < 4000 ? {pasted} : {})});   // no address is longer
  }
  wrongRate() {
    const wrong = !(Number(this.rate.value) > 0) || this.rate.value === '';
    this.refuse(wrong ? `A learning rate is a number above 0, such as ${DEFAULTS.lr}.` : '');
    return wrong;
  }
  refuse(why) { this.refused.textContent = why; }

  begin() {                                                           // a worker, if there is none yet
    if (this.wrongRate()) return false;
    if (this.worker) return true;
    this.worker = startWorker();
    this.worker.onmessage = ({data}) => ({ready: this.ready, news: this.news, weights: this.weights, refused: this.failed})[data.is].call(this, data);
    this.worker.onerror = () => this.failed({why: 'This browser does not let the page start a worker; serve the folder with “python -m http.server” and open http://localhost:8000.'});
    this.worker.postMessage({order: 'start', settings: this.settings});
    return true;
  }
  stop() { this.worker?.terminate(); this.worker = null; this.setRunning(false); }
  learn() {
    if (this.last?.done) { this.stop(); this.blank(); }               // the run is over: another one
    if (!this.begin()) return;
    this.worker.postMessage({order: 'run'}); this.setRunning(true);
    this.said.textContent = 'It learns.';
  }
  pause() { this.worker.postMessage({order: 'pause'}); this.setRunning(false); }
  stepOnce() { if (this.begin()) { this.setRunning(false); this.worker.postMessage({order: 'step'}); } }
  setRunning(yes) {
    this.running = yes; this.learnButton.textContent = yes ? 'Pause' : 'Learn';
    this.said.setAttribute('aria-live', yes ? 'off' : 'polite');      // a screen reader would fall behind
  }
  keep() {
    this.kept = [{...this.run, points: [...this.run.points], accuracies: [...this.run.accuracies]}, ...this.kept].slice(0, 2);
    this.draw();
    this.said.textContent = 'Kept: its curves stay, to be compared with the next run.';
  }

  // -- news of the worker

  blank() {
    this.run = {settings: this.settings, points: [], accuracies: [], distance: null};
    Object.assign(this, {last: null, info: null});
    this.sample.textContent = 'Nothing yet.'; this.lookAt.replaceChildren(); this.lookOf.textContent = 'Nothing yet.';
    this.distanceSaid.textContent = 'Nothing yet.'; this.bar.value = 0; this.refuse('');
    this.said.textContent = 'Nothing learned yet: press Learn.';
    this.draw();
  }
  ready(info) { this.info = info; this.draw(); }
  news(data) {
    this.last = data;
    this.run.points.push(...data.points);
    if (data.accuracy !== undefined) {
      this.run.accuracies.push([data.epochs, data.accuracy]);
      Object.assign(this.run, {distance: data.distance, look: data.look, sample: data.sample});
    }
    if (data.done) this.setRunning(false);
    if (this.calm.matches && this.running) return;
    this.bar.value = data.n / data.total;
    this.draw(data.accuracy !== undefined);
    const {info} = this, right = this.run.accuracies.at(-1)[1];
    const now = data.n ? `After ${data.epochs.toFixed(data.epochs < 10 ? 2 : 1)} passes (${plural(data.n, 'step')}): loss ${data.loss.toFixed(3)}, ` +
      `held-out accuracy ${acc(right)}, learning rate ${short(data.rate)}.` : `Before the first step: held-out accuracy ${acc(right)}.`;
    this.said.textContent = `${plural(info.parameters, 'parameter')}, ${plural(info.tokens, info.unit)}. ${now}${data.done ? ' The run is over.' : ''}`;
  }
  failed({why}) { this.setRunning(false); this.refuse(why); }
  weights({weights, accuracy}) {
    const {settings, vocab, unit, parameters} = this.info, cell = settings.cell === 'rnn' ? 'tanh' : settings.cell;
    const title = `Learned here: ${settings.cell.toUpperCase()}, ${plural(settings.n_hidden, 'unit')}`;
    const entry = {cell, title, parameters, weights: Object.fromEntries(Object.entries(weights).map(([k, w]) => [k, packed(w)])), facts: `${plural(parameters, 'parameter')}, learned in this page with seed ${settings.seed} for ` +
      `${this.last.epochs.toFixed(1)} passes. Of held-out ${unit}s, ${(100 * accuracy).toFixed(1)}% are guessed right (${accuracy.toFixed(3)}).`};
    const tokens = unit === 'word' ? settings.text === 'numbers' ? undefined : {kind: 'words'} : {kind: 'chars'};
    document.querySelector('div[data-models]').dispatchEvent(new CustomEvent('lmp-take', {detail: {vocab, tokens, models: {learned: entry}}}));
  }

  // -- showing it

  draw(everything = true) {
    const runs = [this.run, ...this.kept], xMax = Math.max(...runs.map(r => r.settings.n_epochs)), {info} = this;
    const start = Math.max(1, ...runs.map(r => Math.max(0, ...r.points.slice(0, 20).map(p => p[1])))), top = Math.min(20, Math.ceil(start));
    this.lossAt.replaceChildren(curves('Loss', runs.map(r => thin(r.points)), {top, ticks: Array.from({length: top + 1}, (_, k) => k).filter(k => k % Math.ceil(top / 5) === 0), xMax}));
    for (const b of [this.keepButton, this.takeButton]) b.disabled = !this.run.points.length;
    this.resetButton.disabled = !this.worker; this.pictures.hidden = !this.info && !this.kept.length;
    if (!everything) return;
    const lines = Object.fromEntries(Object.entries(info?.lines ?? {}).filter(([, v]) => v !== null).map(([k, v]) => [k === 'three' ? `${LINES[k]} ${info.unit}s` : LINES[k], v]));
    this.accuracyAt.replaceChildren(curves('Accuracy on held-out text', runs.map(r => r.accuracies), {top: 1, lines, ticks: [0, 0.25, 0.5, 0.75, 1], xMax}));
    this.showTable();
    if (!this.run.distance || !info) { this.distanceAt.replaceChildren(); return; }
    const {picture, said} = columns(runs.map(r => r.distance).filter(Boolean), info.unit);
    this.distanceAt.replaceChildren(picture); this.distanceSaid.textContent = said;
    const spaced = info.unit === 'word' ? ' ' : '', text = ids => ids.map(id => info.vocab[id]).join(spaced);
    this.sample.replaceChildren(el('span', {className: 'lml-prompt'}, text(info.prompt)), spaced + text(this.run.sample));
    this.showLook();
  }

  showLook() {
    const {info, run: {look}} = this, n = info.sizes.n_hidden, style = getComputedStyle(this.root);
    const colours = {plus: style.getPropertyValue('--lmp-plus'), minus: style.getPropertyValue('--lmp-minus')};
    const words = info.prompt.map(id => info.vocab[id]).join(info.unit === 'word' ? ' ' : '');
    this.lookOf.textContent = `“${words}”. A column for each ${info.unit}, a row for each unit; up to 1 at full colour, below zero in the other one.`;
    const names = Object.keys(look[0]).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b)), key = `${look.length} ${names} ${n}`;
    if (this.lookAt.dataset.key !== key || !this.lookAt.children.length) {
      this.lookAt.dataset.key = key;
      this.maps = look.map(() => names.map(() => ({canvas: el('canvas', {role: 'img'}), said: el('span', {className: 'lmp-numbers'})})));
      this.lookAt.replaceChildren(...this.maps.flatMap((maps, l) => maps.map((m, k) =>
        el('div', {}, el('div', {className: 'lmp-row'}, el('span', {}, `${look.length > 1 ? `Layer ${l + 1}, ` : ''}${PARTS[names[k]]}`), m.said), m.canvas))));
    }
    this.maps.forEach((maps, l) => maps.forEach((m, k) => {
      m.said.textContent = heat(m.canvas, look[l][names[k]], n, SHARES.includes(names[k]), colours);
      m.canvas.setAttribute('aria-label', `Layer ${l + 1}, ${PARTS[names[k]]}: ${m.said.textContent}`);
    }));
  }

  showTable() {                                                       // the runs side by side, once there is one to compare with
    if (!this.kept.length) { this.table.replaceChildren(); return; }
    const row = (r, k) => {
      const s = r.settings, what = s.text === 'numbers' ? 'numbers' : s.text;
      return el('tr', {}, el('th', {scope: 'row'}, svg('svg', {viewBox: '0 0 30 6', class: 'lml-key', 'aria-hidden': 'true'}, svg('line', {x1: 0, x2: 30, y1: 3, y2: 3, class: `lml-line ${LOOKS[k]}`})),
        ['this run', 'kept', 'kept before'][k]),
      ...[s.cell.toUpperCase(), s.n_layers, s.n_hidden, s.lr, s.seq_len, s.seed, what, r.points.at(-1)?.[1].toFixed(3) ?? '–', r.accuracies.length ? acc(r.accuracies.at(-1)[1]) : '–'].map(v => el('td', {}, String(v))));
    };
    this.table.replaceChildren(el('section', {'aria-label': 'Runs to compare', tabindex: 0}, el('table', {},
      el('thead', {}, el('tr', {}, ...['Run', 'Cell', 'Layers', 'Units', 'Rate', 'Row', 'Seed', 'Text', 'Loss', 'Accuracy'].map(h => el('th', {scope: 'col'}, h)))),
      el('tbody', {}, row(this.run, 0), ...this.kept.map((r, k) => row(r, k + 1))))));
  }
}

// A page that is one file has its scripts in an import map, as data: the worker is put together from there, as one plain script.
function startWorker() {
  const map = document.querySelector('script[type="importmap"]');
  if (!map) return new Worker(new URL('./worker.js', import.meta.url), {type: 'module'});
  const {imports} = JSON.parse(map.textContent), bytes = name => Uint8Array.from(atob(imports[name].split(',')[1]), c => c.charCodeAt(0));
  const whole = name => {                                             // a module as a function that returns what it exports: a worker knows no map
    const text = new TextDecoder().decode(bytes(name)), exported = [...text.matchAll(/^export (?:const|class|function) (\w+)/gm)].map(m => m[1]);
    return `(() => {${text.replace(/^export /gm, '').replace(/^import (\{[^}]*\}) from '(?:\.\/)?(\w+\.js)';/gm, (_, names, other) => `const ${names} = ${whole(other)};`)}
return {${exported}};})()`;
  };
  return new Worker(URL.createObjectURL(new Blob([whole('worker.js')], {type: 'text/javascript'})));
}

function packed({shape, values}) {                                     // as models.json has weights, in single precision
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  let text = '';
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return {shape, dtype: 'float32', data: btoa(text)};
}

function thin(points) {                                               // a thousand points make no finer line than three hundred
  if (points.length < 600) return points;
  const every = Math.ceil(points.length / 300);
  return points.filter((_, k) => k % every === 0 || k === points.length - 1);
}

const root = document.querySelector('div[data-learn]');
if (root) new Learn(root);
