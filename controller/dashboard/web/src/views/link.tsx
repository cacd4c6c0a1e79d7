/** The chosen link: both directions now, and over the last day. */
import { useEffect, useState } from "preact/hooks";
import { readHistory } from "../api";
import { Chart } from "../chart";
import { figure, type Matrix } from "../matrix";
import type { LinkHistory, Metric } from "../model";
import { go, type Place } from "../place";
import { NAME, show } from "../scale";
import { Head } from "./head";

export function LinkPanel({ place, matrix }: { place: Place; matrix: Matrix }) {
  const { src, dst } = place;
  if (src === "" || dst === "" || src === dst) {
    return (
      <aside class="panel" aria-label="Chosen link">
        <p class="hint">Choose a link: click, or go to the matrix with Tab and use the arrows. Enter opens its path.</p>
      </aside>
    );
  }
  const rows: readonly (readonly [string, string])[] = [
    [src, dst],
    [dst, src],
  ];
  return (
    <aside class="panel" aria-label="Chosen link">
      <h2>
        {src} – {dst}
      </h2>
      <table>
        <caption class="unseen">{NAME[matrix.metric]} of both directions</caption>
        <Head columns={["Direction", { figure: NAME[matrix.metric] }]} />
        <tbody>
          {rows.map(([from, to]) => (
            <tr key={from}>
              <th scope="row">
                {from} → {to}
              </th>
              <td class="number" data-figure={`${from}>${to}`}>
                {show(matrix.metric, figure(matrix, from, to))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <LinkChart metric={matrix.metric} src={src} dst={dst} at={place.at} />
      <button type="button" onClick={() => go({ view: "path" })}>
        Path {src} → {dst}
      </button>
    </aside>
  );
}

/** A link's last day; of losses both directions. */
export function LinkChart({ metric, src, dst, at }: { metric: Metric; src: string; dst: string; at: number | null }) {
  const [told, set] = useState<readonly LinkHistory[]>([]);
  useEffect(() => {
    let asked = true;
    const ends = metric === "rtt" ? [{ src, dst }] : [{ src, dst }, { src: dst, dst: src }];
    Promise.all(ends.map((one) => readHistory(metric, 24, at, one))).then(
      (histories) => asked && set(histories),
      () => asked && set([]),
    );
    return () => {
      asked = false;
    };
  }, [metric, src, dst, at]);
  const first = told[0];
  if (first === undefined || first.metric !== metric || first.times.length < 2) return <p class="hint">No history of this link yet.</p>;
  const lines = told.map((history, i) => ({
    label: i === 0 ? `${src} → ${dst}` : `${dst} → ${src}`,
    values: history.lines.value ?? [],
    ...(i === 0 ? {} : { dash: [4, 3] }),
  }));
  return <Chart label={`${NAME[metric]} between ${src} and ${dst} over a day`} times={first.times} lines={lines} height={150} show={(value) => show(metric, value)} />;
}
