"""The exercises: what is right passes, what is wrong fails with its sentence, and both agree with what the book prints.

The functions that some exercises ask for stand here as formulas, and in the file as the numbers that they return.
"""

import copy
import math
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from icl_nb.exercises import book, check
from tools.claims import quoted, stands
from tools.exercises import OURS, after_hint, before_figure, chapters, write

EXERCISES, PREDICTIONS = book()["exercises"], book()["predictions"]
NOTEBOOKS = {int(path.stem[:2]): nbformat.read(path, as_version=4) for path in chapters()}
HEADING = re.compile(r"^:::\{admonition\} Exercise (\S+): .+ \((easy|medium|hard), (\d+) minutes\)$", re.MULTILINE)

FUNCTIONS = {
    "5.1": {
        "right": lambda alpha, c: alpha / c**2,
        "wrong": [lambda alpha, c: alpha / c, lambda alpha, c: alpha * c**2, lambda alpha, c: alpha],
    },
    "11.2": {
        "right": lambda r, m: math.sqrt((math.sqrt(r**4 + 4 * m**2 * r**2) - r**2) / (2 * m**2 * r**2)),
        "wrong": [
            lambda r, m: 1 / r,
            lambda r, m: (math.sqrt(r**4 + 4 * m**2 * r**2) - r**2) / (2 * m**2 * r**2),
        ],
    },
    "12.3": {
        "right": lambda S: 1 / (1 + math.sqrt(S * (S - 1))),
        "wrong": [lambda S: 1 / math.sqrt(S * (S - 1)), lambda S: 1 / (1 + S * (S - 1))],
    },
    "13.3": {
        "right": lambda a, alpha: alpha * math.exp(a),
        "wrong": [lambda a, alpha: alpha, lambda a, alpha: math.exp(a), lambda a, alpha: alpha * math.exp(-a)],
    },
    "14.3": {
        "right": lambda C, B: math.log(2) / B,
        "wrong": [lambda C, B: 1 / B, lambda C, B: math.log(2) / C],
    },
}


def right_answer(name: str):
    return FUNCTIONS[name]["right"] if name in FUNCTIONS else EXERCISES[name]["right"]


def wrong_answers(name: str) -> list:
    wrong = [entry["answer"] for entry in EXERCISES[name]["wrong"]]
    return FUNCTIONS[name]["wrong"] if name in FUNCTIONS else wrong


def kind(name: str) -> str:
    return "letter" if "options" in EXERCISES[name] else "function" if "takes" in EXERCISES[name] else "number"


def printed(cell) -> str:
    """The text that a cell has stored."""
    parts = []
    for output in cell.get("outputs", ()):
        parts.append(output.get("text", ""))
        parts += [text for form, text in output.get("data", {}).items() if form.startswith("text/")]
    return "\n".join(parts)


def solution(name: str) -> str:
    """What the worked solution of an exercise has stored: the code between its hint and the next exercise."""
    cells = NOTEBOOKS[int(name.split(".")[0])].cells
    found = []
    for cell in cells[after_hint(cells, name) :]:
        if cell.cell_type == "markdown" and not cell.source.startswith(":::{admonition} Solution"):
            break
        if not OURS.fullmatch(cell.id):
            found.append(printed(cell))
    return "\n".join(found)


# What is said to whom.


@pytest.mark.parametrize("name", EXERCISES)
def test_right_passes(name, capsys):
    check(name, right_answer(name))
    assert capsys.readouterr().out == f"{name}: right. {EXERCISES[name]['because']}\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_wrong_fails_with_its_sentence(name, capsys):
    for answer, entry in zip(wrong_answers(name), EXERCISES[name]["wrong"], strict=True):
        check(name, answer)
        assert capsys.readouterr().out == f"{name}: not right. {entry['says']}\n"


@pytest.mark.parametrize("name", EXERCISES)
def test_none_and_a_stranger(name, capsys):
    check(name, None)
    strange = {"number": 1e9, "function": lambda *_: 1e9}
    if kind(name) in strange:
        check(name, strange[kind(name)])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{name}: no answer yet"
    assert said[1:] in ([], [f"{name}: not right. Look at the hint once more."])


def test_tolerance_is_that_of_the_file(capsys):
    check("1.1", 0.7549)
    check("1.1", 0.7551)
    check("1.1", math.nextafter(0.75, 1))
    assert [": right" in line for line in capsys.readouterr().out.splitlines()] == [True, False, True]


def test_letters_may_be_large_and_a_function_may_return_nan(capsys):
    check("1.2", " A ")
    check("5.1", lambda alpha, c: math.nan)
    assert [": right" in line for line in capsys.readouterr().out.splitlines()] == [True, False]


@pytest.mark.parametrize("name", ["9.9", "", None, 1.1, ["1.1"]])
def test_unknown_exercise(name):
    with pytest.raises(ValueError, match=re.escape("must be one of 1.1, 1.2")):
        check(name, None)


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("1.1", "b", "must be a finite number"),
        ("1.1", math.nan, "must be a finite number"),
        ("1.1", True, "must be a finite number"),
        ("1.2", 3, "must be one of the letters a, b, c"),
        ("1.2", "e", "must be one of the letters a, b, c"),
        ("5.1", 0.5, "must be a function of alpha, c that returns a number"),
        ("5.1", lambda alpha: alpha, "must be a function of alpha, c that returns a number"),
        ("5.1", lambda alpha, c: None, "must be a function of alpha, c that returns a number"),
    ],
)
def test_wrong_kind_of_answer(name, answer, message):
    with pytest.raises(ValueError, match=message):
        check(name, answer)


# Is the file whole, and does it agree with the book?


def test_every_exercise_has_an_entry_and_says_how_hard_it_is():
    found = []
    for notebook in NOTEBOOKS.values():
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        names = [name for name, _, _ in HEADING.findall(prose)]
        assert len(names) >= 2 and prose.count("{admonition} Exercise ") == len(names)
        found += names
    assert found == list(EXERCISES)
    assert set(PREDICTIONS) == {str(number) for number in NOTEBOOKS}


@pytest.mark.parametrize("name", EXERCISES)
def test_an_entry_is_whole(name):
    entry = EXERCISES[name]
    extra = {"letter": {"options"}, "number": {"within"}, "function": {"takes", "at", "within"}}[kind(name)]
    assert set(entry) == {"asks", "right", "because", "output", "wrong"} | extra
    assert len(entry["wrong"]) >= 2
    if kind(name) == "letter":
        wrong = [item["answer"] for item in entry["wrong"]]
        assert sorted([entry["right"], *wrong]) == list(entry["options"])
    if kind(name) == "function":
        assert all(len(place) == len(entry["takes"]) for place in entry["at"])


@pytest.mark.parametrize("name", EXERCISES)
def test_right_is_what_the_solution_prints(name):
    found = re.search(EXERCISES[name]["output"], solution(name))
    assert found, solution(name)
    right = EXERCISES[name]["right"]
    for text, value in zip(found.groups(), right if isinstance(right, list) else [right], strict=False):
        # A printed decimal may differ by one unit in its last place.
        assert abs(float(text) - value) <= 10.0 ** -len(text.partition(".")[2])
    assert kind(name) != "letter" or not found.groups()


@pytest.mark.parametrize("number", PREDICTIONS)
def test_a_prediction_is_whole(number):
    entry = PREDICTIONS[number]
    assert set(entry) == {"figure", "title", "question", "options", "right", "because", "output"}
    assert entry["right"] in entry["options"] and len(entry["options"]) in (3, 4)
    wrong = set(entry["options"]) - {entry["right"]}
    answered = {
        letter for named in re.findall(r"\(([a-d](?:, [a-d])*)\)", entry["because"]) for letter in named.split(", ")
    }
    assert wrong <= answered


@pytest.mark.parametrize("number", PREDICTIONS)
def test_a_prediction_is_borne_out_by_its_figure_and_by_nothing_before(number):
    entry, cells = PREDICTIONS[number], NOTEBOOKS[int(number)].cells
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    place = before_figure(cells, entry["figure"])
    end = next(i for i in range(names.index(entry["figure"]), len(cells)) if cells[i].cell_type == "markdown")
    assert re.search(entry["output"], "\n".join(map(printed, cells[place:end])))
    assert not re.search(entry["output"], "\n".join(map(printed, cells[:place])))


@pytest.mark.parametrize("number", PREDICTIONS)
def test_decimals_of_a_prediction_are_printed_in_its_chapter(number):
    entry = PREDICTIONS[number]
    outputs = "\n".join(map(printed, NOTEBOOKS[int(number)].cells))
    text = f"{entry['question']} {entry['because']}"
    assert [token for token in quoted(text) if not stands(token, outputs, percent=True)] == []


# The cells.


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_cells_are_as_written(number):
    """Where this fails: python -m tools.exercises."""
    notebook = copy.deepcopy(NOTEBOOKS[number])
    write(notebook, number)
    assert nbformat.writes(notebook) == nbformat.writes(NOTEBOOKS[number])


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_second_run_changes_nothing_and_the_first_only_adds(number):
    once = copy.deepcopy(NOTEBOOKS[number])
    write(once, number)
    twice = copy.deepcopy(once)
    write(twice, number)
    assert nbformat.writes(twice) == nbformat.writes(once)
    mine = [cell.id for cell in once.cells if OURS.fullmatch(cell.id)]
    named = [f"answer-{name.replace('.', '-')}" for name in EXERCISES if name.startswith(f"{number}.")]
    assert mine == [f"predict-{number}", *named]
    others = [cell for cell in once.cells if not OURS.fullmatch(cell.id)]
    before = [cell for cell in NOTEBOOKS[number].cells if not OURS.fullmatch(cell.id)]
    assert [(cell.id, cell.source) for cell in others] == [(cell.id, cell.source) for cell in before]


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_lines_of_an_answer_cell_fit(number):
    notebook = copy.deepcopy(NOTEBOOKS[number])
    write(notebook, number)
    lines = [line for cell in notebook.cells if cell.id.startswith("answer-") for line in cell.source.splitlines()]
    assert max(map(len, lines)) <= 79


def test_what_the_tool_cannot_place_it_refuses():
    cells = new_notebook(
        cells=[
            new_markdown_cell("Exercise 1.1: one\n:::{admonition} Hint"),
            new_code_cell("draw()", metadata={"mystnb": {"figure": {"name": "fig-a"}}}),
            new_markdown_cell("Exercise 1.2: two"),
            new_markdown_cell("Exercise 1.3: three\n:::{admonition} Hint\n:::{admonition} Solution"),
        ]
    ).cells
    assert after_hint(cells, "1.1") == 1 and before_figure(cells, "fig-a") == 1
    for place, name in [(after_hint, "1.2"), (after_hint, "1.3"), (after_hint, "1.4"), (before_figure, "fig-b")]:
        with pytest.raises(SystemExit, match=re.escape(name)):
            place(cells, name)
