/** @file Reading and writing a model's files in Node, every failure told as a ModelError that names the path. */
import { randomUUID } from "node:crypto";
import { type FileHandle, lstat, open, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { ModelError } from "../errors.js";
import { type JsonObject, parseJsonObject } from "./json.js";

// One read call takes at most 2^31 - 1 bytes.
const chunkBytes = 2 ** 30;
const maxJsonBytes = 100_000_000;

/** "file", "folder" or, where nothing is, undefined; a link counts as what it leads to. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && (found.isDirectory() ? "folder" : "file");
}

/** The absolute path behind any links; ModelError where there is no such file, or the link leads nowhere. */
export async function realFile(path: string): Promise<string> {
  const kind = await kindOf(path);
  if (kind === "file") return realpath(path);
  if (kind === "folder") throw new ModelError(path, "must be a file, got a folder. Pass a file inside it.");
  const link = await lstat(path).catch(() => undefined);
  if (link?.isSymbolicLink()) {
    const target = await readlink(path);
    throw new ModelError(
      path,
      `must lead to a file, got a link to ${target}, which is absent. ${downloadIt}`,
    );
  }
  throw new ModelError(path, `no such file. Check the path; if the download was cut short, repeat it.`);
}

/** Reads a JSON object; ModelError names the file and, for broken JSON, line and column. */
export async function readJson(path: string): Promise<JsonObject> {
  const file = await realFile(path);
  return reading(path, file, async (handle) => {
    const { size } = await handle.stat();
    if (size > maxJsonBytes) {
      throw new ModelError(path, `JSON must be at most 100 MB, got ${size} bytes. ${downloadIt}`);
    }
    return parseJsonObject(await readExactly(handle, path, 0, size), path);
  });
}

/** Reads a text file; ModelError where there is none. */
export async function readText(path: string): Promise<string> {
  return reading(path, await realFile(path), (handle) => handle.readFile("utf8"));
}

/** Reads `length` bytes from `offset`; ModelError where the file ends before. */
export async function readRange(file: string, offset: number, length: number) {
  return reading(file, file, (handle) => readExactly(handle, file, offset, length));
}

/** Opens `file` for the time of `use`; the system's own errors become a ModelError about `path`. */
export async function reading<T>(path: string, file: string, use: (handle: FileHandle) => Promise<T>) {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, "r");
    return await use(handle);
  } catch (error) {
    throw systemCode(error)
      ? new ModelError(path, `cannot be read (${systemCode(error)}). ${checkIt}`)
      : error;
  } finally {
    await handle?.close();
  }
}

/** Fills a new array from an open file; ModelError where the file ends before. */
export async function readExactly(handle: FileHandle, path: string, offset: number, length: number) {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const part = bytes.subarray(done, Math.min(length, done + chunkBytes));
    const { bytesRead } = await handle.read(part, 0, part.length, offset + done);
    if (bytesRead === 0) {
      const got = `a file that ends at byte ${offset + done}`;
      throw new ModelError(
        path,
        `must hold bytes ${offset} to ${offset + length}, got ${got}. ${downloadIt}`,
      );
    }
    done += bytesRead;
  }
  return bytes;
}

/** Writes all of `bytes` where the file stands. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const part = bytes.subarray(done, done + chunkBytes);
    done += (await handle.write(part, 0, part.length)).bytesWritten;
  }
}

/** Writes a file beside `path` and renames it, so that `path` never holds half of one; the system's errors. */
export async function writeBeside(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const beside = `${path}.${randomUUID()}.partial`;
  try {
    const handle = await open(beside, "wx");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** The system's name for a failure (ENOENT, EACCES, ENOSPC), undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "syscall" in error && "code" in error ? String(error.code) : undefined;
}

const downloadIt = "Download it again.";
const checkIt = "Check that the file may be read.";
