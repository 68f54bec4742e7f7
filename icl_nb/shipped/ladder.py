"""Tables of one head at depths 2 to 32, and tied ones: what depth buys, and whether scalars follow a law across it.

`python -m icl_nb.shipped.ladder` re-creates the stored results, in about five minutes on one core; with the names of
parts (`regrets`, `limits`, `guesses`) those alone.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import t as student
from tqdm import tqdm

from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import predict
from icl_nb.interpret.population import population_accuracy, population_law
from icl_nb.models.files import describe, load, write_whole
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.tasks.linear import LinearTask

STORED = Path(__file__).with_name("ladder.json")

SEEDS = 3

DEPTHS = {2: "depth2", 4: "depth4", 8: "four", 16: "depth16", 32: "depth32"}

TIED = {8: "tied", 16: "tied16"}

FAMILIES = (*DEPTHS.values(), *TIED.values())

NAMES = tuple(f"{family}-{seed}" for family in FAMILIES for seed in range(SEEDS))

RULES = ("relative depth", "relative depth, moves / L", "layers from the start", "layers from the end")


def regrets(names: tuple[str, ...] = NAMES, *, n_tasks: int = 2000, n_queries: int = 16, seed: int = 61) -> dict:
    r"""How much more often a table errs than the Bayes predictor, on tasks of 40 points, without the noise of labels.

    .. math:: E[p_{\hat c} - p_c]

    with p the posterior, c the table's answer and :math:`\hat c` the likeliest class by other chains: the largest p
    itself would look too good, since it has the largest error.

    Arguments:
        names: of checkpoints.
        n_tasks: for each.
        n_queries: of each task.
        seed: of the tasks.

    Returns:
        for each name `regret` and its standard error over tasks, `regret_se`; under "bayes" the Bayes predictor's
        `error` and `error_se`.

    Example:
        >>> rows = regrets(("depth2-0",), n_tasks=20, n_queries=4)
        >>> rows["depth2-0"]["regret"] > 0
        True
    """
    batch = LinearTask().sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)
    chosen, p = bayes_predict(batch).argmax(-1), bayes_predict(batch, seed=1)

    def lost(answers: torch.Tensor) -> torch.Tensor:
        return 1 - p.gather(-1, answers[..., None])[..., 0].mean(1)  # (B,)

    best = lost(chosen)
    rows = {"bayes": _mean("error", best.numpy())}
    for name in tqdm(names, desc="regret"):
        rows[name] = _mean("regret", (lost(predict(load(name), batch).argmax(-1)) - best).numpy())
    return rows


def limits(
    names: tuple[str, ...] = NAMES, *, n_tasks: int = 48, n_points: int = 1080, n_queries: int = 250, seed: int = 62
) -> dict:
    """Errors with infinitely many points, by the population law, and with many, on the same class vectors.

    Arguments:
        names: of checkpoints.
        n_tasks: for each.
        n_points: of the long contexts.
        n_queries: of each task.
        seed: of the tasks.

    Returns:
        for each name `limit`, `long` and `above` (long less limit), each with its standard error over tasks.

    Example:
        >>> rows = limits(("depth2-0",), n_tasks=2, n_points=100, n_queries=20)
        >>> sorted(rows["depth2-0"])
        ['above', 'above_se', 'limit', 'limit_se', 'long', 'long_se']
    """
    batch = LinearTask(n_points).sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)
    assert batch.w is not None  # a LinearTask knows its class vectors
    laws = [
        [population_law(w, radial=radial, angular=angular) for radial, angular in ((12, 10), (16, 100))]
        for w in batch.w.numpy()
    ]
    rows = {}
    for name in tqdm(names, desc="limit"):
        model = load(name)
        recursion = Recursion.from_model(model)
        limit = np.array([1 - population_accuracy(recursion, law, queries)[-1] for law, queries in laws])
        long = (predict(model, batch).argmax(-1) != batch.query_y).double().mean(-1).numpy()
        rows[name] = _mean("limit", limit) | _mean("long", long) | _mean("above", long - limit)
    return rows


def between(shallow: Recursion, deep: Recursion, depth: int, rule: str) -> Recursion:
    r"""A table of another depth, half one table's scalars and half the other's, taken along their layers.

    Layer l of L lies at :math:`(l + 1/2) / L` by the rules of relative depth, the second of which takes the moves to
    be shared out, :math:`\gamma, \delta \propto 1 / L`; by the others at l, from the start or the end, where layers
    that one table lacks are the other's.

    Arguments:
        shallow: a table of one head.
        deep: another one, with more layers.
        depth: of the result, between theirs.
        rule: one of `RULES`.

    Raises:
        ValueError: another rule, or depths not in this order.

    Source: own.

    Example:
        >>> flat = [Recursion({"alpha": np.full((L, 1), L), "beta": 0, "gamma": 1 / L, "delta": 1}) for L in (2, 4)]
        >>> [between(*flat, 3, rule).table.alpha.ravel().tolist() for rule in RULES[::2]]
        [[3.0, 3.0, 3.0], [3.0, 3.0, 4.0]]
    """
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}; it must be one of {', '.join(RULES)}")
    ends = [len(shallow.table), depth, len(deep.table)]
    if ends != sorted(ends):
        raise ValueError(f"depths are {ends}; the one asked for must lie between the others")

    def along(recursion: Recursion, name: str) -> np.ndarray:
        curve, own = recursion.table[name][:, 0], len(recursion.table)
        if rule.startswith("relative"):
            factor = own / depth if rule == RULES[1] and name in ("gamma", "delta") else 1
            return factor * np.interp((np.arange(depth) + 0.5) / depth, (np.arange(own) + 0.5) / own, curve)
        if rule == RULES[3]:
            return np.concatenate([np.full(max(depth - own, 0), np.nan), curve[-depth:]])
        return np.concatenate([curve[:depth], np.full(max(depth - own, 0), np.nan)])

    table = {name: np.nanmean([along(part, name) for part in (shallow, deep)], 0)[:, None] for name in SCALARS}
    return Recursion(table, deep.n_classes, (shallow.scale * deep.scale) ** 0.5)


def guesses(*, n_tasks: int = 1000, seed: int = 63) -> dict:
    """Tables of depth 16 that nobody trained: how near they come to the trained ones, and how well they answer.

    Arguments:
        n_tasks: of 16 queries.
        seed: of the tasks.

    Returns:
        for each guess, seed by seed, `explained` and `accuracy`. Guesses are each of `RULES` (from the tables of depths
        8 and 32 of the same seed), "constant" (each scalar its mean over the layers of the trained table), "another
        seed" (its trained table), "other seeds, mean" (of two such); and "trained" itself.

    Example:
        >>> sorted(set(guesses(n_tasks=4)) - set(RULES))
        ['another seed', 'constant', 'other seeds, mean', 'trained']
    """
    batch = LinearTask().sample(n_tasks, seed=seed, n_queries=16, dtype=torch.float64)
    tables = {
        depth: [Recursion.from_model(load(f"{DEPTHS[depth]}-{place}")) for place in range(SEEDS)]
        for depth in (8, 16, 32)
    }
    found: dict[str, dict[str, list[float]]] = {}
    for place, trained in enumerate(tables[16]):
        others = [tables[16][(place + step) % SEEDS] for step in (1, 2)]
        tried = {rule: between(tables[8][place], tables[32][place], 16, rule) for rule in RULES} | {
            "constant": trained.replace(**{name: trained.table[name].mean() for name in SCALARS}),
            "another seed": others[0],
            "other seeds, mean": between(*others, 16, RULES[0]),
            "trained": trained,
        }
        for name, table in tried.items():
            right = (predict(table, batch).argmax(-1) == batch.query_y).double().mean().item()
            row = found.setdefault(name, {"explained": [], "accuracy": []})
            row["explained"].append(round(explained(table, trained), 3) + 0.0)  # no -0.0
            row["accuracy"].append(round(right, 4))
    return found


def stated(family: str, figure: str) -> np.ndarray:
    """What the files of a family say of themselves on 8,000 tasks, `(S,)`.

    Arguments:
        family: one of `FAMILIES`.
        figure: "accuracy" or "cross_entropy".

    Example:
        >>> stated("four", "accuracy").round(3).tolist()
        [0.863, 0.865, 0.862]
    """
    return np.array([describe(f"{family}-{seed}")["about"]["evaluation"][figure] for seed in range(SEEDS)])


def split(found: dict, family: str) -> dict[str, np.ndarray]:
    r"""The regret of a family at 40 points in two: what is left for n to infinity, and the rest.

    .. math:: \text{regret}_{40} = \underbrace{\text{error}_\infty}_{\text{bias}} + \text{rest}

    The Bayes predictor errs on nothing in the limit. The rest is what few points cost the table more than they cost
    the Bayes predictor: variance, and what else goes with n.

    Arguments:
        found: results as `stored` gives them.
        family: one of `FAMILIES`.

    Returns:
        `regret`, `bias` and `rest` of its seeds, `(S,)` each.

    Example:
        >>> rows = {name: {"regret": 0.05, "limit": 0.02} for name in ("tied-0", "tied-1", "tied-2")}
        >>> split({"regrets": rows, "limits": rows}, "tied")["rest"].round(3).tolist()
        [0.03, 0.03, 0.03]
    """
    names = [f"{family}-{seed}" for seed in range(SEEDS)]
    regret = np.array([found["regrets"][name]["regret"] for name in names])
    bias = np.array([found["limits"][name]["limit"] for name in names])
    return {"regret": regret, "bias": bias, "rest": regret - bias}


class PowerLaw(NamedTuple):
    """A line through logarithms, and what it foretells elsewhere."""

    exponent: float
    low: float  # ends of the exponent's 95 % interval
    high: float
    foretold: float
    least: float  # ends of the 95 % interval of a mean of S new values
    most: float


def power_law(depths: ArrayLike, values: ArrayLike, at: float) -> PowerLaw:
    r"""Least squares of :math:`\log v = c + p \log L`, with intervals by Student's t.

    Arguments:
        depths: L, `(D,)`, at least two different ones.
        values: positive, `(D, S)` for S seeds, D S > 2.
        at: the depth that is foretold.

    Raises:
        ValueError: a value is not positive, or the shapes are not as above.

    Source: textbook.

    Example:
        >>> law = power_law([2, 4, 8], [[1.0], [0.5], [0.25]], 16)
        >>> round(law.exponent, 6), round(law.foretold, 6)
        (-1.0, 0.125)
    """
    depths, values = np.asarray(depths, float), np.asarray(values, float)
    if values.shape[:1] != depths.shape or values.ndim != 2 or len(set(depths)) < 2 or values.size < 3:
        raise ValueError(f"{depths.shape} depths and {values.shape} values; take (D,) and (D, S), D > 1 and D S > 2")
    if not (values > 0).all() or not (depths > 0).all():
        raise ValueError("depths and values must be positive; a power law is a line through their logarithms")
    x, y = np.log(depths).repeat(values.shape[1]), np.log(values).ravel()
    spread = ((x - x.mean()) ** 2).sum()
    slope = ((x - x.mean()) * y).sum() / spread
    scatter = np.sqrt(((y - y.mean() - slope * (x - x.mean())) ** 2).sum() / (len(x) - 2))
    reach = student.ppf(0.975, len(x) - 2)
    off = np.log(at) - x.mean()
    middle = y.mean() + slope * off
    miss = reach * scatter * np.sqrt(1 / values.shape[1] + 1 / len(x) + off**2 / spread)
    side = reach * scatter / np.sqrt(spread)
    numbers = (slope, slope - side, slope + side, np.exp(middle), np.exp(middle - miss), np.exp(middle + miss))
    return PowerLaw(*map(float, numbers))


def explained(guess: Recursion, trained: Recursion) -> float:
    r"""The share of the scalars' course over layers that a guess explains, a mean over the four scalars.

    .. math:: 1 - \frac{\sum_l (\hat s_l - s_l)^2}{\sum_l (s_l - \bar s)^2}

    A constant of the right height explains 0, and less than 0 is worse than it. The last gamma is left out: nothing
    reads the points that it moves.

    Arguments:
        guess: a table of one head.
        trained: one of the same depth, more than two layers.

    Example:
        >>> table = Recursion({name: [[1.0], [2.0], [4.0]] for name in SCALARS})
        >>> explained(table, table)
        1.0
    """
    shares = []
    for name in SCALARS:
        end = -1 if name == "gamma" else None
        wanted, given = trained.table[name][:end], guess.table[name][:end]
        shares.append(1 - ((given - wanted) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum())
    return float(np.mean(shares))


def _mean(name: str, values: np.ndarray) -> dict[str, float]:
    return {
        name: round(float(values.mean()), 5),
        f"{name}_se": round(float(values.std(ddof=1) / np.sqrt(len(values))), 5),
    }


def stored() -> dict:
    """The stored results: those of `regrets`, `limits` and `guesses` under these names."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main(parts: list[str]) -> None:
    """Measure the named parts, all by default, and write them.

    Raises:
        ValueError: there is no such part.
    """
    jobs = {job.__name__: job for job in (regrets, limits, guesses)}
    if unknown := set(parts) - set(jobs):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(jobs)}")
    found = stored() if STORED.exists() else {}
    for part in parts or jobs:
        found[part] = jobs[part]()
        write_whole(STORED, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
