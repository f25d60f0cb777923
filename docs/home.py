"The home page: what it is in one screen, then the playground, then what the index notebook tells."
import re

import nbformat
from pages import FIGURES, Unnumbered, chapters, code, index, markdown, nbs, root

from lm_from_scratch.course import figures
from lm_from_scratch.course.experiments import as_text
from lm_from_scratch.course.ladder import find_recipe
from lm_from_scratch.course.notebooks import address
from lm_from_scratch.data import number_words


def _index():
    "The index notebook's title, line below it, and its sections: heading → markdown."
    nb = nbformat.read(nbs/'index.ipynb', 4)
    page, parts = index(), []
    for c in nb.cells[1:]:
        if c.cell_type == 'markdown': parts.append(markdown(re.sub(r'!\[[^\]]*\]\(\.\./images/ladder\.svg\)\n*', '', c.source), page, numbers=Unnumbered()))
        elif made := code(c, page, None):
            shown = [o.data['text/markdown'] for o in made.outputs if 'text/markdown' in o.get('data', {})]
            parts.append('\n'.join(shown) if 'remove-input' in made.metadata['tags'] else f'```python\n{made.source}\n```')
    text = '\n\n'.join(parts)
    return page, dict(zip(['', *re.findall(r'^## (.+)$', text, re.M)], re.split(r'^## .+\n', text, flags=re.M)))


def claim():
    "What the course reaches, in a sentence: the published figure, ours, and the best that is possible."
    top = figures._rungs()[-1].seeds
    return f"That is the text. On numbers that it has never read, the network that fastbook published gets **{as_text(find_recipe('tied').published)}** of the words right. " \
           f"At the end of this walk a network of the same size gets **{as_text(sum(top)/len(top))}**; the best that anybody could get is {as_text(figures._ceilings()[-1])}. " \
           "(That last step was [tuned with the held-out text in view](#what-it-found).)"


def home():
    "The page, in MyST: sphinx/home.md, filled in."
    page, sections = _index()
    ladder = FIGURES['ladder']
    template = (root/'docs/sphinx/home.md').read_text(encoding='utf-8')
    fill = dict(title=page.title, about=page.about, claim=claim(), alt=' '.join(ladder['alt'].split()), caption=ladder['caption'], first=f'{chapters()[0].name}.html', count=number_words(len(chapters())).capitalize(), book=f'{address()}/language-models-from-scratch',
                **{re.sub(r'\W+', '_', k.lower()).strip('_') or 'lead': v.strip() for k, v in sections.items()})
    return re.sub(r'\{\{(\w+)\}\}', lambda m: str(fill[m[1]]), template).replace(' ± ', '\u00a0±\u00a0') + '\n\n'
