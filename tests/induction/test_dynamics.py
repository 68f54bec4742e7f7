"""The laws of training against loops, autograd, numerical integration, and training itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from icl_nb.checks import TOLERANCE
from icl_nb.induction.dynamics import (
    SharpnessGrowth,
    SoftmaxedGrowth,
    blurred_information,
    copying_law,
    copying_rate,
    effective_sharpness,
    half_way,
    head_flow,
    head_moments,
    replicator,
    sharpness_law,
)
from icl_nb.induction.information import information_table
from icl_nb.induction.limit import generalized_induction_head, matched_sharpness
from icl_nb.induction.models import InductionTransformer
from icl_nb.induction.tasks import MarkovTask
from icl_nb.induction.training import Stage, negative_log, softmax_again, train_induction

EXACT = TOLERANCE[torch.float64]
LAGS = [(1,), (2,), (1, 2), (1, 3)]
seeds = st.integers(0, 2**31 - 1)
tasks = st.builds(
    MarkovTask,
    n_states=st.integers(2, 4),
    length=st.integers(5, 30),
    lags=st.sampled_from(LAGS),
    concentration=st.sampled_from([0.05, 0.3, 1.0]),
)


def spread(seed=0, **model):
    """A model in float64 whose heads copy mixtures."""
    model = InductionTransformer(**model).double()
    with torch.no_grad():
        model.w.copy_(torch.randn(model.w.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return model


# Counts and the exact flow


def by_loops(tokens, answer, lags):
    """n_e, n, N u_e and N of one sequence."""
    right = matches = answers = n_tokens = 0
    for t in range(max(lags), len(tokens)):
        same = all(tokens[t - lag] == tokens[len(tokens) - lag] for lag in lags)
        right += same and tokens[t] == answer
        matches += same
        answers += tokens[t] == answer
        n_tokens += 1
    return right, matches, answers, n_tokens


@settings(max_examples=30)
@given(task=tasks, lags=st.sampled_from(LAGS), seed=seeds)
def test_counts_are_those_of_loops(task, lags, seed):
    chains = task.sample(8, seed=seed)
    growth = SharpnessGrowth.count(chains, lags)
    expected = [by_loops(t, e, lags) for t, e in zip(chains.tokens.tolist(), chains.answer.tolist(), strict=True)]
    found = zip(growth.right, growth.matches, growth.answers, [growth.n_tokens] * 8, strict=True)
    assert list(found) == expected


@settings(max_examples=30)
@given(task=tasks, a=st.floats(0.1, 12), seed=seeds)
def test_rate_is_the_slope_of_the_log_likelihood(task, a, seed):
    chains = task.sample(20, seed=seed)
    growth = SharpnessGrowth.count(chains)

    def log_likelihood(sharpness):
        probs = generalized_induction_head(chains.tokens, task.lags, task.n_states, sharpness=sharpness)
        given = probs[np.arange(20), chains.answer.numpy()]
        return np.where(given > 0, np.log(np.where(given > 0, given, 1)), 0).mean()

    slope = (log_likelihood(a + 1e-4) - log_likelihood(a - 1e-4)) / 2e-4
    assert growth.rate(a) == pytest.approx(slope, abs=1e-7)


def test_rate_is_the_difference_of_two_shares_and_keeps_its_digits():
    growth = SharpnessGrowth.count(MarkovTask().sample(500))
    held = growth.answers > 0
    for a in (-3.0, 0.0, 4.0):
        right, n, answers = growth.right[held], growth.matches[held], growth.answers[held]
        e = math.exp(-a)
        shares = right / (right + (answers - right) * e) - n / (n + (growth.n_tokens - n) * e)
        assert growth.rate(a) == pytest.approx(shares.sum() / 500, abs=EXACT)
    # Two tokens of the answer, one of them matched, and two matches in ten: C = 4 - 1, and no cost.
    single = SharpnessGrowth([2], [2], [3], 10)
    c, b = single.constants()
    assert (c, b) == (10 / 2 - 3 / 2, 0)
    assert single.rate(60) == pytest.approx(c * math.exp(-60), rel=1e-12)  # the two shares differ by less than rounding


@settings(max_examples=30)
@given(task=tasks, seed=seeds)
def test_constants_are_the_expansion_for_large_a(task, seed):
    growth = SharpnessGrowth.count(task.sample(30, seed=seed))
    c, b = growth.constants()
    for a in (10.0, 14.0):
        assert abs(growth.rate(a) - (c * math.exp(-a) - b)) <= 3 * 30**2 * math.exp(-2 * a) + 1e-15


def test_constants_are_shares_of_sequences():
    right, matches, answers = [3, 0, 0, 0], [4, 2, 0, 2], [5, 6, 6, 0]  # pays; costs; no match; answer not held
    c, b = SharpnessGrowth(right, matches, answers, 20).constants()
    assert b == 1 / 4
    assert c == pytest.approx(((20 - 4) / 4 - (5 - 3) / 3 + (20 - 2) / 2) / 4)


# The path, its limit and the law


def test_path_satisfies_its_equation_and_ends_at_the_limit():
    growth = SharpnessGrowth.count(MarkovTask().sample(1000))
    times = np.linspace(0, 300, 3001)
    path = growth.path(times)
    assert path[0] == 0.01
    slope = np.gradient(path, times)[1:-1]
    assert np.abs(slope - [growth.rate(a) for a in path[1:-1]])[20:].max() < 2e-3
    limit = growth.limit()
    assert abs(growth.rate(limit)) < 1e-12 and growth.rate(limit - 0.1) > 0 > growth.rate(limit + 0.1)
    assert growth.path([1e6])[0] == pytest.approx(limit, abs=1e-5)
    assert growth.path([1e6], start=9.0)[0] == pytest.approx(limit, abs=1e-5)
    assert growth.path([0.0])[0] == 0.01


@settings(max_examples=30)
@given(
    c=st.floats(0.1, 10), b=st.one_of(st.just(0.0), st.floats(1e-12, 1)), t=st.floats(0, 1e4), start=st.floats(-1, 3)
)
def test_law_solves_its_equation(c, b, t, start):
    step = 1e-4 * (1 + t)
    low, here, high = sharpness_law([t, t + step, t + 2 * step], c, b, start)
    assume(high - low > 1e-7 or abs(c * math.exp(-here) - b) < 1e-9)
    assert (high - low) / (2 * step) == pytest.approx(c * math.exp(-here) - b, rel=1e-3, abs=1e-7)
    assert sharpness_law(0, c, b, start) == pytest.approx(start, abs=1e-12)
    if b > 1e-3:
        assert sharpness_law(1e6, c, b, start) == pytest.approx(math.log(c / b), abs=1e-9)


def test_law_is_continuous_where_the_cost_vanishes():
    times = np.geomspace(1, 1e4, 9)
    plain = sharpness_law(times, 1.5, 0)
    np.testing.assert_allclose(plain, np.log(1.5 * times + math.exp(0.01)), rtol=1e-13)
    np.testing.assert_allclose(sharpness_law(times, 1.5, 1e-14), plain, rtol=1e-9)


def test_law_becomes_the_flow_as_matches_become_right():
    """Both end at the same place; on the way the law is too high, and less so for sharper priors."""
    gaps = {}
    for alpha in (0.3, 0.01):
        growth = SharpnessGrowth.count(MarkovTask(concentration=alpha).sample(4000))
        c, b = growth.constants()
        gaps[alpha] = abs(math.log(c / b) - growth.limit())
        assert sharpness_law(1e3, c, b) == pytest.approx(growth.path([1e3])[0], abs=0.4)
    assert gaps[0.01] < 0.05 < gaps[0.3]


def test_sharpness_stops_at_that_of_the_prior():
    growth = SharpnessGrowth.count(MarkovTask().sample(10_000, seed=5))
    assert growth.limit() == pytest.approx(matched_sharpness(0.3, 98), abs=0.3)


def test_growth_without_end_and_growth_that_never_starts():
    sure = SharpnessGrowth([5, 3], [5, 3], [6, 30], 90)  # every match is right
    assert sure.limit() == math.inf and sure.path([1e6])[0] > 12
    never = SharpnessGrowth([0, 0], [5, 3], [6, 30], 90)  # none is
    assert never.limit() == -math.inf and never.path([1e3])[0] < 0
    still = SharpnessGrowth([2], [4], [10], 20)  # the answer is as common after a match as elsewhere
    assert still.limit() == 0.01 and still.path([1e3])[0] == 0.01
    unseen = SharpnessGrowth([0, 5], [5, 5], [0, 6], 90)  # the first teaches nothing
    assert unseen.constants()[1] == 0
    assert unseen.rate(1.0) == pytest.approx(SharpnessGrowth([5], [5], [6], 90).rate(1.0) / 2, rel=1e-12)


def test_training_of_the_classifier_follows_the_path():
    """Hard copies and a given selector; only the tokens that lack a full history, 2 in 100, make a difference."""
    model = InductionTransformer(subsets=[(0, 1)], start=(1e3, 0.0)).double()
    task = MarkovTask()
    stage = (Stage(("classifier",), 60, 0.5),)
    history = train_induction(
        model, task, stage, n_sequences=4000, batch_size=4000, n_validation=10, records=8, progress=False
    )
    same = task.sample(4000, seed=torch.Generator().manual_seed(0))
    path = SharpnessGrowth.count(same).path(0.5 * history.step)
    assert np.abs(path - history.sharpness).max() < 0.05 and history.sharpness[-1] > 2
    shuffled = SharpnessGrowth.count(MarkovTask(concentration=1.0).sample(4000)).path(0.5 * history.step)
    assert np.abs(shuffled - history.sharpness).max() > 0.5


# A second softmax


@settings(max_examples=30)
@given(task=tasks, a=st.floats(0.1, 12), seed=seeds)
def test_softmaxed_rate_is_the_slope_of_its_loss(task, a, seed):
    chains = task.sample(20, seed=seed)

    def gain(sharpness):
        y = torch.from_numpy(generalized_induction_head(chains.tokens, task.lags, task.n_states, sharpness=sharpness))
        return -softmax_again(y, chains.answer).item()

    slope = (gain(a + 1e-4) - gain(a - 1e-4)) / 2e-4
    assert SoftmaxedGrowth.count(chains).rate(a) == pytest.approx(slope, abs=1e-7)


def test_softmaxed_growth_has_no_end_where_the_other_stops():
    chains = MarkovTask().sample(4000, seed=5)
    bounded, logarithm = SoftmaxedGrowth.count(chains), SharpnessGrowth.count(chains)
    c = bounded.constant()
    for a in (12.0, 16.0):
        assert bounded.rate(a) == pytest.approx(c * math.exp(-a), rel=1e-3)
    assert bounded.limit() == math.inf > logarithm.limit() and logarithm.constants()[1] > 0
    path = bounded.path([1e5, 1e7])
    np.testing.assert_allclose(path, sharpness_law([1e5, 1e7], c, 0), atol=0.01)
    hopeless = SoftmaxedGrowth([[3, 0]], [[3, 5]], [1])  # the answer never follows: away from the matches
    assert hopeless.constant() < 0 and hopeless.limit() == -math.inf


def test_training_with_a_second_softmax_follows_its_path():
    model = InductionTransformer(subsets=[(0, 1)], start=(1e3, 0.0)).double()
    sizes = {"n_sequences": 4000, "batch_size": 4000, "n_validation": 10, "records": 8, "progress": False}
    history = train_induction(model, MarkovTask(), (Stage(("classifier",), 60, 1.0),), second_softmax=True, **sizes)
    same = MarkovTask().sample(4000, seed=torch.Generator().manual_seed(0))
    assert np.abs(SoftmaxedGrowth.count(same).path(history.step + 1e-9) - history.sharpness).max() < 0.05
    assert np.abs(SharpnessGrowth.count(same).path(history.step + 1e-9) - history.sharpness).max() > 0.4


# The heads


@settings(max_examples=15)
@given(seed=seeds, size=st.integers(1, 3), states=st.integers(2, 4))
def test_head_moments_hold_the_gain_of_every_set(seed, size, states):
    model = spread(seed, n_states=states, degree=3)
    chains = MarkovTask(n_states=states, length=12).sample(6, seed=seed)
    gains, sigma = blurred_information(model, chains).mean, model.copying().detach().numpy()
    for gain, subset in zip(gains, model.subsets, strict=True):
        if len(subset) == size:
            rest = head_moments(chains, 3, size)
            for head in reversed(subset):
                rest = rest @ sigma[head] @ sigma[head]
            assert rest == pytest.approx(gain, abs=1e-12)


@settings(max_examples=10)
@given(seeds)
def test_slope_of_the_heads_is_that_of_the_flow(seed):
    model, chains = spread(seed, degree=3), MarkovTask(length=40).sample(30, seed=seed)
    with torch.no_grad():
        model.a.fill_(1e-6)
    step = 1e-3
    start, after = head_flow(model, chains, [0, step])
    gradient = torch.autograd.grad(negative_log(model(chains.tokens), chains.answer), model.w)[0]
    moved = (model.w - step * gradient / 1e-6).softmax(-1).detach().numpy()
    np.testing.assert_allclose(start, model.copying().detach().numpy(), atol=1e-12)
    np.testing.assert_allclose((after - start) / step, (moved - start) / step, atol=2e-3)


def test_training_of_the_heads_follows_the_flow_and_the_law_its_tail():
    task, start = MarkovTask(), {"subsets": [(0, 1)], "sharpness": 1e-3}
    model = InductionTransformer(**start).double()
    sizes = {"n_sequences": 1000, "batch_size": 1000, "n_validation": 10, "records": 9, "progress": False}
    history = train_induction(model, task, (Stage(("heads",), 100, 2000.0),), **sizes)
    same = task.sample(1000, seed=torch.Generator().manual_seed(0))
    flow = head_flow(InductionTransformer(**start).double(), same, 2.0 * history.step + 1e-12)
    assert np.abs(flow - history.copying).max() < 0.01 < np.ptp(history.copying[:, 0, 0])
    times = np.array([1e3, 1e4])
    blur = 1 - head_flow(InductionTransformer(**start).double(), same, times)[:, [0, 1], [0, 1]]
    for head, rate in enumerate(copying_rate(same, (1, 2), 3)):
        np.testing.assert_allclose(copying_law(times, rate, 0.1), blur[:, head], rtol=0.15)  # a tail of 1 / t
        assert blur[0, head] / blur[1, head] == pytest.approx(10, rel=0.1)


@settings(max_examples=30)
@given(rate=st.floats(0.01, 10), start=st.floats(0.01, 0.9), t=st.floats(0, 100))
def test_copying_law_solves_its_equation(rate, start, t):
    low, here, high = copying_law([t, t + 1e-4, t + 2e-4], rate, start)
    assert (high - low) / 2e-4 == pytest.approx(-rate * here**2, rel=1e-3)
    assert copying_law(0, rate, start) == pytest.approx(start)


def test_no_law_where_another_lag_gains_as_much():
    chains = MarkovTask(lags=(2,)).sample(500)
    assert copying_rate(chains, (2,), 3)[0] > 0
    dull = replace(chains, tokens=torch.zeros_like(chains.tokens), answer=torch.zeros_like(chains.answer))
    with pytest.raises(ValueError, match="another lag gains"):
        copying_rate(dull, (2,), 3)  # one state and no other: all lags are alike


# What the selector sees


@settings(max_examples=20)
@given(seed=seeds, states=st.integers(2, 4), degree=st.integers(1, 3), length=st.integers(4, 12))
def test_blurred_information_is_the_slope_of_each_subset_alone(seed, states, degree, length):
    model = spread(seed, n_states=states, degree=degree)
    chains = MarkovTask(n_states=states, length=length).sample(6, seed=seed)
    table = blurred_information(model, chains)
    held = (chains.tokens == chains.answer[:, None]).any(-1)
    for subset, values in zip(model.subsets, table.values.T, strict=True):
        alone = InductionTransformer(states, subsets=[subset], sharpness=0.0).double()
        alone.w = model.w
        given = alone(chains.tokens).gather(1, chains.answer[:, None])[held, 0]
        for row, log in zip(held.nonzero()[:, 0].tolist(), given.log(), strict=True):
            slope = torch.autograd.grad(log, alone.a, retain_graph=True)[0].item()
            assert values[row] == pytest.approx(slope, abs=1e-12)
        assert not values[~held.numpy()].any()


def test_hard_copies_see_the_modified_information():
    """In long sequences that mix, as in `first_gain`; blurred copies see less."""
    task = MarkovTask(length=400, concentration=1.0)
    chains = task.sample(3000, seed=1)
    exact = information_table(task, 3, 2)
    hard = blurred_information(InductionTransformer(start=(1e3, 0.0)), chains)
    assert hard.lag_sets == exact.lag_sets
    error = np.hypot(hard.standard_error, exact.standard_error)
    assert (np.abs(hard.mean - exact.mean) < 4 * error + 0.002).all()
    blurred = blurred_information(InductionTransformer(start=(0.5, 0.1)), chains)
    assert (blurred.mean < hard.mean).all() and blurred[1, 2] < 0.5 * hard[1, 2]


def test_columns_are_named_by_what_heads_copy():
    model = InductionTransformer(heads=4, window=3, start=(5.0, 0.0))  # head 3 starts on lag 1 again
    table = blurred_information(model, MarkovTask().sample(5))
    assert table.lag_sets == [(1,), (2,), (3,), (1,), (1, 2), (1, 3), (1,), (2, 3), (1, 2), (1, 3)]


@settings(max_examples=15)
@given(seeds)
def test_slope_of_the_selector_is_that_of_the_replicator(seed):
    model = spread(seed)
    chains = MarkovTask(length=60).sample(50, seed=seed)
    gains = blurred_information(model, chains).mean
    with torch.no_grad():
        c = torch.randn(model.c.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
        model.c.copy_(c / c.norm())
        model.a.fill_(1e-6)
    gradient = torch.autograd.grad(negative_log(model(chains.tokens), chains.answer), model.c)[0].numpy()
    p = model.selection().detach().numpy()
    moved = -2 * model.c.detach().numpy() * gradient / 1e-6  # of p = c^2, per time
    np.testing.assert_allclose(moved, 4 * p * (gains - p @ gains), atol=1e-5)


@settings(max_examples=30)
@given(seed=seeds, n=st.integers(1, 7), t=st.floats(0, 20))
def test_replicator_solves_its_equation(seed, n, t):
    rng = np.random.default_rng(seed)
    gains, start = rng.normal(size=n), rng.dirichlet(np.ones(n)) + 1e-9
    start /= start.sum()
    p = replicator(gains, [t, t + 1e-5, t + 2e-5], start)
    assert np.abs(p.sum(-1) - 1).max() < 1e-12
    np.testing.assert_allclose((p[2] - p[0]) / 2e-5, 4 * p[1] * (gains - p[1] @ gains), atol=1e-6)
    np.testing.assert_allclose(replicator(gains, 0.0, start), start, atol=1e-12)
    later = replicator(gains, 2.0, replicator(gains, t, start) * 0.999 + 0.001 / n)  # any start will do
    np.testing.assert_allclose(later.sum(), 1)


def test_no_time_is_too_long_for_the_replicator():
    assert replicator([0.1, 0.2, 0.2], [1e308]).tolist() == [[0, 0.5, 0.5]]


def test_the_best_gain_wins_in_the_end():
    assert replicator([0.1, 0.3, 0.2], 1e3).round(9).tolist() == [0, 1, 0]
    assert replicator([0.1, 0.3, 0.2], 0).tolist() == [1 / 3] * 3
    np.testing.assert_allclose(replicator([0.5, 0.5], [1.0, 9.0]), 0.5)


def test_training_of_the_selector_follows_the_replicator():
    start = {"noise": 0.1, "sharpness": 1e-3}
    model, task = InductionTransformer(**start).double(), MarkovTask()
    history = train_induction(
        model, task, (Stage(("selector",), 100, 500.0),),
        n_sequences=1000, batch_size=1000, n_validation=10, records=9, progress=False,
    )  # fmt: skip
    same = task.sample(1000, seed=torch.Generator().manual_seed(0))
    gains = blurred_information(InductionTransformer(**start).double(), same).mean
    predicted = replicator(gains, 0.5 * history.step)
    assert np.abs(predicted - history.selection).max() < 0.01
    assert history.selection[-1].max() > 0.8  # it went somewhere
    assert np.abs(replicator(gains, 0.2 * history.step) - history.selection).max() > 0.1


@settings(max_examples=15)
@given(a=st.floats(-2, 8), lags=st.sampled_from([(1,), (1, 2), (2, 3)]), seed=seeds)
def test_effective_sharpness_of_exact_copies_is_the_sharpness(a, lags, seed):
    subset = tuple(lag - 1 for lag in lags)
    model = InductionTransformer(subsets=[subset], start=(1e3, 0.0), sharpness=a).double()
    assert effective_sharpness(model, MarkovTask(lags=lags).sample(20, seed=seed)) == pytest.approx(model.sharpness)


def test_effective_sharpness_of_blurred_copies_is_less_and_a_mean_over_places():
    model = spread(2)
    with torch.no_grad():
        model.a.fill_(3.0)
    chains = MarkovTask(length=20).sample(5, seed=2)
    weight = (3.0 * model.similarity(chains.tokens)).exp()
    kinds = {True: [], False: []}
    for b, tokens in enumerate(chains.tokens.tolist()):
        for t in range(2, 20):
            kinds[tokens[t - 1] == tokens[-1] and tokens[t - 2] == tokens[-2]].append(weight[b, t].item())
    expected = math.log(np.mean(kinds[True]) / np.mean(kinds[False]))
    assert effective_sharpness(model, chains) == pytest.approx(expected) and expected < 3.0


def test_half_way():
    assert half_way([3.0, 2.9, 1.0, 2.0, 1.5]) == 2  # falls by 1.5 in all
    assert half_way([1.0]) == half_way([2.0, 2.0]) == 0
    grid = np.linspace(0, 1, 101)
    assert half_way(grid) == half_way(-grid) == half_way(5 * grid + 3) == 50


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SharpnessGrowth([1, 2], [3], [4], 10), "shapes"),
        (lambda: SharpnessGrowth([], [], [], 10), "shapes"),
        (lambda: SharpnessGrowth([3], [2], [4], 10), "right <= matches"),
        (lambda: SharpnessGrowth([2], [3], [1], 10), "answers"),
        (lambda: SharpnessGrowth([1], [8], [9], 10), "answers"),
        (lambda: SharpnessGrowth([math.nan], [8], [9], 10), "counts"),
        (lambda: SharpnessGrowth([1], [2], [2], 0), "n_tokens"),
        (lambda: SharpnessGrowth([1], [2], [2], 10).rate(1e3), "between"),
        (lambda: SharpnessGrowth([1], [2], [2], 10).path([]), "times"),
        (lambda: SharpnessGrowth([1], [2], [2], 10).path([-1.0, 1.0]), "times"),
        (lambda: SharpnessGrowth([1], [2], [2], 10).path([1.0, 1.0]), "increase"),
        (lambda: sharpness_law([1.0], 0, 0.1), "positive"),
        (lambda: sharpness_law([1.0], 1.0, -0.1), "from 0 on"),
        (lambda: sharpness_law([-1.0], 1.0, 0.1), "from 0 on"),
        (lambda: sharpness_law([1.0], 1.0, 0.1, start=math.nan), "start"),
        (lambda: sharpness_law([1.0], 1.0, 0.1, start=1e5), "e\\^a"),
        (lambda: sharpness_law([1e308], 1e10, 0.0), "e\\^a"),
        (lambda: SoftmaxedGrowth([[1, 0]], [[1, 2], [0, 3]], [0]), "shape|must be"),
        (lambda: SoftmaxedGrowth([[2, 0]], [[1, 2]], [0]), "followed <= every"),
        (lambda: SoftmaxedGrowth([[1, 0]], [[1, 2]], [2]), "answers"),
        (lambda: SoftmaxedGrowth([[1, 0]], [[1, 2]], [0]).rate(math.nan), "between"),
        (lambda: head_moments(MarkovTask().sample(3), 0, 1), "window"),
        (lambda: head_moments(MarkovTask().sample(3), 3, 0), "size"),
        (lambda: head_flow(InductionTransformer(), MarkovTask().sample(3), [2.0, 1.0]), "increase"),
        (lambda: head_flow(InductionTransformer(unit_copies=True), MarkovTask().sample(3), [1.0]), "flow"),
        (lambda: copying_rate(MarkovTask().sample(3), (4,), 3), "lags"),
        (lambda: copying_law([-1.0], 1.0, 0.5), "times"),
        (lambda: copying_law([1.0], 0.0, 0.5), "rate"),
        (lambda: copying_law([1.0], 1.0, 1.0), "start"),
        (lambda: replicator([[0.1]], 1.0), "gains"),
        (lambda: replicator([0.1, math.nan], 1.0), "gains"),
        (lambda: replicator([0.1, 0.2], -1.0), "times"),
        (lambda: replicator([0.1, 0.2], [[1.0]]), "times"),
        (lambda: replicator([0.1, 0.2], 1.0, [0.5, 0.6]), "start"),
        (lambda: replicator([0.1, 0.2], 1.0, [1.0, 0.0]), "start"),
        (
            lambda: effective_sharpness(InductionTransformer(), MarkovTask(length=3, lags=(1,)).sample(1)[:1]),
            "one kind",
        ),
        (lambda: half_way([]), "values"),
        (lambda: half_way([0.0, math.inf]), "values"),
        (lambda: blurred_information(InductionTransformer(2), MarkovTask().sample(3)), "tokens"),
        (lambda: blurred_information(InductionTransformer(window=9), MarkovTask(length=8).sample(3)), "window"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
