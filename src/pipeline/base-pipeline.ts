/** @file What all pipelines share: preparing a request, the denoising loop, decoding, and which components stay loaded. */

import { f32 } from "../diffusion/arithmetic.js";
import { guidanceEmbedding } from "../diffusion/guidance-embedding.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { noticeText } from "../engine/notices.js";
import { Cancelled, InvalidRequest } from "../errors.js";
import { blurred } from "../image/blur.js";
import type { RgbImage } from "../image/pixels.js";
import type { LoraTag } from "../text/a1111/extra-networks.js";
import { attentionSize } from "./attention/memory.js";
import { AttentionRecorder } from "./attention/recorder.js";
import { promptTokens } from "./attention/words.js";
import { checkRequest } from "./check-request.js";
import type { Component } from "./component.js";
import { ComponentResidency } from "./component-residency.js";
import { type Components, withMoreLoras } from "./components.js";
import { type Conditions, conditioningByCall } from "./conditioning.js";
import { denoise } from "./denoise.js";
import { DevicePipeline } from "./device-pipeline.js";
import { finishImages } from "./finish-images.js";
import type { GenerateResult, Prepared, Step } from "./generate-result.js";
import { type ImageValues, readInputs } from "./input-image.js";
import { checkLatents, prepareLatents } from "./latents.js";
import type { Lora } from "./lora.js";
import { samplingWarning } from "./lora-sampling.js";
import type { GenerationSize, planMemory } from "./memory-estimate.js";
import type { ModelMetadata } from "./metadata/schema.js";
import { imageMetadata, type LoadedWith, modelMetadata } from "./metadata/write.js";
import { requestDefaults } from "./model-defaults.js";
import type { PipelineEngine } from "./pipeline-engine.js";
import { type PreviewMethod, previewMethod, previews } from "./preview.js";
import { encodeConditions, type TextRules } from "./prompt-encoding.js";
import { filesOfTags } from "./prompt-loras.js";
import { warnOfPrompts } from "./prompt-warnings.js";
import { readVocabulary } from "./read-vocabulary.js";
import type { AcceptedRequest, CheckedRequest, GenerateRequest } from "./request.js";
import { requestKind } from "./request-kind.js";
import { decodeLatents, encodePixels } from "./run-autoencoder.js";
import { safetyNotice } from "./safety-rules.js";
import { schedulerWarnings } from "./scheduler-warnings.js";
import { sizeWarning } from "./size-warning.js";
import { checkClipSkip, type Pooling, stateRules } from "./text-encoding.js";
import { largestCall, planTexts, type TextPlan } from "./text-plan.js";
import { requestTimesteps } from "./timesteps.js";
import { fewSteps } from "./tiny-vae.js";
import type { Words } from "./vocabulary.js";

/** A pipeline of any class. `scheduler` may be replaced between two generations. */
export abstract class BasePipeline extends DevicePipeline {
  /** The model's own, with the settings that are recommended for it, unless it is replaced. */
  scheduler: Scheduler;
  /** As it was opened, without the LoRAs of prompts. */
  readonly #opened: Components;
  #promptLoras: readonly Lora[] = [];
  /**
   * Which place of a text with textual inversions is pooled.
   *
   * @internal
   */
  pooling: Pooling = "config";
  readonly #loadedWith: LoadedWith;
  #model: ModelMetadata | undefined;
  #vocabulary: Promise<Words | undefined> | undefined;
  #preview: Promise<PreviewMethod> | undefined;
  #busy = false;
  #saidSafety = false;
  readonly #residency = new ComponentResidency({
    engine: this.engine,
    components: () => this.components,
    loadable: () => this.loadable(),
  });

  /** @internal */
  constructor(components: Components, engine: PipelineEngine, loadedWith: LoadedWith = {}) {
    super(components, engine);
    this.#opened = components;
    this.scheduler = components.scheduler;
    this.#loadedWith = loadedWith;
  }

  /** The model as images record it: its name and fingerprint, never its path. */
  async model(): Promise<ModelMetadata> {
    const loras = [...(this.#loadedWith.loras ?? []), ...this.#promptLoras];
    return (this.#model ??= await modelMetadata(this.components, { ...this.#loadedWith, loras }));
  }

  /**
   * Checks what depends on the class and the text encoders of the model; InvalidRequest.
   *
   * @internal
   */
  protected checkForModel({ clipSkip }: AcceptedRequest): void {
    if (clipSkip === undefined) return;
    for (const { config } of this.components.textEncoders)
      checkClipSkip(config, stateRules[this.components.family], clipSkip);
  }

  /** @internal */
  protected abstract textRules(request: CheckedRequest): TextRules;

  /** Generates images, in the order of the prompts, all of a prompt's images together. */
  async generate(request: GenerateRequest): Promise<GenerateResult> {
    const run = this.stream(request);
    let next = await run.next();
    while (!next.done) {
      const { index, total, timestep } = next.value;
      request.onStep?.({ index, total, timestep });
      next = await run.next();
    }
    return next.value;
  }

  /** The same, step by step; the generator's return value is the result. Leaving the loop early stops the work. */
  async *stream(request: GenerateRequest): AsyncGenerator<Step, GenerateResult> {
    this.engine.checkOpen();
    if (this.#busy)
      throw new InvalidRequest(
        "prompt",
        request.prompt,
        "this pipeline is generating already. Wait for it, or open a second pipeline.",
      );
    this.#busy = true;
    const end = await this.engine.turn();
    try {
      const prepared = await this.prepare(request);
      return yield* this.run(prepared);
    } catch (error) {
      throw this.engine.isClosed ? new Cancelled() : error;
    } finally {
      this.#busy = false;
      end();
    }
  }

  /**
   * Checks the request, reads its images, encodes its prompts, sets the schedule and makes the first latents.
   *
   * @internal
   */
  async prepare(request: GenerateRequest): Promise<Prepared> {
    const { vae } = this.components;
    const defaults = requestDefaults(this.components, requestKind(request));
    const { guidanceEmbedding: embedded } = this.components.unet.config;
    const embedsGuidance = embedded !== undefined;
    const hasSafetyChecker = this.components.safetyChecker !== undefined;
    const model = { defaults, factor: vae.factor, embedsGuidance, hasSafetyChecker };
    const accepted = checkRequest(request, model);
    this.checkForModel(accepted);
    await this.#useLoras(accepted.loraTags);
    const { unet, warnings } = this.components;
    // Diffusers counts custom timesteps or sigmas as the number of steps, of which strength takes its share.
    const scheduled = { ...accepted, numInferenceSteps: this.#schedule(accepted) };
    const timesteps = requestTimesteps(this.scheduler, scheduled);
    for (const message of [...warnings, ...this.engine.warnings]) accepted.warnings.add(message);
    this.engine.listen((notice) => {
      if (notice.type === "cpuFallback") accepted.warnings.add(noticeText(notice));
      else request.onNotice?.(noticeText(notice));
    });
    if (!this.#saidSafety) {
      request.onNotice?.(safetyNotice(accepted.safety, hasSafetyChecker));
      const { tinyVae } = this.components;
      if (
        tinyVae !== undefined &&
        this.#loadedWith.vae === undefined &&
        scheduled.numInferenceSteps <= fewSteps
      )
        request.onNotice?.(
          `a TAESD lies beside the model: vae "tiny" (--vae tiny) decodes with it, faster and less exactly`,
        );
    }
    this.#saidSafety = true;
    const { sized, image, mask } = await readInputs(scheduled, vae);
    const size = [sized.height / vae.factor, sized.width / vae.factor] as const;
    const shape = [sized.batch, unet.config.inChannels, ...size] as const;
    checkLatents(sized, shape);
    await this.#warn(sized);
    checkAborted(sized);
    const plan = planTexts(sized, {
      encoders: this.components.textEncoders,
      calls: sized.numInferenceSteps * this.scheduler.order,
      zeros: this.textRules(sized).zeros,
    });
    const words =
      sized.attentionMaps === false ? undefined : promptTokens(plan, this.components.textEncoders, sized);
    const encodes = image !== undefined && !(image instanceof Float32Array);
    const checked = this.#planned(sized, plan, { words, encodes, mayTile: accepted.vaeTiling === undefined });
    const conditions = await this.#encode(plan, checked);
    checkAborted(checked);
    const encoder = {
      output: vae,
      encode: (pixels: ImageValues) => this.encodeImage(pixels, checked.vaeTiling),
    };
    const { latents, inpaint } = await prepareLatents(checked, {
      ...{ scheduler: this.scheduler, timesteps, shape, image, mask, encoder },
    });
    const w = f32(checked.guidanceScale - 1);
    const guidance = embedded === undefined ? undefined : guidanceEmbedding(w, embedded);
    const conditioning = conditioningByCall({ ...conditions, guidance }, checked.perPrompt);
    return { request: checked, conditions, conditioning, timesteps, latents, inpaint, shape, words };
  }

  /** Adds what of the request has no effect, a scheduler that the model was not trained for, and a size far from its own. */
  async #warn(request: CheckedRequest): Promise<void> {
    const { warnings } = request;
    const own = this.components.scheduler;
    for (const message of schedulerWarnings(this.scheduler, own, request)) warnings.add(message);
    const distilled = samplingWarning(this.scheduler, this.components.sampling);
    if (distilled !== undefined) warnings.add(distilled);
    const far = sizeWarning(request, this.components.trainedSize);
    if (far !== undefined) warnings.add(far);
    this.#vocabulary ??= readVocabulary(this.components.folder.path);
    warnOfPrompts(request, await this.#vocabulary);
  }

  /**
   * Runs the loop and decodes.
   *
   * @internal
   */
  async *run(prepared: Prepared): AsyncGenerator<Step, GenerateResult> {
    const { request, latents, shape } = prepared;
    const { unet, vae, safetyChecker } = this.components;
    const metadata = request.outputType === "latent" ? undefined : this.#imageMetadata(request);
    // Read meanwhile; an error is thrown where images are made.
    metadata?.catch(() => {});
    const [, , height, width] = shape;
    const rows = prepared.conditioning(0).reduce((sum, group) => sum + group.rows.length, 0);
    const recorder = attentionRecorder(prepared);
    const [program, trace] = recorder
      ? (["unet attention", unet.traceAttention] as const)
      : (["unet", unet.trace] as const);
    const session = await unet.component.session(program, trace, { batch: rows, height, width });
    checkAborted(request);
    this.#preview ??= previewMethod(this.components);
    const method = await this.#preview;
    const decode = (latents: Float32Array, h: number, w: number, tile?: number) =>
      this.decode(latents, h, w, tile);
    const loop = denoise({ ...prepared, session, recorder, scheduler: this.scheduler }, latents, request);
    let step = await loop.next();
    while (!step.done) {
      const { predOriginalSample } = step.value;
      const preview = async () => {
        const images = await previews(predOriginalSample, shape, method, decode);
        return request.safety === "off" ? images : images.map(blurred);
      };
      yield { ...step.value, preview };
      step = await loop.next();
    }
    await this.#residency.makeRoom(vae.component);
    const final = step.value;
    const images = metadata
      ? await finishImages(final, shape, request, {
          ...{ decode, metadata: await metadata, checker: safetyChecker },
          makeRoom: (next) => this.#residency.makeRoom(next),
        })
      : [];
    const attentionMaps = recorder?.result();
    const { seeds, warnings } = request;
    return { images, latents: final, seeds, warnings: warnings.all, ...(attentionMaps && { attentionMaps }) };
  }

  async #imageMetadata(request: CheckedRequest) {
    const [scheduler, { device }] = [this.scheduler, this.engine];
    const hasChecker = this.components.safetyChecker !== undefined;
    return imageMetadata(request, { model: await this.model(), scheduler, device, hasChecker });
  }

  /**
   * latents: [1, 4, h, w] as the loop leaves them -> [3, 8h, 8w] in about -1..1; in tiles of `tile` pixels
   *
   * @internal
   */
  async decode(
    latents: Float32Array,
    height: number,
    width: number,
    tile?: number | undefined,
  ): Promise<Float32Array> {
    return decodeLatents(this.components.vae, latents, { height, width, tile });
  }

  /**
   * A small image of clean latents [1, 4, h, w], as a step's `preview` makes it; never blurred.
   *
   * @internal
   */
  async previewOf(latents: Float32Array, height: number, width: number): Promise<RgbImage> {
    this.#preview ??= previewMethod(this.components);
    const shape = [1, this.components.vae.latentChannels, height, width] as const;
    const decode = (small: Float32Array, h: number, w: number) => this.decode(small, h, w);
    return (await previews(latents, shape, await this.#preview, decode))[0]!;
  }

  /**
   * What the autoencoder's encoder gives for an image, neither sampled nor scaled; in tiles of `tile` pixels.
   *
   * @internal
   */
  async encodeImage(image: ImageValues, tile?: number | undefined): Promise<Float32Array> {
    const { vae } = this.components;
    await this.#residency.makeRoom(vae.component);
    return (await encodePixels(vae, image, { tile })).data;
  }

  /** Runs the text encoders, one after the other. */
  async #encode(plan: TextPlan, request: CheckedRequest): Promise<Conditions> {
    const { family, textEncoders, unet } = this.components;
    const { pooling } = this;
    const loaded = (component: Component) => this.#residency.makeRoom(component);
    const encoding = { encoders: textEncoders, rule: stateRules[family], pooling, loaded };
    const conditions = await encodeConditions(plan, request, { ...encoding, ...this.textRules(request) });
    await this.#residency.makeRoom(unet.component);
    return conditions;
  }

  /** Changes to the LoRAs that the prompts name. Networks that are loaded with others are loaded anew. */
  async #useLoras(tags: readonly LoraTag[]): Promise<void> {
    const loras = await filesOfTags(tags, this.#loadedWith.loraFolder);
    if (JSON.stringify(loras) === JSON.stringify(this.#promptLoras)) return;
    const next = await withMoreLoras(this.#opened, loras);
    for (const component of this.loadable()) await component.release();
    this.components = next;
    this.#promptLoras = loras;
    this.#model = undefined;
  }

  /** Sets the schedule; returns the number of steps. */
  #schedule({ numInferenceSteps, timesteps, sigmas }: AcceptedRequest): number {
    const custom = timesteps ? { timesteps } : sigmas ? { sigmas } : undefined;
    this.scheduler.setTimesteps(custom ? undefined : numInferenceSteps, custom);
    return custom ? this.scheduler.timesteps.length : numInferenceSteps;
  }

  /**
   * Whether a generation of this size fits into the memory that is left: with all components loaded, one by one, or not.
   *
   * @internal
   */
  planMemory(size: GenerationSize): ReturnType<typeof planMemory> {
    return this.#residency.plan(size);
  }

  /** The request as it fits into the memory that is left; throws if nothing would do. */
  #planned(
    request: CheckedRequest,
    plan: TextPlan,
    { words, encodes, mayTile }: Pick<Prepared, "words"> & { encodes: boolean; mayTile: boolean },
  ): CheckedRequest {
    const { width, height, batch, perPrompt, vaeTiling: tile, safety } = request;
    const size: GenerationSize = {
      width,
      height,
      batch,
      ...largestCall(plan, perPrompt),
      encodes,
      checked: safety !== "off",
      ...(tile !== undefined && { tile }),
      ...(words && { attention: attentionSize(words, request, this.scheduler.timesteps.length) }),
    };
    return this.#residency.fitted(request, size, { mayTile });
  }
}

/** Keeps what the prompts' words attend to, where the request asks for it. */
function attentionRecorder({ request, shape: [, , height, width], words }: Prepared) {
  const { perPrompt, attentionMaps } = request;
  const prompts = words?.flatMap((one) => Array.from({ length: perPrompt }, () => one));
  return prompts && new AttentionRecorder({ prompts, height, width, keepsSteps: attentionMaps === "steps" });
}

function checkAborted({ signal }: { signal?: AbortSignal }): void {
  if (signal?.aborted) throw new Cancelled();
}
