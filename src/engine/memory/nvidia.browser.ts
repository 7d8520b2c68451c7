/** @file A browser tells nothing of its GPU's free memory. */

export const nvidiaFree = (_index: number): number | undefined => undefined;
