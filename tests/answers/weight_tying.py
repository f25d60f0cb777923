"Answers to the exercises of `09_weight_tying`."
import copy
import numpy as np, torch, torch.nn.functional as F
from torch import nn
from lm_from_scratch.multilayer import LanguageModel
from answers import mutant, right, wrong

# ---- 9.1 cosines
def unit(w, dim=1): return w / w.norm(dim=dim, keepdim=True)
def in_numpy(weight):
    w = weight.detach().numpy(); n = np.linalg.norm(w, axis=1)
    return w @ w.T / np.outer(n, n)
right('cosines', lambda w: unit(w) @ unit(w).t(), lambda w: F.cosine_similarity(w[:, None], w[None], dim=-1), in_numpy, lambda w: in_numpy(w).tolist(), lambda w: F.normalize(w.detach()).float() @ F.normalize(w.detach()).float().t())
for label,says,f in [('dots', 'these are dot products', lambda w: w @ w.t()), ('columns of length 1', 'columns were made', lambda w: unit(w, 0) @ unit(w, 0).t()), ('one length', 'one of the two lengths only', lambda w: unit(w) @ w.t()),
    ('the other length', 'one of the two lengths alone', lambda w: w @ unit(w).t()), ('squares', 'squares of the lengths', lambda w: (w @ w.t())/w.pow(2).sum(1)/w.pow(2).sum(1)[:, None]),
    ('length of all', 'length of the whole table', lambda w: w @ w.t() / w.norm()**2), ('distances', 'distances', lambda w: torch.cdist(w, w)), ('1 - cos', '1 minus the cosine', lambda w: 1 - unit(w) @ unit(w).t()),
    ('no sign', 'the sign is gone', lambda w: (unit(w) @ unit(w).t()).abs()), ('correlations', 'correlations', lambda w: torch.corrcoef(w)), ('of the columns', 'the shape', lambda w: unit(w.t()) @ unit(w.t()).t()),
    ('columns, where they fit', 'between columns', lambda w: unit(w.t()) @ unit(w.t()).t() if w.shape[0] == w.shape[1] else unit(w) @ unit(w).t()), ('not transposed', '@ (n_emb, n_words)', lambda w: unit(w) @ unit(w)),
    ('a gradient', '`weight.detach()`', lambda w: w.numpy() @ w.numpy().T), ('no axis', 'keep its axis', lambda w: w / w.norm(dim=1)), ('a pair', 'should be a tensor', lambda w: 'six, seven'),
    ('neighbours', 'the shape', lambda w: F.cosine_similarity(w[1:], w[:-1]))]: wrong('cosines', says, f, label)

# ---- 9.2 parameters
def count(tables=lambda tied: 2 - tied, gates=4, biases=2, decoder=1, layers=lambda n: n, extra=lambda v,h,n: 0):
    return lambda v,h,n,tied: tables(tied)*v*h + layers(n)*gates*(2*h*h + biases*h) + decoder*v + extra(v, h, n)
def made(v, h, n, tied): return sum(p.numel() for p in LanguageModel(v, h, n, 'lstm', tie_weights=tied).parameters())
right('tied_parameters', count(), made, lambda *a: torch.tensor(made(*a)), lambda *a: float(made(*a)))
for label,says,f in [('twice', 'tied, there is one table', count(lambda tied: 2)), ('once', 'untied, there are two', count(lambda tied: 1)), ('one bias', 'two biases for each block, one with', count(biases=1)), ('no bias', 'biases of the LSTM are missing', count(biases=0)),
    ('no decoder bias', "decoder's bias is missing", count(decoder=0)), ('one block', 'each matrix of an LSTM has four', count(gates=1)), ('three blocks', 'are four blocks', count(gates=3)), ('one layer', 'only one layer', count(layers=lambda n: 1)),
    ('no tables', 'tables are missing', count(lambda tied: 0)), ('three matrices', 'each block has two matrices', count(extra=lambda v,h,n: n*4*h*h)), ('a state too', 'is not it', count(extra=lambda v,h,n: n*h)),
    ('tied without bias', "tied: the decoder's bias", lambda v,h,n,tied: count(decoder=0 if tied else 1)(v, h, n, tied)), ('a word', 'should be a number', lambda *a: 'many'), ('nothing', 'should be a number', lambda *a: None)]: wrong('tied_parameters', says, f, label)

# ---- 9.3 tie
def tie(emb, dec, say=lambda a,b: f"embedding {tuple(a)}, decoder {tuple(b)}", fits=lambda a,b: a == b, error=ValueError, act=lambda emb,dec: setattr(dec, 'weight', emb.weight), late=False):
    if late: act(emb, dec)
    a,b = (emb.weight.shape,torch.Size([dec.out_features, dec.in_features]))
    if not fits(a, b): raise error(say(a, b))
    if not late: act(emb, dec)
def by_size(emb, dec):
    if (emb.num_embeddings, emb.embedding_dim) != (dec.out_features, dec.in_features):
        raise ValueError(f"{emb.num_embeddings} words of {emb.embedding_dim}, and a decoder for {dec.out_features} words of {dec.in_features}")
    dec.weight = emb.weight
    return dec
class Refused(ValueError): "an error of one's own"
right('tie', tie, by_size, lambda e,d: tie(e, d, say=lambda a,b: f"{a[0]} and {b[0]}" if a[0] != b[0] else f"{a[1]} and {b[1]}"), lambda e,d: tie(e, d, error=Refused))
def tied(says, label, **kwargs): wrong('tie', says, lambda emb,dec: tie(emb, dec, **kwargs), label)
wrong('tie', 'nothing is raised', lambda emb,dec: setattr(dec, 'weight', emb.weight), "the notes'")
def copies(emb, dec): dec.weight = nn.Parameter(emb.weight.detach().clone())
def third(emb, dec): emb.weight = dec.weight = nn.Parameter(emb.weight.detach().clone())
tied('part at the first step', 'a copy', act=copies)
tied('still they are two parameters', 'shared data', act=lambda e,d: setattr(d.weight, 'data', e.weight.data))
tied('the other way round', 'the other way', act=lambda e,d: setattr(e, 'weight', d.weight))
tied('a third matrix', 'a third one', act=third)
tied('They are not tied', 'nothing', act=lambda e,d: None)
tied('without transposing', 'transposed', act=lambda e,d: setattr(d, 'weight', e.weight.t()))
tied("bias is gone", 'no bias', act=lambda e,d: (setattr(d, 'weight', e.weight), setattr(d, 'bias', None)))
def zeroes(e, d): d.weight = e.weight; nn.init.zeros_(d.bias)
tied('bias has been changed', 'a bias of zeros', act=zeroes)
tied('lines of other lengths', 'words alone', fits=lambda a,b: a[0] == b[0])
tied('another number of words', 'lengths alone', fits=lambda a,b: a[1] == b[1])
tied('changed over', 'how many numbers', fits=lambda a,b: a.numel() == b.numel())
tied('stops with AssertionError', 'assert', error=AssertionError)
tied('stops with TypeError', 'another error', error=TypeError)
tied('refuses too late', 'late', late=True)
tied('does not name both sizes', 'no sizes', say=lambda a,b: "These do not fit.")
tied('does not name both sizes', 'one size', say=lambda a,b: f"The embedding has {tuple(a)}.")
tied('should be tied', 'refuses all', fits=lambda a,b: False)

# ---- 9.5 a projection
class Projected(LanguageModel):
    def __init__(self, n_words, n_emb, n_hidden, n_layers, p, **kwargs):
        super().__init__(n_words, n_hidden, n_layers, 'lstm', p, n_emb=n_emb)
        self.make(n_words, n_emb, n_hidden, **kwargs)
    def make(self, n_words, n_emb, n_hidden, bias=True):
        self.proj,self.h_o = nn.Linear(n_hidden, n_emb, bias=bias),nn.Linear(n_emb, n_words)
        self.tie()
    def tie(self): self.h_o.weight = self.i_h.weight
    def forward(self, x):
        raw,h = self.rnn(self.i_h(x), self.carried(len(x)))
        self.carry(h)
        return self.answer(raw, self.drop(raw))
    def answer(self, raw, out): return self.h_o(self.proj(out)), raw, out
class NoBias(Projected):
    def make(self, *args): super().make(*args, bias=False)
class Plain(nn.Module): # without the course's own classes
    def __init__(self, n_words, n_emb, n_hidden, n_layers, p):
        super().__init__()
        self.i_h,self.rnn = nn.Embedding(n_words, n_emb),nn.LSTM(n_emb, n_hidden, n_layers, batch_first=True)
        self.drop,self.proj,self.h_o = nn.Dropout(p),nn.Linear(n_hidden, n_emb),nn.Linear(n_emb, n_words, bias=False)
        self.h_o.weight,self.h = self.i_h.weight,None
    def forward(self, x):
        if self.h is not None and self.h[0].shape[1] != len(x): self.h = None
        raw,h = self.rnn(self.i_h(x), self.h); self.h = tuple(o.detach() for o in h); out = self.drop(raw)
        return [F.linear(self.proj(out), self.i_h.weight), raw, out]
    def reset(self): self.h = None
right('projected_tying', Projected, NoBias, Plain)
def proj(name, says, **methods): wrong('projected_tying', says, type(name, (Projected,), methods))
def copied(self): self.h_o.weight.data.copy_(self.i_h.weight.data)
def up(self, n_words, n_emb, n_hidden): self.proj,self.h_o = nn.Linear(n_emb, n_hidden),nn.Linear(n_emb, n_words); self.tie()
def own(self, n_words, n_emb, n_hidden): self.proj,self.h_o = nn.Linear(n_hidden, n_emb),nn.Linear(n_hidden, n_words)
def inside(self, n_words, n_emb, n_hidden): Projected.make(self, n_words, n_emb, n_hidden); self.rnn = nn.LSTM(n_emb, n_hidden, self.rnn.num_layers, proj_size=n_emb, batch_first=True)
def more(self, n_words, n_emb, n_hidden): Projected.make(self, n_words, n_emb, n_hidden); self.old = nn.Linear(n_emb, n_words)
def short(self, n_words, n_emb, n_hidden): Projected.make(self, n_words, n_emb, n_hidden); self.rnn = nn.LSTM(n_emb, n_emb, self.rnn.num_layers, batch_first=True)
proj('NotTied', 'matrix of its own', tie=lambda self: None)
proj('Copied', 'same numbers', tie=copied)
proj('Up', 'from n_hidden to n_emb', make=up)
proj('OwnMatrix', 'matrix of its own', make=own)
proj('Inside', '`proj_size` projects inside', make=inside)
proj('More', '28 parameters too many', make=more)
proj('ShortState', 'n_hidden units', make=short)
def in_one(self, n_words, n_emb, n_hidden): Projected.make(self, n_words, n_emb, n_hidden); self.h_o = nn.Sequential(self.proj, self.h_o)
proj('InOne', '`h_o.0.weight` and `proj.weight` are one and the same', make=in_one)
def wrapped(self, n_words, n_emb, n_hidden): Projected.make(self, n_words, n_emb, n_hidden); self.h_o = nn.Sequential(self.h_o)
proj('Wrapped', 'the decoder alone, not Sequential', make=wrapped)
proj('Skipped', 'A layer does not fit', answer=lambda self,raw,out: (self.h_o(out), raw, out))
proj('Tanh', 'there is a tanh', answer=lambda self,raw,out: (self.h_o(self.proj(out).tanh()), raw, out))
proj('ReLU', 'there is a ReLU', answer=lambda self,raw,out: (self.h_o(self.proj(out).relu()), raw, out))
proj('RawProjected', 'AR and TAR look', answer=lambda self,raw,out: (self.h_o(self.proj(out)), self.proj(raw), out))
proj('OutProjected', 'it is `raw` after dropout', answer=lambda self,raw,out: (self.h_o(self.proj(out)), raw, self.proj(out)))
proj('ScoresAlone', 'three things', answer=lambda self,raw,out: self.h_o(self.proj(out)))
proj('BeforeDropout', 'before dropout', answer=lambda self,raw,out: (self.h_o(self.proj(raw)), raw, out))
proj('NoDropout', 'raw` after dropout with', answer=lambda self,raw,out: (self.h_o(self.proj(raw)), raw, raw))
proj('KeepsAll', '`reset` does not forget', reset=lambda self: None)
proj('Stateless', 'starts from zero', carried=lambda self,bs: None)
proj('NoReset', 'no `reset`', reset=None)
proj('NotDetached', 'without its history', carry=lambda self,h: setattr(self, 'h', h))
wrong('projected_tying', 'should make a model', lambda *args: None, 'None')
@mutant('projected_tying', 'no layer `proj`')
class OtherName(Projected):
    def make(self, n_words, n_emb, n_hidden): self.down,self.h_o = nn.Linear(n_hidden, n_emb),nn.Linear(n_emb, n_words); self.tie()
@mutant('projected_tying', 'arguments the exercise asks for')
class FourArguments(Projected):
    def __init__(self, n_words, n_emb, n_hidden, n_layers): super().__init__(n_words, n_emb, n_hidden, n_layers, .5)
@mutant('projected_tying', '(n_words, n_emb)')
class LongWords(Projected):
    def make(self, n_words, n_emb, n_hidden): self.i_h = nn.Embedding(n_words, n_hidden); self.proj,self.h_o = nn.Linear(n_hidden, n_emb),nn.Linear(n_hidden, n_words); self.tie()

# ---- 9.6 half a checkpoint
def is_tied(m): return m.h_o.weight is m.i_h.weight
def load(model, state, fits=lambda m,s: not is_tied(m) or torch.equal(s['i_h.weight'], s['h_o.weight']), error=ValueError):
    if not fits(model, state): raise error("Two tables for a tied model.")
    model.load_state_dict(state)
def tries(model, state): # into a copy first
    trial = copy.deepcopy(model); trial.load_state_dict(state)
    if any(not torch.equal(v, state[k]) for k,v in trial.state_dict().items()): raise ValueError("Some of these weights would be overwritten by others.")
    model.load_state_dict(state)
def takes_back(model, state):
    before = {k:v.clone() for k,v in model.state_dict().items()}
    model.load_state_dict(state)
    if not torch.equal(model.i_h.weight, state['i_h.weight']): model.load_state_dict(before); raise ValueError("Two tables.")
right('tied_checkpoint', load, tries, takes_back)
def loads(says, label, **kwargs): wrong('tied_checkpoint', says, lambda model,state: load(model, state, **kwargs), label)
def late(model, state):
    model.load_state_dict(state)
    if is_tied(model) and not torch.equal(model.i_h.weight, state['i_h.weight']): raise ValueError("Too late.")
def pops(model, state): state.pop('h_o.weight') if is_tied(model) else None; model.load_state_dict(state, strict=False)
def unties(model, state):
    if is_tied(model) and not torch.equal(state['i_h.weight'], state['h_o.weight']): model.h_o.weight = nn.Parameter(state['h_o.weight'].clone())
    model.load_state_dict(state)
def unties_and_refuses(model, state):
    if is_tied(model) and not torch.equal(state['i_h.weight'], state['h_o.weight']): model.h_o.weight = nn.Parameter(model.h_o.weight.detach().clone()); raise ValueError("Two tables.")
    model.load_state_dict(state)
def reties(model, state): model.load_state_dict(state); model.h_o.weight = model.i_h.weight
def keeps_embedding(model, state):
    state = dict(state)
    if is_tied(model): state['h_o.weight'] = state['i_h.weight']
    model.load_state_dict(state)
wrong('tied_checkpoint', "Only the decoder's table is left", lambda model,state: model.load_state_dict(state), 'PyTorch')
wrong('tied_checkpoint', "Only the embedding's table is left", keeps_embedding)
wrong('tied_checkpoint', 'refuses too late', late)
wrong('tied_checkpoint', 'has been changed', pops)
wrong('tied_checkpoint', 'two tables now', unties)
wrong('tied_checkpoint', 'before it refused', unties_and_refuses)
wrong('tied_checkpoint', 'was untied before', reties)
wrong('tied_checkpoint', 'does not have these weights', lambda model,state: None, 'nothing')
loads("wherever they lie in memory", 'identity', fits=lambda m,s: not is_tied(m) or s['i_h.weight'] is s['h_o.weight'])
loads("into a tied model, from a file stops with ValueError", 'address', fits=lambda m,s: not is_tied(m) or s['i_h.weight'].data_ptr() == s['h_o.weight'].data_ptr())
loads("an untied model's weights into an untied model stops", 'every model', fits=lambda m,s: torch.equal(s['i_h.weight'], s['h_o.weight']))
loads('in another order', 'sums', fits=lambda m,s: not is_tied(m) or torch.isclose(s['i_h.weight'].sum(), s['h_o.weight'].sum()))
def not_strict(model, state):
    if is_tied(model) and not torch.equal(state['i_h.weight'], state['h_o.weight']): raise ValueError('Two tables.')
    model.load_state_dict(state, strict=False)
wrong('tied_checkpoint', '`strict=False`', not_strict)
loads('stops with RuntimeError. Raise', 'another error', error=RuntimeError)
loads("an untied model's weights into an untied model stops", 'tied alone', fits=lambda m,s: is_tied(m) and torch.equal(s['i_h.weight'], s['h_o.weight']))
loads('stops with AssertionError. Raise', 'assert', error=AssertionError)
