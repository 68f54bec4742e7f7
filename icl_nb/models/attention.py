r"""Attention-only softmax transformers that classify in context.

One layer serves all models; they differ in where its matrices come from. With tokens :math:`z_i = (x_i, u_i)`,
:math:`u_i = e_{y_i} - 1/K` for a labelled point and 0 for the query,

.. math:: z_i \leftarrow z_i + \sum_h V_h \sum_j \mathrm{softmax}_j(z_i^T M_h z_j)\, z_j

where j runs over the context: everyone reads the context, nobody reads a query. The logits are a scale times the label
block of the query after the last layer.

A model with m copies gives each token m - 1 further blocks of the same shape, empty at the start: a memory. The given
label and the current belief need not share one place then. The symmetry acts on all copies alike.

Letters: B tasks, N = n + q points, D = m (d + K), m copies (1 unless said), L layers, H heads.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor, nn

from icl_nb.checks import check_count, check_seed
from icl_nb.symmetry import COORDINATES, assemble, conjugate, project, random_element
from icl_nb.tasks.batch import check_prompt

LENGTH = 64  # context points at which slopes count nothing

# Context points from which on answers are found without the attention of all points, n^2 numbers a head. With fewer the
# plain products are faster, up to 1.6 times at 40; with more the fused ones, by a quarter to a third at 256.
LONG = 96


def attention_layer(z: Tensor, n_context: int, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """One layer.

    Arguments:
        z: tokens, `(B, N, D)`, the context first.
        n_context: n
        m: score matrices, `(H, D, D)`.
        v: value matrices, `(H, D, D)`.

    Returns:
        the tokens after the layer, `(B, N, D)`, and the attention that moved them, `(B, H, N, n)`.

    Source: own form of the layer that paper A (arXiv 2604.11613) trains.

    Example:
        >>> z = torch.tensor([[[1.0], [3.0], [7.0]]])
        >>> after, attention = attention_layer(z, 2, torch.zeros(1, 1, 1), -torch.ones(1, 1, 1))
        >>> after.flatten().tolist(), attention.shape  # the mean of the context, 2, is taken away
        ([-1.0, 1.0, 5.0], torch.Size([1, 1, 3, 2]))
    """
    batch, points, size = z.shape
    heads = len(m)
    context = z[:, :n_context]
    # All heads in one product: a batch of small ones, one a head, takes half as long again.
    queries = (z @ m.transpose(0, 1).reshape(size, heads * size)).reshape(batch, points * heads, size)
    attention = (queries @ context.mT).softmax(-1)  # (B, N H, n)
    averages = (attention @ context).reshape(batch, points, heads * size)
    moved = z + averages @ v.transpose(1, 2).reshape(heads * size, size)
    return moved, attention.reshape(batch, points, heads, n_context).transpose(1, 2)


def fused_layer(z: Tensor, n_context: int, m: Tensor, v: Tensor) -> Tensor:
    """The tokens after `attention_layer`, without the attention: a third less time where contexts are long."""
    batch, points, size = z.shape
    heads = len(m)
    context = z[:, None, :n_context]
    # All heads read the same keys: one head that asks H times.
    queries = (z @ m.transpose(0, 1).reshape(size, heads * size)).reshape(batch, 1, points * heads, size)
    averages = nn.functional.scaled_dot_product_attention(queries, context, context, scale=1.0)
    return z + averages.reshape(batch, points, heads * size) @ v.transpose(1, 2).reshape(heads * size, size)


def answering_layer(z: Tensor, n_context: int, m: Tensor, v: Tensor) -> tuple[Tensor, Tensor | None]:
    """As `attention_layer`; for a long context as `fused_layer`, and without its attention."""
    if n_context < LONG:
        return attention_layer(z, n_context, m, v)
    return fused_layer(z, n_context, m, v), None


def check_levels(after: Sequence[int], depth: int) -> None:
    """Refuse layers that are not below the last of a model, counted from 1, in rising order.

    Raises:
        ValueError: they are not.
    """
    levels = [check_count("after", level, 1) for level in after]
    if levels != sorted(set(levels)) or any(level >= depth for level in levels):
        raise ValueError(f"after={tuple(after)}; it must name layers from 1 to {depth - 1}, in rising order")


class InContextTransformer(nn.Module, ABC):
    """What every transformer here answers: it embeds a prompt, passes it through its layers, and reads out the queries.

    A subclass gives `parts`. One that can take other sizes, or on which the symmetry can be imposed, says so in `at`,
    `injection` and `symmetrise_`.

    Arguments:
        n_features: d
        n_classes: K
        depth: layers L.
        heads: heads a layer, H.
        seed: of the initial weights.

    Raises:
        ValueError: a count is too small, or the seed none of 0..2^31 - 1.
    """

    def __init__(self, n_features: int = 5, n_classes: int = 3, depth: int = 8, heads: int = 1, *, seed: int = 0):
        super().__init__()
        self.n_features = check_count("n_features", n_features, 1)
        self.n_classes = check_count("n_classes", n_classes, 2)
        self.depth, self.heads = check_count("depth", depth, 1), check_count("heads", heads, 1)
        check_seed(seed)

    @property
    def config(self) -> dict:
        """The keyword arguments that build a model of this shape."""
        names = ("n_features", "n_classes", "depth", "heads")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.config.items())})"

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @abstractmethod
    def embed(self, x: Tensor, y: Tensor) -> Tensor:
        """The stream before the first layer, `(B, N, D)`; arguments as those of `forward`."""

    @abstractmethod
    def read_out(self, z: Tensor) -> Tensor:
        """Logits `(*, K)` of the stream `(*, D)`."""

    @abstractmethod
    def parts(self, **around) -> tuple[Callable, list[Callable], Callable]:
        """What a prompt passes through, all matrices assembled: `embed`; the layers, each a function of the stream
        `(B, N, D)` and of n, to the stream after it and its attention `(B, H, N, n)`; `read_out`.

        Arguments:
            around: what `injection` gives, wrapped around them.
        """

    def answering_parts(self, **around) -> tuple[Callable, list[Callable], Callable]:
        """`parts` for `forward`, which asks for no attention: what a layer gives beside the stream may be None."""
        return self.parts(**around)

    def layer(self, level: int, z: Tensor, n_context: int) -> tuple[Tensor, Tensor]:
        """Layer `level` on the stream `(B, N, D)`: the stream after it, and its attention `(B, H, N, n)`."""
        return self.parts()[1][level](z, n_context)

    def stream(self, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The stream before the first layer and after each, with the attention that moved it, and with gradients."""
        embed, layers, _ = self.parts()
        z = embed(x, y)
        yield z, None
        for layer in layers:
            z, attention = layer(z, y.shape[1])
            yield z, attention

    def forward(self, x: Tensor, y: Tensor, **around) -> Tensor:
        """Logits of the queries.

        Arguments:
            x: points, the queries last, `(B, n + q, d)`, in the model's dtype.
            y: labels of the first n, `(B, n)`, int64, -1 for an unlabelled point.
            around: what `injection` gives, to be wrapped around the layers.

        Returns:
            `(B, K)` for one query, `(B, q, K)` for several; they do not see each other.

        Raises:
            ValueError: shapes, dtypes or labels are not as above, no point is labelled, a value is not finite, or
                values so large that the logits are not.
        """
        logits = self.answers(x, y, **around)[0]
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def answers(self, x: Tensor, y: Tensor, after: Sequence[int] = (), **around) -> Tensor:
        """Logits of the queries, read after some layers and after the last.

        Arguments:
            x: as in `forward`.
            y: likewise.
            after: layers below the last, counted from 1, in rising order.
            around: as in `forward`.

        Returns:
            `(R, B, q, K)` for R - 1 such layers; the last of them are the answers of `forward`.

        Raises:
            ValueError: as in `forward`, or `after` is not as above.

        Example:
            >>> from icl_nb import LinearTask
            >>> batch = LinearTask().sample(4, n_queries=2)
            >>> EquivariantTransformer(depth=4).answers(batch.x, batch.context_y, (1, 3)).shape
            torch.Size([3, 4, 2, 3])
        """
        check_levels(after, self.depth)
        embed, layers, read_out = self.answering_parts(**around)
        z, read = embed(x, y), []
        for level, layer in enumerate(layers, 1):
            z, _ = layer(z, y.shape[1])
            if level == len(layers) or level in after:
                read.append(read_out(z[:, y.shape[1] :]))
        logits = torch.stack(read)
        if not logits.isfinite().all():
            largest = max(part.abs().max() for part in self.parameters())
            raise ValueError(
                f"the logits are not finite: features reach {x.abs().max():.1e} and weights {largest:.1e}, "
                f"one of which is too large (or NaN) for {self.dtype}"
            )
        return logits

    @torch.no_grad()
    def trajectory(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """All that moves: the stream before and after each layer, `(L + 1, B, N, D)`, attention, `(L, B, H, N, n)`.

        Raises:
            ValueError: arguments are not as in `forward`, or what a layer gives is not finite.
        """
        stream, (_, *attentions) = zip(*self.stream(x, y), strict=True)
        for level, z in enumerate(stream[1:]):
            if not z.isfinite().all():
                raise ValueError(f"layer {level + 1} gives NaN or infinity; weights or features are too large")
        return torch.stack(stream), torch.stack(attentions)

    def at(self, n_features: int, n_classes: int, *, share: bool = False) -> "InContextTransformer":
        """This model for d features and K classes: itself where it reads those, or another of the same scalars.

        Arguments:
            n_features: d
            n_classes: K
            share: whether the other has this model's own parameters, so that training one trains both.

        Raises:
            ValueError: its weights fit one size alone.
        """
        if (n_features, n_classes) == (self.n_features, self.n_classes):
            return self
        raise ValueError(
            f"the task has d={n_features}, K={n_classes}; the model reads d={self.n_features}, K={self.n_classes}: "
            f"the weights of a {type(self).__name__} fit one size alone"
        )

    def injection(self, n_tasks: int, generator: torch.Generator) -> dict:
        """Arguments of `forward` that wrap random group elements around the layers.

        Raises:
            ValueError: there is nothing to impose the symmetry on.
        """
        raise ValueError(f"symmetry acts on dense weights; {type(self).__name__} has none to impose it on")

    def symmetrise_(self) -> None:
        """Replace the weights by the nearest that commute with the group, in place.

        Raises:
            ValueError: there is nothing to impose the symmetry on.
        """
        raise ValueError(f"symmetry acts on dense weights; {type(self).__name__} has none to impose it on")

    @classmethod
    @abstractmethod
    def check_shapes(cls, config: dict, shapes: dict[str, tuple]) -> None:
        """Refuse a configuration that a state of these shapes cannot be of, before a model of any size is built.

        Raises:
            ValueError: it is of another size.
        """

    def _tokens(self, x: Tensor, y: Tensor) -> Tensor:
        """Points and centred labels side by side, `(B, N, d + K)`, if the prompt is as `forward` describes.

        Raises:
            ValueError: it is not, or its features, dtype or device are not those of the model.
        """
        check_prompt(x, y, self.n_classes)
        if x.shape[2] != self.n_features:
            raise ValueError(f"x has {x.shape[2]} features; this model reads {self.n_features}")
        if x.dtype != self.dtype:
            raise ValueError(f"x is {x.dtype} and the model {self.dtype}; cast one of them")
        if x.device != self.device:
            raise ValueError(f"x is on {x.device} and the model on {self.device}; move one of them")
        u = x.new_zeros(*x.shape[:2], self.n_classes)
        one_hot = nn.functional.one_hot(y.clamp(min=0), self.n_classes).to(x.dtype)
        u[:, : y.shape[1]] = (y >= 0)[..., None] * (one_hot - 1 / self.n_classes)
        return torch.cat([x, u], -1)


class AttentionTransformer(InContextTransformer):
    """Layers that attend and do nothing else: `weights()` are all there is to know, beside a scale to read out.

    Arguments:
        copies: of each token block, m; the first holds the token, the others nothing in the beginning.
    """

    def __init__(
        self,
        n_features: int = 5,
        n_classes: int = 3,
        depth: int = 8,
        heads: int = 1,
        copies: int = 1,
        *,
        seed: int = 0,
    ):
        super().__init__(n_features, n_classes, depth, heads, seed=seed)
        self.copies = check_count("copies", copies, 1)
        # The answer is where one copy would have put it, until training says otherwise.
        first = nn.functional.one_hot(torch.tensor(0), copies) if copies > 1 else torch.tensor(1)
        self.scale = nn.Parameter(5.0 * first)

    @classmethod
    def check_shapes(cls, config: dict, shapes: dict[str, tuple]) -> None:
        """As `InContextTransformer.check_shapes` says.

        Raises:
            ValueError: it holds other tensors than m, v and scale, or another depth or number of heads.
        """
        names = {"m", "v", "scale"} | ({"m_slope", "v_slope"} if config.get("slopes") else set())
        if set(shapes) != names:
            raise ValueError(
                f"it holds {', '.join(sorted(shapes)) or 'nothing'} and must hold {', '.join(sorted(names))}"
            )
        stated = config.get("depth"), config.get("heads")
        if stated != shapes["m"][:2]:
            raise ValueError(f"depth and heads are {stated}, and m has shape {shapes['m']}")

    @abstractmethod
    def weights(self) -> tuple[Tensor, Tensor]:
        """Score and value matrices of all layers, each `(L, H, D, D)`."""

    # What is wrapped around is named by each kind, and `injection` gives the same: nobody passes it by the base class.
    def parts(  # ty: ignore[incompatible-method-override]
        self, *, weights: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Callable, list[Callable], Callable]:
        """As `InContextTransformer.parts` says.

        Arguments:
            weights: matrices to use in place of the model's own, each `(L, H, D, D)`.

        Raises:
            ValueError: those have other shapes.
        """
        size = self.copies * (self.n_features + self.n_classes)
        ms, vs = self.weights() if weights is None else weights
        if ms.shape != vs.shape or ms.ndim != 4 or ms.shape[2:] != (size, size):
            shapes = f"{tuple(ms.shape)} and {tuple(vs.shape)}"
            raise ValueError(f"weights have shapes {shapes}; both must be (L, H, D, D) with D={size}")
        layers: list[Callable] = [partial(attention_layer, m=m, v=v) for m, v in zip(ms, vs, strict=True)]
        return self.embed, layers, self.read_out

    def answering_parts(self, **around) -> tuple[Callable, list[Callable], Callable]:
        """As `InContextTransformer.answering_parts` says."""
        embed, layers, read_out = self.parts(**around)
        for level, layer in enumerate(layers):
            if isinstance(layer, partial) and layer.func is attention_layer:  # and no subclass's own
                layers[level] = partial(answering_layer, **layer.keywords)
        return embed, layers, read_out

    def embed(self, x: Tensor, y: Tensor) -> Tensor:
        """Tokens `(B, N, D)` of points `x (B, N, d)` whose first n have labels `y (B, n)`; the rest get u = 0.

        Raises:
            ValueError: the prompt is not as `forward` describes.
        """
        return nn.functional.pad(self._tokens(x, y), (0, (self.copies - 1) * (self.n_features + self.n_classes)))

    def read_out(self, z: Tensor) -> Tensor:
        r"""Logits `(*, K)` of tokens `(*, D)`, :math:`\sum_a r_a u^a`: each copy has its own scale."""
        u = z.unflatten(-1, (self.copies, -1))[..., self.n_features :]  # (*, m, K)
        return (self.scale.reshape(-1, 1) * u).sum(-2)


class DenseTransformer(AttentionTransformer):
    r"""Nothing imposed: every entry of every :math:`M_h` and :math:`V_h` is free, :math:`2 L H (d + K)^2` in all.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(4)
        >>> DenseTransformer(depth=2)(batch.x, batch.y[:, :-1]).shape
        torch.Size([4, 3])
    """

    def __init__(self, n_features: int = 5, n_classes: int = 3, depth: int = 8, heads: int = 1, *, seed: int = 0):
        super().__init__(n_features, n_classes, depth, heads, seed=seed)
        # The start of the equivariant model, so that the two differ in what they may learn, plus noise in every entry.
        start = EquivariantTransformer(n_features, n_classes, depth, heads, seed=seed)
        shape = (depth, heads, n_features + n_classes, n_features + n_classes)
        generator = torch.Generator().manual_seed(seed)
        m, v = (part.detach() + 0.02 * _normal(shape, generator) for part in start.weights())
        self.m, self.v = nn.Parameter(m), nn.Parameter(v)

    def weights(self) -> tuple[Tensor, Tensor]:
        return self.m, self.v

    def injection(self, n_tasks: int, generator: torch.Generator) -> dict:
        r"""Weights with a random group element around each layer, :math:`\Pi^T M \Pi`, :math:`\Pi^T V \Pi`, one for all
        tasks."""
        orders = torch.stack([random_element(self.n_features, self.n_classes, generator) for _ in range(self.depth)])
        return {"weights": tuple(conjugate(part, orders.to(self.device)) for part in (self.m, self.v))}

    @torch.no_grad()
    def symmetrise_(self) -> None:
        """Replace the matrices by their nearest commuting ones, in place."""
        for part in (self.m, self.v):
            part.copy_(project(part, self.n_features, self.n_classes))

    def projected(self) -> "DenseTransformer":
        """A copy whose matrices are replaced by their nearest commuting ones."""
        other = copy.deepcopy(self)
        other.symmetrise_()
        return other


class EquivariantTransformer(AttentionTransformer):
    r"""Equivariant by construction: each matrix is given by its coordinates in the commutant.

    .. math:: M_{lh} = \sum_c m_{lhc} \otimes B_c, \qquad V_{lh} = \sum_c v_{lhc} \otimes B_c

    With one copy the coordinates are numbers; with m they are m x m matrices, which mix the copies.

    Arguments:
        scalars: free coordinates a head. 12: all of M and V. 4: the identities alone,
            :math:`M = \alpha I_d \oplus \beta I_K`, :math:`V = \gamma I_d \oplus \delta I_K`.
        copies: of each token block, m. There are m^2 numbers a coordinate, and m to read out.
        slopes: whether coordinates depend on the length of the context, :math:`c(n) = c + c' \log(n / 64) / 2`. The
            slopes c' are 0 in the beginning.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(4)
        >>> model = EquivariantTransformer(n_features=5, n_classes=3, depth=8, heads=1)
        >>> model(batch.x, batch.y[:, :-1]).shape
        torch.Size([4, 3])
        >>> EquivariantTransformer(scalars=4, copies=3).m.shape
        torch.Size([8, 1, 2, 3, 3])
    """

    kept: Tensor  # the places of the free coordinates among all six

    def __init__(
        self,
        n_features: int = 5,
        n_classes: int = 3,
        depth: int = 8,
        heads: int = 1,
        scalars: int = 12,
        copies: int = 1,
        slopes: bool = False,
        *,
        seed: int = 0,
    ):
        super().__init__(n_features, n_classes, depth, heads, copies, seed=seed)
        if not isinstance(slopes, bool):
            raise ValueError(f"slopes={slopes!r}; it must be True or False")
        if scalars not in (4, 12):
            raise ValueError(f"scalars={scalars!r}; it must be 12 (all coordinates) or 4 (the identities alone)")
        self.scalars = scalars
        names = COORDINATES if scalars == 12 else ("I_d", "I_K")
        self.register_buffer("kept", torch.tensor([COORDINATES.index(name) for name in names]), persistent=False)
        generator = torch.Generator().manual_seed(seed)
        mix = () if copies == 1 else (copies, copies)
        m, v = 0.02 * _normal((2, depth, heads, len(names), *mix), generator)
        # Every point looks a little at what resembles it; values start small, so that depth starts as a near identity.
        m[:, :, [names.index("I_d"), names.index("I_K")]] += 0.5 * (torch.eye(copies) if mix else 1)
        self.m, self.v = nn.Parameter(m), nn.Parameter(v)
        self.slopes = slopes
        if slopes:
            self.m_slope, self.v_slope = nn.Parameter(torch.zeros_like(m)), nn.Parameter(torch.zeros_like(v))

    @property
    def config(self) -> dict:
        more = ({"copies": self.copies} if self.copies > 1 else {}) | ({"slopes": True} if self.slopes else {})
        return super().config | {"scalars": self.scalars} | more

    def coordinates(self, length: float | None = None) -> tuple[Tensor, Tensor]:
        """The coordinates of M and of V, each `(L, H, 6)` or `(L, H, 6, m, m)`, in the order of `COORDINATES`.

        Arguments:
            length: context points, on which they depend where there are slopes; None is 64.
        """
        parts = self.m, self.v
        if self.slopes and length is not None:
            parts = (self.m + length_factor(length) * self.m_slope, self.v + length_factor(length) * self.v_slope)
        m, v = (self._full(part) for part in parts)
        return m, v

    def weights(self, length: float | None = None) -> tuple[Tensor, Tensor]:
        """Score and value matrices of all layers, each `(L, H, D, D)`; the length as in `coordinates`."""
        m, v = self.coordinates(length)
        return self._assembled(m), self._assembled(v)

    def slope_weights(self) -> tuple[Tensor, Tensor] | None:
        """What `weights` gains where log(n / 64) / 2 gains 1, each `(L, H, D, D)`; None where there are no slopes."""
        if not self.slopes:
            return None
        return self._assembled(self._full(self.m_slope)), self._assembled(self._full(self.v_slope))

    def parts(self, *, weights: tuple[Tensor, Tensor] | None = None) -> tuple[Callable, list[Callable], Callable]:
        """As `AttentionTransformer.parts` says."""
        if not self.slopes or weights is not None:
            return super().parts(weights=weights)
        return self.embed, self._layers(attention_layer), self.read_out

    def answering_parts(self, **around) -> tuple[Callable, list[Callable], Callable]:
        """As `InContextTransformer.answering_parts` says; with slopes the attention is fused."""
        if not self.slopes or around:
            return super().answering_parts(**around)
        return self.embed, self._layers(lambda *arguments: (fused_layer(*arguments), None)), self.read_out

    def _layers(self, attend: Callable) -> list[Callable]:
        """The layers of a model with slopes, whose matrices are assembled once the length is known."""
        at = cache(self.weights)  # all layers of a prompt are asked at one length

        def layer(z: Tensor, n_context: int, level: int):
            m, v = at(n_context)
            return attend(z, n_context, m[level], v[level])

        return [partial(layer, level=level) for level in range(self.depth)]

    def _full(self, part: Tensor) -> Tensor:
        """The kept coordinates among all six, zeros in the others."""
        return part.new_zeros(*part.shape[:2], len(COORDINATES), *part.shape[3:]).index_copy(2, self.kept, part)

    def _assembled(self, part: Tensor) -> Tensor:
        matrices = assemble(part.movedim(2, -1), self.n_features, self.n_classes)
        if self.copies == 1:
            return matrices
        return matrices.transpose(-3, -2).flatten(-4, -3).flatten(-2)  # a, b, i, j -> (a i), (b j)

    def at(self, n_features: int, n_classes: int, *, share: bool = False) -> "EquivariantTransformer":
        """The same scalars for d features and K classes; see `resized`. Itself where it reads those."""
        if (n_features, n_classes) == (self.n_features, self.n_classes):
            return self
        return self.resized(n_features, n_classes, share=share)

    def resized(self, n_features: int, n_classes: int, *, share: bool = False) -> "EquivariantTransformer":
        """The same scalars at another d and K: the coordinates do not know the size of their blocks.

        Arguments:
            n_features: d
            n_classes: K
            share: whether the result has this model's own parameters, so that training one trains the other.
        """
        check_count("n_features", n_features, 1)
        check_count("n_classes", n_classes, 2)
        other = copy.copy(self) if share else copy.deepcopy(self)
        other.n_features, other.n_classes = n_features, n_classes
        return other


def length_factor(length: float) -> float:
    r"""What a slope is multiplied by: :math:`\tfrac12 \log(n / 64)`, 0 at 64 context points and 1 at 473.

    Example:
        >>> length_factor(64)
        0.0
    """
    return math.log(length / LENGTH) / 2


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Normal draws in the default dtype, of which a seed gives the same in each; those of `torch.randn` differ."""
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(torch.get_default_dtype())
