/** @file The engine of a pipeline: one that it opened, and can replace by one on another device, or one that the caller keeps. */

import type { Device } from "../engine/device.js";
import type { Engine, Session } from "../engine/engine.js";
import type { Program } from "../engine/lower.js";
import { attentionBytes, type DeviceMemory, deviceMemory } from "../engine/memory/device-memory.js";
import { type EngineNotice, noticeText } from "../engine/notices.js";
import { type DeviceOptions, type Opened, openEngine } from "../engine/open-engine.js";
import { InvalidRequest } from "../errors.js";

export type PipelineEngineOptions = DeviceOptions & {
  threads?: number;
  /** Bytes of the device's memory that may be taken; what is known of it if left out. */
  deviceMemory?: number;
};

/** Components hold this engine, and load on whatever engine is in it then. */
export class PipelineEngine implements Engine {
  #engine: Engine & Partial<Opened>;
  /** What it was opened with; undefined for the caller's engine. */
  #options: PipelineEngineOptions | undefined;
  /** Ends when all that was to hold the engine so far has ended. */
  #last: Promise<void> = Promise.resolve();
  #closed = false;
  #onNotice: (notice: EngineNotice) => void = () => {};
  /** What the device left to the CPU, which concerns every image from then on. */
  readonly #fallbacks = new Set<string>();

  /** Bytes that may be taken of the device. */
  readonly #given: number | undefined;

  private constructor(
    engine: Engine & Partial<Opened>,
    options: PipelineEngineOptions | undefined,
    given: number | undefined,
  ) {
    this.#engine = engine;
    this.#options = options;
    this.#given = given;
  }

  /** Opens an engine on the device of the options; `given` is used instead, and never closed, if there is one. */
  static async open(options: PipelineEngineOptions, given?: Engine): Promise<PipelineEngine> {
    const { deviceMemory } = options;
    if (given) return new PipelineEngine(given, undefined, deviceMemory);
    return new PipelineEngine(await openEngine(options), options, deviceMemory);
  }

  /** With slices of attention for its memory. */
  get device(): Device {
    const { device } = this.#engine;
    if (device.attentionBytes === undefined) return device;
    return { ...device, attentionBytes: attentionBytes(device, this.memory().bytes) };
  }

  /** What may be taken of the device's memory; of the machine's with the `held` bytes that were taken already. */
  memory(held = 0): DeviceMemory {
    return deviceMemory(this.#engine.device, { given: this.#given, held });
  }

  /** Why it is on this device, in one sentence. */
  get reason(): string | undefined {
    return this.#engine.reason;
  }

  /** What was asked for of the device and is not so. */
  get warnings(): readonly string[] {
    return [...(this.#engine.warnings ?? []), ...this.#fallbacks];
  }

  load(program: Program): Promise<Session> {
    return this.#engine.load(program, {
      onNotice: (notice) => {
        if (notice.type === "cpuFallback") this.#fallbacks.add(noticeText(notice));
        this.#onNotice(notice);
      },
    });
  }

  /** Notices are given to this function alone from now on. */
  listen(onNotice: (notice: EngineNotice) => void): void {
    this.#onNotice = onNotice;
  }

  /** Waits for its turn: generations and moves, one after the other. The function that it gives ends the turn. */
  async turn(): Promise<() => void> {
    const before = this.#last;
    let end = () => {};
    this.#last = new Promise((resolve) => (end = resolve));
    await before;
    return end;
  }

  /**
   * Replaces the engine by one on another device; what is left out of `target` stays as it was. `release` frees what was
   * loaded. It is called once the new engine is open, so that an error leaves everything as it was.
   */
  async move(target: DeviceOptions, release: () => Promise<void>): Promise<void> {
    if (this.#options === undefined) {
      const rule = "must stay as it is where the pipeline was given its engine";
      throw new InvalidRequest("device", target.device, `${rule}. Open another pipeline.`);
    }
    const end = await this.turn();
    try {
      this.checkOpen();
      const options = { ...this.#options, ...target };
      const [old, next] = [this.#engine, await openEngine(options)];
      if (this.#closed) await next.close();
      this.checkOpen();
      await release().catch(() => {}); // a device that was lost has nothing to free
      this.#engine = next;
      this.#fallbacks.clear();
      this.#options = options;
      await old.close();
    } finally {
      end();
    }
  }

  checkOpen(): void {
    if (!this.#closed) return;
    const rule = "must be open, got one that was closed. Open the model again with fromPretrained.";
    throw new InvalidRequest("pipeline", undefined, rule);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ends the engine, unless it is the caller's, after `release` has freed what was loaded. */
  async close(release: () => Promise<void> = async () => {}): Promise<void> {
    this.#closed = true;
    await release();
    if (this.#options !== undefined) await this.#engine.close();
  }
}
