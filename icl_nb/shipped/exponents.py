"""Does a sharpness that grows with log n make the error fall faster? Errors of tables with slopes and without.

`python -m icl_nb.shipped.exponents` re-creates the stored results, in some twenty-five minutes on one core; with names
of methods it measures those alone.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from tqdm import tqdm

from icl_nb.checks import check_count, check_seed
from icl_nb.evaluation.baselines import logistic_predict
from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import predict
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load, write_whole
from icl_nb.tasks.linear import LinearTask

STORED = Path(__file__).with_name("exponents.json")

POINTS = {40: 96, 120: 80, 360: 48, 1000: 24, 3000: 12}  # context points: tasks

QUERIES = 1000  # of each task

SETTINGS = {"clean": (2, 0.0), "noisy": (2, 0.2), "clean, K = 3": (3, 0.0)}  # classes and share of flipped labels

FROZEN = " at 64"  # after a name: its slopes are switched off, for every length what they are at 64 points

RIVALS = {"logistic": 1e4, "penalised": 1.0}  # logistic regression, by C

BAYES = "bayes"  # the oracle, who samples the posterior

# Context points: tasks, the first of those above, that it answers; without noise, with which its chains do not agree.
ASKED = {40: 48, 120: 40, 360: 24, 1000: 8}

NAMES = (
    *(BAYES, *RIVALS),
    *("lengths", f"lengths{FROZEN}", "lengths-flat", "lengths-again", "lengths-again-flat"),
    *("trusted", f"trusted{FROZEN}", "trusted-again", "copies2-deep-2"),
)


def wrong_answers(
    name: str, setting: str, *, points: dict[int, int] | None = None, queries: int = QUERIES, seed: int = 41
) -> dict[str, list[int]]:
    """How many queries of each task a method gets wrong, by the number of context points.

    Arguments:
        name: of a checkpoint, with `FROZEN` behind it for one without its slopes, of `RIVALS`, or `BAYES`.
        setting: one of `SETTINGS`; d is 5, and the answers of the queries are never flipped.
        points: tasks for each number of context points, by default `POINTS`, of the oracle `ASKED`; those of fewer
            tasks are the first ones.
        queries: of each task.
        seed: of the tasks, so that methods can be compared task by task.

    Raises:
        ValueError: an unknown setting or checkpoint, or a number out of range.

    Source: own.

    Example:
        >>> sorted(wrong_answers("logistic", "clean", points={20: 3, 40: 2}, queries=50))
        ['20', '40']
    """
    if setting not in SETTINGS:
        raise ValueError(f"setting={setting!r}; there are {', '.join(SETTINGS)}")
    check_count("queries", queries, 2)
    check_seed(seed)
    classes, noise = SETTINGS[setting]
    found = {}
    for n, tasks in ((ASKED if name == BAYES else POINTS) if points is None else points).items():
        whole = max(tasks, POINTS.get(n, 0))
        batch = LinearTask(n, 5, classes, noise).sample(whole, seed=seed, n_queries=queries, dtype=torch.float64)
        batch = batch[:tasks]
        if name == BAYES:
            answers = bayes_predict(batch)
        elif name in RIVALS:
            answers = logistic_predict(batch, C=RIVALS[name])
        else:
            answers = predict(_table(name, classes), batch, batch_size=max(1, 400 // n))
        found[str(n)] = (answers.argmax(-1) != batch.query_y).sum(-1).tolist()
    return found


def _table(name: str, classes: int) -> torch.nn.Module:
    model = load(name.removesuffix(FROZEN)).double().at(5, classes)
    if name.endswith(FROZEN):
        return without_slopes(model)
    return model


def without_slopes(model: EquivariantTransformer) -> EquivariantTransformer:
    """A copy whose scalars are at every length what they are at 64 points.

    Raises:
        ValueError: the model has no slopes.

    Example:
        >>> without_slopes(EquivariantTransformer(slopes=True)).slopes
        False
    """
    if not getattr(model, "slopes", False):
        raise ValueError(f"a {type(model).__name__} without slopes has none to switch off")
    config = {name: value for name, value in model.config.items() if name != "slopes"}
    other = EquivariantTransformer(**config).to(model.dtype)
    other.load_state_dict({name: part for name, part in model.state_dict().items() if "slope" not in name})
    return other


class Exponent(NamedTuple):
    """By which power of n an error falls, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def exponent(
    wrong: dict[str, ArrayLike], other: dict[str, ArrayLike] | None = None, *, least: int = 0, draws: int = 2000
) -> Exponent:
    r"""The slope of log error against log n by least squares, or by how much it is less than that of another method.

    .. math:: \log e(n) \approx c + p \log n

    The interval is that of a bootstrap over tasks, within each n; those of two methods are drawn together, so that
    what both owe to the tasks drops out.

    Arguments:
        wrong: wrong answers of each task by n, as `wrong_answers` gives them.
        other: those of another method on the same tasks; the result is then a difference, own less other.
        least: smaller n are left out.
        draws: of the bootstrap.

    Raises:
        ValueError: fewer than two sizes, or one at which there is no error at all or the two have not the same tasks.

    Source: textbook.

    Example:
        >>> wrong = {str(n): [40000 // n] * 8 for n in (40, 400, 4000)}
        >>> [round(number, 6) for number in exponent(wrong)]
        [-1.0, -1.0, -1.0]
    """
    check_count("draws", draws, 20)
    parts = [
        {int(n): np.asarray(counts, float) for n, counts in part.items() if int(n) >= least}
        for part in (wrong, other)
        if part is not None
    ]
    sizes = sorted(parts[0])
    if len(sizes) < 2:
        raise ValueError(f"there are {len(sizes)} sizes of context; a slope takes two")
    for part in parts:
        if sorted(part) != sizes or any(len(part[n]) != len(parts[0][n]) for n in sizes):
            raise ValueError("the two were not asked on the same tasks")
        if not all(part[n].sum() > 0 for n in sizes):
            raise ValueError("an error is 0 at some size, and has no logarithm; take more tasks or queries")
    random = np.random.default_rng(0)
    centred = np.log(sizes) - np.log(sizes).mean()
    rows = np.zeros((draws + 1, len(sizes)))
    for column, n in enumerate(sizes):
        tasks = len(parts[0][n])
        picks = np.vstack([np.arange(tasks), random.integers(0, tasks, (draws, tasks))])
        # A draw without any error counts as half a wrong answer.
        logs = [np.log(np.maximum(part[n][picks].sum(1), 0.5)) for part in parts]
        rows[:, column] = logs[0] - (logs[1] if len(logs) > 1 else 0)
        rows[:, column] -= 0 if len(logs) > 1 else np.log(tasks)
    slopes = rows @ centred / (centred**2).sum()
    low, high = np.quantile(slopes[1:], (0.025, 0.975))
    return Exponent(float(slopes[0]), float(low), float(high))


def stored() -> dict:
    """The stored results: for each setting and each of `NAMES` what `wrong_answers` gives; Bayes without noise."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main(names: list[str]) -> None:
    """Measure the named methods, all by default, and write each as soon as it is there.

    Raises:
        ValueError: there is no such method.
    """
    if unknown := set(names) - set(NAMES):
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found = stored() if STORED.exists() else {}
    for name in tqdm(names or NAMES):
        for setting, (_, noise) in SETTINGS.items():
            if name != BAYES or not noise:
                found.setdefault(setting, {})[name] = wrong_answers(name, setting)
        write_whole(STORED, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
