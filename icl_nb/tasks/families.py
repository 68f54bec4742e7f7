"""Tasks beside the linear one: curved borders, clusters, and points with heavy tails.

Letters as in `tasks.batch`.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from scipy.linalg import helmert
from torch import Tensor

from icl_nb.checks import check_count, check_positive, check_seed
from icl_nb.tasks.batch import Batch, SampledTask, check_sample
from icl_nb.tasks.linear import LinearTask
from icl_nb.tasks.shifts import heavy_tails


@dataclass(frozen=True)
class CurvedTask(SampledTask):
    r"""Classification with quadratic boundaries: linear in the features of `monomials`.

    .. math:: w_1, \dots, w_K \sim N(0, I), \quad x_j \sim N(0, I_d), \quad
        y_j = \arg\max_k \langle w_k, \varphi_b(x_j) \rangle

    Batches hold the points as they are and no W; a seed gives the same of both for every bend. Where phi is
    known, `bayes_predict` on `replace(batch, x=monomials(batch.x, bend))` is the optimal predictor.

    Arguments:
        n_points: context points n.
        n_features: features d.
        n_classes: classes K.
        bend: b, 0 or larger: the size of the quadratic features beside the linear ones. At 0 this is `LinearTask`.

    Raises:
        ValueError: a count is too small, or the bend negative.

    Source: own.

    Example:
        >>> batch = CurvedTask(n_features=2, bend=1.0).sample(10)
        >>> monomials(batch.x).shape[-1]
        5
    """

    n_points: int = 40
    n_features: int = 2
    n_classes: int = 3
    bend: float = 1.0

    def __post_init__(self):
        LinearTask(self.n_points, self.n_features, self.n_classes)  # for its checks
        check_positive("bend", self.bend, zero=True)

    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        size = monomials(torch.zeros(self.n_features)).shape[-1]
        # A linear task in as many features as phi has: of its points the first d features are kept.
        lifted = LinearTask(self.n_points, size, self.n_classes).sample(
            n_tasks, seed=random, n_queries=n_queries, dtype=dtype
        )
        x = lifted.x[..., : self.n_features]
        y = (monomials(x.double(), self.bend) @ cast(Tensor, lifted.w).double().mT).argmax(-1)  # a linear task has W
        return Batch(x, y, None, self.n_classes, n_queries)


def monomials(x: Tensor, bend: float = 1.0) -> Tensor:
    r"""Linear and quadratic features, `(*, d)` to `(*, d + d (d + 1) / 2)`.

    .. math:: \varphi_b(x) = \Big( x_f, \;\; b \, \frac{x_f^2 - 1}{\sqrt 2}, \;\; b\, x_f x_g \Big)_{f < g}

    Over normal points they have mean 0, variance :math:`b^2` where quadratic, and no correlations.

    Arguments:
        x: points, `(*, d)`.
        bend: b.

    Source: textbook; Hermite's polynomials of degree two.

    Example:
        >>> monomials(torch.tensor([3.0, 2.0])).round(decimals=2)
        tensor([3.0000, 2.0000, 5.6600, 2.1200, 6.0000])
    """
    f, g = torch.triu_indices(x.shape[-1], x.shape[-1], 1)
    return torch.cat([x, bend * (x**2 - 1) / 2**0.5, bend * x[..., f] * x[..., g]], -1)


def fourier_features(x: Tensor, n_features: int, *, length: float = 1.0, seed: int = 0) -> Tensor:
    r"""Random features of a Gaussian kernel, `(*, d)` to `(*, D)`.

    .. math:: \varphi_f(x) = \sqrt 2 \cos \Big( \frac{\langle a_f, x \rangle}{\ell} + b_f \Big), \qquad
        a_f \sim N(0, I_d), \; b_f \sim U[0, 2 \pi]

    so that :math:`\langle \varphi(x), \varphi(z) \rangle / D \to \exp(-\|x - z\|^2 / 2 \ell^2)` as D grows.

    Arguments:
        x: points.
        n_features: D
        length: of the kernel, positive.
        seed: of a and b.

    Raises:
        ValueError: a count or a length out of range.

    Source: Rahimi and Recht (2007).

    Example:
        >>> phi = fourier_features(torch.tensor([[0.0], [1.0]]), 20_000)
        >>> round((phi[0] @ phi[1] / 20_000).item(), 2), round(math.exp(-0.5), 2)
        (0.61, 0.61)
    """
    check_count("n_features", n_features, 1)
    check_positive("length", length)
    random = np.random.default_rng(check_seed(seed))
    a = torch.from_numpy(random.normal(size=(x.shape[-1], n_features))).to(x)
    b = torch.from_numpy(random.uniform(0, 2 * math.pi, n_features)).to(x)
    return 2**0.5 * (x @ a / length + b).cos()


@dataclass(frozen=True)
class ClusterTask:
    r"""Classes that are clusters: where the points lie tells which belong together, labels or not.

    .. math:: y_j \sim U\{0, \dots, K - 1\}, \qquad x_j \sim N(\mu_{y_j}, I_d) / c

    with :math:`\|\mu_c - \mu_k\| = r` for all pairs, in a random position around the origin, and c such that features
    have mean square 1. `w` of a batch holds the :math:`\mu_c / c`: naming :math:`\arg\max_c \langle w_c, x \rangle` is
    the best that one can do who knows them.

    Arguments:
        n_points: context points n.
        n_features: features d, K - 1 at least.
        n_classes: classes K.
        distance: r, between centres, in standard deviations within a cluster.

    Raises:
        ValueError: a count is too small, or the distance not positive.

    Source: own.

    Example:
        >>> batch = ClusterTask(distance=8.0).sample(100, n_queries=10)
        >>> round(((batch.query_x @ batch.w.mT).argmax(-1) == batch.query_y).double().mean().item(), 2)
        1.0
    """

    n_points: int = 40
    n_features: int = 5
    n_classes: int = 3
    distance: float = 3.0

    def __post_init__(self):
        LinearTask(self.n_points, self.n_features, self.n_classes)  # for its checks
        check_count("n_features", self.n_features, self.n_classes - 1)
        check_positive("distance", self.distance)

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
        generator, dtype = check_sample(n_tasks, n_queries, seed, dtype, device)
        if isinstance(seed, torch.Generator):  # the numbers are NumPy's, and a generator to continue seeds them
            seed = int(torch.randint(2**31, (), generator=generator))
        d, K = self.n_features, self.n_classes
        random = np.random.default_rng(seed)
        simplex = helmert(K).T  # (K, K - 1), rows at distance sqrt(2), of mean 0
        q, r = np.linalg.qr(random.normal(size=(n_tasks, d, K - 1)))
        turns = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None]  # all positions alike; (B, d, K - 1)
        centres = self.distance / 2**0.5 * simplex @ turns.mT  # (B, K, d)
        y = random.integers(K, size=(n_tasks, self.n_points + n_queries))
        x = np.take_along_axis(centres, y[..., None], 1) + random.normal(size=(*y.shape, d))
        size = (1 + self.distance**2 * (K - 1) / (2 * K * d)) ** 0.5
        x, w = (torch.from_numpy(values / size).to(dtype) for values in (x, centres))
        return Batch(x, torch.from_numpy(y), w, K, n_queries).to(device=device)


@dataclass(frozen=True)
class HeavyTask(SampledTask):
    r"""`LinearTask` with points of Student's t distribution, as `heavy_tails` makes them: to train on.

    .. math:: x_j = z_j / \sqrt{g_j}, \quad z_j \sim N(0, I_d), \; g_j \sim \chi^2_\nu / \nu

    The W of a batch is the one that labelled the points :math:`z_j`.

    Arguments:
        n_points: context points n.
        n_features: features d.
        n_classes: classes K.
        dof: degrees of freedom nu, positive.

    Raises:
        ValueError: a count is too small, or dof not positive.

    Source: own.

    Example:
        >>> batch = HeavyTask(dof=2.0).sample(100)
        >>> bool(batch.x.norm(dim=-1).max() > 10)
        True
    """

    n_points: int = 40
    n_features: int = 5
    n_classes: int = 3
    dof: float = 2.0

    def __post_init__(self):
        LinearTask(self.n_points, self.n_features, self.n_classes)  # for its checks
        check_positive("dof", self.dof)

    def _draw(self, n_tasks: int, n_queries: int, random: torch.Generator, dtype: torch.dtype) -> Batch:
        batch = LinearTask(self.n_points, self.n_features, self.n_classes).sample(
            n_tasks, seed=random, n_queries=n_queries, dtype=dtype
        )
        return heavy_tails(batch, self.dof, seed=int(torch.randint(2**31, (), generator=random)))
