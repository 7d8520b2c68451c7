/** @file Which column of a data set holds the caption, and which the image: one for all of its examples. */

import { InvalidRequest, listed } from "../../errors.js";
import { isCaption } from "./caption-choice.js";

const usual = { captionColumn: ["text", "caption"], imageColumn: ["image"] } as const;
type Field = keyof typeof usual;

/** A table that names its columns; these are those that fit. */
type Table = { readonly name: string; readonly columns: readonly string[] };

/** The named column, else the usual one, else the only one; `where` names the data in the error. */
export function pickColumn(
  field: Field,
  where: string,
  available: readonly string[],
  name: string | undefined,
): string {
  if (name !== undefined) {
    if (available.includes(name)) return name;
    throw new InvalidRequest(field, name, `must be ${choices(where, available)}, got "${name}".`);
  }
  const found = usualColumn(field, available);
  if (found !== undefined) return found;
  if (available.length === 1) return available[0]!;
  const missing = `must be given, as there is no ${listed(usual[field])}: ${choices(where, available)}.`;
  throw new InvalidRequest(field, undefined, missing);
}

/** The column of the usual name, if there is one. */
export function usualColumn(field: Field, available: readonly string[]): string | undefined {
  return usual[field].find((name) => available.includes(name));
}

/** As `pickColumn`, of tables that must all have the column. */
export function sharedColumn(field: Field, tables: readonly Table[], name: string | undefined): string {
  const all = [...new Set(tables.flatMap(({ columns }) => columns))];
  const column = pickColumn(field, named(tables), all, name);
  const without = tables.find(({ columns }) => !columns.includes(column));
  if (!without) return column;
  const rule = `must be a column of every file, got "${column}", but ${without.name} has`;
  const got = without.columns.length > 0 ? `${listed(without.columns)} in its place` : "none that fits";
  throw new InvalidRequest(field, column, `${rule} ${got}. Name another, or take that file out.`);
}

/**
 * The columns of rows that may hold captions. One row is not enough: where it leaves "text" out, its "license" would
 * become the caption of all. Ends early at a row with the column that decides.
 */
export async function captionColumns(
  rows: AsyncIterable<Readonly<Record<string, unknown>>>,
  decides: string = usual.captionColumn[0],
): Promise<string[]> {
  const [texts, empty, others] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for await (const row of rows) {
    for (const [name, value] of Object.entries(row))
      (value === null ? empty : isCaption(value) ? texts : others).add(name);
    if (texts.has(decides)) break;
  }
  return [...texts, ...[...empty].filter((name) => !texts.has(name) && !others.has(name))];
}

/** Names tables or shards in an error. */
export function named(files: readonly { readonly name: string }[]): string {
  const [first, ...more] = files.map(({ name }) => name);
  return more.length === 0 ? `${first}` : `${first} and ${more.length} more`;
}

function choices(where: string, available: readonly string[]): string {
  return available.length > 0
    ? `one of the fitting columns of ${where}, ${listed(available, 20)}`
    : `a fitting column of ${where}, which has none`;
}
