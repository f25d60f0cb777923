"""Build the book into docs/_book: an EPUB of the chapters, the appendices and the rooms, the solutions at the end. `make book`, or `python docs/book.py`.

The sources are those of the site (docs/build_site.py writes both), Sphinx's own builder makes the pages. Formulas are MathML, figures stand still.
With --pdf headless Chromium prints the same pages into one PDF.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import nbformat
from bs4 import BeautifulSoup
from pages import Page, appendix, chapters, index, markdown, notebook, root, rooms, solutions, write
from sphinx.cmd.build import build_main

import truth
from build_site import APPENDIX, TOO_OLD, appendix_text, number, toctree
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
    said = re.sub(r'\s*\(That last step.*\)', '', claim()).replace(' ± ', '\u00a0±\u00a0')
    lead = '\n\n'.join([f'# {index().title}', index().about, said, '![The ladder of the course: the accuracy of each model.](images/ladder.svg)'])
    parts = [toctree('The walk', [p.name for p in chapters()]), toctree('Appendices', [f'{title} <appendix/{n}>' for n, title in APPENDIX.items()]),
             toctree('The rooms behind', [p.name for p in rooms()]), toctree('Solutions', ends)]
    write(src/'index.md', lead + '\n\n' + '\n'.join(parts))
    shutil.copytree(root/'images', src/'images')


# ---- what Sphinx's pages lack for an EPUB that is to the letter

ENTITY = re.compile(r'&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)(\w+);')


def well_formed(text, name):
    "XHTML: what notebooks show as HTML (tables of pandas, details, unclosed tags) is read as browsers read it and written as XML asks."
    from html import unescape
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
    for tag in soup.find_all(True):
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
        return m[0].replace('/>', f' properties="{" ".join(has)}"/>') if has else m[0]
    opf.write_text(re.sub(r'<item href="(?P<href>[^"]+)"[^>]*/>', item, opf.read_text(encoding='utf-8')), encoding='utf-8')


def zipped(folder, path):
    "The archive: its kind first, unpacked; times that are always the same."
    names = ['mimetype', *sorted(f.relative_to(folder).as_posix() for f in folder.rglob('*') if f.is_file() and f.name != 'mimetype' and f.suffix != '.epub')]
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
    os.environ['SOURCE_DATE_EPOCH'] = '0'
    strict = [] if draft else ['-W', '--keep-going']
    if build_main(['-q', *strict, '-j', os.environ.get('JOBS', '2'), '-b', 'epub', '-c', str(root/'docs/sphinx/book'), '-d', str(work/'book_doctrees'), str(src), str(out)]) and not draft:
        sys.exit("The book is not built: Sphinx's warnings are errors here, see above.")
    for f in (*out.glob('*.epub'), out/'.buildinfo'): f.unlink(missing_ok=True)
    mend_all(out)
    path = book/'language-models-from-scratch.epub'
    zipped(out, path)
    if path.stat().st_size > LIMIT: sys.exit(f"The book is too heavy: {path.stat().st_size:,} bytes.")
    return path


def main(*args):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--draft', action='store_true', help="say what is wrong, and build all the same")
    options = parser.parse_args(args)
    if sys.version_info < (3, 11):
        print(f"The book is not built: Sphinx needs Python 3.11 or newer, and this is {sys.version.split()[0]}.")
        sys.exit(TOO_OLD)
    path = build(options.draft)
    print(f"The book is in {path.relative_to(root)}: {path.stat().st_size/1e6:.1f} MB.")


if __name__ == '__main__': main(*sys.argv[1:])
