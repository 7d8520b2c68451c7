/** @file Training of the evaluator on real renderings. */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Values } from "../../src/engine/engine.js";
import type { BlockingEngine } from "../../src/engine/ort/blocking-engine.js";
import type { TrainingResult } from "../../src/train/events.js";
import { trainingOptions } from "../../src/train/options.js";
import { train } from "../../src/train/trainer.js";
import { writeSafetensors } from "../../src/weights/safetensors-file.js";
import { classifierTask, printLoss } from "../classifier.js";
import type { Data } from "../data/dataset.js";
import { classesOf, targetValues } from "../labels.js";
import { evaluatedSize, evaluatorLoss } from "./network.js";
import { type Drawing, sampleBatch } from "./samples.js";

const batchSize = 32;

export async function trainEvaluator(
  engine: BlockingEngine,
  drawings: readonly Drawing[],
  nouns: Data["nouns"],
  { folder, steps, resume, signal }: { folder: string; steps: number; resume: boolean; signal: AbortSignal },
): Promise<TrainingResult> {
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
  const task = await classifierTask(engine, {
    network: "evaluator",
    batchSize,
    loss: evaluatorLoss(nouns, batchSize),
    inputsOf: (batch) => inputsOf(drawings, nouns, batch),
    save: async (layout, weights) => {
      await mkdir(folder, { recursive: true });
      const tensors = [...layout.tensors(weights)].map(
        ([name, t]) => [name, { dtype: "F32" as const, ...t }] as const,
      );
      await writeSafetensors(path.join(folder, "model.safetensors"), new Map(tensors));
    },
  });
  return train(task, { folder, resume, options, signal, onEvent: printLoss });
}

function inputsOf(shown: readonly Drawing[], nouns: Data["nouns"], batch: number): Record<string, Values> {
  const area = 3 * evaluatedSize ** 2;
  const image = new Float32Array(batchSize * area);
  const samples = sampleBatch(shown, batchSize, batch);
  for (const [i, sample] of samples.entries()) image.set(sample.image, i * area);
  const targets = samples.map(({ drawing: { noun, style }, background }) => ({ noun, style, background }));
  return {
    image: { data: image, shape: [batchSize, 3, evaluatedSize, evaluatedSize] },
    ...targetValues(targets, classesOf({ nouns })),
  };
}
