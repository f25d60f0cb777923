"What is wrong on a command line: every row of tests/bad_input.py, and the page that shows them."
import re
import shlex
import subprocess
import sys

import bad_input
import pytest
from bad_input import CASES, PAGE, slug, tried


@pytest.fixture(scope='module')
def base(tmp_path_factory): return bad_input.made(tmp_path_factory.mktemp('bad'))


@pytest.fixture(scope='module')
def page(): return PAGE.read_text(encoding='utf-8')


def one_sentence(said):
    assert said and '\n' not in said and 'Traceback' not in said and not re.search(r'[.?!] [A-Z]', said), said
    assert said.endswith(('.', '?', "'", ')', '`', 'help')) or ': pip install' in said, said


@pytest.mark.parametrize('c', CASES, ids=slug)
def test_one_sentence_and_nothing_written(c, base, tmp_path, page):
    code, out, err, before, after = tried(c, base, tmp_path)
    assert code != 0 and out == '' and err.startswith('lm-from-scratch: ') and err.count('\n') == 1
    assert re.search(c.said, c.full), c.full
    one_sentence(c.full)
    assert before == after, [k for k in {*before, *after} if before.get(k) != after.get(k)]
    assert not (tmp_path/'executed').exists()
    if 'Invalid value' in c.full or '--help' in c.full: assert f'| `{c.line}` | {c.wrong} |' in page      # the words are those of the parser's version
    else: assert f'| `{c.line}` | {c.wrong} | {bad_input.told(c.full)} |' in page, 'python tests/bad_input.py --store'


def test_there_are_enough_and_the_page_has_them_all(page):
    assert len(CASES) >= 60 and f'> {len(CASES)} command lines' in page
    assert len([s for s in page.splitlines() if s.startswith('| `')]) == len(CASES)
    assert len({(c.line, c.wrong) for c in CASES}) == len(CASES)


def test_every_command_and_every_number_is_tried():
    from lm_from_scratch.cli import app
    from lm_from_scratch.settings import Settings
    first = {c.line.split()[0] for c in CASES}
    named = {i.name or i.callback.__name__ for i in app.registered_commands}
    assert named - first <= {'models', 'play', 'export'}, named - first           # models takes no word; play and export have tests of their own
    numbers = {k for k, f in Settings.__dataclass_fields__.items() if f.type in (int, float)}
    assert numbers == set(bad_input.WRONG)


@pytest.mark.parametrize('line', ['generate run', 'train my.txt --out run', 'tran my.txt'])
def test_in_a_shell(base, tmp_path, line):
    "A process of its own: the exit code, and no stack."
    bad_input.copy(base, tmp_path)
    (tmp_path/'run/config.json').write_text('[1]')
    out = subprocess.run([sys.executable, '-m', 'lm_from_scratch', *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode in (1, 2) and out.stdout == '' and out.stderr.startswith('lm-from-scratch: ') and out.stderr.count('\n') == 1
    one_sentence(out.stderr.strip().removeprefix('lm-from-scratch: '))


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    from lm_from_scratch import cli, runs
    def broken(*args): raise RuntimeError('a shape is wrong')
    monkeypatch.setattr(runs, 'load_run', broken)
    with pytest.raises(RuntimeError, match='a shape is wrong'): cli.answer(['generate', 'x'])


def test_no_memory(monkeypatch, capsys):
    from lm_from_scratch import cli, runs
    def broken(*args): raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000000 bytes.")
    monkeypatch.setattr(runs, 'load_run', broken)
    assert cli.answer(['generate', 'x']) == 1 and 'not enough memory' in capsys.readouterr().err
