/** @file Our errors as plain data and back, since a message between threads keeps an error's text but not its class. */

import { Cancelled, EngineError, FileError, InvalidRequest, ModelError } from "../errors.js";
import { namedFileError, systemCode } from "../files/file-errors.js";

export type PlainError = {
  kind: string;
  message: string;
  at: string;
  code?: string | undefined;
  stack: string | undefined;
};

export function plainError(thrown: unknown): PlainError {
  const error = namedFileError(thrown);
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const at =
    error instanceof InvalidRequest
      ? error.field
      : error instanceof ModelError
        ? error.file
        : error instanceof EngineError
          ? error.program
          : "";
  return { kind: name, message, at, code: systemCode(error), stack };
}

export function errorFrom({ kind, message, at, code = "", stack }: PlainError): Error {
  // The classes put the place in front of the message themselves.
  const rule = message.startsWith(`${at}: `) ? message.slice(at.length + 2) : message;
  switch (kind) {
    case "Cancelled":
      return new Cancelled();
    case "InvalidRequest":
      return new InvalidRequest(at, undefined, rule);
    case "ModelError":
      return new ModelError(at, rule);
    case "FileError":
      return new FileError(at, code, rule);
    case "EngineError":
      return new EngineError(at, new Error(rule));
    default:
      return Object.assign(new Error(message), stack !== undefined && { stack });
  }
}
