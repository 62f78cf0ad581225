"""The losses of numbers, of yes-or-no questions and of pixels, as PyTorch
computes them in float64: python3 targets.py > targets.json (PyTorch 1.13)."""

import json

import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, kl_divergence

torch.manual_seed(7)
cases = []


def array(t):
    return {"shape": list(t.shape), "data": t.flatten().tolist()}


def case(method, shape, label, loss, **params):
    student = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    teacher = 2 * torch.randn(shape, dtype=torch.float64)
    value = loss(student, teacher, label)
    value.backward()
    cases.append({
        "method": method, "params": params,
        "student": array(student.detach()), "teacher": array(teacher), "label": array(label),
        "loss": value.item(), "grad": array(student.grad),
    })


def bounded(s, t, y, margin):
    off, bound = ((s - y) ** 2).mean(1), ((t - y) ** 2).mean(1)
    return torch.where(off + margin > bound, off, torch.zeros_like(off)).mean()


def soft(s, t, T):
    kl = F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="none")
    return T * T * kl.sum(1).mean()


shape = (6, 5)
numbers = 2 * torch.randn(shape, dtype=torch.float64)
case("mse", shape, numbers, lambda s, t, y: F.mse_loss(s, y))
case("l1", shape, numbers, lambda s, t, y: F.l1_loss(s, y))
case("mse_of_teacher", shape, numbers, lambda s, t, y: F.mse_loss(s, t))
case("l1_of_teacher", shape, numbers, lambda s, t, y: F.l1_loss(s, t))
for delta in (0.5, 1.0, 2.0):
    case("huber", shape, numbers, lambda s, t, y: F.huber_loss(s, y, delta=delta), delta=delta)
    case("smooth_l1", shape, numbers, lambda s, t, y: F.smooth_l1_loss(s, y, beta=delta), beta=delta)
for margin in (0.0, 1.0):
    case("bounded", shape, numbers, lambda s, t, y: bounded(s, t, y, margin), margin=margin)
case("mse", (7,), torch.randn(7, dtype=torch.float64), lambda s, t, y: F.mse_loss(s, y))
case("mse", (3, 4, 5), torch.randn(3, 4, 5, dtype=torch.float64), lambda s, t, y: F.mse_loss(s, y))

yes = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.25], dtype=torch.float64)
for label in (torch.rand(shape, dtype=torch.float64).round(), torch.rand(shape, dtype=torch.float64)):
    bce = F.binary_cross_entropy_with_logits
    case("bce", shape, label, lambda s, t, y: bce(s, y, reduction="none").sum(1).mean())
    case("bce_yes", shape, label, lambda s, t, y: bce(s, y, pos_weight=yes, reduction="none").sum(1).mean())
case("bce", (7,), torch.rand(7, dtype=torch.float64).round(), lambda s, t, y: bce(s, y))
for T in (0.5, 1.0, 4.0):
    case("binary_kl", shape, torch.rand(shape, dtype=torch.float64), lambda s, t, y: T * T * kl_divergence(
        Bernoulli(logits=t / T), Bernoulli(logits=s / T)).sum(1).mean(), temperature=T)

pixels = torch.randint(-1, 4, (3, 5, 6))
case("pixels", (3, 4, 5, 6), pixels, lambda s, t, y: F.cross_entropy(s, y, ignore_index=-1))
for T in (1.0, 4.0):
    case("soft_pixels", (3, 4, 5, 6), pixels, lambda s, t, y: soft(s, t, T), temperature=T)

print(json.dumps({"dtype": "float64", "cases": cases}))
