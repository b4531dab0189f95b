// A panel of the overview: a title, what stands in it, and how it follows the stream.

import { h } from "./dom.js";

let ids = 0;

/** wide: over all columns, two: over two. aside: what stands beside the title. */
export function panel(title, { wide = false, two = false, aside = null } = {}, ...children) {
  const id = `panel-${++ids}`;
  return h(
    "section", { class: `card panel${wide ? " wide" : two ? " two" : ""}`, "aria-labelledby": id },
    h("div", { class: "panel-head" }, h("h2", { id }, title), aside),
    children);
}

/** A figure with its name: value is filled by set(). */
export function stat(name) {
  const value = h("dd", {});
  const sub = h("dd", { class: "sub" });
  return {
    element: h("div", { class: "stat" }, h("dt", {}, name), value, sub),
    set(words, under = "", state = "") {
      const content = typeof words === "string" ? words : [words];
      if (typeof content !== "string" || value.textContent !== content) value.replaceChildren(...[content].flat());
      if (sub.textContent !== under) sub.textContent = under;
      value.parentElement.dataset.state = state;
    },
  };
}
