"""Tasks as real tables are: the law of their labels, and the preparation against the estimator's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from icl_nb.classifier import RecursionClassifier
from icl_nb.tasks.tables import TableTask, _shrunk, prepare


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), curved=st.sampled_from([0.0, 0.5]))
def test_sizes_are_in_range_and_batches_are_cut(seed, curved):
    task = TableTask(n_points=(5, 60), n_features=(1, 7), n_classes=(2, 4), curved=curved, most=200)
    batch = task.sample(50, seed=seed, n_queries=3)
    n, d = batch.context_x.shape[1:]
    assert 5 <= n <= 60 and 1 <= d <= 7 and 2 <= batch.n_classes <= 4
    assert len(batch) == max(1, min(50, 200 // n)) and batch.n_queries == 3
    again = task.sample(50, seed=seed, n_queries=3, dtype=torch.float64)
    assert torch.equal(again.y, batch.y) and torch.allclose(again.x.float(), batch.x.float())


def test_sharp_labels_can_be_learned_and_blunt_ones_cannot():
    """The nearest class mean, where nothing is flipped: far above chance at s = 50, near it at s = 0.1."""
    hits = {}
    for log_s in (-2.3, 3.9):
        task = TableTask((300, 300), (5, 5), (2, 2), (log_s, log_s), flips=0.0)
        batch = task.sample(20, seed=1, n_queries=100)
        x, y = batch.context_x, batch.context_y
        means = torch.stack(
            [((y == k)[..., None] * x).sum(1) / (y == k).sum(1)[:, None].clamp(min=1) for k in (0, 1)], 1
        )
        answers = torch.cdist(batch.query_x, means).argmin(-1)
        hits[log_s] = (answers == batch.query_y).double().mean().item()
    assert hits[-2.3] < 0.6 < 0.8 < hits[3.9]


def test_flips_bound_what_can_be_known():
    """At s = 50 with up to 0.6 flipped, in half of the tasks: the labels of near twins disagree more often."""

    def disagreement(flips):
        batch = TableTask((400, 400), (2, 2), (2, 2), (4.0, 4.0), flips=flips).sample(15, seed=2)
        near = torch.cdist(batch.context_x, batch.context_x) + 9 * torch.eye(400)
        twins = batch.context_y.gather(1, near.argmin(-1))
        return (twins != batch.context_y).double().mean().item()

    assert disagreement(0.6) > disagreement(0.0) + 0.1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 30), d=st.integers(1, 6), whiten=st.sampled_from([0.0, 0.5, 1.0]))
def test_prepared_as_the_estimator_prepares(seed, n, d, whiten):
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, size=(n + 4, d)) @ rng.normal(size=(d, d))
    ours = prepare(torch.as_tensor(X)[None], n, whiten=whiten)[0].numpy()
    y = np.arange(n) % 2
    theirs = RecursionClassifier("table", ranks=0, whiten=whiten, calibrate=0).fit(X[:n], y).prepare(X)
    assert np.abs(ours - theirs).max() < 1e-8 * max(1, np.abs(theirs).max())


def test_shrinkage_is_that_of_ledoit_and_wolf():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6))
    X -= X.mean(0)
    assert np.abs(_shrunk(torch.as_tensor(X)[None])[0].numpy() - ledoit_wolf(X)[0]).max() < 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_points": (1, 5)}, "n_points=1"),
        ({"n_features": (3, 2)}, "n_features=2"),
        ({"log_sharpness": (1.0, 0.0)}, "it must rise"),
        ({"flips": 2.0}, "flips=2.0"),
        ({"curved": -1}, "curved=-1"),
        ({"most": 0}, "most=0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TableTask(**arguments)
    with pytest.raises(ValueError, match="n=1"):
        prepare(torch.zeros(1, 3, 2), 1)
