"""Answers to the exercises of the book: right, or not, and why.

What is right, and what is said to a wrong answer that could be foreseen, stands in `exercises.toml` beside this file.
"""

import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from icl_nb.checks import check_number

Answer = float | str | Callable[..., float]


@cache
def book() -> dict:
    """The exercises and predictions of the book, as the file has them.

    Example:
        >>> book()["exercises"]["1.1"]["right"]
        0.75
    """
    return tomllib.loads(files("icl_nb").joinpath("exercises.toml").read_text(encoding="utf-8"))


def check(exercise: str, answer: Answer | None) -> None:
    """Say whether an answer is right, and a word of why.

    A number is right within a tolerance, a letter if it is the right one of the options, and a function if it returns
    the right numbers at a few places.

    Arguments:
        exercise: its number in the book, such as "2.1".
        answer: a number, a letter or a function, whichever the exercise asks for; None for none yet.

    Raises:
        ValueError: there is no such exercise, or it asks for another kind of answer.

    Example:
        >>> check("2.1", None)
        2.1: no answer yet
        >>> check("2.1", 6)
        2.1: not right. That is for the whole group. Here classes are never moved, so that each is an orbit of its own.
        >>> check("2.1", 17)
        2.1: right. 2 orbits of feature pairs, 2 K of mixed pairs and K^2 of class pairs.
    """
    entry = book()["exercises"].get(exercise) if isinstance(exercise, str) else None
    if entry is None:
        raise ValueError(f"exercise={exercise!r}; it must be one of {', '.join(book()['exercises'])}")
    print(f"{exercise}: {_verdict(entry, answer)}")


def _verdict(entry: dict, answer: Answer | None) -> str:
    """What is said to an answer."""
    if answer is None:
        return "no answer yet"
    given = _read(entry, answer)
    if _agrees(entry, given, entry["right"]):
        return f"right. {entry['because']}"
    said = (wrong["says"] for wrong in entry["wrong"] if _agrees(entry, given, wrong["answer"]))
    return f"not right. {next(said, 'Look at the hint once more.')}"


def _read(entry: dict, answer: Any) -> str | list[float]:
    """The answer as a letter, or as numbers: one, or what a function returns at each place.

    Raises:
        ValueError: the exercise asks for another kind of answer.
    """
    if "options" in entry:
        letter = answer.strip().lower() if isinstance(answer, str) else ""
        if letter not in entry["options"]:
            raise ValueError(f"answer={answer!r}; it must be one of the letters {', '.join(entry['options'])}")
        return letter
    if "takes" not in entry:
        return [check_number("answer", answer)]
    try:
        return [float(answer(*place)) for place in entry["at"]]
    except TypeError as error:
        takes = ", ".join(entry["takes"])
        raise ValueError(f"answer={answer!r}; it must be a function of {takes} that returns a number") from error


def _agrees(entry: dict, given: str | list[float], wanted: Any) -> bool:
    """Whether an answer is one that the file names, numbers within the tolerance of the exercise."""
    if isinstance(given, str):
        return given == wanted
    values = wanted if isinstance(wanted, list) else [wanted]
    # Beyond the tolerance, which is 0 for whole numbers, there is room for rounding.
    return all(abs(one - other) <= entry["within"] + 1e-9 for one, other in zip(given, values, strict=True))
