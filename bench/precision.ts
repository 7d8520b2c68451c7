/**
 * @file How far weights in eight bits take images from float32: PSNR and SSIM to the same prompt and seed, and the accuracy
 * by the model's own evaluator, for each choice of `--weights`. A Markdown table; `--row FILE.png` draws some of the images.
 *
 *     npx tsx bench/precision.ts [--model FOLDER] [--prompts 50] [--seed 7] [--weights int8] [--row out/precision.png]
 */

import path from "node:path";
import { parseArgs } from "node:util";
import { markdownTable } from "../src/cli/table.js";
import { parseWeights, type WeightFormat, weightFormats } from "../src/engine/device.js";
import { openEngine } from "../src/engine/open-engine.js";
import type { Estimate } from "../src/evaluate/bootstrap.js";
import { Evaluator } from "../src/evaluate/evaluator.js";
import { type Measured, measureOf, measurePrompt } from "../src/evaluate/measures.js";
import { type EvaluationPrompt, promptsOfSet } from "../src/evaluate/prompt-sets.js";
import { spread } from "../src/evaluate/read-prompts.js";
import { figures } from "../src/evaluate/summary.js";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { saveImage } from "../src/image/codec.js";
import type { RgbImage } from "../src/image/pixels.js";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import { readVocabulary } from "../src/pipeline/read-vocabulary.js";

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    prompts: { type: "string", default: "50" },
    seed: { type: "string", default: "7" },
    weights: { type: "string", default: weightFormats.slice(1).join() },
    row: { type: "string" },
  },
});
const model = modelOrBundled(values.model);
const choices = values.weights.split(",").map(parseWeights);

async function generated(
  weights: WeightFormat,
  prompts: readonly EvaluationPrompt[],
): Promise<readonly RgbImage[]> {
  await using pipe = await DiffusionPipeline.fromPretrained(model, { weights });
  const images: RgbImage[] = [];
  for (const [i, { prompt }] of prompts.entries()) {
    const seed = BigInt(values.seed) + BigInt(i);
    images.push((await pipe.generate({ prompt, seed, onWarning: () => {} })).images[0]!);
    process.stderr.write(`\r${weights} ${i + 1}/${prompts.length} `);
  }
  process.stderr.write("\n");
  return images;
}

/** A figure with its interval of 95 %. */
function shown({ mean, interval }: Estimate, id: string): string {
  const { digits } = measureOf(id);
  const text = (x: number) => (Number.isFinite(x) ? x.toFixed(digits) : "equal");
  return interval ? `${text(mean)} (${interval.map(text).join(" to ")})` : text(mean);
}

/** The first images of each choice side by side, a row for each. */
function sheet(rows: readonly (readonly RgbImage[])[], most = 8): RgbImage {
  const [{ width, height }] = rows[0] as [RgbImage];
  const columns = Math.min(most, rows[0]!.length);
  const data = new Uint8Array(3 * width * columns * height * rows.length);
  for (const [r, images] of rows.entries())
    for (const [c, image] of spread(images, columns).entries())
      for (let y = 0; y < height; y++) {
        const to = 3 * ((r * height + y) * width * columns + c * width);
        data.set(image.data.subarray(3 * y * width, 3 * (y + 1) * width), to);
      }
  return { width: width * columns, height: height * rows.length, data };
}

const all = promptsOfSet("vocabulary", await readVocabulary(model)) ?? promptsOfSet("complex", undefined)!;
const prompts = spread(all, Number(values.prompts));
const engine = await openEngine({ threads: 1 });
const evaluator = await Evaluator.open(path.join(model, "evaluator"), engine).catch(() => undefined);
const measured = (images: readonly RgbImage[], reference: readonly RgbImage[]): Promise<Measured[]> =>
  Promise.all(
    prompts.map(({ prompt }, i) =>
      measurePrompt({ prompt, images: [images[i]!], reference: [reference[i]!] }, { evaluator }),
    ),
  );

const stored = await generated("stored", prompts);
const reference = await measured(stored, stored);
const rows: string[][] = [];
const images = [stored];
let measures: string[] = [];
for (const weights of choices) {
  const own = await generated(weights, prompts);
  images.push(own);
  const found = figures(await measured(own, stored), reference);
  measures = found.map(({ measure }) => measure);
  if (rows.length === 0)
    rows.push([
      "stored",
      ...found.map(({ reference, measure }) => (reference ? shown(reference, measure) : "equal")),
    ]);
  rows.push([weights, ...found.map(({ model, measure }) => shown(model, measure))]);
}
await engine.close();
const columns = ["weights", ...measures.map((id) => measureOf(id).name)].map((title) => ({ title }));
process.stdout.write(markdownTable(columns, rows));
if (values.row !== undefined) await saveImage(values.row, sheet(images));
