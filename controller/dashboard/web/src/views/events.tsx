/** What happened, newest first. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { readEvents } from "../api";
import { clock, via } from "../format";
import type { MeshEvent } from "../model";
import { go, type Place } from "../place";
import { useStore } from "../store";
import { Head } from "./head";
import { rowKeys } from "./rows";

const KINDS = ["node", "link", "route"] as const;
const MARK: Record<MeshEvent["kind"], string> = { node: "◆", link: "↔", route: "⇢" };
const MOST_ROWS = 500;

export function EventsView({ place }: { place: Place }) {
  const [kind, setKind] = useState<MeshEvent["kind"] | null>(null);
  const live = useStore((state) => state.events);
  const [past, setPast] = useState<readonly MeshEvent[]>([]);
  useEffect(() => {
    let asked = true;
    if (place.at !== null) readEvents(place.at).then((told) => asked && setPast(told), () => asked && setPast([]));
    return () => {
      asked = false;
    };
  }, [place.at]);
  const events = place.at === null ? live : past;
  const shown = useMemo(() => {
    const wanted = place.filter.toLowerCase();
    return events.filter((event) => (kind === null || event.kind === kind) && text(event).toLowerCase().includes(wanted)).slice(0, MOST_ROWS);
  }, [events, kind, place.filter]);
  return (
    <>
      <div class="tools">
        <input data-filter type="search" placeholder="filter  /" aria-label="Filter events" value={place.filter} onInput={(event) => go({ filter: event.currentTarget.value })} />
        <div class="choice" role="group" aria-label="Kind">
          <button type="button" aria-pressed={kind === null} onClick={() => setKind(null)}>
            All
          </button>
          {KINDS.map((one) => (
            <button key={one} type="button" aria-pressed={kind === one} onClick={() => setKind(one)}>
              {MARK[one]} {one}
            </button>
          ))}
        </div>
        <p class="hint">
          {place.at === null ? "Newest first, as they happen." : `Until ${clock(place.at)}.`} Changes of routes go back as far as history, the others to the
          start of the controller.
        </p>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label="Events" onKeyDown={rowKeys}>
        <table class="events">
          <caption class="unseen">Events, newest first</caption>
          <Head columns={["Time", "Kind", "Of", "Class", "By", "What, and why"]} />
          <tbody>
            {shown.map((event, i) => (
              <tr key={`${event.at}${text(event)}${i}`} tabIndex={-1} onDblClick={() => open(event)} onKeyDown={(pressed) => pressed.key === "Enter" && open(event)}>
                <td class="time">{clock(event.at)}</td>
                <td>
                  <i aria-hidden="true">{MARK[event.kind]}</i> {event.kind}
                </td>
                <th scope="row">{event.nodes.join(event.kind === "route" ? " → " : " – ")}</th>
                <td>{event.class ?? ""}</td>
                <td>{event.decider ?? ""}</td>
                <td class="wide">
                  {event.kind === "route" && (
                    <>
                      {event.before !== null && <span class="was">{via(event.before)}</span>} <b>{via(event.after)}</b>{" "}
                    </>
                  )}
                  {event.reason}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <p class="empty">Nothing of the kind happened.</p>}
      </div>
    </>
  );
}

function text(event: MeshEvent): string {
  return [event.kind, ...event.nodes, event.class, event.decider, event.reason].join(" ");
}

function open(event: MeshEvent): void {
  const [src = "", dst = ""] = event.nodes;
  if (event.kind === "node") go({ view: "nodes", filter: src });
  else if (dst !== "") go({ view: "path", src, dst, klass: event.class ?? "", filter: "" });
}
