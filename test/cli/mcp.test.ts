/** @file `koala mcp`, by the SDK's own client over standard input and output. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
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
const small = { prompt: "a red apple", width: 64, height: 64, steps: 2, seed: "7" };

describe("an MCP client", () => {
  it("finds the tools, and the models with their defaults", async () => {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      "list_models",
      "generate_image",
      "edit_image",
      "read_image",
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
