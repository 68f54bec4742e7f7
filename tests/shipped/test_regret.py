"""One table at all sizes: measurements against plain references, controls that lose, and a file that is whole."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from icl_nb.evaluation.baselines import baseline_predict
from icl_nb.evaluation.oracle import R_HAT_LIMIT, bayes_posterior
from icl_nb.models.files import load
from icl_nb.recursion import Recursion
from icl_nb.shipped import regret as sizes
from icl_nb.shipped.regret import (
    CLASSES,
    FEATURES,
    METHODS,
    OURS,
    PENALTIES,
    POINTS,
    benchmark_size,
    paired_scores,
    read,
    stored,
)
from icl_nb.tasks.linear import LinearTask, feature_scale

SCORES = {"accuracy", "cross_entropy", "gap", "regret", "excess"}
FIELDS = SCORES | {f"{score}_se" for score in SCORES}


@pytest.fixture(scope="module")
def row():
    return benchmark_size(12, 2, 3, tasks=6, queries=7, seed=3, sweeps=(200,))


def test_a_row_has_the_stated_fields(row):
    assert list(row) == ["n", "d", "K", "tasks", "queries", "seed", "sweeps", "r_hat", *METHODS]
    for name in METHODS:
        assert set(row[name]) - {"accuracy_C", "cross_entropy_C"} == FIELDS, name
    assert {row["logistic"]["accuracy_C"], row["logistic"]["cross_entropy_C"]} <= set(PENALTIES)
    assert [row[OURS][key] for key in ("regret", "regret_se", "excess", "excess_se")] == [0, 0, 0, 0]
    for name in METHODS:  # the differences are those of the means
        assert row[name]["regret"] == pytest.approx(row[name]["accuracy"] - row[OURS]["accuracy"], abs=2e-5)
        assert row[name]["excess"] == pytest.approx(row[OURS]["cross_entropy"] - row[name]["cross_entropy"], abs=2e-5)


def test_a_seed_gives_one_result(row):
    assert benchmark_size(12, 2, 3, tasks=6, queries=7, seed=3, sweeps=(200,)) == row
    assert benchmark_size(12, 2, 3, tasks=6, queries=7, seed=4, sweeps=(200,))[OURS] != row[OURS]


def test_scores_against_scikit_learn_and_loops():
    batch = LinearTask(9, 2, 3).sample(8, seed=1, n_queries=6, dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    probabilities = {name: torch.rand(8, 6, 3, generator=random).double().softmax(-1) for name in ("one", "other")}
    found, truth = paired_scores(probabilities, batch, "one"), batch.query_y.numpy()
    by_task = {name: (p.argmax(-1).numpy() == truth).mean(1) for name, p in probabilities.items()}
    for name, p in probabilities.items():
        answers = p.reshape(-1, 3).numpy()
        assert found[name]["accuracy"] == pytest.approx(by_task[name].mean(), abs=1e-5)
        assert found[name]["cross_entropy"] == pytest.approx(
            log_loss(truth.ravel(), answers, labels=range(3)), abs=1e-5
        )
        assert found[name]["gap"] == pytest.approx(answers.max(1).mean() - by_task[name].mean(), abs=2e-5)
    regret = by_task["other"] - by_task["one"]
    assert found["other"]["regret_se"] == pytest.approx(regret.std(ddof=1) / 8**0.5, abs=1e-5)


def test_the_oracle_has_no_regret_to_itself():
    batch = LinearTask(20, 2, 3).sample(5, seed=2, n_queries=9, dtype=torch.float64)
    oracle = bayes_posterior(batch, sweeps=60, burn_in=20).probs
    found = paired_scores({"bayes": oracle, "again": oracle.clone()}, batch, "bayes")
    for name in found:
        assert [found[name][key] for key in ("regret", "regret_se", "excess", "excess_se")] == [0, 0, 0, 0]
    even = paired_scores({"oracle": oracle, "even": torch.full_like(oracle, 1 / 3)}, batch, "even")
    assert even["oracle"]["regret"] > 4 * even["oracle"]["regret_se"] and even["oracle"]["excess"] > 0


def test_shuffled_labels_teach_nothing():
    batch = LinearTask(40, 3, 3).sample(40, seed=5, n_queries=20, dtype=torch.float64)
    labels = batch.y.clone()
    labels[:, :40] = labels[:, torch.randperm(40, generator=torch.Generator().manual_seed(0))]
    shuffled = type(batch)(batch.x, labels, None, 3, 20)
    found = paired_scores({"labels": read("table", batch), "shuffled": read("table", shuffled)}, batch, "shuffled")
    assert found["labels"]["regret"] > 0.2 and found["labels"]["regret"] > 5 * found["labels"]["regret_se"]


@pytest.mark.parametrize(("d", "K"), [(2, 2), (7, 5)])
def test_a_table_is_read_as_chapter_5_reads_it(d, K):
    batch = LinearTask(11, d, K).sample(3, seed=7, n_queries=4, dtype=torch.float64)
    table = Recursion.from_model(load("table"))
    whole = Recursion(table.table, K, table.scale)(feature_scale(d) * batch.x.numpy(), batch.context_y.numpy())
    expected = np.exp(whole - whole.max(-1, keepdims=True))
    found = read("table", batch).numpy()
    assert np.abs(found - expected / expected.sum(-1, keepdims=True)).max() < 1e-5  # the model is float32
    one = LinearTask(11, d, K).sample(3, seed=7, dtype=torch.float64)
    assert read("table", one).shape == (3, 1, K)


def test_logistic_regression_gets_its_best_penalty(row):
    batch = LinearTask(12, 2, 3).sample(6, seed=3, n_queries=7, dtype=torch.float64)
    hits, model = [], None
    for C in PENALTIES:
        p = baseline_predict(batch, "logistic", C=C)
        hits.append((p.argmax(-1) == batch.query_y).double().mean().item())
        if row["logistic"]["accuracy_C"] == C:
            model = LogisticRegression(C=C, fit_intercept=False, max_iter=1000)
            model.fit(batch.context_x[0].numpy(), batch.context_y[0].numpy())
            assert np.array_equal(model.predict(batch.query_x[0].numpy()), p[0].argmax(-1).numpy())
    assert model is not None and row["logistic"]["accuracy"] == pytest.approx(max(hits), abs=1e-5)


def test_accuracy_and_cross_entropy_get_each_its_own_penalty():
    row = benchmark_size(12, 2, 3, tasks=6, queries=7, seed=4, sweeps=(50,))["logistic"]
    batch = LinearTask(12, 2, 3).sample(6, seed=4, n_queries=7, dtype=torch.float64)
    fits = {C: baseline_predict(batch, "logistic", C=C).reshape(6, 7, 3) for C in PENALTIES} | {
        OURS: read(OURS, batch).reshape(6, 7, 3)
    }
    scores = paired_scores(fits, batch, OURS)
    assert row["accuracy_C"] != row["cross_entropy_C"]
    for score, best in (("accuracy", max), ("cross_entropy", min)):
        assert row[score] == best(scores[C][score] for C in PENALTIES)
        assert row[f"{score}_se"] == scores[row[f"{score}_C"]][f"{score}_se"]
    assert row["excess"] == scores[row["cross_entropy_C"]]["excess"]
    assert row["regret"] == scores[row["accuracy_C"]]["regret"]


def test_chains_that_do_not_agree_are_no_oracle(monkeypatch):
    row = benchmark_size(300, 8, 5, tasks=3, queries=5, sweeps=(6,))
    assert row["bayes"] is None and row["sweeps"] is None and row["r_hat"] > R_HAT_LIMIT
    assert row["logistic"]["accuracy"] > 0
    longer = benchmark_size(300, 8, 5, tasks=3, queries=5, sweeps=(6, 240))
    assert longer["sweeps"] == 240 and longer["r_hat"] <= R_HAT_LIMIT and longer["bayes"]["accuracy"] > 0
    monkeypatch.setattr(sizes, "WORK", 3 * 300 * 8 * 5 * 239)  # too long: the second is not tried
    assert benchmark_size(300, 8, 5, tasks=3, queries=5, sweeps=(6, 240)) == row
    monkeypatch.setattr(sizes, "WORK", 0)  # nor the first
    assert benchmark_size(300, 8, 5, tasks=3, queries=5) == row | {"r_hat": None}


def test_what_is_measured_is_stored_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(sizes, "STORED", tmp_path / "sizes.json")
    for name, value in {"POINTS": {3: (2, 4), 5: (3, 2)}, "FEATURES": (1,), "CLASSES": (2, 3)}.items():
        monkeypatch.setattr(sizes, name, value)
    assert stored() == {}
    sizes.main([5])
    first = stored()
    assert list(first) == [(5, 1, 2), (5, 1, 3)] and first[5, 1, 3]["seed"] == 3
    sizes.main([3])
    assert list(stored()) == [(3, 1, 2), (3, 1, 3), *first] and stored()[5, 1, 2] == first[5, 1, 2]
    with pytest.raises(ValueError, match=r"\[4\].* 3, 5"):
        sizes.main([4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n_points=0"),
        ({"d": 0}, "n_features=0"),
        ({"K": 1}, "n_classes=1"),
        ({"tasks": 1}, "tasks=1"),
        ({"queries": 0}, "n_queries=0"),
        ({"seed": -1}, "seed=-1"),
        ({"sweeps": ()}, "tuple of lengths"),
        ({"sweeps": (3,)}, "sweeps=3"),
    ],
)
def test_bad_size(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_size(**{"n": 5, "d": 2, "K": 2, "tasks": 2, "queries": 2} | arguments)


def test_bad_scores():
    batch = LinearTask(5, 2, 3).sample(3, n_queries=2)
    even = torch.full((3, 2, 3), 1 / 3)
    with pytest.raises(ValueError, match="'oracle' is not among the methods even"):
        paired_scores({"even": even}, batch, "oracle")
    with pytest.raises(ValueError, match=r"even has shape \(3, 3\); for this batch it must be \(3, 2, 3\)"):
        paired_scores({"even": even[:, 0]}, batch, "even")
    with pytest.raises(ValueError, match="tasks=1"):
        paired_scores({"even": even[:1]}, batch[:1], "even")


def test_the_stored_file_is_whole_and_is_what_comes_out():
    rows = stored()
    assert list(rows) == list(product(POINTS, FEATURES, CLASSES))
    for row in rows.values():
        assert (row["tasks"], row["queries"]) == POINTS[row["n"]]
        assert (row["bayes"] is None) == (row["sweeps"] is None)
        assert row["bayes"] is None or set(row["bayes"]) == FIELDS
    # One cell again, whole: near equality, for other processors round otherwise, and a few answers may turn.
    old = rows[10, 2, 2]
    new = benchmark_size(10, 2, 2, tasks=old["tasks"], queries=old["queries"], seed=old["seed"])
    for name in METHODS:
        assert new[name]["accuracy"] == pytest.approx(old[name]["accuracy"], abs=2e-3)
        assert new[name]["cross_entropy"] == pytest.approx(old[name]["cross_entropy"], abs=5e-3)
