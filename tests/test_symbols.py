"""Each letter that stands in a formula of Part I stands on the symbols page too, for all chapters or for its own."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PART_I = [ROOT / f"{chapter['file']}.ipynb" for chapter in TOC["parts"][0]["chapters"]]
PAGE = (ROOT / "book" / "symbols.md").read_text(encoding="utf-8")

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\$)([^$`]+?)(?<!\\)\$(?!\$)", re.DOTALL)
CODE = re.compile(r"^```+\{code.*?^```+$|(?<!`)`[^`\n]+`(?!`)", re.DOTALL | re.MULTILINE)
# Words inside formulas, and what names a place or a shape.
WORDS = re.compile(r"\\(?:text\w*|math(?:rm|it)|operatorname\*?|begin|end|label|tag|ref|eqref)\s*\{[^{}]*\}")
# A letter in another type is another letter.
TYPE = re.compile(r"\\math(cal|bb|frak|bf)\s*(?:\{\s*([A-Za-z])\s*\}|([A-Za-z]))")
GREEK = re.compile(
    r"alpha|beta|gamma|delta|(var)?epsilon|zeta|eta|(var)?theta|iota|kappa|lambda|mu|nu|xi|(var)?pi|(var)?rho|(var)?sigma|"
    r"tau|upsilon|(var)?phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell"
)


def formulas(text: str) -> list[str]:
    return [shown or inline for shown, inline in FORMULA.findall(CODE.sub("", text))]


def letters(formula: str) -> set[str]:
    """The letters of a formula, `\\alpha` and `\\mathcal R` among them; operators, words and marks above are none."""
    found = set()
    formula = WORDS.sub(" ", formula)
    for kind, braced, bare in TYPE.findall(formula):
        found.add(f"\\math{kind} {braced or bare}")
    for command, letter in re.findall(r"\\([A-Za-z]+)|([A-Za-z])", TYPE.sub(" ", formula)):
        if letter or GREEK.fullmatch(command):
            found.add(letter or f"\\{command}")
    return found


def letters_of(text: str) -> set[str]:
    return set().union(*map(letters, formulas(text)))


def listed(page: str) -> dict[str, set[str]]:
    """The letters in the first column of its tables, by chapter; under "" those of all of Part I."""
    known: dict[str, set[str]] = {"": set()}
    for section in page.partition("\n## Part II\n")[0].split("\n## ")[1:]:
        chapter = re.match(r"Chapter (\d+)\n", section)
        for row in re.findall(r"^\|(.+)\|$", section, re.MULTILINE):
            first, second, *_ = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
            alone = section.startswith("Letters of one place\n")
            for number in re.findall(r"\d+", second) if alone else [chapter[1] if chapter else ""]:
                known.setdefault(number, set()).update(letters_of(first))
    return known


def prose(notebook: Path) -> str:
    return "\n\n".join(cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "markdown")


LISTED = listed(PAGE)
USED = {str(int(path.name[:2])): letters_of(prose(path)) for path in PART_I}


@pytest.mark.parametrize("chapter", USED)
def test_every_letter_is_listed(chapter):
    unknown = USED[chapter] - LISTED[""] - LISTED.get(chapter, set())
    assert not unknown, f"chapter {chapter} uses {', '.join(sorted(unknown))}; give each a line in book/symbols.md"


def test_every_listed_letter_is_used():
    assert LISTED.keys() - {""} <= USED.keys()
    for chapter, known in LISTED.items():
        used = USED[chapter] if chapter else set().union(*USED.values())
        assert known <= used, (
            f"{sorted(known - used)} of chapter {chapter or '1 to 11'} in book/symbols.md is in no formula"
        )


def test_what_a_letter_is():
    tex = r"\begin{aligned} \hat{\mathcal{R}}(A) &= \sum_{j \le n} \mathrm{softmax}_j(\bar x_i) \text{ if } \ell > 0"
    assert letters(tex) == {r"\mathcal R", "A", "j", "n", "x", "i", r"\ell"}
    assert formulas("costs \\$5, `$a$` is code\n\n```{code} tex\n$b$\n```\n\n$c$ and\n\n$$\nd\n$$") == ["c", "\nd\n"]


def test_a_letter_that_nobody_explained_is_seen():
    for planted in (r"\vartheta", r"\mathfrak g", "Z"):
        assert planted not in set().union(*LISTED.values())
        assert letters_of(f"Let ${planted} > 0$.") == {planted}
    page = "# Symbols\n\n## Sizes\n\n| $n$ | points |\n\n## Chapter 7\n\n| $g_t$ | growth |\n\n"
    page += "## Letters of one place\n\n| $C$ | 1, 11 | constants |\n\n## Part II\n\n| $Z$ | states |\n"
    assert listed(page) == {"": {"n"}, "7": {"g", "t"}, "1": {"C"}, "11": {"C"}}
