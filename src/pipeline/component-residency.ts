/** @file Which of a pipeline's components stay loaded: decided for each request by the memory that it takes and that there is. */

import type { Component } from "./component.js";
import type { Components } from "./components.js";
import { estimateMemory, type GenerationSize, heldBytes, planMemory, refuse } from "./memory-estimate.js";
import type { PipelineEngine } from "./pipeline-engine.js";
import type { CheckedRequest } from "./request.js";
import { smallerTiles, tiledWarning } from "./vae-tiling.js";

/** Of the pipeline, whose components may be replaced. */
type Owner = {
  readonly engine: PipelineEngine;
  components(): Components;
  /** All networks, in the order of their use. */
  loadable(): Component[];
};

export class ComponentResidency {
  readonly #owner: Owner;
  #keepsAll = true;
  #estimated: { of: Components; key: string; bytes: ReturnType<typeof estimateMemory> } | undefined;

  constructor(owner: Owner) {
    this.#owner = owner;
  }

  /** Whether a generation of this size fits: with all components loaded, one by one, or not. */
  plan(size: GenerationSize): ReturnType<typeof planMemory> {
    const { bytes, available } = this.#memory(size);
    return planMemory(bytes, available);
  }

  /**
   * The request as it fits: decides whether all components stay loaded, and, where it `mayTile`, whether the autoencoder
   * works in tiles; throws if nothing of that would do.
   */
  fitted(request: CheckedRequest, size: GenerationSize, { mayTile }: { mayTile: boolean }): CheckedRequest {
    const whole = this.plan(size);
    this.#keepsAll = whole === "kept";
    if (whole !== "no") return request;
    const { engine } = this.#owner;
    const components = this.#owner.components();
    const tiles = mayTile ? smallerTiles(components.vae.tiling, size) : [];
    const fitting = tiles.find((tile) => this.plan({ ...size, tile }) !== "no");
    if (fitting === undefined) {
      const { bytes, available } = this.#memory(size);
      const { device } = engine;
      if (!request.ignoreMemory) refuse(components, size, bytes, { available: available!, device });
      return request;
    }
    this.#keepsAll = this.plan({ ...size, tile: fitting }) === "kept";
    request.warnings.add(tiledWarning(size, fitting));
    return { ...request, vaeTiling: fitting };
  }

  /** Frees the other components before `next` is loaded if they cannot all stay. */
  async makeRoom(next: Component): Promise<void> {
    if (this.#keepsAll) return;
    for (const component of this.#owner.loadable()) if (component !== next) await component.release();
  }

  /** What the generation takes, and what it may take: the memory of its own loaded components is free for it. */
  #memory(size: GenerationSize) {
    const { engine } = this.#owner;
    const components = this.#owner.components();
    const key = JSON.stringify([size, engine.device]);
    if (this.#estimated?.key !== key || this.#estimated.of !== components)
      this.#estimated = { of: components, key, bytes: estimateMemory(components, size, engine.device) };
    const { bytes } = this.#estimated;
    const held = this.#owner
      .loadable()
      .filter(({ isLoaded }) => isLoaded)
      .reduce((sum, component) => sum + heldBytes(component, bytes), 0);
    return { bytes, available: engine.memory(held).bytes };
  }
}
