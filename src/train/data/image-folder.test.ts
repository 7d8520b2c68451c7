/** @file Image folders: captions from tables and text files, and what is left out. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DataOptions, openData, type Skipped } from "./source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-folder-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function files(contents: Record<string, string>): Promise<void> {
  for (const [name, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

async function read(options: DataOptions = {}) {
  const source = await openData(folder, options);
  const skipped: Skipped[] = [];
  const found: [string, string, string][] = [];
  for await (const { key, caption, bytes } of source.examples((one) => skipped.push(one))) {
    found.push([key, caption, Buffer.from(await bytes()).toString()]);
  }
  return { source, found, skipped };
}

describe("image folder", () => {
  test("metadata.jsonl gives captions by file_name, in the order of keys", async () => {
    await files({
      "b.png": "B",
      "in/a.jpg": "A",
      "metadata.jsonl":
        '\uFEFF{"file_name": "in/a.jpg", "text": "an a"}\r\n\n{"file_name": "b.png", "text": "a b"}',
    });
    const { source, found, skipped } = await read();
    expect(source).toMatchObject({ kind: "imagefolder", count: 2 });
    expect(found).toEqual([
      ["b.png", "a b", "B"],
      ["in/a.jpg", "an a", "A"],
    ]);
    expect(skipped).toEqual([]);
  });

  test("metadata.csv may have quoted captions with commas and line breaks", async () => {
    await files({ "a.png": "A", "metadata.csv": '\uFEFFfile_name,text\na.png,"red, ""green""\nand blue"\n' });
    expect((await read()).found).toEqual([["a.png", 'red, "green"\nand blue', "A"]]);
  });

  test("file_name counts from the folder of its table", async () => {
    await files({ "one/a.png": "A", "one/metadata.jsonl": '{"file_name":"a.png","text":"x"}' });
    expect((await read()).found).toEqual([["one/a.png", "x", "A"]]);
  });

  test(".txt files beside the pictures serve where there is no table", async () => {
    await files({
      "a.b.png": "A",
      "a.b.txt": "\uFEFFa caption\n",
      "c.webp": "C",
      "d.JPG": "D",
      "d.txt": " \n",
    });
    const { found, skipped } = await read();
    expect(found).toEqual([["a.b.png", "a caption", "A"]]);
    expect(skipped).toEqual([
      { key: "c.webp", reason: "has no .txt file of the same name beside it" },
      { key: "d.JPG", reason: "has a blank caption" },
    ]);
  });

  test("absent files, blank captions and pictures without a row are named on each pass", async () => {
    await files({
      "a.png": "A",
      "blank.png": "B",
      "null.png": "N",
      "rowless.png": "R",
      "metadata.jsonl": [
        { file_name: "a.png", text: "an a" },
        { file_name: "gone.png", text: "gone" },
        { file_name: "blank.png", text: " " },
        { file_name: "null.png", text: null },
      ]
        .map((row) => JSON.stringify(row))
        .join("\n"),
    });
    const { source, found, skipped } = await read();
    expect(found.map(([key]) => key)).toEqual(["a.png"]);
    expect(skipped).toEqual([
      { key: "gone.png", reason: "is absent, but named in metadata.jsonl, line 2" },
      { key: "blank.png", reason: "has a blank caption" },
      { key: "null.png", reason: "has no caption" },
      { key: "rowless.png", reason: "is not named in any metadata.jsonl or metadata.csv" },
    ]);
    const again: Skipped[] = [];
    for await (const _ of source.examples((one) => again.push(one)));
    expect(again).toEqual(skipped);
  });

  test("the caption column is text, else caption, else the only one, or the one asked for", async () => {
    await files({ "a.png": "A", "metadata.csv": "file_name,caption,text,llava\na.png,one,two,three\n" });
    expect((await read()).found[0]?.[1]).toBe("two");
    expect((await read({ captionColumn: "llava" })).found[0]?.[1]).toBe("three");
    await files({ "metadata.csv": "file_name,caption,llava\na.png,one,three\n" });
    expect((await read()).found[0]?.[1]).toBe("one");
    await files({ "metadata.csv": "llava,file_name\nthree,a.png\n" });
    expect((await read()).found[0]?.[1]).toBe("three");
  });

  test("an unknown or undecided caption column is refused with the columns there are", async () => {
    await files({ "a.png": "A", "metadata.csv": "file_name,short,long\na.png,one,two\n" });
    await expect(read()).rejects.toThrow(/captionColumn: must be given.*"short", "long"/);
    await expect(read({ captionColumn: "texd" })).rejects.toThrow(/"short", "long", got "texd"/);
  });

  test("a folder without captions is refused with the remedy", async () => {
    await files({ "a.png": "A", "b.png": "B" });
    await expect(read()).rejects.toThrow(/got 2 without \(first: "a.png".*Add a metadata.jsonl/);
  });

  test("a folder without pictures is refused", async () => {
    await files({ "readme.md": "nothing here" });
    await expect(read()).rejects.toThrow(/got no picture at all/);
  });

  test.each([
    [
      "no JSON object",
      { "metadata.jsonl": '{"file_name":"a.png","text":"x"}\n[1' },
      /line 2 must be one JSON object, got \[1/,
    ],
    [
      "no file_name",
      { "metadata.jsonl": '{"text":"x"}' },
      /line 1 must name its picture in "file_name", got nothing/,
    ],
    [
      "two rows for one file",
      { "metadata.csv": "file_name,text\na.png,x\na.png,y\n" },
      /names "a.png" a second time/,
    ],
    ["a ragged CSV", { "metadata.csv": "file_name,text\na.png,x,y\n" }, /must be a CSV table, got: .*line 2/],
    ["two tables", { "metadata.csv": "file_name,text\n", "metadata.jsonl": "{}" }, /must hold one table/],
  ])("%s is refused with its place", async (_, table, message) => {
    await files({ "a.png": "A", ...table });
    await expect(read()).rejects.toThrow(message);
  });
});
