/**
 * @file Operations and their gradients against PyTorch's values (`golden/data/distil/ops`), through ONNX Runtime.
 */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Case, operations, traceCase } from "../../golden/distill/operations.js";
import { cpu, deviceOf, standard } from "../engine/device.js";
import { floatsOf, type Values } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { parseHeader } from "../weights/safetensors.js";

const folder = new URL("../../golden/data/distil/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("ops.json", folder), "utf8")) as { cases: Case[] };
const file = readFileSync(new URL("ops.safetensors", folder));
const { tensors } = parseHeader(file, file.length, "ops.safetensors");

/** A stored tensor; the bytes of a condition become float32. */
function stored(name: string): Values {
  const { dtype, shape, offset, length } = tensors.get(name)!;
  const bytes = Uint8Array.from(file.subarray(offset, offset + length));
  if (dtype === "F32") return { data: new Float32Array(bytes.buffer), shape };
  if (dtype === "I64") return { data: new BigInt64Array(bytes.buffer), shape };
  return { data: Float32Array.from(bytes), shape };
}

/** The largest difference over the largest expected value; infinite where a result is not a number. */
function distance(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  const differences = actual.map((a, i) => Math.abs(a - expected[i]!));
  if (!differences.every(Number.isFinite)) return Number.POSITIVE_INFINITY;
  const scale = expected.reduce((most, e) => Math.max(most, Math.abs(e)), 0);
  return differences.reduce((most, d) => Math.max(most, d), 0) / (scale || 1);
}

/** PyTorch's own float32 is 4e-5 from float64 where these cancel, and below 8e-7 everywhere else. */
const tolerance = (note = "") => (/mean 300|sharp/.test(note) ? 2e-4 : 1e-5);

describe("the golden cases", () => {
  it("are 230 of 48 operations, all of which are tested", () => {
    expect(cases.length).toBe(230);
    expect(new Set(cases.map((c) => c.op))).toEqual(new Set(Object.keys(operations)));
  });
});

describe.each([
  ["in training", { ...cpu, fusedAttention: false, channelsLast: true }],
  ["by the ONNX standard alone", standard],
  ["with every fused operator", cpu],
  [
    "for a graphics device",
    { ...deviceOf("webgpu"), provider: "cpu" as const, fusedAttention: false, attentionBytes: 512 },
  ],
])("lowered as %s, values and gradients are PyTorch's", (_, device) => {
  const engine = blockingEngine({ threads: 1, device });

  it.each(cases.map((c) => [c.id, c] as const))("%s", async (id, c) => {
    const names = [...Object.keys(c.inputs), "dout"].map((name) => `${id}/${name}`);
    const inputs = Object.fromEntries(names.map((name) => [name, stored(name)]));
    const isFloat = (name: string) => inputs[`${id}/${name}`]!.data instanceof Float32Array;
    const outputs = traceCase(c, isFloat);
    expect(outputs[`${id}/out`]!.shape).toEqual(c.output);
    const session = await engine.load(lower(id, outputs, { device }));
    const results = await session.run(inputs);
    await session.release();
    for (const name of Object.keys(outputs)) {
      const expected = floatsOf(stored(name));
      expect(distance(floatsOf(results[name]), expected), name).toBeLessThan(tolerance(c.note));
    }
  });
});
