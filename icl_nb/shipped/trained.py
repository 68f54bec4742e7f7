"""The trained tables against their law, in numbers that chapter 7 quotes.

`python -m icl_nb.shipped.trained` re-creates the stored results, in about five minutes on one core; with the names
of parts (`law`, `stall`, `certificates`, `balls`) those alone.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from icl_nb.evaluation.baselines import logistic_predict
from icl_nb.evaluation.scores import predict
from icl_nb.interpret.certificate import InconclusiveError, certify
from icl_nb.interpret.population import population_law, population_path, population_separation
from icl_nb.interpret.separation import separation
from icl_nb.models.files import load, write_whole
from icl_nb.recursion import Recursion, quick_step
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

STORED = Path(__file__).with_name("trained.json")

FOUR = tuple(f"four-{seed}" for seed in range(5))

FAMILIES = ("shifted-four", "four-noise", "four-tails", "four-unlabelled", "depth2", "depth4", "early", "copies1")

READ = ("four-0", "recursion")  # whose separation is held against the law

SIZES = {40: 16, 400: 6, 2500: 2}  # context points: tasks

CERTIFIED = (  # tables of scalars without memory and slopes
    *FOUR,
    *(f"{family}-{seed}" for family in FAMILIES for seed in range(3)),
    *("recursion", "sizes", "deep"),
)

BALLS = (*FOUR, "shifted-four-0", "shifted-four-1")  # by python-flint too, with 120 bits

STALL = ("logistic", "four-0", "four-3", "recursion", "memory", "ordinary-0")

POINTS = {40: 48, 120: 24, 360: 10, 1080: 5}  # context points: tasks of two classes

QUERIES = 1000


def against_the_law(name: str, *, sizes: dict[int, int] | None = None, seed: int = 31) -> dict:
    """Separation by layer, logarithms: of contexts, of the law from W and the table, and of one number a layer.

    Arguments:
        name: of a checkpoint with a recursion in its weights.
        sizes: tasks for each number of context points, at least 2.
        seed: of the tasks.

    Returns:
        for each size the medians over tasks, and root mean squares over tasks and layers (the first layer's input left
        out) of measured less law, and of measured less the mean of the other tasks: the guess that knows no W.

    Example:
        >>> row = against_the_law("four-0", sizes={40: 3})
        >>> row["40"]["law_error"] > 0, len(row["40"]["measured"])
        (True, 9)
    """
    recursion = Recursion.from_model(load(name))
    out = {}
    for n, tasks in (SIZES if sizes is None else sizes).items():
        batch = LinearTask(n, 5, recursion.n_classes).sample(tasks, seed=seed, dtype=torch.float64)
        assert batch.w is not None  # a LinearTask knows its class vectors
        x, y, w = batch.x.numpy(), batch.context_y.numpy(), batch.w.numpy()
        measured, limit = [], []
        for b in range(tasks):
            z, u, _ = recursion.embed(x[b : b + 1], y[b : b + 1])  # not `trajectory`, which keeps n^2 numbers a head
            row = [_separation(z, y[b], recursion)]
            for layer in recursion.table:
                z, u = quick_step(layer, z, u, n)
                row.append(_separation(z, y[b], recursion))
            measured.append(row)
            law = population_law(w[b], radial=12, angular=10)
            limit.append(population_separation(population_path(recursion, law), law, 5))
        measured, limit = np.log(measured), np.log(limit)
        others = (measured.sum(0) - measured) / (tasks - 1)
        out[str(n)] = {
            "tasks": tasks,
            "measured": np.exp(np.median(measured, 0)).round(4).tolist(),
            "law": np.exp(np.median(limit, 0)).round(4).tolist(),
            "law_error": _rms(measured[:, 1:] - limit[:, 1:]),
            "constant_error": _rms(measured[:, 1:] - others[:, 1:]),
        }
    return out


def stall(name: str, *, points: dict[int, int] | None = None, queries: int = QUERIES, seed: int = 32) -> dict:
    """Errors on two classes, as the context grows, and the slope of their logarithm.

    Arguments:
        name: of a checkpoint, or "logistic" for logistic regression with C = 10,000.
        points: tasks for each number of context points.
        queries: of each task.
        seed: of the tasks.

    Returns:
        mean error and its standard error for each size, and the slope against log n by weighted least squares with
        its standard error.

    Example:
        >>> row = stall("logistic", points={40: 8, 160: 8}, queries=200)
        >>> row["slope"] < 0, sorted(row["error"])
        (True, ['160', '40'])
    """
    error, spread = {}, {}
    for n, tasks in (POINTS if points is None else points).items():
        batch = LinearTask(n, 5, 2).sample(tasks, seed=seed, n_queries=queries, dtype=torch.float64)
        if name == "logistic":
            answers = logistic_predict(batch, C=1e4).argmax(-1)
        else:
            model = load(name)
            answers = _answers(name, model, batch)
        wrong = (answers != batch.query_y).double().mean(-1).numpy()
        error[str(n)], spread[str(n)] = float(wrong.mean()), float(wrong.std(ddof=1) / np.sqrt(tasks))
    sizes, mean, se = (np.array(v, float) for v in (list(map(int, error)), [*error.values()], [*spread.values()]))
    weight = (mean / se) ** 2  # of a logarithm
    centred = np.log(sizes) - (weight * np.log(sizes)).sum() / weight.sum()
    slope = (weight * centred * np.log(mean)).sum() / (weight * centred**2).sum()
    return {"error": error, "standard_error": spread, "slope": float(slope),
            "slope_se": float((weight * centred**2).sum() ** -0.5)}  # fmt: skip


def certificate(name: str) -> dict:
    """What `certify` proves of one table with floats and their bounds, and the seconds it takes here.

    Example:
        >>> certificate("four-0")["verdict"]
        'proved'
    """
    return _certificate(name, bits=53)


def balls(name: str) -> dict:
    """The same by ball arithmetic, with 120 bits.

    Example:
        >>> balls("depth2-0")["verdict"]
        'proved'
    """
    return _certificate(name, floats=False)


def _certificate(name: str, **how) -> dict:
    started = time.process_time()
    try:
        found = asdict(certify(Recursion.from_model(load(name)), **how))
    except InconclusiveError as error:
        found = {"verdict": "inconclusive", "why": str(error)}
    return found | {"seconds": round(time.process_time() - started)}


def _answers(name, model, batch):
    """Classes of the queries; a model of three classes answers for two by what it says of these."""
    if name.startswith("ordinary"):  # no table to take to two classes: the third has no example
        rows = [
            predict(model, Batch(batch.x[b : b + 1], batch.y[b : b + 1], None, 3, batch.n_queries))[0]
            for b in range(len(batch))
        ]
        return torch.stack(rows)[..., :2].argmax(-1)
    recursion = Recursion.from_model(model)
    two = Recursion(recursion.table, 2, recursion.scale)
    rows = [two(batch.x[b : b + 1].numpy(), batch.context_y[b : b + 1].numpy())[0] for b in range(len(batch))]
    return torch.as_tensor(np.stack(rows)).argmax(-1)


def _separation(x, y, recursion) -> float:
    points = x[0, : len(y)]
    return float(separation(points[:, 0] if points.ndim == 3 else points, y, recursion.n_classes))


def _rms(values) -> float:
    return float(np.sqrt((values**2).mean()))


def main(parts: list[str]) -> None:
    """Compute the named parts, all by default, and write them as soon as they are there.

    Raises:
        ValueError: there is no such part.
    """
    jobs = {
        "law": (against_the_law, READ),
        "stall": (stall, STALL),
        "certificates": (certificate, CERTIFIED),
        "balls": (balls, BALLS),
    }
    if unknown := set(parts) - set(jobs):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(jobs)}")
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    for part in parts or jobs:
        job, names = jobs[part]
        for name in tqdm(names, desc=part):
            stored.setdefault(part, {})[name] = job(name)
            write_whole(STORED, (json.dumps(stored, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
