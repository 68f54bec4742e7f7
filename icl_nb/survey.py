"""The same tasks under one condition after another: how often each method is right, and what a shift costs it.

Every method answers the same tasks in the same order, so that all differences are paired: their errors come from the
spread of differences over tasks, in which what makes a task hard for everybody cancels.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from icl_nb.checks import check_count
from icl_nb.evaluation import mean_and_error, predict
from icl_nb.oracle import baseline_predict, bayes_predict
from icl_nb.robustness import best_logistic
from icl_nb.symmetry import TOLERANCE
from icl_nb.tasks import Batch


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


@dataclass(frozen=True, eq=False)
class Survey:
    """Who is how often right under one condition; of `survey`.

    Arguments:
        hits: share of right answers by task, `(B,)` a method; a slow method may have the first tasks alone.
        penalty: C of the logistic regression.
    """

    hits: dict[str, Tensor]
    penalty: float

    def accuracy(self, name: str) -> tuple[float, float]:
        """Mean over tasks of a method, and its standard error."""
        return mean_and_error(self.hits[name])

    def lead(self, name: str, other: str) -> tuple[float, float]:
        r"""By how much a method is ahead of another on the tasks that both have answered, and its standard error.

        .. math:: E_b[ r_b^{\text{name}} - r_b^{\text{other}} ]

        A slow method has answered the first tasks alone: its level cannot stand beside that of others, its lead can.
        """
        mine, theirs = self.hits[name], self.hits[other]
        common = min(len(mine), len(theirs))
        return mean_and_error(mine[:common] - theirs[:common])

    def lost(self, plain: "Survey", name: str) -> tuple[float, float]:
        r"""What a method loses here against the same tasks as they were, and the standard error of the difference.

        .. math:: \Delta = E_b[ r_b^{\text{plain}} - r_b^{\text{here}} ]

        Tasks that only one of the two surveys has are left out.
        """
        return mean_and_error(self._lost(plain, name))

    def excess(self, plain: "Survey", name: str, other: str) -> tuple[float, float]:
        r"""By how much a method loses more than another, :math:`\Delta_{\text{name}} - \Delta_{\text{other}}`.

        The standard error is that of the difference, task by task, and not made of those of the two.
        """
        mine, theirs = self._lost(plain, name), self._lost(plain, other)
        common = min(len(mine), len(theirs))
        return mean_and_error(mine[:common] - theirs[:common])

    def _lost(self, plain: "Survey", name: str) -> Tensor:
        before, after = plain.hits[name], self.hits[name]
        common = min(len(before), len(after))
        return before[:common] - after[:common]


def survey(batch: Batch, models: dict[str, nn.Module], *, n_knn: int = 30, n_bayes: int = 0, **oracle: int) -> Survey:
    """Ask models, refitted classical methods and the Bayes oracle about the same tasks.

    The methods are "logistic" (the best of five penalties, chosen by the answers: see `best_logistic`), "lda",
    "centroid", "knn" and "bayes", and the models under their names.

    Arguments:
        batch: the tasks, shifted or not.
        models: by name; each is resized where the batch has other features or classes.
        n_knn: the first tasks, which "knn" answers: it is slow.
        n_bayes: the first tasks, which the oracle answers; 0 leaves it out. It is exact only where points say nothing
            about W but through their labels.
        oracle: options of `bayes_predict`.

    Raises:
        ValueError: a count is out of range, options for an oracle that is left out, or a model named like a method.

    Source: own.

    Example:
        >>> from icl_nb import EquivariantTransformer, LinearTask
        >>> found = survey(LinearTask().sample(40, n_queries=10), {"untrained": EquivariantTransformer()}, n_knn=2)
        >>> list(found.hits)
        ['untrained', 'logistic', 'lda', 'centroid', 'knn']
        >>> found.accuracy("logistic")[0] > 0.8
        True
    """
    check_count("n_knn", n_knn, 2)
    check_count("n_bayes", n_bayes, 0)
    if n_bayes == 1 or (oracle and not n_bayes):
        raise ValueError(f"n_bayes={n_bayes} with options {oracle}; it must be 0 (no oracle, no options) or at least 2")
    if taken := set(models) & {"logistic", "lda", "centroid", "knn", "bayes"}:
        raise ValueError(f"a model is called {taken.pop()!r}, as a method is; models must have names of their own")
    penalty, probs = best_logistic(batch)
    found = {name: model_hits(model, batch) for name, model in models.items()} | {"logistic": hits(probs, batch)}
    for name, asked in (("lda", batch), ("centroid", batch), ("knn", batch[:n_knn])):
        found[name] = hits(baseline_predict(asked, name), asked)
    if n_bayes:
        found["bayes"] = hits(bayes_predict(batch[:n_bayes], **oracle), batch[:n_bayes])
    return Survey(found, penalty)
