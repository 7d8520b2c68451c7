/**
 * @file Bundles what Node starts by itself, the command line and the threads' modules, each with this package's modules
 * that it needs, over what the compiler wrote of them. Part of `npm run build`; without it they start slower and work
 * the same.
 *
 * Opening a module takes Node about a millisecond, and `koala generate` needs three hundred.
 */

import { chmodSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = `${root}dist`;
rmSync(`${dist}/chunks`, { recursive: true, force: true });

await build({
  entryPoints: [
    "cli/main.ts",
    "engine/ort/worker-thread.ts",
    "jobs/processor-thread-entry.ts",
    "server/image-thread-entry.ts",
    "train/data-parallel-thread.ts",
  ].map((file) => `${root}src/${file}`),
  outdir: dist,
  outbase: `${root}src`,
  bundle: true,
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  packages: "external",
  platform: "node",
  target: "node20",
  format: "esm",
});
// npx does that once for each folder: not for a second clone in the same place.
chmodSync(`${dist}/cli/main.js`, 0o755);
