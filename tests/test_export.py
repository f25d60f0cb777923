"Exports: every kind of model as plain matrices, run by onnxruntime, TorchScript, torch.export and the page, equal to the run itself."
import errno
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_playground import NODE, PAGE
from test_runs import small
from typer.testing import CliRunner

from lm_from_scratch import export, runs
from lm_from_scratch.cli import app
from lm_from_scratch.copying import scores_of
from lm_from_scratch.errors import LMError
from lm_from_scratch.export import TOLERANCE, Step, difference, export_run, onnx_answer, onnx_graph, packed, page_data, plain
from lm_from_scratch.lstm import LSTMCell
from lm_from_scratch.multilayer import LanguageModel, Recurrent
from lm_from_scratch.regularization import Dropout
from lm_from_scratch.runs import Settings, build_model, load_run
from lm_from_scratch.state import lent

DROPPED = dict(dropout=.3, drop_inputs=.2, drop_between=.2, drop_weights=.3, drop_words=.1)
KINDS = {'lstm': {}, 'lstm-3': dict(n_layers=3), 'every-dropout': dict(n_layers=2, **DROPPED), 'untied': dict(tie_weights=False), 'n_emb': dict(tie_weights=False, n_emb=5),
         'sampled': dict(sampled=True), 'gru': dict(rnn='gru', drop_words=.1), 'gru-2': dict(rnn='gru', n_layers=2, tie_weights=False, n_emb=9), 'rnn': dict(rnn='rnn', n_layers=2),
         'relu': dict(rnn='relu', tie_weights=False, n_emb=7)}


class Fake:
    "A run without a folder: a model of random weights, all biases among them."
    folder, history, best, config = ROOT/'a run', [], None, {}
    def __init__(self, **settings):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = build_model(Settings(**{'tokens': 'words', 'n_hidden': 12, 'n_layers': 1, **settings}), 23).eval()
            for n, p in self.model.named_parameters():
                if 'bias' in n: torch.nn.init.normal_(p, std=.5)
        self.plain = plain(self.model)


@pytest.fixture(params=KINDS)
def kind(request): return Fake(**KINDS[request.param])


@pytest.fixture(scope='module')
def made(tmp_path_factory): return small(tmp_path_factory.mktemp('export')/'run')


def test_plain_matrices_are_the_model(kind):
    step = Step(kind.plain)
    assert difference(kind, lambda ids, state: step(ids, *state), kind.plain, (1, 9, 40)) <= 1e-6


def test_the_difference_sees_a_wrong_weight(kind):
    "Each matrix counts: the comparison fails where one of them is a little off."
    p = kind.plain
    for w in [p.embedding, p.bias, p.decoder, *(w for ws in p.layers for w in ws)]:
        w[0] += .01
        step = Step(p)
        assert difference(kind, lambda ids, state: step(ids, *state), p, (9, 9, 9)) > TOLERANCE
        w[0] -= .01


@pytest.mark.parametrize('length, asked', [(1, (1, 1, 1)), ('length', (1, 7, 30))])
def test_onnx(kind, length, asked):
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    graph = onnx_graph(kind.plain, length)
    answer = onnx_answer(graph.SerializeToString())
    assert difference(kind, answer, kind.plain, asked) <= TOLERANCE
    names = [[v.name for v in vs] for vs in (graph.graph.input, graph.graph.output)]
    assert names[0] == ['ids', *kind.plain.states] and names[1] == ['scores', *(f'new_{s}' for s in kind.plain.states)]
    assert sum(np.prod(i.dims) for i in graph.graph.initializer if i.data_type == 1) == sum(p.numel() for p in kind.model.parameters())     # nothing is there twice


def test_step_by_step_is_the_sequence():
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    run = Fake(n_layers=2)
    step, whole = (onnx_answer(onnx_graph(run.plain, n).SerializeToString()) for n in (1, 'length'))
    ids, state = torch.randint(23, (2, 12)), [torch.randn(2, 2, 12) for _ in 'hc']
    want, found = whole(ids, state), []
    for k in range(12):
        scores, *state = step(ids[:, k:k+1], [torch.as_tensor(s) for s in state])
        found.append(scores)
    assert np.abs(np.concatenate(found, 1) - want[0]).max() <= TOLERANCE and np.abs(state[0] - want[1]).max() <= TOLERANCE


READ = '''
import { readFileSync } from "node:fs";
const m = await import(%s), given = JSON.parse(readFileSync(0, "utf8"));
const out = given.entries.map(entry => {
  const reader = new m.Reader(m.makeModel(entry));
  for (const id of given.ids) reader.read(id);
  return Array.from(reader.predict().scores);
});
process.stdout.write(JSON.stringify(out));''' % json.dumps((PAGE/'model.js').as_uri())


@pytest.mark.skipif(not NODE, reason="NOT TESTED: the page's arithmetic on runs (node is missing)")
def test_the_page_computes_what_python_computes():
    "Single precision to 1e-5, half as near as its weights are; a matrix that is tied is stored once."
    runs, ids = [Fake(**how) for how in KINDS.values()], [3, 0, 22, 7, 7, 1]*4
    entries = [dict(cell=r.plain.cell, weights=export.page_weights(r.plain, full)) for r in runs for full in (True, False)]
    out = subprocess.run([NODE, '--input-type=module', '-e', READ], input=json.dumps(dict(entries=entries, ids=ids)), capture_output=True, text=True, encoding='utf-8')
    assert not out.returncode, out.stderr
    for run, full, rough in zip(runs, *[iter(json.loads(out.stdout))]*2):
        with lent(run.model) as m, torch.no_grad(): want = scores_of(m(torch.tensor([ids])))[0, -1].numpy()
        assert np.abs(want - full).max() <= 1e-5 < np.abs(want - rough).max() < .02
        assert ('h_o.weight' in export.page_weights(run.plain)) != run.plain.tied


def test_what_half_precision_cannot_hold():
    with pytest.raises(LMError, match='too large for half precision.*--full'): packed(torch.tensor([7e4]))
    assert packed(torch.tensor([7e4]), full=True)['dtype'] == 'float32'


@pytest.mark.parametrize('layers', [torch.nn.LSTM(4, 4, batch_first=True, bias=False), torch.nn.LSTM(4, 2, batch_first=True, bidirectional=True), Recurrent(LSTMCell, 4, 4)])
def test_a_model_of_another_kind_is_told(layers):
    model = LanguageModel(10, 4, rnn=lambda *sizes: layers)
    with pytest.raises(LMError, match='Only a LanguageModel whose layers are'): plain(model)
    with pytest.raises(LMError, match='not NoneType'): plain(Dropout())


@pytest.mark.filterwarnings('ignore')
def test_where_pytorch_has_no_way_out():
    "What the notebook says of `torch.jit.script` and of lengths in `torch.export`; where a newer PyTorch can do it, say so there and write more."
    step, bs, length = Step(Fake().plain), torch.export.Dim('bs'), torch.export.Dim('length')
    inputs = torch.zeros(3, 5, dtype=torch.long), *(torch.zeros(1, 3, 12) for _ in 'hc')
    with pytest.raises(Exception, match="variable number of arguments"): torch.jit.script(step)
    with pytest.raises(Exception, match='specialized it to be a constant'):
        torch.export.export(step, inputs, dynamic_shapes=({0: bs, 1: length}, ({1: bs}, {1: bs})))


# ---- a run, to files and back

@pytest.fixture(scope='module')
def exported(made, tmp_path_factory):
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    out = tmp_path_factory.mktemp('exported')/'deep'/'out'
    return out, export_run(made, out, onnx=True, torchscript=True, program=True, page=True)


def test_all_of_it(made, exported):
    out, files = exported
    assert sorted(f.name for f in out.iterdir()) == ['README.md', 'export.json', 'models.json', 'sequence.onnx', 'sequence.ts', 'step.onnx', 'step.pt2', 'tokenizer.json']
    assert all(f['difference'] <= TOLERANCE for f in files.values() if f)
    about, p = json.loads((out/'export.json').read_text()), plain(made.model)
    assert about['files'] == files and about['n_words'] == len(made.vocab) and about['begin'] == [made.vocab['.']]
    assert files['step.onnx']['inputs'] == dict(ids=['bs', 1], h=[1, 'bs', 12], c=[1, 'bs', 12]) and files['sequence.onnx']['outputs']['scores'] == ['bs', 'length', len(made.vocab)]
    for file, load in (('sequence.ts', torch.jit.load), ('step.pt2', lambda f: torch.export.load(f).module())):
        again = load(out/file)
        assert difference(made, lambda ids, state: again(ids, *state), p) <= TOLERANCE
    assert difference(made, onnx_answer((out/'sequence.onnx').read_bytes()), p, (3, 5, 50)) <= TOLERANCE
    assert (out/'tokenizer.json').read_text() == made.vocab.json


def test_the_example_of_the_readme_writes_what_the_run_writes(made, exported):
    code = (exported[0]/'README.md').read_text().split('```python\n')[1].split('```')[0]
    out = subprocess.run([sys.executable, '-c', code], cwd=exported[0], capture_output=True, text=True)
    assert not out.returncode, out.stderr
    assert out.stdout.strip() == made.generate('.', 30, temperature=0)


@pytest.mark.parametrize('tokens, more', [('chars', {}), ('bpe', dict(max_words=280)), ('punctuation', dict(eos='<eos>'))])
def test_words_of_every_kind(tmp_path, tokens, more):
    run = small(tmp_path/'run', 'One, two: "three"!\nfour – five\n'*40, tokens=tokens, steps=2, evaluations=1, **more)
    data = page_data(run)
    assert data['tokens']['kind'] == tokens and data['vocab'] == list(run.vocab) and bool(data['tokens'].get('merges')) == (tokens == 'bpe')
    files = export_run(run.folder, page=True)
    assert list(files) == ['models.json'] and json.loads((run.folder/'export'/'models.json').read_text()) == data


def test_an_export_that_is_wrong_is_not_kept(made, tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    monkeypatch.setitem(export.GATES, 'lstm', (0, 1, 2, 3))
    with pytest.raises(LMError, match='step in ONNX of .* answers otherwise than the run itself .*; it was not written'): export_run(made, tmp_path/'a', onnx=True)
    assert not list((tmp_path/'a').iterdir())


def test_without_onnx_there_is_a_sentence(made, tmp_path, monkeypatch):
    for name in ('onnx', 'onnxruntime'):
        with monkeypatch.context() as m:
            m.setitem(sys.modules, name, None)
            with pytest.raises(LMError, match=rf"needs the package {name}, .*pip install 'lm-from-scratch\[export\]'"): export_run(made, tmp_path/'a', onnx=True, page=True)
            assert not (tmp_path/'a').exists()


def test_the_extra_is_declared():
    assert 'export_requirements = onnx' in (ROOT/'settings.ini').read_text() and "'export': cfg['export_requirements']" in (ROOT/'setup.py').read_text()


# ---- the shell

def shell(*args): return CliRunner().invoke(app, list(map(str, args)), env={'COLUMNS': '100', '_TYPER_FORCE_DISABLE_TERMINAL': '1'})


def test_from_the_shell(made, tmp_path):
    run = tmp_path/'run'
    shutil.copytree(made.folder, run)
    out = shell('export', run, '--json', '--full')
    assert out.exit_code == 0 and str(run/'export'/'models.json') in out.output and 'README.md' in out.output
    assert json.loads((run/'export'/'models.json').read_text())['models']['run']['weights']['h_o.bias']['dtype'] == 'float32'
    assert load_run(run, 'cpu').generate('one', 3, seed=0)               # the run is still a run


@pytest.mark.parametrize('args, said', [
    (['nowhere', '--json'], 'There is no run at nowhere'), (['run'], 'Say what to write: --onnx'), (['run', '--full'], '--program, --json, or several'),
    (['run', '--json', '--out', 'file'], 'file cannot be written'), (['run', '--json', '--out', 'file/deep'], 'cannot be written'), (['empty', '--onnx'], 'no config.json')])
def test_a_mistake_is_one_sentence(made, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.folder, tmp_path/'run')
    (tmp_path/'file').write_text('x')
    (tmp_path/'empty').mkdir()
    out = shell('export', *args)
    assert isinstance(out.exception, LMError) and said in str(out.exception) and '\n' not in str(out.exception)


def test_help_does_not_wait_for_torch():
    code = ("import sys; from lm_from_scratch.cli import app\nfor c in ('export', 'play'):\n  try: app([c, '--help'])\n  except SystemExit: pass\n"
            "assert not {'torch', 'fastai', 'pandas', 'onnx', 'numpy'} & set(sys.modules)")
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


# ---- by part

def test_evaluated_by_part(made):
    whole, one = made.evaluate(), made.evaluate(part='train')
    assert list(whole) == ['valid'] and list(one) == ['train'] and one['train'].tokens > 5*whole['valid'].tokens
    assert made.evaluate(part='valid')['valid'].nats == whole['valid'].nats
    out = shell('evaluate', made.folder, '--part', 'train', '--json')
    assert json.loads(out.stdout)['part'] == 'train'
    for how, said in ((dict(part='test'), "no part 'test'"), (dict(part='vaild'), "did you mean 'valid'"), (dict(part='train', text=['one .']), 'leave out the part, or the text')):
        with pytest.raises(LMError, match=said): made.evaluate(**how)


def test_a_second_export_goes_beside_the_first_one(made, tmp_path):
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    run, out = tmp_path/'run', tmp_path/'out'
    shutil.copytree(made.folder, run)
    export_run(run, out, onnx=True)
    assert set(export_run(run, out, page=True)) == {'step.onnx', 'sequence.onnx', 'models.json'} == set(json.loads((out/'export.json').read_text())['files'])
    model = load_run(run, 'cpu').model                                   # trained on: what was exported before is of other weights
    with torch.no_grad(): model.h_o.bias.add_(1.)
    runs.write_tensors(run/'model.safetensors', runs.weights_of(model), dict(step=1, valid_loss=1.))
    assert set(export_run(run, out, page=True)) == {'models.json'} and not (out/'step.onnx').exists()


def test_old_files_stay_until_the_new_ones_are_there(made, tmp_path, monkeypatch):
    "The disk is full in the middle of an export of other weights: what was there is still there, and told as it was."
    run, out = tmp_path/'run', tmp_path/'out'
    shutil.copytree(made.folder, run)
    export_run(run, out, page=True)
    model = load_run(run, 'cpu').model
    with torch.no_grad(): model.h_o.bias.add_(1.)
    runs.write_tensors(run/'model.safetensors', runs.weights_of(model), dict(step=1, valid_loss=1.))
    before = {f.name: f.read_bytes() for f in out.iterdir()}
    def full(*args): raise OSError(errno.ENOSPC, 'full')
    with monkeypatch.context() as m:
        m.setattr('os.fsync', full)
        with pytest.raises(LMError, match='the disk is full; what it held is still there'): export_run(run, out, torchscript=True)
    assert {f.name: f.read_bytes() for f in out.iterdir()} == before
    assert set(export_run(run, out, torchscript=True)) == {'sequence.ts'} and not (out/'models.json').exists()


def test_a_file_of_the_same_name_is_not_taken_away(made, tmp_path):
    pytest.importorskip('onnxruntime', reason="NOT TESTED: exports to ONNX (onnxruntime is missing)")
    (tmp_path/'models.json').write_text('mine')
    export_run(made, tmp_path, onnx=True)
    assert (tmp_path/'models.json').read_text() == 'mine'


@pytest.mark.parametrize('there', ['README.md', 'notes.txt'])
def test_other_files_are_left_alone(made, tmp_path, there):
    (tmp_path/there).write_text('mine')
    with pytest.raises(LMError, match=f'holds other files \\({there}\\): choose another one'): export_run(made, tmp_path, page=True)
    with pytest.raises(LMError, match='holds other files'): export_run(made, made.folder, page=True)
    assert [f.name for f in tmp_path.iterdir()] == [there] and (tmp_path/there).read_text() == 'mine'
