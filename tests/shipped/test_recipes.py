"""A recipe does what it says; that children are made after their parents, and from them, is tested with the files."""

from dataclasses import replace

import pytest

from icl_nb.evaluation.scores import evaluate
from icl_nb.interpret.lens import Lens, follow
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load
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


def test_heads_are_held_against_copies_of_as_many_numbers():
    """Beside each model of several heads one of several copies, as deep, trained as long, and hardly larger."""
    families = ("heads8", "copies2"), ("heads8-deep", "copies2-deep"), ("heads18-deep", "copies3-deep")
    for pair in ([f"{family}-{seed}" for family in both] for both in families for seed in range(3)):
        ours, theirs = (recipes.RECIPES[name] for name in pair)
        sizes = [sum(part.numel() for part in load(name).parameters()) for name in pair]
        assert 0 <= sizes[1] - sizes[0] <= 2 < sizes[0]
        for part, name in (("model", "depth"), ("model", "seed"), ("training", "steps")):
            assert getattr(ours, part)[name] == getattr(theirs, part)[name]
        assert ours.task == theirs.task and ours.model.get("copies", 1) == 1 < theirs.model["copies"]


def test_each_network_has_its_followers():
    """Same starts and trainings, another teacher, and other weights in the end."""
    for name in ("follower", "follower-memory"):
        first, again = recipes.RECIPES[name], recipes.RECIPES[f"{name}-again"]
        assert (first.teacher, again.teacher) == ("ordinary-0", "ordinary-1")
        assert replace(again, teacher=first.teacher) == first
        start, *both = (load(which).v for which in (first.start, name, f"{name}-again"))
        assert min((both[0] - both[1]).abs().max(), (both[1] - start).abs().max()) > 1e-2
