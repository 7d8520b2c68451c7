/** @file ONNX Runtime in a browser: WebAssembly on the CPU. Weights are read by ranges of their files. */

import * as ort from "onnxruntime-web/wasm";
import { EngineError } from "../../errors.js";
import { cpu, type Device } from "../device.js";
import type { Engine, Session } from "../engine.js";
import type { Program } from "../program.js";
import { tensorsOf, valuesOf, withHostInputs } from "./tensors.js";
import { weightFiles } from "./weight-files.browser.js";

/** Calls of ONNX Runtime's web build may not overlap: each waits for the one before. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(action: () => Promise<T>): Promise<T> {
  const run = last.then(action, action);
  last = run.catch(() => undefined);
  return run;
}

/**
 * Lets messages in that arrived meanwhile, such as one that cancels: a run blocks its thread, and what follows it may be
 * promises alone up to the next. Not a timer, which browsers hold back.
 */
function nextTurn(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** An engine in the calling thread. `threads`: of one operation, where the page is isolated (COOP and COEP); 0: one a core. */
export function webEngine({ threads = 0, device = cpu }: { threads?: number; device?: Device } = {}): Engine {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads || navigator.hardwareConcurrency : 1;
  return { device, load, close: async () => {} };
}

async function load(program: Program): Promise<Session> {
  const { name } = program;
  const named = (error: unknown): never => {
    throw error instanceof EngineError ? error : new EngineError(name, error);
  };
  const session = await inTurn(async () =>
    ort.InferenceSession.create(program.model, {
      executionProviders: ["wasm"],
      externalData: await weightFiles(program),
      // Any other level folds the Cast of a weight into a second, wider copy.
      graphOptimizationLevel: program.weightsAsStored ? "disabled" : "all",
      // An arena grows by doubling and gives nothing back.
      ...(program.weightsAsStored && { enableCpuMemArena: false, enableMemPattern: false }),
      logSeverityLevel: 3,
    }),
  ).catch(named);
  return {
    run: (inputs) =>
      inTurn(async () => {
        const all = await withHostInputs(program, session.inputNames, inputs);
        const values = valuesOf(await session.run(tensorsOf(all, ort.Tensor)));
        await nextTurn();
        return values;
      }).catch(named),
    release: () => inTurn(() => session.release()),
  };
}
