"""The list of accepted mutants speaks of the code as it is; what survives, only `make mutants` can tell."""

import os
import signal

import pytest
import yaml

from tools import mutant_loop, mutants

ACCEPTED = yaml.safe_load(mutants.ACCEPTED.read_text(encoding="utf-8"))
ENTRIES = [(file, entry) for file, groups in ACCEPTED.items() for group in groups for entry in group["mutants"]]


def lines_of(text: str) -> set[str]:
    return {" ".join(line.split()) for line in text.splitlines()}


@pytest.mark.parametrize(("file", "entry"), ENTRIES, ids=lambda value: value if isinstance(value, str) else "")
def test_an_accepted_change_is_one_of_the_code(file, entry):
    code = lines_of((mutants.ROOT / file).read_text(encoding="utf-8").replace("  #", " #"))
    before = [line[2:] for line in entry["change"].splitlines() if line.startswith("- ")]
    after = [line[2:] for line in entry["change"].splitlines() if line.startswith("+ ")]
    assert before and set(before) <= code and before != after
    assert entry["function"].rpartition(".")[2] in (mutants.ROOT / file).read_text(encoding="utf-8")


def test_accepted_files_are_mutated_and_every_group_has_a_reason():
    assert ACCEPTED.keys() <= mutants.FILES.keys()
    assert all(group["reason"] and group["mutants"] for groups in ACCEPTED.values() for group in groups)
    assert all((mutants.ROOT / path).is_file() for file, tests in mutants.FILES.items() for path in (file, *tests))


def test_a_new_survivor_and_one_that_is_gone_are_named():
    accepted = [{"reason": "it does nothing", "mutants": [{"function": "f", "change": "- a\n+ b"}]}]
    same = {"killed": [{}, {}], "survived": [{"function": "f", "change": "- a\n+ b"}]}
    assert mutants.compare("x.py", same, accepted) == []
    assert mutants.compare("x.py", {"timeout": same["survived"]}, accepted) == []  # slow, or never ending
    assert mutants.compare("x.py", {"timeout": [{"function": "g", "change": "- c\n+ d"}]}, []) == []
    other = {"no tests": [{"function": "g", "change": "- c\n+ d"}]}
    assert [line.split("\n")[0] for line in mutants.compare("x.py", other, accepted)] == [
        "x.py: nobody notices, in g:",
        "x.py: no survivor any more, in f:",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are forks")
def test_a_verdict_is_of_a_fork_that_leaves_nothing_behind(monkeypatch):
    seen = []

    def fails(item):
        seen.append(item)
        return item(seen)

    def broken(seen):
        raise RuntimeError

    monkeypatch.setattr(mutant_loop, "fails", fails)
    passing, failing = (lambda seen: False), (lambda seen: len(seen) == 2 and seen[0] == "changed")
    change = lambda: seen.append("changed")  # noqa: E731
    assert mutant_loop.verdict(change, []) == 33
    assert mutant_loop.verdict(change, [passing, passing]) == 0
    assert mutant_loop.verdict(change, [failing, broken]) == 1
    assert mutant_loop.verdict(change, [passing, broken]) == 1
    assert seen == []
    monkeypatch.setattr(mutant_loop, "MOST_SECONDS", 1)

    def endless(seen):
        while True:
            pass

    assert mutant_loop.verdict(change, [endless]) == -signal.SIGXCPU  # which mutmut calls a timeout
