/** @file Finding out what kind of data a path is. */

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Example, openData } from "./source.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "koala-source-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function shard(name: string): Promise<void> {
  const tar = pack();
  tar.entry({ name: "a.jpg" }, "image");
  tar.entry({ name: "a.txt" }, `from ${name}`);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array);
  await writeFile(join(folder, name), Buffer.concat(chunks));
}

async function keys(path: string): Promise<string[]> {
  const found: Example[] = [];
  for await (const example of (await openData(path)).examples()) found.push(example);
  return found.map((example) => example.key);
}

describe("openData", () => {
  it("takes one shard, a folder of shards, a wildcard and a numbered range", async () => {
    for (const name of ["train-008.tar", "train-009.tar", "train-010.tar", "other.tar"]) await shard(name);
    expect(await keys(join(folder, "train-009.tar"))).toEqual(["train-009.tar#a"]);
    expect(await keys(folder)).toEqual([
      "other.tar#a",
      "train-008.tar#a",
      "train-009.tar#a",
      "train-010.tar#a",
    ]);
    expect(await keys(join(folder, "t*.tar"))).toHaveLength(3);
    expect(await keys(join(folder, "train-{009..010}.tar"))).toEqual(["train-009.tar#a", "train-010.tar#a"]);
    expect(await keys(join(folder, "{other,train-00?}.tar"))).toHaveLength(3);
  });

  it("names the shards of a range that are absent", async () => {
    await shard("train-00.tar");
    const opening = openData(join(folder, "train-{00..02}.tar"));
    await expect(opening).rejects.toThrow(/got none for "train-01.tar", "train-02.tar"/);
  });

  it("refuses a path that does not exist, with the remedy", async () => {
    const opening = openData(join(folder, "nothing"));
    await expect(opening).rejects.toThrow(/data: .*got none for "nothing"\. Give a folder/);
  });

  it("names a path that the system refuses, with its code", async () => {
    const around = join(folder, "around");
    await symlink("around", around);
    const refused = (path: string) => `${path}: must be readable, got ELOOP `;
    await expect(openData(around)).rejects.toThrow(refused(around));
    await expect(openData(join(around, "*.tar"))).rejects.toThrow(refused(join(around, "*.tar")));
    const name = join(folder, "x".repeat(300));
    await expect(openData(name)).rejects.toThrow(`${name}: must be readable, got ENAMETOOLONG `);
  });

  it("refuses a folder that mixes two kinds of data", async () => {
    await shard("a.tar");
    await writeFile(join(folder, "b.png"), "image");
    await expect(openData(folder)).rejects.toThrow(/one kind of data, got 1 \.tar, 1 images/);
  });

  it("does not see hidden files", async () => {
    await mkdir(join(folder, ".cache"));
    await writeFile(join(folder, ".cache", "x.parquet"), "no parquet");
    await writeFile(join(folder, "._a.jpg"), "no image");
    await writeFile(join(folder, "a.jpg"), "image");
    await writeFile(join(folder, "a.txt"), "a caption");
    expect(await keys(folder)).toEqual(["a.jpg"]);
  });
});
