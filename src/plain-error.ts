/** @file Our errors as plain data and back: a message between threads keeps an error's text but not its class. */

import {
  Busy,
  Cancelled,
  DeviceLostError,
  DeviceMemoryError,
  EngineError,
  FileError,
  FlaggedImageError,
  InvalidRequest,
  ModelError,
  ShapeError,
} from "./errors.js";
import { namedFileError, systemCode } from "./files/file-errors.js";

/** `subject` is the field, file, program or layer that the message begins with. */
export type PlainError = {
  name: string;
  message: string;
  subject: string;
  code?: string | undefined;
  missing?: readonly string[];
  unexpected?: readonly string[];
  stack: string | undefined;
};

export function plainError(thrown: unknown): PlainError {
  const error = namedFileError(thrown);
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const plain = { name, message, subject: subjectOf(error), code: systemCode(error), stack };
  if (!(error instanceof ModelError)) return plain;
  return { ...plain, missing: error.missing, unexpected: error.unexpected };
}

function subjectOf(error: unknown): string {
  if (error instanceof InvalidRequest) return error.field;
  if (error instanceof ModelError) return error.file;
  if (error instanceof EngineError) return error.program;
  if (error instanceof FlaggedImageError) return error.flagged.join();
  return error instanceof ShapeError ? error.path : "";
}

export function errorFrom(plain: PlainError): Error {
  const { name, message, subject, code = "", missing = [], unexpected = [], stack } = plain;
  // The classes put the subject in front of the message themselves.
  const rule = message.startsWith(`${subject}: `) ? message.slice(subject.length + 2) : message;
  switch (name) {
    case "Cancelled":
      return Object.assign(new Cancelled(), { message });
    case "Busy":
      return Object.assign(new Busy(""), { message });
    case "FlaggedImageError":
      return Object.assign(new FlaggedImageError(subject.split(",").map(Number), 0), { message });
    case "InvalidRequest":
      return new InvalidRequest(subject, undefined, rule);
    case "ModelError":
      return new ModelError(subject, rule, { missing: [...missing], unexpected: [...unexpected] });
    case "FileError":
      return new FileError(subject, code, rule);
    case "EngineError":
      return new EngineError(subject, new Error(rule));
    case "DeviceLostError":
      return new DeviceLostError(subject, new Error(rule));
    case "DeviceMemoryError":
      return new DeviceMemoryError(subject, new Error(rule));
    case "ShapeError":
      return new ShapeError(subject, rule);
    default:
      return Object.assign(new Error(message), stack !== undefined && { stack });
  }
}
