"""What the playground's page bears: models of several sizes, untrained, opened in headless Chromium.

Told are the size of the numbers in single precision, and the time that the page's thread computes: until the page stands, for a step with all that is shown
(the mean of twenty), for a search among the words. It is the thread's own time, so that a busy machine does not matter."""
import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]/'tests'))
from browser import CHROMIUM, FLAGS, Served                                # noqa: E402

from lm_from_scratch.course.experiments import processor, results_file, save_results, versions  # noqa: E402
from lm_from_scratch.export import page_weights, plain                     # noqa: E402
from lm_from_scratch.play import page_files                                # noqa: E402
from lm_from_scratch.runs import Settings, build_model                     # noqa: E402

SIZES = (1000, 64, 1), (4000, 200, 2), (10_000, 200, 2), (10_000, 400, 2), (10_000, 650, 2)  # words, units, layers
STEP = "() => new Promise(done => { document.querySelector('.lmp-write button').click(); requestAnimationFrame(() => setTimeout(done)) })"
FIND = """k => new Promise(done => {
  const find = document.querySelector('#lmp-find');
  find.value = 'd9' + k; find.dispatchEvent(new Event('input')); requestAnimationFrame(() => setTimeout(done));
})"""


def measured(browser, n_words, n_hidden, n_layers):
    model = build_model(Settings(tokens='words', n_hidden=n_hidden, n_layers=n_layers), n_words).eval()
    p, vocab = plain(model), ['<unk>', *(f'word{i}' for i in range(1, n_words))]
    entry = dict(cell=p.cell, tied=p.tied, title='untrained', facts='', weights=page_weights(p, full=True))
    data = json.dumps(dict(vocab=vocab, temperature=.8, tokens=dict(kind='words', unk='<unk>'), models=dict(run=entry)))
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**page_files(), 'models.json': data}.items(): (Path(folder)/name).write_text(text, encoding='utf-8')
        with Served(folder) as url:
            page = browser.new_page()
            cdp = page.context.new_cdp_session(page)
            cdp.send('Performance.enable', dict(timeDomain='threadTicks'))
            def spent(): return {m['name']: m['value'] for m in cdp.send('Performance.getMetrics')['metrics']}['TaskDuration']
            def cost(script, n):
                page.evaluate(script, 0)
                start = spent()
                for k in range(n): page.evaluate(script, k % 10)
                return round(1000*(spent()-start)/n, 1)
            page.goto(f'{url}/demo.html')
            page.wait_for_selector('.lmp-bars button', timeout=120_000)
            row = dict(words=n_words, n_hidden=n_hidden, n_layers=n_layers, parameters=sum(w.numel() for w in model.parameters()), mb=round(len(data)/1e6, 1),
                       load_s=round(spent(), 2), step_ms=cost(STEP, 20), find_ms=cost(FIND, 10))
            page.close()
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--store', action='store_true', help="write the rows to the course's results")
    args = parser.parse_args()
    if not CHROMIUM: sys.exit("This needs Chromium.")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser, rows = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS), []
        for sizes in SIZES:
            rows.append({**measured(browser, *sizes), 'browser': f'Chromium {browser.version}', 'processor': processor(),
                         'command': 'python benchmarks/page_size.py --store', **versions()})
            print({k: v for k, v in rows[-1].items() if k not in ('command', *versions())}, flush=True)
        browser.close()
    if args.store: save_results(rows, results_file('page_size'))


if __name__ == '__main__': main()
