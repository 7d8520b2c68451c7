/** @file Pipelines that are opened at first use and kept, as long as memory has room for them beside a new one. */

import { InvalidRequest } from "../errors.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { loraRule, type ServedModel } from "./model-registry.js";
import type { GenerationSettings } from "./schemas.js";

export type PipelinePoolOptions = {
  /** Threads of one operation; one per core if left out. */
  threads?: number;
};

/** What is added to a model's weights when they are loaded, so that each choice needs a pipeline of its own. */
type Added = GenerationSettings["lora"];

/** Each scale that is tried needs one, and each has a thread of its own. */
const mostWithLoras = 4;

export class PipelinePool {
  readonly #options: PipelinePoolOptions;
  /** By model and LoRAs, the one that was used last at the end. */
  readonly #open = new Map<string, { pipeline: DiffusionPipeline; bytes: number; plain: boolean }>();

  constructor(options: PipelinePoolOptions = {}) {
    this.#options = options;
  }

  async pipeline(model: ServedModel, lora?: Added): Promise<DiffusionPipeline> {
    const key = keyOf(model, lora);
    const kept = this.#open.get(key);
    if (kept) {
      this.#open.delete(key);
      this.#open.set(key, kept);
      return kept.pipeline;
    }
    const { folder, bytes } = model;
    const loras = lorasOf(model, lora);
    const plain = loras.length === 0;
    if (!plain) await this.#dropOldLoras();
    await this.#makeRoom(bytes);
    const pipeline = await DiffusionPipeline.fromPretrained(folder, { ...this.#options, loras });
    this.#open.set(key, { pipeline, bytes, plain });
    return pipeline;
  }

  /** Closes a pipeline whose engine failed: the next one is opened anew. */
  async discard(model: ServedModel, lora?: Added): Promise<void> {
    const key = keyOf(model, lora);
    if (this.#open.has(key)) await this.#drop(key);
  }

  async close(): Promise<void> {
    for (const key of [...this.#open.keys()]) await this.#drop(key);
  }

  /** A pipeline keeps its parts loaded while twice their weights fit, so as much is left free. */
  async #makeRoom(bytes: number): Promise<void> {
    for (const key of [...this.#open.keys()]) {
      if (process.availableMemory() > 2 * bytes) return;
      await this.#drop(key);
    }
  }

  /** Leaves a place for one more. */
  async #dropOldLoras(): Promise<void> {
    const keys = [...this.#open].flatMap(([key, { plain }]) => (plain ? [] : [key]));
    for (const key of keys.slice(0, Math.max(0, keys.length - mostWithLoras + 1))) await this.#drop(key);
  }

  async #drop(key: string): Promise<void> {
    const { pipeline } = this.#open.get(key)!;
    this.#open.delete(key);
    // Of a pipeline whose thread is gone there is nothing to release.
    await pipeline.close().catch(() => {});
  }
}

const keyOf = ({ info }: ServedModel, lora: Added = []): string => JSON.stringify([info.id, lora]);

/** The files of an order's LoRAs; InvalidRequest where this worker lacks one that another announced. */
function lorasOf(model: ServedModel, lora: Added = []) {
  return lora.map(({ name, scale }) => {
    const found = model.loras.get(name);
    if (!found) throw new InvalidRequest("lora", name, loraRule(model, name));
    return { file: found.file, scale };
  });
}
