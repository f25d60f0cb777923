"Answers to the exercises of `01_nword`; those of the loss, the embedding and the loop are in `core`."
from collections import Counter, defaultdict
import numpy as np, torch, torch.nn.functional as F
from torch import nn
from answers import mutant, right, wrong

# ---- 1 what comes next
def shares(model, vocab, text): return model(vocab.encode(text)[None]).softmax(dim=1)[0].detach()
def named(vocab, p, i): return [(vocab[int(w)], float(v)) for v,w in zip(p, i)]
def top_words(model, vocab, text, probs=shares, n=3, largest=True): return named(vocab, *probs(model, vocab, text).topk(n, largest=largest))
def by_sorting(model, vocab, text):
    with torch.no_grad(): p = F.softmax(model(vocab.encode(text).view(1, -1)), -1).numpy()[0]
    return [(vocab[int(i)], p[i]) for i in np.argsort(-p)[:3]]
right('top_words', top_words, by_sorting, lambda *a: dict(top_words(*a)), lambda *a: [(w, round(p, 2)) for w,p in top_words(*a)], lambda *a: [[w, torch.tensor(p)] for w,p in top_words(*a)])
def raw(model, vocab, text): return model(vocab.encode(text)[None])[0].detach()
for label,says,f in [
    ('scores', 'this is the score', lambda *a: top_words(*a, probs=raw)),
    ('logarithms', 'logarithm of the probability', lambda *a: top_words(*a, probs=lambda *a: raw(*a).log_softmax(0))),
    ('wrong axis', 'along the batch', lambda m,v,t: [(w, 1.) for w,_ in top_words(m, v, t)]),
    ('among three', 'the three words alone', lambda m,v,t: named(v, *(lambda p,i: (p.softmax(0), i))(*raw(m, v, t).topk(3)))),
    ('percent', 'not a percentage', lambda *a: [(w, 100*p) for w,p in top_words(*a)]),
    ('rising', 'comes first', lambda *a: top_words(*a)[::-1]),
    ('last three', 'least* probable', lambda *a: top_words(*a, largest=False)),
    ('last of the sorted', 'least* probable', lambda *a: top_words(*a, n=7)[-3:]),
    ('last word', 'the last word alone', lambda m,v,t: top_words(m, v, t.split()[-1])),
    ('last two words', 'the last 2 words alone', lambda m,v,t: top_words(m, v, ' '.join(t.split()[-2:]))),
    ('all equal', "this word's share", lambda *a: [(w, 1/7) for w,_ in top_words(*a)]),
    ('ids', 'id of a word', lambda m,v,t: [(v[w], p) for w,p in top_words(m, v, t)]),
    ('tensor ids', 'id of a word', lambda m,v,t: [(torch.tensor(v[w]), p) for w,p in top_words(m, v, t)]),
    ('pairs turned', 'The word comes first', lambda *a: [(p, w) for w,p in top_words(*a)]),
    ('words alone', 'should be a pair', lambda *a: [w for w,_ in top_words(*a)]),
    ('one', 'not 1', lambda *a: top_words(*a, n=1)),
    ('all words', 'not 7', lambda *a: top_words(*a, n=7)),
    ('no batch', 'a batch of rows', lambda m,v,t: named(v, *m(v.encode(t)).softmax(0).topk(3))),
    ('the text', 'The model reads ids', lambda m,v,t: named(v, *m(t)[0].softmax(0).topk(3))),
    ('a list', 'a tensor of ids', lambda m,v,t: named(v, *m([v[w] for w in t.split()])[0].softmax(0).topk(3))),
    ('no return', 'a list of three pairs', lambda m,v,t: None),
    ('a row of shares', 'one number', lambda m,v,t: [(w, shares(m, v, t)) for w,_ in top_words(m, v, t)]),
    ('first three', 'only the first three', lambda m,v,t: top_words(m, v, ' '.join(t.split()[:3]))),
    ('its result', 'A function is wanted', [('thousand', .967)]), ('nothing', 'A function is wanted', None)]: wrong('top_words', says, f, label if callable(f) else None)

# ---- 2 the lines for one word
right('one_word_bounds', (.1518, .3991), (.15, .4), [.15168, .39932], torch.tensor([.15177, .39913]), np.array([.152, .399]))
for says,found in [('blind guess', (1/30, .399)), ('always wrong', (0, .399)), ('smaller number first', (.399, .152)), ('counted on the training', (.16, .399)), ('or on the whole text', (.1584, .2173)), ('on the whole text', (.152, .2173)), ('nobody who sees one word', (.152, 1)),
    ('two words', (.152, .553)), ("the fool's share again", (.152, .152)), ('counted on the training', (.152, .2494)), ('most frequent follower', (.152, .089)), ('between 0 and 1', (15, 40)), ('most common word', (.3, .4)),
    ('give 2 numbers', None), ('give 2 numbers', .399), ('should be a number', ('15 %', '40 %'))]: wrong('one_word_bounds', says, found)

# ---- 6 side by side
class ConcatRNN(nn.Module):
    def __init__(self, n_words, n_emb, n_hidden):
        super().__init__(); self.n_hidden = n_hidden; self.layers(n_words, n_emb, n_hidden)
    def layers(self, n_words, n_emb, n_hidden): self.i_h,self.h_h,self.h_o = nn.Embedding(n_words, n_emb),nn.Linear(n_hidden+n_emb, n_hidden),nn.Linear(n_hidden, n_words)
    def start(self, x): return torch.zeros(len(x), self.n_hidden)
    def words(self, x): return range(x.shape[1])
    def join(self, h, e): return torch.cat([h, e], dim=1)
    def step(self, h, e): return F.relu(self.h_h(self.join(h, e)))
    def forward(self, x):
        h = self.start(x)
        for t in self.words(x): h = self.step(h, self.i_h(x[:, t]))
        return self.h_o(h)
def concat(says, **methods): wrong('concat_rnn', says, type('Concat_' + '_'.join(methods), (ConcatRNN,), methods))
class EmbeddingFirst(ConcatRNN):
    def join(self, h, e): return torch.cat([e, h], dim=-1)
class NoBias(ConcatRNN):
    def layers(self, *sizes): super().layers(*sizes); self.h_h = nn.Linear(sizes[1]+sizes[2], sizes[2], bias=False)
right('concat_rnn', ConcatRNN, EmbeddingFirst, NoBias)
def sized(ni): return lambda self,n_words,n_emb,n_hidden: (ConcatRNN.layers(self, n_words, n_emb, n_hidden), setattr(self, 'h_h', nn.Linear(ni(n_emb, n_hidden), n_hidden)))[0]
concat('2*n_hidden', layers=sized(lambda ne,nh: 2*nh))
concat('where the two are added', layers=sized(lambda ne,nh: nh), join=lambda self,h,e: h + e)
concat('should have the shape (7, 4)', layers=lambda self,nw,ne,nh: ConcatRNN.layers(self, nw, nh, ne))
concat('`torch.stack` makes', join=lambda self,h,e: torch.stack([h, e], dim=1))
concat('cannot be added', join=lambda self,h,e: h + e)
concat('`dim=1`', join=lambda self,h,e: torch.cat([h, e]))
concat('wants tensors', start=lambda self,x: 0)
concat('`dim=1`', start=lambda self,x: torch.zeros(1, self.n_hidden))
concat('activation is missing', step=lambda self,h,e: self.h_h(self.join(h, e)))
concat('this is tanh', step=lambda self,h,e: self.h_h(self.join(h, e)).tanh())
concat('not passed on', step=lambda self,h,e: ConcatRNN.step(self, h*0, e))
concat('last word is left out', words=lambda self,x: range(max(1, x.shape[1]-1)))
concat('the words that are there', words=lambda self,x: range(3))
concat('only three words', words=lambda self,x: range(min(3, x.shape[1])))
concat('two underscores', __init___=ConcatRNN.__init__)
concat('what did it get', join=lambda self,h,e: e)
concat('begins as ones', start=lambda self,x: torch.ones(len(x), self.n_hidden))
concat('differs from what is right', start=lambda self,x: torch.full((len(x), self.n_hidden), .5))
concat('read again, gets others', start=lambda self,x: torch.rand(len(x), self.n_hidden))
class Keeps(ConcatRNN): # the state of the batch before
    kept = None
    def start(self, x): h = self.kept; return super().start(x) if h is None or len(h) != len(x) else h
    def step(self, h, e): h = super().step(h, e); self.kept = h.detach(); return h
wrong('concat_rnn', 'read again, gets others', Keeps)
wrong('concat_rnn', 'not a model that was made', ConcatRNN(7, 4, 5))
wrong('concat_rnn', 'A class is wanted', None)
concat('differs from what is right', join=lambda self,h,e: ConcatRNN.join(self, h, e) if h.any() else torch.cat([e, h], 1))
concat('should be a tensor', forward=lambda self,x: (ConcatRNN.forward(self, x), None))
concat('no layer `h_h`', layers=lambda self,nw,ne,nh: (ConcatRNN.layers(self, nw, ne, nh), delattr(self, 'h_h'))[0])
wrong('concat_rnn', 'it made None', lambda *sizes: None, 'returns nothing')
@mutant('concat_rnn', 'inherit from `Module`')
class NoModule: pass
@mutant('concat_rnn', 'arguments the exercise asks for')
class TwoSizes(ConcatRNN):
    def __init__(self, n_words, n_hidden): super().__init__(n_words, n_hidden, n_hidden)

# ---- 7 by heart
def followers(ids, k):
    counts = defaultdict(Counter)
    for i in range(k, len(ids)): counts[tuple(ids[i-k:i])][ids[i]] += 1
    return counts
def common(ids): return Counter(ids).most_common(1)[0][0]
def by_heart(train, valid, k, of=lambda tr,va: tr, judged=lambda tr,va: va, new=lambda tr,va: common(tr), known=lambda k: k, result=lambda right,n: sum(right)/n, skip=False, step=lambda k: 1):
    train,valid = train.tolist(),valid.tolist(); ids,other,k = judged(train, valid),new(train, valid),known(k)
    counts = followers(of(train, valid), k)
    hits = [(counts[w].most_common(1)[0][0] if w in counts else other) == ids[i] for i in range(k, len(ids), step(k)) if (w := tuple(ids[i-k:i])) in counts or not skip]
    return result(hits, len(hits))
def with_arrays(train, valid, k): return np.float32(by_heart(train, valid, k))
def with_unfold(train, valid, k):
    best = {w: c.most_common(1)[0][0] for w,c in followers(train.tolist(), k).items()}; most = int(train.bincount().argmax())
    return torch.tensor([float(best.get(tuple(w), most) == y) for *w,y in valid.unfold(0, k+1, 1).tolist()]).mean()
right('learned_accuracy', by_heart, with_arrays, with_unfold)
def heart(**kwargs): return lambda train,valid,k: by_heart(train, valid, k, **kwargs)
def no_fallback(train, valid, k): counts = {w: c.most_common(1)[0][0] for w,c in followers(train.tolist(), k).items()}; v = valid.tolist(); return sum(counts[tuple(v[i-k:i])] == v[i] for i in range(k, len(v)))/(len(v)-k)
def empty(train, valid, k): counts = followers(train.tolist(), k); v = valid.tolist(); return sum(counts[tuple(v[i-k:i])].most_common(1)[0][0] == v[i] for i in range(k, len(v)))/(len(v)-k)
def lists(train, valid, k): return {[1]: 2}
for label,says,f in [
    ('ceiling', 'this is the ceiling', heart(of=lambda tr,va: va)),
    ('swapped', 'changed places', lambda tr,va,k: by_heart(va, tr, k)),
    ('own text', 'judged on the text that it knows', heart(judged=lambda tr,va: tr)),
    ('new ones skipped', 'left out of the count', heart(skip=True)),
    ('silent', 'nothing is said', heart(new=lambda tr,va: None)),
    ('peeks', 'must not know', heart(new=lambda tr,va: common(va))),
    ('k+1', 'one word too many', heart(known=lambda k: k+1)),
    ('k-1', 'one word too few', heart(known=lambda k: max(0, k-1))),
    ('fool', 'most common word, whatever', lambda tr,va,k: sum(w == common(tr.tolist()) for w in va.tolist()[k:])/(len(va)-k)),
    ('percent', 'not a percentage', heart(result=lambda h,n: 100*sum(h)/n)),
    ('count', 'what share is that', heart(result=lambda h,n: sum(h))),
    ('wrong ones', 'share of the wrong ones', heart(result=lambda h,n: 1-sum(h)/n)),
    ('strides', 'counts, right or wrong', heart(step=lambda k: k+1)),
    ('length of the text', 'counts, right or wrong', lambda tr,va,k: by_heart(tr, va, k, result=lambda h,n: sum(h)/(n+k))),
    ('no fallback', 'never seen in training', no_fallback),
    ('empty counter', 'have no followers', empty),
    ('lists for keys', 'cannot be a list', lists),
    ('hits', 'one number', heart(result=lambda h,n: h)),
    ('one in k', 'one target in', heart(step=lambda k: max(1, k))),
    ('its result', 'A function is wanted', .165),
    ('no return', 'one number', heart(result=lambda h,n: None))]: wrong('learned_accuracy', says, f, label if callable(f) else None)
