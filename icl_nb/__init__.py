"""icl_nb: what a transformer does when it classifies in context."""

import os

# Before torch loads. The matrices here are small: a second thread gains nothing, and where other work holds the cores
# it slows a step a hundredfold. Run processes side by side instead, or set the variable yourself.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from icl_nb.abstraction import abstract, four_scalar_model
from icl_nb.files import available, describe, history, load, save
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
