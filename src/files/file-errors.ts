/** @file System errors of reading and writing as FileErrors, with a remedy for each code. */

import { FileError } from "../errors.js";

/** How a file was used; "use" where that is not known. */
export type FileUse = "read" | "write" | "use";

/** The system's name for a failure (ENOENT, EACCES, ENOSPC), undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof FileError) return error.code;
  return error instanceof Error && "syscall" in error && "code" in error ? String(error.code) : undefined;
}

/** Whether an error is that too many files are open. */
export const tooManyOpen = (error: unknown): boolean =>
  ["EMFILE", "ENFILE"].includes(systemCode(error) ?? "");

/** A system error as a FileError about `path`; any other error, and a FileError, unchanged. */
export function fileError(error: unknown, use: FileUse, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined || error instanceof FileError) return error;
  const rule = `must be ${{ read: "readable", write: "writable", use: "usable" }[use]}`;
  return new FileError(path, code, `${rule}, got ${code}${inWords(error)}. ${remedyFor(code, use)}`, error);
}

/** A FileError as one about another path or use; any other error unchanged. */
export const fileErrorAt = (error: unknown, use: FileUse, path: string): unknown =>
  error instanceof FileError ? fileError(error.cause, use, path) : error;

/** An error with a `path`, as other packages throw, as a FileError; any other unchanged. */
export function namedFileError(error: unknown): unknown {
  const path = error instanceof Error && "path" in error ? error.path : undefined;
  return typeof path === "string" ? fileError(error, "use", path) : error;
}

/** ` (permission denied)`, from "EACCES: permission denied, open 'x'". */
function inWords(error: unknown): string {
  const words = error instanceof Error ? /^E[A-Z0-9]+: ([^,]+)/.exec(error.message)?.[1] : undefined;
  return words === undefined ? "" : ` (${words})`;
}

/** The remedy for a system's error code. */
export function remedyFor(code: string, use: FileUse): string {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return use === "write"
        ? "Let this user write there, or choose another place."
        : "Let this user read it and enter the folders above it.";
    case "EROFS":
      return "Choose a place on another disk.";
    case "ENOSPC":
    case "EDQUOT":
      return "Free some room, or choose another disk.";
    case "EFBIG":
      return "Raise the limit of a file's size (ulimit -f), or choose another disk.";
    case "EMFILE":
      return "Raise the limit of this process, as with ulimit -n 4096.";
    case "ENFILE":
      return "End other programs, or raise the machine's limit.";
    case "ENAMETOOLONG":
      return "Choose a shorter name.";
    case "EISDIR":
      return "Name a file instead of a folder.";
    case "ENOTDIR":
    case "EEXIST":
      return "A file is where a folder must be: choose another place, or move it away.";
    case "ELOOP":
      return "Correct the links, which form a circle.";
    case "EIO":
      return "Check the disk, or choose another.";
    case "EXDEV":
      return "A link cannot lead to another disk: copy, or choose a place on the same one.";
    default:
      return "Check the path.";
  }
}
