// The workers, and what stands in a panel of theirs where there are none.

import { bar, h, put, table } from "../dom.js";
import { bytes, number, rate, seconds } from "../format.js";
import { panel } from "../panel.js";
import { empty, notReported } from "../states.js";

/** The content of a panel of workers' figures, or why there are none. */
export function needsWorkers(store, series, content) {
  const inside = h("div", { class: "panel-body" }, content);
  const instead = h("div", { hidden: true });
  let shown = null;
  return {
    element: h("div", {}, inside, instead),
    update() {
      const { frame } = store;
      const why = !frame.workers_configured ? "configured"
        : !frame.workers.some((one) => one.up) ? "down" : store.absent(series) ? "absent" : "";
      // While they are down what was before stays to be seen.
      const hides = why !== "" && !(why === "down" && store.columns[series]?.some((one) => one !== null));
      inside.hidden = hides;
      instead.hidden = !hides;
      if (why === shown) return;
      shown = why;
      put(instead, why === "configured" ? empty("No workers configured", "See the table of workers.")
        : why === "down" ? empty("No worker answers", "See the table of workers.")
          : empty("Not reported", "The workers do not report this metric."));
    },
  };
}

export function workers(store) {
  const rows = table("Workers", [
    { title: "Worker", cell: (one) => one.name },
    { title: "State", cell: state },
    { title: "Partitions", number: true, cell: (one) => said(one, "partitions", number) },
    { title: "Actions applied", number: true, cell: (one) => said(one, "rate", rate) },
    { title: "Lag", number: true, cell: (one) => said(one, "lag", number) },
    { title: "Oldest", number: true, cell: (one) => said(one, "lag_seconds", seconds) },
    { title: "Profiles", number: true, cell: (one) => said(one, "profiles", number) },
    { title: "Memory", number: true, cell: (one) => said(one, "memory", bytes) },
    { title: "Version", cell: (one) => said(one, "version", String) },
  ], { hidden: true });
  const instead = empty("No workers configured",
    "To see what the workers do, start this service with ", h("code", {}, "dashboard.workers"),
    ", a list of the addresses of their metrics: ",
    h("code", {}, "TIDEMARK_DASHBOARD__WORKERS='[\"http://worker:9100\"]'"),
    ". Workers serve them with ", h("code", {}, "--metrics-port 9100"), ".");
  function update() {
    rows.element.hidden = !store.frame.workers_configured;
    instead.hidden = store.frame.workers_configured;
    rows.show(store.frame.workers);
  }
  return { element: panel("Workers", { wide: true }, rows.element, instead), update, charts: [] };
}

function said(one, name, format) {
  if (!one.up) return "";
  const value = one[name];
  if (value === null && name === "rate") return "–"; // before the second look
  return value === null || value === undefined ? notReported() : format(value);
}

function state(one) {
  if (!one.up) return badge("bad", "down", one.reason);
  if (one.restoring) {
    const [read, expected] = one.restoring;
    return h("span", {}, badge("warn", "restoring", `${number(read)} of ${number(expected)} records`), " ", bar(read / expected));
  }
  if (one.stalled > 0) return badge("warn", "stalled", `nothing advanced for ${seconds(one.stalled)}`);
  return badge("good", "up");
}

/** A word with a colour; the word says it too. */
export function badge(tone, word, why = "") {
  return h("span", {}, h("span", { class: `badge ${tone}` }, word), why && h("span", { class: "why" }, " ", why));
}
