/** @file Downloads the selected files of a repository into the browser's storage; without the Hub, uses what is stored. */

import { listed, ModelError } from "../errors.js";
import { mount, readJson, remoteFiles } from "../files/file-system.browser.js";
import path from "../files/path.js";
import type { HubFile } from "./client.js";
import { commitOf, filesOf, type HubAccess } from "./hub-client.browser.js";
import { type HubModel, isCommit } from "./name.js";
import type { Selection } from "./select.js";
import { shardsOf } from "./shards.js";
import type { SelectionPlan, Snapshot, SnapshotOptions } from "./snapshot.js";
import { StoredRepo } from "./storage.browser.js";
import { storeFiles, urlOf } from "./store-files.browser.js";
import { HubUnreachable } from "./unreachable.js";

/** A commit's files, and those of which all is stored. */
type Listing = {
  commit: string;
  files: readonly HubFile[];
  whole: Set<string>;
  /** Whether the Hub can be asked for the others. */
  complete: boolean;
};

/** The files that `plan` selects, downloaded if need be. ModelError, InvalidRequest, Cancelled. */
export async function storedSnapshot<S extends Selection>(
  model: HubModel,
  plan: SelectionPlan<S>,
  options: SnapshotOptions,
): Promise<Snapshot<S>> {
  const { token, signal = new AbortController().signal, onNote, onProgress, confirmDownload } = options;
  const endpoint = (options.endpoint ?? "https://huggingface.co").replace(/\/+$/, "");
  const access: HubAccess = { endpoint, token, signal };
  const repo = await StoredRepo.open(model.id);
  if (!repo) onNote?.("this browser has no storage here (it needs https): nothing is kept");
  const { commit, files, whole, complete } = await listing(model, repo, access, onNote);
  const names = files.map((file) => file.path).filter((name) => complete || whole.has(name));
  const byName = new Map(files.map((file) => [file.path, file]));
  const storing = repo && { repo, commit, access, onNote };
  const remote = remoteFiles((name) => new URL(urlOf(model.id, commit, name, access)));
  /** The file, downloaded if it is not stored. */
  const inStorage = async (name: string, into: NonNullable<typeof storing>) => {
    const file = byName.get(name)!;
    if (!whole.has(name)) await storeFiles([file], into);
    whole.add(name);
    return file;
  };
  // As the cache on a disk is laid out, so that an image's record names model and commit.
  const folder = `/hub/models--${model.id.replaceAll("/", "--")}/snapshots/${commit}`;
  mount(folder, {
    files: new Map(names.map((name) => [name, byName.get(name)!.size])),
    read: async (name, offset, length) =>
      storing
        ? storing.repo.read(await inStorage(name, storing), offset, length)
        : remote.read(name, offset, length),
    blob: async (name) => (storing ? storing.repo.blob(await inStorage(name, storing)) : remote.blob(name)),
  });
  const read = async (name: string) => (names.includes(name) ? readJson(path.join(folder, name)) : undefined);
  const selection = await plan.select({ names, complete, has: (name) => whole.has(name), read });
  const shards = (await Promise.all(selection.indexes.map((index) => shardsOf(folder, index)))).flat();
  const missing = [...selection.missing, ...shards.filter((shard) => !names.includes(shard))];
  if (missing.length > 0 && !complete) {
    const rule = `must be whole in this browser's storage, missing ${listed(missing)}`;
    throw new ModelError(
      model.id,
      `${rule}. Connect and load it again: the download goes on where it stopped.`,
    );
  }
  if (missing.length > 0) throw plan.refuse(missing, names);
  if (storing && complete) {
    const wanted = [...selection.files, ...selection.indexes, ...shards].map((name) => byName.get(name)!);
    await storeFiles(wanted, { ...storing, onProgress, confirmDownload });
    for (const file of wanted) whole.add(file.path);
    await storing.repo.keep(model.revision, commit, files);
  }
  return { folder, selection };
}

/** The Hub's list of files; where it cannot be reached, or a commit is asked for, that of the last download. */
async function listing(
  model: HubModel,
  repo: StoredRepo | undefined,
  access: HubAccess,
  onNote: ((note: string) => void) | undefined,
): Promise<Listing> {
  const listed = async (commit: string, complete: boolean, stored?: readonly HubFile[]): Promise<Listing> => {
    const files = stored ?? (await filesOf(model, commit, access));
    const whole = new Set<string>();
    for (const file of repo ? files : []) if (await repo!.isWhole(file)) whole.add(file.path);
    return { commit, files, whole, complete };
  };
  try {
    const { revision } = model;
    const known = isCommit(revision) ? await repo?.files(revision) : undefined;
    if (known) return await listed(revision, true, known);
    const commit = await commitOf(model, access);
    return await listed(commit, true, await repo?.files(commit));
  } catch (error) {
    if (!(error instanceof HubUnreachable)) throw error;
    const commit = await repo?.commit(model.revision);
    const files = commit === undefined ? undefined : await repo?.files(commit);
    if (commit === undefined || !files) throw error;
    onNote?.(`${error.message} Using what is stored, which may be out of date.`);
    return listed(commit, false, files);
  }
}
