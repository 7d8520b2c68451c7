/**
 * @file The tools of `koala mcp`: generate, edit, list models, read an image's record, explain an image. Requests are resolved and generated as
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
import type { FinishedImage, JobProcessor, JobRequest } from "../jobs/processor.js";
import { resolveRequest } from "../jobs/resolve-request.js";
import type { GenerationRequest } from "../jobs/schemas.js";
import { safetyRules } from "../pipeline/safety-rules.js";
import { checkExplained, differences, explained, recordedRequest } from "./mcp-explain.js";

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
  scheduler: z.string().optional().describe("A name from the model's schedulers."),
  safety: z
    .enum(safetyRules)
    .optional()
    .describe("What becomes of images that the model's safety checker flags."),
};
const count = { count: z.int().optional().describe("How many images; 1 if left out.") };
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
      inputSchema: { ...settings, ...count, ...size },
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
        ...count,
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
    async ({ image }) => text(await recordOf(await bytesOf("image", image, folder))),
  );
  server.registerTool(
    "explain_image",
    {
      title: "Explain where each word of a prompt went",
      description:
        "Shows where on an image each word of its prompt went (attention maps): of an image that one of these models " +
        "generated, by its record, or of one that is generated from a prompt.",
      inputSchema: {
        image: image("The image to explain; leave prompt and settings out beside it").optional(),
        ...{ ...settings, ...size, prompt: settings.prompt.optional() },
      },
    },
    (given, extra) => explain(given, options, extra),
  );
  return server;
}

const text = (value: unknown): CallToolResult => ({
  content: [{ type: "text", text: JSON.stringify(value, undefined, 1) }],
});

/** Without fields that are undefined. */
const present = <T extends object>(given: T): GenerationRequest =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as GenerationRequest;

/** Generates as the jobs API does, telling the client of each step. */
async function finished(
  given: GenerationRequest,
  { models, processor }: ToolOptions,
  extra: Extra,
): Promise<{ images: FinishedImage[]; request: JobRequest }> {
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
  return { images, request };
}

async function generate(
  given: GenerationRequest,
  options: ToolOptions,
  extra: Extra,
): Promise<CallToolResult> {
  const { images, request } = await finished(given, options, extra);
  const files = await saved(images, options.folder);
  const described = images.map(({ bytes: _, ...image }, i) => ({
    ...image,
    ...(files[i] && { file: files[i] }),
  }));
  const answer = { images: described, settings: request.settings, warnings: request.warnings };
  const shown = images.map(({ bytes, mediaType }) => shownImage(bytes, mediaType));
  return { content: [...shown, ...text(answer).content] };
}

const shownImage = (bytes: Uint8Array, mimeType = "image/png") => ({
  ...{ type: "image" as const, mimeType, data: Buffer.from(bytes).toString("base64") },
});

type Explaining = Partial<GenerationRequest> & { image?: string | undefined };

/** Of an image its record is generated again, and what differs from it is said. */
async function explain(
  { image, ...given }: { [K in keyof Explaining]?: Explaining[K] | undefined },
  options: ToolOptions,
  extra: Extra,
): Promise<CallToolResult> {
  const { folder, models } = options;
  const asked = present(given);
  checkExplained(image, asked);
  const file = image === undefined ? undefined : await bytesOf("image", image, folder);
  const wanted = file === undefined ? asked : await recordedRequest(file, models);
  const { images, request } = await finished({ ...wanted, attentionMaps: true }, options, extra);
  const [made] = images as [FinishedImage];
  const { sheet, words } = await explained(made, request.settings);
  const differs = file === undefined ? [] : await differences(file, made.bytes);
  const names = await Promise.all([
    ...(folder !== undefined && file === undefined
      ? [writeNew(path.join(folder, `koala-${made.seed}.png`), made.bytes)]
      : []),
    ...(folder !== undefined ? [writeNew(path.join(folder, `koala-${made.seed}-words.png`), sheet)] : []),
  ]);
  const files = names.map((name) => path.basename(name));
  const warnings = [...request.warnings, ...differs];
  const answer = { words, ...(files.length > 0 && { files }), settings: request.settings, warnings };
  return { content: [shownImage(sheet), ...text(answer).content] };
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

const bytesOf = async (field: string, given: string, folder: string | undefined): Promise<Uint8Array> =>
  Buffer.from(await base64Of(field, given, folder), "base64");

async function recordOf(bytes: Uint8Array): Promise<unknown> {
  const { record, parameters } = await readTexts(bytes);
  if (record !== undefined) return { record: JSON.parse(record) as unknown };
  if (parameters !== undefined) return { parameters };
  throw new InvalidRequest("image", undefined, "must hold what it was generated from, got none inside.");
}
