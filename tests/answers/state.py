"Answers to the exercises of chapter 2, the state."
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from lm_from_scratch.nword import LoopRNN
from lm_from_scratch.state import StatefulRNN
from answers import mutant, right, wrong
from answers.core import Carries, steps

def states(model, xs, reset=True): # the state after each batch
    if reset: model.reset()
    hs = []
    for x in xs: model(x); hs.append(model.h)
    return hs

# ---- 2.1 silent units
def share(h): return (h == 0).double().mean()
def by_hand(model, xs):
    h,res = 0,[]
    for x in xs:
        for w in x.t(): h = torch.relu(model.h_h(h + model.i_h(w)))
        res.append(float((h == 0).sum())/h.numel())
    return np.array(res)
right('silent_units', lambda m,xs: [share(h).item() for h in states(m, xs)], lambda m,xs: torch.stack([share(h) for h in states(m, xs)]),
    lambda m,xs: [round(share(h).item(), 2) for h in states(m, xs)], by_hand)
def silent(name, says, f, **kwargs): wrong('silent_units', says, lambda m,xs: [f(h) for h in states(m, xs, **kwargs)], name)
silent('speaking', 'units that speak', lambda h: (h > 0).double().mean())
silent('no reset', 'model.reset()', share, reset=False)
silent('row 0', 'only row 0', lambda h: share(h[0]))
silent('dead', 'in every row', lambda h: (h == 0).all(0).double().mean())
silent('small', 'small is not silent', lambda h: (h < .1).double().mean())
silent('tiny', 'small is not silent', lambda h: (h < .01).double().mean())
silent('number', 'how many', lambda h: (h == 0).sum())
silent('units of a row', "a row's units", lambda h: (h == 0).double().sum(1).mean())
silent('percent', 'in percent', lambda h: 100*share(h))
silent('a state', 'every entry of the list', lambda h: h)
silent('each row', 'every entry of the list', lambda h: (h == 0).double().mean(1))
wrong('silent_units', 'not Tensor', lambda m,xs: share(states(m, xs)[-1]), 'the last')
wrong('silent_units', '4 here, not 1', lambda m,xs: [share(states(m, xs)[-1])], 'one')
wrong('silent_units', 'not NoneType', lambda m,xs: None, 'nothing')
wrong('silent_units', 'Before the first batch there is no state', lambda m,xs: [m.reset(), share(m.h.clone())], 'before')
wrong('silent_units', 'A function is wanted', [.5, .5, .5, .5])
wrong('silent_units', 'A function is wanted', None)
@mutant('silent_units', 'read from nothing')
def each_anew(m, xs): return [share(states(m, [x])[0]) for x in xs]

# ---- 2.2 warm start
def read(m, xs): return [m(x) for x in xs]
def gaps(m, before, xs, cold=True, reduce=lambda d: d.abs().max(), what=read):
    if cold: m.reset()
    a = what(m, xs)
    m.reset(); read(m, before)
    return [reduce(b-c) for b,c in zip(what(m, xs), a)]
@torch.no_grad()
def stacked(m, before, xs):
    m.reset(); read(m, before); warm = torch.stack(read(m, xs)); m.reset()
    return (warm - torch.stack(read(m, xs))).abs().amax(dim=(1, 2)).numpy()
right('warm_start', gaps, stacked, guess='first')
right('warm_start', gaps, guess=' First')
for guess,says in {'none': 'may hide it', 'all': 'Nothing old lasts', 'last': 'before the first', 'the middle': "Say 'first'", 0: 'a word, not a number'}.items():
    wrong('warm_start', says, lambda *a: gaps(*a), f'guess {guess}', guess=guess)
def warm(name, says, f): wrong('warm_start', says, f, name, guess='first')
warm('no cold reset', 'happened to hold', lambda *a: gaps(*a, cold=False))
warm('states', 'compare the scores', lambda *a: gaps(*a, what=states_kept))
warm('mean', 'this is the mean', lambda *a: gaps(*a, reduce=lambda d: d.abs().mean()))
warm('signed', 'take `abs()` before', lambda *a: gaps(*a, reduce=lambda d: d.max()))
warm('minus', 'cold minus warm', lambda *a: gaps(*a, reduce=lambda d: (-d).max()))
warm('all in one', 'for each batch of `xs`, not Tensor', lambda *a: max(gaps(*a)))
warm('only the first', '4 here, not 1', lambda *a: gaps(*a)[:1])
def states_kept(m, xs): return [(m(x), m.h)[1] for x in xs]
def same_start(m, before, xs):
    m.reset(); read(m, before); m.reset(); a = read(m, xs); m.reset()
    return [(b-c).abs().max() for b,c in zip(a, read(m, xs))]
warm('the same start', '0 everywhere', same_start)
def anew(m, before, xs):
    m.reset(); cold,res = read(m, xs),[]
    for x,c in zip(xs, cold): m.reset(); read(m, before); res.append((m(x)-c).abs().max())
    return res
warm('warm anew', 'Read `before` once', anew)
def cold_anew(m, before, xs):
    m.reset(); read(m, before); a,res = read(m, xs),[]
    for x,w in zip(xs, a): m.reset(); res.append((m(x)-w).abs().max())
    return res
warm('cold anew', 'the cold reading is reset', cold_anew)

def warm_from_cold(m, before, xs): # no reset between the two readings
    m.reset(); cold = read(m, xs); read(m, before)
    return [(a-b).abs().max() for a,b in zip(read(m, xs), cold)]
warm('no second reset', 'of `before` should start from', warm_from_cold)
def warm_first(m, before, xs): # the warm reading first, from what happened to be there
    read(m, before); a = read(m, xs); m.reset()
    return [(b-c).abs().max() for b,c in zip(a, read(m, xs))]
warm('no first reset', 'of `before` must start from', warm_first)
def goes_on(m, before, xs): # no reset between the warm reading and the other
    m.reset(); read(m, before); a = read(m, xs)
    return [(b-c).abs().max() for b,c in zip(a, read(m, xs))]
warm('goes on', 'goes on where the first one ended', goes_on)
warm('shares', 'these are shares', lambda *a: gaps(*a, what=lambda m,xs: [m(x).softmax(1) for x in xs]))
wrong('warm_start', 'A function is wanted', None, guess='first')
wrong('warm_start', "Say 'first'", gaps, guess=None)

# ---- 2.4 the gradient's reach
def reach(model, xs, found=lambda e: e.grad is not None, reset=True, loss=lambda scores: scores[-1].sum().backward(), remove=True, retain=True):
    embedded = []
    def remember(module, inp, out):
        if retain: out.retain_grad()
        embedded.append(out)
    hook = model.i_h.register_forward_hook(remember)
    if reset: model.reset()
    loss([model(x) for x in xs])
    if remove: hook.remove()
    return [found(e) for e in embedded]
def by_autograd(model, xs): # no hook on the backward pass: which embedded words are in the graph of the last scores?
    embedded = []
    hook = model.i_h.register_forward_hook(lambda m,i,o: embedded.append(o))
    model.reset(); scores = [model(x) for x in xs]; hook.remove()
    return np.array([g is not None for g in torch.autograd.grad(scores[-1].sum(), embedded, allow_unused=True)])
right('gradient_reach', reach, by_autograd, lambda m,xs: reach(m, xs, found=lambda e: e.grad is not None and bool(e.grad.any())), lambda m,xs: [int(r) for r in reach(m, xs)], lambda m,xs: torch.tensor(reach(m, xs)))
def reaching(name, says, **kwargs): wrong('gradient_reach', says, lambda m,xs: reach(m, xs, **kwargs), name)
reaching('inverted', 'changed places', found=lambda e: e.grad is None)
reaching('requires_grad', '`requires_grad` says only', found=lambda e: e.requires_grad)
reaching('no backward', 'Nothing is reached', loss=lambda scores: None)
reaching('no retain_grad', 'Nothing is reached', retain=False)
reaching('hook stays', 'hook.remove()', remove=False)
reaching('all batches', 'the last batch alone', loss=lambda scores: sum(s.sum() for s in scores).backward())
reaching('each batch', 'the last batch alone', loss=lambda scores: [s.sum().backward() for s in scores])
reaching('gradients', 'every entry of the list', found=lambda e: e.grad)
wrong('gradient_reach', 'A function is wanted', [True]*8)
@mutant('gradient_reach', "embedding's weight has one row")
def rows_of_the_weight(m, xs):
    m.zero_grad(); m.reset(); read(m, xs)[-1].sum().backward()
    return [bool(m.i_h.weight.grad is not None and m.i_h.weight.grad[x[:, t]].any()) for x in xs for t in range(x.shape[1])]
@mutant('gradient_reach', '8 here, not 3')
def batches(m, xs): r = reach(m, xs); return [r[0], r[3], r[5]]
@mutant('gradient_reach', 'Words of earlier batches are missed')
def last_batch_only(m, xs): return [False]*5 + reach(m, xs)[5:]
@mutant('gradient_reach', '7 here, not 8')
def eight_words(m, xs): return (reach(m, xs) + [True]*8)[:8]
@mutant('gradient_reach', 'you have')
def guessed(m, xs): return [any(reach(m, xs)[:1])]*5 + [any(reach(m, xs))]*3

# ---- 2.5 a constant state
class Ones(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = torch.ones_like(self.h); return out
class OnesByHand(Carries): # not inherited from `Stateful`
    h = None
    def reset(self): self.h = None
    def forward(self, x):
        h = steps(self, x, 0 if self.h is None else .3); self.h = h.new_full(h.shape, .3)
        return self.h_o(h)
right('constant_state', Ones, OnesByHand)
wrong('constant_state', 'that is a memory', StatefulRNN)
@mutant('constant_state', 'test `memory` fails')
class Zeros(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = torch.zeros_like(self.h); return out
@mutant('constant_state', 'it is missing')
class NoState(LoopRNN):
    def reset(self): pass
@mutant('constant_state', 'no `reset`')
class NoReset(LoopRNN): pass
@mutant('constant_state', 'changes from batch to batch')
class Counts(StatefulRNN):
    def reset(self): self.n,self.h = 0,None
    def forward(self, x): out = super().forward(x); self.n += 1; self.h = torch.full_like(self.h, self.n); return out
@mutant('constant_state', 'not the same twice')
class Noise(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = torch.randn_like(self.h); return out
@mutant('constant_state', 'test `cut` fails')
class WithGraph(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = self.h_h.bias.expand_as(self.h); return out
@mutant('constant_state', 'test `not_saved` fails')
class Saved(StatefulRNN):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.register_buffer('ones', torch.ones(n_hidden))
    def forward(self, x): out = super().forward(x); self.h = self.ones.expand_as(self.h); return out
wrong('constant_state', 'not a model that was made', Ones(7, 5))
wrong('constant_state', 'A class is wanted', None)
@mutant('constant_state', 'whatever the batch size')
class Sixty(StatefulRNN):
    def reset(self): self.h = torch.ones(64, 5).double()
    def forward(self, x): h = self.carried(len(x)); out = self.h_o(steps(self, x, h)); self.reset(); return out
@mutant('constant_state', 'should be a tensor (bs, n_hidden), not tuple')
class Pair(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = (self.h, self.h); return out
@mutant('constant_state', 'wrong number of rows')
class FourRows(Carries):
    def forward(self, x): h = steps(self, x, self.h); self.h = torch.ones(4, 5).double(); return self.h_o(h)
@mutant('constant_state', 'Something beside `h` is carried')
class Elsewhere(StatefulRNN):
    kept = None
    def reset(self): self.h = self.kept = None
    def forward(self, x): self.h = self.kept; out = super().forward(x); self.kept,self.h = self.h,torch.ones_like(self.h); return out
@mutant('constant_state', 'test `rows` fails')
class MeanRows(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = torch.ones_like(self.h); return out + out.mean(0)
@mutant('constant_state', 'tensor (bs, n_hidden)')
class OneRow(StatefulRNN):
    def forward(self, x): out = super().forward(x); self.h = torch.ones_like(self.h[:1]); return out

# ---- 2.6 two batches
class Two(StatefulRNN):
    words = None
    def reset(self): self.h = self.words = None
    def forward(self, x):
        h = 0 if self.h is None else self.h
        if self.words is not None: h = self.cut(steps(self, self.words, h), x)
        if torch.is_tensor(h): self.h = h.detach()
        self.words = x
        return self.h_o(steps(self, x, h))
    def cut(self, h, x): return h[:len(x)]
class OneSize(Two):
    def cut(self, h, x): return h
wrong('two_batches', 'may have fewer rows', OneSize)
class LastRows(Two):
    def cut(self, h, x): return h[-len(x):]
wrong('two_batches', 'a batch with fewer rows', LastRows)
class Tanh(Two): # another model: steps of its own
    def forward(self, x): return super().forward(x).tanh()
wrong('two_batches', 'differs from what is right', Tanh)
class TwoJoined(nn.Module): # both batches as one longer text; the state is read off on the way
    def __init__(self, n_words, n_hidden): super().__init__(); self.i_h,self.h_h,self.h_o = nn.Embedding(n_words, n_hidden),nn.Linear(n_hidden, n_hidden),nn.Linear(n_hidden, n_words); self.reset()
    def reset(self): self.start,self.words = 0,None
    def forward(self, x):
        both,h = x if self.words is None else torch.cat([self.words[:len(x)], x], 1),self.start
        if torch.is_tensor(h): h = h[:len(x)]
        for t,w in enumerate(both.t()):
            if t and t == both.shape[1]-x.shape[1]: self.start = h.detach()
            h = torch.relu(self.h_h(h + self.i_h(w)))
        self.words = x
        return self.h_o(h)
right('two_batches', Two, TwoJoined)
wrong('two_batches', 'one batch alone', StatefulRNN)
@mutant('two_batches', "Keep the last batch's *words*")
class KeepsGraph(Carries):
    def forward(self, x): self.h = steps(self, x, self.h); return self.h_o(self.h)
@mutant('two_batches', "Keep the last batch's *words*")
class EverySecond(Carries): # cuts at every second batch
    n = 0
    def forward(self, x):
        h = steps(self, x, self.h); self.n += 1
        self.h = h.detach() if self.n % 2 == 0 else h
        return self.h_o(h)
@mutant('two_batches', 'only the last batch is remembered')
class NoStart(Two):
    def forward(self, x): self.h = None; return super().forward(x)
@mutant('two_batches', 'the last batch is read twice')
class Twice(StatefulRNN):
    words = None
    def reset(self): self.h = self.words = None
    def forward(self, x):
        h = 0 if self.h is None else steps(self, self.words, self.h)
        h = steps(self, x, h); self.words = x; self.carry(h)
        return self.h_o(h)
@mutant('two_batches', 'starts from zero again')
class Forgets(LoopRNN):
    def reset(self): pass
wrong('two_batches', 'no `reset`', NoReset)
@mutant('two_batches', 'Forget the state and the words')
class ResetsHalf(Two):
    def reset(self): self.h = None
@mutant('two_batches', 'Forget the state and the words')
class ResetsNothing(Two):
    def reset(self): pass
class Back(StatefulRNN): # goes back through the last n batches
    n = 3
    def reset(self): self.past,self.h = [],None
    def forward(self, x):
        self.past.append(x); h = 0 if self.h is None else self.h
        for k,old in enumerate(self.past):
            if k == len(self.past)-self.n+1 and k: self.h = h.detach()
            h = steps(self, old, h)
        if len(self.past) == self.n: self.past = self.past[1:]
        return self.h_o(h)
wrong('two_batches', 'further than two', Back)
@mutant('two_batches', 'further than two')
class BackAll(StatefulRNN):
    def reset(self): self.past = []
    def forward(self, x): self.past.append(x); return self.h_o(steps(self, torch.cat(self.past, 1), 0))
wrong('two_batches', 'should make a model', lambda *a: None, 'nothing')
wrong('two_batches', 'not a model that was made', Two(7, 5))

# ---- 2.7 eight words
right('eight_words', 'forgets', n_words=7)
right('eight_words', ' Forgets', n_words=torch.tensor(7))
for says,best,n_words in [('with three words', 'remembers', 7), ('what could it gain', 'remembers another row', 7), ("Say 'forgets'", 'the last', 7),
    ('do not decide', 'forgets', 3), ('do not decide', 'forgets', 6), ('fewer would do', 'forgets', 8), ('best_accuracy_given', 'forgets', 20),
    ("Say 'forgets'", None, 7), ('should be a number', 'forgets', 'seven'), ("Say 'forgets'", 7, 'forgets')]: wrong('eight_words', says, best, n_words=n_words)
