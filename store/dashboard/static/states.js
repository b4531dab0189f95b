// What stands where there is nothing to show: empty, loading, failed.

import { ServiceError } from "./api.js";
import { h } from "./dom.js";
import { tokenForm } from "./token.js";

/** Nothing there, and what to do about it. */
export function empty(title, ...words) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), words.length && h("p", {}, words));
}

export function loading(what) {
  return h("div", { class: "empty", role: "status" }, h("p", {}, `Loading ${what}…`));
}

/** Why something failed; asks for a token where that helps. again() tries once more. */
export function failed(error, again) {
  if (error instanceof ServiceError && error.needsToken) return tokenForm(error, again);
  const reason = error instanceof TypeError ? "the service does not answer" : error.message;
  const titles = { 404: "Not there", 503: "Not ready", 429: "Too busy", 504: "Too slow" };
  return h(
    "div", { class: "empty failed", role: "alert" },
    h("p", { class: "empty-title" }, titles[error.status] ?? "It did not work"),
    h("p", {}, sentence(reason), " ", error.hint ? sentence(error.hint) : ""),
    again && h("button", { type: "button", onclick: again }, "Try again"));
}

/** A metric that nobody reports. */
export function notReported() {
  return h("span", { class: "absent", title: "No process reports this metric" }, "not reported");
}

function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;
}
