"""icl_nb: what a transformer does when it classifies in context."""

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


_get, __dir__, __all__ = exports(
    __name__,
    {
        "classifier": ["RecursionClassifier"],
        "evaluation.baselines": ["BASELINES", "baseline_predict"],
        "evaluation.oracle": ["bayes_posterior", "bayes_predict"],
        "evaluation.scores": ["Comparison", "Report", "compare", "evaluate", "mean_agreement", "predict", "score"],
        "evaluation.survey": ["yardsticks"],
        "induction.limit": ["generalized_induction_head"],
        "induction.models": ["InductionTransformer"],
        "induction.tasks": ["MarkovTask"],
        "interpret.abstraction": ["abstract", "four_scalar_model"],
        "interpret.rivals": ["explain"],
        "models.attention": ["DenseTransformer", "EquivariantTransformer"],
        "models.files": ["available", "describe", "load", "save"],
        "models.training": ["History", "train"],
        "recursion": ["Recursion"],
        "symmetry": ["assert_equivariant", "equivariance_error", "equivariance_errors"],
        "tasks.batch": ["Batch"],
        "tasks.linear": ["LinearTask", "MixedTask"],
    },
)


def __getattr__(name: str):
    """A public name is imported when it is first used, so that `icl_nb.recursion` costs NumPy and no more."""
    if name == "__version__":
        from importlib.metadata import version

        return version("icl-nb")
    return _get(name)
