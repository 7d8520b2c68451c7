/** @file Distillation as a job: what a teacher may do to its student, and what a student may not do to its teacher. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { floatsOf, type Values } from "../../src/engine/engine.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { readJson } from "../../src/files/file-system.js";
import type { JsonObject } from "../../src/files/json.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { componentProgram } from "../../src/pipeline/component.js";
import { type Components, loadComponents } from "../../src/pipeline/components.js";
import { noisyBatch } from "../../src/train/batches.js";
import { buildCache } from "../../src/train/cache/build.js";
import { type LatentCache, openCache } from "../../src/train/cache/cache.js";
import { openData } from "../../src/train/data/source.js";
import type { DistillationSetup } from "../../src/train/distillation-batch.js";
import { distillationTask } from "../../src/train/distillation-task.js";
import { unetWeights } from "../../src/train/initialisation.js";
import { trainingNoise } from "../../src/train/noise.js";
import { type TrainingRequest, trainingOptions } from "../../src/train/options.js";
import { checkBatches } from "../../src/train/run-options.js";
import { teacherTrace } from "../../src/train/step.js";
import { studentConfig } from "../../src/train/student.js";
import type { BatchLoss, TrainingTask } from "../../src/train/trainer.js";
import { readFloats } from "../../src/weights/component.js";
import { makeTestImages } from "../test-images.js";

const engine = blockingEngine({ threads: 1 });
const scratch = mkdtempSync(path.join(tmpdir(), "koala-distill-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const golden = new URL("../../golden/data/pipelines/sdxl-tiny", import.meta.url).pathname;

const teacherConfig = await readJson(path.join(golden, "unet", "config.json"));
let components: Components;
let cache: LatentCache;
beforeAll(async () => {
  components = await loadComponents(golden, { engine });
  const dataPath = path.join(scratch, "images");
  await makeTestImages(dataPath, 6);
  const folder = path.join(scratch, "cache");
  await buildCache({ data: await openData(dataPath), dataPath, components, folder, resolution: 64 });
  cache = await openCache(folder);
}, 60_000);

const at = { position: { epoch: 0, batch: 0 }, batch: 0 };

function setup(
  student: JsonObject,
  request: TrainingRequest,
  config: JsonObject = teacherConfig,
): DistillationSetup {
  const options = trainingOptions({ trainBatchSize: 2, ...request });
  const { weights, file } = components.unet.component;
  const { predictionType } = options;
  return {
    engine,
    options,
    teacher: { config, weights, file },
    student,
    schedule: trainingNoise(
      components.scheduler.config as never,
      predictionType ? { target: predictionType } : {},
    ),
    cache,
  };
}

const taskOf = (setup: DistillationSetup): TrainingTask =>
  distillationTask(setup, { description: { command: "distill" }, save: async () => {} });

async function weightsOf(job: TrainingTask): Promise<Float32Array> {
  const weights = new Float32Array(job.layout.total);
  await job.initialise(weights);
  return weights;
}

const gradientOf = async (
  job: TrainingTask,
  weights: Float32Array,
): Promise<BatchLoss & { gradient: Float32Array }> => {
  const gradient = new Float32Array(weights.length).fill(Number.NaN);
  return { ...(await job.gradient(at, weights, gradient)), gradient };
};

describe("A student equal to its teacher", () => {
  /** The teacher's first block of each transformer: its weights' names are a part of the teacher's. */
  const shallow = { ...teacherConfig, transformer_layers_per_block: 1 };

  it.each(["epsilon", "v_prediction"] as const)(
    "has no output and no feature loss, and the teacher's task loss (%s)",
    async (predictionType) => {
      const given = setup(shallow, { predictionType }, shallow);
      const job = taskOf(given);
      const { terms } = await gradientOf(job, await weightsOf(job));
      expect(terms.out).toBeLessThan(1e-11);
      expect(terms.feat).toBeLessThan(1e-11);

      const { inputs } = await noisyBatch(cache, given.schedule, given.options, at);
      const { target, ...rest } = inputs;
      const { weights, file } = given.teacher;
      const program = componentProgram(
        "teacher",
        file,
        weights,
        teacherTrace(unetConfig(shallow), []),
        engine,
      );
      const session = await engine.load(program);
      const output = floatsOf((await session.run(rest as Record<string, Values>)).teacher_out);
      const wanted = floatsOf(target);
      const task = output.reduce((sum, x, i) => sum + (x - wanted[i]!) ** 2, 0) / output.length;
      expect(Math.abs(terms.task! / task - 1)).toBeLessThan(1e-5);
      expect(Math.abs(terms.total! / task - 1)).toBeLessThan(1e-5);
      await session.release();
    },
  );
});

describe("The gradient of a 700M-shaped student", () => {
  const student = () => studentConfig(teacherConfig, "koala-700m");
  /** One for these tests, which compiles its programs once; that it repeats itself is one of them. */
  let job: TrainingTask;
  let weights: Float32Array;
  beforeAll(async () => {
    job = taskOf(setup(student(), {}));
    weights = await weightsOf(job);
  });

  it("has exactly the student's tensors, each of them filled and none of them idle", async () => {
    const shapes = unetWeights(unetConfig(student()));
    expect([...job.layout.slices].map(([name, { shape }]) => [name, shape])).toEqual([...shapes]);
    const { gradient, images, next } = await gradientOf(job, weights);
    expect(gradient.every(Number.isFinite)).toBe(true);
    for (const name of shapes.keys())
      expect(
        job.layout.view(gradient, name).some((x) => x !== 0),
        name,
      ).toBe(true);
    expect({ images, next }).toEqual({ images: 2, next: { epoch: 0, batch: 1 } });
  });

  it("is that of the losses with the teacher held still", async () => {
    const direction = new Generator(3).normal(weights.length);
    // Each tensor is moved by its own size, so that no layer's curvature drowns the others.
    for (const name of job.layout.slices.keys()) {
      const [w, d] = [job.layout.view(weights, name), job.layout.view(direction, name)];
      const size = Math.hypot(...w) / Math.hypot(...d);
      d.set(d.map((x) => x * size));
    }
    const { gradient } = await gradientOf(job, weights);
    const slope = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
    const along = async (by: number) =>
      (
        await gradientOf(
          job,
          weights.map((w, i) => w + by * direction[i]!),
        )
      ).terms.total!;
    const [h, loss] = [1e-4, along];
    const central = (await loss(h)) - (await loss(-h));
    expect(Math.abs(central / (2 * h) / slope - 1)).toBeLessThan(0.02);
  });

  it("leaves the teacher's weights and the student's as they were", async () => {
    const before = weights.slice();
    const name = "mid_block.resnets.0.conv1.weight";
    const stored = components.unet.component.weights;
    const teacher = (await readFloats(stored, name)).slice();
    const first = await gradientOf(job, weights);
    const second = await gradientOf(job, weights);
    expect(Buffer.compare(Buffer.from(weights.buffer), Buffer.from(before.buffer))).toBe(0);
    expect(await readFloats(stored, name)).toEqual(teacher);
    // A teacher with dropout, or one that was trained along, would not repeat itself.
    expect(second.terms).toEqual(first.terms);
    expect(Buffer.compare(Buffer.from(second.gradient.buffer), Buffer.from(first.gradient.buffer))).toBe(0);
  });

  it("asks for no teacher where only the task is learnt", async () => {
    const given = setup(student(), { loss: { task: 1, out: 0, feat: 0 } });
    const absent = { ...given, teacher: { ...given.teacher, weights: undefined as never } };
    const { terms } = await gradientOf(taskOf(absent), weights);
    expect(Object.keys(terms).sort()).toEqual(["task", "total"]);
    expect(terms.total).toBe(terms.task);
  });

  it("with gradient checkpointing is the same within rounding", async () => {
    const checkpointed = taskOf(setup(student(), { gradientCheckpointing: true }));
    const [a, b] = [await gradientOf(job, weights), await gradientOf(checkpointed, weights)];
    for (const [name, value] of Object.entries(a.terms))
      expect(Math.abs(b.terms[name]! / value - 1), name).toBeLessThan(1e-5);
    const length = (x: Float32Array) => Math.sqrt(x.reduce((sum, g) => sum + g * g, 0));
    expect(length(a.gradient.map((g, i) => g - b.gradient[i]!)) / length(a.gradient)).toBeLessThan(1e-5);
  });
});

describe("A batch size", () => {
  it("that no bucket can fill is refused with what there is", () => {
    expect(() => checkBatches(cache, 7)).toThrow(
      /^trainBatchSize: must be at most the images of a bucket \("64x64: 6"\), got 7\. Take a smaller batch/,
    );
  });

  it("that one bucket can fill is accepted", () => checkBatches(cache, 6));
});
