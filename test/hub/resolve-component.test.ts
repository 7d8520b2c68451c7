/** @file Names of components and LoRAs on the Hub: which files are downloaded, and the errors where none can be selected. */

import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ModelError } from "../../src/errors.js";
import { cachedName, filesUnder, repoCache } from "../../src/hub/cache.js";
import { type ResolveComponentOptions, resolveComponent } from "../../src/hub/resolve-component.js";
import type { ComponentKind } from "../../src/hub/select.js";
import { type Files, filesIn, type HubServer, startHub } from "../hub-server.js";

const golden = fileURLToPath(new URL("../../golden/data/pipelines/", import.meta.url));
const commit = "a".repeat(40);
const weights = "diffusion_pytorch_model.safetensors";
const whole = filesIn(`${golden}koala-1b-tiny`);
const vae = filesIn(`${golden}koala-1b-tiny/vae`);
const bytes = Buffer.from("weights");

let hub: HubServer;
let home: string;

const repo = (files: Files) => ({ commits: { [commit]: files }, refs: { main: commit, v1: commit } });
const named = (...names: string[]): Files => new Map(names.map((name) => [name, Buffer.from(name)]));

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "hub-part-"));
  hub = await startHub({
    "o/model": repo(whole),
    "o/vae": repo(new Map([...vae, ["sdxl_vae.safetensors", bytes], ["sdxl_vae.ckpt", bytes]])),
    "o/models": repo(new Map([...whole].map(([name, file]) => [`sub/${name}`, file]))),
    "o/single": repo(new Map([...whole, ["model.safetensors", bytes]])),
    "o/unets": repo(named("README.md", "step_1.safetensors", "step_4.safetensors")),
    "o/taesd": repo(named("taesd_decoder.safetensors", "taesd_encoder.safetensors", "taesd_encoder.pth")),
    "o/lcm": repo(named("README.md", "pytorch_lora_weights.safetensors", "image_encoder/model.safetensors")),
    "o/peft": repo(named("adapter_config.json", "adapter_model.safetensors", "checkpoint-500/x.safetensors")),
    "o/pickled": repo(named("config.json", "diffusion_pytorch_model.bin")),
  });
});

afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true });
});

const resolve = (kind: ComponentKind, name: string, options: ResolveComponentOptions = {}) =>
  resolveComponent(kind, name, {
    environment: { HF_HOME: home, HF_ENDPOINT: hub.url },
    retry: { pause: 1, stall: 2000 },
    ...options,
  });

const snapshot = (id: string, inside = "") =>
  path.join(repoCache(path.join(home, "hub"), id).snapshot(commit), inside);

describe("a component", () => {
  it.each<[ComponentKind, string, string, string, string[]]>([
    ["vae", "o/vae", "o/vae", "", ["config.json", weights]],
    [
      "vae",
      "o/vae@v1/sdxl_vae.safetensors",
      "o/vae",
      "sdxl_vae.safetensors",
      ["config.json", "sdxl_vae.safetensors"],
    ],
    ["vae", "o/model", "o/model", "vae", ["vae/config.json", `vae/${weights}`]],
    ["vae", "o/models/sub", "o/models", "sub/vae", ["sub/vae/config.json", `sub/vae/${weights}`]],
    ["vae", "o/single", "o/single", "vae", ["vae/config.json", `vae/${weights}`]],
    ["unet", "o/model", "o/model", "unet", ["unet/config.json", `unet/${weights}`]],
    ["unet", "o/model/unet", "o/model", "unet", ["unet/config.json", `unet/${weights}`]],
    ["unet", "o/unets/step_4.safetensors", "o/unets", "step_4.safetensors", ["step_4.safetensors"]],
    [
      "vae",
      "o/taesd/taesd_decoder.safetensors",
      "o/taesd",
      "taesd_decoder.safetensors",
      ["taesd_decoder.safetensors", "taesd_encoder.safetensors"],
    ],
    ["lora", "o/lcm", "o/lcm", "pytorch_lora_weights.safetensors", ["pytorch_lora_weights.safetensors"]],
    [
      "lora",
      "o/peft",
      "o/peft",
      "adapter_model.safetensors",
      ["adapter_config.json", "adapter_model.safetensors"],
    ],
  ])("%s %s is %s/%s, with %j downloaded", async (kind, name, id, inside, files) => {
    const found = await resolve(kind, name);
    expect(found).toBe(snapshot(id, inside));
    expect(await filesUnder(snapshot(id))).toEqual(files);
    expect(cachedName(found)).toBe([id, inside].filter(Boolean).join("/"));
  });

  it("is not downloaded a second time, and is found in the cache offline", async () => {
    const found = await resolve("lora", "o/lcm");
    hub.requests.length = 0;
    expect(await resolve("lora", "o/lcm")).toBe(found);
    expect(hub.downloads()).toEqual([]);
    const offline = { environment: { HF_HOME: home, HF_ENDPOINT: hub.url, HF_HUB_OFFLINE: "1" } };
    hub.requests.length = 0;
    expect(await resolve("lora", "o/lcm", offline)).toBe(found);
    expect(hub.requests).toEqual([]);
    await expect(resolve("vae", "o/vae", offline)).rejects.toThrow(
      "HF_HUB_OFFLINE is set. Unset it to download.",
    );
  });

  it("reports progress, as for a model", async () => {
    const seen: { done: number; total: number }[] = [];
    await resolve("vae", "o/vae", { onProgress: ({ done, total }) => seen.push({ done, total }) });
    const total = vae.get(weights)!.length + vae.get("config.json")!.length;
    expect(seen.at(-1)).toEqual({ done: total, total });
  });

  it.each<[ComponentKind, string, string]>([
    [
      "unet",
      "o/unets",
      `o/unets: must hold "${weights}", got "step_1.safetensors", "step_4.safetensors". ` +
        "Name one, as in o/unets/step_1.safetensors.",
    ],
    [
      "lora",
      "o/unets",
      'o/unets: must name one LoRA, got 2: "step_1.safetensors", "step_4.safetensors". ' +
        "Name one, as in o/unets/step_1.safetensors.",
    ],
    ["vae", "o/vae/gone.safetensors", 'o/vae: must hold "gone.safetensors", got "diffusion_pytorch_model'],
    [
      "vae",
      "o/vae/sdxl_vae.ckpt",
      "o/vae/sdxl_vae.ckpt: must be a .safetensors file, got a pickle checkpoint",
    ],
    ["vae", "o/pickled", `must hold "${weights}", got weights that can run code when read`],
    [
      "lora",
      "loras/sdxl/pixel.safetensors",
      "loras/sdxl/pixel.safetensors: no such file here; on the Hub, loras/sdxl: must be",
    ],
  ])("%s %s is refused, with the files that exist", async (kind, name, message) => {
    const error = await resolve(kind, name).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as ModelError).message).toContain(message);
  });

  it("is the path itself where it exists, and the one LoRA in a folder", async () => {
    expect(await resolve("vae", `${golden}taesd-tiny`)).toBe(`${golden}taesd-tiny`);
    const folder = path.join(home, "loras");
    await mkdir(folder);
    await expect(resolve("lora", folder)).rejects.toThrow("must hold one LoRA, got an empty folder");
    const lora = "koala-1b-tiny-kohya.safetensors";
    await cp(`${golden}lora/${lora}`, path.join(folder, lora));
    expect(await resolve("lora", folder)).toBe(path.join(folder, lora));
    await writeFile(path.join(folder, "other.safetensors"), "");
    await expect(resolve("lora", folder)).rejects.toThrow(
      /must hold one LoRA, got ".*", "other\.safetensors"/,
    );
    expect(hub.requests).toEqual([]);
  });

  it("is refused by its option where it is neither a path nor a name", async () => {
    await expect(resolve("lora", "pixel.safetensors", { field: "--lora" })).rejects.toThrow(
      '--lora: must be a file or folder that exists, or on the Hub owner/name[@revision][/file], got "pixel.safetensors"',
    );
  });
});
