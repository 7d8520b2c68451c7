/** @file Requests resolved into job requests: defaults, names, limits. */

import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { pipelines, tinyLora, tinyModel } from "../../test/serving.js";
import { InvalidRequest, ModelError } from "../errors.js";
import { defaultLimits } from "./limits.js";
import { checkAliases, type ModelRegistry, openModelRegistry } from "./model-registry.js";
import { resolvePartialRequest, resolveRequest } from "./resolve-request.js";
import type { GenerationRequest } from "./schemas.js";

let registry: ModelRegistry;
beforeAll(async () => {
  registry = await openModelRegistry([tinyModel], { loras: [{ name: "bicycles", ...tinyLora, scale: 0.7 }] });
});

describe("a resolved request", () => {
  it("refuses what the model or this server does not allow, naming the field", async () => {
    const refused = async (change: Partial<GenerationRequest>, limits = defaultLimits) => {
      const resolved = resolveRequest({ prompt: "x", ...change }, registry, limits);
      const error: InvalidRequest = await resolved.then(
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
    expect(
      (await resolveRequest({ ...long, outputFormat: "png" }, registry, defaultLimits)).settings,
    ).toMatchObject(long);
  });

  it("fills in the model's defaults and draws a seed", async () => {
    const { settings } = await resolveRequest({ prompt: "x" }, registry, defaultLimits);
    expect(settings).toMatchObject({ width: 64, height: 64, guidanceScale: 5, scheduler: "euler", count: 1 });
    expect(settings.seed).toMatch(/^\d+$/);
  });

  it("fills in what Diffusers' pipeline for that kind of request would, by the model's family", async () => {
    const stable = await openModelRegistry([`${pipelines}/sd2-tiny`]);
    const red = { create: { width: 64, height: 64, channels: 3, background: "red" } } as const;
    const image = (await sharp(red).png().toBuffer()).toString("base64");
    const filled = async (models: ModelRegistry, change: Partial<GenerationRequest>) => {
      const { settings } = await resolveRequest({ prompt: "x", ...change }, models, defaultLimits);
      return [settings.steps, settings.guidanceScale, settings.strength];
    };
    expect(await filled(registry, {})).toEqual([50, 5, undefined]);
    expect(await filled(registry, { image })).toEqual([50, 5, 0.3]);
    expect(await filled(registry, { image, mask: image })).toEqual([50, 7.5, 0.9999]);
    expect(await filled(stable, {})).toEqual([50, 7.5, undefined]);
    expect(await filled(stable, { image })).toEqual([50, 7.5, 0.8]);
    expect(await filled(stable, { image, mask: image })).toEqual([50, 7.5, 1]);
    expect(await filled(stable, { image, strength: 0.4, guidanceScale: 2 })).toEqual([50, 2, 0.4]);
  });

  it("says that the image's own size, or another API's, was rounded down", async () => {
    const image = await sharp({ create: { width: 101, height: 72, channels: 3, background: "#c33" } })
      .png()
      .toBuffer();
    const own = await resolveRequest(
      { prompt: "x", image: image.toString("base64") },
      registry,
      defaultLimits,
    );
    expect(own.settings).toMatchObject({ width: 96, height: 72 });
    expect(own.warnings).toEqual(["width: 101 is rounded to 96, a multiple of 8"]);
    const { settings, warnings } = resolvePartialRequest(
      { prompt: "x", width: 500, height: 300, roundsSize: true },
      registry,
      defaultLimits,
    );
    expect(settings).toMatchObject({ width: 496, height: 296 });
    expect(warnings).toEqual([
      "width: 500 is rounded to 496, a multiple of 8",
      "height: 300 is rounded to 296, a multiple of 8",
    ]);
  });

  it("gives a LoRA the server's scale unless it is asked for another", async () => {
    const loraOf = async (lora: GenerationRequest["lora"]) =>
      (await resolveRequest({ prompt: "x", lora }, registry, defaultLimits)).settings.lora;
    expect(await loraOf([{ name: "bicycles" }])).toEqual([{ name: "bicycles", scale: 0.7 }]);
    expect(await loraOf([{ name: "bicycles", scale: -1 }])).toEqual([{ name: "bicycles", scale: -1 }]);
    expect(await loraOf([])).toBeUndefined();
    await expect(loraOf([{ name: "boats" }])).rejects.toThrow(
      'lora: must be one of "bicycles", got "boats". koala serve --lora adds one.',
    );
    await expect(loraOf([{ name: "bicycles" }, { name: "bicycles" }])).rejects.toThrow(/^lora: .* twice/);
    const without = await openModelRegistry([tinyModel]);
    const refused = resolveRequest({ prompt: "x", lora: [{ name: "boats" }] }, without, defaultLimits);
    await expect(refused).rejects.toThrow(
      'lora: must be left out, as "koala-1b-tiny" has none, got "boats".',
    );
  });
});

describe("a model's names", () => {
  const named = (model: string, aliases?: ReadonlyMap<string, string>) =>
    resolvePartialRequest({ prompt: "x", model }, registry, defaultLimits, aliases);

  it("are its own, its aliases and OpenAI's, and a warning says which model has them", () => {
    expect(named("koala-1b-tiny").warnings).toEqual([]);
    for (const name of ["dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini"]) {
      const { settings, warnings } = named(name);
      expect(settings.model).toBe("koala-1b-tiny");
      expect(warnings).toEqual([`model: "${name}" is another name of "koala-1b-tiny" here`]);
    }
    expect(named("fast", new Map([["fast", "koala-1b-tiny"]])).settings.model).toBe("koala-1b-tiny");
    expect(() => named("sdxl")).toThrow('model: must be one of "koala-1b-tiny", got "sdxl".');
    // The alias is somebody else's, who has not come yet.
    expect(() => named("dall-e-3", new Map([["dall-e-3", "other"]]))).toThrow(/^model: /);
  });

  it("are refused at the start where they hide a model or lead to none", () => {
    const check = (alias: string, id: string, given = true) =>
      checkAliases(new Map([[alias, id]]), registry, given);
    expect(() => check("koala-1b-tiny", "koala-1b-tiny")).toThrow(
      /^aliases: must be a name that no model has/,
    );
    expect(() => check("fast", "other")).toThrow(
      'aliases: must be NAME=MODEL with a model of "koala-1b-tiny"',
    );
    check("fast", "other", false);
    check("fast", "koala-1b-tiny");
  });
});

describe("LoRAs at start", () => {
  it("must each fit one of the models", async () => {
    const sd2 = `${pipelines}/sd2-tiny`;
    const lora = { name: "bicycles", ...tinyLora };
    const both = await openModelRegistry([sd2, tinyModel], { loras: [lora] });
    expect([...both.values()].map(({ info }) => info.loras)).toEqual([[], [{ name: "bicycles", scale: 1 }]]);
    await expect(openModelRegistry([sd2], { loras: [lora] })).rejects.toThrow(ModelError);
    await expect(openModelRegistry([], { loras: [lora] })).rejects.toThrow(
      /^loras: must fit a model that is given here/,
    );
  });
});
