// Batches and the encoder: where a worker's time goes.

import { Chart } from "../chart.js";
import { h, table } from "../dom.js";
import { bytes, number, percent, rate, seconds } from "../format.js";
import { panel, stat } from "../panel.js";
import { notReported } from "../states.js";
import { needsWorkers } from "./workers.js";

const STAGES = ["prepare", "encode", "fold", "publish", "commit"];

export function batches(store) {
  const chart = new Chart(store, "Durations of a micro-batch’s stages, medians", {
    format: seconds, log: true,
    series: () => STAGES.map((one, at) => ({ name: `stage.${one}.p50`, label: one, tone: `tone-${at + 1}` })),
  });
  const size = stat("Actions a batch");
  const fill = stat("Fill time p50");
  const slow = stat("Slowest stage p99");
  const stats = h("dl", { class: "stats" }, size.element, fill.element, slow.element);
  const body = needsWorkers(store, "batch.actions", [stats, chart.element]);
  function update() {
    body.update();
    chart.update();
    size.set(store.absent("batch.actions") ? notReported() : number(store.value("batch.actions")), "mean of 20 s");
    fill.set(store.absent("batch.fill") ? notReported() : seconds(store.value("batch.fill.p50")),
      store.value("batch.fill.p99") === null ? "" : `p99 ${seconds(store.value("batch.fill.p99"))}`);
    const [name, worst] = STAGES.map((one) => [one, store.value(`stage.${one}.p99`)])
      .filter(([, value]) => value !== null).sort((a, b) => b[1] - a[1])[0] ?? ["", null];
    slow.set(STAGES.every((one) => store.absent(`stage.${one}`)) ? notReported() : seconds(worst), name);
  }
  return { element: panel("Batches", {}, body.element), update, charts: [chart] };
}

export function encoder(store) {
  const chart = new Chart(store, "Tokens per second", {
    format: rate, series: () => [{ name: "encoder.tokens", label: "tokens", tone: "tone-1" }],
  });
  const figures = [
    ["Texts encoded", "encoder.texts", rate], ["Cache hits", "encoder.hits", percent],
    ["Padding", "encoder.padding", percent], ["Encoder busy", "encoder.busy", percent],
  ].map(([name, series, format]) => ({ series, format, stat: stat(name) }));
  const devices = table("Devices", [
    { title: "Worker", cell: (one) => one.worker },
    { title: "Device", cell: (one) => one.device },
    { title: "Busy", number: true, cell: (one) => (one.utilization === undefined ? notReported()
      : percent(one.utilization, 0)) },
    { title: "Memory", number: true, cell: (one) => (one.memory === undefined ? notReported()
      : one.limit ? `${bytes(one.memory)} / ${bytes(one.limit)}` : bytes(one.memory)) },
  ], { hidden: true });
  const absent = h("p", { class: "note" }, "Utilisation and memory of devices: ", notReported());
  const stats = h("dl", { class: "stats" }, figures.map((one) => one.stat.element));
  const body = needsWorkers(store, "encoder.texts", [stats, chart.element, devices.element, absent]);
  function update() {
    body.update();
    chart.update();
    for (const one of figures) {
      one.stat.set(store.absent(one.series) ? notReported() : one.format(store.value(one.series)));
    }
    chart.element.hidden = store.absent("encoder.tokens");
    devices.element.hidden = !store.frame.devices.length;
    absent.hidden = store.frame.devices.length > 0;
    devices.show(store.frame.devices);
  }
  return { element: panel("Encoder", {}, body.element), update, charts: [chart] };
}
