/** @file An application in a browser that generates images by the library: what `browser-library.test.ts` bundles. */

import { DiffusionPipeline, downloadedModels, removeDownloadedModel } from "koala-diffusion";
import { env } from "onnxruntime-web/wasm";

// ONNX Runtime starts its threads from this module, not from the application's bundle.
env.wasm.wasmPaths = {
  mjs: new URL("/ort/ort-wasm-simd-threaded.mjs", location.href).href,
  wasm: new URL("/ort/ort-wasm-simd-threaded.wasm", location.href).href,
};

/** The image of a request as its pixels and as a PNG's bytes. */
globalThis.generate = async (model, request, options) => {
  await using pipeline = await DiffusionPipeline.fromPretrained(model, { threads: 1, ...options });
  const { images, warnings } = await pipeline.generate(request);
  const { width, height, data } = images[0];
  return { width, height, data: [...data], png: [...(await images[0].encode("png"))], warnings };
};
/** Opens a model: what was asked before its download, and its bytes as they were reported; `agrees` to the download. */
globalThis.open = async (model, { agrees = true, ...options }) => {
  const [asked, progress] = [[], []];
  const onProgress = ({ done, total }) => progress.push([done, total]);
  const confirmDownload = (download) => asked.push(download) > 0 && agrees;
  const own = { threads: 1, onProgress, confirmDownload };
  const pipeline = await DiffusionPipeline.fromPretrained(model, { ...own, ...options });
  await pipeline.close();
  return { asked, progress };
};
Object.assign(globalThis, { downloadedModels, removeDownloadedModel });
// A Worker runs this module, too.
globalThis.document?.body.append("ready");
