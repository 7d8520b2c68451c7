/** @file Finding a part's weights in every layout a download may have, on the golden pipelines and made folders. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { readJson } from "../files/file-system.js";
import { readFloats, readTensor, resolveWeights } from "./component.js";
import { parseHeader, serialize } from "./safetensors.js";
import { openSafetensors, writeSafetensors } from "./safetensors-file.js";
import { renamed } from "./weight-set.js";

const golden = new URL("../../golden/data/", import.meta.url).pathname;
const pipelines = join(golden, "pipelines");
const sharded = join(pipelines, "koala-700m-tiny/unet");
const root = realpathSync(mkdtempSync(join(tmpdir(), "weights-")));
afterAll(() => rmSync(root, { recursive: true }));

const one = (...values: number[]) => ({
  dtype: "F32" as const,
  shape: [values.length],
  data: new Float32Array(values),
});
const bytes = (name: string, ...values: number[]) => serialize(new Map([[name, one(...values)]]));

/** A folder holding these files, made anew for each call. */
function made(files: Record<string, string | Uint8Array>): string {
  const folder = mkdtempSync(join(root, "part-"));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}
const index = (map: Record<string, string>) => JSON.stringify({ metadata: {}, weight_map: map });

describe("the golden pipelines", () => {
  it("give one plain file where there is one", async () => {
    const set = await resolveWeights(join(pipelines, "koala-1b-tiny/unet"));
    expect(set.tensors.size).toBe(790);
    expect(set.files.map((f) => basename(f))).toEqual(["diffusion_pytorch_model.safetensors"]);
    expect(set).not.toHaveProperty("variant");
  });

  it("give the only variant there is, and name it", async () => {
    const set = await resolveWeights(join(pipelines, "koala-700m-tiny/text_encoder"));
    expect(set.variant).toBe("fp16");
    expect(set).toEqual(
      await resolveWeights(join(pipelines, "koala-700m-tiny/text_encoder"), { variant: "fp16" }),
    );
  });

  it("give all shards of an index, whose total_size is the bytes found", async () => {
    const set = await resolveWeights(sharded);
    const json = await readJson(join(sharded, "diffusion_pytorch_model.safetensors.index.fp16.json"));
    const { metadata, weight_map } = json as {
      metadata: { total_size: number };
      weight_map: Record<string, string>;
    };
    expect(set.variant).toBe("fp16");
    expect(set.files).toHaveLength(4);
    expect(set.totalBytes).toBe(metadata.total_size);
    const found = Object.fromEntries([...set.tensors].map(([name, { file }]) => [name, basename(file)]));
    expect(found).toEqual(weight_map);
  });

  it.each<[string, string, string, number[], number]>([
    [
      "BF16",
      "pipelines/sdxl-tiny/text_encoder_2/model.safetensors",
      "text_projection.weight",
      [-0.2275390625, 0.09521484375, -0.212890625],
      2.37790584564209,
    ],
    [
      "F16",
      "pipelines/koala-700m-tiny/unet/diffusion_pytorch_model.fp16-00001-of-00004.safetensors",
      "conv_in.weight",
      [-0.1019287109375, 0.01727294921875, 0.33642578125],
      -3.8289204835891724,
    ],
    [
      "F32",
      "pipelines/sd2-tiny/unet/diffusion_pytorch_model.safetensors",
      "conv_in.weight",
      [-0.30434104800224304, 0.11970903724431992, -0.01857578568160534],
      3.019619543571025,
    ],
    [
      "F64",
      "random.safetensors",
      "mixed.-1.10.randn64_5",
      [-1.1356946229934692, -0.5084064602851868, -0.39935702085494995],
      -1.7668116390705109,
    ],
  ])("hold %s tensors that widen to the values PyTorch reads", async (dtype, path, name, first, sum) => {
    const set = await resolveWeights(join(golden, path));
    expect(set.tensors.get(name)!.dtype).toBe(dtype);
    const values = await readFloats(set, name);
    expect([...values.subarray(0, 3)]).toEqual(first);
    expect(values.reduce((total, x) => total + x, 0)).toBeCloseTo(sum, 10);
  });

  it("hold integer tensors, which are read as they are and not as floats", async () => {
    const set = await resolveWeights(join(pipelines, "sd2-tiny/text_encoder"));
    const ids = await readTensor(set, "text_model.embeddings.position_ids");
    expect(ids).toEqual(BigInt64Array.from({ length: 77 }, (_, i) => BigInt(i)));
    await expect(readFloats(set, "text_model.embeddings.position_ids")).rejects.toThrow(
      /float dtype, got I64/,
    );
  });
});

describe("a folder's layout", () => {
  const a = bytes("a", 1);
  const b = bytes("b", 2, 3);

  it.each(["model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"])(
    "is sharded with %s",
    async (name) => {
      const folder = made({
        [name]: index({ a: "x.safetensors", b: "y.safetensors" }),
        "x.safetensors": a,
        "y.safetensors": b,
      });
      const set = await resolveWeights(folder);
      expect([...set.tensors.keys()]).toEqual(["a", "b"]);
      expect(await readFloats(set, "b")).toEqual(new Float32Array([2, 3]));
      expect(set).not.toHaveProperty("variant");
    },
  );

  it.each([
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
  ])("is a sharded variant with %s", async (name) => {
    const set = await resolveWeights(made({ [name]: index({ a: "x.safetensors" }), "x.safetensors": a }));
    expect(set.variant).toBe("fp16");
  });

  it("prefers plain files to a variant that nobody asked for", async () => {
    const folder = made({ "model.fp16.safetensors": a, "model.safetensors": b });
    expect([...(await resolveWeights(folder)).tensors.keys()]).toEqual(["b"]);
    const fp16 = await resolveWeights(folder, { variant: "fp16" });
    expect([...fp16.tensors.keys()]).toEqual(["a"]);
  });

  it("may be a single file of any name", async () => {
    const set = await resolveWeights(join(pipelines, "lightning/sdxl_lightning_4step_unet.safetensors"));
    expect(set.tensors.size).toBe(840);
  });

  it("may be links into blobs, as in the Hugging Face cache; the real path is recorded", async () => {
    const cache = mkdtempSync(join(root, "cache-"));
    const part = join(cache, "snapshots/abc/unet");
    mkdirSync(join(cache, "blobs"));
    mkdirSync(part, { recursive: true });
    writeFileSync(join(cache, "blobs/0123"), a);
    symlinkSync("../../../blobs/0123", join(part, "diffusion_pytorch_model.safetensors"));
    const set = await resolveWeights(part);
    expect(set.files).toEqual([join(cache, "blobs/0123")]);
    expect(set.tensors.get("a")!.file).toBe(join(cache, "blobs/0123"));
    rmSync(join(cache, "blobs/0123"));
    await expect(resolveWeights(part)).rejects.toThrow(/a link to ..\/..\/..\/blobs\/0123, which is absent/);
  });

  it.each<[string, Record<string, string | Uint8Array>, { variant?: string }, RegExp]>([
    ["an absent variant", { "model.safetensors": a }, { variant: "fp16" }, /variant "fp16", got plain files/],
    [
      "a choice of variants",
      { "model.fp16.safetensors": a, "model.bf16.safetensors": a },
      {},
      /several variants, got variant "bf16" and variant "fp16"\. Name/,
    ],
    ["an empty folder", {}, {}, /got an empty folder/],
    ["a folder without weights", { "config.json": "{}" }, {}, /got "config.json"\. Download the weights/],
    [
      "a checkpoint of another name",
      { "v1.safetensors": a },
      {},
      /got "v1.safetensors"\. Pass the path of the file/,
    ],
    ["shards without an index", { "model-00001-of-00002.safetensors": a }, {}, /without their index/],
    [
      "only pickle files",
      { "pytorch_model.bin": "x" },
      {},
      /pytorch_model.bin: must be .* pickle .* runs code/,
    ],
    [
      "an absent shard",
      {
        "model.safetensors.index.json": index({ a: "x.safetensors", b: "y.safetensors" }),
        "x.safetensors": a,
      },
      {},
      /missing 1 of 2 shards: "y.safetensors"/,
    ],
    [
      "a tensor absent from its shard",
      {
        "model.safetensors.index.json": index({ a: "x.safetensors", b: "x.safetensors" }),
        "x.safetensors": a,
      },
      {},
      /missing 1 of 2 tensors .*: "b"/,
    ],
    [
      "a tensor in two shards",
      {
        "model.safetensors.index.json": index({ a: "x.safetensors", b: "y.safetensors" }),
        "x.safetensors": a,
        "y.safetensors": serialize(
          new Map([
            ["a", one(1)],
            ["b", one(2)],
          ]),
        ),
      },
      {},
      /"a" must be in one shard/,
    ],
    [
      "an index that leaves the folder",
      { "model.safetensors.index.json": index({ a: "../x.safetensors" }) },
      {},
      /inside this folder for "a", got "..\/x.safetensors"/,
    ],
    [
      "an index with an absolute path",
      { "model.safetensors.index.json": index({ a: "/etc/passwd" }) },
      {},
      /inside this folder/,
    ],
    [
      "an index with a Windows path",
      { "model.safetensors.index.json": index({ a: "..\\x.safetensors" }) },
      {},
      /inside this folder/,
    ],
    [
      "an index of pickle shards",
      { "model.safetensors.index.json": index({ a: "x.bin" }), "x.bin": "PK" },
      {},
      /x.bin: must be a .safetensors file/,
    ],
    [
      "an index without a map",
      { "model.safetensors.index.json": "{}" },
      {},
      /"weight_map" object, got nothing/,
    ],
    [
      "a broken index",
      { "model.safetensors.index.json": '{\n"weight_map": {,' },
      {},
      /index.json: the file is not valid JSON: unexpected ",".* line 2, column 16/,
    ],
  ])("refuses %s", async (_, files, options, message) => {
    const error = await resolveWeights(made(files), options).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as Error).message).toMatch(message);
  });

  it("refuses a path that is absent, or a pickle checkpoint", async () => {
    await expect(resolveWeights(join(root, "absent"))).rejects.toThrow(/absent: no such file/);
    await expect(resolveWeights(join(root, "model.ckpt"))).rejects.toThrow(/pickle checkpoint/);
  });
});

describe("renaming", () => {
  it("keeps place and data, leaves out what has no name, and counts the bytes again", async () => {
    const folder = made({
      "model.safetensors": serialize(
        new Map([
          ["x.a", one(1)],
          ["x.b", one(2)],
          ["y", one(3)],
        ]),
      ),
    });
    const set = renamed(await resolveWeights(folder), (n) => (n.startsWith("x.") ? n.slice(2) : undefined));
    expect([...set.tensors.keys()]).toEqual(["a", "b"]);
    expect(set.totalBytes).toBe(8);
    expect(await readFloats(set, "b")).toEqual(new Float32Array([2]));
    await expect(readFloats(set, "y")).rejects.toThrow(/missing "y" among 2 tensors/);
    expect(() => renamed(set, () => "same")).toThrow(/must not share a name, got "same" for "b"/);
  });
});

describe("files", () => {
  it("are written tensor by tensor to the bytes that one piece in memory has", async () => {
    const path = join(root, "written.safetensors");
    const source = readFileSync(join(sharded, "diffusion_pytorch_model.fp16-00004-of-00004.safetensors"));
    const { tensors, metadata } = parseHeader(source, source.length, "x");
    const lazily = [...tensors].map(([name, { dtype, shape, offset, length }]) => {
      return [name, { dtype, shape, data: async () => source.subarray(offset, offset + length) }] as const;
    });
    await writeSafetensors(path, new Map(lazily), { metadata });
    expect(Buffer.compare(readFileSync(path), source)).toBe(0);
  });

  it("keep their old content when writing fails half way", async () => {
    const path = join(made({ "a.safetensors": bytes("a", 1) }), "a.safetensors");
    const failing = new Map([["a", { ...one(1), data: () => Promise.reject(new Error("no more")) }]]);
    await expect(writeSafetensors(path, failing)).rejects.toThrow("no more");
    expect(await (await openSafetensors(path)).readFloats("a")).toEqual(new Float32Array([1]));
    await expect(writeSafetensors(join(root, "no/a.safetensors"), new Map())).rejects.toThrow(/got ENOENT/);
  });

  it("that were cut short while a tensor is read are told as such", async () => {
    const folder = made({ "model.safetensors": bytes("a", 1, 2, 3) });
    const set = await resolveWeights(folder);
    copyFileSync(join(made({ x: bytes("a", 1) }), "x"), join(folder, "model.safetensors"));
    await expect(readFloats(set, "a")).rejects.toThrow(
      /model.safetensors: must hold bytes \d+ to \d+, got a file/,
    );
  });

  it("of JSON name themselves when absent, broken or no object", async () => {
    await expect(readJson(join(root, "none.json"))).rejects.toThrow(/none.json: no such file/);
    await expect(readJson(join(made({ "a.json": "[1]" }), "a.json"))).rejects.toThrow(
      /JSON object, got a list of 1/,
    );
    await expect(readJson(root)).rejects.toThrow(/must be a file, got a folder/);
  });
});
