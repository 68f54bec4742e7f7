
// One query meets a cloud: what it attends to, and what the mixture lemma of chapter 6 says that it must find.

const TEXT = {
  title: "One query and a cloud", plane: "A cloud of points, and a query to drag",
  keys: "Arrow keys move the query, finer with Shift.",
  alpha: "α, features", beta: "β, labels", apart: "r, classes apart", count: "Points", own: "Label of the query",
  owns: ["none", "blue", "orange", "green"], reset: "Reset", play: "", pause: "",
  caption: "Star: the query. Area of a point: its share of the attention. Cross: their mean. Plus: its limit, within one standard deviation. Dotted: the wall (one cloud only).",
  shares: "Attention to each class", measured: "these points", law: "the lemma",
  said: (mean, limit, off, read, lemma, n, tau) => `Mean of the attended points (${mean.map(fixed).join(", ")}), limit (${limit.map(fixed).join(", ")}), ${off.toFixed(2)} apart. `
    + `Points read: ${read.toFixed(1)} of ${n}, by the lemma ${lemma < 0.05 ? "none" : lemma.toFixed(1)}. Tilt τ = ${tau.toFixed(2)}${tau > Math.sqrt(2 * Math.log(n)) ? ", beyond the wall" : ""}.`,
};
const fixed = v => v.toFixed(2);

const makeCore = () => {
  const K = 3, corners = [[0, 1], [-Math.sqrt(3) / 2, -0.5], [Math.sqrt(3) / 2, -0.5]];
  const means = apart => corners.map(corner => corner.map(v => apart * Math.sqrt(2 / 3) * v));
  // Point j is of class j mod 3, and lies about its mean as `noise` says; labels are centred, so that the query's is one class less 1/3.
  const context = (noise, apart) => { const m = means(apart); return noise.map(([a, b], j) => [a + m[j % K][0], b + m[j % K][1]]); };
  const score = (own, k) => (own < 0 ? 0 : (own === k) - 1 / K);
  const normal = values => { const most = Math.max(...values), e = values.map(v => Math.exp(v - most)), sum = e.reduce((a, b) => a + b, 0); return e.map(v => v / sum); };

  // The attention itself: its weights, their mean, the share of each class, and how many points are read.
  function attend(x, query, own, alpha, beta) {
    const A = normal(x.map(([a, b], j) => alpha * (query[0] * a + query[1] * b) + beta * score(own, j % K)));
    const mean = [0, 0], shares = [0, 0, 0];
    let square = 0;
    A.forEach((w, j) => { mean[0] += w * x[j][0], mean[1] += w * x[j][1], shares[j % K] += w, square += w * w; });
    return { A, mean, shares, read: 1 / square };
  }

  // Its limit for three equal classes N(mean, I), and to first order in 1/n what n points leave to chance.
  function law(query, own, alpha, beta, apart, n) {
    const m = means(apart), pi = normal(m.map((v, k) => alpha * (v[0] * query[0] + v[1] * query[1]) + beta * score(own, k)));
    const limit = [0, 1].map(f => alpha * query[f] + pi.reduce((sum, p, k) => sum + p * m[k][f], 0));
    const tau = Math.abs(alpha) * Math.hypot(...query), grown = Math.exp(tau * tau) / n, covariance = [[0, 0], [0, 0]];
    let total = 0;
    pi.forEach((p, k) => {
      const weight = grown * p * p * K, off = [0, 1].map(f => m[k][f] + 2 * alpha * query[f] - limit[f]);
      total += weight;
      for (const f of [0, 1]) for (const g of [0, 1]) covariance[f][g] += weight * ((f === g) + off[f] * off[g]);
    });
    return { pi, limit, covariance, read: 1 / total, tau };
  }
  return { context, attend, law };
};
export const core = makeCore();

function picture(kit) {
  const WIDE = 1.5, unit = UNITS / REACH / WIDE, plane = panel(TEXT.plane, true), cloud = h("g", {}), signs = h("g", {});
  plane.svg.insertBefore(cloud, plane.svg.children[1]), plane.svg.append(signs);
  const piles = [0, 1, 2].map(() => cloud.appendChild(h("path", { opacity: 0.6 })));
  const ink = { fill: "none", stroke: "currentColor", class: "ink" };
  const [arm, limit, wall, cross] = [["stroke-width", 1], ["stroke-width", 1.5], ["stroke-dasharray", "2 4"], ["stroke-width", 3]]
    .map(([key, value]) => signs.appendChild(h("path", { ...ink, [key]: value })));
  plane.caption.textContent = TEXT.caption;
  const stacks = [0, 1].map(() => h("div", {}, ...COLOURS.map(colour => h("span", { style: `background:${colour}` }))));
  const shares = h("div", { "aria-hidden": "true" }, h("p", { class: "remark" }, TEXT.shares), h("div", { class: "stack" }, TEXT.measured, stacks[0], TEXT.law, stacks[1]));
  kit.root.append(
    kit.row(kit.choice("n", TEXT.count, kit.given.counts.map(n => [String(n), String(n)]), n => { kit.state.n = Number(n); }),
      kit.choice("own", TEXT.own, TEXT.owns.map((name, k) => [String(k - 1), name]), k => { kit.state.own = Number(k); }), kit.reset()),
    h("div", { class: "panels two" }, plane.element, h("figure", {},
      kit.knobs(kit.knob("alpha", TEXT.alpha, [-3, 3, 0.05]), kit.knob("apart", TEXT.apart, [0, 3, 0.05]), kit.knob("beta", TEXT.beta, [0, 8, 0.1])), shares)));
  const edge = v => Math.max(-4, Math.min(4, Math.round(v * 100) / 100));
  kit.hold(plane, WIDE, () => kit.state.query, p => { kit.state.query = p.map(edge); });

  // Round the limit the points at one standard deviation.
  function ellipse([x, y], [[a, b], [, c]]) {
    const p = Math.sqrt(a), q = b / p, r = Math.sqrt(Math.max(0, c - q * q));
    return polyline(Array.from({ length: 49 }, (_, i) => { const t = i * Math.PI / 24; return [(x + p * Math.cos(t)) * unit, -(y + q * Math.cos(t) + r * Math.sin(t)) * unit]; }));
  }
  return () => {
    const { query, own, alpha, beta, apart, n } = kit.state, px = plane.pixel(), x = core.context(kit.given.noise.slice(0, n), apart);
    const found = core.attend(x, query, own, alpha, beta), law = core.law(query, own, alpha, beta, apart, n);
    const one = apart === 0 && own < 0; // then classes are nothing that a reader could see
    shares.style.visibility = one ? "hidden" : "visible";
    piles.forEach((pile, k) => {
      pile.setAttribute("fill", one ? "currentColor" : COLOURS[k]);
      pile.setAttribute("d", x.map(([a, b], j) => {
        const size = px * Math.min(16, Math.max(1, 3 * Math.sqrt(n * found.A[j])) * (n > 100 ? 0.7 : 1));
        return j % 3 === k ? spots([[a * unit, -b * unit]], size) : "";
      }).join(""));
    });
    const at = ([a, b]) => [a * unit, -b * unit], [cx, cy] = at(found.mean), s = 7 * px;
    plane.draw([at(query)], [-1], -1, []);
    arm.setAttribute("d", polyline([[0, 0], at(law.limit)]));
    const [lx, ly] = at(law.limit);
    limit.setAttribute("d", `M${lx - s},${ly}h${2 * s}M${lx},${ly - s}v${2 * s}${law.covariance[0][0] < 25 ? ellipse(law.limit, law.covariance) : ""}`);
    cross.setAttribute("d", `M${cx - s},${cy - s}l${2 * s},${2 * s}M${cx - s},${cy + s}l${2 * s},${-2 * s}`);
    wall.setAttribute("d", apart === 0 ? spots([[0, 0]], unit * Math.sqrt(2 * Math.log(n))) : "");
    [found.shares, law.pi].forEach((shares, i) => shares.forEach((p, k) => { stacks[i].children[k].style.flex = p.toFixed(4); }));
    kit.root.dataset.mean = found.mean.join(" "), kit.root.dataset.limit = law.limit.join(" ");
    return TEXT.said(found.mean, law.limit, Math.hypot(found.mean[0] - law.limit[0], found.mean[1] - law.limit[1]), found.read, law.read, n, law.tau);
  };
}
