"""The ladder of depths: what is stored, and the small pieces that it is told with."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from icl_nb.models.files import load
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.shipped import ladder

FOUND = ladder.stored()


def table(depth, seed=0):
    rng = np.random.default_rng(seed)
    return Recursion({name: rng.normal(size=(depth, 1)) for name in SCALARS}, scale=2.0)


def test_every_table_has_its_row():
    assert set(FOUND["regrets"]) == {*ladder.NAMES, "bayes"} and set(FOUND["limits"]) == set(ladder.NAMES)
    assert set(FOUND["guesses"]) == {*ladder.RULES, "trained", "another seed", "other seeds, mean", "constant"}
    for name in ladder.NAMES:
        row = FOUND["limits"][name]
        assert row["above"] == pytest.approx(row["long"] - row["limit"], abs=2e-5)
        assert load(name).depth == next(
            L for families in (ladder.DEPTHS, ladder.TIED) for L, one in families.items() if name.startswith(f"{one}-")
        )


def test_one_comes_out_again():
    (row,) = ladder.limits(("depth2-1",)).values()
    assert row["limit"] == pytest.approx(FOUND["limits"]["depth2-1"]["limit"], abs=2e-4)
    assert row["long"] == pytest.approx(FOUND["limits"]["depth2-1"]["long"], abs=1e-3)


def test_regret_is_near_the_difference_of_errors():
    """Without the noise of labels it has the same mean as with it."""
    for name in ("depth2-0", "four-0"):
        own = FOUND["regrets"][name]
        assert own["regret"] + FOUND["regrets"]["bayes"]["error"] == pytest.approx(
            1 - ladder.stated(name[:-2], "accuracy")[0], abs=4 * (own["regret_se"] + 0.0013)
        )


@pytest.mark.parametrize("rule", ladder.RULES)
def test_between_a_table_and_itself_is_itself(rule):
    one = table(5)
    same = ladder.between(one, one, 5, rule)
    for name in SCALARS:
        assert_allclose(same.table[name], one.table[name])
    assert same.scale == one.scale
    assert ladder.explained(same, one) == 1.0


def test_layers_are_counted_from_either_end():
    short, long = table(2), table(4, seed=1)
    start, end = (ladder.between(short, long, 3, rule).table.beta for rule in ladder.RULES[2:])
    assert_allclose(start, [*((short.table.beta + long.table.beta[:2]) / 2), long.table.beta[2]])
    assert_allclose(end, [long.table.beta[1], *((short.table.beta + long.table.beta[2:]) / 2)])


def test_moves_are_shared_out_over_layers():
    flat = [Recursion({"alpha": np.ones((L, 1)), "beta": 1, "gamma": 6 / L, "delta": -6 / L}) for L in (2, 6)]
    mid = ladder.between(*flat, 3, "relative depth, moves / L").table
    assert_allclose(mid.gamma, 2), assert_allclose(mid.delta, -2), assert_allclose(mid.alpha, 1)


@pytest.mark.parametrize(("depth", "rule", "said"), [(2, ladder.RULES[0], "depths"), (4, "nearest", "rule='nearest'")])
def test_what_cannot_be_between_is_refused(depth, rule, said):
    with pytest.raises(ValueError, match=said):
        ladder.between(table(3), table(5), depth, rule)


def test_a_constant_explains_nothing_and_a_wrong_course_less():
    wanted = table(6)
    level = {name: wanted.table[name][: -1 if name == "gamma" else None].mean() for name in SCALARS}
    assert ladder.explained(wanted.replace(**level), wanted) == pytest.approx(0)
    assert ladder.explained(table(6, seed=1), wanted) < 0


def test_a_power_law_is_found_with_honest_intervals():
    """The intervals hold what they should about as often as they say."""
    rng, depths, held = np.random.default_rng(0), np.array([2, 4, 8, 16]), [0, 0]
    for _ in range(400):
        values = 0.3 * depths[:, None] ** -0.5 * np.exp(0.1 * rng.normal(size=(4, 3)))
        law = ladder.power_law(depths, values, 32)
        new = np.log(0.3) - 0.5 * np.log(32) + 0.1 * rng.normal(size=3).mean()
        held[0] += law.low < -0.5 < law.high
        held[1] += np.log(law.least) < new < np.log(law.most)
    assert all(366 <= count <= 394 for count in held)


@pytest.mark.parametrize("values", [[[1.0], [0.0], [2.0]], [[1.0], [2.0]], [[1.0, 2.0, 3.0]], [1.0, 2.0, 3.0]])
def test_what_has_no_law_is_refused(values):
    with pytest.raises(ValueError, match=r"depths|positive"):
        ladder.power_law([2, 4, 8][: len(values)], values, 16)
