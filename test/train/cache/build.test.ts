/** @file What is cached, and that stopping and going on changes nothing. */

import { copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Generator } from "../../../src/diffusion/random.js";
import { floatsOf } from "../../../src/engine/engine.js";
import { Cancelled, InvalidRequest, ModelError } from "../../../src/errors.js";
import type { Components } from "../../../src/pipeline/components.js";
import { firstEmbeddings } from "../../../src/pipeline/conditioning.js";
import { DiffusionPipeline } from "../../../src/pipeline/pipeline.js";
import { input } from "../../../src/tensor/operations.js";
import { buildCache, type CacheOptions } from "../../../src/train/cache/build.js";
import { openCache } from "../../../src/train/cache/cache.js";
import { encodeExample, release } from "../../../src/train/cache/encoders.js";
import { prepareExamples } from "../../../src/train/data/prepare.js";
import { openData } from "../../../src/train/data/source.js";
import { openSafetensors } from "../../../src/weights/safetensors-file.js";
import { cacheOptions, components, goldenFolder, makeImageFolder } from "../../cache-data.js";

let at: string;
let data: string;
let koala: Components;
const folder = (name: string) => path.join(at, name);
beforeAll(async () => {
  at = await mkdtemp(path.join(tmpdir(), "koala-cache-"));
  data = folder("data");
  await makeImageFolder(data);
  koala = await components("koala-1b-tiny");
});
afterAll(() => rm(at, { recursive: true }));

const build = async (name: string, change: Partial<CacheOptions> = {}) =>
  buildCache(await cacheOptions(folder(name), data, change.components ?? koala, change));

/** Every file's bytes by name. */
async function contents(name: string): Promise<Record<string, string>> {
  const names = (await readdir(folder(name))).sort();
  const read = async (n: string) => [n, await readFile(path.join(folder(name), n), "base64")] as const;
  return Object.fromEntries(await Promise.all(names.map(read)));
}

describe("a cache", () => {
  it("holds every image and each distinct caption once, and names what was skipped", async () => {
    const told: string[] = [];
    const report = await build("whole", { onSkip: ({ key }) => told.push(key) });
    expect(report).toMatchObject({
      examples: 6,
      captions: 6,
      encoded: { images: 6, captions: 6 },
      skipped: [{ key: "0.png", reason: expect.stringContaining("must be an image that can be read") }],
      cutCaptions: 0,
    });
    expect(told).toEqual(["0.png"]);
    const cache = await openCache(folder("whole"));
    expect(Object.fromEntries(cache.keysByBucket)).toEqual({
      "40x24": ["1.png", "3.png", "5.png"],
      "24x40": ["2.png", "4.png", "6.png"],
    });
  });

  it("gives moments equal to the autoencoder's own, with the time ids of the crop", async () => {
    await build("moments");
    const cache = await openCache(folder("moments"));
    const { examples } = prepareExamples(await openData(data), [{ height: 40, width: 24 }], {
      random: () => Math.random,
    });
    const session = await koala.vae.component.session("direct", (p) => ({
      out: koala.vae.encode(p, input("image", [1, 3, { height: 8 }, { width: 8 }])),
    }));
    const keys = new Set(cache.keysByBucket.get("40x24"));
    for await (const { key, pixels, timeIds } of examples) {
      if (!keys.delete(key)) continue;
      const { out } = await session.run({ image: { data: pixels, shape: [1, 3, 40, 24] } });
      const read = await cache.read([key]);
      expect(read.encoded).toEqual(floatsOf(out));
      expect(read.latentShape).toEqual([4, 5, 3]);
      expect(read.timeIds).toEqual([timeIds]);
    }
    expect(keys.size).toBe(0);
    await koala.vae.component.release();
  });

  it.each(["koala-1b-tiny", "sd2-tiny"])(
    "gives the text embeddings that the pipeline of %s makes",
    async (name) => {
      await build(name, { components: name === "koala-1b-tiny" ? koala : await components(name) });
      const cache = await openCache(folder(name));
      const pipe = await DiffusionPipeline.fromPretrained(goldenFolder(`pipelines/${name}`), { threads: 1 });
      const embed = async (prompt: string) => {
        const request = { prompt, width: 64, height: 64, guidanceScale: 1, numInferenceSteps: 1 };
        return firstEmbeddings((await pipe.prepare(request)).conditions, 1);
      };
      try {
        const { captions } = await cache.read(["1.png", "3.png", "5.png"]);
        const expected = await embed("a red boat");
        expect(captions[0]!.promptEmbeds).toEqual(floatsOf(expected.prompt));
        expect(captions[0]!.pooled).toEqual(expected.pooled && floatsOf(expected.pooled));
        expect(captions[1]).toEqual(captions[0]);
        expect(captions[2]).not.toEqual(captions[0]);
        const empty = await embed("");
        expect(cache.empty.promptEmbeds).toEqual(floatsOf(empty.prompt));
        expect(cache.empty.pooled).toEqual(empty.pooled && floatsOf(empty.pooled));
        expect(cache.textShape).toEqual(expected.prompt.shape.slice(1));
        expect(cache.zeros.promptEmbeds).toEqual(new Float32Array(floatsOf(empty.prompt).length));
      } finally {
        await pipe.close();
      }
    },
  );

  it("keeps AutoencoderTiny's latents, which draw nothing", async () => {
    const tiny = await components("koala-1b-tiny", goldenFolder("pipelines/taesd-tiny"));
    await build("tiny", { components: tiny });
    const cache = await openCache(folder("tiny"));
    expect(cache.description).toMatchObject({ encodes: "latents", scalingFactor: tiny.vae.scalingFactor });
    const read = await cache.read(["1.png", "3.png"]);
    const generator = new Generator(1);
    expect(read.sample(generator)).toEqual(read.encoded.map((x) => x * tiny.vae.scalingFactor));
    expect(generator.state).toEqual(new Generator(1).state);
  });

  it("takes half the room in float16, rounded to nearest", async () => {
    await build("single");
    await build("half", { dtype: "float16" });
    const [single, half] = [await openCache(folder("single")), await openCache(folder("half"))];
    const [a, b] = [(await single.read(["2.png"])).encoded, (await half.read(["2.png"])).encoded];
    expect(b).not.toEqual(a);
    for (const [i, x] of a.entries())
      expect(Math.abs(b[i]! - x)).toBeLessThanOrEqual(Math.abs(x) * 2 ** -11 + 2 ** -25);
  });

  it("encodes a golden image to Diffusers' mean and log-variance", async () => {
    const golden = await openSafetensors(goldenFolder("stages/koala-1b-tiny.safetensors"));
    const pixels = await golden.readFloats("vae.encode.square.input");
    const { encoded } = await encodeExample(koala, { key: "g", pixels, size: { height: 32, width: 32 } });
    const mean = await golden.readFloats("vae.encode.square.mean");
    const logvar = await golden.readFloats("vae.encode.square.logvar");
    // The goldens' rule: 1e-4 of the largest value, which is near 10. Processors without AVX-512 are 7e-6 off.
    const wanted = [...mean, ...logvar];
    const largest = Math.max(...wanted.map(Math.abs));
    for (const [i, x] of wanted.entries())
      expect(Math.abs(encoded!.data[i]! - x) / largest).toBeLessThan(1e-4);
    await release(koala, "vae");
  });
});

describe("going on", () => {
  const small = { shardBytes: 40_000 };
  let whole: Record<string, string>;
  beforeAll(async () => {
    await build("uninterrupted", small);
    whole = await contents("uninterrupted");
    expect(Object.keys(whole).filter((name) => name.startsWith("text-")).length).toBeGreaterThan(1);
  });

  it("after an abort at each point, the cache is the uninterrupted one byte for byte", async () => {
    for (let stop = 1; stop <= 12; stop++) {
      const name = `aborted-${stop}`;
      const controller = new AbortController();
      let calls = 0;
      const onProgress = () => ++calls === stop && controller.abort();
      const first = build(name, { ...small, signal: controller.signal, onProgress });
      if (stop < 12) await expect(first).rejects.toThrow(Cancelled);
      else await first;
      const { encoded } = await build(name, small);
      expect(encoded.images + encoded.captions).toBe(12 - stop);
      expect(await contents(name)).toEqual(whole);
    }
  });

  it("after a death without goodbye, only the rows not yet written are encoded again", async () => {
    const onProgress = ({ stage, done }: { stage: string; done: number }) => {
      if (stage === "images" && done === 5) throw new Error("killed");
    };
    await expect(build("killed", { ...small, parkSeconds: 0, onProgress })).rejects.toThrow("killed");
    await writeFile(
      path.join(folder("killed"), `text-00009.safetensors.${crypto.randomUUID()}.partial`),
      "half",
    );
    await expect(openCache(folder("killed"))).rejects.toThrow(
      /must be a finished cache.*Run the same command/,
    );
    const { encoded } = await build("killed", small);
    expect(encoded).toEqual({ captions: 0, images: 2 });
    expect(await contents("killed")).toEqual(whole);
  });

  it("a finished cache loads no network, and takes up new images and captions alone", async () => {
    const own = folder("growing");
    await makeImageFolder(own);
    await rm(path.join(own, "6.png"));
    const grow = async () => buildCache(await cacheOptions(folder("grown"), own, koala));
    expect((await grow()).examples).toBe(5);
    expect((await grow()).encoded).toEqual({ images: 0, captions: 0 });
    await makeImageFolder(own);
    expect(await grow()).toMatchObject({ examples: 6, encoded: { images: 1, captions: 1 } });
    await rm(path.join(own, "1.png"));
    expect((await grow()).examples).toBe(5);
    expect((await openCache(folder("grown"))).keysByBucket.get("40x24")).toEqual(["3.png", "5.png"]);
  });
});

describe("an image that changed under its key", () => {
  /** The encodings of a new cache by key, and of one made before the data changed; how many images that one encoded. */
  async function fresh(name: string, own: string, keys: readonly string[], change: () => Promise<void>) {
    const options = async (to: string) => cacheOptions(folder(to), own, koala);
    const encodings = async (to: string) => {
      const cache = await openCache(folder(to));
      return Promise.all(keys.map(async (key) => (await cache.read([key])).encoded));
    };
    await buildCache(await options(`${name}-old`));
    await change();
    const { encoded } = await buildCache(await options(`${name}-old`));
    await buildCache(await options(`${name}-new`));
    return {
      images: encoded.images,
      old: await encodings(`${name}-old`),
      new: await encodings(`${name}-new`),
    };
  }

  it("is encoded anew, as a file that was overwritten", async () => {
    const own = folder("overwritten");
    await makeImageFolder(own);
    const [from, to] = [path.join(own, "1.png"), path.join(own, "5.png")];
    const found = await fresh("file", own, ["1.png", "3.png", "5.png"], () => copyFile(from, to));
    expect(found.images).toBe(1);
    expect(found.old).toEqual(found.new);
    expect(found.old[2]).toEqual(found.old[0]);
  });

  it("is encoded anew, as a member of a tar shard from which another was taken out", async () => {
    const shard = folder("shard.tar");
    const write = async (...images: string[]) => {
      const tar = pack();
      for (const [i, image] of images.entries()) {
        tar.entry({ name: `${i}.png` }, await readFile(path.join(data, image)));
        tar.entry({ name: `${i}.txt` }, `caption of ${image}`);
      }
      tar.finalize();
      await writeFile(shard, await buffer(tar));
    };
    await write("1.png", "3.png", "5.png");
    const keys = ["shard.tar#0", "shard.tar#1"];
    const found = await fresh("tar", shard, keys, () => write("3.png", "5.png"));
    expect(found.images).toBe(2);
    expect(found.old).toEqual(found.new);
  });
});

describe("a cache is refused", () => {
  beforeAll(() => build("kept").then(() => undefined));

  it("when other settings made it, each of which is told", async () => {
    const other = build("kept", {
      resolution: 64,
      buckets: [{ height: 64, width: 64 }],
      flip: true,
      seed: 3,
    });
    await expect(other).rejects.toThrow(InvalidRequest);
    await expect(other).rejects.toThrow(
      /resolution 32 \(now 64\), buckets 40x24 24x40 \(now 64x64\), flip false \(now true\), seed none \(now 3\)\. Choose another cacheFolder, or delete/,
    );
  });

  it("when other networks made it", async () => {
    const other = await components("koala-700m-tiny");
    await expect(build("kept", { components: other })).rejects.toThrow(
      /another vae, another text_encoder, another/,
    );
    const tiny = await components("koala-1b-tiny", goldenFolder("pipelines/taesd-tiny"));
    await expect(build("kept", { components: tiny })).rejects.toThrow(/made with another vae\. /);
  });

  it("when the data is another folder", async () => {
    const own = folder("elsewhere");
    await makeImageFolder(own);
    const options = await cacheOptions(folder("kept"), own, koala);
    await expect(buildCache(options)).rejects.toThrow(
      /data imagefolder .*data \(now imagefolder .*elsewhere\)/,
    );
  });

  it("when the folder holds other files, which stay", async () => {
    await expect(buildCache(await cacheOptions(data, data, koala))).rejects.toThrow(
      /must be a cache or an empty folder/,
    );
    expect(await readdir(data)).not.toContain("cache.json");
  });

  it("when a former version made it, which knew images by their key alone", async () => {
    await build("former");
    const file = path.join(folder("former"), "cache.json");
    const description = await readFile(file, "utf8");
    await writeFile(file, description.replace('"version": 2', '"version": 1'));
    await expect(build("former")).rejects.toThrow(
      `${file}: version: must be 2, whose images are known by their bytes, got 1. Delete the folder and run again`,
    );
  });

  it("when a side is no multiple of the autoencoder's factor", async () => {
    await expect(build("odd", { resolution: 100, buckets: [{ height: 100, width: 64 }] })).rejects.toThrow(
      "resolution: must be a multiple of 8, the autoencoder's pixels per latent, got 100. Nearest: 104.",
    );
  });
});

describe("a shard", () => {
  it("that was cut short is named by reader and builder, and deleting it heals the cache", async () => {
    await build("cut", { shardBytes: 40_000 });
    const before = await contents("cut");
    const shard = path.join(folder("cut"), "text-00001.safetensors");
    await truncate(shard, 1000);
    for (const use of [openCache(folder("cut")), build("cut", { shardBytes: 40_000 })]) {
      const error = await use.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(ModelError);
      expect((error as ModelError).file).toBe(shard);
      expect((error as ModelError).message).toMatch(
        /is not whole: .*cut short.*Delete this file and run again/,
      );
    }
    await rm(shard);
    await expect(openCache(folder("cut"))).rejects.toThrow(
      /text-00001.safetensors: must be there, got nothing/,
    );
    await build("cut", { shardBytes: 40_000 });
    expect(await contents("cut")).toEqual(before);
  });
});
