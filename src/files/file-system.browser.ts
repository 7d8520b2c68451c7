/**
 * @file The files of a browser: folders that are read by HTTP, in ranges, or lie in its own storage. It takes the place of
 * `file-system.ts`, of which it has the functions that a pipeline reads with; only folders of that storage are written.
 *
 * A path is one of a mounted folder, or a URL: of a folder with a `files.json` that lists its files' sizes by name.
 */

import { FileError, ModelError } from "../errors.js";
import { type JsonObject, parseJsonObject } from "./json.js";
import { basename, dirname, normalize } from "./path.js";

export { systemCode } from "./file-errors.js";

/** The files of a folder by their path below it, with their sizes, and how a range of one is read. */
export type Mounted = {
  readonly files: ReadonlyMap<string, number>;
  read(name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** A file whose bytes the browser keeps, on disk if it can, until they are asked for. */
  blob(name: string): Promise<Blob>;
  /** Writes a file as a whole, where the folder can be written. */
  write?(name: string, use: (handle: WriteHandle) => Promise<void>): Promise<void>;
};

/** A file that is being written: at the end of what was written last, or from byte `at` on. */
export type WriteHandle = { write(bytes: Uint8Array<ArrayBuffer>, at?: number): Promise<void> };

const mounts = new Map<string, Mounted>();

/** Makes files readable below `folder`; what was there before is replaced. */
export const mount = (folder: string, mounted: Mounted): void => void mounts.set(normalize(folder), mounted);

/** At the URL of a folder of files: their sizes by their names. */
const listName = "files.json";
const isUrl = (path: string) => /^https?:\//.test(path);
/** Joining paths makes one slash of two. */
const urlOf = (path: string) => new URL(path.replace(/^(https?:)\/+/, "$1//"));

/** Mounts the folder at a URL; nothing where it has no list of files. */
async function mountUrl(path: string): Promise<void> {
  const folder = urlOf(path.endsWith("/") ? path : `${path}/`);
  const response = await fetch(new URL(listName, folder));
  if (!response.ok) return;
  const files = new Map(Object.entries((await response.json()) as Record<string, number>));
  mount(path.replace(/\/+$/, ""), { files, ...remoteFiles((name) => new URL(name, folder)) });
}

/** Reads the files at these addresses. One range is sent without a preflight. */
export function remoteFiles(addressOf: (name: string) => URL): Pick<Mounted, "read" | "blob"> {
  const answer = async (name: string, headers: HeadersInit) => {
    const response = await fetch(addressOf(name), { headers });
    if (response.ok) return response;
    throw new ModelError(name, `must be readable, got the answer ${response.status}. Load it again.`);
  };
  return {
    read: async (name, offset, length) => {
      if (length === 0) return new Uint8Array(0);
      const response = await answer(name, { Range: `bytes=${offset}-${offset + length - 1}` });
      const bytes = new Uint8Array(await response.arrayBuffer());
      // A server without ranges sends the whole file.
      return response.status === 206 ? bytes : bytes.slice(offset, offset + length);
    },
    blob: async (name) => (await answer(name, {})).blob(),
  };
}

/** A mounted file, or a mounted folder and those in it. */
type Found = { mounted: Mounted; name: string; size: number } | { entries: string[]; inside: string[] };

/** Whether a path is that of a mounted folder or below it. */
function isMounted(given: string): boolean {
  const path = `${normalize(given)}/`;
  return [...mounts.keys()].some((folder) => path.startsWith(`${folder}/`));
}

function find(given: string): Found | undefined {
  const path = normalize(given).replace(/\/+$/, "");
  for (const [folder, mounted] of mounts) {
    if (path !== folder && !path.startsWith(`${folder}/`)) continue;
    const name = path.slice(folder.length + 1);
    const size = mounted.files.get(name);
    if (size !== undefined) return { mounted, name, size };
    const below = name === "" ? "" : `${name}/`;
    const inside = [...mounted.files.keys()]
      .filter((file) => file.startsWith(below))
      .map((file) => file.slice(below.length));
    if (inside.length > 0)
      return { inside, entries: [...new Set(inside.map((file) => file.split("/")[0]!))] };
  }
  return undefined;
}

function fileAt(path: string) {
  const found = find(path);
  if (found && "size" in found) return found;
  const rule = found ? "must be a file, got a folder." : "no such file among those of the model.";
  throw new ModelError(path, `${rule} Check the model's name.`);
}

/** An open file, as far as a pipeline uses Node's. */
type FileHandle = {
  stat(): Promise<{ size: number }>;
  read(into: Uint8Array, at: number, length: number, position: number): Promise<{ bytesRead: number }>;
  readFile(): Promise<Uint8Array<ArrayBuffer>>;
  createReadStream(options?: object): AsyncIterable<Uint8Array>;
};

const pieceBytes = 2 ** 23;

function handleOf(path: string): FileHandle {
  const { mounted, name, size } = fileAt(path);
  const range = (from: number, length: number) => mounted.read(name, from, Math.min(length, size - from));
  return {
    stat: async () => ({ size }),
    read: async (into, at, length, position) => {
      const bytes = position < size ? await range(position, length) : new Uint8Array(0);
      into.set(bytes, at);
      return { bytesRead: bytes.length };
    },
    readFile: () => range(0, size),
    async *createReadStream() {
      for (let at = 0; at < size; at += pieceBytes) yield await range(at, pieceBytes);
    },
  };
}

/** Opens `file` for reading while `use` runs. */
export const reading = async <T>(_path: string, file: string, use: (handle: FileHandle) => Promise<T>) =>
  use(handleOf(file));

/** The file as a Blob: nothing of it is read before it is asked for. */
export function blobOf(path: string): Promise<Blob> {
  const { mounted, name } = fileAt(path);
  return mounted.blob(name);
}

/** "file", "folder" or, for a path that does not exist, undefined. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  if (isUrl(path) && !isMounted(path)) await mountUrl(path);
  const found = find(path);
  return found && ("size" in found ? "file" : "folder");
}

/** The path itself: there are no links. ModelError for a missing file. */
export async function realFile(path: string): Promise<string> {
  fileAt(path);
  return path;
}

/** An entry of a folder, as far as Node's is used. */
type Entry = { name: string; parentPath: string; isDirectory(): boolean };

export async function readdir(path: string): Promise<string[]>;
export async function readdir(
  path: string,
  options: { recursive: true; withFileTypes: true },
): Promise<Entry[]>;
export async function readdir(path: string, options?: object): Promise<string[] | Entry[]> {
  const found = find(path);
  if (!found || "size" in found)
    throw new FileError(path, "ENOENT", "must be readable, got no such folder. Check the model's name.");
  if (!options) return found.entries;
  return found.inside.map((file) => ({
    name: basename(file),
    parentPath: dirname(`${path}/${file}`),
    isDirectory: () => false,
  }));
}

export async function stat(path: string) {
  const found = find(path);
  if (!found) throw new FileError(path, "ENOENT", "must be readable, got no such file. Check its name.");
  const isFile = "size" in found;
  return { size: isFile ? found.size : 0, isDirectory: () => !isFile, isFile: () => isFile };
}

export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
export async function readFile(path: string, encoding: "utf8"): Promise<string>;
export async function readFile(path: string, encoding?: "utf8") {
  const bytes = await handleOf(path).readFile();
  return encoding ? new TextDecoder().decode(bytes) : bytes;
}

/** Reads a JSON object; ModelError names the file and, for broken JSON, line and column. */
export async function readJson(path: string): Promise<JsonObject> {
  return parseJsonObject(await readFile(path), path);
}

/** Reads a text file; ModelError where there is none. */
export const readText = (path: string): Promise<string> => readFile(path, "utf8");

/** Reads `length` bytes from `offset`; ModelError where the file ends before. */
export const readRange = (file: string, offset: number, length: number) =>
  reading(file, file, (handle) => readExactly(handle, file, offset, length));

/** Fills a new array from an open file; ModelError where the file ends before. */
export async function readExactly(handle: FileHandle, path: string, offset: number, length: number) {
  const bytes = new Uint8Array(length);
  const { bytesRead } = await handle.read(bytes, 0, length, offset);
  if (bytesRead === length) return bytes;
  const got = `a file that ends at byte ${offset + bytesRead}`;
  throw new ModelError(path, `must hold bytes ${offset} to ${offset + length}, got ${got}. Load it again.`);
}

/** The result of `read`, or undefined where the file does not exist. */
export async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof FileError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** No name here is that of a partial file. */
export const unfinished = (_name: string): boolean => false;

/** Writes a file of a folder that can be written, which is there once it is whole. */
export async function writeBeside(path: string, use: (handle: WriteHandle) => Promise<void>): Promise<void> {
  const [folder, name] = [normalize(dirname(path)), basename(path)];
  const write = mounts.get(folder)?.write;
  return write ? write(name, use) : refused(path);
}

export const writeAll = (handle: WriteHandle, bytes: Uint8Array<ArrayBuffer>, at?: number): Promise<void> =>
  handle.write(bytes, at);

/** Refuses what would change a file. */
async function refused(path: string, ..._more: unknown[]): Promise<never> {
  const rule = "must be writable, got a browser, which has no folders of files";
  throw new FileError(path, "EROFS", `${rule}. Take the bytes (toBuffer) and offer them as a download.`);
}

export {
  refused as appending,
  refused as copyFile,
  refused as link,
  refused as makeFolder,
  refused as mkdtemp,
  refused as readlink,
  refused as rename,
  refused as rm,
  refused as rmdir,
  refused as statfs,
  refused as symlink,
  refused as utimes,
  refused as writeFile,
  refused as writeWhole,
};
