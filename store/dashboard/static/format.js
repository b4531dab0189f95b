// Numbers for people. What is not known is a dash.

export const DASH = "–";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1,234 · 12.3 · 0.012: three digits that say something, whole from 100 on. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  const size = Math.abs(value);
  if (size >= 100_000) return compact(value);
  if (size >= 100 || Number.isInteger(value)) return WHOLE.format(value);
  return String(Number(value.toPrecision(size < 1 ? 2 : 3)));
}

function compact(value) {
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= unit) return `${Number((value / unit).toPrecision(3))} ${name}`;
  }
  return String(value);
}

export function rate(value) {
  return value === null || value === undefined ? DASH : `${number(value)}/s`;
}

export function seconds(value) {
  if (value === null || value === undefined) return DASH;
  if (value === 0) return "0 s";
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1e3)} ms`;
  if (value < 120) return `${number(value)} s`;
  if (value < 7200) return `${number(value / 60)} min`;
  if (value < 172_800) return `${number(value / 3600)} h`;
  return `${number(value / 86_400)} d`;
}

export function bytes(value) {
  if (value === null || value === undefined) return DASH;
  for (const [unit, name] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (value >= unit) return `${number(value / unit)} ${name}`;
  }
  return `${number(value)} B`;
}

export function percent(value, digits = 1) {
  if (value === null || value === undefined) return DASH;
  return `${Number((value * 100).toFixed(digits))} %`;
}

export function decimal(value, digits = 3) {
  return value === null || value === undefined ? DASH : value.toFixed(digits);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** Producers may write any number: not every one is a moment. */
const isMoment = (ms) => Number.isFinite(ms) && Math.abs(ms) <= 8.64e15;

export const clock = (ms) => (isMoment(ms) ? CLOCK.format(ms) : DASH);
export const dateTime = (ms) => (!ms ? DASH : isMoment(ms) ? DAY.format(ms) : `${ms} ms`);

/** For `<time>`; undefined where there is no such moment. */
export const isoTime = (ms) => (isMoment(ms) ? new Date(ms).toISOString() : undefined);

/** A name that can be seen: an id or a title may be nothing but blanks. */
export function name(text) {
  return text.trim() ? text : `“${text}”, blank`;
}

/** How long ago: "3 min ago". */
export function ago(ms, now = Date.now()) {
  if (!ms) return DASH;
  const past = (now - ms) / 1000;
  if (past < 0) return "in the future";
  return past < 1.5 ? "just now" : `${seconds(Math.round(past))} ago`;
}
