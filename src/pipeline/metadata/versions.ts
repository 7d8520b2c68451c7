/** @file The versions that an image's record names; in a browser `versions.browser.ts` takes this module's place. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { packageFile } from "../../package-files.js";

/** This package and ONNX Runtime, on whose versions the last bits depend. */
export function versions(): { app: string; onnxruntime: string } {
  const own = JSON.parse(readFileSync(packageFile("package.json"), "utf8"));
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json");
  return { app: `koala-diffusion ${own.version}`, onnxruntime: String(version) };
}
