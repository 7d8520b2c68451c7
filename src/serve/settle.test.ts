/** @file A request is checked and completed before it waits. */

import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { tinyModel } from "../../test/serving.js";
import { InvalidRequest } from "../errors.js";
import { type Catalogue, openCatalogue } from "./catalogue.js";
import { defaultLimits } from "./limits.js";
import type { GenerationRequest } from "./schemas.js";
import { settle } from "./settle.js";

let catalogue: Catalogue;
beforeAll(async () => {
  catalogue = await openCatalogue([tinyModel]);
});

describe("settling a request", () => {
  it("refuses what the model or this server does not allow, naming the field", async () => {
    const refused = async (change: Partial<GenerationRequest>, limits = defaultLimits) => {
      const settled = settle({ prompt: "x", ...change }, catalogue, limits);
      const error: InvalidRequest = await settled.then(
        () => expect.fail("it was taken"),
        (e) => e,
      );
      expect(error).toBeInstanceOf(InvalidRequest);
      return error.field;
    };
    expect(await refused({ width: 60 })).toBe("width");
    expect(await refused({ model: "none" })).toBe("model");
    expect(await refused({ scheduler: "eular" })).toBe("scheduler");
    expect(await refused({ strength: 0.5 })).toBe("strength");
    expect(await refused({ image: "http://169.254.169.254/latest" })).toBe("image");
    expect(await refused({ image: Buffer.from("<svg/>").toString("base64") })).toBe("image");
    expect(await refused({ steps: 200 })).toBe("steps");
    expect(await refused({ count: 9 }, { ...defaultLimits, count: 8 })).toBe("count");
    expect(await refused({ width: 4096, height: 4096 })).toBe("width");
    const long = { prompt: "a".repeat(20_000), negativePrompt: "b".repeat(20_000) };
    expect(await refused({ ...long, outputFormat: "jpeg" })).toBe("outputFormat");
    expect(await refused({ prompt: "漢".repeat(20_000), outputFormat: "jpeg" })).toBe("outputFormat");
    expect((await settle({ ...long, outputFormat: "png" }, catalogue, defaultLimits)).settings).toMatchObject(
      long,
    );
  });

  it("fills in the model's defaults and draws a seed", async () => {
    const { settings } = await settle({ prompt: "x" }, catalogue, defaultLimits);
    expect(settings).toMatchObject({ width: 64, height: 64, guidanceScale: 5, scheduler: "euler", count: 1 });
    expect(settings.seed).toMatch(/^\d+$/);
  });

  it("fills in what Diffusers' pipeline for that kind of request would, by the model's family", async () => {
    const stable = await openCatalogue([tinyModel.replace("koala-1b-tiny", "sd2-tiny")]);
    const red = { create: { width: 64, height: 64, channels: 3, background: "red" } } as const;
    const image = (await sharp(red).png().toBuffer()).toString("base64");
    const filled = async (models: Catalogue, change: Partial<GenerationRequest>) => {
      const { settings } = await settle({ prompt: "x", ...change }, models, defaultLimits);
      return [settings.steps, settings.guidanceScale, settings.strength];
    };
    expect(await filled(catalogue, {})).toEqual([50, 5, undefined]);
    expect(await filled(catalogue, { image })).toEqual([50, 5, 0.3]);
    expect(await filled(catalogue, { image, mask: image })).toEqual([50, 7.5, 0.9999]);
    expect(await filled(stable, {})).toEqual([50, 7.5, undefined]);
    expect(await filled(stable, { image })).toEqual([50, 7.5, 0.8]);
    expect(await filled(stable, { image, mask: image })).toEqual([50, 7.5, 1]);
    expect(await filled(stable, { image, strength: 0.4, guidanceScale: 2 })).toEqual([50, 2, 0.4]);
  });
});
