/** @file Rows of `metadata.jsonl` and `metadata.csv`, the tables of an image folder. */

import { pipeline, Readable } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { InvalidRequest } from "../../errors.js";
import { readStream } from "../../files/file-system.js";
import { decodeChunks, decodeLines } from "../../files/text-file.js";
import type { DataFile } from "./example.js";
import { notText } from "./reading.js";

/** One row; `location` is its file and line, for error messages. */
export type MetadataRow = { readonly location: string; readonly values: Readonly<Record<string, unknown>> };

/** The rows of a table, in order. Throws InvalidRequest at a row that cannot be read. */
export function metadataRows(file: DataFile): AsyncGenerator<MetadataRow> {
  return file.name.endsWith(".csv") ? csvRows(file) : jsonRows(file);
}

async function* jsonRows(file: DataFile): AsyncGenerator<MetadataRow> {
  let number = 0;
  for await (const line of decodeLines(readStream(file.path), notText(file))) {
    number += 1;
    if (line.trim() === "") continue;
    const location = `${file.name}, line ${number}`;
    yield { location, values: jsonObject(line, location) };
  }
}

function jsonObject(text: string, location: string): Record<string, unknown> {
  const value = parsed(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  const start = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  throw new InvalidRequest(
    "data",
    text,
    `${location} must be one JSON object, got ${start}. Correct that line.`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function* csvRows(file: DataFile): AsyncGenerator<MetadataRow> {
  const columns = (names: string[]) => differentNames(names, file);
  const rows = parse({ columns, record_delimiter: "\n", skip_empty_lines: true, info: true });
  const text = Readable.from(decodeChunks(readStream(file.path), notText(file)));
  // The error arrives through the iteration below as well; this callback only keeps it from being unhandled.
  pipeline(text, rows, () => {});
  try {
    for await (const { record, info } of rows as AsyncIterable<CsvRow>) {
      yield { location: `${file.name}, line ${info.lines}`, values: record };
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const rule = `${file.name} must be a CSV table, got: ${error.message}.`;
    const remedy =
      "Correct that line: a text with a comma or quote stands in quotes, its own quotes doubled.";
    throw new InvalidRequest("data", file.path, `${rule} ${remedy}`);
  } finally {
    text.destroy();
  }
}

/** Of two columns of one name the parser would keep the last; spreadsheets write several without a name. */
function differentNames(names: readonly string[], file: DataFile): string[] {
  const twice = names.find((name, i) => name !== "" && names.indexOf(name) !== i);
  if (twice === undefined) return [...names];
  const rule = `${file.name}, line 1 must name each column once, got "${twice}" twice. Rename or remove one.`;
  throw new InvalidRequest("data", file.path, rule);
}

type CsvRow = { record: Record<string, string>; info: { lines: number } };
