r"""How far apart the classes are, as measured, and as chapter 6 proves that it must change from layer to layer.

With class means :math:`\mu_c`, shares :math:`p_c` and the overall mean :math:`\bar x` of the context points,

.. math:: S_B = \sum_c p_c (\mu_c - \bar x)(\mu_c - \bar x)^T, \qquad
    S_W = \frac1n \sum_i (x_i - \mu_{y_i})(x_i - \mu_{y_i})^T

T1 to T8 are the theorems of chapter 6. Letters: n context points, d features, K classes, L layers, H heads; `*` stands
for any leading axes, tasks for instance. Throughout, `x (*, n, d)` are points (label blocks serve as well), `y (*, n)`
their classes in `0..K-1`, `n_classes` is K, and a `table` is that of a `Recursion`, or a mapping with the same names.
Results are float64. Bad shapes, values that are not finite and labels outside `0..K-1` raise a ValueError.

Source: scatter, Fisher ratio and mixtures are textbook; the theorems and what is measured against them are own, and
chapter 6 has the proofs, `tests/interpret/test_separation.py` a slow reference for each function.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtr, softmax

from icl_nb.recursion import SCALARS

Array = np.ndarray


Table = np.recarray | Mapping[str, ArrayLike]


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(120)  # for means over a standard normal


_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def class_means(x: ArrayLike, y: ArrayLike, n_classes: int) -> tuple[Array, Array]:
    r"""Means :math:`\mu_c`, `(*, K, d)` (of all points for a missing class), shares :math:`p_c = n_c / n`, `(*, K)`.

    Example:
        >>> class_means([[1.0], [3.0], [8.0], [8.0]], [0, 0, 1, 1], 2)
        (array([[2.], [8.]]), array([0.5, 0.5]))
    """
    x, y = _points(x, y, n_classes)
    member = (y[..., None] == np.arange(n_classes)).astype(float)  # (*, n, K)
    counts = member.sum(-2)
    means = np.swapaxes(member, -1, -2) @ x / np.maximum(counts, 1)[..., None]
    return np.where(counts[..., None] > 0, means, x.mean(-2, keepdims=True)), counts / x.shape[-2]


def between_scatter(means: ArrayLike, shares: ArrayLike) -> Array:
    r""":math:`S_B`, `(*, d, d)`, of class means `(*, K, d)` with shares `(*, K)`.

    Example:
        >>> between_scatter([[-1.0], [1.0]], [0.5, 0.5])
        array([[1.]])
    """
    means, shares = np.asarray(means, float), np.asarray(shares, float)[..., None]
    centred = means - (shares * means).sum(-2, keepdims=True)
    return np.swapaxes(centred, -1, -2) @ (shares * centred)


def scatter(x: ArrayLike, y: ArrayLike, n_classes: int) -> tuple[Array, Array]:
    r""":math:`S_B` and :math:`S_W`, each `(*, d, d)`.

    Example:
        >>> scatter([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1], 2)
        (array([[25.]]), array([[1.]]))
    """
    x, y = _points(x, y, n_classes)
    means, shares = class_means(x, y, n_classes)
    deviation = x - np.take_along_axis(means, y[..., None], -2)
    return between_scatter(means, shares), np.swapaxes(deviation, -1, -2) @ deviation / x.shape[-2]


def separation(x: ArrayLike, y: ArrayLike, n_classes: int) -> Array:
    r"""Separation, :math:`\operatorname{tr} S_B / \operatorname{tr} S_W`, `(*)`; infinite where classes are points.

    Example:
        >>> separation([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1], 2).item()
        25.0
    """
    between, within = (_trace(part) for part in scatter(x, y, n_classes))
    return np.divide(between, within, out=np.full_like(between, np.inf), where=within > 0)


def fisher_ratio(x: ArrayLike, y: ArrayLike, n_classes: int) -> Array:
    r"""Fisher ratio, :math:`\operatorname{tr}(S_W^{-1} S_B)`, `(*)`, which no affine map moves; needs S_W invertible.

    Raises:
        ValueError: a direction has no within-class scatter.

    Example:
        >>> fisher_ratio([[0.0], [2.0], [10.0], [12.0]], [0, 0, 1, 1], 2).item()
        25.0
    """
    between, within = scatter(x, y, n_classes)
    spectrum = np.linalg.eigvalsh(within)
    if (spectrum[..., 0] <= 1e-14 * spectrum[..., -1]).any():
        raise ValueError("a direction has no within-class scatter, so the Fisher ratio is not defined")
    return _trace(np.linalg.solve(within, between))


def own_class_attention(attention: ArrayLike, y: ArrayLike, n_classes: int) -> tuple[Array, Array]:
    r"""The attention that classes pay to themselves, and its excess over chance, each `(*, K)`.

    .. math:: \pi_c = \frac{1}{n_c} \sum_{y_i = c} \sum_{y_j = c} A_{ij}, \qquad
        \rho_c = \frac{\pi_c - p_c}{1 - p_c}

    for attention `(*, N, n)`, the context first (`y[:, None]` for attention `(B, H, N, n)`). A class without points has
    both 0, a class of all points has rho 0.

    Raises:
        ValueError: fewer rows than columns, or a row that does not sum to 1.

    Example:
        >>> pi, rho = own_class_attention([[0.9, 0.1], [0.3, 0.7]], [0, 1], 2)
        >>> pi, rho.round(2)
        (array([0.9, 0.7]), array([0.8, 0.4]))
    """
    attention = np.asarray(attention, float)
    if attention.ndim < 2 or attention.shape[-2] < attention.shape[-1]:
        raise ValueError(f"attention has shape {attention.shape}; it must be (*, N, n) with a row for every column")
    rows = attention[..., : attention.shape[-1], :]
    if not np.allclose(rows.sum(-1), 1, atol=1e-4):
        raise ValueError("a row of the attention does not sum to 1")
    _, y = _points(rows, y, n_classes)
    own = (rows * (y[..., :, None] == y[..., None, :])).sum(-1)
    pi, shares = class_means(own[..., None], y, n_classes)
    pi = np.where(shares > 0, pi[..., 0], 0.0)
    inside = (shares > 0) & (shares < 1)
    return pi, np.where(inside, (pi - shares) / np.where(inside, 1 - shares, 1.0), 0.0)


def alignment(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    r"""Means over i != j of :math:`\langle x_i, x_j \rangle 1\{y_i = y_j\}` and of the same for different classes.

    Unbiased estimates, `(*)`, of what T2 predicts to be `expected_alignment` and its negative. Needs n > 1.

    Raises:
        ValueError: fewer than two points.

    Example:
        >>> same, different = alignment([[1.0], [2.0], [-3.0], [0.0]], [0, 0, 1, 1])
        >>> round(float(same), 3), round(float(different), 3)
        (0.333, -1.5)
    """
    n_classes = int(np.max(y)) + 1
    x, y = _points(x, y, n_classes)
    n = x.shape[-2]
    if n < 2:
        raise ValueError("alignment compares pairs of points; give at least two")
    means, shares = class_means(x, y, n_classes)
    itself = (x**2).sum((-1, -2))
    same = ((n * shares[..., None] * means) ** 2).sum((-1, -2)) - itself
    every = (x.sum(-2) ** 2).sum(-1) - itself
    return same / (n * (n - 1)), (every - same) / (n * (n - 1))


def cross_alignment(x: ArrayLike, y: ArrayLike, other_x: ArrayLike, other_y: ArrayLike, n_classes: int) -> Array:
    r"""Mean of :math:`\langle x_i, x'_j \rangle 1\{y_i = y'_j\}` over all pairs of one point from each of two groups.

    As `alignment`, `(*)`, but pairs never lie within a group, so that one side may carry noisy labels and the other
    clean ones.

    Arguments:
        x: the points of one group, `(*, n, d)`.
        y: their classes, `(*, n)`.
        other_x: those of the other, `(*, n', d)`.
        other_y: their classes, `(*, n')`.
        n_classes: K

    Raises:
        ValueError: the two groups do not have equally many features.

    Example:
        >>> cross_alignment([[1.0], [2.0]], [0, 1], [[3.0], [5.0]], [0, 0], 2).item()  # (1 * 3 + 1 * 5) / 4
        2.0
    """
    groups = class_means(x, y, n_classes), class_means(other_x, other_y, n_classes)
    if groups[0][0].shape[-1] != groups[1][0].shape[-1]:
        raise ValueError(f"points have {groups[0][0].shape[-1]} and {groups[1][0].shape[-1]} features; need as many")
    sums = [means * shares[..., None] for means, shares in groups]
    return (sums[0] * sums[1]).sum((-1, -2))


def tilt_moments(query: ArrayLike, alpha: float, n_points: int) -> tuple[Array, Array]:
    r"""T1: mean `(*, d)` and covariance `(*, d, d)` of attention over n points of N(0, I), to first order in 1/n.

    .. math:: \Bigl(1 - \frac{e^{\tau^2}}{n}\Bigr) \alpha x_*, \qquad
        \frac{e^{\tau^2}}{n} \bigl(I + \alpha^2 x_* x_*^T\bigr), \qquad \tau = |\alpha|\, \|x_*\|

    for a query `(*, d)`. Good where :math:`e^{\tau^2} \ll n`; beyond :math:`\tau = \sqrt{2 \log n}` no attention
    reaches the limit :math:`\alpha x_*`.

    Raises:
        ValueError: n_points is below 1.

    Example:
        >>> mean, covariance = tilt_moments([1.0, 0.0], 0.5, 1000)
        >>> mean.round(4), covariance.round(4).tolist()
        (array([0.4994, 0.    ]), [[0.0016, 0.0], [0.0, 0.0013]])
    """
    if n_points < 1:
        raise ValueError(f"n_points={n_points}; it must be at least 1")
    shift = alpha * np.asarray(query, float)
    factor = np.exp((shift**2).sum(-1, keepdims=True)) / n_points
    stretched = np.eye(shift.shape[-1]) + shift[..., :, None] * shift[..., None, :]
    return (1 - factor) * shift, factor[..., None] * stretched


def expected_alignment(w: ArrayLike, noise: Sequence[float] = (0.0, 0.0)) -> Array:
    r"""T2: :math:`E[\langle x_j, x_* \rangle 1\{y_j = y_*\}]`, `(*)`, for points N(0, I) and labels argmax.

    .. math:: \prod_{\eta} \Bigl(1 - \tfrac{K \eta}{K - 1}\Bigr) \times \begin{cases} 1 / \pi & K = 2 \\
        (3 + \cos \phi_1 + \cos \phi_2 + \cos \phi_3) / (4 \pi) & K = 3 \\
        \omega_K^2 / (K - 1) & \text{rows of W equidistant} \end{cases}

    with the angles of the triangle whose corners are the rows of W, and the mean of the largest of K standard normals,
    :math:`\omega_K = K \int t\, \Phi(t)^{K-1} \varphi(t)\, dt`.

    Arguments:
        w: `(*, K, d)`.
        noise: probability eta that a label is replaced by one of the others, for the first and the second of the pair.

    Raises:
        ValueError: two rows coincide, or K > 3 and the rows are not equidistant (no closed form).

    Example:
        >>> [round(float(expected_alignment(np.eye(k))), 4) for k in (2, 3, 4)]
        [0.3183, 0.3581, 0.3532]
    """
    w = np.asarray(w, float)
    n_classes = w.shape[-2]
    length = np.linalg.norm(w[..., None, :, :] - w[..., :, None, :], axis=-1)  # (*, K, K)
    sides = length[..., *np.triu_indices(n_classes, 1)]
    if n_classes < 2 or (sides <= 0).any():
        raise ValueError("two classes have the same vector, or there is only one")
    factor = np.prod(1 - n_classes * np.asarray(noise, float) / (n_classes - 1))
    if n_classes == 3:
        squares, product = sides**2, sides.prod(-1, keepdims=True)
        cosines = sides * (squares.sum(-1, keepdims=True) - 2 * squares) / (2 * product)
        return factor * (3 + cosines.sum(-1)) / (4 * np.pi)
    if not np.allclose(sides, sides[..., :1], rtol=1e-9):
        raise ValueError(f"for K={n_classes} > 3 there is a closed form only where all rows of w are equally far apart")
    omega = n_classes * (_WEIGHTS * _NODES * ndtr(_NODES) ** (n_classes - 1)).sum()
    return np.full(w.shape[:-2], factor * omega**2 / (n_classes - 1))


def label_only_attention(beta: ArrayLike, shares: ArrayLike) -> tuple[Array, Array]:
    r"""T3: pi and rho, each `(*, K)`, where scores are :math:`\beta \langle u_i, u_j \rangle` with fresh labels.

    .. math:: \pi_c = \frac{p_c e^\beta}{1 - p_c + p_c e^\beta}, \qquad
        \rho_c = \frac{p_c (e^\beta - 1)}{1 + p_c (e^\beta - 1)}

    for beta `(*)` and shares `(*, K)`; a class of all points has rho 0.

    Example:
        >>> pi, rho = label_only_attention(np.log(4), [0.5, 0.25, 0.25])
        >>> pi.round(3), rho.round(3)
        (array([0.8  , 0.571, 0.571]), array([0.6  , 0.429, 0.429]))
    """
    beta, shares = np.asarray(beta, float)[..., None], np.asarray(shares, float)
    pi = expit(beta + logit(shares))
    return pi, np.where(shares < 1, (pi - shares) / np.where(shares < 1, 1 - shares, 1.0), 0.0)


class Mixture(NamedTuple):
    """A context as the mixture lemma, T4 and T5 see it: Gaussian classes with one covariance."""

    means: Array  # (*, K, d)
    labels: Array  # label block of each class, (*, K, K)
    shares: Array  # (*, K)
    covariance: Array  # within each class, (*, d, d)


def attention_posterior(x: ArrayLike, u: ArrayLike, context: Mixture, alpha: float, beta: float) -> Array:
    r"""T5: the attention that readers x `(*, m, d)` with labels u `(*, m, K)` pay to each class, `(*, m, K)`.

    .. math:: \pi_k = \mathrm{softmax}_k \bigl(
        \log p_k + \alpha \langle x, \mu_k \rangle + \beta \langle u, \bar u_k \rangle \bigr)

    Example:
        >>> context = Mixture(np.array([[1.0], [-1.0]]), np.eye(2) - 0.5, np.array([0.5, 0.5]), np.eye(1))
        >>> attention_posterior([[0.5]], [[0.0, 0.0]], context, 2.0, 1.0).round(3)
        array([[0.881, 0.119]])
    """
    with np.errstate(divide="ignore"):  # a class without points has no say
        prior = np.log(context.shares)[..., None, :]
    scores = alpha * (np.asarray(x, float) @ np.swapaxes(context.means, -1, -2))
    return softmax(prior + scores + beta * (np.asarray(u, float) @ np.swapaxes(context.labels, -1, -2)), axis=-1)


def mixture_layer(x: ArrayLike, u: ArrayLike, context: Mixture, table: Table) -> tuple[Array, Array]:
    r"""The mixture lemma: readers x `(*, m, d)`, u `(*, m, K)` after one layer over a large sample of the context.

    .. math:: x \leftarrow x + \sum_h \gamma_h \Bigl(\alpha_h \Sigma x + \sum_k \pi_{hk} \mu_k\Bigr), \qquad
        u \leftarrow u + \sum_h \delta_h \sum_k \pi_{hk} \bar u_k

    with the table of one layer, `(H,)`. Where beta makes a reader see its own class alone, this is the affine map of
    T4, :math:`x \leftarrow (I + \gamma \alpha \Sigma) x + \gamma \mu_c`.

    Example:
        >>> context = Mixture(np.array([[1.0], [-1.0]]), np.eye(2) - 0.5, np.array([0.5, 0.5]), np.eye(1))
        >>> mixture_layer([[1.0]], [[0.5, -0.5]], context, dict(alpha=[-0.5], beta=50, gamma=1, delta=0))[0].round(6)
        array([[1.5]])
    """
    x, u = np.asarray(x, float), np.asarray(u, float)
    new_x, new_u = x, u
    for alpha, beta, gamma, delta in zip(*_scalars(table, 1), strict=True):
        posterior = attention_posterior(x, u, context, alpha, beta)
        new_x = new_x + gamma * (alpha * x @ context.covariance + posterior @ context.means)
        new_u = new_u + delta * (posterior @ context.labels)
    return new_x, new_u


def mixture_noise(
    x: ArrayLike, u: ArrayLike, context: Mixture, alpha: float, beta: float, n_points: int
) -> tuple[Array, Array]:
    r"""What n points of a mixture leave to chance: covariance `(*, m, d, d)` of the attended mean, and points read.

    .. math:: \frac{e^{\tau^2}}{n} \sum_k \frac{\pi_k^2}{p_k} \bigl(\Sigma + m_k m_k^T\bigr), \qquad
        m_k = \mu_k + \alpha \Sigma x - \sum_j \pi_j \mu_j, \qquad \tau^2 = \alpha^2 x^T \Sigma x

    to first order in 1/n, for readers x `(*, m, d)` with labels u `(*, m, K)`. The second result, `(*, m)`, is
    :math:`n / \bigl(e^{\tau^2} \sum_k \pi_k^2 / p_k\bigr)`, the limit of :math:`1 / \sum_j A_j^2`: as many points
    would leave as much to chance if all weighed the same. T1 is the case of one class.

    Arguments:
        x: readers, `(*, m, d)`.
        u: their labels, `(*, m, K)`.
        context: the mixture.
        alpha: of one head.
        beta: of the same.
        n_points: n

    Raises:
        ValueError: n_points below 1.

    Source: own, chapter 6, the mixture lemma.

    Example:
        >>> context = Mixture(np.array([[1.0], [-1.0]]), np.eye(2) - 0.5, np.array([0.5, 0.5]), np.eye(1))
        >>> covariance, points = mixture_noise([[0.0]], [[0.5, -0.5]], context, alpha=1.0, beta=50.0, n_points=40)
        >>> covariance.round(3), points.round(3)  # it reads one class out of two: half of the points
        (array([[[0.05]]]), array([20.]))
    """
    if n_points < 1:
        raise ValueError(f"n_points={n_points}; it must be at least 1")
    x = np.asarray(x, float)
    posterior = attention_posterior(x, u, context, alpha, beta)  # (*, m, K)
    shift = alpha * x @ context.covariance
    shares = np.maximum(context.shares, 1e-300)[..., None, :]  # a class without points has no mass either
    weight = np.exp(alpha * (shift * x).sum(-1, keepdims=True)) * posterior**2 / shares / n_points
    off = context.means[..., None, :, :] + (shift - posterior @ context.means)[..., None, :]  # (*, m, K, d)
    total = weight.sum(-1)
    spread = total[..., None, None] * context.covariance[..., None, :, :]
    return spread + np.swapaxes(off, -1, -2) @ (weight[..., None] * off), 1 / total


class ScalarPath(NamedTuple):
    """What `scalar_recursion` gives."""

    radius: Array  # r of the class means, (L + 1,)
    label: Array  # l of the labels, (L + 1,)
    spread: Array  # lambda, (L + 1, m)
    query_radius: Array  # (L + 1,)
    query_label: Array  # (L + 1,)
    rho: Array  # excess own-class attention of the context, (L, H)


def scalar_recursion(
    table: Table, n_classes: int, radius: float, label: float = 1.0, spread: ArrayLike = 0.0, query: tuple | None = None
) -> ScalarPath:
    r"""T6: the recursion of K symmetric classes, with means :math:`r v_c` and labels :math:`\ell (e_c - 1/K)`.

    .. math:: r \leftarrow r \bigl(1 + \textstyle\sum_h \gamma_h (\rho_h + \alpha_h \lambda)\bigr), \quad
        \ell \leftarrow \ell \bigl(1 + \textstyle\sum_h \delta_h \rho_h\bigr), \quad
        \lambda \leftarrow \lambda \bigl(1 + \textstyle\sum_h \gamma_h \alpha_h \lambda\bigr)^2

    with :math:`\rho_h = (e^\theta - 1) / (e^\theta + K - 1)`, :math:`\theta = \alpha_h r^2 + \beta_h \ell^2` and
    :math:`\langle v_c, v_k \rangle = 1\{c = k\} - 1/K`. Exact if lambda = 0, if alpha = 0, and if rho = 1, n large. A
    query on the ray of its class, :math:`r_* v_c` with label :math:`\ell_* (e_c - 1/K)`, moves by the same rule in the
    first and the last case, with :math:`\theta_* = \alpha_h r r_* + \beta_h \ell \ell_*`: without a label it hears
    features alone, however large beta is.

    Arguments:
        table: of shape `(L, H)`.
        n_classes: K
        radius: r at the start.
        label: l at the start; fresh labels have l = 1.
        spread: within-class variances, `()` or `(m,)`; the first is the one in the span of the class means.
        query: radius and label of a query on the ray of its class; by default its class mean, without a label.

    Example:
        >>> path = scalar_recursion(dict(alpha=0, beta=[[np.log(4)]], gamma=1, delta=0.5), 2, radius=1.0)
        >>> path.rho.round(3), path.radius.round(3), path.label.round(3)
        (array([[0.6]]), array([1. , 1.6]), array([1. , 1.3]))
    """
    spread = np.atleast_1d(np.asarray(spread, float))
    states, rhos = [(radius, label, spread, *((radius, 0.0) if query is None else query))], []
    for alpha, beta, gamma, delta in zip(*_scalars(table, 2), strict=True):
        r, u, spread, r_q, u_q = states[-1]
        theta = alpha * r * np.array([[r], [r_q]]) + beta * u * np.array([[u], [u_q]])
        rho, rho_q = label_only_attention(theta, np.full(1, 1 / n_classes))[1][..., 0]
        pull = 1 + (gamma @ alpha) * spread
        r, r_q = r * (pull[0] + gamma @ rho), r_q * pull[0] + r * (gamma @ rho_q)
        states.append((r, u * (1 + delta @ rho), spread * pull**2, r_q, u_q + u * (delta @ rho_q)))
        rhos.append(rho)
    return ScalarPath(*(np.array(part) for part in zip(*states, strict=True)), np.array(rhos))


def label_average(scores: ArrayLike, alpha: float) -> Array:
    r"""T8: the share of each class in T1's average of labels, `(*, K)`, where class vectors are orthonormal.

    .. math:: P(\alpha s_c + \varepsilon_c \text{ is largest}) =
        \int \varphi(t) \prod_{k \ne c} \Phi\bigl(t + \alpha (s_c - s_k)\bigr)\, dt

    for scores :math:`s = W x_*`, `(*, K)`.

    Example:
        >>> label_average([0.2, 0.1, -0.4], 1.0).round(3)
        array([0.427, 0.378, 0.195])
    """
    scores = np.asarray(scores, float)
    lead = alpha * (scores[..., :, None] - scores[..., None, :])[..., None]  # (*, c, k, 1)
    itself = np.eye(scores.shape[-1], dtype=bool)[..., None]
    return np.where(itself, 1.0, ndtr(_NODES + lead)).prod(-2) @ _WEIGHTS


class LayerReport(NamedTuple):
    """Each layer of a trajectory beside the theorems; a change is that of the logarithm of `separation`."""

    separation: Array  # as measured, (L + 1, B)
    measured: Array  # its change, (L, B)
    frozen: Array  # the change if deviations stood still, from the measured rho (T3), (L, B)
    mixture: Array  # the change if the context were a large Gaussian sample (the mixture lemma), (L, B)
    missed: Array  # share of the context's motion, in squares over all tasks, that the lemma does not give, (L,)
    rho: Array  # excess own-class attention, mean over the points, (L, B, H)
    tilt: Array  # squared strength of the tilt within classes, alpha^2 x^T S_W x, mean over the points, (L, B, H)


def token_layer(z: ArrayLike, y: ArrayLike, m: ArrayLike, v: ArrayLike, n_classes: int) -> Array:
    r"""Tokens after one layer over a large sample in which the tokens of class c are Gaussian, all of one covariance S.

    .. math:: z^+ = z + \sum_h V_h \Big( S M_h^T z + \sum_c \pi_c \bar z_c \Big), \quad
        \pi = \mathrm{softmax}_c \big( \log p_c + z^T M_h \bar z_c \big)

    with class means, shares and S as measured on the sample. No form of M and V is assumed, nor that the labels of a
    class are alike.

    Arguments:
        z: context tokens, `(*, n, D)`.
        y: labels, `(*, n)`.
        m: score matrices, `(H, D, D)`.
        v: value matrices, `(H, D, D)`.
        n_classes: K

    Returns:
        `(*, n, D)`.

    Source: own, chapter 6, corollary of the mixture lemma.

    Example:
        >>> token_layer([[-1.0], [1.0]], [0, 1], [[[0.0]]], [[[1.0]]], 2)  # even attention: the mean, 0, is added
        array([[-1.],
               [ 1.]])
    """
    means, shares = class_means(z, y, n_classes)
    within = scatter(z, y, n_classes)[1]
    z = np.asarray(z, dtype=float)
    moved = z
    for score, value in zip(np.asarray(m, dtype=float), np.asarray(v, dtype=float), strict=True):
        tilt = z @ score
        logits = np.log(np.maximum(shares, 1e-300))[..., None, :] + tilt @ np.swapaxes(means, -1, -2)
        moved = moved + (tilt @ within + softmax(logits, axis=-1) @ means) @ value.T
    return moved


def layer_report(x: ArrayLike, u: ArrayLike, attention: ArrayLike, y: ArrayLike, table: Table) -> LayerReport:
    """Hold T3 and the mixture lemma against a trajectory, each layer from the measured state before it, nothing fitted.

    How empty such a comparison can be, `score_changes` says. For x `(L + 1, B, N, d)`, u `(L + 1, B, N, K)`, attention
    `(L, B, H, N, n)`, labels y of the context `(B, n)` and a table `(L, H)`.

    Raises:
        ValueError: a context has points of one class only.

    Example:
        >>> from icl_nb import LinearTask, Recursion
        >>> batch = LinearTask().sample(4)
        >>> recursion = Recursion({"alpha": [[0.0]], "beta": 3.0, "gamma": 0.5, "delta": 0.5})
        >>> path = recursion.trajectory(batch.x.double(), batch.context_y)
        >>> report = layer_report(path.x, path.u, path.attention, batch.context_y, recursion.table)
        >>> report.measured.shape, bool(report.missed < 1e-6)  # without alpha the lemma is exact
        ((1, 4), True)
    """
    y, attention = np.asarray(y), np.asarray(attention, float)
    x, u = (np.asarray(part, float)[:, :, : y.shape[-1]] for part in (x, u))
    n_classes = u.shape[-1]
    path = separation(x, y, n_classes)
    if not (path > 0).all():
        raise ValueError("a context has points of one class only; leave that task out")
    rows = []
    for t, scalars in enumerate(zip(*_scalars(table, 2), strict=True)):
        layer = dict(zip(SCALARS, scalars, strict=True))
        (means, shares), (labels, _) = class_means(x[t], y, n_classes), class_means(u[t], y, n_classes)
        between, within = scatter(x[t], y, n_classes)
        _, rho = own_class_attention(attention[t], y[:, None], n_classes)  # (B, H, K)
        gain = 1 + np.einsum("h,bhk->bk", layer["gamma"], rho)[..., None]
        grown = between_scatter(gain * (means - x[t].mean(-2, keepdims=True)), shares)
        moved, _ = mixture_layer(x[t], u[t], Mixture(means, labels, shares, within), layer)
        frozen, mixture = np.log(_trace(grown) / _trace(between)), np.log(separation(moved, y, n_classes) / path[t])
        missed = ((moved - x[t + 1]) ** 2).sum() / ((x[t + 1] - x[t]) ** 2).sum()
        tilt = layer["alpha"] ** 2 * np.einsum("bnd,bde,bne->bn", x[t], within, x[t]).mean(-1)[:, None]
        rows.append((frozen, mixture, missed, np.einsum("bk,bhk->bh", shares, rho), tilt))
    return LayerReport(path, np.diff(np.log(path), axis=0), *map(np.array, zip(*rows, strict=True)))


class ChangeScore(NamedTuple):
    """How well changes are predicted, beside the plainest guess; of `score_changes`."""

    explained: float  # 1 - sum of squared errors / sum of squared changes, over all layers and tasks
    constant: float  # the same for one constant a layer, the mean over the other tasks
    within: Array  # R^2 over the tasks of each layer: 0 for the mean of the layer, (L,)
    correlation: Array  # over the tasks of each layer, 0 where the prediction is constant, (L,)


def score_changes(measured: ArrayLike, predicted: ArrayLike) -> ChangeScore:
    r"""Changes m_tb of layer t in task b as measured, against a prediction and against the layer's mean change.

    .. math:: 1 - \frac{\sum_{tb} (m_{tb} - \hat m_{tb})^2}{\sum_{tb} m_{tb}^2}, \qquad
        R_t^2 = 1 - \frac{\sum_b (m_{tb} - \hat m_{tb})^2}{\sum_b (m_{tb} - \bar m_t)^2}

    A layer that changes all tasks alike is well predicted by a constant, so that the first number can be close to 1
    for a prediction that knows nothing of the single task. The second, `within`, asks for that.

    Arguments:
        measured: `(L, B)`, B > 2.
        predicted: likewise.

    Raises:
        ValueError: other shapes, values that are not finite, or a layer in which the measured change is constant.

    Source: own.

    Example:
        >>> score = score_changes([[1.0, 1.1, 1.2]], [[1.2, 1.1, 1.0]])
        >>> round(score.explained, 3), round(score.constant, 3), score.within.round(3), score.correlation.round(3)
        (0.978, 0.988, array([-3.]), array([-1.]))
    """
    measured, predicted = np.asarray(measured, float), np.asarray(predicted, float)
    if measured.ndim != 2 or measured.shape != predicted.shape or measured.shape[1] < 3:
        raise ValueError(f"changes have shapes {measured.shape} and {predicted.shape}; need (L, B) twice, B > 2")
    if not (np.isfinite(measured).all() and np.isfinite(predicted).all()):
        raise ValueError("a change is NaN or infinite; all must be finite")
    centred, guess = (part - part.mean(1, keepdims=True) for part in (measured, predicted))
    spread, errors = (centred**2).sum(1), ((measured - predicted) ** 2).sum(1)
    if (spread == 0).any():
        raise ValueError("a layer changes all tasks alike, so that there is nothing to explain within it")
    others = (measured.sum(1, keepdims=True) - measured) / (measured.shape[1] - 1)
    total = (measured**2).sum()
    varies = (guess**2).sum(1) > 1e-24 * (predicted**2).sum(1)  # else it is constant, up to rounding
    size = np.sqrt(spread * np.where(varies, (guess**2).sum(1), np.inf))
    correlation = (centred * guess).sum(1) / size
    constant = 1 - ((measured - others) ** 2).sum() / total
    return ChangeScore(float(1 - errors.sum() / total), float(constant), 1 - errors / spread, correlation)


class DepthReport(NamedTuple):
    """What the layers did to the points and to the answers, each `(L + 1,)`: before the first layer, and after each."""

    condition: Array  # of the covariance of the context, 1 for a round cloud, median over tasks
    fisher: Array  # `fisher_ratio` of the context, median over tasks
    by_sums: Array  # accuracy of the class whose sum of context points has the largest product with the query
    in_front: Array  # share of queries whose label block is largest at their class
    at_bottom: Array  # share of queries whose label block is smallest at their class


def through_depth(x: ArrayLike, u: ArrayLike, y: ArrayLike, answers: ArrayLike, n_classes: int) -> DepthReport:
    r"""Shape of the cloud, separation of the classes, and answers so far, at every depth.

    .. math:: \text{by sums:} \quad \hat y_* = \arg\max_c \Bigl\langle x_*, \sum_{y_j = c} x_j \Bigr\rangle

    with the points where they are at that depth and the labels as given: the simplest classifier that has no use for
    label blocks.

    Arguments:
        x: points of a trajectory, context first, `(L + 1, B, n + q, d)`.
        u: label blocks, `(L + 1, B, n + q, K)`.
        y: classes of the context, `(B, n)`.
        answers: classes of the queries, `(B, q)`.
        n_classes: K

    Raises:
        ValueError: shapes that do not fit, or a context whose classes or whose cloud lack a direction.

    Example:
        >>> x = [[[[2.0, 1.0], [1.0, -1.0], [-2.0, 0.0], [-1.0, 3.0], [3.0, 1.0], [-1.0, 0.0]]]]
        >>> report = through_depth(x, np.zeros((1, 1, 6, 2)), [[0, 0, 1, 1]], [[0, 1]], 2)
        >>> report.by_sums, report.in_front  # silent label blocks are in favour of class 0
        (array([1.]), array([0.5]))
    """
    x, u, y, answers = np.asarray(x, float), np.asarray(u, float), np.asarray(y), np.asarray(answers)
    n = y.shape[-1]
    if x.ndim != 4 or u.shape != (*x.shape[:3], n_classes) or y.shape != (x.shape[1], n):
        raise ValueError(f"x {x.shape}, u {u.shape}, y {y.shape}; need (L + 1, B, N, d), (L + 1, B, N, K), (B, n)")
    if answers.shape != (x.shape[1], x.shape[2] - n):
        raise ValueError(f"answers have shape {answers.shape}; they must be {(x.shape[1], x.shape[2] - n)}")
    members = np.swapaxes(y[..., None] == np.arange(n_classes), -1, -2).astype(float)  # (B, K, n)
    rows = []
    for points, labels in zip(x, u, strict=True):
        centred = points[:, :n] - points[:, :n].mean(1, keepdims=True)
        spectrum = np.linalg.eigvalsh(centred.mT @ centred)
        if (spectrum[:, 0] <= 1e-14 * spectrum[:, -1]).any():
            raise ValueError("the context of a task does not span all directions, so it has no condition number")
        by_sum = (points[:, n:] @ (members @ points[:, :n]).mT).argmax(-1)
        front, bottom = labels[:, n:].argmax(-1), labels[:, n:].argmin(-1)
        shape = np.median(spectrum[:, -1] / spectrum[:, 0]), np.median(fisher_ratio(points[:, :n], y, n_classes))
        rows.append((*shape, *(np.mean(said == answers) for said in (by_sum, front, bottom))))
    return DepthReport(*np.array(rows).T)


def _trace(matrix: Array) -> Array:
    return np.trace(matrix, axis1=-2, axis2=-1)


def _scalars(table: Table, ndim: int) -> tuple[Array, ...]:
    """Alpha, beta, gamma and delta as arrays of one shape, or a ValueError."""  # noqa: DOC501
    if not isinstance(table, np.ndarray) and set(table) != set(SCALARS):
        raise ValueError(f"a table holds {SCALARS}, not {tuple(table)}")
    parts = tuple(np.broadcast_arrays(*(np.asarray(table[name], float) for name in SCALARS)))
    if parts[0].ndim != ndim:
        raise ValueError(f"the scalars have shape {parts[0].shape}; it must be {('(H,)', '(L, H)')[ndim - 1]}")
    return parts


def _points(x: ArrayLike, y: ArrayLike, n_classes: int) -> tuple[Array, Array]:
    """Points as float64 `(*, n, d)` and classes as integers `(*, n)`, or a ValueError."""  # noqa: DOC501
    x, y = np.asarray(x, float), np.asarray(y)
    if x.ndim < 2 or 0 in x.shape or y.ndim < 1 or y.shape[-1] != x.shape[-2]:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; they must be (*, n, d) and (*, n), none empty")
    if not np.isfinite(x).all():
        raise ValueError("x holds NaN or infinity; every value must be finite")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"classes must be whole numbers in 0..{n_classes - 1}; drop unlabelled points first")
    return x, np.broadcast_to(y, x.shape[:-1])
