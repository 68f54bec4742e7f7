"""Rows and columns that print as aligned text and stand in a page as a real table."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

# A cell that is read by its digits. A column of such cells, or of none, stands at the right; words stand at the left.
NUMERIC = re.compile(r"[-+±<>(]? *(?:\.?\d.*|inf|nan)|-|")
GAP = "   "


class Table:
    """Rows under the names of their columns; the first column names the rows.

    A terminal and nbval see aligned text, Jupyter and a page a real table, with the same cells.

    Arguments:
        columns: their names; `(group, name)` where neighbours share a heading. Text breaks a name where it has a line
            break, a page where it needs to.
        rows: of as many cells as there are columns. A string stays as it is, `None` prints as `-`.
        spec: how all other cells are formatted, such as `".3f"`, or a format for each column.
        title: a line above the table.

    Raises:
        ValueError: no columns; a row, or the formats, not as many as the columns; a value that its format cannot take.

    Source: own.

    Example:
        >>> rows = [("Bayes oracle", 0.9062, 40), ("nearest centroid", 0.81, None)]
        >>> Table(("", "accuracy", "points"), rows, ("", ".3f", "d"), "One table")
        One table
                           accuracy   points
        Bayes oracle          0.906       40
        nearest centroid      0.810        -
    """

    def __init__(
        self,
        columns: Sequence[str | tuple[str, str]],
        rows: Iterable[Sequence[object]],
        spec: str | Sequence[str] = "",
        title: str = "",
    ) -> None:
        heads = [("", column) if isinstance(column, str) else column for column in columns]
        specs = [spec] * len(heads) if isinstance(spec, str) else spec
        if not heads or len(specs) != len(heads):
            raise ValueError(f"{len(heads)} columns and {len(specs)} formats")
        self.groups, self.names = zip(*heads, strict=True)
        self.rows = [_formatted(row, specs) for row in rows]
        self.title = title
        numeric = [all(NUMERIC.fullmatch(cell) for cell in column) for column in zip(*self.rows, strict=True)]
        self.words = [True, *(not digits for digits in numeric[1:])] if self.rows else [True] * len(heads)

    def __repr__(self) -> str:
        names = [name.split("\n") for name in self.names]
        depth = max(map(len, names))
        columns = [
            [*[""] * (depth - len(name)), *name, *(row[place] for row in self.rows)] for place, name in enumerate(names)
        ]
        widths = [max(map(len, column)) for column in columns]
        above = []
        for group, places in self._spans():
            inner = sum(widths[place] for place in places) + len(GAP) * (len(places) - 1)
            widths[places[-1]] += max(0, len(group) - inner)
            above.append(group.ljust(inner))
        lines = [
            GAP.join(
                cell.ljust(width) if words else cell.rjust(width)
                for cell, width, words in zip(line, widths, self.words, strict=True)
            )
            for line in zip(*columns, strict=True)
        ]
        return "\n".join(line.rstrip() for line in [self.title, GAP.join(above), *lines] if line.strip())

    def _repr_html_(self) -> str:
        spans = self._spans() if any(self.groups) else ()
        groups = [_cell("th", group, True, f' colspan="{len(places)}" scope="colgroup"') for group, places in spans]
        names = map(_cell, ["th"] * len(self.names), self.names, self.words, [' scope="col"'] * len(self.names))
        body = [
            [_cell("th", row[0], True, ' scope="row"'), *map(_cell, ["td"] * (len(row) - 1), row[1:], self.words[1:])]
            for row in self.rows
        ]
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        head, body = "".join(map(_row, filter(None, (groups, list(names))))), "".join(map(_row, body))
        return f'<table class="icl-table">{title}<thead>{head}</thead><tbody>{body}</tbody></table>'

    def _spans(self) -> Iterator[tuple[str, list[int]]]:
        """Each heading that neighbouring columns share, and their places."""
        for group, places in groupby(range(len(self.groups)), self.groups.__getitem__):
            yield group, list(places)


def _formatted(row: Sequence[object], specs: Sequence[str]) -> list[str]:
    if len(row) != len(specs):
        raise ValueError(f"a row of {len(row)} cells in a table of {len(specs)} columns: {row!r}")
    try:
        return [
            cell if isinstance(cell, str) else "-" if cell is None else format(cell, spec)
            for cell, spec in zip(row, specs, strict=True)
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(f"the row {row!r} does not take the formats {list(specs)}: {error}") from error


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(kind: str, text: str, words: bool, attributes: str = "") -> str:
    side = ' class="words"' if words else ""
    if not text:  # a heading that says nothing is none, and has no scope
        kind, attributes = "td", re.sub(' scope="\\w+"', "", attributes)
    return f"<{kind}{side}{attributes}>{escape(' '.join(text.split()))}</{kind}>"
