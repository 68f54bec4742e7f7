"""Live pictures of single ideas: each function gives one, with its knobs set to the start that a chapter wants.

What they compute in the page is what `icl_nb.symmetry`, `icl_nb.recursion`, `icl_nb.interpret.separation` and
`icl_nb.induction` compute; tests hold the two against each other.
"""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from icl_nb.figures.live import Fixed, Live
from icl_nb.figures.style import CLASSES, CORNERS
from icl_nb.recursion import SCALARS

ABOVE, BELOW = "#B2182B", "#2166AC"  # zero: the ends of the colours of matrices


def averaging(matrix: ArrayLike, orders: ArrayLike, n_features: int, *, alt: str) -> Live:
    r"""A matrix averaged over more and more renamings (chapter 2), beside the six numbers that none of them moves.

    Arguments:
        matrix: `(D, D)` with D = d + K at most 8, d and K at least 2; kept with two decimals.
        orders: renamings, `(N, D)`, N >= 10: each a permutation of the first d indices and one of the others. The
            reader may ask for all d! K! of them, each once, instead.
        n_features: d
        alt: what the still picture shows.

    Raises:
        ValueError: matrix or orders are not as above.

    Example:
        >>> orders = [[1, 0, 2, 4, 3]] * 10
        >>> averaging(np.arange(25).reshape(5, 5), orders, 3, alt="A matrix.")
        Live(averaging, 5 x 5, 10 renamings)
    """
    matrix, orders, d = np.asarray(matrix, float), np.asarray(orders), n_features
    size = len(matrix)
    if matrix.shape != (size, size) or not 2 <= d <= size - 2 <= 6 or not np.isfinite(matrix).all():
        raise ValueError(f"matrix has shape {matrix.shape}; it must be (D, D), finite, D <= 8, 2 <= d <= D - 2")
    sound = orders.ndim == 2 and orders.shape[1] == size and len(orders) >= 10
    if not sound or (np.sort(orders, -1) != np.arange(size)).any() or (orders[:, :d] >= d).any():
        raise ValueError(f"orders has shape {orders.shape}; it must hold ten permutations or more that keep features")
    steps = [1, 2, 3, 4, 5, 6, 8, 10, 14, 20, 30, 42, 60, 85, 120, 170, 240, 340, 480, 680, 1000]
    counts = [0, *(n for n in steps if n <= len(orders))]
    given = {"d": d, "orders": ["".join(map(str, order)) for order in orders.tolist()], "counts": counts}
    state = {"matrix": Fixed(matrix, 2), "draws": "random", "at": 0}
    marks, cell = "", 280 / size
    mean = matrix[orders[:, :, None], orders[:, None, :]].mean(0)
    for side, part in enumerate((matrix, mean)):
        for i, j in np.ndindex(part.shape):
            value = float(part[i, j])
            x, y = 10 + 310 * side + j * cell, 10 + i * cell
            marks += (
                f'<path d="M{x:.1f},{y:.1f}h{cell - 1:.1f}v{cell - 1:.1f}h-{cell - 1:.1f}z" '
                f'fill="{ABOVE if value > 0 else BELOW}" opacity="{min(1, abs(value) / 1.5):.2f}"/>'
            )
    return Live("averaging", state, given, _svg(marks, alt, 610), f"{size} x {size}, {len(orders)} renamings")


def tilt(noise: ArrayLike, query: ArrayLike = (1.2, 0.5), *, alpha: float = 0.7, alt: str) -> Live:
    r"""One query and a cloud (chapter 6): points sized by their attention, their mean, and the mean's limit.

    Class k of three has the points :math:`r v_k + g_j` with j mod 3 = k, r from 0 on, so that with r = 0 there is one
    cloud; weights are :math:`e^{\alpha \langle x_*, x_j \rangle + \beta \langle u_*, u_j \rangle}`.

    Arguments:
        noise: the :math:`g_j`, standard normal, `(n, 2)`, n >= 60; kept with two decimals. The reader may ask for a
            tenth of them.
        query: `(2,)`
        alpha: where that knob stands at first; beta and r start at 0.
        alt: what the still picture shows.

    Raises:
        ValueError: noise is not `(n, 2)`, finite, with n >= 60, or the query not `(2,)` and within -4 and 4.

    Example:
        >>> tilt(np.random.default_rng(0).normal(size=(420, 2)), alt="A cloud.")
        Live(tilt, 420 points)
    """
    noise, query = np.asarray(noise, float), np.asarray(query, float)
    if noise.ndim != 2 or noise.shape[1] != 2 or len(noise) < 60 or not np.isfinite(noise).all():
        raise ValueError(f"noise has shape {noise.shape}; it must be (n, 2), finite, n >= 60")
    if query.shape != (2,) or not (abs(query) <= 4).all():
        raise ValueError(f"query={query}; it must be two numbers within -4 and 4")
    few = 3 * (len(noise) // 30)
    state = {"query": query.tolist(), "own": -1, "alpha": alpha, "beta": 0, "apart": 0, "n": few}
    given = {"noise": Fixed(noise, 2), "counts": [few, len(noise)]}
    weights = np.exp(alpha * noise[:few] @ query)
    sizes = np.clip(3 * np.sqrt(few * weights / weights.sum()), 1, 16)
    mean = weights @ noise[:few] / weights.sum()
    marks = "".join(_disc(point, size, "currentColor", 0.6) for point, size in zip(noise[:few], sizes, strict=True))
    (x, y), (a, b) = (150 + 33 * part * [1, -1] for part in (mean, alpha * query))
    marks += f'<path d="M{x - 7:.1f},{y - 7:.1f}l14,14m-14,0l14,-14" stroke="currentColor" stroke-width="3"/>'
    marks += f'<circle cx="{a:.1f}" cy="{b:.1f}" r="7" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    return Live("tilt", state, given, _svg(marks, alt, 300), f"{len(noise)} points")


def drift(
    noise: ArrayLike, shuffled: ArrayLike, regimes: Mapping[str, Sequence[float]], *, depth: int = 12, alt: str
) -> Live:
    r"""Three classes drift apart (chapter 6): the same head in each layer, beside the closed recursion.

    Point j is of class j mod 3 and starts at :math:`r v_k + s g_j`, the :math:`g_j` of a class taken about their mean;
    the knobs are r, s and the four scalars.

    Arguments:
        noise: the :math:`g_j`, `(n, 2)`, as many for each class; kept with four decimals.
        shuffled: other labels in 0..2, `(n,)`, as many of each, for the negative control.
        regimes: settings of alpha, beta, gamma and delta by name; the picture starts with the first.
        depth: layers.
        alt: what the still picture shows.

    Raises:
        ValueError: the shapes do not fit each other, or classes are of unequal size.

    Example:
        >>> noise, y = np.random.default_rng(0).normal(size=(45, 2)), np.repeat(np.arange(3), 15)
        >>> drift(noise, y, {"growth": (0.3, 0.5, 0.25, 0.1)}, alt="Three classes.")
        Live(drift, 45 points, 12 layers)
    """
    noise, shuffled = np.asarray(noise, float), np.asarray(shuffled)
    n = len(noise)
    if noise.shape != (n, 2) or not np.isfinite(noise).all() or shuffled.shape != (n,) or n % 3 or not n:
        raise ValueError(f"noise {noise.shape}, shuffled {shuffled.shape}: they must be (n, 2) and (n,), n in threes")
    if sorted(shuffled.tolist()) != np.repeat(np.arange(3), n // 3).tolist():
        raise ValueError("shuffled must hold each of 0, 1 and 2 equally often")
    if not regimes or any(len(values) != len(SCALARS) for values in regimes.values()):
        raise ValueError(f"regimes must give {', '.join(SCALARS)}, by name")
    first = next(iter(regimes))
    state = {"regime": first, "labels": "true", "radius": 0.6, "spread": 0.3, "at": 0}
    state |= dict(zip(SCALARS, regimes[first], strict=True))
    given = {
        "noise": Fixed(noise, 4),
        "shuffled": shuffled.tolist(),
        "regimes": {name: list(values) for name, values in regimes.items()},
        "depth": depth,
    }
    noise = noise - np.tile([noise[k::3].mean(0) for k in range(3)], (n // 3, 1))
    points = 0.6 * np.sqrt(2 / 3) * CORNERS[np.arange(n) % 3] + 0.3 * noise
    marks = "".join(_disc(1.8 * point, 5, CLASSES[j % 3]) for j, point in enumerate(points))
    return Live("drift", state, given, _svg(marks, alt, 300), f"{n} points, {depth} layers")


def induction(
    tokens: ArrayLike,
    subsets: Sequence[tuple[int, ...]],
    *,
    lags: Sequence[int] = (1, 2),
    heads: int = 3,
    window: int = 3,
    runs: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    alt: str,
) -> Live:
    r"""The model of Part II on one sequence (chapters 13, 14): copier, selector and classifier, by hand or as a film.

    Without runs the reader sets the lead of each head for its own lag, the selector's mass on one set of heads and the
    sharpness, and whence to read. With runs these are the numbers of a training run, one record after the other.

    Arguments:
        tokens: states 0, 1 or 2, `(N,)`; the last one is what came.
        subsets: the sets of heads, numbers from 0.
        lags: of the parents, below N.
        heads: H
        window: M
        runs: histories by name, with `step (T,)`, `copying (T, H, M)`, `selection (T, sets)` and `sharpness (T,)`, as
            `load_history` gives them; kept with four decimals.
        alt: what the still picture shows.

    Raises:
        ValueError: tokens, subsets, lags or runs are not as above.

    Example:
        >>> induction([0, 1, 2, 0, 1, 2], [(0,), (0, 1)], alt="Six tokens.")
        Live(induction, 6 tokens)
    """
    tokens, lags = np.asarray(tokens), [int(lag) for lag in lags]
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or len(tokens) < 4 or not set(tokens.tolist()) <= {0, 1, 2}:
        raise ValueError(f"tokens has shape {tokens.shape}; it must hold at least four of 0, 1 and 2")
    if not lags or not all(1 <= lag < len(tokens) - 1 for lag in lags):
        raise ValueError(f"lags={lags}; they must be of 1 to {len(tokens) - 2}")
    if not subsets or any(not set(part) <= set(range(heads)) or not part for part in subsets):
        raise ValueError(f"subsets={subsets}; each must hold some of the heads 0..{heads - 1}")
    films = {}
    for name, run in (runs or {}).items():
        steps = len(run["step"])
        shapes = {"copying": (steps, heads, window), "selection": (steps, len(subsets)), "sharpness": (steps,)}
        if any(np.shape(run[part]) != shape for part, shape in shapes.items()):
            raise ValueError(f"run {name!r} must have copying, selection and sharpness of shapes {shapes}")
        films[name] = {"step": np.asarray(run["step"]).tolist()} | {part: Fixed(run[part], 4) for part in shapes}
    parents = tuple(lag - 1 for lag in lags)
    state: dict[str, Any] = {"place": len(tokens) - 1, "set": list(subsets).index(parents) if parents in subsets else 0}
    state |= {"run": next(iter(films)), "at": 0} if films else {"lead": 2.9, "mass": round(1 / len(subsets), 2), "a": 3}
    given = {"tokens": tokens.tolist(), "subsets": [list(part) for part in subsets], "lags": lags, "states": 3}
    given |= {"heads": heads, "window": window, "runs": films}
    past, width = tokens[:-1], 600 / len(tokens)
    marks = [f'<path d="M{t * width:.1f},60h{width - 1:.1f}v18h-{width - 1:.1f}z" fill="{CLASSES[state]}"/>'
             for t, state in enumerate(past)]  # fmt: skip
    for t in range(max(lags), len(past)):
        if all(past[t - lag] == past[len(past) - lag] for lag in lags):
            marks.append(
                f'<path d="M{t * width:.1f},20h{width - 1:.1f}v38h-{width - 1:.1f}z" fill="{CLASSES[past[t]]}"/>'
            )
    about = f"{len(tokens)} tokens" + (f", runs: {', '.join(films)}" if films else "")
    return Live("induction", state, given, _svg("".join(marks), alt, 600, 90), about)


def counting(
    chains: Mapping[str, Mapping[str, Any]],
    *,
    window: int = 3,
    sharpness: float = 5.8,
    concentration: float = 0.1,
    alt: str,
) -> Live:
    r"""One sequence, and the reader's guess at its parents (chapter 12): what to count, and which lags pay.

    Counts :math:`n_e` of what followed the present history give :math:`(n_e + \alpha) / (n + \alpha S)`, beside an
    induction head of finite sharpness, the true row of the kernel, and the mean loss of each set of lags over the
    sequence.

    Arguments:
        chains: by name, each with `tokens (N,)` in 0, 1 and 2, as many in each; `lags`, increasing, within the window;
            `kernel (3^k, 3)`, its rows in the order of histories (the first lag counts most); kept with six decimals.
        window: the largest lag that may be counted after, at most 3.
        sharpness: where that knob stands at first.
        concentration: where that of the prior does, from 0.01 to 10.
        alt: what the still picture shows.

    Raises:
        ValueError: chains, window or concentration are not as above.

    Example:
        >>> chain = {"tokens": [0, 1, 2, 0, 1, 2], "lags": (1,), "kernel": np.full((3, 3), 1 / 3)}
        >>> counting({"lag 1": chain}, alt="Six tokens.")
        Live(counting, 6 tokens, chains: lag 1)
    """
    if window not in (1, 2, 3) or not 0.01 <= concentration <= 10:
        raise ValueError(f"window={window!r}, concentration={concentration!r}; they must be of 1 to 3, and 0.01 to 10")
    kept, lengths = {}, {len(chain["tokens"]) for chain in chains.values()}
    if len(lengths) != 1 or (length := lengths.pop()) < window + 3:
        raise ValueError(f"chains must be one or more, of one length, {window + 3} tokens at least")
    for name, chain in chains.items():
        tokens, lags, kernel = np.asarray(chain["tokens"]), list(chain["lags"]), np.asarray(chain["kernel"], float)
        sound = tokens.ndim == 1 and tokens.dtype.kind in "iu" and set(tokens.tolist()) <= {0, 1, 2}
        if not sound or lags != sorted(set(lags)) or not all(1 <= lag <= window for lag in lags):
            raise ValueError(f"chain {name!r} must have tokens (N,) in 0, 1, 2 and increasing lags within {window}")
        if kernel.shape != (3 ** len(lags), 3) or not (kernel >= 0).all() or abs(kernel.sum(-1) - 1).max() > 1e-5:
            raise ValueError(f"chain {name!r} must have a kernel (3^k, 3) whose rows are distributions")
        kept[name] = {"tokens": tokens.tolist(), "lags": [int(lag) for lag in lags], "kernel": Fixed(kernel)}
    sets = [list(part) for size in range(window + 1) for part in combinations(range(1, window + 1), size)]
    first = next(iter(kept.values()))
    state = {"chain": next(iter(kept)), "set": 1, "degree": min(2, window), "place": length - 1}
    state |= {"alpha": float(round(20 * np.log10(concentration)) / 20), "a": sharpness}
    marks, width = [], 600 / length
    for t, token in enumerate(first["tokens"]):
        marks.append(f'<path d="M{t * width:.1f},60h{width - 1:.1f}v18h-{width - 1:.1f}z" fill="{CLASSES[token]}"/>')
        if 1 <= t < length - 1 and first["tokens"][t - 1] == first["tokens"][-2]:
            marks.append(
                f'<path d="M{t * width:.1f},20h{width - 1:.1f}v38h-{width - 1:.1f}z" fill="{CLASSES[token]}"/>'
            )
    given = {"chains": kept, "sets": sets, "states": 3}
    about = f"{length} tokens, chains: {', '.join(kept)}"
    return Live("counting", state, given, _svg("".join(marks), alt, 600, 90), about)


def _disc(point, size: float, colour: str, opacity: float = 1) -> str:
    x, y = 150 + 33 * point[0], 150 - 33 * point[1]
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" fill="{colour}" opacity="{opacity}"/>'


def _svg(marks: str, alt: str, width: int, height: int = 300) -> str:
    return (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}" '
        f'style="width:100%;max-width:{width}px;height:auto;display:block;color:inherit">{marks}</svg>'
    )
