"""One style for all figures, and what several chapters draw.

Figures keep a white ground of their own, so that they read the same on a light and on a dark page. The colours are
those of Okabe and Ito, which people with any of the common colour blindnesses can tell apart.
"""

import json
import re
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#6E6E6E",
)


# One colour and one name for each thing that appears in several figures.
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)


MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


# Label blocks of three classes are centred, so that they lie in a plane: the classes are the corners of a triangle.
CORNERS = np.array([[0.0, 1.0], [-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5]])


COLOURS = {
    "bayes": "#000000",
    "logistic": BLUE,
    "lda": GREEN,
    "centroid": ORANGE,
    "knn": PURPLE,
    "prior": GREY,
    "dense": VERMILION,
    "injected": ORANGE,
    "projected": PURPLE,
    "equivariant": BLUE,
    "headline": VERMILION,
}


NAMES = {
    "bayes": "Bayes oracle",
    "logistic": "logistic regression",
    "lda": "LDA",
    "centroid": "nearest centroid",
    "knn": "5 nearest neighbours",
    "prior": "class frequencies",
    "by construction": "equivariant by construction",
}


def use_style() -> None:
    """Set the style for all figures of a notebook; call it once, after the imports."""
    plt.rcParams.update(
        {
            "figure.figsize": (7.2, 3.6),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.prop_cycle": cycler(color=CLASSES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "font.size": 10,
            "lines.linewidth": 1.8,
            "image.cmap": "RdBu_r",
            "svg.hashsalt": "icl-nb",
        }
    )


def band(ax: Axes, x, mean, error, *, width: float = 1.96, **style) -> None:
    """A line with a band of `width` standard errors about it; `x`, `mean` and `error` are `(N,)`."""
    x, mean, error = (np.asarray(values, dtype=float) for values in (x, mean, error))
    (line,) = ax.plot(x, mean, **style)
    ax.fill_between(x, mean - width * error, mean + width * error, color=line.get_color(), alpha=0.18, linewidth=0)


def matrix(ax: Axes, weights, n_features: int, *, limit: float | None = None, title: str = "") -> None:
    """A weight matrix `(D, D)` in red (positive) and blue, its feature and label blocks parted by lines."""
    weights = np.asarray(weights, dtype=float)
    limit = limit or abs(weights).max() or 1.0
    ax.imshow(weights, vmin=-limit, vmax=limit)
    for place in (ax.axhline, ax.axvline):
        place(n_features - 0.5, color="#444444", linewidth=0.8)
    ax.set(title=title, xticks=[], yticks=[])
    ax.grid(visible=False)


def points(ax: Axes, x, y, **style) -> None:
    """Labelled points of the plane, `x (n, 2)` and `y (n,)`: one colour and one shape a class, grey where -1."""
    x, y = np.asarray(x), np.asarray(y)
    style = {"s": 34, "edgecolor": "white", "linewidth": 0.7} | style
    for label in np.unique(y):
        colour, marker = ("#BBBBBB", "o") if label < 0 else (CLASSES[label % 8], MARKERS[label % 8])
        ax.scatter(*x[y == label].T, color=colour, marker=marker, **style)


def regions(ax: Axes, probabilities, extent: float) -> None:
    """Class probabilities over a square of the plane, `(G, G, K)`, as a mixture of the class colours with white."""
    probabilities = np.asarray(probabilities)
    colours = np.array([to_rgb(CLASSES[k % 8]) for k in range(probabilities.shape[-1])])
    certainty = probabilities.max(-1, keepdims=True)
    mixed = 1 - 0.45 * certainty * (1 - probabilities @ colours)
    ax.imshow(mixed, origin="lower", extent=(-extent, extent, -extent, extent), interpolation="bilinear")
    ax.grid(visible=False)


def scalar_table(ax: Axes, rows, *, notes: str = "", limit: float = 3.0) -> None:
    """A table of scalars by layer as coloured cells with their numbers, the last gamma, which is idle, left out.

    Arguments:
        ax: to draw on.
        rows: alpha, beta, gamma, delta of each layer, `(L, 4)`.
        notes: a letter for each layer, written at its right.
        limit: where the colours end.
    """
    rows = np.array(rows, dtype=float)
    rows[-1, 2] = 0
    ax.imshow(rows, vmin=-limit, vmax=limit, aspect="auto")
    for (level, place), value in np.ndenumerate(rows):
        if (level, place) != (len(rows) - 1, 2):
            shade = "white" if abs(value) > 2 / 3 * limit else "black"
            ax.text(place, level, f"{value:.1f}", ha="center", va="center", fontsize=7, color=shade)
    for level, letter in enumerate(notes):
        ax.text(3.6, level, letter, va="center", fontsize=9, fontweight="bold")
    greek = [rf"$\{name}$" for name in ("alpha", "beta", "gamma", "delta")]
    ax.set(xticks=range(4), xticklabels=greek, yticks=range(len(rows)))
    ax.grid(visible=False)


def flow(axes: np.ndarray, tokens, y, levels: list[int]) -> None:
    """One task of the plane on its way through the layers: features above, label blocks below, the query a star.

    Arguments:
        axes: `(2, len(levels))`.
        tokens: of one task with d = 2 and K = 3 and one query, before the first and after each layer, `(L + 1, N, 5)`.
        y: labels of the context, `(N - 1,)`.
        levels: which of the L + 1 to draw.
    """
    tokens, y = np.asarray(tokens), np.asarray(y)
    for column, level in enumerate(levels):
        for row, place in enumerate((tokens[level, :, :2], tokens[level, :, 2:] @ CORNERS)):
            ax = axes[row, column]
            points(ax, place[:-1], y)
            ax.scatter(*place[-1], marker="*", s=190, color="black", edgecolor="white", zorder=5)
            limit = 1.15 * abs(place).max()
            ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[0], yticks=[0], xticklabels=[], yticklabels=[])
        axes[0, column].set_title("input" if level == 0 else f"after layer {level}")
    axes[0, 0].set_ylabel("features x")
    axes[1, 0].set_ylabel("label blocks u")


def player(tokens, y, attention, captions: list[str], *, alt: str, name: str = "player") -> str:
    """The same task as a film: HTML that plays in the page, with no kernel, no library and no request.

    Features on the left, label blocks on the right, the query a star; lines from it are its attention in the layer that
    acts. Between two layers points move along a straight line, for a layer adds to them. Nothing moves before it is
    asked to, and for readers who ask their browser for less motion the film goes from layer to layer in steps.

    Arguments:
        tokens: of one task with d = 2 and K = 3 and one query, before the first and after each layer, `(L + 1, N, 5)`.
        y: labels of the context, `(N - 1,)`.
        attention: of the query to the context, `(L, N - 1)`.
        captions: what to say at each of the L + 1.
        alt: what the film shows, for those who cannot see it.
        name: id of the player, another one for each on a page.

    Raises:
        ValueError: the shapes do not fit each other, or the name is no plain identifier.
    """
    tokens, y, attention = np.asarray(tokens, dtype=float), np.asarray(y), np.asarray(attention, dtype=float)
    levels, n = len(tokens), len(y)
    if tokens.shape != (levels, n + 1, 5) or attention.shape != (levels - 1, n) or len(captions) != levels:
        raise ValueError(
            f"tokens {tokens.shape}, y {y.shape}, attention {attention.shape} and {len(captions)} captions do not fit: "
            "they must be (L + 1, N, 5), (N - 1,), (L, N - 1) and L + 1"
        )
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"name={name!r}; it must be of lower-case letters, digits and hyphens")
    panels = np.stack([tokens[..., :2], tokens[..., 2:] @ CORNERS], 1)  # (L + 1, 2, N, 2)
    reach = 1.12 * np.abs(panels).max((0, 2, 3))  # one scale for the whole film
    places = 150 + 140 * panels / reach[:, None, None] * [1, -1] + np.array([[[0, 0]], [[320, 0]]])
    widths = np.minimum(1.5 * n * attention, 8)  # even attention is a line of 1.5
    shapes = ["M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "M-4.5,-4.5h9v9h-9z", "M0,-6L5.5,4.5H-5.5z"]
    star = "M0,-11L3,-3.6L10.5,-3.4L4.6,1.4L6.5,8.9L0,4.6L-6.5,8.9L-4.6,1.4L-10.5,-3.4L-3,-3.6z"
    marks = [(shapes[label], CLASSES[label]) if label >= 0 else (shapes[0], "#BBBBBB") for label in y]
    corners = "".join(
        f'<path d="{shapes[k]}" fill="none" stroke="{CLASSES[k]}" stroke-width="1.5" '
        f'transform="translate({470 + 142 * x:.1f} {150 - 142 * z:.1f})"/>'
        for k, (x, z) in enumerate(CORNERS)
    )
    body = f'<g class="lines" stroke="#222" opacity="0.45">{"<line/>" * n}</g><g class="marks">' + "".join(
        f'<path d="{shape}" fill="{colour}" stroke="#fff" stroke-width="0.8"/>'
        for shape, colour in [*marks, (star, "#000")] * 2
    )
    data = {"at": places.round(1).tolist(), "wide": widths.round(2).tolist(), "say": captions}
    fields = {
        "NAME": name,
        "ALT": escape(alt),
        "BODY": f"{corners}{body}</g>",
        "LAST": str(levels - 1),
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub("|".join(fields), lambda found: fields[found.group()], _PLAYER)


_PLAYER = """\
<div id="NAME" role="group" aria-label="Film: a task on its way through the layers"
 style="background:#fff;color:#222;border:1px solid #bbb;border-radius:.6rem;padding:.6rem;max-width:44rem">
<svg role="img" aria-label="ALT" viewBox="0 0 620 318" style="width:100%;height:auto;display:block">
<path fill="none" stroke="#ddd"
 d="M10,10h280v280h-280zM330,10h280v280h-280zM150,10v280M10,150h280M470,10v280M330,150h280"/>
<g font-size="13" text-anchor="middle" fill="#222"><text x="150" y="310">features x</text>
<text x="470" y="310">label blocks u</text></g>BODY</svg>
<p class="say" style="margin:.3rem 0;min-height:3em;color:#222"></p>
<div style="display:flex;gap:.6rem;align-items:center">
<button type="button"
 style="background:#fff;color:#222;border:1px solid #555;border-radius:.3rem;padding:.2rem .8rem">Play</button>
<input type="range" min="0" max="LAST" step="any" value="0" aria-label="layers passed" style="flex:1;min-width:0"></div>
<noscript>The film needs JavaScript; the figure beside it does not.</noscript></div>
<script>(() => {
const root = document.getElementById("NAME"), film = DATA;
const [button, slider, say] = ["button", "input", ".say"].map(part => root.querySelector(part));
const lines = root.querySelectorAll(".lines line"), marks = root.querySelectorAll(".marks path"), n = lines.length;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let playing = false, last = 0;
function show(t) {
  const level = Math.min(Math.floor(t + 1e-6), LAST), part = t - level, next = Math.min(level + 1, LAST);
  const wide = film.wide[Math.min(level, LAST - 1)];
  marks.forEach((mark, m) => {
    const panel = m > n ? 1 : 0, i = m % (n + 1), a = film.at[level][panel][i], b = film.at[next][panel][i];
    const at = [0, 1].map(c => a[c] + part * (b[c] - a[c]));
    mark.setAttribute("transform", `translate(${at[0]} ${at[1]})`);
    mark.at = at;
  });
  lines.forEach((line, j) => {
    ["x1", "y1"].forEach((key, c) => line.setAttribute(key, marks[n].at[c]));
    ["x2", "y2"].forEach((key, c) => line.setAttribute(key, marks[j].at[c]));
    line.setAttribute("stroke-width", level < LAST ? wide[j] : 0);
  });
  say.textContent = film.say[level];
  slider.setAttribute("aria-valuetext", film.say[level]);
}
function set(on) { playing = on; button.textContent = on ? "Pause" : "Play"; last = performance.now(); }
function tick(now) {
  if (!playing || !root.isConnected) return;
  const t = Number(slider.value);
  if (!calm.matches) { slider.value = Math.min(LAST, t + (now - last) / 1600); last = now; }
  else if (now - last > 1600) { slider.value = Math.min(LAST, Math.floor(t) + 1); last = now; }
  show(Number(slider.value));
  if (Number(slider.value) >= LAST) set(false); else requestAnimationFrame(tick);
}
button.onclick = () => {
  if (!playing && Number(slider.value) >= LAST) slider.value = 0;
  set(!playing);
  if (playing) requestAnimationFrame(tick);
};
slider.oninput = () => { set(false); show(Number(slider.value)); };
slider.onkeydown = event => {
  const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
  if (!step) return;
  event.preventDefault(); set(false);
  slider.value = Math.max(0, Math.min(LAST, Math.round(Number(slider.value)) + step)); show(Number(slider.value));
};
show(0);
})();</script>
"""
