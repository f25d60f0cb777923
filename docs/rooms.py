"The rooms of the house: which module stands on which floor, what imports what, and the map of it in CONTRIBUTING.md."
import ast
import json
import re
import sys
from functools import cache
from pathlib import Path

root = Path(__file__).resolve().parent.parent
PACKAGE = 'lm_from_scratch'
CHECKER = "a chapter's checkers"

# The contract, from the ground up: a module imports from the floors below its own, never from its own or from one above.
# `course` and `check` are two houses on the same ground: neither imports the other.
FLOORS = dict(
    library=[
        dict(errors="what is said when input is wrong"),
        dict(settings="everything that can be set for a run"),
        dict(data="corpus, vocabulary, batches that run on"),
        dict(nword="a few words in, one guess out"),
        dict(state="a state that is carried from batch to batch"),
        dict(every_word="a prediction after every word",
             multilayer="`LanguageModel`: layers that can be exchanged",
             generation="text from a model, word by word",
             tokens="any text as ids: tokenizers, files of any size",
             learner="what fastai promises on a `Learner`, kept for texts"),
        dict(lstm="LSTM cells: gate by gate, fused; the backward pass, derived",
             fast_lstm="the LSTM's two passes, fast (optional)",
             gru="GRU cells: the classical one, PyTorch's",
             normalization="batch norm per step and in sequence, layer norm",
             regularization="dropout, AR and TAR",
             copying="reading the text being read: rewriting, cache, dynamic evaluation"),
        dict(weight_tying="one matrix for embedding and decoder; the whole model, stored and loaded",
             inspection="gates and states of a trained model, word by word",
             text="corpora in parts, every token scored once, cache and dynamic evaluation",
             awd="the rest of AWD-LSTM and its relatives, piece by piece (optional)",
             after="attention out of the cache, a small GPT, recurrences that run as a scan",
             training="`Learner` set-up and fair comparisons"),
        dict(scale="one training in several processes, and what a step costs"),
        dict(runs="a training as a folder: begun, gone on with, judged, made to write"),
        dict(export="a run in other programs: ONNX, TorchScript, the playground",
             saving="a `Learner`'s training as a run's folder, and back; what fastai promises, tried"),
        dict(play="the playground on a run, in the browser or as one page")],
    course=[
        dict(drawing="canvas, boxes, arrows, files the same to the byte",
             notebooks="runs chapters in kernels, stores what they show",
             experiments="the one runner: recipes, rows, processes"),
        dict(ladder="every model of the course, measured alike"),
        dict(claims="sentences as comparisons over seeds",
             copies="the ways of training that chapter 10 compares"),
        dict(texts="every training on real text, by the budget"),
        dict(figures="every picture of the course",
             afters="the models of chapter 14 at equal size and at equal time")],
    check=[
        dict(core="what a checker is made of; exercises from errata"),
        dict.fromkeys(('data', 'state', 'multilayer'), CHECKER),
        dict.fromkeys(('nword', 'every_word', 'lstm', 'gru', 'normalization', 'regularization', 'weight_tying', 'copying', 'generation', 'text', 'scale', 'after'), CHECKER)],
    faces=[
        dict(all="what a user wants at once", cli="the command line"),
        dict(__main__="`python -m lm_from_scratch`, the same")])
GROUNDS = dict(library=(), course=('library',), check=('library',), faces=('library', 'course', 'check'))
APART = {'course.notebooks'} # on the ground of the course: no other room of the course imports it


def place(module):
    "The house and the floor of a module named within the package: ('course', 1) for 'course.ladder'; a package stands on top of its modules."
    if module == '': return 'library', -1                          # the package itself: its version
    if module in ('course', 'check'): return module, len(FLOORS[module])
    house, _, name = module.rpartition('.')
    if not house: house = 'faces' if any(name in f for f in FLOORS['faces']) else 'library'
    return next(((house, i) for i, f in enumerate(FLOORS.get(house, ())) if name in f), None)


# ---- what imports what

UNKNOWN = '?' # what is imported by a name made at run time


def modules(folder):
    "The modules of the package in `folder`, named within it: '', 'data', 'course.ladder' …, and their files."
    names = {f: '.'.join(f.relative_to(folder).with_suffix('').parts) for f in sorted(folder.rglob('*.py'))}
    return {'' if n == '__init__' else n.removesuffix('.__init__'): f for f, n in names.items() if n != '_modidx'}


def imports(folder):
    "Module → the modules of the package that it imports: at its head, inside its functions, by `import_module`."
    known = modules(folder)
    return {m: {n for n in _imported(m, f, known) if n != m} for m, f in known.items()}


def _imported(module, file, known):
    package = [PACKAGE, *(module.split('.') if file.name == '__init__.py' else module.split('.')[:-1])]
    package = [p for p in package if p]
    for dots, name in _named_in(file.read_text(encoding='utf-8')):
        if name == UNKNOWN: yield UNKNOWN; continue
        path = [*package[:len(package)+1-dots], *name.split('.')] if dots else name.split('.')
        if path[0] != PACKAGE: continue
        while '.'.join(path[1:]) not in known: path.pop()  # a name in a module: the module
        yield '.'.join(path[1:])


@cache # by the text, so that copies of a house are read once
def _named_in(text): return [found for node in ast.walk(ast.parse(text)) for found in _named(node)]


def _named(node):
    "(dots before it, dotted name) of everything that a piece of code imports."
    if isinstance(node, ast.Import): yield from ((0, a.name) for a in node.names)
    elif isinstance(node, ast.ImportFrom):
        for a in node.names: yield node.level, '.'.join(filter(None, (node.module, a.name)))
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split('.')[-1] in ('import_module', '__import__'):
        name, at, *_ = *(a.value if isinstance(a, ast.Constant) else UNKNOWN for a in node.args), UNKNOWN, UNKNOWN
        dots = len(name) - len(name.lstrip('.'))
        if dots: name = UNKNOWN if at == UNKNOWN else '.'.join([*at.split('.')[:len(at.split('.'))+1-dots], name.lstrip('.')])
        yield 0, name


# ---- the contract

def breaches(folder):
    "Every import against the contract, in a sentence."
    graph = imports(folder)
    found = [f"{m} stands on no floor: give it one in docs/rooms.py" for m in graph if not place(m)]
    found += [f"{m} is on a floor, but there is no such module" for m in names() if m not in graph]
    return found + [s for m, targets in graph.items() for t in sorted(targets) if (s := _breach(m, t))]


def _breach(m, t):
    if not m or not place(m): return
    house, floor = place(m)
    if t == UNKNOWN: return house == 'library' and f"{m} imports by a name made at run time: nobody can say what"
    if not place(t): return
    there, below = place(t)
    if there != house: return there not in GROUNDS[house] and f"{m} imports {t}: the {house} does not know the {there}"
    if below >= floor: return f"{m} imports {t}, which is not below it"
    if t in APART and m != house: return f"{m} imports {t}, which stands apart"


def names():
    "Every module on a floor, from the ground up."
    return [_name(h, n) for h, floors in FLOORS.items() for f in floors for n in f]


def _name(house, n): return n if house in ('library', 'faces') else f'{house}.{n}'


# ---- the map

def rests_on(module, graph):
    "What a module imports, without what comes with it through another of its imports."
    direct, through = graph[module].intersection(names()), set()
    def walk(m):
        for t in graph[m].intersection(names()) - through: through.add(t); walk(t)
    for t in direct: walk(t)
    return [n for n in names() if n in direct - through]


def notebook_of():
    "Module → the notebook that it is exported from."
    found = {}
    for p in sorted((root/'nbs').rglob('*.ipynb')):
        for c in json.loads(p.read_text(encoding='utf-8'))['cells']:
            if m := re.match(r'#\| default_exp (\S+)', ''.join(c['source'])): found[m[1]] = p.relative_to(root/'nbs').as_posix()
    return found


HOUSES = dict(faces='**two faces**', check='**`check/`**: exercises', course='**`course/`**: experiments', library='**library**')


def stack():
    "The floors as a drawing in letters: the two wings stand side by side on the library."
    def rows(house): return ['  '.join(f) for f in reversed(FLOORS[house])]
    chapters = next(i for i, f in enumerate(FLOORS['check']) if CHECKER in f.values())
    wings = [rows('course'), ['a module for each chapter', *rows('check')[-chapters:]]]
    width, high = max(map(len, wings[0])) + 6, max(map(len, wings))
    left, right = ([name, *['']*(high-len(w)), *w] for name, w in zip(('course/', 'check/'), wings))
    both = [f'{a:{width}}{b}'.rstrip() for a, b in zip(left, right)]
    line = '─'*max(map(len, both + rows('library')))
    return '\n'.join(['```', *rows('faces'), line, *both, line, 'library', *rows('library'), '```'])


def house_map():
    "The map, as markdown: the floors, then a line for each module, the top floor first, and arrows to what it rests on."
    graph, books = imports(root/PACKAGE), notebook_of()
    lines = [stack(), '', '| Module | What | Rests on |', '|---|---|---|']
    for house, title in HOUSES.items():
        lines.append(f'| {title} | | |')
        if house == 'check': lines.append('| [`check.…`](nbs/solutions) | a module for each chapter: the checkers of its exercises | → `core`, the chapter |')
        for n, what in ((n, what) for floor in reversed(FLOORS[house]) for n, what in floor.items() if what != CHECKER):
            m = _name(house, n)
            file = f'nbs/{books[m]}' if m in books else f'{PACKAGE}/{m.replace(".", "/")}.py'
            rest = ', '.join(f'`{t.removeprefix(house + ".")}`' for t in rests_on(m, graph))
            lines.append(f"| [`{m}`]({file}) | {what} | {rest and '→ ' + rest} |")
    return '\n'.join(lines)


BEGIN, END = '<!-- the map: written by docs/rooms.py -->', '<!-- end of the map -->'


def with_map(text):
    "CONTRIBUTING.md with the map as the imports are now."
    if BEGIN not in text: sys.exit(f"CONTRIBUTING.md has no place for the map: {BEGIN}")
    return re.sub(f'{BEGIN}.*?{END}', lambda m: f'{BEGIN}\n{house_map()}\n{END}', text, flags=re.S)


def main():
    if bad := breaches(root/PACKAGE): print(*bad, sep='\n', file=sys.stderr)
    file = root/'CONTRIBUTING.md'
    file.write_text(with_map(file.read_text(encoding='utf-8')), encoding='utf-8')
    print('the map in CONTRIBUTING.md written')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
