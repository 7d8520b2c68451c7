/** @file Training of a U-Net by the task loss, new or fine-tuned, from folders to a model folder. */

import path from "node:path";
import { InvalidRequest } from "../errors.js";
import { readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { unetConfig } from "../models/unet-config.js";
import { loadComponents } from "../pipeline/components.js";
import type { TrainingResult } from "./events.js";
import { checkExport, exportModel } from "./export.js";
import { componentWeights, finetuningTask, textEncoderName } from "./finetuning-task.js";
import { checkLoraOutput, exportLora } from "./lora/export.js";
import type { LoraOptions } from "./lora/options.js";
import { schedulerFields } from "./noise.js";
import type { TrainingRequest } from "./options.js";
import { withEngine } from "./run-engine.js";
import {
  type AutoencoderSetting,
  autoencoderSettings,
  type CachedRunOptions,
  checkFolders,
  type DistillationSetting,
  distillationSettings,
  openRunCache,
  resolveRun,
  runNoise,
} from "./run-options.js";
import { generateSamples } from "./samples.js";
import { train } from "./trainer.js";

export type FinetuneOptions = CachedRunOptions &
  Omit<TrainingRequest, AutoencoderSetting | DistillationSetting> & {
    /** Model folder to begin with, in Diffusers' layout. What is not trained becomes part of the result. */
    model: string;
    /** A U-Net of another shape in place of the model's, with random weights: its config.json, or the config. */
    unet?: string | JsonObject;
    /** Trains the text encoders too. Default false: their embeddings are computed once. */
    textEncoders?: boolean;
    /** Begins what is trained with random weights. Default false. */
    fromScratch?: boolean;
  };

/** Settings of distillation that make it training by the task loss alone. */
const taskLossAlone: TrainingRequest = { feature: "none", loss: { task: 1, out: 0, feat: 0 } };

/**
 * Trains a U-Net by the error of its prediction (Ho et al. 2020), with or without its text encoders. `output` becomes a
 * complete model folder, with `lora` that of a LoRA; it is saved at every checkpoint, at the end and when the signal fires. InvalidRequest by the
 * option's name, ModelError and FileError by the file's; Cancelled when the signal fires before training begins.
 */
export async function finetune({
  model,
  unet,
  textEncoders: trainEncoders = false,
  fromScratch = false,
  ...rest
}: FinetuneOptions): Promise<TrainingResult> {
  const resolved = resolveRun(rest, [...autoencoderSettings, ...distillationSettings], taskLossAlone);
  checkLora(resolved.options.lora, { unet, fromScratch });
  await checkFolders(resolved.output, resolved.cacheFolder);
  const run = await withEngine(resolved);
  const { engine, options, output, resume, signal, onEvent } = run;
  const { json, file } = await readUnet(model, unet);
  const components = await loadComponents(model, { engine });
  const trained = trainEncoders ? components.textEncoders : [];
  const names = trained.map((_, i) => textEncoderName(i));
  const exported = { teacher: model, unetConfig: json, scheduler: schedulerFields(options), output };
  const { lora } = options;
  await (lora ? checkLoraOutput(output) : checkExport(exported, new Set(names)));
  const cache = await openRunCache(run, components);

  const initial = <T>(weights: T) => (fromScratch ? undefined : weights);
  const description = {
    command: "train",
    model: path.basename(model),
    data: path.basename(run.data),
    textEncoders: trainEncoders,
  };
  const saveModel = (weights: Float32Array) =>
    exportModel({
      ...exported,
      weights: componentWeights(task.layout, weights, "unet"),
      textEncoders: new Map(names.map((name) => [name, componentWeights(task.layout, weights, name)])),
    });
  const isXl = components.family === "sdxl";
  const task = finetuningTask({
    engine,
    options,
    unet: {
      config: unetConfig(json, file),
      weights: unet === undefined ? initial(components.unet.component.weights) : undefined,
    },
    encoders: trained.map((encoder) => ({ ...encoder, weights: initial(encoder.component.weights) })),
    schedule: runNoise(components, options),
    cache,
    description,
    save: (weights) =>
      lora
        ? exportLora({ weights: task.layout.tensors(weights), lora, isXl, description, output })
        : saveModel(weights),
    generateSamples: (step) =>
      generateSamples(output, step, options.validationPrompts, { engine, ...(lora && { base: model }) }),
  });
  return train(task, { folder: output, options, resume, signal, onEvent });
}

/** InvalidRequest where a LoRA has no trained weights to be beside. */
function checkLora(
  lora: LoraOptions | null,
  { unet, fromScratch }: { unet: FinetuneOptions["unet"] | undefined; fromScratch: boolean },
): void {
  const other = unet === undefined ? fromScratch && "fromScratch" : "unet";
  if (!lora || !other) return;
  const rule = `has no effect with ${other}: a LoRA is trained beside the model's own weights. Leave one of them out.`;
  throw new InvalidRequest("lora", lora, rule);
}

/** The config of the U-Net to be trained, and its name in errors. */
async function readUnet(
  model: string,
  unet: string | JsonObject | undefined,
): Promise<{ json: JsonObject; file: string }> {
  if (typeof unet === "object") return { json: unet, file: "unet" };
  const json = await readJson(unet ?? path.join(model, "unet", "config.json"));
  return { json, file: unet ?? "unet/config.json" };
}
