"""The losses of features that have parameters or memories of their own, as PyTorch
computes them in float64: python3 features.py > features.json (PyTorch 1.13).
Parameters are of a formula, by their names, in the order of their memory."""

import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(11)
cases = []


def array(t):
    return {"shape": list(t.shape), "data": t.detach().flatten().tolist()}


def formula(name, *shape):
    n = math.prod(shape)
    v = [((i * 7919 + len(name) * 104729 + ord(name[-1]) * 31) % 997) / 997 - 0.45 for i in range(n)]
    t = torch.tensor(v, dtype=torch.float64).reshape(shape)
    return t.requires_grad_()


class Params(dict):
    """Parameters that are made when they are asked for."""

    def of(self, name, *shape):
        if name not in self:
            self[name] = formula(name, *shape)
        return self[name]


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64)


def case(method, students, teachers, loss, **config):
    params = Params()
    s = {name: normal(*shape).requires_grad_() for name, shape in students.items()}
    t = {name: 1.5 * normal(*shape) for name, shape in teachers.items()}
    value = loss(s, t, params)
    value.backward()
    cases.append({
        "method": method, "config": config,
        "student": {k: array(v) for k, v in s.items()}, "teacher": {k: array(v) for k, v in t.items()},
        "loss": value.item(), "grads": {k: array(v.grad) for k, v in s.items()},
        "params": {k: array(v.grad) for k, v in params.items() if v.grad is not None},
    })


def hint(s, t, p):
    s, t = s["a"], t["b"]
    if s.dim() == 4 and t.dim() == 4:
        k = [1 + s.shape[i] - t.shape[i] for i in (2, 3)]
        w, b = p.of("regressor.weight", t.shape[1], s.shape[1], *k), p.of("regressor.bias", t.shape[1])
        return F.mse_loss(F.conv2d(s, w, b), t)
    s, t = s.flatten(1), t.flatten(1)
    return F.mse_loss(F.linear(s, p.of("regressor.weight", t.shape[1], s.shape[1]), p.of("regressor.bias", t.shape[1])), t)


def alike(s, t):
    size = (min(s.shape[2], t.shape[2]), min(s.shape[3], t.shape[3]))
    return F.adaptive_avg_pool2d(s, size), F.adaptive_avg_pool2d(t, size)


def vid(s, t, p):
    s, t = s["a"], t["b"]
    if s.dim() == 4:
        s, t = alike(s, t)
    for i in range(3):
        shape = (t.shape[1], s.shape[1]) + ((1, 1) if s.dim() == 4 else ())
        w = p.of("regressor.%d.weight" % i, *shape)
        s = F.conv2d(s, w) if s.dim() == 4 else F.linear(s, w)
        if i < 2:
            s = F.relu(s)
    scale = p.of("scale", t.shape[1])
    variance = torch.log(1 + torch.exp(scale)) + 1e-5
    variance = variance.view(1, -1, *([1] * (t.dim() - 2)))
    return (0.5 * ((s - t) ** 2 / variance + torch.log(variance))).mean()


def batch_norm(x, p, name):
    c = x.shape[1]
    return F.batch_norm(x, None, None, p.of(name + ".weight", c), p.of(name + ".bias", c), training=True)


MARGIN = [-0.3, -0.1, -1.0, -0.6, -0.2]


def ofd(s, t, p):
    s, t = s["a"], t["b"]
    t = F.adaptive_avg_pool2d(t, s.shape[2:])
    s = batch_norm(F.conv2d(s, p.of("connector.0.weight", t.shape[1], s.shape[1], 1, 1)), p, "connector.1")
    m = torch.tensor(MARGIN, dtype=torch.float64).view(1, -1, 1, 1)
    loss = (s - m) ** 2 * ((s > m) & (t <= m)).double()
    loss = loss + (s - t) ** 2 * ((s > t) & (t > m) & (t <= 0)).double()
    loss = loss + (s - t) ** 2 * (t > 0).double()
    return loss.mean(0).sum()


def fsp(s, t, p):
    def flow(a, b):
        a, b = alike(a, b)
        return torch.einsum("bcp,bdp->bcd", a.flatten(2), b.flatten(2)) / (a.shape[2] * a.shape[3])

    return F.mse_loss(flow(s["a"], s["b"]), flow(t["a"], t["b"]))


def context(s, t):
    loss, weight, total = F.mse_loss(s, t), 1.0, 1.0
    for n in (4, 2, 1):
        if n >= min(s.shape[2:]):  # the authors' maps are square
            continue
        weight /= 2
        loss = loss + weight * F.mse_loss(F.adaptive_avg_pool2d(s, n), F.adaptive_avg_pool2d(t, n))
        total += weight
    return loss / total


def review(width):
    def loss(s, t, p):
        total, deeper = 0, None
        for i, name in reversed(list(enumerate(s))):
            x, to, at = s[name], t[name], "layer%d." % (i + 1)
            x, to = (v if v.dim() == 4 else v[:, :, None, None] for v in (x, to))
            mid = width or min(512, list(s.values())[-1].shape[1])
            x = batch_norm(F.conv2d(x, p.of(at + "conv1.0.weight", mid, x.shape[1], 1, 1)), p, at + "conv1.1")
            if deeper is not None:
                deeper = F.interpolate(deeper, x.shape[2:], mode="nearest")
                z = torch.cat([x, deeper], 1)
                z = torch.sigmoid(F.conv2d(z, p.of(at + "att_conv.weight", 2, 2 * mid, 1, 1), p.of(at + "att_conv.bias", 2)))
                x = x * z[:, :1] + deeper * z[:, 1:]
            deeper = F.interpolate(x, to.shape[2:], mode="nearest")
            y = batch_norm(F.conv2d(deeper, p.of(at + "conv2.0.weight", to.shape[1], mid, 3, 3), padding=1), p, at + "conv2.1")
            total = total + context(y, to)
        return total

    return loss


def simkd(s, t, p):
    s, t = s["a"], t["b"]
    if s.dim() == 4:
        s, t = alike(s, t)
    return F.mse_loss(s, t)


GOLDEN, ALL = 0x9E3779B97F4A7C15, (1 << 64) - 1


def mix(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & ALL
    z = (z ^ z >> 27) * 0x94D049BB133111EB & ALL
    return z ^ z >> 31


def drawn(seed, step, place, samples, n):
    h = GOLDEN
    for w in (seed, step, place):
        h = mix((h ^ w) + GOLDEN & ALL)
    out = [place]
    for _ in range(n):
        h = h + GOLDEN & ALL
        other = mix(h) * (samples - 1) >> 64
        out.append(other + (other >= place))
    return torch.tensor(out)


def crd(negatives, temperature, momentum, width, steps):
    """The loss of the last of some steps on one batch, whose rows are all samples."""

    def loss(s, t, p):
        s, t = s["a"].flatten(1), t["b"].flatten(1)
        n = len(s)
        memory = {k: p.of(k + ".memory", n, width).detach().clone() for k in ("student", "teacher")}
        norm = {}
        for step in range(steps):
            v = {}
            for k, x in (("student", s), ("teacher", t)):
                x = F.linear(x, p.of(k + ".embed.weight", width, x.shape[1]), p.of(k + ".embed.bias", width))
                v[k] = x / x.norm(dim=1, keepdim=True)
            index = torch.stack([drawn(0, step, i, n, negatives) for i in range(n)])
            value = 0
            for k, other in (("student", "teacher"), ("teacher", "student")):
                out = torch.exp(torch.einsum("rkd,rd->rk", memory[other][index], v[k]) / temperature)
                norm.setdefault(k, out.mean().item() * n)
                out = out / norm[k]
                c = negatives / n
                value = value - torch.log(out[:, 0] / (out[:, 0] + c + 1e-7)).sum() / n
                value = value - torch.log(c / (out[:, 1:] + c + 1e-7)).sum() / n
            for k in memory:
                memory[k] = F.normalize(momentum * memory[k] + (1 - momentum) * v[k].detach(), dim=1)
        return value

    return loss


case("hint", {"a": (4, 3, 7, 6)}, {"b": (4, 5, 4, 3)}, hint)
case("hint", {"a": (4, 3, 5, 6)}, {"b": (4, 7, 5, 6)}, hint)
case("hint", {"a": (4, 3, 5)}, {"b": (4, 7)}, hint)
case("vid", {"a": (4, 3, 7, 6)}, {"b": (4, 5, 4, 7)}, vid)
case("vid", {"a": (5, 3)}, {"b": (5, 4)}, vid)
case("ofd", {"a": (4, 3, 4, 6)}, {"b": (4, 5, 7, 6)}, ofd)
case("fsp", {"a": (4, 3, 7, 6), "b": (4, 5, 4, 3)}, {"a": (4, 3, 5, 5), "b": (4, 5, 5, 5)}, fsp)
deep = {"a": (4, 3, 7, 6), "b": (4, 5, 4, 3), "c": (4, 6)}
wide = {"a": (4, 7, 6, 5), "b": (4, 4, 3, 4), "c": (4, 8)}
case("reviewkd", deep, wide, review(0))
case("reviewkd", deep, wide, review(4), width=4)
case("simkd", {"a": (4, 5, 7, 6)}, {"b": (4, 5, 4, 3)}, simkd)
case("simkd", {"a": (4, 5)}, {"b": (4, 5)}, simkd)
for steps in (1, 3):
    case("crd", {"a": (5, 3, 4)}, {"b": (5, 7)}, crd(9, 0.2, 0.3, 6, steps), negatives=9, temperature=0.2, momentum=0.3, width=6, steps=steps)

print(json.dumps({"dtype": "float64", "cases": cases}, separators=(",", ":")))
