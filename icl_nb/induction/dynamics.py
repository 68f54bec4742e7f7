r"""How fast the parts of the simplified model move: the sharpness on its own, selector and heads while a is tiny.

Time is what gradient flow counts: the rate of descent times the steps. Letters as in `tasks` and `limit`; what is
predicted here is counted on sequences, and nothing is fitted.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import softmax

from icl_nb.checks import check_count, check_fraction, check_number, check_positive
from icl_nb.induction.information import InformationTable
from icl_nb.induction.models import InductionTransformer
from icl_nb.induction.tasks import Chains, histories, match_counts, unigram_counts

START = 0.01  # the sharpness that `InductionTransformer` starts with


class _Growth:
    """What grows at a `rate` that depends on itself alone."""

    def rate(self, a: float) -> float:
        raise NotImplementedError

    def path(self, times: ArrayLike, start: float = START) -> np.ndarray:
        """The sharpness at given times, `(T,)`, by numerical integration of `rate` from `start` at time 0.

        Raises:
            ValueError: times that are no increasing row of numbers from 0 on.
        """
        times = _increasing(times)
        if times[-1] == 0:
            return np.array([float(start)])
        flow = solve_ivp(lambda _, a: [self.rate(a[0])], (0, times[-1]), [start], "LSODA", times, rtol=1e-8, atol=1e-8)
        return flow.y[0]

    def limit(self, start: float = START) -> float:
        """Where the sharpness stops that starts from `start`: a zero of `rate`, or infinity of either sign.

        What has not turned back 256 beyond the start counts as endless.
        """
        way = np.sign(self.rate(start))
        for reach in 2.0 ** np.arange(-4, 9):
            if way * self.rate(start + way * reach) <= 0:
                return float(brentq(self.rate, start, start + way * reach)) if way else start
        return float(way * np.inf)


def _check_sharpness(a: float) -> None:
    """Refuse what `rate` cannot take.

    Raises:
        ValueError: a is not a number from -300 to 300.
    """
    if not -300 <= a <= 300:
        raise ValueError(f"a={a!r}; it must lie between -300 and 300")


@dataclass(frozen=True, eq=False)
class SharpnessGrowth(_Growth):
    r"""Growth of the sharpness by gradient flow on given sequences, while copying and matching are exact.

    .. math:: \frac{da}{dt} = E \Bigl[ \frac{n_e}{n_e + r\, e^{-a}} - \frac{n}{n + (N - n) e^{-a}} \Bigr],
        \quad r = N u_e - n_e

    with e the answer, n matches, :math:`n_e` of them followed by e, and r tokens e elsewhere: the slope of the mean of
    :math:`\log y_e` for `generalized_induction_head`. A sequence that does not hold its answer counts as 0, for
    `train_induction` learns nothing from it either.

    Arguments:
        right: :math:`n_e`, `(B,)`.
        matches: n, `(B,)`.
        answers: :math:`N u_e`, `(B,)`.
        n_tokens: N

    Raises:
        ValueError: counts that are no `(B,)` arrays, or not :math:`0 \le n_e \le n \le N` with
            :math:`n_e \le N u_e \le N - n + n_e`.

    Source: own; B = 0 is the logarithmic growth of paper B (arXiv 2409.10559).

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> growth = SharpnessGrowth.count(MarkovTask().sample(2000))
        >>> bool(abs(growth.path([1e5])[-1] - growth.limit()) < 1e-3)
        True
    """

    right: np.ndarray
    matches: np.ndarray
    answers: np.ndarray
    n_tokens: int

    def __post_init__(self):
        for name in ("right", "matches", "answers"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), float))
        right, n, every = counts = self.right, self.matches, self.answers
        check_count("n_tokens", self.n_tokens, 1)
        if right.ndim != 1 or not right.size or any(c.shape != right.shape for c in counts):
            raise ValueError(f"counts have shapes {[c.shape for c in counts]}; they must be (B,) with B > 0, all alike")
        elsewhere = every - right
        if not ((right >= 0) & (right <= n) & (elsewhere >= 0) & (elsewhere <= self.n_tokens - n)).all():
            raise ValueError(
                f"counts must be those of n_tokens={self.n_tokens}: 0 <= right <= matches, "
                "and 0 <= answers - right <= n_tokens - matches"
            )

    @classmethod
    def count(cls, chains: Chains, lags: tuple[int, ...] | None = None) -> "SharpnessGrowth":
        """Count on sequences, whose history is that at `lags`, by default at those of the chains."""
        lags = chains.lags if lags is None else lags
        matches, every = match_counts(chains, lags), unigram_counts(chains, lags)
        right, answers = (table.gather(1, chains.answer[:, None])[:, 0].numpy() for table in (matches, every))
        return cls(right, matches.sum(-1).numpy(), answers, chains.tokens.shape[1] - max(lags, default=0))

    def rate(self, a: float) -> float:
        """da / dt at sharpness a, any number from -300 to 300.

        Raises:
            ValueError: a is not such a number.
        """
        _check_sharpness(a)
        right, n, held = self.right, self.matches, self.answers > 0
        # On one denominator: the difference of two fractions that both tend to 1 would lose all its digits.
        e, elsewhere = np.exp(-a), self.answers - right
        above = e * (right * (self.n_tokens - n) - n * elsewhere)
        below = (right + elsewhere * e) * (n + (self.n_tokens - n) * e)
        return float(np.divide(above, below, out=np.zeros_like(above), where=held).mean())

    def constants(self) -> tuple[float, float]:
        r"""C and B of the law for large a.

        .. math:: \frac{da}{dt} = C e^{-a} - B + O(e^{-2a}), \quad
            C = E \Bigl[ 1_{n > 0} \frac{N - n}{n} - 1_{n_e > 0} \frac{r}{n_e} \Bigr], \quad B = P(n_e = 0 < n)

        Sequences that do not hold their answer are left out of both, as in `rate`. (Where :math:`n_e = 0` the
        expansion begins with :math:`-1 + e^{-a} (N - n) / n`, whence the first indicator.)
        """
        right, n, held = self.right, self.matches, self.answers > 0
        gain = np.divide(self.n_tokens - n, n, out=np.zeros_like(n), where=held & (n > 0))
        gain -= np.divide(self.answers - right, right, out=np.zeros_like(n), where=right > 0)
        return float(gain.mean()), float((held & (right == 0) & (n > 0)).mean())


@dataclass(frozen=True, eq=False)
class SoftmaxedGrowth(_Growth):
    r"""As `SharpnessGrowth`, where the loss is the cross-entropy of softmax(y): a second softmax over probabilities.

    .. math:: \frac{da}{dt} = E \sum_e \bigl( 1_e - \mathrm{softmax}(y)_e \bigr) \frac{dy_e}{da}, \quad
        \frac{dy_e}{da} = e^{-a}\, \frac{n_e (N - n) - n\, r_e}{(n + (N - n) e^{-a})^2}

    with :math:`1_e` for the answer, :math:`n_e` matches followed by e and :math:`r_e` tokens e elsewhere. Every
    sequence falls like :math:`e^{-a}`, since such a loss is bounded: no B is left.

    Arguments:
        followed: :math:`n_e`, `(B, S)`.
        every: :math:`N u_e`, `(B, S)`.
        answer: `(B,)`, whole numbers in `0..S-1`.

    Raises:
        ValueError: shapes that do not fit, counts that are not :math:`0 \le n_e \le N u_e`, or unknown answers.

    Source: own; the loss is that of the public code of paper B (arXiv 2409.10559).

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> growth = SoftmaxedGrowth.count(MarkovTask().sample(2000))
        >>> early, late = growth.path([1e5, 1e7])
        >>> bool(growth.limit() == np.inf), round(float((late - early) / np.log(100)), 2)  # as the logarithm
        (True, 1.0)
    """

    followed: np.ndarray
    every: np.ndarray
    answer: np.ndarray

    def __post_init__(self):
        for name, kind in (("followed", float), ("every", float), ("answer", int)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        n, every, answer = self.followed, self.every, self.answer
        if n.ndim != 2 or not n.size or every.shape != n.shape or answer.shape != n.shape[:1]:
            raise ValueError(f"counts {n.shape}, {every.shape}, answers {answer.shape}; they must be (B, S) and (B,)")
        if not ((n >= 0) & (n <= every)).all() or answer.min() < 0 or answer.max() >= n.shape[1]:
            raise ValueError("counts must be 0 <= followed <= every, and answers lie in 0..S-1")

    @classmethod
    def count(cls, chains: Chains, lags: tuple[int, ...] | None = None) -> "SoftmaxedGrowth":
        """Count on sequences, whose history is that at `lags`, by default at those of the chains."""
        lags = chains.lags if lags is None else lags
        return cls(match_counts(chains, lags).numpy(), unigram_counts(chains, lags).numpy(), chains.answer.numpy())

    def rate(self, a: float) -> float:
        """da / dt at sharpness a, any number from -300 to 300.

        Raises:
            ValueError: a is not such a number.
        """
        _check_sharpness(a)
        return float(np.exp(-a) * self._slopes(np.exp(-a)).mean())

    def constant(self) -> float:
        r"""C of :math:`da/dt = C e^{-a} + O(e^{-2a})`, the law for large a."""
        return float(self._slopes(0.0).mean())

    def _slopes(self, e: float) -> np.ndarray:
        """The rate of each sequence, over e = exp(-a)."""
        n, elsewhere = self.followed.sum(-1, keepdims=True), self.every - self.followed
        others = elsewhere.sum(-1, keepdims=True)
        below = n + others * e
        told = below > 0  # where e = 0 and nothing matches, y does not depend on a
        y = np.divide(self.followed + elsewhere * e, below, out=np.zeros_like(elsewhere), where=told)
        dy = np.divide(self.followed * others - n * elsewhere, below**2, out=np.zeros_like(elsewhere), where=told)
        chosen = np.arange(y.shape[1]) == self.answer[:, None]
        return ((chosen - softmax(y, -1)) * dy).sum(-1)


def sharpness_law(times: ArrayLike, c: float, b: float, start: float = START) -> np.ndarray:
    r"""Solution of :math:`da/dt = C e^{-a} - B`, `(T,)`, with C and B of `SharpnessGrowth.constants`.

    .. math:: e^{a(t)} = e^{a_0 - B t} + C\, \frac{1 - e^{-B t}}{B}, \qquad \text{with } B = 0{:} \quad
        e^{a(t)} = e^{a_0} + C t

    It ends at :math:`\log(C / B)`. A law for large a: from a small start it is too high on the way, where
    `SharpnessGrowth.path` follows the flow itself.

    Arguments:
        times: from 0 on.
        c: C, positive.
        b: B, from 0 on.
        start: :math:`a_0`.

    Raises:
        ValueError: a number is out of range, or so large that the law is not finite.

    Source: own; with B = 0 the theory of paper B (arXiv 2409.10559).

    Example:
        >>> sharpness_law([0, 1e6], c=2.0, b=0.01).round(3)  # log(2 / 0.01) = 5.298
        array([0.01 , 5.298])
    """
    times = np.asarray(times, float)
    if not (times >= 0).all() or not 0 < c < np.inf or not 0 <= b < np.inf:
        raise ValueError(f"times, c={c!r} and b={b!r}; times must be from 0 on, c positive, b from 0 on, all finite")
    check_number("start", start)
    with np.errstate(over="ignore", divide="ignore"):  # what comes of it is seen at once
        law = np.log(np.exp(start - b * times) + c * (-np.expm1(-b * times) / b if b else times))
    if not np.isfinite(law).all():
        raise ValueError(f"c={c!r}, b={b!r}, start={start!r}: these must be numbers for which e^a is one too")
    return law


@torch.no_grad()
def blurred_information(model: InductionTransformer, chains: Chains) -> InformationTable:
    r"""What each subset A of heads tells about the answer, with the history as these heads copy it, a row a sequence.

    .. math:: g_A = \frac{1}{L u_e} \sum_{t : x_t = e} s_t^A - \frac{1}{L} \sum_t s_t^A, \quad
        s_t^A = \prod_{h \in A} \langle v_t^h, v_L^h \rangle

    with e the answer: the slope of :math:`\log y_e` at a = 0 for a model that has this subset alone. With heads that
    copy one lag each its mean tends to the modified chi-square information of their lags as sequences grow; a sequence
    that does not hold its answer counts as 0.

    Arguments:
        model: its heads; selector and sharpness play no part.
        chains: sequences with their answers.

    Returns:
        A table with one column for each of `model.subsets`, named by the lags that its heads copy most.

    Raises:
        ValueError: tokens that the model does not know, or sequences shorter than its window.

    Source: own, after paper B (arXiv 2409.10559), modified chi-square mutual information.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> blurred_information(InductionTransformer(), MarkovTask().sample(2000)).best
        (1, 2)
    """
    answer = (chains.tokens == chains.answer[:, None]).double()
    held = answer.sum(-1, keepdim=True)
    lean = torch.where(held > 0, answer / held.clamp(min=1) - 1 / answer.shape[1], 0)
    values = [(lean * product).sum(-1) for product in model.products(chains.tokens)]
    copied = (model.copying().argmax(-1) + 1).tolist()
    sets = [tuple(sorted({copied[head] for head in subset})) for subset in model.subsets]
    return InformationTable(sets, torch.stack(values, -1).numpy())


def replicator(gains: ArrayLike, times: ArrayLike, start: ArrayLike | None = None) -> np.ndarray:
    r"""Weights of the selector's subsets under gradient flow on c, while a is tiny and the heads rest.

    .. math:: \frac{dp_A}{dt} = 4 a\, p_A (g_A - \textstyle\sum_R p_R g_R), \quad
        p_A(t) \propto p_A(0)\, e^{4 a g_A t}

    for :math:`p_A = c_A^2 / \lVert c \rVert^2` with :math:`\lVert c \rVert = 1`, a length that the flow keeps.

    Arguments:
        gains: :math:`g_A`, `(A,)`, such as the mean of `blurred_information`.
        times: :math:`a t`, the sharpness times rate times steps; a number or `(T,)`.
        start: p(0), `(A,)`, positive and with sum 1; by default all equal.

    Returns:
        `(A,)` or `(T, A)`.

    Raises:
        ValueError: gains that are no row of finite numbers, times below 0, or a start that does not fit.

    Source: own.

    Example:
        >>> replicator([0.2, 0.1], [0, 10, 100]).round(3)
        array([[0.5  , 0.5  ],
               [0.982, 0.018],
               [1.   , 0.   ]])
    """
    gains, times = np.asarray(gains, float), np.asarray(times, float)
    if gains.ndim != 1 or not gains.size or not np.isfinite(gains).all():
        raise ValueError(f"gains have shape {gains.shape}; they must be one or more finite numbers (A,)")
    if times.ndim > 1 or not (np.isfinite(times) & (times >= 0)).all():
        raise ValueError("times must be a number or a row of numbers, finite and from 0 on")
    start = np.full(len(gains), 1 / len(gains)) if start is None else np.asarray(start, float)
    if start.shape != gains.shape or not (start > 0).all() or abs(start.sum() - 1) > 1e-9:
        raise ValueError(f"start {start}; it must be {len(gains)} positive numbers that sum to 1")
    with np.errstate(over="ignore"):  # a weight that is gone for good
        grown = start * np.exp(4 * (times[..., None] * (gains - gains.max())))
    return grown / grown.sum(-1, keepdims=True)


@torch.no_grad()
def head_moments(chains: Chains, window: int, size: int) -> np.ndarray:
    r"""All that the first step of the heads needs to know of the sequences, an array of 2 `size` axes of M lags each.

    .. math:: K_{m_1 m_1' \dots m_k m_k'} = E \sum_t \Bigl( \frac{1\{x_t = e\}}{L u_e} - \frac1L \Bigr)
        \prod_{i=1}^k 1\{x_{t - m_i} = x_{L - m_i'}\}

    with e the answer: the gain :math:`g_A` of `blurred_information` is K summed against
    :math:`\sigma^h_{m_i} \sigma^h_{m_i'}` of the k heads h in A.

    Arguments:
        chains: sequences with their answers; one that does not hold its answer counts as 0.
        window: M
        size: k, the number of heads in a set.

    Raises:
        ValueError: a count below 1, or sequences shorter than the window.

    Source: own.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> k = head_moments(MarkovTask().sample(500), window=3, size=2)
        >>> k.shape, bool(k[0, 0, 1, 1] > k[0, 0, 2, 2])  # exact copies of lags 1 and 2, or of 1 and 3
        ((3, 3, 3, 3), True)
    """
    check_count("window", window, 1)
    check_count("size", size, 1)
    model = InductionTransformer(chains.n_states, window).double()
    pairs = model.matches(chains.tokens).reshape(window**2, -1)  # (M M, B L)
    answer = (chains.tokens == chains.answer[:, None]).double()
    held = answer.sum(-1, keepdim=True)
    lean = torch.where(held > 0, answer / held.clamp(min=1) - 1 / answer.shape[1], 0).flatten() / len(chains)
    rows = pairs
    for _ in range(size - 2):
        rows = (rows[:, None] * pairs).flatten(0, 1)
    moments = rows @ lean if size == 1 else (rows * lean) @ pairs.T
    return moments.reshape((window,) * (2 * size)).numpy()


def head_flow(model: InductionTransformer, chains: Chains, times: ArrayLike) -> np.ndarray:
    r"""Attention of the heads by lag under gradient flow on w, while a is tiny and the selector rests: `(T, H, M)`.

    .. math:: \frac{dw^h}{dt} = \nabla_{w^h} \sum_A p_A\, g_A(w)

    with :math:`g_A` of `blurred_information` and t counted as the sharpness times rate times steps. Nothing is fitted:
    all that is measured on the sequences are `head_moments`.

    Arguments:
        model: where the heads start, and the selector that rests.
        chains: sequences with their answers.
        times: from 0 on, increasing.

    Raises:
        ValueError: times that are no such row, or a model with unit copies or windows of its heads, whose flow is
            another.

    Source: own.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> flow = head_flow(InductionTransformer(subsets=[(0, 1)]), MarkovTask().sample(500), [0, 100, 1000])
        >>> flow[:, 0, 0].round(2)  # the first head on lag 1
        array([0.9 , 0.98, 1.  ])
    """
    times = _increasing(times)
    if model.unit_copies or model.windows is not None:
        raise ValueError("the flow is that of copies as they are, in the window of the model")
    shape, p = (model.heads, model.window), model.selection().detach().double().numpy()
    sizes = {len(subset) for subset in model.subsets} - {0}
    moments = {size: head_moments(chains, model.window, size) for size in sizes}

    def slope(_: float, w: np.ndarray) -> np.ndarray:
        attention = softmax(w.reshape(shape), -1)
        gradient = np.zeros(shape)
        for weight, subset in zip(p, model.subsets, strict=True):
            for place, head in enumerate(subset):
                rest = moments[len(subset)]
                for other in reversed(range(len(subset))):  # the last pair of axes first
                    if other != place:
                        rest = np.tensordot(rest, attention[subset[other]], ([2 * other + 1], [0]))
                        rest = np.tensordot(rest, attention[subset[other]], ([2 * other], [0]))
                gradient[head] += weight * (rest + rest.T) @ attention[head]
        inside = (attention * gradient).sum(-1, keepdims=True)
        return (attention * (gradient - inside)).ravel()

    start = model.w.detach().double().numpy().ravel()
    flow = solve_ivp(slope, (0, max(times[-1], 1e-9)), start, "LSODA", times, rtol=1e-8, atol=1e-8)
    return softmax(flow.y.T.reshape(-1, *shape), -1)


def copying_rate(chains: Chains, lags: tuple[int, ...], window: int) -> np.ndarray:
    r"""How fast a head that copies the i-th of these lags sheds its blur, once all copies are nearly exact: `(k,)`.

    .. math:: \frac{d\varepsilon}{dt} = -\kappa\, \varepsilon^2, \qquad
        \frac1\kappa = \frac1M \sum_{m \ne l_i} \frac{1}{\lambda_m}, \qquad
        \lambda_m = 2 g - g_{m, l_i} - g_{l_i, m}

    with :math:`\varepsilon = 1 - \sigma_{l_i}` the blur of the head, g the gain of exact copies and
    :math:`g_{m, l}` that gain where, of the two places that are compared, one copies lag m and the other lag l in place
    of :math:`l_i`. The square is the softmax: :math:`\lambda_m` pushes the scores apart in proportion to the blur, and
    the blur falls in proportion to itself.

    Arguments:
        chains: sequences with their answers.
        lags: what the heads of the selected set copy, one each.
        window: M

    Raises:
        ValueError: lags that are not 1 to M, or one that leads another nowhere (a :math:`\lambda_m` that is not
            positive), so that there is no such law.

    Source: own.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> bool((copying_rate(MarkovTask().sample(2000), (1, 2), window=3) > 0).all())
        True
    """
    if not lags or not set(lags) <= set(range(1, window + 1)):
        raise ValueError(f"lags={lags}; they must be some of the lags 1..{window}")
    moments = head_moments(chains, window, len(lags))
    own = [lag - 1 for lag in lags for _ in range(2)]
    rates = []
    for place, lag in enumerate(lags):
        where = [slice(None) if axis // 2 == place else index for axis, index in enumerate(own)]
        gain = moments[tuple(where)]  # (M, M)
        push = 2 * gain[lag - 1, lag - 1] - gain[:, lag - 1] - gain[lag - 1]
        push = np.delete(push, lag - 1)
        if not (push > 0).all():
            raise ValueError(f"another lag gains as much as {lag}: no law holds for its head")
        rates.append(window / (1 / push).sum())
    return np.array(rates)


def copying_law(times: ArrayLike, rate: float, start: float) -> np.ndarray:
    r"""Blur of a head, one minus its attention to its lag, by the law for small blur: `(T,)`.

    .. math:: \varepsilon(t) = \frac{\varepsilon_0}{1 + \kappa\, \varepsilon_0\, t}

    It falls like 1 / t, whatever it starts from, and never exponentially.

    Arguments:
        times: from 0 on: the sharpness times the weight of the set times rate times steps.
        rate: :math:`\kappa`, of `copying_rate`.
        start: :math:`\varepsilon_0`, between 0 and 1.

    Raises:
        ValueError: a number is out of range.

    Source: own.

    Example:
        >>> copying_law([0, 10, 1000], rate=1.0, start=0.1).round(4)
        array([0.1  , 0.05 , 0.001])
    """
    times = np.asarray(times, float)
    check_positive("rate", rate)
    check_fraction("start", start)
    if not (np.isfinite(times) & (times >= 0)).all():
        raise ValueError("times must be finite, and from 0 on")
    return start / (1 + rate * start * times)


def _increasing(times: ArrayLike) -> np.ndarray:
    """The times, if they are one or more numbers from 0 on that increase.

    Raises:
        ValueError: they are not.
    """
    times = np.asarray(times, float)
    if times.ndim != 1 or not times.size or not times[0] >= 0 or not (np.diff(times) > 0).all():
        raise ValueError("times must be one or more numbers from 0 on that increase")
    return times


@torch.no_grad()
def effective_sharpness(model: InductionTransformer, chains: Chains) -> float:
    r"""How much more a matching place weighs than another, as the sharpness of a head that copies exactly.

    .. math:: \hat a = \log \frac{\text{mean of } e^{a s_t} \text{ over matching places}}
        {\text{mean of } e^{a s_t} \text{ over the others}}

    Arguments:
        model: of any sharpness.
        chains: sequences; places match by the parents of the chains, and those that lack a parent are left out.

    Raises:
        ValueError: no place matches, or every one; tokens that the model does not know.

    Source: own.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> exact = InductionTransformer(subsets=[(0, 1)], start=(1e3, 0.0), sharpness=4.0)
        >>> round(effective_sharpness(exact, MarkovTask().sample(50)), 4)
        4.0
    """
    rows = histories(chains.tokens, chains.lags, chains.n_states)
    match = rows[:, :-1] == rows[:, -1:]
    if match.all() or not match.any():
        raise ValueError("matching places and others are compared, and these sequences lack one kind")
    weight = (model.a * model.similarity(chains.tokens)[:, max(chains.lags) :]).exp()
    return (weight[match].mean() / weight[~match].mean()).log().item()


def half_way(values: ArrayLike) -> int:
    r"""The first place at which half of a change is done.

    .. math:: \min \{ i : |v_i - v_0| \ge |v_T - v_0| / 2 \}

    Arguments:
        values: a recorded course, `(T,)`.

    Raises:
        ValueError: no row of finite numbers.

    Source: own.

    Example:
        >>> half_way([0.0, 0.1, 0.7, 0.9, 1.0])
        2
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"values have shape {values.shape}; they must be one or more finite numbers (T,)")
    change = np.abs(values - values[0])
    return int(np.argmax(change >= change[-1] / 2))
