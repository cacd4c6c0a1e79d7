/** From a figure to its step: seven steps, told by words and numbers wherever they are told by colour. Pure.
 *
 * Colours are those of cividis (Nuñez, Anderton and Renslow 2018): their lightness alone tells the order, to eyes with any
 * colour vision. The worst step stands out most from the page, so that by day the scale is turned round.
 */
import type { Metric } from "./model";
import { duration, ratio } from "./format";

export type Theme = "light" | "dark";

const CIVIDIS = ["#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#b8a968", "#fde737"] as const;
const BY_DAY = ["#fff3a6", "#e6d36b", "#c6b265", "#9a9273", "#74757a", "#4a5a84", "#0b2a66"] as const;
export const STEPS = CIVIDIS.length;
export const COLOURS: Record<Theme, readonly string[]> = { dark: CIVIDIS, light: BY_DAY };
/** What is readable on each step. */
export const INK: Record<Theme, readonly string[]> = {
  dark: ["#fff", "#fff", "#fff", "#fff", "#000", "#000", "#000"],
  light: ["#000", "#000", "#000", "#000", "#fff", "#fff", "#fff"],
};

/** A figure below the first limit is of step 0, and so on. */
const LIMITS: Record<Metric, readonly number[]> = {
  rtt: [5, 10, 20, 50, 100, 200],
  loss: [0.0001, 0.001, 0.005, 0.01, 0.02, 0.05],
  residual: [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01],
};

export const NAME: Record<Metric, string> = { rtt: "RTT", loss: "Loss", residual: "Residual loss" };
export const MEANING: Record<Metric, string> = {
  rtt: "there and back",
  loss: "one way, before repair",
  residual: "one way, after repair",
};

export function stepOf(metric: Metric, value: number): number {
  const limits = LIMITS[metric];
  let step = 0;
  while (step < limits.length && value >= (limits[step] ?? Infinity)) step++;
  return step;
}

export function show(metric: Metric, value: number | null | undefined): string {
  return metric === "rtt" ? duration(value) : ratio(value);
}

/** Without its unit, for cells. */
export function brief(metric: Metric, value: number): string {
  if (Number.isNaN(value)) return "";
  if (metric === "rtt") return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
  if (value === 0) return "0";
  const percent = value * 100;
  return percent < 0.095 ? percent.toFixed(2) : percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0);
}

export function legend(metric: Metric): string[] {
  const limits = LIMITS[metric];
  const text = (value: number): string => (metric === "rtt" ? `${value}` : `${+(value * 100).toPrecision(2)}`);
  return Array.from({ length: STEPS }, (_, step) => {
    const low = limits[step - 1];
    const high = limits[step];
    if (low === undefined) return `< ${text(high ?? 0)}`;
    return high === undefined ? `≥ ${text(low)}` : `${text(low)}–${text(high)}`;
  });
}

export const UNIT: Record<Metric, string> = { rtt: "ms", loss: "%", residual: "%" };
