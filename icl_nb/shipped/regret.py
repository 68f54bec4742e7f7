"""One table of scalars at all sizes, beside what can be known at best.

`python -m icl_nb.shipped.regret` re-creates the stored results, in about half an hour on one core;
`python -m icl_nb.shipped.regret 10 30` those of n = 10 and n = 30 alone.
"""

import json
import sys
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from icl_nb.checks import check_count, check_seed, check_tensor
from icl_nb.evaluation.baselines import baseline_predict
from icl_nb.evaluation.oracle import R_HAT_LIMIT, SEGMENTS, Posterior, bayes_posterior
from icl_nb.evaluation.scores import LEAST_PROBABILITY, predict
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load, write_whole
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask, feature_scale

STORED = Path(__file__).with_name("regret.json")


OURS = "sizes"  # the checkpoint that is judged


TRAINED = {"n": (10, 128), "d": (2, 20), "K": (2, 10)}  # what it has met


POINTS = {10: (200, 50), 30: (120, 80), 100: (40, 200), 300: (12, 600), 1000: (6, 1200)}  # n: tasks, queries of each


FEATURES = (2, 5, 10, 20, 50)


CLASSES = (2, 3, 5, 10)


PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # C of logistic regression


SWEEPS = (400, 1000, 4000)  # lengths of the oracle's chains: the next where chains do not agree


WORK = 2.5e8  # B n d K times sweeps beyond which chains are not run: about a minute


WELL = 1.05  # mean R-hat that leaves each answer some 40 draws in effect


MAY_FAIL = 0.02  # share of tasks that may exceed R_HAT_LIMIT


READ = (OURS, "table")  # trained at all sizes; and with correlated features and offsets too


METHODS = (*READ, "logistic", "bayes")


def benchmark_size(
    n: int, d: int, K: int, *, tasks: int = 60, queries: int = 50, seed: int = 0, sweeps: tuple[int, ...] = SWEEPS
) -> dict:
    r"""What one size of the plain task of chapter 1 yields to the recursion, to logistic regression and to the oracle.

    .. math:: \text{regret to } m = \frac{1}{B q} \sum_{b, i} [\hat y^m_{bi} = y_{bi}] - [\hat y_{bi} = y_{bi}]

    with :math:`\hat y` the answers of the recursion read off `sizes`, on the same queries of the same tasks. It and the
    estimator's `table` get the features times `feature_scale(d)`, and no other help. Logistic regression has no
    intercept and, in its favour, the best of the five C in `PENALTIES` at this size: best by accuracy for the accuracy,
    by cross-entropy for the cross-entropy.

    Arguments:
        n: context points.
        d: features.
        K: classes.
        tasks: B, at least 2.
        queries: q of each.
        seed: of the tasks, and of the oracle's chains.
        sweeps: lengths of the oracle's chains, after a quarter as many that are dropped. The next is tried where mean
            R-hat exceeds 1.05, or that of 2 % of the tasks 1.1; none is tried that takes more work than `WORK`.

    Returns:
        the size and the seed; length (`sweeps`) and largest `r_hat` of the oracle's chains; and under each name in
        `METHODS` the `paired_scores`, under "logistic" also the two `C`. Where the chains were too long to be run, or
        the last disagree (R-hat above 1.1 on more than 2 % of the tasks), "bayes" and `sweeps` are None.

    Raises:
        ValueError: a count or the seed is out of range.

    Source: own.

    Example:
        >>> row = benchmark_size(10, 2, 3, tasks=20, queries=10, sweeps=(100,))
        >>> row["bayes"]["accuracy"] > 0.6, row["bayes"]["regret"] >= -0.1, row["sizes"]["regret"]
        (True, True, 0.0)
    """
    check_count("tasks", tasks, 2)
    check_seed(seed)
    if not isinstance(sweeps, tuple) or not sweeps:
        raise ValueError(f"sweeps={sweeps!r}; it must be a tuple of lengths")
    for length in sweeps:
        check_count("sweeps", length, SEGMENTS)
    batch = LinearTask(n, d, K).sample(tasks, seed=seed, n_queries=queries, dtype=torch.float64)
    probabilities = {name: read(name, batch) for name in READ}
    fits = {C: baseline_predict(batch, "logistic", C=C).reshape(tasks, queries, K) for C in PENALTIES}
    posterior, length = _oracle(batch, sweeps, seed)
    if posterior is not None and length is not None:
        probabilities["bayes"] = posterior.probs.reshape(tasks, queries, K)
    rows = paired_scores(probabilities | fits, batch, OURS)
    by_penalty = {C: rows.pop(C) for C in PENALTIES}
    most_right = max(PENALTIES, key=lambda C: by_penalty[C]["accuracy"])
    least_loss = min(PENALTIES, key=lambda C: by_penalty[C]["cross_entropy"])
    rows["logistic"] = by_penalty[most_right] | {
        key: by_penalty[least_loss][key] for key in ("cross_entropy", "cross_entropy_se", "excess", "excess_se")
    }
    rows["logistic"] |= {"accuracy_C": most_right, "cross_entropy_C": least_loss}
    size = {"n": n, "d": d, "K": K, "tasks": tasks, "queries": queries, "seed": seed}
    oracle = {"sweeps": length, "r_hat": posterior and round(posterior.r_hat.max().item(), 3)}
    return size | oracle | {name: rows.get(name) for name in METHODS}


def read(name: str, batch: Batch) -> Tensor:
    """Class probabilities `(B, q, K)` of a shipped checkpoint of four scalars a head, at whatever size the batch has.

    Example:
        >>> read("table", LinearTask(n_points=10, n_features=2, n_classes=7).sample(3, n_queries=4)).shape
        torch.Size([3, 4, 7])
    """
    scaled = replace(batch, x=feature_scale(batch.x.shape[2]) * batch.x)
    few = max(1, 2**17 // (batch.x.shape[1] * batch.context_y.shape[1]))  # attention stays in a core's cache
    return predict(_shipped(name), scaled, batch_size=few).softmax(-1)


def paired_scores(probabilities: dict, batch: Batch, ours) -> dict:
    r"""Scores of several methods on one batch, and how far each is ahead of one of them.

    Arguments:
        probabilities: of the classes, `(B, q, K)` a method; raised to 0.001 at least before the logarithm.
        batch: whose `query_y` are the answers.
        ours: the method that the others are compared with.

    Returns:
        for each method `accuracy`, `cross_entropy`, `gap` (mean probability of the answer given less accuracy: 0 in
        expectation for an exact posterior), `regret` (its accuracy less that of `ours`) and `excess` (cross-entropy of
        `ours` less its own), each with a standard error over tasks under `*_se`. Positive regret and excess mean that
        `ours` is worse.

    Raises:
        ValueError: `ours` is missing, a shape does not fit, or there is one task only.

    Source: own.

    Example:
        >>> batch = LinearTask(n_points=10, n_features=2).sample(4, n_queries=5)
        >>> scores = paired_scores({"even": torch.full((4, 5, 3), 1 / 3)}, batch, "even")
        >>> round(scores["even"]["cross_entropy"], 3), scores["even"]["regret"]
        (1.099, 0.0)
    """
    if ours not in probabilities:
        raise ValueError(f"{ours!r} is not among the methods {', '.join(map(str, probabilities))}")
    check_count("tasks", len(batch), 2)
    by_task = {}
    for name, given in probabilities.items():
        check_tensor(str(name), given, (torch.float32, torch.float64))
        expected = (len(batch), batch.n_queries, batch.n_classes)
        if tuple(given.shape) != expected:
            raise ValueError(f"{name} has shape {tuple(given.shape)}; for this batch it must be {expected}")
        given = given.double()
        confidence, answer = given.max(-1)
        right = (answer == batch.query_y).double()
        floored = given.clamp(min=LEAST_PROBABILITY)
        loss = -floored.gather(-1, batch.query_y[..., None])[..., 0].log()
        by_task[name] = {"accuracy": right, "cross_entropy": loss, "gap": confidence - right}
        by_task[name] = {key: values.mean(1) for key, values in by_task[name].items()}
    return {
        name: _with_errors(
            own
            | {
                "regret": own["accuracy"] - by_task[ours]["accuracy"],
                "excess": by_task[ours]["cross_entropy"] - own["cross_entropy"],
            }
        )
        for name, own in by_task.items()
    }


def _with_errors(values: dict[str, Tensor]) -> dict[str, float]:
    """Mean and standard error of each `(B,)`."""
    found = {}
    for key, value in values.items():
        found[key] = round(value.mean().item(), 5)
        found[f"{key}_se"] = round((value.std() / len(value) ** 0.5).item(), 5)
    return found


def _oracle(batch: Batch, sweeps: tuple[int, ...], seed: int) -> tuple[Posterior | None, int | None]:
    """The posterior from the first chains that agree well, or from the longest, and their length: None if they fail."""
    posterior = found = None
    for length in sweeps:
        if batch.context_x.numel() * batch.n_classes * length > WORK:
            break
        posterior = bayes_posterior(batch, sweeps=length, burn_in=length // 4, seed=seed)
        failed = (posterior.r_hat > R_HAT_LIMIT).double().mean() > MAY_FAIL
        found = None if failed else length
        if found and posterior.r_hat.mean() <= WELL:
            break
    return posterior, found


@cache
def _shipped(name: str) -> EquivariantTransformer:
    return load(name, dtype=torch.float64)  # whatever torch's default is: the cache outlives it


def stored() -> dict[tuple[int, int, int], dict]:
    """The stored rows, by (n, d, K)."""
    rows = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else []
    return {(row["n"], row["d"], row["K"]): row for row in rows}


def main(points: list[int]) -> None:
    """Measure all sizes, or those with the given n.

    Raises:
        ValueError: an n that is not among `POINTS`.
    """
    if unknown := [n for n in points if n not in POINTS]:
        raise ValueError(f"n={unknown}; it must be among {', '.join(map(str, POINTS))}")
    rows = stored()
    sizes = list(product(POINTS, FEATURES, CLASSES))
    for seed, (n, d, K) in enumerate(tqdm(sizes)):
        if n in points or not points:
            tasks, queries = POINTS[n]
            rows[n, d, K] = benchmark_size(n, d, K, tasks=tasks, queries=queries, seed=seed)
            # Written at once: what took minutes is not lost with what follows.
            lines = [json.dumps(rows[size]) for size in sizes if size in rows]
            write_whole(STORED, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
