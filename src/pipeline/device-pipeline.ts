/** @file Where a pipeline is: on which device its networks run, moving to another one, and its end. */

import {
  type Precision,
  parseDevice,
  parsePrecision,
  parseWeights,
  type WeightFormat,
} from "../engine/device.js";
import { InvalidRequest } from "../errors.js";
import { checkOptionNames, type OptionNames } from "../validation.js";
import type { Component } from "./component.js";
import type { Components } from "./components.js";
import type { PipelineEngine } from "./pipeline-engine.js";

/** Where a pipeline is to be moved; what is left out stays as it is. */
export type MoveTarget = {
  /** `cpu`, `webgpu`, `cuda`, `dml`, `coreml`, one of several as in `cuda:1`, or `auto`. */
  device?: string;
  /** The type of the arithmetic. */
  dtype?: Precision;
  /** How weights are held: `stored`, `int8` or `int8-fast`. */
  weights?: WeightFormat;
};

/** A pipeline on a device. */
export abstract class DevicePipeline implements AsyncDisposable {
  /** With the LoRAs of the last prompt, where it named any. @internal */
  components: Components;
  /** @internal */
  protected readonly engine: PipelineEngine;

  /** @internal */
  constructor(components: Components, engine: PipelineEngine) {
    this.components = components;
    this.engine = engine;
  }

  /** Where the networks run: `cpu`, `webgpu`, `cuda`, `cuda:1`. */
  get device(): string {
    return this.engine.device.name;
  }

  /** The type of the arithmetic; on the CPU always float32. How weights lie in their files is another matter. */
  get dtype(): Precision {
    return this.engine.device.dtype;
  }

  /** How the weights of U-Net and text encoders are held: as stored, or quantised. */
  get weights(): WeightFormat {
    return this.engine.device.weights;
  }

  /** Why the networks run on this device, in one sentence: what `auto` decided by. */
  get deviceReason(): string {
    return this.engine.reason ?? "the engine that it was given";
  }

  /**
   * Moves to another device, or to other arithmetic or weights: `pipe.to("webgpu")`, `pipe.to({ device: "cuda", dtype:
   * "float16" })`, `pipe.to({ weights: "int8" })`.
   * A generation that runs ends first, so a loop over `stream` must not wait for it. Weights are loaded there at the next
   * use. An error, such as that of a device that is not there, leaves the pipeline where it was. Returns it.
   */
  async to(target: string | MoveTarget): Promise<this> {
    await this.engine.move(checkMoveTarget(target), () => this.release());
    return this;
  }

  /** Frees the weights and ends the engine's thread, unless the caller brought the engine. */
  async close(): Promise<void> {
    await this.engine.close(() => this.release());
  }

  /** The same as `close`, for `await using pipe = ...`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * All networks, in the order of their use.
   *
   * @internal
   */
  protected loadable(): Component[] {
    const { textEncoders, unet, vae, safetyChecker } = this.components;
    const checker = safetyChecker ? [safetyChecker.component] : [];
    return [...textEncoders.map((e) => e.component), unet.component, vae.component, ...checker];
  }

  /**
   * Frees the weights.
   *
   * @internal
   */
  protected async release(): Promise<void> {
    for (const component of this.loadable()) await component.release();
  }
}

const targetNames: OptionNames<MoveTarget> = { device: true, dtype: true, weights: true };

function checkMoveTarget(target: unknown): MoveTarget {
  const wanted = typeof target === "string" ? { device: target } : target;
  checkOptionNames("to", wanted, targetNames);
  const { device, dtype, weights } = wanted as MoveTarget;
  if (device === undefined && dtype === undefined && weights === undefined)
    throw new InvalidRequest(
      "device",
      device,
      'must be given, or dtype or weights, got none. As in pipe.to("webgpu").',
    );
  if (device !== undefined) parseDevice(device);
  if (dtype !== undefined) parsePrecision(dtype);
  if (weights !== undefined) parseWeights(weights);
  return {
    ...(device !== undefined && { device }),
    ...(dtype !== undefined && { dtype }),
    ...(weights !== undefined && { weights }),
  };
}
