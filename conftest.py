"""For tests, doctests and notebooks alike: the environment of the stored outputs, and the order of a parallel run."""

import json
import os
from pathlib import Path

import pytest

# As in the Makefile, for those who call pytest themselves. Torch reads the first on import; kernels inherit all.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYTHONHASHSEED", "0")
os.environ.setdefault("TQDM_DISABLE", "1")

pytest_plugins = ["tools.comparison", "tools.jitter"]


def seconds(path: Path) -> int:
    """The run time that a notebook records; 0 for any other file."""
    if path.suffix != ".ipynb":
        return 0
    return json.loads(path.read_text(encoding="utf-8"))["metadata"].get("icl_nb", {}).get("seconds", 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow notebooks first: started last, they would keep one process busy while the others idle."""
    cost = {path: seconds(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: -cost[item.path])
