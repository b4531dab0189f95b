// Elements. Every word that comes from data goes in as a text node: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element: h("p", {class: "note", onclick: …}, "text", child, [children]). */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of SVG. */
export function s(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
}

/** Replace what is in an element, unless it would be the same text. */
export function put(element, ...children) {
  const kept = flat(children);
  if (kept.length === 1 && typeof kept[0] === "string" && element.textContent === kept[0]
      && element.childElementCount === 0) return;
  element.replaceChildren(...kept);
}

/** A table with headers: columns are {title, number?, cell(row)}; rows by key keep their element. */
export function table(caption, columns, { hidden = false } = {}) {
  const body = h("tbody");
  const element = h(
    "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: hidden ? "hidden" : null }, caption),
      h("thead", {}, h("tr", {}, columns.map(
        (one) => h("th", { scope: "col", class: one.number ? "number" : null }, one.title)))),
      body));
  return {
    element,
    show(rows) {
      body.replaceChildren(...rows.map((row) => h("tr", {}, columns.map((one, at) => {
        const cell = one.cell(row);
        const tag = at === 0 ? "th" : "td";
        return h(tag, {
          scope: at === 0 ? "row" : null, class: one.number ? "number" : null, "data-title": one.title,
        }, cell ?? "–");
      }))));
    },
  };
}

/** A meter drawn as a bar; its words stand beside it. share: 0 to 1. */
export function bar(share, tone = "") {
  const width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h("span", { class: `bar ${tone}`, "aria-hidden": "true" }, h("span", { style: { width } }));
}
