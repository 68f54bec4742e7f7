"""icl_nb: what a transformer does when it classifies in context."""

from importlib.metadata import version

from icl_nb.abstraction import abstract, four_scalar_model
from icl_nb.checkpoints import available, describe, load, save
from icl_nb.classifier import RecursionClassifier
from icl_nb.evaluation import Comparison, Report, compare, evaluate, mean_agreement, predict, score, yardsticks
from icl_nb.induction import InductionTransformer, MarkovTask, generalized_induction_head
from icl_nb.models import DenseTransformer, EquivariantTransformer
from icl_nb.oracle import BASELINES, baseline_predict, bayes_posterior, bayes_predict
from icl_nb.recursion import Recursion
from icl_nb.rivals import explain
from icl_nb.symmetry import assert_equivariant, equivariance_error, equivariance_errors
from icl_nb.tasks import Batch, LinearTask, MixedTask
from icl_nb.training import History, train

__version__ = version("icl-nb")

__all__ = [
    "BASELINES",
    "Batch",
    "Comparison",
    "DenseTransformer",
    "EquivariantTransformer",
    "History",
    "InductionTransformer",
    "LinearTask",
    "MarkovTask",
    "MixedTask",
    "Recursion",
    "RecursionClassifier",
    "Report",
    "abstract",
    "assert_equivariant",
    "available",
    "baseline_predict",
    "bayes_posterior",
    "bayes_predict",
    "compare",
    "describe",
    "equivariance_error",
    "equivariance_errors",
    "evaluate",
    "explain",
    "four_scalar_model",
    "generalized_induction_head",
    "load",
    "mean_agreement",
    "predict",
    "save",
    "score",
    "train",
    "yardsticks",
]
