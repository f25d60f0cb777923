"""Command lines that are wrong, each with what is wrong and with what is said: one list, for the tests and for the page.

    python tests/bad_input.py --store    # write docs/appendix/bad_input.md again

Each is tried in a folder that holds `my.txt`, a text; `run`, a trained model of it; and what the row prepares."""
import argparse
import builtins
import contextlib
import errno
import io
import json
import os
import pickle
import re
import shlex
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent/'docs/appendix/bad_input.md'


@dataclass
class Case:
    group: str         # A heading of the page
    line: str          # What is typed after `lm-from-scratch`
    wrong: str         # What is wrong with it
    said: str          # A pattern that the sentence must match
    prepare: object = None  # Called in the folder, before
    full: str = field(default='', compare=False)  # The sentence, once it was said


CASES = []


def case(group, line, wrong, said, prepare=None): CASES.append(Case(group, line, wrong, said, prepare))


# ---- what is prepared

def edit(**changes):
    def f():
        path = Path('run/config.json')
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return f


def settings(**changes):
    def f():
        path = Path('run/config.json')
        config = json.loads(path.read_text())
        config['settings'].update(changes)
        path.write_text(json.dumps(config))
    return f


def write(name, data):
    def f():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return f


def cut(name, n=-10): return lambda: Path(name).write_bytes(Path(name).read_bytes()[:n])


def gone(name): return lambda: shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()


def tensors(name, change):
    def f():
        from lm_from_scratch.runs import read_tensors, write_tensors
        found, about = read_tensors(name)
        change(found, about)
        write_tensors(name, found, about)
    return f


def not_finite(t, about): t['h_o.bias'][3] = float('nan')
def infinite(t, about): t['h_o.bias'][3] = float('inf')
def smaller(t, about): t['h_o.bias'] = t['h_o.bias'][:-1].clone()
def one_more(t, about): t['more'] = t['h_o.bias'].clone()
def no_dice(t, about): t.pop('random.cpu')
def wrong_dice(t, about): t['random.cpu'] = t['random.cpu'][:10].clone()
def wrong_state(t, about): t['state.0'] = t['state.0'][..., :3].clone()
def wrong_place(t, about): about['step'] = 'three'


class Evil:
    "What a pickle would run, if anybody read it."
    def __reduce__(self): return os.system, ('touch executed',)


def folder(*names):
    def f():
        for n in names: Path(n).mkdir(parents=True, exist_ok=True)
    return f


def both(*fs):
    def f():
        for g in fs: g()
    return f


def another_training():
    "Somebody else writes into the run; what is returned ends it."
    from filelock import FileLock
    lock = FileLock('run/.lock')
    lock.acquire()
    return lock.release


def instead(module, name, f):
    "A function in place of another; what is returned puts the old one back."
    old = getattr(module, name)
    setattr(module, name, lambda *args, **kwargs: f(old, *args, **kwargs))
    return lambda: setattr(module, name, old)


def closed(name):
    "Nobody may read or make this (root may do all, so that it is not left to the system)."
    def look(old, path, *args, **kwargs):
        if str(path).split('/')[-1] == name: raise PermissionError(errno.EACCES, 'Permission denied')
        return old(path, *args, **kwargs)
    def f():
        undo = [instead(builtins, 'open', look), instead(os, 'mkdir', look)]
        return lambda: [u() for u in undo]
    return f


def full_disk():
    "What is written reaches no disk."
    def full(old, fd): raise OSError(errno.ENOSPC, 'No space left on device')
    return instead(os, 'fsync', full)


def changed(): Path('my.txt').write_text(Path('my.txt').read_text() + 'one more')


# ---- the words of the command line

g = 'Commands and flags'
case(g, 'tran my.txt', 'a mistyped command', "No such command 'tran'; did you mean 'train'")
case(g, 'train my.txt --out new --n-hiden 3', 'a mistyped flag', 'No such option: --n-hiden .*--n-hidden')
case(g, 'generate run --word 3', 'a mistyped flag', 'No such option: --word .*--words')
case(g, 'evaluate', 'no run', "Missing argument")
case(g, 'generate', 'no run', "Missing argument")
case(g, 'evaluate run other.txt', 'one word too many', 'unexpected extra argument')
case(g, 'doctor run', 'one word too many', 'unexpected extra argument')
case(g, 'train my.txt --out', 'a flag without its value', "Option '--out' requires an argument")
case(g, 'train', 'nothing to read', 'Say what to read')
case(g, 'train my.txt', 'no folder for the run', 'Say what to read')
case(g, 'train my.txt --out new --size smalll', 'a mistyped size', "no size 'smalll'; did you mean 'small'")
case(g, 'train my.txt --out new --preset shakespear', 'a mistyped preset', "did you mean 'shakespeare'")
case(g, 'train my.txt --out new --tokens word', 'a mistyped kind of tokens', "tokens cannot be 'word'; did you mean 'words'")
case(g, 'train my.txt --out new --rnn lstn', 'a mistyped layer', "did you mean 'lstm'")
case(g, 'train my.txt --out new --device gpu', 'a device that is not there', "no device 'gpu'")
case(g, 'train my.txt --out new --epochs 1 --minutes 1', 'two budgets', 'epochs and minutes both say how long')
case(g, 'train my.txt --out new --config run/config.json --size large', 'settings of another run and a size', '--config brings all settings: leave out --size')
case(g, 'train my.txt --out new --params 2M --n-hidden 64', 'two widths', 'leave out --n-hidden')
case(g, 'train my.txt --out new --tokens chars --sampled', 'an estimate that is for words', 'sampled is for words')
case(g, 'train --resume run --encoding cp1252', 'an encoding for a run that has read its text', 'leave out encoding')
case(g, 'train my.txt --resume run', 'a text for a run that has one', 'leave out text')
case(g, 'train --resume run --lr .1', 'a setting that a run has already', 'leave out lr')
case(g, 'evaluate run --cache --dynamic', 'two ways of reading', 'Name one of')
case(g, 'evaluate run --worst 3', 'no lines to choose from', 'needs the lines of a text')
case(g, 'evaluate run --text - --worst 3', 'lines that can be read only once', '--worst reads the text a second time')
case(g, 'generate run one --interactive --top-k 3', 'to choose and to draw', 'leave out top_k')
case(g, 'copying --seed 5 --seeds 2', 'one seed and several', 'leave one of them out')
case(g, 'ladder --store --cache rows.jsonl', 'two places for the rows', 'name one of them')
case(g, 'results lader', 'mistyped results', "did you mean 'ladder'")
case(g, 'ladder tide', 'a mistyped rung', 'tide')
case(g, 'claims widthh --show', 'a mistyped claim', 'widthh')
case(g, 'copying --recipes borrowy --show', 'a mistyped way of training', 'borrowy')

g = 'Numbers'
WRONG = dict(
    n_hidden=['0', '-3', '2.5', 'many', '999999999'], n_layers=['0', '1000'], n_emb=['0', '7'], bs=['0'], seq_len=['0'], evaluations=['0'], seed=['-1', '20240601123456'], min_freq=['0'], max_words=['1'],
    patience=['0'], steps=['0', '2.5'], epochs=['0', '-1', 'nan'], minutes=['0', 'inf', 'soon'], lr=['0', '-1', 'nan', 'fast'], clip=['0'], scale=['0'], wd=['-1'], alpha=['-1'], beta=['nan'],
    dropout=['1', '-.1', '50%'], drop_inputs=['1'], drop_between=['2'], drop_words=['1'], drop_weights=['-1'])
for name, values in WRONG.items():
    flag = '--' + name.replace('_', '-')
    for v in values: case(g, f'train my.txt --out new {flag} {v}', f'{flag} cannot be {v}', f'{name} must be|{name} equals|{name} and|Invalid value|n_emb equals')
case(g, 'train my.txt --out new --rnn gru --drop-weights .5', 'a dropout that these layers have not', "drop_weights is for layers of the kind 'lstm'")
for v in ('many', '1e999', 'nan', '-5M', '0', '10'): case(g, f'train my.txt --out new --tokens words --params {v}', f'--params cannot be {v}', '--params must be|params must be|too few')
case(g, 'train my.txt --out new --threads 0', '--threads cannot be 0', '--threads must be')
case(g, 'train --resume run --minutes 0', '--minutes cannot be 0', 'minutes must be')
for flag, v in (('words', '0'), ('words', 'ten'), ('temperature', '-1'), ('temperature', 'nan'), ('top-k', '0'), ('seed', '-1'), ('seed', '.5'), ('seed', '1'+'0'*20), ('top-p', '0'), ('top-p', '2'), ('threads', '-2')):
    case(g, f'generate run one --{flag} {v}', f'--{flag} cannot be {v}', f'{flag}|n_words must be|top_[kp] must be|seed must be')
case(g, 'evaluate run --text my.txt --worst 0', '--worst cannot be 0', 'n must be|worst')
case(g, 'ladder --seeds 0', '--seeds cannot be 0', 'seeds must be')
case(g, 'ladder --jobs 0', '--jobs cannot be 0', 'jobs must be')

g = 'Texts'
case(g, 'train gone.txt --out new', 'no such file', 'no text file at gone.txt')
case(g, 'train empty.txt --out new', 'an empty file', 'empty|too few', write('empty.txt', ''))
case(g, 'train blank.txt --out new --tokens words', 'nothing but blanks', 'no word|too few|empty', write('blank.txt', ' \n \n'))
case(g, 'train short.txt --out new', 'too short', 'too few|at least', write('short.txt', 'one two'))
case(g, 'train latin.txt --out new', 'another encoding', r'is not UTF-8 text \(byte', write('latin.txt', 'naïve '.encode('cp1252')*50))
case(g, 'train binary --out new', 'no text at all', 'zero bytes', write('binary', bytes(range(128))*20))
case(g, 'train wide.txt --out new', 'UTF-16 without its mark', "zero bytes.*encoding='utf-16-le'", write('wide.txt', 'one two '.encode('utf-16-le')*50))
case(g, 'train wide.txt --out new --encoding utf-16', 'the same, and it is asked for its mark', "such as encoding='utf-16-le'", write('wide.txt', 'one two '.encode('utf-16-le')*50))
case(g, 'train my.txt --out new --encoding hex', 'an encoding of bytes, not of texts', "no encoding 'hex'")
case(g, 'train my.txt --valid new.txt --tokens chars --out new', 'a character that the training part has not', 'byte pairs spell every text: .*--tokens bpe', write('new.txt', 'one é\n'))
case(g, 'train my.txt.gz --out new', 'a packed file, cut short', 'gzip|cut short', write('my.txt.gz', b'\x1f\x8b\x08junk'))
case(g, 'train my.txt --out new --encoding klingon', 'an unknown encoding', "no encoding 'klingon'")
case(g, 'train texts --out new', 'a folder without a text', 'no file that ends in', folder('texts'))
case(g, 'train texts --out new', 'two training parts', 'has 2 files for the part', both(write('texts/train1.txt', 'a'), write('texts/train2.txt', 'b')))
case(g, 'train texts --out new', 'a folder with a folder for each part', 'has a folder for each part', both(write('texts/train/1.txt', 'a'), write('texts/test/1.txt', 'b')))
case(g, 'train my.txt --valid gone.txt --out new', 'no such held-out part', 'no text file at gone.txt')
case(g, 'train my.txt --valid empty.txt --out new', 'an empty held-out part', 'valid: The text is empty', write('empty.txt', ''))
case(g, "train my.txt --out new --tokens words --eos 'two words'", 'a line end of two words', 'eos must be one word')
case(g, 'evaluate run --text gone.txt', 'no such file', 'no text file at gone.txt')
case(g, 'evaluate run --text empty.txt', 'an empty file', 'empty', write('empty.txt', ''))
case(g, 'evaluate run --text latin.txt', 'another encoding', 'is not UTF-8 text', write('latin.txt', 'naïve '.encode('cp1252')*50))
case(g, 'evaluate run --text one.txt', 'one word: nothing follows it', 'too few|at least|needs', write('one.txt', 'one'))
case(g, "generate run one --stop zebra", 'a word that the model does not know', "never writes 'zebra'")
case(g, 'train --resume run --steps 2', 'a text that has changed since', 'my.txt has changed since this run began', changed)

g = 'Folders'
case(g, 'train my.txt --out run', 'a folder that holds a run', 'holds a run already')
case(g, 'train my.txt --out letters', 'a folder that holds other things', r'holds other files \(dear.txt\)', write('letters/dear.txt', 'x'))
case(g, 'train my.txt --out my.txt', 'a file in place of a folder', 'taken for each other')
case(g, 'train my.txt --out my.txt/new', 'a folder in a file', 'taken for each other|cannot be written')
case(g, 'export run --json --out letters', 'a folder that holds other things', r'holds other files \(dear.txt\)', write('letters/dear.txt', 'x'))
case(g, 'notebooks my.txt', 'a file in place of a folder', 'taken for each other|cannot be written')
case(g, 'course gone', 'no such folder', 'gone')
case(g, 'train my.txt --out new --config gone.json', 'no such file of settings', 'no file at gone.json')
case(g, 'train my.txt --out new --config my.txt', 'settings that are none', 'is no JSON object')
case(g, 'train my.txt --out new --config other.json', 'a setting with another name', "no setting 'learning_rate'; did you mean 'lr'", write('other.json', '{"learning_rate": 1}'))
case(g, 'train my.txt --out new --config other.json', 'settings of another kind', 'no JSON object', write('other.json', '{"settings": [1]}'))
case(g, 'train --resume run --steps 2', 'another training writes there', 'Another training writes into', another_training)
case(g, 'train --resume run', 'a training at its end', 'at its end, after 24 steps; say how much longer')
case(g, 'train --resume human-numbers --steps 2', 'a model of the package', 'no training to go on with')

case(g, 'train my.txt --out new', 'a folder that may not be made', 'new cannot be written: no permission', closed('new'))
case(g, 'train my.txt --out new', 'a text that may not be read', 'my.txt cannot be read: no permission', closed('my.txt'))
case(g, 'generate run', 'a run that may not be read', 'cannot be read: no permission', closed('model.safetensors'))
case(g, 'train my.txt --out new --tokens words', 'a full disk', 'the disk is full', full_disk)
case(g, 'train --resume run --steps 6', 'a full disk in the middle of saving: the old checkpoint is whole', 'the disk is full; what it held is still there', full_disk)

g = 'Runs that are none'
case(g, 'generate ~nobody_of_that_name/run', 'a home that is not there', 'nobody here has such a home folder')
case(g, 'generate nowhere', 'nothing is there', 'no run at nowhere')
case(g, 'generate human_numbers', 'a mistyped name', "did you mean 'human-numbers'")
case(g, 'evaluate my.txt', 'a file', 'no run at my.txt')
case(g, 'evaluate empty', 'an empty folder', 'no config.json', folder('empty'))
case(g, 'generate run', 'config.json cut short', 'is no JSON object', cut('run/config.json', 50))
case(g, 'generate run', 'config.json of another kind', 'does not say that this is a run', write('run/config.json', '{"model_type": "gpt2"}'))
case(g, 'generate run', 'config.json is a list', 'is no JSON object', write('run/config.json', '[1]'))
case(g, 'generate run', 'config.json is nested without end', 'is no JSON object', write('run/config.json', '['*100_000))
case(g, 'generate run', 'a newer version', 'written by a newer version', edit(version=99))
case(g, 'generate run', 'a version that is no number', 'newer version', edit(version='one'))
case(g, 'generate run', 'settings that are a list', 'must be JSON objects', edit(settings=[1]))
case(g, 'train --resume run --steps 2', 'a text that is a word', 'must be JSON objects', edit(text='x'))
case(g, 'train --resume run --steps 2', 'files without a path', 'config.json is damaged', edit(text=dict(files=[dict(bytes=3)])))
case(g, 'generate run', 'an unknown setting', "no setting 'n_hidde'; did you mean 'n_hidden'", settings(n_hidde=3))
case(g, 'generate run', 'a setting of another type', 'n_hidden must be a number', settings(n_hidden='12'))
case(g, 'generate run', 'a size beyond all memory', 'n_hidden must be at most', settings(n_hidden=10**12))
case(g, 'generate run', 'a million layers', 'n_layers must be at most', settings(n_layers=10**6))
case(g, 'generate run', 'large sizes that the weights do not have', 'of a model with other layers', settings(n_hidden=20_000, n_layers=50))
case(g, 'generate run', 'no tokenizer', 'There is no file at', gone('run/tokenizer.json'))
case(g, 'generate run', 'a tokenizer that is none', 'holds no tokenizer', write('run/tokenizer.json', '{}'))
case(g, 'generate run', 'a tokenizer whose model is a file elsewhere', 'holds no tokenizer', write('run/tokenizer.json', '{"version": "1.0", "model": {"type": "WordLevel", "vocab": "../../etc/passwd", "unk_token": ""}}'))
case(g, 'generate run', 'the tokenizer of another run', 'of a model with other layers', lambda: shutil.copy(package()/'models/manual/tokenizer.json', 'run'))
case(g, 'generate run', 'weights as a pickle that would run a command', 'holds no tensors', lambda: Path('run/model.safetensors').write_bytes(pickle.dumps(Evil())))
case(g, 'generate run', 'weights cut short', 'holds no tensors', cut('run/model.safetensors'))
case(g, 'generate run', 'an empty file of weights', 'holds no tensors', write('run/model.safetensors', b''))
case(g, 'generate run', 'a header of four exabytes', 'holds no tensors', write('run/model.safetensors', (2**62).to_bytes(8, 'little') + b'{}'))
case(g, 'generate run', 'a header that points beyond the file', 'holds no tensors', write('run/model.safetensors', (lambda h: len(h).to_bytes(8, 'little') + h)(b'{"h_o.bias":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}')))
case(g, 'generate run', 'weights that are no numbers', 'are not finite', tensors('run/model.safetensors', not_finite))
case(g, 'evaluate run', 'infinite weights', 'are not finite', tensors('run/model.safetensors', infinite))
case(g, 'generate run', 'weights of another size', 'of a model with other layers', tensors('run/model.safetensors', smaller))
case(g, 'generate run', 'weights of one layer more', 'of a model with other layers', tensors('run/model.safetensors', one_more))
case(g, 'generate run', 'no weights at all', 'There is no file at', both(gone('run/model.safetensors'), gone('run/last.safetensors')))
case(g, 'evaluate run', 'no text', 'There is no file at', gone('run/tokens'))
case(g, 'evaluate run', 'a text cut short', 'was cut short', cut('run/tokens/valid.tokens'))
case(g, 'evaluate run', 'a text of another tokenizer', 'by another tokenizer', lambda: shutil.copy(package()/'models/manual/tokens/valid.json', 'run/tokens'))
case(g, 'evaluate run', 'a header that says nothing', 'does not say what the tokens are', write('run/tokens/valid.json', '{"format": "lm_from_scratch tokens", "version": 1}'))
case(g, 'evaluate run', 'parts that lie elsewhere', 'keeps no text to judge by', write('run/tokens/corpus.json', '{"parts": {"../../my": 1}}'))
case(g, 'train --resume run --steps 2', 'no training state', 'no training to go on with', gone('run/last.safetensors'))
case(g, 'train --resume run --steps 2', 'a training state as a pickle', 'holds no tensors', lambda: Path('run/last.safetensors').write_bytes(pickle.dumps(Evil())))
case(g, 'train --resume run --steps 2', 'no random state', 'does not hold a training', tensors('run/last.safetensors', no_dice))
case(g, 'train --resume run --steps 2', 'a random state cut short', 'does not hold a training', tensors('run/last.safetensors', wrong_dice))
case(g, 'train --resume run --steps 2', 'a carried state of another size', 'does not hold a training', tensors('run/last.safetensors', wrong_state))
case(g, 'train --resume run --steps 2', 'a place that is no number', 'does not hold a training', tensors('run/last.safetensors', wrong_place))
case(g, 'train --resume run --steps 2', 'no training text', 'There is no file at', gone('run/tokens/train.json'))
case(g, 'train --resume run --steps 2', 'parts that lie elsewhere', 'keeps no training text', write('run/tokens/corpus.json', '{"parts": {"../../my": 1}}'))
case(g, 'train --resume run --steps 2', 'tokens that are of no word', 'tokens and tokenizer are of two runs', lambda: Path('run/tokens/train.tokens').write_bytes(b'\xff'*os.path.getsize('run/tokens/train.tokens')))

# ---- play and export

OTHERS = 'Play and export'
case(OTHERS, 'play nowhere', 'a run that is not there', 'There is no run at nowhere')
case(OTHERS, 'play run --port 70000', 'a port that is none', 'up to 65535')
case(OTHERS, 'play run --port 0', 'a port that is none', 'port must')
case(OTHERS, 'play run --html page.html --port 8000', 'a page, and a server', 'serves nothing')
case(OTHERS, 'play run --html run', 'a folder for a file', 'cannot be written')
case(OTHERS, 'play run --html no/where.html', 'a folder that is not there', 'There is no file at|cannot be written|There is no')
case(OTHERS, 'play run', 'weights cut short', 'holds no tensors', cut('run/model.safetensors'))
case(OTHERS, 'play run', 'weights that are no numbers', 'not finite', tensors('run/model.safetensors', not_finite))
case(OTHERS, 'export nowhere --json', 'a run that is not there', 'There is no run at nowhere')
case(OTHERS, 'export run', 'nothing asked for', 'Say what to write')
case(OTHERS, 'export run --onx', 'a mistyped flag', '--onnx')
case(OTHERS, 'export run --json', 'weights cut short', 'holds no tensors', cut('run/model.safetensors'))
case(OTHERS, 'export run --json --out my.txt', 'a file for a folder', 'my.txt')



def package():
    import lm_from_scratch
    return Path(lm_from_scratch.__file__).parent


def made(folder):
    "The text and the run that each case begins with."
    from lm_from_scratch.data import number_words
    from lm_from_scratch.runs import train_run
    text = folder/'my.txt'
    text.write_text('\n'.join(f'{number_words(n)} .' for n in range(1, 400)))
    train_run(text, folder/'run', dict(tokens='words', n_hidden=12, n_layers=1, bs=4, seq_len=8, steps=24, evaluations=3), device='cpu')
    return folder


def slug(c): return re.sub(r'\W+', '-', f'{c.line} {c.wrong}')[:60]


def page(cases):
    "The page: what is typed, what is wrong, what is said."
    lines = ['# Bad input', f'> {len(cases)} command lines that are wrong, and the sentence that each gets; nothing is written.', '',
             'Each row is a test: it is typed in a folder that holds `my.txt`, a text, and `run/`, a model of it. The exit code is not 0, what is said is one sentence, no stack of Python is shown, '
             'and the folder holds afterwards what it held before. This page is written from the list of the tests, by `python tests/bad_input.py --store`.']
    for group in dict.fromkeys(c.group for c in cases):
        lines += ['', f'## {group}', '', '| typed | what is wrong | what is said |', '|---|---|---|']
        lines += [f'| `{c.line}` | {c.wrong} | {told(c.full)} |' for c in cases if c.group == group]
    return '\n'.join(lines) + '\n'


def told(sentence): return sentence.replace('|', r'\|').replace('<', r'\<').replace('*', r'\*').replace('_', r'\_')


def snapshot(folder): return {f.relative_to(folder).as_posix(): f.read_bytes() for f in sorted(folder.rglob('*')) if f.is_file()}


def copy(base, folder):
    "What each case begins with, in a folder of its own; the run's text is the one beside it."
    shutil.copytree(base, folder, dirs_exist_ok=True)
    path = folder/'run/config.json'
    path.write_text(path.read_text().replace(str(base.resolve()), str(folder.resolve())))


def tried(c, base, folder):
    "Exit code, what was printed, what was said; the folder before and after."
    from lm_from_scratch import cli, runs
    def train(old, self, report=None):
        assert self.place.step > 0 or 'resume' in c.line, 'it trains, and should not'
        return old(self, report)
    copy(base, folder)
    here, out, err = os.getcwd(), io.StringIO(), io.StringIO()
    os.chdir(folder)
    undo, guard = None, instead(runs.Training, 'train', train)
    try:
        undo = c.prepare and c.prepare()
        before = snapshot(folder)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err): code = cli.answer(shlex.split(c.line))
    finally:
        guard()
        if callable(undo): undo()
        os.chdir(here)
    c.full = ' '.join(err.getvalue().replace(str(folder.resolve()) + '/', '').replace(str(package()), 'lm_from_scratch').strip().removeprefix('lm-from-scratch: ').split(' '))
    return code, out.getvalue(), err.getvalue(), before, snapshot(folder)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--store', action='store_true', help='write the page')
    store = p.parse_args().store
    with tempfile.TemporaryDirectory() as d:
        base = Path(d)/'base'
        base.mkdir()
        made(base)
        for i, c in enumerate(CASES):
            try: code, out, err, before, after = tried(c, base, Path(d)/str(i))
            except Exception as e: print('NOT', c.line, '|', c.wrong, repr(e)[:300], flush=True); continue
            print('ok ' if code and re.search(c.said, c.full) and before == after and '\n' not in c.full else 'NOT', code, c.line, '|', c.full, [k for k in after if before.get(k) != after[k]], flush=True)
    if store: PAGE.write_text(page(CASES), encoding='utf-8')


if __name__ == '__main__': main()
