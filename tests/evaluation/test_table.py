"""Tables: the same cells as text and as HTML, whatever stands in them."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_nb.evaluation import Measured, Table
from tools.comparison import Printed


class Cells(HTMLParser):
    """The rows of an HTML table, a list of (tag, attributes, text) each."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append((tag, dict(attrs), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("th", "td"):
            tag, attributes, text = self.rows[-1][-1]
            self.rows[-1][-1] = (tag, attributes, text + data)


words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(words, min_size=n, max_size=n), min_size=2, max_size=6)))
def test_text_and_html_hold_the_same_cells(lines):
    columns, *rows = lines
    table = Table(columns, rows)
    assert [re.split(r"\s{3,}", line.strip()) for line in repr(table).split("\n")] == lines
    parsed = Cells(table._repr_html_())
    assert [[text for *_, text in row] for row in parsed.rows] == lines
    assert parsed.open == []  # all that was opened was closed


def test_cells_line_up():
    rows = [("a", 0.5, "(1, 2)"), ("longer", Measured(-12.0, 0.25), "mixture"), ("b", None, "")]
    text = repr(Table(("", "a long name", "lags"), rows, ".2f")).split("\n")
    assert text == [
        "           a long name   lags",
        "a                 0.50   (1, 2)",
        "longer   -12.00 (0.25)   mixture",
        "b                    -",
    ]


def test_a_name_may_break_and_a_heading_be_shared():
    table = Table(("", ("loss", "before\ntraining"), ("loss", "after"), "n"), [("run", 1, 2, 3)], "d")
    assert repr(table).split("\n") == [
        "      loss",
        "        before",
        "      training   after   n",
        "run          1       2   3",
    ]
    heads = Cells(table._repr_html_()).rows[:2]
    assert [(text, int(attributes["colspan"])) for _, attributes, text in heads[0]] == [("", 1), ("loss", 2), ("", 1)]
    assert [text for *_, text in heads[1]] == ["", "before training", "after", "n"]
    empty = [(tag, "scope" in attributes) for row in heads for tag, attributes, text in row if not text]
    assert set(empty) == {("td", False)}  # a cell that heads nothing has no scope


def test_a_heading_wider_than_its_columns():
    table = Table((("much wider than both", "a"), ("much wider than both", "b"), "c"), [(1, 2, 3)], "d")
    above, names, row = repr(table).split("\n")
    assert above == "much wider than both" and len(names) == len(row) and names.index("c") > len(above)


def test_what_it_formats():
    row = ("x", 0.25, np.float64(0.25), torch.tensor(0.25), Measured(0.25, 0.125), None, "as it is")
    assert Table(list("abcdefg"), [row], ".2f").rows == [["x", "0.25", "0.25", "0.25", "0.25 (0.12)", "-", "as it is"]]
    assert Table(("", "n", "share"), [("x", 3, 0.5)], ("", "d", ".0%")).rows == [["x", "3", "50%"]]


@pytest.mark.parametrize("cell", ["1", "-0.5 (0.1)", "+3", "12 %", ".5", "> 1000", "(0.06)", "±0.1", "-", "", "-inf"])
def test_digits_stand_at_the_right(cell):
    assert Table(("", "b"), [("x", cell)]).words == [True, False]


@pytest.mark.parametrize("cell", ["one", "x1", "(1, 2), mixture", "None", "--", "infinite"])
def test_words_stand_at_the_left(cell):
    words = not cell.startswith("(1")  # which begins as a number does
    assert Table(("", "b"), [("x", "0.1"), ("y", cell)]).words == [True, words]


def test_html_is_escaped():
    html = Table(("<b>", ("a & b", "c")), [("<script>", '"')], title="<i>")._repr_html_()
    assert not re.search("<(b|script|i)>", html) and "a &amp; b" in html


@pytest.mark.parametrize(
    ("columns", "rows", "spec", "said"),
    [
        ((), [], "", "0 columns"),
        (("a", "b"), [("x",)], "", "a row of 1 cells in a table of 2 columns"),
        (("a", "b"), [], (".1f",), "2 columns and 1 formats"),
        (("a", "b"), [("x", 0.5)], "d", "does not take the formats"),
        (("a", "b"), [("x", [1, 2])], ".1f", "does not take the formats"),
    ],
)
def test_what_it_refuses(columns, rows, spec, said):
    with pytest.raises(ValueError, match=said):
        Table(columns, rows, spec)


@pytest.mark.parametrize("show", [repr, Table._repr_html_], ids=["text", "html"])
def test_the_comparison_reads_both_forms(show):
    """One unit in the last place passes, two do not; nor do another word, another order, a row that is missing."""
    old = [("dense", 0.123, 3), ("equivariant", 0.456, 4)]

    def shown(rows):
        return Printed(show(Table(("model", "accuracy", "n"), rows, ("", ".3f", "d"))))

    assert shown(old) == shown([("dense", 0.124, 3), ("equivariant", 0.455, 4)])
    for new in (
        [("dense", 0.125, 3), old[1]],
        [("dense", 0.123, 4), old[1]],
        [("denser", 0.123, 3), old[1]],
        [("dense", -0.123, 3), old[1]],
        [("dense", float("nan"), 3), old[1]],
        [("dense", None, 3), old[1]],
        old[::-1],
        old[:1],
    ):
        assert shown(old) != shown(new), new
