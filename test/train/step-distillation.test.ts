/** @file Step distillation as a job: alone and with compression, resumed, from stored results, and what its model says. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readJson } from "../../src/files/file-system.js";
import type { StepMetrics } from "../../src/monitor/metrics.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { checkpointFolder } from "../../src/train/checkpoint.js";
import { type DistillOptions, distill, precomputeTeacher } from "../../src/train/distill.js";
import type { TrainingEvent } from "../../src/train/events.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import { students } from "../distill-command.js";
import { makeTestImages } from "../test-images.js";

vi.setConfig({ testTimeout: 180_000 }); // several runs in one test

const scratch = mkdtempSync(path.join(tmpdir(), "koala-steps-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string) => path.join(scratch, name);
const teacher = new URL("../../golden/data/pipelines/sdxl-tiny", import.meta.url).pathname;

const options = (output: string, more: Partial<DistillOptions>): DistillOptions => ({
  ...{ teacher, data: at("images"), output: at(output), cacheFolder: at("cache") },
  ...{ resolution: 32, trainBatchSize: 2, maxTrainSteps: 3, learningRate: 1e-3, threads: 1 },
  ...more,
});

/** Runs to the end, or stops after `stop` updates; the metrics of each. */
async function metricsOf(given: DistillOptions, stop = Number.POSITIVE_INFINITY): Promise<StepMetrics[]> {
  const controller = new AbortController();
  const rows: StepMetrics[] = [];
  const onEvent = (event: TrainingEvent) => {
    if (event.type !== "step") return;
    rows.push(event.metrics);
    if (event.metrics.step === stop) controller.abort();
  };
  await distill({ ...given, signal: controller.signal, onEvent });
  return rows;
}

const state = (output: string) =>
  readFileSync(path.join(checkpointFolder(at(output), 3), "state.safetensors"), "base64");

beforeAll(() => makeTestImages(at("images"), 3));

describe("consistency distillation", () => {
  const consistency = { timeCondProjDim: 8, emaDecay: 0.5 };
  const given = { consistency, student: students.small };

  it("goes on bit for bit with its target network, which follows the student", async () => {
    const [first] = await metricsOf(options("whole", given));
    expect(first).toMatchObject({ step: 1, loss: first!.solver });
    await metricsOf(options("stopped", given), 1);
    await metricsOf(options("stopped", { ...given, resume: true }));
    expect(state("stopped")).toBe(state("whole"));
    const file = await openSafetensors(path.join(checkpointFolder(at("whole"), 3), "state.safetensors"));
    const [weights, target] = [
      await file.readFloats("weights/conv_in.weight"),
      await file.readFloats("target/conv_in.weight"),
    ];
    const apart = Math.max(...weights.map((x, i) => Math.abs(x - target[i]!)));
    expect(apart).toBeGreaterThan(0);
    expect(apart).toBeLessThan(3e-3);
  });

  it("gives a model of LCM's scheduler, few steps and the guidance scale as an input", async () => {
    const index = await readJson(path.join(at("whole"), "model_index.json"));
    expect(index.scheduler).toEqual(["diffusers", "LCMScheduler"]);
    const pipe = await DiffusionPipeline.fromPretrained(at("whole"), { threads: 1 });
    expect(pipe.scheduler.className).toBe("LCMScheduler");
    const { images } = await pipe.generate({ prompt: "a cat", seed: 1, width: 32, height: 32 });
    expect(images[0]!.metadata).toMatchObject({ numInferenceSteps: 4, guidanceScale: 8 });
    await pipe.close();
    expect(await readJson(path.join(at("whole"), "koala.json"))).toEqual({ steps: 4, guidance: 8 });
    expect((await readJson(path.join(at("whole"), "unet", "config.json"))).time_cond_proj_dim).toBe(8);
  });

  it("is refused where the student has another input for w", async () => {
    const student = {
      ...(await readJson(path.join(teacher, "unet", "config.json"))),
      time_cond_proj_dim: 16,
    };
    const refused = distill(options("refused", { student, consistency }));
    await expect(refused).rejects.toThrow(
      "consistency.timeCondProjDim: must be the student's time_cond_proj_dim (16)",
    );
  });
});

describe("trajectory distillation with compression", () => {
  const given: Partial<DistillOptions> = {
    ...{ student: students.small, feature: "none", loss: { out: 0.5 } },
    trajectory: { steps: 2, guidanceScale: 3 },
  };

  it("has the same losses from the teacher's stored results as from the teacher", async () => {
    const alone = await metricsOf(options("alone", given));
    const stored = options("stored", { ...given, teacherCache: at("taught") });
    const { link: _, ...networks } = { ...stored, teacherCache: at("taught") };
    expect(await precomputeTeacher(networks)).toEqual({ batches: 3, stopped: false });
    const rows = await metricsOf(stored);
    expect(rows.map(({ loss, out, solver }) => [loss, out, solver])).toEqual(
      alone.map(({ loss, out, solver }) => [loss, out, solver]),
    );
    expect(alone[0]!.loss).toBeCloseTo(alone[0]!.solver! + 0.5 * alone[0]!.out!, 4);
    expect(alone[0]!.task).toBeUndefined();
  });

  it("gives a model that generates in as many steps, at the timesteps that it was trained at", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(at("alone"), { threads: 1 });
    await pipe.generate({ prompt: "a cat", seed: 1, width: 32, height: 32 });
    expect(pipe.scheduler.timesteps).toEqual([999, 499]);
    await pipe.close();
    expect(await readJson(path.join(at("alone"), "koala.json"))).toEqual({ steps: 2, guidance: 0 });
  });

  it("takes a step-distilled teacher, whose own guidance is none, to half as many steps", async () => {
    const [row] = await metricsOf(
      options("half", {
        teacher: at("alone"),
        cacheFolder: at("cache-2"),
        trajectory: { steps: 1 },
        maxTrainSteps: 1,
      }),
    );
    expect(row!.solver).toBeGreaterThan(0);
    expect(await readJson(path.join(at("half"), "koala.json"))).toEqual({ steps: 1, guidance: 0 });
  });
});

it("a compression may draw only the timesteps of a few steps, which its model then takes by default", async () => {
  const few = options("few", {
    student: students.small,
    feature: "none",
    samplingSteps: 2,
    maxTrainSteps: 1,
  });
  await metricsOf({ ...few, teacher: at("alone"), cacheFolder: at("cache-2") });
  expect(await readJson(path.join(at("few"), "koala.json"))).toEqual({ steps: 2, guidance: 0 });
});
