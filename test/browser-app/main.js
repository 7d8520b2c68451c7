/** @file An application in a browser that generates images by the library: what `browser-library.test.ts` bundles. */

import { DiffusionPipeline } from "koala-diffusion";
import { env } from "onnxruntime-web/wasm";

// ONNX Runtime starts its threads from this module, not from the application's bundle.
env.wasm.wasmPaths = {
  mjs: new URL("/ort/ort-wasm-simd-threaded.mjs", location.href).href,
  wasm: new URL("/ort/ort-wasm-simd-threaded.wasm", location.href).href,
};

/** The image of a request as its pixels and as a PNG's bytes. */
globalThis.generate = async (model, request) => {
  await using pipeline = await DiffusionPipeline.fromPretrained(model, { threads: 1 });
  const { images, warnings } = await pipeline.generate(request);
  const { width, height, data } = images[0];
  return { width, height, data: [...data], png: [...(await images[0].encode("png"))], warnings };
};
document.body.append("ready");
