/** @file Prompts from files and standard input as editors and shells write them, through the built command. */

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, describe, expect, it } from "vitest";
import { model } from "./distill-command.js";

const main = new URL("../dist/cli/main.js", import.meta.url).pathname;
const scratch = await mkdtemp(path.join(tmpdir(), "koala-prompts-"));
afterAll(() => rm(scratch, { recursive: true }));

/** Runs `koala generate` on a prompt file of these bytes, or with them as its standard input. */
async function generate(bytes: Buffer, from: "file" | "-") {
  const file = path.join(scratch, "prompts.txt");
  await writeFile(file, bytes);
  const prompts = from === "file" ? file : "-";
  const options = ["-W", "16", "-H", "16", "-s", "1", "--threads", "1", "--json", "-q", "-o", `${scratch}/`];
  const child = spawn(process.execPath, [
    ...[main, "generate", "-m", model("sdxl-tiny"), "-p", prompts],
    ...options,
  ]);
  child.stdin.end(from === "-" ? bytes : "");
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const records = stdout.trim() === "" ? [] : stdout.trim().split("\n");
  return { prompts: records.map((line) => (JSON.parse(line) as { prompt: string }).prompt), stderr };
}

const utf16 = Buffer.from("\uFEFFa café\r\n\r\na dog\r\n", "utf16le");
const marked = Buffer.from("\uFEFFa café\ra dog\r");

describe("koala generate --prompts", () => {
  it.each([
    ["a file that PowerShell 5 wrote", utf16, "file"],
    ["a byte order mark and lone carriage returns on standard input", marked, "-"],
  ] as const)("reads %s", async (_, bytes, from) => {
    expect(await generate(bytes, from)).toEqual({ prompts: ["a café", "a dog"], stderr: "" });
  });

  it.each([
    ["file", path.join(scratch, "prompts.txt")],
    ["-", "standard input"],
  ] as const)("refuses bytes that are no text by line: %s", async (from, where) => {
    const { prompts, stderr } = await generate(Buffer.from("a dog\na caf\xe9\n", "latin1"), from);
    expect(prompts).toEqual([]);
    expect(stderr).toBe(
      `error: --prompts: ${where}, line 2 must be UTF-8, got bytes that are not. Save the text as UTF-8.\n`,
    );
  });
});
