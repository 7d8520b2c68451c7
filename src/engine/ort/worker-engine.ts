/** @file An engine in a worker thread, so that progress, Ctrl-C and other requests answer while it computes. */

import { SHARE_ENV, Worker } from "node:worker_threads";
import { EngineError } from "../../errors.js";
import { cpu } from "../device.js";
import type { Engine, Session, Values } from "../engine.js";
import type { Program } from "../lower.js";
import type { EngineOptions } from "./blocking-engine.js";
import { silenceTelemetry } from "./telemetry.js";

export type Request = { id: number; session: number } & (
  | { kind: "load"; program: Program }
  | { kind: "run"; inputs: Readonly<Record<string, Values>> }
  | { kind: "release" }
);
export type Response = { id: number; result?: Record<string, Values> | undefined; error?: string };

/** Node runs no TypeScript, so the worker is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../../dist/engine/ort/worker-thread.js", import.meta.url)
  : new URL("./worker-thread.js", import.meta.url);

/** What the thread answers unasked, once it has loaded ONNX Runtime. */
export const startId = 0;

/**
 * Starts the thread. `close` ends it as soon as a running operation is done, and not before it has started: a thread
 * that is ended while it loads ONNX Runtime takes the process with it.
 */
export function workerEngine(options: EngineOptions = {}): Engine {
  const waiting = new Map<
    number,
    { program: string; resolve: (r: Response) => void; reject: (e: Error) => void }
  >();
  let ids = startId + 1;
  let failure: Error | undefined;
  silenceTelemetry();
  const worker = new Worker(entry, { workerData: options, env: SHARE_ENV });
  const started = new Promise<void>((resolve) => {
    waiting.set(startId, { program: "engine", resolve: () => resolve(), reject: () => resolve() });
  });

  worker.on("message", (response: Response) => {
    const { program, resolve, reject } = waiting.get(response.id)!;
    waiting.delete(response.id);
    if (waiting.size === 0) worker.unref();
    if (response.error === undefined) resolve(response);
    else reject(new EngineError(program, new Error(response.error.replace(`${program}: `, ""))));
  });
  const fail = (error: Error) => {
    failure = error;
    for (const { program, reject } of waiting.values()) reject(new EngineError(program, error));
    waiting.clear();
  };
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new Error(`the engine's thread ended with code ${code}`)));

  type Body = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;
  const ask = (program: string, body: Body, transfer: readonly ArrayBuffer[] = []): Promise<Response> =>
    new Promise((resolve, reject) => {
      if (failure) return reject(new EngineError(program, failure));
      const id = ids++;
      waiting.set(id, { program, resolve, reject });
      worker.ref();
      worker.postMessage({ ...body, id }, transfer);
    });

  const load = async (program: Program): Promise<Session> => {
    const session = ids++;
    const { name } = program;
    const memory = new Set([...(program.memory?.values() ?? [])].map(({ buffer }) => buffer));
    await ask(name, { kind: "load", session, program }, [...memory]);
    return {
      run: async (inputs) => (await ask(name, { kind: "run", session, inputs })).result!,
      release: async () => void (await ask(name, { kind: "release", session })),
    };
  };
  const close = async () => {
    await started;
    await worker.terminate();
  };
  return { device: options.device ?? cpu, load, close };
}
