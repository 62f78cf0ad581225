"""The PyTorch side of examples/versus: answers each line of JSON with one."""
import ctypes, json, os, sys, time
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1)


def numbers(task, name, dtype):
    return torch.from_numpy(np.fromfile(os.path.join(task["dir"], name), dtype))


def network(task, name):
    """A perceptron from a safetensors file."""
    with open(os.path.join(task["dir"], name), "rb") as f:
        size = int.from_bytes(f.read(8), "little")
        head = json.loads(f.read(size))
        raw = f.read()
    head.pop("__metadata__", None)
    tensors = {}
    for key, of in head.items():
        begin, end = of["data_offsets"]
        tensors[key] = torch.from_numpy(np.frombuffer(raw[begin:end], "<f4").reshape(of["shape"]).copy())
    layers = []
    for key in sorted({key.split(".")[0] for key in tensors}):
        out, into = tensors[key + ".weight"].shape
        layers.append(nn.Linear(into, out))
        layers[-1].weight.data = tensors[key + ".weight"]
        layers[-1].bias.data = tensors[key + ".bias"]
        layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1])


def off(got, want):
    """The largest difference, relative to the largest value."""
    return float((got - want).abs().max() / want.abs().max())


class Distillation:
    def __init__(self, task):
        self.task = task
        self.student = network(task, "student.safetensors")
        self.teacher = network(task, "teacher.safetensors").eval()
        self.adam = torch.optim.Adam(self.student.parameters(), lr=task["rate"], foreach=True)

    def teach(self, x):
        with torch.no_grad():
            return self.teacher(x)

    def step(self, x, y, t):
        T, w = self.task["temperature"], self.task["weight"]
        s = self.student(x)
        soft = F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="batchmean")
        loss = (1 - w) * F.cross_entropy(s, y) + w * T * T * soft
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        return loss, s

    def gradient(self):
        return torch.cat([p.grad.flatten() for p in self.student.parameters()])


def step(task):
    d = Distillation(task)
    xs = numbers(task, "x.f32", "<f4").view(-1, task["batch"], 784)
    ys = numbers(task, "y.i64", "<i8").view(-1, task["batch"])
    ts = [d.teach(x) for x in xs] if task["cached"] else None
    turn = 0

    def call():
        nonlocal turn
        i = turn % len(xs)
        turn += 1
        loss, _ = d.step(xs[i], ys[i], ts[i] if ts else d.teach(xs[i]))
        return loss.item()

    losses = [call()]
    wrong = off(d.gradient(), numbers(task, "want.f32", "<f4"))
    losses += [call() for _ in range(task["steps"] - 1)]
    return call, {"losses": losses, "off": wrong}


class Images(Dataset):
    """Bytes in memory, scaled; shifted by up to one pixel to train on."""

    def __init__(self, task, name, shift):
        self.x = numbers(task, name + ".u8", "u1").view(-1, 28, 28)
        self.y = numbers(task, name + ".i64", "<i8")
        self.shift = shift

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        x = self.x[i].float() / 255
        if self.shift:
            r, c = np.random.randint(0, 3, 2)
            x = F.pad(x, (1, 1, 1, 1))[r : r + 28, c : c + 28]
        return x.flatten(), self.y[i]


def epoch(task):
    d = Distillation(task)
    train, valid = Images(task, "train", True), Images(task, "valid", False)
    null = open(os.devnull, "w")

    def measure():
        right = agreed = nll = kl = 0.0
        with torch.no_grad():
            for x, y in DataLoader(valid, task["batch"]):
                s, t = F.log_softmax(d.student(x), 1), F.log_softmax(d.teacher(x), 1)
                right += (s.argmax(1) == y).sum().item()
                agreed += (s.argmax(1) == t.argmax(1)).sum().item()
                nll += F.nll_loss(s, y, reduction="sum").item()
                kl += F.kl_div(s, t, reduction="sum", log_target=True).item()
        return right, agreed, nll, kl

    def over(loader):
        right = total = 0.0
        for x, y in loader:
            loss, s = d.step(x, y, d.teach(x))
            total += loss.item()
            right += (s.argmax(1) == y).sum().item()
            print(f"\rloss {total:.4g} right {right}", end="", file=null)
        return measure()

    loaders = [DataLoader(train, task["batch"], shuffle=True)]
    loaders.append(DataLoader(train, task["batch"], shuffle=True, num_workers=1, persistent_workers=True))
    best = fastest([lambda l=l: over(l) for l in loaders], 2)
    return best, {}


def teach(task):
    net = network(task, "teacher.safetensors").eval()
    return answer(task, net, numbers(task, "x.f32", "<f4").view(task["batch"], -1))


def predict(task):
    net = network(task, "student.safetensors").eval()
    return answer(task, net, numbers(task, "x.f32", "<f4").view(1, -1))


def answer(task, net, x):
    def call():
        with torch.inference_mode():
            return net(x)

    return call, {"off": off(call().flatten(), numbers(task, "want.f32", "<f4"))}


def gemm(task):
    """The fastest of the ways to multiply."""
    m, k, n = task["mkn"]
    a, b, bt = torch.randn(m, k), torch.randn(k, n), torch.randn(n, k)
    c, out = np.empty((m, n), "f4"), torch.empty(m, n)
    A, B, BT = a.numpy(), b.numpy(), bt.numpy()
    ways = [
        lambda: torch.mm(a, b, out=out),
        lambda: torch.mm(a, bt.t(), out=out),
        lambda: np.dot(A, B, out=c),
        lambda: np.dot(A, BT.T, out=c),
    ]
    return fastest(ways, 9), {}


def fastest(ways, times):
    return min(ways, key=lambda way: min(timed(way) for _ in range(times)))


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take(call, samples, calls):
    call()

    def many():
        for _ in range(calls):
            call()

    return [1e3 * timed(many) / calls for _ in range(samples)]


def loaded():
    """The linear algebra libraries of this process."""
    torch.mm(torch.ones(64, 64), torch.ones(64, 64))
    with open("/proc/self/maps") as f:
        files = {os.path.realpath(line.split()[-1]) for line in f if ".so" in line}
    return sorted(f for f in files if "blas" in os.path.basename(f) or "mkl_core" in f)


def core(files):
    """The CPU that OpenBLAS has chosen its kernels for."""
    for f in files:
        if hasattr(lib := ctypes.CDLL(f), "openblas_get_corename"):
            lib.openblas_get_corename.restype = ctypes.c_char_p
            return lib.openblas_get_corename().decode()
    return "an unknown CPU"


def tell(message):
    print(json.dumps(message), flush=True)


tell({"version": torch.__version__, "blas": loaded(), "core": core(loaded())})
prepare = {"step": step, "epoch": epoch, "teach": teach, "predict": predict, "gemm": gemm}
for line in sys.stdin:
    try:
        task = json.loads(line)
        if task["do"] == "take":
            tell({"ms": take(call, task["samples"], task["calls"])})
        else:
            call, checked = prepare[task["do"]](task)
            tell(checked)
    except Exception as e:
        tell({"error": f"{type(e).__name__}: {e}"})
