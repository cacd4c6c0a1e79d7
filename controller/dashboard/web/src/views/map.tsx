/** The mesh as a map on which distance is RTT. */
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { layout, type Point } from "../layout";
import { figure, type Matrix, median, rowOf } from "../matrix";
import { isConnected, type Node } from "../model";
import { go, type Place } from "../place";
import { COLOURS, INK, NAME, show, stepOf } from "../scale";
import { useStore } from "../store";
import { useExplanation } from "./explained";
import { LinkPanel } from "./link";
import { useMatrix } from "./matrix";
import { LinkTable } from "./table";

const ALL_LINKS_UP_TO = 14;
const NAMES_UP_TO = 60;
const MOST_LINKS = 400;
/** Steps of the scale from here on are out of order. */
const SICK_FROM: Record<Matrix["metric"], number> = { rtt: 6, loss: 3, residual: 3 };
const MARGIN = 46;

interface Drawn {
  readonly a: number;
  readonly b: number;
  readonly value: number;
}

export function MapView({ place }: { place: Place }) {
  const matrix = useMatrix(place);
  const rtt = useStore((state) => (place.at === null ? state.live : (state.past?.matrices ?? {})).rtt);
  const problem = useStore((state) => state.problem);
  const { told } = useExplanation(place.src !== "" && place.dst !== "" ? place : null);
  if (matrix === undefined || rtt === undefined) return <p class="empty">{problem ?? "Waiting for figures."}</p>;
  const primary = told?.candidates.find((one) => one.verdict === "primary");
  const path = told === undefined || primary === undefined ? [] : [told.source, ...primary.path];
  return (
    <>
      <div class="tools">
        <input data-filter type="search" placeholder="highlight nodes  /" aria-label="Highlight nodes" value={place.filter} onInput={(event) => go({ filter: event.currentTarget.value })} />
        <button type="button" aria-pressed={place.table} title="t" onClick={() => go({ table: !place.table })}>
          Table
        </button>
        <p class="hint">
          Distance grows with RTT. ■ relay, ● node, ○ not connected. Choose two nodes to see the path between them.
          {matrix.nodes.length > ALL_LINKS_UP_TO && ` Lines: links out of order (${NAME[matrix.metric]}), and those of the chosen node.`}
        </p>
      </div>
      <div class="beside">
        {place.table ? <LinkTable matrix={matrix} filter={place.filter} /> : <Drawing place={place} matrix={matrix} rtt={rtt} path={path} />}
        <LinkPanel place={place} matrix={matrix} />
      </div>
    </>
  );
}

function Drawing({ place, matrix, rtt, path }: { place: Place; matrix: Matrix; rtt: Matrix; path: readonly string[] }) {
  const host = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState({ width: 800, height: 500 });
  const [over, setOver] = useState<number | null>(null);
  const theme = useStore((state) => state.theme);
  const nodes = useStore((state) => state.nodes);
  const members = useMemo(() => new Map(nodes.map((node) => [node.metadata.name, node])), [nodes]);
  const points = useMemo(() => layout(rtt), [rtt.nodes.join("\n"), place.at, Number.isNaN(rtt.values[1] ?? NaN)]);
  useLayoutEffect(() => {
    const element = host.current;
    if (element === null) return;
    const follow = new ResizeObserver(() => setRoom({ width: element.clientWidth, height: element.clientHeight }));
    follow.observe(element);
    return () => follow.disconnect();
  }, []);
  const n = matrix.nodes.length;
  const chosen = matrix.index.get(place.src) ?? null;
  const links = useMemo(() => linksOf(matrix, chosen, over), [matrix, chosen, over]);
  const x = (i: number): number => MARGIN + (points[i]?.x ?? 0.5) * (room.width - 2.6 * MARGIN);
  const y = (i: number): number => MARGIN + (points[i]?.y ?? 0.5) * (room.height - 2 * MARGIN);
  const route = path.flatMap((name) => matrix.index.get(name) ?? []);
  const wanted = place.filter.toLowerCase();
  const figures = useMemo(() => matrix.nodes.map((_, i) => nodeFigure(matrix, i)), [matrix]);
  const named = (i: number): boolean => n <= NAMES_UP_TO || i === over || route.includes(i) || matrix.nodes[i] === place.src || matrix.nodes[i] === place.dst;
  const labels = useMemo(() => labelled(matrix.nodes, x, y, room.width, named), [matrix.nodes, points, room, over, route.join(), place.src, place.dst]);
  const radius = n > 200 ? 3.5 : n > NAMES_UP_TO ? 5 : 8;
  const key = (event: KeyboardEvent, i: number): void => {
    const to = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (to !== undefined) {
      const next = nearest(i, to[0] ?? 0, to[1] ?? 0, matrix.nodes.map((_, j) => ({ x: x(j), y: y(j) })));
      host.current?.querySelector<SVGElement>(`[data-place="${next}"]`)?.focus();
    } else if (event.key === "Enter" || event.key === " ") choose(place, matrix.nodes[i] ?? "");
    else return;
    event.preventDefault();
  };
  return (
    <div class="drawing" ref={host}>
      <svg width={room.width} height={room.height} role="group" aria-label={`Map of ${n} nodes; arrows go to the next node, Enter chooses`}>
        <g class="links">
          {links.map(({ a, b, value }) => {
            const step = stepOf(matrix.metric, value);
            return (
              <line key={`${a} ${b}`} x1={x(a)} y1={y(a)} x2={x(b)} y2={y(b)} stroke={COLOURS[theme][step]} stroke-width={1 + step * 0.45} stroke-dasharray={step >= SICK_FROM[matrix.metric] ? "6 3" : undefined}>
                <title>{`${matrix.nodes[a]} – ${matrix.nodes[b]}: ${show(matrix.metric, value)}`}</title>
              </line>
            );
          })}
        </g>
        <g class="route">
          {route.slice(1).map((b, i) => {
            const a = route[i] ?? b;
            const value = figure(matrix, matrix.nodes[a] ?? "", matrix.nodes[b] ?? "");
            return (
              <g key={`${a} ${b}`}>
                <line x1={x(a)} y1={y(a)} x2={x(b)} y2={y(b)} />
                <text x={(x(a) + x(b)) / 2} y={(y(a) + y(b)) / 2 - 6}>
                  {show(matrix.metric, value)}
                </text>
              </g>
            );
          })}
        </g>
        {matrix.nodes.map((name, i) => {
          const node = members.get(name);
          const faded = wanted !== "" && !name.toLowerCase().includes(wanted);
          const marked = name === place.src || name === place.dst || over === i || route.includes(i);
          const step = stepOf(matrix.metric, figures[i] ?? NaN);
          return (
            <g
              key={name}
              class={`node ${faded ? "faded" : ""} ${marked ? "marked" : ""}`}
              data-place={i}
              transform={`translate(${x(i)} ${y(i)})`}
              role="button"
              tabIndex={i === (chosen ?? 0) ? 0 : -1}
              aria-pressed={name === place.src || name === place.dst}
              aria-label={described(name, node, show(matrix.metric, figures[i]))}
              onClick={() => choose(place, name)}
              onKeyDown={(event) => key(event, i)}
              onPointerEnter={() => setOver(i)}
              onPointerLeave={() => setOver(null)}
              onFocus={() => setOver(i)}
              onBlur={() => setOver(null)}
            >
              <Shape node={node} radius={marked ? radius * 1.3 : radius} fill={Number.isNaN(figures[i] ?? NaN) ? "transparent" : (COLOURS[theme][step] ?? "")} ink={INK[theme][step] ?? ""} />
              {(labels[i] !== undefined || marked || (wanted !== "" && !faded)) && (
                <text x={(labels[i] ?? SPOTS[0]).x} y={(labels[i] ?? SPOTS[0]).y} text-anchor={(labels[i] ?? SPOTS[0]).anchor}>
                  {name}
                </text>
              )}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function Shape({ node, radius, fill, ink }: { node: Node | undefined; radius: number; fill: string; ink: string }) {
  const there = node === undefined || isConnected(node);
  const filled = there ? fill : "transparent";
  return node?.spec.relay ? (
    <rect x={-radius} y={-radius} width={2 * radius} height={2 * radius} fill={filled} class={there ? "" : "away"} data-ink={ink} />
  ) : (
    <circle r={radius} fill={filled} class={there ? "" : "away"} data-ink={ink} />
  );
}

interface Spot {
  readonly x: number;
  readonly y: number;
  readonly anchor: "start" | "middle" | "end";
}

/** Where a name may stand beside its node, in the order in which that is tried. */
const SPOTS: readonly [Spot, ...Spot[]] = [
  { x: 13, y: 4, anchor: "start" },
  { x: -13, y: 4, anchor: "end" },
  { x: 0, y: -13, anchor: "middle" },
  { x: 0, y: 21, anchor: "middle" },
];
const LETTER_PX = 7;

/** A spot for each name that covers no other name and no node, within the map; names for which there is none are left out. */
function labelled(names: readonly string[], x: (i: number) => number, y: (i: number) => number, right: number, named: (i: number) => boolean): (Spot | undefined)[] {
  type Box = readonly [left: number, top: number, right: number, bottom: number];
  const taken: Box[] = names.length <= NAMES_UP_TO ? names.map((_, i) => [x(i) - 8, y(i) - 8, x(i) + 8, y(i) + 8] as const) : [];
  return names.map((name, i) => {
    if (!named(i)) return undefined;
    const width = name.length * LETTER_PX;
    for (const spot of SPOTS) {
      const left = x(i) + spot.x - (spot.anchor === "end" ? width : spot.anchor === "middle" ? width / 2 : 0);
      const box: Box = [left, y(i) + spot.y - 11, left + width, y(i) + spot.y + 3];
      if (box[0] < 0 || box[2] > right || taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      return spot;
    }
    return undefined;
  });
}

/** The second node that is chosen is the other end; a chosen one lets go. */
function choose(place: Place, name: string): void {
  if (name === place.src) go({ src: place.dst, dst: "" });
  else if (name === place.dst) go({ dst: "" });
  else if (place.src === "") go({ src: name });
  else go({ dst: name });
}

function linksOf(matrix: Matrix, chosen: number | null, over: number | null): Drawn[] {
  const n = matrix.nodes.length;
  const found: Drawn[] = [];
  for (let a = 0; a < n; a++) {
    for (let b = a + 1; b < n; b++) {
      const there = matrix.values[a * n + b] ?? NaN;
      const back = matrix.values[b * n + a] ?? NaN;
      const value = Number.isNaN(there) ? back : Number.isNaN(back) ? there : Math.max(there, back);
      if (Number.isNaN(value)) continue;
      const touched = a === chosen || b === chosen || a === over || b === over;
      if (n <= ALL_LINKS_UP_TO || touched || stepOf(matrix.metric, value) >= SICK_FROM[matrix.metric]) found.push({ a, b, value });
    }
  }
  const kept = found.length <= MOST_LINKS ? found : found.sort((p, q) => q.value - p.value).slice(0, MOST_LINKS);
  return kept.sort((p, q) => p.value - q.value);
}

function nodeFigure(matrix: Matrix, i: number): number {
  if (matrix.metric === "rtt") return median(rowOf(matrix, i));
  const known = [...rowOf(matrix, i)].filter((value) => !Number.isNaN(value));
  return known.length === 0 ? NaN : known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** The node that lies nearest in a direction, or the same one. */
function nearest(from: number, dx: number, dy: number, points: readonly Point[]): number {
  const here = points[from];
  let best = from;
  let least = Infinity;
  points.forEach((point, i) => {
    if (here === undefined || i === from) return;
    const along = (point.x - here.x) * dx + (point.y - here.y) * dy;
    const aside = Math.abs((point.x - here.x) * dy) + Math.abs((point.y - here.y) * dx);
    if (along > 0 && aside <= along * 1.5 && along + aside * 2 < least) {
      least = along + aside * 2;
      best = i;
    }
  });
  return best;
}

function described(name: string, node: Node | undefined, figures: string): string {
  const what = node === undefined ? "no member any more" : `${node.spec.relay ? "relay, " : ""}${isConnected(node) ? "connected" : "not connected"}`;
  return `${name}, ${what}, ${figures}`;
}
