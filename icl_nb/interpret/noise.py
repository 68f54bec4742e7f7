r"""What label noise does to a table in the limit of long contexts, from the table alone.

The population law (chapter 7) asks of labels only that they do not look at the features across :math:`w_1 - w_0`, and a
label that is flipped with one probability, whatever the point is, does not.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from icl_nb.interpret.population import noisy, population_law, population_path
from icl_nb.recursion import Recursion


def noisy_limit(recursion: Recursion, noise: float, queries: ArrayLike, *, nodes: int = 40) -> np.ndarray:
    r"""By how much a query prefers the class it belongs to, after each layer, in long contexts with wrong labels.

    .. math:: m_t(a) = z_{t, 0}(a) - z_{t, 1}(a), \qquad a' \sim N(0, 1), \quad P(y' \neq 1\{a' < 0\}) = \eta

    with z the logits that would be read out after layer t.

    Arguments:
        recursion: scalars without slopes, with a memory or without.
        noise: eta in [0, 1).
        queries: a, `(q,)`, in units of the spread of a feature; those above 0 are of class 0.
        nodes: of the quadrature, on each half of the line.

    Returns:
        `(L + 1, q)`

    Raises:
        ValueError: an argument is not as above.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> recursion = Recursion.from_model(load("recursion"))
        >>> [bool(noisy_limit(recursion, noise, [1.0])[-1, 0] > 0) for noise in (0.0, 0.1, 0.2)]
        [True, True, False]
    """
    queries = np.asarray(queries, dtype=np.float64)
    if queries.ndim != 1 or not queries.size or not np.isfinite(queries).all():
        raise ValueError("queries must be a vector (q,) of finite numbers, and not empty")
    law = noisy(population_law([[1.0], [-1.0]], radial=nodes), noise)
    logits = recursion.read_out(population_path(recursion, law, queries[:, None]).query_u)
    return logits[..., 0] - logits[..., 1]


def limit_margin(recursion: Recursion, noise: float, *, nodes: int = 40) -> float:
    r"""The margin after the last layer, in the mean over queries of one class; where it is negative a table *breaks*.

    .. math:: 2 \int_0^\infty m_L(a)\, \varphi(a)\, da

    over 20 quantiles. A table that breaks answers with the wrong class, the more surely the longer its context is.

    Arguments:
        recursion: as in `noisy_limit`.
        noise: eta, likewise.
        nodes: likewise.

    Raises:
        ValueError: as `noisy_limit`.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> [limit_margin(Recursion.from_model(load(name)), 0.2) > 0 for name in ("four-0", "recursion")]
        [True, False]
    """
    queries = norm.ppf((np.arange(20) + 0.5) / 40 + 0.5)
    return float(noisy_limit(recursion, noise, queries, nodes=nodes)[-1].mean())
