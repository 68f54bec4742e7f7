"""The list of accepted mutants speaks of the code as it is; what survives, only `make mutants` can tell."""

import pytest
import yaml

from tools import mutants

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
