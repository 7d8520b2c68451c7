/** @file Engines by the name of their device: the CPU, which every machine has. */

import { describe, expect, it } from "vitest";
import { add, input } from "../tensor/operations.js";
import { floats } from "./engine.js";
import { lower } from "./lower.js";
import { openBlockingEngine } from "./open-engine.js";

describe("an engine", () => {
  it("is on the CPU unless another device is asked for", async () => {
    const engine = await openBlockingEngine({ threads: 1 });
    expect(engine.device).toMatchObject({ name: "cpu", dtype: "float32" });
    const x = input("x", [1]);
    const session = await engine.load(lower("twice", { y: add(x, x) }, { device: engine.device }));
    expect((await session.run({ x: floats(Float32Array.of(3), 1) })).y?.data).toEqual(Float32Array.of(6));
    await engine.close();
  });

  it("on the CPU computes in float32, and says so where half precision is asked for", async () => {
    const engine = await openBlockingEngine({ dtype: "float16" });
    expect(engine.device.dtype).toBe("float32");
    expect(engine.warnings).toEqual([expect.stringMatching(/^dtype: float16 has no arithmetic/)]);
  });

  it("of a device that no provider has is refused", async () => {
    await expect(openBlockingEngine({ device: "tpu" })).rejects.toThrow(/^device: must be auto, cpu/);
  });
});
