/** @file AUTOMATIC1111's line of parameters. */

import { describe, expect, it } from "vitest";
import { cpuSeconds, linear } from "../../../test/cpu-seconds.js";
import { formatParameters, parseParameters } from "./parameters.js";

describe("a text in A1111's grammar", () => {
  const text = [
    "castle on a hill, (storm:1.2),",
    "oil painting",
    "Negative prompt: text, watermark,",
    "low quality",
    'Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 3051871243, Size: 1024x768, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Lora hashes: "ink: 0a1b2c, pen: 3d4e5f", Version: v1.10.1',
  ].join("\n");

  it("has prompts of several lines, and values that may be quoted", () => {
    const { prompt, negativePrompt, fields } = parseParameters(text);
    expect(prompt).toBe("castle on a hill, (storm:1.2),\noil painting");
    expect(negativePrompt).toBe("text, watermark,\nlow quality");
    expect(Object.fromEntries(fields)).toEqual({
      Steps: "28",
      Sampler: "DPM++ 2M",
      "Schedule type": "Karras",
      "CFG scale": "6.5",
      Seed: "3051871243",
      Size: "1024x768",
      "Model hash": "31e35c80fc",
      Model: "sd_xl_base_1.0",
      "Lora hashes": "ink: 0a1b2c, pen: 3d4e5f",
      Version: "v1.10.1",
    });
  });

  it("is what is written from it", () => {
    expect(formatParameters(parseParameters(text))).toBe(text);
  });

  it("with a last line of fewer than three values is all prompt", () => {
    const { prompt, fields } = parseParameters("a clock\ntime: noon, place: Rome");
    expect(prompt).toBe("a clock\ntime: noon, place: Rome");
    expect(fields.size).toBe(0);
  });

  it("may have lines behind its settings, and line breaks in their quoted values", () => {
    const after = "Template: a {cat|dog}, 8: k\nof two lines\nNegative Template: {x|y}";
    const { prompt, negativePrompt, fields } = parseParameters(
      `a cat\nNegative prompt: dog\nSteps: 3, Wildcards: "a\nb, c: d", Seed: 4\n${after}`,
    );
    expect([prompt, negativePrompt]).toEqual(["a cat", "dog"]);
    expect(Object.fromEntries(fields)).toEqual({
      Steps: "3",
      Wildcards: "a\nb, c: d",
      Seed: "4",
      Template: "a {cat|dog}, 8: k\nof two lines",
      "Negative Template": "{x|y}",
    });
  });

  it("may have a prompt with such lines of its own", () => {
    const { prompt, fields } = parseParameters(
      "Steps: up, doors: two, sky: red\nSteps: 3, Seed: 4, Size: 8x8",
    );
    expect([prompt, fields.get("Steps")]).toEqual(["Steps: up, doors: two, sky: red", "3"]);
  });

  it("goes on after a value that is a list, as stable-diffusion.cpp writes one", () => {
    const { fields } = parseParameters("x\nSteps: 3, Skip layers: [7, 8, ], Skip layer start: 0.01, Seed: 4");
    expect([fields.get("Skip layer start"), fields.get("Seed")]).toEqual(["0.01", "4"]);
  });

  it("may have no prompt", () => {
    expect(parseParameters("Steps: 1, Seed: 2, Size: 8x8")).toMatchObject({
      prompt: "",
      negativePrompt: undefined,
    });
  });
});

it("values with commas, colons, quotes and line breaks come back", () => {
  const fields = new Map([
    ["Steps", "4"],
    ["Model", 'a "b", c: d\\e\nf'],
    ["Seed", "1"],
  ]);
  expect(parseParameters(formatParameters({ prompt: "p", negativePrompt: undefined, fields }))).toEqual({
    prompt: "p",
    negativePrompt: undefined,
    fields,
  });
});

it.each([
  ["colons", ":".repeat(1_000_000)],
  ["open quotes", 'a: "'.repeat(250_000)],
  ["backslashes", `a: "${"\\".repeat(1_000_000)}`],
  ["spaces", `a:${" ".repeat(1_000_000)}`],
  ["names without a value", "word ".repeat(200_000)],
])("a megabyte of %s is read in linear time", (_, text) => {
  expect(cpuSeconds(() => parseParameters(text))).toBeLessThan(linear);
});
