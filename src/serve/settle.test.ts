/** @file A request is checked and completed before it waits. */

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
});
