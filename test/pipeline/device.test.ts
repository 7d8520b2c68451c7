/** @file Where a pipeline is: options of its device, moving it, and what images record of it. */

import { expect, it } from "vitest";
import { cpu } from "../../src/engine/device.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { workerEngine } from "../../src/engine/ort/worker-engine.js";
import type { Program } from "../../src/engine/program.js";
import { InvalidRequest } from "../../src/errors.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { psnr } from "../psnr.js";
import { bicycle, folder, opened } from "./opened.js";

const model = folder("koala-1b-tiny");

it("a pipeline is on the CPU in float32 unless it is told otherwise, and its images record that", () =>
  opened("koala-1b-tiny", async (pipe) => {
    expect([pipe.device, pipe.dtype]).toEqual(["cpu", "float32"]);
    const [image] = (await pipe.generate(bicycle)).images;
    expect(image!.metadata).toMatchObject({ device: "cpu", dtype: "float32" });
  }));

it("float16 on the CPU is computed in float32, which each result warns of", async () => {
  await using pipe = await DiffusionPipeline.fromPretrained(model, { dtype: "float16", threads: 1 });
  expect(pipe.dtype).toBe("float32");
  const { warnings, images } = await pipe.generate({ ...bicycle, onWarning() {} });
  expect(warnings).toEqual([expect.stringMatching(/^dtype: float16 .* so float32 is used/)]);
  expect(images[0]!.metadata).toMatchObject({ dtype: "float32" });
});

it("weights in half precision of a network that is too large to be widened stay as stored, with the same image", async () => {
  const engine = blockingEngine({ threads: 1, device: { ...cpu, mostWidened: 0 } });
  const programs: Program[] = [];
  const load = (program: Program) => {
    programs.push(program);
    return engine.load(program);
  };
  const half = folder("koala-700m-tiny");
  await using stored = await DiffusionPipeline.fromPretrained(half, { engine: { ...engine, load } });
  await using widened = await DiffusionPipeline.fromPretrained(half, { threads: 1 });
  const [a, b] = await Promise.all([stored, widened].map((pipe) => pipe.generate(bicycle)));
  expect(psnr(a!.images[0]!.data, b!.images[0]!.data)).toBeGreaterThan(60);
  expect(programs.map(({ weightsAsStored }) => weightsAsStored)).toEqual(Array(4).fill(true));
});

it("moving ends a generation first, loads anew, and gives the pipeline back", () =>
  opened("koala-1b-tiny", async (pipe) => {
    const ended: string[] = [];
    const first = pipe.generate(bicycle).finally(() => ended.push("generated"));
    const moved = pipe.to({ device: "cpu", dtype: "float32" }).finally(() => ended.push("moved"));
    const second = first.then(() => pipe.generate(bicycle));
    expect(await moved).toBe(pipe);
    expect(ended).toEqual(["generated", "moved"]);
    expect((await second).images[0]!.data).toEqual((await first).images[0]!.data);
  }));

it("a move that fails leaves the pipeline where it was", () =>
  opened("koala-1b-tiny", async (pipe) => {
    const before = (await pipe.generate(bicycle)).images[0]!.data;
    await expect(pipe.to("dml:7")).rejects.toThrow(/^device: must be one that this machine has, got "dml:7"/);
    const refused: [unknown, RegExp][] = [
      ["webgpo", /^device: must be auto, cpu, .* Did you mean "webgpu"\?$/],
      [{ device: "webgpu:1" }, /^device: must have no number after "webgpu"/],
      [{ dtype: "fp16" }, /^dtype: must be float32 or float16, got "fp16"/],
      [{ divice: "cpu" }, /^divice: is not an option of to\. Did you mean "device"\?/],
      [{}, /^device: must be given, or dtype or weights, got none/],
    ];
    for (const [target, message] of refused) {
      await expect(pipe.to(target as string)).rejects.toThrow(InvalidRequest);
      await expect(pipe.to(target as string)).rejects.toThrow(message);
    }
    expect(pipe.device).toBe("cpu");
    expect((await pipe.generate(bicycle)).images[0]!.data).toEqual(before);
  }));

it("a pipeline that is closed, or on an engine of the caller's, cannot be moved", async () => {
  const closed = await DiffusionPipeline.fromPretrained(model, { threads: 1 });
  const moved = expect(closed.to("cpu")).rejects.toThrow(/^pipeline: must be open/);
  await closed.close();
  await moved;
  await expect(closed.to("cpu")).rejects.toThrow(/^pipeline: must be open/);
  const engine = workerEngine({ threads: 1 });
  const given = await DiffusionPipeline.fromPretrained(model, { engine });
  await expect(given.to("cpu")).rejects.toThrow(/^device: must stay as it is where the pipeline was given/);
  const both = DiffusionPipeline.fromPretrained(model, { engine, device: "cpu" });
  await expect(both).rejects.toThrow(/^device: must be left out beside an engine/);
  await engine.close();
});
