/** @file The flags of the training commands whose texts are parsed. */

import { describe, expect, it } from "vitest";
import { parseFeature, parseLoss } from "./training-options.js";

describe("--loss", () => {
  it.each([
    ["task=1,out=1,feat=1", { task: 1, out: 1, feat: 1 }],
    ["out=0.5, feat=0", { task: 1, out: 0.5, feat: 0 }],
    ["feat=1e-2", { task: 1, out: 1, feat: 0.01 }],
  ])("%s", (text, weights) => {
    expect(parseLoss(text)).toEqual(weights);
  });

  it.each([
    ["task", '--loss: must be written as "task=1,out=1,feat=1", got "task".'],
    ["", '--loss: must be written as "task=1,out=1,feat=1", got "".'],
    ["feats=1", '--loss: must name task, out or feat, got "feats". Did you mean "feat"?'],
    ["task=", '--loss: task must be a number of at least 0, got "".'],
    ["task=-1", '--loss: task must be a number of at least 0, got "-1".'],
    ["task=1,task=2", '--loss: must name each term once, got "task" twice.'],
    ["toString=1", /^--loss: must name task, out or feat, got "toString"/],
  ])("refuses %j", (text, message) => {
    expect(() => parseLoss(text)).toThrow(message);
  });
});

describe("--feature", () => {
  it("takes the names with hyphens too", () => {
    expect(parseFeature("sa-and-lf-all")).toBe("sa_and_lf_all");
    expect(parseFeature("koala")).toBe("koala");
  });

  it("refuses other names", () => {
    expect(() => parseFeature("koalas")).toThrow(
      /^--feature: must be one of .*, got "koalas". Did you mean "koala"\?$/,
    );
  });
});
