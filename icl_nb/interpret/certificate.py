r"""Theorems about one file: the population law of a table for two classes, enclosed by ball arithmetic.

For K = 2 the law of chapter 7 lives on a line: a point is its coordinate `a` along the border's normal and its label
:math:`u = \ell\,(1, -1)`, at first :math:`\ell = \frac12 \mathrm{sign}(a)`, and each layer is a quotient of integrals

.. math:: a \leftarrow a + \sum_h \gamma_h \frac{\int \varphi(a') A(a') \sinh s\, da'}{\int \varphi(a') \cosh s\, da'},
    \qquad s = \alpha_h a A(a') + 2 \beta_h \ell \ell(a')

over :math:`a' \in (0, c)`, with :math:`A, \ell` the maps that the layers before have composed. `certify` encloses all
of it; in code :math:`\ell` is called u. Every number is a ball of python-flint that holds the true one. An integral is
a Gauss-Legendre sum on short pieces. The error of the sum is bounded because both maps are analytic in a disc about
each piece, of twice its half-length: how far they may move there is bounded layer by layer from the exact moments at
its centre (chapter 7 has the proof). What floats decide is only where pieces end: a bad choice gives wide balls and
never a wrong one.

Points are normal within `cut` standard deviations, so that no tail is left to be bounded: a sample of n points N(0, I)
is one of that law with probability of at least :math:`1 - 2 n \Phi(-c)`, which for c = 8 is
:math:`1 - 1.3 \cdot 10^{-15} n`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from flint import arb, arb_mat, ctx

from icl_nb.recursion import SCALARS, Recursion

RATIO = 2  # the disc in which a map is known to be analytic, in half-lengths of its piece

EFFORTS = ((0.12, 60), (0.04, 80), (0.012, 100))  # tried in turn: how far discs may go in the plan, and bits of a sum


class Enclosure(NamedTuple):
    """Two floats with the true number between them."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


class InconclusiveError(ArithmeticError):
    """The balls became too wide to decide; says where, and how wide they were."""


@dataclass(frozen=True)
class Certificate:
    """What `certify` proved. Sequences hold one enclosure before the first layer and one after each.

    Attributes:
        n_features: d, which only `separation` depends on.
        cut: points have `|a| <= cut`.
        reach: queries have `0 < |a| <= reach`.
        bits: of the ball arithmetic.
        growth: g_t, by which a layer has multiplied what lies across the normal.
        mean: of a over the points of the first class.
        spread: variance of a within a class.
        label: mean of u over the points of the first class, 1/2 at first.
        separation: :math:`\\bar a^2 / (v + (d - 1) g^2)` with that mean and variance.
        slope: the least margin over a, so far as it is proved: the margin of a query at a is at least that times a.
        verdict: "proved" if the margin is positive for all queries within reach; "refuted" if it is not positive for
            `witness`; else "inconclusive".
        witness: a query that is answered wrongly, and the enclosure of its margin; None if there is none.
        widest: the widest of all enclosures.
    """

    n_features: int
    cut: float
    reach: float
    bits: int
    growth: tuple[Enclosure, ...]
    mean: tuple[Enclosure, ...]
    spread: tuple[Enclosure, ...]
    label: tuple[Enclosure, ...]
    separation: tuple[Enclosure, ...]
    slope: float
    verdict: str
    witness: tuple[float, Enclosure] | None
    widest: float


def certify(
    recursion: Recursion, *, n_features: int = 5, cut: float = 8.0, reach: float = 6.0, bits: int = 120
) -> Certificate:
    r"""Enclose the law of a table for two classes after each layer, and decide whether it answers all queries rightly.

    .. math:: s\, (u_1 - u_2)(a) = 2 s\, \ell_L(a) > 0 \quad \text{for all } 0 < a \le \text{reach}

    is what is decided; a query at -a has the opposite margin. Near 0, where the margin vanishes, it is divided by a
    first: an odd analytic function less its tangent is of third order (Schwarz's lemma).

    Arguments:
        recursion: a table without memory, of any depth, with any number of heads. K need not be 2: the task has two
            classes, the table serves any number.
        n_features: d, for the separation.
        cut: points are normal within this, 4 to 12.
        reach: of the queries, up to `cut`.
        bits: precision of the ball arithmetic, at least 53.

    Raises:
        ValueError: the table has memory or slopes, its scale is not positive, or a number is out of range.
        InconclusiveError: a bound on the law itself, without which nothing follows, could not be had.

    Source: own, chapter 7.

    Example:
        >>> table = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1}, n_classes=2)
        >>> proof = certify(table, cut=4, reach=3)
        >>> proof.verdict, proof.slope > 0, proof.widest < 1e-6
        ('proved', True, True)
        >>> certify(table.replace(delta=-1), cut=4, reach=3).verdict
        'refuted'
    """
    if recursion.table.alpha.ndim != 2 or recursion.slopes is not None:
        raise ValueError(
            "the certificate is for tables without memory and slopes, and this recursion has copies or slopes"
        )
    if not recursion.scale > 0:
        raise ValueError(f"scale={recursion.scale!r}; it must be positive for the margin to be that of the label")
    if not 4 <= cut <= 12 or not 0 < reach <= cut:
        raise ValueError(f"cut={cut!r}, reach={reach!r}; they must be 4 <= cut <= 12 and 0 < reach <= cut")
    if isinstance(bits, bool) or bits < 53 or n_features < 1:
        raise ValueError(f"bits={bits!r}, n_features={n_features!r}; they must be at least 53 and 1")
    layers = [
        [tuple(float(row[name][h]) for name in SCALARS) for h in range(len(row.alpha))] for row in recursion.table
    ]
    arguments, scale = (layers, float(cut), float(reach)), float(recursion.scale)
    with ctx.workprec(int(bits)):
        for effort in EFFORTS[:-1]:
            try:
                found = _Flow(*arguments, *effort).certificate(n_features, scale, int(bits))
            except InconclusiveError:
                continue
            if found.verdict != "inconclusive":
                return found
        return _Flow(*arguments, *EFFORTS[-1]).certificate(n_features, scale, int(bits))


def theorem(certificate: Certificate, name: str) -> str:
    """What was proved, in words, as `icl-nb certify` prints it.

    Example:
        >>> table = Recursion({"alpha": [[1.0]], "beta": 0, "gamma": 0, "delta": 1}, n_classes=2)
        >>> print(theorem(certify(table, cut=4, reach=3), "one layer").splitlines()[0])
        Theorem (one layer, two classes, infinitely many points, 1 layer). Let points be normal across ...
    """
    c = certificate
    depth, final = len(c.growth) - 1, c.separation[-1]
    head = (
        f"Theorem ({name}, two classes, infinitely many points, {depth} layer{'s' * (depth > 1)}). Let points be "
        f"normal across the border within {c.cut:g} standard deviations, d = {c.n_features}."
    )
    law = f"After the last layer the separation lies in {_outward(final)}, and g in {_outward(c.growth[-1])}."
    if c.verdict == "proved":
        answer = (
            f"A query at distance a from the border, 0 < a <= {c.reach:g}, is answered rightly: the margin of its "
            f"logits is at least {_least(c.slope):g} a."
        )
    elif c.witness:
        at, margin = c.witness
        answer = (
            f"NOT every query is answered rightly: at distance {at:.6g} from the border the margin of the logits lies "
            f"in {_outward(margin)}."
        )
    else:
        answer = f"INCONCLUSIVE about the answers: balls reached a width of {c.widest:.2g}, and some margin may vanish."
    width = 10.0 ** math.ceil(math.log10(c.widest)) if c.widest > 0 else 0.0
    return f"{head}\n{law}\n{answer}\nBall arithmetic with {c.bits} bits; no enclosure is wider than {width:g}."


def _outward(value: Enclosure, digits: int = 6) -> str:
    """An interval of short decimals around it."""
    unit = 10**digits
    return f"[{math.floor(value.low * unit) / unit:.{digits}f}, {math.ceil(value.high * unit) / unit:.{digits}f}]"


def _least(value: float) -> float:
    """Two significant digits, rounded down."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / unit) * unit


class _Tracked:
    """Readers that stand for a disc about them: x(a) = x + p da + e_x, u(a) = u + q da + e_l while |da| <= radius."""

    def __init__(self, index: list[int], radius: list[arb]):
        self.index, self.radius = index, [arb(r) for r in radius]
        one, zero = arb(1), arb(0)
        self.p, self.q = [one] * len(index), [zero] * len(index)
        self.ex, self.el = [zero] * len(index), [zero] * len(index)

    def reach(self, i: int, share: float = 1.0) -> tuple[arb, arb]:
        """How far x and u may be from their centre in the disc, or in `share` of it."""
        r = self.radius[i] * share
        return _upper(abs(self.p[i]) * r + self.ex[i]), _upper(abs(self.q[i]) * r + self.el[i])


class _Flow:
    def __init__(self, layers, cut: float, reach: float, limit: float, sum_bits: int):
        self.layers, self.cut, self.reach = layers, cut, reach
        pieces, cells = _plan(layers, cut, reach, limit)
        self.pieces = pieces  # from and to; floats are exact
        # The plan is trusted for nothing, and so not for covering what it should.
        ends = [0.0, *(high for _, high in pieces)], [cells[0][1], *(high for _, high in cells[1:])]
        whole = all(low == end for (low, _), end in zip(pieces, ends[0], strict=False)) and ends[0][-1] == cut
        whole &= all(low == end for (low, _), end in zip(cells[2:], ends[1][1:], strict=False)) and ends[1][-1] == reach
        if not (whole and -cells[0][0] == cells[0][1] >= cells[1][0] > 0):
            raise AssertionError("pieces or cells leave a gap")
        self.nodes, self.weights, self.piece_of, centres, self.sum_error = [], [], [], [], []
        root_two_pi = (2 * arb.pi()).sqrt()
        for number, (low, high) in enumerate(pieces):
            count = _count((low + high) / 2, sum_bits)
            centres.append(len(self.nodes) + count // 2)  # an odd rule has its centre among its nodes
            c, h = _middle(low, high)
            for k in range(count):
                root, weight = arb.legendre_p_root(count, k, weight=True)
                a = c if k == count // 2 else c + h * root
                self.nodes.append(a)
                self.weights.append(h * weight * (-(a * a) / 2).exp() / root_two_pi)
                self.piece_of.append(number)
            # |sum - integral| <= 4 h M q^(2N) / (1 - q) for |f| <= M in the disc of radius h / q; here q = 1 / RATIO,
            # and |exp(-z^2 / 2)| <= exp(-(Re z)^2 / 2 + (Im z)^2 / 2) is part of M.
            q, R = arb(1) / RATIO, RATIO * h
            nearest = arb(0).max(c - R)
            density = (R * R / 2 - nearest**2 / 2).exp() / root_two_pi
            self.sum_error.append(_upper(4 * h * q ** (2 * count) / (1 - q) * density))
        size = len(self.nodes)
        self.size = size
        self.x = [*self.nodes, *(_middle(*cell)[0] for cell in cells)]
        self.u = [*([arb(0.5)] * size), *([arb(0)] * len(cells))]
        self.centres = _Tracked(centres, [RATIO * _middle(*piece)[1] for piece in pieces])
        self.cells = _Tracked(list(range(size, size + len(cells))), [_middle(*cell)[1] for cell in cells])
        self.cell_list = cells  # the first is about 0
        self.half_mass = (arb(cut) / arb(2).sqrt()).erf() / 2

    def certificate(self, n_features: int, scale: float, bits: int) -> Certificate:
        g = arb(1)
        growth, laws = [g], [self.moments()]
        for number, heads in enumerate(self.layers, start=1):
            self.layer(heads, number)
            g = g * (1 + sum((arb(gamma) * arb(alpha) for alpha, _, gamma, _ in heads), arb(0)) * g * g)
            growth.append(g)
            laws.append(self.moments())
        separation = [m * m / (v + (n_features - 1) * g * g) for (m, v, _), g in zip(laws, growth, strict=True)]
        columns = [growth, *([row[k] for row in laws] for k in range(3)), separation]
        columns = [tuple(_enclosure(value) for value in column) for column in columns]
        slope, verdict, witness, widths = self.margin(arb(scale))
        widest = max(max(e.width for column in columns for e in column), widths)
        return Certificate(n_features, self.cut, self.reach, bits, *columns, slope, verdict, witness, widest)

    def margin(self, scale):
        """Least margin over a, the verdict, a witness against it, and the width of the widest margin at a cell's
        centre."""
        # About 0 u is odd: u(a) = q a + e(a), where e is of third order and so at most e_l (a / R)^3.
        first = arb(self.cell_list[1][0])  # from there on the other cells answer
        rest = self.cells.el[0] * first**2 / self.cells.radius[0] ** 3
        slopes, witness, width = [_enclosure(2 * scale * (self.cells.q[0] - rest)).low], None, 0.0
        for i, (low, high) in enumerate(self.cell_list[1:], start=1):
            value = 2 * scale * self.u[self.cells.index[i]]
            held = _enclosure(value)
            width = max(width, held.width)
            if held.high < 0 and witness is None:
                witness = ((low + high) / 2, held)
            least = _enclosure(value - 2 * scale * self.cells.reach(i)[1]).low
            slopes.append(_enclosure(arb(least) / arb(high)).low if least > 0 else -math.inf)
        slope = min(slopes)
        verdict = "proved" if slope > 0 else "refuted" if witness is not None else "inconclusive"
        return slope, verdict, witness, width

    def moments(self):
        """Mean and variance of a and mean of u, over the points with a > 0."""
        sums, bounds = [arb(0)] * 3, [arb(0)] * 3
        for x, u, weight in zip(self.x, self.u, self.weights, strict=False):
            for k, f in enumerate((x, x * x, u)):
                sums[k] += weight * f
        for i, error in enumerate(self.sum_error):
            x, u = self.largest(i)
            for k, f in enumerate((x, x * x, u)):
                bounds[k] += error * f
        mean, square, label = (_widen(s, b) / self.half_mass for s, b in zip(sums, bounds, strict=True))
        return mean, square - mean * mean, label

    def largest(self, i: int):
        """Bounds on |A| and |u| in the disc about piece i."""
        x, u = self.centres.reach(i)
        at = self.centres.index[i]
        return _upper(abs(self.x[at]) + x), _upper(abs(self.u[at]) + u)

    def layer(self, heads, number: int) -> None:
        size, readers, pieces = self.size, len(self.x), len(self.pieces)
        tracked = [(group, i) for group in (self.centres, self.cells) for i in range(len(group.index))]
        rows = [group.index[i] for group, i in tracked]
        x, u = self.x, self.u
        largest = [self.largest(i) for i in range(pieces)]
        real = [self.centres.reach(i, 1 / RATIO) for i in range(pieces)]  # on the piece itself
        middle = [(x[at], u[at]) for at in self.centres.index]
        radii = [group.reach(i) for group, i in tracked]
        new_x, new_l = list(x), list(u)
        jacobian = [[arb(1), arb(0), arb(0), arb(1)] for _ in tracked]
        rest = [[arb(0), arb(0)] for _ in tracked]
        moments = arb_mat(size, 6, [w * f for w, a, b in zip(self.weights, x, u, strict=False)
                                    for f in (arb(1), a, b, a * a, a * b, b * b)])  # fmt: skip
        errors = arb_mat(pieces, 6, [2 * e * f for e, (a, b) in zip(self.sum_error, largest, strict=True)
                                     for f in (arb(1), a, b, a * a, a * b, b * b)])  # fmt: skip
        in_piece = [
            w if k == at else 0 for w, at in zip(self.weights, self.piece_of, strict=True) for k in range(pieces)
        ]
        in_piece = arb_mat(size, pieces, in_piece)
        context = arb_mat(2, size, [*x[:size], *u[:size]])
        extent = arb_mat(2, pieces, [pair[k] for k in range(2) for pair in largest])
        position = {row: k for k, row in enumerate(rows)}
        for alpha, beta, gamma, delta in ([arb(value) for value in head] for head in heads):
            for start in range(0, readers, 64):
                block = range(start, min(start + 64, readers))
                left = arb_mat(len(block), 2, [v for i in block for v in (alpha * x[i], 2 * beta * u[i])])
                up = [score.exp() for score in (left * context).entries()]
                plus, minus = arb_mat(len(block), size, up), arb_mat(len(block), size, [1 / e for e in up])
                even, odd = plus + minus, plus - minus
                sums = (even * moments).tolist(), (odd * moments).tolist()
                bound = arb_mat(len(block), 2, [abs(v) for v in left.entries()]) * extent
                bound = arb_mat(len(block), pieces, [score.exp() for score in bound.entries()])
                slack = (bound * errors).tolist()
                masses = None
                for k, i in enumerate(block):
                    total = _widen(sums[0][k][0], slack[k][0])
                    mean_x = _widen(sums[1][k][1], slack[k][1]) / total
                    mean_l = _widen(sums[1][k][2], slack[k][2]) / total
                    new_x[i] += gamma * mean_x
                    new_l[i] += delta * mean_l
                    if i not in position:
                        continue
                    if masses is None:
                        masses = (plus * in_piece).tolist(), (minus * in_piece).tolist()
                    at = position[i]
                    second = [_widen(sums[0][k][j], slack[k][j]) / total for j in (3, 4, 5)]
                    var, cov, var_l = (
                        second[0] - mean_x * mean_x, second[1] - mean_x * mean_l, second[2] - mean_l * mean_l
                    )  # fmt: skip
                    r, s = radii[at]
                    small = [arb(0)] * 3  # bounds on E g, E |X - EX| g and E |u - El| g with g = e^h - 1 - h
                    for side, mass in ((1, masses[0][k]), (-1, masses[1][k])):
                        for j in range(pieces):
                            share = (mass[j] + self.sum_error[j] * bound[k, j]) / total
                            dx = _upper(abs(side * middle[j][0] - mean_x) + real[j][0])
                            dl = _upper(abs(side * middle[j][1] - mean_l) + real[j][1])
                            h = abs(alpha) * dx * r + 2 * abs(beta) * dl * s
                            g = share * (h.expm1() - h)
                            small[0] += g
                            small[1] += g * dx
                            small[2] += g * dl
                    epsilon, kx, kl = (_upper(v) for v in small)
                    if not epsilon < 1:
                        group, which = tracked[at]
                        where = float(x[group.index[which]])
                        raise InconclusiveError(
                            f"layer {number}: about a reader at {where:.3g} the maps are not known to be analytic"
                            f" (bound {float(epsilon):.3g}, must be below 1)"
                        )
                    steps = gamma * alpha * var, 2 * gamma * beta * cov, delta * alpha * cov, 2 * delta * beta * var_l
                    jacobian[at] = [old + step for old, step in zip(jacobian[at], steps, strict=True)]
                    first_x = abs(alpha * var) * r + 2 * abs(beta * cov) * s
                    first_l = abs(alpha * cov) * r + 2 * abs(beta * var_l) * s
                    rest[at][0] += abs(gamma) * (kx + first_x * epsilon) / (1 - epsilon)
                    rest[at][1] += abs(delta) * (kl + first_l * epsilon) / (1 - epsilon)
        for at, (group, i) in enumerate(tracked):
            xx, xl, lx, ll = jacobian[at]
            p, q, ex, el = group.p[i], group.q[i], group.ex[i], group.el[i]
            group.p[i], group.q[i] = xx * p + xl * q, lx * p + ll * q
            group.ex[i] = _upper(abs(xx) * ex + abs(xl) * el + rest[at][0])
            group.el[i] = _upper(abs(lx) * ex + abs(ll) * el + rest[at][1])
        self.x, self.u = new_x, new_l


def _middle(low: float, high: float) -> tuple[arb, arb]:
    """Centre and half-length, exactly."""
    return (arb(low) + arb(high)) / 2, (arb(high) - arb(low)) / 2


def _upper(value: arb) -> arb:
    """The upper end of |value|, without a radius."""
    return arb(value.abs_upper())


def _widen(value: arb, by: arb) -> arb:
    """A ball that holds all numbers no further than `by` from the ball `value`."""
    return value + arb(0, by.abs_upper())


def _enclosure(value: arb) -> Enclosure:
    if not value.is_finite():
        return Enclosure(-math.inf, math.inf)
    low, high = float(value.lower().mid()), float(value.upper().mid())
    for _ in range(2):  # a conversion to float rounds either way
        low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    return Enclosure(low, high)


def _count(centre: float, sum_bits: int) -> int:
    """Nodes of a piece, an odd number: fewer where the normal density makes errors count less."""
    bits = sum_bits + math.log2(math.e) * (-(centre**2) / 2)
    return max(9, 2 * math.ceil(bits / 4) + 1)


# In floats, and trusted for nothing: where pieces and cells should end.


def _plan(layers, cut: float, reach: float, limit: float):
    """Pieces of (0, cut) and cells that cover [0, reach], each from and to, that the bounds are likely to bear.

    The first cell is a disc about 0; the second begins within it, and each other where the one before it ends.
    """
    flow = _float_flow(layers, cut)

    def splits(low, high, good, least):
        done, todo = [], [(low, high)]
        while todo:
            edges = np.array(todo)
            centre, half = edges.mean(1), (edges[:, 1] - edges[:, 0]) / 2
            fine = good(centre, half) | (half <= least)
            done += edges[fine].tolist()
            todo = [part for (a, b) in edges[~fine].tolist() for part in ((a, (a + b) / 2), ((a + b) / 2, b))]
        return sorted(map(tuple, done))

    def analytic(centre, half):
        return _float_discs(layers, flow, centre, 0.5, RATIO * half, limit)[0]

    def positive(centre, half):
        fine, u, q, e = _float_discs(layers, flow, centre, 0.0, half, limit)
        return fine & (u - np.abs(q) * half - e > 0.1 * u)

    pieces = splits(0.0, cut, analytic, 2.0**-7)
    radius = 2.0 ** -np.arange(0, 8)
    fine, _, q, e = _float_discs(layers, flow, 0 * radius, 0.0, radius, limit)
    first = np.where(fine & (q > 0), np.minimum(radius, np.sqrt(np.maximum(q, 0) * radius**3 / (2 * e + 1e-300))), 0)
    best = int(first.argmax()) if first.max() > 0 else len(radius) - 1
    start = min(max(float(np.floor(256 * first[best]) / 256), 2.0**-8), reach / 2, float(radius[best]))
    radius = float(radius[best])
    return pieces, [(-radius, radius), *splits(start, reach, positive, 2.0**-9)]


def _float_flow(layers, cut: float, count: int = 240):
    nodes, weights = np.polynomial.legendre.leggauss(count)
    a = cut * (nodes + 1) / 2
    weights = weights * np.exp(-(a**2) / 2)
    x, u = a, np.full(count, 0.5)
    path = []
    for heads in layers:
        path.append((x, u, weights))
        x, u = _float_means(heads, x, u, path[-1])[:2]
    return path


def _float_tilts(head, x, u, context):
    """Signed points of the context and the attention (readers, 2 N) that readers pay to them."""
    X, L, weights = context
    points, labels = np.concatenate([X, -X]), np.concatenate([L, -L])
    scores = head[0] * np.outer(x, points) + 2 * head[1] * np.outer(u, labels)
    A = np.concatenate([weights, weights]) * np.exp(scores - scores.max(-1, keepdims=True))
    return points, labels, A / A.sum(-1, keepdims=True)


def _float_means(heads, x, u, context):
    move_x, move_l = 0.0, 0.0
    for head in heads:
        points, labels, A = _float_tilts(head, x, u, context)
        move_x, move_l = move_x + head[2] * (A @ points), move_l + head[3] * (A @ labels)
    return x + move_x, u + move_l


def _float_discs(layers, flow, centre, label: float, radius, limit: float):
    """Whether discs about readers stay analytic, their final u, its derivative and what is left of it."""
    x, u = centre, np.full(len(centre), label)
    p, q, ex, el = np.ones_like(x), np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    fine = np.ones(len(x), bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for heads, context in zip(layers, flow, strict=True):
            r, s = np.abs(p) * radius + ex, np.abs(q) * radius + el
            J = [1.0, 0.0, 0.0, 1.0]
            rest_x, rest_l, new_x, new_l = 0.0, 0.0, x, u
            for head in heads:
                alpha, beta, gamma, delta = head
                points, labels, A = _float_tilts(head, x, u, context)
                mx, ml = A @ points, A @ labels
                dx, dl = np.abs(points - mx[:, None]), np.abs(labels - ml[:, None])
                var, cov, var_l = (A * dx**2).sum(1), A @ (points * labels) - mx * ml, (A * dl**2).sum(1)
                h = np.minimum(abs(alpha) * dx * r[:, None] + 2 * abs(beta) * dl * s[:, None], 700)
                g = A * (np.exp(h) - 1 - h)
                epsilon = 1.5 * g.sum(1)
                fine &= epsilon < limit
                J = [J[0] + gamma * alpha * var, J[1] + 2 * gamma * beta * cov,
                     J[2] + delta * alpha * cov, J[3] + 2 * delta * beta * var_l]  # fmt: skip
                room = np.maximum(1 - epsilon, 0.1)
                first_x = np.abs(alpha * var) * r + 2 * np.abs(beta * cov) * s
                first_l = np.abs(alpha * cov) * r + 2 * np.abs(beta * var_l) * s
                rest_x = rest_x + abs(gamma) * (1.5 * (g * dx).sum(1) + first_x * epsilon) / room
                rest_l = rest_l + abs(delta) * (1.5 * (g * dl).sum(1) + first_l * epsilon) / room
                new_x, new_l = new_x + gamma * mx, new_l + delta * ml
            p, q = J[0] * p + J[1] * q, J[2] * p + J[3] * q
            ex, el = (
                np.abs(J[0]) * ex + np.abs(J[1]) * el + rest_x, np.abs(J[2]) * ex + np.abs(J[3]) * el + rest_l
            )  # fmt: skip
            x, u = new_x, new_l
    return fine & np.isfinite(ex) & np.isfinite(el), u, q, el
