/** @file What the training commands share: progress, notes and Ctrl-C while a run goes, and how its end is printed. */

import { InvalidRequest } from "../errors.js";
import type { StepMetrics } from "../monitor/metrics.js";
import type { SkippedExample } from "../train/data/example.js";
import type { TrainingEvent, TrainingResult } from "../train/events.js";
import { yellow } from "./colors.js";
import { inFlags } from "./flag-names.js";
import { exitCodes, ProgressBar, stopOnInterrupt } from "./terminal.js";

/** Flags of what a run prints. */
type PrintFlags = { json?: boolean; quiet?: boolean; resume?: boolean };

/** An option that only some ways of calling need. */
export function required(field: string, value: string | undefined, flag: string): string {
  if (value !== undefined) return value;
  throw new InvalidRequest(field, undefined, `must be given, got none. Add ${flag}.`);
}

/** Runs a training function that Ctrl-C stops and whose events are printed. */
export async function withProgress<T>(
  flags: PrintFlags,
  start: (options: { signal: AbortSignal; onEvent: (event: TrainingEvent) => void }) => Promise<T>,
): Promise<T> {
  const say = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
  const progress = new ProgressBar({ quiet: flags.quiet === true });
  const { signal, done } = stopOnInterrupt(say);
  try {
    return await start({ signal, onEvent: printer(progress, flags, say) });
  } finally {
    progress.stop();
    done();
  }
}

/** The folder on standard output when the run is done; a note and an exit code when it was stopped. */
export function printResult({ step, stopped }: TrainingResult, output: string, { quiet }: PrintFlags): void {
  if (!stopped) return void process.stdout.write(`${output}\n`);
  process.exitCode = exitCodes.stopped;
  const note = `stopped at step ${step}, which is saved; the same command with --resume goes on`;
  if (!quiet) process.stderr.write(`${note}\n`);
}

function printer(
  progress: ProgressBar,
  flags: PrintFlags,
  say: (line: string) => void,
): (event: TrainingEvent) => void {
  const bar = new StageProgress(progress);
  return (event) => {
    switch (event.type) {
      case "device":
        return say(`on ${event.device}: ${event.reason}`);
      case "warning":
        return say(yellow(`warning: ${inFlags(event.message)}`));
      case "encoding":
        return bar.show(`encoding ${event.stage}`, event);
      case "teacher":
        return bar.show("computing the teacher's results", event);
      case "skipped":
        bar.end();
        return saySkipped(event.examples, say);
      case "begin":
        if (flags.resume)
          say(event.resumed ? `going on from step ${event.step}` : "no checkpoint yet: beginning anew");
        return;
      case "step":
        return printStep(event, bar, flags);
      default:
        return event satisfies never;
    }
  };
}

/** A bar for each stage of a run, one after the other. */
class StageProgress {
  readonly #progress: ProgressBar;
  #stage = "";
  #started = 0;

  constructor(progress: ProgressBar) {
    this.#progress = progress;
  }

  /** `secondsLeft` is estimated from the stage's mean speed where it is not given. */
  show(
    stage: string,
    { done, total }: { done: number; total: number },
    secondsLeft?: number,
    note = "",
  ): void {
    if (stage !== this.#stage) {
      this.end();
      this.#progress.start(stage, total);
      this.#stage = stage;
      this.#started = performance.now();
    }
    const seconds = (performance.now() - this.#started) / 1000;
    this.#progress.step(done, secondsLeft ?? (seconds / Math.max(1, done)) * (total - done), note);
  }

  end(): void {
    this.#progress.stop();
    this.#stage = "";
  }
}

/** Names the first examples that were left out, and counts all. */
function saySkipped(skipped: readonly SkippedExample[], say: (line: string) => void): void {
  for (const { key, reason } of skipped.slice(0, 10)) say(yellow(`skipped ${key}: ${inFlags(reason)}`));
  if (skipped.length > 0) say(yellow(`${skipped.length} skipped in all`));
}

/** A line of progress with the losses, or a JSON line. */
function printStep(
  { metrics, steps }: Extract<TrainingEvent, { type: "step" }>,
  bar: StageProgress,
  { json, quiet }: PrintFlags,
): void {
  if (json) process.stdout.write(`${JSON.stringify(metrics)}\n`);
  const { step, secondsPerStep } = metrics;
  const line = lossLine(metrics);
  bar.show("training", { done: step, total: steps }, secondsPerStep * (steps - step), line);
  if (!quiet && !process.stderr.isTTY && step % 50 === 0)
    process.stderr.write(`step ${step} of ${steps}: ${line}\n`);
}

function lossLine({ loss, task, out, feat, solver, imagesPerSecond }: StepMetrics): string {
  const terms = Object.entries({ loss, task, out, feat, solver }).filter(([, v]) => typeof v === "number");
  const speed = imagesPerSecond ? ` ${imagesPerSecond.toFixed(1)} images/s` : "";
  return `${terms.map(([name, value]) => `${name} ${(value as number).toPrecision(4)}`).join(" ")}${speed}`;
}
