/** @file `koala models`. */

import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { modelsCommand } from "../../src/cli/models.js";
import { InvalidRequest } from "../../src/errors.js";
import { filesIn, type HubServer, inLfs, sha256, startHub } from "../hub-server.js";

const golden = fileURLToPath(new URL("../../golden/data/pipelines/", import.meta.url));
const files = filesIn(`${golden}koala-700m-tiny`);
const vae = "vae/diffusion_pytorch_model.fp16.safetensors";
const changed = new Map([...files, [vae, Buffer.concat([files.get(vae)!, Buffer.from("another")])]]);
const [commitA, commitB] = ["a".repeat(40), "b".repeat(40)];

let hub: HubServer;
let home: string;
let printed: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), "hub-"));
  const commits = { [commitA]: files, [commitB]: changed };
  hub = await startHub({ "koala/tiny": { commits, refs: { main: commitB, v1: commitA } } });
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_ENDPOINT", hub.url);
  for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"])
    vi.stubEnv(name, "");
  printed = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
});

afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await hub.close();
  await rm(home, { recursive: true });
});

async function koalaModels(...words: string[]): Promise<string> {
  printed = "";
  await modelsCommand().parseAsync(words, { from: "user" });
  return printed;
}

const listedModels = async () => JSON.parse(await koalaModels("list", "--json"));
const bytesOf = (of: ReadonlyMap<string, Buffer>) =>
  [...new Map([...of.values()].map((bytes) => [sha256(bytes), bytes.length])).values()].reduce(
    (a, b) => a + b,
    0,
  );
const blobs = () => readdir(path.join(home, "hub/models--koala--tiny/blobs"));

describe("koala models", () => {
  it("download prints the folder, and list shows each revision's size, pipeline and parts", async () => {
    const folder = (await koalaModels("download", "koala/tiny@v1", "--quiet")).trim();
    expect(folder).toBe(path.join(home, "hub/models--koala--tiny/snapshots", commitA));
    const [model, ...others] = await listedModels();
    expect(others).toEqual([]);
    expect(model).toMatchObject({
      id: "koala/tiny",
      commit: commitA,
      revisions: ["v1"],
      folder,
      bytes: bytesOf(files),
    });
    expect(model).toMatchObject({ pipeline: "StableDiffusionXLPipeline" });
    expect(model.parts.sort()).toEqual(
      [...new Set([...files.keys()].filter((f) => f.includes("/")).map((f) => f.split("/")[0]))].sort(),
    );
    expect(Math.abs(Date.now() - Date.parse(model.lastUsed))).toBeLessThan(60_000);
    expect(await koalaModels()).toMatch(
      /koala\/tiny +v1 aaaaaaaaaaaa +3\.3 MB +StableDiffusionXLPipeline +just now +whole\n/,
    );
  });

  it("a revision is removed with the blobs that no other revision uses, and its ref", async () => {
    await koalaModels("download", "koala/tiny", "--quiet");
    await koalaModels("download", "koala/tiny@v1", "--quiet");
    const before = await blobs();
    await koalaModels("remove", "koala/tiny@v1", "--yes");
    expect((await listedModels()).map((model: { commit: string }) => model.commit)).toEqual([commitB]);
    const after = await blobs();
    expect(before.filter((blob) => !after.includes(blob))).toEqual([sha256(files.get(vae)!)]);
    expect(await readdir(path.join(home, "hub/models--koala--tiny/refs"))).toEqual(["main"]);
    const lfs = [...changed].filter(([name]) => inLfs(name)).map(([, bytes]) => sha256(bytes));
    expect(after).toEqual(expect.arrayContaining(lfs));
  });

  it("a model is removed whole, and nothing else in the cache", async () => {
    await koalaModels("download", "koala/tiny", "--quiet");
    const other = path.join(home, "hub/models--some--language-model/snapshots", commitA);
    await cp(path.join(golden, "taesd-tiny"), other, { recursive: true });
    expect((await listedModels()).map((model: { id: string }) => model.id)).toEqual(["koala/tiny"]);
    await koalaModels("remove", "koala/tiny", "--yes");
    expect((await readdir(path.join(home, "hub"))).sort()).toEqual([
      ".locks",
      "models--some--language-model",
    ]);
    expect(await koalaModels()).toMatch(/^No models downloaded yet/);
  });

  it("an incomplete and a broken model are listed with what is wrong", async () => {
    const folder = (await koalaModels("download", "koala/tiny", "--quiet")).trim();
    await rm(path.join(folder, "unet/config.json"));
    expect(await koalaModels()).toContain('incomplete: missing "unet/config.json"');
    await rm(path.join(folder, "model_index.json"));
    await writeFile(path.join(folder, "model_index.json"), "{");
    expect(await koalaModels()).toContain("is not valid JSON");
  });

  it("without --yes and with nobody to ask nothing is removed, and an unknown model names those there are", async () => {
    await koalaModels("download", "koala/tiny", "--quiet");
    vi.spyOn(process, "stdin", "get").mockReturnValue({ isTTY: false } as typeof process.stdin);
    await expect(koalaModels("remove", "koala/tiny")).rejects.toThrow(InvalidRequest);
    expect(await listedModels()).toHaveLength(1);
    await expect(koalaModels("remove", "koala/other", "--yes")).rejects.toThrow('There are "koala/tiny".');
    await expect(koalaModels("remove", "koala/tiny@v9", "--yes")).rejects.toThrow(
      'Of that model there are "main", "bbbbbbbbbbbb".',
    );
  });
});
