/** @file Tests of the progress of a run. */

import { describe, expect, it } from "vitest";
import type { StepMetrics } from "./metrics.js";
import { progress } from "./run-watcher.js";

describe("progress", () => {
  const now = Date.parse("2026-11-22T12:00:00Z");
  const at = (step: number, secondsAgo: number): StepMetrics => ({
    ...{ step, epoch: 0, loss: 1 / step, lr: 1e-5, gradNorm: 0.9, imagesPerSecond: 4, secondsPerStep: 2 },
    time: new Date(now - secondsAgo * 1000).toISOString(),
  });

  it("estimates the time left by the latest steps", () => {
    expect(progress(10, [at(1, 4), at(2, 2)], now)).toMatchObject({ status: "running", secondsLeft: 16 });
  });

  it("distinguishes a run that waits, is quiet, or is finished", () => {
    expect(progress(10, [], now).status).toBe("waiting");
    expect(progress(10, [at(1, 121)], now).status).toBe("quiet");
    expect(progress(10, [at(10, 9999)], now)).toMatchObject({ status: "finished", secondsLeft: undefined });
  });
});
