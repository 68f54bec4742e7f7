r"""How fast it is: beside its peers, against what the machine can do, and as sizes grow.

Times of one table are taken in one run, contenders in turn: what else the machine does then hits all of them, and the
ratio of two times taken side by side says more than either. Medians throughout. On a processor a time is what the
process spent computing, on one thread, and not what passed while others had the core; on a GPU it is what passed.
"""

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer as default_timer

from icl_nb.checks import check_count, check_device
from icl_nb.descent import Descent
from icl_nb.evaluation.baselines import baseline_predict
from icl_nb.evaluation.oracle import bayes_posterior, bayes_predict
from icl_nb.models.attention import AttentionTransformer, DenseTransformer, EquivariantTransformer
from icl_nb.recursion import Recursion
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

PARTS = ("machine", "training", "answers", "growth")
SWEEPS = "oracle's sweeps to an independent draw"


@dataclass(frozen=True)
class Size:
    """Of a batch and of a model: B tasks of n points and q queries, d features, K classes, L layers of H heads."""

    batch: int = 96
    n_points: int = 40
    n_queries: int = 16
    n_features: int = 5
    n_classes: int = 3
    depth: int = 8
    heads: int = 1

    def __str__(self) -> str:
        return (
            f"{self.batch} x {self.n_points} + {self.n_queries}, d={self.n_features}, K={self.n_classes}, "
            f"{self.depth} x {self.heads}"
        )

    def sample(self) -> Batch:
        """A batch of this size."""
        task = LinearTask(self.n_points, self.n_features, self.n_classes)
        return task.sample(self.batch, n_queries=self.n_queries)

    def model(self, kind: type[AttentionTransformer] = EquivariantTransformer, **options) -> Any:
        """A model of this size, untrained: time does not depend on what the weights are."""
        return kind(self.n_features, self.n_classes, self.depth, self.heads, **options)

    def work(self) -> tuple[float, float]:
        """Multiplications and additions of a forward pass, and its exponentials."""
        size, points = self.n_features + self.n_classes, self.n_points + self.n_queries
        per_head = 4 * size**2 + 4 * self.n_points * size  # a row of z M and of z V; scores and averages
        rows = self.batch * points * self.depth * self.heads
        return float(rows * per_head), float(rows * self.n_points)


TRAINING_SIZES = (
    Size(),
    Size(depth=12, heads=2),
    Size(batch=256, n_points=100, n_queries=1, n_features=16),
)


# What grows, one at a time, from where, and over how many doublings: there its own term is what takes the time. From
# `icl_nb.models.attention.LONG` points on the attention of all points is never held.
GROWTH = (
    ("n_points", Size(batch=4, n_points=128, n_queries=1, depth=2), 3),
    ("n_points", Size(batch=1, n_points=1024, n_queries=1, depth=1), 2),
    ("n_features", Size(batch=8, n_points=32, n_features=64, depth=2), 3),
    ("n_classes", Size(batch=8, n_points=32, n_classes=64, depth=2), 3),
    ("depth", Size(batch=16, depth=4), 3),
    ("heads", Size(batch=16, depth=2, heads=2), 3),
    ("batch", Size(batch=16, depth=2), 3),
)


def bench(
    parts: tuple[str, ...] = PARTS, *, rounds: int = 9, device: str = "cpu", sizes: tuple[Size, ...] = TRAINING_SIZES
) -> Iterator[dict]:
    """All measurements, a row each, as they are made.

    Arguments:
        parts: of `PARTS`: what the machine can do; a training step beside its peers; an answer beside other methods;
            exponents of growth in time and peak memory.
        rounds: times that each contender has its turn.
        device: where torch computes.
        sizes: of the training steps.

    Raises:
        ValueError: an unknown part, fewer than one round, or a device that this machine does not have.
    """
    check_count("rounds", rounds, 1)
    check_device(device)
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rates = machine(device)
    if "machine" in parts:
        yield {"part": "machine", "what": "product of matrices, float32", "gflops": rates["gflops"]}
        yield {"part": "machine", "what": "exponential, float32", "ns": rates["exp_ns"]}
    if "training" in parts:
        for size in sizes:
            for row in paired(training_steps(size, device), rounds=rounds, device=device):
                if row["what"] == "ours":
                    flops, exponentials = size.work()
                    least = 3 * flops / rates["gflops"] / 1e6 + exponentials * rates["exp_ns"] / 1e6
                    row |= {"ms_possible": least, "achieved": least / row["ms"]}
                yield {"part": "training", "size": str(size), **row}
    if "answers" in parts:
        size = Size(batch=128, depth=12, heads=3)
        for name, together in (("128 tasks at once", 128), ("one task at a time", 1)):
            for row in paired(answers(size, together, device), rounds=rounds, device=device):
                yield {"part": "answers", "size": name, **row, "ms": row["ms"] / together}
        yield {"part": "answers", "what": SWEEPS, "sweeps": sweeps_to_a_draw(size.sample())}
    if "growth" in parts:
        for name, start, doublings in GROWTH:
            yield {"part": "growth", "what": name, "size": str(start), **growth(name, start, doublings, rounds, device)}


def paired(contenders: dict[str, Callable], *, rounds: int = 9, least: float = 0.02, device: str = "cpu") -> list[dict]:
    r"""Time calls in turn: the median of each in ms, and how many times as long as the first it takes.

    .. math:: \operatorname{median}_r \, t_r / t^{\text{first}}_r

    over rounds r; the order goes round, so that nobody is always the one after the slow one.

    Arguments:
        contenders: by name, the one to compare with first.
        rounds: turns of each.
        least: seconds of a turn, as many calls as it takes.
        device: where the work is done, which decides on the clock.

    Raises:
        ValueError: nobody to time, or fewer than one round.

    Source: own.

    Example:
        >>> rows = paired({"one": lambda: sum(range(2000)), "five": lambda: sum(range(10000))}, rounds=3, least=1e-3)
        >>> rows[0]["ratio"], rows[1]["ratio"] > 2
        (1.0, True)
    """
    check_count("rounds", rounds, 1)
    if not contenders:
        raise ValueError("there is nobody to time")
    names, turns = list(contenders), {}
    for name, call in contenders.items():
        clock = time.process_time if device == "cpu" else default_timer  # that one waits for the GPU
        timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads(), timer=clock)
        timer.timeit(1)  # to be warm
        turns[name] = timer, max(1, math.ceil(least / max(timer.timeit(1).median, 1e-7)))
    seconds = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            timer, calls = turns[name]
            seconds[name].append(timer.timeit(calls).median)
    first = np.array(seconds[names[0]])
    rows = []
    for name in names:
        ratios = np.array(seconds[name]) / first
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        rows.append(
            {
                "what": name,
                "ms": 1000 * float(np.median(seconds[name])),
                "ratio": float(middle),
                "ratio_low": float(low),
                "ratio_high": float(high),
            }
        )
    return rows


def machine(device: str = "cpu") -> dict[str, float]:
    """What this machine can do: GFLOP/s of a float32 product of two matrices, and ns of a float32 exponential.

    Arguments:
        device: where torch computes.

    Example:
        >>> sorted(machine())
        ['exp_ns', 'gflops']
    """
    side, many = (512, 2**14) if device == "cpu" else (4096, 2**24)
    a, x, out = (torch.randn(size, device=device) for size in ((side, side), (many,), (many,)))
    product, exponential = paired({"product": lambda: a @ a, "exp": lambda: torch.exp(x, out=out)}, device=device)
    return {"gflops": 2 * side**3 / product["ms"] / 1e6, "exp_ns": exponential["ms"] / many * 1e6}


class MultiheadPeer(nn.Module):
    """The same stream and mask through `torch.nn.MultiheadAttention`, whose heads share the width among them."""

    def __init__(self, size: Size):
        super().__init__()
        width = size.n_features + size.n_classes
        self.layers = nn.ModuleList(
            nn.MultiheadAttention(width, size.heads, bias=False, batch_first=True) for _ in range(size.depth)
        )
        self.scale, self.n_features = nn.Parameter(torch.tensor(5.0)), size.n_features

    def forward(self, z: Tensor, n_context: int) -> Tensor:
        for layer in self.layers:
            context = z[:, :n_context]
            z = z + layer(z, context, context, need_weights=False)[0]
        return self.scale * z[:, n_context:, self.n_features :]


class ProductPeer(nn.Module):
    """Our own mathematics, dense, through `scaled_dot_product_attention`."""

    def __init__(self, model: DenseTransformer):
        super().__init__()
        self.m, self.v, self.scale = model.m, model.v, model.scale
        self.n_features = model.n_features

    def forward(self, z: Tensor, n_context: int) -> Tensor:
        heads = self.m.shape[1]
        for m, v in zip(self.m, self.v, strict=True):
            context = z[:, None, :n_context].expand(-1, heads, -1, -1)
            averages = nn.functional.scaled_dot_product_attention(z[:, None] @ m, context, context, scale=1.0)
            z = z + (averages @ v.mT).sum(1)
        return self.scale * z[:, n_context:, self.n_features :]


def training_steps(size: Size, device: str = "cpu") -> dict[str, Callable]:
    """A step of Adam on one batch: our two models, and the peers of the same depth."""
    batch = size.sample().to(device=device)
    answers = batch.query_y.reshape(-1)
    models = {"ours": size.model().to(device), "ours, dense": size.model(DenseTransformer).to(device)}
    tokens = models["ours"].embed(batch.x, batch.context_y)
    peers = {
        "MultiheadAttention": MultiheadPeer(size).to(device),
        "scaled_dot_product_attention": ProductPeer(size.model(DenseTransformer).to(device)),
    }
    logits: dict[str, Callable] = {}
    logits |= {name: lambda model=model: model(batch.x, batch.context_y) for name, model in models.items()}
    logits |= {name: lambda peer=peer: peer(tokens, size.n_points) for name, peer in peers.items()}

    def step(descent: Descent, answer: Callable) -> Callable:
        return lambda: descent.take(nn.functional.cross_entropy(answer().reshape(-1, size.n_classes), answers))

    return {
        name: step(Descent(model.parameters(), 10**7, 1e-6), logits[name]) for name, model in (models | peers).items()
    }


def answers(size: Size, together: int, device: str = "cpu") -> dict[str, Callable]:
    """Answering tasks, `together` at once: the recursion in NumPy, the same in torch, and who else could.

    The oracle is asked at the size of the batch alone: a sampler works on many tasks at once.
    """
    batch = size.sample()[:together]
    model = size.model(scalars=4).to(device)
    recursion, here = Recursion.from_model(model), batch.to(device=device)
    x, y = batch.x.double().numpy(), batch.context_y.numpy()
    calls: dict[str, Callable] = {
        "logistic regression": lambda: baseline_predict(batch, "logistic"),
        "Recursion": lambda: recursion(x, y),
        "torch": lambda: torch.no_grad()(model)(here.x, here.context_y),
    }
    return calls | ({"oracle": lambda: bayes_predict(batch)} if together > 1 else {})


def sweeps_to_a_draw(batch: Batch, sweeps: int = 400, chains: int = 2) -> float:
    r"""Sweeps of the oracle that are worth one independent draw: how much better mixing could speed it up, at most.

    .. math:: \frac{\sum \mathrm{SE}^2}{\sum p (1 - p) / (\text{chains} \cdot \text{sweeps})}

    over all queries and classes; the error SE is the one that the chains' segments show.

    Arguments:
        batch: the tasks.
        sweeps: that are kept, per chain.
        chains: per task.

    Raises:
        ValueError: as `bayes_posterior`.

    Source: textbook, the integrated autocorrelation time.

    Example:
        >>> 1 < sweeps_to_a_draw(Size(batch=16).sample()) < 10
        True
    """
    posterior = bayes_posterior(batch, sweeps=sweeps, chains=chains)
    alone = (posterior.probs * (1 - posterior.probs)).double().sum() / (chains * sweeps)
    return (posterior.standard_error.double().square().sum() / alone).item()


def growth(name: str, start: Size, doublings: int, rounds: int = 9, device: str = "cpu") -> dict[str, float]:
    r"""Exponents of time and of peak memory as one size doubles, :math:`t \propto s^a`, by least squares of logarithms.

    Arguments:
        name: of the size, a field of `Size`.
        start: the smallest.
        doublings: how many sizes follow, each twice the one before.
        rounds: turns of each.
        device: where torch computes.

    Source: textbook.

    Example:
        >>> found = growth("batch", Size(batch=4, depth=1), 2, rounds=1)
        >>> 0.9 < found["memory_exponent"] < 1.1
        True
    """
    sizes = [asdict(start)[name] * 2**step for step in range(doublings + 1)]
    calls, peaks = {}, []
    for value in sizes:
        size = Size(**asdict(start) | {name: value})
        batch, model = size.sample().to(device=device), size.model().to(device)
        calls[str(value)] = lambda model=model, batch=batch: torch.no_grad()(model)(batch.x, batch.context_y)
        peaks.append(peak_bytes(calls[str(value)], device))
    times = [row["ms"] for row in paired(calls, rounds=rounds, device=device)]
    slope = [float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for values in (times, peaks)]
    return {
        "from": sizes[0],
        "to": sizes[-1],
        "ms": times[-1],
        "time_exponent": slope[0],
        "mib": peaks[-1] / 2**20,
        "memory_exponent": slope[1],
    }


def peak_bytes(call: Callable, device: str = "cpu") -> int:
    """The most that a call holds at once beyond what was there: of torch's own allocator, and of NumPy's.

    Arguments:
        call: what is measured.
        device: where torch computes.

    Example:
        >>> peak_bytes(lambda: torch.zeros(1000, 1000)) // 4_000_000
        1
    """
    if device != "cpu":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    tracemalloc.start()
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            call()
        _, numpy = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([0, *(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))])
    return int(max(held.max(), numpy))
