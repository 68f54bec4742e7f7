r"""How much a set of lags tells about the next token: computed from the chain, before anything is trained.

Letters as in `tasks`, and M, the window: lags 1 to M can be looked at. With e the next token, z the states at the lags
of a set, and :math:`\mu` their joint distribution in the stationary chain,

.. math:: \tilde I = \sum_{z, e} \frac{(\mu(z, e) - \mu(z) \mu(e))^2}{\mu(e)}, \quad
    \chi^2 = \sum_{z, e} \frac{(\mu(z, e) - \mu(z) \mu(e))^2}{\mu(z) \mu(e)}, \quad
    I = \sum_{z, e} \mu(z, e) \log \frac{\mu(z, e)}{\mu(z) \mu(e)}

are the modified chi-square information, the ordinary one, and Shannon's mutual information in nats.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from icl_nb.checks import check_count
from icl_nb.induction.tasks import (
    Chains,
    MarkovTask,
    check_lags,
    match_counts,
    sample_kernels,
    true_conditional,
    unigram_counts,
)

MEASURES = ("modified", "chi_square", "mutual")


# Probability with which a token is taken as uniform. Where the prior is sharp, a chain may leave a set of contexts once
# in 10^50 tokens; its stationary distribution then hangs on numbers that mean nothing, and this settles them.
RESTART = 1e-12


CHUNK = 2**22  # numbers in the largest array that is worked on at once

# Sets that are listed, and numbers for a single chain, at the most: beyond them memory ends, and nobody says why.
MOST_SETS, MOST_NUMBERS = 10**5, 2**28


def lag_sets(window: int, degree: int) -> list[tuple[int, ...]]:
    """All sets of 1 to `degree` of the lags 1 to `window`, small sets first.

    Arguments:
        window: M
        degree: D

    Raises:
        ValueError: a count below 1, or more than 100,000 sets.

    Source: textbook.

    Example:
        >>> lag_sets(3, 2)
        [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)]
    """
    check_count("window", window, 1)
    check_count("degree", degree, 1)
    sizes, number = range(1, min(degree, window) + 1), 0
    for size in sizes:
        number += math.comb(window, size)
        if number > MOST_SETS:
            raise ValueError(f"window={window}, degree={degree}: they must leave {MOST_SETS} sets at the most")
    return [lags for size in sizes for lags in combinations(range(1, window + 1), size)]


def stationary(kernel: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    r"""Stationary distribution of the contexts, the last m = max(lags) tokens: `(n, S**m)`, the oldest token first.

    .. math:: \pi(x_2 \dots x_{m+1}) = \sum_{x_1} \pi(x_1 \dots x_m)\, \mu(x_{m+1} \mid x_1 \dots x_m)

    By the elimination of Grassmann, Taksar and Heyman, which never subtracts: small probabilities keep all their digits
    however slowly the chain mixes. With probability `RESTART` a token is uniform, so that every chain has one solution.

    Arguments:
        kernel: `(n, S**k, S)`, as in `Chains`.
        lags: its parent set.

    Raises:
        ValueError: a kernel that is no table of distributions, or does not fit the lags, or lags that reach so far that
            the contexts are too many.

    Source: Grassmann, Taksar and Heyman (1985).

    Example:
        >>> stationary(np.array([[[0.9, 0.1], [0.3, 0.7]]]), (1,)).round(6)
        array([[0.75, 0.25]])
    """
    check_lags(lags)
    _check_size("lags", lags, np.shape(kernel)[-1:], 2 * max(lags, default=0))
    contexts = _by_context(kernel, lags)
    n, n_states, order = len(contexts), contexts.shape[-1], contexts.ndim - 2
    rows = contexts.reshape(n, -1, n_states)
    size = rows.shape[1]
    chain = np.zeros((n, size, size))
    start = np.arange(size)
    for state in range(n_states):
        chain[:, start, (start * n_states + state) % size] += rows[:, :, state]
    if order == 0:
        return np.ones((n, 1))
    for last in range(size - 1, 0, -1):
        chain[:, :last, last] /= chain[:, last, :last].sum(-1)[:, None]
        chain[:, :last, :last] += chain[:, :last, last, None] * chain[:, last, None, :last]
    weight = np.ones((n, size))
    for last in range(1, size):
        weight[:, last] = (weight[:, :last] * chain[:, :last, last]).sum(-1)
    return weight / weight.sum(-1, keepdims=True)


def joint_distribution(kernel: np.ndarray, lags: tuple[int, ...], window: int) -> np.ndarray:
    """Joint distribution of M tokens and the next in the stationary chain, `(n, S, ..., S)`, M + 1 axes of tokens.

    The axis before the last is lag 1, the one before it lag 2, and so on; the last is the next token.

    Arguments:
        kernel: `(n, S**k, S)`.
        lags: its parent set; those beyond the window are summed out.
        window: M

    Raises:
        ValueError: as `stationary`, or a window so long that the table would not fit.

    Source: textbook.

    Example:
        >>> kernel = sample_kernels(MarkovTask(), 2)
        >>> joint = joint_distribution(kernel, (1, 2), window=3)
        >>> joint.shape, bool(np.allclose(joint.sum((1, 2, 3, 4)), 1))
        ((2, 3, 3, 3, 3), True)
    """
    check_count("window", window, 1)
    _check_size("window", window, np.shape(kernel)[-1:], window + 1)
    contexts = _by_context(kernel, lags)
    n, n_states, order = len(contexts), contexts.shape[-1], contexts.ndim - 2
    joint = stationary(kernel, lags).reshape((n,) + (n_states,) * order)[..., None] * contexts
    for longer in range(order + 1, window + 1):
        joint = joint[..., None] * contexts.reshape((n,) + (1,) * (longer - order) + contexts.shape[1:])
    return joint.sum(tuple(range(1, order - window + 1)))


def information(joint: np.ndarray, lags: tuple[int, ...], measure: str = "modified") -> np.ndarray:
    r"""What a set of lags tells about the next token, `(n,)`, one value a chain; formulas stand at the top.

    .. math:: \tilde I = \sum_z \mu(z)^2 \Bigl( \sum_e \frac{\mu(e \mid z)^2}{\mu(e)} - 1 \Bigr)

    Arguments:
        joint: of `joint_distribution`.
        lags: any set within the window.
        measure: "modified", "chi_square" or "mutual".

    Raises:
        ValueError: a lag outside the window, or no such measure.

    Source: paper B (arXiv 2409.10559), modified chi-square mutual information; the others are textbook.

    Example:
        >>> joint = joint_distribution(np.eye(2)[None], (1,), window=2)  # a token repeats the one before it
        >>> [information(joint, (1,), measure).round(3).item() for measure in MEASURES]
        [0.5, 1.0, 0.693]
    """
    check_lags(lags)
    window, n_states = joint.ndim - 2, joint.shape[-1]
    if max(lags, default=0) > window:
        raise ValueError(f"lags={lags} reach beyond the window of {window}")
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}; it must be one of {', '.join(MEASURES)}")
    others = tuple(1 + window - lag for lag in range(1, window + 1) if lag not in lags)
    pair = joint.sum(others).reshape(len(joint), -1, n_states)  # mu(z, e)
    z, e = pair.sum(-1, keepdims=True), pair.sum(-2, keepdims=True)
    if measure == "modified":
        terms = (pair - z * e) ** 2 / e
    elif measure == "chi_square":
        terms = (pair - z * e) ** 2 / (z * e)
    else:
        terms = pair * np.log(pair / (z * e))
    return terms.sum((-2, -1))


@dataclass(frozen=True, repr=False)
class InformationTable:
    """The information of sets of lags, averaged over chains.

    Arguments:
        lag_sets: the sets, as many as the columns of `values`.
        values: `(n, number of sets)`, a row for each chain.
    """

    lag_sets: list[tuple[int, ...]]
    values: np.ndarray

    def __repr__(self) -> str:
        return f"InformationTable({len(self.values)} chains, {len(self.lag_sets)} sets of lags, best {self.best})"

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(0)

    @property
    def standard_error(self) -> np.ndarray:
        return self.values.std(0, ddof=1) / len(self.values) ** 0.5

    @property
    def best(self) -> tuple[int, ...]:
        """The set with the largest mean."""
        return self.lag_sets[self.mean.argmax()]

    def lead(self) -> tuple[float, float]:
        """By how much the best mean exceeds the second best, and the standard error of that, over the same chains."""
        first, second = np.argsort(-self.mean)[:2]
        ahead = self.values[:, first] - self.values[:, second]
        return float(ahead.mean()), float(ahead.std(ddof=1) / len(ahead) ** 0.5)

    def __getitem__(self, lags: tuple[int, ...]) -> float:
        return float(self.mean[self.lag_sets.index(lags)])


def information_table(
    task: MarkovTask, window: int, degree: int, *, n_kernels: int = 2000, seed: int = 0, measure: str = "modified"
) -> InformationTable:
    """Information of every set of at most `degree` lags in a window, for chains drawn from a task.

    Arguments:
        task: gives parent set, alphabet and prior; its length plays no part.
        window: M
        degree: D, the size of the largest sets.
        n_kernels: chains to average over.
        seed: of the chains.
        measure: as in `information`.

    Raises:
        ValueError: a count below 1 (2 for chains), or no such measure.

    Source: own; see `information` for the measures.

    Example:
        >>> table = information_table(MarkovTask(lags=(1, 3)), window=3, degree=2, n_kernels=500)
        >>> table.best
        (1, 3)
    """
    check_count("n_kernels", n_kernels, 2)
    sets = lag_sets(window, degree)
    kernels = sample_kernels(task, n_kernels, seed=seed)
    reach = max(task.lags, default=0)
    size = max(task.n_states ** (max(reach, window) + 1), task.n_states ** (2 * reach))
    at_once = max(1, CHUNK // size)
    values = []
    for start in range(0, n_kernels, at_once):
        joint = joint_distribution(kernels[start : start + at_once], task.lags, window)
        values.append(np.stack([information(joint, lags, measure) for lags in sets], -1))
    return InformationTable(sets, np.concatenate(values))


def predicted_subset(
    task: MarkovTask, window: int, degree: int, *, n_kernels: int = 2000, seed: int = 0
) -> tuple[int, ...]:
    r"""The set of lags that training is predicted to select: the maximiser of the modified chi-square information.

    .. math:: S^* = \arg\max_{|S| \le D} E_\mu[\tilde I(S)]

    The `lead()` of the `information_table` says whether the answer is clear of sampling noise.

    Arguments:
        task: gives parent set, alphabet and prior.
        window: M
        degree: D, the size of the largest sets.
        n_kernels: chains to average over.
        seed: of the chains.

    Raises:
        ValueError: as `information_table`.

    Source: paper B (arXiv 2409.10559).

    Example:
        >>> predicted_subset(MarkovTask(lags=(1, 2)), window=3, degree=2, n_kernels=500)
        (1, 2)
    """
    return information_table(task, window, degree, n_kernels=n_kernels, seed=seed).best


def first_gain(chains: Chains, lags: tuple[int, ...]) -> np.ndarray:
    r"""How fast the expected log-likelihood of the answer grows with sharpness a at a = 0, `(B,)`, one a sequence.

    .. math:: \frac{d}{da} \sum_e \mu(e \mid z_L) \log y_e \Big|_{a = 0}
        = \sum_e \mu(e \mid z_L) \Bigl( \frac{n_e}{N u_e} - \frac{n}{N} \Bigr)

    for the induction head y that compares the histories at `lags`; n, N and u as in `limit.pseudo_count`, and a state
    that the sequence does not hold counts for nothing. Where the chain mixes within the sequence its mean is the
    modified chi-square information: what gradient descent sees first is :math:`\tilde I`.

    Arguments:
        chains: sequences with their kernels.
        lags: the set to compare.

    Raises:
        ValueError: the sequences are no longer than the largest lag.

    Source: own.

    Example:
        >>> bool((first_gain(MarkovTask(lags=()).sample(5), ()) < 1e-12).all())  # everything matches: nothing to gain
        True
    """
    counts = match_counts(chains, lags)
    every = unigram_counts(chains, lags)
    share = counts.sum(-1, keepdim=True) / every.sum(-1, keepdim=True)
    gain = torch.where(every > 0, counts / every.clamp(min=1) - share, 0)
    return (true_conditional(chains) * gain).sum(-1).numpy()


def _check_size(name: str, value: object, n_states: tuple[int, ...], tokens: int) -> None:
    """Refuse a table over so many tokens that one chain would fill the memory.

    Raises:
        ValueError: it is one.
    """
    if n_states and n_states[0] > 1 and tokens * math.log(n_states[0]) > math.log(MOST_NUMBERS):
        raise ValueError(
            f"{name}={value!r} with {n_states[0]} states; a table must have {MOST_NUMBERS} entries at most"
        )


def _by_context(kernel: np.ndarray, lags: tuple[int, ...]) -> np.ndarray:
    """The kernel as a function of the last m = max(lags) tokens, `(n, S, ..., S)`: oldest first, then the next.

    Raises:
        ValueError: a kernel that is no table of distributions, or does not fit the lags.
    """
    check_lags(lags)
    kernel = np.asarray(kernel, float)
    fits = kernel.ndim == 3 and len(kernel) and kernel.shape[1] == kernel.shape[2] ** len(lags)
    if not fits or not (kernel >= 0).all() or not np.allclose(kernel.sum(-1), 1, rtol=0, atol=1e-9):
        raise ValueError(
            f"a kernel of shape {kernel.shape}; with lags={lags} it must be (n, S**{len(lags)}, S), "
            "its rows distributions"
        )
    n, _, n_states = kernel.shape
    kernel = (1 - RESTART) * kernel + RESTART / n_states
    order = max(lags, default=0)
    parents = kernel.reshape((n,) + (n_states,) * (len(lags) + 1))
    oldest_first = parents.transpose(0, *range(len(lags), 0, -1), -1)
    shape = [n_states if lag in lags else 1 for lag in range(order, 0, -1)]
    return np.broadcast_to(oldest_first.reshape(n, *shape, n_states), (n,) + (n_states,) * (order + 1))
