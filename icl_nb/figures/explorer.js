// The recursion under the reader's hand: one module without dependencies, in anywidget's form.
//
// makeCore is the mathematics, and knows no page: its text is also what the Worker runs. The rest draws.
// Tokens lie row by row in a Float64Array: m copies of the d features, then m copies of the K entries of the label.

const makeCore = () => {
  // A table as Python writes it, with scalars (L, H) or (L, H, m, m), as one flat array for each scalar.
  function parse(table) {
    const { alpha } = table.table, L = alpha.length, H = alpha[0].length;
    const m = Array.isArray(alpha[0][0]) ? alpha[0][0].length : 1;
    const flat = name => Float64Array.from(table.table[name].flat(3));
    const scale = [table.scale].flat();
    return { L, H, m, scale, alpha: flat("alpha"), beta: flat("beta"), gamma: flat("gamma"), delta: flat("delta") };
  }

  // The same with its couplings multiplied, factors[phase][scalar], and cut to a depth.
  function bend(t, factors, depth) {
    const size = t.H * t.m * t.m, out = { ...t, L: depth };
    ["alpha", "beta", "gamma", "delta"].forEach((name, s) => {
      out[name] = t[name].slice(0, depth * size).map((value, i) => value * factors[phase(Math.floor(i / size), t.L)][s]);
    });
    return out;
  }

  // Of 8 layers the first 3, the next 2 and the last 3, and so in proportion.
  const phase = (level, L) => (level < Math.round(L * 3 / 8) ? 0 : level < Math.round(L * 5 / 8) ? 1 : 2);

  function embed(t, x, y, d, K) {
    const rows = x.length / d, D = t.m * (d + K), z = new Float64Array(rows * D);
    for (let i = 0; i < rows; i++) {
      for (let f = 0; f < d; f++) z[i * D + f] = x[i * d + f];
      if (i < y.length && y[i] >= 0) for (let k = 0; k < K; k++) z[i * D + t.m * d + k] = (y[i] === k) - 1 / K;
    }
    return z;
  }

  // What the context offers to those who look at it in one layer: for each head keys and values, (n, D) each.
  function offer(t, level, z, n, d, K) {
    const { m } = t, D = m * (d + K), heads = [];
    for (let h = 0; h < t.H; h++) {
      const at = (level * t.H + h) * m * m, keys = new Float64Array(n * D), values = new Float64Array(n * D);
      for (let j = 0; j < n; j++) for (const [first, size, ask, give] of [[0, d, t.alpha, t.gamma], [m * d, K, t.beta, t.delta]]) {
        for (let a = 0; a < m; a++) for (let b = 0; b < m; b++) {
          const to = j * D + first + a * size, from = j * D + first + b * size, p = ask[at + a * m + b], q = give[at + a * m + b];
          for (let f = 0; f < size; f++) { keys[to + f] += p * z[from + f]; values[to + f] += q * z[from + f]; }
        }
      }
      heads.push({ keys, values });
    }
    return heads;
  }

  // One layer for `rows` tokens, in place. The attention (H, rows, n) goes to `A` where that is given.
  function attend(heads, z, rows, n, D, A) {
    const H = heads.length, scores = new Float64Array(n), move = new Float64Array(D), mean = new Float64Array(D), own = new Float64Array(D);
    for (let i = 0; i < rows; i++) {
      move.fill(0);
      for (let f = 0; f < D; f++) own[f] = z[i * D + f];
      for (let h = 0; h < H; h++) {
        const keys = heads[h].keys, values = heads[h].values;
        let most = -Infinity, sum = 0;
        for (let j = 0, b = 0; j < n; j++) {
          let s = 0;
          for (let f = 0; f < D; f++, b++) s += own[f] * keys[b];
          scores[j] = s;
          if (s > most) most = s;
        }
        mean.fill(0);
        for (let j = 0, b = 0; j < n; j++) {
          const e = Math.exp(scores[j] - most);
          sum += e;
          if (A) scores[j] = e;
          for (let f = 0; f < D; f++, b++) mean[f] += e * values[b];
        }
        for (let f = 0; f < D; f++) move[f] += mean[f] / sum;
        if (A) for (let j = 0; j < n; j++) A[(h * rows + i) * n + j] = scores[j] / sum;
      }
      for (let f = 0; f < D; f++) z[i * D + f] = own[f] + move[f];
    }
  }

  const readOut = (t, z, row, d, K) => Array.from({ length: K }, (_, k) =>
    t.scale.reduce((sum, s, a) => sum + s * z[row * t.m * (d + K) + t.m * d + a * K + k], 0));

  function softmax(logits) {
    const most = Math.max(...logits), p = logits.map(v => Math.exp(v - most)), sum = p.reduce((a, b) => a + b, 0);
    return p.map(v => v / sum);
  }

  // All that moves: tokens (L + 1, N, D), and the attention of each layer, (H, N, n). The context comes first.
  function trajectory(t, x, y, d, K) {
    const n = y.length, D = t.m * (d + K), z = embed(t, x, y, d, K), rows = z.length / D, levels = [z.slice()], attention = [], offers = [];
    for (let level = 0; level < t.L; level++) {
      const A = new Float64Array(t.H * rows * n), heads = offer(t, level, z, n, d, K);
      attend(heads, z, rows, n, D, A);
      levels.push(z.slice()), attention.push(A), offers.push(heads);
    }
    return { levels, attention, offers, rows, n, D };
  }

  // A function from points of the plane, flat, to class probabilities, flat; null where there is none.
  const predictors = {
    recursion({ t, x, y, K }) {
      const { offers, n, D } = trajectory(t, x, y, 2, K);
      return q => {
        const z = embed(t, q, [], 2, K), rows = q.length / 2;
        offers.forEach(heads => attend(heads, z, rows, n, D));
        return each(q, K, (_, i) => softmax(readOut(t, z, i, 2, K)));
      };
    },
    centroid({ x, y, K }) {
      const { means } = classMeans(x, y, K);
      return q => each(q, K, ([a, b]) => softmax(means.map(m => (m ? -((a - m[0]) ** 2 + (b - m[1]) ** 2) / 2 : -Infinity))));
    },
    logistic({ x, y, K }) {
      const W = fitLogistic(x, y, K);
      return q => each(q, K, ([a, b]) => softmax(W.map(w => (w ? w[0] * a + w[1] * b : -Infinity))));
    },
    descent({ t, x, y, K }) {
      const W = descend(x, y, K, t.L, 1);
      return q => each(q, K, ([a, b]) => softmax(W.map(w => w[0] * a + w[1] * b)));
    },
    bayes({ x, y, K }) {
      const posterior = K === 2 ? halfPlanes(x, y) : sectors(x, y);
      return posterior && (q => each(q, K, ([a, b]) => posterior(Math.atan2(b, a))));
    },
  };

  function each(q, K, one) {
    const out = new Float64Array((q.length / 2) * K);
    for (let i = 0; i < q.length / 2; i++) out.set(one([q[2 * i], q[2 * i + 1]], i), i * K);
    return out;
  }

  function classMeans(x, y, K) {
    const counts = Array(K).fill(0), sums = Array.from({ length: K }, () => [0, 0]);
    y.forEach((k, j) => { counts[k]++, sums[k][0] += x[2 * j], sums[k][1] += x[2 * j + 1]; });
    return { counts, means: sums.map(([a, b], k) => (counts[k] ? [a / counts[k], b / counts[k]] : null)) };
  }

  // Softmax regression without intercept, penalty |W|^2 / 2 and C = 10, by Newton's method; null for a missing class.
  // Where only two classes are there, the penalty is on their difference as one row, which is twice as much.
  function fitLogistic(x, y, K) {
    const here = [...new Set(y)].sort(), k = here.length, size = 2 * k, ridge = (k === 2 ? 2 : 1) / 10;
    const score = (w, j) => here.map((_, c) => w[2 * c] * x[2 * j] + w[2 * c + 1] * x[2 * j + 1]);
    const loss = w => w.reduce((s, v) => s + ridge * v * v / 2, 0) - y.reduce((s, label, j) => {
      const logits = score(w, j), most = Math.max(...logits);
      return s + logits[here.indexOf(label)] - most - Math.log(logits.reduce((a, v) => a + Math.exp(v - most), 0));
    }, 0);
    let w = Array(size).fill(0), current = loss(w);
    for (let step = 0; step < 100; step++) {
      const gradient = w.map(v => ridge * v), H = w.map((_, i) => w.map((_, j) => (i === j ? ridge : 0)));
      y.forEach((label, j) => {
        const p = softmax(score(w, j)), at = [x[2 * j], x[2 * j + 1]];
        for (let c = 0; c < k; c++) for (let f = 0; f < 2; f++) {
          gradient[2 * c + f] += (p[c] - (here[c] === label)) * at[f];
          for (let e = 0; e < k; e++) for (let g = 0; g < 2; g++) H[2 * c + f][2 * e + g] += p[c] * ((c === e) - p[e]) * at[f] * at[g];
        }
      });
      const move = solve(H, gradient), slope = gradient.reduce((s, v, i) => s + v * move[i], 0);
      if (!(slope > 1e-12 * current)) break;
      let length = 1, next;
      for (let half = 0; half < 30; half++, length /= 2) {
        next = w.map((v, i) => v - length * move[i]);
        if (loss(next) <= current - 1e-4 * length * slope) break;
      }
      w = next, current = loss(w);
    }
    return Array.from({ length: K }, (_, c) => (here.includes(c) ? w.slice(2 * here.indexOf(c), 2 * here.indexOf(c) + 2) : null));
  }

  function solve(A, b) {
    const M = A.map((row, i) => [...row, b[i]]), n = b.length;
    for (let i = 0; i < n; i++) {
      let best = i;
      for (let r = i + 1; r < n; r++) if (Math.abs(M[r][i]) > Math.abs(M[best][i])) best = r;
      [M[i], M[best]] = [M[best], M[i]];
      for (let r = 0; r < n; r++) if (r !== i) {
        const q = M[r][i] / M[i][i];
        for (let c = i; c <= n; c++) M[r][c] -= q * M[i][c];
      }
    }
    return M.map((row, i) => row[n] / row[i]);
  }

  // Normalised gradient descent on softmax regression: steps of one length along the mean gradient.
  function descend(x, y, K, steps, rate) {
    const W = Array.from({ length: K }, () => [0, 0]);
    for (let step = 0; step < steps; step++) {
      const G = Array.from({ length: K }, () => [0, 0]);
      y.forEach((label, j) => {
        const p = softmax(W.map(w => w[0] * x[2 * j] + w[1] * x[2 * j + 1]));
        for (let k = 0; k < K; k++) for (let f = 0; f < 2; f++) G[k][f] += ((k === label) - p[k]) * x[2 * j + f];
      });
      const size = Math.hypot(...G.flat());
      if (size > 0) W.forEach((w, k) => { w[0] += rate * G[k][0] / size, w[1] += rate * G[k][1] / size; });
    }
    return W;
  }

  // Bayes for two classes: w_0 - w_1 has a uniform direction, and each point leaves a half circle of it.
  function halfPlanes(x, y) {
    const side = (j, s) => Math.atan2(s * x[2 * j + 1], s * x[2 * j]);
    const turn = a => a - 2 * Math.PI * Math.ceil((a - Math.PI) / (2 * Math.PI)); // into (-pi, pi]
    const zero = side(0, y[0] ? -1 : 1);
    let low = -Math.PI / 2, high = Math.PI / 2;
    y.forEach((label, j) => {
      const a = turn(side(j, label ? -1 : 1) - zero);
      low = Math.max(low, a - Math.PI / 2), high = Math.min(high, a + Math.PI / 2);
    });
    if (!(low < high)) return null;
    return angle => {
      let share = 0;
      for (const turns of [-2, 0, 2]) {
        const a = turn(angle - zero) + turns * Math.PI;
        share += Math.max(0, Math.min(high, a + Math.PI / 2) - Math.max(low, a - Math.PI / 2));
      }
      share = Math.min(1, share / (high - low));
      return [share, 1 - share];
    };
  }

  // Bayes for three classes. Their regions are three sectors, each narrower than pi; where the class vectors are
  // Gaussian, borders at given angles have density prod sin(s_i) / (sum sin^2 s_i)^2 in the widths s_i of the sectors.
  // A border can lie only where the label changes from one point to the next, so a sum over such places is enough.
  function sectors(x, y) {
    const n = y.length, order = y.map((_, j) => j).sort((a, b) => at(a) - at(b)), found = new Set(y).size;
    function at(j) { return Math.atan2(x[2 * j + 1], x[2 * j]); }
    const gaps = order.map((_, g) => g).filter(g => found === 1 || y[order[g]] !== y[order[(g + 1) % n]]);
    if (found > 1 && gaps.length > 3) return null;
    const parts = Math.max(2, Math.floor(84 / gaps.length)), nodes = [];
    for (const g of gaps) {
      const from = at(order[g]), to = g + 1 < n ? at(order[g + 1]) : at(order[0]) + 2 * Math.PI, width = (to - from) / parts;
      for (let p = 0; p < parts; p++) if (width > 0) nodes.push({ angle: from + (p + 0.5) * width, width, after: g });
    }
    // Which labels a sector between two places may have, as bits: 7 where no point lies in it.
    const M = nodes.length, may = nodes.map(a => nodes.map(b => {
      let bits = 7;
      for (let g = a.after; g !== b.after; g = (g + 1) % n) bits &= 1 << y[order[(g + 1) % n]];
      return bits;
    }));
    const around = nodes.map((a, i) => nodes.map((b, j) => (i === j || a.after !== b.after || j > i ? may[i][j] : all())));
    function all() { return y.reduce((bits, label) => bits & (1 << label), 7); } // once around, back into the same gap
    const diff = [0, 1, 2].map(() => new Float64Array(M + 1)), ways = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]];
    let total = 0;
    for (let a = 0; a < M; a++) for (let b = a + 1; b < M; b++) {
      const ab = around[a][b];
      if (!ab) continue;
      for (let c = b + 1; c < M; c++) {
        const bc = around[b][c], ca = around[c][a];
        if (!bc || !ca) continue;
        const s = Math.sin(nodes[b].angle - nodes[a].angle), t = Math.sin(nodes[c].angle - nodes[b].angle);
        const u = Math.sin(nodes[a].angle - nodes[c].angle); // of the width less 2 pi
        if (s <= 0 || t <= 0 || u <= 0) continue;
        const weight = nodes[a].width * nodes[b].width * nodes[c].width * s * t * u / (s * s + t * t + u * u) ** 2;
        for (const [p, q, r] of ways) if ((ab >> p) & (bc >> q) & (ca >> r) & 1) {
          total += weight;
          diff[p][a] += weight, diff[p][b] -= weight, diff[q][b] += weight, diff[q][c] -= weight;
          diff[r][c] += weight, diff[r][M] -= weight, diff[r][0] += weight, diff[r][a] -= weight;
        }
      }
    }
    if (!(total > 0)) return null;
    diff.forEach(row => { for (let i = 1; i <= M; i++) row[i] += row[i - 1]; });
    const begins = nodes.map(node => node.angle - node.width / 2);
    return angle => {
      const a = angle < begins[0] ? angle + 2 * Math.PI : angle;
      let low = 0, high = M; // the last place that begins before a; there the border is spread over the place's width
      while (high - low > 1) { const middle = (low + high) >> 1; if (begins[middle] <= a) low = middle; else high = middle; }
      const part = Math.min(1, (a - begins[low]) / nodes[low].width), before = low ? low - 1 : M - 1;
      return diff.map(row => Math.max(0, ((1 - part) * row[before] + part * row[low]) / total));
    };
  }

  // Class probabilities on a grid of the square [-reach, reach]^2, rows from the top, (size, size, K); null if none.
  function map(kind, task, size, reach) {
    const predict = predictors[kind](task);
    if (!predict) return null;
    const q = new Float64Array(2 * size * size);
    for (let r = 0; r < size; r++) for (let c = 0; c < size; c++) {
      q[2 * (r * size + c)] = reach * ((2 * c + 1) / size - 1), q[2 * (r * size + c) + 1] = reach * (1 - (2 * r + 1) / size);
    }
    return predict(q);
  }

  return { parse, bend, phase, trajectory, readOut, softmax, predictors, map };
};

export const core = makeCore();

// What is said, in one place, for those who translate.
const TEXT = {
  explorer: "Explorer of the recursion",
  sectors: "Explorer of the posterior",
  head: "Explorer of one head",
  table: "Table", classes: "Classes", beside: "Beside it",
  rivals: {
    none: "nothing", centroid: "nearest centroid", logistic: "logistic regression",
    descent: "normalised gradient descent", bayes: "Bayes",
  },
  fresh: "New task", reset: "Reset", share: "Share", previous: "Previous point", next: "Next point", add: "Add a point", remove: "Remove it",
  label: (k, name) => `Make it ${name}`,
  names: ["blue circle", "orange square", "green triangle"],
  query: "the query", point: (i, n, name) => `point ${i} of ${n}, ${name}`,
  at: (x, y) => `at ${x.toFixed(2)}, ${y.toFixed(2)}`,
  plane: "Points of the plane",
  keys: "Arrow keys move the chosen point (finer with Shift), Page Up and Page Down choose another, Home chooses the query, "
    + "1 to 3 relabel it, Insert adds a point, Delete removes it.",
  planeCaption: beside => `The task: drag any point, or the star. Colour: the answer at each place.${beside ? ` Dashed: where ${beside} changes its answer.` : ""}`,
  features: "Features", labels: "Label blocks",
  featuresCaption: (t, m) => `Features ${when(t)}${m > 1 ? `, first of ${m} copies` : ""}`,
  labelsCaption: (t, m, K) => `Labels ${when(t)}${m > 1 ? `, first of ${m} copies` : ""}${K === 2 ? "; height means nothing" : ""}`,
  attention: "Lines: whom the chosen point looks at next.",
  play: "Play", pause: "Pause", layers: "Layers passed",
  belief: "What the query believes, before and after each layer",
  couplings: "Turn the couplings", depth: "Depth", times: "Factors: 1 is as trained, 0 switches off, below 0 turns around.",
  phase: (a, b) => (a === b ? `layer ${a}` : `layers ${a} to ${b}`), greek: ["α", "β", "γ", "δ"], scalars: ["alpha", "beta", "gamma", "delta"],
  factor: (name, where) => `${name} in ${where}`,
  says: (who, name, p, t) => `${who} says ${name} (${p.toFixed(2)})${t === undefined ? "" : `, ${when(t)}`}.`,
  network: "The table", impossible: kind => `${kind}: no linear rule through the centre gives these labels.`,
  overflow: "With these couplings the numbers overflow.", same: "undecided",
  shared: "The address of this page now holds this state.", copied: "The address of this state is copied.",
  sectorsCaption: "Click or tap to ask for one more label. Colour: what Bayes can know so far.",
  headCaption: "One head: where each point goes in one step.", headLabels: "Labels: where each goes.",
};
const when = t => (t < 0.01 ? "as given" : `after layer ${Math.round(t)}`);

const COLOURS = ["#0072B2", "#E69F00", "#009E73"];
const SHAPES = ["M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", "M-4.5,-4.5h9v9h-9z", "M0,-6L5.5,4.5H-5.5z"];
const STAR = "M0,-11L3,-3.6L10.5,-3.4L4.6,1.4L6.5,8.9L0,4.6L-6.5,8.9L-4.6,1.4L-10.5,-3.4L-3,-3.6z";
const CORNERS = [[0, 1], [-Math.sqrt(3) / 2, -0.5], [Math.sqrt(3) / 2, -0.5]];
const REACH = 3, EDGE = 2.9, MOST = 60, UNITS = 300; // of a panel, from its middle
const FACTORS = () => [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]];

const STYLE = `
.icl-live{container-type:inline-size;color:inherit;font-size:.875rem;line-height:1.4;border:1px solid color-mix(in srgb,currentColor 30%,transparent);border-radius:.6rem;padding:.7rem;margin:0}
.icl-live *{box-sizing:border-box}
.icl-live .icl-row{display:flex;flex-wrap:wrap;gap:.4rem .6rem;align-items:center;margin:.4rem 0}
.icl-live label{max-width:100%;min-width:0;display:inline-flex;gap:.35rem;align-items:center;margin:0}
.icl-live button,.icl-live select{font:inherit;color:inherit;background:transparent;border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.3rem;padding:.2rem .55rem;min-height:1.9rem;max-width:100%;min-width:0}
.icl-live option{color:#222;background:#fff}
.icl-live button:hover{background:color-mix(in srgb,currentColor 12%,transparent)}
.icl-live button svg{width:1em;height:1em;vertical-align:-.12em}
.icl-live :focus-visible{outline:3px solid #56B4E9;outline-offset:2px}
.icl-live input[type=range]{min-width:0;min-height:1.6rem;accent-color:#0072B2}
.icl-live .panels{display:grid;gap:.6rem;grid-template-columns:repeat(2,minmax(0,1fr))}
.icl-live .panels figure:first-child{grid-column:span 2}.icl-live .panels.two figure:last-child,.icl-live .panels.one figure{grid-column:1/-1}
@container (min-width:33rem){.icl-live .panels{grid-template-columns:minmax(0,2fr) minmax(0,1fr)}.icl-live .panels figure:first-child{grid-row:span 2;grid-column:auto}
.icl-live .panels.one{grid-template-columns:minmax(0,26rem)}.icl-live .panels.two{grid-template-columns:minmax(0,1.4fr) minmax(0,1fr)}.icl-live .panels.two figure:last-child{grid-column:auto}}
.icl-live figure{margin:0;padding:0;min-width:0;width:auto}
.icl-live figcaption,.icl-live .remark{color:inherit;font-size:.8125rem;margin:.2rem 0 0;max-width:none;text-align:left;padding:0}
.icl-live .stage{position:relative;aspect-ratio:1;border:1px solid color-mix(in srgb,currentColor 25%,transparent);border-radius:.3rem;overflow:hidden}
.icl-live .stage>*{position:absolute;inset:0;width:100%;height:100%;display:block}
.icl-live .hit{fill:transparent;touch-action:none;cursor:grab}
.icl-live .hit:active{cursor:grabbing}
.icl-live .ring{fill:none;stroke:currentColor;stroke-width:1.5px;vector-effect:non-scaling-stroke;pointer-events:none}
.icl-live .ink{vector-effect:non-scaling-stroke;pointer-events:none}
.icl-live .icl-token{pointer-events:none}
.icl-live .bars{display:flex;gap:2px;height:4.6rem;align-items:stretch;cursor:pointer}
.icl-live .bars>div{flex:1;display:flex;flex-direction:column;border-radius:2px;overflow:hidden;min-width:0}
.icl-live .bars>.now{outline:2px solid currentColor;outline-offset:1px}
.icl-live .bars>.rival{flex:1.5;margin-left:.6rem}
.icl-live .ticks{display:flex;gap:2px;font-size:.72rem;min-height:1.2em}
.icl-live .ticks>span{flex:1;text-align:center;min-width:0;white-space:nowrap}
.icl-live .ticks>.rival{flex:1.5;margin-left:.6rem}
.icl-live .turn{display:grid;grid-template-columns:auto repeat(4,minmax(0,1fr));gap:.2rem .5rem;align-items:center;margin:.4rem 0}
.icl-live .turn input{width:100%}
@container (max-width:33rem){.icl-live .turn{grid-template-columns:repeat(4,minmax(0,1fr))}.icl-live .turn .where{grid-column:1/-1}}
.icl-live .turn.one{grid-template-columns:auto minmax(0,1fr) 3.2em}
.icl-live details{margin:.4rem 0 0;padding:0;border:0;background:none;box-shadow:none}
.icl-live summary{cursor:pointer}
.icl-live .said{margin:.3rem 0 0;min-height:1.4em}`;

function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "circle", "line"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const icon = k => h("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, h("path", { d: SHAPES[k], fill: COLOURS[k] }));
const select = (label, options, value, change) => {
  const box = h("select", { onchange: () => change(box.value) }, ...options.map(([id, name]) => h("option", { value: id }, name)));
  box.value = value;
  return { row: h("label", {}, label, box), box };
};

// A square panel of points: marks keep their size in pixels whatever the panel's width. `grip` makes them draggable.
function panel(label, grip) {
  const under = h("canvas", { width: 1, height: 1, "aria-hidden": "true" }), layer = () => h("g", {});
  const axes = h("path", { d: `M-${UNITS},0H${UNITS}M0,-${UNITS}V${UNITS}`, class: "ink", stroke: "currentColor", opacity: 0.18, fill: "none" });
  const [lines, marks, hits] = [layer(), layer(), layer()], ring = h("circle", { class: "ring", r: 0 });
  const svg = h("svg", { viewBox: `-${UNITS} -${UNITS} ${2 * UNITS} ${2 * UNITS}` }, axes, lines, marks, ring, hits);
  if (grip) for (const [key, value] of [["tabindex", 0], ["role", "application"], ["aria-label", `${label}. ${TEXT.keys}`]]) svg.setAttribute(key, value);
  else svg.setAttribute("role", "img"), svg.setAttribute("aria-label", label);
  const caption = h("figcaption", {}), stage = h("div", { class: "stage" }, under, svg);
  const element = h("figure", {}, stage, caption);
  const pixel = () => 2 * UNITS / (svg.getBoundingClientRect().width || 300);
  // places in units, labels (-1 is the query), which is chosen, and lines: [from, to, width, opacity]
  function draw(places, labels, chosen, strokes, outlines = []) {
    const px = pixel(), n = places.length;
    const grow = (group, count, make) => { while (group.childNodes.length < count) group.append(make()); while (group.childNodes.length > count) group.lastChild.remove(); };
    grow(marks, n + outlines.length, () => h("path", { class: "icl-token" }));
    places.forEach(([x, y], i) => {
      const mark = marks.childNodes[i], star = labels[i] < 0;
      mark.setAttribute("d", star ? STAR : SHAPES[labels[i]]);
      mark.setAttribute("fill", star ? "currentColor" : COLOURS[labels[i]]);
      mark.setAttribute("stroke", star ? "none" : "#fff"), mark.setAttribute("stroke-width", 0.7);
      mark.setAttribute("transform", `translate(${x} ${y}) scale(${px})`);
    });
    outlines.forEach(([x, y, k], i) => {
      const mark = marks.childNodes[n + i];
      mark.setAttribute("d", SHAPES[k]), mark.setAttribute("fill", "none"), mark.setAttribute("stroke", COLOURS[k]), mark.setAttribute("stroke-width", 1.6);
      mark.setAttribute("transform", `translate(${x} ${y}) scale(${1.7 * px})`);
    });
    if (grip) {
      grow(hits, n, () => h("circle", { class: "hit" }));
      places.forEach(([x, y], i) => { const hit = hits.childNodes[i]; hit.setAttribute("cx", x), hit.setAttribute("cy", y), hit.setAttribute("r", 13 * px); });
    }
    if (places[chosen]) ring.setAttribute("cx", places[chosen][0]), ring.setAttribute("cy", places[chosen][1]), ring.setAttribute("r", 12 * px);
    grow(lines, strokes.length, () => h("path", { class: "ink", fill: "none", stroke: "currentColor" }));
    strokes.forEach(({ d, width, opacity, dash }, i) => {
      const line = lines.childNodes[i];
      line.setAttribute("d", d), line.setAttribute("stroke-width", width), line.setAttribute("opacity", opacity), line.setAttribute("stroke-dasharray", dash || "none");
    });
  }
  const place = event => {
    const box = svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width * 2 - 1) * REACH, (1 - (event.clientY - box.top) / box.height * 2) * REACH];
  };
  return { element, svg, under, caption, draw, place, pixel };
}

// Class probabilities as colours on a canvas, surer where one class is ahead; they lie over whatever ground the page has.
function paint(canvas, map, size, K) {
  if (!map) { canvas.width = canvas.height = 1; return; }
  const rgb = COLOURS.map(colour => [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16)));
  const picture = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    let most = 0;
    for (let k = 0; k < K; k++) {
      const p = map[i * K + k];
      most = Math.max(most, p);
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] += p * rgb[k][c];
    }
    picture.data[4 * i + 3] = 25 + 120 * (most - 1 / K) / (1 - 1 / K);
  }
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// Where the answer of a map changes, as one path: crossings on the edges of the grid, joined within each cell.
function borders(map, size, K) {
  const best = i => { let k = 0; for (let c = 1; c < K; c++) if (map[i * K + c] > map[i * K + k]) k = c; return k; };
  const unit = 2 * UNITS / size, at = (r, c) => [(c + 0.5) * unit - UNITS, (r + 0.5) * unit - UNITS], answer = Array.from({ length: size * size }, (_, i) => best(i));
  const edges = new Map(), key = p => `${p[0].toFixed(1)},${p[1].toFixed(1)}`;
  const link = (a, b) => edges.set(a, [...(edges.get(a) || []), b]);
  for (let r = 0; r + 1 < size; r++) for (let c = 0; c + 1 < size; c++) {
    const corner = [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]], found = [];
    corner.forEach(([ra, ca], e) => {
      const [rb, cb] = corner[(e + 1) % 4], i = ra * size + ca, j = rb * size + cb, a = answer[i], b = answer[j];
      if (a === b) return;
      const p = map[i * K + a] - map[i * K + b], q = map[j * K + b] - map[j * K + a], s = p + q > 0 ? p / (p + q) : 0.5;
      const [xa, ya] = at(ra, ca), [xb, yb] = at(rb, cb);
      found.push([xa + s * (xb - xa), ya + s * (yb - ya)]);
    });
    const middle = [0, 1].map(f => found.reduce((sum, p) => sum + p[f], 0) / found.length), ends = found.length === 2 ? [[found[0], found[1]]] : found.map(p => [p, middle]);
    for (const [a, b] of ends) if (key(a) !== key(b)) link(key(a), key(b)), link(key(b), key(a));
  }
  // Joined to long lines, from their ends on, so that dashes run through.
  let d = "";
  for (const start of [...[...edges.keys()].filter(p => edges.get(p).length !== 2), ...edges.keys()]) while (edges.get(start).length) {
    d += `M${start}`;
    for (let here = start, next; (next = edges.get(here).pop()); here = next) {
      edges.get(next).splice(edges.get(next).indexOf(here), 1);
      d += `L${next}`;
      if (edges.get(next).length !== 1) break;
    }
  }
  return d;
}

// Maps are made elsewhere, the newest wish first: coarse while the reader drags, then fine. Without Workers, in between.
function mapper(done) {
  let worker = null, busy = false, wish = null;
  const answer = wanted => wanted.kinds.map(kind => core.map(kind, wanted.task, wanted.size, REACH));
  try {
    const source = `const core=(${makeCore})();onmessage=({data:w})=>postMessage(w.kinds.map(kind=>core.map(kind,w.task,w.size,w.reach)))`;
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    worker = new Worker(address);
    worker.onmessage = ({ data }) => finish(data);
    worker.onerror = event => { event.preventDefault(); worker = null, busy = false; next(); };
  } catch { worker = null; }
  let current;
  function finish(maps) { busy = false; done(current, maps); next(); }
  function next() {
    if (busy || !wish) return;
    current = wish, wish = null, busy = true;
    if (worker) worker.postMessage({ ...current, reach: REACH });
    else { const mine = current; setTimeout(() => { if (mine === current) finish(answer(mine)); }, 0); }
  }
  return { ask: wanted => { wish = wanted; next(); }, close: () => worker && worker.terminate() };
}

function random(seed) { // mulberry32, and from it a Gaussian
  let a = seed >>> 0;
  const uniform = () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296; };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

const clamp = v => Math.max(-EDGE, Math.min(EDGE, Math.round(v * 100) / 100));
const best = p => p.reduce((k, v, c) => (v > p[k] ? c : k), 0);

// A state as part of an address, and back: null for what no explorer wrote.
const MARK = "#explore=";
export function write(s) {
  const hundred = values => values.flat().map(v => Math.round(100 * v)).join(",");
  return MARK + [s.table, s.classes, s.layer, s.depth, s.beside, hundred(s.factors), hundred(s.query), ...s.x.map((p, j) => `${hundred(p)},${s.y[j]}`)].map(encodeURIComponent).join("~");
}
export function read(hash, tables) {
  if (!hash.startsWith(MARK)) return null;
  const [table, classes, layer, depth, beside, factors, query, ...points] = hash.slice(MARK.length).split("~").map(decodeURIComponent);
  const numbers = text => (text || "").split(",").map(Number), K = Number(classes), f = numbers(factors).map(v => v / 100), all = points.map(numbers);
  const L = tables[table] && tables[table].table.alpha.length, q = numbers(query).map(v => v / 100);
  const whole = (v, low, high) => /^\d+$/.test(v) && Number(v) >= low && Number(v) <= high;
  if (!L || ![2, 3].includes(K) || !whole(depth, 1, L) || !whole(layer, 0, Number(depth)) || !(beside in TEXT.rivals) || !all.length || all.length > MOST) return null;
  if (f.length !== 12 || q.length !== 2 || ![...f, ...q, ...all.flat()].every(Number.isFinite)) return null;
  if (f.some(v => Math.abs(v) > 2) || all.some(p => p.length !== 3 || ![0, 1, 2].slice(0, K).includes(p[2]))) return null;
  return {
    table, classes: K, layer: Number(layer), depth: Number(depth), beside, factors: [0, 4, 8].map(i => f.slice(i, i + 4)),
    query: q.map(clamp), x: all.map(p => [clamp(p[0] / 100), clamp(p[1] / 100)]), y: all.map(p => p[2]),
  };
}

// The picture in `el` of a model with `tables` and `state`, `get`, `set`, `on` and `save_changes`.
function view(model, el) {
  const tables = model.get("tables"), kind = model.get("kind"), parsed = {};
  for (const name of Object.keys(tables)) parsed[name] = core.parse(tables[name]);
  const start = structuredClone(model.get("state"));
  let state = structuredClone(start), chosen = -1, seeds = 0, t = state.layer, playing = 0, fine = 0, closed = false, task, path, said = "";
  let maps = { network: null, rival: null, size: 1, K: 3 };
  const full = () => parsed[state.table] || null, K = () => state.classes, n = () => state.y.length;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  el.textContent = "";
  const root = h("div", { class: "icl-live", role: "group", "aria-label": TEXT[kind === "recursion" ? "explorer" : kind] }, h("style", {}, STYLE));
  const plane = panel(TEXT.plane, true), features = panel(TEXT.features), labels = panel(TEXT.labels);
  const panels = h("div", { class: `panels ${{ recursion: "", sectors: "one", head: "two" }[kind]}` }, plane.element);
  if (kind === "recursion") panels.append(features.element);
  if (kind !== "sectors") panels.append(labels.element);
  const button = (text, act, more = {}) => h("button", { type: "button", onclick: act, ...more }, text);
  const table = select(TEXT.table, Object.keys(tables).map(name => [name, name]), state.table, name => {
    state.table = name, state.depth = full().L, state.layer = t = state.depth, state.factors = FACTORS();
    turned(), update(true);
  });
  const classes = select(TEXT.classes, [["2", "2"], ["3", "3"]], String(K()), value => { state.classes = Number(value); fresh(); });
  const beside = select(TEXT.beside, Object.entries(TEXT.rivals), state.beside, value => { state.beside = value; update(true); });
  const head = h("div", { class: "icl-row" });
  if (kind === "recursion") head.append(table.row);
  head.append(classes.row);
  if (kind === "recursion") head.append(beside.row);
  head.append(button(TEXT.fresh, () => fresh()), button(TEXT.reset, () => { seeds = 0, chosen = -1; adopt(start); update(true); }));
  if (kind === "recursion") head.append(button(TEXT.share, share));

  const relabel = [0, 1, 2].map(k => button(icon(k), () => setLabel(k), { "aria-label": TEXT.label(k, TEXT.names[k]) }));
  const removal = button(TEXT.remove, remove), which = h("span", {});
  const tools = h("div", { class: "icl-row" },
    button("‹", () => choose(chosen - 1), { "aria-label": TEXT.previous }), button("›", () => choose(chosen + 1), { "aria-label": TEXT.next }),
    which, ...(kind === "sectors" ? [] : relabel), button(TEXT.add, () => add()), removal);

  const play = button(TEXT.play, () => (playing ? stop() : begin()));
  const slider = h("input", { type: "range", min: 0, step: "any", "aria-label": TEXT.layers, style: "flex:1", oninput: () => { stop(); t = Number(slider.value); state.layer = Math.round(t); draw(); save(); }, onkeydown: event => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step) event.preventDefault(), event.stopPropagation(), stop(), goTo(Math.round(t) + step);
  } });
  const bars = h("div", { class: "bars", "aria-hidden": "true", onclick: event => {
    const level = [...bars.children].findIndex(bar => bar.contains(event.target));
    if (level >= 0 && level <= state.depth) stop(), goTo(level);
  } });
  const ticks = h("div", { class: "ticks", "aria-hidden": "true" }), status = h("p", { class: "said", role: "status" });
  const turns = h("div", { class: "turn" }), depth = h("input", { type: "range", min: 1, step: 1, style: "flex:1", oninput: () => {
    state.depth = Number(depth.value), state.layer = t = state.depth, turned(), update(true);
  } });
  root.append(head, panels, tools);
  if (kind === "recursion") {
    root.append(h("div", { class: "icl-row" }, play, slider), h("p", { class: "remark" }, TEXT.belief), bars, ticks, status,
      h("details", {}, h("summary", {}, TEXT.couplings), h("label", { class: "icl-row", style: "display:flex" }, TEXT.depth, depth), h("p", { class: "remark" }, TEXT.times), turns));
  } else if (kind === "head") root.append(turns, status);
  else root.append(status);
  el.append(root);

  // One slider for each coupling of each phase, or in the picture of one head for each coupling.
  function turned() {
    turns.textContent = "";
    const slide = (name, min, max, value, change) => h("input", { type: "range", min, max, step: 0.05, value, "aria-label": name, oninput: event => { change(Number(event.target.value)); update(true); } });
    if (kind === "head") {
      turns.className = "turn one";
      TEXT.scalars.forEach((name, s) => {
        const out = h("output", {}, state.factors[0][s].toFixed(2));
        turns.append(h("span", { "aria-hidden": "true" }, TEXT.greek[s]), slide(name, -4, 4, state.factors[0][s], v => { state.factors[0][s] = v; out.textContent = v.toFixed(2); }), out);
      });
      return;
    }
    if (!full()) return;
    const { L } = full(), groups = [0, 1, 2].map(p => Array.from({ length: L }, (_, l) => l).filter(l => core.phase(l, L) === p));
    depth.max = L, depth.value = state.depth;
    groups.forEach((group, p) => {
      if (!group.length) return;
      const where = TEXT.phase(group[0] + 1, group[group.length - 1] + 1);
      turns.append(h("span", { class: "where" }, where));
      TEXT.greek.forEach((letter, s) => {
        const out = h("span", { "aria-hidden": "true" }, `${letter} ${state.factors[p][s].toFixed(2)}`);
        turns.append(h("span", {}, out, slide(TEXT.factor(TEXT.scalars[s], where), -1, 2, state.factors[p][s], v => { state.factors[p][s] = v; out.textContent = `${letter} ${v.toFixed(2)}`; })));
      });
    });
  }

  function adopt(other) {
    state = structuredClone(other), t = state.layer;
    table.box.value = state.table, classes.box.value = K(), beside.box.value = state.beside;
    if (chosen >= n()) chosen = -1;
    turned();
  }

  function fresh() {
    const gauss = random(1000 * K() + ++seeds), w = Array.from({ length: K() }, () => [gauss(), gauss()]);
    const count = kind === "sectors" ? 1 : start.y.length, all = Array.from({ length: count + 1 }, () => [clamp(gauss()), clamp(gauss())]);
    state.truth = w, state.x = all.slice(0, -1), state.query = all[count], state.y = state.x.map(truth), chosen = -1;
    update(true);
  }

  const truth = p => best(state.truth.map(w => w[0] * p[0] + w[1] * p[1]));
  const name = p => (Math.max(...p) - Math.min(...p) < 1e-9 ? TEXT.same : TEXT.names[best(p)]);
  const spot = i => (i < 0 ? state.query : state.x[i]);
  function choose(i) { const rows = n() + 1; chosen = ((i + 1 + rows) % rows) - 1; draw(); tell(); }
  function setLabel(k) { if (chosen >= 0 && k < K() && kind !== "sectors") state.y[chosen] = k, update(true), tell(); }
  function add(p = [clamp(state.query[0] + 0.4), clamp(state.query[1] + 0.4)]) {
    if (n() >= MOST) return;
    state.x.push(p.map(clamp)), state.y.push(kind === "sectors" ? truth(p) : chosen < 0 ? 0 : state.y[chosen]), chosen = n() - 1;
    update(true), tell();
  }
  function remove() { if (chosen >= 0 && n() > 1) state.x.splice(chosen, 1), state.y.splice(chosen, 1), chosen = Math.min(chosen, n() - 1), update(true), tell(); }
  function move(p) { const to = p.map(clamp); if (chosen < 0) state.query = to; else { state.x[chosen] = to; if (kind === "sectors") state.y[chosen] = truth(to); } }
  function tell() { const p = spot(chosen); which.textContent = `${chosen < 0 ? TEXT.query : TEXT.point(chosen + 1, n(), TEXT.names[state.y[chosen]])}, ${TEXT.at(...p)}`; status.textContent = [said, note].filter(Boolean).join(" "); }
  let note = "";

  // Dragging, by mouse or finger. A press beside all points adds one in the picture of sectors, and is the page's own elsewhere.
  let held = null;
  const nearest = event => {
    const p = plane.place(event), near = [-1, ...state.y.keys()].map(i => [Math.hypot(spot(i)[0] - p[0], spot(i)[1] - p[1]), i]).sort((a, b) => a[0] - b[0])[0];
    return near[0] > 15 * plane.pixel() * REACH / UNITS ? null : near;
  };
  // A finger on a point moves the point; without this the browser would take it for scrolling.
  plane.svg.addEventListener("touchstart", event => { if (event.touches.length === 1 && nearest(event.touches[0])) event.preventDefault(); }, { passive: false });
  plane.svg.addEventListener("pointerdown", event => {
    const near = nearest(event);
    if (event.button > 0 || !near) return;
    chosen = near[1], held = event.pointerId, plane.svg.setPointerCapture(held);
    plane.svg.focus({ preventScroll: true }), event.preventDefault(), draw(), tell();
  });
  plane.svg.addEventListener("pointermove", event => { if (event.pointerId === held) move(plane.place(event)), update(false); });
  const drop = event => { if (event.pointerId === held) held = null, update(true), tell(); };
  plane.svg.addEventListener("pointerup", drop), plane.svg.addEventListener("pointercancel", drop);
  plane.svg.addEventListener(kind === "sectors" ? "click" : "dblclick", event => {
    const p = plane.place(event), far = [-1, ...state.y.keys()].every(i => Math.hypot(spot(i)[0] - p[0], spot(i)[1] - p[1]) > 15 * plane.pixel() * REACH / UNITS);
    if (far) add(p);
  });
  plane.svg.addEventListener("keydown", event => {
    const step = event.shiftKey ? 0.02 : 0.1, way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way) move([spot(chosen)[0] + way[0], spot(chosen)[1] + way[1]]), update(false), tell();
    else if (event.key === "PageDown") choose(chosen + 1);
    else if (event.key === "PageUp") choose(chosen - 1);
    else if (event.key === "Home") choose(-1);
    else if ("123".includes(event.key)) setLabel(Number(event.key) - 1);
    else if (event.key === "Insert" || event.key === "+") add();
    else if (event.key === "Delete" || event.key === "Backspace") remove();
    else return;
    event.preventDefault(), event.stopPropagation();
  });
  plane.svg.addEventListener("keyup", event => { if (event.key.startsWith("Arrow")) update(true); });

  // The film: nothing moves before it is asked to, and in steps for those who asked for less motion.
  function begin() { if (t >= state.depth) t = 0; playing = 1, play.textContent = TEXT.pause; let last = performance.now(); requestAnimationFrame(function tick(now) {
    if (!playing || closed) return;
    if (!calm.matches) t = Math.min(state.depth, t + Math.max(0, now - last) / 900), last = now;
    else if (now - last > 900) t = Math.min(state.depth, Math.floor(t) + 1), last = now;
    state.layer = Math.round(t), draw();
    if (t >= state.depth) stop(); else requestAnimationFrame(tick);
  }); }
  function stop() { if (playing) playing = 0, play.textContent = TEXT.play, save(); }
  function goTo(level) { t = state.layer = Math.max(0, Math.min(state.depth, level)); draw(), tell(), save(); }

  function share() {
    try { history.replaceState(null, "", write(state)); } catch { location.hash = write(state); }
    note = TEXT.shared, tell();
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => { note = TEXT.copied, tell(); }, () => {});
  }

  // From the state to the numbers: at once, for the points; the map comes from the Worker.
  let frame = 0;
  function update(final) {
    if (final) note = "";
    fine = Math.max(fine, final ? 1 : 0);
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; compute(); draw(); wish(); if (fine) fine = 0, save(); });
  }
  function compute() {
    const began = performance.now();
    const bent = kind === "head" ? core.bend({ ...full(), ...one() }, FACTORS(), 1) : full() && core.bend(full(), state.factors, state.depth);
    task = { t: bent, x: state.x.flat(), y: [...state.y], K: K() };
    path = bent && core.trajectory(bent, [...task.x, ...state.query], task.y, 2, K());
    root.dataset.milliseconds = (performance.now() - began).toFixed(2);
  }
  const one = () => Object.fromEntries(TEXT.scalars.map((name, s) => [name, Float64Array.of(state.factors[0][s])]));
  const kinds = () => (kind === "sectors" ? ["bayes"] : state.beside === "none" ? ["recursion"] : ["recursion", state.beside]);
  // As fine as fits into about 0.15 s: a pair of points costs some 30 ns, and 6 more for each number in a token.
  function size() { const b = task.t; return b ? Math.max(24, Math.min(80, Math.floor(Math.sqrt(1.5e8 / (b.L * b.H * n() * (30 + 6 * b.m * (2 + K()))))))) : 80; }
  const maker = mapper((wanted, [network, rival]) => {
    if (closed) return;
    maps = { network, rival: rival === undefined ? null : rival, size: wanted.size, K: wanted.task.K, asked: wanted.kinds.length > 1 };
    root.dataset.map = wanted.size;
    if (wanted.task.K === K()) paint(plane.under, network, wanted.size, K()), draw(), tell();
    if (wanted.task === task && wanted.size < size()) maker.ask({ kinds: kinds(), task, size: size() });
  });
  function wish() { if (kind !== "head") maker.ask({ kinds: kinds(), task, size: held === null ? Math.min(32, size()) : 20 }); }

  function draw() {
    if (!task) return;
    const unit = UNITS / REACH, y = [...state.y, -1], here = [...state.x, state.query].map(([a, b]) => [a * unit, -b * unit]), at = chosen < 0 ? n() : chosen;
    which.textContent = `${chosen < 0 ? TEXT.query : TEXT.point(chosen + 1, n(), TEXT.names[state.y[chosen]])}, ${TEXT.at(...spot(chosen))}`;
    relabel.forEach((b, k) => { b.disabled = chosen < 0; b.hidden = k >= K(); });
    removal.disabled = chosen < 0 || n() < 2;
    const rivalName = TEXT.rivals[state.beside], dashes = maps.rival && maps.K === K() && state.beside !== "none" ? [{ d: borders(maps.rival, maps.size, K()), width: 2, opacity: 0.9, dash: "6 4" }] : [];
    if (kind === "sectors") {
      plane.draw(here, y, at, []), plane.caption.textContent = TEXT.sectorsCaption;
      const predict = core.predictors.bayes(task), p = predict && [...predict(state.query)];
      said = p ? TEXT.says(TEXT.rivals.bayes, name(p), Math.max(...p)) : TEXT.impossible(TEXT.rivals.bayes);
      status.textContent = said;
      return;
    }
    const { m, L } = task.t, width = m * (2 + K()), level = Math.min(Math.floor(t + 1e-6), L), part = t - level;
    const mixed = (l, i, f) => { const a = path.levels[l][i * width + f], b = path.levels[Math.min(l + 1, L)][i * width + f]; return a + part * (b - a); };
    const sound = path.levels[L].every(Number.isFinite);
    const label = (l, i, get) => (K() === 2 ? [get(l, i, 2 * m + 1) - get(l, i, 2 * m), (i === n() ? 0 : ((i * 5) % 9 - 4) * 0.14)]
      : [0, 1].map(f => CORNERS.reduce((sum, c, k) => sum + c[f] * get(l, i, 2 * m + k), 0)));
    const exact = (l, i, f) => path.levels[l][i * width + f], rows = [...y.keys()];
    const corners = K() === 2 ? [[-1, 0], [1, 0]] : CORNERS, nice = v => [1.2, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50, 100, 1e3, 1e4].find(s => s >= v) || 1e6;
    const spread = get => { let most = 0; for (let l = 0; l <= L; l++) for (const i of rows) for (const v of get(l, i)) most = Math.max(most, Math.abs(v)); return nice(1.08 * most); };
    if (kind === "head") {
      const labelUnit = UNITS / spread((l, i) => label(l, i, exact)), arrow = ([a, b], [c, d]) => {
        const size = Math.hypot(c - a, d - b), px = plane.pixel(), tip = Math.min(7 * px, size / 2), [ux, uy] = size ? [(c - a) / size, (d - b) / size] : [0, 0];
        return { d: `M${a},${b}L${c},${d}M${c - tip * (ux + uy * 0.6)},${d - tip * (uy - ux * 0.6)}L${c},${d}L${c - tip * (ux - uy * 0.6)},${d - tip * (uy + ux * 0.6)}`, width: 1.3, opacity: 0.8 };
      };
      const moved = rows.map(i => [exact(1, i, 0) * unit, -exact(1, i, 1) * unit]), blocks = l => rows.map(i => label(l, i, exact).map((v, f) => v * labelUnit * (f ? -1 : 1)));
      plane.draw(here, y, at, sound ? here.map((p, i) => arrow(p, moved[i])) : []), plane.caption.textContent = TEXT.headCaption;
      const [before, after] = [blocks(0), blocks(1)];
      labels.draw(before, y, at, sound ? before.map((p, i) => arrow(p, after[i])) : [], corners.map(([a, b], k) => [a * labelUnit, -b * labelUnit, k]));
      labels.caption.textContent = TEXT.headLabels, status.textContent = sound ? "" : TEXT.overflow;
      return;
    }
    plane.draw(here, y, at, dashes), plane.caption.textContent = TEXT.planeCaption(state.beside === "none" ? "" : rivalName);
    const gaze = level < L ? path.attention[level] : null, look = places => {
      if (!gaze || !sound) return [];
      return [...state.y.keys()].map(j => {
        let share = 0;
        for (let head = 0; head < task.t.H; head++) share += gaze[(head * path.rows + at) * n() + j] / task.t.H;
        return { d: `M${places[at].map(v => v.toFixed(1))}L${places[j].map(v => v.toFixed(1))}`, width: Math.min(6, 1.5 * n() * share), opacity: share * n() < 0.05 ? 0 : 0.45 };
      });
    };
    for (const [box, get] of [[features, (l, i, take) => [take(l, i, 0), take(l, i, 1)]], [labels, label]]) {
      const scale = UNITS / (sound ? spread((l, i) => get(l, i, exact)) : 1), places = rows.map(i => get(level, i, mixed).map((v, f) => (Number.isFinite(v) ? v * scale * (f ? -1 : 1) : 0)));
      box.draw(places, y, at, look(places), box === labels ? corners.map(([a, b], k) => [a * scale, -b * scale, k]) : []);
    }
    features.caption.textContent = `${TEXT.featuresCaption(t, m)}. ${gaze ? TEXT.attention : ""}`, labels.caption.textContent = `${TEXT.labelsCaption(t, m, K())}.`;
    slider.max = state.depth, slider.value = t;
    const beliefs = path.levels.map(z => core.softmax(core.readOut(task.t, z, n(), 2, K()))), final = beliefs[L];
    slider.setAttribute("aria-valuetext", `${when(t)}: ${name(beliefs[level])}`);
    let rival = null;
    if (state.beside !== "none") { const predict = core.predictors[state.beside](task); rival = predict && [...predict(state.query)]; }
    const shown = rival ? [...beliefs, rival] : beliefs;
    bars.replaceChildren(...shown.map((p, l) => h("div", { class: l > L ? "rival" : l === Math.round(t) ? "now" : "" }, ...p.map((v, k) => h("div", { style: `flex:${Number.isFinite(v) ? v.toFixed(4) : 0};background:${COLOURS[k]}` })))));
    ticks.replaceChildren(...shown.map((_, l) => h("span", { class: l > L ? "rival" : "" }, l > L ? (state.beside === "bayes" ? "Bayes" : "beside") : L <= 12 || l % 4 === 0 ? String(l) : "")));
    said = !sound ? TEXT.overflow : TEXT.says(state.table, name(final), Math.max(...final), L)
      + (state.beside === "none" ? "" : ` ${rival ? TEXT.says(rivalName, name(rival), Math.max(...rival)) : TEXT.impossible(rivalName)}`);
    if (held === null && !playing) status.textContent = [said, note].filter(Boolean).join(" ");
    root.dataset.answer = String(best(final)), root.dataset.belief = final.map(v => v.toFixed(6)).join(" ");
  }

  let own = "";
  function save() { own = JSON.stringify(state); model.set("state", structuredClone(state)); model.save_changes(); }
  const changed = () => { if (JSON.stringify(model.get("state")) !== own && held === null) adopt(model.get("state")), update(true); };
  model.on("change:state", changed);
  const fromAddress = () => { const found = kind === "recursion" && read(location.hash, tables); if (found) adopt({ ...state, ...found }), update(true), root.scrollIntoView(); };
  addEventListener("hashchange", fromAddress);
  const watch = new ResizeObserver(() => draw());
  watch.observe(root);
  turned(), compute(), draw(), tell(), wish(), fromAddress();
  return () => { closed = true, playing = 0, maker.close(), watch.disconnect(), removeEventListener("hashchange", fromAddress), model.off && model.off("change:state", changed); };
}

// In a page without a kernel a plain object stands for the model.
export function run(el, data) {
  return view({ get: key => data[key], set: (key, value) => { data[key] = value; }, on: () => {}, save_changes: () => {} }, el);
}

export default { render: ({ model, el }) => view(model, el) };
