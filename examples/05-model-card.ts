/**
 * @file The quick start of KOALA's model card, line by line, on the device of the second argument. Without arguments it
 * opens a tiny model with random weights on the CPU.
 */

import { EulerDiscreteScheduler, Generator, StableDiffusionXLPipeline } from "koala-diffusion";

const [model = "golden/data/pipelines/koala-1b-tiny", device = "cpu"] = process.argv.slice(2);
const allowSoftwareAdapter = process.env.KOALA_SOFTWARE_ADAPTER !== undefined; // a test machine without a GPU
const pipe = await StableDiffusionXLPipeline.fromPretrained(model, {
  dtype: "float16",
  allowSoftwareAdapter,
});
await pipe.to(device); // the CPU computes in float32, and warns that it does
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
console.log(`out/retriever.png, generated on ${pipe.device} in ${pipe.dtype}`);
await pipe.close();
