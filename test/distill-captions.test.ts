/** @file Which captions a run is trained on, and what is said of the others, through the built command. */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { done, koala, model, students } from "./distill-command.js";
import { makeTestImages } from "./test-images.js";

const scratch = await mkdtemp(path.join(tmpdir(), "koala-captions-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
const distill = (output: string, ...more: string[]) => [
  ...["distill", "--teacher", model("sdxl-tiny"), "--student", at("small.json"), "--output", at(output)],
  ...["--data", at("images"), "--resolution", "32", "--batch-size", "1", "--steps", "1", "--threads", "1"],
  ...["--feature", "none"],
  ...more,
];
const table = (...rows: object[]) =>
  writeFileSync(at("images", "metadata.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));

/** Captions of the finished cache, "" among them. */
const cached = (output: string): string[] =>
  readFileSync(at(output, "cache", "index.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { words?: string }).words)
    .filter((words) => words !== undefined)
    .sort();

beforeAll(async () => {
  await makeTestImages(at("images"), 3);
  writeFileSync(at("small.json"), JSON.stringify(students.small));
});

describe("Captions", () => {
  it("come from the column that is named, and of a list one is drawn by the seed", async () => {
    const list = Array.from({ length: 50 }, (_, i) => `caption ${i}`);
    table({ file_name: "000.png", prompt: list, source: "web" }, { file_name: "001.png", prompt: "b" });
    const refused = await koala(...distill("unnamed"));
    expect(refused.stderr).toBe(
      'error: --caption-column: must be given, as there is no "text", "caption": ' +
        'one of the fitting columns of metadata.jsonl, "prompt", "source".\n',
    );
    expect(refused.code).toBe(2);
    const drawn = async (output: string, seed: string) => {
      await done(...distill(output, "--caption-column", "prompt", "--seed", seed));
      const [empty, b, one] = cached(output);
      expect([empty, b]).toEqual(["", "b"]);
      expect(list).toContain(one);
      return one;
    };
    expect(await drawn("one", "1")).not.toBe(await drawn("other", "2"));
  }, 60_000);

  it("that cannot be read leave their images out, with path and code", async () => {
    rmSync(at("images", "metadata.jsonl"));
    writeFileSync(at("images", "000.txt"), "a");
    writeFileSync(at("images", "001.txt"), Buffer.from("caf\xe9", "latin1"));
    // Stands for a file that is another user's: root may read all.
    await symlink("nowhere", at("images", "002.txt"));
    const { stderr } = await done(...distill("skipping"));
    expect(cached("skipping")).toEqual(["", "a"]);
    expect(stderr).toContain("skipped 001.png: has no readable caption: 001.txt, line 1 must be UTF-8, got");
    const link = at("images", "002.txt");
    expect(stderr).toContain(`skipped 002.png: has no readable caption: ${link} cannot be read (ENOENT)`);
  }, 60_000);
});
