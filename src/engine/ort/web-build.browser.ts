/** @file Loads the build of ONNX Runtime that suits this browser. */

import type * as OnnxRuntime from "onnxruntime-web";
import type { Provider } from "../device.js";
import { type Build, buildFor } from "./web-builds.js";

type Runtime = typeof OnnxRuntime;

/** Each is a module of its own with its own state, of which a page needs one. */
const builds = {
  jspi: () => import("onnxruntime-web/jspi"),
  asyncify: () => import("onnxruntime-web/webgpu"),
  wasm: () => import("onnxruntime-web/wasm"),
} satisfies Record<Build, () => Promise<unknown>>;

let folder: string | undefined;
let version: string | undefined;

/** Where its `.mjs` and `.wasm` files are, as the URL of their folder; where a bundler has put them if never called. */
export function loadOnnxRuntimeFrom(url: string): void {
  folder = url.endsWith("/") ? url : `${url}/`;
}

/** The version of what is loaded. */
export const onnxRuntimeVersion = (): string | undefined => version;

/** `threads` of one operation, where the page is isolated (COOP and COEP); 0: one a core. The first call decides it. */
export async function onnxRuntime(provider: Provider, threads: number): Promise<Runtime> {
  const ort = (await builds[buildFor(provider)]()) as Runtime;
  const { env } = ort;
  env.logLevel = "error";
  env.wasm.numThreads = globalThis.crossOriginIsolated ? threads || navigator.hardwareConcurrency : 1;
  if (folder !== undefined) env.wasm.wasmPaths = new URL(folder, globalThis.location.href).href;
  version = env.versions.web ?? env.versions.common;
  return ort;
}
