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
EXPERTS = dict(n_routed_experts=6, num_experts_per_tok=3, n_shared_experts=2, moe_intermediate_size=10,
               routed_scaling_factor=1.5)
LATENT = dict(kv_lora_rank=7, qk_nope_head_dim=3, qk_rope_head_dim=4, v_head_dim=5)
CASES = {
    "llama": {},
    "llama tied": dict(tie_word_embeddings=True, num_key_value_heads=1),
    "llama biased": dict(attention_bias=True, num_key_value_heads=6, head_dim=6),
    "qwen2": dict(model_type="qwen2"),
    "llama 3.1": dict(rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                        original_max_position_embeddings=40), head_dim=16, num_key_value_heads=2),
    "linear": dict(rope_scaling=dict(rope_type="linear", factor=2.5)),
    "experts": dict(model_type="deepseek_v3", first_k_dense_replace=1, **EXPERTS),
    "experts in groups": dict(model_type="deepseek_v3", n_shared_experts=0, n_group=3, topk_group=2, norm_topk_prob=True,
                              **{k: v for k, v in EXPERTS.items() if k != "n_shared_experts"}),
    "experts balanced": dict(model_type="deepseek_v3", norm_topk_prob=True, bias_update_speed=0.01, **EXPERTS),
    "latent": dict(model_type="deepseek_v3", num_key_value_heads=6, q_lora_rank=0, **LATENT),
    "ahead": dict(num_nextn_predict_layers=2, model_type="deepseek_v3"),
    "deepseek": dict(model_type="deepseek_v3", num_key_value_heads=6, q_lora_rank=9, num_nextn_predict_layers=1,
                     first_k_dense_replace=1, norm_topk_prob=True, n_group=2, topk_group=1, **LATENT, **EXPERTS),
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
        self.c, self.params, self.balance = config, {}, 0
        self.bias, self.loads = {}, {}

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

    def frequencies(self, width):
        """Those of pairs, by their wavelengths: the published formula of Llama 3.1, as transformers has it in
        modeling_rope_utils.py, or all divided by one factor."""
        all = [self.c["rope_theta"] ** (-i / width) for i in range(0, width, 2)]
        r = self.c.get("rope_scaling", dict(rope_type="default"))
        if r["rope_type"] == "linear":
            all = [f / r["factor"] for f in all]
        if r["rope_type"] == "llama3":
            low, high, trained = r["low_freq_factor"], r["high_freq_factor"], r["original_max_position_embeddings"]
            for i, f in enumerate(all):
                wavelength = 2 * math.pi / f
                if wavelength > trained / low:
                    all[i] = f / r["factor"]
                elif wavelength >= trained / high:
                    smooth = (trained / wavelength - low) / (high - low)
                    all[i] = (1 - smooth) * f / r["factor"] + smooth * f
        return torch.tensor(all)

    def rotate(self, x):
        """Turns pairs that are half of the width apart; x is (B, heads, T, width)."""
        width = x.shape[-1]
        frequency = self.frequencies(width)
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

    def rotate_beside(self, x):
        """Turns pairs that are beside each other, as complex numbers."""
        width = x.shape[-1]
        frequency = self.frequencies(width)
        angle = torch.arange(x.shape[2]).double()[:, None] * frequency
        z = torch.view_as_complex(x.contiguous().view(*x.shape[:-1], width // 2, 2))
        return torch.view_as_real(z * torch.polar(torch.ones_like(angle), angle)).flatten(-2)

    def latent(self, name, x):
        c = self.c
        heads, rank = c["num_attention_heads"], c["kv_lora_rank"]
        plain, turned, values = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
        if c["q_lora_rank"]:
            q = self.norm(name + ".q_a_layernorm", self.linear(name + ".q_a_proj", x, c["q_lora_rank"]))
            q = self.linear(name + ".q_b_proj", q, heads * (plain + turned))
        else:
            q = self.linear(name + ".q_proj", x, heads * (plain + turned))
        kv, shared = self.linear(name + ".kv_a_proj_with_mqa", x, rank + turned).split([rank, turned], -1)
        kv = self.linear(name + ".kv_b_proj", self.norm(name + ".kv_a_layernorm", kv), heads * (plain + values))
        q, kv = (t.view(*x.shape[:2], heads, -1).transpose(1, 2) for t in (q, kv))
        q, q_turned = q.split([plain, turned], -1)
        k, v = kv.split([plain, values], -1)
        k_turned = self.rotate_beside(shared[:, None]).expand(-1, heads, -1, -1)
        q, k = torch.cat([q, self.rotate_beside(q_turned)], -1), torch.cat([k, k_turned], -1)
        return self.linear(name + ".o_proj", self.causal(q, k, v), c["hidden_size"])

    def experts(self, name, x):
        c = self.c
        count, each = c["n_routed_experts"], c["num_experts_per_tok"]
        suits = torch.sigmoid(x @ self.param(name + ".gate.weight", count, x.shape[-1]).T)
        bias = self.bias.setdefault(name, parameter(name + ".gate.e_score_correction_bias", count))
        choice = suits.detach() + bias
        groups, kept = c.get("n_group", 1), c.get("topk_group", 1)
        parts = choice.unflatten(-1, (groups, -1))
        best = parts.topk(2, -1)[0].sum(-1).topk(kept, -1)[1]
        away = torch.ones(parts.shape[:-1], dtype=torch.bool).scatter(-1, best, False)
        choice = parts.masked_fill(away[..., None], -math.inf).flatten(-2)
        chosen = torch.zeros_like(choice).scatter(-1, choice.topk(each, -1)[1], 1.0)
        self.loads[name] = chosen.flatten(0, 1).sum(0)
        weights = suits * chosen
        if c.get("norm_topk_prob"):
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        weights = weights * c["routed_scaling_factor"]
        often = chosen.mean(1, keepdim=True) * count / each
        self.balance = self.balance + (often * suits / suits.sum(-1, keepdim=True)).sum(-1)
        inner = c["moe_intermediate_size"]
        y = sum(weights[..., e : e + 1] * self.gated(f"{name}.experts.{e}", x, inner) for e in range(count))
        shared = c["n_shared_experts"]
        return y + self.gated(name + ".shared_experts", x, shared * inner) if shared else y

    def layer(self, name, x, i):
        c = self.c
        attend = self.latent if "kv_lora_rank" in c else self.attention
        x = x + attend(name + ".self_attn", self.norm(name + ".input_layernorm", x))
        h = self.norm(name + ".post_attention_layernorm", x)
        if "n_routed_experts" in c and i >= c.get("first_k_dense_replace", 0):
            return x + self.experts(name + ".mlp", h)
        return x + self.gated(name + ".mlp", h, c["intermediate_size"])

    def forward(self, ids):
        """The logits, and those of the heads ahead, where the labels are that they predict."""
        c = self.c
        self.balance = 0
        table = self.param("model.embed_tokens.weight", c["vocab_size"], c["hidden_size"])
        x = embedded = table[ids]
        for i in range(c["num_hidden_layers"]):
            x = self.layer(f"model.layers.{i}", x, i)
        x = self.norm("model.norm", x)
        head = table if c["tie_word_embeddings"] else self.param("lm_head.weight", c["vocab_size"], c["hidden_size"])
        all = [x @ head.T]
        for k in range(1, c.get("num_nextn_predict_layers", 0) + 1):
            i = c["num_hidden_layers"] + k - 1
            name = f"model.layers.{i}"
            later = F.pad(embedded[:, k:], (0, 0, 0, k))
            x = torch.cat([self.norm(name + ".enorm", later), self.norm(name + ".hnorm", x)], -1)
            x = self.layer(name, self.linear(name + ".eh_proj", x, c["hidden_size"]), i)
            z = self.norm(name + ".shared_head.norm", x) @ head.T
            all.append(F.pad(z[:, :-k], (0, 0, k, 0)))
        return all

    def level(self):
        """Moves the bias of each expert by a step, up where fewer tokens than the mean went to it."""
        for name, loads in self.loads.items():
            self.bias[name] += self.c.get("bias_update_speed", 0) * torch.sign(loads.mean() - loads)

    def loss(self, ids, labels):
        """Cross entropy, with 0.3 times that of each head ahead, and 0.1 times the balance."""
        logits = self.forward(ids)
        loss = 0
        for z, weight in zip(logits, [1.0] + [0.3] * len(logits)):
            loss = loss + weight * F.cross_entropy(z.flatten(0, 1), labels.flatten(), ignore_index=-1)
        if torch.is_tensor(self.balance):
            loss = loss + 0.1 * self.balance.flatten()[labels.flatten() >= 0].mean()
        return logits, loss


def case(name, change):
    config = {**BASE, **change}
    n, vocab = BATCH * POSITIONS, config["vocab_size"]
    ids = torch.from_numpy((bits("ids", n) % vocab).astype(np.int64)).view(BATCH, POSITIONS)
    labels = torch.from_numpy((bits("labels", n) % (vocab + 1)).astype(np.int64) - 1).view(BATCH, POSITIONS)
    model = Model(config)
    logits, loss = model.loss(ids, labels)
    loss.backward()
    result = dict(name=name, config=config, loss=loss.item(), logits=logits[0].flatten().tolist(),
                  ahead=[z.flatten().tolist() for z in logits[1:]],
                  grads={k: summary(k, p.grad) for k, p in sorted(model.params.items())})
    optimizer = torch.optim.AdamW(model.params.values(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = model.loss(ids, labels)[1]
        loss.backward()
        optimizer.step()
        model.level()
        losses.append(loss.item())
    return {**result, "losses": losses, "final": model.forward(ids)[0].flatten().tolist()}


print(json.dumps({"torch": torch.__version__, "cases": [case(*c) for c in CASES.items()]}))
