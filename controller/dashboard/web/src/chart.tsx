/** uPlot as a component: lines over time, in the colours of the theme. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { clock, hour } from "./format";
import type { Theme } from "./scale";
import { useStore } from "./store";

export interface Line {
  readonly label: string;
  readonly values: readonly (number | null)[];
  /** Lines are told apart by how they are drawn too. */
  readonly dash?: readonly number[];
  readonly width?: number;
}

interface Properties {
  readonly label: string;
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly height: number;
  readonly show: (value: number | null) => string;
  /** Without axes and legend. */
  readonly bare?: boolean;
  readonly marked?: number | null;
  readonly choose?: (time: number) => void;
}

interface Paint {
  readonly ink: string;
  readonly grid: string;
  readonly lines: readonly string[];
  readonly mark: string;
}

export const PAINT: Record<Theme, Paint> = {
  light: { ink: "#444b55", grid: "#e3e6ea", lines: ["#0b4f9e", "#9a6700", "#4a5a84", "#8a3b12", "#2f6f62"], mark: "#b3261e" },
  dark: { ink: "#a7b0bb", grid: "#2a313a", lines: ["#7fb2f0", "#e6c84a", "#a9b6d3", "#f0a17a", "#86cdbb"], mark: "#ff8a80" },
};

export function Chart({ label, times, lines, height, show, bare = false, marked = null, choose }: Properties) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const chosen = useRef(choose);
  const mark = useRef(marked);
  const theme = useStore((state) => state.theme);
  chosen.current = choose;
  mark.current = marked;
  const data = useRef<uPlot.AlignedData>([[]]);
  data.current = [times, ...lines.map((line) => line.values)] as unknown as uPlot.AlignedData;
  const shape = lines.map((line) => `${line.label}/${line.dash ?? ""}`).join();

  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const paint = PAINT[theme];
    const axis = { stroke: paint.ink, grid: { stroke: paint.grid, width: 1 }, ticks: { show: false }, font: "11px system-ui", size: 22 };
    const made = new uPlot(
      {
        width: Math.max(element.clientWidth, 50),
        height,
        padding: bare ? [2, 0, 2, 0] : [6, 8, 0, 0],
        legend: { show: !bare, live: true },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: { y: { range: (_, __, high) => [0, high > 0 ? high * 1.08 : 0.01] } },
        axes: bare ? [{ show: false }, { show: false }] : [{ ...axis, values: (_, ticks) => ticks.map(hour) }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => show(tick)) }],
        series: [
          { value: (_, value) => clock(value) },
          ...lines.map((line, i) => ({
            label: line.label,
            stroke: paint.lines[i % paint.lines.length] ?? paint.ink,
            width: line.width ?? 1.25,
            ...(line.dash === undefined ? {} : { dash: [...line.dash] }),
            points: { show: false },
            value: (_: uPlot, value: number | null) => show(value),
          })),
        ],
        hooks: { draw: [(u: uPlot) => drawMark(u, mark.current, paint.mark)] },
      },
      [[], ...lines.map(() => [])],
      element,
    );
    plot.current = made;
    // Scales that are given data before the first drawing are not kept.
    queueMicrotask(() => plot.current === made && made.setData(data.current));
    const click = (): void => {
      const left = made.cursor.left ?? -1;
      if (left >= 0) chosen.current?.(made.posToVal(left, "x"));
    };
    made.over.addEventListener("click", click);
    const follow = new ResizeObserver(() => made.setSize({ width: Math.max(element.clientWidth, 50), height }));
    follow.observe(element);
    return () => {
      follow.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [theme, shape, height, bare]);

  useEffect(() => queueMicrotask(() => plot.current?.setData(data.current)), [times, ...lines.map((line) => line.values)]);
  useEffect(() => plot.current?.redraw(), [marked]);
  return <div ref={host} class={`chart ${bare ? "bare" : ""} ${choose === undefined ? "" : "choosing"}`} role="img" aria-label={label} />;
}

function drawMark(plot: uPlot, time: number | null, colour: string): void {
  if (time === null) return;
  const x = Math.round(plot.valToPos(time, "x", true));
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colour;
  ctx.fillRect(x - 1, bbox.top, 2, bbox.height);
  ctx.restore();
}
