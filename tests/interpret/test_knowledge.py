"""What a memory does: bases, what the copies keep, and which algorithm explains the answer."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from icl_nb.interpret.knowledge import (
    _exchanged,
    _rotations,
    answer_first,
    change_basis,
    explain_answer,
    knowledge,
    linear_r2,
    overwrite,
)
from icl_nb.interpret.rivals import RIVALS
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.tasks.linear import LinearTask


def build(copies=3, depth=3, heads=2, seed=0, k=3):
    rng = np.random.default_rng(seed)
    shape = (depth, heads, copies, copies)
    return Recursion({name: 0.4 * rng.normal(size=shape) for name in SCALARS}, k, 1 + rng.random(copies))


def draw(n_tasks=6, n=9, k=3, seed=0):
    return LinearTask(n, 4, k).sample(n_tasks, seed=seed, n_queries=3, dtype=torch.float64)


def basis(rng, m):
    change = np.eye(m)
    change[:, 1:] += 0.3 * rng.normal(size=(m, m - 1))
    return change


@given(copies=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_a_change_of_basis_changes_no_answer_and_mixes_the_copies(copies, seed):
    rng, recursion, batch = np.random.default_rng(seed), build(copies, seed=seed), draw(seed=seed)
    features, labels = basis(rng, copies), basis(rng, copies)
    assume(min(abs(np.linalg.det(features)), abs(np.linalg.det(labels))) >= 0.05)
    other = change_basis(recursion, features, labels)
    before, after = (part(batch.x, batch.context_y) for part in (recursion, other))
    assert np.abs(before - after).max() <= 1e-8 * max(1, np.abs(before).max())
    paths = [part.trajectory(batch.x, batch.context_y) for part in (recursion, other)]
    for block, change in (("x", features), ("u", labels)):
        old, new = (getattr(path, block) for path in paths)
        mixed = np.einsum("ab,...bk->...ak", change, old)
        assert np.abs(mixed - new).max() <= 1e-8 * max(1, np.abs(new).max())


def test_the_answer_can_be_the_first_copy():
    recursion, batch = build(), draw()
    other = answer_first(recursion)
    assert other.scale[0] == recursion.scale[0] and np.abs(other.scale[1:]).max() <= 1e-12
    path = other.trajectory(batch.x, batch.context_y)
    answer = recursion.scale[0] * path.u[-1, :, 9:, 0]
    assert np.abs(answer - recursion(batch.x, batch.context_y)).max() <= 1e-10


def test_linear_r2_is_a_least_squares_fit():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(3, 20, 5))
    target = 2 * parts[0] - 0.5 * parts[2]
    assert linear_r2(target, list(parts)) == pytest.approx(1, abs=1e-12)
    noise = rng.normal(size=(2000, 5))
    assert abs(linear_r2(noise, [rng.normal(size=(2000, 5))])) < 0.01
    half = target[:10].ravel() @ parts[0, :10].ravel() / (parts[0, :10] ** 2).sum()
    slow = 1 - ((target[10:] - half * parts[0, 10:]) ** 2).sum() / (target[10:] ** 2).sum()
    assert linear_r2(target, [parts[0]]) == pytest.approx(slow, abs=1e-12)


def test_knowledge_of_a_layer_that_adds_and_of_one_that_forgets():
    task, batch = LinearTask(15), LinearTask(15).sample(30, seed=3, dtype=torch.float64)
    adds = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1.0})
    found, control = knowledge(adds, batch), knowledge(adds, batch, strangers=True)
    assert task.n_points == 15 and found.from_block[0] == pytest.approx(1, abs=1e-10)
    assert found.share[0] == pytest.approx(1, abs=1e-10) and control.share[0] < 0.3
    assert found.given[0] > 0.8 > 0.3 > control.given[0]
    idle = Recursion({"alpha": [[1.0], [1.0]], "beta": 0, "gamma": 0, "delta": [[1.0], [0.0]]})
    assert np.allclose(*knowledge(idle, batch).from_block, atol=1e-10)  # nothing is said, nothing is lost


@given(seed=st.integers(0, 10**6))
def test_knowledge_does_not_depend_on_the_basis(seed):
    recursion, batch = build(seed=seed, depth=2), draw(12, seed=seed)
    rng = np.random.default_rng(seed)
    other = change_basis(recursion, np.eye(3), np.eye(3) + np.triu(0.4 * rng.normal(size=(3, 3)), 1))
    for ours, theirs in zip(knowledge(recursion, batch), knowledge(other, batch), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-6


def test_rivals_explain_what_they_are_and_not_what_they_are_not():
    batch = LinearTask(20).sample(24, seed=1, n_queries=4, dtype=torch.float64)
    gentle = Recursion({"alpha": [[1e-3], [1e-3]], "beta": 0.0, "gamma": 0.0, "delta": [[0.5], [0.5]]})
    sharp = Recursion({"alpha": [[0.5], [3.0]], "beta": 4.0, "gamma": 0.5, "delta": 0.5})
    few = {name: RIVALS[name] for name in ("coupled", "GD, function")}
    for recursion in (gentle, sharp):
        r2, motion = explain_answer(recursion, batch, few)
        assert r2["coupled"].min() > 0.999 and motion.sum() == pytest.approx(1)
        assert r2["gradient, all copies"].shape == (2,)
    assert r2["GD, function"][1] < 0.95 and r2["gradient, all copies"][1] < 0.95
    # An idle second copy is no help to anybody, and no hindrance.
    matrices = {name: np.zeros((2, 1, 2, 2)) for name in SCALARS}
    for name in SCALARS:
        matrices[name][..., 0, 0] = sharp.table[name]
    padded, _ = explain_answer(Recursion(matrices), batch, few)
    for name, row in r2.items():
        assert np.abs(row - padded[name]).max() <= 1e-6


def test_motion_is_that_of_the_tasks_that_are_scored():
    recursion, batch = build(2), draw(n_tasks=12)
    _, motion = explain_answer(recursion, batch, {})
    u = recursion.trajectory(batch.x, batch.context_y).u
    answer = np.tensordot(u, recursion.scale, (-2, 0))[:, :, batch.context_y.shape[1] :]
    squares = [(np.diff(answer[:, part], axis=0) ** 2).sum((1, 2, 3)) for part in (slice(6, None), slice(None))]
    assert np.abs(motion - squares[0] / squares[0].sum()).max() < 1e-12
    assert np.abs(motion - squares[1] / squares[1].sum()).max() > 1e-3


def test_overwriting_by_hand():
    """Point by point, as the formula says."""
    recursion, batch = build(copies=2, depth=3), draw()
    x, u, n = recursion.embed(batch.x, batch.context_y)
    given, clean = u[:, :n, 0].copy(), recursion.trajectory(batch.x, batch.context_y).u
    for level, layer in enumerate(recursion.table):
        if level in (1, 2):
            for a in range(2):
                pairs = [(clean[level, b, j, a], given[b, j]) for b in range(6) for j in range(n)]
                theta = sum(block @ label for block, label in pairs) / sum(label @ label for _, label in pairs)
                for b in range(6):
                    for j in range(n):
                        u[b, j, a] = theta * given[b, j]
        x, u, _ = recursion.step(layer, x, u, n)
    assert np.abs(overwrite(recursion, batch, [1, 2]) - recursion.read_out(u[:, n:])).max() <= 1e-12
    assert np.abs(overwrite(recursion, batch, []) - recursion(batch.x, batch.context_y)).max() <= 1e-12
    assert np.abs(overwrite(recursion, batch, [2]) - recursion.read_out(u[:, n:])).max() > 1e-3


@pytest.mark.parametrize("content", ["label", "neighbour", "stranger"])
@pytest.mark.parametrize("turned", [False, True])
def test_overwriting_tells_what_is_used_from_what_is_not(content, turned):
    """The second layer moves labels by what the first has left at the points, or by the given label alone."""
    batch = draw(20)
    moves = {"alpha": 0.5, "beta": 0.0, "gamma": 0.0}
    uses = Recursion(moves | {"delta": [[1.0], [1.0]]})
    blind = Recursion(moves | {"delta": [[0.0], [1.0]]})
    for recursion, changes in ((uses, True), (blind, False)):
        change = overwrite(recursion, batch, [1], content, turned=turned) - recursion(batch.x, batch.context_y)
        assert (np.abs(change).max() > 1e-3) == changes


def test_a_control_changes_nothing_where_there_is_nothing_left_to_change():
    """After the first layer no label moves until the last reads them: what is overwritten once is so for good."""
    recursion, batch = (
        Recursion({"alpha": 0.5, "beta": 0.0, "gamma": 0.0, "delta": [[1.0], [0.0], [0.0], [1.0]]}),
        draw(),
    )
    once, thrice = (overwrite(recursion, batch, levels, turned=True) for levels in ([1], [1, 2, 3]))
    assert np.abs(once - thrice).max() <= 1e-12
    assert np.abs(once - overwrite(recursion, batch, [1])).max() > 1e-3


@given(seed=st.integers(0, 10**6), content=st.sampled_from(["label", "neighbour", "stranger"]), turned=st.booleans())
def test_overwriting_does_not_depend_on_the_basis(seed, content, turned):
    recursion, batch = build(seed=seed), draw(5, seed=seed)
    rng = np.random.default_rng(seed)
    other = change_basis(recursion, np.eye(3), np.eye(3) + np.triu(0.4 * rng.normal(size=(3, 3)), 1))
    ours, theirs = (overwrite(part, batch, [1, 2], content, turned=turned, seed=seed) for part in (recursion, other))
    assert np.abs(ours - theirs).max() <= 1e-7 * max(1, np.abs(ours).max())


def test_who_gives_to_whom():
    rng = np.random.default_rng(0)
    y, rest = rng.integers(0, 3, (5, 8)), rng.normal(size=(5, 8, 2, 3))
    near, far = (_exchanged(rest, y, content, rng) for content in ("neighbour", "stranger"))
    assert not _exchanged(rest, y, "label", rng).any()
    for label in range(3):
        for b in range(5):
            before, after = (np.sort(part[b, y[b] == label, 0, 0]) for part in (rest, near))
            assert (before == after).all()
        assert (np.sort(rest[y == label][:, 1, 2]) == np.sort(far[y == label][:, 1, 2])).all()
    assert (near != rest).any() and (np.sort(far[0], 0) != np.sort(rest[0], 0)).any()


@given(k=st.integers(2, 6), seed=st.integers(0, 10**6))
def test_rotations_keep_lengths_and_sums(k, seed):
    rng = np.random.default_rng(seed)
    moves, turns = rng.normal(size=(3, 4, 2, k)), _rotations((3, 4), k, rng)
    moves -= moves.mean(-1, keepdims=True)
    after = moves @ turns
    assert np.abs(after.sum(-1)).max() <= 1e-12
    assert np.abs(after @ after.mT - moves @ moves.mT).max() <= 1e-12  # copies turn together
    assert k == 2 or np.abs(after - moves).max() > 1e-3


def test_what_cannot_be_overwritten():
    recursion, batch = build(), draw()
    for levels, message in (([3], "after 3 layers"), ([0], "a level=0"), ([True], "a level")):
        with pytest.raises(ValueError, match=message):
            overwrite(recursion, batch, levels)
    with pytest.raises(ValueError, match="content='zeros'"):
        overwrite(recursion, batch, [1], "zeros")
    batch.y[0, 0] = -1
    with pytest.raises(ValueError, match="unlabelled"):
        overwrite(recursion, batch, [1])


def test_refusals():
    plain = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1.0})
    with pytest.raises(ValueError, match="no memory"):
        change_basis(plain)
    with pytest.raises(ValueError, match="first column"):
        change_basis(build(), np.eye(3)[::-1])
    for wrong in (np.eye(2), np.diag([1.0, 0, 1]), np.full((3, 3), np.nan)):
        with pytest.raises(ValueError, match="regular"):
            change_basis(build(), None, wrong)
    with pytest.raises(ValueError, match="not read"):
        answer_first(Recursion({name: build().table[name] for name in SCALARS}, 3, np.array([0.0, 1, 1])))
    for target, parts in (((4, 2), []), ((4, 2), [np.zeros((4, 3))]), ((1, 2), [np.zeros((1, 2))])):
        with pytest.raises(ValueError, match="two tasks"):
            linear_r2(np.zeros(target), parts)


@pytest.mark.parametrize("temperature", [0.5, 1, 2, 4, 8])
def test_gradient_descent_is_recognised_at_each_temperature(temperature):
    """An answer that moves by residuals whose softmax has this temperature, with labels that are random by then."""
    batch, rng = draw(n_tasks=20, n=12), np.random.default_rng(0)
    x, n = batch.x.numpy(), 12
    u = np.zeros((3, *x.shape[:2], 3))
    u[0, :, :n] = np.eye(3)[batch.context_y] - 1 / 3
    u[1:, :, :n] = 2 * rng.normal(size=(len(x), n, 3))  # the beliefs about the context that the second layer reads
    guess = np.exp(temperature * u[1, :, :n])
    residual = u[0, :, :n] + 1 / 3 - guess / guess.sum(-1, keepdims=True)
    u[2, :, n:] = 0.3 * x[:, n:] @ x[:, :n].mT @ residual
    planted = SimpleNamespace(
        has_memory=False,
        scale=1.0,
        trajectory=lambda *prompt: SimpleNamespace(x=np.stack([x] * 3), u=u),
    )
    with np.errstate(invalid="ignore"):  # the first layer moves nothing
        r2, _ = explain_answer(planted, batch, {})
    assert r2["gradient, all copies"][1] > 1 - 1e-9 and r2["linear attention, all copies"][1] < 0.9


def test_a_linear_attention_to_labels_is_recognised():
    """Queries that move by the labels of the points whose labels are like theirs, and by no feature."""
    batch, rng, n = draw(n_tasks=20, n=12), np.random.default_rng(0), 12
    x = batch.x.numpy()
    u = np.zeros((3, *x.shape[:2], 3))
    u[0, :, :n] = np.eye(3)[batch.context_y] - 1 / 3
    u[1] = rng.normal(size=u[1].shape)
    u[2] = u[1]
    u[2, :, n:] += 0.3 * u[1, :, n:] @ u[1, :, :n].mT @ u[1, :, :n]
    planted = SimpleNamespace(
        has_memory=False, scale=1.0, trajectory=lambda *prompt: SimpleNamespace(x=np.stack([x] * 3), u=u)
    )
    r2, _ = explain_answer(planted, batch, {})
    assert r2["linear attention, all copies"][1] > 1 - 1e-9 and r2["gradient, all copies"][1] < 0.5


def test_strangers_are_of_another_task():
    """Where all tasks are one, a point of another task holds the same label; a neighbour of its own task does not."""
    one = draw(n_tasks=1, n=9)
    batch = replace(one, x=one.x.repeat(4, 1, 1), y=one.y.repeat(4, 1), w=one.w.repeat(4, 1, 1))
    recursion = build(2)
    own, other = (knowledge(recursion, batch, strangers=strangers) for strangers in (False, True))
    assert np.abs(np.array(own) - np.array(other)).max() < 1e-9
    many = draw(n_tasks=40, n=9)
    own, other = (knowledge(recursion, many, strangers=strangers) for strangers in (False, True))
    assert (other.given < 0.1).all() and (own.given > 0.5).all()
