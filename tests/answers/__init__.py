"Answers to the exercises, right and wrong: one module for each of `lm_from_scratch.check`."
from importlib import import_module
from pathlib import Path

RIGHT,MUTANTS = {},[]  # checker → right answers; (checker, answer, what the message must say)
def right(name, *answers, **kwargs): RIGHT.setdefault(name, []).extend((a, kwargs) for a in answers)
def mutant(name, says, notes=False, **kwargs):
    "Decorator: a wrong answer, and part of what its checker must say; `notes` marks what the study notes have."
    def _inner(f): MUTANTS.append((name, f, says, notes, kwargs)); return f
    return _inner
def wrong(name, says, f, label=None, **kwargs):
    if label: f.label = label
    mutant(name, says, **kwargs)(f)

def load_all():
    for p in sorted(Path(__file__).parent.glob('[a-z]*.py')): import_module(f'answers.{p.stem}')
