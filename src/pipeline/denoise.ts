/** @file The denoising loop of all schedulers: one call of the U-Net and one scheduler step at a time. */

import { compose, guide, rescaleGuided } from "../diffusion/guidance.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { floats, floatsOf } from "../engine/engine.js";
import { Cancelled, EngineError, NotFinite } from "../errors.js";
import { finiteProblem } from "../image/pixels.js";
import type { AttentionMaps } from "./attention/maps.js";
import type { AttentionRecorder } from "./attention/recorder.js";
import type { ComponentSession } from "./component.js";
import type { CallConditioning, Row } from "./conditioning.js";
import { blendKnown, type InpaintState } from "./latents.js";
import type { CheckedRequest } from "./request.js";

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
  /** The U-Net's output for the prompt, before guidance; Diffusers' `noise_pred_text`. */
  noisePredText: Float32Array;
  /** The same for the negative prompt; undefined without guidance. */
  noisePredUncond: Float32Array | undefined;
  /** The U-Net's output, after guidance. */
  noisePred: Float32Array;
  /** The scheduler's result: the latents one step less noisy. */
  prevSample: Float32Array;
  /** The same with the known region of an inpainting restored. */
  latents: Float32Array;
  /** The clean latents as they are predicted now. */
  predOriginalSample: Float32Array;
  /** With `attentionMaps`: where each word of the prompt goes in this step, of each image. */
  attentionMaps?: readonly AttentionMaps[];
};

type Loop = {
  session: ComponentSession;
  /** Keeps the attention of a session that gives it. */
  recorder: AttentionRecorder | undefined;
  scheduler: Scheduler;
  conditioning: CallConditioning;
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
  const { eta, generators, signal, guidanceScale, guidanceRescale, batch } = request;
  let latents = start;
  for (const [index, timestep] of timesteps.entries()) {
    if (signal?.aborted) throw new Cancelled();
    const modelInput = scheduler.scaleModelInput(latents, timestep);
    const prediction = await predict(loop, modelInput, index);
    if (signal?.aborted) throw new Cancelled();
    const attentionMaps = loop.recorder?.endCall();
    let noisePred: Float32Array = prediction.conditional;
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
      noisePredText: prediction.conditional,
      noisePredUncond: prediction.unconditional,
      noisePred,
      prevSample,
      latents,
      predOriginalSample,
      ...(attentionMaps && { attentionMaps }),
    };
  }
  return latents;
}

/** The U-Net's predictions for the batch: each image's, and with guidance that for its negative prompt. */
async function predict(
  { session, recorder, conditioning, shape, timesteps }: Loop,
  modelInput: Float32Array,
  index: number,
) {
  const timestep = timesteps[index]!;
  const [batch, ...rest] = shape;
  const size = modelInput.length / batch;
  const predicted: { row: Row; out: Float32Array }[] = [];
  for (const { rows, inputs } of conditioning(index)) {
    const sample = new Float32Array(rows.length * size);
    for (const [i, { image }] of rows.entries())
      sample.set(modelInput.subarray(image * size, (image + 1) * size), i * size);
    const results = await session.run(
      {
        ...inputs,
        ...recorder?.inputs(rows, inputs.encoder_hidden_states!.shape[1]!),
        sample: floats(sample, rows.length, ...rest),
        timestep: floats(new Float32Array(rows.length).fill(timestep), rows.length),
      },
      `its prediction of ${stepName(index, timesteps)}`,
    );
    recorder?.add(rows, results);
    const out = floatsOf(results.out);
    const width = out.length / rows.length;
    for (const [i, row] of rows.entries())
      predicted.push({ row, out: out.subarray(i * width, (i + 1) * width) });
  }
  const images = Array.from({ length: batch }, (_, image) => ofImage(predicted, image));
  const all = (parts: readonly Float32Array[]) => {
    const [first] = parts as [Float32Array, ...Float32Array[]];
    const joined = new Float32Array(batch * first.length);
    for (const [i, part] of parts.entries()) joined.set(part, i * first.length);
    return joined;
  };
  const negatives = images.flatMap(({ unconditional }) => (unconditional ? [unconditional] : []));
  return {
    conditional: all(images.map(({ conditional }) => conditional)),
    unconditional: negatives.length > 0 ? all(negatives) : undefined,
  };
}

/** An image's predictions; those of prompts that are composed are one. */
function ofImage(predicted: readonly { row: Row; out: Float32Array }[], image: number) {
  const own = predicted.filter(({ row }) => row.image === image);
  const unconditional = own.find(({ row }) => row.weight === undefined)?.out;
  const parts = own.flatMap(({ row: { weight }, out }) => (weight === undefined ? [] : [{ weight, out }]));
  const [only] = parts;
  if (parts.length === 1 && only!.weight === 1) return { conditional: only!.out, unconditional };
  return { conditional: compose(unconditional!, parts), unconditional };
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
  const problem = finiteProblem(latents);
  if (problem === undefined) return;
  const rule = `its latents of ${stepName(index, timesteps)} ${problem}`;
  const remedy = "Its settings do not fit this model, or the guidance scale is far too high.";
  throw new EngineError(className, new NotFinite(`${rule}. ${remedy}`));
}
