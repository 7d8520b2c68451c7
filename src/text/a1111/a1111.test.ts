/** @file A1111's grammar against golden/data/prompts, and long, absurd prompts. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../../errors.js";
import { loadTokenizer } from "../tokenizer.js";
import { attentionPieces, parseAttention } from "./attention.js";
import { chunksOf } from "./chunks.js";
import { composition } from "./composition.js";
import { entryAt, promptSchedule } from "./editing.js";
import { takeLoras } from "./extra-networks.js";

const data = new URL("../../../golden/data/", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, data), "utf8");
const table = <T>(name: string): T => JSON.parse(text(`prompts/${name}.json`)) as T;

type AttentionRow = { why: string; text: string; fragments: [string, number][] };
type ScheduleRow = {
  why: string;
  text: string;
  steps: number;
  schedule: [number, string][];
  calls: string[];
};
type ChunkRow = {
  why: string;
  text: string;
  learned?: Record<string, number>;
  encoder_1: number[][];
  weights: number[][];
  encoder_2?: number[][];
  encoder_1_backtrack_0?: number[][] | "the same";
};

describe("attention", () => {
  it.each(table<AttentionRow[]>("attention"))("$why", (row) => {
    expect(parseAttention(row.text).map((f) => [f.text, f.weight])).toEqual(row.fragments);
  });

  it("knows where each piece stands", () => {
    const prompt = "a (koala:1.3) BREAK \\(x\\)";
    const pieces = attentionPieces(prompt).map(({ start, end, weight }) => [
      prompt.slice(start, end),
      weight,
    ]);
    expect(pieces).toEqual([
      ...[
        ["a ", 1],
        ["koala", 1.3],
        ["", 1],
        ["BREAK", -1],
        ["", 1],
      ],
      ...[
        ["\\(", 1],
        ["x", 1],
        ["\\)", 1],
      ],
    ]);
  });

  it.each([
    ["(koala:1.2.3)", 'weights must be numbers, got ":1.2.3)"'],
    [`(koala:${"9".repeat(400)})`, "weights must be numbers"],
    ["(".repeat(201), "at most 200 brackets open at once"],
  ])("refuses %s", (prompt, message) => {
    expect(() => parseAttention(prompt)).toThrow(InvalidRequest);
    expect(() => parseAttention(prompt, "negativePrompt")).toThrow(`negativePrompt: `);
    expect(() => parseAttention(prompt)).toThrow(message);
  });
});

describe("prompt editing", () => {
  it.each(table<ScheduleRow[]>("schedules"))("$why", (row) => {
    const schedule = promptSchedule(row.text, row.steps);
    expect(schedule.map(({ until, text }) => [until, text])).toEqual(row.schedule);
    const calls = Array.from({ length: row.steps }, (_, call) => schedule[entryAt(schedule, call)]!.text);
    expect(calls).toEqual(row.calls);
  });

  it.each([
    [
      "(a:b:c)[d:e:2]",
      [
        [2, "(a:b:c)d"],
        [4, "(a:b:c)e"],
      ],
    ],
    ["[(a:b:c):d:2]", [[4, "[(a:b:c):d:2]"]]],
    [
      "[x [a:b:2]",
      [
        [2, "[x a"],
        [4, "[x b"],
      ],
    ],
    [
      "[a:b:1e0]",
      [
        [1, "a"],
        [4, "b"],
      ],
    ],
    ["[a:b:2]\\", [[4, "[a:b:2]\\"]]],
    ["[a|b:2]", [[4, "[a|b:2]"]]],
    [
      "[a::2]c\\|d",
      [
        [2, "ac\\|d"],
        [4, "c\\|d"],
      ],
    ],
  ])("reads %s as the webui's grammar does", (prompt, expected) => {
    expect(promptSchedule(prompt, 4).map(({ until, text }) => [until, text])).toEqual(expected);
  });
});

describe("AND", () => {
  it.each([
    ["a cat", [["a cat", 1]]],
    [
      "a cat :1.2 AND a dog:.5",
      [
        ["a cat", 1.2],
        [" a dog", 0.5],
      ],
    ],
    [
      "a cat AND a dog: -1 \n",
      [
        ["a cat", 1],
        [" a dog", -1],
      ],
    ],
    [
      "SAND ANDES and AND",
      [
        ["SAND ANDES and", 1],
        ["", 1],
      ],
    ],
    ["(a cat:1.3)", [["(a cat:1.3)", 1]]],
    ["a ratio of 16: 9", [["a ratio of 16", 9]]],
  ])("%j", (prompt, expected) => {
    expect(composition(prompt).map(({ text, weight }) => [text, weight])).toEqual(expected);
  });
});

describe("tags of LoRAs", () => {
  it.each([
    ["a cat <lora:ink:0.8> here", "a cat  here", [["ink", 0.8]]],
    [
      "<lora:ink><lyco:b c:-1>",
      "",
      [
        ["ink", 1],
        ["b c", -1],
      ],
    ],
    ["<lora:ink:0.5:0.5><lora:ink:te=1:unet=1>x", "x", [["ink", 1.5]]],
    ["a <b>, x < y", "a <b>, x < y", []],
  ])("%j", (prompt, rest, loras) => {
    const taken = takeLoras(prompt);
    expect([taken.text, taken.loras.map(({ name, scale }) => [name, scale])]).toEqual([rest, loras]);
  });

  it.each(["<hypernet:x:1>", "<lora:x:much>", "<lora:x:1:0.5>", "<lora:x:1:1:1>", "<lora:x:dyn=4>"])(
    "%s is refused",
    (prompt) => expect(() => takeLoras(prompt)).toThrow(InvalidRequest),
  );
});

describe("chunks", () => {
  const { cases } = table<{ cases: ChunkRow[] }>("chunks");
  const read = (name: string) => {
    const at = (file: string) => text(`pipelines/koala-1b-tiny/${name}/${file}`);
    const [config, specialTokensMap] = [at("tokenizer_config.json"), at("special_tokens_map.json")];
    const parsed = { config: JSON.parse(config), specialTokensMap: JSON.parse(specialTokensMap) };
    return loadTokenizer({ ...parsed, vocab: JSON.parse(at("vocab.json")), merges: at("merges.txt") });
  };
  const [first, second] = [read("tokenizer"), read("tokenizer_2")];

  it.each(cases)("$why", (row) => {
    let vector = 0;
    const learned = Object.entries(row.learned ?? {}).map(([name, count]) => ({
      ids: first.tokenIds(name),
      vectors: Array.from({ length: count }, () => --vector),
    }));
    const chunks = (tokenizer = first, backtrack = 20) =>
      chunksOf(parseAttention(row.text), tokenizer, { maxTokens: 77, backtrack, learned });
    expect(chunks().map(({ ids }) => ids)).toEqual(row.encoder_1);
    expect(chunks().map(({ weights }) => weights)).toEqual(row.weights);
    if (row.encoder_2) expect(chunks(second).map(({ ids }) => ids)).toEqual(row.encoder_2);
    const without = row.encoder_1_backtrack_0 === "the same" ? row.encoder_1 : row.encoder_1_backtrack_0;
    if (without) expect(chunks(first, 0).map(({ ids }) => ids)).toEqual(without);
  });

  it("of an encoder that reads fewer tokens are shorter", () => {
    const chunks = chunksOf([{ text: "a koala, a lake", weight: 1 }], first, { maxTokens: 5 });
    expect(chunks.map(({ ids }) => ids.length)).toEqual([5, 5]);
  });
});

describe("a prompt of 20,000 characters", () => {
  const repeated = (part: string) => part.repeat(Math.ceil(20_000 / part.length)).slice(0, 20_000);
  const absurd = [
    "(",
    "[",
    "()",
    "[]",
    ")",
    "]",
    ":",
    "|",
    "\\",
    " ",
    "a:",
    "(a",
    "[a",
    "((a",
    "[[a|",
    "[a:b:",
  ];
  const more = ["[a:b:3]", "[a|b]", "(a:1", ": 1", ":1 ", "AND ", " BREAK", "<lora:", "<lora:a:", "([", "(]"];

  it.each([...absurd, ...more])("%j repeated is answered or refused by name, nested or not", (part) => {
    for (const prompt of [
      repeated(part),
      `${repeated(part)}x`,
      `${"[".repeat(9_999)}a|b${"]".repeat(9_999)}`,
    ]) {
      try {
        for (const { text } of composition(takeLoras(prompt).text))
          for (const { text: scheduled } of promptSchedule(text, 2)) parseAttention(scheduled);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidRequest);
      }
    }
  });
});
