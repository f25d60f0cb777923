// Trains beside the page, so that the page stays quick: takes orders, tells news. All arithmetic is in train.js and cell.js.
import {Refused, Run} from './train.js';

const SLICE = 80;                                                     // milliseconds of learning before it listens again
let run = null, timer = null, points = [], lastLook = 0;

const tell = (is, news) => postMessage({is, ...news});

function news(everything) {                                           // what the page draws; the dear parts not at every turn
  const found = {n: run.n, total: run.total, epochs: run.epochs, loss: run.loss, rate: run.rate(), done: run.done, running: timer !== null, points};
  points = [];
  if (everything) {
    Object.assign(found, {accuracy: run.accuracy(), distance: run.byDistance(), sample: run.sample(run.prompt, 40), look: run.look(run.prompt)});
    lastLook = Date.now();
  }
  tell('news', found);
}

function step() {
  run.step();
  points.push([run.epochs, run.loss]);
}

function pause() { clearTimeout(timer); timer = null; }

function learn() {                                                    // a slice of steps, news, and on
  const until = Date.now() + SLICE, half = Math.max(1, run.batches.length >> 1);
  let look = false;
  try {
    while (!run.done && Date.now() < until) {
      step();
      if (run.n % half === 0 && Date.now() - lastLook > 400) { look = true; break; }
    }
  } catch (error) { return failed(error); }
  timer = run.done ? null : setTimeout(learn, 0);
  news(look || run.done);
}

function failed(error) {
  pause();
  tell('refused', {why: error instanceof Refused ? error.message : `Something went wrong while it learned: ${error.message}`});
  if (run && error instanceof Refused) news(false);
}

const ORDERS = {
  start({settings}) {
    pause(); run = null; points = [];
    run = new Run(settings);
    tell('ready', {vocab: run.text.vocab, unit: run.text.unit, lines: run.lines, prompt: run.prompt, batches: run.batches.length,
      tokens: run.text.ids.length, parameters: run.params.all.length, sizes: run.sizes, settings: run.settings});
    news(true);
  },
  run() { if (timer === null && !run.done) timer = setTimeout(learn, 0); },
  pause() { pause(); news(true); },
  step() { pause(); if (!run.done) step(); news(true); },
  rate({lr}) { run.lr = lr; },
  weights() { tell('weights', {weights: run.weights(), accuracy: run.accuracy()}); },
};

onmessage = ({data}) => {
  try { if (data.order === 'start' || run) ORDERS[data.order](data); } catch (error) { failed(error); }
};
