"""What can be known at best: the Bayes predictor of a task, and the classical classifiers beside it.

Letters as in `tasks`, and R runs: the Markov chains of all tasks side by side, run `c * B + b` being chain c of task b.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from icl_nb.checks import check_count, check_seed
from icl_nb.tasks.batch import UNLABELLED, Batch

SEGMENTS = 6  # stretches a chain is cut into; the spread of their means gives its error


R_HAT_LIMIT = 1.1  # a task whose chains disagree by more has not converged


FLOOR = 1e-12  # least lead of a label at a sampled W, points scaled to 1: far above rounding, far below any cone met


SEEK_SWEEPS = 60  # sweeps that look for a first W; linear programs settle what they leave (under 2 % of runs at n=40)


GRID = 2**16  # draws are rounded to 1/GRID: else rounding errors grow until each kind of processor has its own chain


CHUNK = 2**16  # context points times runs that are worked on together, so that they stay in a core's cache


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


def bayes_predict(batch: Batch, *, sweeps: int = 400, burn_in: int = 100, chains: int = 2, seed: int = 0) -> Tensor:
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


def bayes_posterior(
    batch: Batch, *, sweeps: int = 400, burn_in: int = 100, chains: int = 2, seed: int = 0
) -> Posterior:
    r"""The optimal predictor of a task: Gibbs sampling of the version-space cone.

    .. math:: p(y_* = c) = P(\arg\max_k \langle w_k, x_* \rangle = c \mid \arg\max_k \langle w_k, x_j \rangle = y_j
        \; \forall j), \quad w_1, \dots, w_K \sim N(0, I_d)

    Neither `batch.w` nor the labels of the queries are read. With label noise eta the conditions hold for an unknown
    part of the points, see `sample_w`. The work is done in float64 where `batch.x` lies.

    Arguments:
        batch: the tasks.
        sweeps: sweeps over all K d coordinates that are kept, per chain. The standard error falls as 1/sqrt(sweeps): at
            n=40, d=5, K=3 it is 0.014 for 400 (root mean square), and 0.025 with a tenth of the labels wrong; there the
            chains need 1,600 and a burn-in of 400 to agree on all but 0.3 % of the tasks.
        burn_in: sweeps that are dropped first.
        chains: independent chains per task, started apart from each other.
        seed: of the chains; the same seed gives the same result on the same device.

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
    generator = torch.Generator(device=batch.x.device).manual_seed(check_seed(seed))
    size = max(1, CHUNK // (chains * batch.context_y.shape[1]))
    means = [
        _segment_means(batch, start, size, sweeps, burn_in, chains, generator) for start in range(0, len(batch), size)
    ]
    means = torch.cat(means, dim=2)  # (chains, SEGMENTS, B, q, K)
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
    batch: Batch, start: int, size: int, sweeps: int, burn_in: int, chains: int, generator: torch.Generator
) -> Tensor:
    """Share of each class in each segment of the chains from task `start` on, (chains, SEGMENTS, tasks, q, K).

    Raises:
        ValueError: without noise, labels that no linear classifier without intercept gives.
    """
    part = batch[start : start + size]
    x, queries = (points.double().permute(2, 1, 0).repeat(1, 1, chains) for points in (part.context_x, part.query_x))
    w = sample_w(x, part.context_y.T.repeat(1, chains), part.n_classes, part.noise, burn_in, generator)
    counts = queries.new_zeros(SEGMENTS, part.n_classes, *queries.shape[1:])
    scores, best = torch.empty_like(counts[0]), torch.empty_like(counts[0, 0])
    try:
        for sweep in range(sweeps):
            _scores(next(w), queries, out=scores)
            torch.amax(scores, 0, out=best)
            counts[sweep * SEGMENTS // sweeps] += scores.eq_(best)
    except InseparableError as error:
        raise ValueError(
            f"the labels of task {start + error.args[0] % len(part)} are not those of any linear classifier "
            "without intercept; if labels may be wrong, give the batch their noise"
        ) from None
    means = counts / counts.sum(1, keepdim=True)  # a tie between classes, as at a query of zeros, is shared out
    return means.unflatten(-1, (chains, -1)).permute(3, 0, 4, 2, 1)


class InseparableError(Exception):
    """Carries the number of a run whose constraints no W meets."""


def sample_w(
    x: Tensor, y: Tensor, n_classes: int, noise: float, burn_in: int, generator: torch.Generator
) -> Iterator[Tensor]:
    r"""Class vectors from the posterior of R runs, `(K, d, R)` after every sweep; the same tensor each time.

    .. math:: w_{kf} \mid \text{rest} \sim N(0, 1) \text{ on }
        w_{kf} - \Big( \frac{1}{\max_j r_j}, \frac{1}{\min_j r_j} \Big), \quad r_j = x_{jf} / g_j

    where g_j is the score of class k at point j less the score at which the point would change sides. A bound whose
    extremum has the wrong sign is absent.

    Label noise: with probability 1 - K eta/(K-1) a label is the right one, or else it is any of the K. Which it was is
    sampled too: a point whose label is right under W is released for the moment with probability
    eta / ((K-1)(1-eta)), a point whose label is wrong always, and the others are constraints. During the first half of
    the burn-in the first probability falls from 1, so that no chain locks on to its first errors.

    Arguments:
        x: context points, `(d, n, R)`, float64.
        y: their labels, `(n, R)`; -1 binds nothing.
        n_classes: K
        noise: eta. At 0 every point binds, and the first sample already meets all constraints.
        burn_in: sweeps that are dropped first.
        generator: where the random numbers come from, on the device of x.

    Raises:
        InseparableError: with the number of a run whose constraints no W meets, if noise is 0.

    Source: own; Gibbs sampling of truncated normals is that of Geweke (1991).

    Example:
        >>> x, y = torch.tensor([[1.0, -1.0]], dtype=torch.float64)[..., None], torch.tensor([[0], [1]])
        >>> w = next(sample_w(x, y, 2, 0.0, 1, torch.Generator().manual_seed(0)))
        >>> w.shape, bool(w[0, 0, 0] > w[1, 0, 0])  # the first class lies on the right
        (torch.Size([2, 1, 1]), True)
    """
    x, own, binding = _constraints(x, y, n_classes)
    w = torch.randn(n_classes, len(x), x.shape[-1], dtype=x.dtype, device=x.device, generator=generator)
    scores = _scores(w, x)
    room = x.new_empty(5, *x.shape[1:])
    if noise == 0:
        _enter_cone(w, scores, x, binding, own, room, generator)
    release = noise / ((n_classes - 1) * (1 - noise))
    for sweep in range(burn_in):
        warmth = min(1, (sweep + 1) / (0.5 * burn_in))
        _sweep(w, scores, x, own, room, generator, release=release**warmth)
    while True:
        _sweep(w, scores, x, own, room, generator, release=release)
        yield w


def _constraints(x: Tensor, y: Tensor, n_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points (d, n, R) scaled to 1, class indicators (K, n, R) of their labels, and which of them bind (n, R)."""
    binding = (y != UNLABELLED) & (x != 0).any(0)
    # The side a point is on does not depend on its length; a point at the origin, of whatever label, binds nothing.
    x = torch.where(binding, x, 0.0) / torch.where(binding, x.abs().amax(0), 1.0)
    own = torch.where(binding, y, 0) == torch.arange(n_classes, device=y.device)[:, None, None]
    return x, own.to(x.dtype), binding


def _sweep(
    w: Tensor,
    scores: Tensor,
    x: Tensor,
    own: Tensor,
    room: Tensor,
    generator: torch.Generator,
    release: float = 0.0,
    floor: Tensor | float = FLOOR,
) -> None:
    """Redraw each coordinate of w once, in place, and with it the scores; `floor` is the least lead of a label.

    `own` is 1 where the label is class k, else 0. Products and `lerp` choose by it exactly, and several times as fast
    as `where`, whose branch the processor mispredicts. `room` (5, n, R) is scratch.
    """
    uniform = torch.rand(w.shape, dtype=w.dtype, device=w.device, generator=generator)
    bounds = w.new_empty(2, w.shape[-1])
    lower, upper = bounds
    label_score, rival, threshold, side, gap = room
    ratio = threshold  # which is no longer needed then
    torch.mul(scores[0], own[0], out=label_score)
    for k in range(1, len(w)):
        label_score.addcmul_(scores[k], own[k])
    for k, (mine, score) in enumerate(zip(own, scores, strict=True)):
        # The point's side of its threshold: above the best rival if it is of class k, below its own class if not.
        rival.fill_(-torch.inf)
        for other in (*scores[:k], *scores[k + 1 :]):
            torch.maximum(rival, other, out=rival)
        torch.lerp(label_score, rival, mine, out=threshold)
        torch.mul(mine, 2, out=side).sub_(1)
        torch.sub(score, threshold, out=gap).mul_(side)  # by how much the point is on its side
        if release:
            gap.mul_(threshold.ge_(rival)).mul_(rival.uniform_(generator=generator).ge_(release))
            # A label that is wrong, or released, binds nothing.
            torch.nn.functional.threshold(gap, 0.0, torch.inf, inplace=True)
        else:
            gap.sub_(floor).clamp_(min=1e-15)  # rounding may have taken a point across, and would hold it there
        gap.mul_(side)
        for f in range(len(x)):
            old = w[k, f]
            torch.div(x[f], gap, out=ratio)
            torch.amax(ratio, 0, out=lower)
            torch.amin(ratio, 0, out=upper)
            lower.clamp_(min=1e-300)
            upper.clamp_(max=-1e-300)
            torch.sub(old, bounds.reciprocal_(), out=bounds)
            new = truncated_normal(bounds, uniform[k, f])
            snapped = (new * GRID).round_().div_(GRID)
            new = torch.where((snapped > lower) & (snapped < upper), snapped, new)
            gap.addcmul_(x[f], new - old)
            old.copy_(new)
        _scores(w[k : k + 1], x, out=scores[k : k + 1])
        label_score.lerp_(score, mine)


def _scores(w: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Scores (K, n, R) of points x (d, n, R), feature by feature: all products at once would overflow the caches."""
    out = x.new_empty(len(w), *x.shape[1:]) if out is None else out
    for vector, score in zip(w, out, strict=True):
        torch.mul(x[0], vector[0], out=score)
        for f in range(1, len(x)):
            score.addcmul_(x[f], vector[f])
    return out


def truncated_normal(bounds: Tensor, uniform: Tensor) -> Tensor:
    r"""Standard normal draws between `bounds` (lower, upper) by inversion, from uniform draws.

    .. math:: \Phi^{-1} \big( \Phi(a) + u \, (\Phi(b) - \Phi(a)) \big)

    An interval on the right is mirrored: only in its lower tail does Phi keep its digits. Beyond 38 standard
    deviations, where Phi underflows, the draw is the end nearest to 0.

    Arguments:
        bounds: lower and upper, `(2, *)`, float64.
        uniform: draws from (0, 1), `(*)`; overwritten.

    Source: textbook.

    Example:
        >>> bounds = torch.tensor([[0.0], [float("inf")]], dtype=torch.float64)
        >>> truncated_normal(bounds, torch.tensor([0.5]).double()).abs().round(decimals=4)  # the median of |N(0, 1)|
        tensor([0.6745], dtype=torch.float64)
    """
    lower, upper = bounds
    half = (lower + upper).gt_(0).sub_(0.5)  # half the sign: 1/2 on the right, to be mirrored
    tails = torch.erfc((bounds * half).mul_(2**0.5))  # twice Phi; torch's ndtr has no lower tail
    below, above = torch.minimum(*tails), torch.maximum(*tails)
    draw = torch.special.ndtri((above - below).mul_(uniform).add_(below).mul_(0.5))
    return draw.clamp_(min=-38).mul_(half).mul_(-2).clamp_(lower, upper)


def _enter_cone(
    w: Tensor, scores: Tensor, x: Tensor, binding: Tensor, own: Tensor, room: Tensor, generator: torch.Generator
) -> None:
    """Move w and its scores, in place, to where every label leads.

    Sweeps that may not deepen the worst violation come first, then linear programs for the runs that are left. Starting
    from draws of the prior keeps the chains of a task apart, as R-hat needs.

    Raises:
        InseparableError: with the number of a run whose constraints no W meets.
    """
    products, leads = torch.empty_like(x), torch.empty_like(own)  # once: memory that is new each time costs most here
    lead, rival = room[:2]
    for sweep in range(SEEK_SWEEPS + 1):
        for vector, score in zip(w, scores, strict=True):  # afresh: the worst point lies on its bound to the last bit
            torch.sum(torch.mul(vector[:, None], x, out=products), 0, out=score)
        torch.sum(torch.mul(scores, own, out=leads), 0, out=lead)
        lead.sub_(torch.amax(torch.sub(scores, own, alpha=1e300, out=leads), 0, out=rival))
        worst = lead.masked_fill_(~binding, torch.inf).amin(0)
        if (worst >= FLOOR).all():
            return
        if sweep < SEEK_SWEEPS:
            _sweep(w, scores, x, own, room, generator, floor=worst.clamp(max=FLOOR))
    seed = int(torch.randint(2**31, (), device=w.device, generator=generator))
    random = np.random.default_rng(seed)
    for run in (worst < FLOOR).nonzero()[:, 0].tolist():
        keep = binding[:, run]
        found = _solve_cone(x[:, keep, run].T.cpu().numpy(), own[:, keep, run].T.cpu().numpy() == 1, random)
        if found is None:
            raise InseparableError(run)
        w[:, :, run] = torch.from_numpy(found)
    _scores(w, x, out=scores)


def _solve_cone(x: np.ndarray, own: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
    """W (K, d) of the length a normal draw has, in the cone of points x (n, d) and label indicators (n, K), or None.

    Maximises the least lead of the labels inside a random box, a different point of the cone for each run.
    """
    point, rival = np.nonzero(~own)
    leads = (own[point].astype(float) - np.eye(own.shape[1])[rival])[:, :, None] * x[point][:, None]  # (n (K-1), K, d)
    constraints = np.column_stack([-leads.reshape(len(point), -1), np.ones(len(point))])
    objective = np.append(np.zeros(constraints.shape[1] - 1), -1)
    bounds = [(-b, b) for b in random.uniform(0.2, 1, len(objective) - 1)] + [(0, None)]
    options = {"primal_feasibility_tolerance": 1e-10}
    solution = linprog(objective, constraints, np.zeros(len(point)), bounds=bounds, method="highs", options=options)
    w = solution.x[:-1].reshape(leads.shape[1:])
    w = w - w.mean(0)
    w *= w.size**0.5 / max(np.linalg.norm(w), 1e-300)
    return w if (leads * w).sum((1, 2)).min() > FLOOR else None
