r"""The algorithm inside the transformer, in NumPy alone.

.. math:: A_{ij} &= \mathrm{softmax}_j \big( \alpha \langle x_i, x_j \rangle + \beta \langle u_i, u_j \rangle \big) \\
    x_i &\leftarrow x_i + \gamma \sum_j A_{ij} x_j \\
    u_i &\leftarrow u_i + \delta \sum_j A_{ij} u_j

A point i is in the context or a query, j runs over the context, and each layer has its own four scalars. Where a layer
has several heads, each has its own A, and their moves add up. In the beginning :math:`u_i = e_{y_i} - 1/K` for a
labelled point, and 0 for an unlabelled one and for a query; in the end the logits are a scale times the u of the query.

Scalars may depend on the length of the context, :math:`s(n) = s + s' \log(n / 64) / 2`: the s' are the slopes, a second
table (`Recursion.at_length`). Where there are none, one table serves every length.

With a memory each point and label has m copies, :math:`x_i^1, \dots, x_i^m`, all but the first 0 in the beginning, and
each scalar is an m x m matrix that mixes them (`memory_step`, below all the rest).

Letters: B tasks, n context points, q queries, N = n + q, d features, K classes, L layers, H heads, m copies.
"""

import json
import math
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

SCALARS = ("alpha", "beta", "gamma", "delta")

LENGTH = 64  # context points at which the slopes count nothing

# Numbers of attention that are held at once, to stay in a core's cache; and rows of a product, at the least.
BLOCK, LEAST_ROWS = 2**18, 64
SMALL = 100  # scores whose exponentials float64 holds, times any feature: nothing need be taken off first


def step(layer, x, u, n, rows=slice(None)):
    """One layer: the points and labels after it, and the attention that moved them.

    Arguments:
        layer: the four scalars of each head, a row `(H,)` of a table.
        x: points, the context first, `(B, N, d)`.
        u: their labels, `(B, N, K)`.
        n: context points.
        rows: which points are wanted; all of them by default.

    Returns:
        x, u, and the attention A, `(B, H, N, n)`.

    Example:
        >>> table = Recursion({"alpha": [[0]], "beta": 0, "gamma": -1, "delta": 0}).table
        >>> x, u, A = step(table[0], np.array([[[1.0], [3.0], [7.0]]]), np.zeros((1, 3, 2)), n=2)
        >>> x.tolist()  # everyone attends evenly, and the mean of the context, 2, is taken away
        [[[-1.0], [1.0], [5.0]]]
    """
    alpha, beta, gamma, delta = (layer[name][:, None, None] for name in SCALARS)  # (H, 1, 1) each
    context_x, context_u = x[:, :n], u[:, :n]  # nobody reads a query
    x, u = x[:, rows], u[:, rows]
    scores = alpha * (x @ context_x.mT)[:, None] + beta * (u @ context_u.mT)[:, None]  # (B, H, N, n)
    A = np.exp(scores - scores.max(-1, keepdims=True))
    A /= A.sum(-1, keepdims=True)
    return x + (gamma * A).sum(1) @ context_x, u + (delta * A).sum(1) @ context_u, A


@dataclass(frozen=True, eq=False)
class Trajectory:
    """All that moves: x `(L + 1, B, N, d)` and u `(L + 1, B, N, K)` before and after each layer, and the attention
    `(L, B, H, N, n)` between. With memory x is `(L + 1, B, N, m, d)` and u `(L + 1, B, N, m, K)`."""

    x: np.ndarray
    u: np.ndarray
    attention: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Recursion:
    r"""The recursion with a table of scalars: it classifies in context as a network does, and has no other weights.

    Arguments:
        table: alpha, beta, gamma and delta, each `(L, H)`, as a mapping or a record array. They are broadcast, so that
            0 serves for a table of zeros. Kept as a record array: `table.alpha` is `(L, H)`, and `table[t]` a layer.
            With memory each is `(L, H, m, m)`.
        n_classes: K; neither d nor n needs to be known.
        scale: of the read-out; with memory one for each copy, `(m,)`, or one number for the first copy.
        dropped: for a recursion that was read off a model, the share of each layer's weights (Frobenius norm, all its
            heads) that the four scalars do not hold, `(L,)`. None where there was no model.
        slopes: a second table, of the shape of the first, that is added to it times log(n / 64) / 2; None for a table
            that is the same for every length n of the context.

    Raises:
        ValueError: a scalar is missing, unknown or not finite, the shapes disagree, or K < 2.

    Source: own form of the recursion that paper A (arXiv 2604.11613, abstract) describes.

    Example:
        >>> recursion = Recursion({"alpha": [[1.0], [2.0]], "beta": 0, "gamma": 0, "delta": 0.5}, n_classes=2)
        >>> recursion(np.array([[[-1.0], [1.0], [0.3]]]), np.array([[0, 1]])).round(3)
        array([[-0.258,  0.258]])
        >>> print(recursion[:1])  # the first layer alone
        layer head   alpha    beta   gamma   delta
            1    1   1.000   0.000   0.000   0.500
    """

    table: Any  # an np.recarray, whatever it was made from
    n_classes: int = 3
    scale: float | np.ndarray = 1.0
    dropped: np.ndarray | None = None
    slopes: Any = None

    def __call__(self, x, y) -> np.ndarray:
        """Logits of the queries.

        Arguments:
            x: points, the queries last, `(B, n + q, d)`; anything that NumPy can read, a CPU tensor too.
            y: labels of the first n, `(B, n)`, whole numbers, -1 for an unlabelled point.

        Returns:
            `(B, K)` for one query, `(B, q, K)` for several, float64.

        Raises:
            ValueError: shapes or labels are not as above, a value is not finite, or no point is labelled; or features
                and scalars so large that the logits are not finite.
        """
        x, u, n = self.embed(x, y)
        table = self.at_length(n).table
        each = table.shape[1] * n  # numbers of attention a point
        tasks = max(1, BLOCK // (each * x.shape[1]))
        pieces = [
            self._run(table, x[start : start + tasks], u[start : start + tasks], n, max(LEAST_ROWS, BLOCK // each))
            for start in range(0, len(x), tasks)
        ]
        logits = self.read_out(np.concatenate(pieces)[:, n:])
        if not np.isfinite(logits).all():
            raise ValueError(
                f"the logits are not finite: features reach {np.abs(x).max():.1e}, or the scalars are too large"
            )
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def _run(self, table, x, u, n, rows):
        """Labels after all layers, some rows at a time: the attention of all points would take n^2 numbers."""
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is seen at the end
            for layer in table:
                parts = [quick_step(layer, x, u, n, slice(at, at + rows)) for at in range(0, x.shape[1], rows)]
                x, u = parts[0] if len(parts) == 1 else map(partial(np.concatenate, axis=1), zip(*parts, strict=True))
        return u

    def trajectory(self, x, y) -> Trajectory:
        """The same, with all that moves on the way; arguments as in a call.

        Raises:
            ValueError: as a call, or a point or label that does not stay finite.
        """
        x, u, n = self.embed(x, y)
        xs, us, attentions = [x], [u], []
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is seen at the end
            for layer in self.at_length(n).table:
                x, u, A = self.step(layer, x, u, n)
                xs.append(x)
                us.append(u)
                attentions.append(A)
        if not all(np.isfinite(part).all() for part in (x, u)):
            raise ValueError(
                f"points or labels are not finite: features reach {np.abs(xs[0]).max():.1e}, or scalars are too large"
            )
        return Trajectory(np.stack(xs), np.stack(us), np.stack(attentions))

    def embed(self, x, y) -> tuple[np.ndarray, np.ndarray, int]:
        """Points `(B, N, d)` and centred labels `(B, N, K)` as they enter the first layer, and n."""
        x, y = _checked_prompt(x, y, self.n_classes)
        u = np.zeros((*x.shape[:2], self.n_classes))
        u[:, : y.shape[1]] = np.where(y[..., None] >= 0, np.eye(self.n_classes)[y] - 1 / self.n_classes, 0)
        if self.has_memory:
            x, u = (_first_copy(part, self.copies) for part in (x, u))
        return x, u, y.shape[1]

    @property
    def step(self):
        """One layer, as a function: `step`, or `memory_step` where the scalars are matrices."""
        return memory_step if self.has_memory else step

    def read_out(self, u) -> np.ndarray:
        """Logits `(*, K)` of final labels: a scale times u `(*, K)`, summed over the copies where u is `(*, m, K)`."""
        return _read_copies(u, self.scale) if self.has_memory else self.scale * u

    def at_length(self, n: float) -> "Recursion":
        r"""The recursion for contexts of n points, without slopes: itself where it has none.

        .. math:: s(n) = s + s' \, \tfrac12 \log \frac{n}{64}

        Raises:
            ValueError: n is not positive.

        Example:
            >>> recursion = Recursion({"alpha": [[1]], "beta": 0, "gamma": 0, "delta": 1},
            ...                       slopes={"alpha": [[0.5]], "beta": 0, "gamma": 0, "delta": 0})
            >>> recursion.at_length(64 * np.exp(2)).table.alpha.round(9).tolist()
            [[1.5]]
        """
        if not n > 0:
            raise ValueError(f"n={n!r}; it must be positive")
        if self.slopes is None:
            return self
        factor = math.log(n / LENGTH) / 2
        table = {name: self.table[name] + factor * self.slopes[name] for name in SCALARS}
        return replace(self, table=table, slopes=None)

    @property
    def has_memory(self) -> bool:
        """Whether the scalars are matrices, be they of one copy."""
        return self.table.alpha.ndim == 4

    @property
    def copies(self) -> int:
        """m; 1 where there is no memory."""
        return self.table.alpha.shape[-1] if self.has_memory else 1

    def __post_init__(self):
        object.__setattr__(self, "table", _as_table(self.table))
        if self.slopes is not None:
            object.__setattr__(self, "slopes", _as_table(self.slopes, self.table.alpha.shape))
        scale, m = np.asarray(self.scale, dtype=float), self.copies
        if scale.shape not in ((), (m,)):
            raise ValueError(f"scale has shape {scale.shape}; it must be one number, or one for each of {m} copies")
        if self.has_memory and not scale.ndim:
            scale = scale * np.eye(m)[0]
        object.__setattr__(self, "scale", scale if self.has_memory else scale.item())
        if isinstance(self.n_classes, bool) or not isinstance(self.n_classes, Integral) or self.n_classes < 2:
            raise ValueError(f"n_classes={self.n_classes!r}; it must be a whole number of at least 2")
        object.__setattr__(self, "n_classes", int(self.n_classes))
        if not np.isfinite(self.scale).all():
            raise ValueError(f"scale={self.scale!r}; it must be finite")

    @classmethod
    def from_model(cls, model) -> "Recursion":
        r"""The recursion in the weights of a model, :math:`M_h \approx \alpha I_d \oplus \beta I_K`,
        :math:`V_h \approx \gamma I_d \oplus \delta I_K`.

        Each scalar is the coordinate of the identity in its block, beside that of the all-ones matrix: the mean of the
        diagonal less the mean of all other entries. For a model of four scalars a head nothing is lost and the
        recursion is exact; else `dropped` says what share of the weights it leaves out, and `icl_nb.abstract` what that
        does to the function.

        Arguments:
            model: anything with `weights()`, two `(L, H, D, D)`, `n_features`, `n_classes` and `scale`; D = m (d + K)
                where it has m `copies`.

        Raises:
            ValueError: the model has no such weights, for its layers do more than attend.

        Example:
            >>> from icl_nb import DenseTransformer
            >>> Recursion.from_model(DenseTransformer(depth=4, seed=0))
            Recursion(4 layers, 1 head, K=3, scale 5; it dropped 17 % of the weights)
        """
        try:
            d, m, read_out = model.n_features, model.copies, model.scale
        except AttributeError:
            raise ValueError(
                f"a {type(model).__name__} has no recursion in its weights; `icl_nb.interpret.lens.follow` fits one"
            ) from None
        table, rest, norm = _read_scalars(model.weights(), d, m)
        slopes, of_slopes = getattr(model, "slope_weights", lambda: None)(), 0
        if slopes is not None:
            slopes, of_slopes, more = _read_scalars(slopes, d, m)
            norm = norm + more
        dropped = np.sqrt((rest + of_slopes) / np.where(norm > 0, norm, 1))
        scale = np.asarray(read_out.detach().cpu(), dtype=float)
        return cls(table, model.n_classes, scale, dropped, slopes)

    def __setstate__(self, state: dict) -> None:
        """NumPy gives every array back writeable; the table stays what it was, for a fitted estimator rests on it."""
        self.__dict__.update(state)
        for part in (self.table, self.slopes):
            if part is not None:
                part.flags.writeable = False

    def replace(self, **scalars) -> "Recursion":
        """The same with other scalars, `replace(gamma=0)`: a number or an `(L, H)` array each.

        Raises:
            ValueError: no scalar of that name, or an array that does not fit.
        """
        if unknown := set(scalars) - set(SCALARS):
            raise ValueError(f"there is no {', '.join(sorted(unknown))} in the table; it has {', '.join(SCALARS)}")
        shape = self.table.alpha.shape  # of the old ones, so that four numbers are enough for a table
        new = {name: np.broadcast_to(value, shape) for name, value in scalars.items()}
        slopes = self.slopes
        if slopes is not None:  # what is replaced is the same at every length
            slopes = {name: 0 * slopes[name] if name in new else slopes[name] for name in SCALARS}
        # What a model's weights held beside the old scalars is not what they hold beside the new.
        return replace(self, table={name: self.table[name] for name in SCALARS} | new, dropped=None, slopes=slopes)

    def __getitem__(self, layers) -> "Recursion":
        """Some of the layers, `recursion[:6]` or `recursion[[2, 0, 1]]`, in that order.

        Raises:
            TypeError: a number, not a slice or a list.
        """
        if isinstance(layers, Integral):
            raise TypeError("take layers by a slice or a list: recursion[3:4], recursion[[3]]")
        dropped, slopes = (None if part is None else part[layers] for part in (self.dropped, self.slopes))
        return replace(self, table=self.table[layers], dropped=dropped, slopes=slopes)

    def to_json(self) -> str:
        """Text that `from_json` reads back without loss; `dropped` stays behind."""
        content = {"n_classes": self.n_classes, "scale": np.asarray(self.scale).tolist()}
        for part in ("table", "slopes"):
            if (scalars := getattr(self, part)) is not None:
                content[part] = {name: scalars[name].tolist() for name in SCALARS}
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> "Recursion":
        """The recursion that `to_json` wrote."""
        return cls(**json.loads(text))

    def __repr__(self) -> str:
        (depth, heads), share = self.table.shape, ""
        if self.dropped is not None:
            percent = f"{100 * np.sqrt(np.mean(self.dropped**2)):.2g}"
            share = f"; it dropped {percent} % of the weights" if self.dropped.any() else "; nothing was dropped"
        plural, memory = "s" if heads > 1 else "", f", {self.copies} copies" if self.copies > 1 else ""
        memory += ", slopes" if self.slopes is not None else ""
        scale = " ".join(f"{value:.4g}" for value in np.atleast_1d(self.scale))
        return f"Recursion({depth} layers, {heads} head{plural}{memory}, K={self.n_classes}, scale {scale}{share})"

    def __str__(self) -> str:
        m = self.copies
        lines = ["layer head" + "".join(f"{name:>{8 * m}}" for name in SCALARS)]
        for index in np.ndindex(self.table.shape):
            row = self.table[index]
            matrices = np.concatenate([np.reshape(row[name], (m, m)) for name in SCALARS], -1)  # (m, 4 m)
            for a, numbers in enumerate(matrices):
                start = "{:5d}{:5d}".format(*(number + 1 for number in index)) if a == 0 else 10 * " "
                lines.append(start + "".join(f"{value:8.3f}" for value in numbers))
            if self.has_memory:
                lines.append("")
        text = "\n".join(lines).rstrip()
        if self.slopes is None:
            return text
        return f"{text}\n\nand times log(n / {LENGTH}) / 2\n{replace(self, table=self.slopes, slopes=None)}"


def memory_step(layer, x, u, n, rows=slice(None)):
    r"""One layer of a recursion with memory: points `(B, N, m, d)`, labels `(B, N, m, K)`, scalars `(H, m, m)`.

    .. math:: A_{ij} &= \mathrm{softmax}_j \sum_{ab} \big( \alpha_{ab} \langle x_i^a, x_j^b \rangle
            + \beta_{ab} \langle u_i^a, u_j^b \rangle \big) \\
        x_i^a &\leftarrow x_i^a + \sum_b \gamma_{ab} \sum_j A_{ij} x_j^b, \qquad
        u_i^a \leftarrow u_i^a + \sum_b \delta_{ab} \sum_j A_{ij} u_j^b

    Arguments:
        layer: the scalars of each head, `(H, m, m)` each.
        x: points, the context first, `(B, N, m, d)`.
        u: their labels, `(B, N, m, K)`.
        n: context points.
        rows: which points are wanted; all of them by default.

    Returns:
        x, u, and the attention A, `(B, H, N, n)`.

    Source: own.

    Example:
        >>> table = Recursion({"alpha": [[[[0]]]], "beta": 0, "gamma": -1, "delta": 0}).table
        >>> x, u, A = memory_step(table[0], np.array([[[[1.0]], [[3.0]], [[7.0]]]]), np.zeros((1, 3, 1, 2)), n=2)
        >>> x.ravel().tolist()  # with one copy it is `step`
        [-1.0, 1.0, 5.0]
    """
    context = {"alpha": x[:, :n], "beta": u[:, :n]}
    x, u = x[:, rows], u[:, rows]

    def score(name, blocks):  # t a task, h a head, i and j points, a and b copies, k a feature or a class
        return np.einsum("hab,tiak,tjbk->thij", layer[name], blocks, context[name], optimize=True)

    def move(name, blocks):
        return np.einsum("hab,thij,tjbk->tiak", layer[name], A, blocks, optimize=True)

    scores = score("alpha", x) + score("beta", u)
    A = np.exp(scores - scores.max(-1, keepdims=True))
    A /= A.sum(-1, keepdims=True)
    return x + move("gamma", context["alpha"]), u + move("delta", context["beta"]), A


def quick_step(layer, x, u, n, rows=slice(None)):
    """x and u after `step`, or after `memory_step`, without the attention: all heads in one product.

    Measured 1.4 to 5 times as fast where there is a memory or a long context, and level elsewhere.

    Arguments:
        layer: as theirs.
        x: likewise.
        u: likewise.
        n: likewise.
        rows: likewise.

    Example:
        >>> table = Recursion({"alpha": [[0]], "beta": 0, "gamma": -1, "delta": 0}).table
        >>> quick_step(table[0], np.array([[[1.0], [3.0], [7.0]]]), np.zeros((1, 3, 2)), n=2)[0].tolist()
        [[[-1.0], [1.0], [5.0]]]
    """
    m = np.shape(layer["alpha"])[-1] if np.ndim(layer["alpha"]) > 1 else 1
    scalars = [np.reshape(layer[name], (-1, m, m)) for name in SCALARS]
    alpha, beta = (part.swapaxes(1, 2).reshape(-1, m) for part in scalars[:2])  # (H m, m): to all heads at once
    gamma, delta = (part.swapaxes(0, 1).reshape(m, -1) for part in scalars[2:])  # (m, H m): and from them
    shapes = [(len(x), -1, *part.shape[2:]) for part in (x, u)]
    x, u = (part.reshape(*part.shape[:2], m, -1) for part in (x, u))
    context = np.concatenate([x[:, :n], u[:, :n]], -1).reshape(len(x), n, -1)
    x, u = x[:, rows], u[:, rows]
    asked = np.concatenate([alpha @ x, beta @ u], -1)  # (B, N, H m, d + K): what each head of a point looks for
    A = asked.reshape(len(x), -1, context.shape[-1]) @ context.mT  # (B, N H, n)
    if not -SMALL < A.min() <= A.max() < SMALL:  # neither overflow nor a sum of 0 is near
        A -= A.max(-1, keepdims=True)
    np.exp(A, out=A)
    found = A @ np.concatenate([context, np.ones((len(x), n, 1))], -1)
    found = (found[..., :-1] / found[..., -1:]).reshape(asked.shape)
    d = x.shape[-1]
    x, u = x + gamma @ found[..., :d], u + delta @ found[..., d:]
    return x.reshape(shapes[0]), u.reshape(shapes[1])


def _first_copy(part, m):
    """Points or labels `(B, N, k)` as the first of m copies, all others 0: `(B, N, m, k)`."""
    return part[:, :, None] * np.eye(m)[0][:, None]


def _read_copies(u, scale):
    """Logits `(*, K)` of final labels `(*, m, K)`: each copy has its own scale, `(m,)`."""
    return np.tensordot(u, scale, (-2, 0))


def _read_scalars(weights, d, m):
    """The table `{name: (L, H) or (L, H, m, m)}` in two weights `(L, H, D, D)`, and by layer the squared norm of what
    it does not hold and that of all, `(L,)` each."""
    weights = np.stack([np.asarray(part.detach().cpu(), dtype=float) for part in weights])
    size = weights.shape[-1] // m
    # One matrix (d + K, d + K) for each pair of copies: (2, L, H, m, m, d + K, d + K)
    weights = weights.reshape(*weights.shape[:3], m, size, m, size).swapaxes(-3, -2)
    blocks = np.zeros_like(weights)
    blocks[..., :d, :d] = _identity_part(weights[..., :d, :d])
    blocks[..., d:, d:] = _identity_part(weights[..., d:, d:])
    rest, norm = (np.square(part).sum((0, 2, 3, 4, 5, 6)) for part in (weights - blocks, weights))
    (alpha, gamma), (beta, delta) = (
        corner if m > 1 else corner[..., 0, 0] for corner in (blocks[..., 0, 0], blocks[..., -1, -1])
    )
    return {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}, rest, norm


def _identity_part(block):
    """The nearest a I + b J of each matrix `(..., s, s)`, without the b J."""
    size = block.shape[-1]
    first = block[..., :1, 0]  # taken out of the mean, so that equal entries average to themselves exactly
    diagonal = first + (np.diagonal(block, axis1=-2, axis2=-1) - first).mean(-1, keepdims=True)
    others = (block * (1 - np.eye(size))).sum((-2, -1)) / max(size * (size - 1), 1)
    return (diagonal - others[..., None])[..., None] * np.eye(size)


def _as_table(scalars, wanted=None) -> np.recarray:
    names = scalars.dtype.names if isinstance(scalars, np.ndarray) else list(scalars)
    if sorted(names or ()) != sorted(SCALARS):
        raise ValueError(f"the table has {list(names or ())}; it must have {list(SCALARS)}")
    columns = np.broadcast_arrays(*(np.asarray(scalars[name], dtype=float) for name in SCALARS))
    shape = columns[0].shape
    if len(shape) not in (2, 4) or 0 in shape or shape[2:3] != shape[3:]:
        raise ValueError(
            f"the scalars have shape {shape}; each must be (L, H), or (L, H, m, m) with memory, "
            "at least one of them in full"
        )
    if wanted is not None and shape != wanted:
        raise ValueError(f"the slopes have shape {shape} and the scalars {wanted}; they must agree")
    if not np.isfinite(columns).all():
        raise ValueError("the table holds NaN or infinity; every scalar must be finite")
    table = np.zeros(shape[:2], [(name, float, shape[2:]) for name in SCALARS]).view(np.recarray)
    for name, column in zip(SCALARS, columns, strict=True):
        table[name] = column
    table.flags.writeable = False
    return table


def _checked_prompt(x, y, n_classes):
    x, y = np.asarray(x, dtype=float), np.asarray(y)
    if x.ndim != 3 or y.ndim != 2:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; they must be (B, n + q, d) and (B, n)")
    if y.dtype.kind not in "iu":
        raise ValueError(f"y is {y.dtype}; labels must be whole numbers")
    if len(x) != len(y):
        raise ValueError(f"x holds {len(x)} tasks and y {len(y)}; they must be equally many")
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"x {x.shape}, y {y.shape}: a prompt needs a task, a context point and a feature at least")
    if x.shape[1] <= y.shape[1]:
        raise ValueError(
            f"{x.shape[1]} points with {y.shape[1]} context labels leave no query; "
            "give x at least one point more than y"
        )
    if not np.isfinite(x).all():
        raise ValueError("x holds NaN or infinity; every feature must be finite")
    if y.min() < -1 or y.max() >= n_classes:
        raise ValueError(
            f"labels run from {y.min()} to {y.max()}; they must lie in 0..{n_classes - 1}, "
            "or be -1 for an unlabelled point"
        )
    if (y == -1).all(-1).any():
        raise ValueError("a context has no labelled point; at least one is needed")
    return x, y
