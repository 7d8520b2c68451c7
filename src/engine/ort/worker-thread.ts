/** @file The thread that computes: answers `node.ts` with an engine of its own. Started only as a worker. */

import { parentPort, workerData } from "node:worker_threads";
import type { Session } from "../engine.js";
import { blockingEngine, type EngineOptions } from "./blocking-engine.js";
import { type Request, type Response, startId } from "./worker-engine.js";

const engine = blockingEngine({ spinning: true, plansMemory: false, ...(workerData as EngineOptions) });
const sessions = new Map<number, Session>();

async function answer(request: Request): Promise<Response["result"]> {
  switch (request.kind) {
    case "load":
      sessions.set(request.session, await engine.load(request.program));
      return undefined;
    case "run":
      return sessions.get(request.session)!.run(request.inputs);
    case "release":
      await sessions.get(request.session)?.release();
      sessions.delete(request.session);
      return undefined;
    default:
      return request satisfies never;
  }
}

parentPort!.on("message", async (request: Request) => {
  try {
    const result = await answer(request);
    const buffers = Object.values(result ?? {}).map((v) => v.data.buffer as ArrayBuffer);
    parentPort!.postMessage({ id: request.id, result } satisfies Response, buffers);
  } catch (error) {
    const { message } = error as Error;
    parentPort!.postMessage({ id: request.id, error: message } satisfies Response);
  }
});

parentPort!.postMessage({ id: startId } satisfies Response);
