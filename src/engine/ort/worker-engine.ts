/** @file ONNX Runtime in a worker thread, so that the calling thread is free while a program runs. */

import { DeviceLostError, EngineError } from "../../errors.js";
import { builtFile } from "../../package-files.js";
import { Thread } from "../../threads.js";
import { cpu, type Device } from "../device.js";
import type { Engine, Session } from "../engine.js";
import { type DeviceOptions, type FoundDevice, findCpu } from "../find-device.js";
import type { Program } from "../program.js";
import type { EngineOptions } from "./blocking-engine.js";
import { disableTelemetry } from "./telemetry.js";
import type { EngineMethods } from "./worker-thread.js";

type WorkerOptions = Omit<EngineOptions, "device" | "onNotice"> & Omit<DeviceOptions, "device">;

/** Starts the thread. `close` ends it once the running program is done: ended within one, it would take the process with it. */
export function workerEngine({ device = cpu, ...options }: Omit<EngineOptions, "onNotice"> = {}): Engine {
  return engineOn(startThread(options, device), device);
}

/** As `workerEngine`, on a device by its name, which the thread looks for. */
export async function openWorkerEngine({
  device: name = "cpu",
  ...options
}: WorkerOptions & Pick<DeviceOptions, "device"> = {}): Promise<Engine & Omit<FoundDevice, "device">> {
  const { dtype, weights, allowCpuFallback, allowSoftwareAdapter } = options;
  const wanted = defined({ device: name, dtype, weights, allowCpuFallback, allowSoftwareAdapter });
  // Not waited for: while the thread opens ONNX Runtime, the caller reads its model.
  const cpu = findCpu(wanted);
  if (cpu) return { ...engineOn(startThread(options, cpu.device), cpu.device), ...cpu };
  const thread = startThread(options);
  try {
    const { device, reason, warnings } = await thread.call("open", wanted);
    return { ...engineOn(thread, device), reason, warnings };
  } catch (error) {
    await thread.close();
    throw error;
  }
}

const defined = <T extends object>(options: T) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as DeviceOptions;

function startThread(options: Omit<EngineOptions, "onNotice">, device?: Device): Thread<EngineMethods> {
  disableTelemetry();
  const entry = builtFile("engine/ort/worker-thread.js");
  return new Thread<EngineMethods>(entry, { name: "engine", data: { ...options, device } });
}

function engineOn(thread: Thread<EngineMethods>, device: Device): Engine {
  let sessions = 0;
  let losses = 0;
  const load: Engine["load"] = async (program, { onNotice = () => {} } = {}): Promise<Session> => {
    const session = sessions++;
    const { name } = program;
    const named = (thrown: unknown): never => {
      const error = thrown instanceof EngineError ? thrown : new EngineError(name, thrown);
      if (error instanceof DeviceLostError) losses++;
      throw error;
    };
    const transfer = [...new Set(bytesOf(program).map(({ buffer }) => buffer))];
    await thread.call("load", { session, program }, { transfer }).catch(named);
    const before = losses;
    return {
      get lost() {
        return losses !== before;
      },
      run: (inputs) => thread.call("run", { session, inputs }, { onEvent: onNotice }).catch(named),
      release: () => thread.call("release", session).catch(named),
    };
  };
  return { device, load, close: () => thread.close() };
}

/** The weights' bytes that a program holds. */
const bytesOf = ({ memory, host = [] }: Program) => [
  ...(memory?.values() ?? []),
  ...host.flatMap(({ value }) =>
    value.op === "rows" && typeof value.table === "object" && "data" in value.table ? [value.table.data] : [],
  ),
];
