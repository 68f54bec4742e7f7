"""The population law beyond small tables, and how fast contexts near it: numbers that chapter 7 quotes.

`python -m icl_nb.shipped.rates` re-creates the stored results, in about fifteen minutes on one core; with the names of
parts (`laws`, `errors`, `constants`, `bias`, `chains`, `closer`) those alone.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from tqdm import tqdm

from icl_nb.evaluation.baselines import logistic_predict
from icl_nb.evaluation.oracle import sample_w
from icl_nb.evaluation.scores import predict
from icl_nb.interpret.population import (
    class_space,
    growth,
    population_accuracy,
    population_law,
    population_path,
    population_separation,
    weighted_step,
)
from icl_nb.interpret.rate import border_slope, chain_sum, deviation_exponents, stall_constant, tilts
from icl_nb.interpret.separation import separation
from icl_nb.models.files import load, write_whole
from icl_nb.recursion import SCALARS, Recursion, quick_step
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask, feature_scale

STORED = Path(__file__).with_name("rates.json")

FOUR = tuple(f"four-{seed}" for seed in range(5))

HELD = (*FOUR, "recursion", "memory", "injected-0")  # against the law

SIZES = {40: 8, 400: 4, 2500: 2}  # context points: tasks

ERRING = ("bayes", "logistic", *FOUR, "recursion", "deep", "memory", "ordinary-0")

POINTS = {40: 48, 120: 24, 360: 10, 1080: 5, 3000: 4}  # context points: tasks of two classes

ACROSS = 24  # directions along the border at which its place is found

EDGE = 3.0 * np.sinh(np.linspace(-4, 4, 25)) / np.sinh(4)  # distances from the border that are asked

PREDICTED = (*FOUR, "recursion", "deep", "memory")

# Where classes span two dimensions at most: 1,000 Sobol points in four are no better than a context of 1,000.
BIASED = {(5, 3): {}}  # d, K: how many tasks and queries, where fewer than by default

FEWER = {"tasks": 6, "queries": 200}

BIASED |= dict.fromkeys(((5, 2), (2, 3), (10, 3), (20, 3), (2, 5), (2, 10)), FEWER)

CHAINED = {  # tilts of the layers that move points, and by how much, before one that reads labels
    "one of 0.60": ((0.6,), 1.0),
    "one of 0.85": ((0.85,), 1.0),
    "one of 1.20": ((1.2,), 1.0),
    "one of 1.60": ((1.6,), 1.0),
    "one of 2.00": ((2.0,), 1.0),
    "2.00, gamma 1/2": ((2.0,), 0.5),
    "two of 0.75": ((0.75, 0.75), 1.0),
    "two of 0.95": ((0.95, 0.95), 1.0),
    "three of 0.75": ((0.75, 0.75, 0.75), 1.0),
    "three of 0.95": ((0.95, 0.95, 0.95), 1.0),
}

DECADES = tuple(10**e for e in range(3, 10))  # context points, of a law on a lattice

CLOSER = {1000: 16, 3000: 6, 10000: 2}  # context points: tasks, for `closer_of`


def law_of(name: str, *, sizes: dict[int, int] | None = None, seed: int = 71) -> dict:
    r"""What contexts do layer by layer, beside the law from W and the table, and beside a constant for each layer.

    Arguments:
        name: of a checkpoint with a recursion in its weights; of a network that was read off, what is measured is the
            network itself, and the law that of its table.
        sizes: tasks for each number of context points, at least 2.
        seed: of the tasks.

    Returns:
        `growth` of the law (of the first copy) and `dropped`, the largest share of a layer's weights that the table
        lacks; for each size medians over tasks of growth, separation and accuracy by layer, measured and by the law,
        and root mean squares of measured less law and less the mean of the other tasks: `g`, `separation` (logarithms)
        and `accuracy`, a pair each.

    Example:
        >>> row = law_of("four-0", sizes={40: 3})
        >>> len(row["growth"]), sorted(row["40"]["errors"])
        (9, ['accuracy', 'g', 'separation'])
    """
    model = load(name, dtype=torch.float64)
    recursion = Recursion.from_model(model)
    g = growth(recursion)
    g = g[:, 0] if g.ndim == 2 else g
    assert recursion.dropped is not None  # it was read off a model
    out: dict[str, Any] = {"growth": g.round(5).tolist(), "dropped": round(float(recursion.dropped.max()), 4)}
    for n, tasks in (SIZES if sizes is None else sizes).items():
        batch = LinearTask(n, 5, recursion.n_classes).sample(tasks, seed=seed, n_queries=300, dtype=torch.float64)
        rows = [_by_layer(name, model, recursion, batch[b : b + 1]) for b in range(tasks)]
        measured, limit = (np.array([row[k] for row in rows]) for k in (0, 1))  # (tasks, 3, L + 1)
        measured[:, 1], limit[:, 1] = np.log(measured[:, 1]), np.log(limit[:, 1])
        others = (measured.sum(0) - measured) / (tasks - 1)
        errors = {}
        for k, what in enumerate(("g", "separation", "accuracy")):
            errors[what] = [_rms((measured - guess)[:, k, 1:]) for guess in (limit, others)]
        middle = {"measured": np.median(measured, 0), "law": np.median(limit, 0)}
        out[str(n)] = {"tasks": tasks, "errors": errors}
        for kind, (first, second, third) in middle.items():
            rows = {"g": first, "separation": np.exp(second), "accuracy": third}
            out[str(n)][kind] = {what: values.round(4).tolist() for what, values in rows.items()}
    return out


def _by_layer(name: str, model, recursion: Recursion, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Growth, separation and accuracy by layer, of a task and of its limit, `(3, L + 1)` each."""
    assert batch.w is not None  # a LinearTask knows its class vectors
    x, y, w = batch.x.numpy(), batch.context_y[0].numpy(), batch.w[0].numpy()
    basis, n = class_space(w), len(y)
    across = x[0, :n] - x[0, :n] @ basis.T @ basis
    found = []
    for points, logits in _stream(name, model, recursion, batch):
        part = points - points @ basis.T @ basis
        wrong = logits.argmax(-1) != batch.query_y[0].numpy()
        right = 0.0 if not found else 1 - wrong.mean()  # before the first layer all tie
        found.append(((part * across).sum() / (across**2).sum(), separation(points, y, recursion.n_classes), right))
    law = population_law(w, radial=12, angular=10)
    queries = population_law(w, radial=10, angular=60)
    path, g = population_path(recursion, law, queries.points), growth(recursion)
    logits = recursion.read_out(path.query_u)
    right = (logits.argmax(-1) == queries.labels) @ queries.weights
    right[0] = 0.0
    limit = (g[:, 0] if g.ndim == 2 else g, population_separation(path, law, x.shape[-1]), right)
    return np.array(found).T, np.array(limit)


@torch.no_grad()
def _stream(name: str, model, recursion: Recursion, batch: Batch):
    """Context points `(n, d)` of the first copy and logits of the queries, before and after each layer."""
    n, d = batch.context_y.shape[1], batch.x.shape[-1]
    if recursion.dropped is not None and recursion.dropped.any():  # the network itself
        for z, _ in model.stream(batch.x, batch.context_y):
            yield z[0, :n, :d].numpy(), model.read_out(z[:, n:])[0].numpy()
        return
    x, u, _ = recursion.embed(batch.x.numpy(), batch.context_y.numpy())
    first = (lambda points: points[:, 0]) if recursion.has_memory else (lambda points: points)
    yield first(x[0, :n]), recursion.read_out(u[0, n:])
    for layer in recursion.table:  # not `trajectory`, which keeps n^2 numbers a head
        parts = [quick_step(layer, x, u, n, slice(at, at + 256)) for at in range(0, x.shape[1], 256)]
        x, u = (np.concatenate(part, 1) for part in zip(*parts, strict=True))
        yield first(x[0, :n]), recursion.read_out(u[0, n:])


def errors_of(name: str, *, points: dict[int, int] | None = None, seed: int = 72) -> dict:
    r"""Two classes: how often a method errs as the context grows, by the place of its border.

    Along `ACROSS` random lines across the border the margin is found at the distances `EDGE`, taken as straight
    between them, and

    .. math:: E_b \int \varphi(a)\, 1\{ \operatorname{sign} m_n(a, b) \ne \operatorname{sign} a \}\, da

    is the error: no query is drawn across the border, so that contexts alone make it vary.

    Arguments:
        name: of a checkpoint, "logistic" for logistic regression with C = 10,000, or "bayes" for the oracle.
        points: tasks for each number of context points, at least 2.
        seed: of the tasks.

    Returns:
        for each size the mean error, its standard error over tasks, and `off`: how far the margin is from its limit,
        as a root mean square over a within 1 and tasks, in units of the limit's at 1 (None where there is no limit);
        `slope` and `slope_off` of the logarithms against log n with their 95 % intervals, from 1,000 resamplings of the
        tasks, and `last`, the error's from the two largest sizes.

    Example:
        >>> row = errors_of("logistic", points={40: 6, 160: 6})
        >>> row["slope"]["value"] < 0, row["off"]
        (True, None)
    """
    points = POINTS if points is None else points
    model = None if name in ("logistic", "bayes") else load(name, dtype=torch.float64)
    limit = None if model is None or name.startswith("ordinary") else _limit_margin(Recursion.from_model(model))
    errors, offs = {}, {}
    for n, tasks in points.items():
        rng = np.random.default_rng([seed, n])
        contexts = [_context(n, rng) for _ in range(tasks)]
        if name == "bayes":
            margins = _bayes_margins(contexts)  # (tasks, ACROSS, EDGE)
        else:
            margins = np.stack([_margins(name, model, *context) for context in contexts])
        errors[n] = _share_wrong(margins).mean(-1)
        if limit is not None:
            near = np.abs(EDGE) <= 1
            offs[n] = np.sqrt(((margins - limit)[:, :, near] ** 2).mean((1, 2))) / np.interp(1, EDGE, limit)
    kept = {str(n): round(float(values.mean()), 5) for n, values in errors.items()}
    spread = {str(n): round(float(values.std(ddof=1) / len(values) ** 0.5), 5) for n, values in errors.items()}
    largest = sorted(points)[-2:]
    return {
        "error": kept,
        "standard_error": spread,
        "slope": _slope(errors),
        "last": _slope({n: errors[n] for n in largest}),
        "off": {str(n): round(float(values.mean()), 5) for n, values in offs.items()} or None,
        "slope_off": _slope(offs) if offs else None,
    }


def _context(n: int, rng: np.random.Generator, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Points `(n + ACROSS * EDGE, d)`, the queries last, turned by a random rotation, and labels of the first n."""
    x = rng.normal(size=(n, d))
    y = (x[:, 0] < 0).astype(int)
    lines = np.repeat(rng.normal(size=(ACROSS, 1, d)), len(EDGE), 1)
    lines[..., 0] = EDGE
    turn, upper = np.linalg.qr(rng.normal(size=(d, d)))
    return np.concatenate([x, lines.reshape(-1, d)]) @ (turn * np.sign(np.diag(upper))).T, y


def _margins(name: str, model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logit of the first class less that of the second, `(ACROSS, EDGE)`."""
    if name == "logistic" or name.startswith("ordinary"):
        batch = Batch(
            torch.as_tensor(x)[None],
            torch.as_tensor(np.concatenate([y, np.zeros(len(x) - len(y), int)]))[None],
            None,
            2 if name == "logistic" else 3,
            len(x) - len(y),
        )
        if name == "logistic":
            logits = logistic_predict(batch, C=1e4).reshape(-1, 2).clamp(min=1e-300).log()
        else:  # no table to take to two classes: the third has no example
            logits = predict(model, batch)[0]
        logits = logits.double().numpy()
    else:
        logits = _as_two(Recursion.from_model(model))(x[None], y[None])[0]
    return (logits[:, 0] - logits[:, 1]).reshape(ACROSS, len(EDGE))


def _bayes_margins(contexts: list[tuple[np.ndarray, np.ndarray]], sweeps: int = 1500) -> np.ndarray:
    """Medians over posterior draws of the first class's score less the second's: of the sign of the oracle's answer."""
    n = len(contexts[0][1])
    x, y = (np.stack(parts) for parts in zip(*contexts, strict=True))
    draws = sample_w(x[:, :n].transpose(2, 1, 0), y.T, 2, 0.0, sweeps // 4, np.random.default_rng(0))
    w = np.stack([(w[0] - w[1]).T for w in islice(draws, sweeps)])  # (sweeps, tasks, d)
    scores = [x[b, n:] @ w[:, b].T for b in range(len(contexts))]
    return np.stack([np.median(s, -1) for s in scores]).reshape(len(contexts), ACROSS, len(EDGE))


def _as_two(recursion: Recursion) -> Recursion:
    return Recursion(recursion.table, 2, recursion.scale, slopes=recursion.slopes)


def _limit_margin(recursion: Recursion) -> np.ndarray | None:
    """The limit's margins at `EDGE`; None with slopes, where there is none."""
    if recursion.slopes is not None:
        return None
    two = _as_two(recursion)
    logits = two.read_out(population_path(two, population_law([[1.0], [-1.0]], radial=60), EDGE[:, None]).query_u[-1])
    return logits[:, 0] - logits[:, 1]


def _share_wrong(margins: np.ndarray, fine: int = 24) -> np.ndarray:
    """Mass of N(0, 1) where a margin that is straight between `EDGE` has the wrong sign, `(*,)`."""
    grid = np.interp(np.arange(fine * (len(EDGE) - 1) + 1) / fine, np.arange(len(EDGE)), EDGE)
    at = (grid[1:] + grid[:-1]) / 2
    place = np.clip(np.searchsorted(EDGE, at) - 1, 0, len(EDGE) - 2)
    part = (at - EDGE[place]) / (EDGE[place + 1] - EDGE[place])
    values = margins[..., place] * (1 - part) + margins[..., place + 1] * part
    return ((np.sign(values) != np.sign(at)) * np.diff(norm.cdf(grid))).sum(-1)


def _slope(values: dict[int, np.ndarray], draws: int = 1000, middle: Callable = np.mean) -> dict:
    """Of the logarithm of a mean over tasks against log n, with a 95 % interval from resampled tasks."""
    rng, sizes = np.random.default_rng(0), np.log(list(values))

    def fit(means):
        x = sizes - sizes.mean()
        return (x @ np.log(means)) / (x @ x)

    drawn = np.stack([middle(rng.choice(v, (draws, len(v))), 1) for v in values.values()])  # (sizes, draws)
    low, high = np.quantile(fit(np.maximum(drawn, 1e-9)), (0.025, 0.975))
    value = fit(np.array([middle(v) for v in values.values()]))
    return {name: round(float(v), 3) for name, v in (("value", value), ("low", low), ("high", high))}


def constant_of(name: str, *, seeds: int = 2, points: int = 1024) -> dict:
    """The constant of P1b that the law foretells, with its standard error over populations, and the condition of P1c.

    Example:
        >>> row = constant_of("four-0", seeds=2, points=64)
        >>> 0.2 < row["C"] < 0.8, row["rate"]
        (True, True)
    """
    recursion = Recursion.from_model(load(name))
    found = [stall_constant(recursion, points=points, seed=seed) for seed in range(seeds)]
    kappa = float(deviation_exponents(recursion)[-1])
    return {
        "C": round(float(np.mean(found)), 4),
        "C_se": round(float(np.std(found, ddof=1) / seeds**0.5), 4),
        "slope": round(border_slope(recursion), 4),
        "tilt": round(float(tilts(recursion)[:-1].max()), 4),
        "kappa": round(kappa, 4) if np.isfinite(kappa) else None,
        "T": round(chain_sum(recursion), 4),
        "rate": chain_sum(recursion) < 2 and bool(tilts(recursion)[:-1].max() < 1),
    }


def bias_of(
    d: int, K: int, *, name: str = "sizes", n: int = 1000, tasks: int = 12, queries: int = 500, seed: int = 73
) -> dict:
    r"""Task by task: how often a table errs with n points, and with infinitely many by the law, for random W.

    Arguments:
        d: features; they get `feature_scale(d)`, as in the map of the regret.
        K: classes; the law has nodes enough where they span two dimensions at most.
        name: of a checkpoint.
        n: context points.
        tasks: number of random W.
        queries: of each task.
        seed: of the tasks.

    Returns:
        `error` and `limit`, `(tasks,)` each, and `rarest`, the share of the smallest class.

    Example:
        >>> row = bias_of(2, 3, n=100, tasks=2, queries=50)
        >>> [len(row[key]) for key in ("error", "limit", "rarest")]
        [2, 2, 2]
    """
    model = load(name, dtype=torch.float64)
    recursion, scale = Recursion.from_model(model), feature_scale(d)
    scaled = Recursion(  # a table that reads points c x is one with alpha c^2 that reads x
        {s: recursion.table[s] * (scale**2 if s == "alpha" else 1) for s in SCALARS}, K, recursion.scale
    )
    batch = LinearTask(n, d, K).sample(tasks, seed=seed, n_queries=queries, dtype=torch.float64)
    said = predict(model, replace(batch, x=scale * batch.x), batch_size=1).argmax(-1)
    error = (said != batch.query_y).double().mean(-1)
    limit, rarest = [], []
    assert batch.w is not None  # a LinearTask knows its class vectors
    for w in batch.w.numpy():
        law, asked = population_law(w, radial=12, angular=10), population_law(w, radial=10, angular=60)
        limit.append(1 - population_accuracy(scaled, law, asked)[-1])
        rarest.append(np.bincount(asked.labels, asked.weights, K).min())
    return {
        "error": error.numpy().round(4).tolist(),
        "limit": np.round(limit, 5).tolist(),
        "rarest": np.round(rarest, 4).tolist(),
    }


def chain_of(
    moving: tuple[float, ...],
    gamma: float = 1.0,
    *,
    sizes: tuple[int, ...] = DECADES,
    contexts: int = 100,
    seed: int = 74,
) -> dict:
    r"""How fast a near query's margin nears its limit, behind layers with given tilts, on a line, up to 10^9 points.

    The last layer reads labels with a tilt of 0.3. Points are normal on a lattice of
    step 0.03 within 9 standard deviations: a context of n of them is a list of multinomial counts, and a layer costs
    the same for every n.

    Arguments:
        moving: tilts c of the layers that move points.
        gamma: by how much they do.
        sizes: context points.
        contexts: of each size.
        seed: of the contexts.

    Returns:
        medians over contexts of :math:`|m_n - m|` for a query at 1; `slope` of their logarithms against log n, with a
        95 % interval from resampled contexts, over all sizes; `T`, and the exponent `foretold`, -min(1/2, 1/T).

    Source: own.

    Example:
        >>> row = chain_of((0.6,), sizes=(100, 10000), contexts=20)
        >>> row["foretold"], row["slope"]["value"] < -0.3
        (-0.5, True)
    """
    edge = np.linspace(-9, 9, 601)
    x = (edge[1:] + edge[:-1]) / 2
    share = norm.pdf(x) / norm.pdf(x).sum()
    g, alpha = 1.0, []
    for c in moving:
        alpha.append(c / g**2)
        g *= 1 + gamma * c
    still = [0.0] * len(moving)
    columns = {"alpha": [*alpha, 0.3 / g**2], "gamma": [*(gamma for _ in moving), 0.0], "delta": [*still, 1.0]}
    recursion = Recursion({"beta": 0} | {name: np.reshape(v, (-1, 1)) for name, v in columns.items()}, 2)

    def margin(weights):
        kept = weights > 0
        points = np.append(x[kept], 1.0)[:, None, None]
        labels = np.append(np.sign(x[kept]) / 2, 0.0)[:, None, None] * np.array([1.0, -1.0])
        for row in recursion.table:
            layer = tuple(np.reshape(row[s], (-1, 1, 1)) for s in SCALARS)
            points, labels = weighted_step(layer, points, labels, weights[kept])
        return labels[-1, 0, 0] - labels[-1, 0, 1]

    limit, off = margin(share), {}
    for n in sizes:
        rng = np.random.default_rng([seed, n])
        off[n] = np.array([abs(margin(rng.multinomial(n, share) / n) - limit) for _ in range(contexts)])
    total = chain_sum(recursion)
    return {
        "off": {str(n): float(f"{np.median(values):.3g}") for n, values in off.items()},
        "slope": _slope(off, middle=np.median),
        "T": round(total, 4),
        "foretold": round(-min(0.5, 1 / total), 4),
    }


def closer_of(
    name: str, *, points: dict[int, int] | None = None, populations: tuple[int, ...] = (1024, 2048), seed: int = 75
) -> dict:
    """The error of a table, times the root of n, in more contexts and longer ones, beside C from larger populations.

    Example:
        >>> row = closer_of("four-0", points={40: 2, 80: 2}, populations=(64,))
        >>> sorted(row["C"]), sorted(row["error"])
        (['64'], ['40', '80'])
    """
    recursion = Recursion.from_model(load(name))
    found = {str(p): round(stall_constant(recursion, points=p, seed=2), 4) for p in populations}
    row = errors_of(name, points=CLOSER if points is None else points, seed=seed)
    return {"C": found, "error": row["error"], "standard_error": row["standard_error"], "slope": row["slope"]}


def _rms(values: np.ndarray) -> float:
    return round(float(np.sqrt((values**2).mean())), 4)


def stored() -> dict:
    """The stored results, by part and name."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main(parts: list[str]) -> None:
    """Measure the named parts, all by default, and write them as soon as they are there.

    Raises:
        ValueError: there is no such part.
    """
    jobs = {
        "laws": {name: (law_of, (name,)) for name in HELD},
        "constants": {name: (constant_of, (name,)) for name in PREDICTED},
        "errors": {name: (errors_of, (name,)) for name in ERRING},
        "bias": {f"{d},{K}": (partial(bias_of, **fewer), (d, K)) for (d, K), fewer in BIASED.items()},
        "chains": {name: (chain_of, given) for name, given in CHAINED.items()},
        "closer": {"four-0": (closer_of, ("four-0",))},
    }
    if unknown := set(parts) - set(jobs):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(jobs)}")
    found = stored() if STORED.exists() else {}
    for part in parts or jobs:
        for name, (job, given) in tqdm(jobs[part].items(), desc=part):
            found.setdefault(part, {})[name] = job(*given)
            write_whole(STORED, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
