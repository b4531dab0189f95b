// Asking for a token: where the service wants one and this tab has none that will do.

import { keepToken } from "./api.js";
import { h } from "./dom.js";

const FOR = {
  admin: "the operators’ figures and dead letters",
  read: "users, items and the map",
};

/** A form; done() is called when a token was given. error is the ServiceError that asked for it. */
export function tokenForm(error, done) {
  const { scope } = error;
  const id = `token-${scope}`;
  const input = h("input", {
    id, type: "password", autocomplete: "off", spellcheck: "false", required: true,
    "aria-describedby": `${id}-why`,
  });
  const form = h(
    "form", { class: "card token", "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, "A token is needed"),
    h("p", { id: `${id}-why` },
      error.status === 401 && error.message.startsWith("no bearer token")
        ? `This service shows ${FOR[scope]} only to who has a token with the scope “${scope}”.`
        : `${capital(error.message)}. It takes one with the scope “${scope}”, for ${FOR[scope]}.`),
    h("label", { for: id }, `Token with the scope “${scope}”`),
    h("div", { class: "row" }, input, h("button", { type: "submit", class: "primary" }, "Use it")),
    h("p", { class: "note" },
      "It is kept until this tab is closed, and sent in a header, never in an address. Make one by: ",
      h("code", {}, `tidemark token new --scope ${scope}`)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (!token) return;
    keepToken(scope, token);
    done();
  });
  return form;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
