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

// A state into the address of the page, and the address to the clipboard where that is allowed; `say` is told how far it came.
const SHARING = { share: "Share", shared: "The address of this page now holds this state.", copied: "The address of this state is copied." };
function publish(hash, say) {
  try { history.replaceState(null, "", hash); } catch { location.hash = hash; }
  say(SHARING.shared);
  if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => say(SHARING.copied), () => {});
}
