/** @file A complete small distillation through the command line: stopped in the middle, resumed, generated from. */

import { readFileSync, rmSync } from "node:fs";
import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRun } from "../src/monitor/run.js";
import { SampleList } from "../src/monitor/samples.js";
import { openSafetensors } from "../src/weights/safetensors-file.js";
import {
  checkpoints,
  digests,
  done,
  type Ended,
  koala,
  metricRows,
  model,
  start,
} from "./distill-command.js";
import { brokenImage, makeTestImages } from "./test-images.js";

const scratch = await mkdtemp(path.join(tmpdir(), "koala-distill-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const [images, output] = ["images", "student"].map((name) => path.join(scratch, name)) as [string, string];
const teacher = model("sdxl-tiny");
const steps = 40;
const distill = [
  ...["distill", "--teacher", teacher, "--student", "koala-700m", "--data", images, "--output", output],
  ...["--steps", String(steps), "--batch-size", "4", "--resolution", "64", "--lr", "1e-3", "--threads", "1"],
  ...["--checkpoint-every", "10", "--validate-every", "20", "--prompt", "a red circle", "--json"],
];

let before: Record<string, string>;
let first: Ended;
let resumed: Ended;
let stoppedAt: number;
beforeAll(async () => {
  before = digests(teacher);
  await makeTestImages(images, 12);
  first = await start(distill, (step, { child }) => void (step === 12 && child.kill("SIGINT"))).ended;
  stoppedAt = checkpoints(output).at(-1) ?? 0;
  resumed = await koala(...distill, "--resume");
}, 120_000);

describe("Ctrl-C", () => {
  it("ends with 130 and says how to go on", () => {
    expect(first.code).toBe(130);
    expect(first.stderr).toContain("stopping after the running step");
    expect(first.stderr).toMatch(
      /^stopped at step \d+, which is saved; the same command with --resume goes on$/m,
    );
  });

  it("leaves a checkpoint of the step it stopped at", () => {
    expect(stoppedAt).toBeGreaterThanOrEqual(12);
    expect(stoppedAt).toBeLessThan(steps);
    expect(first.stderr).toContain(`stopped at step ${stoppedAt},`);
  });

  it("is followed by a run that goes on from there", () => {
    expect(resumed.stderr).toContain(`going on from step ${stoppedAt}\n`);
    expect(resumed.code).toBe(0);
    expect(resumed.stdout.trimEnd().split("\n").at(-1)).toBe(output);
  });
});

describe("The finished run", () => {
  it("has named the broken image, and trained on the others", async () => {
    expect(first.stderr).toContain(`skipped ${brokenImage}: `);
    expect(first.stderr).toContain("1 skipped in all");
    expect((await readRun(output)).models).toEqual({
      teacher: "sdxl-tiny",
      student: "koala-700m",
      data: "images",
    });
  });

  it("has each step in its metrics, once", () => {
    expect(metricRows(output).map(({ step }) => step)).toEqual(
      Array.from({ length: steps }, (_, i) => i + 1),
    );
  });

  it("has learnt: the loss ends below a third of what it began with", () => {
    const losses = metricRows(output).map(({ loss }) => loss);
    const mean = (some: number[]) => some.reduce((a, b) => a + b) / some.length;
    expect(mean(losses.slice(-5))).toBeLessThan(mean(losses.slice(0, 2)) / 3);
  });

  it("keeps the last two checkpoints, and nothing half written anywhere", async () => {
    expect(checkpoints(output)).toEqual([30, 40]);
    const names = await readdir(output, { recursive: true });
    expect(names.filter((name) => /partial|\.writing|\.part$/.test(name))).toEqual([]);
  });

  it("has curves and validation images", async () => {
    expect(readFileSync(path.join(output, "curves.svg"), "utf8")).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
    const samples = await new SampleList(output).read();
    expect(samples.map(({ step, images: of }) => [step, of])).toEqual(
      [20, 40].map((step) => [step, [{ prompt: "a red circle", seed: 0, file: "0.png" }]]),
    );
    for (const { folder } of samples) {
      const { width, height } = await sharp(path.join(output, "samples", folder, "0.png")).metadata();
      expect([width, height]).toEqual([64, 64]);
    }
  });

  it("has left the teacher as it was", () => expect(digests(teacher)).toEqual(before));

  it("is refused to another run, and to the same one with another student or option", async () => {
    const again = await koala(...distill);
    const other = await koala(...distill.map((x) => (x === "koala-700m" ? "koala-1b" : x)), "--resume");
    const rate = await koala(...distill.map((x) => (x === "1e-3" ? "1e-4" : x)), "--resume");
    expect(again.stderr).toContain(
      "--output: must be a new folder, got one with a run in it. Add --resume to go on",
    );
    expect(other.stderr).toContain('--student: must stay "koala-700m" when a run goes on, got "koala-1b".');
    expect(rate.stderr).toContain("--lr: must stay 0.001 when a run goes on, got 0.0001.");
    expect([again.code, other.code, rate.code]).toEqual([2, 2, 2]);
  });
});

describe("The student's folder", () => {
  it("has a config of 700M's shape and weights that Diffusers reads", async () => {
    const config = JSON.parse(readFileSync(path.join(output, "unet", "config.json"), "utf8"));
    const { layers_per_block, mid_block_type, transformer_layers_per_block, block_out_channels } = config;
    expect({ layers_per_block, mid_block_type, transformer_layers_per_block, block_out_channels }).toEqual({
      layers_per_block: 1,
      mid_block_type: null,
      transformer_layers_per_block: [0, 2, 2],
      block_out_channels: [16, 24, 32],
    });
    const file = await openSafetensors(path.join(output, "unet", "diffusion_pytorch_model.safetensors"));
    expect(file.metadata.format).toBe("pt");
  });

  it("holds the teacher's other parts, byte for byte", () => {
    const [theirs, ours] = [digests(teacher), digests(output)];
    for (const [name, hash] of Object.entries(theirs)) {
      if (/^(text_encoder|text_encoder_2|tokenizer|tokenizer_2|vae|scheduler)\//.test(name))
        expect(ours[name], name).toBe(hash);
    }
  });

  it("is whole, says koala inspect", async () => {
    const { stdout } = await done("inspect", output, "--json");
    const { components } = JSON.parse(stdout) as { components: { component: string; problem?: string }[] };
    expect(components.map(({ component }) => component).sort()).toEqual([
      "text_encoder",
      "text_encoder_2",
      "unet",
      "vae",
    ]);
    expect(components.filter(({ problem }) => problem)).toEqual([]);
  });

  it("is generated from", async () => {
    const image = path.join(scratch, "image.png");
    await done(
      "generate",
      "--model",
      output,
      "a blue square",
      "--output",
      image,
      "--steps",
      "4",
      "--seed",
      "5",
    );
    const { channels } = await sharp(image).stats();
    expect(channels.slice(0, 3).every(({ stdev }) => stdev > 1)).toBe(true);
  });
});
