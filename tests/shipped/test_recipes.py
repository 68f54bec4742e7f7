"""A recipe does what it says; that children are made after their parents, and from them, is tested with the files."""

import pytest

from icl_nb.evaluation.scores import evaluate
from icl_nb.interpret.lens import Lens, follow
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.shipped import recipes
from icl_nb.tasks.linear import LinearTask


def test_a_follower_learns_from_its_teacher_and_not_from_the_labels(monkeypatch):
    """The loss of the first fifty steps is that of `follow`, behind this teacher and no other."""
    monkeypatch.setattr(recipes, "evaluate", lambda model, task: evaluate(model, task, n_tasks=4))
    training, model = {"steps": 50, "batch_size": 4, "n_queries": 2, "seed": 0}, {"depth": 1, "heads": 1, "scalars": 4}
    recipe = recipes.Recipe("equivariant", model, training, teacher="parent")
    losses = []
    for seed in (0, 1):
        parent = OrdinaryTransformer(depth=1, heads=2, blocks=2, seed=seed)
        _, _, about = recipe.make({"parent": parent}.__getitem__)
        lens = Lens(parent, LinearTask().sample(300, seed=2, n_queries=16))
        history = follow(EquivariantTransformer(**model), lens, LinearTask(), progress=False, **training)
        losses.append(sum(history.loss) / 50)
        assert about["curve"]["loss"] == [pytest.approx(losses[-1], abs=2e-5)]
    assert abs(losses[0] - losses[1]) > 1e-3
