/** @file ONNX Runtime in a worker thread, so that the calling thread is free while a program runs. */

import { EngineError } from "../../errors.js";
import { Thread } from "../../threads.js";
import { cpu } from "../device.js";
import type { Engine, Session } from "../engine.js";
import type { Program } from "../lower.js";
import type { EngineOptions } from "./blocking-engine.js";
import { disableTelemetry } from "./telemetry.js";
import type { EngineMethods } from "./worker-thread.js";

/** The weights' bytes that a program holds. */
const bytesOf = ({ memory, host = [] }: Program) => [
  ...(memory?.values() ?? []),
  ...host.flatMap(({ value }) =>
    value.op === "rows" && typeof value.table === "object" && "data" in value.table ? [value.table.data] : [],
  ),
];

/** Starts the thread. `close` ends it once the running program is done: ended within one, it would take the process with it. */
export function workerEngine(options: EngineOptions = {}): Engine {
  disableTelemetry();
  const entry = new URL("./worker-thread.js", import.meta.url);
  const thread = new Thread<EngineMethods>(entry, { name: "engine", data: options });
  let sessions = 0;

  const load = async (program: Program): Promise<Session> => {
    const session = sessions++;
    const { name } = program;
    const named = (error: unknown): never => {
      throw error instanceof EngineError ? error : new EngineError(name, error);
    };
    const transfer = [...new Set(bytesOf(program).map(({ buffer }) => buffer))];
    await thread.call("load", { session, program }, { transfer }).catch(named);
    return {
      run: (inputs) => thread.call("run", { session, inputs }).catch(named),
      release: () => thread.call("release", session).catch(named),
    };
  };
  return { device: options.device ?? cpu, load, close: () => thread.close() };
}
