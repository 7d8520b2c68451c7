/**
 * @file Downloads one file of the Hub into the cache's blobs: resumed at the byte where it stopped, by one process at a
 * time, and kept only if its hash is right.
 */

import { createHash } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { lock } from "proper-lockfile";
import { byteSize } from "../byte-size.js";
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
import path from "../files/path.js";
import { isWhole, type RepoCache } from "./cache.js";
import { type HubClient, type HubFile, RangeIgnored } from "./client.js";
import type { HubModel } from "./name.js";
import { pause } from "./request.js";
import { reason } from "./response-errors.js";
import { HubUnreachable } from "./unreachable.js";

export type Download = {
  hub: HubClient;
  model: HubModel;
  commit: string;
  repo: RepoCache;
  signal: AbortSignal;
  /** Called with the number of bytes of the file on disk. */
  onBytes: (done: number) => void;
  onNote?: ((note: string) => void) | undefined;
};

/** Downloads `file` unless its blob exists; a partial file is kept after a failure. ModelError, Cancelled. */
export async function downloadBlob(file: HubFile, download: Download): Promise<void> {
  const { repo, signal, onBytes } = download;
  const blob = repo.blob(file.etag);
  if (!(await isWhole(blob, file.size))) {
    await makeFolder(repo.blobs);
    await makeFolder(repo.locks);
    const lost = new AbortController();
    const release = await acquireLock(file, download, (error) => lost.abort(error));
    try {
      // The process that held the lock before may have downloaded it.
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
 * Waits for this file's lock. Python locks `<etag>.lock` with flock, which Node does not have: this lock excludes only
 * processes of this library, and `claimPartial` those of Python.
 */
async function acquireLock(
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
  const partial = await claimPartial(repo.blob(file.etag));
  try {
    const resumed = await append(partial, file, download);
    let wrong = await wrongHash(partial, file);
    if (wrong && resumed) {
      download.onNote?.(`${file.path}: the partial file was damaged; downloading it again`);
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
    await releasePartial(repo.blob(file.etag)).catch(() => undefined); // the first failure is reported
    throw explained(error, file, repo);
  }
}

const sharedPartial = (blob: string): string => `${blob}.incomplete`;
const ownPartial = (blob: string): string => `${blob}.koala.incomplete`;

/**
 * The partial file, under a name that no other program writes to: two that append to Python's `.incomplete` would
 * corrupt it. A partial file that another program is writing is not touched.
 */
async function claimPartial(blob: string): Promise<string> {
  const there = await ifThere(() => stat(sharedPartial(blob)));
  if (!there || (await ifThere(() => stat(ownPartial(blob))))) return ownPartial(blob);
  if (Date.now() - there.mtimeMs < 10_000) {
    await pause(1000, undefined);
    const now = await ifThere(() => stat(sharedPartial(blob)));
    if (now?.size !== there.size) return ownPartial(blob);
  }
  await ifThere(() => rename(sharedPartial(blob), ownPartial(blob)));
  return ownPartial(blob);
}

/** Renames the partial file to the name that Python's client looks for. */
async function releasePartial(blob: string): Promise<void> {
  if (await ifThere(() => stat(sharedPartial(blob)))) return;
  await ifThere(() => rename(ownPartial(blob), sharedPartial(blob)));
}

/** Appends the missing bytes, retrying while any arrive; returns whether the file had bytes before. */
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
        // An error of the disk, not of the network.
        if (error instanceof ModelError || systemCode(error)) throw error;
        failures = size > furthest ? 0 : failures + 1;
        furthest = Math.max(furthest, size);
        if (error instanceof RangeIgnored || size > file.size) await restart();
        if (failures >= hub.retry.attempts) {
          const rule = `must arrive whole, got ${reason(error)} ${failures} times at byte ${size} of ${file.size}`;
          throw new HubUnreachable(
            `${model.id}/${file.path}`,
            `${rule}. Try again: the partial file is kept.`,
          );
        }
        await pause(hub.retry.pause * 2 ** failures, signal);
      }
    }
    return resumed;
  });
}

/** The file's hash where it differs from the Hub's; undefined where it is equal. */
async function wrongHash(partial: string, { etag, size }: HubFile): Promise<string | undefined> {
  const hash = createHash(etag.length === 64 ? "sha256" : "sha1");
  // The etag of a file outside LFS is its hash in git.
  if (etag.length === 40) hash.update(`blob ${size}\0`);
  await pipeline(readStream(partial), hash);
  const got = hash.digest("hex");
  return got === etag ? undefined : got;
}

/** A system error as one about this file. */
function explained(error: unknown, file: HubFile, repo: RepoCache): unknown {
  const code = systemCode(error);
  if (!code) return error;
  const where = `${repo.id}/${file.path}`;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new FileError(where, code, diskFull(repo.root, file.size), error);
  }
  const rule = `must be written to ${repo.root}, got ${code}. ${remedyFor(code, "write")}`;
  return new FileError(where, code, `${rule} HF_HOME chooses another folder.`, error);
}

/** The message for a disk without room for `bytes` more. */
export function diskFull(folder: string, bytes: number): string {
  const room = `${byteSize(bytes)} of free disk`;
  return `needs ${room} at ${folder}, got less. Free some ("koala models remove"), or set HF_HOME to another disk.`;
}
