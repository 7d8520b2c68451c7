/** @file ONNX Runtime in this thread. A run blocks the thread until it is done; `node.ts` moves it to another. */

import * as ort from "onnxruntime-node";
import { EngineError } from "../../errors.js";
import { cpu, type Device } from "../device.js";
import type { Engine, Session, Values } from "../engine.js";
import type { Program } from "../lower.js";
import { silenceTelemetry } from "./telemetry.js";

export type EngineOptions = {
  /** Threads of one operation; 0 leaves it to ONNX Runtime, which takes one per core. */
  threads?: number;
  device?: Device;
  /**
   * Whether threads wait for the next operation in a busy loop. That is fastest for one program on idle cores; the
   * programs of a training step, each with threads of its own, take the cores from one another.
   */
  spinning?: boolean;
  /**
   * Whether memory is planned for whole runs. With open sizes that is done after the first run, and the second takes its
   * memory anew beside what the first took.
   */
  plansMemory?: boolean;
};

/** A session that can also write into memory of the caller's, without a copy. */
export interface BlockingSession extends Session {
  /**
   * As `run`, with results written into the arrays of `outputs`; those not named there are new. An output may only
   * share memory with an input that no operation reads after it is written.
   */
  runInto(
    inputs: Readonly<Record<string, Values>>,
    outputs: Readonly<Record<string, Values>>,
  ): Promise<Record<string, Values>>;
}

type LoadOptions = {
  /**
   * Whether a program keeps the memory of its run for the next one, which is fastest. Of programs that take turns each
   * would keep its own peak, all of them at once.
   */
  keepsMemory?: boolean;
};

export interface BlockingEngine extends Engine {
  load(program: Program, options?: LoadOptions): Promise<BlockingSession>;
}

/** An engine that computes in the calling thread. */
export function blockingEngine(options: EngineOptions = {}): BlockingEngine {
  const { threads = 0, device = cpu, spinning = false, plansMemory = true } = options;
  silenceTelemetry();
  return {
    device,
    load: (program, { keepsMemory = true } = {}) =>
      load(program, { threads, spinning, plansMemory, keepsMemory }),
    close: async () => {},
  };
}

async function load(
  { name, model, folder, memory }: Program,
  { threads, spinning, plansMemory, keepsMemory }: Required<Omit<EngineOptions, "device"> & LoadOptions>,
): Promise<BlockingSession> {
  const files = folder === undefined ? {} : { model_external_initializers_file_folder_path: folder };
  const externalData = memory && [...memory].map(([path, data]) => ({ path, data }));
  const session = await attempt(name, () =>
    ort.InferenceSession.create(model, {
      ...(externalData && { externalData }),
      executionProviders: ["cpu"],
      graphOptimizationLevel: "all",
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      enableCpuMemArena: keepsMemory,
      enableMemPattern: plansMemory,
      logSeverityLevel: 3,
      extra: { session: { ...files, intra_op: { allow_spinning: spinning ? "1" : "0" } } },
    }),
  );
  return {
    run: (inputs) => attempt(name, () => run(session, inputs, {})),
    runInto: (inputs, outputs) => attempt(name, () => run(session, inputs, outputs)),
    release: () => session.release(),
  };
}

async function run(
  session: ort.InferenceSession,
  inputs: Readonly<Record<string, Values>>,
  outputs: Readonly<Record<string, Values>>,
): Promise<Record<string, Values>> {
  const tensors = (values: Readonly<Record<string, Values>>) =>
    Object.fromEntries(Object.entries(values).map(([name, v]) => [name, tensor(v)]));
  const fetches = Object.fromEntries(session.outputNames.map((name) => [name, null]));
  const results = await session.run(tensors(inputs), { ...fetches, ...tensors(outputs) });
  return Object.fromEntries(
    Object.entries(results).map(([name, t]) => [
      name,
      { data: t.data as Values["data"], shape: [...t.dims] },
    ]),
  );
}

const tensor = ({ data, shape }: Values) =>
  data instanceof Float32Array
    ? new ort.Tensor("float32", data, shape)
    : new ort.Tensor("int64", data, shape);

async function attempt<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new EngineError(name, error);
  }
}
