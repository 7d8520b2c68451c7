/** @file The metadata of a generation: networks and files by fingerprint, settings by value, never a path. */

import { a1111Names } from "../../diffusion/schedulers/a1111-names.js";
import { isSettingName } from "../../diffusion/schedulers/config-fields.js";
import type { Scheduler } from "../../diffusion/schedulers/scheduler.js";
import type { Device } from "../../engine/device.js";
import path from "../../files/path.js";
import { cachedName } from "../../hub/cache.js";
import type { ImageInput } from "../../image/codec.js";
import type { MetadataTexts } from "../../image/metadata/metadata.js";
import { formatParameters } from "../../image/metadata/parameters.js";
import { defaultLongPrompts } from "../../text/prompt-rules.js";
import { optionalComponents } from "../../weights/file-names.js";
import {
  bytesHash,
  fileHash,
  hashOf,
  hashPrefix,
  textFingerprint,
  weightFingerprint,
} from "../../weights/fingerprint.js";
import type { ModelSource } from "../../weights/model-source.js";
import type { Components } from "../components.js";
import { hubId } from "../model-defaults.js";
import type { CheckedRequest } from "../request.js";
import { flaggedImageWarning } from "../safety-rules.js";
import { type ImageMetadata, type ModelMetadata, metadataText } from "./schema.js";
import { versions } from "./versions.js";

/** The options of loading on which the numbers depend. */
export type LoadedWith = {
  variant?: string;
  unet?: string;
  vae?: string;
  textEncoder?: string;
  textEncoder2?: string;
  config?: string;
  tokenizer?: string;
  safetyChecker?: string | null;
  ema?: boolean;
  loras?: readonly { file: string; scale?: number }[];
  loraFolder?: string;
};

/** A loaded model by name and fingerprint, without its scheduler, which each image records itself. */
export async function modelMetadata(components: Components, loaded: LoadedWith = {}): Promise<ModelMetadata> {
  const { folder, unet, vae, textEncoders } = components;
  const { variant, loras = [] } = loaded;
  const id = hubId(folder.path);
  const revision = /[\\/]snapshots[\\/]([0-9a-f]{40})(?:[\\/]|$)/.exec(folder.path)?.[1];
  const marks: unknown[] = [folder.className, folder.settings, await folder.component("unet").config()];
  if (loaded.unet === undefined) marks.push(await weightFingerprint(unet.component.weights));
  if (loaded.vae === undefined) marks.push(vae.config, await weightFingerprint(vae.component.weights));
  for (const { component } of textEncoders) {
    const tokenizer = await folder.tokenizer(component.name.replace("text_encoder", "tokenizer"));
    marks.push(await folder.component(component.name).config());
    if (replacedEncoder(component.name, loaded) === undefined)
      marks.push(await weightFingerprint(component.weights));
    marks.push(await textFingerprint(tokenizer.path));
  }
  const replaced = async (file: string | undefined, marksOf: () => unknown) =>
    file === undefined ? undefined : { name: componentName(file), fingerprint: hashOf(await marksOf()) };
  return present({
    id,
    revision: id === undefined ? undefined : revision,
    name: id === undefined ? path.basename(folder.path) : id.slice(id.indexOf("/") + 1),
    pipeline: folder.className,
    fingerprint: hashOf(marks),
    variant,
    unet: await replaced(loaded.unet, async () => {
      const weights = await weightFingerprint(unet.component.weights);
      return unet.replaced ? [unet.replaced.json, weights] : weights;
    }),
    vae: await replaced(loaded.vae, async () => [vae.config, await weightFingerprint(vae.component.weights)]),
    ...(await replacedEncoders(components, loaded)),
    safetyChecker: await replacedChecker(components, loaded),
    config: await replaced(loaded.config, () => configMarks(folder)),
    tokenizer: await replaced(loaded.tokenizer, () => tokenizerMarks(components)),
    ema: loaded.ema || undefined,
    loras: loras.length > 0 ? await Promise.all(loras.map(loraMetadata)) : undefined,
    embeddings:
      components.embeddings.length > 0
        ? await Promise.all(components.embeddings.map(embeddingMetadata))
        : undefined,
  });
}

async function replacedChecker({ safetyChecker }: Components, { safetyChecker: given }: LoadedWith) {
  if (typeof given !== "string" || !safetyChecker) return undefined;
  const { config, component } = safetyChecker;
  return {
    name: componentName(given),
    fingerprint: hashOf([config, await weightFingerprint(component.weights)]),
  };
}

const replacedEncoder = (name: string, { textEncoder, textEncoder2 }: LoadedWith): string | undefined =>
  name === "text_encoder" ? textEncoder : textEncoder2;

async function replacedEncoders({ textEncoders }: Components, loaded: LoadedWith) {
  const replaced: Pick<ModelMetadata, "textEncoder" | "textEncoder2"> = {};
  for (const { component } of textEncoders) {
    const file = replacedEncoder(component.name, loaded);
    if (file === undefined) continue;
    const field = component.name === "text_encoder" ? "textEncoder" : "textEncoder2";
    replaced[field] = {
      name: componentName(file),
      fingerprint: hashOf(await weightFingerprint(component.weights)),
    };
  }
  return replaced;
}

const configMarks = async ({ className, settings, components }: ModelSource): Promise<unknown> => [
  className,
  settings,
  ...(await Promise.all(
    [...components.values()]
      .filter(({ name }) => !optionalComponents.includes(name))
      .map((component) => component.config()),
  )),
];

const tokenizerMarks = ({ folder, textEncoders }: Components): Promise<unknown> =>
  Promise.all(
    textEncoders.map(async ({ component: { name } }) =>
      textFingerprint((await folder.tokenizer(name.replace("text_encoder", "tokenizer"))).path),
    ),
  );

/** The name of a file or folder without its path: that on the Hub if it comes from there. */
export const componentName = (file: string): string => cachedName(file) ?? path.basename(file);

const loraMetadata = async ({ file, scale = 1 }: { file: string; scale?: number }) => ({
  name: componentName(file),
  sha256: await fileHash(file),
  scale,
});

const embeddingMetadata = async ({ token, file }: { token: string; file: string }) => ({
  token,
  name: componentName(file),
  sha256: await fileHash(file),
});

/** The model with those of its embeddings alone that the texts may name, in whatever case. */
function withUsedEmbeddings(model: ModelMetadata, texts: readonly (string | undefined)[]): ModelMetadata {
  const { embeddings = [], ...rest } = model;
  const all = texts.join("\n").toLowerCase();
  const used = embeddings.filter(({ token }) => all.includes(token.toLowerCase()));
  return used.length > 0 ? { ...rest, embeddings: used } : rest;
}

/** Makes the metadata of the i-th image of a batch, from which it can be generated alone. */
export async function imageMetadata(
  request: CheckedRequest,
  {
    model,
    scheduler,
    device,
    hasChecker,
  }: { model: ModelMetadata; scheduler: Scheduler; device: Device; hasChecker: boolean },
): Promise<(index: number, flagged: boolean) => ImageMetadata> {
  const { image, mask, perPrompt } = request;
  const [begun, masked] = [await inputMetadata(image), await inputMetadata(mask)];
  const fixed = { ...versions(), scheduler: schedulerMetadata(scheduler) };
  const notRecorded = [
    ...(request.generator === undefined ? [] : ["generator"]),
    ...(request.latents === undefined ? [] : ["latents"]),
    ...(image instanceof Float32Array ? ["image"] : []),
  ];
  return (index, flagged) => {
    const prompt = Math.floor(index / perPrompt);
    const warnings = [...request.warnings.of(prompt), ...(flagged ? [flaggedImageWarning] : [])];
    return present({
      format: 1 as const,
      app: fixed.app,
      onnxruntime: fixed.onnxruntime,
      device: device.name,
      dtype: device.dtype,
      weights: device.weights === "stored" ? undefined : device.weights,
      model: withUsedEmbeddings(model, [
        request.prompts[prompt],
        request.prompts2[prompt],
        request.negativePrompts?.[prompt],
        request.negativePrompts2?.[prompt],
      ]),
      prompt: request.prompts[prompt]!,
      prompt2: request.prompt2 === undefined ? undefined : request.prompts2[prompt],
      negativePrompt: request.negativePrompts?.[prompt],
      negativePrompt2: request.negativePrompt2 === undefined ? undefined : request.negativePrompts2?.[prompt],
      ...readingOf(request),
      promptTemplate: request.promptTemplates?.[prompt],
      negativePromptTemplate: request.negativePromptTemplates?.[prompt],
      width: request.width,
      height: request.height,
      numInferenceSteps: request.numInferenceSteps,
      timesteps: request.timesteps && [...request.timesteps],
      sigmas: request.sigmas && [...request.sigmas],
      guidanceScale: request.guidanceScale,
      guidanceRescale: request.guidanceRescale || undefined,
      eta: request.eta || undefined,
      clipSkip: request.clipSkip,
      strength: image === undefined ? undefined : request.strength,
      denoisingStart: request.denoisingStart,
      denoisingEnd: request.denoisingEnd,
      originalSize: pair(request.originalSize),
      cropsCoordsTopLeft: pair(request.cropsCoordsTopLeft),
      targetSize: pair(request.targetSize),
      negativeOriginalSize: pair(request.negativeOriginalSize),
      negativeCropsCoordsTopLeft: pair(request.negativeCropsCoordsTopLeft),
      negativeTargetSize: pair(request.negativeTargetSize),
      vaeTiling: request.vaeTiling,
      image: begun,
      mask: masked,
      seed: request.seeds?.[index]?.toString(),
      rng: request.rng ?? "cpu",
      scheduler: fixed.scheduler,
      notRecorded: notRecorded.length > 0 ? notRecorded : undefined,
      safety: hasChecker ? request.safety : undefined,
      flagged: flagged ? (true as const) : undefined,
      warnings: warnings.length > 0 ? warnings : undefined,
    });
  };
}

/** How the prompts were read, where it is not as in Diffusers. */
function readingOf({ promptSyntax, longPrompts, padConditions, emphasis }: CheckedRequest) {
  return {
    promptSyntax: promptSyntax === "none" ? undefined : promptSyntax,
    longPrompts: longPrompts === defaultLongPrompts(promptSyntax) ? undefined : longPrompts,
    padConditions: padConditions || undefined,
    emphasis: emphasis === "original" ? undefined : emphasis,
  };
}

/** The texts for a file: all metadata as JSON, and what A1111's grammar can express. */
export function metadataTexts(record: ImageMetadata): MetadataTexts {
  const { model, prompt, negativePrompt, scheduler, seed, strength, clipSkip } = record;
  const { sampler, schedule } = a1111Names(scheduler);
  const fields = Object.entries({
    Steps: record.numInferenceSteps,
    Sampler: sampler,
    "Schedule type": schedule,
    "CFG scale": record.guidanceScale,
    Seed: seed,
    Size: `${record.width}x${record.height}`,
    Model: model.id ?? model.name,
    VAE: model.vae?.name,
    "Denoising strength": strength,
    // A1111 counts from the last layer, Diffusers from where the model reads by itself.
    "Clip skip": clipSkip === undefined ? undefined : clipSkip + 1,
    "Lora hashes": model.loras
      ?.map(({ name, sha256 }) => `${path.parse(name).name}: ${sha256.slice(hashPrefix.length, -52)}`)
      .join(", "),
    RNG: record.rng === "cuda" ? "NV" : "CPU",
    Version: record.app,
  }).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const]));
  // A1111 takes LoRAs from tags in the prompt.
  const tags = record.promptSyntax === "a1111" ? (model.loras ?? []).map(tagOf).join("") : "";
  const parameters = formatParameters({ prompt: prompt + tags, negativePrompt, fields: new Map(fields) });
  return { parameters, record: metadataText(record) };
}

/** Without defaults, as `fromConfig` expects, and without settings that no scheduler reads: a file may hold any. */
function schedulerMetadata({ className, config }: Scheduler): ImageMetadata["scheduler"] {
  const defaulted = config._useDefaultValues as readonly string[];
  const own = Object.entries(config).filter(
    ([name, value]) => isSettingName(name) && !defaulted.includes(name) && isPlain(value),
  );
  return { className, config: Object.fromEntries(own.sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** -Infinity, which JSON lacks, is the default wherever it may stand. */
function isPlain(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item === "number");
  if (typeof value === "number") return Number.isFinite(value);
  return (
    value === null || typeof value === "boolean" || (typeof value === "string" && /^[\w+-]*$/.test(value))
  );
}

async function inputMetadata(source: ImageInput | Float32Array | undefined): Promise<ImageMetadata["image"]> {
  if (source === undefined || source instanceof Float32Array) return undefined;
  if (typeof source === "string") return { name: path.basename(source), sha256: await fileHash(source) };
  if (source instanceof Uint8Array) return { sha256: bytesHash(source) };
  return { sha256: hashOf([source.width, source.height, bytesHash(source.data)]) };
}

const pair = (size: readonly [number, number] | undefined): [number, number] | undefined =>
  size && [size[0], size[1]];

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Without the fields that are undefined. */
function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>;
}

const tagOf = ({ name, scale }: { name: string; scale: number }): string =>
  ` <lora:${path.parse(name).name}:${scale}>`;
