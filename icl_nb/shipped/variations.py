"""Many short runs of Part II: which lags are selected, what each part is worth, and what a variant changes.

`python -m icl_nb.shipped.variations` makes the runs that are not stored yet; `python -m icl_nb.shipped.variations
selection` those of one table, stored or not. All tables take about a quarter of an hour on one core.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from icl_nb.checks import check_seed
from icl_nb.evaluation.scores import mean_and_error
from icl_nb.induction.models import InductionTransformer
from icl_nb.induction.tasks import MarkovTask, SumTask, expected_log_losses, posterior_predictive
from icl_nb.induction.training import PARTS, STAGED, Stage, predict_chains, train_induction
from icl_nb.models.files import write_whole

STORED = Path(__file__).with_name("variations.json")


SEEDS = (0, 1, 2)  # of the sequences that a run is trained on


EVALUATION = {"n_sequences": 5000, "seed": 1}


def _joint(steps: int, parts: tuple[str, ...] = tuple(PARTS)) -> tuple[Stage, ...]:
    return (Stage(parts, steps, 2.0),)


SIZES = {"n_sequences": 5000, "batch_size": 500, "n_validation": 100, "records": 2}


# Where the set with most information and the set of all parents part, beside one setting where they agree: one parent
# that dominates; a tie; and four with a degree that has no room for the parents.
SETTINGS = {
    "reference": (MarkovTask(), 2),
    "lags-1-2-3": (MarkovTask(lags=(1, 2, 3)), 3),
    "dominant-0.5": (MarkovTask(dominance=0.5), 2),
    "dominant-0.7": (MarkovTask(dominance=0.7), 2),
    "dominant-0.9": (MarkovTask(dominance=0.9), 2),
    "one of 1, 2": (MarkovTask(), 1),
    "one of 1, 2; prior 0.02": (MarkovTask(concentration=0.02), 1),
    "two of 1, 2, 3": (MarkovTask(lags=(1, 2, 3)), 2),
    "two of 1, 2, 3; prior 1": (MarkovTask(lags=(1, 2, 3), concentration=1.0), 2),
}


# What is changed about the complete model. "stages" and "second_softmax" go to the training, all else to the model.
_ABLATIONS: dict[str, dict[str, Any]] = {
    "complete": {},
    "no normalisation": {"normalise": False},
    "no selector: equal weights": {"stages": ("heads", "classifier")},
    "no selector: all heads at once": {"subsets": "all"},
    "no products": {"degree": 1},
    "heads at rest": {"stages": ("selector", "classifier")},
    "c from 0.01": {"selector_start": 0.01},
    "c from 0.01, no normalisation": {"selector_start": 0.01, "normalise": False},
}


# The settings of the paper's public code, one by one and together. The complete model is that of the ablations.
_PUBLIC: dict[str, dict[str, Any]] = {
    "c from 0.01": {"selector_start": 0.01},
    "the empty set": {"subsets": "with empty"},
    "unit copies": {"unit_copies": True},
    "a window for each head": {"window": 5, "windows": [(1, 3), (2, 4), (3, 5)]},
    "second softmax": {"second_softmax": True},
    "all of these": {
        "selector_start": 0.01,
        "subsets": "with empty",
        "unit_copies": True,
        "window": 5,
        "windows": [(1, 3), (2, 4), (3, 5)],
        "second_softmax": True,
    },
}


# Table, setting: the task, and keyword arguments of the model. In each row all but the change is alike.
TABLES: dict[str, dict[str, tuple[MarkovTask | SumTask, dict[str, Any]]]] = {
    "selection": {
        name: (task, {"n_states": task.n_states, "degree": degree}) for name, (task, degree) in SETTINGS.items()
    },
    "ablations": {
        "three lags, parents 1, 2": (MarkovTask(), {}),
        "three lags, sum of 1, 2": (SumTask(), {}),
        "eight lags, parents 2, 5": (MarkovTask(lags=(2, 5)), {"window": 8, "heads": 8}),
        "eight lags, parents 2, 5, D = 3": (MarkovTask(lags=(2, 5)), {"window": 8, "heads": 8, "degree": 3}),
    },
    "public code": {"three lags, parents 1, 2": (MarkovTask(), {})},
}


CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "selection": {"joint": {}, "staged": {}},
    "ablations": _ABLATIONS,
    "public code": _PUBLIC,
}


def vary(table: str, setting: str, change: str, seed: int = 0, **sizes: int) -> dict:
    r"""Train one short run, and say what came of it.

    .. math:: \text{excess} = E \sum_e \mu(e \mid z) \bigl( \log \hat\mu(e \mid z) - \log y_e \bigr)

    with :math:`\hat\mu` the posterior predictive under the prior of the task, which is Bayes where its rows are
    independent, and some predictor elsewhere.

    Arguments:
        table: "selection", "ablations" or "public code".
        setting: one of `TABLES[table]`.
        change: one of `CHANGES[table]`; in the table of selection, "joint" or "staged". Staged is the stage of the
            selector alone, which decides on the set.
        seed: of the training sequences.
        sizes: in place of those in `SIZES`, and `steps`.

    Returns:
        a row: what was asked, the weights of all sets with their lags, the attention of each head to the lag that it
        copies most, the sharpness, loss and excess with their standard errors.

    Raises:
        ValueError: a name that is not one of these, or a seed that is none.

    Source: own.

    Example:
        >>> row = vary("selection", "reference", "staged", n_sequences=500, steps=50)
        >>> row["lags"][max(range(6), key=lambda i: row["p"][i])]
        [1, 2]
    """
    if table not in TABLES or setting not in TABLES[table] or change not in CHANGES[table]:
        raise ValueError(f"there is no {change!r} of {setting!r} in a table {table!r}")
    check_seed(seed)
    (task, given), changed = TABLES[table][setting], dict(CHANGES[table][change])
    large = given.get("heads", 3) > 3
    sizes = SIZES | ({"n_sequences": 4000, "batch_size": 250} if large else {}) | sizes
    steps = sizes.pop("steps", 150 if large else 200)
    second_softmax = changed.pop("second_softmax", False)
    stages = _joint(steps, changed.pop("stages", tuple(PARTS)))
    if change == "staged":
        stages = (Stage(STAGED[0].parts, min(steps, STAGED[0].steps), STAGED[0].learning_rate),)
    arguments = given | changed
    sets = InductionTransformer(heads=arguments.get("heads", 3), degree=arguments.get("degree", 2)).subsets
    named = {"all": [tuple(range(arguments.get("heads", 3)))], "with empty": [(), *sets]}
    if "subsets" in arguments:
        arguments["subsets"] = named[arguments["subsets"]]
    model = InductionTransformer(**arguments).double()
    train_induction(model, task, stages, seed=seed, second_softmax=second_softmax, progress=False, **sizes)
    chains = task.sample(**EVALUATION)
    ours, theirs = (
        expected_log_losses(probs, chains)
        for probs in (predict_chains(model, chains), posterior_predictive(chains, concentration=task.concentration))
    )
    (loss, loss_se), (excess, excess_se) = mean_and_error(ours), mean_and_error(ours - theirs)
    with torch.no_grad():
        own, copied = model.copying().max(-1)
        p = model.selection()
    return {
        "table": table,
        "setting": setting,
        "change": change,
        "seed": seed,
        "lags": [sorted({int(copied[head]) + 1 for head in subset}) for subset in model.subsets],
        "p": [round(value, 4) for value in p.tolist()],
        "copied": [int(lag) + 1 for lag in copied],
        "own": [round(value, 4) for value in own.tolist()],
        "a": round(model.sharpness, 3),
    } | {
        name: round(value, 5)
        for name, value in (("loss", loss), ("loss_se", loss_se), ("excess", excess), ("excess_se", excess_se))
    }


def variations(table: str) -> list[dict]:
    """The stored rows of a table.

    Raises:
        ValueError: no such table.

    Example:
        >>> {row["change"] for row in variations("selection")} == {"joint", "staged"}
        True
    """
    if table not in TABLES:
        raise ValueError(f"table={table!r}; it must be one of {', '.join(TABLES)}")
    return [row for row in json.loads(STORED.read_text()) if row["table"] == table]


def asked() -> list[tuple[str, str, str, int]]:
    """All runs that are stored: table, setting, change and seed. `vary` makes the others."""
    parts = [change for change in _ABLATIONS if change.startswith(("complete", "no "))]
    seeds = {  # of the ablations, by setting; what starts otherwise has one setting
        "three lags, parents 1, 2": dict.fromkeys(_ABLATIONS, SEEDS),
        "three lags, sum of 1, 2": dict.fromkeys(("complete", "no products"), SEEDS),
        "eight lags, parents 2, 5": dict.fromkeys(parts, SEEDS),
        # Without products D is 1, as above; all heads at once are one set, whatever D is.
        "eight lags, parents 2, 5, D = 3": dict.fromkeys(
            ("complete", "no normalisation", "no selector: equal weights"), SEEDS
        ),
    }
    runs = []
    for table, settings in TABLES.items():
        for setting in settings:
            tried = seeds[setting] if table == "ablations" else dict.fromkeys(CHANGES[table], SEEDS)
            if table == "public code":
                tried = dict.fromkeys(("c from 0.01", "the empty set", "second softmax"), (0,))
            runs += [(table, setting, change, seed) for change in CHANGES[table] for seed in tried.get(change, ())]
    return runs


def main(tables: list[str]) -> None:
    rows = json.loads(STORED.read_text()) if STORED.exists() else []
    rows = [row for row in rows if row["table"] not in tables]
    done = {(row["table"], row["setting"], row["change"], row["seed"]) for row in rows}
    wanted = [run for run in asked() if run not in done and (not tables or run[0] in tables)]
    for run in tqdm(wanted, desc="variations"):
        rows.append(vary(*run))
        order = {run: place for place, run in enumerate(asked())}
        rows.sort(key=lambda row: order[row["table"], row["setting"], row["change"], row["seed"]])
        write_whole(STORED, ("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n").encode())


if __name__ == "__main__":
    main(sys.argv[1:])
