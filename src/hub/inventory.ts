/** @file Lists and removes the Diffusers models in the Hub's cache. Other models in it are not touched. */

import path from "node:path";
import { FileError, InvalidRequest, listed, ModelError } from "../errors.js";
import { ifThere, kindOf, readdir, readJson, readlink, realpath, rm, stat } from "../files/file-system.js";
import { modelIndex } from "../weights/index-file.js";
import { filesUnder, type RepoCache, readRefs, repoCache, repoPrefix } from "./cache.js";
import { missingFrom } from "./resolve.js";

/** One downloaded revision; `bytes` counts each blob once, shared with other revisions or not. */
export type CachedModel = {
  id: string;
  commit: string;
  /** The branches and tags of this commit when they were downloaded. */
  revisions: string[];
  folder: string;
  pipeline: string;
  parts: string[];
  bytes: number;
  lastUsed: Date | undefined;
  /** What is missing or broken, if anything. */
  problem: string | undefined;
};

/** All revisions of Diffusers models in the cache, by name; none where there is no cache. */
export async function cachedModels(cache: string): Promise<CachedModel[]> {
  const folders = ((await ifThere(() => readdir(cache))) ?? [])
    .filter((name) => name.startsWith(repoPrefix))
    .sort();
  const models: CachedModel[] = [];
  for (const folder of folders) {
    const repo = repoCache(cache, folder.slice(repoPrefix.length).replaceAll("--", "/"));
    try {
      for (const commit of await commitsIn(repo)) models.push(...(await cachedModel(repo, commit)));
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      models.push(unreadable(repo, error)); // a model of another user must not hide the others
    }
  }
  return models;
}

/** An entry for a folder that cannot be read. */
const unreadable = ({ id, root }: RepoCache, { message }: FileError): CachedModel => ({
  id,
  commit: "",
  revisions: [],
  folder: root,
  pipeline: "",
  parts: [],
  bytes: 0,
  lastUsed: undefined,
  problem: message,
});

const commitsIn = async (repo: RepoCache) => (await ifThere(() => readdir(repo.snapshots)))?.sort() ?? [];

async function cachedModel(repo: RepoCache, commit: string): Promise<CachedModel[]> {
  const folder = repo.snapshot(commit);
  const file = path.join(folder, "model_index.json");
  if ((await kindOf(file)) !== "file") return [];
  const blobs = await blobsOf(repo, commit);
  const stats = (await Promise.all(blobs.map((blob) => ifThere(() => stat(blob))))).filter(
    (s) => s !== undefined,
  );
  const revisions = (await readRefs(repo)).filter(([, at]) => at === commit).map(([revision]) => revision);
  return [
    {
      id: repo.id,
      commit,
      revisions,
      folder,
      bytes: stats.reduce((sum, { size }) => sum + size, 0),
      lastUsed: stats.length ? new Date(Math.max(...stats.map(({ atimeMs }) => atimeMs))) : undefined,
      ...(await state(folder)),
    },
  ];
}

async function state(folder: string): Promise<Pick<CachedModel, "pipeline" | "parts" | "problem">> {
  try {
    const file = path.join(folder, "model_index.json");
    const { className, components: parts } = modelIndex(await readJson(file), file);
    const missing = await missingFrom(folder);
    const problem = missing.length ? `incomplete: missing ${listed(missing, 2)}` : undefined;
    return { pipeline: className, parts: [...parts.keys()], problem };
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    // One broken model must not hide the others.
    return { pipeline: "", parts: [], problem: error.message };
  }
}

/** The files behind a snapshot, each once. */
async function blobsOf(repo: RepoCache, commit: string): Promise<string[]> {
  const folder = repo.snapshot(commit);
  const files = (await filesUnder(folder)).map((file) => path.join(folder, file));
  const targets = await Promise.all(
    files.map(async (file) => (await ifThere(() => realpath(file))) ?? target(file)),
  );
  return [...new Set(targets)];
}

/** The target of a link whose file is missing. */
const target = async (file: string) =>
  path.resolve(path.dirname(file), (await ifThere(() => readlink(file))) ?? "");

export type Removal = { models: CachedModel[]; bytes: number; remove(): Promise<void> };

/** The models and bytes that removing `id`, or one revision of it, frees; `remove` removes them. InvalidRequest. */
export async function removal(cache: string, id: string, revision?: string): Promise<Removal> {
  const all = (await cachedModels(cache)).filter((model) => model.id === id);
  const models = all.filter(
    ({ commit, revisions }) =>
      revision === undefined ||
      revisions.includes(revision) ||
      (revision.length >= 7 && commit.startsWith(revision)),
  );
  if (models.length === 0) throw new InvalidRequest("model", id, await absent(cache, id, all, revision));
  const repo = repoCache(cache, id);
  const going = new Set(models.map(({ commit }) => commit));
  const staying = (await commitsIn(repo)).filter((commit) => !going.has(commit));
  const blobs = await orphans(repo, [...going], staying);
  const sizes = await Promise.all(blobs.map((blob) => ifThere(() => stat(blob))));
  const bytes = sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0);
  const remove = () => (staying.length ? removeRevisions(repo, going, blobs) : removeAll(repo));
  return { models, bytes, remove };
}

async function absent(cache: string, id: string, all: readonly CachedModel[], revision: string | undefined) {
  if (all.length > 0) {
    const there = all.flatMap(({ revisions, commit }) => [...revisions, commit.slice(0, 12)]);
    return `must be in the cache, got ${listed([`${id}@${revision}`])}. Of that model there are ${listed(there)}.`;
  }
  const ids = [...new Set((await cachedModels(cache)).map((model) => model.id))];
  const there = ids.length ? `There are ${listed(ids)}.` : `It holds no models (${cache}).`;
  return `must be a Diffusers model in the cache, got ${listed([id])}. ${there}`;
}

async function orphans(
  repo: RepoCache,
  going: readonly string[],
  staying: readonly string[],
): Promise<string[]> {
  const used = new Set((await Promise.all(staying.map((commit) => blobsOf(repo, commit)))).flat());
  const blobs = new Set((await Promise.all(going.map((commit) => blobsOf(repo, commit)))).flat());
  return [...blobs].filter((blob) => !used.has(blob));
}

/** Links before blobs, so that an interrupted removal leaves no link without its file. */
async function removeRevisions(repo: RepoCache, commits: ReadonlySet<string>, blobs: readonly string[]) {
  for (const commit of commits) await rm(repo.snapshot(commit), { recursive: true, force: true });
  for (const [revision, commit] of await readRefs(repo)) {
    if (commits.has(commit)) await rm(path.join(repo.refs, revision), { force: true });
  }
  for (const blob of blobs) await rm(blob, { force: true });
}

async function removeAll(repo: RepoCache): Promise<void> {
  await rm(repo.snapshots, { recursive: true, force: true });
  await rm(repo.root, { recursive: true, force: true });
  await rm(repo.locks, { recursive: true, force: true });
}
