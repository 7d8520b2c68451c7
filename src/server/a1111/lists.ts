/** @file The routes that AUTOMATIC1111's clients request at start: lists, most of them empty here. */

import { OpenAPIHono, z } from "@hono/zod-openapi";
import { a1111Samplers, a1111Schedules } from "../../diffusion/schedulers/a1111-names.js";
import type { ModelRegistry } from "../../jobs/model-registry.js";
import { versions } from "../../pipeline/metadata/versions.js";

export function a1111Lists(models: ModelRegistry): OpenAPIHono {
  const app = new OpenAPIHono();
  for (const [path, answer] of Object.entries({ ...fixedLists(), ...fixedAnswers }))
    app.get(path, (c) => c.json(answer));
  // Gradio's id of a process, by which clients notice that a server was started again.
  const started = { app_id: Date.now() };
  for (const path of ["/app_id", "/app_id/"]) app.get(path, (c) => c.json(started));
  // Made for each request: with Redis, models come and go.
  app.get("/sdapi/v1/sd-models", (c) => c.json(modelsOf(models)));
  app.get("/sdapi/v1/loras", (c) => c.json(lorasOf(models)));
  app.get("/sdapi/v1/embeddings", (c) => c.json(embeddingsOf(models)));
  app.get("/sdapi/v1/memory", (c) => {
    const { rss } = process.memoryUsage();
    const free = process.availableMemory();
    return c.json({ ram: { free, used: rss, total: free + rss }, cuda: { error: "none is used" } });
  });
  for (const name of withoutEffect) app.post(`/sdapi/v1/${name}`, (c) => c.json(null));
  for (const { method, path } of app.routes) {
    app.openAPIRegistry.registerPath({
      method: method === "POST" ? "post" : "get",
      path,
      tags: ["AUTOMATIC1111"],
      responses: { 200: { description: "As AUTOMATIC1111 gives it.", content: json } },
    });
  }
  return app;
}

/** The lists that stay the same, by path. */
function fixedLists(): Readonly<Record<string, unknown>> {
  const [name, version] = versions().app.split(" ");
  const lists = {
    samplers: a1111Samplers.map((name) => ({ name, aliases: [identifier(name)], options: {} })),
    schedulers: a1111Schedules.map((label) => ({
      name: identifier(label),
      label,
      aliases: null,
      default_rho: -1,
      need_inner_model: false,
    })),
    ...emptyLists,
    version: { app: name, version },
  };
  return Object.fromEntries(Object.entries(lists).map(([name, list]) => [`/sdapi/v1/${name}`, list]));
}

/** "DPM++ 2M" -> "dpm++_2m" */
const identifier = (label: string): string => label.toLowerCase().replaceAll(" ", "_");

const emptyLists = {
  upscalers: [],
  "latent-upscale-modes": [],
  hypernetworks: [],
  "prompt-styles": [],
  "sd-vae": [],
  "sd-modules": [],
  "face-restorers": [],
  "realesrgan-models": [],
  scripts: { txt2img: [], img2img: [] },
  "script-info": [],
  extensions: [],
  "cmd-flags": {},
};

/** Actions of clients that have no effect here. */
const withoutEffect = [
  ...["refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings"],
  ...["unload-checkpoint", "reload-checkpoint"],
];

/** By path, of A1111's page and of ControlNet, which has no model here. */
const fixedAnswers: Readonly<Record<string, unknown>> = {
  "/internal/ping": {},
  "/controlnet/model_list": { model_list: [] },
  "/controlnet/module_list": { module_list: [], module_detail: {} },
  "/controlnet/control_types": { control_types: {} },
  "/controlnet/settings": { control_net_unit_count: 0 },
};

const json = { "application/json": { schema: z.unknown() } };

/** Without paths of this machine: clients send `title` back and show the rest. */
const modelsOf = (models: ModelRegistry) =>
  [...models.values()].map(({ info: { id, name } }) => ({
    title: id,
    model_name: name,
    name: id,
    hash: null,
    sha256: null,
    filename: id,
    config: null,
  }));

/** The LoRAs of all models, each once. */
function lorasOf(models: ModelRegistry) {
  const names = new Set([...models.values()].flatMap(({ info }) => info.loras.map(({ name }) => name)));
  return [...names].map((name) => ({ name, alias: name, path: name, metadata: {} }));
}

/** The textual inversions of all models, each once, by the word that prompts have for it. */
function embeddingsOf(models: ModelRegistry) {
  const all = [...models.values()].flatMap(({ info }) => info.embeddings ?? []);
  const loaded = all.map(
    ({ token, vectors, width }) =>
      [token, { step: null, sd_checkpoint: null, sd_checkpoint_name: null, shape: width, vectors }] as const,
  );
  return { loaded: Object.fromEntries(loaded), skipped: {} };
}
