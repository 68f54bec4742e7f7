"""Figures for a page and for a phone: is all there, is it in place, and is it the same each time?"""

import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from icl_nb.figures import CLASSES, fit, label_lines, letter, points, regions, use_style

NUMBERS = np.random.default_rng(0).normal(size=(60, 2))


@pytest.fixture(autouse=True)
def styled(monkeypatch):
    monkeypatch.delenv("ICL_NB_FIGURES", raising=False)
    with mpl.rc_context({"backend": "agg"}):
        use_style()
        yield
        plt.close("all")


def two_panels(**options):
    fig, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, **options)
    for name, ax in zip(("left", "right"), axes, strict=True):
        ax.plot(NUMBERS[:, 0], label=name)
        ax.set(title=name, xlabel="step")
    axes[0].set_ylabel("loss")
    return fig


def sizes(svg: str) -> list[float]:
    return [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]


def texts(svg: str) -> list[str]:
    return [
        "".join(text.itertext()).strip()
        for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_both_pictures_hold_all_and_fit():
    found = fit.bundle(two_panels())
    for kind, width in ((fit.WIDE_KIND, fit.WIDE), (fit.NARROW_KIND, fit.NARROW)):
        root = ElementTree.fromstring(found[kind])
        assert float(root.get("viewBox").split()[2]) == pytest.approx(72 * width)
        assert min(sizes(found[kind])) >= 11 * 72 / 96
        assert {"left", "right", "step", "loss"} <= set(texts(found[kind]))
    assert texts(found[fit.NARROW_KIND]).count("loss") == 2  # a panel that shared a name now has its own


def test_a_figure_stays_as_it_is_and_pyplot_learns_of_no_other():
    fig = two_panels()
    fig.axes[0].set_title("small", fontsize=3)
    fit.bundle(fig)
    assert plt.get_fignums() == [fig.number]
    assert tuple(fig.get_size_inches()) == (9, 3) and fig.axes[0].get_title(loc="left") == "small"
    assert fig.axes[0]._left_title.get_fontsize() == 3 and fig.canvas.manager is not None


def test_tests_of_notebooks_draw_one(monkeypatch):
    monkeypatch.setenv("ICL_NB_FIGURES", "wide")
    assert list(fit.bundle(two_panels())) == [fit.WIDE_KIND]


def test_the_same_each_time():
    code = (
        "import matplotlib.pyplot as plt; from icl_nb.figures import fit, use_style; use_style();"
        "fig, axes = plt.subplots(1, 2); axes[0].plot([1, 2], label='a'); axes[0].legend(); axes[1].imshow([[1, 2]]);"
        "print(*fit.bundle(fig).values())"
    )
    one, other = (subprocess.check_output([sys.executable, "-c", code]) for _ in range(2))
    assert one == other and b"<svg" in one
    assert not re.search(rb"\d{4}-\d\d-\d\d|matplotlib v|Matplotlib|\d\.\d{3}", re.sub(rb'base64,[^"]*', b"", one))


@pytest.mark.parametrize(
    ("rows", "columns", "bare", "wanted"),
    [(1, 2, False, (2, 1)), (2, 2, False, (4, 1)), (2, 4, False, (4, 2)), (1, 6, True, (2, 3)), (2, 5, True, (4, 3))],
)
def test_panels_fold(rows, columns, bare, wanted):
    fig, axes = plt.subplots(rows, columns, figsize=(9, 4), squeeze=False)
    for ax in axes.flat if bare else ():
        ax.set(xticks=[], yticks=[])
    folded = fit.fitted(fig, 3.6, fold=True)
    places = [ax.get_subplotspec() for ax in folded.axes]
    lines = {place.rowspan.start for place in places}
    most = max(sum(place.rowspan.start == line for place in places) for line in lines)
    assert (len(lines), most) == wanted
    boxes = [ax.get_position() for ax in folded.axes]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


@pytest.mark.parametrize(("count", "lines"), [(3, 1), (4, 2)])
def test_a_crowded_row_folds_on_a_wide_page_too(count, lines):
    fig, _ = plt.subplots(1, count, figsize=(11, 3))
    assert len({ax.get_subplotspec().rowspan.start for ax in fit.fitted(fig, fit.WIDE).axes}) == lines
    fig, _ = plt.subplots(1, count, figsize=(11, 3), sharey=True)
    assert len({ax.get_subplotspec().rowspan.start for ax in fit.fitted(fig, fit.WIDE).axes}) == 1


def test_a_figure_says_how_it_folds():
    fig = two_panels()
    fig.columns = 2
    assert {ax.get_subplotspec().rowspan.start for ax in fit.fitted(fig, 3.6, fold=True).axes} == {0}


def test_a_column_keeps_its_rows_together():
    fig, axes = plt.subplots(2, 4, figsize=(9, 4))
    for (row, column), ax in np.ndenumerate(axes):
        ax.set_title(f"{row}{column}")
    axes = sorted(fit.fitted(fig, 3.6, fold=True).axes, key=lambda ax: ax.get_subplotspec().num1)
    assert [ax.get_title(loc="left") for ax in axes] == ["00", "01", "10", "11", "02", "03", "12", "13"]


def test_what_is_written_stays():
    fig, ax = plt.subplots()
    words = "L = 30, M 0.12345, C fitted"
    ax.set(title=words, yticks=[0.0005, 0.0015], yticklabels=["0.0005", "0.0015"])
    assert {words, "0.0005", "0.0015"} <= set(texts(fit.to_svg(fig)))


@pytest.mark.parametrize(("shared", "wanted"), [(False, "abcd"), (True, "acbd")])
def test_panels_that_share_numbers_stay_together(shared, wanted):
    fig, axes = plt.subplots(2, 2, figsize=(9, 4), sharex=shared)
    for ax, title in zip(axes.flat, "abcd", strict=True):
        ax.set_title(title)
    axes = sorted(fit.fitted(fig, 3.5, fold=True).axes, key=lambda ax: ax.get_subplotspec().num1)
    assert "".join(ax.get_title(loc="left") for ax in axes) == wanted


def test_a_colour_bar_stays_beside_its_panels():
    fig, axes = plt.subplots(2, 2, figsize=(9, 4), sharex=True)
    for ax in axes.flat:
        fig.colorbar(ax.imshow(NUMBERS[:4], aspect="auto"), ax=ax, label="size", extend="max")
    folded = fit.fitted(fig, 3.5, fold=True)
    panels, bars = folded.axes[:4], folded.axes[4:]
    assert [bar.get_ylabel() for bar in bars] == ["size"] * 4
    for bar, panel in zip(bars, panels, strict=True):
        one, other = bar.get_position(), panel.get_position()
        assert one.x0 > other.x1 and abs(one.y0 + one.y1 - other.y0 - other.y1) < 0.02
        assert bar.get_tightbbox().x1 <= folded.bbox.x1


def test_a_colour_bar_of_several_panels_goes_below_them():
    fig, axes = plt.subplots(2, 4, figsize=(9, 4))
    pictures = [ax.imshow(NUMBERS[:4], aspect="auto") for ax in axes.flat]
    fig.colorbar(pictures[-1], ax=axes, label="size")
    *panels, bar = fit.fitted(fig, 3.5, fold=True).axes
    assert bar.get_xlabel() == "size" and bar.bbox.y1 < min(panel.bbox.y0 for panel in panels)


def test_figures_of_two_parts_fold():
    fig = plt.figure(figsize=(9, 6))
    upper, lower = fig.subfigures(2, 1)
    upper.subplots(1, 2), lower.subplots(1, 6)
    folded = fit.fitted(fig, 3.5, fold=True)
    assert [len({ax.get_subplotspec().rowspan.start for ax in part.axes}) for part in folded.subfigs] == [2, 3]
    assert folded.subfigs[0].bbox.y0 >= folded.subfigs[1].bbox.y1 - 1


def test_a_legend_goes_where_it_covers_nothing():
    fig, ax = plt.subplots(figsize=(4, 3))
    for shift in np.linspace(0, 1, 9):
        ax.plot(np.sin(np.arange(300) / 2) + shift, label=f"a name that takes room {shift:.2f}")
    ax.legend(loc="upper right")
    assert fit._covers(ax.get_legend(), ax)
    found = fit.fitted(fig, 3.6)
    assert found.legends[0].get_window_extent().y1 < found.axes[0].xaxis.get_tightbbox().y0
    assert found.get_figheight() > 3
    ax.set_ylim(-1, 20)
    found = fit.fitted(fig, 7.6).axes[0]
    assert found.get_legend().get_window_extent().y0 > found.bbox.y0


def test_long_names_break_and_numbers_give_way():
    fig, ax = plt.subplots(figsize=(9, 3))
    ax.set(title="a title of many words that is " + "very " * 20 + "long", xticks=range(40))
    ax.set_xticklabels([str(1000 + number) for number in range(40)])
    found = fit.fitted(fig, 3.6)
    ax = found.axes[0]
    assert "\n" in ax.get_title(loc="left") and ax._left_title.get_window_extent().x1 <= found.bbox.x1
    shown = [label for label in ax.get_xticklabels() if label.get_text()]
    assert 2 <= len(shown) <= 10 and not fit._collide(shown, 0)
    assert all(int(label.get_text()) == 1000 + label.get_position()[0] for label in shown)


def test_words_at_an_axis_turn():
    fig, ax = plt.subplots(figsize=(9, 3))
    ax.bar([f"quarter turn {n}" for n in range(6)], 1)
    assert {label.get_rotation() for label in fit.fitted(fig, 3.6).axes[0].get_xticklabels()} == {40}


def test_names_of_rows_break_and_get_room():
    fig, ax = plt.subplots(figsize=(9, 2))
    ax.barh([f"a name of several words, number {row}" for row in range(8)], 1)
    boxes = [label.get_window_extent() for label in fit.fitted(fig, 3.5).axes[0].get_yticklabels()]
    assert all(box.width <= 0.36 * 3.5 * fig.dpi for box in boxes)
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_many_points_are_pixels():
    for count, pixels in ((fit.MANY, False), (fit.MANY + 1, True)):
        fig, ax = plt.subplots()
        ax.scatter(*np.random.default_rng(0).normal(size=(2, count)))
        assert ("<image" in fit.to_svg(fit.fitted(fig, 7.6))) is pixels


def test_what_lies_on_a_picture_is_named_and_nothing_else():
    fig, (left, right) = plt.subplots(1, 2)
    left.imshow([[0.0, 1.0]], aspect="auto")
    left.text(0, 0, "on it")
    left.text(1.7, 0, "beside it")
    regions(right, np.full((4, 4, 3), 1 / 3), 2)
    points(right, NUMBERS[:3], np.arange(3))
    root = ElementTree.fromstring(fit.to_svg(fit.fitted(fig, 7.6)))
    named = [group for group in root.iter() if group.get("id", "").startswith(fit.STILL)]
    assert ["".join(group.itertext()).strip() for group in named] == ["", "on it"]


def test_a_map_of_classes_lets_the_ground_through():
    _, ax = plt.subplots()
    regions(ax, np.array([[[1.0, 0.0], [0.5, 0.5]]]), 1)
    colours = ax.images[0].get_array()
    np.testing.assert_allclose(colours[0, :, 3], [0.45, 0.225])
    np.testing.assert_allclose(colours[0, 0, :3], mpl.colors.to_rgb(CLASSES[0]))


@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_a_width_is_positive(width):
    with pytest.raises(ValueError, match="must be positive"):
        fit.fitted(plt.figure(), width)


# Names at the ends of lines, letters of panels, whole numbers


def ends(*heights, width=7.0, names=None, **options):
    """A figure whose lines end at these heights, and the words beside its panel after it is laid out."""
    fig, ax = plt.subplots(figsize=(width, 3), layout="constrained")
    for number, height in enumerate(heights):
        ax.plot([0, 1], [0, height], label=(names or "abcdefgh")[number])
    ax.set(xlim=(0, 1), ylim=(0, 1), **options)
    label_lines(ax)
    done = fit.fitted(fig, width)
    return done, {text.get_text(): text for text in done.axes[0].texts}


def test_names_stand_where_lines_end_in_their_order():
    done, words = ends(0.9, 0.1, 0.5)
    ax = done.axes[0]
    assert ax.get_legend() is None and set(words) == {"a", "b", "c"}
    for name, height in (("a", 0.9), ("b", 0.1), ("c", 0.5)):
        box = words[name].get_window_extent()
        assert (box.y0 + box.y1) / 2 == pytest.approx(ax.transData.transform((1, height))[1], abs=2)
        assert ax.bbox.x1 < box.x0 < box.x1 <= done.bbox.x1


def test_names_that_would_meet_give_way():
    _, words = ends(0.50, 0.51, 0.52, 0.9)
    boxes = sorted((word.get_window_extent() for word in words.values()), key=lambda box: box.y0)
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in pairwise(boxes))
    order = sorted(words, key=lambda name: words[name].get_window_extent().y0)
    assert order == ["a", "b", "c", "d"]


def test_names_without_room_become_a_legend():
    done, words = ends(*[0.5 + 0.001 * k for k in range(8)])
    assert not words
    assert [text.get_text() for text in done.axes[0].get_legend().get_texts()] == list("abcdefgh")


def test_a_level_and_a_line_without_a_name():
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    ax.plot([0, 1], [0, 1])
    ax.axhline(0.4, label="a level that has a name of many words, too many for one line")
    label_lines(ax)
    done = fit.fitted(fig, 7)
    (word,) = done.axes[0].texts
    assert "\n" in word.get_text() and word.get_window_extent().width < 0.37 * done.bbox.width
    assert not fig.axes[0].texts  # the figure itself stays as it is


def test_a_name_of_several_lines_stands_in_their_middle():
    fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    for seed, height in enumerate((0.1, 0.3, 0.8)):
        ax.plot([0, 1], [0, height], color="#D55E00", label=None if seed else "seeds")
    ax.plot([0, 1], [0, 0.9], "o", color="#D55E00")  # points are not lines
    label_lines(ax)
    done = fit.fitted(fig, 7)
    (word,), ax = done.axes[0].texts, done.axes[0]
    box = word.get_window_extent()
    assert (box.y0 + box.y1) / 2 == pytest.approx(ax.transData.transform((1, 0.4))[1], abs=2)


def test_no_letter_is_left_alone_on_a_line():
    fig, ax = plt.subplots(figsize=(3, 2), layout="constrained")
    ax.set_title("the attended mean of the points at a limit $a$")
    title = fit.fitted(fig, 2.0).axes[0]._left_title.get_text()
    assert "\n" in title and min(len(line) for line in title.split("\n")) > 3


@pytest.mark.parametrize(("places", "whole"), [(range(9), True), (np.linspace(0, 8, 33), False), ([0, 1], False)])
def test_layers_have_no_half_ticks(places, whole):
    fig, ax = plt.subplots(figsize=(3.5, 2), layout="constrained")
    ax.plot(places, np.cos(places))
    ax.axvline(2.5)
    ax.set_xlim(0, 2.4)
    ticks = fit.fitted(fig, 3.5).axes[0].get_xticks()
    assert (ticks == np.round(ticks)).all() == whole


def test_letters_stay_with_their_panels():
    fig = two_panels()
    letter(fig)
    for width, fold in ((fit.WIDE, False), (fit.NARROW, True)):
        assert [ax.get_title(loc="left") for ax in fit.fitted(fig, width, fold=fold).axes] == ["(a) left", "(b) right"]
