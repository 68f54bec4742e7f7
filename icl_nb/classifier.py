r"""The recursion as a scikit-learn classifier: `fit` stores a context, `predict` is a forward pass over it.

Before the recursion, each feature is standardised, the cloud is made rounder, and the features are scaled by their
number; after it, one number, the temperature, sets how sure the answers are. The context never looks at a query, so its
own way through the layers is computed once, in `fit`.

Letters: n context points, q queries, d features, K classes, L layers, H heads, m copies (1 without memory).
"""

from collections import namedtuple
from functools import cache

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import ledoit_wolf
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from icl_nb.checks import check_count, check_fraction
from icl_nb.models.files import load
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.tasks.linear import feature_scale

DEFAULT = "table"  # the checkpoint behind `recursion=None`, trained over many sizes


LOG_TEMPERATURES = (-4.0, 4.0)


Path = namedtuple("Path", ["x", "u"])


class RecursionClassifier(ClassifierMixin, BaseEstimator):
    r"""Classifies in context, by a table of scalars that was trained on synthetic tasks alone.

    .. math:: p(y_* = c) = \mathrm{softmax}_c \big( s\, u_* / T \big)

    with :math:`u_*` the label block of the query after the last layer of the recursion, s the scale of its table, and T
    the temperature.

    Arguments:
        recursion: the name of a checkpoint, or a `Recursion`; None is the checkpoint `icl_nb.classifier.DEFAULT`.
        depth: use only that many layers, from the first; None is all.
        standardize: whether each feature is brought to mean 0 and variance 1 on the context.
        whiten: p, the points are multiplied by :math:`C^{-p/2}`, C their covariance (shrunk, Ledoit and Wolf 2004).
            0 leaves correlations as they are, 1 removes them.
        intercept: whether borders may miss the origin, for a table that learned from tasks whose borders do not. A
            feature that is 1 in every point would cancel in the softmax. So each context point (x, 1, u) gets a mirror
            image (-x, -1, -u), which says the same of every linear score. The default table has met such borders.
        calibrate: folds of the context on which `fit` chooses T; 0 leaves T = 1.
        block_size: queries worked on together; memory grows with `block_size * n`.

    Attributes:
        classes_: class names, sorted, `(K,)`.
        X_: the context as given, `(n, d)`; `y_`: the numbers of its classes, `(n,)`.
        temperature_: T
        recursion_: the table in use, cut to `depth`.
        trajectory_: where the context is before the first and after each layer, x `(L + 1, n, d')` and u
            `(L + 1, n, K)`; d' = d + 1 with an intercept, less the constant features. With memory `(L + 1, n, m, .)`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    The tables that ship were trained on clean labels. With a tenth of the context's labels wrong the default is right
    less often than logistic regression by tens of points, and it may be right less often than by chance; nothing warns.

    Raises:
        ValueError: in `fit`, an argument that is not as above, or data that scikit-learn would refuse.

    Source: own.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.model_selection import train_test_split
        >>> X, test, y, answers = train_test_split(*load_wine(return_X_y=True), random_state=0, stratify=None)
        >>> RecursionClassifier().fit(X, y).score(test, answers) > 0.9
        True
    """

    def __init__(
        self,
        recursion=None,
        *,
        depth=None,
        standardize=True,
        whiten=0.5,
        intercept=False,
        calibrate=5,
        block_size=256,
    ):
        self.recursion = recursion
        self.depth = depth
        self.standardize = standardize
        self.whiten = whiten
        self.intercept = intercept
        self.calibrate = calibrate
        self.block_size = block_size

    def fit(self, X, y):
        """Store the context `X (n, d)` with its labels `y (n,)`, send it through the layers, and choose T."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.recursion_ = self._table()
        self.classes_, self.y_ = np.unique(y, return_inverse=True)
        self.X_ = X
        self._prepare(X)
        points = self._transform(X)
        self._levels = self._send(points, self.y_)
        self.temperature_ = self._choose_temperature(X, points) if self.calibrate and len(self.classes_) > 1 else 1.0
        return self

    def decision_function(self, X):
        """Logits over T: `(q, K)`, and for two classes the second less the first, `(q,)`."""
        logits = self._logits(X)
        return logits if logits.shape[1] > 2 else logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)

    def predict_proba(self, X):
        """Class probabilities `(q, K)`, in the order of `classes_`."""
        return softmax(self._logits(X), axis=1)

    def predict(self, X):
        """Class names `(q,)`."""
        best = self._logits(X).argmax(1)
        return self.classes_[best]

    def prepare(self, X):
        """Points as they enter the first layer, `(q, d')`: what any other method needs in order to start alike."""
        return self._transform(self._validated(X))

    def contributions(self, X):
        r"""What each context point gave to the logits of each query, `(q, n, K)`; the sum over the context is exact.

        .. math:: \frac{s\, u_*}{T} = \sum_j \Big( \frac{s}{T} \sum_{t, h} \delta_{th} A^{th}_{*j} u_j^{(t)} \Big)

        A point brings its label as it is at that depth, which other points have helped to move.
        """
        points = self._transform(self._validated(X))
        shape, blocks = (len(self.X_), len(self.classes_)), []
        for start in range(0, len(points), self.block_size):
            z = self._embed(points[start : start + self.block_size])
            total = np.zeros((len(z), *shape))
            for layer, context in zip(self._layers(), self._levels, strict=False):
                z = _move(layer, z, context, self._width, self.intercept, total, self._read_out())
            blocks.append(total / self.temperature_)
        return np.concatenate(blocks)

    @property
    def trajectory_(self):
        check_is_fitted(self)
        path, m = np.stack(self._levels), self.recursion_.copies
        x, u = path[..., : m * self._width], path[..., m * self._width :]
        parts = (part.reshape(*path.shape[:2], m, -1) for part in (x, u))
        return Path(*(part[:, :, 0] if m == 1 else part for part in parts))

    # Before the recursion

    def _table(self) -> Recursion:
        recursion = DEFAULT if self.recursion is None else self.recursion
        if isinstance(recursion, str):
            recursion = _shipped(recursion)
        if not isinstance(recursion, Recursion):
            raise ValueError(f"recursion={recursion!r}; it must be None, the name of a checkpoint, or a Recursion")
        if self.depth is not None:
            check_count("depth", self.depth, 1)
        check_count("block_size", self.block_size, 1)
        check_count("calibrate", self.calibrate, 0)
        if self.calibrate == 1:
            raise ValueError("calibrate=1; it must be at least 2 folds, or 0 for none")
        check_fraction("whiten", self.whiten, one=True)
        for name in ("standardize", "intercept"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be True or False")
        return recursion[: self.depth]

    def _prepare(self, X) -> None:
        """Choose shift, varying features and map, so that points are `(x - shift) @ map`."""
        d = X.shape[1]
        self._shift, spread, varies = np.zeros(d), np.ones(d), np.ones(d, dtype=bool)
        if self.standardize:
            size = np.abs(X).max(0)  # before squares are taken, which may overflow or vanish
            unit = np.where(size > 0, size, 1)
            scaled = X / unit
            self._shift, spread = unit * scaled.mean(0), unit * scaled.std(0)
            varies = scaled.std(0) > 1e-10
        kept = np.flatnonzero(varies)
        self._map = np.eye(d)[:, kept] / np.where(varies, spread, 1)[:, None]
        if self.whiten and len(kept) > 1 and len(X) > 1:
            values, vectors = np.linalg.eigh(ledoit_wolf((X - self._shift) @ self._map)[0])
            if values[0] > 0:
                variance = (values ** (1 - self.whiten)).mean()  # of the rounder cloud; keep that of the given one
                rounder = vectors * values ** (-self.whiten / 2) * np.sqrt(values.mean() / variance)
                self._map = self._map @ rounder @ vectors.T
        self._width = max(len(kept) + bool(self.intercept), 1)

    def _transform(self, X):
        """Points as they enter the first layer, `(q, d')`."""
        x = (X - self._shift) @ self._map
        if self.intercept:
            x = np.column_stack([x, np.ones(len(x))])
        if not x.shape[1]:  # no feature varies: nothing to tell points apart by
            x = np.zeros((len(x), 1))
        return feature_scale(x.shape[1]) * x

    # The recursion

    def _layers(self):
        """The scalars of each layer as m x m matrices a head: a list of `{name: (H, m, m)}`."""
        m, table = self.recursion_.copies, self.recursion_.table
        return [{name: np.reshape(layer[name], (-1, m, m)) for name in SCALARS} for layer in table]

    def _read_out(self):
        return np.atleast_1d(self.recursion_.scale)  # (m,)

    def _embed(self, points, y=None):
        """Tokens `(N, m (d' + K))`: all copies of x, then all copies of u; the first copies are filled."""
        m, classes = self.recursion_.copies, len(self.classes_)
        u = np.zeros((len(points), classes)) if y is None else np.eye(classes)[y] - 1 / classes
        empty = (m - 1) * np.array([self._width, classes])
        return np.hstack([points, np.zeros((len(points), empty[0])), u, np.zeros((len(points), empty[1]))])

    def _send(self, points, y):
        """The context before the first and after each layer."""
        levels = [self._embed(points, y)]
        for layer in self._layers():
            levels.append(self._advance(layer, levels[-1], levels[-1]))
        return levels

    def _advance(self, layer, z, context):
        blocks = [z[start : start + self.block_size] for start in range(0, len(z), self.block_size)]
        return np.concatenate([_move(layer, block, context, self._width, self.intercept) for block in blocks])

    def _ask(self, points, levels):
        """Logits of points, T = 1.

        Raises:
            ValueError: the recursion overflowed.
        """
        z = self._embed(points)
        for layer, context in zip(self._layers(), levels, strict=False):
            z = self._advance(layer, z, context)
        m = self.recursion_.copies
        logits = np.tensordot(z[:, m * self._width :].reshape(len(z), m, -1), self._read_out(), (1, 0))
        if not np.isfinite(logits).all():
            raise ValueError("the recursion overflowed; features this large need standardize=True")
        return logits

    def _validated(self, X):
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False)

    def _logits(self, X):
        return self._ask(self._transform(self._validated(X)), self._levels) / self.temperature_

    # After it

    def _choose_temperature(self, X, points) -> float:
        r"""T least :math:`-\sum_i \log p_T(y_i \mid \text{the other folds}) + (\log T)^2 / 2`.

        Folds are dealt out within each class by the values of the rows: neither the order of the context nor the names
        of the classes matter.
        """
        order, fold = np.lexsort(X.T), np.empty(len(X), dtype=int)
        for k in range(len(self.classes_)):
            members = order[self.y_[order] == k]
            fold[members] = np.arange(len(members)) % self.calibrate
        logits, answers = [], []
        for k in range(self.calibrate):
            rest = fold != k
            asked = ~rest & np.isin(self.y_, self.y_[rest])  # a class the other folds lack cannot be answered
            if asked.any():
                logits.append(self._ask(points[asked], self._send(points[rest], self.y_[rest])))
                answers.append(self.y_[asked])
        if not logits:
            return 1.0
        logits, answers = np.concatenate(logits), np.concatenate(answers)

        def loss(log_temperature):
            log_p = log_softmax(logits * np.exp(-log_temperature), axis=1)
            return log_temperature**2 / 2 - log_p[np.arange(len(answers)), answers].sum()

        return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded").x))


def _move(layer, z, context, d, mirrored, total=None, read_out=None):
    """One layer for a block of tokens `(N, m (d + K))` over a context `(n, m (d + K))`; with `total (N, n, K)` also
    what each context point brings to the logits. Mirror images turn e^s into e^s - e^-s above and e^s + e^-s below."""
    m = layer["alpha"].shape[-1]
    x, u = (block.reshape(len(z), m, -1) for block in (z[:, : m * d], z[:, m * d :]))
    brought = context[:, m * d :].reshape(len(context), m, -1)
    moved = z.copy()
    for alpha, beta, gamma, delta in zip(*(layer[name] for name in SCALARS), strict=True):
        asked = [np.einsum("ab,iak->ibk", matrix, block) for matrix, block in ((alpha, x), (beta, u))]
        scores = np.hstack([block.reshape(len(z), -1) for block in asked]) @ context.T
        if mirrored:
            top = np.abs(scores).max(1, keepdims=True)
            opposite = np.exp(-scores - top)
            A = np.exp(scores - top)
            mass = A.sum(1, keepdims=True) + opposite.sum(1, keepdims=True)
            A -= opposite
        else:
            A = np.exp(scores - scores.max(1, keepdims=True))
            mass = A.sum(1, keepdims=True)
        A /= mass
        mean = A @ context
        for matrix, part in ((gamma, slice(None, m * d)), (delta, slice(m * d, None))):
            blocks = mean[:, part].reshape(len(z), m, -1)
            moved[:, part] += np.einsum("ab,ibk->iak", matrix, blocks).reshape(len(z), -1)
        if total is not None:
            total += A[:, :, None] * np.tensordot(brought, read_out @ delta, (1, 0))
    return moved


@cache
def _shipped(name: str) -> Recursion:
    return Recursion.from_model(load(name))
