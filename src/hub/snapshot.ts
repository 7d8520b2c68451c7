/** @file Downloads the selected files of a repository into the cache; without the Hub, uses those in the cache. */

import { Cancelled, FileError, listed, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import path from "../files/path.js";
import { cachedCommit, filesUnder, isWhole, type RepoCache, readRefs, repoCache, writeRef } from "./cache.js";
import { type HubFile, type HubOptions, hubClient } from "./client.js";
import { type ConfirmDownload, type DownloadProgress, fetchFiles } from "./fetch.js";
import type { HubModel } from "./name.js";
import type { Selection } from "./select.js";
import { type Environment, type HubSettings, hubSettings } from "./settings.js";
import { shardsOf } from "./shards.js";
import { HubUnreachable } from "./unreachable.js";

export type SnapshotOptions = HubOptions & {
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  confirmDownload?: ConfirmDownload | undefined;
  environment?: Environment | undefined;
  /** In place of the environment's. */
  token?: string | undefined;
  endpoint?: string | undefined;
};

/** The files of a repository. */
export type Listing = {
  names: readonly string[];
  /** Whether this is the Hub's list; otherwise it is of the files in the cache. */
  complete: boolean;
  /** Whether a file is on disk already. */
  has: (name: string) => boolean;
  /** A JSON file, downloaded if it is not in the cache; undefined where there is none. */
  read: (name: string) => Promise<JsonObject | undefined>;
};

/** Which files of a repository are needed. */
export type SelectionPlan<S extends Selection = Selection> = {
  select: (listing: Listing) => Promise<S>;
  /** The error for a repository that lacks some of them. */
  refuse: (missing: readonly string[], names: readonly string[]) => ModelError;
};

/** The selected files, and the snapshot folder that holds them. */
export type Snapshot<S extends Selection = Selection> = { folder: string; selection: S };

/** A snapshot with the files that `plan` selects; downloads those that are not in the cache. ModelError, Cancelled. */
export async function ensureSnapshot<S extends Selection>(
  model: HubModel,
  plan: SelectionPlan<S>,
  options: SnapshotOptions,
): Promise<Snapshot<S>> {
  const { environment, token, endpoint } = options;
  const settings = {
    ...(await hubSettings(environment)),
    ...(token !== undefined && { token }),
    ...(endpoint !== undefined && { endpoint: endpoint.replace(/\/+$/, "") }),
  };
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

/** The snapshot of a revision as of its last download. ModelError names the files that it lacks. */
async function fromCache<S extends Selection>(
  model: HubModel,
  repo: RepoCache,
  plan: SelectionPlan<S>,
  remedy: string,
): Promise<Snapshot<S>> {
  const commit = await cachedCommit(repo, model.revision);
  const folder = commit === undefined ? undefined : repo.snapshot(commit);
  const where = `${model.id}@${model.revision}`;
  if (folder === undefined || (await kindOf(folder)) !== "folder") {
    const others = (await readRefs(repo)).map(([revision]) => revision);
    const got = others.length ? `only ${listed(others)}` : "nothing of this model";
    throw new ModelError(where, `must be in the cache ${path.dirname(repo.root)}, got ${got}. ${remedy}`);
  }
  const { selection, missing } = await selectIn(folder, plan);
  if (missing.length === 0) return { folder: folder, selection: selection };
  const problem = `must be whole in the cache ${repo.root}, missing ${listed(missing)}. ${remedy}`;
  throw new ModelError(where, problem, { missing });
}

/** The files that `plan` selects in a snapshot, and those that are missing there. */
export async function selectIn<S extends Selection>(
  folder: string,
  plan: SelectionPlan<S>,
): Promise<{ selection: S; missing: string[] }> {
  const links = await filesUnder(folder);
  const kinds = await Promise.all(links.map((file) => kindOf(path.join(folder, file))));
  const names = links.filter((_, i) => kinds[i] === "file");
  const read = async (name: string) => (names.includes(name) ? readJson(path.join(folder, name)) : undefined);
  const selection = await plan.select({ names, complete: false, has: () => true, read });
  const shards = (await Promise.all(selection.indexes.map((index) => shardsOf(folder, index)))).flat();
  return {
    selection: selection,
    missing: [...selection.missing, ...shards.filter((shard) => !names.includes(shard))],
  };
}

async function fromHub<S extends Selection>(
  model: HubModel,
  repo: RepoCache,
  plan: SelectionPlan<S>,
  settings: HubSettings,
  options: SnapshotOptions,
): Promise<Snapshot<S>> {
  const { signal = new AbortController().signal, onNote, onProgress, confirmDownload } = options;
  if (signal.aborted) throw new Cancelled("the download");
  const hub = hubClient(settings, options);
  const commit = await hub.commit(model);
  const files = new Map((await hub.files(model, commit)).map((file) => [file.path, file]));
  const names = [...files.keys()];
  const folder = repo.snapshot(commit);
  const fetchAll = async (
    paths: readonly string[],
    shown: Pick<SnapshotOptions, "onProgress" | "confirmDownload"> = {},
  ) => {
    const wanted = paths.map((path) => listedFile(model, files, path));
    await fetchFiles(wanted, { hub, model, commit, repo, signal, onNote, ...shown });
  };
  const there = await presentFiles(repo, folder, [...files.values()]);
  const read = async (name: string) => {
    if (!files.has(name)) return undefined;
    await fetchAll([name]);
    return readJson(path.join(folder, name));
  };
  const selection = await plan.select({ names, complete: true, has: (name) => there.has(name), read });
  if (selection.missing.length > 0) throw plan.refuse(selection.missing, names);
  await fetchAll(selection.indexes);
  const shards = (await Promise.all(selection.indexes.map((at) => shardsOf(folder, at)))).flat();
  await fetchAll([...selection.files, ...shards], { onProgress, confirmDownload });
  await writeRef(repo, model.revision, commit);
  return { folder: folder, selection: selection };
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
  folder: string,
  files: readonly HubFile[],
): Promise<Set<string>> {
  const present = new Set<string>();
  for (const file of files) {
    const places = [path.join(folder, file.path), repo.blob(file.etag)];
    for (const place of places) if (await isWhole(place, file.size)) present.add(file.path);
  }
  return present;
}
