"The twelve checkers that guard the rows of the errata."
from functools import partial
import torch, torch.nn.functional as F
from torch import nn
from fastai.text.all import CrossEntropyLossFlat, Learner, ModelResetter, Module, RNNCallback, RNNRegularizer, accuracy, rnn_cbs
from lm_from_scratch.multilayer import LanguageModel
from lm_from_scratch.nword import LoopRNN, UnrolledRNN
from lm_from_scratch.regularization import activation_penalty, temporal_penalty
from lm_from_scratch.state import StatefulRNN
from lm_from_scratch.training import lm_learner
from answers import mutant, right, wrong

# ---- 1 loss
right('loss', F.cross_entropy, CrossEntropyLossFlat(), lambda s,y: -s.softmax(1)[range(len(y)), y].log().mean())
@mutant('loss', '1 - p', notes=True)
def one_minus_p(s, y): return (1 - s.softmax(1)[range(len(y)), y]).mean()
@mutant('loss', 'minus is missing')
def no_minus(s, y): return s.log_softmax(1)[range(len(y)), y].mean()
@mutant('loss', 'logarithm is missing')
def no_log(s, y): return -s.softmax(1)[range(len(y)), y].mean()
@mutant('loss', 'softmax is missing')
def no_softmax(s, y): return -s[range(len(y)), y].mean()
@mutant('loss', 'sum')
def loss_sum(s, y): return F.cross_entropy(s, y, reduction='sum')
@mutant('loss', 'another base')
def log2(s, y): return -s.softmax(1)[range(len(y)), y].log2().mean()
@mutant('loss', 'no gradient')
def loss_detached(s, y): return F.cross_entropy(s.detach(), y)
@mutant('loss', 'should be a tensor')
def loss_float(s, y): return F.cross_entropy(s, y).item()
@mutant('loss', 'goes along the batch')
def softmax_rows(s, y): return -s.softmax(0)[range(len(y)), y].log().mean()
@mutant('loss', 'one sum is taken for all rows')
def one_sum(s, y): return -(s.exp()/s.exp().sum())[range(len(y)), y].log().mean()
@mutant('loss', 'number of words as well')
def mean_of_all(s, y): return -(F.one_hot(y, s.shape[1])*s.log_softmax(1)).mean()
wrong('loss', 'taken twice', lambda s,y: F.cross_entropy(s.softmax(1), y), 'softmax twice')
wrong('loss', 'One word a row', lambda s,y: -s.log_softmax(1)[:, y].mean(), 'all words of each row')
wrong('loss', 'NaN is in it', lambda s,y: -s[range(len(y)), y].log().mean(), 'logarithm of the scores')
@mutant('loss', 'differs from what is right')
def smoothed(s, y): return F.cross_entropy(s, y, label_smoothing=.1)

# ---- 2 embedding
right('embedding', lambda w,i: F.embedding(i, w), lambda w,i: w[i], lambda w,i: F.one_hot(i, len(w)).float() @ w)
@mutant('embedding', 'one-hot encoding alone', notes=True)
def hot_alone(w, i): return F.one_hot(i, len(w)).float()
@mutant('embedding', '*row*')
def columns(w, i): return w.t()[i]
@mutant('embedding', '*row*')
def columns_mod(w, i): return w.t()[i % w.shape[1]] if w.shape[0] == w.shape[1] else w[i]
@mutant('embedding', 'off by one')
def off_by_one(w, i): return w[i-1]
@mutant('embedding', 'shape of the ids is lost')
def flat_ids(w, i): return w[i.flatten()]
@mutant('embedding', 'No gradient')
def emb_detached(w, i): return w.data[i]
@mutant('embedding', 'whole numbers')
def hot_int(w, i): return F.one_hot(i, len(w)) @ w
@mutant('embedding', 'must be told how many words')
def hot_unsized(w, i): return F.one_hot(i).float() @ w
@mutant('embedding', 'without the last word')
def largest_is_last(w, i): return w[torch.where(i == i.max(), len(w)-1, i)]
@mutant('embedding', 'gradient: this differs')
def half_gradient(w, i): return (w[i] + w.detach()[i])/2

# ---- 3 constructor
class LoopPlain(nn.Module):
    def __init__(self, n_words, n_hidden):
        super().__init__()
        self.i_h,self.h_h,self.h_o = nn.Embedding(n_words, n_hidden),nn.Linear(n_hidden, n_hidden),nn.Linear(n_hidden, n_words)
    def forward(self, x):
        h = torch.zeros(len(x), self.h_h.in_features, dtype=self.h_h.weight.dtype)
        for w in x.t(): h = torch.relu(self.h_h(h + self.i_h(w)))
        return self.h_o(h)
right('nword_model', LoopRNN, LoopPlain)
@mutant('nword_model', 'two underscores', notes=True)
class ThreeUnderscores(Module):
    def __init___(self, n_words, n_hidden): self.i_h = nn.Embedding(n_words, n_hidden)
    def forward(self, x): return x
@mutant('nword_model', 'two underscores')
class OneUnderscore(nn.Module):
    def _init_(self, n_words, n_hidden): super().__init__()
@mutant('nword_model', 'no layer `h_h`')
class LocalLayer(Module):
    def __init__(self, n_words, n_hidden): self.i_h = nn.Embedding(n_words, n_hidden); h_h = nn.Linear(n_hidden, n_hidden)  # noqa: F841
@mutant('nword_model', 'no parameters')
class InAList(Module):
    def __init__(self, n_words, n_hidden): self.layers = [nn.Embedding(n_words, n_hidden), nn.Linear(n_hidden, n_words)]
@mutant('nword_model', 'only three words')
class OnlyThree(LoopRNN):
    def forward(self, x): return super().forward(x[:, :3])
@mutant('nword_model', "words that are there")
class ThreeAlways(UnrolledRNN): pass
@mutant('nword_model', 'activation is missing')
class Linear(LoopRNN):
    def forward(self, x):
        h = 0
        for t in range(x.shape[1]): h = self.h_h(h + self.i_h(x[:, t]))
        return self.h_o(h)
@mutant('nword_model', 'scores are wanted')
class Shares(LoopRNN):
    def forward(self, x): return super().forward(x).softmax(1)
@mutant('nword_model', 'not passed on')
class Forgetful(LoopRNN):
    def forward(self, x): return super().forward(x[:, -1:])
@mutant('nword_model', 'last word is left out')
class LeftOut(LoopRNN):
    def forward(self, x): return super().forward(x[:, :max(1, x.shape[1]-1)])
@mutant('nword_model', 'instead of five')
class TwoMatrices(LoopRNN):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.h_h2 = nn.Linear(n_hidden, n_hidden)
@mutant('nword_model', 'differs from what is right')
class Averages(LoopRNN):
    def forward(self, x): return self.h_o(F.relu(self.h_h(self.i_h(x).mean(1))))

for name in ('nword_model', 'stateful_model'): wrong(name, 'should make a model', lambda *args: None, 'makes nothing')

# ---- 4, 5 state
def steps(m, x, h):
    for t in range(x.shape[1]): h = F.relu(m.h_h(h + m.i_h(x[:, t])))
    return h
class Restarts(LoopRNN): # a right answer too: a batch of another size begins anew
    h = None
    def forward(self, x):
        if self.h is None or len(self.h) != len(x): self.h = 0
        h = steps(self, x, self.h); self.h = h.detach()
        return self.h_o(h)
    def reset(self): self.h = None
right('stateful_model', StatefulRNN, Restarts)
class Carries(LoopRNN):
    h = 0
    def reset(self): self.h = 0
@mutant('stateful_model', 'local name', notes=True)
class LocalH(Carries):
    def forward(self, x):
        for i in range(x.shape[1]):
            h = h + self.i_h(x[:, i])  # noqa: F821
            h = F.relu(self.h_h(h))
        out = self.h_o(self.h); self.h = self.h.detach()
        return out
@mutant('stateful_model', 'no `reset`', notes=True)
class NoReset(LoopRNN):
    h = 0
    def forward(self, x): h = steps(self, x, self.h); self.h = h.detach(); return self.h_o(h)
@mutant('stateful_model', 'does not know its batch size', notes=True)
class GlobalBs(Carries):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.h = torch.zeros(bs, n_hidden)  # noqa: F821
@mutant('stateful_model', 'wrong number of rows')
class Fixed64(Carries):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.h = torch.zeros(64, n_hidden)
    def reset(self): self.h = torch.zeros(64, 5)
    forward = NoReset.forward
@mutant('stateful_model', 'wrong number of rows')
class FixedAfterFirst(Carries): forward = NoReset.forward
@mutant('stateful_model', 'wrong number of rows')
class ZeroedInPlace(LoopRNN): # a buffer of 64 rows, which a smaller batch has cut
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.register_buffer('h', torch.zeros(64, n_hidden), persistent=False)
    def reset(self): self.h = self.h*0
    def forward(self, x): h = steps(self, x, self.h[:len(x)]); self.h = h.detach(); return self.h_o(h)
@mutant('stateful_model', 'without its history')
class NoDetach(Carries):
    def forward(self, x): self.h = steps(self, x, self.h); return self.h_o(self.h)
@mutant('stateful_model', 'does not keep its state')
class Constant(Restarts):
    def forward(self, x): self.h = torch.zeros(len(x), 5); return self.h_o(steps(self, x, self.h))
@mutant('stateful_model', 'not the last one')
class OneLate(Restarts):
    def forward(self, x):
        if self.h is None or len(self.h) != len(x): self.h = 0
        h = steps(self, x[:, :-1], self.h); self.h = h.detach()
        return self.h_o(steps(self, x[:, -1:], h))
@mutant('stateful_model', '`reset` does not forget')
class ResetNothing(Restarts):
    def reset(self): pass
@mutant('stateful_model', 'zero_')
class ResetZero(Restarts):
    def reset(self):
        if self.h is not None: self.h.zero()
@mutant('stateful_model', 'cut inside the batch')
class CutInside(Restarts):
    def forward(self, x):
        if self.h is None or len(self.h) != len(x): self.h = 0
        h = steps(self, x[:, :-1], self.h)
        h = steps(self, x[:, -1:], h.detach()); self.h = h.detach()
        return self.h_o(h)
@mutant('stateful_model', 'saved with the weights')
class Buffer(Carries):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.register_buffer('state', torch.zeros(1, n_hidden))
    def forward(self, x):
        h = steps(self, x, self.state[:len(x)] if len(self.state) >= len(x) else torch.zeros(len(x), 5)); self.state = h.detach()
        return self.h_o(h)
    def reset(self): self.state = torch.zeros(1, 5)
@mutant('stateful_model', 'made on the CPU')
class OnCPU(Restarts):
    def forward(self, x):
        if self.h is None or len(self.h) != len(x): self.h = torch.zeros(len(x), 5)
        h = steps(self, x, self.h); self.h = h.detach()
        return self.h_o(h)

# ---- 6 flattening
right('flat_loss', CrossEntropyLossFlat(), lambda p,t: F.cross_entropy(p.transpose(1, 2), t), lambda p,t: F.cross_entropy(p.view(-1, p.shape[-1]), t.reshape(-1)))
@mutant('flat_loss', 'A target is one id', notes=True)
def targets_with_words(p, t): return F.cross_entropy(p.view(-1, p.shape[-1]), t.view(-1, p.shape[-1]))
@mutant('flat_loss', 'different order')
def transposed(p, t): return F.cross_entropy(p.flatten(0, 1), t.t().flatten())
@mutant('flat_loss', 'second axis')
def not_flat(p, t): return F.cross_entropy(p, t)
@mutant('flat_loss', 'nothing complained')
def not_flat_if_it_runs(p, t): return F.cross_entropy(p, t) if p.shape[1] == p.shape[2] else F.cross_entropy(p.flatten(0, 1), t.flatten())
wrong('flat_loss', 'only counts the axes anew', lambda p,t: F.cross_entropy(p.view(len(p), -1, t.shape[1]), t), 'view for transpose')
@mutant('flat_loss', 'sum')
def flat_sum(p, t): return F.cross_entropy(p.flatten(0, 1), t.flatten(), reduction='sum')
@mutant('flat_loss', 'last word')
def last_word(p, t): return F.cross_entropy(p[:, -1], t[:, -1])
@mutant('flat_loss', 'no gradient')
def flat_detached(p, t): return F.cross_entropy(p.detach().flatten(0, 1), t.flatten())

# ---- 10, 11 LSTM cell
class Gates(Module): # four layers; f, i, g, o are asked for by name
    def __init__(self, ni, nh): self.forget_gate,self.input_gate,self.cell_gate,self.output_gate = [nn.Linear(ni+nh, nh) for _ in range(4)]
    def parts(self, x, state):
        hx = torch.cat([state[0], x], dim=1)
        return torch.sigmoid(self.forget_gate(hx)),torch.sigmoid(self.input_gate(hx)),torch.tanh(self.cell_gate(hx)),torch.sigmoid(self.output_gate(hx)),state[1]
    def forward(self, x, state):
        f,i,g,o,c = self.parts(x, state); c = f*c + i*g; h = o*c.tanh()
        return h, (h, c)
class NotesLSTM(Gates): # the notes' cell is right
    def forward(self, input, state):
        h,c = state
        h = torch.cat([h, input], dim=1)
        c = c * torch.sigmoid(self.forget_gate(h))
        c = c + torch.sigmoid(self.input_gate(h)) * torch.tanh(self.cell_gate(h))
        h = torch.sigmoid(self.output_gate(h)) * torch.tanh(c)
        return h, (h,c)
class WordFirst(Gates):
    def parts(self, x, state):
        xh = torch.cat([x, state[0]], dim=1)
        return torch.sigmoid(self.forget_gate(xh)),torch.sigmoid(self.input_gate(xh)),torch.tanh(self.cell_gate(xh)),torch.sigmoid(self.output_gate(xh)),state[1]
class Fused(Module):
    order = 'ifgo'
    def __init__(self, ni, nh): self.i_h,self.h_h = nn.Linear(ni, 4*nh),nn.Linear(nh, 4*nh)
    def forward(self, x, state):
        h,c = state
        p = dict(zip(self.order, (self.i_h(x) + self.h_h(h)).chunk(4, 1)))
        c = p['f'].sigmoid()*c + p['i'].sigmoid()*p['g'].tanh(); h = p['o'].sigmoid()*c.tanh()
        return h, (h, c)
class FusedNoBias(Fused):
    def __init__(self, ni, nh): self.i_h,self.h_h = nn.Linear(ni, 4*nh),nn.Linear(nh, 4*nh, bias=False)
class OneLayer(Fused):
    def __init__(self, ni, nh): self.gates = nn.Linear(ni+nh, 4*nh)
    def forward(self, x, state):
        h,c = state
        p = dict(zip(self.order, self.gates(torch.cat([h, x], 1)).chunk(4, 1)))
        c = p['f'].sigmoid()*c + p['i'].sigmoid()*p['g'].tanh(); h = p['o'].sigmoid()*c.tanh()
        return h, (h, c)
class Torch(nn.LSTMCell):
    def forward(self, x, state): h,c = super().forward(x, state); return h, (h, c)
right('lstm_cell', Gates, NotesLSTM, WordFirst, Fused, FusedNoBias, OneLayer, Torch)
@mutant('lstm_cell', 'torch.cat', notes=True)
class Stacks(Gates):
    def parts(self, x, state): return super().parts(x[:, :0], (torch.stack([state[0], x], dim=1), state[1]))
@mutant('lstm_cell', 'changed places: the forget gate')
class Swapped(Gates):
    def parts(self, x, state): f,i,g,o,c = super().parts(x, state); return i,f,g,o,c
@mutant('lstm_cell', 'a tanh is missing')
class NoTanh(Gates):
    def forward(self, x, state): f,i,g,o,c = self.parts(x, state); c = f*c + i*g; return o*c, (o*c, c)
@mutant('lstm_cell', 'a tanh, not a sigmoid')
class CandidateGate(Gates):
    def forward(self, x, state):
        f,i,g,o,c = self.parts(x, state); c = f*c + i*(2*g.atanh()).div(2).sigmoid(); h = o*c.tanh()
        return h, (h, c)
def gated(name, says, new_c, new_h=lambda f,i,g,o,c,old: o*c.tanh(), ret=lambda h,c: (h, (h, c))):
    def forward(self, x, state):
        f,i,g,o,c = self.parts(x, state); new = new_c(f,i,g,o,c); return ret(new_h(f,i,g,o,new,c), new)
    wrong('lstm_cell', says, type(name, (Gates,), dict(forward=forward)))
usual = lambda f,i,g,o,c: f*c + i*g
gated('NoCandidateTanh', "candidate's tanh is missing", lambda f,i,g,o,c: f*c + i*g.atanh())
gated('NoOutputGate', 'output gate is not used', usual, lambda f,i,g,o,c,old: c.tanh())
gated('NoInputGate', 'input gate is not used', lambda f,i,g,o,c: f*c + g)
gated('NoForgetGate', 'forget gate is not used', lambda f,i,g,o,c: c + i*g)
gated('ForgetsNew', 'forget first', lambda f,i,g,o,c: f*(c + i*g))
gated('OldCell', '*old* cell state', usual, lambda f,i,g,o,c,old: o*old.tanh())
gated('PairSwapped', '(h, c)', usual, ret=lambda h,c: (h, (c, h)))
gated('ReturnsC', 'changed places', usual, ret=lambda h,c: (c, (h, c)))
gated('ReturnsH', 'Return the output and the new state', usual, ret=lambda h,c: h)
gated('Detached', 'No gradient', lambda f,i,g,o,c: f*c.detach() + i*g)
gated('DetachedGate', 'gradient of the word', lambda f,i,g,o,c: f.detach()*c + i*g)
@mutant('lstm_cell', 'old one')
class OldState(Gates):
    def forward(self, x, state): h,_ = super().forward(x, state); return h, state
@mutant('lstm_cell', 'in place')
class InPlace(Gates):
    def forward(self, x, state):
        f,i,g,o,c = self.parts(x, state); c *= f; c += i*g; h = o*c.tanh()
        return h, (h, c)
for o,says in dict(figo='input and forget gate have changed places', igfo='in the order i, g, f, o', ogif='in the order o, g, i, f', fgoi='in the order f, g, o, i').items():
    wrong('lstm_cell', says, type(f'Order_{o}', (Fused,), dict(order=o)))
wrong('lstm_cell', 'in the order f, g, o, i', type('OneLayerOrder', (OneLayer,), dict(order='fgoi')))
@mutant('lstm_cell', 'one below the other')
class Below(Gates):
    def forward(self, x, state): return super().forward(torch.cat([state[0], x]), state)
@mutant('lstm_cell', 'n_in+n_hidden')
class TooSmall(Gates):
    def __init__(self, ni, nh): super().__init__(ni, nh); self.cell_gate = nn.Linear(nh+nh, nh)
@mutant('lstm_cell', 'cannot find')
class Unnamed(Module):
    def __init__(self, ni, nh): self.a,self.b = nn.Linear(ni+nh, 2*nh),nn.Linear(ni+nh, 2*nh)
    def forward(self, x, state): return x, state

# ---- 12 dropout
right('dropout', lambda x,p,training: F.dropout(x, p, training), lambda x,p,training: x * (torch.rand_like(x) >= p) / (1-p) if training else x)
def drops(scale, keep=lambda x,p: (torch.rand_like(x) > p), rest=lambda x,p: x): return lambda x,p,training: x*keep(x, p)*scale(p) if training else rest(x, p)
for label,says,f,notes in [('times p', 'p itself', drops(lambda p: p), True), ('over p', 'That is 1/p', drops(lambda p: 1/p), True), ('not rescaled', 'not rescaled', drops(lambda p: 1), False),
    ('times 1-p', '1-p: the right number', drops(lambda p: 1-p), False),
    ('keeps p', 'to *drop*', drops(lambda p: 1/p, lambda x,p: torch.rand_like(x) < p), False),
    ('drops half', 'It should be', drops(lambda p: 1/(1-p), lambda x,p: torch.rand_like(x) > .5), False),
    ('a row for all', 'row of the batch', drops(lambda p: 1/(1-p), lambda x,p: torch.rand_like(x[:1]) > p), False),
    ('whole rows', 'unit', drops(lambda p: 1/(1-p), lambda x,p: torch.rand_like(x[:, :1]) > p), False),
    ('in evaluation too', 'training=False', lambda x,p,training: F.dropout(x, p), False),
    ('rescales in evaluation', 'training=False', drops(lambda p: 1/(1-p), rest=lambda x,p: x*(1-p)), False),
    ('the same mask', 'draw anew', drops(lambda p: 1/(1-p), lambda x,p: torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) > p), False),
    ('detached', 'No gradient', lambda x,p,training: F.dropout(x.detach(), p, training), False),
    ('in place', 'in place', lambda x,p,training: F.dropout(x, p, training, inplace=True), False),
    ('noise', 'not all multiplied', lambda x,p,training: F.dropout(x, p, training) * (1 + .1*torch.randn_like(x)), False)]: wrong('dropout', says, f, label, notes=notes)

# ---- 13 decay, AR and TAR
def adam(l2=0., decay=lambda lr,wd: lr*wd, debias=True, after=lambda w,l: w):
    def f(w, grad, avg, sqr, t, lr, wd):
        grad = grad + l2*wd*w; avg = .9*avg + .1*grad; sqr = .99*sqr + .01*grad*grad
        a,s = (avg/(1-.9**t), sqr/(1-.99**t)) if debias else (avg, sqr)
        return w - decay(lr, wd)*w - lr*a/(s.sqrt() + 1e-5), avg, sqr
    return f
def late_decay(w, grad, avg, sqr, t, lr, wd): # decays the weights after the step: a second-order difference
    w,avg,sqr = adam(decay=lambda lr,wd: 0)(w, grad, avg, sqr, t, lr, wd); return w*(1-lr*wd), avg, sqr
def leaks(w, grad, avg, sqr, t, lr, wd):
    _,avg2,sqr2 = adam(l2=1)(w, grad, avg, sqr, t, lr, wd); return adam()(w, grad, avg, sqr, t, lr, wd)[0], avg2, sqr2
def decays_in_place(w, grad, avg, sqr, t, lr, wd): w.mul_(1-lr*wd); return adam(decay=lambda lr,wd: 0)(w, grad, avg, sqr, t, lr, wd)
def averages_in_place(w, grad, avg, sqr, t, lr, wd): res = adam()(w, grad, avg, sqr, t, lr, wd); return res[0], avg.copy_(res[1]), sqr.copy_(res[2])
right('decoupled_decay', adam())
for label,says,f,notes in [('L2', 'L2 in the loss: the decay goes through', adam(1., lambda lr,wd: 0), True), ('L2 of alpha w²', '2*wd*w', adam(2., lambda lr,wd: 0), True),
    ('no lr', 'not multiplied by the learning rate', adam(decay=lambda lr,wd: wd), False), ('no decay', 'there is no decay', adam(decay=lambda lr,wd: 0), False),
    ('grows', 'sign of the decay', adam(decay=lambda lr,wd: -lr*wd), False), ('not debiased', '1 - mom**t', adam(debias=False), False), ('late', 'comes after the step', late_decay, False), ('in place', 'in place', decays_in_place, False), ('averages in place', 'in place', averages_in_place, False),
    ('other momenta', 'differs from what is right', lambda w,grad,*a: adam()(w, 1.1*grad, *a), False),
    ('leaks', 'got into the average', leaks, False), ('weights only', 'two averages', lambda *a: adam()(*a)[0], False)]: wrong('decoupled_decay', says, f, label, notes=notes)

def tar(a): return (a[:, 1:] - a[:, :-1]).pow(2).mean() if a.shape[1] > 1 else a.sum()*0
def ar(a): return a.pow(2).mean()
right('activation_penalties', lambda raw,out,alpha,beta: alpha*activation_penalty(out) + beta*temporal_penalty(raw), lambda raw,out,alpha,beta: alpha*ar(out) + beta*tar(raw))
for label,says,f,notes in [
    ('notes', 'NaN', lambda raw,out,a,b: a*ar(out) + b*(raw[:, 1:]-raw[:, :-1]).pow(2).mean(), True),
    ('TAR guarded by the batch', 'batch size 1', lambda raw,out,a,b: a*ar(out) + (b*tar(raw) if len(raw) > 1 else 0), False),
    ('AR of raw', 'AR takes the activations *after*', lambda raw,out,a,b: a*ar(raw) + b*tar(raw), False), ('TAR of out', 'TAR takes the activations *before*', lambda raw,out,a,b: a*ar(out) + b*tar(out), False),
    ('swapped', 'alpha and beta', lambda raw,out,a,b: b*ar(out) + a*tar(raw), False), ('batch axis', 'batch axis', lambda raw,out,a,b: a*ar(out) + b*tar(raw.transpose(0, 1)), False),
    ('unit axis', 'axis of units', lambda raw,out,a,b: a*ar(out) + b*tar(raw.transpose(1, 2)), False), ('sums', 'take the mean', lambda raw,out,a,b: a*out.pow(2).sum() + b*tar(raw), False),
    ('absolute', 'squares', lambda raw,out,a,b: a*out.abs().mean() + b*tar(raw), False), ('detached', 'no gradient', lambda raw,out,a,b: (a*ar(out) + b*tar(raw)).detach(), False),
    ('both swapped', 'The penalty', lambda raw,out,a,b: a*ar(raw) + b*tar(out), False)]: wrong('activation_penalties', says, f, label, notes=notes)

# ---- 14, 15 the tied model
class Tied(Module):
    h = None
    def __init__(self, n_words, n_emb, n_hidden, n_layers, p):
        if n_emb != n_hidden: raise ValueError("n_emb must equal n_hidden")
        self.build(n_words, n_emb, n_hidden, n_layers, p)
    def build(self, n_words, n_emb, n_hidden, n_layers, p):
        self.i_h,self.rnn = nn.Embedding(n_words, n_emb),nn.LSTM(n_emb, n_hidden, n_layers, batch_first=True)
        self.drop,self.h_o = nn.Dropout(p),nn.Linear(n_hidden, n_words)
        self.h_o.weight = self.i_h.weight
    def forward(self, x):
        if self.h is not None and self.h[0].shape[1] != len(x): self.h = None
        raw,h = self.rnn(self.i_h(x), self.h)
        out = self.drop(raw); self.h = [t.detach() for t in h]
        return self.h_o(out), raw, out
    def reset(self): self.h = None
class Projected(Tied): # another right answer: sizes may differ, a projection stands between
    def __init__(self, n_words, n_emb, n_hidden, n_layers, p):
        self.build(n_words, n_emb, n_hidden, n_layers, p); self.proj = nn.Linear(n_hidden, n_emb) if n_emb != n_hidden else nn.Identity()
    def forward(self, x): _,raw,out = super().forward(x) if isinstance(self.proj, nn.Identity) else self.skip(x); return self.h_o(self.proj(out)), raw, out
    def skip(self, x): raw,_ = self.rnn(self.i_h(x)); return None, raw, self.drop(raw)
right('tied_model', Tied, Projected, lambda n_words, n_emb, n_hidden, n_layers, p: LanguageModel(n_words, n_hidden, n_layers, 'lstm', p, tie_weights=True, n_emb=n_emb))
@mutant('tied_model', 'does not know its batch size', notes=True)
class NotesTied(Tied):
    def __init__(self, vocab_sz, n_input, n_hidden, n_layers, p):
        super().__init__(vocab_sz, n_input, n_hidden, n_layers, p); self.h = [torch.zeros(n_layers, bs, n_hidden) for _ in range(2)]  # noqa: F821
@mutant('tied_model', 'arguments', notes=True)
class FourArguments(Tied):
    def __init__(self, n_words, n_hidden, n_layers, p): super().__init__(n_words, n_hidden, n_hidden, n_layers, p)
@mutant('tied_model', 'zero_', notes=True)
class ZeroTied(Tied):
    def reset(self):
        for h in self.h or []: h.zero()
@mutant('tied_model', 'must be equal', notes=True)
class AnySize(Tied):
    def __init__(self, *args): self.build(*args)
def tied(name, says, **methods): wrong('tied_model', says, type(name, (Tied,), methods))
def copied(self, *args): Tied.__init__(self, *args); self.h_o = nn.Linear(args[2], args[0]); self.h_o.weight.data = self.i_h.weight.data
def alike(self, *args): Tied.__init__(self, *args); self.h_o = nn.Linear(args[2], args[0]); self.h_o.weight.data.copy_(self.i_h.weight.data)
tied('SharedData', 'not tied', __init__=copied); tied('CopiedOnce', 'not tied', __init__=alike)
tied('OrderSwapped', 'last two have changed places', forward=lambda self,x: (lambda s,raw,out: (s, out, raw))(*Tied.forward(self, x)))
tied('NoDropout', 'after dropout', forward=lambda self,x: (lambda s,raw,out: (self.h_o(raw), raw, raw))(*Tied.forward(self, x)))
tied('ScoresOfRaw', 'before dropout', forward=lambda self,x: (lambda s,raw,out: (self.h_o(raw), raw, out))(*Tied.forward(self, x)))
tied('ScoresAlone', 'three things', forward=lambda self,x: Tied.forward(self, x)[0])
tied('Stateless', 'starts from zero', forward=lambda self,x: (self.reset(), Tied.forward(self, x))[1])
tied('KeepsAll', '`reset` does not forget', reset=lambda self: None)
def attached(self, x):
    if self.h is not None and self.h[0].shape[1] != len(x): self.h = None
    raw,self.h = self.rnn(self.i_h(x), self.h); out = self.drop(raw); return self.h_o(out), raw, out
tied('NotDetached', 'without its history', forward=attached)
def one_size(self, x): raw,h = self.rnn(self.i_h(x), self.h); out = self.drop(raw); self.h = [t.detach() for t in h]; return self.h_o(out), raw, out
tied('OneSize', 'wrong number of rows', forward=one_size)
tied('AlwaysDrops', 'nothing is dropped', forward=lambda self,x: (lambda s,raw,out: (self.h_o(raw), raw, F.dropout(raw, .4)))(*Tied.forward(self, x)))

# ---- 16, 17 the learner
plain = partial(Learner, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
right('regularized_learner', lambda dls,model,alpha,beta: plain(dls, model, cbs=rnn_cbs(alpha=alpha, beta=beta)), lambda dls,model,alpha,beta: lm_learner(dls, model, alpha=alpha, beta=beta),
    lambda dls,model,alpha,beta: plain(dls, model, cbs=[ModelResetter, RNNCallback, RNNRegularizer(alpha, beta)]))
class Seen(RNNCallback): name = 'rnn'
for label,says,f,notes in [
    ('no RNNCallback', 'RNNCallback', lambda dls,m,alpha,beta: plain(dls, m, cbs=[ModelResetter, RNNRegularizer(alpha=alpha, beta=beta)]), True),
    ('RNNRegularization', 'RNNRegularizer', lambda dls,m,alpha,beta: plain(dls, m, cbs=[ModelResetter, RNNRegularization(alpha=alpha, beta=beta)]), True),  # noqa: F821
    ('no penalty', 'no penalty', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs()), False),
    ('no reset', 'ModelResetter', lambda dls,m,alpha,beta: plain(dls, m, cbs=[RNNCallback, RNNRegularizer(alpha, beta)]), False),
    ('swapped', 'alpha and beta', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs(beta, alpha)), False),
    ('AR only', 'TAR is missing', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs(alpha, 0)), False),
    ('TAR only', 'AR is missing', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs(0, beta)), False),
    ('twice', 'twice', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs(2*alpha, 2*beta)), False)]: wrong('regularized_learner', says, f, label, notes=notes)

# ---- 18, 19, 20 GRU cell
class GRUGates(Module):
    def __init__(self, ni, nh): self.update_gate,self.reset_gate,self.new_gate = [nn.Linear(ni+nh, nh) for _ in range(3)]
    def forward(self, x, h):
        hx = torch.cat([h, x], dim=1); z,r = self.update_gate(hx).sigmoid(),self.reset_gate(hx).sigmoid()
        h = self.mix(z, self.candidate(r, h, x), h)
        return h, h
    def candidate(self, r, h, x): return self.new_gate(torch.cat([r*h, x], dim=1)).tanh()
    def mix(self, z, n, h): return z*n + (1-z)*h
class Alone(GRUGates):
    def forward(self, x, h): return super().forward(x, h)[0]
class GRUFused(Module):
    def __init__(self, ni, nh): self.i_h,self.h_h = nn.Linear(ni, 3*nh),nn.Linear(nh, 3*nh)
    def forward(self, x, h):
        ir,iz,i_n = self.i_h(x).chunk(3, 1); hr,hz,hn = self.h_h(h).chunk(3, 1)
        h = self.mix((iz+hz).sigmoid(), (i_n + self.inner((ir+hr).sigmoid(), hn, h)).tanh(), h)
        return h, h
    def inner(self, r, hn, h): return r*hn
    def mix(self, z, n, h): return (1-z)*n + z*h
class Classical(GRUFused):
    def inner(self, r, hn, h): nh = h.shape[1]; return F.linear(r*h, self.h_h.weight[2*nh:], self.h_h.bias[2*nh:])
    def mix(self, z, n, h): return z*n + (1-z)*h
right('gru_cell', GRUGates, Alone, Classical)
right('gru_cell', GRUFused, nn.GRUCell, reset_after=True)
@mutant('gru_cell', 'n_in+n_hidden = 8', notes=True)
class NotesGRU(Module): # as printed, but for the colon
    def __init__(self, ni, nh): self.update_gate,self.reset_gate,self.new_gate = nn.Linear(ni+nh, nh),nn.Linear(ni+nh, nh),nn.Linear(nh+nh, nh)
    def forward(self, input, state):
        h,x = state,input
        hx = torch.cat([h, x], dim=1)
        update,reset = torch.sigmoid(self.update_gate(hx)),torch.sigmoid(self.reset_gate(hx))
        new = torch.tanh(torch.cat([reset*h, x], dim=1))
        return (update * new) + (1 - update) * h
@mutant('gru_cell', 'Was a matrix left out?', notes=True)
class NoMatrix(GRUGates):
    def candidate(self, r, h, x): return torch.cat([r*h, x], dim=1).tanh()
def gru(name, says, base=GRUGates, reset_after=False, **methods): wrong('gru_cell', says, type(name, (base,), methods), reset_after=reset_after)
gru('ZSwapped', 'z and 1-z', mix=lambda self,z,n,h: z*h + (1-z)*n)
gru('IsTorch', "PyTorch's convention (r after", GRUFused)
gru('AfterProduct', 'wrong side', Classical, inner=GRUFused.inner)
gru('NoReset', 'reset gate is not used', candidate=lambda self,r,h,x: self.new_gate(torch.cat([h, x], 1)).tanh())
gru('Sigmoid', 'not a sigmoid', candidate=lambda self,r,h,x: self.new_gate(torch.cat([r*h, x], 1)).sigmoid())
gru('NoTanh', 'tanh is missing', candidate=lambda self,r,h,x: self.new_gate(torch.cat([r*h, x], 1)))
gru('KeepsWhole', 'kept whole', mix=lambda self,z,n,h: h + z*n)
gru('GatesSwapped', 'reset and update gate', __init__=lambda self,ni,nh: (GRUGates.__init__(self, ni, nh), setattr(self, 'swap', True))[0],
    forward=lambda self,x,h: (lambda z,r: (lambda new: (new, new))(self.mix(z, self.candidate(r, h, x), h)))(*(g(torch.cat([h, x], 1)).sigmoid() for g in (self.reset_gate, self.update_gate))))
gru('Detaches', 'gradient', candidate=lambda self,r,h,x: GRUGates.candidate(self, r, h.detach(), x))
gru('Pair', 'h alone', forward=lambda self,x,h: (h, (h, h)))
gru('IsClassical', "classical convention; PyTorch's", Classical, True)
gru('TorchZ', 'share of the old', GRUFused, True, mix=lambda self,z,n,h: z*n + (1-z)*h)
gru('TorchBefore', 'r * (W_h h + b_h)', GRUFused, True, inner=Classical.inner)
gru('TorchOneLayer', 'layers of their own', GRUGates, True)
class WrapsGates(Module): # right too: a cell in a cell
    def __init__(self, ni, nh): self.cell = GRUGates(ni, nh)
    def forward(self, x, h): return self.cell(x, h)
right('gru_cell', WrapsGates)
class WrapsLSTM(Module):
    def __init__(self, ni, nh): self.cell = Gates(ni, nh)
    def forward(self, x, state): return self.cell(x, state)
right('lstm_cell', WrapsLSTM)

# ---- what readers met
@mutant('loss', 'log of the mean')
def log_of_mean(s, y): return -s.softmax(1)[range(len(y)), y].mean().log()
@mutant('flat_loss', '`view` cannot')
def views_targets(p, t): return F.cross_entropy(p.view(-1, p.shape[-1]), t.view(-1))
@mutant('flat_loss', 'targets are not')
def transposes_one(p, t): return F.cross_entropy(p.transpose(0, 1).reshape(-1, p.shape[-1]), t.reshape(-1))
@mutant('nword_model', 'have changed places')
class SwappedSizes(LoopRNN):
    def __init__(self, n_hidden, n_words): super().__init__(n_words, n_hidden)
for name,model in dict(nword_model=LoopRNN(7, 5), stateful_model=StatefulRNN(7, 5), gru_cell=GRUGates(5, 3), lstm_cell=Gates(5, 3), tied_model=Tied(7, 5, 5, 2, .4)).items(): wrong(name, 'the class itself', model, 'an instance')
@mutant('nword_model', 'super().__init__()')
class NoSuper(nn.Module):
    def __init__(self, n_words, n_hidden): self.i_h = nn.Embedding(n_words, n_hidden)
mutant('nword_model', 'cannot be called')(3)
def shares_matrix(self, *args): Tied.__init__(self, *args); self.rnn.weight_hh_l1 = self.rnn.weight_hh_l0
tied('SharesMatrix', 'one and the same', __init__=shares_matrix)
def columns_first(self, *args): Tied.__init__(self, *args); self.rnn.batch_first = False
tied('ColumnsFirst', 'batch_first=True', __init__=columns_first)
def half_reset(self):
    if self.h is not None: self.h = [torch.zeros_like(self.h[0]), self.h[1]]
tied('HalfReset', 'forgets h and keeps c', reset=half_reset)
def single(self, x):
    if self.h is None or self.h[0].shape[1] != len(x): self.h = [torch.zeros(2, len(x), self.rnn.hidden_size) for _ in range(2)]
    return Tied.forward(self, x)
tied('Single', 'double precision', forward=single)
for label,says,f in [('callbacks alone', 'should make a `Learner`', lambda dls,m,alpha,beta: rnn_cbs(alpha, beta)), ('fixed', 'as 2 and 1', lambda dls,m,alpha,beta: plain(dls, m, cbs=rnn_cbs(2, 1)))]: wrong('regularized_learner', says, f, label)
wrong('activation_penalties', 'one number, not None', lambda raw,out,alpha,beta: None, 'nothing')
