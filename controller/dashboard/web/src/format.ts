/** Figures and times as text. Pure, but for the clock in `age`. */

export const UNKNOWN = "–";

export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return UNKNOWN;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 9.995 ? ms.toFixed(2) : ms < 99.95 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

export function ratio(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  if (value === 0) return "0 %";
  const percent = value * 100;
  return `${percent < 0.0995 ? percent.toFixed(3) : percent < 9.95 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** Hour and minute, local time. */
export function hour(at: number): string {
  const moment = new Date(at * 1000);
  return `${two(moment.getHours())}:${two(moment.getMinutes())}`;
}

/** Local time of day; with the date where it is not today. */
export function clock(text: string | number | null | undefined): string {
  if (text === null || text === undefined) return UNKNOWN;
  const moment = new Date(typeof text === "number" ? text * 1000 : text);
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  if (moment.toDateString() === new Date().toDateString()) return time;
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${time}`;
}

export function seconds(text: string): number {
  return Date.parse(text) / 1000;
}

export function span(s: number): string {
  const size = Math.abs(s);
  if (size < 90) return `${Math.round(s)} s`;
  if (size < 5400) return `${Math.round(s / 60)} min`;
  if (size < 129_600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export function age(text: string | null | undefined, now: number): string {
  if (text === null || text === undefined) return "never";
  const s = Math.max(0, now - seconds(text));
  return s < 2 ? "now" : `${span(s)} ago`;
}

export function pathText(source: string, path: readonly string[] | null): string {
  return path === null ? "none" : [source, ...path].join(" → ");
}

/** The relays of a path in words. */
export function via(path: readonly string[] | null): string {
  if (path === null) return "no path";
  return path.length === 1 ? "direct" : `via ${path.slice(0, -1).join(", ")}`;
}
