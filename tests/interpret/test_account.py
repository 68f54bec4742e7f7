"""The account of each layer, against the reports that it is made of and against a layer done by hand."""

import numpy as np
import torch

from icl_nb.interpret.account import account
from icl_nb.interpret.separation import layer_report, separation
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.recursion import Recursion
from icl_nb.tasks.linear import LinearTask

BATCH = LinearTask(20, 3, 2).sample(12, seed=1, dtype=torch.float64)


def model(copies=1, seed=0):
    made = EquivariantTransformer(3, 2, depth=3, heads=2, scalars=4, copies=copies).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (made.m, made.v):
            part.copy_(0.3 * torch.randn(part.shape, generator=generator, dtype=torch.float64))
    return made


def test_it_says_what_the_reports_say():
    made = model()
    found, recursion = account(made, BATCH), Recursion.from_model(made)
    y = BATCH.context_y.numpy()
    path = recursion.trajectory(BATCH.x, y)
    report = layer_report(path.x, path.u, path.attention, y, recursion.table)
    np.testing.assert_allclose(found.measured, report.measured, atol=1e-9)
    np.testing.assert_allclose(found.predicted["lemma"], report.mixture, atol=1e-9)
    np.testing.assert_allclose(found.separation[0], np.median(separation(path.x[0, :, :20], y, 2)), atol=1e-12)
    assert found.measured.shape == found.predicted["tokens"].shape == (3, 12)


def test_constants_are_exact_where_a_layer_is_made_of_them():
    made = model()
    with torch.no_grad():  # alpha = 0 and a large beta: every point moves by gamma times the mean of its class
        made.m.zero_()
        made.m[:, :, 1] = 60.0
        made.v[:, :, 1] = 0.0
    found = account(made, BATCH)
    assert found.missed["constants"].max() < 1e-6 and found.missed["lemma"].max() < 1e-6
    assert account(model(), BATCH).missed["constants"].min() > 1e-4  # of other layers they are not


def test_with_a_memory_the_corollary_speaks_alone():
    found = account(model(copies=2), BATCH)
    assert set(found.predicted) == {"tokens"} and set(found.missed) == {"tokens", "constants"}
    assert all(len(part) == 3 for part in found.missed.values())
