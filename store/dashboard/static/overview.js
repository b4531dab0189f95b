// What operators see: all panels, and all dead letters that are kept.

import { range } from "./chart.js";
import { h, put } from "./dom.js";
import { loading } from "./states.js";
import { freshness, lag, throughput } from "./panels/flow.js";
import { deadLetters, letterList } from "./panels/letters.js";
import { batches, encoder } from "./panels/machine.js";
import { indexes, quality, requests } from "./panels/serving.js";
import { summary } from "./panels/summary.js";
import { workers } from "./panels/workers.js";

const RANGES = [[60, "1 min"], [300, "5 min"], [900, "15 min"]];

export function overview(store) {
  const top = summary(store);
  const dead = deadLetters(store);
  const panels = [
    throughput(store), freshness(store), lag(store), workers(store), batches(store), encoder(store),
    quality(store), indexes(store), requests(store), dead,
  ];
  const ready = h("p", { class: "banner warn", hidden: true });
  const content = h(
    "div", { hidden: true },
    h("div", { class: "page-head" }, h("h1", {}, "Overview"), ranges(update)),
    ready, top.element, h("div", { class: "grid" }, panels.map((one) => one.element)));
  const waiting = loading("the first figures");
  const element = h("div", {}, waiting, content);

  function update() {
    if (!store.frame || document.hidden) return;
    waiting.hidden = true;
    content.hidden = false;
    const { service } = store.frame;
    ready.hidden = service.ready;
    const words = `This service is not ready: ${service.reason}.`;
    if (ready.textContent !== words) put(ready, words);
    top.update();
    for (const one of panels) one.update();
  }
  document.addEventListener("visibilitychange", update);
  const silence = store.listen((what) => (what === "frame" ? update() : dead.letters()));
  requestAnimationFrame(update); // once it has a width
  const charts = panels.flatMap((one) => one.charts);
  return {
    element, title: "Overview", operators: true,
    redraw: () => charts.forEach((one) => one.redraw()),
    close() {
      silence();
      document.removeEventListener("visibilitychange", update);
      for (const one of charts) one.close();
    },
  };
}

export function letters(store) {
  const list = letterList(store, 100);
  const where = h("p", { class: "soft under-head" });
  const element = h(
    "div", {},
    h("div", { class: "page-head" }, h("h1", {}, "Dead letters")), where,
    h("section", { class: "card", "aria-label": "The last letters" }, list.element));
  const update = () => {
    const { topic } = store.lettersState;
    put(where, topic ? `The last ${store.letters.length} of the topic ${topic}, newest first. Opened, a letter shows its bytes.` : "");
    list.update();
  };
  const silence = store.listen((what) => what === "letters" && update());
  update();
  return { element, title: "Dead letters", operators: true, close: silence };
}

function ranges(changed) {
  return h(
    "fieldset", { class: "ranges" }, h("legend", { class: "hidden" }, "Time that the charts show"),
    RANGES.map(([seconds, words]) => h("label", {},
      h("input", {
        type: "radio", name: "range", value: seconds, checked: range.seconds === seconds,
        onchange: () => { range.seconds = seconds; changed(); },
      }), h("span", {}, words))));
}
