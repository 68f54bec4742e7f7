r"""What label noise does to a table in the limit of long contexts, from the table alone.

Two classes and round normal points, so that :math:`x = (a, b)` with `a` along :math:`w_1 - w_0`. Labels are flipped
with one probability whatever the point is. So `b` is independent of `a` and of all labels, and stays so in every layer
of a table of four scalars (chapter 7): the labels and `a` move as they would in one dimension, and long contexts do to
a query what a grid of quantiles does.
"""

import numpy as np
from scipy.stats import norm

from icl_nb.checks import check_count, check_fraction
from icl_nb.recursion import Recursion

_COPIES = 20  # of each quantile: noise is counted in twentieths


def noisy_limit(recursion: Recursion, noise: float, queries: np.ndarray, *, quantiles: int = 20) -> np.ndarray:
    r"""By how much a query prefers the class it belongs to, after each layer, in long contexts with wrong labels.

    .. math:: m_t(a) = u_{t, 1}(a) - u_{t, 0}(a), \qquad
        a_j = \Phi^{-1}\Big(\frac{j - 1/2}{m}\Big), \quad P(y_j \neq 1\{a_j > 0\}) = \eta

    The context holds every quantile twenty times, a share eta of them with the wrong label. Nothing is drawn.

    Arguments:
        recursion: four scalars a head, with or without a memory.
        noise: eta in [0, 1), a multiple of 0.05.
        queries: a, `(q,)`, in units of the spread of a feature.
        quantiles: m, even.

    Returns:
        `(L + 1, q)`

    Raises:
        ValueError: an argument is not as above.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> recursion = Recursion.from_model(load("recursion"))
        >>> [round(float(noisy_limit(recursion, noise, np.ones(1))[-1, 0]), 1) for noise in (0.0, 0.1, 0.2)]
        [1.7, 0.3, -0.2]
    """
    noise = check_fraction("noise", noise)
    wrong = round(_COPIES * noise)
    if abs(wrong - _COPIES * noise) > 1e-9:
        raise ValueError(f"noise={noise}; each quantile stands {_COPIES} times, so it must be a multiple of 0.05")
    if check_count("quantiles", quantiles, 2) % 2:
        raise ValueError(f"quantiles={quantiles}; an odd number puts a point on the border, which has no class")
    queries = np.asarray(queries, dtype=np.float64)
    if queries.ndim != 1 or not queries.size or not np.isfinite(queries).all():
        raise ValueError("queries must be a vector (q,) of finite numbers, and not empty")
    a = np.repeat(norm.ppf((np.arange(quantiles) + 0.5) / quantiles), _COPIES)
    flipped = np.tile(np.arange(_COPIES) < wrong, quantiles)
    y = ((a > 0) ^ flipped).astype(np.int64)
    path = recursion.trajectory(np.concatenate([a, queries])[None, :, None], y[None])
    u = path.u[:, 0, len(a) :]
    return u[..., 1] - u[..., 0]


def limit_margin(recursion: Recursion, noise: float, *, quantiles: int = 20) -> float:
    r"""The margin after the last layer, in the mean over queries of one class; where it is negative a table *breaks*.

    .. math:: 2 \int_0^\infty m_L(a)\, \varphi(a)\, da

    over 20 quantiles. A table that breaks answers with the wrong class, the more surely the longer its context is.

    Arguments:
        recursion: as in `noisy_limit`.
        noise: eta, likewise.
        quantiles: m, likewise.

    Raises:
        ValueError: as `noisy_limit`.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> [round(limit_margin(Recursion.from_model(load(name)), 0.2), 1) for name in ("four-0", "recursion")]
        [0.4, -0.2]
    """
    queries = norm.ppf((np.arange(20) + 0.5) / 40 + 0.5)
    return float(noisy_limit(recursion, noise, queries, quantiles=quantiles)[-1].mean())
