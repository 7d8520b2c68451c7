/** @file Image folders: captions from tables and text files, and what is left out. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type DataOptions, openData, type SkippedExample } from "./source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-folder-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function files(contents: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

const jsonLines = (...rows: object[]) => rows.map((row) => JSON.stringify(row)).join("\n");
const captions = (found: readonly [string, string, string][]) =>
  Object.fromEntries(found.map(([key, caption]) => [key, caption]));

async function read(options: DataOptions = {}) {
  const source = await openData(folder, options);
  const skipped: SkippedExample[] = [];
  const found: [string, string, string][] = [];
  for await (const { key, caption, bytes } of source.examples((one) => skipped.push(one))) {
    found.push([key, caption, Buffer.from(await bytes()).toString()]);
  }
  return { source, found, skipped };
}

describe("image folder", () => {
  it("metadata.jsonl gives captions by file_name, in the order of keys", async () => {
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

  it("metadata.csv may have quoted captions with commas and line breaks", async () => {
    await files({ "a.png": "A", "metadata.csv": '\uFEFFfile_name,text\na.png,"red, ""green""\nand blue"\n' });
    expect((await read()).found).toEqual([["a.png", 'red, "green"\nand blue', "A"]]);
  });

  it("file_name counts from the folder of its table", async () => {
    await files({ "one/a.png": "A", "one/metadata.jsonl": '{"file_name":"a.png","text":"x"}' });
    expect((await read()).found).toEqual([["one/a.png", "x", "A"]]);
  });

  it(".txt files beside the images serve where there is no table", async () => {
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

  it("absent files, blank captions and images without a row are named on each pass", async () => {
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
      { key: "null.png", reason: 'has no caption in "text"' },
      { key: "rowless.png", reason: "is not named in any metadata.jsonl or metadata.csv" },
    ]);
    const again: SkippedExample[] = [];
    for await (const _ of source.examples((one) => again.push(one)));
    expect(again).toEqual(skipped);
  });

  it("the caption column is text, else caption, else the only one, or the one that is named", async () => {
    await files({ "a.png": "A", "metadata.csv": "file_name,caption,text,llava\na.png,one,two,three\n" });
    expect((await read()).found[0]?.[1]).toBe("two");
    expect((await read({ captionColumn: "llava" })).found[0]?.[1]).toBe("three");
    await files({ "metadata.csv": "file_name,caption,llava\na.png,one,three\n" });
    expect((await read()).found[0]?.[1]).toBe("one");
    await files({ "metadata.csv": "llava,file_name\nthree,a.png\n" });
    expect((await read()).found[0]?.[1]).toBe("three");
  });

  it("an unknown or undecided caption column is refused with the columns there are", async () => {
    await files({ "a.png": "A", "metadata.csv": "file_name,short,long\na.png,one,two\n" });
    await expect(read()).rejects.toThrow(/captionColumn: must be given.*"short", "long"/);
    await expect(read({ captionColumn: "texd" })).rejects.toThrow(/"short", "long", got "texd"/);
  });

  it("no row alone decides which column that is", async () => {
    const images = { "a.png": "A", "b.png": "B", "c.png": "C" };
    const rows = (...columns: object[]) =>
      jsonLines(...columns.map((one, i) => ({ file_name: `${"abc"[i]}.png`, ...one })));
    const table = { "metadata.jsonl": rows({ license: "MIT", text: null }, { text: "b" }, { text: "c" }) };
    await files({ ...images, ...table });
    let { found, skipped } = await read();
    expect(captions(found)).toEqual({ "b.png": "b", "c.png": "c" });
    expect(skipped).toEqual([{ key: "a.png", reason: 'has no caption in "text"' }]);

    const last = rows({ caption: "a" }, { caption: "b", source: "web" }, { text: "c" });
    await files({ "metadata.jsonl": last });
    expect(captions((await read()).found)).toEqual({ "c.png": "c" });

    await files({ "metadata.jsonl": rows({ prompt: null, likes: 3 }, { prompt: "b" }, { prompt: "c" }) });
    ({ found, skipped } = await read());
    expect(captions(found)).toEqual({ "b.png": "b", "c.png": "c" });
    expect(skipped).toEqual([{ key: "a.png", reason: 'has no caption in "prompt"' }]);
  });

  it.each([
    ["absent from the first row", [{ source: "web" }, { source: "web", prompt: "b" }]],
    [
      "null in the first row",
      [
        { source: "web", prompt: null },
        { source: "web", prompt: "b" },
      ],
    ],
    [
      "null in all rows",
      [
        { source: "web", prompt: null },
        { source: "web", prompt: null },
      ],
    ],
  ])("a column beside one that is %s is not taken for the only one", async (_, rows) => {
    const table = jsonLines(...rows.map((row, i) => ({ file_name: `${i}.png`, ...row })));
    await files({ "0.png": "A", "1.png": "B", "metadata.jsonl": table });
    await expect(read()).rejects.toThrow(
      /captionColumn: must be given.*"source".*"prompt"|"prompt".*"source"/,
    );
    expect((await read({ captionColumn: "source" })).found).toHaveLength(2);
  });

  it("a text column of numbers is refused; no other is taken for it without being named", async () => {
    const rows = (first: object, second: object) =>
      jsonLines(
        { file_name: "a.png", license: "cc", ...first },
        { file_name: "b.png", license: "cc", ...second },
      );
    await files({ "a.png": "A", "b.png": "B", "metadata.jsonl": rows({ text: 3 }, { text: 4 }) });
    await expect(read()).rejects.toThrow(
      'captionColumn: must be given, as "text" does not fit: one of the fitting columns of metadata.jsonl, "license".',
    );
    expect((await read({ captionColumn: "license" })).found).toHaveLength(2);
    await files({ "metadata.jsonl": rows({ caption: 3 }, {}) });
    await expect(read()).rejects.toThrow('must be given, as "caption" does not fit');
    await files({ "metadata.jsonl": rows({ text: 3 }, { text: "b" }) });
    expect(captions((await read()).found)).toEqual({ "b.png": "b" });
  });

  it("the column is one for the tables of all folders", async () => {
    await files({ "in/a.png": "A", "in/metadata.csv": "file_name,source\na.png,web\n" });
    await files({ "in/more/b.png": "B", "in/more/metadata.csv": "file_name,text\nb.png,a b\n" });
    const { found, skipped } = await read();
    expect(captions(found)).toEqual({ "in/more/b.png": "a b" });
    expect(skipped).toEqual([{ key: "in/a.png", reason: 'has no caption in "text"' }]);
  });

  it("of a list of captions one is drawn by seed and key, each about as often", async () => {
    const names = Array.from({ length: 200 }, (_, i) => `${i}.png`);
    await files(Object.fromEntries(names.map((name) => [name, ""])));
    const list = ["a", null, " ", "b"];
    await files({ "metadata.jsonl": jsonLines(...names.map((file_name) => ({ file_name, text: list }))) });
    const drawn = async (seed?: number) => captions((await read({ seed })).found);
    const first = await drawn(7);
    const counts = ["a", "b"].map((text) => Object.values(first).filter((one) => one === text).length);
    expect(counts[0]! + counts[1]!).toBe(200);
    expect(Math.abs(counts[0]! - 100)).toBeLessThan(35); // five standard deviations of a fair draw
    expect(await drawn(7)).toEqual(first);
    expect(await drawn(8)).not.toEqual(first);
    expect(await drawn()).toEqual(await drawn(0));
    // An example's caption does not depend on which others there are.
    await files({ "metadata.jsonl": jsonLines({ file_name: "199.png", text: list }) });
    expect(await drawn(7)).toEqual({ "199.png": first["199.png"] });
  });

  it("a list without a text is no caption, and one with something else is named", async () => {
    const texts = [["a"], [], [null], [" ", ""], ["a", 5], 7, { raw: "a" }];
    await files(Object.fromEntries(texts.map((_, i) => [`${i}.png`, ""])));
    await files({
      "metadata.jsonl": jsonLines(...texts.map((text, i) => ({ file_name: `${i}.png`, text }))),
    });
    const { found, skipped } = await read();
    expect(captions(found)).toEqual({ "0.png": "a" });
    expect(skipped.map(({ reason }) => reason)).toEqual([
      'has no caption in "text"',
      'has no caption in "text"',
      "has a blank caption",
      "has a caption that is not text but number",
      "has a caption that is not text but number",
      "has a caption that is not text but object",
    ]);
  });

  it("imageColumn names the column with the file names", async () => {
    await files({ "a.png": "A", "metadata.jsonl": jsonLines({ image: "a.png", prompt: "an a" }) });
    expect(captions((await read({ imageColumn: "image" })).found)).toEqual({ "a.png": "an a" });
    await expect(read()).rejects.toThrow(/"file_name", got nothing\. Add the column, or name another/);
  });

  it("a column is refused where .txt files hold the captions", async () => {
    await files({ "a.png": "A", "a.txt": "an a" });
    const rule = (name: string) => `${name}: needs a metadata.jsonl or metadata.csv, got "x"`;
    for (const name of ["captionColumn", "imageColumn"])
      await expect(read({ [name]: "x" })).rejects.toThrow(rule(name));
  });

  it("a folder without captions is refused with the remedy", async () => {
    await files({ "a.png": "A", "b.png": "B" });
    await expect(read()).rejects.toThrow(/got 2 without \(first: "a.png".*Add a metadata.jsonl/);
  });

  it("a folder without images is refused", async () => {
    await files({ "readme.md": "nothing here" });
    await expect(read()).rejects.toThrow(/got no image at all/);
  });

  it.each([
    [
      "no JSON object",
      { "metadata.jsonl": '{"file_name":"a.png","text":"x"}\n[1' },
      /line 2 must be one JSON object, got \[1/,
    ],
    [
      "no file_name",
      { "metadata.jsonl": '{"text":"x"}' },
      /line 1 must name its image in "file_name", got nothing/,
    ],
    [
      "two rows for one file",
      { "metadata.csv": "file_name,text\na.png,x\na.png,y\n" },
      /names "a.png" a second time/,
    ],
    ["a ragged CSV", { "metadata.csv": "file_name,text\na.png,x,y\n" }, /must be a CSV table, got: .*line 2/],
    [
      "a CSV with a quote inside a text",
      { "metadata.csv": 'file_name,text\na.png,a 5" cat\n' },
      /data: metadata\.csv must be a CSV table, got: .* line 2, .*Correct that line: .* its own quotes doubled/,
    ],
    [
      "a CSV with two columns of one name",
      { "metadata.csv": "file_name,text,text\na.png,x,y\n" },
      /data: metadata\.csv, line 1 must name each column once, got "text" twice\. Rename or remove one/,
    ],
    ["two tables", { "metadata.csv": "file_name,text\n", "metadata.jsonl": "{}" }, /must hold one table/],
  ])("%s is refused with its place", async (_, table, message) => {
    await files({ "a.png": "A", ...table });
    await expect(read()).rejects.toThrow(message);
  });
});

describe("texts of an image folder", () => {
  const utf16 = (text: string) => Buffer.from(`\uFEFF${text}`, "utf16le");
  const latin1 = (text: string) => Buffer.from(text, "latin1");

  it("may be UTF-16 with a byte order mark, and end lines by carriage returns", async () => {
    await files({ "a.png": "A", "a.txt": utf16("a café\r\n"), "b.png": "B", "b.txt": "a b\r" });
    expect(captions((await read()).found)).toEqual({ "a.png": "a café", "b.png": "a b" });
    const [a, b] = ["a.png", "b.png"].map((file_name) => JSON.stringify({ file_name, text: "東京" }));
    for (const table of [utf16(`${a}\r\n${b}\r\n`).swap16(), `${a}\r${b}`]) {
      await files({ "metadata.jsonl": table });
      expect(captions((await read()).found)).toEqual({ "a.png": "東京", "b.png": "東京" });
    }
    await rm(join(folder, "metadata.jsonl"));
    for (const end of ["\r\n", "\r", "\n"]) {
      const csv = `file_name,text\na.png,"one\ntwo"\nb.png,café\n`.replaceAll("\n", end);
      for (const table of [csv, utf16(csv)]) {
        await files({ "metadata.csv": table });
        expect(captions((await read()).found)).toEqual({ "a.png": "one\ntwo", "b.png": "café" });
      }
    }
  });

  it("that are no text are named by file and line: one caption is left out, a table refused", async () => {
    await files({ "a.png": "A", "a.txt": latin1("a\ncaf\xe9"), "b.png": "B", "b.txt": "a b" });
    const { found, skipped } = await read();
    expect(captions(found)).toEqual({ "b.png": "a b" });
    const fault = "must be UTF-8, got bytes that are not. Save the text as UTF-8.";
    expect(skipped).toEqual([{ key: "a.png", reason: `has no readable caption: a.txt, line 2 ${fault}` }]);

    await files({ "metadata.csv": latin1("file_name,text\na.png,a\nb.png,caf\xe9\n") });
    await expect(read()).rejects.toThrow(`data: metadata.csv, line 3 ${fault}`);
    await rm(join(folder, "metadata.csv"));
    const row = (name: string) => `{"file_name":"${name}.png","text":"caf\xe9"}`;
    await files({ "metadata.jsonl": Buffer.concat([Buffer.from(`${row("a")}\n`), latin1(row("b"))]) });
    await expect(read()).rejects.toThrow(`data: metadata.jsonl, line 2 ${fault}`);
  });

  it("are not confused with line numbers in a long table", async () => {
    const names = Array.from({ length: 200 }, (_, i) => `${i}.png`);
    await files(Object.fromEntries(names.map((name) => [name, ""])));
    const rows = names.map((file_name) => ({ file_name, text: `é東😀 ${file_name} `.repeat(60) }));
    await files({ "metadata.jsonl": jsonLines(...rows) });
    expect(captions((await read()).found)).toEqual(
      Object.fromEntries(rows.map(({ file_name, text }) => [file_name, text])),
    );
    await files({ "metadata.jsonl": `${jsonLines(...rows)}\n[]` });
    await expect(read()).rejects.toThrow("metadata.jsonl, line 201 must be one JSON object, got []");
  });

  // A link that leads nowhere stands for whatever the system refuses: root may read every file.
  it("that cannot be read are named with the system's code: one caption is left out, a table refused", async () => {
    await files({ "a.png": "A", "b.png": "B", "b.txt": "a b" });
    await symlink("nowhere", join(folder, "a.txt"));
    const { found, skipped } = await read();
    expect(captions(found)).toEqual({ "b.png": "a b" });
    const reason = `has no readable caption: ${join(folder, "a.txt")} cannot be read (ENOENT)`;
    expect(skipped).toEqual([{ key: "a.png", reason }]);
    for (const name of ["metadata.jsonl", "metadata.csv"]) {
      await symlink("nowhere", join(folder, name));
      await expect(read()).rejects.toThrow(
        `${join(folder, name)}: must be readable, got ENOENT (no such file or directory). Check the path.`,
      );
      await rm(join(folder, name));
    }
  });
});
