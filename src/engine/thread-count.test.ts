/** @file The number of threads that options accept. */

import { availableParallelism } from "node:os";
import { expect, it } from "vitest";
import { DiffusionPipeline } from "../index.js";
import { processorThread } from "../jobs/processor-thread.js";
import { trainingOptions } from "../train/options.js";
import { checkThreads } from "./thread-count.js";

it("0 and whole numbers up to four per core are accepted", () => {
  for (const threads of [0, 1, availableParallelism(), 4 * availableParallelism()]) checkThreads(threads);
});

it.each([100_000, 1.5, -1, Number.NaN, "2", null])(
  "%s is refused by every function that takes it",
  async (threads) => {
    const rule = /^threads: must be a whole number from 0 to \d+, four per core of this machine, got /;
    expect(() => checkThreads(threads)).toThrow(rule);
    const untyped = { threads: threads as number };
    await expect(DiffusionPipeline.fromPretrained(undefined, untyped)).rejects.toThrow(rule);
    expect(() => processorThread(new Map(), untyped)).toThrow(rule);
    expect(() => trainingOptions(untyped)).toThrow(/^threads: must be /);
  },
);
