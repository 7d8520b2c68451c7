/** @file What the training commands share: filling the cache, showing progress, finishing. */

import { InvalidRequest } from "../errors.js";
import { checkWritable } from "../files/writable.js";
import type { StepMetrics } from "../monitor/metrics.js";
import type { loadComponents } from "../pipeline/components.js";
import { buildCache, type CacheProgress } from "../train/cache/build.js";
import { aspectBuckets } from "../train/data/buckets.js";
import type { DataOptions, SkippedExample } from "../train/data/example.js";
import { openData } from "../train/data/source.js";
import type { TrainingOptions } from "../train/options.js";
import type { Finished } from "../train/trainer.js";
import { yellow } from "./colors.js";
import { inFlags } from "./flag-names.js";
import { exitCodes, type ProgressBar } from "./terminal.js";

type Filling = {
  data: string;
  dataOptions: DataOptions;
  cacheFolder: string;
  components: Awaited<ReturnType<typeof loadComponents>>;
  options: TrainingOptions;
  signal: AbortSignal;
  progress: ProgressBar;
  say: (line: string) => void;
};

/** Latents and embeddings on disk; neither encoder stays in memory. */
export async function fillCache({
  data,
  dataOptions,
  cacheFolder,
  components,
  options,
  signal,
  progress,
  say,
}: Filling): Promise<void> {
  const source = await openData(data, dataOptions);
  const report = await buildCache({
    data: source,
    dataPath: data,
    dataOptions,
    components,
    folder: cacheFolder,
    resolution: options.resolution,
    ...(options.aspectRatioBuckets && { buckets: aspectBuckets(options.resolution) }),
    crop: options.randomCrop ? "random" : "center",
    flip: options.randomFlip,
    seed: options.seed,
    signal,
    onProgress: shown(progress),
  });
  progress.stop();
  saySkipped(report.skipped, say);
}

/** Names the first examples that were left out, and counts all. */
export function saySkipped(skipped: readonly SkippedExample[], say: (line: string) => void): void {
  for (const { key, reason } of skipped.slice(0, 10)) say(yellow(`skipped ${key}: ${inFlags(reason)}`));
  if (skipped.length > 0) say(yellow(`${skipped.length} skipped in all`));
}

/** Finds out before a run whether its folders can be written to; FileError. */
export async function checkFolders(...folders: (string | undefined)[]): Promise<void> {
  for (const folder of new Set(folders)) if (folder !== undefined) await checkWritable(folder);
}

/** An option that only some ways of calling need. */
export function needed(field: string, value: string | undefined, flag: string): string {
  if (value !== undefined) return value;
  throw new InvalidRequest(field, undefined, `must be given, got none. Add ${flag}.`);
}

/** Shows the two stages of caching one after the other. */
function shown(progress: ProgressBar): (at: CacheProgress) => void {
  let [stage, started] = ["", 0];
  return ({ stage: now, done, total }) => {
    if (now !== stage) {
      progress.stop();
      progress.start(`encoding ${now}`, total);
      [stage, started] = [now, performance.now()];
    }
    progress.step(done, ((performance.now() - started) / 1000 / Math.max(1, done)) * (total - done));
  };
}

/** A line of progress with the losses, or a JSON line. */
export function watcher(
  progress: ProgressBar,
  { json, quiet }: { json?: boolean; quiet?: boolean },
): (row: StepMetrics, last: number) => void {
  let begun = false;
  return (row, last) => {
    if (json) process.stdout.write(`${JSON.stringify(row)}\n`);
    if (!begun) progress.start("training", last);
    begun = true;
    progress.step(row.step, (row.secondsPerStep ?? 0) * (last - row.step), lossLine(row));
    if (!quiet && !process.stderr.isTTY && row.step % 50 === 0)
      process.stderr.write(`step ${row.step} of ${last}: ${lossLine(row)}\n`);
  };
}

function lossLine({ loss, task, out, feat, imagesPerSecond }: StepMetrics): string {
  const terms = Object.entries({ loss, task, out, feat }).filter(([, value]) => typeof value === "number");
  const speed = imagesPerSecond ? ` ${imagesPerSecond.toFixed(1)} images/s` : "";
  return `${terms.map(([name, value]) => `${name} ${(value as number).toPrecision(4)}`).join(" ")}${speed}`;
}

/** The folder on standard output when the run is done, an exit code when it was stopped. */
export function finish({ stopped }: Finished, output: string): void {
  if (stopped) process.exitCode = exitCodes.stopped;
  else process.stdout.write(`${output}\n`);
}
