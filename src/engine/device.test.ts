/** @file The names of devices, and the errors for names that no device has. */

import { describe, expect, it } from "vitest";
import { cpu, deviceOf, parseDevice, parsePrecision } from "./device.js";

describe("a device's name", () => {
  it.each([
    ["auto", "auto"],
    ["cpu", { provider: "cpu", index: 0 }],
    ["webgpu", { provider: "webgpu", index: 0 }],
    ["cuda:0", { provider: "cuda", index: 0 }],
    ["cuda:1", { provider: "cuda", index: 1 }],
    ["dml:12", { provider: "dml", index: 12 }],
  ])("%s is read", (name, request) => {
    expect(parseDevice(name)).toEqual(request);
  });

  it.each([
    [
      "gpu",
      /^device: must be auto, cpu, webgpu, cuda, dml, coreml, or one of several as in cuda:1, got "gpu"\. Did you mean "auto"\?$/,
    ],
    ["mps", /Did you mean "webgpu"\?$/],
    ["CUDA:0", /got "CUDA:0"\. Did you mean "cuda"\?$/],
    ["cuda:", /got "cuda:"\. Did you mean "cuda"\?$/],
    ["cpu:1", /^device: must have no number after "cpu", of which only one can be used, got "cpu:1"\. Did/],
    ["webgpu:2", /^device: must have no number after "webgpu"/],
    [undefined, /got undefined\.$/],
    [1, /got 1\.$/],
  ])("%s is refused", (name, message) => {
    expect(() => parseDevice(name)).toThrow(message);
  });

  it("is that of its device", () => {
    expect(deviceOf("cuda", { index: 1 }).name).toBe("cuda:1");
    expect(cpu.name).toBe("cpu");
  });
});

describe("a type of arithmetic", () => {
  it("is float32 or float16", () => {
    expect(parsePrecision("float16")).toBe("float16");
    expect(() => parsePrecision("fp16")).toThrow(
      'dtype: must be float32 or float16, got "fp16". It is the type of the arithmetic.',
    );
  });
});
