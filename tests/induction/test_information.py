"""Information of sets of lags: loops and long chains beside the exact values, inequalities, and what must be zero."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from icl_nb.induction import information as info
from icl_nb.induction.information import (
    first_gain,
    information,
    information_table,
    joint_distribution,
    lag_sets,
    predicted_subset,
    stationary,
)
from icl_nb.induction.limit import generalized_induction_head
from icl_nb.induction.tasks import MarkovTask, sample_kernels, true_conditional

LAGS = [(1,), (2,), (1, 2), (1, 3), (2, 3), (1, 2, 3)]
problems = st.builds(
    MarkovTask,
    n_states=st.integers(2, 3),
    lags=st.sampled_from(LAGS),
    concentration=st.sampled_from([0.1, 0.5, 2.0]),
)
quick = settings(max_examples=20)


def row_of(history: tuple[int, ...], n_states: int) -> int:
    return int("".join(map(str, history)) or "0", n_states)


def by_loops(joint: np.ndarray, lags: tuple[int, ...], measure: str) -> float:
    """Sums over all words of M tokens and the next, written as the definitions are."""
    window, n_states = joint.ndim - 1, joint.shape[0]
    pair, history, state = {}, {}, np.zeros(n_states)
    for word in product(range(n_states), repeat=window + 1):
        z, e, p = tuple(word[window - lag] for lag in lags), word[-1], joint[word]
        pair[z, e] = pair.get((z, e), 0) + p
        history[z] = history.get(z, 0) + p
        state[e] += p
    total = 0.0
    for z, p in history.items():
        if measure == "mutual":
            total += sum(pair[z, e] * np.log(pair[z, e] / p / state[e]) for e in range(n_states))
        else:
            divergence = sum((pair[z, e] / p) ** 2 / state[e] for e in range(n_states)) - 1
            total += p * divergence * (p if measure == "modified" else 1)
    return total


def test_sets_of_lags_are_all_of_them_once():
    sets = lag_sets(5, 3)
    assert len(sets) == len(set(sets)) == 5 + 10 + 10 and all(lags == tuple(sorted(lags)) for lags in sets)


@quick
@given(task=problems, seed=st.integers(0, 10**6))
def test_the_stationary_distribution_stays_as_it_is(task, seed):
    kernel = sample_kernels(task, 3, seed=seed)
    pi = stationary(kernel, task.lags)
    order, n_states = max(task.lags), task.n_states
    assert_allclose(pi.sum(-1), 1, atol=1e-12)
    moved = np.zeros_like(pi)
    for index, context in enumerate(product(range(n_states), repeat=order)):
        row = row_of(tuple(context[order - lag] for lag in task.lags), n_states)
        for state in range(n_states):
            moved[:, (index * n_states + state) % n_states**order] += pi[:, index] * kernel[:, row, state]
    assert_allclose(moved, pi, atol=1e-11)


def test_the_stationary_distribution_is_that_of_the_eigenvector_and_of_a_long_chain():
    task = MarkovTask(length=100_000, lags=(1,), concentration=1.0)
    chains = task.sample(3, seed=4)
    pi = stationary(chains.kernel.numpy(), (1,))
    for b in range(3):
        values, vectors = np.linalg.eig(chains.kernel[b].numpy().T)
        vector = vectors[:, np.argmax(values.real)].real
        assert_allclose(pi[b], vector / vector.sum(), atol=1e-10)
        assert_allclose(np.bincount(chains.tokens[b], minlength=3) / task.length, pi[b], atol=0.03)


def test_a_chain_that_hardly_ever_leaves_keeps_its_digits():
    """Left with probability 1e-9 on one side and 3e-9 on the other: 3 to 1. Subtracting would lose it."""
    kernel = np.array([[[1 - 1e-9, 1e-9], [3e-9, 1 - 3e-9]]])
    assert_allclose(stationary(kernel, (1,)), [[0.75, 0.25]], rtol=1e-3)
    assert_allclose(stationary(np.eye(3)[None], (1,)), [[1 / 3] * 3], rtol=1e-9)  # never left: by symmetry
    sharp = sample_kernels(MarkovTask(lags=(2, 4), n_states=2, concentration=0.01), 300)
    assert np.isfinite(stationary(sharp, (2, 4))).all()


@quick
@given(task=problems, window=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_the_joint_distribution_has_the_kernel_and_is_stationary(task, window, seed):
    kernel = sample_kernels(task, 2, seed=seed)
    joint = joint_distribution(kernel, task.lags, window)
    assert joint.shape == (2,) + (task.n_states,) * (window + 1)
    assert_allclose(joint.sum(-1), joint.sum(1), atol=1e-11)  # dropping the newest token or the oldest
    if window >= max(task.lags):
        for word in product(range(task.n_states), repeat=window):
            row = row_of(tuple(word[window - lag] for lag in task.lags), task.n_states)
            here = joint[(slice(None), *word)]
            assert_allclose(here, here.sum(-1, keepdims=True) * kernel[:, row], atol=1e-11)


@quick
@given(task=problems, measure=st.sampled_from(info.MEASURES), seed=st.integers(0, 10**6))
def test_information_is_that_of_loops(task, measure, seed):
    joint = joint_distribution(sample_kernels(task, 1, seed=seed), task.lags, 3)
    for lags in lag_sets(3, 3):
        assert_allclose(information(joint, lags, measure)[0], by_loops(joint[0], lags, measure), atol=1e-10)


def test_information_is_that_of_the_frequencies_in_a_long_chain():
    chains = MarkovTask(length=100_000, concentration=1.0).sample(4, seed=2)
    exact = joint_distribution(chains.kernel.numpy(), (1, 2), 3)
    seen = np.zeros_like(exact)
    tokens = chains.tokens.numpy()
    for b in range(4):
        np.add.at(seen[b], tuple(tokens[b, i : tokens.shape[1] - 3 + i] for i in range(4)), 1 / (tokens.shape[1] - 3))
    for lags in lag_sets(3, 3):
        for measure in info.MEASURES:
            ours, theirs = information(exact, lags, measure), information(np.maximum(seen, 1e-300), lags, measure)
            assert_allclose(theirs, ours, rtol=0.1, atol=2e-3)


@quick
@given(task=problems, seed=st.integers(0, 10**6))
def test_ordinary_information_grows_with_the_set_and_ends_at_the_parents(task, seed):
    joint = joint_distribution(sample_kernels(task, 2, seed=seed), task.lags, 4)
    sets = lag_sets(4, 4)
    for measure in ("chi_square", "mutual"):
        value = {lags: information(joint, lags, measure) for lags in sets}
        for small, large in product(sets, sets):
            if set(small) < set(large):
                assert (value[small] <= value[large] + 1e-9).all()
            if set(task.lags) <= set(small):
                assert_allclose(value[small], value[task.lags], atol=1e-9)


@quick
@given(task=problems, seed=st.integers(0, 10**6))
def test_modified_information_falls_beyond_the_parents_and_stays_below_the_ordinary(task, seed):
    joint = joint_distribution(sample_kernels(task, 2, seed=seed), task.lags, 4)
    best = information(joint, task.lags)
    for lags in lag_sets(4, 4):
        value = information(joint, lags)
        assert (value >= -1e-12).all() and (value <= information(joint, lags, "chi_square") + 1e-12).all()
        if set(task.lags) < set(lags):
            assert (value <= best + 1e-12).all()


def test_modified_information_need_not_grow_with_the_set():
    """Below the parents it may fall: the case on which the prediction turns."""
    table = information_table(MarkovTask(concentration=1.0, dominance=0.6), 3, 2)
    assert table[(1, 2)] < table[(1,)]
    ordinary = information_table(MarkovTask(concentration=1.0, dominance=0.6), 3, 2, measure="chi_square")
    assert ordinary[(1, 2)] > ordinary[(1,)]


@quick
@given(task=problems, seed=st.integers(0, 10**6))
def test_names_of_states_do_not_matter(task, seed):
    kernel = sample_kernels(task, 1, seed=seed)
    S, k = task.n_states, len(task.lags)
    order = np.random.default_rng(seed).permutation(S)
    table = kernel.reshape((1,) + (S,) * (k + 1))[(slice(None), *np.ix_(*[order] * (k + 1)))]
    renamed = table.reshape(kernel.shape)
    first, second = (joint_distribution(given, task.lags, 3) for given in (kernel, renamed))
    for lags in lag_sets(3, 2):
        # abs: where a chain hardly mixes, rounding in the restart is what it hangs on
        assert_allclose(information(first, lags), information(second, lags), atol=1e-6)


@pytest.mark.parametrize("concentration", [0.1, 1.0])
def test_controls_where_information_must_be_zero(concentration):
    free = joint_distribution(sample_kernels(MarkovTask(lags=(), concentration=concentration), 50), (), 3)
    apart = joint_distribution(sample_kernels(MarkovTask(lags=(2,), concentration=concentration), 50), (2,), 3)
    for measure in info.MEASURES:
        assert all(np.abs(information(free, lags, measure)).max() < 1e-9 for lags in lag_sets(3, 3))
        for odd in ((1,), (3,), (1, 3)):  # odd and even places are two chains that know nothing of each other
            assert np.abs(information(apart, odd, measure)).max() < 1e-9
        assert information(apart, (2,), measure).mean() > 0.01


@pytest.mark.parametrize("lags", [(1,), (1, 2), (1, 2, 3)])
@pytest.mark.parametrize("n_states", [2, 3, 4])
def test_weak_dependence_has_a_closed_form(n_states, lags):
    """Large concentration: j of k parents have S**-k (1 - S**-j) S**2 v, v the variance of an entry of a row."""
    task = MarkovTask(n_states=n_states, lags=lags, concentration=200.0)
    table = information_table(task, window=3, degree=3, n_kernels=400)
    S, k = n_states, len(lags)
    variance = (1 / S) * (1 - 1 / S) / (S * task.concentration + 1)
    for subset in lag_sets(3, k):
        if set(subset) <= set(lags):
            index, j = table.lag_sets.index(subset), len(subset)
            expected = S * S * S**-k * (1 - S**-j) * variance
            assert abs(table.mean[index] - expected) < 4 * table.standard_error[index] + 0.03 * expected


@pytest.mark.parametrize("n_states", [2, 3, 4])
def test_the_leading_parent_wins_alone_from_the_dominance_that_theory_gives(n_states):
    """Weak dependence: d / (1 - d) > 1 / sqrt(S (S - 1))."""
    odds = (n_states * (n_states - 1)) ** -0.5
    border = odds / (1 + odds)
    task = {"n_states": n_states, "concentration": 50.0}
    assert predicted_subset(MarkovTask(dominance=border - 0.06, **task), 3, 2) == (1, 2)
    assert predicted_subset(MarkovTask(dominance=border + 0.06, **task), 3, 2) == (1,)


@pytest.mark.parametrize(("lags", "n_states", "concentration"), [
    ((1, 2), 3, 0.1), ((1, 3), 3, 0.1), ((2,), 3, 0.1), ((1, 2), 2, 1.0), ((1, 2), 5, 0.1), ((1, 2), 3, 5.0),
])  # fmt: skip
def test_the_prediction_is_the_parent_set_clear_of_noise(lags, n_states, concentration):
    table = information_table(MarkovTask(n_states=n_states, lags=lags, concentration=concentration), 3, 2)
    lead, error = table.lead()
    assert table.best == lags and lead > 4 * error


def test_first_gain_is_the_slope_of_the_log_likelihood_of_the_head():
    chains = MarkovTask(concentration=1.0).sample(200)
    mu, step = true_conditional(chains).numpy(), 1e-5
    for lags in ((1,), (1, 2), (3,)):
        up, zero = (generalized_induction_head(chains.tokens, lags, 3, sharpness=a) for a in (step, 0.0))
        ratio = np.divide(up, zero, out=np.ones_like(up), where=zero > 0)
        assert_allclose((mu * np.log(ratio)).sum(-1) / step, first_gain(chains, lags), atol=1e-4)


def test_what_gradient_descent_sees_first_is_the_modified_information():
    task = MarkovTask(length=1000, concentration=1.0)
    chains = task.sample(3000, seed=6)
    joint = joint_distribution(chains.kernel.numpy(), (1, 2), 3)
    for lags in lag_sets(3, 2):
        difference = first_gain(chains, lags) - information(joint, lags)
        assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5 + 1e-3
        ordinary = first_gain(chains, lags) - information(joint, lags, "chi_square")
        assert abs(ordinary.mean()) > 0.01  # and not the ordinary one


def test_chunks_change_nothing(monkeypatch):
    task = MarkovTask()
    whole = information_table(task, 3, 2, n_kernels=50).values
    monkeypatch.setattr(info, "CHUNK", 1000)
    assert_allclose(information_table(task, 3, 2, n_kernels=50).values, whole, atol=1e-13)


def test_no_set_has_more_lags_than_the_window():
    assert lag_sets(3, 10**9) == lag_sets(3, 3) and len(lag_sets(3, 3)) == 7
    assert predicted_subset(MarkovTask(lags=(1, 2)), 2, 10**9, n_kernels=500) == (1, 2)


def test_bad_input_is_refused():
    kernel = sample_kernels(MarkovTask(), 2)
    joint = joint_distribution(kernel, (1, 2), 2)
    for call in (
        lambda: stationary(kernel, (1,)),
        lambda: stationary(kernel * 1.1, (1, 2)),
        lambda: stationary(kernel, (2, 1)),
        lambda: stationary(-kernel, (1, 2)),
        lambda: joint_distribution(kernel, (1, 2), 0),
        lambda: information(joint, (3,)),
        lambda: information(joint, (1,), "entropy"),
        lambda: lag_sets(0, 1),
        lambda: lag_sets(10**9, 1),  # these filled the memory, or never ended
        lambda: lag_sets(10**9, 10**9),
        lambda: lag_sets(40, 40),
        lambda: joint_distribution(kernel, (1, 2), 10**9),
        lambda: stationary(kernel, (1, 50)),
        lambda: information_table(MarkovTask(), 3, 2, n_kernels=1),
        lambda: information_table(MarkovTask(), 3, 0),
    ):
        with pytest.raises(ValueError, match=r"must|beyond"):
            call()
