/** @file The versions that an image's record names, in a browser. */

import { env } from "onnxruntime-web/wasm";

/** The version is package.json's, which would be bundled as a whole; a test holds both to be equal. */
const app = "koala-diffusion 0.1.0";

/** This package and ONNX Runtime, on whose versions the last bits depend. */
export const versions = (): { app: string; onnxruntime: string } => ({
  app,
  onnxruntime: env.versions.web ?? env.versions.common,
});
