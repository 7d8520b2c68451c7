/** @file That ONNX Runtime's telemetry is off: what generating an image leaves in the user's cache folder. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const main = new URL("../../../dist/cli/main.js", import.meta.url).pathname;
const model = new URL("../../../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;

describe("telemetry", () => {
  it("is off: ONNX Runtime writes nothing into the cache folder", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "koala-telemetry-"));
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
    const args = [
      "generate",
      "-m",
      model,
      "a koala",
      "--steps",
      "1",
      "--no-metadata",
      "-o",
      path.join(folder, "a.png"),
    ];
    await promisify(execFile)(process.execPath, [main, ...args], {
      env: { ...env, XDG_CACHE_HOME: path.join(folder, "cache"), HOME: folder },
    });
    const left = await readdir(folder, { recursive: true });
    expect(left).toContain("a.png");
    expect(left.filter((name) => /microsoft|onnx/i.test(name))).toEqual([]);
    await rm(folder, { recursive: true });
  });
});
