/** @file The denoising loop of all schedulers: one call of the U-Net and one scheduler step at a time. */

import { guide, rescaleGuided } from "../diffusion/guidance.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { floats, floatsOf, type Values } from "../engine/engine.js";
import { Cancelled, EngineError } from "../errors.js";
import { countNotFinite } from "../image/pixels.js";
import type { ComponentSession } from "./component.js";
import { blendKnown, type InpaintState } from "./latents.js";
import type { CheckedRequest } from "./request.js";

/** The U-Net's inputs besides latents and timestep; with guidance the unconditional half of the batch comes first. */
export type Conditioning = Readonly<Record<string, Values>>;

/** One call of the U-Net. Arrays are [batch, 4, height / 8, width / 8]. */
export type DenoiseStep = {
  /** Counts from 0. */
  index: number;
  /** How many steps are run. */
  total: number;
  /** The training timestep, from 999 for pure noise to 0. */
  timestep: number;
  /** The latents before the step. */
  latentsIn: Float32Array;
  /** The same, scaled by the scheduler for the U-Net. */
  modelInput: Float32Array;
  /** The U-Net's output, after guidance. */
  noisePred: Float32Array;
  /** The scheduler's result: the latents one step less noisy. */
  prevSample: Float32Array;
  /** The same with the known region of an inpainting restored. */
  latents: Float32Array;
  /** The clean latents as they are predicted now. */
  predOriginalSample: Float32Array;
};

type Loop = {
  session: ComponentSession;
  scheduler: Scheduler;
  conditioning: Conditioning;
  timesteps: readonly number[];
  /** Inpainting: the known region, restored after every step. */
  inpaint: InpaintState | undefined;
  /** [batch, channels, height, width] of `latents` */
  shape: readonly [number, number, number, number];
};

/** Yields after every step and returns the last latents; throws Cancelled no later than after the running step. */
export async function* denoise(
  loop: Loop,
  start: Float32Array,
  request: CheckedRequest,
): AsyncGenerator<DenoiseStep, Float32Array> {
  const { scheduler, timesteps, inpaint, shape } = loop;
  const { eta, generators, signal, guided, guidanceScale, guidanceRescale, batch } = request;
  let latents = start;
  for (const [index, timestep] of timesteps.entries()) {
    if (signal?.aborted) throw new Cancelled();
    const modelInput = scheduler.scaleModelInput(latents, timestep);
    const prediction = await predict(loop, modelInput, index, guided);
    if (signal?.aborted) throw new Cancelled();
    let noisePred = prediction.conditional;
    if (prediction.unconditional) {
      noisePred = guide(prediction.unconditional, prediction.conditional, guidanceScale);
      if (guidanceRescale > 0)
        noisePred = rescaleGuided(noisePred, prediction.conditional, guidanceRescale, batch);
    }
    const options = { generator: generators, batch: shape[0], eta };
    const { prevSample, predOriginalSample } = scheduler.step(noisePred, timestep, latents, options);
    checkFinite(scheduler, prevSample, index, timesteps);
    const latentsIn = latents;
    latents = inpaint ? blendKnown(scheduler, inpaint, prevSample, timesteps[index + 1]) : prevSample;
    yield {
      index,
      total: timesteps.length,
      timestep,
      latentsIn,
      modelInput,
      noisePred,
      prevSample,
      latents,
      predOriginalSample,
    };
  }
  return latents;
}

async function predict(
  { session, conditioning, shape, timesteps }: Loop,
  modelInput: Float32Array,
  index: number,
  guided: boolean,
) {
  const timestep = timesteps[index]!;
  const [batch, ...rest] = shape;
  const rows = guided ? 2 * batch : batch;
  const sample = new Float32Array(rows * (modelInput.length / batch));
  sample.set(modelInput);
  if (guided) sample.set(modelInput, modelInput.length);
  const inputs = {
    ...conditioning,
    sample: floats(sample, rows, ...rest),
    timestep: floats(new Float32Array(rows).fill(timestep), rows),
  };
  const results = await session.run(inputs, `its prediction of ${stepName(index, timesteps)}`);
  const out = floatsOf(results.out);
  if (!guided) return { conditional: out };
  return { unconditional: out.subarray(0, out.length / 2), conditional: out.subarray(out.length / 2) };
}

const stepName = (index: number, timesteps: readonly number[]): string =>
  `step ${index + 1} of ${timesteps.length} (timestep ${timesteps[index]})`;

/** The predictions were finite, so it is the scheduler that made these. */
function checkFinite(
  { className }: Scheduler,
  latents: Float32Array,
  index: number,
  timesteps: readonly number[],
): void {
  const bad = countNotFinite(latents);
  if (bad === 0) return;
  const rule = `its latents of ${stepName(index, timesteps)} must be finite, got NaN or infinity in ${bad} of ${latents.length} values`;
  const remedy = "Its settings do not fit this model, or the guidance scale is far too high.";
  throw new EngineError(className, new Error(`${rule}. ${remedy}`));
}
