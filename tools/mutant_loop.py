"""A plugin of pytest for `tools/mutants.py`: each mutant in a process of its own, the quickest tests first.

mutmut starts pytest anew for every mutant, and runs the tests in the order of the file. Here they are collected once; a
mutant is a fork, so that nothing it computed is there for the next, and most die of a test that takes milliseconds.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

MOST_SECONDS = 120  # of the processor, for one mutant: one that never ends counts as killed


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.trampoline import set_mutant_under_test

    data = SourceFileMutationData(path=Path(os.environ["MUTATED"]))
    data.load()
    known = json.loads(Path("mutants/mutmut-stats.json").read_text(encoding="utf-8"))
    took, tests_of = known["duration_by_test"], known["tests_by_mangled_function_name"]
    items = sorted(session.items, key=lambda item: took.get(item.nodeid, 0.0))
    todo = [key for key, code in data.exit_code_by_key.items() if code is None]
    if todo and verdict(lambda: None, items):
        pytest.exit("a test fails where nothing was changed", 1)
    started = time.time()
    for number, key in enumerate(todo, 1):
        reach = set(tests_of.get(key.partition("__mutmut_")[0], ()))
        data.exit_code_by_key[key] = verdict(
            partial(set_mutant_under_test, key), [item for item in items if item.nodeid in reach]
        )
        data.save()
        if number % 50 == 0 or number == len(todo):
            print(f"{number} of {len(todo)} mutants, {time.time() - started:.0f} s", flush=True)
    return True


def verdict(change: Callable[[], None], items: list[pytest.Item]) -> int:
    """mutmut's code for what became of a mutant: 1 where a test fails, 0 where none does, 33 where none was there.

    Arguments:
        change: puts the mutant in its place.
        items: the tests to try, in their order.
    """
    if not items:
        return 33
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        import resource  # which Windows, that has no forks either, lacks

        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 5))
        silence = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silence, stream)
        change()
        os._exit(int(any(fails(item) for item in items)))
    finally:  # whatever went wrong, it is no survivor
        os._exit(1)


def fails(item: pytest.Item) -> bool:
    item._initrequest()
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
