/** @file What the page reads from a PNG, ours and others'. */

import { describe, expect, it } from "vitest";
import { withPngTexts } from "../../src/image/png-texts.js";
import { settingsIn } from "./read-settings.js";

/** The signature and a header chunk of 13 bytes, all zero. */
const head = [137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, ...new Uint8Array(21)];
const png = (texts: Record<string, string>) => withPngTexts(Uint8Array.from(head), texts);

const record = {
  prompt: "ein Käfer",
  numInferenceSteps: 4,
  guidanceScale: 3.5,
  width: 64,
  height: 72,
  seed: "12345678901234567",
  model: { id: "etri-vilab/koala-lightning-1b", name: "koala-lightning-1b" },
  scheduler: { className: "DPMSolverMultistepScheduler", config: { useKarrasSigmas: true } },
};

describe("a PNG's settings", () => {
  it("come from our record before the text of other programs", () => {
    const texts = { parameters: "another\nSteps: 9, Sampler: DDIM, Seed: 1", koala: JSON.stringify(record) };
    expect(settingsIn(png(texts))).toEqual({
      prompt: "ein Käfer",
      model: "etri-vilab/koala-lightning-1b",
      width: 64,
      height: 72,
      steps: 4,
      guidanceScale: 3.5,
      seed: "12345678901234567",
      scheduler: "dpmpp-2m-karras",
    });
  });

  it("come from A1111's text where there is no record, or a broken one", () => {
    const parameters =
      "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 5, Size: 512x768, Model: m";
    for (const koala of [{}, { koala: "{" }, { koala: '{"prompt":5}' }]) {
      expect(settingsIn(png({ parameters, ...koala }))).toEqual({
        prompt: "a cat",
        negativePrompt: "dog",
        model: "m",
        width: 512,
        height: 768,
        steps: 20,
        guidanceScale: 7.5,
        seed: "5",
        scheduler: "euler-a",
      });
    }
  });

  it("are none in other files and other texts", () => {
    expect(settingsIn(new TextEncoder().encode("no picture"))).toBeUndefined();
    expect(settingsIn(png({}))).toBeUndefined();
    expect(settingsIn(png({ parameters: "just words" }))).toBeUndefined();
  });

  it("pass over what has another kind", () => {
    const wrong = { ...record, seed: -1, width: "64", guidanceScale: null, scheduler: [], model: 5 };
    expect(settingsIn(png({ koala: JSON.stringify(wrong) }))).toEqual({
      prompt: "ein Käfer",
      height: 72,
      steps: 4,
    });
  });
});
