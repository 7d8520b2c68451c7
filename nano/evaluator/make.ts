/** @file Trains the evaluator and measures it on held-out renderings; opens a trained one. */

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { checkpointSteps } from "../../src/train/checkpoint.js";
import { readData } from "../data/dataset.js";
import { classesOf, type Label } from "../labels.js";
import { Evaluator, heldOutAccuracy } from "./evaluator.js";
import { renderAll } from "./samples.js";
import { trainEvaluator } from "./train.js";

const steps = 2500;
/** The accuracy on held-out renderings below which an evaluator's scores say nothing. */
export const leastAccuracy = 0.95;

export async function makeEvaluator(folder: string, signal: AbortSignal): Promise<void> {
  const data = readData();
  const engine = blockingEngine();
  const drawings = await renderAll(data);
  const resume = (await checkpointSteps(folder)).length > 0;
  const classes = classesOf(data);
  const { stopped } = await trainEvaluator(engine, drawings, classes, { folder, steps, resume, signal });
  if (stopped) return;
  const evaluator = await open(folder);
  const accuracy = await heldOutAccuracy(evaluator, drawings);
  await writeFile(path.join(folder, "accuracy.json"), `${JSON.stringify(accuracy, undefined, 2)}\n`);
  console.log(`on held-out renderings: ${JSON.stringify(accuracy)}`);
}

/** The evaluator of an earlier session, in half precision. */
export const savedEvaluator = fileURLToPath(new URL("../snapshots/evaluator", import.meta.url));

/** A trained evaluator with its accuracy on held-out renderings: the one in `made`, else the snapshot. */
export async function openEvaluator(
  made: string,
): Promise<{ evaluator: Evaluator; accuracy: Record<Label, number> }> {
  const folder = existsSync(path.join(made, "accuracy.json")) ? made : savedEvaluator;
  if (!existsSync(path.join(folder, "accuracy.json")))
    throw new Error(`no evaluator in ${made} or ${savedEvaluator}: npm run nano -- evaluator trains it`);
  const text = await readFile(path.join(folder, "accuracy.json"), "utf8");
  return { evaluator: await open(folder), accuracy: JSON.parse(text) as Record<Label, number> };
}

const open = (folder: string): Promise<Evaluator> =>
  Evaluator.open(blockingEngine(), path.join(folder, "evaluator.safetensors"), readData());
