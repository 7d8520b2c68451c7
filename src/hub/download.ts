/**
 * @file Brings one file of the Hub into the cache's blobs: from the byte where it broke off, by one process at a time,
 * and only if its hash is right.
 */

import { createHash } from "node:crypto";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { lock } from "proper-lockfile";
import { Cancelled, FileError, ModelError } from "../errors.js";
import { remedyFor, systemCode } from "../files/file-errors.js";
import {
  appending,
  ifThere,
  makeFolder,
  readStream,
  rename,
  rm,
  stat,
  writeAll,
} from "../files/file-system.js";
import { isWhole, type RepoCache } from "./cache.js";
import { type HubClient, type HubFile, RangeIgnored } from "./client.js";
import type { HubModel } from "./id.js";
import { HubUnreachable, reason } from "./refusal.js";
import { pause } from "./request.js";

export type Download = {
  hub: HubClient;
  model: HubModel;
  commit: string;
  repo: RepoCache;
  signal: AbortSignal;
  /** How many bytes of the file are there. */
  onBytes: (done: number) => void;
  onNote?: ((note: string) => void) | undefined;
};

/** Downloads `file` unless its blob is there; what is there of it after a failure is kept. ModelError, Cancelled. */
export async function downloadBlob(file: HubFile, download: Download): Promise<void> {
  const { repo, signal, onBytes } = download;
  const blob = repo.blob(file.etag);
  if (!(await isWhole(blob, file.size))) {
    await makeFolder(repo.blobs);
    await makeFolder(repo.locks);
    const lost = new AbortController();
    const release = await hold(file, download, (error) => lost.abort(error));
    try {
      // The process that held the lock before may have brought it.
      if (!(await isWhole(blob, file.size))) {
        await complete(file, { ...download, signal: AbortSignal.any([signal, lost.signal]) });
      }
    } catch (error) {
      if (!lost.signal.aborted) throw error;
      const problem =
        "the lock on the download must be kept, got it taken by another process. Run this again.";
      throw new ModelError(`${repo.id}/${file.path}`, problem);
    } finally {
      await release().catch(() => undefined);
    }
  }
  onBytes(file.size);
}

/**
 * Waits for this file's lock. Python locks `<etag>.lock` with flock, which Node cannot; a lock of our own beside it
 * keeps our processes apart, and `own` keeps us apart from Python.
 */
async function hold(
  file: HubFile,
  { repo, signal, onNote }: Download,
  onCompromised: (error: Error) => void,
) {
  const target = path.join(repo.locks, `${file.etag}.koala`);
  for (let tries = 0; ; tries++) {
    try {
      return await lock(target, { realpath: false, stale: 20_000, onCompromised });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ELOCKED") throw explained(error, file, repo);
    }
    if (tries === 4) onNote?.(`another process is downloading ${file.path}; waiting for it`);
    await pause(250, signal);
  }
}

async function complete(file: HubFile, download: Download): Promise<void> {
  const { repo } = download;
  const partial = await own(repo.blob(file.etag));
  try {
    const resumed = await append(partial, file, download);
    let wrong = await wrongHash(partial, file);
    if (wrong && resumed) {
      download.onNote?.(`${file.path}: what was there of it was damaged; downloading it anew`);
      await rm(partial);
      await append(partial, file, download);
      wrong = await wrongHash(partial, file);
    }
    if (wrong) {
      await rm(partial);
      const rule = `must have the hash ${file.etag}, got ${wrong}`;
      const remedy =
        "The download was damaged and is deleted; try again, or check for a proxy that alters files.";
      throw new ModelError(`${repo.id}/${file.path}`, `${rule}. ${remedy}`);
    }
    await rename(partial, repo.blob(file.etag));
  } catch (error) {
    await giveBack(repo.blob(file.etag)).catch(() => undefined); // the first failure is the one to tell
    throw explained(error, file, repo);
  }
}

const shared = (blob: string): string => `${blob}.incomplete`;
const ours = (blob: string): string => `${blob}.koala.incomplete`;

/**
 * The partial file, under a name that no other program writes to: two of them appending to Python's `.incomplete` would
 * garble it. One that another program is writing is left to it.
 */
async function own(blob: string): Promise<string> {
  const there = await ifThere(() => stat(shared(blob)));
  if (!there || (await ifThere(() => stat(ours(blob))))) return ours(blob);
  if (Date.now() - there.mtimeMs < 10_000) {
    await pause(1000, undefined);
    const now = await ifThere(() => stat(shared(blob)));
    if (now?.size !== there.size) return ours(blob);
  }
  await ifThere(() => rename(shared(blob), ours(blob)));
  return ours(blob);
}

/** Leaves the partial file where Python's client looks for it too. */
async function giveBack(blob: string): Promise<void> {
  if (await ifThere(() => stat(shared(blob)))) return;
  await ifThere(() => rename(ours(blob), shared(blob)));
}

/** Appends what is missing, asking again as long as something comes; whether anything was there before. */
async function append(partial: string, file: HubFile, download: Download): Promise<boolean> {
  const { hub, model, commit, signal, onBytes } = download;
  return appending(partial, async (handle) => {
    let { size } = await handle.stat();
    const restart = async () => handle.truncate((size = 0));
    if (size > file.size) await restart();
    const resumed = size > 0;
    let furthest = size;
    for (let failures = 0; size < file.size; ) {
      try {
        for await (const chunk of hub.read(model, commit, file, size, signal)) {
          await writeAll(handle, chunk);
          size += chunk.length;
          onBytes(Math.min(size, file.size));
        }
        if (size < file.size) throw new Error("an answer that ends too early");
        if (size > file.size) throw new Error("more bytes than it should have");
      } catch (error) {
        if (signal.aborted) throw new Cancelled("the download");
        // Not the network's but the disk's.
        if (error instanceof ModelError || systemCode(error)) throw error;
        failures = size > furthest ? 0 : failures + 1;
        furthest = Math.max(furthest, size);
        if (error instanceof RangeIgnored || size > file.size) await restart();
        if (failures >= hub.patience.attempts) {
          const rule = `must arrive whole, got ${reason(error)} ${failures} times at byte ${size} of ${file.size}`;
          throw new HubUnreachable(`${model.id}/${file.path}`, `${rule}. Try again: what is there is kept.`);
        }
        await pause(hub.patience.pause * 2 ** failures, signal);
      }
    }
    return resumed;
  });
}

/** The file's hash where it is not what the Hub says; undefined where it is. */
async function wrongHash(partial: string, { etag, size }: HubFile): Promise<string | undefined> {
  const hash = createHash(etag.length === 64 ? "sha256" : "sha1");
  // A file outside LFS is named by git's hash of it.
  if (etag.length === 40) hash.update(`blob ${size}\0`);
  await pipeline(readStream(partial), hash);
  const got = hash.digest("hex");
  return got === etag ? undefined : got;
}

/** The system's error as one about this file. */
function explained(error: unknown, file: HubFile, repo: RepoCache): unknown {
  const code = systemCode(error);
  if (!code) return error;
  const where = `${repo.id}/${file.path}`;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new FileError(where, code, diskFull(repo.root, file.size), error);
  }
  const rule = `must be written to ${repo.root}, got ${code}. ${remedyFor(code, "write")}`;
  return new FileError(where, code, `${rule} HF_HOME names the place.`, error);
}

/** The message for a disk without room for `bytes` more. */
export function diskFull(folder: string, bytes: number): string {
  const room = `${(bytes / 1e9).toFixed(2)} GB of free disk`;
  return `needs ${room} at ${folder}, got less. Free some ("koala models remove"), or set HF_HOME to another disk.`;
}
