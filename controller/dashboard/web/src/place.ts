/** Where one is: view, figure, moment and ends, in the address, so that a place can be sent to a colleague. */
import { useEffect, useState } from "preact/hooks";
import { METRICS, type Metric } from "./model";

export const VIEWS = ["matrix", "map", "path", "events", "nodes"] as const;
export type View = (typeof VIEWS)[number];

export interface Place {
  readonly view: View;
  readonly metric: Metric;
  /** Unix seconds; null: now. */
  readonly at: number | null;
  readonly src: string;
  readonly dst: string;
  readonly klass: string;
  readonly filter: string;
  /** The table in place of the drawing. */
  readonly table: boolean;
}

function oneOf<T extends string>(known: readonly T[], text: string | null | undefined, otherwise: T): T {
  return known.find((one) => one === text) ?? otherwise;
}

export function read(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const query = new URLSearchParams(search);
  const at = Number(query.get("at") ?? NaN);
  return {
    view: oneOf(VIEWS, path, "matrix"),
    metric: oneOf(METRICS, query.get("metric"), "rtt"),
    at: Number.isFinite(at) && at > 0 ? at : null,
    src: query.get("src") ?? "",
    dst: query.get("dst") ?? "",
    klass: query.get("class") ?? "",
    filter: query.get("filter") ?? "",
    table: query.has("table"),
  };
}

export function write(place: Place): string {
  const query = new URLSearchParams();
  if (place.metric !== "rtt") query.set("metric", place.metric);
  if (place.at !== null) query.set("at", String(Math.round(place.at)));
  for (const [key, value] of [["src", place.src], ["dst", place.dst], ["class", place.klass], ["filter", place.filter]] as const) {
    if (value !== "") query.set(key, value);
  }
  if (place.table) query.set("table", "");
  const search = query.toString().replace(/=(?=&|$)/g, "");
  return `#/${place.view}${search === "" ? "" : `?${search}`}`;
}

/** Goes somewhere else; what is not named stays. What only refines a place makes no entry of history. */
export function go(change: Partial<Place>): void {
  const from = read(location.hash);
  const to = { ...from, ...change };
  const address = write(to);
  if (address === write(from)) return;
  history[to.view === from.view ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function usePlace(): Place {
  const [place, set] = useState(() => read(location.hash));
  useEffect(() => {
    const listener = (): void => set(read(location.hash));
    addEventListener("hashchange", listener);
    addEventListener("popstate", listener);
    return () => {
      removeEventListener("hashchange", listener);
      removeEventListener("popstate", listener);
    };
  }, []);
  return place;
}
