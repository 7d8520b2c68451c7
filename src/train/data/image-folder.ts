/** @file Images with `metadata.jsonl`, `metadata.csv` or `.txt` captions (Diffusers' imagefolder). */

import { posix } from "node:path";
import { InvalidRequest } from "../../errors.js";
import { readFile } from "../../files/file-system.js";
import { type Caption, captionOf } from "./caption-choice.js";
import { captionColumns, named, pickColumn } from "./columns.js";
import type { Example, SkippedExample } from "./example.js";
import { byName, type DataFile, type DataOptions, type DataSource } from "./example.js";
import { isImageName } from "./image-names.js";
import { type MetadataRow, metadataRows } from "./metadata.js";
import { textOf } from "./reading.js";

/** An image of the folder with its caption, or the text file the caption is read from when it is needed. */
type Entry = { readonly image: DataFile; readonly caption: string | DataFile };
type Found = { readonly entries: Entry[]; readonly skipped: SkippedExample[] };

/** Opens a folder from the list of its files. Throws InvalidRequest if nothing in it has a caption. */
export async function openImageFolder(
  folder: string,
  files: readonly DataFile[],
  options: DataOptions = {},
): Promise<DataSource> {
  const tables = files.filter((file) => /^metadata\.(jsonl|csv)$/.test(posix.basename(file.name)));
  const { entries, skipped } =
    tables.length > 0 ? await fromTables(tables, files, options) : fromTextFiles(folder, files, options);
  if (entries.length === 0) throw noCaption(folder, skipped);
  entries.sort((a, b) => byName(a.image.name, b.image.name));
  return {
    kind: "imagefolder",
    count: entries.length,
    examples: (onSkip = () => {}) => examplesOf(entries, skipped, onSkip),
  };
}

async function* examplesOf(
  entries: readonly Entry[],
  skipped: readonly SkippedExample[],
  onSkip: (skipped: SkippedExample) => void,
): AsyncGenerator<Example> {
  skipped.forEach(onSkip);
  for (const { image, caption: source } of entries) {
    const caption = typeof source === "string" ? { caption: source } : await captionIn(source, image.name);
    if ("problem" in caption) onSkip({ key: image.name, reason: caption.problem });
    else yield { key: image.name, ...caption, bytes: () => readFile(image.path) };
  }
}

async function captionIn(file: DataFile, key: string): Promise<Caption> {
  const decoded = await textOf(file);
  if ("fault" in decoded) return { problem: `has no readable caption: ${decoded.fault}` };
  return captionOf(decoded.text.trim(), { key });
}

function fromTextFiles(
  folder: string,
  files: readonly DataFile[],
  { captionColumn, imageColumn }: DataOptions,
): Found {
  refuseColumns(folder, { captionColumn, imageColumn });
  const byPath = new Map(files.map((file) => [file.name, file]));
  const found: Found = { entries: [], skipped: [] };
  for (const image of files.filter((file) => isImageName(file.name))) {
    const caption = byPath.get(image.name.replace(/\.[^.]+$/, ".txt"));
    if (caption) found.entries.push({ image, caption });
    else found.skipped.push({ key: image.name, reason: "has no .txt file of the same name beside it" });
  }
  return found;
}

function refuseColumns(folder: string, columns: Readonly<Record<string, string | undefined>>): void {
  const given = Object.entries(columns).find(([, column]) => column !== undefined);
  if (!given) return;
  const rule = `needs a metadata.jsonl or metadata.csv, got "${given[1]}" for "${folder}", which has neither.`;
  throw new InvalidRequest(given[0], given[1], `${rule} Leave it out, or add the table.`);
}

async function fromTables(
  tables: readonly DataFile[],
  files: readonly DataFile[],
  { captionColumn, imageColumn = "file_name", seed }: DataOptions,
): Promise<Found> {
  refuseTwoTablesInOneFolder(tables);
  const byPath = new Map(files.map((file) => [file.name, file]));
  const entries = new Map<string, Entry>();
  const skipped = new Map<string, SkippedExample>();
  let column: string | undefined;
  for (const table of tables) {
    for await (const row of metadataRows(table)) {
      const name = fileName(row, imageColumn);
      column ??= await captionColumnOf(tables, imageColumn, captionColumn);
      // As in Hugging Face's datasets, `file_name` counts from the folder of its table.
      const key = posix.join(posix.dirname(table.name), name);
      if (entries.has(key)) throw namedTwice(key, row);
      const image = byPath.get(key);
      const caption = captionOf(row.values[column], { key, column, seed });
      if (!image) skipped.set(key, { key, reason: `is absent, but named in ${row.location}` });
      else if ("problem" in caption) skipped.set(key, { key, reason: caption.problem });
      else entries.set(key, { image, ...caption });
    }
  }
  for (const { name } of files.filter((file) => isImageName(file.name))) {
    if (entries.has(name) || skipped.has(name)) continue;
    skipped.set(name, { key: name, reason: "is not named in any metadata.jsonl or metadata.csv" });
  }
  return { entries: [...entries.values()], skipped: [...skipped.values()] };
}

/** Decided by all rows before the first is used, so that none needs to be kept. */
async function captionColumnOf(
  tables: readonly DataFile[],
  imageColumn: string,
  name: string | undefined,
): Promise<string> {
  async function* rows() {
    for (const table of tables) for await (const { values } of metadataRows(table)) yield values;
  }
  const { all, fitting } = await captionColumns(rows(), name);
  const columns = { all, fitting: fitting.filter((column) => column !== imageColumn) };
  return pickColumn("captionColumn", named(tables), columns, name);
}

function fileName({ location, values }: MetadataRow, column: string): string {
  const name = values[column];
  if (typeof name === "string" && name !== "") return name;
  const rule = `${location} must name its image in "${column}", got ${JSON.stringify(name) ?? "nothing"}.`;
  throw new InvalidRequest("data", name, `${rule} Add the column, or name another by imageColumn.`);
}

function namedTwice(key: string, { location }: MetadataRow): InvalidRequest {
  return new InvalidRequest(
    "data",
    key,
    `${location} names "${key}" a second time. Keep one of the two rows.`,
  );
}

function refuseTwoTablesInOneFolder(tables: readonly DataFile[]): void {
  const folders = tables.map((table) => posix.dirname(table.name));
  const twice = folders.find((folder, i) => folders.indexOf(folder) !== i);
  if (twice === undefined) return;
  const rule = `"${twice}" must hold one table, got metadata.jsonl and metadata.csv. Remove one of them.`;
  throw new InvalidRequest("data", twice, rule);
}

function noCaption(folder: string, skipped: readonly SkippedExample[]): InvalidRequest {
  const first = skipped[0] ? ` (first: "${skipped[0].key}" ${skipped[0].reason})` : "";
  const got = skipped.length > 0 ? `${skipped.length} without${first}` : "no image at all";
  const rule = `must hold images with captions, got ${got} in "${folder}".`;
  const remedy =
    "Add a metadata.jsonl or metadata.csv with the columns file_name and text, or a .txt per image.";
  return new InvalidRequest("data", folder, `${rule} ${remedy}`);
}
