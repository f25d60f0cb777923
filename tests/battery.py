"""Attacks on the checkers, made by machine from the right answers: what is still right must pass, what is wrong must be refused.

An attack is a function: (case) → changed answers, each with a label; none where it does not apply. `SPARES` says what it may not be held against."""
import contextlib
import copy
import inspect
import io
import itertools
import random
import sys
import textwrap
import types
import warnings
from dataclasses import dataclass, field
from functools import partial, wraps

import numpy as np
import torch
from torch import nn

from lm_from_scratch import check

UNANSWERED, PASSED, REFUSED, CRASHED = 'unanswered', 'passed', 'refused', 'crashed'


def verdict(name, answer, kwargs):
    "What a checker says: (one of the four, its sentence)."
    said = io.StringIO()
    random.seed(0)
    np.random.seed(0)
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            getattr(check, name)(answer, **kwargs)
    except check.CheckFailed as e: return REFUSED, str(e)
    except Exception as e: return CRASHED, f'{type(e).__name__}: {e}'
    finally: torch.set_grad_enabled(True)
    lines = said.getvalue().splitlines()
    if f'passed: {name}' in lines: return PASSED, ''
    return (UNANSWERED, '') if f'not answered yet: {name}' in lines else (CRASHED, f'says {lines}')


# ---- a right answer, and what it was asked

@dataclass
class Call:
    args: tuple    # What the checker handed in, before
    kwargs: dict
    after: tuple   # The same, after the call
    result: object


@dataclass
class Case:
    "A right answer of a checker."
    name: str
    answer: object
    kwargs: dict
    calls: list = field(default_factory=list) # Of a function: its calls; of a class: those of its constructor
    steps: list = field(default_factory=list) # Of a class: the calls of what it makes

    @property
    def kind(self):
        if isinstance(self.answer, type): return 'class'
        if isinstance(self.answer, nn.Module) and not self.calls: return 'model'
        return 'function' if callable(self.answer) else 'value'

    @property
    def makes_model(self): return self.kind == 'function' and any(isinstance(c.result, nn.Module) for c in self.calls)


def frozen(v):
    "A copy of plain things and tensors; anything else as it is."
    if isinstance(v, torch.Tensor): return v.detach().clone()
    if isinstance(v, np.ndarray): return v.copy()
    if type(v) in (list, tuple): return type(v)(map(frozen, v))
    if type(v) is dict: return {k: frozen(x) for k, x in v.items()}
    return v


def alike(a, b):
    "The same plain value?"
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray): return np.array_equal(a, b)
    if type(a) in (list, tuple) and type(b) in (list, tuple): return len(a) == len(b) and all(map(alike, a, b))
    if type(a) is dict and type(b) is dict: return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    try: return a is b or bool(a == b)
    except Exception: return False


def spied(f, calls):
    "A function that writes down its calls."
    def spy(*args, **kwargs):
        before = frozen(args)
        res = f(*args, **kwargs)
        calls.append(Call(before, dict(kwargs), frozen(args), frozen(res)))
        return res
    return spy


def record(name, answer, kwargs):
    "The case of a right answer: run once, its calls written down. None where it does not pass."
    case = Case(name, answer, kwargs)
    seen = answer
    if case.kind == 'class':
        ns = {'__init__': method(spied(answer.__init__, case.calls))}
        if hasattr(answer, 'forward'): ns['forward'] = method(spied(answer.forward, case.steps))
        seen = type(answer.__name__, (answer,), ns)
    elif callable(answer) and case.kind != 'model': seen = spied(answer, case.calls)
    if verdict(name, answer, kwargs)[0] != PASSED: return None
    verdict(name, seen, kwargs)
    if case.kind == 'class': case.calls = [Call(c.args[1:], c.kwargs, c.after[1:], None) for c in case.calls]
    return case


# ---- attacks that must be refused

ATTACKS = {}  # name → (should, attack)


def attack(should):
    def _inner(f):
        ATTACKS[f.__name__.strip('_')] = should, f
        return f
    return _inner


JUNK = {'None': None, 'an object': object(), 'a word': 'gibberish', 'empty word': '', 'minus one': -1, 'NaN': float('nan'), 'infinity': float('inf'), 'True': True, 'a list': [],
        'a dict': {}, 'a set': set(), 'an empty tensor': torch.zeros(0), 'a tensor': torch.full((2, 2), -3.), 'an array of words': np.array(['a', 'b']), 'complex': 1j, 'nested': [[None]],
        'a class': type('Thing', (), {}), 'a class with tolist': np.ndarray, 'torch.Tensor': torch.Tensor, 'a function': lambda: None, 'any function': lambda *a, **k: None, 'a module': sys,
        'a model': nn.Linear(2, 2), 'a bare model': nn.Module(), 'a generator': (i for i in ())}


@attack(REFUSED)
def nonsense(case):
    "None, and two dozen other things that are no answer."
    yield from JUNK.items()


@attack(UNANSWERED)
def stub(case):
    yield 'three dots', ...


def erring(error):
    def f(*args, **kwargs): raise error
    return f


class Odd(Exception):
    def __str__(self): raise RuntimeError('an error that cannot say what it is')


ERRORS = [RuntimeError('boom'), ValueError('boom\nin two lines'), TypeError(''), KeyError('boom'), IndexError('boom'), AttributeError('boom'), AssertionError(), ZeroDivisionError('boom'), StopIteration(),
          RecursionError('maximum recursion depth exceeded'), NotImplementedError(), MemoryError(), OSError(2, 'boom'), UnicodeDecodeError('utf-8', b'x', 0, 1, 'boom'), Odd()]


@attack(REFUSED)
def exception(case):
    "An exception inside: when it is called, when it is made, when it runs."
    if case.kind == 'value' or case.kind == 'model': return
    for e in ERRORS:
        if case.kind == 'function': yield type(e).__name__, erring(e)
        else: yield f'{type(e).__name__} in __init__', subclass(case.answer, __init__=erring(e))
    if case.kind == 'class' and hasattr(case.answer, 'forward'):
        for e in ERRORS[:4]: yield f'{type(e).__name__} in forward', subclass(case.answer, forward=erring(e))
        if hasattr(case.answer, 'reset'): yield 'in reset', subclass(case.answer, reset=erring(ERRORS[0]))


def method(f):
    "A function as a method: fastai's `Module` looks for `self`."
    def called(self, *args, **kwargs): return f(self, *args, **kwargs)
    return called


def subclass(cls, **methods): return type(cls.__name__, (cls,), {k: method(f) for k, f in methods.items()})


@attack(REFUSED)
def instance_or_class(case):
    "An instance for a class, a class for an instance or for a function."
    if case.kind == 'class' and case.calls and (made := made_once(case)) is not None: yield 'an instance', made
    elif case.kind in ('value', 'model'): yield 'its class', type(case.answer)
    elif case.kind == 'function' and not case.makes_model:
        f = case.answer
        yield 'a class that is called', type('Answer', (), {'__call__': lambda self, *a, **k: f(*a, **k)})
        if case.calls:
            c = case.calls[-1]
            yield 'its result', c.result


def made_once(case):
    c = case.calls[0]
    try: return case.answer(*c.args, **c.kwargs)
    except Exception: return None


@attack(REFUSED)
def unfinished(case):
    "A class without what it needs: no `super().__init__()`, no methods, no layers, `forward` that gives something else."
    if case.kind != 'class': return
    yield 'an empty class', type(case.answer.__name__, (), {})
    yield 'an empty module', type(case.answer.__name__, (nn.Module,), {})
    def init(self, *args, **kwargs): pass
    yield 'a module that makes nothing', type(case.answer.__name__, (nn.Module,), {'__init__': init})
    def layer(self, *args, **kwargs): self.i_h = nn.Embedding(3, 3)
    if issubclass(case.answer, nn.Module):
        yield 'without super().__init__()', type(case.answer.__name__, (nn.Module,), {'__init__': layer})
        for k, v in list(JUNK.items())[:12]: yield f'forward gives {k}', subclass(case.answer, forward=lambda self, *a, v=v, **kw: v)


def returns(f, change):
    @wraps(f)
    def changed(*args, **kwargs): return change(f(*args, **kwargs))
    return changed


def is_number(v): return isinstance(v, (int, float, np.number)) and not isinstance(v, bool)


def perturbed(v, how):
    "A result in which one thing is changed; None where there is nothing to change."
    if isinstance(v, torch.Tensor):
        if not v.is_floating_point(): return None
        with torch.no_grad(): noise = torch.full_like(v, 1.)
        return how(v, noise)
    if isinstance(v, float): return how(v, 1.)
    if type(v) in (list, tuple) and v:
        new = [perturbed(x, how) for x in v]
        if all(x is None for x in new): return None
        return type(v)(x if n is None else n for x, n in zip(v, new))
    return None


@attack(REFUSED)
def wrong_result(case):
    "What comes out is changed: nothing, NaN, a tenth more, a shape that is another, too little."
    fs = []
    if case.kind == 'function' and not case.makes_model and case.calls: fs = [(case.calls, lambda change: returns(case.answer, change))]
    elif case.kind == 'class' and case.steps: fs = [(case.steps, lambda change: subclass(case.answer, forward=returns(case.answer.forward, change)))]
    for calls, make in fs:
        results = [c.result for c in calls]
        if any(r is not None for r in results):
            for k, v in list(JUNK.items())[:17]:
                if not all(alike(v, r) for r in results): yield k, make(lambda r, v=v: v)
        if any(perturbed(r, lambda a, b: a) is not None for r in results):
            for label, how in {'NaN': lambda a, b: a*float('nan'), 'all one more': lambda a, b: a + b, 'a tenth more': lambda a, b: a*1.1 + .1*b}.items():
                yield f'{label}', make(lambda r, how=how: r if (p := perturbed(r, how)) is None else p)
        if any(isinstance(r, torch.Tensor) for r in results):
            yield 'an axis more', make(lambda r: r[None] if isinstance(r, torch.Tensor) else r)
            if any(isinstance(r, torch.Tensor) and r.dim() and len(r) > 1 for r in results): yield 'one less', make(lambda r: r[:-1] if isinstance(r, torch.Tensor) and r.dim() and len(r) > 1 else r)
        if any(type(r) in (list, tuple) and len(r) > 1 and not alike(r, r[::-1]) for r in results): yield 'the other way round', make(lambda r: r[::-1] if type(r) in (list, tuple) else r)
        if any(type(r) in (list, tuple) and len(r) for r in results): yield 'the last one missing', make(lambda r: r[:-1] if type(r) in (list, tuple) else r)


def arguments(case):
    "The calls that matter for arguments."
    return case.calls if case.kind in ('function', 'class') else []


def with_args(case, change):
    "The answer, called with other arguments."
    f = case.answer
    if case.kind == 'class':
        init = case.answer.__init__
        def __init__(self, *args, **kwargs): init(self, *change(args), **kwargs)
        return subclass(case.answer, __init__=__init__)
    def changed(*args, **kwargs): return f(*change(args), **kwargs)
    return changed


def plain(v): return isinstance(v, (int, float, bool, str))


@attack(REFUSED)
def ignored(case):
    "An argument is ignored: always the first that came, or a number of the notebook's."
    calls = [c for c in arguments(case) if c.args]
    if not calls: return
    for k in range(min(len(c.args) for c in calls)):
        first = calls[0].args[k]
        if isinstance(first, nn.Module) or callable(first): continue
        if all(alike(first, c.args[k]) for c in calls):  # asked but once: another value must be refused, and so must the chapter's own
            if not is_number(first) or case.makes_model: continue
            if not made_twice(case, k):
                for n in {2*first + 1, first/2 + .1} if isinstance(first, float) else {2*first + 1}:
                    def change(args, k=k, n=n): return (*args[:k], n, *args[k+1:]) if len(args) > k else args
                    yield f'argument {k}: {n} for {first}', with_args(case, change)
            continue
        def change(args, k=k, first=first): return (*args[:k], frozen(first), *args[k+1:]) if len(args) > k else args
        yield f'argument {k}: the first one always', with_args(case, change)
        if isinstance(first, int) and not isinstance(first, bool):
            for n in (64, 30):
                def change(args, k=k, n=n): return (*args[:k], n, *args[k+1:]) if len(args) > k else args
                yield f'argument {k}: {n} always', with_args(case, change)


def made_twice(case, k): return case.kind == 'class' and len({c.args for c in case.calls if all(map(plain, c.args))}) > 1


@attack(REFUSED)
def exchanged(case):
    "Two arguments have changed places, neighbours or not."
    calls = arguments(case)
    n = min((len(c.args) for c in calls), default=0)
    for j, k in itertools.combinations(range(n), 2):
        if all(alike(c.args[j], c.args[k]) for c in calls): continue
        def change(args, j=j, k=k):
            args = list(args)
            if len(args) > k: args[j], args[k] = args[k], args[j]
            return tuple(args)
        yield f'{j} and {k}', with_args(case, change)


@attack(REFUSED)
def constant(case):
    "A constant: what was right once (for the text of the course, for the sizes of a chapter), whatever is asked."
    calls = case.calls if case.kind == 'function' and not case.makes_model else []
    results = [c.result for c in calls if c.result is not None]
    if not results: return
    if all(alike(results[0], x) for x in results): kinds = {'the only result': results[0]}
    else: kinds = {'the first result': results[0], 'the last result': results[-1]}
    for label, r in kinds.items(): yield label, lambda *args, r=r, **kwargs: frozen(r)


@attack(REFUSED)
def replayed(case):
    "Right for what is asked first, and always the same from then on; sizes that are fixed."
    if case.kind != 'class' or not case.calls: return
    c = case.calls[0]
    if all(alike(c.args, d.args) for d in case.calls) and len(case.calls) < 2: return
    def __init__(self, *args, **kwargs): case.answer.__init__(self, *frozen(c.args), **c.kwargs)
    if not all(alike(c.args, d.args) for d in case.calls): yield 'the first sizes always', subclass(case.answer, __init__=__init__)


def tensors(v):
    if isinstance(v, torch.Tensor): return [v]
    if type(v) in (list, tuple): return [t for x in v for t in tensors(x)]
    return []


def spoil(args):
    for t in tensors(args):
        with torch.no_grad():
            if t.is_floating_point(): t.data.add_(1)
            elif t.dtype == torch.bool: t.data.logical_not_()
            else: t.data.copy_(t.flip(-1) if t.dim() else t + 1)


@attack(REFUSED)
def in_place(case):
    "A copy is changed where `in place` was asked, or what was handed in is changed where it was not."
    f, calls = case.answer, case.calls
    if case.kind != 'function' or case.makes_model or not calls: return
    if any(not alike(c.args, c.after) for c in calls):
        yield 'a copy is changed', lambda *args, **kwargs: f(*frozen(args), **kwargs)
    elif any(tensors(c.args) for c in calls):
        def spoils(*args, **kwargs):
            res = f(*args, **kwargs)
            if any(t.data_ptr() == r.data_ptr() for t in tensors(args) for r in tensors(res)): res = copy.deepcopy(frozen(res))
            spoil(args)
            return res
        yield 'what was handed in is changed', spoils


@attack(REFUSED)
def shared(case):
    "Two parameters of one shape are one."
    if case.kind != 'class' or not case.calls or not issubclass(case.answer, nn.Module): return
    for k in range(4):
        if (cls := sharing(case, k)) is not None: yield cls.label, cls


def pairs(model):
    "Pairs of parameters that could be one: (name, name)."
    ps = list(model.named_parameters())
    return [(a, b) for i, (a, p) in enumerate(ps) for b, q in ps[i+1:] if p.shape == q.shape]


def sharing(case, k):
    model = made_once(case)
    found = pairs(model) if model is not None else []
    if k >= len(found): return None
    a, b = found[k]
    def __init__(self, *args, **kwargs):
        case.answer.__init__(self, *args, **kwargs)
        def owner(n): path, _, last = n.rpartition('.'); return self.get_submodule(path), last
        (m, x), (n, y) = owner(a), owner(b)
        if getattr(m, x).shape == getattr(n, y).shape: setattr(n, y, getattr(m, x))
    cls = subclass(case.answer, __init__=__init__)
    cls.label = f'{a} is {b}'
    return cls


# ---- attacks that must pass: the same, otherwise

@attack(PASSED)
def notebook(case):
    "The same thing, defined in the notebook: its module is `__main__`."
    if case.kind not in ('class', 'function') or (obj := in_main(case.answer)) is None: return
    yield 'in __main__', obj


def in_main(obj):
    "The definition of a class or a named function once more, as a notebook would run it; None where there is none."
    if not isinstance(obj, (type, types.FunctionType)) or '<' in obj.__qualname__ or obj.__module__ == 'builtins': return None
    if isinstance(obj, types.FunctionType) and (obj.__closure__ or obj.__name__ == '<lambda>'): return None
    try: source = textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError): return None
    space = {**vars(sys.modules[obj.__module__]), '__name__': '__main__'}
    source = '\n'.join(line for line in source.splitlines() if not line.startswith('@mutant'))
    try: exec(compile(source, '<cell>', 'exec'), space)
    except Exception: return None
    return space.get(obj.__name__)


class Called:
    def __init__(self, f): self.f = f
    def __call__(self, *args, **kwargs): return self.f(*args, **kwargs)
    def method(self, *args, **kwargs): return self.f(*args, **kwargs)


@attack(PASSED)
def unusual(case):
    "A subclass, a factory, a partial, a lambda, an object that is called, a method."
    f = case.answer
    if case.kind == 'class': yield from {'subclass': subclass(f), 'another name': type('Mine', (f,), {}), 'keyword arguments': type(f.__name__, (f,), {'extra': 1})}.items()
    elif case.kind == 'function': yield from {'partial': partial(f), 'lambda': lambda *a, **k: f(*a, **k), 'object': Called(f), 'method': Called(f).method, 'wrapped': wraps(f)(lambda *a, **k: f(*a, **k)) if hasattr(f, '__name__') else Called(f)}.items()


def cast(v, dtype):
    if isinstance(v, torch.Tensor): return v.to(dtype) if v.is_floating_point() else v
    if type(v) in (list, tuple): return type(v)(cast(x, dtype) for x in v)
    return v


@attack(PASSED)
def precision(case):
    "float32 and float64, NumPy's and torch's numbers."
    if case.kind == 'function' and not case.makes_model and any(t.is_floating_point() for c in case.calls for t in tensors(c.result)):
        for d in (torch.float32, torch.float64): yield str(d), returns(case.answer, partial(cast, dtype=d))
    if case.kind == 'value': yield from numbers_of(case.answer)


def numbers_of(v):
    if isinstance(v, bool): yield 'np.bool_', np.bool_(v)
    elif isinstance(v, int): yield from {'np.int64': np.int64(v), 'tensor': torch.tensor(v), 'float': float(v), 'array': np.array(v)}.items()
    elif isinstance(v, float): yield from {'np.float32': np.float32(v), 'np.float64': np.float64(v), 'float32': torch.tensor(v), 'float64': torch.tensor(v).double(), 'array': np.array(v)}.items()
    elif type(v) in (list, tuple) and v and all(map(is_number, v)):
        yield from {'array': np.array(v), 'float32': torch.tensor(v, dtype=torch.float32), 'float64': torch.tensor(v).double(), 'np.float64 each': [np.float64(x) for x in v], 'tensors': [torch.tensor(x) for x in v]}.items()


@attack(PASSED)
def containers(case):
    "A list for a tuple, a tuple for a list, an array for a tensor where no gradient is asked for."
    if case.kind == 'value':
        v = case.answer
        if type(v) in (list, tuple): yield from {'list': list(v), 'tuple': tuple(v)}.items()
        if isinstance(v, set): yield from {'list': sorted(v), 'tuple': tuple(sorted(v)), 'frozenset': frozenset(v), 'words': ', '.join(sorted(v)), 'array': np.array(sorted(v)), 'capitals': {x.upper() for x in v},
            'quoted': {f'`{x}`' for x in v}, 'quoted in words': ' and '.join(f'`{x}`' for x in sorted(v))}.items()
        if isinstance(v, str): yield from {'capitals': v.upper(), 'blanks': f' {v} ', 'quoted': f'`{v}`', 'np.str_': np.str_(v)}.items()
    elif case.kind == 'function' and not case.makes_model:
        results = [c.result for c in case.calls]
        if any(type(r) is tuple for r in results): yield 'list for tuple', returns(case.answer, lambda r: list(r) if type(r) is tuple else r)
        if any(type(r) is list for r in results): yield 'tuple for list', returns(case.answer, lambda r: tuple(r) if type(r) is list else r)
        if any(type(r) is list and r and all(map(is_number, r)) for r in results):
            yield 'tensor for list', returns(case.answer, lambda r: torch.tensor(r) if type(r) is list else r)
            yield 'array for list', returns(case.answer, lambda r: np.array(r) if type(r) is list else r)
        if any(type(r) is bool for r in results): yield 'np.bool_', returns(case.answer, np.bool_)
        if any(type(r) is float for r in results): yield 'tensor for number', returns(case.answer, lambda r: torch.tensor(r, dtype=torch.float64))
