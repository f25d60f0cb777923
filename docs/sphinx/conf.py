"Sphinx's settings. `docs/build_site.py` writes the pages and calls Sphinx; nothing here is fetched when a page is read."
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here.parent)]

from api import source_lines  # noqa: E402
from pages import blob  # noqa: E402

from lm_from_scratch import __version__  # noqa: E402
from lm_from_scratch.course.notebooks import address, repository  # noqa: E402

project = 'A language model from scratch'
author = copyright = 'The lm_from_scratch authors'
version = release = __version__
language = 'en'

extensions = ['myst_nb', 'sphinx.ext.linkcode', 'sphinx_copybutton', 'sphinxcontrib.bibtex', 'mathml', 'buttons']
templates_path = ['templates']
root_doc = 'index'
nitpicky = True                      # a name that leads nowhere stops the build …
nitpick_ignore_regex = [('py:.*', r'^(?!lm_from_scratch\.).*')]   # … unless it is one of Python's or a library's

# notebooks come with their outputs; the site runs none
nb_execution_mode = 'off'
nb_code_prompt_show, nb_code_prompt_hide = 'Show the code', 'Hide the code'
nb_merge_streams = True
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence', 'deflist', 'attrs_inline', 'attrs_block']
myst_heading_anchors = 3
suppress_warnings = ['mystnb.unknown_mime_type', 'config.cache']
math_renderer = html_math_renderer = 'mathml'
bibtex_bibfiles = ['../appendix/references.bib']
bibtex_default_style = 'plain'
bibtex_reference_style = 'author_year'
python_display_short_literal_types = True
add_module_names = False
toc_object_entries = False
copybutton_exclude = '.linenos, .gp, .go'

html_theme = 'sphinx_book_theme'
html_title = project
html_short_title = project
html_static_path = ['static', '../_build/static']
html_js_files = ['site.js']
html_css_files = ['site.css', 'figures.css']
html_favicon = 'static/favicon.svg'
html_baseurl = address() + '/'
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = '#'
html_context = dict(default_mode='auto')
html_theme_options = dict(
    repository_url=repository(), repository_branch='main', path_to_docs='nbs', use_repository_button=False, use_download_button=False, use_fullscreen_button=False,
    navbar_persistent=[], home_page_in_toc=True, show_navbar_depth=1, max_navbar_depth=2, show_toc_level=2, collapse_navbar=True,
    pygments_light_style='github-light-high-contrast', pygments_dark_style='github-dark-high-contrast',
    article_header_end=['article-header-buttons.html'], footer_content_items=['extra-footer.html'],
    extra_footer=f'<p><a href="{repository()}">The repository</a> · <a href="{blob("LICENSE")}">Apache-2.0</a> · {author} · <a href="{address()}/llms.txt">llms.txt</a></p>', logo={'text': project}, back_to_top_button=True, use_issues_button=False)


def linkcode_resolve(domain, info):
    "The lines of a name in the repository."
    found = domain == 'py' and info['fullname'] and source_lines(f"{info['module']}.{info['fullname']}")
    return f'{blob(found[0])}#L{found[1]}-L{found[2]}' if found else None

