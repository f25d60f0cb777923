"Answers to the exercises of `14_after`."
import math
import numpy as np
import torch
import torch.nn.functional as F
from answers import mutant, right, wrong
from lm_from_scratch.after import attend, scan_log, scan_loop, scan_pairs

# ---- three places
right('found_values', [20, 16, 24], (20., 16., 24.), torch.tensor([20., 16., 24.]), np.array([20., 16., 24.]))
for says,v in [('equal shares', [16, 16, 24]), ('best place alone', [24, 16, 24]), ('divide by the sum', [160, 16, 24]), ('not the fits', [(16*math.log(2) + 24*math.log(5))/math.log(10), 16, 24]),
    ('exponential of 0 is 1', [20, 0, 24]), ('sum of the values', [20, 48, 24]), ('first place alone', [20, 8, 24]), ('depend on the scale', [20, 16, 20]), ('as if all fitted alike', [20, 16, 16]),
    ('never larger', [20, 16, math.inf]), ('19 is not it', [19, 16, 24]), ('three numbers', [20, 16]), ('three numbers', 20), ('should be a number', ['a', 16, 24])]: mutant('found_values', says)(v)

# ---- what a head finds
def most(shares, ids, of=lambda s: s.argmax(1), shares_of=lambda s: s):
    sums = torch.zeros(len(ids), int(ids.max())+1, dtype=shares.dtype)
    for i,w in enumerate(ids.tolist()): sums[:, w] += shares_of(shares)[:, i]
    return of(sums)
right('most_found', most, lambda s,i: (s @ F.one_hot(i).to(s)).max(1).indices)
for label,says,f in [('places', 'these are places', lambda s,i: s.argmax(1)), ('single place', 'largest single place', lambda s,i: i[s.argmax(1)]), ('least', 'least', lambda s,i: most(s, i, lambda t: t.argmin(1))),
    ('sums', 'these are the sums', lambda s,i: most(s, i, lambda t: t)), ('columns', 'columns are added up', lambda s,i: most(s, i, shares_of=lambda t: t.T)), ('list', 'should be a tensor', lambda s,i: most(s, i).tolist()),
    ('rows are one', 'differs', lambda s,i: most(s, i)*0 + i.max() + 1), ('in place', 'changed in place', lambda s,i: most(s.mul_(2), i))]: wrong('most_found', says, f, label)

# ---- a convolution
def conv(x, w, pad=lambda k: (k-1, 0), of=lambda t: t, w_of=lambda w: w):
    k = len(w)
    return of((F.pad(x, (0, 0, *pad(k))).unfold(1, k, 1)*w_of(w).T).sum(-1))
def conv_loop(x, w):
    out = torch.zeros_like(x)
    for j in range(len(w)): out[:, j:] = out[:, j:] + w[-1-j]*x[:, :x.shape[1]-j]
    return out
right('causal_convolution', conv, conv_loop, lambda x,w: F.conv1d(F.pad(x.transpose(1, 2), (len(w)-1, 0)), w.T[:, None], groups=w.shape[1]).transpose(1, 2))
for label,says,f in [('both ends', 'it looks ahead', lambda x,w: conv(x, w, lambda k: (k//2, k//2))), ('ahead by one', 'ahead by one', lambda x,w: conv(x, w, lambda k: (k-2, 1))), ('not itself', 'word t itself', lambda x,w: conv(x, w, lambda k: (k, -1))),
    ('flipped', 'wrong way round', lambda x,w: conv(x, w, w_of=lambda w: w.flip(0))), ('one weight', 'each unit has its own', lambda x,w: conv(x, w, w_of=lambda w: w[:, :1].expand_as(w))), ('mean', 'this is the mean', lambda x,w: conv(x, w)/len(w)),
    ('no zeros', 'zeros are missing', lambda x,w: conv(x, w, lambda k: (0, 0)))]: wrong('causal_convolution', says, f, label)

# ---- a scan
def begun(a, b, h, first): return scan_pairs(a, torch.cat([first(a[:, :1], h[:, None]) + b[:, :1], b[:, 1:]], 1), 0*h)
right('scan_from', scan_pairs, scan_loop, lambda a,b,h: begun(a, b, h, lambda a,h: a*h))
for label,says,f in [('forgets', 'forgotten', lambda a,b,h: scan_pairs(a, b, 0*h)), ('whole', 'taken in whole', lambda a,b,h: begun(a, b, h, lambda a,h: h)), ('share of the new', 'share of the new', lambda a,b,h: begun(a, b, h, lambda a,h: (1-a)*h)),
    ('one too early', 'stands in front', lambda a,b,h: torch.cat([h[:, None], scan_loop(a, b, h)[:, :-1]], 1)), ('last', 'last state alone', lambda a,b,h: scan_loop(a, b, h)[:, -1]), ('logarithms', 'Your answer stops', lambda a,b,h: scan_log(a.log(), b.log(), h)),
    ('no state', 'Your answer stops', lambda a,b: scan_loop(a, b, 0*a[:, 0]))]: wrong('scan_from', says, f, label)

# ---- attention
def attention(q, k, v, mask=lambda n: torch.ones(n, n).triu(1).bool(), scale=lambda n: n**-.5, dim=1):
    return (q @ k.T * scale(q.shape[1])).masked_fill(mask(len(q)), -torch.inf).softmax(dim) @ v
right('causal_attention', attention, lambda q,k,v: F.scaled_dot_product_attention(q, k, v, is_causal=True), lambda q,k,v: attend(q, k, v, torch.full((len(q), len(q)), -torch.inf).triu(1), q.shape[1]**-.5))
for label,says,f in [('no mask', 'it looks ahead', lambda q,k,v: attention(q, k, v, lambda n: torch.zeros(n, n).bool())), ('not itself', 'itself, too', lambda q,k,v: attention(q, k, v, lambda n: torch.ones(n, n).triu().bool()).nan_to_num(0.)),
    ('wrong half', 'after it', lambda q,k,v: attention(q, k, v, lambda n: torch.ones(n, n).tril(-1).bool())), ('no scale', 'root of the size', lambda q,k,v: attention(q, k, v, scale=lambda n: 1)), ('size', 'its root is meant', lambda q,k,v: attention(q, k, v, scale=lambda n: 1/n)),
    ('after softmax', 'after the softmax', lambda q,k,v: (q @ k.T * q.shape[1]**-.5).softmax(1).tril() @ v), ('zero fit', 'exponential of 0', lambda q,k,v: (q @ k.T * q.shape[1]**-.5).tril().softmax(1) @ v),
    ('exchanged', 'changed places', lambda q,k,v: attention(k, q, v)), ('over queries', 'differs', lambda q,k,v: attention(q, k, v, dim=0))]: wrong('causal_attention', says, f, label)

# ---- linear attention
def linear(q, k, v, S, first=True, found=None, out=None):
    outs,S0 = [],S
    for a,b,c in zip(q, k, v):
        if first: S = S + torch.outer(b, c)
        outs.append(a @ S)
        if not first: S = S + torch.outer(b, c)
    return torch.stack(outs) if found is None else found(q, k, v, S0, S), S if out is None else out(k, v, S0, S)
right('linear_attention', linear, lambda q,k,v,S: [(q @ k.T).tril() @ v + q @ S, S + k.T @ v])
for label,says,f in [('not carried', 'not read', lambda q,k,v,S: linear(q, k, v, S, found=lambda q,k,v,a,b: (q @ k.T).tril() @ v)), ('too early', 'before the word is taken in', lambda q,k,v,S: linear(q, k, v, S, first=False)),
    ('last matrix', 'it looks ahead', lambda q,k,v,S: linear(q, k, v, S, found=lambda q,k,v,a,b: q @ b)), ('softmax', 'no softmax', lambda q,k,v,S: linear(q, k, v, S, found=lambda q,k,v,a,b: (q @ k.T).masked_fill(torch.ones(len(q), len(q)).triu(1).bool(), -torch.inf).softmax(1) @ v + q @ a)),
    ('last word alone', 'last word alone', lambda q,k,v,S: linear(q, k, v, S, found=lambda q,k,v,a,b: (q*k).sum(1, keepdim=True)*v + q @ a)), ('old matrix', 'handed in.', lambda q,k,v,S: linear(q, k, v, S, out=lambda k,v,a,b: a)),
    ('without S', 'missing in it', lambda q,k,v,S: linear(q, k, v, S, out=lambda k,v,a,b: b-a)), ('transposed', 'transposed', lambda q,k,v,S: linear(q, k, v, S, out=lambda k,v,a,b: b.T)),
    ('last missing', 'last word is missing', lambda q,k,v,S: linear(q, k, v, S, out=lambda k,v,a,b: a + k[:-1].T @ v[:-1])), ('found alone', 'Return a pair', lambda q,k,v,S: linear(q, k, v, S)[0])]: wrong('linear_attention', says, f, label)

# ---- how much is carried
right('carried_sizes', [256, 128, 16_254, 258_000], (256, 128, 16254, 258000), torch.tensor([256, 128, 16254, 258000]))
for says,v in [('two states', [128, 128, 16254, 258000]), ('two layers', [64, 128, 16254, 258000]), ('after any word', [256_000, 128, 16254, 258000]), ('one state, not two', [256, 256, 16254, 258000]), ('There are two layers'.lower(), [256, 64, 16254, 258000]),
    ('63 are kept', [256, 128, 16512, 258000]), ('whether a word is there', [256, 128, 16128, 258000]), ('63 words are kept', [256, 128, 16384, 258000]), ('window shows', [256, 128, 258000, 258000]), ('*and* values', [256, 128, 8190, 258000]),
    ('only 1,000 words', [256, 128, 16254, 515742]), ('has room for all', [256, 128, 16254, 257742]), ('whether a word is there', [256, 128, 16254, 256000]), ('four whole numbers', [256, 128, 16254]), ('is not it', [256, 128, 16254, 1])]: mutant('carried_sizes', says)(v)
