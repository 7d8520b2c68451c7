/** @file The axes of a grid in the syntax of users. */

import { describe, expect, it } from "vitest";
import { cpuSeconds, linear } from "../../test/cpu-seconds.js";
import { InvalidRequest } from "../errors.js";
import { axesFields, axisLabel, cellSettings, cellsOf, checkAxes, parseAxis } from "./axes.js";

const values = (text: string) => parseAxis("x", text).values;
const messageOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (error instanceof InvalidRequest) return error.message;
    throw error;
  }
  return "nothing was thrown";
};

describe("an axis is read", () => {
  it("from a list, a range and a range with a distance", () => {
    expect(values("seed=1,2, 3")).toEqual(["1", "2", "3"]);
    expect(values("seed=5-8")).toEqual(["5", "6", "7", "8"]);
    expect(values("steps=4-20+4")).toEqual(["4", "8", "12", "16", "20"]);
    expect(values("guidance=1-2+0.5, 7")).toEqual(["1", "1.5", "2", "7"]);
  });

  it("by all names of a setting", () => {
    expect(parseAxis("x", "guidance=1").kind).toBe("guidanceScale");
    expect(parseAxis("x", "words=red").kind).toBe("prompt");
  });

  it("with words in quotes that have commas, and an empty one that removes words", () => {
    expect(values('prompt=red,"blue, dark","a ""b"""')).toEqual(["red", "blue, dark", 'a "b"']);
    expect(values("prompt=red,")).toEqual(["red", ""]);
  });

  it("with the alternatives of braces in the prompt, or a wildcard's lines", () => {
    const axis = parseAxis("x", "prompt={red|2::{light|dark} blue|}");
    expect(axis).toMatchObject({
      replaced: "{red|2::{light|dark} blue|}",
      values: ["red", "{light|dark} blue", ""],
    });
    const lines = parseAxis("x", "prompt=__color__", { color: ["red", "blue"] });
    const base = { prompt: "a __color__ car", negativePrompt: "dull" };
    const cells = cellsOf({ x: lines }).map((cell) => cellSettings(base, { x: lines }, cell).prompt);
    expect(cells).toEqual(["a red car", "a blue car"]);
    expect(values("prompt=__color__, red")).toEqual(["__color__", "red"]);
    expect(values("prompt={a|b} c,d")).toEqual(["{a|b} c", "d"]);
  });

  it("with exact seeds beyond 2^53, and each value once", () => {
    expect(values("seed=9007199254740993,9007199254740993")).toEqual(["9007199254740993"]);
    const beyond = ["9007199254740993", "9007199254740994", "9007199254740995"];
    expect(values("seed=9007199254740993-9007199254740995")).toEqual(beyond);
    const last = ["18446744073709551613", "18446744073709551615"];
    expect(values("seed=18446744073709551613-18446744073709551615+2")).toEqual(last);
  });

  it("in linear time", () => {
    expect(cpuSeconds(() => parseAxis("x", `prompt=${' "'.repeat(50_000)}`))).toBeLessThan(linear);
  });
});

describe("an axis is refused", () => {
  it.each([
    ["hue=1", /^x: must be SETTING=VALUES with a setting of "prompt", "seed".*got "hue=1"/],
    ["seed", /must be SETTING=VALUES/],
    ["seed=", /must have at least one value, got none/],
    ["seed=1,x", /must be integers from 0, got "x"/],
    ["seed=3-1", /must be integers from 0, got "3-1"/],
    ["seed=1-9+0", /must be integers from 0/],
    ["seed=1-2.5", /must be integers from 0, got "1-2.5"/],
    ["steps=0", /must be integers from 1 to 1000, got "0"/],
    ["guidance=-1", /must be numbers from 0 to 100, got "-1"/],
    ["prompt=,red", /must have at least one value/],
    ["prompt={2$$red|blue}", /must have alternatives of which one is taken/],
    ["prompt={red|{blue}", /must close every brace/],
  ])("%s", (text, message) => expect(messageOf(() => parseAxis("x", text))).toMatch(message));

  it("where its words are not in the prompt", () => {
    const axes = { x: parseAxis("x", "prompt=red,blue") };
    expect(messageOf(() => checkAxes(axes, { prompt: "a green bicycle" }))).toMatch(/^x: .*in the prompt/);
    expect(() => checkAxes(axes, { prompt: "a bicycle", negativePrompt: "red" })).not.toThrow();
    const braces = { x: parseAxis("x", "prompt={red|blue}") };
    expect(messageOf(() => checkAxes(braces, { prompt: "a red car" }))).toMatch(/got "\{red\|blue\}"/);
  });

  it("where both vary the same setting, or there are too many cells", () => {
    const seeds = parseAxis("x", "seed=1-30");
    expect(messageOf(() => checkAxes({ x: seeds, y: seeds }, { prompt: "" }))).toMatch(/^y: .*seed twice/);
    const many = { x: seeds, y: parseAxis("y", "steps=1-30") };
    expect(messageOf(() => checkAxes(many, { prompt: "" }))).toMatch(/at most 400 cells, got 900/);
  });
});

describe("a cell", () => {
  const axes = { x: parseAxis("x", "prompt=red,blue,$&"), y: parseAxis("y", "guidance=1,3.5") };
  const base = { prompt: "a red bicycle, red wall", negativePrompt: "reddish", seed: "7" };

  it("is in the order of rows", () => {
    expect(cellsOf(axes).map(({ column, row }) => `${column}${row}`)).toEqual([
      "00",
      "10",
      "20",
      "01",
      "11",
      "21",
    ]);
    expect(cellsOf({ x: axes.x })).toHaveLength(3);
  });

  it("is generated with its column's and its row's value", () => {
    expect(cellSettings(base, axes, { column: 1, row: 1 })).toEqual({
      prompt: "a blue bicycle, blue wall",
      negativePrompt: "bluedish",
      seed: "7",
      guidanceScale: 3.5,
    });
    expect(cellSettings(base, axes, { column: 2, row: 0 }).prompt).toBe("a $& bicycle, $& wall");
  });

  it("is labelled by the values as written", () => {
    expect(axisLabel(axes.y, 1)).toBe("guidance 3.5");
    expect(axisLabel(axes.x, 0)).toBe("red");
    expect(axisLabel(parseAxis("x", "steps=4"), 0)).toBe("4 steps");
    expect(axisLabel(parseAxis("x", "prompt=red,"), 1)).toBe("(without)");
  });

  it("has the fields of A1111's X/Y plot", () => {
    expect(Object.fromEntries(axesFields({ x: parseAxis("x", 'prompt=red,"a, b"') }))).toEqual({
      Script: "X/Y/Z plot",
      "X Type": "Prompt S/R",
      "X Values": 'red,"a, b"',
    });
  });
});
