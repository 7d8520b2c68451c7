/**
 * @file The student's program of a training step: weights in, losses and gradients out. The teacher's results are
 * inputs, so no gradient reaches the teacher.
 */

import { cpu, type Device } from "../engine/device.js";
import { floatsOf, type Values } from "../engine/engine.js";
import { lower, type Program } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort/blocking-engine.js";
import { gradients } from "../tensor/gradient.js";
import type { Tensor } from "../tensor/tensor.js";
import type { FrozenWeights } from "./lora/weights.js";
import { ParameterBuffer } from "./parameter-buffer.js";

/**
 * How a device computes steps of training: in float32, with attention composed, so that the backward pass shares its
 * scores with the forward pass. Channels last are of the CPU's caches.
 */
export const trainingDevice = (device: Device = cpu): Device => ({
  ...device,
  dtype: "float32",
  fusedAttention: false,
  // Has it there, and for gradients too.
  winograd: false,
  channelsLast: device.provider === "cpu",
});

/** A traced loss: the weights that are trained, by path, and its named terms, each [1]; `total` is minimised. */
export type TracedLoss = {
  params: ReadonlyMap<string, Tensor>;
  outputs: Readonly<Record<string, Tensor>> & { total: Tensor };
  /** The weights that are not. Default: none. */
  frozen?: FrozenWeights | undefined;
};

/** Computes losses and gradients of one batch. */
export interface GradientProgram {
  /** Reads `weights` and overwrites `into`, both in `layout`; returns the named terms. */
  run(
    weights: Float32Array,
    inputs: Readonly<Record<string, Values>>,
    into: Float32Array,
  ): Promise<Record<string, Float32Array>>;
  release(): Promise<void>;
}

export const layoutOf = ({ params }: Pick<TracedLoss, "params">): ParameterBuffer =>
  new ParameterBuffer([...params].map(([path, t]) => [path, t.shape]));

/** Names of the gradients among a program's results. */
const gradientOf = "gradient/";

/** A step's program before it is loaded; `terms` are the names of the losses among its results. */
export type LoweredStep = { program: Program; terms: readonly string[] };

export function lowerStep(loss: TracedLoss, device: Device = trainingDevice()): LoweredStep {
  const paths = [...loss.params.keys()];
  const found = gradients(loss.outputs.total, [...loss.params.values()]);
  const outputs = {
    ...loss.outputs,
    ...Object.fromEntries(paths.map((path, i) => [gradientOf + path, found[i]!])),
  };
  return { program: lower("student", outputs, { device, ...loss.frozen }), terms: Object.keys(loss.outputs) };
}

export async function loadStep(
  engine: BlockingEngine,
  { program, terms }: LoweredStep,
  layout: ParameterBuffer,
): Promise<GradientProgram> {
  const session: BlockingSession = await engine.load(program);
  return {
    run: async (weights, inputs, into) => {
      const results = await session.runInto(
        { ...layout.values(weights), ...inputs },
        layout.values(into, gradientOf),
      );
      return termsOf(results, terms);
    },
    release: () => session.release(),
  };
}

/** One program for the whole step: fastest, with every activation kept until it is used again. */
export const wholeProgram = (
  engine: BlockingEngine,
  loss: TracedLoss,
  layout: ParameterBuffer,
  device: Device = trainingDevice(engine.device),
): Promise<GradientProgram> => loadStep(engine, lowerStep(loss, device), layout);

const termsOf = (
  results: Readonly<Record<string, Values>>,
  names: readonly string[],
): Record<string, Float32Array> => Object.fromEntries(names.map((name) => [name, floatsOf(results[name])]));
