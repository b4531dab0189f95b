// Charts of one profile: its past as its latest actions tell it, and its life while it is watched.

import uPlot from "./vendor/uPlot.esm.js";
import { tone } from "./chart.js";
import { h, put, table } from "./dom.js";
import { clock, decimal } from "./format.js";
import { empty } from "./states.js";

const HEIGHT = 150;

/** steps: oldest first, as the service gives them; norm, drift, likeness may be null. */
export function pastChart(steps) {
  const known = steps.filter((one) => one.norm !== null);
  const rows = table("The profile after each action", [
    { title: "Action", cell: (one) => `${one.place}. ${one.action}` },
    { title: "Item", cell: (one) => one.title ?? one.item_id ?? "own words" },
    { title: "k", number: true, cell: (one) => decimal(one.k) },
    { title: "Norm", number: true, cell: (one) => decimal(one.norm) },
    { title: "Drift", number: true, cell: (one) => decimal(one.drift, 4) },
    { title: "Like now", number: true, cell: (one) => decimal(one.likeness) },
  ]);
  rows.show(steps.map((one, at) => ({ ...one, place: at + 1 })).reverse());
  const chart = new Lines("The profile’s norm, and its likeness to the profile now, after each action", [
    { label: "norm", tone: "tone-1" }, { label: "cosine with the profile now", tone: "tone-2" },
  ], (value) => String(value), true);
  const note = known.length === steps.length
    ? "By the rule, taken back action by action from the profile as it is now."
    : `By the rule, taken back from the profile as it is now; what lies before the last ${known.length} actions cannot be told, since an action had words of its own, an item no longer held, or left too little of what was before.`;
  return {
    element: h("div", {}, known.length > 1 ? chart.element : empty("Too little is known to draw"),
      h("p", { class: "note" }, note), h("details", {}, h("summary", {}, "As a table"), rows.element)),
    update: () => known.length > 1 && chart.show([
      steps.map((_, at) => at + 1), steps.map((one) => one.norm), steps.map((one) => one.likeness)]),
    redraw: () => chart.redraw(),
    close: () => chart.close(),
  };
}

/** points: {t, norm, drift, changed}, one every two seconds. */
export function watchChart() {
  const chart = new Lines("Norm and drift while this page is open", [
    { label: "norm", tone: "tone-1" }, { label: "drift (1 − cos to the version before)", tone: "tone-3" },
  ], (value) => clock(value * 1000));
  const said = h("p", { class: "note" });
  return {
    element: h("div", {}, chart.element, said),
    update(points) {
      const changes = points.filter((one) => one.changed);
      const last = changes.at(-1);
      put(said, last ? `${changes.length} changes; the last at ${clock(last.t * 1000)}, drift ${decimal(last.drift, 4)}.`
        : "No change since the page was opened.");
      if (points.length > 1) {
        chart.show([points.map((one) => one.t), points.map((one) => one.norm), points.map((one) => one.drift)]);
      }
    },
    redraw: () => chart.redraw(),
    close: () => chart.close(),
  };
}

class Lines {
  #plot = null;
  #data = null;

  constructor(title, series, x, whole = false) {
    this.whole = whole; // places on the x axis are whole numbers
    this.series = series;
    this.x = x;
    this.wrap = h("div", { class: "plot", role: "img", "aria-label": title });
    this.element = h("figure", { class: "chart" }, this.wrap, h("p", { class: "key" }, series.map((one) => h(
      "span", {}, h("span", { class: `swatch ${one.tone}`, "aria-hidden": "true" }), one.label))));
    this.resizing = new ResizeObserver(() => {
      const width = this.wrap.clientWidth;
      if (this.#plot && width && Math.abs(width - this.#plot.width) > 1) this.#plot.setSize({ width, height: HEIGHT });
    });
    this.resizing.observe(this.wrap);
  }

  show(data) {
    this.#data = data;
    if (this.#plot) return this.#plot.setData(data);
    const grid = { stroke: tone("line"), width: 1 };
    const axis = { stroke: tone("ink-soft"), grid, ticks: { show: false }, font: "11px system-ui" };
    this.#plot = new uPlot({
      width: Math.max(120, this.wrap.clientWidth || 320), height: HEIGHT, padding: [8, 8, 0, 0],
      legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 1, 0.1) * 1.08] } },
      axes: [{ ...axis, size: 22, space: 60, ...(this.whole ? { incrs: [1, 2, 5, 10] } : {}), values: (_, at) => at.map(this.x) },
        { ...axis, size: 44, values: (_, at) => at.map((one) => String(Number(one.toPrecision(3)))) }],
      series: [{}, ...this.series.map((one) => ({ stroke: tone(one.tone), width: 1.75, points: { show: data[0].length < 60, size: 5, fill: tone(one.tone) } }))],
    }, data, this.wrap);
    return this.#plot.root.setAttribute("aria-hidden", "true");
  }

  redraw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data) this.show(this.#data);
  }

  close() {
    this.resizing.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }
}
