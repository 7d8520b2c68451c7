/** @file Reads files of training data; what the system refuses becomes an InvalidRequest with path and code. */

import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { InvalidRequest } from "../../errors.js";
import { type Decoded, decodeText, type Refuse } from "../../text-file.js";
import { systemCode } from "../../weights/files.js";
import type { DataFile } from "./example.js";

/** The bytes of a file from beginning to end. Throws InvalidRequest where it cannot be read. */
export async function* chunksOf(file: DataFile): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(file.path) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** A file of one caption, or why there is no text to be had from it. */
export async function textOf(file: DataFile): Promise<Decoded> {
  try {
    const decoded = decodeText(await readFile(file.path));
    return "fault" in decoded ? { fault: `${file.name}, ${decoded.fault}` } : decoded;
  } catch (error) {
    const code = systemCode(error);
    if (code) return { fault: `${file.path} cannot be read (${code})` };
    throw error;
  }
}

/** For `decodeChunks` and `decodeLines`: a table with such a line is refused. */
export const notText =
  ({ name, path }: DataFile): Refuse =>
  (fault) =>
    new InvalidRequest("data", path, `${name}, ${fault}`);

/** What to throw when a file or folder could not be read; any other error stays as it is. */
export function unreadable({ path }: { readonly path: string }, error: unknown): unknown {
  const code = systemCode(error);
  if (!code) return error;
  // Of a folder within the folder the system says which.
  const at = (error as NodeJS.ErrnoException).path ?? path;
  return new InvalidRequest("data", at, `${at} cannot be read (${code}). Check that it may be read.`);
}
