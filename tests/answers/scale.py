"Answers to the exercises of `13_scale`."
import math
import numpy as np
import torch
from answers import mutant, right, wrong
from lm_from_scratch.data import Corpus, Vocab, lm_dataloaders
from lm_from_scratch.scale import World, own_rows

# ---- whose rows
right('own_block', [4, 5, 6, 7], range(4, 8), np.arange(4, 8), torch.arange(4, 8))
for says,v in [('rows of process 0', [0, 1, 2, 3]), ('the last process', [8, 9, 10, 11]), ('counted from 0, too', [5, 6, 7, 8]), ('neighbours', [1, 4, 7, 10]), ('all rows', range(12)), ('four each', [4, 5, 6]),
    ('Not these', [3, 4, 5, 6]), ('list of row numbers', 4), ('list of row numbers', ['four'])]: mutant('own_block', says)(v)

# ---- the share of the softmax
def shares(f): return [f(200, 10_000, 2), f(200, 1000, 2), f(400, 50_000, 1)]
right('softmax_share', shares(lambda n,V,L: V/(V + 8*n*L)), (.76, .24, .94), torch.tensor([.758, .238, .940]))
for says,f in [('share of the layers', lambda n,V,L: 8*n*L/(V + 8*n*L)), ('per cent', lambda n,V,L: 100*V/(V + 8*n*L)), ('half of the layers', lambda n,V,L: V/(V + 4*n*L)), ('plain RNN', lambda n,V,L: V/(V + 2*n*L)),
    ('half of the layers', lambda n,V,L: V/(V + 8*n)), ('how many times', lambda n,V,L: V/(8*n*L)), ('is not it', lambda n,V,L: .5)]: mutant('softmax_share', says)(shares(f))
for v in ([.76, .24], 'a lot', [None]*3): mutant('softmax_share', 'three numbers')(v)

# ---- the mean of the gradients
def by_flat(gs): # as `World.average` does it
    flat = torch.stack([torch.cat([t.flatten() for t in own]) for own in gs]).mean(0)
    return [part.view_as(t) for part,t in zip(flat.split([t.numel() for t in gs[0]]), gs[0])]
def by_sums(gs): return tuple(sum(own)/len(gs) for own in zip(*gs))
def in_place(gs):
    for k in range(3):
        for own in gs[1:]: gs[0][k] += own[k]
        gs[0][k] /= len(gs)
    return gs[0]
right('averaged_gradients', by_flat, by_sums)
for label,says,f in [('sum', 'this is the sum', lambda gs: [sum(own) for own in zip(*gs)]), ('first', 'first process', lambda gs: [t.clone() for t in gs[0]]), ('last', 'gradient of one process', lambda gs: [t.clone() for t in gs[-1]]),
    ('to a number', 'over the numbers of a gradient', lambda gs: [torch.stack(own).mean() for own in zip(*gs)]), ('by process', 'Go by parameter', lambda gs: [torch.cat([t.flatten() for t in own]).mean() for own in gs]),
    ('in place', 'changed in place', in_place), ('a tensor', 'Return a list', lambda gs: by_flat(gs)[0]), ('one too few', '2 parameters', lambda gs: by_sums(gs)[:2]),
    ('by two', 'differs', lambda gs: [sum(own)/(len(gs)+1) for own in zip(*gs)])]: wrong('averaged_gradients', says.replace('2 parameters', '2 tensors came back'), f, label)

# ---- joined too early
def joined(losses, words): return math.exp(sum(v*n for own,ns in zip(losses, words) for v,n in zip(own, ns))/sum(map(sum, words)))
def by_tensors(losses, words):
    v,n = (torch.tensor(sum(x, []), dtype=torch.float64) for x in (losses, words))
    return ((v*n).sum()/n.sum()).exp()
right('joined_perplexity', joined, by_tensors)
def mean(xs): return sum(xs)/len(xs)
def each(losses, words): return [sum(v*n for v,n in zip(own, ns))/sum(ns) for own,ns in zip(losses, words)]
for label,says,f in [('loss', 'This is the loss', lambda v,n: math.log(joined(v, n))), ('flat mean', 'as if they were equally long.', lambda v,n: math.exp(mean(sum(v, [])))),
    ('mean of means', 'and then the processes', lambda v,n: math.exp(mean([mean(o) for o in v]))), ('processes alike', 'equally much', lambda v,n: math.exp(mean(each(v, n)))),
    ('perplexities', 'exponential last', lambda v,n: mean([math.exp(x) for x in each(v, n)])), ('the first', 'first process alone', lambda v,n: math.exp(each(v, n)[0])), ('base 2', 'it should be', lambda v,n: 2**math.log(joined(v, n))),
    ('careless', 'it should be', lambda v,n: mean([math.exp(mean(o)) for o in v])), ('a list', 'Return one number', each)]: wrong('joined_perplexity', says, f, label)

# ---- the batches of one process
def batches(ids, bs, seq_len, rank, size, block=True, cut=False, tail=False, shift=1):
    if cut: ids,bs,rank,size = ids[rank*(len(ids)//size) : (rank+1)*(len(ids)//size)+1],bs//size,0,1
    n = (len(ids)-1)//bs
    rows = torch.stack([ids[r*n : r*n+n+1] for r in range(bs)])
    rows = rows[rank*(bs//size) : (rank+1)*(bs//size)] if block else rows[rank::size]
    return [(rows[:, i:i+seq_len], rows[:, i+shift:i+seq_len+shift]) for i in range(0, n if tail else n//seq_len*seq_len, seq_len)]
def by_loader(ids, bs, seq_len, rank, size):
    corpus = Corpus(ids, Vocab([f'w{i}' for i in range(len(ids))]), valid_ids=ids)
    n = (len(ids)-1)//bs
    dls = lm_dataloaders(corpus, bs, seq_len, drop_last=False)
    return [b for b in own_rows(dls, World(rank, size)).train if b[0].shape[1] == seq_len][:n//seq_len]
right('own_batches', batches, by_loader)
for label,says,f in [('all rows', 'all rows; a process', lambda i,b,s,r,n: batches(i, b, s, 0, 1)), ('others', 'another process', lambda i,b,s,r,n: batches(i, b, s, (r+1)%n, n)), ('every n-th', 'every so-many-th', lambda i,b,s,r,n: batches(i, b, s, r, n, block=False)),
    ('time', 'slice of time', lambda i,b,s,r,n: batches(i, b, s, 0, 1)[r*(len(batches(i, b, s, 0, 1))//n) : (r+1)*(len(batches(i, b, s, 0, 1))//n)] if n > 1 else batches(i, b, s, r, n)),
    ('cut first', 'before the rows', lambda i,b,s,r,n: batches(i, b, s, r, n, cut=True)), ('tail', 'as many as one process has', lambda i,b,s,r,n: batches(i, b, s, r, n, tail=True)), ('no shift', 'y is not', lambda i,b,s,r,n: batches(i, b, s, r, n, shift=0)),
    ('x alone', 'pair of tensors', lambda i,b,s,r,n: [x for x,_ in batches(i, b, s, r, n)]), ('a tensor', 'list of pairs', lambda i,b,s,r,n: i)]: wrong('own_batches', says, f, label)

# ---- what the ring sends
right('ring_bytes', lambda ranks,size: 2*(ranks-1)*size/ranks, lambda ranks,size: sum(size/ranks for _ in range(2*(ranks-1))))
for label,says,f in [('adding up', 'adding up alone', lambda r,s: (r-1)*s/r), ('whole', 'not the whole tensor', lambda r,s: 2*(r-1)*s), ('ranks turns', 'ranks − 1 turns', lambda r,s: 2*s), ('one piece', 'one piece', lambda r,s: s/r),
    ('once', '', lambda r,s: s), ('a word', 'one number', lambda r,s: 'much'), ('three', 'it should be', lambda r,s: 3*(r-1)*s/r)]: wrong('ring_bytes', says, f, label)

# ---- where it stops to pay
def gain(tokens, ranks, token, fixed, message, share=True, sends=True, alone=False, pays=True):
    one = tokens*token + fixed
    return one/(tokens/(ranks if share else 1)*token + (fixed if pays else fixed/ranks) + message*(sends and (ranks > 1 or alone)))
def by_steps(tokens, ranks, token, fixed, message):
    def step(n): return tokens*token/n + fixed + (message if n > 1 else 0)
    return torch.tensor(step(1)/step(ranks), dtype=torch.float64)
right('speed_up', gain, by_steps)
for label,says,f in [('alone', 'sends nothing', lambda *a: gain(*a, alone=True)), ('free', 'message is free', lambda *a: gain(*a, sends=False)), ('fixed shared', 'it is not shared', lambda *a: gain(*a, pays=False)), ('all tokens', 'they share them', lambda *a: gain(*a, share=False)),
    ('upside down', 'upside down', lambda *a: 1/gain(*a)), ('seconds', 'seconds of a step', lambda t,n,c,f,m: t/n*c + f + m*(n > 1)), ('pays', 'pays for a message', lambda t,n,c,f,m: (t*c + f + m)/(t/n*c + f + m)),
    ('grows', 'grows with the processes', lambda t,n,c,f,m: n*gain(t, n, c, f, m, share=False)), ('ranks', 'it should be', lambda t,n,c,f,m: float(n) if n > 1 else 1.), ('a word', 'one number', lambda *a: 'twice')]: wrong('speed_up', says, f, label)
