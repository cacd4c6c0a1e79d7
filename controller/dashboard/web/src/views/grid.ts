/** Draws the visible part of a matrix on a canvas. All links are one bitmap of a pixel each that is drawn enlarged, so that
 * a frame costs the same for ten nodes and for a thousand; names, figures and marks are drawn for what can be seen.
 */
import type { Matrix } from "../matrix";
import { brief, COLOURS, INK, stepOf, STEPS, type Theme } from "../scale";

export interface Size {
  /** Of a cell, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** Of the margins that bear the names. */
  readonly left: number;
  readonly top: number;
}

export interface Frame {
  readonly matrix: Matrix;
  /** Places in the matrix, in the order in which they are shown. */
  readonly order: readonly number[];
  readonly size: Size;
  readonly theme: Theme;
  readonly scroll: { readonly x: number; readonly y: number };
  /** Row and column in `order`. */
  readonly chosen: readonly [number, number] | null;
  readonly pointed: readonly [number, number] | null;
}

interface Paint {
  readonly page: string;
  readonly ink: string;
  readonly faint: string;
  readonly unknown: string;
  readonly self: string;
  readonly line: string;
  readonly chosen: string;
}

const PAINT: Record<Theme, Paint> = {
  light: { page: "#ffffff", ink: "#1b2027", faint: "#5c6570", unknown: "#eef0f2", self: "#d5d9de", line: "#ffffff", chosen: "#b3261e" },
  dark: { page: "#12161b", ink: "#e4e8ec", faint: "#98a2ad", unknown: "#1d232a", self: "#39424d", line: "#12161b", chosen: "#ff8a80" },
};
const FIGURES_FROM_PX = 30;
const GRID_FROM_PX = 7;
const NAMES_FROM_PX = 9;

/** The smallest cell; with it the canvas shows as many as it can. */
export const LEAST_PX = 3;
export const MOST_PX = 30;

export function sizeFor(cell: number, matrix: Matrix): Size {
  const longest = matrix.nodes.reduce((most, name) => Math.max(most, name.length), 0);
  const margin = cell < NAMES_FROM_PX ? 14 : Math.min(24 + longest * 6.6, 150);
  return { width: cell >= 18 ? Math.round(cell * 1.75) : cell, height: cell, left: margin, top: Math.min(margin, 110) };
}

/** All links as pixels, row by row in `order`. */
export function bitmap(matrix: Matrix, order: readonly number[], theme: Theme): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const n = order.length;
  canvas.width = canvas.height = Math.max(n, 1);
  const context = canvas.getContext("2d");
  if (context === null || n === 0) return canvas;
  const pixels = context.createImageData(n, n);
  const words = new Uint32Array(pixels.data.buffer);
  const colours = COLOURS[theme].map(word);
  const unknown = word(PAINT[theme].unknown);
  const all = matrix.nodes.length;
  order.forEach((i, row) => {
    order.forEach((j, column) => {
      const value = matrix.values[i * all + j] ?? NaN;
      words[row * n + column] = i === j ? word(PAINT[theme].self) : Number.isNaN(value) ? unknown : (colours[stepOf(matrix.metric, value)] ?? unknown);
    });
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** `#rrggbb` as a pixel of a little-endian machine. */
function word(colour: string): number {
  const value = Number.parseInt(colour.slice(1), 16);
  return (0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

export function draw(context: CanvasRenderingContext2D, width: number, height: number, pixels: HTMLCanvasElement, frame: Frame): void {
  const { size, scroll, order } = frame;
  const paint = PAINT[frame.theme];
  context.fillStyle = paint.page;
  context.fillRect(0, 0, width, height);
  const n = order.length;
  if (n === 0) return;
  const first = { row: Math.floor(scroll.y / size.height), column: Math.floor(scroll.x / size.width) };
  const last = {
    row: Math.min(n, Math.ceil((scroll.y + height - size.top) / size.height)),
    column: Math.min(n, Math.ceil((scroll.x + width - size.left) / size.width)),
  };
  const x = (column: number): number => size.left + column * size.width - scroll.x;
  const y = (row: number): number => size.top + row * size.height - scroll.y;
  context.save();
  context.beginPath();
  context.rect(size.left, size.top, width - size.left, height - size.top);
  context.clip();
  context.imageSmoothingEnabled = false;
  const columns = last.column - first.column;
  const rows = last.row - first.row;
  context.drawImage(pixels, first.column, first.row, columns, rows, x(first.column), y(first.row), columns * size.width, rows * size.height);
  if (size.height >= GRID_FROM_PX) {
    context.fillStyle = paint.line;
    for (let column = first.column; column <= last.column; column++) context.fillRect(x(column) - 1, size.top, 1, height);
    for (let row = first.row; row <= last.row; row++) context.fillRect(size.left, y(row) - 1, width, 1);
  }
  if (size.width >= FIGURES_FROM_PX || size.height >= GRID_FROM_PX) drawCells(context, frame, first, last, x, y, paint);
  for (const [cell, colour] of [[frame.pointed, paint.faint], [frame.chosen, paint.chosen]] as const) {
    if (cell === null) continue;
    context.strokeStyle = colour;
    context.lineWidth = cell === frame.chosen ? 2 : 1;
    context.strokeRect(x(cell[1]) - 1, y(cell[0]) - 1, size.width + 1, size.height + 1);
  }
  context.restore();
  drawNames(context, frame, width, height, first, last, x, y, paint);
}

type Corner = { readonly row: number; readonly column: number };
type Position = (index: number) => number;

/** Figures where they have room; else a mark on what is worst, and on what is not known. */
function drawCells(context: CanvasRenderingContext2D, frame: Frame, first: Corner, last: Corner, x: Position, y: Position, paint: Paint): void {
  const { matrix, order, size, theme } = frame;
  const all = matrix.nodes.length;
  const figures = size.width >= FIGURES_FROM_PX;
  context.font = `${Math.min(11.5, size.height * 0.58)}px ui-monospace, "DejaVu Sans Mono", monospace`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let row = first.row; row < last.row; row++) {
    for (let column = first.column; column < last.column; column++) {
      const i = order[row] ?? 0;
      const j = order[column] ?? 0;
      if (i === j) continue;
      const value = matrix.values[i * all + j] ?? NaN;
      const middle = x(column) + size.width / 2 - 0.5;
      const centre = y(row) + size.height / 2;
      if (Number.isNaN(value)) {
        context.fillStyle = paint.faint;
        context.fillRect(Math.round(middle) - 1, Math.round(centre) - 1, 2, 1);
        continue;
      }
      const step = stepOf(matrix.metric, value);
      context.fillStyle = INK[theme][step] ?? paint.ink;
      if (figures) context.fillText(brief(matrix.metric, value), middle, centre + 0.5);
      else if (step === STEPS - 1) {
        context.beginPath();
        context.arc(middle, centre, Math.max(1, size.height * 0.16), 0, 2 * Math.PI);
        context.fill();
      }
    }
  }
}

function drawNames(context: CanvasRenderingContext2D, frame: Frame, width: number, height: number, first: Corner, last: Corner, x: Position, y: Position, paint: Paint): void {
  const { matrix, order, size } = frame;
  context.font = `${Math.min(12, Math.max(8.5, size.height * 0.8))}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const here = frame.chosen;
  const over = frame.pointed;
  // Names that would touch each other: as many as have room.
  const each = { row: Math.ceil(NAMES_FROM_PX / size.height), column: Math.ceil(NAMES_FROM_PX / size.width) };
  context.save();
  context.beginPath();
  context.rect(0, size.top, size.left, height - size.top);
  context.clip();
  context.textAlign = "right";
  for (let row = first.row; row < last.row; row++) {
    const marked = row === here?.[0] || row === over?.[0];
    if (row % each.row !== 0 || size.height < NAMES_FROM_PX) continue;
    context.fillStyle = marked ? paint.ink : paint.faint;
    context.fillText(matrix.nodes[order[row] ?? 0] ?? "", size.left - 6, y(row) + size.height / 2);
  }
  context.restore();
  context.save();
  context.beginPath();
  context.rect(size.left, 0, width - size.left, size.top);
  context.clip();
  context.textAlign = "left";
  for (let column = first.column; column < last.column; column++) {
    const marked = column === here?.[1] || column === over?.[1];
    if (column % each.column !== 0 || size.height < NAMES_FROM_PX) continue;
    context.save();
    context.translate(x(column) + size.width / 2, size.top - 6);
    context.rotate(-Math.PI / 2);
    context.fillStyle = marked ? paint.ink : paint.faint;
    context.fillText(matrix.nodes[order[column] ?? 0] ?? "", 0, 0);
    context.restore();
  }
  context.restore();
}
