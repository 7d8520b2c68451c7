/** @file How fast the moving average of the weights follows them: the rule of Diffusers' `EMAModel`. Pure. */

export type EmaOptions = {
  /** The largest decay. */
  decay?: number;
  /** The smallest, once averaging has begun. */
  minDecay?: number;
  /** Updates during which the average is a plain copy. */
  updateAfterStep?: number;
  /** Warm up by 1 - (1 + k / invGamma) ^ -power rather than by (1 + k) / (10 + k). */
  useEmaWarmup?: boolean;
  invGamma?: number;
  power?: number;
};

/**
 * The decay d of update `update`, counted from 1: average -= (1 - d) (average - weights), after the
 * optimizer. At the first update it is 0, a copy.
 */
export function emaDecay(
  update: number,
  {
    decay = 0.9999,
    minDecay = 0,
    updateAfterStep = 0,
    useEmaWarmup = false,
    invGamma = 1,
    power = 2 / 3,
  }: EmaOptions = {},
): number {
  const k = Math.max(0, update - updateAfterStep - 1);
  if (k === 0) return 0;
  const warm = useEmaWarmup ? 1 - (1 + k / invGamma) ** -power : (1 + k) / (10 + k);
  return Math.max(Math.min(warm, decay), minDecay);
}
