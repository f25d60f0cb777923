"Answers to the exercises of `08_regularization`."
import numpy as np, torch
from fastai.text.all import Callback, CancelFitException, RNNCallback, RNNDropout, RNNRegularizer
from lm_from_scratch.regularization import ActivationRegularizer, Dropout, activation_penalty, temporal_penalty
from answers import mutant, right, wrong

# ---- 8.1 saturated activations
def shares(pick=lambda model, x: model(x)[1], start=lambda m: m.reset(), each=lambda m: None, beyond=lambda a,level: a.abs() > level, reduce=lambda hits: torch.cat(hits).float().mean(), batches=lambda b: b):
    def f(model, bs, level):
        start(model); hits = []
        for x,_ in batches(bs): each(model); hits.append(beyond(pick(model, x), level).flatten())
        return reduce(hits)
    return f
def counted(model, batches, level): # numpy, one activation at a time
    model.eval(); model.reset(); big = n = 0
    for x,y in batches:
        raw = model(x)[1].detach().numpy(); big += ((raw > level) | (raw < -level)).sum(); n += raw.size
    return big/n
def after_in_eval(model, batches, level): # outside training, what comes after dropout is what comes before it
    model.eval(); model.reset()
    return float(np.mean(np.concatenate([model(x)[2].detach().abs().numpy().ravel() > level for x,_ in batches])))
right('sure_activations', shares(), counted, after_in_eval)
for label,says,f in [('one end', 'count both ends', shares(beyond=lambda a,level: a > level)), ('no reset', '`model.reset()`', shares(start=lambda m: None)),
    ('reset at each batch', 'thrown away at every batch', shares(each=lambda m: m.reset())), ('out', 'activations after dropout', shares(lambda model,x: model(x)[2])),
    ('scores', 'these are the scores', shares(lambda model,x: model(x)[0])), ('mean of means', "mean of the batches' shares", shares(reduce=lambda h: torch.stack([o.float().mean() for o in h]).mean())),
    ('no reset, in use', '`model.reset()`', lambda model,batches,level: shares(start=lambda m: None)(model.eval(), batches, level)),
    ('reset at each batch, in use', 'thrown away at every batch', shares(start=lambda m: m.eval(), each=lambda m: m.reset())),
    ('first batch', 'only the first', shares(batches=lambda b: b[:1])), ('count', 'divide by the number', shares(reduce=lambda h: int(torch.cat(h).sum()))),
    ('percent', 'in percent', shares(reduce=lambda h: 100*torch.cat(h).float().mean())), ('within', '*within*', shares(beyond=lambda a,level: a.abs() <= level)),
    ('fixed level', '`level` is not used', shares(beyond=lambda a,level: a.abs() > .99)), ('a list', 'should be a number', shares(reduce=lambda h: [float(o.float().mean()) for o in h])),
    ('the tuple', 'returns three things', shares(lambda model,x: model(x))), ('no model', 'never called', lambda model,batches,level: .1),
    ('last of each', 'is not it', shares(lambda model,x: model(x)[1][:, -1]))]: wrong('sure_activations', says, f, label)

# ---- 8.2 the noise of dropout
def measured(p): return Dropout(p)(torch.ones(200_000)).std()
right('dropout_noise', lambda p: (p/(1-p))**.5, lambda p: np.sqrt(1/(1-p) - 1), measured)
for label,says,f in [('variance', 'this is the variance; take', lambda p: p/(1-p)), ('mask', 'mask of zeros and ones. What', lambda p: (p*(1-p))**.5), ("mask's variance", 'variance of a mask', lambda p: p*(1-p)),
    ('keeps p', 'to *drop*', lambda p: ((1-p)/p)**.5), ('none', '*mean* stays', lambda p: 0), ('kept', 'value of an activation that was kept', lambda p: 1/(1-p)),
    ('p', 'is not it', lambda p: p), ('a word', 'should be a number', lambda p: 'larger'), ('breaks', 'stops with', lambda: 1)]: wrong('dropout_noise', says, f, label)

# ---- 8.7 one mask for all steps
def locked(mask=lambda x,p: torch.rand_like(x[:, :1]) > p, scale=lambda p: 1/(1-p), rest=lambda x,p: x): return lambda x,p,training: x*mask(x, p)*scale(p) if training else rest(x, p)
def fastais(x, p, training): return RNNDropout(p).train(training)(x)
def bernoulli(x, p, training):
    if not training or p == 0: return x
    return x * x.new_empty(x.shape[0], 1, x.shape[2]).bernoulli_(1-p).div_(1-p).expand_as(x)
right('locked_dropout', locked(), fastais, bernoulli)
def writes(x, p, training):
    if training: x *= (torch.rand_like(x[:, :1]) > p)/(1-p)
    return x
for label,says,f in [('plain', 'plain dropout', locked(lambda x,p: torch.rand_like(x) > p)), ('one row for all', 'different texts', locked(lambda x,p: torch.rand_like(x[:1, :1]) > p)),
    ('whole rows', 'Whole rows', locked(lambda x,p: torch.rand_like(x[:, :1, :1]) > p)), ('whole steps', 'Whole steps', locked(lambda x,p: torch.rand_like(x[:, :, :1]) > p)),
    ('over the rows', 'other way round', locked(lambda x,p: torch.rand_like(x[:1]) > p)), ('no axis for the steps', 'axis of length 1', locked(lambda x,p: torch.rand_like(x[:, 0]) > p)),
    ('keeps p', 'to *drop*', locked(lambda x,p: torch.rand_like(x[:, :1]) < p, lambda p: 1/p)), ('drops half', 'It should be', locked(lambda x,p: torch.rand_like(x[:, :1]) > .5)),
    ('not rescaled', 'not rescaled', locked(scale=lambda p: 1)), ('times p', 'p itself', locked(scale=lambda p: p)),
    ('the same mask', 'draw anew', locked(lambda x,p: torch.rand(x[:, :1].shape, generator=torch.Generator().manual_seed(0)) > p)),
    ('in evaluation', 'training=False', lambda x,p,training: locked()(x, p, True)), ('rescales in evaluation', 'training=False', locked(rest=lambda x,p: x*(1-p))),
    ('the mask alone', 'the shape it was given', lambda x,p,training: (torch.rand_like(x[:, :1]) > p)/(1-p) if training else x), ('in place', 'in place', writes),
    ('detached', 'No gradient', lambda x,p,training: locked()(x.detach(), p, training))]: wrong('locked_dropout', says, f, label)

# ---- 8.8 fines that are shown and not paid
class Fines(Callback):
    order,run_valid = RNNCallback.order+1,False
    def __init__(self, alpha, beta): self.alpha,self.beta = alpha,beta
    def fine(self): return self.alpha*activation_penalty(self.rnn.out) + self.beta*temporal_penalty(self.rnn.raw_out)
class ShownOnly(Fines):
    def after_loss(self): self.learn.loss = self.loss + self.fine()
class Adds(Fines):
    run_valid = True
    def after_loss(self):
        if self.training: self.learn.loss += self.fine().detach()
class Late(Fines): # after the gradient is known: paid cannot be what comes too late
    def after_backward(self): self.learn.loss = self.loss + self.fine().detach()
class AtTheEnd(Fines):
    order = -10
    def after_batch(self):
        if self.training: self.learn.loss = self.loss + self.fine().detach()
right('shown_penalty', ShownOnly, Adds, lambda alpha,beta: ShownOnly(alpha, beta), Late, AtTheEnd)
def shown(name, says, f, **attrs): wrong('shown_penalty', says, type(name, (Fines,), dict(after_loss=f, **attrs)))
shown('Paid', 'the model pays them', lambda self: setattr(self.learn, 'loss_grad', self.loss_grad + self.fine()))
def both(self): self.learn.loss_grad = self.loss_grad + self.fine(); self.learn.loss = self.loss_grad.clone()
shown('Both', 'in both losses', both)
shown('Nothing', 'no fines in it', lambda self: None)
shown('OfTheCallback', 'changes the callback alone', lambda self: setattr(self, 'loss', self.loss + self.fine()))
shown('OnValidation', 'The validation loss: it has the fines', ShownOnly.after_loss, run_valid=True)
shown('Swapped', 'alpha and beta', ShownOnly.after_loss, fine=lambda self: self.beta*activation_penalty(self.rnn.out) + self.alpha*temporal_penalty(self.rnn.raw_out))
def crossed(ar, tar): return lambda self: self.alpha*activation_penalty(getattr(self.rnn, ar)) + self.beta*temporal_penalty(getattr(self.rnn, tar))
shown('Crossed', '`raw` and `out` have changed places', ShownOnly.after_loss, fine=crossed('raw_out', 'out'))
shown('ARBefore', 'AR takes the activations *after* dropout', ShownOnly.after_loss, fine=crossed('raw_out', 'raw_out'))
shown('TARAfter', 'TAR takes the activations *before* dropout', ShownOnly.after_loss, fine=crossed('out', 'out'))
shown('OnlyAR', 'TAR is missing', ShownOnly.after_loss, fine=lambda self: self.alpha*activation_penalty(self.rnn.out))
shown('OnlyTAR', 'AR is missing', ShownOnly.after_loss, fine=lambda self: self.beta*temporal_penalty(self.rnn.raw_out))
shown('Twice', 'added twice', lambda self: setattr(self.learn, 'loss', self.loss + 2*self.fine()))
shown('FinesAlone', 'the fines alone', lambda self: setattr(self.learn, 'loss', self.fine()))
shown('Subtracts', 'subtracted', lambda self: setattr(self.learn, 'loss', self.loss - self.fine()))
shown('NoActivations', "no attribute 'out'. After the prediction, the activations are in `self.rnn.out`", ShownOnly.after_loss, fine=lambda self: self.alpha*self.out.pow(2).mean())
shown('ANumber', 'stay a tensor', lambda self: setattr(self.learn, 'loss', self.loss.item() + self.fine().item()))
shown('Ends', 'ends the training', lambda self: (_ for _ in ()).throw(CancelFitException()))
shown('NoLoss', 'stay a tensor', lambda self: setattr(self.learn, 'loss', None))
def detaches(self): ShownOnly.after_loss(self); self.learn.loss_grad = self.loss_grad + self.fine() - self.fine().detach()
shown('GradientAlone', 'The weights after training', detaches)
wrong('shown_penalty', 'the model pays them', ActivationRegularizer)
wrong('shown_penalty', 'without calling it', ShownOnly(2, 1), 'an instance')
wrong('shown_penalty', 'two numbers', type('NoArguments', (Callback,), {}))
wrong('shown_penalty', 'makes no callback', lambda alpha,beta: None, 'None')
wrong('shown_penalty', 'the model pays them', RNNRegularizer)
