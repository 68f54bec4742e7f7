
// The model of Part II on one sequence: heads that copy, a selector that concentrates, attention that sharpens.
// Without `runs` the reader sets the three parts; with them they are those of a training run, record by record.

const TEXT = {
  title: "Copy, match, attend", sequence: "Attention on a sequence; click a place to read from there", parts: "Copier, selector and answer",
  course: "Course of the run", keys: "", reset: "Reset", play: "Play", pause: "Pause", film: "Recorded steps", run: "Run",
  lead: "copier: lead", mass: "selector: mass", set: "Set of heads", a: "sharpness a", place: "Read at place",
  sequenceCaption: "Colours: the states of the tokens. Bars: attention from the place that is read (outlined) to those before it, the tallest always full; dashed, an even share. Dots: places with the same two tokens before them. Arcs: whence the heads copy.",
  partsCaption: "From left: attention of each head by lag; weights of the sets of heads; the answer as bars, beside what followed the matches (outlined) and all tokens (dashes). Dot: what came.",
  courseCaption: "Solid: mass on the parents. Dashed: the worse of their two heads on its lag. Dotted: a / 8. Steps on a logarithmic scale.",
  copier: "copier", selector: "selector", answer: "answer", lag: "lag", head: "head", heads: heads => heads.map(h => h + 1).join(" and "),
  states: ["blue", "orange", "green"], step: step => `step ${step}`,
  said: (share, matches, y, states) => `${Math.round(100 * share)} % of the attention on the ${matches} matching places. Answer: ${y.map((p, e) => `${states[e]} ${p.toFixed(2)}`).join(", ")}.`,
  parted: (own, mass, a) => `Worse parent head ${own.toFixed(2)} on its lag, mass on the parents ${mass.toFixed(2)}, a = ${a.toFixed(2)}. `,
};

const makeCore = () => {
  // The model at the place after `tokens`: what it copies there, similarities, attention (all (L, )), and the answer (S, ).
  function forward(tokens, copying, subsets, p, a, S) {
    const L = tokens.length, H = copying.length;
    const copy = t => copying.map(row => { const v = Array(S).fill(0); row.forEach((w, m) => { if (t - m - 1 >= 0) v[tokens[t - m - 1]] += w; }); return v; });
    const last = copy(L), s = [];
    for (let t = 0; t < L; t++) {
      const here = copy(t), same = Array.from({ length: H }, (_, h) => here[h].reduce((sum, v, e) => sum + v * last[h][e], 0));
      s.push(subsets.reduce((sum, A, i) => sum + p[i] * A.reduce((product, h) => product * same[h], 1), 0));
    }
    const most = a * (a > 0 ? Math.max(...s) : Math.min(...s)), e = s.map(v => Math.exp(a * v - most)), sum = e.reduce((x, z) => x + z, 0);
    const attention = e.map(v => v / sum), y = Array(S).fill(0);
    attention.forEach((w, t) => { y[tokens[t]] += w; });
    return { copies: last, similarity: s, attention, y };
  }
  // Places with the same tokens at the parents' lags as the place after `tokens`.
  function matches(tokens, lags) {
    const L = tokens.length, found = [];
    for (let t = Math.max(...lags); t < L; t++) if (lags.every(m => tokens[t - m] === tokens[L - m])) found.push(t);
    return found;
  }
  // Heads with a lead for their own lag, and a selector with a mass on one set, the rest shared.
  const heads = (H, M, lead) => Array.from({ length: H }, (_, h) => { const e = Array.from({ length: M }, (_, m) => (m === h % M ? Math.exp(lead) : 1)), sum = e.reduce((a, b) => a + b, 0); return e.map(v => v / sum); });
  const selector = (n, chosen, mass) => Array.from({ length: n }, (_, i) => (i === chosen ? mass : (1 - mass) / (n - 1)));
  return { forward, matches, heads, selector };
};
export const core = makeCore();

function picture(kit) {
  const { tokens, subsets, lags, states, runs } = kit.given, names = Object.keys(runs), film = names.length > 0;
  const line = sheet(TEXT.sequence, 168), parts = sheet(TEXT.parts, 150), course = sheet(TEXT.course, 170);
  const caption = text => h("figcaption", {}, text), run = () => runs[kit.state.run], record = () => Math.round(kit.state.at);
  const parents = subsets.findIndex(A => A.length === lags.length && A.every((h, i) => h === lags[i] - 1));
  const place = kit.knob("place", TEXT.place, [Math.max(...lags) + 1, tokens.length - 1, 1], v => String(v));
  line.svg.style.cursor = "pointer";
  const cell = () => line.width() / tokens.length;
  line.svg.addEventListener("click", event => {
    const t = Math.floor((event.clientX - line.svg.getBoundingClientRect().left) / cell());
    kit.state.place = Math.max(Math.max(...lags) + 1, Math.min(tokens.length - 1, t)), kit.update();
  });
  const row = film
    ? [kit.choice("run", TEXT.run, names.map(name => [name, name]), () => { kit.stop(), kit.state.at = Math.min(kit.state.at, run().step.length - 1); })]
    : [kit.choice("set", TEXT.set, subsets.map((A, i) => [String(i), TEXT.heads(A)]), i => { kit.state.set = Number(i); })];
  kit.root.append(kit.row(...row, kit.reset()), h("figure", {}, line.svg, caption(TEXT.sequenceCaption)));
  if (film) kit.root.append(kit.film(TEXT.film, () => run().step.length - 1, () => TEXT.step(run().step[record()]), () => 150, true));
  kit.root.append(film ? kit.knobs(place)
    : kit.knobs(kit.knob("lead", TEXT.lead, [0, 6, 0.1]), kit.knob("mass", TEXT.mass, [0, 1, 0.01]), kit.knob("a", TEXT.a, [0, 10, 0.1]), place));
  kit.root.append(h("figure", {}, parts.svg, caption(TEXT.partsCaption)));
  if (film) kit.root.append(h("figure", {}, course.svg, caption(TEXT.courseCaption)));

  const ink = { stroke: "currentColor" };
  function sequence(found, matched, copying, p) {
    const w = cell(), base = 92, L = kit.state.place, most = Math.max(...found.attention, 2 / L), middle = t => (t + 0.5) * w, shapes = [];
    tokens.forEach((state, t) => shapes.push({ d: box(t * w + 0.5, base + 3, w - 1, 18), fill: COLOURS[state], opacity: t < L ? 1 : 0.25 }));
    found.attention.forEach((v, t) => shapes.push({ d: box(t * w + 0.5, base - 84 * v / most, w - 1, 84 * v / most), fill: COLOURS[tokens[t]] }));
    const even = base - 84 / most / L;
    shapes.push({ d: `M0,${even.toFixed(1)}H${(L * w).toFixed(1)}`, ...ink, width: 1, opacity: 0.6, dash: "4 3" });
    shapes.push({ d: spots(matched.map(t => [middle(t), base + 28]), 2.2), fill: "currentColor" });
    shapes.push({ d: box(L * w, base + 2, w, 20), ...ink, width: 2 });
    copying[0].forEach((_, m) => {
      const share = copying.reduce((sum, row, h) => sum + row[m] * p.reduce((q, v, i) => q + (subsets[i].includes(h) ? v / subsets[i].length : 0), 0), 0);
      const from = middle(L - m - 1), to = middle(L), deep = base + 38 + 12 * (m + 1);
      shapes.push({ d: `M${from.toFixed(1)},${base + 32}Q${((from + to) / 2).toFixed(1)},${2 * deep - base - 32}${" "}${to.toFixed(1)},${base + 32}`, ...ink, width: 0.3 + 5 * share, opacity: 0.35 + 0.6 * share });
    });
    line.draw(shapes, []);
  }
  function three(found, matched, copying, p) {
    const wide = parts.width(), third = wide / 3, top = 24, low = 122, tall = low - top, shapes = [], words = [];
    [TEXT.copier, TEXT.selector, TEXT.answer].forEach((text, i) => words.push({ x: i * third + 4, y: 12, text }));
    const M = copying[0].length, size = Math.min(30, (third - 22) / M, tall / copying.length);
    copying.forEach((row, k) => {
      words.push({ x: 4, y: top + (k + 0.65) * size, text: String(k + 1) });
      row.forEach((v, m) => shapes.push({ d: box(18 + m * size, top + k * size, size - 2, size - 2), fill: "#7B62C3", opacity: 0.06 + 0.94 * v }));
    });
    for (let m = 0; m < M; m++) words.push({ x: 18 + (m + 0.5) * size, y: top + copying.length * size + 12, text: String(m + 1), anchor: "middle" });
    words.push({ x: 4, y: 145, text: `${TEXT.head}, ${TEXT.lag}` });
    const step = (third - 18) / p.length;
    p.forEach((v, i) => {
      shapes.push({ d: box(third + 4 + i * step, low - tall * v, step - 3, tall * v), fill: "#7B62C3" });
      words.push({ x: third + 2.5 + (i + 0.5) * step, y: low + 13, text: subsets[i].map(h => h + 1).join(""), anchor: "middle" });
    });
    const each = (third - 12) / states, after = Array(states).fill(0), all = Array(states).fill(0), L = kit.state.place;
    matched.forEach(t => { after[tokens[t]] += 1 / matched.length; }), tokens.slice(0, L).forEach(state => { all[state] += 1 / L; });
    found.y.forEach((v, e) => {
      const x = 2 * third + 6 + e * each, half = (each - 6) / 2;
      shapes.push({ d: box(x, low - tall * v, half, tall * v), fill: COLOURS[e] });
      if (matched.length) shapes.push({ d: box(x + half, low - tall * after[e], half, tall * after[e]), stroke: COLOURS[e], width: 2 });
      shapes.push({ d: `M${x.toFixed(1)},${(low - tall * all[e]).toFixed(1)}h${(2 * half).toFixed(1)}`, ...ink, width: 1.5, dash: "3 2" });
      if (tokens[L] === e) shapes.push({ d: spots([[x + half, low + 9]], 3.5), fill: "currentColor" });
    });
    for (const i of [1, 2]) shapes.push({ d: `M${i * third},${low}h${third - 8}`, ...ink, width: 1, opacity: 0.5 });
    parts.draw(shapes, words);
  }
  function way() {
    const { step, selection, copying, sharpness } = run(), wide = course.width(), last = step[step.length - 1] + 1;
    const across = axis([30, wide - 12], [1, last], true), up = axis([140, 12], [0, 1.15], false, 3), log = [1, 10, 100, 1000].filter(v => v <= last);
    const curves = [selection.map(p => p[parents]), copying.map(c => Math.min(...lags.map(m => c[m - 1][m - 1]))), sharpness.map(v => v / 8)];
    course.draw([
      ...up.ticks.map(([y]) => ({ d: `M30,${y}H${wide - 12}`, ...ink, opacity: 0.15 })),
      { d: `M${across.at(step[record()] + 1)},12V140`, ...ink, opacity: 0.6, width: 2 },
      ...curves.map((values, i) => ({ d: polyline(values.map((v, t) => [across.at(step[t] + 1), up.at(v)])), stroke: ["#7B62C3", "#D55E00", "#8F6B3E"][i], width: 2.2, dash: ["none", "8 4", "2 3"][i] })),
    ], [...up.ticks.map(([y, text]) => ({ x: 26, y: y + 4, text, anchor: "end" })), ...log.map(v => ({ x: across.at(v), y: 156, text: String(v), anchor: "middle" }))]);
  }
  return () => {
    const s = kit.state, before = tokens.slice(0, s.place), at = record();
    const copying = film ? run().copying[at] : core.heads(kit.given.heads, kit.given.window, s.lead);
    const p = film ? run().selection[at] : core.selector(subsets.length, s.set, s.mass), a = film ? run().sharpness[at] : s.a;
    const found = core.forward(before, copying, subsets, p, a, states), matched = core.matches(before, lags);
    sequence(found, matched, copying, p), three(found, matched, copying, p);
    if (film) way();
    kit.root.dataset.answer = found.y.join(" ");
    const share = matched.reduce((sum, t) => sum + found.attention[t], 0), own = Math.min(...lags.map(m => copying[m - 1][m - 1]));
    return (film ? TEXT.parted(own, p[parents], a) : "") + TEXT.said(share, matched.length, found.y, TEXT.states);
  };
}
