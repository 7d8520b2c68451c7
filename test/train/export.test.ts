/** @file The exported folder: complete, ours alone to replace, and generated from. */

import {
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvalidRequest, ModelError } from "../../src/errors.js";
import { readJson } from "../../src/files/file-system.js";
import type { JsonObject } from "../../src/files/json.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { type ExportOptions, exportModel, type Weights } from "../../src/train/export.js";
import { initialisation, unetWeights } from "../../src/train/initialisation.js";
import { studentConfig } from "../../src/train/student.js";
import { readFloats, resolveWeights } from "../../src/weights/component.js";
import { serialize, type TensorData } from "../../src/weights/safetensors.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import { goldenFolder } from "../cache-data.js";

const teacher = goldenFolder("pipelines/sdxl-tiny");
type Weight = { shape: readonly number[]; data: Float32Array };
let at: string;
let student: { config: JsonObject; weights: Weights };
const folder = (name: string) => path.join(at, name);
beforeAll(async () => {
  at = await mkdtemp(path.join(tmpdir(), "koala-export-"));
  student = await studentOf("koala-1b");
});
afterAll(() => rm(at, { recursive: true }));

/** A student as distillation begins with it. */
async function studentOf(name: "koala-1b" | "koala-700m") {
  const theirs = await readJson(path.join(teacher, "unet", "config.json"));
  const config = studentConfig(theirs, name);
  const set = await resolveWeights(path.join(teacher, "unet"));
  const map = initialisation(unetConfig(config), unetConfig(theirs));
  const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [path, shape] of unetWeights(unetConfig(config)))
    weights.set(path, { shape, data: await readFloats(set, map.get(path)!) });
  return { config, weights };
}

const write = (output: string, change: Partial<ExportOptions> = {}) =>
  exportModel({ teacher, unetConfig: student.config, weights: student.weights, output, ...change });

const doubled = (weights: Weights): Weights =>
  new Map([...weights].map(([k, { shape, data }]) => [k, { shape, data: data.map((x) => 2 * x) }]));

async function generate(output: string) {
  const pipe = await DiffusionPipeline.fromPretrained(output, { threads: 1 });
  try {
    const request = { prompt: "a red bicycle", width: 64, height: 64, numInferenceSteps: 2, seed: 1 };
    return (await pipe.generate(request)).images[0]!.data;
  } finally {
    await pipe.close();
  }
}

async function files(output: string): Promise<string[]> {
  const entries = await readdir(output, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(output, path.join(entry.parentPath, entry.name)))
    .sort();
}

describe("an exported model", () => {
  const modelDefaults = { steps: 2, guidance: 3 };

  it("has every file of the teacher, the student's U-Net, and generates", async () => {
    await write(folder("complete"), { modelDefaults });
    expect(await files(folder("complete"))).toEqual(
      [".koala-export.json", "koala.json", ...(await files(teacher))].sort(),
    );
    const written = await readJson(path.join(folder("complete"), "unet", "config.json"));
    expect(written).toEqual(student.config);
    expect(written).toMatchObject({
      _class_name: "UNet2DConditionModel",
      _diffusers_version: "0.19.0.dev0",
      layers_per_block: 1,
    });
    const unet = await openSafetensors(
      path.join(folder("complete"), "unet", "diffusion_pytorch_model.safetensors"),
    );
    expect(unet.metadata).toEqual({ format: "pt" });
    expect([...unet.tensors.keys()].sort()).toEqual([...student.weights.keys()].sort());
    for (const [name, { data }] of student.weights) expect(await unet.readFloats(name)).toEqual(data);
    const image = await generate(folder("complete"));
    expect(new Set(image).size).toBeGreaterThan(10);
  });

  it("is replaced in its trained weights alone, and generates otherwise afterwards", async () => {
    const output = folder("again");
    await write(output);
    const before = await generate(output);
    await writeFile(path.join(output, "vae", "note.txt"), "kept");
    const inode = (await stat(path.join(output, "vae", "config.json"))).ino;
    await write(output, { weights: doubled(student.weights) });
    expect((await stat(path.join(output, "vae", "config.json"))).ino).toBe(inode);
    expect(await readFile(path.join(output, "vae", "note.txt"), "utf8")).toBe("kept");
    expect(await generate(output)).not.toEqual(before);
    expect((await readdir(at)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  it("takes float16 and trained text encoders in place of the teacher's", async () => {
    const output = folder("trained");
    const set = await resolveWeights(path.join(teacher, "text_encoder"));
    const encoder = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, { shape }] of set.tensors)
      if (!name.endsWith("position_ids")) encoder.set(name, { shape, data: await readFloats(set, name) });
    const textEncoders = new Map([["text_encoder", doubled(encoder)]]);
    await write(folder("half"), { dtype: "float16" });
    await write(output, { textEncoders });
    const unet = await openSafetensors(
      path.join(folder("half"), "unet", "diffusion_pytorch_model.safetensors"),
    );
    expect(new Set([...unet.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F16"]));
    const written = await openSafetensors(path.join(output, "text_encoder", "model.safetensors"));
    const name = "text_model.final_layer_norm.weight";
    expect(await written.readFloats(name)).toEqual(encoder.get(name)!.data.map((x) => 2 * x));
    encoder.delete(name);
    await expect(
      write(folder("short"), { textEncoders: new Map([["text_encoder", encoder]]) }),
    ).rejects.toThrow(/text_encoder: must hold the .* missing "text_model.final_layer_norm.weight"/);
  });

  it("takes a trained text encoder whose teacher's names have no text_model, as Transformers 5 writes them", async () => {
    const parameters = folder("flat-teacher");
    await cp(teacher, parameters, { recursive: true, dereference: true });
    const set = await resolveWeights(path.join(teacher, "text_encoder"));
    const [trained, stored] = [new Map<string, Weight>(), new Map<string, TensorData>()];
    for (const [name, { shape }] of set.tensors) {
      if (name.endsWith("position_ids")) continue;
      const data = await readFloats(set, name);
      trained.set(name, { shape, data });
      stored.set(name.replace(/^text_model\./, ""), { dtype: "F32", shape, data });
    }
    await writeFile(path.join(parameters, "text_encoder", "model.safetensors"), serialize(stored));
    const output = folder("of-flat");
    const textEncoders = new Map([["text_encoder", trained]]);
    await write(output, { teacher: parameters, textEncoders, modelDefaults });
    expect(await generate(output)).toEqual(await generate(folder("complete")));
  });

  it("links share the teacher's files where asked for, copies do not", async () => {
    const own = folder("own-teacher");
    await cp(teacher, own, { recursive: true });
    const vae = (root: string) => stat(path.join(root, "vae", "diffusion_pytorch_model.safetensors"));
    await write(folder("linked"), { teacher: own, link: true });
    expect((await vae(folder("linked"))).ino).toBe((await vae(own)).ino);
    await write(folder("copied"), { teacher: own });
    expect((await vae(folder("copied"))).ino).not.toBe((await vae(own)).ino);
  });

  it("holds real files where the teacher's are a Hub cache's links", async () => {
    const [root, blobs] = [folder("snapshot"), folder("blobs")];
    await cp(teacher, root, { recursive: true });
    await mkdir(blobs);
    for (const [i, name] of (await files(root)).entries()) {
      await rename(path.join(root, name), path.join(blobs, `blob${i}`));
      await symlink(path.join(blobs, `blob${i}`), path.join(root, name));
    }
    await write(folder("unlinked"), { teacher: root });
    for (const name of await files(folder("unlinked")))
      expect((await lstat(path.join(folder("unlinked"), name))).isFile()).toBe(true);
    expect(await files(folder("unlinked"))).toEqual([".koala-export.json", ...(await files(teacher))]);
    expect((await generate(folder("unlinked"))).length).toBe(64 * 64 * 3);
  });

  it("takes one variant of the weights, by plain names, and marks absent parts", async () => {
    const own = folder("variants");
    await cp(teacher, own, { recursive: true });
    const vae = path.join(own, "vae");
    await rename(
      path.join(vae, "diffusion_pytorch_model.safetensors"),
      path.join(vae, "diffusion_pytorch_model.fp16.safetensors"),
    );
    await writeFile(path.join(own, "text_encoder", "model.fp16.safetensors"), "another precision");
    await writeFile(path.join(own, "text_encoder", "pytorch_model.bin"), "pickle");
    const index = await readJson(path.join(own, "model_index.json"));
    const named = { ...index, image_encoder: ["transformers", "CLIPVisionModelWithProjection"] };
    await writeFile(path.join(own, "model_index.json"), JSON.stringify(named));
    await write(folder("plain"), { teacher: own });
    expect(await files(folder("plain"))).toEqual([".koala-export.json", ...(await files(teacher))]);
    expect(await readJson(path.join(folder("plain"), "model_index.json"))).toEqual({
      ...index,
      image_encoder: [null, null],
    });
  });

  it("renames a variant's shards in their index too", async () => {
    const own = folder("sharded");
    await cp(teacher, own, { recursive: true });
    const vae = path.join(own, "vae");
    await rm(path.join(vae, "diffusion_pytorch_model.safetensors"));
    const from = path.join(teacher, "vae", "diffusion_pytorch_model.safetensors");
    const shard = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors";
    await cp(from, path.join(vae, shard));
    const names = [...(await openSafetensors(from)).tensors.keys()];
    const map = { metadata: {}, weight_map: Object.fromEntries(names.map((name) => [name, shard])) };
    await writeFile(
      path.join(vae, "diffusion_pytorch_model.safetensors.index.fp16.json"),
      JSON.stringify(map),
    );
    await write(folder("resharded"), { teacher: own });
    expect((await readdir(path.join(folder("resharded"), "vae"))).sort()).toEqual([
      "config.json",
      "diffusion_pytorch_model-00001-of-00001.safetensors",
      "diffusion_pytorch_model.safetensors.index.json",
    ]);
    expect((await generate(folder("resharded"))).length).toBe(64 * 64 * 3);
  });
});

describe("in the folder of a run", () => {
  const run = async (name: string, more: readonly string[] = []) => {
    for (const file of ["run.json", "checkpoints/state", ...more]) {
      await mkdir(path.dirname(path.join(folder(name), file)), { recursive: true });
      await writeFile(path.join(folder(name), file), "{}");
    }
  };
  const whole = async () =>
    [".koala-export.json", "checkpoints/state", "run.json", ...(await files(teacher))].sort();

  it("the model stands beside the run's own files, is replaced there, and generates", async () => {
    await run("run");
    await write(folder("run"));
    expect(await files(folder("run"))).toEqual(await whole());
    const before = await generate(folder("run"));
    await write(folder("run"), { weights: doubled(student.weights) });
    expect(await files(folder("run"))).toEqual(await whole());
    expect(await generate(folder("run"))).not.toEqual(before);
  });

  it("a move that was cut off leaves no model, and the next export completes it", async () => {
    await run("cut", [".koala-export.json", "vae/half", ".model.partial/unet/half"]);
    await expect(generate(folder("cut"))).rejects.toThrow(/must be a Diffusers folder/);
    await write(folder("cut"));
    expect(await files(folder("cut"))).toEqual(await whole());
  });

  it("files that are in the model's way are neither touched nor mixed with it", async () => {
    await run("taken", ["vae/mine.txt"]);
    await expect(write(folder("taken"))).rejects.toThrow(/must leave room for the model's parts, got "vae"/);
    expect(await files(folder("taken"))).toEqual(["checkpoints/state", "run.json", "vae/mine.txt"]);
  });
});

describe("an export is refused", () => {
  beforeAll(() => write(folder("kept")));

  it("over files that are not its own, which stay", async () => {
    await mkdir(folder("foreign"));
    await writeFile(path.join(folder("foreign"), "thesis.txt"), "precious");
    await expect(write(folder("foreign"))).rejects.toThrow(InvalidRequest);
    await expect(write(folder("foreign"))).rejects.toThrow(
      /must be new, empty, a run of training or an earlier export.*"thesis.txt"/,
    );
    expect(await readdir(folder("foreign"))).toEqual(["thesis.txt"]);
  });

  it("over another student, another teacher's parts, or the teacher itself", async () => {
    const { config, weights } = await studentOf("koala-700m");
    await expect(write(folder("kept"), { unetConfig: config, weights })).rejects.toThrow(
      /earlier export of the same student, got another "mid_block_type" in/,
    );
    const other = folder("other-teacher");
    await cp(teacher, other, { recursive: true });
    await writeFile(path.join(other, "vae", "README.txt"), "one file more");
    await expect(write(folder("kept"), { teacher: other })).rejects.toThrow(/parts of another teacher/);
    await expect(write(folder("kept"), { teacher: folder("kept") })).rejects.toThrow(
      /got the teacher itself/,
    );
  });

  it("with weights that are missing, misshapen or not finite, and writes nothing", async () => {
    const broken = (name: string, data: Float32Array, shape: readonly number[]) =>
      write(folder("nothing"), { weights: new Map(student.weights).set(name, { data, shape }) });
    const without = new Map(student.weights);
    without.delete("conv_in.weight");
    await expect(write(folder("nothing"), { weights: without })).rejects.toThrow(ModelError);
    await expect(broken("conv_in.bias", new Float32Array(3), [3])).rejects.toThrow(
      /conv_in.bias: must be \[16\], got \[3\]/,
    );
    await expect(broken("conv_in.bias", new Float32Array(16).fill(Number.NaN), [16])).rejects.toThrow(
      /must be finite/,
    );
    expect(await readdir(at)).not.toContain("nothing");
  });

  it("a half-written folder of a killed run does not stand in the way", async () => {
    await mkdir(`${folder("late")}.partial`);
    await writeFile(path.join(`${folder("late")}.partial`, ".koala-export.json"), '{"vers');
    await writeFile(path.join(`${folder("late")}.partial`, "model_index.json"), "{");
    await write(folder("late"));
    expect(await files(folder("late"))).toEqual([".koala-export.json", ...(await files(teacher))]);
  });
});
