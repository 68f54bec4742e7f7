// What scrolls can be reached by keyboard. The theme sees to code that is wide when the page opens; this, to tables, and
// to what is unfolded or turned narrow later.
addEventListener("load", () => {
  const watch = new ResizeObserver(seen => {
    for (const { target } of seen) if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
  });
  for (const e of document.querySelectorAll("article :is(pre, table)")) watch.observe(e);
});
