r"""What a layer does to two tokens with equal labels: P2 of chapter 7, for any context, any number of points.

Letters as in `icl_nb.recursion`, and D = d + K entries of a token.
"""

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


def layer_map(z: ArrayLike, context: ArrayLike, M: ArrayLike, V: ArrayLike) -> Array:
    r"""F(z), `(m, D)`: where a layer takes readers z `(m, D)` that need not be tokens of the context `(n, D)`.

    .. math:: F(z) = z + \sum_h V_h \sum_j \mathrm{softmax}_j(z^T M_h z_j)\, z_j

    Arguments:
        z: readers, `(m, D)`.
        context: tokens that are read, `(n, D)`.
        M: score matrices, `(H, D, D)`.
        V: value matrices, `(H, D, D)`.

    Source: textbook; the layer of `icl_nb.models.attention` for readers outside of its context.

    Example:
        >>> layer_map([[1.0]], [[1.0], [3.0]], [[[0.0]]], [[[0.5]]])
        array([[2.]])
    """
    z, context = np.asarray(z, float), np.asarray(context, float)
    move = np.zeros_like(z)
    for m, v in zip(np.asarray(M, float), np.asarray(V, float), strict=True):
        move += _attention(z, context, m) @ context @ v.T
    return z + move


def layer_jacobian(z: ArrayLike, context: ArrayLike, M: ArrayLike, V: ArrayLike) -> Array:
    r"""DF(z), `(m, D, D)`, the derivative of `layer_map`.

    .. math:: DF(z) = I + \sum_h V_h \operatorname{Cov}_{A_h(z)}(z_j)\, M_h^T

    Arguments:
        z: readers, `(m, D)`.
        context: tokens that are read, `(n, D)`.
        M: score matrices, `(H, D, D)`.
        V: value matrices, `(H, D, D)`.

    Source: own; the derivative of a softmax is textbook.

    Example:
        >>> layer_jacobian([[0.0]], [[-1.0], [1.0]], [[[0.5]]], [[[-1.0]]])  # 1 - 1 * 1 * 0.5
        array([[[0.5]]])
    """
    z, context = np.asarray(z, float), np.asarray(context, float)
    jacobian = np.broadcast_to(np.eye(z.shape[1]), (len(z), z.shape[1], z.shape[1])).copy()
    for m, v in zip(np.asarray(M, float), np.asarray(V, float), strict=True):
        A = _attention(z, context, m)
        centred = context - (A @ context)[:, None]  # (m, n, D)
        jacobian += v @ np.einsum("ij,ija,ijb->iab", A, centred, centred) @ m.T
    return jacobian


def certain_contraction(x: ArrayLike, alpha: ArrayLike, gamma: ArrayLike) -> int:
    r"""Whether a layer brings *every* two tokens with equal label blocks closer, -1, or apart, 1; 0 if open.

    .. math:: -\frac{8}{\mathrm{diam}^2} < \sum_h \gamma_h \alpha_h < 0 \text{ with no term above 0}
        \quad\text{or}\quad \gamma_h \alpha_h \ge 0 \text{ for all } h

    (and one above 0). A weighted variance in any direction is at most a quarter of the square of the range, whatever
    the weights: so the context's diameter, and nothing else of it, decides for all readers at once.

    Arguments:
        x: context points as the layer meets them, `(n, d)`.
        alpha: of the heads, `(H,)`.
        gamma: of the heads, `(H,)`.

    Source: own, with the bound of Popoviciu (1935) on a variance; chapter 7, P2.

    Example:
        >>> certain_contraction([[0.0], [2.0]], [0.5], [-1.0]), certain_contraction([[0.0], [9.0]], [0.5], [-1.0])
        (-1, 0)
    """
    x, product = np.asarray(x, float), np.asarray(alpha, float) * np.asarray(gamma, float)
    if (product >= 0).all():
        return int((product > 0).any())
    squares = (x**2).sum(-1)
    diameter = (squares[:, None] + squares - 2 * x @ x.T).max()
    return -int((product <= 0).all() and -product.sum() * diameter < 8)


def _attention(z, context, m):
    scores = z @ m @ context.T
    A = np.exp(scores - scores.max(-1, keepdims=True))
    return A / A.sum(-1, keepdims=True)
