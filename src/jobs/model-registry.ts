/** @file The models that are served, as their folders describe them: configs read and checked, weights left alone. */

import {
  schedulerFromConfig,
  schedulerNamed,
  schedulerShortNames,
} from "../diffusion/schedulers/registry.js";
import type { SchedulerChoice } from "../diffusion/schedulers/sampler-names.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { cpu } from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import path from "../files/path.js";
import { adaptableNetworks, type Components, loadComponents } from "../pipeline/components.js";
import { type Embedding, withEmbeddings } from "../pipeline/embeddings.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import { type Lora, loraChanges } from "../pipeline/lora.js";
import { hubId, requestDefaults } from "../pipeline/model-defaults.js";
import { readVocabulary } from "../pipeline/read-vocabulary.js";
import type { RequestKind } from "../pipeline/request-kind.js";
import type { TextEncoder } from "../pipeline/text-encoding.js";
import type { TokenLimit } from "../text/token-count.js";
import type { Model } from "./model-schemas.js";
import { checkPlaced, type Placement, type Placements, placementOf } from "./placements.js";
import {
  checkSafetyModels,
  modelSafetyOf,
  operatorRule,
  type ServedSafety,
  safetyLoadOf,
} from "./served-safety.js";

/** A served model: its info for clients, and what generating with it needs. */
export type ServedModel = {
  info: Model;
  /** A folder or a single file. */
  folder: string;
  /** What a single file is opened with, and what checks its images. */
  load: ServedLoad;
  /** Where it is generated; none where others generate. */
  place: Placement;
  /** The folder's own, changed by what its makers advise. */
  scheduler: Scheduler;
  /** Of all its weights. */
  bytes: number;
  /** The LoRAs that fit it, by name; none where others generate. */
  loras: ReadonlyMap<string, NamedLora>;
  /** The textual inversions that fit it. */
  embeddings: readonly Embedding[];
  /** What the operator decided about checking its images. */
  safety: ServedSafety;
  /** What counts a prompt's tokens. */
  tokenLimits: () => Promise<readonly TokenLimit[]>;
};

/** Configs and tokenizer of single files; models that are folders have their own. */
export type SingleFileLoad = Pick<LoadOptions, "config" | "tokenizer">;

/** The same, with its safety checker. */
type ServedLoad = SingleFileLoad & Pick<LoadOptions, "safetyChecker">;

export type ModelRegistry = ReadonlyMap<string, ServedModel>;

/** A LoRA under the name that clients give; `scale` is what it is added with unless they say. */
export type NamedLora = Required<Lora> & { name: string };

type RegistryOptions = {
  loras?: readonly NamedLora[];
  load?: SingleFileLoad;
  embeddings?: readonly Embedding[];
  placements?: Placements;
  safety?: ServedSafety;
  /** Whether images are signed. */
  signed?: boolean;
};

/**
 * Reads model folders; the first is the default. InvalidRequest if two have one name or none has that of a placement,
 * ModelError for a broken one or a LoRA that fits none.
 */
export async function openModelRegistry(
  folders: readonly string[],
  {
    loras = [],
    load = {},
    embeddings = [],
    placements = {},
    safety = {},
    signed = false,
  }: RegistryOptions = {},
): Promise<ModelRegistry> {
  const models = new Map<string, ServedModel>();
  const options = { loras, embeddings, load, placements, safety, signed };
  const described = folders.map((folder) => describeModel(folder, options));
  for (const [i, model] of (await Promise.all(described)).entries()) {
    const { id } = model.info;
    if (models.has(id)) {
      const rule = `must have names of their own, got "${id}" twice. Rename one of the folders.`;
      throw new InvalidRequest("models", folders[i], rule);
    }
    models.set(id, model);
  }
  checkPlaced(placements, [...models.keys()]);
  checkSafetyModels(safety, [...models.keys()]);
  const unused = loras.find(({ name }) => [...models.values()].every((model) => !model.loras.has(name)));
  if (unused) await refuseUnused(unused, folders[0]);
  const idleEmbedding = embeddings.find((one) =>
    [...models.values()].every((model) => !model.embeddings.includes(one)),
  );
  if (idleEmbedding) await refuseUnusedEmbedding(idleEmbedding, folders[0]);
  return models;
}

/** Says why a LoRA does not fit a model. */
async function refuseUnused(lora: NamedLora, folder: string | undefined): Promise<void> {
  if (folder !== undefined)
    await loraChanges([lora], adaptableNetworks(await loadComponents(folder, { engine: idle })), () => {});
  const rule = `must fit a model that is given here, got "${lora.name}" without one. Give it to koala worker.`;
  throw new InvalidRequest("loras", lora.name, rule);
}

/** Says why an embedding does not fit a model. */
async function refuseUnusedEmbedding(embedding: Embedding, folder: string | undefined): Promise<void> {
  if (folder !== undefined) await loadComponents(folder, { engine: idle, embeddings: [embedding] });
  const name = embedding.token ?? path.basename(embedding.file);
  const rule = `must fit a model that is given here, got "${name}" without one. Give it to koala worker.`;
  throw new InvalidRequest("embeddings", name, rule);
}

/** All embeddings of a registry's models, each once. */
export const embeddingsOf = (models: ModelRegistry): Embedding[] => [
  ...new Set([...models.values()].flatMap(({ embeddings }) => embeddings)),
];

/** Other names of served models, for clients that ask for fixed ones. */
export type Aliases = ReadonlyMap<string, string>;

/** Names that OpenAI's clients send by default: names of the first model, where no other has them. */
const openaiModels: readonly string[] = ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini"];

/** The model of that id, alias or name of OpenAI's; without a name the first. */
export function findModel(
  models: ModelRegistry,
  name: string | undefined,
  aliases: Aliases = new Map(),
): ServedModel | undefined {
  const [first] = models.values();
  if (name === undefined) return first;
  const alias = aliases.get(name);
  const other = alias !== undefined ? models.get(alias) : openaiModels.includes(name) ? first : undefined;
  return models.get(name) ?? other;
}

/** The same; InvalidRequest lists what there is. */
export function modelNamed(
  models: ModelRegistry,
  name: string | undefined,
  aliases: Aliases = new Map(),
): ServedModel {
  const found = findModel(models, name, aliases);
  if (found) return found;
  const rule =
    models.size > 0
      ? `must be one of ${listed([...models.keys(), ...aliases.keys()], 20)}, got ${JSON.stringify(name)}.`
      : "must be one that a worker generates, and none has come yet. Start `koala worker --model`.";
  throw new InvalidRequest("model", name, rule);
}

/** InvalidRequest for an alias that is a model's own name, or that leads to no model where all are `given`. */
export function checkAliases(aliases: Aliases, models: ModelRegistry, given: boolean): void {
  for (const [alias, id] of aliases) {
    if (models.has(alias)) {
      const rule = `must be a name that no model has, got "${alias}". Leave it out, or name the folder otherwise.`;
      throw new InvalidRequest("aliases", alias, rule);
    }
    if (!given || models.has(id)) continue;
    const known = listed([...models.keys()], 20);
    throw new InvalidRequest(
      "aliases",
      id,
      `must be NAME=MODEL with a model of ${known}, got "${alias}=${id}".`,
    );
  }
}

/** All LoRAs of a registry's models, each once. */
export function lorasOf(models: ModelRegistry): NamedLora[] {
  return [...new Map([...models.values()].flatMap(({ loras }) => [...loras])).values()];
}

/** What must hold of the name of a model's LoRA. */
export function loraRule({ info: { id, loras } }: ServedModel, name: string): string {
  const names = loras.map((lora) => lora.name);
  const known =
    names.length > 0 ? `must be one of ${listed(names, 20)}` : `must be left out, as "${id}" has none`;
  return `${known}, got "${name}". koala serve --lora adds one.`;
}

/** What a model may be offered with. */
type Offered = {
  loras: readonly NamedLora[];
  embeddings: readonly Embedding[];
  load: SingleFileLoad;
  placements: Placements;
  safety: ServedSafety;
  signed: boolean;
};

async function describeModel(
  folder: string,
  { loras, embeddings, load: given, placements, safety, signed }: Offered,
): Promise<ServedModel> {
  const id = hubId(path.resolve(folder)) ?? path.basename(path.resolve(folder)).replace(/\.safetensors$/, "");
  const files = (await kindOf(folder)) === "file" ? given : {};
  const rule = operatorRule(safety, id);
  const shipped = await loadComponents(folder, { engine: idle, ...files, ...safetyLoadOf({}, rule, true) });
  const load = { ...files, ...safetyLoadOf(safety, rule, shipped.safetyChecker !== undefined) };
  const plain = load.safetyChecker ? await loadComponents(folder, { engine: idle, ...load }) : shipped;
  const { encoders, fitting, named } = await fittingEmbeddings(embeddings, plain);
  const components = { ...plain, textEncoders: encoders };
  const { scheduler } = components;
  const names = schedulerChoices(scheduler);
  const fittingFiles = await fittingLoras(loras, components);
  const words = await readVocabulary(folder);
  const place = placementOf(placements, id);
  const info: Model = {
    id,
    name: id.slice(id.indexOf("/") + 1),
    pipeline: components.folder.className,
    device: place.device ?? "cpu",
    dtype: place.dtype ?? "float32",
    weights: place.weights ?? "stored",
    sizeMultiple: components.vae.factor,
    advisedBy: components.defaults.source,
    ...defaultsOf(components),
    schedulers: [...names.keys()],
    loras: fittingFiles.map(({ name, scale }) => ({ name, scale })),
    ...(named.length > 0 && { embeddings: named }),
    safety: modelSafetyOf(rule, { id, hasChecker: plain.safetyChecker !== undefined }),
    ...(signed && { signed }),
    ...(words && { words }),
  };
  return {
    ...{ info: info, folder, load, place, safety, scheduler, bytes: bytesOf(components) },
    loras: new Map(fittingFiles.map((lora) => [lora.name, lora])),
    embeddings: fitting,
    tokenLimits: limitsOf(components),
  };
}

/** The embeddings that have a model's widths, and its text encoders with them. */
async function fittingEmbeddings(embeddings: readonly Embedding[], { textEncoders }: Components) {
  let encoders: readonly TextEncoder[] = textEncoders;
  const fitting: Embedding[] = [];
  const named: NonNullable<Model["embeddings"]> = [];
  const width = textEncoders.reduce((sum, { config }) => sum + config.width, 0);
  for (const embedding of embeddings) {
    try {
      const found = await withEmbeddings(encoders, [embedding]);
      encoders = found.encoders;
      for (const { token, vectors } of found.named)
        named.push({ token, vectors: Math.max(...Object.values(vectors)), width });
      fitting.push(embedding);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
    }
  }
  return { encoders, fitting, named };
}

/** The LoRAs whose layers a model has. Reads no weights. */
async function fittingLoras(loras: readonly NamedLora[], components: Components): Promise<NamedLora[]> {
  const networks = adaptableNetworks(components);
  const fitting: NamedLora[] = [];
  for (const lora of loras) {
    try {
      await loraChanges([lora], networks, () => {});
      fitting.push(lora);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
    }
  }
  return fitting;
}

/** The model's defaults for each kind of request. */
function defaultsOf(components: Components) {
  const { numInferenceSteps: steps, ...own } = requestDefaults(components, "textToImage");
  const { width, height, guidanceScale, negativePrompt } = own;
  const fromImage = (kind: RequestKind) => {
    const { guidanceScale, strength } = requestDefaults(components, kind);
    return { guidanceScale, strength };
  };
  return {
    defaults: {
      ...{ width, height, steps, guidanceScale },
      ...(negativePrompt !== undefined && { negativePrompt }),
      scheduler: ownName(components.scheduler),
    },
    imageToImage: fromImage("imageToImage"),
    inpainting: fromImage("inpainting"),
  };
}

/** A model's defaults for requests of one kind. */
export const kindDefaults = (info: Model, kind: RequestKind): { guidanceScale: number; strength?: number } =>
  kind === "textToImage" ? info.defaults : info[kind];

/** The name that means the model's own scheduler unchanged. */
const ownName = ({ className }: Scheduler): string =>
  schedulerShortNames.find((name) => {
    const choice = schedulerNamed(name);
    return choice.className === className && Object.keys(choice.overrides).length === 0;
  }) ?? className;

/** The schedulers that this model's settings allow, the model's own first. */
function schedulerChoices(own: Scheduler): ReadonlyMap<string, SchedulerChoice> {
  const names = new Set([ownName(own), ...schedulerShortNames]);
  const choices = [...names].map((name) => [name, schedulerNamed(name)] as const);
  return new Map(choices.filter(([, choice]) => canMake(own, choice)));
}

function canMake(own: Scheduler, { className, overrides }: SchedulerChoice): boolean {
  try {
    schedulerFromConfig(own.config, overrides, className);
    return true;
  } catch (error) {
    if (error instanceof InvalidRequest) return false;
    throw error;
  }
}

function bytesOf({ unet, vae, textEncoders, safetyChecker }: Components): number {
  const owners = [unet, vae, ...textEncoders, ...(safetyChecker ? [safetyChecker] : [])];
  return owners.reduce((sum, { component }) => sum + component.bytes, 0);
}

function limitsOf({ textEncoders }: Components): () => Promise<readonly TokenLimit[]> {
  const limits = textEncoders.map(({ tokenizer, config: { maxTokens } }) => ({ tokenizer, maxTokens }));
  return async () => limits;
}

/** Describing a model runs nothing. */
const idle: Engine = {
  device: cpu,
  load: () => Promise.reject(new Error("internal: a model was loaded while it was being described")),
  close: async () => {},
};
