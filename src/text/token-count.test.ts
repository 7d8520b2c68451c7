/** @file Counts of tokens against Transformers 5.24's `CLIPTokenizer(text).input_ids`. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { countTokens, type TokenLimit } from "./token-count.js";
import { loadTokenizer } from "./tokenizer.js";

const root = new URL("../../", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, root), "utf8");
const limit = (folder: string, maxTokens: number): TokenLimit => ({
  maxTokens,
  tokenizer: loadTokenizer({
    vocab: JSON.parse(text(`${folder}/vocab.json`)),
    merges: text(`${folder}/merges.txt`),
    config: JSON.parse(text(`${folder}/tokenizer_config.json`)),
    specialTokensMap: JSON.parse(text(`${folder}/special_tokens_map.json`)),
  }),
});
const nano = () => limit("models/nano/tokenizer", 24);
const tiny = (name = "tokenizer", most = 77) => limit(`golden/data/pipelines/koala-1b-tiny/${name}`, most);

const koala = "a koala, line art, on a yellow background";

describe("a text", () => {
  it.each([
    ["", 2, 2],
    [koala, 12, 16],
    ["a zeppelin", 9, 8],
    ["a red bicycle beside a yellow wall, morning light", 28, 18],
  ])("%j has the tokens that Transformers gives it, marks included", (prompt, ofNano, ofTiny) => {
    expect(countTokens([nano()], prompt).tokens).toBe(ofNano);
    expect(countTokens([tiny()], prompt)).toEqual({ tokens: ofTiny, limit: 77 });
  });

  it("that is too long is counted with the end that is cut off", () => {
    expect(countTokens([nano()], `${koala}, ${koala}, red`)).toEqual({
      tokens: 24 + 1,
      limit: 24,
      cut: "red",
    });
  });

  it("is counted by the encoder that reads the least of it", () => {
    expect(countTokens([tiny(), tiny("tokenizer", 10)], koala)).toMatchObject({ tokens: 16, limit: 10 });
    expect(countTokens([tiny("tokenizer", 20), nano()], koala)).toMatchObject({ tokens: 16, limit: 20 });
  });
});
