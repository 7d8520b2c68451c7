/** @file Generates an image with the bundled model, step by step, and saves it. */

import { DiffusionPipeline } from "koala-diffusion";

await using pipe = await DiffusionPipeline.fromPretrained(); // the bundled model; or a folder, or a Hub id

const { images, seeds, warnings } = await pipe.generate({
  prompt: "a koala, flat icon, on a yellow background",
  seed: 7,
  onStep: ({ index, total }) => console.log(`step ${index + 1} of ${total}`),
});
await images[0]!.save("out/koala.png");
console.log(seeds, warnings);
