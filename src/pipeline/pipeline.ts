/**
 * @file The pipelines under Diffusers' names: what each takes from its text encoders, and how a folder is opened. The
 * work is in `pipeline.ts`, `denoise.ts` and the schedulers.
 */

import type { Engine, Values } from "../engine/engine.js";
import { workerEngine } from "../engine/ort/worker-engine.js";
import { InvalidRequest, ModelError } from "../errors.js";
import { type ResolveOptions, resolveModel } from "../hub/resolve.js";
import { resolveComponents } from "../hub/resolve-component.js";
import { textWidth } from "../models/unet-config.js";
import { BasePipeline } from "./base-pipeline.js";
import { type ComponentOptions, type Components, loadComponents } from "./components.js";
import { type Embeddings, perImage, timeIds } from "./conditioning.js";
import type { LoadedWith } from "./metadata/write.js";
import type { AcceptedRequest, CheckedRequest } from "./request.js";
import { promptTexts, sideBySide } from "./text-encoding.js";

export type LoadOptions = Omit<ComponentOptions, "engine"> &
  Pick<ResolveOptions, "revision" | "onProgress" | "signal"> & {
    /** Threads of one operation; 0, the default, is one per core. */
    threads?: number;
    /** Runs the networks; a worker thread of its own if left out. */
    engine?: Engine;
  };

/** A pipeline of whatever class. */
export abstract class DiffusionPipeline extends BasePipeline {
  /**
   * Opens a diffusers folder, or the Hub id of one, as whatever pipeline its model_index.json names. What is not on
   * disk is downloaded; weights are read at first use. So may `unet`, `vae` and the files of `loras` be names on the
   * Hub: `owner/name[@revision]`, or `owner/name[@revision]/file` in a repository of several.
   */
  static async fromPretrained(model: string, options: LoadOptions = {}): Promise<DiffusionPipeline> {
    const engine = options.engine ?? workerEngine({ threads: options.threads ?? 0 });
    try {
      const at = await resolveModel(model, options);
      const { onProgress, signal, dtype } = options;
      const load = { ...options, ...(await resolveComponents(options, { onProgress, signal, dtype })) };
      const components = await loadComponents(at, { ...load, engine });
      return make(components, engine, options.engine === undefined, load);
    } catch (error) {
      if (!options.engine) await engine.close();
      throw error;
    }
  }
}

/** Stable Diffusion XL, KOALA, SSD-1B: two text encoders, pooled text and sizes as further conditions. */
export class StableDiffusionXLPipeline extends DiffusionPipeline {
  static override async fromPretrained(
    folder: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionXLPipeline> {
    return expectClass(
      await DiffusionPipeline.fromPretrained(folder, options),
      StableDiffusionXLPipeline,
      folder,
    );
  }

  protected override async embed(request: CheckedRequest): Promise<Embeddings> {
    const { prompts, prompts2, guided } = request;
    const zeros =
      request.negativePrompts === undefined &&
      this.components.folder.settings.force_zeros_for_empty_prompt !== false;
    const encodeNegative = guided && !zeros;
    const negatives = encodeNegative ? (request.negativePrompts ?? prompts.map(() => "")) : [];
    const negatives2 = encodeNegative ? (request.negativePrompts2 ?? negatives) : [];
    const [first, second] = await this.encode(
      [
        [...promptTexts("prompt", prompts), ...promptTexts("negative prompt", negatives)],
        [
          ...promptTexts(request.prompt2 === undefined ? "prompt" : "second prompt", prompts2),
          ...promptTexts(
            request.negativePrompt2 === undefined ? "negative prompt" : "second negative prompt",
            negatives2,
          ),
        ],
      ],
      request,
    );
    const rows = (at: "skipped" | "plain", from: number) =>
      prompts.map((_, i) => sideBySide(first!, first![at][from + i]!, second!, second![at][from + i]!));
    const n = prompts.length;
    const state = (texts: readonly Float32Array[]) =>
      perImage(texts, request.perPrompt, first!.tokens, first!.width + second!.width);
    const width = second!.pooled[0]!.length;
    const pooled = (from: number) => perImage(second!.pooled.slice(from, from + n), request.perPrompt, width);
    const prompt = state(rows("skipped", 0));
    const pooledPrompt = pooled(0);
    const blank = ({ data, shape }: Values) => ({ data: new Float32Array(data.length), shape });
    const [ids, negativeIds] = timeIds(request);
    return {
      prompt,
      pooled: pooledPrompt,
      negative: guided ? (zeros ? blank(prompt) : state(rows("plain", n))) : undefined,
      negativePooled: guided ? (zeros ? blank(pooledPrompt) : pooled(n)) : undefined,
      timeIds: perImage([ids], request.batch, 6),
      negativeTimeIds: guided ? perImage([negativeIds], request.batch, 6) : undefined,
    };
  }
}

/** Stable Diffusion 1 and 2: one text encoder, its last state normalised. */
export class StableDiffusionPipeline extends DiffusionPipeline {
  static override async fromPretrained(
    folder: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    return expectClass(
      await DiffusionPipeline.fromPretrained(folder, options),
      StableDiffusionPipeline,
      folder,
    );
  }

  protected override checkForModel(request: AcceptedRequest): void {
    refuseXlOnly(request);
    super.checkForModel(request);
  }

  protected override async embed(request: CheckedRequest): Promise<Embeddings> {
    const { prompts, guided, perPrompt } = request;
    const negatives = guided ? (request.negativePrompts ?? prompts.map(() => "")) : [];
    const texts = [...promptTexts("prompt", prompts), ...promptTexts("negative prompt", negatives)];
    const [encoded] = await this.encode([texts], request);
    const { skipped, plain, tokens, width } = encoded!;
    const n = prompts.length;
    return {
      prompt: perImage(skipped.slice(0, n), perPrompt, tokens, width),
      negative: guided ? perImage(plain.slice(n), perPrompt, tokens, width) : undefined,
      pooled: undefined,
      negativePooled: undefined,
      timeIds: undefined,
      negativeTimeIds: undefined,
    };
  }
}

function make(
  components: Components,
  engine: Engine,
  owns: boolean,
  loadedWith: LoadedWith,
): DiffusionPipeline {
  const { family, unet, textEncoders } = components;
  const text = textEncoders.reduce((sum, e) => sum + e.config.width, 0);
  if (text !== textWidth(unet.config)) {
    throw new ModelError(
      "unet/config.json",
      `cross_attention_dim: must be the text encoders' width ${text}, got ${textWidth(unet.config)}.`,
    );
  }
  switch (family) {
    case "sdxl":
      return new StableDiffusionXLPipeline(components, engine, owns, loadedWith);
    case "sd":
      return new StableDiffusionPipeline(components, engine, owns, loadedWith);
    default:
      return family satisfies never;
  }
}

function expectClass<T extends DiffusionPipeline>(
  pipeline: DiffusionPipeline,
  wanted: abstract new (...args: never[]) => T,
  folder: string,
): T {
  if (pipeline instanceof wanted) return pipeline;
  const problem = `_class_name: must be ${wanted.name}, got ${pipeline.constructor.name}.`;
  void pipeline.close();
  throw new ModelError(
    `${folder}/model_index.json`,
    `${problem} Open it with DiffusionPipeline.fromPretrained.`,
  );
}

/** Arguments that only SDXL's pipeline has in Diffusers. */
function refuseXlOnly(request: AcceptedRequest): void {
  const fields = [
    "prompt2",
    "negativePrompt2",
    "denoisingStart",
    "denoisingEnd",
    "originalSize",
    "cropsCoordsTopLeft",
    "targetSize",
    "negativeOriginalSize",
    "negativeCropsCoordsTopLeft",
    "negativeTargetSize",
  ] as const;
  const given = fields.find((field) => request[field] !== undefined);
  if (given)
    throw new InvalidRequest(
      given,
      request[given],
      "belongs to SDXL models; this one is Stable Diffusion 1 or 2. Leave it out.",
    );
}
