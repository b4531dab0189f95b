// Throughput, lag, freshness: what comes in, what waits, how soon it can be found.

import { Chart } from "../chart.js";
import { bar, h, put, table } from "../dom.js";
import { number, percent, rate, seconds } from "../format.js";
import { panel } from "../panel.js";
import { notReported } from "../states.js";
import { needsWorkers } from "./workers.js";

const OUTCOMES = [
  ["applied", "applied", "tone-1"], ["duplicate", "duplicate", "tone-2"], ["fenced", "fenced", "tone-3"],
  ["forgotten_user", "of forgotten users", "tone-4"], ["forget", "forgets", "tone-5"],
];

export function throughput(store) {
  const chart = new Chart(store, "Actions per second by outcome", {
    format: rate,
    series: () => {
      const found = new Set(store.named("actions.").map((one) => one.slice("actions.".length)));
      const known = OUTCOMES.filter(([name]) => found.has(name) || name === "applied");
      const others = [...found].filter((one) => !OUTCOMES.some(([name]) => name === one));
      return [...known, ...others.map((one) => [one, one, "tone-6"])]
        .map(([name, label, tone]) => ({ name: `actions.${name}`, label, tone }));
    },
  });
  const types = h("p", { class: "chips" });
  const body = needsWorkers(store, "actions", [chart.element, types]);
  function update() {
    body.update();
    chart.update();
    const rates = Object.entries(store.frame.types ?? {}).filter(([name, one]) => name && one > 0);
    put(types, rates.sort((a, b) => b[1] - a[1]).map(
      ([name, one]) => h("span", { class: "chip" }, name, " ", h("b", {}, rate(one)))));
  }
  return { element: panel("Throughput", {}, body.element), update, charts: [chart] };
}

export function lag(store) {
  const chart = new Chart(store, "Records that wait", {
    format: number, series: () => [{ name: "lag.records", label: "records", tone: "tone-1" }],
  });
  const rows = table("Lag by partition", [
    { title: "Topic", cell: (one) => one.topic },
    { title: "Partition", number: true, cell: (one) => String(one.partition) },
    { title: "Records", number: true, cell: (one) => number(one.records) },
    { title: "Oldest", number: true, cell: (one) => (one.seconds === null ? notReported() : seconds(one.seconds)) },
    { title: "Worker", cell: (one) => one.worker },
  ], { hidden: true });
  const body = needsWorkers(store, "lag.records", [chart.element, rows.element]);
  function update() {
    body.update();
    chart.update();
    rows.element.hidden = !store.frame.lag.length;
    rows.show([...store.frame.lag].sort((a, b) => b.records - a.records || a.topic.localeCompare(b.topic) || a.partition - b.partition));
  }
  return { element: panel("Lag", {}, body.element), update, charts: [chart] };
}

export function freshness(store) {
  const slo = () => store.frame?.freshness;
  const chart = new Chart(store, "From publishing to retrievable", {
    format: seconds,
    series: () => [
      { name: "freshness.p50", label: "p50", tone: "tone-1" },
      { name: "freshness.p99", label: "p99", tone: "tone-2" },
    ],
    limit: () => (slo() ? { value: slo().slo_seconds, label: "objective" } : null),
  });
  const budget = h("div", { class: "budget" });
  function update() {
    chart.update();
    const now = slo();
    if (!now) return put(budget, h("p", {}, "Share within the objective: ", notReported()));
    const span = (title, one) => (one.left === null
      ? h("p", {}, h("span", { class: "budget-name" }, title), "no profile changed")
      : h("p", {}, h("span", { class: "budget-name" }, title),
        bar(one.left, one.left < 0 ? "bad" : one.left < 0.25 ? "warn" : "good"),
        h("span", {}, h("b", {}, percent(Math.max(0, one.left), 0)), " of the error budget left: ",
          percent(one.within, 2), ` of ${number(one.profiles)} within ${seconds(now.slo_seconds)}`,
          one.burn > 1 ? `, used ${number(one.burn)} times too fast` : "")));
    return put(budget, span("Last 15 min", now.window), span("Since start", now.start),
      h("p", { class: "note" }, `The objective (dashed): ${percent(now.objective, 2)} of changed profiles retrievable within ${seconds(now.slo_seconds)}.`));
  }
  return { element: panel("Freshness", {}, chart.element, budget), update, charts: [chart] };
}
