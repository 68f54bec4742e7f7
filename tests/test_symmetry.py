"""The commutant three ways, the projection against its sum, and a measure that catches what breaks the symmetry."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from icl_nb.checks import TOLERANCE
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer, attention_layer
from icl_nb.symmetry import (
    COORDINATES,
    assemble,
    assert_equivariant,
    commutant_basis,
    conjugate,
    coordinates,
    equivariance_error,
    equivariance_errors,
    group_average,
    null_space_basis,
    off_commutant,
    permute_batch,
    project,
    random_element,
)
from icl_nb.tasks.linear import LinearTask

SIZES = [(5, 3), (2, 2), (3, 3), (4, 2), (2, 4), (1, 2), (1, 1), (3, 1), (6, 6)]

blocks = {"d": st.integers(1, 4), "k": st.integers(1, 4), "seed": st.integers(0, 2**31 - 1)}


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def permutation_matrix(order: Tensor) -> Tensor:
    """The Pi of `conjugate`: Pi^T z lists the entries of z in this order."""
    matrix = torch.zeros(len(order), len(order), dtype=torch.float64)
    for place, entry in enumerate(order.tolist()):
        matrix[entry, place] = 1
    return matrix


def group(d, k):
    for features in itertools.permutations(range(d)):
        for classes in itertools.permutations(range(k)):
            yield torch.tensor([*features, *(d + c for c in classes)])


def span_projector(basis):
    rows = torch.linalg.svd(basis.flatten(1), full_matrices=False)
    kept = rows.Vh[rows.S > 1e-9]
    return kept.T @ kept


# The commutant


@pytest.mark.parametrize(("d", "k"), SIZES)
def test_dimension(d, k):
    """6 for d, K >= 2: two for each block of two or more, one for each block of one, two cross blocks."""
    expected = 2 + (2 if d > 1 else 1) + (2 if k > 1 else 1)
    assert len(null_space_basis(d, k)) == expected
    assert torch.linalg.matrix_rank(commutant_basis(d, k).flatten(1)) == expected
    assert expected == 6 or 1 in (d, k)


@pytest.mark.parametrize(("d", "k"), SIZES)
def test_by_hand_by_null_space_and_by_average_are_the_same_space(d, k):
    by_hand = span_projector(commutant_basis(d, k))
    by_null_space = span_projector(null_space_basis(d, k))
    assert torch.allclose(by_hand, by_null_space, atol=1e-10)
    if math.factorial(d) * math.factorial(k) <= 24:
        size = (d + k) ** 2
        averages = group_average(torch.eye(size, dtype=torch.float64).reshape(size, d + k, d + k), d, k)
        assert torch.allclose(by_hand, averages.flatten(1).T, atol=1e-10)


@pytest.mark.parametrize(("d", "k"), [(3, 3), (2, 4), (1, 2)])
def test_the_basis_commutes_with_every_element_exactly(d, k):
    for order in group(d, k):
        element = permutation_matrix(order)
        for matrix in commutant_basis(d, k):
            assert torch.equal(element @ matrix, matrix @ element)


def test_the_null_space_basis_is_orthonormal():
    rows = null_space_basis(5, 3).flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(6, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(("d", "k"), SIZES)
def test_averages_have_spectral_norm_one(d, k):
    norms = torch.linalg.matrix_norm(commutant_basis(d, k), 2)
    assert torch.allclose(norms, torch.ones_like(norms))


def test_the_basis_keeps_its_blocks():
    d, k = 4, 3
    basis = commutant_basis(d, k)
    for name, matrix in zip(COORDINATES, basis, strict=True):
        own = torch.zeros_like(matrix)
        rows, columns = {"I_d": "dd", "J_d": "dd", "I_K": "KK", "J_K": "KK", "J_dK": "dK", "J_Kd": "Kd"}[name]
        places = {"d": slice(0, d), "K": slice(d, d + k)}
        own[places[rows], places[columns]] = 1
        assert torch.equal(matrix * own, matrix)
    assert torch.equal(basis[4], basis[5].T)


# Coordinates and projection


@given(**blocks)
def test_coordinates_are_read_back(d, k, seed):
    a = normal(3, 6, seed=seed)
    matrix = assemble(a, d, k)
    assert torch.allclose(assemble(coordinates(matrix, d, k), d, k), matrix, atol=1e-12)
    if d > 1 and k > 1:
        assert torch.allclose(coordinates(matrix, d, k), a, atol=1e-12)


def test_where_two_coordinates_are_one_matrix_the_shortest_is_read():
    read = coordinates(assemble(torch.tensor([2.0, 0, 1, 1, 1, 1], dtype=torch.float64), 1, 3), 1, 3)
    assert torch.allclose(read[:2], torch.ones(2, dtype=torch.float64))


@given(**blocks)
def test_projection_is_the_group_average(d, k, seed):
    a = normal(2, d + k, d + k, seed=seed)
    slow = sum(permutation_matrix(order).T @ a @ permutation_matrix(order) for order in group(d, k))
    slow = slow / (math.factorial(d) * math.factorial(k))
    assert torch.allclose(project(a, d, k), slow, atol=1e-12)
    assert torch.allclose(group_average(a, d, k), slow, atol=1e-12)


@given(**blocks)
def test_projection_is_orthogonal(d, k, seed):
    a, b = normal(2, d + k, d + k, seed=seed)
    image = project(a, d, k)
    assert torch.allclose(project(image, d, k), image, atol=1e-12)
    assert abs(((a - image) * project(b, d, k)).sum()) < 1e-11
    size, inside, off = (torch.linalg.matrix_norm(part) for part in (a, image, a - image))
    assert torch.allclose(size**2, inside**2 + off**2)
    assert torch.allclose(off_commutant(a, d, k), off / size)


def test_off_commutant_runs_from_0_to_1():
    inside = assemble(normal(6), 5, 3)
    outside = normal(8, 8)
    outside = outside - project(outside, 5, 3)
    assert off_commutant(inside, 5, 3) < TOLERANCE[torch.float64]
    assert off_commutant(outside, 5, 3).item() == pytest.approx(1, abs=1e-12)
    assert off_commutant(torch.zeros(8, 8), 5, 3) == 0
    assert off_commutant(normal(4, 2, 8, 8), 5, 3).shape == (4, 2)


# The group acts


@given(d=st.integers(1, 5), k=st.integers(2, 5), seed=st.integers(0, 2**31 - 1))
def test_random_elements_keep_the_blocks(d, k, seed):
    order = random_element(d, k, torch.Generator().manual_seed(seed)).tolist()
    assert sorted(order[:d]) == list(range(d)) and sorted(order[d:]) == list(range(d, d + k))


def test_random_elements_are_even():
    """12 elements, 6,000 draws: each 500 times, within four standard errors of 21.4."""
    generator = torch.Generator().manual_seed(0)
    draws = [tuple(random_element(3, 2, generator).tolist()) for _ in range(6000)]
    counts = [draws.count(element) for element in set(draws)]
    assert len(counts) == 12 and all(abs(count - 500) < 86 for count in counts)


@given(d=st.integers(1, 4), k=st.integers(2, 4), seed=st.integers(0, 2**31 - 1))
def test_conjugate_is_the_matrix_product(d, k, seed):
    weights = normal(3, 2, d + k, d + k, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    orders = torch.stack([random_element(d, k, generator) for _ in range(3)])
    for level, moved in enumerate(conjugate(weights, orders)):
        element = permutation_matrix(orders[level])
        for head in range(2):
            assert torch.equal(moved[head], element.T @ weights[level, head] @ element)


@given(d=st.integers(1, 4), k=st.integers(2, 4), seed=st.integers(0, 2**31 - 1))
def test_conjugated_weights_are_a_permutation_around_the_layer(d, k, seed):
    m, v, z = normal(1, 2, d + k, d + k, seed=seed), normal(1, 2, d + k, d + k, seed=seed + 1), normal(3, 6, d + k)
    order = random_element(d, k, torch.Generator().manual_seed(seed))
    inside, _ = attention_layer(z, 4, m[0], v[0])
    around, _ = attention_layer(z[..., order], 4, conjugate(m, order[None])[0], conjugate(v, order[None])[0])
    assert torch.allclose(around, inside[..., order], atol=1e-11)


def test_conjugates_average_to_the_commutant():
    """What injection does in the mean, over all 12 elements: project."""
    weights = normal(1, 2, 5, 5)
    conjugates = torch.stack([conjugate(weights, order[None]) for order in group(3, 2)])
    assert torch.allclose(conjugates.mean(0), project(weights, 3, 2), atol=1e-12)


def test_permuted_batches_are_batches_of_permuted_tasks():
    batch = LinearTask(n_points=6, n_features=4, unlabelled=0.4).sample(5, n_queries=2, dtype=torch.float64)
    features, classes = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 2, 0])
    moved = permute_batch(batch, features, classes)
    assert torch.equal(moved.context_y < 0, batch.context_y < 0)
    known = moved.y >= 0
    assert torch.equal((moved.x @ moved.w.mT).argmax(-1)[known], moved.y[known])
    assert torch.equal(classes[moved.y[known]], batch.y[known])
    assert torch.equal(moved.x, batch.x[..., features])
    back = permute_batch(moved, torch.argsort(features), torch.argsort(classes))
    assert torch.equal(back.x, batch.x) and torch.equal(back.y, batch.y) and torch.equal(back.w, batch.w)


# Equivariance of models


def models(dtype):
    for depth, heads, scalars in [(1, 1, 12), (16, 1, 12), (4, 3, 12), (16, 2, 4)]:
        model = EquivariantTransformer(4, 3, depth, heads, scalars, seed=depth).to(dtype)
        with torch.no_grad():
            for part in (model.m, model.v):
                part += 0.2 * normal(*part.shape).to(dtype)
        yield model


def test_by_construction(dtype, tolerance):
    batch = LinearTask(n_points=10, n_features=4).sample(16, n_queries=3)
    for model in models(dtype):
        assert equivariance_error(model, batch) <= tolerance
        assert_equivariant(model, batch)


@pytest.mark.parametrize(("d", "k"), [(1, 2), (2, 2), (3, 3), (1, 4), (6, 2)])
def test_by_construction_at_other_sizes(d, k, dtype, tolerance):
    batch = LinearTask(5, d, k).sample(8)
    assert equivariance_error(EquivariantTransformer(d, k, 4, seed=1).to(dtype), batch) <= tolerance


@pytest.mark.parametrize("options", [{}, {"noise": 0.2}, {"shift": 1.0}, {"unlabelled": 0.5}], ids=str)
def test_the_whole_network_permutes_its_logits(options, dtype, tolerance):
    batch = LinearTask(n_points=10, n_features=4, **options).sample(16, n_queries=3, dtype=dtype)
    features, classes = torch.tensor([3, 0, 2, 1]), torch.tensor([2, 0, 1])
    moved = permute_batch(batch, features, classes)
    for model in models(dtype):
        with torch.no_grad():
            logits, after = (model(tasks.x, tasks.context_y) for tasks in (batch, moved))
        scale = logits.abs().max()
        assert (after - logits[..., classes]).abs().max() / scale <= 20 * tolerance  # rounding of up to 16 layers


def test_the_error_is_the_worst_layer_over_the_whole_group():
    """All 12 elements tried one by one, through the layers of a dense model."""
    batch = LinearTask(5, 3, 2).sample(6, dtype=torch.float64)
    model = DenseTransformer(3, 2, 3, 2, seed=1).double()
    m, v = model.weights()
    z, slow = model.embed(batch.x, batch.context_y), []
    with torch.no_grad():
        for level in range(3):
            after, _ = attention_layer(z, 5, m[level], v[level])
            slow.append(
                max(
                    (attention_layer(z[..., order], 5, m[level], v[level])[0] - after[..., order]).abs().max()
                    / after.abs().max()
                    for order in group(3, 2)
                )
            )
            z = after
    errors = equivariance_errors(model, batch, n_elements=150)  # misses one of twelve with a chance of 2e-6
    assert torch.allclose(errors, torch.stack(slow), rtol=1e-12)
    assert equivariance_error(model, batch, n_elements=150) == errors.max()


def test_projecting_a_dense_model_makes_it_equivariant(dtype, tolerance):
    batch = LinearTask().sample(8)
    dense = DenseTransformer(depth=4, heads=2, seed=3).to(dtype)
    assert equivariance_error(dense.projected(), batch) <= tolerance < equivariance_error(dense, batch)


# Which matrices a symmetric layer must have


@given(d=st.integers(1, 3), k=st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
def test_a_layer_of_one_head_shows_its_matrices(d, k, seed):
    """The two steps of the proof: a context of one token shows V, contexts of two show M."""
    size = d + k
    m, v = normal(2, 1, 1, size, size, seed=seed).unbind()

    def move(z, *context):
        tokens = torch.stack([*context, z])[None]
        return (attention_layer(tokens, len(context), m[0], v[0])[0] - tokens)[0, -1]

    identity = torch.eye(size, dtype=torch.float64)
    found_v = torch.stack([move(identity[0], b) for b in identity], 1)
    assert (found_v - v[0, 0]).abs().max() < 1e-12
    found_m, origin = torch.zeros_like(m[0, 0]), torch.zeros(size, dtype=torch.float64)
    for row, z in enumerate(identity):
        for column, b in enumerate(identity):  # against 0, so that b - c = b
            share = (move(z, b, origin) @ (found_v @ b)) / (found_v @ b).square().sum()
            found_m[row, column] = torch.logit(share)
    assert (found_m - m[0, 0]).abs().max() < 1e-6


def test_heads_that_change_places_make_an_equivariant_layer():
    alone = torch.diag_embed(torch.eye(8, dtype=torch.float64))  # e_h e_h^T: a head for each entry of a token
    batch = LinearTask().sample(8)
    for heads, symmetric in ((alone, True), (alone[:5], True), (alone[:1], False), (alone[:6], False)):
        layer = DenseTransformer(depth=1, heads=len(heads)).double()
        with torch.no_grad():
            layer.m.copy_(heads[None]), layer.v.copy_(-0.4 * heads[None])
        assert (equivariance_error(layer, batch) <= TOLERANCE[torch.float64]) == symmetric
        assert off_commutant(heads, 5, 3).min() > 0.8


# The checker on what it must catch


def test_a_dense_model_is_caught(dtype):
    with pytest.raises(AssertionError, match=r"layer \d is off by .*, more than"):
        assert_equivariant(DenseTransformer(depth=3).to(dtype), LinearTask().sample(8))


@pytest.mark.parametrize("part", ["m", "v"])
@pytest.mark.parametrize("level", [0, 2])
def test_one_perturbed_entry_is_caught(part, level, dtype, tolerance):
    model = DenseTransformer(depth=3).to(dtype).projected()
    batch = LinearTask().sample(8)
    assert_equivariant(model, batch)
    with torch.no_grad():
        getattr(model, part)[level, 0, 1, 6] += 1000 * tolerance
    errors = equivariance_errors(model, batch)
    assert errors.argmax() == level and (errors > tolerance).sum() == 1
    with pytest.raises(AssertionError, match=f"layer {level + 1} is off"):
        assert_equivariant(model, batch)


def test_a_layer_that_is_not_finite_is_caught():
    model = DenseTransformer(depth=2).projected()
    with torch.no_grad():
        model.v[1, 0, 0, 0] = math.nan
    for check in (equivariance_error, assert_equivariant):
        with pytest.raises(ValueError, match="layer 2 gives NaN"):
            check(model, LinearTask().sample(4))


# Bad input


@pytest.mark.parametrize("function", [coordinates, project, off_commutant, group_average], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.zeros(7, 7), r"shape \(7, 7\); its last two must be d \+ K = 8"),
        (torch.zeros(9, 9), r"shape \(9, 9\)"),
        (torch.zeros(8, 7), r"shape \(8, 7\)"),
        (torch.zeros(8), r"shape \(8,\)"),
        (torch.eye(8).int(), "torch.int32; it must be torch.float32 or torch.float64"),
        (torch.eye(8).half(), "torch.float16"),
        (torch.eye(8).numpy(), "ndarray; it must be a torch.Tensor"),
        (torch.full((8, 8), math.nan), "NaN or infinity"),
    ],
    ids=str,
)
def test_matrices_refused(function, matrix, message):
    with pytest.raises(ValueError, match=message):
        function(matrix, 5, 3)


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (torch.zeros(5), r"shape \(5,\); the last must be 6"),
        (torch.tensor(1.0), r"shape \(\)"),
        (torch.zeros(6).int(), "torch.int32"),
        ([0.0] * 6, "list; it must be a torch.Tensor"),
    ],
    ids=str,
)
def test_coordinates_refused(a, message):
    with pytest.raises(ValueError, match=message):
        assemble(a, 5, 3)


@pytest.mark.parametrize("function", [commutant_basis, null_space_basis], ids=lambda f: f.__name__)
@pytest.mark.parametrize("sizes", [(0, 3), (5, 0), (-1, 3), (5.0, 3), (5, True)], ids=str)
def test_sizes_refused(function, sizes):
    with pytest.raises(ValueError, match=r"n_(features|classes)=.*whole number"):
        function(*sizes)


def test_a_group_too_large_to_sum_over():
    with pytest.raises(ValueError, match="3628800 elements, more than 50000; use project"):
        group_average(torch.eye(11), 10, 1)


@pytest.mark.parametrize(
    ("features", "classes", "message"),
    [
        (torch.arange(4), torch.arange(3), "features is .*permutation of 0..4"),
        (torch.arange(5), torch.arange(4), "classes is .*permutation of 0..2"),
        (torch.tensor([0, 0, 1, 2, 3]), torch.arange(3), "features is"),
        (torch.arange(5.0), torch.arange(3), "features is torch.float32; it must be torch.int64"),
        (list(range(5)), torch.arange(3), "features is a list"),
        (torch.arange(5)[None], torch.arange(3), "features is"),
    ],
    ids=str,
)
def test_permutations_refused(features, classes, message):
    with pytest.raises(ValueError, match=message):
        permute_batch(LinearTask().sample(2), features, classes)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (LinearTask(), {"n_elements": 0}, "n_elements=0"),
        (LinearTask(), {"n_elements": 2.0}, "n_elements=2.0"),
        (LinearTask(), {"seed": -1}, "seed=-1"),
        (LinearTask(), {"seed": 0.5}, "seed=0.5"),
        (LinearTask(n_features=4), {}, "x has 4 features; this model reads 5"),
        (LinearTask(n_classes=4), {}, r"labels run .* must lie in 0\.\.2"),
    ],
    ids=str,
)
def test_measuring_refuses(task, options, message):
    with pytest.raises(ValueError, match=message):
        equivariance_error(EquivariantTransformer(depth=1), task.sample(8), **options)


def test_half_precision_has_no_tolerance():
    with pytest.raises(ValueError, match=r"torch\.float16; it must be torch\.float32 or torch\.float64"):
        assert_equivariant(EquivariantTransformer(depth=1).half(), LinearTask().sample(2))
