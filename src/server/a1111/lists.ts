/** @file What AUTOMATIC1111's clients ask for at start: lists, most of them empty here, and whether it is there. */

import { OpenAPIHono, z } from "@hono/zod-openapi";
import { a1111Samplers, a1111Schedules } from "../../diffusion/schedulers/a1111-names.js";
import type { ModelRegistry } from "../../jobs/model-registry.js";
import { versions } from "../../pipeline/metadata/write.js";

export function a1111Lists(models: ModelRegistry): OpenAPIHono {
  const app = new OpenAPIHono();
  const [name, version] = versions().app.split(" ");
  const lists: Readonly<Record<string, unknown>> = {
    samplers: a1111Samplers.map((name) => ({
      name,
      aliases: [name.toLowerCase().replaceAll(" ", "_")],
      options: {},
    })),
    schedulers: a1111Schedules.map((label) => ({
      name: label.toLowerCase().replaceAll(" ", "_"),
      label,
      aliases: null,
      default_rho: -1,
      need_inner_model: false,
    })),
    upscalers: [],
    "latent-upscale-modes": [],
    embeddings: { loaded: {}, skipped: {} },
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
    version: { app: name, version },
  };
  for (const [name, list] of Object.entries(lists)) app.get(`/sdapi/v1/${name}`, (c) => c.json(list));
  for (const [path, answer] of Object.entries(besides)) app.get(path, (c) => c.json(answer));
  // Gradio's id of a process, by which clients notice that a server was started again.
  const started = { app_id: Date.now() };
  for (const path of ["/app_id", "/app_id/"]) app.get(path, (c) => c.json(started));
  // Asked each time: where workers generate, models come and go.
  app.get("/sdapi/v1/sd-models", (c) => c.json(modelsOf(models)));
  app.get("/sdapi/v1/loras", (c) => c.json(lorasOf(models)));
  app.get("/sdapi/v1/memory", (c) => {
    const { rss } = process.memoryUsage();
    const free = process.availableMemory();
    return c.json({ ram: { free, used: rss, total: free + rss }, cuda: { error: "none is used" } });
  });
  for (const name of [
    "refresh-checkpoints",
    "refresh-vae",
    "refresh-loras",
    "refresh-embeddings",
    "unload-checkpoint",
    "reload-checkpoint",
  ])
    app.post(`/sdapi/v1/${name}`, (c) => c.json(null));
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

/** Of A1111's page and of ControlNet, which has no model here. */
const besides: Readonly<Record<string, unknown>> = {
  "/internal/ping": {},
  "/controlnet/model_list": { model_list: [] },
  "/controlnet/module_list": { module_list: [], module_detail: {} },
  "/controlnet/control_types": { control_types: {} },
  "/controlnet/settings": { control_net_unit_count: 0 },
};

const json = { "application/json": { schema: z.unknown() } };

/** No path of this machine is told: clients send `title` back and show the rest. */
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

/** Those of all models, each once. */
function lorasOf(models: ModelRegistry) {
  const names = new Set([...models.values()].flatMap(({ info }) => info.loras.map(({ name }) => name)));
  return [...names].map((name) => ({ name, alias: name, path: name, metadata: {} }));
}
