/** @file Models are resolved from the cache where the Hub is not asked or not reached. */

import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../src/errors.js";
import { readRefs } from "../../src/hub/cache.js";
import { sha256 } from "../hub-server.js";
import { commitA, environment, half, hub, repoOf, resolve, restartHub } from "./hub-setup.js";

describe("without the Hub a model", () => {
  it("uses the cache without a request with HF_HUB_OFFLINE, and names missing files", async () => {
    const offline = { environment: environment({ HF_HUB_OFFLINE: "1" }) };
    await expect(resolve("koala/half", offline)).rejects.toThrow(
      /got nothing of this model\. HF_HUB_OFFLINE is set/,
    );
    const folder = await resolve("koala/half");
    hub.requests.length = 0;
    expect(await resolve("koala/half", offline)).toBe(folder);
    expect(await resolve(`koala/half@${commitA}`, offline)).toBe(folder);
    await expect(resolve("koala/half@v2", offline)).rejects.toThrow('got only "main"');
    const gone = "unet/diffusion_pytorch_model.fp16-00002-of-00004.safetensors";
    await rm(repoOf("koala/half").blob(sha256(half.get(gone)!)));
    await rm(path.join(folder, "tokenizer/vocab.json"));
    const error = await resolve("koala/half", offline).catch((e) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect(error.missing).toEqual(["tokenizer/vocab.json", gone]);
    expect(hub.requests).toEqual([]);
  });

  it("uses the cache with a note where the Hub is unreachable, and without a copy gives the reason", async () => {
    const folder = await resolve("koala/half");
    await hub.close();
    const notes: string[] = [];
    expect(await resolve("koala/half", { onNote: (note) => notes.push(note) })).toBe(folder);
    expect(notes).toEqual([
      expect.stringMatching(/must be reached, got ECONNREFUSED.*Using the copy in the cache/),
    ]);
    await expect(resolve("koala/plain")).rejects.toThrow(
      "must be reached, got ECONNREFUSED. Check the network",
    );
    await restartHub();
  });

  it("ignores a ref that a killed process left half written", async () => {
    await resolve("koala/half");
    const refs = repoOf("koala/half").refs;
    await writeFile(path.join(refs, "main.2f6b7cde-0000-4000-8000-000000000000.partial"), "aa");
    expect(await readRefs(repoOf("koala/half"))).toEqual([["main", commitA]]);
  });
});
