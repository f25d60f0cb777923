"Answers to the exercises of `00_data`."
from fractions import Fraction
import numpy as np, torch
from fastai.text.data import LMDataLoader
from lm_from_scratch.data import StreamDL, human_numbers
from answers import mutant, right, wrong

# ---- 1 the last words
last = dict(seventy=70, eighty=80, ninety=90, hundred=100, thousand=1000)
right('first_seen', last, list(last.items()), {w:np.int64(n) for w,n in last.items()}, {w:torch.tensor(n) for w,n in last.items()})
for label,says,found in [
    ('ids', "this is the word's id", dict(seventy=25, eighty=26, ninety=27, hundred=28, thousand=29)),
    ('one off', 'numbers start at 1', {w:n-1 for w,n in last.items()}),
    ('places', 'stream of tokens', {**last, 'seventy': 183}),
    ('101', 'needs this word', {**last, 'hundred': 101}),
    ('alphabet', 'last in the alphabet', dict(three=3, twelve=12, twenty=20, two=2, thousand=1000)),
    ('first five', 'come first', dict(zip('one . two three four'.split(), range(5)))),
    ('four', 'not 4', {w:n for w,n in last.items() if w != 'hundred'}),
    ('sixty', 'Not among the last', {'sixty': 60, **{w:n for w,n in last.items() if w != 'hundred'}}),
    ('inverse', 'then its number', {n:w for w,n in last.items()}),
    ('words alone', 'word → number', list(last)),
    ('one number', 'A dict is wanted', 70),
    ('nothing', 'A dict is wanted', None),
    ('text', 'should be a number', {**last, 'hundred': 'one hundred and one'}),
    ('lists', 'should be a number', {w:[n] for w,n in last.items()})]: wrong('first_seen', says, *((type('Found', (dict,), {})(found), label) if isinstance(found, dict) else (found,)))

# ---- 2 the number of batches
right('n_batches', (3153, 24), [3153., 24.], np.array([3153, 24]), torch.tensor([3153, 24]))
for says,found in [('and a rest', (3136, 24)), ('and a rest', (3153, 24.5)), ('not more', (3153, 98)), ('narrower than the others', (3153, 25)), ('needs a target too', (3154, 24)),
    ('whole text', (3943, 24)), ('whole text', (3153, 30)), ('validation part', (3153, 6)), ('length of a row', (50463, 24)), ('How many times', (24, 3153)), ('give 2 numbers', 3153),
    ('should be a number', (3153, 'half')), ('should be a number', (True, 24)), ('should be a number', [torch.tensor([1, 2]), 24])]: wrong('n_batches', says, found)

# ---- 3 the share of the dot
right('dot_share', (.15141, .15194), (.1514, .1519), torch.tensor([637/4207, 1867/12288]), [Fraction(637, 4207), np.float64(1867/12288)])
for says,found in [('share of *thousand*', (.15165, .15194)), ('training part', (.15990, .15194)), ('training part', (.15141, .1599)), ('whole text', (.15844, .15194)),
    ('other loaders', (.15194, .15141)), ('narrower rest', (.15141, .1517)), ('give one digit more', (.151, .152)), ('give two digits more', (.15, .15)), ('between 0 and 1', (15.141, 15.194)), ('Lay all', (1/30, 1/30)),
    ('give 2 numbers', .15141), ('should be a number', ('15 %', '15 %'))]: wrong('dot_share', says, found)

# ---- 4 a test of the order
def pairs(bs): return zip(bs, bs[1:])
def reads_on(bs): return all(bool((x[:, 0] == y[:, -1]).all()) for (_,y),(x,_) in pairs(bs))
def glued(bs): return torch.equal(torch.cat([x for x,_ in bs], 1)[:, 1:], torch.cat([y for _,y in bs], 1)[:, :-1])
def arrays(bs): return np.all([np.array_equal(x[:, 0].numpy(), y[:, -1].numpy()) for (_,y),(x,_) in pairs(bs)])
def as_tensor(bs): return torch.stack([(x[:, 0] == y[:, -1]).all() for (_,y),(x,_) in pairs(bs)] or [torch.tensor(True)]).all()
def against_its_text(bs): # the chapter's own proof
    x,train = torch.cat([x for x,_ in bs], 1).flatten(),human_numbers().split()[0]
    return torch.equal(x, train[:x.numel()])
def stacked(bs):
    x,y = torch.stack([x for x,_ in bs]),torch.stack([y for _,y in bs])
    return torch.equal(x[1:, :, 0], y[:-1, :, -1])
def complains(bs):
    for (_,y),(x,_) in pairs(bs): assert torch.equal(x[:, 0], y[:, -1])
    return True
right('reads_on', reads_on, glued, arrays, as_tensor)
for label,says,f in [
    ('last x', 'last *target*', lambda bs: all(bool((b[0][:, 0] == a[0][:, -1]).all()) for a,b in pairs(bs))),
    ('of one width', 'narrower', lambda bs: all(a[0].shape == b[0].shape for a,b in pairs(bs)) and reads_on(bs)),
    ('several rows', 'single row', lambda bs: bs[0][0].shape[0] > 1 and reads_on(bs)),
    ('two batches', 'single batch', lambda bs: len(bs) > 1 and reads_on(bs)),
    ('x against y', 'shuffled batches', lambda bs: all(bool((x[:, 1:] == y[:, :-1]).all()) for x,y in bs)),
    ('always yes', 'shuffled batches', lambda bs: True),
    ('first two', 'first batches alone', lambda bs: len(bs) < 2 or reads_on(bs[:2])),
    ('row 0', '*Every* row', lambda bs: all(bool(x[0, 0] == y[0, -1]) for (_,y),(x,_) in pairs(bs))),
    ('any row', '*Every* row', lambda bs: all(bool((x[:, 0] == y[:, -1]).any()) for (_,y),(x,_) in pairs(bs))),
    ('a set', 'Row 0 and row 3', lambda bs: all(set(x[:, 0].tolist()) == set(y[:, -1].tolist()) for (_,y),(x,_) in pairs(bs))),
    ('in the batch', 'These batches do read on', lambda bs: all(bool((x[1:, 0] == y[:-1, -1]).all()) for x,y in bs)),
    ('flat', 'last *target*', lambda bs: all(bool(b[0].flatten()[0] == a[1].flatten()[-1]) for a,b in pairs(bs))),
    ('most rows', '*Every* row', lambda bs: all(float((x[:, 0] == y[:, -1]).float().mean()) > .5 for (_,y),(x,_) in pairs(bs))),
    ('its text alone', 'any text', against_its_text),
    ('the first two', 'a single batch was tried', lambda bs: bool((bs[1][0][:, 0] == bs[0][1][:, -1]).all()) and reads_on(bs)),
    ('of one width, stacked', 'may be narrower', stacked),
    ('a result', 'A function is wanted', True),
    ('no return', 'Return True or False', lambda bs: None),
    ('columns', 'Return True or False', lambda bs: [(x[:, 0] == y[:, -1]) for (_,y),(x,_) in pairs(bs)]),
    ('asserts', 'but return False', complains),
    ('not reduced', '`.all()`', lambda bs: all(x[:, 0] == y[:, -1] for (_,y),(x,_) in pairs(bs))),
    ('whole batches', 'Compare a column', lambda bs: all(bool((b[0] == a[1][:, -2:]).all()) for a,b in pairs(bs)))]: wrong('reads_on', says, f, label if callable(f) else None)

# ---- 5 what is left out
right('left_out', (128, 16), [64, 72], (16, 128), np.array([200, 200]), torch.tensor([128, 16]), (4000, 3))
for says,sizes in [('only 288', (64, 16)), ('never more than a batch', (16, 16)), ('Not even one batch', (5000, 16)), ('refuses', (20_000, 1)), ('refuses', (1, 60_000)), ('refuses', (1, 10**6)),
    ('at least 1, not 0', (0, 16)), ('whole number', (128, 16.5)), ('give 2 numbers', None), ('give 2 numbers', torch.Tensor), ('not inf', (float('inf'), 16)), ('give 2 numbers', 2048), ('should be a number', ('128', 16))]: wrong('left_out', says, sizes)

# ---- 6 rows
def my_rows(ids, bs, seq_len, length=lambda n,bs: (n-1)//bs, lay=lambda t,bs,n: t[:bs*n].view(bs, n), y_of=lambda x,y,ids: y, stop=lambda n,seq_len: n):
    n = length(len(ids), bs); x,y = lay(ids, bs, n),lay(ids[1:], bs, n); y = y_of(x, y, ids)
    return [(x[:, k:k+seq_len], y[:, k:k+seq_len]) for k in range(0, stop(n, seq_len), seq_len)]
def changed(**kwargs): return lambda ids,bs,seq_len: my_rows(ids, bs, seq_len, **kwargs)
def then(f): return lambda ids,bs,seq_len: [f(x, y) for x,y in my_rows(ids, bs, seq_len)]
def blocks(ids, bs, seq_len):
    n = bs*seq_len
    return [(ids[k:k+n].view(bs, seq_len), ids[k+1:k+n+1].view(bs, seq_len)) for k in range(0, len(ids)-n, n)]
def generated(ids, bs, seq_len): yield from my_rows(ids, bs, seq_len)
right('rows', my_rows, generated, then(lambda x,y: torch.stack([x, y])), then(lambda x,y: [x.numpy(), y.numpy()]), then(lambda x,y: (x.tolist(), y.tolist())))
for label,says,f in [
    ("fastai's loader", 'without a loader', lambda ids,bs,seq_len: list(LMDataLoader([ids], bs=bs, seq_len=seq_len))),
    ('our loader', 'without a loader', lambda ids,bs,seq_len: StreamDL([ids], bs=bs, seq_len=seq_len)),
    ('blocks', 'rows of *one* batch', blocks),
    ('columns', 'down the columns', changed(lay=lambda t,bs,n: t[:bs*n].view(n, bs).t())),
    ('swapped', 'this is `y`', then(lambda x,y: (y, x))),
    ('copy', 'the words themselves', then(lambda x,y: (x, x))),
    ('backward', 'the word before', changed(y_of=lambda x,y,ids: ids.roll(1)[:x.numel()].view(x.shape))),
    ('row rolled', 'a row ends with its own', changed(y_of=lambda x,y,ids: x.roll(-1, 1))),
    ('window rolled', 'the window ends with its own', then(lambda x,y: (x, x.roll(-1, 1)))),
    ('last target', 'every word has one', then(lambda x,y: (x, y[:, -1]))),
    ('target too short', 'should have the shape', then(lambda x,y: (x, x[:, 1:]))),
    ('no word left', 'a word must be left', changed(length=lambda n,bs: n//bs)),
    ('not whole', 'a word must be left', lambda ids,bs,seq_len: [(ids.view(bs, -1), ids.view(bs, -1))]),
    ('narrow one dropped', 'narrower one counts', changed(stop=lambda n,seq_len: n//seq_len*seq_len)),
    ('empty one', 'an empty one', lambda ids,bs,seq_len: my_rows(ids, bs, seq_len) + [(ids[:0], ids[:0])]),
    ('rows alone', 'each batch should be a pair', lambda ids,bs,seq_len: [x for x,_ in my_rows(ids, bs, seq_len)]),
    ('nothing returned', 'Return a list', lambda ids,bs,seq_len: None),
    ('nothing in it', 'tensors of ids', then(lambda x,y: (None, y))),
    ('reversed', 'row 0 should be', lambda ids,bs,seq_len: my_rows(ids, bs, seq_len)[::-1]),
    ('shortened rows', 'shortened to whole batches', changed(length=lambda n,bs: (n-1)//bs//4*4 or (n-1)//bs)),
    ('its result', 'A function is wanted', [1, 2]),
    ('a number', 'Return a list of pairs', lambda ids,bs,seq_len: torch.tensor(3))]: wrong('rows', says, f, label if callable(f) else None)
