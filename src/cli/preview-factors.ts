/** @file `koala preview-factors`: fits the colours of a model's previews to its autoencoder, into its `koala.json`. */

import path from "node:path";
import { Command } from "commander";
import { Cancelled, FileError, InvalidRequest } from "../errors.js";
import { kindOf, readdir, readJson, writeWhole } from "../files/file-system.js";
import { checkWritable } from "../files/writable.js";
import { cacheFolder } from "../hub/settings.js";
import { decodeImage } from "../image/codec.js";
import type { RgbImage } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { type FittedFactors, fitPreviewFactors } from "../pipeline/preview-factors.js";
import { isImageName } from "../train/data/image-names.js";
import { type DeviceFlags, deviceFlags, withDeviceOptions } from "./device.js";
import { downloadModel } from "./models.js";
import { wholeOption } from "./numbers.js";
import { ProgressBar, stopOnInterrupt } from "./terminal.js";

type Options = DeviceFlags & { data: string; count: number; print?: boolean; quiet?: boolean };

export function previewFactorsCommand(): Command {
  const command = new Command("preview-factors")
    .description(
      "Fit the colours of a model's previews: by least squares, on images that its autoencoder encodes and " +
        "decodes. They go into the model's koala.json.",
    )
    .argument("<model>", "diffusers folder or Hub id")
    .requiredOption("-d, --data <folder>", "images such as the model generates")
    .option("-c, --count <n>", "images to use at most", wholeOption, 200);
  return withDeviceOptions(command)
    .option("--print", "print what koala.json would hold, and write nothing")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText("after", "\nExample:\n  koala preview-factors ./my-model -d ./images\n")
    .action(run);
}

async function run(model: string, options: Options): Promise<void> {
  const { data, count, print = false, quiet = false } = options;
  const say = (line: string) => void (quiet || process.stderr.write(`${line}\n`));
  const files = await imagesIn(data, count);
  const folder = await downloadModel(model, { quiet });
  const shared = path.resolve(folder).startsWith(path.join(cacheFolder(), path.sep));
  if (shared && !print) {
    const rule = "must be given for a model in the Hub's cache, which other programs share, got none";
    throw new InvalidRequest("--print", undefined, `${rule}. Add it, and keep what it prints.`);
  }
  if (!print) await checkWritable(folder);
  const pipeline = await DiffusionPipeline.fromPretrained(folder, deviceFlags(options));
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet });
  try {
    progress.start("fitting", files.length);
    const fitted = await fitPreviewFactors(pipeline, decoded(files, pipeline, progress, signal));
    progress.stop();
    say(`${fitted.images} images; the factors explain ${(100 * fitted.r2).toFixed(1)} % of their colours`);
    if (print) process.stdout.write(text(previewOf(fitted)));
    else process.stdout.write(`${await kept(folder, fitted)}\n`);
  } finally {
    progress.stop();
    done();
    await pipeline.close();
  }
}

const previewOf = ({ factors, bias }: FittedFactors) => ({ preview: { factors, bias } });

/** JSON with the numbers of a row on one line. */
const text = (value: object): string =>
  `${JSON.stringify(value, undefined, 2).replace(/\[[\d\s.,e-]+\]/g, (row) => row.replace(/\s+/g, " "))}\n`;

/** Puts the factors into the folder's koala.json, whose other fields stay. */
async function kept(folder: string, fitted: FittedFactors): Promise<string> {
  const file = path.join(folder, "koala.json");
  const before = (await kindOf(file)) === "file" ? await readJson(file) : {};
  try {
    await writeWhole(file, text({ ...before, ...previewOf(fitted) }));
  } catch (error) {
    process.stdout.write(text(previewOf(fitted)));
    throw error instanceof FileError ? error.saying("What was fitted is on standard output.") : error;
  }
  return file;
}

async function imagesIn(folder: string, most: number): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  const images = names.filter(isImageName).sort();
  if (images.length === 0) {
    const rule = `must hold images, got none in ${folder}`;
    throw new InvalidRequest("--data", folder, `${rule}. Put PNG, JPEG or WebP files there.`);
  }
  // Spread over all of them: a folder is often sorted by what it shows.
  const step = Math.max(1, images.length / most);
  const chosen = Array.from(
    { length: Math.min(most, images.length) },
    (_, i) => images[Math.floor(i * step)]!,
  );
  return chosen.map((name) => path.join(folder, name));
}

/** Images of the model's own size, each side 512 pixels at most. */
async function* decoded(
  files: readonly string[],
  { components }: DiffusionPipeline,
  progress: ProgressBar,
  signal: AbortSignal,
): AsyncGenerator<RgbImage> {
  const { width, height } = components.trainedSize;
  const started = performance.now();
  for (const [i, file] of files.entries()) {
    if (signal.aborted) throw new Cancelled("the fit");
    const { image } = await decodeImage(file, { field: "--data" });
    yield resizeImage(image, Math.min(512, width), Math.min(512, height));
    progress.step(i + 1, ((performance.now() - started) / 1000 / (i + 1)) * (files.length - i - 1));
  }
}
