"Every checker, attacked by machine: no wrong answer passes, no right one is refused, and what is said is one sentence of the checker's own."
import re

import nbformat
import pytest
from answers import RIGHT, load_all
from battery import ATTACKS, CRASHED, record, verdict
from exercises import chapters, exercises, solutions

from lm_from_scratch import check
from lm_from_scratch.check import CHECKERS, core

load_all()

SPARES = {  # (checker, attack, part of the label) → why this is no fault of the checker
    ('speed_up', 'exchanged', '0 and 2'): "tokens and seconds a token are only ever multiplied with each other",
    ('constant_state', 'wrong_result', 'more'): "the same is added to every score, and the state stays as it is: still a right answer",
    ('peeking', 'wrong_result', 'more'): "scores that are all moved or stretched alike peek as before",
    ('peeking', 'shared', 'i_h.weight is h_o.weight'): "a tied model may peek as well",
    ('causal', 'ignored', 'argument 1'): "a test may read words of its own",
    ('lenient_judge', 'ignored', 'argument 1'): "the task says that it is called with 8100",
    ('sign_symmetry', 'exchanged', '0 and 3'): "the two halves of the reset gate are added, in whichever order",
    ('sign_symmetry', 'exchanged', '1 and 4'): "those of the update gate, too",
    ('rotation_start', 'wrong_result', ''): "what it returns is not asked for: it changes a model in place",
}


def spared(name, attack, label): return any((n, a) == (name, attack) and part in label for n, a, part in SPARES)


@pytest.mark.parametrize('name', CHECKERS)
def test_battery(name, capsys):
    "A row of the kill matrix: for each attack, how many changed answers were judged as they should be; · where it does not apply."
    answer, kwargs = RIGHT[name][0]
    case, counts, faults = record(name, answer, kwargs), [], []
    assert case, verdict(name, answer, kwargs)
    for attack, (should, make) in ATTACKS.items():
        n = 0
        for label, changed in make(case):
            if spared(name, attack, label): continue
            n += 1
            got, said = verdict(name, changed, kwargs)
            if got != should or got == CRASHED: faults.append(f'{attack}, {label}: {got} {said}')
            elif said and ('Traceback' in said or len(said) > 600): faults.append(f'{attack}, {label}: no sentence: {said}')
        counts.append(str(n or '·'))
    with capsys.disabled(): print(f"\n{name:<22}" + ''.join(f'{attack} {n:<5}' for attack, n in zip(ATTACKS, counts)), end='')
    assert not faults, '\n' + '\n'.join(faults)


@pytest.mark.parametrize('name', CHECKERS)
def test_all_right_answers_otherwise(name):
    "Every right answer, not the first alone, in its other forms."
    for answer, kwargs in RIGHT[name][1:]:
        if not (case := record(name, answer, kwargs)): continue
        for attack in ('notebook', 'unusual'):
            for label, changed in ATTACKS[attack][1](case):
                assert verdict(name, changed, kwargs) == ('passed', ''), (attack, label, verdict(name, changed, kwargs))


def test_spares_are_needed():
    assert {n for n, _, _ in SPARES} <= CHECKERS.keys() and {a for _, a, _ in SPARES} <= ATTACKS.keys()
