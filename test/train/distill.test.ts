/** @file Training as functions: events, results, cancellation, and options that are refused by name. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cancelled, InvalidRequest } from "../../src/errors.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { type DistillOptions, distill, precomputeTeacher } from "../../src/train/distill.js";
import type { TrainingEvent } from "../../src/train/events.js";
import { finetune } from "../../src/train/finetune.js";
import { trainAutoencoder } from "../../src/train/train-autoencoder.js";
import { students } from "../distill-command.js";
import { makeTestImages } from "../test-images.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-distill-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string) => path.join(scratch, name);
const teacher = new URL("../../golden/data/pipelines/sdxl-tiny", import.meta.url).pathname;

const options = (output: string): DistillOptions => ({
  teacher,
  student: students.small,
  feature: "none",
  data: at("images"),
  output: at(output),
  cacheFolder: at("cache"),
  resolution: 32,
  trainBatchSize: 2,
  maxTrainSteps: 2,
  threads: 1,
});

beforeAll(() => makeTestImages(at("images"), 3));

describe("distill", () => {
  it("reports encoding, the beginning and every step, and ends after the last", async () => {
    const events: TrainingEvent[] = [];
    const result = await distill({ ...options("whole"), onEvent: (event) => events.push(event) });
    expect(result).toEqual({ step: 2, stopped: false });
    const types = events.map(({ type }) => type);
    expect(types.slice(types.indexOf("skipped"))).toEqual(["skipped", "begin", "step", "step"]);
    expect(types.filter((type) => type === "encoding").length).toBeGreaterThanOrEqual(3);
    expect(events.at(-1)).toMatchObject({ steps: 2, metrics: { step: 2, loss: expect.any(Number) } });
  });

  it("rejects with Cancelled where the signal fires before training, and resolves where it fires later", async () => {
    const before = distill({ ...options("cancelled"), signal: AbortSignal.abort() });
    await expect(before).rejects.toThrow(Cancelled);
    const controller = new AbortController();
    const onEvent = ({ type }: TrainingEvent) => void (type === "step" && controller.abort());
    const later = distill({ ...options("stopped"), signal: controller.signal, onEvent });
    expect(await later).toEqual({ step: 1, stopped: true });
    expect(await distill({ ...options("stopped"), resume: true })).toEqual({ step: 2, stopped: false });
  });

  it("trains from what precomputeTeacher has stored", async () => {
    const given = { ...options("stored"), teacherCache: at("taught") };
    const { link: _, ...networks } = given;
    expect(await precomputeTeacher(networks)).toEqual({ batches: 2, stopped: false });
    expect(await distill(given)).toEqual({ step: 2, stopped: false });
  });

  it("refuses a student that it does not know, with the nearest name", async () => {
    const unknown = distill({ ...options("unknown"), student: "koala-700" });
    await expect(unknown).rejects.toThrow(
      'student: must be "koala-700m", "koala-1b", "teacher" or the path of a config.json, got "koala-700". ' +
        'Did you mean "koala-700m"?',
    );
  });
});

describe("finetune", () => {
  const { teacher: model, student: _, feature: __, ...run } = options("");

  it("trains a U-Net by the task loss, and leaves the other components as they are", async () => {
    const output = at("tuned");
    const events: TrainingEvent[] = [];
    const result = await finetune({ ...run, model, output, onEvent: (event) => events.push(event) });
    expect(result).toEqual({ step: 2, stopped: false });
    const { metrics } = events.at(-1) as TrainingEvent & { type: "step" };
    expect(metrics.loss).toBe(metrics.task);
    const same = (name: string) =>
      readFileSync(path.join(output, name)).equals(readFileSync(path.join(model, name)));
    expect(same("text_encoder/model.safetensors")).toBe(true);
    expect(same("unet/diffusion_pytorch_model.safetensors")).toBe(false);
  });

  it("trains the text encoders too where that is said, and a U-Net of another shape from nothing", async () => {
    const output = at("both");
    const unet = JSON.parse(readFileSync(path.join(model, "unet/config.json"), "utf8"));
    const given = { ...run, model, unet, textEncoders: true, fromScratch: true, trainBatchSize: 1, output };
    expect(await finetune(given)).toEqual({ step: 2, stopped: false });
    const pipe = await DiffusionPipeline.fromPretrained(output, { threads: 1 });
    const { images } = await pipe.generate({
      prompt: "a cat",
      numInferenceSteps: 1,
      width: 32,
      height: 32,
      seed: 1,
    });
    expect(images).toHaveLength(1);
    await pipe.close();
    const trained = readFileSync(path.join(output, "text_encoder/model.safetensors"));
    expect(trained.equals(readFileSync(path.join(model, "text_encoder/model.safetensors")))).toBe(false);
  });
});

describe("trainAutoencoder", () => {
  const { teacher: _, student: __, feature: ___, cacheFolder: ____, ...run } = options("");
  const tiny = new URL("../../golden/data/pipelines/taesd-tiny", import.meta.url).pathname;

  it("lowers the error from step to step, and goes on from a folder's weights where it ended", async () => {
    const losses = async (autoencoder: string, output: string, steps: number, decoderOnly = false) => {
      const all: number[] = [];
      await trainAutoencoder({
        ...run,
        ...{
          autoencoder,
          decoderOnly,
          output: at(output),
          maxTrainSteps: steps,
          learningRate: 2e-3,
          seed: 1,
        },
        onEvent: (event) => void (event.type === "step" && all.push(event.metrics.loss)),
      });
      return all;
    };
    const begun = await losses(path.join(tiny, "config.json"), "begun", 30);
    expect(begun).toHaveLength(30);
    const continued = await losses(at("begun"), "continued", 1);
    expect(continued[0]).toBeLessThan(begun[0]! / 2);
    const decoder = await losses(at("begun"), "decoder", 1, true);
    expect(decoder[0]).toBeCloseTo(continued[0]!, 6);
  });
});

describe("a setting of another kind of training is refused by its name", () => {
  const { teacher: _, student: __, feature: ___, cacheFolder: ____, ...run } = options("refused");
  const refused = (name: string) =>
    expect.objectContaining({ field: name, message: expect.stringContaining("has no effect on this kind") });

  it.each([
    ["latentNoise in a distillation", "latentNoise", { latentNoise: 0.1 }, distill],
    ["feature in a fine-tuning", "feature", { feature: "sa", model: teacher }, finetune],
    [
      "captionDropout for an autoencoder",
      "captionDropout",
      { captionDropout: 0.1, autoencoder: "x.json" },
      trainAutoencoder,
    ],
  ])("%s", async (_, name, setting, train) => {
    const started = (train as (options: object) => Promise<unknown>)({ teacher, ...run, ...setting });
    await expect(started).rejects.toThrow(InvalidRequest);
    await expect(started).rejects.toEqual(refused(name));
  });
});
