/** @file One run killed eight times at random moments: what is lost are the steps since the last checkpoint, no more. */

import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readMetrics } from "../src/monitor/metrics.js";
import { seeded } from "../src/train/data/seeded.js";
import { openSafetensors } from "../src/weights/safetensors-file.js";
import { checkpointDigest, checkpoints, done, model, start, students } from "./distill-command.js";
import { makeTestImages } from "./test-images.js";

const scratch = await mkdtemp(path.join(tmpdir(), "koala-kill-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
await makeTestImages(at("images"), 6);
writeFileSync(at("small.json"), JSON.stringify(students.small));

// A life adds at most four steps, so that no run ends before its last kill.
const [kills, every, steps] = [8, 2, 32];
const command = (output: string) => [
  ...["distill", "--teacher", model("sdxl-tiny"), "--student", at("small.json"), "--feature", "none"],
  ...["--data", at("images"), "--output", at(output), "--cache", at("cache"), "--resolution", "64"],
  ...["--steps", String(steps), "--batch-size", "2", "--lr", "1e-3", "--ema", "0.9", "--seed", "3"],
  ...["--threads", "1", "--checkpoint-every", String(every), "--json"],
];
const last = () => checkpoints(at("killed")).at(-1) ?? 0;

type Life = { rows: number[]; signal: string | null };

/** Runs until `rows` steps were printed and `delay` milliseconds or two more steps went by, then kills without notice. */
async function live(rows: number, delay: number, resume: boolean): Promise<Life> {
  const kill = () => (timer = setTimeout(() => run.child.kill("SIGKILL"), delay));
  let timer: NodeJS.Timeout | undefined;
  const args = [...command("killed"), ...(resume ? ["--resume"] : [])];
  const run = start(args, (_, { rows: seen, child }) => {
    if (seen.length === rows) kill();
    // A process that loads faster than was measured must not run to its end.
    if (seen.length === rows + 2) child.kill("SIGKILL");
  });
  if (rows === 0) kill();
  const { signal } = await run.ended;
  clearTimeout(timer);
  return { rows: run.rows, signal };
}

/** The uninterrupted run, and how long it took to its first step, and from step to step, in milliseconds. */
async function whole(): Promise<{ load: number; step: number }> {
  const times = [performance.now()];
  const { code, stderr } = await start([...command("whole"), "--keep", "1000"], () => {
    times.push(performance.now());
  }).ended;
  expect(code, stderr).toBe(0);
  const [begun, first, end] = [times[0]!, times[1]!, times.at(-1)!];
  return { load: first - begun, step: (end - first) / (steps - 1) };
}

/** The bits of a network's tensors, which lie in a file under `prefix`. */
async function bits(file: string, prefix = ""): Promise<string> {
  const opened = await openSafetensors(file);
  const hash = createHash("sha256");
  const names = [...opened.tensors.keys()].filter((name) => name.startsWith(prefix));
  for (const name of names.map((n) => n.slice(prefix.length)).sort())
    hash.update(name).update(await opened.readFloats(prefix + name));
  return hash.digest("hex");
}

describe("a run that is killed", () => {
  it("eight times loses nothing but the steps since the last checkpoint", { timeout: 600_000 }, async () => {
    const { load, step: stepTime } = await whole();
    const state = (step: number) =>
      at("whole", "checkpoints", `step-${String(step).padStart(6, "0")}`, "state.safetensors");
    const exports = new Set<string>();
    for (const step of checkpoints(at("whole"))) exports.add(await bits(state(step), "average/"));
    const unet = at("killed", "unet", "diffusion_pytorch_model.safetensors");

    const random = seeded(4, "kills");
    const lives: string[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const before = last();
      // A third of the kills come while the process loads, the others within a few steps.
      const rows = Math.floor(random() * 3);
      const delay = random() * (rows === 0 ? 1.2 * load : 2 * stepTime);
      const life = await live(rows, delay, kill > 0);
      lives.push(`${rows} rows and ${delay.toFixed(0)} ms: ${before} -> ${last()}`);
      const output = lives.join("\n");
      expect(life.signal, output).toBe("SIGKILL");
      // All that was printed is kept but for the steps since the last checkpoint that came before it.
      const printed = life.rows.at(-1) ?? before;
      expect(last(), output).toBeGreaterThanOrEqual(Math.floor((printed - 1) / every) * every);
      expect(last(), output).toBeGreaterThanOrEqual(before);
      // What has its final name is whole: the same bits as in the run that nobody stopped.
      for (const step of checkpoints(at("killed")))
        expect(checkpointDigest(at("killed"), step), output).toBe(checkpointDigest(at("whole"), step));
      if (existsSync(unet)) expect(exports.has(await bits(unet)), output).toBe(true);
    }
    // It went on from what a kill had left.
    expect(last(), lives.join("\n")).toBeGreaterThan(every);
    await done(...command("killed"), "--resume");

    expect(last()).toBe(steps);
    expect(checkpointDigest(at("killed"), steps)).toBe(checkpointDigest(at("whole"), steps));
    expect(await bits(unet)).toBe(await bits(state(steps), "average/"));
    const losses = async (run: string) =>
      (await readMetrics(at(run))).map((row) => ("loss" in row ? [row.step, row.loss] : []));
    expect(await losses("killed")).toEqual(await losses("whole"));
    const names = await readdir(at("killed"), { recursive: true });
    expect(names.filter((name) => /partial|\.writing|\.part$/.test(name))).toEqual([]);
  });
});
