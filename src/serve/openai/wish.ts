/** @file OpenAI's request in our words. */

import sharp from "sharp";
import { InvalidRequest } from "../../errors.js";
import type { Wish } from "../settle.js";
import { maskSource, type Source, sourceFromBytes } from "../source.js";
import type { EditForm, GenerationBody } from "./schemas.js";

/** What both routes have in common, and how the answer is wanted. */
export type Asked = { wish: Wish; stream: boolean; partials: number; url: boolean };

type Common = Omit<GenerationBody, "stream" | "style" | "moderation">;

export function generationAsked(body: GenerationBody): Asked {
  return asked(body, body.stream === true);
}

export async function editAsked(form: EditForm): Promise<Asked> {
  const { image: single, "image[]": several = [], mask, strength, stream, ...rest } = form;
  const images = [...(single ? [single] : []), ...several];
  if (images.length !== 1) {
    throw new InvalidRequest("image", images.length, `must be one file, got ${images.length}.`);
  }
  const { wish, ...how } = asked(rest, stream === "true");
  const image = await sourceOf("image", images[0]!);
  const masked = mask && (await ownMask(await sourceOf("mask", mask)));
  const far = strength ?? (masked ? 0.9999 : 0.75);
  return { ...how, wish: { ...wish, image, mask: masked, strength: far } };
}

function asked(body: Common, stream: boolean): Asked {
  const { prompt, model, n, seed, negative_prompt, guidance_scale, scheduler, output_format, lora } = body;
  const steps = body.steps ?? body.num_inference_steps;
  if (body.steps != null && body.num_inference_steps != null && body.steps !== body.num_inference_steps) {
    const rule = `must be what steps says if both are given, got ${body.num_inference_steps}. Leave one out.`;
    throw new InvalidRequest("num_inference_steps", body.num_inference_steps, rule);
  }
  const partials = stream ? (body.partial_images ?? 0) : 0;
  const wish: Wish = {
    prompt,
    ...sizeOf(body.size),
    ...(model != null && { model }),
    ...(n != null && { count: n }),
    ...(seed != null && { seed }),
    ...(negative_prompt != null && { negativePrompt: negative_prompt }),
    ...(guidance_scale != null && { guidanceScale: guidance_scale }),
    ...(scheduler != null && { scheduler }),
    ...(steps != null && { steps }),
    ...(lora != null && { lora }),
    ...(output_format != null && { outputFormat: output_format }),
    ...(body.output_compression != null && { quality: Math.max(1, Math.round(body.output_compression)) }),
    previews: partials > 0,
  };
  return { wish, stream, partials, url: body.response_format === "url" };
}

function sizeOf(size: string | null | undefined): { width?: number; height?: number } {
  if (size == null || size === "auto") return {};
  const [width, height] = size.split("x").map(Number);
  return { width: width!, height: height! };
}

const sourceOf = async (field: string, file: File): Promise<Source> =>
  sourceFromBytes(field, new Uint8Array(await file.arrayBuffer()));

/** OpenAI's masks are transparent where to generate anew, ours are opaque or white there. */
async function ownMask(mask: Source): Promise<Source> {
  const { hasAlpha } = await sharp(mask.bytes).metadata();
  return hasAlpha ? maskSource(mask, { transparent: "generated" }) : mask;
}
