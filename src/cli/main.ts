#!/usr/bin/env node
/** @file The `koala` command: starts the program, and tells in one line where not even its modules can be opened. */

import { namedFileError, systemCode } from "../files/file-errors.js";

try {
  await import("./program.js");
} catch (error) {
  const told = namedFileError(error) as NodeJS.ErrnoException;
  const absent = told.code === "ERR_MODULE_NOT_FOUND" || told.code === "MODULE_NOT_FOUND";
  if (!absent && systemCode(told) === undefined) throw error;
  // Node says so of modules that it cannot open, too.
  const remedy = absent
    ? ". Install the package again; where it is whole, raise the limit of open files (ulimit -n 4096)."
    : "";
  process.stderr.write(`error: ${told.message.split("\n")[0]}${remedy}\n`);
  process.exitCode = 1;
}
