"What the tests of chapter 13 run in several processes: one launch, many cases."
import os

import torch

from lm_from_scratch.copying import borrow
from lm_from_scratch.data import Corpus, Vocab, human_numbers
from lm_from_scratch.scale import follow

BS = 12                                                                # rows: of 1, 2 and 3 processes


def text(n, n_words=11):
    "Words at random, some of them more frequent; others are held out."
    ids = torch.randn(n+97, generator=torch.Generator().manual_seed(n)).mul(3).abs().long().clamp(max=n_words-1)
    return Corpus(ids[:n], Vocab([f'w{i}' for i in range(n_words)]), valid_ids=ids[n:])


def small_numbers(): return Corpus(human_numbers().ids[:900], human_numbers().vocab, 'numbers')


# batches of five words: an even and an odd number of them; and what is left of a row after the last one: three words, or one
LENGTHS = dict(even=BS*5*6+1, odd=BS*5*5+1, ragged=BS*(5*5+3)+1, one=BS*(5*6+1)+1)
CASES = {f'{name}-{"whole" if drop else "all"}': dict(n=n, drop_last=drop) for name, n in LENGTHS.items() for drop in (True, False)}
CASES |= dict(moving=dict(n=700, moving=True), wrapped=dict(n=LENGTHS['ragged'], wrapped=True, drop_last=False), rewritten=dict(numbers=True, moving=True, how=borrow))


def cases(world, device='cpu'):
    "Every case, followed step by step."
    found = {}
    for name, case in CASES.items():
        case = dict(case)
        corpus = small_numbers() if case.pop('numbers', False) else text(case.pop('n'))
        found[name] = follow(world, corpus, BS, device=device, **case)
    return found
