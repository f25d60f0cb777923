"Running the course: what changed is run, outputs are compared or stored, and whatever goes wrong costs one line."
import ast
import base64
import errno
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
import torch
from conftest import ROOT, unix
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from lm_from_scratch.cli import app
from lm_from_scratch.course import notebooks
from lm_from_scratch.course.notebooks import *
from lm_from_scratch.errors import LMError

POSIX = hasattr(os, 'killpg')


def write(path, *cells): nbformat.write(new_notebook(cells=[c if not isinstance(c, str) else new_code_cell(c) for c in cells]), path)


@pytest.fixture
def nbs(tmp_path):
    folder = tmp_path/'nbs'
    folder.mkdir()
    for name,code in dict(a='print(1)', b='from lm_from_scratch.errors import *').items(): write(folder/f'{name}.ipynb', code)
    return folder


def ran(nbs, **kwargs): return sorted(r.path.stem for r in run_course(nbs, say=lambda s: None, **kwargs))


# ---- what a notebook depends on

@pytest.mark.parametrize('code, folder, needs', [
    ('from lm_from_scratch.data import *\nimport torch', '', {'data'}),
    ('import lm_from_scratch.data as d, os', '', {'data'}),
    ('from lm_from_scratch import data, lstm', '', {'data', 'lstm'}),
    ('from lm_from_scratch import __version__', '', set()),
    ('%matplotlib inline\n!ls\nfrom lm_from_scratch.gru import *', '', {'gru'}),
    ('from .data import *', '', {'data'}),
    ('from . import data', '', {'data'}),
    ('def f():\n    from ..data import Corpus', '.course', {'data'}),
    ('from .ladder import *\nfrom ..nword import *', '.course', {'course.ladder', 'nword'}),
    ('from lm_from_scratch.course import ladder', '', {'course.ladder'}),
    ('from lm_from_scratch.course.claims import CLAIMS', '', {'course.claims'}),
    ('from lm_from_scratch import check\ncheck.peephole_cell(3)', '', {'check.lstm'}),
    ('from lm_from_scratch import check as c\nc.peephole_cell(3)', '', {'check.lstm'}),
    ('from lm_from_scratch.check import peephole_cell', '', {'check.lstm'}),
    ('from lm_from_scratch.check.gru import *', '', {'check.gru'}),
    ('not python (', '', set()), ('from lm_from_scratch.data import *\0', '', set()), ('-'*99999 + '1', '', set())])
def test_imports(code, folder, needs): assert imports_of(code, 'lm_from_scratch'+folder) == needs


@pytest.fixture
def package(tmp_path, monkeypatch):
    "A copy of the package, for changes."
    copied = tmp_path/'lm_from_scratch'
    shutil.copytree(ROOT/'lm_from_scratch', copied, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(notebooks, 'find_spec', lambda name: SimpleNamespace(origin=copied/'__init__.py'))
    return copied


def test_a_module_changed(package):
    books = {k: new_notebook(cells=[new_code_cell(code)]) for k,code in dict(
        state='from lm_from_scratch.state import *', check='from lm_from_scratch import check\ncheck.peephole_cell(1)',
        ladder='from lm_from_scratch.course.ladder import *', data='from lm_from_scratch.data import *').items()}
    def changed(file, text='\n'):
        before = {k: fingerprint(nb) for k,nb in books.items()}
        (package/file).write_text((package/file).read_text(encoding='utf-8') + text, encoding='utf-8')
        return {k for k,nb in books.items() if fingerprint(nb) != before[k]}
    assert changed('check/lstm.py') == {'check'} and changed('check/gru.py') == set()
    assert 'state' in changed('nword.py') and changed('course/notebooks.py') == set()
    assert changed('course/results/ladder.jsonl') == {'ladder'} and changed('course/ladder.py') == {'ladder'}
    assert fingerprint(books['data']) != fingerprint(books['data'], 'other versions')


# ---- figures and words

@pytest.mark.parametrize('stored, here, same', [
    ('.589', '.595', True), ('.589', '.638', True), ('.589', '.645', False), ('0.05', '-0.05', False),
    ('2.54', '2.66', True), ('2.54', '2.70', False), ('1,024.5', '1,060.5', True), ('1,024.5', '1,100.5', False),
    ('.0088', '.0130', True), ('.0088', '.0290', False), ('.0001', '-.0000', True), ('1', '0.98', True), ('1', '0.8', False),
    ('7e-47', '4e-47', True), ('7e-47', '7e-45', False), ('1e+04', '2e+04', True), ('81%', '84 %', True), ('81%', '88%', False),
    ('64', '64', True), ('64', '65', False), ('4.', '5.', False), ('−.3', '-.31', True)])
def test_tolerance(stored, here, same): assert (off_by(read_number(stored), read_number(here)) <= 1) == same


def test_what_is_a_number():
    found = [m[0] for m in notebooks._number.finditer('float32 x2 2.13.0 .5 (64, 16) tensor([2., -.5]) 1,024 a-1 9e-08 3. 15 %')]
    assert found == ['.5', '64', '16', '2.', '-.5', '1,024', '1', '9e-08', '3.', '15 %']


def table(*rows, head='mean'):
    body = ''.join(f'<tr>\n<th>{k}</th>\n<td>{v}</td></tr>\n' for k,v in rows)
    return new_output('execute_result', {'text/html': f'<style scoped>p {{ margin: 3px }}</style><table><tr><th></th><th>{head}</th></tr>{body}</table>',
                                         'text/plain': 'other words'})


def picture(*lines, size=(400, 300)):
    img = Image.new('RGB', size, 'white')
    for line in lines: ImageDraw.Draw(img).line(line, fill='navy', width=3)
    data = io.BytesIO()
    img.save(data, 'PNG')
    return new_output('display_data', {'image/png': base64.b64encode(data.getvalue()).decode()})


def stream(text, **kwargs): return new_output('stream', text=text, **kwargs)


def compared(stored, here, code='show()'):
    books = [new_notebook(cells=[new_code_cell(code, outputs=o)]) for o in (stored, here)]
    return [(d.kind, d.size > 1, d.marked) for d in compare(*books)]


MOVED, NEAR, WORDS = ('moved', True, False), ('moved', False, False), ('words', True, False)


def test_text():
    assert compared([stream('loss 2.54')], [stream('loss 2.54')]) == []
    assert compared([stream('loss 2.54')], [stream('loss 2.60')]) == [NEAR]
    assert compared([stream('loss 2.54')], [stream('loss 2.94')]) == [MOVED]
    assert compared([stream('loss 2.54')], [stream('cost 2.54')]) == [WORDS]
    assert compared([stream('loss 2.54')], [stream('loss nan')]) == [WORDS]
    assert compared([stream('shape (64, 16)')], [stream('shape (64, 17)')]) == [WORDS]
    assert compared([stream('[ .5, -.25]')], [stream('[ .5,  .25]')]) == [MOVED]
    assert compared([stream('a')], [stream('a', name='stderr')]) == [WORDS]
    assert compared([stream('# .5 .6')], [stream('.3 .5 .6')]) == compared([stream('1 #')], [stream('# 1')]) == [WORDS]  # a # is no number
    assert compared([stream('# .5')], [stream('# .51')]) == [NEAR]


def test_tables():
    stored = [table(('a', .51), ('b', '0.60'))]
    assert compared(stored, [table(('a', .51), ('b', '0.61'))]) == [NEAR]
    assert compared(stored, [table(('a', .51), ('b', '0.66'))]) == [MOVED]
    assert compared(stored, [table(('a', .51))]) == [WORDS]                              # a row is missing
    assert compared(stored, [table(('b', .51), ('a', '0.60'))]) == [WORDS]                    # another order
    assert compared(stored, [table(('a', .51), ('b', '0.60'), head='sd')]) == [WORDS]


def test_outputs_missing_or_added():
    assert compared([stream('a')], []) == compared([], [stream('a')]) == compared([stream('a')], [picture()]) == [WORDS]


def test_pictures():
    curve, frame = (0, 290, 200, 60, 399, 40), (2, 2, 2, 297, 397, 297, 397, 2, 2, 2)
    shown = [picture(curve, frame)]
    assert compared(shown, [picture(curve, frame)]) == []
    assert compared(shown, [picture((0, 290, 200, 60, 399, 48), frame)]) == [NEAR]
    assert compared(shown, [picture((0, 290, 200, 200, 399, 190), frame)]) == [MOVED]
    assert compared(shown, [picture(frame)]) == compared([picture(frame)], shown) == [MOVED] # the curve is gone
    assert compared(shown, [picture()]) == [MOVED] and compared([picture()], [picture(size=(401, 300))]) == []
    assert compared(shown, [picture(curve, frame, size=(400, 200))]) == [MOVED]
    assert compared(shown, [picture(curve, frame, size=(404, 301))]) in ([], [NEAR])     # a letter more in a label


def test_a_curve_may_not_be_gone():
    "Of what matplotlib draws, axes and labels are much and a thin curve is little."
    import matplotlib.pyplot as plt
    def drawn(*curves):
        fig, ax = plt.subplots(figsize=(6, 3.5))
        for c in curves: ax.plot(c)
        ax.set(xlim=(0, 99), ylim=(0, 3), xlabel='batch', ylabel='loss', title='A title')
        data = io.BytesIO()
        fig.savefig(data, format='png')
        plt.close(fig)
        return [new_output('display_data', {'image/png': base64.b64encode(data.getvalue()).decode()})]
    falls = [.5 + 2*.97**k for k in range(99)]
    lower, near = [.7*y for y in falls], [y + .05 for y in falls]
    assert compared(drawn(falls), drawn()) == compared(drawn(falls, lower), drawn(falls)) == compared(drawn(), drawn(lower)) == [MOVED]
    assert compared(drawn(falls, lower), drawn(near, lower)) in ([], [NEAR])


def test_directives():
    assert compared([stream('.50')], [stream('.58')], '#| tolerance: .1\nshow()') == [NEAR]
    assert compared([stream('.5000')], [stream('.5001')], '#| tolerance: 0\nshow()') == [MOVED]
    with pytest.raises(LMError, match='no tolerance'): compared([stream('.5')], [stream('.6')], '#| tolerance: much\nshow()')
    assert compared([stream('one .5')], [stream('two .5')], '#| differs: by machine\nshow()') == [('words', True, True)]
    assert Run('x', differences=[Difference(0, '', 'words', '', '', 1, marked=True)]).bad is False
    assert Run('x', differences=[Difference(0, '', 'words', '', '', 1)]).bad is True


# ---- sentences

@pytest.fixture
def page(tmp_path):
    "A course of one page whose sentence rests on its output, with the real `docs/truth.py`."
    for folder in ('nbs', 'docs'): (tmp_path/folder).mkdir()
    shutil.copy(ROOT/'docs/truth.py', tmp_path/'docs')
    path = tmp_path/'nbs/00_page.ipynb'
    def judged(says, shows, here, code='show()'):
        write(path, new_markdown_cell('# A page\n> About.'), new_code_cell(code, outputs=[stream(shows)]), new_markdown_cell(says))
        run = Run(path, stored=nbformat.read(path, 4), nb=nbformat.read(path, 4))
        run.nb.cells[1].outputs = [stream(here)]
        judge(run)
        return run
    return judged


def test_a_sentence_may_be_a_little_off(page):
    run = page('It scores .81.', 'accuracy .812', 'accuracy .790')
    assert not run.lost and not run.moved and not run.bad and run.differences


def test_a_sentence_no_longer_holds(page):
    run = page('It scores .81.', 'accuracy .812', 'accuracy .690')
    assert run.moved and run.bad and run.lost == ['00_page, cell 2: figure .81 has no source']


def test_a_figure_that_no_sentence_rests_on_may_move(page):
    run = page('It scores .81.', 'accuracy .812, loss 2.5', 'accuracy .812, loss 3.5')
    assert run.moved and not run.lost and not run.bad


def test_other_words_in_a_marked_cell(page):
    marked = '#| differs: by machine\nshow()'
    assert not page('It scores .81.', 'one .812', 'two .790', marked).bad
    assert page('It scores .81.', 'one .812', 'two .690', marked).lost
    assert page('It scores .81.', 'one .812', 'two .790').bad


def test_a_sentence_on_another_page(page, tmp_path):
    write(tmp_path/'nbs/01_other.ipynb', new_markdown_cell('# Other\n> About.'), new_markdown_cell('Chapter 0 scored .81.'))
    (tmp_path/'docs/sources.toml').write_text('[[source]]\npage = "01_other"\nfigure = ".81"\nnotebook = "00_page"\n')
    assert page('Nothing.', '.812', '.69').lost == ['01_other, cell 1: figure .81 has no source']
    assert not page('Nothing.', '.812', '.80').lost


# ---- compare, store, stamps

def test_only_what_changed(nbs):
    assert ran(nbs, store=True) == ['a', 'b'] and ran(nbs) == ran(nbs, store=True) == [] and ran(nbs, force=True) == ['a', 'b']
    nb = nbformat.read(nbs/'a.ipynb', 4)
    nb.cells[0].source = 'print(1.5)'
    nbformat.write(nb, nbs/'a.ipynb')
    assert ran(nbs, store=True) == ['a'] and nbformat.read(nbs/'a.ipynb', 4).cells[0].outputs[0].text == '1.5\n'
    nb = nbformat.read(nbs/'a.ipynb', 4)
    nb.cells[0].outputs = [stream('1.52\n')]                                             # another machine's
    nbformat.write(nb, nbs/'a.ipynb')
    before = (nbs/'a.ipynb').read_bytes()
    assert ran(nbs) == ['a'] and ran(nbs) == [] and (nbs/'a.ipynb').read_bytes() == before
    assert ran(nbs, store=True) == ['a'] and nbformat.read(nbs/'a.ipynb', 4).cells[0].outputs[0].text == '1.5\n'


def test_comparing_leaves_the_tree_clean_and_says_what_differs(nbs):
    write(nbs/'a.ipynb', new_code_cell('print(.91)', outputs=[stream('0.50\n')]), new_code_cell('print("here")', outputs=[stream('there\n')]))
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in nbs.iterdir()}
    said = []
    runs = run_course(nbs, say=said.append)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in nbs.iterdir()} == before
    assert [r.bad for r in sorted(runs, key=lambda r: r.path)] == [True, False]
    assert any('0.50 → 0.91' in s for s in said) and any("'there' → 'here'" in s for s in said)
    assert CliRunner().invoke(app, ['course', str(nbs)]).exit_code == 1                  # and is not forgotten
    got = CliRunner().invoke(app, ['course', str(nbs), '--store'])
    assert got.exit_code == 0 and CliRunner().invoke(app, ['course', str(nbs)]).exit_code == 0


def test_a_torn_file_of_stamps_costs_a_rerun(nbs):
    ran(nbs, store=True)
    for text in ('{"a.ipynb": {"sta', '[]', '['*100_000, '{"a.ipynb": "old", "b.ipynb": "old"}'):
        (nbs.parent/'.course/stamps.json').write_text(text)
        said = []
        assert len(run_course(nbs, say=said.append)) == 2 and not any(r.bad for r in run_course(nbs, say=said.append))
        assert sum('cannot be read' in s for s in said) == ('old' not in text) and ran(nbs) == []


def test_two_at_once_lose_no_stamp(tmp_path):
    code = f'import sys\nfrom lm_from_scratch.course.notebooks import *\nfor k in range(25): Stamps({str(tmp_path/"s.json")!r}).put(f"{{sys.argv[1]}} {{k}}", dict(stamp="x"))'
    both = [subprocess.Popen([sys.executable, '-c', code, name]) for name in 'ab']
    assert [p.wait(60) for p in both] == [0, 0]
    assert len(json.loads((tmp_path/'s.json').read_text())) == 50


def test_a_full_disk_loses_nothing(nbs, monkeypatch):
    before = (nbs/'a.ipynb').read_bytes()
    def full(fd): raise OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as m:
        m.setattr(notebooks.os, 'fsync', full)
        runs = run_course(nbs/'a.ipynb', say=lambda s: None, store=True)
    assert 'the disk is full' in runs[0].error and (nbs/'a.ipynb').read_bytes() == before
    assert os.listdir(nbs.parent/'.course') == []


def test_a_full_disk_stops_no_comparison(nbs, monkeypatch):
    ran(nbs, store=True)
    for name in 'ab': write(nbs/f'{name}.ipynb', new_code_cell('print(2)', outputs=[stream('2\n')]))
    known = (nbs.parent/'.course/stamps.json').read_text()
    def full(fd): raise OSError(errno.ENOSPC, "No space left on device")
    said = []
    with monkeypatch.context() as m:
        m.setattr(notebooks.os, 'fsync', full)
        runs = run_course(nbs, say=said.append)
    assert len(runs) == 2 and all(r.bad and 'the disk is full' in r.error for r in runs)
    assert sum('FAILED' in s and 'stamps.json' in s for s in said) == 2 and (nbs.parent/'.course/stamps.json').read_text() == known
    assert ran(nbs) == ['a', 'b'] and ran(nbs) == []


def test_a_lock_that_cannot_be_taken_is_told(tmp_path, monkeypatch):
    import filelock
    def full(self): raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(filelock.FileLock, '_acquire', full)
    with pytest.raises(LMError, match=r's\.json cannot be written: the disk is full'): Stamps(tmp_path/'s.json').put('a', {})


def test_a_notebook_that_is_whole_again_when_it_is_run(nbs, monkeypatch):
    write(nbs/'a.ipynb', 'x = 1')
    whole = (nbs/'a.ipynb').read_bytes()
    (nbs/'a.ipynb').write_text('half')
    def repaired(path, *args):
        path.write_bytes(whole)
        return run_notebook(path, *args)
    monkeypatch.setattr(notebooks, 'run_notebook', repaired)
    run, = run_course(nbs/'a.ipynb', say=lambda s: None)
    assert not run.bad and ran(nbs/'a.ipynb') == ['a'] and ran(nbs/'a.ipynb') == []      # what it was at first is not known: once more


def test_whoever_breaks_off_finds_no_kernel(nbs, monkeypatch):
    killed = []
    monkeypatch.setattr(notebooks.Kernels, 'kill', lambda self: killed.append(True))
    def say(line):
        if line.startswith('a '): raise BrokenPipeError
    with pytest.raises(BrokenPipeError): run_course(nbs/'a.ipynb', say=say)
    assert killed


def test_kernels_that_end_while_they_are_killed(monkeypatch):
    "One that ends by itself changes the list of those that live."
    kernels, ended = Kernels(), []
    class Manager: provisioner = None
    for _ in range(3): kernels.add(Manager(), SimpleNamespace(_cleanup_kernel=None))
    managers = list(kernels.live)
    def end(process):
        kernels.drop(managers[len(ended)])
        ended.append(process)
    monkeypatch.setattr(notebooks, '_end', end)
    kernels.kill()
    assert len(ended) == 3 and kernels.live == {}


def test_a_notebook_that_was_changed_meanwhile_is_not_overwritten(nbs):
    write(nbs/'a.ipynb', f"open({str(nbs/'a.ipynb')!r}, 'a').write(' ')")
    assert 'changed while it ran' in run_course(nbs/'a.ipynb', say=lambda s: None, store=True)[0].error


# ---- faults

def test_a_fault_costs_its_own_line(nbs, tmp_path):
    write(nbs/'c.ipynb', 'x = 1', 'x/0')
    write(nbs/'d.ipynb', 'import time', 'time.sleep(60)')
    write(nbs/'e.ipynb', 'import os', 'os._exit(1)')
    if POSIX: write(nbs/'f.ipynb', 'import os', 'os.kill(os.getpid(), 9)')
    (nbs/'g.ipynb').write_text((nbs/'a.ipynb').read_text()[:80])
    (nbs/'h.ipynb').mkdir()
    write(nbs/'i.ipynb')
    (nbs/'j.ipynb').write_bytes(b'\xff\xfe{}')
    (nbs/'k.ipynb').write_text('{}')
    said = []
    runs = {r.path.stem: r for r in run_course(nbs, say=said.append, store=True, timeout=3)}
    for name,why in dict(c='ZeroDivisionError in cell 1: x/0', d='took more than 3 s in cell 1: time.sleep(60)',
                         e='its kernel died in cell 1', f='its kernel died in cell 1', g='is no notebook', h='cannot be read',
                         i='has no cells', j='is no notebook', k='is no notebook').items():
        if name in runs: assert runs[name].error.startswith(why) and sum(s.startswith(f'{name} ') and 'FAILED' in s for s in said) == 1, runs[name].error
    assert not runs['a'].bad and not runs['b'].bad and len(runs) == 10 + POSIX
    assert nbformat.read(nbs/'c.ipynb', 4).cells[0].outputs == []
    assert any('ZeroDivisionError' in s and 'Traceback' in s for s in said) and sorted(ran(nbs, timeout=3)) == sorted(set(runs) - {'a', 'b'})


def test_a_damaged_notebook_stops_no_other(nbs):
    cut = picture((0, 0, 9, 9))
    cut.data['image/png'] = cut.data['image/png'][:60]
    shows = 'from IPython.display import display\nfrom PIL import Image\ndisplay(Image.new("RGB", (400, 300)))'
    write(nbs/'c.ipynb', new_code_cell(shows, outputs=[cut]))
    for name,key in dict(d='source', e='outputs').items():
        nb = json.loads((nbs/'a.ipynb').read_text())
        del nb['cells'][0][key]
        (nbs/f'{name}.ipynb').write_text(json.dumps(nb))
    write(nbs/'f.ipynb', 'x = 1\0')
    said = []
    runs = {r.path.stem: r for r in run_course(nbs, say=said.append)}
    for name,why in dict(c='cannot be compared: ', d="is no notebook: cell 0: 'source' is a required property",
                         e="is no notebook: cell 0: 'outputs' is a required property", f='SyntaxError in cell 0').items():
        assert runs[name].error.startswith(why) and sum(s.startswith(f'{name} ') and 'FAILED' in s for s in said) == 1, runs[name].error
    assert len(runs) == 6 and not runs['a'].error and not runs['b'].error and ran(nbs) == ['a', 'c', 'd', 'e', 'f']


def test_no_notebooks(tmp_path):
    with pytest.raises(LMError, match='no notebook in'): run_course(tmp_path)
    with pytest.raises(LMError, match='no variant'): run_course(ROOT/'nbs', variant='wide')
    with pytest.raises(LMError, match='not stored'): run_course(ROOT/'nbs', variant='plain', store=True)


@pytest.fixture
def started(nbs):
    "`lm-from-scratch course` as a process, with a quick notebook and two that take long; and how to find its kernels."
    for name,code in dict(b='import time; time.sleep(99)', c='while True: pass').items(): write(nbs/f'{name}.ipynb', code)
    mark = uuid.uuid4().hex
    def kernels():
        found = []
        for p in psutil.process_iter():
            try: found += [p.pid] if p.environ().get('COURSE_TEST') == mark and p.pid != proc.pid else []
            except psutil.Error: pass
        return found
    code = 'from lm_from_scratch.cli import main; main()'
    proc = subprocess.Popen([sys.executable, '-c', code, 'course', str(nbs), '--store'], env={**os.environ, 'COURSE_TEST': mark},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield proc, kernels
    proc.kill()
    for pid in kernels(): os.kill(pid, signal.SIGKILL)


def gone(kernels, seconds):
    end = time.monotonic() + seconds
    while kernels() and time.monotonic() < end: time.sleep(.1)
    return not kernels()


@unix
@pytest.mark.parametrize('sig, late', [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, True)])
def test_stopped(started, sig, late, nbs):
    proc,kernels = started
    first = proc.stdout.readline() + (proc.stdout.readline() if late else '')            # it has begun; a notebook is finished
    time.sleep(random.uniform(0, 1))
    begun = time.monotonic()
    proc.send_signal(sig)
    said = first + proc.communicate(timeout=60)[0]
    assert time.monotonic() - begun < 2*max(1, os.getloadavg()[0]/os.cpu_count()), said
    assert proc.returncode == 128 + sig and said.count('Stopped') == 1 and 'Traceback' not in said and 'rror' not in said, said
    assert gone(kernels, 5)
    assert 'Stopped after' in said and 'counts; the same command goes on' in said
    if late: assert list(json.loads((nbs.parent/'.course/stamps.json').read_text())) == ['a.ipynb']
    for p in nbs.glob('*.ipynb'): nbformat.read(p, 4)


@unix
def test_killed(started, nbs):
    proc,kernels = started
    proc.stdout.readline(), proc.stdout.readline()
    time.sleep(random.uniform(0, 1))
    assert kernels()
    proc.kill()
    proc.wait()
    assert gone(kernels, 20)                                                             # a kernel asks for its parent each second
    for p in nbs.glob('*.ipynb'): nbformat.read(p, 4)
    assert json.loads((nbs.parent/'.course/stamps.json').read_text()) and sorted(p.suffix for p in nbs.iterdir()) == ['.ipynb']*3


def test_what_comes_then_meets_the_same_kernel(nbs):
    "`then` asks on where the notebook ended: its names are there, an error is an output, and notebook and time stay the notebook's."
    write(nbs/'a.ipynb', 'x = 41')
    seen = []
    async def then(ask):
        seen.append(await ask('x + 1'))
        seen.append(await ask('import time\nend = time.process_time() + 2\nwhile time.process_time() < end: pass\n1/0'))
    run = run_notebook(nbs/'a.ipynb', then=then)
    (result,), (error,) = seen
    assert result.data['text/plain'] == '42' and error.ename == 'ZeroDivisionError'
    assert not run.error and [c.source for c in run.nb.cells] == ['x = 41'] and run.seconds < 1.5 and len(run.cells) == 1


def test_what_comes_then_is_not_asked_of_a_broken_notebook(nbs):
    write(nbs/'a.ipynb', '1/0')
    async def then(ask): raise AssertionError
    run = run_notebook(nbs/'a.ipynb', then=then)
    assert run.error == 'ZeroDivisionError in cell 0: 1/0'


# ---- time and variants

def test_the_clock_is_the_processors(nbs):
    write(nbs/'a.ipynb', 'import time', 'time.sleep(1.5)', 't = time.process_time()\nwhile time.process_time() < t+.6: pass')
    run = run_notebook(nbs/'a.ipynb')
    (_,slept),(_,worked) = ((line,s) for s,line in run.cells[1:])
    assert slept < .4 < .5 < worked and worked <= run.seconds < 10


ASKED = """
import os, subprocess, sys, torch
env = [os.environ.get(k) for k in ('OMP_NUM_THREADS', 'MKL_CBWR', 'ATEN_CPU_CAPABILITY')]
env, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()"""
PRODUCT = """
run = [sys.executable, '-c', 'import torch; torch.ones(9, 9) @ torch.ones(9, 9)']
'CNR:COMPATIBLE' in subprocess.run(run, env=dict(os.environ, MKL_VERBOSE='1'), capture_output=True, text=True).stdout"""


def test_variants(nbs, monkeypatch):
    "What the kernel has been told, and what torch makes of it."
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    write(nbs/'a.ipynb', ASKED, PRODUCT)
    usual, seen = torch.backends.cpu.get_cpu_capability(), {}
    for v in ('plain', 'old', 'threads'):
        if v == 'threads': write(nbs/'a.ipynb', ASKED)
        cells = run_notebook(nbs/'a.ipynb', variant=VARIANTS[v]).nb.cells
        seen[v] = [ast.literal_eval(c.outputs[0].data['text/plain']) for c in cells]
    has_mkl = torch.backends.mkl.is_available()                                          # elsewhere products are another library's
    assert seen == dict(plain=[(['1', None, 'default'], 'DEFAULT', 1), False], old=[(['1', 'COMPATIBLE', None], usual, 1), has_mkl],
                        threads=[(['2', None, None], usual, 2)])


def test_a_variant_that_does_not_work_is_told(nbs):
    for first,why in {'1/0': 'ZeroDivisionError before its first cell', 'import os; os._exit(1)': 'its kernel died before its first cell'}.items():
        run = run_notebook(nbs/'a.ipynb', variant=Variant('broken', '', {}, first))
        assert run.error == why and run.bad and run.cells == []
    assert [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and 'ipykernel' in ' '.join(p.cmdline())] == []


def test_other_orders_of_a_sum(nbs):
    code = 'import torch', 'torch.manual_seed(0)\nx = torch.randn(9, 65)\n(torch.nn.functional.linear(x, torch.randn(9, 65))).double().sum().item()'
    write(nbs/'a.ipynb', *code)
    said = []
    run_course(nbs/'a.ipynb', store=True, say=said.append)
    run, = run_course(nbs/'a.ipynb', variant='order', say=said.append)
    assert run.differences and not run.bad and any('add the even terms' in s for s in said)  # summed in another order: another last digit
    assert any('→' in s and s.startswith('a ') for s in said) and ran(nbs/'a.ipynb', variant='order') == [] == ran(nbs/'a.ipynb')


def test_where_nothing_may_be_written_nothing_is_run(tmp_path, monkeypatch):
    from lm_from_scratch.course.notebooks import Stamps
    monkeypatch.setattr(os, 'access', lambda path, how: False)
    with pytest.raises(LMError, match='cannot be written: no permission'): Stamps(tmp_path/'.course'/'stamps.json').make_room()


def test_what_is_calculated_otherwise_is_run_again(nbs, monkeypatch):
    ran(nbs/'a.ipynb', store=True)
    with monkeypatch.context() as m:
        m.setenv('ATEN_CPU_CAPABILITY', 'default')
        assert ran(nbs/'a.ipynb') == ['a'] and ran(nbs/'a.ipynb') == []
    assert ran(nbs/'a.ipynb') == ['a'] and ran(nbs/'a.ipynb') == []
    nb = nbformat.read(nbs/'a.ipynb', 4)
    def stamp(variant=None): return notebooks._stamp(nb, variant)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    stamps = {stamp(), *map(stamp, VARIANTS.values()), stamp(Variant('order', '', {}, 'x = 1'))}
    assert len(stamps) == 6
    for name,value in dict(MKL_CBWR='AVX2', ONEDNN_MAX_CPU_ISA='AVX2', OMP_NUM_THREADS='3', LANG='C').items():
        with monkeypatch.context() as m:
            m.setenv(name, value)
            assert (stamp() in stamps) == (name == 'LANG'), name
    monkeypatch.setattr(notebooks, '_processor', lambda: ['another'])
    assert stamp() not in stamps


def test_what_is_told_of_a_processor(tmp_path):
    def told(text):
        (tmp_path/'cpuinfo').write_text(text)
        notebooks._processor.cache_clear()
        return notebooks._processor(tmp_path/'cpuinfo')[1:]
    assert told('processor\t: 0\nmodel name\t: A\nflags\t\t: avx2\ncpu MHz\t: 9\n\nmodel name\t: A\nflags\t\t: avx2\n') == ['flags\t\t: avx2', 'model name\t: A']
    (tmp_path/'cpuinfo').unlink()
    notebooks._processor.cache_clear()
    assert len(notebooks._processor(tmp_path/'cpuinfo')) == 2
    notebooks._processor.cache_clear()
