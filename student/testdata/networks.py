"""Writes networks.json: what PyTorch computes in float64 with the ready-made
networks, written here once more in its modules.

    python3 networks.py > networks.json    # PyTorch 1.13

Weights, inputs and teachers are a formula of their names, which the test has as
well, so that the file has results alone: the logits and the loss of a training
step, 0.3 cross entropy and 0.7 of Hinton's term at T = 4, and then the logits in
eval mode. Of each gradient, and of the running statistics after that step, it
has the norm, the product with a formula's vector, and the first elements.
"""

import json
import math
import zlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def fill(name, *shape):
    """Numbers in [-1, 1) that depend on a name and their places alone."""
    n = math.prod(shape)
    h = np.arange(n, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    for _ in range(3):
        h &= np.uint64(0xFFFFFFFF)
        h = (h ^ (h >> np.uint64(16))) * np.uint64(0x45D9F3B)
    h = (h & np.uint64(0xFFFFFFFF)) >> np.uint64(8)
    return torch.from_numpy(h.astype(np.float64) / 2**23 - 1).reshape(shape)


def parameter(name, shape):
    u = fill(name, *shape)
    if len(shape) > 1:
        return u * math.sqrt(6 / math.prod(shape[1:]))
    if name.endswith("running_var") or name.endswith("weight"):
        return 1 + u / 2
    return u / 4


def summary(name, t):
    t = t.detach().flatten()
    return [t.norm().item(), t.dot(fill("along " + name, t.numel())).item()] + t[:3].tolist()


def conv3(i, o, stride=1, groups=1, bias=False):
    return nn.Conv2d(i, o, 3, stride, 1, groups=groups, bias=bias)


def conv1(i, o, stride=1):
    return nn.Conv2d(i, o, 1, stride, bias=False)


class CNN(nn.Module):
    def __init__(self, c, size, channels, hidden, out, norm):
        super().__init__()
        self.stages, self.hidden = len(channels), len(hidden)
        for i, o in enumerate(channels, 1):
            setattr(self, f"conv{i}", conv3(c, o, bias=not norm))
            setattr(self, f"bn{i}", nn.BatchNorm2d(o) if norm else nn.Identity())
            c, size = o, [s // 2 for s in size]
        c *= math.prod(size)
        for i, o in enumerate(hidden, 1):
            setattr(self, f"fc{i}", nn.Linear(c, o))
            c = o
        self.fc = nn.Linear(c, out)

    def forward(self, x):
        for i in range(1, self.stages + 1):
            x = F.max_pool2d(F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))), 2)
        x = x.flatten(1)
        for i in range(1, self.hidden + 1):
            x = F.relu(getattr(self, f"fc{i}")(x))
        return self.fc(x)


class VGG(nn.Module):
    def __init__(self, c, convs, channels, out, norm):
        super().__init__()
        for k, n in enumerate(convs):
            layers = []
            for _ in range(n):
                o = channels * min(2**k, 8)
                layers += [conv3(c, o, bias=True)] + [nn.BatchNorm2d(o)] * norm + [nn.ReLU()]
                c = o
            setattr(self, f"block{k}", nn.Sequential(*layers))
        self.classifier = nn.Linear(c, out)

    def forward(self, x):
        pools = 4 if min(x.shape[2:]) >= 64 else 3
        for k in range(5):
            x = getattr(self, f"block{k}")(x)
            if k < pools:
                x = F.max_pool2d(x, 2)
        return self.classifier(x.mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv3(i, o, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv3(o, o), nn.BatchNorm2d(o)
        self.downsample = nn.Sequential()
        if stride > 1 or i != o:
            self.downsample = nn.Sequential(conv1(i, o, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.downsample(x))


class Wide(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv3(i, o, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv3(o, o)
        self.convShortcut = conv1(i, o, stride) if i != o else None

    def forward(self, x):
        h = F.relu(self.bn1(x))
        if self.convShortcut:
            x = self.convShortcut(h)
        return x + self.conv2(F.relu(self.bn2(self.conv1(h))))


def stage(block, n, i, o, stride):
    return nn.Sequential(*[block(i if k == 0 else o, o, stride if k == 0 else 1) for k in range(n)])


class ResNet(nn.Module):
    def __init__(self, c, depth, width, stem, out):
        super().__init__()
        n, w = (depth - 2) // 6, 16 * width
        self.conv1, self.bn1 = conv3(c, stem), nn.BatchNorm2d(stem)
        self.layer1 = stage(Basic, n, stem, w, 1)
        self.layer2 = stage(Basic, n, w, 2 * w, 2)
        self.layer3 = stage(Basic, n, 2 * w, 4 * w, 2)
        self.fc = nn.Linear(4 * w, out)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class WideResNet(nn.Module):
    def __init__(self, c, depth, width, out):
        super().__init__()
        n, w = (depth - 4) // 6, 16 * width
        self.conv1 = conv3(c, 16)
        for k, (i, o, stride) in enumerate([(16, w, 1), (w, 2 * w, 2), (2 * w, 4 * w, 2)], 1):
            setattr(self, f"block{k}", nn.ModuleDict({"layer": stage(Wide, n, i, o, stride)}))
        self.bn1, self.fc = nn.BatchNorm2d(4 * w), nn.Linear(4 * w, out)

    def forward(self, x):
        x = self.conv1(x)
        for block in self.block1, self.block2, self.block3:
            x = block["layer"](x)
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


def normed(conv):
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU6())


class Inverted(nn.Module):
    def __init__(self, i, o, stride, widen):
        super().__init__()
        h = widen * i
        self.same = stride == 1 and i == o
        self.conv = nn.Sequential(
            *[normed(conv1(i, h))] * (widen > 1), normed(conv3(h, h, stride, h)), conv1(h, o), nn.BatchNorm2d(o))

    def forward(self, x):
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNetV2(nn.Module):
    def __init__(self, c, width, expand, small, out):
        super().__init__()

        def channels(c):
            n = max(8, int(c * width + 4) // 8 * 8)
            return n + 8 if n < 0.9 * c * width else n

        halve, i = 1 if small else 2, channels(32)
        blocks = [normed(conv3(c, i, halve))]
        for t, o, n, s in [(1, 16, 1, 1), (expand, 24, 2, halve), (expand, 32, 3, 2), (expand, 64, 4, 2),
                           (expand, 96, 3, 1), (expand, 160, 3, 2), (expand, 320, 1, 1)]:
            for k in range(n):
                blocks.append(Inverted(i, channels(o), s if k == 0 else 1, t))
                i = channels(o)
        last = channels(1280) if width > 1 else 1280
        self.features = nn.Sequential(*blocks, normed(conv1(i, last)))
        self.classifier = nn.Sequential(nn.Dropout(0), nn.Linear(last, out))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def case(name, net, shape, classes=4):
    for key, t in net.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            t.copy_(parameter(key, t.shape))
    x, teacher = fill("x", *shape), 3 * fill("teacher", shape[0], classes)
    label = torch.arange(shape[0]) % classes
    logits = net.train()(x)
    soft = F.kl_div(F.log_softmax(logits / 4, 1), F.softmax(teacher / 4, 1), reduction="batchmean")
    loss = 0.3 * F.cross_entropy(logits, label) + 0.7 * 16 * soft
    loss.backward()
    gathered = {key: summary(key, t) for key, t in net.named_buffers() if "running" in key}
    return {
        "name": name, "shape": shape, "classes": classes, "loss": loss.item(),
        "logits": logits.flatten().tolist(), "eval": net.eval()(x).flatten().tolist(),
        "grads": {key: summary(key, p.grad) for key, p in net.named_parameters()}, "statistics": gathered,
    }


cases = [
    case("cnn", CNN(3, [12, 11], [4, 6], [], 4, False), [5, 3, 12, 11]),
    case("cnn normed", CNN(1, [13, 10], [6, 5, 7], [9, 8], 4, True), [5, 1, 13, 10]),
    case("vgg8", VGG(3, [1, 1, 1, 1, 1], 5, 4, True), [5, 3, 12, 11]),
    case("vgg11 plain", VGG(3, [1, 1, 2, 2, 2], 3, 4, False), [3, 3, 65, 64]),
    case("vgg13", VGG(3, [2, 2, 2, 2, 2], 3, 4, True), [5, 3, 17, 16]),
    case("vgg16", VGG(3, [2, 2, 3, 3, 3], 3, 4, True), [5, 3, 16, 19]),
    case("resnet8", ResNet(3, 8, 1, 16, 4), [5, 3, 12, 11]),
    case("resnet20", ResNet(3, 20, 1, 16, 4), [5, 3, 11, 12]),
    case("resnet8x2", ResNet(3, 8, 2, 7, 4), [5, 3, 9, 11]),
    case("wrn-10-2", WideResNet(3, 10, 2, 4), [5, 3, 12, 11]),
    case("wrn-16-1", WideResNet(3, 16, 1, 4), [5, 3, 9, 10]),
    case("mobilenetv2", MobileNetV2(3, 0.35, 3, False, 4), [6, 3, 33, 40]),
    case("mobilenetv2 small", MobileNetV2(3, 0.25, 6, True, 4), [5, 3, 12, 11]),
]
print(json.dumps({"cases": cases}, indent=None, separators=(",", ":")).replace("],\"", "],\n\""))
