/** @file Training of an `AutoencoderTiny` by the images it reconstructs, from data to a folder. */

import path from "node:path";
import { kindOf, readJson } from "../files/file-system.js";
import { tinyVaeConfig } from "../models/tiny-vae.js";
import { resolveWeights } from "../weights/component.js";
import { autoencoderTask, checkAutoencoderOutput, loadImages } from "./autoencoder-task.js";
import type { SkippedExample } from "./data/example.js";
import { openData } from "./data/source.js";
import type { TrainingResult } from "./events.js";
import type { TrainingRequest } from "./options.js";
import { withEngine } from "./run-engine.js";
import {
  checkFolders,
  type DiffusionSetting,
  type DistillationSetting,
  diffusionSettings,
  distillationSettings,
  resolveRun,
  type TrainingRunOptions,
} from "./run-options.js";
import { train } from "./trainer.js";

export type TrainAutoencoderOptions = TrainingRunOptions &
  Omit<TrainingRequest, DiffusionSetting | DistillationSetting> & {
    /** A config.json of an `AutoencoderTiny`, which begins with random weights, or the folder of a trained one. */
    autoencoder: string;
    /** Begins a folder's autoencoder with random weights too. Default false. */
    fromScratch?: boolean;
  };

/**
 * Trains an `AutoencoderTiny` (TAESD's architecture) by the mean squared error of its reconstructions in -1..1. All images
 * are kept in memory at `resolution`. `output` becomes its folder: config.json and weights. Errors as of `finetune`.
 */
export async function trainAutoencoder({
  autoencoder,
  fromScratch = false,
  ...rest
}: TrainAutoencoderOptions): Promise<TrainingResult> {
  const resolved = resolveRun(rest, [...diffusionSettings, ...distillationSettings]);
  await checkFolders(resolved.output);
  const run = await withEngine(resolved);
  const { engine, data, dataOptions, options, output, resume, signal, onEvent } = run;
  const isFolder = (await kindOf(autoencoder)) === "folder";
  const json = await readJson(isFolder ? path.join(autoencoder, "config.json") : autoencoder);
  const config = tinyVaeConfig(json, autoencoder);
  await checkAutoencoderOutput(output);
  const skipped: SkippedExample[] = [];
  const images = await loadImages(await openData(data, dataOptions), options, (one) => skipped.push(one));
  onEvent({ type: "skipped", examples: skipped });
  const task = autoencoderTask({
    engine,
    options,
    config,
    json,
    ...(isFolder && !fromScratch && { weights: await resolveWeights(autoencoder) }),
    images,
    output,
    description: { command: "train", autoencoder: path.basename(autoencoder), data: path.basename(data) },
  });
  return train(task, { folder: output, options, resume, signal, onEvent });
}
