"""What of the weights can be read: coordinates in the commutant, idle scalars, and changes that no answer shows.

Letters as in `models.attention`.
"""

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment, minimize
from torch import Tensor
from torch.func import functional_call, jacrev

from icl_nb.evaluation.scores import Comparison, compare, predict
from icl_nb.models.attention import AttentionTransformer, DenseTransformer, EquivariantTransformer, InContextTransformer
from icl_nb.recursion import SCALARS, Recursion
from icl_nb.symmetry import COORDINATES, coordinates
from icl_nb.tasks.batch import Batch

Model = TypeVar("Model", EquivariantTransformer, DenseTransformer)

I_D, J_D, I_K, J_K, J_DK, J_KD = range(len(COORDINATES))


@torch.no_grad()
def coordinate_model(
    model: AttentionTransformer,
    *,
    score: Collection[str] = COORDINATES,
    value: Collection[str] = COORDINATES,
) -> EquivariantTransformer:
    """The model of 12 scalars a head whose coordinates are those of the given weights.

    Arguments:
        model: any; where it is not equivariant, its weights are projected.
        score: coordinates of M to keep; the others become 0.
        value: coordinates of V to keep.

    Raises:
        ValueError: a coordinate of another name.

    Example:
        >>> coordinate_model(DenseTransformer(depth=2), value=["I_d", "I_K"]).v.shape
        torch.Size([2, 1, 6])
    """
    m, v = _coordinates(model)
    for part, names in ((m, score), (v, value)):
        if unknown := set(names) - set(COORDINATES):
            raise ValueError(f"no coordinate is called {sorted(unknown)}; there are {COORDINATES}")
        part[..., [c for c, name in enumerate(COORDINATES) if name not in names]] = 0
    return _equivariant(model, m, v)


@torch.no_grad()
def canonical(model: Model) -> Model:
    r"""A copy in which the idle scalars are 0: those of the first and last layer, and what reads s while it is 0.

    Class probabilities are the same, logits up to a constant for each query. In an equivariant model the scalars listed
    at the head of this file become 0, in later layers too for as long as no J_Kd of V has written to s. In a dense
    model the same is done to the matrices of the first and last layer: what meets only s, and the rows that move
    features which nobody reads, hold noise that training does not see, and become what the coordinates 0 make of them.

    Returns:
        a model of the same class and dtype.

    Raises:
        ValueError: the model has a memory, or its layers do more than attend.

    Source: own.

    Example:
        >>> model = canonical(EquivariantTransformer(depth=2, heads=1))
        >>> int((model.m == 0).sum() + (model.v == 0).sum())
        10
    """
    _check_one_copy(model)
    other = copy.deepcopy(model)
    if isinstance(other, EquivariantTransformer):
        _fix_coordinates(other)
    else:
        _fix_matrices(other)
    return other


@torch.no_grad()
def regauge(model: AttentionTransformer, shear: float = 0.0, stretch: float = 1.0) -> EquivariantTransformer:
    r"""Another equivariant model with the same class probabilities.

    .. math:: T = \begin{pmatrix} 1 & k \\ 0 & c \end{pmatrix}, \qquad
        M \mapsto T^{-T} M T^{-1}, \quad V \mapsto T V T^{-1}

    on the 2 x 2 blocks by which M and V act on the averages (a, s). T leaves the input as it is, for there s = 0, and
    the read-out, which neither a nor s reaches.

    Arguments:
        model: any; the result has its coordinates, moved.
        shear: k
        stretch: c, not 0.

    Raises:
        ValueError: c is 0.

    Source: own.

    Example:
        >>> model = EquivariantTransformer(depth=2)
        >>> other = regauge(model, shear=1.0, stretch=3.0)
        >>> bool(torch.isclose(other.v[0, 0, 5], 3 * model.v[0, 0, 5]))  # V's J_Kd, by which s is written
        True
    """
    if stretch == 0:
        raise ValueError("stretch=0 forgets s; it must be another number")
    m, v = _coordinates(model)
    T = torch.tensor([[1, shear], [0, stretch]], dtype=m.dtype, device=m.device)
    inverse = torch.linalg.inv(T)
    for part, left in ((m, inverse.T), (v, T)):
        entries = part[..., I_D] + part[..., J_D], part[..., J_DK], part[..., J_KD], part[..., I_K] + part[..., J_K]
        block = left @ torch.stack(entries, -1).unflatten(-1, (2, 2)) @ inverse
        part[..., J_D], part[..., J_DK] = block[..., 0, 0] - part[..., I_D], block[..., 0, 1]
        part[..., J_KD], part[..., J_K] = block[..., 1, 0], block[..., 1, 1] - part[..., I_K]
    return _equivariant(model, m, v)


@torch.no_grad()
def shortest(model: AttentionTransformer) -> EquivariantTransformer:
    r"""Of all copies that `regauge` makes, the one whose J coordinates are smallest, its idle scalars put to 0.

    .. math:: \min_{k,\, c > 0} \sum (\text{coordinates other than } I_d \text{ and } I_K)^2

    A size that k and c can change says nothing of a model; here it is the smallest that the function allows. For c < 0
    there is a mirror image, in which the cross coordinates have the other sign.

    Arguments:
        model: any; where it is not equivariant, its weights are projected.

    Source: own.

    Example:
        >>> model = EquivariantTransformer(depth=3).double()
        >>> sizes = [shortest(m).v[1, 0, 5].item() for m in (model, regauge(model, shear=1.0, stretch=3.0))]
        >>> abs(sizes[0] - sizes[1]) < 1e-5
        True
    """
    full = canonical(coordinate_model(model))
    if not full.v[:-1, :, J_KD].any():  # nobody writes to s: k and c have nothing to move
        return full
    others = [J_D, J_K, J_DK, J_KD]

    def moved(gauge):
        return canonical(regauge(full, gauge[0], float(np.exp(gauge[1]))))

    def size(gauge):
        other = moved(gauge)
        return sum(part[..., others].double().square().sum().item() for part in (other.m, other.v))

    # A stretch by at most e^5, so that the search cannot run off where s hardly matters.
    start, bounds = size((0.0, 0.0)), [(-100, 100), (-5, 5)]

    def search(gauge, method, **options):
        return minimize(lambda gauge: size(gauge) / start, gauge, method=method, bounds=bounds, options=options)

    found = (search((0.0, log_stretch), "Nelder-Mead", maxiter=15) for log_stretch in (0.0, 2.0, -2.0))
    best = min(found, key=lambda result: result.fun)
    return moved(search(best.x, "L-BFGS-B", ftol=1e-15, gtol=1e-9).x)


def function_rank(model: InContextTransformer, batch: Batch, *, cut: float = 1e-9) -> tuple[int, int]:
    r"""How many directions of the parameters change the function, to first order, and how many parameters there are.

    The rank of the Jacobian of the centred logits, its columns scaled to length 1. What it lacks to full rank are the
    continuous symmetries at this model; discrete ones, such as the order of heads, do not show.

    Arguments:
        model: with generic weights: at the start of a training more symmetries hold by accident.
        batch: with several times as many queries as there are parameters.
        cut: singular values below this share of the largest are rounding, and so are columns that short.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> model = EquivariantTransformer(depth=2, heads=1, scalars=4)
        >>> function_rank(model, LinearTask(n_points=6).sample(40))
        (8, 9)
    """
    model = copy.deepcopy(model).double().cpu()
    batch = batch.to(dtype=torch.float64, device="cpu")
    parameters = {name: part.detach() for name, part in model.named_parameters()}

    def centred_logits(parameters):
        logits = functional_call(model, parameters, (batch.x, batch.context_y))
        return (logits - logits.mean(-1, keepdim=True)).flatten()

    columns = torch.cat([part.reshape(len(part), -1) for part in jacrev(centred_logits)(parameters).values()], 1)
    length = columns.norm(dim=0)
    seen = length > cut * length.max()
    singular = torch.linalg.svdvals(columns[:, seen] / length[seen])
    return int((singular > cut * singular[0]).sum()), len(length)


def align(theirs: Recursion, ours: Recursion) -> tuple[Recursion, np.ndarray]:
    r"""Another recursion, as near to ours as the symmetries of the function allow.

    From two layers on, these leave the logits of a recursion as they are, for all contexts:

    - the order of the heads in a layer, for their moves add up;
    - the last gamma of each head, for nobody reads the features after it: it is put to 0 in both;
    - where it so happens: the alpha and beta of a head with gamma = delta = 0; how heads of equal alpha and beta share
      gamma and delta; the place of a layer that moves nothing.

    Rescalings are not among them. Features and labels enter at a fixed size and the residual stream carries them on:
    were x to become c x in one layer, it would have to in all, the input included. At generic tables `function_rank` is
    4 L H + 1 - H, the scale of the read-out included, so that no continuous symmetry is left out; that no other
    discrete one exists is not proved here. A single layer meets queries with u = 0 only: there beta is free too, and of
    scale and delta the product alone counts. As a classifier a recursion does not feel a positive scale.

    Arguments:
        theirs: its heads are reordered within each layer, to the least squared distance over the four scalars.
        ours: what it is compared with.

    Returns:
        theirs, reordered, and the distance in each layer, :math:`|\theta' - \theta| / |\theta|`, `(L,)`.

    Raises:
        ValueError: tables of different shapes.

    Source: own.

    Example:
        >>> ours = Recursion({"alpha": [[1, 2]], "beta": [[3, 4]], "gamma": 0, "delta": [[1, 5]]})
        >>> theirs = Recursion({"alpha": [[2, 1]], "beta": [[4, 3]], "gamma": 7, "delta": [[5, 1]]})
        >>> align(theirs, ours)[1]
        array([0.])
    """
    if ours.table.shape != theirs.table.shape:
        raise ValueError(f"the tables are {ours.table.shape} and {theirs.table.shape}, (L, H); they must be the same")
    a, b = (np.stack([recursion.table[name] for name in SCALARS], -1) for recursion in (ours, theirs))  # (L, H, 4)
    a[-1, :, SCALARS.index("gamma")] = b[-1, :, SCALARS.index("gamma")] = 0
    cost = ((a[:, :, None] - b[:, None]) ** 2).sum(-1)  # (L, H, H)
    b = np.stack([layer[linear_sum_assignment(c)[1]] for layer, c in zip(b, cost, strict=True)])
    size = np.sqrt((a**2).sum((1, 2)))
    distance = np.sqrt(((a - b) ** 2).sum((1, 2))) / np.where(size > 0, size, 1)
    return theirs.replace(**dict(zip(SCALARS, np.moveaxis(b, -1, 0), strict=True))), distance


@dataclass(frozen=True)
class CoordinateEffect:
    """What one coordinate does.

    Arguments:
        matrix: "M" or "V".
        coordinate: one of `COORDINATES`.
        size: root mean square over layers and heads.
        without: the model in which it alone is 0, compared with the full one.
        beside_four: the four scalars with this one added, compared with the full model.
    """

    matrix: str
    coordinate: str
    size: float
    without: Comparison
    beside_four: Comparison


@torch.no_grad()
def coordinate_effects(model: AttentionTransformer, batch: Batch) -> list[CoordinateEffect]:
    """The 12 coordinates one by one, after those that cannot be identified were put to 0.

    A cross coordinate means nothing by itself (see `regauge`): the others are tuned to it, and to take away one alone
    can cost more than to take away all.

    Arguments:
        model: any; its projection is what is taken apart.
        batch: tasks for the comparisons.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> effects = coordinate_effects(EquivariantTransformer(depth=2, scalars=4), LinearTask().sample(50))
        >>> [e.matrix + " " + e.coordinate for e in effects if e.without.max_difference > 0]
        ['M I_d', 'M I_K', 'V I_d', 'V I_K']
    """
    full = canonical(coordinate_model(model))
    logits = predict(full, batch)
    four = {"I_d", "I_K"}
    effects = []
    for matrix, part in (("score", full.m), ("value", full.v)):
        for coordinate, values in zip(COORDINATES, part.unbind(-1), strict=True):
            without = coordinate_model(full, **{matrix: set(COORDINATES) - {coordinate}})
            beside_four = coordinate_model(full, **({"score": four, "value": four} | {matrix: four | {coordinate}}))
            effects.append(
                CoordinateEffect(
                    "M" if matrix == "score" else "V",
                    coordinate,
                    values.square().mean().sqrt().item(),
                    *(compare(predict(other, batch), logits, batch) for other in (without, beside_four)),
                )
            )
    return effects


@torch.no_grad()
def effect_map(model: EquivariantTransformer, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Size of every coordinate of every layer and head, and what happens when that one number is set to 0.

    Coordinates that are 0 already have no effect and are not tried.

    Arguments:
        model: of 12 scalars a head; `canonical` or `shortest` first leaves out what is idle.
        batch: tasks for the comparison.

    Returns:
        absolute values and total variations of class probabilities, `(L, H, 12)` each: M, then V, in the order of
        `COORDINATES`.

    Raises:
        ValueError: a model with other weights than 12 scalars a head.

    Source: own.

    Example:
        >>> from icl_nb import LinearTask
        >>> sizes, effects = effect_map(canonical(EquivariantTransformer(depth=2)), LinearTask().sample(20))
        >>> sizes.shape, bool((effects[sizes == 0] == 0).all())
        ((2, 1, 12), True)
    """
    if not isinstance(model, EquivariantTransformer) or model.m.shape[-1] != len(COORDINATES):
        raise ValueError(f"the model is {type(model).__name__}; effects are of the 12 scalars of a coordinate_model")
    _check_one_copy(model)
    model = copy.deepcopy(model)
    base = predict(model, batch)
    sizes = torch.cat([model.m, model.v], -1).abs()
    effects = torch.zeros_like(sizes)
    for layer, head, column in sizes.nonzero().tolist():
        which, coordinate = divmod(column, len(COORDINATES))
        part, place = (model.m, model.v)[which], (layer, head, coordinate)
        kept = part[place].item()
        part[place] = 0
        effects[layer, head, column] = compare(predict(model, batch), base, batch).divergence
        part[place] = kept
    return sizes.numpy(), effects.numpy()


def _coordinates(model: AttentionTransformer) -> tuple[Tensor, Tensor]:
    """Those of M and V, `(L, H, 6)` each; where d = 1 makes I_d and J_d the same, I_d holds it all."""
    _check_one_copy(model)
    if isinstance(model, EquivariantTransformer):
        m, v = (part.detach().clone() for part in model.coordinates())
    else:
        m, v = (coordinates(part.detach(), model.n_features, model.n_classes) for part in model.weights())
    if model.n_features == 1:
        for part in (m, v):
            part[..., I_D] += part[..., J_D]
            part[..., J_D] = 0
    return m, v


def _check_one_copy(model: InContextTransformer) -> None:
    copies = getattr(model, "copies", None)
    if copies is None:
        raise ValueError(f"{type(model).__name__}: it does more than attend; only matrices M and V have coordinates")
    if copies > 1:
        raise ValueError(f"the model has a memory of {copies} copies; models of one copy alone are abstracted")


@torch.no_grad()
def _equivariant(model: AttentionTransformer, m: Tensor, v: Tensor) -> EquivariantTransformer:
    """A model of the same shape with these scalars, 6 + 6 or 2 + 2 a head."""
    _check_one_copy(model)
    other = EquivariantTransformer(model.n_features, model.n_classes, model.depth, model.heads, 2 * m.shape[-1])
    other = other.to(dtype=m.dtype, device=m.device)
    for part, values in ((other.m, m), (other.v, v), (other.scale, model.scale)):
        part.copy_(values)
    return other


def _fix_coordinates(model: EquivariantTransformer) -> None:
    m, v = _coordinates(model)
    written = False  # whether a layer before this one may have made s other than 0
    for level in range(model.depth):
        if not written:
            m[level][:, [J_K, J_DK, J_KD]] = 0
            v[level][:, [J_K, J_DK]] = 0
        written = written or bool(v[level][:, J_KD].any())
    v[-1][:, [I_D, J_D, J_K, J_DK, J_KD]] = 0
    if model.depth == 1:
        m[0][:, I_K] = 0  # in a last layer only queries matter, and in a first one they have u = 0
    model.m.copy_(m[..., model.kept])
    model.v.copy_(v[..., model.kept])


def _fix_matrices(model: DenseTransformer) -> None:
    d, k = model.n_features, model.n_classes
    e = model.m.new_zeros(d + k)
    e[d:] = k**-0.5  # s = <e, z>
    average = torch.outer(e, e)
    rest = torch.diag(torch.ones_like(e)) - average

    def fill(matrices):  # let s be treated as the other label directions are, which makes the coordinate J_K zero
        trace = (rest @ matrices @ rest)[..., d:, d:].diagonal(dim1=-2, dim2=-1).sum(-1)
        return matrices + (trace / (k - 1))[..., None, None] * average

    model.m[0] = fill(rest @ model.m[0] @ rest)
    model.v[0] = fill(model.v[0] @ rest)
    model.v[-1, :, :d] = 0
    model.v[-1] = fill(rest @ model.v[-1])
    if model.depth == 1:
        model.m[0, :, d:] = 0
