/** Links as a table, the worst first: what the drawings say, in words and numbers. */
import { useMemo } from "preact/hooks";
import { type Matrix, worst } from "../matrix";
import { go } from "../place";
import { NAME, show } from "../scale";
import { Head } from "./head";

const MOST_ROWS = 500;

export function LinkTable({ matrix, filter }: { matrix: Matrix; filter: string }) {
  const { cells, number } = useMemo(() => worst(matrix, (name) => name.toLowerCase().includes(filter.toLowerCase()), MOST_ROWS), [matrix, filter]);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Links">
      <table>
        <caption>
          {number <= MOST_ROWS ? `${number} links, the worst first` : `The worst ${MOST_ROWS} of ${number} links; a filter shows others`}
        </caption>
        <Head columns={["From", "To", { figure: NAME[matrix.metric] }, "Path"]} />
        <tbody>
          {cells.map(({ from, to, value }) => (
            <tr key={`${from} ${to}`} data-from={from} data-to={to}>
              <th scope="row">{from}</th>
              <td>{to}</td>
              <td class="number">{show(matrix.metric, value)}</td>
              <td>
                <button type="button" class="link" aria-label={`open the path from ${from} to ${to}`} onClick={() => go({ view: "path", src: from, dst: to })}>
                  open
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
