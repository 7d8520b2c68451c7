/** @file Plans, against published parameter counts, closed forms, and each other. No weights. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { planTable } from "../../src/cli/distillation-plan.js";
import type { JsonObject } from "../../src/files/json.js";
import { knownUnets } from "../../src/models/known.js";
import {
  type DistillationPlan,
  type DistillationPlanRequest,
  distillationPlan,
  ways,
} from "../../src/train/plan.js";

const teacher = JSON.parse(
  readFileSync(new URL("../../golden/data/distil/teacher/config.json", import.meta.url), "utf8"),
) as JsonObject;
const tiny = (request: Partial<DistillationPlanRequest> = {}): DistillationPlan =>
  distillationPlan({ teacher, student: "koala-700m", resolutions: [64, 128], ...request });

describe("a plan of SDXL and KOALA-700M", () => {
  const small = { resolutions: [128], student: "koala-700m" } as const;
  const plan = distillationPlan({ teacher: knownUnets.SDXL as unknown as JsonObject, ...small });
  const [row] = plan.rows as [DistillationPlan["rows"][number]];

  it("has the published numbers of parameters", () => {
    expect(row.teacher.parameters).toBe(2_567_463_684);
    expect(row.student.parameters).toBe(782_822_724);
  });

  it("holds weights, gradients and two moments in float32", () => {
    const { studentWeights, gradients, moments, average } = row.bytes;
    expect(studentWeights + gradients + moments).toBe(16 * 782_822_724);
    expect(average).toBe(0);
  });

  it("trains in two phases where one phase does not fit", () => {
    expect(row.totals["two phases: teacher"]).toBeLessThan(24e9);
    expect(row.totals["two phases: student"]).toBeLessThan(24e9);
    expect(row.totals["one phase"]).toBeGreaterThan(24e9);
  });
}, 60_000);

describe("a plan", () => {
  const { rows } = tiny({ memory: 2e9 });
  const [low, high] = rows as [DistillationPlan["rows"][number], DistillationPlan["rows"][number]];

  it("takes more work and memory at twice the resolution, and the same weights", () => {
    expect(high.student.gmac / low.student.gmac).toBeGreaterThan(3);
    expect(high.bytes.activations).toBeGreaterThan(2 * low.bytes.activations);
    expect(high.bytes.studentWeights).toBe(low.bytes.studentWeights);
  });

  it("counts a step as three forward passes at most: of each product, one for each factor's gradient", () => {
    const same = tiny({ student: teacher, feature: "none", resolutions: [64] }).rows[0]!;
    expect(same.student.gmac / same.teacher.gmac).toBeGreaterThan(2);
    expect(same.student.gmac / same.teacher.gmac).toBeLessThanOrEqual(3);
  });

  it("has smaller activations with gradient checkpointing", () => {
    for (const { bytes } of rows) expect(bytes.checkpointed).toBeLessThan(bytes.activations);
  });

  it("adds a moving average as one more copy of the weights", () => {
    const [without, with_] = [low, tiny({ ema: true, resolutions: [64] }).rows[0]!];
    expect(with_.bytes.average).toBe(without.bytes.studentWeights);
    expect(with_.totals["one phase"] - without.totals["one phase"]).toBe(without.bytes.studentWeights);
  });

  it("names as largest a batch that takes about the memory there is", () => {
    const at = (request: Partial<DistillationPlanRequest>) =>
      tiny({ resolutions: [64], ...request }).rows[0]!;
    const memory = 1.001 * at({ batch: 4 }).totals["two phases: student"];
    // A line through two batches: a graph that is computed otherwise at another size bends it a little.
    expect([3, 4, 5]).toContain(at({ memory }).largestBatch!["two phases: student"]);
  });

  it("says that nothing fits by 0", () => {
    const [row] = tiny({ memory: 1e6, resolutions: [64] }).rows;
    expect(ways.map((way) => row!.largestBatch![way])).toEqual(ways.map(() => 0));
  });

  it("counts the operations of the device that is named", () => {
    const on = (device: string) => tiny({ device, resolutions: [64] }).rows[0]!;
    // WebGPU has attention and linear layers in other operators, and no tables of pixels.
    expect(on("webgpu").student.nodes).not.toBe(on("cpu").student.nodes);
    expect(on("webgpu").bytes.constants).toBeLessThan(on("cpu").bytes.constants);
    expect(on("webgpu").student.parameters).toBe(on("cpu").student.parameters);
    expect(() => tiny({ device: "auto" })).toThrow(/^device: must be named for a plan/);
  });

  it("prints a column for each resolution and a line for each way", () => {
    const text = planTable({ device: "cpu", memory: 2e9, rows });
    expect(text).toContain("64 px, batch 1");
    expect(text).toContain("128 px, batch 1");
    for (const way of ways) expect(text).toContain(way);
    expect(text).toContain("largest batch in 2.00 GB");
  });
});

describe("a plan of a step distillation", () => {
  const small = { resolutions: [64], student: "koala-700m", feature: "none" } as const;
  const rowOf = (request: Partial<DistillationPlanRequest>) => tiny({ ...small, ...request }).rows[0]!;
  const plain = rowOf({ loss: { feat: 0 } });
  const consistency = rowOf({ consistency: {}, batches: 100 });

  it("counts the passes of the teacher and of the target network", () => {
    expect(plain.work).toMatchObject({ teacherPasses: 1, targetPasses: 0 });
    expect(consistency.work).toMatchObject({ teacherPasses: 2, targetPasses: 1, batches: 100 });
    const stage = (more: object) => rowOf({ trajectory: { steps: 4, ...more } }).work;
    expect(stage({ guidanceScale: 7.5 })).toMatchObject({ teacherPasses: 4, targetPasses: 0 });
    expect(stage({ guidanceScale: 1, teacherSteps: 3 })).toMatchObject({ teacherPasses: 3 });
    const { teacher: one, student, work } = consistency;
    const target = work.gmac - 2 * one.gmac - student.gmac;
    expect(student.gmac / target).toBeGreaterThan(2);
    expect(student.gmac / target).toBeLessThanOrEqual(3);
    expect(work.runGmac).toBeCloseTo(100 * work.gmac, 9);
  });

  it("holds the target network's weights, but where the target is the student itself", () => {
    expect(consistency.bytes.targetWeights).toBe(consistency.bytes.studentWeights);
    expect(rowOf({ consistency: { emaDecay: 0 } }).bytes.targetWeights).toBe(0);
    expect(plain.bytes.targetWeights + plain.bytes.targetActivations).toBe(0);
    expect(consistency.totals["two phases: student"]).toBeGreaterThan(plain.totals["two phases: student"]);
  });

  it("has the teacher's own network as its student, unless another is named", () => {
    const { teacher: theirs, student } = distillationPlan({ teacher, consistency: {}, resolutions: [64] })
      .rows[0]!;
    expect(student.parameters).toBe(theirs.parameters);
  });
});

describe("a plan of a LoRA", () => {
  const small = { resolutions: [64], loss: { out: 0, feat: 0 }, student: "teacher" } as const;
  const lora = { rank: 4, targets: ["to_q", "conv1"] };
  const whole = tiny(small).rows[0]!;
  const beside = tiny({ ...small, lora }).rows[0]!;

  it("trains few weights, beside the network's, which programs that take turns share", () => {
    const { studentWeights, moments, frozenWeights, frozenCheckpointed } = beside.bytes;
    expect([studentWeights, moments]).toEqual([4, 8].map((bytes) => bytes * beside.student.trained));
    expect(beside.student.trained).toBeLessThan(0.2 * beside.student.parameters);
    expect(whole.student.trained).toBe(whole.student.parameters);
    expect(whole.bytes.frozenWeights).toBe(0);
    // At least as they are; kernels in Winograd's form take more.
    expect(frozenWeights).toBeGreaterThan(4 * beside.student.parameters * 0.99);
    expect(frozenCheckpointed).toBe(4 * beside.student.parameters);
  });

  it("takes less work than a step of all weights, and less memory in all", () => {
    expect(beside.student.gmac).toBeLessThan(whole.student.gmac);
    expect(beside.totals["two phases: student"]).toBeLessThan(whole.totals["two phases: student"]);
  });

  it("counts the weights that a target network holds for itself, if not under gradient checkpointing", () => {
    const { frozenWeights, frozenCheckpointed } = tiny({ ...small, lora, loss: {}, consistency: {} }).rows[0]!
      .bytes;
    expect(frozenWeights - beside.bytes.frozenWeights).toBeGreaterThan(4 * beside.student.parameters * 0.99);
    expect(frozenCheckpointed).toBe(beside.bytes.frozenCheckpointed);
  });
});
