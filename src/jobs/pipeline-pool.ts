/**
 * @file Open pipelines, kept as long as memory has room for them beside the one that generates. Those on one device share
 * its engine: two of a GPU in one process would crash it.
 */

import type { Engine } from "../engine/engine.js";
import type { EngineNotice } from "../engine/notices.js";
import { openEngine } from "../engine/open-engine.js";
import { InvalidRequest } from "../errors.js";
import type { ContentSigner } from "../image/content-credentials.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import type { GenerationSize } from "../pipeline/memory-estimate.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { loraRule, type ServedModel } from "./model-registry.js";
import type { Placement } from "./placements.js";
import type { JobRequest } from "./processor.js";
import type { GenerationSettings } from "./schemas.js";

export type PipelinePoolOptions = Pick<LoadOptions, "threads"> & {
  engine?: Engine;
  /** Signs images. */
  signer?: ContentSigner | undefined;
  /** Called with what devices do while jobs are generated, for a log. */
  onNotice?: (notice: EngineNotice) => void;
};

type OpenPipeline = { pipeline: DiffusionPipeline; hasLoras: boolean; engine: string };

/** Each LoRA scale that is tried needs a pipeline of its own. */
const mostWithLoras = 4;

export class PipelinePool {
  readonly #options: PipelinePoolOptions;
  /** By model and LoRAs, the least recently used first. */
  readonly #open = new Map<string, OpenPipeline>();
  /** By what they were opened with. */
  readonly #engines = new Map<string, Engine>();

  constructor(options: PipelinePoolOptions = {}) {
    this.#options = options;
  }

  /**
   * The pipeline for `images` images of a request, opened if need be. Closes others, the least recently used first, as
   * long as this one would not fit into memory with all its components loaded.
   */
  async pipeline(model: ServedModel, request: JobRequest, images: number): Promise<DiffusionPipeline> {
    const key = keyOf(model, request.settings.lora);
    const found = this.#open.get(key) ?? (await this.#openPipeline(model, request.settings.lora));
    this.#open.delete(key);
    this.#open.set(key, found);
    await this.#makeRoom(key, found.pipeline, sizeOf(request, images));
    return found.pipeline;
  }

  /** Closes an engine that failed, and the pipelines on it: the next ones are opened anew. */
  async discard({ place }: ServedModel): Promise<void> {
    await this.#closeEngine(engineKey(place));
  }

  async close(): Promise<void> {
    for (const key of [...this.#open.keys()]) await this.#close(key);
    for (const engine of [...this.#engines.keys()]) await this.#closeEngine(engine);
  }

  async #closeEngine(key: string): Promise<void> {
    for (const [name, { engine }] of [...this.#open]) if (engine === key) await this.#close(name);
    const engine = this.#engines.get(key);
    this.#engines.delete(key);
    // Of a lost device, which is why it is closed.
    await engine?.close().catch(() => {});
  }

  /** The caller's, or the one of the device. */
  async #engine(place: Placement): Promise<Engine> {
    const { engine, threads = 0, onNotice } = this.#options;
    if (engine) return withNotices(engine, onNotice);
    const key = engineKey(place);
    const found = this.#engines.get(key) ?? withNotices(await openEngine({ ...place, threads }), onNotice);
    this.#engines.set(key, found);
    return found;
  }

  async #openPipeline(model: ServedModel, lora: GenerationSettings["lora"]): Promise<OpenPipeline> {
    const loras = lorasOf(model, lora);
    const hasLoras = loras.length > 0;
    if (hasLoras) await this.#closeOldLoras();
    const { folder, load, place } = model;
    const { deviceMemory } = place;
    const pipeline = await DiffusionPipeline.fromPretrained(folder, {
      ...load,
      ...{ loras, embeddings: model.embeddings, engine: await this.#engine(place) },
      ...(deviceMemory !== undefined && { deviceMemory }),
    });
    return { pipeline, hasLoras, engine: engineKey(place) };
  }

  async #makeRoom(key: string, pipeline: DiffusionPipeline, size: GenerationSize): Promise<void> {
    const others = [...this.#open.keys()].filter((other) => other !== key);
    for (const other of others) {
      if (pipeline.planMemory(size) === "kept") return;
      await this.#close(other);
    }
  }

  /** Leaves room for one more pipeline with LoRAs. */
  async #closeOldLoras(): Promise<void> {
    const keys = [...this.#open].flatMap(([key, { hasLoras }]) => (hasLoras ? [key] : []));
    for (const key of keys.slice(0, Math.max(0, keys.length - mostWithLoras + 1))) await this.#close(key);
  }

  async #close(key: string): Promise<void> {
    const { pipeline } = this.#open.get(key)!;
    this.#open.delete(key);
    // A pipeline whose thread has ended has nothing to release.
    await pipeline.close().catch(() => {});
  }
}

/** The same engine, whose notices `also` is called with, too. */
const withNotices = (engine: Engine, also: PipelinePoolOptions["onNotice"] = () => {}): Engine => ({
  ...engine,
  load: (program, { onNotice = () => {} } = {}) =>
    engine.load(program, {
      onNotice: (notice) => {
        onNotice(notice);
        also(notice);
      },
    }),
});

const keyOf = ({ info }: ServedModel, lora: GenerationSettings["lora"] = []): string =>
  JSON.stringify([info.id, lora]);

const engineKey = ({ device = "cpu", dtype = "float32", weights = "stored" }: Placement): string =>
  `${device} ${dtype} ${weights}`;

function sizeOf({ settings, image }: JobRequest, images: number): GenerationSize {
  const { width, height, guidanceScale } = settings;
  const passes = guidanceScale > 1 ? 2 * images : images;
  const checked = settings.safety !== "off";
  return { width, height, batch: images, passes, encodes: image !== undefined, checked };
}

/** The files of a job's LoRAs; InvalidRequest where this worker lacks one that another announced. */
function lorasOf(model: ServedModel, lora: GenerationSettings["lora"] = []) {
  return lora.map(({ name, scale }) => {
    const found = model.loras.get(name);
    if (!found) throw new InvalidRequest("lora", name, loraRule(model, name));
    return { file: found.file, scale };
  });
}
