"""The lens is exact where it must be, a path explains itself, and a student gets nearer to what it follows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_nb.evaluation.scores import predict
from icl_nb.interpret.lens import (
    Lens,
    carried,
    centred,
    follow,
    imitate_mlp,
    label_copies,
    path_r2,
    queries,
    rivals_on_path,
    student_path,
)
from icl_nb.interpret.rivals import RIVALS
from icl_nb.models.attention import DenseTransformer, EquivariantTransformer
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.training import train
from icl_nb.symmetry import permute_batch
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

task = LinearTask(12, 3, 2)


def draw(n_tasks, seed=0, n_queries=8):
    return task.sample(n_tasks, seed=seed, n_queries=n_queries, dtype=torch.float64)


def build(seed=0):
    return OrdinaryTransformer(3, 2, depth=2, heads=2, blocks=2, seed=seed).double()


def test_lens_is_the_read_out_after_the_last_layer():
    model, batch = build(), draw(5, seed=1)
    path = Lens(model, draw(20)).path(batch)
    assert path.shape == (3, 5, 8, 2)
    assert torch.allclose(path[-1], centred(predict(model, batch)), atol=1e-9)
    assert torch.allclose(path.sum(-1), torch.zeros((), dtype=torch.float64), atol=1e-9)


def test_lens_is_the_least_squares_map():
    model, batch = build(), draw(20)
    lens, level = Lens(model, batch), 1
    z = queries(model, batch)[level].reshape(-1, model.width)
    z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    columns = torch.cat([z, torch.ones(len(z), 1, dtype=torch.float64)], -1)
    rest = lens.path(batch)[level].reshape(-1, 2) - centred(predict(model, batch)).reshape(-1, 2)
    assert (columns.T @ rest).abs().max() < 1e-8  # the normal equations


def test_lens_upon_another_path():
    """A target that is linear in the stream is seen exactly."""
    model, batch = build(), draw(20)
    z = torch.nn.functional.layer_norm(queries(model, batch), (model.width,))
    target = z @ torch.randn(model.width, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1
    lens = Lens(model, batch, target)
    assert torch.allclose(lens.path(batch)[1:], target[1:], atol=1e-8)
    with pytest.raises(ValueError, match="target has shape"):
        Lens(model, batch, target[1:])


def test_lens_needs_queries():
    with pytest.raises(ValueError, match="too few"):
        Lens(build(), draw(2, n_queries=4))


@given(size=st.floats(-2, 3))
def test_path_r2(size):
    path = torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    levels, moves = path_r2(path, size * path)
    assert levels == pytest.approx(1 - (1 - size) ** 2) and moves == pytest.approx(1 - (1 - size) ** 2)
    with pytest.raises(ValueError, match="alike"):
        path_r2(path, path[1:])


def test_label_copies_are_those_of_the_trajectory():
    model, batch = EquivariantTransformer(3, 2, depth=3, heads=2, scalars=4, copies=2).double(), draw(4)
    tokens = queries(model, batch)
    copies = label_copies(model, batch)
    assert copies.shape == (4, 4, 8, 2, 2)
    for z, u in zip(tokens, copies, strict=True):
        assert torch.allclose(z.unflatten(-1, (2, 5))[..., 3:], u, atol=1e-12)
    assert torch.allclose(model.read_out(tokens[-1]), predict(model, batch), atol=1e-12)


def test_a_student_follows_and_is_repeatable():
    teacher = build()
    train(teacher, task, steps=80, batch_size=32, n_queries=8, learning_rate=1e-2, progress=False)
    lens = Lens(teacher, draw(20))
    students = [EquivariantTransformer(3, 2, depth=4, scalars=4, copies=2).double() for _ in range(2)]
    start = [part.clone() for part in students[0].parameters()]
    losses = [follow(student, lens, task, steps=60, batch_size=16, n_queries=4).loss for student in students]
    assert losses[0] == losses[1] and np.mean(losses[0][-10:]) < 0.8 * np.mean(losses[0][:10])
    assert all(not torch.equal(a, b) for a, b in zip(start, students[0].parameters(), strict=True))
    # The last answer of the student is what was fitted: nearer to the model's than nothing is.
    batch = draw(50, seed=5)
    truth, guess = centred(predict(lens.model, batch)), predict(students[0], batch)
    assert ((truth - guess) ** 2).sum() < (truth**2).sum()
    # With read-outs fitted anew, on half of the tasks, each layer is at least as near on that half.
    path = lens.path(batch)
    ours = student_path(students[0], path, batch)
    assert ours.shape == path.shape and not ours[0].any()
    fitted, plain = (((guess - path[-1]) ** 2)[:25].sum() for guess in (ours[-1], guess))
    assert fitted <= plain + 1e-9
    assert path_r2(path, ours)[0][-1] > 0


def test_rivals_on_path():
    """A path made of one step of a rival is explained by it, and by another one less."""
    batch = draw(40)
    hot = torch.nn.functional.one_hot(batch.context_y, 2).double()
    kernel = (1.5 * batch.query_x @ batch.context_x.mT).softmax(-1) @ (hot - 0.5)

    class Made(Lens):
        def __init__(self):
            pass

        def path(self, batch):
            return torch.stack([kernel.flip(0), 3 * kernel])  # what a lens reads before any layer counts for nothing

    names = ("kernel smoothing", "LDA")
    found = rivals_on_path(Made(), batch, {name: RIVALS[name] for name in names})
    assert found["kernel smoothing"] > 0.9999 > 0.99 > found["LDA"]
    with pytest.raises(ValueError, match="coupled: where the context is now"):
        rivals_on_path(Made(), batch, {"coupled": RIVALS["coupled"]})


def test_bad_students():
    lens = Lens(build(), draw(20))
    with pytest.raises(ValueError, match="multiple of 2"):
        follow(EquivariantTransformer(3, 2, depth=3, scalars=4), lens, task)
    with pytest.raises(ValueError, match="steps"):
        follow(EquivariantTransformer(3, 2, depth=2, scalars=4), lens, task, steps=0)


def test_carried():
    batch = draw(60)
    moved = permute_batch(batch, torch.tensor([2, 0, 1]), torch.tensor([1, 0]))
    symmetric = carried(EquivariantTransformer(3, 2, depth=2).double(), batch, moved)
    assert symmetric.shape == (3,) and (symmetric > 1 - 1e-9).all()
    dense = DenseTransformer(3, 2, depth=2).double()
    with torch.no_grad():
        for part in (dense.m, dense.v):
            part.copy_(torch.randn(part.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    found = carried(dense, batch, moved)
    assert found[0] > 1 - 1e-9 and found[2] < 0.99  # a linear embedding always carries it, later layers need not
    strangers = Batch(moved.x.roll(1, 0), moved.y.roll(1, 0), None, 2, 8)
    assert (carried(dense, batch, strangers)[1:] < 0.5).all()
    with pytest.raises(ValueError, match="alike"):
        carried(dense, batch, moved[:3])
    with pytest.raises(ValueError, match="alike"):
        carried(dense, batch, moved, then=moved[:3])


def test_what_is_carried_twice():
    batch, order = draw(60), (torch.tensor([2, 0, 1]), torch.tensor([1, 0]))
    moved = permute_batch(batch, *order)
    twice = permute_batch(moved, *order)
    model = EquivariantTransformer(3, 2, depth=2).double()
    assert (carried(model, batch, moved, then=twice) > 1 - 1e-9).all()
    assert (carried(model, batch, moved, then=moved)[1:] < 0.9).all()  # once is not twice


def test_only_a_recursion_follows():
    teacher, task = OrdinaryTransformer(depth=2), LinearTask()
    lens = Lens(teacher, task.sample(20, n_queries=8))
    with pytest.raises(ValueError, match="12 scalars a head; a recursion has 4"):
        follow(EquivariantTransformer(depth=2), lens, task, steps=1)
    with pytest.raises(ValueError, match="learning_rate=-1"):
        follow(EquivariantTransformer(depth=2, scalars=4), lens, task, steps=1, learning_rate=-1)


def test_first_loss_of_a_follower_by_hand():
    """The mean over layers of the squared distance of the paths, in units of the path that is followed."""
    teacher, task = OrdinaryTransformer(depth=2).double(), LinearTask(8)
    lens = Lens(teacher, task.sample(20, n_queries=8))
    student = EquivariantTransformer(depth=4, scalars=4).double()
    batch = task.sample(6, seed=torch.Generator().manual_seed(5), n_queries=3, dtype=torch.float64)
    path = lens.path(batch)
    said = student.scale * label_copies(student, batch).detach()[::2, ..., 0, :]
    by_hand = sum(((a - b) ** 2).sum() / (b**2).sum() for a, b in zip(said[1:], path[1:], strict=True)) / 2
    history = follow(student, lens, task, steps=2, batch_size=6, n_queries=3, seed=5, progress=False)
    assert history.loss[0] == pytest.approx(by_hand.item(), rel=1e-10)


def test_the_last_read_out_becomes_the_scale():
    """Of a path that is ten times the student's labels after its first layer, and minus ten times after its last."""
    student = EquivariantTransformer(depth=2, scalars=4)

    class Opposed:
        model = SimpleNamespace(depth=2)

        def path(self, batch):
            _, first, last = label_copies(student, batch).detach()[..., 0, :]
            return torch.stack([0 * first, 10 * first, -10 * last])

    follow(student, Opposed(), LinearTask(8), steps=5, learning_rate=0.1, progress=False)
    assert student.scale < 5


def test_an_mlp_that_is_linear_is_imitated():
    """Far to the right of 0 a gelu is the identity, so that the MLP is linear in the normalised stream."""
    model, fit, batch = build(), draw(30), draw(20, seed=1)
    with torch.no_grad():
        model.layers[1].up.bias += 100
    normal = lambda _, z: torch.nn.functional.layer_norm(z, z.shape[-1:])  # noqa: E731
    found = imitate_mlp(model, fit, batch, normal, level=1)
    assert min(found[:2]) > 1 - 1e-9 and torch.allclose(found.logits, predict(model, batch), atol=1e-6)
    # The other MLP is not linear, and quantities that have nothing to do with the task say nothing.
    assert max(imitate_mlp(model, fit, batch, normal)[:2]) < 1 - 1e-6
    noise = torch.Generator().manual_seed(0)
    found = imitate_mlp(model, fit, batch, lambda _, z: torch.randn(*z.shape[:2], 2, generator=noise), level=1)
    assert max(found[:2]) < 0.05 and not torch.allclose(found.logits, predict(model, batch), atol=1e-3)


def test_an_imitation_by_hand():
    """One map for the context and another for queries, a constant in each, and the layers after it as they are."""
    model, fit, batch = build(), draw(20), draw(6, seed=1)
    with torch.no_grad():
        parts = []
        for tasks in (fit, batch):
            z = model.embed(tasks.x, tasks.context_y)
            z = z + model.layers[0].attend(z, 12)[0]
            parts.append((z, model.layers[0].think(z), torch.cat([tasks.x, torch.ones(*z.shape[:2], 1)], -1).double()))
        (_, thought, phi), (z, truth, after) = parts
        guess = torch.empty_like(truth)
        for part in (slice(0, 12), slice(12, None)):
            normal = phi[:, part].flatten(0, 1)
            solution = torch.linalg.solve(normal.T @ normal, normal.T @ thought[:, part].flatten(0, 1))
            guess[:, part] = after[:, part] @ solution
        z, _ = model.layers[1](z + guess, 12)
        logits = model.read_out(z[:, 12:])
    found = imitate_mlp(model, fit, batch, lambda tasks, _: tasks.x)
    assert torch.allclose(found.logits, logits, atol=1e-9)
    about = truth[:, :12] - truth[:, :12].mean((0, 1))
    assert found.context == pytest.approx(1 - ((truth - guess)[:, :12] ** 2).sum().item() / (about**2).sum().item())


def test_what_cannot_be_imitated():
    model, batch = build(), draw(20)
    with pytest.raises(ValueError, match="layers 0 to 1"):
        imitate_mlp(model, batch, batch, lambda tasks, _: tasks.x, level=2)
    with pytest.raises(ValueError, match="level=-1"):
        imitate_mlp(model, batch, batch, lambda tasks, _: tasks.x, level=-1)
    with pytest.raises(ValueError, match="columns have shape"):
        imitate_mlp(model, batch, batch, lambda tasks, _: tasks.x[:, 1:])
    with pytest.raises(ValueError, match="too few"):
        imitate_mlp(model, batch[:1], batch, lambda _, z: z)


def test_a_student_is_scored_on_tasks_that_its_read_outs_were_not_fitted_to():
    student, batch = EquivariantTransformer(depth=2, scalars=4, copies=2), LinearTask().sample(20, n_queries=3)
    truth = torch.randn(3, 20, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = truth.clone()
    other[:, 10:, :, 0] += 5
    path = student_path(student, truth, batch)
    assert torch.equal(path, student_path(student, other, batch))
    other[:, :10, :, 0] += 5
    assert not torch.equal(path, student_path(student, other, batch))
