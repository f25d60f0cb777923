"""What a training on real text costs: the Penn Treebank's 10,000 words, two layers of 200, tied, by a bare loop, by `lm_learner`, by `lm_learner` with an estimated softmax, and by fastai's `language_model_learner` (AWD_LSTM of the same sizes).

All read the same batches, on one thread, and take turns within each round, so that whatever else the machine does hits all alike; `of_bare` is the
median, over the rounds, of how a loop's speed compares with the bare loop's in the same round, in CPU time; `tokens_a_second` is that of the best round. *Bare loop* is the least that training can be: forward, loss, backward, clipping and PyTorch's fused AdamW over
batches that were cut beforehand. It is what `lm_learner` is measured by; fastai's learner is trained as its documentation says, with its own Adam."""
import argparse
import contextlib
import os
import shlex
import sys
import time
import warnings
from statistics import median
from unittest.mock import patch

import torch
import torch.nn.functional as F
from fastai.callback.training import GradientClip
from fastai.text.learner import language_model_learner
from fastai.text.models.awdlstm import AWD_LSTM, awd_lstm_lm_config

from lm_from_scratch.awd import count_words, sample_softmax, start_small
from lm_from_scratch.course.experiments import processor, results_file, save_results, versions
from lm_from_scratch.course.texts import FUSED, penn_treebank, two_by_200
from lm_from_scratch.data import Corpus, Vocab, lm_dataloaders
from lm_from_scratch.training import lm_learner

BS, SEQ_LEN, LR = 20, 35, .008


def text(folder, n):
    "The first tokens of the Penn Treebank; without a folder, as many words drawn so that the k-th is k times rarer than the first."
    if folder: return penn_treebank(folder).ids[:n]
    return torch.multinomial(1/torch.arange(1., 10_001), n, replacement=True, generator=torch.Generator().manual_seed(0))


def bare(dls):
    batches, model = [(x.clone(), y.clone()) for x, y in dls.train], two_by_200(10_000)
    params = list(model.parameters())
    opt = torch.optim.AdamW(params, LR, betas=(.9, .99), weight_decay=0., fused=True)
    def run():
        model.train()
        model.reset()
        for x, y in batches:
            F.cross_entropy(model(x)[0].flatten(0, 1), y.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(params, 1.)
            opt.step()
            opt.zero_grad()
    return run


def quiet(learn):
    "A function that trains for an epoch of the training text, and reads nothing else."
    def run():
        with learn.no_bar(), learn.no_logging(), patch.object(learn, '_do_epoch_validate', lambda *args, **kwargs: None): learn.fit(1, LR)
    return run


def ours(dls, *pieces):
    learn = lm_learner(dls, two_by_200(10_000), opt_func=FUSED, cbs=GradientClip(1.))
    for piece in pieces: piece(learn)
    return quiet(learn)


def theirs(dls):
    config = {**awd_lstm_lm_config, 'emb_sz': 200, 'n_hid': 200, 'n_layers': 2}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return quiet(language_model_learner(dls, AWD_LSTM, config=config, pretrained=False, cbs=GradientClip(1.)))


def measure(runs, rounds):
    "Name → CPU seconds of each of its rounds; one round more to warm up."
    seconds = {name: [] for name in runs}
    for r in range(rounds+1):
        k = r % len(runs)
        for name in [*runs][k:] + [*runs][:k]:
            begun = time.process_time()
            runs[name]()
            seconds[name].append(time.process_time()-begun)
    return {name: s[1:] for name, s in seconds.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', nargs='?', help="where the folder `ptb` lies; without it, words are drawn")
    p.add_argument('--batches', type=int, default=12, help="batches in a round")
    p.add_argument('--rounds', type=int, default=5, help="rounds for each")
    p.add_argument('--store', action='store_true', help="keep the rows in the package: lm_from_scratch/course/results/text_speed.jsonl")
    args = p.parse_args()
    torch.set_num_threads(1)
    tokens = args.batches*BS*SEQ_LEN
    vocab = Vocab([f'w{i}' for i in range(10_000)])
    dls = lm_dataloaders(Corpus(text(args.folder, tokens+1), vocab, valid_ids=torch.arange(2*BS*SEQ_LEN)), BS, SEQ_LEN)
    made = {'bare loop': bare(dls), 'lm_learner': ours(dls), 'lm_learner, estimated softmax': ours(dls, count_words, start_small, sample_softmax),
            "fastai's language_model_learner": theirs(dls)}
    with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere): took = measure(made, args.rounds)
    shown = [a if a != args.folder else 'FOLDER' for a in sys.argv[1:]]
    about = dict(tokens=tokens, bs=BS, seq_len=SEQ_LEN, rounds=args.rounds, text='ptb' if args.folder else 'drawn', processor=processor(),
                 **versions(), command=shlex.join(['python', 'benchmarks/text_speed.py', *shown]))
    rows = []
    for name, seconds in took.items():
        share = median(a/b for a, b in zip(took['bare loop'], seconds))
        rows.append(dict(loop=name, tokens_a_second=round(tokens/min(seconds)), of_bare=round(share, 3), **about))
        print(f"{name:32} {tokens/min(seconds):8.0f} tokens a CPU second   {share:.2f} of the bare loop's", flush=True)
    if args.store: save_results(rows, results_file('text_speed'))


if __name__ == '__main__': main()
