/** @file The option `--lora`. */

import { describe, expect, it } from "vitest";
import { loraOption, lorasUsed, servedLoraOption } from "./lora.js";

describe("--lora", () => {
  it.each([
    ["pixel.safetensors", "pixel.safetensors", 1],
    ["pixel.safetensors:0.8", "pixel.safetensors", 0.8],
    ["pixel.safetensors:-1", "pixel.safetensors", -1],
    ["pixel.safetensors:.5", "pixel.safetensors", 0.5],
    ["a:b.safetensors", "a:b.safetensors", 1],
    ["a:b.safetensors:0.25", "a:b.safetensors", 0.25],
    ["C:\\loras\\pixel.safetensors", "C:\\loras\\pixel.safetensors", 1],
    ["version:2:1", "version:2", 1],
    ["latent-consistency/lcm-lora-sdxl:0.8", "latent-consistency/lcm-lora-sdxl", 0.8],
    ["o/loras@v1/pixel.safetensors:0.5", "o/loras@v1/pixel.safetensors", 0.5],
  ])("%s is a file and a scale", (text, file, scale) => {
    expect(loraOption(text)).toEqual([{ file, scale }]);
  });

  it("gathers its values in order", () => {
    expect(loraOption("b:2", loraOption("a"))).toEqual([
      { file: "a", scale: 1 },
      { file: "b", scale: 2 },
    ]);
  });

  it.each(["a.safetensors:", "a.safetensors:high", "a.safetensors:1e999"])("refuses %s", (text) => {
    expect(() => loraOption(text)).toThrow(/is not a number/);
  });

  it("of the Hub is reported by its name there", () => {
    const file = `/home/me/hub/models--o--loras/snapshots/${"a".repeat(40)}/x/pixel.safetensors`;
    expect(lorasUsed([{ file, scale: 1 }])).toEqual([{ file: "o/loras/x/pixel.safetensors", scale: 1 }]);
  });

  it("is reported by the file's name alone", () => {
    expect(lorasUsed(loraOption("/home/me/a.safetensors:0.5"))).toEqual([
      { file: "a.safetensors", scale: 0.5 },
    ]);
  });
});

describe("--lora of a server", () => {
  it.each([
    ["pixel=a.safetensors:0.8", "pixel", "a.safetensors", 0.8],
    ["pixel art=/loras/a=b.safetensors", "pixel art", "/loras/a=b.safetensors", 1],
    ["./a=b.safetensors", undefined, "./a=b.safetensors", 1],
    ["/loras:0.5", undefined, "/loras", 0.5],
  ])("%s is a name, a file and a scale", (text, name, file, scale) => {
    expect(servedLoraOption(text, [])).toEqual([{ name, file, scale }]);
  });
});
