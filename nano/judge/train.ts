/** @file The judge's training: our own trainer, on real renderings. */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Generator } from "../../src/diffusion/random.js";
import type { Values } from "../../src/engine/engine.js";
import type { BlockingEngine } from "../../src/engine/ort.js";
import { trainingOptions } from "../../src/train/options.js";
import { layoutOf, wholeProgram } from "../../src/train/programs.js";
import { randomWeights } from "../../src/train/random-weights.js";
import { type Job, type RunOptions, train } from "../../src/train/trainer.js";
import { writeSafetensors } from "../../src/weights/safetensors-file.js";
import { type Classes, rightAnswers } from "../questions.js";
import { judgedSize, judgeLoss } from "./network.js";
import { type Drawing, sampleBatch } from "./samples.js";

const batchSize = 32;

export async function trainJudge(
  engine: BlockingEngine,
  drawings: readonly Drawing[],
  classes: Classes,
  { folder, steps, ...run }: Pick<RunOptions, "folder" | "resume" | "onStep"> & { steps: number },
): Promise<void> {
  const options = trainingOptions({
    trainBatchSize: batchSize,
    maxTrainSteps: steps,
    learningRate: 1e-3,
    lrScheduler: "cosine",
    lrWarmupSteps: 20,
    adamWeightDecay: 0.05,
    ema: { decay: 0.99 },
    checkpointingSteps: 200,
  });
  await train(await judgeJob(engine, drawings, classes, folder), { ...run, folder, options });
}

async function judgeJob(
  engine: BlockingEngine,
  shown: readonly Drawing[],
  classes: Classes,
  folder: string,
): Promise<Job> {
  const loss = judgeLoss(classes, batchSize);
  const layout = layoutOf(loss);
  const shapes = new Map([...loss.params].map(([name, t]) => [name, t.shape]));
  const program = await wholeProgram(engine, loss, layout);
  return {
    description: { command: "train", network: "judge", data: "nano" },
    layout,
    initialise: async (weights) => {
      weights.set(randomWeights(layout, shapes, new Generator(0)));
    },
    gradient: async ({ position, batch }, weights, into) => {
      const terms = await program.run(weights, inputsOf(shown, classes, batch), into);
      const losses = Object.fromEntries(Object.entries(terms).map(([name, [value]]) => [name, value!]));
      return { terms: losses, images: batchSize, next: { ...position, batch: position.batch + 1 } };
    },
    save: async (weights) => {
      await mkdir(folder, { recursive: true });
      const tensors = [...layout.tensors(weights)].map(
        ([name, t]) => [name, { dtype: "F32" as const, ...t }] as const,
      );
      await writeSafetensors(path.join(folder, "judge.safetensors"), new Map(tensors));
    },
  };
}

function inputsOf(shown: readonly Drawing[], classes: Classes, batch: number): Record<string, Values> {
  const area = 3 * judgedSize ** 2;
  const picture = new Float32Array(batchSize * area);
  const samples = sampleBatch(shown, batchSize, batch);
  for (const [i, sample] of samples.entries()) picture.set(sample.picture, i * area);
  const right = samples.map(({ drawing: { noun, style }, background }) => ({ noun, style, background }));
  return {
    picture: { data: picture, shape: [batchSize, 3, judgedSize, judgedSize] },
    ...rightAnswers(right, classes),
  };
}
