"""Rivals at equal depth: how right and how sure each method is after 1, 2, ... layers or steps.

`python -m icl_nb.shipped.depth` re-creates the stored results, in about five minutes on one core.
"""

import json
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
from icl_nb.shipped.recipes import IMITATION
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

STORED = Path(__file__).with_name("depth.json")


DEPTH = 24  # of the deepest


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


def tune(name: str, batch: Batch, steps: int) -> list[dict[str, dict]]:
    """For each number of steps the rule that is most often right, and the one of the least cross-entropy.

    Arguments:
        name: one of `DESCENTS`.
        batch: tasks to choose on, which are not those to be judged on.
        steps: L

    Returns:
        L dictionaries, of 1 to L steps: under "accuracy" and "cross_entropy" the rule that is best by it.

    Raises:
        ValueError: fewer than 1 step.

    Example:
        >>> rule = tune("Newton", tasks(20, 0, 4), 2)[1]
        >>> sorted(rule), rule["accuracy"]["C"] in PENALTIES
        (['accuracy', 'cross_entropy'], True)
    """
    check_count("steps", steps, 1)
    scored = []  # (rules, L) of reports
    for rule in rules(name):
        scored.append([score(logits, batch) for logits in path(name, batch, steps, rule)[1:]])
    best = []
    for level in range(steps):
        column = [reports[level] for reports in scored]
        right = max(range(len(column)), key=lambda place: column[place].accuracy)
        sure = min(range(len(column)), key=lambda place: column[place].cross_entropy)
        best.append({"accuracy": rules(name)[right], "cross_entropy": rules(name)[sure]})
    return best


def descents(name: str, chosen: list[dict[str, dict]], reference: Tensor, batch: Batch) -> list[dict]:
    """A row for each number of steps: the accuracy by the rule that `tune` chose by accuracy, the cross-entropy
    likewise."""
    paths, found = {}, []
    for level, best in enumerate(chosen, 1):
        both = {}
        for measure, rule in best.items():
            key = json.dumps(rule)
            if key not in paths:
                paths[key] = path(name, batch, len(chosen), rule)
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
    return [*rows, written(reference, judged)]


def written(reference: Tensor, batch: Batch) -> dict:
    """The row of the table from which `imitation` starts: six steps of descent in twelve layers, written by hand."""
    table = descent_table(**IMITATION)
    model = EquivariantTransformer(depth=len(table.table), heads=3, scalars=4, copies=3).double()
    write_table(model, table)
    return row("written", model.depth, predict(model, batch), reference, batch, heads=3)


def stored() -> list[dict]:
    """The stored rows."""
    return json.loads(STORED.read_text(encoding="utf-8"))


def main() -> None:
    """Measure everything and write it."""
    lines = [json.dumps(found) for found in measure(tasks(**JUDGED), tasks(**TUNED_ON))]
    write_whole(STORED, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


if __name__ == "__main__":
    main()
