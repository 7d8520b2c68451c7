/** @file Tolerances of distillation and training, as recommended in the golden folder's README. */

import type { Expectation, TensorData, Tolerance } from "../conformance/check.js";

const relative = (most: number): Tolerance => ({ kind: "relative", most });
const each = (most: number): Tolerance => ({ kind: "each", most });
const absolute = (most: number): Tolerance => ({ kind: "absolute", most });

export const studentTensor = relative(3e-5);
export const teacherTensor = relative(1e-4);
export const gradient = relative(2e-4);
export const gradientVector: Tolerance = { kind: "vector", most: 3e-5 };
/** The length of a vector within `gradientVector` is within this. */
export const gradientNorm = each(3e-5);
/** The same while training, over weights that differ already. */
export const laterGradientNorm = each(1e-4);
export const laterGradient = relative(2e-4);
/** After all updates: another version of PyTorch is itself 6.5e-4 away from the one that made the data. */
export const lastGradient = relative(2e-3);
export const moment = relative(3e-4);
export const autoencoderTensor = relative(3e-5);
export const autoencoderGradient = relative(1e-4);
export const noised = relative(2e-6);
/** Single precision rounds quotients of quotients by itself. */
export const snrWeight = each(2e-6);
/** Two units of float32's last place at 1: a double precision product is further away. */
export const noiseTable = relative(1.2e-7);
export const noiseTable64 = relative(1e-6);
export const snr64 = each(1e-4);
/** Double precision on both sides. */
export const rate = relative(1e-12);
export const decay: Tolerance = absolute(1e-14);
export const average = relative(2e-6);
/** Sums over all weights, in double precision. */
export const weightSum = each(1e-5);

export const weightsAfter1: Tolerance = { kind: "quantile", share: 0.999, most: 1e-6, worst: 1e-3 };
export const weightsLater: Tolerance = { kind: "quantile", share: 0.99, most: 2e-6, worst: 1e-3 };
/** Adam may move an element whose gradient is near zero by the learning rate, either way. */
export const weightAtWorst = absolute(1e-3);

export const eachLoss = each(1e-5);
/** From update 2 on: weights differ already, and `floor`, float32's distance from float64 in that row, says how much. */
export const laterLoss = (floor: number): Tolerance => each(Math.max(1e-5, 10 * floor));

const operation = relative(1e-5);
const cancelling = relative(2e-4);

/** `floor` is float32's own distance from float64 in the case, where an operation cancels. */
export const operationTolerance = (op: string, floor: number): Tolerance =>
  ["group_norm", "attention"].includes(op) && floor > 2e-6 ? cancelling : operation;

/** Where two networks compute the same, a loss is the square of rounding errors. */
export const lossExpectation = (value: number, tolerance: Tolerance = eachLoss): Expectation => ({
  tolerance: value === 0 ? absolute(1e-12) : tolerance,
  numbers: { data: [value], shape: [1] },
});

/**
 * A gradient among others whose length together is `norm`. One that is far below the rest is zero in exact arithmetic,
 * such as that of a bias which a norm or a softmax takes away again: rounding noise, to stay as small on our side.
 */
export function gradientExpectation(numbers: TensorData, norm: number, tolerance: Tolerance): Expectation {
  const largest = (numbers.data as Float32Array).reduce((most, g) => Math.max(most, Math.abs(g)), 0);
  return { tolerance: largest < 1e-6 * norm ? absolute(1e-6 * norm) : tolerance, numbers };
}

/** Of step distillations, as the golden data's README recommends: all gradients as one vector, and so their length. */
export const stepGradient = (variant: string): number => (variant === "self_target" ? 2e-3 : 1e-4);
/** Samples and outputs on the way; of what depends on a guided output, guidance magnifies roundings. */
export const stepTensor = (name: string): Tolerance =>
  /(^|\/)(alpha_prev|c_skip|c_out)(_start)?$/.test(name) ? relative(1e-6) : relative(1e-4);
export const boundaryScaling = each(1e-6);
/** How far the weights moved in five updates, as one vector. */
export const stepUpdate: Tolerance = { kind: "vector", most: 5e-3 };
export const stepNorm = (floor: number): Tolerance => each(Math.max(1e-4, 10 * floor));
