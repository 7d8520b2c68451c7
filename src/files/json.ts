/** @file A strict JSON parser for the files of a model: errors have line and column, and no key may occur twice. */
import { ModelError } from "../errors.js";
import { type JsonFault, jsonFault } from "./json-scan.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses UTF-8 JSON whose root is an object; ModelError with line and column, naming `file`. */
export function parseJsonObject(bytes: Uint8Array, file: string, what = "the file"): JsonObject {
  const text = withInfinities(decodeUtf8(bytes, file, what));
  const fault = jsonFault(text);
  if (fault) throw new ModelError(file, `${what} ${explain(text, fault)}. ${remedy}`);
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) {
    throw new ModelError(file, `${what} must be a JSON object, got ${describe(value)}. ${remedy}`);
  }
  return value;
}

/** Whether a parsed JSON value is an object (no array, no null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A JSON value for an error message: its kind, or the beginning of its text. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return "an object";
  return shorten(value);
}

const remedy = "Download the file again, or have it written again.";

function shorten(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Python writes infinity as a bare word, which JSON does not have; a number beyond the range replaces it. */
function withInfinities(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|-?Infinity\b/g, (token) =>
    token.endsWith("y") ? token.replace("Infinity", "1e999   ") : token,
  );
}

function decodeUtf8(bytes: Uint8Array, file: string, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ModelError(file, `${what} must be UTF-8 text, got bytes that are not. ${remedy}`);
  }
}

function explain(text: string, fault: JsonFault): string {
  if ("duplicate" in fault) return `must have each key once, got ${shorten(fault.duplicate)} twice`;
  const { position } = fault;
  const before = text.slice(0, position);
  const line = before.split("\n").length;
  const place = `line ${line}, column ${position - before.lastIndexOf("\n")}`;
  if (position >= text.length) return `is not valid JSON: it ends too early, at ${place}`;
  return `is not valid JSON: unexpected ${JSON.stringify(text.slice(position, position + 12))} at ${place}`;
}
