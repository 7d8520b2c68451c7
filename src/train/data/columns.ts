/** @file Which column of a table holds the caption, and which the picture. */

import { InvalidRequest, listed } from "../../errors.js";

const usual = { captionColumn: ["text", "caption"], imageColumn: ["image"] } as const;

/** The wanted column, else the usual one, else the only one; `where` names the table in the error. */
export function pickColumn(
  field: "captionColumn" | "imageColumn",
  where: string,
  available: readonly string[],
  wanted: string | undefined,
): string {
  if (wanted !== undefined) {
    if (available.includes(wanted)) return wanted;
    throw new InvalidRequest(field, wanted, `must be ${choices(where, available)}, got "${wanted}".`);
  }
  const found = usual[field].find((name) => available.includes(name));
  if (found !== undefined) return found;
  if (available.length === 1) return available[0]!;
  const missing = `must be given, as there is no ${listed(usual[field])}: ${choices(where, available)}.`;
  throw new InvalidRequest(field, undefined, missing);
}

function choices(where: string, available: readonly string[]): string {
  return available.length > 0
    ? `one of the fitting columns of ${where}, ${listed(available, 20)}`
    : `a fitting column of ${where}, which has none`;
}
