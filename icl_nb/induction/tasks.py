"""n-gram Markov chains in context: the task of Part II, and what is known about it before anything is trained.

Letters, here and in all of Part II: B sequences, L tokens each, S states, a parent set of k lags. A token is called by
its number, counted from 0; the answer is token L. A history is the states of the parents of a token, in the order of
the lags; written as a number to base S, first lag first, it is the row of the kernel.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from icl_nb.checks import check_count, check_fraction, check_positive, check_tensor, generator

LEAST_CONCENTRATION = 1e-300  # rows are sure long before that, and beyond it their logarithms overflow
LEAST_FORECAST = 1e-6  # `loss` raises smaller probabilities to it: an average over few matches often holds a 0


# Two sets of sequences are equal when they are one object: element by element, "equal" would have no truth value.
@dataclass(frozen=True, eq=False, repr=False)
class Chains:
    """B sequences, each from a Markov chain of its own.

    Arguments:
        tokens: states in `0..S-1`, `(B, L)`, int64.
        answer: the token after the last, `(B,)`, int64.
        kernel: transition probabilities, `(B, S**k, S)`, float64, a row for each history.
        lags: the parent set, k increasing whole numbers of at least 1; empty where tokens are independent.
        n_states: S
        concentration: of the Dirichlet prior that the rows were drawn from; None where they were not.

    Raises:
        ValueError: shapes or dtypes disagree, a token is out of range, a sequence is no longer than the largest lag, or
            a row of the kernel is no distribution.

    Example:
        >>> chains = MarkovTask().sample(256, seed=0)
        >>> chains.tokens.shape, chains.answer.shape, chains.kernel.shape
        (torch.Size([256, 100]), torch.Size([256]), torch.Size([256, 9, 3]))
    """

    tokens: Tensor
    answer: Tensor
    kernel: Tensor
    lags: tuple[int, ...]
    n_states: int
    concentration: float | None

    def __post_init__(self):
        check_lags(self.lags)
        check_count("n_states", self.n_states, 2)
        if self.concentration is not None:
            _check_concentration(self.concentration)
        check_tokens(self.tokens, self.n_states, self.lags)
        check_tensor("answer", self.answer, (torch.int64,))
        check_tensor("kernel", self.kernel, (torch.float64,))
        n = len(self.tokens)
        for name, expected in (("answer", (n,)), ("kernel", (n, self.n_states ** len(self.lags), self.n_states))):
            if tuple(getattr(self, name).shape) != expected:
                raise ValueError(f"{name} has shape {tuple(getattr(self, name).shape)}; it must be {expected}")
        if self.answer.min() < 0 or self.answer.max() >= self.n_states:
            raise ValueError(f"answers must lie in 0..{self.n_states - 1}")
        # What is not finite fails one of the two.
        if not (self.kernel >= 0).all() or not ((self.kernel.sum(-1) - 1).abs() < 1e-9).all():
            raise ValueError("the rows of kernel must be distributions: entries from 0 on that sum to 1")

    def __repr__(self) -> str:
        return f"Chains({len(self)} sequences, L={self.tokens.shape[1]}, S={self.n_states}, lags={self.lags})"

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, sequences: slice) -> "Chains":
        """A slice of the sequences.

        Raises:
            TypeError: it is no slice.
        """
        if not isinstance(sequences, slice):
            raise TypeError("chains are sliced, chains[2:5]; for one sequence take chains[2:3]")
        parts = {name: getattr(self, name)[sequences] for name in ("tokens", "answer", "kernel")}
        return replace(self, **parts)


@dataclass(frozen=True)
class MarkovTask:
    r"""Sequences from n-gram Markov chains; every sequence has a kernel of its own.

    .. math:: P(x_t = e \mid x_{<t}) = \mu(e \mid x_{t - l_1}, \dots, x_{t - l_k}),
        \quad \mu(\cdot \mid z) \sim \mathrm{Dirichlet}(\alpha, \dots, \alpha) \text{ for each history } z

    With `dominance` d > 0 a row is :math:`d\, \nu(\cdot \mid x_{t - l_1}) + (1 - d)\, \mu(\cdot \mid z)` instead, and
    the rows of :math:`\nu` have the same prior: the first parent alone decides a part of it.

    The first `max(lags)` tokens, whose parents would lie before the sequence, are uniform. Nothing is thrown away after
    them, so that the first tokens of a sequence are not yet distributed as the later ones.

    Arguments:
        n_states: S, the size of the alphabet.
        length: L, tokens before the answer.
        lags: the parent set, increasing; `()` gives independent tokens, each sequence with its own distribution.
        concentration: of the prior: small makes a row nearly deterministic, large makes it nearly uniform.
        dominance: d in [0, 1); needs two parents at least, if it is not 0.

    Raises:
        ValueError: a count is too small, lags do not increase or leave a sequence without a full history, the
            concentration is not finite and at least 1e-300, or the dominance is not as above.

    Source: the chain of paper B (arXiv 2409.10559); the empty parent set and the dominance are our own.

    Example:
        >>> task = MarkovTask(n_states=3, length=100, lags=(1, 2), concentration=0.1)
        >>> chains = task.sample(1000, seed=0)
        >>> bool((true_conditional(chains).argmax(-1) == chains.answer).double().mean() > 0.8)
        True
    """

    n_states: int = 3
    length: int = 100
    lags: tuple[int, ...] = (1, 2)
    concentration: float = 0.1
    dominance: float = 0.0

    def __post_init__(self):
        checked = {
            "n_states": check_count("n_states", self.n_states, 2),
            "length": check_count("length", self.length, 1),
            "lags": check_lags(self.lags),
            "concentration": _check_concentration(self.concentration),
            "dominance": check_fraction("dominance", self.dominance),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.dominance and len(self.lags) < 2:
            raise ValueError(
                f"dominance={self.dominance} with lags={self.lags}; one parent leads only among two or more"
            )
        if self.length <= max(self.lags, default=0):
            raise ValueError(f"length={self.length} with lags={self.lags} leaves no token with all its parents")

    def sample(self, n_sequences: int, *, seed: int | torch.Generator = 0) -> Chains:
        """Draw sequences. A longer task with the same seed continues the same sequences.

        Arguments:
            n_sequences: B
            seed: a whole number from 0 to 2^31 - 1, or a CPU generator to continue from.

        Raises:
            ValueError: a count below 1, or a seed that is not as above.

        Example:
            >>> short, long = MarkovTask(length=10).sample(4), MarkovTask(length=20).sample(4)
            >>> bool((short.tokens == long.tokens[:, :10]).all())
            True
        """
        check_count("n_sequences", n_sequences, 1)
        random = generator(seed)
        kernel = torch.from_numpy(self.kernels(n_sequences, random))
        order, n_states = max(self.lags, default=0), self.n_states
        # One row of uniform numbers a token, so that those of a shorter sequence are the first of a longer one.
        uniform = torch.rand(self.length + 1, n_sequences, generator=random, dtype=torch.float64)
        tokens = torch.empty(self.length + 1, n_sequences, dtype=torch.int64)
        tokens[:order] = (uniform[:order] * n_states).long()
        steps = kernel.cumsum(-1)[..., :-1].contiguous()  # the last one is 1, and rounding must not make it less
        sequence = torch.arange(n_sequences)
        for t in range(order, self.length + 1):
            row = torch.zeros(n_sequences, dtype=torch.int64)
            for lag in self.lags:
                row = row * n_states + tokens[t - lag]
            tokens[t] = (uniform[t][:, None] >= steps[sequence, row]).sum(-1)
        tokens = tokens.T.contiguous()
        prior = self.concentration if self.independent_rows else None
        return Chains(tokens[:, :-1].contiguous(), tokens[:, -1].clone(), kernel, self.lags, n_states, prior)

    def kernels(self, n_kernels: int, random: torch.Generator) -> np.ndarray:
        """What `sample` draws first, `(n_kernels, S**k, S)`."""
        return sample_kernels(self, n_kernels, seed=random)

    @property
    def independent_rows(self) -> bool:
        """Whether the rows of a kernel are independent draws from the prior, so that Bayes has a closed form."""
        return not self.dominance


@dataclass(frozen=True)
class SumTask(MarkovTask):
    r"""Chains in which no parent tells anything alone: the next token is a permutation of the sum of all parents.

    .. math:: \mu(e \mid z) = (1 - \nu)\, 1\{e = \pi(z_1 + \dots + z_k \bmod S)\} + \nu / S

    with a permutation :math:`\pi` of its own for each sequence. Stationary tokens are uniform and any k - 1 parents are
    independent of the next token, up to the few tokens at the start. There is no prior of Dirichlet rows here.

    Arguments:
        n_states: as `MarkovTask`.
        length: as `MarkovTask`.
        lags: as `MarkovTask`; one parent or more.
        concentration: plays no part.
        dominance: must be 0.
        noise: :math:`\nu`, in [0, 1).

    Raises:
        ValueError: as `MarkovTask`; no parent, a dominance, or a noise out of range.

    Source: own.

    Example:
        >>> kernel = SumTask(noise=0.0).sample(1).kernel[0]
        >>> kernel.argmax(-1)[[1, 3]].diff().item(), sorted(kernel[:3].argmax(-1).tolist())  # 0 + 1 = 1 + 0
        (0, [0, 1, 2])
    """

    noise: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        check_fraction("noise", self.noise)
        if not self.lags or self.dominance:
            raise ValueError(f"lags={self.lags}, dominance={self.dominance}; a sum needs parents, and none that leads")

    def kernels(self, n_kernels: int, random: torch.Generator) -> np.ndarray:
        """What `sample` draws first, `(n_kernels, S**k, S)`."""
        check_count("n_kernels", n_kernels, 1)
        order = torch.rand(n_kernels, self.n_states, generator=random, dtype=torch.float64).argsort(-1)
        shape = (self.n_states,) * len(self.lags)
        total = torch.from_numpy(np.indices(shape).sum(0).ravel() % self.n_states)
        sure = torch.nn.functional.one_hot(order[:, total], self.n_states).double()
        return ((1 - self.noise) * sure + self.noise / self.n_states).numpy()

    @property
    def independent_rows(self) -> bool:
        return False


def sample_kernels(task: MarkovTask, n_kernels: int, *, seed: int | torch.Generator = 0) -> np.ndarray:
    r"""Transition probabilities from the prior of a task, `(n_kernels, S**k, S)`, float64; `sample` draws these first.

    .. math:: \mu(e \mid z) = g_e / \textstyle\sum_j g_j, \quad g_e = G_e\, U_e^{1/\alpha}, \quad
        G_e \sim \mathrm{Gamma}(\alpha + 1), \; U_e \sim \mathrm{Uniform}(0, 1)

    The powers are taken as logarithms: with a small concentration all g of a row would often be 0 in floating point.

    Arguments:
        task: whose prior it is.
        n_kernels: how many.
        seed: a whole number from 0 to 2^31 - 1, or a CPU generator to continue from.

    Raises:
        ValueError: a count below 1, or a seed that is none.

    Source: the boost of a Gamma variable, Marsaglia and Tsang (2000), section 6.

    Example:
        >>> kernels = sample_kernels(MarkovTask(n_states=3, lags=(1, 2)), 5)
        >>> kernels.shape, bool(np.allclose(kernels.sum(-1), 1))
        ((5, 9, 3), True)
    """
    check_count("n_kernels", n_kernels, 1)
    # NumPy has Gamma variables from a generator of one's own, torch has not.
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator(seed))))
    n_rows = task.n_states ** len(task.lags)
    kernel = _dirichlet(random, (n_kernels, n_rows, task.n_states), task.concentration)
    if not task.dominance:
        return kernel
    alone = _dirichlet(random, (n_kernels, task.n_states, task.n_states), task.concentration)
    alone = alone.repeat(n_rows // task.n_states, axis=1)  # the first parent is the first digit of a row's number
    return task.dominance * alone + (1 - task.dominance) * kernel


def histories(tokens: Tensor, lags: tuple[int, ...], n_states: int) -> Tensor:
    r"""Numbers of the histories of tokens `max(lags)` to L, `(B, L + 1 - max(lags))`; the last is that of the answer.

    .. math:: z_t = \sum_{i=1}^k x_{t - l_i} S^{k - i}

    Arguments:
        tokens: `(B, L)`, int64.
        lags: l, increasing; `()` gives every history the number 0.
        n_states: S

    Example:
        >>> histories(torch.tensor([[0, 1, 2, 1]]), (1, 2), 3)  # of tokens 2, 3 and 4: (1, 0), (2, 1), (1, 2)
        tensor([[3, 7, 5]])
    """
    check_lags(lags)
    check_count("n_states", n_states, 2)
    check_tokens(tokens, n_states, lags)
    first, length = max(lags, default=0), tokens.shape[1]
    rows = tokens.new_zeros(len(tokens), length + 1 - first)
    for lag in lags:
        rows = rows * n_states + tokens[:, first - lag : length + 1 - lag]
    return rows


def match_counts(chains: Chains, lags: tuple[int, ...] | None = None) -> Tensor:
    r"""How often each state followed the history that the answer has, `(B, S)`, float64.

    .. math:: n_e = \sum_{t = \max l}^{L - 1} 1\{z_t = z_L\}\, 1\{x_t = e\}

    Arguments:
        chains: the sequences.
        lags: what counts as the history; by default that of the chains.

    Source: the counts of paper B (arXiv 2409.10559).

    Example:
        >>> chains = MarkovTask(length=400).sample(2)
        >>> int(match_counts(chains, lags=())[0].sum())  # everything matches the empty history
        400
    """
    lags = chains.lags if lags is None else lags
    rows = histories(chains.tokens, lags, chains.n_states)
    match = (rows[:, :-1] == rows[:, -1:]).double()
    successors = torch.nn.functional.one_hot(chains.tokens[:, max(lags, default=0) :], chains.n_states).double()
    return (match[:, None] @ successors)[:, 0]


def unigram_counts(chains: Chains, lags: tuple[int, ...] = ()) -> Tensor:
    """How often each state occurs among the tokens that have all the parents at `lags`, `(B, S)`, float64.

    Example:
        >>> unigram_counts(MarkovTask(length=100).sample(2), (1, 2)).sum(-1)
        tensor([98., 98.], dtype=torch.float64)
    """
    return torch.nn.functional.one_hot(chains.tokens[:, max(lags, default=0) :], chains.n_states).double().sum(1)


def true_conditional(chains: Chains) -> Tensor:
    r"""What one who knows the kernel says: :math:`\mu(\cdot \mid z_L)`, `(B, S)`. No predictor does better on average.

    Arguments:
        chains: sequences with their kernels.

    Source: textbook.

    Example:
        >>> true_conditional(MarkovTask().sample(4)).shape
        torch.Size([4, 3])
    """
    rows = histories(chains.tokens, chains.lags, chains.n_states)
    return chains.kernel[torch.arange(len(chains)), rows[:, -1]]


def posterior_predictive(
    chains: Chains, lags: tuple[int, ...] | None = None, concentration: float | None = None
) -> Tensor:
    r"""Exact Bayes: the rows are independent under the prior, and so they are given the tokens.

    .. math:: p(e) = \frac{n_e + \alpha}{\sum_j n_j + \alpha S}, \quad n = \text{the counts of matches}

    It knows the parent set and the prior but not the kernel; no predictor that sees only the tokens does better.

    Arguments:
        chains: the sequences.
        lags: another parent set, to see what is lost by it (then it is no longer Bayes).
        concentration: another prior.

    Raises:
        ValueError: the rows of these chains have no Dirichlet prior (dominance), and no concentration is given.

    Source: textbook.

    Example:
        >>> chains = MarkovTask(n_states=2, length=3, lags=(1,), concentration=1.0).sample(5)
        >>> bool(torch.equal(posterior_predictive(chains).sum(-1), torch.ones(5).double()))
        True
    """
    alpha = chains.concentration if concentration is None else concentration
    if alpha is None:
        raise ValueError("with a dominance the posterior has no closed form; name a concentration to do without it")
    _check_concentration(alpha)
    counts = match_counts(chains, lags)
    return (counts + alpha) / (counts.sum(-1, keepdim=True) + alpha * chains.n_states)


def match_predictor(chains: Chains, lags: tuple[int, ...] | None = None) -> Tensor:
    r"""Average of the successors of all tokens with the same history: :math:`p(e) = n_e / \sum_j n_j`, `(B, S)`.

    Where nothing matches, the average goes over all tokens that have a full history.

    Arguments:
        chains: the sequences.
        lags: what counts as the history; by default that of the chains.

    Source: paper B (arXiv 2409.10559); what is said where nothing matches is own.

    Example:
        >>> chains = MarkovTask(length=10**4, concentration=1.0).sample(4)
        >>> bool((match_predictor(chains) - true_conditional(chains)).abs().max() < 0.1)
        True
    """
    lags = chains.lags if lags is None else lags
    counts = match_counts(chains, lags)
    total = counts.sum(-1, keepdim=True)
    every = unigram_counts(chains, lags)
    return torch.where(total > 0, counts / total.clamp(min=1), every / every.sum(-1, keepdim=True))


def unigram(chains: Chains) -> Tensor:
    """Frequencies of the states in the sequence, `(B, S)`: the empty history.

    Arguments:
        chains: the sequences.

    Source: textbook.

    Example:
        >>> unigram(MarkovTask(length=10).sample(4)).shape
        torch.Size([4, 3])
    """
    return match_predictor(chains, ())


def uniform(chains: Chains) -> Tensor:
    """1 / S for every state, `(B, S)`; its loss is log S exactly.

    Arguments:
        chains: the sequences.

    Source: textbook.

    Example:
        >>> uniform(MarkovTask(n_states=4).sample(1))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
    """
    return torch.full((len(chains), chains.n_states), 1 / chains.n_states, dtype=torch.float64)


def log_losses(probs: Tensor | np.ndarray, answer: Tensor | np.ndarray, *, floor: float = LEAST_FORECAST) -> Tensor:
    r"""What each answer costs in nats, :math:`-\log p(\text{answer})`, `(B,)`, float64.

    Probabilities below the floor count as the floor (and nothing is taken from the others): an average of successors
    gives 0 to what it has not seen, and one such answer would make the mean infinite. Two predictors are compared by
    the difference of what they pay on the same sequences.

    Arguments:
        probs: `(B, S)`, probabilities and not logits.
        answer: `(B,)`, int64.
        floor: 0 leaves the probabilities alone.

    Raises:
        ValueError: shapes that do not fit, rows that are no distribution, answers that are no states, or a floor
            outside of [0, 1).

    Source: textbook, but for the floor.

    Example:
        >>> log_losses(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([1, 1])).round(decimals=3)
        tensor([ 0.6930, 13.8160], dtype=torch.float64)
    """
    probs, answer = torch.as_tensor(probs), torch.as_tensor(answer)
    if probs.ndim != 2 or answer.shape != probs.shape[:1]:
        raise ValueError(f"probs {tuple(probs.shape)} and answer {tuple(answer.shape)}; they must be (B, S) and (B,)")
    check_tensor("answer", answer, (torch.int64,))
    if len(answer) and not 0 <= answer.min() <= answer.max() < probs.shape[1]:
        raise ValueError(f"answers run from {answer.min()} to {answer.max()}; they must lie in 0..{probs.shape[1] - 1}")
    check_fraction("floor", floor)
    rounding = 1e-9 if probs.dtype == torch.float64 else 1e-4
    if not (probs >= 0).all() or not ((probs.sum(-1) - 1).abs() < rounding).all():
        raise ValueError("probs must be distributions: entries from 0 on, and rows that sum to 1")
    return -probs.double().gather(-1, answer[:, None])[:, 0].clamp(min=floor).log()


def loss(
    probs: Tensor | np.ndarray, answer: Tensor | np.ndarray, *, floor: float = LEAST_FORECAST
) -> tuple[float, float]:
    r"""Mean of :math:`-\log p(\text{answer})` in nats, and its standard error over sequences; see `log_losses`.

    Arguments:
        probs: `(B, S)`, probabilities.
        answer: `(B,)`.
        floor: as in `log_losses`.

    Raises:
        ValueError: as `log_losses`, or a single sequence.

    Source: textbook.

    Example:
        >>> chains = MarkovTask().sample(100)
        >>> round(loss(uniform(chains), chains.answer)[0], 4)  # log 3
        1.0986
    """
    values = log_losses(probs, answer, floor=floor)
    if len(values) < 2:
        raise ValueError("one sequence gives no standard error; at least 2 are needed")
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def expected_log_losses(probs: Tensor | np.ndarray, chains: Chains, *, floor: float = LEAST_FORECAST) -> Tensor:
    r"""What the answer costs on average over the kernel of its sequence, `(B,)`, float64.

    .. math:: E[-\log p(\text{answer})] = -\sum_e \mu(e \mid z_L) \log p_e

    It has the mean of `log_losses` and a smaller error: no rare answer is drawn, since all are weighed.

    Arguments:
        probs: `(B, S)`, probabilities.
        chains: sequences with their kernels.
        floor: as in `log_losses`.

    Raises:
        ValueError: as `log_losses`.

    Source: own.

    Example:
        >>> chains = MarkovTask().sample(100)
        >>> expected_log_losses(uniform(chains), chains)[:2]  # log 3, whatever the kernel
        tensor([1.0986, 1.0986], dtype=torch.float64)
    """
    log_losses(probs, chains.answer, floor=floor)  # for its checks
    return -(true_conditional(chains) * torch.as_tensor(probs).double().clamp(min=floor).log()).sum(-1)


def excess_loss(probs: Tensor | np.ndarray, chains: Chains, *, expected: bool = False) -> tuple[float, float]:
    """Mean loss above exact Bayes, and its standard error: of the differences, sequence by sequence.

    Arguments:
        probs: `(B, S)`, probabilities.
        chains: two sequences at least, whose kernels have a Dirichlet prior.
        expected: whether to take `expected_log_losses` in place of `log_losses`.

    Raises:
        ValueError: as `log_losses` and `posterior_predictive`, or a single sequence.

    Source: own.

    Example:
        >>> chains = MarkovTask().sample(500)
        >>> excess_loss(posterior_predictive(chains), chains)
        (0.0, 0.0)
    """
    if len(chains) < 2:
        raise ValueError("one sequence gives no standard error; at least 2 are needed")
    bayes = posterior_predictive(chains)
    if expected:
        difference = expected_log_losses(probs, chains) - expected_log_losses(bayes, chains)
    else:
        difference = log_losses(probs, chains.answer) - log_losses(bayes, chains.answer)
    return difference.mean().item(), (difference.std() / len(difference) ** 0.5).item()


def agreement(p: Tensor | np.ndarray, q: Tensor | np.ndarray) -> tuple[float, float]:
    r"""How alike two predictions are: share of sequences with a common favourite, and mean total variation.

    .. math:: E \max_{F} |p(F) - q(F)| = \tfrac12\, E \sum_e |p_e - q_e|

    Arguments:
        p: probabilities, `(B, S)`.
        q: others, of the same shape. States that tie for the first place are all favourites.

    Raises:
        ValueError: shapes that are not `(B, S)` or not alike.

    Source: own.

    Example:
        >>> agreement(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.25, 0.75], [0.0, 1.0]]))
        (0.5, 0.625)
    """
    p, q = torch.as_tensor(p), torch.as_tensor(q)
    if p.ndim != 2 or not p.numel() or p.shape != q.shape:
        raise ValueError(f"predictions have shapes {tuple(p.shape)} and {tuple(q.shape)}; both must be (B, S)")
    p, q = p.double(), q.double()
    favourite = [probs >= probs.max(-1, keepdim=True).values - 1e-9 for probs in (p, q)]
    common = (favourite[0] & favourite[1]).any(-1).double().mean().item()
    return common, (p - q).abs().sum(-1).mean().item() / 2


def _dirichlet(random: np.random.Generator, shape: tuple[int, ...], concentration: float) -> np.ndarray:
    boost = np.log1p(-random.random(shape)) / concentration
    log = np.log(random.standard_gamma(concentration + 1, shape)) + boost
    rows = np.exp(log - log.max(-1, keepdims=True))
    return rows / rows.sum(-1, keepdims=True)


def _check_concentration(value: float) -> float:
    value = check_positive("concentration", value)
    if value < LEAST_CONCENTRATION:
        raise ValueError(f"concentration={value!r}; it must be {LEAST_CONCENTRATION} at least")
    return value


def check_lags(lags: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(lags, tuple) or any(isinstance(lag, bool) or not isinstance(lag, Integral) for lag in lags):
        raise ValueError(f"lags={lags!r}; they must be a tuple of whole numbers")
    if any(lag < 1 for lag in lags) or any(a >= b for a, b in pairwise(lags)):
        raise ValueError(f"lags={lags}; they must be at least 1 and increase")
    return tuple(int(lag) for lag in lags)


def check_tokens(tokens: Tensor, n_states: int, lags: tuple[int, ...]) -> None:
    check_tensor("tokens", tokens, (torch.int64,))
    if tokens.ndim != 2 or not len(tokens) or tokens.shape[1] <= max(lags, default=0):
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}; they must be (B, L) with B > 0 and L > {max(lags, default=0)}, "
            "so that one token at least has all its parents"
        )
    if tokens.min() < 0 or tokens.max() >= n_states:
        raise ValueError(f"tokens run from {tokens.min()} to {tokens.max()}; they must lie in 0..{n_states - 1}")
