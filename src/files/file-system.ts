/**
 * @file The file system: Node's functions, with errors that are FileErrors of path and remedy, and functions that read
 * and write models' files. No other module of `src` imports Node's file system.
 */
import { constants, createReadStream } from "node:fs";
import * as system from "node:fs/promises";
import { Readable } from "node:stream";
import { ModelError } from "../errors.js";
import { type FileUse, fileError, systemCode } from "./file-errors.js";
import { type JsonObject, parseJsonObject } from "./json.js";
import { basename, dirname, join } from "./path.js";

export { systemCode } from "./file-errors.js";

type FileHandle = system.FileHandle;

// One read call takes at most 2^31 - 1 bytes.
const chunkBytes = 2 ** 30;
const maxJsonBytes = 100_000_000;

/** The same function with FileErrors about its argument of index `argument`. */
function withFileErrors<F extends (...args: never[]) => Promise<unknown>>(
  call: F,
  use: FileUse,
  argument = 0,
): F {
  const checked = async (...args: Parameters<F>) => {
    try {
      return await call(...args);
    } catch (error) {
      // An error about a folder inside the folder names that one.
      const named = argument === 0 && error instanceof Error && "path" in error && error.path;
      throw fileError(error, use, String(named || args[argument]));
    }
  };
  return checked as unknown as F;
}

const lstat = withFileErrors(system.lstat, "read");
export const readdir = withFileErrors(system.readdir, "read");
export const readFile = withFileErrors(system.readFile, "read");
export const readlink = withFileErrors(system.readlink, "read");
export const realpath = withFileErrors(system.realpath, "read");
export const stat = withFileErrors(system.stat, "read");
export const statfs = withFileErrors(system.statfs, "read");
export const link = withFileErrors(system.link, "write", 1);
export const mkdtemp = withFileErrors(system.mkdtemp, "write");
export const rename = withFileErrors(system.rename, "write", 1);
export const rm = withFileErrors(system.rm, "write");
export const rmdir = withFileErrors(system.rmdir, "write");
export const symlink = withFileErrors(system.symlink, "write", 1);
export const utimes = withFileErrors(system.utimes, "write");
export const writeFile = withFileErrors(system.writeFile, "write");

/** Makes a folder and those above it, unless it exists. */
export const makeFolder = withFileErrors(makeFolders, "write");

/** On a read-only disk Node's own `recursive` gives ENOENT. */
async function makeFolders(folder: string): Promise<void> {
  const above = dirname(folder);
  const make = () =>
    system.mkdir(folder).catch(async (error: unknown) => {
      if ((await kindOf(folder).catch(() => undefined)) !== "folder") throw error;
    });
  await make().catch(async (error: unknown) => {
    if (systemCode(error) !== "ENOENT" || above === folder) throw error;
    await makeFolders(above);
    await make();
  });
}

/** Copies a file; on disks with copy-on-write the copy takes no space until one of them changes. */
export const copyFile = withFileErrors(
  (from: string, to: string) => system.copyFile(from, to, constants.COPYFILE_FICLONE),
  "write",
  1,
);

/** The result of `read`, or undefined where the file does not exist (or is not a link). */
export async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EINVAL"].includes(systemCode(error) ?? "")) return undefined;
    throw error;
  }
}

/** "file", "folder" or, for a path that does not exist, undefined; links are followed. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  // To Node such a path is a wrong argument, not a missing file.
  if (path.includes("\0")) return undefined;
  const found = await ifThere(() => stat(path));
  return found && (found.isDirectory() ? "folder" : "file");
}

/** The absolute path of a file with links resolved; ModelError for a missing file and for a broken link. */
export async function realFile(path: string): Promise<string> {
  const kind = await kindOf(path);
  if (kind === "file") return realpath(path);
  if (kind === "folder") throw new ModelError(path, "must be a file, got a folder. Pass a file inside it.");
  const link = await ifThere(() => lstat(path));
  if (link?.isSymbolicLink()) {
    const target = await readlink(path);
    throw new ModelError(
      path,
      `must lead to a file, got a link to ${target}, which is absent. ${downloadIt}`,
    );
  }
  throw new ModelError(path, `no such file. Check the path; if the download was interrupted, repeat it.`);
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

/** Opens `file` for reading while `use` runs; system errors are about `path`. */
export const reading = <T>(path: string, file: string, use: (handle: FileHandle) => Promise<T>) =>
  opened(file, "r", { path, use: "read" }, use);

/** Opens a file for reading and appending while `use` runs, and makes it if it does not exist. */
export const appending = <T>(path: string, use: (handle: FileHandle) => Promise<T>) =>
  opened(path, "a+", { path, use: "write" }, use);

async function opened<T>(
  file: string,
  flags: string,
  { path, use }: { path: string; use: FileUse },
  work: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  try {
    const handle = await system.open(file, flags);
    try {
      return await work(handle);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, use, path);
  }
}

/** A stream of a file's bytes. */
export function readStream(path: string): Readable {
  return Readable.from(partsOf(path), { objectMode: false });
}

async function* partsOf(path: string): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(path, { highWaterMark: 2 ** 20 });
  try {
    yield* stream;
  } catch (error) {
    throw fileError(error, "read", path);
  } finally {
    stream.destroy();
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

/** Writes all of `bytes` at the file's current position, or from byte `at` on. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, at?: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const part = bytes.subarray(done, done + chunkBytes);
    const position = at === undefined ? null : at + done;
    done += (await handle.write(part, 0, part.length, position)).bytesWritten;
  }
}

/** Writes a file beside `path` and renames it, so that `path` is never incomplete. */
export async function writeBeside(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const beside = partialName(path);
  try {
    await opened(beside, "wx", { path, use: "write" }, async (handle) => {
      await write(handle);
      await handle.sync();
    });
    await rename(beside, path);
  } catch (error) {
    await system.rm(beside, { force: true }).catch(() => undefined); // the first failure is thrown
    throw error;
  }
}

/** Writes bytes or a text as `writeBeside` does, and makes the folder if it does not exist. */
export async function writeWhole(path: string, content: Uint8Array | string): Promise<void> {
  await makeFolder(dirname(path));
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  await writeBeside(path, (handle) => writeAll(handle, bytes));
}

/** A name that `unfinished` recognizes; not longer than the file's own where that is long. */
function partialName(path: string): string {
  const name = Buffer.byteLength(basename(path)) > 200 ? "" : basename(path);
  return join(dirname(path), `${name}.${crypto.randomUUID()}.partial`);
}

/** Whether a name is that of a partial file, as a killed process leaves it. */
export const unfinished = (name: string): boolean => /\.[0-9a-f-]{36}\.partial$/.test(name);

const downloadIt = "Download it again.";
