"A real browser for the tests of pages: headless Chromium, a server for a folder, the rules of accessibility. Where a part is missing, it is said loudly."
import functools
import http.server
import os
import shutil
import subprocess
import threading

import pytest
from filelock import FileLock

CHROMIUM = shutil.which('chromium', path='/usr/bin') or next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync']


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


class Served:
    "A folder behind a server on this machine."
    def __init__(self, folder):
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_port}'
    def __enter__(self): return self.url
    def __exit__(self, *args): self.server.shutdown(); self.server.server_close()


@pytest.fixture(scope='session')
def browser():
    if not CHROMIUM: pytest.skip("NOT TESTED: the pages in a browser (chromium is missing)")
    try: from playwright.sync_api import sync_playwright
    except ImportError: pytest.skip("NOT TESTED: the pages in a browser (the Python package playwright is missing)")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope='session')
def axe(tmp_path_factory):
    "The rules of accessibility, as a script for the page; one process fetches it, the others wait."
    folder,npm = tmp_path_factory.getbasetemp(),shutil.which('npm')
    if not npm: pytest.skip("NOT TESTED: accessibility of the pages (npm is missing)")
    if 'PYTEST_XDIST_WORKER' in os.environ: folder = folder.parent
    folder,script = folder/'axe',folder/'axe/node_modules/axe-core/axe.min.js'
    with FileLock(f'{folder}.lock'):
        if not script.is_file():
            got = subprocess.run([npm, 'install', '--silent', '--prefix', str(folder), 'axe-core@4.10.3'], capture_output=True, text=True)
            if got.returncode: pytest.skip("NOT TESTED: accessibility of the pages (axe-core could not be installed)")
    return script.read_text(encoding='utf-8')


# What looks alike is looked at three times, the rest is taken away, the innermost first: colours hang on tag, class and style (and whether a table's row
# is odd or even), and axe takes a minute for the thousands of elements of a chapter.
THIN = """() => {
  const seen = {}, looks = e => e === document.body ? '' : looks(e.parentElement) + '>' + e.tagName + (e.rowIndex & 1) + '.' + e.className + (e.getAttribute('style') || '');
  const all = [...document.querySelectorAll('body *')].map(e => [e, looks(e) + e.checkVisibility()]);
  for (const [e, like] of all.reverse())
    if (!e.children.length && e.tagName != 'TR' && (seen[like] = (seen[like] || 0) + 1) > 3) e.remove() }"""


# The colours of code are spans by the thousand, and have nothing but colour to say: all other rules read the code without them.
PLAIN = """() => { window.coloured = [...document.querySelectorAll('.highlight pre')].filter(e => !e.querySelector('a, button, input, img')).map(e => [e, e.innerHTML]);
  coloured.forEach(([e]) => e.textContent = e.textContent) }"""
COLOURED = "() => coloured.forEach(([e, html]) => e.innerHTML = html)"


def violations(page, options='{}'):
    "Rules of accessibility that the page breaks, and where."
    found = page.evaluate(f"async () => (await axe.run(document, {{resultTypes: ['violations'], ...{options}}})).violations")
    return [(v['id'], n['target']) for v in found for n in v['nodes']]


def violations_in(page, schemes=('light', 'dark')):
    "The same, contrast in each colour scheme; afterwards the page is thinned."
    page.evaluate(PLAIN)
    found = violations(page, "{rules: {'color-contrast': {enabled: false}}}")
    page.evaluate(COLOURED)
    page.evaluate(THIN)
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion='reduce')                             # what fades in is pale for a moment
        page.wait_for_function('s => document.documentElement.dataset.theme == s', arg=scheme)
        found += [(scheme, *v) for v in violations(page, "{runOnly: ['color-contrast']}")]
    return found


def tab_to(page, selector, key='Tab'):
    "Press Tab until the focus is there, and visible."
    for _ in range(300):
        if page.evaluate('s => document.activeElement.matches(s)', selector): break
        page.keyboard.press(key)
    else: pytest.fail(f"the keyboard does not reach {selector}")
    assert page.evaluate("document.activeElement.tagName == 'BODY' || getComputedStyle(document.activeElement).outlineStyle != 'none'")
