/** @file Training as functions: events, results, cancellation, and options that are refused by name. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cancelled, InvalidRequest } from "../../src/errors.js";
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
      'student: must be "koala-700m", "koala-1b" or the path of a config.json, got "koala-700". ' +
        'Did you mean "koala-700m"?',
    );
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
