/**
 * @file The images of `koala evaluate`: a model's image of each prompt from each seed, in files whose names end in a hash of
 * all that they are generated from. A whole file that is there is not generated again.
 */

import path from "node:path";
import { schedulerFromConfig, schedulerNamed } from "../diffusion/schedulers/registry.js";
import { seedAfter } from "../diffusion/seed.js";
import type { WeightFormat } from "../engine/device.js";
import { Cancelled } from "../errors.js";
import type { EvaluationPrompt } from "../evaluate/prompt-sets.js";
import type { ModelMetadata } from "../pipeline/metadata/schema.js";
import { requestDefaults } from "../pipeline/model-defaults.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { hashOf } from "../weights/fingerprint.js";
import { type DeviceFlags, deviceFlags } from "./device.js";
import { isWholeCell, slug } from "./grid-folder.js";
import { writeOutputs } from "./output-files.js";
import type { ProgressBar } from "./terminal.js";

/** What all images of a model are generated with. */
type SideSettings = {
  steps: number;
  guidanceScale: number;
  width: number;
  height: number;
  scheduler: string;
  negativePrompt?: string;
};

/** What may be given of it; the model's defaults for the rest. */
export type GivenSettings = { [K in keyof SideSettings]?: SideSettings[K] | undefined };

/** A model's images: files by prompt and seed. */
export type Side = {
  model: ModelMetadata;
  settings: SideSettings;
  device: string;
  dtype: string;
  weights: WeightFormat;
  files: readonly (readonly string[])[];
};

type Generation = {
  prompts: readonly EvaluationPrompt[];
  /** The first seed, and how many. */
  seed: bigint;
  seeds: number;
  output: string;
  load: DeviceFlags & { threads?: number | undefined };
  progress: ProgressBar;
  signal: AbortSignal;
  say: (line: string) => void;
  warn: (line: string) => void;
};

/** Opens a model and generates what of its images is missing. */
export async function generateSide(folder: string, given: GivenSettings, run: Generation): Promise<Side> {
  const { threads } = run.load;
  const pipeline = await DiffusionPipeline.fromPretrained(folder, {
    ...deviceFlags(run.load),
    ...(threads !== undefined && { threads }),
  });
  try {
    if (given.scheduler !== undefined) {
      const { className, overrides } = schedulerNamed(given.scheduler);
      pipeline.scheduler = schedulerFromConfig(pipeline.scheduler.config, overrides, className);
    }
    const settings = settingsOf(pipeline, given);
    const model = await pipeline.model();
    const { device, dtype, weights } = pipeline;
    // Of stored weights as it was before there were others, so that such evaluations go on.
    const held = weights === "stored" ? [] : [weights];
    const parts = [model.fingerprint, settings, pipeline.scheduler.config, device, dtype, ...held];
    const files = run.prompts.map(({ prompt }) =>
      Array.from({ length: run.seeds }, (_, i) => {
        const seed = String(seedAfter(run.seed, i));
        const hash = hashOf([...parts, prompt, seed])
          .replace(/^sha256:/, "")
          .slice(0, 12);
        return path.join("images", `${slug(prompt)}-seed-${seed}-${hash}.png`);
      }),
    );
    await generateMissing(pipeline, { model, settings, device, dtype, weights, files }, run);
    return { model, settings, device, dtype, weights, files };
  } finally {
    await pipeline.close();
  }
}

function settingsOf(pipeline: DiffusionPipeline, given: GivenSettings): SideSettings {
  const defaults = requestDefaults(pipeline.components, "textToImage");
  const negative = given.negativePrompt ?? defaults.negativePrompt;
  return {
    steps: given.steps ?? defaults.numInferenceSteps,
    guidanceScale: given.guidanceScale ?? defaults.guidanceScale,
    width: given.width ?? defaults.width,
    height: given.height ?? defaults.height,
    scheduler: given.scheduler ?? pipeline.scheduler.className,
    ...(negative !== undefined && { negativePrompt: negative }),
  };
}

async function generateMissing(pipeline: DiffusionPipeline, side: Side, run: Generation): Promise<void> {
  const { settings, files, model } = side;
  const all = files.flatMap((row, p) => row.map((file, s) => ({ file, prompt: run.prompts[p]!.prompt, s })));
  const missing: typeof all = [];
  for (const one of all)
    if (!(await isWholeCell(path.join(run.output, one.file), settings))) missing.push(one);
  const kept = all.length - missing.length;
  const { steps, guidanceScale, scheduler } = settings;
  run.say(
    `${model.name}: ${all.length} images, ${steps} steps, guidance ${guidanceScale}, ${scheduler}` +
      (kept > 0 ? `; ${kept} are there` : ""),
  );
  const { steps: numInferenceSteps, scheduler: _, ...request } = settings;
  const started = performance.now();
  run.progress.start(`generating with ${model.name}`, missing.length);
  for (const [i, { file, prompt, s }] of missing.entries()) {
    if (run.signal.aborted) throw new Cancelled("the evaluation");
    const { images } = await pipeline.generate({
      ...{ ...request, numInferenceSteps, prompt, seed: seedAfter(run.seed, s), signal: run.signal },
      onWarning: run.warn,
    });
    const bytes = () => images[0]!.encode("png");
    const { failure } = await writeOutputs([{ file: path.join(run.output, file), numbered: false, bytes }]);
    if (failure) throw failure;
    const each = (performance.now() - started) / 1000 / (i + 1);
    run.progress.step(i + 1, each * (missing.length - i - 1));
  }
  run.progress.stop();
}

/** What the report says of two models, which may be one with other settings. */
export function described(own: Side, other: Side | undefined) {
  const nameOf = ({ model }: Side) => model.id ?? model.name;
  const distinct = (side: Side, than: Side | undefined) => {
    if (!than || nameOf(side) !== nameOf(than)) return nameOf(side);
    const { model, settings } = side;
    if (model.fingerprint !== than.model.fingerprint)
      return `${nameOf(side)} (${model.fingerprint.replace("sha256:", "").slice(0, 8)})`;
    const { steps, guidanceScale } = settings;
    const own = [
      ...(steps === than.settings.steps ? [] : [`${steps} ${steps === 1 ? "step" : "steps"}`]),
      ...(guidanceScale === than.settings.guidanceScale ? [] : [`guidance ${guidanceScale}`]),
    ];
    return [nameOf(side), ...own].join(", ");
  };
  const generated = (side: Side, than: Side | undefined) => {
    const { model, settings, device, dtype, weights } = side;
    return { label: distinct(side, than), model, settings, device, dtype, weights };
  };
  return { model: generated(own, other), ...(other && { reference: generated(other, own) }) };
}
