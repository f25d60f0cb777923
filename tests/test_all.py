"What `from lm_from_scratch.all import *` brings: what a user wants, and nothing that only we need."
import ast
import inspect

import pytest
from conftest import ROOT

from lm_from_scratch import all as everything

NAMES = everything.__all__
HELPERS = 'ones tens TIES KNOWN share share4 before after stale check_size check_seed check_share check_number file_errors scores_of rows_of tell rung quiet shorter two_copies'.split()


def test_every_name_is_there_once():
    assert len(set(NAMES)) == len(NAMES) and [n for n in NAMES if not hasattr(everything, n)] == []
    space = {}
    exec('from lm_from_scratch.all import *', space)
    assert space.keys() - {'__builtins__'} == set(NAMES)


def test_no_helpers():
    assert [n for n in NAMES if n.startswith('_') or n in HELPERS or inspect.ismodule(getattr(everything, n))] == []


@pytest.mark.parametrize('name', '''Learner DataLoaders accuracy Perplexity CrossEntropyLossFlat SaveModelCallback EarlyStoppingCallback CSVLogger GradientClip
    ShowGraphCallback set_seed human_numbers lm_dataloaders LanguageModel lm_learner generate load_results show_claim copying_table'''.split())
def test_what_must_be_there(name): assert name in NAMES


def test_every_public_class_of_the_library_is_there():
    "But for what stands beside a class, and for one that has a room of its own."
    apart = {'NoText', 'MappedIds', 'PastDecoder', 'CsvFile', 'Lines', 'Span', 'NoBatches', 'WordLoss', 'WordMetric', 'WordPerplexity', 'LSTMFunction', 'FastLSTMFunction', 'FlatAdam', 'Place', 'Rows', 'Training', 'MogrifierLayer', 'Plain', 'Step', 'Cost'}
    for path in (ROOT/'lm_from_scratch').glob('*.py'):
        if path.stem in ('all', 'cli', '_modidx', '__init__'): continue
        tree = ast.parse(path.read_text(encoding='utf-8'))
        classes = {n.name for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith('_')}
        assert classes - apart <= set(NAMES), path.name
