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
  fresh: "New task", reset: "Reset", previous: "Previous point", next: "Next point", add: "Add a point", remove: "Remove it",
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
  sectorsCaption: "Click or tap to ask for one more label. Colour: what Bayes can know so far.",
  headCaption: "One head: where each point goes in one step.", headLabels: "Labels: where each goes.",
};
const when = t => (t < 0.01 ? "as given" : `after layer ${Math.round(t)}`);

