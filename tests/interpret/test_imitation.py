"""The table that runs gradient descent, against descent itself; and what a head cannot do."""

import numpy as np
import pytest
import torch

from icl_nb.evaluation.baselines import descent_path
from icl_nb.interpret.imitation import descent_table, fit_heads, write_table
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.recursion import Recursion
from icl_nb.tasks.linear import LinearTask


def descent(batch, steps, rate):
    """What the table is to do, task by task: offsets log n_c, and the mean residual taken out."""
    answers = []
    for x, y, queries in zip(batch.context_x, batch.context_y, batch.query_x, strict=True):
        labels = torch.eye(batch.n_classes, dtype=x.dtype)[y]
        offset = labels.sum(0).log()
        w = x.new_zeros(batch.n_classes, x.shape[1])
        for _ in range(steps):
            residual = labels - (x @ w.T + offset).softmax(-1)
            w = w + rate / len(x) * (residual - residual.mean(0)).T @ x
        answers.append(queries @ w.T)
    return torch.stack(answers).numpy()


@pytest.mark.parametrize(("d", "k"), [(5, 3), (2, 2), (3, 4)])
def test_the_table_runs_gradient_descent(d, k):
    batch = LinearTask(30, d, k).sample(6, seed=2, n_queries=4, dtype=torch.float64)
    want = descent(batch, 4, 3.0)
    errors = []
    for small in (0.04, 0.02):
        got = descent_table(4, 3.0, small=small, n_classes=k)(batch.x, batch.context_y)
        got, want = (part - part.mean(-1, keepdims=True) for part in (got, want))
        errors.append(np.abs(got - want).max())
    assert errors[1] < 0.05 * np.abs(want).max()
    assert 3.4 < errors[0] / errors[1] < 4.6  # of second order in alpha: half of it, a quarter of the error
    # A table with one sign wrong must be noticed.
    table = descent_table(4, 3.0, small=0.02, n_classes=k)
    wrong = table.replace(delta=np.abs(table.table.delta))(batch.x, batch.context_y)
    assert np.abs(wrong - want).max() > 10 * errors[1]


def test_the_unit_is_a_matter_of_convention():
    batch = LinearTask().sample(4, n_queries=3, dtype=torch.float64)
    one, other = (descent_table(3, 8.0, unit=unit)(batch.x, batch.context_y) for unit in (1.0, 20.0))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_a_model_takes_the_table():
    model = EquivariantTransformer(depth=6, heads=3, scalars=4, copies=3).double()
    table = descent_table(3, 8.0)
    write_table(model, table)
    read = Recursion.from_model(model)
    assert all((read.table[name] == table.table[name]).all() for name in ("alpha", "beta", "gamma", "delta"))
    assert (read.scale == table.scale).all()
    for other in ({"depth": 5}, {"heads": 2}, {"copies": 2}, {"scalars": 12}):
        shape = {"depth": 6, "heads": 3, "scalars": 4, "copies": 3} | other
        with pytest.raises(ValueError, match="does not fit"):
            write_table(EquivariantTransformer(**shape), table)


def first_step(n_tasks=60, mean_out=False):
    """Context, readers and the first step of descent, or that step with the mean label taken out."""
    batch = LinearTask().sample(n_tasks, seed=5, n_queries=6, dtype=torch.float64)
    x, readers = batch.context_x.numpy(), batch.query_x.numpy()
    u = np.eye(3)[batch.context_y.numpy()] - 1 / 3
    goal = descent_path(batch, 1, 8.0)[1].numpy()
    if mean_out:
        goal = 0.2 * readers @ (x.mT @ (u - u.mean(1, keepdims=True)))
    return x, u, readers, np.zeros((n_tasks, 6, 3)), goal


def order(parts):
    x, u, readers, f, goal = parts
    return x, u, u, readers, f, goal


def test_one_head_cannot_take_the_first_step_and_two_nearly_can():
    one = fit_heads(*order(first_step()))[0]
    two, scores, _ = fit_heads(*order(first_step()), heads=2)
    assert one < 0.8 < 0.98 < two < 0.999  # what is missed is the mean label
    assert scores[0, 0] * scores[1, 0] < 0  # a pair of opposite alpha
    assert fit_heads(*order(first_step(mean_out=True)))[0] < 0.8
    assert fit_heads(*order(first_step(mean_out=True)), heads=2)[0] > 0.9999


def test_without_a_mean_label_one_head_is_enough():
    x, u, readers, f, goal = first_step(mean_out=True)
    u = u - u.mean(1, keepdims=True)
    assert fit_heads(x, u, u, readers, f, goal)[0] > 0.9999


def test_a_planted_head_is_found():
    x, u, readers, _, _ = first_step(20)
    f = np.random.default_rng(0).normal(size=(20, 6, 3))
    A = np.exp(0.7 * readers @ x.mT - 1.2 * f @ u.mT)
    goal = -2.0 * (A / A.sum(-1, keepdims=True)) @ u
    found, scores, sizes = fit_heads(x, u, u, readers, f, goal)
    assert found > 1 - 1e-6
    np.testing.assert_allclose([*scores[0], sizes[0, 0]], [0.7, -1.2, -2.0], atol=1e-2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: descent_table(0, 1.0), "steps=0"),
        (lambda: descent_table(1, -1.0), "rate=-1.0"),
        (lambda: descent_table(1, 1.0, small=0.0), "small=0.0"),
        (lambda: fit_heads(*order(first_step(3))), "3 tasks"),
        (lambda: fit_heads(*order(first_step(4)), heads=0), "heads=0"),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
