/**
 * @file What a process of its own measures for `bench/card.ts`: the memory plan of a model, one part of it (text
 * encoders, one call of the U-Net, decoding) or whole images through the pipeline.
 */

import { floats, longs, type Values } from "../../src/engine/engine.js";
import { deviceMemory } from "../../src/engine/memory/device-memory.js";
import { pooledWidth, textWidth } from "../../src/models/unet-config.js";
import type { ComponentSession } from "../../src/pipeline/component.js";
import { type Components, loadComponents } from "../../src/pipeline/components.js";
import { deviceOptions, type LoadOptions } from "../../src/pipeline/load-options.js";
import { estimateMemory, planMemory } from "../../src/pipeline/memory-estimate.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { PipelineEngine } from "../../src/pipeline/pipeline-engine.js";
import { decoderTrace } from "../../src/pipeline/run-autoencoder.js";
import { stateRules, states } from "../../src/pipeline/text-encoding.js";
import { highWater, type MemoryReading } from "./high-water.js";

/** Where it runs: the options of `fromPretrained`. */
export type Place = Pick<
  LoadOptions,
  "device" | "dtype" | "threads" | "deviceMemory" | "allowCpuFallback" | "allowSoftwareAdapter"
>;

export const parts = ["text", "unet", "vae"] as const;
export type Part = (typeof parts)[number];

/** `steps`: of each image, after one of two steps that is not timed. */
export type Job = { folder: string; pixels: number; place: Place } & (
  | { kind: "plan" }
  | { kind: "part"; part: Part }
  | { kind: "image"; steps: readonly number[] }
);

/** Bytes; `available` is absent where nothing tells. `fits` is the plan of `koala memory`. */
export type Plan = {
  device: string;
  dtype: string;
  notes: readonly string[];
  available?: number;
  source: string;
  basis: "measured" | "computed";
  kept: number;
  oneByOne: number;
  largest: string;
  fits: ReturnType<typeof planMemory>;
};

/** Of the U-Net one call on the conditional and the unconditional row; `cpuSeconds` is of all threads together. */
export type PartTime = { seconds: number; cpuSeconds: number } & MemoryReading;
/** Seconds; `unet` is of all steps. `text` and `vae` hold their loading where parts are loaded in turn. */
type ImageTime = { steps: number; text: number; unet: number; vae: number };
export type ImageTimes = { images: readonly ImageTime[] } & MemoryReading;

const guided = 2; // rows of one run: the conditional and the unconditional one

const wave = (...shape: number[]) =>
  floats(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i)),
    ...shape,
  );

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Opens a model's configs and headers on a device, and closes the device again. */
async function withModel<T>(
  { folder, place }: Job,
  work: (components: Components, engine: PipelineEngine) => Promise<T>,
): Promise<T> {
  const engine = await PipelineEngine.open(deviceOptions(place));
  try {
    return await work(await loadComponents(folder, { engine }), engine);
  } finally {
    await engine.close();
  }
}

/** What `koala memory` says, with the attention that the device's self-test left. */
const plan = (job: Job): Promise<Plan> =>
  withModel(job, async (components, engine) => {
    const { device } = engine;
    const side = { width: job.pixels, height: job.pixels };
    const size = { ...side, batch: 1, passes: guided, encodes: false };
    const bytes = estimateMemory(components, size, device);
    const { bytes: available, source } = deviceMemory(device, { given: job.place.deviceMemory });
    return {
      device: device.name,
      dtype: device.dtype,
      notes: engine.warnings,
      ...(available !== undefined && { available }),
      source,
      basis: bytes.basis,
      kept: bytes.kept,
      oneByOne: bytes.oneByOne,
      largest: bytes.components.reduce((a, b) => (b.peak > a.peak ? b : a)).name,
      fits: planMemory(bytes, available),
    };
  });

type Inputs = Record<string, Values>;
/** One network: how it is loaded, and its inputs for images of a side in pixels. */
type Network = { load: () => Promise<ComponentSession>; inputs: (pixels: number) => Inputs };

/** The CPU computes one row after the other: half of a guided call is timed there, and counted twice. */
const timedRows = (provider: string): number => (provider === "cpu" ? 1 : guided);

function networks({ family, unet, vae, textEncoders }: Components, part: Part, rows: number): Network[] {
  const pooled = pooledWidth(unet.config);
  const table: Record<Part, () => Network[]> = {
    text: () =>
      textEncoders.map(({ component, config }) => ({
        load: () => component.session("text", (p) => states(p, config, { rule: stateRules[family] })),
        inputs: () => {
          const ids = Array.from({ length: guided * config.maxTokens }, (_, i) => i);
          return { ids: longs(ids, guided, config.maxTokens) };
        },
      })),
    unet: () => [
      {
        load: () => unet.component.session("unet", unet.trace),
        inputs: (pixels) => ({
          sample: wave(rows, unet.config.inChannels, pixels / vae.factor, pixels / vae.factor),
          timestep: floats(new Float32Array(rows).fill(500), rows),
          encoder_hidden_states: wave(rows, 77, textWidth(unet.config)),
          ...(pooled !== undefined && { text_embeds: wave(rows, pooled), time_ids: wave(rows, 6) }),
        }),
      },
    ],
    vae: () => [
      {
        load: () => vae.component.session("decode", decoderTrace(vae)),
        inputs: (pixels) => ({
          latents: wave(1, vae.latentChannels, pixels / vae.factor, pixels / vae.factor),
        }),
      },
    ],
  };
  return table[part]();
}

/**
 * The CPU is warmed up at 256 px and timed once, since its calls take many seconds; a device, which compiles for each
 * size, at full size, and the median of five calls counts.
 */
const measurePart = (job: Job & { kind: "part" }): Promise<PartTime> =>
  withModel(job, async (components, { device }) => {
    const memory = highWater(device);
    const [warmUp, calls] = device.provider === "cpu" ? [256, 1] : [job.pixels, 5];
    const rows = timedRows(device.provider);
    const times = job.part === "unet" ? guided / rows : 1;
    let [total, cpuSeconds] = [0, 0];
    for (const { load, inputs } of networks(components, job.part, rows)) {
      const session = await load();
      await session.run(inputs(warmUp));
      const given = inputs(job.pixels);
      const measured: number[] = [];
      const before = process.cpuUsage();
      for (let i = 0; i < calls; i++) measured.push(await seconds(() => session.run(given)));
      const { user, system } = process.cpuUsage(before);
      cpuSeconds += (times * (user + system)) / 1e6 / calls;
      total += times * median(measured);
      await session.release();
    }
    return { seconds: total, cpuSeconds, ...(await memory()) };
  });

async function measureImages({ folder, pixels, place, steps }: Job & { kind: "image" }): Promise<ImageTimes> {
  const pipe = await DiffusionPipeline.fromPretrained(folder, place);
  try {
    const provider = pipe.device.split(":")[0]!;
    const memory = highWater({ provider, index: Number(pipe.device.split(":")[1] ?? 0) });
    const timed = (count: number) => timeImage(pipe, pixels, count);
    await timed(2);
    const images: ImageTime[] = [];
    for (const count of steps) images.push(await timed(count));
    return { images, ...(await memory()) };
  } finally {
    await pipe.close();
  }
}

/** Steps are timed from one to the next; what comes before the second is the text and the first step. */
async function timeImage(pipe: DiffusionPipeline, pixels: number, steps: number): Promise<ImageTime> {
  const started = performance.now();
  const ends: number[] = [];
  const run = pipe.stream({
    prompt: "a red bicycle beside a yellow wall",
    ...{ width: pixels, height: pixels, numInferenceSteps: steps, guidanceScale: 7.5, seed: 0 },
  });
  while (!(await run.next()).done) ends.push(performance.now());
  const [first, last] = [ends[0]!, ends.at(-1)!];
  const step = (last - first) / (ends.length - 1);
  const whole = performance.now();
  const parts = { text: first - step - started, unet: ends.length * step, vae: whole - last };
  return { steps, text: parts.text / 1000, unet: parts.unet / 1000, vae: parts.vae / 1000 };
}

/** Runs a job and prints its result as one line of JSON. */
export async function runJob(job: Job): Promise<void> {
  const run = async () => {
    if (job.kind === "plan") return plan(job);
    return job.kind === "part" ? measurePart(job) : measureImages(job);
  };
  process.stdout.write(`${JSON.stringify(await run())}\n`);
}
