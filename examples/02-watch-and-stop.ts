/** @file Follows a generation step by step, saves its small previews, and stops it half way. */

import { Cancelled, DiffusionPipeline, GeneratedImage } from "koala-diffusion";

const pipe = await DiffusionPipeline.fromPretrained(
  process.argv[2] ?? "golden/data/pipelines/koala-700m-tiny",
);
const controller = new AbortController();
const request = { prompt: "a koala in a tree", seed: 7, numInferenceSteps: 10, signal: controller.signal };

try {
  for await (const { index, total, preview } of pipe.stream(request)) {
    const [image] = await preview();
    console.log(`step ${index + 1} of ${total}: a preview of ${image!.width} x ${image!.height}`);
    await new GeneratedImage(image!, 7n).save(`out/preview-${index}.png`);
    if (index === 4) controller.abort();
  }
} catch (error) {
  if (!(error instanceof Cancelled)) throw error;
  console.log("stopped");
}
await pipe.close();
