import { describe, expect, it } from "vitest";
import { partOf } from "./range.js";

const file = new Blob(["0123456789"]);

async function part(range: string) {
  const response = partOf(file, range);
  return [response.status, await response.text(), response.headers.get("content-range")];
}

describe("the part of a file that a range names", () => {
  // RFC 9110, section 14.1.2.
  it.each([
    ["bytes=0-0", 206, "0", "bytes 0-0/10"],
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=8-", 206, "89", "bytes 8-9/10"],
    ["bytes=8-99", 206, "89", "bytes 8-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-30", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=10-12", 416, "", "bytes */10"],
    ["bytes=-0", 416, "", "bytes */10"],
    ["bytes=0-1,4-5", 200, "0123456789", null],
    ["lines=0-1", 200, "0123456789", null],
  ])("%s", async (range, ...expected) => {
    expect(await part(range)).toEqual(expected);
  });
});
