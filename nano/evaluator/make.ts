/** @file Trains the judge, and says how it does on renderings that it was not shown. */

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { checkpointSteps } from "../../src/train/checkpoint.js";
import { readData } from "../data/dataset.js";
import { classesOf, type Question } from "../labels.js";
import { Evaluator, keptAccuracy } from "./evaluator.js";
import { renderAll } from "./samples.js";
import { trainEvaluator } from "./train.js";

const steps = 2500;
/** Below it a judge's scores say nothing. */
export const leastAccuracy = 0.95;

export async function makeEvaluator(folder: string): Promise<void> {
  const data = readData();
  const engine = blockingEngine();
  const drawings = await renderAll(data);
  const resume = (await checkpointSteps(folder).catch(() => [])).length > 0;
  await trainEvaluator(engine, drawings, classesOf(data), {
    folder,
    steps,
    resume,
  });
  const evaluator = await open(folder);
  const accuracy = await keptAccuracy(evaluator, drawings);
  await writeFile(path.join(folder, "accuracy.json"), `${JSON.stringify(accuracy, undefined, 2)}\n`);
  console.log(`on held-out renderings: ${JSON.stringify(accuracy)}`);
}

/** The judge of an earlier session, in half precision. */
export const savedEvaluator = fileURLToPath(new URL("../snapshots/judge", import.meta.url));

/** A trained judge with its own accuracy on held-out renderings: the one in `folder`, else the one that was kept. */
export async function openEvaluator(
  made: string,
): Promise<{ evaluator: Evaluator; accuracy: Record<Question, number> }> {
  const folder = existsSync(path.join(made, "accuracy.json")) ? made : savedEvaluator;
  if (!existsSync(path.join(folder, "accuracy.json")))
    throw new Error(`no judge in ${made} or ${savedEvaluator}: npm run nano -- judge trains it`);
  const text = await readFile(path.join(folder, "accuracy.json"), "utf8");
  return { evaluator: await open(folder), accuracy: JSON.parse(text) as Record<Question, number> };
}

const open = (folder: string): Promise<Evaluator> =>
  Evaluator.open(blockingEngine(), path.join(folder, "judge.safetensors"), readData());
