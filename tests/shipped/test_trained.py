"""Stored certificates: of the files that ship, come out again, and two arithmetics that agree."""

import json

import pytest

from icl_nb.interpret.population import growth
from icl_nb.models.files import load
from icl_nb.recursion import Recursion
from icl_nb.shipped import trained

FOUND = json.loads(trained.STORED.read_text(encoding="utf-8"))
COLUMNS = ("growth", "mean", "spread", "label", "separation")


def test_rows_are_there_and_of_the_files_that_ship():
    assert set(FOUND["certificates"]) == set(trained.CERTIFIED) and set(FOUND["balls"]) == set(trained.BALLS)
    for name, row in FOUND["certificates"].items():
        g = growth(Recursion.from_model(load(name)))
        for value, (low, high) in zip(g, row.get("growth", ()), strict="growth" in row):
            assert low - 1e-12 <= value <= high + 1e-12
        assert (row["verdict"] == "proved") == (row.get("slope", 0) > 0)


def test_two_arithmetics_meet_in_every_number():
    for name, row in FOUND["balls"].items():
        other = FOUND["certificates"][name]
        assert (row["bits"], other["bits"]) == (120, 53)
        for key in COLUMNS:
            for one, two in zip(row[key], other[key], strict=True):
                assert max(one[0], two[0]) <= min(one[1], two[1])


@pytest.mark.parametrize("name", ["depth2-1", "four-1"])
def test_some_come_out_again(name):
    fresh, row = trained.certificate(name), FOUND["certificates"][name]
    assert fresh["verdict"] == row["verdict"] and fresh["slope"] == pytest.approx(row["slope"], rel=1e-6)
    for key in COLUMNS:
        for one, two in zip(fresh[key], row[key], strict=True):
            assert max(one[0], two[0]) <= min(one[1], two[1])


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="no part"):
        trained.main(["balloons"])
