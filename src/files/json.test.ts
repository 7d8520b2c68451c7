/** @file JSON as Python's library writes it. */

import { expect, it } from "vitest";
import { parseJsonObject } from "./json.js";

const parse = (text: string) => parseJsonObject(new TextEncoder().encode(text), "config.json");

it("reads Python's bare infinities, and leaves the word alone inside a text", () => {
  const read = parse('{"a": -Infinity, "b": [Infinity, 1], "c": "to -Infinity \\" and Infinity"}');
  expect(read).toEqual({ a: -Infinity, b: [Infinity, 1], c: 'to -Infinity " and Infinity' });
});

it("says where broken text breaks", () => {
  expect(() => parse('{"a": 1,\n "b": nope}')).toThrow(/config.json: .*line 2, column 7/);
});
