"Formulas as MathML, made when the site is built: no script, no font service, and screen readers can read them."
import inspect
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

try: from docutils.utils.math import MathError
except ImportError: MathError = SyntaxError                            # before docutils 0.22, which Python 3.10 does not have

log = logging.getLogger(__name__)
SPACE = re.compile(r'(<mo>(?:&ApplyFunction;|&#8289;|\u2061)</mo>)(?!\s*(?:<mrow>\s*)?<mo[^>]*>\()')   # ln p, but tanh(c)
BLOCK = 'as_block' in inspect.signature(tex2mathml).parameters


def mathml(node, block):
    "MathML of a formula in LaTeX; a warning, which is an error in our build, where it cannot be said."
    try: return SPACE.sub(r'\1<mspace width="0.17em"/>', tex2mathml(node.astext(), **(dict(as_block=block) if BLOCK else dict(inline=not block))))
    except MathError as e:
        log.warning(f'{e} in the formula: {node.astext()}', location=node)
        return nodes.literal('', node.astext()).astext()


def inline(self, node):
    self.body.append(mathml(node, False))
    raise nodes.SkipNode


def display(self, node):
    self.body.append(self.starttag(node, 'div', CLASS='math-block', tabindex='0') + mathml(node, True) + '</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer('mathml', (inline, None), (display, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
