/** Single keys that go somewhere, and the list of them. They can be switched off (WCAG 2.1.4). */
import { useEffect, useRef, useState } from "preact/hooks";
import { METRICS, type Metric } from "./model";
import { go, read, VIEWS } from "./place";
import { switchTheme } from "./theme";
import { step } from "./time";

const KEY = "overlayd.keys";

export function nextMetric(metric: Metric): Metric {
  return METRICS[(METRICS.indexOf(metric) + 1) % METRICS.length] ?? "rtt";
}

/** Handles the keys that mean the same everywhere; `help` opens the list. */
export function useKeys(help: () => void): void {
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem(KEY) === "off") return;
      const target = event.target as HTMLElement;
      if (target.closest("input, select, textarea, dialog") !== null) {
        if (event.key === "Escape") target.blur();
        return;
      }
      const place = read(location.hash);
      const view = VIEWS[Number(event.key) - 1];
      if (view !== undefined) go({ view });
      else if (event.key === "m") go({ metric: nextMetric(place.metric) });
      else if (event.key === "t") go({ table: !place.table });
      else if (event.key === "n") go({ at: null });
      else if (event.key === "[") step(-1);
      else if (event.key === "]") step(1);
      else if (event.key === "{") step(-12);
      else if (event.key === "}") step(12);
      else if (event.key === "d") switchTheme();
      else if (event.key === "?") help();
      else if (event.key === "/") document.querySelector<HTMLElement>("[data-filter]")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, [help]);
}

const LIST: readonly (readonly [string, string])[] = [
  ["1 … 5", "matrix, map, path, events, nodes"],
  ["m", "next figure: RTT, loss, residual loss"],
  ["t", "the drawing as a table, and back"],
  ["/", "filter names"],
  ["[   ]", "five minutes back, on"],
  ["{   }", "an hour back, on"],
  ["n", "now"],
  ["← ↑ → ↓", "another link of the matrix; another row of a table"],
  ["Enter", "the path of the chosen link"],
  ["+   −   0", "larger or smaller cells, as many as fit"],
  ["d", "dark, light"],
  ["?", "this list"],
];

export function Help({ open, close }: { open: boolean; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [off, set] = useState(localStorage.getItem(KEY) === "off");
  useEffect(() => {
    if (open) dialog.current?.showModal();
    else dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="keys-title">
      <h2 id="keys-title">Keys</h2>
      <dl class="keys">
        {LIST.map(([key, meaning]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input
          type="checkbox"
          checked={!off}
          onChange={() => {
            localStorage.setItem(KEY, off ? "on" : "off");
            set(!off);
          }}
        />
        single keys go somewhere
      </label>
      <button type="button" onClick={close}>
        Close
      </button>
    </dialog>
  );
}
