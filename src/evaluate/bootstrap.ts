/** @file Confidence intervals by the bootstrap (Efron 1979): what the mean would be had other prompts been asked. */

import { Generator } from "../diffusion/random.js";
import { mean } from "./vectors.js";

/** A mean over prompts, with the interval that holds it with 95 %, where there is more than one prompt. */
export type Estimate = { mean: number; interval?: readonly [low: number, high: number]; prompts: number };

const [resamples, confidence] = [2000, 0.95];
/** The standard normal's quantile of that confidence, squared. */
const z2 = 1.959964 ** 2;

/**
 * The mean of one number per prompt, and the percentiles of the means of prompts that are drawn from these with
 * replacement. The seeds of a prompt are no further samples, so their mean must be taken before. `percent`: the numbers are
 * shares of 100.
 */
export function estimate(perPrompt: readonly number[], { percent = false } = {}): Estimate {
  const n = perPrompt.length;
  const whole = { mean: mean(perPrompt), prompts: n };
  if (n < 2 || perPrompt.some((x) => !Number.isFinite(x))) return whole;
  // Of equal numbers a bootstrap knows no spread. Of shares, all of them none or all, Wilson's interval (1927) is known.
  if (perPrompt.every((x) => x === perPrompt[0])) {
    const least = (100 * n) / (n + z2);
    if (percent && whole.mean === 100) return { ...whole, interval: [least, 100] };
    if (percent && whole.mean === 0) return { ...whole, interval: [0, 100 - least] };
    return whole;
  }
  const drawn = new Generator(0).randint(resamples * n, { high: n });
  const means = new Float64Array(resamples);
  for (let r = 0; r < resamples; r++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += perPrompt[drawn[r * n + i]!]!;
    means[r] = sum / n;
  }
  means.sort();
  const at = (share: number) => means[Math.round(share * (resamples - 1))]!;
  return { ...whole, interval: [at((1 - confidence) / 2), at((1 + confidence) / 2)] };
}
