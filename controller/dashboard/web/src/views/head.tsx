/** The head of a table. */

/** A column's title; of one of numbers as `{ figure }`. */
export type Column = string | { figure: string };

export function Head({ columns }: { columns: readonly Column[] }) {
  return (
    <thead>
      <tr>
        {columns.map((column) =>
          typeof column === "string" ? (
            <th scope="col">{column}</th>
          ) : (
            <th scope="col" class="number">
              {column.figure}
            </th>
          ),
        )}
      </tr>
    </thead>
  );
}
