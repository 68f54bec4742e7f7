r"""Two models that predict the next token of a Markov chain: one of three parts, and one that is not given them.

The simplified model is two layers of attention with all but their skeleton taken away. With one-hot tokens
:math:`x_1, \dots, x_L`, and 0 for what lies before the sequence,

.. math:: v_l^h &= \sum_{m=1}^M \mathrm{softmax}(w^h)_m\, x_{l-m} && \text{copier, } l = 1, \dots, L + 1 \\
    s_l &= \sum_S p_S \prod_{h \in S} \langle v_l^h, v_{L+1}^h \rangle, \quad p_S = c_S^2 / \textstyle\sum_R c_R^2
    && \text{selector} \\
    y &= \sum_{l=1}^L \mathrm{softmax}_l(a\, s_l)\, x_l && \text{classifier}

The similarity is an inner product of feature vectors, :math:`s_l = \langle u_l, u_{L+1} \rangle` with
:math:`u_l = (c_S \bigotimes_{h \in S} v_l^h)_S / \lVert c \rVert`. The output y is a distribution over the states:
its loss is :math:`-\log y`, with no second softmax.

Letters: B sequences, L tokens, S states, M lags in the window, H heads, D degree, W width.
"""

import copy
import itertools
from collections.abc import Iterator
from functools import reduce
from operator import mul
from typing import cast

import torch
from torch import Tensor, nn

from icl_nb.checks import check_count, check_positive, check_seed, is_number
from icl_nb.induction.tasks import check_tokens


class InductionTransformer(nn.Module):
    r"""The simplified two-layer model: copier, selector, classifier, as in the head of this module.

    Its parameters are `w (H, M)`, `c` (one for each subset of heads) and `a`.

    Arguments:
        n_states: S
        window: M, the lags that a head of the first layer can look back.
        heads: H
        degree: D, the largest subset of heads that the selector knows.
        seed: of the noise of the start.
        start: scores of head h for the lag h + 1 that it starts on (modulo M), and for all others. The default gives
            that lag 0.90 of the attention in a window of three.
        noise: standard deviation of normal noise on those scores.
        sharpness: where a starts.
        subsets: the subsets of heads, numbers from 0, in place of all with at most `degree` members. A single one
            leaves nothing to select; the empty one, `()`, resembles everywhere alike (its product is 1).
        normalise: False takes :math:`p_S = c_S^2`, undivided.
        selector_start: where each c starts; by default all are equal and :math:`\lVert c \rVert = 1`.
        unit_copies: divide what a head has copied by its length, :math:`v_l^h / \lVert v_l^h \rVert` (0 stays 0).
        windows: for each head the first and the last lag that it can look at, of 1 to M; by default all of them.

    Raises:
        ValueError: a count too small, scores or noise that are not finite numbers, subsets that are not of these
            heads or all empty, or windows that do not lie in 1 to M.

    Source: paper B (arXiv 2409.10559), the simplified model and how its heads start. Equal c, where a starts,
    `subsets` and `noise` are our own. The public code of that paper has the empty set, :math:`c = 0.01`, and for the
    head of number h the window h + 1 to h + H.

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> chains = MarkovTask().sample(4)
        >>> model = InductionTransformer()
        >>> model(chains.tokens).shape, [round(x, 2) for x in model.copying().diagonal().tolist()]
        (torch.Size([4, 3]), [0.9, 0.9, 0.9])
    """

    def __init__(
        self,
        n_states: int = 3,
        window: int = 3,
        heads: int = 3,
        degree: int = 2,
        *,
        seed: int = 0,
        start: tuple[float, float] = (3.0, 0.1),
        noise: float = 0.0,
        sharpness: float = 0.01,
        subsets: list[tuple[int, ...]] | None = None,
        normalise: bool = True,
        selector_start: float | None = None,
        unit_copies: bool = False,
        windows: list[tuple[int, int]] | None = None,
    ):
        super().__init__()
        check_count("n_states", n_states, 2)
        for name, count in (("window", window), ("heads", heads), ("degree", degree)):
            check_count(name, count, 1)
        check_seed(seed)
        for name, value in (("start", tuple(start)), ("noise", (noise, 0.0)), ("sharpness", (sharpness, 0.0))):
            if len(value) != 2 or not all(is_number(v) for v in value):
                raise ValueError(f"{name}={value}; it must be finite (start: a pair of scores, on and off the own lag)")
        if subsets is None:
            subsets = [
                s for size in range(1, min(degree, heads) + 1) for s in itertools.combinations(range(heads), size)
            ]
        self.subsets = [tuple(subset) for subset in subsets]
        if not any(self.subsets) or any(sorted(set(s) & set(range(heads))) != list(s) for s in self.subsets):
            raise ValueError(f"subsets={subsets}; each must hold some of the heads 0..{heads - 1}, in increasing order")
        if selector_start is not None:
            check_positive("selector_start", selector_start)
        self.windows = None if windows is None else [tuple(pair) for pair in windows]
        if windows is not None and not (
            len(windows) == heads and all(len(pair) == 2 and 1 <= pair[0] <= pair[1] <= window for pair in windows)
        ):
            raise ValueError(f"windows={windows}; there must be a first and a last lag, of 1..{window}, for each head")
        self.n_states, self.window, self.heads, self.degree = n_states, window, heads, degree
        self.normalise, self.unit_copies = normalise, unit_copies
        w = torch.full((heads, window), float(start[1]))
        w[torch.arange(heads), torch.arange(heads) % window] = float(start[0])
        drawn = torch.randn(heads, window, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        self.w = nn.Parameter(w + noise * drawn)
        each = len(self.subsets) ** -0.5 if selector_start is None else float(selector_start)
        self.c = nn.Parameter(torch.full((len(self.subsets),), each))
        self.a = nn.Parameter(torch.tensor(float(sharpness)))

    @property
    def config(self) -> dict:
        """The keyword arguments that build a model of this shape; where it started is not among them."""
        names = ("n_states", "window", "heads", "degree", "normalise")
        config = {name: getattr(self, name) for name in names} | {"subsets": [list(s) for s in self.subsets]}
        config |= {"unit_copies": True} if self.unit_copies else {}
        return config | ({"windows": [list(pair) for pair in self.windows]} if self.windows else {})

    def __repr__(self) -> str:
        shown = self.config | {"subsets": len(self.subsets)}  # their number: there may be hundreds
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    @classmethod
    def check_shapes(cls, config: dict, shapes: dict[str, tuple]) -> None:
        """Refuse a configuration that a state of these shapes cannot be of, before a model of any size is built.

        Raises:
            ValueError: it is of another size.
        """
        stated = (config["heads"], config["window"]), (len(config["subsets"]),)
        if (shapes["w"], shapes["c"]) != stated:
            raise ValueError(f"heads, window and subsets are {stated}, and the weights {shapes['w']}, {shapes['c']}")

    @property
    def sharpness(self) -> float:
        """a."""
        return self.a.item()

    def copying(self) -> Tensor:
        """Attention of the first layer by lag, `(H, M)`: column m - 1 is lag m."""
        if self.windows is None:
            return self.w.softmax(-1)
        lag = torch.arange(1, self.window + 1)
        first, last = torch.tensor(self.windows).T[..., None]
        return self.w.masked_fill((lag < first) | (lag > last), -torch.inf).softmax(-1)

    def copies(self, tokens: Tensor) -> Tensor:
        r"""What each head has copied to each token, and last to the next: :math:`v_l^h`, `(B, L + 1, H, S)`.

        Example:
            >>> v = InductionTransformer().copies(torch.tensor([[0, 1, 2, 0]]))
            >>> v.shape, v[0, -1, 1].argmax().item()  # the second head brings the last token but one
            (torch.Size([1, 5, 3, 3]), 2)
        """
        check_tokens(tokens, self.n_states, ())
        x = nn.functional.one_hot(tokens, self.n_states).to(self.w.dtype)
        padded = torch.cat([x.new_zeros(len(x), self.window, self.n_states), x], 1)
        v = torch.einsum("hm,blsm->blhs", self.copying(), padded.unfold(1, self.window, 1).flip(-1))
        if not self.unit_copies:
            return v
        return v / v.square().sum(-1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny).sqrt()

    def selection(self) -> Tensor:
        """Weights p of the subsets of heads, in the order of `subsets`; they sum to 1 where they are normalised."""
        p = self.c**2
        return p / p.sum() if self.normalise else p

    def parents(self) -> tuple[int, ...]:
        """The lags that the weightiest subset copies: the history that the model matches, if it has settled on one.

        Example:
            >>> InductionTransformer(subsets=[(0, 1)]).parents()
            (1, 2)
        """
        heads = list(self.subsets[int(self.c.detach().abs().argmax())])
        if not heads:
            return ()
        return tuple(sorted({lag + 1 for lag in self.copying()[heads].argmax(-1).tolist()}))

    def matches(self, tokens: Tensor) -> Tensor:
        r"""All that the first layer needs to know of the tokens, `(M, M, B, L)`, 0 or 1: is the token at lag m of
        token l the one at lag m' of the next? For one-hot tokens,

        .. math:: \langle v_l^h, v_{L+1}^h \rangle = \sum_{m, m'} \mathrm{softmax}(w^h)_m\, \mathrm{softmax}(w^h)_{m'}
            \, 1\{x_{l-m} = x_{L+1-m'}\}

        It holds no parameter, so that training on fixed sequences computes it once.

        Raises:
            ValueError: tokens that are not `(B, L)`, int64, in `0..S-1`, or sequences shorter than the window.
        """
        check_tokens(tokens, self.n_states, ())
        length, lags = tokens.shape[1], range(1, self.window + 1)
        if length < self.window:
            raise ValueError(f"sequences of {length} tokens are shorter than the window of {self.window}")
        before = tokens.new_full((len(tokens), self.window), -1)  # equal to no state
        padded = torch.cat([before, tokens], 1).to(torch.int16)  # four times as quick to compare as int64
        past = [padded[:, self.window - lag : self.window - lag + length] for lag in lags]
        equal = [torch.stack([past_m == padded[:, -lag, None] for lag in lags]) for past_m in past]
        return torch.stack(equal).to(self.w.dtype)

    def products(self, tokens: Tensor, matches: Tensor | None = None) -> Iterator[Tensor]:
        """What the selector weighs: for each of `subsets`, the product over its heads of how much what the head copied
        to each token resembles what it copied to the next, `(B, L)`."""
        if self.unit_copies:
            v = self.copies(tokens)
            same = (v[:, :-1] * v[:, -1:]).sum(-1).movedim(-1, 0)  # (H, B, L)
        else:
            matches = self.matches(tokens) if matches is None else matches
            copying = self.copying()
            pairs = (copying[:, :, None] * copying[:, None, :]).flatten(1)  # (H, M M)
            same = (pairs @ matches.flatten(2).flatten(0, 1)).reshape(-1, *matches.shape[2:])  # (H, B, L)
        return (
            reduce(mul, [same[h] for h in subset]) if subset else torch.ones_like(same[0]) for subset in self.subsets
        )

    def similarity(self, tokens: Tensor, matches: Tensor | None = None) -> Tensor:
        """s, how much the history of each token resembles that of the next, `(B, L)`."""
        return sum(p * product for p, product in zip(self.selection(), self.products(tokens, matches), strict=True))

    def attention(self, tokens: Tensor, matches: Tensor | None = None) -> Tensor:
        """What the second layer looks at, `(B, L)`."""
        return (self.a * self.similarity(tokens, matches)).softmax(-1)

    def forward(self, tokens: Tensor, matches: Tensor | None = None) -> Tensor:
        """Probabilities of the next token.

        Arguments:
            tokens: `(B, L)`, int64, with L at least M.
            matches: what `matches(tokens)` gave, where that was computed before.

        Returns:
            `(B, S)`, in the dtype of the parameters.

        Raises:
            ValueError: tokens that are not as above, or weights too large for a similarity that is finite.
        """
        attention = self.attention(tokens, matches)
        if not attention.isfinite().all():
            raise ValueError(
                f"the attention is not finite: a is {self.a.item():.1e}, c reaches {self.c.abs().max():.1e}"
            )
        return attention.new_zeros(len(tokens), self.n_states).scatter_add(1, tokens, attention)


class FullInductionTransformer(nn.Module):
    r"""A two-layer decoder with learned projections, LayerNorm, a feed-forward block and a read-out.

    .. math:: z_t = E_{x_t}, \quad z \mathrel{+}= \mathrm{Attention}_1(\mathrm{LN} z), \\
        z \mathrel{+}= \mathrm{MLP}(\mathrm{LN} z), \quad z \mathrel{+}= \mathrm{Attention}_2(\mathrm{LN} z), \\
        y = \mathrm{softmax}(\mathrm{readout}(\mathrm{LN} z_L))

    Both attentions are causal. The first has several heads, and adds to the scores of each a learned number for every
    offset up to `window`, with one more for all that lie farther back; nothing else knows of positions. The second
    has one head and no feed-forward block after it; instead the read-out has one hidden layer.

    Arguments:
        n_states: S
        window: offsets with a number of their own, 0 (the token itself) among them.
        heads: of the first layer; they divide the width.
        width: W, of the residual stream.
        seed: of the initial weights.

    Raises:
        ValueError: a count is too small, or the heads do not divide the width.

    Source: own, after the full model of paper B (arXiv 2409.10559).

    Example:
        >>> from icl_nb.induction.tasks import MarkovTask
        >>> FullInductionTransformer()(MarkovTask().sample(4).tokens).sum(-1).round(decimals=4).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(self, n_states: int = 3, window: int = 6, heads: int = 3, width: int = 48, *, seed: int = 0):
        super().__init__()
        check_count("n_states", n_states, 2)
        for name, count in (("window", window), ("heads", heads), ("width", width)):
            check_count(name, count, 1)
        check_seed(seed)
        if width % heads:
            raise ValueError(f"width={width} does not divide into {heads} heads")
        self.n_states, self.window, self.heads, self.width = n_states, window, heads, width
        with torch.random.fork_rng(devices=[]):  # torch's own layers take no generator
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(n_states, width)
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
            self.first = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "out")})
            self.bias = nn.Parameter(0.02 * torch.randn(heads, window + 1))
            self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            self.second = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "out")})
            self.readout = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, n_states))

    @property
    def config(self) -> dict:
        """The keyword arguments that build a model of this shape."""
        return {name: getattr(self, name) for name in ("n_states", "window", "heads", "width")}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.config.items())})"

    @classmethod
    def check_shapes(cls, config: dict, shapes: dict[str, tuple]) -> None:
        """As `InductionTransformer.check_shapes`.

        Raises:
            ValueError: states, width, heads or window are not those of the weights.
        """
        stated = (config["n_states"], config["width"]), (config["heads"], config["window"] + 1)
        if (shapes["embedding.weight"], shapes["bias"]) != stated:
            raise ValueError(f"states, width, heads and window are not those of the weights: {stated}")

    @torch.no_grad()
    def without(
        self, *, heads: tuple[int, ...] = (), feed_forward: bool = False, offsets: bool = False
    ) -> "FullInductionTransformer":
        """A copy in which parts of the first layer are switched off, so that one can see what they are needed for.

        Arguments:
            heads: of the first layer, numbers from 0: what they bring does not reach the stream.
            feed_forward: the block after them adds nothing.
            offsets: the learned numbers for offsets are 0, so that nothing knows of positions but causality.

        Raises:
            ValueError: a head that the model does not have.

        Source: own.

        Example:
            >>> model = FullInductionTransformer()
            >>> model.without(offsets=True).bias.abs().max().item()
            0.0
        """
        if unknown := set(heads) - set(range(self.heads)):
            raise ValueError(f"heads={heads}; there is no {sorted(unknown)} among the heads 0..{self.heads - 1}")
        other = copy.deepcopy(self)
        size = self.width // self.heads
        for head in heads:
            cast(nn.Linear, other.first["out"]).weight[:, head * size : (head + 1) * size] = 0
        if feed_forward:
            for part in other.feed_forward[-1].parameters():
                part.zero_()
        if offsets:
            other.bias.zero_()
        return other

    def stream(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The residual stream after the first layer, `(B, L, W)`, and that layer's attention, `(B, H, L, L)`: row t is
        what token t looks at.

        Raises:
            ValueError: tokens that are not `(B, L)`, int64, in `0..S-1`.
        """
        check_tokens(tokens, self.n_states, ())
        batch, length = tokens.shape
        offset = torch.arange(length)[:, None] - torch.arange(length)
        bias = self.bias[:, offset.clamp(0, self.window)].masked_fill(offset < 0, -torch.inf)  # (H, L, L)
        z = self.embedding(tokens)
        query, key, value = (
            self.first[name](self.norms[0](z)).reshape(batch, length, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attention = (query @ key.mT / query.shape[-1] ** 0.5 + bias).softmax(-1)
        z = z + self.first["out"]((attention @ value).transpose(1, 2).reshape(batch, length, self.width))
        return z + self.feed_forward(self.norms[1](z)), attention

    def matching(self, z: Tensor) -> Tensor:
        """Attention of the second layer, `(B, L, L)`, given the stream before it."""
        normed = self.norms[2](z)
        scores = self.second["query"](normed) @ self.second["key"](normed).mT / self.width**0.5
        future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        return scores.masked_fill(future, -torch.inf).softmax(-1)

    def read(self, z: Tensor, attention: Tensor, source: Tensor | None = None) -> Tensor:
        """Log probabilities of the token after each of T, given any attention of the second layer: what would the
        model say if it looked there?

        Arguments:
            z: the stream of those that look, `(B, T, W)`.
            attention: `(B, T, L)`.
            source: the stream of those that are looked at, `(B, L, W)`; by default z.

        Returns:
            `(B, T, S)`.
        """
        values = self.second["value"](self.norms[2](z if source is None else source))
        return self.readout(self.norms[3](z + self.second["out"](attention @ values))).log_softmax(-1)

    def log_probabilities(self, tokens: Tensor) -> Tensor:
        """Of the token after each, `(B, L, S)`: the model predicts everywhere at once, and is trained everywhere."""
        z, _ = self.stream(tokens)
        return self.read(z, self.matching(z))

    def forward(self, tokens: Tensor) -> Tensor:
        """Probabilities of the next token, `(B, S)`, of `tokens (B, L)`, int64."""
        return self.log_probabilities(tokens)[:, -1].exp()
