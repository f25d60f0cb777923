"What a reader takes along: notebooks whose pictures and links hold anywhere, copies without prose for recall, copies for Colab, plain markdown, llms.txt."
import copy
import re
import sys
from pathlib import Path, PurePosixPath

import nbformat
from bs4 import BeautifulSoup
from nbconvert import MarkdownExporter
from pages import BRANCH, LINK, blob, chapters, directives, root

from lm_from_scratch.course.notebooks import repository

PICTURE = re.compile(r'!\[(?P<alt>[^\]]*)\]\((?P<to>[^)\s]+)\)')


def absolute(text, source):
    "Markdown whose relative links and pictures lead into the repository."
    def full(to): return (root/source).parent.joinpath(to).resolve().relative_to(root).as_posix()
    text = PICTURE.sub(lambda m: m[0] if ':' in m['to'] else f"![{m['alt']}]({repository().replace('github.com', 'raw.githubusercontent.com')}/{BRANCH}/{full(m['to'])})", text)
    return LINK.sub(lambda m: m[0] if re.match(r'[a-z]+:|#', m['to']) else f"[{m['text']}]({blob(full(m['to']))})", text)


def standing_alone(page):
    "The notebook of a page, as it is, with pictures and links that hold without the repository."
    nb = nbformat.read(root/page.source, 4)
    for c in nb.cells:
        if c.cell_type == 'markdown': c.source = absolute(c.source, page.source)
    return nb


def for_colab(page):
    "The same, beginning with the cell that installs the package."
    nb = standing_alone(page)
    nb.cells.insert(1, nbformat.v4.new_code_cell(f'%pip install -q git+{repository()}', id='install0'))
    return nb


def recall(page):
    "The code of a chapter without its prose and its outputs: headings and cells, to tell the story yourself."
    nb = nbformat.read(root/page.source, 4)
    cells = []
    for c in nb.cells:
        if c.cell_type == 'code':
            c.source = directives(c.source)[1] or c.source
            if 'default_exp' in c.source: continue
            cells.append(nbformat.v4.new_code_cell(c.source, id=c.id))
        elif heads := re.findall(r'^#+ .+$', re.sub(r'^(`{3,}|~{3,}).*?^\1', '', c.source, flags=re.M | re.S), re.M):
            cells.append(nbformat.v4.new_markdown_cell('\n\n'.join(heads), id=c.id))
    return nbformat.v4.new_notebook(cells=cells, metadata=nb.metadata)


def rows(html):
    "A table of HTML as a table of markdown."
    found = [[' '.join(c.get_text(' ').split()) for c in r.find_all(['th', 'td'])] for r in BeautifulSoup(html, 'html.parser').find_all('tr')]
    line = lambda r: '| ' + ' | '.join(r) + ' |'
    return '\n'.join([line(found[0]), '|' + '---|'*len(found[0]), *map(line, found[1:])]) if found else ''


def as_markdown(page):
    "The page as plain markdown: prose, code, printed outputs; pictures by their alternative text."
    nb = copy.deepcopy(standing_alone(page))
    cells = []
    for c in nb.cells:
        if c.cell_type == 'code':
            d, c.source = directives(c.source)
            if 'hide' in d or 'default_exp' in d: continue
            if d.get('echo') == 'false': c.source = ''
            for o in c.outputs:
                data = o.get('data', {})
                if data.pop('image/png', None): data['text/markdown'] = f"*[Figure: {d.get('fig-alt') or o.get('metadata', {}).get('image/png', {}).get('alt', '')}]*"
                if 'text/html' in data and (html := data.pop('text/html')) and 'text/plain' not in data: data['text/markdown'] = rows(html)
            c.outputs = [o for o in c.outputs if o.output_type == 'stream' or any(o.get('data', {}).values())]
        cells.append(c)
    nb.cells = cells
    text, _ = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(nb)
    return re.sub(r'^```python\n\s*```\n', '', re.sub(r'\n{3,}', '\n\n', text), flags=re.M).strip() + '\n'


def llms(title, about, sections):
    "llms.txt (llmstxt.org): what the site is, and where each page stands as plain markdown."
    lines = [f'# {title}', '', f'> {about}', '']
    for name, entries in sections.items():
        lines += [f'## {name}', '', *(f'- [{t}]({PurePosixPath(link).as_posix()})' + (f': {a}' if a else '') for t, link, a in entries), '']
    return '\n'.join(lines)


def main(folder):
    "Write the recall copies into a folder."
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for p in chapters(): nbformat.write(recall(p), folder/f'{p.name}.ipynb')
    print(f'{len(chapters())} chapters without their prose are in {folder}.')


if __name__ == '__main__': main(sys.argv[1])
