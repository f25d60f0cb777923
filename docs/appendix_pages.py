"Appendix pages that are made, not written: how to cite, from CITATION.cff, and all results, from the results files."
import re
import sys
from pathlib import Path

import pandas as pd
import yaml

from lm_from_scratch.course.afters import after_table, after_verdicts, chars_table, counted_table
from lm_from_scratch.course.claims import show_claim
from lm_from_scratch.course.copies import adapted_table, copying_table
from lm_from_scratch.course.experiments import load_results, load_rows, results_file
from lm_from_scratch.course.ladder import ladder_table
from lm_from_scratch.course.texts import gains_table, text_table

root = Path(__file__).resolve().parent.parent


def bibtex(cff):
    "A BibTeX entry from the fields of a CITATION.cff."
    names = [a.get('name') and '{' + a['name'] + '}' or f"{a['family-names']}, {a['given-names']}" for a in cff['authors']]
    fields = dict(author=' and '.join(names), title='{' + cff['title'] + '}', version=cff.get('version'), doi=cff.get('doi'),
                  year=str(cff['date-released'])[:4] if 'date-released' in cff else None, url=cff.get('url') or cff.get('repository-code'), note=cff.get('license'))
    width = max(map(len, fields))
    lines = [f'  {k:<{width}} = {{{v}}},' for k, v in fields.items() if v]
    return '\n'.join(['@software{' + re.sub(r'\W+', '_', cff['title'].lower()).strip('_') + ',', *lines, '}'])


def citation():
    "What stands for {{citation}} in appendix/cite.md."
    cff = yaml.safe_load((root/'CITATION.cff').read_text(encoding='utf-8'))
    return f"{cff['message']}\n\n```bibtex\n{bibtex(cff)}\n```"


def citation_page():
    "appendix/cite.md with the citation filled in."
    return (root/'docs/appendix/cite.md').read_text(encoding='utf-8').replace('{{citation}}', citation())


def table(df): return df.to_markdown(index=False, disable_numparse=True)


def made_by(name):
    "The commands, versions, runs and seeds behind a results file."
    t = pd.DataFrame(load_rows(results_file(name)))
    versions = [f'{k} {", ".join(sorted(t[k].astype(str).unique()))}' for k in ('lm_from_scratch', 'torch', 'fastai', 'python', 'processor') if k in t]
    each = sorted(t.groupby(next(c for c in ('recipe', 'contestant', 'name') if c in t)).seed.nunique().unique()) if 'seed' in t else []
    seeds = f", {' or '.join(map(str, each))} seeds each" if each else ''
    commands = '\n'.join(sorted(t.command.unique()))
    return f"Made by\n\n```text\n{commands}\n```\n\n{len(t)} rows{seeds}; {'; '.join(versions)}. The file is `lm_from_scratch/course/results/{name}.jsonl`."


def speed_table():
    "Time of a training step of each LSTM, as a multiple of nn.LSTM's; a column a number of threads."
    t = load_results('lstm_speed')
    sizes = ['bs', 'seq_len', 'n_hidden', 'n_layers']
    out = t.pivot_table(index=[*sizes, 'name'], columns='threads', values='ratio', sort=False)
    out.columns = [f'{c} thread{"s" if c > 1 else ""}' for c in out.columns]
    return table(out.map(lambda v: '–' if v != v else f'{v:.2f}').reset_index().rename(columns=dict(name='LSTM')))


def loop_table():
    "Epochs of Human Numbers, as a share of the model's own speed."
    t = load_results('loop_speed')
    speeds = t[t.part.isna()].pivot(index='loop', columns='case', values='speed').loc[['model only', 'lean loop', 'Learner']]
    return table(speeds.map('{:.2f}'.format).reset_index().rename(columns=dict(loop='training by')))


def ladder_cpu_table():
    "CPU seconds of one seed of each rung, before the lean loop and now."
    t = load_results('ladder_cpu')[['rung', 'before', 'now']]
    t = pd.concat([t, pd.DataFrame([dict(rung='all', before=t.before.sum(), now=t.now.sum())])])
    return table(t.assign(ratio=(t.now/t.before).map('{:.2f}'.format), before=t.before.map('{:.1f}'.format), now=t.now.map('{:.1f}'.format)))


def text_size_table():
    "A text of any size, tokenized once: what that takes, and what a batch of it costs then."
    t = load_results('text_size')
    return table(pd.DataFrame({'text, MB': t.mb, 'tokens': t.tokens.map('{:,}'.format), 'MB a CPU second': t.mb_per_cpu_second,
                               'peak memory, MB': t.peak_mb, 'a batch, µs': t.batch_us}))


def text_speed_table():
    "Training on the Penn Treebank: tokens a second, and as a share of a bare loop's."
    t = load_results('text_speed')
    return table(pd.DataFrame({'training by': t.loop, 'tokens a CPU second': t.tokens_a_second.map('{:,}'.format), "of the bare loop's": t.of_bare.map('{:.2f}'.format)}))


def sizes_table():
    "Sizes of the tool, with the same CPU seconds on the same text."
    t = load_results('sizes')
    return table(pd.DataFrame({'size': t['size'], 'rate': t.lr, 'CPU s': t.cpu_seconds.map('{:.0f}'.format), 'parameters': t.parameters.map('{:,}'.format),
                               'tokens read': t.tokens.map('{:,}'.format), 'bits a byte': t.bits_per_byte.map('{:.3f}'.format)}))


def page_size_table():
    "What the playground's page bears: models by size, in a browser."
    t = load_results('page_size')
    return table(pd.DataFrame({'words': t.words.map('{:,}'.format), 'units': t.n_hidden, 'layers': t.n_layers, 'parameters': t.parameters.map('{:,}'.format),
                               'file, MB': t.mb, 'until it stands, CPU s': t.load_s, 'a step, ms': t.step_ms, 'a search, ms': t.find_ms}))


def after_speed_tables():
    "A scan as a multiple of nn.GRU's time, by length; milliseconds for one more word, by how many stand before it."
    t = load_results('after_speed')
    found = []
    for what, column, form in (('scan', 'ratio', '{:.2f}'), ('word', 'ms', '{:,.1f}')):
        of = t[t.what == what].assign(ms=1000*t.seconds)
        wide = of.pivot(index='name', columns='length', values=column).loc[list(of.name.unique())]
        found.append(table(wide.map(form.format).rename(columns=str).reset_index().rename(columns=dict(name=f'{what}, length'))))
    return found


def scale_table():
    "One process and several, the same rows in all."
    t = load_results('scale_speed').query("part == 'world'")
    return table(pd.DataFrame({'processes': t.ranks.astype(int), 'rows': t.bs.astype(int), 'one, ms a step': t.alone_ms, 'together, ms': t.together_ms,
                               'times as fast': t.speed_up.map('{:.2f}'.format), 'load': t.load}))


def results_page():
    "The page appendix/results."
    parts = [
        '# Results', '> Every figure of the course, with the command that made it. This page is written by the build.',
        '## The ladder', 'Accuracy on the held-out text, mean ± standard deviation over the seeds. [The ladder](../../nbs/31_ladder.ipynb) tells how.', table(ladder_table(load_results())), made_by('ladder'),
        '## The claims', 'Each claim with its interval and verdict. [Claims, audited](../../nbs/32_claims.ipynb) tells how.', table(show_claim()), made_by('claims'),
        '## Copying', 'Ways of training, then ways of adapting while reading. [Copying](../../nbs/10_copying.ipynb) tells how.', table(copying_table()), table(adapted_table()), made_by('copying'),
        '## The LSTM, timed', "Time of a training step, as a multiple of `nn.LSTM`'s" + '. [A fast LSTM](../../nbs/23_fast_lstm.ipynb) tells how.', speed_table(), made_by('lstm_speed'),
        '## The training loop, timed', "Speed, as a share of the model's own: forward, backward and a fused step. [Training](../../nbs/21_training.ipynb) tells how.", loop_table(), made_by('loop_speed'),
        '## The ladder, timed', 'CPU seconds of one seed of each rung: before the lean loop (commit 717144d), and now.', ladder_cpu_table(), made_by('ladder_cpu'),
        '## Text', "Trainings on the Penn Treebank and on Shakespeare's characters, each for the same CPU seconds. [Texts](../../nbs/38_texts.ipynb) tells how.", table(text_table()), made_by('texts'),
        '## Text, timed', 'A text of any size, tokenized once into a file. [Tokens](../../nbs/24_tokens.ipynb) tells how.', text_size_table(), made_by('text_size'),
        '## Text, training timed', 'Two tied layers of 200 units, by a bare loop and by learners. [Chapter 12](../../nbs/12_text.ipynb) tells how.', text_speed_table(), made_by('text_speed'),
        '## Sizes', "What each size of `train` gets out of the same CPU seconds. [Settings](../../nbs/27_settings.ipynb) tells how.", sizes_table(), made_by('sizes'),
        '## Processes, timed', 'A step by one process, and by several with the same rows. [Chapter 13](../../nbs/13_scale.ipynb) tells how.', scale_table(), made_by('scale_speed'),
        '## The playground, timed', "Models of several sizes in the page that `lm-from-scratch play` opens. [Play](../../nbs/41_play.ipynb) tells how.", page_size_table(), made_by('page_size'),
        '## What came after', 'The models of chapter 14: on Human Numbers at equal size, how far they count on, the verdicts. [What came after, measured](../../nbs/39_afters.ipynb) tells how.',
        *map(table, (after_table(), counted_table(), after_verdicts(), chars_table())), made_by('after'),
        '## What came after, timed', "A scan, forward and backward, as a multiple of `nn.GRU`'s time; then one more word, in milliseconds. [What became of it?](../../nbs/14_after.ipynb) tells how.",
        *after_speed_tables(), made_by('after_speed')]
    return '\n\n'.join(parts) + '\n'


if __name__ == '__main__':
    sys.stdout.reconfigure(encoding='utf-8')
    print(citation_page())
    print(results_page())


def without_gain():
    "What was tried to make a step faster, and did not: how many times as fast, on each processor."
    t = load_results('scale_speed').query("part == 'remedy'")
    kinds = t.pivot(index='name', columns='processor', values='gain').rename(columns=lambda name: name.split()[0])
    slower = kinds[(kinds.fillna(0) < 1).any(axis=1)].map(lambda v: '–' if v != v else f'{v:.2f}')
    return slower.reset_index().rename(columns=dict(name='times as fast with'))


def failed_page():
    "The page appendix/failed."
    claims, columns = show_claim(), ['claim', 'difference', '95 % interval', 'verdict', 'seeds']
    gains, after = pd.concat([gains_table('part', 'part-none'), gains_table('part-past', 'part-softmax'), gains_table('descent', 'descent-constant')]), after_verdicts()
    gains = gains[~gains.training.str.startswith('−')]   # there a part of ours is left out
    def short(df, by): return df[~df[by].isin(['supported', 'not measured', '–'])]
    parts = [
        '# What did not work', '> What was tried here and did not help, or not by more than luck. This page is written by the build, from the rows that the other tables are made of.',
        'A line that says *unclear* is no proof that a thing does not help: its interval has room for a gain and for a loss. It says that so many seeds have not shown it.',
        '## On Human Numbers', 'Claims of the literature, and our own, put to the test. [Claims, audited](../../nbs/32_claims.ipynb) has all of them.', table(short(claims, 'verdict')[columns]),
        '## On real text', 'Parts of AWD-LSTM and of its relatives, each added to our way of training on the Penn Treebank, for a minute of CPU time; and means of the last weights, added to plain gradient descent, for two. Gains are in nats a word. '
        '[Texts](../../nbs/38_texts.ipynb) has all of them.', table(short(gains, 'helps')),
        '## What came after', 'Attention and recurrences that run as a scan. [What came after, measured](../../nbs/39_afters.ipynb) has all verdicts.', table(short(after, 'verdict')),
        '## To be faster', 'What was to shorten a step of training, and did not, by the kind of processor. [Chapter 13](../../nbs/13_scale.ipynb) has all remedies.', table(without_gain())]
    return '\n\n'.join(parts) + '\n'
