/** @file Opens a model's safety checker, or the one that is named in its place, and checks images with it. */

import { type Engine, floats, floatsOf } from "../engine/engine.js";
import { FlaggedImageError, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import path from "../files/path.js";
import { blurred } from "../image/blur.js";
import type { RgbImage } from "../image/pixels.js";
import { type ClipVisionConfig, clipModelConfig } from "../models/clip-vision.js";
import {
  checkedAtOnce,
  type SafetyScores,
  safetyCheckerTrace,
  safetyScores,
} from "../models/safety-checker.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { weightsIn } from "../weights/folder.js";
import type { ModelSource } from "../weights/model-source.js";
import { type ClipProcessor, clipPixels, clipProcessor } from "./clip-pixels.js";
import { Component, withStoredWeights } from "./component.js";
import {
  configLabel,
  described,
  expectComponent,
  label,
  openReplacement,
  type WeightOptions,
  weightsOf,
} from "./component-files.js";
import type { LoadOptions } from "./load-options.js";
import type { SafetyRule } from "./safety-rules.js";

export type SafetyChecker = {
  component: Component;
  trace: (p: Params) => Record<string, Tensor>;
  /** Height and width of what it is given, in pixels. */
  imageSize: number;
  processor: ClipProcessor;
  /** The file of the processor's settings; undefined where they are the defaults. */
  processorFile: string | undefined;
  /** Its config.json. */
  config: JsonObject;
};

type CheckerOptions = WeightOptions & Pick<LoadOptions, "safetyChecker"> & { engine: Engine };

const [componentName, className] = ["safety_checker", "StableDiffusionSafetyChecker"];
const settingsName = "preprocessor_config.json";

/** The checker at `options.safetyChecker`, else the model's own, which it has. ModelError. */
export async function loadSafetyChecker(
  source: ModelSource,
  options: CheckerOptions,
): Promise<SafetyChecker> {
  const { safetyChecker: given } = options;
  if (given) return openOther(given, options);
  const own = expectComponent(source, componentName, [className]);
  const config = await own.config();
  const vision = visionConfig(config, configLabel(componentName, source));
  const folders = [source.components.get("feature_extractor")?.path, own.path];
  const trace = safetyCheckerTrace(vision);
  const weights = await weightsOf(own, options, trace);
  const name = label(componentName, weights.files, source);
  const component = networkOf(name, weights, options.engine);
  return { ...(await processorIn(folders, vision)), ...{ config, component, trace } };
}

/** A folder of a checker alone, or of a whole model that has one. */
async function openOther(given: string, { configsOnly, engine }: CheckerOptions): Promise<SafetyChecker> {
  const { kind, location, config } = await openReplacement(given, componentName, [className]);
  if (kind === "file" || config === undefined) {
    const rule = `must be the folder of a ${className} with its config.json`;
    throw new ModelError(given, `${rule}, got ${kind === "file" ? "a file" : "a folder without one"}.`);
  }
  const vision = visionConfig(config.json, config.file);
  const beside = path.join(path.dirname(location), "feature_extractor");
  const trace = safetyCheckerTrace(vision);
  const weights = configsOnly ? described(trace) : await weightsIn(location);
  return {
    ...{ trace, config: config.json },
    ...(await processorIn([location, beside], vision)),
    component: networkOf(label(given, weights.files), weights, engine),
  };
}

const visionConfig = (json: JsonObject, file: string): ClipVisionConfig => clipModelConfig(json, file).vision;

/** What the checker decides by is a third decimal, which half precision has not. */
const networkOf = (name: string, weights: Component["weights"], engine: Engine): Component =>
  new Component(componentName, name, weights, engine, {
    on: (device) => ({ ...withStoredWeights(device), dtype: "float32" }),
  });

/** The first of these folders' settings of the image processor, or its defaults, which are the published checker's. */
async function processorIn(
  folders: readonly (string | undefined)[],
  { imageSize }: ClipVisionConfig,
): Promise<Pick<SafetyChecker, "imageSize" | "processor" | "processorFile">> {
  for (const folder of folders) {
    const file = folder && path.join(folder, settingsName);
    if (file && (await kindOf(file)) === "file")
      return {
        imageSize,
        processor: clipProcessor(await readJson(file), file, imageSize),
        processorFile: file,
      };
  }
  return { imageSize, processor: clipProcessor({}, settingsName, imageSize), processorFile: undefined };
}

/** What a checker computed of an image. */
export type CheckedImage = SafetyScores & { embedding: Float32Array };

/** The scores of images of any size, in their order. */
export async function checkImages(
  { component, trace, imageSize: side, processor }: SafetyChecker,
  images: readonly RgbImage[],
): Promise<CheckedImage[]> {
  const session = await component.session("check", trace);
  const checked: CheckedImage[] = [];
  for (let from = 0; from < images.length; from += checkedAtOnce) {
    const some = images.slice(from, from + checkedAtOnce);
    const pixels = new Float32Array(some.length * 3 * side * side);
    for (const [i, image] of some.entries()) pixels.set(clipPixels(image, processor), i * 3 * side * side);
    const results = await session.run(
      { pixel_values: floats(pixels, some.length, 3, side, side) },
      "its scores",
    );
    const row = (name: string, i: number) => {
      const all = floatsOf(results[name]);
      const width = all.length / some.length;
      return all.slice(i * width, (i + 1) * width);
    };
    for (const i of some.keys())
      checked.push({
        ...safetyScores(row("concepts", i), row("special", i)),
        embedding: row("image_embeds", i),
      });
  }
  return checked;
}

/** An image as it is given: itself, or blurred. */
export type SafeImage = { pixels: RgbImage; flagged: boolean };

/** Images after the rule; FlaggedImageError. */
export async function applySafety(
  images: readonly RgbImage[],
  rule: Exclude<SafetyRule, "off">,
  checker: SafetyChecker,
): Promise<SafeImage[]> {
  const scores = await checkImages(checker, images);
  const flagged = [...images.keys()].filter((i) => scores[i]!.flagged);
  if (rule === "refuse" && flagged.length > 0) throw new FlaggedImageError(flagged, images.length);
  return images.map((image, i) => ({
    pixels: scores[i]!.flagged ? blurred(image) : image,
    flagged: scores[i]!.flagged,
  }));
}
