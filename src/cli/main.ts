#!/usr/bin/env node
/** @file The `koala` command: starts the program, and reports in one line if its modules cannot be opened. */

import { namedFileError, systemCode } from "../files/file-errors.js";

try {
  await import("./program.js");
} catch (error) {
  const failure = namedFileError(error) as NodeJS.ErrnoException;
  const absent = failure.code === "ERR_MODULE_NOT_FOUND" || failure.code === "MODULE_NOT_FOUND";
  if (!absent && systemCode(failure) === undefined) throw error;
  // Node says so of modules that it cannot open, too.
  const remedy = absent
    ? ". Install the package again; where it is whole, raise the limit of open files (ulimit -n 4096)."
    : "";
  process.stderr.write(`error: ${failure.message.split("\n")[0]}${remedy}\n`);
  process.exitCode = 1;
}
