/** @file The decay of the moving average of the weights, as Diffusers' `EMAModel` computes it. */

export type EmaOptions = {
  /** The largest decay, 0 to 1. Default 0.9999. */
  decay?: number;
  /** The smallest decay after `updateAfterStep`, 0 to 1. Default 0. */
  minDecay?: number;
  /** Updates during which the average is a copy of the weights. Default 0. */
  updateAfterStep?: number;
  /** Warms the decay up by 1 - (1 + k / invGamma) ^ -power in place of (1 + k) / (10 + k). Default false. */
  useEmaWarmup?: boolean;
  /** Of `useEmaWarmup`, above 0. Default 1. */
  invGamma?: number;
  /** Of `useEmaWarmup`, above 0. Default 2/3. */
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
