"""What can be known at best: the Bayes predictor of a task, and the classical classifiers beside it.

Letters as in `tasks`, and R runs: the Markov chains of all tasks side by side, run `c * B + b` being chain c of task b.
"""

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from scipy.special import erfc, erfcinv
from torch import Tensor

from icl_nb.checks import check_count, check_seed
from icl_nb.tasks.batch import UNLABELLED, Batch

Array = np.ndarray

SEGMENTS = 6  # stretches a chain is cut into; the spread of their means gives its error


R_HAT_LIMIT = 1.1  # a task whose chains disagree by more has not converged


FLOOR = 1e-12  # least lead of a label at a sampled W, points scaled to 1: far above rounding, far below any cone met


SEEK_SWEEPS = 60  # sweeps that look for a first W; linear programs settle what they leave (under 2 % of runs at n=40)


GRID = 2**16  # draws are rounded to 1/GRID: else rounding errors grow until each kind of processor has its own chain


CHUNK = 2**15  # context points times runs that are worked on together, so that they stay in a core's cache


REFRESH = 4  # one sweep in so many draws at random; the others mirror, and only carry on what the draws began


@dataclass(frozen=True)
class Posterior:
    """What the sampler found, and how well.

    Arguments:
        probs: posterior predictive probabilities, `(B, K)` for one query per task and `(B, q, K)` for more.
        standard_error: Monte-Carlo standard error of each of them, from the segments of all chains; same shape.
        r_hat: split R-hat of the class indicators of all queries of a task, `(B,)`: 1 where chains agree, `inf` where
            each is stuck.
    """

    probs: Tensor
    standard_error: Tensor
    r_hat: Tensor


def bayes_predict(batch: Batch, *, sweeps: int = 180, burn_in: int = 60, chains: int = 2, seed: int = 0) -> Tensor:
    """Posterior predictive probabilities alone, `(B, K)` or `(B, q, K)`; see `bayes_posterior`.

    Warns:
        RuntimeWarning: R-hat exceeds 1.1 on more than 2 % of the tasks.

    Arguments:
        batch: as in `bayes_posterior`.
        sweeps: as in `bayes_posterior`.
        burn_in: as in `bayes_posterior`.
        chains: as in `bayes_posterior`.
        seed: as in `bayes_posterior`.

    Raises:
        ValueError: as `bayes_posterior`.

    Example:
        >>> from icl_nb.tasks.linear import LinearTask
        >>> batch = LinearTask(n_points=40, n_features=5, n_classes=3).sample(8, seed=0, n_queries=30)
        >>> probs = bayes_predict(batch)
        >>> probs.shape, bool(((probs.argmax(-1) == batch.query_y).float().mean() > 0.85))
        (torch.Size([8, 30, 3]), True)
    """
    posterior = bayes_posterior(batch, sweeps=sweeps, burn_in=burn_in, chains=chains, seed=seed)
    failed = posterior.r_hat > R_HAT_LIMIT
    if failed.double().mean() > 0.02:
        warnings.warn(
            f"R-hat exceeds {R_HAT_LIMIT} on {int(failed.sum())} of {len(batch)} tasks "
            f"(largest {posterior.r_hat.max():.2f}): "
            f"the chains have not converged in burn_in={burn_in}, sweeps={sweeps}; raise both",
            RuntimeWarning,
            stacklevel=2,
        )
    return posterior.probs


def bayes_posterior(batch: Batch, *, sweeps: int = 180, burn_in: int = 60, chains: int = 2, seed: int = 0) -> Posterior:
    r"""The optimal predictor of a task: Gibbs sampling of the version-space cone.

    .. math:: p(y_* = c) = P(\arg\max_k \langle w_k, x_* \rangle = c \mid \arg\max_k \langle w_k, x_j \rangle = y_j
        \; \forall j), \quad w_1, \dots, w_K \sim N(0, I_d)

    Neither `batch.w` nor the labels of the queries are read. With label noise eta the conditions hold for an unknown
    part of the points, see `sample_w`. The work is done in float64, by NumPy; the results lie where `batch.x` does.

    Arguments:
        batch: the tasks.
        sweeps: sweeps over all K d coordinates that are kept, per chain. The standard error falls as 1/sqrt(sweeps): at
            n=40, d=5, K=3 it is 0.013 for 180 (root mean square), and 0.028 with a tenth of the labels wrong; there the
            chains need 900 and a burn-in of 225 to agree on all but 0.3 % of the tasks.
        burn_in: sweeps that are dropped first.
        chains: independent chains per task, started apart from each other.
        seed: of the chains; the same seed gives the same result.

    Raises:
        ValueError: labels that no linear classifier gives although `batch.noise` is 0, noise at which labels tell
            nothing or the contrary (eta >= (K - 1)/K), or counts too small (sweeps < 6).

    Source: truncated Gaussians by Gibbs sampling, Geweke (1991); split R-hat, Gelman et al. (2013), section 11.4.

    Example:
        >>> from icl_nb.tasks.linear import LinearTask
        >>> batch = LinearTask(n_points=10, n_features=2, n_classes=3).sample(4, seed=0)
        >>> posterior = bayes_posterior(batch, sweeps=100)
        >>> posterior.probs.shape, posterior.r_hat.shape, bool(posterior.standard_error.max() < 0.2)
        (torch.Size([4, 3]), torch.Size([4]), True)
    """
    check_count("sweeps", sweeps, SEGMENTS)
    check_count("burn_in", burn_in, 0)
    check_count("chains", chains, 1)
    most = (batch.n_classes - 1) / batch.n_classes
    if batch.noise >= most:
        raise ValueError(
            f"noise={batch.noise} leaves nothing to learn from {batch.n_classes} classes; it must lie below {most:.4g}"
        )
    random = np.random.default_rng(check_seed(seed))
    size = max(1, CHUNK // (chains * batch.context_y.shape[1]))
    means = [
        _segment_means(batch, start, size, sweeps, burn_in, chains, random) for start in range(0, len(batch), size)
    ]
    means = torch.from_numpy(np.concatenate(means, axis=2)).to(batch.x.device)  # (chains, SEGMENTS, B, q, K)
    error = means.flatten(0, 1).std(0) / (chains * SEGMENTS) ** 0.5
    query = 0 if batch.n_queries == 1 else slice(None)
    results = means.mean((0, 1))[:, query], error[:, query], split_r_hat(means, sweeps)
    return Posterior(*(result.to(batch.x.dtype) for result in results))


def split_r_hat(means: Tensor, sweeps: int) -> Tensor:
    r"""Split R-hat of class indicators, the variances of all queries and classes of a task added up.

    .. math:: \hat R^2 = \frac{L - 1}{L}
        + \frac{\sum \mathrm{Var}(\bar p)}{\sum \mathrm{E}[\bar p (1 - \bar p)] \, L / (L - 1)}

    over half chains of length L with means p. The sum over queries and classes keeps rare classes from raising alarms.

    Arguments:
        means: share of each class in each segment of each chain, `(chains, segments, B, q, K)`, segments even.
        sweeps: length of a chain.

    Source: Gelman et al., Bayesian Data Analysis (3rd ed.), 11.4; the sum over classes is own.

    Example:
        >>> means = torch.full((2, 4, 1, 1, 2), 0.5, dtype=torch.float64)
        >>> split_r_hat(means, 100)  # chains that agree to the last digit
        tensor([1.], dtype=torch.float64)
    """
    length = sweeps / 2
    halves = means.unflatten(1, (2, -1)).mean(2).flatten(0, 1)
    within = (halves * (1 - halves)).mean(0).sum((-2, -1)) * length / (length - 1)
    between = halves.var(0).sum((-2, -1))
    return torch.where(between == 0, 1.0, ((length - 1) / length + between / within).sqrt())


def _segment_means(
    batch: Batch, start: int, size: int, sweeps: int, burn_in: int, chains: int, random: np.random.Generator
) -> Array:
    """Share of each class in each segment of the chains from task `start` on, (chains, SEGMENTS, tasks, q, K).

    Raises:
        ValueError: without noise, labels that no linear classifier without intercept gives.
    """
    part = batch[start : start + size]
    x, queries = (
        np.tile(points.double().cpu().numpy().transpose(2, 1, 0), chains) for points in (part.context_x, part.query_x)
    )
    labels = np.tile(part.context_y.cpu().numpy().T, chains)
    w = sample_w(x, labels, part.n_classes, part.noise, burn_in, random)
    counts = np.zeros((SEGMENTS, part.n_classes, *queries.shape[1:]))
    scores = np.empty_like(counts[0])
    try:
        for sweep in range(sweeps):
            _scores(next(w), queries, out=scores)
            counts[sweep * SEGMENTS // sweeps] += scores == scores.max(0)
    except InseparableError as error:
        raise ValueError(
            f"the labels of task {start + error.args[0] % len(part)} are not those of any linear classifier "
            "without intercept; if labels may be wrong, give the batch their noise"
        ) from None
    means = counts / counts.sum(1, keepdims=True)  # a tie between classes, as at a query of zeros, is shared out
    return means.reshape(*means.shape[:-1], chains, -1).transpose(3, 0, 4, 2, 1)


class InseparableError(Exception):
    """Carries the number of a run whose constraints no W meets."""


def sample_w(
    x: Array, y: Array, n_classes: int, noise: float, burn_in: int, random: np.random.Generator
) -> Iterator[Array]:
    r"""Class vectors from the posterior of R runs, `(K, d, R)` after every sweep; the same array each time.

    .. math:: w_{kf} \mid \text{rest} \sim N(0, 1) \text{ on }
        w_{kf} - \Big( \frac{1}{\max_j r_j}, \frac{1}{\min_j r_j} \Big), \quad r_j = x_{jf} / g_j

    where g_j is the score of class k at point j less the score at which the point would change sides. A bound whose
    extremum has the wrong sign is absent. Every fourth sweep draws from this law; in the others a coordinate goes to
    the mirrored quantile of its law, see `mirrored_normal`, which leaves the posterior as it is and forgets two to
    three times as fast.

    Label noise: with probability 1 - K eta/(K-1) a label is the right one, or else it is any of the K. Which it was is
    sampled too: a point whose label is right under W is released for the moment with probability
    eta / ((K-1)(1-eta)), a point whose label is wrong always, and the others are constraints. During the first half of
    the burn-in the first probability falls from 1, so that no chain locks on to its first errors; there every sweep
    draws.

    Arguments:
        x: context points, `(d, n, R)`, float64.
        y: their labels, `(n, R)`; -1 binds nothing.
        n_classes: K
        noise: eta. At 0 every point binds, and the first sample already meets all constraints.
        burn_in: sweeps that are dropped first.
        random: where the random numbers come from.

    Raises:
        InseparableError: with the number of a run whose constraints no W meets, if noise is 0.

    Source: own; Gibbs sampling of truncated normals is that of Geweke (1991), overrelaxation at the quantile of Neal
    (1998).

    Example:
        >>> x, y = np.array([[1.0, -1.0]])[..., None], np.array([[0], [1]])
        >>> w = next(sample_w(x, y, 2, 0.0, 1, np.random.default_rng(0)))
        >>> w.shape, bool(w[0, 0, 0] > w[1, 0, 0])  # the first class lies on the right
        ((2, 1, 1), True)
    """
    x, own, binding = _constraints(x, y, n_classes)
    w = random.standard_normal((n_classes, len(x), x.shape[-1]))
    if noise == 0:
        _enter_cone(w, x, own, binding, *random.spawn(1))
    scores = _scores(w, x)
    release = noise / ((n_classes - 1) * (1 - noise))
    for sweep in itertools.count():
        warmth = min(1, (sweep + 1) / (0.5 * burn_in)) if burn_in else 1
        mirror = warmth == 1 and sweep % REFRESH > 0
        if not mirror:
            _scores(w, x, out=scores)  # afresh, before rounding errors add up
        _sweep(w, scores, x, own, random, release=release**warmth, mirror=mirror)
        if sweep >= burn_in:
            yield w


def _constraints(x: Array, y: Array, n_classes: int) -> tuple[Array, Array, Array]:
    """Points (d, n, R) scaled to 1, class indicators (K, n, R) of their labels, and which of them bind (n, R)."""
    binding = (y != UNLABELLED) & (x != 0).any(0)
    # The side a point is on does not depend on its length; a point at the origin, of whatever label, binds nothing.
    x = np.where(binding, x, 0.0) / np.where(binding, np.abs(x).max(0), 1.0)
    own = np.where(binding, y, 0) == np.arange(n_classes)[:, None, None]
    return x, own.astype(float), binding


@np.errstate(divide="ignore")  # a point on its threshold binds at once: 1 / inf is 0
def _sweep(
    w: Array,
    scores: Array,
    x: Array,
    own: Array,
    random: np.random.Generator,
    release: float = 0.0,
    floor: Array | float = FLOOR,
    mirror: bool = False,
    runs: tuple[tuple[int, ...], Array] | None = None,
) -> None:
    """Move each coordinate of w once, in place, and with it the scores; `floor` is the least lead of a label.

    Where w holds some runs alone, `runs` is the shape of all and which these are: each has the random numbers that it
    would have beside the others. `own` is 1 where the label is class k, else 0. Products choose by it exactly, and
    several times as fast as `where`, whose branch the processor mispredicts.
    """
    uniform = None if mirror else random.random(w.shape) if runs is None else random.random(runs[0])[..., runs[1]]
    bounds = np.empty((2, w.shape[-1]))
    rival, threshold, side, gap, part = np.empty((5, *x.shape[1:]))
    ratio = rival  # which is no longer needed then
    label_score = np.einsum("knr,knr->nr", scores, own)
    for k, (mine, score) in enumerate(zip(own, scores, strict=True)):
        first, *others = (*scores[:k], *scores[k + 1 :])
        np.copyto(rival, first)
        for other in others:
            np.maximum(rival, other, out=rival)
        # The point's side of its threshold: above the best rival if it is of class k, below its own class if not.
        np.subtract(1, mine, out=side)
        label_score *= side
        np.add(label_score, np.multiply(rival, mine, out=part), out=threshold)
        np.subtract(mine, side, out=side)
        np.subtract(score, threshold, out=gap)
        gap *= side  # by how much the point is on its side
        if release:
            # A label that is wrong, or released, binds nothing: its threshold lies as good as infinitely far.
            gap *= threshold >= rival
            gap *= random.random(gap.shape, dtype=np.float32) >= release
            gap += np.multiply(gap <= 0, 1e300, out=part)
        else:
            gap -= floor
            np.maximum(gap, 1e-15, out=gap)  # rounding may have taken a point across, and would hold it there
        gap *= side
        for f, values in enumerate(x):
            old = w[k, f]
            np.divide(values, gap, out=ratio)
            np.maximum.reduce(ratio, 0, out=bounds[0], initial=1e-300)
            np.minimum.reduce(ratio, 0, out=bounds[1], initial=-1e-300)
            np.divide(-1.0, bounds, out=bounds)
            bounds += old
            new = mirrored_normal(bounds, old) if uniform is None else truncated_normal(bounds, uniform[k, f])
            snapped = np.rint(new * GRID) / GRID
            np.copyto(new, snapped, where=(snapped > bounds[0]) & (snapped < bounds[1]))
            np.multiply(values, new - old, out=part)
            gap += part
            score += part
            w[k, f] = new
        label_score += np.multiply(score, mine, out=part)


def _scores(w: Array, x: Array, out: Array | None = None) -> Array:
    """Scores (K, n, R) of points x (d, n, R), feature by feature: all products at once would overflow the caches."""
    out = np.empty((len(w), *x.shape[1:])) if out is None else out
    product = np.empty_like(out[0])
    for vector, score in zip(w, out, strict=True):
        np.multiply(x[0], vector[0], out=score)
        for values, weight in zip(x[1:], vector[1:], strict=True):
            score += np.multiply(values, weight, out=product)
    return out


def truncated_normal(bounds: Array, uniform: Array) -> Array:
    r"""Standard normal draws between `bounds` (lower, upper) by inversion, from uniform draws.

    .. math:: \Phi^{-1} \big( \Phi(a) + u \, (\Phi(b) - \Phi(a)) \big)

    An interval on the left is turned to the right: only in that tail does erfc keep its digits. Where even these end,
    beyond 37 standard deviations, the draw is the end nearest to 0.

    Arguments:
        bounds: lower and upper, `(2, *)`.
        uniform: draws from (0, 1), `(*)`.

    Source: textbook.

    Example:
        >>> truncated_normal(np.array([[0.0], [np.inf]]), np.array([0.5])).round(4)  # the median of |N(0, 1)|
        array([0.6745])
    """
    side = _side(bounds)
    near, far = erfc(bounds / side)
    return _at_tail(near + uniform * (far - near), side, bounds)


def mirrored_normal(bounds: Array, old: Array) -> Array:
    r"""The other value of a standard normal between `bounds` whose quantile is as far from the median as that of `old`.

    .. math:: \Phi^{-1} \big( \Phi(a) + \Phi(b) - \Phi(w) \big)

    A step of a chain that leaves the truncated normal as it is, and is its own inverse: where coordinates hold each
    other back, small random steps become long ones that go on in their direction.

    Arguments:
        bounds: lower and upper, `(2, *)`.
        old: values between them, `(*)`.

    Source: Neal, Suppressing random walks in Markov chain Monte Carlo using ordered overrelaxation (1998), section 5.

    Example:
        >>> there = mirrored_normal(np.array([[0.0], [np.inf]]), np.array([0.1]))
        >>> mirrored_normal(np.array([[0.0], [np.inf]]), there).round(4)  # and back
        array([0.1])
    """
    side = _side(bounds)
    near, far = erfc(bounds / side)
    return _at_tail(near + far - erfc(old / side), side, bounds)


def _side(bounds: Array) -> Array:
    """sqrt 2 with the sign that turns the interval to the right, where erfc(w / side) keeps its digits."""
    return np.where(bounds[0] > -bounds[1], 2**0.5, -(2**0.5))


def _at_tail(tail: Array, side: Array, bounds: Array) -> Array:
    """The w between bounds at which erfc(w / side) is `tail`, which rounding may have taken below 0."""
    w = erfcinv(np.maximum(tail, 1e-300)) * side
    return np.minimum(np.maximum(w, bounds[0]), bounds[1])


def _enter_cone(w: Array, x: Array, own: Array, binding: Array, random: np.random.Generator) -> None:
    """Move w, in place, to where every label leads.

    Sweeps that may not deepen the worst violation come first, then linear programs for the runs that are left. Starting
    from draws of the prior keeps the chains of a task apart, as R-hat needs. Rounding can decide when a run is there,
    for its worst point lies on its bound: so no run's random numbers depend on what became of another.

    Raises:
        InseparableError: with the number of a run whose constraints no W meets.
    """
    boxes = random.uniform(0.2, 1, w.shape)
    left = np.arange(w.shape[-1])  # runs outside their cone, of which alone copies are worked on
    part, points, labels, binds = w.copy(), x, own, binding
    for sweep in range(SEEK_SWEEPS + 1):
        scores = _scores(part, points)
        lead = (scores * labels).sum(0) - (scores - 1e300 * labels).max(0)
        worst = np.where(binds, lead, np.inf).min(0)
        out = worst < FLOOR / 2  # a point that was held at FLOOR lies there but for rounding
        w[..., left] = part
        left, part, scores, points, labels, binds, worst = (
            array[..., out] for array in (left, part, scores, points, labels, binds, worst)
        )
        if not len(left):
            return
        if sweep < SEEK_SWEEPS:
            _sweep(part, scores, points, labels, random, floor=worst, runs=(w.shape, left))
    for run in left:
        keep = binding[:, run]
        found = _solve_cone(x[:, keep, run].T, own[:, keep, run].T > 0, boxes[..., run].ravel())
        if found is None:
            raise InseparableError(int(run))
        w[:, :, run] = found


def _solve_cone(x: Array, own: Array, box: Array) -> Array | None:
    """W (K, d) of the length a normal draw has, in the cone of points x (n, d) and label indicators (n, K), or None.

    Maximises the least lead of the labels inside a box (K d,), a different point of the cone for each.
    """
    point, rival = np.nonzero(~own)
    leads = (own[point].astype(float) - np.eye(own.shape[1])[rival])[:, :, None] * x[point][:, None]  # (n (K-1), K, d)
    constraints = np.column_stack([-leads.reshape(len(point), -1), np.ones(len(point))])
    objective = np.append(np.zeros(constraints.shape[1] - 1), -1)
    bounds = [*((-b, b) for b in box), (0, None)]
    options = {"primal_feasibility_tolerance": 1e-10}
    solution = linprog(objective, constraints, np.zeros(len(point)), bounds=bounds, method="highs", options=options)
    w = solution.x[:-1].reshape(leads.shape[1:])
    w = w - w.mean(0)
    w *= w.size**0.5 / max(np.linalg.norm(w), 1e-300)
    return w if (leads * w).sum((1, 2)).min() > FLOOR else None
