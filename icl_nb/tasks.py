"""In-context linear classification: the task, and what a batch of tasks is.

Letters, here and everywhere: B tasks in a batch, n context points, q queries, d features, K classes.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNLABELLED = -1


@dataclass(frozen=True)
class Batch:
    r"""B tasks: n context points and q queries each; the queries come last.

    Arguments:
        x: points, `(B, n + q, d)`, float32 or float64.
        y: labels in `0..K-1`, `(B, n + q)`, int64. A context label of -1 marks an unlabelled point; the labels of
            the queries are the answers, which no predictor reads.
        w: class vectors that labelled the points, `(B, K, d)`, or None where nobody knows them (real data).
        n_classes: K.
        n_queries: q.
        noise: probability with which a context label was replaced, see `LinearTask`.

    Raises:
        ValueError: shapes disagree, dtypes are not as above, a value is not finite, a label is out of range, a
            context has no labelled point, or K < 2, or n, q or d is 0.

    Example:
        >>> batch = LinearTask(n_points=40, n_features=5, n_classes=3).sample(256, seed=0)
        >>> batch.context_x.shape, batch.context_y.shape, batch.query_x.shape
        (torch.Size([256, 40, 5]), torch.Size([256, 40]), torch.Size([256, 1, 5]))
    """

    x: Tensor
    y: Tensor
    w: Tensor | None
    n_classes: int
    n_queries: int = 1
    noise: float = 0.0

    def __post_init__(self):
        n_points = self.x.shape[1] if self.x.ndim == 3 else 0
        check_count("n_queries", self.n_queries, 1)
        if self.n_queries >= n_points and self.x.ndim == 3:
            raise ValueError(
                f"n_queries={self.n_queries} of {n_points} points leaves no context; at least one is needed"
            )
        check_prompt(self.x, self.y[:, : n_points - self.n_queries] if self.y.ndim == 2 else self.y, self.n_classes)
        if self.y.shape != self.x.shape[:2]:
            raise ValueError(
                f"y has shape {tuple(self.y.shape)}; with x {tuple(self.x.shape)} it must be {tuple(self.x.shape[:2])}"
            )
        answers = self.y[:, -self.n_queries :]
        if answers.min() < 0 or answers.max() >= self.n_classes:
            raise ValueError(f"the labels of the queries must lie in 0..{self.n_classes - 1}")
        expected = (len(self.x), self.n_classes, self.x.shape[2])
        if self.w is not None and tuple(self.w.shape) != expected:
            raise ValueError(f"w has shape {tuple(self.w.shape)}; it must be (B, K, d) = {expected}")
        check_fraction("noise", self.noise)

    @property
    def context_x(self) -> Tensor:  # (B, n, d)
        return self.x[:, : -self.n_queries]

    @property
    def context_y(self) -> Tensor:  # (B, n)
        return self.y[:, : -self.n_queries]

    @property
    def query_x(self) -> Tensor:  # (B, q, d)
        return self.x[:, -self.n_queries :]

    @property
    def query_y(self) -> Tensor:  # (B, q)
        return self.y[:, -self.n_queries :]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, tasks: slice) -> "Batch":
        """A slice of the tasks, as a batch."""
        if not isinstance(tasks, slice):
            raise TypeError("a batch is sliced, batch[2:5]; for one task take batch[2:3]")
        return replace(self, x=self.x[tasks], y=self.y[tasks], w=None if self.w is None else self.w[tasks])

    def to(self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None) -> "Batch":
        """The same tasks in another dtype or on another device; labels stay as they are."""
        w = None if self.w is None else self.w.to(dtype=dtype, device=device)
        return replace(self, x=self.x.to(dtype=dtype, device=device), y=self.y.to(device=device), w=w)


@dataclass(frozen=True)
class LinearTask:
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
        check_count("n_points", self.n_points, 1)
        check_count("n_features", self.n_features, 1)
        check_count("n_classes", self.n_classes, 2)
        check_fraction("noise", self.noise)
        check_fraction("unlabelled", self.unlabelled)
        if not abs(self.shift) < float("inf"):
            raise ValueError(f"shift={self.shift}; it must be finite")

    def sample(
        self,
        n_tasks: int,
        *,
        seed: int | torch.Generator = 0,
        n_queries: int = 1,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Draw tasks; a seed gives the same tasks in every dtype and on every device.

        Arguments:
            n_tasks: B.
            seed: a whole number, or a CPU generator to continue from.
            n_queries: q; the queries share the context and do not see each other.
            dtype: of `x` and `w`. Labels are those of the rounded values, so they are exact in either dtype.
            device: where the batch ends up.

        Raises:
            ValueError: a count below 1.
        """
        check_count("n_tasks", n_tasks, 1)
        check_count("n_queries", n_queries, 1)
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        draw = {"generator": generator, "dtype": torch.float64}
        w = torch.randn(n_tasks, self.n_classes, self.n_features, **draw).to(dtype)
        x = (self.shift + torch.randn(n_tasks, self.n_points + n_queries, self.n_features, **draw)).to(dtype)
        y = (x.double() @ w.double().mT).argmax(-1)
        context = y[:, : self.n_points]
        if self.noise:
            flip = torch.rand(context.shape, **draw) < self.noise
            step = torch.randint(1, self.n_classes, context.shape, generator=generator)
            context[flip] = (context + step)[flip] % self.n_classes
        # The points are exchangeable, so that hiding the last labels hides random ones.
        if n_hidden := int(self.unlabelled * self.n_points):
            context[:, -n_hidden:] = UNLABELLED
        return Batch(x, y, w, self.n_classes, n_queries, self.noise).to(device=device)


def check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r}; it must be a whole number of at least {least}")


def check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value!r}; it must lie in [0, 1)")


def check_prompt(x: Tensor, y: Tensor, n_classes: int) -> None:
    """Raise a ValueError unless `x (B, n + q, d)` and the context labels `y (B, n)` are a prompt with an answer."""
    check_count("n_classes", n_classes, 2)
    if x.ndim != 3 or y.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; they must be (B, n + q, d) and (B, n)")
    if x.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"x is {x.dtype}; it must be torch.float32 or torch.float64")
    if y.dtype != torch.int64:
        raise ValueError(f"y is {y.dtype}; labels must be torch.int64")
    if len(x) != len(y):
        raise ValueError(f"x holds {len(x)} tasks and y {len(y)}; they must be equally many")
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(
            f"x {tuple(x.shape)}, y {tuple(y.shape)}: a prompt needs a task, a context point and a feature at least"
        )
    if x.shape[1] <= y.shape[1]:
        raise ValueError(
            f"{x.shape[1]} points with {y.shape[1]} context labels leave no query; "
            "give x at least one point more than y"
        )
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinity; every feature must be finite")
    if y.min() < UNLABELLED or y.max() >= n_classes:
        raise ValueError(
            f"labels run from {y.min()} to {y.max()}; they must lie in 0..{n_classes - 1}, "
            "or be -1 for an unlabelled point"
        )
    if (y == UNLABELLED).all(-1).any():
        raise ValueError("a context has no labelled point; at least one is needed")
