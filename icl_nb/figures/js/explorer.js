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
  if (kind === "recursion") head.append(button(SHARING.share, () => share()));

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

  const share = () => publish(write(state), text => { note = text, tell(); });

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
