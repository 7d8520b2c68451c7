/** @file The progress of a job in words. */

import { duration } from "./duration.js";
import type { Task } from "./tasks.js";

type Progress = Pick<
  Task,
  "settings" | "position" | "step" | "total" | "secondsLeft" | "lost" | "status" | "stopping"
>;

export function progressText(progress: Progress): string {
  const { settings, position, step, total, secondsLeft, lost, status, stopping } = progress;
  if (stopping) return "Stopping after this step…";
  if (lost) return "The server does not answer. Waiting for it…";
  if (!settings) return "Sending…";
  if (position !== null) return position <= 1 ? "Next in the queue" : `Number ${position} in the queue`;
  if (status !== null) return status;
  if (step === 0) return "Preparing…";
  if (step >= total) return "Finishing…";
  const left = secondsLeft === null ? "" : ` · ${duration(secondsLeft)} left`;
  return `Step ${step} of ${total}${left}`;
}
