"""Rivals at equal depth: how right and how sure each method is after 1, 2, ... layers or steps.

`python -m icl_nb.shipped.depth` re-creates the stored results, in about ten minutes on one core, half of them for
training what cannot see labels; with `far` or `unseen` behind it, it measures the rows of `FAR` or of `UNSEEN` alone.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from icl_nb.checks import check_count
from icl_nb.evaluation.baselines import baseline_predict, descent_path, logistic_predict, newton_path
from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import LEAST_PROBABILITY, difference, predict, score
from icl_nb.interpret.imitation import descent_table, write_table
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load, write_whole
from icl_nb.models.training import train
from icl_nb.recursion import Recursion
from icl_nb.shipped.recipes import IMITATION
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

STORED = Path(__file__).with_name("depth.json")


DEPTH = 24  # of the deepest


FAR = (48, 100)  # steps beyond it, for the two kinds of gradient descent: where do they end?


JUDGED = {"n_tasks": 3000, "seed": 51, "n_queries": 16}


TUNED_ON = {"n_tasks": 800, "seed": 52, "n_queries": 16}


N_BAYES = 400  # the first tasks, which the oracle answers; it is slow


RATES = {False: (2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 22.6), True: (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7)}


DECAYS = (0.0, 0.5)


PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # C that Newton's method may have


MODELS = (
    *(f"four-{seed}" for seed in range(5)),
    *("copies1-0", "copies1-deep-0", "recursion", "deep", "headline"),
    *("copies2-0", "copies2-deep-0", "copies3-0", "copies3-deep-0", "memory", "imitation"),
    "ordinary-0",
)


UNSEEN = {"one head": 1, "two heads": 2}  # heads whose scores cannot see labels, trained as "four" was, with beta = 0


UNSEEN_SEEDS = range(3)


OPENED = ("four-4", "recursion", "deep", "memory", "imitation", "ordinary-0")  # read out after every layer too


def tasks(n_tasks: int, seed: int, n_queries: int) -> Batch:
    """Tasks of chapter 1, float64.

    Example:
        >>> tasks(**TUNED_ON)
        Batch(800 tasks, n=40, q=16, d=5, K=3)
    """
    return LinearTask().sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def row(method: str, depth: int | None, logits: Tensor, reference: Tensor, batch: Batch, **about) -> dict:
    r"""Scores of one method at one depth, and how far it is from logistic regression on the same tasks.

    Arguments:
        method: its name.
        depth: layers or steps; None where it has none.
        logits: its answers, `(B, q, K)`.
        reference: those of logistic regression.
        batch: the tasks.
        about: what else is to be said of it.

    Returns:
        `accuracy` and `cross_entropy`, and under `minus_*` less those of the reference, each with `*_se` over tasks.

    Example:
        >>> batch = tasks(4, 0, 2)
        >>> even = torch.zeros(4, 2, 3)
        >>> row("even", None, even, even, batch)["minus_accuracy_se"]
        0.0
    """
    own, paired = score(logits, batch), difference(logits, reference, batch)
    found = {"method": method, "depth": depth} | about
    for start, report in (("", own), ("minus_", paired)):
        for name in ("accuracy", "accuracy_se", "cross_entropy", "cross_entropy_se"):
            found[start + name] = round(getattr(report, name), 5)
    return found


def logistic(batch: Batch) -> Tensor:
    """Log-probabilities of the reference: logistic regression, C = 10, none below that of 0.001."""
    return logistic_predict(batch).clamp(min=LEAST_PROBABILITY).log()


def rules(name: str) -> list[dict]:
    """The step rules among which one is chosen on other tasks, as keyword arguments of the path."""
    if name == "Newton":
        return [{"C": C} for C in PENALTIES]
    normalised = name == "normalised GD"
    return [{"rate": rate, "decay": k, "normalised": normalised} for rate in RATES[normalised] for k in DECAYS]


DESCENTS = ("GD", "normalised GD", "Newton")


def path(name: str, batch: Batch, steps: int, rule: dict) -> Tensor:
    """Logits after 0, 1, ..., L steps of one of `DESCENTS`, `(L + 1, B, q, K)`."""
    return newton_path(batch, steps, **rule) if name == "Newton" else descent_path(batch, steps, **rule)


def tune(name: str, batch: Batch, steps: int, levels: Sequence[int] | None = None) -> list[dict[str, dict]]:
    """For each number of steps the rule that is most often right, and the one of the least cross-entropy.

    Arguments:
        name: one of `DESCENTS`.
        batch: tasks to choose on, which are not those to be judged on.
        steps: L
        levels: numbers of steps to choose for, L at most; all from 1 to L by default.

    Returns:
        a dictionary for each of them: under "accuracy" and "cross_entropy" the rule that is best by it.

    Raises:
        ValueError: fewer than 1 step.

    Example:
        >>> rule = tune("Newton", tasks(20, 0, 4), 2)[1]
        >>> sorted(rule), rule["accuracy"]["C"] in PENALTIES
        (['accuracy', 'cross_entropy'], True)
    """
    check_count("steps", steps, 1)
    levels = list(range(1, steps + 1)) if levels is None else list(levels)
    scored = []  # (rules, levels) of reports
    for rule in rules(name):
        logits = path(name, batch, steps, rule)
        scored.append([score(logits[level], batch) for level in levels])
    best = []
    for place in range(len(levels)):
        column = [reports[place] for reports in scored]
        right = max(range(len(column)), key=lambda rule: column[rule].accuracy)
        sure = min(range(len(column)), key=lambda rule: column[rule].cross_entropy)
        best.append({"accuracy": rules(name)[right], "cross_entropy": rules(name)[sure]})
    return best


def descents(
    name: str, chosen: list[dict[str, dict]], reference: Tensor, batch: Batch, levels: Sequence[int] | None = None
) -> list[dict]:
    """A row for each number of steps, 1, 2, ... or the `levels`: accuracy by the rule that `tune` chose by accuracy,
    cross-entropy likewise."""
    levels = list(range(1, len(chosen) + 1)) if levels is None else list(levels)
    paths, found = {}, []
    for level, best in zip(levels, chosen, strict=True):
        both = {}
        for measure, rule in best.items():
            key = json.dumps(rule)
            if key not in paths:
                paths[key] = path(name, batch, max(levels), rule)
            whole = row(name, level, paths[key][level], reference, batch, numbers=len(rule) - (name != "Newton"))
            both |= {word: value for word, value in whole.items() if not both or measure in word}
        found.append(both | {"rules": best})
    return found


@torch.no_grad()
def opened(name: str, batch: Batch, *, piece: int = 100) -> Tensor:
    """What a shipped model would answer after each of its layers, read out as after the last, `(L + 1, B, q, K)`."""
    model, found = load(name, dtype=torch.float64), []
    for start in range(0, len(batch), piece):
        part = batch[start : start + piece]
        n = part.context_y.shape[1]
        found.append(torch.stack([model.read_out(z[:, n:]) for z, _ in model.stream(part.x, part.context_y)]))
    return torch.cat(found, 1)


def far(judged: Batch, tuned_on: Batch, reference: Tensor) -> list[dict]:
    """The rows of both kinds of gradient descent after as many steps as `FAR` says."""
    rows = []
    for name in DESCENTS[:2]:
        rows += descents(name, tune(name, tuned_on, max(FAR), FAR), reference, judged, FAR)
    return rows


def train_unseen(heads: int, seed: int, *, steps: int = 4000) -> Recursion:
    r"""Train eight layers of heads that see features and no labels, :math:`\beta = 0`, in all else as "four" was.

    .. math:: A_{ij} = \mathrm{softmax}_j\, \alpha \langle x_i, x_j \rangle

    Arguments:
        heads: of each layer.
        seed: of the start and of the tasks.
        steps: of training.

    Source: own.

    Example:
        >>> table = train_unseen(2, 0, steps=2).table
        >>> table.shape, bool(table.beta.any()), bool(table.delta.any())
        ((8, 2), False, True)
    """
    model = EquivariantTransformer(depth=8, heads=heads, scalars=4, seed=seed).float()

    @torch.no_grad()
    def look_away(step: int, trained: torch.nn.Module) -> None:
        model.m[..., 1] = 0

    train(model, LinearTask(), steps=steps, learning_rate=1e-2, seed=seed, on_step=look_away, progress=False)
    return Recursion.from_model(model)


def unseen(name: str, seed: int, recursion: Recursion, reference: Tensor, batch: Batch) -> dict:
    """The row of a table that `train_unseen` made, with the table as text."""
    logits = predict(recursion, batch)
    about = {"numbers": 3 * recursion.table.size + 1, "table": recursion.to_json()}
    return row(f"{name} without labels, {seed}", len(recursion.table), logits, reference, batch, **about)


def measure(judged: Batch, tuned_on: Batch, *, steps: int = DEPTH, n_bayes: int = N_BAYES) -> list[dict]:
    """All rows: the references, the descents, the models, and the models opened after each layer.

    Arguments:
        judged: tasks on which all are judged.
        tuned_on: tasks on which step rules are chosen.
        steps: of each descent, at most.
        n_bayes: tasks, the first of `judged`, which the oracle answers.
    """
    reference = logistic(judged)
    rows = [row("logistic", None, reference, reference, judged)]
    for name in ("lda", "centroid"):
        answers = baseline_predict(judged, name).clamp(min=LEAST_PROBABILITY).log()
        rows.append(row(name, None, answers, reference, judged))
    few = judged[:n_bayes]
    bayes = bayes_predict(few).clamp(min=LEAST_PROBABILITY).log()
    rows.append(row("bayes", None, bayes, reference[:n_bayes], few, tasks=n_bayes))
    for name in tqdm(DESCENTS):
        rows += descents(name, tune(name, tuned_on, steps), reference, judged)
    for name in tqdm(MODELS):
        model = load(name, dtype=torch.float64)
        about = {"heads": model.heads, "numbers": sum(part.numel() for part in model.parameters())}
        if name in OPENED:
            layers = opened(name, judged)
            rows.append(row(name, model.depth, layers[-1], reference, judged, **about))
            rows += [row(f"{name}, opened", level, z, reference, judged) for level, z in enumerate(layers[1:], 1)]
        else:
            rows.append(row(name, model.depth, predict(model, judged), reference, judged, **about))
    rows += [written(reference, judged), *far(judged, tuned_on, reference)]
    for name in tqdm(UNSEEN):
        for seed in UNSEEN_SEEDS:
            rows.append(unseen(name, seed, train_unseen(UNSEEN[name], seed), reference, judged))
    return rows


def written(reference: Tensor, batch: Batch) -> dict:
    """The row of the table from which `imitation` starts: six steps of descent in twelve layers, written by hand."""
    table = descent_table(**IMITATION)
    model = EquivariantTransformer(depth=len(table.table), heads=3, scalars=4, copies=3).double()
    write_table(model, table)
    return row("written", model.depth, predict(model, batch), reference, batch, heads=3)


def stored() -> list[dict]:
    """The stored rows."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main(parts: list[str]) -> None:
    """Measure everything, or the parts "far" and "unseen" alone, and write it.

    Raises:
        ValueError: there is no such part.
    """
    if wrong := set(parts) - {"far", "unseen"}:
        raise ValueError(f"there is no part {', '.join(sorted(wrong))}; there are far and unseen")
    judged, tuned_on = tasks(**JUDGED), tasks(**TUNED_ON)
    if not parts:
        rows = measure(judged, tuned_on)
    else:
        fresh, reference = [], logistic(judged)
        if "far" in parts:
            fresh += far(judged, tuned_on, reference)
        if "unseen" in parts:
            for name in UNSEEN:
                for seed in UNSEEN_SEEDS:
                    fresh.append(unseen(name, seed, train_unseen(UNSEEN[name], seed), reference, judged))
        made = {(found["method"], found["depth"]) for found in fresh}
        rows = [found for found in stored() if (found["method"], found["depth"]) not in made] + fresh
    lines = [json.dumps(found) for found in rows]
    write_whole(STORED, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
