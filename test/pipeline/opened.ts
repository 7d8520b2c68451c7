/** @file What tests of pipelines share: the golden folders, a request, and a pipeline that is closed after its use. */

import path from "node:path";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import type { GenerateRequest } from "../../src/pipeline/request.js";

const golden = new URL("../../golden/data/pipelines", import.meta.url).pathname;
export const folder = (name: string) => path.resolve(golden, name);
export const bicycle: GenerateRequest = {
  prompt: "a red bicycle beside a yellow wall",
  width: 64,
  height: 64,
  numInferenceSteps: 2,
  guidanceScale: 3.5,
  seed: 7,
};

export async function opened<T>(name: string, use: (pipe: DiffusionPipeline) => Promise<T>): Promise<T> {
  const pipe = await DiffusionPipeline.fromPretrained(folder(name), { threads: 1 });
  try {
    return await use(pipe);
  } finally {
    await pipe.close();
  }
}
