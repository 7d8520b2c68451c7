/** @file The Hub's settings in the environment, by the rules of Python's client. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ModelError } from "../errors.js";
import { cacheFolder, hubSettings } from "./settings.js";

describe("the settings", () => {
  it.each([
    [{}, path.join(homedir(), ".cache/huggingface/hub")],
    [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
    [{ HF_HOME: "/h", XDG_CACHE_HOME: "/x" }, "/h/hub"],
    [{ HF_HOME: "~/h" }, path.join(homedir(), "h/hub")],
    [{ HF_HUB_CACHE: "/c", HF_HOME: "/h" }, "/c"],
    [{ HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/h" }, "/old"],
  ])("with %j have the cache %s", (environment, folder) => {
    expect(cacheFolder(environment)).toBe(folder);
  });

  it("use HF_TOKEN before its older name, and that before the token file", async () => {
    const home = await mkdtemp(path.join(tmpdir(), "hub-"));
    try {
      const token = async (more: Record<string, string>) =>
        (await hubSettings({ HF_HOME: home, ...more })).token;
      expect(await token({})).toBeUndefined();
      await writeFile(path.join(home, "token"), " hf_file\n");
      expect(await token({})).toBe("hf_file");
      expect(await token({ HUGGING_FACE_HUB_TOKEN: "hf_old" })).toBe("hf_old");
      expect(await token({ HUGGING_FACE_HUB_TOKEN: "hf_old", HF_TOKEN: "hf_new\n" })).toBe("hf_new");
    } finally {
      await rm(home, { recursive: true });
    }
  });

  it("have the token of a file in UTF-8 or UTF-16, with a byte order mark or without; other bytes are refused", async () => {
    const home = await mkdtemp(path.join(tmpdir(), "hub-"));
    try {
      const file = path.join(home, "token");
      const token = async (bytes: Buffer) => {
        await writeFile(file, bytes);
        return (await hubSettings({ HF_HOME: home })).token;
      };
      expect(await token(Buffer.from("\uFEFFhf_a\r\n"))).toBe("hf_a");
      expect(await token(Buffer.from("\uFEFFhf_a\r\n", "utf16le"))).toBe("hf_a");
      expect(await token(Buffer.from("\uFEFFhf_a", "utf16le").swap16())).toBe("hf_a");
      const refused = token(Buffer.from("hf_ä", "latin1"));
      await expect(refused).rejects.toThrow(`${file}: line 1 must be UTF-8, got bytes that are not.`);
      await expect(refused).rejects.toBeInstanceOf(ModelError);
    } finally {
      await rm(home, { recursive: true });
    }
  });

  it("have the endpoint without its last slash, and are offline for each of Python's words for true", async () => {
    const settingsWith = (more: Record<string, string>) => hubSettings({ HF_HOME: "/nowhere", ...more });
    expect((await settingsWith({})).endpoint).toBe("https://huggingface.co");
    expect((await settingsWith({ HF_ENDPOINT: "https://hf-mirror.com/" })).endpoint).toBe(
      "https://hf-mirror.com",
    );
    for (const word of ["1", "ON", "yes", "True"])
      expect((await settingsWith({ HF_HUB_OFFLINE: word })).offline).toBe(true);
    for (const word of ["", "0", "no"])
      expect((await settingsWith({ HF_HUB_OFFLINE: word })).offline).toBe(false);
  });
});
