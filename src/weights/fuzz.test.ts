/** @file Seeded mutations of the kinds of downloaded files: each is read right, or a ModelError. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { parseJsonObject } from "../files/json.js";
import { jsonFault } from "../files/json-scan.js";
import { unetFamily } from "../models/family.js";
import { clipsIn } from "../models/infer-clip.js";
import { unetTopology } from "../models/infer-unet.js";
import { clipPart, shapesBelow, unetPrefix, vaePart } from "../pipeline/single-file/parts.js";
import { adapterKinds } from "./adapter-kinds.js";
import { dtypeSizes, type FloatDtype, toFloat32, viewStored } from "./dtype.js";
import { embeddingIn, readVectors } from "./embedding.js";
import { modelIndex, shardIndex } from "./index-file.js";
import { loraIn, shapesOf } from "./lora.js";
import { parseHeader, serialize, type TensorEntry } from "./safetensors.js";
import type { SafetensorsFile } from "./safetensors-file.js";

const pipelines = new URL("../../golden/data/pipelines/", import.meta.url).pathname;
const golden = new URL("../../golden/data/", import.meta.url).pathname;
/** Milliseconds of processor time: that of the clock depends on what else runs. */
const slowest = 1000;

type Draw = (below: number) => number;

/** Marsaglia's xorshift32: integers below `below`, the same for the same seed. */
function generator(seed: number): Draw {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const numbers = ["-1", "0", "1", "4", "8", "1.5", "1e3", "1e400", "9007199254740993", "4294967296", "-0"];
const values = [...numbers, "null", "[]", "{}", '""', '"F16"', '"__proto__"', '"../x"', '"\\ud800"', "[[[["];

/** Changes bytes, or a number or a word of the JSON, so that deeper checks are reached too. */
function mutate(bytes: Uint8Array, draw: Draw, textStart: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  switch (draw(6)) {
    case 0:
      copy[draw(copy.length)]! ^= 1 << draw(8);
      return copy;
    case 1:
      return copy.subarray(0, draw(copy.length));
    case 2:
      copy[draw(Math.min(8, copy.length))] = draw(256);
      return copy;
    case 3:
      return Buffer.concat([copy, new Uint8Array(draw(20))]);
    default:
      return editText(copy, draw, textStart);
  }
}

function editText(bytes: Uint8Array, draw: Draw, textStart: number): Uint8Array {
  const end = textStart ? textStart + Number(new DataView(bytes.buffer).getBigUint64(0, true)) : bytes.length;
  const text = Buffer.from(bytes.subarray(textStart, end)).toString("latin1");
  const tokens = [...text.matchAll(draw(2) ? /-?\d+/g : /"[^"]*"|\[[^\]]*\]|[{}[\],:]/g)];
  if (!tokens.length) return bytes;
  const { 0: old, index } = tokens[draw(tokens.length)]!;
  const other = draw(3) ? values[draw(values.length)]! : tokens[draw(tokens.length)]![0];
  const edited = Buffer.from(text.slice(0, index) + other + text.slice(index + old.length), "latin1");
  const prefix = bytes.slice(0, textStart);
  if (textStart) new DataView(prefix.buffer).setBigUint64(0, BigInt(edited.length), true);
  return Buffer.concat([prefix, edited, bytes.subarray(end)]);
}

/** Reads `runs` mutations of `seed`; counts those accepted, and lets nothing but a ModelError pass. */
function fuzz(seed: Uint8Array, runs: number, textStart: number, read: (bytes: Uint8Array) => void) {
  const draw = generator(20261122);
  const found = { accepted: 0, refused: 0, slowest: 0 };
  for (let run = 0; run < runs; run++) {
    let bytes = mutate(seed, draw, textStart);
    if (draw(4) === 0 && bytes.length > 16) bytes = mutate(bytes, draw, 0);
    const before = process.cpuUsage();
    try {
      read(bytes);
      found.accepted++;
    } catch (error) {
      checkRefusal(error, run);
      found.refused++;
    }
    const { user, system } = process.cpuUsage(before);
    found.slowest = Math.max(found.slowest, (user + system) / 1000);
  }
  return found;
}

/** The same of a reader of files, which are in memory here. */
async function fuzzFile(seed: Uint8Array, runs: number, read: (file: SafetensorsFile) => Promise<void>) {
  const draw = generator(20261129);
  const found = { accepted: 0, refused: 0 };
  for (let run = 0; run < runs; run++) {
    try {
      await read(inMemory(mutate(seed, draw, 8)));
      found.accepted++;
    } catch (error) {
      checkRefusal(error, run);
      found.refused++;
    }
  }
  return found;
}

/** A file as `openSafetensors` gives it. */
function inMemory(bytes: Uint8Array): SafetensorsFile {
  const header = parseHeader(bytes, bytes.length, "x");
  const of = (name: string) => header.tensors.get(name)!;
  return {
    ...{ ...header, path: "x", size: bytes.length },
    read: async (name) => viewStored(dataOf(bytes, of(name)), of(name).dtype),
    readFloats: async (name) => toFloat32(dataOf(bytes, of(name)), of(name).dtype as FloatDtype),
  };
}

const dataOf = (bytes: Uint8Array, { offset, length }: TensorEntry): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(bytes.subarray(offset, offset + length));

/** Lets nothing but a ModelError of few words pass. */
function checkRefusal(error: unknown, run: number): void {
  if (!(error instanceof ModelError)) throw new Error(`run ${run} threw something else`, { cause: error });
  if (error.message.length > 600)
    throw new Error(`run ${run}: message of ${error.message.length} characters`);
}

/** A file with a tensor of every kind of adapter and of what goes with them. */
function adapterFile(): Uint8Array {
  const f16 = (shape: number[]) => {
    return { dtype: "F16" as const, shape, data: new Uint8Array(2 * shape.reduce((a, b) => a * b, 1)) };
  };
  const shapes = {
    "lora_unet_a.lora_down.weight": [2, 4],
    "lora_unet_a.lora_up.weight": [4, 2],
    "lora_unet_a.alpha": [],
    "lora_unet_a.dora_scale": [4, 1],
    "lora_unet_b.hada_w1_a": [4, 2],
    "lora_unet_b.hada_w1_b": [2, 4],
    "lora_unet_b.hada_w2_a": [4, 2],
    "lora_unet_b.hada_w2_b": [2, 4],
    "lora_te1_c.lokr_w1": [2, 2],
    "lora_te1_c.lokr_w2": [2, 2],
    "lora_te2_d.diff": [4],
    "lora_te2_d.diff_b": [4],
    "bundle_emb.fox.clip_l": [2, 4],
  };
  return serialize(new Map(Object.entries(shapes).map(([name, shape]) => [name, f16(shape)])));
}

/** A file with some of a single file's names, of every part, and tensors of few bytes. */
function singleFileHeader(names: readonly string[]): Uint8Array {
  const wanted =
    /input_blocks\.[0134]\.|output_blocks\.[01]\.0\.|out\.2|label_emb|resblocks\.0\.|token_embedding|positional|text_projection|attn_1|conv_in/;
  const few = names.filter((name) => wanted.test(name)).filter((_, i) => i % 12 === 0);
  const shape = (name: string) =>
    /in_proj/.test(name) ? [6, 2] : /\.weight$|projection|embedding/.test(name) ? [2, 2] : [2];
  return serialize(
    new Map(
      few.map((name) => {
        const own = shape(name);
        const data = new Uint8Array(2 * own.reduce((a, b) => a * b, 1));
        return [name, { dtype: "F16" as const, shape: own, data }];
      }),
    ),
  );
}

describe("the readers of model files", () => {
  it("read 6000 mutated safetensors files to tensors that tile the data exactly, or refuse them", () => {
    const tensor = (dtype: "F16" | "F32" | "U8", shape: number[], bytes: number) => {
      return { dtype, shape, data: new Uint8Array(bytes) };
    };
    const seed = serialize(
      new Map([
        ["conv_in.weight", tensor("F32", [2, 3], 24)],
        ["conv_in.bias", tensor("F16", [4], 8)],
        ["empty", tensor("U8", [0, 5], 0)],
        ["scale", tensor("U8", [], 1)],
      ]),
    );
    const found = fuzz(seed, 6000, 8, (bytes) => {
      const { tensors, metadata } = parseHeader(bytes, bytes.length, "x");
      let end = 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
      for (const { dtype, shape, offset, length } of [...tensors.values()].sort(
        (a, b) => a.offset - b.offset || a.length - b.length,
      )) {
        expect(offset).toBe(end);
        expect(length).toBe(shape.reduce((product, n) => product * n, dtypeSizes[dtype]));
        end += length;
      }
      expect(end).toBe(bytes.length);
      expect(Object.values(metadata).every((value) => typeof value === "string")).toBe(true);
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(3000);
    expect(found.slowest).toBeLessThan(slowest);
  });

  it("tell what 6000 mutated single files are, or refuse them", () => {
    const names = readFileSync(
      new URL("../../golden/data/single/maps/koala-700m-tiny.json", import.meta.url),
    );
    const seed = singleFileHeader(Object.keys(JSON.parse(String(names)) as object));
    const found = fuzz(seed, 6000, 8, (bytes) => {
      const { tensors } = parseHeader(bytes, bytes.length, "x");
      const set = {
        tensors: new Map([...tensors].map(([name, t]) => [name, { ...t, file: "x" }])),
        files: ["x"],
        totalBytes: 0,
      };
      const parts = [vaePart(set), ...clipsIn(tensors.keys()).map((clip) => clipPart(set, clip))];
      const topology = unetTopology(shapesBelow(set, unetPrefix(set) ?? ""));
      if (topology) unetFamily(topology);
      const ends = parts.flatMap((part) =>
        [...(part?.tensors.values() ?? [])].map((t) => t.offset + t.length),
      );
      if (Math.max(0, ...ends) > bytes.length) throw new Error("a part reaches beyond the file");
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(3000);
  }, 60_000);

  it("read 2000 mutated adapters to whole layers with finite scales and shapes, or refuse them", async () => {
    const found = await fuzzFile(adapterFile(), 2000, async (file) => {
      for (const { kind, tensors, scale } of (await loraIn("x", file)).layers) {
        expect(Number.isFinite(scale)).toBe(true);
        if (Object.keys(tensors).length === 0) continue;
        const shape = adapterKinds[kind].shape(shapesOf(tensors));
        expect(shape === undefined || shape.every(Number.isInteger)).toBe(true);
      }
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(1000);
  }, 60_000);

  it("read 2000 mutated embeddings to finite vectors of one token, or refuse them", async () => {
    const seed = readFileSync(`${golden}embeddings/koala-1b-tiny-badmix.safetensors`);
    const found = await fuzzFile(seed, 2000, async (file) => {
      const { token, tensors } = embeddingIn("x", file);
      expect(token).not.toBe("");
      for (const tensor of tensors.values()) {
        const vectors = await readVectors(tensor, (key) => file.readFloats(key));
        expect(vectors).toHaveLength(tensor.shape.reduce((a, b) => a * b, 1));
        expect(vectors.every(Number.isFinite)).toBe(true);
      }
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(1000);
  }, 60_000);

  it("read 1500 mutated shard indexes to file names inside the folder, or refuse them", () => {
    const map = { weight_map: { "conv_in.weight": "a-1.safetensors", "conv_in.bias": "b/a-2.safetensors" } };
    const seed = Buffer.from(JSON.stringify({ metadata: { total_size: 12 }, ...map }, undefined, 2));
    const found = fuzz(seed, 1500, 0, (bytes) => {
      const shards = shardIndex(parseJsonObject(bytes, "x"), "x");
      expect(shards.size).toBeGreaterThan(0);
      for (const file of shards.values()) expect(resolve("/model", file)).toMatch(/^\/model\/./);
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(500);
    expect(found.slowest).toBeLessThan(slowest);
  });

  it("read 1500 mutated model indexes to named parts inside the folder, or refuse them", () => {
    const seed = readFileSync(`${pipelines}koala-700m-tiny/model_index.json`);
    const found = fuzz(seed, 1500, 0, (bytes) => {
      const { className, components: parts } = modelIndex(parseJsonObject(bytes, "x"), "x");
      expect(typeof className).toBe("string");
      for (const [name, part] of parts) {
        expect(name).not.toMatch(/^\.{0,2}$|[\\/:\0]/);
        expect([typeof part.library, typeof part.className]).toEqual(["string", "string"]);
      }
    });
    expect(found.accepted).toBeGreaterThan(100);
    expect(found.refused).toBeGreaterThan(500);
    expect(found.slowest).toBeLessThan(slowest);
  });

  it("accept a JSON text exactly when JSON.parse does, over 6000 mutated texts", () => {
    const valid = ' {"a":[1,-0.5e+3,true,null,{}],"b\\u00e9\\n":{"c":[[],""],"d":false},"e":"x\\\\\\""}\n';
    const found = { valid: 0, invalid: 0 };
    const draw = generator(7);
    for (let run = 0; run < 6000; run++) {
      const text = Buffer.from(mutate(Buffer.from(valid), draw, 0)).toString("latin1");
      const fault = jsonFault(text);
      if (fault && "duplicate" in fault) continue;
      let parses = true;
      try {
        JSON.parse(text);
      } catch {
        parses = false;
      }
      found[parses ? "valid" : "invalid"]++;
      expect(fault === undefined, text).toBe(parses);
    }
    expect(Math.min(found.valid, found.invalid)).toBeGreaterThan(1000);
  });

  it("refuse a header that is nested a million deep, or that claims 100 MB, without running out of memory", () => {
    const deep = Buffer.from(`{"a":${"[".repeat(1e6)}`);
    expect(() => parseJsonObject(deep, "x")).toThrow(ModelError);
    const closed = Buffer.from(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`);
    expect(() => shardIndex(parseJsonObject(closed, "x"), "x")).toThrow(ModelError);
    const claims = new Uint8Array(24);
    new DataView(claims.buffer).setBigUint64(0, 99_999_999n, true);
    const before = process.memoryUsage().rss;
    expect(() => parseHeader(claims, claims.length, "x")).toThrow(/got a file of 24 bytes/);
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
  });
});
