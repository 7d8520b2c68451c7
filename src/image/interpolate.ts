/** @file Enlarges maps of floats as PyTorch's `interpolate` does: bicubic, no antialias. Browser-safe. */

/** A map's rows and columns. */
export type MapSize = { height: number; width: number };

/** Keys' cubic convolution kernel with a = -0.75, PyTorch's; Pillow's has -0.5. */
const a = -0.75;
const near = (x: number) => ((a + 2) * x - (a + 3)) * x * x + 1; // |x| <= 1
const far = (x: number) => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; // 1 < |x| < 2

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

/** Adapts maps of one size to another; what depends on the sizes alone is computed once. */
export function bicubic(from: MapSize, to: MapSize): (map: Float32Array) => Float32Array {
  if (from.height === to.height && from.width === to.width) return (map) => map.slice();
  const across = taps(from.width, to.width);
  const down = taps(from.height, to.height);
  const rows = new Float32Array(from.height * to.width);
  return (map) => {
    for (let y = 0; y < from.height; y++) {
      const row = y * from.width;
      for (let x = 0; x < to.width; x++) rows[y * to.width + x] = weighted(map, row, 1, across, x);
    }
    const out = new Float32Array(to.height * to.width);
    for (let y = 0; y < to.height; y++) {
      for (let x = 0; x < to.width; x++) out[y * to.width + x] = weighted(rows, x, to.width, down, y);
    }
    return out;
  };
}

function weighted(
  values: Float32Array,
  start: number,
  stride: number,
  { places, weights }: ReturnType<typeof taps>,
  i: number,
): number {
  const k = 4 * i;
  return (
    weights[k]! * values[start + places[k]! * stride]! +
    weights[k + 1]! * values[start + places[k + 1]! * stride]! +
    weights[k + 2]! * values[start + places[k + 2]! * stride]! +
    weights[k + 3]! * values[start + places[k + 3]! * stride]!
  );
}
