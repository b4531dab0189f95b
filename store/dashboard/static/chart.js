// A chart of series over time, and beside it the same as a table: for who cannot see it, and to read.

import uPlot from "./vendor/uPlot.esm.js";
import { h } from "./dom.js";
import { clock } from "./format.js";

const HEIGHT = 150;
const FONT = "11px system-ui";
/** Right of the last moment: room for half of a time, since that may stand below it. */
const HALF_A_TIME = 28;
let names = 0;
/** Seconds that all charts show. */
export const range = { seconds: 300 };

/** A colour of the theme, as the canvas wants it. */
export function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * series: () => [{name, label, tone}]; format: of values; limit: () => {value, label} or null.
 * log: for values of several magnitudes.
 */
export class Chart {
  #plot = null;
  #drawn = "";
  #data = [[]];
  #at = null; // the place that is pointed at

  constructor(store, title, { series, format, limit = () => null, log = false }) {
    Object.assign(this, { store, title, series, format, limit, log });
    const caption = `legend-${++names}`;
    this.wrap = h("div", {
      class: "plot", tabindex: "0", role: "group", "aria-describedby": caption,
      "aria-label": `Chart: ${title}. Arrow keys move through time.`,
      onkeydown: (event) => this.#key(event),
      onblur: () => this.#plot?.setCursor({ left: -10, top: -10 }),
    });
    this.nothing = h("p", { class: "nothing", hidden: true }, "No values in this time");
    this.said = h("p", { class: "hidden", "aria-live": "polite" });
    this.moment = h("th", { scope: "col", class: "number" }, "Now");
    this.rows = h("tbody");
    this.legend = h(
      "table", { class: "legend" },
      h("caption", { class: "hidden", id: caption }, `${title}: latest and highest values`),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "hidden" }, "Series")),
        this.moment, h("th", { scope: "col", class: "number" }, "Highest"))),
      this.rows);
    this.element = h("figure", { class: "chart" }, h("div", { class: "stage" }, this.wrap, this.nothing), this.said, this.legend);
    this.resizing = new ResizeObserver(() => this.#resize());
    this.resizing.observe(this.wrap);
  }

  update() {
    const series = this.series();
    const limit = this.limit();
    const drawn = JSON.stringify([series, limit, document.documentElement.dataset.theme ?? ""]);
    this.#data = this.store.slice(series.map((one) => one.name), range.seconds);
    this.nothing.hidden = this.#data.slice(1).some((one) => one.some((value) => value !== null));
    if (limit) this.#data.push(this.#data[0].map(() => limit.value));
    if (drawn !== this.#drawn) {
      this.#drawn = drawn;
      this.#make(series, limit);
    } else {
      this.#plot?.setData(this.#data);
    }
    this.#legend();
  }

  close() {
    this.resizing.disconnect();
    this.#plot?.destroy();
  }

  /** After a change of the theme: colours are drawn in. */
  redraw() {
    this.#drawn = "";
    this.update();
  }

  #make(series, limit) {
    this.#plot?.destroy();
    const grid = { stroke: tone("line"), width: 1 };
    const axis = { stroke: tone("ink-soft"), grid, ticks: { show: false }, font: FONT };
    const lines = series.map((one) => ({
      label: one.label, stroke: tone(one.tone), width: 1.75, points: { show: false },
      fill: series.length === 1 ? `${tone(one.tone)}1f` : undefined,
    }));
    if (limit) {
      lines.push({ label: limit.label, stroke: tone("ink-soft"), width: 1, dash: [5, 4], points: { show: false } });
    }
    this.#plot = new uPlot({
      width: Math.max(120, this.wrap.clientWidth || 320), height: HEIGHT,
      legend: { show: false }, padding: [8, HALF_A_TIME, 0, 0],
      cursor: { sync: { key: "time" }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
      scales: { x: { range: () => this.#times() }, y: this.log ? { distr: 3 } : { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.12 : 1] } },
      axes: [
        { ...axis, size: 22, space: 70, values: (_, at) => at.map((one) => clock(one * 1000).slice(0, range.seconds > 300 ? 5 : 8)) },
        { ...axis, size: 54, space: 34, values: (_, at) => at.map((one) => (one === null ? "" : this.format(one))) },
      ],
      series: [{}, ...lines],
      hooks: { setCursor: [(plot) => this.#point(plot.cursor.idx ?? null)] },
    }, this.#data, this.wrap);
    this.#plot.root.setAttribute("aria-hidden", "true");
  }

  #times() {
    const last = this.#data[0].at(-1) ?? Date.now() / 1000;
    return [last - range.seconds, last];
  }

  #resize() {
    const width = this.wrap.clientWidth;
    if (this.#plot && width && Math.abs(width - this.#plot.width) > 1) {
      this.#plot.setSize({ width, height: HEIGHT });
    }
  }

  #point(at) {
    if (at === this.#at) return;
    this.#at = at;
    this.#legend();
  }

  #legend() {
    const [times, ...columns] = this.#data;
    const at = this.#at === null || this.#at >= times.length ? times.length - 1 : this.#at;
    this.moment.textContent = this.#at === null || times[at] === undefined ? "Now" : clock(times[at] * 1000);
    this.rows.replaceChildren(...this.series().map((one, place) => {
      const known = columns[place].filter((value) => value !== null);
      const now = columns[place][at] ?? null;
      return h("tr", {},
        h("th", { scope: "row" }, h("span", { class: `swatch ${one.tone}`, "aria-hidden": "true" }), one.label),
        h("td", { class: "number" }, this.format(now)),
        h("td", { class: "number soft" }, this.format(known.length ? Math.max(...known) : null)));
    }));
  }

  #key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const [times, ...columns] = this.#data;
    if (!step || !times.length || !this.#plot) return;
    event.preventDefault();
    const shown = times.findIndex((one) => one >= this.#times()[0]);
    const at = Math.max(shown, Math.min(times.length - 1, (this.#at ?? times.length - 1) + step));
    this.#plot.setCursor({ left: this.#plot.valToPos(times[at], "x"), top: 10 });
    this.#point(at);
    this.said.textContent = [clock(times[at] * 1000),
      ...this.series().map((one, place) => `${one.label} ${this.format(columns[place][at])}`)].join(", ");
  }
}
