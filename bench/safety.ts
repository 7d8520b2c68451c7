/**
 * @file What checking costs: the bundled model's images with a safety checker of the published shape (CLIP ViT-L/14, random
 * weights) and without one, turn by turn.
 *
 *     npx tsx bench/safety.ts [--rounds 5] [--threads 2]
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Generator } from "../src/diffusion/random.js";
import { clipModelConfig } from "../src/models/clip-vision.js";
import { safetyCheckerTrace } from "../src/models/safety-checker.js";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import { manifest } from "../src/tensor/params.js";
import { count } from "../src/tensor/tensor.js";
import type { TensorData } from "../src/weights/safetensors.js";
import { writeSafetensors } from "../src/weights/safetensors-file.js";

const { values } = parseArgs({ options: { rounds: { type: "string" }, threads: { type: "string" } } });
const { rounds = "5", threads = "2" } = values;

/** Of `CompVis/stable-diffusion-safety-checker`. */
const config = {
  ...{ model_type: "clip", architectures: ["StableDiffusionSafetyChecker"], projection_dim: 768 },
  vision_config: {
    ...{ hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24, num_attention_heads: 16 },
    patch_size: 14,
  },
};

async function makeChecker(folder: string): Promise<void> {
  await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
  const { vision } = clipModelConfig(config, "config.json");
  const block = new Generator(0n).normal(2 ** 16).map((x) => 0.02 * x);
  const tensors = new Map<string, TensorData>();
  for (const [name, shape] of manifest(safetyCheckerTrace(vision))) {
    const data = Float32Array.from({ length: count(shape) }, (_, i) => block[i % block.length]!);
    // No cosine reaches these, so that nothing is blurred.
    if (name.endsWith("embeds_weights")) data.fill(2);
    tensors.set(name, { dtype: "F32", shape: [...shape], data });
  }
  await writeSafetensors(path.join(folder, "model.safetensors"), tensors);
}

const folder = await mkdtemp(path.join(tmpdir(), "koala-checker-"));
try {
  await makeChecker(folder);
  const pipe = await DiffusionPipeline.fromPretrained(undefined, {
    ...{ safetyChecker: folder, threads: Number(threads) },
  });
  const seconds = { off: [] as number[], blur: [] as number[] };
  for (let round = -1; round < Number(rounds); round++) {
    for (const safety of ["off", "blur"] as const) {
      const started = performance.now();
      await pipe.generate({ prompt: "a red apple, flat icon", seed: 1, safety });
      if (round >= 0) seconds[safety].push((performance.now() - started) / 1000);
    }
  }
  await pipe.close();
  const median = (all: number[]) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
  const [off, blur] = [median(seconds.off), median(seconds.blur)];
  console.log(`median of ${rounds}: ${off.toFixed(2)} s without, ${blur.toFixed(2)} s with a checker`);
  console.log(`${(blur - off).toFixed(2)} s per image, whatever the model`);
} finally {
  await rm(folder, { recursive: true });
}
