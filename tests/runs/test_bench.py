"""Clocks that must tell slow from fast, and peers that compute what they stand beside."""

import time

import numpy as np
import pytest
import torch

from icl_nb.checks import TOLERANCE
from icl_nb.evaluation import Posterior
from icl_nb.models import attention as attention_module
from icl_nb.models.attention import DenseTransformer
from icl_nb.runs.bench import (
    PARTS,
    ProductPeer,
    Size,
    answers,
    bench,
    growth,
    machine,
    paired,
    peak_bytes,
    sweeps_to_a_draw,
    training_steps,
)

SMALL = Size(batch=3, n_points=6, n_queries=2, n_features=3, n_classes=2, depth=2, heads=1)


def spin(count):
    return sum(number * number for number in range(count))


def test_twice_the_work_is_twice_the_time():
    rows = paired({"one": lambda: spin(20_000), "two": lambda: spin(40_000)}, rounds=5, least=0.01)
    assert [row["what"] for row in rows] == ["one", "two"] and rows[0]["ratio"] == 1
    assert 1.3 < rows[1]["ratio"] < 3
    assert rows[1]["ratio_low"] <= rows[1]["ratio"] <= rows[1]["ratio_high"]


def test_waiting_is_no_work():
    """On a processor the clock stands still while others have the core."""
    rows = paired({"work": lambda: spin(200_000), "sleep": lambda: time.sleep(0.1)}, rounds=1, least=0)
    assert rows[1]["ratio"] < 0.5
    assert paired({"sleep": lambda: time.sleep(0.01)}, rounds=1, least=0, device="other")[0]["ms"] >= 10


def test_contenders_take_turns():
    order = []
    paired({name: lambda name=name: order.append(name) for name in "abc"}, rounds=3, least=0)
    said = "".join(order)
    squeezed = "".join(one for one, before in zip(said, "-" + said, strict=False) if one != before)
    assert squeezed == "abcabcbcacab"  # warming up; then abc, bca, cab


@pytest.mark.parametrize("heads", [1, 2])
def test_the_peer_through_torch_computes_our_function(heads):
    """Else its time would say nothing."""
    size = Size(batch=3, n_points=6, n_queries=2, n_features=3, n_classes=2, depth=3, heads=heads)
    model, batch = size.model(DenseTransformer).double(), size.sample().to(dtype=torch.float64)
    peer = ProductPeer(model)(model.embed(batch.x, batch.context_y), size.n_points)
    assert torch.allclose(peer, model(batch.x, batch.context_y), rtol=TOLERANCE[torch.float64], atol=1e-12)


def test_the_work_is_that_of_the_products():
    """Counted by torch itself."""
    from torch.utils.flop_counter import FlopCounterMode

    for size in (SMALL, Size(batch=2, depth=3, heads=2), Size(batch=2, n_points=5, n_features=9)):
        model, batch = size.model(DenseTransformer), size.sample()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(batch.x, batch.context_y)
        assert counter.get_total_flops() == size.work()[0]
    assert SMALL.work()[1] == 3 * 8 * 2 * 1 * 6


def test_steps_step_and_answers_answer():
    steps = training_steps(SMALL)
    assert list(steps) == ["ours", "ours, dense", "MultiheadAttention", "scaled_dot_product_attention"]
    for step in steps.values():
        first, _ = step()
        assert np.isfinite(first)
    found = answers(SMALL, 3)
    assert list(found) == ["logistic regression", "Recursion", "torch", "oracle"]
    assert np.allclose(found["Recursion"](), found["torch"](), atol=1e-4)
    assert "oracle" not in answers(SMALL, 1)


def test_a_draw_of_an_independent_sampler_is_worth_one(monkeypatch):
    probs = torch.tensor([[[0.2, 0.5, 0.3]]], dtype=torch.float64)

    def posterior(mixes):  # whose errors are those of so many sweeps a draw
        error = (mixes * probs * (1 - probs) / 800).sqrt()
        return lambda batch, sweeps, chains: Posterior(probs, error, torch.ones(1))

    for mixes in (1.0, 4.0):
        monkeypatch.setattr("icl_nb.runs.bench.bayes_posterior", posterior(mixes))
        assert sweeps_to_a_draw(SMALL.sample()) == pytest.approx(mixes, rel=1e-12)


def test_peak_memory_is_the_most_at_once_and_not_the_sum():
    def much():
        for _ in range(5):
            torch.zeros(250_000)

    def at_once():
        return [torch.zeros(250_000) for _ in range(5)]

    assert 1e6 <= peak_bytes(much) < 2.1e6 and 5e6 <= peak_bytes(at_once) < 6e6
    assert 8e6 <= peak_bytes(lambda: np.zeros(1_000_000)) < 9e6


def test_growth_of_what_is_known(monkeypatch):
    """Memory of the attention, where it is held, goes as n^2, and as the number of tasks."""
    assert growth("n_points", Size(batch=1, n_points=1024, n_queries=1, depth=1), 1, 1)["memory_exponent"] < 1.2
    monkeypatch.setattr(attention_module, "LONG", 10**9)
    assert growth("n_points", Size(batch=1, n_points=128, n_queries=1, depth=1), 2, 1)["memory_exponent"] > 1.6
    assert growth("batch", Size(batch=4, depth=1), 2, 1)["memory_exponent"] == pytest.approx(1, abs=0.1)


def test_rows_of_each_part():
    rates = machine()
    assert rates["gflops"] > 0.1 and 0.01 < rates["exp_ns"] < 1000
    rows = list(bench(("machine", "training"), rounds=1, sizes=(SMALL,)))
    assert [row["part"] for row in rows] == ["machine"] * 2 + ["training"] * 4
    assert 0 < rows[2]["achieved"] < 2 and rows[2]["size"] == str(SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ("speed",)}, "no part speed"),
        ({"rounds": 0}, "rounds=0"),
        ({"device": "nowhere"}, "device='nowhere'"),
    ],
    ids=str,
)
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        next(bench(**options))
    with pytest.raises(ValueError, match="nobody to time"):
        paired({})
    assert PARTS == ("machine", "training", "answers", "growth")
