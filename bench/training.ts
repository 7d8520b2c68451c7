/**
 * @file Images a second of training: forward, backward and AdamW on a U-Net of 13.6 M parameters, in turns with
 * PyTorch eager float32 on as many threads.
 *
 *     tsx bench/training.ts --torch PYTHON [--pairs 15] [--steps 1] [--threads 2] [--batch 32]
 *
 * PYTHON has torch and diffusers; without --torch only our own figures are measured.
 */

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Generator } from "../src/diffusion/random.js";
import { floats, type Values } from "../src/engine/engine.js";
import { lower } from "../src/engine/lower.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { unetConfig } from "../src/models/unet-config.js";
import { count } from "../src/tensor/tensor.js";
import { layoutOf, trainingDevice, wholeProgram } from "../src/train/gradient-program.js";
import { AdamW } from "../src/train/optimizer.js";
import { randomWeight } from "../src/train/random-weights.js";
import { studentTrace } from "../src/train/step.js";
import { vectors } from "../src/train/vectors/vectors.js";

/** Seconds of the parts of a step. */
type Times = { forward: number; backward: number; update: number };
type Runner = { run(steps: number): Promise<Times>; close(): Promise<void> };

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const configFile = file("training-unet.json");
const total = ({ forward, backward, update }: Times) => forward + backward + update;
const seconds = async (action: () => Promise<unknown>) => {
  const start = performance.now();
  await action();
  return (performance.now() - start) / 1000;
};

/** The forward pass alone is a program of its own: what the whole program takes beyond it is called backward. */
async function openKoala(batch: number, threads: number): Promise<Runner & { created: number }> {
  const config = unetConfig(JSON.parse(readFileSync(configFile, "utf8")), configFile);
  const size = { batch, height: 16, width: 16, tokens: 16 };
  const trace = studentTrace(config, [], size, { weights: { task: 1, out: 0, feat: 0 } });
  const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
  const layout = layoutOf(loss);
  const generator = new Generator(0);
  const shapes = new Map([...trace.params].map(([path, t]) => [path, t.shape]));
  const [weights, mean, square, gradients] = vectors(4, layout.total) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  for (const path of shapes.keys()) layout.view(weights, path).set(randomWeight(path, shapes, generator));
  const inputs: Record<string, Values> = {};
  for (const [name, { shape }] of trace.inputs) {
    const data = name === "timestep" ? steps(batch) : generator.normal(count(shape));
    inputs[name] = floats(data, ...shape);
  }

  const engine = blockingEngine({ threads });
  const forward = await engine.load(
    lower("forward", { total: loss.outputs.total }, { device: trainingDevice() }),
  );
  let program: Awaited<ReturnType<typeof wholeProgram>> | undefined;
  const created = await seconds(async () => {
    program = await wholeProgram(engine, loss, layout);
  });
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
  const optimizer = new AdamW(options);
  const state = { weights, mean, square, average: undefined };
  let step = 0;

  const one = async (): Promise<Times> => {
    const first = await seconds(() => forward.run({ ...layout.values(weights), ...inputs }));
    const both = await seconds(() => program!.run(weights, inputs, gradients));
    const rates = { learningRate: 1e-5, accumulated: 1, maxNorm: undefined, emaDecay: undefined };
    const update = await seconds(async () => optimizer.update(state, gradients, { step: ++step, ...rates }));
    return { forward: first, backward: both - first, update };
  };
  return {
    created,
    run: (n) => repeated(n, one),
    close: async () => {
      await program!.release();
      await forward.release();
      await engine.close();
    },
  };
}

const steps = (batch: number) => Float32Array.from({ length: batch }, (_, i) => (i * 31) % 1000);

async function repeated(n: number, one: () => Promise<Times>): Promise<Times> {
  const sum: Times = { forward: 0, backward: 0, update: 0 };
  for (let i = 0; i < n; i++) {
    const times = await one();
    for (const part of ["forward", "backward", "update"] as const) sum[part] += times[part];
  }
  return sum;
}

async function openTorch(
  python: string,
  batch: number,
  threads: number,
): Promise<Runner & { version: string }> {
  const args = [file("training_torch.py"), configFile, String(batch), String(threads)];
  const child = spawn(python, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ended without an answer`);
    return JSON.parse(value);
  };
  const { version } = await answer();
  return {
    version,
    run: async (n) => {
      child.stdin.write(`run ${n}\n`);
      return answer();
    },
    close: async () => void child.stdin.end(),
  };
}

const sorted = (xs: readonly number[]) => xs.toSorted((a, b) => a - b);
const median = (xs: readonly number[]) => sorted(xs)[xs.length >> 1]!;

function report(name: string, times: readonly Times[], images: number): void {
  const part = (of: (t: Times) => number) => ((median(times.map(of)) / images) * 1000).toFixed(2).padStart(9);
  const rate = median(times.map((t) => images / total(t)));
  const parts = [part((t) => t.forward), part((t) => t.backward), part((t) => t.update)];
  console.log(`${name.padEnd(10)}${rate.toFixed(1).padStart(9)}${parts.join("")}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      torch: { type: "string" },
      pairs: { type: "string", default: "15" },
      steps: { type: "string", default: "1" },
      threads: { type: "string", default: "2" },
      batch: { type: "string", default: "32" },
    },
  });
  const [pairs, n, threads, batch] = [values.pairs, values.steps, values.threads, values.batch].map(Number);
  const koala = await openKoala(batch!, threads!);
  const other = values.torch === undefined ? undefined : await openTorch(values.torch, batch!, threads!);
  const [koalaTimes, torchTimes]: [Times[], Times[]] = [[], []];
  for (let i = -2; i < pairs!; i++) {
    const [a, b] = [await koala.run(n!), await other?.run(n!)]; // the first two warm up
    if (i >= 0) koalaTimes.push(a);
    if (i >= 0 && b) torchTimes.push(b);
  }
  const images = batch! * n!;
  console.log(
    `${cpus()[0]!.model}, ${threads} threads, batch ${batch}, ${pairs} pairs of ${n} step(s), medians`,
  );
  console.log(`session created in ${koala.created.toFixed(1)} s`);
  console.log("           images/s  forward backward   update  (ms an image)");
  report("ours", koalaTimes, images);
  if (other) {
    report(`torch ${other.version.split("+")[0]}`, torchTimes, images);
    const ratios = sorted(torchTimes.map((t, i) => total(t) / total(koalaTimes[i]!)));
    const [low, middle, high] = [ratios[0]!, median(ratios), ratios.at(-1)!].map((r) => r.toFixed(2));
    console.log(`ratio of images/s, ours to PyTorch's: median ${middle}, ${low} to ${high}`);
  }
  await koala.close();
  await other?.close();
}

await main();
