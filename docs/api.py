"API entries: a signature, what it does, a table of parameters; written as directives of Sphinx, so that search, index and links know them."
import inspect
import re
import textwrap
from dataclasses import is_dataclass

from fastcore.docments import docments
from names import PACKAGE, resolve, symbols


def _name(o):
    if o is inspect.Parameter.empty: return ''
    if isinstance(o, str): return o
    if getattr(o, '__origin__', None) is not None or not hasattr(o, '__name__'): return re.sub(r'\b(?:typing|collections\.abc)\.', '', str(o))
    return o.__name__


def _default(v):
    if v is inspect.Parameter.empty: return None
    if inspect.isclass(v) or inspect.isfunction(v) or inspect.isbuiltin(v): return v.__name__.replace('<lambda>', 'a function')
    text = repr(v)
    return '…' if text.startswith('<') or len(text) > 40 else text


def _parameters(o):
    "(name as it is written, type, default, comment) of each parameter, and (type, comment) of what is returned."
    f = o
    if inspect.isclass(o) and not is_dataclass(o):
        made_by = next((c for c in o.__mro__ if '__init__' in vars(c)), object)
        if not made_by.__module__.startswith(PACKAGE): return [], ('', ''), ''     # a constructor that we inherit is told elsewhere
        f = made_by.__init__
    sig = inspect.signature(f if inspect.isclass(o) and not is_dataclass(o) else o)
    try: doc = docments(f, full=True, args_kwargs=True) if _spread_out(f) else {}
    except OSError: doc = {}                           # made at run time, like a NamedTuple's constructor
    rows, shown, star = [], [], False
    for n, p in sig.parameters.items():
        if n == 'self': continue
        mark = {p.VAR_POSITIONAL: '*', p.VAR_KEYWORD: '**'}.get(p.kind, '')
        if p.kind is p.KEYWORD_ONLY and not star: shown.append('*'); star = True
        star = star or mark == '*'
        default = _default(p.default)
        shown.append(mark + n + ('' if default is None else f'={default}'))
        told = next((m.help for m in getattr(p.annotation, '__metadata__', ()) if getattr(m, 'help', None)), None)         # an option of the command line
        rows.append((mark + n, _name(getattr(p.annotation, '__origin__', p.annotation) if told else p.annotation), default, told or (doc.get(n) or {}).get('docment') or ''))
    back = doc.get('return') or {}
    kind = _name(back.get('anno', inspect.Parameter.empty)) if back.get('anno') is not None else ''
    return rows, (kind, back.get('docment') or ''), '(' + ', '.join(shown) + ')'


def _spread_out(f):
    "Is the signature written over several lines? Else a comment beside it belongs to no parameter."
    return inspect.isclass(f) or ')' not in re.sub(r'\(\w*\)', '', inspect.getsource(inspect.unwrap(f)).split('def ', 1)[1].splitlines()[0].split('#')[0])


def _cell(text): return _stars(' '.join(str(text).split())).replace('|', r'\|')


def _stars(text): return re.sub(r'(`[^`]*`)|\*(?=\S)|<(?=[a-z/!])', lambda m: m[1] or '\\' + m[0], text)   # a product is no emphasis, `<unk>` no tag


def _table(rows, back):
    rows = [(f'`{n}`', f'`{t}`' if t else '', '' if d is None else f'`{d}`', c) for n, t, d, c in rows if c or t]
    if back[0] not in ('', 'None') or back[1]: rows.append(('returns', f'`{back[0]}`' if back[0] else '', '', back[1]))
    if not any(c for *_, c in rows): return ''
    head = 'Parameter', 'Type', 'Default', 'Meaning'
    keep = [i for i in range(4) if i in (0, 3) or any(r[i] for r in rows)]
    line = lambda r: '| ' + ' | '.join(_cell(r[i]) for i in keep) + ' |'
    return '\n'.join([line(head), '|' + '---|'*len(keep), *map(line, rows)])


def _doc(o):
    o = getattr(o, '__func__', o)
    doc = inspect.cleandoc((o.fget if isinstance(o, property) else o).__doc__ or '') if not isinstance(o, type) else inspect.cleandoc(vars(o).get('__doc__') or '')
    doc = re.sub(r'\n\n +', '\n\n', doc)
    return re.sub(r'(?<=\w)\*(?=\w)', r'\\*', doc)


def _value(o):
    "What a constant holds, in a line."
    if isinstance(o, dict) and o: return f"A {type(o).__name__} with the keys " + ', '.join(f'`{k}`' for k in list(o)[:12]) + (' …' if len(o) > 12 else '') + '.'
    if isinstance(o, (list, tuple)) and o: return f'A {type(o).__name__} of {len(o)}: ' + ', '.join(f"`{getattr(v, 'name', v)}`" for v in o[:12]) + (' …' if len(o) > 12 else '') + '.'
    return f'{_default(o)}.'


def entry(module, name):
    "The directive of one name; '' where there is nothing to tell."
    full = f'{PACKAGE}.{module}.{name}'
    o = resolve(full)
    method = '.' in name
    options = [':module: ' + f'{PACKAGE}.{module}']
    if isinstance(o, property): kind, sig, body = 'property', '', _doc(o)
    elif inspect.isclass(o) or inspect.isfunction(getattr(o, '__func__', o)):
        if isinstance(o, (classmethod, staticmethod)): options.append(f':{type(o).__name__}:')
        f = getattr(o, '__func__', o)
        rows, back, sig = _parameters(f)
        if isinstance(o, classmethod): sig = re.sub(r'^\(cls(, )?', '(', sig); rows = [r for r in rows if r[0] != 'cls']
        kind = 'class' if inspect.isclass(o) else 'method' if method else 'function'
        if kind == 'class' and issubclass(o, BaseException): kind, sig, rows = 'exception', '', []
        body = '\n\n'.join(t for t in (_doc(o), _table(rows, back)) if t)
    elif name.isupper(): kind, sig, body = 'data', '', _value(o)
    else: return ''                                    # a value, said in the chapter
    if method and not body: return ''
    return f'~~~~{{py:{kind}}} {name}{sig}\n' + '\n'.join(options) + '\n\n' + body + '\n~~~~'          # a default may hold backticks


def reference(module):
    "All entries of a module, under a heading; '' for a module that exports nothing."
    entries = [e for e in (entry(module, n) for n in symbols().get(module, [])) if e]
    if not entries: return ''
    return f'## Reference\n\n`````{{py:module}} {PACKAGE}.{module}\n:no-index-entry:\n`````\n\n' + '\n\n'.join(entries)


def source_lines(full):
    "(file below the repository, first line, last line) of a name; None where Python does not know."
    o = resolve(full)
    o = getattr(o, '__func__', o)
    o = inspect.unwrap(o.fget if isinstance(o, property) else o)
    try:
        lines, start = inspect.getsourcelines(o)
        return o.__module__.replace('.', '/') + '.py', start, start + len(textwrap.dedent(''.join(lines)).rstrip().splitlines()) - 1
    except (TypeError, OSError): return None
