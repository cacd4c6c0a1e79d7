/** Arrows in a table move the focus from row to row. */
export function rowKeys(event: KeyboardEvent): void {
  const region = event.currentTarget as HTMLElement;
  const rows = [...region.querySelectorAll<HTMLElement>("tbody tr[tabindex]")];
  if (rows.length === 0) return;
  const here = rows.findIndex((row) => row === document.activeElement);
  const to: Record<string, number> = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 };
  const wanted = to[event.key];
  if (wanted === undefined) return;
  rows[Math.min(Math.max(wanted, 0), rows.length - 1)]?.focus();
  event.preventDefault();
}
