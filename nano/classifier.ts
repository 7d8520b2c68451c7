/** @file Training of a classifier of labels, as the evaluator and the text encoders are: a training task. */

import { Generator } from "../src/diffusion/random.js";
import type { Values } from "../src/engine/engine.js";
import type { BlockingEngine } from "../src/engine/ort/blocking-engine.js";
import type { TrainingEvent } from "../src/train/events.js";
import { layoutOf, type TracedLoss, wholeProgram } from "../src/train/gradient-program.js";
import type { ParameterBuffer } from "../src/train/parameter-buffer.js";
import { randomWeights } from "../src/train/random-weights.js";
import type { TrainingTask } from "../src/train/trainer.js";

type Classifier = {
  network: string;
  batchSize: number;
  loss: TracedLoss;
  /** The inputs of batch number `batch` of the run. */
  inputsOf: (batch: number) => Record<string, Values>;
  /** Replaces those initial weights that are not random. */
  initialise?: (layout: ParameterBuffer, weights: Float32Array) => Promise<void>;
  save: (layout: ParameterBuffer, weights: Float32Array) => Promise<void>;
};

export async function classifierTask(engine: BlockingEngine, c: Classifier): Promise<TrainingTask> {
  const layout = layoutOf(c.loss);
  const shapes = new Map([...c.loss.params].map(([name, t]) => [name, t.shape]));
  const program = await wholeProgram(engine, c.loss, layout);
  return {
    description: { command: "train", network: c.network, data: "nano" },
    layout,
    initialise: async (weights) => {
      weights.set(randomWeights(layout, shapes, new Generator(0)));
      await c.initialise?.(layout, weights);
    },
    gradient: async ({ position, batch }, weights, into) => {
      const results = await program.run(weights, c.inputsOf(batch), into);
      const terms = Object.fromEntries(Object.entries(results).map(([name, [value]]) => [name, value!]));
      return { terms, images: c.batchSize, next: { ...position, batch: position.batch + 1 } };
    },
    save: (weights) => c.save(layout, weights),
    release: () => program.release(),
  };
}

/** Prints the loss of every fiftieth step. */
export function printLoss(event: TrainingEvent): void {
  if (event.type !== "step" || event.metrics.step % 50 !== 0) return;
  console.log(`step ${event.metrics.step} of ${event.steps}: loss ${event.metrics.loss.toFixed(3)}`);
}
