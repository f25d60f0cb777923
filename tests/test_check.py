"The checkers of the exercises, checked: right answers pass, and each wrong one (a mutant) is told what is wrong with it."
import pytest, torch, torch.nn.functional as F
from torch import nn
from answers import MUTANTS, RIGHT, load_all
from lm_from_scratch import check
from lm_from_scratch.check import CHECKERS, CheckFailed, core

load_all()

def label(f): return getattr(f, 'label', None) or getattr(f, '__name__', type(f).__name__)
@pytest.mark.parametrize('name', CHECKERS)
def test_right_answers_pass(name, capsys):
    for answer,kwargs in RIGHT[name]: getattr(check, name)(answer, **kwargs)
    assert capsys.readouterr().out == f'passed: {name}\n'*len(RIGHT[name])

@pytest.mark.parametrize('name', CHECKERS)
def test_kills(name, capsys):
    "Every checker has three mutants or more, the notes' own among them, and tells each what is wrong with it: a row of the kill matrix."
    mutants,lines,verdicts = [m for m in MUTANTS if m[0] == name],[],set()
    for _,answer,says,notes,kwargs in mutants:
        with pytest.raises(CheckFailed) as e: getattr(check, name)(answer, **kwargs), print(f'{label(answer)} SURVIVES')
        verdict = str(e.value)
        assert says in verdict and core._cannot not in verdict, f'{label(answer)}: {verdict}'
        assert isinstance(e.value, AssertionError) and isinstance(e.value, ValueError)
        verdicts.add(verdict); lines.append(f"{name:<22}{label(answer):<26}{'notes' if notes else '':<7}{verdict[:120]}")
    with capsys.disabled(): print('\n' + '\n'.join(lines))
    assert len(verdicts) >= 3
    assert not CHECKERS[name] or any(notes for *_,notes,_ in mutants) # a row of the errata: the notes' own mistake

def test_random_numbers_are_left_alone():
    torch.manual_seed(3); a = torch.rand(3); torch.manual_seed(3); check.loss(F.cross_entropy); assert torch.equal(a, torch.rand(3))

def test_an_answer_is_run_on_changing_input():
    "An answer that remembers what it was told for one input does not pass."
    first = []
    def remembers(s, y):
        first.append(F.cross_entropy(s, y)); return first[0]
    check.loss(F.cross_entropy)
    torch.manual_seed(0); remembers(torch.randn(2, 3), torch.tensor([0, 1]))
    with pytest.raises(CheckFailed): check.loss(remembers)

def test_references_agree_with_torch():
    "The formulas written out by hand, against PyTorch's and fastai's own."
    torch.manual_seed(0)
    lstm,x = nn.LSTM(5, 4, 2, batch_first=True).double(),torch.randn(3, 6, 5).double()
    assert torch.allclose(core._lstm_layers(lstm, x, None)[0], lstm(x)[0], atol=1e-12)
    w = torch.randn(9).double(); p = nn.Parameter(w.clone())
    opt = torch.optim.AdamW([p], lr=.05, betas=(.9, .99), eps=1e-5, weight_decay=.4)
    from fastai.optimizer import Adam
    q = nn.Parameter(w.clone()); fopt = Adam([q], lr=.05, mom=.9, sqr_mom=.99, eps=1e-5, wd=.4)
    avg = sqr = torch.zeros_like(w)
    for t in (1, 2, 3, 4):
        grad = torch.randn_like(w); p.grad,q.grad = grad.clone(),grad.clone(); opt.step(); fopt.step()
        w,avg,sqr = core._adam(w, grad, avg, sqr, t, .05, .05*.4)
        assert torch.allclose(w, p.detach(), atol=1e-9) and torch.allclose(w, q.detach(), atol=1e-6)
