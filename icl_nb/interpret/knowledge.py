r"""What a memory does: bases of the copies, what they keep, and which algorithm moves the answer.

A recursion with m copies answers with :math:`f_i = \sum_a s_a u_i^a`. A change of basis among the copies leaves all
answers as they are, so that a single entry of a scalar's matrix means little by itself; the questions below do not
depend on the basis.

Letters: B tasks, n context points, q queries, d features, K classes, L layers, H heads, m copies.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from icl_nb.checks import check_count, check_seed
from icl_nb.interpret.rivals import RIVALS, Rival, r_squared, walk
from icl_nb.recursion import SCALARS, Recursion, quick_step
from icl_nb.tasks.batch import Batch


def change_basis(recursion: Recursion, features=None, labels=None) -> Recursion:
    r"""The same function with other copies, :math:`x'^a = \sum_b T_{ab} x^b` and :math:`u'^a = \sum_b S_{ab} u^b`.

    .. math:: \alpha' = T^{-\top} \alpha T^{-1}, \quad \beta' = S^{-\top} \beta S^{-1}, \quad
        \gamma' = T \gamma T^{-1}, \quad \delta' = S \delta S^{-1}, \quad s' = S^{-\top} s

    Arguments:
        recursion: with m copies.
        features: T, `(m, m)`, regular, its first column :math:`e_1`, for in the beginning only the first copy is
            filled. The identity by default.
        labels: S, of the same kind.

    Raises:
        ValueError: the recursion has no memory, or a matrix is not as above.

    Source: own.

    Example:
        >>> recursion = Recursion({"alpha": [[np.ones((2, 2))]], "beta": 0, "gamma": 0, "delta": 1.0}, scale=[2.0, 1.0])
        >>> change_basis(recursion, labels=[[1, 0.5], [0, 1]]).scale
        array([2., 0.])
    """
    m = recursion.copies
    if recursion.table.alpha.ndim != 4:
        raise ValueError("the recursion has no memory, and so no copies to mix")
    changed = {}
    for names, change in ((("alpha", "gamma"), features), (("beta", "delta"), labels)):
        change = np.eye(m) if change is None else np.asarray(change, dtype=float)
        if change.shape != (m, m) or not np.isfinite(change).all() or np.linalg.matrix_rank(change) < m:
            raise ValueError(f"a change of basis has shape {change.shape}; it must be regular, finite and {(m, m)}")
        if np.any(change[:, 0] != np.eye(m)[0]):
            raise ValueError(f"the first column is {change[:, 0].tolist()}; it must be 1, 0, ..., 0")
        inverse = np.linalg.inv(change)
        score, value = names
        changed[score] = inverse.T @ recursion.table[score] @ inverse
        changed[value] = change @ recursion.table[value] @ inverse
    return Recursion({name: changed[name] for name in SCALARS}, recursion.n_classes, inverse.T @ recursion.scale)


def answer_first(recursion: Recursion) -> Recursion:
    r"""The basis in which the first label copy is the answer, :math:`u'^1 = f / s_1`, and all others are memory.

    Raises:
        ValueError: the recursion has no memory, or does not read the first copy, :math:`s_1 = 0`.

    Source: own.

    Example:
        >>> recursion = Recursion({"alpha": [[np.ones((2, 2))]], "beta": 0, "gamma": 0, "delta": 1.0}, scale=[2.0, 1.0])
        >>> answer_first(recursion).scale
        array([2., 0.])
    """
    scale = np.atleast_1d(recursion.scale)
    if scale[0] == 0:
        raise ValueError("the first copy is not read (its scale is 0), so that it cannot be made the answer")
    change = np.eye(recursion.copies)
    change[0] = scale / scale[0]
    return change_basis(recursion, labels=change)


def linear_r2(target: np.ndarray, parts: Sequence[np.ndarray]) -> float:
    r"""Explained variance of :math:`\sum_c \theta_c\, p_c`, one number a part: fitted on the first half of the tasks by
    least squares, scored on the second (`r_squared`).

    One number each is all that the symmetry leaves: a linear map of centred label blocks that commutes with every
    renaming of the classes is a number, and so it is for features.

    Arguments:
        target: `(B, ...)`.
        parts: arrays of the shape of the target.

    Raises:
        ValueError: fewer than 2 tasks, no part, or another shape.

    Source: own.

    Example:
        >>> target = np.arange(8.0).reshape(4, 2)
        >>> linear_r2(target, [2 * target, np.ones((4, 2))])
        1.0
    """
    target, parts = np.asarray(target, dtype=float), [np.asarray(part, dtype=float) for part in parts]
    if len(target) < 2 or not parts or any(part.shape != target.shape for part in parts):
        raise ValueError(
            f"the target has shape {target.shape}, the parts {[part.shape for part in parts]}; "
            "there must be a part at least, all of one shape, and two tasks"
        )
    half = len(target) // 2
    columns, goal = np.stack([part[:half].ravel() for part in parts], -1), target[:half].ravel()
    theta = np.linalg.lstsq(columns, goal, rcond=1e-10)[0]
    return r_squared(target[half:], sum(size * part[half:] for size, part in zip(theta, parts, strict=True)))


class Knowledge(NamedTuple):
    """What the label block of a context point holds after each layer, as explained variance on held-out tasks, `(L,)`.

    Arguments:
        given: the label that it was given, from its copies.
        from_label: what the recursion thinks of its twin, a query at the same place, from the given label alone.
        from_block: the same from the given label and the copies.
    """

    given: np.ndarray
    from_label: np.ndarray
    from_block: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Of what the given label leaves open about the twin, the share that the block knows."""
        return (self.from_block - self.from_label) / (1 - self.from_label)


def knowledge(recursion: Recursion, batch: Batch, *, strangers: bool = False) -> Knowledge:
    r"""Does a context point know what it would be taken for?

    Every context point gets a twin, a query with the same features. The twin's answer :math:`f` is what the recursion
    thinks of that place without having been told the label; a method that corrects its errors on the context needs
    both the given label and this. We regress f of the twin on the label copies of the point (`linear_r2`).

    Arguments:
        recursion: with or without a memory.
        batch: tasks, half for the fit; their queries are not used.
        strangers: a control that reads the block of a point of another task instead.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> recursion = Recursion({"alpha": [[1.0]], "beta": 0.0, "gamma": 0.0, "delta": 1.0})
        >>> found = knowledge(recursion, LinearTask(n_points=20).sample(20))
        >>> bool(found.from_block[0] > 0.999)  # after one layer a point is its label plus what its twin is
        True
    """
    x, y = batch.context_x.cpu().numpy(), batch.context_y.cpu().numpy()
    n = y.shape[1]
    u = recursion.trajectory(np.concatenate([x, x], 1), y).u
    if not recursion.has_memory:
        u = u[..., None, :]  # (L + 1, B, 2 n, m, K)
    answer = np.tensordot(u[:, :, n:], np.atleast_1d(recursion.scale), (-2, 0))
    given = u[0, :, :n, 0]
    blocks = np.roll(u[:, :, :n], 1, 1) if strangers else u[:, :, :n]
    rows = []
    for level in range(1, len(u)):
        copies, twin = list(np.moveaxis(blocks[level], -2, 0)), answer[level]
        rows.append([linear_r2(given, copies), linear_r2(twin, [given]), linear_r2(twin, [given, *copies])])
    return Knowledge(*np.array(rows).T)


CONTENTS = ("label", "neighbour", "stranger")


def overwrite(
    recursion: Recursion,
    batch: Batch,
    levels: Iterable[int],
    content: str = "label",
    *,
    turned: bool = False,
    seed: int = 0,
) -> np.ndarray:
    r"""Logits of a recursion whose context points lose what they hold beside their given label.

    After each of some layers the label copies of context point j become

    .. math:: u_j^a \leftarrow \theta_a y_j + r^a, \qquad \theta_a y_j \approx u_j^a,

    :math:`\theta` by least squares, and r either 0 or what another point of the same label holds beside its own. Points
    and queries go on from there by the recursion. No basis of the copies is singled out.

    Arguments:
        recursion: with or without a memory.
        batch: labelled tasks.
        levels: numbers of layers done, 1 to L - 1, after each of which the points are overwritten.
        content: "label" leaves the label alone, r = 0; "neighbour" takes r from points of the same task, "stranger"
            from points of the whole batch, each point giving it to one other.
        turned: a control of equal size. After each layer it makes the change that the run without it makes there,
            turned by a rotation (or reflection) of the space of the classes, for each point another one and for all
            its copies the same.
        seed: who gives to whom, and the rotations.

    Returns:
        `(B, q, K)`.

    Raises:
        ValueError: a level is none of 1 to L - 1, no such content, or a point is unlabelled.

    Source: own; an interchange intervention, Geiger et al. (2021), arXiv 2106.02997.

    Example:
        >>> from icl_nb import LinearTask
        >>> recursion = Recursion({"alpha": [[1.0], [1.0]], "beta": 0.0, "gamma": 0.0, "delta": [[0.0], [1.0]]})
        >>> batch = LinearTask().sample(10, n_queries=2)
        >>> change = overwrite(recursion, batch, [1]) - recursion(batch.x, batch.context_y)
        >>> bool(np.abs(change).max() < 1e-9)  # after a layer that moves no label there is nothing else to lose
        True
    """
    rng, depth = np.random.default_rng(check_seed(seed)), len(recursion.table)
    levels = {check_count("a level", level, 1) for level in levels}
    if levels and max(levels) >= depth:
        raise ValueError(f"levels go up to {max(levels)}; after {depth} layers nobody reads the context any more")
    if content not in CONTENTS:
        raise ValueError(f"content={content!r}; it must be one of {CONTENTS}")
    y = batch.context_y.cpu().numpy()
    if (y < 0).any():
        raise ValueError("a point is unlabelled; there is no label that it could be left with")
    clean, n = recursion.trajectory(batch.x.cpu(), y), y.shape[1]
    first = min(levels, default=depth)
    # A control follows the straight run. Were its changes taken from its own points they would add up: what a turned
    # change leaves there is never taken away.
    runs = [(clean.x[first], clean.u[first])] * (2 if turned else 1)
    for level, layer in enumerate(recursion.at_length(n).table[first:], first):
        if level in levels:
            straight = runs[0][1]
            usual, now, given = (
                _with_copies(part[:, :n], recursion) for part in (clean.u[level], straight, clean.u[0])
            )
            label = np.einsum("bjak,bjk->a", usual, given[:, :, 0])[:, None] * given[:, :, :1] / (given**2).sum()
            changes = [_exchanged(now - label, y, content, rng) - (now - label)]
            if turned:
                changes.append(changes[0] @ _rotations(now.shape[:2], now.shape[-1], rng))
            runs = [(x, _moved(u, change)) for (x, u), change in zip(runs, changes, strict=True)]
        runs = [quick_step(layer, x, u, n) for x, u in runs]
    _, u = runs[-1]
    return recursion.read_out(u[:, n:])


def _with_copies(u: np.ndarray, recursion: Recursion) -> np.ndarray:  # (B, n, m, K), of a recursion of either kind
    return u if recursion.has_memory else u[:, :, None]


def _moved(u: np.ndarray, change: np.ndarray) -> np.ndarray:  # by (B, n, m, K), the context points alone
    n = change.shape[1]
    return np.concatenate([u[:, :n] + change.reshape(u[:, :n].shape), u[:, n:]], 1)


def _exchanged(rest: np.ndarray, y: np.ndarray, content: str, rng: np.random.Generator) -> np.ndarray:
    """The same numbers `(B, n, m, K)`, each with another point of its label in its task, or in all; or none at all."""
    if content == "label":
        return np.zeros_like(rest)
    group = y if content == "stranger" else y + (y.max() + 1) * np.arange(len(y))[:, None]
    takes = np.empty(group.size, dtype=int)
    takes[np.argsort(group, axis=None, kind="stable")] = np.lexsort((rng.random(group.size), group.ravel()))
    return rest.reshape(group.size, *rest.shape[2:])[takes].reshape(rest.shape)


def _rotations(shape: tuple[int, int], k: int, rng: np.random.Generator) -> np.ndarray:
    """Random orthogonal matrices of the K-dimensional space that keep a sum of zero, `(*shape, K, K)`."""
    q, r = np.linalg.qr(rng.normal(size=(*shape, k - 1, k - 1)))
    q *= np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]  # so that none is more likely than another
    basis = np.zeros((k, k - 1))  # of the vectors whose entries sum to 0
    for c in range(k - 1):
        basis[: c + 1, c], basis[c + 1, c] = 1, -(c + 1)
    basis /= np.linalg.norm(basis, axis=0)
    return basis @ q @ basis.T


def explain_answer(
    recursion: Recursion, batch: Batch, rivals: dict[str, Rival] = RIVALS
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    r"""How well each rival of `icl_nb.interpret.rivals` explains the moves of the answer f, layer by layer.

    A rival sees the first copy of the features and f, and is fitted in each layer anew on half of the tasks. Two rows
    more are given all copies, and are linear in them (`linear_r2`, temperatures by a search over five):

    .. math:: \sum_j (\theta_{ab} y_j + \theta'_{ab}\, \mathrm{softmax}(\tau f_j)) \langle x_j^b, x_*^a \rangle,
        \qquad \sum_j \theta_{abc}\, u_j^c \langle x_j^b, x_*^a \rangle
            + \theta'_{abc}\, u_j^c \langle u_j^b, u_*^a \rangle,

    gradient descent in function space with any kernel of the copies, and an attention without softmax.

    Arguments:
        recursion: with or without a memory.
        batch: tasks; the first half is for fitting, the second for the scores.
        rivals: by name.

    Returns:
        R^2 by name, `(L,)` each; and the share of each layer in all that f moves, `(L,)`.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> recursion = Recursion({"alpha": [[0.5], [1.0]], "beta": 2.0, "gamma": 0.3, "delta": 0.5})
        >>> r2, motion = explain_answer(recursion, LinearTask().sample(30), {"coupled": RIVALS["coupled"]})
        >>> bool(r2["coupled"].min() > 0.999), round(float(motion.sum()), 9)
        (True, 1.0)
    """
    n, half = batch.context_y.shape[1], len(batch) // 2
    path = recursion.trajectory(batch.x.cpu(), batch.context_y.cpu())
    x, u = path.x, path.u
    if not recursion.has_memory:
        x, u = x[..., None, :], u[..., None, :]
    answer = np.tensordot(u, np.atleast_1d(recursion.scale) / np.atleast_1d(recursion.scale)[0], (-2, 0))
    given = u[0, :, :n, 0]
    labelled = batch.context_y.cpu().numpy() >= 0
    hot = (given + 1 / batch.n_classes) * labelled[..., None]
    r2 = {name: walk(rival, x[..., 0, :], answer, hot, half, on_path=True).label for name, rival in rivals.items()}
    moves = np.diff(answer[:, :, n:], axis=0)
    r2["gradient, all copies"], r2["linear attention, all copies"] = (np.zeros(len(moves)) for _ in range(2))
    for level, move in enumerate(moves):
        points, labels = np.moveaxis(x[level], -2, 0), np.moveaxis(u[level], -2, 0)  # m of (B, N, d) and (B, N, K)
        seen = [(now[:, n:], then[:, :n]) for now in points for then in points]
        heard = [(now[:, n:], then[:, :n]) for now in labels for then in labels]
        carried = [copy[:, :n] for copy in labels]
        attention = [now @ (then.mT @ value) for now, then in seen + heard for value in carried]
        r2["linear attention, all copies"][level] = linear_r2(move, attention)
        fits = []
        for temperature in (0.5, 1, 2, 4, 8):
            # Centred, as the given label is: a residual of theirs sums to 0, as every move of the answer does.
            guess = (softmax(temperature * answer[level, :, :n], -1) - 1 / batch.n_classes) * labelled[..., None]
            fits.append(linear_r2(move, [now @ (then.mT @ value) for now, then in seen for value in (given, guess)]))
        r2["gradient, all copies"][level] = max(fits)
    motion = (moves[:, half:] ** 2).sum((1, 2, 3))
    return r2, motion / motion.sum()
