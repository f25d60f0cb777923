"Tokens: there and back, at any size, from any file, also after kill -9."
import errno
import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import tokenizers as hf
import torch
from conftest import ROOT, corpora
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_from_scratch import tokens
from lm_from_scratch.data import Vocab
from lm_from_scratch.errors import *
from lm_from_scratch.tokens import *


def packed(data):
    "By gzip, without the time: workers that collect in another second must find the same tests."
    return gzip.compress(data, mtime=0)


quick = settings(max_examples=150, deadline=None)
texts = st.one_of(st.text(), st.text('ab \n\r\t.,\'"-\0'), st.lists(st.sampled_from(['🙂', '👩\u200d🚀', 'e\u0301', '\r', '\r\n', '\0', '\ufeff', 'Straße', ' ', '  ', '日本', '\x1c', '\u2028', 'it\'s', '3.14'])).map(''.join))
train = TextTokenizer.train
MANUAL = 'The quick brown fox, as they say, jumps over "the" lazy dog (twice).\nThe dog sleeps: it\'s well-fed at 3.50 a day!\n\nThe end?\n'
BPE = train(MANUAL*3, 'bpe', max_words=300)


# ---- there and back

@quick
@given(texts.filter(bool))
def test_characters_come_back(text):
    tok = train(text, 'chars')
    assert tok.decode(tok.encode(text)) == text and len(tok) == len(set(text)) and len(tok.encode(text)) == len(text)


@quick
@given(texts)
def test_byte_pairs_come_back_whatever_they_were_trained_on(text):
    assert BPE.decode(BPE.encode(text)) == text


@pytest.mark.parametrize('kind', ('chars', 'bpe'))
@pytest.mark.parametrize('text', ['🙂', 'e\u0301\u0323', '\r', 'a\rb\r\nc\n', '\0', 'a\0b', '\ufeffx', '\u202eabc', ' ', '\t', '<unk>', '<eos>', '\U0010ffff', 'ﷺ'])
def test_odd_texts_come_back(kind, text):
    for tok in (train(text, kind), TextTokenizer(hf.Tokenizer.from_str(train(text, kind).json))): assert tok.decode(tok.encode(text)) == text


@quick
@given(texts, st.sampled_from((None, '<eos>')))
def test_words_lose_blanks_and_nothing_else(text, eos):
    if not text.split(): return
    tok = train(text, 'words', eos=eos)
    back = tok.decode(tok.encode(text))
    assert tokens._words(back, eos) == tokens._words(text, eos)
    if not eos and not re.search('[\x1c-\x1f]', text): assert back == ' '.join(text.split())


@pytest.mark.parametrize('line', ['He said: "Go (now)!"', "Don't, it's 'our own' game.", 'A well-known price is $3,000.50, or 12%.', '“Quoted”, she wrote… [sic]; yes?', 'Two lines.\nAnd a "third"\n'])
def test_as_people_write(line):
    tok = train(line, 'punctuation', eos='<eos>' if '\n' in line else None)
    assert tok.decode(tok.encode(line)) == line


def test_marks_are_words_of_their_own():
    tok = train("speak, speak. Don't <unk> 3.14 well-known 3rd", 'punctuation')
    assert [tok[i] for i in tok.encode("speak, speak. Don't <unk> 3.14 well-known 3rd")] == ['speak', ',', 'speak', '.', "Don't", '<unk>', '3.14', 'well-known', '3rd']


# ---- what the library would say

@quick
@given(texts, st.sampled_from(('words', 'chars')), st.sampled_from((None, '<eos>')))
def test_fast_is_the_same_as_tokenizers(text, kind, eos):
    if kind == 'chars': eos = None
    tok = train('the end \x1c \x1cx ' + MANUAL, kind, unk='<unk>', eos=eos)
    assert tok.encode(text).tolist() == tok.tok.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize('kind', KINDS)
def test_a_saved_tokenizer_is_the_same(kind, tmp_path):
    tok = train(MANUAL, kind, **({} if kind in ('bpe', 'chars') else dict(unk='<unk>', eos='<eos>')))
    tok.save(tmp_path/'t.json')
    new = TextTokenizer.load(tmp_path/'t.json')
    assert (new, new.kind, new.unk, new.eos, new.words, new.hash) == (tok, kind, tok.unk, tok.eos, tok.words, tok.hash)
    ids = hf.Tokenizer.from_file(str(tmp_path/'t.json')).encode(MANUAL, add_special_tokens=False).ids   # whoever reads it elsewhere sees the same
    assert ids == new.encode(MANUAL).tolist() == tok.encode(MANUAL).tolist()


def test_anybodys_tokenizer(tmp_path):
    theirs = hf.Tokenizer(hf.models.WordPiece({'[UNK]': 0, 'a': 1, '##b': 2}, unk_token='[UNK]'))
    theirs.pre_tokenizer = hf.pre_tokenizers.Whitespace(); theirs.decoder = hf.decoders.WordPiece()
    theirs.save(str(tmp_path/'t.json'))
    tok = TextTokenizer.load(tmp_path/'t.json')
    assert tok.kind is None and tok.encode('ab a').tolist() == [1, 2, 1] and tok.decode([1, 2, 1]) == 'ab a' and tok.unk == '[UNK]'


def test_what_takes_a_vocab_takes_it():
    tok = train(MANUAL, 'words', unk='<unk>')
    assert isinstance(tok, Vocab) and tok[tok['The']] == 'The' and 'The' in tok and tok['nowhere'] == tok['<unk>'] and list(tok) == tok.words
    assert tok.encode(['The', 'end?']).tolist() == tok.encode('The end?').tolist()
    with pytest.raises(UnknownId): tok.decode([len(tok)])


# ---- the vocabulary

@quick
@given(st.lists(st.sampled_from('abcdefgh'), min_size=1), st.integers(1, 12), st.booleans(), st.sampled_from(('words', 'punctuation', 'chars')))
def test_exactly_so_many(words, n, eos, kind):
    if kind == 'chars': eos = False
    text = ' '.join(words) + '\n'
    types = set(text if kind == 'chars' else words)
    n += 1 + eos
    tok = train(text, kind, unk='<unk>', eos='<eos>' if eos else None, max_words=n)
    assert len(tok) == min(n, len(types) + 1 + eos) and '<unk>' in tok and ('<eos>' in tok) == eos


def test_unk_that_is_a_word_of_the_text():
    tok = train('a <unk> b <unk>\n', 'words', unk='<unk>', eos='<eos>')
    assert sorted(tok) == ['<eos>', '<unk>', 'a', 'b']


def test_the_most_frequent_stay_and_ties_are_settled():
    for kind in ('words', 'punctuation'): assert train('b a c c b d', kind, unk='<unk>', max_words=4).words == ['<unk>', 'b', 'c', 'a']
    assert train('b a c c b d', 'words', unk='<unk>', min_freq=2).words == ['<unk>', 'b', 'c']
    assert train('b a c c b d', 'punctuation', unk='<unk>', min_freq=2).words == ['<unk>', 'b', 'c']


def test_byte_pairs_are_the_most_frequent_pairs():
    tok = train('aaab aaab aaab', 'bpe', max_words=258)
    assert len(tok) == 258 and tok.words[256] == 'aa' and len(train('xy', 'bpe', max_words=300)) == 256    # no pair is seen twice


# ---- cut anywhere

@quick
@given(texts, st.integers(1, 9), st.integers(1, 40), st.integers(1, 9))
def test_the_cut_depends_on_the_text_alone(text, size, most, step):
    arriving = [text[i:i+step] for i in range(0, len(text), step)]
    for m in (None, most+size):
        pieces = list(cut([text], size, m))
        assert ''.join(pieces) == text and pieces == list(cut(arriving, size, m)) and all(pieces)


@quick
@given(texts, st.integers(1, 9), st.sampled_from(list(KINDS)))
def test_the_cut_does_not_show(text, size, kind):
    tok = BPE if kind == 'bpe' else train(MANUAL, kind, unk='<unk>', eos=None if kind == 'chars' else '<eos>')
    whole = tok.tok.encode(text, add_special_tokens=False).ids
    assert [int(i) for ids in tok.ids_of(list(cut([text], size))) for i in ids] == whole


def test_a_line_without_an_end():
    line = 'word ' * 2_000_000                                                                    # 10 MB
    start = time.process_time()
    assert sum(map(len, train('word', 'words').ids_of(list(cut([line]))))) == 2_000_000
    assert all(len(p) < 2**17 + 10 for p in cut([line])) and time.process_time() - start < 20
    block = 'x' * 3_000_000
    assert max(map(len, cut([block], most=2**20))) == 2**20 and list(cut([block[i:i+2**16] for i in range(0, len(block), 2**16)])) == [block]


# ---- files

def write(path, data): path.write_bytes(data); return path
TEXT = 'café “one”\ntwo two\n'


@pytest.mark.parametrize('data, kwargs', [
    (TEXT.encode(), {}), (TEXT.encode('utf-8-sig'), {}), (TEXT.replace('\n', '\r\n').encode(), {}), (TEXT.replace('\n', '\r').encode(), {}),
    (TEXT.encode('utf-16'), {}), ('\ufeff'.encode('utf-16-be') + TEXT.encode('utf-16-be'), {}), (TEXT.encode('utf-32'), {}), (TEXT.encode('utf-16-le'), dict(encoding='utf-16-le')),
    (TEXT.encode('cp1252'), dict(encoding='cp1252')), (TEXT.replace('\n', '\r\n').encode('cp1252'), dict(encoding='windows-1252')), (TEXT.encode('utf-8-sig'), dict(encoding='utf-8')),
    (TEXT.encode('utf-16'), dict(encoding='utf-16-le')), (('\ufeff' + TEXT).encode('utf-16-be'), dict(encoding='utf-16-be')), (TEXT.encode('utf-16'), dict(encoding='utf-16')),
    (packed(TEXT.encode()), {}), (packed(TEXT.encode('cp1252')), dict(encoding='cp1252')), (packed(TEXT[:9].encode()) + packed(TEXT[9:].encode()), {})])
def test_read_right(tmp_path, data, kwargs):
    file = TextFile(write(tmp_path/'a.txt', data), **kwargs)
    assert ''.join(file) == TEXT and ''.join(file) == TEXT and file.done == file.size == len(data)


@pytest.mark.parametrize('data, kwargs, says', [
    (TEXT.encode('cp1252'), {}, r"is not UTF-8 text \(byte 3, 0xe9, does not fit\); name its encoding, such as encoding='cp1252'"), *((TEXT.encode(e), named, f"encoding='{e}'.$") for e in ('utf-16-le', 'utf-16-be') for named in ({}, dict(encoding='utf-16'), dict(encoding='utf-8'))),
    (b'one two'.decode().encode('utf-16-le'), {}, "zero bytes.*encoding='utf-16-le'"), (bytes(range(128))*20, {}, "zero bytes.*encoding='utf-16'"), (b'\x81', dict(encoding='cp1252'), "such as encoding='utf-8'"),
    (b'one\0two', {}, "encoding='utf-16"), (b'a'*2**20 + b'\xff', {}, r'byte 1,048,576, 0xff'), (TEXT.encode()[:4], {}, 'byte 3'), (b'abc', dict(encoding='utf-16'), 'not UTF-16 text.*encoding='),
    (packed(TEXT.encode())[:-5], {}, 'cut short'), (packed(random.Random(0).randbytes(300))[:150] + b'\xff'*200, {}, 'damaged'), (TEXT.encode(), dict(encoding='latin-99'), "There is no encoding 'latin-99'"), *((TEXT.encode(), dict(encoding=e), f'There is no encoding {e!r}') for e in ('hex', 'rot13', 'base64')), (TEXT.encode(), dict(encoding=3), 'There is no encoding 3')])
def test_refused_in_a_sentence(tmp_path, data, kwargs, says):
    with pytest.raises(TextFileError, match=says) as e: ''.join(TextFile(write(tmp_path/'a.txt', data), **kwargs))
    assert '\n' not in str(e.value) and str(e.value).endswith('.')


def test_zero_bytes_are_read_where_the_encoding_is_named(tmp_path): assert ''.join(TextFile(write(tmp_path/'a.txt', b'a\0b'), 'utf-8')) == 'a\0b'


@pytest.mark.parametrize('split', range(1, 7))
def test_characters_across_parts(tmp_path, split):
    data = b'a'*(2**20 - split) + '€🙂\r\n'.encode() + b'b'
    assert ''.join(TextFile(write(tmp_path/'a.txt', data))) == 'a'*(2**20 - split) + '€🙂\nb'


def test_a_folder(tmp_path):
    for name,data in {'b.txt': b'two\n', 'a.txt': b'one', 'sub/c.txt.gz': packed(b'three'), 'x.py': b'no', 'd.txt': b''}.items():
        (tmp_path/name).parent.mkdir(exist_ok=True); write(tmp_path/name, data)
    assert ''.join(TextFile(tmp_path)) == 'one\ntwo\nthree'
    for name in ('.ipynb_checkpoints/a-checkpoint.txt', 'sub/._c.txt', 'sub/.git/x/y.txt'):            # what is hidden is none of the text
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True); write(tmp_path/name, b'\xff\xff')
    (tmp_path/'folder.txt').mkdir()
    try: (tmp_path/'dead.txt').symlink_to(tmp_path/'gone.txt')
    except OSError: pass                                                                          # Windows asks for a right to
    assert ''.join(TextFile(tmp_path)) == 'one\ntwo\nthree'
    (tmp_path/'.home').mkdir(); write(tmp_path/'.home'/'a.txt', b'hidden above')
    assert ''.join(TextFile(tmp_path/'.home')) == 'hidden above'
    (tmp_path/'e').mkdir()
    with pytest.raises(TextFileError, match='no file that ends in .txt'): TextFile(tmp_path/'e')
    with pytest.raises(TextFileError, match='There is no text file at'): TextFile(tmp_path/'nowhere.txt')


def test_stdin(monkeypatch):
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(TEXT.encode('utf-16'))))
    assert ''.join(TextFile('-')) == TEXT


def test_no_permission(tmp_path):
    if os.name == 'nt' or os.geteuid() == 0: pytest.skip("NOT TESTED: a file that may not be read (this user may read everything)")
    write(tmp_path/'a.txt', b'a').chmod(0)
    with pytest.raises(TextFileError, match='no permission'): ''.join(TextFile(tmp_path/'a.txt'))


# ---- tokens in a file

def left(folder): return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_written_is_what_is_encoded(tmp_path, kind):
    text = MANUAL*9000
    tok = train(MANUAL, kind, **({} if kind in ('bpe', 'chars') else dict(unk='<unk>', eos='<eos>')))
    head = write_tokens([text], tok, tmp_path/'a.tokens')
    ids,again = open_tokens(tmp_path/'a.tokens', tok)
    assert head == again and torch.equal(ids.long(), tok.encode(text)) and left(tmp_path) == ['a.json', 'a.tokens']
    import hashlib
    assert (head['characters'], head['bytes'], head['sha256']) == (len(text), len(text.encode()), hashlib.sha256(text.encode()).hexdigest())
    assert (tmp_path/'a.tokens').stat().st_size == 2*head['tokens']


def test_many_words_need_more_room(tmp_path):
    text = ' '.join(map(str, range(70_000)))
    tok = train(text, 'words')
    write_tokens([text], tok, tmp_path/'a.tokens')
    ids,_ = open_tokens(tmp_path/'a.tokens')
    assert ids.dtype == torch.uint32 and torch.equal(ids.long(), tok.encode(text)) and int(ids.long().max()) == 69_999


def test_a_mapped_file_is_not_changed_through_its_ids(tmp_path):
    tok = train('a b', 'words'); write_tokens(['a b'], tok, tmp_path/'a.tokens')
    ids,_ = open_tokens(tmp_path/'a.tokens'); ids[0] = 1
    assert open_tokens(tmp_path/'a.tokens')[0].tolist() == tok.encode('a b').tolist()


STOPS = '''
import sys, time
from lm_from_scratch import tokens
from lm_from_scratch.tokens import *
tok = TextTokenizer.load(sys.argv[2])
ids_of,save = TextTokenizer.ids_of,tokens._save_note
def slow(self, pieces): time.sleep(.05); return ids_of(self, pieces)
def told(*args): save(*args); print('note', flush=True)
TextTokenizer.ids_of,tokens._save_note = slow,told
write = tokens._write
tokens._write = lambda *args: write(*args, at_once=1, every=.15)
write_tokens(TextFile(sys.argv[1]), tok, sys.argv[3])
'''


def killed(folder, tok, text):
    "A folder in which tokenizing was killed in the middle."
    write(folder/'a.txt', text.encode()); tok.save(folder/'t.json')
    p = subprocess.Popen([sys.executable, '-c', STOPS, folder/'a.txt', folder/'t.json', folder/'a.tokens'], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for _ in range(3): assert p.stdout.readline() == 'note\n'
    p.send_signal(signal.SIGKILL if hasattr(signal, 'SIGKILL') else signal.SIGTERM); p.wait(); p.stdout.close()
    assert left(folder) == ['a.tokens.note', 'a.tokens.part', 'a.txt', 't.json']
    return json.loads((folder/'a.tokens.note').read_text())


def test_killed_and_taken_up_again(tmp_path, monkeypatch):
    tok = train(MANUAL, 'words', unk='<unk>', eos='<eos>')
    text = ''.join(f'{MANUAL} {i}\n' for i in range(60_000))
    note = killed(tmp_path, tok, text)
    with open(tmp_path/'a.tokens.part', 'ab') as f: f.write(b'torn')                              # what was written after the note does not count
    asked = []
    ids_of = TextTokenizer.ids_of
    monkeypatch.setattr(TextTokenizer, 'ids_of', lambda self, pieces: asked.extend(pieces) or ids_of(self, pieces))
    write_tokens(TextFile(tmp_path/'a.txt'), tok, tmp_path/'a.tokens')
    ids,_ = open_tokens(tmp_path/'a.tokens', tok)
    assert torch.equal(ids.long(), torch.cat([torch.as_tensor(i.astype('int64')) for i in ids_of(tok, list(cut([text])))]))
    assert note['pieces'] >= 3 and len(asked) == len(list(cut([text]))) - note['pieces'] and left(tmp_path) == ['a.json', 'a.tokens', 'a.txt', 't.json']


def test_another_text_is_not_taken_up(tmp_path):
    tok = train(MANUAL, 'words', unk='<unk>', eos='<eos>')
    text = ''.join(f'{MANUAL} {i}\n' for i in range(60_000))
    killed(tmp_path, tok, text)
    with pytest.raises(LMError, match='The text changed while a.tokens was being made'): write_tokens(['x' + text[1:]], tok, tmp_path/'a.tokens')
    assert left(tmp_path) == ['a.txt', 't.json']


def test_another_tokenizer_begins_anew(tmp_path):
    tok = train(MANUAL, 'words', unk='<unk>', eos='<eos>')
    killed(tmp_path, tok, ''.join(f'{MANUAL} {i}\n' for i in range(60_000)))
    other = train('a b', 'words'); write_tokens(['b a'], other, tmp_path/'a.tokens')
    assert open_tokens(tmp_path/'a.tokens', other)[0].tolist() == [1, 0]


def test_a_damaged_note_begins_anew(tmp_path):
    tok = train('a b', 'words')
    write(tmp_path/'a.tokens.note', b'{"torn'); write(tmp_path/'a.tokens.part', b'old')
    write_tokens(['b a'], tok, tmp_path/'a.tokens')
    assert open_tokens(tmp_path/'a.tokens', tok)[0].tolist() == [1, 0]


@pytest.mark.parametrize('number, says', [(errno.ENOSPC, 'cannot be written: the disk is full'), (errno.EIO, 'cannot be written: '), (errno.EACCES, 'no permission')])
def test_no_space_left(tmp_path, monkeypatch, number, says):
    tok,real = train(MANUAL, 'words'),open
    class Full(io.FileIO):
        def write(self, data): raise OSError(number, os.strerror(number))
    monkeypatch.setattr(tokens, 'open', lambda path, mode: Full(path, mode) if 'a' in mode else real(path, mode), raising=False)
    with pytest.raises(TextFileError, match=says): write_tokens([MANUAL], tok, tmp_path/'a.tokens')
    assert left(tmp_path) == []


@pytest.mark.parametrize('source, says', [(lambda: [''], 'The text is empty'), (lambda: ['  \n '], 'The text is empty'), (lambda: ['a zebra'], "The word 'zebra' is not among"), (lambda: ['a \ud800'], "half a character|is not among")])
def test_nothing_is_left_of_a_text_that_cannot_be_read(tmp_path, source, says):
    with pytest.raises(LMError, match=says): write_tokens(source(), train('a b', 'words'), tmp_path/'a.tokens')
    assert left(tmp_path) == []


@pytest.fixture
def made(tmp_path):
    tok = train('a b c', 'words'); write_tokens(['a b c a b c'], tok, tmp_path/'a.tokens')
    return tmp_path/'a.tokens',tok


def test_cut_short_or_changed(made):
    path,tok = made
    write(path, path.read_bytes()[:-3])
    with pytest.raises(TextFileError, match='holds 4 of 6 tokens: it was cut short'): open_tokens(path, tok)
    path.unlink()
    with pytest.raises(TextFileError, match='There is no file at'): open_tokens(path, tok)


def test_another_version_another_tokenizer_no_header(made):
    path,tok = made
    head = json.loads(path.with_suffix('.json').read_text())
    with pytest.raises(LMError, match='made by another tokenizer'): open_tokens(path, train('c b a d', 'words'))
    path.with_suffix('.json').write_text(json.dumps({**head, 'version': 99}))
    with pytest.raises(TextFileError, match='of version 99, this program reads 1'): open_tokens(path, tok)
    for junk in ('{"a": 1}', 'no json', '[]'):
        path.with_suffix('.json').write_text(junk)
        with pytest.raises(TextFileError, match='no header'): open_tokens(path, tok)
    path.with_suffix('.json').unlink()
    with pytest.raises(TextFileError, match='There is no file at'): open_tokens(path, tok)


@pytest.mark.parametrize('kwargs, says', [
    (dict(kind='letters'), 'no tokens of the kind'), (dict(max_words=0, unk='<unk>'), 'max_words must be'), (dict(max_words=1.5, unk='<unk>'), 'max_words must be'), (dict(max_words=5), 'names their stand-in'), (dict(min_freq=2), 'names their stand-in'),
    (dict(kind='bpe', unk='<unk>'), 'nothing is unknown'), (dict(kind='chars', eos='<eos>'), 'tokens already'), (dict(kind='bpe', max_words=100), 'max_words must be a whole number of at least 256'), (dict(unk='two words'), 'one word such as'),
    (dict(unk=3), 'one word such as'), (dict(min_freq=0), 'min_freq must be'), (dict(max_words=1, unk='<unk>', eos='<eos>'), 'at least 3')])
def test_training_refuses(kwargs, says):
    with pytest.raises(LMError, match=says) as e: train(MANUAL, **kwargs)
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('kind', ('words', 'punctuation', 'chars'))
def test_nothing_to_learn(kind):
    with pytest.raises(EmptyText, match='no word to learn'): train('', kind)


def test_half_a_character():
    for kind in KINDS:
        with pytest.raises(LMError): train('a \ud800 b', kind).encode('\ud800')
    with pytest.raises(LMError, match='half a character'): BPE.encode('\ud800')


def test_no_tokenizer_in_the_file(tmp_path):
    with pytest.raises(LMError, match='holds no tokenizer'): TextTokenizer.load(write(tmp_path/'t.json', b'{}'))
    with pytest.raises(TextFileError, match='There is no file at'): TextTokenizer.load(tmp_path/'none.json')
    with pytest.raises(TextFileError, match='cannot be written'): BPE.save(write(tmp_path/'file', b'')/'t.json')


# ---- the corpora, where they are

@pytest.mark.parametrize('file, n', [('ptb/train.txt', 929_589), ('ptb/valid.txt', 73_760), ('ptb/test.txt', 82_430), ('wikitext-2/valid.txt', 217_646), ('wikitext-2/test.txt', 245_569)])
def test_published_counts(file, n):
    path = corpora(file)
    tok = train(TextFile(path), 'words', unk='<unk>', eos='<eos>')
    assert sum(len(i) for i in tok.ids_of(list(cut(TextFile(path))))) == n
    if file == 'ptb/train.txt': assert len(tok) == 10_000


def test_penn_treebank_comes_back():
    path = corpora('ptb/valid.txt')
    tok = train(TextFile(path), 'words', unk='<unk>', eos='<eos>')
    text = ''.join(TextFile(path))
    assert tok.decode(tok.encode(text)).split('\n') == [s.strip() for s in text.split('\n')]


def test_shakespeare_by_every_kind():
    text = Path(corpora('shakespeare/input.txt')).read_text()
    assert len(train(text, 'chars')) == 65 and len(train(text, 'bpe', max_words=1000)) == 1000 and len(train(text, 'words')) == len(set(text.split())) == 25_670


# ---- tokenizers of others

def foreign(**settings):
    tok = hf.Tokenizer(hf.models.WordLevel({w: i for i, w in enumerate(['[UNK]', '[PAD]', 'the', 'cat', '"'])}, unk_token='[UNK]'))
    tok.pre_tokenizer = hf.pre_tokenizers.WhitespaceSplit()
    for name, value in settings.items(): setattr(tok, name, value)
    return tok


def test_what_another_tokenizer_cuts_off_or_fills_up():
    tok = foreign()
    tok.enable_truncation(3)
    tok.enable_padding(pad_id=1, pad_token='[PAD]', length=8)
    assert TextTokenizer(tok).encode('the cat the cat the').tolist() == [2, 3, 2, 3, 2]


def test_what_another_tokenizer_changes_first():
    t = TextTokenizer(foreign(normalizer=hf.normalizers.Lowercase()))
    assert t.kind is None and t.encode('The Cat').tolist() == [2, 3]
    t = TextTokenizer(foreign(normalizer=hf.normalizers.Replace('``', '"')))
    assert t.eos is None and t.encode('the `` cat\nthe').tolist() == [2, 4, 3, 2]


@pytest.mark.parametrize('eos', [r'\n', r'\s', r'<\1>'])
def test_a_line_end_with_a_backslash(eos):
    t = TextTokenizer.train('the cat\nthe dog\n', unk='<unk>', eos=eos)
    assert t.eos == eos and [t[i] for i in t.encode('the cat\n').tolist()] == ['the', 'cat', eos]
    assert t.encode('the cat\n').tolist() == t.tok.encode('the cat\n').ids


def test_headers_of_two_files_of_one_name(tmp_path):
    t = TextTokenizer.train('a b c d', kind='chars')
    for name, text in (('x.train', 'a b'), ('x.valid', 'c d a'), ('x.json', 'd')): write_tokens([text], t, tmp_path/name)
    assert [len(open_tokens(tmp_path/n, t)[0]) for n in ('x.train', 'x.valid', 'x.json')] == [3, 5, 1]


def test_a_long_string_arrives_in_parts():
    "Of one long string the rest would be copied at each cut: a gigabyte, thousands of times."
    text = 'some words of a line \n'*400_000
    pieces = list(tokens.cut([text]))
    assert ''.join(pieces) == text and pieces == list(tokens.cut(text[i:i+999_983] for i in range(0, len(text), 999_983)))
    assert max(map(len, tokens._arriving([text]))) <= 2**20
