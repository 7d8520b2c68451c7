/** @file The sentences of what a schema refuses. */

import { describe, expect, it } from "vitest";
import { z } from "zod";
import { schemaProblem } from "./validation.js";

const schema = z.strictObject({
  steps: z.int().min(1).max(1000),
  name: z.string(),
  kind: z.enum(["cpu", "cuda"]).optional(),
  size: z.tuple([z.number(), z.number()], "must be a height and a width").optional(),
  ema: z.strictObject({ decay: z.number() }).nullable().default(null),
  tags: z.array(z.string()).optional(),
});

function problem(change: object, options: { unknown?: string; remedy?: string } = {}) {
  const data = { steps: 1, name: "x", ...change };
  const { error } = schema.safeParse(data);
  return schemaProblem(error!, data, { schema, ...options });
}

describe("what a schema refuses", () => {
  it.each([
    [{ steps: 0 }, "steps", "must be at least 1, got 0."],
    [{ steps: 1001 }, "steps", "must be at most 1000, got 1001."],
    [{ steps: 1.5 }, "steps", "must be a whole number, got 1.5."],
    [{ name: undefined }, "name", "must be text, got nothing."],
    [{ name: ["a".repeat(90)] }, "name", "must be text, got a list of 1."],
    [{ kind: "gpu" }, "kind", 'must be one of "cpu", "cuda", got "gpu".'],
    [{ size: [24] }, "size", "must be a height and a width, got [24]."],
    [{ ema: { decay: "x" } }, "ema.decay", 'must be a number, got "x".'],
    [{ tags: [1] }, "tags.0", "must be text, got 1."],
  ])("%j is said by field, rule and value", (change, field, rule) => {
    expect(problem(change)).toMatchObject({ field, rule });
  });

  it("is an unknown field before all else, with a name that is near, at its depth", () => {
    expect(problem({ stepz: 1, name: 5 })).toEqual({
      field: "stepz",
      value: 1,
      rule: 'is not a field here. Did you mean "steps"?',
    });
    expect(problem({ ema: { decay: 1, decai: 2 } }, { unknown: "is not a setting" })).toMatchObject({
      field: "ema.decai",
      rule: 'is not a setting. Did you mean "decay"?',
    });
    expect(problem({ zzz: 1 }, { remedy: "Leave it out." }).rule).toBe("is not a field here. Leave it out.");
  });
});
