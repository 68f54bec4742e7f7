"""What arguments must be: one rule a kind, and one sentence that says what was given and what would do.

Each check returns the argument as the plain Python or torch value that it stands for, so that NumPy's numbers, which
come out of every `np.arange`, are as good as Python's.
"""

import math
from numbers import Integral, Real

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float64)


def is_number(value: object) -> bool:
    """Whether it is a real number, and neither a truth value nor NaN or infinity."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_count(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r}; it must be a whole number of at least {least}")
    return int(value)


def check_number(name: str, value: float) -> float:
    if not is_number(value):
        raise ValueError(f"{name}={value!r}; it must be a finite number")
    return float(value)


def check_positive(name: str, value: float, *, zero: bool = False) -> float:
    if not is_number(value) or not (value > 0 or (zero and value == 0)):
        raise ValueError(f"{name}={value!r}; it must be {'0 or more' if zero else 'positive'} and finite")
    return float(value)


def check_fraction(name: str, value: float, *, one: bool = False) -> float:
    if not is_number(value) or not (0 <= value < 1 or (one and value == 1)):
        raise ValueError(f"{name}={value!r}; it must be a number {'from 0 to 1' if one else 'in [0, 1)'}")
    return float(value)


def check_seed(seed: int) -> int:
    """The seed, if it is one. Torch keeps the lower 32 bits alone, so that larger seeds would repeat smaller ones.

    Raises:
        ValueError: it is no whole number from 0 to 2^31 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**31:
        raise ValueError(f"seed={seed!r}; it must be a whole number from 0 to 2**31 - 1")
    return int(seed)


def generator(seed: int | torch.Generator) -> torch.Generator:
    """A generator to sample with, from a seed or to be continued.

    Training continues generators that start at its own seed: no sample by number is what a model was trained on.
    """
    if isinstance(seed, torch.Generator):
        return seed
    return torch.Generator().manual_seed(check_seed(seed) + 2**31)


def check_dtype(dtype: torch.dtype | None) -> torch.dtype:
    """The dtype, if it is one to work in; None is torch's default.

    Raises:
        ValueError: it is neither float32 nor float64.
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}; it must be {' or '.join(map(str, DTYPES))}")
    return dtype


def check_device(device: str | torch.device) -> None:
    try:
        holds_values = not torch.empty(0, device=device).is_meta
    except (AssertionError, ImportError, RuntimeError, TypeError):  # torch's own, for one unknown or not built in
        holds_values = False
    if not holds_values:
        raise ValueError(f"device={device!r} cannot be used here; it must be 'cpu' or an accelerator of this machine")


def check_tensor(name: str, value: Tensor, dtypes: tuple[torch.dtype, ...]) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} is a {type(value).__name__}; it must be a torch.Tensor (torch.as_tensor makes one)")
    if value.dtype not in dtypes:
        raise ValueError(f"{name} is {value.dtype}; it must be {' or '.join(map(str, dtypes))}")
    if value.layout is not torch.strided or value.is_meta:
        raise ValueError(f"{name} is sparse or on the meta device; it must be an ordinary tensor that holds values")


# Rounding that a layer may show, relative to its output. The one place for tolerances by dtype.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
