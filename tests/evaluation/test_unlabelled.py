"""EM against loops, the polynomial against its formula, and where unlabelled points can help."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from icl_nb.evaluation.unlabelled import em_predict, fit_polynomial, polynomial_predict, polynomial_scores
from icl_nb.tasks import ClusterTask, hide_labels
from icl_nb.tasks.linear import LinearTask


def right(probs, batch):
    return (probs.argmax(-1) == batch.query_y).double().mean().item()


def test_em_against_loops():
    batch = hide_labels(ClusterTask().sample(1, seed=3, n_queries=4, dtype=torch.float64), 15)
    x, y = batch.context_x[0].numpy(), batch.context_y[0].numpy()
    share = np.array([[float(k == label) for k in range(3)] for label in y])
    for _ in range(4):  # the start and three rounds
        mean = [sum(share[j, k] * x[j] for j in range(len(x))) / share[:, k].sum() for k in range(3)]
        apart = np.array([[((point - m) ** 2).sum() for m in mean] for point in x])
        width = (share * apart).sum() / share.sum() / x.shape[1]
        prior = share.sum(0) / share.sum()
        for j, label in enumerate(y):
            if label < 0:
                row = prior * np.exp(-apart[j] / (2 * width))
                share[j] = row / row.sum()
    rows = [
        prior * np.exp(-np.array([((q - m) ** 2).sum() for m in mean]) / (2 * width)) for q in batch.query_x[0].numpy()
    ]
    assert (y < 0).any() and set(y) > {0, 1, 2}
    assert_allclose(em_predict(batch, iterations=3)[0], [row / row.sum() for row in rows], rtol=1e-9)


def test_em_gains_on_clusters_and_without_unlabelled_points_nothing_changes():
    few = ClusterTask(n_points=10).sample(60, seed=1, n_queries=20, dtype=torch.float64)
    assert_allclose(em_predict(few, iterations=1), em_predict(few, iterations=9), atol=1e-12)
    many = hide_labels(ClusterTask(n_points=300).sample(60, seed=1, n_queries=20, dtype=torch.float64), 10)
    alone = replace(
        many, x=torch.cat([many.x[:, :10], many.query_x], 1), y=torch.cat([many.y[:, :10], many.query_y], 1)
    )
    assert right(em_predict(many), many) > right(em_predict(alone), alone) + 0.1


def test_scores_are_those_of_the_formula():
    batch = hide_labels(LinearTask(12, 3, 2).sample(2, seed=0, n_queries=2, dtype=torch.float64), 7)
    scores = polynomial_scores(batch, 2)
    x, y = batch.context_x[1].numpy(), batch.context_y[1].numpy()
    C = sum(np.outer(a, a) for a in x) / 12
    for q, query in enumerate(batch.query_x[1].numpy()):
        for k in range(2):
            for p in range(3):
                own = [(float(label == k) - 0.5) * a @ np.linalg.matrix_power(C, p) @ query
                       for a, label in zip(x, y, strict=True) if label >= 0]  # fmt: skip
                assert scores[1, q, k, p].item() == pytest.approx(sum(own) / len(own))


def test_fitted_coefficients_are_the_best():
    batch = LinearTask().sample(120, seed=2, n_queries=8, dtype=torch.float64)
    best = fit_polynomial(batch, 2)

    def loss(a):
        return -polynomial_predict(batch, a).gather(-1, batch.query_y[..., None]).log().mean().item()

    for step in np.eye(3) * np.abs(best) * 0.05:
        assert loss(best) <= min(loss(best + step), loss(best - step))


def test_refused():
    batch = LinearTask().sample(2)
    with pytest.raises(ValueError, match="degree"):
        polynomial_scores(batch, -1)
    with pytest.raises(ValueError, match="iterations"):
        em_predict(batch, iterations=0)
    for wrong in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match="coefficients"):
            polynomial_predict(batch, wrong)
