/** @file Downloads the files of one commit into the cache, a few at a time, and links them into its snapshot. */

import { Cancelled, ModelError } from "../errors.js";
import { makeFolder } from "../files/file-system.js";
import path from "../files/path.js";
import { freeBytes } from "../files/writable.js";
import { isWhole, linkBlob, type RepoCache } from "./cache.js";
import type { HubFile } from "./client.js";
import { type Download, diskFull, downloadBlob } from "./download.js";

/** Bytes of all files to download, of which `done` are on disk; `file` is the one that grew. */
export type DownloadProgress = { file: string; done: number; total: number };

/** Bytes that a model's files lack, before the first of them is downloaded. */
export type PendingDownload = { model: string; bytes: number };
/** Whether to download them. */
export type ConfirmDownload = (download: PendingDownload) => boolean | Promise<boolean>;

export type FetchOptions = Omit<Download, "onBytes"> & {
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  confirmDownload?: ConfirmDownload | undefined;
};

// Small files cost a round trip each; more at a time would load the Hub.
const concurrency = 4;

/** Downloads the files that are not in the cache, each blob once, and links all of them. ModelError, Cancelled. */
export async function fetchFiles(files: readonly HubFile[], options: FetchOptions): Promise<void> {
  const { repo, commit, model, confirmDownload } = options;
  await makeFolder(repo.snapshot(commit));
  const queue = await unlinked(files, options);
  const absent: HubFile[] = [];
  for (const [file] of queue) if (!(await isWhole(repo.blob(file.etag), file.size))) absent.push(file);
  const total = absent.reduce((sum, { size }) => sum + size, 0);
  await refuseFullDisk(repo, total);
  if (total > 0 && confirmDownload && !(await confirmDownload({ model: model.id, bytes: total })))
    throw new Cancelled("the download");
  const onBytes = counter(total, options.onProgress);
  await inParallel(options.signal, async (signal) => {
    for (let same = queue.shift(); same; same = queue.shift()) {
      if (signal.aborted) throw new Cancelled("the download");
      const [file] = same;
      const grown = absent.includes(file) ? (done: number) => onBytes(file, done) : () => {};
      await downloadBlob(file, { ...options, signal, onBytes: grown });
      for (const { path, etag } of same) await linkBlob(repo, commit, path, etag);
    }
  });
}

/** The files that the snapshot lacks; those of the same content are one entry. */
async function unlinked(files: readonly HubFile[], { repo, commit }: FetchOptions) {
  const byHash = new Map<string, [HubFile, ...HubFile[]]>();
  for (const file of files) {
    if (await isWhole(path.join(repo.snapshot(commit), file.path), file.size)) continue;
    const same = byHash.get(file.etag);
    if (same) same.push(file);
    else byHash.set(file.etag, [file]);
  }
  return [...byHash.values()];
}

function counter(total: number, onProgress: FetchOptions["onProgress"]) {
  const bytes = new Map<string, number>();
  return ({ path: file, etag }: HubFile, done: number): void => {
    bytes.set(etag, done);
    onProgress?.({ file, done: [...bytes.values()].reduce((a, b) => a + b, 0), total });
  };
}

/** Runs a few of the same worker; the first to fail cancels the others, and its error is thrown once all have ended. */
async function inParallel(given: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([given, failed.signal]);
  const errors: unknown[] = [];
  const worker = () =>
    work(signal).catch((error) => {
      errors.push(error);
      failed.abort();
    });
  await Promise.all(Array.from({ length: concurrency }, worker));
  if (errors.length) throw errors[0];
}

async function refuseFullDisk({ id, root }: RepoCache, bytes: number): Promise<void> {
  if ((await freeBytes(root)) < bytes) throw new ModelError(id, diskFull(root, bytes));
}
