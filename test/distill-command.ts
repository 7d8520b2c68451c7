/** @file The built `koala` in a process of its own, for tests that stop and kill it, and what it left behind. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";

const main = new URL("../dist/cli/main.js", import.meta.url).pathname;

/** A folder of the golden models. */
export const model = (name: string): string =>
  new URL(`../golden/data/pipelines/${name}`, import.meta.url).pathname;

export type Ended = { code: number | null; signal: string | null; stdout: string; stderr: string };

/** A running command; `rows` are the steps it has printed with --json. */
export type Running = { child: ChildProcess; rows: number[]; ended: Promise<Ended> };

/** Starts `koala`; `onRow` is called with the number of each step. */
export function start(
  args: readonly string[],
  onRow: (step: number, run: Running) => void = () => {},
): Running {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const rows: number[] = [];
  const lines = createInterface({ input: child.stdout });
  const read = new Promise<void>((resolve) => lines.on("close", resolve));
  lines.on("line", (line) => {
    stdout += `${line}\n`;
    if (!line.startsWith("{") || !line.endsWith("}")) return;
    rows.push((JSON.parse(line) as { step: number }).step);
    onRow(rows.at(-1)!, running);
  });
  const exited = new Promise<Pick<Ended, "code" | "signal">>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal }));
  });
  const ended = Promise.all([exited, read]).then(([how]) => ({ ...how, stdout, stderr }));
  const running = { child, rows, ended };
  return running;
}

export const koala = (...args: readonly string[]): Promise<Ended> => start(args).ended;

/** As `koala`, but anything but success is an error with what it said. */
export async function done(...args: readonly string[]): Promise<Ended> {
  const ended = await koala(...args);
  if (ended.code !== 0)
    throw new Error(`koala ${args.join(" ")}: ${ended.code ?? ended.signal}\n${ended.stderr}`);
  return ended;
}

/** Steps of the checkpoints in a run, oldest first, by the names alone. */
export function checkpoints(run: string): number[] {
  const folder = path.join(run, "checkpoints");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .flatMap((name) => /^step-(\d{6})$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Digest of everything in a checkpoint: weights, both moments, the moving average, and where the data stands. */
export function checkpointDigest(run: string, step: number): string {
  const folder = path.join(run, "checkpoints", `step-${String(step).padStart(6, "0")}`);
  return digest(...["state.safetensors", "progress.json"].map((name) => path.join(folder, name)));
}

export function digest(...files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file));
  return hash.digest("hex");
}

/** Every file below `folder` with its digest. */
export function digests(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return Object.fromEntries(files.sort().map((file) => [path.relative(folder, file), digest(file)]));
}

type Row = { step: number; loss: number };
/** The lines of `metrics.jsonl` as they stand there. */
export const metricRows = (run: string): Row[] =>
  readFileSync(path.join(run, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

const sdxl = {
  _class_name: "UNet2DConditionModel",
  act_fn: "silu",
  addition_embed_type: "text_time",
  addition_time_embed_dim: 32,
  cross_attention_dim: 56,
  layers_per_block: 1,
  mid_block_type: null,
  norm_num_groups: 8,
  projection_class_embeddings_input_dim: 232,
  use_linear_projection: true,
  in_channels: 4,
  out_channels: 4,
  sample_size: 8,
};

/** Students of sdxl-tiny that are quicker to load than KOALA's: `slim` has its stages, `small` two of its own. */
export const students = {
  slim: {
    ...sdxl,
    attention_head_dim: [2, 3, 2],
    block_out_channels: [16, 24, 32],
    down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block: [1, 1, 1],
  },
  small: {
    ...sdxl,
    attention_head_dim: [2, 3],
    block_out_channels: [16, 24],
    down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D"],
    transformer_layers_per_block: [1, 1],
  },
} as const;
