/** @file The quick start of KOALA's model card, line by line. Without an argument it opens a tiny model with random weights. */

import { EulerDiscreteScheduler, Generator, StableDiffusionXLPipeline } from "koala-diffusion";

const model = process.argv[2] ?? "golden/data/pipelines/koala-1b-tiny";
const pipe = await StableDiffusionXLPipeline.fromPretrained(model, { dtype: "float16" });
pipe.scheduler = EulerDiscreteScheduler.fromConfig(pipe.scheduler.config, { timestepSpacing: "trailing" });

const prompt = "A portrait painting of a Golden Retriever like Leonard da Vinci";
const negativePrompt = "worst quality, low quality, illustration, low resolution";
const { images } = await pipe.generate({
  prompt,
  negativePrompt,
  guidanceScale: 3.5,
  numInferenceSteps: 10,
  generator: new Generator(42),
});
await images[0]!.save("out/retriever.png");
await pipe.close();
console.log("out/retriever.png");
