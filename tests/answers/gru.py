"Answers to the exercises of `06_gru`."
import torch
from torch import nn
from answers import mutant, right, wrong
from lm_from_scratch.gru import GRUCell

# ---- 6.1 update_gates
def walk(cell, xs, h, gate):
    outs = []
    for x in xs:
        outs.append(gate(cell, x, h))
        _,h = cell(x, h)
    return torch.stack(outs)
def third(cell, x, h, k=1): return (cell.i_h(x) + cell.h_h(h)).chunk(3, dim=1)[k]
def gates(cell, xs, h): return walk(cell, xs, h, lambda c,x,h: third(c, x, h).sigmoid())
def gates_by_slices(cell, xs, h):
    n,zs = cell.n_hidden,[]
    for x in xs:
        zs.append(torch.sigmoid(cell.i_h(x)[:, n:2*n] + cell.h_h(h)[:, n:2*n]).detach())
        h = cell(x, h)[0]
    return zs                                                          # a list will do
right('update_gates', gates, gates_by_slices, lambda cell, xs, h: gates(cell, xs, h).detach().numpy())
wrong('update_gates', 'reset gates', lambda c,xs,h: walk(c, xs, h, lambda c,x,h: third(c, x, h, 0).sigmoid()), 'first_third')
wrong('update_gates', "candidate's", lambda c,xs,h: walk(c, xs, h, lambda c,x,h: third(c, x, h, 2).sigmoid()), 'last_third')
wrong('update_gates', 'sigmoid is missing', lambda c,xs,h: walk(c, xs, h, third), 'no_sigmoid')
wrong('update_gates', 'state has no say', lambda c,xs,h: walk(c, xs, h, lambda c,x,h: c.i_h(x).chunk(3, dim=1)[1].sigmoid()), 'word_alone')
wrong('update_gates', 'word has no say', lambda c,xs,h: walk(c, xs, h, lambda c,x,h: c.h_h(h).chunk(3, dim=1)[1].sigmoid()), 'state_alone')
wrong('update_gates', 'share of the old', lambda c,xs,h: 1 - gates(c, xs, h), 'one_minus_z')
wrong('update_gates', 'comes later', lambda c,xs,h: gates(c, xs, h).mean(2), 'mean_of_units')
wrong('update_gates', 'first axis', lambda c,xs,h: gates(c, xs, h).transpose(0, 1), 'rows_first')
wrong('update_gates', "last word's alone", lambda c,xs,h: gates(c, xs, h)[-1], 'last_word')
wrong('update_gates', 'begin with `h`', lambda c,xs,h: gates(c, xs, 0*h), 'from_zero')
wrong('update_gates', 'biases are missing', lambda c,xs,h: walk(c, xs, h, lambda c,x,h: (x @ c.i_h.weight.T + h @ c.h_h.weight.T).chunk(3, dim=1)[1].sigmoid()), 'no_bias')
wrong('update_gates', 'There are no units', lambda c,xs,h: walk(c, xs, h, lambda c,x,h: (c.i_h(x) + c.h_h(h))[:, 64:128].sigmoid()), 'sixty_four')
wrong('update_gates', 'word by word', lambda c,xs,h: third(c, xs.transpose(0, 1), h).sigmoid(), 'all_at_once')
wrong('update_gates', 'A function is wanted', torch.zeros(4, 2, 3))
wrong('update_gates', 'should be a tensor', lambda c,xs,h: None, 'returns_nothing')
@mutant('update_gates', "step is PyTorch's")
def other_convention(cell, xs, h):
    zs = []
    for x in xs:
        zs.append(third(cell, x, h).sigmoid())
        h = cell.after(*cell.i_h(x).chunk(3, dim=1), h)
    return torch.stack(zs)
@mutant('update_gates', 'never moves on')
def stale(cell, xs, h): return torch.stack([third(cell, x, h).sigmoid() for x in xs])
@mutant('update_gates', 'too late')
def late(cell, xs, h):
    zs = []
    for x in xs:
        h = cell(x, h)[1]
        zs.append(third(cell, x, h).sigmoid())
    return torch.stack(zs)
@mutant('update_gates', '`_,h = cell(x, h)`')
def both_returned(cell, xs, h):
    zs = []
    for x in xs: zs.append(third(cell, x, h).sigmoid()); h = cell(x, h)
    return torch.stack(zs)
@mutant('update_gates', 'the states, not the gates')
def states(cell, xs, h): return walk(cell, xs, h, lambda c,x,h: c(x, h)[0])

# ---- 6.2 reset_biases
right('reset_biases', {'b_hn'}, 'b_hn', ['B_hn '], 'hn', {'bias_hn'})
wrong('reset_biases', 'in both conventions', {'b_in', 'b_hn'})
wrong('reset_biases', 'b_hr feeds a gate', {'b_hr'})
wrong('reset_biases', 'b_hz feeds a gate', {'b_hn', 'b_hz'})
wrong('reset_biases', 'is missing', set())
wrong('reset_biases', "no bias 'rn'", 'b_rn')
wrong('reset_biases', 'b_hz feeds a gate', {'bias_hz'})
wrong('reset_biases', 'a set of names', 4)
wrong('reset_biases', 'in both conventions', {'b_in'})

# ---- 6.4 silent_sizes
right('silent_sizes', lambda i,h: i == 0 or h == 1, lambda n_in, n_hidden: n_hidden in (1, n_in + n_hidden),
      lambda i,h: int(not i or h < 2), lambda i,h: torch.tensor(i*(h-1) == 0))
wrong('silent_sizes', 'nh + nh would do', lambda i,h: i == h, 'equal')
wrong('silent_sizes', 'a step without a word', lambda i,h: i + h == h, 'no_word')
wrong('silent_sizes', 'nothing to read', lambda i,h: h == 1, 'one_unit')
wrong('silent_sizes', 'one of the two conditions', lambda i,h: i == 0 and h == 1, 'both')
wrong('silent_sizes', 'a word of one number', lambda i,h: i < 2 or h == 1, 'one_number')
wrong('silent_sizes', 'n_in=0, n_hidden=1', lambda i,h: False, 'never')
wrong('silent_sizes', 'should return True or False', lambda i,h: f'{i}, {h}', 'text')
wrong('silent_sizes', 'A function of the two sizes', {(0, 4), (5, 1)})
wrong('silent_sizes', 'n_in=1, n_hidden=2: the gates have 2 columns, new has 3', lambda i,h: True, 'always')

# ---- 6.5 sign_symmetry
def step(i_r, i_z, i_n, h_r, h_z, h_n, h, s=(1,)*7, n=torch.tanh):
    r,z = torch.sigmoid(s[0]*i_r + s[3]*h_r),torch.sigmoid(s[1]*i_z + s[4]*h_z)
    return (1-z)*n(s[2]*i_n + r*s[5]*h_n) + z*s[6]*h
def signed(k): return lambda *a: step(*a, s=[-1 if j == k else 1 for j in range(7)])
@torch.no_grad()
def _negated_z(i_r, i_z, i_n, h_r, h_z, h_n, h): return step(i_r, -i_z, i_n, h_r, -h_z, h_n, h)
def swapped_shares(i_r, i_z, i_n, h_r, h_z, h_n, h):
    r,z = torch.sigmoid(i_r + h_r),torch.sigmoid(i_z + h_z)
    return z*torch.tanh(i_n + r*h_n) + (1-z)*h
def minus_candidate(i_r, i_z, i_n, h_r, h_z, h_n, h):
    r,z = torch.sigmoid(i_r + h_r),torch.sigmoid(i_z + h_z)
    return (z-1)*torch.tanh(i_n + r*h_n) + z*h
right('sign_symmetry', *(signed(k) for k in range(6)), swapped_shares, minus_candidate)
wrong('sign_symmetry', 'still is', step, 'unchanged')
wrong('sign_symmetry', 'changes its sign at every word', signed(6), 'minus_h')
wrong('sign_symmetry', 'No gradient reaches i_r', _negated_z, 'detached')
wrong('sign_symmetry', 'should be a tensor', lambda *a: (step(*a),)*2, 'two_things')
wrong('sign_symmetry', 'leaves the range', lambda *a: step(*a, n=torch.relu), 'relu')
wrong('sign_symmetry', 'no matter of naming', lambda *a: step(*a, n=torch.sigmoid), 'sigmoid')
wrong('sign_symmetry', 'The shapes should survive', lambda *a: step(*a).sum(1), 'summed')
wrong('sign_symmetry', 'seven arguments', lambda x, h: h, 'a_cell')
wrong('sign_symmetry', 'A function is wanted', '-')
@mutant('sign_symmetry', 'no longer add up to one')
def one_plus_z(i_r, i_z, i_n, h_r, h_z, h_n, h):
    r,z = torch.sigmoid(i_r + h_r),torch.sigmoid(i_z + h_z)
    return (1+z)*torch.tanh(i_n + r*h_n) + z*h

# ---- 6.6 constant_update
class Constant(nn.Module):
    n_states = 1
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.reset,self.candidate = [nn.Linear(n_hidden + n_in, n_hidden) for _ in range(2)]
        self.update = nn.Parameter(torch.zeros(n_hidden))
    def cat(self, h, x): return torch.cat([h, x], dim=1)
    def share(self, x, h): return torch.sigmoid(self.update)
    def new(self, x, h): return torch.tanh(self.candidate(self.cat(torch.sigmoid(self.reset(self.cat(h, x)))*h, x)))
    def mix(self, z, n, h): return (1-z)*h + z*n
    def forward(self, x, h):
        h = self.mix(self.share(x, h), self.new(x, h), h)
        return h, h
class WordFirst(Constant):
    def cat(self, h, x): return torch.cat([x, h], dim=1)
    def mix(self, z, n, h): return torch.lerp(h, n, z.expand_as(h))
right('constant_update', Constant, WordFirst)
@mutant('constant_update', '`update` is still a layer')
class StillALayer(Constant):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); del self.update; self.update = nn.Linear(n_hidden + n_in, n_hidden)
    def share(self, x, h): return torch.sigmoid(self.update(self.cat(h, x)))
@mutant('constant_update', 'plain tensor')
class PlainTensor(Constant):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); del self.update; self.update = torch.zeros(n_hidden)
@mutant('constant_update', 'one number for each unit')
class OneForAll(Constant):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.update = nn.Parameter(torch.zeros(1))
@mutant('constant_update', 'should start at 0')
class StartsAtHalf(Constant):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.update = nn.Parameter(torch.full((n_hidden,), .5))
@mutant('constant_update', 'changed places')
class OldShare(Constant):
    def mix(self, z, n, h): return z*h + (1-z)*n
@mutant('constant_update', 'z is not σ(update)')
class NoSigmoid(Constant):
    def share(self, x, h): return self.update
@mutant('constant_update', 'one number for all units')
class MeanOfAll(Constant):
    def share(self, x, h): return torch.sigmoid(self.update.mean()).expand_as(self.update)
wrong('constant_update', 'the class itself', Constant(5, 3), 'an instance')
@mutant('constant_update', '.5 for ever')
class Half(Constant):
    def share(self, x, h): return torch.full_like(self.update, .5)
@mutant('constant_update', 'reset gate is not used')
class NoReset(Constant):
    def new(self, x, h): return torch.tanh(self.candidate(self.cat(h, x)))
@mutant('constant_update', 'kept whole')
class KeptWhole(Constant):
    def mix(self, z, n, h): return h + z*n
@mutant('constant_update', 'candidate alone')
class Alone(WordFirst):
    def mix(self, z, n, h): return n
@mutant('constant_update', '`n_states = 1`')
class NoStates(Constant): n_states = None
@mutant('constant_update', 'Return the output and the new state')
class StateAlone(Constant):
    def forward(self, x, h): return super().forward(x, h)[0]
@mutant('constant_update', 'No gradient reaches `update`')
class Frozen(Constant):
    def share(self, x, h): return torch.sigmoid(self.update.detach())
@mutant('constant_update', 'should map n_hidden + n_in')
class TooLarge(Constant):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.candidate = nn.Linear(2*n_hidden, n_hidden)
    def new(self, x, h): return torch.tanh(self.candidate(self.cat(h, h)))
@mutant('constant_update', 'changed in place')
class InPlace(Constant):
    def forward(self, x, h): h.mul_(.5); return super().forward(x, h)
@mutant('constant_update', 'super().__init__()')
class NoSuper(Constant):
    def __init__(self, n_in, n_hidden): self.update = nn.Parameter(torch.zeros(n_hidden))
wrong('constant_update', 'There is no `update`', GRUCell)
wrong('constant_update', 'differs from what is right', type('ReluCandidate', (Constant,), {
    'new': lambda self, x, h: torch.relu(self.candidate(self.cat(torch.sigmoid(self.reset(self.cat(h, x)))*h, x)))}), 'relu')
