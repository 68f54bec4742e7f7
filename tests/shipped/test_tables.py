"""The benchmark: against scikit-learn's own scores, and what must not get through."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from icl_nb.evaluation.scores import log_loss, reliability
from icl_nb.shipped.tables import METHODS, STORED, TABLES, benchmark_tables, synthetic_tables


def test_shorter_runs_are_the_start_of_longer_ones():
    short, long = (benchmark_tables(["iris"], ["lda", "svc"], splits=splits) for splits in (2, 4))
    for ours, theirs in zip(short, long, strict=True):
        assert ours["accuracy_splits"] == theirs["accuracy_splits"][:2]
    assert short[1]["log_loss"] is None and short[0]["log_loss"] > 0


def test_log_loss():
    rng = np.random.default_rng(0)
    p, answers = rng.dirichlet([3, 3, 3], 50), rng.integers(0, 3, 50)
    assert abs(log_loss(p, answers) - sklearn_log_loss(answers, p, labels=range(3))) < 0.02
    assert log_loss([[1.0, 0.0]], [1]) == -np.log(0.001)


def test_reliability():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 40_000)
    honest = (rng.random(len(p))[:, None] > p.cumsum(1)).sum(1)
    boastful = p**3 / (p**3).sum(1, keepdims=True)
    assert reliability(p, honest)[3] < 0.02 < 0.1 < reliability(boastful, honest)[3]
    confidence, accuracy, count, ece = reliability(p, honest, bins=1)
    assert count.tolist() == [40_000] and ece == pytest.approx(abs(accuracy[0] - confidence[0]))


def test_synthetic_tables():
    tables = list(synthetic_tables(1))
    assert len({name for name, *_ in tables}) == 6 and len(tables) == 18
    for name, X, y, n in tables:
        assert X.shape[0] == len(y) == n + 300 and set(y[n:]) <= set(y[:n]) | set(y), name
    again = list(synthetic_tables(1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(tables, again, strict=True))
    name, X, y, n = tables[0]
    assert LogisticRegression().fit(X[:n], y[:n]).score(X[n:], y[n:]) > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tables": ["titanic"]}, "'titanic' is unknown"),
        ({"methods": ["oracle"]}, "'oracle' is unknown"),
        ({"splits": 1}, "splits=1"),
        ({"share": 1.0}, "share=1.0"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_tables(**{"tables": ["iris"], "methods": ["lda"]} | arguments)
    with pytest.raises(ValueError, match=r"must be \(q, K\)"):
        reliability([0.5], [0])


def test_what_is_stored_is_what_comes_out():
    rows = {(row["table"], row["method"]): row for row in json.loads(STORED.read_text(encoding="utf-8"))}
    assert list(rows) == [(table, method) for table in TABLES for method in METHODS]
    for row in benchmark_tables(["iris", "wine"], ["recursion", "logistic"], splits=2):
        stored = rows[row["table"], row["method"]]
        assert row["accuracy_splits"] == pytest.approx(stored["accuracy_splits"][:2], abs=1e-4)
        assert row["log_loss_splits"] == pytest.approx(stored["log_loss_splits"][:2], abs=2e-3)
