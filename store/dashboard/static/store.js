// What the stream told, for all panels: the series of the last quarter of an hour, the latest frame.

const KEPT_MS = 15 * 60_000;
const MOST_LETTERS = 100;

export class Store {
  constructor() {
    this.refreshSeconds = 1;
    this.columns = { t: [] };
    this.frame = null;
    this.letters = [];
    this.lettersState = { topic: null, reason: "connecting", replayed: [] };
    this.listeners = new Set();
  }

  /** Be told of each change: listener(what), "frame" or "letters". Returns how to stop. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  take(name, data) {
    if (name === "hello") {
      this.refreshSeconds = data.refresh_seconds;
      this.columns = data.history;
      this.letters = [];
    } else if (name === "frame") {
      this.frame = data;
      this.#append(data.t, data.values);
      this.#tell("frame");
    } else if (name === "letters") {
      this.letters = [...this.letters, ...data.letters].slice(-MOST_LETTERS);
      this.lettersState = { topic: data.topic, reason: data.reason, replayed: data.replayed };
      this.#tell("letters");
    }
  }

  /** Whether nobody reports what a series is made of. */
  absent(series) {
    return this.frame?.absent.includes(series) ?? false;
  }

  value(series) {
    return this.frame?.values[series] ?? null;
  }

  /** Times in seconds, and a column for each series, of the last so many seconds. */
  slice(series, seconds) {
    const { t } = this.columns;
    const begin = t.length ? t[t.length - 1] - seconds * 1000 : 0;
    let first = t.findIndex((one) => one >= begin);
    if (first < 0) first = t.length;
    return [
      t.slice(first).map((one) => one / 1000),
      ...series.map((name) => this.columns[name]?.slice(first) ?? t.slice(first).map(() => null)),
    ];
  }

  /** Names of series that begin with this, such as "actions.". */
  named(prefix) {
    return Object.keys(this.columns).filter((one) => one.startsWith(prefix)).sort();
  }

  #append(t, values) {
    const { columns } = this;
    const before = columns.t.length;
    if (before && t <= columns.t[before - 1]) return; // the history has it already
    for (const name of Object.keys(values)) {
      columns[name] ??= new Array(before).fill(null);
    }
    for (const [name, column] of Object.entries(columns)) {
      column.push(name === "t" ? t : values[name] ?? null);
    }
    const old = columns.t.findIndex((one) => one >= t - KEPT_MS);
    if (old > 60) for (const column of Object.values(columns)) column.splice(0, old);
  }

  #tell(what) {
    for (const listener of [...this.listeners]) listener(what);
  }
}
