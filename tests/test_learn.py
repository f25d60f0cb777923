"The page that learns: forward, backward and training in plain JavaScript against PyTorch, in Node; the panel itself in a browser, by keyboard."
import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import Served, tab_to, violations
from conftest import ROOT
from export_playground import load_exported

from lm_from_scratch.copying import oracle_guesses, read_rows, rows_of
from lm_from_scratch.data import Corpus, human_numbers, lm_dataloaders
from lm_from_scratch.generation import word_probs
from lm_from_scratch.inspection import gradient_times_input, occlusion, read_states
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
    if cell != 'lstm': return                                                        # the ceilings hang on the text alone
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


def test_the_stored_time_is_of_these_settings():
    "Learning as the page begins reaches .6 within a minute of one core; Python's run of the same settings stands beside it."
    stored = json.loads((ROOT/'docs/playground/learn.json').read_text(encoding='utf-8'))
    page = stored['page']
    assert page['accuracy'] >= stored['goal'] == .6 and page['seconds_to_goal'] <= 60 and stored['cores'] == 1
    assert [row['accuracy'] > .6 for row in stored['in_python']] == [True]*3 and 'learn_speed.py' in stored['command']
    if NODE: assert in_node('return m.DEFAULTS') == page['settings'], "python docs/learn_speed.py --store"


# ---- why this word, and what is held

SIZES = [('lstm', 2, None), ('gru', 1, 5), ('rnn', 1, None), ('relu', 2, None)]


@needs_node
@pytest.mark.parametrize('cell,n_layers,n_emb', SIZES)
def test_why_is_pythons(cell, n_layers, n_emb):
    torch.manual_seed(4)
    model = LanguageModel(9, 7, n_layers, rnn=cell, n_emb=n_emb).double().eval()
    ids = torch.randint(9, (12,))
    rows = lambda p: p.detach().tolist()
    layers = [dict(zip(('W_x', 'W_h', 'b_x', 'b_h'), map(rows, ps))) for ps in model.rnn.all_weights]
    given = dict(cell={'rnn': 'tanh'}.get(cell, cell), layers=layers, embedding=rows(model.i_h.weight), decoder=rows(model.h_o.weight), bias=rows(model.h_o.bias), n_hidden=7)
    for word in (0, 5):
        js = in_node('return [m.gradientTimesInput, m.occlusion].map(f => f(given.model, given.ids, given.word))', model=given, ids=ids.tolist(), word=word)
        for ours,theirs in zip((gradient_times_input, occlusion), js):
            expected = ours(model, ids, word)
            assert expected.abs().max() > 1e-3 and largest(theirs, expected) < 1e-9


@needs_node
@pytest.mark.parametrize('name', ['every_word', 'tied'])
def test_why_of_the_exported_models(name):
    model = load_exported(name).double()
    ids = human_numbers().ids[40_000:40_030]
    js = in_node('''const {readFileSync} = await import("node:fs");
const model = m.makeModel(JSON.parse(readFileSync(given.file, "utf8")).models[given.name]);
return [m.gradientTimesInput, m.occlusion].map(f => f(model, given.ids, 8));''', file=str(ROOT/'docs/playground/models.json'), name=name, ids=ids.tolist())
    for ours,theirs in zip((gradient_times_input, occlusion), js): assert largest(theirs, ours(model, ids, 8)) < 1e-5


@needs_node
def test_what_may_be_drawn_is_pythons():
    "Top-k and top-p of probabilities at a temperature, as chapter 11 has them."
    torch.manual_seed(0)
    scores = torch.randn(12, dtype=torch.double)*2
    for T,k,p in ((1, 3, 1), (.7, 0, .6), (1.5, 5, .8), (1, 0, .05), (1, 0, 1)):
        js = in_node('return m.narrow(m.temper(m.softmax(given.scores), given.T), given.k, given.p)', scores=scores.tolist(), T=T, k=k, p=p)
        assert largest(js, word_probs(scores, T, k or None, p)) < 1e-12


@needs_node
def test_held_units_stay():
    "A pinned cell state is what `read_states` clamps; a shut forget gate forgets; pins survive being a link."
    torch.manual_seed(1)
    model = LanguageModel(9, 6, 2, rnn='lstm').double().eval()
    ids,rows = torch.randint(9, (8,)),lambda p: p.detach().tolist()
    layers = [dict(zip(('W_x', 'W_h', 'b_x', 'b_h'), map(rows, ps))) for ps in model.rnn.all_weights]
    given = dict(cell='lstm', layers=layers, embedding=rows(model.i_h.weight), decoder=rows(model.h_o.weight), bias=rows(model.h_o.bias), n_hidden=6)
    js = in_node('''
const read = pins => {
  const reader = new m.Reader({...given.model, holds: m.holdsOf(pins, 2)});
  for (const id of given.ids) reader.read(id);
  return {scores: reader.predict().scores, steps: reader.steps.map(s => s.layers.map(l => ({...l.state, ...l.gates})))};
};
const pins = [{layer: 0, part: "c", unit: 2, value: 0.5}, {layer: 1, part: "f", unit: null, value: 0}];
return {cell: read(pins.slice(0, 1)), shut: read(pins.slice(1)), none: read([]), back: m.readPins(m.writePins(pins)), pins,
  many: m.readPins(m.writePins([{layer: 1, part: "h", unit: null, value: [0.25, -1]}])), nothing: m.readPins(undefined)};''', model=given, ids=ids.tolist())
    clamped = read_states(model, ids, {0: ([2], .5)})
    assert largest(js['cell']['scores'], clamped['scores'][0, -1]) < 1e-9 and all(step[0]['c'][2] == .5 for step in js['cell']['steps'])
    assert largest(js['none']['scores'], read_states(model, ids)['scores'][0, -1]) < 1e-9
    for step in js['shut']['steps']: assert np.allclose(step[1]['c'], np.array(step[1]['i'])*np.array(step[1]['g'])) and step[1]['f'] == [0]*6
    assert js['back'] == js['pins'] and js['many'] == [dict(layer=1, part='h', unit=None, value=[.25, -1])] and js['nothing'] == []


# ---- the page

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('learn')
    for f in [*PAGE.iterdir(), ROOT/'docs/playground/models.json']: shutil.copy(f, folder)
    with Served(folder) as url: yield url


@pytest.fixture
def opened(browser, site):
    "Open the page; at the end, nothing may have been reported on the console or asked of another site."
    contexts,reports = [],[]
    def go(hash='', **settings):
        contexts.append(context := browser.new_context(**{'viewport': dict(width=1200, height=900), **settings}))
        page = context.new_page()
        page.on('console', lambda m: reports.append(m.text))
        page.on('pageerror', lambda e: reports.append(str(e)))
        page.on('request', lambda r: r.url.startswith((site, 'data:', f'blob:{site}')) or reports.append(r.url))
        page.goto(f'{site}/demo.html{hash}')
        page.wait_for_selector('.lmp-bars button')
        if 'learn?' not in hash: page.evaluate("document.querySelector('[data-learn]').scrollIntoView()")   # it comes when somebody comes near
        page.wait_for_selector('.lml button')
        page.evaluate('scrollTo(0, 0)')
        return page
    yield go
    for context in contexts: context.close()
    assert not reports


LEARN,STEP,RESET,KEEP,TAKE = '.lml .lmp-main',*(f'.lml-do button >> text="{t}"' for t in ('Step', 'Reset', 'Keep to compare', 'Look into it'))
def said(page): return page.text_content('.lml-said')
def steps_of(page): return int(re.search(r'([\d,]+) steps?\)', said(page))[1].replace(',', ''))
def press(page, text, key='Enter'):
    tab_to(page, '.lml select'); tab_to(page, '.lml *')
    for _ in range(40):
        if page.evaluate('document.activeElement.textContent') == text: break
        page.keyboard.press('Tab')
    page.keyboard.press(key)
def small(page, **others):
    for id,value in {'units': '8', 'cell': 'gru', **others}.items(): page.select_option(f'#lml-{id}', value)
    page.fill('#lml-epochs', '1'); page.press('#lml-epochs', 'Tab')


def test_learning_by_keyboard(opened):
    page = opened()
    small(page)
    page.fill('#lml-epochs', '50'); page.press('#lml-epochs', 'Tab')                 # it shall not be over before it is paused
    tab_to(page, LEARN)
    page.keyboard.press('Enter')
    page.wait_for_function("/steps\\)/.test(document.querySelector('.lml-said').textContent)")
    # the page goes on answering while the worker learns
    gap = page.evaluate('''() => new Promise(done => { let last = performance.now(), worst = 0, n = 0;
      const tick = () => { const now = performance.now(); worst = Math.max(worst, now - last); last = now; ++n < 40 ? setTimeout(tick, 10) : done(worst); }; tick(); })''')
    assert gap < 1000
    assert page.text_content(LEARN) == 'Pause' and page.get_attribute('.lml-said', 'aria-live') == 'off'
    page.keyboard.press('Escape')
    page.wait_for_function("document.querySelector('.lml .lmp-main').textContent === 'Learn'")
    page.wait_for_timeout(400)
    n = steps_of(page)
    page.wait_for_timeout(300)
    assert steps_of(page) == n and page.get_attribute('.lml-said', 'aria-live') == 'polite'
    # a step is one batch
    press(page, 'Step')
    page.wait_for_function(f"document.querySelector('.lml-said').textContent.includes('({n+1} steps)')")
    # what is drawn says what it shows
    labels = page.eval_on_selector_all('.lml [role=img]', 'es => es.map(e => e.getAttribute("aria-label"))')
    assert any(re.match(r'Loss, over passes.*Now \d', t) for t in labels) and any('best from three words, .553' in t and 'best from a cold start, .983' in t for t in labels)
    assert any('Size of the gradient' in t and '15: ' in t for t in labels) and sum('gate' in t for t in labels) == 2
    assert len(page.text_content('.lml-sample').split()) == 56 and 'eight thousand' in page.text_content('.lml-look').lower() + page.text_content('#lml-h-look ~ p')
    # keep, and begin another
    press(page, 'Keep to compare')
    assert page.locator('.lml table tbody tr').count() == 2
    press(page, 'Reset')
    assert 'Nothing learned' in said(page)
    page.keyboard.press('Shift+Tab')


def test_the_same_seed_the_same_run_and_the_rate_may_change(opened):
    page = opened()
    small(page)
    def first(n, rate=None):
        page.click(RESET) if page.is_enabled(RESET) else None
        for k in range(1, n+1):
            page.click(STEP)
            page.wait_for_function(f"/\\({k} step/.test(document.querySelector('.lml-said').textContent)")
            if rate and k == 1: page.fill('#lml-rate', rate); page.press('#lml-rate', 'Tab')
        return said(page)
    a,b = first(3),first(3)
    assert a == b
    c = first(3, '0.5')
    assert c != a and re.search('learning rate (.*)\\.', c)[1] != re.search('learning rate (.*)\\.', a)[1] and '(3 steps)' in c
    page.fill('#lml-rate', '0.02'); page.fill('#lml-seed', '2'); page.press('#lml-seed', 'Tab')
    assert first(3) != a


def test_in_the_browser_as_in_node(opened):
    "Fifty steps of the default settings: every loss to 1e-3, and far better."
    page = opened()
    losses = page.evaluate('''async () => { const {Run} = await import("./train.js"), run = new Run({n_hidden: 8}); return Array.from({length: 50}, () => run.step()); }''')
    if NODE: assert losses == pytest.approx(in_node('const run = new m.Run({n_hidden: 8}); return Array.from({length: 50}, () => run.step());'), abs=1e-6)
    assert losses[-1] < losses[0] - .2


def test_own_text_and_what_can_go_wrong(opened):
    page = opened()
    small(page, text='words')
    def told(text, **fill):
        page.fill('#lml-pasted', text); page.press('#lml-pasted', 'Tab')
        for id,value in fill.items(): page.fill(f'#lml-{id}', value); page.press(f'#lml-{id}', 'Tab')
        page.click(LEARN)
        page.wait_for_function("document.querySelector('.lml [role=alert]').textContent")
        why = page.text_content('.lml [role=alert]')
        assert why.endswith('.') and why.count('. ') == 0 and page.text_content(LEARN) == 'Learn'
        return why
    assert 'no word' in told(' ') and 'only one word' in told('one one one') and 'different words' in told(' '.join(f'w{k}' for k in range(900)))
    assert 'paste more' in told('a b c a b') and 'above 0' in told('a b c ', rate='-1')
    assert 'too wild' in told('a b c d '*2000, rate='1e300')
    # and a text that goes well: it is read letter by letter, and handed to the playground
    page.fill('#lml-rate', '0.02'); page.select_option('#lml-text', 'characters'); page.fill('#lml-pasted', 'the cat sat on the mat. '*60); page.press('#lml-pasted', 'Tab')
    page.click(LEARN)
    page.wait_for_function("/The run is over/.test(document.querySelector('.lml-said').textContent)")
    page.click(TAKE)
    page.wait_for_function("/Learned here/.test(document.querySelector('#lmp-model').textContent)")
    assert 'character' in page.text_content('#lmp-next') and page.locator('.lmp-strip[aria-label*="update gate"]').count()


def test_what_was_learned_is_looked_into(opened):
    "A run on Human Numbers stands among the models of the course, reads the same text, and goes on standing in a saved file."
    page = opened('#playground?text=one+.+two&model=gru2')
    small(page, cell='rnn')
    page.click(STEP); page.wait_for_function("/1 step/.test(document.querySelector('.lml-said').textContent)")
    page.click(TAKE)
    page.wait_for_function("document.querySelector('#lmp-model').selectedOptions[0].textContent.startsWith('Learned here: RNN')")
    assert page.locator('#lmp-model option').count() == 5 and [b for b in page.eval_on_selector_all('.lmp-chips button', 'bs => bs.map(b => b.textContent)')] == ['one', '.', 'two']
    page.click('summary >> text=Look into a model of your own')
    with page.expect_download() as found: page.click('text=Save this model')
    entry = json.loads(open(found.value.path(), encoding='utf-8').read())
    bars = page.text_content('.lmp-bars')
    page = opened('#playground?text=one+.+two')
    page.click('summary >> text=Look into a model of your own')
    page.set_input_files('#lmp-file', dict(name='mine.json', mimeType='application/json', buffer=json.dumps(entry).encode()))
    page.wait_for_function("document.querySelector('#lmp-model').selectedOptions[0].textContent.startsWith('Learned here: RNN')")
    assert page.text_content('.lmp-bars') == bars
    for content,why in ((b'no json', 'no JSON'), (b'{"vocab": 3}', 'holds no model'), (b'{"vocab": ["a"], "models": {"x": {"cell": "what", "weights": {}}}}', 'not known')):
        page.click('summary >> text=Look into a model of your own') if not page.is_visible('#lmp-file') else None
        page.set_input_files('#lmp-file', dict(name='bad.json', mimeType='application/json', buffer=content))
        page.wait_for_function(f"document.querySelector('.lmp-more [role=alert]').textContent.includes('{why}')")


def test_why_and_hold_and_a_link(opened):
    page = opened()
    tab_to(page, '#lmp-word'); page.keyboard.type('eight thousand forty one . eight thousand forty two .'); page.keyboard.press('Enter')
    ids = human_numbers().vocab.encode('eight thousand forty one . eight thousand forty two .')
    shares = lambda: page.eval_on_selector_all('.lmp-chips button', "bs => bs.map(b => Number(b.dataset.why.replace('−', '-')))")
    tab_to(page, '#lmp-why'); page.keyboard.press('Space'); page.wait_for_selector('.lmp-chips [data-why]')
    model,vocab = load_exported('tied').double(),human_numbers().vocab
    assert shares() == pytest.approx(gradient_times_input(model, ids, vocab['eight']).tolist(), abs=.0051)
    whysaid = page.text_content('.lmp-whysaid')
    assert whysaid.startswith('Why “eight”, by gradient × input: for it speak “eight” (4 before) +1.2') and page.get_attribute('.lmp-whysaid', 'role') == 'status'
    tab_to(page, '.lmp-bars li:nth-child(2) button', 'Shift+Tab')                    # another word is asked for by coming to it
    second = page.text_content('.lmp-bars li:nth-child(2) .lmp-word')
    assert page.text_content('.lmp-whysaid').startswith(f'Why “{second}”')
    page.select_option('#lmp-whyby', 'occlusion'); page.focus('.lmp-bars li:nth-child(1) button'); page.keyboard.press('Tab')
    assert shares() == pytest.approx(occlusion(model, ids, vocab[second]).tolist(), abs=.0051) and 'by leaving out' in page.text_content('.lmp-whysaid')
    # hold the forget gates of layer 1 shut
    before = page.text_content('.lmp-bars')
    tab_to(page, '.lmp-more summary'); page.keyboard.press('Enter')
    tab_to(page, '#lmp-hold-unit'); page.keyboard.type('99'); page.keyboard.press('Tab'); page.keyboard.press('Tab'); page.keyboard.press('Enter')
    assert '0 to 63' in page.text_content('.lmp-more [role=status]')
    page.fill('#lmp-hold-unit', ''); page.click('text="Pin shut"')
    assert 'forget gate f, all units: shut' in page.text_content('.lmp-held') and page.text_content('.lmp-bars') != before
    assert 'mean 0.00; 0 open, 64 shut' in page.text_content('.lmp-inside') and 'let go first' in page.text_content('.lmp-whysaid')
    page.select_option('#lmp-hold-part', 'c'); page.fill('#lmp-hold-unit', '3'); page.click('.lmp-more button >> text="Freeze"')
    page.click('summary >> text=Two models side by side'); page.select_option('#lmp-other', 'gru2')
    assert re.search(r'Of the 9 words after the first, the one above guessed \d right and the one beside it \d', page.text_content('.lmp-more'))
    page.fill('#lmp-topk', '3'); page.press('#lmp-topk', 'Tab'); page.fill('#lmp-temperature', '1'); page.click('.lmp-write button:nth-child(1)')
    assert sum(float(n) > 0 for n in page.eval_on_selector_all('.lmp-bars li:not([hidden]) .lmp-number', 'ns => ns.map(n => n.textContent)')) == 3
    page.wait_for_timeout(400)
    state = "() => ['.lmp-bars', '.lmp-chips', '.lmp-held', '.lmp-inside', '.lmp-besides', '.lmp-settings'].map(s => document.querySelector(s).textContent)"
    url,was = page.url,page.evaluate(state)
    assert 'pins=' in url and 'beside=gru2' in url
    other = opened(url[url.index('#'):])
    other.wait_for_function("document.querySelectorAll('.lmp-chips button').length == 11")
    assert other.evaluate(state) == was and other.is_checked('#lmp-why') and other.input_value('#lmp-whyby') == 'occlusion'
    page.click('.lmp-held button >> nth=0'); page.click('.lmp-held button >> nth=0')
    assert not page.text_content('.lmp-held') and opened('#playground?model=what&text=zebra').text_content('#lmp-refused')


def test_training_settings_are_a_link(opened):
    page = opened('#learn?cell=rnn&n_layers=2&n_hidden=16&lr=0.1&seq_len=8&n_epochs=3&seed=7&text=words&pasted=8+9')
    values = lambda: page.eval_on_selector_all('.lml-fields :is(select, input), #lml-rate, #lml-pasted', 'es => es.map(e => e.value)')
    assert values() == ['rnn', '2', '16', '8', '3', '7', 'words', '8 9', '0.1']
    page.select_option('#lml-cell', 'gru'); page.wait_for_timeout(400)
    assert 'learn?cell=gru&n_layers=2' in page.url


def test_learning_without_motion_narrow_and_dark(opened):
    page = opened(reduced_motion='reduce', viewport=dict(width=390, height=844), color_scheme='dark')
    small(page)
    page.fill('#lml-epochs', '50'); page.press('#lml-epochs', 'Tab')                 # it shall not be over before it is looked at
    drawn = lambda: page.locator('.lml polyline').count()
    page.click(LEARN)
    page.wait_for_timeout(600)
    assert page.text_content(LEARN) == 'Pause' and not drawn()                       # nothing moves
    page.keyboard.press('Escape')
    page.wait_for_function("document.querySelectorAll('.lml polyline').length === 2")   # drawn when it pauses
    assert page.text_content(LEARN) == 'Learn'
    page.fill('#lml-epochs', '1'); page.press('#lml-epochs', 'Tab')
    assert not drawn()
    page.click(LEARN)
    page.wait_for_function("/The run is over/.test(document.querySelector('.lml-said').textContent)")
    assert drawn() == 2 and 'reduced motion' in page.text_content('.lml-do')         # and when it ends
    page.click(KEEP)
    assert page.evaluate('document.documentElement.scrollWidth') <= 390


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessible(opened, axe, scheme):
    page = opened('#playground?text=one+.+two&why=gradient&beside=gru2&pins=0.f.3%3D1', color_scheme=scheme)
    small(page, text='words')
    page.fill('#lml-pasted', 'a b c d '*100); page.press('#lml-pasted', 'Tab')
    page.click(LEARN); page.wait_for_function("/The run is over/.test(document.querySelector('.lml-said').textContent)")
    page.click(KEEP); page.fill('#lml-rate', '-1'); page.press('#lml-rate', 'Tab')
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.evaluate(axe)
    assert not violations(page)
    page.set_viewport_size(dict(width=390, height=844))
    assert not violations(page) and page.evaluate('document.documentElement.scrollWidth') <= 390


def test_a_page_that_is_one_file_learns_too(browser, tmp_path):
    "Opened as a file: all scripts in an import map, the worker from a blob."
    scripts = {f.name: 'data:text/javascript;base64,' + base64.b64encode(re.sub(r"""\b(from |import |import\()(['"])\./""", r'\1\2', f.read_text(encoding='utf-8')).encode()).decode()
               for f in PAGE.glob('*.js')}
    data = (ROOT/'docs/playground/models.json').read_text(encoding='utf-8')
    (tmp_path/'one.html').write_text(f'''<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>One</title><style>{(PAGE/'playground.css').read_text(encoding='utf-8')}</style>
<div data-models></div><div data-learn></div><script type="application/json" id="lmp-models">{data.replace('<', '&lt;')}</script>
<script type="importmap">{json.dumps(dict(imports=scripts))}</script><script type="module">import "playground.js"</script>''', encoding='utf-8')
    page,reports = browser.new_page(),[]
    page.on('console', lambda m: reports.append(m.text)); page.on('pageerror', lambda e: reports.append(str(e)))
    page.goto((tmp_path/'one.html').as_uri())
    page.wait_for_selector('.lmp-bars button'); page.evaluate("document.querySelector('[data-learn]').scrollIntoView()")
    page.wait_for_selector('.lml button')
    small(page)
    page.click(STEP); page.wait_for_function("/1 step/.test(document.querySelector('.lml-said').textContent)")
    assert page.locator('.lmp-bars button').count() and not reports
    page.close()
