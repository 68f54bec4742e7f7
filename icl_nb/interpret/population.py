r"""What a table of scalars does to a context without end: the law of chapter 7, from W and the table alone.

Let E be the span of the differences of the class vectors, k <= K - 1 its dimension, and split a point into its parts
`a` in E and `b` across it. With infinitely many points N(0, I), in every layer of every table of scalars,

.. math:: b_t = g_t\, b_0, \qquad g_{t+1} = g_t \Bigl(1 + \sum_h \gamma_h \alpha_h g_t^2\Bigr)

while :math:`(a_t, u_t)` obey the recursion itself in dimension k, whatever d is. Nothing is measured and nothing
restarted. Letters: N nodes of the quadrature, q queries, otherwise those of `icl_nb.recursion`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import qmc

from icl_nb.checks import check_fraction
from icl_nb.recursion import SCALARS, Recursion

Array = np.ndarray

REACH = 8.0  # how far from 0 nodes go; a normal deviate is further out with probability 1.2e-15


class Law(NamedTuple):
    """A standard normal point and its label, as far as labels see it, in nodes and weights."""

    points: Array  # coordinates in E, (N, k)
    labels: Array  # (N,)
    weights: Array  # (N,), of sum 1
    basis: Array  # orthonormal rows that span E, (k, d)


class PopulationPath(NamedTuple):
    """All that moves, before and after each layer, in a context without end; with memory a copy axis before the last.

    Across E each point is its first value times `growth`.
    """

    x: Array  # nodes in E, (L + 1, N, k)
    u: Array  # their labels, (L + 1, N, K)
    query_x: Array  # (L + 1, q, k)
    query_u: Array  # (L + 1, q, K)
    growth: Array  # (L + 1,), with memory (L + 1, m)


def class_space(w: ArrayLike) -> Array:
    r"""Orthonormal rows `(k, d)` that span the differences of class vectors w `(K, d)`: all that a label depends on.

    By Gram and Schmidt on :math:`w_1 - w_2, w_1 - w_3, \dots`, so that no library's choice of a basis shows: for two
    classes the first has its points at positive coordinates.

    Arguments:
        w: `(K, d)`.

    Raises:
        ValueError: w is no matrix of at least two rows, holds NaN or infinity, or all rows are equal.

    Source: textbook.

    Example:
        >>> class_space([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        array([[1., 0., 0.]])
    """
    w = np.asarray(w, float)
    if w.ndim != 2 or len(w) < 2 or not np.isfinite(w).all():
        raise ValueError(f"w has shape {w.shape}; it must be a finite matrix (K, d) of at least two rows")
    rows: list[Array] = []
    for difference in w[0] - w[1:]:
        rest = difference.copy()
        for _ in range(2):  # the second time takes away what rounding left
            for row in rows:
                rest -= (rest @ row) * row
        length = np.linalg.norm(rest)
        if length > 1e-10 * max(np.linalg.norm(difference), 1e-300):
            rows.append(rest / length)
    if not rows:
        raise ValueError("all rows of w are equal, so every label is a tie")
    return np.stack(rows)


def population_law(w: ArrayLike, *, radial: int = 16, angular: int = 12, seed: int = 0) -> Law:
    r"""The law of a point N(0, I) within E, and its label :math:`\arg\max_c \langle w_c, x \rangle`.

    Gauss-Legendre nodes on both half-lines for k = 1, and for k = 2 polar ones within each class's sector, so that no
    jump of the labels lies between nodes. From k = 3 on `radial * angular` points of a scrambled Sobol sequence.

    Arguments:
        w: class vectors, `(K, d)`.
        radial: nodes along a ray, from 0 to `REACH`.
        angular: nodes across a sector of a third of the circle; wider and narrower ones have more and fewer.
        seed: of the Sobol sequence.

    Raises:
        ValueError: w is not as `class_space` needs it, or a number of nodes is below 2.

    Source: own; the quadratures are textbook.

    Example:
        >>> law = population_law(np.eye(3))
        >>> law.basis.shape, [round(float(law.weights[law.labels == c].sum()), 10) for c in range(3)]
        ((2, 3), [0.3333333333, 0.3333333333, 0.3333333333])
    """
    basis = class_space(w)
    if radial < 2 or angular < 2:
        raise ValueError(f"radial={radial}, angular={angular}; take at least two nodes each")
    inner = np.asarray(w, float) @ basis.T  # (K, k)
    r, r_weight = _legendre(0.0, REACH, radial)
    r_weight = r_weight * np.exp(-(r**2) / 2)
    if len(basis) == 1:
        points = np.concatenate([r, -r])[:, None]
        weights = np.concatenate([r_weight, r_weight])
    elif len(basis) == 2:
        directions, turns = [], []
        for low, high in _sectors(inner):
            theta, weight = _legendre(low, high, max(2, round(angular * (high - low) / (2 * np.pi / 3))))
            directions.append(np.stack([np.cos(theta), np.sin(theta)], -1))
            turns.append(weight)
        directions, turns = np.concatenate(directions), np.concatenate(turns)
        points = (r[:, None, None] * directions).reshape(-1, 2)
        weights = ((r * r_weight)[:, None] * turns).ravel()
    else:
        count = 2 ** int(np.ceil(np.log2(radial * angular)))
        uniform = qmc.Sobol(len(basis), rng=np.random.default_rng(seed)).random(count)
        points, weights = ndtri(np.clip(uniform, 1e-15, 1 - 1e-15)), np.ones(count)
    return Law(points, (points @ inner.T).argmax(-1), weights / weights.sum(), basis)


def noisy(law: Law, noise: float) -> Law:
    r"""The same points, each under every label: its own with weight 1 - eta, the others with eta / (K - 1) each.

    Arguments:
        law: of points; K is the number of its labels, 2 at least.
        noise: eta in [0, 1).

    Raises:
        ValueError: eta out of range, or a law of one label.

    Source: own.

    Example:
        >>> law = noisy(population_law([[1.0], [-1.0]]), 0.25)
        >>> float(law.weights[(law.points[:, 0] > 0) == (law.labels == 0)].sum().round(9))
        0.75
    """
    noise, classes = check_fraction("noise", noise), int(law.labels.max()) + 1
    if classes < 2:
        raise ValueError("the law has one label; noise needs another one")
    labels = (law.labels + np.arange(classes)[:, None]) % classes  # the first row is as it was
    shares = np.where(np.arange(classes)[:, None] == 0, 1 - noise, noise / (classes - 1))
    weights = shares * law.weights
    kept = np.broadcast_to(shares > 0, weights.shape)
    points = np.broadcast_to(law.points, (classes, *law.points.shape))
    return law._replace(points=points[kept], labels=labels[kept], weights=weights[kept])


def growth(recursion: Recursion, variance: float = 1.0) -> Array:
    r"""g_t, `(L + 1,)`: what the layers make of a point's part across E, from :math:`g_0 = 1` on.

    With memory one for each copy, `(L + 1, m)`:
    :math:`g \leftarrow g + \sigma^2 \sum_h (g^T \alpha_h g)\, \gamma_h g` from :math:`g_0 = (1, 0, \dots)` on.

    Arguments:
        recursion: any table of scalars.
        variance: :math:`\sigma^2` of the features in a direction across E, if it is an eigenvector of their covariance
            and E is spanned by others.

    Raises:
        ValueError: the recursion has slopes, or the variance is not positive.

    Source: own, chapter 7.

    Example:
        >>> growth(Recursion({"alpha": [[-0.5], [-0.5]], "beta": 0, "gamma": 1, "delta": 0})).tolist()
        [1.0, 0.5, 0.4375]
    """
    if not 0 < variance < np.inf:
        raise ValueError(f"variance={variance!r}; it must be positive and finite")
    g = np.eye(recursion.copies)[0]
    path = [g]
    for alpha, _, gamma, _ in _matrices(recursion):
        g = g + variance * sum((g @ a @ g) * (c @ g) for a, c in zip(alpha, gamma, strict=True))
        path.append(g)
    path = np.stack(path)
    return path if recursion.has_memory else path[:, 0]


def population_path(recursion: Recursion, law: Law, queries: ArrayLike | None = None) -> PopulationPath:
    r"""The population law: where the layers take nodes and queries, if the context has infinitely many points.

    .. math:: a \leftarrow a + \sum_h \gamma_h
        \frac{E[a' e^{\alpha_h \langle a, a' \rangle + \beta_h \langle u, u' \rangle}]}
        {E[e^{\alpha_h \langle a, a' \rangle + \beta_h \langle u, u' \rangle}]}

    and likewise u with delta; the mean is over the law as the layers before have moved it.

    Arguments:
        recursion: any table of scalars, with memory or without.
        law: of the points; its labels must be below the recursion's K.
        queries: their parts in E, `(q, k)`: `x @ law.basis.T` of points x `(q, d)`.

    Raises:
        ValueError: the law has a label that the recursion has not, queries have not k coordinates, or the recursion
            has slopes.

    Source: own, chapter 7.

    Example:
        >>> table = {"alpha": [[-0.5]], "beta": 50, "gamma": 1, "delta": 0}
        >>> law = population_law([[1.0], [-1.0]])
        >>> path = population_path(Recursion(table, n_classes=2), law)
        >>> population_separation(path, law, 1).round(2).tolist()  # half the spread, and the mean grows
        [1.75, 7.95]
    """
    k, m, size = law.points.shape[1], recursion.copies, len(law.points)
    queries = np.zeros((0, k)) if queries is None else np.asarray(queries, float)
    if queries.ndim != 2 or queries.shape[1] != k:
        raise ValueError(f"queries have shape {queries.shape}; they must be (q, {k}), coordinates within E")
    if law.labels.max() >= recursion.n_classes:
        raise ValueError(f"the law has a label {law.labels.max()}, and the recursion K={recursion.n_classes}")
    x = np.concatenate([law.points, queries])[:, None] * np.eye(m)[0][:, None]
    labels = np.zeros((len(x), recursion.n_classes))
    labels[:size] = np.eye(recursion.n_classes)[law.labels] - 1 / recursion.n_classes
    u = labels[:, None] * np.eye(m)[0][:, None]
    xs, us = [x], [u]
    for layer in _matrices(recursion):
        x, u = weighted_step(layer, x, u, law.weights)
        xs.append(x), us.append(u)
    xs, us = np.stack(xs), np.stack(us)
    if recursion.table.alpha.ndim == 2:
        xs, us = xs[:, :, 0], us[:, :, 0]
    return PopulationPath(xs[:, :size], us[:, :size], xs[:, size:], us[:, size:], growth(recursion))


def weighted_step(layer: tuple, x: Array, u: Array, weights: Array) -> tuple[Array, Array]:
    r"""One layer in which context point j counts `weights[j]` times.

    .. math:: A_{ij} \propto \omega_j \exp \sum_{ab} (\alpha_{ab} \langle x_i^a, x_j^b \rangle
        + \beta_{ab} \langle u_i^a, u_j^b \rangle)

    Arguments:
        layer: alpha, beta, gamma and delta, each `(H, m, m)`.
        x: points, the context first, `(N + q, m, k)`.
        u: labels, `(N + q, m, K)`.
        weights: of the context points, `(N,)`, positive.

    Returns:
        x and u after the layer.

    Source: own; `icl_nb.recursion.memory_step` with weights.

    Example:
        >>> one = [np.full((1, 1, 1), value) for value in (0.0, 0.0, -1.0, 0.0)]
        >>> x, u = weighted_step(one, np.array([[[1.0]], [[5.0]]]), np.zeros((2, 1, 2)), np.array([3.0, 1.0]))
        >>> x.ravel().tolist()  # without scores everyone loses the weighted mean
        [-1.0, 3.0]
    """
    size, rows = len(weights), len(x)
    points, labels = x[:size].reshape(size, -1), u[:size].reshape(size, -1)
    move_x, move_u = np.zeros_like(x), np.zeros_like(u)
    for alpha, beta, gamma, delta in zip(*layer, strict=True):
        scores = np.einsum("iak,ab->ibk", x, alpha).reshape(rows, -1) @ points.T
        scores += np.einsum("iak,ab->ibk", u, beta).reshape(rows, -1) @ labels.T
        A = weights * np.exp(scores - scores.max(-1, keepdims=True))
        A /= A.sum(-1, keepdims=True)
        move_x += np.einsum("ab,ibk->iak", gamma, (A @ points).reshape(x.shape))
        move_u += np.einsum("ab,ibk->iak", delta, (A @ labels).reshape(u.shape))
    return x + move_x, u + move_u


def population_separation(path: PopulationPath, law: Law, n_features: int, *, copy: int = 0) -> Array:
    r"""Separation by layer, `(L + 1,)`: what `separation` of a context tends to as it grows, in d features.

    .. math:: \frac{\sum_c p_c \|\mu_c - \bar a\|^2}{E \|a_t - \mu_y\|^2 + (d - k)\, g_t^2}

    With memory that of one copy; infinite where nothing is left within classes.

    Arguments:
        path: of `population_path`.
        law: its law.
        n_features: d, at least k.
        copy: which, with a memory, counted from 0.

    Raises:
        ValueError: fewer features than E has dimensions.

    Source: own, chapter 7.

    Example:
        >>> law = population_law([[1.0, 0.0], [-1.0, 0.0]])
        >>> path = population_path(Recursion({"alpha": [[0.0]], "beta": 0, "gamma": 0, "delta": 0}, n_classes=2), law)
        >>> population_separation(path, law, 2).round(4).tolist()  # (2 / pi) / (2 - 2 / pi)
        [0.4669, 0.4669]
    """
    k = law.points.shape[1]
    if n_features < k:
        raise ValueError(f"n_features={n_features}; the classes span {k} dimensions")
    x, g = (path.x[:, :, copy], path.growth[:, copy]) if path.growth.ndim == 2 else (path.x, path.growth)
    member = np.eye(law.labels.max() + 1)[law.labels] * law.weights[:, None]  # (N, K)
    shares = member.sum(0)
    means = np.einsum("nc,tnk->tck", member, x) / np.where(shares > 0, shares, 1)[:, None]
    centred = means - np.einsum("c,tck->tk", shares, means)[:, None]
    between = np.einsum("c,tck->t", shares, centred**2)
    within = np.einsum("n,tnk->t", law.weights, (x - means[:, law.labels]) ** 2) + (n_features - k) * g**2
    return np.divide(between, within, out=np.full_like(between, np.inf), where=within > 0)


def population_accuracy(recursion: Recursion, law: Law, queries: Law) -> Array:
    """Share of queries that are answered rightly, read out before and after each layer, `(L + 1,)`.

    Queries are a law too: `population_law` with more nodes across the sectors, since what counts is which of them lie
    on the wrong side. Nothing is read from a query before the first layer, whose answer is a tie: no class is right.

    Example:
        >>> law = population_law(np.eye(3))
        >>> table = {"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1}
        >>> population_accuracy(Recursion(table), law, law).round(6).tolist()  # T8: equal scores, one layer
        [0.0, 1.0]
    """
    path = population_path(recursion, law, queries.points)
    logits = recursion.read_out(path.query_u)
    others = np.where(np.eye(logits.shape[-1], dtype=bool)[queries.labels], -np.inf, logits).max(-1)
    own = logits[:, np.arange(len(queries.labels)), queries.labels]
    return (queries.weights * (own > others)).sum(-1)


def own_class_mass(law: Law, alpha: float) -> float:
    r"""P3: the attention that points N(0, I) pay to their own class in a layer that does not see labels.

    .. math:: \sum_c P(y = y' = c) \ge \sum_c p_c^2 + \rho \sum_c \|v_c\|^2, \qquad \rho = \alpha / \sqrt{1 + \alpha^2}

    where the points of the pair are normal with correlation :math:`\rho`; for two classes it is
    :math:`1/2 + \arcsin(\rho) / \pi`. The inequality holds for alpha >= 0, with :math:`v_c = E[x 1\{y = c\}]`.

    Arguments:
        law: of `population_law`.
        alpha: of the layer.

    Source: own, chapter 7, P3.

    Example:
        >>> law = population_law([[1.0, 0.0], [0.0, 0.0]], radial=60)
        >>> round(own_class_mass(law, 1.0), 6)  # arcsin(1 / sqrt(2)) is a quarter of pi
        0.75
    """
    scores = alpha * law.points @ law.points.T
    A = law.weights * np.exp(scores - scores.max(-1, keepdims=True))
    A /= A.sum(-1, keepdims=True)
    own = (A * (law.labels[:, None] == law.labels)).sum(-1)
    return float(law.weights @ own)


def _matrices(recursion: Recursion) -> list[tuple]:
    """The four scalars of each layer, each (H, m, m).

    Raises:
        ValueError: the scalars have slopes.
    """
    if recursion.slopes is not None:
        raise ValueError("the scalars grow with the context, and have no limit; take recursion.at_length(n)")
    depth, heads = recursion.table.shape
    m = recursion.copies
    return [
        tuple(recursion.table[name][t].reshape(heads, m, m) for name in SCALARS) for t in range(depth)
    ]  # fmt: skip


def _legendre(low: float, high: float, count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


def _sectors(inner: Array) -> list[tuple[float, float]]:
    """Where in the plane the label does not change: angles from and to, for class vectors (K, 2)."""
    first, second = np.triu_indices(len(inner), 1)
    normal = inner[first] - inner[second]
    ties = np.arctan2(normal[:, 0], -normal[:, 1])  # a direction along which the two scores are equal
    angles = np.unique(np.concatenate([ties, ties + np.pi]) % (2 * np.pi))
    middle = (angles + np.append(angles[1:], angles[0] + 2 * np.pi)) / 2
    label = (inner @ np.stack([np.cos(middle), np.sin(middle)])).argmax(0)
    starts = angles[label != np.roll(label, 1)]
    if len(starts) == 0:  # one class wins everywhere
        return [(0.0, 2 * np.pi)]
    return list(zip(starts, np.append(starts[1:], starts[0] + 2 * np.pi), strict=True))
