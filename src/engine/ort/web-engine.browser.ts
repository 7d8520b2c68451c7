/** @file ONNX Runtime in a browser, in the calling thread: WebAssembly on the CPU, or WebGPU. Weights are read as it asks for them. */

import { cpu, type Device } from "../device.js";
import type { Engine, Session } from "../engine.js";
import { compiling, type EngineNotice } from "../notices.js";
import type { Program } from "../program.js";
import { engineError } from "./engine-errors.js";
import { deviceOptions } from "./session-options.js";
import { tensorsOf, valuesOf, withHostInputs } from "./tensors.js";
import { onnxRuntime } from "./web-build.browser.js";
import { WebGpu } from "./web-gpu.browser.js";
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

/** Its errors are thrown, too. */
const silent = 4;

type WebEngineOptions = { threads?: number; device?: Device };

/** `threads`: of one operation, where the page is isolated (COOP and COEP); 0: one a core. */
export function webEngine({ threads = 0, device = cpu }: WebEngineOptions = {}): Engine {
  return {
    device,
    load: (program, { onNotice = () => {} } = {}) => load(program, { threads, device, onNotice }),
    close: async () => {},
  };
}

type LoadOptions = Required<WebEngineOptions> & { onNotice: (notice: EngineNotice) => void };

async function load(program: Program, { threads, device, onNotice }: LoadOptions): Promise<Session> {
  const { name } = program;
  const named = (error: unknown): never => {
    throw engineError(name, error, device);
  };
  const onGpu = device.provider !== "cpu";
  const ort = await onnxRuntime(device.provider, threads).catch(named);
  const gpu = onGpu ? await WebGpu.open().catch(named) : undefined;
  const attempt = <T>(action: () => Promise<T>): Promise<T> =>
    inTurn(() => (gpu ? gpu.run(action) : action())).catch(named);

  const session = await attempt(async () =>
    ort.InferenceSession.create(program.model, {
      ...deviceOptions(device, program),
      // An arena grows by doubling and gives nothing back.
      ...(!gpu && program.weightsAsStored && { enableCpuMemArena: false, enableMemPattern: false }),
      ...(gpu && { executionProviders: [{ name: "webgpu" as const, device: gpu.device }] }),
      externalData: await weightFiles(program),
      logSeverityLevel: silent,
    }),
  );
  let isNew = onGpu;
  return {
    get lost() {
      return gpu?.lost !== undefined;
    },
    run: (inputs) => {
      if (isNew) onNotice(compiling(name, device));
      isNew = false;
      return attempt(async () => {
        const all = await withHostInputs(program, session.inputNames, inputs);
        const values = valuesOf(await session.run(tensorsOf(all, ort.Tensor), { logSeverityLevel: silent }));
        await nextTurn();
        return values;
      });
    },
    release: () => inTurn(() => session.release()),
  };
}
