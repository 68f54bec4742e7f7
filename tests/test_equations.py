"""Each numbered equation that the package computes names its function, linked, in a paragraph beside it."""

import pkgutil
import re
from pathlib import Path

import nbformat
import pytest

CHAPTERS = sorted((Path(__file__).parent.parent / "book").glob("[0-9]*.ipynb"))
NUMBERED = re.compile(r"\$\$\n.+?\n\$\$ \(([\w-]+)\)", re.DOTALL)
LINK = re.compile(r"\{py:(?:func|class|meth)\}`~?([\w.]+)`")
# Those that nobody calls: a fraction, a derivation or a conjecture, whose cells compute what is asked of them.
BY_HAND = {"noise-factor", "effective-points", "signal-noise", "weak-information", "feature-vector"}


def beside(source: str) -> dict[str, list[str]]:
    """The functions that are linked in the paragraphs before and after each numbered equation of a cell."""
    found = {}
    for equation in NUMBERED.finditer(source):
        before = source[: equation.start()].rstrip().rpartition("\n\n")[2]
        after = source[equation.end() :].strip().partition("\n\n")[0]
        found[equation[1]] = LINK.findall(before + after)
    return found


def equations(path: Path) -> dict[str, list[str]]:
    cells = (cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    return {label: links for source in cells for label, links in beside(source).items()}


EQUATIONS = {label: links for path in CHAPTERS for label, links in equations(path).items()}


@pytest.mark.parametrize("label", sorted(EQUATIONS.keys() - BY_HAND))
def test_it_names_its_function(label):
    assert EQUATIONS[label], f"({label}) names no function; link one beside it, or say in BY_HAND that there is none"
    for name in EQUATIONS[label]:
        pkgutil.resolve_name(name)  # an error where there is no such thing


def test_what_is_done_by_hand_is_an_equation():
    assert EQUATIONS.keys() >= BY_HAND and len(EQUATIONS) > 30


def test_an_equation_without_a_function_is_seen():
    source = "See {py:func}`f.h`.\n\nSo\n\n$$\nx = 1\n$$ (one)\n\nand\n\n$$\ny = 2\n$$ (two)\n\nby {py:func}`f.g`."
    assert beside(source) == {"one": [], "two": ["f.g"]}
