"""The ladder against definitions written out, the idle scalars against the rank of the Jacobian."""

import copy
import dataclasses
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icl_nb.evaluation.scores import compare, model_hits, predict, score
from icl_nb.interpret.abstraction import (
    CHANCE,
    abstract,
    chance_tables,
    choices,
    four_scalar_model,
    phases,
    rounded_model,
    sign_phases,
)
from icl_nb.interpret.gauge import (
    align,
    canonical,
    coordinate_effects,
    coordinate_model,
    effect_map,
    function_rank,
    regauge,
    shortest,
)
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.files import load
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.symmetry import COORDINATES, assemble, coordinates, off_commutant, random_rotation
from icl_nb.tasks.linear import LinearTask

EXACT = 1e-12
seeds = st.integers(0, 10**6)


def generic(kind=EquivariantTransformer, seed=0, size=0.4, **shape):
    """A float64 model whose every weight is random, no coordinate being 0."""
    model = kind(**{"n_features": 4, "n_classes": 3, "depth": 3, "heads": 2} | shape).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (model.m, model.v):
            part.copy_(size * torch.randn(part.shape, generator=generator, dtype=torch.float64))
    return model


def draw(model, n_tasks=20, n_points=7, n_queries=2, seed=0):
    task = LinearTask(n_points, model.n_features, model.n_classes)
    return task.sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def difference(ours, theirs, batch):
    """Largest difference of a centred logit, relative: what no class probability shows is left out."""
    a, b = (predict(model, batch) for model in (ours, theirs))
    a, b = (logits - logits.mean(-1, keepdim=True) for logits in (a, b))
    return ((a - b).abs().max() / max(1, a.abs().max())).item()


def zeros(model):
    return int((model.m == 0).sum() + (model.v == 0).sum())


# Models on the way down


def test_coordinate_model_is_the_projection():
    dense = generic(DenseTransformer)
    model = coordinate_model(dense)
    for ours, theirs in zip(model.weights(), dense.projected().weights(), strict=True):
        assert (ours - theirs).abs().max() <= EXACT
    assert model.scale == dense.scale


def test_coordinate_model_keeps_what_it_is_told():
    model = coordinate_model(generic(), score=["I_d", "J_Kd"], value=[])
    assert (model.m[..., [1, 2, 3, 4]] == 0).all() and (model.m[..., [0, 5]] != 0).all() and not model.v.any()
    with pytest.raises(ValueError, match="J_x"):
        coordinate_model(model, score=["J_x"])


@pytest.mark.parametrize("kind", [DenseTransformer, EquivariantTransformer])
@pytest.mark.parametrize("d", [1, 4])
def test_four_scalar_model_is_the_recursion(kind, d):
    model = generic(kind, n_features=d)
    four, batch = four_scalar_model(model), draw(model)
    assert four.scalars == 4
    with torch.no_grad():
        logits = four(batch.x, batch.context_y).numpy()
    assert np.abs(Recursion.from_model(model)(batch.x, batch.context_y) - logits).max() <= EXACT * np.abs(logits).max()


def test_four_scalars_are_those_of_the_identities():
    model = generic()
    for ours, theirs in zip(four_scalar_model(model).weights(), model.coordinates(), strict=True):
        only = torch.where(torch.tensor([name in ("I_d", "I_K") for name in COORDINATES]), theirs, 0.0)
        assert (ours - assemble(only, 4, 3)).abs().max() <= EXACT


def test_one_feature_has_no_average_apart_from_itself():
    """d = 1: I_d and J_d are the same matrix, and both together are what the four scalars must hold."""
    model = generic(n_features=1)
    with torch.no_grad():
        model.m[..., 3:] = model.v[..., 3:] = 0
    assert difference(model, four_scalar_model(model), draw(model)) <= EXACT
    assert difference(model, coordinate_model(model), draw(model)) <= EXACT


def test_rounded_model():
    model = rounded_model(generic(scalars=4), decimals=1)
    for part in model.parameters():
        assert (10 * part - (10 * part).round()).abs().max() <= EXACT


# The ladder


def test_ladder_of_four_scalars_loses_nothing():
    model = generic(scalars=4)
    *exact, rounded = abstract(model, draw(model))
    for rung in exact:
        assert not rung.score_distance.any() and not rung.value_distance.any(), rung.name
        for errors in (rung.on_path, rung.alone):
            assert not errors.attention.any()
            assert (errors.feature_cosine - 1).abs().max() <= EXACT
            assert (errors.label_cosine - 1).abs().max() <= EXACT
        assert rung.comparison.max_difference == 0 and rung.comparison.agreement == 1
        assert rung.n_scalars == 4 * 3 * 2 + 1
    assert rounded.comparison.max_difference > 1e-6 and rounded.alone.attention.any()


def test_ladder_of_an_equivariant_model_loses_rounding_until_the_four():
    model = generic()
    ladder = abstract(model, draw(model))
    for name in ("original", "projected", "coordinates"):
        assert ladder[name].comparison.max_difference <= EXACT
        assert ladder[name].score_distance.max() <= EXACT and ladder[name].alone.attention.max() <= EXACT
    assert ladder["four scalars"].comparison.max_difference > 1e-3
    assert (ladder["four scalars"].score_distance > 0.1).all()


def test_ladder_of_a_dense_model():
    model = generic(DenseTransformer)
    ladder = abstract(model.float(), draw(model))
    assert [rung.n_scalars for rung in ladder] == [2 * 3 * 2 * 49 + 1, 12 * 6 + 1, 12 * 6 + 1, 4 * 6 + 1, 4 * 6 + 1]
    projected = ladder["projected"]
    assert ladder["original"].comparison.max_difference == 0
    assert projected.comparison.max_difference > 1e-3
    assert difference(projected.model, ladder["coordinates"].model, draw(model)) <= EXACT
    theirs = projected.model
    for ours, after in ((ladder[0].model.m, theirs.m), (ladder[0].model.v, theirs.v)):
        distance = projected.score_distance if ours is ladder[0].model.m else projected.value_distance
        for level in range(3):
            assert distance[level] == pytest.approx(((after - ours)[level].norm() / ours[level].norm()).item())


def test_ladder_scores_are_those_of_evaluation():
    model = generic()
    batch = draw(model)
    rung = abstract(model, batch)["four scalars"]
    logits = predict(four_scalar_model(model), batch)
    assert rung.report == score(logits, batch)
    assert rung.comparison == compare(logits, predict(model, batch), batch)


def errors_by_loops(model, other, batch, on_path):
    """Attention distance and cosines of each layer, points and tasks one at a time."""
    n, d, rows = batch.context_y.shape[1], model.n_features, []
    (tokens, attention), (their_tokens, their_attention) = (
        part.trajectory(batch.x, batch.context_y) for part in (model, other)
    )
    for level in range(model.depth):
        if on_path:
            after, theirs = other.layer(level, tokens[level], n)
            before = tokens[level]
        else:
            before, after, theirs = their_tokens[level], their_tokens[level + 1], their_attention[level]
        distance = [
            0.5 * abs(attention[level, b, h, i] - theirs[b, h, i]).sum().item()
            for b in range(len(batch))
            for h in range(model.heads)
            for i in range(batch.x.shape[1])
        ]
        sums = np.zeros((2, 3))
        for b, i in np.ndindex(*batch.x.shape[:2]):
            for block in range(2):
                pair = [(tokens[level + 1] - tokens[level])[b, i], (after - before)[b, i]]
                pair = [move[:d] if block == 0 else move[d:] - move[d:].mean() for move in pair]
                sums[block] += [(pair[0] @ pair[1]).item(), (pair[0] @ pair[0]).item(), (pair[1] @ pair[1]).item()]
        rows.append([np.mean(distance), *(sums[:, 0] / np.sqrt(sums[:, 1] * sums[:, 2]))])
    return np.array(rows).T


@torch.no_grad()
@pytest.mark.parametrize("name", ["projected", "rounded"])
def test_layer_errors_equal_loops(name):
    model = generic(DenseTransformer)
    batch = draw(model, n_tasks=3, n_points=4)
    rung = abstract(model, batch)[name]
    for errors, on_path in ((rung.on_path, True), (rung.alone, False)):
        ours = np.array([errors.attention.tolist(), errors.feature_cosine.tolist(), errors.label_cosine.tolist()])
        assert np.abs(ours - errors_by_loops(model, rung.model, batch, on_path)).max() <= 1e-10


def test_first_layer_errors_are_the_same_on_both_paths_and_later_ones_are_not():
    model = generic(DenseTransformer)
    rung = abstract(model, draw(model))["four scalars"]
    assert rung.on_path.attention[0] == rung.alone.attention[0]
    assert rung.on_path.attention[2] != rung.alone.attention[2]


def test_a_layer_that_stops_moving_is_not_aligned():
    model = generic(scalars=4)
    with torch.no_grad():
        model.v[1, :, 1] = 1e-3  # rounds to 0
        model.v[2] = 0  # moves nothing to begin with
    cosines = abstract(model, draw(model))["rounded"].on_path.label_cosine
    assert cosines[0] > 0.99 and cosines[1:].tolist() == [0.0, 1.0]


def test_ladder_prints_and_finds_its_rungs():
    model = generic()
    ladder = abstract(model, draw(model))
    assert len(ladder) == 5 and ladder[0].name == "original"
    lines = str(ladder).splitlines()
    assert [line[:14].strip() for line in lines[1:]] == [rung.name for rung in ladder]
    assert f"{ladder['rounded'].report.accuracy:.4f}" in lines[-1]
    assert len(str(ladder["rounded"]).splitlines()) == 3 + model.depth
    with pytest.raises(KeyError, match="four scalars"):
        ladder["five"]


def test_ladder_leaves_the_model_alone():
    model = generic(DenseTransformer).float()
    before = copy.deepcopy(model.state_dict())
    abstract(model, draw(model))
    assert model.dtype == torch.float32
    assert all((before[name] == part).all() for name, part in model.state_dict().items())


def test_refuses_what_has_no_standard_error():
    with pytest.raises(ValueError, match="at least 2"):
        abstract(generic(), draw(generic(), n_tasks=1))


# What can be identified


def expected_rank(depth, heads, scalars, d):
    if scalars == 4:
        idle = heads if depth > 1 else 2 * heads + 1
    elif depth == 1:
        idle = 9 * heads + 1 if d > 1 else 10 * heads + 1
    else:
        idle = 10 * heads + 2 + (2 * depth - 1) * heads * (d == 1)
    return scalars * depth * heads + 1 - idle


@pytest.mark.parametrize(
    ("depth", "heads", "scalars", "d", "k"),
    [
        (1, 1, 4, 4, 3),
        (1, 2, 4, 2, 2),
        (1, 1, 12, 4, 3),
        (1, 2, 12, 1, 3),
        (2, 1, 4, 1, 2),
        (2, 2, 4, 3, 3),
        (2, 1, 12, 4, 3),
        (2, 2, 12, 2, 2),
        (3, 1, 12, 3, 3),
        (3, 1, 12, 1, 3),
        (3, 2, 12, 2, 3),
        (4, 1, 4, 2, 3),
    ],
)
def test_function_rank_counts_the_idle_scalars(depth, heads, scalars, d, k):
    model = generic(n_features=d, n_classes=k, depth=depth, heads=heads, scalars=scalars)
    batch = draw(model, n_tasks=60, n_points=6)
    assert function_rank(model, batch) == (expected_rank(depth, heads, scalars, d), scalars * depth * heads + 1)


@pytest.mark.parametrize("scalars", [4, 12])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("d", [1, 4])
def test_canonical_is_the_same_function(scalars, depth, d):
    model = generic(depth=depth, scalars=scalars, n_features=d)
    fixed, batch = canonical(model), draw(model)
    assert difference(model, fixed, batch) <= EXACT
    assert zeros(model) == 0 and zeros(fixed) > 0
    again = canonical(fixed)
    assert (again.m == fixed.m).all() and (again.v == fixed.v).all()


def test_canonical_zeros():
    assert zeros(canonical(generic(depth=3, heads=2))) == 10 * 2
    assert zeros(canonical(generic(depth=3, heads=2, scalars=4))) == 2
    # Where no layer writes to s all that reads it is idle: I_d, J_d, I_K of each matrix remain, and I_K of the last V.
    silent = coordinate_model(generic(depth=3, heads=1), value=[name for name in COORDINATES if name != "J_Kd"])
    fixed = canonical(silent)
    assert difference(silent, fixed, draw(silent)) <= EXACT
    assert zeros(fixed) == 12 * 3 - (3 * 3 + 2 * 3 + 1)


def test_no_other_scalar_is_idle():
    """The checker must fail: to put any one scalar more to 0 is seen in the logits."""
    fixed = canonical(generic(depth=2, heads=1))
    batch = draw(fixed)
    for part in ("m", "v"):
        for index in getattr(fixed, part).nonzero().tolist():
            other = copy.deepcopy(fixed)
            with torch.no_grad():
                getattr(other, part)[tuple(index)] = 0
            assert difference(fixed, other, batch) > 1e-6, (part, index)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 4])
def test_canonical_dense(depth, d):
    model = generic(DenseTransformer, depth=depth, n_features=d)
    fixed = canonical(model)
    assert difference(model, fixed, draw(model)) <= EXACT
    again = canonical(fixed)
    assert max((again.m - fixed.m).abs().max(), (again.v - fixed.v).abs().max()) <= EXACT
    m, v = (coordinates(part.detach(), d, 3) for part in fixed.weights())
    assert m[0][:, 3:].abs().max() <= EXACT and v[0][:, 3:5].abs().max() <= EXACT
    assert v[-1][:, [0, 1, 3, 4, 5]].abs().max() <= EXACT


def test_canonical_removes_asymmetry_that_is_not_in_the_function():
    """Noise in idle entries counts as broken symmetry until it is taken away."""
    symmetric = coordinate_model(generic(depth=1))
    dense = DenseTransformer(4, 3, depth=1, heads=2).double()
    with torch.no_grad():
        for part, weights in zip((dense.m, dense.v), symmetric.weights(), strict=True):
            part.copy_(weights)
        dense.v[0, :, :4] += torch.randn(2, 4, 7, dtype=torch.float64)  # moves features nobody reads
        dense.m[0, :, :4, 4:] += torch.randn(2, 4, 1, dtype=torch.float64)  # reads the average label, which is 0
    before, after = (
        torch.stack([off_commutant(part, 4, 3) for part in m.weights()]) for m in (dense, canonical(dense))
    )
    assert before.min() > 0.1 and after.max() <= EXACT
    assert difference(dense, symmetric, draw(dense)) <= EXACT


@given(seeds, st.floats(-2, 2), st.floats(-3, 3), st.integers(1, 4))
def test_regauge_is_the_same_function(seed, shear, stretch, d):
    assume(abs(stretch) > 0.2)
    model = generic(seed=seed, size=0.25, n_features=d)
    other = regauge(model, shear, stretch)
    assert difference(model, other, draw(model, n_tasks=4)) <= 1e3 * EXACT
    back = regauge(regauge(other, 0.0, 1 / stretch), -shear)
    assert max((back.m - model.m).abs().max(), (back.v - model.v).abs().max()) <= 1e3 * EXACT or d == 1


def test_regauge_changes_every_cross_coordinate():
    model = generic()
    other = regauge(model, 0.7, -1.5)
    for part in ("m", "v"):
        assert ((getattr(other, part) - getattr(model, part))[..., 3:].abs().amax((0, 1)) > 1e-3).all()
    with pytest.raises(ValueError, match="stretch=0"):
        regauge(model, 0.0, 0.0)


def test_a_gauge_that_moves_the_input_is_not_one():
    """The checker must fail: (a, s) -> (2 a, s) conjugates the same blocks and is another function."""
    model = generic()
    m, v = (part.clone() for part in model.coordinates())
    with torch.no_grad():
        m[..., 1] = (m[..., 0] + m[..., 1]) / 4 - m[..., 0]
        m[..., 4:] /= 2
        v[..., 4], v[..., 5] = 2 * v[..., 4], v[..., 5] / 2
        other = copy.deepcopy(model)
        other.m.copy_(m), other.v.copy_(v)
    assert difference(model, other, draw(model)) > 1e-3


def other_coordinates(model):
    return torch.cat([part[..., [1, 3, 4, 5]] for part in (model.m, model.v)])


@given(seeds, st.floats(-2, 2), st.floats(0.3, 3))
@settings(max_examples=10)
def test_shortest_does_not_depend_on_the_copy(seed, shear, stretch):
    model = generic(seed=seed)
    least = shortest(model)
    assert difference(model, least, draw(model, n_tasks=4)) <= 1e3 * EXACT
    for gauge in ((shear, stretch), (0.0, -1.0)):
        copied = shortest(regauge(model, *gauge))
        sign = torch.tensor([1, 1, 1, 1, 1, 1]) if gauge[1] > 0 else torch.tensor([1, 1, 1, 1, -1, -1])
        assert max((copied.m - sign * least.m).abs().max(), (copied.v - sign * least.v).abs().max()) < 1e-4


def test_shortest_is_shorter_than_its_neighbours():
    least = shortest(generic())
    size = other_coordinates(least).square().sum()
    assert size < other_coordinates(canonical(generic())).square().sum()
    for gauge in ((0.01, 1.0), (-0.01, 1.0), (0.0, 1.01), (0.0, 0.99)):
        assert other_coordinates(canonical(regauge(least, *gauge))).square().sum() > size


def test_shortest_leaves_what_has_no_freedom():
    four = generic(scalars=4)
    assert torch.equal(shortest(four).m[..., [0, 2]], canonical(four).m)
    assert not other_coordinates(shortest(four)).any()
    silent = coordinate_model(generic(), value=["I_d", "J_d", "I_K", "J_K", "J_dK"])  # never writes to s
    assert torch.equal(shortest(silent).m, canonical(silent).m)


# Symmetries of the recursion


def random_recursion(depth=3, heads=3, seed=0):
    scalars = 0.5 * np.random.default_rng(seed).normal(size=(4, depth, heads))
    return Recursion(dict(zip(SCALARS, scalars, strict=True)), scale=3.0)


def disguised(recursion, seed):
    """The same function: heads in another order in each layer, another last gamma."""
    random = np.random.default_rng(seed)
    depth, heads = recursion.table.shape
    order = random.permuted(np.tile(np.arange(heads), (depth, 1)), axis=1)
    scalars = {name: np.take_along_axis(recursion.table[name], order, 1) for name in SCALARS}
    scalars["gamma"] = scalars["gamma"].copy()
    scalars["gamma"][-1] = random.normal(size=heads)
    return recursion.replace(**scalars)


@given(seeds)
def test_align_sees_through_the_symmetries(seed):
    ours = random_recursion(seed=seed)
    theirs = disguised(ours, seed)
    batch = LinearTask(n_points=7).sample(3, dtype=torch.float64)
    logits = ours(batch.x, batch.context_y)
    tolerance = 10 * EXACT * max(1, np.abs(logits).max())
    assert np.abs(theirs(batch.x, batch.context_y) - logits).max() <= tolerance
    aligned, distance = align(theirs, ours)
    assert (distance == 0).all()
    assert np.abs(aligned(batch.x, batch.context_y) - logits).max() <= tolerance
    assert all((aligned.table[name][:-1] == ours.table[name][:-1]).all() for name in SCALARS)


@given(seeds)
@settings(max_examples=20)
def test_align_finds_the_nearest_order(seed):
    ours, theirs = random_recursion(seed=seed), random_recursion(seed=seed + 1)
    a, b = (np.stack([r.table[name] for name in SCALARS], -1) for r in (ours, theirs))
    a[-1, :, 2] = b[-1, :, 2] = 0
    nearest = [min(np.linalg.norm(a[t] - b[t][list(order)]) for order in permutations(range(3))) for t in range(3)]
    expected = np.array(nearest) / np.linalg.norm(a, axis=(1, 2))
    assert np.abs(align(theirs, ours)[1] - expected).max() <= EXACT


def test_rescalings_are_no_symmetries():
    """Neither alpha against the size of x, nor beta or delta against that of u, nor any against the read-out."""
    ours = random_recursion()
    batch = LinearTask(n_points=7).sample(3, dtype=torch.float64)
    logits = ours(batch.x, batch.context_y)
    for change in ({"alpha": 0.25}, {"beta": 0.25}, {"delta": 2.0}, {"delta": 2.0, "beta": 0.25}, {"gamma": -1.0}):
        scaled = ours.replace(**{name: ours.table[name] * factor for name, factor in change.items()})
        for scale in (ours.scale, ours.scale / 2, ours.scale * 2):
            other = dataclasses.replace(scaled, scale=scale)
            assert np.abs(other(batch.x, batch.context_y) - logits).max() > 1e-3


def test_align_refuses_other_shapes():
    with pytest.raises(ValueError, match="must be the same"):
        align(random_recursion(depth=2), random_recursion(depth=3))


def test_effects_of_four_scalars_are_the_four():
    model = generic(scalars=4)
    effects = coordinate_effects(model, draw(model))
    assert [effect.coordinate for effect in effects] == [*COORDINATES, *COORDINATES]
    for effect in effects:
        named = effect.coordinate in ("I_d", "I_K")
        assert (effect.size > 0) == (effect.without.max_difference > 0) == named
        assert effect.beside_four.max_difference == 0


def test_effects_are_those_of_the_models_named():
    model = generic()
    batch = draw(model)
    full = predict(model, batch)
    effect = next(e for e in coordinate_effects(model, batch) if (e.matrix, e.coordinate) == ("V", "J_dK"))
    without = coordinate_model(canonical(model), value=[name for name in COORDINATES if name != "J_dK"])
    added = coordinate_model(canonical(model), score=["I_d", "I_K"], value=["I_d", "I_K", "J_dK"])
    for ours, theirs in ((effect.without, without), (effect.beside_four, added)):
        assert ours.max_difference == pytest.approx(compare(predict(theirs, batch), full, batch).max_difference)
    assert effect.size == pytest.approx(canonical(model).v[..., 4].square().mean().sqrt().item())


@pytest.mark.parametrize("heads", [1, 2])
def test_effect_map_is_that_of_models_with_one_number_less(heads):
    model = canonical(generic(depth=2, heads=heads))
    batch, before = draw(model), copy.deepcopy(model.state_dict())
    sizes, effects = effect_map(model, batch)
    assert sizes.shape == effects.shape == (2, heads, 12)
    assert np.array_equal(sizes, torch.cat([model.m, model.v], -1).detach().abs().numpy())
    assert all(torch.equal(model.state_dict()[name], part) for name, part in before.items())
    full = predict(model, batch)
    for layer, head, column in ((0, 0, 0), (1, heads - 1, 3), (0, heads - 1, 8), (1, 0, 8)):
        other = copy.deepcopy(model)
        with torch.no_grad():
            (other.m, other.v)[column // 6][layer, head, column % 6] = 0
        assert effects[layer, head, column] == compare(predict(other, batch), full, batch).divergence
        assert effects[layer, head, column] > 0
    assert not effects[sizes == 0].any() and (sizes == 0).sum() == 10 * heads


# Groups and phases


@settings(max_examples=20, deadline=None)
@given(seed=seeds, d=st.integers(1, 6), fix=st.booleans())
def test_rotations_are_orthogonal_and_fix_what_they_should(seed, d, fix):
    turn = random_rotation(d, torch.Generator().manual_seed(seed), fix_axis=fix)
    assert turn.shape == (d, d) and (turn @ turn.T - torch.eye(d)).abs().max() < EXACT
    moves = (turn.sum(1) - 1).abs().max()
    assert moves < EXACT if fix else d == 1 or moves > EXACT
    again = random_rotation(d, torch.Generator().manual_seed(seed), fix_axis=fix)
    assert torch.equal(turn, again)


def test_rotations_about_the_axis_commute_with_the_commutant_and_others_do_not():
    generator = torch.Generator().manual_seed(0)
    matrix = assemble(torch.tensor([0.3, 1.2, 0, 0, 0, 0], dtype=torch.float64), 4, 2)[:4, :4]  # I_d and J_d
    about, free = random_rotation(4, generator, fix_axis=True), random_rotation(4, generator)
    assert (about @ matrix - matrix @ about).abs().max() < EXACT
    assert (free @ matrix - matrix @ free).abs().max() > 0.1


def table_of(rows):
    rows = np.array(rows, dtype=float)
    return random_recursion(depth=len(rows), heads=1).replace(**dict(zip(SCALARS, rows.T[..., None], strict=True)))


def test_phases_follow_the_signs():
    rows = {
        "G": (-1.0, 1.0, 1.0, -3.0),  # alpha, beta, gamma, delta
        "W": (1.0, -1.0, -0.2, 3.0),
        "R": (-1.0, 1.0, -0.05, 0.3),
        "·": (1.0, 1.0, 1.0, 1.0),
    }
    assert sign_phases(table_of([*rows.values(), rows["·"]])) == "GWR·R"  # the last gamma counts as 0
    assert sign_phases(table_of([rows["W"], rows["W"]])) == "WR"
    assert sign_phases(table_of([(-1.0, -1.0, 1.0, 1.0), (*rows["G"][:3], 0.1)])) == "··"


def test_stretches_of_phases_follow_gamma():
    table = table_of([(1.0, 1.0, gamma, 1.0) for gamma in (-1.0, 0.3, 0.31, -1.0, 0.5, 0.0)])
    assert phases(table) == {"whiten": slice(0, 2), "gather": slice(2, 5), "read": slice(5, 6)}
    with pytest.raises(ValueError, match="none gathers"):
        phases(table.replace(gamma=0.3))
    with pytest.raises(ValueError, match="several heads"):
        phases(random_recursion(heads=2))


def test_chance_tables_keep_what_they_should_and_nothing_else():
    given = [random_recursion(depth=6, heads=1, seed=seed) for seed in (0, 1)]
    for place, table in enumerate(chance_tables(given, "layers shuffled", 4, seed=3)):
        old, new = (np.stack([one.table[name][:, 0] for name in SCALARS], -1) for one in (given[place % 2], table))
        assert sorted(map(tuple, old)) == sorted(map(tuple, new)) and not np.array_equal(old, new)
    pool = {name: np.concatenate([one.table[name] for one in given]) for name in SCALARS}
    rows = {tuple(row) for one in given for row in np.stack([one.table[name][:, 0] for name in SCALARS], -1)}
    drawn = chance_tables(given, "scalars drawn", 40, seed=3)
    fresh = [tuple(row) for one in drawn for row in np.stack([one.table[name][:, 0] for name in SCALARS], -1)]
    assert all(np.isin(one.table[name], pool[name]).all() for one in drawn for name in SCALARS)
    assert np.mean([row in rows for row in fresh]) < 0.1  # scalars of a layer no longer belong together
    again = chance_tables(given, "scalars drawn", 40, seed=3)
    assert all(np.array_equal(one.table, two.table) for one, two in zip(drawn, again, strict=True))


def test_chance_tables_are_refused_where_they_mean_nothing():
    given = [random_recursion(depth=6, heads=1)]
    with pytest.raises(ValueError, match="one of"):
        chance_tables(given, "at random", 2)
    with pytest.raises(ValueError, match="one depth"):
        chance_tables([*given, random_recursion(depth=5, heads=1)], CHANCE[0], 2)
    with pytest.raises(ValueError, match="one depth"):
        chance_tables([random_recursion(heads=2)], CHANCE[0], 2)
    with pytest.raises(ValueError, match="one depth"):
        chance_tables([], CHANCE[0], 2)


def test_choices_are_all_there_and_the_untried_ones_are_at_chance():
    model, batch = generic(heads=2), draw(generic(heads=2))
    found = choices(model, batch, 2)
    assert len(found) == len({(one.score, one.value) for one in found}) == 66
    chance = 1 / model.n_classes
    for one in found:
        left = coordinate_model(model, score=one.score, value=one.value)
        assert one.accuracy == pytest.approx(model_hits(left, batch).mean().item(), abs=1e-12)
        assert one.accuracy == pytest.approx(chance) or "I_K" in one.value
    [whole] = choices(model, batch, 12)
    assert whole.weight == pytest.approx(1) and whole.accuracy == model_hits(model, batch).mean()
    assert all(one.weight < 1 for one in found)
    with pytest.raises(ValueError, match="at most 12"):
        choices(model, batch, 13)
    with pytest.raises(ValueError, match="of 12"):
        choices(generic(scalars=4), batch)


def test_the_four_are_found_where_they_are_the_truth():
    model = coordinate_model(load("four-0")).double()
    found = choices(model, LinearTask().sample(30, seed=3, n_queries=8, dtype=torch.float64))
    best = max(found, key=lambda one: (one.accuracy, one.weight))
    assert best.score == best.value == ("I_d", "I_K") and best.weight == pytest.approx(1)


def test_phases_and_maps_are_refused_where_they_mean_nothing():
    with pytest.raises(ValueError, match="one head"):
        sign_phases(random_recursion(heads=2))
    with pytest.raises(ValueError, match="12 scalars"):
        effect_map(generic(scalars=4), draw(generic()))
    with pytest.raises(ValueError, match="12 scalars"):
        effect_map(DenseTransformer(), draw(generic()))
    with pytest.raises(ValueError, match="size"):
        random_rotation(0, torch.Generator())


@pytest.mark.parametrize("look", [canonical, regauge, shortest])
def test_a_layer_that_does_more_than_attend_has_no_coordinates(look):
    with pytest.raises(ValueError, match="does more than attend"):
        look(OrdinaryTransformer(depth=1))
