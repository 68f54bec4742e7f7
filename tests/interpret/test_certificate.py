"""Enclosures hold what floats find, at every precision; a wrong table is refuted, and what is too wide is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from icl_nb.cli import main
from icl_nb.interpret import certificate as cert
from icl_nb.interpret.population import growth, population_law, population_path, population_separation
from icl_nb.models.files import load
from icl_nb.recursion import Recursion

SMALL = Recursion(
    {"alpha": [[0.4], [0.6]], "beta": [[1.0], [2.0]], "gamma": [[-0.4], [0.3]], "delta": [[0.3], [0.6]]}, 2
)


def holds(enclosures, values, slack=0.0):
    return all(e.low - slack <= v <= e.high + slack for e, v in zip(enclosures, values, strict=True))


def law_of(recursion, cut=8.0):
    """What float quadrature finds, on the law that is certified: g, mean, spread, label and separation by layer."""
    law = population_law([[1.0], [-1.0]], radial=240)
    inside = np.abs(law.points[:, 0]) <= cut
    law = law._replace(
        points=law.points[inside], labels=law.labels[inside], weights=law.weights[inside] / law.weights[inside].sum()
    )
    path = population_path(recursion, law)
    first = law.labels == 0
    weights = law.weights[first] / law.weights[first].sum()
    x, u = path.x[:, first, 0], path.u[:, first, 0]
    mean = x @ weights
    return growth(recursion), mean, x**2 @ weights - mean**2, u @ weights, population_separation(path, law, 5)


@pytest.fixture(scope="module")
def proof():
    return cert.certify(SMALL)


@pytest.fixture(scope="module")
def balls():
    return cert.certify(SMALL, floats=False)


COLUMNS = ("growth", "mean", "spread", "label", "separation")


def apart(one, two):
    """How many enclosures of two certificates do not meet."""
    pairs = [pair for name in COLUMNS for pair in zip(getattr(one, name), getattr(two, name), strict=True)]
    return sum(max(a.low, b.low) > min(a.high, b.high) for a, b in pairs)


@pytest.mark.parametrize("engine", ["proof", "balls"])
def test_a_small_table_is_proved_and_floats_lie_within(engine, request):
    proof = request.getfixturevalue(engine)
    assert proof.verdict == "proved" and proof.slope > 0
    for found, values in zip(
        (proof.growth, proof.mean, proof.spread, proof.label, proof.separation), law_of(SMALL), strict=True
    ):
        assert holds(found, values, slack=1e-11)
    assert max(e.width for e in proof.separation) < 1e-6


def test_enclosures_of_two_arithmetics_precisions_and_plans_overlap(proof, balls, monkeypatch):
    monkeypatch.setattr(cert, "EFFORTS", ((0.05, 70),))
    other = cert.certify(SMALL, bits=90, floats=False)
    assert (proof.bits, balls.bits, other.bits) == (53, 120, 90)
    assert apart(proof, balls) == apart(proof, other) == apart(balls, other) == 0
    assert proof.widest < 1e-11 < balls.widest  # floats are the tighter ones: they know that layers shrink errors


@pytest.mark.parametrize("seed", range(3))
def test_random_tables_are_enclosed_by_both_arithmetics(seed):
    rng = np.random.default_rng(seed)
    table = {name: rng.uniform(-0.5, 0.5, (3, 2)) for name in ("alpha", "beta", "gamma", "delta")}
    floats, balls = (
        cert.certify(Recursion(table, 2), cut=4, reach=2, **how) for how in ({"bits": 53}, {"floats": False})
    )
    assert apart(floats, balls) == 0 and max(e.width for e in floats.mean) < 1e-9


def test_floats_whose_exponentials_are_off_miss_the_balls(balls, monkeypatch):
    """Planted fault: errors of one part in a million, of either sign, which no bound knows of."""
    exact = cert._exp
    monkeypatch.setattr(cert, "_exp", lambda s: exact(s) * (1 + 1e-6 * np.sin(5 * s)))
    assert apart(cert.certify(SMALL, bits=53), balls) > 5


def test_a_table_that_differs_in_the_seventh_digit_is_told_apart(proof):
    assert apart(cert.certify(SMALL.replace(alpha=[[0.4000001], [0.6]])), proof) > 5


def test_the_exponential_keeps_its_bound_and_its_rest_is_above():
    s = np.concatenate([np.random.default_rng(0).uniform(-700, 700, 3000), np.linspace(-1, 1, 1001), [0.0, 700.0]])
    found = cert._exp(s)
    with cert.ctx.workprec(120):
        for value, at in zip(found.tolist(), s.tolist(), strict=True):
            assert abs(cert.arb(value) / cert.arb(at).exp() - 1) < 8 * cert.UNIT
        for at in (*np.logspace(-12, 2.5, 200).tolist(), 0.0099999, 0.01):
            assert cert.arb(cert._rest(np.array([at]))[0].item()) > cert.arb(at).expm1() - at


def test_what_floats_do_not_bear_is_refused_by_them():
    with pytest.raises(cert.InconclusiveError, match="floats bear"):
        cert.certify(SMALL.replace(beta=[[1.0], [5000.0]]), bits=53)


@pytest.mark.parametrize("name", ["four-0"])
def test_a_shipped_table_is_proved(name):
    recursion = Recursion.from_model(load(name))
    found = cert.certify(recursion)
    assert found.verdict == "proved"
    assert holds(found.separation, law_of(recursion)[-1], slack=1e-9)


def test_a_margin_that_is_wrong_everywhere_is_refuted():
    found = cert.certify(SMALL.replace(delta=[[0.3], [-0.9]]), reach=3)
    assert found.verdict == "refuted"
    at, margin = found.witness
    assert margin.high < 0 and 0 < at <= 3


def test_a_margin_that_is_wrong_far_out_alone_is_refuted():
    """The second layer turns away from the class, and beyond five standard deviations it wins."""
    found = cert.certify(SMALL.replace(alpha=[[0.4], [-0.3]], gamma=[[-0.4], [1.2]]))
    assert found.verdict == "refuted" and found.slope == -math.inf
    assert found.witness[0] > 4 and found.witness[1].high < 0


def test_a_table_that_answers_nothing_is_not_decided_and_nothing_is_rounded(monkeypatch):
    monkeypatch.setattr(cert, "EFFORTS", cert.EFFORTS[:1])
    found = cert.certify(SMALL.replace(delta=0), cut=4, reach=3)
    assert found.verdict == "inconclusive" and found.witness is None


def test_a_plan_that_is_too_coarse_is_refused(monkeypatch):
    monkeypatch.setattr(cert, "EFFORTS", ((0.05, 60),))
    monkeypatch.setattr(cert, "_plan", lambda *_: ([(0.0, 4.0)], [(-0.5, 0.5), (0.25, 3.0)]))
    with pytest.raises(cert.InconclusiveError, match="not known to be analytic"):
        cert.certify(SMALL, cut=4, reach=3)


@pytest.mark.parametrize("gap", [[(0.0, 1.0), (1.5, 4.0)], [(0.0, 1.0), (1.0, 3.5)]])
def test_a_plan_with_a_gap_is_refused(monkeypatch, gap):
    monkeypatch.setattr(cert, "_plan", lambda *_: (gap, [(-0.5, 0.5), (0.25, 3.0)]))
    with pytest.raises(AssertionError, match="gap"):
        cert.certify(SMALL, cut=4, reach=3)


def test_the_bound_on_a_quadrature_sum_holds():
    """The error of the rule against its bound, for functions with a pole just outside the disc."""
    for count in (3, 5, 7, 9):
        for pole in (2.05, -2.3, 3.0):
            nodes, weights = np.polynomial.legendre.leggauss(count)
            error = abs(weights @ (1 / (pole - nodes)) - math.log((pole + 1) / (pole - 1)))
            assert error <= 4 / (abs(pole) - 2) * 0.5 ** (2 * count) / 0.5


@pytest.mark.parametrize("value", [1 / 3, -2.5e-9, 7.0])
def test_an_enclosure_rounds_outwards(value):
    found = cert._enclosure(cert.arb(value) / 3)
    assert found.low < value / 3 < found.high and found.width < 1e-14 * max(1, abs(value))


@pytest.mark.parametrize(
    ("change", "match"),
    [({"cut": 3}, "cut"), ({"reach": 9.0}, "reach"), ({"bits": 20}, "bits"), ({"n_features": 0}, "n_features")],
)
def test_bad_input(change, match):
    with pytest.raises(ValueError, match=match):
        cert.certify(SMALL, **change)


def test_memory_is_refused():
    with pytest.raises(ValueError, match="copies"):
        cert.certify(Recursion({"alpha": np.zeros((1, 1, 2, 2)), "beta": 0, "gamma": 0, "delta": 0}))


def test_the_theorem_says_what_was_found(proof):
    text = cert.theorem(proof, "small")
    assert "is answered rightly" in text and f"at least {cert._least(proof.slope):g} a" in text


def test_the_command_says_by_its_status_whether_there_is_a_theorem(proof, monkeypatch, capsys):
    def refuse(*_, **__):
        raise cert.InconclusiveError("layer 3: too wide")

    open_end = replace(proof, verdict="inconclusive", slope=-math.inf)
    for found, status, said in (
        (lambda *_, **__: proof, 0, "Theorem (four-0"),
        (lambda *_, **__: open_end, 1, "INCONCLUSIVE"),
        (refuse, 1, "layer 3: too wide"),
    ):
        monkeypatch.setattr(cert, "certify", found)
        assert main(["certify", "four-0"]) == status
        assert said in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["certify", "memory"]) == 2 and "copies" in capsys.readouterr().err
