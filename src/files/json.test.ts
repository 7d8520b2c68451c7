/** @file JSON of Python's library, and errors with line and column. */

import { describe, expect, it } from "vitest";
import { parseJsonObject } from "./json.js";

const parse = (text: string) => parseJsonObject(new TextEncoder().encode(text), "config.json");

describe("a JSON text", () => {
  it("may have Python's bare infinities; the word inside a string is unchanged", () => {
    const read = parse('{"a": -Infinity, "b": [Infinity, 1], "c": "to -Infinity \\" and Infinity"}');
    expect(read).toEqual({ a: -Infinity, b: [Infinity, 1], c: 'to -Infinity " and Infinity' });
  });

  it("that is broken is refused with line and column", () => {
    expect(() => parse('{"a": 1,\n "b": nope}')).toThrow(/config.json: .*line 2, column 7/);
  });
});
