"""In-context linear classification: the task, and what a batch of tasks is.

Letters, here and everywhere: B tasks in a batch, n context points, q queries, d features, K classes.
"""

from dataclasses import dataclass
from typing import Any

import torch

from icl_nb.checks import check_count, check_fraction, check_number, check_positive
from icl_nb.tasks.batch import UNLABELLED, Batch, SampledTask


@dataclass(frozen=True)
class LinearTask(SampledTask):
    r"""Multi-class linear classification with no margin.

    .. math:: w_1, \dots, w_K \sim N(0, I_d), \quad x_j \sim N(m 1, I_d),
        \quad y_j = \arg\max_k \langle w_k, x_j \rangle

    Nothing keeps a point away from the boundary, and nothing balances the classes.

    Arguments:
        n_points: context points n.
        n_features: features d.
        n_classes: classes K.
        noise: probability that a context label is replaced by one of the K - 1 others, drawn evenly. Answers are clean.
        shift: the mean m of every feature. Where it is not 0 the task keeps its permutation symmetry and loses its
            rotation symmetry.
        unlabelled: fraction of the context points whose label is hidden (-1); rounded down to whole points.

    Raises:
        ValueError: a count is too small, or a fraction is outside [0, 1).

    Source: paper A (arXiv 2604.11613), abstract; the options are our own.

    Example:
        >>> task = LinearTask(n_points=40, n_features=5, n_classes=3)
        >>> batch = task.sample(256, seed=0)
        >>> bool(((batch.x @ batch.w.mT).argmax(-1) == batch.y).all())
        True
    """

    n_points: int = 40
    n_features: int = 5
    n_classes: int = 3
    noise: float = 0.0
    shift: float = 0.0
    unlabelled: float = 0.0

    def __post_init__(self):
        for name, least in (("n_points", 1), ("n_features", 1), ("n_classes", 2)):
            object.__setattr__(self, name, check_count(name, getattr(self, name), least))
        for name in ("noise", "unlabelled"):
            object.__setattr__(self, name, check_fraction(name, getattr(self, name)))
        object.__setattr__(self, "shift", check_number("shift", self.shift))

    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        draw: dict[str, Any] = {"generator": random, "dtype": torch.float64}
        w = torch.randn(n_tasks, self.n_classes, self.n_features, **draw).to(dtype)
        x = (self.shift + torch.randn(n_tasks, self.n_points + n_queries, self.n_features, **draw)).to(dtype)
        y = (x.double() @ w.double().mT).argmax(-1)
        context = y[:, : self.n_points]
        if self.noise:
            flip = torch.rand(context.shape, **draw) < self.noise
            step = torch.randint(1, self.n_classes, context.shape, generator=random)
            context[flip] = (context + step)[flip] % self.n_classes
        # The points are exchangeable, so that hiding the last labels hides random ones.
        if n_hidden := int(self.unlabelled * self.n_points + 1e-9):  # 0.29 * 100 falls short of 29
            context[:, -n_hidden:] = UNLABELLED
        return Batch(x, y, w, self.n_classes, n_queries, self.noise)


@dataclass(frozen=True)
class MixedTask(SampledTask):
    r"""Linear classification of many sizes: each batch has its own n, d and K, drawn log-uniformly.

    .. math:: x_{ji} = \sqrt{1 - t}\, z_{ji} + \sqrt{t}\, \langle f_i, g_j \rangle, \quad
        y_j = \arg\max_k \big( \langle w_k, x_j \rangle + b_k \big), \quad b_k \sim N(0, s^2 d)

    with :math:`z, g, w` standard normal, g in two dimensions, every :math:`f_i` a random unit vector, and t uniform
    from 0 to `correlation` in each task: features have variance 1 and share two hidden factors. The features reach the
    reader times `feature_scale(d)`, so that one table of scalars can serve all d. W is not kept, for b is not
    part of it.

    Arguments:
        n_points: least and largest number of context points.
        n_features: of features.
        n_classes: of classes.
        correlation: largest share t of a feature's variance that is common, in [0, 1).
        bias: s, the size of the offsets, in units of the spread of a score; 0 or more.

    Raises:
        ValueError: a range is empty or starts too low, or an option is out of range.

    Source: own.

    Example:
        >>> batch = MixedTask().sample(4, seed=0)
        >>> batch.x.shape, batch.n_classes
        (torch.Size([4, 22, 6]), 2)
    """

    n_points: tuple[int, int] = (10, 128)
    n_features: tuple[int, int] = (2, 20)
    n_classes: tuple[int, int] = (2, 8)
    correlation: float = 0.0
    bias: float = 0.0

    def __post_init__(self):
        for name, least in (("n_points", 1), ("n_features", 1), ("n_classes", 2)):
            low, high = getattr(self, name)
            low = check_count(name, low, least)
            object.__setattr__(self, name, (low, check_count(name, high, low)))
        object.__setattr__(self, "correlation", check_fraction("correlation", self.correlation))
        object.__setattr__(self, "bias", check_positive("bias", self.bias, zero=True))

    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        draw: dict[str, Any] = {"generator": random, "dtype": torch.float64}
        uniform = torch.rand(3, **draw).tolist()
        ranges = (self.n_points, self.n_features, self.n_classes)
        # From low to just below high + 1, evenly in the logarithm, then cut: both ends can come out.
        n, d, k = (int(low * ((high + 1) / low) ** u) for (low, high), u in zip(ranges, uniform, strict=True))
        x = torch.randn(n_tasks, n + n_queries, d, **draw)
        w = torch.randn(n_tasks, k, d, **draw)
        if self.correlation:
            common = self.correlation * torch.rand(n_tasks, 1, 1, **draw)
            loadings = torch.nn.functional.normalize(torch.randn(n_tasks, d, 2, **draw), dim=-1)
            factors = torch.randn(n_tasks, n + n_queries, 2, **draw)
            x = (1 - common).sqrt() * x + common.sqrt() * factors @ loadings.mT
        scores = x @ w.mT
        if self.bias:
            scores += self.bias * d**0.5 * torch.randn(n_tasks, 1, k, **draw)
        x = (feature_scale(d) * x).to(dtype)
        return Batch(x, scores.argmax(-1), None, k, n_queries)


def feature_scale(n_features: int) -> float:
    r"""What features of variance 1 are multiplied by for a table that was trained at d = 5.

    .. math:: c = (5 / d)^{1/4}, \qquad \alpha \langle c x, c x' \rangle = \alpha \sqrt{5 / d}\, \langle x, x' \rangle

    Scaling by c is scaling alpha by c^2. Why the root: attention of strength alpha sees the class direction with weight
    alpha (chapter 6, T1) and rests on :math:`n e^{-\alpha^2 d}` of n points in effect, so that signal over noise,
    :math:`n \alpha^2 m^2 e^{-\alpha^2 d} / (1 + \alpha^2 m^2)` with m the component of the query along the class
    direction, is largest at an alpha proportional to :math:`d^{-1/2}`. That is an argument about the first layer;
    chapter 11 measures the best c, and its exponents agree with the rule within wide errors.

    Arguments:
        n_features: d

    Source: own.

    Example:
        >>> feature_scale(5), feature_scale(80)
        (1.0, 0.5)
    """
    check_count("n_features", n_features, 1)
    return (5 / n_features) ** 0.25
