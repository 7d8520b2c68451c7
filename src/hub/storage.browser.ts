/**
 * @file Models in the browser's own storage (the origin's private file system): a folder for each repository, in which
 * files lie by their hash, in pieces by offset. A piece is written whole or not at all.
 *
 *     koala-diffusion/models--owner--name/refs/REVISION            its commit
 *                                        /commits/COMMIT           the Hub's list of its files, JSON
 *                                        /blobs/HASH/OFFSET        a piece; "whole" beside them once the hash was right
 */

import { ModelError } from "../errors.js";
import { originFolder } from "../files/stored-folder.browser.js";
import type { HubFile } from "./client.js";
import type { DownloadedModel } from "./downloaded-models.js";

type Folder = FileSystemDirectoryHandle;

/** Bytes of a piece, which is held in memory as a whole. */
export const pieceBytes = 2 ** 23;
const wholeMark = "whole";
const rootName = "koala-diffusion";

const absent = (error: unknown): undefined => {
  if (error instanceof DOMException && error.name === "NotFoundError") return undefined;
  throw error;
};

/** A folder below another; undefined where it is not there and not to be made. */
async function inside(
  folder: Folder,
  names: readonly string[],
  create: boolean,
): Promise<Folder | undefined> {
  let found: Folder | undefined = folder;
  for (const name of names) found = await found?.getDirectoryHandle(name, { create }).catch(absent);
  return found;
}

async function write(folder: Folder, name: string, bytes: Uint8Array<ArrayBuffer> | string): Promise<void> {
  const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
  await file.write(bytes);
  await file.close();
}

const fileIn = async (folder: Folder | undefined, name: string): Promise<File | undefined> =>
  (await folder?.getFileHandle(name).catch(absent))?.getFile();

/** The folder of all models. */
const root = (): Promise<Folder | undefined> => originFolder(rootName);

const prefix = "models--";
const folderName = (id: string) => prefix + id.replaceAll("/", "--");

/** What is stored of a repository. */
export class StoredRepo {
  readonly id: string;
  readonly folder: Folder;

  private constructor(id: string, folder: Folder) {
    this.id = id;
    this.folder = folder;
  }

  /** Undefined where the browser has no storage. */
  static async open(id: string): Promise<StoredRepo | undefined> {
    const folder = await (await root())?.getDirectoryHandle(folderName(id), { create: true });
    return folder && new StoredRepo(id, folder);
  }

  /** The commit of a revision when it was last downloaded. */
  async commit(revision: string): Promise<string | undefined> {
    const refs = await inside(this.folder, ["refs"], false);
    return (await fileIn(refs, encodeURIComponent(revision)))?.text();
  }

  /** The Hub's list of a commit's files. */
  async files(commit: string): Promise<HubFile[] | undefined> {
    const text = await (await fileIn(await inside(this.folder, ["commits"], false), commit))?.text();
    return text ? (JSON.parse(text) as HubFile[]) : undefined;
  }

  async keep(revision: string, commit: string, files: readonly HubFile[]): Promise<void> {
    await write((await inside(this.folder, ["commits"], true))!, commit, JSON.stringify(files));
    await write((await inside(this.folder, ["refs"], true))!, encodeURIComponent(revision), commit);
  }

  readonly #blob = (etag: string, create = false) => inside(this.folder, ["blobs", etag], create);

  /** Whether all of a file is there, with the right hash. */
  async isWhole({ etag }: HubFile): Promise<boolean> {
    return (await fileIn(await this.#blob(etag), wholeMark)) !== undefined;
  }

  /** Says that its hash was right. */
  async markWhole({ etag }: HubFile): Promise<void> {
    await write((await this.#blob(etag, true))!, wholeMark, "");
  }

  /** The bytes of a piece, as far as it is stored. */
  async piece({ etag, size }: HubFile, offset: number): Promise<File | undefined> {
    const file = await fileIn(await this.#blob(etag), String(offset));
    return file?.size === Math.min(pieceBytes, size - offset) ? file : undefined;
  }

  async writePiece({ etag }: HubFile, offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await write((await this.#blob(etag, true))!, String(offset), bytes);
  }

  /** A range of a file of which all pieces are there. */
  async read(file: HubFile, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    for (let at = offset; at < offset + length; ) {
      const start = Math.floor(at / pieceBytes) * pieceBytes;
      const end = Math.min(offset + length, start + pieceBytes);
      const piece = await this.#stored(file, start);
      bytes.set(new Uint8Array(await piece.slice(at - start, end - start).arrayBuffer()), at - offset);
      at = end;
    }
    return bytes;
  }

  /** A file of which all pieces are there, without its bytes. */
  async blob(file: HubFile): Promise<Blob> {
    const pieces: File[] = [];
    for (let at = 0; at < file.size; at += pieceBytes) pieces.push(await this.#stored(file, at));
    return new Blob(pieces);
  }

  async #stored(file: HubFile, offset: number): Promise<File> {
    const piece = await this.piece(file, offset);
    if (piece) return piece;
    const rule = `must be stored at byte ${offset}, got a browser that has deleted it`;
    throw new ModelError(file.path, `${rule}. Load the model again: it is downloaded anew.`);
  }

  async remove({ etag }: HubFile): Promise<void> {
    const blobs = await inside(this.folder, ["blobs"], false);
    await blobs?.removeEntry(etag, { recursive: true }).catch(absent);
  }
}

/** All models in the browser's storage. */
export async function storedModels(): Promise<DownloadedModel[]> {
  const models: DownloadedModel[] = [];
  for await (const [name, folder] of (await root())?.entries() ?? [])
    if (folder.kind === "directory" && name.startsWith(prefix))
      models.push({
        id: name.slice(prefix.length).replace("--", "/"),
        bytes: await bytesIn(folder as Folder),
      });
  return models;
}

async function bytesIn(folder: Folder): Promise<number> {
  let sum = 0;
  for await (const entry of folder.values())
    sum +=
      entry.kind === "directory"
        ? await bytesIn(entry as Folder)
        : (await (entry as FileSystemFileHandle).getFile()).size;
  return sum;
}

/** Deletes all that is stored of a model. */
export async function removeStoredModel(id: string): Promise<void> {
  await (await root())?.removeEntry(folderName(id), { recursive: true }).catch(absent);
}
