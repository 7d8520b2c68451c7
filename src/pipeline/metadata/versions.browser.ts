/** @file The versions that an image's record names, in a browser. */

import { env } from "onnxruntime-web/wasm";
import own from "../../../package.json" with { type: "json" };

/** This package and ONNX Runtime, on whose versions the last bits depend. */
export const versions = (): { app: string; onnxruntime: string } => ({
  app: `koala-diffusion ${own.version}`,
  onnxruntime: env.versions.web ?? env.versions.common,
});
