/** @file Files of a repository brought into the cache from the Hub, or taken as they lie there where it is out of reach. */

import path from "node:path";
import { Cancelled, FileError, listed, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { shardIndex } from "../weights/index-file.js";
import { cachedCommit, filesUnder, isWhole, type RepoCache, readRefs, repoCache, writeRef } from "./cache.js";
import { type HubFile, type HubOptions, hubClient } from "./client.js";
import { type DownloadProgress, fetchFiles } from "./fetch.js";
import type { HubModel } from "./id.js";
import { HubUnreachable } from "./refusal.js";
import type { Selection } from "./select.js";
import { type Environment, type HubSettings, hubSettings } from "./settings.js";

export type BringOptions = HubOptions & {
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  environment?: Environment | undefined;
};

/** What lies in a repository. */
export type Listing = {
  names: readonly string[];
  /** Whether it was asked of the Hub; else it is only what lies in the cache. */
  whole: boolean;
  /** Which files are on disk already. */
  has: (name: string) => boolean;
  /** A JSON file, brought if need be; undefined where there is none. */
  read: (name: string) => Promise<JsonObject | undefined>;
};

/** What is wanted of a repository. */
export type Plan<S extends Selection = Selection> = {
  choose: (listing: Listing) => Promise<S>;
  /** The error for a repository that lacks what is wanted. */
  refuse: (missing: readonly string[], names: readonly string[]) => ModelError;
};

/** What was chosen, and the snapshot folder that holds it. */
export type Brought<S extends Selection = Selection> = { snapshot: string; chosen: S };

/** Brings what `plan` chooses, downloaded as far as it is not there. ModelError, Cancelled. */
export async function bring<S extends Selection>(
  model: HubModel,
  plan: Plan<S>,
  options: BringOptions,
): Promise<Brought<S>> {
  const settings = await hubSettings(options.environment);
  const repo = repoCache(settings.cache, model.id);
  if (settings.offline) return fromCache(model, repo, plan, "HF_HUB_OFFLINE is set. Unset it to download.");
  try {
    return await fromHub(model, repo, plan, settings, options);
  } catch (error) {
    if (!(error instanceof HubUnreachable)) throw error;
    const cached = await fromCache(model, repo, plan, "").catch((failure: unknown) => {
      if (failure instanceof FileError) throw failure;
    });
    if (cached === undefined) throw error;
    options.onNote?.(`${error.message} Using the copy in the cache, which may be out of date.`);
    return cached;
  }
}

/** The snapshot that a revision was when last downloaded; ModelError names what it lacks. */
async function fromCache<S extends Selection>(
  model: HubModel,
  repo: RepoCache,
  plan: Plan<S>,
  remedy: string,
): Promise<Brought<S>> {
  const commit = await cachedCommit(repo, model.revision);
  const snapshot = commit === undefined ? undefined : repo.snapshot(commit);
  const where = `${model.id}@${model.revision}`;
  if (snapshot === undefined || (await kindOf(snapshot)) !== "folder") {
    const others = (await readRefs(repo)).map(([revision]) => revision);
    const got = others.length ? `only ${listed(others)}` : "nothing of this model";
    throw new ModelError(where, `must be in the cache ${path.dirname(repo.root)}, got ${got}. ${remedy}`);
  }
  const { chosen, missing } = await chosenIn(snapshot, plan);
  if (missing.length === 0) return { snapshot, chosen };
  const problem = `must be whole in the cache ${repo.root}, missing ${listed(missing)}. ${remedy}`;
  throw new ModelError(where, problem, { missing });
}

/** What `plan` chooses of what lies in a snapshot, and what that lacks. */
export async function chosenIn<S extends Selection>(
  snapshot: string,
  plan: Plan<S>,
): Promise<{ chosen: S; missing: string[] }> {
  const links = await filesUnder(snapshot);
  const kinds = await Promise.all(links.map((file) => kindOf(path.join(snapshot, file))));
  const names = links.filter((_, i) => kinds[i] === "file");
  const read = async (name: string) =>
    names.includes(name) ? readJson(path.join(snapshot, name)) : undefined;
  const chosen = await plan.choose({ names, whole: false, has: () => true, read });
  const shards = (await Promise.all(chosen.indexes.map((index) => shardsOf(snapshot, index)))).flat();
  return { chosen, missing: [...chosen.missing, ...shards.filter((shard) => !names.includes(shard))] };
}

async function fromHub<S extends Selection>(
  model: HubModel,
  repo: RepoCache,
  plan: Plan<S>,
  settings: HubSettings,
  options: BringOptions,
): Promise<Brought<S>> {
  const { signal = new AbortController().signal, onNote, onProgress } = options;
  if (signal.aborted) throw new Cancelled("the download");
  const hub = hubClient(settings, options);
  const commit = await hub.commit(model);
  const files = new Map((await hub.files(model, commit)).map((file) => [file.path, file]));
  const names = [...files.keys()];
  const snapshot = repo.snapshot(commit);
  const fetchAll = async (paths: readonly string[], progress?: typeof onProgress) => {
    const wanted = paths.map((path) => listedFile(model, files, path));
    await fetchFiles(wanted, { hub, model, commit, repo, signal, onNote, onProgress: progress });
  };
  const there = await presentFiles(repo, snapshot, [...files.values()]);
  const read = async (name: string) => {
    if (!files.has(name)) return undefined;
    await fetchAll([name]);
    return readJson(path.join(snapshot, name));
  };
  const chosen = await plan.choose({ names, whole: true, has: (name) => there.has(name), read });
  if (chosen.missing.length > 0) throw plan.refuse(chosen.missing, names);
  await fetchAll(chosen.indexes);
  const shards = (await Promise.all(chosen.indexes.map((at) => shardsOf(snapshot, at)))).flat();
  await fetchAll([...chosen.files, ...shards], onProgress);
  await writeRef(repo, model.revision, commit);
  return { snapshot, chosen };
}

async function shardsOf(snapshot: string, index: string): Promise<string[]> {
  const file = path.join(snapshot, index);
  const shards = new Set(shardIndex(await readJson(file), file).values());
  return [...shards].map((shard) => path.posix.join(path.posix.dirname(index), shard));
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
