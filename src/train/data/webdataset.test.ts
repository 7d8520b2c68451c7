/** @file WebDataset shards, written here with tar-stream. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DataOptions, Example, SkippedExample } from "./example.js";
import { openWebDataset } from "./webdataset.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-tar-"));
});
afterEach(() => rm(folder, { recursive: true }));

type Members = [name: string, content: string | Buffer][];

async function tarOf(members: Members): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of members) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

async function read(tar: Buffer, options: DataOptions = {}) {
  const path = join(folder, "s.tar");
  await writeFile(path, tar);
  const examples: Example[] = [];
  const skipped: SkippedExample[] = [];
  const source = openWebDataset([{ name: "s.tar", path }], options);
  for await (const example of source.examples((one) => skipped.push(one))) examples.push(example);
  // Read after the shard was left behind: an example must not depend on where the reader stands.
  const found: [string, string, string][] = [];
  for (const { key, caption, bytes } of examples)
    found.push([key, caption, Buffer.from(await bytes()).toString()]);
  return { found, skipped };
}

describe("WebDataset", () => {
  it("members with one name are one example; .txt goes before .json; folders count", async () => {
    const tar = await tarOf([
      ["./a/0001.jpg", "image 1"],
      ["./a/0001.txt", "caption 1\n"],
      ["./a/0001.json", '{"caption":"not this"}'],
      ["a/0002.json", '{"text":"caption 2"}'],
      ["a/0002.cls", "7"],
      ["a/0002.PNG", "image 2"],
      ["b/0001.webp", "image 3"],
      ["b/0001.json", '{"text":"caption 3","caption":"not this"}'],
    ]);
    const { found, skipped } = await read(tar);
    expect(found).toEqual([
      ["s.tar#a/0001", "caption 1", "image 1"],
      ["s.tar#a/0002", "caption 2", "image 2"],
      ["s.tar#b/0001", "caption 3", "image 3"],
    ]);
    expect(skipped).toEqual([]);
  });

  it("long names and images larger than a read are whole", async () => {
    const name = `${"long/".repeat(40)}0001`;
    const image = Buffer.alloc(300_001, "0123456789abc");
    const tar = await tarOf([
      [`${name}.jpg`, image],
      [`${name}.txt`, "caption"],
    ]);
    const [example] = (await read(tar)).found;
    expect(example?.slice(0, 2)).toEqual([`s.tar#${name}`, "caption"]);
    expect(example?.[2] === image.toString()).toBe(true);
  });

  it("captionColumn names a JSON field or another text member", async () => {
    const tar = await tarOf([
      ["1.jpg", "image"],
      ["1.txt", "short"],
      ["1.llava.txt", "long"],
      ["1.json", '{"synCap":"longer"}'],
    ]);
    expect((await read(tar, { captionColumn: "synCap" })).found[0]?.[1]).toBe("longer");
    expect((await read(tar, { captionColumn: "llava.txt" })).found[0]?.[1]).toBe("long");
    expect((await read(tar, { captionColumn: "absent" })).skipped).toEqual([
      { key: "s.tar#1", reason: 'has no caption in "absent"' },
    ]);
  });

  it("the field of .json members is text, else caption, else the only one of all members", async () => {
    const members = (...fields: object[]): Members =>
      fields.flatMap(
        (one, i): Members => [
          [`${i}.jpg`, "image"],
          [`${i}.json`, JSON.stringify(one)],
        ],
      );
    const captions = async (tar: Members, options: DataOptions = {}) =>
      Object.fromEntries((await read(await tarOf(tar), options)).found.map(([key, text]) => [key, text]));
    const license = { caption: "not this", license: "MIT" };
    const late = members({ ...license, text: null }, license, { ...license, text: "c" });
    expect(await captions(late)).toEqual({ "s.tar#2": "c" });
    expect((await read(await tarOf(late))).skipped).toEqual([
      { key: "s.tar#0", reason: 'has no caption in "text"' },
      { key: "s.tar#1", reason: 'has no caption in "text"' },
    ]);
    const second = members({ license: "MIT", caption: null }, { license: "MIT", caption: "b" });
    expect(await captions(second)).toEqual({ "s.tar#1": "b" });
    expect(await captions(members({ prompt: "a", width: 8 }, { prompt: ["b"] }))).toEqual({
      "s.tar#0": "a",
      "s.tar#1": "b",
    });
    const unclear = members({ license: "MIT" }, { license: "MIT", prompt: "b" });
    await expect(captions(unclear)).rejects.toThrow(/captionColumn: must be given.*"license", "prompt"/);
    expect(await captions(unclear, { captionColumn: "prompt" })).toEqual({ "s.tar#1": "b" });
  });

  it("an example without .txt among others with it takes no field but the usual ones", async () => {
    const tar = (field: string) =>
      tarOf([
        ["1.jpg", "image"],
        ["1.txt", "a"],
        ["2.jpg", "image"],
        ["2.json", `{"${field}":"b"}`],
      ]);
    expect((await read(await tar("license"))).skipped).toEqual([
      { key: "s.tar#2", reason: "has no caption" },
    ]);
    expect((await read(await tar("caption"))).found.map(([, caption]) => caption)).toEqual(["a", "b"]);
  });

  it("text members may be UTF-16 with a mark; one that is no text is named by its line", async () => {
    const utf16 = (text: string) => Buffer.from(`\uFEFF${text}`, "utf16le");
    const tar = await tarOf([
      ["1.jpg", "image"],
      ["1.txt", utf16("a café\r\n")],
      ["2.jpg", "image"],
      ["2.json", utf16('{"text":"東京"}').swap16()],
      ["3.jpg", "image"],
      ["3.txt", Buffer.from("a\rcaf\xe9", "latin1")],
      ["4.jpg", "image"],
      ["4.json", Buffer.from('{"text":"caf\xe9"}', "latin1")],
    ]);
    const { found, skipped } = await read(tar);
    expect(found.map(([, caption]) => caption)).toEqual(["a café", "東京"]);
    const fault = "must be UTF-8, got bytes that are not. Save the text as UTF-8.";
    expect(skipped).toEqual([
      { key: "s.tar#3", reason: `has no readable caption: .txt, line 2 ${fault}` },
      { key: "s.tar#4", reason: `has no readable caption: .json, line 1 ${fault}` },
    ]);
  });

  it("captions in .caption.txt members are taken where they are all there is, else when they are named", async () => {
    const captionAlone = await tarOf([
      ["1.jpg", "image"],
      ["1.caption.txt", "a boat\n"],
    ]);
    expect((await read(captionAlone)).found).toEqual([["s.tar#1", "a boat", "image"]]);
    const besideUrl = await tarOf([
      ["1.jpg", "image"],
      ["1.caption.txt", "a boat"],
      ["1.json", '{"url":"https://example.com/1.jpg"}'],
    ]);
    await expect(read(besideUrl)).rejects.toThrow(/captionColumn: must be given.*"url", "caption\.txt"/);
    expect((await read(besideUrl, { captionColumn: "caption.txt" })).found[0]?.[1]).toBe("a boat");
  });

  it("a shard that cannot be read is refused by path and code", async () => {
    const source = openWebDataset([{ name: "gone.tar", path: join(folder, "gone.tar") }]);
    const reading = source.examples()[Symbol.asyncIterator]().next();
    await expect(reading).rejects.toThrow(`${join(folder, "gone.tar")}: must be readable, got ENOENT `);
  });

  it("of several images imageColumn chooses one, by its extension", async () => {
    const tar = await tarOf([
      ["1.jpg", "photo"],
      ["1.depth.png", "depth"],
      ["1.txt", "caption"],
    ]);
    expect((await read(tar)).skipped).toEqual([
      { key: "s.tar#1", reason: "has 2 images (jpg, depth.png); choose one by imageColumn" },
    ]);
    expect((await read(tar, { imageColumn: "depth.png" })).found[0]?.[2]).toBe("depth");
  });

  it("examples without image, without caption or torn apart are named", async () => {
    const tar = await tarOf([
      ["1.txt", "no image"],
      ["2.jpg", "image"],
      ["3.jpg", "image"],
      ["3.json", "{broken"],
      ["4.jpg", "image"],
      ["4.txt", "good"],
      ["2.txt", "too late"],
    ]);
    const { found, skipped } = await read(tar);
    expect(found.map(([key]) => key)).toEqual(["s.tar#4"]);
    expect(skipped).toEqual([
      { key: "s.tar#1", reason: "has no image" },
      { key: "s.tar#2", reason: "has no caption" },
      { key: "s.tar#3", reason: "has no caption" },
      { key: "s.tar#2", reason: "has members apart from each other in the shard" },
    ]);
  });

  it("a shard that was cut off or is no tar is refused by name", async () => {
    const tar = await tarOf([
      ["1.jpg", Buffer.alloc(5000)],
      ["1.txt", "x"],
    ]);
    await expect(read(tar.subarray(0, 3000))).rejects.toThrow(/data: s\.tar must be a whole tar file.*again/);
    const inText = await tarOf([["1.txt", "long ".repeat(1000)]]);
    await expect(read(inText.subarray(0, 3000))).rejects.toThrow(/data: s\.tar must be a whole tar file/);
    await expect(read(Buffer.alloc(2048, "no tar at all"))).rejects.toThrow(
      /s\.tar must be a whole tar file/,
    );
  });

  it("the reader may be left early", async () => {
    const path = join(folder, "s.tar");
    await writeFile(
      path,
      await tarOf([
        ["1.jpg", "a"],
        ["1.txt", "x"],
        ["2.jpg", "b"],
        ["2.txt", "y"],
      ]),
    );
    const keys: string[] = [];
    for await (const { key } of openWebDataset([{ name: "s.tar", path }]).examples()) {
      keys.push(key);
      break;
    }
    expect(keys).toEqual(["s.tar#1"]);
  });
});
