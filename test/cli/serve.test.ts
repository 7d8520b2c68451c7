/** @file `koala serve` as it is started and stopped from a terminal. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { ModelList } from "../../src/jobs/model-schemas.js";
import { goldenRun } from "../golden-run.js";
import { quick, tinyEmbedding, tinyLora, tinyModel } from "../serving.js";

const otherEmbedding = tinyEmbedding.file.replace("koala-1b-tiny-badmix", "sd2-tiny-ink-wash");
const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;

const started = (...args: string[]) => startedWith(tinyModel, ...args);

async function startedWith(model: string, ...args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [main, "serve", "--model", model, "--port", "0", ...args]);
  const [url] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  return { child, url: url.replace(/\/$/, "") };
}

describe("koala serve", () => {
  it("prints its address, generates with the key, and ends well at Ctrl-C", async () => {
    const { child, url } = await started("--api-key", "secret", "--max-count", "1");
    const post = (body: object, key: string) =>
      fetch(`${url}/v1/images/generations`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      });
    const request = { prompt: quick.prompt, steps: 1 };
    expect((await post(request, "secret")).status).toBe(200);
    expect((await post(request, "wrong")).status).toBe(401);
    expect((await post({ ...request, n: 2 }, "secret")).status).toBe(400);
    child.kill("SIGINT");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("answers under other names, and offers LoRAs, each from the command line", async () => {
    const folder = path.dirname(tinyLora.file);
    const pixel = `pixel=${tinyLora.file}:0.8`;
    const { child, url } = await started("--alias", "fast=koala-1b-tiny", "--lora", pixel, "--lora", folder);
    const { models } = (await (await fetch(`${url}/api/models`)).json()) as ModelList;
    expect(models[0]!.loras).toEqual([
      { name: "pixel", scale: 0.8 },
      { name: "koala-1b-tiny-diffusers", scale: 1 },
      { name: "koala-1b-tiny-kohya", scale: 1 },
    ]);
    expect((await fetch(`${url}/v1/models/fast`)).status).toBe(200);
    child.kill("SIGTERM");
    await once(child, "exit");
  });

  it("generates the golden image of embeddings, each under the name that it is given, or its file's", async () => {
    const { model, body, embeddings, levelsApart } = goldenRun("koala-1b-tiny/ti-both-eos-pooled");
    const [orchid, bad] = embeddings as [{ file: string }, { token: string; file: string }];
    const given = ["--embedding", orchid.file, "--embedding", `${bad.token}=${bad.file}`];
    const { child, url } = await startedWith(model, ...given);
    const answer = await fetch(`${url}/sdapi/v1/txt2img`, {
      method: "POST",
      body: JSON.stringify({ ...body, prompt: body.prompt.replace("glass", "koala-1b-tiny-glass") }),
      headers: { "content-type": "application/json" },
    });
    expect(await levelsApart(await answer.json())).toBeLessThanOrEqual(1);
    child.kill("SIGTERM");
    await once(child, "exit");
  });

  it.each([
    [["--embedding", `ink=${otherEmbedding}`], "must hold vectors of the model's widths"],
    [["--alias", "fast"], "is not NAME=MODEL"],
    [["--alias", "fast=sdxl"], '--alias: must be NAME=MODEL with a model of "koala-1b-tiny"'],
    [["--lora", "pixel=absent.safetensors"], "absent.safetensors"],
    [["--lora", `a:b=${tinyLora.file}`], "--lora: must have a name without"],
    [
      ["--lora", tinyLora.file, "--lora", tinyLora.file],
      '--lora: must have names of their own, got "koala-1b-tiny-diffusers" twice',
    ],
    [["--lora", `pixel=${tmpdir()}`], "--lora: must be a file if it has a name"],
  ])("refuses %s", async (args, why) => {
    const refused = promisify(execFile)(process.execPath, [main, "serve", "--model", tinyModel, ...args]);
    await expect(refused).rejects.toMatchObject({ stderr: expect.stringContaining(why) });
  });

  it("serves the bundled model where none is named", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "koala-serve-"));
    const child = spawn(process.execPath, [main, "serve", "--port", "0"], { cwd: folder });
    const [url] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const { models } = (await (await fetch(`${url}api/models`)).json()) as { models: { id: string }[] };
    expect(models[0]!.id).toBe("nano");
    child.kill("SIGTERM");
    await once(child, "exit");
    await rm(folder, { recursive: true });
  });

  it("takes its key from the environment too, where a list of processes does not show it", async () => {
    const args = [main, "serve", "--model", tinyModel, "--port", "0", "--host", "0.0.0.0"];
    const child = spawn(process.execPath, args, { env: { ...process.env, KOALA_API_KEY: "secret" } });
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const url = `http://127.0.0.1:${new URL(line).port}/v1/models`;
    expect((await fetch(url)).status).toBe(401);
    expect((await fetch(url, { headers: { authorization: "Bearer secret" } })).status).toBe(200);
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("says of a refused request what and why, unless it is to say nothing", async () => {
    for (const quiet of [[], ["-q"]]) {
      const { child, url } = await started(...quiet);
      let said = "";
      child.stderr!.on("data", (data: Buffer) => (said += data));
      expect((await fetch(`${url}/sdapi/v1/nothing`)).status).toBe(404);
      child.kill("SIGTERM");
      await once(child, "exit");
      const line = "refused: GET /sdapi/v1/nothing 404 path: no such route. /openapi.json lists them.";
      expect(said.includes(line)).toBe(quiet.length === 0);
    }
  });

  it("repeats no password of an address of Redis, however it is given", async () => {
    const fails = async (args: readonly string[], env: Record<string, string> = {}) => {
      const run = promisify(execFile)(process.execPath, [main, ...args], { env: { ...process.env, ...env } });
      const { code, stdout, stderr } = await run.then(
        () => expect.fail("it was taken"),
        (error) => error as { code: number; stdout: string; stderr: string },
      );
      expect(code).not.toBe(0);
      expect(stdout + stderr).toMatch(/^error: /m);
      expect(stdout + stderr, args.join(" ")).not.toContain("hunter2");
    };
    const address = "redis://user:hunter2@127.0.0.1:1";
    await fails(["serve", "--redis", "redis://user:hunter2#@127.0.0.1:1"]);
    await fails(["worker", "--redis=user:hunter2@127.0.0.1"]);
    await fails(["serve", `--redis-url=${address}`]);
    await fails(["serve", "--port", address]);
    await fails([address]);
    await fails(["serve"], { KOALA_REDIS: "redis://user:hunter2%zz@127.0.0.1:1" });
  }, 120_000);

  it("opens to others only with a key, or when that is said to be meant", async () => {
    const refused = promisify(execFile)(process.execPath, [
      main,
      "serve",
      "--model",
      tinyModel,
      "--host",
      "0.0.0.0",
    ]);
    await expect(refused).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("--no-auth") });
    const { child } = await started("--host", "0.0.0.0", "--no-auth");
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
