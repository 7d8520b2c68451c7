/** @file A thread of `parallel.ts`: losses and gradients of its share of every batch. Started only as a worker. */

import { parentPort, workerData } from "node:worker_threads";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import type { Share, ShareAnswer, ShareRequest } from "./data-parallel.js";
import { loadStep } from "./gradient-program.js";
import { ParameterBuffer } from "./parameter-buffer.js";

const { program, places, weights, gradient } = workerData as Share;
/** ONNX Runtime takes no shared memory. */
const own = { weights: new Float32Array(weights.length), gradient: new Float32Array(weights.length) };
const step = loadStep(blockingEngine({ threads: 1 }), program, new ParameterBuffer(places));
const answer = (message: ShareAnswer) => parentPort!.postMessage(message);
const refuse = (error: unknown) => answer({ error: error instanceof Error ? error.message : String(error) });

step.then(() => answer({ ready: true }), refuse);
parentPort!.on("message", async (inputs: ShareRequest) => {
  try {
    own.weights.set(weights);
    const terms = await (await step).run(own.weights, inputs, own.gradient);
    gradient.set(own.gradient);
    answer({ terms });
  } catch (error) {
    refuse(error);
  }
});
