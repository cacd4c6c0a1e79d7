/** Candidates as lanes from source to destination, relays where they lie in time. The tables below say the same. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { duration, ratio } from "../format";
import { figure } from "../matrix";
import type { Candidate, Explanation } from "../model";
import type { Matrices } from "../store";

const MOST_LANES = 5;
const LANE = 44;
const SIDE = 96;

interface Properties {
  readonly told: Explanation;
  readonly figures: Matrices;
  readonly picked: number;
  readonly pick: (index: number) => void;
}

export function Lanes({ told, figures, picked, pick }: Properties) {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useLayoutEffect(() => {
    const element = host.current;
    if (element === null) return;
    const follow = new ResizeObserver(() => setWidth(element.clientWidth));
    follow.observe(element);
    return () => follow.disconnect();
  }, []);
  const shown = told.candidates.slice(0, MOST_LANES);
  const height = shown.length * LANE + 16;
  const middle = height / 2;
  return (
    <div ref={host} class="lanes">
      <svg width={width} height={height} role="img" aria-label={`${shown.length} paths from ${told.source} to ${told.destination}; the table below has their figures`}>
        {shown.map((one, i) => (
          <Lane key={one.path.join()} told={told} one={one} figures={figures} width={width} y={12 + (i + 0.5) * LANE} middle={middle} picked={i === picked} pick={() => pick(i)} />
        ))}
        <g class="end" transform={`translate(${SIDE} ${middle})`}>
          <circle r={7} />
          <text x={-13} dy="0.35em" text-anchor="end">
            {told.source}
          </text>
        </g>
        <g class="end" transform={`translate(${width - SIDE} ${middle})`}>
          <circle r={7} />
          <text x={13} dy="0.35em">
            {told.destination}
          </text>
        </g>
      </svg>
    </div>
  );
}

interface LaneProperties {
  readonly told: Explanation;
  readonly one: Candidate;
  readonly figures: Matrices;
  readonly width: number;
  readonly y: number;
  readonly middle: number;
  readonly picked: boolean;
  readonly pick: () => void;
}

function Lane({ told, one, figures, width, y, middle, picked, pick }: LaneProperties) {
  const names = [told.source, ...one.path];
  const bend = 70;
  const [left, right] = [SIDE + bend, width - SIDE - bend];
  const rtts = one.path.map((to, i) => figure(figures.rtt, names[i] ?? "", to));
  const all = rtts.reduce((sum, rtt) => sum + (Number.isNaN(rtt) ? 1 : rtt), 0) || 1;
  // A hop takes the room that its RTT has in the whole, but enough for its figures.
  const least = 120 / Math.max(right - left, 1);
  const shares = rtts.map((rtt) => Math.max((Number.isNaN(rtt) ? 1 : rtt) / all, least));
  const sum = shares.reduce((a, b) => a + b, 0);
  let done = 0;
  const stops = shares.map((share) => left + ((right - left) * (done += share)) / sum);
  const points = [left, ...stops];
  return (
    <g class={`lane ${one.verdict} ${picked ? "picked" : ""}`} onClick={pick}>
      <path d={`M${SIDE} ${middle} C${SIDE + bend * 0.6} ${middle} ${SIDE + bend * 0.4} ${y} ${left} ${y} H${right} C${right + bend * 0.6} ${y} ${right + bend * 0.4} ${middle} ${width - SIDE} ${middle}`} />
      {one.path.map((to, i) => {
        const from = names[i] ?? "";
        const centre = ((points[i] ?? 0) + (points[i + 1] ?? 0)) / 2;
        return (
          <text key={to} class="hop" x={centre} y={y - 6}>
            {duration(rtts[i])} · {ratio(figure(figures.loss, from, to))}
          </text>
        );
      })}
      {one.path.slice(0, -1).map((relay, i) => (
        <g key={relay} class="relay" transform={`translate(${points[i + 1]} ${y})`}>
          <rect x={-5} y={-5} width={10} height={10} />
          <text y={18}>{relay}</text>
        </g>
      ))}
    </g>
  );
}
