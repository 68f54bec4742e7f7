r"""Reading another network's mind: what an ordinary transformer would answer after each layer, and what follows it.

A lens is a linear map from the normalised stream to the final answer, one for each layer,

.. math:: f_*^l = C_l\, \hat z_*^l + c_l \approx \text{centred logits},

fitted by least squares (a tuned lens). The path :math:`f^0, \dots, f^L` is the answer as it forms, and the moves
between are what an explanation has to explain, as in `rivals`.

Letters: B tasks, N = n + q points, d features, K classes, D width of the stream, L layers, m copies.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from icl_nb.checks import check_count, check_seed
from icl_nb.descent import descend
from icl_nb.interpret.rivals import Rival, r_squared, walk
from icl_nb.models.attention import EquivariantTransformer, InContextTransformer
from icl_nb.models.ordinary import OrdinaryTransformer
from icl_nb.models.training import History
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask


class Lens:
    """The answer of an ordinary transformer after each layer.

    Arguments:
        model: whose answers.
        batch: tasks to fit the lens on; 300 tasks of 16 queries do.
        target: what to see, on the same tasks: `(L + 1, B, q, K)`, the path of another model for instance. By default
            the model's own answer, in each layer.

    Raises:
        ValueError: too few queries for the unknowns of the map, or a target of another shape.

    Source: the tuned lens of Belrose et al. (2023), arXiv 2303.08112, by least squares.

    Example:
        >>> from icl_nb.models.ordinary import OrdinaryTransformer
        >>> model, task = OrdinaryTransformer(depth=2), LinearTask()
        >>> lens = Lens(model, task.sample(20, n_queries=8))
        >>> lens.path(task.sample(3, n_queries=2)).shape  # (L + 1, B, q, K)
        torch.Size([3, 3, 2, 3])
    """

    @torch.no_grad()
    def __init__(self, model: InContextTransformer, batch: Batch, target: Tensor | None = None):
        tokens = queries(model, batch)
        unknowns = tokens.shape[-1] + 1
        if len(batch) * batch.n_queries < 2 * unknowns:
            raise ValueError(
                f"{len(batch)} tasks of {batch.n_queries} queries are too few for {unknowns} unknowns; "
                "there must be twice as many queries"
            )
        self.model, self.maps = model, []
        answer = centred(model.read_out(tokens[-1].to(model.dtype)).double())
        target = answer.expand(len(tokens), *answer.shape) if target is None else target
        if target.shape != (len(tokens), *answer.shape):
            raise ValueError(f"the target has shape {tuple(target.shape)}; must be {(len(tokens), *answer.shape)}")
        for z, f in zip(tokens, target, strict=True):
            columns = _with_one(_normal(z)).flatten(0, 1)
            self.maps.append(torch.linalg.lstsq(columns, f.flatten(0, 1), driver="gelsd").solution)

    @torch.no_grad()
    def path(self, batch: Batch) -> Tensor:
        """The answers after 0, 1, ..., L layers, `(L + 1, B, q, K)`, centred, float64."""
        tokens = queries(self.model, batch)
        return torch.stack([_with_one(_normal(z)) @ c for z, c in zip(tokens, self.maps, strict=True)])


@torch.no_grad()
def queries(model: InContextTransformer, batch: Batch) -> Tensor:
    """The stream of the queries before and after each layer, `(L + 1, B, q, D)`, float64.

    Arguments:
        model: a transformer.
        batch: tasks that it reads.

    Example:
        >>> from icl_nb import LinearTask
        >>> queries(EquivariantTransformer(depth=2), LinearTask().sample(3, n_queries=4)).shape
        torch.Size([3, 3, 4, 8])
    """
    batch = batch.to(dtype=model.dtype, device=model.device)
    return model.trajectory(batch.x, batch.context_y)[0][:, :, batch.context_y.shape[1] :].double()


def centred(logits: Tensor) -> Tensor:
    """Logits less their mean over the classes: what the answer depends on.

    Arguments:
        logits: `(*, K)`.

    Source: textbook.

    Example:
        >>> centred(torch.tensor([1.0, 2.0, 6.0]))
        tensor([-2., -1.,  3.])
    """
    return logits - logits.mean(-1, keepdim=True)


def _normal(z: Tensor) -> Tensor:
    return nn.functional.layer_norm(z, z.shape[-1:])


def _with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones_like(z[..., :1])], -1)


def path_r2(truth: Tensor, guess: Tensor) -> tuple[np.ndarray, np.ndarray]:
    r"""How well one path of answers is another: R^2 of the answers after each layer, and of the moves between.

    .. math:: R^2 = 1 - \frac{\sum | f - \hat f |^2}{\sum | f |^2}

    Arguments:
        truth: `(L + 1, B, q, K)`.
        guess: likewise.

    Returns:
        `(L + 1,)` and `(L,)`; NaN where nothing is to be explained.

    Raises:
        ValueError: the shapes differ.

    Source: textbook; no mean is taken out.

    Example:
        >>> path = torch.tensor([0.0, 1.0, 3.0]).reshape(3, 1, 1, 1)
        >>> path_r2(path, path / 2)[1]
        array([0.75, 0.75])
    """
    if truth.shape != guess.shape:
        raise ValueError(f"paths have shapes {tuple(truth.shape)} and {tuple(guess.shape)}; they must be alike")
    truth, guess = truth.cpu().numpy(), guess.cpu().numpy()
    levels = np.array([r_squared(*pair) for pair in zip(truth, guess, strict=True)])
    moves = np.array([r_squared(*pair) for pair in zip(np.diff(truth, axis=0), np.diff(guess, axis=0), strict=True)])
    return levels, moves


def follow(
    student: EquivariantTransformer,
    lens: Lens,
    task: LinearTask,
    *,
    steps: int = 2000,
    batch_size: int = 64,
    n_queries: int = 16,
    learning_rate: float = 1e-2,
    seed: int = 0,
    progress: bool = True,
) -> History:
    r"""Fit a recursion to the answers of another network, layer by layer.

    .. math:: \min \sum_{l=1}^L \frac{ | f^l - \sum_a r^l_a u_*^{a, l} |^2 }{ | f^l |^2 }

    over the scalars of all layers and the read-outs r of each, by Adam on fresh tasks. The student runs by itself from
    the prompt on: it is not put back upon the path.

    Arguments:
        student: of four scalars a head, trained in place; its depth is a multiple of that of the lens. Its scale ends
            as the last read-out.
        lens: of the model to be followed.
        task: draws the prompts.
        steps: as in `train`.
        batch_size: as in `train`.
        n_queries: as in `train`.
        learning_rate: as in `train`.
        seed: as in `train`.
        progress: as in `train`.

    Returns:
        the loss of each step, a mean over layers; its accuracy is the share of queries to which the student gives the
        answer of the model that it follows.

    Raises:
        ValueError: the depths do not fit, the student has other scalars, an argument is out of range, or the loss
            ceases to be finite.

    Source: own.

    Example:
        >>> from icl_nb.models.ordinary import OrdinaryTransformer
        >>> teacher, task = OrdinaryTransformer(depth=2), LinearTask()
        >>> lens = Lens(teacher, task.sample(20, n_queries=8))
        >>> len(follow(EquivariantTransformer(depth=2, scalars=4), lens, task, steps=3, progress=False).loss)
        3
    """
    for name, count in (("batch_size", batch_size), ("n_queries", n_queries)):
        check_count(name, count, 1)
    if student.scalars != 4:
        raise ValueError(f"the student has {student.scalars} scalars a head; a recursion has 4")
    depth = lens.model.depth
    if student.depth % depth:
        raise ValueError(f"the student has {student.depth} layers; they must be a multiple of {depth}, the model's")
    stride, generator = student.depth // depth, torch.Generator().manual_seed(check_seed(seed))
    scales = nn.Parameter(student.scale.detach().reshape(1, -1).repeat(depth, 1))  # (L, m)
    losses, shares, rates = [], [], []

    def loss_of(step: int) -> Tensor:
        batch = task.sample(batch_size, seed=generator, n_queries=n_queries, dtype=student.dtype, device=student.device)
        truth = lens.path(batch)[1:].to(student.dtype)  # (L, B, q, K)
        guess = torch.einsum("la,lbqak->lbqk", scales, label_copies(student, batch)[stride::stride])
        shares.append((guess[-1].argmax(-1) == truth[-1].argmax(-1)).double().mean().item())
        return (((guess - truth) ** 2).sum((1, 2, 3)) / (truth**2).sum((1, 2, 3))).mean()

    started = time.perf_counter()
    for loss, rate in descend([student.m, student.v, scales], steps, learning_rate, loss_of, progress=progress):
        losses.append(loss)
        rates.append(rate)
    with torch.no_grad():
        student.scale.copy_(scales[-1].reshape(student.scale.shape))
    return History(losses, shares, rates, time.perf_counter() - started)


def label_copies(model: EquivariantTransformer, batch: Batch) -> Tensor:
    """The label blocks of the queries before and after each layer, `(L + 1, B, q, m, K)`, with their gradient.

    Arguments:
        model: of m copies.
        batch: tasks in its dtype and on its device.

    Example:
        >>> label_copies(EquivariantTransformer(depth=2, copies=3), LinearTask().sample(4, n_queries=2)).shape
        torch.Size([3, 4, 2, 3, 3])
    """
    stream = torch.stack([z for z, _ in model.stream(batch.x, batch.context_y)])
    return stream[:, :, -batch.n_queries :].unflatten(-1, (model.copies, -1))[..., model.n_features :]


@torch.no_grad()
def student_path(student: EquivariantTransformer, truth: Tensor, batch: Batch) -> Tensor:
    """The answers of a student after each layer of the path that it followed.

    Each read-out is fitted by least squares to the path on the first half of the tasks, m numbers a layer, as in
    `follow`.

    Arguments:
        student: of m copies.
        truth: the path that was followed, on the batch, `(L + 1, B, q, K)`.
        batch: tasks.

    Returns:
        `(L + 1, B, q, K)`; nothing is said before the first layer.

    Source: own.

    Example:
        >>> batch = LinearTask().sample(20, n_queries=4)
        >>> student = EquivariantTransformer(depth=2, scalars=4)
        >>> truth = label_copies(student, batch).detach()[..., 0, :].double() * 7
        >>> bool((student_path(student, truth, batch) - truth).abs().max() < 1e-5)  # one number a layer finds the 7
        True
    """
    copies = label_copies(student, batch.to(dtype=student.dtype)).double()[:: student.depth // (len(truth) - 1)]
    half, path = len(batch) // 2, [torch.zeros_like(truth[0])]
    for u, answer in zip(copies[1:], truth[1:], strict=True):
        columns = u.movedim(-2, -1)  # (B, q, K, m)
        scale = torch.linalg.lstsq(columns[:half].flatten(0, 2), answer[:half].reshape(-1, 1), driver="gelsd").solution
        path.append((columns @ scale)[..., 0])
    return torch.stack(path)


def rivals_on_path(lens: Lens, batch: Batch, rivals: dict[str, Rival]) -> dict[str, np.ndarray]:
    r"""R^2 of the moves of the answer, `(L,)` each, for rivals that see the task as it was given and the answers.

    In each layer a rival is fitted anew, on half of the tasks, and starts from where the model is; see
    `icl_nb.interpret.rivals`. Rivals that need to know where the network has moved the context cannot be asked.

    Arguments:
        lens: of the model.
        batch: tasks; half of them to fit on.
        rivals: by name.

    Raises:
        ValueError: a rival moves the context.

    Source: own.

    Example:
        >>> from icl_nb.interpret.rivals import RIVALS
        >>> from icl_nb.models.ordinary import OrdinaryTransformer
        >>> model, task = OrdinaryTransformer(depth=2), LinearTask()
        >>> lens = Lens(model, task.sample(20, n_queries=8))
        >>> rivals_on_path(lens, task.sample(20, n_queries=4), {"LDA": RIVALS["LDA"]})["LDA"].shape
        (2,)
    """
    if moving := [name for name, rival in rivals.items() if rival.moves_context]:
        raise ValueError(f"{', '.join(moving)}: where the context is now is not known of an ordinary transformer")
    y = batch.context_y.numpy()
    path = lens.path(batch).numpy()
    path[0] = 0  # a query knows nothing before the first layer
    x = np.repeat(batch.x.double().numpy()[None], len(path), 0)
    hot = (y[..., None] == np.arange(batch.n_classes)).astype(float)
    u = np.concatenate([np.repeat((hot - hot.sum(-1, keepdims=True) / batch.n_classes)[None], len(path), 0), path], 2)
    return {name: walk(rival, x, u, hot, len(batch) // 2, on_path=True).label for name, rival in rivals.items()}


def carried(model: InContextTransformer, batch: Batch, moved: Batch, *, then: Batch | None = None) -> np.ndarray:
    r"""Does a change of the prompt act on the stream by a matrix?

    .. math:: z_i^l(\text{moved}) \approx T_l\, z_i^l + t_l

    A network whose layers are equivariant under *some* action of a group on its stream, be it one that it has invented
    for itself, satisfies this exactly for that group, in every layer. The first layer's input always does.

    Arguments:
        model: a transformer with `trajectory`.
        batch: tasks; half of them to fit T and t in each layer, half for the score.
        moved: the same tasks after the change.
        then: the same tasks after the same change a second time. If given, T is applied twice and held against these,
            as must succeed where the matrices are an action of a group.

    Returns:
        explained variance on the other half, about the mean, `(L + 1,)`.

    Raises:
        ValueError: the batches have other shapes.

    Source: own; the test of Lenc and Vedaldi (2015), arXiv 1411.5908, whether a representation is equivariant.

    Example:
        >>> from icl_nb.symmetry import permute_batch
        >>> batch = LinearTask().sample(40)
        >>> moved = permute_batch(batch, torch.tensor([1, 0, 2, 3, 4]), torch.tensor([0, 1, 2]))
        >>> bool((carried(EquivariantTransformer(depth=2), batch, moved) > 0.9999).all())
        True
    """
    prompts = (batch, moved) if then is None else (batch, moved, then)
    for other in prompts[1:]:
        if batch.x.shape != other.x.shape or batch.context_y.shape != other.context_y.shape:
            raise ValueError(f"prompts of shapes {tuple(batch.x.shape)} and {tuple(other.x.shape)}; they must be alike")
    half, scores = len(batch) // 2, []
    with torch.no_grad():
        streams = [model.trajectory(part.x.to(model.dtype), part.context_y)[0].double().numpy() for part in prompts]
    for before, after, *last in zip(*streams, strict=True):
        ours, theirs = (part[:half].reshape(-1, part.shape[-1]) for part in (_with_ones(before), after))
        matrix = np.linalg.lstsq(ours, theirs, rcond=1e-10)[0]
        guess, truth = _with_ones(before[half:]) @ matrix, after[half:]
        if last:
            guess, truth = _with_ones(guess) @ matrix, last[0][half:]
        scores.append(r_squared(truth - truth.mean((0, 1)), guess - truth.mean((0, 1))))
    return np.array(scores)


class Imitation(NamedTuple):
    """An MLP as a linear map of named quantities, on tasks that the map was not fitted to.

    Arguments:
        context: explained variance of what the MLP adds to context points, about its mean.
        queries: the same of what it adds to queries.
        logits: answers of the network with the map in its place, `(B, q, K)`.
    """

    context: float
    queries: float
    logits: Tensor


@torch.no_grad()
def imitate_mlp(
    model: OrdinaryTransformer,
    fit: Batch,
    batch: Batch,
    columns: Callable[[Batch, Tensor], Tensor],
    *,
    level: int = 0,
) -> Imitation:
    r"""Put a linear map of named quantities in the place of an MLP.

    .. math:: W_2\, \mathrm{gelu}(W_1 \hat z_i + b_1) + b_2 \approx C\, \phi_i + c

    by least squares, one map for context points and one for queries.

    Arguments:
        model: whose MLP.
        fit: tasks to fit the maps on.
        batch: tasks for the score and the answers.
        columns: gives the quantities :math:`\phi`, `(B, N, c)`, from a batch and the stream that the MLP reads,
            `(B, N, D)`. With c = 0 the MLP becomes a constant: the baseline.
        level: of which layer.

    Raises:
        ValueError: there is no such layer, or the quantities have another shape or are too many to fit.

    Source: own.

    Example:
        >>> task, model = LinearTask(), OrdinaryTransformer(depth=2)
        >>> found = imitate_mlp(model, task.sample(20), task.sample(9, seed=1), lambda batch, z: z[..., :0])
        >>> abs(found.context) < 0.1, found.logits.shape
        (True, torch.Size([9, 1, 3]))
    """
    if check_count("level", level, 0) >= model.depth:
        raise ValueError(f"level={level}; the model has layers 0 to {model.depth - 1}")
    maps, n = [], batch.context_y.shape[1]
    parts = slice(0, n), slice(n, None)
    for tasks in (fit, batch):
        z = model.embed(tasks.x.to(model.dtype), tasks.context_y)
        for before in range(level):
            z, _ = model.layer(before, z, n)
        z = z + model.layers[level].attend(z, n)[0]
        added, phi = model.layers[level].think(z), columns(tasks, z)
        if phi.shape[:2] != z.shape[:2] or phi.ndim != 3:
            raise ValueError(f"columns have shape {tuple(phi.shape)}; they must be {(*z.shape[:2], 'c')}")
        phi = torch.cat([phi.to(z.dtype), torch.ones_like(z[..., :1])], -1)
        if not maps:
            if min(phi[:, part, 0].numel() for part in parts) < 2 * phi.shape[-1]:
                raise ValueError(f"{len(fit)} tasks are too few for {phi.shape[-1]} unknowns")
            for part in parts:
                ours, theirs = phi[:, part].flatten(0, 1), added[:, part].flatten(0, 1)
                maps.append(torch.linalg.lstsq(ours, theirs, driver="gelsd").solution)
    guess = torch.cat([phi[:, part] @ solution for part, solution in zip(parts, maps, strict=True)], 1)
    scores = []
    for part in parts:
        mean = added[:, part].mean((0, 1))
        scores.append(float(r_squared((added[:, part] - mean).numpy(), (guess[:, part] - mean).numpy())))
    z = z + guess
    for after in range(level + 1, model.depth):
        z, _ = model.layer(after, z, n)
    return Imitation(*scores, model.read_out(z[:, n:]))


def _with_ones(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z, np.ones_like(z[..., :1])], -1)
