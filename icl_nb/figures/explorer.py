"""Pictures of the plane that the reader moves: they compute in the page, without a kernel.

The mathematics is `Recursion`, written again in JavaScript (`js/recursion.js`); a test holds the two against each other
in a browser.
"""

from html import escape
from typing import Any

import numpy as np

from icl_nb.figures.live import Fixed, Live
from icl_nb.figures.style import CLASSES
from icl_nb.recursion import SCALARS, Recursion

KINDS = ("recursion", "sectors", "head")
MOST_POINTS = 60

_SHAPES = ("M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "M-4.5,-4.5h9v9h-9z", "M0,-6L5.5,4.5H-5.5z")
_STAR = "M0,-11L3,-3.6L10.5,-3.4L4.6,1.4L6.5,8.9L0,4.6L-6.5,8.9L-4.6,1.4L-10.5,-3.4L-3,-3.6z"


class Explorer(Live):
    r"""A task of the plane to play with: drag its points, and see at once what a table of the recursion makes of them.

    In a page it needs no kernel. Where one runs, it is a widget: `explorer.widget.state` holds what the reader did, and
    setting it moves the picture. `kind` says which picture it is:

    - `recursion`: the answer at each place, the points and label blocks layer by layer, the attention of the chosen
      point, the belief by layer, the couplings of three groups of layers, and rivals beside it;
    - `sectors`: Bayes alone, exact for two and for three classes, with a label for each click;
    - `head`: one head of one layer, its four scalars, and an arrow for each point.

    Arguments:
        x: points, the query last, `(n + 1, 2)`; kept with two decimals, within -2.9 and 2.9.
        y: labels of the first n, `(n,)`.
        tables: name by name, the first one in front. None for `sectors`; for `head` one layer of one head.
        truth: class vectors `(K, 2)`, which label the points that a reader adds to `sectors`.
        kind: one of `KINDS`.
        n_classes: K, 2 or 3; the tables are used at it whatever they were trained for.
        alt: what the still picture shows, for those who cannot see it.

    Raises:
        ValueError: shapes, labels, tables or truth are not as above.

    Example:
        >>> table = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1})
        >>> explorer = Explorer([[1, 0], [0, 1], [-1, -1], [0.4, 0.2]], [0, 1, 2], {"mine": table}, alt="Three points.")
        >>> explorer
        Explorer(recursion, 3 points, 3 classes, tables: mine)
        >>> "<script" in explorer.to_html()
        True
    """

    def __init__(self, x, y, tables=None, *, truth=None, kind="recursion", n_classes=3, alt=""):
        x, y = np.asarray(x, dtype=float), np.asarray(y)
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r}; it must be one of {', '.join(KINDS)}")
        if n_classes not in (2, 3):
            raise ValueError(f"n_classes={n_classes!r}; the plane has room for 2 or 3")
        if y.ndim != 1 or not 1 <= len(y) <= MOST_POINTS or x.shape != (len(y) + 1, 2) or not np.isfinite(x).all():
            raise ValueError(
                f"x {x.shape}, y {y.shape}: they must be (n + 1, 2), finite, and (n,), 1 <= n <= {MOST_POINTS}"
            )
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= n_classes:
            raise ValueError(f"labels must be whole numbers in 0..{n_classes - 1}")
        tables = dict(tables or {})
        if bool(tables) == (kind == "sectors") or not all(isinstance(table, Recursion) for table in tables.values()):
            raise ValueError(f"{kind} takes {'no tables' if kind == 'sectors' else 'a Recursion at least, by name'}")
        if kind == "head" and [table.table.alpha.shape for table in tables.values()] != [(1, 1)]:
            raise ValueError("head takes one table, of one layer of one head")
        truth = np.zeros((n_classes, 2)) if truth is None else np.asarray(truth, dtype=float)
        if truth.shape != (n_classes, 2):
            raise ValueError(f"truth has shape {truth.shape}; it must be ({n_classes}, 2)")
        self.n_classes, self.tables, self.alt = n_classes, tables, alt
        points = np.clip(x, -2.9, 2.9).round(2) + 0.0
        depth = len(next(iter(tables.values())).table) if tables else 1
        factors = [[1.0] * 4] * 3
        if kind == "head":
            factors = [[round(float(tables[name].table[scalar][0, 0]), 2) for scalar in SCALARS] for name in tables] * 3
        state: dict[str, Any] = {
            "table": next(iter(tables), ""),
            "classes": n_classes,
            "layer": depth,
            "depth": depth,
            "beside": "none",
            "factors": factors,
            "query": points[-1].tolist(),
            "x": points[:-1].tolist(),
            "y": y.tolist(),
            "truth": truth.round(3).tolist(),
        }
        super().__init__(kind, state, {}, "", f"{len(y)} points")

    @property
    def data(self) -> dict:
        """All that the page is given: the kind, the tables with six decimals, and the state to start from."""
        tables = {}
        for name, table in self.tables.items():
            scalars = {scalar: Fixed(table.table[scalar]) for scalar in SCALARS}
            tables[name] = {"n_classes": self.n_classes, "scale": Fixed(table.scale), "table": scalars}
        return {"kind": self.kind, "state": self.state, "tables": tables}

    def __repr__(self) -> str:
        tables = f", tables: {', '.join(self.tables)}" if self.tables else ""
        return f"Explorer({self.kind}, {len(self.state['y'])} points, {self.n_classes} classes{tables})"

    def _still(self) -> str:
        """Points and query, and where there is a table what the query believes after each layer."""
        x, y = np.array([*self.state["x"], self.state["query"]]), self.state["y"]
        marks = []
        for (a, b), label in zip(x * [50, -50] + 150, [*y, -1], strict=True):
            shape, fill = (_STAR, "currentColor") if label < 0 else (_SHAPES[label], CLASSES[label])
            marks.append(f'<path d="{shape}" fill="{fill}" transform="translate({a:.1f} {b:.1f})"/>')
        bars = []
        if self.kind == "recursion":
            table = next(iter(self.tables.values()))
            table = Recursion(table.table, self.n_classes, table.scale)
            u = table.trajectory(x[None], np.array([y])).u[:, 0, -1]
            beliefs = np.exp([table.read_out(part) for part in u])
            beliefs /= beliefs.sum(-1, keepdims=True)
            width = 280 / len(beliefs)
            for level, belief in enumerate(beliefs):
                top = 40 + 220 * np.concatenate([[0], np.cumsum(belief)])
                bars += [
                    f'<path d="M{320 + level * width:.1f},{top[k]:.1f}h{width - 3:.1f}v{top[k + 1] - top[k]:.1f}'
                    f'h-{width - 3:.1f}z" fill="{CLASSES[k]}"/>'
                    for k in range(self.n_classes)
                ]
            bars.append('<text x="460" y="285" font-size="13" text-anchor="middle" fill="currentColor">'
                        "belief, before and after each layer</text>")  # fmt: skip
        wide = 610 if bars else 300
        return (
            f'<svg role="img" aria-label="{escape(self.alt)}" viewBox="0 0 {wide} 300" '
            f'style="width:100%;max-width:{wide}px;height:auto;display:block;color:inherit">'
            '<path d="M5,5h290v290h-290zM150,5v290M5,150h290" fill="none" stroke="currentColor" opacity="0.3"/>'
            f"{''.join(marks)}{''.join(bars)}</svg>"
        )
