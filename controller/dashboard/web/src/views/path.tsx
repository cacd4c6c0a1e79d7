/** One route: its paths hop by hop, why this one, and how it came to be. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { readHistory } from "../api";
import { Chart, type Line } from "../chart";
import { clock, duration, pathText, ratio, seconds, span, UNKNOWN, via } from "../format";
import { figure } from "../matrix";
import type { Candidate, Explanation, Metric } from "../model";
import { go, type Place } from "../place";
import { NAME, show } from "../scale";
import { type Matrices, useStore } from "../store";
import { useExplanation } from "./explained";
import { Head } from "./head";
import { Lanes } from "./lanes";

const MARK: Record<Candidate["verdict"], string> = { primary: "● primary", backup: "◐ back-up", rejected: "○ rejected" };
const DASHES: readonly (readonly number[] | undefined)[] = [undefined, [6, 3], [2, 2], [8, 3, 2, 3]];

export function PathView({ place }: { place: Place }) {
  const nodes = useStore((state) => state.nodes);
  const classes = useStore((state) => state.session?.classes) ?? [];
  const { told, problem } = useExplanation(place);
  const names = useMemo(() => nodes.map((node) => node.metadata.name), [nodes]);
  return (
    <>
      <div class="tools">
        <datalist id="names">
          {names.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <End label="From" value={place.src} names={names} choose={(src) => go({ src })} first />
        <button type="button" aria-label="Swap ends" title="the way back" onClick={() => go({ src: place.dst, dst: place.src })}>
          ⇄
        </button>
        <End label="To" value={place.dst} names={names} choose={(dst) => go({ dst })} />
        <label>
          Class{" "}
          <select value={place.klass || classes[0]} onChange={(event) => go({ klass: event.currentTarget.value })}>
            {classes.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      </div>
      {problem !== null && <p class="empty">{problem}</p>}
      {told === undefined && problem === null && <p class="empty">Choose two nodes.</p>}
      {told !== undefined && <Route told={told} place={place} />}
    </>
  );
}

function End({ label, value, names, choose, first = false }: { label: string; value: string; names: readonly string[]; choose: (name: string) => void; first?: boolean }) {
  return (
    <label>
      {label}{" "}
      <input
        {...(first ? { "data-filter": "" } : {})}
        list="names"
        value={value}
        size={16}
        spellcheck={false}
        aria-label={label}
        onInput={(event) => names.includes(event.currentTarget.value) && choose(event.currentTarget.value)}
        onChange={(event) => choose(event.currentTarget.value)}
      />
    </label>
  );
}

function Route({ told, place }: { told: Explanation; place: Place }) {
  const figures = useStore((state) => (place.at === null ? state.live : (state.past?.matrices ?? {})));
  const [picked, pick] = useState(0);
  const candidate = told.candidates[picked] ?? told.candidates[0];
  useEffect(() => pick(0), [told.source, told.destination, told.class]);
  const primary = told.candidates.find((one) => one.verdict === "primary");
  return (
    <div class="scroll path" tabIndex={0} role="region" aria-label="Route">
      <h2>
        {told.source} → {told.destination} <span class="quiet">{told.class}, for {told.objective}</span>
      </h2>
      <p class="verdict" data-primary={primary?.path.join(">")}>
        {!told.reason.startsWith(via(primary?.path ?? null)) && <b>{via(primary?.path ?? null)}: </b>}
        {told.reason}
        <span class="quiet">
          {" "}
          · {told.decider}, {clock(told.decidedAt)}
          {told.figuresAt !== null && `, figures of ${clock(told.figuresAt)}`}
        </span>
      </p>
      <Lanes told={told} figures={figures} picked={picked} pick={pick} />
      <section aria-labelledby="paths">
        <h3 id="paths">Paths that were weighed</h3>
        <table>
          <Head
            columns={[
              "Path",
              "Verdict",
              { figure: "Forecast RTT" },
              { figure: "Measured" },
              { figure: "Forecast loss" },
              { figure: "Measured" },
              { figure: "End to end" },
              "Why",
            ]}
          />
          <tbody>
            {told.candidates.map((one, i) => (
              <tr key={one.path.join()} class={one.verdict} data-candidate={one.path.join(">")}>
                <th scope="row">
                  <button type="button" class="link" aria-pressed={i === picked} onClick={() => pick(i)}>
                    {via(one.path)}
                  </button>
                </th>
                <td>{MARK[one.verdict]}</td>
                <td class="number">{duration(one.forecastRttMs)}</td>
                <td class="number" data-figure="measured-rtt">
                  {duration(one.measuredRttMs)}
                </td>
                <td class="number">{ratio(one.forecastLossRatio)}</td>
                <td class="number">{ratio(one.measuredLossRatio)}</td>
                <td class="number">{one.endToEnd === null ? UNKNOWN : `${duration(one.endToEnd.rttMs)}, ${ratio(one.endToEnd.lossRatio)}, ${span(one.endToEnd.ageSeconds)} old`}</td>
                <td class="wide">{one.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      {candidate !== undefined && <Hops told={told} candidate={candidate} figures={figures} place={place} />}
      <History told={told} />
    </div>
  );
}

function Hops({ told, candidate, figures, place }: { told: Explanation; candidate: Candidate; figures: Matrices; place: Place }) {
  const hops = hopsOf(told.source, candidate.path);
  return (
    <section aria-labelledby="hops">
      <h3 id="hops">Hop by hop: {pathText(told.source, candidate.path)}</h3>
      <div class="hops">
        <table>
          <Head columns={["Hop", { figure: "RTT" }, { figure: "Loss" }, { figure: "after repair" }, { figure: "Loss back" }, { figure: "after repair" }]} />
          <tbody>
            {hops.map(([from, to]) => (
              <tr key={from} data-hop={`${from}>${to}`}>
                <th scope="row">
                  {from} → {to}
                </th>
                <td class="number">{duration(figure(figures.rtt, from, to))}</td>
                <td class="number">{ratio(figure(figures.loss, from, to))}</td>
                <td class="number">{ratio(figure(figures.residual, from, to))}</td>
                <td class="number">{ratio(figure(figures.loss, to, from))}</td>
                <td class="number">{ratio(figure(figures.residual, to, from))}</td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">together</th>
              <td class="number">{duration(hops.reduce((sum, [from, to]) => sum + figure(figures.rtt, from, to), 0))}</td>
              <td class="number">{ratio(joined(hops.map(([from, to]) => figure(figures.loss, from, to))))}</td>
              <td class="number">{ratio(joined(hops.map(([from, to]) => figure(figures.residual, from, to))))}</td>
              <td class="number">{ratio(joined(hops.map(([from, to]) => figure(figures.loss, to, from))))}</td>
              <td class="number">{ratio(joined(hops.map(([from, to]) => figure(figures.residual, to, from))))}</td>
            </tr>
          </tfoot>
        </table>
        <HopChart hops={hops} metric={place.metric} at={place.at} />
      </div>
    </section>
  );
}

/** What several hops lose together. */
function joined(losses: readonly number[]): number {
  return 1 - losses.reduce((left, loss) => left * (1 - loss), 1);
}

function hopsOf(source: string, path: readonly string[]): [string, string][] {
  return path.map((to, i) => [path[i - 1] ?? source, to]);
}

function HopChart({ hops, metric, at }: { hops: readonly (readonly [string, string])[]; metric: Metric; at: number | null }) {
  const [told, set] = useState<{ metric: Metric; times: number[]; lines: Line[] }>();
  const key = hops.join();
  useEffect(() => {
    let asked = true;
    Promise.all(hops.map(([src, dst]) => readHistory(metric, 24, at, { src, dst }))).then(
      (histories) => {
        if (!asked) return;
        const times = histories[0]?.times ?? [];
        const lines = histories.map((history, i) => {
          const known = new Map(history.times.map((time, k) => [time, history.lines.value?.[k] ?? null]));
          const dash = DASHES[i % DASHES.length];
          return { label: hops[i]?.join(" → ") ?? "", values: times.map((time) => known.get(time) ?? null), ...(dash === undefined ? {} : { dash }) };
        });
        set({ metric, times, lines });
      },
      () => asked && set(undefined),
    );
    return () => {
      asked = false;
    };
  }, [key, metric, at]);
  if (told === undefined || told.times.length < 2) return <p class="hint">No history of these hops yet.</p>;
  return (
    <figure>
      <figcaption>{NAME[told.metric]} over a day</figcaption>
      <Chart label={`${NAME[told.metric]} of each hop over a day`} times={told.times} lines={told.lines} height={170} show={(value) => show(told.metric, value)} />
    </figure>
  );
}

function History({ told }: { told: Explanation }) {
  return (
    <section aria-labelledby="changes">
      <h3 id="changes">Changes</h3>
      {told.history.length === 0 ? (
        <p class="hint">None is kept.</p>
      ) : (
        <table>
          <Head columns={["Time", "By", "From", "To", "Why"]} />
          <tbody>
            {told.history.map((event, i) => (
              <tr key={`${event.at}${i}`}>
                <td class="time">
                  <button type="button" class="link" title="look at that moment" onClick={() => go({ at: seconds(event.at) + 1 })}>
                    {clock(event.at)}
                  </button>
                </td>
                <td>{event.decider}</td>
                <td class="was">{via(event.before)}</td>
                <th scope="row">{via(event.after)}</th>
                <td class="wide">{event.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
