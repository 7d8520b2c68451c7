/** @file A server from its start to its end: models described, a queue, the app, a socket. */

import { isIP } from "node:net";
import { InvalidRequest } from "../errors.js";
import { type Listening, listen } from "../http/listen.js";
import { readPageFiles } from "../http/page-files.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { resolveModel } from "../hub/resolve.js";
import { resolveComponent } from "../hub/resolve-component.js";
import { openSigner, type SigningFiles } from "../image/content-credentials.js";
import { defaultLimits } from "../jobs/limits.js";
import { memoryQueue } from "../jobs/memory-queue.js";
import {
  type Aliases,
  checkAliases,
  type ModelRegistry,
  type NamedLora,
  openModelRegistry,
  type ServedModel,
} from "../jobs/model-registry.js";
import type { Limits, Model } from "../jobs/model-schemas.js";
import { checkPlacements, type FoundPlace, findPlaces, type Placements } from "../jobs/placements.js";
import { processorThread } from "../jobs/processor-thread.js";
import type { JobQueue, JobStatus } from "../jobs/queue.js";
import { checkServedSafety, operatorRule, type ServedSafety } from "../jobs/served-safety.js";
import type { MoveTarget } from "../pipeline/device-pipeline.js";
import type { Embedding } from "../pipeline/embeddings.js";
import { readWildcards } from "../pipeline/read-wildcards.js";
import type { SafetyRule } from "../pipeline/safety-rules.js";
import { checkOptionNames, type OptionNames } from "../validation.js";
import { createApp } from "./app.js";
import { imageThreads } from "./image-threads.js";
import { makeMetrics } from "./metrics.js";
import { readTabFiles } from "./tab-routes.js";

/** A LoRA that requests may name; `scale`, 1 if left out, is what it is added with where they give none. */
export type ServedLora = { name: string; file: string; scale?: number };

export type ServeOptions = {
  /**
   * Model folders, or names on the Hub, which are downloaded if need be; the first is the default of requests. If left
   * out: the bundled model, or with `redis` those that workers announce.
   */
  models?: readonly string[];
  /** Of models that are single files: whose configs and which tokenizer they are opened with. */
  config?: string;
  tokenizer?: string;
  /** Further names of models: `{ "gpt-image-1": "nano" }`. The first model also has the names of OpenAI's. */
  aliases?: Readonly<Record<string, string>>;
  /** LoRAs that requests may name; each must fit one of the models. */
  loras?: readonly ServedLora[];
  /** Textual inversions that prompts may name; each must fit one of the models. */
  embeddings?: readonly Embedding[];
  /** Address of a Redis whose workers (`koala worker`) generate, instead of this process: "redis://127.0.0.1:6379". */
  redis?: string;
  /** Address to listen on, by default 127.0.0.1. One that others can reach needs `apiKey` or `noAuth`. */
  host?: string;
  /** Port to listen on, by default 7860; 0 is any free one. */
  port?: number;
  /** Key that clients must send, as `Authorization: Bearer KEY`. */
  apiKey?: string;
  /** Lets in clients without a key, also from other machines. */
  noAuth?: boolean;
  /** Further host names under which clients reach this server, as behind a proxy. */
  allowHosts?: readonly string[];
  /** Origins whose pages may use the API (CORS): "https://app.example". */
  allowOrigins?: readonly string[];
  /**
   * Believes X-Forwarded-Proto and X-Forwarded-Host, so that addresses in answers are those of a proxy that ends TLS.
   * Only behind one that overwrites both, since any client can send them.
   */
  trustProxy?: boolean;
  /** Threads of one operation, by default one per core. */
  threads?: number;
  /** Where models are generated, as in `fromPretrained`; by default "cpu". */
  device?: string;
  /** The type of the arithmetic, as in `fromPretrained`; by default "float32". */
  dtype?: MoveTarget["dtype"];
  /** How weights are held, as in `fromPretrained`; by default "stored". */
  weights?: MoveTarget["weights"];
  /** Models on a device, or with arithmetic or weights, of their own, by name: `{ nano: { device: "cpu" } }`. */
  devices?: Readonly<Record<string, MoveTarget>>;
  /** As in `fromPretrained`. */
  allowCpuFallback?: boolean;
  /** As in `fromPretrained`. */
  allowSoftwareAdapter?: boolean;
  /** Bytes of a device's memory that a model may take, as in `fromPretrained`. */
  deviceMemory?: number;
  /**
   * What becomes of images that a safety checker flags, of every model: the rule of requests that name none, and the least
   * strict that they may name. Each model's own default if left out, which requests may change: "blur" where it ships a
   * checker. "off" opens models without theirs.
   */
  safety?: SafetyRule;
  /** The same of models by name: `{ "stable-diffusion-v1-5": "refuse" }`. */
  modelSafety?: Readonly<Record<string, SafetyRule>>;
  /** Checks the images of models that ship no safety checker: a folder or Hub id, as in `fromPretrained`. */
  safetyChecker?: string;
  /** Signs images with content credentials, as `openSigner` takes them; requests for WebP are refused then. */
  sign?: SigningFiles;
  /** A folder of wildcard files, for requests with dynamic prompts. None if left out. */
  wildcards?: string;
  /** What one request may take; the defaults suit one person's machine. */
  limits?: Partial<Limits>;
  /** Called with every error that is not a request's, for a log. */
  onError?: (error: unknown) => void;
  /** Called with a line for a log about every request that is refused. Has no keys, prompts or images. */
  onRejected?: (line: string) => void;
  /** Called when `redis` was reached for the first time. */
  onConnect?: () => void;
  /** Called for each device that is used, with what it turned out to be and why. */
  onDevice?: (place: FoundPlace) => void;
  /**
   * Called with a line for a log about what a device does while it generates: that it compiles shaders, and which
   * operations it left to the CPU.
   */
  onNotice?: (line: string) => void;
};

const serveNames: OptionNames<ServeOptions> = {
  models: true,
  config: true,
  tokenizer: true,
  aliases: true,
  loras: true,
  wildcards: true,
  embeddings: true,
  redis: true,
  host: true,
  port: true,
  apiKey: true,
  noAuth: true,
  allowHosts: true,
  allowOrigins: true,
  trustProxy: true,
  threads: true,
  device: true,
  dtype: true,
  weights: true,
  devices: true,
  allowCpuFallback: true,
  allowSoftwareAdapter: true,
  deviceMemory: true,
  safety: true,
  modelSafety: true,
  safetyChecker: true,
  sign: true,
  limits: true,
  onError: true,
  onRejected: true,
  onConnect: true,
  onDevice: true,
  onNotice: true,
};

const limitNames: OptionNames<Limits> = {
  bodyBytes: true,
  pixels: true,
  steps: true,
  count: true,
  queue: true,
};

/** A server that listens. */
export interface RunningServer extends AsyncDisposable {
  /** "http://127.0.0.1:7860" */
  readonly url: string;
  /** The models that requests can name now; the first is their default. */
  readonly models: readonly Model[];
  /**
   * Takes no more jobs, waits up to `graceSeconds` (by default 30) for those that run, and ends. Without `redis` waiting
   * jobs are cancelled; with it, workers generate them.
   */
  close(options?: { graceSeconds?: number }): Promise<void>;
}

/**
 * Serves models over HTTP: the page, the jobs API, and those of OpenAI and AUTOMATIC1111. Loads a model at its first
 * request. Throws an InvalidRequest for options that cannot be had or would open the machine to others, a ModelError
 * for a broken model.
 */
export async function serve(options: ServeOptions = {}): Promise<RunningServer> {
  checkOptionNames("serve", options, serveNames);
  checkOptionNames("limits", options.limits ?? {}, limitNames);
  const { host = "127.0.0.1", port = 7860, apiKey, noAuth = false, redis } = options;
  checkBinding(host, port, noAuth ? "none" : apiKey);
  const limits = { ...defaultLimits, ...options.limits };
  checkLimits(limits);
  const { onError = () => {}, onRejected = () => {} } = options;
  const aliases = new Map(Object.entries(options.aliases ?? {}));
  const wildcards = options.wildcards === undefined ? undefined : await readWildcards(options.wildcards);
  const own = await openModels(options);
  checkAliases(aliases, own, redis === undefined);
  const metrics = makeMetrics();
  const { queue, models } = await openQueue(own, limits, options, metrics.jobEnded);
  metrics.watch(queue);
  const { allowHosts = [], allowOrigins = [], trustProxy = false } = options;
  const key = noAuth ? undefined : apiKey;
  const guard = { host, allowHosts, allowOrigins, trustProxy, ...(key !== undefined && { key }) };
  const read = imageThreads();
  const [page, tab] = await Promise.all([readPageFiles("index.html"), readTabFiles()]);
  const service = { models, aliases: aliases as Aliases, limits, queue, read, metrics, wildcards };
  const app = createApp({ ...service, guard, page, tab, onError, onRejected });
  let listening: Listening;
  try {
    listening = await listen(app, host, port);
  } catch (error) {
    await queue.close({ graceSeconds: 0 });
    throw error;
  }
  const close = async (graceSeconds = 30) => {
    // Still listening: clients that wait get their images, others are refused as it stops.
    await queue.close({ graceSeconds });
    await listening.close();
    await read.close();
  };
  let closing: Promise<void> | undefined;
  const closeOnce = (graceSeconds?: number) => (closing ??= close(graceSeconds));
  return {
    url: listening.url,
    get models() {
      return [...models.values()].map(({ info }) => info);
    },
    close: ({ graceSeconds } = {}) => closeOnce(graceSeconds),
    [Symbol.asyncDispose]: () => closeOnce(),
  };
}

async function openModels(options: ServeOptions): Promise<ModelRegistry> {
  if (options.sign !== undefined) await openSigner(options.sign); // said now, not with the first image
  const { models = [], loras = [], embeddings = [], redis, config, tokenizer, onDevice } = options;
  const places = await findPlaces(placementsIn(options), onDevice);
  const names = models.length > 0 || redis !== undefined ? models : [modelOrBundled(undefined, "models")];
  const safety = await safetyIn(options);
  const folders = await Promise.all(
    names.map((name) => resolveModel(name, { safetyChecker: operatorRule(safety, name) !== "off" })),
  );
  const load = {
    ...(config !== undefined && { config: await resolveModel(config, { configsOnly: true }) }),
    ...(tokenizer !== undefined && { tokenizer }),
  };
  const registry = await openModelRegistry(folders, {
    loras: loras.map(({ scale = 1, ...lora }): NamedLora => ({ ...lora, scale })),
    ...{ load, embeddings, placements: places, safety, signed: options.sign !== undefined },
  });
  return redis === undefined ? registry : new Map([...registry].map(([id, model]) => [id, elsewhere(model)]));
}

/** The same model where workers generate it, on devices that this server does not know. */
function elsewhere({
  info: { device, dtype, weights, safety, ...info },
  ...model
}: ServedModel): ServedModel {
  return { ...model, info };
}

/** The options that say where models are generated. */
function placementsIn(options: ServeOptions): Placements {
  const { device, dtype, weights, devices, allowCpuFallback, allowSoftwareAdapter, deviceMemory } = options;
  const all = { device, dtype, weights, devices, allowCpuFallback, allowSoftwareAdapter, deviceMemory };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  const [first] = given;
  if (options.redis !== undefined && first) {
    const rule = "must be left out with redis, whose workers generate. Give it to koala worker.";
    throw new InvalidRequest(first[0], first[1], rule);
  }
  const placements: Placements = Object.fromEntries(given);
  checkPlacements(placements);
  return placements;
}

/** The options about checking images; with redis, those about signing too are the workers'. */
async function safetyIn(options: ServeOptions): Promise<ServedSafety> {
  const { safety, modelSafety, safetyChecker, sign, redis } = options;
  const all = { safety, modelSafety, safetyChecker, sign };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  const [first] = given;
  if (redis !== undefined && first) {
    const rule = "must be left out with redis, whose workers generate. Give it to koala worker.";
    throw new InvalidRequest(first[0], first[1], rule);
  }
  const settings: ServedSafety = Object.fromEntries(given.filter(([name]) => name !== "sign"));
  checkServedSafety(settings);
  if (safetyChecker === undefined) return settings;
  const resolved = await resolveComponent("safety_checker", safetyChecker, { field: "safetyChecker" });
  return { ...settings, safetyChecker: resolved };
}

/** Where jobs wait: in this process, with a processor of its own, or on Redis. */
async function openQueue(
  own: ModelRegistry,
  { queue: most }: Limits,
  { redis, threads, sign, onError = () => {}, onConnect = () => {}, onNotice = () => {} }: ServeOptions,
  onEnd: (job: JobStatus) => void,
): Promise<{ queue: JobQueue; models: ModelRegistry }> {
  if (redis !== undefined && threads !== undefined) {
    const rule = "must be left out with redis, whose workers generate, got";
    throw new InvalidRequest("threads", threads, `${rule} ${threads}. Give it to koala worker.`);
  }
  if (redis !== undefined) {
    const { redisQueueAndModels } = await import("../jobs/redis/queue.js");
    return redisQueueAndModels(redis, own, { most, onOpen: onConnect, onEnd, onError });
  }
  const processor = processorThread(own, {
    sign,
    ...(threads !== undefined && { threads }),
    onNotice,
  });
  const queue = memoryQueue(processor, { most, onEnd, onError, onClose: processor.close });
  return { queue, models: own };
}

/** Throws an InvalidRequest for a server that others could reach without a key. */
export function checkBinding(host: string, port: number, apiKey: string | undefined): void {
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new InvalidRequest("port", port, `must be a whole number from 0 to 65535, got ${port}.`);
  if (apiKey === "")
    throw new InvalidRequest("apiKey", apiKey, "must not be empty. Give a long random text.");
  if (isLoopback(host) || apiKey !== undefined) return;
  const rule = `must be 127.0.0.1 or another address of this machine alone, got ${host}, which others can reach.`;
  throw new InvalidRequest("host", host, `${rule} Set apiKey, or noAuth.`);
}

/** The least limits with which some request is not refused. */
const leastLimits: Limits = { bodyBytes: 1, pixels: 8 * 8, steps: 1, count: 1, queue: 1 };

function checkLimits(limits: Limits): void {
  for (const name of Object.keys(leastLimits) as (keyof Limits)[]) {
    const [value, least] = [limits[name], leastLimits[name]];
    if (Number.isSafeInteger(value) && value >= least) continue;
    const rule = `must be a whole number of at least ${least}, got ${value}. Every request would be refused.`;
    throw new InvalidRequest(`limits.${name}`, value, rule);
  }
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}
