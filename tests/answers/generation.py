"Answers to the exercises of `11_generation`."
import copy
from itertools import product
import numpy as np
import torch
from answers import mutant, right, wrong
from lm_from_scratch.data import human_numbers
from lm_from_scratch.generation import Reader, generate, word_probs

# ---- labels: what stood last in front of c
def labels(keep=lambda last,new: new, start=None, shift=0):
    def f(ids, c):
        last,out,row = start,[],ids.tolist()
        for t in range(len(row)):
            k = t + shift
            if 0 < k < len(row) and row[k] == c: last = keep(last, row[k-1])
            out.append(last)
        return out
    return f
def by_places(ids, c): # with tensors
    at = torch.arange(len(ids)); at[(ids != c) | (at == 0)] = 0
    at = at.cummax(0).values
    return [ids[k-1] if k else None for k in at.tolist()]
def np_labels(ids, c): return np.array(labels()(ids, c), dtype=object)
right('last_before', labels(), by_places, lambda ids,c: tuple(labels()(ids, c)), np_labels)
def in_place(ids, c):
    got = labels()(ids, c); ids.zero_(); return got
def the_word_after(ids, c):
    row,out,last = ids.tolist(),[],None
    for t,w in enumerate(row):
        if t and w == c and t+1 < len(row): last = row[t+1]
        out.append(last)
    return out
class Words:
    def __init__(self): self.vocab = human_numbers().vocab
    def __call__(self, ids, c): return [None if i is None else self.vocab[i] for i in labels()(ids, c)]
for label,says,f in [('too early', 'too early', labels(shift=1)), ('too late', 'a word too late', lambda ids,c: [None, *labels()(ids, c)[:-1]]),
    ('there alone', 'kept until the next', lambda ids,c: [int(ids[t-1]) if t and ids[t] == c else None for t in range(len(ids))]),
    ('starts with 0', 'the label is None', labels(start=0)), ('starts with -1', 'the label is None', lambda ids,c: torch.tensor(labels(start=-1)(ids, c))),
    ('wraps round', 'the label is None', lambda ids,c: labels(start=int(ids[-1]) if ids[0] == c else None)(ids, c)),
    ('words', 'ids, not words', Words()), ('the last alone', 'a label for each', lambda ids,c: labels()(ids, c)[-1]), ('one less', 'a label for each', lambda ids,c: labels()(ids, c)[1:]),
    ('keeps the first', 'that last stood in front', labels(keep=lambda last,new: new if last is None else last)),
    ('the word after', '*after*', the_word_after), ('in place', 'in place', in_place), ('none', 'a label for each', lambda ids,c: None),
    ('c taken for granted', 'the label is None', lambda ids,c: labels()(ids, 2)),
    ('no first', 'there is nothing', lambda ids,c: [None][0] + 1)]: wrong('last_before', says, f, label)

# ---- how many words tell the next number
right('words_needed', [5, 5, 4], (5, 5, 4), torch.tensor([5, 5, 4]), {'a': 5, 'b': 5, 'c': 4})
for says,v in [('9 different numbers', [4, 5, 4]), ('Only the dot before', [5, 4, 4]), ('`forty two .` stands at 100 places', [5, 5, 3]), ('has 5 words', [6, 5, 4]),
    ('three whole numbers', 5), ('three whole numbers', [5, 5]), ('three whole numbers', ['5', '5', '4']), ('`two .` stands', [5, 5, 2]), ('cannot be', [0, 5, 4])]: mutant('words_needed', says)(v)

# ---- temperature
def power(s, t): p = s.softmax(0); p = p**(1/t) if t else (p == p.max()).double(); return p/p.sum()
def shifted(s, t): s = s - s.max(); e = (s/t).exp() if t else (s == 0).double(); return e/e.sum()
right('temperature', word_probs, power, shifted, lambda s,t: (s/max(t, 1e-6)).softmax(0))
def at0(f): return lambda s,t: f(s, t) if t else word_probs(s, 0)
def unsafe(s, t): e = (s/t).exp(); return e/e.sum()
for label,says,f in [('after the softmax', 'cancels out', at0(lambda s,t: s.softmax(0)/t/(s.softmax(0)/t).sum())), ('ignored', 'cancels out', lambda s,t: s.softmax(0)),
    ('multiplied', 'are multiplied', at0(lambda s,t: (s*t).softmax(0))), ('not normalized', 'do not sum to 1', at0(lambda s,t: s.softmax(0)/t)),
    ('logs', 'log-probabilities', at0(lambda s,t: (s/t).log_softmax(0))), ('nan at 0', 'no numbers left', lambda s,t: (s/t).softmax(0)),
    ('1/0', 'nothing can be divided', lambda s,t: (s*(1/t)).softmax(0)), ('overflows', 'overflows', at0(unsafe)),
    ('uniform at 0', 'at temperature 0', lambda s,t: (s/t).softmax(0) if t else torch.ones_like(s)/len(s)), ('scores', 'should be a tensor', lambda s,t: (s/t).tolist() if t else s),
    ('nearly 0', 'second likeliest', lambda s,t: (s/max(t, .01)).softmax(0)),
    ('an index at 0', 'temperature 0', lambda s,t: (s/t).softmax(0) if t else s.argmax()),
    ('in place', 'in place', at0(lambda s,t: s.div_(t).softmax(0))), ('none', 'should be a tensor', lambda s,t: None), ('always 1', 'cancels out', at0(lambda s,t: (s/1.).softmax(0))),
    ('log of the scores', 'differs', at0(lambda s,t: (s.abs().log()/t).softmax(0)))]: wrong('temperature', says, f, label)

# ---- greedy
@torch.no_grad()
def writes(model, ids, n, evaluates=True, own=True, again=False, after=lambda m,modes: [setattr(o, 'training', t) for o,t in modes], back=True, more=0):
    theirs,modes = model.h,[(o, o.training) for o in model.modules()]
    if evaluates: model.eval()
    if own: model.h = None
    new,read = [],ids
    for _ in range(n):
        if again: model.reset(); read = torch.cat([ids, torch.tensor(new, dtype=torch.long)])
        read = model(read[None])[0][0, -1].argmax()[None]
        new.append(int(read))
    if back: model.h = theirs
    after(model, modes)
    return new
def with_reader(model, ids, n):
    reader,new = Reader(model),[]
    for _ in range(n): ids = reader(ids).argmax()[None]; new.append(ids)
    return torch.cat(new)
class Generates:
    def __call__(self, model, ids, n):
        words = list('abcdefg'); text = generate(model, [words[i] for i in ids], n, vocab=words).split()
        return [words.index(w) for w in text[len(ids):]]
right('greedy', writes, with_reader, Generates())
@torch.no_grad()
def twice(model, ids, n): # reads the last word of the text a second time
    reader,new = Reader(model),[]
    reader(ids); last = ids[-1:]
    for _ in range(n): last = reader(last).argmax()[None]; new.append(int(last))
    return new
for label,says,f in [('trains', 'dropout is at work', lambda m,i,n: writes(m, i, n, evaluates=False)),
    ('their state', 'state of the text', lambda m,i,n: writes(m, i, n, own=False)), ('reads again', 'read again for every word', lambda m,i,n: writes(m, i, n, again=True)),
    ('stays in eval', 'left in evaluation mode', lambda m,i,n: writes(m, i, n, after=lambda m,modes: None)), ('train()', 'Not every module', lambda m,i,n: writes(m, i, n, after=lambda m,modes: m.train())),
    ('state lost', 'is lost', lambda m,i,n: writes(m, i, n, back=False)), ('state reset', 'is lost', lambda m,i,n: (writes(m, i, n), m.reset())[0]),
    ('with the prompt', 'without the prompt', lambda m,i,n: i.tolist() + writes(m, i, n)), ('one too few', 'these are 11', lambda m,i,n: writes(m, i, n-1)),
    ('twice', 'read twice', twice), ('first word only', 'Is each new word read', lambda m,i,n: writes(m, i, 1)*n), ('text', 'list of ids', lambda m,i,n: 'one two'), ('no row', 'stops with', lambda m,i,n: m(i)[0].argmax(-1)),
    ('tensors in a list', 'something else than ids', lambda m,i,n: [torch.zeros(2, dtype=torch.long)]*n)]: wrong('greedy', says, f, label)

# ---- a word for another of its group
def swaps(new, place=lambda x,t: x.clone(), where=lambda word,group: word in group):
    def f(x, t, group):
        group,x = list(map(int, group)),place(x, t)
        for row in x:
            if where(int(row[t]), group): row[t] = new(int(row[t]), group)
        return x
    return f
def draw(words): return words[int(torch.randint(len(words), ()))]
def other(word, group): return draw([g for g in group if g != word])
def table(x, t, group): # with a table of all partners
    group,x = torch.as_tensor(group),x.clone(); k = len(group)
    partners = torch.stack([group[torch.arange(k) != j] for j in range(k)])
    member = x[:, t, None] == group
    rows = member.any(1)
    x[rows, t] = partners[member[rows].int().argmax(1), torch.randint(k-1, (int(rows.sum()),))]
    return x
right('swap_within', swaps(other), table)
for label,says,f in [('in place', 'in place', swaps(other, place=lambda x,t: x)), ('any of the group', 'should be another', swaps(lambda w,g: draw(g))),
    ('any word', 'outside', swaps(lambda w,g: (w + 1 + int(torch.randint(8, ()))) % 9)), ('all rows', 'Words outside the group are changed', swaps(other, where=lambda w,g: True)),
    ('the next', 'always the same word', swaps(lambda w,g: g[(g.index(w)+1) % len(g)])), ('places', 'other places', lambda x,t,g: swaps(other)(swaps(other)(x, t, g), 1, g)),
    ('from the end', 'other places', lambda x,t,g: swaps(other)(x, x.shape[1]-1-t if t != 2 else 3, g)), ('nothing', 'Nothing is exchanged', lambda x,t,g: x.clone()),
    ('the column', 'like the one given', lambda x,t,g: swaps(other)(x, t, g)[:, t]), ('unequal', 'equally often', swaps(lambda w,g: draw([o for o in g if o != w][:2] + [[o for o in g if o != w][0]]*6 + [[o for o in g if o != w][2]]))),
    ('one group for all', 'Words outside the group', lambda x,t,g: swaps(other)(x, t, [6, 1, 3, 4])),
    ('ids as places', 'not places', lambda x,t,g: x[:, list(map(int, g))])]: wrong('swap_within', says, f, label)

# ---- beam search
def beam(model, ids, n, width, add=lambda total,lp: total + lp, pick=0, copies=True, keep=lambda width: width, raw=False):
    norm = (lambda s: s) if raw else (lambda s: s.log_softmax(0))
    reader = Reader(model); beams = [(0., [], reader, norm(reader(ids)))]
    for _ in range(n):
        ways = [(add(total, float(lp[w])), [*words, w], r) for total,words,r,lp in beams for w in range(len(lp))]
        beams = []
        for total,words,r in sorted(ways, key=lambda way: -way[0])[:keep(width)]:
            if copies: r = copy.copy(r)
            beams.append((total, words, r, norm(r(torch.tensor(words[-1:])))))
    return beams[pick][1]
def alone(model, ids, n, width): # the first words compete, and then each goes on by itself
    best = []
    for w in Reader(model)(ids).log_softmax(0).topk(width).indices.tolist():
        reader = Reader(model); total,words,lp = float(reader(ids).log_softmax(0)[w]),[w],None
        while len(words) < n:
            lp = reader(torch.tensor(words[-1:])).log_softmax(0); total += float(lp.max()); words.append(int(lp.argmax()))
        best.append((total, words))
    return max(best)[1]
def anew(model, ids, n, width): # reads every beginning again, all at once
    seqs,total = ids[None],torch.zeros(1).double()
    for _ in range(n):
        model.reset()
        with torch.no_grad(): lp = model(seqs)[0][:, -1].log_softmax(-1)
        total,at = (total[:, None] + lp).flatten().topk(min(width, lp.numel()))
        seqs = torch.cat([seqs[at // lp.shape[1]], (at % lp.shape[1])[:, None]], dim=1)
    return seqs[0, len(ids):]
right('beam_search', beam, anew)
def exhaustive(model, ids, n, width): # the best of all
    with torch.no_grad():
        all_ways = torch.tensor(list(product(range(7), repeat=n))); model.reset()
        x = torch.cat([ids.expand(len(all_ways), -1), all_ways], 1)
        lp = model(x[:, :-1])[0].log_softmax(-1)[:, len(ids)-1:].gather(2, all_ways[:, :, None]).sum((1, 2))
    return all_ways[lp.argmax()] if width > 1 else beam(model, ids, n, 1)
for label,says,f in [('greedy', 'it is greedy', lambda m,i,n,w: beam(m, i, n, 1)), ('sums of probabilities', 'probabilities are added', lambda m,i,n,w: beam(m, i, n, w, lambda total,lp: total + torch.tensor(lp).double().exp().item())),
    ('last word', "only the last word's", lambda m,i,n,w: beam(m, i, n, w, lambda total,lp: lp)), ('the last beam', 'last of the beams', lambda m,i,n,w: beam(m, i, n, w, pick=-1)),
    ('one state', 'state of its own', lambda m,i,n,w: beam(m, i, n, w, copies=False)), ('all beginnings', 'more beginnings are kept', exhaustive),
    ('with the prompt', 'without the prompt', lambda m,i,n,w: i.tolist() + beam(m, i, n, w)), ('alone', 'do not compete', alone), ('raw scores', 'scores are added', lambda m,i,n,w: beam(m, i, n, w, raw=True)), ('one more', 'With width 1', lambda m,i,n,w: beam(m, i, n, w, keep=lambda w: w + 1)),
    ('with the score', 'something else than ids', lambda m,i,n,w: (beam(m, i, n, w), -1.)),
    ('one too many', 'these are 5', lambda m,i,n,w: beam(m, i, n+1, w)), ('always twelve', 'With width 1', lambda m,i,n,w: beam(m, i, n, w, keep=lambda w: 12)),
    ('unlikeliest', 'log-probability', lambda m,i,n,w: beam(m, i, n, w, lambda total,lp: total - lp))]: wrong('beam_search', says, f, label)
