"""Run notebooks with every float that tasks sample and checkpoints hold moved by a few units in its last place.

`pytest --jitter SEED book` does it: what another processor's rounding would change, this changes too. Any printed text
that differs is a failure, named with its cell, the old text and the new. The package knows nothing of it: each kernel
reads a start-up file that wraps the package's functions.
"""

import dataclasses
import functools
import importlib
import os
import pkgutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNITS = 4  # the largest change, in units of the last place

START = """\
import sys

sys.path.insert(0, {root!r})
from tools.jitter import install

install({seed})
del install, sys
"""


def install(seed: int) -> None:
    """Wrap each `sample` of a task and each `load` of a checkpoint, wherever the package has a name for it."""
    import torch

    import icl_nb

    generator = torch.Generator().manual_seed(seed)  # one of its own: the notebook's random numbers stay as they are
    modules = [icl_nb] + [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(icl_nb.__path__, "icl_nb.")
        if not module.name.endswith("__main__")
    ]
    functions = {}  # a function is wrapped once, though several modules have it by name
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == module.__name__ and "sample" in vars(value):
                value.sample = _jittering(value.sample, generator)
            elif name.startswith(("load", "sample_")) and callable(value) and _ours(value):
                wrapped = functions.setdefault(value, _jittering(value, generator))
                setattr(module, name, wrapped)


def _ours(value) -> bool:
    return getattr(value, "__module__", "").startswith("icl_nb")


def _jittering(function, generator):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        return perturbed(function(*args, **kwargs), generator)

    return wrapped


def perturbed(value, generator):
    """The value with each float x in it replaced by x (1 + e), |e| a few units in the last place of its dtype."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor) and value.is_floating_point():
        units = torch.randint(-UNITS, UNITS + 1, value.shape, generator=generator)
        return value * (1 + units.to(value.dtype) * torch.finfo(value.dtype).eps)
    if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        return perturbed(torch.from_numpy(value), generator).numpy()
    if isinstance(value, torch.nn.Module):
        with torch.no_grad():
            for part in value.parameters():
                part.copy_(perturbed(part.detach(), generator))
        return value
    if dataclasses.is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in dataclasses.fields(value) if part.init}
        return dataclasses.replace(value, **{name: perturbed(part, generator) for name, part in parts.items()})
    if isinstance(value, tuple):
        return tuple(perturbed(part, generator) for part in value)
    if isinstance(value, dict):
        return {name: perturbed(part, generator) for name, part in value.items()}
    return value


def pytest_addoption(parser) -> None:
    parser.getgroup("nbval").addoption(
        "--jitter", type=int, metavar="SEED", help="move what notebooks sample and load by a few last places; exact"
    )


def pytest_configure(config) -> None:
    seed = config.option.jitter
    if seed is None:
        return
    if seed < 0:
        raise pytest.UsageError(f"--jitter {seed}: a seed is 0 or more")
    config.option.nbval_exact = True
    folder = tempfile.TemporaryDirectory(prefix="jitter-")
    config.add_cleanup(folder.cleanup)
    start = Path(folder.name) / "profile_default" / "startup" / "00-jitter.py"
    start.parent.mkdir(parents=True)
    start.write_text(START.format(root=str(ROOT), seed=seed), encoding="utf-8")
    os.environ["IPYTHONDIR"] = folder.name  # the kernels inherit it
