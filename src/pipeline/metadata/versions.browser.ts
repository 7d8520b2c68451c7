/** @file The versions that an image's record names, in a browser. */

import { onnxRuntimeVersion } from "../../engine/ort/web-build.browser.js";

/** The versions are package.json's, which would be bundled as a whole; a test holds them to be equal. */
const app = "koala-diffusion 0.1.0";
/** What this package was tested with, where none is loaded yet. */
const tested = "1.30.0";

/** This package and ONNX Runtime, on whose versions the last bits depend. */
export const versions = (): { app: string; onnxruntime: string } => ({
  app,
  onnxruntime: onnxRuntimeVersion() ?? tested,
});
