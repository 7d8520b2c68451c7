/** @file A Hub with three models and an empty cache, new for each test of this folder. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach } from "vitest";
import { repoCache } from "../../src/hub/cache.js";
import { type ResolveOptions, resolveModel } from "../../src/hub/resolve.js";
import { type Files, filesIn, type HubServer, sha256, startHub } from "../hub-server.js";

export const golden = fileURLToPath(new URL("../../golden/data/pipelines/", import.meta.url));
/** The files of a model in half precision, sharded. */
export const half = filesIn(`${golden}koala-700m-tiny`);
/** The files of a model in float32. */
export const plain = filesIn(`${golden}koala-1b-tiny`);
/** Contents of files that no pipeline needs. */
export const unneeded = Buffer.from("not for us");
export const [commitA, commitB, commitC] = ["a".repeat(40), "b".repeat(40), "c".repeat(40)] as const;

export const unet = "unet/diffusion_pytorch_model.safetensors";
export const unetBytes = plain.get(unet)!;
export const unetHash = sha256(unetBytes);

export const hashOf = async (file: string) => sha256(await readFile(file));

/** A repository as on the Hub: both precisions, other formats, a checkpoint at the root, images. */
export function published(): Files {
  const files = new Map([...plain, ...half]);
  for (const name of [
    ...["README.md", "koala-700m.safetensors", "unet/diffusion_pytorch_model.bin", "vae/model.onnx"],
    ...["unet/model.msgpack", "text_encoder/openvino_model.xml", "unet/deeper/config.json"],
  ])
    files.set(name, unneeded);
  return files;
}

export let hub: HubServer;
/** HF_HOME. */
export let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "hub-"));
  hub = await startHub({
    "koala/half": { commits: { [commitA]: half }, refs: { main: commitA } },
    "koala/plain": { commits: { [commitA]: plain }, refs: { main: commitA } },
    "koala/both": { commits: { [commitB]: published() }, refs: { main: commitB } },
  });
});

afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true });
});

export async function restartHub(): Promise<void> {
  hub = await startHub({});
}

export const environment = (more: Record<string, string> = {}) => ({
  HF_HOME: home,
  HF_ENDPOINT: hub.url,
  ...more,
});

export const resolve = (model: string, options: ResolveOptions = {}) =>
  resolveModel(model, { environment: environment(), retry: { pause: 1, stall: 2000 }, ...options });

export const repoOf = (id: string) => repoCache(path.join(home, "hub"), id);
