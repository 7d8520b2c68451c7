/** @file ONNX Runtime in the calling thread, which a run blocks; `worker-engine.ts` runs it in another. */

import * as ort from "onnxruntime-node";
import { DeviceLostError } from "../../errors.js";
import { cpu, type Device } from "../device.js";
import type { Engine, Session, Values } from "../engine.js";
import type { Program } from "../lower.js";
import { compiling, type EngineNotice } from "../notices.js";
import { queued } from "./device-queue.js";
import { engineError } from "./engine-errors.js";
import { checkPlacement, profiler } from "./first-run.js";
import { deviceOptions } from "./session-options.js";
import { disableTelemetry } from "./telemetry.js";
import { tensorsOf, valuesOf, withHostInputs } from "./tensors.js";

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
  /** Whether operations that the device has no kernel for may run on the CPU, with a notice. */
  allowCpuFallback?: boolean;
  /** Of the programs that are loaded without one of their own. */
  onNotice?: (notice: EngineNotice) => void;
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
  onNotice?: (notice: EngineNotice) => void;
};

export interface BlockingEngine extends Engine {
  load(program: Program, options?: LoadOptions): Promise<BlockingSession>;
}

/** An engine that computes in the calling thread. */
export function blockingEngine(options: EngineOptions = {}): BlockingEngine {
  const { threads = 0, device = cpu, spinning = false, plansMemory = true } = options;
  const { allowCpuFallback = false, onNotice = () => {} } = options;
  disableTelemetry();
  const loaded: Loaded = new Set();
  const settings = { threads, device, spinning, plansMemory, allowCpuFallback, onNotice, loaded };
  return {
    device,
    load: (program, options = {}) => load(program, { keepsMemory: true, ...settings, ...options }),
    close: async () => {},
  };
}

/** The sessions of an engine, each by what marks it as lost and frees it. */
type Loaded = Set<() => Promise<void>>;
type Settings = Required<EngineOptions & LoadOptions> & { loaded: Loaded };

async function load(program: Program, settings: Settings): Promise<BlockingSession> {
  const { name } = program;
  const { device, loaded, onNotice } = settings;
  const attempt = <T>(action: () => Promise<T>): Promise<T> =>
    queued(device, action).catch(async (thrown: unknown) => {
      const error = engineError(name, thrown, device);
      // ONNX Runtime keeps a lost device for as long as a session is on it.
      if (error instanceof DeviceLostError) await Promise.all([...loaded].map((lose) => lose()));
      throw error;
    });

  const profile = device.provider === "cpu" ? undefined : await profiler();
  const session = await attempt(() => createSession(program, settings, profile?.options)).catch(
    async (error: unknown) => {
      await profile?.discard();
      throw error;
    },
  );
  let state: "new" | "checked" | "released" | "lost" = "new";
  const release = async (as: "released" | "lost") => {
    if (state === "released" || state === "lost") return;
    if (state === "new") await profile?.discard();
    state = as;
    loaded.delete(lose);
    await queued(device, () => session.release());
  };
  const lose = () => release("lost");
  if (profile) loaded.add(lose);

  const runInto: BlockingSession["runInto"] = async (inputs, outputs) => {
    if (state === "lost")
      throw new DeviceLostError(name, new Error(`${device.name} was lost. Load it again.`));
    const running = () =>
      attempt(async () => run(session, await withHostInputs(program, session.inputNames, inputs), outputs));
    if (!profile || state !== "new") return running();
    state = "checked";
    onNotice(compiling(name, device));
    try {
      const results = await running();
      checkPlacement(name, await profile.nodes(session), settings);
      return results;
    } finally {
      await profile.discard();
    }
  };
  return {
    get lost() {
      return state === "lost";
    },
    run: (inputs) => runInto(inputs, {}),
    runInto,
    release: () => release("released"),
  };
}

function createSession(
  { model, folder, memory, weightsAsStored, widensAtLoad }: Program,
  { threads, device, spinning, plansMemory, keepsMemory }: Settings,
  more: ort.InferenceSession.SessionOptions = {},
): Promise<ort.InferenceSession> {
  const files = folder === undefined ? {} : { model_external_initializers_file_folder_path: folder };
  const externalData = memory && [...memory].map(([path, data]) => ({ path, data }));
  return ort.InferenceSession.create(model, {
    ...(externalData && { externalData }),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: keepsMemory,
    enableMemPattern: plansMemory,
    ...deviceOptions(device, { weightsAsStored, widensAtLoad }),
    logSeverityLevel: 3,
    extra: { session: { ...files, intra_op: { allow_spinning: spinning ? "1" : "0" } } },
    ...more,
  });
}

async function run(
  session: ort.InferenceSession,
  inputs: Readonly<Record<string, Values>>,
  outputs: Readonly<Record<string, Values>>,
): Promise<Record<string, Values>> {
  const fetches = Object.fromEntries(session.outputNames.map((name) => [name, null]));
  const given = { ...fetches, ...tensorsOf(outputs, ort.Tensor) };
  return valuesOf(await session.run(tensorsOf(inputs, ort.Tensor), given));
}
