/**
 * @file What HTTP adds to an image: `koala serve` in a process of its own, requested over a socket, in turns with the bare
 * pipeline in this one (both encode a PNG); how quickly /healthz answers while it generates and while it does not; and
 * batches against singles, which decides src/serve/batch.ts.
 *
 *     npx tsx bench/serve.ts [FOLDER] [--pixels 256] [--steps 8] [--pairs 24] [--seconds 10] [--only http|health|batch]
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    pixels: { type: "string", default: "256" },
    steps: { type: "string", default: "8" },
    pairs: { type: "string", default: "24" },
    seconds: { type: "string", default: "10" },
    only: { type: "string" },
  },
});
const tiny = new URL("../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
const folder = positionals[0] ?? tiny;
const [pixels, steps, pairs] = [Number(values.pixels), Number(values.steps), Number(values.pairs)];
const prompt = "a red bicycle beside a yellow wall";
const selected = (part: string) => values.only === undefined || values.only === part;

const sorted = (xs: readonly number[]) => [...xs].sort((a, b) => a - b);
const quantile = (xs: readonly number[], q: number) =>
  sorted(xs)[Math.min(xs.length - 1, Math.floor(q * xs.length))]!;
const spread = (xs: readonly number[]) =>
  `median ${quantile(xs, 0.5).toFixed(1)} ms, quarters ${quantile(xs, 0.25).toFixed(1)} to ${quantile(xs, 0.75).toFixed(1)}`;
const timed = async (work: () => Promise<unknown>) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

async function served(): Promise<{ url: string; stop: () => Promise<void> }> {
  const main = new URL("../dist/cli/main.js", import.meta.url).pathname;
  const child: ChildProcess = spawn(
    process.execPath,
    [main, "serve", "-q", "--model", folder, "--port", "0"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [line] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
  const stop = async () => {
    child.kill("SIGINT");
    await once(child, "exit");
  };
  return { url: line.replace(/\/$/, ""), stop };
}

const post = (url: string, body: object) =>
  fetch(url, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });

/** As an OpenAI client asks: one request, the image in its answer. */
async function byOpenai(url: string, seed: number): Promise<void> {
  const size = `${pixels}x${pixels}`;
  const answer = await post(`${url}/v1/images/generations`, {
    prompt,
    size,
    steps,
    guidance_scale: 3.5,
    seed,
  });
  const { data } = (await answer.json()) as { data: { b64_json: string }[] };
  Buffer.from(data[0]!.b64_json, "base64");
}

/** As the page asks: a job, its events with previews, then the file. */
async function byJob(url: string, seed: number): Promise<void> {
  const request = { prompt, width: pixels, height: pixels, steps, guidanceScale: 3.5, seed, previews: true };
  const { id } = (await (await post(`${url}/api/jobs`, request)).json()) as { id: string };
  await (await fetch(`${url}/api/jobs/${id}/events`)).text();
  await (await fetch(`${url}/api/jobs/${id}/images/0`)).arrayBuffer();
}

async function measureHttp(url: string, pipe: DiffusionPipeline): Promise<void> {
  const bare = async (seed: number) => {
    const request = {
      prompt,
      width: pixels,
      height: pixels,
      numInferenceSteps: steps,
      guidanceScale: 3.5,
      seed,
    };
    await (await pipe.generate(request)).images[0]!.encode("png");
  };
  for (let i = 0; i < 3; i++)
    for (const run of [bare, byOpenai.bind(0, url), byJob.bind(0, url)]) await run(i);
  const [bares, openai, jobs, noise]: number[][] = [[], [], [], []];
  for (let i = 0; i < pairs; i++) {
    // The order alternates, so that what is slow for a while is slow for all.
    const kinds = [
      ["bare", () => bare(i)],
      ["openai", () => byOpenai(url, i)],
      ["job", () => byJob(url, i)],
      ["again", () => bare(i)],
    ] as const;
    const took = new Map<string, number>();
    for (const [name, work] of i % 2 ? kinds : [...kinds].reverse()) took.set(name, await timed(work));
    const base = (took.get("bare")! + took.get("again")!) / 2;
    bares!.push(base);
    openai!.push(took.get("openai")! - base);
    jobs!.push(took.get("job")! - base);
    noise!.push(Math.abs(took.get("bare")! - took.get("again")!));
  }
  console.log(`bare pipeline, ${pixels} px, ${steps} steps, PNG: ${spread(bares!)} (${pairs} pairs)`);
  console.log(`  noise, bare against bare: ${spread(noise!)}`);
  console.log(`  POST /v1/images/generations adds: ${spread(openai!)}`);
  console.log(`  POST /api/jobs, its events with previews, and the file add: ${spread(jobs!)}`);
}

async function measureHealth(url: string): Promise<void> {
  const probe = async (until: () => boolean) => {
    const took: number[] = [];
    const loop = async () => {
      while (!until()) {
        took.push(await timed(async () => (await fetch(`${url}/healthz`)).text()));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await Promise.all([loop(), loop(), loop(), loop()]);
    return took;
  };
  const after = (ms: number) => {
    const end = performance.now() + ms;
    return () => performance.now() > end;
  };
  const show = (name: string, xs: number[]) =>
    console.log(
      `/healthz ${name}: p50 ${quantile(xs, 0.5).toFixed(1)}, p99 ${quantile(xs, 0.99).toFixed(1)}, most ${sorted(xs).at(-1)!.toFixed(1)} ms of ${xs.length}`,
    );
  show("idle", await probe(after(3000)));
  const end = after(Number(values.seconds) * 1000);
  const generate = async () => {
    for (let seed = 0; !end(); seed++) await byJob(url, seed);
  };
  const [took] = await Promise.all([probe(end), generate(), generate()]);
  show("while generating", took);
}

async function measureBatches(pipe: DiffusionPipeline): Promise<void> {
  for (const side of [64, 128, 256, 512]) {
    const generate = (numImagesPerPrompt: number) =>
      pipe.generate({
        prompt,
        width: side,
        height: side,
        numInferenceSteps: 4,
        guidanceScale: 3.5,
        seed: 7,
        numImagesPerPrompt,
      });
    await generate(1);
    await generate(4);
    const [singles, batches]: number[][] = [[], []];
    for (let i = 0; i < 7; i++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += await timed(() => generate(1));
      singles!.push(sum);
      batches!.push(await timed(() => generate(4)));
    }
    const [one, four] = [quantile(singles!, 0.5), quantile(batches!, 0.5)];
    console.log(
      `${side} px: 4 singles ${one.toFixed(0)} ms, a batch of 4 ${four.toFixed(0)} ms, ${(four / one).toFixed(2)}`,
    );
  }
}

const pipe = await DiffusionPipeline.fromPretrained(folder);
if (selected("batch")) await measureBatches(pipe);
if (selected("http") || selected("health")) {
  const { url, stop } = await served();
  if (selected("http")) await measureHttp(url, pipe);
  await pipe.close();
  if (selected("health")) await measureHealth(url);
  await stop();
} else await pipe.close();
