/**
 * @file The tools of `koala mcp`: generate, edit, list models, read an image's record. Requests are resolved and generated as
 * the jobs API does, with its checks, limits and warnings.
 */

import path from "node:path";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import type { RequestHandlerExtra } from "@modelcontextprotocol/sdk/shared/protocol.js";
import type { CallToolResult, ServerNotification, ServerRequest } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import { InvalidRequest } from "../errors.js";
import { readFile, realpath } from "../files/file-system.js";
import { writeNew } from "../files/writable.js";
import { readTexts } from "../image/metadata/metadata.js";
import { defaultLimits } from "../jobs/limits.js";
import type { ModelRegistry } from "../jobs/model-registry.js";
import type { FinishedImage, JobProcessor } from "../jobs/processor.js";
import { resolveRequest } from "../jobs/resolve-request.js";
import type { GenerationRequest } from "../jobs/schemas.js";
import { safetyRules } from "../pipeline/safety-rules.js";

export type ToolOptions = {
  models: ModelRegistry;
  processor: JobProcessor;
  /** Where images are written, and the only place from which they are read; only in answers if left out. */
  folder: string | undefined;
  version: string;
};

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** What both tools that generate take. */
const settings = {
  prompt: z.string().describe("What to generate."),
  negativePrompt: z.string().optional().describe("What not to generate."),
  model: z.string().optional().describe("An id of list_models; the first if left out."),
  steps: z.int().optional().describe("Denoising steps; the model's default if left out."),
  guidanceScale: z
    .number()
    .optional()
    .describe("How closely to follow the prompt; the model's default if left out."),
  seed: z
    .string()
    .regex(/^-?\d+$/)
    .optional()
    .describe("A whole number as text; drawn if left out. The same seed gives the same image."),
  count: z.int().optional().describe("How many images; 1 if left out."),
  scheduler: z.string().optional().describe("A name from the model's schedulers."),
  safety: z
    .enum(safetyRules)
    .optional()
    .describe("What becomes of images that the model's safety checker flags."),
};
const size = {
  width: z.int().optional().describe("Pixels; the model's default if left out."),
  height: z.int().optional().describe("Pixels; the model's default if left out."),
};
const image = (what: string) =>
  z
    .string()
    .describe(
      `${what}: base64 of a PNG, JPEG or WebP, a data: URL, or the name of a file in the server's folder.`,
    );

/** A server whose tools generate with these models. */
export function mcpServer(options: ToolOptions): McpServer {
  const { models, folder, version } = options;
  const server = new McpServer({ name: "koala-diffusion", version });
  server.registerTool(
    "list_models",
    {
      title: "List models",
      description:
        "The models that can generate, with their defaults. A model with `words` knows only those.",
      annotations: { readOnlyHint: true },
    },
    () => text({ models: [...models.values()].map(({ info }) => info) }),
  );
  server.registerTool(
    "generate_image",
    {
      title: "Generate images",
      description: "Generates images from a text.",
      inputSchema: { ...settings, ...size },
    },
    (given, extra) => generate(present(given), options, extra),
  );
  server.registerTool(
    "edit_image",
    {
      title: "Edit an image",
      description:
        "Generates an image from another (image-to-image), or only where a mask is white or opaque (inpainting).",
      inputSchema: {
        ...settings,
        image: image("The image to begin with"),
        mask: image("Where to generate anew").optional(),
        strength: z
          .number()
          .optional()
          .describe("How far to leave the image, 0 to 1; the model's default if left out."),
      },
    },
    async ({ image, mask, ...given }, extra) => {
      const sources = { image: await base64Of("image", image, folder) };
      const masked = mask === undefined ? {} : { mask: await base64Of("mask", mask, folder) };
      return generate({ ...present(given), ...sources, ...masked }, options, extra);
    },
  );
  server.registerTool(
    "read_image",
    {
      title: "Read what an image was generated from",
      description: "The record inside an image file: model, prompt, seed and all settings.",
      inputSchema: { image: image("The image") },
      annotations: { readOnlyHint: true },
    },
    async ({ image }) => text(await recordOf(Buffer.from(await base64Of("image", image, folder), "base64"))),
  );
  return server;
}

const text = (value: unknown): CallToolResult => ({
  content: [{ type: "text", text: JSON.stringify(value, undefined, 1) }],
});

/** Without fields that are undefined. */
const present = <T extends object>(given: T): GenerationRequest =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as GenerationRequest;

async function generate(
  given: GenerationRequest,
  options: ToolOptions,
  extra: Extra,
): Promise<CallToolResult> {
  const { models, processor, folder } = options;
  const request = await resolveRequest(given, models, defaultLimits);
  const [events] = processor.process([{ request, signal: extra.signal }]);
  const progressToken = extra._meta?.progressToken;
  const images: FinishedImage[] = [];
  for await (const event of events!) {
    if (event.type === "image") images.push(event.image);
    if (event.type !== "step" || progressToken === undefined) continue;
    const params = { progressToken, progress: event.step, total: event.total };
    await extra.sendNotification({ method: "notifications/progress", params });
  }
  const files = await saved(images, folder);
  const described = images.map(({ bytes: _, ...image }, i) => ({
    ...image,
    ...(files[i] && { file: files[i] }),
  }));
  const answer = { images: described, settings: request.settings, warnings: request.warnings };
  const shown = images.map(({ bytes, mediaType }) => ({
    ...{ type: "image" as const, mimeType: mediaType, data: Buffer.from(bytes).toString("base64") },
  }));
  return { content: [...shown, ...text(answer).content] };
}

/** Writes images into the folder, none over another, and gives their names there. */
async function saved(images: readonly FinishedImage[], folder: string | undefined): Promise<string[]> {
  if (folder === undefined) return [];
  const names: string[] = [];
  for (const { seed, bytes } of images) {
    const file = await writeNew(path.join(folder, `koala-${seed}.png`), bytes);
    names.push(path.basename(file));
  }
  return names;
}

/** Of base64, a data: URL, or a file in the folder; InvalidRequest for a path that leads out of it. */
async function base64Of(field: string, given: string, folder: string | undefined): Promise<string> {
  if (!/^[^/\\]{1,200}\.(png|jpe?g|webp)$/i.test(given)) return given.replace(/^data:[^,]*,/, "");
  if (folder === undefined) {
    const rule =
      "must be base64, since this server has no folder, got a file's name. Start koala mcp --folder.";
    throw new InvalidRequest(field, given, rule);
  }
  const file = await realpath(path.join(folder, given));
  if (path.dirname(file) !== (await realpath(folder)))
    throw new InvalidRequest(field, given, "must be a file of the server's folder, got a link out of it.");
  return Buffer.from(await readFile(file)).toString("base64");
}

async function recordOf(bytes: Uint8Array): Promise<unknown> {
  const { record, parameters } = await readTexts(bytes);
  if (record !== undefined) return { record: JSON.parse(record) as unknown };
  if (parameters !== undefined) return { parameters };
  throw new InvalidRequest("image", undefined, "must hold what it was generated from, got none inside.");
}
