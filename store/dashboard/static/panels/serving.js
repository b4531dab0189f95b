// What this service holds and how it answers; and whether the profiles are worth it.

import { Chart } from "../chart.js";
import { h, put, table } from "../dom.js";
import { number, percent, rate, seconds } from "../format.js";
import { panel, stat } from "../panel.js";
import { empty, notReported } from "../states.js";
import { badge } from "./workers.js";

export function indexes(store) {
  const chart = new Chart(store, "Search latency", {
    format: seconds, log: true,
    series: () => [
      { name: "search.items.p50", label: "items p50", tone: "tone-1" },
      { name: "search.items.p99", label: "items p99", tone: "tone-2" },
      { name: "search.profiles.p50", label: "profiles p50", tone: "tone-3" },
      { name: "search.profiles.p99", label: "profiles p99", tone: "tone-4" },
    ],
  });
  const rows = table("Indexes", [
    { title: "Index", cell: (one) => one.index },
    { title: "Kind", cell: (one) => one.kind },
    { title: "Vectors", number: true, cell: (one) => (one.vectors === null ? notReported() : number(one.vectors)) },
    { title: "Recall probe", number: true, cell: (one) => (one.recall !== null ? percent(one.recall, 2)
      : /exact|flat/i.test(one.kind) ? "finds all" : notReported()) },
    { title: "Search p50", number: true, cell: (one) => (store.absent("search") ? notReported() : seconds(one.p50)) },
    { title: "p99", number: true, cell: (one) => (store.absent("search") ? notReported() : seconds(one.p99)) },
  ], { hidden: true });
  const facts = h("dl", { class: "facts" });
  function update() {
    const { service, indexes: held } = store.frame;
    rows.show(held);
    chart.element.hidden = store.absent("search");
    if (!chart.element.hidden) chart.update();
    const next = service.upcoming;
    put(facts,
      fact("State", service.ready ? badge(service.healthy ? "good" : "warn", service.healthy ? "ready" : "degraded", service.reason)
        : badge("bad", "not ready", service.reason)),
      fact("Follower’s lag", service.lag === null ? "not known yet" : `${number(service.lag)} records`),
      fact("Generation", h("span", {}, h("code", {}, service.generation), " ", h("span", { class: "soft" }, service.encoder_id))),
      fact("Next generation", next ? h("span", {}, h("code", {}, next.generation), ` ${number(next.profiles)} profiles, ${number(next.items)} items; waits: ${next.waiting_for}`) : "none"));
  }
  return { element: panel("Indexes", { two: true }, h("div", { class: "split" }, h("div", {}, facts), chart.element), rows.element), update, charts: [chart] };
}

export function requests(store) {
  const chart = new Chart(store, "Time to answer a request", {
    format: seconds,
    series: () => [
      { name: "requests.p50", label: "p50", tone: "tone-1" },
      { name: "requests.p99", label: "p99", tone: "tone-2" },
    ],
  });
  const count = stat("Requests");
  const update = () => {
    chart.update();
    count.set(rate(store.value("requests")), "to this service, this page’s too");
  };
  return { element: panel("Requests", {}, h("dl", { class: "stats" }, count.element), chart.element), update, charts: [chart] };
}

export function quality(store) {
  const chart = new Chart(store, "Recall@10 over the last quarter of an hour", {
    format: (value) => percent(value),
    series: () => [
      { name: "quality.served", label: "as served", tone: "tone-1" },
      { name: "quality.profile", label: "nearest to the profile", tone: "tone-2" },
      { name: "quality.popularity", label: "most popular", tone: "tone-3" },
    ],
  });
  const rows = table("Online recall@10", [
    { title: "", cell: (one) => one.title },
    { title: "As served", number: true, cell: (one) => percent(one.served) },
    { title: "Nearest to the profile", number: true, cell: (one) => percent(one.profile) },
    { title: "Most popular", number: true, cell: (one) => percent(one.popularity) },
    { title: "Trials", number: true, cell: (one) => number(one.trials) },
  ], { hidden: true });
  const instead = empty("Not reported", "This service does not report how often the next item was among the candidates.");
  const inside = h("div", {}, chart.element, rows.element,
    h("p", { class: "note" }, "Before an action is folded in: was its item among the ten unseen items that the user would have been served, that are nearest to the profile, or most popular? A sample is tried."));
  function update() {
    const now = store.frame.quality;
    inside.hidden = !now;
    instead.hidden = Boolean(now);
    if (!now) return;
    chart.update();
    rows.show([{ title: "Last 15 min", ...now.window }, { title: "Since start", ...now.start }]);
  }
  return { element: panel("Online quality", {}, inside, instead), update, charts: [chart] };
}

function fact(name, ...value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
