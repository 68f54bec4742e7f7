r"""The symmetry of the task, and the matrices that respect it.

A token stacks features and label, :math:`z = (x, u) \in R^{d + K}`. Permuting the features by P in S_d and the classes
by Q in S_K acts on it as :math:`\Pi = P \oplus Q`. A matrix A respects the symmetry when it commutes with every
:math:`\Pi`; such matrices form the *commutant* of the group, a space of dimension 6 for d, K >= 2.

A layer whose matrices all commute is equivariant. Of a layer with one head the converse holds: equivariant on all
tokens, its V commutes, and its M unless V = 0. Several heads may change places instead, so that *symmetric* is asked of
each head by itself here.
"""

import itertools
import math

import torch
from scipy.linalg import helmert
from torch import Tensor

from icl_nb.checks import DTYPES, TOLERANCE, check_count, check_seed, check_tensor
from icl_nb.evaluation.scores import Predictor, predict
from icl_nb.tasks.batch import Batch

# The six coordinates: I is an identity, J a matrix that averages (all entries equal). A pair names a cross block.
COORDINATES = ("I_d", "J_d", "I_K", "J_K", "J_dK", "J_Kd")


_MOST_ELEMENTS = 50_000


def commutant_basis(n_features: int, n_classes: int, *, dtype: torch.dtype = torch.float64) -> Tensor:
    r"""The six matrices that commute with all block permutations, by hand.

    .. math:: I_d,\ J_d = \tfrac1d 11^T, \quad I_K,\ J_K = \tfrac1K 11^T,
        \quad J_{dK} = \tfrac1{\sqrt{dK}} 11^T,\ J_{Kd} = J_{dK}^T

    each placed in its block, in the order of `COORDINATES`. The all-ones matrices are scaled to averages (spectral
    norm 1), so that a coordinate means the same at every d and K.

    Arguments:
        n_features: d
        n_classes: K
        dtype: of the result.

    Returns:
        `(6, d + K, d + K)`. Where d = 1 (or K = 1) an identity equals its average, and only 5 (or 4) are independent.

    Raises:
        ValueError: d or K below 1.

    Source: own; confirmed by `null_space_basis` and `group_average`.

    Example:
        >>> commutant_basis(5, 3).shape
        torch.Size([6, 8, 8])
    """
    check_count("n_features", n_features, 1)
    check_count("n_classes", n_classes, 1)
    d, k = n_features, n_classes
    basis = torch.zeros(len(COORDINATES), d + k, d + k, dtype=dtype)
    basis[0, :d, :d] = torch.eye(d, dtype=dtype)
    basis[1, :d, :d] = 1 / d
    basis[2, d:, d:] = torch.eye(k, dtype=dtype)
    basis[3, d:, d:] = 1 / k
    basis[4, :d, d:] = (d * k) ** -0.5
    basis[5, d:, :d] = (d * k) ** -0.5
    return basis


def assemble(coordinates: Tensor, n_features: int, n_classes: int) -> Tensor:
    r"""The matrix with the given coordinates, :math:`A = \sum_c a_c B_c` over the commutant basis.

    Arguments:
        coordinates: `(*, 6)`.
        n_features: d
        n_classes: K

    Returns:
        `(*, d + K, d + K)`.

    Raises:
        ValueError: the last dimension is not 6, or the dtype neither float32 nor float64.

    Source: textbook.

    Example:
        >>> assemble(torch.tensor([2.0, 0, 3, 0, 0, 0]), 1, 2)
        tensor([[2., 0., 0.],
                [0., 3., 0.],
                [0., 0., 3.]])
    """
    check_tensor("coordinates", coordinates, DTYPES)
    if coordinates.shape[-1:] != (len(COORDINATES),):
        raise ValueError(f"coordinates have shape {tuple(coordinates.shape)}; the last must be {len(COORDINATES)}")
    basis = commutant_basis(n_features, n_classes, dtype=coordinates.dtype).to(coordinates.device)
    return torch.einsum("...c,cij->...ij", coordinates, basis)


def coordinates(matrix: Tensor, n_features: int, n_classes: int) -> Tensor:
    r"""The coordinates of the commuting matrix nearest to A, :math:`\arg\min_a \| A - \sum_c a_c B_c \|_F`.

    Arguments:
        matrix: `(*, d + K, d + K)`.
        n_features: d
        n_classes: K

    Returns:
        `(*, 6)`; the shortest solution where d = 1 makes two coordinates the same matrix.

    Raises:
        ValueError: the matrix is not square of size d + K, holds NaN or infinity, or is neither float32 nor float64.

    Source: textbook; the projection onto a subspace.

    Example:
        >>> a = torch.tensor([2.0, 0, 3, 0, 0, 1])
        >>> bool(torch.allclose(coordinates(assemble(a, 5, 3), 5, 3), a, atol=1e-6))
        True
    """
    _check_matrix(matrix, n_features, n_classes)
    basis = commutant_basis(n_features, n_classes, dtype=matrix.dtype).to(matrix.device)
    return matrix.flatten(-2) @ torch.linalg.pinv(basis.flatten(1))


def project(matrix: Tensor, n_features: int, n_classes: int) -> Tensor:
    r"""The Reynolds projection, the average over the group, in closed form.

    .. math:: \mathcal{R}(A) = \frac{1}{|G|} \sum_{\Pi \in G} \Pi^T A\, \Pi

    The group acts by orthogonal matrices, so that this average is the orthogonal projection onto the commutant; it is
    computed as that projection. `group_average` is the sum as written.

    Arguments:
        matrix: `(*, d + K, d + K)`.
        n_features: d
        n_classes: K

    Source: textbook; Reynolds' operator.

    Example:
        >>> a = torch.randn(8, 8, dtype=torch.float64)
        >>> bool(torch.allclose(project(a, 5, 3), group_average(a, 5, 3)))
        True
    """
    return assemble(coordinates(matrix, n_features, n_classes), n_features, n_classes)


def off_commutant(matrix: Tensor, n_features: int, n_classes: int) -> Tensor:
    r"""The share of a matrix that breaks the symmetry, :math:`\| A - \mathcal{R}(A) \|_F / \| A \|_F`, `(*)`, 0 to 1.

    Arguments:
        matrix: `(*, d + K, d + K)`.
        n_features: d
        n_classes: K

    Source: own.

    Example:
        >>> off_commutant(torch.eye(8), 5, 3).item() < 1e-6
        True
    """
    distance = torch.linalg.matrix_norm(matrix - project(matrix, n_features, n_classes))
    size = torch.linalg.matrix_norm(matrix)
    return torch.where(size > 0, distance / size, 0.0)


def group_average(matrix: Tensor, n_features: int, n_classes: int) -> Tensor:
    r"""The Reynolds projection by brute force: the mean of :math:`\Pi^T A\, \Pi` over all d! K! group elements.

    Arguments:
        matrix: `(*, d + K, d + K)`.
        n_features: d
        n_classes: K

    Raises:
        ValueError: more than 50,000 elements; use `project`.

    Source: textbook.

    Example:
        >>> group_average(torch.diag(torch.tensor([0.0, 2.0, 5.0, 5.0])), 2, 2).diagonal()
        tensor([1., 1., 5., 5.])
    """
    size = math.factorial(n_features) * math.factorial(n_classes)
    if size > _MOST_ELEMENTS:
        raise ValueError(f"the group has {size} elements, more than {_MOST_ELEMENTS}; use project, its closed form")
    _check_matrix(matrix, n_features, n_classes)
    total = torch.zeros_like(matrix)
    for features in itertools.permutations(range(n_features)):
        for classes in itertools.permutations(range(n_classes)):
            order = torch.tensor([*features, *(n_features + c for c in classes)])
            total += matrix[..., order[:, None], order]
    return total / size


def null_space_basis(n_features: int, n_classes: int) -> Tensor:
    r"""An orthonormal basis of the commutant found numerically, with no derivation.

    A commutes with the group when it commutes with its generators g, a linear condition on its entries:
    :math:`(g \otimes I - I \otimes g^T)\, \mathrm{vec} A = 0`. The generators of S_d are a transposition and a cycle.

    Arguments:
        n_features: d
        n_classes: K

    Returns:
        `(dimension, d + K, d + K)`, float64. The rank is cut at the largest gap that rounding leaves open: singular
        values of these integer matrices are either 0 or of order 1.

    Raises:
        ValueError: d or K below 1.

    Source: the method of Finzi, Welling and Wilson (2021), arXiv 2104.09459, section 4.

    Example:
        >>> [len(null_space_basis(d, k)) for d, k in [(5, 3), (3, 3), (1, 3), (1, 1)]]
        [6, 6, 5, 4]
    """
    check_count("n_features", n_features, 1)
    check_count("n_classes", n_classes, 1)
    size = n_features + n_classes
    identity = torch.eye(size, dtype=torch.float64)
    rows = [
        torch.zeros(1, size * size, dtype=torch.float64)
    ]  # so that the trivial group, d = K = 1, constrains nothing
    for start, length in ((0, n_features), (n_features, n_classes)):
        block = list(range(start, start + length))
        for image in ([*block[1::-1], *block[2:]], block[1:] + block[:1]):
            order = list(range(size))
            order[start : start + length] = image
            g = identity[order]
            rows.append(torch.kron(g, identity) - torch.kron(identity, g.T.contiguous()))
    _, singular, directions = torch.linalg.svd(torch.cat(rows), full_matrices=True)
    rank = int((singular > 1e-9).sum())
    return directions[rank:].reshape(-1, size, size)


def random_element(n_features: int, n_classes: int, generator: torch.Generator) -> Tensor:
    """A random block permutation, as the order `(d + K,)` in which it lists the entries of a token.

    Arguments:
        n_features: d
        n_classes: K
        generator: where the random numbers come from.

    Source: textbook.

    Example:
        >>> random_element(5, 3, torch.Generator().manual_seed(0)).sort().values
        tensor([0, 1, 2, 3, 4, 5, 6, 7])
    """
    features = torch.randperm(n_features, generator=generator)
    classes = n_features + torch.randperm(n_classes, generator=generator)
    return torch.cat([features, classes])


def permute_batch(batch: Batch, features: Tensor, classes: Tensor) -> Batch:
    r"""The same tasks with permuted features and renamed classes.

    Feature i of the result is feature `features[i]` of the batch, and class k of the result is class `classes[k]`.

    Arguments:
        batch: the tasks.
        features: a permutation of 0..d-1, `(d,)`.
        classes: a permutation of 0..K-1, `(K,)`.

    Raises:
        ValueError: not permutations of the right length.

    Source: textbook.

    Example:
        >>> from icl_nb import LinearTask
        >>> batch = LinearTask(n_features=2).sample(1)
        >>> swapped = permute_batch(batch, torch.tensor([1, 0]), torch.tensor([0, 1, 2]))
        >>> bool((swapped.x[..., 0] == batch.x[..., 1]).all())
        True
    """
    for name, order, length in (("features", features, batch.x.shape[2]), ("classes", classes, batch.n_classes)):
        check_tensor(name, order, (torch.int64,))
        if order.ndim != 1 or sorted(order.tolist()) != list(range(length)):
            raise ValueError(f"{name} is {order.tolist()}; it must be a permutation of 0..{length - 1}")
    new_name = torch.argsort(classes)
    y = torch.where(batch.y >= 0, new_name[batch.y], batch.y)
    w = None if batch.w is None else batch.w[:, classes][:, :, features]
    return Batch(batch.x[..., features], y, w, batch.n_classes, batch.n_queries, batch.noise)


def conjugate(weights: Tensor, orders: Tensor) -> Tensor:
    r"""Weights as they act on permuted tokens, :math:`\Pi_l^T A_{lh} \Pi_l`: a permutation wrapped around each layer.

    Arguments:
        weights: `(L, H, D, D)`.
        orders: one group element a layer, `(L, D)`.

    Source: textbook.

    Example:
        >>> weights = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> conjugate(weights, torch.tensor([[1, 0]]))[0, 0]
        tensor([[3., 2.],
                [1., 0.]])
    """
    rows = orders[:, None, :, None].expand_as(weights)
    columns = orders[:, None, None, :].expand_as(weights)
    return weights.gather(2, rows).gather(3, columns)


@torch.no_grad()
def equivariance_errors(model, batch: Batch, *, n_elements: int = 8, seed: int = 0) -> Tensor:
    r"""How far each layer is from equivariant, on the tokens that it meets.

    .. math:: \epsilon_l = \max_\Pi \frac{\max | f_l(\Pi z) - \Pi f_l(z) |}{\max | f_l(z) |}

    Arguments:
        model: a transformer with `embed`, `layer` and `depth`.
        batch: tasks whose tokens are used, cast to the model's dtype.
        n_elements: random group elements tried in each layer.
        seed: for those.

    Returns:
        one error a layer, `(L,)`, float64.

    Raises:
        ValueError: the batch does not fit the model, or a layer gives a value that is not finite.

    Source: own; the quantity that e3nn calls equivariance error, made relative.

    Example:
        >>> from icl_nb import DenseTransformer, LinearTask
        >>> bool((equivariance_errors(DenseTransformer(depth=2), LinearTask().sample(4)) > 0.01).all())
        True
    """
    check_count("n_elements", n_elements, 1)
    generator = torch.Generator().manual_seed(check_seed(seed))
    batch = batch.to(dtype=model.dtype, device=model.device)
    z = model.embed(batch.x, batch.context_y)
    n_context = batch.context_y.shape[1]
    errors = torch.zeros(model.depth, dtype=torch.float64)
    for level in range(model.depth):
        after, _ = model.layer(level, z, n_context)
        if not after.isfinite().all():
            raise ValueError(f"layer {level + 1} gives NaN or infinity; the weights or the features are too large")
        for _ in range(n_elements):
            order = random_element(model.n_features, model.n_classes, generator).to(z.device)
            # A token may hold several copies of (x, u); the group acts on all of them alike.
            order = torch.cat([order + start for start in range(0, z.shape[2], len(order))])
            moved, _ = model.layer(level, z[..., order], n_context)
            errors[level] = max(errors[level], ((moved - after[..., order]).abs().max() / after.abs().max()).item())
        z = after
    return errors


def equivariance_error(model, batch: Batch, *, n_elements: int = 8, seed: int = 0) -> float:
    """The largest of `equivariance_errors` over layers and group elements: rounding for a symmetric model.

    Arguments:
        model: as in `equivariance_errors`.
        batch: likewise.
        n_elements: likewise.
        seed: likewise.

    Source: own.

    Example:
        >>> from icl_nb import EquivariantTransformer, LinearTask
        >>> equivariance_error(EquivariantTransformer(depth=2), LinearTask().sample(4)) < 1e-5
        True
    """
    return equivariance_errors(model, batch, n_elements=n_elements, seed=seed).max().item()


def assert_equivariant(model, batch: Batch, *, n_elements: int = 8, seed: int = 0) -> None:
    """Raise an AssertionError, naming the worst layer, unless the error is rounding (`TOLERANCE` of the dtype).

    Arguments:
        model: as in `equivariance_errors`.
        batch: likewise.
        n_elements: likewise.
        seed: likewise.

    Raises:
        AssertionError: a layer is off by more.

    Source: own; the habit is e3nn's.

    Example:
        >>> from icl_nb import DenseTransformer, LinearTask
        >>> assert_equivariant(DenseTransformer(depth=2), LinearTask().sample(4))
        Traceback (most recent call last):
            ...
        AssertionError: layer ... is off by ..., more than 1e-05, the rounding of torch.float32
    """
    errors = equivariance_errors(model, batch, n_elements=n_elements, seed=seed)
    tolerance = TOLERANCE[model.dtype]
    if not (errors <= tolerance).all():
        worst = int(errors.argmax())
        raise AssertionError(
            f"layer {worst + 1} is off by {errors[worst]:.1e}, more than {tolerance:.0e}, the rounding of {model.dtype}"
        )


def _check_matrix(matrix: Tensor, n_features: int, n_classes: int) -> None:
    check_tensor("the matrix", matrix, DTYPES)
    size = n_features + n_classes
    if matrix.shape[-2:] != (size, size):
        raise ValueError(f"the matrix has shape {tuple(matrix.shape)}; its last two must be d + K = {size}")
    if not matrix.isfinite().all():
        raise ValueError("the matrix holds NaN or infinity; every entry must be finite")


@torch.no_grad()
def renaming_error(model: Predictor, batch: Batch, *, n_elements: int = 4, seed: int = 0) -> float:
    r"""How far the answers are from being renamed with the classes and untouched by the order of the features.

    .. math:: \operatorname{mean}_{\Pi, i}\ \tfrac12 \sum_k | p_k(\Pi i) - p_{\Pi k}(i) |

    the mean total variation between the probabilities for a renamed prompt and the renamed probabilities, 0 to 1.

    Arguments:
        model: anything that `predict` takes.
        batch: tasks.
        n_elements: random group elements.
        seed: for those.

    Raises:
        ValueError: a count below 1, or a seed that is none.

    Source: own; `equivariance_error` asks each layer, this the whole function.

    Example:
        >>> from icl_nb import DenseTransformer, EquivariantTransformer, LinearTask
        >>> batch = LinearTask().sample(8)
        >>> [renaming_error(kind(depth=2), batch) < 1e-6 for kind in (EquivariantTransformer, DenseTransformer)]
        [True, False]
    """
    check_count("n_elements", n_elements, 1)
    generator = torch.Generator().manual_seed(check_seed(seed))
    d, probabilities, errors = batch.x.shape[2], predict(model, batch).softmax(-1), []
    for _ in range(n_elements):
        order = random_element(d, batch.n_classes, generator)
        features, classes = order[:d], order[d:] - d
        renamed = predict(model, permute_batch(batch, features, classes)).softmax(-1)
        errors.append((renamed - probabilities[..., classes]).abs().sum(-1).mean().item() / 2)
    return sum(errors) / n_elements


def random_rotation(size: int, generator: torch.Generator, *, fix_axis: bool = False) -> Tensor:
    r"""A random orthogonal matrix, `(size, size)`, float64; on request one with :math:`R \mathbf 1 = \mathbf 1`.

    Arguments:
        size: d, 1 or larger.
        generator: where the random numbers come from.
        fix_axis: whether (1, ..., 1) stays in place.

    Raises:
        ValueError: a size below 1.

    Source: textbook; the QR decomposition of a normal matrix.

    Example:
        >>> turn = random_rotation(3, torch.Generator().manual_seed(0), fix_axis=True)
        >>> turn.sum(1).round(decimals=6)
        tensor([1., 1., 1.], dtype=torch.float64)
    """
    check_count("size", size, 1)
    moved = size - fix_axis  # directions that may turn
    q, r = torch.linalg.qr(torch.randn(moved, moved, generator=generator, dtype=torch.float64))
    turn = q * r.diagonal().sign()  # with R's diagonal positive, Q is unique, and all rotations are as likely
    if not fix_axis:
        return turn
    frame = torch.from_numpy(helmert(size, full=True)).T  # its first column is the axis
    return frame @ torch.block_diag(torch.ones(1, 1, dtype=torch.float64), turn) @ frame.T
