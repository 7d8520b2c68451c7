/** @file The programs that a component loads for the sizes that are asked for. */

import { expect, it } from "vitest";
import { deviceOf } from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import type { Program } from "../engine/lower.js";
import { loadComponents } from "./components.js";

const folder = new URL("../../golden/data/pipelines/koala-700m-tiny", import.meta.url).pathname;

/** Keeps what it is to load, and computes nothing. */
function keepingEngine(device = { ...deviceOf("webgpu"), fusedAttention: false }) {
  const programs: Program[] = [];
  const engine: Engine = {
    device,
    load: async (program) => {
      programs.push(program);
      return { run: async () => ({}), release: async () => {} };
    },
    close: async () => {},
  };
  return { engine, programs };
}

/** Slices of queries: each has its softmax. An ONNX node's op_type is field 4, here of 7 bytes. */
const softmaxes = ({ model }: Program) =>
  Buffer.from(model).toString("latin1").split("\x22\x07Softmax").length - 1;

it("on a device with small buffers are cut by the size of the request, and shared by near sizes", async () => {
  const { engine, programs } = keepingEngine();
  const { unet } = await loadComponents(folder, { engine });
  const load = (batch: number, side: number) =>
    unet.component.session("unet", unet.trace, { batch, height: side, width: side });
  const counts: number[] = [];
  for (const [batch, side] of [
    [2, 32],
    [2, 64],
    [2, 96],
    [2, 128],
    [8, 128],
  ] as const) {
    await load(batch, side);
    counts.push(softmaxes(programs.at(-1)!));
  }
  // Of 21 layers that attend to themselves and 21 that attend to text, 6 of the former have the largest scores: 4 heads,
  // and half the side. At 128 latent pixels and batch 2 they take 4 * 2 * 4 * 4096^2 bytes, 4 times 128 MiB.
  expect(counts).toEqual([42, 42, 42 + 6 * 3, 42 + 6 * 3, 42 + 6 * 15]);
  expect(programs).toHaveLength(3);
});

it("on the cpu are one for all sizes", async () => {
  const { engine, programs } = keepingEngine(deviceOf("cpu"));
  const { unet } = await loadComponents(folder, { engine });
  for (const side of [64, 128, 256])
    await unet.component.session("unet", unet.trace, { batch: 2, height: side, width: side });
  expect(programs).toHaveLength(1);
  expect(softmaxes(programs[0]!)).toBe(0);
});
