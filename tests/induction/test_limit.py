"""The generalised induction head against loops, and its shrinkage as an identity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_nb.induction import tasks
from icl_nb.induction.limit import generalized_induction_head, matched_sharpness, pseudo_count
from icl_nb.induction.tasks import MarkovTask, loss

LAGS = [(), (1,), (2,), (1, 2), (1, 3), (1, 2, 3)]
prompts = st.builds(
    lambda seed, n_states, length: np.random.default_rng(seed).integers(0, n_states, (4, length)),
    st.integers(0, 2**32 - 1),
    st.integers(2, 4),
    st.integers(4, 25),
)


def by_loops(tokens: list[int], lags: tuple[int, ...], n_states: int, sharpness: float) -> np.ndarray:
    total, weights = np.zeros(n_states), 0.0
    for t in range(max(lags, default=0), len(tokens)):
        score = math.prod(float(tokens[t - lag] == tokens[len(tokens) - lag]) for lag in lags)
        weight = math.exp(sharpness * score)
        total[tokens[t]] += weight
        weights += weight
    return total / weights


@settings(max_examples=40)
@given(tokens=prompts, lags=st.sampled_from(LAGS), sharpness=st.floats(0, 20))
def test_attention_is_that_of_loops(tokens, lags, sharpness):
    ours = generalized_induction_head(tokens, lags, 4, sharpness=sharpness)
    expected = [by_loops(row.tolist(), lags, 4, sharpness) for row in tokens]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert np.array_equal(ours, generalized_induction_head(torch.from_numpy(tokens), lags, 4, sharpness=sharpness))


@settings(max_examples=40)
@given(tokens=prompts, lags=st.sampled_from(LAGS[1:]), sharpness=st.floats(0.05, 12))
def test_a_finite_sharpness_is_a_dirichlet_prior_centred_on_the_unigram(tokens, lags, sharpness):
    first = max(lags)
    states = tokens[:, first:, None] == np.arange(4)
    match = np.ones((len(tokens), tokens.shape[1] - first), bool)
    for lag in lags:
        match &= tokens[:, first - lag : tokens.shape[1] - lag] == tokens[:, [tokens.shape[1] - lag]]
    n_e, u_e = (states & match[..., None]).sum(1), states.mean(1)
    kappa = pseudo_count(sharpness, states.shape[1])
    shrunk = (n_e + kappa * u_e) / (n_e.sum(-1, keepdims=True) + kappa)
    np.testing.assert_allclose(generalized_induction_head(tokens, lags, 4, sharpness=sharpness), shrunk, atol=1e-12)


def test_the_hard_limit_is_the_match_predictor_and_finite_ones_tend_to_it():
    chains = MarkovTask(length=40).sample(300)
    hard = generalized_induction_head(chains.tokens, (1, 2), 3)
    np.testing.assert_allclose(hard, tasks.match_predictor(chains).numpy(), atol=1e-12)
    gaps = [np.abs(generalized_induction_head(chains.tokens, (1, 2), 3, sharpness=a) - hard).max() for a in (5, 10, 40)]
    assert gaps[0] > 0.1 > gaps[1] > gaps[2] and gaps[2] < 1e-12
    np.testing.assert_allclose(
        generalized_induction_head(chains.tokens, (1, 2), 3, sharpness=0.0),
        generalized_induction_head(chains.tokens[:, 2:], (), 3),
        atol=1e-12,
    )
    assert np.isfinite(generalized_induction_head(chains.tokens, (1, 2), 3, sharpness=1e6)).all()


def test_without_a_match_the_head_gives_the_average_at_any_sharpness():
    tokens = [[0, 1, 0, 2]]  # 2 was never followed by anything
    for sharpness in (0.0, 3.0, np.inf):
        np.testing.assert_allclose(
            generalized_induction_head(tokens, (1,), 3, sharpness=sharpness), [[1 / 3, 1 / 3, 1 / 3]]
        )


@settings(max_examples=40)
@given(sharpness=st.floats(0.01, 30), n=st.integers(1, 1000))
def test_pseudo_count_and_sharpness_are_inverse(sharpness, n):
    assert matched_sharpness(pseudo_count(sharpness, n), n) == pytest.approx(sharpness, rel=1e-9)
    assert pseudo_count(sharpness, n) == pytest.approx(n / math.expm1(sharpness), rel=1e-12)
    assert math.isinf(pseudo_count(0.0, n)) and pseudo_count(math.inf, n) == 0


def test_the_best_sharpness_is_the_one_that_matches_the_prior():
    """Why a finite sharpness beats the hard limit: predicted at log(1 + 98 / 0.3) = 5.79, found near it."""
    chains = MarkovTask().sample(20_000, seed=1)
    predicted = matched_sharpness(0.3, 98)

    def nats(sharpness):
        probs = torch.from_numpy(generalized_induction_head(chains.tokens, (1, 2), 3, sharpness=sharpness))
        return -probs.gather(1, chains.answer[:, None]).clamp(min=tasks.LEAST_FORECAST).log()[:, 0]

    best = nats(predicted)
    for other in (3.0, 4.5, 8.0, np.inf):
        ahead = nats(other) - best
        assert ahead.mean() > 3 * ahead.std() / len(ahead) ** 0.5
    assert best.mean() - loss(tasks.posterior_predictive(chains), chains.answer)[0] < 0.02


def test_there_are_as_many_states_as_the_tokens_show():
    assert generalized_induction_head([[0, 2, 0]], (1,)).tolist() == [[0.0, 0.0, 1.0]]
    assert generalized_induction_head([[0, 0]], (1,)).tolist() == [[1.0]]  # one state is an alphabet


def test_what_is_refused_is_named():
    for call, name in (
        (lambda: generalized_induction_head([[0, 0]], (), 0), "n_states=0"),
        (lambda: pseudo_count(1.0, 0), "n_tokens=0"),
        (lambda: matched_sharpness(1.0, 0), "n_tokens=0"),
        (lambda: matched_sharpness("1", 3), "pseudo_count='1'"),
        (lambda: pseudo_count("1", 3), "sharpness='1'"),
        (lambda: generalized_induction_head([[0, 0]], (), sharpness="1"), "sharpness='1'"),
    ):
        with pytest.raises(ValueError, match=f"^{name}; it must be"):
            call()


def test_bad_input_is_refused():
    good = [[0, 1, 0, 1]]
    for tokens in ([0, 1], [[0.5, 1.0]], [[0, 1]], [[0, -1, 0, 1]], np.zeros((0, 4), int)):
        with pytest.raises(ValueError, match="must"):
            generalized_induction_head(tokens, (1, 2))
    for options in ({"lags": (2, 1)}, {"lags": (1,), "n_states": 1}, {"lags": (1,), "sharpness": -1.0},
                    {"lags": (1,), "sharpness": math.nan}):  # fmt: skip
        with pytest.raises(ValueError, match="must"):
            generalized_induction_head(good, **options)
    for call in (lambda: pseudo_count(-1.0, 5), lambda: pseudo_count(1.0, 0), lambda: matched_sharpness(0.0, 5)):
        with pytest.raises(ValueError, match="must"):
            call()
