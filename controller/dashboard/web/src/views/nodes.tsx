/** All members: who is there, since when, and until when. */
import { useMemo } from "preact/hooks";
import { age, clock, seconds, span, UNKNOWN } from "../format";
import { median, rowOf } from "../matrix";
import { isConnected, type Node } from "../model";
import { go, type Place } from "../place";
import { NAME, show } from "../scale";
import { useNow, useStore } from "../store";
import { Head } from "./head";
import { useMatrix } from "./matrix";
import { rowKeys } from "./rows";

const SOON_S = 2 * 86_400;

export function NodesView({ place }: { place: Place }) {
  const nodes = useStore((state) => state.nodes);
  const seen = useStore((state) => state.seen);
  const matrix = useMatrix(place);
  const now = useNow(5000);
  const shown = useMemo(() => {
    const wanted = place.filter.toLowerCase();
    return nodes.filter((node) => describe(node).toLowerCase().includes(wanted));
  }, [nodes, place.filter]);
  const medians = useMemo(() => {
    if (matrix === undefined) return new Map<string, number>();
    return new Map(shown.map(({ metadata: { name } }) => [name, ofNode(matrix, name)]));
  }, [matrix, shown]);
  return (
    <>
      <div class="tools">
        <input data-filter type="search" placeholder="filter  /" aria-label="Filter nodes" value={place.filter} onInput={(event) => go({ filter: event.currentTarget.value })} />
        <p class="hint">
          {shown.length} of {nodes.length} members{place.at === null ? "" : ", as they are now"}. Enter shows a node on the map.
        </p>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Nodes" onKeyDown={rowKeys}>
        <table class="nodes">
          <caption class="unseen">Nodes</caption>
          <Head
            columns={[
              "Node",
              "Agent",
              { figure: `${NAME[place.metric]}, ${place.metric === "rtt" ? "median" : "mean"}` },
              "Relay",
              "Overlay addresses, prefixes",
              "Uplinks",
              "Version",
              "Heard",
              "Certificate ends",
            ]}
          />
          <tbody>
            {shown.map((node) => (
              <Row key={node.metadata.name} node={node} heard={seen[node.metadata.name] ?? null} now={now} figure={show(place.metric, medians.get(node.metadata.name))} />
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p class="empty">No member is called that.</p>}
      </div>
    </>
  );
}

function Row({ node, heard, now, figure }: { node: Node; heard: string | null; now: number; figure: string }) {
  const { metadata, spec, status } = node;
  const connected = isConnected(node);
  const condition = status.conditions.find((one) => one.type === "Connected");
  const ends = status.certificateNotAfter;
  const left = ends === null ? null : seconds(ends) - now;
  const open = (): void => go({ view: "map", src: metadata.name, dst: "" });
  return (
    <tr data-node={metadata.name} tabIndex={-1} onDblClick={open} onKeyDown={(event) => event.key === "Enter" && open()}>
      <th scope="row">
        {metadata.name} <small>#{spec.id}</small>
      </th>
      <td class={connected ? "" : "bad"} title={condition?.message}>
        <i aria-hidden="true">{connected ? "●" : "○"}</i> {connected ? "connected" : "not connected"}
        {condition !== undefined && <small> {age(condition.lastTransitionTime, now).replace(" ago", "")}</small>}
      </td>
      <td class="number">{figure}</td>
      <td>{spec.relay ? "relay" : ""}</td>
      <td class="mono">{[...spec.addresses, ...status.announced].join(" ")}</td>
      <td class="mono">{status.uplinks.map((uplink) => `${uplink.name} ${uplink.endpoint ?? "behind NAT"}`).join(", ") || UNKNOWN}</td>
      <td>{status.version ?? UNKNOWN}</td>
      <td>{age(heard, now)}</td>
      <td class={left !== null && left < SOON_S ? "bad" : ""} title={clock(ends)}>
        {left === null ? UNKNOWN : left < 0 ? "▲ ended" : `${left < SOON_S ? "▲ " : ""}in ${span(left)}`}
      </td>
    </tr>
  );
}

function ofNode(matrix: Parameters<typeof rowOf>[0], name: string): number {
  const i = matrix.index.get(name);
  if (i === undefined) return NaN;
  if (matrix.metric === "rtt") return median(rowOf(matrix, i));
  const known = [...rowOf(matrix, i)].filter((value) => !Number.isNaN(value));
  return known.length === 0 ? NaN : known.reduce((sum, value) => sum + value, 0) / known.length;
}

function describe(node: Node): string {
  const { metadata, spec, status } = node;
  return [metadata.name, ...spec.addresses, ...spec.prefixes, spec.relay ? "relay" : "", isConnected(node) ? "connected" : "not connected", status.version].join(" ");
}
