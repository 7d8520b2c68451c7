/** @file A folder in the browser's own storage (the origin's private file system): its files are read as others, and written whole. */

import { FileError } from "../errors.js";
import { type Mounted, mount, type WriteHandle } from "./file-system.browser.js";

/** A file of the folder. */
export type StoredFile = { name: string; bytes: number; written: number };

export type StoredFolder = {
  /** All files that were written whole. */
  files(): Promise<StoredFile[]>;
  remove(name: string): Promise<void>;
};

/** Makes the files of `name` readable and writable below `path`; undefined where the browser has no such storage. */
export async function mountStoredFolder(path: string, name: string): Promise<StoredFolder | undefined> {
  const folder = await originFolder(name);
  if (!folder) return undefined;
  const fileOf = async (file: string) => (await folder.getFileHandle(file)).getFile();
  const sizes = new Map<string, number>();
  const list = async () => {
    const found: StoredFile[] = [];
    for await (const file of folder.keys()) {
      const { size, lastModified } = await fileOf(file);
      // A writing that was cut left nothing in it.
      if (size > 0) found.push({ name: file, bytes: size, written: lastModified });
    }
    return found;
  };
  for (const { name: file, bytes } of await list()) sizes.set(file, bytes);
  const mounted: Mounted = {
    files: sizes,
    read: async (file, offset, length) =>
      new Uint8Array(await (await fileOf(file)).slice(offset, offset + length).arrayBuffer()),
    blob: fileOf,
    write: async (file, use) => {
      await writeWhole(folder, file, use);
      sizes.set(file, (await fileOf(file)).size);
    },
  };
  mount(path, mounted);
  return {
    files: list,
    remove: async (file) => {
      await folder.removeEntry(file);
      sizes.delete(file);
    },
  };
}

/** What is written takes the file's place when all of it is there. */
async function writeWhole(
  folder: FileSystemDirectoryHandle,
  name: string,
  use: (handle: WriteHandle) => Promise<void>,
): Promise<void> {
  const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
  let end = 0;
  const write = async (data: Uint8Array<ArrayBuffer>, at = end) => {
    await stream.write({ type: "write", position: at, data });
    end = at + data.length;
  };
  try {
    await use({ write });
    await stream.close();
  } catch (error) {
    await stream.abort().catch(() => {}); // the first failure is thrown
    if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
    const rule = "must fit into this browser's storage, got less room";
    throw new FileError(name, "ENOSPC", `${rule}. Delete stored models, or free disk.`);
  }
}

/** A folder of this origin's; undefined where the browser has no such storage, as without https. */
export async function originFolder(name: string): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
  } catch {
    return undefined;
  }
}
