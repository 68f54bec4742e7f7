"""Gradient descent and Newton's method on softmax regression, against loops over tasks and torch's own derivatives."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from icl_nb.evaluation.baselines import descent_path, logistic_predict, newton_path
from icl_nb.symmetry import permute_batch
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask


def sample(d=3, k=3, n=12, seed=0, hidden=0):
    batch = LinearTask(n, d, k).sample(4, seed=seed, n_queries=3, dtype=torch.float64)
    batch.y[:, :hidden] = -1
    return batch


def loss(w, x, y, C=None):
    """Of one task: mean cross-entropy, or its sum times C with half the squared weights."""
    seen = y >= 0
    parts = torch.nn.functional.cross_entropy(x[seen] @ w.mT, y[seen], reduction="mean" if C is None else "sum")
    return parts if C is None else 0.5 * (w**2).sum() + C * parts


def slow_descent(x, y, queries, k, steps, rate, decay, normalised):
    w, path = torch.zeros(k, x.shape[1], dtype=x.dtype), []
    for t in range(steps):
        path.append(queries @ w.mT)
        gradient = torch.func.grad(loss)(w, x, y)
        w = w - rate / (t + 1) ** decay * (gradient / gradient.norm() if normalised else gradient)
    return torch.stack([*path, queries @ w.mT])


def slow_newton(x, y, queries, k, steps, C):
    w, path = torch.zeros(k, x.shape[1], dtype=x.dtype), []
    for _ in range(steps):
        path.append(queries @ w.mT)
        gradient = torch.func.grad(loss)(w, x, y, C)
        hessian = torch.autograd.functional.hessian(partial(loss, x=x, y=y, C=C), w)
        w = w - torch.linalg.solve(hessian.reshape(w.numel(), -1), gradient.flatten()).view_as(w)
    return torch.stack([*path, queries @ w.mT])


@settings(max_examples=20, deadline=None)
@given(
    d=st.integers(1, 4),
    k=st.integers(2, 4),
    seed=st.integers(0, 50),
    hidden=st.integers(0, 5),
    rate=st.floats(0.1, 8),
    decay=st.sampled_from([0.0, 0.5, 1.0]),
    normalised=st.booleans(),
)
def test_descent_is_the_loop(d, k, seed, hidden, rate, decay, normalised):
    batch = sample(d, k, seed=seed, hidden=hidden)
    fast = descent_path(batch, 4, rate, decay=decay, normalised=normalised)
    tasks = zip(batch.context_x, batch.context_y, batch.query_x, strict=True)
    slow = torch.stack([slow_descent(*task, k, 4, rate, decay, normalised) for task in tasks], 1)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize(("d", "k", "C"), [(1, 2, 1.0), (3, 3, 10.0), (4, 4, 0.1)])
def test_newton_is_the_loop(d, k, C, hidden):
    batch = sample(d, k, hidden=hidden)
    tasks = zip(batch.context_x, batch.context_y, batch.query_x, strict=True)
    slow = torch.stack([slow_newton(*task, k, 3, C) for task in tasks], 1)
    torch.testing.assert_close(newton_path(batch, 3, C), slow, rtol=1e-8, atol=1e-8)


def test_newton_ends_at_logistic_regression():
    batch = LinearTask(40, 4, 3).sample(30, seed=3, n_queries=5, dtype=torch.float64)
    present = torch.tensor([len(set(y.tolist())) == 3 for y in batch.context_y])  # others have conventions of their own
    assert present.sum() > 20
    ends = newton_path(batch, 15, 1.0)[-1].softmax(-1)
    torch.testing.assert_close(ends[present], logistic_predict(batch, 1.0)[present], rtol=0, atol=1e-6)


def test_a_normalised_step_has_the_length_of_the_rate():
    batch = sample(d=1, k=2)
    steps = descent_path(batch, 3, 0.7, decay=1.0, normalised=True).diff(dim=0) / batch.query_x
    lengths = steps[..., 0, :].norm(dim=-1)
    torch.testing.assert_close(lengths, torch.tensor([0.7, 0.35, 0.7 / 3], dtype=torch.float64)[:, None].expand(3, 4))


def test_descent_is_equivariant():
    batch = LinearTask().sample(20, n_queries=4, dtype=torch.float64)
    classes = torch.tensor([2, 0, 1])
    turned = permute_batch(batch, torch.tensor([3, 1, 4, 0, 2]), classes)
    for run in (descent_path, newton_path):
        one, other = run(batch, 4, 4.0), run(turned, 4, 4.0)
        torch.testing.assert_close(other, one[..., classes])
        assert (one - other).abs().max() > 0.1  # the renaming was none of the identity


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: descent_path(b, 0, 1.0), "steps=0"),
        (lambda b: descent_path(b, 2, 0.0), "rate=0.0"),
        (lambda b: descent_path(b, 2, 1.0, decay=-1.0), "decay=-1.0"),
        (lambda b: newton_path(b, 1, float("nan")), "C=nan"),
        (lambda b: newton_path(b, True), "steps=True"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call(sample())


def test_the_line_search_finds_the_fit_where_full_steps_do_not():
    """A context of sizes from 1/100 to 100 and labels by lot: Newton's own steps from 0 go too far and stay there."""
    random = np.random.default_rng(50)
    x = random.normal(size=(1, 15, 2)) * np.exp(2 * random.normal(size=(1, 15, 1)))
    batch = Batch(torch.tensor(x), torch.tensor(random.integers(0, 3, (1, 15))), None, 3, 3)
    fit = LogisticRegression(C=10.0, fit_intercept=False, tol=1e-8, max_iter=10_000)
    exact = torch.tensor(fit.fit(x[0, :12], batch.context_y[0].numpy()).predict_proba(x[0, 12:]))
    torch.testing.assert_close(logistic_predict(batch, 10.0)[0], exact, rtol=0, atol=1e-5)
    undamped = newton_path(batch, 40, 10.0)[-1, 0].softmax(-1)
    assert (undamped - exact).abs().max() > 0.1
