/** @file Parquet tables with a column of pictures (binary, or Hugging Face's {bytes, path}) and captions. */

import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { InvalidRequest } from "../../errors.js";
import { pickColumn } from "./columns.js";
import type { Example, Skipped } from "./example.js";
import { captionProblem, type DataFile, type DataOptions, type DataSource } from "./example.js";

type Table = {
  readonly file: DataFile;
  readonly buffer: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly image: string;
  readonly caption: string;
};

/** Opens parquet files, read in the order given, one row group in memory at a time. */
export async function openParquet(
  files: readonly DataFile[],
  options: DataOptions = {},
): Promise<DataSource> {
  const tables: Table[] = [];
  for (const file of files) tables.push(await openTable(file, options));
  return {
    kind: "parquet",
    count: tables.reduce((sum, { metadata }) => sum + Number(metadata.num_rows), 0),
    examples: (onSkip = () => {}) => examplesOf(tables, onSkip),
  };
}

async function openTable(file: DataFile, options: DataOptions): Promise<Table> {
  const buffer = await asyncBufferFromFile(file.path);
  const metadata = await parquetMetadataAsync(buffer).catch((error: unknown) => {
    throw broken(file, error);
  });
  const columns = parquetSchema(metadata).children;
  const image = pickColumn("imageColumn", file.name, names(columns, holdsBytes), options.imageColumn);
  const texts = names(columns, holdsText).filter((name) => name !== image);
  return {
    file,
    buffer,
    metadata,
    image,
    caption: pickColumn("captionColumn", file.name, texts, options.captionColumn),
  };
}

function names(columns: readonly SchemaTree[], fits: (column: SchemaTree) => boolean): string[] {
  return columns.filter(fits).map((column) => column.element.name);
}

function isText({ element }: SchemaTree): boolean {
  return element.converted_type === "UTF8" || element.logical_type?.type === "STRING";
}

function holdsText(column: SchemaTree): boolean {
  return column.element.type === "BYTE_ARRAY" && isText(column);
}

function holdsBytes(column: SchemaTree): boolean {
  if (column.element.type === "BYTE_ARRAY") return !isText(column);
  return column.children.some((child) => child.element.name === "bytes" && holdsBytes(child));
}

async function* examplesOf(
  tables: readonly Table[],
  onSkip: (skipped: Skipped) => void,
): AsyncGenerator<Example> {
  for (const table of tables) {
    let index = 0;
    for (const { num_rows } of table.metadata.row_groups) {
      for (const row of await rows(table, index, index + Number(num_rows))) {
        const key = `${table.file.name}#${index++}`;
        const caption: unknown = row[table.caption];
        const bytes = bytesOf(row[table.image]);
        const problem = bytes ? captionProblem(caption) : "has no picture bytes";
        if (bytes && !problem) yield { key, caption: String(caption), bytes: async () => bytes };
        else onSkip({ key, reason: problem ?? "has no picture bytes" });
      }
    }
  }
}

async function rows(table: Table, rowStart: number, rowEnd: number): Promise<Record<string, unknown>[]> {
  const { buffer: file, metadata, image, caption } = table;
  // hyparquet turns unmarked byte arrays into text unless told not to: that would destroy the pictures.
  const reading = { file, metadata, columns: [image, caption], rowStart, rowEnd, compressors, utf8: false };
  return parquetReadObjects(reading).catch((error: unknown) => {
    throw broken(table.file, error);
  });
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length > 0 ? value : undefined;
  return typeof value === "object" && value !== null && "bytes" in value ? bytesOf(value.bytes) : undefined;
}

function broken(file: DataFile, error: unknown): InvalidRequest {
  const problem = error instanceof Error ? error.message : String(error);
  const rule = `${file.name} must be a whole parquet file, got: ${problem}.`;
  return new InvalidRequest("data", file.path, `${rule} Copy or download it again, or take it out.`);
}
