/** @file Processor time of what must not take quadratic time: that of the clock depends on what else runs. */

/** Seconds of the process's threads while `work` runs. */
export function cpuSeconds(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** Of inputs that take milliseconds in linear time, and minutes in quadratic time. */
export const linear = 5;
