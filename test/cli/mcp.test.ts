/** @file `koala mcp`, by the SDK's own client over standard input and output. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tinyModel } from "../serving.js";

const folder = mkdtempSync(path.join(tmpdir(), "koala-mcp-"));
const client = new Client({ name: "test", version: "1" });
beforeAll(async () => {
  const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
  const args = [main, "mcp", "--model", tinyModel, "--folder", folder, "--threads", "1"];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: "ignore" }));
});
afterAll(async () => {
  await client.close();
  rmSync(folder, { recursive: true });
});

type Options = Parameters<typeof client.callTool>[2];
const call = (name: string, given: Record<string, unknown>, options?: Options) =>
  client.callTool({ name, arguments: given }, undefined, options) as Promise<CallToolResult>;

/** The JSON of an answer. */
const jsonOf = ({ content }: CallToolResult) => {
  const last = content.at(-1)!;
  return last.type === "text" ? JSON.parse(last.text) : expect.fail(`a ${last.type} came last`);
};
/** The chunks of texts of one PNG put into another, before its pixels. */
function withTextsOf(texts: Buffer, png: Buffer): Buffer {
  const chunks = (file: Buffer) => {
    const all: { type: string; bytes: Buffer }[] = [];
    for (let at = 8; at < file.length; ) {
      const end = at + 12 + file.readUInt32BE(at);
      all.push({ type: file.toString("latin1", at + 4, at + 8), bytes: file.subarray(at, end) });
      at = end;
    }
    return all;
  };
  const kept = chunks(png).filter(({ type }) => !/^[iz]?[tT][XE]/.test(type) && type !== "eXIf");
  const text = chunks(texts).filter(({ type }) => /^(iTXt|tEXt|zTXt)$/.test(type));
  const [header, ...rest] = kept;
  return Buffer.concat([png.subarray(0, 8), ...[header!, ...text, ...rest].map(({ bytes }) => bytes)]);
}

const small = { prompt: "a red apple", width: 64, height: 64, steps: 2, seed: "7" };

describe("an MCP client", () => {
  it("finds the tools, and the models with their defaults", async () => {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      "list_models",
      "generate_image",
      "edit_image",
      "read_image",
      "explain_image",
    ]);
    const { models } = jsonOf(await call("list_models", {}));
    expect(models[0]).toMatchObject({ id: "koala-1b-tiny", safety: { choices: ["off"] } });
  });

  it("generates with progress, edits the file that was written, and reads its record", async () => {
    const steps: (readonly [number, number | undefined])[] = [];
    const made = await call("generate_image", small, {
      onprogress: ({ progress, total }) => steps.push([progress, total]),
    });
    expect(steps).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(made.content[0]).toMatchObject({ type: "image", mimeType: "image/png" });
    expect(jsonOf(made)).toMatchObject({
      images: [{ file: "koala-7.png", seed: "7" }],
      settings: { steps: 2 },
    });
    const edited = await call("edit_image", {
      prompt: "a pear",
      image: "koala-7.png",
      strength: 0.5,
      steps: 4,
      seed: "8",
    });
    expect(jsonOf(edited)).toMatchObject({
      images: [{ file: "koala-8.png", width: 64 }],
      settings: { strength: 0.5 },
    });
    const read = await call("read_image", { image: "koala-8.png" });
    expect(jsonOf(read)).toMatchObject({ record: { prompt: "a pear", seed: "8", strength: 0.5 } });
    expect(readdirSync(folder).sort()).toEqual(["koala-7.png", "koala-8.png"]);
  });

  it("explains an image by its record, and one of a prompt: a sheet, and where each word is brightest", async () => {
    await call("generate_image", { ...small, seed: "20", guidanceScale: 3, scheduler: "euler" });
    const answer = await call("explain_image", { image: "koala-20.png" });
    const { words, files, settings, warnings } = jsonOf(answer);
    expect([files, warnings, settings.guidanceScale]).toEqual([["koala-20-words.png"], [], 3]);
    expect(words.map(({ word }: { word: string }) => word)).toEqual(["a", "red", "apple"]);
    for (const { brightest } of words)
      for (const at of [brightest.x, brightest.y]) expect(at > 0 && at < 1).toBe(true);
    const [sheet] = answer.content;
    const { width = 0 } = await sharp(path.join(folder, "koala-20-words.png")).metadata();
    expect(sheet).toMatchObject({ type: "image", mimeType: "image/png" });
    expect(width).toBeGreaterThan(4 * 64);

    // As of another program that changed the pixels and kept the record.
    const file = path.join(folder, "koala-20.png");
    const changed = await sharp(file).negate().keepMetadata().png().toBuffer();
    const record = readFileSync(file);
    writeFileSync(path.join(folder, "other.png"), withTextsOf(record, changed));
    const other = jsonOf(await call("explain_image", { image: "other.png" }));
    expect(other.warnings).toEqual([expect.stringContaining("not every pixel is as in the file")]);

    const fresh = jsonOf(await call("explain_image", { ...small, seed: "21" }));
    expect(fresh.files).toEqual(["koala-21.png", "koala-21-words.png"]);
    const refused = await call("explain_image", { image: "koala-8.png" });
    expect(refused.content[0]).toMatchObject({ text: expect.stringContaining('got "strength", "image"') });
    const both = await call("explain_image", { image: "koala-20.png", steps: 3 });
    expect(both.content[0]).toMatchObject({
      text: expect.stringContaining("steps: must be left out beside an image"),
    });
  });

  it("reads why a request is refused, and no file outside of the folder", async () => {
    const wrong = await call("generate_image", { ...small, width: 60 });
    expect(wrong).toMatchObject({ isError: true });
    expect(wrong.content[0]).toMatchObject({
      text: expect.stringContaining("width: must be a multiple of 8, got 60"),
    });
    const outside = await call("read_image", { image: "../../etc/passwd" });
    expect(outside.isError).toBe(true);
  });

  it("cancels a generation, after which the next one comes", async () => {
    const controller = new AbortController();
    const long = call(
      "generate_image",
      { ...small, steps: 150 },
      {
        signal: controller.signal,
        onprogress: () => controller.abort(),
      },
    );
    await expect(long).rejects.toThrow();
    expect(jsonOf(await call("generate_image", { ...small, seed: "9" })).images).toHaveLength(1);
  });
});
