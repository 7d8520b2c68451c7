/**
 * @file Builds the library for pages that have no bundler into `dist/browser`: modules for `<script type="module">`. Part
 * of `npm run build`. ONNX Runtime is within it but for its `.mjs` and `.wasm` files, which the page names
 * (`onnxRuntimeFolder`).
 */

import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist/browser`, { recursive: true, force: true });

await build({
  entryPoints: { "koala-diffusion": `${root}dist/index.js` },
  outdir: `${root}dist/browser`,
  ...{ bundle: true, splitting: true, minify: true, format: "esm", platform: "browser", target: "es2022" },
  chunkNames: "[name]-[hash]",
  // Its threads are started from a file of its own.
  conditions: ["onnxruntime-web-use-extern-wasm"],
  logLevel: "error",
});
