"""The generalised induction head in closed form: what trained weights tend to, in NumPy and with no weights at all.

Letters as in `tasks`; N = L - max(lags) tokens of a sequence have all their parents, n of them the history of the
answer.
"""

from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from icl_nb.checks import check_count
from icl_nb.induction.tasks import check_lags


def generalized_induction_head(
    tokens: ArrayLike, lags: tuple[int, ...], n_states: int | None = None, *, sharpness: float = np.inf
) -> np.ndarray:
    r"""Attend to the tokens whose history matches that of the answer, and copy them: `(B, S)` probabilities.

    .. math:: y = \sum_t \mathrm{softmax}_t(a\, s_t)\, x_t, \quad s_t = \prod_{l \in \text{lags}} 1\{x_{t-l} = x_{L-l}\}

    over the N tokens t that have all their parents in the sequence, x as one-hot vectors. With a = inf it is the
    average over the matches alone, and over all N where none matches.

    Arguments:
        tokens: states from 0 on, `(B, L)`, an array or a tensor on the CPU.
        lags: the history that is compared, increasing; `()` compares nothing and gives the unigram.
        n_states: S; by default one more than the largest token.
        sharpness: a, from 0 on.

    Raises:
        ValueError: tokens that are no `(B, L)` table of states, or no longer than the largest lag; a negative a.

    Source: paper B (arXiv 2409.10559), the generalised induction head; a finite a is its classifying layer.

    Example:
        >>> generalized_induction_head([[0, 1, 2, 0, 1, 0, 0, 1]], lags=(1, 2))  # after 0, 1 there came 2, and 0
        array([[0.5, 0. , 0.5]])
    """
    tokens = np.asarray(tokens)
    check_lags(lags)
    first = max(lags, default=0)
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer) or not len(tokens) or tokens.shape[1] <= first:
        raise ValueError(f"tokens {tokens.dtype} {tokens.shape}; they must be whole numbers (B, L), B > 0, L > {first}")
    n_states = int(tokens.max()) + 1 if n_states is None else n_states
    check_count("n_states", n_states, 1)
    if tokens.min() < 0 or tokens.max() >= n_states:
        raise ValueError(f"tokens run from {tokens.min()} to {tokens.max()}; they must lie in 0..{n_states - 1}")
    _check_sharpness(sharpness)

    length = tokens.shape[1]
    match = np.ones((len(tokens), length - first), bool)
    for lag in lags:
        match &= tokens[:, first - lag : length - lag] == tokens[:, [length - lag]]
    best = match.any(-1, keepdims=True)  # softmax takes scores from the largest: where nothing matches, all are even
    weight = np.where(match == best, 1.0, np.exp(-sharpness))
    states = tokens[:, first:, None] == np.arange(n_states)  # one-hot, (B, N, S)
    return (weight[:, None] @ states)[:, 0] / weight.sum(-1, keepdims=True)


def pseudo_count(sharpness: float, n_tokens: int) -> float:
    r"""Strength of the prior that a finite sharpness amounts to.

    .. math:: y_e = \frac{e^a n_e + (N u_e - n_e)}{e^a n + (N - n)} = \frac{n_e + \kappa u_e}{n + \kappa},
        \quad \kappa = \frac{N}{e^a - 1}

    with :math:`n_e` matches followed by state e and :math:`u_e` the share of e among all N tokens: the head gives the
    posterior mean of a Dirichlet prior with :math:`\kappa` pseudo-counts, spread as the unigram.

    Arguments:
        sharpness: a, from 0 (no finite prior outweighs the data: kappa is infinite) to infinity (no prior).
        n_tokens: N

    Raises:
        ValueError: a negative a, or no token.

    Source: own.

    Example:
        >>> round(pseudo_count(5.0, 98), 3)
        0.665
    """
    check_count("n_tokens", n_tokens, 1)
    _check_sharpness(sharpness)
    return float(n_tokens * np.exp(-sharpness) / -np.expm1(-sharpness)) if sharpness else np.inf


def matched_sharpness(pseudo_count: float, n_tokens: int) -> float:
    r"""The sharpness whose prior has a given strength, :math:`a = \log(1 + N / \kappa)`: the inverse of `pseudo_count`.

    With the :math:`\kappa = \alpha S` of the Dirichlet prior of a `MarkovTask` it predicts the best sharpness.

    Arguments:
        pseudo_count: kappa, positive.
        n_tokens: N

    Raises:
        ValueError: a pseudo-count that is not positive, or no token.

    Source: own.

    Example:
        >>> round(matched_sharpness(0.1 * 3, 98), 2)
        5.79
    """
    check_count("n_tokens", n_tokens, 1)
    if not isinstance(pseudo_count, Real) or not pseudo_count > 0:
        raise ValueError(f"pseudo_count={pseudo_count!r}; it must be positive")
    return float(np.log1p(n_tokens / pseudo_count))


def _check_sharpness(sharpness: float) -> None:
    if not isinstance(sharpness, Real) or not sharpness >= 0:
        raise ValueError(f"sharpness={sharpness!r}; it must be a number from 0 on, or infinity")
