/** @file Downloads that are interrupted, damaged, run twice at once, or do not fit the disk. */

import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Cancelled, FileError } from "../../src/errors.js";
import type { PendingDownload } from "../../src/hub/fetch.js";
import { sha256 } from "../hub-server.js";
import { limitedKoala } from "../limited.js";
import {
  commitA,
  environment,
  half,
  hashOf,
  home,
  hub,
  plain,
  repoOf,
  resolve,
  unet,
  unetBytes,
  unetHash,
} from "./hub-setup.js";

describe("a download", () => {
  it("is told with its bytes before the first of them, and left if that is declined", async () => {
    const asked: PendingDownload[] = [];
    const confirmDownload = (download: PendingDownload) => asked.push(download) > 1;
    await expect(resolve("koala/plain", { confirmDownload })).rejects.toThrow(Cancelled);
    expect(hub.downloads().filter((file) => file.endsWith(".safetensors"))).toEqual([]);
    await resolve("koala/plain", { confirmDownload });
    await resolve("koala/plain", { confirmDownload });
    expect(asked).toEqual(Array(2).fill({ model: "koala/plain", bytes: asked[0]!.bytes }));
    expect(asked[0]!.bytes).toBeGreaterThan(unetBytes.length);
  });

  it("resumes after a cut connection at the byte on disk", async () => {
    const partial = `${repoOf("koala/plain").blob(unetHash)}.koala.incomplete`;
    const sizes: number[] = [];
    const before = () => void sizes.push(statSync(partial).size);
    hub.faults.push(
      { path: unet, cut: 1_000_000 },
      { path: unet, cut: 1_000_000, before },
      { path: unet, silent: 0, before },
    );
    const folder = await resolve("koala/plain", { retry: { pause: 200, stall: 300 } });
    expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
    const ranges = hub.requests.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
    const last = unetBytes.length - 1;
    expect(sizes[0]).toBeGreaterThan(0);
    expect(sizes[1]).toBeGreaterThan(sizes[0]!);
    expect(ranges).toEqual([
      undefined,
      `bytes=${sizes[0]}-${last}`,
      `bytes=${sizes[1]}-${last}`,
      `bytes=${sizes[1]}-${last}`,
    ]);
  });

  it("keeps the partial file after an abort, under Python's name, and resumes it in the next run", async () => {
    const stop = new AbortController();
    const onProgress = ({ file, done }: { file: string; done: number }) => {
      if (file === unet && done > 800_000) stop.abort();
    };
    hub.faults.push({ path: unet, silent: 1_000_000 });
    const download = resolve("koala/plain", { signal: stop.signal, onProgress });
    await expect(download).rejects.toThrow(Cancelled);
    const partial = `${repoOf("koala/plain").blob(unetHash)}.incomplete`;
    const { size } = await stat(partial);
    expect(size).toBeGreaterThan(0);
    expect(await hashOf(partial)).toBe(sha256(unetBytes.subarray(0, size)));
    hub.requests.length = 0;
    const folder = await resolve("koala/plain");
    const ranges = hub.requests.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
    expect(ranges).toEqual([`bytes=${size}-${unetBytes.length - 1}`]);
    expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
    await expect(stat(partial)).rejects.toThrow("ENOENT");
  });

  it("fails after several cut connections without progress, and keeps the partial file", async () => {
    hub.faults.push(
      { path: unet, cut: 700_000 },
      ...Array.from({ length: 5 }, () => ({ path: unet, cut: 0 })),
    );
    const rule =
      /must arrive whole, got \w+ 5 times at byte \d+ of 3713728\. Try again: the partial file is kept/;
    await expect(resolve("koala/plain")).rejects.toThrow(rule);
    const { size } = await stat(`${repoOf("koala/plain").blob(unetHash)}.incomplete`);
    expect(size).toBeGreaterThan(0);
  });

  it("downloads a damaged partial file again, with a note", async () => {
    const repo = repoOf("koala/plain");
    await mkdir(repo.blobs, { recursive: true });
    await writeFile(`${repo.blob(unetHash)}.incomplete`, Buffer.alloc(1000));
    const notes: string[] = [];
    const folder = await resolve("koala/plain", { onNote: (note) => notes.push(note) });
    expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
    expect(notes).toEqual([`${unet}: the partial file was damaged; downloading it again`]);
  });

  it("starts over where the server ignores ranges", async () => {
    hub.faults.push(
      { path: unet, cut: 500_000 },
      { path: unet, wholeFile: true },
      { path: unet, wholeFile: true },
    );
    const folder = await resolve("koala/plain");
    expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
  });

  it("refuses and deletes bytes of another hash", async () => {
    const altered = Buffer.from(unetBytes);
    altered[2_000_000]! ^= 1;
    hub.faults.push({ path: unet, bytes: altered });
    const rule = `koala/plain/${unet}: must have the hash ${unetHash}, got ${sha256(altered)}`;
    await expect(resolve("koala/plain")).rejects.toThrow(rule);
    const names = await readdir(repoOf("koala/plain").blobs);
    expect(names.filter((name) => name.startsWith(unetHash))).toEqual([]);
  });

  it("is refused before it starts where the disk is too small", async () => {
    const huge = new Map(half);
    const bytes = Buffer.from(half.get("vae/diffusion_pytorch_model.fp16.safetensors")!);
    Object.defineProperty(bytes, "length", { value: 1e17 });
    huge.set("vae/diffusion_pytorch_model.fp16.safetensors", bytes);
    hub.repos = { "koala/huge": { commits: { [commitA]: huge }, refs: { main: commitA } } };
    await expect(resolve("koala/huge")).rejects.toThrow(
      /^koala\/huge: needs 100000000\.\d\d GB of free disk/,
    );
    expect(hub.downloads().filter((name) => name.endsWith(".safetensors"))).toEqual([]);
  });

  it("downloads each file once where two processes run at once", async () => {
    // Half a second of silence, so that the second finds the first at work.
    hub.faults.push({ path: unet, silent: 1000 });
    const script = `
    import { resolveModel } from ${JSON.stringify(new URL("../../src/hub/resolve.ts", import.meta.url).href)};
    process.stdout.write(await resolveModel("koala/plain", { retry: { pause: 1, stall: 500 } }));`;
    const run = () =>
      promisify(execFile)(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        env: { ...process.env, ...environment() },
      });
    const [first, second] = await Promise.all([run(), run()]);
    expect(second.stdout).toBe(first.stdout);
    expect(await hashOf(path.join(first.stdout, unet))).toBe(unetHash);
    const ranges = hub.requests.filter((a) => a.cdn && a.path.includes(unet)).map((a) => a.range);
    expect(ranges).toEqual([undefined, `bytes=1000-${unetBytes.length - 1}`]);
    const contents = hub
      .downloads()
      .filter((name) => name !== unet)
      .map((name) => sha256(plain.get(name)!));
    expect(new Set(contents).size).toBe(contents.length);
  });

  it("is refused before it starts where the cache cannot be written", async () => {
    await writeFile(path.join(home, "hub"), "a file in its place");
    const failed = resolve("koala/plain");
    await expect(failed).rejects.toThrow(FileError);
    await expect(failed).rejects.toThrow(
      /hub\/models--koala--plain\S*: must be writable, got E(EXIST|NOTDIR) /,
    );
    expect(hub.downloads()).toEqual([]);
  });

  it("names a disk without room, and keeps the partial files", async () => {
    const command = ["models", "download", "koala/plain", "--quiet"];
    const limits = { env: { ...environment(), HF_HUB_CACHE: "", HF_TOKEN: "" }, shell: "ulimit -f 200" };
    const { code, stderr } = await limitedKoala(command, limits);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: koala\/plain\/\S+: must be written to \S+models--koala--plain, got EFBIG\. Raise .*\n$/,
    );
    const folder = await resolve("koala/plain");
    expect(await hashOf(path.join(folder, unet))).toBe(unetHash);
    const resumed = hub.requests.filter(({ range }) => range !== undefined && range !== "bytes=0-");
    expect(resumed.length).toBeGreaterThan(0);
  });
});
