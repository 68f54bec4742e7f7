r"""Theorems about one file: the population law of a table for two classes, enclosed by ball arithmetic.

For K = 2 the law of chapter 7 lives on a line: a point is its coordinate `a` along the border's normal and its label
:math:`u = \ell\,(1, -1)`, at first :math:`\ell = \frac12 \mathrm{sign}(a)`, and each layer is a quotient of integrals

.. math:: a \leftarrow a + \sum_h \gamma_h \frac{\int \varphi(a') A(a') \sinh s\, da'}{\int \varphi(a') \cosh s\, da'},
    \qquad s = \alpha_h a A(a') + 2 \beta_h \ell \ell(a')

over :math:`a' \in (0, c)`, with :math:`A, \ell` the maps that the layers before have composed. `certify` encloses all
of it; in code :math:`\ell` is called u. Every number is either a float with a proved bound on how far it is from the
true one (`_Floats`), or a ball of python-flint that holds it (`_Balls`): two programs that share the lemma, the plan
and no arithmetic. Floats take seconds where balls take half an hour, because a bound follows the derivative of a layer,
which may shrink it, and a ball adds up what it is made of. An integral is
a Gauss-Legendre sum on short pieces. The error of the sum is bounded because both maps are analytic in a disc about
each piece, of twice its half-length: how far they may move there is bounded layer by layer from the exact moments at
its centre (chapter 7 has the proof). What floats decide is only where pieces end: a bad choice gives wide balls and
never a wrong one.

Points are normal within `cut` standard deviations, so that no tail is left to be bounded: a sample of n points N(0, I)
is one of that law with probability of at least :math:`1 - 2 n \Phi(-c)`, which for c = 8 is
:math:`1 - 1.3 \cdot 10^{-15} n`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from flint import arb, arb_mat, ctx

from icl_nb.recursion import SCALARS, Recursion

RATIO = 2  # the disc in which a map is known to be analytic, in half-lengths of its piece

EFFORTS = ((0.12, 60), (0.04, 80), (0.012, 100))  # tried in turn: how far discs may go in the plan, and bits of a sum

UNIT = 2.0**-53  # of a float: an operation is off by no more, relatively

UP = 1 + 1e-9  # covers the rounding of a bound that is made of fewer than a million positive numbers


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
        bits: of the ball arithmetic; 53 says that floats with bounds were enough.
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
    recursion: Recursion,
    *,
    n_features: int = 5,
    cut: float = 8.0,
    reach: float = 6.0,
    bits: int = 120,
    floats: bool = True,
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
        bits: precision of the ball arithmetic, at least 53. With 53 there is none.
        floats: whether floats with bounds are tried first, and balls where these do not decide.

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
    tries: list[tuple[type[_Flow], int, tuple[float, int]]] = []
    if floats or bits == 53:
        tries += [(_Floats, 53, (limit, 60)) for limit, _ in EFFORTS]
    if bits > 53:
        tries += [(_Balls, int(bits), effort) for effort in EFFORTS]
    found, refusal = None, InconclusiveError("nothing was tried")
    for engine, precision, effort in tries:
        with ctx.workprec(max(precision, 100)):
            try:
                found = engine(*arguments, *effort).certificate(n_features, scale, precision)
            except InconclusiveError as error:
                refusal = error
                continue
        if found.verdict != "inconclusive":
            break
    if found is None:
        raise refusal
    return found


def theorem(certificate: Certificate, name: str) -> str:
    """What was proved, in words, as `icl-nb certify` prints it.

    Arguments:
        certificate: what `certify` gave.
        name: what the table is called.

    Source: own.

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
    how = f"Ball arithmetic with {c.bits} bits" if c.bits > 53 else "Floats with bounds on their errors"
    return f"{head}\n{law}\n{answer}\n{how}; no enclosure is wider than {width:g}."


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


class _Flow(ABC):
    """What is common to both arithmetics: a plan without gaps, and what follows from the enclosures."""

    def __init__(self, layers, cut: float, reach: float, limit: float, sum_bits: int):
        self.layers, self.cut, self.reached = layers, cut, reach
        pieces, cells = _plan(layers, cut, reach, limit)
        # The plan is trusted for nothing, and so not for covering what it should.
        ends = [0.0, *(high for _, high in pieces)], [cells[0][1], *(high for _, high in cells[1:])]
        whole = all(low == end for (low, _), end in zip(pieces, ends[0], strict=False)) and ends[0][-1] == cut
        whole &= all(low == end for (low, _), end in zip(cells[2:], ends[1][1:], strict=False)) and ends[1][-1] == reach
        if not (whole and -cells[0][0] == cells[0][1] >= cells[1][0] > 0):
            raise AssertionError("pieces or cells leave a gap")
        self.pieces, self.cell_list = pieces, cells  # from and to; floats are exact. The first cell is about 0
        self.half_mass = (arb(cut) / arb(2).sqrt()).erf() / 2

    @abstractmethod
    def layer(self, heads, number: int) -> None:
        """Take all readers through a layer."""

    @abstractmethod
    def moments(self) -> tuple[arb, arb, arb]:
        """Mean and variance of a and mean of u, over the points with a > 0."""

    @abstractmethod
    def answers(self) -> Iterator[tuple[arb, ...]]:
        """Derivative of u at 0, what is left in the disc, its radius; for the other cells u at the centre, and how far
        it may be from that."""

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
        return Certificate(n_features, self.cut, self.reached, bits, *columns, slope, verdict, witness, widest)

    def margin(self, scale):
        """Least margin over a, the verdict, a witness against it, and the width of the widest margin at a cell's
        centre."""
        # About 0 u is odd: u(a) = q a + e(a), where e is of third order and so at most e_l (a / R)^3.
        first = arb(self.cell_list[1][0])  # from there on the other cells answer
        (q, el, radius), *others = self.answers()
        slopes, witness, width = [_enclosure(2 * scale * (q - el * first**2 / radius**3)).low], None, 0.0
        for (low, high), (u, reach) in zip(self.cell_list[1:], others, strict=True):
            value = 2 * scale * u
            held = _enclosure(value)
            width = max(width, held.width)
            if held.high < 0 and witness is None:
                witness = ((low + high) / 2, held)
            least = _enclosure(value - 2 * scale * reach).low
            slopes.append(_enclosure(arb(least) / arb(high)).low if least > 0 else -math.inf)
        slope = min(slopes)
        verdict = "proved" if slope > 0 else "refuted" if witness is not None else "inconclusive"
        return slope, verdict, witness, width


class _Balls(_Flow):
    def __init__(self, layers, cut: float, reach: float, limit: float, sum_bits: int):
        super().__init__(layers, cut, reach, limit, sum_bits)
        pieces, cells = self.pieces, self.cell_list
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

    def answers(self):
        group = self.cells
        yield group.q[0], group.el[0], group.radius[0]
        for i in range(1, len(group.index)):
            yield self.u[group.index[i]], group.reach(i)[1]

    def moments(self):
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


def _exp(s):
    r"""e^s for |s| <= 700, by IEEE additions and products alone: off by no more than 8 units, relatively.

    s = k log 2 + r, :math:`|r| \le 0.35`, is found to a unit, since k times the first part of log 2 is exact; the sum
    of 14 terms is cut off below :math:`10^{-17}` and rounded by less than 6 units.
    """
    k = np.rint(s * 1.4426950408889634)
    r = (s - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    out = np.full_like(r, 1 / math.factorial(13))
    for power in range(12, -1, -1):
        out *= r
        out += 1 / math.factorial(power)
    return out * ((k.astype(np.int64) + 1023) << 52).view(np.float64)


def _rest(h):
    """At least e^h - 1 - h, for h >= 0; from 700 on at least 1e290."""
    return np.where(h < 0.01, h * h / 2 * (1 + h), _exp(np.minimum(h, 700)) - 1 - h * (h < 700)) * UP


class _Floats(_Flow):
    """Floats x, u of the readers, off by dx, du at most. Discs: x(a) = x + p da + e_x, p off by dp, |e_x| <= ex; u(a)
    likewise with q, dq and el.

    What is called a bound is rounded upwards by `UP`. A reader's attended means are found in two passes: any number t
    will do as a first guess, and the mean of what is left of it is small, so that it is known well; errors of weights
    act on distances from t alone.
    """

    def __init__(self, layers, cut: float, reach: float, limit: float, sum_bits: int):
        super().__init__(layers, cut, reach, limit, sum_bits)
        pieces, cells = self.pieces, self.cell_list
        C, P = 2 * math.ceil(sum_bits / 4) + 1, len(pieces)
        self.shape, self.size = (P, C), P * C
        roots = [arb.legendre_p_root(C, k, weight=True) for k in range(C)]
        root_two_pi = (2 * arb.pi()).sqrt()
        nodes, weights, errors = [], [], []
        for low, high in pieces:
            c, h = _middle(low, high)
            nodes += [c if k == C // 2 else c + h * root for k, (root, _) in enumerate(roots)]
            weights += [
                h * weight * (-(a * a) / 2).exp() / root_two_pi
                for a, (_, weight) in zip(nodes[-C:], roots, strict=True)
            ]
            q, R = arb(1) / RATIO, RATIO * h  # as for balls
            density = (R * R / 2 - arb(0).max(c - R) ** 2 / 2).exp() / root_two_pi
            errors.append(4 * h * q ** (2 * C) / (1 - q) * density)
        self.x = np.array([float(v.mid()) for v in (*nodes, *(_middle(*cell)[0] for cell in cells))])
        self.u = np.where(np.arange(len(self.x)) < self.size, 0.5, 0.0)
        self.dx, self.du = 2 * UNIT * np.abs(self.x), np.zeros_like(self.u)
        self.weights = np.array([float(v.mid()) for v in weights])
        self.sum_error = UP * np.array([float(_upper(v)) for v in errors])
        self.rows = np.concatenate([np.arange(P) * C + C // 2, self.size + np.arange(len(cells))])
        half = np.diff(np.array(pieces + cells))[:, 0] / 2
        self.radius = np.where(np.arange(len(half)) < P, RATIO * half, half)
        self.p, self.q = np.ones_like(half), np.zeros_like(half)
        self.dp, self.dq, self.ex, self.el = np.zeros((4, len(half)))

    def reach(self, share: float = 1.0):
        """How far x and u may be from the centre's floats in the discs, or in `share` of them."""
        r = share * self.radius
        x = (np.abs(self.p) + self.dp) * r + self.ex + self.dx[self.rows]
        return x * UP, ((np.abs(self.q) + self.dq) * r + self.el + self.du[self.rows]) * UP

    def largest(self):
        """Bounds on |A| and |u| in the discs about the pieces."""
        centres = self.rows[: self.shape[0]]
        x, u = (found[: self.shape[0]] for found in self.reach())
        return (np.abs(self.x[centres]) + x) * UP, (np.abs(self.u[centres]) + u) * UP

    def total(self, values):
        """Over the nodes, piece by piece, so that few roundings add up."""
        return values.reshape(-1, *self.shape).sum(-1).sum(-1)

    def moments(self):
        n, large = self.size, self.largest()
        found = []
        for values, off, most in (
            (self.x[:n], self.dx[:n], large[0]),
            (self.x[:n] ** 2, (2 * np.abs(self.x[:n]) + self.dx[:n]) * self.dx[:n], large[0] ** 2),
            (self.u[:n], self.du[:n], large[1]),
        ):
            rounding = (sum(self.shape) + 16) * UNIT * (self.weights @ np.abs(values))
            error = UP * (self.weights @ off + self.sum_error @ most + rounding)
            found.append(arb(self.total(self.weights * values).item(), error) / self.half_mass)
        mean, square, label = found
        return mean, square - mean * mean, label

    def answers(self):
        P = self.shape[0]
        ball = arb(self.q[P].item(), UP * self.dq[P].item())
        yield ball, arb(self.el[P].item()), arb(self.radius[P].item())
        reach, at = self.reach()[1], self.rows
        for i in range(P + 1, len(at)):  # du is part of the reach
            yield arb(self.u[at[i]].item()), arb(reach[i].item())

    def layer(self, heads, number: int) -> None:
        x, u, dx, du = self.x, self.u, self.dx, self.du
        moves, sizes, added = np.zeros((2, len(x))), np.abs([x, u]), np.zeros((2, len(x)))
        J = np.zeros((4, len(x)))  # derivatives of x by x, x by u, u by x and u by u
        J[[0, 3]] = 1
        dJ, rest = np.zeros((4, len(self.rows))), np.zeros((2, len(self.rows)))
        disc = np.full(len(x), -1)
        disc[self.rows] = np.arange(len(self.rows))
        for alpha, beta, gamma, delta in heads:
            a, b, c, d = abs(alpha), 2 * abs(beta), abs(gamma), abs(delta)
            for start in range(0, len(x), 64):
                block = slice(start, min(start + 64, len(x)))
                head = _Head(self, alpha, 2 * beta, block, number)
                mean, (var, cov, var_u) = head.mean, head.second
                d_var, d_cov, d_var_u = head.second_off
                moves[:, block] += gamma * mean[0], delta * mean[1]
                sizes[:, block] += c * np.abs(mean[0]), d * np.abs(mean[1])
                J[:, block] += (
                    gamma * alpha * var, 2 * gamma * beta * cov, delta * alpha * cov, 2 * delta * beta * var_u
                )  # fmt: skip
                own = head.own**2 * 4
                added[0, block] += c * (
                    head.off[0] + a * d_var * dx[block] + b * d_cov * du[block] + own * head.most[0]
                )
                added[1, block] += d * (
                    head.off[1] + a * d_cov * dx[block] + b * d_var_u * du[block] + own * head.most[1]
                )
                here = np.flatnonzero(disc[block] >= 0)
                if len(here):
                    i = disc[block][here]
                    off = a * d_var[here], b * d_cov[here], a * d_cov[here], b * d_var_u[here]
                    dJ[:, i] += c * off[0], c * off[1], d * off[2], d * off[3]
                    left = head.in_discs(here, i, x[self.rows[i]], number)
                    rest[:, i] += c * left[0], d * left[1]
        rounding = (len(heads) + 8) * UNIT
        size = np.abs(J) * UP + rounding  # rounding stands for 1 plus what is added to it
        dJ += rounding * size[:, self.rows]
        self.x, self.u = x + moves[0], u + moves[1]
        self.dx = (size[0] * dx + size[1] * du + added[0] + rounding * sizes[0]) * UP
        self.du = (size[2] * dx + size[3] * du + added[1] + rounding * sizes[1]) * UP
        xx, xu, ux, uu = J[:, self.rows]
        most = size[:, self.rows] + dJ
        p, q, dp, dq, ex, el = self.p, self.q, self.dp, self.dq, self.ex, self.el
        self.p, self.q = xx * p + xu * q, ux * p + uu * q
        p, q = np.abs(p), np.abs(q)
        self.dp = (most[0] * dp + most[1] * dq + dJ[0] * p + dJ[1] * q + 4 * UNIT * (most[0] * p + most[1] * q)) * UP
        self.dq = (most[2] * dp + most[3] * dq + dJ[2] * p + dJ[3] * q + 4 * UNIT * (most[2] * p + most[3] * q)) * UP
        self.ex = (most[0] * ex + most[1] * el + rest[0]) * UP
        self.el = (most[2] * ex + most[3] * el + rest[1]) * UP


class _Head:
    """What a block of readers attends to in one head, by floats with bounds. Pairs are of points and labels.

    Attributes:
        mean: of points and labels, as floats; `off` bounds how far they are from the true ones for a reader that is
            exactly where its float is.
        second: variance of points, covariance, variance of labels; `second_off` bounds their errors for a reader that
            is where it truly is.
        own: at least twice what the reader's own error changes a score by, less its mean.
        most: at least the distance of any point from the mean.

    Raises:
        InconclusiveError: scores are too large for floats, or the readers' errors for the bounds.
    """

    def __init__(self, flow: _Floats, alpha: float, beta: float, block: slice, number: int):
        n, (P, C) = flow.size, flow.shape
        X, U, PX, PU = flow.x[:n], flow.u[:n], flow.dx[:n], flow.du[:n]
        self.flow, self.a, self.b = flow, abs(alpha), abs(beta)
        large = flow.largest()
        ax, bu = alpha * flow.x[block, None], beta * flow.u[block, None]
        scores = (np.abs(ax[:, 0]) * large[0].max() + np.abs(bu[:, 0]) * large[1].max()) * UP
        if not scores.max() < 600:
            raise InconclusiveError(f"layer {number}: scores may reach {scores.max():.3g}, floats bear 600")
        growing = _exp(ax * X + bu * U)
        plus, minus = flow.weights * growing, flow.weights / growing
        self.sides = plus, minus
        even, odd = plus + minus, plus - minus
        mass = flow.total(even)
        least = mass * (1 - 1e-9)
        self.mean = np.stack([flow.total(odd * X), flow.total(odd * U)]) / mass
        (xp, xm), (up, um) = ((V - t[:, None], -V - t[:, None]) for V, t in zip((X, U), self.mean, strict=True))
        xa, ua = (plus * np.abs(vp) + minus * np.abs(vm) for vp, vm in ((xp, xm), (up, um)))
        left = np.abs([flow.total(plus * xp + minus * xm), flow.total(plus * up + minus * um)]) / least
        self.second = (
            np.stack([
                flow.total(plus * xp * xp + minus * xm * xm),
                flow.total(plus * xp * up + minus * xm * um),
                flow.total(plus * up * up + minus * um * um),
            ])
            / mass
        )  # fmt: skip
        most = np.stack([large[0].max() + np.abs(self.mean[0]), large[1].max() + np.abs(self.mean[1])]) * UP
        first = np.stack([flow.total(xa), flow.total(ua)]) / least  # means of |x - t| and |u - t|
        # What errors of weights do: eta bounds the change of a weight's logarithm.
        dx, du = flow.dx[block], flow.du[block]
        points, labels = self.a * (np.abs(flow.x[block]) + dx), self.b * (np.abs(flow.u[block]) + du)
        rounding = (4 * scores + 24) * UNIT
        worst = rounding + points * PX.max() + labels * PU.max()
        self.own = 2 * (self.a * most[0] * dx + self.b * most[1] * du) * UP
        if not max(worst.max(), self.own.max()) < 0.5:
            drift = max(worst.max(), self.own.max())
            raise InconclusiveError(f"layer {number}: floats have drifted too far, some weight by {drift:.2g}")
        self.factor = _exp(worst) * UP  # at least (e^eta - 1) / eta, and e^eta
        moved = np.stack([even @ PX, even @ PU]) / least
        changed = rounding * first + np.stack([
            (points * (value @ PX) + labels * (value @ PU)) / least for value in (xa, ua)
        ])  # fmt: skip
        masses = self.factor * (rounding + points * moved[0] + labels * moved[1])
        # What the sums leave out.
        self.outside = 2 * flow.sum_error * _exp((np.abs(ax) * large[0] + np.abs(bu) * large[1]) * UP)
        lost = self.outside.sum(1) / least
        lost_means = np.stack([
            (self.outside * (top + np.abs(t)[:, None])).sum(1) / least for top, t in zip(large, self.mean, strict=True)
        ])  # fmt: skip
        room = (1 - (masses + lost) * UP) / UP
        if not room.min() > 0.5:
            raise InconclusiveError(
                f"layer {number}: the mass that a reader attends to is known to {1 - room.min():.2g}"
            )
        adding = (P + C + 16) * UNIT
        numerator = self.factor * (changed + moved) + lost_means + adding * (first + UNIT * most)
        self.off = (left + numerator + 2 * UNIT * most) / room * UP
        self.most, self.mass = most, least * room
        # Second moments may be off by what numerators, denominators and the reader's own error make of them.
        wrong = numerator + (masses + lost + adding) * first + self.off + 4 * UNIT * most
        wrong = 4 * (wrong / room + 2 * self.own * most) * UP
        self.second_off = np.stack([most[0] * wrong[0], most[0] * wrong[1] + most[1] * wrong[0], most[1] * wrong[1]])

    def in_discs(self, here, discs, places, number: int):
        """Bounds on what the lemma leaves of the means over the discs of readers `here`, in this head.

        Raises:
            InconclusiveError: the lemma does not hold in a disc.
        """
        flow, P = self.flow, self.flow.shape[0]
        r, s = (found[discs, None] for found in flow.reach())
        real_x, real_u = (found[:P] for found in flow.reach(1 / RATIO))
        t_x, t_u = self.mean[:, here, None]
        far = (self.off + 2 * self.own * self.most)[:, here, None]
        centre_x, centre_u = flow.x[flow.rows[:P]], flow.u[flow.rows[:P]]
        certain = (self.factor * _exp(self.own))[here, None] * UP
        small = np.zeros((3, len(here)))  # bounds on E g, E |X - EX| g and E |u - Eu| g with g = e^h - 1 - h
        for side, weights in zip((1, -1), self.sides, strict=True):
            share = weights[here].reshape(-1, *flow.shape).sum(-1)
            share = certain * (share + self.outside[here]) / self.mass[here, None]
            to_x = np.abs(side * centre_x - t_x) + real_x + far[0]
            to_u = np.abs(side * centre_u - t_u) + real_u + far[1]
            g = share * _rest((self.a * to_x * r + self.b * to_u * s) * UP)
            small += g.sum(1), (g * to_x).sum(1), (g * to_u).sum(1)
        epsilon, kx, ku = small * UP
        if not epsilon.max() < 1:
            raise InconclusiveError(
                f"layer {number}: about a reader at {places[epsilon.argmax()]:.3g} the maps are not known to be"
                f" analytic (bound {epsilon.max():.3g}, must be below 1)"
            )
        var, cov, var_u = np.abs(self.second[:, here]) + self.second_off[:, here]
        first_x = (self.a * var * r[:, 0] + self.b * cov * s[:, 0]) * UP
        first_u = (self.a * cov * r[:, 0] + self.b * var_u * s[:, 0]) * UP
        room = (1 - epsilon) / UP
        return (kx + first_x * epsilon) / room * UP, (ku + first_u * epsilon) / room * UP


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
