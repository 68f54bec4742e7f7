"""Names of a package that are imported when they are first used (PEP 562)."""

from collections.abc import Callable
from importlib import import_module


def exports(package: str, homes: dict[str, list[str]]) -> tuple[Callable, Callable, list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, so that one of its modules costs what that module needs.

    Arguments:
        package: its `__name__`.
        homes: the names that each of its modules gives.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return get, lambda: sorted(home), sorted(home)
