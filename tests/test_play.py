"The playground on runs of one's own: cutting texts as Python does, the server, Ctrl-C, the page by keyboard, and one page without a network."
import base64
import http.client
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
import torch
from browser import tab_to, violations
from conftest import ROOT, unix
from test_playground import NODE, PAGE, bars_of, text_of
from test_runs import small
from typer.testing import CliRunner

from lm_from_scratch import play
from lm_from_scratch.cli import app
from lm_from_scratch.copying import scores_of
from lm_from_scratch.errors import LMError
from lm_from_scratch.export import page_tokens
from lm_from_scratch.play import inline_scripts, listen, one_page, page_files, serving, write_page
from lm_from_scratch.state import lent
from lm_from_scratch.tokens import TextTokenizer

POEM = 'The Tiger\'s "eye", 3.14 & well-known <tags>: don’t!\n\tNaïve café – zażółć 😀👍🏽 … e\u0301\u00a0x  y\n'
MANY = ' '.join(f'w{i:03} w{i:03}' for i in range(700))
KINDS = dict(words=dict(tokens='words', eos='<eos>'), punctuation=dict(tokens='punctuation', eos='<eos>'), chars=dict(tokens='chars'), bpe=dict(tokens='bpe', max_words=300))


# ---- cutting a text

CUT = '''
import { readFileSync } from "node:fs";
const { Tokens, visible } = await import(%s), given = JSON.parse(readFileSync(0, "utf8"));
const tokens = new Tokens(given);
process.stdout.write(JSON.stringify({cuts: given.texts.map(t => tokens.cut(t)), shown: given.vocab.map(w => tokens.show(w)), newline: tokens.newline,
  tails: given.texts.map(t => tokens.tail(tokens.cut(t).tokens)), found: tokens.find("e", 5), signs: visible(" \\n\\t\\u0301\\u200b")}));''' % json.dumps((PAGE/'tokens.js').as_uri())


def cut_in_node(vocab, texts):
    given = dict(vocab=list(vocab), tokens=page_tokens(vocab), texts=texts)
    out = subprocess.run([NODE, '--input-type=module', '-e', CUT], input=json.dumps(given), capture_output=True, text=True, encoding='utf-8')
    assert not out.returncode, out.stderr
    return json.loads(out.stdout)


def texts_of(seed, n=300):
    "Pieces of the poem, and letters of every script in any order."
    rng, letters = random.Random(seed), ' \n\tabAZ019.,-\'’"<>_&éßñЖжא中あ한\u0301\u00a0\u2003–…😀👍🏽²½٣ⒶⅧ②‍ः'
    return [POEM[at:at+rng.randrange(40)] for at in (rng.randrange(len(POEM)) for _ in range(n//2))] + [''.join(rng.choices(letters, k=rng.randrange(1, 12))) for _ in range(n//2)]


@pytest.mark.skipif(not NODE, reason="NOT TESTED: the page's tokenizers (node is missing)")
@pytest.mark.parametrize('kind', KINDS)
def test_a_text_is_cut_as_python_cuts_it(kind):
    texts = texts_of(7)
    how = dict(eos='<eos>') if kind in ('words', 'punctuation') else dict(max_words=350) if kind == 'bpe' else {}
    vocab = TextTokenizer.train(POEM*3 + ' '.join(texts[::2]), kind, **({} if kind == 'bpe' else dict(unk='<unk>')), **how)
    got = cut_in_node(vocab, texts)
    for text, cut in zip(texts, got['cuts']):
        assert cut['tokens'] == [vocab[int(i)] for i in vocab.encode(text)], repr(text)
        if kind != 'bpe': assert bool(cut['unknown']) == (vocab[vocab.unk] in vocab.encode(text))
    assert got['newline'] == dict(chars='\n', bpe='Ċ').get(kind, '<eos>') and got['signs'] == '␣⏎⇥\u0301U+200B'
    assert all(w and not any(c.isspace() for c in w) for w in got['shown']) and len(set(got['shown'])) == len(vocab)
    assert got['found']['of'] == sum('e' in w.lower() for w in got['shown']) and len(got['found']['tokens']) == min(5, got['found']['of'])
    if kind == 'bpe': assert got['shown'][vocab['Ġ']] == '␣' and '‹C3›' in got['shown']
    if kind in ('chars', 'bpe'): assert any('é' in t for t in got['tails'])


# ---- the server

def runs_of(folder, text=None, **how): return small(folder/'run', text or POEM*30, **{'evaluations': 1, 'steps': 6, **how})


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    "A run of each kind of tokens; one with many words, and one of numbers."
    found = {k: runs_of(tmp_path_factory.mktemp(k), **how) for k, how in KINDS.items()}
    found['many'] = runs_of(tmp_path_factory.mktemp('many'), MANY, rnn='gru', n_layers=2, tie_weights=False, n_emb=5, n_hidden=205)
    found['numbers'] = small(tmp_path_factory.mktemp('numbers')/'<run> & "co"', '\n'.join(f'{w} .' for w in NUMBERS), evaluations=1, steps=6)
    return found


NUMBERS = [' '.join(w) for w in itertools.product('one two three four five six seven eight nine'.split(), 'thousand hundred'.split(), '''ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety'''.split())]


def ask(url, path='/', **headers):
    at = urlsplit(url)
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=5)
    c.request('GET', path, headers=headers)
    answer = c.getresponse()
    return answer.status, answer.headers, answer.read()


def test_it_serves_the_page_and_nothing_else(runs):
    run = runs['words']
    with serving(run) as url:
        assert url.startswith('http://127.0.0.1:')
        status, headers, page = ask(url)
        assert status == 200 and b"default-src 'none'" in page and b'<h1>run</h1>' in page and headers['Cache-Control'] == 'no-store'
        for name in page_files():
            if name != 'demo.html': assert ask(url, f'/{name}?x=1')[0] == 200
        assert json.loads(ask(url, '/models.json')[2])['vocab'] == list(run.vocab)
        for path in ('/demo.html', '/../config.json', '/config.json', '/%2e%2e/config.json', '//etc/passwd', '/playground', '/.'): assert ask(url, path)[0] == 404, path
        for host in ('evil.example', 'evil.example:80', '', f'evil.example:{urlsplit(url).port}'): assert ask(url, Host=host)[0] == 403
        assert ask(url, Host=f'localhost:{urlsplit(url).port}')[0] == 200
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as s: s.send(b'GET / HT')        # one that goes away in the middle
        assert ask(url)[0] == 200
    with pytest.raises(OSError): ask(url)


def test_a_port_that_is_taken():
    with listen() as server, pytest.raises(LMError, match='is in use by another program: name another one'): listen(server.server_address[1])
    for port in (0, -1, 65536, 'http'):
        with pytest.raises(LMError, match='port must|up to 65535'): listen(port)


def test_a_run_that_is_too_large(runs, monkeypatch, tmp_path):
    for name, most, what in (('MOST_WORDS', 5, 'tokens'), ('MOST_NUMBERS', 100, 'parameters')):
        with monkeypatch.context() as m:
            m.setattr(play, name, most)
            with pytest.raises(LMError, match=f'{what}; the playground bears {most}'): write_page(runs['words'], tmp_path/'p.html')
            assert not (tmp_path/'p.html').exists()


def shell(*args): return CliRunner().invoke(app, list(map(str, args)), env={'COLUMNS': '100', '_TYPER_FORCE_DISABLE_TERMINAL': '1'})


@pytest.mark.parametrize('args, said', [
    (['nowhere'], 'There is no run at nowhere'), (['run', '--port', '70000'], 'up to 65535'), (['run', '--port', '0'], 'port must'), (['run', '--html', 'p', '--port', '8000'], 'serves nothing'),
    (['run', '--html', 'folder'], 'folder cannot be written'), (['run', '--html', 'no/where.html'], 'There is no file at'), (['run', '--html', 'p', '--no-browser'], 'serves nothing')])
def test_a_mistake_is_one_sentence(runs, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs['words'].folder, tmp_path/'run')
    (tmp_path/'folder').mkdir()
    out = shell('play', *args)
    assert isinstance(out.exception, LMError) and said in str(out.exception) and '\n' not in str(out.exception)


@unix
def test_ctrl_c(runs):
    "One line when it begins, one when it ends; and that within two seconds."
    command = [sys.executable, '-m', 'lm_from_scratch', 'play', str(runs['words'].folder), '--no-browser']
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        line = p.stdout.readline()
        url = line.split(' at ')[1].split()[0]
        assert ask(url)[0] == 200
        began = time.monotonic()
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=20)
        assert time.monotonic() - began < 2*max(1, os.getloadavg()[0]/os.cpu_count()) and p.returncode == 130 and (out, err.strip()) == ('', 'Stopped.')


def test_the_browser_is_opened(runs, monkeypatch):
    import webbrowser
    opened, said = [], []
    def until_said():
        end = time.monotonic() + 60
        while len(said) < 2 and time.monotonic() < end: time.sleep(.01)
    monkeypatch.setattr(webbrowser, 'open', lambda url: opened.append(ask(url)[0]))
    monkeypatch.setattr(play, '_stay', until_said)
    play.play_run(runs['words'], say=said.append)
    assert opened == [200] and said[0].startswith('The playground is at http://127.0.0.1') and said[1].startswith('No browser was found')


# ---- the page

@pytest.fixture
def opened(browser, runs, tmp_path):
    "Open the page of a run, served or as one file; nothing may be reported on the console, or asked of another place."
    contexts, reports, servers = [], [], []
    def go(name, file=False, **settings):
        contexts.append(context := browser.new_context(**{'viewport': dict(width=1200, height=900), 'offline': file, **settings}))
        page = context.new_page()
        if file: url = write_page(runs[name].folder, tmp_path/f'{name}.html').as_uri()
        else:
            servers.append(server := serving(runs[name]))
            url = server.__enter__()
        page.on('console', lambda m: reports.append(m.text))
        page.on('pageerror', lambda e: reports.append(str(e)))
        page.on('request', lambda r: r.url.startswith((url, 'data:', 'blob:')) or reports.append(r.url))
        page.goto(url)
        page.wait_for_selector('.lmp-bars button')
        return page
    yield go
    for context in contexts: context.close()
    for server in servers: server.__exit__(None, None, None)
    assert not reports


def add(page, text): tab_to(page, '#lmp-word'); page.keyboard.insert_text(text); page.keyboard.press('Enter')


def expected(run, ids, n=10):
    "Probabilities of the next token, without <unk>: what the bars should say."
    with lent(run.model) as m, torch.no_grad(): scores = scores_of(m(torch.tensor([ids])))[0, -1].double()
    if run.vocab.unk: scores[run.vocab[run.vocab.unk]] = -torch.inf
    return scores.div(.8).softmax(0).topk(min(n, len(scores)-1)).values.tolist()


def shares(page): return [0 if s.startswith('<') else float(s) for _, s in bars_of(page)]


@pytest.mark.parametrize('name, typed, tokens', [
    ('words', 'The café zebra', ['The', 'café', '<unk>']), ('punctuation', 'don’t! "eye"', ['don’t', '!', '"', 'eye', '"']), ('chars', 'né 😀', ['n', 'é', '␣', '😀']),
    ('bpe', 'The 😀', None), ('many', 'w003 w599', ['w003', 'w599'])])
@pytest.mark.parametrize('file', [False, True], ids=['served', 'one file'])
def test_the_page_says_what_python_says(opened, runs, name, typed, tokens, file):
    run = runs[name]
    if name == 'words' and not run.vocab.unk: tokens = None
    page = opened(name, file)
    add(page, typed if tokens or name == 'bpe' else 'The café')
    ids = run.vocab.encode(typed if tokens or name == 'bpe' else 'The café').tolist()
    assert len(text_of(page)) == len(ids) and (tokens is None or text_of(page) == tokens)
    assert shares(page) == pytest.approx(expected(run, ids), abs=.02 if file else 6e-4)
    if name != 'many' and page.get_by_role('button', name='New line').count():
        page.get_by_role('button', name='New line').click()
        ids.append(run.vocab[dict(chars='\n', bpe='Ċ').get(name, '<eos>')])
        assert shares(page) == pytest.approx(expected(run, ids), abs=.02 if file else 6e-4)
    unit = dict(chars='character', bpe='token').get(name, 'word')
    assert page.text_content('.lmp-next h3') == f'The next {unit}' and page.locator('.lmp-count').is_hidden()


def test_words_are_found_and_picked(opened, runs):
    "Where there are many, by a search; none of ten thousand buttons is made."
    page = opened('many')
    assert page.evaluate("document.querySelectorAll('.lmp button').length") < 80
    tab_to(page, '.lmp-vocab summary'); page.keyboard.press('Enter')
    tab_to(page, '#lmp-find'); page.keyboard.type('W59')
    assert page.locator('.lmp-vocab [role=status]').text_content() == '10 words'
    tab_to(page, '.lmp-vocab div button:last-of-type'); page.keyboard.press('Enter')
    assert text_of(page) == ['w599']
    page.fill('#lmp-find', ''); assert page.locator('.lmp-vocab [role=status]').text_content().startswith(f"40 of {len(runs['many'].vocab)} words")
    assert page.eval_on_selector_all('#lmp-order option', 'os => os.length') == 1
    assert 'the first 200 of its 205 units' in page.text_content('.lmp-inside h4') and '205 units' in page.get_attribute('.lmp-strip[role=img]', 'aria-label')


def test_what_is_not_known(opened, runs):
    page = opened('chars')
    add(page, 'a中')
    if runs['chars'].vocab.unk: assert '“中” is not in' in page.text_content('.lmp-said') and text_of(page) == ['a', '<unk>']
    else: assert '“中” is not in' in page.text_content('#lmp-refused') and text_of(page) == []
    if text_of(page): page.get_by_role('button', name='Clear').click()
    page.fill('#lmp-word', ''); add(page, '')
    assert 'Type something first' in page.text_content('#lmp-refused')


def test_it_writes_and_never_says_unk(opened, runs):
    page = opened('words', reduced_motion='reduce')
    page.fill('#lmp-length', '300'); page.evaluate("document.querySelector('#lmp-temperature').value = 2")
    page.get_by_role('button', name='Run', exact=True).click()
    assert len(text_of(page)) == 300 and '<unk>' not in text_of(page) and len(set(text_of(page))) > 5
    assert '300 words written at once' in page.text_content('.lmp-said')


def test_counting_only_where_the_words_are_those_of_numbers(opened):
    page = opened('numbers')
    assert page.locator('.lmp-count').is_visible() and page.text_content('h1') == page.title().split(':')[0] == '<run> & "co"'


def test_a_page_keeps_nothing_of_the_text_open(runs):
    "A word that looks like the end of a script is none; every import finds its script inside."
    page = one_page(runs['words'])
    assert page.count('</script>') == 4 and '<tags>:' in runs['words'].vocab and '<tags>' not in page and '\\u003ctags>:' in page
    scripts = [base64.b64decode(s).decode() for s in re.findall('base64,([^"]+)"', inline_scripts(page_files()))]
    assert len(scripts) == sum(n.endswith('.js') for n in page_files()) and not [s for s in scripts if re.search(r'(from|import|import\() ?[\'"][.]/', s)]


@pytest.mark.parametrize('file', [False, True], ids=['served', 'one file'])
def test_it_learns_there_too(opened, file):
    "Beside a run, and from one file without a network: the worker is inside."
    page = opened('words', file)
    for k in (1, 2):
        page.click('.lml-do button >> text="Step"')
        page.locator('.lml-said', has_text=f'({k} step').wait_for(timeout=20_000)
    assert not page.text_content('.lml .lmp-refused')


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_accessible(opened, axe, scheme):
    page = opened('many', color_scheme=scheme)
    page.evaluate(axe)
    page.click('.lmp-vocab summary'); add(page, 'w001 w002 zebra')
    assert not violations(page)
