"""A task as a film that plays in the page."""

import json
import re
from html import escape

import numpy as np

from icl_nb.figures.style import CLASSES, CORNERS


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

    Example:
        >>> tokens = np.arange(30).reshape(2, 3, 5)
        >>> film = player(tokens, [0, 1], [[0.5, 0.5]], ["before", "after"], alt="three points that stay")
        >>> film.startswith("<"), "three points that stay" in film
        (True, True)
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
    places = 150 + 140 * panels / reach[:, None, None] * [1, -1]
    widths = np.minimum(1.5 * n * attention, 8)  # even attention is a line of 1.5
    shapes = ["M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "M-4.5,-4.5h9v9h-9z", "M0,-6L5.5,4.5H-5.5z"]
    star = "M0,-11L3,-3.6L10.5,-3.4L4.6,1.4L6.5,8.9L0,4.6L-6.5,8.9L-4.6,1.4L-10.5,-3.4L-3,-3.6z"
    marks = [(shapes[label], CLASSES[label]) if label >= 0 else (shapes[0], "#BBBBBB") for label in y]
    corners = "".join(
        f'<path d="{shapes[k]}" fill="none" stroke="{CLASSES[k]}" stroke-width="1.5" '
        f'transform="translate({150 + 142 * x:.1f} {150 - 142 * z:.1f})"/>'
        for k, (x, z) in enumerate(CORNERS)
    )
    drawn = "".join(
        f'<path d="{shape}" fill="{colour}" stroke="{_GROUND}" stroke-width="0.8"/>'
        for shape, colour in [*marks, (star, "currentColor")]
    )
    lines = f'<g class="lines" stroke="currentColor" opacity="0.45">{"<line/>" * n}</g>'
    panels = (("features x", lines), ("label blocks u", corners))
    body = "".join(
        f'<svg role="img" aria-label="{title}: {escape(alt)}" viewBox="0 0 300 318" style="{_PANEL}">{_FRAME}'
        f'<text x="150" y="310" font-size="13" text-anchor="middle" fill="currentColor">{title}</text>'
        f'{below}<g class="marks">{drawn}</g></svg>'
        for title, below in panels
    )
    data = {"at": places.round(1).tolist(), "wide": widths.round(2).tolist(), "say": captions}
    fields = {
        "NAME": name,
        "BODY": body,
        "LAST": str(levels - 1),
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return re.sub("|".join(fields), lambda found: fields[found.group()], _PLAYER)


_GROUND = "var(--pst-color-background,#fff)"
_PANEL = "flex:1 1 16rem;min-width:0;max-width:22rem"
_FRAME = '<path fill="none" stroke="currentColor" opacity="0.3" d="M10,10h280v280h-280zM150,10v280M10,150h280"/>'


_PLAYER = """\
<div id="NAME" role="group" aria-label="Film: a task on its way through the layers"
 class="icl-player" style="border:1px solid #888;border-radius:.6rem;padding:.6rem;max-width:46rem">
<div style="display:flex;flex-wrap:wrap;gap:.6rem;justify-content:center">BODY</div>
<p class="say" style="margin:.3rem 0;min-height:3em"></p>
<div style="display:flex;gap:.6rem;align-items:center">
<button type="button"
 style="background:none;color:inherit;border:1px solid #888;border-radius:.3rem;padding:.2rem .8rem">Play</button>
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
