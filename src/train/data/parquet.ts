/** @file Parquet tables with a column of images (binary, or Hugging Face's {bytes, path}) and captions. */

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
import { FileError, InvalidRequest } from "../../errors.js";
import { fileError } from "../../files/file-errors.js";
import { captionOf } from "./caption-choice.js";
import { sharedColumn } from "./columns.js";
import type { DataFile, DataOptions, DataSource, Example, SkippedExample } from "./example.js";

type Table = { readonly file: DataFile; readonly buffer: AsyncBuffer; readonly metadata: FileMetaData };
/** The columns with the image and the caption. */
type Columns = { readonly image: string; readonly caption: string };

/** Opens parquet files, read in the order given, one row group in memory at a time. */
export async function openParquet(
  files: readonly DataFile[],
  options: DataOptions = {},
): Promise<DataSource> {
  const tables: Table[] = [];
  for (const file of files) tables.push(await openTable(file));
  const columns = columnsOf(tables, options);
  return {
    kind: "parquet",
    count: tables.reduce((sum, { metadata }) => sum + Number(metadata.num_rows), 0),
    examples: (onSkip = () => {}) => examplesOf(tables, columns, options.seed, onSkip),
  };
}

async function openTable(file: DataFile): Promise<Table> {
  try {
    const buffer = await asyncBufferFromFile(file.path);
    return { file, buffer, metadata: await parquetMetadataAsync(buffer) };
  } catch (error) {
    throw broken(file, error);
  }
}

function columnsOf(tables: readonly Table[], { imageColumn, captionColumn }: DataOptions): Columns {
  const fitting = (fits: (column: SchemaTree) => boolean) =>
    tables.map(({ file, metadata }) => {
      const columns = parquetSchema(metadata).children;
      return { name: file.name, all: names(columns), fitting: names(columns.filter(fits)) };
    });
  return {
    image: sharedColumn("imageColumn", fitting(holdsBytes), imageColumn),
    caption: sharedColumn("captionColumn", fitting(holdsTexts), captionColumn),
  };
}

function names(columns: readonly SchemaTree[]): string[] {
  return columns.map((column) => column.element.name);
}

function isText({ element }: Pick<SchemaTree, "element">): boolean {
  return element.converted_type === "UTF8" || element.logical_type?.type === "STRING";
}

function holdsText({ element, children }: SchemaTree): boolean {
  return element.type === "BYTE_ARRAY" && children.length === 0 && isText({ element });
}

/** A text, or a list of them: a group with a repeated group of one element, in old files a repeated element. */
function holdsTexts(column: SchemaTree): boolean {
  const { converted_type, logical_type } = column.element;
  if (converted_type !== "LIST" && logical_type?.type !== "LIST") return holdsText(column);
  const [repeated] = column.children;
  return (
    repeated !== undefined && holdsText(repeated.children.length === 1 ? repeated.children[0]! : repeated)
  );
}

function holdsBytes(column: SchemaTree): boolean {
  if (column.element.type === "BYTE_ARRAY") return !isText(column);
  return column.children.some((child) => child.element.name === "bytes" && holdsBytes(child));
}

async function* examplesOf(
  tables: readonly Table[],
  columns: Columns,
  seed: number | undefined,
  onSkip: (skipped: SkippedExample) => void,
): AsyncGenerator<Example> {
  for (const table of tables) {
    let index = 0;
    for (const { num_rows } of table.metadata.row_groups) {
      for (const row of await rows(table, columns, index, index + Number(num_rows))) {
        const key = `${table.file.name}#${index++}`;
        const bytes = bytesOf(row[columns.image]);
        const caption = captionOf(row[columns.caption], { key, column: columns.caption, seed });
        if (!bytes) onSkip({ key, reason: "has no image bytes" });
        else if ("problem" in caption) onSkip({ key, reason: caption.problem });
        else yield { key, ...caption, bytes: async () => bytes };
      }
    }
  }
}

async function rows(
  { file, buffer, metadata }: Table,
  { image, caption }: Columns,
  rowStart: number,
  rowEnd: number,
): Promise<Record<string, unknown>[]> {
  // hyparquet turns unmarked byte arrays into text by default: that would destroy the images.
  const reading = { metadata, columns: [image, caption], rowStart, rowEnd, compressors, utf8: false };
  return parquetReadObjects({ file: buffer, ...reading }).catch((error: unknown) => {
    throw broken(file, error);
  });
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length > 0 ? value : undefined;
  return typeof value === "object" && value !== null && "bytes" in value ? bytesOf(value.bytes) : undefined;
}

function broken(file: DataFile, error: unknown): unknown {
  const described = fileError(error, "read", file.path);
  if (described instanceof FileError) return described;
  const problem = error instanceof Error ? error.message : String(error);
  const rule = `${file.name} must be a whole parquet file, got: ${problem}.`;
  return new InvalidRequest("data", file.path, `${rule} Copy or download it again, or take it out.`);
}
