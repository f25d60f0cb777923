"The buttons above a page: open it in Colab or Binder, take it along, edit it."
import html

from pages import BRANCH, chapters, index, rooms, solutions

from lm_from_scratch.course.notebooks import repository

COLAB_BRANCH = 'colab'               # the workflow keeps copies there that begin by installing the package


def page_of(name): return next((p for p in (*chapters(), *rooms(), *solutions()) if p.name == name), None)


def link(url, text, tooltip, icon, label): return dict(type='link', url=url, text=text, tooltip=tooltip, icon=icon, label=label)


def group(buttons, tooltip, icon, label): return dict(type='group', buttons=buttons, tooltip=tooltip, icon=icon, label=label)


def of_notebook(page, up):
    repo = repository().removeprefix('https://github.com/')
    launch = [link(f'https://colab.research.google.com/github/{repo}/blob/{COLAB_BRANCH}/{page.name}.ipynb', 'Colab', 'Run it in Google Colab', 'fas fa-play', 'colab'),
              link(f'https://mybinder.org/v2/gh/{repo}/{BRANCH}?urlpath=lab/tree/{page.source}', 'Binder', 'Run it on Binder, in JupyterLab', 'fas fa-rocket', 'binder')]
    take = [link(f'{up}{page.name}-download.ipynb', 'Notebook', 'Download the notebook, with its outputs', 'fas fa-file-code', 'notebook')]
    if page in chapters(): take.append(link(f'{up}recall/{page.name}.ipynb', 'Recall copy', 'Download the code without its prose, to tell the story yourself', 'fas fa-eraser', 'recall'))
    take.append(link(f'{up}{page.name}.md', 'Markdown', 'This page as plain markdown', 'fas fa-file-lines', 'markdown'))
    take.append(dict(type='javascript', javascript='window.print()', text='Print', tooltip='Print, or save as PDF', icon='fas fa-print', label='print'))
    return [group(launch, 'Run this page', 'fas fa-rocket', 'launch'), group(take, 'Take this page along', 'fas fa-download', 'download'),
            link(f'{repository()}/edit/{BRANCH}/{page.source}', '', 'Suggest a change', 'fas fa-pencil', 'edit')]


def add(app, pagename, templatename, context, doctree):
    page, has_markdown = page_of(pagename), False
    up = context['content_root'] if 'content_root' in context else '../'*pagename.count('/')
    if page: context['header_buttons'] = of_notebook(page, up)
    elif has_markdown := pagename.startswith('appendix/') and pagename != 'appendix/solutions':
        context['header_buttons'] = [link(f'{up}{pagename}.md', '', 'This page as plain markdown', 'fas fa-file-lines', 'markdown')]
    about = page.about if page else index().about if pagename == 'index' else ''
    if about: context['metatags'] = context.get('metatags', '') + f'<meta name="description" content="{html.escape(about)}">'
    context['markdown_page'] = f'{up}{pagename}.md' if page or has_markdown else None


def setup(app):
    app.connect('html-page-context', add, priority=900)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
