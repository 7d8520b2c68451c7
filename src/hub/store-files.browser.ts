/** @file Downloads files of the Hub into the browser's storage: several pieces at once, resumed, checked by their hash. */

import { bytesToHex } from "@noble/hashes/utils";
import { byteSize } from "../byte-size.js";
import { Cancelled, ModelError } from "../errors.js";
import { sha256 } from "../files/hash.js";
import type { HubFile } from "./client.js";
import type { ConfirmDownload, DownloadProgress } from "./fetch.js";
import { type HubAccess, readInto } from "./hub-client.browser.js";
import { pieceBytes, type StoredRepo } from "./storage.browser.js";

export type Storing = {
  repo: StoredRepo;
  commit: string;
  access: HubAccess;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  confirmDownload?: ConfirmDownload | undefined;
  onNote?: ((note: string) => void) | undefined;
};

const concurrency = 4;

export const urlOf = (id: string, commit: string, file: string, { endpoint }: HubAccess): string =>
  `${endpoint}/${id}/resolve/${commit}/${file.split("/").map(encodeURIComponent).join("/")}`;

/** Downloads what is not stored of these files; ModelError, Cancelled. Of two tabs the second waits for the first. */
export async function storeFiles(files: readonly HubFile[], storing: Storing): Promise<void> {
  const { repo, access, onNote } = storing;
  const name = `koala-diffusion/${repo.id}`;
  const held = (await navigator.locks.query()).held?.some((lock) => lock.name === name);
  if (held) onNote?.(`another tab is downloading ${repo.id}; waiting for it`);
  await navigator.locks.request(name, { signal: access.signal }, () => storeAll(files, storing));
}

async function storeAll(files: readonly HubFile[], storing: Storing): Promise<void> {
  const { repo, onProgress, onNote, confirmDownload } = storing;
  const absent: HubFile[] = [];
  for (const file of new Map(files.map((one) => [one.etag, one])).values())
    if (!(await repo.isWhole(file))) absent.push(file);
  if (absent.length === 0) return;
  const total = absent.reduce((sum, { size }) => sum + size, 0);
  const state = new Map<HubFile, { missing: number[]; resumed: boolean }>();
  for (const file of absent) {
    const offsets = offsetsOf(file);
    const stored = await Promise.all(offsets.map((at) => repo.piece(file, at)));
    state.set(file, {
      missing: offsets.filter((_, i) => !stored[i]),
      resumed: stored.some((piece) => piece !== undefined),
    });
  }
  let done = total - sumOf([...state].map(([file, { missing }]) => bytesOf(file, missing)));
  const count: Count = (file, bytes) => {
    done += bytes;
    onProgress?.({ file: file.path, done, total });
  };
  await refuseSmallQuota(repo.id, total - done);
  if (confirmDownload && !(await confirmDownload({ model: repo.id, bytes: total - done })))
    throw new Cancelled("the download");
  // Pages alone have it.
  await navigator.storage.persist?.();
  count(absent[0]!, 0); // before the first byte
  for (const [file, { missing, resumed }] of state) {
    let wrong = await storeChecked(file, missing, storing, count);
    if (wrong !== undefined && resumed) {
      onNote?.(`${file.path}: the stored part was damaged; downloading it again`);
      await repo.remove(file);
      wrong = await storeChecked(file, offsetsOf(file), storing, () => {});
    }
    if (wrong !== undefined) {
      await repo.remove(file);
      const rule = `must have the hash ${file.etag}, got ${wrong}`;
      throw new ModelError(
        `${repo.id}/${file.path}`,
        `${rule}. The download was damaged and is deleted; try again.`,
      );
    }
    await repo.markWhole(file);
  }
}

const sumOf = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const offsetsOf = ({ size }: HubFile) =>
  Array.from({ length: Math.ceil(size / pieceBytes) }, (_, i) => i * pieceBytes);
const lengthAt = ({ size }: HubFile, offset: number) => Math.min(pieceBytes, size - offset);
const bytesOf = (file: HubFile, offsets: readonly number[]) =>
  sumOf(offsets.map((offset) => lengthAt(file, offset)));

type Count = (file: HubFile, bytes: number) => void;

/** Downloads these pieces; the file's hash, if it is wrong. A piece is hashed once all before it are there, meanwhile. */
async function storeChecked(file: HubFile, offsets: readonly number[], storing: Storing, count: Count) {
  const arrived = new Map<number, () => void>();
  const arrivals = new Map(
    offsets.map((offset) => [offset, new Promise<void>((done) => arrived.set(offset, done))]),
  );
  const wrong = wrongHash(storing.repo, file, (offset) => arrivals.get(offset));
  wrong.catch(() => {}); // where the download fails, that is thrown
  await storePieces(file, offsets, storing, { count, onStored: (offset) => arrived.get(offset)!() });
  return wrong;
}

/** Downloads these pieces, a few at a time; the first failure ends the others. */
async function storePieces(
  file: HubFile,
  offsets: readonly number[],
  { repo, commit, access }: Storing,
  { count, onStored }: { count: Count; onStored: (offset: number) => void },
): Promise<void> {
  const queue = [...offsets];
  const failed = new AbortController();
  const limited = { ...access, signal: AbortSignal.any([access.signal, failed.signal]) };
  const url = urlOf(repo.id, commit, file.path, access);
  const errors: unknown[] = [];
  const worker = async () => {
    for (let offset = queue.shift(); offset !== undefined; offset = queue.shift()) {
      const bytes = new Uint8Array(lengthAt(file, offset));
      await readInto(bytes, { id: repo.id, url, offset }, limited, (more) => count(file, more));
      await repo.writePiece(file, offset, bytes).catch((error: unknown) => {
        if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
        throw new ModelError(repo.id, tooSmall(bytes.length, 0));
      });
      onStored(offset);
    }
  };
  const run = () =>
    worker().catch((error: unknown) => {
      errors.push(error);
      failed.abort();
    });
  await Promise.all(Array.from({ length: concurrency }, run));
  if (errors.length > 0) throw errors[0];
}

const tooSmall = (bytes: number, free: number) =>
  `needs ${byteSize(bytes)} of this browser's storage, got ${byteSize(free)}. Delete stored models, or free disk.`;

/** Says before a download that it will not fit. */
async function refuseSmallQuota(id: string, bytes: number): Promise<void> {
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
  if (quota - usage < bytes) throw new ModelError(id, tooSmall(bytes, Math.max(0, quota - usage)));
}

/** The file's hash where it differs from the Hub's: SHA-256, or of a small file git's SHA-1. `stored` is waited for. */
async function wrongHash(
  repo: StoredRepo,
  file: HubFile,
  stored: (offset: number) => Promise<void> | undefined,
): Promise<string | undefined> {
  const { etag, size } = file;
  let got: string;
  if (etag.length === 40) {
    for (const offset of offsetsOf(file)) await stored(offset);
    const head = new TextEncoder().encode(`blob ${size}\0`);
    const whole = new Uint8Array(head.length + size);
    whole.set(head);
    whole.set(await repo.read(file, 0, size), head.length);
    got = bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-1", whole)));
  } else {
    const hash = sha256();
    for (const offset of offsetsOf(file)) {
      await stored(offset);
      hash.update(await repo.read(file, offset, lengthAt(file, offset)));
    }
    got = hash.hex();
  }
  return got === etag ? undefined : got;
}
