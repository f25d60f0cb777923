"Answers to the exercises of `05_lstm`."
import math
import numpy as np, torch
from torch import nn
from lm_from_scratch.lstm import FusedLSTMCell, LSTMCell
from answers import mutant, right, wrong

# ---- 1 forget gates
def gates(cell, xs, gate='forget_gate', act=torch.sigmoid, cat=lambda h,x: torch.cat([h, x], 1), carry=True, late=False, sees=lambda h,c: h, zero=lambda xs,n: xs.new_zeros(len(xs), n), stack=1):
    h = c = zero(xs, cell.n_hidden); res = []
    for x in xs.unbind(1):
        before = sees(h, c); _,(h,c) = cell(x, (h, c))
        res.append(act(getattr(cell, gate)(cat(sees(h, c) if late else before, x))))
        if not carry: h = c = zero(xs, cell.n_hidden)
    return torch.stack(res, stack)
def hooked(cell, xs): # listens to the layer, and lets the cell run
    said = []
    hook = cell.forget_gate.register_forward_hook(lambda m,i,o: said.append(o.sigmoid()))
    state = (torch.zeros(len(xs), cell.n_hidden, dtype=xs.dtype),)*2
    for t in range(xs.shape[1]): state = cell(xs[:, t], state)[1]
    hook.remove()
    return torch.stack(said).transpose(0, 1)
right('forget_gates', gates, hooked, lambda cell,xs: gates(cell, xs).detach(), lambda cell,xs: gates(cell, xs, zero=lambda xs,n: torch.zeros(len(xs), n)))
for label,says,kwargs in [('input', 'input gates', dict(gate='input_gate')), ('output', 'output gates', dict(gate='output_gate')), ('candidate', 'no gate', dict(gate='candidate', act=torch.tanh)),
    ('no sigmoid', 'between 0 and 1', dict(act=lambda a: a)), ('tanh', 'not a tanh', dict(act=torch.tanh)), ('anew', 'starts anew', dict(carry=False)), ('late', 'one step late', dict(late=True)),
    ('x first', 'changed places', dict(cat=lambda h,x: torch.cat([x, h], 1))), ('reads c', 'not the cell state', dict(sees=lambda h,c: c)), ('time first', 'dim=1', dict(stack=0)),
    ('of two gates', 'differs from what is right', dict(act=lambda a: a.sigmoid()**2))]: wrong('forget_gates', says, lambda cell,xs,kwargs=kwargs: gates(cell, xs, **kwargs), label)
for label,says,f in [('kept', 'the product', lambda c,x: gates(c, x).prod(1)), ('mean', 'mean over the units', lambda c,x: gates(c, x).mean(2)), ('last', 'last step', lambda c,x: gates(c, x)[:, -1]),
    ('list', 'should be a tensor, not list', lambda c,x: list(gates(c, x))), ('word alone', 'torch.cat', lambda c,x: torch.sigmoid(c.forget_gate(x))),
    ('no pair', 'and a pair', lambda c,x: [h for _,h,_ in [c(x[:, 0], (x.new_zeros(3, 4),)*2)]]), ('opened too far', 'differs from what is right', lambda c,x: gates(c, x, act=lambda a: (a+3).sigmoid()))]:
    wrong('forget_gates', says, f, label)
def in_place(cell, xs): res = gates(cell, xs); xs.mul_(2); return res
def opens(cell, xs):
    with torch.no_grad(): cell.forget_gate.bias.add_(3)
    return gates(cell, xs)
def numbers(cell, xs): return gates(cell, xs).tolist()
class AsAClass:
    def __call__(self, cell, xs): return gates(cell, xs)
def slowly(cell, xs): # the matrix products written out, in single precision, unit by unit
    h = c = torch.zeros(len(xs), cell.n_hidden); out = torch.empty(*xs.shape[:2], cell.n_hidden)
    W,b = cell.forget_gate.weight.detach().float(),cell.forget_gate.bias.detach().float()
    for t in range(xs.shape[1]):
        hx = torch.cat([h, xs[:, t].float()], 1)
        for u in range(cell.n_hidden): out[:, t, u] = 1/(1 + torch.exp(-((hx*W[u]).sum(1) + b[u])))
        h,c = (v.detach().float() for v in cell(xs[:, t], (h.double(), c.double()))[1])
    return out
right('forget_gates', AsAClass(), slowly)
for label,says,f in [('in place', 'in place', in_place), ('opens them', 'in place', opens), ('numbers', 'should be a tensor', numbers), ('no function', 'not NoneType', None), ('its gates', 'not Tensor', torch.zeros(3, 6, 4)),
    ('a class', 'not the class AsAClass', AsAClass), ('a cell', 'not LSTMCell', LSTMCell(4, 4)), ('stops', 'ZeroDivisionError', lambda c,x: 1/0), ('nothing', 'not NoneType', lambda c,x: None),
    ('another cell', 'differs from', lambda c,x: gates(LSTMCell(x.shape[2], 4).double(), x)), ('h alone', 'is a pair', lambda c,x: c(x[:, 0], x.new_zeros(3, 4))[0]),
    ('one row', 'a row for each row', lambda c,x: c(x[:, 0], (x.new_zeros(1, 4),)*2)[0]), ('not a number', 'differs from', lambda c,x: gates(c, x)*float('nan'))]:
    wrong('forget_gates', says, f) if f is None or isinstance(f, (torch.Tensor, type)) else wrong('forget_gates', says, f, label)

# ---- 2 half-lives
f3 = 1/(1 + math.exp(-3))
half = math.log(.5)/math.log(f3)
right('half_life', (1, half), [1., 14.3], (1, 14.2), np.array([1, half]), torch.tensor([1, half]), {0: 1, 3: 14.27})
for says,found in [('0 first', (half, 1)), ('multiply to a half?', (.5, f3)), ('1/e is left', (-1/math.log(.5), -1/math.log(f3))), ('rule of thumb', (2, 1/(1-f3))), ('the same amount', (1, .5/(1-f3))),
    ('bias itself', (1, math.log(.5)/math.log(1/3))), ('not a tanh', (0, math.log(.5)/math.log(math.tanh(3)))), ('one digit', (1, 14)), ('one digit', (1, 15)), ('With the bias 3 it is not 30', (1, 30)), ('rounded to .95.', (1, 13.51)), ('rounded to .95.', (1, 13.5)), ('nothing else', (1, True)), ('nothing else', (1, math.nan)), ('not 3', (1, 14.3, 0)), ('it is not inf', (1, math.inf)),
    ('With the bias 0 it is not 3', (3, half)), ('not 1', 14.3), ('nothing else', ('1 word', '14 words')), ('nothing else', (None, 14.3))]: wrong('half_life', says, found)

# ---- 4 what a cell state can reach
right('cell_range', ((-10, 10), (0, 10)), [-10, 10, 0, 10], np.array([[-10, 10], [0, 10]]), torch.tensor([[-10., 10], [0, 10]]), dict(tanh=(-10, 10), sigmoid=(0, 10)))
for says,found in [('the tanh comes first', ((0, 10), (-10, 10))), ('lowest comes first', ((10, -10), (10, 0))), ('at *one* word', ((-1, 1), (0, 1))), ('ten words less than 10', ((-math.inf, math.inf), (0, math.inf))),
    ('never negative', ((-10, 10), (-10, 10))), ('both', ((-10, 10), (5, 10))), ('With a tanh, c does not', ((-5, 5), (0, 10))), ('With a sigmoid, c does not', ((-10, 10), (0, 5))),
    ('not 2', (-10, 10)), ('nothing else', (('-10', '10'), (0, 10))), ('nothing else', None)]: wrong('cell_range', says, found)

# ---- 5 a tiny candidate
@torch.no_grad()
def tiny(a, dtype=torch.float32, gates_=0., layer='candidate', cls=LSTMCell, bias=True):
    m = cls(1, 1).to(dtype)
    for p in m.parameters(): p.zero_()
    if bias: getattr(m, layer).bias += a
    else: getattr(m, layer).weight[:, -1] += a                             # of the word: all ones
    for gate in (m.input_gate, m.output_gate): gate.bias += gates_
    return m
@torch.no_grad()
def wide(): # more inputs and units; one of them differs
    m = LSTMCell(3, 4); m.candidate.weight[1] = 0; m.candidate.bias[1] = 3e-9
    return m
@torch.no_grad()
def fused(a=1e-8):
    m = FusedLSTMCell(2, 3)
    for p in m.parameters(): p.zero_()
    m.gates.bias[6:9] = a
    return m
class LSTMCellAgain(nn.Module): # written anew in the notebook, under other bases
    def __init__(self, n_in, n):
        super().__init__()
        for name in ('forget_gate', 'input_gate', 'candidate', 'output_gate'): setattr(self, name, nn.Linear(n + n_in, n))
@torch.no_grad()
def shut(): # the candidate is large, the input gate nearly shut: the other tanh is what fails
    m = tiny(5.); m.input_gate.bias -= 18
    return m
right('tiny_candidate', tiny(1e-8), tiny(1e-8, bias=False), tiny(1e-9, gates_=5.), tiny(-2e-8), tiny(1e-17, torch.float64), tiny(1e-40), wide(), fused(), tiny(1e-8, cls=LSTMCellAgain), shut())
for label,says,m in [('fresh', 'of their size at most', LSTMCell(3, 4)), ('a larger one', 'of their size at most', tiny(1e-4)), ('zeros', 'nothing to differ by', tiny(0.)), ('the input gate', 'nothing to differ by', tiny(1e-8, layer='input_gate')),
    ('too small', 'nothing to differ by', tiny(1e-46)), ('shut', 'nothing to differ by', tiny(1e-8, gates_=-200.)), ('not a number', 'NaN or infinity', tiny(math.nan)), ('infinite', 'NaN or infinity', tiny(math.inf)),
    ('double', 'of their size at most', tiny(1e-8, torch.float64)), ('fused and fresh', 'of their size at most', FusedLSTMCell(3, 4)),
    ("PyTorch's", 'not LSTM.', nn.LSTM(1, 1)), ('weights', 'not OrderedDict', tiny(1e-8).state_dict()), ('a class', 'LSTMCell(n_in, n_hidden)', LSTMCell), ('a number', 'not float', 1e-8), ('nothing', 'not NoneType', None)]:
    mutant('tiny_candidate', says)(m)

# ---- 6 peepholes
class Peephole(LSTMCell):
    shape = None
    def __init__(self, n_in, n_hidden):
        super().__init__(n_in, n_hidden)
        self.p_i,self.p_f,self.p_o = [nn.Parameter(torch.zeros(self.shape or n_hidden)) for _ in range(3)]
    def gate(self, a, p, c): return torch.sigmoid(a + p*c)
    def late(self, p, old, new): return p*new
    def forward(self, x, state):
        h,c = state; hx = torch.cat([h, x], dim=1)
        f,i = self.gate(self.forget_gate(hx), self.p_f, self.sees(h, c)),self.gate(self.input_gate(hx), self.p_i, self.sees(h, c))
        new = f*c + i*torch.tanh(self.candidate(hx))
        return self.give(self.gate(self.output_gate(hx), self.p_o, self.o_sees(self.sees(h, c), new))*torch.tanh(new), new)
    def sees(self, h, c): return c
    def o_sees(self, old, new): return new
    def give(self, h, c): return h, (h, c)
class Diagonal(Peephole): # the products as matrices; peepholes of a shape with a row
    def __init__(self, n_in, n_hidden): self.shape = (1, n_hidden); super().__init__(n_in, n_hidden)
    def gate(self, a, p, c): return torch.sigmoid(a + c @ torch.diag(p[0]))
class OfItsOwn(nn.Module):
    def __init__(self, n_in, n):
        super().__init__()
        for name in ('forget_gate', 'input_gate', 'candidate', 'output_gate'): setattr(self, name, nn.Linear(n + n_in, n))
        for name in 'pi pf po'.split(): self.register_parameter(f'p_{name[1]}', nn.Parameter(torch.randn(n)))
    def forward(self, x, state):
        h,c = state; a = [l(torch.cat((h, x), -1)) for l in (self.input_gate, self.forget_gate, self.candidate, self.output_gate)]
        c = torch.addcmul((a[0] + self.p_i*c).sigmoid()*a[2].tanh(), (a[1] + self.p_f*c).sigmoid(), c)
        h = (a[3] + self.p_o*c).sigmoid()*c.tanh()
        return h, (h, c)
right('peephole_cell', Peephole, Diagonal, OfItsOwn)
def word_first(cell, x, state):
    h,c = state; i,f,g,o = [getattr(cell, n)(torch.cat([x, h], 1)) for n in ('input_gate', 'forget_gate', 'candidate', 'output_gate')]
    new = (f + cell.p_f*c).sigmoid()*c + (i + cell.p_i*c).sigmoid()*g.tanh()
    return cell.give((o + cell.p_o*new).sigmoid()*new.tanh(), new)
def peep(name, says, base=Peephole, **methods): wrong('peephole_cell', says, type(name, (base,), methods))
peep('Plain', 'There is no `p_i`', LSTMCell)
peep('Fused', 'There is no layer `forget_gate`', FusedLSTMCell)
peep('Unused', 'no peepholes in it', gate=lambda self,a,p,c: a.sigmoid())
peep('OldForOutput', 'comes last', o_sees=lambda self,old,new: old)
peep('TanhForOutput', "look at c' itself", o_sees=lambda self,old,new: new.tanh())
peep('Tanh', 'tanh(c). They', sees=lambda self,h,c: c.tanh())
peep('NoOutput', 'output gate has no peephole', o_sees=lambda self,old,new: 0*new)
peep('Hidden', 'hidden state, which they see', sees=lambda self,h,c: h)
peep('Outside', 'inside the sigmoid', gate=lambda self,a,p,c: a.sigmoid() + p*c)
peep('Swapped', '(h, c)', give=lambda self,h,c: (h, (c, h)))
peep('StateAlone', 'Return the output and the new state', give=lambda self,h,c: h)
peep('Detached', 'No gradient reaches', gate=lambda self,a,p,c: torch.sigmoid(a + p.detach()*c))
peep('DetachedCell', 'gradient of the', gate=lambda self,a,p,c: torch.sigmoid(a + p*c.detach()))
peep('AllDetached', 'was detached', give=lambda self,h,c: (h.detach(), (h.detach(), c.detach())))
peep('WordFirst', 'word and the state have changed places', forward=lambda self,x,state: word_first(self, x, state))
peep('Below', 'one below the other', forward=lambda self,x,state: self.forget_gate(torch.cat([state[0], x])))
peep('Minus', 'differs from what is right', gate=lambda self,a,p,c: torch.sigmoid(a - p*c))
@mutant('peephole_cell', 'have changed places')
class Exchanged(Peephole):
    def forward(self, x, state): self.p_i,self.p_f = self.p_f,self.p_i; res = super().forward(x, state); self.p_i,self.p_f = self.p_f,self.p_i; return res
@mutant('peephole_cell', 'number for each')
class Matrices(Peephole):
    def __init__(self, n_in, n_hidden): self.shape = (n_hidden, n_hidden); super().__init__(n_in, n_hidden)
@mutant('peephole_cell', 'would never learn')
class Tensors(LSTMCell):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.p_i,self.p_f,self.p_o = torch.zeros(3, n_hidden)
@mutant('peephole_cell', 'in place')
class InPlace(Peephole):
    def forward(self, x, state): res = super().forward(x, state); state[1].data.mul_(.5); return res
wrong('peephole_cell', 'A class is wanted', lambda n_in,n_hidden: torch.zeros(3), 'a function')
wrong('peephole_cell', 'the class itself', Peephole(4, 4))
wrong('peephole_cell', 'not NoneType', None)
peep('Candidate', '`p_f`). It is no gate', forward=lambda self,x,state: with_candidate(self, x, state))
peep('Kept', 'looks at f⊙c', forward=lambda self,x,state: with_candidate(self, x, state, hole=0, kept=True))
peep('Stops', 'ZeroDivisionError', forward=lambda self,x,state: 1/0)
peep('Numbers', 'the h is list', give=lambda self,h,c: (h, (h.tolist(), c)))
peep('Triple', 'Return the output and the new state', give=lambda self,h,c: (h, h, c))
peep('Word', 'in place', forward=lambda self,x,state: (Peephole.forward(self, x, state), x.data.mul_(2))[0])
def with_candidate(cell, x, state, hole=1, kept=False, p=None):
    h,c = state; i,f,g,o = [getattr(cell, n)(torch.cat([h, x], 1)) for n in ('input_gate', 'forget_gate', 'candidate', 'output_gate')]
    f = (f + cell.p_f*c).sigmoid()
    new = f*c + (i + cell.p_i*(f*c if kept else c)).sigmoid()*(g + hole*(cell.p_f if p is None else p)*c).tanh()
    return cell.give((o + cell.p_o*new).sigmoid()*new.tanh(), new)
@mutant('peephole_cell', 'share a peephole')
class OnePeephole(Peephole):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.p_f = self.p_o = self.p_i
@mutant('peephole_cell', '`p_g` has parameters, too')
class FourPeepholes(Peephole):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.p_g = nn.Parameter(torch.zeros(n_hidden))
    def forward(self, x, state): return with_candidate(self, x, state, p=self.p_g)
@mutant('peephole_cell', 'one and the same')
class OneGate(Peephole):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden); self.input_gate = self.forget_gate
@mutant('peephole_cell', 'input and the output gate have changed')
class OtherExchange(Peephole):
    def forward(self, x, state): self.p_i,self.p_o = self.p_o,self.p_i; res = super().forward(x, state); self.p_i,self.p_o = self.p_o,self.p_i; return res
wrong('peephole_cell', 'made like an `LSTMCell`', type('NoSizes', (Peephole,), dict(__init__=lambda self: None)))

# ---- 7 and back
def backward(dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o, late=True, holes=(1, 1, 1), tanh=1, slope=1, keep=1, order=lambda *r: r, of_h=1, after=1, slope_t=lambda t: 1-t*t, slope_g=lambda g: 1-g*g, o_old=0):
    dh,t = of_h*dh,torch.tanh(c_new)
    da_o = dh*t*(o*(1-o))**slope
    dc = after*dc + tanh*dh*o*slope_t(t) + holes[2]*da_o*p_o
    da_i,da_f,da_g = dc*g*(i*(1-i))**slope,dc*c_old*(f*(1-f))**slope,dc*i*slope_g(g)
    return order(da_i, da_f, da_g, da_o, keep*dc*f + holes[0]*da_i*p_i + holes[1]*da_f*p_f + o_old*da_o*p_o)
def by_autograd(dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o):
    a = [torch.logit(i) - p_i*c_old, torch.logit(f) - p_f*c_old, torch.atanh(g), torch.logit(o) - p_o*c_new]
    a,c = [t.requires_grad_() for t in a],c_old.clone().requires_grad_()
    new = torch.sigmoid(a[1] + p_f*c)*c + torch.sigmoid(a[0] + p_i*c)*torch.tanh(a[2])
    return torch.autograd.grad([torch.sigmoid(a[3] + p_o*new)*torch.tanh(new), new], [*a, c], [dh, dc])
right('peephole_backward', backward, lambda *a: list(backward(*a)), by_autograd)
def back(name, says, **kwargs): wrong('peephole_backward', says, lambda *a: backward(*a, **kwargs), name)
back('plain', 'send nothing back', holes=(0, 0, 0))
back('no p_o', 'third way', holes=(1, 1, 0))
back('no p_i, p_f', 'input and the forget gate is missing', holes=(0, 0, 1))
back('no p_i', 'peephole of the input gate is missing', holes=(0, 1, 1))
back('no p_f', 'peephole of the forget gate is missing', holes=(1, 0, 1))
back('no tanh', 'through tanh', tanh=0)
back('squared difference', '1 - tanh²', slope_t=lambda t: (1-t)**2)
back('squared cell', '1 - c', slope_t=lambda t: 1 - torch.atanh(t)**2)
back('no slope of tanh', 'tanh(c\') is missing', slope_t=lambda t: 1)
back('p_o in the old one', 'it belongs to dc', holes=(1, 1, 0), o_old=1)
back('p_o in both', 'as well', o_old=1)
back('squared difference of g', '1 - g²', slope_g=lambda g: (1-g)**2)
back('no way through f', 'dc⊙f', keep=0)
back('no slope', 'slope of the sigmoid', slope=0)
back('no dh', 'gradient of h is left out', of_h=0)
back('no dc', 'from the step after', after=0)
back("PyTorch's order, then the cell first", 'this is da_g', order=lambda *r: (r[-1], *r[:-1]))
back('f first', 'this is da_f', order=lambda i,f,*r: (f, i, *r))
back('four', 'Return five', order=lambda *r: r[:-1])
back('in one', 'Return five', order=lambda *r: torch.stack(r[:4]))
back('numbers', 'should be a tensor', order=lambda *r: [v.tolist() for v in r])
@mutant('peephole_backward', 'in place')
def adds_in_place(dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o):
    dc += dh*o*(1 - c_new.tanh()**2) + dh*c_new.tanh()*o*(1-o)*p_o
    return backward(dh*0, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o)
@mutant('peephole_backward', 'eleven tensors')
def no_peepholes(dh, dc, i, f, g, o, c_old, c_new): return backward(dh, dc, i, f, g, o, c_old, c_new, 0, 0, 0)
@mutant('peephole_backward', '`da_o`: this differs')
def cell_squared(dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o): return backward(dh, dc, i, f, g, o, c_old, c_new.tanh(), p_i, p_f, p_o)
wrong('peephole_backward', 'not NoneType', None)
wrong('peephole_backward', 'the class Exchanged', Exchanged)
@mutant('peephole_backward', 'ZeroDivisionError')
def stops(*args): return 1/0
@mutant('peephole_backward', 'Return five')
def nothing(*args): return None
@mutant('peephole_backward', 'should have the shape')
def summed(*args): return [v.sum(0) for v in backward(*args)]
class Backward: # a callable object
    def __call__(self, *args): return backward(*args)
def by_name(dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o): # a dict's values, float32 inside
    t = [v.float() for v in (dh, dc, i, f, g, o, c_old, c_new, p_i, p_f, p_o)]
    return tuple(v.double() for v in backward(*t))
right('peephole_backward', Backward(), by_name)
