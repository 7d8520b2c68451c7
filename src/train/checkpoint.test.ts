/** @file Checkpoints on disk: every bit comes back, and what does not belong to the run is refused. */

import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { checkpointSteps, loadCheckpoint, saveCheckpoint } from "./checkpoint.js";
import type { OptimizerState } from "./optimizer.js";
import { ParameterBuffer } from "./parameter-buffer.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-checkpoint-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const layout = new ParameterBuffer([
  ["a.weight", [2, 2]],
  ["a.bias", [3]],
]);
const state = (values: number[]): OptimizerState => ({
  weights: Float32Array.from(values),
  mean: Float32Array.from(values, (x) => x * 3),
  square: Float32Array.from(values, (x) => x * x),
  average: Float32Array.from(values, (x) => x / 7),
});
const empty = () => state([0, 0, 0, 0, 0, 0, 0]);
const odd = [-0, 1e-44, 1 / 3, -3.4e38, 2 ** -149, 1, 1.1754944e-38];
const progress = (step: number) => ({ step, batches: 3 * step, position: { epoch: 2, batch: 1 } });
const save = (to: string, step: number, keep: number | null = null, values = odd) =>
  saveCheckpoint(path.join(scratch, to), { layout, state: state(values), progress: progress(step), keep });

describe("a checkpoint", () => {
  it("gives back every bit of weights, moments and average, and the position of the run", async () => {
    await save("run", 12);
    const loaded = empty();
    expect(await loadCheckpoint(path.join(scratch, "run"), 12, { layout, state: loaded })).toEqual(
      progress(12),
    );
    const wanted = state(odd);
    for (const array of ["weights", "mean", "square", "average"] as const)
      expect(
        Buffer.compare(Buffer.from(loaded[array]!.buffer), Buffer.from(wanted[array]!.buffer)),
        array,
      ).toBe(0);
  });

  it("is removed when there are newer ones enough, and can be saved again", async () => {
    for (const step of [1, 2, 10, 1_000_000]) await save("kept", step, 3);
    expect(await checkpointSteps(path.join(scratch, "kept"))).toEqual([2, 10, 1_000_000]);
    await save("kept", 10, 3, [1, 2, 3, 4, 5, 6, 7]);
    const loaded = empty();
    await loadCheckpoint(path.join(scratch, "kept"), 10, { layout, state: loaded });
    expect([...loaded.weights]).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(readdirSync(path.join(scratch, "kept", "checkpoints"))).toHaveLength(3);
  });

  it("is not found in a folder without any", async () => {
    expect(await checkpointSteps(path.join(scratch, "nothing"))).toEqual([]);
  });
});

describe("A checkpoint is refused", () => {
  const load = (to: string, other = layout, into = empty()) =>
    loadCheckpoint(path.join(scratch, to), 12, { layout: other, state: into });

  it("by a network of other shapes, or of other names", async () => {
    const shapes = new ParameterBuffer([
      ["a.weight", [4]],
      ["a.bias", [3]],
    ]);
    await expect(load("run", shapes)).rejects.toThrow(
      /state\.safetensors: weights\/a\.weight: must be \[4\], got \[2, 2\]\. Was it written by this run\?$/,
    );
    const names = new ParameterBuffer([["b", [7]]]);
    await expect(load("run", names)).rejects.toThrow(/weights\/b: must be \[7\], got nothing\./);
  });

  it.each(["state.safetensors", "progress.json"])(
    "if its %s is cut short, with the one before it",
    async (name) => {
      const cut = path.join(scratch, name);
      const at = (step: string) => path.join(cut, "checkpoints", step);
      await save(name, 12);
      truncateSync(path.join(at("step-000012"), name), 10);
      const only = await load(name).catch((error: unknown) => error);
      expect(only).toBeInstanceOf(ModelError);
      expect((only as ModelError).message).not.toContain("Download");
      expect((only as ModelError).message).toContain(`${name}: is not whole: `);
      expect((only as ModelError).message).toMatch(
        /Delete the folder .*step-000012 .*: the run begins anew\.$/,
      );
      await save(name, 5);
      await save(name, 20);
      await expect(load(name)).rejects.toThrow(
        `Delete the folder ${at("step-000012")} and resume again: the run goes on from ${at("step-000005")}.`,
      );
    },
  );
});
