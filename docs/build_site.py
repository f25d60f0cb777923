"""Build the site into docs/_site: `make docs`, or `python docs/build_site.py`.

The notebooks and the appendices become MyST sources in docs/_build; Sphinx renders them, warnings as errors. Nothing is fetched and no notebook
is run. With --draft it says what is wrong and builds all the same.
"""
import argparse
import hashlib
import os
import re
import shutil
import sys
from functools import cache
from pathlib import Path

import nbformat
from PIL import Image
from pages import Page, appendix, chapters, index, notebook, rooms, root, solutions, write
from sphinx.cmd.build import build_main

import appendix_pages
import takeaway
import truth
from home import home
from lm_from_scratch.course.figures import FIGURES
from lm_from_scratch.course.notebooks import address

work, site = root/'docs/_build', root/'docs/_site'
TOO_OLD = 3                          # exit status where Python is too old for the site; all else of the course runs there
src, static = work/'src', work/'static'
STILL = 'batches_marching', 'exploding_activations', 'tanh_activations'   # animations: what they show when they may not move
APPENDIX = {'errata': 'Errata', 'glossary': 'Glossary', 'bibliography': 'Bibliography', 'results': 'Results', 'failed': 'What did not work', 'session': 'A session', 'bad_input': 'Bad input', 'cite': 'How to cite'}


def appendix_text(name):
    if name == 'results': return appendix_pages.results_page()
    if name == 'failed': return appendix_pages.failed_page()
    if name == 'cite': return appendix_pages.citation_page()
    return (root/f'docs/appendix/{name}.md').read_text(encoding='utf-8')


def toctree(caption, entries, depth=1):
    return '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', f':maxdepth: {depth}', '', *entries, '```', ''])


def number(page): return f'{page.name[:2]} {page.title}'


def figures_css():
    "Pictures follow the theme, and stand still for those who ask."
    lines = []
    for n in FIGURES:
        slug = n.replace('_', '-')
        kind = 'gif' if (root/f'images/{n}.gif').exists() else 'svg'
        lines.append(f'html[data-theme="dark"] img.fig-{slug} {{ content: url("figures/{n}-dark.{kind}"); }}')
        if kind == 'gif':
            lines.append(f'@media (prefers-reduced-motion: reduce) {{ img.fig-{slug} {{ content: url("figures/{n}.svg"); }} html[data-theme="dark"] img.fig-{slug} {{ content: url("figures/{n}-dark.svg"); }} }}')
            lines.append(f'@media print {{ img.fig-{slug} {{ content: url("figures/{n}.svg"); }} }}')
    return '\n'.join(lines) + '\n'


def write_sources():
    "Everything that Sphinx reads."
    shutil.rmtree(src, ignore_errors=True)
    for p in (*chapters(), *rooms(), *solutions()): write(src/f'{p.name}.ipynb', notebook(p))
    for name in APPENDIX: write(src/f'appendix/{name}.md', appendix(Page(f'appendix/{name}', f'docs/appendix/{name}.md', APPENDIX[name]), appendix_text(name)))
    shutil.copy(root/'docs/appendix/references.bib', src/'appendix')
    write(src/'appendix/solutions.md', '# Solutions\n> One way to solve each exercise, run and checked; and how each checker works.\n\n'
        + '\n'.join(f'- [{number(p)}](../{s.name}.ipynb)' for p, s in zip(chapters(), solutions(), strict=True))
        + '\n\n' + '\n'.join(['```{toctree}', ':hidden:', '', *(f'{number(p)} <../{s.name}>' for p, s in zip(chapters(), solutions())), '```', '']))
    write(src/'index.md', home() + '\n'.join([
        toctree('The walk', [p.name for p in chapters()]),
        toctree('Appendices', ['appendix/solutions', *(f'{title} <appendix/{n}>' for n, title in APPENDIX.items())], 2),
        toctree('The rooms behind', [p.name for p in rooms()])]))
    shutil.copytree(root/'images', src/'images')
    shutil.rmtree(static, ignore_errors=True)
    write(static/'figures.css', figures_css())
    (static/'figures').mkdir()
    for f in (root/'images').iterdir():
        if f.stem.endswith('-dark') or f.stem in (*STILL, 'ladder'): shutil.copy(f, static/'figures')


@cache
def _size(path):
    "A picture is fetched when somebody comes near it; with its size known, nothing jumps when it arrives."
    if path.suffix == '.svg':
        found = re.search(r'<svg[^>]*?height="([\d.]+)pt"[^>]*?width="([\d.]+)pt"|<svg[^>]*?width="([\d.]+)pt"[^>]*?height="([\d.]+)pt"', path.read_text(encoding='utf-8')[:2000], re.S)
        if not found: return ''
        h, w = (float(x)*4/3 for x in ((found[1], found[2]) if found[1] else (found[4], found[3])))
    elif path.suffix in ('.png', '.gif'): w, h = Image.open(path).size
    else: return ''
    return f' width="{w:.0f}" height="{h:.0f}"'


def mend(site):
    "What the theme does not do: names for the regions and buttons of its sidebar; and its style sheet without two thousand icons that nobody uses."
    pages = list(site.rglob('*.html'))
    counts = dict.fromkeys(NAMES, 0)
    for f in pages:
        text = f.read_text(encoding='utf-8')
        for old, new in NAMES.items():
            counts[old] += text.count(old)
            text = text.replace(old, new)
        text = text.replace(f'href="{address()}/index.html#', f'href="{"../"*(len(f.relative_to(site).parts) - 1)}index.html#')   # the playground of this very site
        text = re.sub(r'(<th [^>]*)halign="(left|right|center)"', r'\1style="text-align: \2"', text)    # pandas writes it; no HTML has it
        text = re.sub(r'<img [^>]*?src="([^":]+)"', lambda m: m[0].replace('<img ', f'<img loading="lazy"{_size(f.parent/m[1])} ', 1), text)
        f.write_text(text, encoding='utf-8')
    if unused := [old for old, n in counts.items() if not n]: raise SystemExit(f'The theme has changed; it no longer says {unused}.')
    used = {i for f in [*pages, *site.rglob('*.js')] for i in re.findall(r'fa-[\w-]+', f.read_text(encoding='utf-8'))}
    sheet = site/'_static/styles/pydata-sphinx-theme.css'
    icons = re.compile(r'(?:\.fa-[\w-]+,?)+\{--fa:"[^"]+"\}')
    sheet.write_text(icons.sub(lambda m: m[0] if used & set(re.findall(r'fa-[\w-]+', m[0])) else '', sheet.read_text(encoding='utf-8')), encoding='utf-8')


NAMES = {'<div id="pst-primary-sidebar" class="': '<div id="pst-primary-sidebar" role="region" aria-label="Course" class="',
         'role="doc-biblioentry"': 'role="listitem"',
         '<summary><span class="toctree-toggle"': '<summary aria-label="Show what is below"><span class="toctree-toggle"'}


def write_beside(site):
    "Everything that stands beside the pages: notebooks to take along, plain markdown, the playground."
    for p in (*chapters(), *rooms(), *solutions()):
        nbformat.write(takeaway.standing_alone(p), site/f'{p.name}-download.ipynb')
        write(site/f'{p.name}.md', takeaway.as_markdown(p))
    (site/'recall').mkdir()
    for p in chapters(): nbformat.write(takeaway.recall(p), site/f'recall/{p.name}.ipynb')
    for name in APPENDIX: write(site/f'appendix/{name}.md', takeaway.absolute(appendix_text(name), f'docs/appendix/{name}.md'))
    write(site/'llms.txt', takeaway.llms(index().title, index().about, {
        'Chapters': [(number(p), f'{p.name}.md', p.about) for p in chapters()],
        'Appendices': [(t, f'appendix/{n}.md', '') for n, t in APPENDIX.items()],
        'Solutions': [(number(p), f'{s.name}.md', '') for p, s in zip(chapters(), solutions())],
        'Rooms behind the chapters': [(number(p), f'{p.name}.md', p.about) for p in rooms()]}))
    for f in ('lm_from_scratch/playground', 'docs/playground'): shutil.copytree(root/f, site/'playground', dirs_exist_ok=True)
    (site/'.nojekyll').touch()


def colab(folder):
    "Copies of all notebooks that begin by installing the package, for the branch that Colab opens."
    for p in (*chapters(), *rooms(), *solutions()):
        path = Path(folder)/f'{p.name}.ipynb'
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(takeaway.for_colab(p), path)


def made_from():
    "A hash of everything that the site is made of."
    files = [f for pattern in ('nbs/**/*.ipynb', 'docs/**/*', 'images/*', 'lm_from_scratch/**/*.py', 'lm_from_scratch/course/results/*', 'lm_from_scratch/playground/*', 'CITATION.cff', 'pyproject.toml')
             for f in root.glob(pattern) if f.is_file() and not {'_book', '_build', '_site', '__pycache__'} & set(f.parts)]
    return hashlib.sha256(b''.join(f.relative_to(root).as_posix().encode() + f.read_bytes() for f in sorted(files))).hexdigest()


def fresh():
    "Is the site there, and made from what is here now?"
    stamp = site/'.made-from'
    return stamp.is_file() and stamp.read_text() == made_from()


def main(*args):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--draft', action='store_true', help="say what is wrong, and build all the same")
    parser.add_argument('--colab', metavar='FOLDER', help="only write the copies of the notebooks that Colab opens")
    options = parser.parse_args(args)
    if sys.version_info < (3, 11):
        print(f"The site is not built: the theme and Sphinx that draw it need Python 3.11 or newer, and this is {sys.version.split()[0]}.")
        sys.exit(TOO_OLD)
    if options.colab: return colab(options.colab)
    draft = options.draft
    def stop(why):
        if not draft: sys.exit(f'The site is not built: {why}, see above.')
    if truth.main(): stop('figures without a source')
    write_sources()
    html = work/'html'
    shutil.rmtree(html, ignore_errors=True)
    os.environ['SOURCE_DATE_EPOCH'] = '0'                              # the same pages from the same sources
    strict = [] if draft else ['-W', '--keep-going']
    if build_main(['-q', *strict, '-j', os.environ.get('JOBS', '2'), '-b', 'html', '-c', str(root/'docs/sphinx'), '-d', str(work/'doctrees'), str(src), str(html)]):
        stop("Sphinx's warnings are errors here")
    for f in (*html.glob('_static/*macros.html'), html/'_static/styles/theme.css'): f.unlink()     # templates of the themes, and a sheet that only names another
    mend(html)
    write_beside(html)
    shutil.rmtree(site, ignore_errors=True)
    html.rename(site)
    if not draft: (site/'.made-from').write_text(made_from())
    pages = sum('playground' not in f.parts for f in site.rglob('*.html'))
    print(f"The site is in {site.relative_to(root)}: {pages} pages. Look at it: python -m http.server -d {site.relative_to(root)}")


if __name__ == '__main__': main(*sys.argv[1:])
