"""Every public name says what it is, of what arguments, what it refuses and where it is from, and has an example."""

import ast
import importlib
import inspect
import re
import textwrap

import pytest

import icl_nb
from icl_nb.checks import check_count

# Rooms with a list of names, and rooms that are one file: there, what is defined and has no underscore.
ROOMS = ("evaluation", "tasks", "models", "interpret", "induction", "runs", "figures")
FILES = ("recursion", "symmetry", "descent", "classifier", "exercises")


def public() -> dict[str, object]:
    """Functions and classes by module and name, each once."""
    found = {}
    for room in ("", *ROOMS, *FILES):
        module = importlib.import_module(f"icl_nb.{room}".rstrip("."))
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            home = getattr(value, "__module__", "")
            own = room not in FILES or home == module.__name__
            named = inspect.isroutine(value) or inspect.isclass(value)
            if own and named and home.startswith("icl_nb") and not value.__qualname__.startswith("_"):
                found[f"{home.removeprefix('icl_nb.')}.{value.__qualname__}"] = value
    return found


# Still to be described; who describes one takes it off the list.
OPEN: set[str] = set()
PUBLIC = public()
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isroutine(value)}


def calls(function) -> set[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def flaws(function) -> list[str]:
    """What the docstring of a function lacks."""
    text = function.__doc__ or ""
    around = importlib.import_module(function.__module__).__doc__ or ""
    found = [] if text else ["a docstring"]
    # An argument has an entry, with its shape; or the sentence speaks of it, or the head of the module does for all.
    section = re.search(r"\n    Arguments:\n(.*?)(?:\n    \w+:|\Z)", text, re.DOTALL)
    entries = set(re.findall(r"^        (\w+):", section.group(1), re.M)) if section else set()
    spoken = set(re.findall(r"\w+", re.sub(r">>>.*|\.\.\. .*", "", text + around)))
    for name in inspect.signature(function).parameters:
        if name not in (entries if section else spoken):
            found.append(f"the argument {name}")
    refuses = any(name.startswith(("check_", "_check")) for name in calls(function))
    if refuses and not re.search(r"Raises:|[Ee]rrors", text):
        found.append("what it raises")
    if re.search(r":math:|\.\. math::", text) and "Source:" not in text + around:
        found.append("the source of its formula")
    if ">>>" not in text:
        found.append("an example")
    return found


def test_the_public_names_are_all_here():
    assert len(PUBLIC) > 200 and {name.rpartition(".")[2] for name in PUBLIC} >= set(icl_nb.__all__) - {"BASELINES"}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_is_described(name):
    assert bool(flaws(FUNCTIONS[name])) == (name in OPEN), flaws(FUNCTIONS[name])


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - FUNCTIONS.keys()))
def test_a_class_is_described(name):
    text = inspect.cleandoc(PUBLIC[name].__doc__ or "")
    # NamedTuple and dataclass write one of their own where there is none: its signature.
    assert bool(text and not text.startswith(f"{PUBLIC[name].__name__}(")) == (name not in OPEN)


def test_what_a_docstring_lacks_is_found():
    def mean(x, y):
        return check_count("x", x, 1)

    assert flaws(mean) == ["a docstring", "the argument x", "the argument y", "what it raises", "an example"]
    mean.__doc__ = r"""A mean, :math:`\bar x`.

    Arguments:
        x: `(n,)`.

    Raises:
        ValueError: it is none.
    """
    assert flaws(mean) == ["the argument y", "the source of its formula", "an example"]
