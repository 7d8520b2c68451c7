/** @file Reads text files of training data, with the file named where it cannot be read. */

import { InvalidRequest } from "../../errors.js";
import { systemCode, tooManyOpen } from "../../files/file-errors.js";
import { readFile } from "../../files/file-system.js";
import { type Decoded, decodeText, type Refuse } from "../../files/text-file.js";
import type { DataFile } from "./example.js";

/** The text of a caption's file, or why it cannot be read. */
export async function textOf(file: DataFile): Promise<Decoded> {
  try {
    const decoded = decodeText(await readFile(file.path));
    return "fault" in decoded ? { fault: `${file.name}, ${decoded.fault}` } : decoded;
  } catch (error) {
    const code = systemCode(error);
    if (code && !tooManyOpen(error)) return { fault: `${file.path} cannot be read (${code})` };
    throw error;
  }
}

/** For `decodeChunks` and `decodeLines`: a table with such a line is refused. */
export const notText =
  ({ name, path }: DataFile): Refuse =>
  (fault) =>
    new InvalidRequest("data", path, `${name}, ${fault}`);
