
// Three classes drift apart, layer by layer: points beside the closed recursion of chapter 6.

const TEXT = {
  title: "Classes drift apart", points: "Points and class means", chart: "Radius of the class means by layer",
  keys: "", reset: "Reset", play: "Play", pause: "Pause", layers: "Layers passed", labels: "Labels",
  kinds: { true: "true", shuffled: "shuffled" }, regime: "Regime", own: "as set below",
  knobs: { alpha: "α", beta: "β", gamma: "γ", delta: "δ", radius: "r at the start", spread: "noise" },
  when: t => (t < 0.01 ? "as given" : `after layer ${Math.round(t)}`),
  pointsCaption: (t, wide) => `Points ${TEXT.when(t)}; lines join their centre, kept in the middle, and the class means. The square is ${wide} wide.`,
  chartCaption: "Radius of the class means against layers passed. Dots: these points. Line: the closed recursion.",
  exact: "Here the line is exact.", outside: "Outside the assumptions: the line is a guess.",
  said: (t, before, now, law, gain) => `After ${t} layers: radius ${number(before)} to ${number(now)}; closed recursion ${number(Math.abs(law))}.${gain === null ? "" : ` Separation times ${number(gain)}.`}`,
  factor: (gain, rho) => `Next layer: ρ = ${rho.toFixed(3)}, factor (1 + γρ)² = ${number(gain)}.`,
};
const number = v => (!Number.isFinite(v) ? "∞" : v !== 0 && (v >= 1e4 || v < 0.005) ? v.toExponential(1) : v.toFixed(v < 10 ? 3 : 1));

const makeCore = () => {
  const K = 3, corners = [[0, 1], [-Math.sqrt(3) / 2, -0.5], [Math.sqrt(3) / 2, -0.5]].map(c => c.map(v => Math.sqrt(2 / 3) * v));
  // Classes lie by turns on the corners of a triangle, plus noise about which they are centred; point j is of class j mod 3.
  function points(noise, radius, spread) {
    const { means } = scatter(noise, noise.map((_, j) => j % K));
    return noise.map((e, j) => e.map((v, f) => radius * corners[j % K][f] + spread * (v - means[j % K][f])));
  }

  // One head again and again, the same in each layer: points at all depths, (L + 1, n, 2). Plain loops: a drag asks for
  // all pairs of points in all layers, sixty times a second.
  function simulate(x, y, { alpha, beta, gamma, delta }, depth) {
    const n = x.length, levels = [x.map(p => [...p])], scores = new Float64Array(n);
    let u = y.map(k => [0, 1, 2].map(c => (c === k) - 1 / K));
    for (let l = 0; l < depth; l++) {
      const here = levels[l], next = [], labels = [];
      for (let i = 0; i < n; i++) {
        const [a, b] = here[i], [p, q, r] = u[i];
        let most = -Infinity, sum = 0, ma = 0, mb = 0, mp = 0, mq = 0, mr = 0;
        for (let j = 0; j < n; j++) {
          const z = here[j], v = u[j];
          scores[j] = alpha * (z[0] * a + z[1] * b) + beta * (p * v[0] + q * v[1] + r * v[2]);
          if (scores[j] > most) most = scores[j];
        }
        for (let j = 0; j < n; j++) {
          const z = here[j], v = u[j], e = Math.exp(scores[j] - most);
          sum += e, ma += e * z[0], mb += e * z[1], mp += e * v[0], mq += e * v[1], mr += e * v[2];
        }
        next.push([a + gamma * ma / sum, b + gamma * mb / sum]);
        labels.push([p + delta * mp / sum, q + delta * mq / sum, r + delta * mr / sum]);
      }
      levels.push(next), u = labels;
    }
    return levels;
  }

  // Class means, and the traces of the scatter between and within classes.
  function scatter(x, y) {
    const counts = [0, 0, 0], means = [[0, 0], [0, 0], [0, 0]], centre = [0, 0], n = x.length;
    x.forEach((p, j) => { counts[y[j]]++; for (const f of [0, 1]) means[y[j]][f] += p[f], centre[f] += p[f] / n; });
    means.forEach((m, k) => { m[0] /= counts[k], m[1] /= counts[k]; });
    let between = 0, within = 0;
    means.forEach((m, k) => { between += counts[k] / n * ((m[0] - centre[0]) ** 2 + (m[1] - centre[1]) ** 2); });
    x.forEach((p, j) => { within += ((p[0] - means[y[j]][0]) ** 2 + (p[1] - means[y[j]][1]) ** 2) / n; });
    return { means, centre, between, within };
  }

  // The closed recursion on radius, label and variance.
  function closed(radius, variance, { alpha, beta, gamma, delta }, depth) {
    const path = [{ r: radius, l: 1, variance, rho: 0 }];
    for (let t = 0; t <= depth; t++) {
      const { r, l, variance: v } = path[t], theta = alpha * r * r + beta * l * l, e = Math.exp(-Math.abs(theta));
      const rho = theta < 0 ? (e - 1) / (e + K - 1) : (1 - e) / (1 + (K - 1) * e), pull = 1 + gamma * alpha * v;
      path[t].rho = rho;
      path.push({ r: r * (pull + gamma * rho), l: l * (1 + delta * rho), variance: v * pull * pull, rho: 0 });
    }
    return path.slice(0, depth + 1);
  }
  return { points, simulate, scatter, closed };
};
export const core = makeCore();

function picture(kit) {
  const { noise, shuffled, regimes, depth } = kit.given, plane = panel(TEXT.points), chart = sheet(TEXT.chart, 250);
  const true_ = noise.map((_, j) => j % 3), caption = h("figcaption", {}), remark = h("p", { class: "remark" });
  const scalars = ["alpha", "beta", "gamma", "delta"], own = () => { kit.state.regime = ""; };
  const knob = (key, limits) => { const row = kit.knob(key, TEXT.knobs[key], limits); row.addEventListener("input", own); return row; };
  kit.root.append(
    kit.row(kit.choice("regime", TEXT.regime, [["", TEXT.own], ...Object.keys(regimes).map(name => [name, name])], name => {
      if (name) scalars.forEach((key, s) => { kit.state[key] = regimes[name][s]; }), kit.state.at = Math.min(kit.state.at, depth);
    }), kit.choice("labels", TEXT.labels, Object.entries(TEXT.kinds)), kit.reset()),
    h("div", { class: "panels two" }, plane.element, h("figure", {}, chart.svg, caption)),
    kit.film(TEXT.layers, () => depth, () => TEXT.when(kit.state.at), () => 700),
    kit.knobs(knob("gamma", [-3.5, 3.5, 0.05]), knob("beta", [-3, 6, 0.05]), knob("alpha", [-1, 1, 0.05]), knob("delta", [0, 0.5, 0.05]),
      kit.knob("radius", TEXT.knobs.radius, [0.1, 2, 0.05]), kit.knob("spread", TEXT.knobs.spread, [0, 1.2, 0.05])), remark);
  caption.textContent = TEXT.chartCaption;
  const nice = v => [0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 100].find(s => s >= v) || 10 ** Math.ceil(Math.log10(v));

  return () => {
    const s = kit.state, y = s.labels === "true" ? true_ : shuffled, levels = core.simulate(core.points(noise, s.radius, s.spread), y, s, depth);
    const measured = levels.map(x => core.scatter(x, y)), radii = measured.map(m => Math.sqrt(1.5 * m.between));
    const law = core.closed(radii[0], measured[0].within / 2, s, depth), exact = s.alpha === 0 || (s.labels === "true" && s.spread === 0);
    const level = Math.min(depth, Math.floor(s.at + 1e-6)), part = s.at - level, next = Math.min(depth, level + 1);
    const mix = (a, b) => [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])];
    const centred = t => { const [a, b] = measured[t].centre; return [levels[t], measured[t].means].map(list => list.map(p => [p[0] - a, p[1] - b])); };
    const [here, there] = [level, next].map(centred), reach = nice(1.05 * Math.max(...here[0].flat().map(Math.abs), ...there[0].flat().map(Math.abs)));
    const [places, means] = [0, 1].map(kind => here[kind].map((p, j) => mix(p, there[kind][j]).map((v, f) => v * (f ? -1 : 1) * UNITS / reach)));
    plane.draw(places, y, -1, means.map(m => ({ d: polyline([[0, 0], m]), width: 2.5, opacity: 0.7 })), means.map((m, k) => [...m, k]));
    plane.caption.textContent = TEXT.pointsCaption(s.at, String(2 * reach));

    const all = [...radii, ...law.map(t => Math.abs(t.r))].filter(v => v > 1e-9 && Number.isFinite(v)), wide = chart.width();
    const low = Math.min(...all) / 1.15, high = Math.max(...all, 1.6 * low) * 1.15;
    const across = axis([46, wide - 10], [0, depth], false, 6), up = axis([chart.height - 30, 12], [low, high], true);
    const seen = values => values.map((v, t) => [across.at(t), up.at(Math.max(low, Math.min(high, Math.abs(v))))]);
    chart.draw([
      ...up.ticks.map(([v]) => ({ d: `M40,${v}H${wide - 10}`, stroke: "currentColor", opacity: 0.15 })),
      { d: `M${across.at(s.at)},12V${chart.height - 30}`, stroke: "currentColor", opacity: 0.5, dash: "3 3" },
      { d: polyline(seen(law.map(t => t.r))), stroke: "#7B62C3", width: 2.5, dash: exact ? "none" : "6 4" },
      { d: spots(seen(radii), 4), fill: "currentColor" },
    ], [...up.ticks.map(([v, text]) => ({ x: 36, y: v + 4, text, anchor: "end" })), ...across.ticks.map(([v, text]) => ({ x: v, y: chart.height - 12, text, anchor: "middle" }))]);

    const gain = m => m.between / m.within, { rho } = law[level];
    kit.root.dataset.radii = radii.join(" "), kit.root.dataset.law = law.map(t => t.r).join(" ");
    remark.textContent = `${TEXT.factor((1 + s.gamma * rho) ** 2, rho)} ${exact ? TEXT.exact : TEXT.outside}`;
    return TEXT.said(level, radii[0], radii[level], law[level].r, measured[0].within < 1e-20 ? null : gain(measured[level]) / gain(measured[0]));
  };
}
