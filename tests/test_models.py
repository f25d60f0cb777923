"The two models that come with the package, and the course that does: named, listed, read, evaluated; copied out."
import errno
import hashlib
import json
import platform
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from test_runs import shell

from lm_from_scratch import cli
from lm_from_scratch.copying import count_right
from lm_from_scratch.data import number_words
from lm_from_scratch.errors import LMError
from lm_from_scratch.runs import find_run, load_run, read_config, read_tensors, resume_run, shipped

NAMES = 'human-numbers', 'manual'


@pytest.fixture(scope='module')
def run(): return {name: load_run(name, 'cpu') for name in NAMES}


def test_they_are_here_and_small():
    assert list(shipped()) == list(NAMES)
    for folder in shipped().values():
        assert sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) < 700_000
        assert not any(str(p) in f.read_text(encoding='utf-8') for p in ('/tmp', '/home', '/work') for f in folder.glob('*.json*'))        # paths of a machine


@pytest.mark.parametrize('name', NAMES)
def test_figures_are_those_of_the_weights(run, name):
    "Kept in half precision, read in single precision; what README.md says is what `evaluate` finds, and what the text had before rounding is told."
    tensors, _ = read_tensors(shipped()[name]/'model.safetensors')
    assert {t.dtype for t in tensors.values()} == {torch.float16} and {p.dtype for p in run[name].model.parameters()} == {torch.float32}
    score, readme = run[name].evaluate()['valid'], (shipped()[name]/'README.md').read_text(encoding='utf-8')
    before, after = map(float, re.search(r'took ([\d.]+) nats a token \(now ([\d.]+)\)', readme).groups())
    assert f'| valid | {score.tokens:,} | {after:.4f} |' in readme and score.nats == pytest.approx(after, abs=2e-3) and abs(before-after) < .001
    assert f"`{read_config(name)['command']}`" in readme and '--seed 0' in readme


@pytest.mark.parametrize('name', NAMES)
def test_texts_are_those_of_the_script(run, name):
    "The hash in config.json is of the text that the script makes: the training part of human-numbers, all parts of the manual."
    import export_models
    if name == 'manual' and platform.python_version() != read_config(name)['made_with']['python']:
        pytest.skip("NOT TESTED: the text of the manual (its hash is that of another version of Python)")
    parts, texts = read_config(name)['text']['parts'], export_models.texts(name)
    assert export_models.FLAGS[name] in read_config(name)['command']
    whole = {k: hashlib.sha256(t.encode()).hexdigest() for k, t in texts.items()}
    if name == 'human-numbers': assert [parts[k]['sha256'] for k in ('train', 'valid')] == list(whole.values())
    else: assert sum(p['characters'] for p in parts.values()) == len(texts['manual.txt']) and texts['manual.txt'].endswith(run[name].vocab.decode(torch.as_tensor(valid_ids(run[name]))[-200:]))


def valid_ids(run):
    from lm_from_scratch.tokens import open_tokens
    return open_tokens(run.folder/'tokens/valid.tokens', run.vocab)[0].long()


@pytest.mark.parametrize('start', [1, 2, 19, 98, 199, 345, 998, 1099, 4321, 8042, 9376])
def test_it_counts(run, start):
    "From two numbers on, at least ten more without a mistake."
    begun = f'{number_words(start)} . {number_words(start+1)} .'
    said = run['human-numbers'].generate(begun, 110, temperature=0).removeprefix(begun).split()
    assert count_right(said, start+1, 10)[0] == 10


def test_as_the_command_says():
    out = shell('generate', 'human-numbers', 'one . two .', '--words', 12, '--temperature', 0)
    assert out.exit_code == 0 and out.stdout.strip() == 'one . two . three . four . five . six . seven . eight .'


def test_it_writes_like_the_manual(run):
    "Words, most of them of the manual itself; never half a character."
    from pydoc_data.topics import topics
    known = set(re.findall(r'[a-z]+', ' '.join(topics.values()).lower()))
    text = run['manual'].generate('The ', 200, seed=2)
    words = re.findall(r'[a-z]+', text.lower())
    assert len(words) > 40 and sum(w in known for w in words)/len(words) > .8 and '\ufffd' not in text


def test_evaluate_and_list():
    row = json.loads(shell('evaluate', 'human-numbers', '--json').stdout)
    assert row['part'] == 'valid' and row['perplexity'] < 1.1
    out = shell('models').stdout
    for name in NAMES: assert f'{name}: ' in out
    assert 'human-numbers' in shell('doctor').stdout


def test_a_folder_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_run('manual') == shipped()['manual']
    shutil.copytree(shipped()['human-numbers'], tmp_path/'manual')
    assert find_run('manual') == Path('manual') and load_run('manual', 'cpu').settings.tokens == 'words'
    (tmp_path/'human-numbers').mkdir()
    with pytest.raises(LMError, match='no config.json'): load_run('human-numbers')


def test_a_model_of_the_package_cannot_be_gone_on_with():
    with pytest.raises(LMError, match='no training to go on with; begin a new one'): resume_run('manual', steps=3)
    assert not (shipped()['manual']/'.lock').exists()


# ---- the course

def test_the_course_is_copied(tmp_path):
    assert shell('notebooks', tmp_path/'course').exit_code == 0
    there = {f.relative_to(tmp_path/'course').as_posix() for f in (tmp_path/'course').rglob('*') if f.is_file()}
    chapters = {f.name for f in (ROOT/'nbs').glob('[0-9]*.ipynb')} | {f'solutions/{f.name}' for f in (ROOT/'nbs/solutions').glob('*.ipynb')}
    assert {n for n in there if n.endswith('.ipynb')} == chapters
    for name in chapters:                                                       # a picture that is shown is there
        text = (tmp_path/'course'/name).read_text(encoding='utf-8')
        assert '../images/' not in text and {f'images/{n}' for n in re.findall(r'\(images/([\w.-]+)\)', text)} <= there
        json.loads(text)


def test_what_a_reader_has_changed_stays(tmp_path):
    (tmp_path/'00_data.ipynb').write_text('mine')
    out = shell('notebooks', tmp_path)
    assert out.exit_code == 0 and 'stay as they are: 1' in out.stdout and 'jupyter lab' in out.stdout
    assert (tmp_path/'00_data.ipynb').read_text() == 'mine' and (tmp_path/'05_lstm.ipynb').is_file()


def test_a_copy_is_whole_or_not_there(tmp_path, monkeypatch):
    "A disk that is full in the middle of a notebook: the same command goes on from there, later."
    def full(*args): raise OSError(errno.ENOSPC, 'full')
    with monkeypatch.context() as m:
        m.setattr('os.fsync', full)
        assert 'the disk is full' in str(shell('notebooks', tmp_path).exception) and not [f for f in tmp_path.rglob('*') if f.is_file()]
    out = shell('notebooks', tmp_path)
    assert out.exit_code == 0 and 'stay as they are' not in out.stdout and (tmp_path/'05_lstm.ipynb').is_file()


def test_what_is_missing_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, '_missing', lambda: ['nbclient'])
    with pytest.raises(LMError, match=r"need nbclient, which is not here: pip install 'lm-from-scratch\[course\]'") as e: cli._need_course()
    assert '\n' not in str(e.value)
    assert "pip install 'lm-from-scratch[course]'" in shell('notebooks', tmp_path/'c').stdout
    out = shell('course', tmp_path)
    assert isinstance(out.exception, LMError)
    assert 'nbclient         not here; the course needs it: pip install' in shell('doctor').stdout


def test_the_extra_has_what_the_course_needs():
    import configparser
    c = configparser.ConfigParser()
    c.read(ROOT/'settings.ini', encoding='utf-8')
    names = {re.split('[><=]', r)[0] for r in c['DEFAULT']['course_requirements'].split()}
    assert set(cli._COURSE) <= names and not names & {re.split('[><=]', r)[0] for r in c['DEFAULT']['dev_requirements'].split()}
