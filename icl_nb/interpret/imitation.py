r"""Can heads of four scalars take a step of gradient descent? One cannot, two can nearly, and a memory holds the rest.

The step is that of softmax regression in function space: every point has a function value f, and

.. math:: f_i \leftarrow f_i + \frac{\eta}{n} \sum_j \langle x_i, x_j \rangle \, r_j, \qquad
    r_j = e_{y_j} - \mathrm{softmax}(f_j)

Letters: B tasks, n context points, r readers, d features, K classes, H heads.
"""

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import softmax

from icl_nb.checks import check_count, check_positive
from icl_nb.interpret.rivals import r_squared
from icl_nb.models.attention import EquivariantTransformer
from icl_nb.recursion import Recursion


def descent_table(
    steps: int, rate: float, *, small: float = 0.1, sharp: float = 60.0, unit: float = 8.0, n_classes: int = 3
) -> Recursion:
    r"""A table of scalars, written and not trained, that runs gradient descent on softmax regression.

    Copy 1 keeps the given label, copy 2 holds :math:`f / \text{unit}`, copy 3 the residual. A step takes two layers of
    three heads. In the first a head that scores by :math:`\langle f_i, u_j \rangle` reads
    :math:`\sum_c e_c\, n_c e^{f_{ic}} / \sum_k n_k e^{f_{ik}}`, a softmax, and takes it off copy 3. In the second two
    heads with :math:`\alpha = \pm a` and opposite :math:`\delta` move f by

    .. math:: \frac{\eta}{2 a} \sum_j (A^+_{ij} - A^-_{ij})\, r_j
        = \frac{\eta}{n} \sum_j \langle x_i, x_j - \bar x \rangle\, r_j + O(a^2)

    while a third puts the softmax back. As a goes to 0 this is gradient descent on softmax regression with offsets
    :math:`\log n_c` and the mean residual taken out.

    Arguments:
        steps: of descent; the table has twice as many layers.
        rate: eta
        small: a
        sharp: beta of the head that fills copy 3 with the given labels; what it misses is :math:`e^{-\text{sharp}}`.
        unit: in which f is kept, and the scale of the read-out.
        n_classes: K

    Raises:
        ValueError: fewer than 1 step, or a number that is not positive.

    Source: own.

    Example:
        >>> descent_table(6, 8.0)
        Recursion(12 layers, 3 heads, 3 copies, K=3, scale 0 8 0)
    """
    check_count("steps", steps, 1)
    for name, value in (("rate", rate), ("small", small), ("sharp", sharp), ("unit", unit)):
        check_positive(name, value)
    alpha, beta, gamma, delta = np.zeros((4, 2 * steps, 3, 3, 3))
    label, function, residual = range(3)
    beta[:, 2, function, label] = unit
    delta[::2, 2, residual, label], delta[1::2, 2, residual, label] = -1.0, 1.0
    beta[0, 0, label, label], delta[0, 0, residual, label] = sharp, 1.0
    for head, sign in enumerate((1.0, -1.0)):
        alpha[1::2, head, label, label] = sign * small
        delta[1::2, head, function, residual] = sign * rate / (2 * small * unit)
    table = {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
    return Recursion(table, n_classes, np.array([0.0, unit, 0.0]))


def fit_heads(x, u, values, readers, f, goal, *, heads: int = 1) -> tuple[float, np.ndarray, np.ndarray]:
    r"""How much of a motion of labels so many heads of four scalars can make, the same for all tasks.

    .. math:: \min_{\alpha, \beta, \delta} \sum \Big| \Delta_i - \sum_h \delta_h \sum_j \mathrm{softmax}_j
        (\alpha_h \langle x_i, x_j \rangle + \beta_h \langle f_i, u_j \rangle)\, v_j \Big|^2

    alpha and beta by a simplex search from several starts, delta by least squares; on the first half of the tasks.

    Arguments:
        x: context points, `(B, n, d)`.
        u: their labels, as scores see them, `(B, n, K)`.
        values: what is read, `(B, n, K)`; or several candidates `(c, B, n, K)`, each of which has a delta of its own.
        readers: points that are moved, `(B, r, d)`.
        f: their labels, `(B, r, K)`.
        goal: their motion, `(B, r, K)`.
        heads: H

    Returns:
        the explained variance on the second half, `r_squared`; alpha and beta `(H, 2)`; and delta `(H, c)`.

    Raises:
        ValueError: fewer than 4 tasks, or no head.

    Source: own.

    Example:
        >>> random = np.random.default_rng(0)
        >>> x, readers = random.normal(size=(2, 8, 20, 3))
        >>> u = np.eye(2)[random.integers(0, 2, (8, 20))] - 0.5
        >>> nothing = np.zeros((8, 20, 2))
        >>> goal = 0.5 * softmax(0.3 * readers @ x.mT, -1) @ u
        >>> found, scores, sizes = fit_heads(x, u, u, readers, nothing, goal)
        >>> round(found, 3), round(float(scores[0, 0]), 2), sizes.round(2)
        (1.0, 0.3, array([[0.5]]))
    """
    check_count("heads", heads, 1)
    if len(x) < 4:
        raise ValueError(f"there are {len(x)} tasks; both halves need 2 at least")
    values = np.asarray(values) if np.ndim(values) == 4 else np.asarray(values)[None]
    half = len(x) // 2
    features, labels = readers @ x.mT, f @ u.mT  # (B, r, n)
    size = np.sqrt((goal[:half] ** 2).sum())

    def moves(theta, part):  # (H c, what is moved)
        found = []
        for alpha, beta in np.reshape(theta, (heads, 2)):
            A = softmax(alpha * features[part] + beta * labels[part], -1)
            found += [(A @ candidate[part]).ravel() for candidate in values]
        return np.stack(found)

    def sizes(theta):
        made = moves(theta, slice(half))
        return np.linalg.lstsq(made.T, goal[:half].ravel(), rcond=1e-10)[0], made

    def missed(theta):
        delta, made = sizes(theta)
        return ((goal[:half].ravel() - delta @ made) ** 2).sum() / size**2

    signs = (-1.0) ** np.arange(heads)
    starts = [
        np.stack([first * signs, np.full(heads, second)], -1).ravel() for first in (0.1, 1.0) for second in (0, 1)
    ]
    options = {"maxiter": 200 * heads, "xatol": 1e-4, "fatol": 1e-7}
    bounds = [(-9, 9)] * (2 * heads)
    searches = (minimize(missed, start, method="Nelder-Mead", bounds=bounds, options=options) for start in starts)
    theta = min(searches, key=lambda found: found.fun).x
    delta, rest = sizes(theta)[0], slice(half, None)
    found = r_squared(goal[rest].ravel(), delta @ moves(theta, rest))
    return found, theta.reshape(heads, 2), delta.reshape(heads, -1)


@torch.no_grad()
def write_table(model: EquivariantTransformer, recursion: Recursion) -> None:
    """Put the table of a recursion, and its read-out, into the weights of a model of four scalars, in place.

    Arguments:
        model: of the same depth, heads and copies.
        recursion: whose numbers are taken.

    Raises:
        ValueError: the shapes differ, or the model has twelve scalars.

    Source: own.

    Example:
        >>> model = EquivariantTransformer(depth=4, heads=3, scalars=4, copies=3)
        >>> write_table(model, descent_table(2, 8.0))
        >>> bool((Recursion.from_model(model).table.beta == descent_table(2, 8.0).table.beta).all())
        True
    """
    table = recursion.table
    if model.scalars != 4 or model.m.shape[:2] + model.m.shape[3:] != table.alpha.shape:
        raise ValueError(f"{recursion!r} does not fit {model!r}; depth, heads and copies must agree, with four scalars")
    for part, names in ((model.m, ("alpha", "beta")), (model.v, ("gamma", "delta"))):
        part.copy_(torch.from_numpy(np.stack([table[name] for name in names], 2)))
    model.scale.copy_(torch.as_tensor(recursion.scale))
