/** @file Processors, in this process and in a thread: batches, events, cancellation, errors. */

import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Engine, floats, type Values } from "../../src/engine/engine.js";
import type { EngineNotice } from "../../src/engine/notices.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { Cancelled, EngineError, InvalidRequest } from "../../src/errors.js";
import { decodeImage } from "../../src/image/codec.js";
import { readTexts } from "../../src/image/metadata/metadata.js";
import { defaultLimits } from "../../src/jobs/limits.js";
import { type ModelRegistry, openModelRegistry } from "../../src/jobs/model-registry.js";
import { openProcessor } from "../../src/jobs/pipeline-processor.js";
import type { BatchJob, JobProcessor, JobRequest, ProcessorEvent } from "../../src/jobs/processor.js";
import { processorThread } from "../../src/jobs/processor-thread.js";
import { resolvePartialRequest, resolveRequest } from "../../src/jobs/resolve-request.js";
import type { GenerationRequest } from "../../src/jobs/schemas.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { tinyModel as folder, goldenModel, pipelines, tinyLora } from "../serving.js";
import { withWords } from "../vocabulary-model.js";

const runs = new URL("../../golden/data/runs/koala-1b-tiny", import.meta.url).pathname;
let models: ModelRegistry;
beforeAll(async () => {
  models = await openModelRegistry([folder], { loras: [{ name: "bicycles", ...tinyLora }] });
});

const jobRequest = (change: Partial<GenerationRequest> = {}): Promise<JobRequest> =>
  resolveRequest(
    { prompt: "a red bicycle", steps: 2, guidanceScale: 3.5, seed: 7, ...change },
    models,
    defaultLimits,
  );

const job = (request: JobRequest, signal = new AbortController().signal): BatchJob => ({ request, signal });

async function collect(events: AsyncIterable<ProcessorEvent>): Promise<ProcessorEvent[]> {
  const seen: ProcessorEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** The events of each job of one batch. */
const generateBatch = (processor: JobProcessor, requests: readonly JobRequest[]) =>
  Promise.all(processor.process(requests.map((request) => job(request))).map(collect));

const generateOne = async (processor: JobProcessor, request: JobRequest) =>
  (await generateBatch(processor, [request]))[0]!;

/** The jobs, by index, whose events arrive, in the order of arrival. */
async function stepOrder(processor: JobProcessor, requests: readonly JobRequest[]): Promise<number[]> {
  const order: number[] = [];
  const streams = processor.process(requests.map((request) => job(request)));
  const follow = async (events: AsyncIterable<ProcessorEvent>, i: number) => {
    for await (const { type } of events) if (type === "step") order.push(i);
  };
  await Promise.all(streams.map(follow));
  return order;
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

  it("emits each step and the images last, as the pipeline alone generates them", async () => {
    const events = await generateOne(processor, await jobRequest({ count: 2 }));
    expect(events.map(({ type }) => type)).toEqual(["step", "step", "image", "image"]);
    expect(events[1]).toMatchObject({ step: 4, total: 4 });
    const pipe = await DiffusionPipeline.fromPretrained(folder, { threads: 1 });
    // Jobs are read in chunks unless they say otherwise, which the image records.
    const reading = { longPrompts: "chunks" } as const;
    const request = {
      prompt: "a red bicycle",
      numInferenceSteps: 2,
      guidanceScale: 3.5,
      seed: 8,
      ...reading,
    };
    const [alone] = (await pipe.generate({ ...request, width: 64, height: 64 })).images;
    expect(images(events).map(({ seed }) => seed)).toEqual(["7", "8"]);
    expect(Buffer.from(images(events)[1]!.bytes)).toEqual(Buffer.from(await alone!.encode()));
    await pipe.close();
  });

  it("generates a batch of jobs, each with its own prompt, seed and previews", async () => {
    const requests = [
      await jobRequest(),
      await jobRequest({ prompt: "a green boat", seed: 9, previews: true }),
    ];
    const together = await generateBatch(processor, requests);
    expect(together.map((events) => events.map(({ type }) => type))).toEqual([
      ["step", "step", "image"],
      ["step", "preview", "step", "preview", "image"],
    ]);
    for (const [i, request] of requests.entries())
      expect(images(together[i]!)).toEqual(images(await generateOne(processor, request)));
  });

  it("runs each step once for all jobs of a batch, in 12 batches of 8", async () => {
    const seeds = [...Array(8).keys()];
    const requests = await Promise.all(seeds.map((seed) => jobRequest({ seed })));
    for (let round = 0; round < 12; round++)
      expect(await stepOrder(processor, requests)).toEqual([...seeds, ...seeds]);
  });

  it("stops a cancelled job by the end of the running call and goes on with the others of its batch", async () => {
    const controller = new AbortController();
    const requests = [await jobRequest({ steps: 6 }), await jobRequest({ steps: 6, seed: 1 })];
    const streams = processor.process([job(requests[0]!, controller.signal), job(requests[1]!)]);
    const other = collect(streams[1]!);
    const seen: string[] = [];
    const cancelled = async () => {
      for await (const { type } of streams[0]!) {
        seen.push(type);
        controller.abort();
      }
    };
    await expect(cancelled()).rejects.toThrow(Cancelled);
    expect(seen.length).toBeLessThanOrEqual(2);
    expect(images(await other)).toHaveLength(1);
  });

  it("gives with the image what of a prompt was cut off", async () => {
    const long = await jobRequest({ prompt: "red ".repeat(200), longPrompts: "cut" });
    const [image] = images(await generateOne(processor, long));
    expect(image!.warnings!.join()).toMatch(/^prompt: only \d+ tokens reach the model/);
    const [short] = images(await generateOne(processor, await jobRequest()));
    expect(short).not.toHaveProperty("warnings");
  });

  it("adds the LoRAs of each job, as Diffusers does", async () => {
    const lora = { ...tinyLora, file: `${pipelines}/lora/koala-1b-tiny-diffusers.safetensors` };
    const golden = await openModelRegistry([goldenModel], {
      loras: [{ name: "bicycles", ...lora }],
    });
    const processor = open(golden, { threads: 1 });
    const request = {
      prompt: "a red bicycle beside a yellow wall, long blue shadows",
      negativePrompt: "worst quality, low quality, illustration, low resolution",
      ...{ width: 104, height: 72, steps: 3, guidanceScale: 3.5, seed: 42 },
      scheduler: {
        ...{ name: "Euler SGM Uniform", className: "EulerDiscreteScheduler" },
        overrides: { timestep_spacing: "trailing" },
      },
    };
    const generated = [1, 0.5].map(async (scale) => {
      const withLora = { ...request, lora: [{ name: "bicycles", scale }] };
      const resolved = resolvePartialRequest(withLora, golden, defaultLimits);
      const [image] = images(await generateOne(processor, resolved));
      const { image: file } = await decodeImage(image!.bytes);
      const name = `lora-diffusers-${scale.toFixed(1)}.png`;
      const right = (await decodeImage(path.join(runs, name))).image;
      expect(file.data).toHaveLength(right.data.length);
      const apart = [...file.data].map((value, i) => Math.abs(value - right.data[i]!));
      expect(Math.max(...apart)).toBeLessThanOrEqual(1);
      expect(apart.filter((level) => level > 0).length).toBeLessThan(apart.length / 100);
      const { record } = await readTexts(image!.bytes);
      expect(JSON.parse(record!).model.loras).toEqual([
        { name: path.basename(lora.file), sha256: expect.stringMatching(/^sha256:/), scale },
      ]);
    });
    await Promise.all(generated);
    await processor.close();
  });

  it("throws the pipeline's errors under their own class", async () => {
    const request = await jobRequest();
    const broken = { ...request, scheduler: { className: "NoScheduler", overrides: {} } };
    const failed = generateOne(processor, broken);
    await expect(failed).rejects.toThrow(/^className: must be one of .*, got "NoScheduler"/);
    await expect(failed).rejects.toBeInstanceOf(InvalidRequest);
    expect(images(await generateOne(processor, request))).toHaveLength(1);
  });
});

describe("a batch", () => {
  it("of 8 jobs calls the U-Net once a step", async () => {
    const { engine, calls } = countingEngine();
    const processor = openProcessor(models, { engine });
    const seeds = [...Array(8).keys()];
    const requests = await Promise.all(seeds.map((seed) => jobRequest({ seed, steps: 3 })));
    const generated = await generateBatch(processor, requests);
    expect(generated.map((events) => images(events)[0]!.seed)).toEqual(seeds.map(String));
    expect(calls.get("unet")).toBe(3);
    await processor.close();
  });

  it("of a job with more images than are generated at once calls it for each part", async () => {
    const { engine, calls } = countingEngine();
    const processor = openProcessor(models, { engine });
    // 2^18 pixels at once: 3 of 256 x 320.
    const request = await jobRequest({ width: 256, height: 320, steps: 1, count: 5 });
    expect(images(await generateOne(processor, request))).toHaveLength(5);
    expect(calls.get("unet")).toBe(2);
    await processor.close();
  });
});

/** What a simulated device does to the results of a network, or throws. */
type Fault = (network: string, results: Record<string, Values>) => Record<string, Values>;

/** Counts the runs of each network, and lists those that are loaded, each with a notice. */
function countingEngine(fault: Fault = (_, results) => results) {
  const inner = blockingEngine({ threads: 1 });
  const calls = new Map<string, number>();
  const loaded: string[] = [];
  const engine: Engine = {
    device: inner.device,
    load: async (program, { onNotice = () => {} } = {}) => {
      const session = await inner.load(program);
      loaded.push(program.name);
      onNotice({ type: "compiling", program: program.name, device: "webgpu" });
      const run: typeof session.run = async (inputs) => {
        calls.set(program.name, (calls.get(program.name) ?? 0) + 1);
        return fault(program.name, await session.run(inputs));
      };
      return { run, release: () => session.release() };
    },
    close: () => inner.close(),
  };
  return { engine, calls, loaded };
}

describe("a job that fails in the engine", () => {
  const notANumber: Fault = (_, results) =>
    Object.fromEntries(
      Object.entries(results).map(([name, { data, shape }]) => [
        name,
        floats(new Float32Array(data.length).fill(Number.NaN), ...shape),
      ]),
    );
  const lost: Fault = () => {
    throw new EngineError("unet", new Error("webgpu was lost"));
  };

  it("leaves the models loaded if its numbers are not finite, and has them loaded anew for all other causes", async () => {
    let fault: Fault | undefined;
    const { engine, loaded } = countingEngine((network, results) =>
      fault && network === "unet" ? fault(network, results) : results,
    );
    const notices: EngineNotice[] = [];
    const processor = openProcessor(models, { engine, onNotice: (notice) => notices.push(notice) });
    const request = await jobRequest({ steps: 1 });
    const right = images(await generateOne(processor, request));
    const networks = [...loaded];
    for (const [broken, message, anew] of [
      [notANumber, /^unet: its prediction of step 1 .*NaN/, []],
      [lost, /^unet: webgpu was lost/, networks],
    ] as const) {
      fault = broken;
      await expect(generateOne(processor, request)).rejects.toThrow(message);
      fault = undefined;
      loaded.length = 0;
      expect(images(await generateOne(processor, request))).toEqual(right);
      expect(loaded).toEqual(anew);
    }
    // Of the first loading and of the second.
    expect(notices.map(({ program }) => program)).toEqual([...networks, ...networks]);
    await processor.close();
  });
});

describe("a processor's thread", () => {
  it("that ended is started again for the next batch", async () => {
    const processor = processorThread(models, { threads: 1 });
    for (let i = 0; i < 2; i++) {
      expect(images(await generateOne(processor, await jobRequest()))).toHaveLength(1);
      await processor.close();
    }
  });

  it("warns of the words of each prompt that a model of few words does not know", async () => {
    const model = await withWords(["bicycle"]);
    const worded = await openModelRegistry([model.folder]);
    const processor = processorThread(worded, { threads: 1 });
    const prompts = ["a bicycle", "a zeppelin", "a bicicle"];
    const requests = prompts.map((prompt) =>
      resolveRequest({ prompt, steps: 1, seed: 7 }, worded, defaultLimits),
    );
    const generated = await generateBatch(processor, await Promise.all(requests));
    expect(generated.map((events) => images(events)[0]!.warnings?.join())).toEqual([
      undefined,
      expect.stringMatching(/^"zeppelin" is not a word this model knows\. `koala words`/),
      expect.stringMatching(/^"bicicle" is not a word this model knows\. Near it: "bicycle"/),
    ]);
    await processor.close();
    await model.remove();
  });
});
