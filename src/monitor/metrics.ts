/** @file `metrics.jsonl` of a training run: one JSON object per optimizer step or validation. */

import type { FileHandle } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { ModelError } from "../errors.js";
import { appending, ifThere, reading } from "../files/file-system.js";
import { schemaProblem } from "../validation.js";
import { metricsFile } from "./run-folder.js";

/** JSON has no NaN and no Infinity: both are written as null, and a diverged run must still be readable. */
const real = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const count = z.number().int().nonnegative();

/** One optimizer step. Losses are means over the step's images. */
export type StepMetrics = {
  /** Counted from 1. */
  step: number;
  /** Passes through the data, a fraction. */
  epoch: number;
  /** The weighted sum of the losses below. NaN once the run has diverged. */
  loss: number;
  /** The error against the noise or velocity. */
  task?: number | undefined;
  /** The error against the teacher's prediction. */
  out?: number | undefined;
  /** The error against the teacher's features. */
  feat?: number | undefined;
  /** Of a step distillation: the error against where the teacher's solver leads. */
  solver?: number | undefined;
  /** Of an autoencoder's images, in dB. */
  psnr?: number | undefined;
  /** The learning rate. */
  lr: number;
  /** The norm of the gradient before clipping. */
  gradNorm: number;
  imagesPerSecond: number;
  secondsPerStep: number;
  /** When the step ended, ISO 8601. */
  time: string;
};

const stepRow = z.object({
  step: count,
  epoch: z.number().nonnegative(),
  loss: real,
  task: real.optional(),
  out: real.optional(),
  feat: real.optional(),
  solver: real.optional(),
  psnr: real.optional(),
  lr: real,
  gradNorm: real,
  imagesPerSecond: real,
  secondsPerStep: real,
  time: z.iso.datetime({ offset: true }),
}) satisfies z.ZodType<StepMetrics, unknown>;

const validationRow = z.object({ step: count, validation: z.record(z.string(), real) });

/** Losses on the validation data, after optimizer step `step`. */
export type ValidationMetrics = z.infer<typeof validationRow>;
export type Metrics = StepMetrics | ValidationMetrics;

export const isValidation = (row: Metrics): row is ValidationMetrics => "validation" in row;

/** Adds one line to `metrics.jsonl` in `folder`; an incomplete last line, which a crash leaves, is removed first. */
export async function appendMetrics(folder: string, row: Metrics): Promise<void> {
  await appending(path.join(folder, metricsFile), async (file) => {
    await repairTail(file);
    await file.appendFile(`${JSON.stringify(row)}\n`);
  });
}

/** Otherwise the next row would continue the incomplete line. */
async function repairTail(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  if (size === 0) return;
  const last = await bytes(file, size - 1, size);
  if (last[0] === newline) return;
  const all = await bytes(file, 0, size);
  const start = all.lastIndexOf(newline) + 1;
  if (isComplete(all.toString("utf8", start))) await file.appendFile("\n");
  else await file.truncate(start);
}

/** All rows of a run in order of step, a step's validation after it; [] if nothing was written yet. */
export async function readMetrics(folder: string): Promise<Metrics[]> {
  const tail = new MetricsTail(folder);
  await tail.read({ final: true });
  return tail.rows();
}

/**
 * Reads what was added to `metrics.jsonl` since the last read.
 *
 * A resumed run goes back to its last checkpoint: a step row therefore replaces the row of its step and all later
 * ones, so that the rows are always one continuous history.
 */
export class MetricsTail {
  readonly #file: string;
  #inode = 0;
  #offset = 0;
  #lines = 0;
  #steps: StepMetrics[] = [];
  #validations: ValidationMetrics[] = [];

  constructor(folder: string) {
    this.#file = path.join(folder, metricsFile);
  }

  get steps(): readonly StepMetrics[] {
    return this.#steps;
  }

  /** Step rows and validation rows, merged by step. */
  rows(): Metrics[] {
    const merged: Metrics[] = [...this.#steps, ...this.#validations];
    return merged.sort((a, b) => a.step - b.step || Number(isValidation(a)) - Number(isValidation(b)));
  }

  /**
   * The rows added since the last call. `final` also takes a last line without its newline, if it is complete.
   * Throws a ModelError at a line that cannot be read; later calls stop at it again until it is repaired.
   */
  async read({ final = false } = {}): Promise<Metrics[]> {
    const added: Metrics[] = [];
    for (const line of await this.#newLines(final)) {
      const row = parseRow(line.text, `${this.#file} line ${this.#lines + 1}`);
      this.#offset += line.bytes;
      this.#lines++;
      this.#keep(row);
      added.push(row);
    }
    return added;
  }

  async #newLines(final: boolean): Promise<{ text: string; bytes: number }[]> {
    const read = async (file: FileHandle) => {
      const { size, ino } = await file.stat();
      if (ino !== this.#inode || size < this.#offset) this.#restart(ino);
      return splitLines(await bytes(file, this.#offset, size), final);
    };
    return (await ifThere(() => reading(this.#file, this.#file, read))) ?? [];
  }

  /** Another run has been started in the same folder. */
  #restart(inode: number): void {
    this.#inode = inode;
    this.#offset = 0;
    this.#lines = 0;
    this.#steps = [];
    this.#validations = [];
  }

  #keep(row: Metrics): void {
    if (isValidation(row)) {
      dropFrom(this.#validations, row.step);
      this.#validations.push(row);
    } else {
      dropFrom(this.#steps, row.step);
      dropFrom(this.#validations, row.step + 1);
      this.#steps.push(row);
    }
  }
}

const newline = 0x0a;

function dropFrom(rows: { step: number }[], step: number): void {
  while (rows.length > 0 && rows[rows.length - 1]!.step >= step) rows.pop();
}

/** Splits at newline bytes, so a character of several bytes is never cut; an incomplete line is left out. */
function splitLines(data: Buffer, final: boolean): { text: string; bytes: number }[] {
  const lines: { text: string; bytes: number }[] = [];
  let start = 0;
  for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, start)) {
    lines.push({ text: data.toString("utf8", start, end), bytes: end + 1 - start });
    start = end + 1;
  }
  const rest = data.toString("utf8", start);
  if (final && isComplete(rest)) lines.push({ text: rest, bytes: data.length - start });
  return lines;
}

/** No proper prefix of a JSON object is JSON, so a line that parses is complete. */
function isComplete(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parseRow(text: string, where: string): Metrics {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ModelError(where, `must be one JSON object, got ${quoted(text)}. Remove that line.`);
  }
  const validation = typeof value === "object" && value !== null && "validation" in value;
  const { data, error } = (validation ? validationRow : stepRow).safeParse(value);
  if (data) return data;
  const { field, rule } = schemaProblem(error, value);
  throw new ModelError(where, `${field || "row"}: ${rule} Remove that line.`);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

async function bytes(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const data = Buffer.alloc(to - from);
  const { bytesRead } = await file.read(data, 0, data.length, from);
  return data.subarray(0, bytesRead);
}
