/** @file Whole requests against the final latents of Diffusers 0.42.1 (test/data/diffusers/requests.json). */

import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { Generator } from "../src/diffusion/random.js";
import { camelCase } from "../src/diffusion/schedulers/field-names.js";
import { schedulerFromConfig } from "../src/diffusion/schedulers/registry.js";
import type { Scheduler } from "../src/diffusion/schedulers/scheduler.js";
import { DiffusionPipeline } from "../src/pipeline/pipeline.js";
import type { GenerateRequest } from "../src/pipeline/request.js";

type Case = {
  name: string;
  why: string;
  folder: string;
  /** None for the folder's own. */
  scheduler: string | null;
  overrides: Record<string, unknown>;
  seeds: number[];
  /** Whether Diffusers was given a list of generators, one per image. */
  list: boolean;
  /** In Diffusers' spelling; images are files beside the JSON. */
  call: Record<string, unknown>;
  right: number[];
};

const data = fileURLToPath(new URL("data/diffusers/", import.meta.url));
const { cases } = JSON.parse(readFileSync(path.join(data, "requests.json"), "utf8")) as { cases: Case[] };
const pipelines = fileURLToPath(new URL("../golden/data/pipelines/", import.meta.url));
const opened = new Map<string, Promise<{ pipe: DiffusionPipeline; own: Scheduler }>>();
afterAll(async () => {
  for (const { pipe } of await Promise.all(opened.values())) await pipe.close();
});

async function open(folder: string) {
  const pipe = await DiffusionPipeline.fromPretrained(path.join(pipelines, folder), { threads: 1 });
  return { pipe, own: pipe.scheduler };
}

function requestOf({ call, seeds, list }: Case): GenerateRequest {
  const fields = Object.entries(call).map(([name, value]) => [
    name === "mask_image" ? "mask" : camelCase(name),
    typeof value === "string" && value.endsWith(".png") ? path.join(data, value) : value,
  ]);
  const generators = seeds.map((seed) => new Generator(seed));
  const generator = list ? generators : generators[0]!;
  const request = Object.fromEntries(fields) as GenerateRequest;
  return { ...request, generator, outputType: "latent", onWarning: () => {} };
}

describe("the latents are Diffusers'", () => {
  it.each(cases)("$name: $why", async (c) => {
    if (!opened.has(c.folder)) opened.set(c.folder, open(c.folder));
    const { pipe, own } = await opened.get(c.folder)!;
    pipe.scheduler = schedulerFromConfig(own.config, c.overrides, c.scheduler ?? own.className);
    const { latents } = await pipe.generate(requestOf(c));
    expect(latents).toHaveLength(c.right.length);
    const most = Math.max(...c.right.map(Math.abs));
    expect(Math.max(...c.right.map((v, i) => Math.abs(v - latents[i]!))) / most).toBeLessThan(1e-3);
  });
});
