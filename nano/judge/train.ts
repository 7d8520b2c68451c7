/** @file The judge's training: our own trainer, on the real renderings that are not held out. */

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
import { type Classes, judgedSize, judgeLoss, questions, rightAnswer } from "./network.js";
import { type Rendering, sampleBatch } from "./samples.js";

const batchSize = 64;

export async function trainJudge(
  engine: BlockingEngine,
  renderings: readonly Rendering[],
  classes: Classes,
  { folder, steps, ...run }: Pick<RunOptions, "folder" | "resume" | "onStep"> & { steps: number },
): Promise<void> {
  const options = trainingOptions({
    trainBatchSize: batchSize,
    maxTrainSteps: steps,
    learningRate: 2e-3,
    lrScheduler: "cosine",
    lrWarmupSteps: 20,
    adamWeightDecay: 0.05,
    ema: { decay: 0.99 },
    checkpointingSteps: 200,
  });
  await train(
    await judgeJob(
      engine,
      renderings.filter((r) => !r.held),
      classes,
      folder,
    ),
    { ...run, folder, options },
  );
}

async function judgeJob(
  engine: BlockingEngine,
  shown: readonly Rendering[],
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

function inputsOf(shown: readonly Rendering[], classes: Classes, batch: number): Record<string, Values> {
  const area = 3 * judgedSize ** 2;
  const picture = new Float32Array(batchSize * area);
  const right = Object.fromEntries(questions.map((q) => [q, new Float32Array(batchSize * classes[q])]));
  for (const [i, sample] of sampleBatch(shown, batchSize, batch).entries()) {
    picture.set(sample.picture, i * area);
    const { noun, style } = sample.rendering;
    const answers = { noun, style, background: sample.background };
    for (const q of questions) right[q]![i * classes[q] + answers[q]] = 1;
  }
  return {
    picture: { data: picture, shape: [batchSize, 3, judgedSize, judgedSize] },
    ...Object.fromEntries(
      questions.map((q) => [rightAnswer(q), { data: right[q]!, shape: [batchSize, classes[q]] }]),
    ),
  };
}
