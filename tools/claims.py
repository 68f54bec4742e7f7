"""Write the page of claims from book/claims.yml, and say what is wrong with a claim.

Use it through `make pages` or `python -m tools.claims`; `--mend` where cells were cut or moved: look at what it chose.
tests/test_claims.py compares the page with what this writes, and holds every row against the notebooks and tests that
it names.
"""

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
LEDGER, PAGE = BOOK / "claims.yml", BOOK / "claims.md"

FIELDS = ("id", "chapter", "claim", "verdict", "evidence", "baseline", "control", "seeds", "cells", "tests")
VERDICTS = {
    "proved": "a proof stands in the book, and tests break it outside its assumptions",
    "measured": "it met the baseline that could have sunk it and a control in which it must vanish",
    "one run": "measured so, on a single training run",
    "in part": "it holds in some of the cases that were tried; the row says in which",
    "negative": "it speaks against a method of this book, or against what was hoped for",
    "withdrawn": "it stood in the book, and a baseline or a control sank it",
}
# A decimal, a number of per cent, or either number of a count such as 9 of 13; not a version, an identifier, or the
# inside of a name.
QUOTED = re.compile(
    r"(?<![\w.,/:-])(?:\d[\d,]*\.\d+(?![\w.]*\d)|\d+(?= ?%| per cent| of \d)|(?<=\d of )\d[\d,]*(?!\.?\d))"
)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def ledger() -> list[dict]:
    """The rows, as they are written."""
    return yaml.safe_load(LEDGER.read_text(encoding="utf-8"))["claims"]


@cache
def chapter(name: str) -> nbformat.NotebookNode:
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=4)


def titles() -> dict[str, str]:
    """Number and title of each chapter, in the order of the book."""
    found = {}
    for path in sorted(BOOK.glob("[0-9][0-9]-*.ipynb")):
        title = chapter(path.stem).cells[0].source.splitlines()[0].removeprefix("# ")
        found[path.stem] = f"{int(path.stem[:2])}. {title}"
    return found


def cell_text(anchor: str) -> str:
    """What a cell has stored, by `chapter#id` or `chapter#fig-name`; both where a figure cell has an id besides.

    Raises:
        ValueError: there is no such chapter or cell.
    """
    name, _, place = anchor.partition("#")
    if not (BOOK / f"{name}.ipynb").exists():
        raise ValueError(f"there is no chapter {name}")
    for cell in chapter(name).cells:
        figure = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        if place in (cell.get("id"), figure):
            parts = [cell.source] if cell.cell_type == "markdown" else []
            for output in cell.get("outputs", ()):
                parts += [output.get("text", ""), output.get("data", {}).get("text/html", "")]
            return "\n".join(parts)
    raise ValueError(f"{name} has no cell {place}")


def quoted(text: str) -> list[str]:
    """The decimals, percentages and counts in a text, without signs and thousands' commas; code and links do not count.

    >>> quoted("right in 9 of 13, or 69 %, of `run(3 of 4)` for 5 seeds; 0.5 of 2.25")
    ['9', '13', '69', '0.5', '2.25']
    """
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|\{[\w:]+\}|https?://\S+", " ", text)
    return [token.replace(",", "") for token in QUOTED.findall(text)]


def stands(token: str, outputs: str, *, percent: bool) -> bool:
    """Whether a number is one of those in an output, rounded; a percentage may stand there as a fraction."""
    digits = len(token.partition(".")[2])
    for found in NUMBER.findall(outputs):
        value = float(found.replace(",", ""))
        for factor in (1, 100) if percent else (1,):
            if abs(factor * value - float(token)) <= 0.5 * 10**-digits + 1e-9:
                return True
    return False


def printing(name: str, token: str, *, percent: bool) -> list[str]:
    """The cells of a chapter that have stored a number: where it went, if cells were cut or moved."""
    ids = [cell.get("id") for cell in chapter(name).cells if cell.cell_type == "code"] if name in titles() else []
    return [place for place in ids if stands(token, cell_text(f"{name}#{place}"), percent=percent)]


def has_test(name: str) -> bool:
    """Whether `file::function` is a test that there is."""
    path, _, function = name.partition("::")
    if not (ROOT / path).is_file():
        return False
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def faults(row: dict) -> list[str]:
    """All that is wrong with a row."""
    if missing := [field for field in FIELDS if field not in row]:
        return [f"no {', '.join(missing)}"]
    found = [f"unknown field {name}" for name in row if name not in FIELDS]
    if row["verdict"] not in VERDICTS:
        found.append(f"verdict {row['verdict']!r}")
    found += [f"nothing under {name}" for name in FIELDS[:8] if not str(row[name]).strip()]
    if not row["cells"] and not row["tests"]:
        found.append("nothing would fail if it were false")
    if row["verdict"] == "proved" and not row["tests"]:
        found.append("proved, and no test")
    found += [f"no test {name}" for name in row["tests"] if not has_test(name)]
    outputs = []
    for anchor in row["cells"]:
        try:
            outputs.append(cell_text(anchor))
        except ValueError as error:
            found.append(str(error))
    text = "\n".join(outputs)
    for part in ("claim", "evidence", "baseline", "control"):
        percent = bool(re.search("%|per cent|point", row[part]))
        for token in quoted(row[part]):
            if not stands(token, text, percent=percent):
                where = ", ".join(printing(row["chapter"], token, percent=percent)) or "no cell"
                found.append(f"{part}: {token} is not what it names; it stands in {where} of {row['chapter']}")
    return found


def numbers(rows: list[dict]) -> set[str]:
    """Every decimal, percentage and count that the ledger holds."""
    parts = ("claim", "evidence", "baseline", "control")
    return {token for row in rows for part in parts for token in quoted(row[part])}


def page(rows: list[dict]) -> str:
    """The page, in MyST."""
    count = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS}
    lines = [
        "# The ledger of claims",
        "",
        "What this book claims, row by row: on which evidence, against which baseline, with which control, on how many",
        "seeds, and which cell or test would fail if it were false. The rows are data, `book/claims.yml`; a test looks",
        "up every number of theirs in the stored output of the cells that they name. What the landing page, the README",
        "and the closing page claim is here.",
        "",
        "| verdict | rows | meaning |",
        "|:--|--:|:--|",
        *(f"| {verdict} | {count[verdict]} | {meaning} |" for verdict, meaning in VERDICTS.items()),
    ]
    for name, title in titles().items():
        ours = [row for row in rows if row["chapter"] == name]
        if ours:
            lines += ["", f"## [{title}]({name}.ipynb)"]
        for row in ours:
            lines += ["", f"(claim-{row['id']})=", f"**{row['claim']}** *{row['verdict'].capitalize()}.*", ""]
            lines += [f"- {part}: {row[part]}" for part in ("evidence", "baseline", "control", "seeds")]
            checks = [f"`{check}`" for check in (*row["cells"], *row["tests"])]
            lines += [f"- fails if false: {', '.join(checks)} (`{row['id']}`)"]
    return "\n".join(lines) + "\n"


def cover(row: dict) -> list[str]:
    """The fewest cells of its chapter, greedily, that have stored every number of a row; none where they do not."""
    wanted = {}
    for part in ("claim", "evidence", "baseline", "control"):
        percent = bool(re.search("%|per cent|point", row[part]))
        for token in quoted(row[part]):
            wanted[token, percent] = set(printing(row["chapter"], token, percent=percent))
    chosen = []
    while wanted:
        places = [place for found in wanted.values() for place in found]
        if not places:
            return []
        best = max(dict.fromkeys(places), key=places.count)
        chosen.append(f"{row['chapter']}#{best}")
        wanted = {key: found for key, found in wanted.items() if best not in found}
    return chosen


def mended(text: str, rows: list[dict]) -> str:
    """The ledger with new cells for rows whose numbers have moved to others of their chapter."""
    for row in rows:
        if any("it stands in" in fault or "has no cell" in fault for fault in faults(row)) and (cells := cover(row)):
            start = text.index(f"  - id: {row['id']}\n")
            old = re.compile(r"^    cells: .*$", re.MULTILINE).search(text, start)
            text = text[: old.start()] + f"    cells: [{', '.join(cells)}]" + text[old.end() :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mend", action="store_true", help="name the cells anew where the numbers of a row have moved")
    if parser.parse_args().mend:
        LEDGER.write_text(mended(LEDGER.read_text(encoding="utf-8"), ledger()), encoding="utf-8")
    PAGE.write_text(page(ledger()), encoding="utf-8")
    for row in ledger():
        for fault in faults(row):
            print(f"{row['id']}: {fault}")


if __name__ == "__main__":
    main()
