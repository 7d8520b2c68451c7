/**
 * @file Opens the same model from its folder and from a single file: each part in a fresh process, in turns, seconds from
 * the path to a loaded session and the highest resident size (VmHWM), and the file's share of the folder's.
 *
 *     npx tsx bench/make-model.ts sdxl FOLDER --single FILE.safetensors
 *     npx tsx bench/single-file.ts FOLDER FILE.safetensors [--pairs 3] [--parts text_encoder,text_encoder_2,unet,vae]
 *
 * What is read is in the page cache for both: its files are read once before each turn.
 */

import { execFileSync } from "node:child_process";
import { createReadStream, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { workerEngine } from "../src/engine/ort/worker-engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import type { WeightSet } from "../src/weights/weight-set.js";
import { loadPart } from "./load-part.js";

type Opened = { seconds: number; peak: number };

/** Reads the bytes of a part's weights, which leaves them in the page cache. */
async function warm({ tensors }: WeightSet): Promise<void> {
  const ranges = new Map<string, { start: number; end: number }>();
  for (const { file, offset, length } of tensors.values()) {
    const { start, end } = ranges.get(file) ?? { start: offset, end: 0 };
    ranges.set(file, { start: Math.min(start, offset), end: Math.max(end, offset + length - 1) });
  }
  for (const [file, range] of ranges)
    for await (const _ of createReadStream(file, { ...range, highWaterMark: 2 ** 22 }));
}

async function open(model: string, part: string, tokenizer: string): Promise<Opened> {
  const engine = workerEngine();
  const started = performance.now();
  const single = model.endsWith(".safetensors") ? { tokenizer } : {};
  await loadPart(await loadComponents(model, { engine, ...single }), part);
  const seconds = (performance.now() - started) / 1000;
  const peak = 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
  await engine.close();
  return { seconds, peak };
}

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
};

const script = fileURLToPath(import.meta.url);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", default: "3" },
    parts: { type: "string", default: "text_encoder,text_encoder_2,unet,vae" },
    json: { type: "boolean" },
  },
});
const [folder, file] = positionals;
if (!folder || !file) throw new Error("give a diffusers folder and the single file that was made of it");
if (values.json) {
  console.log(JSON.stringify(await open(file, values.parts, folder)));
} else {
  const engine = workerEngine();
  const opened = async (model: string, tokenizer: object) => loadComponents(model, { engine, ...tokenizer });
  const models = [
    { model: folder, components: await opened(folder, {}) },
    { model: file, components: await opened(file, { tokenizer: folder }) },
  ] as const;
  await engine.close();
  const fresh = (model: string, part: string): Opened => {
    const args = ["--import", "tsx", script, folder, model, "--json", "--parts", part];
    return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Opened;
  };
  const totals = { folder: 0, file: 0 };
  console.log("part            folder s   file s   ratio    folder peak   file peak   ratio");
  const row = (name: string, numbers: readonly string[]) =>
    console.log(name.padEnd(15) + numbers.map((n, i) => n.padStart([9, 9, 8, 15, 12, 8][i]!)).join(""));
  for (const part of values.parts.split(",")) {
    const runs: [Opened[], Opened[]] = [[], []];
    for (let pair = 0; pair < Number(values.pairs); pair++)
      for (const [i, { model, components }] of models.entries()) {
        const { unet, vae, textEncoders } = components;
        const all = [unet.component, vae.component, ...textEncoders.map(({ component }) => component)];
        await warm(all.find(({ name }) => name === part)!.weights);
        runs[i]!.push(fresh(model, part));
      }
    const [from, to] = runs.map((all) => ({
      seconds: median(all.map(({ seconds }) => seconds)),
      peak: median(all.map(({ peak }) => peak)),
    })) as [Opened, Opened];
    totals.folder += from.seconds;
    totals.file += to.seconds;
    const gb = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
    const times = [from.seconds.toFixed(2), to.seconds.toFixed(2), (to.seconds / from.seconds).toFixed(2)];
    row(part, [...times, gb(from.peak), gb(to.peak), (to.peak / from.peak).toFixed(2)]);
  }
  const { folder: a, file: b } = totals;
  row("all", [a.toFixed(2), b.toFixed(2), (b / a).toFixed(2)]);
}
