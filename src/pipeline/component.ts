/** @file A component of a model: one network, its weights checked against its config, traced, and loaded as a session. */

import { type Device, forNetwork, type Precision } from "../engine/device.js";
import type { Engine, Session, Values } from "../engine/engine.js";
import { lower, type Program, type StoredWeight } from "../engine/lower.js";
import { quantizableWeights } from "../engine/rewrite/quantized-layers.js";
import { listed, ModelError } from "../errors.js";
import path from "../files/path.js";
import { Params, tracing } from "../tensor/params.js";
import { count, show, type Tensor } from "../tensor/tensor.js";
import type { WeightSet } from "../weights/component.js";
import { isFloatDtype } from "../weights/dtype.js";
import { checkFinite } from "./finite.js";
import type { WeightChanges, WeightInMemory } from "./weight-changes.js";

/** The sizes that a program is traced at, in latent pixels. */
export type TracedSize = { batch: number; height: number; width: number };

/** Traces a network: its results by name. Any program serves all sizes; `size` is what its memory is planned for. */
export type Trace = (p: Params, size?: TracedSize) => Record<string, Tensor>;

/** Tensors in old files that are no weights. */
const notWeights = /(^|\.)position_ids$/;

/**
 * Checks a component's weights against those of its network and returns the names that the network does not use;
 * ModelError lists what is missing or does not fit.
 */
export function checkWeightShapes(
  file: string,
  wanted: ReadonlyMap<string, Tensor>,
  weights: WeightSet,
): string[] {
  const { tensors } = weights;
  const missing = [...wanted.keys()].filter((name) => !tensors.has(name));
  const unexpected = [...tensors.keys()].filter((name) => !wanted.has(name) && !notWeights.test(name));
  if (missing.length > 0) {
    const extra =
      unexpected.length > 0
        ? ` It holds ${unexpected.length} that do not belong: ${listed(unexpected, 2)}.`
        : "";
    const problem = `missing ${missing.length} of ${wanted.size} tensors: ${listed(missing)}.${extra}`;
    throw new ModelError(file, `${problem} Is this the file that belongs to this config.json?`, {
      missing,
      unexpected,
    });
  }
  for (const [name, { shape }] of wanted) {
    const found = tensors.get(name)!;
    if (found.shape.join() !== shape.join()) {
      throw new ModelError(
        file,
        `${name}: must be ${show(shape)} by its config.json, got ${show(found.shape)}.`,
      );
    }
    if (!isFloatDtype(found.dtype)) {
      throw new ModelError(
        file,
        `${name}: must be F32, F16, BF16, F64, F8_E4M3 or F8_E5M2, got ${found.dtype}. Weights quantised otherwise are not supported.`,
      );
    }
  }
  return unexpected;
}

/** A traced network, and its weights by name, which are checked against the file. */
type CheckedNetwork = { outputs: Record<string, Tensor>; wanted: ReadonlyMap<string, Tensor> };

function checkedNetwork(file: string, weights: WeightSet, trace: Trace): CheckedNetwork {
  const wanted = new Map<string, Tensor>();
  const outputs = trace(new Params(tracing(wanted)));
  checkWeightShapes(file, wanted, weights);
  return { outputs, wanted };
}

/** The program of a network, whose weights stay in their files. Errors call the file `file`. */
export function componentProgram(
  name: string,
  file: string,
  weights: WeightSet,
  trace: Trace,
  { device }: { readonly device: Device },
): Program {
  const { outputs, wanted } = checkedNetwork(file, weights, trace);
  return programOf(name, outputs, wanted.keys(), weights, device);
}

/** The program with those weights, which stay in their files unless `held` has them. */
function programOf(
  name: string,
  outputs: Readonly<Record<string, Tensor>>,
  wanted: Iterable<string>,
  weights: WeightSet,
  device: Device,
  held?: ReadonlyMap<string, WeightInMemory>,
): Program {
  const { weights: ranges, folder } = weightsInFiles(weights, wanted);
  const inMemory = ([name, { shape }]: [string, StoredWeight]) =>
    [name, { ...held!.get(name)!, shape }] as const;
  const stored = held ? new Map([...ranges].map(inMemory)) : ranges;
  return lower(name, outputs, { device, weights: stored, folder });
}

/** Weights that a program reads from their files, below one directory. */
export type WeightsInFiles = { weights: ReadonlyMap<string, StoredWeight>; folder: string };

/** Where these weights of a set lie; all of `names` must be in it (`checkWeightShapes`). */
export function weightsInFiles({ tensors, files }: WeightSet, names: Iterable<string>): WeightsInFiles {
  const folder = commonFolder(files);
  const stored = Array.from(names, (name): [string, StoredWeight] => {
    const { file, ...entry } = tensors.get(name)!;
    return [name, { ...entry, location: path.relative(folder, file) }];
  });
  return { weights: new Map(stored), folder };
}

/** The deepest directory above all files: what ONNX Runtime may read below. */
function commonFolder(files: readonly string[]): string {
  let folder = path.dirname(files[0]!);
  while (!files.every((f) => f.startsWith(folder.endsWith(path.sep) ? folder : folder + path.sep)))
    folder = path.dirname(folder);
  return folder;
}

/** A session whose results are checked: an EngineError says what `stage` of the work has NaN or infinity. */
export interface ComponentSession extends Session {
  run(inputs: Readonly<Record<string, Values>>, stage?: string): Promise<Record<string, Values>>;
}

/** Each size up to a power of two, so that near sizes share a program: attention is cut into slices for the largest. */
function sizeClass({ batch, height, width }: TracedSize): TracedSize {
  const above = (size: number, least: number) => Math.max(least, 2 ** Math.ceil(Math.log2(size)));
  return { batch: above(batch, 2), height: above(height, 64), width: above(width, 64) };
}

/** A device as a network's programs are lowered for it. */
type Adapt = (device: Device) => Device;

/** Most networks are small, or measure what others do, so that their weights are not quantised. */
export const withStoredWeights: Adapt = (device) =>
  device.weights === "stored" ? device : { ...device, weights: "stored" };

/** A network that is loaded at its first use and freed by `release`. */
export class Component {
  readonly name: string;
  readonly file: string;
  readonly weights: WeightSet;
  readonly #engine: Engine;
  /** What it is on any device. */
  readonly on: Adapt;
  /** What is added to its weights when they are loaded. */
  readonly changes: WeightChanges;
  #session: { key: string; session: Promise<ComponentSession> } | undefined;

  constructor(
    name: string,
    file: string,
    weights: WeightSet,
    engine: Engine,
    { changes = new Map(), on = withStoredWeights }: { changes?: WeightChanges; on?: Adapt } = {},
  ) {
    this.name = name;
    this.file = file;
    this.weights = weights;
    this.#engine = engine;
    this.changes = changes;
    this.on = on;
  }

  /** The same network with changes that are added to its weights each time they are loaded. */
  changed(changes: WeightChanges): Component {
    return new Component(this.name, this.file, this.weights, this.#engine, { changes, on: this.on });
  }

  /** The same network, lowered for what `on` makes of a device. */
  adapted(on: Adapt): Component {
    const { name, file, weights, changes } = this;
    return new Component(name, file, weights, this.#engine, { changes, on });
  }

  /** What its programs are lowered for: the engine's device of now, as it is for this network. */
  get device(): Device {
    return this.lowered(this.#engine.device);
  }

  /** A device as this network's programs are lowered for it. With changes, weights are given in float32. */
  lowered(device: Device): Device {
    const own = this.on(device);
    return this.changes.size > 0 ? own : forNetwork(own, this.bytes);
  }

  /** The arithmetic in which it is computed. */
  get dtype(): Precision {
    return this.device.dtype;
  }

  /** Bytes of its weights in float32, which is what they take when loaded. */
  get bytes(): number {
    return [...this.weights.tensors.values()].reduce((sum, t) => sum + 4 * count(t.shape), 0);
  }

  get isLoaded(): boolean {
    return this.#session !== undefined;
  }

  /**
   * The session of a program; `name` distinguishes the programs of a component, of which one stays loaded. `size` is that
   * of the coming runs: a device with small buffers has a program for each class of sizes.
   */
  async session(name: string, trace: Trace, size?: TracedSize): Promise<ComponentSession> {
    const traced = size && this.device.attentionBytes !== undefined ? sizeClass(size) : undefined;
    const key = [name, ...Object.values(traced ?? {})].join(" ");
    const loaded =
      this.#session?.key === key ? await this.#session.session.catch(() => undefined) : undefined;
    if (loaded === undefined || loaded.lost) {
      await this.release();
      const session = this.#load((p) => trace(p, traced));
      this.#session = { key, session };
      session.catch(() => (this.#session = undefined));
    }
    return this.#session!.session;
  }

  async #load(trace: Trace): Promise<ComponentSession> {
    const session = await this.#engine.load(await this.#program(trace));
    return {
      get lost() {
        return session.lost ?? false;
      },
      run: async (inputs, stage = "its result") => {
        const results = await session.run(inputs);
        await checkFinite(this, results, stage);
        return results;
      },
      release: () => session.release(),
    };
  }

  async #program(trace: Trace): Promise<Program> {
    const { name, weights, changes, device } = this;
    const { outputs, wanted } = checkedNetwork(this.file, weights, trace);
    if (device.weights !== "stored") {
      const source = { name, weights, changes, wanted: wanted.keys() };
      const { quantizedWeights } = await import("./quantized-weights.js"); // here, as most devices hold stored weights
      const quantized = await quantizedWeights(
        source,
        device.weights,
        quantizableWeights(outputs, device.weights),
        this.#engine,
      );
      return programOf(name, outputs, quantized.tensors.keys(), quantized, device);
    }
    if (changes.size === 0) return programOf(name, outputs, wanted.keys(), weights, device);
    const { changedWeights } = await import("./weight-changes.js"); // here, as few models have LoRAs
    const held = await changedWeights(weights, changes, this.#engine);
    return programOf(name, outputs, wanted.keys(), weights, device, held);
  }

  async release(): Promise<void> {
    const loaded = this.#session;
    this.#session = undefined;
    if (loaded) await (await loaded.session).release();
  }
}
