r"""The recursion as a scikit-learn classifier: `fit` stores a context, `predict` is a forward pass over it.

Before the recursion, each feature is standardised and its outliers are drawn in, the cloud is made rounder, and the
features are scaled by their number. After it, a temperature sets how sure the answers are, and the context's own folds
say how far the recursion is to be believed beside the frequencies of the classes and, where it is short, beside a
second table. The context never looks at a query, so its own way through the layers is computed once, in `fit`.

Letters: n context points, q queries, d features, K classes, L layers, H heads, m copies (1 without memory).
"""

import warnings
from collections import namedtuple
from functools import cache

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtri, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import ledoit_wolf
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from icl_nb.checks import check_count, check_fraction
from icl_nb.models.files import load
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.tasks.linear import feature_scale

DEFAULT = "trusted"  # the checkpoint behind `recursion=None`

# In a context of at most SHORT rows it has a partner, which knows clean linear tasks of 40 points and nothing else, and
# takes features that are standardised and made rounder and no more.
PARTNER, SHORT = "memory", 200

TAMED = 4.0  # standard deviations, beyond which a feature hardly goes

LOG_TEMPERATURES = (-4.0, 4.0)

MOST_FEATURES, MOST_CLASSES = 2000, 100

LEAST_GAIN = 1.0  # nats over the class frequencies on all folds, which two numbers gain by being chosen

HEAD_START = 1.0  # nats that the default has over its partner

LEAST_SHARE = 0.01  # of the logits; a table with less is left out

LONG, ENOUGH = 500, 200  # in a context that long, so many answers of the folds say enough


Path = namedtuple("Path", ["x", "u"])
Path.__doc__ = "Points and labels before and after each layer; of `RecursionClassifier.trajectory_`."
Voice = namedtuple("Voice", ["name", "recursion", "preparation"])
Voice.__doc__ = "A table that answers, with its name and how it prepares the points."


class FallbackWarning(UserWarning):
    """On its own context the recursion does no better than the class frequencies, which answer in its place."""


class RecursionClassifier(ClassifierMixin, BaseEstimator):
    r"""Classifies in context, by a table of scalars that was trained on synthetic tasks alone.

    .. math:: p(y_* = c) = w\, \mathrm{softmax}_c \big( s\, u_* / T \big) + (1 - w)\, f_c

    with :math:`u_*` the label block of the query after the last layer of the recursion, s the scale of its table, T the
    temperature, and f the frequencies of the classes. T and w are chosen on folds of the context.

    In a context of at most `SHORT` rows the default table has a partner, `memory`, and :math:`s u_*` becomes
    :math:`\sum_i v_i\, s_i u_*^{(i)} / T_i`, with shares :math:`v_i \propto e^{V_i}` that add up to 1. :math:`T_i` is
    the best temperature of table i alone, and :math:`V_i` what it is chosen by: the logarithm of the likelihood of the
    folds and of a prior. That of the default is no less than the likelihood of the frequencies, and has a head start of
    one nat. Nothing else is chosen.

    Arguments:
        recursion: the name of a checkpoint, or a `Recursion`. None is the checkpoint `icl_nb.classifier.DEFAULT`, and
            its partner unless `standardize=False`, `ranks=1` or `calibrate=0`. A table that is named has no partner.
        depth: use only that many layers, from the first; None is all.
        standardize: whether each feature is brought to mean 0 and variance 1 on the context.
        tame: whether outliers of standardised features are drawn in, :math:`x / \sqrt{1 + x^2 / 16}`.
        ranks: r, each standardised feature becomes 1 - r times itself plus r times its normal score, which depends on
            the order of the values alone. With 1, features in other monotone units give the same answers.
        whiten: p, the points are multiplied by :math:`C^{-p/2}`, C their covariance (shrunk, Ledoit and Wolf 2004).
            0 leaves correlations as they are, 1 removes them.
        intercept: whether borders may miss the origin, for a table that learned from tasks whose borders do not. A
            feature that is 1 in every point would cancel in the softmax. So each context point (x, 1, u) gets a mirror
            image (-x, -1, -u), which says the same of every linear score. The default table has met such borders.
        calibrate: folds of the context on which `fit` chooses T, w and shares; 0 leaves T = 1 and w = 1. From 500 rows
            on, the first folds that hold 200 rows are enough.
        safe: whether the recursion has to prove itself on those folds. Where it does no better than the class
            frequencies, or T ends at its bound, they take its place: w = 0, with a `FallbackWarning`. False leaves w at
            1 and warns of nothing.
        max_context: rows that `fit` keeps of a larger table, of each class in proportion, evenly over the sorted rows.
            Time and memory of `fit` grow with its square.
        block_size: queries worked on together; memory grows with `block_size * n`.

    Attributes:
        classes_: class names, sorted, `(K,)`.
        X_: the context, `(n, d)`; `y_`: the numbers of its classes, `(n,)`.
        temperature_: T
        weight_: w
        fallback_: whether the class frequencies answer alone.
        check_: cross-entropy on the folds, of the "recursion" at T, of the "frequencies", and of the "answer" that
            mixes them; empty where there were no folds.
        shares_: v, by the name of the checkpoint; "given" where a `Recursion` was. A share below 0.01 counts as none.
        recursion_: the table with the largest share, cut to `depth`; `trajectory_` and `prepare` are those of this one.
        trajectory_: where the context is before the first and after each layer, x `(L + 1, n, d')` and u
            `(L + 1, n, K)`; d' = d + 1 with an intercept, less the constant features. With memory `(L + 1, n, m, .)`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    Inside, features and classes have an order that depends on what they hold and not on how they are listed: other
    names of the classes or another order of the features change no digit of an answer. `fit` takes no sample weights.

    Raises:
        ValueError: in `fit`, an argument that is not as above, data that scikit-learn would refuse, more than 2,000
            features or more than 100 classes.

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
        tame=True,
        ranks=0.5,
        whiten=0.5,
        intercept=False,
        calibrate=5,
        safe=True,
        max_context=1000,
        block_size=128,
    ):
        self.recursion = recursion
        self.depth = depth
        self.standardize = standardize
        self.tame = tame
        self.ranks = ranks
        self.whiten = whiten
        self.intercept = intercept
        self.calibrate = calibrate
        self.safe = safe
        self.max_context = max_context
        self.block_size = block_size

    def fit(self, X, y):
        """Store the context `X (n, d)` with its labels `y (n,)`, send it through the layers, and choose T and w.

        Raises:
            ValueError: as the class says.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        recursion = self._recursion()
        self.classes_, y = np.unique(y, return_inverse=True)
        for what, count, most in (
            ("features", X.shape[1], MOST_FEATURES),
            ("classes", len(self.classes_), MOST_CLASSES),
        ):
            if count > most:
                raise ValueError(f"the table has {count} {what}; this estimator takes {most} at most")
        kept = _spread_out(X, y, self.max_context)
        self.X_, self.y_ = X[kept], y[kept]
        # An order of features and of classes that no renaming changes.
        self._columns = _column_order(self.X_)
        self._rank = np.argsort(np.argsort(np.unique(self.y_, return_index=True)[1]))
        X, y = np.ascontiguousarray(self.X_[:, self._columns]), self._rank[self.y_]
        self._frequencies = _frequencies(y, len(self.classes_))
        folds = _folds(X, y, self.calibrate) if self.calibrate and len(self.classes_) > 1 else []
        voices = self._voices(recursion, X, folds)
        shares, factors = self._check(voices, X, y, folds)
        heard = np.flatnonzero(shares)
        self.shares_ = {voices[i].name: float(shares[i]) for i in heard}
        self.recursion_, self._preparation = voices[shares.argmax()][1:]
        self.fallback_ = self.weight_ == 0
        if self.fallback_:
            warnings.warn(
                "on folds of its own context the recursion does no better than the class frequencies, which answer in "
                "its place (fallback_, check_)",
                FallbackWarning,
                stacklevel=2,
            )
        run = {"classes": len(self.classes_), "mirrored": self.intercept, "block_size": self.block_size}
        runs = {i: _Run(voices[i].recursion, voices[i].preparation(X), y, **run) for i in heard}
        self._run, self._heard = runs[shares.argmax()], [(factors[i], voices[i].preparation, runs[i]) for i in heard]
        return self

    def decision_function(self, X):
        """Logarithms of probabilities, up to what all classes share: `(q, K)`, and for two classes the second less the
        first, `(q,)`. Where w = 1 these are the logits over T."""
        check_is_fitted(self)
        logits = self._logits(X) if self.weight_ == 1 else self._log_probabilities(X)
        return logits if logits.shape[1] > 2 else logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0)

    def predict_proba(self, X):
        """Class probabilities `(q, K)`, in the order of `classes_`."""
        return np.exp(self._log_probabilities(X))

    def predict(self, X):
        """Class names `(q,)`."""
        best = self._log_probabilities(X).argmax(1)
        return self.classes_[best]

    def prepare(self, X):
        """Points as they enter the first layer, `(q, d')`: what any other method needs in order to start alike."""
        return self._as_given(self._preparation(self._validated(X)))

    def contributions(self, X):
        r"""What each context point gave to the logits of each query, `(q, n, K)`; the sum over the context is exact.

        .. math:: \frac{s\, u_*}{T} = \sum_j \Big( \frac{s}{T} \sum_{t, h} \delta_{th} A^{th}_{*j} u_j^{(t)} \Big)

        A point brings its label as it is at that depth, which other points have helped to move. With a partner both
        sides are sums over the two tables. The mixture with the class frequencies comes after that and is no part of
        it.
        """
        X = self._validated(X)
        parts = sum(factor * run.contributions(prepare(X)) for factor, prepare, run in self._heard)
        return parts[:, :, self._rank] / self.temperature_

    @property
    def trajectory_(self):
        check_is_fitted(self)
        path, m, width = np.stack(self._run.levels), self.recursion_.copies, self._preparation.width
        x, u = path[..., : m * width], path[..., m * width :]
        x, u = (part.reshape(*path.shape[:2], m, -1) for part in (x, u))
        return Path(*(part[:, :, 0] if m == 1 else part for part in (self._as_given(x), u[..., self._rank])))

    # Before the recursion

    def _recursion(self) -> Recursion:
        recursion = DEFAULT if self.recursion is None else self.recursion
        if isinstance(recursion, str):
            recursion = _shipped(recursion)
        if not isinstance(recursion, Recursion):
            raise ValueError(f"recursion={recursion!r}; it must be None, the name of a checkpoint, or a Recursion")
        if self.depth is not None:
            check_count("depth", self.depth, 1)
        check_count("block_size", self.block_size, 1)
        check_count("max_context", self.max_context, 1)
        check_count("calibrate", self.calibrate, 0)
        if self.calibrate == 1:
            raise ValueError("calibrate=1; it must be at least 2 folds, or 0 for none")
        check_fraction("whiten", self.whiten, one=True)
        check_fraction("ranks", self.ranks, one=True)
        for name in ("standardize", "tame", "intercept", "safe"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be True or False")
        return recursion[: self.depth]

    def _voices(self, recursion, X, folds) -> list[Voice]:
        """The table that was asked for and, where it may have one, its partner; each with its preparation."""
        fixed = self.standardize, self.whiten, self.intercept
        name = DEFAULT if self.recursion is None else self.recursion if isinstance(self.recursion, str) else "given"
        voices = [Voice(name, recursion, _Preparation(X, self.tame, self.ranks, *fixed))]
        # The partner needs standardised features, and sees more of them than the order of their values.
        if self.recursion is None and self.standardize and self.ranks < 1 and folds and len(X) <= SHORT:
            voices.append(Voice(PARTNER, _shipped(PARTNER)[: self.depth], _Preparation(X, False, 0, *fixed)))
        return voices

    def _as_given(self, points):
        """The features of prepared points in the order in which they were given."""
        kept = self._preparation.kept
        count, order = len(kept), np.argsort(self._columns[kept])
        return np.concatenate([points[..., :count][..., order], points[..., count:]], -1)

    # The recursion

    def _validated(self, X):
        check_is_fitted(self)
        return np.ascontiguousarray(validate_data(self, X, dtype=np.float64, reset=False)[:, self._columns])

    def _ask(self, X):
        """Logits `(q, K)` of queries as they were given, classes in their inner order."""
        X = self._validated(X)
        return sum(factor * run.ask(prepare(X)) for factor, prepare, run in self._heard) / self.temperature_

    def _logits(self, X):
        return self._ask(X)[:, self._rank]

    def _log_probabilities(self, X):
        check_is_fitted(self)
        log_f = np.log(self._frequencies)
        if self.fallback_:
            return np.tile(log_f[self._rank], (len(self._validated(X)), 1))
        # Sums over classes before these get their names, whose order would show in the last digit.
        log_p = log_softmax(self._ask(X), axis=1)
        return (log_p if self.weight_ == 1 else _mixed(log_p, log_f, self.weight_))[:, self._rank]

    # After it

    def _check(self, voices, X, y, folds) -> tuple[np.ndarray, np.ndarray]:
        """Choose T, w and the shares on folds; the shares, and by what the logits of each voice are multiplied."""
        self.temperature_, self.weight_, self.check_ = 1.0, 1.0, {}
        shares = factors = np.ones(1)
        if not folds:
            return shares, factors
        answers = np.concatenate([y[asked] for _, asked in folds])
        of_frequencies = np.concatenate(
            [np.log(_frequencies(y[rest], len(self.classes_)))[y[asked]] for rest, asked in folds]
        )
        logits = [self._on_folds(voice, X, y, folds) for voice in voices]
        if len(voices) > 1:
            warmth, _, value = np.transpose([_choose(own, answers, of_frequencies, self.safe) for own in logits])
            # Where the default knows nothing the frequencies answer, and these the partner has to beat.
            value[0] = max(value[0], of_frequencies.sum()) + HEAD_START
            shares = softmax(value)
            shares = np.where(shares < LEAST_SHARE, 0, shares)
            shares /= shares.sum()
            factors = shares / warmth if shares.all() else shares
        logits = sum(factor * own for factor, own in zip(factors, logits, strict=True))
        self.temperature_, self.weight_, _ = _choose(logits, answers, of_frequencies, self.safe)
        of_recursion = log_softmax(logits / self.temperature_, axis=1)[np.arange(len(answers)), answers]
        gain = (_mixed(of_recursion, of_frequencies, self.weight_) - of_frequencies).sum()
        if self.safe and (gain < LEAST_GAIN or np.log(self.temperature_) > LOG_TEMPERATURES[1] - 0.01):
            self.weight_, gain = 0.0, 0.0
        self.check_ = {
            "recursion": float(-of_recursion.mean()),
            "frequencies": float(-of_frequencies.mean()),
            "answer": float(-of_frequencies.mean() - gain / len(answers)),
        }
        return shares, factors

    def _on_folds(self, voice, X, y, folds) -> np.ndarray:
        """Logits of the rows that each fold asks, `(N, K)`."""
        points, found = voice.preparation(X), []
        for rest, asked in folds:
            # Half the digits are enough for a few numbers, and take half the time.
            run = _Run(
                voice.recursion, points[rest], y[rest], len(self.classes_), self.intercept, self.block_size, np.float32
            )
            found.append(run.ask(points[asked]))
        return np.concatenate(found)


class _Preparation:
    """What becomes of points before the first layer: shift, spread, normal scores, varying features and map, all from a
    context `(n, d)`. The tamed `(x - shift) / spread` are mixed with the scores and multiplied by the map."""

    def __init__(self, X, tame, ranks, standardize, whiten, intercept):
        d = X.shape[1]
        self.tame, self.ranks, self.intercept = standardize and tame, ranks, intercept
        self.shift, spread, varies = np.zeros(d), np.ones(d), np.ones(d, dtype=bool)
        if standardize:
            size = np.abs(X).max(0)  # before squares are taken, which may overflow or vanish
            unit = np.where(size > 0, size, 1)
            scaled = X / unit
            self.shift, spread = unit * scaled.mean(0), unit * scaled.std(0)
            varies = scaled.std(0) > 1e-10
        self.kept = np.flatnonzero(varies)
        self.spread = np.where(varies, spread, 1)
        self.steps = [_normal_scores(X[:, j]) for j in self.kept] if standardize and ranks else []
        self.map = np.eye(len(self.kept))
        if whiten and len(self.kept) > 1 and len(X) > 1:
            values, vectors = np.linalg.eigh(ledoit_wolf(self.standard(X))[0])
            if values[0] > 0:
                variance = (values ** (1 - whiten)).mean()  # of the rounder cloud; keep that of the given one
                rounder = vectors * values ** (-whiten / 2) * np.sqrt(values.mean() / variance)
                self.map = rounder @ vectors.T
        self.width = max(len(self.kept) + bool(intercept), 1)

    def standard(self, X):
        """Standardised features, tamed, and mixed with their normal scores, tamed too: a value that is rare among many
        that are equal has a large score."""
        parts = [((X - self.shift) / self.spread)[:, self.kept]]
        if self.steps:
            scores = [np.interp(X[:, j], *step) for j, step in zip(self.kept, self.steps, strict=True)]
            parts.append(np.stack(scores, 1))
        if self.tame:
            parts = [part / np.sqrt(1 + (part / TAMED) ** 2) for part in parts]
        return (1 - self.ranks) * parts[0] + self.ranks * parts[1] if self.steps else parts[0]

    def __call__(self, X):
        """Points as they enter the first layer, `(q, d')`."""
        x = self.standard(X) @ self.map
        if self.intercept:
            x = np.column_stack([x, np.ones(len(x))])
        if not x.shape[1]:  # no feature varies: nothing to tell points apart by
            x = np.zeros((len(x), 1))
        return feature_scale(x.shape[1]) * x


class _Run:
    """A context on its way through the layers, and what queries find there. Tokens `(N, m (d' + K))` hold all copies of
    x, then all copies of u."""

    def __init__(self, recursion, points, y, classes, mirrored, block_size, dtype=np.float64):
        m, table = recursion.copies, recursion.at_length(len(points)).table
        self.copies, self.classes, self.width = m, classes, points.shape[1]
        self.mirrored, self.block_size, self.dtype = mirrored, block_size, dtype
        self.layers = [{name: np.reshape(layer[name], (-1, m, m)).astype(dtype) for name in SCALARS} for layer in table]
        self.read_out = np.atleast_1d(recursion.scale)  # (m,)
        self.levels = [self._embed(points, y)]
        for layer in self.layers:
            self.levels.append(self._advance(layer, self.levels[-1], self.levels[-1]))

    def ask(self, points):
        """Logits `(q, K)` of points, T = 1.

        Raises:
            ValueError: the recursion overflowed.
        """
        z = self._embed(points)
        for layer, context in zip(self.layers, self.levels, strict=False):
            z = self._advance(layer, z, context)
        u = z[:, self.copies * self.width :].reshape(len(z), self.copies, -1)
        logits = np.tensordot(u.astype(float), self.read_out, (1, 0))
        if not np.isfinite(logits).all():
            raise ValueError("the recursion overflowed; features this large need standardize=True")
        return logits

    def contributions(self, points):
        """What each context point brings to the logits of each query, `(q, n, K)`, T = 1."""
        blocks = []
        for start in range(0, len(points), self.block_size):
            z = self._embed(points[start : start + self.block_size])
            total = np.zeros((len(z), len(self.levels[0]), self.classes))
            for layer, context in zip(self.layers, self.levels, strict=False):
                z = _move(layer, z, context, self.width, self.mirrored, total, self.read_out)
            blocks.append(total)
        return np.concatenate(blocks)

    def _embed(self, points, y=None):
        u = np.zeros((len(points), self.classes)) if y is None else np.eye(self.classes)[y] - 1 / self.classes
        empty = (self.copies - 1) * np.array([self.width, self.classes])  # the first copies are filled
        parts = [points, np.zeros((len(points), empty[0])), u, np.zeros((len(points), empty[1]))]
        return np.hstack(parts).astype(self.dtype)

    def _advance(self, layer, z, context):
        blocks = [z[start : start + self.block_size] for start in range(0, len(z), self.block_size)]
        return np.concatenate([_move(layer, block, context, self.width, self.mirrored) for block in blocks])


def _move(layer, z, context, d, mirrored, total=None, read_out=None):
    """One layer for a block of tokens `(N, m (d + K))` over a context `(n, m (d + K))`; with `total (N, n, K)` also
    what each context point brings to the logits. Mirror images turn e^s into e^s - e^-s above and e^s + e^-s below."""
    m = layer["alpha"].shape[-1]
    x, u = (block.reshape(len(z), m, -1) for block in (z[:, : m * d], z[:, m * d :]))
    moved, length = z.copy(), np.sqrt(np.square(context).sum(1).max())
    for alpha, beta, gamma, delta in zip(*(layer[name] for name in SCALARS), strict=True):
        asked = [np.einsum("ab,iak->ibk", matrix, block) for matrix, block in ((alpha, x), (beta, u))]
        asked = np.hstack([block.reshape(len(z), -1) for block in asked])
        A = asked @ context.T
        if mirrored:
            A -= (top := np.abs(A).max(1, keepdims=True))
            opposite = np.exp(-A - 2 * top)
            np.exp(A, out=A)
            mass = A.sum(1, keepdims=True) + opposite.sum(1, keepdims=True)
            A -= opposite
        else:
            if not length * np.sqrt(np.square(asked).sum(1).max()) < 30:  # a score that large might overflow
                A -= A.max(1, keepdims=True)
            np.exp(A, out=A)
            mass = A.sum(1, keepdims=True)
        mean = (A @ context) / mass
        for matrix, part in ((gamma, slice(None, m * d)), (delta, slice(m * d, None))):
            blocks = mean[:, part].reshape(len(z), m, -1)
            moved[:, part] += np.einsum("ab,ibk->iak", matrix, blocks).reshape(len(z), -1)
        if total is not None:
            brought = context[:, m * d :].reshape(len(context), m, -1)
            total += (A / mass)[:, :, None] * np.tensordot(brought, read_out @ delta, (1, 0))
    return moved


def _normal_scores(values):
    """The values of a feature, sorted, and beside them the normal quantiles of their mean ranks, standardised."""
    steps, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    scores = ndtri((counts.cumsum() - counts / 2) / len(values))
    found = scores[inverse]
    return steps, (scores - found.mean()) / found.std()


def _column_order(X):
    """The columns, sorted by the order of the values in each and then by the values: neither the order in which they
    are listed nor units matter."""
    orders = (np.unique(column, return_inverse=True)[1].astype(">u4").tobytes() for column in X.T)
    keys = [(order, column.tobytes()) for order, column in zip(orders, X.T, strict=True)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__))


def _spread_out(X, y, most):
    """The rows to keep, sorted: all, or of each class a share, at least one, evenly over its rows in sorted order."""
    if len(X) <= most:
        return np.arange(len(X))
    order, kept = np.lexsort(X[:, _column_order(X)].T), []
    counts = np.bincount(y)
    share = np.maximum(np.floor(counts * most / len(X)).astype(int), 1)
    for k, count in enumerate(share):
        members = order[y[order] == k]
        kept.append(members[((np.arange(count) + 0.5) * len(members) / count).astype(int)])
    return np.sort(np.concatenate(kept))


def _folds(X, y, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks `(n,)` of the rows that stay and of those that are asked, for each fold.

    Folds are dealt out within each class by the values of the rows: neither the order of the context nor the names of
    the classes matter.
    """
    order, fold = np.lexsort(X.T), np.empty(len(X), dtype=int)
    for k in range(y.max() + 1):
        members = order[y[order] == k]
        fold[members] = np.arange(len(members)) % count
    folds, known = [], 0
    for k in range(fold.max() + 1):  # a class has no more members than that, however many folds are asked for
        if len(X) >= LONG and known >= ENOUGH:
            break
        rest = fold != k
        asked = ~rest & np.isin(y, y[rest])  # a class the other folds lack cannot be answered
        if asked.any():
            folds.append((rest, asked))
            known += asked.sum()
    return folds


def _frequencies(y, classes):
    """Shares of the classes, each counted once more than it occurs."""
    return (np.bincount(y, minlength=classes) + 1) / (len(y) + classes)


def _mixed(log_p, log_q, weight):
    """Logarithm of weight p + (1 - weight) q."""
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(weight) + log_p, np.log1p(-weight) + log_q)


def _choose(logits, answers, log_f, mix):
    r"""T and w, and their value, which is the most of
    :math:`\sum_i \log (w p_i + (1 - w) f_i) + 4 \log w + \log(1 - w) - (\log T)^2 / 2`, with p at T on the answers of
    the folds and f the frequencies; w = 1 without `mix`. The last terms count as if four more answers were known to be
    of p, and one of f."""
    weight = {}

    def loss(log_temperature):
        log_p = log_softmax(logits * np.exp(-log_temperature), axis=1)[np.arange(len(answers)), answers]
        w = 0.9 if mix else 1.0
        for _ in range(30 if mix else 0):  # expectation-maximisation
            w = (np.exp(np.log(w) + log_p - _mixed(log_p, log_f, w)).sum() + 4) / (len(log_p) + 5)
        weight[log_temperature] = float(w)
        prior = 4 * np.log(w) + np.log1p(-w) if mix else 0.0
        return log_temperature**2 / 2 - _mixed(log_p, log_f, w).sum() - prior

    best = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded").x
    value = float(-loss(best))
    return float(np.exp(best)), weight[best], value


@cache
def _shipped(name: str) -> Recursion:
    return Recursion.from_model(load(name))
