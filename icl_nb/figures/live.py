"""What pictures that live in the page have in common: how they stand in HTML, and as a widget where a kernel runs.

Their JavaScript lies in the folder `js`: `base.js` has what all share, `live.js` knobs, films and charts, and each
other file one picture. A page carries the parts that it needs as text.
"""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

# Which files make up the module of a picture, in order. The explorer is three kinds in one.
PARTS = {
    **dict.fromkeys(("recursion", "sectors", "head"), ("recursion", "base", "explorer")),
    **{kind: ("base", "live", kind) for kind in ("averaging", "tilt", "drift", "counting", "induction")},
}

# The picture, the numbers, the module as text, and what puts them together: no request, no id, and no other script.
_PAGE = """\
<div class="icl-explorer">STILL<noscript><p>Moving it needs JavaScript.</p></noscript></div>
<script type="application/json">DATA</script>
<script type="text/plain">MODULE</script>
<script>(() => {
const module = document.currentScript.previousElementSibling, data = module.previousElementSibling;
const address = URL.createObjectURL(new Blob([module.textContent], {type: "text/javascript"}));
import(address).then(({run}) => run(data.previousElementSibling, JSON.parse(data.textContent)));
})();</script>
"""


class Live:
    """A picture that the reader moves: HTML that stands by itself, and where a kernel runs a widget as well.

    Made by the functions of `icl_nb.figures.pictures`, and by `Explorer`. `widget.state` holds what the reader did, and
    setting it moves the picture.

    Arguments:
        kind: which picture, one of `PARTS`.
        state: what the reader can change, and where it starts.
        given: what stays.
        still: the picture without JavaScript, as SVG.
        about: what `repr` says of it.

    Raises:
        ValueError: there is no such kind.

    Example:
        >>> picture = Live("tilt", {"alpha": 1.0}, {"noise": []}, "<svg></svg>", "no points")
        >>> picture
        Live(tilt, no points)
        >>> picture.to_html().startswith('<div class="icl-explorer"><svg>')
        True
    """

    def __init__(self, kind: str, state: dict, given: dict, still: str, about: str):
        if kind not in PARTS:
            raise ValueError(f"kind={kind!r}; it must be one of {', '.join(PARTS)}")
        self.kind, self.given, self.about, self._drawn = kind, given, about, still
        self.state: dict[str, Any] = state

    @property
    def data(self) -> dict:
        """All that the page is given: the kind, what stays, and the state to start from."""
        return {"kind": self.kind, "state": self.state, "given": self.given}

    def to_html(self) -> str:
        """The picture as HTML that stands by itself: it is still where there is no JavaScript."""
        fields = {
            "STILL": self._still(),
            "DATA": dumps(self.data),
            "MODULE": module(self.kind),
        }
        return re.sub(r"\b(?:STILL|DATA|MODULE)\b", lambda found: fields[found.group()], _PAGE)

    @property
    def widget(self):
        """The same as a widget, made when it is first asked for; what it holds is linked both ways."""
        if not hasattr(self, "_widget"):
            self._widget = _widget_class(PARTS[self.kind])(**json.loads(dumps(self.data)))
        return self._widget

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {"text/plain": repr(self), "text/html": self.to_html()}
        if not _in_kernel():
            return bundle
        data, metadata = self.widget._repr_mimebundle_()
        return {**data, **bundle}, metadata

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}, {self.about})"

    def _still(self) -> str:
        return self._drawn


class Fixed(list):
    """Numbers of one array, which are written with so many decimals."""

    def __init__(self, values, decimals: int = 6):
        super().__init__(np.asarray(values, dtype=float).tolist() if np.ndim(values) else [float(values)])
        self.decimals = decimals


def dumps(data) -> str:
    """JSON without blanks, in which no text can end the script around it.

    >>> dumps({"a": Fixed([1 / 3], 3), "b": "</script>"})
    '{"a":[0.333],"b":"\\\\u003c/script>"}'
    """

    def write(value) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(key)}:{write(part)}" for key, part in value.items()) + "}"
        if isinstance(value, Fixed):
            return fixed(list(value), value.decimals)
        return json.dumps(value, separators=(",", ":"))

    def fixed(value, decimals: int) -> str:
        if isinstance(value, list):
            return f"[{','.join(fixed(part, decimals) for part in value)}]"
        return f"{value:.{decimals}f}"

    return write(data).replace("<", "\\u003c")


@cache
def module(kind: str = "recursion") -> str:
    """The JavaScript of a kind of picture, as text."""
    folder = files("icl_nb.figures").joinpath("js")
    return "".join(folder.joinpath(f"{part}.js").read_text(encoding="utf-8") for part in PARTS[kind])


@cache
def _widget_class(parts: tuple[str, ...]):
    import anywidget
    import traitlets

    class LiveWidget(anywidget.AnyWidget):
        _esm = module(next(kind for kind in PARTS if PARTS[kind] == parts))
        kind = traitlets.Unicode().tag(sync=True)
        tables = traitlets.Dict().tag(sync=True)
        given = traitlets.Dict().tag(sync=True)
        state = traitlets.Dict().tag(sync=True)

    return LiveWidget


def _in_kernel() -> bool:
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
