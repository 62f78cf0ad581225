"""Writes norms.json: activations and normalisations as PyTorch computes them in
float64, with their gradients.

    python3 norms.py > norms.json    # PyTorch 1.13
"""

import json

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def array(t):
    return {"shape": list(t.shape), "data": [float(v) for v in t.detach().reshape(-1)]}


def normal(*shape):
    return (64 * torch.randn(shape)).round() / 64  # of few digits, which float32 holds too


def gradients(y, dy, **wrt):
    """What each tensor has for a gradient, given that of y."""
    return {name: array(g) for name, g in zip(wrt, torch.autograd.grad(y, list(wrt.values()), dy))}


def activations():
    x = torch.cat([torch.tensor([-7.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 9.0]), 3 * normal(24)]).requires_grad_()
    dy = normal(32)
    acts = {
        "identity": nn.Identity(), "relu": nn.ReLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "relu6": nn.ReLU6(),
        "leakyrelu": nn.LeakyReLU(), "leakyrelu(0.2)": nn.LeakyReLU(0.2), "elu": nn.ELU(), "hardswish": nn.Hardswish(),
        "silu": nn.SiLU(), "gelu": nn.GELU(), "gelutanh": nn.GELU(approximate="tanh"),
    }
    cases = {}
    for name, act in acts.items():
        y = act(x)
        cases[name] = {"y": array(y), "grads": gradients(y, dy, x=x)}
    return {"x": array(x), "dy": array(dy), "cases": cases}


def layers():
    """Norms of one batch, with weights of their own."""
    cases = []
    for kind, settings, layer, shape in [
        ("layer", {"axes": 1}, nn.LayerNorm(7), (4, 7)),
        ("layer", {"axes": 1}, nn.LayerNorm(7, elementwise_affine=False), (4, 3, 7)),
        ("layer", {"axes": 2}, nn.LayerNorm((5, 7), eps=1e-3), (4, 3, 5, 7)),
        ("group", {"groups": 3}, nn.GroupNorm(3, 6), (4, 6, 5, 3)),
        ("group", {"groups": 2}, nn.GroupNorm(2, 6, affine=False), (4, 6, 5)),
        ("group", {"groups": 6}, nn.GroupNorm(6, 6, eps=1e-3), (4, 6, 3)),
        ("group", {"groups": 3}, nn.GroupNorm(3, 6), (4, 6)),
    ]:
        x, dy = (2 * normal(*shape) + 1).requires_grad_(), normal(*shape)
        wrt, values = {"x": x}, {}
        for name, p in layer.named_parameters():
            p.data = normal(*p.shape)
            wrt[name], values[name] = p, array(p)
        y = layer(x)
        cases.append({"kind": kind, **settings, "eps": layer.eps, "x": array(x), "dy": array(dy), "y": array(y),
                      "params": values, "grads": gradients(y, dy, **wrt)})
    return cases


def batches():
    """Three steps of training, and then one in eval mode."""
    cases = []
    for layer, shape, act in [
        (nn.BatchNorm1d(5), (6, 5), "identity"),
        (nn.BatchNorm1d(5, affine=False), (4, 5, 3), "relu"),
        (nn.BatchNorm2d(3), (4, 3, 5, 2), "relu"),
        (nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (4, 3, 2, 5), "relu6"),
    ]:
        f = {"identity": lambda v: v, "relu": F.relu, "relu6": F.relu6}[act]
        params = {name: normal(*p.shape) for name, p in layer.named_parameters()}
        for name, p in layer.named_parameters():
            p.data = params[name].clone()
        case = {"act": act, "eps": layer.eps, "momentum": layer.momentum, "steps": [],
                "params": {name: array(p) for name, p in params.items()}}
        for step in range(4):
            layer.train(step < 3)
            x, dy = (2 * normal(*shape) + step).requires_grad_(), normal(*shape)
            y = f(layer(x))
            case["steps"].append({
                "x": array(x), "dy": array(dy), "y": array(y),
                "grads": gradients(y, dy, x=x, **dict(layer.named_parameters())),
                "running_mean": array(layer.running_mean), "running_var": array(layer.running_var)})
        cases.append(case)
    return cases


if __name__ == "__main__":
    print(json.dumps({"torch": torch.__version__, "activations": activations(), "layers": layers(), "batches": batches()}))
