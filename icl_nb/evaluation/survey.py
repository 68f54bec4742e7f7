"""The same tasks under one condition after another: how often each method is right, and what a shift costs it.

Every method answers the same tasks in the same order, so that all differences are paired: their errors come from the
spread of differences over tasks, in which what makes a task hard for everybody cancels.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from icl_nb.checks import check_count
from icl_nb.evaluation.baselines import BASELINES, baseline_predict, best_logistic, logistic_predict
from icl_nb.evaluation.oracle import bayes_predict
from icl_nb.evaluation.scores import LEAST_PROBABILITY, hits, mean_and_error, model_hits
from icl_nb.tasks.batch import Batch


def yardsticks(batch: Batch, names: tuple[str, ...] = BASELINES, **oracle: int) -> dict[str, Tensor]:
    """Log-probabilities of the Bayes oracle ("bayes") and of the classical baselines, for `score` and `compare`.

    A class that no draw of the sampler supports, or that is not among the neighbours, has probability 0, and one such
    answer would make the cross-entropy infinite: probabilities are raised to 0.001 at least before the logarithm.

    Arguments:
        batch: the tasks.
        names: which of `BASELINES`. Each is fitted to each context.
        oracle: options of `bayes_predict`.

    Returns:
        `(B, K)` or `(B, q, K)` a method.

    Raises:
        ValueError: no baseline of that name.

    Example:
        >>> from icl_nb import LinearTask, score
        >>> batch = LinearTask().sample(50, n_queries=10)
        >>> logits = yardsticks(batch, ("logistic", "centroid"))
        >>> {name: score(logits[name], batch).accuracy > 0.7 for name in logits}
        {'bayes': True, 'logistic': True, 'centroid': True}
    """
    return {"bayes": yardstick(batch, "bayes", **oracle)} | {name: yardstick(batch, name) for name in names}


def yardstick(batch: Batch, name: str, **oracle: int) -> Tensor:
    r"""Log-probabilities of one method of `yardsticks`.

    .. math:: \log \max(p, 0.001)

    Logistic regressions are fitted to all contexts at once, by `logistic_predict`.

    Arguments:
        batch: the tasks.
        name: "bayes" or one of `BASELINES`.
        oracle: options of `bayes_predict`, for "bayes".

    Returns:
        `(B, K)` or `(B, q, K)`.

    Raises:
        ValueError: no method of that name.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> yardstick(LinearTask().sample(5, n_queries=2), "prior").shape
        torch.Size([5, 2, 3])
    """
    if name == "bayes":
        probs = bayes_predict(batch, **oracle)
    elif name == "logistic":
        probs = logistic_predict(batch).to(batch.x).view(*batch.query_y.shape, batch.n_classes)
    else:
        probs = baseline_predict(batch, name)
    return probs.clamp(min=LEAST_PROBABILITY).log()


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
