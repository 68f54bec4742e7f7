"""What the theorems of chapter 6 say of each layer of a trained model, beside constants that know no theorem.

Letters: B tasks, n context points, d features, K classes, L layers, m copies.
"""

from typing import NamedTuple

import numpy as np

from icl_nb.interpret.knowledge import linear_r2
from icl_nb.interpret.rivals import r_squared
from icl_nb.interpret.separation import class_means, layer_report, separation, token_layer
from icl_nb.recursion import Recursion
from icl_nb.tasks.batch import Batch


class Account(NamedTuple):
    """Of each layer of a model: how log separation changes, and the share of the motion of the points that is missed.

    Arguments:
        separation: median over tasks, before and after each layer, `(L + 1,)`.
        measured: change of log separation, `(L, B)`.
        predicted: the change by name, `(L, B)`: "T3", "lemma" (the mixture lemma) and "tokens" (its corollary, with
            the weights as they are). With memory "tokens" alone.
        missed: share of the motion by name, `(L,)`: "lemma", "tokens", and "constants", the best
            :math:`\\Delta x_i = a x_i + b \\mu_{y_i}` of other tasks, with memory two numbers a pair of copies.
    """

    separation: np.ndarray
    measured: np.ndarray
    predicted: dict[str, np.ndarray]
    missed: dict[str, np.ndarray]


def account(model, batch: Batch) -> Account:
    """Measure each layer of a model on the context of a batch, and ask the theorems for it.

    Arguments:
        model: a transformer of layers that attend and do nothing else.
        batch: tasks without unlabelled points.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask, load
        >>> import torch
        >>> found = account(load("four-4", dtype=torch.float64), LinearTask().sample(40, dtype=torch.float64))
        >>> found.measured.shape, bool(found.missed["lemma"].max() < 0.1)
        ((8, 40), True)
    """
    z, attention = (part.detach().cpu().numpy() for part in model.trajectory(batch.x, batch.context_y))
    y, d, k = batch.context_y.cpu().numpy(), model.n_features, model.n_classes
    n = y.shape[1]
    features = np.concatenate([np.arange(d) + (d + k) * copy for copy in range(model.copies)])
    points = z[:, :, :n, features]
    path = np.log(separation(points, y, k))
    predicted, missed = {}, {}
    if model.copies == 1:
        report = layer_report(points, z[..., d:], attention, y, Recursion.from_model(model).table)
        predicted = {"T3": report.frozen, "lemma": report.mixture}
        missed = {"lemma": report.missed}
    weights = (part.detach().cpu().numpy() for part in model.weights())
    rows = []
    for t, (m, v) in enumerate(zip(*weights, strict=True)):
        after = token_layer(z[t][:, :n], y, m, v, k)[..., features]
        moves = points[t + 1] - points[t]
        own = np.take_along_axis(class_means(points[t], y, k)[0], y[..., None], 1)  # the mean of a point's class
        guesses = [guess for part in (points[t], own) for guess in _mixed(part, d)]
        rows.append(
            (
                np.log(separation(after, y, k)) - path[t],
                1 - r_squared(moves, after - points[t]),
                1 - linear_r2(moves, guesses),
            )
        )
    tokens, by_tokens, by_constants = (np.array(column) for column in zip(*rows, strict=True))
    predicted["tokens"] = tokens
    missed |= {"tokens": by_tokens, "constants": by_constants}
    return Account(np.median(np.exp(path), 1), np.diff(path, axis=0), predicted, missed)


def _mixed(z: np.ndarray, d: int) -> list[np.ndarray]:
    """Each copy of d features in the place of each other one; of one copy, the points as they are."""
    z = z.reshape(*z.shape[:-1], -1, d)  # (B, n, m, d)
    places = np.eye(z.shape[-2])[:, :, None]  # (m, m, 1)
    return [(place * z[..., b : b + 1, :]).reshape(*z.shape[:-2], -1) for place in places for b in range(len(places))]
