/** @file What a processor promises to queues, in this process and in a thread of its own alike. */

import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyModel as folder, tinyLora } from "../../test/serving.js";
import { withWords } from "../../test/vocabulary-model.js";
import { Cancelled, InvalidRequest } from "../errors.js";
import { decodeImage } from "../image/codec.js";
import { readTexts } from "../image/metadata/metadata.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { defaultLimits } from "./limits.js";
import { type ModelRegistry, openModelRegistry } from "./model-registry.js";
import { openProcessor } from "./pipeline-processor.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";
import { processorThread } from "./processor-thread.js";
import { resolvePartialRequest, resolveRequest } from "./resolve-request.js";
import type { GenerationRequest } from "./schemas.js";

const runs = new URL("../../golden/data/runs/koala-1b-tiny", import.meta.url).pathname;
const never = new AbortController().signal;
let models: ModelRegistry;
beforeAll(async () => {
  models = await openModelRegistry([folder], [{ name: "bicycles", ...tinyLora }]);
});

const order = (change: Partial<GenerationRequest> = {}): Promise<JobRequest> =>
  resolveRequest(
    { prompt: "a red bicycle", steps: 2, guidanceScale: 3.5, seed: 7, ...change },
    models,
    defaultLimits,
  );

async function all(events: AsyncIterable<ProcessorEvent>): Promise<ProcessorEvent[]> {
  const seen: ProcessorEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

const images = (events: readonly ProcessorEvent[]) =>
  events.flatMap((event) => (event.type === "image" ? [event.image] : []));

describe.each([
  ["in this process", openProcessor],
  ["in a thread", processorThread],
])("a processor %s", (_, open) => {
  let processor: JobProcessor;
  beforeAll(() => {
    processor = open(models, { threads: 1 });
  });
  afterAll(() => processor.close());

  it("tells each step and gives the images last, as the pipeline alone generates them", async () => {
    const events = await all(processor.process(await order({ count: 2 }), never));
    expect(events.map(({ type }) => type)).toEqual(["step", "step", "image", "image"]);
    expect(events[1]).toMatchObject({ step: 4, total: 4 });
    const pipe = await DiffusionPipeline.fromPretrained(folder, { threads: 1 });
    const request = { prompt: "a red bicycle", numInferenceSteps: 2, guidanceScale: 3.5, seed: 8 };
    const [alone] = (await pipe.generate({ ...request, width: 64, height: 64 })).images;
    expect(images(events).map(({ seed }) => seed)).toEqual(["7", "8"]);
    expect(Buffer.from(images(events)[1]!.bytes)).toEqual(Buffer.from(await alone!.encode()));
    await pipe.close();
  });

  it("generates orders of one shape together, each with its own prompt, seed and previews", async () => {
    const [one, two] = [await order(), await order({ prompt: "a green boat", seed: 9, previews: true })];
    const together = await Promise.all([
      all(processor.process(one, never)),
      all(processor.process(two, never)),
    ]);
    expect(together.map((events) => events.map(({ type }) => type))).toEqual([
      ["step", "step", "image"],
      ["step", "preview", "step", "preview", "image"],
    ]);
    for (const [i, each] of [one, two].entries()) {
      const alone = images(await all(processor.process(each, never)));
      expect(images(together[i]!)).toEqual(alone);
    }
  });

  it("stops a cancelled order by the end of the running call and goes on with the others of its batch", async () => {
    const controller = new AbortController();
    const other = order({ steps: 6, seed: 1 }).then((o) => all(processor.process(o, never)));
    const seen: string[] = [];
    const cancelled = async () => {
      for await (const { type } of processor.process(await order({ steps: 6 }), controller.signal)) {
        seen.push(type);
        controller.abort();
      }
    };
    await expect(cancelled()).rejects.toThrow(Cancelled);
    expect(seen.length).toBeLessThanOrEqual(2);
    expect(images(await other)).toHaveLength(1);
  });

  it("tells with the image what of a prompt was cut off", async () => {
    const [image] = images(await all(processor.process(await order({ prompt: "red ".repeat(200) }), never)));
    expect(image!.warnings!.join()).toMatch(/^prompt: only \d+ tokens reach the model/);
    const [short] = images(await all(processor.process(await order(), never)));
    expect(short).not.toHaveProperty("warnings");
  });

  it("adds to each order the LoRAs that it asks for, as Diffusers does", async () => {
    const request = {
      prompt: "a red bicycle beside a yellow wall, long blue shadows",
      negativePrompt: "worst quality, low quality, illustration, low resolution",
      ...{ width: 104, height: 72, steps: 3, guidanceScale: 3.5, seed: 42 },
      scheduler: {
        ...{ name: "Euler SGM Uniform", className: "EulerDiscreteScheduler" },
        overrides: { timestep_spacing: "trailing" },
      },
    };
    // Handed in together: orders of one shape share a batch, but for their LoRAs.
    const together = [1, 0.5].map(async (scale) => {
      const wanted = { ...request, lora: [{ name: "bicycles", scale }] };
      const [image] = images(
        await all(processor.process(resolvePartialRequest(wanted, models, defaultLimits), never)),
      );
      const { image: file } = await decodeImage(image!.bytes);
      const name = `lora-diffusers-${scale.toFixed(1)}.png`;
      const right = (await decodeImage(path.join(runs, name))).image;
      expect(file.data).toHaveLength(right.data.length);
      const apart = [...file.data].map((value, i) => Math.abs(value - right.data[i]!));
      expect(Math.max(...apart)).toBeLessThanOrEqual(1);
      expect(apart.filter((level) => level > 0).length).toBeLessThan(apart.length / 100);
      const { record } = await readTexts(image!.bytes);
      expect(JSON.parse(record!).model.loras).toEqual([
        { name: path.basename(tinyLora.file), sha256: expect.stringMatching(/^sha256:/), scale },
      ]);
    });
    await Promise.all(together);
  });

  it("throws the pipeline's errors under their own class", async () => {
    const wrong = await order();
    const broken = { ...wrong, scheduler: { className: "NoScheduler", overrides: {} } };
    const failed = all(processor.process(broken, never));
    await expect(failed).rejects.toThrow(/^className: "NoScheduler" is not one of/);
    await expect(failed).rejects.toBeInstanceOf(InvalidRequest);
    expect(images(await all(processor.process(wrong, never)))).toHaveLength(1);
  });
});

it("a processor's thread that ended is started again for the next order", async () => {
  const processor = processorThread(models, { threads: 1 });
  for (let i = 0; i < 2; i++) {
    expect(images(await all(processor.process(await order(), never)))).toHaveLength(1);
    await processor.close();
  }
});

it("a model of few words tells each image which of its own prompt's are not known", async () => {
  const model = await withWords(["bicycle"]);
  const worded = await openModelRegistry([model.folder]);
  const processor = processorThread(worded, { threads: 1 });
  const prompts = ["a bicycle", "a zeppelin", "a bicicle"];
  const warnings = prompts.map(async (prompt) => {
    const wanted = await resolveRequest({ prompt, steps: 1, seed: 7 }, worded, defaultLimits);
    return images(await all(processor.process(wanted, never)))[0]!.warnings?.join();
  });
  expect(await Promise.all(warnings)).toEqual([
    undefined,
    expect.stringMatching(/^"zeppelin" is not a word this model knows\. `koala words`/),
    expect.stringMatching(/^"bicicle" is not a word this model knows\. Near it: "bicycle"/),
  ]);
  await processor.close();
  await model.remove();
});
