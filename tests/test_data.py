"The stream: every token once, in order, row by row, whatever the text and the sizes."
import pytest
import torch
from fastai.text.all import LMDataLoader
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_from_scratch.all import *

quick = settings(max_examples=60, deadline=None)
sizes = st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(2, 40), st.integers(0, 8))  # bs, seq_len, tokens a row, tokens over


def stream_of(bs, per_row, over): return torch.arange(bs*per_row + over)


@quick
@given(sizes, st.booleans())
def test_every_token_once_in_order(sizes, drop_last):
    bs,seq_len,per_row,over = sizes
    ids = stream_of(bs, per_row, over)
    corpus = Corpus(ids, Vocab([str(i) for i in range(len(ids))]), valid_ids=ids)
    dl = lm_dataloaders(corpus, bs, seq_len, drop_last=drop_last).train
    xs,ys = zip(*dl)
    x,y = torch.cat(xs, dim=1),torch.cat(ys, dim=1)
    assert torch.equal(x.flatten(), ids[:x.numel()])            # each token of the rows once, in order
    assert torch.equal(y.flatten(), ids[1:y.numel()+1])         # the target is the next token
    whole = (len(ids)-1) // (bs*seq_len)
    assert len(xs) == len(dl)
    if drop_last and whole: assert [tuple(o.shape) for o in xs] == [(bs, seq_len)]*whole
    else: assert x.shape == (bs, (len(ids)-1)//bs)


@quick
@given(sizes)
def test_row_goes_on_in_next_batch(sizes):
    bs,seq_len,per_row,over = sizes
    ids = stream_of(bs, per_row, over)
    batches = list(StreamDL([ids], bs=bs, seq_len=seq_len))
    for (x0,y0),(x1,_) in zip(batches, batches[1:]): assert torch.equal(x1[:, 0], y0[:, -1])


@quick
@given(sizes)
def test_same_as_fastai_to_the_bit(sizes):
    bs,seq_len,per_row,over = sizes
    ids = stream_of(bs, per_row, over)
    ours,theirs = StreamDL([ids], bs=bs, seq_len=seq_len),LMDataLoader([ids], bs=bs, seq_len=seq_len)
    for (x,y),(a,b) in zip(ours, theirs, strict=True): assert torch.equal(x, a) and torch.equal(y, b)


@quick
@given(sizes)
def test_last_word_targets(sizes):
    bs,seq_len,per_row,over = sizes
    ids = stream_of(bs, per_row, over)
    every,last = (StreamDL([ids], bs=bs, seq_len=seq_len, every_word=e) for e in (True, False))
    for (x,y),(a,b) in zip(every, last, strict=True): assert torch.equal(x, a) and torch.equal(y[:, -1], b)


def test_new_keeps_what_it_is():
    dl = StreamDL([torch.arange(50)], bs=2, seq_len=4, every_word=False).new()
    x,y = dl.one_batch()
    assert x.shape == (2, 4) and y.shape == (2,)


@quick
@given(st.lists(st.sampled_from('a b c d ! é 猫'.split()), min_size=1, max_size=50))
def test_vocab_round_trip(words):
    vocab = Vocab.from_tokens(words)
    assert vocab.decode(vocab.encode(words)) == ' '.join(words)
    assert [vocab[vocab[w]] for w in vocab] == list(vocab)


def test_human_numbers_counts():
    corpus = human_numbers()
    text = corpus.vocab.decode(corpus.ids)
    lines = text.split(' . ')
    assert (len(lines), len(corpus), len(corpus.vocab), len(sequences(corpus.ids, 3))) == (9998, 63_095, 30, 21_031)
    assert lines[6998] == 'six thousand nine hundred ninety nine' and lines[7998:8000] == ['seven thousand nine hundred ninety nine', 'eight thousand one']
    assert corpus.vocab.words[:4] == ['one', '.', 'two', 'three'] and corpus.vocab.words[-2:] == ['hundred', 'thousand']


def test_number_words_against_a_parser():
    "Read the words back by a rule that shares nothing with the writer."
    units = {w:i for i,w in enumerate('zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen '
                                      'sixteen seventeen eighteen nineteen'.split())}
    units |= {w:10*i for i,w in enumerate('twenty thirty forty fifty sixty seventy eighty ninety'.split(), 2)}
    for n in range(1, 10_000):
        total = part = 0
        for w in number_words(n).split():
            if w == 'thousand': total,part = part*1000,0
            elif w == 'hundred': part *= 100
            else: part += units[w]
        assert total + part == n


def test_classic_split():
    dls = lm_dataloaders(human_numbers(), bs=64, seq_len=16)
    assert [y.shape for _,y in dls.valid] == [(64, 16)]*12 and len(dls.train) == 49
    dls = nword_dataloaders(human_numbers())
    targets = torch.cat([y for _,y in dls.valid])
    assert len(targets) == 4207 and round(float(targets.bincount().max()/len(targets)), 5) == .15165


class TestBadInput:
    "One clear sentence, of the right type, before any work is done."
    def fails(self, error, text, f, *args, **kwargs):
        with pytest.raises(error, match=text) as e: f(*args, **kwargs)
        assert isinstance(e.value, LMError) and '\n' not in str(e.value)

    @pytest.mark.parametrize('text', ['', '  \n\t '])
    def test_empty(self, text): self.fails(EmptyText, 'no word in it', Corpus.from_text, text)

    def test_empty_ids(self): self.fails(EmptyText, 'is empty', Corpus, torch.tensor([], dtype=torch.long), Vocab(['a']))

    @pytest.mark.parametrize('bs', [7, 64])
    def test_too_small(self, bs):
        corpus = Corpus(torch.zeros(bs*2-1, dtype=torch.long), Vocab(['a']), 'mine', valid_ids=torch.zeros(500, dtype=torch.long))
        self.fails(CorpusTooSmall, f"training part of the corpus 'mine' has {bs*2-1} tokens; {bs} rows need at least {bs*2}", lm_dataloaders, corpus, bs=bs)
        corpus.ids = torch.zeros(bs*2, dtype=torch.long)
        lm_dataloaders(corpus, bs=bs).one_batch()

    @pytest.mark.parametrize('size', [0, -3, 2.5, '8', None, True])
    @pytest.mark.parametrize('name', ['bs', 'seq_len'])
    def test_sizes(self, name, size):
        self.fails(InvalidSize, f'{name} must be a whole number of at least 1', lm_dataloaders, human_numbers(), **{name: size})

    def test_nword_sizes(self):
        self.fails(InvalidSize, 'bs must be', nword_dataloaders, human_numbers(), bs=0)
        self.fails(InvalidSize, 'n must be', nword_dataloaders, human_numbers(), n=0)
        self.fails(CorpusTooSmall, 'too few for a batch of 64', nword_dataloaders, Corpus.from_text('a b c d e f g h'))

    def test_unknown_word(self): self.fails(UnknownWord, "'million' is not among the 30 words", human_numbers().vocab.encode, 'one million')

    @pytest.mark.parametrize('i', [30, 99, -1])
    def test_unknown_id(self, i):
        vocab = human_numbers().vocab
        self.fails(UnknownId, f'token id {i} is outside', vocab.decode, [i])
        self.fails(UnknownId, f'token id {i} is outside', Corpus, torch.tensor([0, i]), vocab)

    def test_files(self, tmp_path):
        self.fails(TextFileError, 'no text file at', Corpus.from_file, tmp_path/'none.txt')
        self.fails(TextFileError, 'no text file at', Corpus.from_file, tmp_path)
        (tmp_path/'latin.txt').write_bytes('déjà vu'.encode('latin-1'))
        self.fails(TextFileError, 'not UTF-8 text', Corpus.from_file, tmp_path/'latin.txt')
        (tmp_path/'empty.txt').write_text('\n')
        self.fails(EmptyText, "'empty.txt' is empty", Corpus.from_file, tmp_path/'empty.txt')

    def test_shares(self): self.fails(InvalidSize, 'valid_pct must be', lm_dataloaders, human_numbers(), valid_pct=1)
    def test_no_stand_in(self): self.fails(LMError, '`unk`', Vocab.from_tokens, ['a', 'b', 'a'], min_freq=2)


def test_unk_by_choice():
    vocab = Vocab.from_tokens('a a b c c'.split(), unk='<unk>', min_freq=2)
    assert vocab.words == ['a', 'c', '<unk>'] and vocab.decode(vocab.encode('a b zebra')) == 'a <unk> <unk>'
