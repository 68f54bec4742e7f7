"""icl_nb: what a transformer does when it classifies in context."""

from importlib import import_module

_HOMES = {
    "abstraction": ["abstract", "four_scalar_model"],
    "classifier": ["RecursionClassifier"],
    "evaluation": ["Comparison", "Report", "compare", "evaluate", "mean_agreement", "predict", "score", "yardsticks"],
    "files": ["available", "describe", "load", "save"],
    "induction": ["InductionTransformer", "MarkovTask", "generalized_induction_head"],
    "models": ["DenseTransformer", "EquivariantTransformer"],
    "oracle": ["BASELINES", "baseline_predict", "bayes_posterior", "bayes_predict"],
    "recursion": ["Recursion"],
    "rivals": ["explain"],
    "symmetry": ["assert_equivariant", "equivariance_error", "equivariance_errors"],
    "tasks": ["Batch", "LinearTask", "MixedTask"],
    "training": ["History", "train"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    """A public name is imported when it is first used (PEP 562), so that `icl_nb.recursion` costs NumPy and no more."""
    if name == "__version__":
        from importlib.metadata import version

        value = version("icl-nb")
    elif name in _HOME:
        value = getattr(import_module(f"icl_nb.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'icl_nb' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
