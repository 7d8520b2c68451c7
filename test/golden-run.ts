/** @file Golden runs as requests of AUTOMATIC1111's API, and how far an answer is from their images. */

import { readFileSync } from "node:fs";
import sharp from "sharp";
import { pipelines } from "./serving.js";

const golden = new URL("../golden/data/", import.meta.url).pathname;

type Run = {
  call: { prompt: string; negative_prompt: string; num_inference_steps: number; guidance_scale: number };
  generator: { seeds: [number] };
  textual_inversion?: { token: string; file: string }[];
};

/** `name` is of a run with Euler on trailing timesteps, of 64 x 64 pixels. */
export function goldenRun(name: string) {
  const { call, generator, textual_inversion } = JSON.parse(
    readFileSync(`${golden}runs/${name}.json`, "utf8"),
  ) as Run;
  return {
    model: `${pipelines}/${name.split("/")[0]}`,
    embeddings: (textual_inversion ?? []).map(({ token, file }) => ({ token, file: golden + file })),
    /** The body of `/sdapi/v1/txt2img`. */
    body: {
      ...{ prompt: call.prompt, negative_prompt: call.negative_prompt, width: 64, height: 64 },
      ...{ steps: call.num_inference_steps, cfg_scale: call.guidance_scale, seed: generator.seeds[0] },
      ...{ sampler_name: "Euler", scheduler: "SGM Uniform" },
    },
    /** The largest difference of a level between the golden image and the answer's. */
    levelsApart: async (answer: unknown): Promise<number> => {
      const { images } = answer as { images: string[] };
      const [got, wanted] = await Promise.all(
        [Buffer.from(images[0]!, "base64"), readFileSync(`${golden}runs/${name}.png`)].map((png) =>
          sharp(png).removeAlpha().raw().toBuffer(),
        ),
      );
      return Math.max(...got!.map((level, i) => Math.abs(level - wanted![i]!)));
    },
  };
}
