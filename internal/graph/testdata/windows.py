"""Convolutions and poolings as PyTorch 1.13 computes them in float64.

    python3 windows.py > windows.json

Values are small multiples of 1/8, so that the file is small, sums are exact and
some of the pixels that a window sees are equal.
"""

import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)


def draw(*shape):
    return torch.randint(-8, 9, shape) / 8


def array(t):
    return {"shape": list(t.shape), "data": t.flatten().tolist()}


def run(op, f, inputs, **params):
    """One case: the value of f, and its gradient by each of the inputs."""
    for v in inputs.values():
        v.requires_grad_()
    y = f(*inputs.values())
    dy = draw(*y.shape)
    y.backward(dy)
    named = {k: array(v.detach()) for k, v in inputs.items()}
    grads = {"d" + k: array(v.grad) for k, v in inputs.items()}
    return {"op": op, **params, **named, "y": array(y.detach()), "dy": array(dy), **grads}


ACTS = {"identity": lambda y: y, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


def conv(x, w, bias=True, act="identity", groups=1, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    inputs = {"x": draw(*x), "w": draw(*w)}
    if bias:
        inputs["b"] = draw(w[0])
    f = lambda x, w, b=None: ACTS[act](F.conv2d(x, w, b, stride, pad, dilation, groups))
    return run("conv", f, inputs, act=act, groups=groups, stride=stride, pad=pad, dilation=dilation)


def maxpool(x, kernel, stride=None, pad=(0, 0), dilation=(1, 1)):
    f = lambda x: F.max_pool2d(x, kernel, stride, pad, dilation)
    return run("maxpool", f, {"x": draw(*x)}, kernel=kernel, stride=stride or (0, 0), pad=pad, dilation=dilation)


def avgpool(x, kernel, stride=None, pad=(0, 0), exclude=False):
    f = lambda x: F.avg_pool2d(x, kernel, stride, pad, count_include_pad=not exclude)
    return run("avgpool", f, {"x": draw(*x)}, kernel=kernel, stride=stride or (0, 0), pad=pad, excludePad=exclude)


cases = [
    conv((3, 3, 5, 4), (4, 3, 3, 3)),
    conv((3, 3, 5, 4), (4, 3, 3, 3), pad=(1, 1), act="relu"),
    conv((3, 3, 6, 5), (4, 3, 3, 3), stride=(2, 2), pad=(1, 1), act="tanh"),
    conv((3, 3, 5, 6), (4, 3, 3, 3), stride=(1, 2), pad=(0, 1), bias=False),
    conv((3, 3, 6, 7), (4, 3, 3, 3), dilation=(2, 3), pad=(1, 2)),
    conv((3, 6, 5, 4), (9, 2, 3, 3), groups=3, pad=(1, 1)),
    conv((3, 5, 5, 4), (5, 1, 3, 3), groups=5, pad=(1, 1), act="sigmoid"),
    conv((3, 3, 5, 4), (6, 1, 3, 3), groups=3, stride=(2, 1), bias=False),
    conv((3, 3, 4, 6), (4, 3, 1, 4), pad=(0, 2)),
    conv((3, 3, 6, 4), (4, 3, 5, 3), pad=(2, 1), stride=(3, 1)),
    conv((3, 5, 3, 4), (4, 5, 1, 1), act="relu"),
    maxpool((3, 4, 6, 8), (2, 2)),
    maxpool((3, 4, 7, 5), (3, 3), stride=(2, 2), pad=(1, 1)),
    maxpool((3, 4, 5, 6), (3, 2), stride=(1, 1)),
    maxpool((3, 4, 7, 6), (3, 2), stride=(2, 1), pad=(1, 0), dilation=(2, 3)),
    avgpool((3, 4, 6, 7), (2, 3)),
    avgpool((3, 4, 5, 6), (3, 3), stride=(2, 2), pad=(1, 1)),
    avgpool((3, 4, 5, 6), (3, 4), stride=(2, 1), pad=(1, 2), exclude=True),
    avgpool((3, 4, 5, 6), (3, 2), stride=(1, 1)),
    run("globalavgpool", lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1), {"x": draw(3, 4, 5, 7)}),
]
print(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases).join(["[", "]"]))
