// Server-sent events, read by fetch: EventSource cannot send a token.

import { ask, ServiceError } from "./api.js";

/** Text to events, however it is cut: {event, data, id}. WHATWG HTML, 9.2.6. */
export class EventParser {
  #rest = "";
  #event = { event: "message", data: [], id: null };

  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const found = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#event.data.length) found.push({ ...this.#event, data: this.#event.data.join("\n") });
        this.#event = { event: "message", data: [], id: null };
      } else if (!line.startsWith(":")) {
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") this.#event.data.push(value);
        else if (name === "event" || name === "id") this.#event[name] = value;
      }
    }
    return found;
  }
}

const FIRST_WAIT = 1_000, LAST_WAIT = 20_000, SILENCE = 40_000;

/** The wait before attempt n, from 1 on: doubling, and never the same for all pages. */
export function backoff(attempt, random = Math.random) {
  return Math.min(LAST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * (0.75 + random() / 2);
}

/**
 * Follows the stream until stopped.
 * onEvent(name, data); onState({state, reason, retryAt, error}): connecting, live, lost, token.
 */
export class Stream {
  #stopped = false;
  #attempt = 0;
  #abort = null;
  #wake = null;

  constructor({ onEvent, onState }) {
    this.onEvent = onEvent;
    this.onState = onState;
  }

  async run() {
    this.onState({ state: "connecting" });
    while (!this.#stopped) {
      try {
        await this.#follow();
      } catch (error) {
        if (this.#stopped) return;
        await this.#pause(error);
      }
    }
  }

  /** Try now: a token was given, or someone does not want to wait. */
  retry() {
    this.#attempt = 0;
    this.#wake?.();
  }

  stop() {
    this.#stopped = true;
    this.#abort?.abort();
    this.#wake?.();
  }

  async #follow() {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const answer = await ask("v1/dashboard/stream", { scope: "admin", accept: "text/event-stream", signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await this.#heard(reader);
      if (done) throw new Error("the service ended the stream");
      for (const one of parser.push(value)) {
        if (one.event === "bye") {
          if (JSON.parse(one.data).reason === "time") return; // another is asked for at once
          throw new Error("the service is stopping");
        }
        this.#tell(one.event, JSON.parse(one.data));
        if (one.event === "frame") {
          this.#attempt = 0;
          this.onState({ state: "live" });
        }
      }
    }
  }

  /** A page that cannot show something is no reason to think the connection broken. */
  #tell(name, data) {
    try {
      this.onEvent(name, data);
    } catch (error) {
      console.error(`an event ${name} could not be shown:`, error);
    }
  }

  /** What comes next; a connection that says nothing for long is taken for broken. */
  #heard(reader) {
    let timer;
    const silence = new Promise((_, reject) => {
      timer = setTimeout(() => {
        this.#abort.abort();
        reject(new Error("nothing came for a while"));
      }, SILENCE);
    });
    return Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
  }

  async #pause(error) {
    if (error instanceof ServiceError && error.needsToken) {
      this.onState({ state: "token", error });
      await new Promise((wake) => { this.#wake = wake; });
    } else {
      this.#attempt += 1;
      const wait = backoff(this.#attempt);
      const reason = error instanceof TypeError ? "the service does not answer" : error.message;
      this.onState({ state: "lost", reason, retryAt: Date.now() + wait });
      await new Promise((wake) => {
        this.#wake = wake;
        setTimeout(wake, wait);
      });
    }
    this.#wake = null;
    if (!this.#stopped) this.onState({ state: "connecting" });
  }
}
