/** @file Parses the JSON that other programs write into images, and reads values of it. Pure, and safe on any text. */

import { closingQuote } from "../parameters.js";

export type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * The object that a text holds, undefined for anything else. Whole numbers that JavaScript would round, as seeds of 64
 * bits, become text; Python's NaN and infinities become null.
 */
export function objectIn(text: string): Json | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(exact(text));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Changes what stands outside quotes only; one pass. */
function exact(text: string): string {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf('"', at);
    const close = open < 0 ? -1 : closingQuote(text, open);
    const plain = text.slice(at, close < 0 ? undefined : open);
    pieces.push(plain.replace(number, longAsText).replace(/-?Infinity|NaN/g, "null"));
    if (close < 0) break;
    pieces.push(text.slice(open, close + 1));
    at = close + 1;
  }
  return pieces.join("");
}

const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const longAsText = (digits: string): string =>
  digits.length > 15 && /^-?\d+$/.test(digits) ? `"${digits}"` : digits;

/** The value at a path of keys, as "model.name". */
export const at = (value: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (inner, key) => (isObject(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined),
      value,
    );

/** A number or text as text; undefined for anything else, and for what says that nothing is set. */
export function scalar(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "None" ? value : undefined;
}

/** Text alone, an empty one too. */
export const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** A model as A1111 names it: without folders and without the kind of file. */
export const modelName = (file: string): string =>
  file
    .slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1)
    .replace(/\.(safetensors|ckpt|gguf|pt|sft|bin)$/i, "");

/** The fields of A1111's names that have a value. */
export const present = (given: Readonly<Record<string, string | undefined>>): Map<string, string> =>
  new Map(
    Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
