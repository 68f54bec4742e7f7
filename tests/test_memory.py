"""Copies of each token block: model against recursion against loops, the symmetry, and what nobody can see."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_nb.interpret.abstraction import abstract
from icl_nb.interpret.gauge import coordinate_model
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.models.files import load, save
from icl_nb.recursion import SCALARS, SMALL, Recursion, memory_step, quick_step, step
from icl_nb.symmetry import equivariance_error
from icl_nb.tasks.linear import LinearTask

EXACT = 1e-12


def build(copies=2, scalars=4, depth=3, heads=2, d=4, k=3, seed=0):
    """A model whose numbers are as large as trained ones."""
    model = EquivariantTransformer(d, k, depth, heads, scalars, copies).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (model.m, model.v, model.scale):
            part.copy_(0.4 * torch.randn(part.shape, generator=generator, dtype=torch.float64))
    return model


def draw(d=4, k=3, n=7, seed=0, **options):
    return LinearTask(n, d, k, **options).sample(3, seed=seed, n_queries=2, dtype=torch.float64)


def by_loops(recursion, x, y):
    """One task, every sum written out: points `(N, d)`, labels `(n,)`."""
    m, k, n = recursion.copies, recursion.n_classes, len(y)
    xs = np.zeros((len(x), m, x.shape[1]))
    us = np.zeros((len(x), m, k))
    xs[:, 0] = x
    for j, label in enumerate(y):
        us[j, 0] = (np.arange(k) == label) - 1 / k if label >= 0 else 0
    for layer in recursion.table:
        new_x, new_u = xs.copy(), us.copy()
        for i in range(len(x)):
            for h in range(len(layer)):
                scores = np.zeros(n)
                for j in range(n):
                    for a in range(m):
                        for b in range(m):
                            scores[j] += layer["alpha"][h, a, b] * np.dot(xs[i, a], xs[j, b])
                            scores[j] += layer["beta"][h, a, b] * np.dot(us[i, a], us[j, b])
                attention = np.exp(scores) / np.exp(scores).sum()
                for j in range(n):
                    for a in range(m):
                        for b in range(m):
                            new_x[i, a] += layer["gamma"][h, a, b] * attention[j] * xs[j, b]
                            new_u[i, a] += layer["delta"][h, a, b] * attention[j] * us[j, b]
        xs, us = new_x, new_u
    return sum(recursion.scale[a] * us[n:, a] for a in range(m))


@given(
    copies=st.integers(2, 4),
    depth=st.integers(1, 4),
    heads=st.integers(1, 3),
    d=st.integers(1, 5),
    k=st.integers(2, 4),
    seed=st.integers(0, 10**6),
    unlabelled=st.sampled_from([0.0, 0.4]),
)
def test_recursion_is_the_network(copies, depth, heads, d, k, seed, unlabelled):
    model, batch = build(copies, 4, depth, heads, d, k, seed), draw(d, k, seed=seed, unlabelled=unlabelled)
    recursion = Recursion.from_model(model)
    assert recursion.copies == copies and recursion.dropped.max() <= 1e-15
    ours, theirs = recursion(batch.x, batch.context_y), model(batch.x, batch.context_y).detach().numpy()
    assert np.abs(ours - theirs).max() <= EXACT * max(1, np.abs(theirs).max())


def test_recursion_is_its_formula():
    recursion, batch = Recursion.from_model(build(3)), draw()
    logits = recursion(batch.x, batch.context_y)
    for task in range(len(batch)):
        slow = by_loops(recursion, batch.x[task].numpy(), batch.context_y[task].numpy())
        assert np.abs(logits[task] - slow).max() <= EXACT


def test_trajectory_has_all_copies_and_is_the_network():
    model, batch = build(2), draw()
    path = Recursion.from_model(model).trajectory(batch.x, batch.context_y)
    tokens, attention = model.trajectory(batch.x, batch.context_y)
    assert (
        path.x.shape == (4, 3, 9, 2, 4) and path.u.shape == (4, 3, 9, 2, 3) and path.attention.shape == (3, 3, 2, 9, 7)
    )
    ours = np.concatenate([path.x, path.u], -1).reshape(tokens.shape)
    assert np.abs(ours - tokens.numpy()).max() <= EXACT and np.abs(path.attention - attention.numpy()).max() <= EXACT


def test_large_scores_do_not_overflow():
    """The largest score of a row goes before the exponential; it would be infinite, and the answer none."""
    recursion = Recursion({"alpha": [[1e6 * np.eye(2)]], "beta": 0, "gamma": 1, "delta": 1})
    batch = draw()
    assert np.isfinite(recursion(batch.x, batch.context_y)).all()


@given(
    st.sampled_from([None, 1, 2, 3]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.1, 1.0, 0.1 * SMALL, SMALL, 10 * SMALL]),
    st.sampled_from([slice(None), slice(2, 5), slice(0, 1)]),
    st.integers(0, 10**6),
)
def test_the_quick_step_is_the_step(m, heads, tasks, size, rows, seed):
    """With scalars and with matrices, of any size of score, for all rows or some; and it leaves what it reads alone."""
    random = np.random.default_rng(seed)
    copies = (m,) if m else ()
    layer = {name: random.normal(size=(heads, *copies, *copies)) for name in SCALARS}
    layer["alpha"] *= size
    x, u = (random.normal(size=(tasks, 7, *copies, width)) for width in (4, 3))
    before = x.copy(), u.copy()
    *slow, _ = (memory_step if m else step)(layer, x, u, 5, rows)
    for ours, theirs, was, part in zip(quick_step(layer, x, u, 5, rows), slow, before, (x, u), strict=True):
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() <= EXACT * max(1, np.abs(theirs).max()) * size
        assert (part == was).all()


def test_one_scale_is_that_of_the_first_copy():
    """As without memory, where the first copy is the only one; the others are read where they are given a scale."""
    table = {name: 0.3 * np.random.default_rng(0).normal(size=(2, 1, 3, 3)) for name in SCALARS}
    one, each, all_alike = (Recursion(table, scale=scale) for scale in (2.0, [2.0, 0.0, 0.0], [2.0, 2.0, 2.0]))
    assert one.scale.tolist() == [2.0, 0.0, 0.0]
    assert Recursion(table, scale=[2, 0, 0]).scale.dtype == np.float64
    batch = draw()
    logits = one(batch.x, batch.context_y)
    assert np.array_equal(logits, each(batch.x, batch.context_y))
    assert np.abs(logits - all_alike(batch.x, batch.context_y)).max() > 1e-3


def test_labels_of_any_shape_are_read_out():
    recursion, u = Recursion.from_model(build(3)), np.random.default_rng(0).normal(size=(2, 5, 3, 3))
    whole = recursion.read_out(u)
    np.testing.assert_allclose(whole, np.einsum("a,bnak->bnk", recursion.scale, u), atol=EXACT)
    assert np.abs(recursion.read_out(u[1, 4]) - whole[1, 4]).max() <= EXACT


def test_one_copy_is_no_memory():
    rng = np.random.default_rng(0)
    x, u, scalars = rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 4)), rng.normal(size=(4, 1, 2))
    plain = Recursion(dict(zip(SCALARS, scalars, strict=True)), 4)
    matrices = Recursion(dict(zip(SCALARS, scalars[..., None, None], strict=True)), 4)
    moved = memory_step(matrices.table[0], x[:, :, None], u[:, :, None], 5)
    for ours, theirs in zip(moved, step(plain.table[0], x, u, 5), strict=True):
        assert np.abs(np.squeeze(ours) - np.squeeze(theirs)).max() <= EXACT
    labels = np.array([[0, 1, -1, 3, 2]] * 2)
    one, another = plain.trajectory(x, labels), matrices.trajectory(x, labels)
    assert another.u.shape == (2, 2, 6, 1, 4) and np.abs(one.u - another.u[:, :, :, 0]).max() <= EXACT
    assert np.abs(plain(x, labels) - matrices(x, labels)).max() <= EXACT


def test_idle_copies_change_nothing():
    plain = build(1)
    model = build(3)
    with torch.no_grad():
        for name in ("m", "v"):
            part = getattr(model, name).zero_()
            part[..., 0, 0] = getattr(plain, name)
        model.scale.copy_(torch.tensor([plain.scale.item(), 7.0, -7.0], dtype=torch.float64))
    batch = draw()
    difference = model(batch.x, batch.context_y) - plain(batch.x, batch.context_y)
    assert difference.abs().max() <= EXACT


@pytest.mark.parametrize("scalars", [4, 12])
def test_copies_keep_the_symmetry(scalars):
    assert equivariance_error(build(3, scalars), draw()) <= EXACT
    broken = build(3, scalars)
    weights = broken.weights()
    weights[0][1, 0, 9, 2] += 0.5  # between the second copy and the first
    broken.weights = lambda: weights
    assert equivariance_error(broken, draw()) > 1e-4


@given(copies=st.integers(2, 3), scalars=st.sampled_from([4, 12]), seed=st.integers(0, 10**6))
def test_the_basis_of_the_memory_cannot_be_seen(copies, scalars, seed):
    """Any T with T e_1 = e_1 on the copies of the features, another on those of the labels: the function stays."""
    model, batch = build(copies, scalars, seed=seed), draw(seed=seed)
    rng = np.random.default_rng(seed)
    changes = []
    for _ in range(2):
        change = np.eye(copies)
        change[:, 1:] = np.linalg.qr(rng.normal(size=(copies, copies)))[0][:, 1:] + 0.1 * rng.normal(size=copies - 1)
        if abs(np.linalg.det(change)) < 0.05:
            return
        changes.append(torch.tensor(change))
    d, k = model.n_features, model.n_classes
    block = torch.zeros(2, d + k, d + k, dtype=torch.float64)
    block[0, :d, :d], block[1, d:, d:] = torch.eye(d), torch.eye(k)
    t = sum(torch.kron(change, part) for change, part in zip(changes, block, strict=True))
    inverse = torch.linalg.inv(t)
    m, v = model.weights()
    before = model(batch.x, batch.context_y)
    with torch.no_grad():
        model.scale.copy_(torch.linalg.inv(changes[1]).T @ model.scale)
    after = model(batch.x, batch.context_y, weights=(inverse.T @ m @ inverse, t @ v @ inverse))
    assert (before - after).abs().max() <= 1e-8 * max(1, before.abs().max())
    wrong = model(batch.x, batch.context_y, weights=(m, t @ v @ inverse))
    assert (before - wrong).abs().max() > 1e-6


def test_a_memory_is_saved_and_read(tmp_path):
    model, batch = build(3), draw()
    save(model, tmp_path / "memory.safetensors")
    again = load(tmp_path / "memory.safetensors")
    assert again.copies == 3 and torch.equal(again(batch.x, batch.context_y), model(batch.x, batch.context_y))
    recursion = Recursion.from_model(model)
    read = Recursion.from_json(recursion.to_json())
    assert json.loads(recursion.to_json())["scale"] == recursion.scale.tolist()
    assert np.array_equal(read(batch.x, batch.context_y), recursion(batch.x, batch.context_y))
    other = model.resized(6, 5)
    wide = draw(6, 5)
    assert other(wide.x, wide.context_y).shape == (3, 2, 5)


def test_the_table_is_printed_whole():
    recursion = Recursion.from_model(build(2, depth=2, heads=1))
    numbers = [word for line in str(recursion).splitlines()[1:] for word in line.split() if "." in word]
    assert len(numbers) == 2 * 4 * 4
    assert "2 copies" in repr(recursion) and "nothing was dropped" in repr(recursion)
    assert recursion[:1].table.alpha.shape == (1, 1, 2, 2)
    assert not recursion.replace(gamma=0).table.gamma.any()


def test_refusals():
    with pytest.raises(ValueError, match="copies=0"):
        EquivariantTransformer(copies=0)
    with pytest.raises(ValueError, match=r"\(L, H, m, m\)"):
        Recursion({"alpha": np.zeros((2, 1, 2, 3)), "beta": 0, "gamma": 0, "delta": 0})
    with pytest.raises(ValueError, match="one for each of 2 copies"):
        Recursion({"alpha": np.zeros((2, 1, 2, 2)), "beta": 0, "gamma": 0, "delta": 0}, scale=np.ones(3))
    for call in (lambda model: abstract(model, draw()), coordinate_model):
        with pytest.raises(ValueError, match="memory"):
            call(build(2))
