"""The population law against the recursion itself: on product laws exactly, on samples to their error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from icl_nb.interpret import population as pop
from icl_nb.interpret.contraction import certain_contraction, layer_jacobian, layer_map
from icl_nb.interpret.separation import separation
from icl_nb.recursion import Recursion

DEPTH, HEADS = 3, 2


def tables(copies=1):
    shape = (DEPTH, HEADS) + ((copies, copies) if copies > 1 else ())
    size = int(np.prod(shape))
    column = st.lists(st.floats(-0.4, 0.4), min_size=size, max_size=size).map(lambda v: np.reshape(v, shape))
    return st.builds(
        lambda a, b, c, d: {"alpha": a, "beta": 3 * b, "gamma": c, "delta": d}, column, column, column, column
    )


ACROSS = 30


def product(law, across=ACROSS):
    """The same law with one more coordinate, standard normal and independent of the rest, in Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(across)
    points = np.concatenate([np.repeat(law.points, across, 0), np.tile(nodes, len(law.points))[:, None]], 1)
    return points, np.repeat(law.labels, across), np.outer(law.weights, weights / weights.sum()).ravel()


@settings(max_examples=6, deadline=None)
@given(tables())
def test_across_the_border_a_point_is_multiplied_and_along_it_dimension_does_not_matter(table):
    recursion = Recursion(table, n_classes=2)
    law = pop.population_law([[1.0, 0.0], [0.0, 0.0]], radial=6)
    points, labels, weights = product(law)
    path = pop.population_path(recursion, law)
    x, u = points[:, None], (np.eye(2)[labels] - 0.5)[:, None]
    for t, layer in enumerate(pop._matrices(recursion)):
        x, u = pop.weighted_step(layer, x, u, weights)
        near = np.abs(points[:, 1]) < 3.5  # the nodes are a normal law for readers whose tilt they can bear
        assert_allclose(x[near, 0, 1], path.growth[t + 1] * points[near, 1], atol=1e-8)
        assert_allclose(x[near, 0, 0], np.repeat(path.x[t + 1, :, 0], ACROSS)[near], atol=1e-8)
        assert_allclose(u[near, 0], np.repeat(path.u[t + 1], ACROSS, 0)[near], atol=1e-8)


@settings(max_examples=4, deadline=None)
@given(tables(), st.floats(0.2, 1.5), st.floats(0.0, 0.45))
def test_each_variance_across_has_its_factor_and_labels_may_lie(table, variance, noise):
    recursion = Recursion(table, n_classes=2)
    law = pop.noisy(pop.population_law([[1.0, 0.0], [0.0, 0.0]], radial=5), noise)
    points, labels, weights = product(law)
    points[:, 1] *= variance**0.5
    path, g = pop.population_path(recursion, law), pop.growth(recursion, variance)
    x, u = points[:, None], (np.eye(2)[labels] - 0.5)[:, None]
    near = np.abs(points[:, 1]) < 3 * variance**0.5
    for t, layer in enumerate(pop._matrices(recursion)):
        x, u = pop.weighted_step(layer, x, u, weights)
        assert_allclose(x[near, 0, 1], g[t + 1] * points[near, 1], atol=1e-7)
        assert_allclose(u[near, 0], np.repeat(path.u[t + 1], ACROSS, 0)[near], atol=1e-7)


def test_a_variance_must_be_one():
    with pytest.raises(ValueError, match="variance"):
        pop.growth(Recursion({"alpha": [[0.5]], "beta": 0, "gamma": 1, "delta": 0}), 0.0)


@settings(max_examples=4, deadline=None)
@given(tables(copies=2))
def test_with_memory_growth_is_a_vector_that_a_whole_sample_obeys(table):
    recursion = Recursion(table, n_classes=2)
    law = pop.population_law([[1.0, 0.0], [0.0, 0.0]], radial=6)
    points, labels, weights = product(law)
    path = pop.population_path(recursion, law)
    x = points[:, None] * np.eye(2)[0][:, None]
    u = (np.eye(2)[labels] - 0.5)[:, None] * np.eye(2)[0][:, None]
    for t, layer in enumerate(pop._matrices(recursion)):
        x, u = pop.weighted_step(layer, x, u, weights)
        near = np.abs(points[:, 1]) < 3.5
        assert_allclose(x[near, :, 1], points[near, 1:] * path.growth[t + 1], atol=1e-8)
        assert_allclose(x[near, :, 0], np.repeat(path.x[t + 1][..., 0], ACROSS, 0)[near], atol=1e-8)


def test_the_factorisation_is_what_it_takes():
    """Planted failure: where the part across the border depends on the part along it, it is not multiplied."""
    recursion = Recursion({"alpha": [[0.5]], "beta": 0, "gamma": 1, "delta": 0}, n_classes=2)
    law = pop.population_law([[1.0, 0.0], [0.0, 0.0]], radial=6)
    points, labels, weights = product(law)
    points[:, 1] *= np.abs(points[:, 0])
    x, u = points[:, None], (np.eye(2)[labels] - 0.5)[:, None]
    x, _ = pop.weighted_step(pop._matrices(recursion)[0], x, u, weights)
    moved = np.abs(points[:, 1]) > 1e-3
    assert np.ptp(x[moved, 0, 1] / points[moved, 1]) > 0.1


@settings(max_examples=20, deadline=None)
@given(tables())
def test_growth_is_the_scalar_recursion(table):
    g = pop.growth(Recursion(table))
    for t in range(DEPTH):
        assert g[t + 1] == pytest.approx(g[t] * (1 + (table["gamma"][t] * table["alpha"][t]).sum() * g[t] ** 2))


def test_one_copy_as_a_memory_is_the_recursion_without():
    table = {name: np.full((2, 1), value) for name, value in zip(pop.SCALARS, (0.4, 2.0, -0.3, 0.5), strict=True)}
    law = pop.population_law(np.eye(3), radial=6, angular=4)
    plain = pop.population_path(Recursion(table), law)
    memory = pop.population_path(Recursion({name: v[..., None, None] for name, v in table.items()}), law)
    assert_allclose(memory.x[:, :, 0], plain.x)
    assert_allclose(memory.growth[:, 0], plain.growth)


def test_a_large_sample_in_five_dimensions_follows_the_law():
    """The slow, obvious reference: the recursion itself, on 3,000 points that know of no law."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 5))
    table = {"alpha": [[0.3], [-0.4]], "beta": [[1.0], [3.0]], "gamma": [[-0.4], [1.5]], "delta": [[-0.2], [0.6]]}
    recursion = Recursion(table)
    x = rng.normal(size=(1, 3003, 5))
    y = (x[0] @ w.T).argmax(-1)
    path = recursion.trajectory(x, y[None, :3000])
    law = pop.population_law(w)
    limit = pop.population_path(recursion, law, x[0, 3000:] @ law.basis.T)
    assert_allclose(path.x[:, 0, 3000:] @ law.basis.T, limit.query_x, atol=0.12)
    assert_allclose(path.u[:, 0, 3000:], limit.query_u, atol=0.04)
    measured = [separation(points, y[:3000], 3) for points in path.x[:, 0, :3000]]
    assert_allclose(measured, pop.population_separation(limit, law, 5), rtol=0.1)


@pytest.mark.parametrize("w", [np.eye(2), np.eye(3), np.array([[3.0, 0, 0], [0, 1, 0], [0, 0, 1]]), np.eye(4)])
def test_a_law_is_standard_normal_and_knows_its_labels(w):
    law = pop.population_law(w)
    loose = {"atol": 2e-2} if len(w) == 4 else {"atol": 1e-9}
    assert law.weights.sum() == pytest.approx(1)
    assert_allclose(law.weights @ law.points, 0, **loose)
    assert_allclose((law.weights[:, None] * law.points).T @ law.points, np.eye(len(w) - 1), **loose)
    assert (law.labels == (law.points @ law.basis @ w.T).argmax(-1)).all()


def test_a_class_that_never_wins_has_no_sector():
    law = pop.population_law([[1.0, 0.0], [0.0, 0.1], [-1.0, 0.0]][:3])
    assert law.weights[law.labels == 1].sum() < 0.51
    inside = pop.population_law(
        [[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]
    )  # on a line: one dimension, the middle never wins
    assert inside.points.shape[1] == 1 and set(inside.labels) == {0, 2}


@settings(max_examples=20, deadline=None)
@given(st.floats(-2, 2))
def test_own_class_mass_of_two_classes_is_an_arcsine(alpha):
    law = pop.population_law([[1.0, 0.0], [0.0, 0.0]], radial=60)
    exact = 0.5 + np.arcsin(alpha / np.hypot(1, alpha)) / np.pi
    assert pop.own_class_mass(law, alpha) == pytest.approx(exact, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 1.5))
def test_own_class_mass_is_above_its_bound(seed, alpha):
    law = pop.population_law(np.random.default_rng(seed).normal(size=(3, 4)), radial=20, angular=16)
    member = np.eye(3)[law.labels] * law.weights[:, None]
    shares, v = member.sum(0), member.T @ law.points
    rho = alpha / np.hypot(1, alpha)
    assert pop.own_class_mass(law, alpha) >= (shares**2).sum() + rho * (v**2).sum() - 1e-4


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: pop.class_space(np.ones((2, 3))), "all rows of w are equal"),
        (lambda: pop.class_space([1.0, 2.0]), "must be a finite matrix"),
        (lambda: pop.population_law(np.eye(2), radial=1), "at least two nodes"),
        (
            lambda: pop.population_path(Recursion({"alpha": [[0.0]], "beta": 0, "gamma": 0, "delta": 0}, 2),
                                        pop.population_law(np.eye(3))),
            "the law has a label 2",
        ),
        (
            lambda: pop.population_path(Recursion({"alpha": [[0.0]], "beta": 0, "gamma": 0, "delta": 0}, 2),
                                        pop.population_law(np.eye(2)), np.zeros((4, 2))),
            "coordinates within E",
        ),
    ],
)  # fmt: skip
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def tokens(rng, n, d, K):
    return np.concatenate([rng.normal(size=(n, d)), np.eye(K)[rng.integers(K, size=n)] - 1 / K], 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_jacobian_is_a_covariance(seed):
    rng = np.random.default_rng(seed)
    context, z = rng.normal(size=(7, 4)), rng.normal(size=(1, 4))
    M, V = rng.normal(size=(2, 2, 4, 4)) / 2
    step = 1e-6 * np.eye(4)
    slopes = (layer_map(z + step, context, M, V) - layer_map(z - step, context, M, V)) / 2e-6
    assert_allclose(slopes.T, layer_jacobian(z, context, M, V)[0], atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1, 1), st.floats(-2, 2))
def test_where_contraction_is_certain_it_happens(seed, alpha, gamma):
    rng = np.random.default_rng(seed)
    z = tokens(rng, 12, 3, 2)
    sign = certain_contraction(z[:, :3], [alpha], [gamma])
    block = np.diag([1.0] * 3 + [0.0] * 2)
    M, V = alpha * block + 2 * (np.eye(5) - block), gamma * block + 0.5 * (np.eye(5) - block)
    after = layer_map(z, z, M[None], V[None])
    for c in (0, 1):
        member = z[:, 3 + c] > 0
        before, later = (np.linalg.norm(p[:, None] - p, axis=-1) for p in (z[member, :3], after[member, :3]))
        if sign:
            assert (sign * (later - before) >= -1e-12).all()


def test_contraction_is_not_certain_where_it_fails():
    """Planted failure: a step beyond 2 / lambda_max drives two points of a class apart; no certificate denies it."""
    x = np.array([[-3.0], [3.0]])
    assert certain_contraction(x, [1.0], [-1.0]) == 0
    after = layer_map(x / 30, x, [[[1.0]]], [[[-1.0]]])
    assert abs(after[1, 0] - after[0, 0]) > abs(x[1, 0] - x[0, 0]) / 30


def test_noise_is_counted_label_by_label():
    law = pop.population_law(np.eye(3), radial=3, angular=2)
    found = pop.noisy(law, 0.3)
    for c in range(3):
        for point, own, weight in zip(law.points, law.labels, law.weights, strict=True):
            here = (found.points == point).all(-1) & (found.labels == c)
            assert_allclose(found.weights[here].sum(), weight * (0.7 if c == own else 0.15))
    same = pop.noisy(law, 0.0)
    assert_allclose(same.points, law.points)
    assert (same.labels == law.labels).all() and (same.weights == law.weights).all()
    with pytest.raises(ValueError, match="one label"):
        pop.noisy(law._replace(labels=0 * law.labels), 0.1)
