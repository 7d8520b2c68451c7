/** @file `koala generate --from`: the image is generated again by what it records. */

import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { generateCommand } from "../../src/cli/generate.js";
import { readTexts } from "../../src/image/metadata/metadata.js";
import { withPngTexts } from "../../src/image/metadata/png-texts.js";
import { readRequest } from "../../src/pipeline/metadata/read.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { filesIn, startHub } from "../hub-server.js";
import { tinyLora, tinyModel } from "../serving.js";

const golden = fileURLToPath(new URL("../../golden/data/pipelines/", import.meta.url));
const loras = path.dirname(tinyLora.file);
const hard = 'a "quoted", comma: 漢字 🐨 <b> & \\back\nNegative prompt: second line';
const size = ["-W", "64", "-H", "96", "-s", "2", "-q"];

let folder: string;
let model: string;
const at = (name: string) => path.join(folder, name);
const bytesOf = (name: string) => readFile(at(name));

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "from-"));
  model = at("my-model");
  await cp(tinyModel, model, { recursive: true });
  vi.stubEnv("XDG_CACHE_HOME", at("cache"));
  const gradient = Uint8Array.from({ length: 64 * 96 * 3 }, (_, i) => (i * 7) % 256);
  const raw = { width: 64, height: 96, channels: 3 as const };
  await sharp(gradient, { raw }).png().toFile(at("begin.png"));
  const half = Uint8Array.from({ length: 64 * 96 }, (_, i) => (i % 64 < 32 ? 0 : 255));
  await sharp(half, { raw: { ...raw, channels: 1 } })
    .png()
    .toFile(at("mask.png"));
  await generated("base.png", "a red bicycle", "--seed", "7", "-g", "3.5", "--scheduler", "heun");
});

afterEach(() => void vi.restoreAllMocks());

afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** Runs `koala generate`; gives what it said on stderr. */
async function koala(...words: string[]): Promise<string> {
  let said = "";
  vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    said += text;
    return true;
  });
  await generateCommand().parseAsync(words, { from: "user" });
  return said;
}

const generated = (output: string, ...words: string[]) =>
  koala("-m", model, ...size, "-o", at(output), ...words);

const seedOf = async (name: string) => ["--seed", String((await readRequest(at(name))).request.seed)];

describe("what is left out", () => {
  it("is Diffusers' for the model and the kind of request, and is said", async () => {
    const stable = path.join(golden, "sd2-tiny");
    const said = async (...words: string[]) => {
      const sources = ["-m", stable, "--image", at("begin.png"), "-o", at("left-out.png")];
      return koala(...sources, "-s", "2", "x", ...words);
    };
    expect(await said()).toContain("2 steps, guidance 7.5, strength 0.8, DDIM");
    expect(await said("--mask", at("mask.png"))).toContain("2 steps, guidance 7.5, strength 1, DDIM");
    const xl = ["-m", model, "--image", at("begin.png"), "--mask", at("mask.png"), "-s", "2", "x"];
    expect(await koala(...xl, "-o", at("left-out.png"))).toContain("guidance 7.5, strength 0.9999");
  });
});

describe("--from generates the same file again", () => {
  it.each([
    [
      "a given seed and an ancestral sampler, from PNG",
      "a.png",
      ["x", "--seed", "7", "--scheduler", "euler-a"],
    ],
    ["a random seed of CUDA, from JPEG", "b.jpg", ["x", "--rng", "cuda", "--clip-skip", "1"]],
    [
      "a prompt of all sorts, a negative and a spacing, from WebP",
      "c.webp",
      [hard, "-n", "grün, ugly", "--spacing", "trailing"],
    ],
  ])("%s", async (_, name, words) => {
    await generated(name, ...words);
    await koala("--from", at(name), "-q", "-o", at(`again-${name}`));
    expect((await bytesOf(`again-${name}`)).equals(await bytesOf(name))).toBe(true);
  });

  it("an image out of the middle of a batch, with its own seed", async () => {
    await generated("batch.png", "one", "two", "--count", "2", "--seed", "40");
    expect((await readRequest(at("batch-4.png"))).request).toMatchObject({ prompt: "two", seed: 43n });
    await koala("--from", at("batch-4.png"), "-q", "-o", at("fourth.png"));
    expect((await bytesOf("fourth.png")).equals(await bytesOf("batch-4.png"))).toBe(true);
  });

  it("an inpainted one, whose images are found by their hashes even if they moved", async () => {
    const sources = ["--image", at("begin.png"), "--mask", at("mask.png"), "--strength", "0.9"];
    await generated("inpainted.png", "x", ...sources);
    await koala("--from", at("inpainted.png"), "-q", "-o", at("inpainted-2.png"));
    expect((await bytesOf("inpainted-2.png")).equals(await bytesOf("inpainted.png"))).toBe(true);
    await rename(at("begin.png"), at("moved.png"));
    await expect(koala("--from", at("inpainted.png"), "-q", "-o", at("no.png"))).rejects.toThrow(
      /^--image: must be given: the image was generated with begin\.png \(sha256:[0-9a-f]{12}\), which was not seen/,
    );
    await koala("--from", at("inpainted.png"), "--image", at("moved.png"), "-o", at("moved-2.png"), "-q");
    await rename(at("moved.png"), at("begin.png"));
    const { record } = await readTexts(at("moved-2.png"));
    expect(JSON.parse(record!)).toMatchObject({ image: { name: "moved.png" }, mask: { name: "mask.png" } });
    const pixels = (name: string) => sharp(at(name)).raw().toBuffer();
    expect(await pixels("moved-2.png")).toEqual(await pixels("inpainted.png"));
  });

  it("one that goes on from an image generated so far, unless a strength takes its place", async () => {
    await generated("going.png", "x", "--image", at("begin.png"), "--denoising-start", "0.5");
    await koala("--from", at("going.png"), "-q", "-o", at("going-2.png"));
    expect((await bytesOf("going-2.png")).equals(await bytesOf("going.png"))).toBe(true);
    expect((await readRequest(at("going.png"))).request.denoisingStart).toBe(0.5);
    await koala("--from", at("going.png"), "--strength", "0.9", "-q", "-o", at("going-3.png"));
    await generated(
      "strong.png",
      "x",
      "--image",
      at("begin.png"),
      "--strength",
      "0.9",
      ...(await seedOf("going.png")),
    );
    const pixels = (name: string) => sharp(at(name)).raw().toBuffer();
    expect(await pixels("going-3.png")).toEqual(await pixels("strong.png"));
  });

  it("one of another autoencoder, another U-Net and two LoRAs, all found by their hashes", async () => {
    const given = [
      "--lora",
      `${loras}/koala-1b-tiny-diffusers.safetensors:0.5`,
      "--lora",
      `${loras}/koala-1b-tiny-kohya.safetensors`,
    ];
    const unet = path.join(model, "unet/diffusion_pytorch_model.safetensors");
    await generated("parts.png", "x", "--vae", path.join(golden, "taesd-tiny"), "--unet", unet, ...given);
    await koala("--from", at("parts.png"), "-q", "-o", at("parts-2.png"));
    expect((await bytesOf("parts-2.png")).equals(await bytesOf("parts.png"))).toBe(true);
  });

  it("one whose parts came from the Hub, named as there and found in the cache with the Hub gone", async () => {
    const commit = "a".repeat(40);
    const lora = filesIn(loras).get("koala-1b-tiny-kohya.safetensors")!;
    const files = new Map([
      ...filesIn(path.join(golden, "taesd-tiny")),
      ["pytorch_lora_weights.safetensors", lora],
    ]);
    const hub = await startHub({ "o/parts": { commits: { [commit]: files }, refs: { main: commit } } });
    vi.stubEnv("HF_HOME", at("hub"));
    vi.stubEnv("HF_ENDPOINT", hub.url);
    await generated("hub.png", "x", "--vae", "o/parts", "--lora", "o/parts:0.5");
    await hub.close();
    await koala("--from", at("hub.png"), "-q", "-o", at("hub-2.png"));
    expect((await bytesOf("hub-2.png")).equals(await bytesOf("hub.png"))).toBe(true);
    await generated(
      "files.png",
      "x",
      "--vae",
      path.join(golden, "taesd-tiny"),
      ...(await seedOf("hub.png")),
      "--lora",
      `${loras}/koala-1b-tiny-kohya.safetensors:0.5`,
    );
    const model = async (name: string) => JSON.parse((await readTexts(at(name))).record!).model;
    const [named, local] = [await model("hub.png"), await model("files.png")];
    expect(named.vae).toEqual({ ...local.vae, name: "o/parts" });
    expect(named.loras).toEqual([{ ...local.loras[0], name: "o/parts/pytorch_lora_weights.safetensors" }]);
  });
});

describe("metadata that a file would not hold", () => {
  const long = `${"a".repeat(40_000)} cat`;

  it("is refused before anything is generated, whichever prompt is too long", async () => {
    for (const name of ["long.jpg", "long.webp"]) {
      const words = ["a cat", long, "-m", model, "-s", "1", "-o", at(name)];
      await expect(koala(...words)).rejects.toThrow(
        /^--output: the metadata of .*long-?1?\.(jpg|webp) must fit into .* name a \.png file, or add --no-metadata\.$/,
      );
      await expect(koala("a cat", "-n", long, ...words.slice(2))).rejects.toThrow(/^--output: the metadata/);
    }
    expect(await readdir(folder)).not.toContainEqual(expect.stringMatching(/^long/));
  });

  it("is no reason without metadata, or for a PNG", async () => {
    const words = ["-m", model, "-s", "1", "-W", "64", "-H", "64", "-q"];
    await koala(long, ...words, "-o", at("bare.jpg"), "--no-metadata");
    await koala(long, ...words, "-o", at("kept.png"));
    expect(JSON.parse((await readTexts(at("kept.png"))).record!).prompt).toBe(long);
  });
});

describe("beside --from", () => {
  it("other options override, and the rest stays", async () => {
    await koala(
      "a blue one",
      "--from",
      at("base.png"),
      "-s",
      "1",
      "--seed",
      "9",
      "-q",
      "-o",
      at("other.png"),
    );
    await generated("direct.png", "a blue one", "-s", "1", "--seed", "9", "-g", "3.5", "--scheduler", "heun");
    expect((await bytesOf("other.png")).equals(await bytesOf("direct.png"))).toBe(true);
  });

  it("another --image has its own size, unless --width and --height are given", async () => {
    await generated("small.png", "x", "--image", at("begin.png"), "--strength", "0.9");
    const other = at("wide.png");
    await sharp({ create: { width: 128, height: 64, channels: 3, background: "red" } })
      .png()
      .toFile(other);
    const sizeOf = async (output: string, ...words: string[]) => {
      await koala("--from", at("small.png"), "-s", "2", "-q", "-o", at(output), ...words);
      const { width, height } = await sharp(at(output)).metadata();
      return [width, height];
    };
    expect(await sizeOf("own.png", "--image", other)).toEqual([128, 64]);
    expect(await sizeOf("given.png", "--image", other, "-W", "64", "-H", "64")).toEqual([64, 64]);
    expect(await sizeOf("same.png", "--image", at("begin.png"))).toEqual([64, 96]);
  });

  it("the image itself is not written over", async () => {
    await expect(koala("--from", at("base.png"), "-o", at("base.png"))).rejects.toThrow(
      /^--output: must be another file than that of --from/,
    );
  });

  it("another model than the image's is noted", async () => {
    const words = ["--from", at("base.png"), "-m", path.join(golden, "koala-700m-tiny")];
    expect(await koala(...words, "-o", at("by-700m.png"))).toContain(
      "not what the image was generated with: model",
    );
  });
});

describe("the model of an image", () => {
  it("that moved, or was changed, is asked for by name, and taken where it is given", async () => {
    await rename(model, at("elsewhere"));
    const again = ["--from", at("base.png"), "-q", "-o", at("from-moved-2.png")];
    const refusal = /^--model: must be given: the image's model my-model was not seen on this machine/;
    await expect(koala(...again)).rejects.toThrow(refusal);
    await cp(at("elsewhere"), model, { recursive: true });
    const weights = path.join(model, "unet/diffusion_pytorch_model.safetensors");
    const changed = await readFile(weights);
    changed[changed.length - 3]! ^= 1;
    await writeFile(weights, changed);
    await expect(koala(...again)).rejects.toThrow(refusal);
    await rm(model, { recursive: true });
    await koala(...again, "-m", at("elsewhere"));
    await rename(at("elsewhere"), model);
    const record = async (name: string) => JSON.parse((await readTexts(at(name))).record!);
    const [was, is] = [await record("base.png"), await record("from-moved-2.png")];
    expect(is).toEqual({ ...was, model: { ...was.model, name: "elsewhere" } });
  });
});

describe("a written image", () => {
  it("names no place of this machine, in any encoding, in any format", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(model, { vae: path.join(golden, "taesd-tiny") });
    const request = { prompt: "x", numInferenceSteps: 2, strength: 1, image: at("begin.png") };
    const { images } = await pipe.generate(request);
    await pipe.close();
    const places = [folder, tmpdir(), process.cwd(), homedir(), golden].filter((place) => place.length > 2);
    for (const format of ["png", "jpeg", "webp"] as const) {
      const bytes = Buffer.from(await images[0]!.encode(format));
      expect(bytes.includes("my-model")).toBe(true);
      expect(bytes.includes("begin.png")).toBe(true);
      for (const place of places) {
        const wide = Buffer.from(place, "utf16le");
        expect(bytes.includes(place) || bytes.includes(wide) || bytes.includes(wide.swap16())).toBe(false);
      }
    }
  });

  it("of --no-metadata says nothing", async () => {
    await generated("bare.png", "a secret prompt", "--no-metadata", "-s", "1");
    const bytes = await bytesOf("bare.png");
    expect(await readTexts(bytes)).toEqual({});
    for (const word of ["secret", "Steps", "koala", "trainedAlgorithmicMedia", "my-model", "Exif"])
      expect(bytes.includes(word), word).toBe(false);
    await expect(readRequest(at("bare.png"))).rejects.toThrow(/must be an image that holds its settings/);
  });

  it("has the text that A1111 reads", async () => {
    await generated("text.png", "a cat, (red:1.2)", "-n", "ugly", "--seed", "5", "--scheduler", "euler-a");
    expect((await readTexts(at("text.png"))).parameters).toMatch(
      /^a cat, \(red:1\.2\)\nNegative prompt: ugly\nSteps: 2, Sampler: Euler a, CFG scale: 5, Seed: 5, Size: 64x96, Model: my-model, RNG: CPU, Version: koala-diffusion \d/,
    );
  });
});

describe("an image of A1111", () => {
  const parameters = [
    "a lighthouse, (fog:1.1)",
    "Negative prompt: people, text",
    "Steps: 2, Sampler: DPM++ 2M Karras, CFG scale: 4.5, Seed: 1234567890, Size: 64x72, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, RNG: CPU, Version: v1.6.0",
  ].join("\n");

  it("is generated as far as its text goes, with a note", async () => {
    await writeFile(at("web.png"), withPngTexts(await bytesOf("mask.png"), { parameters }));
    await expect(koala("--from", at("web.png"))).rejects.toThrow(/^--model: .* sd_xl_base_1\.0 was not seen/);
    const said = await koala("--from", at("web.png"), "-m", model, "-o", at("web-2.png"));
    expect(said).toContain("web.png was made by AUTOMATIC1111 or a program like it");
    expect(said).not.toContain("read as letters");
    const own = ["--scheduler", "dpmpp-2m-karras", "-g", "4.5", "--seed", "1234567890", "-n", "people, text"];
    // A1111's images were made by A1111's grammar.
    own.push("--prompt-syntax", "a1111");
    await koala(
      "a lighthouse, (fog:1.1)",
      "-m",
      model,
      "-W",
      "64",
      "-H",
      "72",
      "-s",
      "2",
      ...own,
      "-o",
      at("own.png"),
    );
    expect((await bytesOf("web-2.png")).equals(await bytesOf("own.png"))).toBe(true);
  });
});

describe("a record is refused by field", () => {
  const changed = async (change: (record: Record<string, unknown>) => void) => {
    await mkdir(at("refused"), { recursive: true });
    const png = await bytesOf("base.png");
    const record = JSON.parse((await readTexts(png)).record!);
    change(record);
    await writeFile(at("refused/p.png"), withPngTexts(png, { koala: JSON.stringify(record) }));
    return readRequest(at("refused/p.png"));
  };

  it.each<[string, (record: Record<string, unknown>) => void, RegExp]>([
    [
      "that this version does not know, with the version that generated it",
      (r) => Object.assign(r, { app: "koala-diffusion 9.0.0", freeU: { b1: 1.1 } }),
      /^p\.png: freeU: is not a setting that this version knows\. This is koala-diffusion \d.* generated by koala-diffusion 9\.0\.0/,
    ],
    [
      "of the scheduler",
      (r) => Object.assign((r.scheduler as { config: object }).config, { shift: 3 }),
      /^p\.png: scheduler\.shift: /,
    ],
    ["with another type", (r) => Object.assign(r, { width: "64" }), /^p\.png: width: .*got "64"/],
    ["of another format", (r) => Object.assign(r, { format: 2 }), /^p\.png: format: must be 1, got 2/],
    ["that is absent", (r) => void delete r.prompt, /^p\.png: prompt: must be text, got nothing/],
    [
      "whose name would steer a terminal",
      (r) => Object.assign(r, { "\u001b[2J": 1 }),
      /^p\.png: \?\[2J: is not a setting that this version knows/,
    ],
    [
      "that only a program had",
      (r) => Object.assign(r, { notRecorded: ["latents"] }),
      /^p\.png: latents: was an argument that images do not record/,
    ],
  ])("%s", async (_, change, message) => {
    await expect(changed(change)).rejects.toThrow(message);
  });
});
