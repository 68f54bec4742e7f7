"""How a notebook's new output is held against the stored one: a pytest plugin that hooks into nbval.

Words, whole numbers and shapes must come out as they are stored. A decimal may differ by one unit in its last printed
place and by no more, so that the digits which an author prints are the tolerance which a reader sees.
"""

import os
import re
from decimal import Decimal

from nbval.plugin import IPyNbCell

# A point, digits behind it, perhaps an exponent; its sign is a word. Not within a name or a version such as 3.11.2.
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+(?:e[+-]?\d+)?(?!\d|\.\d)")
# Pictures are not compared: the numbers behind them are, which each figure's cell prints.
PICTURES = ("image/svg+xml", "application/vnd.icl-nb.narrow+svg")
PADDING = re.compile(r" +([-+(]?)$")


class Exact(str):
    """A text that equals itself alone."""

    __slots__ = ()


class Printed(Exact):
    """A text that also equals another where only last places of decimals differ, by one unit."""

    __slots__ = ()
    __hash__ = None  # equality is not transitive, so that no hash can go with it

    def __eq__(self, other: object) -> bool:
        ours, theirs = DECIMAL.findall(self), DECIMAL.findall(other)
        return _words(self) == _words(other) and all(map(near, ours, theirs))

    def __ne__(self, other: object) -> bool:
        return not self == other


def _words(text: str) -> list[str]:
    """What stands between the decimals. Blanks beside them pad a column, and give way where -9.99 becomes -10.00."""
    return [PADDING.sub(r"\1", words).lstrip(" ") for words in DECIMAL.split(text)]


def near(one: str, other: str) -> bool:
    """Whether two decimals have the same places and differ by one unit in the last at most.

    >>> near("0.874", "0.875"), near("0.874", "0.876"), near("0.9", "0.90"), near("9.99e-16", "1.00e-15")
    (True, False, False, True)
    """
    places = {len(number.partition("e")[0].partition(".")[2]) for number in (one, other)}
    a, b = Decimal(one), Decimal(other)
    units = [Decimal(1).scaleb(number.as_tuple().exponent) for number in (a, b)]
    return len(places) == 1 and abs(a - b) <= min(units)  # of 9.99e-16 and 1.00e-15 the finer unit


def changes(old: Exact, new: Exact) -> list[str]:
    """Each line of a text that is not as before, old and new."""
    old_lines, new_lines = old.splitlines(), new.splitlines()
    if len(old_lines) != len(new_lines):
        return [f"{len(old_lines)} lines became {len(new_lines)}", f"  stored: {old!r}", f"  now:    {new!r}"]
    found = []
    for number, (before, after) in enumerate(zip(old_lines, new_lines, strict=True), 1):
        if type(old)(before) != type(new)(after):
            found += [f"line {number}", f"  stored: {before}", f"  now:    {after}"]
    return found


def pytest_addoption(parser) -> None:
    parser.getgroup("nbval").addoption(
        "--nbval-exact", action="store_true", help="let no decimal differ, not even by one unit in its last place"
    )


def pytest_configure(config) -> None:
    """nbval sanitizes both texts and then asks whether they are unequal; it is given texts that know the rule.

    It knows of PNG that it is a picture, and is told so of SVG.
    """
    os.environ.setdefault("ICL_NB_FIGURES", "wide")  # kernels inherit it; see icl_nb.figures.fit.bundle
    if getattr(IPyNbCell.sanitize, "knows_decimals", False):
        return
    sanitize = IPyNbCell.sanitize

    def sanitize_and_mark(cell, text):
        text = sanitize(cell, text)
        mark = Exact if cell.config.option.nbval_exact else Printed
        return mark(text) if isinstance(text, str) else text

    compare = IPyNbCell.compare_outputs

    def compare_all_but_pictures(cell, test, ref, skip_compare=None):
        return compare(cell, test, ref, (*(skip_compare or cell.parent.skip_compare), *PICTURES))

    sanitize_and_mark.knows_decimals = True
    IPyNbCell.sanitize, IPyNbCell.compare_outputs = sanitize_and_mark, compare_all_but_pictures


def pytest_assertrepr_compare(config, op: str, left: object, right: object) -> list[str] | None:
    """Names the lines that differ and no others. Of a failed `assert` in a unit test pytest says more itself."""
    if op == "==" and isinstance(left, Exact) and isinstance(right, Exact):
        return changes(left, right)
    return None
