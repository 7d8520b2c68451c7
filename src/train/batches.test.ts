/** @file Noisy batches: what they are made of in closed form, and that seed and number alone decide them. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { components, makeImageFolder } from "../../test/cache-data.js";
import { floatsOf } from "../engine/engine.js";
import { type NoisyBatch, noisyBatch } from "./batches.js";
import { buildCache } from "./cache/build.js";
import { type LatentCache, openCache } from "./cache/cache.js";
import { openData } from "./data/source.js";
import { trainingNoise } from "./noise.js";
import { type TrainingRequest, trainingOptions } from "./options.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-batches-"));
afterAll(() => rmSync(scratch, { recursive: true }));

let cache: LatentCache;
beforeAll(async () => {
  const [dataPath, folder] = [path.join(scratch, "data"), path.join(scratch, "cache")];
  await makeImageFolder(dataPath);
  const of = await components("sdxl-tiny");
  await buildCache({ data: await openData(dataPath), dataPath, components: of, folder, resolution: 32 });
  cache = await openCache(folder);
}, 60_000);

const betas = { beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 };
const epsilon = trainingNoise(betas);
const v = trainingNoise(betas, { target: "v_prediction" });
const start = { position: { epoch: 0, batch: 0 }, batch: 0 };
const make = (request: TrainingRequest = {}, at = start, schedule = epsilon): Promise<NoisyBatch> =>
  noisyBatch(cache, schedule, trainingOptions({ trainBatchSize: 3, ...request }), at);
const bits = ({ inputs }: NoisyBatch) =>
  Object.entries(inputs).map(([name, { data, shape }]) => [name, [...shape], [...data]]);

describe("A batch", () => {
  it("is the same whenever its seed, place and number are, and another for any other", async () => {
    const later = { position: { epoch: 2, batch: 1 }, batch: 5 };
    expect(bits(await make({ captionDropout: 0.5, noiseOffset: 0.1 }, later))).toEqual(
      bits(await make({ captionDropout: 0.5, noiseOffset: 0.1 }, later)),
    );
    const noisy = async (...[request, at]: Parameters<typeof make>) =>
      floatsOf((await make(request, at)).inputs.sample).join();
    const all = [
      await noisy(),
      await noisy({ seed: 1 }),
      await noisy({}, { ...start, batch: 1 }),
      await noisy({}, { position: { epoch: 1, batch: 0 }, batch: 0 }),
    ];
    expect(new Set(all).size).toBe(4);
  });

  it("goes through all images once an epoch", async () => {
    const first = await make();
    expect(first.next).toEqual({ epoch: 0, batch: 1 });
    const second = await make({}, { position: first.next, batch: 1 });
    expect(second.next).toEqual({ epoch: 1, batch: 0 });
    expect(new Set([...first.keys, ...second.keys]).size).toBe(6);
  });

  it("has for v the target that its own noise and latents give", async () => {
    const [e, w] = [await make(), await make({}, start, v)];
    expect(floatsOf(w.inputs.sample).join()).toBe(floatsOf(e.inputs.sample).join());
    const [noisy, noise, velocity] = [e.inputs.sample, e.inputs.target, w.inputs.target].map((x) =>
      floatsOf(x),
    );
    const timesteps = floatsOf(e.inputs.timestep);
    const size = noisy!.length / 3;
    // noisy = a x + s e and v = a e - s x, so s noisy + a v = (s² + a²) e = e.
    for (let i = 0; i < noisy!.length; i++) {
      const alphaBar = epsilon.alphasCumprod[timesteps[Math.floor(i / size)]!]!;
      const back = Math.sqrt(1 - alphaBar) * noisy![i]! + Math.sqrt(alphaBar) * velocity![i]!;
      expect(back).toBeCloseTo(noise![i]!, 4);
    }
  });

  it("has weights of the task only with min-SNR: min(snr, gamma) / snr", async () => {
    const timesteps = floatsOf((await make()).inputs.timestep);
    expect(Object.keys((await make()).inputs)).not.toContain("task_weights");
    const weights = floatsOf((await make({ snrGamma: 5 })).inputs.task_weights);
    for (const [i, t] of timesteps.entries()) {
      const snr = epsilon.alphasCumprod[t]! / (1 - epsilon.alphasCumprod[t]!);
      expect(weights[i]! / (Math.min(snr, 5) / snr)).toBeCloseTo(1, 4);
    }
  });

  it("with a noise offset has each channel's noise shifted by one number", async () => {
    const [plain, shifted] = [await make(), await make({ noiseOffset: 0.5 })].map((b) =>
      floatsOf(b.inputs.target),
    );
    const pixels = 4 * 4;
    const shifts = Array.from({ length: 12 }, (_, c) => shifted![c * pixels]! - plain![c * pixels]!);
    expect(new Set(shifts.map((x) => x.toFixed(4))).size).toBe(12);
    for (const [i, x] of plain!.entries())
      expect(shifted![i]! - x).toBeCloseTo(shifts[Math.floor(i / pixels)]!, 5);
  });
});

describe("Caption dropout", () => {
  const text = ({ inputs }: NoisyBatch) => floatsOf(inputs.encoder_hidden_states);

  it("of 1 leaves every caption out: zeros, or the encoding of nothing", async () => {
    const zeros = await make({ captionDropout: 1 });
    expect(text(zeros).every((x) => x === 0)).toBe(true);
    expect(floatsOf(zeros.inputs.text_embeds).every((x) => x === 0)).toBe(true);
    const empty = await make({ captionDropout: 1, captionDropoutRule: "empty-string" });
    const size = cache.empty.promptEmbeds.length;
    for (let i = 0; i < 3; i++)
      expect(
        text(empty)
          .subarray(i * size, (i + 1) * size)
          .join(),
      ).toBe(cache.empty.promptEmbeds.join());
  });

  it("changes neither noise nor images, and what it leaves in is the caption", async () => {
    const [given, some] = [await make(), await make({ captionDropout: 0.5 })];
    expect(floatsOf(some.inputs.sample).join()).toBe(floatsOf(given.inputs.sample).join());
    const size = text(given).length / 3;
    const row = (b: NoisyBatch, i: number) => text(b).subarray(i * size, (i + 1) * size);
    for (let i = 0; i < 3; i++) {
      const left = row(some, i);
      expect(left.every((x) => x === 0) || left.join() === row(given, i).join()).toBe(true);
    }
  });
});
