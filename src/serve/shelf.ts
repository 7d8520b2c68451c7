/** @file Pipelines that are opened at first use and kept, as long as memory has room for them beside a new one. */

import { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { ServedModel } from "./catalogue.js";

export type ShelfOptions = {
  /** Threads of one operation; one per core if left out. */
  threads?: number;
};

export class Shelf {
  readonly #options: ShelfOptions;
  /** By model id, the one that was used last at the end. */
  readonly #open = new Map<string, { pipeline: DiffusionPipeline; bytes: number }>();

  constructor(options: ShelfOptions = {}) {
    this.#options = options;
  }

  async pipeline({ card, folder, bytes }: ServedModel): Promise<DiffusionPipeline> {
    const kept = this.#open.get(card.id);
    if (kept) {
      this.#open.delete(card.id);
      this.#open.set(card.id, kept);
      return kept.pipeline;
    }
    await this.#makeRoom(bytes);
    const pipeline = await DiffusionPipeline.fromPretrained(folder, this.#options);
    this.#open.set(card.id, { pipeline, bytes });
    return pipeline;
  }

  /** Closes a pipeline whose engine failed: the next one is opened anew. */
  async discard({ card }: ServedModel): Promise<void> {
    if (this.#open.has(card.id)) await this.#drop(card.id);
  }

  async close(): Promise<void> {
    for (const id of [...this.#open.keys()]) await this.#drop(id);
  }

  /** A pipeline keeps its parts loaded while twice their weights fit, so as much is left free. */
  async #makeRoom(bytes: number): Promise<void> {
    for (const id of [...this.#open.keys()]) {
      if (process.availableMemory() > 2 * bytes) return;
      await this.#drop(id);
    }
  }

  async #drop(id: string): Promise<void> {
    const { pipeline } = this.#open.get(id)!;
    this.#open.delete(id);
    // Of a pipeline whose thread is gone there is nothing to release.
    await pipeline.close().catch(() => {});
  }
}
