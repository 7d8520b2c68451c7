/** @file Checking images in jobs: what an operator decides, what requests may choose, and what becomes of flagged images. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GoldenLayers } from "../../golden/conformance/layers.js";
import { readTexts } from "../../src/image/metadata/metadata.js";
import { failureOf } from "../../src/jobs/failure.js";
import { defaultLimits } from "../../src/jobs/limits.js";
import { openModelRegistry } from "../../src/jobs/model-registry.js";
import type { JobProcessor, ProcessorEvent } from "../../src/jobs/processor.js";
import { processorThread } from "../../src/jobs/processor-thread.js";
import { resolveRequest } from "../../src/jobs/resolve-request.js";
import type { GenerationRequest } from "../../src/jobs/schemas.js";
import { type ServedSafety, safetyLine } from "../../src/jobs/served-safety.js";
import { openaiProblem } from "../../src/server/openai/problem.js";
import { JobFailed, problemOf } from "../../src/server/problem.js";
import { checkedModel, flagsAll } from "../safety-models.js";
import { pipelines, tinyModel } from "../serving.js";

const layers = new GoldenLayers([path.dirname(pipelines)]);
const scratch = mkdtempSync(path.join(tmpdir(), "koala-safety-"));
const model = path.join(scratch, "sd2");
beforeAll(() => checkedModel(layers, model, flagsAll));
afterAll(async () => {
  rmSync(scratch, { recursive: true });
  await layers.close();
});

const infoOf = async (folder: string, safety: ServedSafety = {}) => {
  const [served] = (await openModelRegistry([folder], { safety })).values();
  return served!.info;
};

describe("what requests may choose", () => {
  it("is everything for a model that ships a checker, and no less than its operator's rule", async () => {
    expect((await infoOf(model)).safety).toEqual({ default: "blur", choices: ["off", "blur", "refuse"] });
    expect((await infoOf(model, { safety: "blur" })).safety).toEqual({
      ...{ default: "blur", choices: ["blur", "refuse"] },
    });
    const own = { safety: "blur", modelSafety: { sd2: "refuse" } } as const;
    expect((await infoOf(model, own)).safety).toEqual({ default: "refuse", choices: ["refuse"] });
    const off = await infoOf(model, { safety: "off" });
    expect(off.safety).toEqual({ default: "off", choices: ["off"] });
    expect(safetyLine(off)).toBe("sd2: images are not checked");
  });

  it("is nothing for a model that ships none, unless a checker is named", async () => {
    expect((await infoOf(tinyModel)).safety).toEqual({ default: "off", choices: ["off"] });
    await expect(infoOf(tinyModel, { safety: "blur" })).rejects.toThrow(
      'safety: must be off for "koala-1b-tiny", which ships no safety checker, got blur. Name one',
    );
    const named = await infoOf(tinyModel, { safety: "blur", safetyChecker: model });
    expect(named.safety).toEqual({ default: "blur", choices: ["blur", "refuse"] });
    await expect(infoOf(model, { modelSafety: { sd3: "blur" } })).rejects.toThrow('got "sd3"');
  });

  it("is refused by name where the operator allows no less", async () => {
    const models = await openModelRegistry([model], { safety: { safety: "blur" } });
    const resolved = (safety?: GenerationRequest["safety"]) =>
      resolveRequest({ prompt: "x", ...(safety && { safety }) }, models, defaultLimits);
    await expect(resolved("off")).rejects.toThrow("safety: must be blur or refuse on this server, got off.");
    expect((await resolved()).settings.safety).toBe("blur");
    expect((await resolved("refuse")).settings.safety).toBe("refuse");
  });
});

describe("a job of a model whose checker flags everything", () => {
  let processor: JobProcessor;
  let request: (change: Partial<GenerationRequest>) => ReturnType<typeof resolveRequest>;
  beforeAll(async () => {
    const models = await openModelRegistry([model]);
    processor = processorThread(models, { threads: 1 });
    const base = { prompt: "a red bicycle", width: 64, height: 64, steps: 1, seed: 7 };
    request = (change) => resolveRequest({ ...base, ...change }, models, defaultLimits);
  });
  afterAll(() => processor.close());

  const generate = async (change: Partial<GenerationRequest>) => {
    const { signal } = new AbortController();
    const [events] = processor.process([{ request: await request(change), signal }]);
    const seen: ProcessorEvent[] = [];
    for await (const event of events!) seen.push(event);
    return seen.flatMap((event) => (event.type === "image" ? [event.image] : []));
  };

  it("gives blurred images with a warning, which the file holds too", async () => {
    const [image] = await generate({});
    expect(image).toMatchObject({ flagged: true, warnings: [expect.stringContaining("flagged this image")] });
    expect((await readTexts(image!.bytes)).record).toContain('"flagged":true');
    const [unchecked] = await generate({ safety: "off" });
    expect(unchecked).not.toHaveProperty("flagged");
    expect(unchecked!.bytes).not.toEqual(image!.bytes);
  });

  it("fails where refusing was asked for, which OpenAI's clients read as a moderated image", async () => {
    const error: unknown = await generate({ safety: "refuse" }).catch((thrown: unknown) => thrown);
    const failure = failureOf(error);
    expect(failure).toMatchObject({ code: "flagged", field: "safety" });
    const problem = problemOf(new JobFailed(failure));
    expect(problem.status).toBe(422);
    expect(openaiProblem(problem)).toMatchObject({
      ...{ status: 400, body: { error: { code: "moderation_blocked" } } },
    });
  });
});
