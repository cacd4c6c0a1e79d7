/** Which figure, and when: the mesh's last hours as a strip, on which a moment is chosen. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { readHistory } from "./api";
import { Chart } from "./chart";
import { clock, span } from "./format";
import type { Matrix } from "./matrix";
import { METRICS, type LinkHistory, type Metric } from "./model";
import { go, type Place, read } from "./place";
import { MEANING, NAME, show } from "./scale";
import { useNow, useStore } from "./store";

const SPANS = [1, 6, 24, 168] as const;
const STEP_S = 300;
const HIGH = 0.95;

/** Goes so many steps of five minutes on (or back); beyond now is now. */
export function step(steps: number): void {
  const now = Date.now() / 1000;
  const to = (read(location.hash).at ?? now) + steps * STEP_S;
  go({ at: to >= now ? null : Math.round(to) });
}

export function TimeBar({ place }: { place: Place }) {
  const [hours, setHours] = useState<number>(24);
  const history = useHistory(place.metric, hours);
  const now = useNow(10_000);
  const marked = place.at;
  const choose = (time: number): void => go({ at: time >= now - STEP_S / 5 ? null : Math.round(time) });
  const newest = history.times.length - 1;
  const figure = (line: readonly (number | null)[] | undefined): string => show(place.metric, line?.[newest]);
  return (
    <section class="timebar" aria-label="Figure and moment">
      <div class="choice" role="group" aria-label="Figure">
        {METRICS.map((metric) => (
          <button key={metric} type="button" aria-pressed={place.metric === metric} title={`${MEANING[metric]} (m)`} onClick={() => go({ metric })}>
            {NAME[metric]}
          </button>
        ))}
      </div>
      <div class="strip">
        <Chart
          bare
          label={`${NAME[place.metric]} of all links over the last ${span(hours * 3600)}: median and the value that 95 % keep`}
          times={history.times}
          lines={[
            { label: "95 % keep", values: history.high, width: 1 },
            { label: "median", values: history.median, dash: [4, 2] },
          ]}
          height={34}
          show={(value) => show(place.metric, value)}
          marked={marked}
          choose={choose}
        />
        <input
          type="range"
          aria-label="Moment"
          aria-valuetext={marked === null ? "now" : clock(marked)}
          min={Math.round(now - hours * 3600)}
          max={Math.round(now)}
          step={60}
          value={marked ?? Math.round(now)}
          onInput={(event) => choose(Number(event.currentTarget.value))}
        />
      </div>
      <p class="figures">
        <span>
          <i class="line dashed" aria-hidden="true" /> median <b>{figure(history.median)}</b>
        </span>
        <span>
          <i class="line" aria-hidden="true" /> 95 % keep <b>{figure(history.high)}</b>
        </span>
      </p>
      <label>
        <span class="unseen">Time span</span>
        <select value={hours} onChange={(event) => setHours(Number(event.currentTarget.value))}>
          {SPANS.map((one) => (
            <option key={one} value={one}>
              {span(one * 3600)}
            </option>
          ))}
        </select>
      </label>
      <div class="choice" role="group" aria-label="Moment">
        <button type="button" title="an hour back ({)" onClick={() => step(-12)}>
          −1 h
        </button>
        <button type="button" title="five minutes back ([)" onClick={() => step(-1)}>
          −5 min
        </button>
        <button type="button" title="five minutes on (])" disabled={marked === null} onClick={() => step(1)}>
          +5 min
        </button>
        <button type="button" title="now (n)" aria-pressed={marked === null} onClick={() => go({ at: null })}>
          Now
        </button>
      </div>
    </section>
  );
}

interface Strip {
  readonly times: readonly number[];
  readonly median: readonly (number | null)[];
  readonly high: readonly (number | null)[];
}

const NOTHING: Strip = { times: [], median: [], high: [] };

/** What history says, and after it what the stream has told since. */
function useHistory(metric: Metric, hours: number): Strip {
  const [told, setTold] = useState<LinkHistory>();
  const [since, setSince] = useState<{ metric: Metric; items: readonly Point[] }>({ metric, items: [] });
  const live = useStore((state) => state.live[metric]);
  useEffect(() => {
    let asked = true;
    readHistory(metric, hours, null).then((history) => asked && setTold(history), () => undefined);
    return () => {
      asked = false;
    };
  }, [metric, hours]);
  useEffect(() => {
    if (live === undefined) return;
    const point = pointOf(live);
    const known = since.metric === metric ? since.items : [];
    const spacing = told?.spanSeconds ?? 15;
    const last = known[known.length - 1];
    const kept = last !== undefined && point.time - (known[known.length - 2]?.time ?? -Infinity) < spacing ? known.slice(0, -1) : known;
    setSince({ metric, items: [...kept, point].slice(-2000) });
  }, [live]);
  return useMemo(() => {
    if (told === undefined || told.metric !== metric) return NOTHING;
    const end = told.times[told.times.length - 1] ?? -Infinity;
    const fresh = since.metric === metric ? since.items.filter((point) => point.time > end) : [];
    return {
      times: [...told.times, ...fresh.map((point) => point.time)],
      median: [...(told.lines.median ?? []), ...fresh.map((point) => point.median)],
      high: [...(told.lines.high ?? []), ...fresh.map((point) => point.high)],
    };
  }, [told, since, metric]);
}

interface Point {
  readonly time: number;
  readonly median: number | null;
  readonly high: number | null;
}

function pointOf(matrix: Matrix): Point {
  const n = matrix.nodes.length;
  const known = matrix.values.filter((value, place) => !Number.isNaN(value) && place % (n + 1) !== 0).sort();
  const at = (q: number): number | null => known[Math.ceil(q * known.length) - 1] ?? null;
  return { time: Date.parse(matrix.at) / 1000, median: at(0.5), high: at(HIGH) };
}
