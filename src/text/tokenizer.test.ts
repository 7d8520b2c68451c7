/** @file Token ids against Transformers' (golden/data/tokens.json), and broken tokenizer files. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InvalidRequest, ModelError } from "../errors.js";
import { loadTokenizer } from "./tokenizer.js";

const data = new URL("../../golden/data/", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, data), "utf8");

interface Row {
  text: string;
  ids: number[];
  padded: number[];
  pad: number;
}
const tables = (JSON.parse(text("tokens.json")) as { tokenizers: Record<string, Row[]> }).tokenizers;

const read = (folder: string) => ({
  vocab: JSON.parse(text(`${folder}/vocab.json`)) as Record<string, number>,
  merges: text(`${folder}/merges.txt`),
  config: JSON.parse(text(`${folder}/tokenizer_config.json`)) as Record<string, unknown>,
  specialTokensMap: JSON.parse(text(`${folder}/special_tokens_map.json`)) as Record<string, unknown>,
  folder: "tokenizer",
});
const koala = () => read("pipelines/koala-1b-tiny/tokenizer");

describe.each(Object.entries(tables))("%s", (folder, rows) => {
  const tokenizer = loadTokenizer(read(folder));

  it.each(rows)("gives Transformers' ids for $text", (row) => {
    const { ids, uncut } = tokenizer.encode(row.text);
    const cutHere = row.ids.at(-1) === -1;
    expect(cutHere ? uncut.slice(0, row.ids.length - 1) : uncut).toEqual(
      cutHere ? row.ids.slice(0, -1) : row.ids,
    );
    const padded = [...row.padded, ...new Array<number>(77 - row.padded.length).fill(row.pad)];
    expect([...ids]).toEqual(padded);
  });
});

describe("ClipTokenizer", () => {
  it("reads the same model from tokenizer.json, with merges in either spelling", () => {
    const { vocab, merges, config, specialTokensMap } = koala();
    const lines = merges.trim().split("\n").slice(1);
    const old = loadTokenizer({ vocab, merges, config, specialTokensMap });
    for (const spelling of [lines, lines.map((line) => line.split(" "))]) {
      const tokenizerJson = { model: { type: "BPE", vocab, merges: spelling }, added_tokens: [] };
      const fast = loadTokenizer({ tokenizerJson, config, specialTokensMap });
      for (const { text: prompt } of Object.values(tables)[0]!)
        expect(fast.encode(prompt)).toEqual(old.encode(prompt));
    }
  });

  it("takes the pad token from the config when that lists its added tokens", () => {
    const files = koala();
    const config = { ...files.config, added_tokens_decoder: { "0": { content: "!" } } };
    expect(loadTokenizer({ ...files, specialTokensMap: { pad_token: "!" } }).padId).toBe(0);
    expect(loadTokenizer({ ...files, config, specialTokensMap: { pad_token: "!" } }).padId).toBe(813);
  });

  it("never splits an added token and keeps its own id", () => {
    const added_tokens_decoder = { "814": { content: "<koala>" }, "815": { content: "<koala>s" } };
    const files = koala();
    const tokenizer = loadTokenizer({ ...files, config: { ...files.config, added_tokens_decoder } });
    expect(tokenizer.encode("a <koala>s<koala>").uncut).toEqual([812, 320, 815, 814, 813]);
    expect(tokenizer.vocabSize).toBe(816);
  });

  it("reads what Transformers before 4.34 added, unless a newer list is there", () => {
    const files = koala();
    const addedTokens = { "<sks>": 814, "<Ab>": 815 };
    const ids = (text: string, more: object) =>
      loadTokenizer({ ...files, addedTokens, ...more }).encode(text).uncut;
    // As Transformers 5.24 gives them for these files.
    expect(ids("a photo of <sks> dog", {})).toEqual([812, 320, 657, 591, 518, 814, 537, 326, 813]);
    expect(ids("a<sks>b <Ab>", {})).toEqual([812, 320, 814, 321, 815, 813]);
    const config = { ...files.config, added_tokens_decoder: { "814": { content: "<other>" } } };
    const split = [812, 320, 657, 591, 518, 283, 82, 74, 338, 285, 537, 326, 813];
    expect(ids("a photo of <sks> dog", { config })).toEqual(split);
  });

  it("appends added_tokens.json to the vocabulary in the order of its ids, as Transformers 5.24 does", () => {
    const ids = (addedTokens: object) =>
      loadTokenizer({ ...koala(), addedTokens }).encode("a <a> <b> dog").uncut;
    expect(ids({ "<a>": 814, "<b>": 815 })).toEqual([812, 320, 814, 815, 537, 326, 813]);
    for (const other of [
      { "<a>": 815, "<b>": 814 },
      { "<a>": 900, "<b>": 815 },
    ])
      expect(ids(other)).toEqual([812, 320, 815, 814, 537, 326, 813]);
    expect(ids({ "<a>": 5, "<b>": 7 })).toEqual([812, 320, 814, 815, 537, 326, 813]);
  });

  it("gives the text that it cut, and keeps the end token last", () => {
    const tokenizer = loadTokenizer(koala());
    const { ids, truncated } = tokenizer.encode("a b, c. d", { maxLength: 5 });
    expect([...ids]).toEqual([812, ...tokenizer.encode("a b,").uncut.slice(1, -1), 813]);
    expect(truncated).toBe("c. d");
    expect(tokenizer.encode("a b, c", { maxLength: 6 })).not.toHaveProperty("truncated");
  });

  it("decodes what it encoded", () => {
    const tokenizer = loadTokenizer(koala());
    expect(tokenizer.decode(tokenizer.encode("café 狐").uncut)).toBe("<|startoftext|>café 狐 <|endoftext|>");
    expect(() => tokenizer.decode([9999])).toThrow(InvalidRequest);
  });

  it("refuses a prompt that is not a string, and a length below 2", () => {
    const tokenizer = loadTokenizer(koala());
    expect(() => tokenizer.encode(undefined as unknown as string)).toThrow(
      "prompt: must be a string, got undefined.",
    );
    expect(() => tokenizer.encode("a", { maxLength: 1 })).toThrow(InvalidRequest);
  });
});

describe("a tokenizer with tokens of textual inversions", () => {
  const plain = loadTokenizer(koala());
  const tokenizer = plain.withVectors([
    { token: "badmix", ids: [900, 901] },
    { token: "<Owl>", ids: [902] },
  ]);
  const inner = (prompt: string) => tokenizer.encode(prompt).uncut.slice(1, -1);
  const words = (prompt: string) => plain.encode(prompt).uncut.slice(1, -1);

  it("gives all ids of a token wherever it stands, in its own spelling alone", () => {
    expect(inner("badmix, <Owl> badmix")).toEqual([900, 901, ...words(","), 902, 900, 901]);
    expect(inner("a badmixed cat")).toEqual([...words("a"), 900, 901, ...words("ed cat")]);
    expect(inner("Badmix <owl>")).toEqual(words("Badmix <owl>"));
  });

  it("gives the second vector alone for Diffusers' name of it", () => {
    expect(inner("badmix_1")).toEqual([901]);
  });

  it("cuts between the vectors of a token, and says what was cut", () => {
    const { ids, truncated } = tokenizer.encode("badmix badmix", { maxLength: 5 });
    expect([...ids]).toEqual([plain.bosId, 900, 901, 900, plain.eosId]);
    expect(truncated).toBe("badmix_1");
  });
});

describe("broken files are refused by file and field", () => {
  const broken = (change: object) => () => loadTokenizer({ ...koala(), ...change });

  it.each([
    ["no merges", { merges: undefined }, /^tokenizer\/: missing "merges.txt"/],
    [
      "a list as vocabulary",
      { vocab: ["a"] },
      /^tokenizer\/vocab.json: the file: must be an object, got a list/,
    ],
    ["an id that is text", { vocab: { a: "1" } }, /^tokenizer\/vocab.json: "a": must be an id/],
    ["one id twice", { vocab: { a: 1, b: 1 } }, /^tokenizer\/vocab.json: id 1 is given to both "a" and "b"/],
    [
      "an unknown merge",
      { merges: "#version: 0.2\nqq ww" },
      /^tokenizer\/merges.txt: merge 1 \("qq ww"\).*"qq"/,
    ],
    [
      "half a merge",
      { merges: "#version: 0.2\nt h\nt" },
      /^tokenizer\/merges.txt: merge 2 .*two tokens, got 1/,
    ],
    [
      "an unknown pad",
      { specialTokensMap: { pad_token: "[PAD]" } },
      /pad_token: "\[PAD\]" is not in the vocabulary/,
    ],
    ["a numeric token", { specialTokensMap: { bos_token: 3 } }, /bos_token: must be an object, got number/],
    [
      "an added token without id",
      { addedTokens: { "<sks>": null } },
      /added_tokens.json: <sks>: ids must be/,
    ],
    ["a length of text", { config: { model_max_length: "77" } }, /model_max_length: must be an integer/],
    ["another model type", { tokenizerJson: { model: { type: "WordPiece" } } }, /model.type: must be "BPE"/],
  ])("%s", (_, change, message) => {
    expect(broken(change)).toThrow(ModelError);
    expect(broken(change)).toThrow(message);
  });
});
