"""Figures as SVG, fitted to the width of a page and laid out once more for a phone.

A cell draws one figure, as wide as it likes. What is stored is two pictures of it: a wide one, at most as wide as the
text of the book, and a narrow one, with its panels below each other. Both are shown as large as they are drawn, one
point of type as 4/3 px, so that no letter is smaller than 11 px in either.
"""

import io
import os
import pickle
import re
from itertools import pairwise
from math import lcm
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Annotation, Text
from matplotlib.ticker import AutoLocator, MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation

WIDE_KIND, NARROW_KIND = "image/svg+xml", "application/vnd.icl-nb.narrow+svg"
WIDE, NARROW = 7.3, 3.5  # inches of 96 px: what the pages leave of windows of 1280 and 390 px
LEAST = 8.3  # points of type, a little over 11 px
MANY = 1000  # points of a cloud that is drawn in pixels
DPI = 144
STILL = "still"  # starts the name of what lies on a picture of its own colours, and keeps its colour on a dark page

_FAMILY = "'DejaVu Sans', Verdana, sans-serif"
# What a reader of the file does not need: a preamble; in its tags the family at each word, line breaks, more decimals.
_PREAMBLE = r"\A.*?(?=<svg)|<metadata>.*?</metadata>\s*|<!--.*?-->\s*|^ +"
_SHORTER = (
    (r"(?<![\w.])-?\d+\.\d{3,}(?![\w.])", lambda found: _rounded(found)),
    (r" font-family: [^;\"]*;?|(?<=\"); ", ""),
    (r"\A<svg ", f'<svg font-family="{_FAMILY}" '),
    (r" ?\n(?=[MLCQz\"])|(?<=[MLCQ]) ", ""),
    (r"(?<=base64,)[^\"]*", lambda found: re.sub(r"\s", "", found.group())),
)
# No date, no version, no address: the same figure has the same bytes.
_NOTHING = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def bundle(fig: Figure, include=None, exclude=None) -> dict[str, str]:
    """Both pictures of a figure, by kind, as IPython asks for them; the figure stays as it is.

    Where the variable ICL_NB_FIGURES says "wide", as in tests, which compare no pictures, the narrow one is left out.

    Source: design decision of this package.
    """
    wide = {WIDE_KIND: to_svg(fitted(fig, WIDE))}
    if os.environ.get("ICL_NB_FIGURES") == "wide":
        return wide
    return wide | {NARROW_KIND: to_svg(fitted(fig, NARROW, fold=True))}


def to_svg(fig: Figure) -> str:
    """A figure as SVG whose letters are letters, with two decimals, and the same each time.

    >>> to_svg(Figure(figsize=(1, 1))).count("<path")
    1

    Source: design decision of this package.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "icl-nb"}):
        fig.savefig(stream, format="svg", dpi=DPI, metadata=_NOTHING)
    text = stream.getvalue()
    text = re.sub(_PREAMBLE, "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub("<[^>]*>", _shortened, text)  # in tags alone: what is written stays as it is


def _shortened(tag: re.Match) -> str:
    text = tag.group()
    for found, put in _SHORTER:
        text = re.sub(found, put, text)
    return text


def _rounded(found: re.Match) -> str:
    short = f"{float(found.group()):.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def fitted(fig: Figure, width: float, *, fold: bool = False) -> Figure:
    """A copy of a figure that is no wider than `width`, in inches, with type of 11 px at least.

    Names and numbers that would run into each other break, turn or give way, and a legend that covers a line goes
    below it. Where `fold` is true, panels that share a row go below each other: one in a row, two where there are more
    than four, three where they are small and have no numbers. A figure may say itself how many: `fig.columns = 2`.

    >>> from matplotlib.figure import Figure
    >>> fig = Figure(figsize=(9, 3), layout="constrained")
    >>> _ = fig.subplots(1, 2)
    >>> [int(ax.get_subplotspec().rowspan.start) for ax in fitted(fig, 3.5, fold=True).axes]
    [0, 1]

    Raises:
        ValueError: the width is not positive.

    Source: design decision of this package.
    """
    if not width > 0:
        raise ValueError(f"width={width!r}; it must be positive")
    fig = _copied(fig)
    before, height = fig.get_size_inches()
    width = min(before, width)
    if fold or _is_crowded(fig):
        fig.columns = getattr(fig, "columns", None if fold else 2)
        parts = fig.subfigs or [fig]
        bars = [_taken_off(ax._colorbar) for ax in fig.axes if hasattr(ax, "_colorbar")]
        shares = [part.bbox.height / fig.bbox.height * height for part in parts]
        heights = [_folded(part, before, width, share) for part, share in zip(parts, shares, strict=True)]
        if fig.subfigs:
            fig.subfigs[0]._subplotspec.get_gridspec().set_height_ratios(heights)
        height = sum(heights)
        for picture, options, label in bars:
            picture.axes.get_figure(root=False).colorbar(picture, label=label, **options)
    elif before > width:
        height *= (1 + width / before) / 2
    fig.set_size_inches(width, height)
    for ax in fig.axes:
        _count_in_whole_numbers(ax)
        if legend := ax.get_legend():
            legend.set_in_layout(False)  # one within a panel takes no room beside it
    for ax in fig.axes:
        if getattr(ax, "names_at_ends", False):
            _write_names(ax)
    changed = True
    while changed:  # what gives way changes the room beside it
        for text in fig.findobj(Text):
            text.set_fontsize(max(text.get_fontsize(), LEAST))
        fig.draw_without_rendering()
        changed = sum(_break_names(ax) for ax in fig.axes) > 0
        if not changed:
            changed = sum(_thin_ticks(ax) for ax in fig.axes) > 0
        if not changed:
            taller = [_free_legend(ax) for ax in fig.axes]
            changed = any(taller)
            fig.set_figheight(fig.get_figheight() + sum(taller))
    for number, ax in enumerate(fig.axes):
        _name_what_stays(ax, number)
        for cloud in ax.collections:
            if len(cloud.get_offsets()) > MANY:
                cloud.set_rasterized(True)
    return fig


def _copied(fig: Figure) -> Any:
    """A copy that pyplot does not know of."""
    manager, fig.canvas.manager = fig.canvas.manager, None
    try:
        return pickle.loads(pickle.dumps(fig))
    finally:
        fig.canvas.manager = manager


def _panels(part) -> list[Any]:
    return [ax for ax in part.axes if ax.get_subplotspec() is not None and not hasattr(ax, "_colorbar")]


def _taken_off(bar) -> tuple:
    """Remove a colour bar, whose room belongs to the old grid; gives what makes it again."""
    options = {"ax": bar.ax._colorbar_info["parents"], "shrink": bar.ax._colorbar_info["shrink"], "extend": bar.extend}
    if len(options["ax"]) > 1:
        options["location"] = "bottom"
    label = bar.ax.get_ylabel()
    bar.remove()
    return bar.mappable, options, label


def _is_small(ax: Any, width: float) -> bool:
    """Whether a panel is narrow and has no numbers at its axes."""
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels()] if ax.axison else []
    return width < 2.6 and not any(label.get_text() for label in labels)


def _is_crowded(fig: Any) -> bool:
    """Whether more than three panels with numbers of their own stand in one row."""
    panels = _panels(fig)
    own = [ax for ax in panels if any(label.get_text() for label in ax.get_yticklabels()) and ax.axison]
    shared = any(ax.get_shared_y_axes().joined(ax, panels[0]) for ax in panels[1:])
    return len({ax.get_subplotspec().rowspan.start for ax in panels}) == 1 and len(own) > 3 and not shared


def _folded(part, before: float, width: float, height: float) -> float:
    """Panels in a new grid; gives its height."""
    panels = {(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start): ax for ax in _panels(part)}
    if not panels:
        return height
    grid = next(iter(panels.values())).get_subplotspec().get_gridspec()
    tall = np.array(grid.get_height_ratios()) / sum(grid.get_height_ratios()) * height
    wide = np.array(grid.get_width_ratios()) / sum(grid.get_width_ratios()) * before
    small = {place: _is_small(ax, wide[place[1]]) for place, ax in panels.items()}
    rows = _rows(part, small, wide)
    kinds = [{small[place] for place in row} for row in rows]
    counts = [max(len(row) for row, other in zip(rows, kinds, strict=True) if other == kind) for kind in kinds]
    heights = [
        max(tall[line] * np.clip(width / count / wide[column], 0.72, 1) for line, column in row)
        for row, count in zip(rows, counts, strict=True)
    ]
    new = GridSpec(len(rows), lcm(*counts), figure=part, height_ratios=heights)
    first = {line: panels[line, min(column for at, column in panels if at == line)] for line, _ in panels}
    for number, (row, count) in enumerate(zip(rows, counts, strict=True)):
        span = new.ncols // count
        for column, place in enumerate(row):
            panels[place].set_subplotspec(new[number, span * column : span * (column + 1)])
            if column == 0:
                _give_numbers(panels[place], first[place[0]])
    return sum(heights)


def _rows(part, small: dict, wide) -> list[list]:
    """Which panels go into each row of the new grid; a block of columns keeps its rows below each other."""
    lines, columns = sorted({line for line, _ in small}), sorted({column for _, column in small})
    several = 3 if all(small.values()) else 2 if len(small) > 4 else 1
    several = part.get_figure(root=True).columns or several
    if len(lines) == 1 and len(set(small.values())) == 2:  # small ones share rows, others have their own
        rows, place = [], None
        for place in sorted(small):
            if rows and small[place] and small[rows[-1][-1]] and len(rows[-1]) < 3:
                rows[-1].append(place)
            else:
                rows.append([place])
        return rows
    if several == 1 and len(lines) > 1 and not _shares_numbers(part):
        return [[place] for place in sorted(small)]
    blocks = [columns[start : start + several] for start in range(0, len(columns), several)]
    return [[(line, c) for c in block if (line, c) in small] for block in blocks for line in lines]


def _shares_numbers(part) -> bool:
    """Whether upper panels leave the numbers of their axes to those below."""
    shown = [any(label.get_text() and label.get_visible() for label in ax.get_xticklabels()) for ax in _panels(part)]
    return any(shown) and not all(shown)


def _give_numbers(ax: Any, first: Any) -> None:
    """Numbers and name at the left of a panel that shared those of the first in its row."""
    if ax is not first and ax.get_shared_y_axes().joined(ax, first):
        ax.tick_params(labelleft=True)
        ax.yaxis.offsetText.set_visible(True)
        if not ax.get_ylabel():
            ax.set_ylabel(first.get_ylabel())


def _broken(text: Text, room: float, *, upright: bool = False) -> bool:
    """Break a text between words into lines no longer than `room`, in pixels; gives whether it changed."""
    before, side, lines = text.get_text(), "height" if upright else "width", []
    if not before or getattr(text.get_window_extent(), side) <= room:
        return False
    for word in re.findall(r"(?:\$[^$]*\$|\S)+(?: \S{1,2}(?!\S))?", text.get_text()):  # no letter alone on a line
        text.set_text(f"{lines[-1]} {word}" if lines else word)
        if lines and getattr(text.get_window_extent(), side) <= room:
            lines[-1] = text.get_text()
        else:
            lines.append(word)
    text.set_text("\n".join(lines))
    return text.get_text() != before


def _break_names(ax: Any) -> bool:
    """Names of a panel and of its axes in lines that fit it; gives whether any changed."""
    cell = ax.get_subplotspec()
    share = 0 if cell is None else cell.get_position(ax.figure).width
    room = max(ax.bbox.width, 0.6 * share * ax.figure.bbox.width)
    names = ax.title, ax._left_title, ax._right_title, ax.xaxis.label
    changed = [_broken(name, room) for name in names]
    changed.append(_broken(ax.yaxis.label, max(ax.bbox.height, 80), upright=True))
    labels, widest = ax.get_yticklabels() if ax.axison else [], 0.34 * ax.figure.bbox.width
    if sum(_broken(label, widest) for label in labels):
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
        pairs = [
            (upper.y0 + upper.y1 - lower.y0 - lower.y1, lower.height + upper.height) for lower, upper in pairwise(boxes)
        ]
        growth = max([0.0, *((needed + 2) / there - 1 for there, needed in pairs if there > 0)])
        fig = ax.get_figure(root=True)
        fig.set_figheight(fig.get_figheight() + growth * ax.bbox.height / fig.dpi)
        ax.set_yticks(ax.get_yticks(), [label.get_text() for label in labels])
        changed.append(True)
    return any(changed)


def _count_in_whole_numbers(ax: Any) -> None:
    """No half ticks on an axis on which all that is drawn lies at whole numbers, as layers and steps do."""
    places = [line.get_xydata() for line in ax.lines if line.get_transform() == ax.transData]
    places += [cloud.get_offsets() for cloud in ax.collections if cloud.get_offset_transform() == ax.transData]
    places = [np.ma.filled(part, np.nan) for part in places if len(part)]
    if not places:
        return
    for axis, values in ((ax.xaxis, np.concatenate(places)[:, 0]), (ax.yaxis, np.concatenate(places)[:, 1])):
        values = values[np.isfinite(values)]
        whole = len(values) > 1 and (values == np.round(values)).all() and np.ptp(values) > 1
        if whole and isinstance(axis.get_major_locator(), AutoLocator):
            axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def names_at_ends(ax: Any) -> None:
    """Ask for the names of lines at their ends, which `fitted` writes; see `icl_nb.figures.style.label_lines`."""
    ax.names_at_ends = True


def _write_names(ax: Any) -> None:
    """Names of lines at their right ends, one below the other where they would meet; or a legend."""
    fig, lines = ax.get_figure(root=True), [line for line in ax.lines if not line.get_label().startswith("_")]
    names: list[Annotation] = []
    fig.draw_without_rendering()
    for line in lines:
        (x, y), level = _last(line), line.get_transform() == ax.get_yaxis_transform()  # drawn over all of the width
        kin = [other for other in ax.lines if other.get_label().startswith("_") and _looks(other) == _looks(line)]
        if not level and kin:  # several lines of one name: it stands in their middle
            heights = [ax.transData.transform(_last(other))[1] for other in (line, *kin)]
            y = ax.transData.inverted().transform((0, np.mean(heights)))[1]
        end, unit = (x, y), "data"
        if level or ax.transData.transform(end)[0] > ax.bbox.x0 + 0.9 * ax.bbox.width:
            end, unit = (1.0, y), ax.get_yaxis_transform()
        style = {"va": "center", "ha": "left", "fontsize": LEAST, "color": _written(line.get_color())}
        names.append(ax.annotate(line.get_label(), end, (5, 0), unit, "offset points", annotation_clip=False, **style))
    cell = ax.get_subplotspec()
    room = 0.36 * fig.bbox.width * (1 if cell is None else cell.get_position(fig).width)
    for name in names:
        _broken(name, room)
    fig.draw_without_rendering()  # the names have taken their room
    names.sort(key=lambda name: _end(name)[1])
    needed = np.array([name.get_window_extent().height for name in names])
    wished = np.array([_end(name)[1] for name in names])
    middles, most = _spread(wished, needed), 3 * needed.min()
    low, high = ax.bbox.y0 - needed[0], ax.bbox.y1 + needed[-1]
    if abs(middles - wished).max() > most or middles[0] < low or middles[-1] > high:
        for name in names:
            name.remove()
        ax.legend(lines, [line.get_label() for line in lines]).set_in_layout(False)
        return
    for name, middle, wish in zip(names, middles, wished, strict=True):
        name.set_position((5, (middle - wish) * 72 / fig.dpi))


def _last(line: Any) -> tuple[float, float]:
    x, y = (np.asarray(part, float) for part in line.get_data())
    place = np.flatnonzero(np.isfinite(x) & np.isfinite(y))[-1]
    return x[place], y[place]


def _looks(line: Any) -> tuple:
    return to_hex(line.get_color()), line.get_linestyle(), line.get_transform()


def _end(name: Any) -> np.ndarray:
    unit = name.xycoords
    return (name.axes.transData if unit == "data" else unit).transform(name.xy)


def _spread(wished: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Middles of blocks of the heights `needed` that do not meet, as near to those wished, in rising order, as may be.

    >>> _spread(np.array([0.0, 0.0, 9.0]), np.array([2.0, 2.0, 2.0])).tolist()
    [-1.0, 1.0, 9.0]
    """
    groups: list[list[int]] = []
    middles = np.array(wished, dtype=float)
    for block in range(len(wished)):
        groups.append([block])
        while True:
            group = groups[-1]
            offsets = np.cumsum(needed[group]) - needed[group] / 2
            middles[group] = offsets + np.mean(wished[group] - offsets)
            if len(groups) == 1:
                break
            before = groups[-2][-1]
            if middles[before] + needed[before] / 2 <= middles[group[0]] - needed[group[0]] / 2 + 1e-9:
                break
            groups[-2:] = [groups[-2] + group]
    return middles


def _written(colour: Any) -> str:
    """A colour of a line as one of type: pale ones darker, for black on white is what is drawn."""
    red, green, blue = to_rgb(colour)
    share = min(1.0, 0.45 / max(0.2126 * red + 0.7152 * green + 0.0722 * blue, 1e-9))
    return to_hex((share * red, share * green, share * blue))


def _collide(labels: list[Text], gap: float) -> bool:
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    return any(right.x0 < left.x1 + gap for left, right in pairwise(boxes))


def _thin_ticks(ax: Any) -> bool:
    """Numbers below an axis that run into each other: every second one goes; words turn. Gives whether it changed."""
    labels = ax.get_xticklabels() if ax.axison else []
    there = [place for place, label in enumerate(labels) if label.get_text() and label.get_visible()]
    shown = [labels[place] for place in there]
    if any(label.get_rotation() for label in shown) or not _collide(shown, 0.4 * LEAST * ax.figure.dpi / 72):
        return False
    ticks, texts = ax.get_xticks(), [label.get_text() for label in labels]
    if any(re.search(r"[^\W\d_]{2}", text) for text in texts if "$" not in text):
        ax.set_xticks(ticks, texts, rotation=40, ha="right", rotation_mode="anchor")
    else:
        kept = there[(len(there) - 1) % 2 :: 2]
        ax.set_xticks(ticks, [text if place in kept else "" for place, text in enumerate(texts)])
    return True


def _covers(legend: Any, ax: Any) -> bool:
    """Whether a legend lies on lines, points, bars or words of its panel, or outside of it."""
    box, frame = legend.get_window_extent(), ax.bbox.padded(1)
    outside = not (frame.contains(*box.min) and frame.contains(*box.max))
    bars, lines, points, *_ = legend._auto_legend_data(ax.figure._get_renderer())
    words = [text.get_window_extent() for text in ax.texts if text.get_text()]
    bars = [bar for bar in bars if bar.height < 0.98 * ax.bbox.height and bar.width < 0.98 * ax.bbox.width]
    return bool(
        outside
        or box.count_overlaps([*bars, *words])
        or box.count_contains(np.reshape(points, (-1, 2)))
        or any(line.intersects_bbox(box, filled=False) for line in lines)
    )


def _free_legend(ax: Any) -> float:
    """A legend that covers something moves to a free place, or below its panel; gives the height that it then takes."""
    legend = ax.get_legend()
    if legend is None or getattr(legend, "below", False) or not _covers(legend, ax):
        return 0.0
    legend.set_loc("best")
    if not _covers(legend, ax):
        return 0.0
    handles, labels = ax.get_legend_handles_labels()
    texts = [text.get_text() for text in legend.get_texts()]
    if labels != texts:
        handles, labels = legend.legend_handles, texts
    dpi, lines = ax.figure.dpi, len(labels)
    style = {"fontsize": legend.get_texts()[0].get_fontsize(), "columnspacing": 1.2, "borderaxespad": 0}
    style["handlelength"] = min(legend.handlelength, 2.4)
    panels = _panels(ax.figure)
    if len(panels) == 1 or sum(other.get_legend_handles_labels()[1] == labels for other in panels) > 1:
        legend.remove()  # it names what is in all panels, and stands below them
        room, owner, place = 0.97 * ax.figure.bbox.width, ax.figure, {"loc": "outside lower left"}
    else:
        lowest = min(box.y0 for box in (ax.xaxis.get_tightbbox(), ax.bbox) if box is not None)
        at = ax.transAxes + ScaledTranslation(0, (lowest - ax.bbox.y0) / dpi - 0.03, ax.figure.dpi_scale_trans)
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": at}
        room, owner = ax.bbox.width, ax
    for columns in range(min(lines, 4), 0, -1):
        legend = owner.legend(handles, labels, ncols=columns, **place, **style)
        if columns == 1 or legend.get_window_extent().width <= room:
            break
        legend.remove()
    legend.below = True
    return legend.get_window_extent().height / dpi


def _name_what_stays(ax: Any, number: int) -> None:
    """Words, lines and marks on a picture of its own colours are named, for they must not follow the page's."""
    pictures = [image.get_window_extent() for image in ax.images if _is_opaque(image)]
    if not pictures:
        return
    whole = Bbox.union(pictures)
    drawn = [*ax.texts, *ax.lines, *ax.patches, *ax.collections]
    for place, artist in enumerate(drawn):
        box = artist.get_window_extent() if isinstance(artist, Text) else whole
        if whole.contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2):
            artist.set_gid(f"{STILL}-{number}-{place}")
    ax.patch.set_gid(f"{STILL}-{number}")


def _is_opaque(image) -> bool:
    values = image.get_array()
    return not (values.ndim == 3 and values.shape[-1] == 4)
