// What tools/browser.py asks of a page: an object of functions; content and layout give lists of faults.
({
  content: () => {
    const found = [], at = e => e.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    for (const math of document.querySelectorAll(".math")) {
      if (!math.querySelector("mjx-container")) found.push(`formula not set: ${at(math)}`);
      if (math.querySelector("mjx-merror, [data-mjx-error], [data-mml-node=merror]")) found.push(`formula with an error: ${at(math)}`);
    }
    for (const picture of document.images) {
      if (!picture.complete || !picture.naturalWidth) found.push(`picture not loaded: ${picture.getAttribute("src").slice(0, 80)}`);
    }
    return found;
  },

  layout: phone => {
    const found = [], root = document.scrollingElement, wide = root.clientWidth;
    const at = e => e.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    if (root.scrollWidth > wide + 1) {
      const far = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > wide + 1 && e.checkVisibility());
      found.push(`the page scrolls sideways by ${root.scrollWidth - wide}: ${far.slice(-1).map(e => `${e.tagName}.${e.className}`)}`);
    }
    for (const e of document.querySelectorAll("article pre, article table, article .math")) {
      const kind = e.matches("pre") ? "code" : e.matches("table") ? "table" : "formula";
      // Of a formula its picture counts: beside it stands a hidden text for screen readers, which takes no room.
      const formula = kind === "formula" && e.querySelector("mjx-container > svg"), shown = formula || e;
      const box = shown.getBoundingClientRect(), end = box.right + (formula ? 0 : e.scrollWidth - e.clientWidth);
      if (!e.checkVisibility() || !box.width || e.closest("mjx-assistive-mml")) continue;
      let holder = formula ? formula.parentElement : e, clip = null;
      for (; holder && holder !== document.body && !clip; holder = holder.parentElement) {
        const { overflowX, display } = getComputedStyle(holder);
        if (display !== "inline" && overflowX !== "visible" && end > holder.getBoundingClientRect().right + 1) clip = overflowX;
      }
      // On a phone what is wide may scroll in a box of its own; on a desk all is seen at once.
      if (clip && !(phone && ["auto", "scroll"].includes(clip))) found.push(`${kind} cut: ${at(e)}`);
      else if (!clip && end > wide + 1) found.push(`${kind} leaves the page: ${at(e)}`);
    }
    return found;
  },

  // Figures in the page: type below 11 px, and words that leave their picture or lie on each other. Of a formula the
  // letters count, not their indices; where lines of type touch by a little, they still read.
  figures: () => {
    const found = [], name = e => e.textContent.trim().slice(0, 30);
    const tilted = e => { const { a, b } = e.getCTM(); return Math.min(Math.abs(a), Math.abs(b)) > 0.1; };
    for (const picture of document.querySelectorAll(".icl-figure svg")) {
      if (!picture.checkVisibility()) continue;
      const frame = picture.getBoundingClientRect(), scale = frame.width / picture.viewBox.baseVal.width;
      const texts = [...picture.querySelectorAll("text")].filter(e => e.textContent.trim());
      const boxes = texts.map(e => e.getBoundingClientRect());
      texts.forEach((text, i) => {
        const parts = [text, ...text.querySelectorAll("tspan")].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
        const size = scale * Math.max(...parts.map(e => parseFloat(getComputedStyle(e).fontSize)));
        const a = boxes[i], where = `${picture.closest("figure")?.id || "figure"}: "${name(text)}"`;
        if (size < 11) found.push(`${where} is of ${size.toFixed(1)} px`);
        if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1) {
          found.push(`${where} leaves its picture`);
        }
        for (let j = 0; j < i; j++) {
          if (tilted(text) || tilted(texts[j])) continue; // whose boxes are larger than they
          const b = boxes[j], wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (wide > 2 && high > 4) found.push(`${where} lies on "${name(texts[j])}"`);
        }
      });
    }
    return found;
  },

  // Marks one text of each look: colour, grounds it stands on, size and weight. axe judges contrast by where a text
  // lies, which takes seconds for the thousands of words of code in a page that have a dozen looks between them.
  looks: inside => {
    const seen = new Set(), style = e => getComputedStyle(e);
    const grounds = new Map(), ground = e => {
      if (!e) return "";
      if (!grounds.has(e)) {
        const { backgroundColor, backgroundImage, opacity, filter } = style(e);
        const own = [backgroundColor, backgroundImage, opacity, filter].join();
        const none = own === "rgba(0, 0, 0, 0),none,1,none";
        grounds.set(e, ground(e.parentElement) + (none ? "" : `|${own}`));
      }
      return grounds.get(e);
    };
    for (const e of document.querySelectorAll(`${inside}, ${inside} *`)) {
      e.removeAttribute("data-look");
      if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
      const { color, fontSize, fontWeight } = style(e), key = [color, fontSize, fontWeight, ground(e)].join();
      if (!seen.has(key)) e.dataset.look = seen.add(key).size;
    }
  },
})
