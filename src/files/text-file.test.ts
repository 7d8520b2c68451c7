/** @file Texts of editors and shells: encodings, byte order marks, line ends, and bytes that are not text. */

import { describe, expect, it } from "vitest";
import { decodeChunks, decodeLines, decodeText } from "./text-file.js";

const lines = "a café\nüber 東京\n😀 last";
const utf16le = (text: string) => Buffer.from(text, "utf16le");
const utf16be = (text: string) => utf16le(text).swap16();
const refuse = (fault: string) => new Error(fault);

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function streamed(bytes: Uint8Array, size: number): Promise<string> {
  let text = "";
  for await (const piece of decodeChunks(pieces(bytes, size), refuse)) text += piece;
  return text;
}

async function linesOf(bytes: Uint8Array, size: number): Promise<string[]> {
  const found: string[] = [];
  for await (const line of decodeLines(pieces(bytes, size), refuse)) found.push(line);
  return found;
}

describe("a text is the same", () => {
  it.each([
    ["UTF-8", Buffer.from(lines)],
    ["UTF-8 with a byte order mark", Buffer.from(`\uFEFF${lines}`)],
    ["UTF-16, little end first, as PowerShell 5 writes it", utf16le(`\uFEFF${lines}`)],
    ["UTF-16, big end first", utf16be(`\uFEFF${lines}`)],
    ["with Windows' line ends", Buffer.from(lines.replaceAll("\n", "\r\n"))],
    ["with lone carriage returns", Buffer.from(lines.replaceAll("\n", "\r"))],
    ["UTF-16 with Windows' line ends", utf16le(`\uFEFF${lines.replaceAll("\n", "\r\n")}`)],
    ["joined from files with byte order marks", Buffer.from(`\uFEFF${lines.replaceAll("\n", "\r\n\uFEFF")}`)],
  ])("as %s, whole or cut anywhere", async (_, bytes) => {
    expect(decodeText(bytes)).toEqual({ text: lines });
    for (const size of [1, 2, 3, 5, 1000]) expect(await streamed(bytes, size)).toBe(lines);
    for (const size of [1, 4, 1000]) expect(await linesOf(bytes, size)).toEqual(lines.split("\n"));
  });

  it("with empty lines, of which the last line's end begins none", async () => {
    const bytes = Buffer.from("\r\n\n\ra\r\r\nb\r");
    for (const size of [1, 2, 1000]) expect(await linesOf(bytes, size)).toEqual(["", "", "", "a", "", "b"]);
    expect(await linesOf(Buffer.from("a\n\n"), 1)).toEqual(["a", ""]);
  });

  it("where it is empty, or a byte order mark alone", async () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from("\uFEFF"), utf16be("\uFEFF")]) {
      expect(decodeText(bytes)).toEqual({ text: "" });
      expect(await linesOf(bytes, 1)).toEqual([]);
    }
    expect(decodeText(Buffer.from("x"))).toEqual({ text: "x" });
  });

  it("where a piece ends with every kind of character, over slices of a long text", () => {
    const long = "é東😀\n".repeat(40_000);
    expect(decodeText(Buffer.from(long))).toEqual({ text: long });
    expect(decodeText(utf16be(`\uFEFF${long}`))).toEqual({ text: long });
  });

  it("where it holds a character that stands for what was lost before", () => {
    expect(decodeText(Buffer.from("a\uFFFDb"))).toEqual({ text: "a\uFFFDb" });
  });
});

describe("bytes that are not text are refused by their line", () => {
  const utf8 = "must be UTF-8, got bytes that are not. Save the text as UTF-8.";
  const zero =
    "must be UTF-8, got a character 0, as in UTF-16 without a byte order mark. Save the text as UTF-8.";
  const utf16 = "must be UTF-16, by its byte order mark, got bytes that are not. Save the text as UTF-8.";
  const latin1 = (text: string) => Buffer.from(text, "latin1");
  it.each([
    ["Latin-1 in line 1", latin1("caf\xe9"), `line 1 ${utf8}`],
    ["Latin-1 in line 3, the others being text", latin1("a\nb\r\nc\xe9 d\ne"), `line 3 ${utf8}`],
    ["after lone carriage returns", latin1("a\rb\rc\xe9 d"), `line 3 ${utf8}`],
    ["at the beginning of a line", latin1("a\n\xe9 d"), `line 2 ${utf8}`],
    ["a character that is cut off at the end", Buffer.from("a\nb€").subarray(0, -1), `line 2 ${utf8}`],
    [
      "half a character that UTF-8 does not have",
      Buffer.from([0x61, 0x0a, 0xed, 0xa0, 0x80]),
      `line 2 ${utf8}`,
    ],
    ["UTF-16 without a mark", utf16le("a cat"), `line 1 ${zero}`],
    [
      "UTF-32",
      Buffer.from([0xff, 0xfe, 0, 0, 0x61, 0, 0, 0]),
      "line 1 must be UTF-16, by its byte order mark, got a character 0. Save the text as UTF-8.",
    ],
    ["a character 0 in line 2", Buffer.from("a\nb\0"), `line 2 ${zero}`],
    ["UTF-16 of an odd number of bytes", utf16le("\uFEFFa\nb").subarray(0, -1), `line 2 ${utf16}`],
    ["half of a pair in UTF-16", utf16be("\uFEFFa\nb\n\uD83Dx"), `line 3 ${utf16}`],
  ])("%s", async (_, bytes, fault) => {
    expect(decodeText(bytes)).toEqual({ fault });
    for (const size of [1, 2, 3, 1000]) await expect(streamed(bytes, size)).rejects.toThrow(fault);
  });

  it("far into a long text", () => {
    const bytes = Buffer.concat([Buffer.from("é東😀\r\n".repeat(40_000)), latin1("caf\xe9\n")]);
    expect(decodeText(bytes)).toEqual({ fault: `line 40001 ${utf8}` });
  });
});
