/** All pairs: a canvas that scrolls through a thousand nodes, or the worst links as a table. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { byName } from "../live";
import { type Matrix, median, rowOf } from "../matrix";
import { go, type Place } from "../place";
import { COLOURS, legend, MEANING, NAME, show, stepOf, STEPS, UNIT } from "../scale";
import { useStore } from "../store";
import { bitmap, draw, type Frame, LEAST_PX, MOST_PX, type Size, sizeFor } from "./grid";
import { LinkPanel } from "./link";
import { LinkTable } from "./table";

type Order = "name" | "worst";
type Pair = readonly [number, number];

const READABLE_PX = 14;
const FITS_FROM_PX = 6;

export function useMatrix(place: Place): Matrix | undefined {
  return useStore((state) => (place.at === null ? state.live : (state.past?.matrices ?? {}))[place.metric]);
}

export function MatrixView({ place }: { place: Place }) {
  const matrix = useMatrix(place);
  const [order, setOrder] = useState<Order>("name");
  const [zoom, setZoom] = useState<number | null>(null);
  const problem = useStore((state) => state.problem);
  const shown = useMemo(() => (matrix === undefined ? [] : ordered(matrix, order, place.filter)), [matrix, order, place.filter]);
  if (matrix === undefined) return <p class="empty">{problem ?? "Waiting for figures."}</p>;
  return (
    <>
      <div class="tools">
        <input
          data-filter
          type="search"
          placeholder="filter nodes  /"
          aria-label="Filter nodes"
          value={place.filter}
          onInput={(event) => go({ filter: event.currentTarget.value })}
        />
        <div class="choice" role="group" aria-label="Order">
          {(["name", "worst"] as const).map((one) => (
            <button key={one} type="button" aria-pressed={order === one} onClick={() => setOrder(one)}>
              {one === "name" ? "By name" : "Worst first"}
            </button>
          ))}
        </div>
        <div class="choice" role="group" aria-label="Cells">
          <button type="button" aria-label="Smaller cells" title="−" onClick={() => setZoom((now) => Math.max(LEAST_PX, Math.round((now ?? READABLE_PX) / 1.4)))}>
            −
          </button>
          <button type="button" title="0" aria-pressed={zoom === null} onClick={() => setZoom(null)}>
            Fit
          </button>
          <button type="button" aria-label="Larger cells" title="+" onClick={() => setZoom((now) => Math.min(MOST_PX, Math.round((now ?? READABLE_PX) * 1.4)))}>
            +
          </button>
        </div>
        <button type="button" aria-pressed={place.table} title="t" onClick={() => go({ table: !place.table })}>
          Table
        </button>
        <Legend matrix={matrix} order={shown} />
      </div>
      <div class="beside">
        {place.table ? <LinkTable matrix={matrix} filter={place.filter} /> : <Grid place={place} matrix={matrix} order={shown} zoom={zoom} setZoom={setZoom} />}
        <LinkPanel place={place} matrix={matrix} />
      </div>
    </>
  );
}

function ordered(matrix: Matrix, order: Order, filter: string): number[] {
  const wanted = filter.toLowerCase();
  const places = matrix.nodes.flatMap((name, i) => (name.toLowerCase().includes(wanted) ? [i] : []));
  const name = (i: number): string => matrix.nodes[i] ?? "";
  if (order === "name") return places.sort((a, b) => byName(name(a), name(b)));
  const mean = new Map(places.map((i) => [i, ranked(matrix, i)]));
  return places.sort((a, b) => (mean.get(b) ?? 0) - (mean.get(a) ?? 0) || byName(name(a), name(b)));
}

/** By what a node's links come to: the mean of losses, as medians of them are zero; the median of RTTs. */
function ranked(matrix: Matrix, i: number): number {
  if (matrix.metric === "rtt") return median(rowOf(matrix, i)) || 0;
  const known = [...rowOf(matrix, i)].filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / Math.max(known.length, 1);
}

function Legend({ matrix, order }: { matrix: Matrix; order: readonly number[] }) {
  const theme = useStore((state) => state.theme);
  const counts = useMemo(() => {
    const found = new Array<number>(STEPS + 1).fill(0);
    const n = matrix.nodes.length;
    for (const i of order) {
      for (const j of order) {
        if (i === j) continue;
        const value = matrix.values[i * n + j] ?? NaN;
        const step = Number.isNaN(value) ? STEPS : stepOf(matrix.metric, value);
        found[step] = (found[step] ?? 0) + 1;
      }
    }
    return found;
  }, [matrix, order]);
  return (
    <dl class="legend" aria-label={`${NAME[matrix.metric]} in ${UNIT[matrix.metric]}, ${MEANING[matrix.metric]}: how many links are of each step`}>
      <div class="unit">
        <dt>{UNIT[matrix.metric]}</dt>
        <dd>links</dd>
      </div>
      {legend(matrix.metric).map((text, step) => (
        <div key={text}>
          <dt style={{ borderColor: COLOURS[theme][step] }}>
            {text}
            {step === STEPS - 1 && <span aria-hidden="true"> ●</span>}
          </dt>
          <dd>{counts[step]}</dd>
        </div>
      ))}
      <div>
        <dt class="not-known">unknown –</dt>
        <dd>{counts[STEPS]}</dd>
      </div>
    </dl>
  );
}

interface GridProperties {
  readonly place: Place;
  readonly matrix: Matrix;
  readonly order: readonly number[];
  readonly zoom: number | null;
  readonly setZoom: (cell: number | null) => void;
}

function Grid({ place, matrix, order, zoom, setZoom }: GridProperties) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useStore((state) => state.theme);
  const [room, setRoom] = useState({ width: 0, height: 0 });
  const pointed = useRef<Pair | null>(null);
  const [told, tell] = useState<Pair | null>(null);
  const size = useMemo(() => sizeFor(zoom ?? fit(room, order.length, matrix), matrix), [zoom, room, order.length, matrix.nodes]);
  const pixels = useMemo(() => bitmap(matrix, order, theme), [matrix, order, theme]);
  const chosen = useMemo((): Pair | null => {
    const row = order.indexOf(matrix.index.get(place.src) ?? -1);
    const column = order.indexOf(matrix.index.get(place.dst) ?? -1);
    return row < 0 || column < 0 ? null : [row, column];
  }, [order, matrix.index, place.src, place.dst]);

  const paint = useRef<() => void>(() => undefined);
  paint.current = (): void => {
    const element = canvas.current;
    const area = scroller.current;
    const context = element?.getContext("2d");
    if (element === null || area === null || !context || room.width === 0) return;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    const frame: Frame = { matrix, order, size, theme, scroll: { x: area.scrollLeft, y: area.scrollTop }, chosen, pointed: pointed.current };
    draw(context, room.width, room.height, pixels, frame);
  };
  const due = useRef(0);
  const soon = (): void => {
    due.current ||= requestAnimationFrame(() => {
      due.current = 0;
      paint.current();
    });
  };

  useLayoutEffect(() => {
    const area = scroller.current;
    if (area === null) return;
    const measure = (): void => setRoom({ width: area.clientWidth, height: area.clientHeight });
    const follow = new ResizeObserver(measure);
    follow.observe(area);
    measure();
    return () => follow.disconnect();
  }, []);
  useLayoutEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    element.width = Math.round(room.width * devicePixelRatio);
    element.height = Math.round(room.height * devicePixelRatio);
    paint.current();
  }, [room]);
  useLayoutEffect(() => {
    paint.current();
    if (room.width > 0 && performance.getEntriesByName("figures").length === 0) performance.mark("figures");
  }, [pixels, size, chosen, room]);
  useEffect(() => () => cancelAnimationFrame(due.current), []);

  const at = (event: MouseEvent): Pair | null => {
    const area = scroller.current;
    if (area === null) return null;
    const box = area.getBoundingClientRect();
    const left = event.clientX - box.left - size.left;
    const top = event.clientY - box.top - size.top;
    const row = Math.floor((top + area.scrollTop) / size.height);
    const column = Math.floor((left + area.scrollLeft) / size.width);
    return left < 0 || top < 0 || row >= order.length || column >= order.length ? null : [row, column];
  };
  const point = (cell: Pair | null): void => {
    if (cell?.[0] === pointed.current?.[0] && cell?.[1] === pointed.current?.[1]) return;
    pointed.current = cell;
    tell(cell);
    soon();
  };
  const name = (index: number): string => matrix.nodes[order[index] ?? -1] ?? "";
  const choose = ([row, column]: Pair): void => {
    go({ src: name(row), dst: name(column) });
    const area = scroller.current;
    if (area !== null) reveal(area, size, row, column);
  };
  const key = (event: KeyboardEvent): void => {
    const to = moved(chosen, event.key, order.length, Math.max(1, Math.floor((room.height - size.top) / size.height) - 1));
    if (to !== null) choose(to);
    else if (event.key === "Enter" && chosen !== null) go({ view: "path" });
    else if (event.key === "+" || event.key === "=") setZoom(Math.min(MOST_PX, Math.round(size.height * 1.4)));
    else if (event.key === "-") setZoom(Math.max(LEAST_PX, Math.round(size.height / 1.4)));
    else if (event.key === "0") setZoom(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const said = told ?? chosen;
  return (
    <div class="grid-frame">
      <div
        ref={scroller}
        class="grid"
        tabIndex={0}
        role="application"
        aria-roledescription="matrix"
        aria-label={`${NAME[matrix.metric]} of all links, from rows to columns; arrows choose a link, t shows a table`}
        aria-describedby="grid-said"
        onScroll={soon}
        onKeyDown={key}
        onPointerMove={(event) => point(at(event))}
        onPointerLeave={() => point(null)}
        onClick={(event) => {
          const cell = at(event);
          if (cell !== null) choose(cell);
        }}
        onDblClick={(event) => at(event) !== null && go({ view: "path" })}
      >
        <div class="grid-space" style={{ width: `${size.left + order.length * size.width + 2}px`, height: `${size.top + order.length * size.height + 2}px` }}>
          <canvas ref={canvas} style={{ width: `${room.width}px`, height: `${room.height}px` }} />
        </div>
      </div>
      <p id="grid-said" class="said" aria-live="polite">
        {said === null ? "from row to column" : sentence(matrix, name(said[0]), name(said[1]), matrix.values[(order[said[0]] ?? 0) * matrix.nodes.length + (order[said[1]] ?? 0)])}
      </p>
    </div>
  );
}

function sentence(matrix: Matrix, from: string, to: string, value: number | undefined): string {
  if (from === to) return from;
  return `${from} → ${to}: ${value === undefined || Number.isNaN(value) ? "not known" : show(matrix.metric, value)}`;
}

/** The largest cells with which everything is seen; where they would be too small, readable ones. */
function fit(room: { width: number; height: number }, n: number, matrix: Matrix): number {
  for (let cell = MOST_PX; cell >= FITS_FROM_PX; cell--) {
    const size = sizeFor(cell, matrix);
    if (size.left + n * size.width <= room.width && size.top + n * size.height <= room.height) return cell;
  }
  return READABLE_PX;
}

function moved(from: Pair | null, key: string, n: number, page: number): Pair | null {
  const steps: Record<string, Pair> = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    PageUp: [-page, 0], PageDown: [page, 0], Home: [0, -n], End: [0, n],
  };
  const by = steps[key];
  if (by === undefined || n === 0) return null;
  if (from === null) return [0, Math.min(1, n - 1)];
  const within = (index: number): number => Math.min(Math.max(index, 0), n - 1);
  return [within(from[0] + by[0]), within(from[1] + by[1])];
}

function reveal(area: HTMLElement, size: Size, row: number, column: number): void {
  const left = column * size.width;
  const top = row * size.height;
  const width = area.clientWidth - size.left - size.width;
  const height = area.clientHeight - size.top - size.height;
  area.scrollLeft = Math.min(Math.max(area.scrollLeft, left - width), left);
  area.scrollTop = Math.min(Math.max(area.scrollTop, top - height), top);
}
