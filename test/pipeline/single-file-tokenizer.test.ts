/** @file The tokenizer of a single file, which holds none: where it comes from, who needs none, and that servers find it. */

import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { goldenLayers } from "../../golden/conformance/layers.js";
import { SingleFiles } from "../../golden/single/files.js";
import { memoryCommand } from "../../src/cli/memory.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { ModelError } from "../../src/errors.js";
import { decodeImage } from "../../src/image/codec.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { openSingleFile } from "../../src/pipeline/single-file/open.js";
import { filesIn, type HubServer, startHub } from "../hub-server.js";
import { quick, stage } from "../serving.js";

const data = fileURLToPath(new URL("../../golden/data", import.meta.url));
const scratch = mkdtempSync(path.join(tmpdir(), "koala-tokenizer-"));
const engine = blockingEngine({ threads: 1 });
const commit = "c".repeat(40);
let files: SingleFiles;
let hub: HubServer;
/** A single file, and its configs in a folder without tokenizers. */
let file: string;
let config: string;
let whole: string;

beforeAll(async () => {
  files = new SingleFiles(await goldenLayers(data));
  const built = await files.built("koala-1b-half");
  [file, whole, config] = [built.file, built.configs, path.join(scratch, "configs")];
  cpSync(built.configs, config, { recursive: true });
  for (const name of ["tokenizer", "tokenizer_2"])
    for (const words of ["vocab.json", "merges.txt"]) rmSync(path.join(config, name, words));
});

let home = 0;
beforeEach(async () => {
  const tokenizer = filesIn(path.join(whole, "tokenizer"));
  const repo = new Map([...tokenizer, ["model.safetensors", Buffer.from("not for us")]]);
  hub = await startHub({
    "openai/clip-vit-large-patch14": { commits: { [commit]: repo }, refs: { main: commit } },
  });
  for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"])
    vi.stubEnv(name, undefined);
  vi.stubEnv("HF_HOME", path.join(scratch, `home-${home++}`));
  vi.stubEnv("HF_ENDPOINT", hub.url);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await hub.close();
});

afterAll(async () => {
  await files.close();
  rmSync(scratch, { recursive: true });
});

it("is downloaded from the Hub once, without the weights beside it, where nothing else has it", async () => {
  for (const _ of ["first", "again"]) {
    const { textEncoders } = await loadComponents(file, { engine, config });
    expect(textEncoders[0]!.tokenizer.encode("a red bicycle").uncut.length).toBeGreaterThan(2);
    expect(hub.downloads().sort()).toEqual([
      "merges.txt",
      "special_tokens_map.json",
      "tokenizer_config.json",
      "vocab.json",
    ]);
  }
});

it("fills prompts up with ! in SDXL's second encoder and Stable Diffusion 2, and with the end token elsewhere", async () => {
  const pads = async (model: string, given: string, name: string) =>
    (await (await openSingleFile(model, { config: given })).tokenizer(name)).padToken;
  expect(await pads(file, config, "tokenizer")).toBeUndefined();
  expect(await pads(file, config, "tokenizer_2")).toBe("!");
  const sd2 = await files.built("sd2-plain");
  const bare = path.join(scratch, "sd2");
  cpSync(sd2.configs, bare, { recursive: true });
  rmSync(path.join(bare, "tokenizer/vocab.json"));
  expect(await pads(sd2.file, bare, "tokenizer")).toBe("!");
});

it("comes from the folder that is given, before the configs' own, without a request", async () => {
  const source = await openSingleFile(file, { config, tokenizer: whole });
  expect(await source.tokenizer("tokenizer_2")).toEqual({ path: path.join(whole, "tokenizer_2") });
  const clip = path.join(whole, "tokenizer");
  const alone = await openSingleFile(file, { config: whole, tokenizer: clip });
  expect(await alone.tokenizer("tokenizer_2")).toEqual({ path: clip, padToken: "!" });
  const own = await openSingleFile(file, { config: whole });
  expect(await own.tokenizer("tokenizer")).toMatchObject({ path: clip });
  expect(hub.requests).toEqual([]);
});

it("that cannot be had is an error that says what to add", async () => {
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  const loading = loadComponents(file, { engine, config });
  await expect(loading).rejects.toThrow(ModelError);
  await expect(loading).rejects.toThrow(
    /koala-1b-half\.safetensors: must have CLIP's tokenizer beside it.*got none.*HF_HUB_OFFLINE.*Add --tokenizer FOLDER/,
  );
  expect(hub.requests).toEqual([]);
});

it("is not needed to estimate memory", async () => {
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  let printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((part) => {
    printed += part;
    return true;
  });
  for (const device of ["cpu", "webgpu"])
    await memoryCommand()
      .exitOverride()
      .parseAsync([file, "--config", config, "--sizes", "64", "--device", device, "--json"], {
        from: "user",
      });
  expect(printed.match(/"pixels": 64/g)).toHaveLength(2);
});

it("is found by a server, which generates with the file", async () => {
  const served = await stage({ model: file, load: { config } });
  try {
    expect([...served.models.keys()]).toEqual(["koala-1b-half"]);
    const body = { prompt: quick.prompt, size: "64x64", steps: 1, seed: 7 };
    const response = await served.post("/v1/images/generations", body);
    expect(response.status).toBe(200);
    const { data } = (await response.json()) as { data: { b64_json: string }[] };
    const { image } = await decodeImage(Buffer.from(data[0]!.b64_json, "base64"));
    expect(image).toMatchObject({ width: 64, height: 64 });
  } finally {
    await served.close();
  }
});
