/** @file Words that are out: each has the field's own word in its place (CONTRIBUTING.md, Style). */

import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";

const root = new URL("..", import.meta.url).pathname;

/** The word that is out, and what is said instead. */
const words = {
  sitting: "running job",
  shelf: "pipeline pool",
  wish: "partial request",
  settle: "resolve",
  desk: "server state",
  inert: "unsupported, without effect",
  audience: "client tracker, subscribers",
  painter: "pipeline, processor",
  painting: "generating, generated image",
  paint: "generate",
};

/** Files that are not looked at, each with the reason. */
const otherFiles = {
  "golden/data": "reference data, with Diffusers' prompts",
  "test/data": "images and texts of other programs, and a small model",
  "src/image/metadata/testdata": "images and texts of other programs",
  models: "a model's files, with its vocabulary",
  "nano/snapshots": "a model's files",
  "nano/prompts.txt": "prompts, written before training",
  "docs/log.md": "dated entries, which keep the words of their day",
  "package-lock.json": "names of packages",
  "test/words.test.ts": "this list",
};

/** Prose about art: what a prompt asks an image model for. */
const aboutArt = [/oil painting/, /portrait painting/];

function found(pattern: string, ...pathspecs: string[]): string[] {
  const ignored = Object.keys(otherFiles).map((file) => `:!${file}`);
  try {
    const options = ["grep", "-nI", "--untracked", ...pattern.split(" ")];
    const args = [...options, "--", ...pathspecs, ...ignored];
    return execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim().split("\n");
  } catch (error) {
    // 1: nothing was found.
    if ((error as { status?: number }).status === 1) return [];
    throw error;
  }
}

describe("the repository", () => {
  it.each(Object.entries(words))('does not say "%s", but %s', (word) => {
    const lines = found(`-wi ${word}`, ".");
    expect(lines.filter((line) => !aboutArt.some((art) => art.test(line)))).toEqual([]);
  });

  it('calls an image no "picture" in code', () => {
    expect(found("-i picture", "*.ts", "*.tsx", "*.mjs", "*.css", "*.html")).toEqual([]);
  });

  it("has every file of the exceptions", () => {
    const gone = Object.keys(otherFiles).filter((file) => {
      const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--", file], { cwd: root });
      return listed.length === 0;
    });
    expect(gone).toEqual([]);
  });
});
