/** @file What `koala generate` checks before it opens a model. */

import { describe, expect, it } from "vitest";
import { generateCommand } from "./generate.js";

const run = (...args: string[]) => generateCommand().parseAsync(["a cat", ...args], { from: "user" });

it("a revision without a model on the Hub is refused", async () => {
  await expect(run("--revision", "v99")).rejects.toThrow(/^--revision: is of a model on the Hub/);
  await expect(run("--revision", "v99", "-m", "models/nano")).rejects.toThrow(
    /^revision: must not be given with a folder of this machine, got "v99"/,
  );
});

describe("the number of images", () => {
  it.each(["1e9", "1025", "0", "-1", "1.5"])(
    "%s is refused before names are made and the model is found",
    async (count) => {
      await expect(run("-c", count, "-m", "/no/such/model", "-o", "/tmp/cat.png")).rejects.toThrow(
        `must be a whole number from 1 to 1024, got ${Number(count)}.`,
      );
    },
  );
});
