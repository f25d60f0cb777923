"Answers to the exercises of chapter 3, a prediction after every word."
import torch
import torch.nn.functional as F
from torch import nn
from lm_from_scratch.every_word import EveryWordRNN
from lm_from_scratch.state import StatefulRNN
from answers import mutant, right, wrong

# ---- 3.1 misses
class Pairs(list): pass # a list can have no label
def triples(s, y, keep=lambda a,b: a != b, row=lambda t,a,b: (t, a, b)):
    guess = s.argmax(-1).tolist()
    return [row(t, a, b) for t,(a,b) in enumerate(zip(y.tolist(), guess)) if keep(a, b)]
def as_tensor(s, y): # (n_misses, 3)
    t = (s.argmax(-1) != y).nonzero().flatten()
    return torch.stack([t, y[t], s.argmax(-1)[t]], dim=1)
def as_lists(s, y): return [[t, y[t], s[t].argmax()] for t in range(len(y)) if s[t].argmax() != y[t]]
right('misses', triples, as_tensor, as_lists, lambda s,y: as_tensor(s, y).numpy())
def miss(name, says, **kwargs): wrong('misses', says, lambda s,y: triples(s, y, **kwargs), name)
miss('hits', 'these are the hits', keep=lambda a,b: a == b)
miss('all', 'all words are listed', keep=lambda a,b: True)
miss('swapped', 'changed places', row=lambda t,a,b: (t, b, a))
miss('from one', 'counts from 1', row=lambda t,a,b: (t+1, a, b))
miss('no place', 'the place t is missing', row=lambda t,a,b: (a, b))
miss('words', 'three whole numbers each', row=lambda t,a,b: ('one', 'two', 'three'))
miss('places', 'three whole numbers each', row=lambda t,a,b: t)
wrong('misses', 'counts the misses', lambda s,y: [(k, a, b) for k,(t,a,b) in enumerate(triples(s, y))], 'numbered')
wrong('misses', '*lowest*', lambda s,y: triples(-s, y), 'lowest')
wrong('misses', 'three whole numbers each', lambda s,y: None, 'nothing')
wrong('misses', 'Compare one word at a time', lambda s,y: [(t, y[t], s[t].argmax()) for t in range(len(y)) if s.argmax(-1) != y], 'all at once')
wrong('misses', 'the list differs', lambda s,y: triples(s, y)[:1] + triples(s, y)[2:], 'one left out')
wrong('misses', 'the last word of the row is left out', lambda s,y: triples(s[:-1], y[:-1]), 'last left out')
wrong('misses', 'shifted by one', lambda s,y: [(t+1, a, b) for t,a,b in triples(s[:-1], y[1:])], 'shifted')
wrong('misses', 'A function of scores and targets', Pairs([(0, 1, 2)]))

# ---- 3.2 accuracy by column
def split(hit, bs): return hit.view(-1, bs, hit.shape[1]).float()
def by_batch(hit, bs): return [b[:, t].double().mean().item() for b in hit.split(bs) for t in range(b.shape[1])]
def glued(hit, bs): return torch.cat(hit.split(bs), dim=1).float().mean(0)
right('column_accuracy', lambda h,bs: split(h, bs).mean(1).flatten(), by_batch, glued, lambda h,bs: glued(h, bs).numpy(), lambda h,bs: [round(v, 2) for v in by_batch(h, bs)] if bs == 10 else by_batch(h, bs))
def column(name, says, f): wrong('column_accuracy', says, f, name)
column('rows glued wrongly', 'glued together wrongly', lambda h,bs: h.reshape(bs, -1).float().mean(0))
column('place by batch', 'batch and place have changed places', lambda h,bs: split(h, bs).mean(1).t().flatten())
column('misses', 'these are the misses', lambda h,bs: 1-glued(h, bs))
column('counts', 'how many', lambda h,bs: torch.cat(h.split(bs), dim=1).sum(0))
column('percent', 'in percent', lambda h,bs: 100*glued(h, bs))
column('places', 'places within a batch', lambda h,bs: h.float().mean(0))
column('not flat', 'one long list', lambda h,bs: split(h, bs).mean(1))
column('of bools', '`.float()` first', lambda h,bs: torch.cat(h.split(bs), dim=1).mean(0))
column('rows', 'for each column: 15 here, not 4', lambda h,bs: torch.cat(h.split(bs), dim=1).float().mean(1))
column('mean', 'not Tensor', lambda h,bs: h.float().mean())
column('bs and n_batches', 'glued together wrongly', lambda h,bs: h.view(bs, -1, h.shape[1]).float().mean(0).flatten())

# ---- 3.4 layouts
right('sound_layouts', {'a', 'c', 'd'}, ['d', 'a', 'c'], ('A', 'C', 'D'), 'acd', 'a, c, d')
class Letters(set): pass # a set can have no label
def letters(answer, says):
    f = Letters(answer); wrong('sound_layouts', says, f, answer or 'none')
for answer,says in dict(ac='d is sound', ad='c is sound', cd='a is sound', abcd='b is not sound', acde='e is not sound', acdf='f is not sound',
                        a='And 1 more', bef='And 5 more', acg='no layout g', abcdef='b is not sound').items(): letters(answer, says)
letters('', 'a is sound')
class Number(int): pass
wrong('sound_layouts', 'A set of letters, please', Number(3), 'a number')

# ---- 3.5 peeking
def ahead(x, by=1): return torch.cat([x[:, by:], x[:, -1:].expand(-1, by)], dim=1) # the word `by` further on; the last one where there is none
class Peeks(EveryWordRNN): # at the places `where`, `by` words ahead
    where,by,boost = range(8, 15),1,20.
    def forward(self, x):
        mask = torch.zeros(x.shape[1], 1); mask[list(self.where)] = self.boost
        scores = super().forward(x)
        return scores + mask*F.one_hot(ahead(x, self.by), scores.shape[-1])
def peeks(name, base=Peeks, **attrs): return type(name, (base,), attrs)
class InTheState(EveryWordRNN): # the next word enters the state of the second half
    def forward(self, x):
        scores = super().forward(x); n = scores.shape[-1]
        return torch.cat([scores[:, :8], scores[:, 8:15]*0 + 9*F.one_hot(x[:, 9:16], n), scores[:, 15:]], dim=1)
class Learns(EveryWordRNN): # the next word is added to the state; what it says must be learned
    def forward(self, x):
        h,outs = self.carried(len(x), start=0),[]
        for t in range(x.shape[1]):
            h = F.relu(self.h_h(h + self.i_h(x[:, t])))
            outs.append(self.h_o(h + self.look(x[:, t+1]) if 8 <= t < x.shape[1]-1 else h))
        self.carry(h)
        return torch.stack(outs, dim=1)
    def look(self, word): return self.i_h(word)
class LearnsLate(Learns): # by an embedding of its own
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden); self.i_next = nn.Embedding(n_words, n_hidden)
    def look(self, word): return self.i_next(word)
right('peeking', Learns, LearnsLate)
@mutant('peeking', 'if not at once then after some training')
class NeverLearns(Learns): # one bit of the next word
    def look(self, word): return self.i_h(word % 2).detach()
right('peeking', Peeks, peeks('FirstHalf', where=range(7)), peeks('OnePlace', where=[3]), InTheState)
wrong('peeking', 'does not peek', EveryWordRNN)
wrong('peeking', 'Number 7 must not peek', peeks('Everywhere', where=range(15)))
wrong('peeking', 'peeks 2 words ahead', peeks('TwoAhead', where=range(8, 14), by=2))
wrong('peeking', 'does not use it', peeks('Weak', boost=.01))
wrong('peeking', 'does not use it', peeks('Backwards', boost=-5.))
wrong('peeking', 'should have the shape', StatefulRNN)
wrong('peeking', 'the class itself', Peeks(9, 6), 'an instance')
@mutant('peeking', 'other scores the second time')
class NoReset(Peeks):
    def reset(self): pass
@mutant('peeking', 'mind the sizes')
class TooShort(EveryWordRNN):
    def forward(self, x): s = super().forward(x); return s + F.one_hot(x[:, 1:], s.shape[-1])
@mutant('peeking', 'should have the shape')
class OneFewer(EveryWordRNN):
    def forward(self, x): s = super().forward(x); return s[:, :-1] + F.one_hot(x[:, 1:], s.shape[-1])
@mutant('peeking', 'no `reset`')
class Plain(nn.Module):
    def __init__(self, n_words, n_hidden): super().__init__(); self.i_o = nn.Embedding(n_words, n_words)
    def forward(self, x): return self.i_o(ahead(x))
@mutant('peeking', 'in place')
class InPlace(EveryWordRNN):
    def forward(self, x): s = super().forward(x); p = s.sigmoid(); p.unbind(1)[9].add_(1); return p

# ---- 3.6 layers at once
class AtOnce(EveryWordRNN):
    def forward(self, x):
        h,e,hs = self.start(x),self.i_h(x),[]
        for t in range(x.shape[1]):
            h = F.relu(self.h_h(self.step(h) + e[:, t])); hs.append(h)
        self.carry(h)
        return self.scores(hs)
    def start(self, x): return self.carried(len(x), start=0)
    def step(self, h): return h
    def scores(self, hs): return self.h_o(torch.stack(hs, dim=1))
class Transposed(AtOnce): # places first, as PyTorch's own layers like it
    def scores(self, hs): return self.h_o(torch.stack(hs)).transpose(0, 1)
class Joined(nn.Module): # not inherited; a matrix product by hand
    def __init__(self, n_words, n_hidden): super().__init__(); self.i_h,self.h_h,self.h_o = nn.Embedding(n_words, n_hidden),nn.Linear(n_hidden, n_hidden),nn.Linear(n_hidden, n_words); self.reset()
    def reset(self): self.h = None
    def forward(self, x):
        e,hs = F.linear(self.i_h(x), self.h_h.weight, self.h_h.bias),[e0 for e0 in ([] if self.h is None else [self.h])]
        for t in range(x.shape[1]): hs.append(torch.relu(e[:, t] + (hs[-1] @ self.h_h.weight.t() if hs else 0)))
        self.h = hs[-1].detach()
        return torch.cat([h[:, None] for h in hs[-x.shape[1]:]], 1) @ self.h_o.weight.t() + self.h_o.bias
right('batched_layers', AtOnce, Transposed, Joined)
def at_once(name, says, **methods): wrong('batched_layers', says, type(name, (AtOnce,), methods))
wrong('batched_layers', '`i_h` is called 6 times', EveryWordRNN)
at_once('LoopedOutput', '`h_o` is called 6 times', scores=lambda self,hs: torch.stack([self.h_o(h) for h in hs], 1))
at_once('PlacesFirst', 'stack along', scores=lambda self,hs: self.h_o(torch.stack(hs)))
at_once('Viewed', '`view` does not swap', scores=lambda self,hs: self.h_o(torch.stack(hs).view(len(hs[0]), len(hs), -1)))
at_once('LastOnly', 'only the last state', scores=lambda self,hs: self.h_o(hs[-1]))
at_once('Cold', 'starts from zero again', start=lambda self,x: 0)
at_once('Cut', 'A gradient of batch 0', step=lambda self,h: h.detach() if torch.is_tensor(h) else h)
at_once('NoReset', '`reset` does not forget', reset=lambda self: None)
wrong('batched_layers', 'the class itself', AtOnce(7, 5), 'an instance')
@mutant('batched_layers', 'the ReLU is missing')
class NoReLU(AtOnce):
    def forward(self, x):
        h,e,hs = self.start(x),self.i_h(x),[]
        for t in range(x.shape[1]): h = self.h_h(h + e[:, t]); hs.append(h)
        self.carry(h)
        return self.scores(hs)
@mutant('batched_layers', 'has left the loop')
class AllMoved(AtOnce):
    def forward(self, x):
        h,e,hs = self.start(x),self.h_h(self.i_h(x)),[]
        for t in range(x.shape[1]): h = F.relu(h + e[:, t]); hs.append(h)
        self.carry(h)
        return self.scores(hs)
@mutant('batched_layers', 'one word too late')
class Late(AtOnce):
    def forward(self, x):
        h,e,hs = self.carried(len(x), start=x.new_zeros(len(x), 5).double()),self.i_h(x),[]
        for t in range(x.shape[1]): hs.append(h); h = F.relu(self.h_h(h + e[:, t]))
        self.carry(h)
        return self.scores(hs)
@mutant('batched_layers', 'not passed on')
class NoLoop(AtOnce):
    def forward(self, x):
        h = self.carried(len(x), start=x.new_zeros(len(x), 5).double())
        hs = F.relu(self.h_h(h[:, None] + self.i_h(x))); self.carry(hs[:, -1])
        return self.h_o(hs)
@mutant('batched_layers', 'second time')
class NoDetach(AtOnce):
    def carry(self, h): self.h = h
@mutant('batched_layers', 'step t needs')
class WrongAxis(AtOnce):
    def forward(self, x):
        h,e,hs = self.start(x),self.i_h(x),[]
        for t in range(x.shape[1]): h = F.relu(self.h_h(h + e[t])); hs.append(h)
        self.carry(h)
        return self.scores(hs)
@mutant('batched_layers', 'no `reset`')
class NoResetAtAll(nn.Module):
    def __init__(self, n_words, n_hidden): super().__init__(); self.i_h,self.h_h,self.h_o = nn.Embedding(n_words, n_hidden),nn.Linear(n_hidden, n_hidden),nn.Linear(n_hidden, n_words)
