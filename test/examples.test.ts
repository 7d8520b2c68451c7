/** @file Every example runs as it stands, against the built package. */

import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;
const examples = readdirSync(`${root}/examples`).filter((file) => file.endsWith(".ts"));

describe("each example is short and runs", () => {
  it.each(examples)("%s", async (file) => {
    expect(readFileSync(`${root}/examples/${file}`, "utf8").split("\n").length).toBeLessThanOrEqual(40);
    const { stdout } = await promisify(execFile)("node_modules/.bin/tsx", [`examples/${file}`], {
      cwd: root,
    });
    expect(stdout).not.toBe("");
  });
});
