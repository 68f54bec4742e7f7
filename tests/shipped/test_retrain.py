"""In the order of parents, resumable, shared out; the trainings themselves are tested with the files."""

import copy

import pytest
import torch

from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load, save
from icl_nb.models.training import train
from icl_nb.runs import engine
from icl_nb.shipped import retrain as module
from icl_nb.shipped.recipes import take_up, tie_
from icl_nb.shipped.retrain import HEADLINES, RECIPES, retrain
from icl_nb.tasks.linear import LinearTask


@pytest.fixture
def made(monkeypatch):
    """What is made, in order; nothing is trained: the shipped model is put there."""
    names = []

    def make(recipe, path, parents):
        assert all(str(parent) in RECIPES or parent.exists() for parent in parents.values())  # parents come first
        names.append(path.stem)
        about = {"recipe": {key: value for key, value in vars_of(recipe).items() if value is not None}}
        save(load(path.stem), path, **about)
        return path

    monkeypatch.setattr(module, "_make", make)
    return names


def vars_of(recipe):
    from dataclasses import asdict

    return asdict(recipe)


FAMILY = ["opened", "ordinary-0", "follower", "recursion", "four-0"]


def test_parents_come_first_and_a_second_call_makes_what_is_missing(tmp_path, made):
    retrain(FAMILY, folder=tmp_path, jobs=1, resume=True, progress=False)
    assert sorted(made) == sorted(FAMILY) and made.index("ordinary-0") < made.index("opened")
    (tmp_path / "opened.safetensors").unlink()
    (tmp_path / "four-0.safetensors").write_bytes(b"torn")
    assert [path.stem for path in retrain(FAMILY, folder=tmp_path, jobs=1, resume=True, progress=False)] == [
        "four-0",
        "opened",
    ]
    retrain(["four-0"], folder=tmp_path, jobs=1, progress=False)
    assert made[-1] == "four-0" and len(made) == 8  # without resume all is made


def test_what_was_made_from_another_recipe_is_made_again(tmp_path, made):
    save(load("four-0"), tmp_path / "four-0.safetensors", recipe={"kind": "dense"})
    retrain(["four-0"], folder=tmp_path, jobs=1, resume=True, progress=False)
    assert made == ["four-0"]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_shards_share_everything_out_and_part_no_family(n, tmp_path, made):
    names = [*FAMILY, "memory", "follower-memory", "dense-0", "dense-1"]
    shards = []
    for i in range(1, n + 1):
        before = len(made)
        retrain(names, folder=tmp_path, jobs=1, shard=f"{i}/{n}", progress=False)
        shards.append(made[before:])
    assert sorted(name for shard in shards for name in shard) == sorted(names)
    kin = {"opened", "ordinary-0", "follower", "recursion", "memory", "follower-memory"}
    assert any(kin <= set(shard) for shard in shards)


def test_headlines_ship():
    assert set(HEADLINES) <= set(RECIPES) and engine.run_all is module.run_all


def test_tied_layers_see_the_mean_gradient_and_stay_equal():
    tied = EquivariantTransformer(depth=4, heads=2, copies=2, scalars=4, seed=3).double()
    before = tied.m.detach().mean(0)
    tie_(tied)
    free = copy.deepcopy(tied)  # hooks are not copied
    free.load_state_dict(tied.state_dict())
    batch = LinearTask().sample(8, n_queries=2, dtype=torch.float64)
    for model in (tied, free):
        model(batch.x, batch.context_y).square().mean().backward()
    assert not torch.allclose(free.v.grad[0], free.v.grad[1])
    for name in ("m", "v"):
        whole = getattr(free, name).grad.mean(0).expand(4, *free.m.shape[1:])
        torch.testing.assert_close(getattr(tied, name).grad, whole)
    torch.testing.assert_close(tied.scale.grad, free.scale.grad)
    torch.testing.assert_close(tied.m[2], before)
    train(tied, LinearTask(), steps=5, batch_size=8, progress=False)
    assert (tied.m == tied.m[0]).all() and (tied.v == tied.v[0]).all() and (tied.m[0] - before).abs().max() > 1e-4


def test_a_tied_table_ships_tied():
    for name in (name for name, recipe in RECIPES.items() if getattr(recipe, "tied", False)):
        model = load(name)
        assert all((part == part[0]).all() for part in (model.m, model.v)), name


def test_what_a_parent_lacks_stays_as_it_starts():
    small, large = (
        EquivariantTransformer(depth=2, heads=2, scalars=4),
        EquivariantTransformer(depth=2, heads=3, scalars=4, slopes=True, seed=5),
    )
    own = {name: part.clone() for name, part in large.state_dict().items()}
    state = take_up(large.state_dict(), small.state_dict())
    large.load_state_dict(state)
    assert (large.m[:, :2] == small.m).all() and (large.v[:, :2] == small.v).all() and large.scale == small.scale
    assert (large.m[:, 2] == own["m"][:, 2]).all() and (large.v[:, 2] == own["v"][:, 2]).all()
    assert not large.m_slope.any()
    # Heads that move nothing leave the answers as they were.
    large.v.data[:, 2] = 0
    batch = LinearTask().sample(3, n_queries=2)
    torch.testing.assert_close(large(batch.x, batch.context_y), small(batch.x, batch.context_y))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"w": torch.ones(1)}, "no tensor"),
        ({"m": torch.ones(2, 4, 1)}, "only heads"),
        ({"m": torch.ones(1, 2, 1)}, "only heads"),
        ({"m": torch.ones(2, 1, 2)}, "only heads"),
        ({"m": torch.ones(2, 1)}, "only heads"),
    ],
)
def test_a_parent_of_another_kind_is_refused(given, word):
    with pytest.raises(ValueError, match=word):
        take_up({"m": torch.zeros(2, 3, 1)}, given)


def test_a_rival_has_as_many_numbers():
    one, two = (sum(part.numel() for part in load(name).parameters()) for name in ("trusted-one", "trusted"))
    assert abs(one - two) <= 1 < one


def test_without_slopes_half_of_the_numbers_are_left():
    """And nothing else of the recipe is another: not the start, the tasks, the seeds or the steps."""
    for step in ("-short", "-long", ""):
        flat, full = RECIPES[f"trusted-flat{step}"], RECIPES[f"trusted{step}"]
        assert flat.model | {"slopes": True} == full.model
        assert flat.training == full.training and flat.task == full.task
        assert (flat.start or "").replace("-flat", "") == full.start
    flat, full = load("trusted-flat"), load("trusted")
    assert full.m_slope.shape == full.m.shape == flat.m.shape
    assert {name for name, _ in full.named_parameters()} - {name for name, _ in flat.named_parameters()} == {
        "m_slope",
        "v_slope",
    }
