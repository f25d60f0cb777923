"""A session with the tool, from nothing to a text: typed in a real shell, kept as text for the site.

    python docs/session.py                     # play it
    python docs/session.py --store             # and write docs/appendix/session.md
    python docs/session.py --text FILE         # on another text than the reference manual of Python

A wheel is built and put into an empty virtual environment (its libraries are those of this environment, so that nothing is fetched); then each command
below is typed there. What a command writes, how long it took and how it ended is kept. A command that waits, such as `play`, is stopped by Ctrl-C."""
import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, STORED = ROOT/'docs/appendix/session.md', ROOT/'docs/session.json'
COMMANDS = [ # what is typed; for how many seconds it is left alone, where it would not end by itself
    ('lm-from-scratch generate human-numbers "one . two ."', None),
    ('wc -c my.txt', None),
    ('lm-from-scratch train my.txt --out run --size tiny --minutes .5', None),
    ('lm-from-scratch evaluate run --text other.txt', None),
    ('lm-from-scratch generate run "The function" --words 40 --temperature .6 --seed 1', None),
    ('lm-from-scratch train --resume run --minutes 1', None),
    ('lm-from-scratch generate run "The function" --words 40 --temperature .6 --seed 1', None),
    ('lm-from-scratch play run --no-browser', 12),
    ('lm-from-scratch export run --onnx', None),
    ('ls run', None)]


def manual(size=1_000_000):
    "A text of a megabyte: the reference manual of Python, then what its standard library says of itself."
    import ast
    from pydoc_data.topics import topics
    parts, n = [topics[k].strip() + '\n' for k in sorted(topics)], 0
    for f in sorted(Path(sysconfig.get_path('stdlib')).glob('*.py')):
        if sum(map(len, parts)) > 1.1*size: break
        tree = ast.parse(f.read_text(encoding='utf-8'))
        parts += [doc + '\n' for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (doc := ast.get_docstring(node))]
    text = '\n'.join(parts)
    n = text.rindex('\n', 0, size) + 1
    return text[:n], text[n:]


def environment(home):
    "An empty virtual environment with the wheel; the libraries are those of this one."
    def sh(*args): subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if args[1:3] != ('-m', 'build') else None)
    sh(sys.executable, '-m', 'build', '-q', '--wheel', '--no-isolation', '-o', str(home/'dist'), str(ROOT))
    sh(sys.executable, '-m', 'venv', str(home/'env'))
    python = home/'env/bin/python'
    site = subprocess.run([python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'], capture_output=True, text=True, check=True).stdout.strip()
    ours = [p for p in sys.path if p.endswith('site-packages')]
    sh(str(python), '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', str(next((home/'dist').iterdir())))
    (Path(site)/'libraries.pth').write_text('\n'.join(ours) + '\n')    # after the wheel's own on the path: the package comes from the wheel alone
    return home/'env/bin'


def typed(command, cwd, env, wait):
    "What a shell shows; seconds; exit code."
    begun = time.monotonic()
    p = subprocess.Popen(['bash', '-c', command], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try: out, _ = p.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGINT)
        out, _ = p.communicate(timeout=30)
        out += '^C\n'
    return out, round(time.monotonic()-begun, 1), p.returncode


def shown(text, home, width=96):
    "Without the folder it was in; long lines folded as a terminal folds them."
    text = text.replace(str(home) + '/', '').replace('\r', '')
    return '\n'.join(part for line in text.rstrip().splitlines() for part in (re.findall(f'.{{1,{width}}}', line.rstrip()) or ['']))


def play(text):
    "Type all of it."
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'VIRTUAL_ENV', 'PYTHONHOME')}
    with tempfile.TemporaryDirectory() as d:
        home, rows = Path(d), []
        begun = time.monotonic()
        path = environment(home)
        rows.append(dict(command='pip install lm_from_scratch*.whl', out='', seconds=round(time.monotonic()-begun, 1), code=0))
        env.update(PATH=f'{path}:{env["PATH"]}', COLUMNS='96', PYTHONUTF8='1')
        own, other = (text[:-len(text)//10], text[-len(text)//10:]) if isinstance(text, str) else text
        (home/'my.txt').write_text(own, encoding='utf-8')
        (home/'other.txt').write_text(other[:60_000], encoding='utf-8')
        for command, wait in COMMANDS:
            out, seconds, code = typed(command, home, env, wait)
            rows.append(dict(command=command, out=shown(out, home), seconds=seconds, code=code))
            print(f'$ {command}\n{rows[-1]["out"]}\n({seconds} s, exit code {code})\n', flush=True)
    return rows


def page(kept):
    "The page, from what was kept."
    rows = kept['rows']
    whole = sum(r['seconds'] for r in rows)
    lines = ['# A session', '> The tool, typed in a real shell: from a wheel to generated text.', '',
             f"Recorded by `python docs/session.py --store`, on {kept['machine']}, with lm_from_scratch {kept['version']} from a wheel in an empty environment (PyTorch and the other libraries, the extra `[export]` among them, were on the disk: to fetch them takes minutes); {kept['text']}, and `other.txt` is what comes after it there. "
             f"All of it took {whole/60:.1f} minutes. The seconds behind each command are those of this machine, which had other work to do at the same time. "
             "(A run that is at its end and goes on begins another cycle: the learning rate rises once more, and the held-out loss with it, before both fall.)", '', '```text']
    for r in rows:
        ended = '' if r['code'] == 0 else f", exit code {r['code']}"
        lines += [f"$ {r['command']}    # {r['seconds']} s{ended}", *([r['out']] if r['out'] else []), '']
    return '\n'.join(lines).rstrip() + '\n```\n'


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--text', help='a text file')
    p.add_argument('--store', action='store_true', help='keep what was shown, and write the page')
    args = p.parse_args()
    text = Path(args.text).read_text(encoding='utf-8') if args.text else manual()
    from lm_from_scratch import __version__
    kept = dict(rows=play(text), machine=f'{platform.system()} {platform.machine()}, {os.cpu_count()} processors', version=__version__,
                text=f'the text is `{Path(args.text).name}`' if args.text else f"`my.txt` is a megabyte of the reference manual of Python {platform.python_version()} and of the words of its standard library")
    if not args.store: return
    STORED.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    PAGE.write_text(page(kept), encoding='utf-8')


if __name__ == '__main__': main()
