/**
 * @file ONNX Runtime's builds for browsers: the one with JSPI wherever the browser has that, else for WebGPU the one that
 * asyncify made, which is larger and slower, else WebAssembly alone.
 */

import type { Provider } from "../device.js";

export type Build = "jspi" | "asyncify" | "wasm";

/** The build that computes on a provider here. */
export function buildFor(provider: Provider): Build {
  // JSPI lets WebAssembly wait for promises: Chrome and Edge from 137 on.
  const { WebAssembly } = globalThis as unknown as { WebAssembly: object };
  if ("Suspending" in WebAssembly) return "jspi";
  return provider === "webgpu" ? "asyncify" : "wasm";
}

const name = "ort-wasm-simd-threaded";

/** What the names of a build's two files begin with. */
export const filesOf: Readonly<Record<Build, string>> = {
  jspi: `${name}.jspi.`,
  asyncify: `${name}.asyncify.`,
  wasm: `${name}.`,
};

/** Whether a file is one of these builds. The package has others, with older code for WebGPU. */
export const isBuildFile = (file: string): boolean =>
  Object.values(filesOf).some((start) => file === `${start}mjs` || file === `${start}wasm`);
