"The home page: what it is in one screen, then the playground, then what the index notebook tells."
import re

import nbformat
from pages import FIGURES, Page, chapters, code, markdown, nbs, root


def _index():
    "The index notebook's title, line below it, and its sections: heading → markdown."
    nb = nbformat.read(nbs/'index.ipynb', 4)
    page, parts = Page('index', 'nbs/index.ipynb', '', ''), []
    for c in nb.cells[1:]:
        if c.cell_type == 'markdown': parts.append(markdown(re.sub(r'!\[[^\]]*\]\([^)]*\)\n*', '', c.source), page))
        elif made := code(c):
            shown = [o.data['text/markdown'] for o in made.outputs if 'text/markdown' in o.get('data', {})]
            parts.append('\n'.join(shown) if 'remove-input' in made.metadata['tags'] else f'```python\n{made.source}\n```')
    title, about = re.match(r'# (.+)\n+> (.+)', nb.cells[0].source).groups()
    text = '\n\n'.join(parts)
    return title, about, dict(zip(['', *re.findall(r'^## (.+)$', text, re.M)], re.split(r'^## .+\n', text, flags=re.M)))


def home():
    title, about, sections = _index()
    ladder = 'ladder' if 'ladder' in FIGURES else 'language_model'
    alt = ' '.join(FIGURES[ladder]['alt'].split())
    template = (root/'docs/sphinx/home.md').read_text(encoding='utf-8')
    fill = dict(title=title, about=about, ladder=ladder, alt=alt, caption=FIGURES[ladder]['caption'], first=f'{chapters()[0].name}.html',
                **{re.sub(r'\W+', '_', k.lower()).strip('_') or 'lead': v.strip() for k, v in sections.items()})
    return re.sub(r'\{\{(\w+)\}\}', lambda m: str(fill[m[1]]), template) + '\n\n'
