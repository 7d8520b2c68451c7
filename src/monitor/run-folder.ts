/** @file The layout of a training run's folder: names of the files that the trainer writes and the monitor reads. */

/** What was started, with which options. */
export const runFile = "run.json";
/** A line of JSON for each step or validation. */
export const metricsFile = "metrics.jsonl";
/** The run's curves, drawn at each checkpoint. */
export const curvesFile = "curves.svg";
/** A folder for each checkpoint, by its step. */
export const checkpointsFolder = "checkpoints";
/** A folder of validation images for each step at which they were generated. */
export const samplesFolder = "samples";
/** In a folder of validation images: which image shows which prompt. Written last. */
export const promptsFile = "prompts.json";

/** The name of a step's folder: 100 -> "step-000100" */
export const stepFolder = (step: number): string => `step-${String(step).padStart(6, "0")}`;

/** The step of a folder of that name, undefined for any other name. */
export function stepOf(name: string): number | undefined {
  const digits = /^step-(\d{6,12})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
