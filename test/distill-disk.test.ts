/** @file A run whose disk takes no more: its last checkpoint is whole and named, and with room again it goes on. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkpointDigest, checkpoints, done, model, start, students } from "./distill-command.js";
import { makeTestImages } from "./test-images.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-disk-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);

const steps = 60;
const command = (output: string) => [
  ...["distill", "--teacher", model("sdxl-tiny"), "--student", at("small.json"), "--feature", "none"],
  ...["--data", at("images"), "--output", at(output), "--cache", at("cache"), "--resolution", "64"],
  ...["--steps", String(steps), "--batch-size", "2", "--lr", "1e-3", "--seed", "3", "--threads", "1"],
  ...["--checkpoint-every", "4", "--keep", "100", "--json"],
];

describe("a full disk", () => {
  it("stops a run, which names its last whole checkpoint and goes on from it bit for bit", {
    timeout: 120_000,
  }, async () => {
    await makeTestImages(at("images"), 6);
    writeFileSync(at("small.json"), JSON.stringify(students.small));
    await done(...command("whole"));

    // From step 5 on no file may hold what a checkpoint does; the line of each step still fits.
    const run = start(command("full"), (step, { child }) => {
      if (step === 5) execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=20000"]);
    });
    const { code, stderr } = await run.ended;
    expect(code).toBe(1);
    const last = checkpoints(at("full")).at(-1)!;
    expect(last % 4).toBe(0);
    expect(last).toBeGreaterThanOrEqual(4);
    const errors = stderr.split("\n").filter((line) => /error|^ {4}at /.test(line));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      /^error: .*checkpoints\/step-0000\d\d: must be writable, got EFBIG \(file too large\)/,
    );
    expect(errors[0]).toContain(
      `goes on from ${at("full/checkpoints", `step-${String(last).padStart(6, "0")}`)}, which is whole.`,
    );
    for (const step of checkpoints(at("full")))
      expect(checkpointDigest(at("full"), step)).toBe(checkpointDigest(at("whole"), step));
    expect(
      readdirSync(at("full"), { recursive: true }).filter((name) => /partial|\.writing/.test(String(name))),
    ).toEqual([]);

    await done(...command("full"), "--resume");
    expect(checkpointDigest(at("full"), steps)).toBe(checkpointDigest(at("whole"), steps));
  });
});
