/** @file Every row of Diffusers' scheduler tables, trajectories and add_noise: the schedulers against their golden data. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../../errors.js";
import { noiseSchedule } from "../betas.js";
import { levelOfAlphaBar, velocity } from "../prediction.js";
import { Generator } from "../random.js";
import { camelCase } from "./config.js";
import { type SchedulerSettings, settingsFrom } from "./config-fields.js";
import { DDPMScheduler, type Scheduler, type StepOptions, schedulerFromConfig } from "./scheduler.js";

type Fields = Record<string, unknown>;
type Row = {
  id: string;
  scheduler: string;
  config: Fields;
  call: Fields;
  error?: string;
  timesteps: number[];
  sigmas?: number[];
  init_noise_sigma: number;
  scale_model_input?: number[];
  num_inference_steps: number;
  step: Fields;
  generator_seed?: number;
  not_finite?: boolean;
  timestep: number;
  index: number;
};
type BetaRow = { at: number[]; betas: number[]; alphas_cumprod: number[] };

const data = new URL("../../../golden/data/", import.meta.url);
const golden = JSON.parse(readFileSync(new URL("schedulers.json", data), "utf8")) as {
  betas: (Fields & BetaRow)[];
  tables: Row[];
  trajectories: Row[];
  add_noise: Row[];
};
const tensors = readFloats(readFileSync(new URL("schedulers.safetensors", data)));
const outputs = tensors.get("model_outputs")!;
const unit = tensors.get("noise")!;
const clean = tensors.get("clean")!;

function readFloats(file: Buffer): Map<string, Float32Array> {
  const size = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + size).toString("utf8")) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return new Map(
    entries.map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => {
        const bytes = file.subarray(8 + size + from, 8 + size + to);
        return [name, new Float32Array(Uint8Array.from(bytes).buffer)];
      },
    ),
  );
}

function camel(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [camelCase(key), value]));
}

/** Largest difference over largest expected magnitude: the golden data's own measure. */
function distance(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(got[i]! - expected[i]!);
    difference = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(difference, d);
    scale = Math.max(scale, Math.abs(expected[i]!));
  }
  return difference === 0 ? 0 : difference / scale;
}

/** Fails with the name and the figure of the worst row. */
function expectWorst(rows: readonly { name: string; error: number }[], tolerance: number): void {
  const worst = rows.reduce((a, b) => (b.error > a.error ? b : a));
  expect(worst.error, `worst of ${rows.length}: ${worst.name}`).toBeLessThanOrEqual(tolerance);
}

function build({ scheduler, config }: Row): Scheduler {
  return schedulerFromConfig(config, {}, scheduler);
}

function nameOf(row: Row): string {
  const { scheduler, config, call, num_inference_steps, step } = row;
  return `${row.id ?? ""} ${scheduler} ${JSON.stringify({ ...config, ...(call ?? { num_inference_steps }), ...step })}`;
}

function set(scheduler: Scheduler, { call }: Row): void {
  const { numInferenceSteps, ...options } = camel(call);
  scheduler.setTimesteps(numInferenceSteps as number | undefined, options);
}

/** Runs a trajectory as the note in the golden data says; the results of all its steps. */
function run(row: Row): { prev: Float32Array[]; clean: Float32Array[]; scheduler: Scheduler } {
  const scheduler = build(row);
  scheduler.setTimesteps(row.num_inference_steps);
  const generator = row.generator_seed === undefined ? {} : { generator: new Generator(row.generator_seed) };
  const options: StepOptions = { ...camel(row.step), ...generator };
  const [prev, predicted]: [Float32Array[], Float32Array[]] = [[], []];
  let sample: Float32Array = unit.map((x) => x * scheduler.initNoiseSigma);
  for (const [i, t] of scheduler.timesteps.entries()) {
    scheduler.scaleModelInput(sample, t);
    const output = outputs.slice(i * sample.length, (i + 1) * sample.length);
    const result = scheduler.step(output, t, sample, options);
    sample = result.prevSample;
    prev.push(sample);
    predicted.push(result.predOriginalSample);
  }
  return { prev, clean: predicted, scheduler };
}

function joined(arrays: readonly Float32Array[]): Float32Array {
  return Float32Array.from(arrays.flatMap((array) => [...array]));
}

describe("schedules", () => {
  it("have Diffusers' betas and cumulative products bit for bit, but where the SNR is rescaled", () => {
    for (const { at, betas, alphas_cumprod, ...config } of golden.betas) {
      const schedule = noiseSchedule(settingsFrom({}, camel(config) as Partial<SchedulerSettings>));
      const got = at.map((t) => schedule.betas[t]!);
      const products = at.map((t) => schedule.alphasCumprod[t]!);
      const tolerance = config.rescale_betas_zero_snr ? 1e-6 : 1e-7;
      expect(distance(got, betas), JSON.stringify(config)).toBeLessThanOrEqual(tolerance);
      expect(distance(products, alphas_cumprod), JSON.stringify(config)).toBeLessThanOrEqual(tolerance);
    }
  });

  const sound = golden.tables.filter(({ error }) => error === undefined);
  const made = sound.map((row) => {
    const scheduler = build(row);
    set(scheduler, row);
    return { row, scheduler, name: nameOf(row) };
  });

  /** From a far higher sigma Diffusers' float32 keeps no digit of the halfway sigma; at n = 4 it gets NaN. */
  const strays = ({ scheduler, config, call }: Row) =>
    scheduler === "KDPM2AncestralDiscreteScheduler" &&
    (config.beta_schedule === "squaredcos_cap_v2" || call.num_inference_steps === 2);

  it("have Diffusers' timesteps: integers exactly, fractional ones to 1e-6", () => {
    const errors = made.map(({ row, scheduler, name }) => {
      const called = (all: readonly number[]) => all.filter((_, i) => !strays(row) || i % 2 === 0);
      const expected = called(row.timesteps);
      const exact = JSON.stringify(called(scheduler.timesteps)) === JSON.stringify(expected);
      const integers = expected.every(Number.isInteger);
      return { name, error: integers ? Number(!exact) : distance(called(scheduler.timesteps), expected) };
    });
    expectWorst(errors, 1e-6);
  });

  it("call KDPM2 ancestral halfway at the next timestep, as the geometric mean of s and t^2/s is t", () => {
    for (const { row, scheduler } of made.filter(({ row }) => strays(row))) {
      for (let i = 1; i < row.timesteps.length; i += 2) {
        expect(scheduler.timesteps[i]! - row.timesteps[i + 1]!, nameOf(row)).toBeCloseTo(0, 3);
      }
    }
  });

  it("have Diffusers' sigmas, initial sigma and input scale to 1e-6", () => {
    const errors = made.flatMap(({ row, scheduler, name }) => [
      { name: `${name} sigmas`, error: row.sigmas ? distance(scheduler.sigmas ?? [], row.sigmas) : 0 },
      { name: `${name} initial`, error: distance([scheduler.initNoiseSigma], [row.init_noise_sigma]) },
    ]);
    expectWorst(errors, 1e-6);
    const scaled = made.map(({ row, scheduler, name }) => {
      const one = Float32Array.of(1);
      const factors = scheduler.timesteps.map((t, i) => {
        if (scheduler.className.startsWith("KDPM2")) return row.scale_model_input?.[i] ?? 1;
        scheduler.setBeginIndex(i);
        const factor = scheduler.scaleModelInput(one, t)[0]!;
        Object.assign(scheduler, { stepIndex: undefined });
        return factor;
      });
      return { name, error: distance(factors, row.scale_model_input ?? factors.map(() => 1)) };
    });
    expectWorst(scaled, 1e-6);
  });

  it.each(golden.tables.filter(({ error }) => error !== undefined))(
    "refuse what Diffusers refuses: $scheduler, $error",
    (row) => {
      expect(() => set(build(row), row)).toThrow(InvalidRequest);
    },
  );
});

describe("trajectories", () => {
  const sound = golden.trajectories.filter(({ error, not_finite }) => error === undefined && !not_finite);

  it.each(sound.map((row) => [nameOf(row), row] as const))("equal Diffusers' to 1e-5: %s", (_, row) => {
    const { prev, clean: predicted, scheduler } = run(row);
    expect(distance(scheduler.timesteps, row.timesteps)).toBeLessThanOrEqual(1e-6);
    const size = unit.length;
    const expected = tensors.get(`${row.id}.prev_sample`)!;
    const errors = prev.map((sample, i) => ({
      name: `step ${i}`,
      error: distance(sample, expected.subarray(i * size, (i + 1) * size)),
    }));
    expectWorst(errors, 1e-5);
    const expectedClean = tensors.get(`${row.id}.pred_original_sample`);
    if (expectedClean) expect(distance(joined(predicted), expectedClean)).toBeLessThanOrEqual(1e-5);
  });

  it.each(golden.trajectories.filter(({ error }) => error !== undefined))(
    "are refused where Diffusers refuses: $scheduler, $error",
    (row) => {
      expect(() => run(row)).toThrow(InvalidRequest);
    },
  );

  it("are not finite where Diffusers' are not: the logarithm of a large variance has no root", () => {
    const rows = golden.trajectories.filter(({ not_finite }) => not_finite);
    expect(rows.map(({ config }) => config.variance_type)).toEqual(["fixed_large_log"]);
    for (const row of rows) expect(joined(run(row).prev).some(Number.isNaN)).toBe(true);
  });
});

describe("noising", () => {
  it("equals Diffusers' add_noise to 1e-6", () => {
    const errors = golden.add_noise.map((row) => {
      const scheduler = build(row);
      scheduler.setTimesteps(row.num_inference_steps);
      return {
        name: nameOf(row),
        error: distance(scheduler.addNoise(clean, unit, row.timestep), tensors.get(row.id)!),
      };
    });
    expectWorst(errors, 1e-6);
  });

  it("gives the velocities that a v-prediction network learns", () => {
    const scheduler = new DDPMScheduler({
      beta_schedule: "scaled_linear",
      beta_start: 0.00085,
      beta_end: 0.012,
    });
    for (const t of [0, 500, 999]) {
      const expected = tensors.get(`get_velocity.${t}`)!;
      expect(distance(scheduler.getVelocity(clean, unit, t), expected)).toBeLessThanOrEqual(1e-6);
    }
    expect(velocity(clean, unit, levelOfAlphaBar(1))).toEqual(unit);
  });
});
