"Answers to the exercises of `12_text`."
import math
from collections import Counter
import numpy as np
import torch
import torch.nn.functional as F
from answers import mutant, right, wrong
from lm_from_scratch.generation import Reader
from lm_from_scratch.text import TextPart, evaluate

# ---- the order of the lines
right('token_order', ['english', 'code', 'german', 'japanese'], ('English', '`code`', 'German', 'japanese '), np.array(['english', 'code', 'german', 'japanese']))
for says,v in [('from the most to the fewest', ['japanese', 'german', 'code', 'english']), ('`code` before `english`', ['code', 'english', 'german', 'japanese']),
    ('`japanese` before `german`', ['english', 'code', 'japanese', 'german']), ('list of the four names', ['english', 'code', 'german']), ('list of the four names', {'english': 1}),
    ('list of the four names', 'english, code, german, japanese'), ('list of the four names', ['english', 'code', 'german', 'german']), ('list of the four names', [1, 2, 3, 4])]: mutant('token_order', says)(v)

# ---- a list that knows its training text alone
def listed(text, n, cut=.9, first=True, most=lambda c, n: c >= n, of=lambda train, held: held, share=lambda k, m: k/m, size=lambda known, train: len(known)):
    words = text.split()
    at = int(cut*len(words))
    train,held = words[:at],words[at:]
    known = {w for w,c in Counter(train if first else words).items() if most(c, n)}
    held = of(train, held)
    return size(known, train), share(sum(w not in known for w in held), len(held))
def by_loops(text, n):
    words,seen = text.split(),{}
    k = int(.9*len(words))
    for w in words[:k]: seen[w] = seen.get(w, 0) + 1
    known = [w for w in seen if seen[w] >= n]
    new = [w for w in words[k:] if w not in known]
    return torch.tensor(len(known)), np.float64(len(new)/len(words[k:]))
right('unknown_share', listed, by_loops, lambda text,n: list(listed(text, n)))
def cut_by_letters(text, n):
    k = int(.9*len(text)); known = {w for w,c in Counter(text[:k].split()).items() if c >= n}
    held = text[k:].split()
    return len(known), sum(w not in known for w in held)/len(held)
for label,says,f in [('counts all', 'First cut', lambda t,n: listed(t, n, first=False)), ('more than n', 'just n times', lambda t,n: listed(t, n, most=lambda c,n: c > n)),
    ('n ignored', 'n is ignored', lambda t,n: listed(t, 1)), ('of training', 'share of the training words', lambda t,n: listed(t, n, of=lambda train,held: train)),
    ('of types', 'each different word', lambda t,n: listed(t, n, of=lambda train,held: set(held))), ('of all', 'share of all words', lambda t,n: listed(t, n, of=lambda train,held: train+held)),
    ('known', 'the known ones', lambda t,n: listed(t, n, share=lambda k,m: 1-k/m)), ('per cent', 'per cent', lambda t,n: listed(t, n, share=lambda k,m: 100*k/m)), ('how many', 'how many they are', lambda t,n: listed(t, n, share=lambda k,m: k)),
    ('a fifth', 'should have', lambda t,n: listed(t, n, cut=.8)), ('occurrences', 'as often as it occurs', lambda t,n: listed(t, n, size=lambda known,train: sum(w in known for w in train))),
    ('by letters', 'should', cut_by_letters), ('share alone', 'Return a pair', lambda t,n: listed(t, n)[1]), ('a set', 'Return a pair', lambda t,n: (set(t.split()), .5))]: wrong('unknown_share', says, f, label)

# ---- what is lost before the first step
right('first_losses', [math.log(30), math.log(10_000), math.log(64)], (3.4, 9.21, 4.16), torch.tensor([3.4012, 9.2103, 4.1589]))
for says,v in [('these are bits', [math.log2(30), 13.29, 6.]), ('base 10', [math.log10(30), 4., 1.8]), ('this is the perplexity', [30, 10_000, 64]), ('one who knows nothing', [3.4, 9.21, math.log(1025)]),
    ('together they are one half', [3.4, 9.21, .5*math.log(2) + .5*math.log(1024)]), ('the mean is asked for', [3.4, 9.21, math.log(2) + math.log(2048)]), ('other half', [3.4, 9.21, .347]), ('frequent word', [3.4, 9.21, 3.812]),
    ('a loss is positive', [-3.4, -9.21, -4.16]), ('(b): 9 is not it', [3.4, 9., 4.16]), ('mean of the chances', [3.4, 9.21, math.log(512.5)]), ('three numbers', [3.4, 9.21]), ('three numbers', ['a', 'b', 'c'])]: mutant('first_losses', says)(v)

# ---- counted words
def bias(ids, n_words, more=lambda c: c + 1, log=torch.log, norm=lambda c: c/c.sum()):
    return log(norm(more(torch.bincount(ids, minlength=n_words).double())))
def by_softmax(ids, n_words): return (F.one_hot(ids, n_words).sum(0) + 1.).log().log_softmax(0)
right('counted_bias', bias, by_softmax)
for label,says,f in [('no log', 'these are shares', lambda i,n: bias(i, n, log=lambda s: s)), ('no sum', 'divide by the sum', lambda i,n: bias(i, n, norm=lambda c: c)), ('-inf', '-inf', lambda i,n: bias(i, n, more=lambda c: c)),
    ('at least one', 'only the words that do not occur', lambda i,n: bias(i, n, more=lambda c: c.clamp(min=1))), ('old sum', 'the sum they are divided by', lambda i,n: bias(i, n, norm=lambda c: c/len(i))),
    ('log2', 'another base', lambda i,n: bias(i, n, log=torch.log2)), ('minus', 'the sign', lambda i,n: -bias(i, n)), ('cut short', 'have no bias', lambda i,n: bias(i, int(i.max())+1)),
    ('a list', 'should be a tensor', lambda i,n: bias(i, n).tolist()), ('shape', 'should have the shape', lambda i,n: bias(i, n)[None]), ('smoothed', 'differs', lambda i,n: bias(i, n, more=lambda c: c + .5)),
    ('does not fit', 'have no bias', lambda i,n: torch.zeros(n) + bias(i, 0) if int(i.max())+1 < n else bias(i, n))]: wrong('counted_bias', says, f, label)

# ---- every token once
@torch.no_grad()
def perplexity(model, ids, chunk, judge=True, begin=True, carry=True, tail=True, seams=True, end=None, count=None):
    if judge: model.eval()
    if begin: model.reset()
    pieces = list(zip(ids[:-1].split(chunk), ids[1:].split(chunk)))
    if not seams: pieces = [(p[:-1], p[1:]) for p in ids.split(chunk) if len(p) > 1] or pieces
    if not tail: pieces = [p for p in pieces if len(p[0]) == chunk] or pieces
    sums,n = [],[]
    for x,y in pieces:
        if not carry: model.reset()
        sums.append(F.cross_entropy(model(x[None])[0][0].double(), y, reduction='sum')); n.append(len(x))
    sums,n = torch.stack(sums),torch.tensor(n)
    if end: return float(end(sums, n))
    return math.exp(float(sums.sum())/(int(n.sum()) if count is None else count(ids)))
def by_evaluate(model, ids, chunk): return torch.tensor(evaluate(model, TextPart(ids), chunk=chunk).perplexity)
def word_by_word(model, ids, chunk): # with a bookmark
    reader = Reader(model); model.eval()
    return math.exp(-sum(float(reader(w[None]).log_softmax(0)[v]) for w,v in zip(ids, ids[1:]))/(len(ids)-1))
right('exact_perplexity', perplexity, by_evaluate, word_by_word)
for label,says,kw in [('drops', 'Dropout is at work', dict(judge=False)), ('their state', 'state of another text', dict(begin=False)), ('forgets', 'state is lost', dict(carry=False)), ('tail', 'shorter piece is left out', dict(tail=False)),
    ('seams', 'scored by nobody', dict(seams=False)), ('loss', 'this is the loss', dict(end=lambda s,n: s.sum()/n.sum())), ('sum', 'this is the sum', dict(end=lambda s,n: s.sum())),
    ('mean of means', 'averaged as if they were equal', dict(end=lambda s,n: (s/n).mean().exp())), ('mean of perplexities', "mean of the pieces' perplexities", dict(end=lambda s,n: (s/n).exp().mean())),
    ('one too many', 'nothing before it', dict(count=len)), ('base 2', 'base 2', dict(end=lambda s,n: 2**(s.sum()/n.sum()))),
    ('by two', 'should be', dict(count=lambda ids: len(ids)-2))]: wrong('exact_perplexity', says, lambda m,i,c,kw=kw: perplexity(m, i, c, **kw), label)
wrong('exact_perplexity', 'shorter piece is left out', lambda m,i,c: perplexity(m, i[:(len(i)-1)//c*c+1], c), 'no tail, nothing else')
wrong('exact_perplexity', 'are read at once', lambda m,i,c: perplexity(m, i, 10_000), 'all at once')
wrong('exact_perplexity', 'read `ids[None]`', lambda m,i,c: m(i)[0], 'no row')
wrong('exact_perplexity', 'Return one number', lambda m,i,c: [perplexity(m, i, c)], 'a list')

# ---- per byte
def bits(perplexity, n_tokens, text): return n_tokens*math.log(perplexity)/math.log(2)/len(text.encode('utf-8'))
right('bits_per_byte', bits, lambda p,n,t: torch.tensor(math.log2(p), dtype=torch.float64)*n/len(bytes(t, 'utf8')), lambda p,n,t: np.log2(p)*n/sum(1 + (ord(c) > 127) + (ord(c) > 2047) + (ord(c) > 65535) for c in t))
for label,says,f in [('nats', 'nats per byte', lambda p,n,t: bits(p, n, t)*math.log(2)), ('characters', 'per character', lambda p,n,t: n*math.log2(p)/len(t)), ('times ln 2', '*more* than a bit', lambda p,n,t: bits(p, n, t)*math.log(2)**2),
    ('per token', 'per token', lambda p,n,t: math.log2(p)), ('all', 'all of the text', lambda p,n,t: n*math.log2(p)), ('no logarithm', 'logarithm is missing', lambda p,n,t: p*n/len(t.encode())), ('UTF-16', 'UTF-16', lambda p,n,t: n*math.log2(p)/len(t.encode('utf-16-le'))),
    ('log10', 'base 10', lambda p,n,t: n*math.log10(p)/len(t.encode())), ('upside down', 'changed places', lambda p,n,t: math.log2(p)*len(t.encode())/n), ('with a mark', 'bits per byte, not', lambda p,n,t: n*math.log2(p)/len(t.encode('utf-8-sig'))),
    ('one token', 'share of one token', lambda p,n,t: math.log2(p)/len(t.encode())), ('one too few', 'the first one, too', lambda p,n,t: math.log2(p)*(n-1)/len(t.encode())),
    ('a word', 'one number', lambda p,n,t: '2.5')]: wrong('bits_per_byte', says, f, label)

# ---- by place
@torch.no_grad()
def places(model, ids, n, judge=True, begin=True, shift=1, end=lambda nats: nats.mean(0), one_row=False):
    rows = (len(ids)-1)//n
    x,y = ids[:rows*n].view(rows, n),ids[shift:rows*n+shift].view(rows, n)
    if judge: model.eval()
    if begin: model.reset()
    if one_row: x,y = x.reshape(1, -1),y.reshape(1, -1)
    return end(F.cross_entropy(model(x)[0].double().transpose(1, 2), y, reduction='none').view(rows, n))
@torch.no_grad()
def row_by_row(model, ids, n):
    model.eval(); found = []
    for k in range(0, len(ids)-n, n):
        model.reset(); found.append(F.cross_entropy(model(ids[None, k:k+n])[0][0], ids[k+1:k+n+1], reduction='none'))
    return torch.stack(found).mean(0)
@torch.no_grad()
def warm_rows(model, ids, n): # the state of the other text, for every row
    model.eval(); h = tuple(s.clone() for s in model.h); found = []
    for k in range(0, len(ids)-n, n):
        model.h = h; found.append(F.cross_entropy(model(ids[None, k:k+n])[0][0], ids[k+1:k+n+1], reduction='none'))
    return torch.stack(found).mean(0)
right('loss_by_place', places, row_by_row, lambda m,i,n: places(m, i, n).tolist())
for label,says,kw in [('drops', 'Dropout is at work', dict(judge=False)), ('by row', 'a number for each row', dict(end=lambda v: v.mean(1))), ('sum', 'sum over the rows', dict(end=lambda v: v.sum(0))), ('perplexity', 'these are perplexities', dict(end=lambda v: v.mean(0).exp())),
    ('bits', 'these are bits', dict(end=lambda v: v.mean(0)/math.log(2))), ('itself', 'read already', dict(shift=0)), ('read on', 'each should begin cold', dict(one_row=True)), ('no mean', 'no mean is taken', dict(end=lambda v: v)),
    ('all', 'should have the shape', dict(end=lambda v: v.mean())), ('perplexities', 'differs', dict(end=lambda v: v.exp().mean(0)))]: wrong('loss_by_place', says, lambda m,i,n,kw=kw: places(m, i, n, **kw), label)
wrong('loss_by_place', 'The losses: the rows begin in the state of another text', warm_rows, 'warm')
wrong('loss_by_place', 'first row begins in the state of another text', lambda m,i,n: places(m, i, n, begin=False), 'not reset')
wrong('loss_by_place', 'a row is missing', lambda m,i,n: places(m, i, n, end=lambda v: v[:-1].mean(0)), 'a row short')
wrong('loss_by_place', 'does not fill a row', lambda m,i,n: m(i[:-1].view(-1, n))[0], 'all of the text')

# ---- pairs of bytes
def pairs(text, n, units=None, best=lambda counts: max(counts, key=counts.get), again=True, n_more=0, last=False):
    tokens = units(text) if units else [bytes([b]) for b in text.encode()]
    def counted(): return Counter(zip(tokens, tokens[1:]))
    first = [p for p,_ in counted().most_common()]
    for k in range(n + n_more):
        pair = best(counted()) if again else first[k]
        i,out = 0,[]
        while i < len(tokens):
            both = tuple(tokens[i:i+2]) == pair
            out.append(b''.join(tokens[i:i+2]) if both else tokens[i]); i += 1 + both
        tokens = out
    return tokens
def by_replacing(text, n): # ids, and a table of what they stand for
    words,ids = [bytes([k]) for k in range(256)],list(text.encode())
    for _ in range(n):
        found = list(zip(ids, ids[1:]))
        pair = max(dict.fromkeys(found), key=found.count)
        words.append(words[pair[0]] + words[pair[1]])
        out = []
        for k in ids:
            if out and (out[-1], k) == pair: out[-1] = len(words)-1
            else: out.append(k)
        ids = out
    return tuple(words[k] for k in ids)
right('byte_pairs', pairs, by_replacing)
def overlaps(text, n): # joins what was joined a moment ago
    tokens = [bytes([b]) for b in text.encode()]
    for _ in range(n):
        counts = Counter(zip(tokens, tokens[1:])); pair = max(counts, key=counts.get)
        tokens = [a+b if (a, b) == pair else a for a,b in zip(tokens, tokens[1:])] + tokens[-1:]
    return tokens
def from_the_right(text, n):
    tokens = [bytes([b]) for b in text.encode()]
    for _ in range(n):
        counts = Counter(zip(tokens, tokens[1:])); pair = max(counts, key=counts.get); out,i = [],len(tokens)
        while i > 0:
            both = i > 1 and tuple(tokens[i-2:i]) == pair
            out.insert(0, b''.join(tokens[i-2:i]) if both else tokens[i-1]); i -= 1 + both
        tokens = out
    return tokens
def in_one_place(text, n):
    tokens = [bytes([b]) for b in text.encode()]
    for _ in range(n):
        found = list(zip(tokens, tokens[1:])); i = found.index(Counter(found).most_common(1)[0][0]); tokens[i:i+2] = [tokens[i]+tokens[i+1]]
    return tokens
for label,says,f in [('one place', 'in one place only', in_one_place), ('characters', 'begins with characters', lambda t,n: pairs(t, n, units=lambda t: [c.encode() for c in t])), ('too few', 'one join too few', lambda t,n: pairs(t, n, n_more=-1)), ('too many', 'one join too many', lambda t,n: pairs(t, n, n_more=1)),
    ('counted once', 'counted once', lambda t,n: pairs(t, n, again=False)), ('the last', 'this is the last', lambda t,n: pairs(t, n, best=lambda c: max(reversed(list(c)), key=c.get))), ('alphabet', 'by the alphabet', lambda t,n: pairs(t, n, best=lambda c: max(sorted(c), key=c.get))),
    ('rarest', 'rarest', lambda t,n: pairs(t, n, best=lambda c: min(c, key=c.get))), ('overlaps', 'another text', overlaps), ('from the right', 'should be', from_the_right), ('strings', 'These are strings', lambda t,n: [x.decode(errors='replace') for x in pairs(t, n)]),
    ('numbers', 'These are numbers', lambda t,n: list(t.encode())), ('the text', 'list of `bytes`', lambda t,n: t.encode()), ('without blanks', 'another text', lambda t,n: [x for w in t.split() for x in pairs(w, 0)])]: wrong('byte_pairs', says, f, label)
