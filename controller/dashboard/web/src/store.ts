/** The one state of the page, and how components hear of it. */
import { useEffect, useState } from "preact/hooks";
import type { Matrix } from "./matrix";
import type { MeshEvent, Metric, Node, Routes, Session } from "./model";
import type { Theme } from "./scale";

export type Matrices = Partial<Record<Metric, Matrix>>;

export interface State {
  /** undefined: not yet known; null: nobody is logged in. */
  readonly session: Session | null | undefined;
  readonly stream: "connecting" | "live" | "lost";
  readonly nodes: readonly Node[];
  readonly seen: Readonly<Record<string, string>>;
  readonly live: Matrices;
  /** The links at a time of the past, while that is what is looked at. */
  readonly past: { readonly at: number; readonly matrices: Matrices } | null;
  readonly routes: Routes | null;
  readonly events: readonly MeshEvent[];
  readonly theme: Theme;
  readonly problem: string | null;
}

let state: State = {
  session: undefined,
  stream: "connecting",
  nodes: [],
  seen: {},
  live: {},
  past: null,
  routes: null,
  events: [],
  theme: "light",
  problem: null,
};
const listeners = new Set<() => void>();

export function current(): State {
  return state;
}

export function update(change: Partial<State>): void {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

/** What `select` says of the state; the component is drawn anew when that is something else. */
export function useStore<T>(select: (state: State) => T): T {
  const chosen = select(state);
  const [, draw] = useState(0);
  useEffect(() => {
    let last = chosen;
    const listener = (): void => {
      const next = select(state);
      if (!Object.is(next, last)) {
        last = next;
        draw((count) => count + 1);
      }
    };
    listeners.add(listener);
    listener();
    return () => void listeners.delete(listener);
  }, [chosen]);
  return chosen;
}

/** Unix seconds, told anew every `every` ms. */
export function useNow(every = 1000): number {
  const [now, set] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => set(Date.now() / 1000), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
