/** @file The engine's thread: runs programs for `worker-engine.ts` with a blocking engine of its own. */

import { type Call, serveThread, threadData } from "../../threads.js";
import type { Session, Values } from "../engine.js";
import { type DeviceOptions, findDevice } from "../find-device.js";
import type { EngineNotice } from "../notices.js";
import type { Program } from "../program.js";
import { type BlockingEngine, blockingEngine, type EngineOptions } from "./blocking-engine.js";

let onNotice = (_: EngineNotice) => {};
const options: EngineOptions = {
  spinning: true,
  plansMemory: false,
  ...threadData<EngineOptions>(),
  onNotice: (notice) => onNotice(notice),
};
let engine: BlockingEngine = blockingEngine(options);
const sessions = new Map<number, Session>();

const methods = {
  open: async (wanted: DeviceOptions) => {
    const found = await findDevice(wanted);
    engine = blockingEngine({ ...options, device: found.device });
    return found;
  },
  load: async ({ session, program }: { session: number; program: Program }) => {
    sessions.set(session, await engine.load(program));
  },
  run: async (
    { session, inputs }: { session: number; inputs: Readonly<Record<string, Values>> },
    { transfer, emit }: Call<EngineNotice>,
  ) => {
    onNotice = emit;
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
