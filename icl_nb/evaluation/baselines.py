"""What classical classifiers say of the same tasks, one fit a context.

Letters as in `tasks.batch`.
"""

import warnings
from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from torch import Tensor

from icl_nb.checks import check_count, check_positive
from icl_nb.tasks.batch import UNLABELLED, Batch

SEMI_SUPERVISED = ("spreading", "self-training", "mixture")


NEWTON_STEPS = 100  # a fit takes 5 to 20


PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # the C that `best_logistic` tries


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
        ValueError: C not positive, or features so large that no number is left of the penalty.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> from icl_nb import baseline_predict
        >>> batch = LinearTask().sample(5, n_queries=2, dtype=torch.float64)
        >>> bool(torch.allclose(logistic_predict(batch), baseline_predict(batch, "logistic"), atol=1e-3))
        True
    """
    check_positive("C", C)
    x, y, queries = _softmax_regression(batch)
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
        try:
            step = torch.linalg.solve(_hessian(x, p, penalty), gradient.flatten(1)).view_as(w)
        except torch.linalg.LinAlgError:
            raise ValueError(
                f"features reach {x_max.max():.1e}, beside which the penalty of C={C} is nothing; rescale them"
            ) from None
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
    return (queries / x_max @ w.mT + absent).softmax(-1).to(batch.x)


def best_logistic(batch: Batch, penalties: Sequence[float] = PENALTIES) -> tuple[float, Tensor]:
    """The C of `logistic_predict` that is most often right on the queries of this batch, and its probabilities.

    It is chosen by the answers themselves, so that its accuracy is a little better than anyone could reach
    who must choose before: a baseline that is treated generously.

    Arguments:
        batch: the tasks.
        penalties: each C that is tried, positive.

    Raises:
        ValueError: no penalty is given, or one is not positive.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> C, probs = best_logistic(LinearTask(noise=0.3).sample(100, n_queries=20))
        >>> C, probs.shape
        (0.1, torch.Size([100, 20, 3]))
    """
    if not len(penalties):
        raise ValueError("no penalty is given; name one C at least")
    fits = {C: logistic_predict(batch, C) for C in penalties}
    best = max(fits, key=lambda C: (fits[C].argmax(-1) == batch.query_y).double().mean().item())
    return best, fits[best]


def descent_path(batch: Batch, steps: int, rate: float, *, decay: float = 0.0, normalised: bool = False) -> Tensor:
    r"""Gradient descent on softmax regression, all contexts at once: what it answers after each step.

    .. math:: W_{t+1} = W_t + \eta\, t^{-\zeta} G_t, \qquad
        G_t = \frac1n \sum_{j\ \text{labelled}} (e_{y_j} - \mathrm{softmax}(W_t x_j))\, x_j^T, \qquad W_1 = 0

    without intercept or penalty; where it is normalised G has unit length (Frobenius norm).

    Arguments:
        batch: the tasks; unlabelled points are left out.
        steps: L
        rate: eta, the length of the first step.
        decay: zeta, 0 or more; 0 keeps all steps alike.
        normalised: whether only the direction of the gradient counts.

    Returns:
        logits of the queries before and after each step, `(L + 1, B, q, K)`, float64.

    Raises:
        ValueError: fewer than 1 step, a rate that is not positive, or a negative decay.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(200, n_queries=20)
        >>> path = descent_path(batch, 8, 8.0)
        >>> hits = (path.argmax(-1) == batch.query_y).double().mean((1, 2))
        >>> [round(share, 1) for share in hits.tolist()[1::7]]
        [0.8, 0.9]
    """
    check_count("steps", steps, 1)
    check_positive("rate", rate)
    check_positive("decay", decay, zero=True)
    x, y, queries = _softmax_regression(batch)
    w, path = x.new_zeros(len(x), batch.n_classes, x.shape[2]), []
    for t in range(1, steps + 1):
        path.append(queries @ w.mT)
        p = (x @ w.mT).softmax(-1) * y.sum(-1, keepdim=True)  # 0 for unlabelled points
        gradient = (y - p).mT @ x / y.sum((1, 2))[:, None, None]
        if normalised:
            size = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
            gradient = gradient / size.clamp(min=torch.finfo(x.dtype).tiny)
        w = w + rate * t**-decay * gradient
    return torch.stack([*path, queries @ w.mT])


def newton_path(batch: Batch, steps: int, C: float = 10.0) -> Tensor:
    r"""Newton's method on softmax regression with a penalty, full steps from 0: what it answers after each step.

    .. math:: \min_W \; \tfrac12 \|W\|^2 - C \sum_{j\ \text{labelled}} \log \mathrm{softmax}(W x_j)_{y_j}

    Arguments:
        batch: the tasks; unlabelled points are left out.
        steps: L
        C: inverse penalty, positive.

    Returns:
        logits of the queries before and after each step, `(L + 1, B, q, K)`, float64.

    Raises:
        ValueError: fewer than 1 step, or C not positive.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(10)
        >>> path = newton_path(batch, 12)
        >>> path.shape, bool((path[-1] - path[-2]).abs().max() < 1e-6)
        (torch.Size([13, 10, 1, 3]), True)
    """
    check_count("steps", steps, 1)
    check_positive("C", C)
    x, y, queries = _softmax_regression(batch)
    w, path = x.new_zeros(len(x), batch.n_classes, x.shape[2]), []
    for _ in range(steps):
        path.append(queries @ w.mT)
        p = (x @ w.mT).softmax(-1) * y.sum(-1, keepdim=True)
        gradient = (p - y).mT @ x + w / C
        w = w - torch.linalg.solve(_hessian(x, p, x.new_tensor(1 / C)), gradient.flatten(1)).view_as(w)
    return torch.stack([*path, queries @ w.mT])


def _softmax_regression(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Points `(B, n, d)`, labels `(B, n, K)` with a row of zeros for an unlabelled one, queries; float64."""
    labels = batch.context_y
    y = torch.nn.functional.one_hot(labels.clamp(min=0), batch.n_classes).double()
    return batch.context_x.double(), y * (labels != UNLABELLED)[..., None], batch.query_x.double()


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
        >>> from icl_nb.tasks import ClusterTask, hide_labels
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


def _hessian(x: Tensor, p: Tensor, penalty: Tensor) -> Tensor:
    """Of the loss in `logistic_predict`, `(B, K d, K d)`; rows of p that are 0 do not count."""
    curvature = torch.diag_embed(p) - p[..., :, None] * p[..., None, :]  # (B, n, K, K)
    size = p.shape[-1] * x.shape[-1]
    hessian = torch.einsum("bnkl,bnf,bng->bkflg", curvature, x, x).reshape(len(x), size, size)
    return hessian + penalty * torch.eye(size, dtype=x.dtype, device=x.device)


BASELINES = ("logistic", "lda", "centroid", "knn", "prior")


def baseline_predict(batch: Batch, name: str, **options) -> Tensor:
    r"""Class probabilities of the queries from a classical classifier, fitted to each context alone.

    - `logistic`: scikit-learn's multinomial `LogisticRegression` without intercept, C=10; with two classes in the
      context it is the binary model, whose penalty on the difference of the two rows is twice as strong.
    - `lda`: softmax of `log p_c + <x, S^-1 m_c> - <m_c, S^-1 m_c>/2`, S the pooled within-class covariance; where the
      context has too few points for S to be regular (n - K < d) it is the Ledoit-Wolf estimate.
    - `centroid`: nearest class mean; its probabilities are the softmax of minus half the squared distances.
    - `knn`: scikit-learn's `KNeighborsClassifier`, 5 neighbours or all there are.
    - `prior`: class frequencies of the context.

    A class that the context lacks has probability 0, save that a context of one class is answered with that class.

    Arguments:
        batch: the tasks; unlabelled points are left out.
        name: one of `BASELINES`.
        options: for `logistic` and `knn`, passed on to scikit-learn.

    Returns:
        `(B, K)` for one query per task and `(B, q, K)` for more.

    Raises:
        ValueError: unknown name or option, or an option out of range.

    Example:
        >>> from icl_nb.tasks.linear import LinearTask
        >>> batch = LinearTask(n_points=40, n_features=5, n_classes=3).sample(100, seed=0, n_queries=30)
        >>> for name in BASELINES:
        ...     hits = baseline_predict(batch, name).argmax(-1) == batch.query_y
        ...     print(f"{name:8} {hits.float().mean():.2f}")
        logistic 0.91
        lda      0.85
        centroid 0.81
        knn      0.74
        prior    0.39
    """
    if name not in BASELINES:
        raise ValueError(f"no baseline is called {name!r}; there are {', '.join(BASELINES)}")
    if options and name not in ("logistic", "knn"):
        raise ValueError(f"{name} takes no options, and was given {', '.join(options)}")
    predict = {"logistic": _logistic, "lda": _lda, "centroid": _centroid, "knn": _knn, "prior": _prior}[name]
    points, labels, queries = (
        tensor.cpu().numpy() for tensor in (batch.context_x.double(), batch.context_y, batch.query_x.double())
    )
    probs = np.zeros((len(batch), batch.n_queries, batch.n_classes))
    for b, seen in enumerate(labels != UNLABELLED):
        classes, y = np.unique(labels[b, seen], return_inverse=True)
        probs[b, :, classes] = 1.0 if len(classes) == 1 else predict(points[b, seen], y, queries[b], options).T
    return torch.from_numpy(probs[:, 0] if batch.n_queries == 1 else probs).to(batch.x)


def _logistic(x: np.ndarray, y: np.ndarray, queries: np.ndarray, options: dict) -> np.ndarray:
    model = _build(LogisticRegression, {"C": 10.0, "fit_intercept": False, "max_iter": 1000} | options)
    with warnings.catch_warnings():  # separable data under a large C: the direction is found long before the length
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y).predict_proba(queries)


def _knn(x: np.ndarray, y: np.ndarray, queries: np.ndarray, options: dict) -> np.ndarray:
    options = {"n_neighbors": 5} | options
    if isinstance(options["n_neighbors"], Integral):
        options["n_neighbors"] = min(options["n_neighbors"], len(x))
    return _build(KNeighborsClassifier, options).fit(x, y).predict_proba(queries)


def _build(estimator: type, options: dict):
    try:
        return estimator(**options)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _class_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x[y == c].mean(0) for c in range(y.max() + 1)])


def _lda(x: np.ndarray, y: np.ndarray, queries: np.ndarray, options: dict) -> np.ndarray:
    means = _class_means(x, y)
    residual = x - means[y]
    regular = len(x) - len(means) >= x.shape[1]
    covariance = residual.T @ residual / len(x) if regular else ledoit_wolf(residual, assume_centered=True)[0]
    if not covariance.any():  # every class is a single point: nothing tells one direction from another
        covariance = np.eye(x.shape[1])
    slope = means @ np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
    return softmax(np.log(np.bincount(y) / len(y)) + queries @ slope.T - 0.5 * (slope * means).sum(1), axis=1)


def _centroid(x: np.ndarray, y: np.ndarray, queries: np.ndarray, options: dict) -> np.ndarray:
    return softmax(-0.5 * ((queries[:, None] - _class_means(x, y)) ** 2).sum(-1), axis=1)


def _prior(x: np.ndarray, y: np.ndarray, queries: np.ndarray, options: dict) -> np.ndarray:
    return np.tile(np.bincount(y) / len(y), (len(queries), 1))
