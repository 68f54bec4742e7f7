"""Two yardsticks for unlabelled points: EM that keeps its labels, and a polynomial in the covariance of all points.

Letters as in `tasks.batch`; l of the n points have a label.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from icl_nb.checks import check_count
from icl_nb.tasks.batch import UNLABELLED, Batch


def em_predict(batch: Batch, *, iterations: int = 50) -> Tensor:
    r"""Class probabilities of the queries from EM on a mixture of one round Gaussian a class, all of one width.

    .. math:: r_{jk} \propto \pi_k\, e^{-\|x_j - \mu_k\|^2 / 2 s^2}, \quad
        \mu_k = \frac{\sum_j r_{jk} x_j}{\sum_j r_{jk}},
        \quad s^2 = \frac{1}{n d} \sum_{jk} r_{jk} \|x_j - \mu_k\|^2, \quad \pi_k = \frac1n \sum_j r_{jk}

    A labelled point belongs to its class for good; the unlabelled are shared anew in each round. It starts from the
    labelled points alone. A class without a labelled point has probability 0.

    Arguments:
        batch: the tasks.
        iterations: rounds.

    Returns:
        `(B, q, K)`.

    Raises:
        ValueError: no round.

    Source: textbook; as a yardstick for transformers with unlabelled points, Liu & Yang (arXiv 2601.10058).

    Example:
        >>> from icl_nb.tasks import ClusterTask, hide_labels
        >>> batch = hide_labels(ClusterTask(distance=8.0).sample(5, seed=1, n_queries=20), 15)
        >>> em_predict(batch).shape, bool((em_predict(batch).argmax(-1) == batch.query_y).double().mean() > 0.9)
        (torch.Size([5, 20, 3]), True)
    """
    check_count("iterations", iterations, 1)
    x, labels = batch.context_x.double(), batch.context_y
    known = (labels != UNLABELLED)[..., None]
    given = torch.nn.functional.one_hot(labels.clamp(min=0), batch.n_classes).double() * known
    absent = torch.zeros_like(given[:, 0]).masked_fill(given.sum(1) == 0, -torch.inf)[:, None]
    share = given
    for _ in range(iterations + 1):  # the first round is that of the labelled points
        weight = share.sum(1)  # (B, K)
        mean = share.mT @ x / weight.clamp(min=1e-300)[..., None]
        apart = (x[:, :, None] - mean[:, None]).square().sum(-1)  # (B, n, K)
        width = (share * apart).sum((1, 2)) / (share.sum((1, 2)) * x.shape[2])
        # One labelled point a class has no spread; the whole cloud has.
        width = torch.where(width > 1e-12, width, x.var(1).mean(-1))[:, None, None]
        prior = (weight / weight.sum(-1, keepdim=True)).clamp(min=1e-300).log()[:, None]
        share = torch.where(known, given, (prior + absent - apart / (2 * width)).softmax(-1))
    apart = (batch.query_x.double()[:, :, None] - mean[:, None]).square().sum(-1)
    return (prior + absent - apart / (2 * width)).softmax(-1).to(batch.x)


def polynomial_scores(batch: Batch, degree: int) -> Tensor:
    r"""Scores of the queries by powers of the covariance of *all* points, labelled or not.

    .. math:: s_p(x_*) = \frac1l \sum_{j\ \text{labelled}} u_j\, x_j^\top C^p x_*, \quad C = \frac1n \sum_j x_j x_j^\top

    Arguments:
        batch: the tasks; :math:`u_j = e_{y_j} - 1/K`.
        degree: largest power, 0 or more.

    Returns:
        `(B, q, K, degree + 1)`.

    Raises:
        ValueError: a negative degree.

    Source: the form of Li et al. (arXiv 2506.15329), what a deep linear attention can compute with unlabelled points.

    Example:
        >>> from icl_nb import LinearTask
        >>> polynomial_scores(LinearTask().sample(4, n_queries=2), 3).shape
        torch.Size([4, 2, 3, 4])
    """
    check_count("degree", degree, 0)
    x, labels, queries = batch.context_x.double(), batch.context_y, batch.query_x.double()
    known = (labels != UNLABELLED)[..., None].double()
    u = (torch.nn.functional.one_hot(labels.clamp(min=0), batch.n_classes) - 1 / batch.n_classes) * known
    covariance = x.mT @ x / x.shape[1]
    power, scores = u.mT @ x / known.sum(1, keepdim=True), []  # (B, K, d)
    for _ in range(degree + 1):
        scores.append(queries @ power.mT)
        power = power @ covariance
    return torch.stack(scores, -1)


def fit_polynomial(batch: Batch, degree: int) -> np.ndarray:
    r"""The coefficients with which the scores of `polynomial_scores` answer best: least cross-entropy on a batch.

    .. math:: \min_a\; -\sum \log \mathrm{softmax}\Bigl(\sum_p a_p s_p(x_*)\Bigr)_{y_*}

    Arguments:
        batch: tasks to tune on; others than those that are asked about.
        degree: as in `polynomial_scores`.

    Returns:
        `(degree + 1,)`.

    Raises:
        ValueError: as in `polynomial_scores`.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> fit_polynomial(LinearTask().sample(50, n_queries=4), 2).shape
        (3,)
    """
    scores = polynomial_scores(batch, degree).flatten(0, 1)  # (B q, K, P)
    size = scores.square().mean((0, 1)).sqrt()  # powers differ by orders of magnitude
    scores, answers = (scores / size).numpy(), batch.query_y.flatten().numpy()

    def loss(a: np.ndarray) -> tuple[float, np.ndarray]:
        logits = scores @ a
        logits = logits - logits.max(-1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(-1, keepdims=True)
        miss = p.copy()
        miss[np.arange(len(p)), answers] -= 1
        own = np.take_along_axis(p, answers[:, None], 1)
        return -np.log(own.clip(1e-300)).mean(), np.einsum("ik,ikp->p", miss, scores) / len(p)

    return minimize(loss, np.zeros(degree + 1), jac=True, method="BFGS").x / size.numpy()


def polynomial_predict(batch: Batch, coefficients: np.ndarray) -> Tensor:
    """Class probabilities of the queries from the polynomial with these coefficients, `(B, q, K)`.

    Arguments:
        batch: the tasks.
        coefficients: those of `fit_polynomial`, the constant first.

    Raises:
        ValueError: no coefficient, one that is not finite, or what `polynomial_scores` refuses.

    Source: as `polynomial_scores`.

    Example:
        >>> from icl_nb import LinearTask
        >>> one, other = (LinearTask().sample(200, seed=seed, n_queries=4) for seed in range(2))
        >>> said = polynomial_predict(other, fit_polynomial(one, 2)).argmax(-1)
        >>> bool((said == other.query_y).double().mean() > 0.7)
        True
    """
    a = torch.as_tensor(np.asarray(coefficients, dtype=float))
    if a.ndim != 1 or not len(a) or not a.isfinite().all():
        raise ValueError(f"coefficients={coefficients!r}; they must be a list of finite numbers")
    return (polynomial_scores(batch, len(a) - 1) @ a).softmax(-1).to(batch.x)
