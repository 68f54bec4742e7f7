"""The oracle against exact answers and brute force, the baselines against scikit-learn.

A Monte-Carlo comparison has a budget (tasks, queries, sweeps) and a target: the errors must be as large as the standard
errors say (`error_ratio` near 1), and where the target is absolute, below it.
"""

import copy
import itertools
import warnings
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch
from scipy.stats import norm, truncnorm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from icl_nb.evaluation import oracle
from icl_nb.evaluation.baselines import BASELINES, baseline_predict
from icl_nb.evaluation.oracle import (
    bayes_posterior,
    bayes_predict,
    mirrored_normal,
    sample_w,
    split_r_hat,
    truncated_normal,
)
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask


def draw(n_tasks=8, n_queries=1, seed=0, **task):
    return LinearTask(**task).sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def make(context, labels, queries, n_classes, noise=0.0):
    """One task from lists."""
    x = torch.tensor([*context, *queries], dtype=torch.float64)[None]
    y = torch.tensor([*labels, *[0] * len(queries)])[None]
    return Batch(x, y, None, n_classes, len(queries), noise)


def error_ratio(estimate, error, reference, reference_error=0.0):
    """Root mean square difference over the root mean square standard error; 1 where the errors are as stated."""
    return float(((estimate - reference) ** 2).mean().sqrt() / (error**2 + reference_error**2).mean().sqrt())


def repeated(batch, n):
    """The same tasks n times over, as n more chains for each."""
    return replace(batch, x=batch.x.repeat(n, 1, 1), y=batch.y.repeat(n, 1), w=None)


# The sampler against what is known exactly


def arc_probabilities(batch):
    """K = 2, d = 2: w_0 - w_1 has a uniform direction, so that the predictive is a ratio of two arcs. (B, q)"""
    direction = batch.w[:, 0] - batch.w[:, 1]

    def turn(points):  # angle from the true direction, in [-pi, pi)
        angle = torch.atan2(points[..., 1], points[..., 0]) - torch.atan2(direction[:, 1], direction[:, 0])[:, None]
        return (angle + pi) % (2 * pi) - pi

    normals = turn(batch.context_x * torch.where(batch.context_y == 0, 1.0, -1.0)[..., None])
    low, high = normals.amax(1, keepdim=True) - pi / 2, normals.amin(1, keepdim=True) + pi / 2
    assert (low < 0).all() and (high > 0).all()
    query = turn(batch.query_x)
    overlap = sum(
        ((query + shift + pi / 2).minimum(high) - (query + shift - pi / 2).maximum(low)).clamp(min=0)
        for shift in (-2 * pi, 0, 2 * pi)
    )
    return overlap / (high - low)


@pytest.mark.parametrize("n_points", [1, 5, 30])
def test_two_classes_in_the_plane_have_a_closed_form(n_points):
    batch = draw(n_tasks=60, n_queries=10, n_points=n_points, n_features=2, n_classes=2)
    exact = arc_probabilities(batch)
    posterior = bayes_posterior(batch, sweeps=300, burn_in=50)
    estimate, error = posterior.probs[..., 0], posterior.standard_error[..., 0]
    assert (estimate - exact).pow(2).mean().sqrt() < 0.02
    assert 0.7 < error_ratio(estimate, error, exact) < 1.3
    # and the comparison does see a predictor that is merely good
    logistic = baseline_predict(batch, "logistic")[..., 0]
    assert error_ratio(logistic, error, exact) > 3


def test_one_feature_leaves_nothing_to_chance_but_the_unseen():
    # Scores w_k x order the classes by w_k: label 2 at x > 0 makes w_2 the largest, and the smallest is 0 or 1.
    probs = bayes_posterior(make([[0.5], [2.0]], [2, 2], [[3.0], [-1.0]], n_classes=3), sweeps=200).probs[0]
    assert torch.equal(probs[0], torch.tensor([0.0, 0, 1], dtype=torch.float64))
    assert probs[1, 2] == 0 and abs(probs[1, 0] - 0.5) < 0.1
    probs = bayes_predict(make([[0.5], [-2.0]], [1, 0], [[3.0], [-1.0]], n_classes=2), sweeps=20)[0]
    assert torch.equal(probs, torch.tensor([[0.0, 1], [1, 0]], dtype=torch.float64))


def test_a_single_labelled_point_has_a_closed_form():
    x = [1.0, -2.0, 0.5]
    batch = make([x], [1], [x, [-v for v in x], [2.0, 1.0, 0.0], [0.0] * 3], n_classes=4)
    same, opposite, orthogonal, origin = bayes_predict(repeated(batch, 100), sweeps=80, burn_in=20).mean(0)
    third, quarter = 1 / 3, 0.25
    assert torch.equal(same, torch.tensor([0.0, 1, 0, 0], dtype=torch.float64))
    assert opposite[1] == 0 and (opposite[[0, 2, 3]] - third).abs().max() < 0.02
    assert (orthogonal - quarter).abs().max() < 0.02
    assert torch.equal(origin, torch.full((4,), quarter, dtype=torch.float64))


def prior_draws(batch, n_draws=50_000):
    """The predictive (B, q, K) and its standard error from draws of the prior, each weighted by its likelihood."""
    w = torch.randn(
        n_draws, batch.n_classes, batch.x.shape[2], dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    n, wrong = batch.context_y.shape[1], batch.noise / (batch.n_classes - 1)
    results = []
    for x, y in zip(batch.x, batch.context_y, strict=True):
        answers = torch.einsum("jd,skd->sjk", x, w).argmax(-1)  # (draws, n + q)
        right = (answers[:, :n] == y).sum(1)
        weight = (1 - batch.noise) ** right.double() * wrong ** (n - right).double()
        share = torch.nn.functional.one_hot(answers[:, n:], batch.n_classes).double()  # (draws, q, K)
        mean = torch.einsum("s,sqk->qk", weight, share) / weight.sum()
        error = torch.einsum("s,sqk->qk", weight**2, (share - mean) ** 2).sqrt() / weight.sum()
        results.append(torch.stack([mean, error]))
    return torch.stack(results, dim=1)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_three_classes_agree_with_weighted_draws_from_the_prior(noise):
    batch = draw(n_tasks=15, n_queries=8, n_points=7, n_features=2, n_classes=3, noise=noise)
    reference, reference_error = prior_draws(batch)
    # Noise slows the chains: fewer sweeps, and R-hat warns of it.
    probs = bayes_predict(repeated(batch, 25), sweeps=600 if noise else 150).unflatten(0, (25, -1))
    mean, error = probs.mean(0), probs.std(0) / 25**0.5
    assert 0.7 < error_ratio(mean, error, reference, reference_error) < 1.35
    assert error.pow(2).mean().sqrt() < 0.012
    # A sampler that believes in another noise is seen.
    assert error_ratio(mean, error, *prior_draws(replace(batch, noise=0.15), 20_000)) > 2


def test_vanishing_noise_is_the_hard_case():
    batch = draw(n_tasks=20, n_queries=5, n_points=12, n_features=3, n_classes=3)
    hard = bayes_posterior(batch, sweeps=300)
    soft = bayes_posterior(replace(batch, noise=1e-7), sweeps=300, burn_in=300)
    assert 0.7 < error_ratio(hard.probs, hard.standard_error, soft.probs, soft.standard_error) < 1.3


@pytest.mark.parametrize("seek_sweeps", [60, 0])
def test_every_sample_meets_every_constraint(monkeypatch, seek_sweeps):
    """From both kinds of start, and at the points as given, not as scaled inside."""
    monkeypatch.setattr(oracle, "SEEK_SWEEPS", seek_sweeps)
    batch = draw(n_tasks=6, n_points=200, n_features=5, n_classes=4)
    x, y = batch.context_x.permute(2, 1, 0).numpy(), batch.context_y.T.numpy()
    samples = sample_w(x, y, 4, 0.0, 0, np.random.default_rng(0))
    for w in itertools.islice(samples, 50):
        assert np.array_equal(np.einsum("kdr,dnr->knr", w, x).argmax(0), y)
    noise = np.random.default_rng(1).standard_normal(w.shape)
    with pytest.raises(AssertionError):  # the check sees W that are not in the cone
        assert np.array_equal(np.einsum("kdr,dnr->knr", w + 0.1 * noise, x).argmax(0), y)


LOW = np.array([-np.inf, -1.0, 0.3, 5.0, -12.0, 20.0, -1e300, 2.0])
HIGH = np.array([np.inf, 0.2, 1e300, 5.01, -9.0, np.inf, -30.0, 2.0 + 1e-9])


def test_truncated_normal_in_the_body_and_in_the_tails():
    uniform = np.linspace(0, 1, 101)[:, None]
    values = truncated_normal(np.broadcast_to(np.stack([LOW, HIGH])[:, None], (2, 101, 8)), uniform)
    assert ((values >= LOW) & (values <= HIGH)).all()
    exact = truncnorm.ppf(uniform[1:-1], LOW[:6], HIGH[:6])
    assert np.abs(values[1:-1, :6] - exact).max() < 1e-9
    assert truncated_normal(np.array([-np.inf, -60.0]), np.array(0.5)) == -60


def test_the_mirrored_value_has_the_mirrored_quantile():
    bounds = np.broadcast_to(np.stack([LOW, HIGH])[:, None, :6], (2, 99, 6))
    share = np.linspace(0.01, 0.99, 99)[:, None]
    values = truncnorm.ppf(share, *bounds)
    there = mirrored_normal(bounds, values)
    assert np.abs(there - truncnorm.ppf(1 - share, *bounds)).max() < 1e-9
    assert np.abs(mirrored_normal(bounds, there) - values).max() < 1e-9
    ends = mirrored_normal(np.stack([LOW, HIGH]), np.clip(0.0, LOW, HIGH))  # where a bound is the value itself
    assert ((ends >= LOW) & (ends <= HIGH)).all()


def slow_sweep(w, x, y, uniform, chance, release):
    """One sweep of one run, point by point: w and uniform (K, d), x (n, d), y (n,), chance (K, n); None mirrors."""
    w = w.copy()
    for k in range(len(w)):
        scores = x @ w.T
        held = []  # points that bind, with their thresholds
        for j in np.flatnonzero(y >= 0):
            rivals = [scores[j, c] for c in range(len(w)) if c != k]
            first = scores[j, y[j]] >= scores[j].max()
            if not release or (first and chance[k, j] >= release):
                held.append((j, max(rivals) + oracle.FLOOR if y[j] == k else scores[j, y[j]] - oracle.FLOOR))
        for f in range(x.shape[1]):
            lower, upper = -np.inf, np.inf
            for j, threshold in held:
                bound = (threshold - (x[j] @ w[k] - x[j, f] * w[k, f])) / x[j, f]
                if (y[j] == k) == (x[j, f] > 0):
                    lower = max(lower, bound)
                else:
                    upper = min(upper, bound)
            right = lower + upper > 0
            below, old, above = (norm.sf(v) if right else norm.cdf(v) for v in (lower, w[k, f], upper))
            tail = below + above - old if uniform is None else below + uniform[k, f] * (above - below)
            new = norm.isf(tail) if right else norm.ppf(tail)
            snapped = np.round(new * oracle.GRID) / oracle.GRID
            w[k, f] = snapped if lower < snapped < upper else new
    return w


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_sweep_is_the_formula_point_by_point(n_classes, noise):
    batch = draw(n_tasks=12, n_points=15, n_features=4, n_classes=n_classes, noise=noise, seed=n_classes)
    x, y = batch.context_x.permute(2, 1, 0).numpy(), batch.context_y.T.numpy().copy()
    y[:4] = -1
    random, start = np.random.default_rng(3), batch.w.permute(1, 2, 0).numpy()
    w = start.copy()
    unit, own, _ = oracle._constraints(x, y, n_classes)
    scores = oracle._scores(w, unit)
    for mirror in (False, True, True, False):
        before, twin = w.copy(), copy.deepcopy(random)
        oracle._sweep(w, scores, unit, own, random, release=noise, mirror=mirror)
        uniform = None if mirror else twin.random(w.shape)
        chance = twin.random((n_classes, *y.shape), dtype=np.float32)
        for run in range(w.shape[-1]):
            points = (x / np.abs(x).max(0))[:, :, run].T
            drawn = None if mirror else uniform[..., run]
            expected = slow_sweep(before[..., run], points, y[:, run], drawn, chance[..., run], noise)
            assert np.abs(w[..., run] - expected).max() < 1e-9
    assert np.allclose(scores, np.einsum("kdr,dnr->knr", w, unit), rtol=0, atol=1e-12)
    assert np.abs(w - start).max((0, 1)).min() > 1e-3  # every run has moved


def test_mirrored_sweeps_forget_faster():
    """At equal length the error is two thirds of that of draws alone, or less; both are as large as they say."""
    batch = draw(n_tasks=40, n_queries=20)

    def spread(refresh):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(oracle, "REFRESH", refresh)
            runs = torch.stack([bayes_posterior(batch, sweeps=120, seed=seed).probs for seed in range(6)])
        return runs.var(0).mean().sqrt(), runs.mean(0)

    (mirrored, mean), (drawn, reference) = spread(oracle.REFRESH), spread(1)
    assert mirrored < 0.75 * drawn
    assert 0.7 < error_ratio(mean, mirrored / 6**0.5, reference, drawn / 6**0.5) < 1.3


# What the oracle may and may not depend on


@pytest.mark.parametrize("seek_sweeps", [60, 1])
def test_a_chain_knows_nothing_of_the_others(monkeypatch, seek_sweeps):
    """Else rounding, which can decide when a run has entered its cone, would reach the chains of all tasks."""
    monkeypatch.setattr(oracle, "SEEK_SWEEPS", seek_sweeps)
    batch, other = draw(n_tasks=40, n_points=40), draw(n_tasks=1, n_points=40, seed=1)

    def sample(*tasks):
        x, y = (torch.cat([getattr(task, part) for task in tasks]) for part in ("context_x", "context_y"))
        samples = sample_w(x.permute(2, 1, 0).numpy(), y.T.numpy(), 3, 0.0, 4, np.random.default_rng(0))
        return next(itertools.islice(samples, 20, None))

    one, two = sample(batch), sample(other, batch[1:])
    assert np.array_equal(one[..., 1:], two[..., 1:])
    assert not np.array_equal(one[..., 0], two[..., 0])


def test_neither_w_nor_the_answers_are_read():
    batch = draw(n_tasks=5, n_queries=3)
    blind = replace(batch, w=None, y=torch.cat([batch.context_y, torch.zeros_like(batch.query_y)], 1))
    assert torch.equal(bayes_posterior(batch, sweeps=50).probs, bayes_posterior(blind, sweeps=50).probs)
    for name in BASELINES:
        assert torch.equal(baseline_predict(batch, name), baseline_predict(blind, name))


def test_a_seed_repeats_and_another_does_not():
    batch = draw(n_tasks=5)
    first, again, other = (bayes_posterior(batch, sweeps=20, seed=seed).probs for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_standard_errors_and_chunks(monkeypatch):
    """Two runs of other seeds, one of them in chunks, differ by what their standard errors say."""
    batch = draw(n_tasks=25, n_queries=40)
    one = bayes_posterior(batch)
    monkeypatch.setattr(oracle, "CHUNK", 10 * 2 * 40)
    two = bayes_posterior(batch, seed=1)
    assert 0.8 < error_ratio(one.probs, one.standard_error, two.probs, two.standard_error) < 1.3
    assert one.standard_error.pow(2).mean().sqrt() < 0.02
    assert one.r_hat.shape == (25,) and one.r_hat.max() < 1.1


def test_permuting_classes_or_features_permutes_the_prediction():
    batch = draw(n_tasks=30, n_queries=5, n_points=20)
    order = torch.tensor([2, 0, 1])  # class c is now called order[c]
    moved = replace(batch, x=batch.x[:, :, [3, 1, 4, 0, 2]], y=order[batch.y], w=None)
    before, after = bayes_posterior(batch, sweeps=200), bayes_posterior(moved, sweeps=200, seed=1)
    back, back_error = after.probs[..., order], after.standard_error[..., order]
    assert 0.8 < error_ratio(before.probs, before.standard_error, back, back_error) < 1.3
    assert error_ratio(before.probs, before.standard_error, after.probs, after.standard_error) > 3


def test_unlabelled_points_and_lengths_of_points_do_not_matter():
    batch = draw(n_tasks=5, n_points=20)
    fill = torch.randn(5, 7, 5, dtype=torch.float64)
    more = torch.cat([batch.context_x, fill, 0 * fill[:, :1]], 1)  # the last one is labelled, and at the origin
    labels = torch.cat([batch.context_y, torch.full((5, 7), -1), torch.zeros(5, 1, dtype=torch.int64)], 1)
    scale = 2.0 ** torch.randint(-60, 60, (5, 28, 1))

    def sample(x, y):
        samples = sample_w(x.permute(2, 1, 0).numpy(), y.T.numpy(), 3, 0.0, 0, np.random.default_rng(0))
        return next(itertools.islice(samples, 20, None))

    expected = sample(batch.context_x, batch.context_y)
    for x, y in ((more, labels), (more * scale, labels)):
        assert np.abs(sample(x, y) - expected).max() < 1e-9
    assert np.abs(sample(more[:, 1:], labels[:, 1:]) - expected).max() > 1e-3


def test_shapes_dtypes_and_rows():
    batch = draw(n_tasks=4, n_queries=3).to(dtype=torch.float32)
    posterior = bayes_posterior(batch, sweeps=20, chains=1)
    assert posterior.probs.shape == posterior.standard_error.shape == (4, 3, 3) and posterior.r_hat.shape == (4,)
    one = replace(batch, x=batch.x[:, :41], y=batch.y[:, :41], n_queries=1)
    predictions = [bayes_posterior(one, sweeps=20).probs, posterior.probs]
    predictions += [baseline_predict(part, name) for name in BASELINES for part in (one, batch)]
    for probs, shape in zip(predictions, itertools.cycle([(4, 3), (4, 3, 3)])):
        assert probs.dtype == torch.float32 and probs.shape == shape
        assert (probs >= 0).all() and (probs.sum(-1) - 1).abs().max() < 1e-6


# What the oracle says about itself


def test_it_is_calibrated_and_beats_the_baselines():
    """At n=40, d=5, K=3: the mean of its own top probability is its accuracy, within the error over 80 tasks."""
    batch = draw(n_tasks=80, n_queries=100, seed=5)

    def hits(probs):
        return (probs.argmax(-1) == batch.query_y).double().mean(1)

    def lies_above(difference, z):
        return difference.mean() > z * difference.std() / len(difference) ** 0.5

    probs = bayes_predict(batch)
    gap = probs.amax(-1).mean(1) - hits(probs)
    assert not lies_above(gap, 3) and not lies_above(-gap, 3)
    sure = probs**4 / (probs**4).sum(-1, keepdim=True)  # an overconfident oracle is caught
    assert lies_above(sure.amax(-1).mean(1) - hits(sure), 3)
    ladder = [
        hits(p) for p in (probs, *(baseline_predict(batch, name) for name in ("lda", "centroid", "knn", "prior")))
    ]
    assert all(lies_above(better - worse, 2) for better, worse in itertools.pairwise(ladder))


def test_r_hat_of_shares_is_that_of_the_draws():
    """Variances of zeros and ones, with one degree of freedom taken away, need nothing but their shares."""
    draws = np.random.default_rng(0).integers(3, size=(2, 2, 20))  # two chains, their halves, L = 20
    hot = (draws[..., None] == np.arange(3)).astype(float)
    within = hot.var(2, ddof=1).reshape(4, 3).mean(0).sum()
    between = hot.mean(2).reshape(4, 3).var(0, ddof=1).sum()
    shares = torch.from_numpy(hot.mean(2))[:, :, None, None]  # (chains, segments, B, q, K)
    assert split_r_hat(shares, sweeps=40).item() == pytest.approx((19 / 20 + between / within) ** 0.5, rel=1e-12)


def test_r_hat_tells_chains_that_agree_from_chains_that_do_not():
    shares = torch.rand(2, 6, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) < 0.5
    fair = (shares.double() * 0.1 + 0.45)[:, :, :, None, None] * torch.ones(2)  # (chains, segments, B, q, K)
    assert split_r_hat(fair, sweeps=400).max() < 1.02
    stuck = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)[:, None, None, None].expand(2, 6, 3, 1, 2)
    assert split_r_hat(stuck, sweeps=400).isposinf().all()
    drifting = torch.linspace(0, 1, 6, dtype=torch.float64)[None, :, None, None, None].expand(2, 6, 3, 1, 2)
    assert split_r_hat(drifting, sweeps=400).min() > 1.1
    certain = torch.ones(2, 6, 3, 1, 2, dtype=torch.float64)
    assert (split_r_hat(certain, sweeps=400) == 1).all()


def test_an_unconverged_run_warns_and_a_converged_one_does_not():
    batch = draw(n_tasks=20, n_queries=5, n_points=60, n_features=10, n_classes=5)
    with pytest.warns(RuntimeWarning, match=r"R-hat exceeds 1.1 on \d+ of 20 tasks"):
        bayes_predict(batch, sweeps=6, burn_in=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bayes_predict(draw(n_tasks=10, n_queries=5), sweeps=300)


def test_labels_of_no_linear_classifier_are_refused():
    batch = draw(n_tasks=6)
    x, y = batch.x.clone(), batch.y.clone()
    x[4, 1], y[4, 1] = x[4, 0], (y[4, 0] + 1) % 3  # one point with two labels
    torn = replace(batch, x=x, y=y)
    with pytest.raises(ValueError, match="labels of task 4 are not those of any linear classifier"):
        bayes_predict(torn)
    assert bayes_posterior(replace(torn, noise=0.1), sweeps=20).probs.isfinite().all()
    parity = make([[1, 1], [-1, -1], [1, -1], [-1, 1]], [0, 0, 1, 1], [[1, 0]], 2)
    with pytest.raises(ValueError, match="task 0"):
        bayes_predict(parity)


@pytest.mark.parametrize(
    ("options", "noise", "message"),
    [
        ({"sweeps": 5}, 0.0, "sweeps=5"),
        ({"burn_in": -1}, 0.0, "burn_in=-1"),
        ({"chains": 0}, 0.0, "chains=0"),
        ({}, 0.7, "below 0.6667"),
    ],
)
def test_bad_options_are_refused(options, noise, message):
    with pytest.raises(ValueError, match=message):
        bayes_predict(replace(draw(), noise=noise), **options)


# The baselines


def centroid_probabilities(x, y, queries):
    squares = ((queries[:, None] - NearestCentroid().fit(x, y).centroids_) ** 2).sum(-1)
    return np.exp(-squares / 2) / np.exp(-squares / 2).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "options", "direct"),
    [
        ("logistic", {}, LogisticRegression(C=10, fit_intercept=False, max_iter=1000)),
        ("logistic", {"C": 0.1}, LogisticRegression(C=0.1, fit_intercept=False)),
        ("lda", {}, LinearDiscriminantAnalysis()),
        ("knn", {}, KNeighborsClassifier(5)),
        ("knn", {"n_neighbors": 3}, KNeighborsClassifier(3)),
        ("centroid", {}, None),
    ],
)
def test_baselines_are_scikit_learns(name, options, direct):
    batch = draw(n_tasks=3, n_queries=6)
    probs = baseline_predict(batch, name, **options).numpy()
    for b in range(3):
        x, y, queries = (tensor[b].numpy() for tensor in (batch.context_x, batch.context_y, batch.query_x))
        expected = direct.fit(x, y).predict_proba(queries) if direct else centroid_probabilities(x, y, queries)
        assert np.abs(probs[b] - expected).max() < 1e-10


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_on_contexts_that_lack_something(name):
    rows = torch.randn(9, 5, generator=torch.Generator().manual_seed(0)).tolist()
    sparse = baseline_predict(make(rows[:7], [3, 1, 1, 3, 1, -1, -1], rows[7:], 5), name)[0]
    assert (sparse[:, [0, 2, 4]] == 0).all() and (sparse.sum(-1) - 1).abs().max() < 1e-12
    assert torch.equal(sparse, baseline_predict(make(rows[:5], [3, 1, 1, 3, 1], rows[7:], 5), name)[0])
    single = baseline_predict(make(rows[:3], [2, 2, -1], rows[7:], 5), name)[0]
    assert torch.equal(single, torch.eye(5, dtype=torch.float64)[[2, 2]])
    for n in (2, 3, 4):  # as many points as classes, or hardly more, and fewer than features
        assert baseline_predict(make(rows[:n], [0, 1, 2, 2][:n], rows[7:], 5), name).isfinite().all()
    flat = [[row[0], 1.0, 0.0] for row in rows]  # features that do not vary
    assert baseline_predict(make(flat[:8], [0, 1, 2, 2, 1, 0, 0, 2], flat[8:], 5), name).isfinite().all()
    assert baseline_predict(make([[1.0], [-1.0], [2.0]], [0, 1, 0], [[0.5]], 2), name)[0, 0] > 0.5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("svm", {}, "no baseline is called 'svm'"),
        ("lda", {"C": 1.0}, "lda takes no options"),
        ("logistic", {"intercept": True}, "unexpected keyword"),
        ("logistic", {"C": -1.0}, "'C' parameter"),
        ("knn", {"n_neighbors": 0}, "n_neighbors"),
    ],
)
def test_unknown_baselines_and_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        baseline_predict(draw(), name, **options)


@pytest.mark.parametrize("seed", [-1, 2**32, "0", True, 1.0], ids=repr)
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match="whole number from 0"):
        bayes_predict(LinearTask(5).sample(2), seed=seed)
