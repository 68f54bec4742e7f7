"""Figures of chapters 1 to 6 that are more drawing than lesson: each takes what the chapter has measured."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from icl_nb.figures.style import (
    BROWN,
    CLASSES,
    COLOURS,
    GREY,
    MARKERS,
    NAMES,
    OLIVE,
    PURPLE,
    SKY,
    VERMILION,
    label_lines,
    points,
)

KINDS = {  # of methods, in the figure of chapter 5: colour and marker
    "recursion": (SKY, "o"),
    "memory": (PURPLE, "s"),
    "ordinary": (GREY, "D"),
}


DESCENTS = {"GD": (OLIVE, "-"), "normalised GD": (VERMILION, "-"), "Newton": (BROWN, "-")}


def kind_of(method: str) -> str:
    """Which of `KINDS` a shipped model is, by its name."""
    if method.startswith("ordinary"):
        return "ordinary"
    memories = ("copies2", "copies3", "memory", "imitation")
    return "memory" if method.startswith(memories) else "recursion"


def by_depth(axes, rows: list[dict]) -> None:
    """Accuracy and cross-entropy against depth: descents as lines with bands of two errors, models as points.

    Arguments:
        axes: two.
        rows: as `icl_nb.shipped.depth.stored` gives them.
    """
    written = ("imitation", "written")  # they did not start at random
    models = [row for row in rows if "heads" in row and row["method"] not in written]
    for ax, measure in zip(axes, ("accuracy", "cross_entropy"), strict=True):
        for name, (colour, style) in DESCENTS.items():
            found = [row for row in rows if row["method"] == name]
            depth, mean, error = (np.array([row[key] for row in found]) for key in ("depth", measure, f"{measure}_se"))
            ax.plot(depth, mean, style, color=colour, label=name)
            ax.fill_between(depth, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.15, linewidth=0)
        for kind, (colour, marker) in KINDS.items():
            found = [row for row in models if kind_of(row["method"]) == kind]
            depth, mean, error = (np.array([row[key] for row in found]) for key in ("depth", measure, f"{measure}_se"))
            ax.errorbar(depth, mean, 2 * error, fmt=marker, color=colour, markersize=5, linewidth=1, label=kind)
        for name in ("bayes", "logistic", "lda"):
            row = next(row for row in rows if row["method"] == name)
            value = row[measure]
            if name == "bayes":  # on the first tasks alone: its lead over logistic regression is what it measures
                value = next(r for r in rows if r["method"] == "logistic")[measure] + row[f"minus_{measure}"]
            ax.axhline(value, color=COLOURS[name], linestyle="--", linewidth=1)
            place = {"bayes": 2, "logistic": -2, "lda": 2}[name] * (1 if measure == "accuracy" else -1)
            ax.annotate(
                NAMES[name],
                (24.6, value),
                xytext=(0, place),
                textcoords="offset points",
                fontsize=8,
                color=COLOURS[name],
                ha="right",
                va="bottom" if place > 0 else "top",
            )
        ax.set(xlabel="layers, or steps", xticks=[1, 4, 8, 12, 16, 20, 24], xlim=(0.5, 24.7))
    axes[0].set(ylabel="accuracy", ylim=(0.80, 0.912))
    axes[1].set(ylabel="cross-entropy", ylim=(0.19, 0.46))
    axes[1].legend(fontsize=8, loc="upper right", ncols=2)  # above the line of LDA


def clouds(axes, x, u, y, after: list[tuple]) -> None:
    """What one layer does to a cloud of the plane: points before in grey, after in colour, arrows between.

    Arguments:
        axes: one for each layer.
        x: points, the context first and a query last, `(n + 1, 2)`.
        u: their labels, `(n + 1, 3)`; where they change a point is drawn as large as the change.
        y: classes of the context, `(n,)`.
        after: for each layer a title, and points and labels after it.
    """
    for ax, (title, moved, labels) in zip(axes, after, strict=True):
        style = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.004, "color": "#999999", "zorder": 0}
        ax.quiver(*x.T, *(moved - x).T, **style)
        points(ax, moved[:-1], y, s=22)
        front = (labels[-1] - u[-1]).argmax() if np.abs(labels[-1] - u[-1]).max() > 1e-9 else None
        colour = "black" if front is None else CLASSES[front]
        ax.scatter(*moved[-1], marker="*", s=230, color=colour, edgecolor="black", linewidth=1.0, zorder=5)
        ax.set(title=title, xticks=[0], yticks=[0], xticklabels=[], yticklabels=[], xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
        ax.set_aspect("equal")


def explained(fig, found: dict) -> None:
    """R^2 of each rival (rows) in each layer (columns), a panel a network, numbers in the cells.

    Arguments:
        fig: to draw on.
        found: by name, each an `Explanation`.
    """
    axes = fig.subplots(1, len(found), sharey=True)
    for ax, (name, explanation) in zip(axes, found.items(), strict=True):
        heat_map(ax, explanation.label.clip(0, 1), explanation.label, limit=(0, 1), cmap="viridis")
        layers = explanation.label.shape[1]
        ax.set(title=name, xlabel="layer", xticks=range(layers), xticklabels=range(1, layers + 1))
        ax.set_yticks(range(len(explanation.names)), explanation.names)


def heat_map(ax: Axes, colours, values=None, *, limit=None, cmap=None, fontsize: float = 7.5) -> None:
    """A matrix as coloured cells with their numbers, without the leading 0; 1.00 reads "1", what is below 0 "<0".

    Arguments:
        ax: to draw on.
        colours: `(rows, columns)`.
        values: the numbers, where they are not the colours.
        limit: ends of the colours.
        cmap: colour map.
        fontsize: of the numbers.
    """
    colours = np.asarray(colours, dtype=float)
    low, high = limit or (colours.min(), colours.max())
    ax.imshow(colours, vmin=low, vmax=high, cmap=cmap, aspect="auto")
    for (row, column), value in np.ndenumerate(colours if values is None else np.asarray(values)):
        shown = "<0" if value <= -0.005 else "1" if f"{value:.2f}" == "1.00" else f"{value:.2f}".replace("0.", ".")
        light = (colours[row, column] - low) / (high - low) < 0.6
        ax.text(column, row, shown, ha="center", va="center", fontsize=fontsize, color="white" if light else "black")
    ax.grid(visible=False)


def coordinate_map(ax: Axes, values, idle, names, *, limit: tuple[float, float]):
    """Coordinates of M and V (columns) by layers (rows) in blue, hatched where they do nothing; gives the picture.

    Arguments:
        ax: to draw on.
        values: `(L, 2 C)`.
        idle: of the same shape, True where a coordinate does nothing.
        names: of the C coordinates of a matrix.
        limit: ends of the colours.
    """
    values, idle = np.asarray(values), np.asarray(idle)
    picture = ax.imshow(np.ma.masked_where(idle, values), cmap="Blues", vmin=limit[0], vmax=limit[1], aspect="auto")
    for layer, column in np.argwhere(idle):
        corner = column - 0.5, layer - 0.5
        ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, hatch="////", edgecolor="#AAAAAA", linewidth=0))
    ax.axvline(len(names) - 0.5, color="#444444")
    ax.set_xticks(range(2 * len(names)), [f"{part} {name}" for part in "MV" for name in names], rotation=90, fontsize=8)
    ax.set_yticks(range(len(values)), [str(layer) for layer in range(1, len(values) + 1)])
    ax.set_ylabel("layer")
    ax.grid(visible=False)
    return picture


def postcard(ax: Axes, recursion, phases: dict[str, slice]) -> None:
    """The table of a recursion of one head as a coloured table, layers counted from 1, its phases at the right."""
    table = np.stack([recursion.table[name][:, 0] for name in ("alpha", "beta", "gamma", "delta")], -1)
    ax.imshow(table, vmin=-4, vmax=4, aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        shade = "white" if abs(value) > 2.5 else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=11, color=shade)
    for name, part in phases.items():
        ax.text(3.65, (part.start + part.stop - 1) / 2, name, va="center", fontsize=11, fontweight="bold")
        ax.axhline(part.stop - 0.5, color="white", linewidth=3)
    greek = [rf"$\{name}$" for name in ("alpha", "beta", "gamma", "delta")]
    ax.set(xticks=range(4), xticklabels=greek, yticks=range(len(table)), ylabel="layer")
    ax.set_yticklabels([str(layer) for layer in range(1, len(table) + 1)])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)


def through_phases(axes, measured: dict, parts: dict[str, slice], *, thick: str, large: str) -> None:
    """Four measures against layers passed, a line a model: the one of the story thick, its phases shaded.

    Arguments:
        axes: four.
        measured: by name, `(L + 1, 4)` at least.
        parts: the phases of `thick`.
        thick: name of the model of the story.
        large: name of the one that has no phases.
    """
    titles = ("condition number", "Fisher ratio", "accuracy, class sums", "accuracy, label block")
    for panel, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for name, values in measured.items():
            strong = name in (thick, large)
            style = {"linewidth": 2.8 if name == thick else 1.2, "alpha": 1 if strong else 0.5}
            ax.plot(values[:, panel], color=COLOURS["headline" if name == large else "equivariant"], **style)
        for part, shade in zip(parts.values(), ("#E8E8E8", "#CFCFCF", "#E8E8E8"), strict=True):
            ax.axvspan(part.start, part.stop, color=shade, zorder=0)
        ax.set(title=title, xlabel="layers passed", yscale="log" if panel < 2 else "linear")
        if panel < 2:
            ax.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
            ax.minorticks_off()


def taken_apart(axes, ablated: dict, yardsticks: dict, late: dict, *, large: str, chance: float) -> None:
    """Accuracy without a coupling, a phase or the order (left), and where the loop is stopped early (right).

    Arguments:
        axes: two.
        ablated: by model and row, accuracies of the tasks, `(B,)` tensors.
        yardsticks: accuracies by name.
        late: by model, accuracy after each layer.
        large: name of the model that is drawn apart from the others.
        chance: accuracy of class frequencies.
    """
    left, right = axes
    small = [name for name in ablated if name != large]
    rows = list(ablated[large])
    for place, row in enumerate(rows):
        values = [ablated[name][row].mean() for name in small]
        left.plot(values, [place - 0.13] * len(values), "o", color=COLOURS["equivariant"], alpha=0.5, markersize=5)
        left.plot(np.mean(values), place - 0.13, "|", color=COLOURS["equivariant"], markersize=13)
        one = ablated[large][row]
        error = 1.96 * one.std() / len(one) ** 0.5
        left.errorbar(one.mean(), place + 0.15, xerr=error, fmt="s", markersize=4, color=COLOURS["headline"])
    for name, value in yardsticks.items():
        left.axvline(value, color=COLOURS[name], linestyle="--", linewidth=1, label=NAMES[name])
    left.set_yticks(range(len(rows)), rows)
    left.invert_yaxis()
    left.set(xlabel="accuracy", xlim=(0, 1))
    left.legend(fontsize=7.5, loc="lower left")
    for name, values in late.items():
        style = {"linewidth": 2.4, "label": name} if name in ("four-4", large) else {"linewidth": 1, "alpha": 0.5}
        colour = COLOURS["headline" if name == large else "equivariant"]
        right.plot(range(1, len(values) + 1), values, "o-", color=colour, markersize=3, **style)
    right.axhline(chance, color=COLOURS["prior"], linestyle="--", linewidth=1)
    right.set(xlabel="layers kept", ylabel="accuracy", ylim=(0, 1))
    label_lines(right)


def attention_lines(ax: Axes, tokens, gaze) -> None:
    """Lines from the query, the last of `tokens (N, 2)`, as thick as its attention `(N - 1,)`."""
    for place, weight in zip(tokens[:-1], gaze / gaze.max(), strict=True):
        ends = np.stack([tokens[-1], place])
        ax.plot(*ends.T, color="black", alpha=0.5, linewidth=2.5 * weight, zorder=0)


def panels(count: int, width: float, height: float, **options):
    """A figure of some panels side by side, `(figure, axes)`."""
    return plt.subplots(1, count, figsize=(width, height), **options)


def drift(fig, x, found: dict) -> None:
    """Points of the plane before a layer (left) and after it (right), a row for each labelling, with class means.

    Arguments:
        fig: to draw on.
        x: points before, `(n, 2)`.
        found: by name: labels `(n,)`, points after, and separation before and after.
    """
    axes = fig.subplots(len(found), 2, sharex=True, sharey=True, squeeze=False)
    for row, (name, (y, after, pair)) in zip(axes, found.items(), strict=True):
        for ax, place, size, when in zip(row, (x, after), pair, ("before", "after"), strict=True):
            points(ax, place, y, s=24)
            centre = place.mean(0)
            for c in np.unique(y):
                mean = place[y == c].mean(0)
                ax.plot(*np.stack([centre, mean]).T, color="black", linewidth=1.4, zorder=4)
                ax.plot(*mean, marker=MARKERS[c], color=CLASSES[c], markeredgecolor="black", markersize=11, zorder=5)
            ax.set(title=f"{name}, {when}: separation {size:.2f}", xticks=[0], yticks=[0])
            ax.set(xticklabels=[], yticklabels=[])
