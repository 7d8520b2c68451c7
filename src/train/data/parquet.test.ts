/** @file Parquet tables of images, written here with hyparquet-writer. */

import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SchemaElement } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DataOptions, openData, type SkippedExample } from "./source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-parquet-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function read(path: string, options: DataOptions = {}) {
  const source = await openData(path, options);
  const skipped: SkippedExample[] = [];
  const found: [string, string, number[]][] = [];
  for await (const { key, caption, bytes } of source.examples((one) => skipped.push(one))) {
    found.push([key, caption, [...(await bytes())]]);
  }
  return { source, found, skipped };
}

async function write(name: string, options: Parameters<typeof parquetWriteBuffer>[0]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, Buffer.from(parquetWriteBuffer(options)));
  return path;
}

/** A column of lists, as pyarrow writes it. */
const listOf = (name: string, element: Omit<SchemaElement, "name" | "repetition_type">): SchemaElement[] => [
  { name, repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
  { name: "list", repetition_type: "REPEATED", num_children: 1 },
  { name: "element", repetition_type: "OPTIONAL", ...element },
];

// Not valid UTF-8, so that a detour through text would show.
const images = [0, 1, 2].map((n) => Uint8Array.of(0xff, 0xd8, 0x80 + n, 0));
const captions = ["zero", "ünö", "two"];

describe("parquet", () => {
  it("a binary column and a text column, over several row groups", async () => {
    await write("b.parquet", {
      columnData: [
        { name: "id", data: [7, 8, 9], type: "INT32" },
        { name: "image", data: images, type: "BYTE_ARRAY" },
        { name: "text", data: captions, type: "STRING" },
      ],
      rowGroupSize: 2,
    });
    await write("a.parquet", {
      columnData: [
        { name: "image", data: [images[2]!], type: "BYTE_ARRAY" },
        { name: "text", data: ["first"], type: "STRING" },
      ],
      codec: "UNCOMPRESSED",
    });
    const { source, found } = await read(folder);
    expect(source).toMatchObject({ kind: "parquet", count: 4 });
    expect(found).toEqual([
      ["a.parquet#0", "first", [0xff, 0xd8, 0x82, 0]],
      ["b.parquet#0", "zero", [0xff, 0xd8, 0x80, 0]],
      ["b.parquet#1", "ünö", [0xff, 0xd8, 0x81, 0]],
      ["b.parquet#2", "two", [0xff, 0xd8, 0x82, 0]],
    ]);
  });

  it("Hugging Face's struct of bytes and path; rows without bytes or caption are named", async () => {
    const path = await write("train.parquet", {
      columnData: [
        {
          name: "image",
          data: [
            { bytes: images[0], path: "0.jpg" },
            { bytes: null, path: "1.jpg" },
            { bytes: images[2], path: null },
          ],
        },
        { name: "text", data: ["zero", "one", null] },
      ],
      schema: [
        { name: "root", num_children: 2 },
        { name: "image", repetition_type: "OPTIONAL", num_children: 2 },
        { name: "bytes", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
        { name: "path", type: "BYTE_ARRAY", repetition_type: "OPTIONAL", converted_type: "UTF8" },
        { name: "text", type: "BYTE_ARRAY", repetition_type: "OPTIONAL", converted_type: "UTF8" },
      ],
    });
    const { found, skipped } = await read(path);
    expect(found).toEqual([["train.parquet#0", "zero", [0xff, 0xd8, 0x80, 0]]]);
    expect(skipped).toEqual([
      { key: "train.parquet#1", reason: "has no image bytes" },
      { key: "train.parquet#2", reason: 'has no caption in "text"' },
    ]);
  });

  it("columns are chosen by name, and refused with the fitting ones", async () => {
    const path = await write("t.parquet", {
      columnData: [
        { name: "photo", data: images, type: "BYTE_ARRAY" },
        { name: "mask", data: images.toReversed(), type: "BYTE_ARRAY" },
        { name: "short", data: captions, type: "STRING" },
        { name: "long", data: captions.toReversed(), type: "STRING" },
      ],
    });
    const { found } = await read(path, { imageColumn: "mask", captionColumn: "long" });
    expect(found[0]).toEqual(["t.parquet#0", "two", [0xff, 0xd8, 0x82, 0]]);
    await expect(read(path)).rejects.toThrow(/imageColumn: must be given.*"photo", "mask"/);
    await expect(read(path, { imageColumn: "short" })).rejects.toThrow(/"photo", "mask", got "short"/);
  });

  it("a column is one for all files, and a file without it is refused", async () => {
    const file = (name: string, column: string) =>
      write(name, {
        columnData: [
          { name: "image", data: images, type: "BYTE_ARRAY" },
          { name: column, data: captions, type: "STRING" },
        ],
      });
    await file("a.parquet", "license");
    await file("b.parquet", "text");
    const rule = 'captionColumn: must be a column of every file, got "text", but a.parquet has "license"';
    await expect(read(folder)).rejects.toThrow(rule);
    await file("a.parquet", "prompt");
    await file("b.parquet", "prompt");
    expect((await read(folder)).found.map(([, caption]) => caption)).toEqual([...captions, ...captions]);
  });

  it("a text column of numbers, or an image column of texts, is refused in favour of no other", async () => {
    const image = { name: "image", data: images, type: "BYTE_ARRAY" } as const;
    const license = { name: "license", data: captions, type: "STRING" } as const;
    const numbers = await write("numbers.parquet", {
      columnData: [image, license, { name: "text", data: [1, 2, 3], type: "INT32" }],
    });
    await expect(read(numbers)).rejects.toThrow(
      'captionColumn: must be given, as "text" does not fit: one of the fitting columns of numbers.parquet, "license"',
    );
    const paths = await write("paths.parquet", {
      columnData: [
        { ...image, name: "mask" },
        { ...license, name: "text" },
        { ...license, name: "image" },
      ],
    });
    await expect(read(paths)).rejects.toThrow('imageColumn: must be given, as "image" does not fit');
  });

  it("of a list of captions one is drawn; an empty list is no caption", async () => {
    const lists = [["zero", null], ["ünö", "ünö"], [], null];
    const path = await write("t.parquet", {
      columnData: [
        { name: "image", data: [...images, images[0]!] },
        { name: "text", data: lists },
        { name: "boxes", data: [[1], [2], [3], [4]] },
      ],
      schema: [
        { name: "root", num_children: 3 },
        { name: "image", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
        ...listOf("text", { type: "BYTE_ARRAY", converted_type: "UTF8" }),
        ...listOf("boxes", { type: "INT32" }),
      ],
    });
    const { found, skipped } = await read(path);
    expect(found.map(([, caption]) => caption)).toEqual(["zero", "ünö"]);
    expect(skipped).toEqual([
      { key: "t.parquet#2", reason: 'has no caption in "text"' },
      { key: "t.parquet#3", reason: 'has no caption in "text"' },
    ]);
  });

  it("a file that cannot be read is refused by path and code", async () => {
    await symlink("nowhere", join(folder, "a.parquet"));
    await expect(read(folder)).rejects.toThrow(`${join(folder, "a.parquet")}: must be readable, got ENOENT `);
  });

  it("a table with paths in place of images is refused", async () => {
    const columnData = [{ name: "image", data: captions, type: "STRING" as const }];
    const path = await write("t.parquet", { columnData });
    await expect(read(path)).rejects.toThrow(/a fitting column of t\.parquet, which has none/);
  });

  it("a file that is cut off or no parquet is refused by name", async () => {
    const path = join(folder, "x.parquet");
    await writeFile(path, "PAR1 no parquet at all");
    await expect(read(path)).rejects.toThrow(/data: x\.parquet must be a whole parquet file/);
  });
});
