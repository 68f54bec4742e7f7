"""Rates: exponents, the influence function against what a point more does, the constant against T1 and counting."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from icl_nb.interpret import population as pop
from icl_nb.interpret import rate
from icl_nb.recursion import Recursion


def deep(seed, layers=3, heads=2, copies=1):
    rng = np.random.default_rng(seed)
    shape = (layers, heads) + ((copies, copies) if copies > 1 else ())
    return Recursion({name: rng.uniform(-0.5, 0.5, shape) for name in pop.SCALARS}, n_classes=2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1.2), min_size=2, max_size=6))
def test_the_exponent_is_below_a_half_iff_all_tilts_but_the_last_are_small(alpha):
    """gamma = 0, so g = 1 and the tilts are the alphas."""
    table = {"alpha": np.reshape(alpha, (-1, 1)), "beta": 0, "gamma": 0, "delta": 0}
    kappa = rate.deviation_exponents(Recursion(table))
    assert kappa[0] == 0 and (np.diff(kappa[np.isfinite(kappa)]) >= 0).all()
    squares = np.square(alpha[:-1])
    assert (kappa[-1] < 0.5) == bool((squares < 0.5).all())
    if (squares < 0.5).all():
        assert kappa[-1] == pytest.approx(squares.max())


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.99))
def test_far_terms_never_beat_what_the_theorem_allows(v, kappa):
    """The two squares of the proof of P1c, as inequalities between exponents of n."""
    assert 2 * v - v**2 - 1 <= v**2 - 0.5 + 1e-12
    assert 2 * v - v**2 + kappa - 1 <= v**2 * kappa / (1 - kappa) + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1.5), min_size=0, max_size=5), st.floats(0.1, 1), st.integers(0, 2**31))
def test_no_chain_of_readers_costs_less_than_its_share_of_t_and_one_costs_that(c, start, seed):
    """The inequality of P1c on chains, and that the best chain attains it; gamma = 0, so the tilts are the alphas."""

    def cost(w, tilted):
        return sum((w[i] - tilted[i] * w[i + 1]) ** 2 for i in range(len(tilted))) + w[len(tilted)] ** 2

    table = {"alpha": np.reshape([*c, 0.3], (-1, 1)), "beta": 0, "gamma": 0, "delta": 0}
    total = rate.chain_sum(Recursion(table))
    best = start**2
    for used in range(2 ** len(c)):
        tilted = [c[i] for i in range(len(c)) if used >> i & 1]
        sums = [1.0]  # of the rest of the chain, from its end
        for tilt in reversed(tilted):
            sums.append(1 + tilt**2 * sums[-1])
        w = [start]
        for tilt, rest in zip(tilted, sums[-2::-1], strict=True):
            w.append(w[-1] * tilt * rest / (1 + tilt**2 * rest))
        assert cost(w, tilted) == pytest.approx(start**2 / sums[-1])
        other = np.append(start, np.random.default_rng(seed).uniform(-1, 1, len(tilted)))
        assert cost(other, tilted) >= start**2 / total - 1e-12
        best = min(best, cost(w, tilted))
    assert best == pytest.approx(start**2 / total)


@pytest.mark.parametrize("c", [0.9, 1.4])
def test_the_influence_of_a_far_point_grows_as_the_pair_foretells(c):
    """log |iota| = (1 - 1/T) z^2 / 2 + O(z), by differences, on a fine lattice."""
    edge = np.linspace(-14, 14, 701)
    x = (edge[1:] + edge[:-1]) / 2
    share = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    pair = Recursion({"alpha": [[c], [0.3]], "beta": 0, "gamma": [[0.5], [0]], "delta": [[0], [1]]}, 2)
    points = np.append(x, 1.0)[:, None, None]
    labels = np.append(np.sign(x) / 2, 0)[:, None, None] * np.array([1.0, -1.0])

    def margin(weights):
        z, u = points, labels
        for row in pair.table:
            z, u = pop.weighted_step([np.reshape(row[s], (-1, 1, 1)) for s in pop.SCALARS], z, u, weights)
        return u[-1, 0, 0] - u[-1, 0, 1]

    exponent, iota = 1 - 1 / rate.chain_sum(pair), []
    for place in (7.0, 8.0, 9.0):
        i = np.abs(x - place).argmin()
        step = 1e-11 * np.exp(-exponent * place**2 / 2)  # so small that readers are moved in proportion
        iota.append((margin((1 - step) * share + step * np.eye(len(x))[i]) - margin(share)) / step)
    assert np.diff(np.log(np.abs(iota)), 2) == pytest.approx(exponent, abs=0.05)


def test_tilts_with_a_memory_of_one_copy_are_those_without():
    plain = deep(0)
    memory = Recursion({name: plain.table[name][..., None, None] for name in pop.SCALARS}, n_classes=2)
    assert_allclose(rate.tilts(memory), rate.tilts(plain))
    assert_allclose(rate.tilts(plain), np.abs(plain.table.alpha) * pop.growth(plain)[:-1, None] ** 2)


@pytest.mark.parametrize("copies", [1, 2])
def test_the_flow_of_equal_weights_is_the_recursion(copies):
    recursion, rng = deep(1, copies=copies), np.random.default_rng(2)
    x = rng.normal(size=(33, 3))
    y = (x[:30, 0] < 0).astype(int)
    u = np.zeros((33, 2))
    u[:30] = np.eye(2)[y] - 0.5
    labels = rate._flow(recursion, torch.as_tensor(x), torch.as_tensor(u), torch.zeros(30, dtype=torch.float64))
    given_u = labels[30:] if copies > 1 else labels[30:, 0]
    assert_allclose(recursion.read_out(given_u.numpy()), recursion(x[None], y[None])[0], atol=1e-12)


def test_influence_is_what_a_point_that_counts_more_does():
    """Against differences: a population in which one point weighs a little more."""
    recursion, rng, step = deep(3), np.random.default_rng(4), 1e-5
    x = torch.as_tensor(rng.normal(size=(17, 2)))
    u = torch.sign(x[:, :1]) * torch.tensor([0.5, -0.5], dtype=torch.float64)
    u[16] = 0
    weight = torch.zeros(16, dtype=torch.float64, requires_grad=True)
    margin = lambda w: rate._flow(recursion, x, u, w)[16, 0] @ torch.tensor([1.0, -1.0], dtype=torch.float64)  # noqa: E731
    (slope,) = torch.autograd.grad(margin(weight), weight)
    assert abs(slope.sum().item()) < 1e-12  # all heavier alike changes nothing
    for j in (0, 7):
        more = torch.zeros(16, dtype=torch.float64)
        more[j] = step
        ends = [margin(sign * more).item() for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope[j].item(), abs=1e-8)


@pytest.mark.parametrize("alpha", [0.25, 0.45])
def test_one_layer_has_the_constant_of_the_theorem(alpha):
    one = Recursion({"alpha": [[alpha]], "beta": 0, "gamma": 0, "delta": 2.0}, n_classes=2, scale=3.0)
    theory = (1 - alpha**2) ** -1 / alpha / np.sqrt(2 * np.pi)  # d = 3
    assert rate.stall_constant(one, n_features=3, points=1024) == pytest.approx(theory, rel=0.04)
    assert rate.border_slope(one) == pytest.approx(12 * alpha / np.sqrt(2 * np.pi), rel=1e-4)


def test_two_layers_err_as_foretold():
    """Against counted errors: contexts of 1,500 points and a table that moves points before it reads labels."""
    table = Recursion({"alpha": [[-0.3], [0.5]], "beta": 0, "gamma": [[0.8], [0]], "delta": [[0], [1]]}, n_classes=2)
    rng, n = np.random.default_rng(5), 1500
    wrong = []
    for _ in range(12):
        x = rng.normal(size=(1, n + 2000, 3))
        y = (x[0, :, 0] < 0).astype(int)
        wrong.append((table(x, y[None, :n])[0].argmax(-1) != y[n:]).mean())
    se = np.std(wrong, ddof=1) / len(wrong) ** 0.5
    assert abs(np.mean(wrong) - rate.stall_constant(table, n_features=3) / n**0.5) < 4 * se


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: rate.chain_sum(Recursion(r.table, 2, 1.0, slopes=r.table)), "length"),
        (lambda r: rate.label_spread(r, [-1.0]), "radii"),
        (lambda r: rate.label_spread(r, [1.0], points=100), "power of two"),
        (lambda r: rate.label_spread(r, [1.0], n_features=1), "n_features"),
        (lambda r: rate.stall_constant(r.replace(delta=-1, beta=0, gamma=0, alpha=0.5)), "positive"),
        (lambda r: rate.label_spread(Recursion(r.table, 2, 1.0, slopes=r.table), [1.0]), "length"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(deep(0))
