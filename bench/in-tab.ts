/**
 * @file A model folder in a tab of headless Chromium, by WebAssembly: downloaded from a local server that speaks the
 * Hub's HTTP, kept in the browser's storage, and one image. Seconds, bytes and the most memory.
 *
 *     tsx bench/in-tab.ts FOLDER [--size 256] [--steps 1] [--threads 2] [--weights int8]
 *
 * After a build; FOLDER as by `bench/make-model.ts`.
 */

import { createHash } from "node:crypto";
import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { pipeline as sent } from "node:stream/promises";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: "string", default: "256" },
    steps: { type: "string", default: "1" },
    threads: { type: "string", default: "2" },
    weights: { type: "string", default: "stored" },
  },
});
const folder = path.resolve(positionals[0]!);
const [size, steps, threads] = [values.size, values.steps, values.threads].map(Number);
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() || entry.isSymbolicLink())
  .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
const ort = path.resolve("node_modules/onnxruntime-web/dist");

/** Runs in a Worker: counts what is read of stored files, and finds ONNX Runtime's memory. */
const app = `
  import { DiffusionPipeline } from "./dist/index.js";
  const memories = [];
  const { Memory } = WebAssembly;
  WebAssembly.Memory = function (limits) { const one = new Memory(limits); memories.push(one); return one; };
  let read = 0;
  const { readAsArrayBuffer } = FileReaderSync.prototype;
  FileReaderSync.prototype.readAsArrayBuffer = function (blob) { read += blob.size; return readAsArrayBuffer.call(this, blob); };
  globalThis.run = async (endpoint, request, loading) => {
    const times = [performance.now()];
    const pipeline = await DiffusionPipeline.fromPretrained("bench/model", {
      ...{ endpoint, ...loading, onnxRuntimeFolder: "/ort/", device: "cpu" },
    });
    times.push(performance.now());
    const { images, warnings } = await pipeline.generate(request);
    times.push(performance.now());
    const memory = Math.max(0, ...memories.map(({ buffer }) => buffer.byteLength));
    const { deviceMemory } = navigator;
    return { times, read, memory, warnings, deviceMemory, isolated: crossOriginIsolated, width: images[0].width };
  };
  globalThis.ready = true;`;
const [code] = (
  await build({
    stdin: { contents: app, resolveDir: "." },
    ...{ bundle: true, format: "esm", platform: "browser", write: false, supported: { using: false } },
  })
).outputFiles;

async function hashOf(file: string): Promise<string> {
  const hash = createHash(/\.safetensors$/.test(file) ? "sha256" : "sha1");
  if (hash && !/\.safetensors$/.test(file)) hash.update(`blob ${statSync(path.join(folder, file)).size}\0`);
  await sent(createReadStream(path.join(folder, file)), hash);
  return hash.digest("hex");
}

/** The Hub's tree, of the folder's files. */
const tree: object[] = [];
for (const file of files)
  tree.push({
    type: "file",
    path: file,
    size: statSync(path.join(folder, file)).size,
    oid: await hashOf(file),
  });
let downloaded = 0;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url!, "http://tab");
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  const [, resolved] = /\/resolve\/[^/]+\/(.+)$/.exec(pathname) ?? [];
  if (pathname === "/") respond(response, "text/html", "");
  else if (pathname === "/main.js") respond(response, "text/javascript", code!.text);
  else if (pathname.startsWith("/ort/"))
    respond(
      response,
      pathname.endsWith(".wasm") ? "application/wasm" : "text/javascript",
      readFileSync(path.join(ort, path.basename(pathname))),
    );
  else if (pathname.includes("/revision/"))
    respond(response, "application/json", `{"sha":"${"0".repeat(40)}"}`);
  else if (pathname.includes("/tree/")) respond(response, "application/json", JSON.stringify(tree));
  else if (resolved) sendRange(request, response, path.join(folder, decodeURIComponent(resolved)));
  else response.writeHead(404).end();
}).listen(0, "127.0.0.1");

function respond(response: ServerResponse, type: string, body: string | Buffer): void {
  response.writeHead(200, { "content-type": type }).end(body);
}

function sendRange(request: IncomingMessage, response: ServerResponse, file: string): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const [start, end] = from === undefined ? [0, statSync(file).size - 1] : [Number(from), Number(to)];
  downloaded += end - start + 1;
  response.writeHead(from === undefined ? 200 : 206, { "content-length": end - start + 1 });
  createReadStream(file, { start, end }).pipe(response);
}

/** The most memory that any renderer below this process had. */
function rendererPeak(): number {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const parents = new Map<string, string>();
  for (const pid of processes)
    try {
      parents.set(pid, /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!);
    } catch {}
  const isBelow = (pid: string | undefined): boolean =>
    pid !== undefined && (pid === String(process.pid) || isBelow(parents.get(pid)));
  const peaks = [...parents.keys()].filter(isBelow).map((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer")) return 0;
      return 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
    } catch {
      return 0;
    }
  });
  return Math.max(0, ...peaks);
}

const profile = await mkdtemp(path.join(tmpdir(), "koala-tab-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu"],
});
try {
  const page = await context.newPage();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await page.goto(url);
  const started = page.waitForEvent("worker");
  await page.evaluate("void new Worker('/main.js', { type: 'module' })");
  const worker = await started;
  while (!(await worker.evaluate("globalThis.ready"))) await page.waitForTimeout(100);
  const request = {
    prompt: "a koala in a tree",
    seed: 7,
    width: size,
    height: size,
    numInferenceSteps: steps,
  };
  const loading = { threads, weights: values.weights };
  const result = await worker.evaluate<{
    times: number[];
    read: number;
    memory: number;
    warnings: string[];
    deviceMemory: number;
    isolated: boolean;
  }>(`run(${JSON.stringify(url)}, ${JSON.stringify(request)}, ${JSON.stringify(loading)})`);
  const [begun, opened, ended] = result.times as [number, number, number];
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
  console.log(`download and hashes ${((opened - begun) / 1000).toFixed(1)} s, ${gigabytes(downloaded)}`);
  console.log(`image of ${size} px, ${steps} steps: ${((ended - opened) / 1000).toFixed(1)} s`);
  console.log(`read of the storage ${gigabytes(result.read)}`);
  console.log(`memory: WebAssembly ${gigabytes(result.memory)}, the renderer ${gigabytes(rendererPeak())}`);
  console.log(
    JSON.stringify({
      deviceMemory: result.deviceMemory,
      isolated: result.isolated,
      warnings: result.warnings,
    }),
  );
} finally {
  await context.close();
  server.close();
  await rm(profile, { recursive: true });
}
