import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { cacheFolder, hubSettings } from "./settings.js";

test.each([
  [{}, path.join(homedir(), ".cache/huggingface/hub")],
  [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ HF_HOME: "/h", XDG_CACHE_HOME: "/x" }, "/h/hub"],
  [{ HF_HOME: "~/h" }, path.join(homedir(), "h/hub")],
  [{ HF_HUB_CACHE: "/c", HF_HOME: "/h" }, "/c"],
  [{ HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/h" }, "/old"],
])("with %j the cache is %s", (environment, folder) => {
  expect(cacheFolder(environment)).toBe(folder);
});

test("HF_TOKEN goes before the older name, and that before the token file", async () => {
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

test("the endpoint loses its slash, and offline is any of Python's words for true", async () => {
  const of = (more: Record<string, string>) => hubSettings({ HF_HOME: "/nowhere", ...more });
  expect((await of({})).endpoint).toBe("https://huggingface.co");
  expect((await of({ HF_ENDPOINT: "https://hf-mirror.com/" })).endpoint).toBe("https://hf-mirror.com");
  for (const word of ["1", "ON", "yes", "True"])
    expect((await of({ HF_HUB_OFFLINE: word })).offline).toBe(true);
  for (const word of ["", "0", "no"]) expect((await of({ HF_HUB_OFFLINE: word })).offline).toBe(false);
});
