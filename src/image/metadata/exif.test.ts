/** @file Texts in EXIF, as programs write them and as nobody should. */

import { describe, expect, it } from "vitest";
import { cpuSeconds, linear } from "../../../test/cpu-seconds.js";
import { Generator } from "../../diffusion/random.js";
import { exifTexts, unreadComment } from "./exif.js";

type Entry = readonly [tag: number, kind: number, value: Buffer];
type Order = "II" | "MM";

/** A block with the entries of its first directory, and those of EXIF's own if there are any. */
function block(order: Order, first: readonly Entry[], own: readonly Entry[] = []): Buffer {
  const little = order === "II";
  const number = (value: number, bytes: 2 | 4) => {
    const buffer = Buffer.alloc(bytes);
    if (little) buffer.writeUIntLE(value, 0, bytes);
    else buffer.writeUIntBE(value, 0, bytes);
    return buffer;
  };
  const pointers = own.length > 0 ? 1 : 0;
  const size = (entries: number) => 2 + 12 * entries + 4;
  const ownAt = 8 + size(first.length + pointers);
  let dataAt = ownAt + (pointers ? size(own.length) : 0);
  const data: Buffer[] = [];
  const directory = (entries: readonly Entry[], pointer?: Buffer) => [
    number(entries.length + (pointer ? 1 : 0), 2),
    ...(pointer ? [pointer] : []),
    ...entries.map(([tag, kind, value]) => {
      const inline = value.length <= 4;
      const place = inline ? Buffer.concat([value, Buffer.alloc(4)]).subarray(0, 4) : number(dataAt, 4);
      if (!inline) {
        data.push(value);
        dataAt += value.length;
      }
      return Buffer.concat([number(tag, 2), number(kind, 2), number(value.length, 4), place]);
    }),
    Buffer.alloc(4),
  ];
  const pointer = Buffer.concat([number(0x8769, 2), number(4, 2), number(1, 4), number(ownAt, 4)]);
  const parts = [
    Buffer.from(order, "latin1"),
    number(42, 2),
    number(8, 4),
    ...directory(first, pointers ? pointer : undefined),
    ...(pointers ? directory(own) : []),
  ];
  return Buffer.concat([...parts, ...data]);
}

const [userComment, description, make] = [0x9286, 0x010e, 0x010f];
const [ascii, undefinedKind] = [2, 7];
const text = "漢字, a cat\nSteps: 4";
const latin = "a grün cat\nSteps: 4";
const code = (name: string) => Buffer.from(name.padEnd(8, "\0"), "latin1");
const little = (given: string) => Buffer.from(given, "utf16le");
const big = (given: string) => Buffer.from(given, "utf16le").swap16();

describe.each(["II", "MM"] as const)("the UserComment of a block in the order %s", (order) => {
  it.each<[string, Buffer, string]>([
    ["with the code UNICODE, little-endian", Buffer.concat([code("UNICODE"), little(text)]), text],
    ["with the code UNICODE, big-endian", Buffer.concat([code("UNICODE"), big(text)]), text],
    ["with a byte order mark", Buffer.concat([code("UNICODE"), little(`\ufeff漢字`)]), "漢字"],
    ["with the code ASCII", Buffer.concat([code("ASCII"), Buffer.from("Steps: 4\0")]), "Steps: 4"],
    ["with the code ASCII before UTF-8", Buffer.concat([code("ASCII"), Buffer.from(text)]), text],
    ["of no code, eight zeros", Buffer.concat([code(""), Buffer.from(text)]), text],
    ["of no code, eight zeros, in UTF-16", Buffer.concat([code(""), big(latin)]), latin],
    ["of no code at all", Buffer.from(text), text],
    ["of no code at all, in UTF-16", little(latin), latin],
    ["of no code at all, in Latin-1", Buffer.from(latin, "latin1"), latin],
    ["of no code at all, shorter than a code", Buffer.from("a cat\0"), "a cat"],
  ])("%s is read whole, in either directory", (_, value, expected) => {
    for (const kind of [ascii, undefinedKind]) {
      const entry = [userComment, kind, value] as const;
      expect(exifTexts(block(order, [], [entry])).get("UserComment")).toBe(expected);
      expect(exifTexts(block(order, [entry])).get("UserComment")).toBe(expected);
    }
  });

  it("in JIS is passed over, and said to be there", () => {
    const value = Buffer.concat([code("JIS"), Buffer.from([0x34, 0x41])]);
    const texts = exifTexts(block(order, [], [[userComment, undefinedKind, value]]));
    expect([...texts]).toEqual([[unreadComment, ""]]);
  });

  it("of EXIF's own directory counts before one of the first", () => {
    const entry = (value: string) => [userComment, ascii, Buffer.from(value)] as const;
    expect(exifTexts(block(order, [entry("first")], [entry("own")])).get("UserComment")).toBe("own");
  });

  it("that reaches beyond the block is passed over", () => {
    const whole = block(order, [], [[userComment, undefinedKind, Buffer.from(text)]]);
    expect(exifTexts(whole).get("UserComment")).toBe(text);
    for (let length = 0; length < whole.length; length++)
      expect(exifTexts(whole.subarray(0, length)).size).toBe(0);
  });
});

it("texts have the names of PNG's keywords, with or without the mark before the block", () => {
  const exif = block("MM", [
    [description, ascii, Buffer.from("a cat\0")],
    [make, ascii, Buffer.from("ab\0")],
  ]);
  const expected = [
    ["Description", "a cat"],
    ["Make", "ab"],
  ];
  expect([...exifTexts(exif)].sort()).toEqual(expected);
  expect([...exifTexts(Buffer.concat([Buffer.from("Exif\0\0"), exif]))].sort()).toEqual(expected);
});

it("a block of random bytes gives texts or none", () => {
  const random = new Generator(9);
  const whole = block("II", [[description, ascii, Buffer.from(text)]], [[userComment, 7, Buffer.from(text)]]);
  for (let round = 0; round < 2000; round++) {
    const bytes = Buffer.from(whole);
    for (const at of random.randint(6, { high: bytes.length }))
      bytes[at] = random.randint(1, { high: 256 })[0]!;
    expect(exifTexts(bytes)).toBeInstanceOf(Map);
  }
});

it("a directory of 60,000 comments that share a megabyte is read in linear time", () => {
  const entry = Buffer.alloc(12);
  entry.writeUInt16LE(userComment, 0);
  entry.writeUInt16LE(ascii, 2);
  entry.writeUInt32LE(250_000, 4);
  const head = Buffer.from([0x49, 0x49, 42, 0, 8, 0, 0, 0, 0x60, 0xea]);
  const entries = Array<Buffer>(60_000).fill(entry);
  const shared = Buffer.concat([head, ...entries, Buffer.alloc(2 ** 18)]);
  const zeros = Buffer.concat([Buffer.alloc(2 ** 20 - 1), Buffer.from("a")]);
  const long = block("MM", [[userComment, ascii, zeros]]);
  const seconds = cpuSeconds(() => {
    exifTexts(shared);
    exifTexts(long);
  });
  expect(seconds).toBeLessThan(linear);
});
