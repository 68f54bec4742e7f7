"""Scores of predictors and comparisons between them, with standard errors that know which queries share a context."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from icl_nb.checks import DTYPES, TOLERANCE, check_count, check_tensor
from icl_nb.tasks.batch import Batch
from icl_nb.tasks.linear import LinearTask

LEAST_PROBABILITY = 1e-3


PIECE = 2**23  # numbers of attention that a prediction holds at once


Predictor = Callable[[Tensor, Tensor], Tensor | np.ndarray]


@dataclass(frozen=True)
class Report:
    """How well a predictor does; `*_se` are standard errors over tasks."""

    accuracy: float
    accuracy_se: float
    cross_entropy: float
    cross_entropy_se: float
    n_tasks: int
    n_queries: int

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f} ± {self.accuracy_se:.4f}, "
            f"cross-entropy {self.cross_entropy:.4f} ± {self.cross_entropy_se:.4f}"
        )


@dataclass(frozen=True)
class Comparison:
    """How alike two predictors are on the same queries.

    Arguments:
        agreement: share of queries that both give the same class, and its standard error over tasks.
        correlation: of the centred logits, over all queries and classes; 0 where one of them is constant.
        divergence: mean total variation between the two class distributions, 0 to 1.
        max_difference: largest difference of a centred logit.
    """

    agreement: float
    agreement_se: float
    correlation: float
    divergence: float
    max_difference: float


def score(logits: Tensor, batch: Batch) -> Report:
    r"""Accuracy and cross-entropy, :math:`-\log \mathrm{softmax}(\text{logits})_{y}`, against the answers of a batch.

    Arguments:
        logits: `(B, K)` or `(B, q, K)`, finite; log-probabilities serve as well.
        batch: whose `query_y` are the answers.

    Raises:
        ValueError: the shape does not fit the batch, or a logit is not finite, or there is one task only.

    Source: textbook.

    Example:
        >>> batch = LinearTask().sample(1000)
        >>> report = score((batch.query_x @ batch.w.mT).double(), batch)
        >>> report.accuracy
        1.0
    """
    right, loss = _marks(logits, batch)
    return Report(*mean_and_error(right), *mean_and_error(loss), len(batch), batch.n_queries)


def difference(ours: Tensor, theirs: Tensor, batch: Batch) -> Report:
    r"""Our accuracy and cross-entropy less theirs on the same tasks, with the standard errors of the differences.

    .. math:: \bar a - \bar b, \qquad \mathrm{se}^2 = \operatorname{var}_t(a_t - b_t) / B

    Hard tasks are hard for both: the difference is known better than either value.

    Arguments:
        ours: `(B, K)` or `(B, q, K)`, finite logits or log-probabilities.
        theirs: likewise.
        batch: whose `query_y` are the answers.

    Raises:
        ValueError: a shape does not fit the batch, or a logit is not finite, or there is one task only.

    Source: textbook.

    Example:
        >>> batch = LinearTask().sample(500, seed=1)
        >>> right, wrong = batch.query_x @ batch.w.mT, -batch.query_x @ batch.w.mT
        >>> difference(right, wrong, batch).accuracy, difference(right, right, batch).accuracy_se
        (1.0, 0.0)
    """
    (right, loss), (their_right, their_loss) = _marks(ours, batch), _marks(theirs, batch)
    differences = *mean_and_error(right - their_right), *mean_and_error(loss - their_loss)
    return Report(*differences, len(batch), batch.n_queries)


def compare(ours: Tensor, theirs: Tensor, batch: Batch) -> Comparison:
    """Compare two sets of logits on the queries of a batch; see `Comparison`.

    Arguments:
        ours: `(B, K)` or `(B, q, K)`.
        theirs: likewise.
        batch: whose queries both answer.

    Raises:
        ValueError: a shape does not fit the batch, or a logit is not finite, or there is one task only.

    Example:
        >>> batch = LinearTask().sample(10)
        >>> logits = torch.randn(10, 3)
        >>> compare(logits, logits + 1, batch).agreement
        1.0
    """
    ours, theirs = _by_query(ours, batch), _by_query(theirs, batch)
    same = (ours.argmax(-1) == theirs.argmax(-1)).double().mean(-1)
    centred = [logits - logits.mean(-1, keepdim=True) for logits in (ours, theirs)]
    return Comparison(
        *mean_and_error(same),
        _correlation(*centred),
        (ours.softmax(-1) - theirs.softmax(-1)).abs().sum(-1).mean().item() / 2,
        (centred[0] - centred[1]).abs().max().item(),
    )


def mean_agreement(ours: Tensor, theirs: Tensor | None = None) -> tuple[float, float]:
    r"""Mean agreement between the models of two families, or within one, with an interval that knows the seeds.

    .. math:: \hat a = \operatorname{mean}_{s, t}\, a_{st}, \qquad
        \mathrm{se}^2 = \tfrac{S - 1}{S} \sum_s (\hat a_{-s} - \bar a_{-})^2 \; (+ \text{ the same over } t)

    where :math:`a_{st}` is the share of queries on which model s of one family and model t of the other choose the same
    class. Pairs that share a model are not independent: the jackknife leaves out one seed with all its pairs.

    Arguments:
        ours: classes chosen by each model of a family, `(S, *)`, S >= 3.
        theirs: those of another family, `(T, *)`. By default the pairs are those of different models within `ours`.

    Returns:
        the mean, and the half-width of its 95 % interval (Student's t, degrees of freedom of the smaller family).

    Raises:
        ValueError: fewer than three models in a family, shapes that do not fit, or a NaN among the votes.

    Source: the jackknife of a U-statistic, Arvesen (1969).

    Example:
        >>> votes = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 1], [0, 1, 2, 0]])
        >>> mean_agreement(votes)[0]
        0.8333333333333334
    """
    within = theirs is None
    theirs = ours if within else theirs
    if min(len(ours), len(theirs)) < 3 or ours.shape[1:] != theirs.shape[1:]:
        raise ValueError(f"families of shapes {tuple(ours.shape)} and {tuple(theirs.shape)}; need 3 models each")
    if ours.isnan().any() or theirs.isnan().any():
        raise ValueError("a vote is NaN, which agrees with nothing; votes must be classes")
    same = torch.stack([(ours[s] == theirs).double().flatten(1).mean(1) for s in range(len(ours))])  # (S, T)
    counted = ~torch.eye(len(ours), dtype=torch.bool) if within else torch.ones_like(same, dtype=torch.bool)

    def without(axis: int | None, seed: int) -> Tensor:
        kept = counted.clone()
        for dim in (0, 1) if axis is None else (axis,):
            kept.index_fill_(dim, torch.tensor(seed), False)
        return same[kept].mean()

    variance = 0.0
    for axis in (None,) if within else (0, 1):
        left_out = torch.stack([without(axis, seed) for seed in range(same.shape[axis or 0])])
        variance += (len(left_out) - 1) * left_out.var(correction=0).item()
    quantile = stats.t.ppf(0.975, min(same.shape) - 1)
    return same[counted].mean().item(), float(quantile * variance**0.5)


@torch.no_grad()
def predict(model: Predictor, batch: Batch, *, batch_size: int = 128) -> Tensor:
    """Logits of a model for all queries of a batch, `(B, q, K)`, float64 on the CPU.

    The batch is cast to the model's dtype and moved to its device, in pieces that fit in a processor's cache.

    Arguments:
        model: takes `x (B, n + q, d)` and `y (B, n)`, gives `(B, K)` or `(B, q, K)`.
        batch: the tasks.
        batch_size: tasks a piece, at most; fewer where contexts are long.

    Raises:
        ValueError: a batch size below 1, a model that reads other sizes, or logits of another shape or not finite.

    Example:
        >>> from icl_nb import EquivariantTransformer
        >>> predict(EquivariantTransformer(depth=2), LinearTask().sample(3, n_queries=2)).shape
        torch.Size([3, 2, 3])
    """
    batch_size = check_count("batch_size", batch_size, 1)
    heads, (_, points, _), n_context = getattr(model, "heads", 1), batch.x.shape, batch.context_y.shape[1]
    batch_size = max(1, min(batch_size, PIECE // (heads * points * n_context)))
    dtype, device = getattr(model, "dtype", batch.x.dtype), getattr(model, "device", batch.x.device)
    if at := getattr(model, "at", None):  # a transformer, which may fit other sizes
        model = at(batch.x.shape[2], batch.n_classes)
    pieces = []
    for start in range(0, len(batch), batch_size):
        piece = batch[start : start + batch_size].to(dtype=dtype, device=device)
        logits = model(piece.x, piece.context_y)
        if isinstance(logits, np.ndarray):  # a NumPy predictor serves as well
            logits = torch.tensor(logits)
        pieces.append(_by_query(logits, piece).cpu())
    return torch.cat(pieces)


def evaluate(model: Predictor, task: LinearTask, *, n_tasks: int = 8000, seed: int = 1, n_queries: int = 16) -> Report:
    """Accuracy and cross-entropy of a model on fresh tasks.

    Arguments:
        model: takes `x (B, n + q, d)` and `y (B, n)`, gives logits `(B, K)` or `(B, q, K)`.
        task: where the tasks come from.
        n_tasks: B
        seed: of the tasks; training draws from other streams, whatever its seed.
        n_queries: q; queries that share a context are not independent: the standard errors are over tasks.

    Raises:
        ValueError: a count is too small, or the model does not fit the task.

    Example:
        >>> from icl_nb import EquivariantTransformer
        >>> report = evaluate(EquivariantTransformer(), LinearTask(), n_tasks=100)
        >>> 0 <= report.accuracy <= 1, report.n_tasks
        (True, 100)
    """
    check_count("n_tasks", n_tasks, 2)
    batch = task.sample(n_tasks, seed=seed, n_queries=n_queries)
    return score(predict(model, batch), batch)


def _correlation(ours: Tensor, theirs: Tensor) -> float:
    if not ours.any() or not theirs.any():
        return 0.0
    return torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1].item()


def _marks(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:  # share right and cross-entropy of each task, (B,)
    logits = _by_query(logits, batch)
    right = (logits.argmax(-1) == batch.query_y).double().mean(-1)
    return right, -logits.log_softmax(-1).gather(-1, batch.query_y[..., None]).mean((1, 2))


def _by_query(logits: Tensor, batch: Batch) -> Tensor:  # (B, q, K), float64
    check_tensor("logits", logits, DTYPES)
    expected = (len(batch), batch.n_queries, batch.n_classes)
    if (
        tuple(logits.shape) not in (expected, (expected[0], expected[2]))
        or logits.numel() != torch.Size(expected).numel()
    ):
        raise ValueError(f"logits have shape {tuple(logits.shape)}; for this batch they must be {expected}")
    if not logits.isfinite().all():
        raise ValueError("a logit is NaN or infinite; keep probabilities away from 0 before taking their logarithm")
    return logits.reshape(expected).double()


class Measured(NamedTuple):
    """A number and its standard error, which prints as such.

    Example:
        >>> value = Measured(-0.0123, 0.0045)
        >>> f"{value:.3f}", f"{value:+.2f}", f"{100 * value.mean:.1f}"
        ('-0.012 (0.004)', '-0.01 (0.00)', '-1.2')
    """

    mean: float
    error: float

    def __format__(self, spec: str) -> str:
        """The mean by the given format, and the error in brackets by the same without a sign or a width."""
        plain = re.sub(r"^[+ ]?\d*", "", spec)
        return f"{format(self.mean, spec)} ({format(self.error, plain)})"


def mean_and_error(values: Tensor) -> Measured:
    r"""Mean of one number a task, and its standard error, :math:`\sqrt{\sum_b (v_b - \bar v)^2 / (B (B - 1))}`.

    Arguments:
        values: `(B,)`, B of at least 2. For a comparison, the differences.

    Raises:
        ValueError: fewer than two values, or values that are no `(B,)`.

    Source: textbook.

    Example:
        >>> mean_and_error(Tensor([1, 3]))
        Measured(mean=2.0, error=1.0)
    """
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values have shape {tuple(values.shape)}; a standard error needs (B,) with B of at least 2")
    values = values.double()
    return Measured(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def hits(scores: Tensor, batch: Batch) -> Tensor:
    r"""Share of the queries of each task that get their class, `(B,)`, float64.

    .. math:: r_b = \frac1q \sum_{i=1}^q \frac{1\{y_{bi} \in T_{bi}\}}{|T_{bi}|}, \qquad T_{bi} = \arg\max_k s_{bik}

    Classes whose scores are highest to rounding (`symmetry.TOLERANCE`) share the hit: two that a context lacks have the
    same score, and no processor's last digit may decide between them.

    Arguments:
        scores: logits or probabilities of all queries, `(B, q, K)`, or `(B, K)` where there is one.
        batch: whose answers are the truth.

    Raises:
        ValueError: scores that do not fit the batch, or a NaN among them.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(3, n_queries=4)
        >>> hits(batch.query_x @ batch.w.mT, batch)
        tensor([1., 1., 1.], dtype=torch.float64)
    """
    expected = (len(batch), batch.n_queries, batch.n_classes)
    if tuple(scores.shape) != expected and (batch.n_queries > 1 or tuple(scores.shape) != expected[::2]):
        raise ValueError(f"scores have shape {tuple(scores.shape)}; for this batch they must be {expected}")
    if scores.isnan().any():
        raise ValueError("a score is NaN, which is neither right nor wrong; scores must be numbers")
    scores = scores.reshape(expected)
    scores = scores if scores.is_floating_point() else scores.double()
    size = scores.abs().nan_to_num(posinf=0).amax(-1, keepdim=True)
    highest = scores >= scores.amax(-1, keepdim=True) - TOLERANCE[scores.dtype] * size
    right = highest.gather(-1, batch.query_y[..., None])[..., 0]
    return (right / highest.sum(-1).double()).mean(-1)


def model_hits(model: nn.Module, batch: Batch) -> Tensor:
    """As `hits`, for a model, at the size of the batch where it can read that.

    Raises:
        ValueError: its weights fit another size alone.

    Example:
        >>> from icl_nb import EquivariantTransformer, LinearTask
        >>> model_hits(EquivariantTransformer(n_features=5), LinearTask(n_features=2).sample(3)).shape
        torch.Size([3])
    """
    return hits(predict(model, batch), batch)


def log_loss(probabilities, answers) -> float:
    """Mean of -log p of the right class, `probabilities (q, K)` raised to 0.001 at least as in `yardsticks`.

    Arguments:
        probabilities: `(q, K)`.
        answers: right classes as numbers, `(q,)`.

    Raises:
        ValueError: a probability that is not finite.

    Source: textbook.

    Example:
        >>> round(log_loss([[0.5, 0.5], [1.0, 0.0]], [0, 1]), 4)  # the mean of log 2 and log 1000
        3.8005
    """
    given = np.asarray(probabilities)[np.arange(len(answers)), answers]
    if not np.isfinite(given).all():
        raise ValueError("a probability is NaN or infinite")
    return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())


def reliability(probabilities, answers, *, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    r"""How often answers given with some confidence are right, and the expected calibration error.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{q}\, | \text{accuracy}_b - \text{confidence}_b |

    Arguments:
        probabilities: `(q, K)`.
        answers: right classes as numbers, `(q,)`.
        bins: equally wide, from 0 to 1.

    Returns:
        mean confidence, accuracy and number of answers of each bin that has any; and ECE.

    Raises:
        ValueError: the shapes disagree, a probability is none, or bins < 1.

    Source: Naeini, Cooper and Hauskrecht (2015).

    Example:
        >>> confidence, accuracy, count, ece = reliability([[0.8, 0.2], [0.7, 0.3]], [0, 1], bins=2)
        >>> accuracy.tolist(), count.tolist(), round(ece, 2)
        ([0.5], [2], 0.25)
    """
    check_count("bins", bins, 1)
    probabilities, answers = np.asarray(probabilities, dtype=float), np.asarray(answers)
    if probabilities.ndim != 2 or answers.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities {probabilities.shape}, answers {answers.shape}; must be (q, K) and (q,)")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    top, right = probabilities.max(1), probabilities.argmax(1) == answers
    place = np.minimum((top * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    confidence, accuracy = (np.bincount(place, value, bins)[used] / count[used] for value in (top, right.astype(float)))
    return confidence, accuracy, count[used], float((count[used] * np.abs(accuracy - confidence)).sum() / len(top))
