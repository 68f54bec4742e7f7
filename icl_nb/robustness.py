r"""Tasks that leave the training distribution, and what to hold a trained model against there.

A shift is a map from batch to batch, so that the same tasks are met before and after it and differences are paired:

- of the points, labelled anew by W: `correlate`, `near_copies`;
- of the points, with their labels as they are: `heavy_tails`, `rescale`, `to_sphere`, `whiten`;
- of what the context shows: `imbalance`, `hide_labels`.

`CurvedTask` and `ClusterTask` are families of their own; `monomials` and `fourier_features` are feature maps.
Letters as in `tasks`: B tasks, n context points, q queries, d features, K classes.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import helmert
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from torch import Tensor

from icl_nb.checks import check_count, check_fraction, check_positive, check_seed
from icl_nb.tasks import UNLABELLED, Batch, LinearTask, check_sample

SEMI_SUPERVISED = ("spreading", "self-training", "mixture")
NEWTON_STEPS = 100  # a fit takes 5 to 20
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # the C that `best_logistic` tries


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
        copies: m.
        spread: s, 0 or larger.
        seed: of the displacements.

    Raises:
        ValueError: an option out of range, W unknown, labels noisy or hidden.

    Example:
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

    Example:
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

    Example:
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

    Raises:
        ValueError: a point lies at the origin.

    Example:
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

    Raises:
        ValueError: the context of a task does not span all d directions.

    Example:
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
        n_points: n.

    Raises:
        ValueError: an option out of range, an unlabelled point, or a context with too few points of one kind.

    Example:
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

    Example:
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


@dataclass(frozen=True)
class CurvedTask:
    r"""Classification with quadratic boundaries: linear in the features of `monomials`.

    .. math:: w_1, \dots, w_K \sim N(0, I), \quad x_j \sim N(0, I_d), \quad
        y_j = \arg\max_k \langle w_k, \varphi_b(x_j) \rangle

    Batches hold the points as they are and no W. Where phi is known, `bayes_predict` on
    `replace(batch, x=monomials(batch.x, bend))` is the optimal predictor.

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

    def sample(
        self,
        n_tasks: int,
        *,
        seed: int | torch.Generator = 0,
        n_queries: int = 1,
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> Batch:
        """Draw tasks; arguments as in `LinearTask.sample`. The seed gives the same points and W for every bend."""
        size = monomials(torch.zeros(self.n_features)).shape[-1]
        # A linear task in as many features as phi has: of its points the first d features are kept.
        lifted = LinearTask(self.n_points, size, self.n_classes).sample(
            n_tasks, seed=seed, n_queries=n_queries, dtype=dtype, device=device
        )
        x = lifted.x[..., : self.n_features]
        y = (monomials(x.double(), self.bend) @ lifted.w.double().mT).argmax(-1)
        return Batch(x, y, None, self.n_classes, n_queries)


def monomials(x: Tensor, bend: float = 1.0) -> Tensor:
    r"""Linear and quadratic features, `(*, d)` to `(*, d + d (d + 1) / 2)`.

    .. math:: \varphi_b(x) = \Big( x_f, \;\; b \, \frac{x_f^2 - 1}{\sqrt 2}, \;\; b\, x_f x_g \Big)_{f < g}

    Over normal points they have mean 0, variance :math:`b^2` where quadratic, and no correlations.

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
        n_features: D.
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
        """Draw tasks; arguments as in `LinearTask.sample`."""
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


def logistic_predict(batch: Batch, C: float = 10.0) -> Tensor:
    r"""Multinomial logistic regression without intercept, fitted to all contexts at once.

    .. math:: \min_W \; \tfrac12 \|W\|^2 - C \sum_{j\ \text{labelled}} \log \mathrm{softmax}(W x_j)_{y_j}

    by Newton's method. The fit is that of `baseline_predict(batch, "logistic", C=C)`, the same conventions for missing
    classes included, at a small part of the time: a sweep over shifts and penalties needs thousands of fits.

    Arguments:
        batch: the tasks; unlabelled points are left out.
        C: inverse penalty, positive.

    Returns:
        class probabilities of the queries, `(B, q, K)`.

    Raises:
        ValueError: C not positive.

    Example:
        >>> from icl_nb import baseline_predict
        >>> batch = LinearTask().sample(5, n_queries=2, dtype=torch.float64)
        >>> bool(torch.allclose(logistic_predict(batch), baseline_predict(batch, "logistic"), atol=1e-3))
        True
    """
    check_positive("C", C)
    x, labels = batch.context_x.double(), batch.context_y
    y = torch.nn.functional.one_hot(labels.clamp(min=0), batch.n_classes).double()
    y = y * (labels != UNLABELLED)[..., None]  # (B, n, K); a row of zeros has no say
    counts = y.sum(1)  # (B, K)
    present = counts > 0
    # Two classes: scikit-learn penalises the difference of the rows as one row, which is twice as much.
    penalty = torch.where(present.sum(1) == 2, 2.0, 1.0)[:, None, None] / C
    absent = torch.zeros_like(counts).masked_fill(~present, -torch.inf)[:, None]
    x_max = x.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    x, penalty = x / x_max, penalty / x_max**2  # units in which no step overflows

    def loss(w: Tensor) -> Tensor:  # (B,)
        fit = (y * (x @ w.mT + absent).log_softmax(-1).clamp(min=-1e300)).sum((1, 2))
        return 0.5 * (penalty * w**2).sum((1, 2)) - fit

    w = x.new_zeros(len(x), batch.n_classes, x.shape[2])
    current = loss(w)
    for _ in range(NEWTON_STEPS):
        p = (x @ w.mT + absent).softmax(-1) * y.sum(-1, keepdim=True)  # 0 for unlabelled points
        gradient = (p - y).mT @ x + penalty * w  # (B, K, d)
        step = torch.linalg.solve(_hessian(x, p, penalty), gradient.flatten(1)).view_as(w)
        slope = (gradient * step).sum((1, 2))
        if (slope <= 1e-13 * current).all():
            break
        length = torch.ones_like(slope)
        for _ in range(30):  # halve where the loss does not fall as it should
            after = loss(w - length[:, None, None] * step)
            if (enough := after <= current - 1e-4 * length * slope + 1e-14 * current).all():
                break
            length = torch.where(enough, length, length / 2)
        w, current = w - length[:, None, None] * step, after
    return (batch.query_x.double() / x_max @ w.mT + absent).softmax(-1).to(batch.x)


def best_logistic(batch: Batch, penalties: Sequence[float] = PENALTIES) -> tuple[float, Tensor]:
    """The C of `logistic_predict` that is most often right on the queries of this batch, and its probabilities.

    It is chosen by the answers themselves, so that its accuracy is a little better than anyone could reach
    who must choose before: a baseline that is treated generously.

    Raises:
        ValueError: no penalty is given, or one is not positive.

    Example:
        >>> C, probs = best_logistic(LinearTask(noise=0.3).sample(100, n_queries=20))
        >>> C, probs.shape
        (0.1, torch.Size([100, 20, 3]))
    """
    if not len(penalties):
        raise ValueError("no penalty is given; name one C at least")
    fits = {C: logistic_predict(batch, C) for C in penalties}
    best = max(fits, key=lambda C: (fits[C].argmax(-1) == batch.query_y).double().mean().item())
    return best, fits[best]


def semi_supervised_predict(batch: Batch, name: str, **options) -> Tensor:
    r"""Class probabilities of the queries from a method that uses unlabelled points, fitted to each context alone.

    - `spreading`: scikit-learn's `LabelSpreading`, labels that diffuse over a graph of neighbours; Gaussian kernel
      with `gamma` = 2 unless given.
    - `self-training`: `SelfTrainingClassifier` around the logistic regression of `baseline_predict`, which labels what
      it is sure of and fits again.
    - `mixture`: `GaussianMixture`, one round Gaussian a class, that starts from the means of the labelled points and
      sees no labels later.

    A class without a labelled point has probability 0, save that a context of one class is answered with that class.

    Arguments:
        batch: the tasks.
        name: one of `SEMI_SUPERVISED`.
        options: for `spreading`, passed on to scikit-learn.

    Returns:
        `(B, q, K)`.

    Raises:
        ValueError: no method of that name, or options for a method that takes none.

    Example:
        >>> batch = hide_labels(ClusterTask(distance=8.0).sample(5, seed=1, n_queries=20), 15)
        >>> for name in SEMI_SUPERVISED:
        ...     hits = semi_supervised_predict(batch, name).argmax(-1) == batch.query_y
        ...     print(f"{name:13} {hits.float().mean():.1f}")
        spreading     1.0
        self-training 1.0
        mixture       1.0
    """
    if name not in SEMI_SUPERVISED:
        raise ValueError(f"no method is called {name!r}; there are {', '.join(SEMI_SUPERVISED)}")
    if options and name != "spreading":
        raise ValueError(f"{name} takes no options, and was given {', '.join(options)}")
    points, labels, queries = (
        tensor.cpu().numpy() for tensor in (batch.context_x.double(), batch.context_y, batch.query_x.double())
    )
    probs = np.zeros((len(batch), batch.n_queries, batch.n_classes))
    for b, y in enumerate(labels):
        classes = np.unique(y[y != UNLABELLED])
        if len(classes) == 1:
            probs[b, :, classes] = 1.0
            continue
        with warnings.catch_warnings():  # few iterations are enough, and there may be nothing left to label
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "y contains no unlabeled samples", UserWarning)
            if name == "spreading":
                model = LabelSpreading(**{"kernel": "rbf", "gamma": 2.0} | options).fit(points[b], y)
            elif name == "self-training":
                base = LogisticRegression(C=10.0, fit_intercept=False, max_iter=1000)
                model = SelfTrainingClassifier(base).fit(points[b], y)
            else:
                means = np.stack([points[b, y == c].mean(0) for c in classes])
                model = GaussianMixture(len(classes), covariance_type="spherical", means_init=means, random_state=0)
                model.fit(points[b])
        probs[b, :, classes] = model.predict_proba(queries[b]).T
    return torch.from_numpy(probs).to(batch.x)


def _relabelled(batch: Batch, x: Tensor) -> Batch:
    """The batch with other points, labelled by its W."""
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


def _hessian(x: Tensor, p: Tensor, penalty: Tensor) -> Tensor:
    """Of the loss in `logistic_predict`, `(B, K d, K d)`; rows of p that are 0 do not count."""
    curvature = torch.diag_embed(p) - p[..., :, None] * p[..., None, :]  # (B, n, K, K)
    size = p.shape[-1] * x.shape[-1]
    hessian = torch.einsum("bnkl,bnf,bng->bkflg", curvature, x, x).reshape(len(x), size, size)
    return hessian + penalty * torch.eye(size, dtype=x.dtype, device=x.device)
