"""One style for all figures, and what several chapters draw.

Figures are drawn in black on white, and the pages of the book show them in their own ink on their own ground
(`icl_nb.figures.fit`). The colours are those of Okabe and Ito, which people with any of the common colour blindnesses
can tell apart.
"""

import sys
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from icl_nb.figures import fit

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#6E6E6E",
)
VIOLET, OLIVE, BROWN = "#7B62C3", "#A3AD2E", "#8F6B3E"  # as good in print, for what is no class


# Classes, and the states of tokens. The first three are for them alone: no model, method or layer is blue, orange or
# green (`tests/figures/test_style.py`).
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)


# What is no class, in the order in which figures take it.
SERIES = (VIOLET, VERMILION, SKY, PURPLE, BROWN, OLIVE, GREY, "#000000")


MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


# Label blocks of three classes are centred, so that they lie in a plane: the classes are the corners of a triangle.
CORNERS = np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])


# One colour and one name for each thing that appears in several figures.
COLOURS = {
    "bayes": "#000000",
    "logistic": VIOLET,
    "lda": BROWN,
    "centroid": OLIVE,
    "knn": PURPLE,
    "prior": GREY,
    "dense": VERMILION,
    "injected": OLIVE,
    "projected": PURPLE,
    "equivariant": SKY,
    "headline": VERMILION,
}


NAMES = {
    "bayes": "Bayes oracle",
    "logistic": "logistic regression",
    "lda": "LDA",
    "centroid": "nearest centroid",
    "knn": "5 nearest neighbours",
    "prior": "class frequencies",
    "by construction": "equivariant by construction",
}


def use_style() -> None:
    """Set the style for all figures of a notebook, and store them as SVG; call it once, after the imports.

    Example:
        >>> with plt.rc_context():
        ...     use_style()
        ...     plt.rcParams["svg.hashsalt"]
        'icl-nb'
    """
    if "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
        plt.switch_backend(plt.get_backend())  # which would ask for PNG when the first figure is drawn
        for formatter in shell.display_formatter.formatters.values():
            formatter.pop(Figure, None)
        shell.display_formatter.mimebundle_formatter.for_type(Figure, fit.bundle)
    plt.rcParams.update(
        {
            "figure.figsize": (7.2, 3.6),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.prop_cycle": cycler(color=SERIES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "axes.formatter.min_exponent": 4,
            "font.size": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "image.cmap": "RdBu_r",
            "svg.hashsalt": "icl-nb",
        }
    )


def band(ax: Axes, x, mean, error, *, width: float = 1.96, **style) -> None:
    """A line with a band of `width` standard errors about it; `x`, `mean` and `error` are `(N,)`.

    Arguments:
        ax: to draw on.
        x: `(N,)`.
        mean: likewise.
        error: standard errors, likewise.
        width: of the band, in standard errors on either side.
        style: of the line.

    Example:
        >>> _, ax = plt.subplots()
        >>> band(ax, [0, 1], [1.0, 2.0], [0.1, 0.1])
        >>> plt.close()
    """
    x, mean, error = (np.asarray(values, dtype=float) for values in (x, mean, error))
    (line,) = ax.plot(x, mean, **style)
    ax.fill_between(x, mean - width * error, mean + width * error, color=line.get_color(), alpha=0.18, linewidth=0)


def label_lines(ax: Axes) -> None:
    """Let the lines of a panel carry their names at their right ends, in their colours, in place of a legend.

    The names are written when the figure is laid out (`icl_nb.figures.fit`), for a page and for a phone, and lie below
    each other where lines end close together. Where there is no room for that, there is a legend after all.

    Arguments:
        ax: whose lines.

    Example:
        >>> _, ax = plt.subplots()
        >>> _ = ax.plot([0, 1], label="model")
        >>> label_lines(ax)
        >>> plt.close()
    """
    fit.names_at_ends(ax)


def letter(fig: Figure) -> None:
    """Letters (a), (b), ... before the titles of a figure's panels, in the order of reading.

    Captions name panels by them: what lies at the right on a wide page lies below on a phone.

    >>> fig, axes = plt.subplots(1, 2)
    >>> _ = axes[1].set_title("after", loc="left")
    >>> letter(fig)
    >>> [ax.get_title(loc="left") for ax in axes]
    ['(a)', '(b) after']

    Arguments:
        fig: whose panels.
    """
    for number, ax in enumerate(ax for ax in fig.axes if not hasattr(ax, "_colorbar")):
        ax.set_title(f"({chr(ord('a') + number)}) {ax.get_title(loc='left')}".strip(), loc="left")


def matrix(ax: Axes, weights, n_features: int, *, limit: float | None = None, title: str = "") -> None:
    """A weight matrix `(D, D)` in red (positive) and blue, its feature and label blocks parted by lines.

    Arguments:
        ax: to draw on.
        weights: `(D, D)`.
        n_features: d, where the blocks part.
        limit: where the colours end; by default at the largest weight.
        title: above it.

    Example:
        >>> _, ax = plt.subplots()
        >>> matrix(ax, np.eye(8), 5)
        >>> plt.close()
    """
    weights = np.asarray(weights, dtype=float)
    limit = limit or abs(weights).max() or 1.0
    ax.imshow(weights, vmin=-limit, vmax=limit)
    for place in (ax.axhline, ax.axvline):
        place(n_features - 0.5, color="#444444", linewidth=0.8)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)


def points(ax: Axes, x, y, **style) -> None:
    """Labelled points of the plane, `x (n, 2)` and `y (n,)`: one colour and one shape a class, grey where -1.

    Arguments:
        ax: to draw on.
        x: `(n, 2)`.
        y: `(n,)`, -1 for an unlabelled point.
        style: of the marks.

    Example:
        >>> _, ax = plt.subplots()
        >>> points(ax, [[0.0, 0.0], [1.0, 1.0]], [0, -1])
        >>> plt.close()
    """
    x, y = np.asarray(x), np.asarray(y)
    style: dict[str, Any] = {"s": 34, "edgecolor": "white", "linewidth": 0.7} | style
    for label in np.unique(y):
        colour, marker = ("#BBBBBB", "o") if label < 0 else (CLASSES[label % 8], MARKERS[label % 8])
        ax.scatter(*x[y == label].T, color=colour, marker=marker, **style)


def regions(ax: Axes, probabilities, extent: float) -> None:
    """Class probabilities over a square of the plane, `(G, G, K)`, as class colours that cover as they are certain.

    Arguments:
        ax: to draw on.
        probabilities: on a grid, `(G, G, K)`.
        extent: half the side of the square.

    Example:
        >>> _, ax = plt.subplots()
        >>> regions(ax, np.full((2, 2, 3), 1 / 3), 3.0)
        >>> plt.close()
    """
    probabilities = np.asarray(probabilities)
    colours = np.array([to_rgb(CLASSES[k % 8]) for k in range(probabilities.shape[-1])])
    cover = 0.45 * probabilities.max(-1, keepdims=True)
    mixed = np.concatenate([probabilities @ colours, cover], -1)
    ax.imshow(mixed, origin="lower", extent=(-extent, extent, -extent, extent), interpolation="bilinear")
    ax.grid(visible=False)


def scalar_table(ax: Axes, rows, *, notes: str = "", limit: float = 3.0) -> None:
    """A table of scalars by layer as coloured cells with their numbers, the last gamma, which is idle, left out.

    Arguments:
        ax: to draw on.
        rows: alpha, beta, gamma, delta of each layer, `(L, 4)`.
        notes: a letter for each layer, written at its right.
        limit: where the colours end.

    Example:
        >>> _, ax = plt.subplots()
        >>> scalar_table(ax, [[1.0, 2.0, -0.5, 0.5], [0.0, 1.0, 0.0, 1.0]])
        >>> plt.close()
    """
    rows = np.array(rows, dtype=float)
    rows[-1, 2] = 0
    ax.imshow(rows, vmin=-limit, vmax=limit, aspect="auto")
    for (level, place), value in np.ndenumerate(rows):
        if (level, place) != (len(rows) - 1, 2):
            shade = "white" if abs(value) > 2 / 3 * limit else "black"
            ax.text(place, level, f"{value:.1f}", ha="center", va="center", fontsize=7, color=shade)
    for level, letter in enumerate(notes):
        ax.text(3.6, level, letter, va="center", fontsize=9, fontweight="bold")
    greek = [rf"$\{name}$" for name in ("alpha", "beta", "gamma", "delta")]
    ax.set(xticks=range(4), xticklabels=greek, yticks=range(len(rows)))
    ax.grid(visible=False)


def flow(axes: np.ndarray, tokens, y, levels: list[int]) -> None:
    """One task of the plane on its way through the layers: features above, label blocks below, the query a star.

    Arguments:
        axes: `(2, len(levels))`.
        tokens: of one task with d = 2 and K = 3 and one query, before the first and after each layer, `(L + 1, N, 5)`.
        y: labels of the context, `(N - 1,)`.
        levels: which of the L + 1 to draw.

    Example:
        >>> _, axes = plt.subplots(2, 2)
        >>> flow(axes, np.arange(30).reshape(2, 3, 5), [0, 1], [0, 1])
        >>> plt.close()
    """
    tokens, y = np.asarray(tokens), np.asarray(y)
    for column, level in enumerate(levels):
        for row, place in enumerate((tokens[level, :, :2], tokens[level, :, 2:] @ CORNERS)):
            ax = axes[row, column]
            points(ax, place[:-1], y)
            ax.scatter(*place[-1], marker="*", s=190, color="black", edgecolor="white", zorder=5)
            limit = 1.15 * abs(place).max()
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[0], yticks=[0], xticklabels=[], yticklabels=[])
        axes[0, column].set_title("input" if level == 0 else f"after layer {level}")
    axes[0, 0].set_ylabel("features x")
    axes[1, 0].set_ylabel("label blocks u")
