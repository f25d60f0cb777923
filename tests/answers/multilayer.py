"Answers to the exercises of `04_multilayer`."
import math
from copy import deepcopy
import numpy as np, torch
from torch import nn
from lm_from_scratch.multilayer import LanguageModel, Recurrent
from answers import mutant, right, wrong

# ---- 1 the factor a word
good = .3941, .4172
right('reach_per_word', good, list(good), np.array(good), torch.tensor(good), dict(every=.394, model=.417), (.39, .42), [torch.tensor(.394), np.float64(.417)])
for says,found in [('wrong order', good[::-1]), ('24th root', [v**24 for v in good]), ('Which way does it travel', [1/v for v in good]), ('`exp`', [math.log(v) for v in good]),
    ('base 10', [math.log10(v) for v in good]), ('of LanguageModel is not', (.394, .456)), ('one `manual_seed(0)`', (.3941, .4105)), ('of EveryWordRNN is not', (.5, .4172)), ('of EveryWordRNN is not', (.8, .8)), ('2 numbers, not 1', .394),
    ('nothing else', ('fast', 'slow')), ('nothing else', (None, .4)), ('nothing else', (math.nan, .4)), ('not 120', torch.ones(2, 60))]: wrong('reach_per_word', says, found)

# ---- 2 what ReLU costs
right('relu_gain', .5**.5, .71, .7071, torch.tensor(.7071), np.float64(.7), gain=2**.5)
right('relu_gain', .5**.5, gain=torch.tensor([1.41]))
for says,factor,gain in [('half of the *squares*', .5, 2), ('it would grow', 2**.5, .5**.5), ('a rotation keeps', 1, 1), ('In a measurement', .672, 1.49), ('The factor is not 0.25', .25, 4),
    ('twice is too much', .7071, 2), ('it is above 1', .7071, .7071), ('it is above 1', .7071, 1), ('The gain is not 1.25', .7071, 1.25),
    ('nothing else', 'half', 2**.5), ('nothing else', .7071, None), ('one number, not 2', (.7, .7), 1.4)]: wrong('relu_gain', says, factor, gain=gain)

# ---- 3 a second layer
def layer(cell, x, h=None, out=lambda o,h: o, keep=True):
    zero = x.new_zeros(len(x), cell.h_h.in_features)
    h,outs = zero if h is None else h,[]
    for x_t in x.unbind(1): o,h = cell(x_t, h if keep else zero); outs.append(o)
    return torch.stack(outs, 1)
def both_at_once(first, second, x):
    h,k,outs = x.new_zeros(len(x), first.h_h.in_features),x.new_zeros(len(x), second.h_h.in_features),[]
    for t in range(x.shape[1]): a,h = first(x[:, t], h); b,k = second(a, k); outs.append(b)
    return torch.stack(outs, 1)
def recurrent(first, second, x):
    layers = [Recurrent(lambda *a: c, c.i_h.in_features, c.h_h.in_features) for c in (first, second)]
    return layers[1](layers[0](x)[0])[0]
right('second_layer', lambda f,s,x: layer(s, layer(f, x)), both_at_once, recurrent)
@mutant('second_layer', 'starts from zero at every word')
def linear_layers(first, second, x): return torch.tanh(second.i_h(layer(first, x)) + second.h_h.bias)
@mutant('second_layer', 'one more linear layer')
def as_printed(first, second, x): return torch.tanh(second.i_h(layer(first, x)))
@mutant('second_layer', 'write into one state')
def one_state(first, second, x):
    h,outs = x.new_zeros(len(x), first.h_h.in_features),[]
    for x_t in x.unbind(1): out,h = first(x_t, h); out,h = second(out, h); outs.append(out)
    return torch.stack(outs, 1)
@mutant('second_layer', 'is given the state of the first')
def borrowed_state(first, second, x):
    h,outs = x.new_zeros(len(x), first.h_h.in_features),[]
    for x_t in x.unbind(1): out,h = first(x_t, h); outs.append(second(out, h)[0])
    return torch.stack(outs, 1)
@mutant('second_layer', 'from the last state of the first')
def carried_over(first, second, x): a = layer(first, x); return layer(second, a, a[:, -1])
@mutant('second_layer', 'reads the last output only')
def last_only(first, second, x): a = layer(first, x); return layer(second, a[:, -1:].expand_as(a))
for label,says,f in [('first alone', 'not used', lambda f,s,x: layer(f, x)), ('last step', 'one for each word', lambda f,s,x: layer(s, layer(f, x))[:, -1]),
    ('time first', 'dim=1', lambda f,s,x: layer(s, layer(f, x)).transpose(0, 1)), ('a pair', 'as one tensor', lambda f,s,x: (layer(s, layer(f, x)), None)),
    ('a list', 'as one tensor', lambda f,s,x: list(layer(s, layer(f, x)).unbind(1))), ('detached', 'No gradient comes', lambda f,s,x: layer(s, layer(f, x)).detach()),
    ('detached between', 'handed on without', lambda f,s,x: layer(s, layer(f, x).detach())), ('single zeros', 'new_zeros', lambda f,s,x: layer(s, layer(f, x), torch.zeros(3, s.h_h.in_features))),
    ('no pair', 'out,h = cell', lambda f,s,x: [out for out,h,c in [f(x[:, 0], x.new_zeros(3, 4))]])]:
    wrong('second_layer', says, f, label)
@mutant('second_layer', 'sizes of its own')
def one_size(first, second, x):
    n = first.h_h.in_features; a = layer(first, x)
    return layer(second, a, x.new_zeros(len(x), n))
@mutant('second_layer', 'gradient of the words: this differs')
def half_detached(first, second, x): a = layer(first, x); return layer(second, (a + a.detach())/2)

# ---- 4 where floats run out of digits
right('float_edge', 2.**-126, torch.finfo(torch.float32).tiny, torch.tensor(2.**-126), np.float32(2.**-126), [2.**-126])
for says,found in [('smallest float32 of all', 2.**-149), ('the gap at 1', 2.**-23), ('one step too far', 2.**-127), ('Halve it once more', 2.**-125), ('largest', torch.finfo(torch.float32).max),
    ('float64', 2.**-1022), ('exponent', -126), ('*positive*', 0), ('*positive*', -2.**-126), ('no power of two', 1.18e-38), ('is not 1e-42', 1e-42), ('is not inf', math.inf), ('nothing else', '2**-126'), ('nothing else', None), ('not 2', (1., 2.))]:
    wrong('float_edge', says, found)

# ---- 5 a test of causality
def prefix(layers, x, where=None, same=lambda a,b: torch.allclose(a, b, atol=1e-6), change=lambda x,t: x[:, t:].neg_(), upto=lambda a,t: a[:, :t]):
    for t in where or range(1, x.shape[1]):
        other = x.clone(); change(other, t)
        if not same(upto(layers(x)[0], t), upto(layers(other)[0], t)): return False
    return True
def shorter(layers, x): return all(torch.allclose(layers(x[:, :t])[0], layers(x)[0][:, :t], atol=1e-6) for t in range(1, x.shape[1]))
def by_gradient(layers, x):
    x = x.clone().requires_grad_(); outs = layers(x)[0]
    return not any((torch.autograd.grad(outs[:, t].sum(), x, retain_graph=True)[0][:, t+1:] != 0).any() for t in range(x.shape[1]-1))
def one_word_each(layers, x): return prefix(layers, x, change=lambda x,t: x[:, t].add_(1.))
right('causal', prefix, shorter, by_gradient, one_word_each, lambda layers,x: torch.tensor(prefix(layers, x)), lambda layers,x: np.bool_(prefix(layers, x)))
for label,says,f in [
    ('always yes', 'subtracts the mean over time passes', lambda layers,x: True), ('always no', 'An honest rnn fails', lambda layers,x: False),
    ('shapes', 'subtracts the mean over time passes', lambda layers,x: layers(x)[0].shape[:2] == x.shape[:2]),
    ('the last is the state', 'An honest lstm fails', lambda layers,x: bool(torch.allclose(layers(x)[0][:, -1], layers(x)[1][-1])) if isinstance(layers(x)[1], torch.Tensor) else False),
    ('all outputs', 'only those before it', lambda layers,x: prefix(layers, x, upto=lambda a,t: a)),
    ('its own place too', 'only those before it', lambda layers,x: prefix(layers, x, upto=lambda a,t: a[:, :t+1])),
    ('first output alone', 'one word ahead passes', lambda layers,x: prefix(layers, x, [x.shape[1]-1], upto=lambda a,t: a[:, 0])),
    ('not the nearest', 'one word ahead passes', lambda layers,x: prefix(layers, x, upto=lambda a,t: a[:, :t-1])),
    ('second word alone', 'knows the last word passes', lambda layers,x: prefix(layers, x, [1], change=lambda x,t: x[:, t].neg_())),
    ('from the second word on', 'at a single place passes', lambda layers,x: prefix(layers, x, [1])),
    ('last word alone', 'at a single place passes', lambda layers,x: prefix(layers, x, [x.shape[1]-1])),
    ('never the last word', 'knows the last word passes', lambda layers,x: prefix(layers, x, change=lambda x,t: x[:, t:-1].neg_())),
    ('at a fixed place', 'Rows here have 7 and 4', lambda layers,x: prefix(layers, x, [4])),
    ('in place', 'Work on `x.clone()`', lambda layers,x: (lambda a: (x[:, -1].neg_(), torch.allclose(a[:, :-1], layers(x)[0][:, :-1], atol=1e-6))[1])(layers(x)[0])),
    ('loosely', 'A small leak', lambda layers,x: prefix(layers, x, same=lambda a,b: torch.allclose(a, b, atol=.1))),
    ('no return', 'True or False, not NoneType', lambda layers,x: None), ('a tensor', 'True or False, not Tensor', lambda layers,x: layers(x)[0][:, :2] == layers(x)[0][:, :2]),
    ('the pair', 'returns a pair', lambda layers,x: torch.allclose(layers(x), layers(x)))]: wrong('causal', says, f, label)
@mutant('causal', 'return False')
def complains(layers, x): assert prefix(layers, x); return True

# ---- 6 rotations
def hh(model): return [p for n,p in model.rnn.named_parameters() if n.startswith('weight_hh')]
def each(f):
    def start(model):
        with torch.no_grad():
            for p in hh(model): p.copy_(f(p))
    return start
def replaced(model):
    for i in range(model.rnn.num_layers): setattr(model.rnn, f'weight_hh_l{i}', nn.Parameter(torch.linalg.qr(torch.randn(model.rnn.hidden_size, model.rnn.hidden_size))[0]))
    return model
def by_data(model):
    for p in hh(model): p.data = nn.init.orthogonal_(torch.empty_like(p))
right('rotation_start', lambda m: [nn.init.orthogonal_(p) for p in hh(m)], each(lambda p: torch.linalg.svd(p)[0] @ torch.linalg.svd(p)[2]), replaced, by_data, each(lambda p: torch.eye(len(p))), each(lambda p: torch.diag(torch.tensor([-1.] + [1.]*(len(p)-1))))) # the last one is mirrored
for label,says,f in [
    ('first layer', 'rnn.weight_hh_l1` is what it was', lambda m: nn.init.orthogonal_(m.rnn.weight_hh_l0)), ('a copy', 'is what it was', lambda m: [nn.init.orthogonal_(p.clone()) for p in hh(m)]),
    ('by radius', 'no rotation: it stretches', each(lambda p: p/torch.linalg.eigvals(p).abs().max())), ('by norm', 'should be the identity', each(lambda p: p/torch.linalg.matrix_norm(p, 2))),
    ('gain', 'multiplies every length by 1.41', lambda m: [nn.init.orthogonal_(p, 2**.5) for p in hh(m)]), ('normal', 'should be the identity', lambda m: [nn.init.normal_(p) for p in hh(m)]),
    ('inputs too', 'weight_ih_l0` has changed too', lambda m: [nn.init.orthogonal_(p) for n,p in m.rnn.named_parameters() if n.startswith('weight')]),
    ('biases to zero', 'bias_hh_l0` has changed too', lambda m: [(nn.init.orthogonal_ if p.dim() > 1 else nn.init.zeros_)(p) for n,p in m.rnn.named_parameters() if 'hh' in n]),
    ('biases', 'The biases have', lambda m: [nn.init.orthogonal_(p) for n,p in m.rnn.named_parameters() if 'hh' in n]),
    ('everything', 'i_h.weight` has changed too', lambda m: [nn.init.orthogonal_(p) for p in m.parameters() if p.dim() > 1]),
    ('two layers', 'one layer or more', lambda m: [nn.init.orthogonal_(getattr(m.rnn, f'weight_hh_l{i}')) for i in (0, 1)]),
    ('frozen', 'does not learn', lambda m: [nn.init.orthogonal_(p.requires_grad_(False)) for p in hh(m)]), ('leaf', 'torch.no_grad()', lambda m: [p.copy_(torch.eye(len(p))) for p in hh(m)]),
    ('a deep copy', 'a changed copy is returned', lambda m: replaced(deepcopy(m))), ('another model', 'a changed copy is returned', lambda m: LanguageModel(7, 5)),
    ('nothing', 'is what it was', lambda m: m)]: wrong('rotation_start', says, f, label)
