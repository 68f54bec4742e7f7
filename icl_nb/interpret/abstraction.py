r"""From matrices to four scalars a head, one rung at a time, and what each rung loses.

Which scalars can be read off a model at all? A token carries two averages, :math:`a = \langle 1, x \rangle / \sqrt d`
and :math:`s = \langle 1, u \rangle / \sqrt K`. The commutant acts on the rest of the features by one scalar, on the
rest of the labels by one, and on (a, s) by any 2 x 2 matrix: 1 + 1 + 4 = 6. Centred labels enter with s = 0, and no
class probability depends on the s of the query. Hence, for d, K, L >= 2:

- first layer: what reads s is idle, J_K, J_dK, J_Kd of M and J_K, J_dK of V. (With one-hot labels s would be the same
  for all points, and the same entries of M would cancel in the softmax.)
- last layer: of V only I_K counts, for nobody reads the features after it, and s is not read out.
- between them s is a memory cell that a model may use as it likes. For any k and c != 0 the change
  :math:`(a, s) \mapsto (a + k s, c s)`, a matrix T, touches neither what enters nor what is read out, so that
  :math:`M \mapsto T^{-T} M T^{-1},\ V \mapsto T V T^{-1}` leaves the function as it was (`regauge`).

So 10 H + 2 of the 12 L H + 1 scalars cannot be identified, and `function_rank` finds no more. No cross coordinate has a
meaning of its own, for k and c change its size. With four scalars s stays 0, and only the last gamma of each head is
idle, H of 4 L H + 1.

Letters: B tasks, N points, d features, K classes, L layers, H heads, D = d + K.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from icl_nb.checks import check_count, check_seed
from icl_nb.evaluation.scores import Comparison, Report, compare, model_hits, predict, score
from icl_nb.evaluation.table import Table
from icl_nb.interpret.gauge import _equivariant, coordinate_model
from icl_nb.models.attention import AttentionTransformer, DenseTransformer, EquivariantTransformer, attention_layer
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.symmetry import COORDINATES
from icl_nb.tasks.batch import Batch


def four_scalar_model(model: AttentionTransformer) -> EquivariantTransformer:
    """The model of 4 scalars a head that `Recursion.from_model` reads off: the same function, and it can be trained.

    Arguments:
        model: whose layers attend and do nothing else.

    Source: own.

    Example:
        >>> model = four_scalar_model(DenseTransformer(depth=2))
        >>> sum(p.numel() for p in model.parameters())
        9
    """
    table = Recursion.from_model(model).table
    columns = [torch.from_numpy(table[name].copy()).to(model.scale) for name in SCALARS]
    return _equivariant(model, torch.stack(columns[:2], -1), torch.stack(columns[2:], -1))


@torch.no_grad()
def rounded_model(model: EquivariantTransformer, decimals: int = 2) -> EquivariantTransformer:
    """A copy whose scalars, that of the read-out too, are rounded.

    Arguments:
        model: a transformer.
        decimals: that are left.

    Source: own.

    Example:
        >>> round(rounded_model(four_scalar_model(DenseTransformer(depth=1)), decimals=1).m[0, 0, 0].item(), 6)
        0.5
    """
    other = copy.deepcopy(model)
    for part in other.parameters():
        part.copy_(part.round(decimals=decimals))
    return other


@dataclass(frozen=True, eq=False)
class LayerErrors:
    r"""How a layer's work differs from that of the original, `(L,)` each, pooled over tasks and points.

    Arguments:
        attention: total variation :math:`\tfrac12 \sum_j |A_{ij} - A'_{ij}|`, the mean over points and heads, 0 to 1.
        feature_cosine: between the moves of the feature block, :math:`\langle \Delta x, \Delta x' \rangle /
            (|\Delta x|\, |\Delta x'|)`, sums over all points. In the last layer nothing depends on it.
        label_cosine: between the moves of the centred label block; a constant on all classes is no label.
    """

    attention: Tensor
    feature_cosine: Tensor
    label_cosine: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Rung:
    """One model of the ladder, and how it differs from the original.

    Arguments:
        name: of the rung.
        model: float64, on the CPU.
        n_scalars: numbers that it is made of.
        score_distance: :math:`|M' - M|_F / |M|_F` of each layer, its heads together, `(L,)`.
        value_distance: the same of V. Some of either is unidentifiable: see the head of this file.
        on_path: errors of each layer by itself, on the tokens that the original brings there.
        alone: errors along its own path, on which those of earlier layers have added up.
        report: against the answers.
        comparison: against the original.
    """

    name: str
    model: AttentionTransformer
    n_scalars: int
    score_distance: Tensor
    value_distance: Tensor
    on_path: LayerErrors
    alone: LayerErrors
    report: Report
    comparison: Comparison

    def table(self) -> Table:
        """Its errors, a row for each layer."""

        def columns(errors: LayerErrors) -> tuple[Tensor, ...]:
            return errors.attention, errors.feature_cosine, errors.label_cosine

        rows = [self.score_distance, self.value_distance, *columns(self.on_path), *columns(self.alone)]
        errors = ("attention", "cos x", "cos u")
        heads = [("weights", "M"), ("weights", "V")]
        heads += [(path, error) for path in ("on the original's path", "on its own path") for error in errors]
        lines = zip(range(1, len(rows[0]) + 1), *(row.tolist() for row in rows), strict=True)
        return Table(["layer", *heads], lines, ["d"] + [".3f"] * len(rows), self.name)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True, eq=False, repr=False)
class Ladder:
    """The rungs, from the original down; `ladder["four scalars"]` is one of them, and prints its errors by layer."""

    rungs: tuple[Rung, ...]

    def __iter__(self) -> Iterator[Rung]:
        return iter(self.rungs)

    def __len__(self) -> int:
        return len(self.rungs)

    def __getitem__(self, name: str | int) -> Rung:
        if isinstance(name, Integral):
            return self.rungs[name]
        try:
            return next(rung for rung in self.rungs if rung.name == name)
        except StopIteration:
            raise KeyError(f"no rung is called {name!r}; there are {[rung.name for rung in self.rungs]}") from None

    def table(self, title: str = "") -> Table:
        """A row for each rung: how large, how good, and how far from the original."""
        rows = [
            (
                rung.name,
                str(rung.n_scalars),
                f"{rung.report.accuracy:.4f} ± {rung.report.accuracy_se:.4f}",
                f"{rung.report.cross_entropy:.3f} ± {rung.report.cross_entropy_se:.3f}",
                f"{rung.comparison.agreement:.4f}",
                f"{rung.comparison.max_difference:.2g}",
            )
            for rung in self.rungs
        ]
        return Table(("rung", "scalars", "accuracy", "cross-entropy", "agreement", "largest change"), rows, "", title)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@torch.no_grad()
def abstract(model: AttentionTransformer, batch: Batch, *, decimals: int = 2, n_layer_tasks: int = 128) -> Ladder:
    r"""The ladder from a model down to its rounded scalars.

    1. `original`;
    2. `projected`: weights replaced by their group average;
    3. `coordinates`: the 6 + 6 coordinates of each head, the same function;
    4. `four scalars`: :math:`M = \alpha I_d \oplus \beta I_K, V = \gamma I_d \oplus \delta I_K`, all others put to 0;
    5. `rounded`: to `decimals` places.

    Arguments:
        model: any of the package's; it is copied to float64 first, so that what is equal shows as equal to 1e-12.
        batch: tasks that all rungs are measured on.
        decimals: of the last rung.
        n_layer_tasks: tasks, the first of the batch, for the errors by layer, which need much memory.

    Raises:
        ValueError: the batch does not fit the model, or has fewer than 2 tasks.

    Source: own; the rungs that paper A (arXiv 2604.11613, abstract) calls weight abstraction, measured.

    Example:
        >>> from icl_nb import LinearTask
        >>> ladder = abstract(DenseTransformer(depth=2), LinearTask().sample(50))
        >>> [rung.name for rung in ladder]
        ['original', 'projected', 'coordinates', 'four scalars', 'rounded']
        >>> [rung.n_scalars for rung in ladder]
        [257, 25, 25, 9, 9]
        >>> ladder["coordinates"].comparison.agreement == ladder["projected"].comparison.agreement
        True
    """
    if len(batch) < 2:
        raise ValueError(f"the batch has {len(batch)} task; standard errors need at least 2")
    check_count("n_layer_tasks", n_layer_tasks, 1)
    model, batch = copy.deepcopy(model).double().cpu(), batch.to(dtype=torch.float64, device="cpu")
    projected = model.projected() if isinstance(model, DenseTransformer) else model
    four = four_scalar_model(model)
    models = {
        "original": model,
        "projected": projected,
        "coordinates": model if getattr(model, "scalars", 12) == 4 else coordinate_model(projected),
        "four scalars": four,
        "rounded": rounded_model(four, decimals),
    }
    logits, weights = predict(model, batch), model.weights()
    few = batch[:n_layer_tasks]
    n_context = few.context_y.shape[1]
    tokens, attention = model.trajectory(few.x, few.context_y)
    ours = tokens[:-1], tokens[1:], attention
    rungs = []
    for name, other in models.items():
        other_weights, other_logits = other.weights(), predict(other, batch)
        moved = [attention_layer(z, n_context, m, v) for z, m, v in zip(tokens[:-1], *other_weights, strict=True)]
        on_path = tokens[:-1], *(torch.stack(part) for part in zip(*moved, strict=True))
        other_tokens, other_attention = other.trajectory(few.x, few.context_y)
        alone = other_tokens[:-1], other_tokens[1:], other_attention
        n_scalars = sum(part.numel() for part in other.parameters())
        if name == "projected":  # what is left of a dense model's many parameters
            n_scalars = min(n_scalars, 12 * model.depth * model.heads + 1)
        rungs.append(
            Rung(
                name,
                other,
                n_scalars,
                *(_distance(a, b) for a, b in zip(weights, other_weights, strict=True)),
                _layer_errors(model.n_features, ours, on_path),
                _layer_errors(model.n_features, ours, alone),
                score(other_logits, batch),
                compare(other_logits, logits, batch),
            )
        )
    return Ladder(tuple(rungs))


PHASES = {
    "W": lambda alpha, beta, gamma, delta: gamma < -0.1 and alpha > 0,  # whiten: away from what looks alike
    "G": lambda alpha, beta, gamma, delta: alpha < 0 < gamma and beta > 0,  # gather: to one's own class
    "R": lambda alpha, beta, gamma, delta: abs(gamma) <= 0.1 and delta > 0.2,  # read: labels move alone
}


def sign_phases(recursion: Recursion) -> str:
    r"""A letter for each layer of a table of one head, by the signs of its scalars.

    .. math:: \text{W}: \gamma < -0.1,\ \alpha > 0 \qquad \text{G}: \alpha < 0 < \gamma,\ \beta > 0 \qquad
        \text{R}: |\gamma| \le 0.1,\ \delta > 0.2

    W whitens, moving points away from what looks alike, G gathers them by class, R reads labels out; a dot stands for
    none of these. The last gamma is idle and counts as 0.

    Arguments:
        recursion: with one head a layer.

    Raises:
        ValueError: several heads, whose signs would have to be told apart, or several copies of the blocks.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> sign_phases(Recursion.from_model(load("four-2")))
        'WWWGGWRR'
    """
    if recursion.table.ndim != 2 or recursion.table.shape[1] != 1:
        raise ValueError(f"the table is {recursion.table.shape}; phases are told of one head a layer, (L, 1)")
    rows = np.stack([recursion.table[name][:, 0] for name in SCALARS], -1)
    rows[-1, SCALARS.index("gamma")] = 0
    return "".join(next((letter for letter, rule in PHASES.items() if rule(*row)), "·") for row in rows)


CHANCE = ("layers shuffled", "scalars drawn")


def chance_tables(recursions: Sequence[Recursion], how: str, count: int, *, seed: int = 0) -> list[Recursion]:
    r"""Tables that look like given ones and that nobody trained: what does a rule find in them?

    Arguments:
        recursions: of one depth, with one head a layer; the tables go round them.
        how: "layers shuffled", one of them with its layers in another order; or "scalars drawn", where each scalar of
            each layer is drawn, with replacement, from all those of its name, so that its distribution is kept and what
            it has to do with other scalars and with depth is not.
        count: of tables.
        seed: of the draws.

    Raises:
        ValueError: another `how`, no table, tables that differ in depth, or several heads or copies.

    Source: own; the shuffle is a permutation test.

    Example:
        >>> table = Recursion({"alpha": [[1.0], [2.0], [3.0]], "beta": 0, "gamma": 0, "delta": 1.0})
        >>> [other.table.alpha[:, 0].tolist() for other in chance_tables([table], "layers shuffled", 2)]
        [[3.0, 1.0, 2.0], [3.0, 2.0, 1.0]]
    """
    if how not in CHANCE:
        raise ValueError(f"how={how!r}; it must be one of {CHANCE}")
    check_count("count", count, 1)
    shapes = {recursion.table.alpha.shape for recursion in recursions}
    if len(shapes) != 1 or (shape := shapes.pop())[1:] != (1,):
        raise ValueError("the tables must be of one depth, with one head a layer and one copy")
    random, found = np.random.default_rng(check_seed(seed)), []
    pool = {name: np.concatenate([recursion.table[name] for recursion in recursions]) for name in SCALARS}
    for place in range(count):
        recursion = recursions[place % len(recursions)]
        if how == CHANCE[0]:
            found.append(recursion[random.permutation(shape[0]).tolist()])
        else:
            found.append(recursion.replace(**{name: random.choice(pool[name], shape[0]) for name in SCALARS}))
    return found


@dataclass(frozen=True)
class Choice:
    """Some of the twelve coordinates of a head, the others put to 0.

    Arguments:
        score: those of M.
        value: those of V.
        weight: share of the weights that they hold, see `choices`.
        accuracy: of what is left.
    """

    score: tuple[str, ...]
    value: tuple[str, ...]
    weight: float
    accuracy: float


@torch.no_grad()
def choices(model: AttentionTransformer, batch: Batch, count: int = 4) -> list[Choice]:
    r"""All choices of so many of the twelve coordinates: how much weight each keeps, and how often it is right.

    .. math:: 1 - \frac{1}{2 L} \sum_l \Big( \frac{|M_l - M_l^S|^2}{|M_l|^2} + \frac{|V_l - V_l^S|^2}{|V_l|^2} \Big)

    with Frobenius norms, all heads together, and :math:`M^S` the matrix of the chosen coordinates alone. A model
    without I_K of V is not run: nothing else tells classes apart in the label of a query, all tie, and the accuracy
    is 1 / K.

    Arguments:
        model: any; where it is not equivariant, its weights are projected.
        batch: tasks that all are measured on.
        count: how many are kept.

    Raises:
        ValueError: a model of four scalars or with a memory, or a number that is not from 1 to 12.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> found = choices(DenseTransformer(depth=1), LinearTask().sample(5), 11)
        >>> len(found), sum(one.accuracy == 1 / 3 for one in found) >= 1
        (12, True)
    """
    check_count("count", count, 1)
    if count > 12 or getattr(model, "scalars", 12) == 4:
        raise ValueError(f"count={count} of a {type(model).__name__}; a choice is of at most 12 scalars, and of 12")
    whole, weights, found = coordinate_model(model), coordinate_model(model).weights(), []
    names = [(part, name) for part in ("M", "V") for name in COORDINATES]
    for kept in combinations(names, count):
        score, value = (tuple(name for part, name in kept if part == which) for which in ("M", "V"))
        left = coordinate_model(whole, score=score, value=value)
        missed = [_distance(a, b).square().mean().item() for a, b in zip(weights, left.weights(), strict=True)]
        right = model_hits(left, batch).mean().item() if "I_K" in value else 1 / model.n_classes
        found.append(Choice(score, value, 1 - sum(missed) / 2, right))
    return found


def phases(recursion: Recursion) -> dict[str, slice]:
    r"""The layers of each phase of a table of one head, "whiten", "gather" and "read", by its gamma alone.

    .. math:: \text{gather} = \{t_1, \dots, t_2\}, \qquad t_1 = \min \{t : \gamma_t > 0.3\}, \quad
        t_2 = \max \{t : \gamma_t > 0.3\}

    What comes before is whitening, what comes after is reading.

    Arguments:
        recursion: with one head a layer.

    Raises:
        ValueError: several heads or copies, or no gamma above 0.3.

    Source: own.

    Example:
        >>> from icl_nb import load
        >>> phases(Recursion.from_model(load("four-4")))
        {'whiten': slice(0, 3, None), 'gather': slice(3, 5, None), 'read': slice(5, 8, None)}
    """
    if recursion.table.alpha.ndim != 2 or recursion.table.shape[1] != 1:
        raise ValueError(f"{recursion!r} has several heads or copies; phases are told of one head a layer")
    pulls = np.flatnonzero(recursion.table.gamma[:, 0] > 0.3)
    if not len(pulls):
        raise ValueError("no layer has gamma > 0.3, so that none gathers; phases are those of trained tables")
    first, after = int(pulls[0]), int(pulls[-1]) + 1
    return {"whiten": slice(0, first), "gather": slice(first, after), "read": slice(after, len(recursion.table))}


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:  # (L, H, D, D) each -> (L,)
    size, difference = (part.square().sum((1, 2, 3)).sqrt() for part in (ours, theirs - ours))
    return torch.where(size > 0, difference / size.clamp(min=1e-300), difference)


def _layer_errors(d: int, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> LayerErrors:
    """Each is tokens before the layers and after, `(L, B, N, D)`, and attention."""

    def cosine(block):
        a, b = (block(after - before) for before, after, _ in (ours, theirs))
        length = (a.square().sum((1, 2, 3)) * b.square().sum((1, 2, 3))).sqrt()
        idle = ((a == 0) & (b == 0)).all(-1).flatten(1).all(-1).to(length)  # both stand still: no difference
        return torch.where(length > 0, (a * b).sum((1, 2, 3)) / length.clamp(min=1e-300), idle)

    attention = 0.5 * (ours[2] - theirs[2]).abs().sum(-1).mean((1, 2, 3))
    labels = cosine(lambda moves: moves[..., d:] - moves[..., d:].mean(-1, keepdim=True))
    return LayerErrors(attention, cosine(lambda moves: moves[..., :d]), labels)
