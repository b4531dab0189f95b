// Dead letters: how many and why, and a look at the last ones. Their bytes are shown, never read.

import { Chart } from "../chart.js";
import { h, put } from "../dom.js";
import { bytes, dateTime, isoTime, number, rate } from "../format.js";
import { panel } from "../panel.js";
import { empty, notReported } from "../states.js";
import { needsWorkers } from "./workers.js";

/** The last letters, newest first; most: how many. Open ones stay open. */
export function letterList(store, most) {
  const list = h("ol", { class: "letters" });
  const instead = h("div", {});
  const shown = new Map();
  function update() {
    const { topic, reason, replayed } = store.lettersState;
    const letters = [...store.letters].reverse().slice(0, most);
    list.hidden = !letters.length;
    instead.hidden = letters.length > 0 && !reason;
    put(instead, reason ? empty("The letters cannot be shown", `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`)
      : empty("No dead letters", `Nothing in ${topic ?? "the topic"}: every message could be processed.`));
    const wanted = letters.map((one) => {
      if (!shown.has(one.number)) shown.set(one.number, letterElement(one));
      const element = shown.get(one.number);
      element.querySelector(".replayed").hidden = !replayed.includes(one.number);
      return element;
    });
    for (const number of [...shown.keys()]) {
      if (!letters.some((one) => one.number === number)) shown.delete(number);
    }
    if (wanted.length !== list.children.length || wanted.some((one, at) => list.children[at] !== one)) {
      list.replaceChildren(...wanted);
    }
  }
  return { element: h("div", {}, instead, list), update };
}

export function deadLetters(store) {
  const chart = new Chart(store, "Dead letters per second by reason", {
    format: rate,
    series: () => {
      // The workers name all reasons that there are; what never came is not drawn.
      const totals = store.frame?.letters ?? {};
      const found = store.named("letters.").filter((one) => totals[one.slice("letters.".length)] > 0);
      if (!found.length) return [{ name: "letters", label: "all", tone: "tone-1" }];
      return found.map((name, at) => ({ name, label: name.slice("letters.".length), tone: `tone-${(at % 6) + 1}` }));
    },
  });
  const totals = h("p", { class: "chips" });
  const rates = needsWorkers(store, "letters", [chart.element, totals]);
  const list = letterList(store, 5);
  function update() {
    rates.update();
    chart.update();
    list.update();
    const known = store.frame.letters;
    put(totals, known === null ? notReported() : Object.entries(known).filter(([, count]) => count > 0).map(
      ([reason, count]) => h("span", { class: "chip" }, reason, " ", h("b", {}, number(count)))));
  }
  const aside = h("a", { href: "#/letters" }, "All that are kept");
  return { element: panel("Dead letters", { wide: true, aside }, h("div", { class: "split" }, rates.element, list.element)), update, letters: list.update, charts: [chart] };
}

function letterElement(one) {
  const source = one.source_topic === null ? "source not known"
    : `${one.source_topic} · ${one.source_partition} · ${one.source_offset}`;
  return h(
    "li", {},
    h("details", {},
      h("summary", {},
        h("span", { class: "badge warn" }, one.error ?? "no reason given"),
        h("span", { class: "letter-reason" },
          h("span", { class: "badge good replayed", hidden: true }, "replayed"), " ", one.reason ?? ""),
        h("span", { class: "letter-source" }, source),
        h("time", { datetime: isoTime(one.time) ?? "" }, dateTime(one.time))),
      h("dl", { class: "facts" },
        fact("Source", `topic ${one.source_topic ?? "–"}, partition ${one.source_partition ?? "–"}, offset ${one.source_offset ?? "–"}`),
        fact("Kept at", `topic ${one.topic}, partition ${one.partition}, offset ${one.offset}`)),
      data("Key", one.key), data("Value", one.value)));
}

function fact(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function data(name, shown) {
  if (shown === null) return h("p", {}, h("b", {}, name), ": none");
  const size = `${bytes(shown.size)}${shown.cut ? `, the first ${shown.hex.length / 2} of them` : ""}`;
  return h(
    "div", { class: "bytes" },
    h("p", {}, h("b", {}, name), ` (${size})`),
    shown.text !== null && h("pre", { tabindex: "0", role: "region", "aria-label": `${name} as text` }, shown.text),
    h("pre", { class: "hex", tabindex: "0", role: "region", "aria-label": `${name} in hexadecimal digits` }, hexDump(shown.hex)));
}

/** Sixteen bytes a line: offset, digits, and the printable ASCII among them. */
export function hexDump(hex) {
  const pairs = hex.match(/../g) ?? [];
  const lines = [];
  for (let at = 0; at < pairs.length; at += 16) {
    const row = pairs.slice(at, at + 16);
    const text = row.map((pair) => {
      const code = Number.parseInt(pair, 16);
      return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "·";
    });
    lines.push(`${at.toString(16).padStart(4, "0")}  ${row.join(" ").padEnd(47)}  ${text.join("")}`);
  }
  return lines.join("\n");
}
