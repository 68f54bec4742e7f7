"""Tasks as real tables are: classes that overlap, labels that err, features of all kinds.

Letters as in `tasks.batch`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from icl_nb.checks import check_count, check_fraction, check_number
from icl_nb.tasks.batch import Batch, SampledTask
from icl_nb.tasks.linear import feature_scale

TAMED = 4.0  # standard deviations, beyond which a feature hardly goes


@dataclass(frozen=True)
class TableTask(SampledTask):
    r"""Classification tasks of all sizes, with borders that are linear or bent, under every amount of noise.

    .. math:: p(y_j = k) = (1 - \eta)\, \mathrm{softmax}_k\, s \big( f_k(x_j) + b_k \big) + \text{flips}, \quad
        \log s \sim U

    Each batch has its own n, d and K, drawn log-uniformly, and each of its tasks: features that share hidden factors;
    each of them normal, skewed, heavy-tailed, uniform or in two values; scores :math:`f_k` of variance 1, linear with
    class vectors that are zero on a random share of the features, or a network with one hidden layer; offsets, which
    make the classes unequal; a sharpness s; in half of the tasks a share :math:`\eta` of flipped labels. The answers of
    the queries follow the same law as the context. The points come as `prepare` makes them. A batch has as many
    tasks as were asked for, or fewer, see `most`.

    Arguments:
        n_points: least and largest number of context points.
        n_features: of features.
        n_classes: of classes.
        log_sharpness: least and largest log s.
        flips: largest share of labels that are replaced by another class.
        curved: share of the tasks whose scores are not linear.
        whiten: as in `prepare`.
        most: context points of a batch; one that would have more has fewer tasks.

    Raises:
        ValueError: a range is empty or starts too low, or an option is out of range.

    Source: own.

    Example:
        >>> batch = TableTask().sample(4, seed=0, n_queries=2)
        >>> len(batch), batch.n_queries, batch.w is None
        (4, 2, True)
    """

    n_points: tuple[int, int] = (10, 512)
    n_features: tuple[int, int] = (2, 40)
    n_classes: tuple[int, int] = (2, 8)
    log_sharpness: tuple[float, float] = (-0.7, 4.0)
    flips: float = 0.3
    curved: float = 0.0
    whiten: float = 0.5
    most: int = 6000

    def __post_init__(self):
        for name, least in (("n_points", 2), ("n_features", 1), ("n_classes", 2)):
            low, high = getattr(self, name)
            low = check_count(name, low, least)
            object.__setattr__(self, name, (low, check_count(name, high, low)))
        low, high = (check_number("log_sharpness", value) for value in self.log_sharpness)
        if low > high:
            raise ValueError(f"log_sharpness={self.log_sharpness!r}; it must rise")
        object.__setattr__(self, "log_sharpness", (low, high))
        for name in ("flips", "curved", "whiten"):
            object.__setattr__(self, name, check_fraction(name, getattr(self, name), one=True))
        object.__setattr__(self, "most", check_count("most", self.most, 1))

    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        draw: dict[str, Any] = {
            "generator": random,
            "dtype": torch.float32,
        }  # twice as fast, and as good in what follows
        uniform = torch.rand(3, **draw).tolist()
        ranges = (self.n_points, self.n_features, self.n_classes)
        n, d, k = (int(low * ((high + 1) / low) ** u) for (low, high), u in zip(ranges, uniform, strict=True))
        tasks, points = max(1, min(n_tasks, self.most // n)), n + n_queries
        x = _features(tasks, points, d, draw)
        scores = _scores(x, k, self.curved, draw)
        offsets = torch.rand(tasks, 1, 1, **draw) * torch.randn(tasks, 1, k, **draw)
        low, high = self.log_sharpness
        sharpness = torch.exp(low + (high - low) * torch.rand(tasks, 1, 1, **draw))
        gumbel = -torch.log(-torch.log(torch.rand(tasks, points, k, **draw).clamp(1e-7, 1 - 1e-7)))
        y = (sharpness * (scores + offsets) + gumbel).argmax(-1)
        rate = self.flips * (2 * torch.rand(tasks, 1, **draw) - 1).clamp(min=0)  # none in half of the tasks
        flip = torch.rand(tasks, points, **draw) < rate
        y = torch.where(flip, (y + torch.randint(1, k, y.shape, generator=random)) % k, y)
        x = prepare(x, n, whiten=self.whiten).to(dtype)
        return Batch(x, y, None, k, n_queries)


def _features(tasks: int, points: int, d: int, draw: dict) -> Tensor:
    """Points `(B, N, d)` whose features share up to four factors and have margins of five kinds."""
    common = 0.9 * torch.rand(tasks, 1, 1, **draw)
    loadings = torch.randn(tasks, d, 4, **draw) * (torch.rand(tasks, 1, 4, **draw) < 0.6)
    loadings = torch.nn.functional.normalize(loadings, dim=-1)
    x = (1 - common).sqrt() * torch.randn(tasks, points, d, **draw)
    x += common.sqrt() * torch.randn(tasks, points, 4, **draw) @ loadings.mT
    # Half of the tasks are normal in all features; in the others each feature is of a kind of its own.
    kind = torch.randint(0, 6, (tasks, 1, d), generator=draw["generator"])
    kind *= torch.rand(tasks, 1, 1, **draw) < 0.5
    size = torch.rand(tasks, 1, d, **draw)
    cut = torch.special.ndtri(0.1 + 0.8 * size)
    sign = torch.where(torch.rand(tasks, 1, d, **draw) < 0.5, -1.0, 1.0)
    margins = (
        sign * torch.exp((0.3 + 0.9 * size) * x.clamp(-4, 4)),
        torch.sinh((0.3 + 0.7 * size) * x.clamp(-4, 4)),
        torch.special.ndtr(x),
        (x > cut).to(x.dtype),
    )
    for number, margin in enumerate(margins):
        x = torch.where(kind == number + 2, margin, x)
    x = x - x.mean(1, keepdim=True)
    return x / x.std(1, keepdim=True).clamp(min=1e-6)


def _scores(x: Tensor, k: int, curved: float, draw: dict) -> Tensor:
    """Scores `(B, N, k)` of variance 1 in each task."""
    tasks, _, d = x.shape
    w = torch.randn(tasks, d, k, **draw)
    share = torch.rand(tasks, 1, 1, **draw)  # of the features that a class does not look at
    shared = torch.rand(tasks, d, 1, **draw) < share  # the same ones for all classes, or each its own
    own = torch.rand(tasks, d, k, **draw) < share
    dead = torch.where(torch.rand(tasks, 1, 1, **draw) < 0.5, shared, own)
    dead[:, 0] &= dead.logical_not().any(1, keepdim=True)[:, 0]  # somebody looks at something
    scores = _unit(x @ (w * ~dead))
    if not curved:
        return scores
    hidden = 12
    mask = torch.rand(tasks, d, hidden, **draw) < torch.rand(tasks, 1, 1, **draw)
    mask[:, 0] |= ~mask.any(1)
    bumps = _unit(x @ (torch.randn(tasks, d, hidden, **draw) * mask * ~shared), each=True)
    bumps = bumps + torch.randn(tasks, 1, hidden, **draw)
    kind = torch.randint(0, 3, (tasks, 1, 1), generator=draw["generator"])
    bumps = torch.where(kind == 0, bumps.abs(), torch.where(kind == 1, (2 * bumps).tanh(), torch.exp(-(bumps**2))))
    bent = _unit(bumps @ torch.randn(tasks, hidden, k, **draw))
    part = torch.rand(tasks, 1, 1, **draw) * (torch.rand(tasks, 1, 1, **draw) < curved)
    return _unit((1 - part).sqrt() * scores + part.sqrt() * bent)


def _unit(values: Tensor, each: bool = False) -> Tensor:
    """Mean 0, and variance 1 over the points of a task, of each column or of all together."""
    values = values - values.mean(1, keepdim=True)
    power = values.square().mean(1, keepdim=True)
    return values / (power if each else power.mean(-1, keepdim=True)).clamp(min=1e-6).sqrt()


def prepare(x: Tensor, n: int, *, whiten: float = 0.5) -> Tensor:
    r"""Points as `RecursionClassifier` hands them to the recursion, from what the first n say of mean and covariance.

    .. math:: x \leftarrow (x - \bar x) / \sigma, \quad
        x \leftarrow x / \sqrt{1 + x^2 / 16}, \quad x \leftarrow c\, v\, C^{-p/2} x

    with C the covariance, shrunk as Ledoit and Wolf (2004) do, v such that the total variance stays, and
    c = `feature_scale(d)`.

    Arguments:
        x: `(B, N, d)`.
        n: points of the context, which come first.
        whiten: p; 0 leaves correlations as they are, 1 removes them.

    Returns:
        `(B, N, d)`, in the dtype of x.

    Raises:
        ValueError: a context of fewer than two points.

    Source: own, but for the shrinkage.

    Example:
        >>> prepare(torch.tensor([[[1.0], [3.0], [2.0]]]), 2, whiten=0).flatten().tolist()[2]
        0.0
    """
    check_count("n", n, 2)
    d = x.shape[-1]
    context = x[:, :n]
    spread = context.std(1, unbiased=False, keepdim=True)
    x = torch.where(spread > 1e-6, (x - context.mean(1, keepdim=True)) / spread.clamp(min=1e-6), 0)
    x = x / (1 + (x / TAMED) ** 2).sqrt()
    if whiten and d > 1:
        context = x[:, :n] - x[:, :n].mean(1, keepdim=True)
        values, vectors = torch.linalg.eigh(_shrunk(context))
        values = values.clamp(min=1e-6)
        kept = (values.sum(-1) / (values ** (1 - whiten)).sum(-1)).sqrt()[:, None, None]
        x = kept * x @ (vectors * values[:, None] ** (-whiten / 2) @ vectors.mT)
    return feature_scale(d) * x


def _shrunk(context: Tensor) -> Tensor:
    """Covariances `(B, d, d)` of centred points `(B, n, d)`, shrunk towards a multiple of the identity."""
    _, n, d = context.shape
    C = context.mT @ context / n
    level = C.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    away = (C - level * torch.eye(d, dtype=C.dtype)).square().sum((-2, -1), keepdim=True)
    squares = context.square()
    noise = ((squares.mT @ squares).sum((-2, -1), keepdim=True) / n - C.square().sum((-2, -1), keepdim=True)) / n
    share = torch.where(away > 0, (noise / away.clamp(min=1e-30)).clamp(0, 1), 0)
    return (1 - share) * C + share * level * torch.eye(d, dtype=C.dtype)
