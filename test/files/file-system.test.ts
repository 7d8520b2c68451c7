/** @file What the system refuses, provoked so that it is refused to every user, root among them. */

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, it } from "vitest";
import { FileError } from "../../src/errors.js";
import { fileError, namedFileError, systemCode } from "../../src/files/file-errors.js";
import {
  appending,
  copyFile,
  ifThere,
  kindOf,
  makeFolder,
  readdir,
  readFile,
  readJson,
  readStream,
  readText,
  rename,
  stat,
  unfinished,
  writeBeside,
  writeWhole,
} from "../../src/files/file-system.js";
import { built, limited } from "../limited.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-files-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
writeFileSync(at("file"), "text");
mkdirSync(at("folder"));
symlinkSync("circle", at("circle"));

const failure = async (work: Promise<unknown>): Promise<FileError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(FileError);
  return error as FileError;
};

describe("an error of the system", () => {
  const long = at("n".repeat(300));
  const cases: [string, string, string, () => Promise<unknown>][] = [
    ["a file that is absent", "ENOENT", at("absent"), () => readFile(at("absent"))],
    ["a folder below a file", "ENOTDIR", at("file/below"), () => makeFolder(at("file/below"))],
    ["a folder where a file is", "EEXIST", at("file"), () => makeFolder(at("file"))],
    ["a file below a file", "EEXIST", at("file"), () => writeWhole(at("file/x.json"), "x")],
    ["a folder in place of a file", "EISDIR", at("folder"), () => readFile(at("folder"))],
    ["a file over a folder", "EISDIR", at("folder"), () => writeWhole(at("folder"), "x")],
    ["a name that is too long", "ENAMETOOLONG", long, () => writeWhole(long, "x")],
    ["links in a circle", "ELOOP", at("circle"), () => readdir(at("circle"))],
    ["a JSON file of links in a circle", "ELOOP", at("circle"), () => readJson(at("circle"))],
    ["a disk that is full", "ENOSPC", "/dev/full", () => appending("/dev/full", (f) => f.appendFile("x"))],
    ["a file system that makes none", "ENOENT", "/proc/koala", () => makeFolder("/proc/koala/x")],
    ["a stream of a folder", "EISDIR", at("folder"), () => text(readStream(at("folder")))],
    ["a rename's target", "ENOTDIR", at("file/x"), () => rename(at("file"), at("file/x"))],
    ["a copy's target", "ENOTDIR", at("file/x"), () => copyFile(at("file"), at("file/x"))],
  ];
  it.each(cases)("about %s has its code, the path and a remedy in one line", async (_, code, file, work) => {
    const { message, ...error } = await failure(work());
    expect(error).toMatchObject({ code, file });
    expect(message).toMatch(
      /^\/[^\n]*: must be (readable|writable), got E[A-Z]+ \([a-z ]+\)\. [A-Z][^\n]*\.$/,
    );
    expect(message.startsWith(`${file}: `)).toBe(true);
  });

  it("keeps its code where another part asks for it, and is no error of ours where it has none", () => {
    const raw = Object.assign(new Error("EROFS: read-only file system, open '/x'"), {
      ...{ code: "EROFS", syscall: "open", path: "/x" },
    });
    const error = fileError(raw, "write", "/y") as FileError;
    expect([systemCode(raw), systemCode(error)]).toEqual(["EROFS", "EROFS"]);
    expect(error.message).toBe(
      "/y: must be writable, got EROFS (read-only file system). Choose a place on another disk.",
    );
    expect(fileError(error, "read", "/z")).toBe(error);
    expect((namedFileError(raw) as FileError).file).toBe("/x");
    const bug = new TypeError("x is not a function");
    expect([fileError(bug, "read", "/y"), namedFileError(bug), systemCode(bug)]).toEqual([
      bug,
      bug,
      undefined,
    ]);
  });

  it.each([
    ["EACCES", "read", "Let this user read it"],
    ["EACCES", "write", "Let this user write there"],
    ["EPERM", "write", "Let this user write there"],
    ["EDQUOT", "write", "Free some room"],
    ["EFBIG", "write", "ulimit -f"],
    ["EMFILE", "read", "ulimit -n"],
    ["ENFILE", "read", "the machine's limit"],
    ["EIO", "read", "Check the disk"],
    ["EXDEV", "write", "choose a place on the same one"],
  ] as const)("of code %s, met when it was to %s, says: %s", (code, use, remedy) => {
    const raw = Object.assign(new Error(`${code}: why, open '/x'`), { code, syscall: "open" });
    expect((fileError(raw, use, "/x") as FileError).message).toContain(remedy);
  });
});

describe("what is there", () => {
  it("is a file, a folder or nothing, and an error only where nobody can look", async () => {
    expect(await kindOf(at("file"))).toBe("file");
    expect(await kindOf(at("folder"))).toBe("folder");
    for (const name of ["absent", "file/below", "nul\0"]) expect(await kindOf(at(name))).toBeUndefined();
    expect((await failure(kindOf(at("circle")))).code).toBe("ELOOP");
    expect(await ifThere(() => stat(at("absent")))).toBeUndefined();
    expect((await failure(ifThere(() => stat(at("circle"))))).code).toBe("ELOOP");
  });
});

describe("a file that is written", () => {
  it("is whole, in a folder that is made, or not there, with nothing beside it", async () => {
    await writeWhole(at("made/deep/a.txt"), "all of it");
    expect(await readText(at("made/deep/a.txt"))).toBe("all of it");
    const broken = writeBeside(at("made/deep/b.txt"), async (handle) => {
      await handle.write("half");
      throw new Error("stopped");
    });
    await expect(broken).rejects.toThrow("stopped");
    expect(readdirSync(at("made/deep"))).toEqual(["a.txt"]);
  });

  it("may have the longest name that the disk takes", async () => {
    const name = `${"ä".repeat(120)}.png`;
    await writeWhole(at(name), "x");
    expect(statSync(at(name)).size).toBe(1);
  });

  it("is told from one that a killed process left", async () => {
    let beside: string[] = [];
    await writeBeside(at("made/c.txt"), async () => {
      beside = readdirSync(at("made")).filter((name) => name !== "deep");
    });
    expect(beside.map(unfinished)).toEqual([true]);
    expect(["c.txt", "c.partial", "partial"].map(unfinished)).toEqual([false, false, false]);
  });
});

/** Runs code on the built module under a limit of the shell, and gives what it printed. */
async function under(shell: string, code: string): Promise<string> {
  const script = `import * as files from ${JSON.stringify(built("files/file-system.js"))};\n${code}`;
  const { stdout } = await limited(["--input-type=module", "-e", script], { shell });
  return stdout.trim();
}

it("A folder may be made by many at once", async () => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => makeFolder(at("many/at/once", `${i % 3}`))));
  expect(readdirSync(at("many/at/once"))).toEqual(["0", "1", "2"]);
});

describe("a limit of the process", () => {
  it("on the size of files is told as EFBIG, and leaves nothing behind", async () => {
    mkdirSync(at("limit"));
    const file = JSON.stringify(at("limit/large"));
    const code = `await files.writeWhole(${file}, new Uint8Array(2 ** 20)).catch((e) => console.log(e.code, e.message));`;
    expect(await under("ulimit -f 64", code)).toBe(
      `EFBIG ${at("limit/large")}: must be writable, got EFBIG (file too large). Raise the limit of a file's size (ulimit -f), or choose another disk.`,
    );
    expect(readdirSync(at("limit"))).toEqual([]);
  });

  it("on open files is told as EMFILE", async () => {
    const file = JSON.stringify(at("file"));
    const code = `
      const open = () => files.reading(${file}, ${file}, open);
      await open().catch((e) => console.log(e.code, e.message));
    `;
    expect(await under("ulimit -n 64", code)).toBe(
      `EMFILE ${at("file")}: must be readable, got EMFILE (too many open files). Raise the limit of this process, as with ulimit -n 4096.`,
    );
    expect(readFileSync(at("file"), "utf8")).toBe("text");
  });
});
