"What users of such libraries run into (public reports, and what was tried on this one), each as a test with the right value."
import numpy as np
import pytest
import torch

from lm_from_scratch.copying import Habits, MovingDL, Rewrite, moving_dataloaders, trade_words
from lm_from_scratch.data import Corpus, StreamDL, Vocab, human_numbers, lm_dataloaders, number_words, nword_dataloaders, show_stream
from lm_from_scratch.errors import EmptyText, InvalidSize, LMError, TextFileError, check_number, check_seed, check_size
from lm_from_scratch.generation import generate
from lm_from_scratch.inspection import clamp_accuracy, mutual_information, planted_lstm, rank_units, show_states
from lm_from_scratch.lstm import LSTMCell
from lm_from_scratch.multilayer import LanguageModel, Recurrent, RNNCell
from lm_from_scratch.normalization import LayerNormGRUCell, LayerNormLSTMCell
from lm_from_scratch.weight_tying import LMTextLearner

SHORT = Corpus.from_text(' . '.join(number_words(n) for n in range(1, 400)), 'short')


class TestFiles:
    def test_byte_order_mark(self, tmp_path):
        path = tmp_path/'b.txt'
        path.write_text('one two one', encoding='utf-8-sig')
        assert Corpus.from_file(path).vocab.words == ['one', 'two']
        path.write_text('', encoding='utf-8-sig')
        with pytest.raises(EmptyText): Corpus.from_file(path)

    def test_utf16_without_a_mark(self, tmp_path):
        path = tmp_path/'b.txt'
        path.write_bytes('one two'.encode('utf-16-le'))
        with pytest.raises(TextFileError, match='zero bytes.*save it as UTF-8'): Corpus.from_file(path)

    def test_home_and_pipe(self, tmp_path, monkeypatch):
        import os
        (tmp_path/'a.txt').write_text('one two')
        monkeypatch.setenv('HOME', str(tmp_path))
        assert len(Corpus.from_file('~/a.txt')) == 2
        r, w = os.pipe()
        os.write(w, b'one two three')
        os.close(w)
        assert len(Corpus.from_file(f'/dev/fd/{r}')) == 3

    def test_a_folder(self, tmp_path):
        with pytest.raises(TextFileError, match='no text file'): Corpus.from_file(tmp_path)

    @pytest.mark.parametrize('text', [b'one two', ['one', 'two'], None, 3])
    def test_what_is_no_text(self, text):
        with pytest.raises(LMError, match='must be a string, not'): Corpus.from_text(text)


class TestIds:
    def test_arrays_and_lists(self):
        v = Vocab(['a', 'b'])
        for ids in (np.array([0, 1, 0]), [0, 1, 0], torch.tensor([0, 1, 0], dtype=torch.uint8), torch.tensor([0, 1, 0], dtype=torch.int32)):
            c = Corpus(ids, v)
            assert c.ids.dtype == torch.long and c.ids.tolist() == [0, 1, 0]

    @pytest.mark.parametrize('ids', [torch.zeros(2, 3, dtype=torch.long), torch.tensor([0., 1.]), torch.tensor([True]), ['a'], [[0], [1, 0]], object()])
    def test_what_are_no_ids(self, ids):
        with pytest.raises(LMError, match='must be whole numbers'): Corpus(ids, Vocab(['a', 'b']))

    def test_no_limit_is_not_zero(self):
        with pytest.raises(InvalidSize, match='max_words must be'): Vocab.from_tokens(['a', 'b'], unk='?', max_words=0)


class TestParts:
    def test_nword_validates_on_the_part_that_the_text_brings(self):
        corpus = Corpus(SHORT.ids[:1000], SHORT.vocab, valid_ids=SHORT.ids[1000:1400])
        dls = nword_dataloaders(corpus, bs=8)
        held_out = torch.cat([x for x, _ in dls.valid]).flatten()
        assert torch.equal(held_out, corpus.valid_ids[:len(held_out)]) and len(held_out) > 390
        assert len(dls.train_ds) == len(range(0, 1000-4, 3))

    @pytest.mark.parametrize('share, cut', [(.9, 1), (.8, 2), (.7, 3), (.2, 8)])
    def test_round_shares(self, share, cut):
        ids = torch.zeros(10*4+2, dtype=torch.long)
        train, valid = Corpus(ids, Vocab(['a'])).split(4, share)
        assert len(train) == cut*4 and len(train) + len(valid) == len(ids)

    def test_numpy_scalars_are_numbers(self):
        train, _ = SHORT.split(np.int64(16), np.float32(.2))
        assert len(train) == len(SHORT.split(16, .2)[0])
        lm_dataloaders(SHORT, bs=np.int32(8), valid_pct=np.float64(.2))


def repr_or_long(value):
    try: return repr(value)[:20]
    except ValueError: return 'thousands of digits'


class TestNumbers:
    @pytest.mark.parametrize('value', [10**400, -10**400, 10**5000], ids=repr_or_long)
    def test_whole_numbers_too_large_for_a_float(self, value):
        for limits in (dict(least=0, most=1), dict(below=5)):
            with pytest.raises(InvalidSize, match=r"^rate must be .*, not .{,150}\.$"): check_number('rate', abs(value), **limits)
        with pytest.raises(InvalidSize, match='must be a finite number'): check_number('rate', value)

    @pytest.mark.parametrize('value', [np.array([1, 2]), np.array(['a']), torch.tensor([1, 2]), torch.tensor([]), np.zeros(1000, int), -10**5000], ids=repr_or_long)
    def test_what_is_no_size(self, value):
        with pytest.raises(InvalidSize, match=r'^bs must be a whole number of at least 1, not .{,205}\.$'): check_size('bs', value)

    def test_arrays_of_one_whole_number_are_sizes(self):
        assert check_size('bs', torch.tensor(3)) == check_size('bs', np.array(3)) == 3

    @pytest.mark.parametrize('value', [-1, .5, '1', None, True, 2**63, 10**20, 10**5000], ids=repr_or_long)
    def test_seeds(self, value):
        with pytest.raises(InvalidSize, match='^seed must be'): check_seed(value)
        assert check_seed(2**63-1) == 2**63-1 and check_seed(np.int64(3)) == 3


class TestWorkers:
    @pytest.mark.parametrize('n', [0, 1, 2, 3])
    def test_each_batch_once_and_in_order(self, n):
        dl = lm_dataloaders(SHORT, bs=8).valid
        batches = list(dl.new(num_workers=n))
        assert len(batches) == len(dl)
        for (x, y), (x1, y1) in zip(batches, dl): assert torch.equal(x, x1) and torch.equal(y, y1)

    def test_a_moving_stream_has_one_origin(self):
        dls = moving_dataloaders(SHORT, bs=8)
        assert isinstance(dls.train, MovingDL)
        with pytest.raises(LMError, match='num_workers=0'): dls.train.new(num_workers=2)

    def test_a_stream_is_one_text(self):
        ids = SHORT.ids
        with pytest.raises(LMError, match='one text'): next(iter(StreamDL([ids[:100], ids[100:200]], bs=4, seq_len=6)))


def test_human_numbers_is_what_it_was():
    corpus = human_numbers()
    assert (len(corpus), len(corpus.vocab)) == (63_095, 30)


class TestRecurrentRefusesWhatTorchRefuses:
    @pytest.mark.parametrize('size', [(7, 4, 3), (1, 4, 3), (2, 1, 3), (2, 5, 3), (2, 4, 2), (4, 3)])
    @pytest.mark.parametrize('cell', [RNNCell, LSTMCell])
    def test_states(self, cell, size):
        layers, x = Recurrent(cell, 2, 3, 2), torch.randn(4, 5, 2)
        good, bad = torch.randn(2, 4, 3), torch.randn(size)
        states = [bad] if cell is RNNCell else [(bad, bad), (good, bad), (bad, good)]
        for state in states:
            with pytest.raises(InvalidSize, match='The state must be'): layers(x, state)
        layers(x, good if cell is RNNCell else (good, good))

    def test_one_tensor_for_two(self):
        with pytest.raises(InvalidSize, match='The state must be 2'): Recurrent(LSTMCell, 2, 3)(torch.randn(4, 5, 2), torch.randn(1, 4, 3))

    @pytest.mark.parametrize('x', [torch.randn(5, 2), torch.randn(4, 0, 2), 'x', torch.nn.utils.rnn.pack_sequence([torch.randn(3, 2)])])
    def test_inputs(self, x):
        with pytest.raises(InvalidSize, match='Recurrent layers read a tensor'): Recurrent(RNNCell, 2, 3)(x)

    @pytest.mark.parametrize('sizes', [(0, 3, 1), (2, 0, 1), (2, 3, 0)])
    def test_sizes(self, sizes):
        with pytest.raises(InvalidSize): Recurrent(RNNCell, *sizes)

    def test_no_rows(self): assert Recurrent(LSTMCell, 2, 3)(torch.zeros(0, 5, 2))[0].shape == (0, 5, 3)

    def test_ids_of_one_dimension(self):
        model = LanguageModel(5, 4, rnn='lstm')
        with pytest.raises(InvalidSize, match=r'\(bs, seq_len\)'): model(torch.tensor([1, 2, 3]))


@pytest.mark.parametrize('cell', [LayerNormGRUCell, LayerNormLSTMCell])
def test_the_words_share_at_once_is_the_share_step_by_step(cell):
    torch.manual_seed(0)
    layers, x = Recurrent(cell, 3, 4).double(), torch.randn(2, 6, 3).double()
    once, last = layers(x)
    state = layers.zeros(x)
    state = tuple(s[0] for s in state) if isinstance(state, tuple) else state[0]
    for t in range(6):
        out, state = layers.cells[0](x[:, t], state)
        assert torch.allclose(once[:, t], out, atol=1e-12)


class TestAnyLabelAnyWord:
    def test_a_dollar_is_a_dollar(self):
        import matplotlib
        matplotlib.use('Agg')
        corpus = Corpus.from_text(r'$\alpha_$ costs $5 or $x^ ' * 30)
        ax = show_stream(lm_dataloaders(corpus, bs=4, seq_len=3).train, corpus.vocab)
        ax.figure.canvas.draw()
        ax = show_states(torch.randn(3, 2), [r'$\alpha_$', '$x^', 'a'])
        ax.figure.canvas.draw()
        assert [t.get_text() for t in ax.get_xticklabels()] == [r'$\alpha_$', '$x^', 'a']

    @pytest.mark.parametrize('a, b', [((1, 2), (1, 3)), (None, 'x'), (float('nan'), None), (np.nan, 1.), ('$', ()), (True, 'True')])
    def test_labels_of_any_kind(self, a, b):
        values, coin = torch.tensor([0., 1.]*50)[:, None], [a, b]*50
        assert mutual_information(values, coin, bins=2).tolist() == pytest.approx([1.])
        assert rank_units(values, coin, bins=2).bits[0] == pytest.approx(1.)
        model = planted_lstm()
        acc = clamp_accuracy(model, torch.tensor([[0, 2, 2, 2]]), torch.tensor([[0, 0, 1, 1]]), [a, a, b, b])
        assert acc.tolist() in ([1., 0.], [0., 1.]) and len(acc) == 2

    def test_labels_as_tensors_and_arrays(self):
        values, y = torch.tensor([0., 1.]*50)[:, None], torch.tensor([0, 1]*50)
        assert mutual_information(values, y, bins=2) == mutual_information(values, y.numpy(), bins=2) == mutual_information(values, y.tolist(), bins=2)

    @pytest.mark.parametrize('bad', [float('nan'), float('inf')])
    def test_values_that_diverged(self, bad):
        with pytest.raises(LMError, match='not finite'): mutual_information(torch.tensor([[0.], [bad]]), ['a', 'b'])

    @pytest.mark.parametrize('item', [slice(1, 3), None, 1., b'one', ('one',), [1]])
    def test_what_a_vocabulary_is_not_asked_for(self, item):
        with pytest.raises(LMError, match='asked for a word or an id'): SHORT.vocab[item]

    def test_trading_with_few_words(self):
        for n in (1, 2, 3, 4, 5):
            ids = torch.arange(40) % n
            new = trade_words(ids, Habits(ids, n))
            assert sorted(new.unique().tolist()) == list(range(n))


class TestEncodings:
    @pytest.mark.parametrize('encoding', ['cp1252', 'utf-16', 'utf-8', 'utf-8-sig', 'latin-1'])
    def test_named(self, tmp_path, encoding):
        (tmp_path/'a.txt').write_text('één twee één', encoding=encoding)
        assert Corpus.from_file(tmp_path/'a.txt', encoding=encoding).vocab.words == ['één', 'twee']

    def test_not_named(self, tmp_path):
        path = tmp_path/'a.txt'
        path.write_text('één', encoding='cp1252')
        with pytest.raises(TextFileError, match='not UTF-8 text.*name another encoding'): Corpus.from_file(path)
        with pytest.raises(TextFileError, match="no encoding 'klingon'"): Corpus.from_file(path, encoding='klingon')
        with pytest.raises(TextFileError, match='no path'): Corpus.from_file(None)


class TestPrompts:
    model = LanguageModel(len(SHORT.vocab), 8)

    def say(self, text='one .', n=2, **kwargs): return generate(self.model, text, n, vocab=SHORT.vocab, **kwargs)

    def test_a_generator_is_not_lost(self): assert self.say(w for w in ['one', '.']) == self.say()

    def test_a_list_of_prompts(self):
        vocab = Vocab(SHORT.vocab.words[:-1], unk='?')
        with pytest.raises(LMError, match='one text at a time'): generate(self.model, ['one . two', 'ten .'], 2, vocab=vocab)

    @pytest.mark.parametrize('text', [3, None])
    def test_no_text(self, text):
        with pytest.raises(LMError, match='a string or a list of words'): self.say(text)

    @pytest.mark.parametrize('adjust', [lambda s, ids: s[:3], lambda s, ids: None, lambda s, ids: s.tolist()])
    def test_adjust_returns_a_score_for_each_word(self, adjust):
        with pytest.raises(LMError, match='must return a score for each'): self.say(adjust=adjust)

    def test_more_words_than_the_model(self):
        with pytest.raises(InvalidSize, match='vocabulary has'): generate(self.model, 'more', 2, vocab=[*SHORT.vocab, 'more'])

    def test_settings_from_numpy(self):
        assert self.say(temperature=np.float32(.5), seed=np.int64(3), top_p=np.float32(.5)) == self.say(temperature=.5, seed=3, top_p=.5)


class TestOnePredictor:
    def learn(self, dtype=torch.float32):
        torch.manual_seed(0)
        return LMTextLearner(lm_dataloaders(SHORT, bs=8), LanguageModel(len(SHORT.vocab), 8).to(dtype))

    @pytest.mark.parametrize('dtype, t', [(torch.float32, 1e-40), (torch.float32, 1e-300), (torch.half, 1e-6)])
    def test_cold(self, dtype, t):
        learn = self.learn(dtype)
        assert learn.predict('one .', 5, temperature=t) == learn.predict('one .', 5, temperature=0) == generate(learn, 'one .', 5)

    def test_diverged(self):
        learn = self.learn()
        learn.model.h_o.bias.data.fill_(torch.nan)
        for t in (0, 1.):
            with pytest.raises(LMError, match='diverged'): learn.predict('one .', temperature=t)

    @pytest.mark.parametrize('t', [float('inf'), True, '1', None, -1])
    def test_temperatures(self, t):
        with pytest.raises(InvalidSize, match='temperature'): self.learn().predict('one .', temperature=t)

    @pytest.mark.parametrize('share', [-.1, 1.1, float('nan'), True, '.5', None])
    def test_shares(self, share):
        with pytest.raises(InvalidSize, match='share must be'): Rewrite(SHORT.ids, len(SHORT.vocab), share=share)


class TestScripts:
    "Runs of recipes have processes of their own, and those read the main script anew."
    PROGRAM = '''
from dataclasses import replace
from lm_from_scratch.course.experiments import run_recipes
from lm_from_scratch.course.ladder import find_recipe
'''
    RUN = "run_recipes([replace(find_recipe('nword'), n_epochs=1)], [0], 1)"

    def run(self, tmp_path, code, *args, **kwargs):
        import subprocess
        import sys
        (tmp_path/'script.py').write_text(self.PROGRAM + code)
        return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=tmp_path, **kwargs)

    def test_without_a_guard(self, tmp_path):
        got = self.run(tmp_path, self.RUN, 'script.py')
        assert got.returncode == 1 and "would come to line 5 again: put it under `if __name__ == '__main__':`" in got.stderr
        assert got.stderr.count('Traceback') == 1 and len(got.stderr.splitlines()) < 30

    def test_from_a_pipe(self, tmp_path):
        got = self.run(tmp_path, '', '-', input=self.PROGRAM + self.RUN)
        assert got.returncode == 1 and 'put the program in a file' in got.stderr

    def test_with_one(self, tmp_path):
        got = self.run(tmp_path, f"if __name__ == '__main__':\n    print(len({self.RUN}))", 'script.py')
        assert (got.returncode, got.stdout) == (0, '1\n'), got.stderr

    @pytest.mark.parametrize('code, good', [("if __name__ == '__main__':\n    begin()", True), ("def main(): begin()\nif '__main__' == __name__: main()", True),
                                            ("def main(): begin()\nmain()", False), ("if True: begin()", False)])
    def test_where_it_may_begin(self, tmp_path, monkeypatch, code, good):
        "Other forms, in this process: what the start of a run asks."
        import sys
        from types import ModuleType

        from lm_from_scratch.course.experiments import _must_be_guarded
        script, main = tmp_path/'script.py', ModuleType('__main__')
        script.write_text(code)
        vars(main).update(__file__=str(script), begin=_must_be_guarded)
        monkeypatch.setitem(sys.modules, '__main__', main)
        if good: exec(compile(code, str(script), 'exec'), vars(main))
        else:
            with pytest.raises(LMError, match=f"would come to line {code.count(chr(10)) + 1} again"): exec(compile(code, str(script), 'exec'), vars(main))


class TestCourse:
    "What `lm-from-scratch course` meets in the folders of other people."
    @pytest.fixture
    def nbs(self, tmp_path):
        from nbformat import v4, write
        for folder in ('nbs', 'elsewhere'):
            (tmp_path/folder).mkdir()
            write(v4.new_notebook(cells=[v4.new_code_cell("print('ä → ±')")]), tmp_path/folder/f'{folder}.ipynb')
        return tmp_path/'nbs'

    def course(self, nbs, *args, **env):
        import os
        import subprocess
        import sys
        return subprocess.run([sys.executable, '-c', 'from lm_from_scratch.cli import main; main()', 'course', str(nbs), *args],
                              capture_output=True, text=True, encoding=env.get('PYTHONIOENCODING', 'utf-8'), env={**os.environ, 'PYTHONUTF8': '0', **env})

    @pytest.mark.parametrize('encoding', ['ascii', 'latin-1'])
    def test_a_terminal_of_few_letters(self, nbs, encoding):
        got = self.course(nbs, PYTHONIOENCODING=encoding)
        assert got.returncode == 1 and 'nbs [0] nothing ? a text' in got.stdout and not got.stderr

    def test_links(self, nbs):
        link, target = nbs/'link.ipynb', nbs.parent/'elsewhere/elsewhere.ipynb'
        link.symlink_to(target)
        (nbs/'dead.ipynb').symlink_to(nbs/'nowhere.ipynb')
        got = self.course(nbs, '--store')
        assert got.returncode == 1 and 'Traceback' not in got.stderr and 'FAILED: cannot be read: No such file' in got.stdout
        assert link.is_symlink() and 'ä → ±\\n' in target.read_text(encoding='utf-8')
        assert [p.name for p in target.parent.iterdir()] == [target.name] and not (nbs.parent/'elsewhere/.course').exists()
        again = self.course(link)
        assert again.returncode == 0 and 'unchanged' in again.stdout

    def test_what_is_no_notebook(self, nbs):
        whole = (nbs/'nbs.ipynb').read_text(encoding='utf-8')
        (nbs/'merge.ipynb').write_text(whole.replace('"cells": [\n', '"cells": [\n<<<<<<< HEAD\n=======\n>>>>>>> other\n'))
        (nbs/'empty.ipynb').write_text('')
        got = self.course(nbs, '--store')
        assert got.returncode == 1 and not got.stderr
        for name, said in dict(merge='line 3 has the mark of a merge that is not finished; `nbdev-fix`', empty='the file is empty', nbs='stored').items():
            assert any(line.startswith(name) and said in line for line in got.stdout.splitlines()), got.stdout
