/** @file Tests of reading settings from image files of this program and others. */

import { describe, expect, it } from "vitest";
import { withPngTexts } from "../../src/image/metadata/png-texts.js";
import compressed from "../../src/image/metadata/testdata/compressed.png?inline";
import dropComfy from "../../src/image/metadata/testdata/drop-comfy.png?inline";
import fooocus from "../../src/image/metadata/testdata/fooocus-ifd0.jpg?inline";
import noCharset from "../../src/image/metadata/testdata/no-charset.jpg?inline";
import template from "../../src/image/metadata/testdata/template-after-steps.png?inline";
import { readImageSettings } from "./read-settings.js";

/** The signature and a header chunk of 13 bytes, all zero. */
const head = [137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, ...new Uint8Array(21)];
const png = (texts: Record<string, string>) => withPngTexts(Uint8Array.from(head), texts);
const settingsOf = async (bytes: Uint8Array) => {
  const reading = await readImageSettings(bytes);
  return "settings" in reading ? reading.settings : expect.fail(reading.problem);
};
const problemOf = async (bytes: Uint8Array) => {
  const reading = await readImageSettings(bytes);
  return "problem" in reading ? reading.problem : expect.fail("it was read");
};

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

describe("readImageSettings", () => {
  it("notes where an image was generated, if that was not the CPU in float32", async () => {
    const notesOf = async (place: object) =>
      (await settingsOf(png({ koala: JSON.stringify({ ...record, ...place }) }))).notes;
    expect(await notesOf({ device: "cpu", dtype: "float32" })).toBeUndefined();
    expect(await notesOf({ device: "webgpu", dtype: "float16" })).toEqual([
      "Generated on webgpu in float16: on another device, expect a similar image, not the same one.",
    ]);
  });

  it("prefers our own metadata to the text of other programs", async () => {
    const texts = { parameters: "another\nSteps: 9, Sampler: DDIM, Seed: 1", koala: JSON.stringify(record) };
    expect(await settingsOf(png(texts))).toEqual({
      prompt: "ein Käfer",
      model: "etri-vilab/koala-lightning-1b",
      width: 64,
      height: 72,
      steps: 4,
      guidanceScale: 3.5,
      seed: "12345678901234567",
      scheduler: "dpmpp-2m-karras",
      promptSyntax: "none",
      longPrompts: "cut",
    });
    const other = { ...record, promptSyntax: "a1111", padConditions: true };
    expect(await settingsOf(png({ koala: JSON.stringify(other) }))).toMatchObject({
      ...{ promptSyntax: "a1111", longPrompts: "chunks", padConditions: true },
    });
  });

  it("reads A1111's text where our own metadata is absent or broken", async () => {
    const parameters =
      "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 5, Size: 512x768, Model: m";
    for (const koala of [{}, { koala: "{" }, { koala: '{"prompt":5}' }]) {
      expect(await settingsOf(png({ parameters, ...koala }))).toEqual({
        prompt: "a cat",
        negativePrompt: "dog",
        model: "m",
        width: 512,
        height: 768,
        steps: 20,
        guidanceScale: 7.5,
        seed: "5",
        scheduler: "euler-a",
        promptSyntax: "a1111",
        notes: ["Made with AUTOMATIC1111 or a program like it: expect a similar image, not the same one."],
      });
    }
  });

  it("lists a schedule that the form does not have, and other settings that are not applied", async () => {
    const parameters =
      "a (red:1.2) cat\nSteps: 20, Sampler: DPM++ 2M, Schedule type: SGM Uniform, Seed: 18446744073709551615, Clip skip: 2";
    const { notes, ...rest } = await settingsOf(png({ parameters }));
    expect(rest).toEqual({
      prompt: "a (red:1.2) cat",
      steps: 20,
      seed: "18446744073709551615",
      scheduler: "dpmpp-2m",
      promptSyntax: "a1111",
    });
    expect(notes?.slice(1)).toEqual([
      "Not applied: Clip skip, Schedule type.",
      "Not in the file: CFG scale, Size.",
    ]);
  });

  it("reads the strength of image-to-image, not that of the high-resolution pass", async () => {
    const last = "x\nSteps: 20, Seed: 1, Denoising strength: 0.5";
    expect((await settingsOf(png({ parameters: last }))).strength).toBe(0.5);
    const enlarged = await settingsOf(png({ parameters: `${last}, Hires upscale: 2` }));
    expect(enlarged.strength).toBeUndefined();
    expect(enlarged.notes).toContain("Not applied: Denoising strength, Hires upscale.");
  });

  it("ignores values of the wrong type", async () => {
    const wrong = { ...record, seed: -1, width: "64", guidanceScale: null, scheduler: [], model: 5 };
    expect(await settingsOf(png({ koala: JSON.stringify(wrong) }))).toEqual({
      prompt: "ein Käfer",
      height: 72,
      steps: 4,
      promptSyntax: "none",
      longPrompts: "cut",
    });
  });

  it("says why there are no settings", async () => {
    expect(await problemOf(new TextEncoder().encode("no image"))).toBe("is not a PNG, JPEG or WebP file");
    expect(await problemOf(png({}))).toBe("contains no settings. Many websites and messengers remove them");
    expect(await problemOf(png({ parameters: "just words", Software: "GIMP" }))).toBe(
      "contains no settings of a known program, only other texts: parameters, Software",
    );
    expect(await problemOf(png({ workflow: "{}" }))).toMatch(
      /^contains settings of ComfyUI that cannot be used: /,
    );
  });
});

describe("files of other programs", () => {
  const bytesOf = async (address: string) => new Uint8Array(await (await fetch(address)).arrayBuffer());

  it.each(Object.entries({ noCharset, fooocus, template, compressed }))(
    "%s is read like the command line reads it",
    async (_, file) => {
      expect(await settingsOf(await bytesOf(file))).toMatchObject({
        prompt: "a cat",
        negativePrompt: "ugly, bad",
        steps: 3,
        seed: "1234567890123",
        scheduler: "euler-a",
      });
    },
  );

  it("without a readable prompt give their other settings", async () => {
    const { prompt, ...rest } = await settingsOf(await bytesOf(dropComfy));
    expect(prompt).toBeUndefined();
    expect(rest).toMatchObject({ steps: 20, guidanceScale: 8, seed: "5", scheduler: "euler" });
    expect(rest.notes?.[1]).toMatch(/^The prompt could not be read: its prompt was not found/);
  });
});
