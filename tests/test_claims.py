"""The ledger of claims: every row is whole, names what would fail, and says what that prints; no page claims more."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from tools.claims import (
    BOOK,
    FIELDS,
    PAGE,
    VERDICTS,
    cover,
    faults,
    has_test,
    ledger,
    mended,
    numbers,
    page,
    quoted,
    stands,
    titles,
)

ROOT = Path(__file__).parent.parent
ROWS = ledger()
# A chapter that is a theorem, or a definition, may do with one row.
LEAST_ROWS = 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_is_sound(row):
    assert faults(row) == []


def test_ids_are_unique_and_can_be_linked():
    ids = [row["id"] for row in ROWS]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in ids)


def test_the_page_is_as_written():
    """Where this fails: python -m tools.claims."""
    assert PAGE.read_text(encoding="utf-8") == page(ROWS)


def test_the_page_is_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    (reference,) = (part for part in toc["parts"] if part["caption"] == "Reference")
    assert "book/claims" in [chapter["file"] for chapter in reference["chapters"]]


def test_failures_are_kept():
    """A ledger of successes alone would be an advertisement."""
    verdicts = [row["verdict"] for row in ROWS]
    assert {"negative", "withdrawn", "in part"} <= set(verdicts)


# The pages that claim something: the landing page, the README, the closing page.


def landing_rows(notebook) -> dict[str, str]:
    """The chapters in the map of the landing page, and what is said to come out of each."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return {
        name.removesuffix(".ipynb"): out
        for name, out in re.findall(r"^\| \[[^\]]*\]\((\d\d-[\w.-]+)\) \|[^|]*\| (.*) \|$", text, re.MULTILINE)
    }


def prose(name: str) -> str:
    """What a page claims: the landing page up to how to run it, the README up to its commands, all of closing."""
    if name == "index":
        cells = nbformat.read(BOOK / "index.ipynb", as_version=4).cells
        return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").split("\n## Run it")[0]
    if name == "README":
        return (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Two commands")[0]
    return (BOOK / "closing.md").read_text(encoding="utf-8")


def strangers(text: str, rows: list[dict]) -> list[str]:
    """Decimals and percentages of a page that no row of the ledger holds."""
    return [token for token in quoted(text) if token not in numbers(rows)]


def bare_claims(text: str, rows: list[dict]) -> list[str]:
    """Paragraphs of the closing page's account that refer to no row, and references to rows that there are not."""
    account = text.split("\n## What is proved, measured, and open\n")[1].split("**Open.**")[0]
    blocks = [block.strip() for block in re.split(r"\n\n|\n(?=- )", account)]
    blocks = [block for block in blocks if re.match(r"\*\*[A-Z]|- ", block)]
    ids = {row["id"] for row in rows}
    found = [block[:40] for block in blocks if "claim-" not in block]
    return found + [name for name in re.findall(r"<claim-([\w-]+)>", text) if name not in ids]


def test_every_chapter_has_its_rows():
    named = [row["chapter"] for row in ROWS]
    assert [name for name in titles() if named.count(name) < LEAST_ROWS] == []
    mapped = landing_rows(nbformat.read(BOOK / "index.ipynb", as_version=4))
    assert mapped and set(mapped) <= set(named), sorted(set(mapped) - set(named))


@pytest.mark.parametrize("name", ["index", "README", "closing"])
def test_no_page_has_a_number_that_the_ledger_has_not(name):
    assert strangers(prose(name), ROWS) == []


def test_the_closing_page_refers_to_the_ledger():
    assert bare_claims(prose("closing"), ROWS) == []


# Does each check bite?

SOUND = {
    "id": "a-claim",
    "chapter": "01-data",
    "claim": "All is well.",
    "verdict": "measured",
    "evidence": "accuracy 0.906 (0.001)",
    "baseline": "class frequencies 0.378",
    "control": "none",
    "seeds": "one",
    "cells": ["01-data#cell-19"],
    "tests": ["tests/test_claims.py::test_a_row_is_sound"],
}
SPOILERS = {
    "no seeds": lambda row: row.pop("seeds"),
    "unknown field colour": lambda row: row.update(colour="red"),
    "verdict 'true'": lambda row: row.update(verdict="true"),
    "nothing under baseline": lambda row: row.update(baseline=" "),
    "nothing would fail": lambda row: row.update(cells=[], tests=[], evidence="much", baseline="little"),
    "proved, and no test": lambda row: row.update(verdict="proved", tests=[]),
    "no test tests/test_claims.py::test_nothing": lambda row: row["tests"].append("tests/test_claims.py::test_nothing"),
    "there is no chapter 99-none": lambda row: row["cells"].append("99-none#cell-1"),
    "01-data has no cell cell-999": lambda row: row["cells"].append("01-data#cell-999"),
    "evidence: 0.907 is not what": lambda row: row.update(evidence="accuracy 0.907 (0.001)"),
    "claim: 99.99 is not what it names; it stands in no cell of": lambda row: row.update(claim="Right in 99.99 %."),
    "control: 32.2 is not what it names; it stands in cell-09 of": lambda row: row.update(control="32.2% without"),
}


def test_a_sound_row_has_no_fault():
    assert faults(copy.deepcopy(SOUND)) == []


@pytest.mark.parametrize("fault", SPOILERS)
def test_a_fault_is_found(fault):
    row = copy.deepcopy(SOUND)
    SPOILERS[fault](row)
    found = faults(row)
    assert len(found) == 1 and found[0].startswith(fault), found


def test_what_counts_as_a_number():
    text = "0.906 (0.001), 97.5% of 8,000, 12 % or 1,000.5; not v1.2.3, chapter 4, `0.5`, [x](a-0.3), arXiv:2604.11613"
    assert quoted(text) == ["0.906", "0.001", "97.5", "12", "1000.5"]


def test_when_a_number_stands_in_an_output():
    assert stands("0.91", "right 0.906 (0.001)", percent=False)
    assert not stands("0.92", "right 0.906 (0.001)", percent=False)
    assert stands("3.3", "lost +0.033", percent=True) and not stands("3.3", "lost +0.033", percent=False)
    assert stands("1.7", "errors: 1.7", percent=False) and not stands("1.7", "errors: 11.7", percent=False)
    assert stands("1000", "1,000 tasks", percent=False)


def test_a_test_must_be_there():
    assert has_test("tests/test_claims.py::test_a_test_must_be_there")
    assert not has_test("tests/test_claims.py::landing") and not has_test("tests/no_such_file.py::test_a")


def test_cells_that_moved_are_found_again():
    moved = copy.deepcopy(SOUND) | {"cells": ["01-data#cell-10"]}
    assert cover(moved) == SOUND["cells"] and cover(moved | {"evidence": "0.12345"}) == []
    text = "claims:\n  - id: a-claim\n    cells: [01-data#cell-10]\n    tests: []\n"
    assert mended(text, [moved]) == text.replace("cell-10", "cell-19") and mended(text, [SOUND]) == text


def test_a_number_or_paragraph_without_a_row_is_found():
    assert strangers("right in 0.906, wrong in 0.094", [SOUND]) == ["0.094"]
    text = "\n## What is proved, measured, and open\n\n**Measured.** Much.\n\n"
    text += "- So {ref}`it <claim-a-claim>` is.\n- Too bare."
    assert bare_claims(text, [SOUND]) == ["**Measured.** Much.", "- Too bare."]
    assert bare_claims(text.replace("a-claim", "none"), [SOUND])[-1] == "none"


def test_the_page_says_all_of_a_row():
    text = page([SOUND])
    assert all(str(SOUND[field]) in text for field in FIELDS[2:8] if field != "verdict")
    assert (
        "(claim-a-claim)=" in text and "`01-data#cell-19`" in text and all(f"| {name} |" in text for name in VERDICTS)
    )
