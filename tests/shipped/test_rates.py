"""Rates and the law beyond small tables: what is stored comes out again, and the place of a border gives the error."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from icl_nb.interpret.population import growth
from icl_nb.models.files import load
from icl_nb.recursion import Recursion
from icl_nb.shipped import rates

FOUND = rates.stored()


def test_rows_are_there_and_of_the_files_that_ship():
    for name, row in FOUND["laws"].items():
        g = growth(Recursion.from_model(load(name)))
        assert_allclose(row["growth"], g[:, 0] if g.ndim == 2 else g, atol=1e-5)
        assert set(row) == {"growth", "dropped", *map(str, rates.SIZES)}
    assert set(FOUND["laws"]) == set(rates.HELD) and set(FOUND["constants"]) == set(rates.PREDICTED)
    assert set(FOUND["errors"]) == set(rates.ERRING)
    assert set(FOUND["bias"]) == {f"{d},{K}" for d, K in rates.BIASED}
    assert set(FOUND["chains"]) == set(rates.CHAINED) and set(FOUND["closer"]) == {"four-0"}


def test_chains_are_slower_than_the_root_of_n_where_foretold_and_nowhere_else():
    for row in FOUND["chains"].values():
        assert (row["T"] > 2) == (row["foretold"] > -0.5)
        assert abs(row["slope"]["value"] - row["foretold"]) < 0.13
    slow = [row["slope"]["high"] > -0.45 for row in FOUND["chains"].values() if row["T"] > 2.2]
    assert all(slow) and len(slow) >= 4


def test_some_come_out_again():
    fresh = rates.law_of("four-2", sizes={40: rates.SIZES[40]})["40"]
    for what, pair in fresh["errors"].items():
        assert_allclose(pair, FOUND["laws"]["four-2"]["40"]["errors"][what], atol=2e-3)
    fresh = rates.errors_of("four-1", points={n: rates.POINTS[n] for n in (40, 120)})
    for n in ("40", "120"):
        assert fresh["error"][n] == pytest.approx(FOUND["errors"]["four-1"]["error"][n], abs=2e-4)
        assert fresh["off"][n] == pytest.approx(FOUND["errors"]["four-1"]["off"][n], abs=2e-4)
    fresh = rates.chain_of(*rates.CHAINED["one of 1.20"], sizes=(1000, 10000))
    for n, value in fresh["off"].items():
        assert value == pytest.approx(FOUND["chains"]["one of 1.20"]["off"][n], rel=0.01)


@pytest.mark.parametrize("place", [0.0, 0.05, -0.4, 1.3])
def test_a_border_at_a_place_errs_by_the_mass_between(place):
    straight = np.broadcast_to(rates.EDGE - place, (3, 2, len(rates.EDGE)))
    assert_allclose(rates._share_wrong(straight), abs(norm.cdf(place) - 0.5), atol=4e-3)


def test_a_margin_of_the_wrong_sign_errs_everywhere_within_the_edge():
    assert rates._share_wrong(-rates.EDGE[None])[0] == pytest.approx(norm.cdf(3) - norm.cdf(-3), abs=1e-9)


def test_a_slope_is_found_with_an_interval_about_it():
    rng = np.random.default_rng(0)
    found = rates._slope({n: n**-0.5 * rng.lognormal(0, 0.2, 30) for n in (40, 160, 640)})
    assert found["low"] < found["value"] < found["high"] and found["low"] < -0.5 < found["high"]
    assert found["high"] - found["low"] < 0.2


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="no part"):
        rates.main(["lawz"])
