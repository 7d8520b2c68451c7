/** @file JSON is measured before it is parsed, and measured right. */

import { describe, expect, it } from "vitest";
import { rng } from "../../test/malformed.js";
import { checkJson, mostDepth, mostValues } from "./json-bounds.js";

const check = (text: string) => () => checkJson(Buffer.from(text));
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const list = (values: number) => JSON.stringify(new Array(values).fill(0));

describe("a text of JSON", () => {
  it("may nest as deep as is allowed and no deeper, in lists and objects", () => {
    expect(check(nested(mostDepth))).not.toThrow();
    expect(check(nested(mostDepth + 1))).toThrow("body: must nest at most 64 deep, got more. Send less.");
    expect(check('{"a":'.repeat(mostDepth + 1))).toThrow(/64 deep/);
  });

  it("may hold as many values as are allowed and no more, wherever they are", () => {
    // The list is a value too.
    expect(check(list(mostValues - 1))).not.toThrow();
    expect(check(list(mostValues + 1))).toThrow("body: must hold at most 10000 values, got more. Send less.");
    const keys = Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [`k${i}`, 1]));
    expect(check(JSON.stringify(keys))).toThrow(/10000 values/);
    expect(check(`[${"[],".repeat(mostValues)}[]]`)).toThrow(/10000 values/);
  });

  it("may have whatever it likes inside its strings", () => {
    for (const text of [
      "[".repeat(1000),
      ",".repeat(20_000),
      '\\"[{'.repeat(200),
      "\\".repeat(999),
      '"',
      "漢,字",
    ])
      for (const value of [text, [text, text], { [text]: text }])
        expect(check(JSON.stringify(value))).not.toThrow();
  });

  it("is measured as its parser finds it, whatever it is", () => {
    const random = rng(11);
    const pieces = ['"', "\\", "[", "]", "{", "}", ",", ":", "a", "é"];
    const text = () => Array.from({ length: random() * 9 }, () => pieces[Math.floor(random() * 10)]).join("");
    const value = (depth: number): unknown => {
      if (depth === 0 || random() < 0.3) return text();
      const inner = Array.from({ length: random() * 5 }, () => value(depth - 1));
      return random() < 0.5 ? inner : Object.fromEntries(inner.map((one) => [text(), one]));
    };
    const depthOf = (one: unknown): number =>
      typeof one === "object" ? 1 + Math.max(0, ...Object.values(one!).map(depthOf)) : 0;
    for (let i = 0; i < 500; i++) {
      const one = value(6);
      const deeper = nested(mostDepth - depthOf(one)).replace("[]", `[${JSON.stringify(one)}]`);
      if (depthOf(one) === 0 || depthOf(one) >= mostDepth) continue;
      expect(check(deeper)).not.toThrow();
      expect(check(`[${deeper}]`)).toThrow(/64 deep/);
    }
  });
});
