// A user: what the profile is made of, how it came to be, and what follows from it. Read-only.

import { json } from "./api.js";
import { bar, h, put } from "./dom.js";
import { ago, dateTime, decimal, name, number, percent } from "./format.js";
import { pastChart, watchChart } from "./userpast.js";
import { empty, failed, loading } from "./states.js";
import { badge } from "./panels/workers.js";

const POLL_MS = 2_000;
const SEEN = 24; // shown at once

/** Search for users by a part of their id. */
export function users() {
  const results = h("div", {});
  const input = h("input", {
    id: "user-search", type: "search", autocomplete: "off", spellcheck: "false", name: "q",
    placeholder: "A part of a user’s id", oninput: () => search(300),
  });
  const form = h("form", { class: "search", role: "search" },
    h("label", { for: "user-search" }, "User id"), input);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value) location.hash = userHash(input.value);
  });
  const element = h("div", {}, h("div", { class: "page-head" }, h("h1", {}, "Users")),
    h("section", { class: "card" }, form,
      h("p", { class: "note" }, "Enter opens the user whose id is exactly this."), results));
  let timer = null, asked = 0;
  function search(wait = 0) {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = ++asked;
      try {
        const found = await json("v1/dashboard/users", { query: { q: input.value } });
        if (mine === asked) put(results, list(found, input.value));
      } catch (error) {
        if (mine === asked) put(results, failed(error, () => search()));
      }
    }, wait);
  }
  put(results, loading("users"));
  search();
  return { element, title: "Users", close: () => clearTimeout(timer) };
}

function list(found, wanted) {
  if (!found.users) return empty("No users yet", "A user is here once an action of theirs was processed.");
  const partial = found.looked_at < found.users && found.found.length < 20
    ? ` Of ${number(found.users)} users the ${number(found.looked_at)} that came last were looked at; an exact id is always found.` : "";
  if (!found.found.length) return empty("No such user", `No id holds “${wanted}”.${partial}`);
  return [
    h("h2", { class: "small" }, wanted ? "Found" : "The users that came last"),
    h("ul", { class: "links" }, found.found.map((id) => h("li", {}, h("a", { href: userHash(id) }, name(id))))),
    partial && h("p", { class: "note" }, partial.trim()),
  ];
}

export const userHash = (id) => `#/users/${encodeURIComponent(id)}`;
export const itemHash = (id) => `#/items/${encodeURIComponent(id)}`;

export function user(id) {
  const head = h("div", { class: "page-head" }, h("h1", {}, h("span", { class: "soft" }, "User "), id));
  const body = h("div", {});
  const element = h("div", {}, head, body);
  const seen = { version: null, points: [], direction: null, charts: [] };
  let timer = null, closed = false;

  async function poll() {
    try {
      const now = await json("v1/dashboard/user", { query: { user: id } });
      if (closed) return;
      watch(now);
      if (now.version !== seen.version) await show(now);
      timer = setTimeout(poll, POLL_MS);
    } catch (error) {
      if (closed) return;
      closeCharts();
      seen.version = null;
      put(body, failed(error, poll));
    }
  }

  function watch(now) {
    const cosine = seen.direction === null ? null
      : now.direction.reduce((sum, one, at) => sum + one * seen.direction[at], 0);
    const drift = now.version === seen.version || cosine === null ? 0 : Math.max(0, 1 - cosine);
    seen.direction = now.direction;
    seen.points.push({ t: Date.now() / 1000, norm: now.norm, drift, changed: now.version !== seen.version && seen.version !== null });
    seen.points.splice(0, seen.points.length - 900);
    seen.watching?.update(seen.points);
  }

  async function show(now) {
    const [candidates, neighbours] = await Promise.all([
      json("v1/dashboard/candidates", { query: { user: id } }).catch((error) => error),
      json("v1/dashboard/neighbours", { query: { user: id } }).catch((error) => error)]);
    if (closed) return;
    const first = seen.version === null;
    seen.version = now.version;
    const open = first && candidates.candidates?.length ? new Set([candidates.candidates[0].item_id]) : new Set([...body.querySelectorAll("details[open][data-item]")].map((one) => one.dataset.item));
    closeCharts(first);
    seen.watching ??= watchChart();
    const past = pastChart(now.steps);
    seen.charts = [past];
    put(body, facts(now), h("div", { class: "columns" },
      h("div", {}, made(now), card("How it came to be", past.element), card("While this page is open", seen.watching.element), alike(neighbours)),
      h("div", {}, offered(candidates, open), recently(now, open))));
    seen.watching.update(seen.points);
    past.update();
  }

  function closeCharts(all = true) {
    for (const one of seen.charts) one.close();
    if (all) {
      seen.watching?.close();
      seen.watching = null;
    }
    seen.charts = [];
  }
  put(body, loading("the user"));
  poll();
  return {
    element, title: `User ${id}`,
    redraw() {
      for (const one of [...seen.charts, seen.watching]) one?.redraw();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      closeCharts();
    },
  };
}

function card(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), content);
}

function facts(now) {
  return h("dl", { class: "summary small" }, [
    ["Actions folded in", number(now.count), ""],
    ["Last action", ago(now.last_action_at), dateTime(now.last_action_at)],
    ["Norm", decimal(now.norm), "how concentrated the interest is"],
    ["Partition", String(now.partition), ""],
    ["Encoder", now.encoder_id, ""],
  ].map(([title, value, under]) => h("div", { class: "stat" }, h("dt", {}, title), h("dd", {}, value), h("dd", { class: "sub" }, under))));
}

function made(now) {
  const steps = [...now.steps].reverse();
  if (!steps.length) return card("What it is made of", empty("Nothing kept", "No latest actions are kept with this profile (memory.contributions)."));
  const most = Math.max(...steps.map((one) => Math.abs(one.weight)), 1e-9);
  const before = now.steps.reduce((left, one) => left * one.k, 1);
  return card("What it is made of",
    h("p", { class: "note" }, "The latest actions, newest first, and the factor of each one’s vector in the profile as it is now."),
    h("ol", { class: "weights" }, steps.map((one) => h("li", {},
      h("span", { class: "action" }, one.action),
      h("span", { class: "what" }, title(one)),
      bar(Math.abs(one.weight) / most, one.weight < 0 ? "bad" : ""),
      h("span", { class: "value" }, decimal(one.weight))))),
    h("p", { class: "note" }, now.count > steps.length
      ? `Of all that was before these ${steps.length}, ${number(now.count - steps.length)} actions, a factor of ${decimal(before)} is left.`
      : "These are all actions of this user."));
}

function title(one) {
  if (one.item_id === null) return h("span", { class: "soft" }, "words of the user’s own");
  return h("a", { href: itemHash(one.item_id) }, one.title === null ? `${name(one.item_id)} (no longer held)` : name(one.title));
}

function offered(answer, open) {
  if (answer instanceof Error) return card("Candidates, and why", failed(answer));
  if (!answer.candidates.length) return card("Candidates, and why", empty("No candidates", "There is no item that this user has not seen."));
  const popular = answer.source === "popular";
  const blended = answer.rank === "blend";
  return card("Candidates, and why",
    popular && h("p", { class: "note" }, "This profile has no direction: these are the most popular items that the user has not seen."),
    blended && h("p", { class: "note" }, "Ordered by the learned blend: by texts, by what is popular, and by what goes together. Scores say the order, and no more."),
    h("ol", { class: "candidates" }, answer.candidates.map((one) => h("li", {},
      h("details", { "data-item": one.item_id, open: open.has(one.item_id) },
        h("summary", {}, h("span", { class: "what" }, name(one.title)), h("span", { class: "soft" }, one.categories.join(", ")), h("span", { class: "value" }, popular ? number(one.score) : decimal(one.score))),
        h("p", {}, h("a", { href: itemHash(one.item_id) }, "Open the item")),
        one.parts && parts(one.parts),
        one.parts && h("p", { class: "note" }, "How near its text is to the user’s actions:"),
        reasons(one.because ?? []))))));
}

// What speaks for an item, and what against it, more than for one at random.
const PARTS = {
  text: "text like the user’s", popularity: "popular now", age: "its age", esteem: "liked by others", taste: "to the user’s taste",
  together: "goes with the user’s items", follows: "follows the user’s items",
};
function parts(made) {
  const told = Object.entries(made).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  const most = Math.abs(told[0][1]) || 1;
  return h("ul", { class: "weights two" }, told.map(([part, value]) => h("li", {},
    h("span", { class: "what" }, PARTS[part] ?? part),
    bar(Math.abs(value) / most, value < 0 ? "bad" : ""), h("span", { class: "value" }, decimal(value)))));
}

function reasons(because) {
  if (!because.length) return h("p", { class: "note" }, "No action is kept that could speak for it.");
  return h("ul", { class: "weights" }, because.map((one) => h("li", {},
    h("span", { class: "action" }, one.action), h("span", { class: "what" }, title(one)),
    bar(Math.abs(one.share ?? 0), (one.share ?? 0) < 0 ? "bad" : ""),
    h("span", { class: "value" }, one.share === null ? "–" : percent(one.share, 0)))));
}

function recently(now, openBefore) {
  if (!now.seen.length) return card("Recently seen", empty("Nothing yet"));
  const links = (some) => h("ul", { class: "links" }, some.map((one) => h("li", {},
    h("a", { href: itemHash(one.item_id) }, name(one.title ?? one.item_id)),
    one.title === null && badge("warn", "no longer held"))));
  const latest = [...now.seen].reverse(), rest = latest.slice(SEEN);
  return card("Recently seen", links(latest.slice(0, SEEN)),
    rest.length > 0 && h("details", { "data-item": "", open: openBefore.has("") }, h("summary", {}, `${number(rest.length)} more`), links(rest)));
}

function alike(answer) {
  if (answer instanceof Error) return card("Users alike", failed(answer));
  if (!answer.neighbours.length) return card("Users alike", empty("Nobody else yet"));
  return card("Users alike", people(answer.neighbours));
}

export function people(scored) {
  return h("ol", { class: "weights two" }, scored.map((one) => h("li", {},
    h("span", { class: "what" }, h("a", { href: userHash(one.user_id) }, name(one.user_id))),
    bar(one.score), h("span", { class: "value" }, decimal(one.score)))));
}
