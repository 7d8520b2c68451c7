/** @file The error about a damaged file that training wrote itself: it is made again, not downloaded again. */

import { FileError, ModelError } from "../errors.js";

/** `error` is what reading `file` threw. A FileError, such as a disk's fault, is returned as it is. */
export function damagedFile(file: string, error: unknown, remedy: string): ModelError {
  if (error instanceof FileError) return error;
  const problem = error instanceof ModelError ? error.message.replace(`${error.file}: `, "") : String(error);
  return new ModelError(file, `is not whole: ${problem.replace(/ Download [^.]*\./, "")} ${remedy}`);
}
