"""What a reader sees who ends a cell with an object: a line that says what it is, or a small table, and no dump."""

import pytest

from icl_nb.evaluation.scores import Report
from icl_nb.induction import FullInductionTransformer, InductionTransformer, MarkovTask, information_table
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.training import train
from icl_nb.recursion import Recursion
from icl_nb.tasks.linear import LinearTask

SHOWN = {
    "EquivariantTransformer(n_features=5, n_classes=3, depth=8, heads=1, scalars=12)": EquivariantTransformer,
    "DenseTransformer(n_features=5, n_classes=3, depth=8, heads=1)": DenseTransformer,
    "OrdinaryTransformer(n_features=5, n_classes=3, depth=6, heads=4, blocks=6, head_size=12, mlp=4)": (
        lambda: OrdinaryTransformer(heads=4, depth=6)
    ),
    "InductionTransformer(n_states=3, window=3, heads=3, degree=2, normalise=True, subsets=6)": InductionTransformer,
    "FullInductionTransformer(n_states=3, window=6, heads=3, width=48)": FullInductionTransformer,
    "Batch(12 tasks, n=40, q=2, d=5, K=3)": lambda: LinearTask().sample(12, n_queries=2),
    "Chains(7 sequences, L=100, S=3, lags=(1, 2))": lambda: MarkovTask().sample(7),
    "InformationTable(50 chains, 3 sets of lags, best (1, 2))": (
        lambda: information_table(MarkovTask(), window=2, degree=2, n_kernels=50)
    ),
    "History(2 steps, last loss ": (
        lambda: train(EquivariantTransformer(depth=1), LinearTask(), steps=2, batch_size=4, progress=False)
    ),
    "Recursion(1 layers, 1 head, K=3, scale 1)": lambda: Recursion(
        {"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1}
    ),
    "Report(accuracy=1.0, ": lambda: Report(1.0, 0.0, 0.0, 0.0, 2, 1),
}


@pytest.mark.parametrize("begins", SHOWN)
def test_shown_in_a_line(begins):
    shown = repr(SHOWN[begins]())
    assert shown.startswith(begins) and "\n" not in shown and len(shown) < 160
    assert shown == begins or begins[-1] != ")"
