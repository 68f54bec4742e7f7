r"""Tasks that leave the training distribution, and what to hold a trained model against there.

A shift is a map from batch to batch, so that the same tasks are met before and after it and differences are paired:

- of the points, labelled anew by W: `correlate`, `near_copies`;
- of the points, with their labels as they are: `heavy_tails`, `rescale`, `to_sphere`, `whiten`;
- of what the context shows: `imbalance`, `hide_labels`.

`CurvedTask` and `ClusterTask` are families of their own; `monomials` and `fourier_features` are feature maps.
Letters as in `tasks`: B tasks, n context points, q queries, d features, K classes.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from icl_nb.checks import check_count, check_fraction, check_positive, check_seed
from icl_nb.tasks.batch import UNLABELLED, Batch


def correlate(batch: Batch, rho: float) -> Batch:
    r"""The same tasks with features that are correlated, each with variance 1 as before.

    .. math:: x \to \Sigma^{1/2} x, \qquad \Sigma_{fg} = \rho^{|f - g|}

    The points are labelled anew by the same W. No point says anything about W but through its label, so that
    `bayes_predict` remains the optimal predictor.

    Arguments:
        batch: from a `LinearTask`, labels clean and all shown.
        rho: correlation of neighbouring features, in [0, 1).

    Raises:
        ValueError: rho out of range, W unknown, labels noisy or hidden.

    Source: own; the covariance is that of an autoregressive process.

    Example:
        >>> from icl_nb import LinearTask
        >>> moved = correlate(LinearTask().sample(2000, dtype=torch.float64), 0.9)
        >>> round(torch.corrcoef(moved.x.flatten(0, 1).T)[0, 1].item(), 2)
        0.9
    """
    check_fraction("rho", rho)
    order = torch.arange(batch.x.shape[2], dtype=torch.float64)
    covariance = torch.tensor(float(rho), dtype=torch.float64) ** (order[:, None] - order).abs()
    return _relabelled(batch, batch.x @ _power(covariance, 0.5).to(batch.x))


def near_copies(batch: Batch, copies: int, *, spread: float = 0.01, seed: int = 0) -> Batch:
    r"""The same tasks with a context of fewer distinct points, each shown several times, a little apart.

    .. math:: x_j = x_{\lfloor j / m \rfloor} + s \, \varepsilon_j, \quad \varepsilon_j \sim N(0, I)

    counting j from 0, with m copies and spread s. The context keeps its n points, which are labelled anew by the same
    W; queries stay.

    Arguments:
        batch: from a `LinearTask`, labels clean and all shown.
        copies: m
        spread: s, 0 or larger.
        seed: of the displacements.

    Raises:
        ValueError: an option out of range, W unknown, labels noisy or hidden.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> moved = near_copies(LinearTask().sample(1), 4, spread=0.0)
        >>> moved.context_x.unique(dim=1).shape[1]
        10
    """
    check_count("copies", copies, 1)
    check_positive("spread", spread, zero=True)
    n = batch.context_x.shape[1]
    context = batch.context_x[:, torch.arange(n, device=batch.x.device) // copies]
    return _relabelled(batch, torch.cat([context + spread * _normal(context, seed), batch.query_x], 1))


def heavy_tails(batch: Batch, dof: float, *, seed: int = 0) -> Batch:
    r"""The same tasks with points of Student's t distribution, whose lengths vary from point to point.

    .. math:: x \to \frac{x}{\sqrt{g}}, \qquad g \sim \chi^2_\nu / \nu

    Labels stay as they are: they depend on the direction of a point alone. So does the posterior of W, and
    the Bayes-optimal answer is the one it was.

    Arguments:
        batch: the tasks.
        dof: degrees of freedom nu, positive. Up to 2 the variance is infinite.
        seed: of the lengths.

    Raises:
        ValueError: dof not positive, or so small that a point overflows.

    Source: textbook; Student's t as a mixture of normals.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(3)
        >>> moved = heavy_tails(batch, 2.0)
        >>> bool(torch.allclose(to_sphere(moved).x, to_sphere(batch).x))
        True
    """
    check_positive("dof", dof)
    random = np.random.default_rng(check_seed(seed))
    lengths = torch.from_numpy(random.chisquare(dof, (*batch.x.shape[:2], 1)) / dof) ** -0.5
    return replace(batch, x=batch.x * lengths.to(batch.x))


def rescale(batch: Batch, factor: float | None = None) -> Batch:
    r"""Other units: all features of a task times one number, by default such that the context has mean square 1.

    .. math:: x \to c\,x, \qquad c = \Big( \frac{1}{n d} \sum_{j=1}^n \|x_j\|^2 \Big)^{-1/2}

    Arguments:
        batch: the tasks.
        factor: c, positive, for all tasks; None for the one above, for each its own.

    Raises:
        ValueError: the factor is not positive, or a context holds nothing but zeros.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = rescale(LinearTask().sample(3, dtype=torch.float64))
        >>> batch.context_x.square().mean((1, 2)).round(decimals=6)
        tensor([1., 1., 1.], dtype=torch.float64)
    """
    if factor is not None:
        check_positive("factor", factor)
        return replace(batch, x=factor * batch.x)
    size = batch.context_x.square().mean((1, 2), keepdim=True).sqrt()
    if not (size > 0).all():
        raise ValueError("the context of a task holds nothing but zeros, which no factor can scale")
    return replace(batch, x=batch.x / size)


def to_sphere(batch: Batch) -> Batch:
    r"""Every point at the same distance from the origin, context and queries alike.

    .. math:: x \to \sqrt{d}\, x / \|x\|

    For linear boundaries through the origin nothing is lost, since a label depends on the direction alone.

    Arguments:
        batch: the tasks.

    Raises:
        ValueError: a point lies at the origin.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> to_sphere(LinearTask(n_features=4).sample(2)).x.norm(dim=-1).round(decimals=4).unique()
        tensor([2.])
    """
    # By its largest entry first: the square of a point of a heavy tail may overflow, of a small one vanish.
    x = batch.x / batch.x.abs().amax(-1, keepdim=True)
    if not x.isfinite().all():
        raise ValueError("a point lies at the origin and has no direction")
    return replace(batch, x=x * (x.shape[2] ** 0.5 / x.norm(dim=-1, keepdim=True)))


def whiten(batch: Batch) -> Batch:
    r"""Features in which the context of each task is round.

    .. math:: x \to S^{-1/2} x, \quad W \to W S^{1/2}, \qquad S = \frac1n \sum_{j=1}^n x_j x_j^T

    Labels stay those of W. Inner products become :math:`\langle x_i, S^{-1} x_j \rangle`, which no linear map of the
    features can change.

    Arguments:
        batch: the tasks.

    Raises:
        ValueError: the context of a task does not span all d directions.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = whiten(correlate(LinearTask(n_features=2).sample(1, dtype=torch.float64), 0.9))
        >>> (batch.context_x.mT @ batch.context_x / 40).round(decimals=6).abs()
        tensor([[[1., 0.],
                 [0., 1.]]], dtype=torch.float64)
    """
    context = batch.context_x.double()
    moment = context.mT @ context / context.shape[1]
    spectrum = torch.linalg.eigvalsh(moment)
    if (spectrum[:, 0] <= 1e-12 * spectrum[:, -1]).any():
        raise ValueError(
            f"the {context.shape[1]} context points of a task do not span all {context.shape[2]} directions, so that "
            "they cannot be whitened"
        )
    w = None if batch.w is None else (batch.w.double() @ _power(moment, 0.5)).to(batch.w)
    return replace(batch, x=(batch.x.double() @ _power(moment, -0.5)).to(batch.x), w=w)


def imbalance(batch: Batch, share: float, n_points: int) -> Batch:
    r"""A context of `n_points` of the points of a larger one, a given share of them of its most frequent class.

    .. math:: n_c = \mathrm{round}(\text{share} \cdot n), \qquad c = \text{most frequent class of the larger context}

    The others come in the order in which they stand, as frequent as they are. Queries stay: only the context
    is unbalanced.

    Arguments:
        batch: with a context large enough, all of it labelled.
        share: of the most frequent class, in [0, 1).
        n_points: n

    Raises:
        ValueError: an option out of range, an unlabelled point, or a context with too few points of one kind.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> pool = LinearTask(n_points=200).sample(1)
        >>> torch.bincount(imbalance(pool, 0.8, 40).context_y[0]).max()
        tensor(32)
    """
    check_fraction("share", share)
    check_count("n_points", n_points, 1)
    if (batch.context_y == UNLABELLED).any():
        raise ValueError("an unlabelled point belongs to no class that could be made frequent; label the context first")
    wanted = round(share * n_points)
    frequent = torch.nn.functional.one_hot(batch.context_y, batch.n_classes).sum(1).argmax(-1)
    mine = batch.context_y == frequent[:, None]
    keep = torch.where(mine, mine.cumsum(1) <= wanted, (~mine).cumsum(1) <= n_points - wanted)
    if (keep.sum(1) < n_points).any():
        raise ValueError(
            f"a context of {batch.context_y.shape[1]} points lacks {wanted} of one class and {n_points - wanted} of "
            "others; give a larger one"
        )
    context = keep.nonzero()[:, 1].reshape(len(batch), n_points)  # in the order in which they stand
    queries = torch.arange(batch.y.shape[1] - batch.n_queries, batch.y.shape[1], device=context.device)
    index = torch.cat([context, queries.expand(len(batch), -1)], 1)
    x = batch.x.gather(1, index[..., None].expand(-1, -1, batch.x.shape[2]))
    return replace(batch, x=x, y=batch.y.gather(1, index))


def hide_labels(batch: Batch, n_labelled: int, n_points: int | None = None) -> Batch:
    """The first `n_points` of the context, of which the first `n_labelled` keep their label; queries stay.

    Arguments:
        batch: the tasks.
        n_labelled: labelled points that are left.
        n_points: n, by default all points; `n_points=n_labelled` leaves the unlabelled ones out.

    Raises:
        ValueError: a count out of range.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> hide_labels(LinearTask().sample(1), 2, 5).context_y
        tensor([[ 1,  2, -1, -1, -1]])
    """
    most = batch.context_y.shape[1]
    n_points = most if n_points is None else n_points
    check_count("n_points", n_points, 1)
    check_count("n_labelled", n_labelled, 1)
    if not n_labelled <= n_points <= most:
        raise ValueError(f"n_labelled={n_labelled}, n_points={n_points}; the context has {most}, and they must ascend")
    context = batch.context_y[:, :n_points].clone()
    context[:, n_labelled:] = UNLABELLED
    x = torch.cat([batch.context_x[:, :n_points], batch.query_x], 1)
    return replace(batch, x=x, y=torch.cat([context, batch.query_y], 1))


def _relabelled(batch: Batch, x: Tensor) -> Batch:
    """The batch with other points, labelled by its W.

    Raises:
        ValueError: W is unknown, or labels are noisy or hidden.
    """
    if batch.w is None:
        raise ValueError("moved points need new labels, and w is None: nobody knows the class vectors")
    if batch.noise or (batch.context_y == UNLABELLED).any():
        raise ValueError("moved points get new labels, which would undo noise and hidden labels; move the points first")
    return replace(batch, x=x, y=(x.double() @ batch.w.double().mT).argmax(-1))


def _normal(like: Tensor, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(check_seed(seed)).normal(size=like.shape)).to(like)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of symmetric positive definite matrices `(*, d, d)`."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values[..., None, :] ** exponent @ vectors.mT
