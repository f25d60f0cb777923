"""The site, built and read as its readers do: every page in a real browser, light and dark, wide and narrow; every link and anchor; search, playground,
buttons, what can be taken along; and that it is not built from what is not true."""
import re
import subprocess
import sys
from functools import cache
from urllib.parse import unquote, urldefrag, urljoin

import api
import build_site
import names
import nbformat
import pages
import pytest
import truth
from browser import Served, tab_to, violations_in
from bs4 import BeautifulSoup
from conftest import ROOT, notebook
from filelock import FileLock

from lm_from_scratch.course.notebooks import repository

SITE = ROOT/'docs/_site'
NOTEBOOKS = [*pages.chapters(), *pages.rooms(), *pages.solutions()]
NAMES = [*(p.name for p in NOTEBOOKS), *(f'appendix/{n}' for n in ('solutions', *build_site.APPENDIX)), 'index', 'search', 'genindex', 'py-modindex']
CHAPTERS = [p.name for p in pages.chapters()]


@pytest.fixture(scope='session', autouse=True)
def site():
    "The site's folder, built if it is not there or not from what is here now; one process builds, the others wait."
    if sys.version_info < (3, 11): pytest.skip("NOT TESTED: the site (its theme needs Python 3.11 or newer)")
    ROOT.joinpath('docs/_build').mkdir(exist_ok=True)
    with FileLock(ROOT/'docs/_build/lock'):
        failed = ROOT/'docs/_build'/f'failed-{build_site.made_from()}'                             # so that the others need not try again
        if not build_site.fresh() and not failed.is_file():
            out = subprocess.run([sys.executable, 'docs/build_site.py'], cwd=ROOT, capture_output=True, text=True)
            if out.returncode: failed.write_text(out.stdout + out.stderr, encoding='utf-8')
        if failed.is_file(): pytest.fail(failed.read_text(encoding='utf-8'), pytrace=False)
    return SITE


@pytest.fixture(scope='session')
def url(site):
    with Served(site) as url: yield url


@cache
def soup(name): return BeautifulSoup((SITE/f'{name}.html').read_text(encoding='utf-8'), 'html.parser')


def test_no_page_is_forgotten(site):
    assert sorted(NAMES) == sorted(f.relative_to(site).with_suffix('').as_posix() for f in site.rglob('*.html') if 'playground' not in f.parts)


def test_a_word_in_angles_is_no_tag(): assert api._cell("`None`: '<unk>', `<b>`, a*b < c") == r"`None`: '\<unk>', `<b>`, a\*b < c"


@pytest.mark.parametrize('name', NAMES)
def test_html_is_well_formed(site, name):
    "Two parsers that keep to the letter of the standard have nothing to say, and no attribute is one that HTML has given up."
    try: import html5lib, justhtml
    except ImportError: pytest.skip("NOT TESTED: HTML (html5lib and justhtml are not installed)")
    text = (SITE/f'{name}.html').read_text(encoding='utf-8')
    parser = html5lib.HTMLParser()
    parser.parse(text)
    assert not parser.errors, parser.errors[:3]
    assert not (errors := justhtml.JustHTML(text, collect_errors=True).errors), errors[:3]
    assert not re.findall(r'<(?:table|thead|tbody|tr|th|td|p|div)\b[^>]*\s(?:align|halign|valign|bgcolor|cellpadding|cellspacing)=', text)


# ---- in the browser

@pytest.fixture
def opened(browser, url):
    "Open a page; at the end, nothing may have been reported on the console or asked of another site."
    contexts, reports = [], []
    def go(name, **settings):
        contexts.append(context := browser.new_context(**{'viewport': dict(width=1280, height=900), **settings}))
        page = context.new_page()
        page.weight = []
        page.on('console', lambda m: m.type in ('error', 'warning') and reports.append(m.text))
        page.on('pageerror', lambda e: reports.append(str(e)))
        page.on('request', lambda r: r.url.startswith((url, 'data:')) or reports.append(r.url))
        page.on('requestfinished', lambda r: page.weight.append(r.sizes()['responseBodySize']))
        page.goto(f'{url}/{name}')
        return page
    yield go
    for context in contexts: context.close()
    assert not reports


@pytest.mark.parametrize('name', NAMES)
def test_page(opened, axe, name):
    """No error, no request off the site, not too heavy, no rule of accessibility broken in light or dark, nothing wider than a telephone; and in a chapter
    nothing that scrolls sideways."""
    page = opened(f'{name}.html', color_scheme='light', reduced_motion='reduce')
    if name in CHAPTERS:                                                                         # with all of its pictures, however far down
        page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
        page.wait_for_function("[...document.querySelectorAll('img')].every(i => i.complete)")
    page.wait_for_load_state('networkidle')
    assert sum(page.weight) < 1_500_000
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    if name in CHAPTERS: no_listing_and_no_output_scrolls_on_a_laptop(page)
    page.set_viewport_size(dict(width=390, height=800))
    assert page.evaluate('document.documentElement.scrollWidth') <= 390
    if name in CHAPTERS: no_output_scrolls_on_a_telephone(page)
    page.set_viewport_size(dict(width=1280, height=900))
    page.evaluate(axe)
    assert not violations_in(page)


# what of a page, with all that is folded unfolded, is wider than its place; a plot that would be illegible keeps its width on a telephone
WIDER = """() => {
  document.querySelectorAll('details').forEach(d => d.open = true);
  return [...document.querySelectorAll('article :is(div.highlight, .cell_output) pre, article .cell_output > .output, article .table-wide')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && !e.querySelector('img.plot.wide'))
    .map(e => ({output: !!e.closest('.cell_output'), columns: Math.max(0, ...[...e.querySelectorAll('tr')].map(r => r.children.length)), text: e.innerText.trim().slice(0, 90)})) }"""
MANY_COLUMNS = 6 # a table of more may scroll on a telephone: broken any further, it could not be read


def no_listing_and_no_output_scrolls_on_a_laptop(page): assert not page.evaluate(WIDER)


def no_output_scrolls_on_a_telephone(page): assert not [e for e in page.evaluate(WIDER) if e['output'] and e['columns'] <= MANY_COLUMNS]


def test_a_line_of_a_notebook_fits_the_page(opened):
    "The limit that test_structure.py holds is the page's: so many columns fit, in listings and outputs; a few more do not, and would be noticed."
    from test_structure import WIDTH
    page = opened('00_data.html')
    fill = """([where, n]) => {
      const e = [...document.querySelectorAll(`article ${where} pre`)].find(e => e.clientWidth > 50);
      e.textContent = 'm'.repeat(n);
      return e.scrollWidth <= e.clientWidth }"""
    for where in ('.cell_input', '.cell_output'):
        assert page.evaluate(fill, [where, WIDTH]) and not page.evaluate(fill, [where, WIDTH + 12])
    assert len(page.evaluate(WIDER)) >= 2


def test_axe_and_the_width_would_notice(opened, axe):
    page = opened('20_errors.html', color_scheme='light', reduced_motion='reduce')
    page.evaluate(axe)
    page.evaluate("""document.querySelector('article h1').insertAdjacentHTML('afterend',
        "<p style='color:#bbb'>pale</p><p style='color:#444'>dark</p><img src='_static/figures/ladder.svg'><p style='width:2000px'>wide</p>")""")
    page.set_viewport_size(dict(width=390, height=800))
    assert page.evaluate('document.documentElement.scrollWidth') > 390
    assert {v[:-1] for v in violations_in(page)} >= {('image-alt',), ('light', 'color-contrast'), ('dark', 'color-contrast')}


def test_theme_is_switched_by_keyboard(opened):
    page = opened('00_data.html', color_scheme='light')
    for theme in ('dark', 'light'):
        tab_to(page, '.article-header-buttons .theme-switch-button')
        page.keyboard.press('Enter')
        tab_to(page, f'.article-header-buttons .theme-change-button[data-mode={theme}]')
        page.keyboard.press('Enter')
        assert page.evaluate('document.documentElement.dataset.theme') == theme


def test_pictures_follow_the_theme_and_stand_still_on_request(opened):
    shown = "n => getComputedStyle(document.querySelector('img.fig-' + n)).content"
    assert opened('05_lstm.html', color_scheme='light').evaluate(shown, 'lstm-diagram') == 'normal'
    assert 'lstm_diagram-dark.svg' in opened('05_lstm.html', color_scheme='dark').evaluate(shown, 'lstm-diagram')
    assert opened('00_data.html').evaluate(shown, 'batches-marching') == 'normal'                                  # it moves …
    assert 'batches_marching.svg' in opened('00_data.html', reduced_motion='reduce').evaluate(shown, 'batches-marching')
    assert 'batches_marching-dark.svg' in opened('00_data.html', reduced_motion='reduce', color_scheme='dark').evaluate(shown, 'batches-marching')
    for name in build_site.STILL: assert (SITE/f'_static/figures/{name}.svg').is_file()


@pytest.mark.parametrize('words,where', [('LSTMCell', '05_lstm.html'), ('truncated', '02_state.html'), ('perplexity', 'appendix/glossary.html'), ('lm_dataloaders', '00_data.html')])
def test_search(opened, words, where):
    page = opened('index.html')
    page.keyboard.press('Control+k')
    page.keyboard.type(words); page.keyboard.press('Enter')
    page.wait_for_function("document.querySelector('#search-results .search-summary') && document.querySelectorAll('#search-results li a').length")
    found = page.eval_on_selector_all('#search-results li a', 'as => as.map(a => a.href)')
    assert any(where in f for f in found[:8]), found[:8]
    page.goto(next(f for f in found if where in f))
    assert words.lower() in page.text_content('article').lower()


def test_solutions_wait_behind_a_click(opened):
    page = opened('05_lstm.html')
    details = page.locator('details.solution')
    assert details.count() >= 5 and not page.evaluate("document.querySelector('details.solution').open")
    summary = details.first.locator('summary')
    summary.focus(); page.keyboard.press('Enter')
    assert page.evaluate("document.querySelector('details.solution').open") and 'check.' in details.first.text_content()


def test_playground_on_the_home_page(opened):
    "By keyboard: type words, look at the bars, step, forget, let it count; the numbers are those that test_playground compares with Python's."
    page = opened('index.html')
    page.wait_for_selector('.lmp-bars button')
    words = lambda: page.eval_on_selector_all('.lmp-chips button', 'bs => bs.map(b => b.textContent)')
    bars = lambda: page.eval_on_selector_all('.lmp-bars li:not([hidden]) button', 'bs => bs.map(b => b.textContent)')
    assert words() == 'eight thousand forty one . eight thousand forty two .'.split() and bars()[0].startswith('eight')
    tab_to(page, '#lmp-word'); page.keyboard.type('eight thousand'); page.keyboard.press('Enter')
    assert len(words()) == 12
    before = bars()
    tab_to(page, '.lmp-text .lmp-line:last-of-type button:nth-child(2)'); page.keyboard.press('Enter')               # forget
    assert bars() != before and len(words()) == 12
    tab_to(page, '.lmp-write button:nth-child(1)'); page.keyboard.press('Enter')                                     # a step
    assert len(words()) == 13
    tab_to(page, '.lmp-write button[type=submit]'); page.keyboard.press('Enter')                                     # count on
    page.wait_for_function("document.querySelectorAll('.lmp-chips button').length >= 14")
    page.keyboard.press('Escape')


def test_home_sells_in_one_screen(opened):
    page = opened('index.html')
    for what in ('article h1', '.ways li:nth-child(1)', '.ways li:nth-child(2)', '.ways li:nth-child(3)', '.ladder img', 'section#playground > h2'):
        box = page.locator(what).first.bounding_box()
        assert box and box['y'] + box['height'] < 900, what
    page.wait_for_function("document.querySelector('.ladder img').naturalWidth > 300")
    assert 'ceiling' in page.get_attribute('.ladder img', 'alt')


def test_printed(opened):
    page = opened('05_lstm.html')
    page.emulate_media(media='print')
    assert not page.is_visible('.bd-sidebar-primary') and not page.is_visible('.article-header-buttons') and page.is_visible('article p >> nth=3')
    page = opened('05_lstm.html', color_scheme='dark')
    themes = page.evaluate("['beforeprint', 'afterprint'].map(e => { dispatchEvent(new Event(e)); return document.documentElement.dataset.theme; })")
    assert themes == ['light', 'dark']                                                                              # paper is white


# ---- links

@cache
def anchors(path): return {t['id'] for t in soup(path.relative_to(SITE).with_suffix('').as_posix()).find_all(id=True)}


def test_every_link_and_anchor_leads_somewhere(site):
    bad, checked = [], 0
    for name in NAMES:
        base = f'http://here/{name}.html'
        for tag in soup(name).find_all(['a', 'img', 'script', 'link', 'source']):
            to = tag.get('href') or tag.get('src')
            if not to or to.startswith(('data:', 'mailto:', 'javascript:')): continue
            full, fragment = urldefrag(urljoin(base, to))
            if not full.startswith('http://here/'): continue
            path = site/unquote(full.removeprefix('http://here/').split('?')[0])
            checked += 1
            if not path.is_file(): bad.append((name, to))
            elif fragment and path.suffix == '.html' and unquote(fragment).split('?')[0] not in anchors(path): bad.append((name, to))
    assert checked > 3000 and not bad, bad[:20]


def test_no_relative_link_of_the_sources_was_left(site):
    "What leads out of the site leads into the repository, to a file that is there."
    for name in NAMES:
        for a in soup(name).find_all('a', href=re.compile(re.escape(repository()) + '/')):
            path = re.fullmatch(rf'{re.escape(repository())}/(?:blob|edit)/main/([^#]+)(?:#L(\d+)-L(\d+))?', a['href'])
            assert path and (ROOT/path[1]).is_file(), (name, a['href'])


def test_names_in_backticks_lead_to_their_pages():
    def links(name): return {a.get_text(): a['href'] for a in soup(name).select('article a') if a.find('code')}
    assert links('05_lstm')['nn.LSTM'] == 'https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html'
    assert links('02_state')['ModelResetter'] == 'https://docs.fast.ai/callback.rnn.html#modelresetter'
    assert links('10_copying')['ForgetState'].endswith('#lm_from_scratch.copying.ForgetState')
    assert any(to.startswith('https://fastcore.fast.ai') for n in CHAPTERS for to in links(n).values())


# ---- what a page shows

def directives_in(text): return re.findall(r'^#\| ?(?:export|hide|echo|fig-|eval|default_exp).*', text, re.M)


@pytest.mark.parametrize('page', NOTEBOOKS, ids=lambda p: p.name)
def test_page_shows_its_notebook(page):
    "Code that matters is there, what is hidden is not, directives are gone, pictures have captions, numbers and alternative texts."
    nb = notebook(ROOT/page.source)
    article = soup(page.name).select_one('article')
    text = re.sub(r'\s+', '', article.get_text())
    for c in nb.cells:
        if c.cell_type != 'code': continue
        d, source = pages.directives(c.source)
        squeezed = re.sub(r'\s+', '', source)
        if 'exports' in d: assert squeezed in text
        if 'hide' in d and len(squeezed) > 60: assert squeezed not in text
    assert not directives_in(article.get_text())
    for img in article.find_all('img'): assert img.get('alt') and not img['alt'].startswith('_images'), img
    for img in article.select('img.drawn'):
        caption = img.find_parent('figure').find('figcaption')
        assert re.match(r'Figure S?\d+\.\d+', caption.get_text().strip()) and len(caption.get_text()) > 25


@pytest.mark.parametrize('page', NOTEBOOKS, ids=lambda p: p.name)
def test_entries_of_the_api(page):
    "Each name that the notebook exports has its signature, its parameters and a link to its lines."
    module = next((pages.directives(c.source)[0]['default_exp'] for c in notebook(ROOT/page.source).cells if 'default_exp' in c.source), None)
    there = soup(page.name)
    for name in names.symbols().get(module, []):
        full = f'lm_from_scratch.{module}.{name}'
        dt = there.find(id=full)
        if not api.entry(module, name): continue
        assert dt is not None, full
        found = api.source_lines(full)
        if not found or dt.parent.get('class', [''])[-1] == 'data': continue
        assert dt.find('a', href=f'{repository()}/blob/main/{found[0]}#L{found[1]}-L{found[2]}'), full
        lines = (ROOT/found[0]).read_text(encoding='utf-8').splitlines()[found[1]-1:found[2]]
        assert any(re.search(rf'(def|class) {name.split(".")[-1]}\b', line) for line in lines), full


def test_an_entry_in_full():
    dl = soup('00_data').find(id='lm_from_scratch.data.lm_dataloaders').parent
    assert 'bs=64' in dl.dt.get_text() and 'seq_len=16' in dl.dt.get_text()
    rows = {r.td.get_text(): r.get_text(' ') for r in dl.find_all('tr')[1:]}
    assert 'Rows read in parallel' in rows['bs'] and '64' in rows['bs'] and 'returns' in rows


def test_every_exercise_has_its_solution_beneath():
    for name in CHAPTERS:
        article = soup(name).select_one('article')
        heads = [h for h in article.find_all('h3') if re.match(r'\d+\.\d+ ', h.get_text())]
        found = article.select('details.solution')
        assert len(heads) == len(found) >= 5
        for h, d in zip(heads, found): assert h.parent is d.find_parent('section') and 'check.' in d.get_text(), h
        assert len([d for d in article.find_all('details') if d.get('class') is None]) >= 6        # questions


def test_previous_and_next():
    for a, b in zip(CHAPTERS, CHAPTERS[1:]):
        assert soup(a).select_one('a.right-next')['href'] == f'{b}.html' and soup(b).select_one('a.left-prev')['href'] == f'{a}.html'
        ends = [x['href'] for p in soup(a).select('article p') if '→' in p.get_text() for x in p.find_all('a')]
        assert f'{b}.html' in ends, f"{a}: its closing question leads to the next chapter"


# ---- what is taken along

@pytest.mark.parametrize('page', NOTEBOOKS, ids=lambda p: p.name)
def test_buttons(site, page):
    buttons = {re.sub(r'\s+', ' ', a.get_text()).strip() or a.get('title'): a.get('href') for a in soup(page.name).select('.article-header-buttons a')}
    repo = repository().removeprefix('https://github.com/')
    assert buttons['Colab'] == f'https://colab.research.google.com/github/{repo}/blob/colab/{page.name}.ipynb'
    assert buttons['Binder'] == f'https://mybinder.org/v2/gh/{repo}/main?urlpath=lab/tree/{page.source}'
    assert buttons['Suggest a change'] == f'{repository()}/edit/main/{page.source}'
    nb = nbformat.read((site/f'{page.name}.html').parent/buttons['Notebook'], 4)
    nbformat.validate(nb)
    assert not re.search(r'\]\((?!https?:|#)[^)]+\)', '\n'.join(re.sub(r'`[^`\n]*`|\$[^$\n]*\$', '', c.source) for c in nb.cells if c.cell_type == 'markdown'))
    text = ((site/f'{page.name}.html').parent/buttons['Markdown']).read_text(encoding='utf-8')
    prose = re.sub(r'^(`{3,}|~{3,}).*?^\1|`[^`\n]*`|^    .*?$', '', text, flags=re.M | re.S)
    assert text.startswith(f'# {page.title}') and not directives_in(text) and not re.search('<(div|table|style)', prose) and not re.search(';base64,[A-Za-z0-9+/]{20}', text)
    assert ('Recall copy' in buttons) == (page.name in CHAPTERS)


@pytest.mark.parametrize('name', CHAPTERS)
def test_recall_copy(site, name):
    "Code and headings, nothing else; every line of it Python."
    nb, full = nbformat.read(site/f'recall/{name}.ipynb', 4), notebook(ROOT/f'nbs/{name}.ipynb')
    for c in nb.cells:
        if c.cell_type == 'code': compile(re.sub(r'^%.*', '', c.source, flags=re.M), name, 'exec'); assert not c.outputs
        else: assert all(re.match('#+ ', line) for line in c.source.splitlines() if line)
    assert sum(c.cell_type == 'code' for c in nb.cells) == sum(c.cell_type == 'code' for c in full.cells) - 1
    assert '# Exercises' in '\n'.join(c.source for c in nb.cells)


def test_colab_copies(tmp_path):
    build_site.colab(tmp_path)
    made = sorted(f.relative_to(tmp_path).with_suffix('').as_posix() for f in tmp_path.rglob('*.ipynb'))
    assert made == sorted(p.name for p in NOTEBOOKS)
    for name in made:
        cells = nbformat.read(tmp_path/f'{name}.ipynb', 4).cells
        assert cells[0].source.startswith('# ') and cells[1].source == f'%pip install -q git+{repository()}'


def test_llms(site):
    text = (site/'llms.txt').read_text(encoding='utf-8')
    assert re.match(r'# .+\n\n> .+\n\n## ', text)
    links = re.findall(r'\]\((.+?)\)', text)
    assert {f'{p.name}.md' for p in NOTEBOOKS} <= set(links)
    for link in links: assert (site/link).stat().st_size > 200


# ---- what is not built

def test_an_unsourced_figure_stops_the_build(monkeypatch, tmp_path, capsys):
    page = tmp_path/'99_page.md'
    page.write_text('# A page\n\nIt scores .8731.\n', encoding='utf-8')
    monkeypatch.setattr(truth, 'pages', lambda: [page])
    before = (SITE/'.made-from').stat().st_mtime_ns
    with pytest.raises(SystemExit, match='figures without a source'): build_site.main()
    assert '.8731 has no source' in capsys.readouterr().out and (SITE/'.made-from').stat().st_mtime_ns == before


def test_a_change_makes_the_site_stale(monkeypatch):
    assert build_site.fresh()
    monkeypatch.setattr(build_site, 'made_from', lambda: 'something else')
    assert not build_site.fresh()


def test_home_tells_what_is_reached():
    "The sentence on the home page follows the stored results."
    from home import claim
    said = re.sub(r'\[(.+?)\]\(.+?\)', r'\1', claim().replace('*', ''))
    assert '(#' in claim() and '](' not in said                                                                     # the exception is said, and leads somewhere
    assert said in ' '.join(soup('index').select_one('.pitch').get_text().split()) and len(re.findall(r'\.\d{3}', said)) == 3


def test_folded_code_says_what_it_holds():
    labels = [s.get_text().strip() for s in soup('05_lstm').select('details.hide > summary')]
    assert 'Show the imports' in labels[0] and not [a for a in soup('36_figures').select('details.hide + details.hide')]


def test_formulas_become_mathml():
    found = soup('05_lstm').find_all('math')
    assert len(found) > 10 and not [m for m in found if '\\' in m.get_text()]


def test_nothing_of_a_content_network(site):
    for f in site.rglob('*'):
        if f.suffix in ('.html', '.css') and 'download' not in f.name:
            assert not re.search(r'(?:src|href)="https?://[^"]+\.(?:js|css|woff2?)"|@import|url\(["\']?https?:', f.read_text(encoding='utf-8')), f

