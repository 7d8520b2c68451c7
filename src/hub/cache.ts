/**
 * @file The Hugging Face cache on disk: `models--owner--name/{blobs,refs,snapshots}` and `.locks` beside them, as
 * Python's huggingface_hub lays it out, so that each reads what the other downloaded. Must not use the network.
 */

import {
  ifThere,
  link,
  makeFolder,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  systemCode,
  unfinished,
  writeWhole,
} from "../files/file-system.js";
import path from "../files/path.js";
import { isCommit } from "./name.js";

/** The folders of one model; `snapshot` is the folder that a pipeline opens. */
export type RepoCache = {
  id: string;
  root: string;
  locks: string;
  snapshots: string;
  refs: string;
  blobs: string;
  snapshot(commit: string): string;
  /** `etag` is a file's sha256, or git's sha1 for a small file that is not in LFS. */
  blob(etag: string): string;
};

export const repoPrefix = "models--";

/** The folders of `id` in the cache; reads and makes none. */
export function repoCache(cache: string, id: string): RepoCache {
  const name = repoPrefix + id.replaceAll("/", "--");
  const root = path.join(cache, name);
  const [snapshots, refs, blobs] = ["snapshots", "refs", "blobs"].map((kind) => path.join(root, kind));
  return {
    id,
    root,
    locks: path.join(cache, ".locks", name),
    snapshots: snapshots!,
    refs: refs!,
    blobs: blobs!,
    snapshot: (commit) => path.join(snapshots!, commit),
    blob: (etag) => path.join(blobs!, etag),
  };
}

/** The name on the Hub, `owner/name[/path]`, of a path in a cache; undefined for any other path. */
export function cachedName(at: string): string | undefined {
  const steps = path.resolve(at).split(path.sep);
  const root = steps.findLastIndex((step) => step.startsWith(repoPrefix));
  if (root < 0 || steps[root + 1] !== "snapshots" || !isCommit(steps[root + 2] ?? "")) return undefined;
  return [steps[root]!.slice(repoPrefix.length).replace("--", "/"), ...steps.slice(root + 3)].join("/");
}

/** The commit of a revision at its last download; undefined where it was not downloaded. */
export async function cachedCommit(repo: RepoCache, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision;
  return ifThere(async () => (await readFile(path.join(repo.refs, revision), "utf8")).trim());
}

/** Writes the commit of a branch or tag; a commit needs no ref. */
export async function writeRef(repo: RepoCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await cachedCommit(repo, revision)) === commit) return;
  const file = path.join(repo.refs, revision);
  await makeFolder(path.dirname(file));
  // No line break at the end: Python reads the whole file as the commit.
  await writeWhole(file, commit);
}

/** All refs, as [revision, commit]. */
export async function readRefs(repo: RepoCache): Promise<[string, string][]> {
  const names = (await filesUnder(repo.refs)).filter((name) => !unfinished(name));
  return Promise.all(
    names.map(
      async (name) => [name, (await readFile(path.join(repo.refs, name), "utf8")).trim()] as [string, string],
    ),
  );
}

/** The files below a folder as sorted paths with "/" between; none where there is no folder. */
export async function filesUnder(folder: string): Promise<string[]> {
  const entries = (await ifThere(() => readdir(folder, { recursive: true, withFileTypes: true }))) ?? [];
  const files = entries.filter((entry) => !entry.isDirectory() && entry.name !== ".DS_Store");
  return files
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join("/"))
    .sort();
}

/** Whether a file of exactly this size is there, behind any links. */
export async function isWhole(file: string, size: number): Promise<boolean> {
  const found = await ifThere(() => stat(file));
  return found?.isFile() === true && found.size === size;
}

/** Links `snapshots/<commit>/<file>` to the blob; the link is relative, so that the cache may be moved. */
export async function linkBlob(repo: RepoCache, commit: string, file: string, etag: string): Promise<void> {
  const pointer = path.join(repo.snapshot(commit), ...file.split("/"));
  const blob = repo.blob(etag);
  const target = path.relative(path.dirname(pointer), blob);
  if ((await ifThere(() => readlink(pointer))) === target) return;
  await makeFolder(path.dirname(pointer));
  await rm(pointer, { force: true });
  try {
    await symlink(target, pointer);
  } catch (error) {
    // Another process has just made it.
    if (systemCode(error) === "EEXIST") return;
    // Windows lets only some users make symbolic links. Python copies the file then; a hard link needs no disk space.
    if (systemCode(error) !== "EPERM") throw error;
    await link(blob, pointer);
  }
}
