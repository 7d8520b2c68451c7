/** @file A thread of `data-parallel.ts`: losses and gradients of its share of every batch. */

import type { Values } from "../engine/engine.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { serveThread, threadData } from "../threads.js";
import { type LoweredStep, loadStep } from "./gradient-program.js";
import { ParameterBuffer } from "./parameter-buffer.js";

/** What a thread is started with. `weights` and `gradient` are shared with it. */
export type ShareData = {
  program: LoweredStep;
  shapes: readonly (readonly [path: string, shape: readonly number[]])[];
  weights: Float32Array;
  gradient: Float32Array;
};

const { program, shapes, weights, gradient } = threadData<ShareData>();
/** ONNX Runtime takes no shared memory. */
const own = { weights: new Float32Array(weights.length), gradient: new Float32Array(weights.length) };
const loading = loadStep(blockingEngine({ threads: 1 }), program, new ParameterBuffer(shapes));
loading.catch(() => {}); // thrown by `load`

const methods = {
  /** Waits until the program is loaded. */
  load: async (_: undefined): Promise<void> => void (await loading),
  /** Returns the terms of the loss, once the gradient is written. */
  run: async (inputs: Record<string, Values>): Promise<Record<string, Float32Array>> => {
    const step = await loading;
    own.weights.set(weights);
    const terms = await step.run(own.weights, inputs, own.gradient);
    gradient.set(own.gradient);
    return terms;
  },
};

export type ShareMethods = typeof methods;

serveThread(methods);
