/** Where nodes stand on the map: so that distance on it is the square root of RTT, as far as a plane can show that. Pure.
 *
 * Of RTT itself, a continent would be one point on a map of the world.
 * Classical scaling gives the beginning, majorization of stress (de Leeuw 1977) the rest. The same figures give the same
 * map; it is turned so that its longest extent lies flat and its first node to the left.
 */
import type { Matrix } from "./matrix";

export interface Point {
  readonly x: number;
  readonly y: number;
}

const ITERATIONS = 80;
const POWER_ITERATIONS = 40;

/** Places in 0..1, one for each node of the matrix, in its order. */
export function layout(rtt: Matrix): Point[] {
  const n = rtt.nodes.length;
  if (n < 2) return rtt.nodes.map(() => ({ x: 0.5, y: 0.5 }));
  const { distance, weight } = distances(rtt);
  const x = axis(distance, n, []);
  const y = axis(distance, n, [x]);
  settle(x, y, distance, weight, n);
  return placed(x, y);
}

/** Of unordered pairs; what is not known weighs little and is taken for what is usual. */
function distances(rtt: Matrix): { distance: Float64Array; weight: Float64Array } {
  const n = rtt.nodes.length;
  const distance = new Float64Array(n * n);
  const weight = new Float64Array(n * n);
  const known = rtt.values.filter((value) => !Number.isNaN(value)).sort();
  const usual = Math.sqrt(known[Math.floor(known.length / 2)] ?? 1);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      if (i === j) continue;
      const a = rtt.values[i * n + j] ?? NaN;
      const b = rtt.values[j * n + i] ?? NaN;
      const there = Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b);
      const value = Math.max(Number.isNaN(there) ? usual : Math.sqrt(there), usual / 20);
      distance[i * n + j] = value;
      // What is near is to be right in proportion, too.
      weight[i * n + j] = Number.isNaN(there) ? 0.01 / (usual * usual) : 1 / (value * usual);
    }
  }
  return { distance, weight };
}

/** The next axis of classical scaling: an eigenvector of the doubly centred squares, orthogonal to `others`. */
function axis(distance: Float64Array, n: number, others: readonly Float64Array[]): Float64Array {
  const squares = distance.map((value) => value * value);
  const mean = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) mean[i]! += squares[i * n + j]! / n;
  const all = mean.reduce((sum, value) => sum + value / n, 0);
  let vector = Float64Array.from({ length: n }, (_, i) => Math.sin(1 + i * 12.9898 + others.length));
  let size = 0;
  for (let round = 0; round < POWER_ITERATIONS; round++) {
    const next = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += (-0.5 * (squares[i * n + j]! - mean[i]! - mean[j]! + all)) * vector[j]!;
      next[i] = sum;
    }
    for (const other of others) {
      const length = dot(other, other) || 1;
      const part = dot(next, other) / length;
      for (let i = 0; i < n; i++) next[i]! -= part * other[i]!;
    }
    size = Math.sqrt(dot(next, next)) || 1;
    vector = next.map((value) => value / size);
  }
  const scale = Math.sqrt(size);
  return vector.map((value) => value * scale);
}

function settle(x: Float64Array, y: Float64Array, distance: Float64Array, weight: Float64Array, n: number): void {
  const rounds = n > 400 ? ITERATIONS / 4 : ITERATIONS;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < n; i++) {
      let sumX = 0;
      let sumY = 0;
      let total = 0;
      for (let j = 0; j < n; j++) {
        if (i === j) continue;
        const w = weight[i * n + j]!;
        const dx = x[i]! - x[j]!;
        const dy = y[i]! - y[j]!;
        const pull = distance[i * n + j]! / (Math.hypot(dx, dy) || 1e-9);
        sumX += w * (x[j]! + dx * pull);
        sumY += w * (y[j]! + dy * pull);
        total += w;
      }
      x[i] = sumX / total;
      y[i] = sumY / total;
    }
  }
}

function placed(x: Float64Array, y: Float64Array): Point[] {
  const n = x.length;
  const [cx, cy] = [x.reduce((a, b) => a + b, 0) / n, y.reduce((a, b) => a + b, 0) / n];
  let [xx, yy, xy] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    xx += (x[i]! - cx) ** 2;
    yy += (y[i]! - cy) ** 2;
    xy += (x[i]! - cx) * (y[i]! - cy);
  }
  const turn = 0.5 * Math.atan2(2 * xy, xx - yy);
  const points = Array.from(x, (_, i) => {
    const [a, b] = [x[i]! - cx, y[i]! - cy];
    return { x: a * Math.cos(turn) + b * Math.sin(turn), y: b * Math.cos(turn) - a * Math.sin(turn) };
  });
  const [flipX, flipY] = [points[0]!.x > 0 ? -1 : 1, points[0]!.y > 0 ? -1 : 1];
  const xs = points.map((point) => point.x * flipX);
  const ys = points.map((point) => point.y * flipY);
  return xs.map((value, i) => ({ x: within(value, xs), y: within(ys[i]!, ys) }));
}

function within(value: number, all: readonly number[]): number {
  const low = Math.min(...all);
  const width = Math.max(...all) - low;
  return width < 1e-9 ? 0.5 : (value - low) / width;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
