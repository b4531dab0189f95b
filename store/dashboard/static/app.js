// The page: which view is shown, the stream that all of them share, the theme.

import { h, put } from "./dom.js";
import { item } from "./item.js";
import { map } from "./map.js";
import { letters, overview } from "./overview.js";
import { Store } from "./store.js";
import { Stream } from "./stream.js";
import { tokenForm } from "./token.js";
import { user, users } from "./user.js";

const main = document.getElementById("main");
const notice = document.getElementById("notice");
const live = document.getElementById("live");
const liveText = document.getElementById("live-text");
const store = new Store();
const stream = new Stream({ onEvent: (name, data) => store.take(name, data), onState: showState });
let view = null;
let state = { state: "connecting" };
let counting = null;

/** A view is {element, title, operators?, close()}; operators: it needs the stream's figures. */
const VIEWS = [
  [/^\/$/, () => overview(store)],
  [/^\/letters$/, () => letters(store)],
  [/^\/users$/, () => users()],
  [/^\/users\/(.+)$/s, (id) => user(id, store)],
  [/^\/items\/(.+)$/s, (id) => item(id)],
  [/^\/map$/, () => map()],
];

function route() {
  const path = location.hash.slice(1) || "/";
  view?.close();
  const found = VIEWS.map(([pattern, make]) => [pattern.exec(path), make]).find(([match]) => match);
  view = found ? found[1](...found[0].slice(1).map(decoded)) : missing();
  document.title = `${view.title} · Tidemark`;
  for (const link of document.querySelectorAll(".tabs a")) {
    const own = link.hash.slice(1);
    const here = own === path || (own !== "/" && path.startsWith(`${own}/`)) || (own === "/users" && path.startsWith("/items/"));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  window.scrollTo(0, 0);
  render();
}

function render() {
  const error = state.state === "token" ? state.error : null;
  if (view.operators && error) put(main, tokenForm(error, () => stream.retry()));
  else if (main.firstElementChild !== view.element) put(main, view.element);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function missing() {
  const element = h("div", { class: "empty" }, h("p", { class: "empty-title" }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "To the overview")));
  return { element, title: "Not there", close() {} };
}

function showState(now) {
  const before = state.state;
  state = now;
  live.dataset.state = now.state;
  const words = { connecting: "Connecting", live: "Live", token: "Needs a token", lost: "Not live" };
  if (before !== now.state) liveText.textContent = words[now.state];
  clearInterval(counting);
  if (now.state === "lost") {
    const left = h("span", {});
    const count = () => { left.textContent = `${Math.max(0, Math.ceil((now.retryAt - Date.now()) / 1000))} s`; };
    count();
    counting = setInterval(count, 500);
    put(notice, h("div", { class: "banner" },
      h("p", {}, h("b", {}, "The live figures stopped: "), `${now.reason}. What is shown is from before. Next try in `,
        h("span", { "aria-hidden": "true" }, left), h("span", { class: "hidden" }, "a moment"), "."),
      h("button", { type: "button", onclick: () => stream.retry() }, "Try now")));
  } else if (now.state === "live" || now.state === "token") {
    put(notice);
  }
  if (view && before !== now.state) render();
}

function themes() {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = current() === "dark" ? "Light theme" : "Dark theme"; };
  const changed = () => {
    label();
    view?.redraw?.();
  };
  button.addEventListener("click", () => {
    const chosen = current() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    localStorage.setItem("tidemark.theme", chosen);
    changed();
  });
  dark.addEventListener("change", changed);
  label();
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault(); // the address after the # says which view is shown
  main.focus();
});
window.addEventListener("hashchange", () => {
  route();
  main.focus({ preventScroll: true });
});
window.addEventListener("pagehide", () => stream.stop());
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
themes();
route();
stream.run();
