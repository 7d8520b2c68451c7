/** @file The small model's vocabulary, read back by the tokenizer that prompts go through. */

import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../src/text/tokenizer.js";
import { tokenizer as config, specialTokens } from "./configs.js";
import { learnVocabulary } from "./tokenizer.js";

const captions = ["a red apple, flat icon", "an apple, line art", "a red apple", "line art, a woman's boot"];

describe("a vocabulary that was learnt from captions", () => {
  const { vocab, merges } = learnVocabulary([...captions, ...captions], 500);
  const tokenizer = loadTokenizer({ vocab, merges, config, specialTokensMap: specialTokens });

  it("has a token for every word that stands there twice", () => {
    const { uncut } = tokenizer.encode("a red apple, line art");
    expect(uncut).toHaveLength("start a red apple , line art end".split(" ").length);
    expect(tokenizer.decode(uncut.slice(1, -1))).toBe("a red apple, line art");
  });

  it("spells other words out of smaller tokens, in any script", () => {
    expect(tokenizer.decode(tokenizer.encode("zebra 斑马").uncut.slice(1, -1))).toBe("zebra 斑马");
  });

  it("gives the end token the highest id, where CLIP's pooling looks for it", () => {
    expect(tokenizer.eosId).toBe(Math.max(...Object.values(vocab)));
    expect(tokenizer.encode("apple").ids.filter((id) => id === tokenizer.eosId)).not.toHaveLength(0);
  });
});
