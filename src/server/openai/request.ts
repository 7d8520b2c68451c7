/** @file OpenAI's requests as requests of the jobs API, with warnings of fields without effect. */

import { InvalidRequest } from "../../errors.js";
import type { PartialRequest } from "../../jobs/resolve-request.js";
import type { SentImage, Source } from "../../jobs/sent-images.js";
import type { ImageTasks } from "../image-tasks.js";
import type { EditForm, GenerationBody } from "./schemas.js";

/** A request of either route, and the form of its answer. */
export type OpenaiRequest = { partial: PartialRequest; stream: boolean; partials: number; url: boolean };

type Common = Omit<GenerationBody, "stream" | "style">;

export function generationRequest(body: GenerationBody): OpenaiRequest {
  const ignored = body.style === "natural" ? ["style: has no effect here; say it in the prompt"] : [];
  return requestOf(body, body.stream === true, ignored);
}

export async function editRequest(form: EditForm, read: ImageTasks): Promise<OpenaiRequest> {
  const {
    image: single = [],
    "image[]": several = [],
    mask,
    strength,
    stream,
    input_fidelity,
    ...rest
  } = form;
  const [first, ...others] = [single, several].flat();
  if (!first) throw new InvalidRequest("image", 0, "must be a file, got none. Send one as image.");
  const ignored = [
    ...(others.length > 0 ? [`image: only the first of ${1 + others.length} is used`] : []),
    ...(input_fidelity === "high"
      ? ["input_fidelity: has no effect here; strength keeps more if lower"]
      : []),
  ];
  const { partial, ...how } = requestOf(rest, stream === "true", ignored);
  const sourceOf = async (field: string, file: File): Promise<SentImage> =>
    read.sourceFromBytes(field, new Uint8Array(await file.arrayBuffer()));
  const image = await sourceOf("image", first);
  const given = mask ? await sourceOf("mask", mask) : ownMask(image, rest);
  // The masks of OpenAI are transparent where to generate, those of the jobs API opaque or white.
  const masked = given && (await read.maskSource(given, { transparent: "generated" }));
  const defaultStrength = masked ? 0.9999 : 0.75;
  const warnings = [...(partial.warnings ?? []), ...(masked || image.isOpaque ? [] : [wholeEdited])];
  const edited = { image, mask: masked, strength: strength ?? defaultStrength, warnings };
  return { ...how, partial: { ...partial, ...edited } };
}

/** The image itself where OpenAI's API takes its transparency for the mask: with DALL·E's models. */
const ownMask = (image: SentImage, { model }: Common): Source | undefined =>
  isDallE(model) && !image.isOpaque ? image : undefined;

const isDallE = (model: Common["model"]): boolean => model?.startsWith("dall-e-") === true;

const wholeEdited =
  "image: is transparent in part, which only with dall-e-2 is the mask; all of it is generated anew, on white";

/** `ignored` are warnings of fields without effect. */
function requestOf(body: Common, stream: boolean, ignored: readonly string[]): OpenaiRequest {
  const { prompt, model, n, seed, negative_prompt, scheduler, output_format, lora, response_format } = body;
  const steps = either(body, "num_inference_steps", "steps");
  const guidanceScale = either(body, "cfg", "guidance_scale");
  const partials = stream ? (body.partial_images ?? 0) : 0;
  const partial: PartialRequest = {
    prompt,
    ...sizeOf(body),
    ...(model != null && { model }),
    ...(n != null && { count: n }),
    ...(seed != null && { seed }),
    ...(negative_prompt != null && { negativePrompt: negative_prompt }),
    ...(guidanceScale != null && { guidanceScale }),
    ...(scheduler != null && { scheduler }),
    ...(steps != null && { steps }),
    ...(lora != null && { lora }),
    ...(body.prompt_syntax != null && { promptSyntax: body.prompt_syntax }),
    ...(body.long_prompts != null && { longPrompts: body.long_prompts }),
    ...(body.pad_conditions != null && { padConditions: body.pad_conditions }),
    ...(body.emphasis != null && { emphasis: body.emphasis }),
    ...(body.dynamic_prompts != null && { dynamicPrompts: body.dynamic_prompts }),
    ...(output_format != null && { outputFormat: output_format }),
    ...(body.output_compression != null && { quality: Math.max(1, Math.round(body.output_compression)) }),
    previews: partials > 0,
    warnings: [...ignored, ...ignoredOf(body)],
  };
  const format = response_format ?? (isDallE(model) ? "url" : "b64_json");
  return { partial: partial, stream, partials, url: format === "url" };
}

/** Warnings of fields without effect, unless they have the value that clients send by default. */
function ignoredOf({ quality, background }: Common): string[] {
  const plain = [undefined, null, "auto", "standard"];
  return [
    ...(plain.includes(quality) ? [] : [`quality: "${quality}" has no effect here; steps does`]),
    ...(background === "transparent" ? ['background: is opaque here, not "transparent"'] : []),
  ];
}

type Twice = "steps" | "num_inference_steps" | "guidance_scale" | "cfg";

/** A field that has two names; InvalidRequest if both are given and differ. */
function either(body: Common, other: Twice, name: Twice): number | null | undefined {
  const [value, same] = [body[other], body[name]];
  if (value == null || same == null || value === same) return same ?? value;
  throw new InvalidRequest(
    other,
    value,
    `must be what ${name} says if both are given, got ${value}. Leave one out.`,
  );
}

/** From `size`, or `width` and `height`; InvalidRequest if both are given and differ. */
function sizeOf({ size, width, height }: Common): { width?: number; height?: number } {
  const [w, h] = size == null || size === "auto" ? [width, height] : size.split("x").map(Number);
  if ((width != null && width !== w) || (height != null && height !== h)) {
    const rule = `must be what width and height say if both are given, got ${size} and ${width}x${height}.`;
    throw new InvalidRequest("size", size, `${rule} Leave one out.`);
  }
  return { ...(w != null && { width: w }), ...(h != null && { height: h }) };
}
