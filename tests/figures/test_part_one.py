"""The figures of chapters 1 to 6: that they show what they are given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from icl_nb.figures import part_one
from icl_nb.recursion import Recursion


@pytest.fixture(autouse=True)
def closed():
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def test_a_heat_map_writes_its_numbers():
    _, ax = plt.subplots()
    part_one.heat_map(ax, [[0.25, 1.0], [0.5, 0.0]], [[0.25, 1.0], [0.5, -3.0]], limit=(0, 1))
    assert [text.get_text() for text in ax.texts] == [".25", "1", ".50", "<0"]


def test_idle_coordinates_are_hatched():
    _, ax = plt.subplots()
    idle = [[False, True, False, False], [False, False, False, True]]
    picture = part_one.coordinate_map(ax, [[1.0, 0, 2, 0.5], [3, 4, 5, 0]], idle, ["a", "b"], limit=(0, 5))
    corners = [tuple(patch.get_xy()) for patch in ax.patches]
    assert corners == [(0.5, -0.5), (2.5, 0.5)] and all(patch.get_hatch() for patch in ax.patches)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["M a", "M b", "V a", "V b"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]
    np.testing.assert_array_equal(picture.get_array().mask, idle)


def test_every_method_is_drawn_at_its_depth():
    errors = {"accuracy_se": 0.01, "cross_entropy_se": 0.01}
    rows = [{"method": "GD", "depth": t, "accuracy": 0.8 + t / 100, "cross_entropy": 0.4, **errors} for t in (1, 2)]
    for name in ("normalised GD", "Newton"):
        rows += [row | {"method": name} for row in rows[:2]]
    for name, depth in (("four-4", 8), ("memory", 12), ("ordinary-0", 6)):
        rows.append({"method": name, "depth": depth, "heads": 1, "accuracy": 0.85, "cross_entropy": 0.3, **errors})
    base = {"depth": None, "accuracy": 0.9, "cross_entropy": 0.25, "minus_accuracy": 0.01, "minus_cross_entropy": -0.04}
    rows += [base | errors | {"method": name} for name in ("logistic", "lda", "bayes")]
    _, axes = part_one.panels(2, 8, 3)
    part_one.by_depth(axes, rows)
    lines = {line.get_label(): line for line in axes[0].lines}
    np.testing.assert_allclose(lines["GD"].get_ydata(), [0.81, 0.82])
    labels = axes[1].get_legend_handles_labels()[1]
    assert labels == ["GD", "normalised GD", "Newton", "recursion", "memory", "ordinary"]
    heights = [line.get_ydata()[0] for line in axes[0].lines if line.get_linestyle() == "--"]
    assert heights == pytest.approx([0.91, 0.9, 0.9])  # Bayes as its lead over logistic regression


@pytest.mark.parametrize(
    ("name", "kind"),
    [("four-0", "recursion"), ("copies1-0", "recursion"), ("copies2-0", "memory"), ("imitation", "memory")],
)
def test_kinds(name, kind):
    assert part_one.kind_of(name) == kind


def test_a_postcard_has_all_numbers_and_phases():
    table = {"alpha": [[1.0], [0.25]], "beta": 2.0, "gamma": [[-1.0], [0.5]], "delta": 0.0}
    _, ax = plt.subplots()
    part_one.postcard(ax, Recursion(table), {"whiten": slice(0, 1), "gather": slice(1, 2)})
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["1.00", "2.00", "-1.00", "0.00", "0.25", "2.00", "0.50", "0.00", "whiten", "gather"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]


def test_a_query_takes_the_colour_of_the_class_that_it_read():
    x, u = np.zeros((3, 2)), np.zeros((3, 3))
    read = u.copy()
    read[-1, 1] = 0.5
    _, axes = plt.subplots(1, 2)
    part_one.clouds(axes, x, u, np.array([0, 1]), [("still", x, u), ("read", x + 0.1, read)])
    stars = [ax.collections[-1].get_facecolor()[0] for ax in axes]
    assert tuple(stars[0][:3]) == (0, 0, 0)
    assert mpl.colors.to_hex(stars[1]) == part_one.CLASSES[1].lower()


def test_drift_says_the_separation():
    x = np.arange(8.0).reshape(4, 2)
    fig = plt.figure()
    part_one.drift(fig, x, {"true": (np.array([0, 0, 1, 1]), x + 1, (0.5, 2.0))})
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == [
        "true, before: separation 0.50",
        "true, after: separation 2.00",
    ]
