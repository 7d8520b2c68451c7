/** @file ONNX Runtime in the calling thread, which a run blocks; `worker-engine.ts` runs it in another. */

import * as ort from "onnxruntime-node";
import { EngineError } from "../../errors.js";
import { cpu, type Device } from "../device.js";
import type { Engine, Session, Values } from "../engine.js";
import { hostValues } from "../host-values.js";
import type { Program } from "../lower.js";
import { deviceOptions } from "./session-options.js";
import { disableTelemetry } from "./telemetry.js";

export type EngineOptions = {
  /** Threads of one operation; 0 is ONNX Runtime's default, one per core. */
  threads?: number;
  device?: Device;
  /**
   * Whether threads wait for the next operation in a busy loop. That is fastest for one program on idle cores, and slow
   * for several programs with threads of their own, such as those of a training step.
   */
  spinning?: boolean;
  /**
   * Whether memory is planned for whole runs. With open sizes that is done after the first run, and the second allocates
   * its memory beside that of the first.
   */
  plansMemory?: boolean;
};

/** A session that can also write results into the caller's memory, without a copy. */
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
   * Whether a program keeps the memory of a run for the next one, which is fastest. Of several programs each keeps its
   * own peak.
   */
  keepsMemory?: boolean;
};

export interface BlockingEngine extends Engine {
  load(program: Program, options?: LoadOptions): Promise<BlockingSession>;
}

/** An engine that computes in the calling thread. */
export function blockingEngine(options: EngineOptions = {}): BlockingEngine {
  const { threads = 0, device = cpu, spinning = false, plansMemory = true } = options;
  disableTelemetry();
  return {
    device,
    load: (program, { keepsMemory = true } = {}) =>
      load(program, { threads, device, spinning, plansMemory, keepsMemory }),
    close: async () => {},
  };
}

async function load(
  { name, model, folder, memory, host, widensAtLoad }: Program,
  { threads, device, spinning, plansMemory, keepsMemory }: Required<EngineOptions & LoadOptions>,
): Promise<BlockingSession> {
  const files = folder === undefined ? {} : { model_external_initializers_file_folder_path: folder };
  const externalData = memory && [...memory].map(([path, data]) => ({ path, data }));
  const session = await attempt(name, () =>
    ort.InferenceSession.create(model, {
      ...(externalData && { externalData }),
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      enableCpuMemArena: keepsMemory,
      enableMemPattern: plansMemory,
      ...deviceOptions(device, { widensAtLoad }),
      logSeverityLevel: 3,
      extra: { session: { ...files, intra_op: { allow_spinning: spinning ? "1" : "0" } } },
    }),
  );
  const withHost = async (inputs: Readonly<Record<string, Values>>) => {
    if (!host) return inputs;
    const all = { ...inputs, ...(await hostValues(host, inputs, folder)) };
    return Object.fromEntries(session.inputNames.flatMap((n) => (all[n] ? [[n, all[n]]] : [])));
  };
  const runInto: BlockingSession["runInto"] = (inputs, outputs) =>
    attempt(name, async () => run(session, await withHost(inputs), outputs));
  return {
    run: (inputs) => runInto(inputs, {}),
    runInto,
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
