"""The stored figures at equal depth: that they are all there, and that a few of them come out again."""

import pytest
import torch

from icl_nb.evaluation.scores import predict
from icl_nb.models.files import load
from icl_nb.recursion import Recursion
from icl_nb.shipped import depth

ROWS = depth.stored()


def test_every_row_is_there_and_says_what_it_measured():
    names = [(row["method"], row["depth"]) for row in ROWS]
    assert len(set(names)) == len(names)
    expected = {(name, level) for name in depth.DESCENTS for level in range(1, depth.DEPTH + 1)}
    expected |= {(name, load(name).depth) for name in depth.MODELS}
    expected |= {(f"{name}, opened", level) for name in depth.OPENED for level in range(1, load(name).depth + 1)}
    expected |= {(name, None) for name in ("logistic", "lda", "centroid", "bayes")}
    expected |= {("written", 12)} | {(name, level) for name in depth.DESCENTS[:2] for level in depth.FAR}
    expected |= {(f"{name} without labels, {seed}", 8) for name in depth.UNSEEN for seed in depth.UNSEEN_SEEDS}
    assert set(names) == expected
    for row in ROWS:
        assert 0 <= row["accuracy"] <= 1 and row["cross_entropy"] > 0
        assert row["method"] == "logistic" or row["minus_accuracy_se"] > 0
        whole = row["method"].removesuffix(", opened")
        if row["method"] in depth.OPENED:  # the last of the opened layers is the model
            last = next(r for r in ROWS if (r["method"], r["depth"]) == (f"{whole}, opened", row["depth"]))
            assert row["accuracy"] == last["accuracy"] and row["cross_entropy"] == last["cross_entropy"]


def test_a_few_rows_come_out_again():
    judged = depth.tasks(**depth.JUDGED)
    reference = depth.logistic(judged)
    rows = {(row["method"], row["depth"]): row for row in ROWS}
    fresh = depth.row("four-4", 8, predict(load("four-4", dtype=torch.float64), judged), reference, judged)
    chosen = [rows["normalised GD", level]["rules"] for level in (1, 2, 3, 4)]
    for found in (fresh, *depth.descents("normalised GD", chosen, reference, judged)):
        for key, value in found.items():
            if isinstance(value, float):
                assert value == pytest.approx(rows[found["method"], found["depth"]][key], abs=2e-4)


def test_rules_are_chosen_on_other_tasks_and_by_the_measure():
    assert depth.JUDGED["seed"] != depth.TUNED_ON["seed"]
    batch = depth.tasks(30, 0, 6)
    best = depth.tune("GD", batch, 2)
    for level, chosen in enumerate(best, 1):
        accuracy = {
            tuple(rule.items()): (depth.path("GD", batch, level, rule)[-1].argmax(-1) == batch.query_y).double().mean()
            for rule in depth.rules("GD")
        }
        assert accuracy[tuple(chosen["accuracy"].items())] == max(accuracy.values())


def test_a_model_that_is_opened_ends_in_its_answers():
    batch = depth.tasks(7, 0, 3)
    layers = depth.opened("memory", batch, piece=3)
    assert layers.shape == (13, 7, 3, 3)
    torch.testing.assert_close(layers[-1], predict(load("memory", dtype=torch.float64), batch))


def test_rules_of_single_levels_are_those_of_all():
    batch = depth.tasks(30, 0, 6)
    every = depth.tune("GD", batch, 3)
    assert depth.tune("GD", batch, 3, (1, 3)) == [every[0], every[2]]
    reference = depth.logistic(batch)
    rows = depth.descents("GD", every, reference, batch)
    assert depth.descents("GD", [every[0], every[2]], reference, batch, (1, 3)) == [rows[0], rows[2]]


def test_far_rules_lie_inside_their_grids():
    for row in ROWS:
        if row["method"] in depth.DESCENTS[:2] and row["depth"] in depth.FAR:
            rates = depth.RATES[row["method"] != "GD"]
            assert all(rule["rate"] in rates[: len(rates) - 1] for rule in row["rules"].values())


def test_unseen_tables_look_at_no_label_and_come_out_again():
    judged = depth.tasks(**depth.JUDGED)
    reference = depth.logistic(judged)
    found = [row for row in ROWS if "without labels" in row["method"]]
    for row in found:
        table = Recursion.from_json(row["table"])
        assert not table.table.beta.any() and table.table.alpha.all()
    name, seed = found[0]["method"].split(" without labels, ")
    fresh = depth.unseen(name, int(seed), Recursion.from_json(found[0]["table"]), reference, judged)
    assert fresh["accuracy"] == pytest.approx(found[0]["accuracy"], abs=2e-4)
    with pytest.raises(ValueError, match="no part"):
        depth.main(["near"])
