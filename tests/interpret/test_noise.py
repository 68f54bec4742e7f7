import numpy as np
import pytest
from numpy.testing import assert_allclose

from icl_nb import Recursion, load
from icl_nb.interpret.noise import limit_margin, noisy_limit

QUERIES = np.array([-1.5, -0.2, 0.3, 1.0, 2.0])
FOUR = Recursion.from_model(load("four-0"))
READER = {"alpha": [[0.7]], "beta": [[0.0]], "gamma": [[0.0]], "delta": [[0.5]]}


def test_flipping_all_labels_turns_every_margin_round():
    """Noise 1 - eta is noise eta with the names of the classes exchanged."""
    for eta in (0.1, 0.3):
        wide = noisy_limit(FOUR, 1 - eta, QUERIES)
        assert_allclose(wide, -noisy_limit(FOUR, eta, QUERIES), atol=1e-10)
    assert_allclose(noisy_limit(FOUR, 0.5, QUERIES), 0, atol=1e-10)


def test_the_first_layer_loses_the_factor_of_chapter_10():
    clean, noisy = (noisy_limit(FOUR[:1], eta, QUERIES)[1] for eta in (0.0, 0.2))
    assert_allclose(noisy, (1 - 2 * 0.2) * clean, atol=1e-12)


@pytest.mark.parametrize("name", ["four-0", "copies2-0"])
def test_long_contexts_in_three_dimensions_come_near_the_limit(name):
    """What the law leaves out, the features across, is independent of all that it keeps; with a memory too."""
    table = Recursion.from_model(load(name))
    random = np.random.default_rng(0)
    n, eta = 3000, 0.2
    x = random.normal(size=(1, n + len(QUERIES), 3))
    x[0, n:] = np.c_[QUERIES, random.normal(size=(len(QUERIES), 2))]
    y = ((x[:, :n, 0] < 0) ^ (random.random((1, n)) < eta)).astype(int)
    logits = table(x, y)[0]
    found = logits[:, 0] - logits[:, 1]
    expected, clean = (noisy_limit(table, share, QUERIES)[-1] for share in (eta, 0.0))
    assert np.linalg.norm(found - expected) < 0.25 * np.linalg.norm(expected)
    assert np.linalg.norm(found - clean) > 0.5 * np.linalg.norm(expected)


def test_a_table_that_reads_its_neighbours_holds_and_one_that_reads_them_backwards_breaks():
    reader = FOUR[:1].replace(**READER)
    assert all(limit_margin(reader, eta) > 0 for eta in (0.0, 0.2, 0.45))
    assert limit_margin(reader, 0.55) < 0
    assert limit_margin(reader.replace(delta=[[-0.5]]), 0.2) < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noisy_limit(FOUR, 1.0, QUERIES), "noise"),
        (lambda: noisy_limit(FOUR, 0.1, QUERIES, nodes=1), "two nodes"),
        (lambda: noisy_limit(FOUR, 0.1, np.array([np.nan])), "finite"),
        (lambda: noisy_limit(FOUR, 0.1, np.ones((2, 2))), "vector"),
        (lambda: limit_margin(FOUR, -0.1), "noise"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
