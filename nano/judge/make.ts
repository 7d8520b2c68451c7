/** @file Trains the judge, and says how it does on the renderings that it was not shown. */

import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { blockingEngine } from "../../src/engine/ort.js";
import { checkpointSteps } from "../../src/train/checkpoint.js";
import { type Data, readData } from "../data/dataset.js";
import { heldOutAccuracy, Judge } from "./judge.js";
import type { Question } from "./network.js";
import { classesOf, renderAll } from "./samples.js";
import { trainJudge } from "./train.js";

const steps = 1200;
/** Below it a judge's scores say nothing. */
export const leastAccuracy = 0.95;

export async function makeJudge(folder: string): Promise<void> {
  const data = readData();
  const engine = blockingEngine();
  const renderings = await renderAll(data);
  const resume = (await checkpointSteps(folder).catch(() => [])).length > 0;
  await trainJudge(engine, renderings, classesOf(data), {
    folder,
    steps,
    resume,
    onStep: ({ step, loss }) => {
      if (step % 50 === 0) console.log(`step ${step} of ${steps}: loss ${loss?.toFixed(3)}`);
    },
  });
  const judge = await open(folder, data);
  const accuracy = await heldOutAccuracy(judge, renderings);
  await writeFile(path.join(folder, "accuracy.json"), `${JSON.stringify(accuracy, undefined, 2)}\n`);
  console.log(`on held-out renderings: ${JSON.stringify(accuracy)}`);
}

/** A trained judge with its own accuracy on held-out renderings. */
export async function openJudge(
  folder: string,
  data: Data,
): Promise<{ judge: Judge; accuracy: Record<Question, number> }> {
  const text = await readFile(path.join(folder, "accuracy.json"), "utf8");
  return { judge: await open(folder, data), accuracy: JSON.parse(text) as Record<Question, number> };
}

const open = (folder: string, data: Data): Promise<Judge> =>
  Judge.open(blockingEngine(), path.join(folder, "judge.safetensors"), classesOf(data));
