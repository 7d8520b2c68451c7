/** @file Classifier-free guidance: one prediction from a conditional and an unconditional one. */

/** Ho and Salimans 2022 (https://arxiv.org/abs/2207.12598): u + scale (c - u), in float32. */
export function guide(unconditional: Float32Array, conditional: Float32Array, scale: number): Float32Array {
  const s = Math.fround(scale);
  return conditional.map((c, i) => {
    const u = unconditional[i]!;
    return Math.fround(u + Math.fround(s * Math.fround(c - u)));
  });
}

/**
 * Liu et al. 2022 (https://arxiv.org/abs/2206.01714), as AUTOMATIC1111's AND: u + sum of weight (c - u), so that guidance
 * of it adds up the guidance of each prompt by its weight.
 */
export function compose(
  unconditional: Float32Array,
  parts: readonly { weight: number; out: Float32Array }[],
): Float32Array {
  return unconditional.map((u, i) => {
    let sum = u;
    for (const { weight, out } of parts) sum += weight * (out[i]! - u);
    return sum;
  });
}

/**
 * Lin et al. 2023 (https://arxiv.org/abs/2305.08891), section 3.4: brings each sample's standard deviation back
 * towards that of the conditional prediction, as far as `rescale` (0 to 1) says.
 */
export function rescaleGuided(
  guided: Float32Array,
  conditional: Float32Array,
  rescale: number,
  batch: number,
): Float32Array {
  const size = guided.length / batch;
  const out = new Float32Array(guided.length);
  for (let b = 0; b < batch; b++) {
    const range = [b * size, (b + 1) * size] as const;
    const ratio = deviation(conditional.subarray(...range)) / deviation(guided.subarray(...range));
    for (let i = range[0]; i < range[1]; i++) out[i] = guided[i]! * (rescale * ratio + 1 - rescale);
  }
  return out;
}

/** The sample standard deviation, with n - 1. */
function deviation(x: Float32Array): number {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  return Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / (x.length - 1));
}
