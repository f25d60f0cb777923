"The playground: its JavaScript against the course's own models in Node, the size, no stale export, and the page itself, by keyboard."
import json
import random
import shutil
import subprocess
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import Served, tab_to, violations
from conftest import ROOT
from export_playground import FILE, PAGE, RUNGS, SEED, accuracy, cache_of, exported, load_exported, recipe_of
from lm_from_scratch.copying import cache_guesses, count_on, write_words
from lm_from_scratch.data import human_numbers
from lm_from_scratch.gru import gru_parameters
from lm_from_scratch.inspection import read_states
from lm_from_scratch.course.ladder import find_recipe

corpus = human_numbers()
vocab = corpus.vocab


def test_size():
    total = sum(f.stat().st_size for f in [*PAGE.iterdir(), FILE])
    assert total < 1_000_000, f"{total:,} bytes"


@pytest.mark.parametrize('name', RUNGS)
def test_export_is_fresh(name):
    "Vocabulary, recipes and settings of the cache are the present ones, and the weights reach the accuracy that the page tells."
    data = exported()
    assert list(data['models']) == RUNGS and data['vocab'] == list(vocab), "python docs/export_playground.py"
    e = data['models'][name]
    assert (e['recipe'], e['seed'], e['cache']) == (recipe_of(name), SEED, cache_of(name)), "python docs/export_playground.py"
    model = load_exported(name)
    assert type(model) is type(find_recipe(name).model(len(vocab))) and e['parameters'] == sum(p.numel() for p in model.parameters())
    assert e['tied'] == (model.h_o.weight is model.i_h.weight)
    assert accuracy(name, model) == pytest.approx(e['accuracy'], abs=1e-3) == pytest.approx(e['accuracy_float32'], abs=2e-3)


def test_another_recipe_makes_the_export_stale(monkeypatch):
    monkeypatch.setattr('export_playground.find_recipe', lambda name: replace(find_recipe(name), lr=2e-2))
    assert exported()['models']['tied']['recipe'] != recipe_of('tied')


# ---- JavaScript against Python

NODE = shutil.which('node')
needs_node = pytest.mark.skipif(not NODE, reason="NOT TESTED: the playground's arithmetic (node is missing)")


def in_node(body, **given):
    "Run JavaScript with the exports of model.js as `m`, models.json as `data` and our arguments as `given`."
    script = f'''
import {{ readFileSync }} from "node:fs";
const m = await import({json.dumps((PAGE/'model.js').as_uri())});
const data = JSON.parse(readFileSync({json.dumps(str(FILE))}, "utf8")), given = JSON.parse(readFileSync(0, "utf8"));
const plain = (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v;
const out = (() => {{ {body} }})();
process.stdout.write(JSON.stringify(out, plain));'''
    out = subprocess.run([NODE, '--input-type=module', '-e', script], input=json.dumps(given), capture_output=True, text=True, encoding='utf-8')
    assert not out.returncode, out.stderr
    return json.loads(out.stdout)


def prefixes(seed, n=100):
    "Beginnings of every length from 1 to 60: half of them words in any order, half of them from the text."
    rng = random.Random(seed)
    def some(k, length):
        at = rng.randrange(len(corpus) - length)
        return corpus.ids[at:at+length].tolist() if k % 2 else [rng.randrange(len(vocab)) for _ in range(length)]
    return [some(k, 1 + k % 60) for k in range(n)]


@torch.no_grad()
def python_reads(model, ids):
    "Logits after every word, and the states that the decoder reads, whatever the model returns."
    seen = []
    hook = model.h_o.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.reset()
    try: out = model(torch.tensor([ids]))
    finally: hook.remove(); model.reset()
    states = torch.stack(seen, 1) if seen[0].dim() == 2 else seen[0]                 # word by word, or all at once
    return (out[0] if isinstance(out, tuple) else out)[0], states[0]


def with_cache(scores, states, ids, theta, lam):
    "What the last word of `cache_guesses` is chosen by."
    p = scores[-1].softmax(-1)
    if len(ids) == 1: return p
    found = (theta * states[:-1] @ states[-1]).softmax(-1) @ F.one_hot(torch.tensor(ids[1:]), len(vocab)).to(p)
    return (1-lam)*p + lam*found


READ = '''
const model = m.makeModel(data.models[given.name]);
return given.prefixes.map(ids => {
  const reader = new m.Reader(model);
  for (const id of ids) reader.read(id);
  const {scores, probs} = reader.predict({cache: given.cache}), alone = reader.predict().probs;
  return {scores, probs, alone, layers: reader.steps.at(-1).layers};
});'''


@needs_node
@pytest.mark.parametrize('name', RUNGS)
def test_same_numbers_as_python(name):
    texts,cache = prefixes(RUNGS.index(name)),cache_of(name)
    got = in_node(READ, name=name, prefixes=texts, cache=cache)
    model,single = load_exported(name).double(),load_exported(name)
    single_guess = {}
    if name != 'every_word': # `cache_guesses` asks for states, which that model does not return
        for ids in texts:
            if len(ids) == 1: continue
            dl = [(torch.tensor([ids]), torch.tensor([[*ids[1:], 0]]))]                  # what follows the last word is not used
            single_guess[tuple(ids)] = int(cache_guesses(single, dl, **cache)[0, -1])
    assert len(texts) == 100 and len({len(t) for t in texts}) == 60
    for ids,js in zip(texts, got):
        scores,states = python_reads(model, ids)
        assert np.abs(np.array(js['scores']) - scores[-1].numpy()).max() <= 1e-5
        assert np.abs(np.array(js['layers'][-1]['state']['h']) - states[-1].numpy()).max() <= 1e-5
        assert np.abs(np.array(js['alone']) - scores[-1].softmax(-1).numpy()).max() <= 1e-5
        p = with_cache(scores, states, ids, **cache)
        assert np.abs(np.array(js['probs']) - p.numpy()).max() <= 1e-5 and sum(js['probs']) == pytest.approx(1)
        first,second = p.topk(2).values
        if tuple(ids) in single_guess and first - second > 1e-3: assert int(np.argmax(js['probs'])) == single_guess[tuple(ids)]


@needs_node
@pytest.mark.parametrize('name', ['lstm2', 'tied'])
def test_gates_of_the_lstm(name):
    texts,model = prefixes(10, 10),load_exported(name).double()
    for ids,js in zip(texts, in_node(READ, name=name, prefixes=texts, cache=None)):
        ours = read_states(model, torch.tensor(ids))
        for layer,there in enumerate(js['layers']):
            values = {**there['gates'], **there['state']}
            for letter,of in dict(i='input', f='forget', g='candidate', o='output', c='cell', h='hidden').items():
                assert np.abs(np.array(values[letter]) - ours[of][layer, 0, -1].numpy()).max() <= 1e-5, of


@needs_node
def test_gates_of_the_gru():
    texts,model = [t for t in prefixes(11, 10) if len(t) > 1],load_exported('gru2').double()
    W_i,W_h,b_i,b_h = (p.detach() for p in gru_parameters(model.rnn)[:4])             # the first layer
    for ids,js in zip(texts, in_node(READ, name='gru2', prefixes=texts, cache=None)):
        model.reset()
        with torch.no_grad(): model(torch.tensor([ids[:-1]]))
        h = model.h[0, 0]
        (i_r,i_z,i_n),(h_r,h_z,h_n) = F.linear(model.i_h.weight[ids[-1]].detach(), W_i, b_i).chunk(3),F.linear(h, W_h, b_h).chunk(3)
        r,z = (i_r + h_r).sigmoid(),(i_z + h_z).sigmoid()
        n = (i_n + r*h_n).tanh()
        for letter,ours in dict(r=r, z=z, n=n).items(): assert np.abs(np.array(js['layers'][0]['gates'][letter]) - ours.numpy()).max() <= 1e-5, letter


@needs_node
def test_forgetting_is_a_cold_start():
    got = in_node('''
const model = m.makeModel(data.models.tied), a = new m.Reader(model), b = new m.Reader(model), cache = {theta: 4, lam: .5};
for (const id of [8, 29, 3, 1, 8]) a.read(id);
const before = a.predict({cache}).probs;
a.forget(); a.forget();
const nothing = a.predict({cache}).probs, empty = b.predict({cache}).probs;
for (const id of [29, 22]) { a.read(id); b.read(id); }
const same = [a.predict({cache}).probs, b.predict({cache}).probs];
a.back(); a.back();
const cut = a.cuts.length; a.back();
return {before, nothing, empty, same, cut, after: a.predict({cache}).probs, cuts: a.cuts.length, steps: a.steps.length};''')
    assert got['nothing'] == got['empty'] != got['before'] and got['same'][0] == got['same'][1]
    assert (got['cut'], got['cuts'], got['steps']) == (1, 0, 5) and got['after'] == got['before']


@needs_node
def test_sampling_and_counting():
    got = in_node('''
const p = [.1, .6, .3], drawn = [.05, .1, .69, .7, .9999999].map(r => m.draw(p, () => r));
return {drawn, cold: m.temper(p, 0), half: m.temper(p, .5), one: m.temper(p, 1), zero: m.temper([0, .5, .5], .5),
  numbers: Array.from({length: 9999}, (_, k) => m.numberWords(k + 1).join(" ")), prompt: m.countingPrompt(8001, 3),
  follow: [m.follows(7999, ["eight", "thousand"]), m.follows(7999, ["eight", "thousand", "one"]), m.follows(8001, ["two"]), m.follows(9999, [])],
  halves: [0x3c00, 0xc000, 1, 0x7bff, 0x0400].map(m.half)};''')
    from lm_from_scratch.data import number_words
    assert got['drawn'] == [0, 1, 1, 2, 2] and got['cold'] == [0, 1, 0] and got['zero'] == [0, .5, .5]
    assert got['half'] == pytest.approx([.01/.46, .36/.46, .09/.46]) and got['one'] == pytest.approx([.1, .6, .3])
    assert got['numbers'] == [number_words(n) for n in range(1, 10_000)]
    assert ' '.join(got['prompt']) == 'seven thousand nine hundred ninety nine . eight thousand one .'
    assert got['follow'] == [8000, 8001, None, None]
    assert got['halves'] == np.array([0x3c00, 0xc000, 1, 0x7bff, 0x0400], '<u2').view('<f2').astype(float).tolist()


# ---- the page

@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    for f in [*PAGE.iterdir(), FILE]: shutil.copy(f, folder)
    with Served(folder) as url: yield url


@pytest.fixture
def opened(browser, site):
    "Open the page; at the end, nothing may have been reported on the console or asked of another site."
    contexts,reports = [],[]
    def go(ready='.lmp-bars button', block=None, **settings):
        contexts.append(context := browser.new_context(**{'viewport': dict(width=1200, height=900), **settings}))
        page = context.new_page()
        page.on('console', lambda m: reports.append(m.text))
        page.on('pageerror', lambda e: reports.append(str(e)))
        page.on('request', lambda r: r.url.startswith((site, 'data:')) or reports.append(r.url))
        if block: page.route(block, lambda route: route.fulfill(status=404, body=''))
        page.goto(f'{site}/demo.html')
        page.wait_for_selector(ready)
        return page
    yield go, reports
    for context in contexts: context.close()
    assert not reports


def text_of(page): return page.eval_on_selector_all('.lmp-chips button', 'bs => bs.map(b => b.textContent)')
def bars_of(page): return page.eval_on_selector_all('.lmp-bars li:not([hidden]) button',
    "bs => bs.map(b => [b.querySelector('.lmp-word').textContent, b.querySelector('.lmp-number').textContent])")
def type_words(page, text): tab_to(page, '#lmp-word'); page.keyboard.type(text); page.keyboard.press('Enter')
BUTTON = '.lmp-text .lmp-line:last-of-type button:nth-child({})'
BACK,FORGET,CLEAR = (BUTTON.format(k) for k in (1, 2, 3))
STEP,RUN,COUNT = '.lmp-write button:nth-child(1)','.lmp-main','.lmp-write button[type=submit]'


def greedy(prompt, n): return [*prompt.split(), *islice(write_words(load_exported('tied'), vocab, prompt), n)]


def test_by_keyboard(opened):
    go,_ = opened
    page = go()
    type_words(page, 'eight thousand forty one . eight thousand forty two .')
    start = greedy('eight thousand forty one . eight thousand forty two .', 0)
    assert text_of(page) == start
    # the bars say what Python says
    scores,_ = python_reads(load_exported('tied').double(), vocab.encode(start).tolist())
    p,ids = scores[-1].softmax(-1).topk(10)
    bars = bars_of(page)
    assert [w for w,_ in bars] == [vocab[int(k)] for k in ids] and bars[0][1] == f'{p[0]:.3f}'
    said = page.text_content('.lmp-said')
    assert '“eight”' in said and f'{100*float(p[0]):.0f}%' in said
    assert page.get_attribute('.lmp-said', 'aria-live') == 'polite'
    assert 'forget gate' in page.get_attribute('.lmp-strip[role=img][aria-label*="forget"]', 'aria-label')
    # a step is the likeliest word, and Enter on a bar appends it
    tab_to(page, STEP); page.keyboard.press('Enter')
    assert text_of(page) == greedy(' '.join(start), 1)
    tab_to(page, '.lmp-bars li:first-child button'); page.keyboard.press('Enter')
    assert text_of(page) == greedy(' '.join(start), 2)
    # forgetting keeps the text and changes the prediction
    before = bars_of(page)
    tab_to(page, FORGET); page.keyboard.press('Enter')
    assert text_of(page) == greedy(' '.join(start), 2) and bars_of(page) != before
    assert 'All forgotten' in page.text_content('.lmp-said') and page.text_content('.lmp-cut')
    tab_to(page, BACK, 'Shift+Tab'); page.keyboard.press('Enter')
    assert bars_of(page) == before and not page.query_selector('.lmp-cut')
    page.keyboard.press('Enter')
    assert text_of(page) == greedy(' '.join(start), 1)
    # a word of the text goes back to there
    tab_to(page, '.lmp-chips li:nth-child(3) button'); page.keyboard.press('Enter')
    assert text_of(page) == start[:3]
    # the cache changes what is predicted; another model reads the same text
    type_words(page, 'one . eight thousand forty two .')
    before = bars_of(page)
    tab_to(page, '#lmp-cache'); page.keyboard.press('Space')
    assert bars_of(page) != before
    page.keyboard.press('Space'); assert bars_of(page) == before
    tab_to(page, '#lmp-model', 'Shift+Tab'); page.keyboard.press('ArrowUp')
    page.wait_for_selector('.lmp-strip[aria-label*="update gate"]')
    assert text_of(page) == start and bars_of(page) != before
    # only known words are accepted
    type_words(page, 'eight zebra')
    assert text_of(page) == start and 'zebra' in page.text_content('#lmp-refused') and page.get_attribute('#lmp-word', 'aria-invalid') == 'true'
    tab_to(page, CLEAR); page.keyboard.press('Enter')
    assert not text_of(page)


def test_what_may_be_typed(opened):
    "Commas and hyphens part words; a number in digits is told in words; nothing stays in the input after Count on and Clear."
    go,_ = opened
    page = go()
    type_words(page, 'Eight thousand forty-one,two;three\u2013four.')
    assert text_of(page) == 'eight thousand forty one two three four .'.split() and page.input_value('#lmp-word') == ''
    for typed,told in (('two 42', '“forty two”'), ('0', '“0” is not'), ('-', 'Type a word'), ('zebra', '“zebra” is not')):
        page.fill('#lmp-word', ''); type_words(page, typed)
        assert told in page.text_content('#lmp-refused') and len(text_of(page)) == 8
    tab_to(page, CLEAR); page.keyboard.press('Enter')
    assert not text_of(page) and page.input_value('#lmp-word') == page.text_content('#lmp-refused') == ''
    page.keyboard.type('zebra')
    tab_to(page, COUNT); page.keyboard.press('Enter'); page.keyboard.press('Escape')
    assert page.input_value('#lmp-word') == ''
    # the words that it knows, behind their summary
    tab_to(page, '.lmp-vocab summary', 'Shift+Tab'); page.keyboard.press('Enter')
    before = text_of(page)
    tab_to(page, '.lmp-vocab button:last-of-type'); page.keyboard.press('Enter')
    assert text_of(page) == [*before, list(vocab)[-1]] and page.locator('.lmp-vocab button').count() == len(vocab)


def test_small_probabilities_are_not_zero(opened):
    page = opened[0]()
    type_words(page, 'eight thousand forty one . eight thousand forty two . eight')
    said,bars = page.text_content('.lmp-said'),bars_of(page)
    assert float(bars[1][1]) < .01 and f'“{bars[1][0]}” <1%' in said and ' 0%' not in said


def test_controls_text_and_gates_in_one_view(opened):
    "In a wide window all of it at once; in a narrow one Step comes right after the text and stays, and the gates come right after the bars."
    go,_ = opened
    page = go(viewport=dict(width=1280, height=900))
    box = lambda selector: page.locator(selector).first.bounding_box()
    bottom = lambda selector: box(selector)['y'] + box(selector)['height']
    type_words(page, 'eight thousand forty one . eight thousand forty two .')
    tab_to(page, STEP); page.keyboard.press('Enter')
    page.evaluate("document.querySelector('.lmp').scrollIntoView()")
    assert box('.lmp-chips')['y'] >= 0 and bottom('.lmp-bars') < 850 and bottom('.lmp-row >> nth=5') < 850
    assert all(0 <= box(s)['y'] < 400 for s in (STEP, RUN, COUNT))
    page.evaluate("document.querySelector('[data-models]').scrollIntoView(false)")
    assert 0 <= box(STEP)['y'] < 60
    page = go(viewport=dict(width=390, height=844))
    type_words(page, 'one . two .')
    assert 0 < box(STEP)['y'] - bottom('.lmp-chips') < 50 and 0 < box('.lmp-inside')['y'] - bottom('.lmp-next') < 30
    page.evaluate("document.querySelector('.lmp-inside').scrollIntoView()")
    assert 0 <= box(STEP)['y'] < 60 and bottom('.lmp-row >> nth=5') < 844


def test_headings(opened):
    page = opened[0]()
    assert page.eval_on_selector_all('[data-models] :is(h1, h2, h3, h4)', 'hs => hs.map(h => h.tagName)') == ['H3', 'H3', 'H3', 'H4', 'H4', 'H3']


def test_counting_on(opened):
    "From 8042 the tied model counts on rightly for a good while: the page as far as Python, then both wrong in the same way."
    go,_ = opened
    page = go()
    right,wrong = count_on(load_exported('tied'), 8042, n_before=2)
    assert right > 20 and wrong
    tab_to(page, '#lmp-speed'); page.keyboard.press('End')
    tab_to(page, COUNT); page.keyboard.press('Enter')
    assert page.text_content(RUN) == 'Pause' and page.get_attribute('.lmp-said', 'aria-live') == 'off'
    page.wait_for_function("document.querySelectorAll('.lmp-chips button').length >= 20")
    page.keyboard.press('Enter')                                                     # the focus is on Pause
    words = text_of(page)
    assert page.text_content(RUN) == 'Run' and words == greedy('eight thousand forty one . eight thousand forty two .', len(words) - 10)
    page.wait_for_timeout(200)
    assert text_of(page) == words                                                    # paused is paused
    page.keyboard.press('Enter')
    page.wait_for_function(f"document.querySelectorAll('.lmp-chips button').length > {len(words)}")
    page.keyboard.press('Escape')
    assert page.text_content(RUN) == 'Run'


def test_reduced_motion(opened):
    go,_ = opened
    page = go(reduced_motion='reduce')
    assert 'reduced motion' in page.text_content('.lmp-settings')
    type_words(page, 'one . two .')
    tab_to(page, RUN); page.keyboard.press('Enter')
    assert text_of(page) == greedy('one . two .', 40) and page.text_content(RUN) == 'Run'    # all at once
    assert page.evaluate("getComputedStyle(document.querySelector('.lmp-track .lmp-model')).transitionDuration") == '0s'
    tab_to(page, COUNT); page.keyboard.press('Enter')
    right,wrong = count_on(load_exported('tied'), 8042, n_before=2)
    assert page.text_content('.lmp-said').startswith(f'{right} numbers counted on without a mistake. Then “{wrong}”')
    assert page.eval_on_selector_all('.lmp-wrong', 'bs => bs.map(b => b.textContent).join(" ")') == wrong


def test_narrow_and_dark(opened):
    go,_ = opened
    for scheme in ('light', 'dark'):
        page = go(viewport=dict(width=390, height=800), color_scheme=scheme)
        tab_to(page, COUNT); page.keyboard.press('Enter'); page.keyboard.press('Escape')
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        colours = page.eval_on_selector('.lmp section', 's => [getComputedStyle(s).color, getComputedStyle(s).backgroundColor]')
        text,ground = (sum(map(int, c[4:-1].split(','))) for c in colours)
        assert (text > ground) == (scheme == 'dark')


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [390, 1200])
def test_accessible(opened, axe, scheme, width):
    page = opened[0](viewport=dict(width=width, height=900), color_scheme=scheme)
    page.evaluate(axe)
    type_words(page, 'one . two'); tab_to(page, FORGET); page.keyboard.press('Enter'); type_words(page, 'zebra')
    assert not violations(page)
    page.evaluate("document.body.append(document.createElement('button'))")          # a button without a name: axe does look
    assert [rule for rule,_ in violations(page)][:1] == ['button-name']


def test_without_weights(opened):
    go,reports = opened
    page = go(ready='.lmp-failed', block='**/models.json')
    assert 'python -m http.server' in page.text_content('[role=alert]')
    assert len(reports) == 1 and '404' in reports.pop()                              # the browser's own line, nothing of ours
