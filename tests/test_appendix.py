"The appendices: pages that are made hold what the files hold, links and checkers exist, terms and references are told once."
import json
import re
from collections import Counter
from pathlib import Path

import appendix_pages
import pytest
from conftest import ROOT

from lm_from_scratch import check
from lm_from_scratch.course.afters import after_verdicts
from lm_from_scratch.course.claims import show_claim
from lm_from_scratch.course.ladder import results_file
from lm_from_scratch.course.texts import gains_table

APPENDIX = ROOT/'docs/appendix'
PAGES = sorted(APPENDIX.glob('*.md'))


def test_every_results_file_is_told_with_its_commands():
    page = appendix_pages.results_page()
    for path in results_file().parent.glob('*.jsonl'):
        assert f'lm_from_scratch/course/results/{path.name}' in page
        rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        assert f'{len(rows)} rows' in page
        for command in {r['command'] for r in rows}: assert command in page
    assert 'nan' not in page.split()


def test_what_did_not_work_is_told():
    "Each verdict that is none for us, and each remedy that is slower, from the rows themselves."
    page = appendix_pages.failed_page()
    lines = [line for line in page.splitlines() if line.startswith('| ')]
    claims, after = show_claim(), after_verdicts()
    verdicts = [(c, '–', v) for c, v in zip(claims.claim, claims.verdict)] + list(zip(after.claim, after.processor, after.verdict))
    for begins, against in (('part', 'part-none'), ('part-past', 'part-softmax'), ('descent', 'descent-constant')):
        verdicts += [(what, '–', helps) for what, helps in gains_table(begins, against)[['training', 'helps']].itertuples(index=False)]
    assert {v for *_, v in verdicts} >= {'supported', 'unclear', 'not supported'}
    for what, where, verdict in verdicts:                                            # on each processor, where it is a matter of one
        if what.startswith('−'): continue
        told = [line for line in lines if line.startswith(f'| {what} ') and (where == '–' or f'| {where} ' in line)]
        assert bool(told) == (verdict in ('unclear', 'not supported')) and all(verdict in line for line in told), (what, told)
    assert 'rows × 4' in page and 'softmax estimated' not in page and 'nan' not in page.split()
    for link in re.findall(r'\]\(([^)#\s]+)', page): assert (APPENDIX/link).is_file(), link


def test_the_ladder_is_the_readmes():
    from lm_from_scratch.course.ladder import ladder_table, load_results
    rows = appendix_pages.table(ladder_table(load_results())).splitlines()
    assert set(rows) <= set(appendix_pages.results_page().splitlines()) and rows[-1] in (ROOT/'README.md').read_text(encoding='utf-8')


def test_citation():
    from lm_from_scratch import __version__
    page = appendix_pages.citation_page()
    assert '{{citation}}' not in page and f'{{{__version__}}}' in page
    assert page.count('{') == page.count('}') and page.count('```') == 2


@pytest.mark.parametrize('path', PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding='utf-8')
    assert re.match(r'# .+\n> .+', text)
    if path.stem == 'cite': text += appendix_pages.results_page()                    # a page of this folder, once it is made
    for link in re.findall(r'\]\(([^)#\s]+)', text):
        assert link.startswith('https://') or (path.parent/link).is_file(), link


def test_errata_name_checkers_that_exist():
    text = (APPENDIX/'errata.md').read_text(encoding='utf-8')
    rows = {int(n): set(re.findall(r'`check\.(\w+)`', line)) for n,line in re.findall(r'^\| (\d+) \|(.+)$', text, re.M)}
    assert list(rows) == list(range(1, 23)) and set().union(*rows.values()) == {name for name,guarded in check.CHECKERS.items() if guarded}
    for name,guarded in check.CHECKERS.items():
        for n in guarded: assert name in rows[n] or rows[n], (name, n)


def test_terms_and_references_are_told_once():
    glossary = (APPENDIX/'glossary.md').read_text(encoding='utf-8')
    body = re.search(r'^(`{3,}|:{3,})\{glossary\}\n(.+?)^\1', glossary, re.M | re.S)[2]
    terms = [line for line in body.splitlines() if line and not line.startswith((' ', ':'))]
    assert len(terms) > 50 and max(Counter(terms).values()) == 1
    keys = re.findall(r'^@\w+\{(\w+),', (APPENDIX/'references.bib').read_text(encoding='utf-8'), re.M)
    assert len(keys) > 20 and max(Counter(keys).values()) == 1
    cited = set(re.findall(r'\{cite(?::\w+)?\}`([^`]+)`', '\n'.join(p.read_text(encoding='utf-8') for p in PAGES)))
    assert {k.strip() for c in cited for k in c.split(',')} <= set(keys)


def test_the_session_is_what_was_recorded():
    import session
    kept = json.loads(session.STORED.read_text(encoding='utf-8'))
    assert session.PAGE.read_text(encoding='utf-8') == session.page(kept), 'python docs/session.py --store'
    rows = kept['rows'][1:]
    assert [r['command'] for r in rows] == [c for c, _ in session.COMMANDS]
    assert not re.search('|'.join(['Traceback', '/tmp/', '/home/', *map(re.escape, {str(ROOT), str(Path.home())} - {'/'})]), session.page(kept)) and rows[0]['out'].startswith('one . two . three . four .')
    for r in rows:
        if 'No such command' in r['out']: pytest.skip(f"NOT TESTED: `{r['command']}` in the session (it was recorded without that command: python docs/session.py --store)")
        assert r['code'] in (0, 130, -2), r['command']          # 130 and -2: it waited until Ctrl-C
