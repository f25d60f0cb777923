"A student: after a chapter has run, types a solution into each stub, then a mistake, in the same kernel, and reads what comes back."
import ast
import re

from answers import MUTANTS, load_all
from conftest import ROOT
from exercises import exercises, solutions

SETTING = f"import sys\nsys.path.insert(0, {str(ROOT/'tests')!r})\nimport answers\nanswers.load_all()"


def names(code, store):
    "The names that some code sets, or those that it uses."
    kinds = (ast.Store, ast.Del) if store else ast.Load
    found = set()
    for n in ast.walk(ast.parse(code)):
        if isinstance(n, ast.Name) and isinstance(n.ctx, kinds): found.add(n.id)
        elif store and isinstance(n, (ast.FunctionDef, ast.ClassDef)): found.add(n.name)
        elif store and isinstance(n, ast.alias): found.add((n.asname or n.name).split('.')[0])
    return found


def check_call(code, checker):
    "The call of a checker in some code."
    for n in ast.walk(ast.parse(code)):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == checker: return n
    return None


def typed(stub, checker, answers):
    "A stub with the dots replaced: by expressions, one for each argument of its checker."
    for arg, answer in zip(check_call(stub, checker).args, answers, strict=True):
        stub, n = re.subn(rf'(?m)^{ast.unparse(arg)} = \.\.\.(?=\s|$)', lambda m, arg=arg, answer=answer: f'{ast.unparse(arg)} = {answer}', stub)
        assert n == 1, (stub, ast.unparse(arg))
    return stub


def needed(cells, wanted):
    "Those of some cells of code that lead to the names wanted."
    kept = []
    for code in reversed(cells):
        if names(code, True) & wanted:
            kept.insert(0, code)
            wanted = (wanted - names(code, True)) | names(code, False)
    return kept


def solution(s, checker):
    "What leads to a solution, in cells, and its answers as expressions."
    cells = [c.source for c in s.code]
    at = next(k for k, c in enumerate(cells) if check_call(c, checker))
    call = check_call(cells[at], checker)
    answers = [ast.unparse(a) for a in (*call.args, *(k.value for k in call.keywords))]
    before = [c for c in cells[:at] if not re.match(r'[%!]', c)]
    lines = cells[at].splitlines()[:call.lineno-1]
    return needed([*before, '\n'.join(lines)], set().union(*(names(a, False) for a in answers))), answers


def fault(checker):
    "Which of the wrong answers to type: its number, and what must be said."
    found = [(k, m) for k, m in enumerate(MUTANTS) if m[0] == checker and 'reset_after' not in m[4]]
    k, m = found[0]
    return k, m[2], list(m[4])


class Student:
    "`await student(ask)` does all exercises of a chapter; what went wrong is in `faults`."
    def __init__(self, path):
        load_all()
        self.path, self.faults, self.done, self.asked = path, [], [], set()

    async def __call__(self, ask):
        found, first = solutions(self.path), True
        for e in exercises(self.path):
            stub, checker = e.code[-1].source, e.checkers[0]
            cells, answers = solution(found[e.number], checker)
            cells = [*self.imports(cells), *cells]
            await self.right(ask, e.number, cells, typed(stub, checker, answers), checker)
            if first: await self.syntax(ask, e.number, typed(stub, checker, ['('] * len(answers)))
            if first: await ask(SETTING)
            first = False
            await self.wrong(ask, e.number, stub, checker)
            self.done.append(e.number)

    def imports(self, cells):
        "The imports by name above the solutions that some cells need: a chapter may mean something else by `copy`."
        import nbformat
        used = set().union(*(names(c, False) for c in cells))
        plain = [c.source for c in nbformat.read(ROOT/'nbs/solutions'/self.path.name, 4).cells if c.cell_type == 'code' and not c.source.startswith('#|')]
        lines = [line for c in plain for line in c.splitlines() if re.match(r'(import|from) ', line) and '*' not in line and 'lm_from_scratch' not in line]
        return [line for line in lines if names(line, True) & used]

    async def right(self, ask, number, cells, code, checker):
        for cell in (*cells, code):
            for _ in range(20):
                outs = await ask(cell)
                error = next((o for o in outs if o.output_type == 'error'), None)
                missing = error and re.search(r"name '(\w+)' is not defined", error.evalue)
                if not missing or not await self.fetch(ask, missing[1]): break
            if error: return self.faults.append(f'{number}: the solution stops with {error.ename}: {error.evalue[:300]}')
        said = ''.join(o.get('text', '') for o in outs)
        if f'passed: {checker}\n' not in said: self.faults.append(f'{number}: the solution does not pass: {said[:300]}')

    async def fetch(self, ask, name):
        "What a solution needs and the chapter has not: an import, or a definition above, in the notebook of solutions."
        import nbformat
        if name in self.asked: return False
        self.asked.add(name)
        nb = nbformat.read(ROOT/'nbs/solutions'/self.path.name, 4)
        plain = [c.source for c in nb.cells if c.cell_type == 'code' and not c.source.startswith('#|')]
        for code in plain:
            if name in names(code, True):
                await ask(code)
                return True
        for code in plain:
            if 'import *' in code:
                for line in code.splitlines():
                    scope = f'_all = {{}}\nexec({line!r}, _all)\nif {name!r} in _all: {name} = _all[{name!r}]'
                    await ask(scope)
        return True

    async def wrong(self, ask, number, stub, checker):
        k, says, others = fault(checker)
        answers = [f'answers.MUTANTS[{k}][1]', *(f'answers.MUTANTS[{k}][4][{o!r}]' for o in others)]
        outs = await ask(typed(stub, checker, answers))
        error = next((o for o in outs if o.output_type == 'error'), None)
        if not error: self.faults.append(f'{number}: a wrong answer passes: {outs}')
        elif error.ename != 'CheckFailed' or says not in error.evalue: self.faults.append(f'{number}: {says!r} should be said, not {error.ename}: {error.evalue[:300]}')
        elif len(error.traceback) != 1 or 'Not yet.' not in error.traceback[0] or 'Traceback' in error.traceback[0]: self.faults.append(f'{number}: more than a sentence: {error.traceback}')

    async def syntax(self, ask, number, code):
        outs = await ask(code)
        if [o.get('ename') for o in outs] != ['SyntaxError']: self.faults.append(f'{number}: a slip of the pen is told as {outs}')
