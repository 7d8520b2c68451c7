/** @file Pictures with `metadata.jsonl`, `metadata.csv` or `.txt` captions (Diffusers' imagefolder). */

import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { InvalidRequest } from "../../errors.js";
import { pickColumn } from "./columns.js";
import type { Example, Skipped } from "./example.js";
import { byName, captionProblem, type DataFile, type DataOptions, type DataSource } from "./example.js";
import { type MetadataRow, metadataRows } from "./metadata.js";
import { isPicture } from "./picture-names.js";

/** A picture of the folder with its caption, or the text file the caption is read from when it is needed. */
type Entry = { readonly picture: DataFile; readonly caption: string | DataFile };
type Found = { readonly entries: Entry[]; readonly skipped: Skipped[] };

/** Opens a folder from the list of its files. Throws InvalidRequest if nothing in it has a caption. */
export async function openImageFolder(
  folder: string,
  files: readonly DataFile[],
  { captionColumn }: DataOptions = {},
): Promise<DataSource> {
  const tables = files.filter((file) => /^metadata\.(jsonl|csv)$/.test(posix.basename(file.name)));
  const { entries, skipped } =
    tables.length > 0 ? await fromTables(tables, files, captionColumn) : fromTextFiles(files);
  if (entries.length === 0) throw noCaption(folder, skipped);
  entries.sort((a, b) => byName(a.picture.name, b.picture.name));
  return {
    kind: "imagefolder",
    count: entries.length,
    examples: (onSkip = () => {}) => examplesOf(entries, skipped, onSkip),
  };
}

async function* examplesOf(
  entries: readonly Entry[],
  skipped: readonly Skipped[],
  onSkip: (skipped: Skipped) => void,
): AsyncGenerator<Example> {
  skipped.forEach(onSkip);
  for (const { picture, caption: source } of entries) {
    const caption = typeof source === "string" ? source : await textOf(source);
    const problem = captionProblem(caption);
    if (problem) onSkip({ key: picture.name, reason: problem });
    else yield { key: picture.name, caption, bytes: () => readFile(picture.path) };
  }
}

async function textOf(file: DataFile): Promise<string> {
  return (await readFile(file.path, "utf8")).replace(/^\uFEFF/, "").trim();
}

function fromTextFiles(files: readonly DataFile[]): Found {
  const byPath = new Map(files.map((file) => [file.name, file]));
  const found: Found = { entries: [], skipped: [] };
  for (const picture of files.filter((file) => isPicture(file.name))) {
    const caption = byPath.get(picture.name.replace(/\.[^.]+$/, ".txt"));
    if (caption) found.entries.push({ picture, caption });
    else found.skipped.push({ key: picture.name, reason: "has no .txt file of the same name beside it" });
  }
  return found;
}

async function fromTables(
  tables: readonly DataFile[],
  files: readonly DataFile[],
  captionColumn: string | undefined,
): Promise<Found> {
  refuseTwoTablesInOneFolder(tables);
  const byPath = new Map(files.map((file) => [file.name, file]));
  const entries = new Map<string, Entry>();
  const skipped = new Map<string, Skipped>();
  for (const table of tables) {
    let column: string | undefined;
    for await (const row of metadataRows(table)) {
      column ??= pickColumn("captionColumn", table.name, columnsOf(row), captionColumn);
      // As in Hugging Face's datasets, `file_name` counts from the folder of its table.
      const key = posix.join(posix.dirname(table.name), fileName(row));
      const picture = byPath.get(key);
      const problem = picture ? captionProblem(row.values[column]) : `is absent, but named in ${row.place}`;
      if (entries.has(key)) throw namedTwice(key, row);
      if (picture && !problem) entries.set(key, { picture, caption: String(row.values[column]) });
      else skipped.set(key, { key, reason: problem ?? "is absent" });
    }
  }
  for (const { name } of files.filter((file) => isPicture(file.name))) {
    if (entries.has(name) || skipped.has(name)) continue;
    skipped.set(name, { key: name, reason: "is not named in any metadata.jsonl or metadata.csv" });
  }
  return { entries: [...entries.values()], skipped: [...skipped.values()] };
}

function columnsOf(row: MetadataRow): string[] {
  return Object.keys(row.values).filter(
    (name) => name !== "file_name" && typeof row.values[name] === "string",
  );
}

function fileName({ place, values }: MetadataRow): string {
  const name = values.file_name;
  if (typeof name === "string" && name !== "") return name;
  const rule = `${place} must name its picture in "file_name", got ${JSON.stringify(name) ?? "nothing"}.`;
  throw new InvalidRequest("data", name, `${rule} Add the column.`);
}

function namedTwice(key: string, { place }: MetadataRow): InvalidRequest {
  return new InvalidRequest("data", key, `${place} names "${key}" a second time. Keep one of the two rows.`);
}

function refuseTwoTablesInOneFolder(tables: readonly DataFile[]): void {
  const folders = tables.map((table) => posix.dirname(table.name));
  const twice = folders.find((folder, i) => folders.indexOf(folder) !== i);
  if (twice === undefined) return;
  const rule = `"${twice}" must hold one table, got metadata.jsonl and metadata.csv. Remove one of them.`;
  throw new InvalidRequest("data", twice, rule);
}

function noCaption(folder: string, skipped: readonly Skipped[]): InvalidRequest {
  const first = skipped[0] ? ` (first: "${skipped[0].key}" ${skipped[0].reason})` : "";
  const got = skipped.length > 0 ? `${skipped.length} without${first}` : "no picture at all";
  const rule = `must hold pictures with captions, got ${got} in "${folder}".`;
  const remedy =
    "Add a metadata.jsonl or metadata.csv with the columns file_name and text, or a .txt per picture.";
  return new InvalidRequest("data", folder, `${rule} ${remedy}`);
}
