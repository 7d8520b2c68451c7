/** @file Generates one seed with four schedulers: same noise, four ways to the image. */

import {
  DDIMScheduler,
  DiffusionPipeline,
  DPMSolverMultistepScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
} from "koala-diffusion";

const pipe = await DiffusionPipeline.fromPretrained(process.argv[2] ?? "golden/data/pipelines/koala-1b-tiny");
const { config } = pipe.scheduler;

const trailing = { timestepSpacing: "trailing" } as const;

for (const scheduler of [
  EulerDiscreteScheduler.fromConfig(config, trailing),
  HeunDiscreteScheduler.fromConfig(config, trailing),
  DPMSolverMultistepScheduler.fromConfig(config, trailing),
  DDIMScheduler.fromConfig(config, trailing),
]) {
  pipe.scheduler = scheduler;
  const { images } = await pipe.generate({ prompt: "a lighthouse at dusk", seed: 3, numInferenceSteps: 4 });
  const file = `out/${scheduler.className}.png`;
  await images[0]!.save(file);
  console.log(file);
}
await pipe.close();
