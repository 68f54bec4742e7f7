
// What live pictures share beyond the base: knobs, a film, charts, something to hold, and a view that Python is linked to.
// A picture is `picture(kit)`: it builds its parts with the kit, appends them to `kit.root`, and gives back what draws them.

const MORE = `
.icl-live .knobs{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr));gap:.1rem 1.4rem;margin:.4rem 0}
.icl-live .knob{display:grid;grid-template-columns:minmax(6.2em,auto) minmax(0,1fr) 3.4em;gap:.5rem}
.icl-live .knob output{text-align:right;font-variant-numeric:tabular-nums}
.icl-live .film{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.6rem;align-items:center;margin:.4rem 0}
.icl-live .sheet{width:100%;display:block;overflow:hidden;color:inherit}
.icl-live .sheet text{font-size:12px;fill:currentColor}
.icl-live .stack{display:grid;grid-template-columns:6.2em minmax(0,1fr);gap:.15rem .5rem;align-items:center}
.icl-live .stack>div{display:flex;height:.8rem;gap:1px}`;

// What differs in a state from where the picture starts, as part of an address, and back: null for what no picture wrote.
export function write(kind, state, start) {
  const changed = Object.keys(start).filter(key => JSON.stringify(state[key]) !== JSON.stringify(start[key]));
  return `#${kind}=${encodeURIComponent(JSON.stringify(Object.fromEntries(changed.map(key => [key, state[key]]))))}`;
}
export function read(hash, kind, start, fits = {}) {
  const alike = (value, model) => (Array.isArray(model) ? Array.isArray(value) && value.length === model.length && value.every((v, i) => alike(v, model[i]))
    : typeof value === typeof model && (typeof value !== "number" || Math.abs(value) <= 1000));
  if (!hash.startsWith(`#${kind}=`)) return null;
  try {
    const found = JSON.parse(decodeURIComponent(hash.slice(kind.length + 2)));
    const sound = Object.entries(found).every(([key, v]) => Object.hasOwn(start, key) && alike(v, start[key]) && (!fits[key] || fits[key](v)));
    return sound ? { ...structuredClone(start), ...found } : null;
  } catch { return null; }
}

function view(model, el) {
  const kind = model.get("kind"), fits = {}, settle = [];
  const start = structuredClone(model.get("state")), calm = matchMedia("(prefers-reduced-motion: reduce)"), shown = [];
  let state = structuredClone(start), frame = 0, closed = false, own = "", last = false, playing = false, said = "", note = "";
  el.textContent = "";
  const root = h("div", { class: "icl-live", role: "group", "aria-label": TEXT.title }, h("style", {}, STYLE + MORE));
  const status = h("p", { class: "said", role: "status" });

  // Draws at most once a frame. What is final is said aloud and given to Python; what comes while dragging is not.
  function update(final = true) {
    last = last || final;
    if (final) note = "";
    if (!frame) frame = requestAnimationFrame(() => {
      frame = 0;
      if (closed) return;
      const began = performance.now();
      shown.forEach(show => show());
      said = draw();
      root.dataset.milliseconds = (performance.now() - began).toFixed(2);
      if (last) last = false, status.textContent = [said, note].filter(Boolean).join(" "), save();
    });
  }
  function save() { own = JSON.stringify(state), model.set("state", structuredClone(state)), model.save_changes(); }
  const changed = () => { if (JSON.stringify(model.get("state")) !== own) state = structuredClone(model.get("state")), update(); };

  const kit = {
    root, update, given: model.get("given"),
    get state() { return state; },
    // A slider for one number of the state.
    knob(key, name, [min, max, step], show = v => v.toFixed(2)) {
      fits[key] = v => v >= min && v <= max;
      const input = h("input", { type: "range", name: key, min, max, step, "aria-label": name }), output = h("output", {});
      input.addEventListener("input", () => { state[key] = Number(input.value), kit.stop(), update(false); });
      input.addEventListener("change", () => update());
      shown.push(() => { input.value = state[key], output.textContent = show(state[key]), input.setAttribute("aria-valuetext", show(state[key])); });
      return h("label", { class: "knob" }, h("span", {}, name), input, output);
    },
    choice(key, name, options, change = () => {}) {
      fits[key] = v => options.some(([id]) => id === String(v));
      const { row, box } = select(name, options, String(state[key]), value => { state[key] = value, change(value), update(); });
      shown.push(() => { box.value = state[key]; });
      return row;
    },
    button: (text, act) => h("button", { type: "button", onclick: act }, text),
    reset() { // and share
      const both = document.createDocumentFragment(), say = text => { note = text, status.textContent = `${said} ${note}`; };
      both.append(kit.button(TEXT.reset, () => { kit.stop(), state = structuredClone(start), update(); }), kit.button(SHARING.share, () => publish(write(kind, state, start), say)));
      return both;
    },
    row: (...children) => h("div", { class: "icl-row" }, ...children),
    knobs: (...children) => h("div", { class: "knobs" }, ...children),
    stop() { if (playing) playing = false, play.textContent = TEXT.play, update(); },
    // A slider over `state.at`, 0 to end(), that plays when asked: in steps for those who want less motion, or if `whole`.
    film(name, end, say, pace, whole = false) {
      const slider = h("input", { type: "range", min: 0, step: "any", "aria-label": name });
      play = kit.button(TEXT.play, () => {
        if (playing) return kit.stop();
        if (state.at >= end()) state.at = 0;
        playing = true, play.textContent = TEXT.pause;
        let before = performance.now();
        requestAnimationFrame(function tick(now) {
          if (!playing || closed) return;
          const steps = (now - before) / pace();
          if (!calm.matches && !whole) state.at = Math.min(end(), state.at + Math.max(0, steps)), before = now;
          else if (steps >= 1) state.at = Math.min(end(), Math.floor(state.at) + 1), before = now;
          update(false);
          if (state.at >= end()) kit.stop(); else requestAnimationFrame(tick);
        });
      });
      const go = (at, final) => { kit.stop(), state.at = Math.max(0, Math.min(end(), whole ? Math.round(at) : at)), update(final); };
      slider.addEventListener("input", () => go(Number(slider.value), false));
      slider.addEventListener("change", () => update());
      slider.addEventListener("keydown", event => {
        const to = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5, Home: -1e9, End: 1e9 }[event.key];
        if (to) event.preventDefault(), go(Math.round(state.at) + to, true);
      });
      shown.push(() => { state.at = Math.max(0, Math.min(end(), state.at)), slider.max = end(), slider.value = state.at, slider.setAttribute("aria-valuetext", say()); });
      return h("div", { class: "film" }, play, slider);
    },
    // One thing on a panel to hold by mouse, finger or arrow keys: where it is, and what to do with a new place. The panel
    // shows `wide` times as much as one of the explorer.
    hold(plane, wide, spot, move) {
      let held = null;
      settle.push(() => move(spot()));
      const place = event => plane.place(event).map(v => v * wide);
      const near = event => { const p = plane.place(event), q = spot().map(v => v / wide); return Math.hypot(p[0] - q[0], p[1] - q[1]) < 22 * plane.pixel() * REACH / UNITS; };
      const drop = event => { if (event.pointerId === held) held = null, update(); };
      plane.svg.addEventListener("touchstart", event => { if (event.touches.length === 1 && near(event.touches[0])) event.preventDefault(); }, { passive: false });
      plane.svg.addEventListener("pointerdown", event => {
        if (event.button > 0 || !near(event)) return;
        held = event.pointerId, plane.svg.setPointerCapture(held), plane.svg.focus({ preventScroll: true }), event.preventDefault();
      });
      plane.svg.addEventListener("pointermove", event => { if (event.pointerId === held) move(place(event)), update(false); });
      plane.svg.addEventListener("pointerup", drop), plane.svg.addEventListener("pointercancel", drop);
      plane.svg.addEventListener("keydown", event => {
        const step = event.shiftKey ? 0.02 : 0.1, way = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
        if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
        move(spot().map((v, f) => v + way[f])), update(), event.preventDefault(), event.stopPropagation();
      });
    },
  };
  let play = h("button", {});
  const draw = picture(kit);
  root.append(status), el.append(root);
  model.on("change:state", changed);
  const watch = new ResizeObserver(() => update(false));
  const fromAddress = () => {
    const found = read(location.hash, kind, start, fits);
    if (found) kit.stop(), state = found, settle.forEach(act => act()), update(), root.scrollIntoView();
  };
  addEventListener("hashchange", fromAddress);
  watch.observe(root), update(), fromAddress();
  return () => { closed = true, playing = false, watch.disconnect(), removeEventListener("hashchange", fromAddress), model.off && model.off("change:state", changed); };
}

// A drawing whose unit is a pixel of the page, so that its type keeps its size: paths and words, made anew from lists.
function sheet(name, height) {
  const svg = h("svg", { class: "sheet", role: "img", "aria-label": name, height }), paths = h("g", {}), words = h("g", {});
  svg.append(paths, words);
  const fit = (group, count, tag) => {
    while (group.childNodes.length < count) group.append(document.createElementNS("http://www.w3.org/2000/svg", tag));
    while (group.childNodes.length > count) group.lastChild.remove();
  };
  function draw(lines, texts) {
    fit(paths, lines.length, "path"), fit(words, texts.length, "text");
    lines.forEach(({ d, fill = "none", stroke = "none", width = 1.5, opacity = 1, dash = "none" }, i) => {
      const path = paths.childNodes[i], values = { d, fill, stroke, "stroke-width": width, opacity, "stroke-dasharray": dash }, was = path.was || {};
      for (const key of Object.keys(values)) if (values[key] !== was[key]) path.setAttribute(key, values[key]);
      path.was = values;
    });
    texts.forEach(({ x, y, text, anchor = "start" }, i) => {
      const word = words.childNodes[i];
      word.setAttribute("x", x), word.setAttribute("y", y), word.setAttribute("text-anchor", anchor);
      if (word.textContent !== text) word.textContent = text;
    });
  }
  return { svg, draw, width: () => svg.clientWidth || 300, height };
}

const box = (x, y, width, height) => `M${x.toFixed(1)},${y.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}h${(-width).toFixed(1)}z`;
const spots = (points, size) => points.map(([x, y]) => `M${(x - size).toFixed(1)},${y.toFixed(1)}a${size},${size} 0 1,0 ${2 * size},0a${size},${size} 0 1,0 ${-2 * size},0z`).join("");
const polyline = points => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Where numbers lie on an axis: its ends in pixels, its values, and the ticks that fit; logarithmic on request.
function axis([from, to], [low, high], log = false, ticks = 4) {
  const f = log ? Math.log10 : v => v, a = f(low), b = f(high);
  const at = v => from + (to - from) * (f(v) - a) / (b - a || 1), found = [];
  if (log) {
    const wide = b - a > ticks, every = Math.ceil((b - a) / ticks);
    for (let e = Math.floor(a); e <= Math.ceil(b); e++) for (const m of wide ? [1] : b - a > 1.5 ? [1, 3] : b - a > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 6, 8]) {
      const v = m * 10 ** e;
      if (v >= low * 0.999 && v <= high * 1.001 && (!wide || e % every === 0)) found.push(v);
    }
  } else {
    const raw = (high - low) / ticks, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find(m => m * power >= raw) * power;
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  }
  return { at, ticks: found.map(v => [at(v), Math.abs(v) >= 1e4 || (v !== 0 && Math.abs(v) < 0.01) ? v.toExponential(0) : String(Number(v.toPrecision(3)))]) };
}

// In a page without a kernel a plain object stands for the model.
export function run(el, data) {
  return view({ get: key => data[key], set: (key, value) => { data[key] = value; }, on: () => {}, save_changes: () => {} }, el);
}

export default { render: ({ model, el }) => view(model, el) };
