/** @file Models of the Hub in a browser: downloaded into its storage, resumed, checked, used without a network, deleted. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "esbuild";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DiffusionPipeline } from "../src/index.js";
import { openBrowser } from "./browser.js";
import { filesIn, type HubServer, startHub } from "./hub-server.js";
import { psnr } from "./psnr.js";

const folder = await mkdtemp(path.join(tmpdir(), "koala-store-"));
const commit = "0123456789abcdef0123456789abcdef01234567";
const files = filesIn("models/nano");
const [id, token] = ["owner/nano", "secret"];
const ort = path.resolve("node_modules/onnxruntime-web/dist");
const request = { prompt: "a red apple, flat icon", seed: 7, numInferenceSteps: 2 };

let hub: HubServer;
let [server, browser, context, page]: [Server?, Browser?, BrowserContext?, Page?] = [];

beforeAll(async () => {
  await build({
    entryPoints: [path.resolve("test/browser-app/main.js")],
    ...{ bundle: true, format: "esm", platform: "browser", logLevel: "error", supported: { using: false } },
    outfile: path.join(folder, "main.js"),
    alias: { "koala-diffusion": path.resolve("dist/index.js") },
  });
  hub = await startHub({
    [id]: { commits: { [commit]: files }, refs: { main: commit }, token, gated: true },
  });
  server = createServer((request, response) => {
    const name = request.url!.slice(1);
    if (name === "") response.setHeader("content-type", "text/html");
    if (/js$/.test(name)) response.setHeader("content-type", "text/javascript");
    if (/wasm$/.test(name)) response.setHeader("content-type", "application/wasm");
    const file = name.startsWith("ort/") ? path.join(ort, name.slice(4)) : path.join(folder, name);
    if (name === "") response.end('<script type="module" src="/main.js"></script>');
    else
      void readFile(file)
        .then((bytes) => response.end(bytes))
        .catch(() => response.writeHead(404).end());
  }).listen(0, "127.0.0.1");
  browser = await openBrowser();
  context = await browser.newContext();
  page = await context.newPage();
  await load();
});

afterAll(async () => {
  await browser?.close();
  await hub?.close();
  server?.close();
  await rm(folder, { recursive: true });
});

const origin = () => `http://127.0.0.1:${(server!.address() as AddressInfo).port}`;

async function load(): Promise<void> {
  await page!.goto(`${origin()}/`);
  await page!.getByText("ready").waitFor();
}

/** Calls a function of the application. */
const call = <T>(name: string, ...of: unknown[]): Promise<T> =>
  page!.evaluate(
    ([name, of]) =>
      (globalThis as unknown as Record<string, (...of: unknown[]) => Promise<unknown>>)[name]!(...of),
    [name, of] as const,
  ) as Promise<T>;

type Opened = { asked: { model: string; bytes: number }[]; progress: [done: number, total: number][] };

const options = () => ({ endpoint: hub.url, token });
const open = (more = {}) => call<Opened>("open", id, { ...options(), ...more });
const weights = () => hub.downloads().filter((name) => name.endsWith(".safetensors"));
const unet = "unet/diffusion_pytorch_model.safetensors";
/** Of two pieces; the second begins here. */
const second = 2 ** 23;

describe("a model of the Hub in a browser", { timeout: 240_000 }, () => {
  it("is refused without the token that it needs", async () => {
    await expect(call("open", id, { endpoint: hub.url })).rejects.toThrow(/gated model needs a token/);
  });

  it("is refused before its download where the storage is too small", async () => {
    // Chromium's devtools can lower the quota, but not what estimate() says of it.
    await page!.evaluate("navigator.storage.estimate = async () => ({ quota: 4e6, usage: 1e6 })");
    await expect(open()).rejects.toThrow(/needs 13\.0 MB of this browser's storage, got 3\.0 MB/);
    expect(weights()).toEqual([]);
    await load();
  });

  it("is not downloaded if that is declined", async () => {
    await expect(open({ agrees: false })).rejects.toThrow(/the download was cancelled/);
    expect(weights()).toEqual([]);
  });

  it("is refused with a wrong hash", async () => {
    const broken = Buffer.from(files.get(unet)!);
    broken[broken.length - 1]! ^= 1;
    hub.faults.push({ path: unet, from: second, bytes: broken });
    await expect(open()).rejects.toThrow(/must have the hash [0-9a-f]{64}, got [0-9a-f]{64}/);
    await call("removeDownloadedModel", id);
  });

  it("is downloaded though it is cut ten times, goes on after a lost network and a reload, and gives Node's image", async () => {
    const cuts = [1, 70_001, 12, 300_007, 900_001, 5, 131_072, 40_009, 2, 1_000_003];
    for (const cut of cuts) hub.faults.push({ path: ".safetensors", cut });
    hub.faults.push({ path: unet, from: second, silent: 1000 });
    const lost = open();
    lost.catch(() => {});
    await expect.poll(storedBytes, { timeout: 60_000 }).toBeGreaterThan(second);
    await context!.setOffline(true);
    await expect(lost).rejects.toThrow(/oad it again: the download goes on where it stopped/);
    await context!.setOffline(false);
    await load();
    hub.requests.length = 0;
    const { asked, progress } = await open();
    expect(hub.requests.filter((one) => one.path.includes(unet)).map(({ range }) => range)).toEqual(
      Array(2).fill(`bytes=${second}-${files.get(unet)!.length - 1}`), // by a redirect
    );
    const [first, last] = [progress[0]!, progress.at(-1)!];
    expect(first[0]).toBeGreaterThanOrEqual(second);
    expect(asked).toEqual([{ model: id, bytes: first[1] - first[0] }]);
    expect(last[0]).toBe(last[1]);

    const { data } = await call<{ data: number[] }>("generate", id, request, options());
    await using pipeline = await DiffusionPipeline.fromPretrained("models/nano");
    const { images } = await pipeline.generate(request);
    expect(psnr(images[0]!.data, data)).toBeGreaterThan(60);
    await context!.setOffline(true);
    const again = await call<{ data: number[] }>("generate", id, request, options());
    expect(again.data).toEqual(data);
    await context!.setOffline(false);
  });

  it("is never in a Worker's memory as a whole file", async () => {
    const started = page!.waitForEvent("worker");
    await page!.evaluate("void new Worker('/main.js', { type: 'module' })");
    const worker = await started;
    await expect.poll(() => worker.evaluate("typeof generate"), { timeout: 60_000 }).toBe("function");
    await worker.evaluate(countReads);
    await worker.evaluate(([id, request, options]) => generate(id, request, options), [
      id,
      request,
      options(),
    ] as const);
    const reads = await worker.evaluate<number[]>("reads");
    const all = reads.reduce((sum, bytes) => sum + bytes, 0);
    expect(all).toBeGreaterThan(files.get(unet)!.length);
    expect(Math.max(...reads)).toBeLessThan(files.get(unet)!.length * 0.8);
  });

  it("is listed and deleted", async () => {
    expect(await storedBytes()).toBeGreaterThan(10e6);
    await call("removeDownloadedModel", id);
    expect(await call("downloadedModels")).toEqual([]);
    await expect(call("removeDownloadedModel", id)).rejects.toThrow(/must be in this browser's storage/);
  });
});

declare const generate: (...of: unknown[]) => Promise<unknown>;

/** Makes a Worker count the bytes of each read of a file. */
const countReads = `
  globalThis.reads = [];
  const { arrayBuffer } = Blob.prototype;
  const { readAsArrayBuffer } = FileReaderSync.prototype;
  Blob.prototype.arrayBuffer = function () {
    reads.push(this.size);
    return arrayBuffer.call(this);
  };
  FileReaderSync.prototype.readAsArrayBuffer = function (blob) {
    reads.push(blob.size);
    return readAsArrayBuffer.call(this, blob);
  };`;

async function storedBytes(): Promise<number> {
  const models = await call<{ id: string; bytes: number }[]>("downloadedModels");
  return models.find((model) => model.id === id)?.bytes ?? 0;
}
