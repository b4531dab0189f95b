// A map of profiles and items: near each other is what is alike, as far as two dimensions tell.

import { json } from "./api.js";
import { h, put, table } from "./dom.js";
import { name, number, percent } from "./format.js";
import { Plane } from "./mapdraw.js";
import { empty, failed, loading } from "./states.js";
import { itemHash, userHash } from "./user.js";

const COLOURED = 6; // categories with a colour of their own
const LISTED = 100;

export function map() {
  const body = h("div", {});
  const element = h("div", {}, h("div", { class: "page-head" }, h("h1", {}, "Map")), body);
  let shown = null, closed = false;
  async function load() {
    put(body, loading("the map"));
    try {
      const found = await json("v1/dashboard/map");
      if (closed) return;
      const points = pointsOf(found);
      shown?.close();
      shown = null;
      if (!points.length) {
        put(body, empty("Nothing to draw yet", "Profiles and items appear once items were published and actions processed."));
        return;
      }
      shown = drawn(found, points);
      put(body, shown.element);
      shown.begin();
    } catch (error) {
      if (!closed) put(body, failed(error, load));
    }
  }
  load();
  return {
    element, title: "Map",
    redraw: () => shown?.redraw(),
    close() {
      closed = true;
      shown?.close();
    },
  };
}

function pointsOf({ users, items }) {
  const counts = new Map();
  for (const one of items.category ?? []) counts.set(one, (counts.get(one) ?? 0) + 1);
  counts.delete("");
  const coloured = [...counts].sort((a, b) => b[1] - a[1]).slice(0, COLOURED).map(([category]) => category);
  return [
    ...items.id.map((id, at) => {
      const place = coloured.indexOf(items.category[at]);
      return { kind: "item", id, x: items.x[at], y: items.y[at], title: items.title[at], category: items.category[at],
        tone: place < 0 ? "tone-other" : `tone-${place + 1}`, word: place < 0 ? "other" : items.category[at] };
    }),
    ...users.id.map((id, at) => ({ kind: "user", id, x: users.x[at], y: users.y[at], title: id, count: users.count[at], tone: "ink-soft", word: "users" })),
  ];
}

function drawn(found, points) {
  const canvas = h("canvas", {
    tabindex: "0", role: "application", "aria-label": "Map of users and items", "aria-describedby": "map-keys",
  });
  const plane = new Plane(canvas);
  const label = h("div", { class: "map-label", hidden: true });
  const said = h("p", { class: "hidden", "aria-live": "polite" });
  const search = h("input", { id: "map-search", type: "search", autocomplete: "off", placeholder: "Title, category or id" });
  const hits = h("span", { class: "soft", role: "status" });
  const switches = { item: checkbox("Items", true), user: checkbox("Users", true) };
  const rows = table("Points", [
    { title: "Title", cell: (one) => h("a", { href: hashOf(one) }, name(one.title || one.id)) },
    { title: "Kind", cell: (one) => (one.kind === "item" ? "item" : "user") },
    { title: "Category", cell: (one) => one.category ?? "" },
    { title: "x", number: true, cell: (one) => one.x.toFixed(3) },
    { title: "y", number: true, cell: (one) => one.y.toFixed(3) },
  ]);
  const listed = h("p", { class: "note" });
  let wanted = "";
  const matches = (one) => wanted !== "" && [one.title, one.category, one.id].some((text) => text?.toLowerCase().includes(wanted));
  plane.marked = matches;
  plane.shows = (one) => switches[one.kind].input.checked;

  function select(point, speak = false) {
    plane.selected = point;
    if (point) plane.reveal(point);
    plane.draw();
    label.hidden = !point;
    canvas.dataset.selected = point?.id ?? "";
    if (!point) return;
    const words = wordsOf(point);
    put(label, h("b", {}, words.title), h("span", {}, words.under));
    const [x, y] = plane.place(point);
    const left = Math.min(Math.max(8, x + 12), Math.max(8, canvas.clientWidth - label.offsetWidth - 8));
    const above = y + 14 + label.offsetHeight > canvas.clientHeight;
    Object.assign(label.style, { left: `${left}px`, top: `${above ? y - label.offsetHeight - 12 : y + 12}px` });
    if (speak) said.textContent = `${words.title}, ${words.under}`;
  }
  function list() {
    const all = points.filter((one) => plane.shows(one) && (wanted === "" || matches(one)));
    put(hits, wanted ? `${number(all.length)} found` : "");
    put(listed, all.length > LISTED ? `The first ${LISTED} of ${number(all.length)}; search to see others.` : "");
    rows.show(all.slice(0, LISTED));
  }
  search.addEventListener("input", () => {
    wanted = search.value.trim().toLowerCase();
    list();
    plane.draw();
  });
  search.addEventListener("keydown", (event) => {
    const first = event.key === "Enter" && points.find((one) => plane.shows(one) && matches(one));
    if (!first) return;
    event.preventDefault();
    canvas.focus();
    select(first, true);
  });
  for (const one of Object.values(switches)) one.input.addEventListener("change", () => { list(); plane.draw(); });
  canvas.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow && event.shiftKey) plane.move(-40 * arrow[0], -40 * arrow[1]);
    else if (arrow) select(plane.next(...arrow) ?? plane.selected, true);
    else if (event.key === "+" || event.key === "=") plane.zoom(1.4);
    else if (event.key === "-") plane.zoom(1 / 1.4);
    else if (event.key === "0") { plane.home(); plane.draw(); }
    else if (event.key === "Enter" && plane.selected) location.hash = hashOf(plane.selected);
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
    if (!arrow || event.shiftKey) select(plane.selected);
  });
  const drag = pointers(canvas, plane, select);
  const resizing = new ResizeObserver(() => plane.draw());
  resizing.observe(canvas);
  const zooms = h("div", { class: "zooms" },
    h("button", { type: "button", "aria-label": "Zoom in", onclick: () => { plane.zoom(1.5); select(null); } }, "+"),
    h("button", { type: "button", "aria-label": "Zoom out", onclick: () => { plane.zoom(1 / 1.5); select(null); } }, "−"),
    h("button", { type: "button", "aria-label": "Show all", onclick: () => { plane.home(); plane.draw(); select(null); } }, "All"));
  const [across, up] = found.explained;
  const element = h("section", { class: "card map", "aria-label": "Map" },
    h("div", { class: "row" }, h("label", { for: "map-search" }, "Find"), search, hits, switches.item.element, switches.user.element),
    h("div", { class: "map-stage" }, canvas, label, zooms), said,
    key(points),
    h("p", { class: "note" }, `${of(found, "users")} and ${of(found, "items")}, by their vectors’ two principal components, which hold ${percent(across + up)} of the variance (${percent(across)} across, ${percent(up)} up): near each other may still be unlike.`),
    h("p", { class: "note", id: "map-keys" }, "Drag and wheel move and zoom; a click opens. With the keyboard: arrows go from point to point, Shift and arrows move, + − 0 zoom, Enter opens."),
    h("details", {}, h("summary", {}, "As a table"), listed, rows.element));
  return {
    element,
    begin() { plane.show(points); list(); },
    redraw: () => plane.draw(),
    close() { resizing.disconnect(); drag(); },
  };
}

function of(found, kind) {
  const some = found[kind].id.length, all = found.total[kind];
  return some < all ? `${number(some)} of ${number(all)} ${kind}` : `${number(all)} ${kind}`;
}

function key(points) {
  const words = new Map(points.map((one) => [one.word, one]));
  return h("p", { class: "key" }, [...words].sort((a, b) => a[1].tone.localeCompare(b[1].tone)).map(([word, one]) => h(
    "span", {}, h("span", { class: one.kind === "user" ? "swatch diamond" : `swatch dot ${one.tone}`, "aria-hidden": "true" }), word)));
}

function checkbox(words, checked) {
  const input = h("input", { type: "checkbox", checked });
  return { input, element: h("label", { class: "check" }, input, words) };
}

const hashOf = (one) => (one.kind === "item" ? itemHash(one.id) : userHash(one.id));

function wordsOf(one) {
  return one.kind === "item" ? { title: name(one.title || one.id), under: `item${one.category ? `, ${one.category}` : ""}` }
    : { title: name(one.id), under: `user, ${number(one.count)} actions` };
}

/** Mouse, pen and fingers; returns how to stop. */
function pointers(canvas, plane, select) {
  const down = new Map();
  let moved = 0, apart = 0;
  const at = (event) => [event.offsetX, event.offsetY];
  const spread = () => {
    const [a, b] = [...down.values()];
    return Math.hypot(a[0] - b[0], a[1] - b[1]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    if (down.size === 1) moved = 0;
    else apart = spread();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) return select(plane.at(...at(event)));
    const [x, y] = down.get(event.pointerId), [nx, ny] = at(event);
    down.set(event.pointerId, [nx, ny]);
    moved += Math.hypot(nx - x, ny - y);
    if (down.size === 1) {
      if (moved > 4) { plane.move(nx - x, ny - y); select(null); }
    } else {
      const now = spread();
      plane.zoom(now / Math.max(1, apart), nx, ny);
      apart = now;
    }
    return undefined;
  });
  const released = (event) => {
    const click = down.size === 1 && moved <= 4 && event.type === "pointerup";
    down.delete(event.pointerId);
    const point = click ? plane.at(...at(event)) : null;
    if (!point) return;
    // A finger shows first and opens at the second touch; a mouse has shown it by hovering.
    if (event.pointerType === "mouse" || plane.selected === point) location.hash = hashOf(point);
    else select(point, true);
  };
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", released);
  canvas.addEventListener("pointerleave", () => down.size || select(null));
  const wheel = (event) => {
    event.preventDefault();
    plane.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    select(null);
  };
  canvas.addEventListener("wheel", wheel, { passive: false });
  return () => canvas.removeEventListener("wheel", wheel);
}
