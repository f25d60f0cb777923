"Sphinx's settings for the book: those of the site, without what only a page on the web has. `docs/book.py` writes the sources and calls Sphinx."
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
exec(compile((here.parent/'conf.py').read_text(encoding='utf-8'), str(here.parent/'conf.py'), 'exec'), {**globals(), '__file__': str(here.parent/'conf.py')}, settings := {})
globals().update({k: v for k, v in settings.items() if k != 'here'})

extensions = [e for e in extensions if e not in ('sphinx_copybutton', 'buttons', 'sphinx.ext.linkcode')]  # noqa: F821
templates_path = []
bibtex_bibfiles = [str(here.parents[1]/'appendix/references.bib')]
html_static_path, html_js_files, html_css_files, html_favicon = ['static', '../../_build/book_static'], [], [], None
pygments_style = 'github-light-high-contrast'
html_theme_options = {}

epub_theme = 'epub'
epub_title, epub_author, epub_publisher, epub_copyright = project, author, author, 'Apache-2.0'  # noqa: F821
epub_identifier = epub_uid = 'language-models-from-scratch'            # one id for the package and for the older table of contents
epub_scheme, epub_contributor = 'ID', author  # noqa: F821
epub_description = 'Language models from scratch: the chapters, the exercises and their solutions.'
epub_show_urls, epub_tocdepth, epub_tocdup, epub_use_index = 'no', 2, False, False
epub_tocscope, html_domain_indices = 'includehidden', False
epub_css_files = ['book.css']
epub_cover = ('_static/cover.png', '')
epub_exclude_files = ['search.xhtml', '.buildinfo', '.doctrees', 'objects.inv']
