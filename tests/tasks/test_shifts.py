"""Shifts against their definitions: what they must leave alone is left alone exactly, what is random has a budget."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from icl_nb.evaluation import baselines
from icl_nb.evaluation.baselines import baseline_predict
from icl_nb.evaluation.oracle import bayes_posterior, bayes_predict
from icl_nb.recursion import Recursion
from icl_nb.tasks import families, shifts
from icl_nb.tasks.batch import UNLABELLED, Batch
from icl_nb.tasks.linear import LinearTask

WIDE = {"dtype": torch.float64}
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=20, deadline=None)


def draw(n_tasks=8, n_queries=3, seed=0, **task):
    return LinearTask(**task).sample(n_tasks, seed=seed, n_queries=n_queries, **WIDE)


def labels_of_w(batch):
    return (batch.x @ batch.w.mT).argmax(-1)


# Points that move


@quick
@given(seed=seeds, rho=st.floats(0, 0.99), d=st.integers(1, 6))
def test_correlated_points_are_the_old_ones_times_the_root_of_the_covariance(seed, rho, d):
    batch = draw(n_features=d, seed=seed)
    moved = shifts.correlate(batch, rho)
    values, vectors = np.linalg.eigh([[rho ** abs(f - g) for g in range(d)] for f in range(d)])
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    assert_allclose(moved.x, batch.x.numpy() @ root, atol=1e-12)
    assert torch.equal(moved.w, batch.w) and torch.equal(moved.y, labels_of_w(moved))


def test_no_correlation_changes_nothing():
    batch = draw()
    assert torch.equal(shifts.correlate(batch, 0.0).x, batch.x)


@quick
@given(seed=seeds, copies=st.integers(1, 50), n=st.integers(1, 30))
def test_copies_repeat_the_first_points_in_order(seed, copies, n):
    batch = draw(n_points=n, seed=seed)
    moved = shifts.near_copies(batch, copies, spread=0.0)
    expected = [[task[j // copies].tolist() for j in range(n)] for task in batch.context_x]
    assert moved.context_x.tolist() == expected
    assert torch.equal(moved.query_x, batch.query_x) and torch.equal(moved.y, labels_of_w(moved))


def test_copies_lie_as_far_apart_as_the_spread_says():
    batch = draw(n_tasks=300)
    away = (
        shifts.near_copies(batch, 4, spread=0.1, seed=1).context_x - shifts.near_copies(batch, 4, spread=0.0).context_x
    )
    assert stats.kstest((away / 0.1).flatten(), "norm").pvalue > 1e-3


@quick
@given(seed=seeds, dof=st.floats(1, 100))
def test_heavy_tails_keep_directions_and_labels(seed, dof):
    batch = draw(seed=seed)
    moved = shifts.heavy_tails(batch, dof, seed=seed)
    cosine = torch.cosine_similarity(moved.x, batch.x, dim=-1)
    assert_allclose(cosine, 1, atol=1e-12)
    assert torch.equal(moved.y, batch.y) and torch.equal(labels_of_w(moved), batch.y)


@pytest.mark.parametrize("dof", [2, 5])
def test_heavy_tails_are_those_of_student(dof):
    moved = shifts.heavy_tails(draw(n_tasks=200), dof, seed=3)
    assert stats.kstest(moved.x[..., 0].flatten(), stats.t(dof).cdf).pvalue > 1e-3
    assert stats.kstest((moved.x**2).mean(-1).flatten(), stats.f(5, dof).cdf).pvalue > 1e-3
    assert stats.kstest(moved.x[..., 0].flatten(), "norm").pvalue < 1e-6  # the test can fail


@quick
@given(seed=seeds, dof=st.floats(0.3, 10))
def test_the_sphere_undoes_heavy_tails(seed, dof):
    batch = draw(seed=seed)
    sphere = shifts.to_sphere(batch)
    assert_allclose(sphere.x.norm(dim=-1), 5**0.5, rtol=1e-12)
    assert_allclose(shifts.to_sphere(shifts.heavy_tails(batch, dof, seed=seed)).x, sphere.x, rtol=1e-10)


def test_the_oracle_answers_alike_on_the_sphere():
    batch = draw(n_tasks=6)
    moved = shifts.to_sphere(shifts.heavy_tails(batch, 2.0))
    assert (bayes_predict(batch) - bayes_predict(moved)).abs().max() < 0.1


@quick
@given(seed=seeds, factor=st.floats(1e-3, 1e3))
def test_rescaling_knows_no_units(seed, factor):
    batch = draw(seed=seed)
    unit = shifts.rescale(batch)
    assert_allclose((unit.context_x**2).mean((1, 2)), 1, rtol=1e-12)
    assert_allclose(shifts.rescale(shifts.rescale(batch, factor)).x, unit.x, rtol=1e-12)
    assert torch.equal(shifts.rescale(batch, factor).x, factor * batch.x)


@quick
@given(seed=seeds, d=st.integers(1, 5))
def test_whitened_inner_products_know_no_linear_map(seed, d):
    batch = draw(n_features=d, seed=seed)
    mix = torch.from_numpy(np.random.default_rng(seed).normal(size=(d, d)) + 3 * np.eye(d))
    white = shifts.whiten(batch)
    mixed = shifts.whiten(replace(batch, x=batch.x @ mix, w=batch.w @ torch.linalg.inv(mix).mT))
    assert_allclose(white.context_x.mT @ white.context_x / 40, torch.eye(d).expand(8, d, d), atol=1e-9)
    assert_allclose(mixed.x @ mixed.x.mT, white.x @ white.x.mT, atol=1e-6)
    assert torch.equal(labels_of_w(white), batch.y)


def test_a_recursion_behind_whitening_does_not_see_a_linear_map():
    recursion = Recursion({"alpha": [[0.5], [1.0]], "beta": 1.0, "gamma": -0.3, "delta": 0.7})
    batch = draw()
    stretched = replace(batch, x=batch.x * torch.arange(1.0, 6.0).double(), w=None)
    before, after = (recursion(shifts.whiten(b).x, b.context_y) for b in (batch, stretched))
    assert_allclose(after, before, atol=1e-9)
    assert np.abs(recursion(stretched.x, batch.context_y) - recursion(batch.x, batch.context_y)).max() > 0.1


# Contexts that show less


@quick
@given(seed=seeds, share=st.floats(0.5, 0.95), n=st.integers(1, 40))
def test_imbalance_takes_what_it_should_from_the_pool(seed, share, n):
    pool = draw(n_tasks=3, n_points=400, seed=seed)
    batch = shifts.imbalance(pool, share, n)
    assert batch.context_x.shape == (3, n, 5) and torch.equal(batch.query_x, pool.query_x)
    for b in range(3):
        frequent = np.bincount(pool.context_y[b]).argmax()
        mine = [j for j in range(400) if pool.context_y[b, j] == frequent][: round(share * n)]
        others = [j for j in range(400) if pool.context_y[b, j] != frequent][: n - round(share * n)]
        chosen = sorted(mine + others)
        assert torch.equal(batch.context_x[b], pool.context_x[b, chosen])
        assert torch.equal(batch.context_y[b], pool.context_y[b, chosen])


def test_hidden_labels_leave_the_rest_alone():
    batch = draw(n_points=9)
    hidden = shifts.hide_labels(batch, 4, 7)
    assert torch.equal(hidden.context_x, batch.context_x[:, :7]) and torch.equal(hidden.query_y, batch.query_y)
    assert torch.equal(hidden.context_y[:, :4], batch.context_y[:, :4])
    assert (hidden.context_y[:, 4:] == UNLABELLED).all() and (batch.context_y != UNLABELLED).all()


def test_unlabelled_points_of_linear_tasks_tell_bayes_nothing():
    batch = draw(n_tasks=4)
    answers = [bayes_posterior(shifts.hide_labels(batch, 10, n), sweeps=60, burn_in=20).probs for n in (10, 40)]
    assert torch.equal(*answers)


# Families of their own


@quick
@given(d=st.integers(1, 4), bend=st.floats(0, 3))
def test_monomials_are_the_products_written_out(d, bend):
    x = torch.randn(7, d, generator=torch.Generator().manual_seed(d), **WIDE)
    for point, features in zip(x.tolist(), families.monomials(x, bend).tolist(), strict=True):
        squares = [bend * (value**2 - 1) / math.sqrt(2) for value in point]
        products = [bend * point[f] * point[g] for f in range(d) for g in range(f + 1, d)]
        assert_allclose(features, [*point, *squares, *products], atol=1e-12)


def test_monomials_are_orthonormal_over_normal_points():
    phi = families.monomials(torch.randn(400_000, 3, generator=torch.Generator().manual_seed(0), **WIDE))
    assert_allclose(phi.mean(0), 0, atol=0.01)
    assert_allclose(phi.T @ phi / len(phi), torch.eye(9), atol=0.03)  # fourth moments: errors of 0.006


def test_heavy_task_moves_lengths_alone():
    heavy = families.HeavyTask(n_points=300, dof=2.0).sample(20, seed=3, n_queries=2, **WIDE)
    assert torch.equal((heavy.x @ heavy.w.mT).argmax(-1), heavy.y)
    plain = LinearTask(n_points=300).sample(20, seed=3, n_queries=2, **WIDE)
    assert torch.allclose(shifts.to_sphere(heavy).x, shifts.to_sphere(plain).x)
    assert heavy.x.norm(dim=-1).quantile(0.999) > 5 * plain.x.norm(dim=-1).quantile(0.999)
    again = families.HeavyTask(n_points=300, dof=2.0).sample(20, seed=3, n_queries=2, **WIDE)
    assert torch.equal(heavy.x, again.x)


def test_curved_tasks_are_linear_in_the_monomials_and_nowhere_else():
    batch = families.CurvedTask(bend=1.0).sample(5, seed=1, **WIDE)
    bayes_posterior(replace(batch, x=families.monomials(batch.x)), sweeps=6)
    with pytest.raises(ValueError, match="linear classifier"):
        bayes_posterior(batch, sweeps=6)


def test_an_unbent_task_is_linear_and_a_seed_keeps_its_points():
    flat, bent = (families.CurvedTask(bend=bend).sample(6, seed=2, n_queries=2, **WIDE) for bend in (0.0, 2.0))
    bayes_posterior(flat, sweeps=6)  # refuses labels that are not linear
    assert torch.equal(flat.x, bent.x) and not torch.equal(flat.y, bent.y)


def test_fourier_features_approach_their_kernel():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(1), **WIDE)
    phi = families.fourier_features(x, 40_000, length=2.0, seed=1)
    assert_allclose(phi @ phi.T / 40_000, torch.exp(-(torch.cdist(x, x) ** 2) / 8), atol=0.03)  # error 0.007 at most
    assert torch.equal(families.fourier_features(x, 5, seed=2), families.fourier_features(x, 5, seed=2))


def test_clusters_lie_where_no_linear_algebra_library_put_them():
    """The simplex has a closed form; a decomposition of I - J/K would leave its turn to the library's kernel."""
    code = "import torch; from icl_nb.tasks.families import ClusterTask; "
    code += "print(ClusterTask().sample(3, dtype=torch.float64).x.sum((0, 1)).tolist())"
    drawn = []
    for kernel in ("Prescott", "Haswell"):  # on processors that are not x86 both run the one kernel there is
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_CORETYPE": kernel},
            capture_output=True,
            text=True,
            check=True,
        )
        drawn.append(json.loads(run.stdout))
    assert_allclose(*drawn, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("d", "K"), [(1, 2), (2, 3), (5, 3), (5, 6)])
def test_clusters_have_the_distance_and_the_size_they_should(d, K):
    task = families.ClusterTask(n_points=200, n_features=d, n_classes=K, distance=3.0)
    batch = task.sample(60, seed=3, **WIDE)
    size = (1 + 9 * (K - 1) / (2 * K * d)) ** 0.5
    apart = torch.cdist(batch.w, batch.w) * size
    assert_allclose(apart, 3 * (1 - torch.eye(K)).expand(60, K, K), atol=1e-6)
    assert_allclose(batch.w.sum(1), 0, atol=1e-12)
    assert abs((batch.x**2).mean() - 1) < 0.05
    within = (batch.x - batch.w.gather(1, batch.y[..., None].expand(-1, -1, d))) * size
    assert stats.kstest(within.flatten()[:5000], "norm").pvalue > 1e-3


def test_centres_of_clusters_point_anywhere():
    w = families.ClusterTask(n_features=3).sample(2000, seed=4, **WIDE).w[:, 0]
    assert stats.kstest((w / w.norm(dim=-1, keepdim=True))[:, 1], stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_two_clusters_are_told_apart_as_often_as_theory_says():
    batch = families.ClusterTask(n_classes=2, distance=2.0).sample(500, seed=5, n_queries=40, **WIDE)
    right = ((batch.query_x @ batch.w.mT).argmax(-1) == batch.query_y).double().mean()
    assert abs(right - stats.norm.cdf(1)) < 4 * (0.16 * 0.84 / 20_000) ** 0.5


# Refitted methods


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_logistic_regression_is_that_of_scikit_learn(C, K):
    batch = draw(n_tasks=6, n_points=12, n_classes=K, seed=K, unlabelled=0.2)
    reference = baseline_predict(batch, "logistic", C=C, tol=1e-10, max_iter=20_000)
    assert_allclose(baselines.logistic_predict(batch, C), reference, atol=2e-5)


def test_logistic_regression_with_classes_missing():
    x = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(0), **WIDE)
    y = torch.tensor([[1, 1, 1, -1, 1, 1, 1], [0, 2, 0, 2, 2, -1, 0], [2, 1, 0, 0, 1, 2, -1]])
    batch = Batch(x, torch.cat([y, torch.zeros(3, 2, dtype=torch.int64)], 1), None, 3, 2)
    reference = baseline_predict(batch, "logistic", C=1.0, tol=1e-10)
    assert_allclose(baselines.logistic_predict(batch, 1.0), reference, atol=2e-5)


@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_logistic_regression_in_extreme_units(scale):
    batch = draw()
    scaled = baselines.logistic_predict(shifts.rescale(batch, scale), 10 / scale**2)
    assert_allclose(scaled, baselines.logistic_predict(batch, 10.0), atol=1e-6)


def test_logistic_regression_among_outliers():
    probs = baselines.logistic_predict(shifts.heavy_tails(draw(n_tasks=50), 1.0), 100.0)
    assert probs.isfinite().all() and (probs.sum(-1) - 1).abs().max() < 1e-9


@pytest.mark.parametrize(("n", "noise", "astray"), [(10, 0.1, True), (40, 0.0, False)])
def test_logistic_regression_finds_its_minimum_where_full_steps_of_newton_do_not(n, noise, astray):
    """The second case needs a step that is halved more than once."""
    batch = shifts.heavy_tails(LinearTask(n, 2, 2, noise=noise).sample(30, **WIDE), 0.5)
    x, y, C = batch.context_x, 1.0 - 2 * batch.context_y, 100.0
    axes = torch.eye(2, **WIDE).expand(30, 2, 2)  # queries that tell w
    asked = Batch(torch.cat([x, axes], 1), torch.cat([batch.context_y, batch.y[:, :2]], 1), None, 2, 2)
    p = baselines.logistic_predict(asked, C)
    w = (p[..., 0] / p[..., 1]).log()

    def slope(w):  # of the loss, beside the size of its terms
        pull = torch.sigmoid(-y * (x @ w[..., None])[..., 0])[..., None] * y[..., None] * x
        return (w / C - pull.sum(1)).norm(dim=-1) / x.norm(dim=-1).sum(-1)

    assert (slope(w) < 1e-8).all()
    strays = torch.zeros_like(w)
    for _ in range(baselines.NEWTON_STEPS if astray else 0):  # full steps, from 0
        q = torch.sigmoid(y * (x @ strays[..., None])[..., 0])[..., None]
        curvature = ((q * (1 - q)) * x).mT @ x + torch.eye(2, **WIDE) / C
        gradient = strays / C - ((1 - q) * y[..., None] * x).sum(1)
        strays = strays - torch.linalg.solve(curvature, gradient)
    assert not (slope(strays) < 1e-8).all()


def test_logistic_regression_says_where_no_penalty_is_left():
    batch = shifts.heavy_tails(LinearTask(10, 1, 2).sample(30, **WIDE), 0.2)
    with pytest.raises(ValueError, match="features reach"):
        baselines.logistic_predict(batch, 1.0)


def test_the_best_penalty_is_the_best():
    batch = draw(n_tasks=50, n_queries=20, noise=0.3)
    C, probs = baselines.best_logistic(batch, (0.1, 100.0))
    right = {
        c: (baselines.logistic_predict(batch, c).argmax(-1) == batch.query_y).double().mean() for c in (0.1, 100.0)
    }
    assert max(right, key=right.get) == C and torch.equal(probs, baselines.logistic_predict(batch, C))


@pytest.mark.parametrize("name", baselines.SEMI_SUPERVISED)
def test_semi_supervised_methods_find_clusters_and_know_their_classes(name):
    batch = shifts.hide_labels(families.ClusterTask(distance=10.0).sample(4, seed=6, n_queries=20, **WIDE), 30)
    probs = baselines.semi_supervised_predict(batch, name)
    assert ((probs.argmax(-1) == batch.query_y).double().mean() > 0.95) and assert_sums(probs)
    one = replace(batch, y=torch.where(batch.y >= 0, 2, batch.y))
    assert (baselines.semi_supervised_predict(one, name)[..., 2] == 1).all()
    lacking = replace(batch, y=batch.y.clamp(max=1))
    assert (baselines.semi_supervised_predict(lacking, name)[..., 2] == 0).all()


def assert_sums(probs):
    return bool(((probs.sum(-1) - 1).abs() < 1e-9).all())


def test_a_context_without_unlabelled_points_is_fine():
    batch = families.ClusterTask(distance=10.0).sample(2, **WIDE)
    assert all(assert_sums(baselines.semi_supervised_predict(batch, name)) for name in baselines.SEMI_SUPERVISED)


# What is refused


LINEAR = LinearTask(n_points=12).sample(2)
ZEROS = Batch(torch.zeros(1, 4, 2), torch.zeros(1, 4, dtype=torch.int64), None, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shifts.correlate(LINEAR, 1.0), "rho"),
        (lambda: shifts.correlate(replace(LINEAR, w=None), 0.5), "w is None"),
        (lambda: shifts.correlate(LinearTask(noise=0.1).sample(2), 0.5), "noise"),
        (lambda: shifts.near_copies(shifts.hide_labels(LINEAR, 3), 2), "hidden"),
        (lambda: shifts.near_copies(LINEAR, 0), "copies"),
        (lambda: shifts.near_copies(LINEAR, 2, spread=-1.0), "spread"),
        (lambda: shifts.near_copies(LINEAR, 2, seed=-1), "seed"),
        (lambda: shifts.heavy_tails(LINEAR, 0), "dof"),
        (lambda: shifts.heavy_tails(LINEAR, math.inf), "dof"),
        (lambda: shifts.rescale(LINEAR, 0), "factor"),
        (lambda: shifts.rescale(ZEROS), "zeros"),
        (lambda: shifts.to_sphere(ZEROS), "origin"),
        (lambda: shifts.whiten(LinearTask(n_points=3).sample(1)), "span"),
        (lambda: shifts.imbalance(LINEAR, 0.9, 12), "larger"),
        (lambda: shifts.imbalance(LINEAR, 1.0, 4), "share"),
        (lambda: shifts.imbalance(shifts.hide_labels(LINEAR, 3), 0.5, 4), "unlabelled"),
        (lambda: shifts.hide_labels(LINEAR, 0), "n_labelled"),
        (lambda: shifts.hide_labels(LINEAR, 5, 4), "ascend"),
        (lambda: shifts.hide_labels(LINEAR, 5, 13), "ascend"),
        (lambda: families.CurvedTask(bend=-1.0), "bend"),
        (lambda: families.CurvedTask(n_features=0), "n_features"),
        (lambda: families.HeavyTask(dof=0.0), "dof"),
        (lambda: families.ClusterTask(n_features=1, n_classes=3), "n_features"),
        (lambda: families.ClusterTask(distance=0.0), "distance"),
        (lambda: families.ClusterTask().sample(0), "n_tasks"),
        (lambda: families.ClusterTask().sample(1, seed=-1), "seed"),
        (lambda: families.fourier_features(torch.ones(1, 2), 0), "n_features"),
        (lambda: families.fourier_features(torch.ones(1, 2), 3, length=0.0), "length"),
        (lambda: baselines.logistic_predict(LINEAR, 0.0), "C="),
        (lambda: baselines.best_logistic(LINEAR, ()), "no penalty"),
        (lambda: baselines.semi_supervised_predict(LINEAR, "magic"), "magic"),
        (lambda: baselines.semi_supervised_predict(LINEAR, "mixture", gamma=1), "gamma"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
