/** @file A distillation with every kind of randomness in it, stopped twice, ends with the uninterrupted run's bits. */

import { rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readMetrics } from "../src/monitor/metrics.js";
import { openCache } from "../src/train/cache/cache.js";
import { openSafetensors } from "../src/weights/safetensors-file.js";
import {
  checkpointDigest,
  checkpoints,
  digest,
  done,
  metricRows,
  model,
  type Running,
  start,
  students,
} from "./distill-command.js";
import { makeTestImages } from "./test-images.js";

const scratch = await mkdtemp(path.join(tmpdir(), "koala-resume-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
await makeTestImages(at("images"), 12);
writeFileSync(at("slim.json"), JSON.stringify(students.slim));

const steps = 24;
const command = (output: string) => [
  ...["distill", "--teacher", model("sdxl-tiny"), "--student", at("slim.json"), "--data", at("images")],
  ...["--output", at(output), "--cache", at("cache"), "--steps", String(steps), "--batch-size", "2"],
  ...["--accumulate", "2", "--resolution", "128", "--buckets", "--random-crop", "--random-flip"],
  ...["--caption-dropout", "0.3", "--snr-gamma", "5", "--noise-offset", "0.1", "--lr", "1e-3"],
  ...["--lr-schedule", "cosine", "--warmup", "5", "--ema", "0.9", "--seed", "7", "--threads", "1"],
  ...["--checkpoint-every", "9", "--keep", "100", "--json"],
];
const unet = (run: string) => at(run, "unet", "diffusion_pytorch_model.safetensors");

describe("a run that was stopped twice", () => {
  it("ends with the uninterrupted run's bits", { timeout: 120_000 }, async () => {
    await done(...command("whole"));
    expect(checkpoints(at("whole"))).toEqual([9, 18, 24]);

    const stops: number[] = [];
    for (const [after, resume] of [
      [3, []],
      [11, ["--resume"]],
    ] as const) {
      const stop = (step: number, { child }: Running) => void (step === after && child.kill("SIGINT"));
      const { code } = await start([...command("stopped"), ...resume], stop).ended;
      expect(code).toBe(130);
      stops.push(checkpoints(at("stopped")).at(-1)!);
    }
    await done(...command("stopped"), "--resume");
    // Both stopping points are true ones: neither is a step that the other run saves at, nor the end.
    expect(stops[0]).toBeGreaterThanOrEqual(3);
    expect(stops[1]).toBeGreaterThanOrEqual(11);
    expect(stops[1]).toBeLessThan(steps);

    for (const step of checkpoints(at("whole")))
      expect(checkpointDigest(at("stopped"), step), `step ${step}`).toBe(checkpointDigest(at("whole"), step));
    expect(digest(unet("stopped"))).toBe(digest(unet("whole")));
    const terms = (run: string) =>
      metricRows(at(run)).map(
        ({ imagesPerSecond: _, secondsPerStep: __, time: ___, ...row }: Record<string, unknown>) => row,
      );
    expect(terms("stopped")).toEqual(terms("whole"));
  });

  it("has been through both buckets, several epochs and a rising and falling rate", async () => {
    const rows = (await readMetrics(at("whole"))).flatMap((row) => ("lr" in row ? [row] : []));
    expect(rows.at(-1)!.epoch).toBeGreaterThanOrEqual(4);
    const rates = rows.map(({ lr }) => lr);
    expect(rates.slice(0, 6)).toEqual([...rates.slice(0, 6)].sort((a, b) => a - b));
    expect(rates.slice(5)).toEqual([...rates.slice(5)].sort((a, b) => b - a));
    const { keysByBucket } = await openCache(at("cache"));
    expect([...keysByBucket.values()].map((keys) => keys.length >= 2)).toEqual([true, true]);
  });

  it("has weights, both moments and the moving average in a checkpoint, all of them different", async () => {
    const file = await openSafetensors(at("whole", "checkpoints", "step-000024", "state.safetensors"));
    const name = "conv_in.weight";
    const arrays = ["weights", "mean", "square", "average"].map((array) =>
      file.readFloats(`${array}/${name}`),
    );
    const texts = (await Promise.all(arrays)).map((values) => values.join());
    expect(new Set(texts).size).toBe(4);
    const saved = await (await openSafetensors(unet("whole"))).readFloats(name);
    expect(saved.join()).toBe(texts[3]);
  });
});
