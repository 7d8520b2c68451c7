/** @file Rows of `metadata.jsonl` and `metadata.csv`, the tables of an image folder. */

import { pipeline, Readable } from "node:stream";
import { parse } from "csv-parse";
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
  const rows = parse({ columns: true, record_delimiter: "\n", skip_empty_lines: true, info: true });
  const text = Readable.from(decodeChunks(readStream(file.path), notText(file)));
  // The error arrives through the iteration below as well; this callback only keeps it from being unhandled.
  pipeline(text, rows, () => {});
  try {
    for await (const { record, info } of rows as AsyncIterable<CsvRow>) {
      yield { location: `${file.name}, line ${info.lines}`, values: record };
    }
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || !String(error.code).startsWith("CSV_"))
      throw error;
    throw new InvalidRequest("data", file.path, `${file.name} must be a CSV table, got: ${error.message}.`);
  } finally {
    text.destroy();
  }
}

type CsvRow = { record: Record<string, string>; info: { lines: number } };
