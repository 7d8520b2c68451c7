/** @file Smoothing and thinning of long series for charts. */

/**
 * Exponential moving average with bias correction (Kingma & Ba 2015, §3): every entry is a weighted mean of the values
 * so far; `factor`, in [0, 1), is the ratio of the weights of neighbours. A value that is not finite gives NaN and does
 * not change the mean.
 */
export function smoothed(values: readonly number[], factor: number): number[] {
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return Number.NaN;
    mean = factor * mean + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return mean / weight;
  });
}

/** The factor of a moving average over about `window` values. */
export const factorFor = (window: number): number => (window <= 1 ? 0 : 1 - 1 / window);

/**
 * Indices of at most `most` (>= 8) of the values, chosen so that a chart shows every spike and gap: the first, the last,
 * and of each stretch the smallest, the largest and one that is not finite.
 */
export function extremes(values: readonly number[], most: number): number[] {
  if (values.length <= most) return values.map((_, i) => i);
  const stretches = Math.floor((most - 2) / 3);
  const kept = new Set([0, values.length - 1]);
  for (let s = 0; s < stretches; s++) {
    const start = Math.floor((s * values.length) / stretches);
    const end = Math.floor(((s + 1) * values.length) / stretches);
    let [low, high, gap] = [-1, -1, -1];
    for (let i = start; i < end; i++) {
      const value = values[i]!;
      if (!Number.isFinite(value)) gap = i;
      else {
        if (low < 0 || value < values[low]!) low = i;
        if (high < 0 || value > values[high]!) high = i;
      }
    }
    for (const i of [low, high, gap]) if (i >= 0) kept.add(i);
  }
  return [...kept].sort((a, b) => a - b);
}
