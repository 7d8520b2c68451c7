/** @file Folders that are checked before output, and names that only one process gets. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.js";
import { checkWritable, freeBytes, writeNew } from "../../src/files/writable.js";
import { built, limited } from "../limited.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-writable-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
const bytes = (text: string) => new TextEncoder().encode(text);

describe("a folder that is checked", () => {
  it("is as it was before, there or not, deep or not", async () => {
    mkdirSync(at("there"));
    await checkWritable(at("there"));
    await checkWritable(at("new/deep/deeper"));
    expect(readdirSync(scratch)).toEqual(["there"]);
    expect(readdirSync(at("there"))).toEqual([]);
  });

  it("is as it was before where it cannot be written, and named", async () => {
    writeFileSync(at("file"), "");
    const long = "n".repeat(300);
    for (const [folder, code] of [
      [at("file"), "EEXIST"],
      [at("file/below"), "ENOTDIR"],
      [at("new/deep", long), "ENAMETOOLONG"],
      ["/proc/koala", "ENOENT"],
      ["/dev/fd/koala", "ENOENT"],
    ] as const) {
      const tried = checkWritable(folder);
      await expect(tried, folder).rejects.toThrow(FileError);
      await expect(tried).rejects.toMatchObject({ code, file: folder });
    }
    expect(existsSync(at("new"))).toBe(false);
  });

  it("has the free bytes of the disk where it would be made", async () => {
    const free = await freeBytes(at("new/deep"));
    expect(free).toBeGreaterThan(0);
    expect(free / (await freeBytes(scratch))).toBeCloseTo(1, 1);
    // Of such a file system nothing is known.
    expect(await freeBytes("/proc")).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("a name that is taken", () => {
  it("is left to its file, and the next number is given", async () => {
    mkdirSync(at("names"));
    const file = at("names/koala-7.png");
    for (const text of ["first", "second", "third"]) await writeNew(file, bytes(text));
    expect(readdirSync(at("names")).sort()).toEqual(["koala-7-2.png", "koala-7-3.png", "koala-7.png"]);
    expect(readFileSync(file, "utf8")).toBe("first");
    expect(readFileSync(at("names/koala-7-3.png"), "utf8")).toBe("third");
  });

  it("goes to one of several processes at once", async () => {
    mkdirSync(at("race"));
    const script = `
      const { writeNew } = await import(${JSON.stringify(built("files/writable.js"))});
      for (let i = 0; i < 20; i++)
        console.log(await writeNew(${JSON.stringify(at("race/a.png"))}, new Uint8Array(5000).fill(process.pid % 256)));
    `;
    const run = () => limited(["--input-type=module", "-e", script]);
    const outputs = await Promise.all(Array.from({ length: 4 }, run));
    const names = outputs.flatMap(({ stdout }) => stdout.trim().split("\n"));
    expect(new Set(names).size).toBe(80);
    expect(readdirSync(at("race"))).toHaveLength(80);
    for (const { stdout } of outputs) {
      const own = stdout.trim().split("\n");
      const fills = own.map((name) => new Set(readFileSync(name)));
      expect(new Set(fills.map(([fill]) => fill)).size).toBe(1);
      expect(fills.every((fill) => fill.size === 1)).toBe(true);
    }
  });

  it("is free again where the file cannot be written", async () => {
    mkdirSync(at("failed"));
    const script = `
      const { writeNew } = await import(${JSON.stringify(built("files/writable.js"))});
      await writeNew(${JSON.stringify(at("failed/a.png"))}, new Uint8Array(2 ** 20)).catch((e) => console.log(e.code));
    `;
    const { stdout } = await limited(["--input-type=module", "-e", script], { shell: "ulimit -f 64" });
    expect(stdout).toBe("EFBIG\n");
    expect(readdirSync(at("failed"))).toEqual([]);
  });
});
