"""Blue, orange and green are the classes', in every figure of the book: nothing else is drawn in them."""

import json
import re
from pathlib import Path

import pytest

from icl_nb.figures import CLASSES, fit

BOOK = Path(__file__).parents[2] / "book"
OWN = [colour.lower() for colour in CLASSES[:3]]
# What a cell that draws classes, or states of tokens, calls; and what it would call to draw something else like them.
DRAWS_CLASSES = re.compile(r"\b(CLASSES\[|points\(|regions\(|flow\(|clouds\(|part_one\.drift\()")
LATER: tuple[str, ...] = ("04", "05", "07", "08", "09", "10", "11", "14")


def strays(notebook: dict) -> list[str]:
    """Figures in which a colour of the classes is seen though their cells draw no class."""
    found = []
    for cell in notebook["cells"]:
        if "figure" in cell["metadata"].get("mystnb", {}) and not DRAWS_CLASSES.search("".join(cell["source"])):
            pictures = [part["data"].get(fit.WIDE_KIND, "") for part in cell.get("outputs", ()) if "data" in part]
            seen = "".join("".join(picture) for picture in pictures).lower()
            found += [cell["metadata"]["mystnb"]["figure"]["name"]] * any(colour in seen for colour in OWN)
    return found


NOTEBOOKS = [path for path in sorted(BOOK.glob("*.ipynb")) if not path.name.startswith(LATER)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_only_classes_have_the_colours_of_classes(path):
    assert strays(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "colour", "faults"),
    [
        ("ax.plot(loss, color=BLUE)", OWN[0], 1),
        ("ax.plot(loss, color=BLUE)", OWN[2].upper(), 1),
        ("ax.plot(loss, color=VIOLET)", "#7b62c3", 0),
        ("points(ax, x, y)", OWN[1], 0),
    ],
)
def test_a_model_in_blue_is_seen(source, colour, faults):
    picture = {"data": {fit.WIDE_KIND: [f'<path style="stroke: {colour}"/>']}}
    cell = {"metadata": {"mystnb": {"figure": {"name": "fig"}}}, "source": [source], "outputs": [picture]}
    assert len(strays({"cells": [cell]})) == faults
