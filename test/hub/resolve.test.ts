/** @file A model's name on the Hub is resolved to a snapshot with the files that a pipeline needs. */

import { readdir, readFile, readlink, rm } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { filesUnder } from "../../src/hub/cache.js";
import { resolveWeights } from "../../src/weights/component.js";
import { openFolder } from "../../src/weights/folder.js";
import { gitHash, sha256 } from "../hub-server.js";
import {
  commitA,
  commitB,
  commitC,
  environment,
  golden,
  half,
  hashOf,
  home,
  hub,
  plain,
  published,
  repoOf,
  resolve,
  unet,
  unetBytes,
  unneeded,
} from "./hub-setup.js";

describe("a snapshot", () => {
  it("returns a path that exists, without a request", async () => {
    expect(await resolve(`${golden}sd2-tiny`)).toBe(`${golden}sd2-tiny`);
    expect(hub.requests).toEqual([]);
  });

  it("is not looked for where a path and a revision are given, which a folder has none of", async () => {
    const attempt = resolve(`${golden}sd2-tiny`, { revision: "v99" });
    await expect(attempt).rejects.toThrow(
      /^revision: must not be given with a folder of this machine, got "v99"/,
    );
  });

  it("has the layout of Python's cache: blobs by hash, relative links, a ref", async () => {
    const folder = await resolve("koala/half");
    const root = path.join(home, "hub", "models--koala--half");
    expect(folder).toBe(path.join(root, "snapshots", commitA));
    expect(await filesUnder(folder)).toEqual([...half.keys()].sort());
    for (const [name, bytes] of half) {
      const etag = name.endsWith(".safetensors") ? sha256(bytes) : gitHash(bytes);
      const up = "../".repeat(name.split("/").length + 1);
      expect(await readlink(path.join(folder, name))).toBe(`${up}blobs/${etag}`);
      expect(await hashOf(path.join(folder, name))).toBe(sha256(bytes));
    }
    expect(await readFile(path.join(root, "refs", "main"), "utf8")).toBe(commitA);
    expect((await readdir(path.join(root, "blobs"))).filter((name) => name.includes("incomplete"))).toEqual(
      [],
    );
    expect(await readdir(path.join(home, "hub", ".locks", "models--koala--half"))).toEqual([]);
  });

  it("opens as a pipeline's folder, with its shards by their index", async () => {
    const { components: parts } = await openFolder(await resolve("koala/half"));
    const weights = await resolveWeights(parts.get("unet")!.path);
    expect(weights.files).toHaveLength(4);
    expect(weights.variant).toBe("fp16");
  });

  it("has the half-precision weights and the configs, and each content is downloaded once", async () => {
    const folder = await resolve("koala/both");
    expect(await filesUnder(folder)).toEqual([...half.keys()].sort());
    const downloads = hub.downloads();
    const contents = downloads.map((name) => sha256(published().get(name)!));
    expect(new Set(contents).size).toBe(contents.length);
    expect(downloads.filter((name) => published().get(name) === unneeded)).toEqual([]);
  });

  it("has the plain weights by that name, and those of a named variant", async () => {
    const full = await resolve("koala/both", { variant: "plain" });
    expect(await filesUnder(full)).toEqual([...plain.keys()].sort());
    await rm(home, { recursive: true });
    expect(await filesUnder(await resolve("koala/both", { variant: "fp16" }))).toEqual(
      [...half.keys()].sort(),
    );
  });

  it("has the variant of the components that have it, and the plain files of the others", async () => {
    const files = new Map([...plain].filter(([name]) => name !== unet));
    for (const variant of ["fp16", "bf16"]) files.set(unet.replace(".safe", `.${variant}.safe`), unetBytes);
    hub.repos = { "koala/mixed": { commits: { [commitA]: files }, refs: { main: commitA } } };
    const folder = await resolve("koala/mixed", { variant: "bf16" });
    const expected = [...files.keys()].filter((name) => !name.includes("fp16")).sort();
    expect(await filesUnder(folder)).toEqual(expected);
    await expect(resolve("koala/mixed", { variant: "ema" })).rejects.toThrow(
      'unet: must hold variant "ema" or plain files, got "fp16", "bf16". Name one of them as the variant.',
    );
  });

  it("has the added tokens of a tokenizer of Transformers before 4.34", async () => {
    const files = new Map([...half, ["tokenizer/added_tokens.json", Buffer.from('{"<sks>": 814}')]]);
    hub.repos = { "koala/old": { commits: { [commitA]: files }, refs: { main: commitA } } };
    expect(await filesUnder(await resolve("koala/old"))).toContain("tokenizer/added_tokens.json");
  });

  it("is refused for an unknown variant before any file but the index is downloaded", async () => {
    await expect(resolve("koala/both", { variant: "bf16" })).rejects.toThrow(
      'weights: must hold variant "bf16" of a part, got "plain", "fp16"',
    );
    expect(hub.downloads()).toEqual(["model_index.json"]);
  });

  it("has only the configs with configsOnly; the weights are downloaded later", async () => {
    const folder = await resolve("koala/half", { configsOnly: true });
    const configs = [...half.keys()].filter((name) => !name.includes("safetensors")).sort();
    expect(await filesUnder(folder)).toEqual(configs);
    const offline = environment({ HF_HUB_OFFLINE: "1" });
    expect(await resolve("koala/half", { configsOnly: true, environment: offline })).toBe(folder);
    await expect(resolve("koala/half", { environment: offline })).rejects.toThrow(
      /must be whole in the cache/,
    );
    expect(await filesUnder(await resolve("koala/half"))).toEqual([...half.keys()].sort());
  });

  it("has koala.json where the repository has one", async () => {
    const modelDefaults = Buffer.from('{"steps": 10}');
    hub.repos = {
      "koala/own": {
        commits: { [commitA]: new Map([...half, ["koala.json", modelDefaults]]) },
        refs: { main: commitA },
      },
    };
    expect(await readFile(path.join(await resolve("koala/own"), "koala.json"))).toEqual(modelDefaults);
  });

  it("is not downloaded a second time", async () => {
    const folder = await resolve("koala/half");
    hub.requests.length = 0;
    let reports = 0;
    expect(await resolve("koala/half", { onProgress: () => reports++ })).toBe(folder);
    expect(hub.downloads()).toEqual([]);
    expect(reports).toBe(0);
  });

  it("uses weights on disk in either precision, unless a variant is given", async () => {
    await resolve("koala/both", { variant: "plain" });
    hub.requests.length = 0;
    await resolve("koala/both");
    expect(hub.downloads()).toEqual([]);
    await resolve("koala/both", { variant: "fp16" });
    expect(hub.downloads().filter((name) => name.includes("fp16"))).toHaveLength(8);
  });

  it("reports progress up to all bytes that are downloaded", async () => {
    const seen: { done: number; total: number }[] = [];
    await resolve("koala/plain", { onProgress: ({ done, total }) => seen.push({ done, total }) });
    const readFirst = ["model_index.json", "unet/config.json", "vae/config.json"];
    const contents = new Map(
      [...plain].filter(([name]) => !readFirst.includes(name)).map(([, b]) => [sha256(b), b]),
    );
    const total = [...contents.values()].reduce((sum, bytes) => sum + bytes.length, 0);
    expect(seen.at(-1)).toEqual({ done: total, total });
    expect(seen.every(({ done }, i) => i === 0 || done >= seen[i - 1]!.done)).toBe(true);
  });

  it("is of a branch, a tag or a commit, given in the name or as an option", async () => {
    const older = new Map([...half, ["koala.json", Buffer.from("{}")]]);
    const refs = { main: commitB, "v1.0": commitC, "refs/pr/1": commitC };
    hub.repos = { "koala/moved": { commits: { [commitB]: half, [commitC]: older }, refs } };
    const at = (commit: string) => repoOf("koala/moved").snapshot(commit);
    expect(await resolve("koala/moved")).toBe(at(commitB));
    hub.requests.length = 0;
    expect(await resolve("koala/moved@v1.0")).toBe(at(commitC));
    expect(hub.downloads()).toEqual(["koala.json"]);
    expect(await resolve("koala/moved", { revision: "refs/pr/1" })).toBe(at(commitC));
    expect(await resolve(`koala/moved@${commitC}`)).toBe(at(commitC));
    expect(await filesUnder(repoOf("koala/moved").refs)).toEqual(["main", "refs/pr/1", "v1.0"]);
    await expect(resolve("koala/moved@v2")).rejects.toThrow(
      'must have the revision "v2", got none of that name',
    );
    await expect(resolve("koala/moved@v1", { revision: "v2" })).rejects.toThrow("must be given once");
  });
});
