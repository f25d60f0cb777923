"Answers to the exercises of `07_normalization`."
from copy import deepcopy
import torch
import torch.nn.functional as F
from torch import nn
from answers import mutant, right, wrong
from lm_from_scratch.normalization import GateNorm, LayerNorm, LayerNormGRUCell

# ---- 7.1 gate_gains
right('gate_gains', lambda c: c.h_norm.gain.abs().mean(1), lambda c: [g.abs().mean().item() for g in c.h_norm.gain],
      lambda c: c.h_norm.gain.detach().abs().mean(dim=-1).numpy(), lambda c: tuple(g.abs().sum()/len(g) for g in c.h_norm.gain.unbind()))
wrong('gate_gains', "these are the word's", lambda c: c.i_norm.gain.abs().mean(1), 'of_the_word')
wrong('gate_gains', 'signed gains', lambda c: c.h_norm.gain.mean(1), 'signed')
wrong('gate_gains', 'comes too late', lambda c: c.h_norm.gain.mean(1).abs(), 'abs_late')
wrong('gate_gains', 'a number for each gate', lambda c: c.h_norm.gain.abs().mean(0), 'each_unit')
wrong('gate_gains', 'one number for all', lambda c: c.h_norm.gain.abs().mean(), 'one_number')
wrong('gate_gains', 'these are all the gains', lambda c: c.h_norm.gain.abs(), 'all_gains')
wrong('gate_gains', 'this is the shift', lambda c: c.h_norm.shift.abs().mean(1), 'shift')
wrong('gate_gains', 'this is the sum', lambda c: c.h_norm.gain.abs().sum(1), 'sum')
wrong('gate_gains', 'weights of `h_h`', lambda c: [w.abs().mean().item() for w in c.h_h.weight.chunk(3)], 'weights')
wrong('gate_gains', 'The gains are `cell.h_norm.gain`', lambda c: c.h_norm.weight.abs().mean(1), 'weight_of_norm')
wrong('gate_gains', '`detach`', lambda c: c.h_norm.gain.numpy(), 'not_detached')
wrong('gate_gains', 'root of the mean *square*', lambda c: c.h_norm.gain.pow(2).mean(1).sqrt(), 'root_mean_square')
wrong('gate_gains', "own numbers are changed", lambda c: c.h_norm.gain.detach().abs_().mean(1), 'in_place')
wrong('gate_gains', 'A function of the cell', .5)
wrong('gate_gains', 'should be a tensor', lambda c: 'z', 'a_word')

# ---- 7.2 norm_invariance
right('norm_invariance', {'a', 'c', 'd'}, 'acd', ['d', 'c', 'a'], 'a, c and d', 'A C D')
wrong('norm_invariance', '`b` changes the output', 'abcd')
wrong('norm_invariance', '1 more letter belongs', {'a', 'd'})
wrong('norm_invariance', '1 more letter belongs', {'a', 'c'})
wrong('norm_invariance', '`e` changes the output', {'a', 'c', 'd', 'e'})
wrong('norm_invariance', '`f` changes the output', {'a', 'c', 'd', 'f'})
wrong('norm_invariance', 'not none of them: 3 letters belong', set())
wrong('norm_invariance', '`b` changes the output', {'b'})
wrong('norm_invariance', 'There is no `g`', {'g'})
wrong('norm_invariance', 'a set of letters', 3)

# ---- 7.3 sequence_norm
def one_list(bn, x): return bn(x.flatten(0, 1)).view_as(x)
right('sequence_norm', one_list, lambda bn, x: bn(x.transpose(1, 2)).transpose(1, 2), lambda bn, x: bn(x.permute(1, 2, 0)).permute(2, 0, 1),
      lambda bn, x: bn(x.reshape(-1, x.shape[-1])).reshape(x.shape))
wrong('sequence_norm', 'takes the second axis', lambda bn, x: bn(x), 'as_it_is')
@mutant('sequence_norm', 'steps were taken for the features')
def as_it_is_where_it_runs(bn, x): return bn(x) if x.shape[1] == x.shape[2] else one_list(bn, x)
wrong('sequence_norm', 'does not swap axes', lambda bn, x: bn(x.view(len(x), -1, x.shape[1])).view_as(x), 'view')
wrong('sequence_norm', 'transpose again', lambda bn, x: bn(x.transpose(1, 2)), 'not_back')
wrong('sequence_norm', 'shape is lost', lambda bn, x: bn(x.flatten(0, 1)), 'a_list')
wrong('sequence_norm', 'over the rows alone', lambda bn, x: torch.stack([bn(o) for o in x.unbind(1)], dim=1), 'step_by_step')
wrong('sequence_norm', 'layer norm', lambda bn, x: F.layer_norm(x, x.shape[-1:], bn.weight, bn.bias), 'layer_norm')
wrong('sequence_norm', 'gain and shift', lambda bn, x: F.batch_norm(x.flatten(0, 1), bn.running_mean, bn.running_var, training=True).view_as(x), 'no_gain')
wrong('sequence_norm', 'have not moved', lambda bn, x: one_list(deepcopy(bn), x), 'a_copy')
wrong('sequence_norm', 'call it once', lambda bn, x: (one_list(bn, x), one_list(bn, x))[1], 'twice')
wrong('sequence_norm', 'do not lie in order', lambda bn, x: bn(x.transpose(1, 2).view(-1, x.shape[2])).view_as(x), 'view_after_transpose')
wrong('sequence_norm', 'A function (bn, x)', torch.zeros(3))
wrong('sequence_norm', 'by the running statistics', lambda bn, x: one_list(bn.eval(), x), 'evaluation')
wrong('sequence_norm', 'Use the `bn` that is handed in', lambda bn, x: one_list(nn.BatchNorm1d(x.shape[-1]), x), 'a_new_one')
wrong('sequence_norm', 'handed in is changed in place', lambda bn, x: x.copy_(one_list(bn, x)), 'in_place')

# ---- 7.4 single_row
def alone(norm, x):
    was = norm.training
    norm.eval(); y = norm(x); norm.train(was)
    return y
def by_hand(norm, x):
    at = torch.arange(x.shape[1]).clamp(max=len(norm.mean)-1)
    return (x - norm.mean[at]) / (norm.var[at] + norm.eps).sqrt() * norm.gain + norm.shift
right('single_row', alone, by_hand, lambda norm, x: deepcopy(norm).eval()(x))
wrong('single_row', 'the shift alone', lambda norm, x: norm(torch.cat([x, x]))[:1] if norm.training and x.shape[1] < 6 else alone(norm, x), 'doubled')
wrong('single_row', 'Which mode is for use', lambda norm, x: norm(x), 'as_it_is')
wrong('single_row', 'comes back in the other', lambda norm, x: norm.eval()(x), 'left_in_evaluation')
wrong('single_row', 'layer norm', lambda norm, x: F.layer_norm(x, x.shape[-1:], norm.gain, norm.shift), 'layer_norm')
wrong('single_row', "sentence's own steps", lambda norm, x: F.batch_norm(x[0], None, None, norm.gain, norm.shift, training=True)[None], 'own_steps')
wrong('single_row', 'as it went in', lambda norm, x: x, 'nothing')
wrong('single_row', "first step for all", lambda norm, x: torch.cat([alone(norm, o[:, None]) for o in x.unbind(1)], dim=1), 'one_by_one')
wrong('single_row', 'later steps take the last', lambda norm, x: (x - norm.mean[:x.shape[1]]) / (norm.var[:x.shape[1]] + norm.eps).sqrt() * norm.gain + norm.shift, 'too_long')
wrong('single_row', 'gain and shift are left out', lambda norm, x: (alone(norm, x) - norm.shift) / norm.gain, 'no_gain')
wrong('single_row', 'all is zero', lambda norm, x: torch.zeros_like(x), 'zeros')
wrong('single_row', 'A function (norm, x)', 'shift')
@mutant('single_row', 'The norm is not what it was')
def moves(norm, x):
    y = alone(norm, x)
    with torch.no_grad(): norm.mean += .1*(x.mean(1) - norm.mean)
    return y
@mutant('single_row', 'comes back in the other')
def always_training(norm, x): y = norm.eval()(x); norm.train(); return y

# ---- 7.5 wrong_axis
right('wrong_axis', {'a', 'c'}, 'ac', ['c', 'a'], 'a, c', ('a', 'c'))
wrong('wrong_axis', '1 more letter belongs', {'c'})
wrong('wrong_axis', '1 more letter belongs', {'a'})
wrong('wrong_axis', 'not none of them: 2 letters belong', [])
wrong('wrong_axis', '`b` passes', {'a', 'b', 'c'})
wrong('wrong_axis', '`d` passes', {'a', 'c', 'd'})
wrong('wrong_axis', '`e` passes', 'ace')
wrong('wrong_axis', 'There is no `f`', 'f')
wrong('wrong_axis', 'a set of letters', None)

# ---- 7.6 layer_norm_gru
class Paper(nn.Module):
    def __init__(self, n_in, n_hidden, gain=1.):
        super().__init__()
        self.i_h,self.h_h = [nn.Linear(n, 3*n_hidden, bias=False) for n in (n_in, n_hidden)]
        self.i_norms,self.h_norms = [nn.ModuleList(self.make(n_hidden)) for _ in range(2)]
        for norms in (self.i_norms, self.h_norms):
            for norm in norms: nn.init.constant_(getattr(norm, 'gain', getattr(norm, 'weight', None)), gain)
    def make(self, n): return nn.LayerNorm(2*n), nn.LayerNorm(n)
    def normed(self, norms, a): n = a.shape[1]//3; return torch.cat([norms[0](a[:, :2*n]), norms[1](a[:, 2*n:])], dim=1)
    def both(self, x, h): return self.normed(self.i_norms, self.i_h(x)), self.normed(self.h_norms, self.h_h(h))
    def candidate(self, r, h, k): return r*k
    def mix(self, z, n, h): return (1-z)*n + z*h
    def forward(self, x, h):
        (i_r,i_z,i_n),(k_r,k_z,k_n) = (a.chunk(3, dim=1) for a in self.both(x, h))
        r,z = torch.sigmoid(i_r + k_r),torch.sigmoid(i_z + k_z)
        h = self.mix(z, torch.tanh(i_n + self.candidate(r, h, k_n)), h)
        return h, h
class Ours(Paper):
    def make(self, n): return LayerNorm(2*n, eps=1e-6), LayerNorm(n)
class OneGain(Paper): # one parameter for each norm's gains, and `F.layer_norm`
    def __init__(self, n_in, n_hidden, gain=1.):
        super().__init__(n_in, n_hidden, gain); del self.i_norms, self.h_norms
        self.i_norms,self.h_norms = (nn.ParameterList([nn.Parameter(torch.stack([torch.full((n,), gain), torch.zeros(n)])) for n in (2*n_hidden, n_hidden)]) for _ in range(2))
    def normed(self, norms, a):
        n = a.shape[1]//3
        return torch.cat([F.layer_norm(p, p.shape[1:], *g) for p,g in zip((a[:, :2*n], a[:, 2*n:]), norms)], dim=1)
    def forward(self, x, h): return list(super().forward(x, h))
right('layer_norm_gru', Paper, Ours, OneGain)
@mutant('layer_norm_gru', 'each gate is normalized by itself')
class EachGate(Paper):
    def make(self, n): return [nn.LayerNorm(n) for _ in range(3)]
    def normed(self, norms, a): return torch.cat([norm(p) for norm,p in zip(norms, a.chunk(3, dim=1))], dim=1)
wrong('layer_norm_gru', 'each gate is normalized by itself', LayerNormGRUCell)
@mutant('layer_norm_gru', 'start value of its gains')
class NoGain(Paper):
    def __init__(self, n_in, n_hidden): super().__init__(n_in, n_hidden)
@mutant('layer_norm_gru', 'all three are normalized in one piece')
class AllThree(Paper):
    def make(self, n): return [nn.LayerNorm(3*n)]
    def normed(self, norms, a): return norms[0](a)
@mutant('layer_norm_gru', 'candidate is not normalized')
class GatesAlone(Paper):
    def normed(self, norms, a): n = a.shape[1]//3; return torch.cat([norms[0](a[:, :2*n]), a[:, 2*n:]], dim=1)
@mutant('layer_norm_gru', "state's part is not normalized")
class WordOnly(Paper):
    def both(self, x, h): return self.normed(self.i_norms, self.i_h(x)), self.h_h(h)
@mutant('layer_norm_gru', 'added first and normalized together')
class Together(Paper):
    def forward(self, x, h):
        n = h.shape[1]; i,k = self.i_h(x),self.h_h(h)
        r,z = torch.sigmoid(self.i_norms[0]((i + k)[:, :2*n])).chunk(2, dim=1)
        h = (1-z)*torch.tanh(self.i_norms[1](i[:, 2*n:]) + r*self.h_norms[1](k[:, 2*n:])) + z*h
        return h, h
@mutant('layer_norm_gru', 'r stands before the product')
class ResetBefore(Paper):
    def candidate(self, r, h, k): return self.h_norms[1]((r*h) @ self.h_h.weight[2*h.shape[1]:].t())
@mutant('layer_norm_gru', 'multiplied before the norm')
class ResetBeforeNorm(Paper):
    def candidate(self, r, h, k): return self.h_norms[1](r*self.h_h(h)[:, 2*h.shape[1]:])
@mutant('layer_norm_gru', 'z and 1-z have changed places')
class NewShare(Paper):
    def mix(self, z, n, h): return (1-z)*h + z*n
@mutant('layer_norm_gru', 'the rows are r, z, n')
class UpdateFirst(Paper):
    def both(self, x, h): return (torch.cat([(p := a.chunk(3, dim=1))[1], p[0], p[2]], dim=1) for a in super().both(x, h))
@mutant('layer_norm_gru', 'It is the memory')
class NormsState(Paper):
    def forward(self, x, h): h = F.layer_norm(super().forward(x, h)[0], h.shape[1:]); return h, h
@mutant('layer_norm_gru', 'has no effect')
class GainIgnored(Paper):
    def __init__(self, n_in, n_hidden, gain=1.): super().__init__(n_in, n_hidden)
@mutant('layer_norm_gru', 'gains of the gates alone')
class GainForGates(Paper):
    def __init__(self, n_in, n_hidden, gain=1.):
        super().__init__(n_in, n_hidden, gain)
        for norms in (self.i_norms, self.h_norms): nn.init.ones_(norms[1].weight)
def gain_missed(says, name, *missed): # norms whose gain is left at 1
    def init(self, n_in, n_hidden, gain=1.):
        Paper.__init__(self, n_in, n_hidden, gain)
        for norms,i in missed: nn.init.ones_(getattr(self, norms)[i].weight)
    wrong('layer_norm_gru', says, type(name, (Paper,), dict(__init__=init)))
gain_missed("gains of the word's part alone", 'GainForWord', ('h_norms', 0), ('h_norms', 1))
gain_missed("gains of the state's part alone", 'GainForState', ('i_norms', 0), ('i_norms', 1))
gain_missed('gains of the candidate alone', 'GainForCandidate', ('i_norms', 0), ('h_norms', 0))
gain_missed("misses the candidate's gain, in the state's part", 'GainNotLast', ('h_norms', 1))
gain_missed("misses the gates' gain, in the word's part", 'GainNotFirst', ('i_norms', 0))
@mutant('layer_norm_gru', '`i_h` has a bias')
class WithBias(Paper):
    def __init__(self, n_in, n_hidden, gain=1.): super().__init__(n_in, n_hidden, gain); self.i_h = nn.Linear(n_in, 3*n_hidden)
@mutant('layer_norm_gru', 'one set of gains and shifts for both')
class Shared(Paper):
    def __init__(self, n_in, n_hidden, gain=1.): super().__init__(n_in, n_hidden, gain); self.h_norms = self.i_norms
@mutant('layer_norm_gru', 'Gains and shifts are 0 parameters')
class NothingLearned(Paper):
    def __init__(self, n_in, n_hidden, gain=1.): super().__init__(n_in, n_hidden); self.gain = gain; del self.i_norms, self.h_norms
    def both(self, x, h):
        norm = lambda a: self.gain*F.layer_norm(a, a.shape[1:]); n = h.shape[1]  # noqa: E731
        return [torch.cat([norm(a[:, :2*n]), norm(a[:, 2*n:])], dim=1) for a in (self.i_h(x), self.h_h(h))]
@mutant('layer_norm_gru', 'another size')
class SizeOne(Paper):
    def make(self, n): return nn.LayerNorm(n), nn.LayerNorm(n)
@mutant('layer_norm_gru', 'no gradient')
class Unused(Paper):
    def __init__(self, n_in, n_hidden, gain=1.):
        super().__init__(n_in, n_hidden, gain)
        self.i_norms = nn.ModuleList([nn.LayerNorm(2*n_hidden, elementwise_affine=False), *list(self.i_norms)[1:], nn.LayerNorm(2*n_hidden)])
        self.gain = gain
    def normed(self, norms, a):
        n = a.shape[1]//3; first = norms[0](a[:, :2*n])
        return torch.cat([first if norms is self.h_norms else first*self.gain, norms[1](a[:, 2*n:])], dim=1)
@mutant('layer_norm_gru', 'Return the output and the new state')
class StateAlone(Paper):
    def forward(self, x, h): return super().forward(x, h)[0]
wrong('layer_norm_gru', 'There is no layer `i_h`', lambda n_in, n_hidden, gain=1.: GateNorm(3, n_hidden), 'a_norm')
