"Where a name in `backticks` leads: our own API, fastai's and fastcore's, or torch's pages."
import importlib
import inspect
import re
from functools import cache
from importlib.metadata import entry_points

from fastcore.basics import _clsmethod as clsmethod  # what `@patch(cls_method=True)` leaves behind

PACKAGE = 'lm_from_scratch'
TORCH = 'https://docs.pytorch.org/docs/stable/generated/{}.html'
SHORT = {'nn.': 'torch.nn.', 'F.': 'torch.nn.functional.', 'torch.': 'torch.', 'Tensor.': 'torch.Tensor.', 'optim.': 'torch.optim.'}


@cache
def symbols():
    "Module → its public names, in the order of its notebook: {'lstm': ['LSTMCell', 'LSTMCell.forward', …]}."
    from lm_from_scratch._modidx import d
    found = {}
    for module, names in d['syms'].items():
        short = module.removeprefix(PACKAGE + '.')
        public = getattr(importlib.import_module(module), '__all__', [])
        methods = [n for n in (full.removeprefix(module + '.') for full in names) if '.' in n and not n.split('.')[-1].startswith('_')]
        found[short] = [n for p in public for n in (p, *(m for m in methods if m.startswith(p + '.')))]
    return found


@cache
def own():
    "Name as prose writes it → full name. A checker is `check.name`; a name that two modules have leads nowhere."
    found, twice = {}, set()
    for module, names in symbols().items():
        for n in names:
            said = f'check.{n}' if module.startswith('check.') else n
            if said in found: twice.add(said)
            found[said] = f'{PACKAGE}.{module}.{n}'
    def is_code(full):
        o = resolve(full)
        return inspect.isclass(o) or callable(o) or isinstance(o, property)
    return {k: v for k, v in found.items() if k not in twice and is_code(v)}


def resolve(full):
    "The object of a full name."
    parts = full.split('.')
    for k in range(len(parts), 0, -1):
        try: o = importlib.import_module('.'.join(parts[:k]))
        except ModuleNotFoundError: continue
        for i, p in enumerate(parts[k:]):
            o = inspect.getattr_static(o, p) if inspect.isclass(o) and p in vars(o) else getattr(o, p, None)
        return classmethod(o.f) if isinstance(o, clsmethod) else o
    return None


@cache
def theirs():
    "Name → address, from the indices that nbdev projects publish."
    found = {}
    for lib in ('fastcore', 'fastai'):
        for e in entry_points(group='nbdev', name=lib):
            d = e.load()
            for names in d['syms'].values():
                for full, (page, _) in names.items():
                    short = re.sub(r'^[a-z_.]+\.(?=[A-Za-z_]+(\.[A-Za-z_]+)?$)', '', full)
                    if page: found[short] = d['settings']['doc_host'].rstrip('/') + d['settings'].get('doc_baseurl', '/').rstrip('/') + '/' + page
    return found


def _torch(name):
    for short, full in SHORT.items():
        if name.startswith(short):
            path = full + name.removeprefix(short)
            o = resolve(path)
            documented = callable(o) and path.count('.') == full.count('.') and getattr(o, '__doc__', None)
            return TORCH.format(path) if documented else None
    return None


@cache
def link(code):
    "What `code` in backticks leads to, as the target of a link in MyST; None where it is no name that we know."
    name = re.sub(r'\(.*\)$', '', code)
    if not re.fullmatch(r'[A-Za-z_][\w.]*', name): return None
    if name in own(): return own()[name]
    if found := _torch(name): return found
    return None if name in WORDS else theirs().get(name)


WORDS = {'store', 'test', 'call', 'first', 'last', 'loop', 'cat', 'stack', 'view', 'clamp', 'cache', 'reset'}   # names of theirs that mean something else here
