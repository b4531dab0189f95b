// An item: what it is, what is like it, and whose profiles are near it.

import { json } from "./api.js";
import { bar, h, put } from "./dom.js";
import { decimal, name, number } from "./format.js";
import { empty, failed, loading } from "./states.js";
import { itemHash, people } from "./user.js";

export function item(id) {
  const heading = h("h1", {}, h("span", { class: "soft" }, "Item "), id);
  const body = h("div", {});
  let closed = false;
  async function show() {
    put(body, loading("the item"));
    try {
      const found = await json("v1/dashboard/item", { query: { item: id } });
      if (closed) return;
      put(heading, h("span", { class: "soft" }, "Item "), found.title || id);
      put(body, facts(id, found), h("div", { class: "columns" },
        card("Items like it", found.like.length ? h("ol", { class: "weights two" }, found.like.map((one) => h("li", {},
          h("span", { class: "what" }, h("a", { href: itemHash(one.item_id) }, name(one.title))),
          bar(one.score), h("span", { class: "value" }, decimal(one.score))))) : empty("It is the only one")),
        card("Users near it", found.audience.length ? people(found.audience) : empty("No users yet"))));
    } catch (error) {
      if (!closed) put(body, failed(error, show));
    }
  }
  show();
  return {
    element: h("div", {}, h("div", { class: "page-head" }, heading), body),
    title: `Item ${id}`,
    close() { closed = true; },
  };
}

function facts(id, found) {
  const attributes = Object.entries(found.attributes).map(([name, value]) => `${name}: ${value}`);
  return h("dl", { class: "summary small" }, [
    ["Id", id], ["Categories", found.categories.join(", ") || "none"],
    ["Recently seen by", `${number(found.seen_by)} users`],
    ["Attributes", attributes.join(", ") || "none"],
  ].map(([title, value]) => h("div", { class: "stat" }, h("dt", {}, title), h("dd", {}, value))));
}

function card(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), content);
}
