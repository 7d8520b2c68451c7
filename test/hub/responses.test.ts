/** @file The Hub's responses: retries, access to private and gated models, and repositories that are refused. */

import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ModelError } from "../../src/errors.js";
import { filesUnder } from "../../src/hub/cache.js";
import type { Files } from "../hub-server.js";
import { commitA, environment, half, home, hub, resolve, unneeded } from "./hub-setup.js";

describe("a request to the Hub", () => {
  it("waits after status 429 as Retry-After says, and retries after 503", async () => {
    hub.faults.push({ path: "/revision/main", status: 429, headers: { "retry-after": "1" } });
    hub.faults.push({ path: "vae/config.json", status: 503 });
    const notes: string[] = [];
    const started = performance.now();
    await resolve("koala/half", { onNote: (note) => notes.push(note) });
    expect(performance.now() - started).toBeGreaterThan(990);
    expect(notes).toEqual(["the Hub limits requests: waiting 1 s"]);
  });

  it("names the remedy for a private or missing model, and how to give a token", async () => {
    const refusal = await resolve("koala/hlaf").catch((error) => error);
    expect(refusal).toBeInstanceOf(ModelError);
    expect(refusal.message).toMatch(
      /^koala\/hlaf: must be a model at .*, got none, or a private one\. .*HF_TOKEN/,
    );
    const named = { environment: environment({ HF_TOKEN: "wrong" }) };
    await expect(resolve("koala/hlaf", named)).rejects.toThrow("check that your token may read it");
  });

  it("names the page where the terms of a gated model are accepted", async () => {
    hub.repos = {
      "koala/gated": { commits: { [commitA]: half }, refs: { main: commitA }, token: "hf_good", gated: true },
    };
    const bare = `koala/gated: is gated: a token must be given. Accept its terms at ${hub.url}/koala/gated`;
    await expect(resolve("koala/gated")).rejects.toThrow(bare);
    const wrong = { environment: environment({ HF_TOKEN: "hf_other" }) };
    await expect(resolve("koala/gated", wrong)).rejects.toThrow(
      "your token's account must be granted access",
    );
  });

  it("sends the token of the environment or the file to the Hub alone", async () => {
    hub.repos = {
      "koala/private": { commits: { [commitA]: half }, refs: { main: commitA }, token: "hf_good" },
    };
    await writeFile(path.join(home, "token"), "hf_good\n");
    await resolve("koala/private");
    expect(new Set(hub.requests.filter((a) => !a.cdn).map((a) => a.token))).toEqual(new Set(["hf_good"]));
    expect(new Set(hub.requests.filter((a) => a.cdn).map((a) => a.token))).toEqual(new Set([undefined]));
    await writeFile(path.join(home, "token"), "hf_old");
    await resolve("koala/private", { environment: environment({ HUGGING_FACE_HUB_TOKEN: "hf_good" }) });
  });
});

describe("a repository", () => {
  it("refuses repositories that are not a Diffusers model with a U-Net", async () => {
    const flux = Buffer.from(
      '{"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]}',
    );
    const pickled = new Map(
      [...half].map(([name, bytes]) => [
        name.replace(/^vae\/.*\.safetensors$/, "vae/diffusion_pytorch_model.bin"),
        bytes,
      ]),
    );
    const repo = (files: Files) => ({ commits: { [commitA]: files }, refs: { main: commitA } });
    hub.repos = {
      "a/checkpoint": repo(new Map([["model.safetensors", unneeded]])),
      "a/flux": repo(new Map([["model_index.json", flux]])),
      "a/pickled": repo(pickled),
    };
    await expect(resolve("a/checkpoint")).rejects.toThrow(
      'a/checkpoint: must be a Diffusers model with model_index.json, got the single file "model.safetensors"',
    );
    await expect(resolve("a/flux")).rejects.toThrow(
      "FluxPipeline must have a unet of UNet2DConditionModel, got no unet",
    );
    await expect(resolve("a/pickled")).rejects.toThrow(
      'must hold "vae/*.safetensors", got weights in .bin files',
    );
  });

  it("refuses other pipeline classes, and U-Nets that read more than latents, before weights are downloaded", async () => {
    const changed = (name: string, from: string, to: string) => {
      const text = half.get(name)!.toString();
      expect(text).toContain(from);
      return new Map([...half, [name, Buffer.from(text.replace(from, to))]]);
    };
    const xl = "StableDiffusionXLPipeline";
    const repo = (files: Files) => ({ commits: { [commitA]: files }, refs: { main: commitA } });
    hub.repos = {
      "a/control": repo(changed("model_index.json", xl, "StableDiffusionXLAdapterPipeline")),
      "a/inpaint": repo(changed("unet/config.json", '"in_channels": 4', '"in_channels": 9')),
      "a/refined": repo(changed("model_index.json", xl, "StableDiffusionXLImg2ImgPipeline")),
    };
    await expect(resolve("a/control")).rejects.toThrow('got "StableDiffusionXLAdapterPipeline". Its control');
    await expect(resolve("a/inpaint")).rejects.toThrow("unet/config.json: in_channels: must be 4");
    expect(hub.downloads().filter((name) => name.endsWith(".safetensors"))).toEqual([]);
    expect(await filesUnder(await resolve("a/refined"))).toEqual([...half.keys()].sort());
  });
});
