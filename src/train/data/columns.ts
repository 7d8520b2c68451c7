/** @file Which column of a data set holds the caption, and which the image: one for all of its examples. */

import { InvalidRequest, listed } from "../../errors.js";
import { isCaption } from "./caption-choice.js";

const usual = { captionColumn: ["text", "caption"], imageColumn: ["image"] } as const;
type Field = keyof typeof usual;

/** All columns of some data by name, and those of them that hold texts (captions) or bytes (images). */
type Columns = { readonly all: readonly string[]; readonly fitting: readonly string[] };
type Table = Columns & { readonly name: string };

/**
 * The named column, else the usual one, else the only one that fits; `where` names the data in the error. A usual one
 * that does not fit is refused: another, such as "license", must not become the caption without being named.
 */
export function pickColumn(
  field: Field,
  where: string,
  { all, fitting }: Columns,
  name: string | undefined,
): string {
  const choices =
    fitting.length > 0
      ? `one of the fitting columns of ${where}, ${listed(fitting, 20)}`
      : `a fitting column of ${where}, which has none`;
  if (name !== undefined) {
    if (fitting.includes(name)) return name;
    throw new InvalidRequest(field, name, `must be ${choices}, got "${name}".`);
  }
  const found = usualColumn(field, all);
  if (found !== undefined && fitting.includes(found)) return found;
  if (found === undefined && fitting.length === 1) return fitting[0]!;
  const reason = found === undefined ? `there is no ${listed(usual[field])}` : `"${found}" does not fit`;
  throw new InvalidRequest(field, undefined, `must be given, as ${reason}: ${choices}.`);
}

/** The column of the usual name, if there is one. */
export function usualColumn(field: Field, available: readonly string[]): string | undefined {
  return usual[field].find((name) => available.includes(name));
}

/** As `pickColumn`, of tables that must all have the column. */
export function sharedColumn(field: Field, tables: readonly Table[], name: string | undefined): string {
  const union = (of: "all" | "fitting") => [...new Set(tables.flatMap((table) => table[of]))];
  const columns = { all: union("all"), fitting: union("fitting") };
  const column = pickColumn(field, named(tables), columns, name);
  const without = tables.find(({ fitting }) => !fitting.includes(column));
  if (!without) return column;
  const rule = `must be a column of every file, got "${column}", but ${without.name} has`;
  const got = without.fitting.length > 0 ? `${listed(without.fitting)} in its place` : "none that fits";
  throw new InvalidRequest(field, column, `${rule} ${got}. Name another, or take that file out.`);
}

/**
 * The columns of rows; those fit that may hold captions. One row is not enough: where it leaves "text" out, its "license" would
 * become the caption of all. Ends early at a row with the column that decides.
 */
export async function captionColumns(
  rows: AsyncIterable<Readonly<Record<string, unknown>>>,
  decides: string = usual.captionColumn[0],
): Promise<Columns> {
  const [texts, empty, others] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for await (const row of rows) {
    for (const [name, value] of Object.entries(row))
      (value === null ? empty : isCaption(value) ? texts : others).add(name);
    if (texts.has(decides)) break;
  }
  const all = [...new Set([...texts, ...empty, ...others])];
  return { all, fitting: all.filter((name) => texts.has(name) || !others.has(name)) };
}

/** Names tables or shards in an error. */
export function named(files: readonly { readonly name: string }[]): string {
  const [first, ...more] = files.map(({ name }) => name);
  return more.length === 0 ? `${first}` : `${first} and ${more.length} more`;
}
