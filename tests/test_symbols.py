"""Each letter that stands in a formula of Part I stands on the symbols page too, for all chapters or for its own.

From its row the site takes where a symbol leads and what it says (tools/text.py).
"""

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import roles
from myst_parser.docutils_ import Parser

from tools.text import PART_II, link_symbols, number_rows, symbols

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


# Links to the page


@cache
def parsed(page: str) -> nodes.document:
    roles.register_generic_role("term", nodes.emphasis)
    options = {"myst_enable_extensions": ["dollarmath"], "myst_suppress_warnings": ["myst"]}
    return publish_doctree(page, parser=Parser(), settings_overrides=options)


def says(page: str, chapter: int) -> dict[str, str]:
    return {symbol: row["means"] for symbol, row in symbols(parsed(page), chapter).items()}


def unsaid(page: str) -> list[str]:
    """Rows whose meaning a tooltip cannot show from its beginning, as plain text."""
    tree = parsed(page)
    symbols(tree, 0)
    found = []
    for row in tree.findall(nodes.row):
        plain = re.fullmatch(r"(\w[^\s,.:;]*)[^\\$_^{}<>]*", row.get("means", "head"))
        if not plain or not re.search(rf"^{plain[1]}\b", f"head\n{row.astext()}", re.MULTILINE):
            found.append(row.astext())
    return found


def test_every_row_says_what_it_means():
    assert unsaid(PAGE) == []
    for planted in ("$x^2$ of it", "", "see $x^2$; half of it", "$\\frac12$; half of it"):
        assert len(unsaid(f"# Symbols\n\n## Sizes\n\n| symbol | meaning |\n|:--|:--|\n| $x$ | {planted} |\n")) == 1


@pytest.mark.parametrize(
    ("symbol", "meanings"),
    {
        r"\alpha": {0: "identity parts of M", 5: "identity parts of M", 12: "concentration", 14: "concentration"},
        "M": {4: "score matrix", 7: None, 12: "window"},
        "m": {1: "mean of every feature", 6: None, 8: "copies", 11: "unit vector", 13: None},
        "D": {1: "entries", 6: None, 12: "degree"},
        r"\kappa": {6: "step", 12: "pseudo-counts", 14: "what a head loses"},
        "x_i": {1: "features", 13: None},
        "C": {7: None, 8: "what logistic", 11: "covariance", 12: "share"},
    }.items(),
)
def test_a_letter_has_the_meaning_of_its_chapter(symbol, meanings):
    for chapter, meaning in meanings.items():
        said = says(PAGE, chapter).get(symbol)
        assert said.startswith(meaning) if meaning else said is None, (chapter, said)


def test_part_ii_is_where_the_contents_say():
    numbers = [int(chapter["file"][5:7]) for chapter in TOC["parts"][1]["chapters"]]
    assert numbers[0] == PART_II[0] == len(PART_I) + 1
    assert numbers[-1] in PART_II


def test_a_letter_of_two_meanings_leads_nowhere():
    assert "B" in says(PAGE, 5)
    assert "B" not in says(PAGE.replace(r"| $\hat R$ | 1 |", "| $B$ | 5 | bound |\n| $\\hat R$ | 1 |"), 5)


def test_where_a_symbol_becomes_a_link():
    page = parsed("# Of $K$\n\n## More of $K$\n\nSee [$K$](a), *$K$*, $K + 1$, then ($K$), $K$ and $w_1$, $w_c$.\n")
    link_symbols(page, {"K": nodes.row(ids=["a"], means="k"), "w_i": nodes.row(ids=["b"], means="w")}, "there")
    links = [link for link in page.findall(nodes.reference) if "symbol" in link["classes"]]
    assert [(link.astext(), link["refuri"], link["reftitle"]) for link in links] == [
        ("K", "there#a", "k"),
        ("w_c", "there#b", "w"),
    ]
    assert links[0].parent[links[0].parent.index(links[0]) - 1].endswith("then (")


def test_rows_have_addresses_on_their_page_alone():
    for name, numbered in (("book/symbols", True), ("book/claims", False)):
        page = parsed(PAGE).deepcopy()
        number_rows(SimpleNamespace(env=SimpleNamespace(docname=name)), page)
        places = [tuple(row["ids"]) for row in page.findall(nodes.row)]
        assert len(set(places)) == (len(places) if numbered else 1)
