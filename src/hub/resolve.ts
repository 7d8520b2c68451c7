/** @file A model's name becomes a folder: one that is there, or the needed files of a Hub repository in the cache. */

import path from "node:path";
import { Cancelled, listed, ModelError } from "../errors.js";
import { kindOf, readJson } from "../weights/files.js";
import { type ModelIndex, modelIndex, shardIndex } from "../weights/index-file.js";
import { cachedCommit, filesUnder, isWhole, type RepoCache, readRefs, repoCache, writeRef } from "./cache.js";
import { type HubFile, type HubOptions, hubClient } from "./client.js";
import { type DownloadProgress, fetchFiles } from "./fetch.js";
import { type HubModel, hubModel } from "./id.js";
import { Unreachable } from "./refusal.js";
import { type Selection, selectFiles, type WeightChoice } from "./select.js";
import { type Environment, type HubSettings, hubSettings } from "./settings.js";

export type ResolveOptions = WeightChoice &
  HubOptions & {
    /** Branch, tag or commit; "main" where neither this nor the name says. */
    revision?: string | undefined;
    onProgress?: ((progress: DownloadProgress) => void) | undefined;
    environment?: Environment | undefined;
    /** Brings everything but the weights: what a prediction needs. */
    configsOnly?: boolean | undefined;
  };

/**
 * The folder of a model: `model` itself where it is a path that exists, else that of the Hub's `owner/name[@revision]`
 * in the cache, downloaded as far as it is not there. InvalidRequest, ModelError, Cancelled.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<string> {
  if (await kindOf(model)) return model;
  const named = hubModel(model, options.revision);
  const settings = await hubSettings(options.environment);
  const repo = repoCache(settings.cache, named.id);
  if (settings.offline)
    return fromCache(named, repo, options, "HF_HUB_OFFLINE is set. Unset it to download.");
  try {
    return await fromHub(named, repo, settings, options);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    const folder = await fromCache(named, repo, options, "").catch(() => undefined);
    if (folder === undefined) throw error;
    options.onNote?.(`${error.message} Using the copy in the cache, which may be out of date.`);
    return folder;
  }
}

/** The snapshot that a revision was when last downloaded; ModelError names what it lacks. */
async function fromCache(
  model: HubModel,
  repo: RepoCache,
  { configsOnly, ...choice }: WeightChoice & Pick<ResolveOptions, "configsOnly">,
  remedy: string,
): Promise<string> {
  const commit = await cachedCommit(repo, model.revision);
  const snapshot = commit === undefined ? undefined : repo.snapshot(commit);
  const where = `${model.id}@${model.revision}`;
  if (snapshot === undefined || (await kindOf(snapshot)) !== "folder") {
    const others = (await readRefs(repo)).map(([revision]) => revision);
    const got = others.length ? `only ${listed(others)}` : "nothing of this model";
    throw new ModelError(where, `must be in the cache ${path.dirname(repo.root)}, got ${got}. ${remedy}`);
  }
  const absent = await missingFrom(snapshot, choice);
  const missing = configsOnly ? absent.filter((file) => !file.endsWith(".safetensors")) : absent;
  if (missing.length === 0) return snapshot;
  const problem = `must be whole in the cache ${repo.root}, missing ${listed(missing)}. ${remedy}`;
  throw new ModelError(where, problem, { missing });
}

/** What a folder lacks of what a pipeline needs. */
export async function missingFrom(snapshot: string, choice: WeightChoice = {}): Promise<string[]> {
  const links = await filesUnder(snapshot);
  const kinds = await Promise.all(links.map((file) => kindOf(path.join(snapshot, file))));
  const files = links.filter((_, i) => kinds[i] === "file");
  if (!files.includes("model_index.json")) return ["model_index.json"];
  const { indexes, missing } = selectFiles(await readIndex(snapshot), files, { ...choice, has: () => true });
  const shards = (await Promise.all(indexes.map((index) => shardsOf(snapshot, index)))).flat();
  return [...missing, ...shards.filter((shard) => !files.includes(shard))];
}

async function readIndex(snapshot: string): Promise<ModelIndex> {
  const file = path.join(snapshot, "model_index.json");
  return modelIndex(await readJson(file), file);
}

async function shardsOf(snapshot: string, index: string): Promise<string[]> {
  const file = path.join(snapshot, index);
  const shards = new Set(shardIndex(await readJson(file), file).values());
  return [...shards].map((shard) => path.posix.join(path.posix.dirname(index), shard));
}

async function fromHub(model: HubModel, repo: RepoCache, settings: HubSettings, options: ResolveOptions) {
  const { signal = new AbortController().signal, onNote, onProgress } = options;
  if (signal.aborted) throw new Cancelled("the download");
  const hub = hubClient(settings, options);
  const commit = await hub.commit(model);
  const files = new Map((await hub.files(model, commit)).map((file) => [file.path, file]));
  const snapshot = repo.snapshot(commit);
  const fetchAll = async (paths: readonly string[], progress?: typeof onProgress) => {
    const wanted = paths.map((path) => listedFile(model, files, path));
    await fetchFiles(wanted, { hub, model, commit, repo, signal, onNote, onProgress: progress });
  };
  if (!files.has("model_index.json")) throw new ModelError(model.id, notDiffusers([...files.keys()]));
  await fetchAll(["model_index.json"]);
  const index = await readIndex(snapshot);
  refuseOther(model, index);
  const there = await presentFiles(repo, snapshot, [...files.values()]);
  const selection = selectFiles(index, [...files.keys()], { ...options, has: (path) => there.has(path) });
  refuseIncomplete(model, selection, [...files.keys()]);
  if (options.configsOnly) {
    const weights = (file: string) => file.endsWith(".safetensors");
    await fetchAll(selection.files.filter((file) => !weights(file)));
    await writeRef(repo, model.revision, commit);
    return snapshot;
  }
  await fetchAll(selection.indexes);
  const shards = (await Promise.all(selection.indexes.map((at) => shardsOf(snapshot, at)))).flat();
  await fetchAll([...selection.files, ...shards], onProgress);
  await writeRef(repo, model.revision, commit);
  return snapshot;
}

function listedFile({ id }: HubModel, files: ReadonlyMap<string, HubFile>, path: string): HubFile {
  const file = files.get(path);
  if (file) return file;
  throw new ModelError(
    id,
    `must hold ${path}, which its index names, got no such file. Try another revision.`,
  );
}

async function presentFiles(
  repo: RepoCache,
  snapshot: string,
  files: readonly HubFile[],
): Promise<Set<string>> {
  const present = new Set<string>();
  for (const file of files) {
    const places = [path.join(snapshot, file.path), repo.blob(file.etag)];
    for (const place of places) if (await isWhole(place, file.size)) present.add(file.path);
  }
  return present;
}

function notDiffusers(paths: readonly string[]): string {
  const rule = "must be a Diffusers model with model_index.json";
  const checkpoint = paths.find((path) => /^[^/]+\.(safetensors|ckpt)$/.test(path));
  if (checkpoint)
    return `${rule}, got the single file ${listed([checkpoint])}. Look for the same model as Diffusers has it.`;
  return `${rule}, got ${paths.length ? listed(paths) : "no files"}. Use a text-to-image model that has one.`;
}

/** Refuses other architectures before gigabytes of them are downloaded. */
function refuseOther({ id }: HubModel, { className, parts }: ModelIndex): void {
  const unet = parts.get("unet")?.className;
  if (unet === "UNet2DConditionModel") return;
  const problem = `${className} must have a unet of UNet2DConditionModel, got ${unet ?? "no unet"}`;
  throw new ModelError(id, `${problem}. Use KOALA, SDXL or Stable Diffusion 1 or 2.`);
}

function refuseIncomplete({ id }: HubModel, { missing }: Selection, paths: readonly string[]): void {
  if (missing.length === 0) return;
  const pickled = paths.some(
    (path) => path.endsWith(".bin") && missing.includes(`${path.split("/")[0]}/*.safetensors`),
  );
  const got = pickled ? "weights in .bin files, which can run code when read" : "a repository without them";
  const remedy = "Use a revision or a model that has safetensors.";
  throw new ModelError(id, `must hold ${listed(missing)}, got ${got}. ${remedy}`, { missing: [...missing] });
}
