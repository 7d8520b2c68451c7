/**
 * @file The distillation of KOALA-700M from SDXL at full size on one machine, once: the teacher alone writes its results
 * of two small batches (16x16 latents) to disk, then the student alone learns from them for two steps in float32.
 *
 *     tsx bench/make-model.ts sdxl FOLDER
 *     tsx bench/full-size.ts FOLDER [--work DIR] [--student koala-700m] [--phase cache|teacher|student]
 *
 * Each phase is a process of its own, run through the command line; its peak is what Linux calls VmHWM.
 */

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { InvalidRequest } from "../src/errors.js";

const cli = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const [images, pixels, steps] = [2, 128, 2];

/** Images of noise with captions, as Diffusers' imagefolder has them. */
async function writeData(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const lines: string[] = [];
  for (let i = 0; i < images; i++) {
    const data = Uint8Array.from(
      { length: 3 * pixels * pixels },
      (_, j) => ((j + i) * 7919 + (j >> 7) * 31) % 256,
    );
    const name = `image-${i}.png`;
    await sharp(data, { raw: { width: pixels, height: pixels, channels: 3 } })
      .png()
      .toFile(path.join(folder, name));
    lines.push(JSON.stringify({ file_name: name, text: `an image of noise, number ${i}` }));
  }
  writeFileSync(path.join(folder, "metadata.jsonl"), `${lines.join("\n")}\n`);
}

const field = (file: string, name: string): number =>
  1024 * Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(file, "utf8"))?.[1] ?? 0);

/** Runs `koala` and returns its highest resident size; reads it while the process still has a status. */
async function measured(args: readonly string[]): Promise<{ peak: number; seconds: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, ["--import", "tsx", cli, ...args], { stdio: "inherit" });
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Math.max(peak, field(`/proc/${child.pid}/status`, "VmHWM"));
    } catch {
      clearInterval(timer); // the process has ended
    }
  }, 100);
  const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`koala ${args.join(" ")} ended with ${code}`);
  return { peak, seconds: (performance.now() - started) / 1000 };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    work: { type: "string" },
    student: { type: "string", default: "koala-700m" },
    phase: { type: "string" },
    memory: { type: "string", default: "20" },
  },
});
const [teacher] = positionals;
if (!teacher) throw new InvalidRequest("teacher", teacher, "must be the folder of an SDXL, got none.");
const free = field("/proc/meminfo", "MemAvailable") / 1e9;
if (free < Number(values.memory)) {
  const rule = `must be free, got ${free.toFixed(1)} GB. Wait, or lower --memory.`;
  throw new InvalidRequest("memory", free, `${values.memory} GB ${rule}`);
}

const work = values.work ?? mkdtempSync(path.join(tmpdir(), "full-size-"));
const at = (name: string) => path.join(work, name);
await writeData(at("data"));
const common = ["distill", "--teacher", teacher, "--student", values.student, "--data", at("data")];
const run = ["--output", at("student"), "--cache", at("cache"), "--link", "--teacher-cache", at("teacher")];
const small = ["--resolution", String(pixels), "--batch-size", "1", "--steps", String(steps), "--seed", "0"];
const phases = ["teacher", "student"] as const;
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
try {
  for (const phase of phases) {
    if (values.phase !== undefined && values.phase !== phase) continue;
    const { peak, seconds } = await measured([...common, ...run, ...small, "--phase", phase]);
    console.log(`${phase}: peak ${gigabytes(peak)} (VmHWM), ${seconds.toFixed(0)} s`);
  }
  if (values.phase !== "teacher") {
    console.log(readFileSync(path.join(at("student"), "metrics.jsonl"), "utf8").trimEnd());
  }
} finally {
  if (values.work === undefined) rmSync(work, { recursive: true });
}
