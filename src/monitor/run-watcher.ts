/** @file The state of one run read from its files, with events when they change. Independent of HTTP and the page. */

import path from "node:path";
import { type Metrics, MetricsTail, type StepMetrics } from "./metrics.js";
import { type Panel, type PanelOptions, panels } from "./panels.js";
import { type Run, readRun } from "./run.js";
import { SampleList, type Samples } from "./samples.js";

export type RunProgress = {
  step: number;
  steps: number;
  /** `quiet`: not finished, but without a step for much longer than a step takes. */
  status: "waiting" | "running" | "quiet" | "finished";
  last: StepMetrics | undefined;
  /** By the mean duration of the latest steps; undefined before the first and after the last. */
  secondsLeft: number | undefined;
};

export type RunState = {
  name: string;
  run: Run;
  progress: RunProgress;
  samples: Samples[];
  /** What could not be read, if anything. */
  problem: string | undefined;
};

export type RunEvent =
  | { event: "metrics"; rows: Metrics[] }
  | { event: "samples"; steps: number[] }
  | { event: "problem"; message: string | undefined };

/** Reads the files of a run, and again every `everyMs` while there are subscribers. */
export class RunWatcher {
  readonly folder: string;
  readonly #everyMs: number;
  readonly #tail: MetricsTail;
  readonly #list: SampleList;
  readonly #listeners = new Set<(event: RunEvent) => void>();
  #run: Run;
  #samples: Samples[] = [];
  #problem: string | undefined;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(folder: string, run: Run, everyMs: number) {
    this.folder = folder;
    this.#run = run;
    this.#everyMs = everyMs;
    this.#tail = new MetricsTail(folder);
    this.#list = new SampleList(folder);
  }

  /** Throws an InvalidRequest if `folder` is no run. */
  static async open(folder: string, { everyMs = 1000 } = {}): Promise<RunWatcher> {
    const watcher = new RunWatcher(folder, await readRun(folder), everyMs);
    await watcher.refresh();
    return watcher;
  }

  /** Reads what is new. Concurrent calls share one reading. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  state(now = Date.now()): RunState {
    return {
      name: path.basename(path.resolve(this.folder)),
      run: this.#run,
      progress: progress(this.#run.steps, this.#tail.steps, now),
      samples: this.#samples,
      problem: this.#problem,
    };
  }

  panels(options: PanelOptions): Panel[] {
    return panels(this.#tail.rows(), options);
  }

  rows(): Metrics[] {
    return this.#tail.rows();
  }

  /** Calls `listener` with every event until the returned function is called. */
  subscribe(listener: (event: RunEvent) => void): () => void {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => void this.refresh(), this.#everyMs);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** A file that is broken now may be complete a moment later, so a problem is reported and reading continues. */
  async #read(): Promise<void> {
    const problems: string[] = [];
    for (const read of [() => this.#readRun(), () => this.#readRows(), () => this.#readSamples()]) {
      await read().catch((error: Error) => problems.push(error.message));
    }
    const problem = problems.join("\n") || undefined;
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#emit({ event: "problem", message: problem });
  }

  async #readRun(): Promise<void> {
    this.#run = await readRun(this.folder);
  }

  async #readRows(): Promise<void> {
    const rows = await this.#tail.read();
    if (rows.length > 0) this.#emit({ event: "metrics", rows });
  }

  async #readSamples(): Promise<void> {
    const before = this.#samples;
    this.#samples = await this.#list.read();
    const same = before.length === this.#samples.length && before.every((s, i) => s === this.#samples[i]);
    if (!same) this.#emit({ event: "samples", steps: this.#samples.map(({ step }) => step) });
  }

  #emit(event: RunEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** A run is quiet after the duration of ten steps, but not before two minutes, which generating images may take. */
const quietAfter = { steps: 10, seconds: 120 };

/** Progress of a run of `planned` steps, at `now` in ms since 1970. */
export function progress(planned: number, rows: readonly StepMetrics[], now: number): RunProgress {
  const last = rows.at(-1);
  if (!last) return { step: 0, steps: planned, status: "waiting", last, secondsLeft: undefined };
  const { step } = last;
  if (step >= planned) return { step, steps: planned, status: "finished", last, secondsLeft: undefined };
  const durations = rows.slice(-50).map((row) => row.secondsPerStep);
  const stepSeconds = durations.reduce((sum, seconds) => sum + seconds, 0) / durations.length;
  const silence = (now - Date.parse(last.time)) / 1000;
  const quiet = silence > Math.max(quietAfter.seconds, quietAfter.steps * stepSeconds);
  const status = quiet ? "quiet" : "running";
  return { step, steps: planned, status, last, secondsLeft: (planned - step) * stepSeconds };
}
