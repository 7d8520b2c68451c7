/** @file Commands that cannot read or write: one line with path and code, before the work where it can be known. */

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { model } from "./distill-command.js";
import { type Ended, type Limits, limitedKoala } from "./limited.js";
import { tinyModel } from "./serving.js";
import { makeTestImages } from "./test-images.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-cannot-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (...names: string[]) => path.join(scratch, ...names);
const generate = [
  "generate",
  "a red bicycle",
  "-m",
  tinyModel,
  "-W",
  "64",
  "-H",
  "64",
  "-s",
  "1",
  "--seed",
  "7",
];
const distill = [
  ...["distill", "-t", model("sdxl-tiny"), "-d", at("images"), "--resolution", "64", "-b", "1", "-s", "1"],
];

beforeAll(async () => {
  await makeTestImages(at("images"), 2);
  writeFileSync(at("file"), "");
  chmodSync(scratch, 0o755);
});

/** The one line that is an error, without its mark. */
function refusal({ code, stderr }: Ended): string {
  expect(code, stderr).toBe(1);
  expect(stderr).not.toMatch(/^ {4}at /m);
  const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
  expect(errors, stderr).toHaveLength(1);
  return errors[0]!.slice("error: ".length);
}

describe("an output that cannot be written", () => {
  it.each([
    ["generate", [...generate, "-o", at("file/x.png")]],
    ["grid", ["grid", "a cat", "-m", tinyModel, "-x", "seed=1", "-o", at("file/g")]],
    ["distill", [...distill, "-o", at("file/run")]],
    ["distill's cache", [...distill, "-o", at("run"), "--cache", at("file/cache")]],
    [
      "train",
      ["train", "-m", model("sdxl-tiny"), "-d", at("images"), "-o", at("file/run"), "--resolution", "64"],
    ],
    ["autoencoder", ["train", "--autoencoder", model("taesd-tiny"), "-d", at("images"), "-o", at("file/v")]],
  ])("of %s is reported before anything else, and leaves nothing", async (_, args) => {
    const ended = await limitedKoala(args);
    expect(refusal(ended)).toMatch(/file[/\w]*: must be writable, got E(EXIST|NOTDIR) \(/);
    expect(ended.stderr.split("\n")).toHaveLength(2);
    expect(existsSync(at("run"))).toBe(false);
  });

  it("of a training is reported where the model's parts would meet other files, before the data is encoded", async () => {
    mkdirSync(at("foreign/unet"), { recursive: true });
    const { code, stderr } = await limitedKoala([...distill, "-o", at("foreign")]);
    expect(stderr).toMatch(/^error: --output: must leave room for the model's parts, got "unet"/);
    expect(code).toBe(2);
    expect(readdirSync(at("foreign"))).toEqual(["unet"]);
  });

  it("by its name without an ending is a folder that is made", async () => {
    const { code, stdout } = await limitedKoala([...generate, "-q", "-o", at("images")]);
    expect([code, stdout]).toEqual([0, `${at("images/koala-7.png")}\n`]);
  });

  it("by the default name is numbered, also of two commands at once", async () => {
    mkdirSync(at("cwd"));
    const run = () => limitedKoala([...generate, "-q"], { cwd: at("cwd") });
    const ended = [...(await Promise.all([run(), run()])), await run()];
    expect(ended.map(({ stdout }) => stdout.trim()).sort()).toEqual([
      "koala-7-2.png",
      "koala-7-3.png",
      "koala-7.png",
    ]);
    expect(readdirSync(at("cwd"))).toHaveLength(3);
  });
});

describe("standard output on a full disk", () => {
  it.each([
    ["words", ["words"]],
    ["models list --json", ["models", "list", "--json"]],
    ["compare", ["compare"]],
    ["generate --json", [...generate, "--json", "-q", "-o", at("full.png")]],
  ])("ends %s with one line and exit code 1", async (_, args) => {
    const ended = await limitedKoala(args, { stdout: "/dev/full" });
    expect(refusal(ended)).toBe(
      "standard output: must be writable, got ENOSPC (no space left on device). Free some room, or choose another disk.",
    );
  });

  it("stops a training as Ctrl-C does: what it has is saved", async () => {
    const args = [...distill, "-s", "500", "-o", at("saved"), "--json", "-q", "--link"];
    refusal(await limitedKoala(args, { stdout: "/dev/full" }));
    expect(readdirSync(at("saved/checkpoints"))).toHaveLength(1);
    expect(readdirSync(at("saved"))).toContain("model_index.json");
  });

  it("that only notes go to stops nothing", async () => {
    const shell = "exec 2>/dev/full";
    const { code } = await limitedKoala([...generate, "-o", at("notes.png")], { shell });
    expect(code).toBe(0);
  });
});

describe("a limit of the process", () => {
  it("on open files is reported in one line even where the program itself cannot be opened", async () => {
    for (const most of [24, 40, 64])
      expect(refusal(await limitedKoala(["generate", "--help"], { shell: `ulimit -n ${most}` }))).toContain(
        "ulimit -n",
      );
  });

  it("on the size of files is reported in one line", async () => {
    mkdirSync(at("temporary"));
    const limits = { shell: "ulimit -f 8", env: { TMPDIR: at("temporary") } };
    const message = refusal(await limitedKoala([...generate, "-o", at("large.png")], limits));
    expect(message).toMatch(
      /^\S*large\.png: must be writable, got EFBIG \(file too large\)\. Raise .*ulimit -f/,
    );
    expect(message).toMatch(/could not be kept elsewhere: \S*large\.png: must be writable, got EFBIG/);
    expect(readdirSync(at("temporary"))).toEqual([]);
    expect(readdirSync(scratch).filter((name) => name.startsWith("large"))).toEqual([]);
  });
});

describe("what this user may not read or write", () => {
  const as = (args: readonly string[], limits: Limits = {}) =>
    limitedKoala(args, { unprivileged: true, env: { HOME: at("nobody") }, ...limits });
  beforeAll(() => {
    mkdirSync(at("closed/hub"), { recursive: true });
    cpSync(tinyModel, at("closed-unet"), { recursive: true });
    cpSync(at("images/koala-7.png"), at("closed.png"));
    for (const name of ["closed", "closed-unet/unet", "closed.png"]) chmodSync(at(name), 0);
  });
  afterAll(() => {
    for (const name of ["closed", "closed-unet/unet", "closed.png"]) chmodSync(at(name), 0o755);
  });

  it.each([
    ["generate's folder", [...generate, "-o", at("closed/x.png")], "closed", "writable"],
    ["generate's model", ["generate", "a cat", "-m", at("closed-unet")], "closed-unet/unet/", "readable"],
    [
      "generate --image",
      [...generate, "--image", at("closed.png"), "--strength", "1", "-o", at("none/")],
      "closed.png",
      "readable",
    ],
    ["generate --from", ["generate", "--from", at("closed.png")], "closed.png", "readable"],
    ["inspect", ["inspect", at("closed/model")], "closed/model", "readable"],
    ["compare", ["compare", at("closed")], "closed", "readable"],
    ["memory", ["memory", at("closed-unet")], "closed-unet/unet/", "readable"],
    ["serve's model", ["serve", "-m", at("closed-unet"), "--port", "0"], "closed-unet/unet/", "readable"],
    ["watch", ["watch", at("closed")], "closed/run.json", "readable"],
    ["distill's output", [...distill, "-o", at("closed/run")], "closed/run", "writable"],
    ["distill's data", [...distill, "-d", at("closed"), "-o", at("none")], "closed", "readable"],
  ] as const)("of %s is reported in one line", async (_, args, file, word) => {
    const message = refusal(await as(args, { cwd: scratch }));
    expect(message.startsWith(at(file)), message).toBe(true);
    expect(message).toContain(`: must be ${word}, got EACCES (permission denied). Let this user `);
  });

  it("of the Hub's cache is reported in one line", async () => {
    const ended = await as(["models", "list"], { env: { HF_HOME: at("closed") } });
    expect(refusal(ended)).toMatch(/closed\/hub: must be readable, got EACCES/);
  });

  it("of one model in the Hub's cache hides none of the others", async () => {
    const snapshots = at("home/hub/models--koala--tiny/snapshots");
    mkdirSync(snapshots, { recursive: true });
    cpSync(tinyModel, path.join(snapshots, "a".repeat(40)), { recursive: true });
    mkdirSync(at("home/hub/models--koala--broken"));
    // Which nobody may read.
    symlinkSync("snapshots", at("home/hub/models--koala--broken/snapshots"));
    const { code, stdout } = await as(["models", "list"], { env: { HF_HOME: at("home") } });
    expect(code).toBe(0);
    expect(stdout).toMatch(/koala\/broken .*snapshots: must be readable, got ELOOP/);
    expect(stdout).toMatch(/koala\/tiny .* whole/);
  });
});
