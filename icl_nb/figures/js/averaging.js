
// A matrix averaged over more and more renamings: what is left are the six numbers of chapter 2.

const TEXT = {
  title: "Averaging over renamings", picture: "The mean over renamings, and what six numbers make of it", chart: "Part that breaks the symmetry against renamings averaged",
  keys: "", reset: "Reset", play: "Play", pause: "Pause", film: "Renamings averaged", draws: "Renamings", other: "Another matrix",
  kinds: { random: "drawn at random", once: "each one once" }, count: n => (n === 0 ? "The matrix itself" : n === 1 ? "One renaming" : `Mean of ${n} renamings`),
  mean: n => (n === 0 ? "the matrix" : n === 1 ? "renamed" : `mean of ${n}`), six: "six numbers",
  caption: "Red: above 0; blue: below; lines part features from classes. Left: the mean so far. Right: the mixture of six matrices nearest to it.",
  chartCaption: "Distance between the two against renamings averaged, both logarithmic. Grey: one over the square root.",
  said: (n, left, root) => `${TEXT.count(n)}: ${left < 1e-9 ? "nothing" : left.toFixed(3)} of the part that breaks the symmetry is left${n > 1 ? `, where one over the square root would leave ${root.toFixed(3)}` : ""}.`,
};

const makeCore = () => {
  // The mean of the matrix with rows and columns in the first n of these orders, at each n of `counts`; n = 0 is the matrix.
  function means(matrix, orders, counts) {
    const sum = matrix.map(row => row.map(() => 0)), found = [];
    let done = 0;
    for (const n of counts) {
      for (; done < n; done++) { const o = orders[done]; sum.forEach((row, i) => row.forEach((_, j) => { row[j] += matrix[o[i]][o[j]]; })); }
      found.push(n ? sum.map(row => row.map(v => v / n)) : matrix);
    }
    return found;
  }
  // The six numbers: averages over the six kinds of pairs of indices, in terms of I and J.
  function coordinates(A, d) {
    const D = A.length, K = D - d, sums = { I_d: 0, J_d: 0, I_K: 0, J_K: 0, J_dK: 0, J_Kd: 0 };
    A.forEach((row, i) => row.forEach((v, j) => { sums[i < d ? (j >= d ? "J_dK" : i === j ? "I_d" : "J_d") : j < d ? "J_Kd" : i === j ? "I_K" : "J_K"] += v; }));
    const off = (sum, size) => (size > 1 ? sum / (size * (size - 1)) : 0), f = off(sums.J_d, d), c = off(sums.J_K, K);
    return { I_d: sums.I_d / d - f, J_d: d * f, I_K: sums.I_K / K - c, J_K: K * c, J_dK: sums.J_dK / Math.sqrt(d * K), J_Kd: sums.J_Kd / Math.sqrt(d * K) };
  }
  function assemble(six, d, K) {
    const cross = Math.sqrt(d * K);
    return Array.from({ length: d + K }, (_, i) => Array.from({ length: d + K }, (_, j) => (i < d
      ? (j < d ? six.J_d / d + (i === j) * six.I_d : six.J_dK / cross) : j < d ? six.J_Kd / cross : six.J_K / K + (i === j) * six.I_K)));
  }
  const distance = (A, B) => Math.sqrt(A.reduce((sum, row, i) => sum + row.reduce((s, v, j) => s + (v - B[i][j]) ** 2, 0), 0));
  // All d! K! orders, in the order of `uniform`.
  function all(d, K, uniform) {
    const permutations = items => (items.length < 2 ? [items] : items.flatMap((first, i) => permutations([...items.slice(0, i), ...items.slice(i + 1)]).map(rest => [first, ...rest])));
    const range = (from, size) => Array.from({ length: size }, (_, i) => from + i), list = permutations(range(0, d)).flatMap(p => permutations(range(d, K)).map(q => [...p, ...q]));
    for (let i = list.length - 1; i > 0; i--) { const j = Math.floor(uniform() * (i + 1)); [list[i], list[j]] = [list[j], list[i]]; }
    return list;
  }
  function seeded(seed) { // mulberry32
    let a = seed >>> 0;
    return () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296; };
  }
  return { means, coordinates, assemble, distance, all, seeded };
};
export const core = makeCore();

function picture(kit) {
  const { d, orders, counts } = kit.given, D = kit.state.matrix.length, K = D - d;
  const random = orders.map(order => [...order].map(Number)), once = core.all(d, K, core.seeded(1)), total = once.length;
  const grid = sheet(TEXT.picture, 206), chart = sheet(TEXT.chart, 200), six = h("p", { class: "remark" });
  let seeds = 0, key = "", paths = {};
  const list = () => (kit.state.draws === "once" ? [...counts.filter(n => n < total), total] : counts);
  const count = () => list()[Math.min(list().length - 1, Math.round(kit.state.at))];
  const fresh = () => {
    const uniform = core.seeded(100 + ++seeds), gauss = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    kit.state.matrix = Array.from({ length: D }, () => Array.from({ length: D }, () => Math.round(100 * gauss()) / 100)), kit.update();
  };
  const caption = text => h("figcaption", {}, text);
  kit.root.append(
    kit.row(kit.choice("draws", TEXT.draws, Object.entries(TEXT.kinds), () => { kit.stop(), kit.state.at = Math.min(kit.state.at, list().length - 1); }), kit.button(TEXT.other, fresh), kit.reset()),
    h("div", { class: "panels two" }, h("figure", {}, grid.svg, caption(TEXT.caption)), h("figure", {}, chart.svg, caption(TEXT.chartCaption))),
    kit.film(TEXT.film, () => list().length - 1, () => TEXT.count(count()), () => 350, true), six);

  return () => {
    const { matrix, draws } = kit.state, n = count(), index = list().indexOf(n);
    if (key !== JSON.stringify([matrix, draws])) { // all means at once: a few hundred thousand sums
      const found = core.means(matrix, draws === "once" ? once : random, list()), target = core.assemble(core.coordinates(matrix, d), d, K);
      key = JSON.stringify([matrix, draws]), paths = { found, target, left: found.map(mean => core.distance(mean, target)) };
    }
    const { found, target, left } = paths, wide = grid.width(), size = Math.min(180, wide / 2 - 10) / D, shapes = [];
    [found[index], target].forEach((A, side) => {
      const x = side ? wide - size * D - 1 : 1;
      A.forEach((row, i) => row.forEach((v, j) => shapes.push({ d: box(x + j * size + 0.5, 20 + i * size + 0.5, size - 1, size - 1), fill: v > 0 ? "#B2182B" : "#2166AC", opacity: Math.min(1, Math.abs(v) / 1.5) })));
      shapes.push({ d: `M${x + d * size},20v${D * size}M${x},${20 + d * size}h${D * size}M${x},20h${D * size}v${D * size}h${-D * size}z`, stroke: "currentColor", width: 1, opacity: 0.6 });
    });
    grid.draw(shapes, [{ x: 1, y: 12, text: TEXT.mean(n) }, { x: wide - size * D, y: 12, text: TEXT.six }]);

    const w = chart.width(), shown = list().map((v, t) => [v, left[t]]).filter(([v, r]) => v > 0 && r > 1e-9 * left[0]), floor = Math.min(left[0] / 40, ...shown.map(([, r]) => r)) / 1.3;
    const across = axis([40, w - 18], [1, Math.max(total, counts[counts.length - 1])], true), up = axis([170, 10], [floor, left[0] * 1.3], true);
    const decades = [1, 10, 100, 1000].map(v => [across.at(v), String(v)]).filter(([x]) => x <= w - 16);
    chart.draw([
      ...up.ticks.map(([y]) => ({ d: `M40,${y}H${w - 18}`, stroke: "currentColor", opacity: 0.15 })),
      { d: polyline([1, 1000].map(v => [across.at(v), up.at(left[0] / Math.sqrt(v))])), stroke: "currentColor", opacity: 0.5 },
      { d: `M${across.at(Math.max(1, n))},10V170`, stroke: "currentColor", opacity: 0.6, dash: "3 3" },
      { d: spots(shown.map(([v, r]) => [across.at(v), up.at(r)]), 4), fill: "#56B4E9" },
    ], [...up.ticks.map(([y, text]) => ({ x: 35, y: y + 4, text, anchor: "end" })), ...decades.map(([x, text]) => ({ x, y: 188, text, anchor: "middle" }))]);
    const values = core.coordinates(found[index], d);
    six.textContent = Object.entries(values).map(([name, v]) => `${name} ${v.toFixed(2)}`).join(",  ");
    kit.root.dataset.left = left[index] / left[0], kit.root.dataset.six = Object.values(values).join(" ");
    return TEXT.said(n, left[index] / left[0], 1 / Math.sqrt(Math.max(1, n)));
  };
}
