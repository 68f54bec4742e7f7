r"""How fast a context of n points nears the population law, and at what cost: P1b and P1c of chapter 7.

Where a reader begins at x, deviations after t layers are about :math:`n^{-1/2} e^{\kappa_t \|x\|^2 / 2}`. Far points
are lost first, and :math:`\kappa_t < 1/2` is what keeps all points of the context near their limit. What near tokens
see of that is decided by chains of readers (`chain_sum`).

Letters: those of `icl_nb.interpret.population`; R distances from the origin.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import chi, qmc
from torch import Tensor

from icl_nb.checks import check_count, check_seed
from icl_nb.interpret.population import growth, population_law, population_path
from icl_nb.recursion import SCALARS, Recursion

Array = np.ndarray


def tilts(recursion: Recursion) -> Array:
    r"""How far each head shifts the points that a reader sees, in units of where reader and points began, `(L, H)`.

    .. math:: c_{t, h} = |\alpha_h|\, g_t^2, \qquad \text{with memory } |g_t^\top \alpha_h g_t|

    Raises:
        ValueError: the recursion has slopes.

    Source: own, chapter 7.

    Example:
        >>> tilts(Recursion({"alpha": [[-0.5], [0.8]], "beta": 0, "gamma": 1, "delta": 0})).tolist()
        [[0.5], [0.2]]
    """
    g, alpha = growth(recursion), recursion.table.alpha
    if recursion.has_memory:
        return np.abs(np.einsum("ta,thab,tb->th", g[:-1], alpha, g[:-1]))
    return np.abs(alpha) * g[:-1, None] ** 2


def deviation_exponents(recursion: Recursion) -> Array:
    r"""The exponents :math:`\kappa_t` of the deviations of points as layer t reads them, `(L,)`; infinite from 1 on.

    .. math:: \kappa_{t+1} = \max \Bigl( \kappa_t, \; \max_h c_h^2, \;
        \max_h c_h^2 \frac{\kappa_t}{1 - \kappa_t} \Bigr), \qquad \kappa_0 = 0

    The tilts of the last layer do not count, since nobody reads what it moves. The last exponent is below 1/2, the
    hypothesis of the theorem P1c, if and only if all the other tilts are below :math:`1 / \sqrt 2`.

    Raises:
        ValueError: the recursion has slopes.

    Source: own, chapter 7.

    Example:
        >>> table = {"alpha": [[0.5], [0.75], [2.0]], "beta": 0, "gamma": 0, "delta": 0}
        >>> deviation_exponents(Recursion(table)).tolist()
        [0.0, 0.25, 0.5625]
    """
    kappa = [0.0]
    for c in tilts(recursion)[:-1]:
        square, last = float(c.max()) ** 2, kappa[-1]
        spread = square * last / (1 - last) if last < 1 else np.inf
        following = max(last, square, spread)
        kappa.append(following if following < 1 else np.inf)
    return np.array(kappa)


def chain_sum(recursion: Recursion) -> float:
    r"""T, by which deviations of near tokens are about :math:`n^{-\min(1/2, 1/T)}` at most: the theorem P1c on chains.

    .. math:: T_L = 1, \qquad T_t = \max \bigl( T_{t+1}, \; 1 + \max_h c_{t,h}^2 \, T_{t+1} \bigr), \qquad T = T_1

    A context point at distance R changes a near token by about :math:`e^{(1 - 1/T) R^2 / 2} / n` at most, through
    readers of readers of it: its influence has a variance if T < 2, and for the pair there only if. The theorem
    needs :math:`c < 1` in all layers but
    the last, which T < 2 implies and a larger T does not.

    Raises:
        ValueError: the recursion has slopes.

    Source: own, chapter 7.

    Example:
        >>> pair = Recursion({"alpha": [[0.8], [2.0]], "beta": 0, "gamma": 0, "delta": 0})
        >>> round(chain_sum(pair), 2)
        1.64
    """
    total = 1.0
    for c in tilts(recursion)[-2::-1]:
        total = max(total, 1 + float(c.max()) ** 2 * total)
    return total


def label_spread(
    recursion: Recursion, radii: ArrayLike, *, n_features: int = 5, points: int = 1024, seed: int = 0
) -> Array:
    r"""By how much the margin of a query on the border varies between contexts, times the root of n, `(R,)`; K = 2.

    .. math:: \sigma^2(b) = E\, \iota(z; b)^2, \qquad
        \iota(z; b) = \frac{d}{d\varepsilon} m\bigl( (1 - \varepsilon) \nu + \varepsilon \delta_z; (0, b) \bigr)
        \Big|_{\varepsilon = 0}

    with m the margin of the logits after the last layer as a functional of the law :math:`\nu` of the context, through
    all layers: iota is its influence function. Scrambled Sobol points and their mirror images stand for the
    population, and iota is found by differentiating in the weight of each.

    Arguments:
        recursion: any table of scalars; K is set to 2.
        radii: :math:`\|b\|`, at least 0.
        n_features: d, at least 2.
        points: of the population, a power of two, halved before they are mirrored.
        seed: of the Sobol sequence.

    Raises:
        ValueError: the recursion has slopes, or an argument is not as above.

    Source: own, chapter 7.

    Example:
        >>> one = Recursion({"alpha": [[0.5]], "beta": 0, "gamma": 0, "delta": 1}, n_classes=2)
        >>> label_spread(one, [0.0, 1.0], n_features=2).round(1).tolist()  # e^{(alpha |b|)^2 / 2}, by T1
        [1.0, 1.1]
    """
    radii = np.asarray(radii, float)
    check_count("n_features", n_features, 2)
    check_count("points", points, 4)
    check_seed(seed)
    if recursion.slopes is not None:
        raise ValueError("the scalars grow with the context, and have no limit; take recursion.at_length(n)")
    if radii.ndim != 1 or not radii.size or not (radii >= 0).all() or points & (points - 1):
        raise ValueError("radii must be a vector of numbers of at least 0, and points a power of two")
    uniform = qmc.Sobol(n_features, rng=np.random.default_rng(seed)).random(points // 2)
    half = torch.special.ndtri(torch.as_tensor(uniform, dtype=torch.float64).clamp(1e-15, 1 - 1e-15))
    x = torch.cat([half, -half, torch.zeros(len(radii), n_features, dtype=torch.float64)])
    x[points:, 1] = torch.as_tensor(radii)
    u = torch.sign(x[:, :1]) * torch.tensor([0.5, -0.5], dtype=torch.float64)
    log_weight = torch.zeros(points, dtype=torch.float64, requires_grad=True)
    labels = _flow(recursion, x, u, log_weight)[points:]
    scale = torch.as_tensor(np.atleast_1d(recursion.scale), dtype=torch.float64)
    margin = ((labels[..., 0] - labels[..., 1]) * scale).sum(-1)
    spread = []
    for i, value in enumerate(margin):
        (slope,) = torch.autograd.grad(value, log_weight, retain_graph=i + 1 < len(margin))
        spread.append((points * (slope**2).sum()).sqrt().item())
    return np.array(spread)


def _flow(recursion: Recursion, x: Tensor, u: Tensor, log_weight: Tensor) -> Tensor:
    """Final labels `(N + q, m, K)` of points `(N + q, d)`, the first N of which are the context, by their weights."""
    n, m = len(log_weight), recursion.copies
    shape = (*recursion.table.shape, m, m)
    table = {s: torch.as_tensor(np.array(recursion.table[s]).reshape(shape), dtype=torch.float64) for s in SCALARS}
    first = torch.eye(m, dtype=torch.float64)[0][:, None]
    x, u = x[:, None] * first, u[:, None] * first
    for t in range(shape[0]):
        move_x, move_u = torch.zeros_like(x), torch.zeros_like(u)
        points, labels = x[:n].flatten(1), u[:n].flatten(1)
        for h in range(shape[1]):
            alpha, beta, gamma, delta = (table[s][t, h] for s in SCALARS)
            scores = (alpha.T @ x).flatten(1) @ points.T + (beta.T @ u).flatten(1) @ labels.T
            A = torch.softmax(scores + log_weight, -1)
            move_x = move_x + gamma @ (A @ points).view(x.shape)
            move_u = move_u + delta @ (A @ labels).view(u.shape)
        x, u = x + move_x, u + move_u
    return u


def border_slope(recursion: Recursion, *, nodes: int = 60, step: float = 1e-4) -> float:
    r"""Slope of the limit's margin across the border, :math:`q = \partial m / \partial a` at a = 0, for two classes.

    Arguments:
        recursion: a table for two classes.
        nodes: of the quadrature on each side.
        step: how far from the border the margin is taken.

    Raises:
        ValueError: the recursion has slopes.

    Source: own, chapter 7.

    Example:
        >>> one = Recursion({"alpha": [[0.5]], "beta": 0, "gamma": 0, "delta": 1}, n_classes=2)
        >>> round(border_slope(one), 4)  # T1: delta alpha 2 phi(0)
        0.3989
    """
    two = Recursion(recursion.table, 2, recursion.scale, slopes=recursion.slopes)
    path = population_path(two, population_law([[1.0], [-1.0]], radial=nodes), [[step]])
    logits = two.read_out(path.query_u[-1])[0]
    return float((logits[0] - logits[1]) / step)


def stall_constant(
    recursion: Recursion, *, n_features: int = 5, radii: int = 8, points: int = 1024, seed: int = 0
) -> float:
    r"""C of P1b: two classes, the error of a fixed table of any depth is foretold as :math:`C / \sqrt n`.

    .. math:: C = \frac{E\, \sigma(b)}{\pi q}

    with :math:`\sigma` of `label_spread` and q of `border_slope`. For one layer it is the constant of the theorem.

    Arguments:
        recursion: any table of scalars, with :math:`q > 0`.
        n_features: d, at least 2.
        radii: nodes of the quadrature over :math:`\|b\|`.
        points: of the population.
        seed: of the population.

    Raises:
        ValueError: an argument is not as above, or the limit's margin does not rise across the border.

    Source: own, chapter 7.

    Example:
        >>> one = Recursion({"alpha": [[0.4]], "beta": 0, "gamma": 0, "delta": 1}, n_classes=2)
        >>> theory = 1 / (1 - 0.16) / 0.4 / np.sqrt(2 * np.pi)  # d = 3
        >>> bool(abs(stall_constant(one, n_features=3) / theory - 1) < 0.05)
        True
    """
    check_count("radii", radii, 1)
    q = border_slope(recursion)
    if not q > 0:
        raise ValueError(f"the limit's margin has slope {q:.3g} at the border; it must be positive")
    nodes, weights = np.polynomial.legendre.leggauss(radii)
    law = chi(n_features - 1)
    top = law.ppf(1 - 1e-6)
    r = top * (nodes + 1) / 2
    weights = weights * law.pdf(r)
    spread = label_spread(recursion, r, n_features=n_features, points=points, seed=seed)
    return float(weights @ spread / weights.sum() / (np.pi * q))
