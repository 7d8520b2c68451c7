/**
 * @file Builds the pages of `koala serve` (index.html) and `koala watch` (monitor.html) into `dist/web`, and with
 * `--mode site` the page alone, for the static site that `build-site.ts` makes.
 */

import { defaultClientConditions, defineConfig } from "vite";
import { browserTwins } from "./twins.js";

export default defineConfig(({ mode }) => ({
  root: import.meta.dirname,
  // A static site may lie in any folder of its host.
  base: mode === "site" ? "./" : "/",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  plugins: [browserTwins()],
  worker: { format: "es", plugins: () => [browserTwins()] },
  // ONNX Runtime starts its threads from a file of its own, which must not be bundled.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  build: {
    outDir: mode === "site" ? "../out/site" : "../dist/web",
    emptyOutDir: true,
    target: "es2022",
    // The servers' Content-Security-Policy allows files only, nothing inline.
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      input: (mode === "site" ? ["index.html"] : ["index.html", "monitor.html"]).map(
        (page) => `${import.meta.dirname}/${page}`,
      ),
    },
  },
}));
