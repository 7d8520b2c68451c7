/** @file Errors and notes of library functions as the command line prints them. */

import { describe, expect, it } from "vitest";
import { InvalidRequest, ModelError } from "../errors.js";
import { trainingOptions } from "../train/options.js";
import { distillCommand } from "./distill.js";
import { inFlags, onCommandLine } from "./flag-names.js";
import { generateCommand } from "./generate.js";
import { inspectCommand } from "./inspect.js";
import { serveCommand } from "./serve.js";
import { trainCommand } from "./train.js";
import { trainingFlags } from "./training-options.js";

const flagsOf = (...commands: ReturnType<typeof trainCommand>[]) =>
  commands.flatMap(({ options }) => options.map(({ long }) => long));

/** What a command says of an error that `fail` throws. */
function said(command: ReturnType<typeof trainCommand>, fail: () => unknown): string {
  try {
    fail();
  } catch (error) {
    return (onCommandLine(error, command) as Error).message;
  }
  throw new Error("did not fail");
}

describe("an error about an option", () => {
  it("names the flag, and the flags that its sentence names", () => {
    const rate = () => trainingOptions({ learningRate: -1 });
    expect(rate).toThrow("learningRate: must be a number of at least 0, got -1.");
    expect(said(trainCommand(), rate)).toBe("--lr: must be a number of at least 0, got -1.");
    const warmup = { lrScheduler: "cosine", lrWarmupSteps: 20, maxTrainSteps: 10 };
    expect(said(distillCommand(), () => trainingOptions(warmup))).toBe(
      "--warmup: must be fewer than --steps (10), got 20.",
    );
    expect(said(distillCommand(), () => trainingOptions({ lrWarmupSteps: 5 }))).toMatch(
      /^--warmup: must be 0 with --lr-schedule "constant", got 5\./,
    );
    expect(said(trainCommand(), () => trainingOptions({ ema: { decay: 2 } }))).toMatch(/^--ema: must be a n/);
  });

  it("names the setting of a flag that has several", () => {
    const wrong = () => trainingOptions({ consistency: { wMin: 8, wMax: 2 } });
    expect(wrong).toThrow("consistency.wMax: must be at least the least w (8), got 2.");
    expect(said(distillCommand(), wrong)).toBe(
      "--consistency w-max: must be at least the least w (8), got 2.",
    );
  });

  it("names the term of the loss", () => {
    const wrong = () => trainingOptions({ loss: { solver: 1 } });
    expect(said(distillCommand(), wrong)).toMatch(/^--loss solver: must be 0 without consistency/);
  });

  it("keeps the name that its command has no flag for", () => {
    const missing = new InvalidRequest("model", "x", "must be a folder.");
    expect(onCommandLine(missing, generateCommand())).toMatchObject({
      message: "--model: must be a folder.",
    });
    expect(onCommandLine(missing, inspectCommand())).toMatchObject({ message: "model: must be a folder." });
    expect(onCommandLine(missing, undefined)).toMatchObject({ message: "model: must be a folder." });
    const given = new InvalidRequest("--lr", "x", "must be a number.");
    expect(onCommandLine(given, trainCommand())).toMatchObject({ message: "--lr: must be a number." });
  });

  it("names the flag of each limit of a server", () => {
    for (const [name, flag] of Object.entries({ bodyBytes: "body", pixels: "pixels", queue: "queue" })) {
      const error = new InvalidRequest(`limits.${name}`, 0, "must be a whole number of at least 1, got 0.");
      expect(onCommandLine(error, serveCommand())).toMatchObject({
        message: `--max-${flag}: must be a whole number of at least 1, got 0.`,
      });
    }
  });

  it("of a file names flags as well, and its path stays", () => {
    const error = new ModelError("learningRate.json", "learningRate is absent; set `seed` or `other`.");
    expect(onCommandLine(error, trainCommand())).toBe(error);
    expect(error.message).toBe("learningRate.json: --lr is absent; set --seed or `other`.");
  });
});

describe("a sentence", () => {
  it.each([
    [
      "has 2 images (jpg, png); choose one by imageColumn",
      "has 2 images (jpg, png); choose one by --image-column",
    ],
    ["Lower learningRate, or clip with maxGradNorm; then", "Lower --lr, or clip with --max-grad-norm; then"],
    ["set by captionDropoutRule.", "set by --dropout-rule."],
    // A user's own words, paths and longer names.
    ['must be a column, got "learningRate".', 'must be a column, got "learningRate".'],
    ["skipped learningRate.png: /x/learningRate/a", "skipped learningRate.png: /x/learningRate/a"],
    ["mylearningRate and the seed of a loss", "mylearningRate and the seed of a loss"],
  ])("%s", (text, flags) => expect(inFlags(text)).toBe(flags));

  it("names flags that there are", () => {
    const there = flagsOf(distillCommand(), trainCommand());
    const named = Object.entries(trainingFlags).filter(([name, flag]) => flag && /[A-Z]/.test(name));
    for (const [name] of named) expect(there).toContain(inFlags(name));
    for (const name of ["captionColumn", "imageColumn"]) expect(there).toContain(inFlags(name));
    const generation = ["numInferenceSteps", "guidanceScale", "negativePrompt", "numImagesPerPrompt"];
    for (const name of [...generation, "denoisingStart", "clipSkip"])
      expect(flagsOf(generateCommand())).toContain(inFlags(name));
    for (const name of ["apiKey", "noAuth"]) expect(flagsOf(serveCommand())).toContain(inFlags(name));
  });
});
