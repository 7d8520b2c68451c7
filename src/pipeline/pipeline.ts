/**
 * @file The pipelines under Diffusers' names: which text embeddings each has, and how a model is opened. What they
 * share is in `base-pipeline.ts`.
 */

import { InvalidRequest, ModelError } from "../errors.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { resolveModel } from "../hub/resolve.js";
import { resolveComponents, tinyVaeName } from "../hub/resolve-component.js";
import { textWidth } from "../models/unet-config.js";
import { BasePipeline } from "./base-pipeline.js";
import { type Components, loadComponents } from "./components.js";
import { timeIds } from "./conditioning.js";
import { checkLoadOptions, deviceOptions, type LoadOptions } from "./load-options.js";
import type { LoadedWith } from "./metadata/write.js";
import { PipelineEngine } from "./pipeline-engine.js";
import type { TextRules } from "./prompt-encoding.js";
import type { AcceptedRequest, CheckedRequest } from "./request.js";

/** A pipeline of any class: `fromPretrained` opens a model, `generate` and `stream` make images, `close` ends it. */
export abstract class DiffusionPipeline extends BasePipeline {
  /**
   * Opens a diffusers folder, or the Hub id of one, as the pipeline that its model_index.json names, or a single file
   * (`model.safetensors`, or `owner/name/model.safetensors` on the Hub) as that of its family; without a model, the small
   * one inside the package. What is not on disk is downloaded; weights are read at first use. `unet`, `vae`
   * and the files of `loras` may be names on the Hub too: `owner/name[@revision]`, or `owner/name[@revision]/file` in a
   * repository of several. The scheduler has the settings that are recommended for the model.
   *
   * Networks run on the CPU unless `device` names another; one that is not there is an EngineError that says what is
   * missing.
   */
  static async fromPretrained(model?: string, options: LoadOptions = {}): Promise<DiffusionPipeline> {
    checkLoadOptions(options);
    const engine = await PipelineEngine.open(deviceOptions(options), options.engine);
    try {
      const safetyChecker = options.safetyChecker === undefined;
      const folder = await resolveModel(modelOrBundled(model, "model"), { ...options, safetyChecker });
      const { onProgress, signal, confirmDownload, token, endpoint } = options;
      const shared = { onProgress, signal, confirmDownload, token, endpoint };
      const load = { ...options, ...(await resolveComponents(options, shared)) };
      const components = await loadComponents(folder, { ...load, engine });
      // Images record the file.
      const vae = load.vae === tinyVaeName ? components.tinyVae : load.vae;
      return makePipeline(components, engine, { ...load, ...(vae !== undefined && { vae }) });
    } catch (error) {
      await engine.close();
      throw error;
    }
  }
}

/** Stable Diffusion XL, KOALA, SSD-1B: two text encoders, pooled text and sizes as further conditions. */
export class StableDiffusionXLPipeline extends DiffusionPipeline {
  static override async fromPretrained(
    model?: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionXLPipeline> {
    return expectClass(await DiffusionPipeline.fromPretrained(model, options), StableDiffusionXLPipeline);
  }

  /** @internal */
  protected override textRules(request: CheckedRequest): TextRules {
    const { force_zeros_for_empty_prompt: forced } = this.components.folder.settings;
    // A1111 takes zeros for every empty text (sd_models_xl.py), Diffusers where none was given.
    const zeros = (negative: string | undefined) =>
      request.promptSyntax === "a1111" ? !negative : negative === undefined && forced !== false;
    return { zeros, pooled: true, timeIds: timeIds(request) };
  }
}

/** Stable Diffusion 1 and 2: one text encoder, its last state normalised. */
export class StableDiffusionPipeline extends DiffusionPipeline {
  static override async fromPretrained(
    model?: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    return expectClass(await DiffusionPipeline.fromPretrained(model, options), StableDiffusionPipeline);
  }

  /** @internal */
  protected override checkForModel(request: AcceptedRequest): void {
    refuseXlOnly(request);
    super.checkForModel(request);
  }

  /** @internal */
  protected override textRules(): TextRules {
    return { zeros: () => false, pooled: false, timeIds: undefined };
  }
}

function makePipeline(
  components: Components,
  engine: PipelineEngine,
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
      return new StableDiffusionXLPipeline(components, engine, loadedWith);
    case "sd":
      return new StableDiffusionPipeline(components, engine, loadedWith);
    default:
      return family satisfies never;
  }
}

function expectClass<T extends DiffusionPipeline>(
  pipeline: DiffusionPipeline,
  wanted: abstract new (...args: never[]) => T,
): T {
  if (pipeline instanceof wanted) return pipeline;
  const problem = `_class_name: must be ${wanted.name}, got ${pipeline.constructor.name}.`;
  void pipeline.close();
  throw new ModelError(
    `${pipeline.components.folder.path}/model_index.json`,
    `${problem} Open it with DiffusionPipeline.fromPretrained.`,
  );
}

/** InvalidRequest for an argument that only SDXL's pipelines have in Diffusers. */
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
