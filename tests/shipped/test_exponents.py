"""Exponents of errors: what is stored, and the pieces that it is told with."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load
from icl_nb.recursion import Recursion
from icl_nb.shipped import exponents
from icl_nb.tasks.linear import LinearTask


def power(p, tasks=12, spread=0.3, seed=0):
    """Wrong answers whose mean falls as n^p."""
    random = np.random.default_rng(seed)
    return {str(n): 1e6 * n**p * np.exp(spread * random.normal(size=tasks)) for n in (40, 120, 360, 1000)}


def test_everything_is_stored_on_the_same_tasks():
    found = exponents.stored()
    assert list(found) == list(exponents.SETTINGS)
    for setting, rows in found.items():
        assert set(rows) == set(exponents.NAMES) - ({exponents.BAYES} if exponents.SETTINGS[setting][1] else set())
        for name, row in rows.items():
            asked = exponents.ASKED if name == exponents.BAYES else exponents.POINTS
            assert {int(n): len(wrong) for n, wrong in row.items()} == asked
            assert max(max(wrong) for wrong in row.values()) <= exponents.QUERIES


@pytest.mark.parametrize("name", ["penalised", "trusted at 64", "lengths"])
def test_some_come_out_again(name):
    fresh = exponents.wrong_answers(name, "noisy", points={40: 96})
    assert_allclose(fresh["40"], exponents.stored()["noisy"][name]["40"], atol=1)


def test_the_oracle_is_asked_the_first_of_the_same_tasks():
    fresh = exponents.wrong_answers(exponents.BAYES, "clean", points={40: 4})["40"]
    stored = {name: exponents.stored()["clean"][name]["40"][:4] for name in (exponents.BAYES, "logistic")}
    # Other chains, which differ by less than the oracle does from a rival.
    assert np.abs(np.subtract(fresh, stored[exponents.BAYES])).max() <= 20
    assert np.abs(np.subtract(fresh, stored["logistic"])).max() > 20
    assert exponents.wrong_answers("logistic", "clean", points={40: 4})["40"] == stored["logistic"]


def test_frozen_is_the_table_at_64_points():
    batch = LinearTask(200, 5, 2).sample(2, seed=0, n_queries=5, dtype=torch.float64)
    model = load("trusted").double().at(5, 2)
    frozen, free = (one(batch.x, batch.context_y).detach().numpy() for one in (exponents.without_slopes(model), model))
    table = Recursion.from_model(model).at_length(64)
    assert_allclose(frozen, table(batch.x, batch.context_y), atol=1e-9)
    assert np.abs(frozen - free).max() > 0.1


@pytest.mark.parametrize("p", [-0.5, -1.0, 0.3])
def test_exponent_of_a_power(p):
    found = exponents.exponent(power(p, tasks=400))
    assert found.low < found.value < found.high and found.value == pytest.approx(p, abs=0.03)
    assert exponents.exponent(power(p, spread=0)) == pytest.approx((p, p, p))


def test_interval_holds_what_it_should():
    held = [low <= -0.5 <= high for _, low, high in (exponents.exponent(power(-0.5, seed=s)) for s in range(60))]
    assert np.mean(held) > 0.8


def test_shared_tasks_drop_out_of_a_difference():
    one = power(-0.5)
    other = {n: 2 * counts * int(n) ** -0.1 for n, counts in one.items()}
    apart = exponents.exponent(one, other)
    assert apart == pytest.approx((0.1, 0.1, 0.1))
    alone = exponents.exponent(one)
    assert alone.high - alone.low > 0.05


def test_small_contexts_are_left_out():
    bent = power(-0.5, spread=0) | {"40": [1.0] * 12}
    assert exponents.exponent(bent, least=120).value == pytest.approx(-0.5)
    assert exponents.exponent(bent).value > 0


@pytest.mark.parametrize(
    ("wrong", "other", "word"),
    [
        ({"40": [1, 2]}, None, "two"),
        ({"40": [1, 2], "80": [0, 0]}, None, "error is 0"),
        ({"40": [1, 2], "80": [1, 1]}, {"40": [1, 2], "80": [1]}, "same tasks"),
        ({"40": [1, 2], "80": [1, 1]}, {"40": [1, 2], "90": [1, 1]}, "same tasks"),
    ],
)
def test_refused(wrong, other, word):
    with pytest.raises(ValueError, match=word):
        exponents.exponent(wrong, other)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="setting"):
        exponents.wrong_answers("logistic", "dirty")
    with pytest.raises(ValueError, match="there is no"):
        exponents.main(["nobody"])
    with pytest.raises(ValueError, match="without slopes"):
        exponents.without_slopes(EquivariantTransformer())
