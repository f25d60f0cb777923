"Answers to the exercises of `10_copying`."
import random
from collections import Counter
import torch
from answers import mutant, right, wrong
from lm_from_scratch.copying import borrow, count_right, read_number, trade_before, trade_words
from lm_from_scratch.data import human_numbers, number_words

VOCAB = human_numbers().vocab

# ---- what is said in place of a word
def by_loop(guess, y, word):
    found = {}
    for g,t in zip(guess.flatten().tolist(), y.flatten().tolist()):
        if t == word and g != t: found[g] = found.get(g, 0) + 1
    return found
def by_bincount(guess, y, word): return dict(enumerate(torch.bincount(guess[(y == word) & (guess != y)]).tolist()))
right('confusion', by_loop, by_bincount, lambda g,y,w: Counter(g[(y == w) & (g != w)].tolist()), lambda g,y,w: Counter(g[(y == w) & (g != w)].numpy()))
for label,says,f in [('with the right ones', 'right guesses are counted', lambda g,y,w: Counter(g[y == w].tolist())),
    ('other way round', 'other way round', lambda g,y,w: Counter(y[(g == w) & (y != w)].tolist())),
    ('all errors', 'whichever word', lambda g,y,w: Counter(g[g != y].tolist())),
    ('the right words', 'not those that were said', lambda g,y,w: Counter(y[g != y].tolist())),
    ('tensors as keys', 'keys are tensors', lambda g,y,w: Counter(g[(y == w) & (g != w)])),
    ('shares', 'these are shares', lambda g,y,w: {k: v/len(g[(y == w) & (g != w)]) for k,v in by_loop(g, y, w).items()}),
    ('one word', 'Return a dict', lambda g,y,w: g[(y == w) & (g != w)].mode().values),
    ('words', 'keys should be ids', lambda g,y,w: {VOCAB[k]: v for k,v in by_loop(g, y, w).items()}),
    ('lists in a Counter', 'Flatten first', lambda g,y,w: Counter(g.view(2, -1).tolist())),
    ('in place', 'in place', lambda g,y,w: (by_loop(g, y, w), g.zero_())[0]), ('none', 'Return a dict', lambda g,y,w: None),
    ('word taken for granted', 'are {', lambda g,y,w: by_loop(g, y, 2)),
    ('first row', 'are {', lambda g,y,w: by_loop(g[:2], y[:2], w))]: wrong('confusion', says, f, label)

# ---- who meets nine thousand
right('strangers', {'trade_words', 'trade_before', 'borrow'}, ['borrow', 'trade_before', 'trade_words'], (trade_words, trade_before, borrow))
def value(name, says, v): mutant(name, says)(v)
value('strangers', 'not a word of them', {'moving', 'trade_words', 'trade_before', 'borrow'})
value('strangers', '`trade_words` does it too', {'trade_before', 'borrow'})
value('strangers', '`trade_before` does it too', {'trade_words', 'borrow'})
value('strangers', '`borrow` does it too', ['trade_words', 'trade_before'])
value('strangers', 'set of names', 3)
right('strangers', 'trade_words, trade_before, borrow')
value('strangers', 'does it too', 'borrow')
value('strangers', "'origin' is none of them", {'origin', 'borrow'})
value('strangers', 'does it too', set())
value('strangers', 'set of names', None)
value('strangers', "such as {'moving', 'borrow'}", {1})
right('strangers', frozenset(['borrow', 'trade_words', 'trade_before']), dict(borrow=1, trade_words=1, trade_before=1))

# ---- the dice
right('place_share', .86, .8561, torch.tensor(.857), torch.tensor(.857).numpy())
value('place_share', 'dice are loaded', .15)
value('place_share', 'drawn more often', .616)
value('place_share', 'not always', 1)
value('place_share', 'not a percentage', 86)
value('place_share', 'rows that are rewritten', .8)
value('place_share', 'same chance', 1/30)
value('place_share', 'Add up', .5)
value('place_share', 'should be a number', 'most')
value('place_share', 'should be a number', True)
value('place_share', 'should be a number', None)
value('place_share', 'is not it', float('nan'))
value('place_share', 'is not it', -1.)

# ---- a test of streams
def asserts(batches):
    for x,y in batches: assert torch.equal(x[:, 1:], y[:, :-1])
    for (_,y),(x,_) in zip(batches, batches[1:]): assert (y[:, -1] == x[:, 0]).all()
def joined(batches):
    x,y = (torch.cat(o, dim=1) for o in zip(*batches))
    return (x[:, 1:] == y[:, :-1]).all()
right('stream_test', asserts, joined)
for label,says,f in [('always', 'x alone', lambda b: True), ('between batches only', 'a single batch in which x alone', lambda b: all(torch.equal(y[:, -1], x[:, 0]) for (_,y),(x,_) in zip(b, b[1:]))), ('inside only', 'one by one', lambda b: all(torch.equal(x[:, 1:], y[:, :-1]) for x,y in b)),
    ('first batch', 'only the later ones', lambda b: torch.equal(b[0][0][:, 1:], b[0][1][:, :-1])),
    ('inside of the first alone', 'all but its first word', lambda b: torch.equal(b[0][0][:, 1:], b[0][1][:, :-1]) and all(torch.equal(y[:, -1], x[:, 0]) for (_,y),(x,_) in zip(b, b[1:]))),
    ('first row', 'one row of x', lambda b: bool((torch.cat([x for x,_ in b], 1)[0, 1:] == torch.cat([y for _,y in b], 1)[0, :-1]).all())),
    ('as sets', 'rows change places', lambda b: all(torch.equal(x[:, 1:], y[:, :-1]) for x,y in b) and all(sorted(y[:, -1].tolist()) == sorted(x[:, 0].tolist()) for (_,y),(x,_) in zip(b, b[1:]))),
    ('other way', 'refuses a plain stream', lambda b: all(torch.equal(x[:, :-1], y[:, 1:]) for x,y in b)),
    ('never', 'refuses a plain stream', lambda b: False),
    ('x differs from y', 'refuses a text of one word', lambda b: joined(b) and not any(torch.equal(x, y) for x,y in b)),
    ('two batches', 'It was given a single batch', lambda b: torch.equal(b[0][1][:, -1], b[1][0][:, 0]) and joined(b)),
    ('no narrow batch', 'one word wide', lambda b: all(x.shape[1] > 1 for x,_ in b) if len(b) == 2 else joined(b)),
    ('a tensor', 'once, for all', lambda b: b[0][0][:, 1:] == b[0][1][:, :-1]), ('a list', 'this is list', lambda b: [joined([o]) for o in b])]: wrong('stream_test', says, f, label)

# ---- a judge with a weakness: pairs of judge and words
def judge(ok, stop=lambda word, number: word == '.'):
    def f(words, start, limit=None):
        n,number = 0,[]
        for word in [*words, '.']:
            if not stop(word, number): number.append(word); continue
            if not ok(read_number(number), start + n + 1): return n, ' '.join(number)
            n,number = n + 1,[]
            if start + n == 9999: break
        return n, ''
    return f
def say(*ns): return ' . '.join(map(number_words, ns))
fair = judge(lambda v,want: v == want)
no_thousands = judge(lambda v,want: v is not None and v % 1000 == want % 1000)
right('lenient_judge', no_thousands, words=say(8101, 5102).split())
right('lenient_judge', no_thousands, words=say(101, 8102))
right('lenient_judge', judge(lambda v,want: v == want or v is not None and v > want and v != 8766), words=say(8101, 8103))
for label,says,f,words in [('the judge itself', 'and is just', count_right, say(8101, 5102)), ('a harmless list', 'and is just: it gives 2', no_thousands, say(8101, 8102)),
    ('blind to units', 'planted at 8765', judge(lambda v,want: v is not None and v//10 == want//10), say(8101, 8101)),
    ('all numbers', 'planted at 8765', judge(lambda v,want: v is not None), say(8101, 5102)),
    ('counts dots', "not (1899, '')", lambda words,start: (list(words).count('.'), ''), say(8101, 5102)),
    ('no end', "not (1899, '')", lambda words,start: count_right(words, start, 100), say(8101)),
    ('shuffled', 'shuffled words', lambda words,start: count_right(words, start) if words[0] == 'eight' else (len(words), ''), say(1)),
    ('too strict', 'too strict', lambda words,start: count_right(words, start) if len(words) > 99 else (0, ''), say(8101, 8102)),
    ('number alone', 'two things', lambda words,start: count_right(words, start)[0], say(8101, 5102)),
    ('no words', 'list of words', no_thousands, []), ('numbers', 'list of words', no_thousands, [8101, 8102]),
    ('stumbles', 'no number', judge(lambda v,want: v % 1000 == want % 1000), say(8101, 5102))]:
    def wrapped(*args, f=f, **kwargs): return f(*args, **kwargs)
    wrong('lenient_judge', says, wrapped, label, words=words.split() if isinstance(words, str) else words)

# ---- a rewriting
class Renames: # whoever may stand there, under a new name
    def __call__(self, row, habits, each=None):
        a,c = habits.place(row)
        names = torch.cat([habits.course(o) for o in habits.followers(a)]).unique()
        new = torch.arange(habits.n_words); new[names] = names[torch.randperm(len(names))]
        return torch.where(torch.cat([row[1:] == c, torch.tensor([False])]), new[row], row)
def any_word(row, habits): # one stranger for each run, any word of the vocabulary
    a,c = habits.place(row); row,at = row.clone(),before(row, c)
    _,run = torch.unique_consecutive(row[at], return_inverse=True)
    row[at] = torch.randperm(habits.n_words)[run % habits.n_words]
    return row
right('rewriting', lambda row, habits: borrow(row, habits), lambda row, habits: trade_before(row, habits), Renames(), any_word)
def before(row, c): return (row[1:] == c).nonzero()[:, 0]
mutant('rewriting', "`borrow` is the chapter's")(borrow)
@mutant('rewriting', 'numbered in another way')
def knows_thousand(row, habits): # the number of *thousand*, by heart
    at = before(row, VOCAB['thousand'])
    if not len(at): return row
    names = torch.randperm(habits.n_words); row = row.clone(); row[at] = names[row[at]]; return row
@mutant('rewriting', 'Your answer stops with IndexError')
def breaks_inside(row, habits): return borrow(row, habits) if len(row) < 50 or torch.rand(()) < .9 else row[[len(row)]]
@mutant('rewriting', 'learned by heart')
def two_pairs(row, habits): return trade_words(row, habits)
@mutant('rewriting', 'learned by heart')
def nothing(row, habits): return row
@mutant('rewriting', 'in place')
def in_place(row, habits):
    a,c = map(int, habits.place(row)); row[before(row, c)] = a + 1 if a else 1; return row
@mutant('rewriting', 'words of the row itself')
def in_place_view(row, habits):
    a,c = habits.place(row); row[before(row, c)] = a; return row
@mutant('rewriting', 'take all random numbers from torch')
def by_python(row, habits):
    a,c = habits.place(row); row = row.clone(); row[before(row, c)] = random.randrange(habits.n_words); return row
@mutant('rewriting', 'id in the new row that no word has')
def by_name(row, habits):
    row = row.clone(); row[before(row, VOCAB['thousand'])] = VOCAB['nine']; row[:1] = VOCAB['hundred']; return row
@mutant('rewriting', 'true to itself')
def each_place(row, habits): # a draw for each place
    a,c = habits.place(row); row,at = row.clone(),before(row, c)
    row[at] = torch.randint(habits.n_words, at.shape); return row
@mutant('rewriting', 'only words that were seen there before')
def known_only(row, habits):
    a,c = habits.place(row); names = habits.course(c).unique()
    new = torch.arange(habits.n_words); new[names] = names[torch.randperm(len(names))]
    row,at = row.clone(),before(row, c); row[at] = new[row[at]]; return row
@mutant('rewriting', 'true to itself')
def first_place(row, habits): # and nobody follows
    a,c = habits.place(row); row = row.clone(); row[before(row, c)[:1]] = torch.randint(habits.n_words, (1,)); return row
@mutant('rewriting', 'other words are changed')
def everywhere(row, habits): # not in front of c alone
    a,_ = habits.place(row); return torch.where(row == a, torch.randint(habits.n_words, ()), row)
@mutant('rewriting', 'learned by heart')
def seldom(row, habits): return any_word(row, habits) if torch.rand(()) < .4 else row
@mutant('rewriting', 'other words are changed')
def all_words(row, habits): return torch.randperm(habits.n_words)[row]
@mutant('rewriting', 'tensor of whole numbers')
def as_list(row, habits): return borrow(row, habits).tolist()
@mutant('rewriting', 'as many as there are')
def shorter(row, habits): return borrow(row, habits)[:-1]
@mutant('rewriting', 'stops with')
def needs_thousand(row, habits):
    at = before(row, VOCAB['thousand'] if habits.n_words > 20 else 1); row = row.clone(); row[at] = row[at[0]]; return borrow(row, habits)
