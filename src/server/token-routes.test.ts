/** @file Counting tokens over HTTP; the counts themselves are text/token-count's. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, stage, tinyEmbedding } from "../../test/serving.js";
import { tokenCounts } from "../jobs/schemas.js";

let at: Stage;
beforeAll(async () => {
  at = await stage({ embeddings: [tinyEmbedding] });
});
afterAll(() => at.close());

const ask = (body: object) => at.post("/api/tokens", body);

describe("POST /api/tokens", () => {
  it("counts each text by the model's own tokenizer, and says what does not reach it", async () => {
    const long = "a koala, line art, on a yellow background, ".repeat(6);
    const answer = await ask({ model: "koala-1b-tiny", texts: ["a zeppelin", "", long] });
    const { texts } = tokenCounts.parse(await answer.json());
    expect(texts.slice(0, 2)).toEqual([
      { tokens: 8, limit: 77 },
      { tokens: 2, limit: 77 },
    ]);
    expect(texts[2]).toMatchObject({ limit: 77, cut: expect.stringContaining("yellow background,") });
    expect(tokenCounts.parse(await (await ask({ texts: ["a zeppelin"] })).json()).texts[0]!.tokens).toBe(8);
  });

  it("counts the vectors of an embedding's word, by either rule", async () => {
    const count = async (rest: object) => {
      const answer = await ask({ texts: ["badmix", "a (Badmix:1.2)"], ...rest });
      return tokenCounts.parse(await answer.json()).texts.map(({ tokens }) => tokens);
    };
    const [exact, other] = await count({});
    expect(exact).toBe(2 + 4);
    expect(other).not.toBe(2 + 1 + 4);
    expect(await count({ promptSyntax: "a1111" })).toEqual([2 + 4, 2 + 1 + 4]);
  });

  it.each([
    [{ texts: [] }, "texts", "must be at least 1 items"],
    [{ texts: ["x".repeat(20_001)] }, "texts.0", "must be at most 20000 characters"],
    [{ texts: ["x", "x", "x", "x", "x"] }, "texts", "must be at most 4 items"],
    [{ text: "x" }, "text", 'Did you mean "texts"'],
    [{ texts: ["x"], model: "none" }, "model", 'must be one of "koala-1b-tiny"'],
  ])("%j is refused by the field's name", async (body, field, message) => {
    const answer = await ask(body);
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({
      error: { field, message: expect.stringContaining(message) },
    });
  });
});
