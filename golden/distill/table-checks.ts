/** @file schedule.*, lr.json, ema.* and captions.*: what training computes without a network. */

import { z } from "zod";
import { Generator } from "../../src/diffusion/random.js";
import type { JsonObject } from "../../src/files/json.js";
import { type DropoutRule, dropCaption } from "../../src/train/data/captions.js";
import { emaDecay } from "../../src/train/ema.js";
import { type LrSchedule, learningRate, lrSchedules } from "../../src/train/lr-schedule.js";
import {
  addNoise,
  drawNoise,
  drawTimesteps,
  minSnrWeights,
  snr,
  type TrainingNoise,
  trainingNoise,
  trainingTarget,
} from "../../src/train/noise.js";
import { AdamW } from "../../src/train/optimizer.js";
import {
  type Check,
  type Computed,
  type Expectation,
  type TensorData,
  tensorData,
} from "../conformance/check.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { equal } from "../conformance/tolerances.js";
import { OpenScheduler } from "../schedulers/tables.js";
import { camelCased, type DistillFolder, json, tensorExpectations, tensorsOf } from "./folder.js";
import { updateAverage } from "./moving-average.js";
import * as near from "./tolerances.js";

/** The scheduler config that schedule.json describes in words; SDXL's if there is none. */
export async function noiseConfig(set: DistillFolder): Promise<JsonObject> {
  const words = set.names.includes("schedule.json")
    ? String((await json(set, "schedule.json")).betas)
    : "linspace(sqrt(0.00085), sqrt(0.012), 1000)^2";
  const found = /^linspace\(sqrt\(([\d.]+)\), sqrt\(([\d.]+)\), (\d+)\)\^2/.exec(words);
  if (!found) throw new Error(`schedule.json: the conformance tool has no betas such as "${words}"`);
  const [start, end, count] = found.slice(1).map(Number);
  return { beta_schedule: "scaled_linear", beta_start: start, beta_end: end, num_train_timesteps: count };
}

export async function noiseChecks(set: DistillFolder): Promise<Check[]> {
  if (!set.names.includes("schedule.json")) return [];
  const config = await noiseConfig(set);
  const isInput = (name: string) => ["latents", "noise", "timesteps"].includes(name);
  const file = await tensorsOf(set, "schedule.safetensors", { owner: "schedule.json", isInput });
  const probe = z.record(z.string(), z.number()).parse((await json(set, "schedule.json")).probe ?? {});
  const names = file.names.filter((name) => !isInput(name) && !name.startsWith("draw/"));
  const draws = file.names.filter((name) => name.startsWith("draw/"));
  const tables: Check = {
    name: "schedule/tables",
    compute: () => scheduleTables(config, file, names),
    expected: async () => {
      const at = Object.entries(probe).map(([t, value]): [string, Expectation] => [
        `probe ${t}`,
        { tolerance: near.noiseTable, numbers: tensorData([value]) },
      ]);
      return new Map([...(await tensorExpectations(file, names, scheduleBound)), ...at]);
    },
  };
  const drawn: Check = {
    name: "schedule/draws",
    compute: async () => drawnNumbers(trainingNoise(config), draws, file),
    expected: async () => new Map(await tensorExpectations(file, draws, () => equal)),
  };
  return draws.length > 0 ? [tables, drawn] : [tables];
}

function scheduleBound(name: string) {
  if (name === "noisy" || name === "velocity") return near.noised;
  if (name === "snr_float64") return near.snr64;
  if (name === "alphas_cumprod_float64") return near.noiseTable64;
  return name.includes("snr") ? near.snrWeight : near.noiseTable;
}

async function scheduleTables(
  config: JsonObject,
  file: GoldenFile,
  names: readonly string[],
): Promise<Computed> {
  const epsilon = trainingNoise(config);
  const v = trainingNoise(config, { target: "v_prediction" });
  const { alphasCumprod } = epsilon;
  const every = [...alphasCumprod.keys()];
  const ratios = tensorData(every.map((t) => snr(epsilon, t)));
  const [latents, noise] = [await floatInput(file, "latents"), await floatInput(file, "noise")];
  const timesteps = Array.from((await file.input("timesteps")).data as BigInt64Array, Number);
  const weights = names.flatMap((name): [string, TensorData][] => {
    const [, gamma, type, older] =
      /^min_snr_([\d.]+)_(epsilon|v_prediction)(_older_script)?$/.exec(name) ?? [];
    if (gamma === undefined) return [];
    const options = { gamma: Number(gamma), rule: older ? "older" : "current" } as const;
    return [[name, tensorData(minSnrWeights(type === "epsilon" ? epsilon : v, every, options))]];
  });
  const velocity = trainingTarget(v, latents.data, noise.data, timesteps);
  return new Map<string, TensorData>([
    ["betas", tensorData(new OpenScheduler(config, {}).numbers.betas)],
    ["alphas_cumprod", tensorData(alphasCumprod)],
    ["alphas_cumprod_float64", tensorData(alphasCumprod)],
    ...every.map((t): [string, TensorData] => [`probe ${t}`, tensorData([alphasCumprod[t]!])]),
    ["snr", ratios],
    ["snr_float64", ratios],
    ...weights,
    ["noisy", { data: addNoise(epsilon, latents.data, noise.data, timesteps), shape: latents.shape }],
    ["velocity", { data: velocity, shape: latents.shape }],
  ]);
}

/** `draw/SEED/stepI/noise` and `/timesteps` in turn from one generator; `draw/SEED/timesteps_alone` from a fresh one. */
function drawnNumbers(schedule: TrainingNoise, names: readonly string[], file: GoldenFile): Computed {
  const seeds = new Set(names.map((name) => name.split("/")[1]!));
  const computed = new Map<string, TensorData>();
  const timesteps = (name: string, generator: Generator) => {
    const [n = 0] = file.shapes.get(name) ?? [];
    computed.set(name, tensorData(drawTimesteps(schedule, n, generator)));
  };
  for (const seed of seeds) {
    const generator = new Generator(BigInt(seed));
    for (let i = 0; file.shapes.has(`draw/${seed}/step${i}/noise`); i++) {
      const name = `draw/${seed}/step${i}`;
      const shape = file.shapes.get(`${name}/noise`) as [number, number, number, number];
      computed.set(`${name}/noise`, tensorData(drawNoise(shape, generator), ...shape));
      timesteps(`${name}/timesteps`, generator);
    }
    const alone = `draw/${seed}/timesteps_alone`;
    if (file.shapes.has(alone)) timesteps(alone, new Generator(BigInt(seed)));
  }
  return computed;
}

const rateSchema = z.array(
  z.object({
    name: z.string(),
    base: z.number(),
    num_warmup_steps: z.int().optional(),
    num_training_steps: z.int().optional(),
    num_cycles: z.int().optional(),
    used_at_step: z.array(z.number()),
  }),
);

export async function learningRateChecks(set: DistillFolder): Promise<Check[]> {
  if (!set.names.includes("lr.json")) return [];
  const schedules = rateSchema.parse((await json(set, "lr.json")).schedules);
  const label = ({ used_at_step: _, ...settings }: (typeof schedules)[number]) => JSON.stringify(settings);
  const rates = (s: Omit<(typeof schedules)[number], "used_at_step">, updates: number) =>
    Array.from({ length: updates }, (_, i) =>
      learningRate(i, {
        schedule: lrScheduleNamed(s.name),
        learningRate: s.base,
        ...(s.num_warmup_steps !== undefined && { warmupSteps: s.num_warmup_steps }),
        ...(s.num_training_steps !== undefined && { totalSteps: s.num_training_steps }),
        ...(s.num_cycles !== undefined && { cycles: s.num_cycles }),
      }),
    );
  return [
    {
      name: "lr",
      compute: async () =>
        new Map(schedules.map((s) => [label(s), tensorData(rates(s, s.used_at_step.length))])),
      expected: async () =>
        new Map(
          schedules.map((s) => [label(s), { tolerance: near.rate, numbers: tensorData(s.used_at_step) }]),
        ),
    },
  ];
}

function lrScheduleNamed(name: string): LrSchedule {
  const found = lrSchedules.find((schedule) => schedule === name);
  if (!found) throw new Error(`this build has no learning rate schedule "${name}"`);
  return found;
}

/** Decays, and averages along a path, through the optimizer's program. */
export async function emaChecks(set: DistillFolder): Promise<Check[]> {
  if (!set.names.includes("ema.json")) return [];
  const { settings, decay_at_step: decays } = z
    .looseObject({
      settings: z.record(z.string(), z.looseObject({})),
      decay_at_step: z.record(z.string(), z.array(z.number())),
    })
    .parse(await json(set, "ema.json"));
  const isInput = (name: string) => name === "path";
  const file = await tensorsOf(set, "ema.safetensors", { owner: "ema.json", isInput });
  const options = new Map(Object.entries(settings).map(([name, s]) => [name, camelCased(s)]));
  const names = file.names.filter((name) => !isInput(name));
  return [
    {
      name: "ema/decays",
      compute: async () =>
        new Map(
          Object.entries(decays).map(([name, { length }]) => [
            name,
            tensorData(Array.from({ length }, (_, i) => emaDecay(i + 1, options.get(name)))),
          ]),
        ),
      expected: async () =>
        new Map(
          Object.entries(decays).map(([name, d]) => [
            name,
            { tolerance: near.decay, numbers: tensorData(d) },
          ]),
        ),
    },
    {
      name: "ema/averages",
      compute: async () => averages(await floatInput(file, "path"), options),
      expected: async () => new Map(await tensorExpectations(file, names, () => near.average)),
    },
  ];
}

async function averages(
  path: { data: Float32Array; shape: number[] },
  settings: ReadonlyMap<string, Record<string, unknown>>,
): Promise<Computed> {
  const [rows, width] = path.shape as [number, number];
  const at = (i: number) => path.data.slice(i * width, (i + 1) * width);
  const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
  const optimizer = new AdamW(adam);
  const computed = new Map<string, TensorData>();
  for (const [name, options] of settings) {
    const average = at(0);
    const all = new Float32Array((rows - 1) * width);
    for (let update = 1; update < rows; update++) {
      await updateAverage(optimizer, average, at(update), emaDecay(update, options));
      all.set(average, (update - 1) * width);
    }
    computed.set(`ema/${name}`, tensorData(all, rows - 1, width));
  }
  return computed;
}

const dropoutRules: Readonly<Record<string, DropoutRule>> = { empty_string: "empty-string", zeros: "zeros" };

export async function captionChecks(set: DistillFolder): Promise<Check[]> {
  if (!set.names.includes("captions.json")) return [];
  const isInput = (name: string) => !name.includes("/");
  const file = await tensorsOf(set, "captions.safetensors", { owner: "captions.json", isInput });
  const names = file.names.filter((name) => !isInput(name));
  return [
    {
      name: "captions",
      compute: () => droppedCaptions(file),
      expected: async () => new Map(await tensorExpectations(file, names, () => equal)),
    },
  ];
}

async function droppedCaptions(file: GoldenFile): Promise<Computed> {
  const mask = Array.from((await file.input("drop_mask")).data as BigInt64Array, Number);
  const read = async (name: string) => (await floatInput(file, name)).data;
  const [prompts, pooled] = [await floatInput(file, "prompt_embeds"), await floatInput(file, "pooled")];
  const empty = { promptEmbeds: await read("empty_prompt_embeds"), pooled: await read("empty_pooled") };
  const row = (all: Float32Array, i: number) => {
    const size = all.length / mask.length;
    return all.slice(i * size, (i + 1) * size);
  };
  const computed = new Map<string, TensorData>();
  for (const [name, rule] of Object.entries(dropoutRules)) {
    const rows = mask.map((drop, i) => {
      const given = { promptEmbeds: row(prompts.data, i), pooled: row(pooled.data, i) };
      return dropCaption(rule, given, { text: drop === 1, pooled: drop === 1 }, empty);
    });
    const parameters = (parts: readonly Float32Array[]) => Float32Array.from(parts.flatMap((x) => [...x]));
    computed.set(`${name}/prompt_embeds`, {
      data: parameters(rows.map((r) => r.promptEmbeds)),
      shape: prompts.shape,
    });
    computed.set(`${name}/pooled`, { data: parameters(rows.map((r) => r.pooled!)), shape: pooled.shape });
  }
  return computed;
}
