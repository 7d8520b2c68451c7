/** @file The layout of runs/<pipeline>/<case>.json, and the pipeline and request that it describes. */

import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { CudaGenerator } from "../../src/diffusion/philox.js";
import { Generator, type NoiseSource } from "../../src/diffusion/random.js";
import { camelCase } from "../../src/diffusion/schedulers/field-names.js";
import { schedulerFromConfig } from "../../src/diffusion/schedulers/registry.js";
import type { Engine } from "../../src/engine/engine.js";
import { DiffusionPipeline, StableDiffusionXLPipeline } from "../../src/pipeline/pipeline.js";
import { PipelineEngine } from "../../src/pipeline/pipeline-engine.js";
import type { GenerateRequest } from "../../src/pipeline/request.js";
import type { Context } from "../conformance/check.js";
import { openGolden } from "../conformance/golden-file.js";
import { openOptions } from "../single/files.js";

const unknownFields = z.record(z.string(), z.unknown());

/** `merged` and `dora`, a note on the formula, are for the rows of adapters/. */
const adapterSchema = z.strictObject({
  file: z.string(),
  weight: z.number(),
  merged: z.string().optional(),
  dora: z.string().optional(),
});

const tokenIds = z.record(z.string(), z.array(z.array(z.number())));

const embeddingSchema = z.strictObject({
  file: z.string(),
  token: z.string(),
  tensors: z.record(z.string(), z.string()),
});

const promptLanguage = z.strictObject({
  dialect: z.literal("a1111"),
  emphasis: z.enum(["Original", "No norm"]),
  backtrack: z.literal(20),
  lengths: z.enum(["padded with empty chunks", "separate"]),
});

/** Strict: an unknown key could change the image. */
export const runSchema = z.strictObject({
  folder: z.string(),
  why: z.string().optional(),
  pipeline: z.string(),
  scheduler: z.object({ class: z.string(), overrides: unknownFields.default({}) }).optional(),
  call: unknownFields,
  generator: z.object({
    device: z.enum(["cpu", "cuda"]).default("cpu"),
    seeds: z.array(z.string()).min(1),
    list: z.boolean().default(false),
  }),
  dtype: z.literal("float32").default("float32"),
  unet_file: z.string().optional(),
  lora: z.strictObject({ file: z.string(), weight: z.number() }).optional(),
  adapter: adapterSchema.optional(),
  textual_inversion: z.array(embeddingSchema).optional(),
  /** Of the prompts, by tokenizer: an expectation. */
  input_ids: z.object({ prompt: tokenIds.optional(), negative_prompt: tokenIds.optional() }).optional(),
  /** Which place of a text with textual inversions is pooled: "Diffusers: ..." or "at the end token, ...". */
  pooled: z
    .string()
    .regex(/^(Diffusers|at the end token)\b/)
    .optional(),
  prompt_language: promptLanguage.optional(),
  /** What restores the means, and what each call sees: they follow from the texts. */
  factors: z.unknown().optional(),
  texts_by_call: z.array(z.string()).optional(),
  force_zeros_for_empty_prompt: z.boolean().optional(),
  /** The recipe of the single file that is opened, or that replaces a part of the folder. */
  single_file: z.string().optional(),
  /** Fields of the autoencoder's config that the single file must have given. */
  vae_config: unknownFields.optional(),
  /** The run whose tensors and images this one has too. */
  expect: z.strictObject({ diffusion_pipeline_class: z.string(), same_as: z.string() }).optional(),
  /** `vae.enable_tiling()` */
  vae_tiling: z.boolean().optional(),
  /** The case whose latents this one goes on from. */
  after: z.string().optional(),
  /** Tensors of the run, with dtype and shape: part of the expectation. */
  outputs: z.record(z.string(), z.tuple([z.string(), z.array(z.number())])).default({}),
});
export type Run = z.infer<typeof runSchema>;
/** The fields of a run that are inputs; the rest are expectations. */
export type RunInputs = Omit<Run, "outputs" | "expect" | "input_ids">;

const knownArguments = [
  ...["prompt", "prompt2", "negativePrompt", "negativePrompt2", "height", "width", "numInferenceSteps"],
  ...["timesteps", "sigmas", "denoisingEnd", "guidanceScale", "guidanceRescale", "eta", "clipSkip"],
  ...["numImagesPerPrompt", "originalSize", "cropsCoordsTopLeft", "targetSize", "negativeOriginalSize"],
  ...["negativeCropsCoordsTopLeft", "negativeTargetSize", "outputType", "strength", "denoisingStart"],
  ...["image", "maskImage"],
];

/** Diffusers' arguments as ours; throws for one that our pipelines do not have. `at` is the path of the run's files. */
export async function requestOf(
  { call, generator, pipeline, vae_tiling: vaeTiling, prompt_language: language }: RunInputs,
  at: string,
  factor: number,
): Promise<GenerateRequest> {
  const given = Object.entries(call)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => [camelCase(key), value] as const);
  const unknown = given.find(([key]) => !knownArguments.includes(key));
  if (unknown) throw new Error(`call.${unknown[0]}: this build has no such argument`);
  const { outputType, image, maskImage, ...rest } = Object.fromEntries(given);
  // Diffusers' image-to-image pipeline takes its size from the image and ignores these.
  if (pipeline.includes("Img2Img")) for (const ignored of ["width", "height"]) delete rest[ignored];
  return {
    ...(rest as Omit<GenerateRequest, "generator">),
    ...(image !== undefined && (await imageOf(image, at, factor))),
    ...(maskImage !== undefined && { mask: path.join(path.dirname(at), String(maskImage)) }),
    ...(language && grammarOf(language)),
    outputType: outputType === "latent" ? "latent" : "image",
    generator: generatorOf(generator),
    ...(vaeTiling !== undefined && { vaeTiling }),
    onWarning: () => {},
  };
}

const grammarOf = ({ emphasis, lengths }: z.infer<typeof promptLanguage>): Partial<GenerateRequest> => ({
  promptSyntax: "a1111",
  emphasis: emphasis === "Original" ? "original" : "noNorm",
  padConditions: lengths !== "separate",
});

const tensorOfCase = z.strictObject({ file: z.string(), tensor: z.string() });

/** A file beside the runs, or latents of another case; `factor` is pixels per latent pixel. */
async function imageOf(image: unknown, at: string, factor: number): Promise<Partial<GenerateRequest>> {
  if (typeof image === "string") return { image: path.join(path.dirname(at), image) };
  const { file, tensor } = tensorOfCase.parse(image);
  const other = await openGolden(path.join(path.dirname(at), file), (name) => name === tensor);
  const { data, shape } = await other.input(tensor);
  return {
    image: Float32Array.from(data as Float32Array),
    height: shape[2]! * factor,
    width: shape[3]! * factor,
  };
}

function generatorOf({ device, seeds, list }: Run["generator"]): NoiseSource | NoiseSource[] {
  const make = (seed: string) =>
    device === "cuda" ? new CudaGenerator(BigInt(seed)) : new Generator(BigInt(seed));
  if (!list && seeds.length > 1)
    throw new Error(`generator: must have one seed unless it is a list, got ${seeds}`);
  return list ? seeds.map(make) : make(seeds[0]!);
}

export type OpenPipeline = (run: RunInputs) => Promise<DiffusionPipeline>;

/** Opens each run's pipeline with its scheduler. The networks stay loaded for the next run if it has the same. */
export function pipelineOpener(context: Context): OpenPipeline {
  let last: { key: string; pipeline: DiffusionPipeline } | undefined;
  return async (run) => {
    const key = JSON.stringify([
      run.folder,
      run.unet_file,
      run.lora,
      run.adapter,
      run.textual_inversion,
      run.force_zeros_for_empty_prompt,
      run.single_file,
    ]);
    if (last?.key !== key) {
      await last?.pipeline.close();
      last = undefined;
      last = { key, pipeline: await openPipeline(run, context) };
    }
    const { pipeline } = last;
    if (pipeline.constructor.name !== run.pipeline.replace(/(Img2Img|Inpaint)(?=Pipeline$)/, "")) {
      throw new Error(
        `pipeline: must be ${pipeline.constructor.name}, as ${run.folder} says, got ${run.pipeline}`,
      );
    }
    pipeline.pooling = run.pooled?.startsWith("at the end token") ? "end" : "config";
    const { scheduler } = pipeline.components;
    pipeline.scheduler = run.scheduler
      ? schedulerFromConfig(scheduler.config, ownOverrides(run), run.scheduler.class)
      : scheduler;
    return pipeline;
  };
}

/** What a single file says itself must come from it. */
function ownOverrides({ scheduler, single_file }: RunInputs): Record<string, unknown> {
  const { prediction_type, rescale_betas_zero_snr, ...others } = scheduler!.overrides;
  return single_file === undefined ? scheduler!.overrides : others;
}

async function openSingle(run: RunInputs, { single, engine }: Context): Promise<DiffusionPipeline> {
  const { model, options } = await openOptions(run.single_file!, single);
  const pipeline = await DiffusionPipeline.fromPretrained(model, { engine, ...options });
  const config = pipeline.components.vae.config;
  const other = Object.entries(run.vae_config ?? {}).find(
    ([field, value]) => !isDeepStrictEqual(config[field], value),
  );
  if (other === undefined) return pipeline;
  throw new Error(`vae_config.${other[0]}: must be ${other[1]}, as the file says, got ${config[other[0]]}`);
}

async function openPipeline(run: RunInputs, context: Context): Promise<DiffusionPipeline> {
  if (run.single_file !== undefined) return openSingle(run, context);
  const { layers, engine } = context;
  const {
    unet_file: unet,
    lora,
    adapter,
    textual_inversion: inversions,
    force_zeros_for_empty_prompt: zeros,
  } = run;
  const embedding = async ({ file, token }: { file: string; token: string }) => ({
    file: await layers.locate(file),
    token,
  });
  const inPipelines = (file: string) => layers.locate(`pipelines/${file}`);
  const pipeline = await DiffusionPipeline.fromPretrained(await layers.complete(run.folder), {
    engine,
    ...(unet !== undefined && { unet: await inPipelines(unet) }),
    ...(lora && { loras: [{ file: await inPipelines(lora.file), scale: lora.weight }] }),
    ...(adapter && { loras: [{ file: await layers.locate(adapter.file), scale: adapter.weight }] }),
    ...(inversions && { embeddings: await Promise.all(inversions.map(embedding)) }),
  });
  return zeros === undefined ? pipeline : withForceZeros(pipeline, zeros, engine);
}

/** As if model_index.json said so. */
async function withForceZeros(
  pipeline: DiffusionPipeline,
  value: boolean,
  engine: Engine,
): Promise<DiffusionPipeline> {
  const { components } = pipeline;
  const settings = { ...components.folder.settings, force_zeros_for_empty_prompt: value };
  const folder = { ...components.folder, settings };
  if (pipeline instanceof StableDiffusionXLPipeline) {
    return new StableDiffusionXLPipeline({ ...components, folder }, await PipelineEngine.open({}, engine));
  }
  throw new Error("force_zeros_for_empty_prompt: must be of an SDXL pipeline");
}
