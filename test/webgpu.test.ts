/**
 * @file Commands on WebGPU, as users start them. `.ci/run` runs this on lavapipe, with KOALA_SOFTWARE_ADAPTER set to say
 * that a driver which computes on the CPU is there (`.ci/lavapipe.sh`); `npm test` leaves it out.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { decodeImage } from "../src/image/codec.js";
import { readTexts } from "../src/image/metadata/metadata.js";
import { startRedis } from "./redis-server.js";
import { goldenModel } from "./serving.js";
import { startWorker } from "./worker-process.js";

const root = new URL("..", import.meta.url).pathname;
const main = path.join(root, "dist/cli/main.js");
const onWebGpu = ["--device", "webgpu", "--allow-software-adapter"];
const request = ["--model", goldenModel, "--steps", "2", "--seed", "7", "--width", "64", "--height", "64"];

const folder = mkdtempSync(path.join(tmpdir(), "koala-webgpu-"));
afterAll(() => rmSync(folder, { recursive: true }));
const inFolder = (name: string) => path.join(folder, name);

const koala = (...args: string[]) =>
  promisify(execFile)(process.execPath, [main, ...args], { cwd: folder, maxBuffer: 1e8 });

const pixels = async (image: string | Uint8Array) => (await decodeImage(image)).image.data;
const record = async (image: Uint8Array) => JSON.parse((await readTexts(image)).record!);

/** The largest difference of two images in levels. */
async function apart(a: string | Uint8Array, b: string | Uint8Array): Promise<number> {
  const [one, other] = [await pixels(a), await pixels(b)];
  return one.reduce((most, level, i) => Math.max(most, Math.abs(level - other[i]!)), 0);
}

/** A server, and what it prints for its log. */
async function serve(...args: string[]) {
  const child: ChildProcess = spawn(process.execPath, [main, "serve", "--port", "0", ...args]);
  const log: string[] = [];
  child.stderr!.on("data", (data: Buffer) => log.push(data.toString()));
  const [url] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  const close = async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  const generate = async () => {
    const response = await fetch(`${url}v1/images/generations`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "a red bicycle", steps: 2, seed: 7, size: "64x64" }),
    });
    const { data } = (await response.json()) as { data: { b64_json: string }[] };
    return Buffer.from(data[0]!.b64_json, "base64");
  };
  const models = async () => ((await (await fetch(`${url}v1/models`)).json()) as { data: object[] }).data;
  return { log, generate, models, close };
}

// Every process compiles its shaders.
describe("on WebGPU", { timeout: 300_000 }, () => {
  it("koala devices names the adapter, and the operators that passed", async () => {
    const { devices } = JSON.parse((await koala("devices", "--json")).stdout);
    const webgpu = devices.find(({ device }: { device: string }) => device === "webgpu");
    expect(webgpu).toMatchObject({ state: "software", adapter: "lavapipe, a software adapter", half: true });
    const failed = webgpu.checks.filter(({ passed }: { passed: boolean }) => !passed);
    // ONNX Runtime 1.30; where it is mended, this says so.
    expect(failed.map(({ name }: { name: string }) => name)).toEqual(["MultiHeadAttention"]);
  });

  it("koala generate makes the CPU's image, says where, and does so again from the image", async () => {
    await koala("generate", "a red bicycle", ...request, "--output", "cpu.png");
    const refused = koala("generate", "a red bicycle", ...request, "--device", "webgpu");
    await expect(refused).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining(
        '--device: must be one that this machine has, got "webgpu": its driver is',
      ),
    });
    const { stderr } = await koala(
      "generate",
      "a red bicycle",
      ...request,
      ...onWebGpu,
      "--output",
      "gpu.png",
    );
    expect(stderr).toContain("on webgpu in float32: asked for; computed by lavapipe, a software adapter");
    expect(stderr).toContain("unet: compiling shaders for webgpu");
    expect(await apart(inFolder("gpu.png"), inFolder("cpu.png"))).toBeLessThanOrEqual(1);
    const again = ["--model", goldenModel, "--allow-software-adapter", "--output", "again.png"];
    expect((await koala("generate", "--from", "gpu.png", ...again)).stderr).toContain("on webgpu in float32");
    expect(await apart(inFolder("again.png"), inFolder("gpu.png"))).toBe(0);
  });

  it("koala grid generates its cells there", async () => {
    const axes = ["-x", "steps=1,2", "--output", "grid", "--json"];
    const grid = ["grid", "a red bicycle", "-m", goldenModel, "--seed", "7", "-W", "64", "-H", "64"];
    const { stdout, stderr } = await koala(...grid, ...axes, ...onWebGpu);
    expect(stderr).toContain("computed by lavapipe");
    const cells = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(await apart(path.join(folder, cells[1].path), inFolder("cpu.png"))).toBeLessThanOrEqual(1);
  });

  it("koala serve says where its model is: in its log, to clients, and in the image", async () => {
    const server = await serve("--model", goldenModel, ...onWebGpu);
    expect(await server.models()).toMatchObject([{ device: "webgpu", dtype: "float32" }]);
    const image = await server.generate();
    expect(await record(image)).toMatchObject({ device: "webgpu", dtype: "float32" });
    expect(await apart(image, inFolder("cpu.png"))).toBeLessThanOrEqual(1);
    await server.close();
    expect(server.log.join("")).toContain("on webgpu in float32: asked for; computed by lavapipe");
    expect(server.log.join("")).toContain("unet: compiling shaders for webgpu");
  });

  it("koala worker generates a job of Redis there", async () => {
    const redis = await startRedis();
    const worker = startWorker(redis.url, goldenModel, ...onWebGpu);
    await worker.ready;
    const server = await serve("--redis", redis.url);
    expect(await server.models()).toMatchObject([{ device: "webgpu", dtype: "float32" }]);
    const image = await server.generate();
    expect(await record(image)).toMatchObject({ device: "webgpu", dtype: "float32" });
    expect(await apart(image, inFolder("cpu.png"))).toBeLessThanOrEqual(1);
    await server.close();
    await worker.kill("SIGTERM");
    await redis.stop();
    expect(worker.said).toContain("unet: compiling shaders for webgpu");
  });

  it("the model card's quick start runs with half precision asked for", async () => {
    const example = ["examples/05-model-card.ts", goldenModel, "webgpu"];
    const { stdout } = await promisify(execFile)("node_modules/.bin/tsx", example, { cwd: root });
    expect(stdout).toContain("generated on webgpu in float16");
  });
});
