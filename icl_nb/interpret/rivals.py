r"""The competing hypotheses, each as a step on the same trajectory.

At each layer a rival sees what the network sees, and the task as it was given, and says how the query will move. It is
fitted as generously as the recursion itself: in each layer anew, a scale by least squares and one or two parameters
theta by a search, on half of the tasks. Its score is the explained variance of the moves in the other half,

.. math:: R^2 = 1 - \frac{\sum | \Delta u_* - \widehat{\Delta u_*} |^2}{\sum | \Delta u_* |^2}

with no mean taken out, for by symmetry it is 0. A rival that says nothing has R^2 = 0, a bad one less.

A rival's step takes the `State` before a layer, and theta, and gives a `Move`; see `RIVALS`.

Letters: B tasks, N points, n of them context, d features, K classes, L layers, r points that are asked about.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize

from icl_nb.evaluation.scores import Comparison, compare
from icl_nb.recursion import Recursion, step
from icl_nb.tasks.batch import Batch


@dataclass(frozen=True, eq=False)
class State:
    """What a rival may look at before a layer.

    Arguments:
        x: points as they are now, the context first, `(B, N, d)`.
        u: labels as they are now, `(B, N, K)`.
        x0: points as they were given, `(B, N, d)`.
        y: labels of the context as they were given, one-hot, 0 for an unlabelled point, `(B, n, K)`.
        asked: which points are to be moved.
        memory: weights and direction that the rival has carried along, `(B, d, K)` each, 0 before the first layer.
    """

    x: np.ndarray
    u: np.ndarray
    x0: np.ndarray
    y: np.ndarray
    asked: slice
    memory: tuple[np.ndarray, np.ndarray]

    @property
    def n(self) -> int:
        return self.y.shape[1]

    @property
    def labels(self) -> np.ndarray:  # centred, (B, n, K)
        return self.y - self.y.sum(-1, keepdims=True) / self.y.shape[-1]


class Move(NamedTuple):
    """How a rival moves the labels `(B, r, K)` and the features `(B, r, d)` that it was asked about, up to a scale."""

    label: np.ndarray
    feature: np.ndarray | None = None
    memory: tuple[np.ndarray, np.ndarray] | None = None


def coupled(state: State, theta: Sequence[float]) -> Move:
    r"""The recursion's step: the mean of u (and of x) under
    :math:`\mathrm{softmax}_j(\theta_0 \langle x_*, x_j \rangle + \theta_1 \langle u_*, u_j \rangle)`.

    Arguments:
        state: what may be looked at.
        theta: of features and of labels.

    Source: own form of the recursion that paper A (arXiv 2604.11613, abstract) describes.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> coupled(state, (1.0, 1.0)).label.round(3), coupled(state, (1.0, 1.0)).feature.round(3)
        (array([[[ 0.482, -0.482]]]), array([[[0.964]]]))
    """
    x, u = state.x[:, : state.n], state.u[:, : state.n]
    A = _softmax(theta[0] * state.x[:, state.asked] @ x.mT + theta[1] * state.u[:, state.asked] @ u.mT)
    return Move(A @ u, A @ x)


def mean_shift(state: State, theta: Sequence[float]) -> Move:
    """The same with an attention that does not look at labels, theta_1 = 0.

    Arguments:
        state: what may be looked at.
        theta: of features.

    Source: mean shift, Fukunaga and Hostetler (1975), with the kernel of the softmax.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> mean_shift(state, (0.0,)).feature  # an even mean of the context
        array([[[0.]]])
    """
    return coupled(state, (theta[0], 0.0))


def two_mean_shifts(state: State, theta: Sequence[float]) -> Move:
    r"""Two heads that do not look at labels, in the best mixture, in place of one that does: :math:`\cos \theta_2\, A u
    + \sin \theta_2\, A' u` with :math:`A, A' = \mathrm{softmax}_j(\theta_h \langle x_*, x_j \rangle), h = 0, 1`. One
    number more than `coupled` has. Features are left alone.

    Arguments:
        state: what may be looked at.
        theta: of features in either head, and the angle between the two.

    Source: own.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> two_mean_shifts(state, (1.0, 0.0, 0.0)).label.round(3)  # the first head alone
        array([[[ 0.482, -0.482]]])
    """
    x, u = state.x[:, : state.n], state.u[:, : state.n]
    scores = state.x[:, state.asked] @ x.mT
    one, other = (_softmax(theta[h] * scores) @ u for h in (0, 1))
    return Move(np.cos(theta[2]) * one + np.sin(theta[2]) * other)


def kernel_smoothing(state: State, theta: Sequence[float]) -> Move:
    r"""Nadaraya-Watson on the task as given, nothing moving: the mean of the given labels under
    :math:`\mathrm{softmax}_j(\theta_0 \langle x_*, x_j \rangle)`.

    Arguments:
        state: what may be looked at.
        theta: of features.

    Source: Nadaraya (1964), Watson (1964).

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> kernel_smoothing(state, (1.0,)).label.round(3)
        array([[[ 0.482, -0.482]]])
    """
    A = _softmax(theta[0] * state.x0[:, state.asked] @ state.x0[:, : state.n].mT)
    return Move(A @ state.labels)


def function_gradient(state: State, theta: Sequence[float], normalised: bool = False) -> Move:
    r"""Gradient descent on softmax regression in function space, the labels now being the function:
    :math:`\sum_j (y_j - \mathrm{softmax}(e^{\theta_0} u_j)) \langle x_j, x_* \rangle`.

    Arguments:
        state: what may be looked at.
        theta: the logarithm of what labels are multiplied by.
        normalised: whether the gradient of each task is divided by its length.

    Source: textbook.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> function_gradient(state, (-50.0,)).label.round(3)  # before anything is known
        array([[[ 2., -2.]]])
    """
    x = state.x[:, : state.n]
    gradient = x.mT @ _residual(state, np.exp(theta[0]) * state.u[:, : state.n])  # (B, d, K)
    return Move(state.x[:, state.asked] @ (_unit(gradient) if normalised else gradient))


def weight_gradient(state: State, theta: Sequence[float], normalised: bool = False) -> Move:
    r"""Gradient descent on softmax regression of the task as given, by weights of its own:
    :math:`\Delta W = \sum_j x_j (y_j - \mathrm{softmax}(W^T x_j))^T`, where :math:`e^{\theta_0}` is the size of the
    step that brought W here from the layer before.

    Arguments:
        state: what may be looked at.
        theta: the logarithm of the last step.
        normalised: whether the gradient of each task is divided by its length.

    Source: textbook.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> weight_gradient(state, (0.0,)).label.round(3)
        array([[[ 1., -1.]]])
    """
    W, direction = state.memory
    W = W + np.exp(theta[0]) * direction
    x = state.x0[:, : state.n]
    gradient = x.mT @ _residual(state, x @ W) / state.n
    direction = _unit(gradient) if normalised else gradient
    return Move(state.x0[:, state.asked] @ direction, memory=(W, direction))


def newton(state: State, theta: Sequence[float]) -> Move:
    r"""Newton's method (IRLS) on the same loss, with a ridge :math:`e^{\theta_1}`:
    :math:`(\sum_j (\mathrm{diag}\, p_j - p_j p_j^T) \otimes x_j x_j^T / n + e^{\theta_1} I)^{-1} \Delta`, the gradient
    taken with the ridge.

    Arguments:
        state: what may be looked at.
        theta: logarithms of the last step and of the ridge.

    Source: textbook.

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> newton(state, (0.0, 0.0)).label.round(3)
        array([[[ 0.667, -0.667]]])
    """
    W, direction = state.memory
    W = W + np.exp(theta[0]) * direction
    x, ridge = state.x0[:, : state.n], np.exp(theta[1])
    (tasks, d, k), p = W.shape, _softmax(x @ W)
    gradient = x.mT @ _residual(state, x @ W) / state.n - ridge * W
    p = p * state.y.sum(-1, keepdims=True)  # an unlabelled point does not count
    spread = p[..., None] * np.eye(k) - p[..., None] * p[..., None, :]  # (B, n, K, K)
    pairs = x[..., None] * x[..., None, :]  # (B, n, d, d)
    curvature = spread.reshape(tasks, -1, k * k).mT @ pairs.reshape(tasks, -1, d * d) / state.n
    curvature = curvature.reshape(tasks, k, k, d, d).transpose(0, 3, 1, 4, 2).reshape(tasks, d * k, d * k)
    direction = np.linalg.solve(curvature + ridge * np.eye(d * k), gradient.reshape(tasks, d * k, 1)).reshape(W.shape)
    return Move(state.x0[:, state.asked] @ direction, memory=(W, direction))


def lda(state: State, theta: Sequence[float], current: bool = False) -> Move:
    r"""A step towards the posterior of linear discriminant analysis, of the points as given or as they are now:
    :math:`\mathrm{softmax}_c(e^{\theta_1} (\log p_c + \langle x_* - \mu_c / 2, S^{-1} \mu_c \rangle)) - 1/K`, where
    S is the covariance within classes, shrunk to a multiple of I by :math:`1 / (1 + e^{-\theta_0})`.

    Arguments:
        state: what may be looked at.
        theta: the logit of the shrinkage, and the logarithm of the temperature.
        current: whether points count where they are now, and not where they were given.

    Source: textbook; the shrinkage is that of regularised discriminant analysis, Friedman (1989).

    Example:
        >>> x, y = np.array([[[1.0], [-1.0], [2.0]]]), np.eye(2)[None]  # a point of each class, and a query at 2
        >>> u = np.array([[[0.5, -0.5], [-0.5, 0.5], [0.0, 0.0]]])
        >>> state = State(x, u, x, y, slice(-1, None), (np.zeros((1, 1, 2)),) * 2)
        >>> bool(np.abs(lda(state, (0.0, -50.0)).label).max() < 1e-9)  # at a high temperature nothing is said
        True
    """
    points = state.x if current else state.x0
    x, y = points[:, : state.n], state.y
    size = y.sum(1)  # (B, K)
    means = y.mT @ x / np.maximum(size, 1)[..., None]  # (B, K, d)
    rest = (x - y @ means) * y.sum(-1, keepdims=True)
    S = rest.mT @ rest / size.sum(-1)[:, None, None]
    shrink, spherical = 1 / (1 + np.exp(-theta[0])), np.trace(S, axis1=1, axis2=2)[:, None, None] * np.eye(S.shape[-1])
    slope = np.linalg.solve((1 - shrink) * S + shrink * spherical / S.shape[-1] + 1e-9 * np.eye(S.shape[-1]), means.mT)
    prior = np.where(size > 0, np.log(np.maximum(size, 1)), -1e6)[:, None]
    scores = prior + points[:, state.asked] @ slope - 0.5 * (means.mT * slope).sum(1)[:, None]
    return Move(_softmax(np.exp(theta[1]) * scores) - 1 / y.shape[-1])


@dataclass(frozen=True)
class Rival:
    """A hypothesis: its step, where the search for its parameters begins, and whether its step depends on where the
    context is now, so that by itself it has to move the context as well."""

    step: Callable[[State, Sequence[float]], Move]
    starts: tuple[tuple[float, ...], ...]
    moves_context: bool = False


RIVALS: dict[str, Rival] = {
    "coupled": Rival(coupled, ((1.0, 1.0), (-1.0, 2.0), (1.0, -1.0)), moves_context=True),
    "mean-shift, no labels": Rival(mean_shift, ((1.0,), (-1.0,)), moves_context=True),
    "kernel smoothing": Rival(kernel_smoothing, ((1.0,), (-1.0,))),
    "GD, function": Rival(function_gradient, ((0.0,), (2.0,)), moves_context=True),
    "normalised GD, function": Rival(partial(function_gradient, normalised=True), ((0.0,), (2.0,)), moves_context=True),
    "GD, weights": Rival(weight_gradient, ((0.0,), (2.0,))),
    "normalised GD, weights": Rival(partial(weight_gradient, normalised=True), ((0.0,), (2.0,))),
    "Newton": Rival(newton, ((0.0, -3.0), (-2.0, 0.0))),
    "LDA": Rival(lda, ((0.0, 0.0), (0.0, 1.5))),
    "LDA, current": Rival(partial(lda, current=True), ((0.0, 0.0), (0.0, 1.5))),
}


# Held against `coupled` by itself: what labels in the scores do, could a second head do without them?
UNSEEN = {"two heads, no labels": Rival(two_mean_shifts, ((1.0, -1.0, 0.0), (0.3, 2.0, -0.8)), moves_context=True)}


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """How well each rival explains a model, on tasks that no rival was fitted to.

    Arguments:
        names: of the rivals. The last is "recursion": the scalars of the model itself, with nothing fitted.
        label: R^2 of the query's label move, `(rivals, L)`.
        feature: R^2 of the query's feature move, `(rivals, L)`; 0 where a rival moves no features.
        on_path: of the model with the sum of the rival's label moves, each made from where the model was.
        alone: of the model with the rival run by itself, and in each layer fitted so as to bring the points where the
            model brings them, which mends what it missed before. Empty where it was not asked for.
        theta: the fitted parameters of the label move on the path, `(L, p)`, by name.
        motion: the share of each layer in the squared label moves of the queries, `(L,)`: `label @ motion` is R^2 over
            the moves of all layers together.
    """

    names: tuple[str, ...]
    label: np.ndarray
    feature: np.ndarray
    on_path: tuple[Comparison, ...]
    alone: tuple[Comparison, ...]
    theta: dict[str, np.ndarray]
    motion: np.ndarray

    def __repr__(self) -> str:
        head = "".join(f"{level:7d}" for level in range(1, self.label.shape[1] + 1))
        lines = [f"{'R^2 of label moves, by layer':28}{head}   agreement{'  alone' if self.alone else ''}"]
        for index, (name, row, path) in enumerate(zip(self.names, self.label, self.on_path, strict=True)):
            values = "".join(f"{max(value, -9.99):7.2f}" for value in row)
            alone = f"{self.alone[index].agreement:7.3f}" if self.alone else ""
            lines.append(f"{name:28}{values}{path.agreement:12.3f}{alone}")
        return "\n".join(lines)


def explain(model, batch: Batch, *, rivals: dict[str, Rival] = RIVALS, alone: bool = True) -> Explanation:
    """Let the rivals explain each layer of a model, and the whole of it.

    Arguments:
        model: a `Recursion` or a transformer of the package.
        batch: tasks; the first half is for fitting, the second for the scores. 200 tasks of 8 queries do.
        rivals: by name.
        alone: whether to run each rival by itself too, which takes longer than all the rest.

    Raises:
        ValueError: fewer than 4 tasks, a memory, or a model whose layers do more than attend.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> recursion = Recursion({"alpha": [[0.5], [1.0]], "beta": 2.0, "gamma": 0.3, "delta": 0.5})
        >>> few = {name: RIVALS[name] for name in ("coupled", "kernel smoothing")}
        >>> explanation = explain(recursion, LinearTask().sample(40), rivals=few)
        >>> explanation.names
        ('coupled', 'kernel smoothing', 'recursion')
        >>> bool((explanation.label[0] > 0.9999).all()), bool(explanation.label[1, 1] < 0.99)
        (True, True)
    """
    if len(batch) < 4:
        raise ValueError(f"the batch has {len(batch)} tasks; both halves need 2 at least")
    recursion = model if isinstance(model, Recursion) else Recursion.from_model(model)
    if recursion.has_memory:
        raise ValueError(
            "rivals know points and labels of one copy; with a memory ask `interpret.knowledge.explain_answer`"
        )
    half, n = len(batch) // 2, batch.context_y.shape[1]
    x, u = _path(model, batch)
    context_y = batch.context_y.cpu().numpy()
    y = (context_y[..., None] == np.arange(batch.n_classes)).astype(float)
    on_path = {name: walk(rival, x, u, y, half, on_path=True) for name, rival in rivals.items()}
    on_path["recursion"] = _read_off(recursion, x, u, n, half)
    ends = [walk(rival, x, u, y, half, on_path=False).end for rival in rivals.values()] if alone else []
    ends += [recursion.trajectory(x[0], context_y).u[-1, :, n:]] if alone else []
    sizes = (np.diff(u[:, half:, n:], axis=0) ** 2).sum((1, 2, 3))  # (L,)

    def compared(end):
        ours, truth = (torch.from_numpy(recursion.scale * labels[half:]) for labels in (end, u[-1, :, n:]))
        return compare(ours, truth, batch[half:])

    return Explanation(
        tuple(on_path),
        np.stack([path.label for path in on_path.values()]),
        np.stack([path.feature for path in on_path.values()]),
        tuple(compared(path.end) for path in on_path.values()),
        tuple(compared(end) for end in ends),
        {name: path.theta for name, path in on_path.items() if path.theta is not None},
        sizes / sizes.sum() if sizes.any() else np.full_like(sizes, np.nan),
    )


@dataclass(frozen=True, eq=False)
class Walk:
    """What `walk` gives.

    Arguments:
        end: the query's labels after the last layer, `(B, q, K)`.
        label: R^2 of the label moves, `(L,)`.
        feature: R^2 of the feature moves, `(L,)`.
        theta: what was fitted, `(L, p)`; None where nothing was.
    """

    end: np.ndarray
    label: np.ndarray
    feature: np.ndarray
    theta: np.ndarray | None = None


def walk(rival: Rival, x: np.ndarray, u: np.ndarray, y: np.ndarray, half: int, *, on_path: bool) -> Walk:
    """A rival from layer to layer, fitted in each: on the model's path, or on its own.

    Arguments:
        rival: who is run.
        x: points before and after each layer of the model, `(L + 1, B, N, d)`.
        u: labels, `(L + 1, B, N, K)`.
        y: labels of the context as given, one-hot, `(B, n, K)`.
        half: tasks to fit on; the others are for the scores.
        on_path: whether it starts each layer from where the model is.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(20)
        >>> recursion = Recursion({"alpha": [[0.5]], "beta": 2.0, "gamma": 0.3, "delta": 0.5})
        >>> path, y = recursion.trajectory(batch.x, batch.context_y), np.eye(3)[batch.context_y]
        >>> found = walk(RIVALS["coupled"], path.x, path.u, y, 10, on_path=True)
        >>> found.end.shape, bool(found.label[0] > 0.999)
        ((20, 1, 3), True)
    """
    path, n_queries = {"label": u, "feature": x}, x.shape[2] - y.shape[1]
    asked = slice(None) if rival.moves_context and not on_path else slice(-n_queries, None)
    now, last, end = (
        {block: tokens[0].copy() for block, tokens in path.items()},
        {},
        np.zeros_like(u[0, :, -n_queries:]),
    )
    nothing = np.zeros((len(y), x.shape[-1], y.shape[-1]))
    memory, thetas = (nothing, nothing), []
    r2: dict[str, list[float]] = {"label": [], "feature": []}
    for t in range(len(x) - 1):
        if on_path:
            now = {block: tokens[t].copy() for block, tokens in path.items()}
        state, shifts = State(now["feature"], now["label"], x[0], y, asked, memory), {}
        for block, tokens in path.items():
            # To where the model brings the points next, wherever the rival has them now.
            goal = (tokens[t + 1] - now[block])[:, asked]
            last[block], size = _fit(rival, state, block, goal, half, last.get(block))
            move = rival.step(state, last[block])
            shift = size * (np.zeros_like(goal) if getattr(move, block) is None else getattr(move, block))
            r2[block].append(r_squared(goal[half:], shift[half:]))
            if block == "label":
                memory = move.memory or memory
                end = end + shift[:, -n_queries:]
                thetas.append(last[block])
            shifts[block] = shift
        for block, shift in shifts.items():
            now[block][:, asked] += shift
    return Walk(end, np.array(r2["label"]), np.array(r2["feature"]), np.array(thetas))


def _fit(rival: Rival, state: State, block: str, goal: np.ndarray, half: int, last) -> tuple[np.ndarray, float]:
    """Theta by a simplex search, from each start and from the layer before; and the scale, by least squares."""
    fields = {name: getattr(state, name)[:half] for name in ("x", "u", "x0", "y")}
    train, goal = replace(state, **fields, memory=tuple(part[:half] for part in state.memory)), goal[:half]
    if getattr(rival.step(train, rival.starts[0]), block) is None:
        return np.array(rival.starts[0]), 0.0

    def regress(theta):
        move = getattr(rival.step(train, theta), block)
        overlap, length = (move * goal).sum(), max((move**2).sum(), 1e-300)
        return overlap / length, -(overlap**2) / length

    def search(start):  # bounded, so that no exponential overflows
        options = {"maxiter": 150, "xatol": 1e-4, "fatol": 1e-7 * (goal**2).sum()}
        bounds = [(-9, 9)] * len(start)
        return minimize(lambda theta: regress(theta)[1], start, method="Nelder-Mead", bounds=bounds, options=options)

    starts = rival.starts if last is None else (*rival.starts, last)
    theta = min(map(search, starts), key=lambda found: found.fun).x
    return theta, regress(theta)[0]


def _read_off(recursion: Recursion, x: np.ndarray, u: np.ndarray, n: int, half: int) -> Walk:
    """The recursion's own steps on the model's path, nothing fitted."""
    end, r2 = np.zeros_like(u[0, :, n:]), []
    for t, layer in enumerate(recursion.table):
        after_x, after_u, _ = step(layer, x[t], u[t], n)
        pairs = [(path[t + 1] - path[t], after - path[t]) for path, after in ((u, after_u), (x, after_x))]
        r2.append([r_squared(truth[half:, n:], guess[half:, n:]) for truth, guess in pairs])
        end = end + (after_u - u[t])[:, n:]
    return Walk(end, *np.array(r2).T)


def r_squared(truth: np.ndarray, guess: np.ndarray) -> float:
    r"""Explained variance about 0, :math:`1 - |truth - guess|^2 / |truth|^2`; NaN where nothing moves.

    Arguments:
        truth: of any shape.
        guess: of the same.

    Source: textbook; no mean is taken out.

    Example:
        >>> r_squared(np.array([3.0, 4.0]), np.array([3.0, 0.0]))
        0.36
    """
    total = (truth**2).sum()
    return float(1 - ((truth - guess) ** 2).sum() / total) if total > 0 else float("nan")


def _path(model, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Points and centred labels of all tokens before and after each layer."""
    if isinstance(model, Recursion):
        path = model.trajectory(batch.x.cpu(), batch.context_y.cpu())
        return path.x, path.u
    batch = batch.to(dtype=model.dtype, device=model.device)
    tokens = model.trajectory(batch.x, batch.context_y)[0].double().cpu().numpy()
    x, u = tokens[..., : model.n_features], tokens[..., model.n_features :]
    return x, u - u.mean(-1, keepdims=True)  # a constant on all classes is no label


def _residual(state: State, logits: np.ndarray) -> np.ndarray:
    return state.y - _softmax(logits) * state.y.sum(-1, keepdims=True)  # none for an unlabelled point


def _unit(gradient: np.ndarray) -> np.ndarray:
    return gradient / np.maximum(np.linalg.norm(gradient, axis=(1, 2), keepdims=True), 1e-300)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Along the last axis, by torch: SciPy's takes twice as long as all else that a search does."""
    return torch.from_numpy(scores).softmax(-1).numpy()
