"Text: parts from files, every token scored once, the same perplexity by three ways, and input that is refused."
import csv
import errno
import io
import math
import os
import sys
import threading
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import corpora
from fastai.metrics import Perplexity
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lm_from_scratch import tokens
from lm_from_scratch.all import *
from lm_from_scratch.runs import choices

quick = settings(max_examples=40, deadline=None)
LINES = ''.join(f'the {a} {b} sat on the {c} .\n' for a in ('old', 'red', 'big') for b in ('cat', 'dog', 'cow') for c in ('mat', 'hat', 'car', 'log'))*4
WAYS = dict(words=dict(eos='<eos>'), punctuation={}, chars={}, bpe=dict(max_words=270))


def model_of(corpus, seed=0, **kwargs):
    torch.manual_seed(seed)
    return LanguageModel(len(corpus.vocab), 12, rnn='lstm', **kwargs).double()


def corpus_of(kind='bpe', **kwargs): return text_corpus([LINES], kind=kind, **{**WAYS[kind], **kwargs})


# ---- three ways to one perplexity

def by_torch(model, part):
    "All of the text in one call of PyTorch's layers."
    ids = part.ids.long()
    if getattr(part.vocab, 'eos', None): ids = torch.cat([part.vocab.encode([part.vocab.eos]), ids])
    with torch.no_grad(): out = model.h_o(model.rnn(model.i_h(ids[None, :-1]))[0])
    return math.exp(float(nn.functional.cross_entropy(out[0], ids[1:])))


def by_hand(model, part):
    "In NumPy, a token at a time, from the equations of the LSTM."
    W = {k: v.detach().numpy() for k,v in model.state_dict().items()}
    ids = part.ids.tolist()
    if getattr(part.vocab, 'eos', None): ids = [part.vocab[part.vocab.eos], *ids]
    h,c,nats = np.zeros(12),np.zeros(12),[]
    def sigmoid(a): return 1/(1+np.exp(-a))
    for word,following in zip(ids, ids[1:]):
        a = W['rnn.weight_ih_l0'] @ W['i_h.weight'][word] + W['rnn.bias_ih_l0'] + W['rnn.weight_hh_l0'] @ h + W['rnn.bias_hh_l0']
        i,f,g,o = np.split(a, 4)
        c = sigmoid(f)*c + sigmoid(i)*np.tanh(g)
        h = sigmoid(o)*np.tanh(c)
        s = W['h_o.weight'] @ h + W['h_o.bias']
        nats.append(np.log(np.exp(s - s.max()).sum()) + s.max() - s[following])
    return math.exp(math.fsum(nats)/len(nats))


@pytest.mark.parametrize('kind', WAYS)
def test_one_checkpoint_three_ways(kind):
    corpus = corpus_of(kind)
    model = model_of(corpus)
    ours = evaluate(model, corpus.valid).perplexity
    assert abs(by_torch(model, corpus.valid)/ours - 1) < 1e-9 and abs(by_hand(model, corpus.valid)/ours - 1) < 1e-9


@quick
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_every_token_once_at_any_chunk(n, rows, chunk, eos):
    ids = torch.randint(3, (n,), generator=torch.Generator().manual_seed(n))
    vocab = TextTokenizer.train('a b\n', 'words', eos='<eos>') if eos else TextTokenizer.train('a b c', 'words')
    scored = n - (not eos)
    part = TextPart(ids, vocab)
    model = LanguageModel(3, 4, rnn='lstm').double()
    if scored < rows:
        with pytest.raises(CorpusTooSmall, match=f'at least {rows + (not eos)}'): evaluate(model, part, rows, chunk)
        return
    score = evaluate(model, part, rows, chunk)
    whole = ids if not eos else torch.cat([vocab.encode(['<eos>']), ids])
    total,length = [],-(-scored//rows)
    for at in range(0, scored, length):                                                    # each row cold, in one call
        row = whole[at:at+length+1]
        with torch.no_grad(): out = model.h_o(model.rnn(model.i_h(row[None, :-1]))[0])
        total.append(float(nn.functional.cross_entropy(out[0], row[1:], reduction='sum')))
    assert score.tokens == scored and abs(score.total - math.fsum(total)) < 1e-9*max(1, score.total)
    sizes = [max(0, min(length, scored - r*length)) for r in range(rows)]
    assert abs(sum(b*k for b,k in zip(score.by_row, sizes) if k) - score.total) < 1e-9*max(1, score.total)


def test_bits():
    corpus = text_corpus(['naïve äöü '*50], kind='chars', valid_pct=.2)
    n = len(corpus.vocab)
    model = LanguageModel(n, 4, rnn='lstm').double()
    for p in model.parameters(): p.data.zero_()
    s = evaluate(model, corpus.valid)
    assert math.isclose(s.perplexity, n) and math.isclose(s.bits_per_char, math.log2(n)) and s.tokens == s.characters == 99
    text = ('naïve äöü '*50)[400:]
    assert s.bytes == len(text.encode()) - 1 and math.isclose(s.bits_per_byte, s.total/math.log(2)/s.bytes)
    assert s.row()['sha256'] == corpus.heads['valid']['sha256'] and s.row()['tokens'] == 99


def test_a_part_that_was_cut_by_hand():
    "How long it is nobody knows any more, and its text is another one."
    for c in (corpus_of('bpe'), corpus_of('words')):
        whole,c.valid_ids = evaluate(model_of(c), c.valid),c.valid_ids[:50]
        cut = evaluate(model_of(c), c.valid)
        assert c.valid.bytes is c.valid.characters is None and cut.sha256 not in (None, whole.sha256) and 'bits_per_byte' not in cut.row()
        assert c.train.bytes == c.heads['train']['bytes']
    c = TextCorpus(torch.arange(9) % 3, Vocab(list('abc')))
    assert 'train 9 tokens' in repr(c) and c.train.bytes is None


def test_an_unknown_word_in_front_takes_nothing_off():
    c = text_corpus(['the cat sat on the mat '*9], valid=['é on'])
    score = evaluate(model_of(c), c.valid)
    assert c.valid.ids[0] == c.vocab['<unk>'] and (score.tokens, score.unknown, score.characters, score.bytes) == (1, 0, 4, 5) and score.bits_per_byte > 0
    assert evaluate(model_of(c), text_corpus(['the cat sat on the mat '*9], valid=['on the']).valid).bytes == 4


def test_bytes_do_not_depend_on_the_tokens():
    found = {k: evaluate(model_of(c := corpus_of(k)), c.valid) for k in WAYS}
    assert {s.sha256 for k,s in found.items() if k != 'chars'} == {found['bpe'].sha256}
    assert found['words'].bytes == found['bpe'].bytes + len(corpus_of('bpe').vocab[int(corpus_of('bpe').valid_ids[0])])


def test_the_model_is_as_it_was():
    corpus = corpus_of()
    learn = lm_learner(lm_dataloaders(corpus, bs=4, seq_len=8), model_of(corpus, p=.5).float())
    m = learn.model
    m.train(); m.drop.eval(); m(torch.zeros(3, 5, dtype=torch.long))
    state,weights,calls = m.h,{k: v.clone() for k,v in m.state_dict().items()},[]
    hook = m.register_forward_hook(lambda *a: calls.append(1))
    for f in (evaluate, evaluate_cache, evaluate_dynamic): f(learn, corpus.valid)
    assert m.h is state and m.training and not m.drop.training and len(m._forward_hooks) == 1 and calls
    hook.remove()
    assert all(torch.equal(v, weights[k]) for k,v in m.state_dict().items()) and all(p.grad is None for p in m.parameters())


def test_the_metric_agrees():
    corpus = corpus_of()
    for drop_last in (True, False):
        learn = lm_learner(lm_dataloaders(corpus, bs=3, seq_len=7, drop_last=drop_last), model_of(corpus).float(), metrics=[TokenPerplexity(), Perplexity()])
        with learn.no_bar(), learn.no_logging(): _,ours,theirs = learn.validate()
        x,_ = zip(*learn.dls.valid)
        rows = sum(b.shape[1] for b in x)
        exact = evaluate(learn, TextPart(learn.dls.valid.items[0][:3*rows+1]), rows=3)
        assert abs(ours/exact.perplexity - 1) < 1e-6 and abs(theirs/ours - 1) < 1e-5           # our learner weighs fastai's by words, in float32
        assert np.allclose(learn.metrics[0].by_row/rows, exact.by_row, atol=1e-5)


# ---- own words

@pytest.mark.parametrize('kind', WAYS)
def test_what_it_says_is_scored_as_it_was_said(kind):
    corpus = corpus_of(kind)
    model = model_of(corpus)
    first = corpus.vocab.words[3]
    words,logps = zip(*generate_stream(model, [first], 300, 1., seed=1, logprobs=True, vocab=corpus.vocab))
    ids = corpus.vocab.encode([first, *words])
    assert abs(evaluate(model, ids).total + math.fsum(logps)) < 1e-9*300


def test_its_own_text_is_as_surprising_as_the_held_out_one():
    "A source that is known: what the trained model writes costs it what the source's text costs it."
    torch.manual_seed(0)
    ids = torch.tensor([0])
    table = torch.randn(8, 8).mul(1.5).softmax(-1)
    for _ in range(12_000): ids = torch.cat([ids, table[ids[-1]].multinomial(1)])
    corpus = Corpus(ids[:10_000], Vocab(list('abcdefgh')), valid_ids=ids[10_000:])
    learn = lm_learner(lm_dataloaders(corpus, bs=16, seq_len=16), LanguageModel(8, 16, rnn='lstm'))
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(6, 2e-2)
    said = list(generate_stream(learn, 'a', 2000, 1., seed=0))
    own,held = evaluate(learn, corpus.vocab.encode(said)).nats,evaluate(learn, corpus.valid_ids).nats
    assert abs(own - held) < .12 and held < math.log(8) - .3


@pytest.mark.parametrize('kind', WAYS)
def test_generated_text_is_written_as_people_write(kind):
    corpus = corpus_of(kind)
    text = generate(model_of(corpus), 'the old cat', 5, vocab=corpus.vocab)
    assert text.startswith('the old cat') and (kind != 'chars' or len(text) == 16)


# ---- cache and dynamic evaluation

def test_cache_by_hand():
    corpus = corpus_of()
    model,part = model_of(corpus),TextPart(corpus.valid_ids[:60], corpus.vocab)
    with torch.no_grad(): scores,raw,_ = model(part.ids[None, :-1])
    p,states,y = scores[0].softmax(-1),raw[0],part.ids[1:]
    for theta,lam,window in ((.3, .2, 500), (2., .5, 7)):
        total = 0
        for t in range(len(y)):
            past = range(max(0, t-window), t)
            w = torch.tensor([theta*float(states[t] @ states[j]) for j in past], dtype=torch.float64).softmax(0)
            found = sum(float(w[k]) for k,j in enumerate(past) if y[j] == y[t])
            total -= math.log((1-lam)*float(p[t, y[t]]) + lam*found)
        for chunk in (1, 7, 100): assert abs(evaluate_cache(model, part, theta, lam, window, chunk).total - total) < 1e-8


def test_nothing_adapted_is_evaluate():
    corpus = corpus_of(); model = model_of(corpus)
    plain = evaluate(model, corpus.valid).total
    assert abs(evaluate_cache(model, corpus.valid, lam=0.).total - plain) < 1e-8 and abs(evaluate_dynamic(model, corpus.valid, lr=0.).total - plain) < 1e-8
    assert evaluate_dynamic(model, corpus.valid, lr=.5).total < plain                      # an untrained model learns from what it reads


def test_judged_before_it_learns():
    "The last stretch may say what it likes: the ones before it are judged the same."
    corpus = corpus_of(); model = model_of(corpus)
    ids = corpus.valid_ids[:61]
    a = evaluate_dynamic(model, ids[:41], lr=.5, chunk=20).total
    b = evaluate_dynamic(model, torch.cat([ids[:41], ids[:20]]), lr=.5, chunk=20).total
    c = evaluate_dynamic(model, torch.cat([ids[:41], ids[20:40]]), lr=.5, chunk=20).total
    assert b != c and min(b, c) > a


# ---- parts

def files(folder, **texts):
    for name,text in texts.items(): (folder/f'{name}.txt').write_text(text, encoding='utf-8')
    return folder


def test_one_file_three_files_a_folder(tmp_path):
    files(tmp_path, train='a b a b c c\n', valid='a c\n', test='b b zebra\n')
    three = text_corpus(tmp_path/'train.txt', tmp_path/'valid.txt', tmp_path/'test.txt', eos='<eos>', min_freq=1)
    folder = text_corpus(tmp_path, eos='<eos>', min_freq=1)
    for c in (three, folder):
        assert [c.vocab.decode(p.ids) for p in (c.train, c.valid, c.test)] == ['a b a b c c\n', 'a c\n', 'b b <unk>\n'] and 'zebra' not in c.vocab
        assert len(c.test) == 4 and evaluate(model_of(c), c.test).unknown == 1
    one = text_corpus(files(tmp_path, all=LINES)/'all.txt', valid_pct=.25, test_pct=.25)
    texts = [one.heads[k]['characters'] for k in ('train', 'valid', 'test')]
    assert sum(texts) == len(LINES) and all(LINES[:n].endswith('\n') for n in (texts[0], texts[0]+texts[1])) and abs(texts[0]/len(LINES) - .5) < .02


@pytest.mark.parametrize('names', [('ptb.train', 'ptb.valid', 'ptb.test'), ('wiki.train', 'wiki.val', 'wiki.test'), ('train', 'dev', 'test'), ('training', 'validation', 'testing')])
def test_names_of_parts(tmp_path, names):
    c = text_corpus(files(tmp_path, **{n: LINES for n in names}))
    assert len(c.train) == len(c.valid) == len(c.test)


def test_a_program_is_no_part(tmp_path):
    (tmp_path/'train.py').write_text('import this\n')
    (tmp_path/'test.log').write_text('done\n')
    c = text_corpus(files(tmp_path, corpus=LINES), kind='chars')
    assert len(c.train) + len(c.valid) == len(LINES) and c.test is None


def test_a_short_name_of_a_part_counts_more_than_a_long_one(tmp_path):
    c = text_corpus(files(tmp_path, train=LINES, valid=LINES, training_notes='nothing', **{'validation-report': 'nothing'}))
    assert len(c.train) == len(c.valid) and c.test is None


def test_a_folder_of_programs_in_parts(tmp_path):
    for part in ('train', 'valid'): (tmp_path/f'{part}.py').write_text(LINES)
    c = text_corpus(tmp_path, kind='chars')
    assert len(c.train) == len(c.valid) == len(LINES)


def test_a_folder_of_texts(tmp_path):
    c = text_corpus(files(tmp_path, one=LINES, two=LINES[::-1]), kind='chars')
    assert len(c.train) + len(c.valid) == 2*len(LINES) + (not LINES.endswith('\n'))


@pytest.mark.parametrize('end', ['', '\n'])
def test_a_text_of_one_line_is_cut_between_words(end):
    corpus = text_corpus(['one two three four five '*20 + 'six' + end], min_freq=1)
    assert len(corpus.ids) + len(corpus.valid_ids) == 101 and 9 <= len(corpus.valid_ids) <= 11


def test_a_long_line_without_blanks():
    for n in (4000, 2_200_000):
        c = text_corpus(['acgt'*(n//4)], kind='bpe', max_words=256)
        assert (len(c.train), len(c.valid)) == (n*9//10, n//10)
    with pytest.raises(CorpusTooSmall, match='too few for a valid part'): text_corpus(['one two'], kind='bpe')


def test_characters_are_cut_exactly():
    c = text_corpus(['abcdefghij'*37], kind='chars')
    assert (len(c.train), len(c.valid)) == (333, 37)


def test_tables_as_fastai_stores_them(tmp_path):
    articles = ['the cat "sat"\non the mat\n', 'a, b\n'*50_000]
    for name in ('train', 'test'):
        with open(tmp_path/f'{name}.csv', 'w', newline='') as f: csv.writer(f).writerows([[a] for a in articles])
    c = text_corpus(tmp_path/'train.csv', valid=tmp_path/'test.csv', kind='bpe', max_words=300)
    assert c.vocab.decode(c.valid_ids) == c.vocab.decode(c.ids) == ''.join(articles)


def test_stdin(monkeypatch):
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(LINES.encode())))
    c = text_corpus('-', kind='chars')
    assert c.vocab.decode(torch.cat([c.ids, c.valid_ids])) == LINES


@pytest.mark.parametrize('encoding', ['cp1252', 'utf-16', 'utf-16-le'])
def test_stdin_in_another_encoding(tmp_path, monkeypatch, encoding):
    "It is decoded once; the other parts are decoded, too."
    said = LINES.replace('old', 'naïve')
    (tmp_path/'v.txt').write_bytes(said.encode(encoding))
    for valid in (None, tmp_path/'v.txt'):
        monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(said.encode(encoding))))
        c = text_corpus('-', valid, kind='chars', encoding=encoding)
        assert c.vocab.decode(torch.cat([c.ids, c.valid_ids])) == (said*2 if valid else said) and c.name == 'stdin'


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason="NOT TESTED: a pipe with a name (this system has none)")
@pytest.mark.parametrize('folder', [None, 't'])
def test_a_pipe_is_read_once(tmp_path, folder):
    os.mkfifo(tmp_path/'pipe.txt')
    def say():
        with open(tmp_path/'pipe.txt', 'wb') as f: f.write(LINES.encode('utf-16'))
    writer = threading.Thread(target=say, daemon=True)
    writer.start()
    c = text_corpus(tmp_path/'pipe.txt', kind='chars', encoding='utf-16', folder=folder and tmp_path/folder)
    writer.join(60)
    assert c.vocab.decode(torch.cat([c.ids.long(), c.valid_ids.long()])) == LINES and c.name == 'pipe.txt'


def test_mapped_is_the_same_and_made_once(tmp_path, monkeypatch):
    files(tmp_path, all=LINES)
    for kind in WAYS:
        memory = text_corpus(tmp_path/'all.txt', kind=kind, **WAYS[kind])
        mapped = text_corpus(tmp_path/'all.txt', kind=kind, folder=tmp_path/kind, **WAYS[kind])
        assert mapped.ids.dtype == torch.uint16 and torch.equal(mapped.ids.long(), memory.ids) and mapped.vocab == memory.vocab
        a,b = (lm_dataloaders(c, bs=4, seq_len=8) for c in (memory, mapped))
        for (x,y),(u,v) in zip(a.train, b.train, strict=True): assert torch.equal(x, u) and torch.equal(y, v) and u.dtype == torch.int64
        model = model_of(memory)
        assert evaluate(model, memory.valid).row() == evaluate(model, mapped.valid).row() == evaluate(model, open_corpus(tmp_path/kind).valid).row()
    def never(*args): raise AssertionError("tokenized a second time")
    with monkeypatch.context() as m:
        m.setattr(TextTokenizer, 'ids_of', never)
        text_corpus(tmp_path/'all.txt', kind='bpe', folder=tmp_path/'bpe', **WAYS['bpe'])
    files(tmp_path, all=LINES + 'one more line\n')                                          # another text
    assert len(text_corpus(tmp_path/'all.txt', kind='chars', folder=tmp_path/'chars').ids) == int(.9*(len(LINES)+14))


def test_trains_on_a_mapped_text(tmp_path):
    c = text_corpus([LINES], kind='chars', folder=tmp_path)
    learn = lm_learner(lm_dataloaders(c, bs=4, seq_len=16), LanguageModel(len(c.vocab), 16, rnn='lstm'), metrics=TokenPerplexity())
    before = evaluate(learn, c.valid).nats
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(2, 2e-2)
    assert evaluate(learn, c.valid).nats < before - .5


# ---- bad input

def left(folder): return sorted(p.name for p in folder.iterdir() if p.name != '.lock')


@pytest.mark.parametrize('make, says', [
    (lambda d: text_corpus(d/'none.txt'), 'There is no text file at'), (lambda d: text_corpus(files(d, x='')/'x.txt'), 'too few for a train part'), (lambda d: text_corpus(['word']), 'too few for a valid part'),
    (lambda d: text_corpus(files(d, train='a b'), eos='<eos>'), 'no validation part'), (lambda d: text_corpus(files(d, valid='a', test='b')), 'no training part, only: valid, test'), (lambda d: text_corpus(files(d, train='a', train_2='b')), "2 files for the part 'train'"),
    (lambda d: text_corpus([LINES], valid=['']), 'valid: The text is empty'), (lambda d: text_corpus([LINES], valid=['€'], kind='chars'), "valid: The word '€' is not among .* vocabulary; byte pairs spell every text: kind='bpe', in the shell `--tokens bpe`"), (lambda d: text_corpus([LINES], kind='letters'), 'no tokens of the kind'),
    (lambda d: text_corpus([LINES], valid_pct=.6, test_pct=.4), 'must leave something to train on'), (lambda d: text_corpus([LINES], valid_pct=1.), 'valid_pct must be'), (lambda d: text_corpus(['a b c\n'*9], min_freq=99), 'no word to learn'),
    (lambda d: lm_dataloaders(text_corpus([LINES], kind='chars'), bs=5000), 'needs?.* at least 10,000|need at least 10,000')])
def test_refused_in_a_sentence(tmp_path, make, says):
    with pytest.raises(LMError, match=says) as e: make(tmp_path)
    assert '\n' not in str(e.value)


def test_a_model_of_another_vocabulary():
    corpus = corpus_of()
    for n in (len(corpus.vocab)+1, len(corpus.vocab)-1, 5):
        with pytest.raises(InvalidSize, match='vocabulary'): evaluate(LanguageModel(n, 4, rnn='lstm'), corpus.valid)
    with pytest.raises(LMError, match='predicts after every word'): evaluate(StatefulRNN(len(corpus.vocab), 4), corpus.valid)
    with pytest.raises(LMError, match='needs a model that carries a state'): evaluate(nn.Linear(2, 2), corpus.valid)
    with pytest.raises(InvalidSize, match='rows must be'): evaluate(model_of(corpus), corpus.valid, rows=0)
    model = model_of(corpus); model.h_o.bias.data.fill_(math.nan)
    with pytest.raises(LMError, match='diverged'): evaluate(model, corpus.valid)


def test_a_model_of_other_words_of_the_same_number():
    corpus = corpus_of('words')
    other = TextPart(corpus.valid_ids, Vocab(list(corpus.vocab)[::-1], corpus.vocab.unk), name='other')
    learn = lm_learner(lm_dataloaders(corpus, bs=4, seq_len=8), model_of(corpus).float())
    for model in (learn, learn.model):
        with pytest.raises(LMError, match="The text 'other' is of another vocabulary than the model: the same id would be another word"): evaluate(model, other)
        assert evaluate(model, corpus.valid).tokens and evaluate(model, corpus.valid_ids).tokens
    learn.model.words = None                                                               # then nobody can know
    assert evaluate(learn, other).tokens


def test_a_tokenizer_of_another_vocabulary(tmp_path):
    text_corpus([LINES], kind='chars', folder=tmp_path)
    TextTokenizer.train('abc', 'chars').save(tmp_path/'tokenizer.json')
    with pytest.raises(LMError, match='made by another tokenizer'): open_corpus(tmp_path)


def test_no_space_left(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(tokens, 'open', lambda path, mode: Full(path, mode) if 'a' in mode else open(path, mode), raising=False)
    with pytest.raises(TextFileError, match='the disk is full'): text_corpus([LINES], kind='chars', folder=tmp_path/'out')
    assert left(tmp_path/'out') == []                                                      # no tokens, whole or in part, and no note of them


def test_where_a_part_is_refused_no_other_is_left(tmp_path):
    files(tmp_path, my=LINES, empty='')
    (tmp_path/'t').mkdir(); (tmp_path/'t'/'mine.txt').write_text('mine')
    with pytest.raises(EmptyText, match='valid: The text is empty'): text_corpus(tmp_path/'my.txt', valid=tmp_path/'empty.txt', folder=tmp_path/'t')
    assert left(tmp_path/'t') == ['mine.txt']
    text_corpus(tmp_path/'my.txt', folder=tmp_path/'t')
    there = left(tmp_path/'t')
    (tmp_path/'t'/'valid.tokens').write_bytes(b'')
    (tmp_path/'t'/'tokenizer.json').write_text('{}')
    with pytest.raises(LMError, match='holds no tokenizer'): text_corpus(tmp_path/'my.txt', folder=tmp_path/'t')
    assert left(tmp_path/'t') == there                                                     # what was there before


def test_two_make_one_corpus_at_once(tmp_path, monkeypatch):
    "The second waits, and finds it made."
    files(tmp_path, my=LINES)
    ids_of,asked,made,begun = TextTokenizer.ids_of,[],[],threading.Event()
    def slow(self, pieces):
        asked.append(threading.get_ident())
        begun.set()
        threading.Event().wait(.3)
        return ids_of(self, pieces)
    monkeypatch.setattr(TextTokenizer, 'ids_of', slow)
    def make(): made.append(text_corpus(tmp_path/'my.txt', kind='chars', folder=tmp_path/'t'))
    both = [threading.Thread(target=make) for _ in range(2)]
    both[0].start(); assert begun.wait(60)
    both[1].start()
    for t in both: t.join(60)
    assert len(set(asked)) == 1 and len(made) == 2 and torch.equal(made[0].ids.long(), made[1].ids.long())


@pytest.mark.parametrize('file, text', [('corpus.json', '{"parts": {"train"'), ('corpus.json', '{}'), ('corpus.json', '[1]'), ('corpus.json', '{"name": "x", "parts": 3}'), ('train.json', '{"format": "lm_from_scratch tokens", "version": 1}')])
def test_a_damaged_corpus(tmp_path, file, text):
    files(tmp_path, my=LINES)
    whole = text_corpus(tmp_path/'my.txt', folder=tmp_path/'t').ids.long()
    (tmp_path/'t'/file).write_text(text)
    with pytest.raises(LMError, match='is damaged, or no corpus: .*; make it again by `text_corpus`'): open_corpus(tmp_path/'t')
    assert torch.equal(text_corpus(tmp_path/'my.txt', folder=tmp_path/'t').ids.long(), whole)
    (tmp_path/'t'/'corpus.json').write_text('{"name": "x", "parts": {"valid": 1}}')
    with pytest.raises(LMError, match='keeps no training text'): open_corpus(tmp_path/'t')


# ---- a processor without doubles

class NoDoubles(torch.Tensor):
    "As on a Mac's graphics processor, whose results come to the CPU by `.cpu()`."
    @property
    def device(self): return torch.device('mps')
    def double(self): raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    def cpu(self): return self.detach().as_subclass(torch.Tensor)


class MacModel(LanguageModel):
    def forward(self, x): return super().forward(x)[0].as_subclass(NoDoubles)


def test_where_there_are_no_doubles():
    corpus = corpus_of('words')
    models = []
    for cls in (LanguageModel, MacModel):
        torch.manual_seed(0)
        models.append(cls(len(corpus.vocab), 12, rnn='lstm').eval())
    plain,mac = models
    assert evaluate(mac, corpus.valid).row() == evaluate(plain, corpus.valid).row()
    a,b = (generate(m, 'the old', 20, .8, seed=0, vocab=corpus.vocab) for m in models)
    assert a == b
    a,b = (list(continue_texts(m, corpus.vocab, ['the old', 'the'], 5, seed=0)) for m in models)
    assert a == b
    runs = [Run('nowhere', dict(settings=None), m, corpus.vocab) for m in models]
    assert runs[0].worst_lines([LINES[:200]]) == runs[1].worst_lines([LINES[:200]]) and choices(runs[0], [1, 2]) == choices(runs[1], [1, 2])
    x = corpus.ids[:6].long()
    a,b = (swap_by_distance(m, x[None], len(corpus.vocab)) for m in models)
    assert torch.equal(a, b)
    metrics = [TokenPerplexity(), TokenPerplexity()]
    for m,metric in zip(models, metrics):
        metric.reset()
        metric.accumulate(SimpleNamespace(pred=m(x[None, :-1]), yb=(x[None, 1:],)))
    assert metrics[0].value == metrics[1].value


# ---- the corpora, where they are

def test_penn_treebank():
    c = text_corpus(corpora('ptb'), eos='<eos>')
    assert [len(p) for p in (c.train, c.valid, c.test)] == [929_589, 73_760, 82_430] and len(c.vocab) == 10_000
    assert evaluate(LanguageModel(10_000, 4, rnn='lstm'), TextPart(c.valid.ids[:500], c.vocab)).tokens == 500


def test_shakespeare():
    c = text_corpus(corpora('shakespeare/input.txt'), kind='chars')
    assert (len(c.train), len(c.valid), len(c.vocab)) == (1_003_854, 111_540, 65)


# ---- folders, shares, tokenizers that are there already

def test_a_folder_for_each_part_is_refused(tmp_path):
    for names in (('train', 'test', 'unsup'), ('train', 'validation')):
        around = tmp_path/str(len(names))
        for name in names:
            (around/name).mkdir(parents=True)
            (around/name/'1.txt').write_text(LINES)
        with pytest.raises(TextFileError, match=rf'has a folder for each part \({names[1]}, train\)|has a folder for each part \(train, {names[1]}\)') as e: text_corpus(around)
        assert 'name each of them' in str(e.value) and len(text_corpus(around/'train', valid=around/names[1]).valid_ids)


def test_a_share_for_the_test_alone(tmp_path):
    c = text_corpus([LINES], valid_pct=0., test_pct=.1)
    assert c.valid_ids is None and 0 < len(c.test_ids) < .2*len(c.ids)
    d = text_corpus([LINES], valid=['the old cat sat on the mat .\n'], test_pct=.1)
    assert torch.equal(d.test_ids, c.test_ids) and len(d.valid_ids) == 8 and torch.equal(d.ids, c.ids)


def test_a_tokenizer_from_its_file(tmp_path):
    tok = TextTokenizer.train(LINES, kind='bpe', max_words=270)
    tok.save(tmp_path/'t.json')
    assert torch.equal(text_corpus([LINES], tokenizer=tmp_path/'t.json').ids, text_corpus([LINES], tokenizer=tok).ids)
    with pytest.raises(LMError, match='is a TextTokenizer, or its file, not a Vocab'): text_corpus([LINES], tokenizer=Vocab(['a', 'b']))
    for k,v in dict(max_words=300, min_freq=2, unk='<unk>', eos='<eos>', kind='chars').items():
        with pytest.raises(LMError, match=f'{k} is a matter of the tokenizer'): text_corpus([LINES], tokenizer=tok, **{k: v})
    assert len(text_corpus([LINES], kind='bpe', tokenizer=tok).ids)


def test_a_text_where_a_file_belongs():
    with pytest.raises(TextFileError, match=r"^'the old cat sat on the mat .*' … is a text, and no name of a file: put it into a list"): text_corpus(LINES)


@pytest.mark.parametrize('text, what', [(b'a b', 'bytes'), ([Path('a.txt'), Path('b.txt')], 'Path'), ([b'a b'], 'bytes'), (3, 'int')])
def test_what_is_no_text(text, what):
    for call in (lambda: text_corpus(text), lambda: text_corpus([LINES], valid=text)):
        with pytest.raises(LMError, match=f'a file, a folder, or a list of strings; .*: .*{what}.$'): call()


@pytest.mark.parametrize('text', ['some text', [1, 2, 3]])
def test_what_is_no_text_in_ids(text):
    with pytest.raises(LMError, match='such as corpus.valid, or a tensor, not a (str|list); `text_corpus` makes'): evaluate(model_of(corpus_of()), text)


def test_a_corpus_where_a_part_belongs():
    c = corpus_of()
    with pytest.raises(LMError, match='not a corpus: say which, such as corpus.valid'): evaluate(model_of(c), c)


def test_tokens_that_were_cut_short_are_made_again(tmp_path):
    (tmp_path/'my.txt').write_text(LINES)
    whole = text_corpus(tmp_path/'my.txt', folder=tmp_path/'t').ids.long()
    file = tmp_path/'t'/'train.tokens'
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(TextFileError, match='cut short'): open_corpus(tmp_path/'t')
    assert torch.equal(text_corpus(tmp_path/'my.txt', folder=tmp_path/'t').ids.long(), whole)


def test_a_mapped_text_in_memory(tmp_path):
    "For loaders that move or rewrite a text, and for words without order."
    (tmp_path/'my.txt').write_text(LINES)
    mapped, plain = text_corpus(tmp_path/'my.txt', folder=tmp_path/'t'), text_corpus(tmp_path/'my.txt')
    there = mapped.in_memory()
    assert there.ids.dtype == torch.int64 and torch.equal(there.ids, plain.ids) and there.valid.bytes == plain.valid.bytes and there.test_ids is None
    for make in (lambda c: moving_dataloaders(c, bs=4, seq_len=8, moving=False), lambda c: nword_dataloaders(c, bs=8)):
        for (x, y), (a, b) in zip(make(there).train, make(plain).train): assert torch.equal(x, a) and torch.equal(y, b)
    assert torch.equal(Habits(there.ids, len(there.vocab)).heads, Habits(plain.ids, len(plain.vocab)).heads)


def test_what_16_bits_cannot_do_is_told(tmp_path):
    "A random origin, words without order, a table of habits: one sentence that says what to do, not PyTorch's own."
    (tmp_path/'my.txt').write_text(LINES)
    mapped = text_corpus(tmp_path/'my.txt', folder=tmp_path/'t')
    n = len(mapped.vocab)
    def fit(dls): lm_learner(dls, nn.Sequential(nn.Embedding(n, 4), nn.Linear(4, n))).fit(1)
    for use in (lambda: fit(moving_dataloaders(mapped, bs=4, seq_len=8)), lambda: fit(nword_dataloaders(mapped, bs=8)), lambda: Habits(mapped.ids, n)):
        with pytest.raises(LMError, match=r'too few bits for .*: take `ids.long\(\)`, or `in_memory\(\)` of the corpus'): use()
    assert type(mapped.ids[:5]) is type(mapped.ids) and type(mapped.ids.long()) is torch.Tensor and type(mapped.ids.tolist()) is list
    with pytest.raises(RuntimeError, match='shape'): mapped.ids.view(7, len(mapped.ids))  # what has another cause stays
    copy = deepcopy(mapped)
    assert type(copy.ids) is type(mapped.ids) and torch.equal(copy.ids.long(), mapped.ids.long()) and copy.ids.data_ptr() != mapped.ids.data_ptr()


def test_perplexity_where_the_last_batch_has_fewer_rows():
    dls = nword_dataloaders(human_numbers(), bs=64)
    torch.manual_seed(0)
    learn = lm_learner(dls, nn.Sequential(nn.Embedding(30, 8), nn.Flatten(), nn.Linear(24, 30)), metrics=TokenPerplexity())
    assert len({len(y) for _, y in dls.valid}) == 2
    with learn.no_bar(): loss, found = learn.validate()
    assert found == pytest.approx(math.exp(loss), rel=1e-5)
