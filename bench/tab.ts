/**
 * @file A browser's tab beside Node on this machine, after `npm run build`: `npx tsx bench/tab.ts [ROUNDS]`. Seconds of a
 * denoising step of the bundled model by WebAssembly and by ONNX Runtime's CPU provider, in turns; then the static site's
 * first image, from the address to the shown image, in a browser that was never there.
 */

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { DiffusionPipeline } from "../src/index.js";
import { openBrowser } from "../test/browser.js";
import { openApp } from "../test/browser-app.js";
import { serveFiles } from "../test/file-server.js";

const rounds = Number(process.argv[2] ?? 8);
const nano = path.resolve("models/nano");
const request = { prompt: "a red apple, flat icon", seed: 7, numInferenceSteps: 10 };

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const load = () => `load ${loadavg()[0]!.toFixed(1)}`;

async function steps(): Promise<void> {
  const app = await openApp({ nano });
  await using pipeline = await DiffusionPipeline.fromPretrained(nano, { threads: 2 });
  const inTab = async (): Promise<number> =>
    Number(
      await app.page.evaluate(
        `timeSteps(location.origin + "/nano", ${JSON.stringify(request)}, { threads: 2, device: "cpu" })`,
      ),
    );
  const inNode = async (): Promise<number> => {
    const times: number[] = [];
    let last: number | undefined;
    const onStep = () => {
      if (last !== undefined) times.push(performance.now() - last);
      last = performance.now();
    };
    await pipeline.generate({ ...request, onStep });
    return median(times);
  };
  const pairs: [number, number][] = [];
  for (let round = 0; round <= rounds; round++) pairs.push([await inTab(), await inNode()]);
  await app.close();
  // The first loads the networks.
  const warm = pairs.slice(1);
  const [tab, node] = [0, 1].map((i) => median(warm.map((pair) => pair[i]!))) as [number, number];
  const ratio = median(warm.map(([a, b]) => a / b));
  console.log(
    `a step, two threads of ${availableParallelism()} cores, ${load()}: tab ${tab.toFixed(1)} ms, Node ${node.toFixed(1)} ms, median of ${warm.length} ratios ${ratio.toFixed(2)}`,
  );
}

async function firstImage(): Promise<void> {
  const site = await mkdtemp(path.join(tmpdir(), "koala-site-"));
  await promisify(execFile)("npx", ["tsx", "web/build-site.ts", site]);
  const host = await serveFiles({ "": site });
  for (let round = 0; round < 3; round++) {
    const browser = await openBrowser();
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    const start = performance.now();
    const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
    await page.goto(host.url);
    await page.fill("#prompt", request.prompt);
    const form = seconds();
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".image .large");
    console.log(`the static site, first visit, ${load()}: form after ${form} s, image after ${seconds()} s`);
    await browser.close();
  }
  host.close();
  await rm(site, { recursive: true });
}

await steps();
await firstImage();
