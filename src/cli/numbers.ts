/** @file Parsers of numeric options. */

import { InvalidArgumentError } from "commander";
import { checkThreads } from "../engine/thread-count.js";
import { InvalidRequest } from "../errors.js";

export function numberOption(text: string): number {
  const parsed = Number(text);
  if (text.trim() === "" || !Number.isFinite(parsed))
    throw new InvalidArgumentError(`"${text}" is not a number.`);
  return parsed;
}

/** A whole number of at least 0. */
export function wholeOption(text: string): number {
  if (!/^\d{1,12}$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a whole number.`);
  return Number(text);
}

/** Seconds that a server or worker waits when it is stopped: a day at most. */
export function graceOption(text: string): number {
  const seconds = wholeOption(text);
  if (seconds > 86_400) throw new InvalidArgumentError(`It must be at most 86400, a day, got ${text}.`);
  return seconds;
}

/** A seed; its range is checked where it is used. */
export function seedOption(text: string): bigint {
  if (!/^-?\d+$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a whole number.`);
  return BigInt(text);
}

const units: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** An amount of memory: "8GB", "7.5 GiB", "500M", or bytes. */
export function bytesOption(text: string): number {
  const [, digits, unit = "", binary] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?$/i.exec(text.trim()) ?? [];
  const size = units[unit.toLowerCase()]!;
  const bytes = Math.floor(Number(digits) * (binary ? 1024 ** Math.round(Math.log10(size) / 3) : size));
  if (digits === undefined || bytes < 1)
    throw new InvalidArgumentError(`"${text}" is not an amount of memory, such as 8GB.`);
  return bytes;
}

/** The number of threads of one operation, checked before a command does anything. */
export function threadsOption(text: string): number {
  const threads = numberOption(text);
  try {
    checkThreads(threads);
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    throw new InvalidArgumentError(`It ${error.message.slice("threads: ".length)}`);
  }
  return threads;
}
