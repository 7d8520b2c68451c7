/** @file Warnings of a scheduler that does not fit the model or the request. Must not import Node. */

import type { Scheduler } from "../diffusion/schedulers/scheduler.js";

/** `own` is the model's scheduler, which says what its U-Net was trained for. */
export function schedulerWarnings(scheduler: Scheduler, own: Scheduler, { eta }: { eta: number }): string[] {
  const warnings: string[] = [];
  if (eta !== 0 && !scheduler.acceptsEta)
    warnings.push(`eta: has no effect with ${scheduler.className}, got ${eta}`);
  if (scheduler.isEdm !== own.isEdm) {
    const [asks, trained] = scheduler.isEdm ? ["is", "was not"] : ["is not", "was"];
    const rule = `${scheduler.className} ${asks} one of EDM's, and this model ${trained} trained for those`;
    warnings.push(`scheduler: ${rule}, so the image will be wrong; its own, ${own.className}, fits`);
  }
  return warnings;
}
