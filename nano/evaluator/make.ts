/** @file Trains the evaluator and measures it on held-out renderings; opens a trained one. */

import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { accuracy, Evaluator } from "../../src/evaluate/evaluator.js";
import { toRgbImage } from "../../src/image/pixels.js";
import { checkpointSteps } from "../../src/train/checkpoint.js";
import { backgroundNames } from "../data/captions.js";
import { readData } from "../data/dataset.js";
import { evaluatedSize, evaluatorConfig } from "./network.js";
import { type Drawing, heldOutSamples, renderAll } from "./samples.js";
import { trainEvaluator } from "./train.js";

const steps = 2500;
/** The accuracy on held-out renderings below which an evaluator's scores say nothing. */
export const leastAccuracy = 0.95;

/** Present when an evaluator is trained and measured. */
export const evaluatorFile = "config.json";

export async function makeEvaluator(folder: string, signal: AbortSignal): Promise<void> {
  const { nouns, ...data } = readData();
  const drawings = await renderAll({ nouns, ...data });
  const resume = (await checkpointSteps(folder)).length > 0;
  const run = { folder, steps, resume, signal };
  const { stopped } = await trainEvaluator(blockingEngine(), drawings, nouns, run);
  if (stopped) return;
  const config = evaluatorConfig(nouns);
  const write = (json: object) =>
    writeFile(path.join(folder, evaluatorFile), `${JSON.stringify(json, undefined, 2)}\n`);
  await write(config);
  const measured = await heldOutAccuracy(await open(folder), drawings);
  await write({ ...config, accuracy: measured });
  console.log(`on held-out renderings: ${JSON.stringify(measured)}`);
}

/** The evaluator that ships with the model, in half precision. */
export const shippedEvaluator = fileURLToPath(new URL("../../models/nano/evaluator", import.meta.url));

/** The folder of a trained evaluator: the one in `made`, else the one that ships. */
export function evaluatorFolder(made: string): string {
  const folder = existsSync(path.join(made, evaluatorFile)) ? made : shippedEvaluator;
  if (existsSync(path.join(folder, evaluatorFile))) return folder;
  throw new Error(`no evaluator in ${made} or ${shippedEvaluator}: npm run nano -- evaluator trains it`);
}

/** A trained evaluator. */
export const openEvaluator = (made: string): Promise<Evaluator> => open(evaluatorFolder(made));

const open = (folder: string): Promise<Evaluator> => Evaluator.open(folder, blockingEngine());

/** The accuracy on renderings that were not trained on. */
async function heldOutAccuracy(
  evaluator: Evaluator,
  drawings: readonly Drawing[],
): Promise<Record<string, number>> {
  const shown = heldOutSamples(drawings);
  const predicted = await evaluator.predict(
    shown.map(({ image }) => toRgbImage(image, evaluatedSize, evaluatedSize)),
  );
  const { noun, style } = evaluator.config.labels;
  const targets = shown.map(({ drawing, background }) => {
    const { name, same_as = name } = style!.classes[drawing.style]!;
    return {
      noun: noun!.classes[drawing.noun]!.name,
      style: same_as,
      background: backgroundNames[background]!,
    };
  });
  return accuracy(predicted, targets);
}
