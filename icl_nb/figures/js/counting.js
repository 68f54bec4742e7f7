
// One sequence, and the reader's guess at its parents (chapter 12): what to count, what the counts say, and which lags pay.

const TEXT = {
  title: "Which past counts?", sequence: "A sequence; click a place to foretell it from those before it", answer: "What followed, and what is foretold", sets: "Loss by set of lags; click a set to count after it",
  keys: "", reset: "Reset", play: "", pause: "", chain: "Parents of the chain", set: "Count after lags", none: "none",
  place: "Read at place", degree: "degree D, at most", alpha: "prior α", a: "sharpness a",
  sequenceCaption: "Colours: the states. Thick frame: the place that is foretold. Thin frames and arcs: its history, at the lags that you count after. Dots: earlier places with that history, whose tokens are counted. Bars: the attention of a head of sharpness a.",
  answerCaption: "Counts, and bars: Bayes, from the counts and the prior. Outlined: the head. Dashes: the true row of the kernel. Dot: what came.",
  setsCaption: "Mean loss of Bayes with each set of lags over the places of this one sequence, in nats. Star: the best of at most D lags. Framed: yours. Dashed: with the kernel known.",
  states: ["blue", "orange", "green"],
  said: (n, p, states) => `${n === 1 ? "1 place has" : `${n} places have`} this history. Bayes: ${p.map((v, e) => `${states[e]} ${v.toFixed(2)}`).join(", ")}. `,
  paid: (mine, best, set, known) => `Over the sequence your lags pay ${mine.toFixed(2)} nats; the best set of at most D, (${set}), ${best.toFixed(2)}; with the kernel known it is ${known.toFixed(2)}.`,
};

const makeCore = () => {
  const LEAST = 1e-6; // as in `log_losses`
  const past = (tokens, t, lags) => lags.reduce((z, lag) => z * 10 + tokens[t - lag], 0);
  // Places before `L` with its history, from the first on that has one, and how often each state stood there.
  function matches(tokens, L, lags) {
    const z = past(tokens, L, lags), found = [];
    for (let t = Math.max(0, ...lags); t < L; t++) if (past(tokens, t, lags) === z) found.push(t);
    return found;
  }
  const counts = (tokens, places, S) => { const n = Array(S).fill(0); places.forEach(t => { n[tokens[t]] += 1; }); return n; };
  const bayes = (n, alpha) => { const all = n.reduce((a, b) => a + b, 0) + alpha * n.length; return n.map(v => (v + alpha) / all); };
  // Attention of the induction head over the places before L (0 where the history is cut off), and its answer.
  function head(tokens, L, lags, a, S) {
    const first = Math.max(0, ...lags), same = new Set(matches(tokens, L, lags)), weights = Array.from({ length: L }, (_, t) => (t < first ? 0 : same.has(t) ? 1 : Math.exp(-a)));
    const sum = weights.reduce((x, y) => x + y, 0), attention = weights.map(w => w / sum), y = Array(S).fill(0);
    attention.forEach((w, t) => { y[tokens[t]] += w; });
    return { attention, y };
  }
  const row = (kernel, tokens, L, lags, S) => kernel[lags.reduce((z, lag) => z * S + tokens[L - lag], 0)];
  // Mean of -log p over places `from` and on, with counts after these lags; and with the kernel.
  function pays(tokens, lags, alpha, S, from) {
    const seen = new Map();
    let sum = 0;
    for (let t = Math.max(0, ...lags); t < tokens.length; t++) {
      const z = past(tokens, t, lags), n = seen.get(z) || Array(S).fill(0);
      if (t >= from) sum -= Math.log(bayes(n, alpha)[tokens[t]]);
      n[tokens[t]] += 1, seen.set(z, n);
    }
    return sum / (tokens.length - from);
  }
  function known(tokens, kernel, lags, S, from) {
    let sum = 0;
    for (let t = from; t < tokens.length; t++) sum -= Math.log(Math.max(LEAST, row(kernel, tokens, t, lags, S)[tokens[t]]));
    return sum / (tokens.length - from);
  }
  return { matches, counts, bayes, head, row, pays, known };
};
export const core = makeCore();

function picture(kit) {
  const { chains, sets, states: S } = kit.given, window = Math.max(...sets.flat()), names = Object.keys(chains);
  const line = sheet(TEXT.sequence, 176), answer = sheet(TEXT.answer, 150), bars = sheet(TEXT.sets, 170), ink = { stroke: "currentColor" };
  const call = set => set.join(", ") || TEXT.none, chain = () => chains[kit.state.chain], caption = text => h("figcaption", {}, text);
  const cell = () => line.width() / chain().tokens.length, wide = () => bars.width() / sets.length;
  const at = (picture, event, size) => Math.floor((event.clientX - picture.svg.getBoundingClientRect().left) / size);
  line.svg.style.cursor = bars.svg.style.cursor = "pointer";
  line.svg.addEventListener("click", event => { kit.state.place = Math.max(window + 1, Math.min(chain().tokens.length - 1, at(line, event, cell()))), kit.update(); });
  bars.svg.addEventListener("click", event => { kit.state.set = Math.max(0, Math.min(sets.length - 1, at(bars, event, wide()))), kit.update(); });
  kit.root.append(
    kit.row(kit.choice("chain", TEXT.chain, names.map(name => [name, name])), kit.choice("set", TEXT.set, sets.map((set, i) => [String(i), call(set)]), i => { kit.state.set = Number(i); }), kit.reset()),
    h("figure", {}, line.svg, caption(TEXT.sequenceCaption)),
    kit.knobs(kit.knob("place", TEXT.place, [window + 1, chain().tokens.length - 1, 1], String), kit.knob("degree", TEXT.degree, [1, window, 1], String),
      kit.knob("alpha", TEXT.alpha, [-2, 1, 0.05], v => (10 ** v).toPrecision(2)), kit.knob("a", TEXT.a, [0, 10, 0.1])),
    h("div", { class: "panels two" }, h("figure", {}, bars.svg, caption(TEXT.setsCaption)), h("figure", {}, answer.svg, caption(TEXT.answerCaption))));

  let key = "", paid = [];
  function strip(found, matched, lags) {
    const { tokens } = chain(), w = cell(), base = 96, L = kit.state.place, most = Math.max(...found.attention), middle = t => (t + 0.5) * w, shapes = [];
    tokens.forEach((state, t) => shapes.push({ d: box(t * w + 0.5, base + 3, w - 1, 18), fill: COLOURS[state], opacity: t <= L ? 1 : 0.25 }));
    found.attention.forEach((v, t) => shapes.push({ d: box(t * w + 0.5, base - 88 * v / most, w - 1, 88 * v / most), fill: COLOURS[tokens[t]] }));
    shapes.push({ d: spots(matched.map(t => [middle(t), base + 28]), 2.2), fill: "currentColor" }, { d: box(L * w, base + 1, w, 22), ...ink, width: 3 });
    for (const lag of lags) {
      const from = middle(L - lag), to = middle(L), deep = base + 40 + 12 * lag;
      shapes.push({ d: box((L - lag) * w, base + 2, w, 20), ...ink, width: 1.5 }, { d: `M${from.toFixed(1)},${base + 32}Q${((from + to) / 2).toFixed(1)},${2 * deep - base - 32} ${to.toFixed(1)},${base + 32}`, ...ink, width: 1.2 });
    }
    line.draw(shapes, []);
  }
  function foretold(n, p, y, truth) {
    const { tokens } = chain(), top = 28, low = 122, tall = low - top, each = (answer.width() - 8) / S, half = (each - 10) / 2, shapes = [], words = [];
    p.forEach((v, e) => {
      const x = 4 + e * each;
      shapes.push({ d: box(x, low - tall * v, half, tall * v), fill: COLOURS[e] }, { d: box(x + half, low - tall * y[e], half, tall * y[e]), stroke: COLOURS[e], width: 2 },
        { d: `M${x.toFixed(1)},${(low - tall * truth[e]).toFixed(1)}h${(2 * half).toFixed(1)}`, ...ink, width: 1.8, dash: "4 3" });
      if (tokens[kit.state.place] === e) shapes.push({ d: spots([[x + half, low + 8]], 3.5), fill: "currentColor" });
      words.push({ x: x + half, y: 14, text: `${n[e]} ×`, anchor: "middle" }, { x: x + half, y: low + 25, text: TEXT.states[e], anchor: "middle" });
    });
    shapes.push({ d: `M2,${low}H${answer.width() - 2}`, ...ink, width: 1, opacity: 0.5 });
    answer.draw(shapes, words);
  }
  function compared(known, best) {
    const w = wide(), top = 22, low = 142, up = v => low - (low - top) * v / (1.05 * Math.max(...paid)), shapes = [], words = [];
    paid.forEach((v, i) => {
      const small = sets[i].length <= kit.state.degree;
      shapes.push({ d: box(i * w + 3, up(v), w - 6, low - up(v)), fill: "currentColor", opacity: small ? 0.55 : 0.2 });
      if (i === kit.state.set) shapes.push({ d: box(i * w + 1.5, up(v) - 1.5, w - 3, low - up(v) + 3), ...ink, width: 2.5 });
      words.push({ x: (i + 0.5) * w, y: low + 15, text: sets[i].join("") || TEXT.none, anchor: "middle" });
      words.push({ x: (i + 0.5) * w, y: up(v) - 6, text: i === best ? "★" : "", anchor: "middle" });
    });
    shapes.push({ d: `M0,${up(known).toFixed(1)}H${bars.width()}`, ...ink, width: 1.5, dash: "6 4" });
    bars.draw(shapes, words);
  }
  return () => {
    const { set, place, degree, alpha, a } = kit.state, { tokens, lags, kernel } = chain(), mine = sets[set], prior = 10 ** alpha;
    const now = JSON.stringify([kit.state.chain, alpha]);
    if (now !== key) key = now, paid = sets.map(other => core.pays(tokens, other, prior, S, window));
    const matched = core.matches(tokens, place, mine), n = core.counts(tokens, matched, S), p = core.bayes(n, prior), found = core.head(tokens, place, mine, a, S);
    const truth = core.row(kernel, tokens, place, lags, S), known = core.known(tokens, kernel, lags, S, window);
    const best = paid.reduce((b, v, i) => (sets[i].length <= degree && v < paid[b] ? i : b), sets.findIndex(other => other.length <= degree));
    strip(found, matched, mine), foretold(n, p, found.y, truth), compared(known, best);
    kit.root.dataset.answer = p.join(" "), kit.root.dataset.head = found.y.join(" "), kit.root.dataset.pays = paid.join(" "), kit.root.dataset.best = call(sets[best]);
    return TEXT.said(matched.length, p, TEXT.states) + TEXT.paid(paid[set], paid[best], call(sets[best]), known);
  };
}
