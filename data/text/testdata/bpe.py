"""Trains a small byte-level BPE, and prints it as three tokenizer.json: as GPT-2,
Llama 3 and Qwen 3 split text. bpe.mjs prints what they make of texts.

    python3 bpe.py > bpe.json
    npm install @lenml/tokenizers@3.7.2 && node bpe.mjs > tokens.json
"""
import collections
import json

CORPUS = """the student learns from the teacher, and the teacher is not told what
the student has learned. it isn't the answer that the student's teacher gives, it's
how near the other answers are: they're what she'll learn. I've seen the hundreds of
thousands, and I'd see them again. 100 + 100 = 200, 1000 - 1 = 999. der Schüler lernt
für den Lehrer; les élèves étudient à l'école. 学生学习 学生学习 学生。"""
MERGES = 90


def letters():
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    other = [b for b in range(256) if b not in seen]
    return {b: chr(b) for b in seen} | {b: chr(256 + i) for i, b in enumerate(other)}


def train():
    spell = letters()
    words = collections.Counter()
    for word in CORPUS.split():
        words[tuple(spell[b] for b in (" " + word).encode())] += 1
    vocab, merges = sorted(spell.values()), []
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        vocab.append("".join(best))
        words = collections.Counter({join(word, best): n for word, n in words.items()})
    return vocab, merges


def join(word, pair):
    out = []
    for token in word:
        if out and (out[-1], token) == pair:
            out[-1] += token
        else:
            out.append(token)
    return tuple(out)


def split(numbers):
    return {"type": "Split", "behavior": "Isolated", "invert": False, "pattern": {"Regex":
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers +
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}}


def level(regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


vocab, merges = train()
# A token that no merge makes: Llama 3 has it as a word, the others never.
vocab.append("Ġwhole")
ids = {token: i for i, token in enumerate(vocab)}
added = [{"id": len(ids) + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
          "normalized": False, "special": special}
         for i, (text, special) in enumerate([("<|end|>", True), ("<|end|>>", True), ("<think>", False), ("<|start|>", True)])]
out = {}
for name, normalizer, pre, whole, pairs in [
    ("gpt2", None, level(True), False, [" ".join(m) for m in merges]),
    ("llama3", None, {"type": "Sequence", "pretokenizers": [split(r"\p{N}{1,3}"), level(False)]}, True, [" ".join(m) for m in merges]),
    ("qwen3", {"type": "NFC"}, {"type": "Sequence", "pretokenizers": [split(r"\p{N}"), level(False)]}, False, merges),
]:
    out[name] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
                 "normalizer": normalizer, "pre_tokenizer": pre, "post_processor": None, "decoder": level(True),
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                           "ignore_merges": whole, "vocab": ids, "merges": pairs}}
print(json.dumps(out))
