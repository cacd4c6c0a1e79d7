/** One figure of all links as a flat array. Pure. */
import type { LinkMatrix, Metric } from "./model";

export interface Matrix {
  readonly metric: Metric;
  /** RFC 3339: when this was. */
  readonly at: string;
  readonly spanSeconds: number;
  readonly nodes: readonly string[];
  readonly index: ReadonlyMap<string, number>;
  /** [from · n + to]; NaN: nothing is known. */
  readonly values: Float32Array;
}

export function matrixOf(told: LinkMatrix): Matrix {
  const n = told.nodes.length;
  const values = new Float32Array(n * n).fill(NaN);
  told.values.forEach((row, i) => row.forEach((value, j) => (values[i * n + j] = value ?? NaN)));
  const index = new Map(told.nodes.map((name, i) => [name, i]));
  return { metric: told.metric, at: told.at, spanSeconds: told.spanSeconds, nodes: told.nodes, index, values };
}

/** `cells` are from, to, value and again. */
export function withCells(matrix: Matrix, at: string, cells: readonly (number | null)[]): Matrix {
  const values = matrix.values.slice();
  const n = matrix.nodes.length;
  for (let k = 0; k + 2 < cells.length; k += 3) {
    values[(cells[k] ?? 0) * n + (cells[k + 1] ?? 0)] = cells[k + 2] ?? NaN;
  }
  return { ...matrix, at, values };
}

/** NaN: nothing is known of it. */
export function figure(matrix: Matrix | undefined, from: string, to: string): number {
  const i = matrix?.index.get(from);
  const j = matrix?.index.get(to);
  if (matrix === undefined || i === undefined || j === undefined) return NaN;
  return matrix.values[i * matrix.nodes.length + j] ?? NaN;
}

export interface Cell {
  readonly from: string;
  readonly to: string;
  readonly value: number;
}

/** The links whose both ends are wanted, worst first, at most so many, and how many there are. */
export function worst(matrix: Matrix, wanted: (name: string) => boolean, most: number): { cells: Cell[]; number: number } {
  const n = matrix.nodes.length;
  const places = matrix.nodes.flatMap((name, i) => (wanted(name) ? [i] : []));
  const found: number[] = [];
  for (const i of places) for (const j of places) if (i !== j && !Number.isNaN(matrix.values[i * n + j])) found.push(i * n + j);
  const value = (place: number): number => matrix.values[place] ?? NaN;
  found.sort((a, b) => value(b) - value(a) || a - b);
  const cells = found.slice(0, most).map((place) => ({
    from: matrix.nodes[Math.floor(place / n)] ?? "",
    to: matrix.nodes[place % n] ?? "",
    value: value(place),
  }));
  return { cells, number: found.length };
}

export function median(values: Iterable<number>): number {
  const known = [...values].filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return known.length === 0 ? NaN : (known[Math.floor((known.length - 1) / 2)] ?? NaN);
}

export function* rowOf(matrix: Matrix, i: number): Generator<number> {
  const n = matrix.nodes.length;
  for (let j = 0; j < n; j++) if (j !== i) yield matrix.values[i * n + j] ?? NaN;
}
