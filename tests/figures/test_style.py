"""The pieces that figures share draw what they are given: read back from the axes. And blue, orange and green are the
classes', in every figure of the book: nothing else is drawn in them.
"""

import json
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from icl_nb.figures import fit, style


@pytest.fixture(autouse=True)
def closed():
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def test_a_band_is_as_wide_as_a_95_percent_interval():
    _, ax = plt.subplots()
    style.band(ax, [0, 1], [0.5, 0.75], [0.01, 0.02], color="black")
    (edge,) = (path.vertices for path in ax.collections[0].get_paths())
    for x, mean, half in ((0, 0.5, 0.0196), (1, 0.75, 0.0392)):
        heights = edge[edge[:, 0] == x, 1]
        assert heights.min() == pytest.approx(mean - half) and heights.max() == pytest.approx(mean + half)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0, 0.5], [1, 0.75]])


def test_a_band_of_another_width():
    _, ax = plt.subplots()
    style.band(ax, [0, 1], [0.0, 0.0], [1.0, 1.0], width=1.0)
    assert np.ptp(ax.collections[0].get_paths()[0].vertices[:, 1]) == pytest.approx(2)


def test_a_matrix_keeps_its_signs_and_is_red_where_it_is_positive():
    weights = np.array([[2.0, -1.0], [0.0, 0.5]])
    with mpl.rc_context():
        style.use_style()
        _, ax = plt.subplots()
        style.matrix(ax, weights, 1, title="M")
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), weights)
        red, _, blue, _ = image.to_rgba(weights)[0, 0]
        assert image.get_clim() == (-2, 2) and red > blue
        red, _, blue, _ = image.to_rgba(weights)[0, 1]
        assert blue > red


def test_a_flow_has_features_above_labels_below_and_a_star_for_the_query():
    tokens = np.random.default_rng(0).normal(size=(3, 4, 5))
    _, axes = plt.subplots(2, 2)
    style.flow(axes, tokens, [0, 1, 2], [0, 2])
    for column, level in enumerate((0, 2)):
        for row, place in enumerate((tokens[level, :, :2], tokens[level, :, 2:] @ style.CORNERS)):
            *context, query = (part.get_offsets() for part in axes[row, column].collections)
            np.testing.assert_allclose(np.concatenate(context), place[:3])  # classes in their order
            np.testing.assert_allclose(query, place[3:])
    assert [ax.get_title() or ax.get_title(loc="left") for ax in axes[0]] == ["input", "after layer 2"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["features x", "label blocks u"]


# Colours of classes

BOOK = Path(__file__).parents[2] / "book"
OWN = [colour.lower() for colour in style.CLASSES[:3]]
# What a cell that draws classes, or states of tokens, calls; and what it would call to draw something else like them.
DRAWS_CLASSES = re.compile(r"\b(CLASSES\[|points\(|regions\(|flow\(|clouds\(|part_one\.drift\()")
LATER: tuple[str, ...] = ()


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
