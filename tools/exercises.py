"""Write the answer cells and the predictions of icl_nb/exercises.toml into the chapters.

An answer cell follows the hint of each exercise, in front of the solution. A prediction stands in front of a figure,
and of the code cells between it and the prose before, which may print what the figure shows. Both carry ids by which
they are found again, so that a second run changes nothing.

Use it through `python -m tools.exercises`; `--check` writes nothing, and fails where a chapter is not as it would be.
"""

import argparse
import contextlib
import io
import re
import textwrap
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from icl_nb.exercises import book, check
from tools.address import read_project, stamp

BOOK = Path(__file__).resolve().parent.parent / "book"
WIDTH = 79  # of the code on a page
OURS = re.compile(r"answer-\d+-\d+|predict-\d+")

PREDICTION = """\
:::{{admonition}} Prediction {number}: {title}
:class: prediction
{question}

{options}
:::

:::{{admonition}} Answer
:class: dropdown
**{right}**: {because} {{numref}}`{figure}` shows it.
:::"""


def chapters(folder: Path = BOOK) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]-*.ipynb"))


def answer_cell(name: str, entry: dict) -> nbformat.NotebookNode:
    """The cell in which the reader answers an exercise, with what it prints as long as there is no answer."""
    kind = "letter" if "options" in entry else "number"
    if "takes" in entry:
        kind = f"function, lambda {', '.join(entry['takes'])}: ...,"
    asked = f"A {kind} in place of None: {entry['asks']}."
    lines = textwrap.wrap(asked, WIDTH, initial_indent="# ", subsequent_indent="# ")
    for letter, option in entry.get("options", {}).items():
        lines += textwrap.wrap(f"{letter}  {option}", WIDTH, initial_indent="#   ", subsequent_indent="#      ")
    source = "\n".join(["from icl_nb.exercises import check", "", *lines, f'check("{name}", None)'])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        check(name, None)
    output = new_output("stream", name="stdout", text=printed.getvalue())
    # Numbered as if it had run; which number it gets is settled once all cells are in place.
    stored = {"outputs": [output], "execution_count": 0, "metadata": {"tags": ["hide-input"]}}
    return new_code_cell(source, id=f"answer-{name.replace('.', '-')}", **stored)


def prediction_cell(number: str, entry: dict) -> nbformat.NotebookNode:
    options = "\n".join(f"- **{letter}**: {option}" for letter, option in entry["options"].items())
    source = PREDICTION.format(**entry | {"number": number, "options": options})
    return new_markdown_cell(source, id=f"predict-{number}")


def after_hint(cells: list, name: str) -> int:
    """The place of an answer cell: behind the hint of the exercise."""
    texts = [cell.source if cell.cell_type == "markdown" else "" for cell in cells]
    heading = f"Exercise {name}:"
    asked = next((i for i, text in enumerate(texts) if heading in text), None)
    if asked is None:
        raise SystemExit(f"no chapter has exercise {name}")
    for i in range(asked, len(cells)):
        text = texts[i].partition(heading)[2] if i == asked else texts[i]
        if "{admonition} Hint" in text:
            if re.search("Solution|Exercise", text.partition("{admonition} Hint")[2]):
                raise SystemExit(f"exercise {name}: the hint needs a cell that ends with it")
            return i + 1
        if "Exercise" in text:
            break
    raise SystemExit(f"exercise {name} has no hint")


def before_figure(cells: list, figure: str) -> int:
    """The place of a prediction: behind the last prose before a figure."""
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    if figure not in names:
        raise SystemExit(f"there is no figure {figure}")
    place = names.index(figure)
    while cells[place - 1].cell_type == "code":
        place -= 1
    return place


def write(notebook: nbformat.NotebookNode, number: int) -> None:
    """Put the answer cells and the prediction of a chapter into its notebook, in place of those that it has."""
    cells = [cell for cell in notebook.cells if not OURS.fullmatch(cell.id)]
    for name, entry in book()["exercises"].items():
        if name.split(".")[0] == str(number):
            cells.insert(after_hint(cells, name), answer_cell(name, entry))
    entry = book()["predictions"][str(number)]
    cells.insert(before_figure(cells, entry["figure"]), prediction_cell(str(number), entry))
    notebook.cells = cells
    _, site, wheel = read_project()
    stamp(notebook, site, wheel)  # which numbers the cells from top to bottom


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if something were written")
    parser.add_argument("--folder", type=Path, default=BOOK, help="where the chapters are (default: book)")
    options = parser.parse_args()
    changed = []
    for path in chapters(options.folder):
        notebook = nbformat.read(path, as_version=4)
        write(notebook, int(path.stem[:2]))
        text = nbformat.writes(notebook) + "\n"
        if text != path.read_text(encoding="utf-8"):
            changed.append(path.name)
            if not options.check:
                path.write_text(text, encoding="utf-8")
    print("would change:" if options.check else "changed:", ", ".join(changed) or "none")
    if options.check and changed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
