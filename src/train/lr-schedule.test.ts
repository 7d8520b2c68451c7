/** @file Learning rates against golden/data/distil/lr.json. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type LrSchedule, learningRate } from "./lr-schedule.js";

type Row = {
  name: LrSchedule;
  base: number;
  num_warmup_steps?: number;
  num_training_steps?: number;
  num_cycles?: number;
  used_at_step: number[];
};
const file = new URL("../../golden/data/distil/lr.json", import.meta.url);
const { schedules } = JSON.parse(readFileSync(file, "utf8")) as { schedules: Row[] };

describe("every update's rate equals Diffusers'", () => {
  it.each(
    schedules.map(
      (row) => [`${row.name}, warm-up ${row.num_warmup_steps}, ${row.num_training_steps}`, row] as const,
    ),
  )("%s", (_, row) => {
    const options = {
      schedule: row.name,
      learningRate: row.base,
      ...(row.num_warmup_steps !== undefined && { warmupSteps: row.num_warmup_steps }),
      ...(row.num_training_steps !== undefined && { totalSteps: row.num_training_steps }),
      ...(row.num_cycles !== undefined && { cycles: row.num_cycles }),
    };
    for (const [i, rate] of row.used_at_step.entries()) {
      expect(Math.abs(learningRate(i, options) - rate)).toBeLessThan(1e-15);
    }
  });
});
