/** @file Parsers of numeric options. */

import { InvalidArgumentError } from "commander";

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
