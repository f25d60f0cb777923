"Write README.md from nbs/index.ipynb, links and pictures made absolute so that they hold on GitHub and on PyPI."
import re
import sys
from pathlib import Path

import nbformat

from lm_from_scratch.course.notebooks import repository

root = Path(__file__).resolve().parent.parent


def cell_markdown(cell):
    "What a reader of the README sees of a cell."
    if cell.cell_type == 'markdown': return cell.source
    directives = dict(re.findall(r'^#\|\s*(\w+):?\s*(.*)$', cell.source, re.M))
    if 'hide' in directives: return ''
    code = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
    shown = '' if directives.get('echo') == 'false' else f'```python\n{code}\n```'
    outputs = [''.join(o.data.get('text/markdown', '')) for o in cell.outputs if 'data' in o]
    return '\n\n'.join(filter(None, [shown, *outputs]))


def readme():
    "The text of README.md."
    nb = nbformat.read(root/'nbs/index.ipynb', 4)
    text = '\n\n'.join(filter(None, map(cell_markdown, nb.cells))) + '\n'
    blob = f'{repository()}/blob/main'
    raw = repository().replace('https://github.com', 'https://raw.githubusercontent.com') + '/main'
    text = text.replace('](../images/', f']({raw}/images/').replace('](../', f']({blob}/')
    return re.sub(r'\]\((\d\d_\w+\.ipynb)\)', rf']({blob}/nbs/\1)', text)


if __name__ == '__main__':
    sys.stdout.reconfigure(encoding='utf-8')
    (root/'README.md').write_text(readme(), encoding='utf-8')
    print('README.md written')
