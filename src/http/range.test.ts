/** @file Byte ranges, by RFC 9110, section 14.1.2. */

import { describe, expect, it } from "vitest";
import { byteRange, rangeAnswer } from "./range.js";

const file = "0123456789";

function part(header: string) {
  const range = byteRange(header, file.length);
  if (!range) return [200, file, undefined];
  const { status, headers } = rangeAnswer(range, file.length);
  return [status, file.slice(range.start, range.end), headers["content-range"]];
}

describe("the part of a file that a range names", () => {
  it.each([
    ["bytes=0-0", 206, "0", "bytes 0-0/10"],
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-30", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=10-12", 416, "", "bytes */10"],
    ["bytes=-0", 416, "", "bytes */10"],
    ["bytes=0-1,4-5", 200, "0123456789", undefined],
    ["lines=0-1", 200, "0123456789", undefined],
    ["", 200, "0123456789", undefined],
  ])("%s", (header, ...expected) => {
    expect(part(header)).toEqual(expected);
  });
});
