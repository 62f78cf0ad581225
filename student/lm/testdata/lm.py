"""Writes lm.json: what PyTorch computes in float64 with language models, written
here once more with plain products of matrices.

    python3 lm.py > lm.json    # PyTorch 1.13

Weights, ids and labels are a formula of their names, which the test has as well,
so that the file has results alone: the logits and the loss, and the losses of 50
steps of AdamW with the logits behind them. Of each gradient it has the norm, the
product with a formula's vector, and the first elements.
"""

import json
import math
import zlib

import numpy as np
import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

BATCH, POSITIONS = 3, 7
BASE = dict(vocab_size=11, hidden_size=24, intermediate_size=20, num_hidden_layers=2, num_attention_heads=6,
            num_key_value_heads=3, max_position_embeddings=9, rms_norm_eps=1e-5, rope_theta=100.0,
            tie_word_embeddings=False, attention_bias=False, model_type="llama")
CASES = {
    "llama": {},
    "llama tied": dict(tie_word_embeddings=True, num_key_value_heads=1),
    "llama biased": dict(attention_bias=True, num_key_value_heads=6, head_dim=6),
    "qwen2": dict(model_type="qwen2"),
}


def bits(name, n):
    """n integers below 2^24 that depend on a name and their places alone."""
    h = np.arange(n, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    for _ in range(3):
        h &= np.uint64(0xFFFFFFFF)
        h = (h ^ (h >> np.uint64(16))) * np.uint64(0x45D9F3B)
    return (h & np.uint64(0xFFFFFFFF)) >> np.uint64(8)


def fill(name, *shape):
    return torch.from_numpy(bits(name, math.prod(shape)).astype(np.float64) / 2**23 - 1).reshape(shape)


def parameter(name, *shape):
    u = fill(name, *shape)
    if len(shape) > 1:
        return u / math.sqrt(shape[1]) if "embed" not in name else u
    return 1 + u / 2 if name.endswith("norm.weight") else u / 4


def summary(name, t):
    t = t.detach().flatten()
    return [t.norm().item(), t.dot(fill("along " + name, t.numel())).item()] + t[:3].tolist()


class Model:
    """Parameters are made when they are met."""

    def __init__(self, config):
        self.c, self.params = config, {}

    def param(self, name, *shape):
        if name not in self.params:
            self.params[name] = parameter(name, *shape).requires_grad_()
        return self.params[name]

    def linear(self, name, x, out, bias=False):
        y = x @ self.param(name + ".weight", out, x.shape[-1]).T
        return y + self.param(name + ".bias", out) if bias else y

    def norm(self, name, x):
        inverse = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.c["rms_norm_eps"])
        return x * inverse * self.param(name + ".weight", x.shape[-1])

    def rotate(self, x):
        """Turns pairs that are half of the width apart; x is (B, heads, T, width)."""
        width = x.shape[-1]
        frequency = self.c["rope_theta"] ** (-torch.arange(0, width, 2) / width)
        angle = torch.arange(x.shape[2]).double()[:, None] * frequency
        cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin

    def causal(self, q, k, v):
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        later = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(1)
        y = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        return y.transpose(1, 2).flatten(2)

    def attention(self, name, x):
        c = self.c
        heads, shared = c["num_attention_heads"], c["num_key_value_heads"]
        width = c.get("head_dim", c["hidden_size"] // heads)
        bias = c["attention_bias"] or c["model_type"] == "qwen2"

        def project(part, n):
            y = self.linear(f"{name}.{part}_proj", x, n * width, bias)
            return y.view(*x.shape[:2], n, width).transpose(1, 2)

        q, k, v = self.rotate(project("q", heads)), self.rotate(project("k", shared)), project("v", shared)
        k, v = (t.repeat_interleave(heads // shared, 1) for t in (k, v))
        return self.linear(name + ".o_proj", self.causal(q, k, v), c["hidden_size"], c["attention_bias"])

    def gated(self, name, x, inner):
        h = F.silu(self.linear(name + ".gate_proj", x, inner)) * self.linear(name + ".up_proj", x, inner)
        return self.linear(name + ".down_proj", h, x.shape[-1])

    def layer(self, name, x):
        x = x + self.attention(name + ".self_attn", self.norm(name + ".input_layernorm", x))
        return x + self.gated(name + ".mlp", self.norm(name + ".post_attention_layernorm", x), self.c["intermediate_size"])

    def forward(self, ids):
        c = self.c
        table = self.param("model.embed_tokens.weight", c["vocab_size"], c["hidden_size"])
        x = table[ids]
        for i in range(c["num_hidden_layers"]):
            x = self.layer(f"model.layers.{i}", x)
        x = self.norm("model.norm", x)
        if c["tie_word_embeddings"]:
            return x @ table.T
        return self.linear("lm_head", x, c["vocab_size"])

    def loss(self, ids, labels):
        logits = self.forward(ids)
        return logits, F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1)


def case(name, change):
    config = {**BASE, **change}
    n, vocab = BATCH * POSITIONS, config["vocab_size"]
    ids = torch.from_numpy((bits("ids", n) % vocab).astype(np.int64)).view(BATCH, POSITIONS)
    labels = torch.from_numpy((bits("labels", n) % (vocab + 1)).astype(np.int64) - 1).view(BATCH, POSITIONS)
    model = Model(config)
    logits, loss = model.loss(ids, labels)
    loss.backward()
    result = dict(name=name, config=config, loss=loss.item(), logits=logits.flatten().tolist(),
                  grads={k: summary(k, p.grad) for k, p in sorted(model.params.items())})
    optimizer = torch.optim.AdamW(model.params.values(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = model.loss(ids, labels)[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {**result, "losses": losses, "final": model.forward(ids).flatten().tolist()}


print(json.dumps({"torch": torch.__version__, "cases": [case(*c) for c in CASES.items()]}))
