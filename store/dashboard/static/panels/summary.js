// The line at the top: is all well?

import { h } from "../dom.js";
import { number, percent, rate, seconds } from "../format.js";
import { stat } from "../panel.js";
import { notReported } from "../states.js";

export function summary(store) {
  const actions = stat("Actions applied");
  const lag = stat("Lag");
  const fresh = stat("Freshness p99");
  const budget = stat("Error budget left");
  const letters = stat("Dead letters");
  const quality = stat("Recall@10, online");
  const element = h(
    "dl", { class: "summary", "aria-label": "Summary" },
    [actions, lag, fresh, budget, letters, quality].map((one) => one.element));

  function workers(which, series, set) {
    const { workers: known, workers_configured: configured } = store.frame;
    if (!configured) which.set("–", "no workers configured");
    else if (known.length && !known.some((one) => one.up)) which.set("–", `0 of ${known.length} workers up`, "bad");
    else if (store.absent(series)) which.set(notReported());
    else set();
  }

  function update() {
    const { frame } = store;
    const { freshness, quality: recall } = frame;
    const up = frame.workers.filter((one) => one.up).length;
    const down = frame.workers.length - up;
    workers(actions, "actions", () => actions.set(
      rate(store.value("actions.applied")), `${up} of ${frame.workers.length} workers up`, down ? (up ? "warn" : "bad") : ""));
    workers(lag, "lag.records", () => lag.set(
      `${number(store.value("lag.records"))}`,
      store.value("lag.seconds") === null ? "records" : `records, oldest ${seconds(store.value("lag.seconds"))}`));
    const p99 = store.value("freshness.p99");
    const over = freshness && p99 !== null && p99 > freshness.slo_seconds;
    if (store.absent("freshness")) fresh.set(notReported());
    else {
      fresh.set(p99 === null ? "–" : seconds(p99),
        p99 === null ? "no profile changed lately" : `p50 ${seconds(store.value("freshness.p50"))}`, over ? "bad" : "");
    }
    if (!freshness) budget.set(notReported());
    else if (freshness.window.left === null) budget.set("–", "no profile changed in 15 min");
    else {
      budget.set(percent(Math.max(0, freshness.window.left), 0),
        `${percent(freshness.window.within, 2)} within ${seconds(freshness.slo_seconds)}`,
        freshness.window.left < 0 ? "bad" : freshness.window.left < 0.25 ? "warn" : "");
    }
    workers(letters, "letters", () => {
      const total = Object.values(frame.letters ?? {}).reduce((sum, one) => sum + one, 0);
      letters.set(rate(store.value("letters")), `${number(total)} since the workers began`,
        store.value("letters") > 0 ? "warn" : "");
    });
    if (!recall) quality.set(notReported());
    else if (!recall.window.trials) quality.set("–", "no trial in 15 min");
    else {
      const { served, popularity } = recall.window;
      quality.set(percent(served), `popular items ${percent(popularity)}`, served < popularity ? "warn" : "");
    }
  }
  return { element, update, charts: [] };
}
