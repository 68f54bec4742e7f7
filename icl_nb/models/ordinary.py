r"""An ordinary transformer, and how symmetric it is.

Nothing in it knows the symmetry of the task: layer norms, several heads with their own subspaces, an MLP in every
layer, and a residual stream of a width that has nothing to do with features and classes,

.. math:: z_i \leftarrow z_i + \sum_h O_h \sum_j \mathrm{softmax}_j(\langle Q_h \hat z_i, K_h \hat z_j \rangle)
    V_h \hat z_j, \qquad z_i \leftarrow z_i + W_2\, \mathrm{gelu}(W_1 \hat z_i + b_1) + b_2,

where a hat is a layer norm and j runs over the context, as in `models`.

Letters: B tasks, N = n + q points, d features, K classes, m blocks of d + K in the stream, D = m (d + K), L layers,
H heads, S the size of a head.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from icl_nb.checks import check_count
from icl_nb.models.attention import InContextTransformer
from icl_nb.symmetry import COORDINATES, assemble, coordinates


class OrdinaryTransformer(InContextTransformer):
    """A pre-norm transformer with MLPs and no symmetry.

    Its residual stream is D = m (d + K) wide. That is a width like any other, until permutations are injected: then it
    is read as m blocks of the shape of a token, on which the group acts.

    Arguments:
        n_features: d
        n_classes: K
        depth: layers L.
        heads: heads a layer, H.
        blocks: m
        head_size: S; D / H by default.
        mlp: hidden units of an MLP, in multiples of D.
        seed: of the initial weights.

    Raises:
        ValueError: a count is too small, the seed none of 0..2^31 - 1, or D no multiple of H where S is not given.

    Source: own; the layer is that of Xiong et al. (2020), arXiv 2002.04745, with the mask of this book.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask().sample(4)
        >>> model = OrdinaryTransformer(depth=2)
        >>> model(batch.x, batch.y[:, :-1]).shape, model.width
        (torch.Size([4, 3]), 48)
    """

    def __init__(
        self,
        n_features: int = 5,
        n_classes: int = 3,
        depth: int = 6,
        heads: int = 4,
        blocks: int = 6,
        head_size: int | None = None,
        mlp: int = 4,
        *,
        seed: int = 0,
    ):
        super().__init__(n_features, n_classes, depth, heads, seed=seed)
        self.blocks, self.mlp = check_count("blocks", blocks, 1), check_count("mlp", mlp, 1)
        self.width = self.blocks * (self.n_features + self.n_classes)
        if head_size is None and self.width % heads:
            raise ValueError(f"a stream of {self.width} is no multiple of heads={heads}; give head_size")
        self.head_size = check_count("head_size", self.width // heads if head_size is None else head_size, 1)
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.enter = nn.Linear(n_features + n_classes, self.width)
            layers = nn.ModuleList(_Layer(self.width, heads, self.head_size, mlp) for _ in range(depth))
            self.layers = cast(Sequence[_Layer], layers)  # which a ModuleList does not say of what it holds
            self.norm = nn.LayerNorm(self.width)
            self.leave = nn.Linear(self.width, n_classes)

    @property
    def config(self) -> dict:
        return super().config | {name: getattr(self, name) for name in ("blocks", "head_size", "mlp")}

    def weights(self) -> tuple[Tensor, Tensor]:
        r"""Score matrices :math:`Q_h^T K_h / \sqrt S` and value matrices :math:`O_h V_h`, each `(L, H, D, D)`."""
        m, v = zip(*(layer.attention_matrices() for layer in self.layers), strict=True)
        return torch.stack(m), torch.stack(v)

    def embed(self, x: Tensor, y: Tensor, orders: Tensor | None = None) -> Tensor:
        """The residual stream before the first layer, `(B, N, D)`; arguments as those of `forward`."""
        order = None if orders is None else orders[:, 0]
        return permute(self.enter(permute(self._tokens(x, y), order)), order, back=True)

    def read_out(self, z: Tensor, orders: Tensor | None = None) -> Tensor:
        """Logits `(*, K)` of the stream `(*, D)`."""
        if orders is None:
            return self.leave(self.norm(z))
        order = orders[:, -1]
        logits = self.leave(self.norm(permute(z, order)))
        return permute(logits, order[:, self.n_features :] - self.n_features, back=True)

    # As in `AttentionTransformer`: each kind names what it takes.
    def parts(  # ty: ignore[incompatible-method-override]
        self, *, orders: Tensor | None = None
    ) -> tuple[Callable, list[Callable], Callable]:
        """As `InContextTransformer.parts` says.

        Arguments:
            orders: permutations to be wrapped around each linear map, see `injection`.
        """
        three = [None if orders is None else orders[:, 1 + 3 * level : 4 + 3 * level] for level in range(self.depth)]
        layers: list[Callable] = [partial(layer, orders=order) for layer, order in zip(self.layers, three, strict=True)]
        return partial(self.embed, orders=orders), layers, partial(self.read_out, orders=orders)

    @classmethod
    def check_shapes(cls, config: dict, shapes: dict[str, tuple]) -> None:
        """As `InContextTransformer.check_shapes` says.

        Raises:
            ValueError: depth, heads, head_size, mlp or blocks are not those of the weights.
        """
        depth = sum(name.endswith(".up.weight") for name in shapes)
        if config.get("depth") != depth or not {"layers.0.attention_query.weight", "layers.0.up.weight"} <= set(shapes):
            raise ValueError(f"depth is {config.get('depth')!r}, and it holds {depth} layers")
        (query, width), (hidden, _) = (shapes[f"layers.0.{part}.weight"] for part in ("attention_query", "up"))
        heads, size, mlp, blocks = (config[name] for name in ("heads", "head_size", "mlp", "blocks"))
        tokens = config["n_features"] + config["n_classes"]
        if (heads * size, mlp * width, blocks * tokens) != (query, hidden, width):
            raise ValueError(
                f"heads={heads}, head_size={size}, mlp={mlp}, blocks={blocks} are not those of the weights"
            )

    def injection(self, n_tasks: int, generator: torch.Generator) -> dict:
        r"""Random group elements for each task and each linear map, as `orders` `(B, 3 L + 2, d + K)`.

        Each map f of the network (into the stream; attention, into and out of the MLP in each layer; out of the
        stream) becomes :math:`\Pi^T f(\Pi z)`, with :math:`\Pi` acting on all blocks alike. Where f commutes with the
        group nothing changes.
        """
        shape = n_tasks, 3 * self.depth + 2
        features = torch.rand(*shape, self.n_features, generator=generator).argsort(-1)
        classes = torch.rand(*shape, self.n_classes, generator=generator).argsort(-1)
        return {"orders": torch.cat([features, self.n_features + classes], -1).to(self.device)}

    @property
    def symmetric_numbers(self) -> int:
        """How many numbers a model of this shape has whose weights all commute: 6 a block of a matrix, 2 of a vector.

        Where a map leads to the labels alone there are 3 a block, and 1 bias; d, K >= 2 and whole heads are assumed.
        """
        size, numbers = self.n_features + self.n_classes, 3 * self.blocks + 1
        for name, part in self.named_parameters():
            if not name.startswith("leave"):
                numbers += 6 * part.numel() // size**2 if part.ndim == 2 else 2 * part.numel() // size
        return numbers

    @torch.no_grad()
    def off_symmetric(self, kind: str) -> Tensor:
        r"""The share of its matrices that does not commute with the group on the m blocks, as `off_commutant`.

        Arguments:
            kind: "scores" or "values", `(L, H)` of them; "up" or "down", the maps into and out of the MLP, `(L)`.

        Raises:
            ValueError: no such kind.
        """
        if kind in ("scores", "values"):
            part = self.weights()[kind == "values"]
        elif kind in ("up", "down"):
            part = torch.stack([getattr(layer, kind).weight for layer in self.layers])
        else:
            raise ValueError(f"kind={kind!r}; it must be scores, values, up or down")
        return torch.linalg.matrix_norm(part - self.symmetric_part(part)) / torch.linalg.matrix_norm(part)

    @torch.no_grad()
    def symmetrise_(self) -> None:
        """Replace every weight by its nearest commuting one, in place; the heads, too, are read as blocks of d + K.

        Raises:
            ValueError: a head is not a whole number of blocks. (`projected` copies any model.)
        """
        size = self.n_features + self.n_classes
        if self.head_size % size:
            raise ValueError(f"head_size={self.head_size} is no multiple of {size}: the group cannot act on a head")
        for part in self.parameters():
            part.copy_(self.symmetric_part(part[:, None])[:, 0] if part.ndim == 1 else self.symmetric_part(part))

    @torch.no_grad()
    def projected(self, keep: tuple[str, ...] = COORDINATES) -> "OrdinaryTransformer":
        """The nearest model, matrix by matrix, that commutes with the group as it acts on the m blocks.

        A head's scores and values are projected, not its factors. The result may have any rank, so that a head of the
        copy is as wide as the stream.

        Arguments:
            keep: the coordinates of the scores and values that are kept; all of `icl_nb.symmetry.COORDINATES`.
        """
        other = OrdinaryTransformer(**self.config | {"head_size": self.width}).to(dtype=self.dtype, device=self.device)
        same = {name: part for name, part in self.state_dict().items() if ".attention" not in name}
        other.load_state_dict(same, strict=False)
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            m, v = mine.attention_matrices()
            eye = torch.eye(self.width, dtype=self.dtype, device=self.device).repeat(self.heads, 1)
            theirs.attention_key.weight.copy_(eye)
            theirs.attention_value.weight.copy_(eye)
            query, out = self.symmetric_part(self.width**0.5 * m.mT, keep), self.symmetric_part(v, keep)
            theirs.attention_query.weight.copy_(query.flatten(0, 1))
            theirs.attention_out.weight.copy_(out.transpose(0, 1).flatten(1))
        for name, part in other.named_parameters():
            if ".attention" not in name:
                part.copy_(self.symmetric_part(part[:, None])[:, 0] if part.ndim == 1 else self.symmetric_part(part))
        return other

    def symmetric_part(self, part: Tensor, keep: tuple[str, ...] = COORDINATES) -> Tensor:
        """The commuting map nearest to `(*, a, b)`; a and b are blocks of d + K, labels alone (K), or one number.

        Raises:
            ValueError: a name in `keep` that is no coordinate.
        """
        if unknown := set(keep) - set(COORDINATES):
            raise ValueError(f"keep has {sorted(unknown)}; there are {COORDINATES}")
        *many, a, b = part.shape
        size, k = self.n_features + self.n_classes, self.n_classes
        if b == 1:  # a vector: a map from a number, spread evenly over a block on which nothing else depends
            return self.symmetric_part(part.expand(*part.shape[:-1], size) / size).sum(-1, keepdim=True)
        if a == k:  # onto labels: the rows of features are put back, and cut
            return self.symmetric_part(nn.functional.pad(part, (0, 0, self.n_features, 0)))[..., self.n_features :, :]
        cut = part.reshape(*many, a // size, size, b // size, size).transpose(-3, -2)
        kept = torch.tensor([name in keep for name in COORDINATES], device=part.device)
        symmetric = assemble(kept * coordinates(cut, self.n_features, k), self.n_features, k)
        return symmetric.transpose(-3, -2).reshape(part.shape)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, head_size: int, mlp: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_query, self.attention_key, self.attention_value = (
            nn.Linear(width, heads * head_size, bias=False) for _ in range(3)
        )
        self.attention_out = nn.Linear(heads * head_size, width, bias=False)
        self.up, self.down = nn.Linear(width, mlp * width), nn.Linear(mlp * width, width)

    def forward(self, z: Tensor, n_context: int, orders: Tensor | None = None) -> tuple[Tensor, Tensor]:
        move, attention = self.attend(z, n_context, None if orders is None else orders[:, 0])
        z = z + move
        return z + self.think(z, orders), attention

    def attend(self, z: Tensor, n_context: int, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What attention adds to the stream `(B, N, D)`, and its weights `(B, H, N, n)`."""
        normal = self.norm_1(permute(z, order))
        context = normal[:, :n_context]
        query, key, value = (
            linear(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, N or n, S)
            for linear, tokens in (
                (self.attention_query, normal), (self.attention_key, context), (self.attention_value, context)
            )
        )  # fmt: skip
        attention = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
        move = self.attention_out((attention @ value).transpose(1, 2).flatten(2))
        return permute(move, order, back=True), attention

    def think(self, z: Tensor, orders: Tensor | None = None) -> Tensor:
        """What the MLP adds, `(B, N, D)`."""
        into, out = (None, None) if orders is None else (orders[:, 1], orders[:, 2])
        hidden = permute(self.up(self.norm_2(permute(z, into))), into, back=True)
        return permute(self.down(permute(nn.functional.gelu(hidden), out)), out, back=True)

    def attention_matrices(self) -> tuple[Tensor, Tensor]:
        """M and V of the heads, `(H, D, D)` each, as they act on tokens that the norm has passed."""
        query, key, value = (
            part.weight.unflatten(0, (self.heads, -1))
            for part in (self.attention_query, self.attention_key, self.attention_value)
        )  # (H, S, D)
        out = self.attention_out.weight.unflatten(1, (self.heads, -1)).transpose(0, 1)  # (H, D, S)
        return query.mT @ key / query.shape[1] ** 0.5, out @ value


def permute(z: Tensor, order: Tensor | None, *, back: bool = False) -> Tensor:
    """Tokens `(B, N, a s)`, a blocks of s, all permuted by the order of their task, `(B, s)`; or back again.

    Arguments:
        z: tokens, `(B, N, a s)`.
        order: `(B, s)`, or None to leave them.
        back: whether to undo what the same call without it did.

    Example:
        >>> z, order = torch.tensor([[[1, 2, 3]]]), torch.tensor([[2, 0, 1]])
        >>> permute(z, order).tolist(), permute(permute(z, order), order, back=True).tolist()
        ([[[3, 1, 2]]], [[[1, 2, 3]]])
    """
    if order is None:
        return z
    size = order.shape[-1]
    order = torch.argsort(order) if back else order
    starts = torch.arange(0, z.shape[-1], size, device=z.device)
    return z.gather(-1, (starts[:, None] + order[:, None]).flatten(1)[:, None].expand_as(z))
