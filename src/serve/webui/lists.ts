/** @file The read-only lists that AUTOMATIC1111's clients ask for at start. */

import { OpenAPIHono, z } from "@hono/zod-openapi";
import { webuiSamplers, webuiSchedules } from "../../diffusion/webui-names.js";
import type { Catalogue } from "../catalogue.js";

export function webuiLists(catalogue: Catalogue): OpenAPIHono {
  const app = new OpenAPIHono();
  const lists: Readonly<Record<string, unknown>> = {
    samplers: webuiSamplers.map((name) => ({
      name,
      aliases: [name.toLowerCase().replaceAll(" ", "_")],
      options: {},
    })),
    schedulers: webuiSchedules.map((label) => ({
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
    "face-restorers": [],
    "realesrgan-models": [],
    scripts: { txt2img: [], img2img: [] },
    "script-info": [],
    extensions: [],
    "cmd-flags": {},
  };
  for (const [name, list] of Object.entries(lists)) app.get(`/sdapi/v1/${name}`, (c) => c.json(list));
  // Asked each time: where workers paint, models come and go.
  app.get("/sdapi/v1/sd-models", (c) => c.json(modelsOf(catalogue)));
  app.get("/sdapi/v1/loras", (c) => c.json(lorasOf(catalogue)));
  app.get("/sdapi/v1/memory", (c) => {
    const { rss } = process.memoryUsage();
    const free = process.availableMemory();
    return c.json({ ram: { free, used: rss, total: free + rss }, cuda: { error: "none is used" } });
  });
  for (const name of [
    "refresh-checkpoints",
    "refresh-vae",
    "refresh-loras",
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

const json = { "application/json": { schema: z.unknown() } };

/** No path of this machine is told: clients send `title` back and show the rest. */
const modelsOf = (catalogue: Catalogue) =>
  [...catalogue.values()].map(({ card: { id, name } }) => ({
    title: id,
    model_name: name,
    name: id,
    hash: null,
    sha256: null,
    filename: id,
    config: null,
  }));

/** Those of all models, each once. */
function lorasOf(catalogue: Catalogue) {
  const names = new Set([...catalogue.values()].flatMap(({ card }) => card.loras.map(({ name }) => name)));
  return [...names].map((name) => ({ name, alias: name, path: name, metadata: {} }));
}
