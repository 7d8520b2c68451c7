/** @file The flags of the training commands whose texts are parsed. */

import { describe, expect, it } from "vitest";
import { settingsOption } from "./settings-flag.js";
import { parseFeature, parseLoss, trainingRequest } from "./training-options.js";

describe("--loss", () => {
  it.each([
    ["task=1,out=1,feat=1", { task: 1, out: 1, feat: 1 }],
    ["out=0.5, feat=0", { out: 0.5, feat: 0 }],
    ["feat=1e-2,solver=2", { feat: 0.01, solver: 2 }],
  ])("%s", (text, weights) => {
    expect(parseLoss(text)).toEqual(weights);
  });

  it.each([
    ["task", '--loss: must be written as "task=1,out=1,feat=1", got "task".'],
    ["", '--loss: must be written as "task=1,out=1,feat=1", got "".'],
    ["feats=1", '--loss: must name task, out, feat or solver, got "feats". Did you mean "feat"?'],
    ["task=", '--loss: task must be a number of at least 0, got "".'],
    ["task=-1", '--loss: task must be a number of at least 0, got "-1".'],
    ["task=1,task=2", '--loss: must name each term once, got "task" twice.'],
    ["toString=1", /^--loss: must name task, out, feat or solver, got "toString"/],
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

describe("a flag with settings", () => {
  const parse = settingsOption("--consistency");

  it("gives numbers, texts and null by the names of the library", () => {
    const settings = { wMin: 3, lossType: "l2", timeCondProjDim: null };
    expect(parse("w-min=3, loss-type=l2,time-cond-proj-dim=none")).toEqual(settings);
  });

  it("gives a list where further values follow a setting", () => {
    const parsed = settingsOption("--lora")("rank=8,targets=to_q, ff.net.2,names=kohya");
    expect(parsed).toEqual({ rank: 8, targets: ["to_q", "ff.net.2"], names: "kohya" });
  });

  it.each([
    ["w-min", '--consistency: must be written as NAME=VALUE,NAME=VALUE, got "w-min".'],
    ["w-min=", '--consistency: must be written as NAME=VALUE,NAME=VALUE, got "w-min=".'],
    ["w-min=1,w-min=2", "--consistency: must give each setting once, got w-min twice."],
  ])("refuses %j", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  it("without any takes the defaults", () => {
    expect(trainingRequest({ consistency: true, lora: true })).toEqual({ consistency: {}, lora: {} });
  });
});
