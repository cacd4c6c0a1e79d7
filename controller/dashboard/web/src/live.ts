/** Takes in the stream of changes: the state comes first, and again after each loss of the connection. */
import { readSession } from "./api";
import { matrixOf, withCells } from "./matrix";
import type { LinkMatrix, MeshEvent, Metric, Node, Routes } from "./model";
import { current, update } from "./store";

const MOST_EVENTS = 2000;
const TRY_AGAIN_MS = 2000;

/** Listens for these figures of links, until the function that it returns is called. */
export function listen(metrics: readonly Metric[]): () => void {
  let source: EventSource | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;

  const open = (): void => {
    source = new EventSource(`/v1/stream?metrics=${metrics.join(",")}`);
    let first = true;
    source.addEventListener("open", () => (first = true));
    const on = <T>(name: string, take: (told: T) => void): void =>
      source?.addEventListener(name, (event) => {
        take(JSON.parse((event as MessageEvent<string>).data) as T);
        if (current().stream !== "live") update({ stream: "live" });
      });
    on<{ items: Node[]; gone: string[] }>("nodes", (told) => {
      takeNodes(told.items, told.gone, first);
      first = false;
    });
    on<Record<string, string>>("seen", (told) => update({ seen: { ...current().seen, ...told } }));
    on<Routes>("routes", (routes) => update({ routes }));
    on<LinkMatrix>("matrix", (told) => update({ live: { ...current().live, [told.metric]: matrixOf(told) } }));
    on<{ metric: Metric; at: string; cells: (number | null)[] }>("cells", ({ metric, at, cells }) => {
      const known = current().live[metric];
      if (known !== undefined) update({ live: { ...current().live, [metric]: withCells(known, at, cells) } });
    });
    on<{ items: MeshEvent[] }>("events", ({ items }) =>
      update({ events: [...items.reverse(), ...current().events].slice(0, MOST_EVENTS) }),
    );
    source.addEventListener("error", () => {
      update({ stream: "lost" });
      if (source?.readyState === EventSource.CLOSED) again = setTimeout(() => void retry(), TRY_AGAIN_MS);
    });
  };
  // The browser comes back by itself to a server that is not there; an answer that is none of a stream ends it.
  const retry = async (): Promise<void> => {
    try {
      await readSession();
      open();
    } catch {
      if (current().session !== null) again = setTimeout(() => void retry(), TRY_AGAIN_MS);
    }
  };
  open();
  return () => {
    clearTimeout(again);
    source?.close();
  };
}

function takeNodes(items: readonly Node[], gone: readonly string[], all: boolean): void {
  const known = new Map(all ? [] : current().nodes.map((node) => [node.metadata.name, node]));
  for (const name of gone) known.delete(name);
  for (const node of items) known.set(node.metadata.name, node);
  const nodes = [...known.values()].sort((a, b) => byName(a.metadata.name, b.metadata.name));
  update({ nodes });
}

const collator = new Intl.Collator("en", { numeric: true });

export function byName(a: string, b: string): number {
  return collator.compare(a, b);
}
