/** @file An engine in a worker thread, so that progress, Ctrl-C and other requests answer while it computes. */

import { SHARE_ENV, Worker } from "node:worker_threads";
import { EngineError } from "../errors.js";
import { cpu } from "./device.js";
import type { Engine, Session, Values } from "./engine.js";
import type { Program } from "./lower.js";
import type { EngineOptions } from "./ort.js";
import { silenceTelemetry } from "./telemetry.js";

export type Request = { id: number; session: number } & (
  | { kind: "load"; program: Program }
  | { kind: "run"; inputs: Readonly<Record<string, Values>> }
  | { kind: "release" }
);
export type Response = { id: number; result?: Record<string, Values> | undefined; error?: string };

/** Node runs no TypeScript, so the worker is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../dist/engine/worker.js", import.meta.url)
  : new URL("./worker.js", import.meta.url);

/** Starts the thread. `close` ends it as soon as a running operation is done. */
export function workerEngine(options: EngineOptions = {}): Engine {
  const waiting = new Map<
    number,
    { program: string; resolve: (r: Response) => void; reject: (e: Error) => void }
  >();
  let ids = 0;
  let failure: Error | undefined;
  silenceTelemetry();
  const worker = new Worker(entry, { workerData: options, env: SHARE_ENV });
  worker.unref();

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
  return { device: options.device ?? cpu, load, close: async () => void (await worker.terminate()) };
}
