"""A batch of in-context classification tasks, and what a task must give.

Letters, here and everywhere: B tasks in a batch, n context points, q queries, d features, K classes.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from icl_nb.checks import DTYPES, check_count, check_device, check_dtype, check_fraction, check_tensor, generator

UNLABELLED = -1


# Two batches are equal when they are one object: element by element, "equal" would have no truth value.
@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    r"""B tasks: n context points and q queries each; the queries come last.

    Arguments:
        x: points, `(B, n + q, d)`, float32 or float64.
        y: labels in `0..K-1`, `(B, n + q)`, int64. A context label of -1 marks an unlabelled point; the labels of
            the queries are the answers, which no predictor reads.
        w: class vectors that labelled the points, `(B, K, d)`, or None where nobody knows them (real data).
        n_classes: K
        n_queries: q
        noise: probability with which a context label was replaced, see `LinearTask`.

    Raises:
        ValueError: shapes disagree, dtypes are not as above, a value is not finite, a label is out of range, a
            context has no labelled point, or K < 2, or n, q or d is 0.

    Example:
        >>> from icl_nb import LinearTask
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
        check_count("n_queries", self.n_queries, 1)
        check_tensor("x", self.x, DTYPES)
        check_tensor("y", self.y, (torch.int64,))
        n_points = self.x.shape[1] if self.x.ndim == 3 else 0
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
        if self.w is not None:
            check_tensor("w", self.w, DTYPES)
            expected = (len(self.x), self.n_classes, self.x.shape[2])
            if tuple(self.w.shape) != expected:
                raise ValueError(f"w has shape {tuple(self.w.shape)}; it must be (B, K, d) = {expected}")
            if not self.w.isfinite().all():
                raise ValueError("w holds NaN or infinity; every class vector must be finite")
        check_fraction("noise", self.noise)

    def __repr__(self) -> str:
        n, noise = self.context_y.shape[1], f", noise={self.noise}" if self.noise else ""
        return f"Batch({len(self)} tasks, n={n}, q={self.n_queries}, d={self.x.shape[2]}, K={self.n_classes}{noise})"

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

    def margin(self) -> Tensor:
        r"""Distance of every point from the nearest border of the class that W gives it, `(B, n + q)`.

        .. math:: \min_{l \neq k} \frac{\langle w_k - w_l, x \rangle}{\| w_k - w_l \|}, \quad
            k = \arg\max_l \langle w_l, x \rangle

        Raises:
            ValueError: nobody knows W (`w` is None).

        Example:
            >>> from icl_nb import LinearTask
            >>> batch = LinearTask().sample(100)
            >>> bool((batch.margin() >= 0).all())
            True
        """
        if self.w is None:
            raise ValueError("the margin needs the class vectors, and w is None")
        scores = self.x @ self.w.mT  # (B, N, K)
        best = scores.argmax(-1)
        lead = scores.gather(-1, best[..., None]) - scores
        between = torch.cdist(self.w, self.w).gather(1, best[..., None].expand_as(scores))  # |w_k - w_l|, (B, N, K)
        rivals = torch.nn.functional.one_hot(best, self.n_classes) == 0
        between = between.clamp(min=torch.finfo(between.dtype).tiny)  # of equal class vectors: lead 0, margin 0
        return torch.where(rivals, lead / between, torch.inf).amin(-1)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, tasks: slice) -> "Batch":
        """A slice of the tasks, as a batch.

        Raises:
            TypeError: it is no slice.
        """
        if not isinstance(tasks, slice):
            raise TypeError("a batch is sliced, batch[2:5]; for one task take batch[2:3]")
        return replace(self, x=self.x[tasks], y=self.y[tasks], w=None if self.w is None else self.w[tasks])

    def to(self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None) -> "Batch":
        """The same tasks in another dtype or on another device; labels stay as they are."""
        if dtype is not None:
            check_dtype(dtype)
        if device is not None:
            check_device(device)
        w = None if self.w is None else self.w.to(dtype=dtype, device=device)
        return replace(self, x=self.x.to(dtype=dtype, device=device), y=self.y.to(device=device), w=w)


class Task(Protocol):
    """Whatever draws batches of tasks."""

    def sample(
        self,
        n_tasks: int,
        *,
        seed: int | torch.Generator = 0,
        n_queries: int = 1,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Draw tasks; a seed gives the same tasks in every dtype and on every device.

        Arguments:
            n_tasks: B
            seed: a whole number from 0 to 2^31 - 1, or a CPU generator to continue from.
            n_queries: q; the queries share the context and do not see each other.
            dtype: of `x` and `w`, torch's default dtype where it is None. Labels are those of the rounded values, so
                they are exact in either dtype.
            device: where the batch ends up.

        Raises:
            ValueError: a count below 1, or a seed, dtype or device that is not as above.
        """
        ...


class SampledTask(Task):
    """What tasks of torch's random numbers share: `sample` as `Task` says it, of which a class adds what is drawn."""

    def sample(
        self,
        n_tasks: int,
        *,
        seed: int | torch.Generator = 0,
        n_queries: int = 1,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """As `Task.sample`."""
        random, dtype = check_sample(n_tasks, n_queries, seed, dtype, device)
        return self._draw(n_tasks, n_queries, random, dtype).to(device=device)

    @abstractmethod
    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        """The batch, on the CPU."""


def check_sample(
    n_tasks: int,
    n_queries: int,
    seed: int | torch.Generator,
    dtype: torch.dtype | None,
    device: str | torch.device,
) -> tuple[torch.Generator, torch.dtype]:
    """The generator to draw a sample from, and its dtype, if the arguments of `sample` are what they should be.

    Arguments:
        n_tasks: as in `Task.sample`.
        n_queries: likewise.
        seed: likewise.
        dtype: likewise.
        device: likewise.

    Raises:
        ValueError: one of them is not as there.

    Example:
        >>> check_sample(1, 1, 0, None, "cpu")[1]
        torch.float32
    """
    check_count("n_tasks", n_tasks, 1)
    check_count("n_queries", n_queries, 1)
    check_device(device)
    return generator(seed), check_dtype(dtype)


def check_prompt(x: Tensor, y: Tensor, n_classes: int) -> None:
    """Raise a ValueError unless `x (B, n + q, d)` and the context labels `y (B, n)` are a prompt with an answer.

    Arguments:
        x: points, the queries last, `(B, n + q, d)`.
        y: labels of the context, `(B, n)`.
        n_classes: K

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, a feature that is not finite, a label out of range, or a
            context without a label.

    Example:
        >>> check_prompt(torch.zeros(1, 2, 1), torch.tensor([[0, 1]]), 2)
        Traceback (most recent call last):
            ...
        ValueError: 2 points with 2 context labels leave no query; give x at least one point more than y
    """
    check_count("n_classes", n_classes, 2)
    check_tensor("x", x, DTYPES)
    check_tensor("y", y, (torch.int64,))
    if x.device != y.device:
        raise ValueError(f"x is on {x.device} and y on {y.device}; they must be on the same device")
    if x.ndim != 3 or y.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; they must be (B, n + q, d) and (B, n)")
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
