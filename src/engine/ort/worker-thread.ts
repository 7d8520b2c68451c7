/** @file The engine's thread: runs programs for `worker-engine.ts` with a blocking engine of its own. */

import { type Call, serveThread, threadData } from "../../threads.js";
import type { Session, Values } from "../engine.js";
import type { Program } from "../lower.js";
import { blockingEngine, type EngineOptions } from "./blocking-engine.js";

const engine = blockingEngine({ spinning: true, plansMemory: false, ...threadData<EngineOptions>() });
const sessions = new Map<number, Session>();

const methods = {
  load: async ({ session, program }: { session: number; program: Program }) => {
    sessions.set(session, await engine.load(program));
  },
  run: async (
    { session, inputs }: { session: number; inputs: Readonly<Record<string, Values>> },
    { transfer }: Call,
  ) => {
    const results = await sessions.get(session)!.run(inputs);
    transfer(Object.values(results).map(({ data }) => data.buffer as ArrayBuffer));
    return results;
  },
  release: async (session: number) => {
    await sessions.get(session)?.release();
    sessions.delete(session);
  },
};

export type EngineMethods = typeof methods;

serveThread(methods);
