/** @file Enlarges maps of floats as PyTorch's `interpolate` does: bicubic, no antialias. Browser-safe. */

/** A map's rows and columns. */
export type MapSize = { height: number; width: number };

/** Keys' cubic convolution kernel with a = -0.75, PyTorch's; Pillow's has -0.5. */
const sharpness = -0.75;
const near = (x: number) => ((sharpness + 2) * x - (sharpness + 3)) * x * x + 1; // |x| <= 1
const far = (x: number) => ((sharpness * x - 5 * sharpness) * x + 8 * sharpness) * x - 4 * sharpness; // 1 < |x| < 2

/** For each place of an axis of `to`, the four places of `from` that it is made of, and their weights. */
function taps(from: number, to: number): { places: Int32Array; weights: Float32Array } {
  const places = new Int32Array(4 * to);
  const weights = new Float32Array(4 * to);
  for (let i = 0; i < to; i++) {
    const at = ((i + 0.5) * from) / to - 0.5; // align_corners false
    const first = Math.floor(at);
    const t = at - first;
    weights.set([far(t + 1), near(t), near(1 - t), far(2 - t)], 4 * i);
    for (let k = 0; k < 4; k++) places[4 * i + k] = Math.min(from - 1, Math.max(0, first - 1 + k));
  }
  return { places, weights };
}

/** Adapts maps of one size to another, into `out` where it is given; what depends on the sizes alone is computed once. */
export function bicubic(
  from: MapSize,
  to: MapSize,
): (map: Float32Array, out?: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer> {
  const [across, down] = [taps(from.width, to.width), taps(from.height, to.height)];
  const rows = new Float32Array(from.height * to.width);
  return (map, out = new Float32Array(to.height * to.width)) => {
    if (from.height === to.height && from.width === to.width) {
      out.set(map);
      return out;
    }
    for (let y = 0; y < from.height; y++) widened(map, y * from.width, across, rows, y * to.width);
    for (let y = 0; y < to.height; y++) blended(rows, to.width, down, out, y);
    return out;
  };
}

type Taps = ReturnType<typeof taps>;

/** One row of a map, from `start` on, as the row of `out` at `at`. */
function widened(
  map: Float32Array,
  start: number,
  { places, weights }: Taps,
  out: Float32Array,
  at: number,
): void {
  for (let k = 0, x = at; k < places.length; k += 4, x++) {
    out[x] =
      weights[k]! * map[start + places[k]!]! +
      weights[k + 1]! * map[start + places[k + 1]!]! +
      weights[k + 2]! * map[start + places[k + 2]!]! +
      weights[k + 3]! * map[start + places[k + 3]!]!;
  }
}

/** Row y of `out`, of four of `rows`. */
function blended(
  rows: Float32Array,
  width: number,
  { places, weights }: Taps,
  out: Float32Array,
  y: number,
): void {
  // No list or view for a row: of small maps there are thousands of rows.
  const tap = 4 * y;
  const a = places[tap]! * width;
  const b = places[tap + 1]! * width;
  const c = places[tap + 2]! * width;
  const d = places[tap + 3]! * width;
  const wa = weights[tap]!;
  const wb = weights[tap + 1]!;
  const wc = weights[tap + 2]!;
  const wd = weights[tap + 3]!;
  for (let x = 0, at = y * width; x < width; x++, at++)
    out[at] = wa * rows[a + x]! + wb * rows[b + x]! + wc * rows[c + x]! + wd * rows[d + x]!;
}
